//! IN (subquery) that is not a condition of its own in WHERE. DataFusion makes a mark of it that is
//! TRUE or FALSE; in SQL it is NULL where nothing matches but a NULL could have. Where NULLs are
//! possible it becomes CASE WHEN EXISTS (a match) THEN TRUE WHEN EXISTS (what could) THEN NULL ELSE
//! FALSE, whose parts are truly two-valued.

use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::expr::{Exists, InSubquery};
use datafusion_expr::logical_plan::{Filter, Subquery};
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit, when};
use datafusion_optimizer::analyzer::AnalyzerRule;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(crate) struct ThreeValuedIn;

impl AnalyzerRule for ThreeValuedIn {
    fn name(&self) -> &'static str {
        "three_valued_in"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            let node = node.map_expressions(|expr| expr.transform_up(compared_apart))?;
            Ok(match node.data {
                LogicalPlan::Filter(filter) => {
                    let mut done = filtered(filter)?;
                    done.transformed |= node.transformed;
                    done
                }
                other => Transformed::new(other, node.transformed, TreeNodeRecursion::Continue),
            })
        })
        .map(|t| t.data)
    }
}

/// Name of the rows of a subquery: what is compared with them may be of the same table, and its columns
/// must not be taken for theirs.
const ROWS: &str = "__trine_rows";

/// `x < ANY (subquery)` and its like with the rows under a name of their own.
fn compared_apart(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::SetComparison(mut comparison) = expr else { return Ok(Transformed::no(expr)) };
    // What looks outside is left as it is: DataFusion loses columns under an alias.
    let looks_outside = !comparison.subquery.outer_ref_columns.is_empty();
    if looks_outside || is_apart(&comparison.subquery.subquery) {
        return Ok(Transformed::no(Expr::SetComparison(comparison)));
    }
    comparison.subquery.subquery = Arc::new(apart(&comparison.subquery.subquery)?);
    Ok(Transformed::yes(Expr::SetComparison(comparison)))
}

fn apart(rows: &LogicalPlan) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(rows.clone()).alias(ROWS)?.build()
}

fn is_apart(rows: &LogicalPlan) -> bool {
    matches!(rows, LogicalPlan::SubqueryAlias(alias) if alias.alias.table() == ROWS)
}

/// Conditions of their own stay; what is inside others is rewritten.
fn filtered(filter: Filter) -> Result<Transformed<LogicalPlan>> {
    let input = Arc::clone(&filter.input);
    let mut changed = false;
    let mut parts = Vec::new();
    for part in split_conjunction(&filter.predicate) {
        let alone = match part {
            Expr::InSubquery(_) => true,
            Expr::Not(inner) => matches!(inner.as_ref(), Expr::InSubquery(_)),
            _ => false,
        };
        if alone {
            parts.push(part.clone());
            continue;
        }
        let new = part.clone().transform_up(|expr| match expr {
            Expr::InSubquery(list) if may_be_null(&list, &input)? => {
                Ok(Transformed::yes(three_valued(&list, &input)?))
            }
            other => Ok(Transformed::no(other)),
        })?;
        changed |= new.transformed;
        parts.push(new.data);
    }
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    let predicate = conjunction(parts).unwrap_or_else(|| lit(true));
    Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, input)?)))
}

fn may_be_null(list: &InSubquery, input: &LogicalPlan) -> Result<bool> {
    let member = list.subquery.subquery.schema().fields().first().is_some_and(|f| f.is_nullable());
    Ok(member || list.expr.nullable(input.schema()).unwrap_or(true))
}

/// See the module.
fn three_valued(list: &InSubquery, input: &LogicalPlan) -> Result<Expr> {
    let own_name = list.subquery.outer_ref_columns.is_empty();
    let rows = list.subquery.subquery.as_ref();
    let rows = &if own_name { apart(rows)? } else { rows.clone() };
    let Some(member) = rows.schema().columns().into_iter().next().map(Expr::Column) else {
        return Ok(Expr::InSubquery(list.clone()));
    };
    let value = list.expr.as_ref();
    let (inside, outer) = inward(value, list, input)?;
    let matching = filtered_rows(rows, inside.eq(member.clone()))?;
    let unknown = filtered_rows(rows, member.is_null())?;
    let own = list.subquery.outer_ref_columns.clone();
    let any = exists(list, Arc::clone(&list.subquery.subquery), own.clone());
    let could = value.clone().is_null().and(any).or(exists(list, unknown.into(), own));
    let found = when(exists(list, matching.into(), outer), lit(true))
        .when(could, lit(ScalarValue::Boolean(None)))
        .otherwise(lit(false))?;
    Ok(if list.negated { Expr::Not(Box::new(found)) } else { found })
}

fn filtered_rows(rows: &LogicalPlan, condition: Expr) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(rows.clone()).filter(condition)?.build()
}

fn exists(list: &InSubquery, subquery: Arc<LogicalPlan>, outer_ref_columns: Vec<Expr>) -> Expr {
    let subquery = Subquery { subquery, outer_ref_columns, spans: list.subquery.spans.clone() };
    Expr::Exists(Exists { subquery, negated: false })
}

/// The value inside the subquery: columns of the outer rows are marked as such; and all that the
/// subquery then looks at outside.
fn inward(expr: &Expr, list: &InSubquery, input: &LogicalPlan) -> Result<(Expr, Vec<Expr>)> {
    let mut outer: Vec<Expr> = list.subquery.outer_ref_columns.clone();
    let inside = expr
        .clone()
        .transform_up(|e| match e {
            Expr::Column(column) => {
                let (_, field) = input.schema().qualified_field_from_column(&column)?;
                let reference = Expr::OuterReferenceColumn(Arc::clone(field), column);
                outer.push(reference.clone());
                Ok(Transformed::yes(reference))
            }
            other => Ok(Transformed::no(other)),
        })?
        .data;
    Ok((inside, outer))
}
