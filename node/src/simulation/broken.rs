//! The check of the checker: each test breaks one rule of the control plane, and the simulation must notice
//! within a few seeds. A rule that can be broken unnoticed is not covered by the simulation at all.
//!
//! Rules are broken here and in the model around the state machine, never in the code that nodes run.

use super::world::World;
use trine_consensus::state_machine::apply;
use trine_proto::catalog::{Catalog, SegmentEntry, TransactionState};
use trine_proto::command::{Command, NodeCommand, NodeCommandKind};
use trine_proto::ids::{LogIndex, TransactionId};

/// A rule that does not hold in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A Commit needs the receipts of all three parties: here two will do.
    ThreeReceipts,
    /// Only the log ends a staged part: here a node's timer deletes it.
    OnlyTheLogDeletes,
    /// The first of Commit and Abort in the log wins: here the last.
    FirstWins,
    /// Apply depends on nothing but the log: here one node does not list what its clock finds late.
    NoClockInApply,
    /// Files that something may read stay: here what was replaced goes at once.
    ReplacedFilesStay,
    /// A node that comes back asks for a new attempt: here it joins the one under way, under its old keys.
    RestartsAskAnew,
    /// A report is offered until the log has it: here once.
    ReportsAreRepeated,
    /// Another attempt has another number: here the old one, and its keys with it.
    AttemptsAreNumbered,
    /// A packed segment takes the place of those that it was made of: here it is listed beside them.
    PackedOnce,
}

/// Seeds in which a broken rule must show.
const SEEDS: u64 = 30;

/// The state machine with a rule broken.
pub(super) fn apply_broken(
    rule: Option<Rule>,
    (node, late): (usize, bool),
    catalog: &mut Catalog,
    index: LogIndex,
    command: &Command,
) {
    let before = rule.map(|_| catalog.clone());
    apply(catalog, index, command);
    let Some((rule, before)) = rule.zip(before) else { return };
    match rule {
        Rule::FirstWins => revoke(catalog, index, command),
        Rule::NoClockInApply if node == 1 && late => {
            for table in catalog.tables.values_mut() {
                table.segments.retain(|s| s.valid_from < index);
            }
        }
        Rule::AttemptsAreNumbered => {
            for (id, job) in &mut catalog.jobs {
                if let Some(old) = before.jobs.get(id).filter(|old| old.attempt < job.attempt) {
                    job.attempt = old.attempt;
                }
            }
            for (id, state) in &mut catalog.transactions {
                if let TransactionState::Validating(now) = state
                    && let Some(TransactionState::Validating(old)) = before.transactions.get(id)
                    && old.attempt > 0
                {
                    now.attempt = old.attempt;
                }
            }
        }
        Rule::PackedOnce => {
            for (id, table) in &mut catalog.tables {
                let packed = |old: &SegmentEntry| !table.segments.iter().any(|s| s.id == old.id);
                let known = before.tables.get(id).map_or(&[][..], |t| t.segments.as_slice());
                let gone: Vec<SegmentEntry> = known.iter().filter(|s| packed(s)).cloned().collect();
                let was_pack = known.len() > 30 && gone.len() > 30;
                table.segments.extend(gone.into_iter().filter(|_| was_pack));
            }
        }
        _ => {}
    }
}

/// An Abort ends what is committed.
fn revoke(catalog: &mut Catalog, index: LogIndex, command: &Command) {
    let Command::Node(signed) = command else { return };
    let Ok(NodeCommand { kind: NodeCommandKind::Abort { transaction, error }, .. }) =
        postcard::from_bytes(&signed.body)
    else {
        return;
    };
    let TransactionId(id) = transaction;
    if let Some(state) = catalog.transactions.get_mut(&transaction)
        && matches!(state, TransactionState::Committed(_))
    {
        *state = TransactionState::Aborted(index, error);
        for table in catalog.tables.values_mut() {
            table.segments.retain(|s| s.id.0 != id);
        }
    }
}

/// The first seed in which the simulation notices, and what it says.
fn noticed(rule: Rule) -> (u64, String) {
    let told = (1..=SEEDS).find_map(|seed| {
        let broken = World::with_broken(seed, rule).try_run().err()?;
        Some((seed, broken))
    });
    told.unwrap_or_else(|| panic!("{rule:?} was broken, and {SEEDS} seeds do not show it"))
}

/// A test for each rule, so that they run side by side. The sentence is part of the promise that must be
/// found broken.
macro_rules! noticed {
    ($($name:ident: $rule:ident => $sentence:literal),+ $(,)?) => {
        $(#[test]
        fn $name() {
            let (seed, said) = noticed(Rule::$rule);
            assert!(said.contains($sentence), "seed {seed}: {said}");
        })+
    };
}

noticed! {
    two_receipts_are_noticed: ThreeReceipts => "has no file of it",
    a_timer_that_deletes_is_noticed: OnlyTheLogDeletes => "has no file of it",
    an_abort_after_the_commit_is_noticed: FirstWins => "was acknowledged at",
    a_clock_in_apply_is_noticed: NoClockInApply => "",
    files_that_go_too_early_are_noticed: ReplacedFilesStay => "has no file of it",
    an_attempt_that_is_joined_anew_is_noticed: RestartsAskAnew => "twice",
    a_report_that_is_lost_is_noticed: ReportsAreRepeated => "still runs",
    an_attempt_under_an_old_number_is_noticed: AttemptsAreNumbered => "",
    rows_that_are_packed_and_stay_are_noticed: PackedOnce => "rows",
}
