//! Operators over plain rows.

use super::Beyond;
use super::aggregate::total;
use super::expr::{eval, fits, is_true};
use crate::plan::{Aggregate, Expr, JoinKind, Literal, Operator, Plan, PublicRows, SortKey};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Values (rows times columns) of a relation in the clear, at most.
const VALUES_MAX: usize = 1 << 25;

/// A relation of plain rows.
#[derive(Clone, Debug)]
pub(crate) struct Clear {
    /// Values.
    pub(crate) values: PublicRows,
    /// Whether they stand in the order of a Sort.
    pub(crate) ordered: bool,
}

type Column = Arc<Vec<Literal>>;
type Made = Result<Clear, Beyond>;

impl Clear {
    fn new(rows: usize, columns: Vec<Column>) -> Made {
        let values = PublicRows::new(rows, columns).ok_or(Beyond)?;
        Ok(Self { values, ordered: false })
    }

    fn of_rows(width: usize, rows: Vec<Vec<Literal>>) -> Made {
        let count = rows.len();
        let mut columns: Vec<Vec<Literal>> = vec![Vec::with_capacity(count); width];
        for row in rows {
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        Self::new(count, columns.into_iter().map(Arc::new).collect())
    }

    fn rows(&self) -> usize {
        self.values.rows()
    }

    fn cell(&self, row: usize, column: usize) -> Option<&Literal> {
        self.values.columns().get(column)?.get(row)
    }

    fn row(&self, row: usize) -> Vec<Literal> {
        self.values.columns().iter().filter_map(|c| c.get(row)).cloned().collect()
    }

    fn taken(&self, rows: &[usize]) -> Made {
        let columns = self.values.columns().iter().map(|c| taken(c, rows.iter().copied()));
        let columns = columns.collect::<Option<Vec<_>>>().ok_or(Beyond)?;
        let taken = Self::new(rows.len(), columns)?;
        Ok(Self { ordered: self.ordered, ..taken })
    }

    /// Left columns, then right ones, of the same number of rows.
    fn beside(&self, right: &Self) -> Made {
        let columns = self.values.columns().iter().chain(right.values.columns());
        let both = Self::new(self.rows(), columns.cloned().collect())?;
        Ok(Self { ordered: self.ordered, ..both })
    }
}

/// The values at these positions; none where one is not there.
pub(crate) fn taken(column: &Column, rows: impl ExactSizeIterator<Item = usize>) -> Option<Column> {
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        out.push(column.get(row)?.clone());
    }
    Some(Arc::new(out))
}

/// One operator over its inputs. Rows without an order come in one that follows from the values.
///
/// # Errors
/// [`Beyond`].
pub(crate) fn evaluate(plan: &Plan, inputs: &[Clear]) -> Made {
    let input = || inputs.first().ok_or(Beyond);
    let right = || inputs.get(1).ok_or(Beyond);
    let made = match &plan.op {
        Operator::Values(rows) => Clear::of_rows(plan.fields.len(), rows.clone())?,
        Operator::Filter { predicate, .. } => filter(input()?, predicate)?,
        Operator::Project { exprs, .. } => project(input()?, exprs)?,
        Operator::UnionAll(_) => union(plan.fields.len(), inputs)?,
        Operator::ScalarAggregate { aggregates, .. } => {
            let all: Vec<usize> = (0..input()?.rows()).collect();
            Clear::of_rows(aggregates.len(), vec![totals(input()?, aggregates, &all)?])?
        }
        Operator::SmallDomainAggregate { keys, aggregates, .. }
        | Operator::SortAggregate { keys, aggregates, .. } => group(input()?, keys, aggregates)?,
        Operator::UniqueKeyJoin { .. } => join(plan, input()?, right()?)?,
        Operator::CrossJoin { .. } => cross(input()?, right()?)?,
        Operator::PairAggregate { condition, aggregates, .. } => {
            pair_aggregate(input()?, right()?, condition.as_ref(), aggregates)?
        }
        Operator::OneRowJoin { .. } => one_row(input()?, right()?)?,
        Operator::Sort { keys, .. } => {
            let rows = usize::try_from(plan.rows).map_err(|_| Beyond)?;
            sort(input()?, keys, rows)?
        }
        Operator::Limit { skip, fetch, .. } => limit(input()?, *skip, *fetch)?,
        Operator::PublicFilter { kept, .. } => {
            input()?.taken(&kept.rows.rows().iter().map(|r| *r as usize).collect::<Vec<_>>())?
        }
        Operator::PublicColumns { values, .. } => {
            input()?.beside(&Clear { values: values.clone(), ordered: false })?
        }
        Operator::PublicJoin { left_rows, right_rows, .. } => {
            let places = |rows: &[u32]| rows.iter().map(|r| *r as usize).collect::<Vec<_>>();
            let left = input()?.taken(&places(left_rows.rows()))?;
            let both = left.beside(&right()?.taken(&places(right_rows.rows()))?)?;
            Clear { ordered: false, ..both }
        }
        Operator::Public { values, ordered, .. } => {
            Clear { values: values.clone(), ordered: *ordered }
        }
        Operator::Scan { .. }
        | Operator::PublicAggregate { .. }
        | Operator::Window { .. }
        | Operator::Again { .. }
        | Operator::Reveal { .. } => return Err(Beyond),
    };
    let columns = made.values.columns();
    let fit = columns.len() == plan.fields.len()
        && columns.iter().zip(&plan.fields).all(|(column, field)| {
            column.iter().all(|v| fits(v, &field.ty) && (field.nullable || *v != Literal::Null))
        });
    if fit { Ok(made) } else { Err(Beyond) }
}

/// Refuses what would take too much memory.
fn affordable(rows: usize, columns: usize) -> Result<(), Beyond> {
    rows.checked_mul(columns.max(1)).filter(|n| *n <= VALUES_MAX).map(drop).ok_or(Beyond)
}

fn filter(input: &Clear, predicate: &Expr) -> Made {
    let mut kept = Vec::new();
    for row in 0..input.rows() {
        if is_true(predicate, &|c| input.cell(row, c))? {
            kept.push(row);
        }
    }
    input.taken(&kept)
}

fn project(input: &Clear, exprs: &[Expr]) -> Made {
    let mut columns = Vec::with_capacity(exprs.len());
    for expr in exprs {
        let mut column = Vec::with_capacity(input.rows());
        for row in 0..input.rows() {
            column.push(eval(expr, &|c| input.cell(row, c))?);
        }
        columns.push(Arc::new(column));
    }
    let projected = Clear::new(input.rows(), columns)?;
    Ok(Clear { ordered: input.ordered, ..projected })
}

fn union(width: usize, inputs: &[Clear]) -> Made {
    let mut columns = Vec::with_capacity(width);
    for column in 0..width {
        let mut all = Vec::new();
        for input in inputs {
            all.extend(input.values.columns().get(column).ok_or(Beyond)?.iter().cloned());
        }
        columns.push(Arc::new(all));
    }
    Clear::new(inputs.iter().map(Clear::rows).sum(), columns)
}

fn totals(input: &Clear, aggregates: &[Aggregate], rows: &[usize]) -> Result<Vec<Literal>, Beyond> {
    aggregates.iter().map(|a| total(a, rows, &|row, c| input.cell(row, c))).collect()
}

fn keys_of(input: &Clear, keys: &[Expr], row: usize) -> Result<Vec<Literal>, Beyond> {
    keys.iter().map(|key| eval(key, &|c| input.cell(row, c))).collect()
}

fn group(input: &Clear, keys: &[Expr], aggregates: &[Aggregate]) -> Made {
    let mut groups: BTreeMap<Vec<Literal>, Vec<usize>> = BTreeMap::new();
    for row in 0..input.rows() {
        groups.entry(keys_of(input, keys, row)?).or_default().push(row);
    }
    let mut rows = Vec::with_capacity(groups.len());
    for (mut key, members) in groups {
        key.extend(totals(input, aggregates, &members)?);
        rows.push(key);
    }
    Clear::of_rows(keys.len() + aggregates.len(), rows)
}

/// Rows by key, without those that have a NULL in it.
fn by_key(input: &Clear, keys: &[Expr]) -> Result<BTreeMap<Vec<Literal>, Vec<usize>>, Beyond> {
    let mut places: BTreeMap<Vec<Literal>, Vec<usize>> = BTreeMap::new();
    for row in 0..input.rows() {
        let key = keys_of(input, keys, row)?;
        if !key.contains(&Literal::Null) {
            places.entry(key).or_default().push(row);
        }
    }
    Ok(places)
}

fn join(plan: &Plan, many: &Clear, unique: &Clear) -> Made {
    let Operator::UniqueKeyJoin { kind, many_keys, unique_keys, residual, .. } = &plan.op else {
        return Err(Beyond);
    };
    let width = many.values.columns().len();
    let places = by_key(unique, unique_keys)?;
    let nulls = vec![Literal::Null; unique.values.columns().len()];
    let mut rows = Vec::new();
    for row in 0..many.rows() {
        let mut hit = None;
        for other in places.get(&keys_of(many, many_keys, row)?).into_iter().flatten() {
            let cell = |c: usize| match c.checked_sub(width) {
                Some(c) => unique.cell(*other, c),
                None => many.cell(row, c),
            };
            let meets = match residual {
                Some(residual) => is_true(residual, &cell)?,
                None => true,
            };
            if meets {
                hit = Some(*other);
                break;
            }
        }
        let mut own = many.row(row);
        match (kind, hit) {
            (JoinKind::Inner | JoinKind::Left, Some(other)) => own.extend(unique.row(other)),
            (JoinKind::Left, None) => own.extend(nulls.iter().cloned()),
            (JoinKind::Semi, Some(_)) | (JoinKind::Anti, None) => {}
            (JoinKind::Inner | JoinKind::Semi, None) | (JoinKind::Anti, Some(_)) => continue,
        }
        rows.push(own);
    }
    Clear::of_rows(plan.fields.len(), rows)
}

/// Row r * (left rows) + l is left row l beside right row r.
fn cross(left: &Clear, right: &Clear) -> Made {
    let rows = left.rows().checked_mul(right.rows()).ok_or(Beyond)?;
    affordable(rows, left.values.columns().len() + right.values.columns().len())?;
    let of_left: Vec<usize> = (0..right.rows()).flat_map(|_| 0..left.rows()).collect();
    let of_right: Vec<usize> =
        (0..right.rows()).flat_map(|r| std::iter::repeat_n(r, left.rows())).collect();
    let both = left.taken(&of_left)?.beside(&right.taken(&of_right)?)?;
    Ok(Clear { ordered: false, ..both })
}

fn pair_aggregate(
    left: &Clear,
    right: &Clear,
    condition: Option<&Expr>,
    aggregates: &[Aggregate],
) -> Made {
    let width = left.values.columns().len();
    affordable(left.rows().saturating_mul(right.rows()), 1)?;
    let mut rows = Vec::with_capacity(left.rows());
    for row in 0..left.rows() {
        let cell = |other: usize, c: usize| match c.checked_sub(width) {
            Some(c) => right.cell(other, c),
            None => left.cell(row, c),
        };
        let mut met = Vec::new();
        for other in 0..right.rows() {
            let meets = match condition {
                Some(condition) => is_true(condition, &|c| cell(other, c))?,
                None => true,
            };
            if meets {
                met.push(other);
            }
        }
        let mut own = left.row(row);
        for aggregate in aggregates {
            own.push(total(aggregate, &met, &cell)?);
        }
        rows.push(own);
    }
    Clear::of_rows(width + aggregates.len(), rows)
}

fn one_row(input: &Clear, one: &Clear) -> Made {
    let beside = match one.rows() {
        0 => vec![Literal::Null; one.values.columns().len()],
        1 => one.row(0),
        _ => return Err(Beyond),
    };
    let columns = beside.into_iter().map(|v| Arc::new(vec![v; input.rows()])).collect();
    input.beside(&Clear::new(input.rows(), columns)?)
}

fn compared(key: &SortKey, x: &Literal, y: &Literal) -> Ordering {
    let first = |is_first: bool| if is_first { Ordering::Less } else { Ordering::Greater };
    match (x == &Literal::Null, y == &Literal::Null) {
        (true, true) => Ordering::Equal,
        (true, false) => first(key.nulls_first),
        (false, true) => first(!key.nulls_first),
        (false, false) if key.descending => y.cmp(x),
        (false, false) => x.cmp(y),
    }
}

/// Ties are broken by the values of the whole row: the order of storage would show who owned a row.
fn sort(input: &Clear, keys: &[SortKey], rows: usize) -> Made {
    let mut order = Vec::with_capacity(input.rows());
    for row in 0..input.rows() {
        let key: Result<Vec<Literal>, Beyond> =
            keys.iter().map(|k| eval(&k.expr, &|c| input.cell(row, c))).collect();
        order.push((key?, row));
    }
    order.sort_by(|(x, i), (y, j)| {
        let by_keys = keys.iter().zip(x.iter().zip(y)).map(|(key, (x, y))| compared(key, x, y));
        by_keys.fold(Ordering::Equal, Ordering::then).then_with(|| by_content(input, *i, *j))
    });
    let order: Vec<usize> = order.into_iter().take(rows).map(|(_, row)| row).collect();
    Ok(Clear { ordered: true, ..input.taken(&order)? })
}

fn by_content(input: &Clear, i: usize, j: usize) -> Ordering {
    let cells = |row: usize| input.values.columns().iter().map(move |c| c.get(row));
    cells(i).cmp(cells(j))
}

/// Without an order: the first by content.
fn limit(input: &Clear, skip: u64, fetch: Option<u64>) -> Made {
    let mut order: Vec<usize> = (0..input.rows()).collect();
    if !input.ordered {
        order.sort_by(|i, j| by_content(input, *i, *j));
    }
    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let kept: Vec<usize> =
        order.into_iter().skip(at(skip)).take(fetch.map_or(usize::MAX, at)).collect();
    input.taken(&kept)
}

/// Positions of all pairs of rows whose keys are equal and not NULL, by left row; none if they are more
/// than `most`. A key is given by its columns.
pub(crate) fn pairs(left: &[Column], right: &[Column], most: u64) -> Option<Vec<(u32, u32)>> {
    let key = |columns: &[Column], row: usize| -> Option<Vec<Literal>> {
        let key: Vec<Literal> =
            columns.iter().map(|c| c.get(row).cloned()).collect::<Option<_>>()?;
        (!key.contains(&Literal::Null)).then_some(key)
    };
    let rows = |columns: &[Column]| columns.first().map_or(0, |c| c.len());
    let mut places: BTreeMap<Vec<Literal>, Vec<u32>> = BTreeMap::new();
    for row in 0..rows(right) {
        if let Some(key) = key(right, row) {
            places.entry(key).or_default().push(u32::try_from(row).ok()?);
        }
    }
    let mut found = Vec::new();
    for row in 0..rows(left) {
        let Some(others) = key(left, row).and_then(|key| places.get(&key)) else { continue };
        if found.len() as u64 + others.len() as u64 > most {
            return None;
        }
        let row = u32::try_from(row).ok()?;
        found.extend(others.iter().map(|other| (row, *other)));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ExprKind, Field};
    use crate::types::{NumberKind, Type};

    fn int() -> Type {
        Type::Number { kind: NumberKind::BigInt, low: -1000, high: 1000 }
    }
    fn column(index: usize) -> Expr {
        Expr { kind: ExprKind::Column(index), ty: int(), nullable: true }
    }
    fn of(rows: &[&[Option<i128>]]) -> Clear {
        let width = rows.first().map_or(0, |r| r.len());
        let value = |v: &Option<i128>| v.map_or(Literal::Null, Literal::Number);
        let rows = rows.iter().map(|r| r.iter().map(value).collect()).collect();
        Clear::of_rows(width, rows).unwrap()
    }
    fn shown(clear: &Clear) -> Vec<Vec<Option<i128>>> {
        let value = |v: Literal| match v {
            Literal::Number(v) => Some(v),
            _ => None,
        };
        (0..clear.rows()).map(|r| clear.row(r).into_iter().map(value).collect()).collect()
    }

    #[test]
    fn ties_and_limits_follow_from_content_not_from_storage() {
        let keys = [SortKey { expr: column(0), descending: true, nulls_first: false }];
        let a = of(&[&[Some(1), Some(9)], &[None, Some(2)], &[Some(1), Some(3)], &[Some(4), None]]);
        let b = of(&[&[Some(4), None], &[Some(1), Some(3)], &[Some(1), Some(9)], &[None, Some(2)]]);
        let sorted = shown(&sort(&a, &keys, 3).unwrap());
        assert_eq!(sorted, shown(&sort(&b, &keys, 3).unwrap()));
        assert_eq!(sorted, [[Some(4), None], [Some(1), Some(3)], [Some(1), Some(9)]]);
        assert_eq!(shown(&limit(&a, 1, Some(2)).unwrap()), shown(&limit(&b, 1, Some(2)).unwrap()));
    }

    #[test]
    fn nulls_group_together_and_never_join() {
        let rows = of(&[&[None], &[Some(1)], &[None]]);
        let count = Aggregate {
            function: crate::plan::Function::CountStar,
            argument: None,
            filter: None,
            distinct: false,
            ty: int(),
            nullable: false,
        };
        let grouped = group(&rows, &[column(0)], &[count]).unwrap();
        assert_eq!(shown(&grouped), [[None, Some(2)], [Some(1), Some(1)]]);
        let keys = rows.values.columns();
        assert_eq!(pairs(keys, keys, 10), Some(vec![(1, 1)]));
        assert_eq!(pairs(keys, keys, 0), None);
    }

    #[test]
    fn a_value_that_is_none_of_its_type_is_left_to_others() {
        let narrow = Type::Number { kind: NumberKind::BigInt, low: 0, high: 1 };
        let fields = vec![Field { name: "x".into(), ty: narrow, nullable: true }];
        let input = Plan { op: Operator::Values(Vec::new()), fields: fields.clone(), rows: 1 };
        let op = Operator::Project { input: Box::new(input), exprs: vec![column(0)] };
        let plan = Plan { op, fields, rows: 1 };
        assert!(evaluate(&plan, &[of(&[&[Some(1)]])]).is_ok());
        assert_eq!(evaluate(&plan, &[of(&[&[Some(2)]])]).unwrap_err(), Beyond);
    }
}
