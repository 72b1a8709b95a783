//! Joins: equality with a side on which the key is unique, or with a relation of one row.

use super::aggregate::{comparable_keys, count_not_null, counted, with_marker};
use super::build;
use super::relation::{beside, filtered, limited, narrowed, picked, project};
use super::scalar::{Scope, defect};
use super::unique::{at_most_one, exactly_one, is_unique};
use super::{Planner, check_rows};
use crate::plan::{Compare, Expr, ExprKind, Field, JoinKind, Operator, Plan};
use datafusion_common::{JoinType, NullEquality};
use datafusion_expr::logical_plan::{Filter, Join};
use datafusion_expr::{Expr as Logical, LogicalPlan};
use std::collections::BTreeSet;
use trine_proto::status::SqlError;

/// Two relations, the equalities between them (pairwise over left and right), and what else must
/// hold of a pair of rows, over (left columns, right columns).
pub(super) struct Sides {
    pub(super) left: Plan,
    pub(super) right: Plan,
    pub(super) left_keys: Vec<Expr>,
    pub(super) right_keys: Vec<Expr>,
    pub(super) residual: Vec<Expr>,
}

impl Sides {
    /// Left for right.
    fn swapped(self) -> Self {
        let (nl, nr) = (self.left.fields.len(), self.right.fields.len());
        let place = |i: usize| if i < nl { nr + i } else { i - nl };
        Self {
            residual: self.residual.iter().map(|e| build::moved(e, &place)).collect(),
            left: self.right,
            right: self.left,
            left_keys: self.right_keys,
            right_keys: self.left_keys,
        }
    }

    /// Whether the residual reads columns of the right side.
    pub(super) fn residual_reads_right(&self) -> bool {
        let mut columns = BTreeSet::new();
        self.residual.iter().for_each(|e| build::columns_of(e, &mut columns));
        columns.iter().any(|c| *c >= self.left.fields.len())
    }

    fn right_is_unique(&self) -> bool {
        !self.right_keys.is_empty() && is_unique(&self.right, &self.right_keys)
    }

    /// The equalities as conditions over (left columns, right columns).
    fn equalities(&self) -> Result<Vec<Expr>, SqlError> {
        let offset = self.left.fields.len();
        self.left_keys
            .iter()
            .zip(&self.right_keys)
            .map(|(l, r)| build::compare(Compare::Eq, l.clone(), build::moved(r, &|i| i + offset)))
            .collect()
    }
}

impl Planner<'_> {
    pub(super) fn join(&self, join: &Join) -> Result<Plan, SqlError> {
        let sides = self.sides(join)?;
        if join.null_aware {
            let nullable = sides.left_keys.iter().chain(&sides.right_keys).any(|k| k.nullable);
            return match join.join_type {
                JoinType::LeftAnti if nullable || sides.left_keys.is_empty() => {
                    self.not_in(sides, join)
                }
                JoinType::LeftAnti => self.semi(sides, JoinKind::Anti, join),
                JoinType::LeftMark => self.mark(sides, join),
                _ => Err(self.no_unique_side(join)),
            };
        }
        match join.join_type {
            JoinType::Inner => self.inner(sides, join),
            JoinType::Left => self.outer(sides, join),
            JoinType::Right => {
                let (nl, nr) = (sides.left.fields.len(), sides.right.fields.len());
                let joined = self.outer(sides.swapped(), join)?;
                Ok(picked(joined, &restored(nl, nr)))
            }
            JoinType::LeftSemi => self.semi(sides, JoinKind::Semi, join),
            JoinType::LeftAnti => self.semi(sides, JoinKind::Anti, join),
            JoinType::RightSemi => self.semi(sides.swapped(), JoinKind::Semi, join),
            JoinType::RightAnti => self.semi(sides.swapped(), JoinKind::Anti, join),
            JoinType::LeftMark => self.mark(sides, join),
            JoinType::RightMark => self.mark(sides.swapped(), join),
            JoinType::Full => Err(SqlError::unsupported(
                "FULL JOIN is not supported",
                "write a LEFT JOIN, UNION ALL and the rows of the other side that have no match",
            )),
        }
    }

    fn sides(&self, join: &Join) -> Result<Sides, SqlError> {
        let left = self.relation(&join.left, false)?;
        let right = self.relation(&join.right, false)?;
        let mut left_keys = Vec::with_capacity(join.on.len());
        let mut right_keys = Vec::with_capacity(join.on.len());
        let left_scope =
            Scope { schema: join.left.schema(), fields: &left.fields, subqueries: &[] };
        let right_scope =
            Scope { schema: join.right.schema(), fields: &right.fields, subqueries: &[] };
        for (l, r) in &join.on {
            let (x, y) = (self.scalar(l, &left_scope)?, self.scalar(r, &right_scope)?);
            let (x, y) = comparable_keys(x, y).map_err(|e| self.put(e, l))?;
            if join.null_equality == NullEquality::NullEqualsNull && (x.nullable || y.nullable) {
                left_keys.push(build::is_null(x.clone()));
                right_keys.push(build::is_null(y.clone()));
                left_keys.push(build::filled(x)?);
                right_keys.push(build::filled(y)?);
            } else {
                left_keys.push(x);
                right_keys.push(y);
            }
        }
        let mut residual = Vec::new();
        if let Some(filter) = &join.filter {
            let schema =
                join.left.schema().join(join.right.schema()).map_err(|e| defect(e.to_string()))?;
            let fields: Vec<Field> = left.fields.iter().chain(&right.fields).cloned().collect();
            let scope = Scope { schema: &schema, fields: &fields, subqueries: &[] };
            residual = build::conjuncts(self.condition(filter, &scope)?);
        }
        Ok(Sides { left, right, left_keys, right_keys, residual })
    }

    /// INNER: further conditions are a filter above the join.
    fn inner(&self, sides: Sides, join: &Join) -> Result<Plan, SqlError> {
        let (nl, nr) = (sides.left.fields.len(), sides.right.fields.len());
        let residual = build::and(sides.residual.clone());
        if let Some((sides, swapped)) = one_row_side(&sides) {
            let mut conditions = sides.equalities()?;
            conditions.extend(sides.residual.iter().cloned());
            let joined = cross(sides.left, sides.right, conditions);
            let order = restored(nl, nr);
            return Ok(if swapped { picked(joined, &order) } else { joined });
        }
        if sides.left_keys.is_empty() {
            let error = SqlError::unsupported(
                "a join without an equality is not supported",
                "join on = of a PRIMARY KEY, or cross join with an aggregate (one row)",
            );
            return Err(match &join.filter {
                Some(filter) => self.put(error, filter),
                None => error,
            });
        }
        let right_unique = sides.right_is_unique();
        let sides = sides.swapped();
        let left_unique = sides.right_is_unique();
        // The result has the rows of the many side: the shorter one, if there is a choice.
        let swap = left_unique && (!right_unique || sides.left.rows < sides.right.rows);
        if !swap && !right_unique {
            return Err(self.no_unique_side(join));
        }
        let joined = if swap {
            picked(keyed(JoinKind::Inner, sides, None)?, &restored(nl, nr))
        } else {
            keyed(JoinKind::Inner, sides.swapped(), None)?
        };
        Ok(filtered(joined, residual))
    }

    /// LEFT: every left row once.
    fn outer(&self, sides: Sides, join: &Join) -> Result<Plan, SqlError> {
        if sides.right.rows <= 1 {
            return outer_one_row(sides);
        }
        if sides.left_keys.is_empty() && at_most_one(&sides.right) {
            let right = limited(sides.right, 0, Some(1));
            return outer_one_row(Sides { right, ..sides });
        }
        if !sides.right_is_unique() {
            return Err(self.no_unique_side(join));
        }
        let residual = Some(build::and(sides.residual.clone())).filter(is_condition);
        keyed(JoinKind::Left, sides, residual)
    }

    /// Left rows with (Semi) or without (Anti) a match on the right.
    pub(super) fn semi(&self, sides: Sides, kind: JoinKind, join: &Join) -> Result<Plan, SqlError> {
        let width = sides.left.fields.len();
        let direct = !sides.left_keys.is_empty()
            && (!sides.residual_reads_right() || sides.right_is_unique());
        if direct {
            let residual = Some(build::and(sides.residual.clone())).filter(is_condition);
            return keyed(kind, sides, residual);
        }
        let (widened, found) = self.existence(sides, join)?;
        let kept = if kind == JoinKind::Anti { build::not(found) } else { found };
        Ok(narrowed(filtered(widened, kept), width))
    }

    /// NOT IN over NULLs: a row stays if the right side is empty, or if neither side has a NULL
    /// and nothing matches.
    fn not_in(&self, sides: Sides, join: &Join) -> Result<Plan, SqlError> {
        if sides.left_keys.len() != 1 || !sides.residual.is_empty() {
            return Err(self.correlated_not_in(join));
        }
        let width = sides.left.fields.len();
        let present = count_not_null(&sides.right_keys, sides.right.rows)?;
        let counts = counted(sides.right.clone(), vec![present])?;
        let key = sides.left_keys.clone();
        let anti = keyed(JoinKind::Anti, sides, None)?;
        let widened = beside(anti, counts);
        let column = |i: usize| {
            widened
                .fields
                .get(i)
                .map(|f| build::column(i, f))
                .ok_or_else(|| defect("a count is missing".into()))
        };
        let (all, present) = (column(width)?, column(width + 1)?);
        let zero = build::number(0, crate::types::NumberKind::BigInt)?;
        let empty = build::compare(Compare::Eq, all.clone(), zero)?;
        let no_null = build::compare(Compare::Eq, all, present)?;
        let known = key.into_iter().map(|k| build::not(build::is_null(k)));
        let clean = build::and(known.chain([no_null]).collect());
        Ok(narrowed(filtered(widened, build::or(vec![empty, clean])), width))
    }

    fn correlated_not_in(&self, join: &Join) -> SqlError {
        let error = SqlError::unsupported(
            "a correlated NOT IN over columns that may be NULL is not supported",
            "write NOT EXISTS",
        );
        match join.on.first() {
            Some((l, _)) => self.put(error, l),
            None => error,
        }
    }

    /// LEFT JOIN … WHERE right.column IS NULL, where that column is never NULL in a row of the
    /// matching row: the left rows without a match. This needs no unique side.
    pub(super) fn unmatched_rows(&self, filter: &Filter) -> Result<Option<Plan>, SqlError> {
        let (LogicalPlan::Join(join), Some(columns)) = under_columns(&filter.input) else {
            return Ok(None);
        };
        if join.join_type != JoinType::Left || join.on.is_empty() {
            return Ok(None);
        }
        let sides = self.sides(join)?;
        let (nl, nr) = (sides.left.fields.len(), sides.right.fields.len());
        if sides.residual_reads_right() && !sides.right_is_unique() {
            return Ok(None);
        }
        let mut fields: Vec<Field> = sides.left.fields.clone();
        fields.extend(sides.right.fields.iter().map(|f| Field { nullable: true, ..f.clone() }));
        let shown: Vec<Field> = columns.iter().filter_map(|c| fields.get(*c).cloned()).collect();
        let scope = Scope { schema: filter.input.schema(), fields: &shown, subqueries: &[] };
        let Ok(predicate) = self.condition(&filter.predicate, &scope) else { return Ok(None) };
        // A column of the key is not NULL where it matches.
        let keys: BTreeSet<usize> =
            sides.right_keys.iter().filter_map(build::plain_column).collect();
        let never_null = |shown: usize| {
            columns.get(shown).and_then(|c| c.checked_sub(nl)).is_some_and(|c| {
                keys.contains(&c) || sides.right.fields.get(c).is_some_and(|f| !f.nullable)
            })
        };
        let (unmatched, others): (Vec<Expr>, Vec<Expr>) =
            build::conjuncts(predicate).into_iter().partition(|part| match &part.kind {
                ExprKind::IsNull(inner) => match inner.kind {
                    ExprKind::Column(index) => never_null(index),
                    _ => false,
                },
                _ => false,
            });
        if unmatched.is_empty() {
            return Ok(None);
        }
        let right_types: Vec<Field> = sides.right.fields.clone();
        let anti = self.semi(sides, JoinKind::Anti, join)?;
        let mut exprs: Vec<Expr> =
            anti.fields.iter().enumerate().map(|(i, f)| build::column(i, f)).collect();
        exprs.extend(right_types.iter().map(|f| build::null(f.ty.clone())));
        let names: Vec<String> = fields.iter().map(|f| f.name.clone()).collect();
        debug_assert_eq!(exprs.len(), nl + nr);
        let padded = project(anti, exprs, names);
        let shown = picked(padded, &columns);
        Ok(Some(filtered(shown, build::and(others))))
    }

    /// Neither side of a join tells its rows apart by the key.
    pub(super) fn no_unique_side(&self, join: &Join) -> SqlError {
        let key = |side: fn(&(Logical, Logical)) -> &Logical| {
            let columns: Vec<&Logical> = join.on.iter().map(side).collect();
            let names: Vec<String> = columns
                .iter()
                .map(|c| match c {
                    Logical::Column(c) => c.name.clone(),
                    other => other.to_string(),
                })
                .collect();
            let table = match columns.first() {
                Some(Logical::Column(c)) => c.relation.as_ref().map(|r| r.table().to_owned()),
                _ => None,
            };
            format!("{} ({})", table.unwrap_or_default(), names.join(", ")).trim().to_owned()
        };
        let (left, right) = (key(|p| &p.0), key(|p| &p.1));
        let message = match join.join_type {
            JoinType::Inner => "neither side of the join has a unique key",
            JoinType::Left | JoinType::Right => {
                "the optional side of the outer join has no unique key"
            }
            _ => "this subquery is not supported: its condition is not an equality of a unique key",
        };
        let columns = match join.join_type {
            JoinType::Inner if join.on.is_empty() => "its columns".to_owned(),
            JoinType::Inner => format!("{left} or on {right}"),
            JoinType::Right => left,
            _ if join.on.is_empty() => "the column compared".to_owned(),
            _ => right,
        };
        let error = SqlError::unsupported(
            message,
            format!("declare a PRIMARY KEY on {columns}, or join with SELECT … GROUP BY of them"),
        );
        match join.on.first() {
            Some((l, _)) => self.put(error, l),
            None => error,
        }
    }
}

fn is_condition(expr: &Expr) -> bool {
    build::literal(expr).is_none_or(|l| *l != crate::plan::Literal::Boolean(true))
}

/// Positions that put (right columns, left columns) back into (left, right).
fn restored(left: usize, right: usize) -> Vec<usize> {
    (right..right + left).chain(0..right).collect()
}

/// A UniqueKeyJoin with the left side as the many side.
pub(super) fn keyed(
    kind: JoinKind,
    sides: Sides,
    residual: Option<Expr>,
) -> Result<Plan, SqlError> {
    let mut fields = sides.left.fields.clone();
    match kind {
        JoinKind::Inner => fields.extend(sides.right.fields.iter().cloned()),
        JoinKind::Left => {
            fields.extend(sides.right.fields.iter().map(|f| Field { nullable: true, ..f.clone() }));
        }
        JoinKind::Semi | JoinKind::Anti => {}
    }
    let rows = check_rows(Some(sides.left.rows))?;
    check_rows(sides.left.rows.checked_add(sides.right.rows))?;
    let op = Operator::UniqueKeyJoin {
        kind,
        many: Box::new(sides.left),
        unique: Box::new(sides.right),
        many_keys: sides.left_keys,
        unique_keys: sides.right_keys,
        residual,
    };
    Ok(Plan { op, fields, rows })
}

/// The sides with a relation of one row on the right, if there is one; whether they were swapped.
fn one_row_side(sides: &Sides) -> Option<(Sides, bool)> {
    let copy = || Sides {
        left: sides.left.clone(),
        right: sides.right.clone(),
        left_keys: sides.left_keys.clone(),
        right_keys: sides.right_keys.clone(),
        residual: sides.residual.clone(),
    };
    let single = |plan: &Plan| {
        plan.rows == 1 || (sides.left_keys.is_empty() && plan.rows > 1 && at_most_one(plan))
    };
    let shortened = |mut sides: Sides| {
        if sides.right.rows > 1 {
            sides.right = limited(sides.right, 0, Some(1));
        }
        sides
    };
    if single(&sides.right) {
        return Some((shortened(copy()), false));
    }
    single(&sides.left).then(|| (shortened(copy().swapped()), true))
}

/// Every left row beside the one right row, where the conditions hold.
fn cross(left: Plan, one: Plan, mut conditions: Vec<Expr>) -> Plan {
    let width = left.fields.len() + one.fields.len();
    if exactly_one(&one) {
        return filtered(beside(left, one), build::and(conditions));
    }
    let joined = beside(left, with_marker(one));
    if let Some(marker) = joined.fields.last() {
        conditions.push(build::not(build::is_null(build::column(width, marker))));
    }
    narrowed(filtered(joined, build::and(conditions)), width)
}

/// LEFT JOIN with a relation of at most one row: its columns where the conditions hold, else NULL.
fn outer_one_row(sides: Sides) -> Result<Plan, SqlError> {
    let mut conditions = sides.equalities()?;
    conditions.extend(sides.residual.iter().cloned());
    let (nl, nr) = (sides.left.fields.len(), sides.right.fields.len());
    if sides.right.rows == 0 {
        let mut exprs: Vec<Expr> =
            sides.left.fields.iter().enumerate().map(|(i, f)| build::column(i, f)).collect();
        exprs.extend(sides.right.fields.iter().map(|f| build::null(f.ty.clone())));
        let names: Vec<String> =
            sides.left.fields.iter().chain(&sides.right.fields).map(|f| f.name.clone()).collect();
        return Ok(project(sides.left, exprs, names));
    }
    let joined = beside(sides.left, with_marker(sides.right));
    let column = |i: usize| joined.fields.get(i).map(|f| build::column(i, f));
    if let Some(marker) = column(nl + nr) {
        conditions.push(build::not(build::is_null(marker)));
    }
    let holds = build::and(conditions);
    let mut exprs = Vec::with_capacity(nl + nr);
    for index in 0..nl + nr {
        let Some(value) = column(index) else { continue };
        exprs.push(if index < nl {
            value
        } else {
            let null = build::null(value.ty.clone());
            build::case(vec![(holds.clone(), value)], null)?
        });
    }
    let names: Vec<String> = joined.fields.iter().map(|f| f.name.clone()).collect();
    Ok(project(joined, exprs, names))
}

/// The node below projections that only pick columns, and the columns they pick; none: all.
fn under_columns(plan: &LogicalPlan) -> (&LogicalPlan, Option<Vec<usize>>) {
    match plan {
        LogicalPlan::Projection(projection) => {
            let (below, inner) = under_columns(&projection.input);
            let Some(inner) = inner else { return (below, None) };
            let picked: Option<Vec<usize>> = projection
                .expr
                .iter()
                .map(|e| match e {
                    Logical::Column(c) => projection
                        .input
                        .schema()
                        .maybe_index_of_column(c)
                        .and_then(|i| inner.get(i).copied()),
                    _ => None,
                })
                .collect();
            (below, picked)
        }
        LogicalPlan::SubqueryAlias(alias) => under_columns(&alias.input),
        other => (other, Some((0..other.schema().fields().len()).collect())),
    }
}
