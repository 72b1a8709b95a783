//! Every protocol equals its plain function and costs what is predicted, over row counts at the
//! borders of words and chunks, several widths, both circuit forms and all three parties.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may stop the test")]
#![allow(clippy::disallowed_methods, reason = "there is no policy to check here")]

use trine_mpc::testing::{
    Noise, reconstruct_arith, reconstruct_values, record, run_as, share_arith, share_values,
};
use trine_mpc::{Arith, Cost, Disclosure, MpcError, Planes, Profile, Ring, Session, protocol};

const ROWS: [usize; 6] = [0, 1, 63, 64, 65, 1000];
/// One wants rounds cheap, the other bytes cheap: ripple here, trees there.
const PROFILES: [Profile; 2] = [
    Profile { round_trip_us: 0, megabits_per_s: 1, lanes: 1 },
    Profile { round_trip_us: 1_000_000, megabits_per_s: 100_000, lanes: 1 },
];

type Shared = Vec<[Planes; 3]>;

fn mask(width: usize) -> u128 {
    if width >= 128 { u128::MAX } else { (1 << width) - 1 }
}

/// Values that are random, and at the edges now and then.
fn values(noise: &mut Noise, n: usize, width: usize) -> Vec<u128> {
    (0..n)
        .map(|_| match noise.word() % 8 {
            0 => 0,
            1 => mask(width),
            2 => 1 & mask(width),
            3 => noise.value(width.min(2)),
            _ => noise.value(width),
        })
        .collect()
}

fn own(inputs: &Shared, party: usize) -> Vec<Planes> {
    inputs.iter().map(|shares| shares[party].clone()).collect()
}

/// Runs for real and dry; holds the counted cost of each party to the predicted one.
fn checked<T: Send>(
    profile: Profile,
    seed: u64,
    real: impl Fn(&mut Session) -> Result<T, MpcError> + Sync,
    dry: impl FnOnce(&mut Session) -> Result<T, MpcError>,
) -> ([T; 3], T) {
    let results = run_as(profile, seed, |s| real(s).map(|t| (t, s.cost())).unwrap());
    let mut session = Session::dry(profile);
    let ghost = dry(&mut session).unwrap();
    let predicted: Cost = session.cost();
    for (party, (_, counted)) in results.iter().enumerate() {
        assert_eq!(counted.rounds, predicted.rounds, "rounds of party {party}");
        assert_eq!(counted.bytes[party], predicted.bytes[party], "bytes of party {party}");
    }
    (results.map(|(t, _)| t), ghost)
}

/// The protocol on boolean columns of the given widths against the plain function by row.
fn holds(
    name: &str,
    widths: &[usize],
    protocol: impl Fn(&mut Session, &[Planes]) -> Result<Planes, MpcError> + Sync,
    plain: impl Fn(&[u128]) -> u128,
) {
    let mut noise = Noise::new(widths.iter().sum::<usize>() as u64);
    for profile in PROFILES {
        for n in ROWS {
            let columns: Vec<Vec<u128>> =
                widths.iter().map(|&w| values(&mut noise, n, w)).collect();
            let shares: Shared = columns
                .iter()
                .zip(widths)
                .map(|(v, &w)| share_values(noise.word(), w, v))
                .collect();
            let ghosts: Vec<Planes> = widths.iter().map(|&w| Planes::ghost(n, w)).collect();
            let (results, ghost) = checked(
                profile,
                noise.word(),
                |s| protocol(s, &own(&shares, s.party())),
                |s| protocol(s, &ghosts),
            );
            assert!(ghost.is_ghost());
            assert_eq!((ghost.len(), ghost.width()), (results[0].len(), results[0].width()));
            let rows = (0..n).map(|i| columns.iter().map(|c| c[i]).collect::<Vec<_>>());
            let expected: Vec<u128> = rows.map(|row| plain(&row)).collect();
            assert_eq!(reconstruct_values(&results), expected, "{name} {widths:?} n={n}");
        }
    }
}

#[test]
fn and_or_select() {
    for k in [1, 2, 12, 64, 100] {
        holds("and", &[k, k], |s, c| protocol::and(s, &c[0], &c[1]), |v| v[0] & v[1]);
        holds("or", &[k, k], |s, c| protocol::or(s, &c[0], &c[1]), |v| v[0] | v[1]);
        holds(
            "and with a bit",
            &[1, k],
            |s, c| protocol::and(s, &c[0], &c[1]),
            |v| if v[0] == 1 { v[1] } else { 0 },
        );
        holds(
            "select",
            &[1, k, k],
            |s, c| protocol::select(s, &c[0], &c[1], &c[2]),
            |v| if v[0] == 1 { v[1] } else { v[2] },
        );
    }
}

#[test]
fn comparisons() {
    for k in [1, 2, 3, 5, 7, 12, 33, 64, 100] {
        holds(
            "equal",
            &[k, k],
            |s, c| protocol::equal(s, &c[0], &c[1]),
            |v| u128::from(v[0] == v[1]),
        );
        holds(
            "less",
            &[k, k],
            |s, c| protocol::less_than(s, &c[0], &c[1]),
            |v| u128::from(v[0] < v[1]),
        );
        holds(
            "all planes",
            &[k],
            |s, c| protocol::and_all_planes(s, &c[0]),
            |v| u128::from(v[0] == mask(k)),
        );
        for constant in [0, 1, mask(k) / 3, mask(k)] {
            let bits: Vec<bool> = (0..k).map(|j| constant >> j & 1 == 1).collect();
            holds(
                "less than a constant",
                &[k],
                |s, c| protocol::less_than_constant(s, &c[0], &bits),
                |v| u128::from(v[0] < constant),
            );
            holds(
                "equal to a constant",
                &[k],
                |s, c| protocol::equal_constant(s, &c[0], &bits),
                |v| u128::from(v[0] == constant),
            );
        }
    }
}

#[test]
fn sums_and_signs() {
    for k in [1, 2, 3, 8, 33, 64, 100] {
        let m = mask(k);
        for carry in [false, true] {
            holds(
                "add",
                &[k, k],
                |s, c| protocol::add(s, &c[0], &c[1], carry),
                |v| v[0].wrapping_add(v[1]).wrapping_add(u128::from(carry)) & m,
            );
        }
        holds(
            "subtract",
            &[k, k],
            |s, c| protocol::subtract(s, &c[0], &c[1]),
            |v| v[0].wrapping_sub(v[1]) & m,
        );
        holds(
            "negate",
            &[1, k],
            |s, c| protocol::negate_if(s, &c[0], &c[1]),
            |v| if v[0] == 1 { v[1].wrapping_neg() & m } else { v[1] },
        );
        holds(
            "absolute",
            &[k],
            |s, c| protocol::absolute(s, &c[0]).map(|(magnitude, sign)| magnitude.stack(&sign)),
            |v| {
                let sign = v[0] >> (k - 1) & 1;
                let magnitude = if sign == 1 { v[0].wrapping_neg() & m } else { v[0] };
                magnitude | sign << k
            },
        );
    }
}

#[test]
fn division() {
    for (k, d, f) in [(1, 1, 0), (8, 3, 0), (3, 8, 0), (9, 9, 4), (20, 7, 2), (4, 20, 0)] {
        holds(
            "divide",
            &[k, d],
            |s, c| protocol::divide(s, &c[0], &c[1], f),
            |v| (v[0] << f).checked_div(v[1]).unwrap_or_else(|| mask(k + f)),
        );
    }
}

#[test]
fn square_roots() {
    for k in [1, 2, 3, 4, 7, 8, 13, 20] {
        holds("sqrt", &[k], |s, c| protocol::sqrt(s, &c[0]), |v| v[0].isqrt());
    }
}

#[test]
fn or_over_rows() {
    for n in [0_usize, 1, 2, 3, 63, 64, 65, 127, 128, 129, 192, 1000, 5000] {
        for set in [None, Some(0), Some(n / 2), n.checked_sub(1)] {
            let mut rows = vec![0; n];
            if let Some(slot) = set.and_then(|i| rows.get_mut(i)) {
                *slot = 1;
            }
            let shares = vec![share_values(n as u64, 1, &rows)];
            let (results, ghost) = checked(
                PROFILES[0],
                5,
                |s| protocol::or_all_rows(s, &own(&shares, s.party())[0]),
                |s| protocol::or_all_rows(s, &Planes::ghost(n, 1)),
            );
            assert_eq!((ghost.len(), ghost.width(), ghost.is_ghost()), (1, 1, true));
            assert_eq!(reconstruct_values(&results), [u128::from(rows.contains(&1))], "n={n}");
        }
    }
}

fn arithmetic<T: Ring + std::fmt::Debug>() {
    let mut noise = Noise::new(T::BITS as u64);
    for n in ROWS {
        let draw = |noise: &mut Noise| -> Vec<T> {
            values(noise, n, T::BITS).into_iter().map(T::from_u128).collect()
        };
        let (x, y) = (draw(&mut noise), draw(&mut noise));
        let (xs, ys) = (share_arith(1, &x), share_arith(2, &y));
        let ghost = Arith::<T>::ghost(n);
        let (results, dry) = checked(
            PROFILES[0],
            n as u64,
            |s| protocol::mul(s, &xs[s.party()], &ys[s.party()]),
            |s| protocol::mul(s, &ghost, &ghost),
        );
        assert!(dry.is_ghost() && dry.len() == n);
        let product: Vec<T> = x.iter().zip(&y).map(|(x, y)| x.times(*y)).collect();
        assert_eq!(reconstruct_arith(&results), product);

        let (results, dry) = checked(
            PROFILES[0],
            n as u64,
            |s| {
                let (x, y) = (&xs[s.party()], &ys[s.party()]);
                protocol::inner_products(s, &[(x, y), (x, x)])
            },
            |s| protocol::inner_products(s, &[(&ghost, &ghost), (&ghost, &ghost)]),
        );
        assert!(dry.is_ghost() && dry.len() == 2);
        let sum = |v: &[T]| v.iter().fold(T::default(), |a, b| a.plus(*b));
        let squares: Vec<T> = x.iter().map(|x| x.times(*x)).collect();
        assert_eq!(reconstruct_arith(&results), [sum(&product), sum(&squares)]);

        let (results, _) = checked(
            PROFILES[0],
            n as u64,
            |s| {
                protocol::open_arith(
                    s,
                    &xs[s.party()],
                    Disclosure::permit_after_policy_check("test"),
                )
            },
            |s| protocol::open_arith(s, &ghost, Disclosure::permit_after_policy_check("test")),
        );
        assert!(results.iter().all(|opened| *opened == x));

        for profile in PROFILES {
            for width in [0, 1, 7, T::BITS - 1, T::BITS] {
                let (results, dry) = checked(
                    profile,
                    n as u64,
                    |s| protocol::arith_to_planes(s, &xs[s.party()], width),
                    |s| protocol::arith_to_planes(s, &ghost, width),
                );
                assert!(dry.is_ghost() && dry.width() == width);
                if width > 0 {
                    let low: Vec<u128> = x.iter().map(|x| x.to_u128() & mask(width)).collect();
                    assert_eq!(reconstruct_values(&results), low);
                }
            }
        }
    }
}

#[test]
fn arithmetic_32() {
    arithmetic::<u32>();
}
#[test]
fn arithmetic_64() {
    arithmetic::<u64>();
}
#[test]
fn arithmetic_128() {
    arithmetic::<u128>();
}

fn to_arithmetic<T: Ring + std::fmt::Debug>() {
    let mut noise = Noise::new(77);
    for n in ROWS {
        for width in [0, 1, 3, 33, 100] {
            let v = values(&mut noise, n, width);
            let shares = share_values(3, width, &v);
            let ghost = Planes::ghost(n, width);
            let (results, dry) = checked(
                PROFILES[0],
                n as u64,
                |s| protocol::bits_to_arith::<T>(s, &shares[s.party()]),
                |s| protocol::bits_to_arith::<T>(s, &ghost),
            );
            assert!(dry.len() == width && dry.iter().all(|g| g.is_ghost() && g.len() == n));
            let [first, second, third] = results;
            for (j, ((a, b), c)) in first.into_iter().zip(second).zip(third).enumerate() {
                let plane = [a, b, c];
                let bits: Vec<T> = v.iter().map(|v| T::from_u128(v >> j & 1)).collect();
                assert_eq!(reconstruct_arith(&plane), bits);
            }
            let signed = |v: &u128| {
                let negative = width > 0 && v >> (width - 1) & 1 == 1;
                T::from_u128(if negative { v | !mask(width) } else { *v })
            };
            let zeros = vec![T::default(); n];
            // One profile takes the bits, the other the adder.
            for profile in PROFILES {
                let (results, dry) = checked(
                    profile,
                    n as u64,
                    |s| protocol::planes_to_arith::<T>(s, &shares[s.party()]),
                    |s| protocol::planes_to_arith::<T>(s, &ghost),
                );
                assert!(dry.is_ghost() && dry.len() == n);
                let expected: Vec<T> = v.iter().map(|v| T::from_u128(*v)).collect();
                assert_eq!(
                    reconstruct_arith(&results),
                    if width == 0 { zeros.clone() } else { expected }
                );
                let (results, _) = checked(
                    profile,
                    n as u64,
                    |s| protocol::signed_planes_to_arith::<T>(s, &shares[s.party()]),
                    |s| protocol::signed_planes_to_arith::<T>(s, &ghost),
                );
                let expected: Vec<T> = v.iter().map(signed).collect();
                assert_eq!(
                    reconstruct_arith(&results),
                    if width == 0 { zeros.clone() } else { expected }
                );
            }
        }
    }
}

#[test]
fn the_profile_chooses_how_numbers_become_arithmetic() {
    use trine_mpc::cost::{ToArith, cost_planes_to_arith};
    assert_eq!(cost_planes_to_arith(PROFILES[0], 1000, 60, 64).0, ToArith::Adder);
    assert_eq!(cost_planes_to_arith(PROFILES[0], 1000, 2, 64).0, ToArith::Bits);
    assert_eq!(cost_planes_to_arith(PROFILES[1], 1000, 60, 64).0, ToArith::Bits);
}

#[test]
fn bits_become_numbers() {
    to_arithmetic::<u32>();
    to_arithmetic::<u64>();
    to_arithmetic::<u128>();
}

#[test]
fn opening_shows_the_rows_of_a_slice_only() {
    let v: Vec<u128> = (0..200).map(|i| i * 7 % 128).collect();
    for n in ROWS.into_iter().filter(|&n| n <= 200) {
        let shares = share_values(4, 7, &v);
        let open = |s: &mut Session, x: &Planes| {
            protocol::open_planes(s, x, Disclosure::permit_after_policy_check("test"))
        };
        let (results, _) = checked(
            PROFILES[0],
            1,
            |s| open(s, &shares[s.party()].slice(0..n)),
            |s| open(s, &Planes::ghost(n, 7)),
        );
        let expected: Vec<u8> = v[..n].iter().map(|v| u8::try_from(*v).unwrap()).collect();
        assert!(results.iter().all(|opened| *opened == expected));
    }
}

#[test]
fn wide_strings_compare() {
    // 2000 bits: beyond what a plain integer holds, so the bytes are compared.
    let mut noise = Noise::new(1);
    let (n, width) = (70, 2000);
    let mut x = noise.bytes(n * 250);
    let y = noise.bytes(n * 250);
    x[..35 * 250].copy_from_slice(&y[..35 * 250]);
    let (xs, ys) = (
        trine_mpc::testing::share_planes(1, n, width, &x),
        trine_mpc::testing::share_planes(2, n, width, &y),
    );
    let row =
        |v: &[u8], i: usize| v[i * 250..(i + 1) * 250].iter().rev().copied().collect::<Vec<u8>>();
    for profile in PROFILES {
        let (results, _) = checked(
            profile,
            1,
            |s| {
                let (x, y) = (&xs[s.party()], &ys[s.party()]);
                Ok(protocol::less_than(s, x, y)?.stack(&protocol::equal(s, x, y)?))
            },
            |s| {
                let ghost = Planes::ghost(n, width);
                Ok(protocol::less_than(s, &ghost, &ghost)?
                    .stack(&protocol::equal(s, &ghost, &ghost)?))
            },
        );
        let expected: Vec<u128> = (0..n)
            .map(|i| {
                let (x, y) = (row(&x, i), row(&y, i));
                u128::from(x < y) | u128::from(x == y) << 1
            })
            .collect();
        assert_eq!(reconstruct_values(&results), expected);
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors_before_anything_is_sent() {
    let (a, b, wide) = (Planes::ghost(5, 3), Planes::ghost(6, 3), Planes::ghost(5, 4));
    let mut s = Session::dry(Profile::LOCAL);
    assert!(matches!(protocol::and(&mut s, &a, &b), Err(MpcError::Shape(_))));
    assert!(matches!(protocol::equal(&mut s, &a, &wide), Err(MpcError::Shape(_))));
    assert!(matches!(
        protocol::less_than_constant(&mut s, &a, &[true; 4]),
        Err(MpcError::Shape(_))
    ));
    assert!(matches!(
        protocol::arith_to_planes(&mut s, &Arith::<u32>::ghost(1), 33),
        Err(MpcError::Shape(_))
    ));
    assert_eq!(s.cost(), Cost::default());
    let results = run_as(Profile::LOCAL, 1, |s| protocol::and(s, &a, &a).map(|_| ()));
    assert!(results.iter().all(|r| matches!(r, Err(MpcError::Shape(_)))));
}

#[test]
fn long_messages_over_slow_links_leave_in_pieces_and_cost_the_same() {
    let (rows, mut noise) = (100_000, Noise::new(5));
    let [x, y] = [0, 1].map(|_| values(&mut noise, rows, 128));
    let (a, b) = (share_values(1, 128, &x), share_values(2, 128, &y));
    let (u, w) = (share_arith::<u128>(3, &x), share_arith::<u128>(4, &y));
    let work = |s: &mut Session| {
        let party = s.party();
        let and = protocol::and(s, &a[party], &b[party]).unwrap();
        (and, protocol::mul(s, &u[party], &w[party]).unwrap(), s.cost())
    };
    for (profile, pieces) in [(PROFILES[0], 3), (PROFILES[1], 1)] {
        let (results, sent) = record(profile, 1, work);
        let ands = [0, 1, 2].map(|party: usize| results[party].0.clone());
        let products = [0, 1, 2].map(|party: usize| results[party].1.clone());
        let both = || x.iter().zip(&y);
        assert_eq!(reconstruct_values(&ands), both().map(|(x, y)| x & y).collect::<Vec<_>>());
        let expected: Vec<u128> = both().map(|(x, y)| x.wrapping_mul(*y)).collect();
        assert_eq!(reconstruct_arith(&products), expected);
        let length = (rows.div_ceil(64) * 128 * 8 + rows * 16) as u64;
        for (party, (_, _, cost)) in results.iter().enumerate() {
            assert_eq!((cost.rounds, cost.bytes[party]), (2, length));
            assert_eq!(sent[party].len(), 2 * pieces);
            assert_eq!(sent[party].iter().map(|m| m.bytes.len() as u64).sum::<u64>(), length);
        }
    }
}
