//! Joins. An equality with a side on which the key is unique keeps the rows of the other side; so does
//! a relation of one row. What has no unique side needs a public bound: keys that can repeat only so
//! often ([`repeated`]), or few pairs ([`pairs`]). Inner joins run in the order that costs least
//! ([`order`], by [`price`]). Outer joins are the matching rows and, below them,
//! those without a match.

mod order;
mod pairs;
mod price;
mod repeated;
mod search;

pub(super) use order::holds_inner;
pub(super) use pairs::{any, found, paired};
pub(super) use repeated::numbered;

use pairs::crossed;

use super::aggregate::{comparable_keys, count_not_null, counted, with_marker};
use super::build;
use super::relation::{beside, filtered, limited, narrowed, picked, project, union_all};
use super::scalar::{Scope, defect};
use super::unique::{at_most_one, exactly_one, is_unique};
use super::{Planner, check_rows};
use crate::plan::{Compare, Expr, ExprKind, Field, JoinKind, JoinMethod, Operator, Plan};
use datafusion_common::{JoinType, NullEquality};
use datafusion_expr::logical_plan::{Filter, Join};
use datafusion_expr::{Expr as Logical, LogicalPlan};
use std::collections::BTreeSet;
use trine_proto::status::SqlError;

/// Two relations, the equalities between them (pairwise over left and right), and what else must
/// hold of a pair of rows, over (left columns, right columns).
#[derive(Clone)]
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

    /// The same with conditions on right columns alone as a filter of the right side. Not for
    /// conditions that may be NULL where that matters.
    pub(super) fn pushed(self) -> Self {
        let width = self.left.fields.len();
        let of_right = |e: &Expr| {
            let mut columns = BTreeSet::new();
            build::columns_of(e, &mut columns);
            !columns.is_empty() && columns.iter().all(|c| *c >= width)
        };
        let (right, residual): (Vec<Expr>, Vec<Expr>) =
            self.residual.into_iter().partition(of_right);
        let right: Vec<Expr> = right.iter().map(|e| build::moved(e, &|i| i - width)).collect();
        Self { right: filtered(self.right, build::and(right)), residual, ..self }
    }

    /// Everything that a pair must meet, over (left columns, right columns).
    pub(super) fn conditions(&self) -> Result<Vec<Expr>, SqlError> {
        let mut conditions = self.equalities()?;
        conditions.extend(self.residual.iter().cloned());
        Ok(conditions)
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
            JoinType::Full => self.full(sides, join),
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
            let (x, y) = (self.exact(l, &left_scope)?, self.exact(r, &right_scope)?);
            let (x, y) = comparable_keys(x, y).map_err(|e| self.put(e, l))?;
            if join.null_equality == NullEquality::NullEqualsNull && (x.nullable || y.nullable) {
                left_keys.push(build::is_null(x.clone()));
                right_keys.push(build::is_null(y.clone()));
                let (x, y) = build::filled_alike(x, y)?;
                left_keys.push(x);
                right_keys.push(y);
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
        let bare = || Sides { residual: Vec::new(), ..sides.clone() };
        match self.met_in_the_clear(&sides, || self.secretly(bare(), join))? {
            Some(met) => self.in_the_clear(filtered(met, build::and(sides.residual))),
            None => self.secretly(sides, join),
        }
    }

    /// INNER over keys that the nodes do not know.
    fn secretly(&self, sides: Sides, join: &Join) -> Result<Plan, SqlError> {
        let (nl, nr) = (sides.left.fields.len(), sides.right.fields.len());
        let residual = build::and(sides.residual.clone());
        if let Some((sides, swapped)) = one_row_side(&sides) {
            let conditions = sides.conditions()?;
            let joined = cross(sides.left, sides.right, conditions);
            let order = restored(nl, nr);
            return Ok(if swapped { picked(joined, &order) } else { joined });
        }
        let right_unique = sides.right_is_unique();
        let swapped = sides.clone().swapped();
        let left_unique = swapped.right_is_unique();
        if !left_unique && !right_unique {
            return self.without_unique_side(sides, join);
        }
        // The result has the rows of the many side: the shorter one, if there is a choice.
        let swap = left_unique && (!right_unique || sides.right.rows < sides.left.rows);
        let joined = if swap {
            picked(self.cheapest(JoinKind::Inner, swapped, None)?, &restored(nl, nr))
        } else {
            self.cheapest(JoinKind::Inner, sides, None)?
        };
        Ok(filtered(joined, residual))
    }

    /// Inner join of two many sides: over keys that repeat within a bound, or over all pairs.
    fn without_unique_side(&self, sides: Sides, join: &Join) -> Result<Plan, SqlError> {
        let (nl, nr) = (sides.left.fields.len(), sides.right.fields.len());
        let conditions = build::and(sides.conditions()?);
        let residual = build::and(sides.residual.clone());
        let crossed = crossed(sides.left.clone(), sides.right.clone());
        let mut choices = Vec::new();
        if let Some(plan) = repeated::joined(&sides)? {
            choices.push(filtered(plan, residual.clone()));
        }
        if let Some(plan) = repeated::joined(&sides.swapped())? {
            choices.push(filtered(picked(plan, &restored(nl, nr)), residual));
        }
        let fewest = choices.into_iter().min_by_key(|p| p.rows);
        match (fewest, crossed) {
            (Some(plan), Some(crossed)) if crossed.rows <= plan.rows => {
                Ok(filtered(crossed, conditions))
            }
            (Some(plan), _) => Ok(plan),
            (None, Some(crossed)) => Ok(filtered(crossed, conditions)),
            (None, None) => Err(self.no_bound(join)),
        }
    }

    /// LEFT: every left row once for each match, once with NULLs if there is none.
    fn outer(&self, sides: Sides, join: &Join) -> Result<Plan, SqlError> {
        let mut sides = sides.pushed();
        sides.right = self.in_the_clear(sides.right)?;
        if sides.right.rows <= 1 {
            return outer_one_row(sides);
        }
        if sides.left_keys.is_empty() && at_most_one(&sides.right) {
            let right = limited(sides.right, 0, Some(1));
            return outer_one_row(Sides { right, ..sides });
        }
        if sides.right_is_unique() && !self.splits_in_the_clear(&sides)? {
            let residual = Some(build::and(sides.residual.clone())).filter(is_condition);
            return self.cheapest(JoinKind::Left, sides, residual);
        }
        let names = names(&sides);
        let types: Vec<Field> = sides.right.fields.clone();
        let matched = self.inner(sides.clone(), join)?;
        let unmatched = self.semi(sides, JoinKind::Anti, join)?;
        union_all(vec![matched, padded(unmatched, &types)], &names)
    }

    /// FULL: LEFT, and the right rows without a match.
    fn full(&self, sides: Sides, join: &Join) -> Result<Plan, SqlError> {
        let (nl, names) = (sides.left.fields.len(), names(&sides));
        let types: Vec<Field> = sides.left.fields.clone();
        let unmatched = self.semi(sides.clone().swapped(), JoinKind::Anti, join)?;
        let nr = unmatched.fields.len();
        let unmatched = picked(padded(unmatched, &types), &restored(nl, nr));
        // A condition on one side alone does not remove rows of that side.
        let matched = self.outer(sides, join)?;
        union_all(vec![matched, unmatched], &names)
    }

    /// A join with a unique right side by a sort or, where that is cheaper, by looking up.
    fn cheapest(
        &self,
        kind: JoinKind,
        sides: Sides,
        residual: Option<Expr>,
    ) -> Result<Plan, SqlError> {
        let key = sides.left_keys.iter().zip(&sides.right_keys);
        let key: usize = key.map(|(l, r)| l.ty.bits().max(r.ty.bits())).sum();
        let payload: usize = match kind {
            JoinKind::Inner | JoinKind::Left => {
                sides.right.fields.iter().map(|f| f.ty.bits()).sum()
            }
            JoinKind::Semi | JoinKind::Anti => 0,
        };
        let shape = price::Shape {
            many: sides.left.rows,
            unique: sides.right.rows,
            key: key as u64,
            payload: payload as u64,
        };
        let tiny = sides.right.rows <= LOOKUP_ROWS_MAX;
        let looks_up =
            tiny && price::looked_up(shape, self.profile) < price::sorted(shape, self.profile);
        let mut joined = keyed(kind, sides, residual)?;
        if let (true, Operator::UniqueKeyJoin { method, .. }) = (looks_up, &mut joined.op) {
            *method = JoinMethod::Lookup;
        }
        Ok(joined)
    }

    /// Left rows with (Semi) or without (Anti) a match on the right.
    pub(super) fn semi(&self, sides: Sides, kind: JoinKind, join: &Join) -> Result<Plan, SqlError> {
        let mut sides = sides.pushed();
        sides.right = self.in_the_clear(sides.right)?;
        if let Some(plan) = self.existing_in_the_clear(&sides, kind)? {
            return Ok(plan);
        }
        let width = sides.left.fields.len();
        let unique = sides.right_is_unique();
        if !sides.left_keys.is_empty() && (unique || !sides.residual_reads_right()) {
            let residual = Some(build::and(sides.residual.clone())).filter(is_condition);
            return if unique {
                self.cheapest(kind, sides, residual)
            } else {
                keyed(kind, sides, residual)
            };
        }
        let (widened, found) = self.existence(sides, join)?;
        let kept = if kind == JoinKind::Anti { build::not(found) } else { found };
        Ok(narrowed(filtered(widened, kept), width))
    }

    /// NOT IN over NULLs: a row stays if the right side is empty, or if neither side has a NULL
    /// and nothing matches.
    fn not_in(&self, sides: Sides, join: &Join) -> Result<Plan, SqlError> {
        if sides.left_keys.len() != 1 || !sides.residual.is_empty() {
            return self.correlated_not_in(sides, join);
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

    /// The first equality is that of IN; further ones and the residual say which right rows are in
    /// the list.
    fn correlated_not_in(&self, sides: Sides, join: &Join) -> Result<Plan, SqlError> {
        let width = sides.left.fields.len();
        let mut conditions = sides.equalities()?;
        let equal = (!conditions.is_empty()).then(|| conditions.remove(0));
        conditions.extend(sides.residual.iter().cloned());
        let listed = build::and(conditions);
        let plan = match equal {
            Some(equal) => any(sides.left, sides.right, Some(listed), equal),
            None => None,
        };
        let Some((widened, found)) = plan else {
            let error = SqlError::unsupported(
                "a correlated NOT IN over columns that may be NULL is not supported",
                "write NOT EXISTS",
            );
            return Err(match join.on.first() {
                Some((l, _)) => self.put(error, l),
                None => error,
            });
        };
        Ok(narrowed(filtered(widened, build::not(found)), width))
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
        let sides = sides.pushed();
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
        let padded = padded(anti, &right_types);
        debug_assert_eq!(padded.fields.len(), nl + nr);
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

    /// Two many sides of which nothing bounds the number of pairs.
    fn no_bound(&self, join: &Join) -> SqlError {
        if !join.on.is_empty() {
            return self.no_unique_side(join);
        }
        let error = SqlError::unsupported(
            "a join without an equality is not supported between relations of this size",
            format!(
                "join on = of a PRIMARY KEY, or with an aggregate (one row); up to {} pairs of \
                 rows are joined on any condition",
                pairs::PAIRS_KEPT_MAX
            ),
        );
        match &join.filter {
            Some(filter) => self.put(error, filter),
            None => error,
        }
    }
}

/// Rows of a unique side that is looked up row by row, at most.
const LOOKUP_ROWS_MAX: u64 = 128;

/// Names of (left columns, right columns).
fn names(sides: &Sides) -> Vec<String> {
    sides.left.fields.iter().chain(&sides.right.fields).map(|f| f.name.clone()).collect()
}

/// NULLs of these types behind every row.
fn padded(plan: Plan, types: &[Field]) -> Plan {
    let mut exprs: Vec<Expr> =
        plan.fields.iter().enumerate().map(|(i, f)| build::column(i, f)).collect();
    exprs.extend(types.iter().map(|f| build::null(f.ty.clone())));
    let names: Vec<String> = plan.fields.iter().chain(types).map(|f| f.name.clone()).collect();
    project(plan, exprs, names)
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
        method: JoinMethod::Sort,
    };
    Ok(Plan { op, fields, rows })
}

/// The sides with a relation of one row on the right, if there is one; whether they were swapped.
fn one_row_side(sides: &Sides) -> Option<(Sides, bool)> {
    let copy = || sides.clone();
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
    let mut conditions = sides.conditions()?;
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
