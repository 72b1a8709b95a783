//! An ENUM is text to DataFusion, but its order is that of declaration. Order comparisons with a
//! literal become IN lists before any rule can reason about byte order.

use super::tables::{LABELS, decode_labels};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, DataFusionError, ExprSchema, Result, ScalarValue};
use datafusion_expr::expr::{Between, InList};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion_optimizer::analyzer::AnalyzerRule;
use std::ops::RangeInclusive;
use trine_proto::status::{SqlError, sqlstate};

/// See the module.
#[derive(Debug)]
pub(crate) struct DictionaryOrder;

impl AnalyzerRule for DictionaryOrder {
    fn name(&self) -> &'static str {
        "dictionary_order"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(rewrite_node)?.data)
    }
}

fn rewrite_node(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&node.inputs());
    // The nodes above know a column by the text of its expression.
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(|e| rewrite(e, &schema))?.update_data(|e| name.restore(e)))
    })
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (column, op, literal) = match (labels_of(left, schema), labels_of(right, schema)) {
                (Some(labels), None) => ((left, labels), Some(*op), text(right)),
                (None, Some(labels)) => ((right, labels), op.swap(), text(left)),
                _ => return Ok(Transformed::no(expr)),
            };
            let (Some(op), Some(literal)) = (op, literal) else {
                return Ok(Transformed::no(expr));
            };
            let labels = &column.1;
            let wanted: Vec<String> = match op {
                Operator::Lt => kept(labels, |i| Ok(i < literal.index(labels)?))?,
                Operator::LtEq => kept(labels, |i| Ok(i <= literal.index(labels)?))?,
                Operator::Gt => kept(labels, |i| Ok(i > literal.index(labels)?))?,
                Operator::GtEq => kept(labels, |i| Ok(i >= literal.index(labels)?))?,
                _ => return Ok(Transformed::no(expr)),
            };
            Ok(Transformed::yes(in_list(column.0, labels, wanted, false)))
        }
        Expr::Between(Between { expr: inner, negated, low, high }) => {
            let (Some(labels), Some(low), Some(high)) =
                (labels_of(inner, schema), text(low), text(high))
            else {
                return Ok(Transformed::no(expr));
            };
            let range: RangeInclusive<usize> = low.index(&labels)?..=high.index(&labels)?;
            let wanted = labels
                .iter()
                .enumerate()
                .filter(|(i, _)| range.contains(i))
                .map(|(_, l)| l.clone())
                .collect();
            Ok(Transformed::yes(in_list(inner, &labels, wanted, *negated)))
        }
        _ => Ok(Transformed::no(expr)),
    }
}

fn kept(labels: &[String], keep: impl Fn(usize) -> Result<bool>) -> Result<Vec<String>> {
    let mut wanted = Vec::new();
    for (index, label) in labels.iter().enumerate() {
        if keep(index)? {
            wanted.push(label.clone());
        }
    }
    Ok(wanted)
}

struct Text<'a>(&'a str);

impl Text<'_> {
    fn index(&self, labels: &[String]) -> Result<usize> {
        labels.iter().position(|l| l == self.0).ok_or_else(|| {
            let error = SqlError::new(
                sqlstate::INVALID_TEXT,
                format!("invalid input value for enum: \"{}\"", self.0),
            )
            .hint(format!("the labels in order are {}", labels.join(", ")));
            DataFusionError::External(Box::new(error))
        })
    }
}

fn text(expr: &Expr) -> Option<Text<'_>> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Some(Text(text)),
        _ => None,
    }
}

fn labels_of(expr: &Expr, schema: &DFSchema) -> Option<Vec<String>> {
    match expr {
        Expr::Column(column) => column_labels(column, schema),
        Expr::OuterReferenceColumn(field, _) => decode_labels(field.metadata().get(LABELS)?),
        Expr::Alias(alias) => labels_of(&alias.expr, schema),
        _ => None,
    }
}

fn column_labels(column: &Column, schema: &DFSchema) -> Option<Vec<String>> {
    let field = schema.field_from_column(column).ok()?;
    decode_labels(field.metadata().get(LABELS)?)
}

/// An empty list holds one text that is no label, so that NULL stays NULL.
fn in_list(column: &Expr, labels: &[String], mut wanted: Vec<String>, negated: bool) -> Expr {
    if wanted.is_empty() {
        let mut absent = String::from("-");
        while labels.contains(&absent) {
            absent.push('-');
        }
        wanted.push(absent);
    }
    let list =
        wanted.into_iter().map(|l| Expr::Literal(ScalarValue::Utf8(Some(l)), None)).collect();
    Expr::InList(InList::new(Box::new(column.clone()), list, negated))
}
