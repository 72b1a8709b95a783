//! Statements that write. The rows of the SELECT inside (see `frontend::writes`) become a segment of
//! fresh shares at its public bound, staged at every node:
//!
//! * INSERT: the rows that exist;
//! * UPDATE: all rows of the table, with new values where the SELECT finds the row;
//! * DELETE: all rows of the table, none of those that the SELECT finds any more.
//!
//! Which rows, and how many, is in the shared valid bits alone. What does not exist or is NULL is
//! stored as zero.

use super::assign::{Assigned, assign, fitted};
use super::segment::{self, Place};
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::executor::evaluate;
use crate::frontend::{Positions, Writes, bind_write};
use crate::ops::scan::{Source, scan};
use crate::plan::{Failure, Literal, Operator, Plan, SegmentScan};
use crate::planner::Planner;
use crate::relation::Relation;
use crate::rules;
use crate::types::Type;
use crate::want::Want;
use serde::Serialize;
use trine_mpc::{Planes, Session, protocol};
use trine_proto::catalog::{Catalog, Staged, TableEntry, WriteEntry};
use trine_proto::ids::{LogIndex, SegmentId, TableId};
use trine_proto::schema::{Secrecy, TableSchema};
use trine_proto::status::{SqlError, sqlstate};
use trine_storage::Store;

/// A compiled statement that writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Write {
    pub(super) writes: Writes,
    /// Finds the rows.
    source: Plan,
    /// INSERT: value of every column that is not named; none: NULL.
    defaults: Vec<(usize, Option<Plan>)>,
    /// UPDATE and DELETE: what is replaced.
    replaced: Vec<SegmentScan>,
    /// What is made.
    pub(super) made: SegmentScan,
}

impl Write {
    /// One line of EXPLAIN about a table.
    pub(super) fn text(&self, schema: &TableSchema) -> String {
        let name = |column: &usize| schema.columns.get(*column).map_or("", |c| c.name.as_str());
        let names = |columns: &[usize]| columns.iter().map(name).collect::<Vec<_>>().join(", ");
        let table = &schema.name;
        let head = match &self.writes {
            Writes::Insert(columns) => return format!("Insert {table} ({})", names(columns)),
            Writes::Update(columns) => format!("Update {table} ({})", names(columns)),
            Writes::Delete => format!("Delete {table}"),
        };
        let parts = if self.replaced.len() == 1 { "segment" } else { "segments" };
        format!("{head}, rewrites {} {parts}", self.replaced.len())
    }

    /// The plan that finds the rows.
    pub(super) const fn source(&self) -> &Plan {
        &self.source
    }
    /// What it is called in an error.
    pub(super) const fn name(&self) -> &'static str {
        match self.writes {
            Writes::Insert(_) => "Insert",
            Writes::Update(_) => "Update",
            Writes::Delete => "Delete",
        }
    }
}

/// What came out of a statement, before anything is opened.
pub(super) struct Written {
    pub(super) staged: Staged,
    /// 1 where a row was written.
    pub(super) hit: Planes,
    /// By column, 1 where a value does not fit.
    pub(super) misfits: Vec<(usize, Planes)>,
    /// By kind, one bit: what could not be computed.
    pub(super) failures: Vec<(Failure, Planes)>,
}

/// Compiles a statement whose attempt makes the segment `id`.
pub(super) fn compile(
    catalog: &Catalog,
    at: LogIndex,
    table: &TableEntry,
    write: &WriteEntry,
    id: SegmentId,
) -> std::result::Result<Write, SqlError> {
    let schema = &table.schema;
    let refresh = write.refreshes.then(|| refresh(table, write));
    let write = refresh.as_ref().unwrap_or(write);
    let (writes, bound) = bind_write(catalog, at, table, write, &[])?;
    let positions = Positions::new(&write.sql);
    let planner = Planner::new(&positions, catalog.net_profile);
    let source = planner.found(&bound.plan)?;
    let replaced: Vec<SegmentScan> = table.visible(at).map(SegmentScan::from).collect();
    let (targets, defaults) = match &writes {
        Writes::Insert(targets) => inserted(catalog, at, table, targets, source.fields.len())?,
        Writes::Update(targets) => (targets.clone(), Vec::new()),
        Writes::Delete => (Vec::new(), Vec::new()),
    };
    if let Some(public) = targets.iter().find(|t| is_public(schema, **t)) {
        return Err(public_column(schema, *public));
    }
    let source = if writes == Writes::Delete { source } else { fitted(source, schema, &targets)? };
    let source = rules::apply(source);
    let rewrites = !matches!(writes, Writes::Insert(_));
    let rows = if rewrites { table.rows(at) } else { source.rows };
    if rewrites && source.rows > 0 && !aligned(&source, table.id, &replaced) {
        return Err(SqlError::unsupported(
            "this condition is not supported in UPDATE or DELETE",
            "compare columns with values and with subqueries of one value, or use IN and EXISTS",
        ));
    }
    let made = SegmentScan { id, rows, has_valid: true, layout: None };
    let writes = match writes {
        Writes::Insert(_) => Writes::Insert(targets),
        other => other,
    };
    let replaced = if rewrites { replaced } else { Vec::new() };
    Ok(Write { writes, source, defaults, replaced, made })
}

/// REFRESH SHARES is a DELETE of nothing, which anybody may do for the owner: all rows are written as
/// they are, in fresh shares.
fn refresh(table: &TableEntry, write: &WriteEntry) -> WriteEntry {
    let name = table.schema.name.replace('"', "\"\"");
    let sql = format!("DELETE FROM \"{name}\" WHERE FALSE");
    WriteEntry { sql, principal: table.owner.clone(), parameters: None, ..write.clone() }
}

fn is_public(schema: &TableSchema, column: usize) -> bool {
    schema.columns.get(column).is_some_and(|c| c.secrecy == Secrecy::Public)
}

fn public_column(schema: &TableSchema, column: usize) -> SqlError {
    let name = schema.columns.get(column).map_or("", |c| c.name.as_str());
    SqlError::unsupported(
        format!("the PUBLIC column \"{name}\" cannot be written from a query"),
        "its values would have to be opened to the nodes: INSERT … VALUES writes it",
    )
}

type Targets = (Vec<usize>, Vec<(usize, Option<Plan>)>);

/// The columns that an INSERT gives, and the defaults of the others.
fn inserted(
    catalog: &Catalog,
    at: LogIndex,
    table: &TableEntry,
    targets: &[usize],
    given: usize,
) -> std::result::Result<Targets, SqlError> {
    if given > targets.len() {
        let message = "INSERT has more expressions than target columns";
        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
    }
    let schema = &table.schema;
    if given < targets.len() && targets.len() != schema.columns.len() {
        let message = "INSERT has more target columns than expressions";
        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
    }
    let targets = targets[..given].to_vec();
    let mut defaults = Vec::new();
    for column in (0..schema.columns.len()).filter(|c| !targets.contains(c)) {
        if is_public(schema, column) {
            return Err(public_column(schema, column));
        }
        let plan = match table.rules.defaults.get(&column) {
            None => None,
            Some(sql) => {
                let sql = format!("SELECT {sql}");
                let bound = crate::frontend::bind(&sql, catalog, at, &table.owner, 0)?;
                let positions = Positions::new(&sql);
                let plan = Planner::new(&positions, catalog.net_profile).found(&bound.plan)?;
                Some(rules::apply(fitted(plan, schema, &[column])?))
            }
        };
        defaults.push((column, plan));
    }
    Ok((targets, defaults))
}

/// Whether row i of the plan is row i of the scanned segments: only operators that keep rows where
/// they are, down to a scan of just these segments.
fn aligned(plan: &Plan, table: TableId, segments: &[SegmentScan]) -> bool {
    match &plan.op {
        Operator::Scan { table: t, segments: s, kept: None, .. } => *t == table && s == segments,
        Operator::Filter { input, .. }
        | Operator::Project { input, .. }
        | Operator::OneRowJoin { input, .. } => aligned(input, table, segments),
        Operator::UniqueKeyJoin { many, .. } => aligned(many, table, segments),
        Operator::PairAggregate { left, .. } => aligned(left, table, segments),
        _ => false,
    }
}

/// Runs the statement and stages what it makes; dry without a store.
pub(super) fn run(
    write: &Write,
    (table, schema): (TableId, &TableSchema),
    s: &mut Session,
    store: Option<&Store>,
    salts: [[u8; 16]; 2],
) -> Result<Written> {
    let (found, mut failures) = evaluate(&write.source, s, store)?;
    let rows =
        usize::try_from(write.made.rows).map_err(|_| QueryError::bug("more rows than memory"))?;
    let (valid, hit, columns, mut misfits) = match &write.writes {
        Writes::Insert(targets) => {
            let valid = found.valid_bit(s);
            let (columns, misfits) =
                all_columns(write, targets, found, schema, s, store, &mut failures)?;
            (valid.clone(), valid, columns, misfits)
        }
        Writes::Update(_) | Writes::Delete => {
            rewritten(write, found, rows, (table, schema), s, store)?
        }
    };
    for (_, bits) in &mut misfits {
        *bits = protocol::and(s, bits, &hit)?;
    }
    let place = Place { table, schema, made: &write.made, replaced: &write.replaced, salts };
    let staged = segment::stage(&place, valid, columns, s, store)?;
    Ok(Written { staged, hit, misfits, failures })
}

type Misfits = Vec<(usize, Planes)>;

/// INSERT: every column of the table, in order; none for PUBLIC ones.
fn all_columns(
    write: &Write,
    targets: &[usize],
    found: Relation,
    schema: &TableSchema,
    s: &mut Session,
    store: Option<&Store>,
    failures: &mut Vec<(Failure, Planes)>,
) -> Result<(Vec<Option<Assigned>>, Misfits)> {
    let rows = found.rows;
    let mut columns: Vec<Option<Assigned>> = schema.columns.iter().map(|_| None).collect();
    let mut misfits = Vec::new();
    let given = targets.iter().copied().zip(found.columns);
    let mut values: Vec<(usize, Column)> = given.collect();
    for (position, plan) in &write.defaults {
        let column = match plan {
            Some(plan) => {
                let (one, raised) = evaluate(plan, s, store)?;
                failures.extend(raised);
                let one = one.columns.into_iter().next();
                one.ok_or_else(|| QueryError::bug("a default without a column"))?
                    .repeat_row(s, rows)
            }
            None => Column::literal(s, rows, &Literal::Null, &Type::Boolean),
        };
        values.push((*position, column));
    }
    for (position, column) in values {
        let target = &schema.columns[position];
        let (assigned, misfit) = assign(column, target, s)?;
        misfits.extend(misfit.map(|bits| (position, bits)));
        columns[position] = Some(assigned);
    }
    Ok((columns, misfits))
}

type Rewritten = (Planes, Planes, Vec<Option<Assigned>>, Misfits);

/// UPDATE and DELETE: all rows of the table.
fn rewritten(
    write: &Write,
    found: Relation,
    rows: usize,
    (table, schema): (TableId, &TableSchema),
    s: &mut Session,
    store: Option<&Store>,
) -> Result<Rewritten> {
    let secret: Vec<usize> = (0..schema.columns.len()).filter(|c| !is_public(schema, *c)).collect();
    let source = Source { table, schema, segments: &write.replaced, columns: &secret, kept: None };
    let old = scan(&source, &vec![Want::PLANES; secret.len()], s, store)?;
    let valid = old.valid_bit(s);
    // A condition that is false whatever the data is has no rows at all.
    let hit =
        if found.rows == rows { found.valid_bit(s) } else { bits::constant_bit(s, rows, false) };
    let mut columns: Vec<Option<Assigned>> = schema.columns.iter().map(|_| None).collect();
    for (position, mut column) in secret.into_iter().zip(old.columns) {
        let planes = column.planes(s)?.clone();
        columns[position] = Some(Assigned { planes, null: column.null });
    }
    let mut misfits = Vec::new();
    if let (Writes::Update(targets), true) = (&write.writes, found.rows == rows) {
        for (position, column) in targets.iter().zip(found.columns) {
            let (new, misfit) = assign(column, &schema.columns[*position], s)?;
            misfits.extend(misfit.map(|bits| (*position, bits)));
            let Some(old) = columns[*position].take() else {
                return Err(QueryError::bug("a PUBLIC column is updated"));
            };
            let null = match (new.null, old.null) {
                (None, None) => None,
                (new, old) => {
                    let zero = bits::constant_bit(s, rows, false);
                    let (new, old) = (new.unwrap_or_else(|| zero.clone()), old.unwrap_or(zero));
                    Some(protocol::select(s, &hit, &new, &old)?)
                }
            };
            let planes = protocol::select(s, &hit, &new.planes, &old.planes)?;
            columns[*position] = Some(Assigned { planes, null });
        }
    }
    let valid = match write.writes {
        // What is found exists.
        Writes::Delete => valid.xor(&hit),
        _ => valid,
    };
    Ok((valid, hit, columns, misfits))
}
