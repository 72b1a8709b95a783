//! Scalar expressions: DataFusion's to ours, with types, bounds and scales.

use super::build::{self, Arithmetic};
use super::literals;
use super::numbers::{self, bounded, is_integer, overflow, scale, ten_to};
use super::{Planner, dictionary};
use crate::plan::{Compare, Expr, ExprKind, Field, Literal};
use crate::types::{DOUBLE_FRACTION_BITS, NumberKind, Type};
use arrow::datatypes::DataType;
use datafusion_common::DFSchema;
use datafusion_expr::expr::{Between, Case, InList, Like};
use datafusion_expr::logical_plan::Subquery;
use datafusion_expr::{BinaryExpr, Expr as Logical, Operator};
use std::collections::BTreeSet;
use trine_proto::status::{SqlError, sqlstate};

/// Values of a number up to which IN becomes a table.
const IN_TABLE_MAX: i128 = 4096;

/// What names mean: the columns of one relation, and where its scalar subqueries stand.
pub(crate) struct Scope<'a> {
    /// DataFusion's schema; column i of it is field i.
    pub(crate) schema: &'a DFSchema,
    /// Fields of the relation.
    pub(crate) fields: &'a [Field],
    /// Scalar subqueries and the position of their column.
    pub(crate) subqueries: &'a [(Subquery, usize)],
}

type Built = Result<Expr, SqlError>;

impl Planner<'_> {
    /// Compiles one expression.
    pub(crate) fn scalar(&self, expr: &Logical, scope: &Scope<'_>) -> Built {
        match expr {
            Logical::Alias(alias) => self.scalar(&alias.expr, scope),
            Logical::Column(column) => {
                let index = scope
                    .schema
                    .maybe_index_of_column(column)
                    .ok_or_else(|| defect(format!("column {column} is not in its relation")))?;
                let field = scope
                    .fields
                    .get(index)
                    .ok_or_else(|| defect(format!("column {column} has no field")))?;
                Ok(build::column(index, field))
            }
            Logical::Literal(value, _) => literals::compile(value),
            Logical::BinaryExpr(binary) => self.binary(expr, binary, scope),
            Logical::Not(inner) => Ok(build::not(self.condition(inner, scope)?)),
            Logical::IsNull(inner) => Ok(build::is_null(self.scalar(inner, scope)?)),
            Logical::IsNotNull(inner) => Ok(build::not(build::is_null(self.scalar(inner, scope)?))),
            Logical::IsTrue(inner) => Ok(build::is_true(self.condition(inner, scope)?)),
            Logical::IsNotTrue(inner) => {
                Ok(build::not(build::is_true(self.condition(inner, scope)?)))
            }
            Logical::IsFalse(inner) => {
                Ok(build::is_true(build::not(self.condition(inner, scope)?)))
            }
            Logical::IsNotFalse(inner) => {
                Ok(build::not(build::is_true(build::not(self.condition(inner, scope)?))))
            }
            Logical::IsUnknown(inner) => Ok(build::is_null(self.condition(inner, scope)?)),
            Logical::IsNotUnknown(inner) => {
                Ok(build::not(build::is_null(self.condition(inner, scope)?)))
            }
            Logical::Negative(inner) => build::negate(self.scalar(inner, scope)?),
            Logical::Between(between) => self.between(between, scope),
            Logical::Case(case) => self.case(case, scope),
            Logical::Cast(cast) => self.cast(expr, &cast.expr, cast.field.data_type(), scope),
            Logical::InList(list) => self.in_list(list, scope),
            Logical::Like(like) => self.like(expr, like, scope),
            Logical::ScalarFunction(call) => self.call(expr, call.name(), &call.args, scope),
            Logical::ScalarSubquery(subquery) => {
                let index = scope
                    .subqueries
                    .iter()
                    .find(|(known, _)| known == subquery)
                    .map(|(_, index)| *index)
                    .ok_or_else(|| {
                        self.unsupported(
                            expr,
                            "a subquery is not supported in this place",
                            "move it to the select list or to WHERE",
                        )
                    })?;
                let field = scope
                    .fields
                    .get(index)
                    .ok_or_else(|| defect("a subquery has no column".into()))?;
                Ok(build::column(index, field))
            }
            Logical::OuterReferenceColumn(..)
            | Logical::Exists(_)
            | Logical::InSubquery(_)
            | Logical::SetComparison(_) => Err(self.correlated(expr)),
            other => self.by_dictionary(other, scope).unwrap_or_else(|| {
                Err(self.unsupported(
                    other,
                    format!("the expression {other} is not supported"),
                    "write it with + - *, comparisons, AND, OR, NOT, CASE, IN or BETWEEN",
                ))
            }),
        }
    }

    /// Compiles an expression that must be a condition.
    pub(crate) fn condition(&self, expr: &Logical, scope: &Scope<'_>) -> Built {
        let built = self.scalar(expr, scope)?;
        if build::is_null_literal(&built) {
            return Ok(build::null(Type::Boolean));
        }
        if built.ty == Type::Boolean {
            return Ok(built);
        }
        Err(SqlError::new(
            sqlstate::DATATYPE_MISMATCH,
            format!("a condition must be BOOLEAN, not {}", numbers::sql_name(&built.ty)),
        )
        .at(self.place(expr)))
    }

    /// A function of one ENUM column, evaluated on the labels.
    fn by_dictionary(&self, expr: &Logical, scope: &Scope<'_>) -> Option<Built> {
        let column = dictionary::only_column(expr)?;
        let index = scope.schema.maybe_index_of_column(&column)?;
        let argument = build::column(index, scope.fields.get(index)?);
        dictionary::evaluate(expr, &column, argument).map(Ok)
    }

    fn binary(&self, expr: &Logical, binary: &BinaryExpr, scope: &Scope<'_>) -> Built {
        let BinaryExpr { left, op, right } = binary;
        match op {
            Operator::And => {
                Ok(build::and(vec![self.condition(left, scope)?, self.condition(right, scope)?]))
            }
            Operator::Or => {
                Ok(build::or(vec![self.condition(left, scope)?, self.condition(right, scope)?]))
            }
            Operator::Eq => self.compare(Compare::Eq, left, right, scope),
            Operator::NotEq => self.compare(Compare::Ne, left, right, scope),
            Operator::Lt => self.compare(Compare::Lt, left, right, scope),
            Operator::LtEq => self.compare(Compare::Le, left, right, scope),
            Operator::Gt => self.compare(Compare::Gt, left, right, scope),
            Operator::GtEq => self.compare(Compare::Ge, left, right, scope),
            Operator::IsDistinctFrom => self.distinct(left, right, scope).map(build::not),
            Operator::IsNotDistinctFrom => self.distinct(left, right, scope),
            Operator::Plus => self.arithmetic(expr, Arithmetic::Add, left, right, scope),
            Operator::Minus => self.arithmetic(expr, Arithmetic::Subtract, left, right, scope),
            Operator::Multiply => self.arithmetic(expr, Arithmetic::Multiply, left, right, scope),
            Operator::Divide | Operator::Modulo => Err(self.division(expr, right)),
            other => self.by_dictionary(expr, scope).unwrap_or_else(|| {
                Err(self.unsupported(
                    expr,
                    format!("operator {other} is not supported on secret values"),
                    "the operators are + - *, comparisons, AND, OR and NOT",
                ))
            }),
        }
    }

    fn division(&self, expr: &Logical, divisor: &Logical) -> SqlError {
        if let Logical::Literal(value, _) = divisor
            && literals::is_zero(value)
        {
            return SqlError::new(sqlstate::DIVISION_BY_ZERO, "division by zero");
        }
        self.unsupported(
            expr,
            "division is not supported on secret values",
            "multiply the other side of the comparison, use AVG, or divide in the client",
        )
    }

    fn arithmetic(
        &self,
        expr: &Logical,
        op: Arithmetic,
        left: &Logical,
        right: &Logical,
        scope: &Scope<'_>,
    ) -> Built {
        if let Logical::Literal(value, _) = right
            && let Some(days) = literals::interval_days(value)
        {
            return self.shift_date(expr, op, left, days, scope);
        }
        let (x, y) = (self.scalar(left, scope)?, self.scalar(right, scope)?);
        build::arithmetic(op, x, y).map_err(|e| self.put(e, expr))
    }

    /// DATE ± INTERVAL 'n' DAY.
    fn shift_date(
        &self,
        expr: &Logical,
        op: Arithmetic,
        date: &Logical,
        days: Option<i64>,
        scope: &Scope<'_>,
    ) -> Built {
        let date = self.scalar(date, scope)?;
        let Some(days) = days else {
            return Err(self.unsupported(
                expr,
                "only whole days can be added to a DATE",
                "write INTERVAL 'n' DAY, or move the interval to the constant side",
            ));
        };
        let days = build::number(i128::from(days), NumberKind::BigInt)?;
        build::arithmetic(op, date, days).map_err(|e| self.put(e, expr))
    }

    fn compare(&self, op: Compare, left: &Logical, right: &Logical, scope: &Scope<'_>) -> Built {
        let (x, y) = (self.exact(left, scope)?, self.exact(right, scope)?);
        dictionary::compare(op, x, y).map_err(|e| self.put(e, left))
    }

    /// Under a comparison a cast of an exact number to DOUBLE is not needed: scales are matched.
    fn exact(&self, expr: &Logical, scope: &Scope<'_>) -> Built {
        if let Logical::Cast(cast) = expr
            && matches!(cast.field.data_type(), DataType::Float64)
        {
            let inner = self.scalar(&cast.expr, scope)?;
            if matches!(&inner.ty, Type::Number { kind, .. } if scale(kind).is_some()) {
                return Ok(inner);
            }
        }
        self.scalar(expr, scope)
    }

    /// left IS NOT DISTINCT FROM right.
    fn distinct(&self, left: &Logical, right: &Logical, scope: &Scope<'_>) -> Built {
        let (x, y) = (self.exact(left, scope)?, self.exact(right, scope)?);
        let equal = build::is_true(dictionary::compare(Compare::Eq, x.clone(), y.clone())?);
        let both = build::and(vec![build::is_null(x), build::is_null(y)]);
        Ok(build::or(vec![equal, both]))
    }

    fn between(&self, between: &Between, scope: &Scope<'_>) -> Built {
        let within = build::and(vec![
            self.compare(Compare::Ge, &between.expr, &between.low, scope)?,
            self.compare(Compare::Le, &between.expr, &between.high, scope)?,
        ]);
        Ok(if between.negated { build::not(within) } else { within })
    }

    fn case(&self, case: &Case, scope: &Scope<'_>) -> Built {
        let mut conditions = Vec::with_capacity(case.when_then_expr.len());
        let mut values = Vec::with_capacity(case.when_then_expr.len() + 1);
        for (when, then) in &case.when_then_expr {
            conditions.push(match &case.expr {
                Some(operand) => self.compare(Compare::Eq, operand, when, scope)?,
                None => self.condition(when, scope)?,
            });
            values.push(self.scalar(then, scope)?);
        }
        values.push(match &case.else_expr {
            Some(otherwise) => self.scalar(otherwise, scope)?,
            None => build::null(Type::Text { bytes: 1 }),
        });
        choose(conditions, values)
    }

    fn in_list(&self, list: &InList, scope: &Scope<'_>) -> Built {
        let argument = self.exact(&list.expr, scope)?;
        let mut entries = Vec::with_capacity(list.list.len());
        for entry in &list.list {
            entries.push(self.exact(entry, scope)?);
        }
        let has_null = entries.iter().any(build::is_null_literal);
        entries.retain(|e| !build::is_null_literal(e));
        let found = match self.in_table(&argument, &entries)? {
            Some(found) => found,
            None => {
                let mut equals = Vec::with_capacity(entries.len());
                for entry in entries {
                    equals.push(dictionary::compare(Compare::Eq, argument.clone(), entry)?);
                }
                build::or(equals)
            }
        };
        let found =
            if has_null { build::or(vec![found, build::null(Type::Boolean)]) } else { found };
        Ok(if list.negated { build::not(found) } else { found })
    }

    /// IN over an ENUM or a narrow number: one public table instead of an equality per entry.
    fn in_table(&self, argument: &Expr, entries: &[Expr]) -> Result<Option<Expr>, SqlError> {
        if dictionary::labels(argument).is_some() {
            let mut wanted = BTreeSet::new();
            for entry in entries {
                let Some(Literal::Text(bytes)) = build::literal(entry) else { return Ok(None) };
                wanted.insert(String::from_utf8_lossy(bytes).into_owned());
            }
            return Ok(Some(dictionary::in_list(argument.clone(), &wanted)));
        }
        let Type::Number { kind, low, high } = &argument.ty else { return Ok(None) };
        if entries.len() < 2 || high - low >= IN_TABLE_MAX {
            return Ok(None);
        }
        let mut wanted = BTreeSet::new();
        for entry in entries {
            let (Some(Literal::Number(v)), Type::Number { kind: own, .. }) =
                (build::literal(entry), &entry.ty)
            else {
                return Ok(None);
            };
            if scale(own) != scale(kind) {
                return Ok(None);
            }
            wanted.insert(*v);
        }
        let table = (*low..=*high).map(|v| Literal::Boolean(wanted.contains(&v))).collect();
        Ok(Some(build::lookup(argument.clone(), table, Type::Boolean)))
    }

    /// LIKE over labels is a table; over VARCHAR a pattern `prefix%` is a range.
    fn like(&self, expr: &Logical, like: &Like, scope: &Scope<'_>) -> Built {
        if let Some(found) = self.by_dictionary(expr, scope) {
            return found;
        }
        let argument = self.scalar(&like.expr, scope)?;
        let refuse = || {
            self.unsupported(
                expr,
                "LIKE is supported on ENUM columns, and as 'prefix%' on VARCHAR",
                "declare the column as an ENUM, or compare with = or a prefix",
            )
        };
        let Logical::Literal(pattern, _) = like.pattern.as_ref() else { return Err(refuse()) };
        let prefix = literals::like_prefix(pattern, like.escape_char).ok_or_else(refuse)?;
        if like.case_insensitive || !matches!(argument.ty, Type::Text { .. }) {
            return Err(refuse());
        }
        let above = build::compare(Compare::Ge, argument.clone(), build::text(&prefix))?;
        let within = match literals::successor(&prefix) {
            Some(next) => {
                build::and(vec![above, build::compare(Compare::Lt, argument, build::text(&next))?])
            }
            None => above,
        };
        Ok(if like.negated { build::not(within) } else { within })
    }

    fn call(&self, expr: &Logical, name: &str, args: &[Logical], scope: &Scope<'_>) -> Built {
        match (name, args) {
            ("abs", [x]) => build::absolute(self.scalar(x, scope)?).map_err(|e| self.put(e, x)),
            ("coalesce", [_, ..]) => {
                let values = self.all(args, scope)?;
                let conditions = values[..values.len() - 1]
                    .iter()
                    .map(|v| build::not(build::is_null(v.clone())))
                    .collect();
                choose(conditions, values)
            }
            ("nullif", [x, y]) => {
                let equal = self.compare(Compare::Eq, x, y, scope)?;
                let value = self.scalar(x, scope)?;
                choose(vec![equal], vec![build::null(value.ty.clone()), value])
            }
            ("greatest" | "least", [_, ..]) => {
                self.extreme(self.all(args, scope)?, name == "greatest")
            }
            _ => self.by_dictionary(expr, scope).unwrap_or_else(|| {
                Err(self.unsupported(
                    expr,
                    format!("function {name} is not supported on secret values"),
                    "functions over one ENUM column are; so are abs, coalesce, nullif, greatest \
                     and least",
                )
                .at(self.word(name)))
            }),
        }
    }

    fn all(&self, exprs: &[Logical], scope: &Scope<'_>) -> Result<Vec<Expr>, SqlError> {
        exprs.iter().map(|e| self.scalar(e, scope)).collect()
    }

    /// GREATEST and LEAST ignore NULL, as in PostgreSQL.
    fn extreme(&self, values: Vec<Expr>, greatest: bool) -> Built {
        let op = if greatest { Compare::Ge } else { Compare::Le };
        let mut values = dictionary::harmonise(values).into_iter();
        let Some(mut best) = values.next() else {
            return Err(defect("no argument".into()));
        };
        for value in values {
            let better = dictionary::compare(op, best.clone(), value.clone())?;
            let keep = build::or(vec![better, build::is_null(value.clone())]);
            best = choose(vec![keep], vec![best, value])?;
        }
        Ok(best)
    }

    fn cast(&self, expr: &Logical, inner: &Logical, to: &DataType, scope: &Scope<'_>) -> Built {
        let value = self.scalar(inner, scope)?;
        if build::is_null_literal(&value) {
            return numbers::of_arrow(to)
                .map(build::null)
                .ok_or_else(|| self.cast_refusal(expr, &value, to));
        }
        let done = match (&value.ty, to) {
            (Type::Boolean, DataType::Boolean) => Some(Ok(value.clone())),
            (Type::Text { .. }, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
                Some(Ok(value.clone()))
            }
            (Type::Boolean, ty) if ty.is_integer() => {
                let one = build::number(1, NumberKind::Int)?;
                let zero = build::number(0, NumberKind::Int)?;
                let branches = vec![(value.clone(), one.clone())];
                if value.nullable {
                    let branches =
                        branches.into_iter().chain([(build::not(value.clone()), zero)]).collect();
                    Some(build::case(branches, build::null(one.ty)))
                } else {
                    Some(build::case(branches, zero))
                }
            }
            (Type::Number { kind: NumberKind::Enum { .. }, .. }, DataType::Utf8) => {
                Some(Ok(value.clone()))
            }
            (Type::Number { kind: NumberKind::Date, .. }, DataType::Date32) => {
                Some(Ok(value.clone()))
            }
            // Between DOUBLE and DECIMAL nothing is rounded: comparisons match the scales, and a
            // result column of the wrong kind is refused.
            (Type::Number { kind: NumberKind::Double { .. }, .. }, DataType::Decimal128(..))
            | (Type::Number { kind: NumberKind::Decimal { .. }, .. }, DataType::Float64) => {
                Some(Ok(value.clone()))
            }
            (Type::Number { kind, .. }, DataType::Boolean) if is_integer(kind) => {
                let zero = build::number(0, kind.clone())?;
                Some(build::compare(Compare::Ne, value.clone(), zero))
            }
            (Type::Number { kind, .. }, _) if scale(kind).is_some() => {
                rescale(&value, to).transpose()
            }
            _ => None,
        };
        match done {
            Some(built) => built.map_err(|e| self.put(e, inner)),
            None => self
                .by_dictionary(expr, scope)
                .unwrap_or_else(|| Err(self.cast_refusal(expr, &value, to))),
        }
    }

    fn cast_refusal(&self, expr: &Logical, value: &Expr, to: &DataType) -> SqlError {
        self.unsupported(
            expr,
            format!(
                "CAST from {} to {to} is not supported on secret values",
                numbers::sql_name(&value.ty)
            ),
            "casts between numbers that lose nothing are supported",
        )
    }
}

/// CASE of conditions and values (one more value than conditions), ENUMs under one dictionary.
fn choose(conditions: Vec<Expr>, values: Vec<Expr>) -> Built {
    let mut values = dictionary::harmonise(values);
    let Some(otherwise) = values.pop() else {
        return Err(defect("CASE without a value".into()));
    };
    build::case(conditions.into_iter().zip(values).collect(), otherwise)
}

/// An exact number as another number type; None where digits would be lost.
fn rescale(value: &Expr, to: &DataType) -> Result<Option<Expr>, SqlError> {
    let Type::Number { kind, low, high } = &value.ty else { return Ok(None) };
    let Some((tens, twos)) = scale(kind) else { return Ok(None) };
    let (target, places) = match to {
        DataType::Decimal128(precision, scale) => {
            let Ok(places) = u8::try_from(*scale) else { return Ok(None) };
            (NumberKind::Decimal { precision: *precision, scale: places }, u32::from(places))
        }
        DataType::Float64 if tens == 0 => {
            let more = DOUBLE_FRACTION_BITS.saturating_sub(twos);
            let target = NumberKind::Double { fraction_bits: twos + more };
            return build::times(value.clone(), 1 << more, target).map(Some);
        }
        DataType::Int8 | DataType::Int16 => (NumberKind::SmallInt, 0),
        DataType::Int32 => (NumberKind::Int, 0),
        DataType::Int64 => (NumberKind::BigInt, 0),
        DataType::UInt64 => (NumberKind::Decimal { precision: 20, scale: 0 }, 0),
        _ => return Ok(None),
    };
    if twos > 0 || places < tens {
        return Ok(None);
    }
    let factor = ten_to(places - tens).ok_or_else(overflow)?;
    let (low, high) = (low.checked_mul(factor), high.checked_mul(factor));
    if !fits(&target, low, high, to) {
        return Err(SqlError::new(
            sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("the cast to {to} could overflow: the public bounds of its operand are wider"),
        )
        .hint("declare a RANGE on the column, or cast to a wider type"));
    }
    if factor == 1 {
        return Ok(Some(build::retype(value.clone(), bounded(target, low, high)?)));
    }
    build::times(value.clone(), factor, target).map(Some)
}

/// Whether bounds lie within a type. A DECIMAL of the greatest precision takes all that a ring
/// takes: it comes from type coercion and says nothing of the data.
fn fits(kind: &NumberKind, low: Option<i128>, high: Option<i128>, to: &DataType) -> bool {
    let (Some(low), Some(high)) = (low, high) else { return false };
    let within = |l: i128, h: i128| low >= l && high <= h;
    match (kind, to) {
        (NumberKind::Decimal { precision, .. }, DataType::Decimal128(..)) => {
            *precision >= numbers::PRECISION_MAX
                || ten_to(u32::from(*precision)).is_some_and(|t| within(1 - t, t - 1))
        }
        (_, DataType::Int8) => within(i8::MIN.into(), i8::MAX.into()),
        (NumberKind::SmallInt, _) => within(i16::MIN.into(), i16::MAX.into()),
        (NumberKind::Int, _) => within(i32::MIN.into(), i32::MAX.into()),
        // Sums are BIGINT to DataFusion whatever their bounds; ours are exact and wider.
        _ => true,
    }
}

pub(crate) fn defect(what: String) -> SqlError {
    SqlError::new(sqlstate::INTERNAL_ERROR, what)
}

/// Whether an expression is a bare column.
pub(crate) const fn is_column(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Column(_))
}
