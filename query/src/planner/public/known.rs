//! Which columns of a relation are public: their values, row by row, whether the rows exist or not.

use super::all_exist;
use crate::clear::{eval, taken};
use crate::plan::{Expr, ExprKind, JoinMethod, Literal, Operator, Plan};
use crate::planner::{Planner, build};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trine_proto::schema::Secrecy;
use trine_proto::status::SqlError;

type Values = Arc<Vec<Literal>>;
type Known = Result<Option<Values>, SqlError>;

impl Planner<'_> {
    /// The values of a column; none where it is secret, or its rows do not keep their places.
    pub(super) fn known(&self, plan: &Plan, column: usize) -> Known {
        let rows = usize::try_from(plan.rows).unwrap_or(usize::MAX);
        let picked = |known: Known, rows: &[u32]| -> Known {
            Ok(known?.and_then(|values| taken(&values, rows.iter().map(|r| *r as usize))))
        };
        match &plan.op {
            Operator::Scan { table, schema, segments, columns, kept } => {
                let Some(position) = columns.get(column) else { return Ok(None) };
                let all = self.public.column(*table, schema, *position, segments);
                match kept {
                    Some(kept) => picked(all, kept.rows.rows()),
                    None => all,
                }
            }
            Operator::Values(values) => {
                let column: Option<Vec<Literal>> =
                    values.iter().map(|row| row.get(column).cloned()).collect();
                Ok(column.map(Arc::new))
            }
            Operator::Public { values, .. } => Ok(values.columns().get(column).cloned()),
            Operator::Filter { input, .. } => self.known(input, column),
            Operator::Project { input, exprs } => match exprs.get(column) {
                Some(expr) => self.known_expression(input, expr),
                None => Ok(None),
            },
            Operator::PublicFilter { input, kept } => {
                picked(self.known(input, column), kept.rows.rows())
            }
            Operator::PublicColumns { input, values } => {
                match column.checked_sub(input.fields.len()) {
                    Some(further) => Ok(values.columns().get(further).cloned()),
                    None => self.known(input, column),
                }
            }
            Operator::PublicAggregate { keys, .. } => Ok(keys.columns().get(column).cloned()),
            Operator::PublicJoin { left, right, left_rows, right_rows, .. } => {
                match column.checked_sub(left.fields.len()) {
                    Some(column) => picked(self.known(right, column), right_rows.rows()),
                    None => picked(self.known(left, column), left_rows.rows()),
                }
            }
            Operator::CrossJoin { left, right } => {
                let (l, r) = (left.rows.max(1), right.rows);
                let place = |row: usize, of: u64| usize::try_from(of).map_or(0, |of| row % of);
                match column.checked_sub(left.fields.len()) {
                    Some(column) => {
                        let l = usize::try_from(l).unwrap_or(usize::MAX);
                        let known = self.known(right, column)?.filter(|_| r > 0);
                        Ok(known.and_then(|v| taken(&v, (0..rows).map(|row| row / l))))
                    }
                    None => {
                        let known = self.known(left, column)?;
                        Ok(known.and_then(|v| taken(&v, (0..rows).map(|row| place(row, l)))))
                    }
                }
            }
            Operator::OneRowJoin { input, one } => match column.checked_sub(input.fields.len()) {
                Some(column) if one.rows == 1 && all_exist(one) => {
                    let known = self.known(one, column)?;
                    Ok(known.and_then(|v| taken(&v, (0..rows).map(|_| 0))))
                }
                Some(_) => Ok(None),
                None => self.known(input, column),
            },
            // Rows of the many side stay where they are.
            Operator::UniqueKeyJoin { many, method, .. } => {
                if column < many.fields.len() && *method != JoinMethod::Merge {
                    self.known(many, column)
                } else {
                    Ok(None)
                }
            }
            Operator::PairAggregate { left, .. } if column < left.fields.len() => {
                self.known(left, column)
            }
            Operator::UnionAll(parts) => {
                let mut all = Vec::with_capacity(rows);
                for part in parts {
                    let Some(values) = self.known(part, column)? else { return Ok(None) };
                    all.extend(values.iter().cloned());
                }
                Ok(Some(Arc::new(all)))
            }
            Operator::PairAggregate { .. }
            | Operator::ScalarAggregate { .. }
            | Operator::SmallDomainAggregate { .. }
            | Operator::SortAggregate { .. }
            | Operator::Window { .. }
            | Operator::Sort { .. }
            | Operator::Limit { .. }
            | Operator::Again { .. }
            | Operator::Reveal { .. } => Ok(None),
        }
    }

    /// The values of an expression over public columns alone, if no row fails.
    pub(super) fn known_expression(&self, input: &Plan, expr: &Expr) -> Known {
        if !is_public_expression(input, expr) {
            return Ok(None);
        }
        if let ExprKind::Column(column) = &expr.kind {
            return self.known(input, *column);
        }
        let Some(cells) = self.cells(input, expr)? else { return Ok(None) };
        let rows = usize::try_from(input.rows).unwrap_or(usize::MAX);
        let values: Result<Vec<Literal>, _> =
            (0..rows).map(|row| eval(expr, &|c| cells.get(&c)?.get(row))).collect();
        let fits = |values: &Vec<Literal>| {
            values.iter().all(|v| {
                (expr.nullable || *v != Literal::Null)
                    && crate::bits::literal_bits(v, &expr.ty).is_ok()
            })
        };
        Ok(values.ok().filter(fits).map(Arc::new))
    }

    /// The columns that an expression reads, if all are public.
    pub(super) fn cells(
        &self,
        input: &Plan,
        expr: &Expr,
    ) -> Result<Option<BTreeMap<usize, Values>>, SqlError> {
        let mut columns = BTreeSet::new();
        build::columns_of(expr, &mut columns);
        let mut cells = BTreeMap::new();
        if !columns.iter().all(|column| is_public(input, *column)) {
            return Ok(None);
        }
        for column in columns {
            let Some(values) = self.known(input, column)? else { return Ok(None) };
            cells.insert(column, values);
        }
        Ok(Some(cells))
    }
}

/// Whether a column could be known, by where it comes from alone: looked at before any value is.
pub(super) fn is_public(plan: &Plan, column: usize) -> bool {
    let beside = |left: &Plan, right: &Plan| match column.checked_sub(left.fields.len()) {
        Some(column) => is_public(right, column),
        None => is_public(left, column),
    };
    match &plan.op {
        Operator::Scan { schema, columns, .. } => columns
            .get(column)
            .and_then(|position| schema.columns.get(*position))
            .is_some_and(|c| c.secrecy == Secrecy::Public),
        Operator::Values(_) | Operator::Public { .. } => true,
        Operator::Filter { input, .. } | Operator::PublicFilter { input, .. } => {
            is_public(input, column)
        }
        Operator::Project { input, exprs } => {
            exprs.get(column).is_some_and(|expr| is_public_expression(input, expr))
        }
        Operator::PublicColumns { input, .. } => {
            column >= input.fields.len() || is_public(input, column)
        }
        Operator::PublicAggregate { keys, .. } => column < keys.columns().len(),
        Operator::PublicJoin { left, right, .. } | Operator::CrossJoin { left, right } => {
            beside(left, right)
        }
        Operator::OneRowJoin { input, one } => beside(input, one),
        Operator::UniqueKeyJoin { many: left, .. } | Operator::PairAggregate { left, .. } => {
            column < left.fields.len() && is_public(left, column)
        }
        Operator::UnionAll(parts) => parts.iter().all(|part| is_public(part, column)),
        Operator::ScalarAggregate { .. }
        | Operator::SmallDomainAggregate { .. }
        | Operator::SortAggregate { .. }
        | Operator::Window { .. }
        | Operator::Sort { .. }
        | Operator::Limit { .. }
        | Operator::Again { .. }
        | Operator::Reveal { .. } => false,
    }
}

fn is_public_expression(input: &Plan, expr: &Expr) -> bool {
    let mut columns = BTreeSet::new();
    build::columns_of(expr, &mut columns);
    columns.iter().all(|column| is_public(input, *column))
}
