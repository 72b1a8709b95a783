//! Local operations equal their plain functions, tolerate noise beyond the last row, and keep ghosts
//! ghosts of the right shape.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may stop the test")]

use trine_mpc::testing::{
    Noise, reconstruct_arith, reconstruct_values, rows_of, share_arith, share_values,
};
use trine_mpc::{Arith, Planes, Ring};

const ROWS: [usize; 8] = [0, 1, 2, 63, 64, 65, 128, 300];

fn mask(width: usize) -> u128 {
    if width >= 128 { u128::MAX } else { (1 << width) - 1 }
}

fn draw(noise: &mut Noise, n: usize, width: usize) -> Vec<u128> {
    (0..n).map(|_| noise.value(width)).collect()
}

/// One operation at all parties on shares of `columns`, against the expected values; and on ghosts.
fn holds(
    name: &str,
    columns: &[(usize, Vec<u128>)],
    f: impl Fn(usize, &[Planes]) -> Planes,
    expected: &[u128],
) {
    let shares: Vec<[Planes; 3]> = (0..)
        .zip(columns)
        .map(|(seed, (width, values))| share_values(seed, *width, values))
        .collect();
    let results = [0, 1, 2].map(|party: usize| {
        let own: Vec<Planes> = shares.iter().map(|column| column[party].clone()).collect();
        f(party, &own)
    });
    if results[0].width() > 0 {
        assert_eq!(reconstruct_values(&results), expected, "{name}");
    }
    assert_eq!(results[0].len(), expected.len(), "{name}");
    let ghosts: Vec<Planes> = columns.iter().map(|(w, v)| Planes::ghost(v.len(), *w)).collect();
    let ghost = f(0, &ghosts);
    assert!(ghost.is_ghost(), "{name}");
    assert_eq!((ghost.len(), ghost.width()), (results[0].len(), results[0].width()), "{name}");
    assert!(ghost.components().0.is_empty());
}

#[test]
fn bitwise() {
    let mut noise = Noise::new(1);
    for n in ROWS {
        for k in [1, 7, 64, 90] {
            let m = mask(k);
            let (x, y) = (draw(&mut noise, n, k), draw(&mut noise, n, k));
            let bit = draw(&mut noise, n, 1);
            let pair = [(k, x.clone()), (k, y.clone())];
            let each = |f: &dyn Fn(u128) -> u128| x.iter().map(|v| f(*v)).collect::<Vec<_>>();
            let both: Vec<u128> = x.iter().zip(&y).map(|(x, y)| x ^ y).collect();
            holds("xor", &pair, |_, c| c[0].xor(&c[1]), &both);
            let repeated: Vec<u128> =
                x.iter().zip(&bit).map(|(x, b)| if *b == 1 { x ^ m } else { *x }).collect();
            let with_bit = [(k, x.clone()), (1, bit.clone())];
            holds("xor a bit", &with_bit, |_, c| c[0].xor(&c[1]), &repeated);
            holds("xor to a bit", &with_bit, |_, c| c[1].xor(&c[0]), &repeated);
            let one = [(k, x.clone())];
            holds("not", &one, |party, c| c[0].not(party), &each(&|v| v ^ m));
            let constant = noise.value(k);
            let bits: Vec<bool> = (0..k).map(|j| constant >> j & 1 == 1).collect();
            holds(
                "xor constant",
                &one,
                |party, c| c[0].xor_constant(party, &bits),
                &each(&|v| v ^ constant),
            );
            holds("and constant", &one, |_, c| c[0].and_constant(&bits), &each(&|v| v & constant));
            let short = &bits[..k / 2];
            let low = constant & mask(k / 2);
            holds("short constant", &one, |p, c| c[0].xor_constant(p, short), &each(&|v| v ^ low));
            holds("short mask", &one, |_, c| c[0].and_constant(short), &each(&|v| v & low));
            let (lo, hi) = (k / 3, k - k / 4);
            holds("bits", &one, |_, c| c[0].bits(lo..hi), &each(&|v| v >> lo & mask(hi - lo)));
            holds("zero extend", &one, |_, c| c[0].zero_extend(k + 5), &x);
            let signed = each(&|v| if v >> (k - 1) & 1 == 1 { v | (mask(k + 5) & !m) } else { v });
            holds("sign extend", &one, |_, c| c[0].sign_extend(k + 5), &signed);
            let stacked: Vec<u128> = x.iter().zip(&bit).map(|(x, b)| x | b << k).collect();
            holds("stack", &with_bit, |_, c| c[0].stack(&c[1]), &stacked);
        }
    }
}

#[test]
fn rows() {
    let mut noise = Noise::new(2);
    for n in ROWS {
        for k in [1, 2, 7, 70] {
            let x = draw(&mut noise, n, k);
            let one = [(k, x.clone())];
            let shifted = |by: isize| -> Vec<u128> {
                let at = |i: usize| i.checked_add_signed(by).and_then(|i| x.get(i));
                (0..n).map(|i| at(i).copied().unwrap_or(0)).collect()
            };
            holds("shift down", &one, |_, c| c[0].shift_down(), &shifted(-1));
            holds("shift up", &one, |_, c| c[0].shift_up(), &shifted(1));
            let mut sum = 0;
            let sums: Vec<u128> = x
                .iter()
                .map(|v| {
                    sum ^= v;
                    sum
                })
                .collect();
            holds("prefix xor", &one, |_, c| c[0].prefix_xor(), &sums);
            for m in [0, 1, 64, 101] {
                let y = draw(&mut noise, m, k);
                let all = [&x[..], &y[..]].concat();
                holds("concat", &[(k, x.clone()), (k, y)], |_, c| c[0].concat(&c[1]), &all);
            }
            for (from, to) in [(0, n), (n / 3, n), (n / 2, n / 2), (n.min(3), n.min(67))] {
                holds("slice", &one, |_, c| c[0].slice(from..to), &x[from..to]);
            }
            if n > 0 {
                let index: Vec<u32> =
                    (0..100).map(|_| u32::try_from(noise.word() % n as u64).unwrap()).collect();
                let picked: Vec<u128> = index.iter().map(|&i| x[i as usize]).collect();
                holds("gather", &one, |_, c| c[0].gather(&index), &picked);
                let row = [(k, x[..1].to_vec())];
                for times in [0, 1, 65] {
                    holds("repeat", &row, |_, c| c[0].repeat_row(times), &vec![x[0]; times]);
                }
            }
            holds("gather nothing", &one, |_, c| c[0].gather(&[]), &[]);
        }
    }
}

#[test]
fn public_columns() {
    let mut noise = Noise::new(3);
    for n in ROWS {
        let v = draw(&mut noise, n, 11);
        let of = |f: &dyn Fn(usize) -> Planes| reconstruct_values(&[f(0), f(1), f(2)]);
        assert_eq!(of(&|p| Planes::public_rows(p, n, 11, &rows_of(11, &v))), v);
        assert_eq!(of(&|p| Planes::constant(p, n, &[true, false, true])), vec![5; n]);
        let index: Vec<u128> = (0..n as u128).map(|i| i % 256).collect();
        assert_eq!(of(&|p| Planes::row_index(p, n, 8)), index);
        let numbers: Vec<u64> = v.iter().map(|v| u64::try_from(*v).unwrap()).collect();
        let bytes: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
        let of = |f: &dyn Fn(usize) -> Arith<u64>| reconstruct_arith(&[f(0), f(1), f(2)]);
        assert_eq!(of(&|p| Arith::public_rows(p, n, &bytes)), numbers);
        assert_eq!(of(&|p| Arith::constant(p, n, 9)), vec![9; n]);
    }
}

#[test]
fn rows_and_components_round_trip() {
    let mut noise = Noise::new(4);
    let (a, b) = (noise.bytes(65 * 3), noise.bytes(65 * 3));
    let from_rows = Planes::from_rows(65, 24, &a, &b);
    let (planes_a, planes_b) = from_rows.components();
    let again = Planes::from_components(65, 24, planes_a.to_vec(), planes_b.to_vec());
    assert_eq!(again.components(), from_rows.components());
    let numbers = Arith::<u128>::from_rows(2, &a[..32], &b[..32]);
    assert_eq!(numbers.components().0[1].to_le_bytes(), a[16..32]);
}

/// An operation at one party.
type Operation<'a, T> = &'a dyn Fn(usize, &Arith<T>, &Arith<T>) -> Arith<T>;

fn arithmetic<T: Ring + std::fmt::Debug>() {
    let mut noise = Noise::new(5);
    for n in ROWS {
        let mut values =
            || draw(&mut noise, n, 128).into_iter().map(T::from_u128).collect::<Vec<T>>();
        let (x, y) = (values(), values());
        let (xs, ys) = (share_arith(1, &x), share_arith(2, &y));
        let holds = |f: Operation<'_, T>, expected: &[T]| {
            let results = [0, 1, 2].map(|p: usize| f(p, &xs[p], &ys[p]));
            assert_eq!(reconstruct_arith(&results), expected);
            let ghost = f(0, &Arith::ghost(n), &Arith::ghost(n));
            assert!(ghost.is_ghost() && ghost.len() == expected.len());
        };
        let zip = |f: fn(T, T) -> T| x.iter().zip(&y).map(|(x, y)| f(*x, *y)).collect::<Vec<T>>();
        let each = |f: &dyn Fn(T) -> T| x.iter().map(|x| f(*x)).collect::<Vec<T>>();
        let seven = T::from_u128(7);
        holds(&|_, x, y| x.add(y), &zip(T::plus));
        holds(&|_, x, y| x.sub(y), &zip(T::minus));
        holds(&|_, x, _| x.neg(), &each(&|x| T::default().minus(x)));
        holds(&|p, x, _| x.add_constant(p, seven), &each(&|x| x.plus(seven)));
        holds(&|_, x, _| x.times_constant(seven), &each(&|x| x.times(seven)));
        holds(&|_, x, y| x.concat(y), &[&x[..], &y[..]].concat());
        holds(&|_, x, _| x.slice(n / 3..n), &x[n / 3..]);
        let mut sums: Vec<T> = Vec::new();
        for v in &x {
            sums.push(sums.last().copied().unwrap_or_default().plus(*v));
        }
        holds(&|_, x, _| x.prefix_sum(), &sums);
        holds(&|_, x, _| x.prefix_sum().adjacent_difference(), &x);
        holds(&|_, x, _| x.sum(), &[sums.last().copied().unwrap_or_default()]);
        let down = (0..n).map(|i| if i == 0 { T::default() } else { x[i - 1] });
        holds(&|_, x, _| x.shift_down(), &down.collect::<Vec<T>>());
        if n > 0 {
            let last = u32::try_from(n - 1).unwrap();
            holds(&|_, x, _| x.gather(&[last, 0, last]), &[x[n - 1], x[0], x[n - 1]]);
            holds(&|_, x, _| x.slice(0..1).repeat_row(3), &[x[0]; 3]);
        }
        let low = [0, 1, 2].map(|p: usize| xs[p].truncate::<u32>());
        let expected: Vec<u32> = x.iter().map(|x| u32::from_u128(x.to_u128())).collect();
        assert_eq!(reconstruct_arith(&low), expected);
    }
}

#[test]
fn arithmetic_in_every_ring() {
    arithmetic::<u32>();
    arithmetic::<u64>();
    arithmetic::<u128>();
}

#[test]
fn shares_do_not_print() {
    let planes = share_values(1, 16, &[0xABCD; 3]);
    let numbers = share_arith(1, &[0x1234_5678_u64; 3]);
    assert_eq!(format!("{:?}", planes[0]), "Planes(3 rows, 16 bits)");
    assert_eq!(format!("{:?}", numbers[2]), "Arith(3 rows, 64 bits)");
    let column = trine_mpc::sort::Column::Arith64(numbers[0].clone());
    assert_eq!(format!("{column:?}"), "Arith64(Arith(3 rows, 64 bits))");
}
