//! What a sort is expected to cost.
//!
//! Its shuffle is a function of public sizes. The comparisons depend on the random order of the
//! rows: for them a dry session charges the expectation, and a real one recomputes the cost from the
//! segment sizes that were opened. Plain arithmetic only, so that all nodes predict the same.

use super::quicksort::SMALL_SEGMENT;
use crate::cost::{
    Circuit, ceil_log2, chosen, cost_less_than_short_as, cost_open_planes, cost_shuffle,
};
use crate::{Cost, Profile};

/// All of a sort of n rows by a key of `width` bits: the shuffle of key and row index, and the
/// expectation for the comparisons.
#[must_use]
pub fn cost_sort(profile: Profile, n: usize, width: usize) -> Cost {
    cost_shuffle(n, width + ceil_log2(n), 0) + cost_sort_opened_expected(profile, n, width)
}

/// The part that depends on opened comparisons: the expected number of them, spread evenly over
/// the expected number of levels.
#[must_use]
pub fn cost_sort_opened_expected(profile: Profile, n: usize, width: usize) -> Cost {
    if n <= 1 {
        return Cost::default();
    }
    let comparisons = expected_comparisons(n);
    let levels = expected_levels(n);
    let a_level = comparisons.div_ceil(levels);
    cost_level(profile, a_level, width + ceil_log2(n)).1.times(levels as u64)
}

/// One level of `comparisons` distinct keys of `width` bits: the circuit, its cost and the opening.
pub(super) fn cost_level(profile: Profile, comparisons: usize, width: usize) -> (Circuit, Cost) {
    let (form, cost) = chosen(profile, |form| cost_less_than_short_as(form, comparisons, width));
    (form, cost + cost_open_planes(comparisons, 1))
}

/// Expected comparisons: C(m) = m(m-1)/2 up to the small segments, C(n) = n - 1 + 2/n (C(0) + ... +
/// C(n-1)) above. That is C(n) / (n+1) = C(n-1) / n + 2(n-1) / (n(n+1)), a difference of harmonic
/// numbers.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of a number far below 2^52"
)]
fn expected_comparisons(n: usize) -> usize {
    let pairs = |m: usize| (m * m.saturating_sub(1) / 2) as f64;
    if n <= SMALL_SEGMENT {
        return n * n.saturating_sub(1) / 2;
    }
    let first = SMALL_SEGMENT + 1;
    let below: f64 = (0..first).map(pairs).sum();
    let at_first = (first - 1) as f64 + 2.0 / first as f64 * below;
    // The sum of 2(j-1) / (j(j+1)) = 4/(j+1) - 2/j over j in first+1..=n.
    let sum = 4.0 * (harmonic(n + 1) - harmonic(first + 1)) - 2.0 * (harmonic(n) - harmonic(first));
    ((n + 1) as f64 * (at_first / (first + 1) as f64 + sum)).round() as usize
}

/// 1 + 1/2 + ... + 1/n; beyond a thousand terms by the asymptotic series.
#[allow(clippy::cast_precision_loss, reason = "row counts lie far below 2^52")]
fn harmonic(n: usize) -> f64 {
    const EULER_MASCHERONI: f64 = 0.577_215_664_901_532_9;
    if n <= 1024 {
        return (1..=n).map(|j| 1.0 / j as f64).sum();
    }
    let x = n as f64;
    ln(x) + EULER_MASCHERONI + 1.0 / (2.0 * x) - 1.0 / (12.0 * x * x)
}

/// Natural logarithm for x >= 1 from the four basic operations: library logarithms may differ in the
/// last place between machines, and all nodes must predict the same number.
fn ln(x: f64) -> f64 {
    let (mut x, mut halvings) = (x, 0.0);
    while x > 1.5 {
        x /= 2.0;
        halvings += 1.0;
    }
    // ln x = 2 artanh((x - 1) / (x + 1)).
    let z = (x - 1.0) / (x + 1.0);
    let (mut term, mut sum, mut odd) = (z, 0.0, 1.0);
    for _ in 0..16 {
        sum += term / odd;
        term *= z * z;
        odd += 2.0;
    }
    halvings * std::f64::consts::LN_2 + 2.0 * sum
}

/// Expected levels, from the height of a random binary search tree, 4.311 ln n - 1.953 ln ln n, less
/// what the small segments save.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an estimate of a small number"
)]
fn expected_levels(n: usize) -> usize {
    if n <= SMALL_SEGMENT {
        return 1;
    }
    let log = ln(n as f64);
    let height = 4.311 * log - 1.953 * ln(log.max(1.0)) - LEVELS_SAVED;
    (height.round() as usize).max(2)
}

/// Fitted to runs of 2^6 to 2^20 rows.
const LEVELS_SAVED: f64 = 6.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// C(n) by its recurrence.
    fn by_recurrence(n: usize) -> f64 {
        let mut c: Vec<f64> = Vec::new();
        let mut sum = 0.0;
        for m in 0..=n {
            let here = if m <= SMALL_SEGMENT {
                (m * m.saturating_sub(1) / 2) as f64
            } else {
                (m - 1) as f64 + 2.0 / m as f64 * sum
            };
            sum += here;
            c.push(here);
        }
        c[n]
    }

    #[test]
    fn comparisons_follow_the_recurrence() {
        for n in [0, 1, 2, 5, 6, 7, 10, 100, 1023, 1024, 5000, 100_000] {
            let exact = by_recurrence(n);
            let closed = expected_comparisons(n) as f64;
            assert!((exact - closed).abs() <= 1.0 + exact * 1e-9, "{n}: {exact} {closed}");
        }
    }

    #[test]
    fn logarithm_is_a_logarithm() {
        for x in [1.0, 1.5, 2.0, 10.0, 1e6, 4e9] {
            assert!((ln(x) - f64::ln(x)).abs() < 1e-12, "{x}");
        }
    }

    #[test]
    fn fewer_than_two_rows_are_sorted() {
        for n in [0, 1] {
            assert_eq!(cost_sort(Profile::LOCAL, n, 30), Cost::default());
        }
        assert!(cost_sort(Profile::LOCAL, 2, 0).rounds > 3);
    }
}
