//! Scalar expressions: DataFusion's to ours, with types, bounds and scales.

use super::build::{self, Arithmetic};
use super::literals::{self, Interval};
use super::numbers::{self, scale};
use super::{Planner, date, dictionary, timestamp};
use crate::plan::{Compare, Expr, ExprKind, Field};
use crate::types::{NumberKind, Type};
use arrow::datatypes::DataType;
use datafusion_common::{Column, DFSchema};
use datafusion_expr::expr::{Between, Case};
use datafusion_expr::logical_plan::Subquery;
use datafusion_expr::{BinaryExpr, Expr as Logical, ExprSchemable, Operator};
use trine_proto::status::{SqlError, sqlstate};

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
                    .ok_or_else(|| self.missing(column))?;
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
            Logical::IsTrue(inner)
            | Logical::IsNotTrue(inner)
            | Logical::IsFalse(inner)
            | Logical::IsNotFalse(inner)
            | Logical::IsUnknown(inner)
            | Logical::IsNotUnknown(inner) => Ok(truth_test(expr, self.condition(inner, scope)?)),
            Logical::Negative(inner) => build::negate(self.scalar(inner, scope)?),
            Logical::Between(between) => self.between(between, scope),
            Logical::Case(case) => self.case(case, scope),
            Logical::Cast(cast) => self.cast(expr, &cast.expr, cast.field.data_type(), scope),
            Logical::InList(list) => self.in_list(list, scope),
            Logical::Like(like) => self.like(expr, like, scope),
            Logical::ScalarFunction(call) => self.call(expr, call.name(), &call.args, scope),
            Logical::ScalarSubquery(subquery) => self.beside(expr, subquery, scope),
            Logical::Exists(exists) => self.beside(expr, &exists.subquery, scope),
            Logical::InSubquery(list) => self.beside(expr, &list.subquery, scope),
            Logical::OuterReferenceColumn(..) | Logical::SetComparison(_) => {
                Err(self.correlated(expr))
            }
            other => self.by_dictionary(other, scope).unwrap_or_else(|| {
                Err(self.unsupported(
                    other,
                    format!("the expression {other} is not supported"),
                    "write it with + - * / %, comparisons, AND, OR, NOT, CASE, IN or BETWEEN",
                ))
            }),
        }
    }

    /// ORDER BY of a set operation may name its columns only, and nothing below it.
    fn missing(&self, column: &Column) -> SqlError {
        match &column.relation {
            Some(relation) => {
                let table = relation.table();
                let message = format!("missing FROM-clause entry for table \"{table}\"");
                SqlError::new(sqlstate::UNDEFINED_TABLE, message).at(self.word(table))
            }
            None => defect(format!("column {column} is not in its relation")),
        }
    }

    /// The column of a scalar subquery that stands beside the rows.
    fn beside(&self, expr: &Logical, subquery: &Subquery, scope: &Scope<'_>) -> Built {
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
        let field =
            scope.fields.get(index).ok_or_else(|| defect("a subquery has no column".into()))?;
        Ok(build::column(index, field))
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
            Operator::Divide | Operator::Modulo => {
                let whole = [left, right].map(|e| is_whole(e, scope));
                let (x, y) = (self.scalar(left, scope)?, self.scalar(right, scope)?);
                let (x, y) = if whole == [true; 2] { (integer(x), integer(y)) } else { (x, y) };
                let make = if *op == Operator::Divide { build::divide } else { build::modulo };
                make(x, y).map_err(|e| self.put(e, expr))
            }
            Operator::StringConcat => self
                .by_dictionary(expr, scope)
                .or_else(|| self.concatenation(left, right, scope))
                .unwrap_or_else(|| {
                    Err(self.unsupported(
                        expr,
                        "|| is supported on texts only",
                        "concatenate VARCHAR and ENUM columns and constants",
                    ))
                }),
            other => self.by_dictionary(expr, scope).unwrap_or_else(|| {
                Err(self.unsupported(
                    expr,
                    format!("operator {other} is not supported on secret values"),
                    "the operators are + - * / %, comparisons, AND, OR and NOT",
                ))
            }),
        }
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
            && let Some(shift) = literals::interval(value)
        {
            return self.shift_date(expr, op, left, shift, scope);
        }
        if let Logical::Literal(value, _) = left
            && op == Arithmetic::Add
            && let Some(shift) = literals::interval(value)
        {
            return self.shift_date(expr, op, right, shift, scope);
        }
        let (x, y) = (self.scalar(left, scope)?, self.scalar(right, scope)?);
        build::arithmetic(op, x, y).map_err(|e| self.put(e, expr))
    }

    /// DATE ± INTERVAL: months first, to the last day of a shorter month, then days.
    fn shift_date(
        &self,
        expr: &Logical,
        op: Arithmetic,
        date: &Logical,
        shift: Interval,
        scope: &Scope<'_>,
    ) -> Built {
        let date = self.scalar(date, scope)?;
        let sign = if op == Arithmetic::Subtract { -1 } else { 1 };
        let Interval { months, days, micros } = shift;
        if timestamp::is_timestamp(&date) {
            let moved = timestamp::shifted(date, sign * months, sign * days, sign * micros);
            let moved = moved.ok_or_else(|| {
                self.unsupported(
                    expr,
                    "months cannot be added to a TIMESTAMP of so many years",
                    "declare a RANGE on the column, or add days",
                )
            })?;
            return moved.map_err(|e| self.put(e, expr));
        }
        let is_date = matches!(date.ty, Type::Number { kind: NumberKind::Date, .. });
        if !is_date || micros != 0 {
            return Err(self.unsupported(
                expr,
                "only months and whole days can be added to a DATE",
                "write INTERVAL 'n' DAY, or move the interval to the constant side",
            ));
        }
        let moved = if months == 0 {
            date
        } else {
            let moved = date::add_months(date, sign * months).ok_or_else(|| {
                self.unsupported(
                    expr,
                    "months cannot be added to a DATE of so many years",
                    "declare a RANGE on the column, or add days",
                )
            })?;
            moved.map_err(|e| self.put(e, expr))?
        };
        if days == 0 {
            return Ok(moved);
        }
        let days = build::number(sign * days, NumberKind::BigInt)?;
        build::arithmetic(Arithmetic::Add, moved, days).map_err(|e| self.put(e, expr))
    }

    pub(super) fn compare(
        &self,
        op: Compare,
        left: &Logical,
        right: &Logical,
        scope: &Scope<'_>,
    ) -> Built {
        let (x, y) = (self.exact(left, scope)?, self.exact(right, scope)?);
        dictionary::compare(op, x, y).map_err(|e| self.put(e, left))
    }

    /// Under a comparison a cast of an exact number to DOUBLE is not needed: scales are matched.
    pub(super) fn exact(&self, expr: &Logical, scope: &Scope<'_>) -> Built {
        if let Logical::Cast(cast) = expr
            && matches!(cast.field.data_type(), DataType::Float64)
        {
            let inner = self.scalar(&cast.expr, scope)?;
            if matches!(&inner.ty, Type::Number { kind, .. } if scale(kind).is_some()) {
                return Ok(inner);
            }
        }
        // So does the coercion of a DOUBLE beside a DECIMAL constant.
        if let Logical::Cast(cast) = expr
            && matches!(cast.field.data_type(), DataType::Decimal128(30, 15))
        {
            let inner = self.scalar(&cast.expr, scope)?;
            if matches!(inner.ty, Type::Number { kind: NumberKind::Double { .. }, .. }) {
                return Ok(inner);
            }
        }
        self.scalar(expr, scope)
    }

    /// left IS NOT DISTINCT FROM right.
    fn distinct(&self, left: &Logical, right: &Logical, scope: &Scope<'_>) -> Built {
        build::bind(vec![self.exact(left, scope)?, self.exact(right, scope)?], |values| {
            let [x, y] = values else { return Err(defect("a comparison lost a side".into())) };
            let equal = build::is_true(dictionary::compare(Compare::Eq, x.clone(), y.clone())?);
            let both = build::and(vec![build::is_null(x.clone()), build::is_null(y.clone())]);
            Ok(build::or(vec![equal, both]))
        })
        .map_err(|e| self.put(e, left))
    }

    fn between(&self, between: &Between, scope: &Scope<'_>) -> Built {
        let (low, high) = (self.exact(&between.low, scope)?, self.exact(&between.high, scope)?);
        let within = build::bind(vec![self.exact(&between.expr, scope)?], |values| {
            let [x] = values else { return Err(defect("BETWEEN without a value".into())) };
            Ok(build::and(vec![
                dictionary::compare(Compare::Ge, x.clone(), low)?,
                dictionary::compare(Compare::Le, x.clone(), high)?,
            ]))
        })
        .map_err(|e| self.put(e, &between.expr))?;
        Ok(if between.negated { build::not(within) } else { within })
    }

    fn case(&self, case: &Case, scope: &Scope<'_>) -> Built {
        let mut whens = Vec::with_capacity(case.when_then_expr.len());
        let mut values = Vec::with_capacity(case.when_then_expr.len() + 1);
        for (when, then) in &case.when_then_expr {
            whens.push(match &case.expr {
                Some(_) => self.exact(when, scope)?,
                None => self.condition(when, scope)?,
            });
            values.push(self.scalar(then, scope)?);
        }
        values.push(match &case.else_expr {
            Some(otherwise) => self.scalar(otherwise, scope)?,
            None => build::null(Type::Text { bytes: 1 }),
        });
        let Some(operand) = &case.expr else { return choose(whens, values) };
        build::bind(vec![self.exact(operand, scope)?], |bound| {
            let [operand] = bound else { return Err(defect("CASE without a value".into())) };
            let conditions = whens
                .into_iter()
                .map(|when| dictionary::compare(Compare::Eq, operand.clone(), when))
                .collect::<Result<Vec<Expr>, SqlError>>()?;
            choose(conditions, values)
        })
        .map_err(|e| self.put(e, operand))
    }

    pub(super) fn all(&self, exprs: &[Logical], scope: &Scope<'_>) -> Result<Vec<Expr>, SqlError> {
        exprs.iter().map(|e| self.scalar(e, scope)).collect()
    }
}

/// Whether SQL says that an expression is an integer.
fn is_whole(expr: &Logical, scope: &Scope<'_>) -> bool {
    expr.get_type(scope.schema).is_ok_and(|ty| ty.is_integer())
}

/// An integer that by its bounds has become a DECIMAL is divided as an integer.
fn integer(expr: Expr) -> Expr {
    match expr.ty {
        Type::Number { kind: NumberKind::Decimal { scale: 0, .. }, low, high } => {
            build::retype(expr, Type::Number { kind: NumberKind::BigInt, low, high })
        }
        _ => expr,
    }
}

/// IS [NOT] TRUE, FALSE, UNKNOWN of a condition.
fn truth_test(test: &Logical, condition: Expr) -> Expr {
    match test {
        Logical::IsTrue(_) => build::is_true(condition),
        Logical::IsNotTrue(_) => build::not(build::is_true(condition)),
        Logical::IsFalse(_) => build::is_true(build::not(condition)),
        Logical::IsNotFalse(_) => build::not(build::is_true(build::not(condition))),
        Logical::IsUnknown(_) => build::is_null(condition),
        _ => build::not(build::is_null(condition)),
    }
}

/// CASE of conditions and values (one more value than conditions), ENUMs under one dictionary.
pub(super) fn choose(conditions: Vec<Expr>, values: Vec<Expr>) -> Built {
    let mut values = dictionary::harmonise(values);
    let Some(otherwise) = values.pop() else {
        return Err(defect("CASE without a value".into()));
    };
    build::case(conditions.into_iter().zip(values).collect(), otherwise)
}

pub(crate) fn defect(what: String) -> SqlError {
    SqlError::new(sqlstate::INTERNAL_ERROR, what)
}

/// Whether an expression is a bare column.
pub(crate) const fn is_column(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Column(_))
}
