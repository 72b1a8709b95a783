//! Runs a plan: recursion over the closed set of operators, in one fixed order at all parties.
//!
//! The same code runs on real shares and on ghosts (a dry session): what EXPLAIN predicts and what a
//! run counts agree by construction. Before and after every operator shapes are checked against the
//! plan; no step looks at a value.

mod memory;
mod wants;

use crate::error::{QueryError, Result};
use crate::expr::{gather, merge};
use crate::ops::pair_aggregate::pair_aggregate;
use crate::ops::scan::Source;
use crate::ops::sort_aggregate::GroupBy;
use crate::ops::unique_join::Join;
use crate::ops::window::Window;
use crate::ops::{
    cross_join, filter, limit, lookup_join, one_row_join, project, public, public_aggregate,
    reveal, scalar_aggregate, scan, small_domain, sort, sort_aggregate, union_all, unique_join,
    values, window,
};
use crate::output::{ShareVector, failure_vector, output};
use crate::plan::{Failure, JoinMethod, Operator, Plan};
use crate::relation::Relation;
use crate::want::Want;
use std::collections::BTreeMap;
use trine_mpc::{Chosen, Cost, Planes, Profile, Session};
use trine_proto::wire::OutputColumn;
use trine_storage::Store;
use wants::{join_wants, plan_wants};

pub use memory::Memory;
pub(crate) use memory::memory;

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
    /// What was chosen where there was a choice.
    pub chosen: Chosen,
}

/// This party's part of a result.
#[derive(Clone, Debug)]
pub struct Executed {
    /// Rows; those whose valid bit is 0 do not exist.
    pub rows: u64,
    /// Public description of the columns.
    pub columns: Vec<OutputColumn>,
    /// Per column its values, then its NULL plane if nullable; then the valid plane; last one plane of
    /// one row for each of `failures`.
    pub vectors: Vec<ShareVector>,
    /// What may have failed in some row; whether it did is in the last vectors, for the client only.
    pub failures: Vec<Failure>,
    /// One per operator, in pre-order of the plan.
    pub counted: Vec<OperatorCost>,
}

struct Run<'a> {
    session: &'a mut Session,
    store: Option<&'a Store>,
    observer: Option<&'a mut dyn Observer>,
    costs: Vec<OperatorCost>,
    failures: Failures,
    done: u32,
    total: u32,
    /// Per node in pre-order.
    wants: Vec<Vec<Want>>,
    /// Relations that are used again: how often still, and the relation once it ran.
    kept: BTreeMap<usize, (u32, Option<Relation>)>,
}

/// One row a kind: 1 where it happened in some row of some operator.
pub(crate) type Failures = Vec<(Failure, Planes)>;

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
    let (relation, counted, failures) = execute(plan, session, Some(store), Some(observer))?;
    let rows =
        u64::try_from(relation.rows).map_err(|_| QueryError::bug("more rows than memory"))?;
    let (columns, mut vectors) = output(relation, &plan.fields, session)?;
    vectors.extend(failures.iter().map(|(_, bit)| failure_vector(bit)));
    let failures = failures.into_iter().map(|(failure, _)| failure).collect();
    Ok(Executed { rows, columns, vectors, failures, counted })
}

/// Predicts what every operator of a plan costs, in pre-order: the same code on ghosts, no storage,
/// no network.
///
/// # Errors
/// [`QueryError::Sql`] for a plan that cannot run, `Bug` for one that contradicts itself.
pub fn dry_run(plan: &Plan, profile: Profile) -> Result<Vec<OperatorCost>> {
    let mut session = Session::dry(profile);
    let (_, costs, _) = execute(plan, &mut session, None, None)?;
    Ok(costs)
}

/// The same for a plan without a Reveal.
///
/// # Errors
/// As [`dry_run`].
pub(crate) fn dry_costs(plan: &Plan, profile: Profile) -> Result<Vec<OperatorCost>> {
    let mut session = Session::dry(profile);
    let (_, costs, _) = walk(plan, &mut session, None, None)?;
    Ok(costs)
}

/// Runs a plan without a Reveal; its relation stays shared. Beside it, one bit for each kind of failure
/// that may have been raised.
pub(crate) fn evaluate<'a>(
    plan: &Plan,
    session: &'a mut Session,
    store: Option<&'a Store>,
) -> Result<(Relation, Failures)> {
    let (relation, _, failures) = walk(plan, session, store, None)?;
    Ok((relation, failures))
}

fn execute<'a>(
    plan: &Plan,
    session: &'a mut Session,
    store: Option<&'a Store>,
    observer: Option<&'a mut dyn Observer>,
) -> Result<(Relation, Vec<OperatorCost>, Failures)> {
    if !matches!(plan.op, Operator::Reveal { .. }) {
        return Err(QueryError::bug("the root of a plan is no Reveal"));
    }
    walk(plan, session, store, observer)
}

fn walk<'a>(
    plan: &Plan,
    session: &'a mut Session,
    store: Option<&'a Store>,
    observer: Option<&'a mut dyn Observer>,
) -> Result<(Relation, Vec<OperatorCost>, Failures)> {
    let total = count(plan);
    let mut kept = BTreeMap::new();
    used_again(plan, &mut kept);
    let wants = plan_wants(plan)?;
    // What a run before this one left behind is not this one's.
    drop(session.take_raised());
    session.restart_turns();
    let (costs, failures) = (Vec::new(), Vec::new());
    let mut run = Run { session, store, observer, costs, failures, done: 0, total, wants, kept };
    let relation = run.relation(plan)?;
    Ok((relation, run.costs, run.failures))
}

/// Rows from which on what an operator freed goes back to the system before the next one runs.
const RELEASE_ROWS: usize = 1 << 16;

/// Inputs of an operator, in the order in which they run.
#[must_use]
pub fn inputs(plan: &Plan) -> Vec<&Plan> {
    match &plan.op {
        Operator::Scan { .. }
        | Operator::Values(_)
        | Operator::Public { .. }
        | Operator::Again { .. } => Vec::new(),
        Operator::Filter { input, .. }
        | Operator::PublicFilter { input, .. }
        | Operator::PublicColumns { input, .. }
        | Operator::PublicAggregate { input, .. }
        | Operator::Project { input, .. }
        | Operator::ScalarAggregate { input, .. }
        | Operator::SmallDomainAggregate { input, .. }
        | Operator::SortAggregate { input, .. }
        | Operator::Sort { input, .. }
        | Operator::Limit { input, .. }
        | Operator::Window { input, .. }
        | Operator::Reveal { input, .. } => vec![input.as_ref()],
        Operator::UnionAll(inputs) => inputs.iter().collect(),
        Operator::UniqueKeyJoin { many, unique, .. } => vec![many.as_ref(), unique.as_ref()],
        Operator::OneRowJoin { input, one } => vec![input.as_ref(), one.as_ref()],
        Operator::CrossJoin { left, right }
        | Operator::PublicJoin { left, right, .. }
        | Operator::PairAggregate { left, right, .. } => {
            vec![left.as_ref(), right.as_ref()]
        }
    }
}

/// Name of an operator, for progress.
#[must_use]
pub const fn operator_name(op: &Operator) -> &'static str {
    match op {
        Operator::Scan { .. } => "Scan",
        Operator::Values(_) => "Values",
        Operator::Public { .. } => "Public",
        Operator::PublicFilter { .. } => "PublicFilter",
        Operator::PublicColumns { .. } => "PublicColumns",
        Operator::PublicJoin { .. } => "PublicJoin",
        Operator::PublicAggregate { .. } => "PublicAggregate",
        Operator::Filter { .. } => "Filter",
        Operator::Project { .. } => "Project",
        Operator::UnionAll(_) => "UnionAll",
        Operator::ScalarAggregate { .. } => "ScalarAggregate",
        Operator::SmallDomainAggregate { .. } => "SmallDomainAggregate",
        Operator::SortAggregate { .. } => "SortAggregate",
        Operator::UniqueKeyJoin { method: JoinMethod::Sort, .. } => "UniqueKeyJoin",
        Operator::UniqueKeyJoin { method: JoinMethod::Merge, .. } => "MergeJoin",
        Operator::UniqueKeyJoin { method: JoinMethod::Lookup, .. } => "LookupJoin",
        Operator::CrossJoin { .. } => "CrossJoin",
        Operator::PairAggregate { .. } => "PairAggregate",
        Operator::Window { .. } => "Window",
        Operator::Again { .. } => "Again",
        Operator::OneRowJoin { .. } => "OneRowJoin",
        Operator::Sort { .. } => "Sort",
        Operator::Limit { .. } => "Limit",
        Operator::Reveal { .. } => "Reveal",
    }
}

fn count(plan: &Plan) -> u32 {
    inputs(plan).into_iter().map(count).sum::<u32>() + 1
}

/// Counts the users of every node that is used again.
fn used_again(plan: &Plan, kept: &mut BTreeMap<usize, (u32, Option<Relation>)>) {
    if let Operator::Again { node } = &plan.op {
        let node = usize::try_from(*node).unwrap_or(usize::MAX);
        kept.entry(node).or_default().0 += 1;
    }
    inputs(plan).into_iter().for_each(|input| used_again(input, kept));
}

pub(crate) fn difference(after: Cost, before: Cost) -> Cost {
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
            chosen: Chosen::default(),
        }
    }

    /// Inputs first, then the operator itself, whose cost alone is booked at its position.
    fn relation(&mut self, plan: &Plan) -> Result<Relation> {
        let position = self.costs.len();
        self.costs.push(OperatorCost::default());
        let wants = self.wants.get(position).cloned().unwrap_or_default();
        let wants = wants.as_slice();
        let mut ready = Vec::new();
        for input in inputs(plan) {
            ready.push(self.relation(input)?);
        }
        self.session.check()?;
        if let Some(observer) = &mut self.observer {
            observer.operator(operator_name(&plan.op), self.done, self.total);
        }
        let before = self.books();
        let _ = self.session.take_chosen();
        let relation = self.operator(plan, wants, ready)?;
        let relation = conform(relation, plan, wants, self.session)?;
        let raised = gather(self.session)?;
        merge(&mut self.failures, raised, self.session)?;
        let after = self.books();
        self.costs[position] = OperatorCost {
            cost: difference(after.cost, before.cost),
            sorts_predicted: difference(after.sorts_predicted, before.sorts_predicted),
            sorts_recomputed: difference(after.sorts_recomputed, before.sorts_recomputed),
            chosen: self.session.take_chosen(),
        };
        self.done += 1;
        if self.store.is_some() && relation.rows >= RELEASE_ROWS {
            trine_mpc::release_freed();
        }
        if let Some((_, kept)) = self.kept.get_mut(&position) {
            *kept = Some(relation.clone());
        }
        Ok(relation)
    }

    /// A relation that ran before; the last user takes it away.
    fn again(&mut self, node: u32) -> Result<Relation> {
        let missing = || QueryError::bug("a plan uses again what did not run before");
        let node = usize::try_from(node).map_err(|_| missing())?;
        let (users, kept) = self.kept.get_mut(&node).ok_or_else(missing)?;
        *users = users.saturating_sub(1);
        if *users == 0 { kept.take() } else { kept.clone() }.ok_or_else(missing)
    }

    fn operator(&mut self, plan: &Plan, wants: &[Want], ready: Vec<Relation>) -> Result<Relation> {
        if let Operator::Again { node } = &plan.op {
            return self.again(*node);
        }
        let s = &mut *self.session;
        if let Operator::UnionAll(_) = &plan.op {
            return union_all::union_all(ready, &plan.fields, wants, s);
        }
        let mut ready = ready.into_iter();
        let mut next = || ready.next().ok_or_else(|| QueryError::bug("an operator lacks an input"));
        match &plan.op {
            Operator::Scan { table, schema, segments, columns, kept } => {
                let kept = kept.as_ref().map(|kept| kept.rows.rows());
                let source = Source { table: *table, schema, segments, columns, kept };
                scan::scan(&source, wants, s, self.store)
            }
            Operator::Values(rows) => values::values(rows, &plan.fields, s),
            Operator::Public { values, .. } => public::values(values, &plan.fields, wants, s),
            Operator::PublicFilter { kept, .. } => public::picked(next()?, kept.rows.rows(), s),
            Operator::PublicColumns { values, .. } => {
                public::beside(next()?, values, &plan.fields, wants, s)
            }
            Operator::PublicAggregate { groups, keys, aggregates, .. } => {
                let by = (groups.rows(), keys);
                public_aggregate::public_aggregate(next()?, by, &plan.fields, aggregates, wants, s)
            }
            Operator::PublicJoin { left_rows, right_rows, .. } => {
                public::paired((next()?, left_rows.rows()), (next()?, right_rows.rows()), s)
            }
            Operator::Filter { predicate, .. } => filter::filter(next()?, predicate, s),
            Operator::Project { exprs, .. } => project::project(next()?, exprs, wants, s),
            Operator::UnionAll(_) | Operator::Again { .. } => Err(QueryError::bug("handled above")),
            Operator::ScalarAggregate { aggregates, .. } => {
                scalar_aggregate::scalar_aggregate(next()?, aggregates, s)
            }
            Operator::SmallDomainAggregate { keys, aggregates, .. } => {
                small_domain::small_domain(next()?, keys, aggregates, s)
            }
            Operator::SortAggregate { keys, determined, presorted, aggregates, .. } => {
                let needed = keys.len().saturating_sub(*determined as usize);
                let groups = usize::try_from(plan.rows).unwrap_or(usize::MAX);
                let by = GroupBy { keys, needed, presorted: *presorted, groups, wants };
                sort_aggregate::sort_aggregate(next()?, &by, aggregates, s)
            }
            Operator::UniqueKeyJoin { .. } => unique_key_join(plan, wants, next()?, next()?, s),
            Operator::CrossJoin { .. } => cross_join::cross_join(next()?, next()?, s),
            Operator::PairAggregate { condition, aggregates, .. } => {
                let (left, right) = (next()?, next()?);
                pair_aggregate(left, &right, condition.as_ref(), aggregates, s)
            }
            Operator::Window { partition, order, functions, .. } => {
                let window = Window { partition, order, functions };
                window::window(next()?, &window, wants, s)
            }
            Operator::OneRowJoin { .. } => one_row_join::one_row_join(next()?, &next()?, s),
            Operator::Sort { keys, .. } => sort::sort(next()?, keys, wants, plan.rows, s),
            Operator::Limit { input, skip, fetch } => {
                let in_front = limit::valid_rows_come_first(input);
                limit::limit(next()?, in_front, *skip, *fetch, wants, s)
            }
            Operator::Reveal { .. } => reveal::reveal(plan, next()?, s),
        }
    }
}

fn unique_key_join(
    plan: &Plan,
    wants: &[Want],
    many: Relation,
    unique: Relation,
    s: &mut Session,
) -> Result<Relation> {
    let Operator::UniqueKeyJoin { kind, many_keys, unique_keys, residual, method, .. } = &plan.op
    else {
        return Err(QueryError::bug("no join"));
    };
    let all = join_wants(plan, wants)?;
    let unique_wants = all.get(many.columns.len()..).unwrap_or_default();
    let residual = residual.as_ref();
    let join = Join { kind: *kind, many_keys, unique_keys, residual, unique_wants };
    match method {
        JoinMethod::Sort => unique_join::unique_join(many, unique, &join, s),
        JoinMethod::Merge => {
            let many_wants = all.get(..many.columns.len()).unwrap_or_default();
            unique_join::merge_join(many, unique, &join, many_wants, s)
        }
        JoinMethod::Lookup => lookup_join::lookup_join(many, unique, &join, s),
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
