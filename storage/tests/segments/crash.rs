//! A crash at any call of the backend leaves a segment entirely or not at all.

use crate::sample::{Kind, TABLE, sample};
use std::collections::BTreeSet;
use std::sync::Arc;
use trine_proto::CHUNK_ROWS;
use trine_storage::{Backend as _, Faulty, Memory, Result, StorageError, Store, Tear};

const TEARS: [Tear; 3] = [Tear::Before, Tear::Half, Tear::After];

/// Stages one segment over another that lies there, then removes the old one.
fn work(backend: Arc<Faulty>) -> (Result<()>, bool) {
    let (old, new) = (sample(Kind::Both, 10, 1).named(1), sample(Kind::Both, ROWS, 1).named(2));
    let mut staged = false;
    let steps = || -> Result<()> {
        let store = Store::open(backend)?;
        old.check(&store)?;
        new.write(&store)?;
        staged = true;
        new.check(&store)?;
        store.remove(TABLE, old.header.segment)
    };
    (steps(), staged)
}

const ROWS: u64 = CHUNK_ROWS as u64 + 100;

#[test]
fn after_a_crash_at_any_call_nothing_is_half_visible() {
    let before = Arc::new(Memory::new());
    let old = sample(Kind::Both, 10, 1).named(1);
    let new = sample(Kind::Both, ROWS, 1).named(2);
    old.write(&Store::open(Arc::clone(&before) as _).unwrap()).unwrap();
    let mut outcomes = BTreeSet::new();
    for tear in TEARS {
        for calls in 0.. {
            let memory = Arc::new(before.after_crash(0));
            let faulty = Arc::new(Faulty::new(Arc::clone(&memory), calls, tear));
            let (result, staged) = work(Arc::clone(&faulty));
            if !faulty.crashed() {
                result.unwrap();
                break;
            }
            assert!(result.is_err() || tear == Tear::After, "call {calls}, {tear:?}");
            for unsynced_kept in [0, 1000, usize::MAX] {
                let survivors = Arc::new(memory.after_crash(unsynced_kept));
                let store = Store::open(Arc::clone(&survivors) as _).unwrap();
                let is_there = [&old, &new].map(|s| {
                    let (table, segment) = (s.header.table, s.header.segment);
                    let found = store.staged_digests(table, segment).unwrap();
                    found.is_some().then(|| s.check(&store).unwrap()).is_some()
                });
                let [old_there, new_there] = is_there;
                assert!(new_there || !staged, "an acknowledged segment is lost at call {calls}");
                assert!(old_there || staged, "the old segment vanished at call {calls}");
                let count = usize::from(old_there) + usize::from(new_there);
                assert_eq!(survivors.list("segments").unwrap().len(), count, "leftovers");
                outcomes.insert((old_there, new_there, staged));
                if !new_there {
                    new.write(&store).unwrap();
                    new.check(&store).unwrap();
                }
            }
        }
    }
    // All stages of the work were met: before, after staging, answer lost, removed.
    let expected =
        [(true, false, false), (true, true, false), (true, true, true), (false, true, true)];
    assert_eq!(outcomes, BTreeSet::from(expected));
}

#[test]
fn a_writer_that_failed_refuses_to_go_on() {
    let memory = Arc::new(Memory::new());
    let sample = sample(Kind::Both, 3 * CHUNK_ROWS as u64, 1);
    // Opening takes 2 calls, staging 2 (looks for the file, creates it): the first write fails.
    let faulty = Arc::new(Faulty::new(Arc::clone(&memory), 4, Tear::Half));
    let store = Store::open(faulty).unwrap();
    let mut writer = store.stage(sample.header.clone()).unwrap();
    let mut failures = 0;
    for chunk in &sample.chunks {
        let result = writer.append(chunk.rows, &chunk.explicit, &chunk.public);
        failures += usize::from(matches!(result, Err(StorageError::Io { .. })));
    }
    assert!(failures > 1, "{failures}");
    assert!(matches!(writer.finish(), Err(StorageError::Io { .. })));
}
