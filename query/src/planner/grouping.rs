//! GROUPING SETS, ROLLUP and CUBE: one aggregation for each set over one and the same input, the
//! columns that are not grouped by NULL. DISTINCT ON: the first row of each group.

use super::Planner;
use super::aggregate::{Calls, Derived, Made, result};
use super::build;
use super::join::numbered;
use super::relation::{self, Widened, filtered, project, sorted, union_all};
use super::scalar::defect;
use crate::plan::{Compare, Expr, Operator, Plan, SortKey, WindowFunction, WindowKind};
use crate::types::NumberKind;
use datafusion_expr::logical_plan::DistinctOn;
use datafusion_expr::{Expr as Logical, GroupingSet, logical_plan};
use trine_proto::status::{SqlError, sqlstate};

/// Columns of a CUBE at most.
const CUBE_MAX: usize = 6;

impl Planner<'_> {
    /// An aggregation whose only grouping expression is a list of sets.
    pub(super) fn grouping_sets(
        &self,
        node: &logical_plan::Aggregate,
        grouping: &GroupingSet,
        widened: Widened,
    ) -> Result<Plan, SqlError> {
        let scope = widened.scope(node.input.schema());
        let columns = grouping.distinct_expr();
        let mut keys = Vec::with_capacity(columns.len());
        for column in &columns {
            keys.push(self.scalar(column, &scope)?);
        }
        let sets = sets(grouping).ok_or_else(|| {
            SqlError::unsupported(
                format!("CUBE of more than {CUBE_MAX} columns is not supported"),
                "name the GROUPING SETS",
            )
        })?;
        let calls = self.calls(&node.aggr_expr, &scope, widened.plan.rows, true)?;
        let mut made = Vec::with_capacity(calls.results.len());
        for result in &calls.results {
            made.push(match result {
                Made::Parts(at, derived) => Part::Result(at, derived.as_deref()),
                Made::Grouping(arguments) => {
                    let places = arguments.iter().map(|a| columns.iter().position(|c| *c == a));
                    let places: Option<Vec<usize>> = places.collect();
                    Part::Grouping(places.ok_or_else(|| not_grouped().at(self.word("grouping")))?)
                }
            });
        }
        let names: Vec<String> =
            node.schema.fields().iter().map(|f| relation::readable(f.name())).collect();
        let mut inputs = Vec::with_capacity(sets.len());
        for set in sets {
            let inside: Vec<bool> = columns.iter().map(|c| set.contains(c)).collect();
            let plan = self.one_set(&widened.plan, &keys, &inside, (&calls, &made), &names);
            inputs.push(plan?);
        }
        union_all(inputs, &names)
    }

    /// Rows of one set: all columns, the number of the set, the aggregates.
    fn one_set(
        &self,
        input: &Plan,
        keys: &[Expr],
        inside: &[bool],
        (calls, made): (&Calls<'_>, &[Part<'_>]),
        names: &[String],
    ) -> Result<Plan, SqlError> {
        let grouped_by: Vec<Expr> = keys
            .iter()
            .zip(inside)
            .filter(|(_, inside)| **inside)
            .map(|(k, _)| k.clone())
            .collect();
        let count = grouped_by.len();
        let aggregates = calls.aggregates.clone();
        let short: Vec<String> =
            (0..count + aggregates.len()).map(|i| format!("column{i}")).collect();
        let ranked = calls.ranked(input.clone(), &grouped_by)?;
        let grouped = self.grouped(ranked, grouped_by, aggregates, &short);
        let column = |i: usize| {
            grouped
                .fields
                .get(i)
                .map(|f| build::column(i, f))
                .ok_or_else(|| defect("a grouping set lost a column".into()))
        };
        let mut exprs = Vec::with_capacity(names.len());
        let (mut next, mut number) = (0, 0_i128);
        for (key, inside) in keys.iter().zip(inside) {
            number = number * 2 + i128::from(!inside);
            if *inside {
                exprs.push(column(next)?);
                next += 1;
            } else {
                exprs.push(build::null(key.ty.clone()));
            }
        }
        exprs.push(build::number(number, NumberKind::BigInt)?);
        for made in made {
            exprs.push(match made {
                Part::Result(at, derived) => result((at, *derived), &grouped, count)?,
                Part::Grouping(places) => {
                    let bit = |place: &usize| inside.get(*place) != Some(&true);
                    let value = places.iter().fold(0, |v, place| v * 2 + i128::from(bit(place)));
                    build::number(value, NumberKind::Int)?
                }
            });
        }
        Ok(project(grouped, exprs, names.iter().cloned()))
    }

    /// The first row, in the order asked for, of each group.
    pub(super) fn distinct_on(&self, on: &DistinctOn, ordered: bool) -> Result<Plan, SqlError> {
        let input = self.relation(&on.input, false)?;
        let sorts = on.sort_expr.iter().flatten();
        let exprs: Vec<&Logical> = on
            .on_expr
            .iter()
            .chain(&on.select_expr)
            .chain(sorts.clone().map(|k| &k.expr))
            .collect();
        let widened = self.with_subqueries(input, on.input.schema(), exprs)?;
        let scope = widened.scope(on.input.schema());
        let partition = self.all(&on.on_expr, &scope)?;
        let mut order = Vec::new();
        for key in sorts {
            let expr = self.scalar(&key.expr, &scope)?;
            order.push(SortKey { expr, descending: !key.asc, nulls_first: key.nulls_first });
        }
        let exprs = self.all(&on.select_expr, &scope)?;
        let names: Vec<String> =
            on.schema.fields().iter().map(|f| relation::readable(f.name())).collect();
        let mut plan = numbered(widened.plan, partition.clone());
        if let Operator::Window { order: by, functions, .. } = &mut plan.op {
            *by = order.iter().filter(|k| !partition.contains(&k.expr)).cloned().collect();
            debug_assert!(matches!(
                functions.as_slice(),
                [WindowFunction { kind: WindowKind::RowNumber, .. }]
            ));
        }
        let number = plan
            .fields
            .last()
            .map(|f| build::column(plan.fields.len() - 1, f))
            .ok_or_else(|| defect("a row number is missing".into()))?;
        let one = build::number(1, NumberKind::BigInt)?;
        let first = build::compare(Compare::Eq, number, one)?;
        let mut first = filtered(plan, first);
        order.truncate(partition.len());
        if ordered && !order.is_empty() {
            first = sorted(first, order);
        }
        Ok(project(first, exprs, names))
    }
}

/// What stands in the place of a call in the select list.
enum Part<'a> {
    /// What follows from the aggregates at these places.
    Result(&'a [usize], Option<&'a Derived>),
    /// GROUPING of the keys at these places: a bit each, 1 where the set leaves the key out.
    Grouping(Vec<usize>),
}

/// The arguments of a call of GROUPING.
pub(super) fn grouping_of(expr: &Logical) -> Option<&[Logical]> {
    match expr {
        Logical::Alias(alias) => grouping_of(&alias.expr),
        Logical::AggregateFunction(call) if call.func.name() == "grouping" => {
            Some(&call.params.args)
        }
        _ => None,
    }
}

/// Error of GROUPING of something else than a key.
pub(super) fn not_grouped() -> SqlError {
    SqlError::new(
        sqlstate::GROUPING_ERROR,
        "arguments to GROUPING must be grouping expressions of the associated query level",
    )
}

/// The sets by their columns; none for a CUBE that is too wide.
fn sets(grouping: &GroupingSet) -> Option<Vec<Vec<&Logical>>> {
    Some(match grouping {
        GroupingSet::GroupingSets(sets) => sets.iter().map(|s| s.iter().collect()).collect(),
        GroupingSet::Rollup(all) => {
            (0..=all.len()).rev().map(|n| all.iter().take(n).collect()).collect()
        }
        GroupingSet::Cube(all) if all.len() <= CUBE_MAX => (0..1_usize << all.len())
            .map(|mask| {
                all.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 0).map(|(_, e)| e).collect()
            })
            .collect(),
        GroupingSet::Cube(_) => return None,
    })
}
