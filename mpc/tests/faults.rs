//! A peer that goes away or sends a message of the wrong length: an error at every party, no hang,
//! never a number.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may stop the test")]

use trine_mpc::sort::{Column, Shuffle, partition, sort, top_k};
use trine_mpc::testing::{Fault, record, run_with_fault, share_arith, share_values};
use trine_mpc::{Arith, MpcError, Planes, Profile, Session, protocol};

type Program = fn(&mut Session, &Planes, &Arith<u64>) -> Result<(), MpcError>;

const PROGRAMS: [(&str, Program); 9] = [
    ("and", |s, x, _| protocol::and(s, x, x).map(drop)),
    ("multiply", |s, _, v| protocol::mul(s, v, v).map(drop)),
    ("less than", |s, x, _| protocol::less_than(s, x, x).map(drop)),
    ("bits to arithmetic", |s, x, _| protocol::bits_to_arith::<u64>(s, x).map(drop)),
    ("arithmetic to planes", |s, _, v| protocol::arith_to_planes(s, v, 9).map(drop)),
    ("shuffle", |s, x, _| {
        Shuffle::draw(s, x.len()).apply(s, vec![Column::Planes(x.clone())]).map(drop)
    }),
    ("sort", |s, x, _| sort(s, x).map(drop)),
    ("first rows", |s, x, _| top_k(s, x, 3).map(drop)),
    ("partition", |s, x, _| partition(s, &x.bits(0..1)).map(drop)),
];

/// The program, then two rounds that pass the news on to a party that had no part in it.
fn with_end(s: &mut Session, x: &Planes, v: &Arith<u64>, program: Program) -> Result<(), MpcError> {
    program(s, x, v)?;
    for _ in 0..2 {
        protocol::mul(s, v, v)?;
    }
    Ok(())
}

#[test]
fn every_fault_is_an_error_at_every_party() {
    let x = share_values(1, 5, &(0..70).map(|i| i % 32).collect::<Vec<_>>());
    let v = share_arith(2, &(0..70).collect::<Vec<u64>>());
    for (name, program) in PROGRAMS {
        let (_, sent) = record(Profile::LOCAL, 7, |s| {
            program(s, &x[s.party()], &v[s.party()]).unwrap();
        });
        for (party, sent) in sent.iter().enumerate() {
            let messages = sent.len();
            let step = messages.div_ceil(12).max(1);
            for message in (0..messages).step_by(step) {
                for fault in [Fault::Cut, Fault::Truncate] {
                    let results = run_with_fault(7, party, message, fault, |s| {
                        with_end(s, &x[s.party()], &v[s.party()], program)
                    });
                    let at = format!("{name}: {fault:?} of message {message} of {party}");
                    assert!(results.iter().all(Result::is_err), "{at}: {results:?}");
                    let told = match fault {
                        Fault::Cut => Err(MpcError::PeerLost { party }),
                        Fault::Truncate => {
                            let bytes = sent[message].bytes.len();
                            Err(MpcError::WrongLength { party, expected: bytes, got: bytes - 1 })
                        }
                    };
                    assert!(results.contains(&told), "{at}: {results:?}");
                }
            }
        }
    }
}

#[test]
fn a_party_that_never_comes_is_lost() {
    let v = share_arith(2, &[1_u64; 10]);
    let results = trine_mpc::testing::run(1, |s| match s.party() {
        1 => Err(MpcError::Cancelled),
        party => protocol::mul(s, &v[party], &v[party]).and_then(|w| protocol::mul(s, &w, &w)),
    });
    assert!(results.iter().all(Result::is_err));
    // Whoever notices first names party 1; the other may be told by the one that left for it.
    let names_it = |r: &Result<_, MpcError>| matches!(r, Err(MpcError::PeerLost { party: 1 }));
    assert!(results.iter().any(names_it));
}
