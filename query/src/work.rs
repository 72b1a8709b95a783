//! What a transaction asks of the nodes beside queries: whether a staged batch keeps the constraints
//! of its table, whether the rows there are those of a new unique index, or a statement that writes,
//! with the constraints on what it writes; and at COMMIT, whether all that a transaction of several
//! statements wrote keeps the constraints beside what others have committed.
//!
//! [`compile_work`] turns it into rules and plans of public shape, alike at all nodes; [`run_work`]
//! evaluates them. The nodes open one bit: the OR over all rules. Which rule it was, and how many rows
//! were written, goes to the client in shares.

mod assign;
mod explain;
mod rules;
mod segment;
mod unique;
mod write;

use crate::arith::ArithAny;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::executor::{Memory, evaluate, memory};
use crate::ops::scan::{Source, scan};
use crate::output::output;
use crate::plan::{Field, PLAN_FORMAT, Plan, SegmentScan};
use crate::policy;
use crate::relation::Relation;
use crate::statement::{ResultShares, on_a_large_stack};
use crate::types::{NumberKind, Type};
use crate::want::Want;
use rules::Scope;
pub use rules::{check_alteration, check_conditions};
use serde::Serialize;
use std::borrow::Cow;
use trine_mpc::{Arith, Planes, Session, protocol};
use trine_proto::alter::Change;
use trine_proto::catalog::{
    Catalog, NetProfile, SegmentEntry, Subject, TableEntry, Validation, Verdict, WriteEntry,
};
use trine_proto::ids::{LogIndex, SegmentId, TableId, TransactionId};
use trine_proto::schema::TableSchema;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::transaction::Overlay;
use trine_proto::wire::{ResultHeader, ResultKind};
use trine_storage::Store;
use write::Write;

/// Compiled work of one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Work {
    /// The statement, if there is one, and the table that it writes to; it makes what is checked.
    write: Option<Box<(Write, TableId, TableSchema)>>,
    checks: Vec<Check>,
    net_profile: NetProfile,
}

/// The constraints of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    table: TableId,
    schema: TableSchema,
    /// What is checked.
    new: Vec<SegmentScan>,
    /// What it is checked against.
    old: Vec<SegmentScan>,
    rules: Vec<Labelled>,
}

/// A constraint and what the client is told of it: `unique:NAME`, `range:COLUMN`, `check:NAME`,
/// `reference:NAME`; `column:NAME` for values that do not fit, `failure:SQLSTATE:TEXT` for what
/// could not be computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Labelled {
    label: String,
    rule: Rule,
}

/// One constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
enum Rule {
    /// Rows without NULL in the columns differ in them.
    Unique(Vec<usize>),
    /// Values of the column lie in its declared range.
    Range(usize),
    /// The plan has no row.
    NoRow(Box<Plan>),
}

/// What an attempt found at this party.
#[derive(Debug)]
pub struct Done {
    /// What the log is told.
    pub verdict: Verdict,
    /// What the client is told: one row, the count of rows written and a bit for every rule.
    /// `attempt` is the node's to fill in.
    pub shares: ResultShares,
}

/// Compiles what a transaction asks for in its current attempt, over what is visible at its position;
/// a statement of an open transaction over what that sees.
///
/// # Errors
/// A table that is gone; a statement or a CHECK that cannot be planned.
pub fn compile_work(
    catalog: &Catalog,
    transaction: TransactionId,
    validation: &Validation,
) -> std::result::Result<Work, SqlError> {
    let written = match (&validation.within, &validation.subject) {
        (Some(within), _) => Some((within.snapshot, &within.written)),
        (None, Subject::Transaction(open)) => Some((validation.position, &open.written)),
        (None, _) => None,
    };
    // The profile in force may be another by now.
    let bound = match written {
        Some((at, written)) => {
            let seen = catalog.within(at, written);
            Cow::Owned(Catalog { net_profile: validation.net_profile, ..seen })
        }
        None if catalog.net_profile == validation.net_profile => Cow::Borrowed(catalog),
        None => Cow::Owned(Catalog { net_profile: validation.net_profile, ..catalog.clone() }),
    };
    let catalog = bound.as_ref();
    let at = written.map_or(validation.position, |(at, _)| at);
    if let Subject::Transaction(open) = &validation.subject {
        let checks = committed(catalog, at, &open.written)?;
        return Ok(Work { write: None, checks, net_profile: catalog.net_profile });
    }
    let table = existing(catalog, validation.table)?;
    if let Subject::Alter(entry) = &validation.subject {
        let checks = vec![altered(catalog, table, at, &entry.change)?];
        return Ok(Work { write: None, checks, net_profile: catalog.net_profile });
    }
    let visible = table.visible(at).map(SegmentScan::from).collect();
    let (new, old, scope) = match &validation.subject {
        Subject::Batch(segment) => (vec![SegmentScan::from(segment)], visible, Scope::Batch),
        Subject::Index(index) => (visible, Vec::new(), Scope::Index(index)),
        Subject::Write(entry) => {
            let id = transaction.segment_of_attempt(validation.attempt);
            return on_a_large_stack(|| statement(catalog, table, at, entry, id));
        }
        Subject::Transaction(_) | Subject::Alter(_) => (Vec::new(), Vec::new(), Scope::Delete),
        Subject::Pack(_) => {
            let message = "packing segments is no work for the planner";
            return Err(SqlError::new(sqlstate::INTERNAL_ERROR, message));
        }
    };
    let checks = vec![check(catalog, table, at, (new, old), &scope)?];
    Ok(Work { write: None, checks, net_profile: catalog.net_profile })
}

/// A statement that writes, and what it has to keep.
fn statement(
    catalog: &Catalog,
    table: &TableEntry,
    at: LogIndex,
    entry: &WriteEntry,
    id: SegmentId,
) -> std::result::Result<Work, SqlError> {
    let write = write::compile(catalog, at, table, entry, id)?;
    let visible = table.visible(at).map(SegmentScan::from).collect();
    let old = if entry.rewrites { Vec::new() } else { visible };
    let scope = Scope::of_write(&write.writes);
    let checks = vec![check(catalog, table, at, (vec![write.made.clone()], old), &scope)?];
    let write = Some(Box::new((write, table.id, table.schema.clone())));
    Ok(Work { write, checks, net_profile: catalog.net_profile })
}

/// What a statement would do that nobody ordered, for EXPLAIN, and the plan that finds its rows. Runs on
/// the stack of its caller.
///
/// # Errors
/// As [`compile_work`].
pub(crate) fn of_statement(
    catalog: &Catalog,
    table: &TableEntry,
    at: LogIndex,
    entry: &WriteEntry,
) -> std::result::Result<(Plan, Work), SqlError> {
    let work = statement(catalog, table, at, entry, SegmentId([0; 16]))?;
    let source = work.write.as_ref().map(|write| write.0.source().clone());
    let missing = || SqlError::new(sqlstate::INTERNAL_ERROR, "a statement without a plan");
    Ok((source.ok_or_else(missing)?, work))
}

/// What ALTER TABLE demands of the rows there are, over the table as it will be.
fn altered(
    catalog: &Catalog,
    table: &TableEntry,
    at: LogIndex,
    change: &Change,
) -> std::result::Result<Check, SqlError> {
    let table = table.changed(change, true);
    let mut seen = catalog.within(at, &Overlay::new());
    seen.tables.insert(table.id, table.clone());
    let rows = table.visible(at).map(SegmentScan::from).collect();
    check(&seen, &table, at, (rows, Vec::new()), &Scope::Alter(&change.demands))
}

fn existing(catalog: &Catalog, id: TableId) -> std::result::Result<&TableEntry, SqlError> {
    let gone = || SqlError::new(sqlstate::UNDEFINED_TABLE, "the table does not exist");
    catalog.tables.get(&id).ok_or_else(gone)
}

/// The rules of a table that `new` segments beside `old` ones could break.
fn check(
    catalog: &Catalog,
    table: &TableEntry,
    at: LogIndex,
    (new, old): (Vec<SegmentScan>, Vec<SegmentScan>),
    scope: &Scope<'_>,
) -> std::result::Result<Check, SqlError> {
    let nothing = new.iter().all(|s| s.rows == 0);
    let rules =
        if nothing { Vec::new() } else { rules::of_table(catalog, table, at, &new, &old, scope)? };
    Ok(Check { table: table.id, schema: table.schema.clone(), new, old, rules })
}

/// What COMMIT checks, over a catalog in which the transaction's segments are visible already. What
/// concerns single rows was checked by the statements.
fn committed(
    catalog: &Catalog,
    at: LogIndex,
    overlay: &Overlay,
) -> std::result::Result<Vec<Check>, SqlError> {
    let mut checks = Vec::with_capacity(overlay.len());
    for (id, written) in overlay {
        let table = existing(catalog, *id)?;
        let own = |s: &SegmentEntry| written.segments.iter().any(|w| w.id == s.id);
        let (new, old) = table.visible(at).partition::<Vec<_>, _>(|s| own(s));
        let scans = |all: Vec<&SegmentEntry>| all.into_iter().map(SegmentScan::from).collect();
        let scope = Scope::Transaction { removes: written.replaces };
        checks.push(check(catalog, table, at, (scans(new), scans(old)), &scope)?);
    }
    Ok(checks)
}

impl Work {
    /// The most memory that one of its operators needs at one party: an estimate from public shapes.
    ///
    /// # Errors
    /// `Bug` for a plan that contradicts itself.
    pub fn memory(&self) -> Result<Memory> {
        let rules = self.checks.iter().flat_map(|c| &c.rules);
        let rules = rules.filter_map(|r| match &r.rule {
            Rule::NoRow(plan) => Some(&**plan),
            Rule::Unique(_) | Rule::Range(_) => None,
        });
        let source = self.write.iter().map(|write| write.0.source());
        let mut most = Memory { bytes: 0, operator: "Scan" };
        for plan in rules.chain(source) {
            let found = memory(plan)?;
            most = if found.bytes > most.bytes { found } else { most };
        }
        // A statement that rewrites holds the table, old and new, with all its columns.
        if let Some(write) = &self.write {
            let (write, _, schema) = write.as_ref();
            let row: usize = schema.segment_columns(true).iter().map(|c| c.row_bytes).sum();
            let row = u64::try_from(row).unwrap_or(u64::MAX);
            let bytes = write.made.rows.saturating_mul(row.saturating_mul(4));
            if bytes > most.bytes {
                most = Memory { bytes, operator: write.name() };
            }
        }
        Ok(most)
    }

    /// What the nodes compare before the first protocol message.
    ///
    /// # Errors
    /// Never in practice: the encoding goes into memory.
    pub fn digest(&self) -> std::result::Result<[u8; 32], SqlError> {
        let bytes = postcard::to_stdvec(&(PLAN_FORMAT, self))
            .map_err(|e| SqlError::new(sqlstate::INTERNAL_ERROR, e.to_string()))?;
        Ok(*blake3::hash(&bytes).as_bytes())
    }
}

/// Does the work as one party of three: runs the statement and stages its segment, then evaluates the
/// rules. `salts` key the digests of the two components that this party holds of that segment; each is
/// known to its two holders only. Opens one bit.
///
/// # Errors
/// [`QueryError::Mpc`] costs the attempt; `Storage` and `Sql` are final.
pub fn run_work(
    work: &Work,
    session: &mut Session,
    store: &Store,
    salts: [[u8; 16]; 2],
) -> Result<Done> {
    let s = session;
    let mut bits: Vec<(String, Planes)> = Vec::new();
    let mut staged = None;
    let mut hit = None;
    if let Some(write) = &work.write {
        let written = write::run(&write.0, (write.1, &write.2), s, Some(store), salts)?;
        (staged, hit) = (Some(written.staged), Some(written.hit.clone()));
        bits = unfit(written, &write.2, s)?;
    }
    for check in &work.checks {
        for Labelled { label, rule } in &check.rules {
            if let Some(bit) = violation(check, rule, s, Some(store))? {
                bits.push((label.clone(), bit));
            }
        }
    }
    let holds = all_hold(&bits, s)?;
    let verdict = match (holds, staged) {
        (false, _) => Verdict::Violated,
        (true, None) => Verdict::Holds,
        (true, Some(staged)) => Verdict::Staged(staged),
    };
    Ok(Done { verdict, shares: report(hit.as_ref(), bits, s)? })
}

/// By kind, one bit: values that do not fit their columns, and what could not be computed.
fn unfit(
    written: write::Written,
    schema: &TableSchema,
    s: &mut Session,
) -> Result<Vec<(String, Planes)>> {
    let mut bits = Vec::new();
    for (column, misfit) in written.misfits.iter().filter(|(_, m)| !m.is_empty()) {
        let name = schema.columns.get(*column).map_or("", |c| c.name.as_str());
        bits.push((format!("column:{name}"), protocol::or_all_rows(s, misfit)?));
    }
    for (failure, bit) in written.failures {
        let SqlError { sqlstate, message, .. } = failure.error();
        bits.push((format!("failure:{sqlstate}:{message}"), bit));
    }
    Ok(bits)
}

fn all_hold(bits: &[(String, Planes)], s: &mut Session) -> Result<bool> {
    let mut rows = bits.iter().map(|(_, bit)| bit);
    let Some(first) = rows.next() else { return Ok(true) };
    let all = rows.fold(first.clone(), |above, bit| above.concat(bit));
    let any = protocol::or_all_rows(s, &all)?;
    let opened = protocol::open_planes(s, &any, policy::permit_verdict())?;
    Ok(opened.first().is_some_and(|byte| byte & 1 == 0))
}

/// How many bits are 1, in one row.
fn counted(hit: Option<&Planes>, s: &mut Session) -> Result<Arith<u64>> {
    let Some(hit) = hit.filter(|hit| !hit.is_empty()) else {
        return Ok(crate::arith::constant(s, 1, 0));
    };
    let ones = protocol::bits_to_arith::<u64>(s, hit)?.pop();
    Ok(ones.ok_or_else(|| QueryError::bug("a bit without a plane"))?.sum())
}

/// One row for the client: how many rows were written, and which rules are violated.
fn report(
    hit: Option<&Planes>,
    bits: Vec<(String, Planes)>,
    s: &mut Session,
) -> Result<ResultShares> {
    let rows = hit.map_or(0, Planes::len);
    let high = i128::try_from(rows).map_err(|_| QueryError::bug("more rows than memory"))?;
    let count = Type::Number { kind: NumberKind::BigInt, low: 0, high };
    let counted = ArithAny::A64(counted(hit, s)?);
    let mut fields = vec![Field { name: "rows".into(), ty: count.clone(), nullable: false }];
    let mut columns = vec![Column::from_arith(count, counted, None)];
    for (label, bit) in bits {
        fields.push(Field { name: label, ty: Type::Boolean, nullable: false });
        columns.push(Column::from_planes(Type::Boolean, bit, None));
    }
    let relation = Relation { rows: 1, valid: None, columns };
    let (columns, vectors) = output(relation, &fields, s)?;
    let mut header = ResultHeader { rows: 1, columns, ordered: true, ..ResultHeader::default() };
    header.set_kind(ResultKind::Shares);
    Ok(ResultShares { header, vectors })
}

/// One row of one bit: whether the rule is violated; none if it cannot be.
fn violation(
    check: &Check,
    rule: &Rule,
    s: &mut Session,
    store: Option<&Store>,
) -> Result<Option<Planes>> {
    let rows = match rule {
        Rule::Unique(columns) => {
            let mut new = read(check, &check.new, columns, s, store)?;
            let mut old = read(check, &check.old, columns, s, store)?;
            unique::duplicates(&mut new, &mut old, s)?
        }
        Rule::Range(column) => {
            let mut new = read(check, &check.new, &[*column], s, store)?;
            let schema = check.schema.columns.get(*column);
            let limits = schema.and_then(trine_proto::schema::Column::limits);
            let (low, high) = limits.ok_or_else(|| QueryError::bug("a range without ends"))?;
            rules::outside((low, high), &mut new, s)?
        }
        Rule::NoRow(plan) => {
            let (found, failures) = evaluate(plan, s, store)?;
            // What cannot be computed does not hold.
            let mut bits = (found.rows > 0).then(|| found.valid_bit(s));
            for (_, bit) in failures {
                bits = Some(bits.map_or_else(|| bit.clone(), |above| above.concat(&bit)));
            }
            bits
        }
    };
    rows.filter(|bits| !bits.is_empty())
        .map(|bits| protocol::or_all_rows(s, &bits).map_err(QueryError::from))
        .transpose()
}

fn read(
    check: &Check,
    segments: &[SegmentScan],
    columns: &[usize],
    s: &Session,
    store: Option<&Store>,
) -> Result<Relation> {
    let (table, schema) = (check.table, &check.schema);
    let source = Source { table, schema, segments, columns, kept: None };
    scan(&source, &vec![Want::PLANES; columns.len()], s, store)
}
