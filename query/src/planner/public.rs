//! What is computed in the clear: conditions, expressions, joins and whole subplans over PUBLIC
//! columns. Their values are known to every node, so that they enter the plan as public constants and
//! positions of rows, with exact row counts, and cost nothing.
//!
//! * [`known`]: which columns of a relation are public, row by row;
//! * [`meeting`]: joins on public keys;
//! * here: relations rewritten from the leaves up.
//!
//! Whether a row exists may be secret even where its columns are not (deleted rows, secret filters
//! below): then rows may be picked and paired, but nothing is counted.

mod known;
mod meeting;

use super::Planner;
use super::aggregate::sums_only;
use super::build;
use super::relation::filtered;
use crate::clear::{Clear, evaluate, is_true};
use crate::executor::inputs;
use crate::explain;
use crate::plan::{Expr, ExprKind, Field, Kept, Literal, Operator, Plan, PublicIndex, PublicRows};
use crate::rules::with_inputs;
use crate::types::{NumberKind, Type};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use trine_proto::status::SqlError;

type Planned = Result<Plan, SqlError>;

impl Planner<'_> {
    /// The same relation with all that PUBLIC columns decide computed in the clear.
    pub(super) fn in_the_clear(&self, plan: Plan) -> Planned {
        if !self.public.is_met() {
            return Ok(plan);
        }
        let failed = RefCell::new(None);
        let inner = with_inputs(plan, &|input| match self.in_the_clear(input.clone()) {
            Ok(plan) => plan,
            Err(error) => {
                failed.borrow_mut().get_or_insert(error);
                input
            }
        });
        match failed.into_inner() {
            Some(error) => Err(error),
            None => self.node_in_the_clear(rebound(inner)),
        }
    }

    fn node_in_the_clear(&self, plan: Plan) -> Planned {
        if let Some(made) = self.evaluated(&plan)? {
            return Ok(made);
        }
        let Plan { op, fields, rows } = plan;
        match op {
            Operator::Filter { input, predicate } => self.publicly_filtered(*input, predicate),
            Operator::Project { input, exprs } => {
                let (input, exprs) = self.lifted(*input, exprs)?;
                Ok(Plan { op: Operator::Project { input: Box::new(input), exprs }, fields, rows })
            }
            op => self.publicly_grouped(Plan { op, fields, rows }),
        }
    }

    /// A GROUP BY of public keys: rows are put into their groups in the clear.
    fn publicly_grouped(&self, plan: Plan) -> Planned {
        let (Operator::SortAggregate { input, keys, aggregates, .. }
        | Operator::SmallDomainAggregate { input, keys, aggregates }) = &plan.op
        else {
            return Ok(plan);
        };
        if !sums_only(aggregates) {
            return Ok(plan);
        }
        let mut columns = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(column) = self.known_expression(input, key)? else { return Ok(plan) };
            columns.push(column);
        }
        let rows = usize::try_from(input.rows).unwrap_or(usize::MAX);
        let key_of = |row: usize| -> Vec<&Literal> {
            columns.iter().filter_map(|column| column.get(row)).collect()
        };
        let mut numbers: BTreeMap<Vec<&Literal>, u32> = BTreeMap::new();
        for row in 0..rows {
            numbers.insert(key_of(row), 0);
        }
        for (number, slot) in (0..).zip(numbers.values_mut()) {
            *slot = number;
        }
        let groups = (0..rows).filter_map(|row| numbers.get(&key_of(row)).copied()).collect();
        let mut values: Vec<Vec<Literal>> = vec![Vec::with_capacity(numbers.len()); keys.len()];
        for key in numbers.keys() {
            for (column, value) in values.iter_mut().zip(key) {
                column.push((*value).clone());
            }
        }
        let count = numbers.len();
        let Some(values) = PublicRows::new(count, values.into_iter().map(Arc::new).collect())
        else {
            return Ok(plan);
        };
        let op = Operator::PublicAggregate {
            input: input.clone(),
            groups: PublicIndex::new(groups),
            keys: values,
            aggregates: aggregates.clone(),
        };
        Ok(Plan { op, fields: plan.fields.clone(), rows: count as u64 })
    }

    /// An operator whose inputs are public, computed. What only picks rows and columns of a table is
    /// left as it is: it costs nothing, and no copy of the table is made.
    fn evaluated(&self, plan: &Plan) -> Result<Option<Plan>, SqlError> {
        let picks = matches!(
            plan.op,
            Operator::Filter { .. }
                | Operator::Project { .. }
                | Operator::PublicFilter { .. }
                | Operator::PublicColumns { .. }
                | Operator::PublicJoin { .. }
        );
        let all = inputs(plan);
        let made = |input: &&Plan| matches!(input.op, Operator::Public { .. });
        if all.is_empty() || (picks && !all.iter().all(made)) {
            return Ok(None);
        }
        let mut relations = Vec::with_capacity(all.len());
        for input in &all {
            let Some(relation) = self.relation_in_the_clear(input)? else { return Ok(None) };
            relations.push(relation);
        }
        let Ok(Clear { values, ordered }) = evaluate(plan, &relations) else { return Ok(None) };
        let rows = values.rows() as u64;
        let source = explain::source(plan);
        let op = Operator::Public { values, ordered, source };
        Ok(Some(Plan { op, fields: plan.fields.clone(), rows }))
    }

    /// All values of a relation whose every row exists and whose every column is public.
    fn relation_in_the_clear(&self, plan: &Plan) -> Result<Option<Clear>, SqlError> {
        if let Operator::Public { values, ordered, .. } = &plan.op {
            return Ok(Some(Clear { values: values.clone(), ordered: *ordered }));
        }
        if !all_exist(plan) || !(0..plan.fields.len()).all(|i| known::is_public(plan, i)) {
            return Ok(None);
        }
        let mut columns = Vec::with_capacity(plan.fields.len());
        for index in 0..plan.fields.len() {
            let Some(column) = self.known(plan, index)? else { return Ok(None) };
            columns.push(column);
        }
        let rows = usize::try_from(plan.rows).unwrap_or(usize::MAX);
        let values = PublicRows::new(rows, columns);
        Ok(values.map(|values| Clear { values, ordered: false }))
    }

    /// Rows for which the predicate is TRUE: what is public of it picks rows, the rest filters them.
    fn publicly_filtered(&self, input: Plan, predicate: Expr) -> Planned {
        let rows = usize::try_from(input.rows).unwrap_or(usize::MAX);
        let mut kept: Vec<usize> = (0..rows).collect();
        let (mut shown, mut secret) = (Vec::new(), Vec::new());
        for part in build::conjuncts(predicate) {
            let Some(cells) = self.cells(&input, &part)? else {
                secret.push(part);
                continue;
            };
            let mut passed = Vec::with_capacity(kept.len());
            let met = kept.iter().try_for_each(|row| {
                let passes = is_true(&part, &|c| cells.get(&c)?.get(*row))?;
                passed.extend(passes.then_some(*row));
                Ok::<(), crate::clear::Beyond>(())
            });
            if met.is_ok() {
                kept = passed;
                shown.push(part);
            } else {
                secret.push(part);
            }
        }
        let input = if shown.is_empty() {
            input
        } else {
            let condition = explain::condition(&build::and(shown), &input.fields);
            let kept = kept.into_iter().filter_map(|row| u32::try_from(row).ok()).collect();
            picked_rows(input, kept, condition)
        };
        if secret.is_empty() {
            return Ok(input);
        }
        let width = input.fields.len();
        let (widened, secret) = self.lifted(input, secret)?;
        Ok(super::relation::narrowed(filtered(widened, build::and(secret)), width))
    }

    /// Expressions of which each part over public columns alone is a column of its own, computed.
    fn lifted(&self, input: Plan, exprs: Vec<Expr>) -> Result<(Plan, Vec<Expr>), SqlError> {
        let (rows, width) = (usize::try_from(input.rows).unwrap_or(usize::MAX), input.fields.len());
        let parts: RefCell<Vec<(Expr, Arc<Vec<Literal>>)>> = RefCell::default();
        let failed = RefCell::new(None);
        let replace = |expr: &Expr| -> Option<Expr> {
            if is_plain(expr) || !build::is_closed(expr, 0) {
                return None;
            }
            let mut parts = parts.borrow_mut();
            let place = match parts.iter().position(|(known, _)| known == expr) {
                Some(place) => place,
                None => match self.known_expression(&input, expr) {
                    Ok(values) => {
                        parts.push((expr.clone(), values?));
                        parts.len() - 1
                    }
                    Err(error) => {
                        failed.borrow_mut().get_or_insert(error);
                        return None;
                    }
                },
            };
            Some(Expr { kind: ExprKind::Column(width + place), ..expr.clone() })
        };
        let replaced: Vec<Expr> = exprs.iter().map(|e| build::substituted(e, &replace)).collect();
        if let Some(error) = failed.into_inner() {
            return Err(error);
        }
        let parts = parts.into_inner();
        if parts.is_empty() {
            return Ok((input, exprs));
        }
        let mut fields = input.fields.clone();
        fields.extend(parts.iter().map(|(expr, _)| Field {
            name: explain::condition(expr, &input.fields),
            ty: expr.ty.clone(),
            nullable: expr.nullable,
        }));
        let columns = parts.into_iter().map(|(_, values)| values).collect();
        let Some(values) = PublicRows::new(rows, columns) else { return Ok((input, exprs)) };
        let rows = input.rows;
        let op = Operator::PublicColumns { input: Box::new(input), values };
        Ok((Plan { op, fields, rows }, replaced))
    }
}

/// Costs nothing as it is, or is no value of its own.
fn is_plain(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Column(_) | ExprKind::Literal(_) | ExprKind::Bound(_))
}

/// Whether every row of a relation exists, whatever the secret data is.
fn all_exist(plan: &Plan) -> bool {
    match &plan.op {
        Operator::Scan { segments, .. } => segments.iter().all(|s| !s.has_valid),
        Operator::Values(_) | Operator::Public { .. } | Operator::ScalarAggregate { .. } => true,
        Operator::Project { .. }
        | Operator::PublicFilter { .. }
        | Operator::PublicColumns { .. }
        | Operator::PublicJoin { .. }
        | Operator::PublicAggregate { .. }
        | Operator::CrossJoin { .. }
        | Operator::UnionAll(_) => inputs(plan).into_iter().all(all_exist),
        _ => false,
    }
}

/// The rows at these positions, ascending.
fn picked_rows(input: Plan, kept: Vec<u32>, condition: String) -> Plan {
    let Plan { op, fields, rows: before } = input;
    if kept.len() as u64 == before {
        return Plan { op, fields, rows: before };
    }
    let rows = kept.len() as u64;
    let both = |old: &Kept| Kept {
        rows: PublicIndex::new(
            kept.iter().filter_map(|k| old.rows.rows().get(*k as usize).copied()).collect(),
        ),
        condition: format!("{} AND {condition}", old.condition),
    };
    let op = match op {
        Operator::Scan { table, schema, segments, columns, kept: old } => {
            let kept = match &old {
                Some(old) => both(old),
                None => Kept { rows: PublicIndex::new(kept), condition },
            };
            Operator::Scan { table, schema, segments, columns, kept: Some(kept) }
        }
        Operator::PublicFilter { input, kept: old } => {
            Operator::PublicFilter { input, kept: both(&old) }
        }
        op => {
            let input = Plan { op, fields: fields.clone(), rows: before };
            let kept = Kept { rows: PublicIndex::new(kept), condition };
            Operator::PublicFilter { input: Box::new(input), kept }
        }
    };
    Plan { op, fields, rows }
}

/// The row bound after the inputs' have become smaller.
fn rebound(mut plan: Plan) -> Plan {
    let below: Vec<u64> = inputs(&plan).into_iter().map(|input| input.rows).collect();
    let first = below.first().copied().unwrap_or(plan.rows);
    plan.rows = match &plan.op {
        Operator::Filter { .. }
        | Operator::Project { .. }
        | Operator::OneRowJoin { .. }
        | Operator::Window { .. }
        | Operator::PairAggregate { .. }
        | Operator::PublicColumns { .. }
        | Operator::Reveal { .. } => first,
        Operator::Sort { .. } | Operator::SortAggregate { .. } => plan.rows.min(first),
        Operator::Limit { skip, fetch, .. } => {
            let left = first.saturating_sub(*skip);
            fetch.map_or(left, |fetch| fetch.min(left))
        }
        Operator::UniqueKeyJoin { method: crate::plan::JoinMethod::Merge, .. }
        | Operator::UnionAll(_) => below.iter().fold(0, |sum, rows| sum.saturating_add(*rows)),
        Operator::UniqueKeyJoin { .. } => first,
        Operator::CrossJoin { .. } => below.iter().fold(1, |all, rows| all.saturating_mul(*rows)),
        Operator::Scan { .. }
        | Operator::Values(_)
        | Operator::ScalarAggregate { .. }
        | Operator::SmallDomainAggregate { .. }
        | Operator::Public { .. }
        | Operator::PublicFilter { .. }
        | Operator::PublicJoin { .. }
        | Operator::PublicAggregate { .. }
        | Operator::Again { .. } => plan.rows,
    };
    plan
}

/// The types of a public relation as narrow as its values are.
pub(super) fn tight(mut plan: Plan) -> Plan {
    let Operator::Public { values, .. } = &plan.op else { return plan };
    for (field, column) in plan.fields.iter_mut().zip(values.columns()) {
        field.nullable = field.nullable && column.contains(&Literal::Null);
        match &mut field.ty {
            // A dictionary's labels are counted from its first.
            Type::Boolean | Type::Number { kind: NumberKind::Enum { .. }, .. } => {}
            Type::Number { low, high, .. } => {
                let numbers = column.iter().filter_map(|v| match v {
                    Literal::Number(v) => Some(*v),
                    _ => None,
                });
                if let (Some(least), Some(most)) = (numbers.clone().min(), numbers.max()) {
                    (*low, *high) = (least, most);
                }
            }
            Type::Text { bytes } => {
                let longest = column.iter().filter_map(|v| match v {
                    Literal::Text(text) => u32::try_from(text.len()).ok(),
                    _ => None,
                });
                *bytes = longest.max().unwrap_or(1).max(1).min(*bytes);
            }
        }
    }
    plan
}
