//! Runs a plan: recursion over the closed set of operators, in one fixed order at all parties.
//!
//! The same code runs on real shares and on ghosts (a dry session): what EXPLAIN predicts and what a
//! run counts agree by construction. Before and after every operator shapes are checked against the
//! plan; no step looks at a value.

use crate::error::{QueryError, Result};
use crate::ops::scan::Source;
use crate::ops::unique_join::Join;
use crate::ops::{
    filter, limit, measure, one_row_join, project, reveal, scalar_aggregate, scan, small_domain,
    sort, sort_aggregate, union_all, unique_join, values,
};
use crate::output::{ShareVector, output};
use crate::plan::{Aggregate, Expr, JoinKind, Operator, Plan};
use crate::relation::Relation;
use crate::want::{Want, collect};
use trine_mpc::{Cost, Profile, Session};
use trine_proto::wire::OutputColumn;
use trine_storage::Store;

/// Told of every operator as it begins.
pub trait Observer {
    /// `done` of `total` operators are finished; `name` begins.
    fn operator(&mut self, name: &str, done: u32, total: u32);
}

/// What one operator cost, without its inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorCost {
    /// Counted: own bytes at this party's index; dry: predicted for all three.
    pub cost: Cost,
    /// Expectation for the parts of its sorts whose shape follows from opened comparisons; all three
    /// parties. Contained in a predicted `cost`.
    pub sorts_predicted: Cost,
    /// The same parts recomputed from the opened segment sizes; zero in a dry run. Counted equals
    /// predicted - `sorts_predicted` + `sorts_recomputed`, for rounds and for each party's bytes.
    pub sorts_recomputed: Cost,
}

/// This party's part of a result.
#[derive(Clone, Debug)]
pub struct Executed {
    /// Rows; those whose valid bit is 0 do not exist.
    pub rows: u64,
    /// Public description of the columns.
    pub columns: Vec<OutputColumn>,
    /// Per column its values, then its NULL plane if nullable; last the valid plane.
    pub vectors: Vec<ShareVector>,
    /// One per operator, in pre-order of the plan.
    pub counted: Vec<OperatorCost>,
}

struct Run<'a> {
    session: &'a mut Session,
    store: Option<&'a Store>,
    observer: Option<&'a mut dyn Observer>,
    costs: Vec<OperatorCost>,
    done: u32,
    total: u32,
}

/// Runs a plan whose root is Reveal, as one party of three. All parties must run the same plan.
///
/// # Errors
/// [`QueryError::Mpc`] costs the attempt; [`QueryError::Storage`] and `Sql` are final for the job.
pub fn run(
    plan: &Plan,
    session: &mut Session,
    store: &Store,
    observer: &mut dyn Observer,
) -> Result<Executed> {
    if session.is_dry() {
        return Err(QueryError::bug("a dry session has no result"));
    }
    let (relation, counted) = execute(plan, session, Some(store), Some(observer))?;
    let rows =
        u64::try_from(relation.rows).map_err(|_| QueryError::bug("more rows than memory"))?;
    let (columns, vectors) = output(relation, &plan.fields, session)?;
    Ok(Executed { rows, columns, vectors, counted })
}

/// Predicts what every operator of a plan costs, in pre-order: the same code on ghosts, no storage,
/// no network.
///
/// # Errors
/// [`QueryError::Sql`] for a plan that cannot run, `Bug` for one that contradicts itself.
pub fn dry_run(plan: &Plan, profile: Profile) -> Result<Vec<OperatorCost>> {
    let mut session = Session::dry(profile);
    let (_, costs) = execute(plan, &mut session, None, None)?;
    Ok(costs)
}

/// Runs a plan without a Reveal; its relation stays shared. `wants` of its columns.
pub(crate) fn evaluate<'a>(
    plan: &Plan,
    wants: &[Want],
    session: &'a mut Session,
    store: Option<&'a Store>,
    observer: Option<&'a mut dyn Observer>,
) -> Result<Relation> {
    let total = count(plan);
    let mut run = Run { session, store, observer, costs: Vec::new(), done: 0, total };
    run.relation(plan, wants)
}

fn execute<'a>(
    plan: &Plan,
    session: &'a mut Session,
    store: Option<&'a Store>,
    observer: Option<&'a mut dyn Observer>,
) -> Result<(Relation, Vec<OperatorCost>)> {
    if !matches!(plan.op, Operator::Reveal { .. }) {
        return Err(QueryError::bug("the root of a plan is no Reveal"));
    }
    let total = count(plan);
    let mut run = Run { session, store, observer, costs: Vec::new(), done: 0, total };
    let relation = run.relation(plan, &vec![Want::ANY; plan.fields.len()])?;
    Ok((relation, run.costs))
}

/// Inputs of an operator, in the order in which they run.
#[must_use]
pub fn inputs(plan: &Plan) -> Vec<&Plan> {
    match &plan.op {
        Operator::Scan { .. } | Operator::Values(_) => Vec::new(),
        Operator::Filter { input, .. }
        | Operator::Project { input, .. }
        | Operator::ScalarAggregate { input, .. }
        | Operator::SmallDomainAggregate { input, .. }
        | Operator::SortAggregate { input, .. }
        | Operator::Sort { input, .. }
        | Operator::Limit { input, .. }
        | Operator::Reveal { input, .. } => vec![input.as_ref()],
        Operator::UnionAll(inputs) => inputs.iter().collect(),
        Operator::UniqueKeyJoin { many, unique, .. } => vec![many.as_ref(), unique.as_ref()],
        Operator::OneRowJoin { input, one } => vec![input.as_ref(), one.as_ref()],
    }
}

/// Name of an operator, for progress.
#[must_use]
pub const fn operator_name(op: &Operator) -> &'static str {
    match op {
        Operator::Scan { .. } => "Scan",
        Operator::Values(_) => "Values",
        Operator::Filter { .. } => "Filter",
        Operator::Project { .. } => "Project",
        Operator::UnionAll(_) => "UnionAll",
        Operator::ScalarAggregate { .. } => "ScalarAggregate",
        Operator::SmallDomainAggregate { .. } => "SmallDomainAggregate",
        Operator::SortAggregate { .. } => "SortAggregate",
        Operator::UniqueKeyJoin { .. } => "UniqueKeyJoin",
        Operator::OneRowJoin { .. } => "OneRowJoin",
        Operator::Sort { .. } => "Sort",
        Operator::Limit { .. } => "Limit",
        Operator::Reveal { .. } => "Reveal",
    }
}

fn count(plan: &Plan) -> u32 {
    inputs(plan).into_iter().map(count).sum::<u32>() + 1
}

fn difference(after: Cost, before: Cost) -> Cost {
    Cost {
        rounds: after.rounds - before.rounds,
        bytes: [0, 1, 2].map(|party| after.bytes[party] - before.bytes[party]),
    }
}

impl Run<'_> {
    fn books(&self) -> OperatorCost {
        OperatorCost {
            cost: self.session.cost(),
            sorts_predicted: self.session.sorts_predicted(),
            sorts_recomputed: self.session.sorts_recomputed(),
        }
    }

    /// Inputs first, then the operator itself, whose cost alone is booked at its position.
    fn relation(&mut self, plan: &Plan, wants: &[Want]) -> Result<Relation> {
        let position = self.costs.len();
        self.costs.push(OperatorCost::default());
        let mut ready = Vec::new();
        for (input, wants) in inputs(plan).into_iter().zip(input_wants(plan, wants)?) {
            ready.push(self.relation(input, &wants)?);
        }
        self.session.check()?;
        if let Some(observer) = &mut self.observer {
            observer.operator(operator_name(&plan.op), self.done, self.total);
        }
        let before = self.books();
        let relation = self.operator(plan, wants, ready)?;
        let relation = conform(relation, plan, wants, self.session)?;
        let after = self.books();
        self.costs[position] = OperatorCost {
            cost: difference(after.cost, before.cost),
            sorts_predicted: difference(after.sorts_predicted, before.sorts_predicted),
            sorts_recomputed: difference(after.sorts_recomputed, before.sorts_recomputed),
        };
        self.done += 1;
        Ok(relation)
    }

    fn operator(&mut self, plan: &Plan, wants: &[Want], ready: Vec<Relation>) -> Result<Relation> {
        let s = &mut *self.session;
        if let Operator::UnionAll(_) = &plan.op {
            return union_all::union_all(ready, &plan.fields, wants, s);
        }
        let mut ready = ready.into_iter();
        let mut next = || ready.next().ok_or_else(|| QueryError::bug("an operator lacks an input"));
        match &plan.op {
            Operator::Scan { table, schema, segments, columns } => {
                let source = Source { table: *table, schema, segments, columns };
                scan::scan(&source, wants, s, self.store)
            }
            Operator::Values(rows) => values::values(rows, &plan.fields, s),
            Operator::Filter { predicate, .. } => filter::filter(next()?, predicate, s),
            Operator::Project { exprs, .. } => project::project(next()?, exprs, wants, s),
            Operator::UnionAll(_) => Err(QueryError::bug("handled above")),
            Operator::ScalarAggregate { aggregates, .. } => {
                scalar_aggregate::scalar_aggregate(next()?, aggregates, s)
            }
            Operator::SmallDomainAggregate { keys, aggregates, .. } => {
                small_domain::small_domain(next()?, keys, aggregates, s)
            }
            Operator::SortAggregate { keys, aggregates, .. } => {
                sort_aggregate::sort_aggregate(next()?, keys, aggregates, s)
            }
            Operator::UniqueKeyJoin { kind, many_keys, unique_keys, residual, many, .. } => {
                let all = join_wants(plan, wants)?;
                let unique_wants = all.get(many.fields.len()..).unwrap_or_default();
                let residual = residual.as_ref();
                let join = Join { kind: *kind, many_keys, unique_keys, residual, unique_wants };
                unique_join::unique_join(next()?, next()?, &join, s)
            }
            Operator::OneRowJoin { .. } => one_row_join::one_row_join(next()?, &next()?, s),
            Operator::Sort { keys, .. } => sort::sort(next()?, keys, wants, s),
            Operator::Limit { input, skip, fetch } => {
                let in_front = limit::valid_rows_come_first(input);
                limit::limit(next()?, in_front, *skip, *fetch, wants, s)
            }
            Operator::Reveal { .. } => reveal::reveal(plan, next()?, s),
        }
    }
}

/// Checks the shape of what an operator made, and gives its columns the types of the plan's fields.
fn conform(
    mut relation: Relation,
    plan: &Plan,
    wants: &[Want],
    s: &mut Session,
) -> Result<Relation> {
    // A padded result has as many rows as was opened.
    let shrinks = matches!(plan.op, Operator::Reveal { .. });
    let rows = if shrinks { relation.rows as u64 } else { plan.rows };
    relation.check(rows, plan.fields.len())?;
    let columns = std::mem::take(&mut relation.columns);
    for ((column, field), want) in columns.into_iter().zip(&plan.fields).zip(wants) {
        relation.columns.push(column.retype(s, &field.ty, *want)?);
    }
    relation.check(rows, plan.fields.len())?;
    Ok(relation)
}

/// What an operator needs of the columns of each of its inputs, given what is wanted of its own.
fn input_wants(plan: &Plan, wants: &[Want]) -> Result<Vec<Vec<Want>>> {
    let width = |input: &Plan| input.fields.len();
    let from = |input: &Plan, exprs: &[&Expr], aggregates: &[Aggregate]| {
        let mut out = vec![Want::NOTHING; width(input)];
        for expr in exprs {
            collect(expr, Want::PLANES, &mut out);
        }
        for aggregate in aggregates {
            if let Some(argument) = &aggregate.argument {
                collect(argument, measure::argument_want(aggregate), &mut out);
            }
            if let Some(filter) = &aggregate.filter {
                collect(filter, Want::PLANES, &mut out);
            }
        }
        out
    };
    let through = |input: &Plan, exprs: &[&Expr]| {
        let own = wants.iter().chain(std::iter::repeat(&Want::NOTHING));
        let needed = from(input, exprs, &[]);
        needed.into_iter().zip(own).map(|(need, want)| need.and(*want)).collect()
    };
    Ok(match &plan.op {
        Operator::Scan { .. } | Operator::Values(_) => Vec::new(),
        Operator::Filter { input, predicate } => vec![through(input, &[predicate])],
        Operator::Project { input, exprs } => {
            let mut out = vec![Want::NOTHING; width(input)];
            for (expr, want) in exprs.iter().zip(wants).filter(|(_, want)| want.used) {
                collect(expr, *want, &mut out);
            }
            vec![out]
        }
        Operator::UnionAll(inputs) => vec![wants.to_vec(); inputs.len()],
        Operator::ScalarAggregate { input, aggregates } => vec![from(input, &[], aggregates)],
        Operator::SmallDomainAggregate { input, keys, aggregates }
        | Operator::SortAggregate { input, keys, aggregates } => {
            vec![from(input, &keys.iter().collect::<Vec<_>>(), aggregates)]
        }
        Operator::UniqueKeyJoin { many, many_keys, unique, unique_keys, .. } => {
            let all = join_wants(plan, wants)?;
            let mut of_many = from(many, &many_keys.iter().collect::<Vec<_>>(), &[]);
            let mut of_unique = from(unique, &unique_keys.iter().collect::<Vec<_>>(), &[]);
            for (need, want) in of_many.iter_mut().chain(&mut of_unique).zip(all) {
                *need = need.and(want);
            }
            vec![of_many, of_unique]
        }
        Operator::OneRowJoin { input, one } => {
            let all = wants.iter().copied().chain(std::iter::repeat(Want::NOTHING));
            let of_input: Vec<Want> = all.clone().take(width(input)).collect();
            let of_one = all.skip(width(input)).take(width(one)).collect();
            vec![of_input, of_one]
        }
        Operator::Sort { input, keys } => {
            vec![through(input, &keys.iter().map(|k| &k.expr).collect::<Vec<_>>())]
        }
        Operator::Limit { input, .. } | Operator::Reveal { input, .. } => {
            vec![through(input, &[])]
        }
    })
}

/// What is wanted of (many fields, unique fields) after the match: the output and the residual.
fn join_wants(plan: &Plan, wants: &[Want]) -> Result<Vec<Want>> {
    let Operator::UniqueKeyJoin { kind, many, unique, residual, .. } = &plan.op else {
        return Err(QueryError::bug("no join"));
    };
    let mut all = vec![Want::NOTHING; many.fields.len() + unique.fields.len()];
    let shown = match kind {
        JoinKind::Inner | JoinKind::Left => all.len(),
        JoinKind::Semi | JoinKind::Anti => many.fields.len(),
    };
    for (own, want) in all.iter_mut().take(shown).zip(wants) {
        *own = *want;
    }
    if let Some(residual) = residual {
        collect(residual, Want::PLANES, &mut all);
    }
    Ok(all)
}
