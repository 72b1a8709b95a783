//! What is written is read back, and digests mean what they promise.

use crate::sample::{BORDERS, KINDS, Kind, Sample, header, sample};
use arrow::array::{Array as _, FixedSizeBinaryArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed};
use std::sync::Arc;
use trine_proto::CHUNK_ROWS;
use trine_proto::ids::{Party, SegmentId, TableId};
use trine_proto::schema::Secrecy;
use trine_storage::{ComponentSource, Digests, Disk, Memory, SegmentHeader, StorageError, Store};

fn memory_store() -> (Arc<Memory>, Store) {
    let memory = Arc::new(Memory::new());
    let store = Store::open(Arc::clone(&memory) as _).unwrap();
    (memory, store)
}

fn digests(sample: &Sample) -> Digests {
    sample.write(&memory_store().1).unwrap()
}

#[test]
fn every_kind_at_every_border_survives_a_restart_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut id = 0;
    let mut written = Vec::new();
    let store = Store::open(Arc::new(Disk::new(folder.path().join("data")))).unwrap();
    for kind in KINDS {
        for rows in BORDERS {
            for public in [0, 2] {
                id += 1;
                let sample = sample(kind, rows, public).named(id);
                let digests = sample.write(&store).unwrap();
                written.push((sample, digests));
            }
        }
    }
    drop(store);
    let store = Store::open(Arc::new(Disk::new(folder.path().join("data")))).unwrap();
    assert_eq!(store.list().unwrap().len(), written.len());
    for (sample, digests) in &written {
        sample.check(&store).unwrap();
        let (table, segment) = (sample.header.table, sample.header.segment);
        let (header, found) = store.staged_digests(table, segment).unwrap().unwrap();
        assert_eq!((&header, &found), (&sample.header, digests));
    }
    assert_eq!(store.staged_digests(TableId(5), SegmentId([0xff; 16])).unwrap(), None);
}

proptest! {
    #![proptest_config(Config {
        cases: 64,
        rng_seed: RngSeed::Fixed(0x7269_6e65),
        rng_algorithm: RngAlgorithm::ChaCha,
        failure_persistence: None,
        ..Config::default()
    })]
    #[test]
    fn any_shape_survives(rows in 0_u64..3000, public in 0_usize..4, kind in 0_usize..4) {
        let (_, store) = memory_store();
        let sample = sample(KINDS[kind], rows, public);
        sample.write(&store).unwrap();
        sample.check(&store).unwrap();
    }
}

#[test]
fn a_segment_without_columns_needs_no_chunks() {
    let rows = CHUNK_ROWS as u64 + 5;
    let with = sample(Kind::Seeds, rows, 0);
    let (_, store) = memory_store();
    let without = store.stage(with.header.clone()).unwrap().finish().unwrap();
    assert_eq!(without, digests(&with));
    with.check(&store).unwrap();
}

#[test]
fn reads_name_what_is_not_there() {
    let (_, store) = memory_store();
    let sample = sample(Kind::First, 10, 1);
    sample.write(&store).unwrap();
    let reader = store.read(sample.header.table, sample.header.segment).unwrap();
    let rejected = |r: Result<(), StorageError>| matches!(r, Err(StorageError::Rejected(_)));
    assert!(rejected(reader.component(1, 0, 0).map(drop)), "no such chunk");
    assert!(rejected(reader.component(0, 9, 0).map(drop)), "no such column");
    assert!(rejected(reader.component(0, 1, 0).map(drop)), "a PUBLIC column");
    assert!(rejected(reader.component(0, 0, 2).map(drop)), "no such slot");
    assert!(rejected(reader.public(0, 0).map(drop)), "a secret column");
    assert!(matches!(
        store.read(TableId(6), sample.header.segment),
        Err(StorageError::NotFound { .. })
    ));
}

#[test]
fn any_parquet_reader_can_read_the_file() {
    for kind in KINDS {
        let (memory, store) = memory_store();
        let sample = sample(kind, CHUNK_ROWS as u64 + 3, 1);
        sample.write(&store).unwrap();
        let bytes = bytes::Bytes::from(memory.contents(&sample.file()).unwrap());
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let names: Vec<String> =
            builder.schema().fields().iter().map(|f| f.name().clone()).collect();
        let mut expected = Vec::new();
        for slot in kind.slots() {
            let k = sample.header.component_index(*slot);
            expected.extend([format!("column0_component{k}"), format!("column2_component{k}")]);
        }
        expected.push("column1_public".into());
        assert_eq!(names, expected);
        let mut columns: Vec<Vec<u8>> = vec![Vec::new(); names.len()];
        for batch in builder.with_batch_size(1000).build().unwrap() {
            for (all, array) in columns.iter_mut().zip(batch.unwrap().columns()) {
                let array = array.as_any().downcast_ref::<FixedSizeBinaryArray>().unwrap();
                (0..array.len()).for_each(|row| all.extend_from_slice(array.value(row)));
            }
        }
        for (index, found) in columns.iter().enumerate() {
            let written: Vec<u8> = sample
                .chunks
                .iter()
                .flat_map(|c| c.explicit.iter().chain(&c.public).nth(index).unwrap().clone())
                .collect();
            assert!(*found == written, "{}", names[index]);
        }
    }
    let (memory, store) = memory_store();
    let empty = sample(Kind::Seeds, 9, 0);
    empty.write(&store).unwrap();
    let bytes = bytes::Bytes::from(memory.contents(&empty.file()).unwrap());
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    assert_eq!(builder.build().unwrap().count(), 0);
}

/// The other holder of component `i + slot` has it in its other slot.
fn at_other_holder(mine: &Sample, slot: usize) -> Sample {
    let other = 1 - slot;
    let party = if slot == 0 { mine.header.party.previous() } else { mine.header.party.next() };
    let mut header = SegmentHeader { party, ..mine.header.clone() };
    header.components.swap(slot, other);
    header.components[slot].salt = [1; 16];
    header.components[slot].source = ComponentSource::Seed([2; 32]);
    header.table = TableId(99);
    assert_eq!(header.component_index(other), mine.header.component_index(slot));
    Sample { header, chunks: mine.chunks.clone() }
}

#[test]
fn both_holders_of_a_component_compute_the_same_digest() {
    for (kind, slot) in [(Kind::First, 0), (Kind::Second, 1)] {
        let mine = sample(kind, CHUNK_ROWS as u64 + 9, 1);
        let theirs = at_other_holder(&mine, slot);
        let (a, b) = (digests(&mine), digests(&theirs));
        assert_eq!(a.components[slot], b.components[1 - slot]);
        assert_ne!(a.components[1 - slot], b.components[slot]);
        assert_eq!(a.public, b.public);
    }
    let mut mine = sample(Kind::Seeds, 3, 0);
    mine.header.components[0].source = ComponentSource::Seed([77; 32]);
    let mut theirs = mine.header.clone();
    theirs.party = mine.header.party.previous();
    theirs.components.swap(0, 1);
    let theirs = Sample { header: theirs, chunks: mine.chunks.clone() };
    assert_eq!(digests(&mine).components[0], digests(&theirs).components[1]);
}

#[test]
fn digests_differ_with_everything_they_cover() {
    let base = sample(Kind::First, 100, 1);
    let reference = digests(&base);
    let changed = |change: &dyn Fn(&mut Sample)| {
        let mut other = sample(Kind::First, 100, 1);
        change(&mut other);
        digests(&other)
    };
    let salt = changed(&|s| s.header.components[0].salt[15] ^= 1);
    assert_ne!(salt.components[0], reference.components[0], "salt");
    assert_eq!(salt.components[1], reference.components[1]);
    assert_eq!(salt.public, reference.public);
    let index = changed(&|s| s.header.party = Party::ALL[0]);
    assert_ne!(index.components[0], reference.components[0], "component index");
    let share = changed(&|s| s.chunks[0].explicit[1][7] ^= 1);
    assert_ne!(share.components[0], reference.components[0], "explicit bytes");
    assert_eq!(share.components[1], reference.components[1]);
    let seed = changed(&|s| s.header.components[1].source = ComponentSource::Seed([0; 32]));
    assert_ne!(seed.components[1], reference.components[1], "seed");
    assert_eq!(seed.components[0], reference.components[0]);
    let public = changed(&|s| s.chunks[0].public[0][0] ^= 1);
    assert_ne!(public.public, reference.public, "public bytes");
    assert_eq!(public.components, reference.components);
    let schema = changed(&|s| s.header.schema_digest[0] ^= 1);
    assert_ne!(schema.components[0], reference.components[0], "schema");
    assert_ne!(schema.components[1], reference.components[1], "schema");
    assert_ne!(schema.public, reference.public, "schema");
    let place = changed(&|s| (s.header.table, s.header.segment) = (TableId(1), SegmentId([1; 16])));
    assert_eq!(place, reference, "table and segment do not matter");

    // Same salt, same bytes, different index: still different.
    let mut twins = sample(Kind::Both, 10, 0);
    twins.header.components[1].salt = twins.header.components[0].salt;
    let chunk = &mut twins.chunks[0].explicit;
    let half = chunk.len() / 2;
    let (first, second) = chunk.split_at_mut(half);
    second.clone_from_slice(first);
    let twins = digests(&twins);
    assert_ne!(twins.components[0], twins.components[1]);
}

#[test]
fn a_header_that_makes_no_sense_is_rejected() {
    let (memory, store) = memory_store();
    let reject = |change: &dyn Fn(&mut SegmentHeader)| {
        let mut header = header(Kind::First, 10, 1);
        change(&mut header);
        let result = store.stage(header).map(drop);
        assert!(matches!(result, Err(StorageError::Rejected(_))), "{result:?}");
    };
    reject(&|h| h.rows = trine_storage::limits::ROWS_MAX + 1);
    reject(&|h| h.layout.clear());
    reject(&|h| h.layout[0].row_bytes = 2);
    reject(&|h| (h.layout[0].bits, h.layout[0].row_bytes) = (0, 0));
    reject(&|h| (h.layout[0].bits, h.layout[0].row_bytes) = (8208, 1026));
    reject(&|h| h.layout = vec![h.layout[0].clone(); 2049]);
    reject(&|h| (h.rows, h.layout) = (1 << 30, vec![h.layout[0].clone(); 17]));
    assert!(memory.contents(&sample(Kind::First, 10, 1).file()).is_none());

    let kept = sample(Kind::First, 10, 1);
    let mut writer = store.stage(kept.header.clone()).unwrap();
    let chunk = &kept.chunks[0];
    let secret = kept.header.layout.iter().filter(|c| c.secrecy == Secrecy::Secret).count();
    assert_eq!(chunk.explicit.len(), secret);
    let mut refuse = |rows: usize, explicit: &[Vec<u8>], public: &[Vec<u8>]| {
        let result = writer.append(rows, explicit, public);
        assert!(matches!(result, Err(StorageError::Rejected(_))), "{result:?}");
    };
    refuse(0, &chunk.explicit, &chunk.public);
    refuse(9, &chunk.explicit, &chunk.public);
    refuse(11, &chunk.explicit, &chunk.public);
    refuse(10, &chunk.explicit[1..], &chunk.public);
    refuse(10, &chunk.explicit, &[]);
    let mut long = chunk.explicit.clone();
    long[0].push(0);
    refuse(10, &long, &chunk.public);
    // What was refused did no harm.
    writer.append(10, &chunk.explicit, &chunk.public).unwrap();
    let again = writer.append(10, &chunk.explicit, &chunk.public);
    assert!(matches!(again, Err(StorageError::Rejected(_))));
    writer.finish().unwrap();
    kept.check(&store).unwrap();

    let early = sample(Kind::First, CHUNK_ROWS as u64 + 1, 1).named(9);
    let mut writer = store.stage(early.header.clone()).unwrap();
    let chunk = &early.chunks[0];
    writer.append(chunk.rows, &chunk.explicit, &chunk.public).unwrap();
    assert!(matches!(writer.finish(), Err(StorageError::Rejected(_))));
    assert!(memory.contents(&early.file()).is_none());
}
