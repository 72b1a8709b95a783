//! Columns that come late: what a LIMIT lets through needs few rows, so columns that only the result
//! shows need not travel through the joins, groups and sorts below it. Where the primary key of their
//! table travels in any case, a join of the few rows with the table brings them. The plan changes only
//! where a dry run predicts less.

use super::build;
use super::join::{Sides, keyed};
use super::relation::{picked, project};
use crate::cost::cheaper;
use crate::plan::{ExprKind, Field, JoinKind, Operator, Plan};
use crate::planner::numbers;
use std::collections::{BTreeMap, BTreeSet};
use trine_proto::catalog::NetProfile;

/// Bits a row that must be saved before two plans are compared at all.
const WIDTH_MIN: usize = 64;

/// Where the values of a column come from.
struct Origin<'a> {
    /// Which input to take at every operator down to the scan.
    path: Vec<usize>,
    scan: &'a Plan,
    /// Position in the schema of the table.
    column: usize,
}

/// A column of a relation and the column of the table that it is.
#[derive(Clone, Copy)]
struct Carried {
    field: usize,
    column: usize,
}

/// Columns of one occurrence of a table: its key, and those that may come late.
struct Late {
    scan: Plan,
    key: Vec<Carried>,
    rest: Vec<Carried>,
}

/// The relation with columns fetched late wherever that costs less. Rows keep their places.
pub(super) fn columns(plan: Plan, net: NetProfile) -> Plan {
    let Plan { op, fields, rows } = plan;
    match op {
        Operator::Project { input, exprs } => {
            let input = Box::new(columns(*input, net));
            Plan { op: Operator::Project { input, exprs }, fields, rows }
        }
        Operator::Limit { .. } => {
            let plan = Plan { op, fields, rows };
            candidates(&plan).into_iter().fold(plan, |plan, late| match fetched(&plan, &late) {
                Some(other) => cheaper(plan, other, net),
                None => plan,
            })
        }
        op => Plan { op, fields, rows },
    }
}

fn candidates(limit: &Plan) -> Vec<Late> {
    let Operator::Limit { input: sort, .. } = &limit.op else { return Vec::new() };
    let Operator::Sort { input, keys } = &sort.op else { return Vec::new() };
    let mut sorted_by = BTreeSet::new();
    keys.iter().for_each(|k| build::columns_of(&k.expr, &mut sorted_by));
    let mut tables: BTreeMap<Vec<usize>, (&Plan, Vec<Carried>)> = BTreeMap::new();
    for field in 0..input.fields.len() {
        if let Some(Origin { path, scan, column }) = origin(input, field) {
            let (_, all) = tables.entry(path).or_insert((scan, Vec::new()));
            all.push(Carried { field, column });
        }
    }
    let late = |(scan, all): (&Plan, Vec<Carried>)| {
        let Operator::Scan { schema, .. } = &scan.op else { return None };
        let key = schema.primary_key.iter();
        let key: Option<Vec<Carried>> =
            key.map(|k| all.iter().find(|c| c.column == *k).copied()).collect();
        let key = key.filter(|k| !k.is_empty())?;
        let of_table = |c: &Carried| field_of(scan, c.column);
        let rest = all.into_iter().filter(|c| {
            !key.iter().any(|k| k.field == c.field)
                && !sorted_by.contains(&c.field)
                && limit
                    .fields
                    .get(c.field)
                    .zip(of_table(c))
                    .is_some_and(|(a, b)| a.ty == b.ty && a.nullable == b.nullable)
        });
        let rest: Vec<Carried> = rest.collect();
        let width: usize =
            rest.iter().filter_map(|c| limit.fields.get(c.field)).map(|f| f.ty.bits()).sum();
        let pays = width >= WIDTH_MIN && limit.rows < input.rows && limit.rows < scan.rows;
        pays.then(|| Late { scan: scan.clone(), key, rest })
    };
    tables.into_values().filter_map(late).collect()
}

/// The relation without the late columns, joined with the table that has them.
fn fetched(limit: &Plan, late: &Late) -> Option<Plan> {
    let dropped: BTreeSet<usize> = late.rest.iter().map(|c| c.field).collect();
    let kept: Vec<usize> = (0..limit.fields.len()).filter(|c| !dropped.contains(c)).collect();
    let thin = without(limit.clone(), &dropped);
    let place = |field: usize| kept.iter().position(|c| *c == field);
    let mut many_keys = Vec::with_capacity(late.key.len());
    for key in &late.key {
        let at = place(key.field)?;
        many_keys.push(build::column(at, thin.fields.get(at)?));
    }
    let columns: Vec<usize> = late.key.iter().chain(&late.rest).map(|c| c.column).collect();
    let table = scanned(&late.scan, columns)?;
    let right_keys = table.fields.iter().take(late.key.len()).enumerate();
    let right_keys = right_keys.map(|(i, f)| build::column(i, f)).collect();
    let width = thin.fields.len();
    let sides =
        Sides { left: thin, right: table, left_keys: many_keys, right_keys, residual: Vec::new() };
    let joined = keyed(JoinKind::Inner, sides, None).ok()?;
    let source = |field: usize| {
        let of_table = late.rest.iter().position(|c| c.field == field);
        place(field).or_else(|| of_table.map(|at| width + late.key.len() + at))
    };
    let mut exprs = Vec::with_capacity(limit.fields.len());
    for field in 0..limit.fields.len() {
        let at = source(field)?;
        exprs.push(build::column(at, joined.fields.get(at)?));
    }
    Some(project(joined, exprs, limit.fields.iter().map(|f| f.name.clone())))
}

/// Other columns of the same rows of a table.
fn scanned(scan: &Plan, columns: Vec<usize>) -> Option<Plan> {
    let Operator::Scan { table, schema, segments, kept, .. } = &scan.op else { return None };
    let fields: Option<Vec<Field>> = columns.iter().map(|c| field_of(scan, *c)).collect();
    let (table, schema) = (*table, schema.clone());
    let (segments, kept) = (segments.clone(), kept.clone());
    let op = Operator::Scan { table, schema, segments, columns, kept };
    Some(Plan { op, fields: fields?, rows: scan.rows })
}

fn field_of(scan: &Plan, column: usize) -> Option<Field> {
    let Operator::Scan { schema, .. } = &scan.op else { return None };
    let column = schema.columns.get(column)?;
    let ty = numbers::of_column(column);
    Some(Field { name: column.name.clone(), ty, nullable: column.nullable })
}

/// Follows a column down to the table that it is read from, as long as rows hand it on as it is.
fn origin(plan: &Plan, field: usize) -> Option<Origin<'_>> {
    let below = |at: usize, input, field| {
        origin(input, field).map(|mut o| {
            o.path.insert(0, at);
            o
        })
    };
    let own = |input: &Plan| field < input.fields.len();
    match &plan.op {
        Operator::Scan { columns, .. } => {
            columns.get(field).map(|c| Origin { path: Vec::new(), scan: plan, column: *c })
        }
        Operator::Filter { input, .. }
        | Operator::Sort { input, .. }
        | Operator::Limit { input, .. } => below(0, input, field),
        Operator::Window { input, .. } | Operator::OneRowJoin { input, .. } if own(input) => {
            below(0, input, field)
        }
        Operator::PairAggregate { left, .. } if own(left) => below(0, left, field),
        Operator::Project { input, exprs } | Operator::SortAggregate { input, keys: exprs, .. } => {
            match exprs.get(field)?.kind {
                ExprKind::Column(column) => below(0, input, column),
                _ => None,
            }
        }
        Operator::UniqueKeyJoin { many, .. } if own(many) => below(0, many, field),
        Operator::UniqueKeyJoin { kind: JoinKind::Inner, many, unique, .. } => {
            below(1, unique, field - many.fields.len())
        }
        Operator::CrossJoin { left, .. } if own(left) => below(0, left, field),
        Operator::CrossJoin { left, right } => below(1, right, field - left.fields.len()),
        _ => None,
    }
}

/// The relation without columns that nothing in it needs: its Sort does not.
fn without(plan: Plan, dropped: &BTreeSet<usize>) -> Plan {
    let kept: Vec<usize> = (0..plan.fields.len()).filter(|c| !dropped.contains(c)).collect();
    let Plan { op, fields, rows } = plan;
    let fewer = || kept.iter().filter_map(|c| fields.get(*c).cloned()).collect::<Vec<_>>();
    match op {
        Operator::Limit { input, skip, fetch } => {
            let input = Box::new(without(*input, dropped));
            Plan { op: Operator::Limit { input, skip, fetch }, fields: fewer(), rows }
        }
        Operator::Sort { input, mut keys } => {
            let input = Box::new(without(*input, dropped));
            let place = |c: usize| kept.iter().position(|k| *k == c).unwrap_or(c);
            for key in &mut keys {
                key.expr = build::moved(&key.expr, &place);
            }
            Plan { op: Operator::Sort { input, keys }, fields: fewer(), rows }
        }
        Operator::Project { input, exprs } => {
            let exprs: Vec<_> = kept.iter().filter_map(|c| exprs.get(*c).cloned()).collect();
            let mut used = BTreeSet::new();
            exprs.iter().for_each(|e| build::columns_of(e, &mut used));
            let unused: BTreeSet<usize> =
                (0..input.fields.len()).filter(|c| !used.contains(c)).collect();
            let left: Vec<usize> = used.into_iter().collect();
            let place = |c: usize| left.iter().position(|k| *k == c).unwrap_or(c);
            let exprs = exprs.iter().map(|e| build::moved(e, &place)).collect();
            let input = Box::new(without(*input, &unused));
            Plan { op: Operator::Project { input, exprs }, fields: fewer(), rows }
        }
        Operator::SortAggregate { input, keys, determined, presorted, aggregates }
            if dropped.iter().all(|c| {
                (keys.len() - (determined as usize).min(keys.len())..keys.len()).contains(c)
            }) =>
        {
            let fields = fewer();
            let gone = u32::try_from(dropped.len()).unwrap_or(determined);
            let keys = keys.into_iter().enumerate();
            let keys = keys.filter(|(i, _)| !dropped.contains(i)).map(|(_, key)| key).collect();
            let determined = determined - gone.min(determined);
            let op = Operator::SortAggregate { input, keys, determined, presorted, aggregates };
            Plan { op, fields, rows }
        }
        op => picked(Plan { op, fields, rows }, &kept),
    }
}
