//! PERCENTILE_CONT and PERCENTILE_DISC: MEDIAN is the first at one half.
//!
//! One sort by (group, value) numbers the rows of each group and counts its values, n. With the fraction
//! P/Q in lowest terms the place is P (n - 1) / Q, so that the row with number r, from 0, has the weight
//! max(0, Q - |P (n - 1) - Q r|) of Q: the row at the place has all of it, or two rows share it. The sum of
//! weight times value over Q is PERCENTILE_CONT; nothing is divided row by row. PERCENTILE_DISC takes the
//! one row with 0 <= Q r - P n < Q, where r counts from 1. The rows of a group stand together after the
//! sort, so that adding up needs no other.

use super::bounds::result_type;
use super::statistics::Derived;
use crate::plan::{
    Aggregate, Bound, Compare, Expr, Field, Frame, Function, Literal, Operator, Plan, SortKey,
    WindowFunction, WindowKind,
};
use crate::planner::build::{self, Arithmetic};
use crate::planner::determined::split_keys;
use crate::planner::numbers::{self, bounded, overflow, scale};
use crate::planner::scalar::{Scope, defect};
use crate::planner::{Planner, literals};
use crate::types::{NumberKind, Type};
use datafusion_expr::Expr as Logical;
use datafusion_expr::expr::AggregateFunction;
use trine_proto::status::{SqlError, sqlstate};

type Built = Result<Expr, SqlError>;

/// Denominator of a fraction at most: nine decimal places.
const DENOMINATOR_MAX: i128 = 1_000_000_000;

/// A value by which the rows of each group are numbered; rows where it is NULL come last.
#[derive(PartialEq, Eq)]
pub(super) struct Ranked {
    value: Expr,
    descending: bool,
}

/// P / Q in lowest terms.
#[derive(Clone, Copy)]
struct Fraction {
    part: i128,
    whole: i128,
}

impl Planner<'_> {
    /// What a percentile is made of; none for another aggregate. The columns that rank its rows will
    /// stand behind those of the scope.
    pub(super) fn percentile(
        &self,
        expr: &Logical,
        scope: &Scope<'_>,
        rows: u64,
        whole: bool,
        ranked: &mut Vec<Ranked>,
    ) -> Option<Result<Derived, SqlError>> {
        let call = match expr {
            Logical::AggregateFunction(call) => call,
            Logical::Alias(alias) => {
                return self.percentile(&alias.expr, scope, rows, whole, ranked);
            }
            _ => return None,
        };
        let continuous = match call.func.name() {
            "percentile_cont" => true,
            "percentile_disc" => false,
            _ => return None,
        };
        let made = self.ordered_value(call, scope).and_then(|(own, fraction)| {
            let nothing = !whole && !own.value.nullable;
            let (value, at) = place(own, scope.fields.len(), rows, ranked)?;
            let made = if continuous {
                interpolated(value, fraction, &at)
            } else {
                picked(value, fraction, &at)
            };
            made.map(|mut made| {
                for part in &mut made.parts {
                    part.nullable = !nothing;
                }
                made
            })
        });
        Some(made.map_err(|e| if e.position == 0 { e.at(self.word(call.func.name())) } else { e }))
    }

    /// What is ordered, NULL where the FILTER does not hold, and the fraction.
    fn ordered_value(
        &self,
        call: &AggregateFunction,
        scope: &Scope<'_>,
    ) -> Result<(Ranked, Fraction), SqlError> {
        let name = call.func.name();
        let ([value, fraction], [sort]) =
            (call.params.args.as_slice(), call.params.order_by.as_slice())
        else {
            return Err(SqlError::new(
                "42809",
                format!("WITHIN GROUP is required for ordered-set aggregate {name}"),
            )
            .hint(format!("write {name}(0.5) WITHIN GROUP (ORDER BY …)")));
        };
        if call.params.distinct {
            let message = "cannot use DISTINCT with WITHIN GROUP";
            return Err(SqlError::new(sqlstate::FEATURE_NOT_SUPPORTED, message)
                .hint("aggregate over a subquery with SELECT DISTINCT"));
        }
        let fraction = fraction_of(fraction)?;
        let mut value = self.exact(value, scope)?;
        if build::is_null_literal(&value) {
            value = build::null(bounded(NumberKind::Int, Some(0), Some(0))?);
        }
        let is_number = matches!(&value.ty, Type::Number { kind, .. } if scale(kind).is_some());
        if name == "percentile_cont" && !is_number {
            return Err(SqlError::new(
                sqlstate::UNDEFINED_FUNCTION,
                format!("percentile_cont of {} does not exist", numbers::sql_name(&value.ty)),
            )
            .hint("order by a number, or use percentile_disc"));
        }
        if let Some(filter) = &call.params.filter {
            let filter = self.condition(filter, scope)?;
            let nothing = build::null(value.ty.clone());
            value = build::case(vec![(filter, value)], nothing)?;
        }
        // NULL for every row where the fraction is NULL.
        let Some(fraction) = fraction else {
            let value = build::null(value.ty);
            return Ok((Ranked { value, descending: false }, Fraction { part: 0, whole: 1 }));
        };
        Ok((Ranked { value, descending: !sort.asc }, fraction))
    }
}

/// A constant from 0 to 1; none for NULL.
fn fraction_of(expr: &Logical) -> Result<Option<Fraction>, SqlError> {
    let inner = match expr {
        Logical::Cast(cast) => cast.expr.as_ref(),
        other => other,
    };
    let constant = || {
        SqlError::unsupported(
            "the fraction of a percentile must be a constant",
            "write the number: it is public in any case",
        )
    };
    let Logical::Literal(value, _) = inner else { return Err(constant()) };
    if value.is_null() {
        return Ok(None);
    }
    let built = literals::compile(value)?;
    let (Type::Number { kind, .. }, Some(Literal::Number(v))) = (&built.ty, build::literal(&built))
    else {
        return Err(constant());
    };
    let (tens, twos) = scale(kind).ok_or_else(constant)?;
    let unit = numbers::ten_to(tens)
        .and_then(|ten| ten.checked_mul(1_i128.checked_shl(twos)?))
        .ok_or_else(overflow)?;
    if *v < 0 || *v > unit {
        let shown = value.to_string();
        return Err(SqlError::new(
            sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("percentile value {shown} is not between 0 and 1"),
        ));
    }
    let common = build::gcd(unit, *v);
    let fraction = Fraction { part: v / common, whole: unit / common };
    if fraction.whole > DENOMINATOR_MAX {
        return Err(SqlError::unsupported(
            "the fraction of a percentile has too many digits",
            "write nine digits after the point at most",
        ));
    }
    Ok(Some(fraction))
}

/// Columns of a row: its number in the group, from 1, and the values of the group.
struct Place {
    number: Expr,
    count: Expr,
}

/// Asks for the numbers of rows by a value; those that are asked for already are used again.
fn place(
    own: Ranked,
    width: usize,
    rows: u64,
    ranked: &mut Vec<Ranked>,
) -> Result<(Expr, Place), SqlError> {
    let value = own.value.clone();
    let known = ranked.iter().position(|r| *r == own).unwrap_or(ranked.len());
    if known == ranked.len() {
        ranked.push(own);
    }
    let (number, count) = functions(&value, rows)?;
    let first = width + 2 * known;
    let column = |index, f: &WindowFunction| Expr {
        kind: crate::plan::ExprKind::Column(index),
        ty: f.ty.clone(),
        nullable: false,
    };
    Ok((value, Place { number: column(first, &number), count: column(first + 1, &count) }))
}

/// The number of a row in its group, and how many values the group has.
fn functions(value: &Expr, rows: u64) -> Result<(WindowFunction, WindowFunction), SqlError> {
    let high = i128::from(rows.max(1));
    let ty = bounded(NumberKind::BigInt, Some(1), Some(high))?;
    let number = WindowFunction { kind: WindowKind::RowNumber, ty, nullable: false };
    let (function, argument) = if value.nullable {
        (Function::Count, Some(value.clone()))
    } else {
        (Function::CountStar, None)
    };
    let ty = result_type(function, argument.as_ref(), rows)?;
    let aggregate = Aggregate {
        function,
        argument,
        filter: None,
        distinct: false,
        ty: ty.clone(),
        nullable: false,
    };
    let frame = Frame { start: Bound::Unbounded, end: Bound::Unbounded };
    let kind = WindowKind::Aggregate { aggregate, frame };
    Ok((number, WindowFunction { kind, ty, nullable: false }))
}

/// The rows sorted by (group, value) once for each value, with two columns for each behind their own.
pub(super) fn ranked_rows(input: Plan, keys: &[Expr], ranked: &[Ranked]) -> Result<Plan, SqlError> {
    let mut plan = input;
    for Ranked { value, descending } in ranked {
        let (needed, _) = split_keys(&plan, keys);
        let partition: Vec<Expr> = needed.iter().filter_map(|k| keys.get(*k).cloned()).collect();
        let (number, count) = functions(value, plan.rows)?;
        let mut fields = plan.fields.clone();
        fields.extend([("number", &number), ("count", &count)].map(|(name, f)| Field {
            name: name.to_owned(),
            ty: f.ty.clone(),
            nullable: false,
        }));
        let expr = value.clone();
        let order = if build::literal(value).is_some() {
            Vec::new()
        } else {
            vec![SortKey { expr, descending: *descending, nulls_first: false }]
        };
        let rows = plan.rows;
        let functions = vec![number, count];
        let op = Operator::Window { input: Box::new(plan), partition, order, functions };
        plan = Plan { op, fields, rows };
    }
    Ok(plan)
}

/// a * p - b * q + c for public p, q, c of which p may be 0.
fn difference(a: &Expr, p: i128, b: &Expr, q: i128, c: i128) -> Built {
    let kind = NumberKind::BigInt;
    let whole = |v| build::number(v, NumberKind::BigInt);
    let left = if p == 0 { whole(0)? } else { build::times(a.clone(), p, kind.clone())? };
    let right = build::times(b.clone(), q, kind)?;
    let between = build::arithmetic(Arithmetic::Subtract, left, right)?;
    build::arithmetic(Arithmetic::Add, between, whole(c)?)
}

/// SUM of value * max(0, Q - |P (n - 1) - Q (r - 1)|).
fn interpolated(value: Expr, by: Fraction, at: &Place) -> Result<Derived, SqlError> {
    let Fraction { part, whole } = by;
    let (Type::Number { kind, low, high }, false) = (&value.ty, whole == 0) else {
        return Err(defect("a percentile of no number".into()));
    };
    let steps = scale(kind).ok_or_else(overflow)?;
    // Two weights add up to Q.
    let within = |bound: i128| bound.checked_mul(whole).ok_or_else(overflow);
    let (low, high) = (within((*low).min(0))?, within((*high).max(0))?);
    let ty = bounded(NumberKind::BigInt, Some(low), Some(high))?;
    let away = difference(&at.count, part, &at.number, whole, whole - part)?;
    let all = build::number(whole, NumberKind::BigInt)?;
    let weight = build::bind(vec![build::absolute(away)?], |away| {
        let [away] = away else { return Err(overflow()) };
        let near = build::compare(Compare::Lt, away.clone(), all.clone())?;
        let rest = build::arithmetic(Arithmetic::Subtract, all.clone(), away.clone())?;
        let rest = build::retype(rest, bounded(NumberKind::BigInt, Some(0), Some(whole))?);
        build::case(vec![(near, rest)], build::number(0, NumberKind::BigInt)?)
    })?;
    let plain = build::retype(value.clone(), whole_number(&value.ty)?);
    let product = if build::is_null_literal(&plain) {
        plain
    } else {
        let product = build::arithmetic(Arithmetic::Multiply, plain, weight)?;
        Expr { ty: ty.clone(), ..product }
    };
    let sum = Aggregate {
        function: Function::Sum,
        argument: Some(product),
        filter: None,
        distinct: false,
        ty,
        nullable: true,
    };
    Ok(Derived::interpolated(sum, steps, whole))
}

/// The value of the one row with 0 <= Q r - P n < Q.
fn picked(value: Expr, by: Fraction, at: &Place) -> Result<Derived, SqlError> {
    let Fraction { part, whole } = by;
    let number = |v| build::number(v, NumberKind::BigInt);
    let chosen = if part == 0 {
        build::compare(Compare::Eq, at.number.clone(), number(1)?)?
    } else {
        build::bind(vec![difference(&at.number, whole, &at.count, part, 0)?], |past| {
            let [past] = past else { return Err(overflow()) };
            Ok(build::and(vec![
                build::compare(Compare::Ge, past.clone(), number(0)?)?,
                build::compare(Compare::Lt, past.clone(), number(whole)?)?,
            ]))
        })?
    };
    let (function, argument, ty) = match &value.ty {
        Type::Number { .. } => {
            let Type::Number { kind, low, high } = whole_number(&value.ty)? else {
                return Err(defect("a number lost its bounds".into()));
            };
            let plain =
                build::retype(value.clone(), Type::Number { kind: kind.clone(), low, high });
            (Function::Sum, plain, bounded(kind, Some(low.min(0)), Some(high.max(0)))?)
        }
        Type::Boolean => (Function::BoolOr, value.clone(), Type::Boolean),
        Type::Text { .. } => (Function::Max, value.clone(), value.ty.clone()),
    };
    let one = Aggregate {
        function,
        argument: Some(argument),
        filter: Some(chosen),
        distinct: false,
        ty,
        nullable: true,
    };
    Ok(Derived::picked(one, value.ty))
}

/// The bounds of a number, whatever its digits mean.
fn whole_number(ty: &Type) -> Result<Type, SqlError> {
    match ty {
        Type::Number { low, high, .. } => bounded(NumberKind::BigInt, Some(*low), Some(*high)),
        Type::Boolean | Type::Text { .. } => Err(defect("a number is due".into())),
    }
}
