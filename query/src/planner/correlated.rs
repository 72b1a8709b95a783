//! Subqueries that DataFusion leaves where they are: scalar ones and EXISTS and IN, correlated by any
//! condition. Each becomes a column beside the outer rows, computed over all pairs of an outer and an
//! inner row, where a public bound keeps their number small.

use super::aggregate::extreme;
use super::build;
use super::join::{any, found, paired};
use super::numbers::bounded;
use super::relation::project;
use super::scalar::{Scope, defect};
use super::{Planner, check_rows};
use crate::frontend::ONLY_VALUE;
use crate::plan::{Aggregate, Compare, Expr, Failure, Field, Function, Operator, Plan};
use crate::types::NumberKind;
use arrow::datatypes::FieldRef;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, JoinType, ScalarValue, TableReference};
use datafusion_expr::logical_plan::{self, Subquery};
use datafusion_expr::{Expr as Logical, LogicalPlan};
use std::collections::HashMap;
use trine_proto::status::SqlError;

/// Qualifier of outer columns inside a subquery.
const OUTER: &str = "__trine_outer";

/// The rows that a subquery stands beside.
struct Outer<'a> {
    schema: &'a DFSchema,
    plan: Plan,
}

/// The relation below a subquery's own conditions, and what those and its columns are over pairs of an
/// outer and an inner row.
struct Inner {
    right: Plan,
    columns: Vec<Expr>,
    conditions: Vec<Expr>,
}

impl Planner<'_> {
    /// The outer rows with the subquery's value as one more column.
    pub(super) fn correlated_value(
        &self,
        expr: &Logical,
        outer: Plan,
        schema: &DFSchema,
    ) -> Result<Plan, SqlError> {
        let outer = Outer { schema, plan: outer };
        match expr {
            Logical::ScalarSubquery(subquery) => self.correlated_scalar(subquery, outer),
            Logical::Exists(exists) => {
                let inner = self.peeled(body(&exists.subquery.subquery), &outer)?;
                let condition = build::and(inner.conditions);
                let (plan, there) = found(outer.plan, inner.right, condition)
                    .ok_or_else(|| self.correlated(expr))?;
                let there = if exists.negated { build::not(there) } else { there };
                Ok(with_value(plan, there))
            }
            Logical::InSubquery(list) => {
                let inner = self.peeled(body(&list.subquery.subquery), &outer)?;
                let scope =
                    Scope { schema: outer.schema, fields: &outer.plan.fields, subqueries: &[] };
                let value = self.scalar(&list.expr, &scope)?;
                let Some(member) = inner.columns.into_iter().next() else {
                    return Err(defect("IN of a relation without columns".into()));
                };
                let (x, y) = super::aggregate::comparable_keys(value, member)
                    .map_err(|e| self.put(e, &list.expr))?;
                let equal = super::dictionary::compare(Compare::Eq, x, y)?;
                let listed = Some(build::and(inner.conditions));
                let (plan, value) = any(outer.plan, inner.right, listed, equal)
                    .ok_or_else(|| self.correlated(expr))?;
                let value = if list.negated { build::not(value) } else { value };
                Ok(with_value(plan, value))
            }
            other => Err(self.correlated(other)),
        }
    }

    /// An aggregate without GROUP BY over pairs, and what the select list makes of it.
    fn correlated_scalar(&self, subquery: &Subquery, outer: Outer<'_>) -> Result<Plan, SqlError> {
        let refused = || match subquery.outer_ref_columns.first() {
            Some(column) => self.correlated(column),
            None => defect("a correlated subquery without an outer column".into()),
        };
        let mut above: Vec<&logical_plan::Projection> = Vec::new();
        let mut node = subquery.subquery.as_ref();
        let aggregate = loop {
            match node {
                LogicalPlan::Projection(projection) => {
                    above.push(projection);
                    node = &projection.input;
                }
                LogicalPlan::SubqueryAlias(alias) => node = &alias.input,
                LogicalPlan::Subquery(inner) => node = &inner.subquery,
                LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
                    break aggregate;
                }
                _ => return Err(refused()),
            }
        };
        let inner = self.peeled(&aggregate.input, &outer)?;
        let width = outer.plan.fields.len();
        let rows = inner.right.rows;
        let mut aggregates: Vec<Aggregate> = Vec::with_capacity(aggregate.aggr_expr.len());
        let (schema, fields) = self.pair_scope(aggregate.input.schema(), &inner.columns, &outer)?;
        let by = pair_columns(&outer, &inner.columns);
        let mut checked = false;
        for expr in &aggregate.aggr_expr {
            let expr = inward(expr, outer.schema)?;
            let scope = Scope { schema: &schema, fields: &fields, subqueries: &[] };
            if let Some(value) = only_value(&expr) {
                let value = build::replaced(&self.scalar(value, &scope)?, &by);
                let bound = i128::from(rows);
                aggregates.push(extreme(Function::Max, value));
                aggregates.push(Aggregate {
                    function: Function::CountStar,
                    argument: None,
                    filter: None,
                    distinct: false,
                    ty: bounded(NumberKind::BigInt, Some(0), Some(bound))?,
                    nullable: false,
                });
                checked = true;
                continue;
            }
            let mut one = self.one_aggregate(&expr, &scope, rows, true)?;
            one.argument = one.argument.map(|a| build::replaced(&a, &by));
            one.filter = one.filter.map(|f| build::replaced(&f, &by));
            if one.distinct {
                return Err(refused());
            }
            aggregates.push(one);
        }
        let names: Vec<String> = (0..aggregates.len()).map(|i| format!("aggregate{i}")).collect();
        let condition = Some(build::and(inner.conditions));
        let Outer { schema: outer_schema, plan } = outer;
        let plan = paired(plan, inner.right, condition, aggregates, &names).ok_or_else(refused)?;
        // What the projections above make of the aggregates, from the inside out.
        let mut columns: Vec<Expr> =
            plan.fields.iter().enumerate().skip(width).map(|(i, f)| build::column(i, f)).collect();
        if let (true, [value, count]) = (checked, columns.as_slice()) {
            let one = build::number(1, NumberKind::BigInt)?;
            let several = build::compare(Compare::Gt, count.clone(), one)?;
            columns = vec![build::checked(value.clone(), several, Failure::SeveralRows)];
        }
        let rows = Outer { schema: outer_schema, plan: plan.clone() };
        for projection in above.into_iter().rev() {
            let input = projection.input.schema();
            let mut next = Vec::with_capacity(projection.expr.len());
            for expr in &projection.expr {
                next.push(self.inner_expr(expr, input, &columns, &rows, true)?);
            }
            columns = next;
        }
        let value = columns.into_iter().next().ok_or_else(refused)?;
        Ok(with_value(plan, value))
    }

    /// Peels conditions and projections off a subquery, down to what does not look outside.
    fn peeled(&self, plan: &LogicalPlan, outer: &Outer<'_>) -> Result<Inner, SqlError> {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => self.peeled(&alias.input, outer),
            LogicalPlan::Subquery(subquery) => self.peeled(&subquery.subquery, outer),
            LogicalPlan::Filter(filter) if looks_outside(plan) => {
                let mut inner = self.peeled(&filter.input, outer)?;
                let schema = filter.input.schema();
                let condition =
                    self.inner_expr(&filter.predicate, schema, &inner.columns, outer, false)?;
                inner.conditions.push(condition);
                Ok(inner)
            }
            LogicalPlan::Limit(limit) if is_fence(limit) => self.peeled(&limit.input, outer),
            LogicalPlan::Projection(projection) if looks_outside(plan) => {
                let inner = self.peeled(&projection.input, outer)?;
                let schema = projection.input.schema();
                let mut columns = Vec::with_capacity(projection.expr.len());
                for expr in &projection.expr {
                    columns.push(self.inner_expr(expr, schema, &inner.columns, outer, true)?);
                }
                Ok(Inner { columns, ..inner })
            }
            LogicalPlan::Join(join) if join.join_type == JoinType::Inner && looks_outside(plan) => {
                self.peeled_join(join, outer)
            }
            other if looks_outside(other) => Err(match other.all_out_ref_exprs().first() {
                Some(column) => self.correlated(column),
                None => defect("a correlated subquery without an outer column".into()),
            }),
            other => {
                let right = self.relation(other, false)?;
                let width = outer.plan.fields.len();
                let columns = right
                    .fields
                    .iter()
                    .enumerate()
                    .map(|(i, f)| build::column(width + i, f))
                    .collect();
                Ok(Inner { right, columns, conditions: Vec::new() })
            }
        }
    }

    /// An inner join one of whose sides, or whose condition, looks outside: all pairs of inner rows, under the
    /// conditions of both sides and of the join.
    fn peeled_join(&self, join: &logical_plan::Join, outer: &Outer<'_>) -> Result<Inner, SqlError> {
        let left = self.peeled(&join.left, outer)?;
        let right = self.peeled(&join.right, outer)?;
        let width = outer.plan.fields.len();
        let between = left.right.fields.len();
        let place = |index: usize| if index < width { index } else { index + between };
        let moved = |expr: &Expr| build::moved(expr, &place);
        let mut conditions = left.conditions;
        conditions.extend(right.conditions.iter().map(moved));
        let mut columns = left.columns;
        for (x, y) in &join.on {
            let own = self.inner_expr(x, join.left.schema(), &columns, outer, true)?;
            let other = self.inner_expr(y, join.right.schema(), &right.columns, outer, true)?;
            let (own, other) = super::aggregate::comparable_keys(own, moved(&other))
                .map_err(|e| self.put(e, x))?;
            conditions.push(super::dictionary::compare(Compare::Eq, own, other)?);
        }
        columns.extend(right.columns.iter().map(moved));
        if let Some(filter) = &join.filter {
            conditions.push(self.inner_expr(filter, &join.schema, &columns, outer, false)?);
        }
        let fields = left.right.fields.iter().chain(&right.right.fields).cloned().collect();
        let rows = check_rows(left.right.rows.checked_mul(right.right.rows))?;
        let (left, right) = (Box::new(left.right), Box::new(right.right));
        let right = Plan { op: Operator::CrossJoin { left, right }, fields, rows };
        Ok(Inner { right, columns, conditions })
    }

    /// An expression of the subquery over pairs. `value`: any type, else a condition.
    fn inner_expr(
        &self,
        expr: &Logical,
        schema: &DFSchema,
        columns: &[Expr],
        outer: &Outer<'_>,
        value: bool,
    ) -> Result<Expr, SqlError> {
        let (schema, fields) = self.pair_scope(schema, columns, outer)?;
        let scope = Scope { schema: &schema, fields: &fields, subqueries: &[] };
        let expr = inward(expr, outer.schema)?;
        let built =
            if value { self.scalar(&expr, &scope)? } else { self.condition(&expr, &scope)? };
        Ok(build::replaced(&built, &pair_columns(outer, columns)))
    }

    /// Names and fields of (outer columns, inner columns).
    fn pair_scope(
        &self,
        schema: &DFSchema,
        columns: &[Expr],
        outer: &Outer<'_>,
    ) -> Result<(DFSchema, Vec<Field>), SqlError> {
        let mut qualified: Vec<(Option<TableReference>, FieldRef)> = Vec::new();
        for (index, field) in outer.schema.fields().iter().enumerate() {
            let renamed = field.as_ref().clone().with_name(outer_name(index));
            qualified.push((Some(TableReference::bare(OUTER)), std::sync::Arc::new(renamed)));
        }
        for (qualifier, field) in schema.iter() {
            qualified.push((qualifier.cloned(), std::sync::Arc::clone(field)));
        }
        let all = DFSchema::new_with_metadata(qualified, HashMap::new())
            .map_err(|e| defect(e.to_string()))?;
        let mut fields: Vec<Field> =
            outer.plan.fields.iter().take(outer.schema.fields().len()).cloned().collect();
        fields.extend(columns.iter().map(|c| Field {
            name: "inner".to_owned(),
            ty: c.ty.clone(),
            nullable: c.nullable,
        }));
        Ok((all, fields))
    }
}

/// The rows with the value of a subquery behind them.
fn with_value(plan: Plan, value: Expr) -> Plan {
    let mut exprs: Vec<Expr> =
        plan.fields.iter().enumerate().map(|(i, f)| build::column(i, f)).collect();
    exprs.push(value);
    let names: Vec<String> =
        plan.fields.iter().map(|f| f.name.clone()).chain(["subquery".to_owned()]).collect();
    project(plan, exprs, names)
}

/// What columns of the pair scope are over (left fields, right fields).
fn pair_columns(outer: &Outer<'_>, columns: &[Expr]) -> Vec<Expr> {
    let known = outer.schema.fields().len();
    let mut all: Vec<Expr> = outer
        .plan
        .fields
        .iter()
        .enumerate()
        .take(known)
        .map(|(i, f)| build::column(i, f))
        .collect();
    all.extend(columns.iter().cloned());
    all
}

fn outer_name(index: usize) -> String {
    format!("column{index}")
}

fn looks_outside(plan: &LogicalPlan) -> bool {
    plan.contains_outer_reference() || plan.inputs().into_iter().any(looks_outside)
}

/// A LIMIT that is never reached.
fn is_fence(limit: &logical_plan::Limit) -> bool {
    let fetch = limit.fetch.as_deref();
    limit.skip.is_none()
        && matches!(fetch, Some(Logical::Literal(ScalarValue::Int64(Some(i64::MAX)), _)))
}

/// The argument of the aggregate that stands for the value of the only row.
fn only_value(expr: &Logical) -> Option<&Logical> {
    match expr {
        Logical::Alias(alias) => only_value(&alias.expr),
        Logical::AggregateFunction(call) if call.func.name() == ONLY_VALUE => {
            call.params.args.first()
        }
        _ => None,
    }
}

/// EXISTS and IN do not care how often or in which order.
fn body(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::Distinct(logical_plan::Distinct::All(input)) => body(input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => body(&sort.input),
        LogicalPlan::SubqueryAlias(alias) => body(&alias.input),
        LogicalPlan::Subquery(subquery) => body(&subquery.subquery),
        other => other,
    }
}

/// The expression with outer columns as columns of the pair scope.
fn inward(expr: &Logical, outer: &DFSchema) -> Result<Logical, SqlError> {
    expr.clone()
        .transform(|node| {
            Ok(match &node {
                Logical::OuterReferenceColumn(_, column) => {
                    match outer.maybe_index_of_column(column) {
                        Some(index) => Transformed::yes(Logical::Column(Column {
                            relation: Some(TableReference::bare(OUTER)),
                            name: outer_name(index),
                            spans: column.spans.clone(),
                        })),
                        None => Transformed::no(node),
                    }
                }
                _ => Transformed::no(node),
            })
        })
        .map(|t| t.data)
        .map_err(|e| defect(e.to_string()))
}
