//! INTERVALs are compared as PostgreSQL compares them: a month is 30 days, a day 24 hours. DataFusion
//! compares their three parts one after the other. There are no columns of this type, so that every
//! comparison is one of constants.

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, lit};
use datafusion_optimizer::analyzer::AnalyzerRule;
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use std::sync::Arc;
use trine_proto::status::SqlError;

/// Nanoseconds of a day, and days of a month.
const DAY: i128 = 86_400_000_000_000;
const MONTH: i128 = 30 * DAY;

/// See the module. Comes after types are coerced.
#[derive(Debug)]
pub(crate) struct ComparedIntervals;

impl AnalyzerRule for ComparedIntervals {
    fn name(&self) -> &'static str {
        "compared_intervals"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_up(compared)?.update_data(|e| name.restore(e)))
            })
        })
        .map(|t| t.data)
    }
}

fn compared(expr: Expr) -> Result<Transformed<Expr>> {
    let (left, holds, right) = match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match comparison(*op) {
            Some(holds) if is_interval(left) || is_interval(right) => (left, holds, right),
            _ => return Ok(Transformed::no(expr)),
        },
        Expr::Between(between) if is_interval(&between.expr) => {
            return Err(unsupported("BETWEEN of intervals is not supported"));
        }
        Expr::InList(list) if is_interval(&list.expr) => {
            return Err(unsupported("IN of intervals is not supported"));
        }
        _ => return Ok(Transformed::no(expr)),
    };
    let found = holds(length(left)?, length(right)?);
    Ok(Transformed::yes(lit(ScalarValue::Boolean(found))))
}

/// Of two lengths, in SQL's logic.
type Comparison = fn(Option<i128>, Option<i128>) -> Option<bool>;

/// What an operator says of two lengths, if it compares.
fn comparison(op: Operator) -> Option<Comparison> {
    let holds: Comparison = match op {
        Operator::Eq => |x, y| Some(x? == y?),
        Operator::NotEq => |x, y| Some(x? != y?),
        Operator::Lt => |x, y| Some(x? < y?),
        Operator::LtEq => |x, y| Some(x? <= y?),
        Operator::Gt => |x, y| Some(x? > y?),
        Operator::GtEq => |x, y| Some(x? >= y?),
        Operator::IsDistinctFrom => |x, y| Some(x != y),
        Operator::IsNotDistinctFrom => |x, y| Some(x == y),
        _ => return None,
    };
    Some(holds)
}

fn is_interval(expr: &Expr) -> bool {
    // A column has another type, and without one the expression has a type by itself.
    expr.get_type(&DFSchema::empty()).is_ok_and(|ty| matches!(ty, DataType::Interval(_)))
}

/// The length that decides, in nanoseconds; NULL has none.
fn length(expr: &Expr) -> Result<Option<i128>> {
    let info = SimplifyContext::builder().with_schema(Arc::new(DFSchema::empty())).build();
    let month_day_nano = DataType::Interval(IntervalUnit::MonthDayNano);
    let value = match ExprSimplifier::new(info).simplify(expr.clone())? {
        Expr::Literal(value, _) => value.cast_to(&month_day_nano)?,
        _ => return Err(unsupported("only constant intervals can be compared")),
    };
    let ScalarValue::IntervalMonthDayNano(value) = value else { return Ok(None) };
    Ok(value.map(|v| {
        i128::from(v.months) * MONTH + i128::from(v.days) * DAY + i128::from(v.nanoseconds)
    }))
}

fn unsupported(message: &str) -> DataFusionError {
    let error = SqlError::unsupported(message, "compare dates or timestamps instead");
    DataFusionError::External(Box::new(error))
}
