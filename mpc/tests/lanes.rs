//! Long columns in several lanes: the same results, the costs of one lane, and lines of the network
//! that are used alike whatever the data is.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

use std::sync::Arc;

use trine_mpc::testing::{
    Noise, reconstruct_arith, reconstruct_planes, record, run_as, run_over, share_arith,
    share_planes,
};
use trine_mpc::{Arith, Cost, MemoryNet, MpcError, Net, Planes, Profile, Session, protocol};

/// Enough for three lanes, and no whole number of words.
const ROWS: usize = 100_003;

fn profile(lanes: u32, round_trip_us: u32) -> Profile {
    Profile { round_trip_us, megabits_per_s: 8192, lanes }
}

/// A protocol on boolean columns of these widths gives with lanes what it gives without.
fn alike(
    widths: &[usize],
    protocol: impl Fn(&mut Session, &[Planes]) -> Result<Planes, MpcError> + Sync,
) {
    let mut noise = Noise::new(widths.len() as u64);
    let shares: Vec<[Planes; 3]> = widths
        .iter()
        .map(|&w| share_planes(noise.word(), ROWS, w, &noise.bytes(ROWS * w.div_ceil(8))))
        .collect();
    for round_trip_us in [0, 1_000_000] {
        let mut dry = Session::dry(profile(1, round_trip_us));
        let ghosts: Vec<Planes> = widths.iter().map(|&w| Planes::ghost(ROWS, w)).collect();
        protocol(&mut dry, &ghosts).unwrap();
        let mut expected = None;
        for lanes in [1, 2, 3] {
            let results = run_as(profile(lanes, round_trip_us), 7, |s| {
                let own: Vec<Planes> = shares.iter().map(|c| c[s.party()].clone()).collect();
                protocol(s, &own).map(|planes| (planes, s.cost())).unwrap()
            });
            hold(&results.each_ref().map(|r| r.1), dry.cost());
            let found = reconstruct_planes(&results.map(|r| r.0));
            assert!(*expected.get_or_insert_with(|| found.clone()) == found, "{lanes} lanes");
        }
    }
}

fn hold(counted: &[Cost; 3], predicted: Cost) {
    for (party, counted) in counted.iter().enumerate() {
        assert_eq!(counted.rounds, predicted.rounds);
        assert_eq!(counted.bytes[party], predicted.bytes[party]);
    }
}

#[test]
fn boolean_protocols() {
    alike(&[5, 5], |s, c| protocol::and(s, &c[0], &c[1]));
    alike(&[1, 5], |s, c| protocol::or(s, &c[0], &c[1]));
    alike(&[1, 3, 3], |s, c| protocol::select(s, &c[0], &c[1], &c[2]));
    alike(&[9, 9], |s, c| protocol::equal(s, &c[0], &c[1]));
    alike(&[9], |s, c| protocol::equal_constant(s, &c[0], &[true, false, true]));
    alike(&[9, 9], |s, c| protocol::less_than(s, &c[0], &c[1]));
    alike(&[9], |s, c| protocol::less_than_constant(s, &c[0], &[true, true, false, true]));
    alike(&[9, 9], |s, c| protocol::add(s, &c[0], &c[1], true));
    alike(&[1, 6], |s, c| protocol::negate_if(s, &c[0], &c[1]));
    alike(&[4, 3], |s, c| protocol::divide(s, &c[0], &c[1], 1));
}

#[test]
fn ring_protocols() {
    let mut noise = Noise::new(5);
    let values: Vec<u64> = (0..ROWS).map(|_| noise.word()).collect();
    let x = share_arith(1, &values);
    let bits = share_planes(2, ROWS, 3, &noise.bytes(ROWS));
    let mut dry = Session::dry(profile(1, 0));
    let _ = protocol::mul(&mut dry, &Arith::<u64>::ghost(ROWS), &Arith::ghost(ROWS)).unwrap();
    let _ = protocol::arith_to_planes(&mut dry, &Arith::<u64>::ghost(ROWS), 12).unwrap();
    let _ = protocol::bits_to_arith::<u64>(&mut dry, &Planes::ghost(ROWS, 3)).unwrap();
    let _ = protocol::planes_to_arith::<u64>(&mut dry, &Planes::ghost(ROWS, 3)).unwrap();
    let ghost = Arith::<u64>::ghost(ROWS);
    let _ = protocol::mul_many(&mut dry, &[(&ghost, &ghost), (&ghost, &ghost)]).unwrap();
    for lanes in [1, 2, 3] {
        let results = run_as(profile(lanes, 0), 9, |s| {
            let (x, bits) = (&x[s.party()], &bits[s.party()]);
            let square = protocol::mul(s, x, x).unwrap();
            let planes = protocol::arith_to_planes(s, x, 12).unwrap();
            let columns = protocol::bits_to_arith::<u64>(s, bits).unwrap();
            let number = protocol::planes_to_arith::<u64>(s, bits).unwrap();
            let many = protocol::mul_many(s, &[(x, x), (&square, x)]).unwrap();
            (square, planes, columns, number, many, s.cost())
        });
        hold(&results.each_ref().map(|r| r.5), dry.cost());
        let product = |j: usize| reconstruct_arith(&results.each_ref().map(|r| r.4[j].clone()));
        let (twice, thrice) = (product(0), product(1));
        for (i, v) in values.iter().enumerate() {
            assert_eq!(twice[i], v.wrapping_mul(*v));
            assert_eq!(thrice[i], v.wrapping_mul(*v).wrapping_mul(*v));
        }
        let squares = reconstruct_arith(&results.each_ref().map(|r| r.0.clone()));
        assert!(squares.iter().zip(&values).all(|(s, v)| *s == v.wrapping_mul(*v)));
        let low = reconstruct_planes(&results.each_ref().map(|r| r.1.clone()));
        let low = low.chunks_exact(2).map(|b| u64::from(b[0]) | u64::from(b[1]) << 8);
        assert!(low.zip(&values).all(|(low, v)| low == v & 0xFFF));
        let column = |j: usize| reconstruct_arith(&results.each_ref().map(|r| r.2[j].clone()));
        let (c0, c1, c2) = (column(0), column(1), column(2));
        let numbers = reconstruct_arith(&results.each_ref().map(|r| r.3.clone()));
        let plain = reconstruct_planes(&bits);
        for (i, number) in numbers.into_iter().enumerate() {
            assert_eq!(number, u64::from(plain[i]));
            assert_eq!(number, c0[i] + 2 * c1[i] + 4 * c2[i]);
        }
    }
}

#[test]
fn every_lane_sends_its_part_and_no_mask_comes_twice() {
    let zeros = share_planes(1, ROWS, 1, &vec![0; ROWS]);
    let noise = share_planes(2, ROWS, 1, &Noise::new(3).bytes(ROWS));
    let shapes = [&zeros, &noise].map(|x| {
        let (_, sent) = record(profile(3, 0), 4, |s| {
            let x = &x[s.party()];
            protocol::and(s, x, x).unwrap();
            protocol::and(s, x, x).unwrap();
        });
        sent.map(|messages| {
            let mut shape: Vec<_> =
                messages.iter().map(|m| (m.lane, m.to, m.bytes.len())).collect();
            shape.sort_unstable();
            let mut words: Vec<&[u8]> =
                messages.iter().flat_map(|m| m.bytes.chunks_exact(8)).collect();
            let all = words.len();
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), all, "messages of both protocols and all lanes differ");
            shape
        })
    });
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(shapes[0][0].iter().map(|m| m.0).collect::<Vec<_>>(), [1, 1, 2, 2, 3, 3]);
}

/// A network end whose third lane panics when it sends.
struct Panics(Arc<MemoryNet>);

impl Net for Panics {
    fn send(&self, party: usize, lane: u32, bytes: &[u8]) -> Result<(), MpcError> {
        assert_ne!(lane, 3, "this lane was to panic");
        self.0.send(party, lane, bytes)
    }
    fn receive(&self, party: usize, lane: u32, into: &mut [u8]) -> Result<(), MpcError> {
        self.0.receive(party, lane, into)
    }
}

#[test]
fn a_panic_in_a_lane_is_an_error_at_every_party() {
    let x = share_planes(1, ROWS, 2, &vec![1; ROWS]);
    let [a, b, c] = MemoryNet::mesh();
    let nets: [Arc<dyn Net>; 3] = [a, Arc::new(Panics(b)), c];
    let errors = run_over(nets, profile(3, 0), 4, |s| {
        let own = &x[s.party()];
        (0..2).find_map(|_| protocol::and(s, own, own).err())
    });
    assert_eq!(errors[1], Some(MpcError::Panicked));
    for party in [0, 2] {
        assert!(matches!(errors[party], Some(MpcError::PeerLost { .. })), "{errors:?}");
    }
}

#[test]
fn few_rows_stay_in_the_main_line() {
    let x = share_planes(1, 1000, 2, &vec![1; 1000]);
    let (_, sent) = record(profile(3, 0), 4, |s| {
        protocol::and(s, &x[s.party()], &x[s.party()]).unwrap();
    });
    assert!(sent.iter().flatten().all(|message| message.lane == 0));
}
