//! GROUP BY, DISTINCT and aggregates. Result types come from the input's public row bound.

use super::Planner;
use super::build;
use super::dictionary;
use super::numbers::{self, BOUND_MAX, PRECISION_MAX, bounded, overflow, ten_to};
use super::relation::{self, narrowed};
use super::scalar::{Scope, defect};
use crate::plan::{Aggregate, Expr, Field, Function, Literal, Operator, Plan};
use crate::types::{DOUBLE_FRACTION_BITS, NumberKind, Type};
use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::{Expr as Logical, logical_plan};
use trine_proto::status::{SqlError, sqlstate};

/// Digits that AVG adds to the scale of a DECIMAL.
const AVG_DIGITS: u8 = 4;
/// Cells of a grouping without a sort, at most.
const CELLS_MAX: u128 = 4096;

impl Planner<'_> {
    pub(super) fn aggregate(&self, node: &logical_plan::Aggregate) -> Result<Plan, SqlError> {
        let input = self.relation(&node.input, false)?;
        let exprs = node.group_expr.iter().chain(&node.aggr_expr);
        let widened = self.with_subqueries(input, exprs)?;
        let scope = widened.scope(node.input.schema());
        let mut keys = Vec::with_capacity(node.group_expr.len());
        for key in &node.group_expr {
            if matches!(key, Logical::GroupingSet(_)) {
                return Err(SqlError::unsupported(
                    "GROUPING SETS, CUBE and ROLLUP are not supported",
                    "combine several GROUP BY queries with UNION ALL",
                ));
            }
            keys.push(self.scalar(key, &scope)?);
        }
        let mut aggregates = Vec::with_capacity(node.aggr_expr.len());
        for expr in &node.aggr_expr {
            aggregates.push(self.one_aggregate(
                expr,
                &scope,
                widened.plan.rows,
                keys.is_empty(),
            )?);
        }
        let names: Vec<String> =
            node.schema.fields().iter().map(|f| relation::readable(f.name())).collect();
        Ok(self.grouped(widened.plan, keys, aggregates, &names))
    }

    /// SELECT DISTINCT of all columns.
    pub(super) fn distinct_rows(&self, input: Plan) -> Result<Plan, SqlError> {
        let keys: Vec<Expr> =
            input.fields.iter().enumerate().map(|(i, f)| build::column(i, f)).collect();
        let names: Vec<String> = input.fields.iter().map(|f| f.name.clone()).collect();
        Ok(self.grouped(input, keys, Vec::new(), &names))
    }

    /// The cheapest operator that groups.
    pub(super) fn grouped(
        &self,
        input: Plan,
        keys: Vec<Expr>,
        aggregates: Vec<Aggregate>,
        names: &[String],
    ) -> Plan {
        let fields: Vec<Field> = keys
            .iter()
            .map(|k| (k.ty.clone(), k.nullable))
            .chain(aggregates.iter().map(|a| (a.ty.clone(), a.nullable)))
            .zip(names)
            .map(|((ty, nullable), name)| Field { name: name.clone(), ty, nullable })
            .collect();
        let rows = input.rows;
        if keys.is_empty() {
            let op = Operator::ScalarAggregate { input: Box::new(input), aggregates };
            return Plan { op, fields, rows: 1 };
        }
        let cells = cells(&keys).filter(|_| sums_only(&aggregates));
        let sorted = Plan {
            op: Operator::SortAggregate {
                input: Box::new(input.clone()),
                keys: keys.clone(),
                aggregates: aggregates.clone(),
            },
            fields: fields.clone(),
            rows,
        };
        let Some(cells) = cells else { return sorted };
        let op = Operator::SmallDomainAggregate { input: Box::new(input), keys, aggregates };
        let small = Plan { op, fields, rows: cells };
        crate::cost::cheaper(small, sorted, self.profile)
    }

    fn one_aggregate(
        &self,
        expr: &Logical,
        scope: &Scope<'_>,
        rows: u64,
        whole: bool,
    ) -> Result<Aggregate, SqlError> {
        let call = match expr {
            Logical::AggregateFunction(call) => call,
            Logical::Alias(alias) => return self.one_aggregate(&alias.expr, scope, rows, whole),
            other => return Err(defect(format!("{other} is no aggregate"))),
        };
        let params = &call.params;
        if !params.order_by.is_empty() || params.null_treatment.is_some() {
            return Err(self.unsupported(
                expr,
                "ORDER BY inside an aggregate is not supported",
                "leave the clause out",
            ));
        }
        let filter = match &params.filter {
            Some(filter) => Some(self.condition(filter, scope)?),
            None => None,
        };
        let (function, argument) = self.function(expr, call, scope)?;
        let distinct = params.distinct && !matches!(function, Function::Min | Function::Max);
        if distinct && !matches!(function, Function::Count | Function::Sum) {
            return Err(self.unsupported(
                expr,
                format!("{}(DISTINCT …) is not supported", call.func.name()),
                "aggregate over a subquery with SELECT DISTINCT",
            ));
        }
        let contributes = argument.as_ref().is_none_or(|a| !a.nullable) && filter.is_none();
        let ty = result_type(function, argument.as_ref(), rows).map_err(|e| self.put(e, expr))?;
        let counts = matches!(function, Function::CountStar | Function::Count);
        let nullable = !counts && (whole || !contributes);
        Ok(Aggregate { function, argument, filter, distinct, ty, nullable })
    }

    fn function(
        &self,
        expr: &Logical,
        call: &AggregateFunction,
        scope: &Scope<'_>,
    ) -> Result<(Function, Option<Expr>), SqlError> {
        let name = call.func.name().to_lowercase();
        let args = call.params.args.as_slice();
        let [argument] = args else {
            if name == "count" && args.is_empty() {
                return Ok((Function::CountStar, None));
            }
            return Err(self.unsupported(
                expr,
                format!("{name} of several columns is not supported"),
                "give it one argument",
            ));
        };
        if name == "count" && !call.params.distinct && is_constant(argument) {
            return Ok((Function::CountStar, None));
        }
        if name == "avg" {
            return Ok((Function::Avg, Some(self.avg_argument(argument, scope)?)));
        }
        let value = self.scalar(argument, scope)?;
        let function = match name.as_str() {
            "count" if !value.nullable && !call.params.distinct => {
                return Ok((Function::CountStar, None));
            }
            "count" => Function::Count,
            "sum" => Function::Sum,
            "min" => Function::Min,
            "max" => Function::Max,
            "bool_and" => Function::BoolAnd,
            "bool_or" => Function::BoolOr,
            _ => {
                return Err(self
                    .unsupported(
                        expr,
                        format!("aggregate {name} is not supported"),
                        "the aggregates are COUNT, SUM, AVG, MIN, MAX, BOOL_AND and BOOL_OR",
                    )
                    .at(self.word(&name)));
            }
        };
        Ok((function, Some(value)))
    }

    /// Type coercion casts integers to DOUBLE for AVG; the exact integers are averaged.
    fn avg_argument(&self, argument: &Logical, scope: &Scope<'_>) -> Result<Expr, SqlError> {
        let inner = match argument {
            Logical::Cast(cast) if matches!(cast.field.data_type(), DataType::Float64) => {
                &cast.expr
            }
            other => other,
        };
        let mut value = self.scalar(inner, scope)?;
        // An integer that may leave 64 bits is a DECIMAL by its bounds, but its average is that of
        // an integer.
        if let (
            Logical::Cast(_),
            Type::Number { kind: NumberKind::Decimal { scale: 0, .. }, low, high },
        ) = (argument, &value.ty)
        {
            let ty = Type::Number { kind: NumberKind::BigInt, low: *low, high: *high };
            value = build::retype(value, ty);
        }
        let exact = matches!(
            &value.ty,
            Type::Number { kind, .. }
                if numbers::is_integer(kind) || matches!(kind, NumberKind::Decimal { .. })
        );
        if exact {
            return Ok(value);
        }
        Err(self.unsupported(
            argument,
            format!("AVG of {} is not supported", numbers::sql_name(&value.ty)),
            "take the average of integers or of a DECIMAL",
        ))
    }
}

fn is_constant(expr: &Logical) -> bool {
    match expr {
        Logical::Literal(value, _) => !value.is_null() && !matches!(value, ScalarValue::Null),
        Logical::Alias(alias) => is_constant(&alias.expr),
        _ => false,
    }
}

/// COUNT, SUM and AVG of all rows: what needs no order.
fn sums_only(aggregates: &[Aggregate]) -> bool {
    aggregates.iter().all(|a| !a.distinct && !matches!(a.function, Function::Min | Function::Max))
}

/// Product of the keys' public domains, NULL included; None where a key is wide.
fn cells(keys: &[Expr]) -> Option<u64> {
    let mut cells = 1_u128;
    for key in keys {
        let values: u128 = match &key.ty {
            Type::Boolean => 2,
            Type::Number { low, high, .. } => high.wrapping_sub(*low).unsigned_abs() + 1,
            Type::Text { .. } => return None,
        };
        cells = cells.checked_mul(values + u128::from(key.nullable))?;
        if cells > CELLS_MAX {
            return None;
        }
    }
    u64::try_from(cells).ok()
}

/// Type with bounds of an aggregate over at most `rows` rows.
fn result_type(function: Function, argument: Option<&Expr>, rows: u64) -> Result<Type, SqlError> {
    let rows = i128::from(rows);
    let wrong = |name: &str, ty: &Type| {
        SqlError::new(
            sqlstate::DATATYPE_MISMATCH,
            format!("{name} of {} does not exist", numbers::sql_name(ty)),
        )
        .hint("give it a number")
    };
    match (function, argument) {
        (Function::CountStar | Function::Count, _) => {
            bounded(NumberKind::BigInt, Some(0), Some(rows))
        }
        (Function::Min | Function::Max, Some(value)) => Ok(value.ty.clone()),
        (Function::BoolAnd | Function::BoolOr, Some(value)) => match value.ty {
            Type::Boolean => Ok(Type::Boolean),
            _ => Err(wrong("BOOL_AND", &value.ty)),
        },
        (Function::Sum, Some(value)) => {
            let Type::Number { kind, low, high } = &value.ty else {
                return Err(wrong("SUM", &value.ty));
            };
            if numbers::scale(kind).is_none() {
                return Err(wrong("SUM", &value.ty));
            }
            let (low, high) = total(*low, *high, rows);
            let kind = match kind {
                NumberKind::Decimal { precision, scale } => NumberKind::Decimal {
                    precision: precision.saturating_add(10).min(PRECISION_MAX),
                    scale: *scale,
                },
                kind if numbers::is_integer(kind) => NumberKind::BigInt,
                other => other.clone(),
            };
            bounded(kind, low, high)
        }
        (Function::Avg, Some(value)) => average(value, rows),
        (_, None) => Err(defect("an aggregate without its argument".into())),
    }
}

/// Bounds of a sum of 0 to `rows` numbers.
fn total(low: i128, high: i128, rows: i128) -> (Option<i128>, Option<i128>) {
    (low.min(0).checked_mul(rows), high.max(0).checked_mul(rows))
}

/// The quotient has the argument's bounds under a finer scale; the dividend must fit as well.
fn average(value: &Expr, rows: i128) -> Result<Type, SqlError> {
    let Type::Number { kind, low, high } = &value.ty else {
        return Err(defect("AVG of no number".into()));
    };
    let (factor, result) = match kind {
        NumberKind::Decimal { precision, scale } => {
            let scale = scale
                .checked_add(AVG_DIGITS)
                .filter(|s| *s <= PRECISION_MAX)
                .ok_or_else(overflow)?;
            let precision = precision.saturating_add(AVG_DIGITS).min(PRECISION_MAX);
            (
                ten_to(u32::from(AVG_DIGITS)).ok_or_else(overflow)?,
                NumberKind::Decimal { precision, scale },
            )
        }
        _ => (
            1_i128 << DOUBLE_FRACTION_BITS,
            NumberKind::Double { fraction_bits: DOUBLE_FRACTION_BITS },
        ),
    };
    let (sum_low, sum_high) = total(*low, *high, rows);
    for bound in [sum_low, sum_high] {
        let fits = bound
            .and_then(|b| b.checked_mul(factor))
            .is_some_and(|b| (-BOUND_MAX..=BOUND_MAX).contains(&b));
        if !fits {
            return Err(overflow());
        }
    }
    bounded(result, low.checked_mul(factor), high.checked_mul(factor))
}

/// Whether any row of a relation is valid, and how many: columns (count) of one row.
pub(super) fn counted(input: Plan, extra: Vec<Aggregate>) -> Result<Plan, SqlError> {
    let ty = bounded(NumberKind::BigInt, Some(0), Some(i128::from(input.rows)))?;
    let star = Aggregate {
        function: Function::CountStar,
        argument: None,
        filter: None,
        distinct: false,
        ty,
        nullable: false,
    };
    let aggregates: Vec<Aggregate> = std::iter::once(star).chain(extra).collect();
    let name = |a: &Aggregate| match a.function {
        Function::Min => "min",
        Function::Max => "max",
        _ => "count",
    };
    let fields = aggregates
        .iter()
        .map(|a| Field { name: name(a).into(), ty: a.ty.clone(), nullable: a.nullable })
        .collect();
    Ok(Plan {
        op: Operator::ScalarAggregate { input: Box::new(input), aggregates },
        fields,
        rows: 1,
    })
}

/// The distinct values of a key, with a column that is always TRUE behind them.
pub(super) fn distinct_with_marker(planner: &Planner<'_>, input: Plan, keys: Vec<Expr>) -> Plan {
    let width = keys.len();
    let names: Vec<String> = (0..width).map(|i| format!("key{i}")).collect();
    let grouped = planner.grouped(input, keys, Vec::new(), &names);
    let grouped = narrowed(grouped, width);
    with_marker(grouped)
}

/// A column that is always TRUE behind the others.
pub(super) fn with_marker(input: Plan) -> Plan {
    let mut exprs: Vec<Expr> =
        input.fields.iter().enumerate().map(|(i, f)| build::column(i, f)).collect();
    exprs.push(build::boolean(true));
    let names: Vec<String> =
        input.fields.iter().map(|f| f.name.clone()).chain(["marker".to_owned()]).collect();
    relation::project(input, exprs, names)
}

/// MIN or MAX of an expression as an aggregate of a whole relation.
pub(super) fn extreme(function: Function, argument: Expr) -> Aggregate {
    let ty = argument.ty.clone();
    Aggregate {
        function,
        argument: Some(argument),
        filter: None,
        distinct: false,
        ty,
        nullable: true,
    }
}

/// COUNT of the rows in which none of the key's columns is NULL.
pub(super) fn count_not_null(keys: &[Expr], rows: u64) -> Result<Aggregate, SqlError> {
    let present = build::and(keys.iter().map(|k| build::not(build::is_null(k.clone()))).collect());
    Ok(Aggregate {
        function: Function::CountStar,
        argument: None,
        filter: Some(present)
            .filter(|p| !matches!(build::literal(p), Some(Literal::Boolean(true)))),
        distinct: false,
        ty: bounded(NumberKind::BigInt, Some(0), Some(i128::from(rows)))?,
        nullable: false,
    })
}

/// Whether two keys can be compared value by value: used where dictionaries differ.
pub(super) fn comparable_keys(a: Expr, b: Expr) -> Result<(Expr, Expr), SqlError> {
    let mut pair = dictionary::harmonise(vec![a, b]).into_iter();
    match (pair.next(), pair.next()) {
        (Some(x), Some(y)) => build::comparable(x, y),
        _ => Err(defect("a join key lost a side".into())),
    }
}
