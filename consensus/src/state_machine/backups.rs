//! Positions that parties back up. A mark keeps what is visible at its position, like a query that reads
//! there, so that three parties can copy the same position one after the other. It ends when all three
//! have it, when a node finds that it has stood for too long, or when there are too many.

use trine_proto::catalog::{BackupMark, Catalog};
use trine_proto::command::Outcome;
use trine_proto::ids::{LogIndex, Party};

use crate::limits::BACKUP_MARKS_MAX;

/// Marks this position. The oldest mark goes if there are too many.
pub(super) fn mark(catalog: &mut Catalog, index: LogIndex) -> Outcome {
    catalog.backups.insert(index, BackupMark::default());
    while catalog.backups.len() > BACKUP_MARKS_MAX {
        catalog.backups.pop_first();
    }
    Outcome::Applied(index)
}

/// A party has its backup of a position.
pub(super) fn done(
    catalog: &mut Catalog,
    index: LogIndex,
    party: Party,
    position: LogIndex,
) -> Outcome {
    let Some(mark) = catalog.backups.get_mut(&position) else { return unmarked(index) };
    mark.done[party.index()] = true;
    if mark.done == [true; 3] {
        catalog.backups.remove(&position);
    }
    Outcome::Applied(index)
}

/// A mark is given up.
pub(super) fn end(catalog: &mut Catalog, index: LogIndex, position: LogIndex) -> Outcome {
    match catalog.backups.remove(&position) {
        Some(_) => Outcome::Applied(index),
        None => unmarked(index),
    }
}

fn unmarked(index: LogIndex) -> Outcome {
    Outcome::Nothing(index, "the position is not marked for a backup".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_keeps_its_position_until_all_three_have_it() {
        let mut catalog = Catalog::default();
        mark(&mut catalog, LogIndex(5));
        assert_eq!(catalog.oldest_unfinished(), Some(LogIndex(5)));
        for (at, party) in (6..).zip(Party::ALL) {
            assert_eq!(catalog.oldest_unfinished(), Some(LogIndex(5)));
            let outcome = done(&mut catalog, LogIndex(at), party, LogIndex(5));
            assert_eq!(outcome, Outcome::Applied(LogIndex(at)));
        }
        assert_eq!(catalog.oldest_unfinished(), None);
        let late = done(&mut catalog, LogIndex(9), Party::ALL[0], LogIndex(5));
        assert!(matches!(late, Outcome::Nothing(..)));
    }

    #[test]
    fn the_oldest_mark_goes_first_and_one_can_be_given_up() {
        let mut catalog = Catalog::default();
        let last = BACKUP_MARKS_MAX as u64 + 1;
        (1..=last).for_each(|at| drop(mark(&mut catalog, LogIndex(at))));
        assert_eq!(catalog.backups.len(), BACKUP_MARKS_MAX);
        assert!(!catalog.backups.contains_key(&LogIndex(1)));
        assert_eq!(end(&mut catalog, LogIndex(90), LogIndex(2)), Outcome::Applied(LogIndex(90)));
        assert!(matches!(end(&mut catalog, LogIndex(91), LogIndex(2)), Outcome::Nothing(..)));
    }
}
