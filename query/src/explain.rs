//! EXPLAIN: one line for each operator, in pre-order; in brackets what the profile made of choices: how its
//! rows are sorted, and in which forms its circuits run.

mod text;

use crate::error::QueryError;
use crate::executor::{OperatorCost, dry_costs, dry_run, inputs};
use crate::plan::{Expr, Field, Operator, Plan, ResultSize};
use crate::policy;
use trine_mpc::{Cost, Profile};
use trine_proto::wire::{Counted, ExplainRow};

/// What the nodes see of a sort.
pub(crate) const SORT_OPENS: &str = "comparison results of shuffled distinct keys";

/// The predicted rows.
pub(crate) fn rows(plan: &Plan, profile: Profile) -> Result<Vec<ExplainRow>, QueryError> {
    tree(plan, 0, dry_run(plan, profile)?)
}

/// The predicted rows of a plan without a Reveal, below other lines.
pub(crate) fn rows_below(
    plan: &Plan,
    depth: u32,
    profile: Profile,
) -> Result<Vec<ExplainRow>, QueryError> {
    tree(plan, depth, dry_costs(plan, profile)?)
}

fn tree(plan: &Plan, depth: u32, costs: Vec<OperatorCost>) -> Result<Vec<ExplainRow>, QueryError> {
    let mut operators = Vec::with_capacity(costs.len());
    flatten(plan, depth, &mut operators);
    if operators.len() != costs.len() {
        return Err(QueryError::bug("a dry run has another number of operators"));
    }
    Ok(operators
        .into_iter()
        .zip(&costs)
        .map(|((depth, plan), cost)| row(depth, plan, cost))
        .collect())
}

/// The same with what was counted at this party.
pub(crate) fn analysed(
    plan: &Plan,
    profile: Profile,
    counted: &[OperatorCost],
    party: usize,
) -> Result<Vec<ExplainRow>, QueryError> {
    let predicted = dry_run(plan, profile)?;
    let mut rows = rows(plan, profile)?;
    if rows.len() != counted.len() {
        return Err(QueryError::bug("a run has another number of operators"));
    }
    for ((row, counted), predicted) in rows.iter_mut().zip(counted).zip(&predicted) {
        row.counted = Some(Counted {
            rounds: counted.cost.rounds,
            bytes_sent: counted.cost.bytes.get(party).copied().unwrap_or(0),
        });
        if row.expected {
            let again = recomputed(predicted, counted.sorts_recomputed);
            row.rounds_recomputed = again.rounds;
            row.bytes_recomputed = again.bytes.to_vec();
        }
    }
    Ok(rows)
}

/// The prediction with the sorts' expectation replaced by what their opened segments say.
fn recomputed(predicted: &OperatorCost, sorts: Cost) -> Cost {
    let replace = |all: u64, expected: u64, real: u64| all.saturating_sub(expected) + real;
    let mut bytes = [0; 3];
    for (party, own) in bytes.iter_mut().enumerate() {
        *own = replace(
            predicted.cost.bytes[party],
            predicted.sorts_predicted.bytes[party],
            sorts.bytes[party],
        );
    }
    let rounds = replace(predicted.cost.rounds, predicted.sorts_predicted.rounds, sorts.rounds);
    Cost { rounds, bytes }
}

fn flatten<'a>(plan: &'a Plan, depth: u32, out: &mut Vec<(u32, &'a Plan)>) {
    out.push((depth, plan));
    for input in inputs(plan) {
        flatten(input, depth + 1, out);
    }
}

fn row(depth: u32, plan: &Plan, cost: &OperatorCost) -> ExplainRow {
    let expected = cost.sorts_predicted != Cost::default();
    let mut opens = Vec::new();
    if expected {
        opens.push(SORT_OPENS);
    }
    if matches!(plan.op, Operator::Reveal { size: ResultSize::Padded, .. }) {
        opens.push(policy::RESULT_SIZE);
    }
    let chosen = cost.chosen.to_string();
    let chosen = if chosen.is_empty() { chosen } else { format!(" [{chosen}]") };
    ExplainRow {
        depth,
        text: format!("{}{chosen}", text::operator(plan)),
        rows: plan.rows,
        rounds: cost.cost.rounds,
        bytes: cost.cost.bytes.to_vec(),
        expected,
        opens: opens.join("; "),
        counted: None,
        rounds_recomputed: 0,
        bytes_recomputed: Vec::new(),
    }
}

/// An expression over columns of these names.
pub(crate) fn condition(expr: &Expr, fields: &[Field]) -> String {
    text::expr(expr, fields)
}

/// How a relation is computed, in one line.
pub(crate) fn source(plan: &Plan) -> String {
    text::source(plan)
}

/// Whether the result has the order of ORDER BY.
pub(crate) const fn is_ordered(plan: &Plan) -> bool {
    matches!(plan.op, Operator::Reveal { ordered: true, .. })
}
