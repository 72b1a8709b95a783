use super::*;
use trine_proto::catalog::{JobEntry, NetProfile};
use trine_proto::ids::LogIndex;
use trine_proto::result::result_digest;
use trine_proto::wire::ResultHeader;
use trine_proto::wire::result_part::Part;
use trine_query::ShareVector;
use trine_storage::{Faulty, Memory, Tear};

const CLUSTER: ClusterId = ClusterId([7; 16]);
const HOUR: Duration = Duration::from_secs(3_600);

fn job(n: u8) -> JobId {
    JobId([n; 16])
}

fn kept(attempt: u32) -> Kept {
    Kept { attempt, owner: None }
}

fn shares(sizes: &[usize]) -> ResultShares {
    let byte = |i: usize, salt: usize| u8::try_from((i * 31 + salt) % 251).unwrap();
    let vector = |size: &usize| ShareVector {
        own: (0..*size).map(|i| byte(i, 1)).collect(),
        next: (0..*size).map(|i| byte(i, 2)).collect(),
    };
    let header = ResultHeader { rows: 5, attempt: 3, ..ResultHeader::default() };
    ResultShares { header, vectors: sizes.iter().map(vector).collect() }
}

fn open(backend: &Arc<Memory>, bytes_max: u64, keep: Duration) -> Results {
    let backend = Arc::<Memory>::clone(backend);
    Results::open(backend, CLUSTER, Party::ALL[1], bytes_max, keep).unwrap()
}

fn files(backend: &Memory) -> usize {
    backend.list(FOLDER).unwrap().len()
}

/// A component and its digest.
type Vector = (Vec<u8>, Vec<u8>);

/// Vectors as a client puts them together.
fn read(results: &Results, id: JobId, attempt: u32) -> Result<Vec<Vector>, SqlError> {
    let reader = results.reader(id, attempt)?;
    assert_eq!(reader.header().unwrap().rows, 5);
    let mut vectors: Vec<Vector> = Vec::new();
    let mut next = reader.first();
    while let Some(cursor) = next {
        let (parts, more) = reader.read(cursor).map_err(|e| results.damaged(id, &e))?;
        for part in parts {
            let Part::Vector(piece) = part else { panic!("a header among the vectors") };
            let index = usize::try_from(piece.index).unwrap();
            vectors.resize(vectors.len().max(index + 1), Default::default());
            vectors[index].0.extend(piece.component);
            assert_eq!(piece.last, !piece.next_digest.is_empty());
            vectors[index].1.extend(piece.next_digest);
        }
        next = more;
    }
    Ok(vectors)
}

#[test]
fn a_result_is_read_back_by_another_process() {
    let backend = Arc::new(Memory::new());
    // Empty, small, exactly a piece, several pieces.
    let made = shares(&[3, 0, 1 << 20, (2 << 20) + 7, 1]);
    open(&backend, u64::MAX, HOUR).put(job(1), kept(3), &made).unwrap();
    let again = open(&Arc::new(backend.after_crash(0)), u64::MAX, HOUR);
    assert_eq!(again.kept(job(1)), Some(kept(3)));
    let found = read(&again, job(1), 3).unwrap();
    for ((index, vector), (own, digest)) in (0_u32..).zip(&made.vectors).zip(&found) {
        assert!(own == &vector.own, "vector {index}");
        let next = Party::ALL[2];
        let expected = result_digest(CLUSTER, job(1), 3, index, 5, next, &vector.next);
        assert_eq!(digest, &expected, "vector {index}");
    }
    assert_eq!(found.len(), made.vectors.len());
    // EXPLAIN has no vectors.
    again.put(job(2), kept(1), &shares(&[])).unwrap();
    assert_eq!(read(&again, job(2), 1).unwrap(), []);
}

#[test]
fn a_crash_at_any_call_leaves_the_whole_result_or_none() {
    let made = shares(&[5, 9]);
    for calls in 0..12 {
        for tear in [Tear::Before, Tear::Half, Tear::After] {
            let memory = Arc::new(Memory::new());
            let faulty = Arc::new(Faulty::new(Arc::clone(&memory), calls, tear));
            let opened = Results::open(faulty, CLUSTER, Party::ALL[1], u64::MAX, HOUR);
            let told = opened.is_ok_and(|r| r.put(job(1), kept(1), &made).is_ok());
            let after = Arc::new(memory.after_crash(3));
            let again = open(&after, u64::MAX, HOUR);
            let there = again.kept(job(1)).is_some();
            assert!(there || !told, "lost at call {calls}, {tear:?}");
            assert_eq!(files(&after), usize::from(there), "left over at call {calls}, {tear:?}");
            if there {
                assert_eq!(read(&again, job(1), 1).unwrap()[1].0, made.vectors[1].own);
            }
        }
    }
}

#[test]
fn a_flipped_byte_is_an_error_and_never_a_result() {
    let backend = Arc::new(Memory::new());
    open(&backend, u64::MAX, HOUR).put(job(1), kept(1), &shares(&[40])).unwrap();
    let name = file_of(job(1), 1);
    let whole = backend.contents(&name).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        backend.put(&name, bytes);
        // Noticed at the start, and then it is gone, or when it is read.
        let results = open(&backend, u64::MAX, HOUR);
        let Some(found) = results.kept(job(1)) else {
            assert_eq!(files(&backend), 0, "byte {at}");
            continue;
        };
        let error = read(&results, job(1), found.attempt).unwrap_err();
        assert_eq!(error.sqlstate, sqlstate::DATA_CORRUPTED, "byte {at}");
        let text = format!("the result of job {} cannot be read at node 1: piece 0 does", job(1));
        assert!(error.message.starts_with(&text), "{}", error.message);
        assert_eq!((results.kept(job(1)), files(&backend)), (None, 0), "byte {at}");
    }
    for cut in [0, 10, whole.len() - 1] {
        backend.put(&name, whole[..cut].to_vec());
        assert!(open(&backend, u64::MAX, HOUR).kept(job(1)).is_none());
        assert_eq!(files(&backend), 0, "cut at {cut}");
    }
}

#[test]
fn the_oldest_results_go_first_also_after_a_restart() {
    let backend = Arc::new(Memory::new());
    // About 160 bytes a file are beside its vector: two of the first three fit.
    let room = 800;
    let results = open(&backend, room, HOUR);
    results.put(job(2), kept(1), &shares(&[60])).unwrap();
    results.put(job(1), kept(1), &shares(&[40])).unwrap();
    assert_eq!(results.extent().0, 2);
    results.put(job(3), kept(1), &shares(&[400])).unwrap();
    assert_eq!((results.kept(job(2)), results.kept(job(1))), (None, Some(kept(1))));
    assert_eq!(files(&backend), 2);
    let (count, bytes) = results.extent();
    let again = open(&backend, room, HOUR);
    assert_eq!(again.extent(), (count, bytes));
    // One alone may be larger than all may be together.
    again.put(job(4), kept(1), &shares(&[5_000])).unwrap();
    assert_eq!((again.extent().0, files(&backend)), (1, 1));
}

#[test]
fn a_later_attempt_takes_the_place_of_an_earlier_one() {
    let backend = Arc::new(Memory::new());
    let results = open(&backend, u64::MAX, HOUR);
    for (attempt, counts) in [(1, 1), (3, 3), (2, 3)] {
        results.put(job(1), kept(attempt), &shares(&[4])).unwrap();
        assert_eq!(results.kept(job(1)), Some(kept(counts)));
        assert_eq!(files(&backend), 1);
    }
    assert_eq!(open(&backend, u64::MAX, HOUR).kept(job(1)), Some(kept(3)));
}

#[test]
fn results_expire_and_leave_nothing() {
    let backend = Arc::new(Memory::new());
    open(&backend, u64::MAX, HOUR).put(job(1), kept(1), &shares(&[1])).unwrap();
    let results = open(&backend, u64::MAX, Duration::ZERO);
    assert_eq!((results.kept(job(1)), files(&backend)), (None, 0));
    results.put(job(2), kept(1), &shares(&[1])).unwrap();
    assert_eq!((results.kept(job(2)), files(&backend)), (None, 0));
    assert_eq!(results.extent(), (0, 0));
    let error = results.reader(job(2), 1).unwrap_err();
    assert_eq!(error.message, format!("the result of job {} is gone", job(2)));
    assert_eq!(error.hint, "results are kept for a while; ask the query again");
}

#[test]
fn what_nobody_can_fetch_is_released() {
    let backend = Arc::new(Memory::new());
    let results = open(&backend, u64::MAX, HOUR);
    let entry = |n: u8, attempt, status| JobEntry {
        id: job(n),
        principal: "a".into(),
        sql: "SELECT 1".into(),
        statement_digest: [0; 32],
        position: LogIndex(u64::from(n)),
        log_digest: [0; 32],
        attempt,
        status,
        done: [false; 3],
        signed_at_ms: 0,
        net_profile: NetProfile::default(),
        parameters: None,
        memory_max: None,
        within: None,
    };
    let mut catalog = Catalog::default();
    let error = SqlError::new(sqlstate::QUERY_CANCELED, "x");
    for job in [
        entry(1, 1, JobStatus::Active),
        entry(2, 1, JobStatus::Done),
        entry(3, 2, JobStatus::Done),
        entry(4, 1, JobStatus::Cancelled),
        entry(5, 1, JobStatus::Failed(error)),
    ] {
        catalog.jobs.insert(job.id, job);
    }
    for n in 1..=6 {
        results.put(job(n), kept(1), &shares(&[1])).unwrap();
    }
    results.release(&catalog);
    let left: Vec<u8> = (1..=6).filter(|n| results.kept(job(*n)).is_some()).collect();
    assert_eq!((left.as_slice(), files(&backend)), ([1, 2].as_slice(), 2));
}

#[test]
fn what_cannot_be_kept_is_told() {
    let memory = Arc::new(Memory::new());
    let faulty = Arc::new(Faulty::new(memory, 3, Tear::Before));
    let results = Results::open(faulty, CLUSTER, Party::ALL[1], u64::MAX, HOUR).unwrap();
    let error = results.put(job(1), kept(1), &shares(&[1])).unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::IO_ERROR);
    assert!(error.message.starts_with("node 1 cannot keep the result: "), "{}", error.message);
    assert_eq!(results.kept(job(1)), None);
    let full = not_kept(Party::ALL[2], &io::ErrorKind::StorageFull.into());
    assert_eq!(full.message, "node 2 has no space left to keep the result");
    assert_eq!(full.sqlstate, sqlstate::DISK_FULL);
}
