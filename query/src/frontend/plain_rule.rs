//! Functions that no protocol computes, over rows that the statement itself writes out: VALUES and
//! constants are public, so that DataFusion's own function gives the result while the statement is
//! planned. What it fails with is the statement's error; constant folding would keep silent about it.

use super::functions::{Functions, has_protocol};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result, ScalarValue};
use datafusion_expr::expr::{Like, ScalarFunction};
use datafusion_expr::logical_plan::Projection;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs,
    Volatility,
};
use datafusion_optimizer::analyzer::AnalyzerRule;
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use std::sync::Arc;

/// Rows that are worked on at most; more stay for the planner to refuse.
const ROWS_MAX: usize = 10_000;

/// See the module. Comes after types are coerced.
#[derive(Debug)]
pub(crate) struct PlainRows;

impl AnalyzerRule for PlainRows {
    fn name(&self) -> &'static str {
        "plain_rows"
    }

    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        let options = Arc::new(options.clone());
        let done = plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Projection(projection) => projected(projection, &options),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(done.data)
    }
}

type Rows = Vec<Vec<ScalarValue>>;

/// The projection over its input's rows with one more column for each call.
fn projected(
    projection: Projection,
    options: &Arc<ConfigOptions>,
) -> Result<Transformed<LogicalPlan>> {
    let mut calls: Vec<Expr> = Vec::new();
    for expr in &projection.expr {
        expr.apply(|e| {
            if is_call(e) && !calls.contains(e) {
                calls.push(e.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    // Of nested calls the outer one is enough.
    let nested = |call: &Expr| {
        calls.iter().any(|other| other != call && other.exists(|e| Ok(e == call)).unwrap_or(false))
    };
    let calls: Vec<Expr> = calls.iter().filter(|call| !nested(call)).cloned().collect();
    let unchanged = |projection| Ok(Transformed::no(LogicalPlan::Projection(projection)));
    if calls.is_empty() {
        return unchanged(projection);
    }
    // Plain folding does for the others, with functions that exist only as their simplification.
    let mut stuck = false;
    for call in &calls {
        stuck |= !call.column_refs().is_empty() || folded(call.clone(), options)?.is_none();
    }
    if !stuck {
        return unchanged(projection);
    }
    let Some(mut rows) = rows_of(&projection.input, options)? else { return unchanged(projection) };
    let schema = Arc::clone(projection.input.schema());
    let mut literals: Vec<Vec<Expr>> = Vec::with_capacity(rows.len());
    for row in &mut rows {
        let mut computed = Vec::with_capacity(calls.len());
        for call in &calls {
            match value(call, &schema, row, options)? {
                Some(value) => computed.push(value),
                None => return unchanged(projection),
            }
        }
        let all = row.iter().cloned().chain(computed);
        literals.push(all.map(|value| Expr::Literal(value, None)).collect());
    }
    let values = LogicalPlanBuilder::values(literals)?.build()?;
    let own = values.schema().columns();
    let kept = schema.iter().zip(&own).map(|((qualifier, field), column)| {
        Expr::Column(column.clone()).alias_qualified(qualifier.cloned(), field.name())
    });
    let name = |i: usize| format!("__trine_plain_{i}");
    let added = own.iter().skip(schema.fields().len()).enumerate();
    let added = added.map(|(i, column)| Expr::Column(column.clone()).alias(name(i)));
    let input = LogicalPlanBuilder::from(values.clone()).project(kept.chain(added))?.build()?;
    let replaced = |expr: Expr| {
        let title = expr.schema_name().to_string();
        let done = expr.transform_down(|e| {
            Ok(match calls.iter().position(|call| *call == e) {
                Some(i) => Transformed::yes(datafusion_expr::col(name(i))),
                None => Transformed::no(e),
            })
        })?;
        Ok(if done.transformed { done.data.alias(title) } else { done.data })
    };
    let exprs: Vec<Expr> = projection.expr.into_iter().map(replaced).collect::<Result<_>>()?;
    let plan = Projection::try_new(exprs, Arc::new(input))?;
    Ok(Transformed::yes(LogicalPlan::Projection(plan)))
}

/// Whether an expression can be computed here and nowhere else.
fn is_call(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(function) => {
            function.func.signature().volatility == Volatility::Immutable
                && !has_protocol(function.func.name())
                && Functions::shared().scalar.contains_key(function.func.name())
        }
        Expr::Like(Like { pattern, .. }) => !matches!(pattern.as_ref(), Expr::Literal(..)),
        _ => false,
    }
}

/// The rows of a relation that the statement writes out.
fn rows_of(plan: &LogicalPlan, options: &Arc<ConfigOptions>) -> Result<Option<Rows>> {
    match plan {
        LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Ok(Some(vec![Vec::new()])),
        LogicalPlan::Values(values) if values.values.len() <= ROWS_MAX => {
            let row = |row: &Vec<Expr>| {
                let cell = |expr: &Expr| folded(expr.clone(), options);
                row.iter().map(cell).collect::<Result<Option<Vec<_>>>>()
            };
            values.values.iter().map(row).collect()
        }
        LogicalPlan::SubqueryAlias(alias) => rows_of(&alias.input, options),
        LogicalPlan::Projection(projection) => {
            let Some(rows) = rows_of(&projection.input, options)? else { return Ok(None) };
            let schema = projection.input.schema();
            let row = |row: Vec<ScalarValue>| {
                let cell = |expr: &Expr| value(expr, schema, &row, options);
                projection.expr.iter().map(cell).collect::<Result<Option<Vec<_>>>>()
            };
            rows.into_iter().map(row).collect()
        }
        _ => Ok(None),
    }
}

/// The value of an expression in a row; `None` if it depends on anything else.
fn value(
    expr: &Expr,
    schema: &DFSchema,
    row: &[ScalarValue],
    options: &Arc<ConfigOptions>,
) -> Result<Option<ScalarValue>> {
    let filled = expr.clone().transform_down(|e| {
        let Expr::Column(column) = &e else { return Ok(Transformed::no(e)) };
        let known = schema.maybe_index_of_column(column).and_then(|i| row.get(i));
        Ok(known.map_or_else(
            || Transformed::no(e.clone()),
            |value| Transformed::yes(Expr::Literal(value.clone(), None)),
        ))
    })?;
    let called = filled.data.transform_up(|e| match e {
        Expr::ScalarFunction(function) if is_call(&Expr::ScalarFunction(function.clone())) => {
            called(function, options)
        }
        other => Ok(Transformed::no(other)),
    })?;
    folded(called.data, options)
}

/// The result of a function of constants.
fn called(function: ScalarFunction, options: &Arc<ConfigOptions>) -> Result<Transformed<Expr>> {
    let mut args = Vec::with_capacity(function.args.len());
    for arg in &function.args {
        match folded(arg.clone(), options)? {
            Some(value) => args.push(ColumnarValue::Scalar(value)),
            None => return Ok(Transformed::no(Expr::ScalarFunction(function))),
        }
    }
    if let Some(value) = folded(Expr::ScalarFunction(function.clone()), options)? {
        return Ok(Transformed::yes(Expr::Literal(value, None)));
    }
    let empty = DFSchema::empty();
    let mut arg_fields = Vec::with_capacity(args.len());
    for arg in &function.args {
        arg_fields.push(arg.to_field(&empty)?.1);
    }
    let whole = Expr::ScalarFunction(function.clone());
    let return_field = whole.to_field(&empty)?.1;
    let config_options = Arc::clone(options);
    let given =
        ScalarFunctionArgs { args, arg_fields, number_rows: 1, return_field, config_options };
    let value = match function.func.invoke_with_args(given)? {
        ColumnarValue::Scalar(value) => value,
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0)?,
    };
    Ok(Transformed::yes(Expr::Literal(value, None)))
}

fn folded(expr: Expr, options: &Arc<ConfigOptions>) -> Result<Option<ScalarValue>> {
    let schema = Arc::new(DFSchema::empty());
    let info = SimplifyContext::builder().with_schema(schema);
    let info = info.with_config_options(Arc::clone(options)).build();
    let mut simple = ExprSimplifier::new(info).simplify(expr)?;
    while let Expr::Alias(alias) = simple {
        simple = *alias.expr;
    }
    Ok(match simple {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    })
}
