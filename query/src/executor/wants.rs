//! What of every relation of a plan is wanted by the operators above it.

use crate::error::{QueryError, Result};
use crate::executor::inputs;
use crate::ops::{measure, window};
use crate::plan::{Aggregate, Expr, JoinKind, Operator, Plan};
use crate::want::{Want, collect};

/// Per node in pre-order what is wanted of its columns; a node that is used again is wanted by all
/// its users.
pub(super) fn plan_wants(plan: &Plan) -> Result<Vec<Vec<Want>>> {
    let mut nodes = Vec::new();
    flatten(plan, &mut nodes);
    let mut wants: Vec<Vec<Want>> =
        nodes.iter().map(|(node, _)| vec![Want::NOTHING; node.fields.len()]).collect();
    if let Some(root) = wants.first_mut() {
        root.fill(Want::ANY);
    }
    // A user stands behind what it uses: what it wants reaches that only in the next pass.
    loop {
        let mut changed = false;
        for (position, (node, starts)) in nodes.iter().enumerate() {
            let own = wants.get(position).cloned().unwrap_or_default();
            if let Operator::Again { node: earlier } = &node.op {
                let target = usize::try_from(*earlier).unwrap_or(usize::MAX);
                let Some(target) = wants.get_mut(target).filter(|_| target < position) else {
                    return Err(QueryError::bug("a plan uses again what did not run before"));
                };
                changed |= merge(target, &own);
                continue;
            }
            for (start, needed) in starts.iter().zip(input_wants(node, &own)?) {
                if let Some(target) = wants.get_mut(*start) {
                    merge(target, &needed);
                }
            }
        }
        if !changed {
            return Ok(wants);
        }
    }
}

/// Adds wants; whether that changed anything.
fn merge(target: &mut [Want], more: &[Want]) -> bool {
    let before = target.to_vec();
    for (own, more) in target.iter_mut().zip(more) {
        *own = own.and(*more);
    }
    before != target
}

/// Nodes in pre-order, each with the positions of its inputs.
fn flatten<'a>(plan: &'a Plan, out: &mut Vec<(&'a Plan, Vec<usize>)>) {
    let position = out.len();
    out.push((plan, Vec::new()));
    for input in inputs(plan) {
        let start = out.len();
        if let Some((_, starts)) = out.get_mut(position) {
            starts.push(start);
        }
        flatten(input, out);
    }
}

/// What an operator needs of the columns of each of its inputs, given what is wanted of its own.
fn input_wants(plan: &Plan, wants: &[Want]) -> Result<Vec<Vec<Want>>> {
    let width = |input: &Plan| input.fields.len();
    let from = |input: &Plan, exprs: &[&Expr], aggregates: &[Aggregate]| {
        let mut out = vec![Want::NOTHING; width(input)];
        for expr in exprs {
            collect(expr, Want::PLANES, &mut out);
        }
        collect_aggregates(aggregates, &mut out);
        out
    };
    let through = |input: &Plan, exprs: &[&Expr]| {
        let own = wants.iter().chain(std::iter::repeat(&Want::NOTHING));
        let needed = from(input, exprs, &[]);
        needed.into_iter().zip(own).map(|(need, want)| need.and(*want)).collect()
    };
    Ok(match &plan.op {
        Operator::Scan { .. }
        | Operator::Values(_)
        | Operator::Public { .. }
        | Operator::Again { .. } => Vec::new(),
        Operator::PublicColumns { input, .. } => {
            vec![wants.iter().copied().take(width(input)).collect()]
        }
        Operator::Filter { input, predicate } => vec![through(input, &[predicate])],
        Operator::Project { input, exprs } => {
            let mut out = vec![Want::NOTHING; width(input)];
            for (expr, want) in exprs.iter().zip(wants).filter(|(_, want)| want.used) {
                collect(expr, *want, &mut out);
            }
            vec![out]
        }
        Operator::UnionAll(inputs) => vec![wants.to_vec(); inputs.len()],
        Operator::ScalarAggregate { input, aggregates }
        | Operator::PublicAggregate { input, aggregates, .. } => {
            vec![from(input, &[], aggregates)]
        }
        Operator::SmallDomainAggregate { input, keys, aggregates }
        | Operator::SortAggregate { input, keys, aggregates, .. } => {
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
        Operator::CrossJoin { left, right } | Operator::PublicJoin { left, right, .. } => {
            let (of_left, of_right) = wants.split_at(width(left).min(wants.len()));
            debug_assert_eq!(of_right.len(), width(right));
            vec![of_left.to_vec(), of_right.to_vec()]
        }
        Operator::PairAggregate { left, right, condition, aggregates } => {
            let mut all = vec![Want::NOTHING; width(left) + width(right)];
            if let Some(condition) = condition {
                collect(condition, Want::PLANES, &mut all);
            }
            collect_aggregates(aggregates, &mut all);
            for (own, want) in all.iter_mut().take(width(left)).zip(wants) {
                *own = own.and(*want);
            }
            let of_right = all.split_off(width(left));
            vec![all, of_right]
        }
        Operator::Window { input, partition, order, functions } => {
            let mut out: Vec<Want> = wants.iter().copied().take(width(input)).collect();
            for expr in partition.iter().chain(order.iter().map(|k| &k.expr)) {
                collect(expr, Want::PLANES, &mut out);
            }
            functions.iter().for_each(|f| window::argument_wants(f, &mut out));
            vec![out]
        }
        Operator::Sort { input, keys } => {
            vec![through(input, &keys.iter().map(|k| &k.expr).collect::<Vec<_>>())]
        }
        Operator::PublicFilter { input, .. }
        | Operator::Limit { input, .. }
        | Operator::Reveal { input, .. } => {
            vec![through(input, &[])]
        }
    })
}

fn collect_aggregates(aggregates: &[Aggregate], out: &mut [Want]) {
    for aggregate in aggregates {
        if let Some(argument) = &aggregate.argument {
            collect(argument, measure::argument_want(aggregate), out);
        }
        if let Some(filter) = &aggregate.filter {
            collect(filter, Want::PLANES, out);
        }
    }
}

/// What is wanted of (many fields, unique fields) after the match: the output and the residual.
pub(super) fn join_wants(plan: &Plan, wants: &[Want]) -> Result<Vec<Want>> {
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
