//! SQL through planner and executor, over tables in memory.
//!
//! What the figures are about are the operators between the scans and the root: tables are read from
//! their segments before, and the root's shuffle of the result comes after; both are listed beside.

use super::input::{Draw, held, mask, planes, seed};
use super::job::Job;
use super::measure::{Counted, Sample, Step, cpu_ns, now_ns, seconds};
use super::operation::Operation;
use super::vector::Part;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trine_mpc::input::{cut_arithmetic, cut_boolean};
use trine_mpc::sort::sort;
use trine_mpc::{Planes, Session};
use trine_proto::CHUNK_ROWS;
use trine_proto::catalog::{Catalog, NetProfile, SegmentEntry, TableEntry, TableRules};
use trine_proto::ids::{LogIndex, Party, SegmentId, TableId};
use trine_proto::schema::{Column, ColumnType, Form, Secrecy, StoredColumn, TableSchema};
use trine_query::plan::{Operator, Plan};
use trine_query::{Observer, OperatorCost, QueryError, Statement, inputs, operator_name};
use trine_storage::{ComponentHeader, ComponentSource, Memory, SegmentHeader, StorageError, Store};

/// The step that sorts the key of a `GROUP BY` by itself, after everything else.
pub(super) const SORT_ALONE: &str = "sort alone";
/// Position at which everything exists.
const POSITION: LogIndex = LogIndex(1);
/// Who asks.
const PRINCIPAL: &str = "bench";
/// Bits of a measure or payload beside a wide key.
const PAYLOAD_BITS: usize = 32;

/// A table in the clear: values by column.
pub(super) struct Table {
    name: &'static str,
    columns: Vec<(&'static str, (i64, i64), Vec<i64>)>,
    primary_key: Vec<usize>,
}

impl Table {
    /// Values of one column.
    pub(super) fn values(&self, column: usize) -> &[i64] {
        self.columns.get(column).map_or(&[], |(_, _, values)| values)
    }
    fn rows(&self) -> usize {
        self.values(0).len()
    }
    fn schema(&self) -> TableSchema {
        let column = |(name, range, _): &(&str, (i64, i64), Vec<i64>)| Column {
            name: (*name).to_owned(),
            ty: ColumnType::BigInt,
            nullable: false,
            secrecy: Secrecy::Secret,
            range: Some(*range),
        };
        TableSchema {
            name: self.name.to_owned(),
            columns: self.columns.iter().map(column).collect(),
            primary_key: self.primary_key.clone(),
        }
    }
}

/// The statement of an operation.
const fn sql(operation: Operation) -> &'static str {
    match operation {
        Operation::GroupbySum => "SELECT k, sum(v) AS total FROM t GROUP BY k",
        Operation::GroupbySmall => "SELECT k, sum(v) AS total, count(*) AS n FROM t GROUP BY k",
        Operation::JoinUnique => "SELECT t.k, t.v, u.p FROM t JOIN u ON t.k = u.k",
        _ => "SELECT k, v FROM t ORDER BY k LIMIT 10",
    }
}

/// The tables of an operation, in the clear.
pub(super) fn tables(job: &Job) -> Vec<Table> {
    let narrow = |v: u128| i64::try_from(v & mask(62)).unwrap_or(0);
    let top = |bits: usize| narrow(mask(bits));
    let column = |index: u64, bits: usize, rows: usize| {
        let mut draw = Draw::of(job, index);
        (0..rows).map(|_| narrow(draw.value(bits))).collect::<Vec<i64>>()
    };
    let picked = |from: &[i64]| {
        let mut draw = Draw::of(job, 7);
        (0..job.rows).map(|_| from[draw.below(from.len())]).collect::<Vec<i64>>()
    };
    let table = |name, columns, primary_key| Table { name, columns, primary_key };
    let key = (0, top(job.bits));
    let payload = (0, top(PAYLOAD_BITS));
    let values = column(1, PAYLOAD_BITS, job.rows);
    match job.operation {
        Operation::GroupbySum => {
            let keys = picked(&distinct(job, job.groups));
            vec![table("t", vec![("k", key, keys), ("v", payload, values)], vec![])]
        }
        Operation::GroupbySmall => {
            let groups: Vec<i64> = (0..).take(job.groups).collect();
            let range = (0, groups.last().copied().unwrap_or(0));
            let measure = ("v", key, column(1, job.bits, job.rows));
            vec![table("t", vec![("k", range, picked(&groups)), measure], vec![])]
        }
        Operation::JoinUnique => {
            // A quarter of the rows of t finds nothing, where the width leaves keys for that.
            let mut all = distinct(job, job.unique_rows());
            let unique: Vec<i64> = all.split_off(job.unique_rows() / 4);
            let rows = unique.len();
            all.extend(&unique);
            let many = vec![("k", key, picked(&all)), ("v", payload, values)];
            let one = vec![("k", key, unique), ("p", payload, column(2, PAYLOAD_BITS, rows))];
            vec![table("t", many, vec![]), table("u", one, vec![0])]
        }
        _ => {
            let keys = column(0, job.bits, job.rows);
            vec![table("t", vec![("k", key, keys), ("v", payload, values)], vec![])]
        }
    }
}

/// Distinct keys of the job's width, in no order.
fn distinct(job: &Job, count: usize) -> Vec<i64> {
    let mut draw = Draw::of(job, 5);
    let mut seen = BTreeSet::new();
    let mut keys = Vec::with_capacity(count);
    while keys.len() < count {
        let key = i64::try_from(draw.value(job.bits)).unwrap_or(0);
        if seen.insert(key) {
            keys.push(key);
        }
    }
    keys
}

/// One party's share store and the statement.
pub(super) struct Prepared {
    store: Store,
    statement: Statement,
    /// The key of a `GROUP BY`, whose sort is timed by itself too.
    key: Option<Planes>,
}

/// Stores a party's shares of the tables.
///
/// # Errors
/// Those of planner and storage.
pub(super) fn prepare(job: &Job, party: usize) -> Result<Prepared, QueryError> {
    let store = Store::open(Arc::new(Memory::new()))?;
    for (index, table) in (0..).zip(tables(job)) {
        stage(job, party, index, &table, &store)?;
    }
    let key = (job.operation == Operation::GroupbySum).then(|| {
        let values = tables(job).first().map_or_else(Vec::new, |t| t.values(0).to_vec());
        let values: Vec<u128> =
            values.into_iter().map(|v| u128::try_from(v).unwrap_or(0)).collect();
        planes(job, party, u32::MAX, job.bits, &values)
    });
    Ok(Prepared { store, statement: compile(job)?, key })
}

/// Bytes of the shares that a party holds of all columns, in every encoding.
pub(super) fn input_bytes(job: &Job) -> u64 {
    let bytes = |table: &Table| {
        let bits: u64 = table.schema().stored_columns().iter().map(|c| u64::from(c.bits)).sum();
        table.rows() as u64 * bits / 4
    };
    tables(job).iter().map(bytes).sum()
}

/// The plan of an operation, as every node would make it.
///
/// # Errors
/// Those of the planner.
fn compile(job: &Job) -> Result<Statement, QueryError> {
    let profile = job.profile();
    let mut catalog = Catalog {
        net_profile: NetProfile {
            round_trip_us: profile.round_trip_us,
            megabits_per_s: profile.megabits_per_s,
            lanes: profile.lanes,
        },
        applied: POSITION,
        ..Catalog::default()
    };
    for (index, table) in (0..).zip(tables(job)) {
        let segment = SegmentEntry {
            id: segment_id(index),
            rows: table.rows() as u64,
            valid_from: POSITION,
            valid_to: None,
            component_digests: [[0; 32]; 3],
            has_valid: false,
            layout: None,
        };
        let entry = TableEntry {
            id: TableId(index),
            schema: table.schema(),
            owner: PRINCIPAL.to_owned(),
            created: POSITION,
            dropped: None,
            segments: vec![segment],
            grants: BTreeMap::new(),
            rules: TableRules::default(),
            replaces: None,
        };
        catalog.tables.insert(entry.id, entry);
    }
    Ok(trine_query::compile(sql(job.operation), &catalog, POSITION, PRINCIPAL, 0)?)
}

fn segment_id(table: u64) -> SegmentId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&table.to_le_bytes());
    SegmentId(id)
}

/// Cuts a table and keeps one party's part, as an upload would.
fn stage(
    job: &Job,
    party: usize,
    index: u64,
    table: &Table,
    store: &Store,
) -> Result<(), StorageError> {
    let schema = table.schema();
    // Tables of one job must not share a seed.
    let job = &Job { seed: job.seed ^ (index + 1) << 56, ..job.clone() };
    let seeds = [seed(job, 0), seed(job, 1)];
    let sources = [
        ComponentSource::Seed(seeds[0]),
        ComponentSource::Seed(seeds[1]),
        ComponentSource::Explicit,
    ];
    let (own, next) = held(party, &sources);
    let explicit = [&own, &next].into_iter().any(|s| *s == ComponentSource::Explicit);
    let salt = |slot: usize| [u8::try_from((party + slot) % 3).unwrap_or(0); 16];
    let header = SegmentHeader {
        party: Party::ALL[party],
        table: TableId(index),
        segment: segment_id(index),
        schema_digest: schema.digest(),
        rows: table.rows() as u64,
        layout: schema.stored_columns(),
        components: [
            ComponentHeader { salt: salt(0), source: own },
            ComponentHeader { salt: salt(1), source: next },
        ],
    };
    let layout = header.layout.clone();
    let mut writer = store.stage(header)?;
    for (chunk, from) in (0..).zip((0..table.rows()).step_by(CHUNK_ROWS)) {
        let rows = from..table.rows().min(from + CHUNK_ROWS);
        let count = rows.len();
        let cut = |(stored, layout): (u32, &StoredColumn)| {
            let mut bytes = plain_bytes(table, layout, rows.clone());
            let cut = match layout.form {
                Form::Boolean => cut_boolean,
                Form::Arithmetic => cut_arithmetic,
            };
            cut(&mut bytes, &seeds[0], &seeds[1], stored, chunk);
            bytes
        };
        let columns: Vec<Vec<u8>> =
            if explicit { (0..).zip(&layout).map(cut).collect() } else { Vec::new() };
        writer.append(count, &columns, &[])?;
    }
    writer.finish()?;
    Ok(())
}

fn plain_bytes(table: &Table, layout: &StoredColumn, rows: std::ops::Range<usize>) -> Vec<u8> {
    let (_, (low, _), values) = &table.columns[layout.column];
    let shift = if layout.form == Form::Boolean { *low } else { 0 };
    let row = |v: &i64| v.wrapping_sub(shift).to_le_bytes().into_iter().take(layout.row_bytes);
    values[rows].iter().flat_map(row).collect()
}

/// When every operator began.
#[derive(Default)]
struct Marks(Vec<(String, u64, u64)>);

impl Observer for Marks {
    fn operator(&mut self, name: &str, _done: u32, _total: u32) {
        self.0.push((name.to_owned(), now_ns(), cpu_ns()));
    }
}

/// Operators in the order in which they run, with their positions in pre-order.
fn run_order(plan: &Plan) -> Vec<(usize, &Plan)> {
    fn walk<'a>(plan: &'a Plan, next: &mut usize, out: &mut Vec<(usize, &'a Plan)>) {
        let position = *next;
        *next += 1;
        for input in inputs(plan) {
            walk(input, next, out);
        }
        out.push((position, plan));
    }
    let mut out = Vec::new();
    walk(plan, &mut 0, &mut out);
    out
}

/// Whether an operator is what the figures are about.
const fn counts(plan: &Plan) -> bool {
    !matches!(plan.op, Operator::Scan { .. } | Operator::Reveal { .. })
}

/// The cost of the operators that count.
fn counted(plan: &Plan, costs: &[OperatorCost]) -> Counted {
    let of = |c: &OperatorCost| Counted::of(c.cost, c.sorts_predicted, c.sorts_recomputed);
    run_order(plan)
        .into_iter()
        .filter(|(_, plan)| counts(plan))
        .filter_map(|(position, _)| costs.get(position))
        .fold(Counted::default(), |sum, cost| sum.plus(of(cost)))
}

/// What a dry session predicts for them, and how rows are sorted.
///
/// # Errors
/// Those of the planner.
pub(super) fn predicted(job: &Job) -> Result<(Counted, Option<String>), QueryError> {
    let plan = compile(job)?.plan;
    let costs = trine_query::dry_run(&plan, job.profile())?;
    let sort = costs.iter().find_map(|cost| cost.chosen.sort);
    Ok((counted(&plan, &costs), sort.map(|sort| sort.to_string())))
}

/// Runs the statement once.
///
/// # Errors
/// Those of the executor.
pub(super) fn run(
    prepared: &Prepared,
    s: &mut Session,
    sample: &mut Sample,
) -> Result<Part, QueryError> {
    let plan = &prepared.statement.plan;
    let mut marks = Marks::default();
    let executed = trine_query::run(plan, s, &prepared.store, &mut marks)?;
    marks.operator("end", 0, 0);
    sample.end();
    sample.counted = counted(plan, &executed.counted);
    let order = run_order(plan);
    for ((position, operator), pair) in order.iter().zip(marks.0.windows(2)) {
        let [(_, from, cpu_from), (_, to, cpu_to)] = pair else { continue };
        let own = executed.counted.get(*position).copied().unwrap_or_default();
        sample.steps.push(Step {
            name: operator_name(&operator.op).to_owned(),
            seconds: seconds(*from, *to),
            rounds: own.cost.rounds,
            bytes: own.cost.bytes[s.party()],
        });
        if counts(operator) {
            if sample.from_ns == 0 {
                (sample.from_ns, sample.cpu_from_ns) = (*from, *cpu_from);
            }
            (sample.to_ns, sample.cpu_to_ns) = (*to, *cpu_to);
        } else if matches!(operator.op, Operator::Scan { .. }) {
            // A table is read between the operators that count: only what follows is one stretch.
            (sample.from_ns, sample.cpu_from_ns) = (0, 0);
        }
    }
    if let Some(key) = &prepared.key {
        sample.beside(SORT_ALONE, s, |s| sort(s, key))?;
    }
    Ok(Part::executed(&executed))
}
