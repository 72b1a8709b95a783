//! Statistics take exact numbers: type coercion casts their arguments to DOUBLE, and two statistics of one
//! column would share the cast as a column of its own, where nothing tells any more what it was made of.

use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_optimizer::analyzer::AnalyzerRule;

/// See the module.
#[derive(Debug)]
pub(crate) struct ExactArguments;

impl AnalyzerRule for ExactArguments {
    fn name(&self) -> &'static str {
        "exact_arguments"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            if !matches!(node, LogicalPlan::Aggregate(_)) {
                return Ok(Transformed::no(node));
            }
            node.map_expressions(|expr| expr.transform_up(|e| Ok(uncast(e))))
        })
        .map(|t| t.data)
    }
}

/// Whether an aggregate is DOUBLE whatever numbers it is given.
fn is_statistic(name: &str) -> bool {
    ["var", "stddev", "covar", "corr", "regr_"].iter().any(|start| name.starts_with(start))
}

fn uncast(expr: Expr) -> Transformed<Expr> {
    let Expr::AggregateFunction(mut call) = expr else { return Transformed::no(expr) };
    let mut changed = false;
    if is_statistic(call.func.name()) {
        for argument in &mut call.params.args {
            if let Expr::Cast(cast) = argument
                && matches!(cast.field.data_type(), DataType::Float64)
                && matches!(cast.expr.as_ref(), Expr::Column(_) | Expr::BinaryExpr(_))
            {
                *argument = cast.expr.as_ref().clone();
                changed = true;
            }
        }
    }
    let call = Expr::AggregateFunction(call);
    if changed { Transformed::yes(call) } else { Transformed::no(call) }
}
