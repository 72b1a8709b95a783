//! A projection over one that only picks columns (or constants) becomes one projection.

use crate::plan::{Expr, ExprKind, Operator, Plan};
use crate::planner::build;

/// See the module.
pub(super) fn apply(plan: Plan) -> Plan {
    let Plan { op, fields, rows } = plan;
    let op = match op {
        Operator::Project { input, exprs } => {
            let Plan { op, fields: below_fields, rows: below_rows } = *input;
            match op {
                Operator::Project { input: below, exprs: inner } if inner.iter().all(is_free) => {
                    let exprs = exprs.iter().map(|e| build::replaced(e, &inner)).collect();
                    Operator::Project { input: below, exprs }
                }
                op => {
                    let input = Plan { op, fields: below_fields, rows: below_rows };
                    Operator::Project { input: Box::new(input), exprs }
                }
            }
        }
        op => op,
    };
    Plan { op, fields, rows }
}

/// Costs nothing however often it is written.
fn is_free(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Column(_) | ExprKind::Literal(_))
}
