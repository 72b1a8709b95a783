//! Rewrites of finished plans that keep the meaning: the plan gets shorter to read and to run.
//! Applied in order, once, from the leaves up; last, what occurs twice is computed once ([`share`]).

mod merge_projections;
mod share;

use crate::plan::{Operator, Plan};

/// One rewrite of one node whose inputs are rewritten already.
type Rule = fn(Plan) -> Plan;

/// The rules in order.
const RULES: [Rule; 1] = [merge_projections::apply];

/// Applies every rule to every node, then shares what occurs twice.
pub(crate) fn apply(plan: Plan) -> Plan {
    share::apply(each(plan))
}

fn each(plan: Plan) -> Plan {
    let plan = with_inputs(plan, &each);
    RULES.iter().fold(plan, |plan, rule| rule(plan))
}

/// The plan with each input replaced.
pub(crate) fn with_inputs(plan: Plan, f: &dyn Fn(Plan) -> Plan) -> Plan {
    let one = |input: Box<Plan>| Box::new(f(*input));
    let op = match plan.op {
        op @ (Operator::Scan { .. }
        | Operator::Values(_)
        | Operator::Public { .. }
        | Operator::Again { .. }) => op,
        Operator::PublicFilter { input, kept } => {
            Operator::PublicFilter { input: one(input), kept }
        }
        Operator::PublicColumns { input, values } => {
            Operator::PublicColumns { input: one(input), values }
        }
        Operator::PublicAggregate { input, groups, keys, aggregates } => {
            Operator::PublicAggregate { input: one(input), groups, keys, aggregates }
        }
        Operator::PublicJoin { left, right, left_rows, right_rows, condition } => {
            let (left, right) = (one(left), one(right));
            Operator::PublicJoin { left, right, left_rows, right_rows, condition }
        }
        Operator::Filter { input, predicate } => Operator::Filter { input: one(input), predicate },
        Operator::Project { input, exprs } => Operator::Project { input: one(input), exprs },
        Operator::UnionAll(inputs) => Operator::UnionAll(inputs.into_iter().map(f).collect()),
        Operator::ScalarAggregate { input, aggregates } => {
            Operator::ScalarAggregate { input: one(input), aggregates }
        }
        Operator::SmallDomainAggregate { input, keys, aggregates } => {
            Operator::SmallDomainAggregate { input: one(input), keys, aggregates }
        }
        Operator::SortAggregate { input, keys, determined, presorted, aggregates } => {
            Operator::SortAggregate { input: one(input), keys, determined, presorted, aggregates }
        }
        Operator::UniqueKeyJoin {
            kind,
            many,
            unique,
            many_keys,
            unique_keys,
            residual,
            method,
        } => {
            let (many, unique) = (one(many), one(unique));
            Operator::UniqueKeyJoin { kind, many, unique, many_keys, unique_keys, residual, method }
        }
        Operator::CrossJoin { left, right } => {
            Operator::CrossJoin { left: one(left), right: one(right) }
        }
        Operator::PairAggregate { left, right, condition, aggregates } => {
            let (left, right) = (one(left), one(right));
            Operator::PairAggregate { left, right, condition, aggregates }
        }
        Operator::Window { input, partition, order, functions } => {
            Operator::Window { input: one(input), partition, order, functions }
        }
        Operator::OneRowJoin { input, one: row } => {
            Operator::OneRowJoin { input: one(input), one: one(row) }
        }
        Operator::Sort { input, keys } => Operator::Sort { input: one(input), keys },
        Operator::Limit { input, skip, fetch } => {
            Operator::Limit { input: one(input), skip, fetch }
        }
        Operator::Reveal { input, size, ordered } => {
            Operator::Reveal { input: one(input), size, ordered }
        }
    };
    Plan { op, ..plan }
}
