//! GROUP BY, DISTINCT and aggregates. Result types come from the input's public row bound.

mod bounds;
mod calls;
mod percentile;
mod regression;
mod statistics;
mod whole;

pub(super) use whole::{
    comparable_keys, count_not_null, counted, distinct_with_marker, extreme, with_marker,
};

pub(super) use calls::{Calls, Made, result};
pub(super) use statistics::Derived;

use bounds::{result_type, summable};

use super::Planner;
use super::build;
use super::determined::split_keys;
use super::distinct::distinct;
use super::grouping::{grouping_of, not_grouped};
use super::numbers;
use super::relation;
use super::scalar::{Scope, defect};
use crate::plan::{
    Aggregate, Expr, ExprKind, Field, Function, JoinKind, JoinMethod, Operator, Plan,
};
use crate::types::{NumberKind, Type};
use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::{Expr as Logical, logical_plan};
use trine_proto::status::SqlError;

/// Cells of a grouping without a sort, at most.
const CELLS_MAX: u128 = 4096;

impl Planner<'_> {
    pub(super) fn aggregate(&self, node: &logical_plan::Aggregate) -> Result<Plan, SqlError> {
        let input = self.relation(&node.input, false)?;
        let exprs = node.group_expr.iter().chain(&node.aggr_expr);
        let widened = self.with_subqueries(input, node.input.schema(), exprs)?;
        if let [Logical::GroupingSet(grouping)] = node.group_expr.as_slice() {
            return self.grouping_sets(node, grouping, widened);
        }
        for arguments in node.aggr_expr.iter().filter_map(grouping_of) {
            if arguments.iter().any(|a| !node.group_expr.contains(a)) {
                return Err(not_grouped().at(self.word("grouping")));
            }
        }
        let scope = widened.scope(node.input.schema());
        let mut keys = Vec::with_capacity(node.group_expr.len());
        for key in &node.group_expr {
            keys.push(self.scalar(key, &scope)?);
        }
        let rows = widened.plan.rows;
        let calls = self.calls(&node.aggr_expr, &scope, rows, keys.is_empty())?;
        let input = calls.ranked(widened.plan, &keys)?;
        let names: Vec<String> =
            node.schema.fields().iter().map(|f| relation::readable(f.name())).collect();
        if calls.are_plain() {
            return Ok(self.grouped(input, keys, calls.aggregates, &names));
        }
        let width = keys.len();
        let mut inner: Vec<String> = names.iter().take(width).cloned().collect();
        inner.extend((0..calls.aggregates.len()).map(|i| format!("part {i}")));
        let grouped = self.grouped(input, keys, calls.aggregates, &inner);
        let keys = grouped.fields.iter().take(width).enumerate();
        let mut exprs: Vec<Expr> = keys.map(|(i, f)| build::column(i, f)).collect();
        for made in &calls.results {
            exprs.push(match made {
                // Nothing is left out.
                Made::Grouping(_) => build::number(0, NumberKind::Int)?,
                Made::Parts(at, derived) => result((at, derived.as_deref()), &grouped, width)?,
            });
        }
        Ok(relation::project(grouped, exprs, names))
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
        if keys.is_empty() {
            let op = Operator::ScalarAggregate { input: Box::new(input), aggregates };
            return Plan { op, fields, rows: 1 };
        }
        let cells = cells(&keys).filter(|_| sums_only(&aggregates));
        let sorted = by_sort(input.clone(), &keys, &aggregates, &fields);
        let Some(cells) = cells else { return sorted };
        let op = Operator::SmallDomainAggregate { input: Box::new(input), keys, aggregates };
        let small = Plan { op, fields, rows: cells };
        crate::cost::cheaper(small, sorted, self.profile)
    }

    pub(super) fn one_aggregate(
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
        let argument = argument.map(|a| summable(function, a, rows)).transpose()?;
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
                        "the aggregates are COUNT, SUM, AVG, MIN, MAX, BOOL_AND, BOOL_OR, variances, standard deviations, covariances, CORR, the REGR functions, MEDIAN and percentiles",
                    )
                    .at(self.word(&name)));
            }
        };
        Ok((function, Some(value)))
    }

    /// Type coercion casts integers to DOUBLE for AVG; the exact integers are averaged.
    pub(super) fn avg_argument(
        &self,
        argument: &Logical,
        scope: &Scope<'_>,
    ) -> Result<Expr, SqlError> {
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
                if numbers::is_integer(kind)
                    || matches!(kind, NumberKind::Decimal { .. } | NumberKind::Double { .. })
        );
        if exact {
            return Ok(value);
        }
        Err(self.unsupported(
            argument,
            format!("AVG of {} is not supported", numbers::sql_name(&value.ty)),
            "take the average of numbers",
        ))
    }
}

/// By a sort of the keys that the others do not follow from.
fn by_sort(input: Plan, keys: &[Expr], aggregates: &[Aggregate], fields: &[Field]) -> Plan {
    let (needed, dropped) = split_keys(&input, keys);
    let grouped_by: Vec<Expr> = needed.iter().filter_map(|k| keys.get(*k).cloned()).collect();
    // Without aggregates the groups stay where they are among the rows: none may be cut off.
    let bare = aggregates.is_empty();
    let rows = if bare { input.rows } else { distinct(&input, &grouped_by) };
    let order: Vec<usize> = needed.iter().chain(&dropped).copied().collect();
    let all: Vec<usize> = order.iter().copied().chain(keys.len()..fields.len()).collect();
    let in_order = !bare && sums_only(aggregates);
    let merged = if in_order { merged(&input, &grouped_by) } else { None };
    let op = Operator::SortAggregate {
        presorted: merged.is_some() || (in_order && stands_together(&input, &grouped_by)),
        input: Box::new(merged.unwrap_or(input)),
        keys: order.iter().filter_map(|k| keys.get(*k).cloned()).collect(),
        determined: u32::try_from(dropped.len()).unwrap_or(0),
        aggregates: aggregates.to_vec(),
    };
    let fields = all.iter().filter_map(|f| fields.get(*f).cloned()).collect();
    let sorted = Plan { op, fields, rows };
    let places: Vec<usize> =
        (0..all.len()).filter_map(|f| all.iter().position(|have| *have == f)).collect();
    relation::picked(sorted, &places)
}

/// Whether a window below has sorted the rows by these keys, those that are not valid last.
fn stands_together(input: &Plan, keys: &[Expr]) -> bool {
    matches!(&input.op, Operator::Window { partition, .. } if partition == keys && !keys.is_empty())
}

/// The input with the join below it left in the order of its key, if that is what is grouped by.
fn merged(input: &Plan, keys: &[Expr]) -> Option<Plan> {
    match &input.op {
        Operator::Project { input: below, exprs } => {
            let below_keys: Vec<Expr> = keys
                .iter()
                .map(|k| exprs.get(bare(k)?).filter(|e| bare(e).is_some()).cloned())
                .collect::<Option<_>>()?;
            let below = merged(below, &below_keys)?;
            let rows = below.rows;
            let op = Operator::Project { input: Box::new(below), exprs: exprs.clone() };
            Some(Plan { op, rows, fields: input.fields.clone() })
        }
        Operator::UniqueKeyJoin {
            kind: JoinKind::Inner,
            residual: None,
            method: JoinMethod::Sort,
            many,
            unique,
            many_keys,
            unique_keys,
        } => {
            let width = many.fields.len();
            let mut joined_by: Vec<(Option<usize>, Option<usize>)> = many_keys
                .iter()
                .zip(unique_keys)
                .map(|(m, u)| (build::plain_column(m), build::plain_column(u).map(|c| c + width)))
                .collect();
            for key in keys {
                let column = bare(key);
                column?;
                joined_by.iter().position(|(m, u)| *m == column || *u == column)?;
            }
            joined_by.retain(|(m, u)| !keys.iter().any(|k| bare(k) == *m || bare(k) == *u));
            let rows = many.rows.checked_add(unique.rows).filter(|_| joined_by.is_empty())?;
            let mut plan = Plan { rows, ..input.clone() };
            if let Operator::UniqueKeyJoin { method, .. } = &mut plan.op {
                *method = JoinMethod::Merge;
            }
            Some(plan)
        }
        _ => None,
    }
}

const fn bare(expr: &Expr) -> Option<usize> {
    match &expr.kind {
        ExprKind::Column(index) => Some(*index),
        _ => None,
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
pub(super) fn sums_only(aggregates: &[Aggregate]) -> bool {
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
