//! What a transaction asks of the nodes beside queries: whether a staged batch keeps the constraints
//! of its table, or the rows there are those of a new unique index.
//!
//! [`compile_work`] turns it into rules with plans of public shape, alike at all nodes; [`run_work`]
//! evaluates them. The nodes open one bit: the OR over all rules.

mod rules;
mod unique;

use crate::error::{QueryError, Result};
use crate::executor::evaluate;
use crate::ops::scan::{Source, scan};
use crate::plan::{PLAN_FORMAT, Plan, SegmentScan};
use crate::policy;
use crate::relation::Relation;
use crate::want::Want;
use serde::Serialize;
use trine_mpc::{Planes, Session, protocol};
use trine_proto::catalog::{Catalog, NetProfile, Subject, Validation, Verdict};
use trine_proto::ids::TableId;
use trine_proto::schema::TableSchema;
use trine_proto::status::{SqlError, sqlstate};
use trine_storage::Store;

/// Compiled work of one attempt.
#[derive(Clone, Debug, Serialize)]
pub struct Work {
    table: TableId,
    schema: TableSchema,
    /// What is checked.
    new: Vec<SegmentScan>,
    /// What it is checked against.
    old: Vec<SegmentScan>,
    rules: Vec<Rule>,
    net_profile: NetProfile,
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

/// Compiles what a validation asks for, over what is visible at its position.
///
/// # Errors
/// A table that is gone; a CHECK that cannot be planned.
pub fn compile_work(
    catalog: &Catalog,
    validation: &Validation,
) -> std::result::Result<Work, SqlError> {
    let table = catalog
        .tables
        .get(&validation.table)
        .ok_or_else(|| SqlError::new(sqlstate::UNDEFINED_TABLE, "the table does not exist"))?;
    let visible = table.visible(validation.position).map(SegmentScan::from).collect();
    let (new, old) = match &validation.subject {
        Subject::Batch(segment) => (vec![SegmentScan::from(segment)], visible),
        Subject::Index(_) => (visible, Vec::new()),
        Subject::Write(_) => {
            return Err(SqlError::unsupported(
                "statements that write are not supported",
                "INSERT the rows",
            ));
        }
    };
    let rules = match &validation.subject {
        Subject::Index(index) => vec![Rule::Unique(index.columns.clone())],
        _ => rules::of_table(catalog, table, validation.position, &new, &old)?,
    };
    Ok(Work {
        table: table.id,
        schema: table.schema.clone(),
        new,
        old,
        rules,
        net_profile: catalog.net_profile,
    })
}

impl Work {
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

/// Does the work as one party of three. Opens one bit.
///
/// # Errors
/// [`QueryError::Mpc`] costs the attempt; `Storage` and `Sql` are final.
pub fn run_work(work: &Work, session: &mut Session, store: &Store) -> Result<Verdict> {
    let s = session;
    let mut violated: Option<Planes> = None;
    for rule in &work.rules {
        if let Some(bit) = violation(work, rule, s, store)? {
            violated = Some(violated.map_or_else(|| bit.clone(), |above| above.concat(&bit)));
        }
    }
    let Some(violated) = violated else { return Ok(Verdict::Holds) };
    let any = protocol::or_all_rows(s, &violated)?;
    let opened = protocol::open_planes(s, &any, policy::permit_verdict())?;
    let holds = opened.first().is_some_and(|byte| byte & 1 == 0);
    Ok(if holds { Verdict::Holds } else { Verdict::Violated })
}

/// One row of one bit: whether the rule is violated; none if it cannot be.
fn violation(work: &Work, rule: &Rule, s: &mut Session, store: &Store) -> Result<Option<Planes>> {
    let rows = match rule {
        Rule::Unique(columns) => {
            let mut new = read(work, &work.new, columns, s, store)?;
            let mut old = read(work, &work.old, columns, s, store)?;
            unique::duplicates(&mut new, &mut old, s)?
        }
        Rule::Range(column) => {
            let mut new = read(work, &work.new, &[*column], s, store)?;
            let schema = work.schema.columns.get(*column);
            let limits = schema.and_then(trine_proto::schema::Column::limits);
            let (low, high) = limits.ok_or_else(|| QueryError::bug("a range without ends"))?;
            rules::outside((low, high), &mut new, s)?
        }
        Rule::NoRow(plan) => {
            let wants = vec![Want::NOTHING; plan.fields.len()];
            let found = evaluate(plan, &wants, s, Some(store), None)?;
            (found.rows > 0).then(|| found.valid_bit(s))
        }
    };
    rows.filter(|bits| !bits.is_empty())
        .map(|bits| protocol::or_all_rows(s, &bits).map_err(QueryError::from))
        .transpose()
}

fn read(
    work: &Work,
    segments: &[SegmentScan],
    columns: &[usize],
    s: &Session,
    store: &Store,
) -> Result<Relation> {
    let source = Source { table: work.table, schema: &work.schema, segments, columns };
    scan(&source, &vec![Want::PLANES; columns.len()], s, Some(store))
}
