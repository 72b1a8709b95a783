//! Project: one column per expression; a column that nobody wants is not computed.

use crate::column::Column;
use crate::error::Result;
use crate::expr::eval;
use crate::plan::Expr;
use crate::relation::Relation;
use crate::want::Want;
use trine_mpc::Session;

/// Costs the expressions; reveals nothing.
pub(crate) fn project(
    mut input: Relation,
    exprs: &[Expr],
    wants: &[Want],
    s: &mut Session,
) -> Result<Relation> {
    let mut columns = Vec::with_capacity(exprs.len());
    for (expr, want) in exprs.iter().zip(wants) {
        columns.push(if want.used {
            eval(expr, &mut input, s, *want)?
        } else {
            Column::from_parts(expr.ty.clone(), input.rows, None, None, None)
        });
    }
    Ok(Relation { rows: input.rows, valid: input.valid, columns })
}
