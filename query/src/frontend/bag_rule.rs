//! INTERSECT ALL and EXCEPT ALL. DataFusion writes them as semi and anti joins of all columns, which
//! do not count how often a row occurs. Rows get a number among their equals on both sides, and the
//! number joins the key: the n-th copy of a row meets the n-th copy of the other side.

use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, JoinType, NullEquality, Result};
use datafusion_expr::expr::WindowFunction;
use datafusion_expr::logical_plan::{Distinct, Join};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, WindowFunctionDefinition};
use datafusion_functions_window::row_number::row_number_udwf;
use datafusion_optimizer::analyzer::AnalyzerRule;

/// Name of the row number, with a count behind it.
const NUMBER: &str = "__trine_number_";

/// See the module.
#[derive(Debug)]
pub(crate) struct CountedSets;

impl AnalyzerRule for CountedSets {
    fn name(&self) -> &'static str {
        "counted_sets"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut made = 0_u32;
        plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Join(join) if is_counted(&join) => {
                made += 1;
                Ok(Transformed::yes(counted(&join, made)?))
            }
            other => Ok(Transformed::no(other)),
        })
        .map(|t| t.data)
    }
}

/// Only set operations bind to a semi or anti join in which NULL equals NULL. Without ALL the left side
/// is distinct (and if the query itself made it so, counting changes nothing).
fn is_counted(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(Distinct::All(_)))
}

fn counted(join: &Join, number: u32) -> Result<LogicalPlan> {
    let name = format!("{NUMBER}{number}");
    let columns: Vec<Expr> = join.left.schema().columns().into_iter().map(Expr::Column).collect();
    let left = numbered(join.left.as_ref(), join.on.iter().map(|(l, _)| l), &name)?;
    let right = numbered(join.right.as_ref(), join.on.iter().map(|(_, r)| r), &name)?;
    let own = |plan: &LogicalPlan| Expr::Column(last_column(plan));
    let mut on = join.on.clone();
    on.push((own(&left), own(&right)));
    let joined = Join::try_new(
        left.into(),
        right.into(),
        on,
        join.filter.clone(),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    LogicalPlanBuilder::from(LogicalPlan::Join(joined)).project(columns)?.build()
}

fn last_column(plan: &LogicalPlan) -> Column {
    let schema = plan.schema();
    schema.columns().pop().unwrap_or_else(|| Column::from_name(NUMBER))
}

/// A side with the number of each row among its equals behind it.
fn numbered<'a>(
    side: &LogicalPlan,
    keys: impl Iterator<Item = &'a Expr>,
    name: &str,
) -> Result<LogicalPlan> {
    let mut call =
        WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number_udwf()), Vec::new());
    call.params.partition_by = keys.cloned().collect();
    let number = Expr::from(call).alias(name);
    LogicalPlanBuilder::from(side.clone()).window(vec![number])?.build()
}
