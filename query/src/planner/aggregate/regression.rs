//! CORR and the REGR functions: exact sums over the pairs in which neither value is NULL, then quotients
//! (and roots) to 2^-40. With n pairs and sums S, the numbers n Sxx - Sx Sx, n Syy - Sy Sy and
//! n Sxy - Sx Sy are whole; their scales cancel or meet in the divisor.

use super::statistics::{Built, Derived, Statistic, limits, plain, unit};
use crate::plan::{Aggregate, Compare, Expr, ExprKind, Function, Rounding};
use crate::planner::Planner;
use crate::planner::build::{self, Arithmetic};
use crate::planner::numbers::{BOUND_MAX, bounded, overflow};
use crate::planner::scalar::{Scope, defect};
use crate::types::{DOUBLE_FRACTION_BITS, NumberKind};
use datafusion_expr::expr::AggregateFunction;
use trine_proto::status::SqlError;

/// Binary digits of a root and of what is divided by it.
const ROOT_BITS: u32 = 44;

/// What is computed of pairs (Y, X).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Regression {
    /// CORR.
    Correlation,
    /// REGR_R2.
    Determination,
    /// REGR_SLOPE.
    Slope,
    /// REGR_INTERCEPT.
    Intercept,
    /// REGR_COUNT.
    Count,
    /// REGR_AVGX.
    AverageX,
    /// REGR_AVGY.
    AverageY,
    /// REGR_SXX.
    SquaresX,
    /// REGR_SYY.
    SquaresY,
    /// REGR_SXY.
    Products,
}

/// A sum over the pairs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sum {
    Count,
    X,
    Y,
    XX,
    YY,
    XY,
}

impl Regression {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "corr" => Self::Correlation,
            "regr_r2" => Self::Determination,
            "regr_slope" => Self::Slope,
            "regr_intercept" => Self::Intercept,
            "regr_count" => Self::Count,
            "regr_avgx" => Self::AverageX,
            "regr_avgy" => Self::AverageY,
            "regr_sxx" => Self::SquaresX,
            "regr_syy" => Self::SquaresY,
            "regr_sxy" => Self::Products,
            _ => return None,
        })
    }

    const fn sums(self) -> &'static [Sum] {
        use Sum::{Count, X, XX, XY, Y, YY};
        match self {
            Self::Correlation | Self::Determination | Self::Slope => &[Count, X, Y, XX, YY, XY],
            Self::Intercept => &[Count, X, Y, XX, XY],
            Self::Count => &[Count],
            Self::AverageX => &[Count, X],
            Self::AverageY => &[Count, Y],
            Self::SquaresX => &[Count, X, XX],
            Self::SquaresY => &[Count, Y, YY],
            Self::Products => &[Count, X, Y, XY],
        }
    }
}

/// What is known of the values of the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// What 1 is in the encodings of X and Y.
    units: (i128, i128),
    /// Bounds of X and of Y.
    x: (i128, i128),
    y: (i128, i128),
    rows: i128,
}

impl Facts {
    /// Greatest n S - S S over values of two ranges: by Cauchy and Schwarz n^2 / 4 times the ranges.
    fn most(&self, a: (i128, i128), b: (i128, i128)) -> Result<i128, SqlError> {
        let spread = (a.1 - a.0).checked_mul(b.1 - b.0).ok_or_else(overflow)?;
        let squared = self.rows.checked_mul(self.rows).ok_or_else(overflow)?;
        let quarter = (squared / 4 + 1).checked_mul(spread).ok_or_else(overflow)?;
        if quarter > BOUND_MAX { Err(overflow()) } else { Ok(quarter.max(1)) }
    }
}

impl Planner<'_> {
    pub(super) fn regression(
        &self,
        found: Regression,
        call: &AggregateFunction,
        scope: &Scope<'_>,
        rows: u64,
    ) -> Result<Derived, SqlError> {
        // PostgreSQL names the dependent variable first.
        let (y, x, filter) = self.pairs(call, scope, rows)?;
        let facts = Facts {
            units: (unit(&x)?, unit(&y)?),
            x: limits(&x),
            y: limits(&y),
            rows: i128::from(rows.max(1)),
        };
        let product = |a: &Expr, b: &Expr| {
            build::bind(vec![a.clone(), b.clone()], |pair| {
                let [a, b] = pair else { return Err(overflow()) };
                build::arithmetic(Arithmetic::Multiply, a.clone(), b.clone())
            })
        };
        let mut parts: Vec<Aggregate> = Vec::new();
        for sum in found.sums() {
            let argument = match sum {
                Sum::Count => None,
                Sum::X => Some(x.clone()),
                Sum::Y => Some(y.clone()),
                Sum::XX => Some(product(&x, &x)?),
                Sum::YY => Some(product(&y, &y)?),
                Sum::XY => Some(product(&x, &y)?),
            };
            parts.push(super::statistics::part(argument, filter.as_ref(), rows)?);
        }
        debug_assert!(parts.first().is_some_and(|p| p.function == Function::CountStar));
        Ok(Derived::of_pairs(Statistic::Regression(found, facts), parts))
    }
}

/// The sums of one group as whole numbers.
struct Sums<'a> {
    of: &'a [Sum],
    columns: Vec<Expr>,
}

impl Sums<'_> {
    fn get(&self, sum: Sum) -> Built {
        let at = self.of.iter().position(|s| *s == sum);
        at.and_then(|at| self.columns.get(at))
            .cloned()
            .ok_or_else(|| defect("a statistic lost a sum".into()))
    }

    /// n * SUM ab - SUM a * SUM b, which lies within ± most.
    fn centred(&self, a: Sum, b: Sum, ab: Sum, most: i128) -> Built {
        let left = times(&self.get(Sum::Count)?, &self.get(ab)?)?;
        let right = times(&self.get(a)?, &self.get(b)?)?;
        let difference = build::arithmetic(Arithmetic::Subtract, left, right)?;
        let low = if a == b { 0 } else { -most };
        let ty = bounded(NumberKind::BigInt, Some(low), Some(most))?;
        Ok(Expr { ty, ..difference })
    }
}

fn times(a: &Expr, b: &Expr) -> Built {
    fits(a, b)?;
    build::arithmetic(Arithmetic::Multiply, a.clone(), b.clone())
}

/// Refuses a product that may leave 127 bits.
fn fits(a: &Expr, b: &Expr) -> Result<(), SqlError> {
    let size = |e: &Expr| {
        let (low, high) = limits(e);
        low.unsigned_abs().max(high.unsigned_abs())
    };
    size(a)
        .checked_mul(size(b))
        .filter(|most| *most <= BOUND_MAX.unsigned_abs())
        .map(|_| ())
        .ok_or_else(overflow)
}

fn scaled(value: Expr, factor: i128) -> Built {
    fits(&value, &build::number(factor, NumberKind::BigInt)?)?;
    build::times(value, factor, NumberKind::BigInt)
}

/// left / right as a DOUBLE of 40 binary digits, or of as many as `most`, the greatest quotient, leaves
/// room for; to the nearest.
fn ratio(left: Expr, right: Expr, most: i128) -> Built {
    let mut bits = DOUBLE_FRACTION_BITS;
    let room = |bits: u32| most.checked_add(1)?.checked_mul(1 << bits).filter(|m| *m <= BOUND_MAX);
    while bits > 0 && room(bits).is_none() {
        bits -= 1;
    }
    let top = room(bits).ok_or_else(overflow)?;
    quotient(left, right, (bits, bits), top)
}

/// left * 2^shift / right as a DOUBLE of `bits` binary digits within ± top, to the nearest.
fn quotient(left: Expr, right: Expr, (shift, bits): (u32, u32), top: i128) -> Built {
    let low = if limits(&left).0 < 0 { -top } else { 0 };
    let ty = bounded(NumberKind::Double { fraction_bits: bits }, Some(low), Some(top))?;
    let nullable = left.nullable || right.nullable;
    let (left, right) = (Box::new(left), Box::new(right));
    let rounding = Rounding::Nearest;
    Ok(Expr {
        kind: ExprKind::Divide { left, right, fraction_bits: shift, rounding },
        ty,
        nullable,
    })
}

/// Above 0 and not NULL.
fn positive(value: &Expr) -> Built {
    build::compare(Compare::Gt, value.clone(), build::number(0, NumberKind::BigInt)?)
}

/// The value where a condition holds, else NULL.
fn only_where(condition: Expr, value: Expr) -> Built {
    let nothing = build::null(value.ty.clone());
    build::case(vec![(condition, value)], nothing)
}

/// The result from the columns of its sums.
pub(super) fn finish(what: Regression, facts: &Facts, columns: &[Expr]) -> Built {
    let sums = Sums {
        of: what.sums(),
        columns: columns.iter().map(|column| plain(column.clone())).collect(),
    };
    let ((ux, uy), (x, y)) = (facts.units, (facts.x, facts.y));
    let n = sums.get(Sum::Count)?;
    match what {
        Regression::Count => Ok(n),
        Regression::AverageX | Regression::AverageY => {
            let (sum, unit, range) =
                if what == Regression::AverageX { (Sum::X, ux, x) } else { (Sum::Y, uy, y) };
            let most = range.0.unsigned_abs().max(range.1.unsigned_abs()) / unit.unsigned_abs();
            let most = i128::try_from(most + 1).map_err(|_| overflow())?;
            let value = ratio(sums.get(sum)?, scaled(n.clone(), unit)?, most)?;
            only_where(positive(&n)?, value)
        }
        Regression::SquaresX | Regression::SquaresY | Regression::Products => {
            let (a, b, ab, units, ranges) = match what {
                Regression::SquaresX => (Sum::X, Sum::X, Sum::XX, (ux, ux), (x, x)),
                Regression::SquaresY => (Sum::Y, Sum::Y, Sum::YY, (uy, uy), (y, y)),
                _ => (Sum::X, Sum::Y, Sum::XY, (ux, uy), (x, y)),
            };
            let unit = units.0.checked_mul(units.1).ok_or_else(overflow)?;
            let most = facts.most(ranges.0, ranges.1)?;
            let value = sums.centred(a, b, ab, most)?;
            // Once over n: n / 4 times the ranges.
            let most = most / facts.rows / unit + 1;
            let value = ratio(value, scaled(n.clone(), unit)?, most)?;
            only_where(positive(&n)?, value)
        }
        Regression::Slope => slope(&sums, facts),
        Regression::Intercept => intercept(&sums, facts),
        Regression::Correlation | Regression::Determination => {
            correlation(&sums, facts, what == Regression::Determination)
        }
    }
}

/// (n Sxy - Sx Sy) / (n Sxx - Sx Sx). By Cauchy and Schwarz no more than the root of n Syy - Sy Sy.
fn slope(sums: &Sums<'_>, facts: &Facts) -> Built {
    let (ux, uy) = facts.units;
    let common = build::gcd(ux, uy);
    let spread = sums.centred(Sum::X, Sum::X, Sum::XX, facts.most(facts.x, facts.x)?)?;
    let product = sums.centred(Sum::X, Sum::Y, Sum::XY, facts.most(facts.x, facts.y)?)?;
    let most = (facts.most(facts.y, facts.y)?.isqrt() + 1).checked_mul(ux / common);
    let most = most.ok_or_else(overflow)? / (uy / common) + 1;
    build::bind(vec![spread], |spread| {
        let [spread] = spread else { return Err(overflow()) };
        let left = scaled(product, ux / common)?;
        let value = ratio(left, scaled(spread.clone(), uy / common)?, most)?;
        only_where(positive(spread)?, value)
    })
}

/// (Sy Sxx - Sx Sxy) / (n Sxx - Sx Sx).
fn intercept(sums: &Sums<'_>, facts: &Facts) -> Built {
    let (x, y, uy) = (facts.x, facts.y, facts.units.1);
    let spread = sums.centred(Sum::X, Sum::X, Sum::XX, facts.most(x, x)?)?;
    let left = times(&sums.get(Sum::Y)?, &sums.get(Sum::XX)?)?;
    let right = times(&sums.get(Sum::X)?, &sums.get(Sum::XY)?)?;
    let difference = build::arithmetic(Arithmetic::Subtract, left, right)?;
    // An average of Y, less a slope times an average of X.
    let slope = facts.most(y, y)?.isqrt() + 1;
    let size = |range: (i128, i128)| range.0.saturating_abs().max(range.1.saturating_abs());
    let most = slope.checked_mul(size(x)).and_then(|m| m.checked_add(size(y)));
    let most = most.ok_or_else(overflow)? / uy + 1;
    build::bind(vec![spread], |spread| {
        let [spread] = spread else { return Err(overflow()) };
        let value = ratio(difference, scaled(spread.clone(), uy)?, most)?;
        only_where(positive(spread)?, value)
    })
}

/// p / sqrt(a c) with p = n Sxy - Sx Sy, a = n Sxx - Sx Sx, c = n Syy - Sy Sy, divided by one root after the
/// other; squared for REGR_R2, which is 1 where Y does not vary.
fn correlation(sums: &Sums<'_>, facts: &Facts, squared: bool) -> Built {
    let (x, y) = (facts.x, facts.y);
    let in_y = facts.most(y, y)?;
    let a = sums.centred(Sum::X, Sum::X, Sum::XX, facts.most(x, x)?)?;
    let c = sums.centred(Sum::Y, Sum::Y, Sum::YY, in_y)?;
    let p = sums.centred(Sum::X, Sum::Y, Sum::XY, facts.most(x, y)?)?;
    let step = 1_i128 << ROOT_BITS;
    build::bind(vec![a, c], |both| {
        let [a, c] = both else { return Err(overflow()) };
        let root = |of: &Expr| build::root(of.clone(), 2 * ROOT_BITS);
        let top = (in_y.isqrt() + 2).checked_mul(step).filter(|t| *t <= BOUND_MAX);
        let top = top.ok_or_else(overflow)?;
        let half = quotient(p, plain(root(a)?), (2 * ROOT_BITS, ROOT_BITS), top)?;
        let whole = quotient(plain(half), plain(root(c)?), (ROOT_BITS, ROOT_BITS), 2 * step)?;
        let to = NumberKind::Double { fraction_bits: DOUBLE_FRACTION_BITS };
        let rounded = |value: Expr, own: u32| {
            let divisor = 1_i128 << (own - DOUBLE_FRACTION_BITS);
            build::by_constant(value, divisor, Rounding::Nearest, Some(to.clone()))
        };
        let (in_x, in_y) = (positive(a)?, positive(c)?);
        if !squared {
            return only_where(build::and(vec![in_x, in_y]), rounded(plain(whole), ROOT_BITS)?);
        }
        let square = build::bind(vec![plain(whole)], |root| {
            let [root] = root else { return Err(overflow()) };
            times(root, root)
        })?;
        let square = rounded(square, 2 * ROOT_BITS)?;
        let one = build::number(1 << DOUBLE_FRACTION_BITS, to.clone())?;
        let nothing = build::null(square.ty.clone());
        let varies = build::and(vec![in_x.clone(), in_y]);
        build::case(vec![(varies, square), (in_x, one)], nothing)
    })
}
