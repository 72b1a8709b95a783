//! COUNT, SUM, AVG, BOOL_AND, BOOL_OR over frames: differences of prefix sums.

use super::frame::Rows;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::ops::contributions::contributions;
use crate::ops::finish::{Count, Totals, finish};
use crate::ops::measure::Measures;
use crate::plan::{Aggregate, Expr, ExprKind, Frame};
use crate::relation::Relation;
use trine_mpc::{Planes, Session};

/// One bit conversion and one product a value, then local prefix sums; carries where the frame ends at
/// borders of partitions or peers.
pub(super) fn total(
    aggregate: &Aggregate,
    argument: Option<Column>,
    counts: Planes,
    frame: Frame,
    relation: &Relation,
    rows: &mut Rows,
    s: &mut Session,
) -> Result<Column> {
    // What contributes is known already: the aggregate over the sorted argument alone, in rows that
    // are valid where they contribute.
    let argument_expr = argument.as_ref().map(|column| Expr {
        kind: ExprKind::Column(0),
        ty: column.ty.clone(),
        nullable: false,
    });
    let plain = Aggregate { argument: argument_expr, filter: None, ..aggregate.clone() };
    let columns = argument.into_iter().collect();
    let mut own = Relation { rows: relation.rows, valid: Some(counts), columns };
    let mut measures = Measures::new(&own, false);
    measures.add(&plain, &mut own, s)?;
    let (counts, sums) = contributions(&measures.classes, &measures.sums, own.rows, s)?;
    let split = counts.len();
    let added: Vec<_> = counts.into_iter().chain(sums).collect();
    let mut all = rows.sums(&added, frame, s)?;
    let sums = all.split_off(split);
    let totals = Totals {
        groups: own.rows,
        rows_max: u64::try_from(own.rows).map_err(|_| QueryError::bug("more rows than memory"))?,
        counts: all.iter().map(|c| Count::Secret(c.low64())).collect(),
        sums,
        valid_is_never_empty: false,
    };
    let (mut columns, _) = finish(&[&plain], &measures.outputs, &totals, false, s)?;
    columns.pop().ok_or_else(|| QueryError::bug("an aggregate without a column"))
}
