//! What leaves a party: its shape does not depend on the data, its bits look uniform whatever the
//! data, and nothing in it can be recognised.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may stop the test")]
#![allow(clippy::disallowed_methods, reason = "there is no policy to check here")]

use std::collections::BTreeSet;

use trine_mpc::sort::{Column, Shuffle, partition, top_k};
use trine_mpc::testing::{Transcript, record, run_over, shape, share_arith, share_values};
use trine_mpc::{Arith, AttemptKeys, MemoryNet, MpcError, Net, Planes, Profile, Session, protocol};

const ROWS: usize = 700;
const TREES: Profile = Profile { round_trip_us: 1_000_000, megabits_per_s: 100_000, lanes: 1 };

type Program = fn(&mut Session, &Planes, &Arith<u64>) -> Result<(), MpcError>;

/// Everything that opens nothing: whatever is sent is masked.
const MASKED: [(&str, Program); 15] = [
    ("and", |s, x, _| protocol::and(s, x, x).map(drop)),
    ("multiply", |s, _, v| protocol::mul(s, v, v).map(drop)),
    ("inner product", |s, _, v| protocol::inner_products(s, &[(v, v); 99]).map(drop)),
    ("equal", |s, x, _| protocol::equal(s, x, x).map(drop)),
    ("less than", |s, x, _| protocol::less_than(s, x, x).map(drop)),
    ("less than a constant", |s, x, _| {
        protocol::less_than_constant(s, x, &[true, false, true]).map(drop)
    }),
    ("add", |s, x, _| protocol::add(s, x, x, true).map(drop)),
    ("absolute", |s, x, _| protocol::absolute(s, x).map(drop)),
    ("sqrt", |s, x, _| protocol::sqrt(s, x).map(drop)),
    ("divide", |s, x, _| protocol::divide(s, x, x, 2).map(drop)),
    ("bits to arithmetic", |s, x, _| protocol::bits_to_arith::<u64>(s, x).map(drop)),
    ("number to arithmetic", |s, x, _| protocol::planes_to_arith::<u64>(s, x).map(drop)),
    ("arithmetic to planes", |s, _, v| protocol::arith_to_planes(s, v, 40).map(drop)),
    ("or over rows", |s, x, _| protocol::or_all_rows(s, &x.bits(0..1)).map(drop)),
    ("shuffle", |s, x, v| {
        let shuffle = Shuffle::draw(s, x.len());
        shuffle.apply(s, vec![Column::Planes(x.clone()), Column::Arith64(v.clone())]).map(drop)
    }),
];

fn transcripts(
    profile: Profile,
    seed: u64,
    planes: &[Planes; 3],
    numbers: &[Arith<u64>; 3],
    program: Program,
) -> [Transcript; 3] {
    let (results, sent) =
        record(profile, seed, |s| program(s, &planes[s.party()], &numbers[s.party()]));
    assert!(results.iter().all(Result::is_ok));
    sent
}

#[test]
fn shapes_do_not_depend_on_data() {
    for profile in [Profile::LOCAL, TREES] {
        for (name, program) in MASKED.into_iter().chain([("partition", split as Program)]) {
            let run = |value: u128, seed| {
                let planes = share_values(seed, 12, &vec![value; ROWS]);
                let number = u64::try_from(value).unwrap();
                let numbers = share_arith(seed, &vec![number; ROWS]);
                transcripts(profile, seed, &planes, &numbers, program).each_ref().map(shape)
            };
            assert_eq!(run(0, 1), run(0xFFF, 2), "{name}");
        }
    }
}

fn split(s: &mut Session, x: &Planes, _: &Arith<u64>) -> Result<(), MpcError> {
    partition(s, &x.bits(0..1)).map(drop)
}

/// Messages that one party received.
fn received(sent: &[Transcript; 3], party: usize) -> impl Iterator<Item = &[u8]> {
    sent.iter().flatten().filter(move |m| m.to == party).map(|m| &m.bytes[..])
}

#[test]
fn what_a_party_receives_looks_uniform_for_extreme_inputs() {
    for profile in [Profile::LOCAL, TREES] {
        for (name, program) in MASKED {
            for value in [false, true] {
                // Degenerate shares: without fresh masks their zeros and ones would show.
                let planes =
                    [0, 1, 2].map(|party| Planes::constant(party, ROWS - 60, &[value; 40]));
                let number = if value { u64::MAX } else { 0 };
                let numbers = [0, 1, 2].map(|party| Arith::constant(party, ROWS - 60, number));
                let sent = transcripts(profile, 3, &planes, &numbers, program);
                let mut receivers = 0;
                for party in 0..3 {
                    let (mut ones, mut bits) = (0_u64, 0_u64);
                    let mut values = [0_u64; 256];
                    for byte in received(&sent, party).flatten() {
                        ones += u64::from(byte.count_ones());
                        bits += 8;
                        values[*byte as usize] += 1;
                    }
                    if bits == 0 {
                        continue;
                    }
                    receivers += 1;
                    // Five standard deviations of a fair coin: sqrt(bits) / 2 each.
                    let off = (2 * ones).abs_diff(bits);
                    assert!(off * off <= 25 * bits, "{name}: {ones} ones of {bits} bits");
                    // No byte is far more frequent than 1 in 256.
                    let most = values.into_iter().max().unwrap_or(0);
                    assert!(most * 256 <= 3 * bits / 8 + 256 * 12, "{name}: {most} of {bits} bits");
                }
                assert!(receivers >= 2, "{name}: somebody receives something");
            }
        }
    }
}

fn words(transcript: &[u8]) -> impl Iterator<Item = u64> + '_ {
    transcript.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().unwrap()))
}

#[test]
fn no_party_recognises_an_element_through_a_shuffle() {
    // Every 64-bit element that a party holds before, sends, or receives, over two applications of one
    // shuffle to the same column: any repetition would link a place before to a place after. The same
    // message never goes to two parties here, so each word may be seen once. Nor may two of them add up to
    // the value that moves: who guesses it could tell which belong together.
    let rows = 500;
    let numbers = share_arith(1, &vec![7_u64; rows]);
    for (backward, lead) in [(false, 0), (false, 1), (false, 2), (true, 0), (true, 1), (true, 2)] {
        let (_, sent) = record(Profile::LOCAL, 5, |s| {
            let party = s.party();
            for _ in 0..lead {
                let _ = Shuffle::draw(s, 2);
            }
            let column = || vec![Column::Arith64(numbers[party].clone())];
            if backward {
                let bits = Planes::constant(party, rows, &[true]);
                let order = partition(s, &bits).unwrap();
                let _ = order.unapply(s, column()).unwrap();
                let _ = order.unapply(s, column()).unwrap();
            } else {
                let shuffle = Shuffle::draw(s, rows);
                let _ = shuffle.apply(s, column()).unwrap();
                let _ = shuffle.apply(s, column()).unwrap();
            }
        });
        for party in 0..3 {
            let (a, b) = numbers[party].components();
            let mut seen: BTreeSet<u64> = a.iter().chain(b).copied().collect();
            let own = sent[party].iter().map(|m| &m.bytes[..]);
            // Messages of exactly one 64-bit column: the shuffle's own.
            let messages = own.chain(received(&sent, party)).filter(|m| m.len() == rows * 8);
            let mut count = 0;
            for word in messages.flat_map(words) {
                assert!(seen.insert(word), "party {party} sees a word twice");
                let rest = 7_u64.wrapping_sub(word);
                assert!(!seen.contains(&rest), "party {party} can test the value that moves");
                count += 1;
            }
            assert!(count >= 4 * rows, "party {party} sees {count} words");
        }
    }
}

/// A network so near that sorts take many levels.
const NEAR: Profile = Profile { round_trip_us: 1, ..Profile::LOCAL };

/// Everything that was opened: components go to the next party, gates to the previous one. (Party 0
/// sends its last message of the shuffle to the next one too.)
fn opened(sent: &[Transcript; 3]) -> Vec<u64> {
    let of = |party: usize| -> Vec<u64> {
        let to_next = sent[party].iter().filter(|m| m.to == (party + 1) % 3);
        to_next.skip(usize::from(party == 0)).flat_map(|m| words(&m.bytes)).collect()
    };
    let (a, b, c) = (of(0), of(1), of(2));
    assert!(a.len() == b.len() && b.len() == c.len(), "all open the same");
    a.iter().zip(&b).zip(&c).map(|((a, b), c)| a ^ b ^ c).collect()
}

#[test]
fn a_sort_opens_the_secret_order_of_rows_and_nothing_else() {
    // Equal keys are ordered by row, so these three have the same order: with the same shuffle, the
    // same comparisons come out the same, bit by bit. Other orders meet other random ones.
    for (rows, front) in [(300_u128, 300), (3000, 3000), (3000, 7)] {
        let run = |seed: u64, key: &dyn Fn(u128) -> u128| {
            let keys: Vec<u128> = (0..rows).map(key).collect();
            let shares = share_values(seed, 12, &keys);
            let (_, sent) =
                record(NEAR, 8, |s| top_k(s, &shares[s.party()], front).map(drop).unwrap());
            (sent.each_ref().map(shape), opened(&sent))
        };
        let equal = run(1, &|_| 0);
        assert!(equal == run(2, &|i| i), "{rows} rows");
        assert!(equal == run(3, &|i| 4095 - (rows - i) / 7), "{rows} rows");
        let other = run(4, &|i| i * 77 % 311);
        assert!(equal.0 != other.0 && equal.1 != other.1, "{rows} rows");
    }
}

#[test]
fn what_sorts_of_any_data_open_has_the_same_distribution() {
    // Costs and ones over many seeds, for keys that rise and keys that jump: equal means but for chance.
    for (rows, front) in [(200_u128, 200), (1500, 1500), (1500, 10)] {
        let mean = |jumping: bool| {
            let keys: Vec<u128> =
                (0..rows).map(|i| if jumping { i * 77 % 211 } else { i % 256 }).collect();
            let (mut bytes, mut ones) = (0, 0);
            for seed in 0..60 {
                let shares = share_values(seed, 8, &keys);
                let (results, sent) = record(NEAR, seed, |s| {
                    top_k(s, &shares[s.party()], front).unwrap();
                    s.sorts_recomputed().bytes[0]
                });
                bytes += results[0];
                ones += opened(&sent).into_iter().map(|w| u64::from(w.count_ones())).sum::<u64>();
            }
            (bytes / 60, ones / 60)
        };
        let (rising, jumping) = (mean(false), mean(true));
        let percent = if front < 100 { 15 } else { 5 };
        let near = |a: u64, b: u64| a.abs_diff(b) * 100 <= a * percent;
        assert!(near(rising.0, jumping.0), "{rows}: {rising:?} {jumping:?}");
        assert!(near(rising.1, jumping.1), "{rows}: {rising:?} {jumping:?}");
    }
}

#[test]
fn attempts_with_other_nonces_have_other_masks() {
    let x = share_values(1, 64, &[1; 64]);
    let run = |nonce: &[u8]| {
        let ends = MemoryNet::mesh();
        let secrets = [[1; 32], [2; 32], [3; 32]];
        let mut parties = ends.into_iter().zip(0..3);
        std::thread::scope(|scope| {
            let threads = [(); 3].map(|()| {
                let (net, i) = parties.next().unwrap();
                let keys = AttemptKeys::derive(&secrets[i], &secrets[(i + 2) % 3], nonce, nonce);
                let x = &x[i];
                scope.spawn(move || {
                    let mut s = Session::new(i, net as std::sync::Arc<dyn Net>, keys, TREES);
                    protocol::and(&mut s, x, x).unwrap().components().0.to_vec()
                })
            });
            threads.map(|t| t.join().unwrap())
        })
    };
    let (first, same, second) = (run(b"nonce 1"), run(b"nonce 1"), run(b"nonce 2"));
    assert_eq!(first, same);
    for (a, b) in first.iter().flatten().zip(second.iter().flatten()) {
        assert_ne!(a, b);
    }
    // The same keys over another network of the same process are the same session, too.
    let results = run_over(trine_mpc::testing::mesh(), TREES, 1, |s| s.party());
    assert_eq!(results, [0, 1, 2]);
}

#[test]
fn openings_do_not_send_what_lies_beyond_the_last_row() {
    // The test shares carry noise there, in the value too.
    let rows = 65;
    let x = share_values(1, 7, &vec![0; rows]);
    let (_, sent) = record(Profile::LOCAL, 1, |s| {
        let permit = trine_mpc::Disclosure::permit_after_policy_check("test");
        protocol::open_planes(s, &x[s.party()], permit).unwrap()
    });
    let bandwidth = Profile { round_trip_us: 0, megabits_per_s: 1, lanes: 1 };
    let (_, converted) = record(bandwidth, 1, |s| {
        let wide = x[s.party()].sign_extend(32);
        protocol::planes_to_arith::<u32>(s, &wide).unwrap()
    });
    let opened = |sent: &[Transcript; 3], last_of: usize| -> Vec<u64> {
        let last = sent[last_of].last().unwrap();
        words(&last.bytes).collect()
    };
    let by_adder: Vec<Vec<u64>> = [0, 1].map(|party| opened(&converted, party)).to_vec();
    let plainly: Vec<Vec<u64>> = [0, 1, 2].map(|party| opened(&sent, party)).to_vec();
    for message in plainly.iter().chain(&by_adder) {
        assert!(message.len() >= 14, "planes of two words");
        assert!(message.chunks_exact(2).all(|plane| plane[1] <= 1), "only row 64 is sent");
        assert!(message.iter().any(|word| *word != 0));
    }
}

#[test]
fn a_converted_bit_cannot_be_read_off_by_party_0() {
    // P0 knows c and its two parts; without r and s, what comes back would be a part or its negative,
    // which is the third component of the bit.
    let rows = 400;
    let x = share_values(1, 1, &vec![0; rows]);
    let (_, sent) =
        record(Profile::LOCAL, 1, |s| protocol::bits_to_arith::<u64>(s, &x[s.party()]).unwrap());
    let column = |party: usize| words(&sent[party][0].bytes).collect::<Vec<_>>();
    let (c1, y1, y0) = (column(0), column(1), column(2));
    assert!([c1.len(), y0.len(), y1.len()] == [rows; 3]);
    for ((c1, y0), y1) in c1.into_iter().zip(y0).zip(y1) {
        let c0 = [0, 1].map(|c: u64| c.wrapping_sub(c1));
        let parts = [c0[0], c0[1], c1];
        for part in parts.into_iter().chain(parts.map(u64::wrapping_neg)) {
            assert!(y0 != part && y1 != part, "a part comes back bare");
        }
    }
}
