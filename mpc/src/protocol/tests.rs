//! Every form of every circuit equals the plain function and costs what its form costs.

use super::adder::{carries, prefix_and};
use super::compare::{less_than_as, less_than_distinct};
use crate::cost::{
    Circuit, Cost, cost_carries_as, cost_less_than_as, cost_less_than_short_as, cost_prefix_and_as,
};
use crate::testing::{Noise, reconstruct_values, run, share_values};
use crate::{Planes, Result, Session};

const ROWS: usize = 150;
const WIDTHS: [usize; 12] = [1, 2, 3, 4, 5, 7, 8, 9, 12, 17, 33, 64];

fn mask(width: usize) -> u128 {
    (1 << width) - 1
}

/// Values that share long runs of high bits now and then.
fn values(noise: &mut Noise, n: usize, width: usize) -> Vec<u128> {
    (0..n)
        .map(|i| match i % 4 {
            0 => noise.value(width),
            1 => noise.value(1 + width / 3) & mask(width),
            2 => mask(width) ^ (noise.value(2) & mask(width)),
            _ => noise.value(2) & mask(width),
        })
        .collect()
}

fn holds(
    form: Circuit,
    width: usize,
    predicted: Cost,
    work: impl Fn(&mut Session, &Planes, &Planes) -> Result<Planes> + Sync,
    plain: impl Fn(u128, u128) -> u128,
    distinct: bool,
) {
    let n = ROWS;
    let mut noise = Noise::new(width as u64);
    let (x, mut y) = (values(&mut noise, n, width), values(&mut noise, n, width));
    if distinct {
        for (x, y) in x.iter().zip(&mut y) {
            *y = if x == y { x ^ 1 } else { *y };
        }
    }
    let (sx, sy) = (share_values(1, width, &x), share_values(2, width, &y));
    let results = run(noise.word(), |s| {
        let result = work(s, &sx[s.party()], &sy[s.party()]).unwrap();
        (result, s.cost(), s.party())
    });
    for (_, counted, party) in &results {
        assert_eq!(counted.rounds, predicted.rounds, "{form:?} {width}");
        assert_eq!(counted.bytes[*party], predicted.bytes[*party], "{form:?} {width}");
    }
    let found = reconstruct_values(&results.map(|r| r.0));
    for ((x, y), found) in x.iter().zip(&y).zip(found) {
        assert_eq!(found, plain(*x, *y), "{form:?} {width}: {x} {y}");
    }
}

#[test]
fn less_than_in_every_form() {
    for form in Circuit::ALL {
        for k in WIDTHS {
            holds(
                form,
                k,
                cost_less_than_short_as(form, ROWS, k),
                |s, x, y| less_than_distinct(s, form, x, y),
                |x, y| u128::from(x < y),
                true,
            );
            holds(
                form,
                k,
                cost_less_than_as(form, ROWS, k),
                |s, x, y| less_than_as(s, form, x, y),
                |x, y| u128::from(x < y),
                false,
            );
        }
    }
}

#[test]
fn carries_in_every_form() {
    for form in Circuit::ALL {
        for k in WIDTHS {
            for carry in [false, true] {
                let plain = |x: u128, y: u128| {
                    (0..k).fold(0, |out, j| {
                        let sum = (x & mask(j + 1)) + (y & mask(j + 1)) + u128::from(carry);
                        out | (sum >> (j + 1) & 1) << j
                    })
                };
                let cost = cost_carries_as(form, ROWS, k);
                holds(form, k, cost, |s, x, y| carries(s, form, x, y, carry), plain, false);
            }
        }
    }
}

#[test]
fn prefixes_in_every_form() {
    for form in Circuit::ALL {
        for k in WIDTHS {
            let plain = |x: u128, _| {
                (0..k).fold(0, |out, j| out | u128::from(x & mask(j + 1) == mask(j + 1)) << j)
            };
            let cost = cost_prefix_and_as(form, ROWS, k);
            holds(form, k, cost, |s, x, _| prefix_and(s, form, x), plain, false);
        }
    }
}
