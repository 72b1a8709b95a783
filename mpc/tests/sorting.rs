//! Shuffle, sort and partition: right, stable, and costing what is predicted and recomputed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may stop the test")]

use trine_mpc::sort::{
    Choice, Column, Shuffle, SortOrder, Ties, choice, cost_sort, cost_top_k, partition, sort,
    sort_columns, top_k, top_k_shuffled,
};
use trine_mpc::testing::{
    Noise, reconstruct_arith, reconstruct_values, run, run_as, share_arith, share_values,
};
use trine_mpc::{Arith, Cost, MpcError, Planes, Profile, Session};

const ROWS: [usize; 9] = [0, 1, 2, 3, 6, 63, 64, 65, 1000];
const TREES: Profile = Profile { round_trip_us: 1_000_000, megabits_per_s: 100_000, lanes: 1 };

/// The three kinds of columns with their shares.
struct Table {
    rows: usize,
    narrow: Vec<u128>,
    wide: Vec<u128>,
    numbers: Vec<u64>,
    sums: Vec<u128>,
    shares: Vec<[Column; 3]>,
}

impl Table {
    fn new(seed: u64, rows: usize) -> Self {
        let mut noise = Noise::new(seed);
        let narrow: Vec<u128> = (0..rows).map(|_| noise.value(1)).collect();
        let wide: Vec<u128> = (0..rows).map(|_| noise.value(77)).collect();
        let numbers: Vec<u64> = (0..rows).map(|_| noise.word()).collect();
        let sums: Vec<u128> = (0..rows).map(|_| noise.value(128)).collect();
        let shares = vec![
            share_values(1, 1, &narrow).map(Column::Planes),
            share_values(2, 77, &wide).map(Column::Planes),
            share_arith(3, &numbers).map(Column::Arith64),
            share_arith(4, &sums).map(Column::Arith128),
        ];
        Self { rows, narrow, wide, numbers, sums, shares }
    }

    fn columns(&self, party: usize) -> Vec<Column> {
        self.shares.iter().map(|column| column[party].clone()).collect()
    }

    fn ghosts(&self) -> Vec<Column> {
        vec![
            Column::Planes(Planes::ghost(self.rows, 1)),
            Column::Planes(Planes::ghost(self.rows, 77)),
            Column::Arith64(Arith::ghost(self.rows)),
            Column::Arith128(Arith::ghost(self.rows)),
        ]
    }

    /// Every row as one tuple.
    fn tuples(&self) -> Vec<(u128, u128, u64, u128)> {
        (0..self.rows)
            .map(|i| (self.narrow[i], self.wide[i], self.numbers[i], self.sums[i]))
            .collect()
    }
}

/// The rows of three parties' moved columns.
fn tuples(parties: &[Vec<Column>; 3]) -> Vec<(u128, u128, u64, u128)> {
    let planes = |j: usize| {
        let column = |party: usize| match &parties[party][j] {
            Column::Planes(x) => x.clone(),
            _ => panic!("planes stay planes"),
        };
        reconstruct_values(&[column(0), column(1), column(2)])
    };
    let numbers = [0, 1, 2].map(|party: usize| match &parties[party][2] {
        Column::Arith64(x) => x.clone(),
        _ => panic!("the ring stays"),
    });
    let sums = [0, 1, 2].map(|party: usize| match &parties[party][3] {
        Column::Arith128(x) => x.clone(),
        _ => panic!("the ring stays"),
    });
    let (narrow, wide) = (planes(0), planes(1));
    let (numbers, sums) = (reconstruct_arith(&numbers), reconstruct_arith(&sums));
    (0..narrow.len()).map(|i| (narrow[i], wide[i], numbers[i], sums[i])).collect()
}

/// Counted at each party == predicted - expectation for sorts + recomputed for sorts.
fn hold_costs(reports: &[(Cost, Cost, Cost); 3], dry: &Session) {
    let predicted = dry.cost();
    for (party, (counted, expected, recomputed)) in reports.iter().enumerate() {
        assert_eq!(*expected, dry.sorts_predicted());
        assert_eq!(
            counted.rounds,
            predicted.rounds - expected.rounds + recomputed.rounds,
            "rounds of party {party}"
        );
        assert_eq!(
            counted.bytes[party],
            predicted.bytes[party] - expected.bytes[party] + recomputed.bytes[party],
            "bytes of party {party}"
        );
    }
}

fn report(s: &Session) -> (Cost, Cost, Cost) {
    (s.cost(), s.sorts_predicted(), s.sorts_recomputed())
}

#[test]
fn a_shuffle_permutes_whole_rows() {
    for n in ROWS {
        let table = Table::new(n as u64, n);
        let results = run(n as u64, |s| {
            let shuffle = Shuffle::draw(s, n);
            let moved = shuffle.apply(s, table.columns(s.party())).unwrap();
            (moved, report(s))
        });
        let mut dry = Session::dry(Profile::LOCAL);
        let ghosts = Shuffle::draw(&mut dry, n).apply(&mut dry, table.ghosts()).unwrap();
        assert_eq!(ghosts.len(), 4);
        hold_costs(&[results[0].1, results[1].1, results[2].1], &dry);
        let mut moved = tuples(&results.map(|(columns, _)| columns));
        if n > 60 {
            assert_ne!(moved, table.tuples(), "rows move");
        }
        let mut before = table.tuples();
        moved.sort_unstable();
        before.sort_unstable();
        assert_eq!(moved, before);
    }
}

/// Columns sorted, the first of them, all brought back, sorted again; and the costs.
type Moved = (Vec<Column>, Vec<Column>, Vec<Column>, Vec<Column>, (Cost, Cost, Cost));

/// Makes an order, applies it to a table and takes it back; returns the sorted rows.
fn through_order(
    profile: Profile,
    seed: u64,
    table: &Table,
    order: impl Fn(&mut Session) -> Result<SortOrder, MpcError> + Sync,
    dry_order: impl FnOnce(&mut Session) -> Result<SortOrder, MpcError>,
) -> Vec<(u128, u128, u64, u128)> {
    let results = run_as(profile, seed, |s| {
        let order = order(s).unwrap();
        assert_eq!(order.len(), table.rows);
        let sorted = order.apply(s, table.columns(s.party())).unwrap();
        let back = order.unapply(s, sorted.clone()).unwrap();
        let again = order.apply(s, table.columns(s.party())).unwrap();
        let front = order.apply_front(s, table.columns(s.party()), table.rows / 3).unwrap();
        assert!(front.iter().all(|column| column.len() == table.rows / 3));
        (sorted, front, back, again, report(s))
    });
    let mut dry = Session::dry(profile);
    let ghost = dry_order(&mut dry).unwrap();
    assert_eq!(ghost.len(), table.rows);
    for _ in 0..2 {
        let _ = ghost.apply(&mut dry, table.ghosts()).unwrap();
    }
    let _ = ghost.unapply(&mut dry, table.ghosts()).unwrap();
    let _ = ghost.apply_front(&mut dry, table.ghosts(), table.rows / 3).unwrap();
    hold_costs(&[results[0].4, results[1].4, results[2].4], &dry);
    let pick = |f: fn(&Moved) -> &Vec<Column>| {
        tuples(&[f(&results[0]).clone(), f(&results[1]).clone(), f(&results[2]).clone()])
    };
    assert_eq!(pick(|r| &r.2), table.tuples(), "unapply brings every row back");
    let sorted = pick(|r| &r.0);
    assert_eq!(pick(|r| &r.1), sorted[..table.rows / 3], "the first rows");
    assert_eq!(pick(|r| &r.3), sorted, "an order is the same for later columns");
    sorted
}

#[test]
fn sort_is_stable_and_costs_what_its_segments_say() {
    for profile in [Profile::LOCAL, TREES] {
        for n in ROWS {
            for width in [0, 1, 3, 40, 100] {
                let mut noise = Noise::new((n * 1000 + width) as u64);
                let keys: Vec<u128> = (0..n).map(|_| noise.value(width)).collect();
                let shares = share_values(9, width, &keys);
                let table = Table::new(5, n);
                let sorted = through_order(
                    profile,
                    noise.word(),
                    &table,
                    |s| sort(s, &shares[s.party()]),
                    |s| sort(s, &Planes::ghost(n, width)),
                );
                let mut expected: Vec<_> = keys.into_iter().zip(table.tuples()).collect();
                expected.sort_by_key(|(key, _)| *key);
                let expected: Vec<_> = expected.into_iter().map(|(_, row)| row).collect();
                assert_eq!(sorted, expected, "n={n} width={width}");
            }
        }
    }
}

#[test]
fn the_sorted_key_comes_back_with_the_columns() {
    let mut costs = Vec::new();
    for profile in [Profile::LOCAL, TREES] {
        for (n, width) in [(0, 4), (1, 4), (2, 9), (70, 1), (1000, 64), (1000, 65), (3000, 20)] {
            let mut noise = Noise::new((n * 1000 + width) as u64);
            let keys: Vec<u128> = (0..n).map(|_| noise.value(width) >> (n % 3)).collect();
            let shares = share_values(9, width, &keys);
            let table = Table::new(5, n);
            let results = run_as(profile, 3, |s| {
                let (key, columns) = (shares[s.party()].clone(), table.columns(s.party()));
                let (order, key, columns) = sort_columns(s, key, columns, Ties::Stable).unwrap();
                assert_eq!(order.len(), n);
                (key, columns, report(s))
            });
            let mut dry = Session::dry(profile);
            let (_, ghost, _) =
                sort_columns(&mut dry, Planes::ghost(n, width), table.ghosts(), Ties::Stable)
                    .unwrap();
            assert_eq!((ghost.len(), ghost.width()), (n, width));
            hold_costs(&[results[0].2, results[1].2, results[2].2], &dry);
            costs.push(dry.cost());
            let got = reconstruct_values(&results.each_ref().map(|r| r.0.clone()));
            let rows = tuples(&results.map(|r| r.1));
            let mut expected: Vec<_> = keys.into_iter().zip(table.tuples()).collect();
            expected.sort_by_key(|(key, _)| *key);
            assert_eq!(got.into_iter().zip(rows).collect::<Vec<_>>(), expected, "{n} x {width}");
        }
    }
    assert!(costs.iter().any(|cost| cost.rounds > 30), "some of them were quicksorts");
}

#[test]
fn shuffled_ties_are_in_no_order() {
    for (profile, width) in [(Profile::LOCAL, 2), (Profile::LOCAL, 40), (TREES, 3)] {
        for (rows, k) in [(2, 2), (500, 500), (500, 20), (3000, 40)] {
            let keys = keys_of(4, rows, width);
            let mut seen = Vec::new();
            for seed in 0..3 {
                let got =
                    ordered_as(profile, seed, &keys, width, |s, key| top_k_shuffled(s, key, k));
                let key = |row: &u128| keys[usize::try_from(*row).unwrap()];
                let mut sorted = keys.clone();
                sorted.sort_unstable();
                assert_eq!(got.iter().map(key).collect::<Vec<_>>(), sorted[..k], "{rows} {k}");
                let mut once = got.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), k, "no row comes twice");
                if rows > 2 {
                    let rising = got.windows(2).filter(|w| key(&w[0]) == key(&w[1]));
                    assert!(
                        rising.filter(|w| w[0] > w[1]).count() > 3,
                        "ties are not in row order"
                    );
                    assert!(!seen.contains(&got), "every session has another order");
                }
                seen.push(got);
            }
        }
    }
}

#[test]
fn parties_take_turns_at_sending_most() {
    let mut s = Session::dry(Profile::LOCAL);
    let mut before = [0; 3];
    for lead in [0, 1, 2, 0] {
        let column = vec![Column::Planes(Planes::ghost(640, 8))];
        Shuffle::draw(&mut s, 640).apply(&mut s, column).unwrap();
        let own = [0, 1, 2].map(|party| s.cost().bytes[party] - before[party]);
        before = s.cost().bytes;
        assert_eq!(own.map(|bytes| bytes / 640), [0, 1, 2].map(|p| 1 + u64::from(p == lead)));
    }
}

#[test]
fn sort_takes_every_arrangement_of_few_rows() {
    // All arrangements of up to five keys with ties, through the all-pairs end.
    for n in 2..=5_u32 {
        for code in 0..3_u128.pow(n) {
            let keys: Vec<u128> = (0..n).map(|i| code / 3_u128.pow(i) % 3).collect();
            let shares = share_values(1, 2, &keys);
            let results = run(u64::try_from(code).unwrap(), |s| {
                let key = shares[s.party()].clone();
                let order = sort(s, &key).unwrap();
                match order.apply(s, vec![Column::Planes(key)]).unwrap().remove(0) {
                    Column::Planes(x) => x,
                    _ => panic!("planes stay planes"),
                }
            });
            let mut expected = keys;
            expected.sort_unstable();
            assert_eq!(reconstruct_values(&results), expected);
        }
    }
}

#[test]
fn partition_is_stable_and_puts_ones_first() {
    for n in ROWS {
        for kind in 0..4 {
            let mut noise = Noise::new(n as u64 + 7 * kind);
            let bits: Vec<u128> = (0..n)
                .map(|i| match kind {
                    0 => 0,
                    1 => 1,
                    2 => u128::from(i % 3 == 0),
                    _ => noise.value(1),
                })
                .collect();
            let shares = share_values(9, 1, &bits);
            let table = Table::new(6, n);
            let sorted = through_order(
                Profile::LOCAL,
                noise.word(),
                &table,
                |s| partition(s, &shares[s.party()]),
                |s| partition(s, &Planes::ghost(n, 1)),
            );
            let rows = table.tuples();
            let of = |wanted: u128| {
                bits.iter().zip(&rows).filter(move |(b, _)| **b == wanted).map(|(_, row)| *row)
            };
            assert_eq!(sorted, of(1).chain(of(0)).collect::<Vec<_>>(), "n={n}");
        }
    }
}

/// Keys of many kinds: random, equal, rising, falling, few values.
fn keys_of(kind: usize, rows: usize, width: usize) -> Vec<u128> {
    let mut noise = Noise::new((kind + rows) as u64);
    let mask = if width >= 128 { u128::MAX } else { (1 << width) - 1 };
    (0..rows as u128)
        .map(|i| match kind {
            0 => noise.value(width),
            1 => mask,
            2 => i & mask,
            3 => (rows as u128 - i) & mask,
            _ => noise.value(2) & mask,
        })
        .collect()
}

fn first_planes(columns: Vec<Column>) -> Planes {
    match columns.into_iter().next() {
        Some(Column::Planes(x)) => x,
        _ => panic!("planes stay planes"),
    }
}

/// (key, row) in the order that `order` makes.
fn ordered(
    profile: Profile,
    keys: &[u128],
    width: usize,
    order: impl Fn(&mut Session, &Planes) -> Result<SortOrder, MpcError> + Sync,
) -> Vec<u128> {
    ordered_as(profile, keys.len() as u64, keys, width, order)
}

fn ordered_as(
    profile: Profile,
    seed: u64,
    keys: &[u128],
    width: usize,
    order: impl Fn(&mut Session, &Planes) -> Result<SortOrder, MpcError> + Sync,
) -> Vec<u128> {
    let shares = share_values(9, width, keys);
    let rows = share_values(8, 24, &(0..keys.len() as u128).collect::<Vec<_>>());
    let results = run_as(profile, seed, |s| {
        let order = order(s, &shares[s.party()]).unwrap();
        let moved = order.apply(s, vec![Column::Planes(rows[s.party()].clone())]).unwrap();
        (first_planes(moved), report(s))
    });
    let mut dry = Session::dry(profile);
    let ghost = order(&mut dry, &Planes::ghost(keys.len(), width)).unwrap();
    let _ = ghost.apply(&mut dry, vec![Column::Planes(Planes::ghost(keys.len(), 24))]).unwrap();
    hold_costs(&[results[0].1, results[1].1, results[2].1], &dry);
    reconstruct_values(&results.map(|(planes, _)| planes))
}

#[test]
fn long_sorts_of_every_kind_of_key_are_stable() {
    for (rows, width) in [(4096, 7), (5000, 128), (4097, 64), (20_001, 33)] {
        for kind in 0..5 {
            let keys = keys_of(kind, rows, width);
            let got = ordered(Profile::LOCAL, &keys, width, sort);
            let mut expected: Vec<u128> = (0..rows as u128).collect();
            expected.sort_by_key(|row| keys[usize::try_from(*row).unwrap()]);
            assert_eq!(got, expected, "{rows} x {width}, kind {kind}");
        }
    }
}

#[test]
fn two_lanes_sort_as_one_does() {
    let profile = Profile { lanes: 2, ..Profile::LOCAL };
    let keys = keys_of(0, 140_000, 30);
    let got = ordered(profile, &keys, 30, sort);
    let mut expected: Vec<u128> = (0..140_000).collect();
    expected.sort_by_key(|row| keys[usize::try_from(*row).unwrap()]);
    assert!(got == expected);
}

#[test]
fn the_first_rows_are_those_of_the_sort() {
    for profile in [Profile::LOCAL, TREES] {
        for rows in [0, 1, 2, 10, 100, 1000, 6000] {
            for k in [0, 1, 10, rows / 2, rows, rows + 5] {
                for kind in [0, 4] {
                    let keys = keys_of(kind, rows, 20);
                    let got = ordered(profile, &keys, 20, |s, key| top_k(s, key, k));
                    let mut expected: Vec<u128> = (0..rows as u128).collect();
                    expected.sort_by_key(|row| keys[usize::try_from(*row).unwrap()]);
                    expected.truncate(k);
                    assert_eq!(got, expected, "first {k} of {rows}, kind {kind}");
                }
            }
        }
    }
}

#[test]
fn the_first_rows_cost_little() {
    let (all, front) = (1 << 20, 10);
    let sorted = cost_sort(Profile::LOCAL, all, 32).bytes_max();
    let selected = cost_top_k(Profile::LOCAL, all, 32, front).bytes_max();
    assert!(selected * 5 < sorted, "{selected} {sorted}");
    assert_eq!(cost_top_k(Profile::LOCAL, all, 32, all), cost_sort(Profile::LOCAL, all, 32));
}

#[test]
fn narrow_keys_go_by_digits_and_far_networks_by_many_pivots() {
    assert_eq!(choice(Profile::LOCAL, 1 << 20, 1), Choice::Radix { digit: 1 });
    assert_eq!(choice(Profile::LOCAL, 1 << 20, 64), Choice::Quicksort { pivots: 1 });
    assert!(matches!(choice(Profile::WIDE, 1 << 16, 64), Choice::Quicksort { pivots: 3.. }));
    assert_eq!(choice(Profile::LOCAL, 1 << 20, 32).to_string(), "quicksort");
    assert_eq!(Choice::Quicksort { pivots: 3 }.to_string(), "quicksort by 3 pivots");
    assert_eq!(Choice::Radix { digit: 2 }.to_string(), "radix 2");
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let mut s = Session::dry(Profile::LOCAL);
    let order = sort(&mut s, &Planes::ghost(10, 4)).unwrap();
    let result = order.apply(&mut s, vec![Column::Arith64(Arith::ghost(9))]);
    assert!(matches!(result, Err(MpcError::Shape(_))));
    assert!(matches!(partition(&mut s, &Planes::ghost(10, 2)), Err(MpcError::Shape(_))));
    let order = top_k(&mut s, &Planes::ghost(1000, 30), 5).unwrap();
    assert_eq!((order.len(), order.kept()), (1000, 5));
    let back = order.unapply(&mut s, vec![Column::Planes(Planes::ghost(5, 1))]);
    assert!(matches!(back, Err(MpcError::Shape(_))));
}
