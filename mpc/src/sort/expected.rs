//! What a quicksort is expected to cost, and the form that costs least.
//!
//! Its shuffle is a function of public sizes. The comparisons depend on the random order of the
//! rows: for them a dry session charges the expectation, and a real one recomputes the cost from the
//! segment sizes that were opened. Plain arithmetic only (the four operations are the same on every
//! machine), so that all nodes predict the same.
//!
//! The expectation is a vector: comparisons in the first, second, ... level. A segment of N rows
//! with s pivots ranks them, then meets them in levels whose comparisons are known exactly, and leaves
//! s + 1 gaps of known distribution (the spacings of a uniform sample), whose vectors are the same
//! question for fewer rows: once and for all tabulated over a grid of sizes.

use std::sync::OnceLock;

use super::shape::Shape;
use crate::cost::{Circuit, ceil_log2, cost_less_than_short_as, cost_open_planes};
use crate::{Cost, Profile};

/// How one sort runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    /// For the comparisons.
    pub(super) expected: Cost,
}

/// One level of `comparisons` distinct keys of `width` bits: the circuit, its cost and the opening. Of
/// the circuits that take about the least time, the one that sends least: what a network could do
/// is known to a power of two only.
pub(super) fn cost_level(profile: Profile, comparisons: usize, width: usize) -> (Circuit, Cost) {
    let of = |form| cost_less_than_short_as(form, comparisons, width);
    let least = Circuit::ALL.into_iter().map(|form| profile.time_ns(of(form))).min().unwrap_or(0);
    let near = |cost: &Cost| profile.time_ns(*cost) <= least + least / 8;
    let forms = Circuit::ALL.into_iter().map(|form| (form, of(form)));
    let best = forms.filter(|(_, cost)| near(cost)).min_by_key(|(_, cost)| cost.bytes_max());
    let (form, cost) = best.unwrap_or_else(|| (Circuit::Ripple, of(Circuit::Ripple)));
    (form, cost + cost_open_planes(comparisons, 1))
}

/// The form that is expected to take least time.
pub(super) fn plan(profile: Profile, n: usize, width: usize) -> Plan {
    best(profile, n, width, |table, shape| table.forecast(shape, n))
}

/// The same where only the first `wanted` places matter.
pub(super) fn plan_front(profile: Profile, n: usize, width: usize, wanted: usize) -> Plan {
    best(profile, n, width, |table, shape| table.forecast_front(shape, n, wanted))
}

fn best(
    profile: Profile,
    n: usize,
    width: usize,
    forecast: impl Fn(&Table, Shape) -> Forecast,
) -> Plan {
    let width = width + ceil_log2(n);
    let finish = finish_within(profile, width);
    let plans = Shape::FORMS.iter().zip(tables()).map(|(&form, table)| {
        let shape = Shape::new(form, finish);
        Plan { shape, expected: expected(profile, &forecast(table, shape), shape, n, width) }
    });
    let best = plans.min_by_key(|plan| profile.time_ns(plan.expected));
    best.unwrap_or_else(|| Plan {
        shape: Shape::new(Shape::FORMS[0], finish),
        expected: Cost::default(),
    })
}

/// So many comparisons at once take about as long as the rounds of a level.
fn finish_within(profile: Profile, width: usize) -> usize {
    const SAMPLE: usize = 1 << 16;
    let tree =
        |rows| cost_less_than_short_as(Circuit::Tree, rows, width) + cost_open_planes(rows, 1);
    let waiting = profile.time_ns(Cost { bytes: [0; 3], ..tree(SAMPLE) });
    let sending = profile.time_ns(Cost { rounds: 0, ..tree(SAMPLE) }).max(1);
    let comparisons = u128::from(waiting) * SAMPLE as u128 / u128::from(sending);
    usize::try_from(comparisons).map_or(FINISH_MAX, |within| within.clamp(FINISH_MIN, FINISH_MAX))
}

/// Bounds of [`Shape::finish`].
const FINISH_MIN: usize = 64;
const FINISH_MAX: usize = 1 << 20;

/// Levels that anything can have.
const LEVELS: usize = 64;

/// Expected comparisons of a segment, level by level, and how many would finish it there.
#[derive(Clone, Debug)]
struct Forecast {
    /// Levels in use.
    levels: usize,
    compared: [f64; LEVELS],
    all_pairs: [f64; LEVELS],
}

impl Forecast {
    const NONE: Self = Self { levels: 0, compared: [0.0; LEVELS], all_pairs: [0.0; LEVELS] };

    fn set(&mut self, compared: f64, all_pairs: f64) {
        if self.levels < LEVELS {
            self.compared[self.levels] = compared;
            self.all_pairs[self.levels] = all_pairs;
            self.levels += 1;
        }
    }

    /// Adds `weight` of `other`, which begins `after` levels.
    fn add(&mut self, other: &Self, after: usize, weight: f64) {
        let count = other.levels.min(LEVELS - after);
        for level in 0..count {
            self.compared[after + level] += weight * other.compared[level];
            self.all_pairs[after + level] += weight * other.all_pairs[level];
        }
        self.levels = self.levels.max(after + count);
    }
}

/// Sizes up to this one are tabulated one by one.
const DENSE: usize = 128;
/// Larger ones at four sizes an octave.
const OCTAVE: [usize; 4] = [128, 152, 181, 215];
/// Octaves of the grid: gaps of 2^32 rows lie far below.
const OCTAVES: usize = 25;

/// Forecasts of one form.
struct Table {
    dense: Vec<Forecast>,
    sparse: Vec<Forecast>,
}

fn sparse_size(i: usize) -> usize {
    OCTAVE[i % 4] << (i / 4)
}

/// One table for every form, made when first needed.
fn tables() -> &'static [Table] {
    static TABLES: OnceLock<Vec<Table>> = OnceLock::new();
    TABLES
        .get_or_init(|| Shape::FORMS.iter().map(|&form| Table::new(Shape::new(form, 0))).collect())
}

impl Table {
    fn new(shape: Shape) -> Self {
        let mut table = Self { dense: Vec::new(), sparse: Vec::new() };
        for rows in 0..DENSE {
            let next = table.forecast(shape, rows);
            table.dense.push(next);
        }
        for i in 0..4 * OCTAVES {
            let next = table.forecast(shape, sparse_size(i));
            table.sparse.push(next);
        }
        table
    }

    /// One segment without pivots; the table holds all smaller sizes.
    #[allow(clippy::cast_precision_loss, reason = "row counts lie far below 2^52")]
    fn forecast(&self, shape: Shape, rows: usize) -> Forecast {
        let mut out = Forecast::NONE;
        let n = rows as f64;
        let pairs = n * (n - 1.0) / 2.0;
        if rows <= 1 {
            return out;
        }
        if rows <= shape.pairs_max {
            out.set(pairs, pairs);
            return out;
        }
        let sample = shape.sample(rows);
        let (s, rest) = (sample as f64, (rows - sample) as f64);
        if sample > 1 {
            out.set(s * (s - 1.0) / 2.0, pairs);
        }
        // Parts, each with so many pivots.
        let (mut parts, mut pivots) = (1.0, sample);
        while pivots > 0 {
            let chosen = shape.pivots_at_once(pivots);
            let spacings = pivots as f64 + 1.0;
            // A part is the sum of so many of s + 1 spacings.
            let square = rest * rest * spacings * (spacings + 1.0) / ((s + 1.0) * (s + 2.0));
            let within = parts * square / 2.0 - rest / 2.0;
            out.set(rest * chosen as f64, within.max(0.0) + rest * pivots as f64);
            pivots = (pivots - chosen) / (chosen + 1);
            parts *= chosen as f64 + 1.0;
        }
        let after = out.levels;
        if rows < DENSE {
            self.add_gaps(&mut out, after, rows, sample);
        } else {
            self.add_long_gaps(&mut out, after, rest, s);
        }
        out
    }

    /// One segment of which only the first places matter: cut down by one pivot after the other until
    /// there is little more than what is wanted.
    #[allow(clippy::cast_precision_loss, reason = "row counts lie far below 2^52")]
    fn forecast_front(&self, shape: Shape, rows: usize, wanted: usize) -> Forecast {
        let (mut out, mut rows) = (Forecast::NONE, rows);
        while rows > shape.pairs_max && wanted < rows {
            let sample = shape.sample(rows);
            let pivot = Shape::pivot_above(wanted, rows, sample);
            if pivot + 1 >= sample {
                break;
            }
            let n = rows as f64;
            let pairs = n * (n - 1.0) / 2.0;
            if sample > 1 {
                out.set((sample * (sample - 1) / 2) as f64, pairs);
            }
            out.set((rows - sample) as f64, pairs);
            rows = (rows - sample) * (pivot + 1) / (sample + 1) + pivot;
        }
        let after = out.levels;
        out.add(&self.forecast(shape, rows), after, 1.0);
        out
    }

    /// The gaps that a sample leaves, by their exact distribution: a gap of k rows has probability
    /// C(n-1-k, s-1) / C(n, s).
    #[allow(clippy::cast_precision_loss, reason = "row counts lie far below 2^52")]
    fn add_gaps(&self, out: &mut Forecast, after: usize, rows: usize, sample: usize) {
        let (n, s) = (rows as f64, sample as f64);
        let mut probability = s / n;
        for k in 0..=rows - sample {
            self.add_rows(out, after, k as f64, (s + 1.0) * probability);
            let left = n - 1.0 - k as f64;
            if left > 0.0 {
                probability *= (left - s + 1.0) / left;
            }
        }
    }

    /// The same for many rows: a gap is a share of them that exceeds x with probability (1-x)^s.
    fn add_long_gaps(&self, out: &mut Forecast, after: usize, rest: f64, s: f64) {
        let weight = (s + 1.0) / QUANTILES.len() as f64;
        let shares = QUANTILES.map(|quantile| 1.0 - exp_minus(quantile / s));
        // The middles of the quantiles lose some of the mean.
        let mean: f64 = shares.iter().sum::<f64>() / QUANTILES.len() as f64;
        for share in shares {
            self.add_rows(out, after, rest * share / (mean * (s + 1.0)), weight);
        }
    }

    /// Adds a segment of a size between those tabulated.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "row counts lie far below 2^52"
    )]
    fn add_rows(&self, out: &mut Forecast, after: usize, rows: f64, weight: f64) {
        let whole = rows as usize;
        if whole < DENSE && rows == whole as f64 {
            return out.add(&self.dense[whole], after, weight);
        }
        let (low, high, from, to) = if whole < DENSE - 1 {
            (&self.dense[whole], &self.dense[whole + 1], whole, whole + 1)
        } else {
            let last = self.sparse.len() - 1;
            let i = (0..last).take_while(|&i| sparse_size(i + 1) <= whole).count().min(last - 1);
            if whole < sparse_size(0) {
                (&self.dense[DENSE - 1], &self.sparse[0], DENSE - 1, DENSE)
            } else {
                (&self.sparse[i], &self.sparse[i + 1], sparse_size(i), sparse_size(i + 1))
            }
        };
        let share = (rows - from as f64) / (to - from) as f64;
        out.add(low, after, weight * (1.0 - share));
        out.add(high, after, weight * share);
    }
}

/// -ln(1 - u) in the middles of 32 equal ranges of u.
const QUANTILES: [f64; 32] = [
    0.015_748_357,
    0.048_009_219,
    0.081_345_639,
    0.115_831_816,
    0.151_549_898,
    0.188_591_170,
    0.227_057_451,
    0.267_062_785,
    0.308_735_482,
    0.352_220_594,
    0.397_682_968,
    0.445_311_017,
    0.495_321_437,
    0.547_965_171,
    0.603_535_022,
    0.662_375_522,
    0.724_895_879,
    0.791_587_253,
    0.863_046_217,
    0.940_007_258,
    1.023_388_867,
    1.114_360_646,
    1.214_444_104,
    1.325_669_739,
    1.450_832_882,
    1.593_933_726,
    1.760_987_811,
    1.961_658_506,
    2.212_972_934,
    2.549_445_171,
    3.060_270_795,
    4.158_883_083,
];

/// e^-x for x >= 0 from the four operations.
fn exp_minus(x: f64) -> f64 {
    let halvings = if x > 0.25 { 6 } else { 0 };
    let small = x / f64::from(1 << halvings);
    let (mut term, mut sum) = (1.0, 1.0);
    for i in 1..12 {
        term *= -small / f64::from(i);
        sum += term;
    }
    for _ in 0..halvings {
        sum *= sum;
    }
    sum
}

/// The cost of a sort of n rows by distinct keys of `width` bits.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an estimate of numbers far below 2^52"
)]
fn expected(profile: Profile, forecast: &Forecast, shape: Shape, n: usize, width: usize) -> Cost {
    let mut total = Cost::default();
    for level in 0..forecast.levels {
        let (compared, all) = (forecast.compared[level], forecast.all_pairs[level]);
        let rows_left = all * 2.0 / n.max(1) as f64;
        let last = all <= shape.finish as f64 && (rows_left < shape.planes_from as f64);
        let comparisons = if last { all } else { compared };
        // Whether there is such a level at all is a matter of chance where little is left.
        let chance = if level == 0 { 1.0 } else { all.min(1.0) };
        let whole = (comparisons.round() as usize).max(1);
        let cost = cost_level(profile, whole, width).1;
        total += Cost {
            rounds: (cost.rounds as f64 * chance).round() as u64,
            bytes: cost.bytes.map(|bytes| (bytes as f64 * chance).round() as u64),
        };
        if last {
            break;
        }
    }
    total
}
