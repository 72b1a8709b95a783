//! Constant arithmetic that leaves its type is an error, as in PostgreSQL. DataFusion's folding
//! would wrap around without a word.

use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion_optimizer::analyzer::AnalyzerRule;
use trine_proto::status::{SqlError, sqlstate};

/// See the module.
#[derive(Debug)]
pub(crate) struct CheckedLiterals;

impl AnalyzerRule for CheckedLiterals {
    fn name(&self) -> &'static str {
        "checked_literals"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|e| {
                    if matches!(e, Expr::BinaryExpr(_) | Expr::Negative(_)) {
                        value(e)?;
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        Ok(plan)
    }
}

/// An integer constant with the range of its type.
struct Constant {
    value: i128,
    low: i128,
    high: i128,
    name: &'static str,
}

impl Constant {
    fn checked(self) -> Result<Self> {
        if (self.low..=self.high).contains(&self.value) {
            return Ok(self);
        }
        let error = SqlError::new(
            sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("{} out of range", self.name),
        )
        .hint("CAST one operand to DECIMAL");
        Err(DataFusionError::External(Box::new(error)))
    }
}

fn value(expr: &Expr) -> Result<Option<Constant>> {
    match expr {
        Expr::Literal(scalar, _) => Ok(literal(scalar)),
        Expr::Cast(cast) => Ok(value(&cast.expr)?.and_then(|inner| {
            let target = literal(&ScalarValue::try_from(cast.field.data_type()).ok()?);
            target.map(|t| Constant { value: inner.value, ..t })
        })),
        Expr::Alias(alias) => value(&alias.expr),
        Expr::Negative(inner) => match value(inner)? {
            Some(x) => Constant { value: -x.value, ..x }.checked().map(Some),
            None => Ok(None),
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (Some(x), Some(y)) = (value(left)?, value(right)?) else { return Ok(None) };
            let result = match op {
                Operator::Plus => x.value + y.value,
                Operator::Minus => x.value - y.value,
                Operator::Multiply => x.value * y.value,
                _ => return Ok(None),
            };
            let wider = if x.high >= y.high { x } else { y };
            Constant { value: result, ..wider }.checked().map(Some)
        }
        _ => Ok(None),
    }
}

/// A typed NULL counts as 0: only the type matters then.
fn literal(scalar: &ScalarValue) -> Option<Constant> {
    macro_rules! constant {
        ($v:expr, $t:ty, $name:literal) => {
            Some(Constant {
                value: i128::from($v.unwrap_or_default()),
                low: i128::from(<$t>::MIN),
                high: i128::from(<$t>::MAX),
                name: $name,
            })
        };
    }
    match scalar {
        ScalarValue::Int8(v) => constant!(v, i8, "tinyint"),
        ScalarValue::Int16(v) => constant!(v, i16, "smallint"),
        ScalarValue::Int32(v) => constant!(v, i32, "integer"),
        ScalarValue::Int64(v) => constant!(v, i64, "bigint"),
        ScalarValue::UInt64(v) => constant!(v, u64, "bigint"),
        _ => None,
    }
}
