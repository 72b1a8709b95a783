//! A damaged file is an error that says where, never a number.

use crate::sample::{KINDS, Kind, Sample, sample};
use std::sync::Arc;
use trine_proto::CHUNK_ROWS;
use trine_storage::{Memory, StorageError, Store};

fn written(sample: &Sample) -> Vec<u8> {
    let memory = Arc::new(Memory::new());
    sample.write(&Store::open(Arc::clone(&memory) as _).unwrap()).unwrap();
    memory.contents(&sample.file()).unwrap()
}

/// Reads a file with these bytes.
fn read(sample: &Sample, bytes: Vec<u8>) -> Result<(), StorageError> {
    let memory = Memory::new();
    memory.put(&sample.file(), bytes);
    sample.check(&Store::open(Arc::new(memory)).unwrap())
}

fn corrupt(result: &Result<(), StorageError>) -> &str {
    match result {
        Err(StorageError::Corrupt { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_flipped_bit_anywhere_is_noticed() {
    for kind in KINDS {
        let sample = sample(kind, 3, 1);
        let whole = written(&sample);
        read(&sample, whole.clone()).unwrap();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                corrupt(&read(&sample, damaged));
            }
        }
    }
}

#[test]
fn the_error_names_file_and_component() {
    let sample = sample(Kind::Both, CHUNK_ROWS as u64 + 1, 1);
    let whole = written(&sample);
    let find = |needle: &[u8]| whole.windows(needle.len()).position(|w| w == needle).unwrap();
    // Party 1 holds components 1 and 2; the bodies of the second chunk's pages stand as written.
    let cases = [
        (&sample.chunks[0].explicit[1], "component 1"),
        (&sample.chunks[0].explicit[3], "component 2"),
        (&sample.chunks[0].public[0], "PUBLIC columns"),
    ];
    for (body, name) in cases {
        let start = find(&body[..32]);
        for at in [start, start + body.len() / 2, start + body.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            let result = read(&sample, damaged);
            assert!(corrupt(&result).contains(name), "{result:?}");
            assert!(result.unwrap_err().to_string().contains(&sample.file()));
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    let sample = sample(Kind::First, 5, 1);
    let whole = written(&sample);
    for length in 0..whole.len() {
        corrupt(&read(&sample, whole[..length].to_vec()));
    }
    let mut longer = whole;
    longer.push(0);
    corrupt(&read(&sample, longer));
}

#[test]
fn a_file_under_another_name_is_noticed() {
    let (one, other) = (sample(Kind::First, 5, 0), sample(Kind::First, 5, 0).named(8));
    let memory = Memory::new();
    memory.put(&other.file(), written(&one));
    let result = other.check(&Store::open(Arc::new(memory)).unwrap());
    assert!(corrupt(&result).contains("another segment"));
}

#[test]
fn parts_of_two_segments_do_not_fit_together() {
    // Same shape, other bytes: everything but the shares is equal in size and place.
    let one = sample(Kind::First, 50, 0);
    let mut other = sample(Kind::First, 50, 0);
    other.chunks[0].explicit[1] = crate::sample::noise(1000, other.chunks[0].explicit[1].len());
    let (a, b) = (written(&one), written(&other));
    assert_eq!(a.len(), b.len());
    let body = &one.chunks[0].explicit[1];
    let cut = a.windows(32).position(|w| w == &body[..32]).unwrap() + body.len();
    let mixed = [&b[..cut], &a[cut..]].concat();
    assert!(corrupt(&read(&one, mixed)).contains("component 1"));
}

#[test]
fn a_repeated_receipt_is_not_given_for_a_damaged_file() {
    let sample = sample(Kind::First, 5, 0);
    let mut damaged = written(&sample);
    damaged[40] ^= 1;
    let memory = Memory::new();
    memory.put(&sample.file(), damaged);
    let store = Store::open(Arc::new(memory)).unwrap();
    let answer = store.staged_digests(sample.header.table, sample.header.segment);
    assert!(matches!(answer, Err(StorageError::Corrupt { .. })));
}

#[test]
fn a_byte_that_changes_after_the_first_read_is_noticed_at_the_next() {
    for kind in [Kind::First, Kind::Both] {
        let sample = sample(kind, CHUNK_ROWS as u64 + 9, 1);
        let memory = Arc::new(Memory::new());
        let store = Store::open(Arc::clone(&memory) as _).unwrap();
        sample.write(&store).unwrap();
        sample.check(&store).unwrap();
        let whole = memory.contents(&sample.file()).unwrap();
        let (secret, public) = (&sample.chunks[1].explicit[1], &sample.chunks[0].public[0]);
        for (body, name) in [(secret, "component"), (public, "PUBLIC columns")] {
            let at = whole.windows(32).position(|w| w == &body[..32]).unwrap() + 33;
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            memory.put(&sample.file(), damaged);
            let result = sample.check(&store);
            assert!(corrupt(&result).contains(name), "{result:?}");
            assert!(corrupt(&result).contains("changed since it was checked"), "{result:?}");
            let key = (sample.header.table, sample.header.segment);
            assert_eq!(result.unwrap_err().damaged(), Some(key));
            memory.put(&sample.file(), whole.clone());
            sample.check(&store).unwrap();
        }
        // Another good file under the name is not the one that was checked.
        let mut other = crate::sample::sample(kind, CHUNK_ROWS as u64 + 9, 1);
        other.chunks[0].explicit[0][0] ^= 1;
        memory.put(&sample.file(), written(&other));
        assert!(corrupt(&sample.check(&store)).contains("exchanged"));
    }
}

#[test]
fn a_damaged_file_is_rebuilt_only_from_what_has_the_digests() {
    for kind in KINDS {
        let sample = sample(kind, 7, 1);
        let memory = Arc::new(Memory::new());
        let store = Store::open(Arc::clone(&memory) as _).unwrap();
        let digests = sample.write(&store).unwrap();
        let whole = memory.contents(&sample.file()).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() - 30] ^= 1;
        memory.put(&sample.file(), damaged);
        let key = (sample.header.table, sample.header.segment);
        assert_eq!(store.check(key.0, key.1).unwrap_err().damaged(), Some(key));
        let rebuild = |flip: bool| {
            let mut writer = store.rebuild(sample.header.clone(), digests)?;
            for chunk in &sample.chunks {
                let mut public = chunk.public.clone();
                public[0][0] ^= u8::from(flip);
                writer.append(chunk.rows, &chunk.explicit, &public)?;
            }
            writer.finish()
        };
        let Err(StorageError::Rejected(why)) = rebuild(true) else { panic!("a wrong byte passed") };
        assert_eq!(why, "the PUBLIC columns are not what the nodes agreed on");
        assert!(sample.check(&store).is_err());
        assert_eq!(rebuild(false).unwrap(), digests);
        sample.check(&store).unwrap();
        assert_eq!(memory.contents(&sample.file()).unwrap(), whole);
    }
}

#[test]
fn a_small_file_that_changes_after_it_was_read_is_noticed_wherever_it_changes() {
    let sample = sample(Kind::Both, 3, 1);
    let memory = Arc::new(Memory::new());
    let store = Store::open(Arc::clone(&memory) as _).unwrap();
    sample.write(&store).unwrap();
    let whole = memory.contents(&sample.file()).unwrap();
    for at in 0..whole.len() {
        sample.check(&store).unwrap();
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        memory.put(&sample.file(), damaged);
        corrupt(&sample.check(&store));
        let again = store.check(sample.header.table, sample.header.segment).map(drop);
        corrupt(&again);
        memory.put(&sample.file(), whole.clone());
    }
}
