//! Tables as cut shares, plans by hand, runs by three parties.

use std::sync::Arc;
use trine_mpc::testing::{Noise, run_as};
use trine_mpc::{Profile, Session, input};
use trine_proto::CHUNK_ROWS;
use trine_proto::ids::{Party, SegmentId, TableId};
use trine_proto::schema::{Column, ColumnType, Form, Secrecy, TableSchema};
use trine_proto::wire::{OutputColumn, ShareForm};
use trine_query::plan::{Failure, Field, Literal, Operator, Plan, SegmentScan};
use trine_query::types::Type;
use trine_query::{Executed, Observer, dry_run};
use trine_storage::{ComponentHeader, ComponentSource, Memory, SegmentHeader, Store};

pub(crate) type Row = Vec<Literal>;

/// Rows by segment.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) id: TableId,
    pub(crate) schema: TableSchema,
    pub(crate) segments: Vec<(SegmentId, Vec<Row>)>,
}

pub(crate) fn column(name: &str, ty: ColumnType, nullable: bool) -> Column {
    Column { name: name.into(), ty, nullable, secrecy: Secrecy::Secret, range: None }
}

pub(crate) fn ranged(name: &str, ty: ColumnType, nullable: bool, range: (i64, i64)) -> Column {
    Column { range: Some(range), ..column(name, ty, nullable) }
}

/// A value of a column: extremes, small numbers and repetitions are frequent.
pub(crate) fn random_value(column: &Column, noise: &mut Noise) -> Literal {
    if column.nullable && noise.word().is_multiple_of(4) {
        return Literal::Null;
    }
    if let ColumnType::Varchar { bytes_max } = &column.ty {
        let length = noise.word() % (u64::from(*bytes_max) + 1);
        return Literal::Text((0..length).map(|_| b"abz~"[(noise.word() % 4) as usize]).collect());
    }
    let (low, high) = column.limits().unwrap();
    let (low, high) = (i128::from(low), i128::from(high));
    let pick = match noise.word() % 8 {
        0 => low,
        1 => high,
        2..=5 => i128::from(noise.word() % 5) - 2,
        _ => low + (noise.value(64) % ((high - low) as u128 + 1)) as i128,
    };
    let pick = pick.clamp(low, high);
    if column.ty == ColumnType::Boolean {
        Literal::Boolean(pick == 1)
    } else {
        Literal::Number(pick)
    }
}

/// A table of random rows, cut into segments of these sizes.
pub(crate) fn random_table(id: u64, columns: Vec<Column>, sizes: &[usize], seed: u64) -> Table {
    let mut noise = Noise::new(seed);
    let schema = TableSchema { name: format!("t{id}"), columns, primary_key: Vec::new() };
    let mut segments = Vec::new();
    for (index, &size) in sizes.iter().enumerate() {
        let row = |noise: &mut Noise| {
            schema.columns.iter().map(|c| random_value(c, noise)).collect::<Row>()
        };
        let rows = (0..size).map(|_| row(&mut noise)).collect();
        let mut segment = [id as u8; 16];
        segment[0] = index as u8;
        segments.push((SegmentId(segment), rows));
    }
    Table { id: TableId(id), schema, segments }
}

/// The boolean encoding of one value with its null bit, as row bytes.
fn boolean_row(column: &Column, row_bytes: usize, value: &Literal) -> Vec<u8> {
    let mut bytes = vec![0_u8; row_bytes.max(17)];
    match value {
        Literal::Null => {
            let bit = column.bits() as usize;
            if bit / 8 >= bytes.len() {
                bytes.resize(bit / 8 + 1, 0);
            }
            bytes[bit / 8] |= 1 << (bit % 8);
        }
        Literal::Boolean(b) => bytes[0] = u8::from(*b),
        Literal::Number(v) => {
            let low = i128::from(column.limits().unwrap().0);
            bytes[..16].copy_from_slice(&(v - low).to_le_bytes());
        }
        Literal::Text(text) => {
            let whole = column.bits() as usize / 8;
            for (k, byte) in text.iter().enumerate() {
                bytes[whole - 1 - k] = *byte;
            }
        }
    }
    bytes.truncate(row_bytes);
    bytes
}

fn plain_bytes(schema: &TableSchema, stored: usize, rows: &[Row]) -> Vec<u8> {
    let layout = &schema.stored_columns()[stored];
    let column = &schema.columns[layout.column];
    let encode = |row: &Row| match (layout.form, &row[layout.column]) {
        (Form::Boolean, value) => boolean_row(column, layout.row_bytes, value),
        (Form::Arithmetic, Literal::Number(v)) => (*v as i64).to_le_bytes().to_vec(),
        (Form::Arithmetic, _) => vec![0; 8],
    };
    rows.iter().flat_map(encode).collect()
}

/// Stores of the three parties with all tables in them: components 0 and 1 from seeds, 2 explicit.
pub(crate) fn stores(tables: &[&Table]) -> [Store; 3] {
    let stores = [0, 1, 2].map(|_| Store::open(Arc::new(Memory::new())).unwrap());
    for table in tables {
        for (segment, rows) in &table.segments {
            let seeds =
                [0_u8, 1].map(|k| *blake3::hash(&[&segment.0[..], &[k]].concat()).as_bytes());
            let chunks: Vec<_> = rows
                .chunks(CHUNK_ROWS)
                .enumerate()
                .map(|(index, rows)| (rows.len(), cut(&table.schema, rows, &seeds, index as u32)))
                .collect();
            for (party, store) in stores.iter().enumerate() {
                let header = header(table, *segment, rows.len(), party, &seeds);
                let mut writer = store.stage(header).unwrap();
                for (rows, (explicit, public)) in &chunks {
                    let own = if party == 0 { &[] } else { explicit.as_slice() };
                    writer.append(*rows, own, public).unwrap();
                }
                writer.finish().unwrap();
            }
        }
    }
    stores
}

/// Bytes of one chunk: the explicit component of every secret stored column, every PUBLIC one.
fn cut(
    schema: &TableSchema,
    rows: &[Row],
    seeds: &[[u8; 32]; 2],
    chunk: u32,
) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut explicit, mut public) = (Vec::new(), Vec::new());
    for (index, stored) in schema.stored_columns().iter().enumerate() {
        let mut bytes = plain_bytes(schema, index, rows);
        if stored.secrecy == Secrecy::Public {
            public.push(bytes);
            continue;
        }
        let cut = match stored.form {
            Form::Boolean => input::cut_boolean,
            Form::Arithmetic => input::cut_arithmetic,
        };
        cut(&mut bytes, &seeds[0], &seeds[1], index as u32, chunk);
        explicit.push(bytes);
    }
    (explicit, public)
}

fn header(
    table: &Table,
    segment: SegmentId,
    rows: usize,
    party: usize,
    seeds: &[[u8; 32]; 2],
) -> SegmentHeader {
    let sources = [
        ComponentSource::Seed(seeds[0]),
        ComponentSource::Seed(seeds[1]),
        ComponentSource::Explicit,
    ];
    let components = [0, 1].map(|slot| ComponentHeader {
        salt: [(party + slot) as u8; 16],
        source: sources[(party + slot) % 3].clone(),
    });
    SegmentHeader {
        party: Party::new(party).unwrap(),
        table: table.id,
        segment,
        schema_digest: table.schema.digest(),
        rows: rows as u64,
        layout: table.schema.stored_columns(),
        components,
    }
}

pub(crate) fn segment_scan(id: SegmentId, rows: u64) -> SegmentScan {
    SegmentScan { id, rows, has_valid: false, layout: None }
}

impl Table {
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.segments.iter().flat_map(|(_, rows)| rows.clone()).collect()
    }
    /// All columns of all segments.
    pub(crate) fn scan(&self) -> Plan {
        let fields = self
            .schema
            .columns
            .iter()
            .map(|c| Field { name: c.name.clone(), ty: Type::of_column(c), nullable: c.nullable })
            .collect();
        let segments: Vec<_> =
            self.segments.iter().map(|(id, rows)| segment_scan(*id, rows.len() as u64)).collect();
        Plan {
            rows: segments.iter().map(|s| s.rows).sum(),
            fields,
            op: Operator::Scan {
                table: self.id,
                schema: self.schema.clone(),
                segments,
                columns: (0..self.schema.columns.len()).collect(),
                kept: None,
            },
        }
    }
}

struct Silent;
impl Observer for Silent {
    fn operator(&mut self, _name: &str, done: u32, total: u32) {
        assert!(done < total);
    }
}

/// Runs a plan and puts the result together; checks costs and that holders agree.
pub(crate) fn run_plan(plan: &Plan, tables: &[&Table], profile: Profile) -> Vec<Row> {
    let stores = stores(tables);
    let parts: [Executed; 3] = run_as(profile, 7, |s: &mut Session| {
        let party = s.party();
        trine_query::run(plan, s, &stores[party], &mut Silent).unwrap()
    });
    check_costs(plan, &parts, profile);
    assert_eq!(failed(&parts), []);
    open(&parts)
}

pub(crate) fn check_costs(plan: &Plan, parts: &[Executed; 3], profile: Profile) {
    let dry = dry_run(plan, profile).unwrap();
    for (party, part) in parts.iter().enumerate() {
        assert_eq!(part.counted.len(), dry.len());
        for (index, (counted, dry)) in part.counted.iter().zip(&dry).enumerate() {
            let bytes = |c: trine_mpc::Cost| c.bytes[party];
            let what = format!("operator {index} of party {party}");
            assert_eq!(counted.sorts_predicted, dry.sorts_predicted, "{what}");
            assert_eq!(
                bytes(counted.cost) + bytes(dry.sorts_predicted),
                bytes(dry.cost) + bytes(counted.sorts_recomputed),
                "bytes of {what}"
            );
            assert_eq!(
                counted.cost.rounds + dry.sorts_predicted.rounds,
                dry.cost.rounds + counted.sorts_recomputed.rounds,
                "rounds of {what}"
            );
        }
    }
}

/// What a client makes of three parts: rows that exist, in order.
pub(crate) fn open(parts: &[Executed; 3]) -> Vec<Row> {
    for (party, part) in parts.iter().enumerate() {
        let after = &parts[(party + 1) % 3];
        assert_eq!(part.columns, after.columns);
        assert_eq!(part.rows, after.rows);
        for (vector, other) in part.vectors.iter().zip(&after.vectors) {
            assert_eq!(vector.next, other.own, "two holders of a component differ");
        }
    }
    let rows = parts[0].rows as usize;
    let mut index = 0;
    let mut columns = Vec::new();
    for column in &parts[0].columns {
        let values = opened(parts, index, column.form());
        let mut values = decode(column, rows, &values);
        index += 1;
        if column.nullable {
            let nulls = opened(parts, index, ShareForm::Boolean);
            index += 1;
            for (row, value) in values.iter_mut().enumerate() {
                if bit(&nulls, rows, 0, row) {
                    assert_blank(column, value);
                    *value = Literal::Null;
                }
            }
        }
        columns.push(values);
    }
    let valid = opened(parts, index, ShareForm::Boolean);
    assert_eq!(parts[0].vectors.len(), index + 1 + parts[0].failures.len());
    let mut out = Vec::new();
    for row in 0..rows {
        let values: Row = columns.iter().map(|c| c[row].clone()).collect();
        if bit(&valid, rows, 0, row) {
            out.push(values);
        } else {
            for (column, value) in parts[0].columns.iter().zip(&values) {
                assert_blank(column, value);
            }
        }
    }
    out
}

/// What failed in some row.
pub(crate) fn failed(parts: &[Executed; 3]) -> Vec<Failure> {
    let start = parts[0].vectors.len() - parts[0].failures.len();
    let happened = |index: usize| bit(&opened(parts, start + index, ShareForm::Boolean), 1, 0, 0);
    let all = parts[0].failures.iter().enumerate();
    all.filter(|(index, _)| happened(*index)).map(|(_, failure)| *failure).collect()
}

/// What does not exist must not be shown.
fn assert_blank(column: &OutputColumn, value: &Literal) {
    let blank = match value {
        Literal::Null => true,
        Literal::Boolean(b) => !b,
        Literal::Number(v) if column.form() == ShareForm::Boolean => *v == low(column),
        Literal::Number(v) => *v == 0,
        Literal::Text(text) => text.is_empty(),
    };
    assert!(blank, "{} shows {value:?} where nothing is", column.name);
}

fn low(column: &OutputColumn) -> i128 {
    i128::from_le_bytes(column.low.as_slice().try_into().unwrap())
}

fn opened(parts: &[Executed; 3], index: usize, form: ShareForm) -> Vec<u8> {
    let shares = [0, 1, 2].map(|party| &parts[party].vectors[index].own);
    match form {
        ShareForm::Boolean => {
            (0..shares[0].len()).map(|k| shares[0][k] ^ shares[1][k] ^ shares[2][k]).collect()
        }
        _ => shares.iter().flat_map(|s| s.iter().copied()).collect(),
    }
}

fn bit(planes: &[u8], rows: usize, plane: usize, row: usize) -> bool {
    let start = plane * rows.div_ceil(64) * 8;
    planes[start + row / 8] >> (row % 8) & 1 == 1
}

fn decode(column: &OutputColumn, rows: usize, bytes: &[u8]) -> Vec<Literal> {
    use trine_proto::wire::OutputKind as K;
    let width = column.bits as usize;
    if column.form() == ShareForm::Arithmetic {
        let element = width / 8;
        let part = bytes.len() / 3;
        let read = |component: usize, row: usize| {
            let start = component * part + row * element;
            let mut wide = [0_u8; 16];
            wide[..element].copy_from_slice(&bytes[start..start + element]);
            u128::from_le_bytes(wide)
        };
        return (0..rows)
            .map(|row| {
                let sum = read(0, row).wrapping_add(read(1, row)).wrapping_add(read(2, row));
                let shift = 128 - width;
                Literal::Number((sum << shift) as i128 >> shift)
            })
            .collect();
    }
    let value = |row: usize| {
        if column.kind() == K::Text {
            let byte =
                |k: usize| (0..8).map(move |j| u8::from(bit(bytes, rows, 8 * k + j, row)) << j);
            let mut text: Vec<u8> = (0..width / 8).rev().map(|k| byte(k).sum()).collect();
            while text.last() == Some(&0) {
                text.pop();
            }
            return Literal::Text(text);
        }
        let unsigned: u128 = (0..width).map(|j| u128::from(bit(bytes, rows, j, row)) << j).sum();
        if column.kind() == K::Boolean {
            Literal::Boolean(unsigned == 1)
        } else {
            Literal::Number(low(column).wrapping_add(unsigned as i128))
        }
    };
    // Bits beyond the last row would reach the client.
    for plane in 0..width {
        for row in rows..rows.div_ceil(64) * 64 {
            assert!(!bit(bytes, rows, plane, row), "a bit beyond the last row");
        }
    }
    (0..rows).map(value).collect()
}
