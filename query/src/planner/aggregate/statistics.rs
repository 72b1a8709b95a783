//! Aggregates that follow from sums: variances, covariances, the average of distinct values. The sums
//! are exact; one quotient (and root) at the end is computed to 2^-40.

use super::super::build::{self, Arithmetic};
use super::super::numbers::{self, bounded, overflow, scale, ten_to};
use super::super::scalar::{Scope, defect};
use super::bounds::result_type;
use super::regression::{self, Facts, Regression};
use crate::plan::{Aggregate, Compare, Expr, ExprKind, Function, Literal, Rounding};
use crate::planner::Planner;
use crate::types::{DOUBLE_FRACTION_BITS, NumberKind, Type};
use datafusion_expr::Expr as Logical;
use datafusion_expr::expr::AggregateFunction;
use trine_proto::status::SqlError;

pub(super) type Built = Result<Expr, SqlError>;

/// What a derived aggregate is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Statistic {
    /// AVG(DISTINCT x).
    DistinctAverage,
    /// Variance or covariance over n or n - 1, and its root.
    Moment { sample: bool, root: bool },
    /// A sum of weighted values over the sum of the weights.
    Interpolated { tens: u32, twos: u32, weight: i128 },
    /// One value, added up as a plain number.
    Picked,
    /// CORR and kin.
    Regression(Regression, Facts),
}

/// An aggregate as a function of others.
pub(in crate::planner) struct Derived {
    statistic: Statistic,
    /// What is added up: DistinctAverage: (sum, count); Moment: (count, sum x, sum y, sum of products).
    pub(in crate::planner) parts: Vec<Aggregate>,
    /// Type of the average.
    ty: Type,
    /// What 1 is in a product.
    units: i128,
    /// Greatest variance times 1.
    spread: i128,
}

fn statistic(name: &str, distinct: bool) -> Option<Statistic> {
    let moment = |sample, root| Some(Statistic::Moment { sample, root });
    match (name, distinct) {
        ("avg", true) => Some(Statistic::DistinctAverage),
        ("var" | "covar_samp", false) => moment(true, false),
        ("var_pop" | "covar_pop", false) => moment(false, false),
        ("stddev", false) => moment(true, true),
        ("stddev_pop", false) => moment(false, true),
        _ => None,
    }
}

impl Planner<'_> {
    /// What a call is made of; none if it is an aggregate of its own.
    pub(in crate::planner) fn derived(
        &self,
        expr: &Logical,
        scope: &Scope<'_>,
        rows: u64,
    ) -> Option<Result<Derived, SqlError>> {
        let call = match expr {
            Logical::AggregateFunction(call) => call,
            Logical::Alias(alias) => return self.derived(&alias.expr, scope, rows),
            _ => return None,
        };
        let params = &call.params;
        let name = call.func.name().to_lowercase();
        if !params.order_by.is_empty() || params.null_treatment.is_some() {
            return None;
        }
        if let Some(found) = Regression::named(&name).filter(|_| !params.distinct) {
            let made = self.regression(found, call, scope, rows);
            return Some(made.map_err(|e| self.put(e, expr)));
        }
        let found = statistic(&name, params.distinct)?;
        let made = match found {
            Statistic::DistinctAverage => self.distinct_average(call, scope, rows),
            Statistic::Moment { .. } => self.moment(found, call, scope, rows),
            _ => return None,
        };
        Some(made.map_err(|e| self.put(e, expr)))
    }

    fn filter_of(
        &self,
        call: &AggregateFunction,
        scope: &Scope<'_>,
    ) -> Result<Option<Expr>, SqlError> {
        call.params.filter.as_ref().map(|f| self.condition(f, scope)).transpose()
    }

    fn distinct_average(
        &self,
        call: &AggregateFunction,
        scope: &Scope<'_>,
        rows: u64,
    ) -> Result<Derived, SqlError> {
        let [argument] = call.params.args.as_slice() else {
            return Err(defect("AVG of several columns".into()));
        };
        let value = self.avg_argument(argument, scope)?;
        let filter = self.filter_of(call, scope)?;
        let part = |function| {
            let ty = result_type(function, Some(&value), rows)?;
            let nullable = function == Function::Sum;
            let (argument, filter) = (Some(value.clone()), filter.clone());
            let distinct = true;
            Ok::<_, SqlError>(Aggregate { function, argument, filter, distinct, ty, nullable })
        };
        let ty = result_type(Function::Avg, Some(&value), rows)?;
        let parts = vec![part(Function::Sum)?, part(Function::Count)?];
        Ok(Derived { statistic: Statistic::DistinctAverage, parts, ty, units: 1, spread: 0 })
    }

    /// The two columns of a statistic, and when a pair counts.
    pub(super) fn pairs(
        &self,
        call: &AggregateFunction,
        scope: &Scope<'_>,
        rows: u64,
    ) -> Result<(Expr, Expr, Option<Expr>), SqlError> {
        let values = call
            .params
            .args
            .iter()
            .map(|a| self.exact(a, scope))
            .map(|value| value.and_then(|value| measurable(value, rows)))
            .collect::<Result<Vec<Expr>, SqlError>>()?;
        let (x, y) = match values.as_slice() {
            [x] => (x.clone(), x.clone()),
            [x, y] => (x.clone(), y.clone()),
            _ => return Err(defect("a statistic of more than two columns".into())),
        };
        let present = [&x, &y].map(|v| build::not(build::is_null(v.clone())));
        let condition: Vec<Expr> =
            self.filter_of(call, scope)?.into_iter().chain(present).collect();
        let filter = Some(build::and(condition));
        let always = |f: &Expr| matches!(build::literal(f), Some(Literal::Boolean(true)));
        Ok((x, y, filter.filter(|f| !always(f))))
    }

    fn moment(
        &self,
        statistic: Statistic,
        call: &AggregateFunction,
        scope: &Scope<'_>,
        rows: u64,
    ) -> Result<Derived, SqlError> {
        let (x, y, filter) = self.pairs(call, scope, rows)?;
        let units = unit(&x)?.checked_mul(unit(&y)?).ok_or_else(overflow)?;
        let product = build::bind(vec![x.clone(), y.clone()], |pair| {
            let [x, y] = pair else { return Err(overflow()) };
            build::arithmetic(Arithmetic::Multiply, x.clone(), y.clone())
        })?;
        let part = |argument| part(argument, filter.as_ref(), rows);
        let parts =
            vec![part(None)?, part(Some(x.clone()))?, part(Some(y.clone()))?, part(Some(product))?];
        let ((a, b), (c, d)) = (limits(&x), limits(&y));
        let spread = (b - a).checked_mul(d - c).ok_or_else(overflow)?;
        Ok(Derived { statistic, parts, ty: Type::Boolean, units, spread })
    }
}

/// COUNT(*) or SUM of an argument where a condition holds.
pub(super) fn part(
    argument: Option<Expr>,
    filter: Option<&Expr>,
    rows: u64,
) -> Result<Aggregate, SqlError> {
    let function = if argument.is_some() { Function::Sum } else { Function::CountStar };
    let ty = result_type(function, argument.as_ref(), rows)?;
    let (filter, nullable) = (filter.cloned(), argument.is_some());
    Ok(Aggregate { function, argument, filter, distinct: false, ty, nullable })
}

/// Binary digits after the point of a DOUBLE in a statistic, at least.
const FRACTION_BITS_KEPT: u32 = 10;

/// A DOUBLE with as many binary digits as the sum of squares of `rows` rows, times their number, has
/// room for.
fn measurable(value: Expr, rows: u64) -> Built {
    let Type::Number { kind: NumberKind::Double { fraction_bits }, low, high } = &value.ty else {
        return Ok(value);
    };
    let size = low.unsigned_abs().max(high.unsigned_abs()).max(1);
    let whole = (128 - size.leading_zeros()).saturating_sub(*fraction_bits);
    let rows = 64 - rows.leading_zeros();
    // (2 * 2^(whole + bits))^2 * rows^2 within 126 bits.
    let room = 62_u32.saturating_sub(whole).saturating_sub(rows);
    if room >= *fraction_bits {
        return Ok(value);
    }
    if room < FRACTION_BITS_KEPT {
        return Err(overflow());
    }
    build::trimmed(value, room)
}

pub(super) fn limits(expr: &Expr) -> (i128, i128) {
    match &expr.ty {
        Type::Number { low, high, .. } => (*low, *high),
        _ => (0, 0),
    }
}

/// What 1 is in the encoding of a number.
pub(super) fn unit(value: &Expr) -> Result<i128, SqlError> {
    let (tens, twos) = scale_of(value)?;
    let two = 1_i128.checked_shl(twos).filter(|t| *t > 0).ok_or_else(overflow)?;
    ten_to(tens).and_then(|ten| ten.checked_mul(two)).ok_or_else(overflow)
}

fn scale_of(value: &Expr) -> Result<(u32, u32), SqlError> {
    match &value.ty {
        Type::Number { kind, .. } => scale(kind).ok_or_else(|| wrong(value)),
        _ => Err(wrong(value)),
    }
}

fn wrong(value: &Expr) -> SqlError {
    SqlError::unsupported(
        format!("a statistic of {} is not supported", numbers::sql_name(&value.ty)),
        "take it of numbers",
    )
}

/// A weighted sum over the sum of the weights as a DOUBLE, to the nearest step.
fn weighted(columns: &[Expr], (tens, twos): (u32, u32), weight: i128) -> Built {
    let [sum] = columns else { return Err(defect("a percentile lost its sum".into())) };
    let divisor = ten_to(tens).and_then(|t| t.checked_mul(weight)).ok_or_else(overflow)?;
    let divisor_twos = divisor.trailing_zeros();
    // Exact if what remains of the divisor is 1.
    let least = if divisor >> divisor_twos == 1 { twos + divisor_twos } else { 0 };
    let mut bits = DOUBLE_FRACTION_BITS.max(twos).max(least.min(2 * DOUBLE_FRACTION_BITS));
    let (low, high) = limits(sum);
    let size = low.unsigned_abs().max(high.unsigned_abs()).max(1);
    // Room for the raised sum, and for rounding.
    let room = 124_u32.saturating_sub(128 - size.leading_zeros()) + twos;
    bits = bits.min(room);
    if bits < twos {
        return Err(overflow());
    }
    let two = 1_i128.checked_shl(bits - twos).filter(|t| *t > 0).ok_or_else(overflow)?;
    let common = build::gcd(two, divisor);
    let raised = build::times(plain(sum.clone()), two / common, NumberKind::BigInt)?;
    let to = NumberKind::Double { fraction_bits: bits };
    build::by_constant(raised, divisor / common, Rounding::Nearest, Some(to))
}

/// Whole numbers whatever their digits mean.
pub(super) fn plain(expr: Expr) -> Expr {
    let (low, high) = limits(&expr);
    build::retype(expr, Type::Number { kind: NumberKind::BigInt, low, high })
}

impl Derived {
    /// A sum of values of this scale (decimal and binary digits), with weights that add up to `weight`.
    pub(super) fn interpolated(sum: Aggregate, (tens, twos): (u32, u32), weight: i128) -> Self {
        let statistic = Statistic::Interpolated { tens, twos, weight };
        Self { statistic, parts: vec![sum], ty: Type::Boolean, units: 1, spread: 0 }
    }

    /// What follows from sums over pairs.
    pub(super) fn of_pairs(statistic: Statistic, parts: Vec<Aggregate>) -> Self {
        Self { statistic, parts, ty: Type::Boolean, units: 1, spread: 0 }
    }

    /// The one value that an aggregate meets.
    pub(super) fn picked(one: Aggregate, ty: Type) -> Self {
        Self { statistic: Statistic::Picked, parts: vec![one], ty, units: 1, spread: 0 }
    }

    /// The aggregate from the columns of its parts.
    pub(in crate::planner) fn finish(&self, columns: &[Expr]) -> Built {
        match self.statistic {
            Statistic::DistinctAverage => self.average(columns),
            Statistic::Moment { sample, root } => self.moment(columns, sample, root),
            Statistic::Interpolated { tens, twos, weight } => {
                weighted(columns, (tens, twos), weight)
            }
            Statistic::Regression(what, facts) => regression::finish(what, &facts, columns),
            Statistic::Picked => match columns {
                [one] => Ok(build::retype(one.clone(), self.ty.clone())),
                _ => Err(defect("a percentile lost its value".into())),
            },
        }
    }

    fn average(&self, columns: &[Expr]) -> Built {
        let [sum, count] = columns else { return Err(defect("an average lost a sum".into())) };
        let ((own, twos), to) = (scale_of(sum)?, &self.ty);
        let (factor, fraction_bits, rounding) = match to {
            Type::Number { kind: NumberKind::Decimal { scale, .. }, .. } => {
                let factor = ten_to(u32::from(*scale).saturating_sub(own)).ok_or_else(overflow)?;
                (factor, 0, Rounding::Nearest)
            }
            _ => (1, DOUBLE_FRACTION_BITS.saturating_sub(twos), Rounding::Truncate),
        };
        let left = build::times(plain(sum.clone()), factor, NumberKind::BigInt)?;
        let (left, right) = (Box::new(left), Box::new(plain(count.clone())));
        let kind = ExprKind::Divide { left, right, fraction_bits, rounding };
        Ok(Expr { kind, ty: to.clone(), nullable: true })
    }

    /// (n * SUM xy - SUM x * SUM y) / (n * n or n * (n - 1)).
    fn moment(&self, columns: &[Expr], sample: bool, root: bool) -> Built {
        let [n, x, y, products] = columns else {
            return Err(defect("a statistic lost a sum".into()));
        };
        let [n, x, y, products] = [n, x, y, products].map(|c| plain(c.clone()));
        let times =
            |a: &Expr, b: &Expr| build::arithmetic(Arithmetic::Multiply, a.clone(), b.clone());
        let rows = limits(&n).1.max(1);
        let all = rows.checked_mul(rows).and_then(|all| all.checked_mul(self.spread));
        let all = all.ok_or_else(overflow)?;
        let difference =
            build::arithmetic(Arithmetic::Subtract, times(&n, &products)?, times(&x, &y)?)?;
        let low = if root { Some(0) } else { Some(-all) };
        let dividend = Expr { ty: bounded(NumberKind::BigInt, low, Some(all))?, ..difference };
        let one = build::number(1, NumberKind::BigInt)?;
        let fewer = build::arithmetic(Arithmetic::Subtract, n.clone(), one.clone())?;
        let units = self.units;
        let divisor = times(&n, if sample { &fewer } else { &n })?;
        let divisor =
            Expr { ty: bounded(NumberKind::BigInt, Some(0), Some(rows * rows))?, ..divisor };
        let divisor = build::times(divisor, units, NumberKind::BigInt)?;
        // A variance is at most half of the squared range (two values), in units of the product.
        let most = self.spread / 2 / units + 1;
        let mut bits = if root { 2 * DOUBLE_FRACTION_BITS } else { DOUBLE_FRACTION_BITS };
        while root && bits > 0 && most.checked_mul(1 << bits).is_none_or(|m| m > numbers::BOUND_MAX)
        {
            bits -= 2;
        }
        let top = most.checked_mul(1_i128 << bits);
        let low = if root { Some(0) } else { top.map(|t| -t) };
        let ty = bounded(NumberKind::Double { fraction_bits: bits }, low, top)?;
        let nullable = dividend.nullable || divisor.nullable;
        let (left, right) = (Box::new(dividend), Box::new(divisor));
        let rounding = if root { Rounding::Truncate } else { Rounding::Nearest };
        let kind = ExprKind::Divide { left, right, fraction_bits: bits, rounding };
        let mut value = Expr { kind, ty, nullable };
        if root {
            value = build::root(value, 0)?;
        }
        let needed = if sample { one } else { build::number(0, NumberKind::BigInt)? };
        let enough = build::compare(Compare::Gt, n, needed)?;
        let nothing = build::null(value.ty.clone());
        build::case(vec![(enough, value)], nothing)
    }
}
