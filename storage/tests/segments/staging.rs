//! Staging, removal, and the comparison with the catalog.

use crate::sample::{Kind, TABLE, sample};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use trine_proto::ids::{SegmentId, TableId};
use trine_storage::{Backend as _, Disk, Memory, Reconciled, StorageError, Store};

fn files(folder: &Path) -> Vec<String> {
    Disk::new(folder).list("segments").unwrap()
}

#[test]
fn a_dropped_writer_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Arc::new(Disk::new(folder.path()))).unwrap();
    let sample = sample(Kind::First, 1000, 1);
    let mut writer = store.stage(sample.header.clone()).unwrap();
    let chunk = &sample.chunks[0];
    writer.append(chunk.rows, &chunk.explicit, &chunk.public).unwrap();
    assert_eq!(files(folder.path()), [format!("{}.partial", sample.file())]);
    assert_eq!(store.list().unwrap(), []);
    drop(writer);
    assert_eq!(files(folder.path()), [""; 0]);
    // Nor does it stand in the way of the next one.
    sample.write(&store).unwrap();
    sample.check(&store).unwrap();
    assert_eq!(files(folder.path()), [sample.file()]);
}

#[test]
fn files_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Arc::new(Disk::new(folder.path()))).unwrap();
    let sample = sample(Kind::First, 10, 0);
    sample.write(&store).unwrap();
    let mode = |name: &str| {
        std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode(&sample.file()), 0o600);
    assert_eq!(mode("segments"), 0o700);
}

#[test]
fn one_writer_at_a_time_and_one_file_for_ever() {
    let store = Store::open(Arc::new(Memory::new())).unwrap();
    let sample = sample(Kind::First, 10, 0);
    let writer = store.stage(sample.header.clone()).unwrap();
    assert!(matches!(store.stage(sample.header.clone()), Err(StorageError::Busy { .. })));
    drop(writer);
    let digests = sample.write(&store).unwrap();
    assert!(matches!(sample.write(&store), Err(StorageError::AlreadyStaged { .. })));
    let (_, again) = store.staged_digests(TABLE, sample.header.segment).unwrap().unwrap();
    assert_eq!(again, digests);
}

#[test]
fn a_removed_segment_is_gone_and_can_come_again() {
    let store = Store::open(Arc::new(Memory::new())).unwrap();
    let first = sample(Kind::First, 10, 0);
    let mut second = sample(Kind::First, 10, 0);
    second.chunks[0].explicit[0][0] ^= 1;
    first.write(&store).unwrap();
    let reader = store.read(TABLE, first.header.segment).unwrap();
    store.remove(TABLE, first.header.segment).unwrap();
    store.remove(TABLE, first.header.segment).unwrap();
    assert!(matches!(first.check(&store), Err(StorageError::NotFound { .. })));
    first.compare(&reader).unwrap();
    second.write(&store).unwrap();
    second.check(&store).unwrap();
}

#[test]
fn what_is_removed_while_it_is_written_is_not_published() {
    for by_reconciler in [false, true] {
        let memory = Arc::new(Memory::new());
        let store = Store::open(Arc::clone(&memory) as _).unwrap();
        let sample = sample(Kind::First, 10, 0);
        let mut writer = store.stage(sample.header.clone()).unwrap();
        let chunk = &sample.chunks[0];
        writer.append(chunk.rows, &chunk.explicit, &chunk.public).unwrap();
        if by_reconciler {
            let gone = BTreeSet::from([sample.header.segment]);
            let found = store.reconcile(&BTreeSet::new(), &gone).unwrap();
            assert_eq!(found, Reconciled::default());
        } else {
            store.remove(TABLE, sample.header.segment).unwrap();
        }
        assert!(matches!(writer.finish(), Err(StorageError::Cancelled { .. })));
        assert!(memory.list("segments").unwrap().is_empty());
    }
}

#[test]
fn reconciling_deletes_only_what_is_unlisted_and_resolved() {
    let memory = Arc::new(Memory::new());
    let store = Store::open(Arc::clone(&memory) as _).unwrap();
    for id in 1..=4 {
        sample(Kind::First, 10, 0).named(id).write(&store).unwrap();
    }
    memory.put("segments/5/notes.txt", b"not ours".to_vec());
    memory.put("segments/05/01010101010101010101010101010101.parquet", b"not ours".to_vec());
    let key = |id: u8| (TABLE, SegmentId([id; 16]));
    assert_eq!(store.list().unwrap(), [1, 2, 3, 4].map(key));
    // 1 listed; 2 listed although resolved; 3 unlisted and resolved; 4 unlisted, unresolved;
    // 5 listed but missing; 6 resolved but missing.
    let listed = BTreeSet::from([1, 2, 5].map(key));
    let gone = BTreeSet::from([2, 3, 6].map(|id| SegmentId([id; 16])));
    let expected =
        Reconciled { missing: vec![key(5)], deleted: vec![key(3)], staged: vec![key(4)] };
    assert_eq!(store.reconcile(&listed, &gone).unwrap(), expected);
    assert_eq!(store.list().unwrap(), [1, 2, 4].map(key));
    // Again: nothing more to do. In another table the same segment id is another file.
    let again = Reconciled { deleted: vec![], ..expected };
    assert_eq!(store.reconcile(&listed, &gone).unwrap(), again);
    let elsewhere = BTreeSet::from([(TableId(6), SegmentId([1; 16]))]);
    let found = store.reconcile(&elsewhere, &BTreeSet::new()).unwrap();
    assert_eq!(found.missing, [(TableId(6), SegmentId([1; 16]))]);
    assert_eq!(found.staged, [1, 2, 4].map(key));
}

#[test]
fn debug_output_shows_no_secret() {
    let store = Store::open(Arc::new(Memory::new())).unwrap();
    let sample = sample(Kind::First, 10, 0);
    let writer = store.stage(sample.header.clone()).unwrap();
    let mut text = format!("{:?} {writer:?}", sample.header);
    drop(writer);
    sample.write(&store).unwrap();
    let reader = store.read(TABLE, sample.header.segment).unwrap();
    text += &format!("{reader:?} {store:?}");
    // Salts are e0.. and e1.., seeds d0.. and d1..: in decimal and in hexadecimal.
    for secret in ["224", "225", "208", "209", "e0e0", "e1e1", "d0d0", "d1d1"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(text.contains("Seed(redacted)"));
}
