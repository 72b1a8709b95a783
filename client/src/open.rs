//! Opening a result: three nodes' parts are compared, cross-checked by their digests, put together
//! and typed. Party i sends its component x_i and a digest of x_{i+1}; a node that changed its part
//! after the computation does not fit its neighbour's digest.

use std::fmt;

use trine_proto::ids::{ClusterId, JobId, Party};
use trine_proto::result::result_digest;
use trine_proto::schema::TIMESTAMP_LIMITS;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::{self, OutputKind, ResultHeader, ResultKind, ShareForm};

use crate::encode::date_of_days;
use crate::explain;
use crate::value::{OutputColumn, Table, Value};

/// One node's part of a result, as fetched.
#[derive(Clone, PartialEq, Default)]
pub struct ResultPart {
    /// Public facts of the result; alike at all nodes but for what each counted.
    pub header: ResultHeader,
    /// Per vector: this node's own component and the digest of its next one.
    pub vectors: Vec<ResultVector>,
}

/// One whole vector of a part.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ResultVector {
    /// x_i of party i.
    pub component: Vec<u8>,
    /// `result_digest` of x_{i+1}, 32 bytes.
    pub next_digest: Vec<u8>,
}

impl fmt::Debug for ResultPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResultPart({} rows, {} vectors)", self.header.rows, self.vectors.len())
    }
}

/// Opens the result of a job from the parts of parties 0, 1 and 2.
///
/// # Errors
/// `XX001` if the parts do not fit each other (with the nodes and the column), `22003` if a value
/// lies outside of its SQL type; what failed in some row of the computation.
pub fn open_result(
    cluster: ClusterId,
    job: JobId,
    parts: &[ResultPart; 3],
) -> Result<Table, SqlError> {
    check_headers(parts)?;
    let header = &parts[0].header;
    if header.kind() == ResultKind::Explain {
        let headers = parts.each_ref().map(|p| &p.header);
        return Ok(if header.explain_json {
            Table::of_explain(vec![explain::render_json(headers)])
        } else {
            Table::of_explain(explain::render(headers))
        });
    }
    let layout = layout(header)?;
    check_parts(cluster, job, parts, &layout)?;
    let opened: Vec<Vec<u8>> =
        layout.iter().enumerate().map(|(v, shape)| combine(parts, v, shape)).collect();
    let (flags, vectors) = failure_flags(header, &opened);
    if let Some(failure) = flags {
        return Err(failure);
    }
    let columns: Vec<OutputColumn> = header.columns.iter().map(output_column).collect();
    let rows = usize::try_from(header.rows).map_err(|_| corrupt("more rows than memory"))?;
    let valid = opened[..vectors].last().map(Vec::as_slice).unwrap_or_default();
    let mut table = Table { columns, rows: Vec::new(), explain: None };
    for row in (0..rows).filter(|&r| bit(valid, r)) {
        let mut next = 0;
        let mut values = Vec::with_capacity(header.columns.len());
        for column in &header.columns {
            let bytes = &opened[next];
            let null = column.nullable && bit(&opened[next + 1], row);
            next += 1 + usize::from(column.nullable);
            values.push(if null { Value::Null } else { value(column, bytes, row, rows)? });
        }
        table.rows.push(values);
    }
    Ok(table)
}

/// The first failure that happened, and how many vectors stand before those of the failures.
fn failure_flags(header: &ResultHeader, opened: &[Vec<u8>]) -> (Option<SqlError>, usize) {
    let vectors = opened.len().saturating_sub(header.failures.len());
    let happened = header.failures.iter().zip(&opened[vectors..]).find(|(_, plane)| bit(plane, 0));
    let error = happened.map(|(failure, _)| {
        SqlError::new(&failure.sqlstate, failure.message.clone()).hint(failure.hint.clone())
    });
    (error, vectors)
}

fn corrupt(message: impl Into<String>) -> SqlError {
    SqlError::new(sqlstate::DATA_CORRUPTED, message)
}

/// What one vector must look like.
struct Shape {
    /// Name of its column, for errors.
    name: String,
    /// Length of every component.
    bytes: usize,
    /// XOR, or the sum of elements of 8 or 16 bytes.
    form: Combine,
}

#[derive(Clone, Copy)]
enum Combine {
    Xor,
    Sum64,
    Sum128,
}

fn check_headers(parts: &[ResultPart; 3]) -> Result<(), SqlError> {
    let comparable = |part: &ResultPart| {
        let mut header = part.header.clone();
        header.seconds = 0.0;
        header.total = None;
        for row in &mut header.explain {
            row.counted = None;
        }
        header
    };
    let first = comparable(&parts[0]);
    for (other, part) in parts.iter().enumerate().skip(1) {
        if comparable(part) != first {
            return Err(corrupt(format!("nodes 0 and {other} describe the result differently"))
                .hint("ask the operators to compare the versions of their nodes"));
        }
    }
    Ok(())
}

fn layout(header: &ResultHeader) -> Result<Vec<Shape>, SqlError> {
    let too_large = || corrupt("the nodes announce a result larger than memory");
    let rows = usize::try_from(header.rows).map_err(|_| too_large())?;
    let plane_bytes = rows.div_ceil(64) * 8;
    let plane = |name: String| Shape { name, bytes: plane_bytes, form: Combine::Xor };
    let mut shapes = Vec::new();
    for column in &header.columns {
        let name = format!("column \"{}\"", column.name);
        let (unit, count, form) = match (column.form(), column.bits) {
            (ShareForm::Boolean, bits) => {
                let bits_max = if column.kind() == OutputKind::Text { u32::MAX } else { 128 };
                if bits > bits_max {
                    return Err(corrupt(format!("{name} has {bits} bits")));
                }
                (plane_bytes, bits as usize, Combine::Xor)
            }
            (ShareForm::Arithmetic, 64) => (rows, 8, Combine::Sum64),
            (ShareForm::Arithmetic, 128) => (rows, 16, Combine::Sum128),
            _ => return Err(corrupt(format!("{name} has no known form of shares"))),
        };
        let bytes = unit.checked_mul(count).ok_or_else(too_large)?;
        shapes.push(Shape { name: name.clone(), bytes, form });
        if column.nullable {
            shapes.push(plane(name));
        }
    }
    shapes.push(plane("the mark of existing rows".into()));
    for failure in &header.failures {
        let name = format!("the mark of the error \"{}\"", failure.message);
        shapes.push(Shape { name, bytes: 8, form: Combine::Xor });
    }
    Ok(shapes)
}

fn check_parts(
    cluster: ClusterId,
    job: JobId,
    parts: &[ResultPart; 3],
    layout: &[Shape],
) -> Result<(), SqlError> {
    for (node, part) in parts.iter().enumerate() {
        if part.vectors.len() != layout.len() {
            return Err(corrupt(format!(
                "node {node} sent {} vectors of the result, {} are due",
                part.vectors.len(),
                layout.len()
            )));
        }
        for (vector, shape) in part.vectors.iter().zip(layout) {
            if vector.component.len() != shape.bytes {
                return Err(corrupt(format!(
                    "{} of the result: node {node} sent {} bytes, {} are due",
                    shape.name,
                    vector.component.len(),
                    shape.bytes
                )));
            }
        }
    }
    let header = &parts[0].header;
    for (index, shape) in (0_u32..).zip(layout) {
        for party in Party::ALL {
            let (own, next) = (party.index(), party.next().index());
            let at = index as usize;
            let expected = result_digest(
                cluster,
                job,
                header.attempt,
                index,
                header.rows,
                party.next(),
                &parts[next].vectors[at].component,
            );
            if parts[own].vectors[at].next_digest != expected {
                return Err(corrupt(format!(
                    "{} of the result: nodes {own} and {next} disagree, one of them changed its part",
                    shape.name
                ))
                .hint("do not use this result; tell the operators of both nodes"));
            }
        }
    }
    Ok(())
}

fn combine(parts: &[ResultPart; 3], vector: usize, shape: &Shape) -> Vec<u8> {
    let [a, b, c] = parts.each_ref().map(|p| p.vectors[vector].component.as_slice());
    match shape.form {
        Combine::Xor => a.iter().zip(b).zip(c).map(|((a, b), c)| a ^ b ^ c).collect(),
        Combine::Sum64 => sum::<8>([a, b, c], |x, y| {
            u64::from_le_bytes(x).wrapping_add(u64::from_le_bytes(y)).to_le_bytes()
        }),
        Combine::Sum128 => sum::<16>([a, b, c], |x, y| {
            u128::from_le_bytes(x).wrapping_add(u128::from_le_bytes(y)).to_le_bytes()
        }),
    }
}

fn sum<const N: usize>(
    components: [&[u8]; 3],
    add: impl Fn([u8; N], [u8; N]) -> [u8; N],
) -> Vec<u8> {
    let [a, b, c] = components.map(|x| x.as_chunks::<N>().0);
    a.iter().zip(b).zip(c).flat_map(|((a, b), c)| add(add(*a, *b), *c)).collect()
}

/// Bit `row` of a plane of little-endian words.
fn bit(plane: &[u8], row: usize) -> bool {
    plane.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1)
}

/// Bits `from..to` of a row of planes, lowest first, as a number.
fn bits(planes: &[u8], from: usize, to: usize, row: usize, rows: usize) -> u128 {
    let plane_bytes = rows.div_ceil(64) * 8;
    (from..to)
        .map(|p| u128::from(bit(&planes[p * plane_bytes..], row)) << (p - from))
        .fold(0, |all, bit| all | bit)
}

fn output_column(column: &wire::OutputColumn) -> OutputColumn {
    OutputColumn {
        name: column.name.clone(),
        kind: column.kind(),
        sql_type: column.sql_type.clone(),
        scale: column.scale,
    }
}

fn value(
    column: &wire::OutputColumn,
    bytes: &[u8],
    row: usize,
    rows: usize,
) -> Result<Value, SqlError> {
    if column.kind() == OutputKind::Text {
        return text(column, bytes, row, rows);
    }
    let number = number(column, bytes, row, rows)?;
    let out_of_range = || {
        SqlError::new(
            sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("column \"{}\": value out of range for {}", column.name, column.sql_type),
        )
    };
    Ok(match column.kind() {
        OutputKind::Boolean => Value::Bool(number != 0),
        OutputKind::Int | OutputKind::Decimal => {
            let (low, high) = type_limits(&column.sql_type);
            if number < low || number > high {
                return Err(out_of_range());
            }
            match column.kind() {
                OutputKind::Int => Value::Int(number),
                _ => Value::Decimal { unscaled: number, scale: column.scale },
            }
        }
        OutputKind::Date => {
            let days = i32::try_from(number).map_err(|_| out_of_range())?;
            Value::Date(date_of_days(days).map(|_| days).ok_or_else(out_of_range)?)
        }
        OutputKind::Timestamp => {
            let micros = i64::try_from(number).map_err(|_| out_of_range())?;
            let (low, high) = TIMESTAMP_LIMITS;
            if micros < low || micros > high {
                return Err(out_of_range());
            }
            Value::Timestamp(micros)
        }
        OutputKind::Enum => {
            let label = usize::try_from(number).ok().and_then(|i| column.labels.get(i));
            Value::Text(label.cloned().ok_or_else(|| {
                corrupt(format!("column \"{}\": value beyond its dictionary", column.name))
            })?)
        }
        OutputKind::Double => Value::Double(shortest(number, column.fraction_bits)),
        OutputKind::Text | OutputKind::Unspecified => {
            return Err(corrupt(format!("column \"{}\" has no type", column.name)));
        }
    })
}

/// The encoded integer.
fn number(
    column: &wire::OutputColumn,
    bytes: &[u8],
    row: usize,
    rows: usize,
) -> Result<i128, SqlError> {
    let wrong = || corrupt(format!("column \"{}\" has a malformed value", column.name));
    if column.form() == ShareForm::Arithmetic {
        let number = if column.bits == 64 {
            bytes.as_chunks::<8>().0.get(row).map(|b| i128::from(i64::from_le_bytes(*b)))
        } else {
            bytes.as_chunks::<16>().0.get(row).map(|b| i128::from_le_bytes(*b))
        };
        return number.ok_or_else(wrong);
    }
    let low = match column.low.as_slice() {
        [] => 0,
        low => i128::from_le_bytes(low.try_into().map_err(|_| wrong())?),
    };
    let offset = bits(bytes, 0, column.bits as usize, row, rows);
    Ok(low.wrapping_add_unsigned(offset))
}

/// The double of the shortest decimal fraction that lies nearer to this multiple of 2^-fraction_bits
/// than to any other: what was stored as 0.1 is read as 0.1.
pub(crate) fn shortest(number: i128, fraction_bits: u32) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a double is what the column promises")]
    let steps = |x: i128| x as f64 / 2_f64.powi(fraction_bits.cast_signed());
    let exact = steps(number);
    let half = 1_u128.checked_shl(fraction_bits).map_or(0, |unit| unit / 2);
    for digits in 0..=fraction_bits * 3 / 10 + 1 {
        // number * 10^digits / 2^fraction_bits, to the nearest, and back.
        let Some(unit) = 10_u128.checked_pow(digits) else { break };
        let Some(raised) = number.unsigned_abs().checked_mul(unit) else { break };
        let Some(unscaled) = raised.checked_add(half).map(|r| r >> fraction_bits) else { break };
        // Within half a step of the number.
        if (unscaled << fraction_bits).abs_diff(raised) < unit.div_ceil(2) {
            let sign = if number < 0 { "-" } else { "" };
            return format!("{sign}{unscaled}e-{digits}").parse().unwrap_or(exact);
        }
    }
    exact
}

fn text(
    column: &wire::OutputColumn,
    planes: &[u8],
    row: usize,
    rows: usize,
) -> Result<Value, SqlError> {
    let wrong = || corrupt(format!("column \"{}\" has text that is not UTF-8", column.name));
    let length = column.bits as usize / 8;
    let mut text = Vec::with_capacity(length);
    // The first byte is the most significant one.
    for byte in (0..length).rev() {
        let value = bits(planes, byte * 8, byte * 8 + 8, row, rows);
        text.push(u8::try_from(value).map_err(|_| wrong())?);
    }
    let end = text.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    text.truncate(end);
    String::from_utf8(text).map(Value::Text).map_err(|_| wrong())
}

/// Lowest and highest (unscaled) value of a type by its SQL name; no limit for others.
fn type_limits(sql_type: &str) -> (i128, i128) {
    let signed = |bits: u32| (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1);
    match sql_type {
        "SMALLINT" => signed(16),
        "INT" | "INTEGER" => signed(32),
        "BIGINT" => signed(64),
        other => {
            let digits = other
                .strip_prefix("DECIMAL(")
                .or_else(|| other.strip_prefix("NUMERIC("))
                .and_then(|rest| rest.split([',', ')']).next())
                .and_then(|p| p.trim().parse().ok())
                .and_then(|p| 10_i128.checked_pow(p));
            digits.map_or((i128::MIN, i128::MAX), |top| (1 - top, top - 1))
        }
    }
}

#[cfg(test)]
mod tests;
