//! What the clients were told, and so what the tables may hold.
//!
//! A *batch* is a few rows with one number, written by one statement and owned by one writer. A
//! statement that was answered has happened; one that ended in an error may have happened or may still
//! happen: its batch is left alone from then on and may be seen in either state, but never go back.

use std::collections::BTreeMap;

/// Rows and sum of a batch; none: it does not exist.
pub type State = Option<(i128, i128)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batch {
    known: State,
    /// A statement whose end nobody was told.
    pending: Option<State>,
}

/// All batches of one table.
#[derive(Clone, Debug, Default)]
pub struct Model {
    batches: BTreeMap<i128, Batch>,
}

impl Model {
    /// A batch that may be written to: its number and state.
    #[must_use]
    pub fn settled(&self, writer: i128, writers: i128) -> Vec<(i128, State)> {
        let own = self
            .batches
            .iter()
            .filter(|(id, b)| **id % writers == writer && b.pending.is_none() && b.known.is_some());
        own.map(|(id, b)| (*id, b.known)).collect()
    }

    /// A statement was sent that brings a batch into a state.
    pub fn sent(&mut self, batch: i128, after: State) {
        let entry = self.batches.entry(batch).or_insert(Batch { known: None, pending: None });
        entry.pending = Some(after);
    }

    /// It was answered.
    pub fn acknowledged(&mut self, batch: i128) {
        if let Some(entry) = self.batches.get_mut(&batch)
            && let Some(after) = entry.pending.take()
        {
            entry.known = after;
        }
    }

    /// Compares the whole table with what may be in it. Cost: one look at each batch.
    ///
    /// # Errors
    /// Every batch that is in an impossible state.
    pub fn compare(&mut self, seen: &BTreeMap<i128, (i128, i128)>) -> Result<(), String> {
        let mut wrong = Vec::new();
        for id in seen.keys().filter(|id| !self.batches.contains_key(id)) {
            wrong.push(format!("batch {id} was never written"));
        }
        for (id, batch) in &mut self.batches {
            let found: State = seen.get(id).copied();
            if Some(found) == batch.pending && found != batch.known {
                *batch = Batch { known: found, pending: None };
            } else if found != batch.known {
                wrong.push(format!("batch {id} is {found:?}, possible is {batch:?}"));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    /// Batches written so far, and how many of them nobody was told about.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let unknown = self.batches.values().filter(|b| b.pending.is_some()).count();
        (self.batches.len(), unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(i128, (i128, i128))]) -> BTreeMap<i128, (i128, i128)> {
        entries.iter().copied().collect()
    }

    #[test]
    fn what_was_acknowledged_must_be_there_and_what_was_not_may() {
        let mut model = Model::default();
        model.sent(1, Some((3, 6)));
        assert!(model.compare(&table(&[])).is_ok());
        model.acknowledged(1);
        assert!(model.compare(&table(&[])).unwrap_err().contains("batch 1 is None"));
        assert!(model.compare(&table(&[(1, (2, 6))])).is_err());
        assert!(model.compare(&table(&[(1, (3, 6))])).is_ok());
        model.sent(2, Some((1, 1)));
        assert!(model.compare(&table(&[(1, (3, 6)), (2, (1, 1))])).is_ok());
        // Seen once, it does not go away again.
        assert!(model.compare(&table(&[(1, (3, 6))])).is_err());
        assert!(model.compare(&table(&[(1, (3, 6)), (2, (1, 1)), (3, (1, 1))])).is_err());
    }

    #[test]
    fn a_batch_whose_fate_is_unknown_is_left_alone() {
        let mut model = Model::default();
        model.sent(4, Some((1, 1)));
        model.acknowledged(4);
        assert_eq!(model.settled(0, 2), [(4, Some((1, 1)))]);
        assert!(model.settled(1, 2).is_empty());
        model.sent(4, None);
        assert!(model.settled(0, 2).is_empty());
        assert!(model.compare(&table(&[(4, (1, 1))])).is_ok());
        assert!(model.compare(&table(&[])).is_ok());
        assert!(model.compare(&table(&[(4, (1, 1))])).is_err());
    }
}
