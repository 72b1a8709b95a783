//! Places that rewriting must not cross, marked by a LIMIT that is never reached.
//!
//! * DISTINCT ON: a condition above it chooses among the rows that were picked; pushed below, it would
//!   change which are picked.
//! * A correlated scalar subquery without an aggregate: its one row becomes FIRST_VALUE, which the
//!   planner computes with the check that there is no second row. Only rows that the outer row sees
//!   count, so that it must not become a join.

use super::functions::Functions;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DataFusionError, Result};
use datafusion_expr::logical_plan::{Aggregate, Distinct, Filter, Limit, Subquery};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion_optimizer::analyzer::AnalyzerRule;
use std::sync::Arc;

/// The aggregate that stands for the value of the only row.
pub(crate) const ONLY_VALUE: &str = "first_value";

/// See the module.
#[derive(Debug)]
pub(crate) struct Fences;

impl AnalyzerRule for Fences {
    fn name(&self) -> &'static str {
        "fences"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            let node = node.map_expressions(|expr| expr.transform_up(single))?;
            Ok(match node.data {
                distinct @ LogicalPlan::Distinct(Distinct::On(_)) => {
                    Transformed::yes(fenced(distinct))
                }
                other => Transformed::new(other, node.transformed, TreeNodeRecursion::Continue),
            })
        })
        .map(|t| t.data)
    }
}

fn fenced(plan: LogicalPlan) -> LogicalPlan {
    let fetch = Some(Box::new(lit(i64::MAX)));
    LogicalPlan::Limit(Limit { skip: None, fetch, input: Arc::new(plan) })
}

/// A scalar subquery that may have several rows.
fn single(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::ScalarSubquery(subquery) = expr else { return Ok(Transformed::no(expr)) };
    let inner = subquery.subquery.as_ref();
    let columns = inner.schema().columns();
    let [column] = columns.as_slice() else {
        return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
    };
    if subquery.outer_ref_columns.is_empty() || at_most_one(inner) {
        return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
    }
    let function = Functions::shared().aggregate.get(ONLY_VALUE).ok_or_else(|| {
        DataFusionError::Internal("an aggregate of DataFusion is missing".to_owned())
    })?;
    let name = column.name.clone();
    let only = function.call(vec![Expr::Column(column.clone())]);
    let plan = LogicalPlanBuilder::from(fenced(inner.clone()))
        .aggregate(Vec::<Expr>::new(), vec![only])?
        .build()?;
    let value = Expr::Column(Column::from(plan.schema().qualified_field(0))).alias(name);
    let plan = LogicalPlanBuilder::from(plan).project(vec![value])?.build()?;
    let subquery = Subquery { subquery: Arc::new(plan), ..subquery };
    Ok(Transformed::yes(Expr::ScalarSubquery(subquery)))
}

/// Whether a subquery has one row at most by its form.
fn at_most_one(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => at_most_one(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => at_most_one(&alias.input),
        LogicalPlan::Filter(Filter { input, .. }) => at_most_one(input),
        LogicalPlan::Aggregate(Aggregate { group_expr, .. }) => group_expr.is_empty(),
        other => other.max_rows().is_some_and(|rows| rows <= 1),
    }
}
