//! A compiled statement: what the node runs, compares and explains.

use crate::error::QueryError;
use crate::executor::{self, Observer};
use crate::explain;
use crate::frontend::{self, Bound, Explain, Positions};
use crate::output::{ShareVector, sql_type};
use crate::plan::{Failure as PlanFailure, Field, PLAN_FORMAT, Plan};
use crate::planner::Planner;
use crate::policy;
use crate::rules;
use crate::types::{NumberKind, Type};
use crate::work::{self, Work};
use std::sync::Mutex;
use std::thread;
use trine_mpc::{Profile, Session};
use trine_proto::catalog::{Catalog, NetProfile, Parameters, WriteEntry};
use trine_proto::ids::LogIndex;
use trine_proto::schema::{
    Column, ColumnType, DECIMAL_DIGITS_MAX, DOUBLE_FRACTION_BITS, Secrecy, TableSchema,
};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::{self, Counted, ExplainRow, ResultHeader, ResultKind};
use trine_storage::Store;

/// Stack of the compiling thread: enough for the deepest statement within the limits.
const STACK_BYTES: usize = 256 << 20;

/// A statement that any node compiles to the same plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Whether to run it, explain it or both.
    pub explain: Explain,
    /// The plan; its root is Reveal.
    pub plan: Plan,
    /// Replicated network profile at the statement's position.
    pub net_profile: NetProfile,
    /// EXPLAIN of a statement that writes: what that would do.
    work: Option<Box<Work>>,
    digest: [u8; 32],
}

/// This party's part of a result.
#[derive(Clone, Debug)]
pub struct ResultShares {
    /// Public description; `attempt` and `seconds` are the node's to fill in.
    pub header: ResultHeader,
    /// Per column its values, then its NULL plane if nullable; then the valid plane; last one plane of
    /// one row for each failure of the header. Empty for EXPLAIN ANALYZE.
    pub vectors: Vec<ShareVector>,
}

/// Compiles a statement against the catalog at a log index, for a principal. The same arguments
/// give the same plan, on every machine. Takes some milliseconds, on a thread of its own.
///
/// # Errors
/// Whatever is wrong with the statement or not supported, with SQLSTATE, position and hint.
pub fn compile(
    sql: &str,
    catalog: &Catalog,
    at: LogIndex,
    principal: &str,
    signed_at_ms: u64,
) -> Result<Statement, SqlError> {
    on_a_large_stack(|| on_this_stack(sql, catalog, at, principal, signed_at_ms))
}

/// The same for a statement whose parameters `$1`, `$2`, … its client has shared. The plan names the
/// set, so that the nodes agree on it.
///
/// # Errors
/// As [`compile`]; 42P02 for a parameter that there is not.
pub fn compile_with(
    sql: &str,
    parameters: Option<&Parameters>,
    catalog: &Catalog,
    at: LogIndex,
    principal: &str,
    signed_at_ms: u64,
) -> Result<Statement, SqlError> {
    on_a_large_stack(|| {
        let who = (principal, signed_at_ms);
        if let Some(explained) = explained_write(sql, parameters, catalog, at, who)? {
            return Ok(explained);
        }
        let bound = frontend::bind_with(sql, catalog, at, who, parameters)?;
        planned(sql, &bound, catalog)
    })
}

/// EXPLAIN of a statement that writes; none for any other.
fn explained_write(
    sql: &str,
    parameters: Option<&Parameters>,
    catalog: &Catalog,
    at: LogIndex,
    (principal, signed_at_ms): (&str, u64),
) -> Result<Option<Statement>, SqlError> {
    let Some((name, rewrites)) = frontend::explained_write(sql)? else { return Ok(None) };
    let write = WriteEntry {
        principal: principal.to_owned(),
        sql: sql.to_owned(),
        rewrites,
        refreshes: false,
        parameters: parameters.cloned(),
        statement_digest: [0; 32],
        signed_at_ms,
    };
    let table = policy::writable_table(catalog, at, principal, &name)?;
    let (plan, work) = work::of_statement(catalog, table, at, &write)?;
    let net_profile = catalog.net_profile;
    let digest = work.digest()?;
    let work = Some(Box::new(work));
    Ok(Some(Statement { explain: Explain::Plan, plan, net_profile, work, digest }))
}

/// The same, with what PUBLIC columns alone decide computed in the clear from the segments of this
/// store. The result is a function of the catalog and of PUBLIC data, so that it is the same at all nodes.
///
/// # Errors
/// `Sql` as [`compile_with`]; `Storage` where a segment with PUBLIC columns cannot be read.
pub fn compile_over(
    sql: &str,
    parameters: Option<&Parameters>,
    catalog: &Catalog,
    at: LogIndex,
    (principal, signed_at_ms): (&str, u64),
    store: &Store,
) -> Result<Statement, QueryError> {
    let failure = Mutex::new(None);
    let compiled = on_a_large_stack(|| {
        let who = (principal, signed_at_ms);
        if let Some(explained) = explained_write(sql, parameters, catalog, at, who)? {
            return Ok(explained);
        }
        let bound = frontend::bind_with(sql, catalog, at, who, parameters)?;
        let positions = Positions::new(sql);
        let planner = Planner::new(&positions, catalog.net_profile).over(Some(store));
        let plan = planner.plan(&bound.plan, &bound.names);
        if let (Some(error), Ok(mut slot)) = (planner.take_failure(), failure.lock()) {
            *slot = Some(error);
        }
        finished(plan?, &bound, catalog)
    });
    match failure.into_inner() {
        Ok(Some(error)) => Err(QueryError::Storage(error)),
        _ => Ok(compiled?),
    }
}

/// Whether a view of this SELECT and these column names could be used: plans it once.
///
/// # Errors
/// As [`compile`]; 42701 for columns of one name.
pub fn check_view(
    sql: &str,
    columns: &[String],
    catalog: &Catalog,
    at: LogIndex,
    principal: &str,
) -> Result<(), SqlError> {
    on_a_large_stack(|| {
        on_this_stack(sql, catalog, at, principal, 0)?;
        frontend::check_view(sql, columns, catalog, at, principal)
    })
}

/// Runs the compiler on a thread of its own: deep statements recurse.
pub(crate) fn on_a_large_stack<T: Send>(
    work: impl FnOnce() -> Result<T, SqlError> + Send,
) -> Result<T, SqlError> {
    let failed = |what: &str| SqlError::new(sqlstate::INTERNAL_ERROR, what);
    thread::scope(|scope| {
        thread::Builder::new()
            .name("compile".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|_| failed("no memory to compile the statement"))?
            .join()
            .map_err(|_| failed("the statement could not be compiled: a defect of the planner"))?
    })
}

fn on_this_stack(
    sql: &str,
    catalog: &Catalog,
    at: LogIndex,
    principal: &str,
    signed_at_ms: u64,
) -> Result<Statement, SqlError> {
    let bound = frontend::bind(sql, catalog, at, principal, signed_at_ms)?;
    planned(sql, &bound, catalog)
}

fn planned(sql: &str, bound: &Bound, catalog: &Catalog) -> Result<Statement, SqlError> {
    let positions = Positions::new(sql);
    let plan = Planner::new(&positions, catalog.net_profile).plan(&bound.plan, &bound.names)?;
    finished(plan, bound, catalog)
}

fn finished(plan: Plan, bound: &Bound, catalog: &Catalog) -> Result<Statement, SqlError> {
    let net_profile = catalog.net_profile;
    let plan = rules::apply(plan);
    let digest = digest(&plan, net_profile)?;
    Ok(Statement { explain: bound.explain, plan, net_profile, work: None, digest })
}

/// The stored type that holds all values of a result column.
fn stored_column(field: &Field) -> Result<Column, SqlError> {
    let refused = || {
        SqlError::unsupported(
            format!(
                "column \"{}\" has the type {}, which cannot be stored",
                field.name,
                sql_type(&field.ty)
            ),
            "CAST it to a type of a column: BIGINT, or DECIMAL of up to 18 digits",
        )
    };
    let ty = match &field.ty {
        Type::Boolean => ColumnType::Boolean,
        Type::Text { bytes } => ColumnType::Varchar { bytes_max: *bytes },
        Type::Number { kind, low, high } => match kind {
            NumberKind::SmallInt => ColumnType::SmallInt,
            NumberKind::Int => ColumnType::Int,
            NumberKind::BigInt => ColumnType::BigInt,
            NumberKind::Date => ColumnType::Date,
            NumberKind::Timestamp => ColumnType::Timestamp,
            NumberKind::Enum { labels } => ColumnType::Enum { labels: labels.clone() },
            NumberKind::Decimal { precision, scale } => {
                let top = 10_i128.pow(u32::from(DECIMAL_DIGITS_MAX)) - 1;
                let precision = (*precision).min(DECIMAL_DIGITS_MAX);
                if *low < -top || *high > top || *scale > precision {
                    return Err(refused());
                }
                ColumnType::Decimal { precision, scale: *scale }
            }
            NumberKind::Double { .. } => ColumnType::Double { fraction_bits: DOUBLE_FRACTION_BITS },
        },
    };
    let name = field.name.clone();
    Ok(Column { name, ty, nullable: true, secrecy: Secrecy::Secret, range: None })
}

/// BLAKE3 over the plan format, the plan and the profile that chooses its circuits.
fn digest(plan: &Plan, net_profile: NetProfile) -> Result<[u8; 32], SqlError> {
    let bytes = postcard::to_stdvec(&(PLAN_FORMAT, plan, net_profile))
        .map_err(|e| SqlError::new(sqlstate::INTERNAL_ERROR, e.to_string()))?;
    Ok(*blake3::hash(&bytes).as_bytes())
}

impl Statement {
    /// A table that could hold the result, with secret columns.
    ///
    /// # Errors
    /// 0A000 for a column whose values no stored type holds.
    pub fn result_schema(&self, name: &str) -> Result<TableSchema, SqlError> {
        let columns = self.plan.fields.iter().map(stored_column).collect::<Result<_, _>>()?;
        let schema = TableSchema { name: name.into(), columns, primary_key: Vec::new() };
        // The checks that every CREATE TABLE meets: names that differ, above all.
        TableSchema::try_from(&wire::TableSchema::from(&schema))
    }

    /// What the nodes compare before the first protocol message.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The most memory that one of its operators needs at one party: an estimate from public shapes.
    ///
    /// # Errors
    /// `Bug` for a plan that contradicts itself.
    pub fn memory(&self) -> Result<executor::Memory, QueryError> {
        executor::memory(&self.plan)
    }

    /// Rows of the largest relation of the plan: a public bound.
    #[must_use]
    pub fn rows_max(&self) -> u64 {
        fn largest(plan: &Plan) -> u64 {
            let below = executor::inputs(plan).into_iter().map(largest).max();
            plan.rows.max(below.unwrap_or(0))
        }
        largest(&self.plan)
    }

    /// One row per operator, in pre-order: what it does, public bounds, predicted cost, and what
    /// the nodes learn.
    ///
    /// # Errors
    /// [`QueryError::Sql`] for a plan that cannot run.
    pub fn explain_rows(&self, profile: Profile) -> Result<Vec<ExplainRow>, QueryError> {
        match &self.work {
            Some(work) => work.explain_rows(profile),
            None => explain::rows(&self.plan, profile),
        }
    }

    /// The answer to EXPLAIN.
    ///
    /// # Errors
    /// As [`Self::explain_rows`].
    pub fn result_header_for_explain(&self) -> Result<ResultHeader, QueryError> {
        let explain = self.explain_rows(crate::cost::profile(self.net_profile))?;
        let mut header = ResultHeader { explain, ..ResultHeader::default() };
        header.set_kind(ResultKind::Explain);
        Ok(header)
    }
}

/// How the client is told of a failure.
pub(crate) fn described(failure: PlanFailure) -> wire::Failure {
    let SqlError { sqlstate, message, hint, .. } = failure.error();
    wire::Failure { sqlstate, message, hint }
}

/// Runs a statement as one party of three; EXPLAIN ANALYZE gives counted costs instead of rows.
///
/// # Errors
/// [`QueryError::Mpc`] costs the attempt; the others are final.
pub fn execute(
    statement: &Statement,
    session: &mut Session,
    store: &Store,
    observer: &mut dyn Observer,
) -> Result<ResultShares, QueryError> {
    if statement.explain == Explain::Plan {
        let header = statement.result_header_for_explain()?;
        return Ok(ResultShares { header, vectors: Vec::new() });
    }
    let profile = session.profile();
    let party = session.party();
    let executed = executor::run(&statement.plan, session, store, observer)?;
    let own = |bytes: [u64; 3]| bytes.get(party).copied().unwrap_or(0);
    let total = Counted {
        rounds: executed.counted.iter().map(|c| c.cost.rounds).sum(),
        bytes_sent: executed.counted.iter().map(|c| own(c.cost.bytes)).sum(),
    };
    let mut header = ResultHeader {
        rows: executed.rows,
        columns: executed.columns,
        total: Some(total),
        ordered: explain::is_ordered(&statement.plan),
        failures: executed.failures.into_iter().map(described).collect(),
        ..ResultHeader::default()
    };
    if statement.explain == Explain::No {
        header.set_kind(ResultKind::Shares);
        return Ok(ResultShares { header, vectors: executed.vectors });
    }
    header.set_kind(ResultKind::Explain);
    header.explain = explain::analysed(&statement.plan, profile, &executed.counted, party)?;
    Ok(ResultShares { header, vectors: Vec::new() })
}
