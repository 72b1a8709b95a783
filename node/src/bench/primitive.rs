//! The protocols themselves on whole columns: no SQL, no storage.

use super::input::{self, Form};
use super::job::Job;
use super::measure::Sample;
use super::operation::Operation;
use super::vector::Part;
use trine_mpc::protocol::{and, arith_to_planes, bits_to_arith, equal, less_than, mul};
use trine_mpc::sort::{Column, Shuffle, SortOrder, partition, sort};
use trine_mpc::{Arith, MpcError, Planes, Result, Ring, Session};

/// One input column of a party, or its ghost.
pub(super) enum Input {
    Planes(Planes),
    Ring32(Arith<u32>),
    Ring64(Arith<u64>),
    Ring128(Arith<u128>),
}

/// A party's shares of all input columns.
pub(super) fn inputs(job: &Job, party: usize) -> Vec<Input> {
    let share = |(column, plain): (u32, input::Plain)| match plain.form {
        Form::Boolean(bits) => {
            Input::Planes(input::planes(job, party, column, bits, &plain.values))
        }
        Form::Ring(32) => Input::Ring32(input::arith(job, party, column, &plain.values)),
        Form::Ring(64) => Input::Ring64(input::arith(job, party, column, &plain.values)),
        Form::Ring(_) => Input::Ring128(input::arith(job, party, column, &plain.values)),
    };
    (0..).zip(input::plain(job)).map(share).collect()
}

/// Columns of the same shapes without data, for a dry session.
pub(super) fn ghosts(job: &Job) -> Vec<Input> {
    let one_row = Job { rows: 1, ..job.clone() };
    let ghost = |plain: input::Plain| match plain.form {
        Form::Boolean(bits) => {
            let rows = if job.operation == Operation::Round { 64 } else { job.rows };
            Input::Planes(Planes::ghost(rows, bits))
        }
        Form::Ring(32) => Input::Ring32(Arith::ghost(job.rows)),
        Form::Ring(64) => Input::Ring64(Arith::ghost(job.rows)),
        Form::Ring(_) => Input::Ring128(Arith::ghost(job.rows)),
    };
    input::plain(&one_row).into_iter().map(ghost).collect()
}

/// Bytes of the shares that a party holds of its inputs.
pub(super) fn input_bytes(job: &Job) -> u64 {
    let bytes = |input: &Input| match input {
        Input::Planes(x) => x.len().div_ceil(64) * 8 * x.width(),
        Input::Ring32(x) => x.len() * 4,
        Input::Ring64(x) => x.len() * 8,
        Input::Ring128(x) => x.len() * 16,
    };
    2 * ghosts(job).iter().map(bytes).sum::<usize>() as u64
}

/// Runs the operation once: what the figures are about inside `sample.timed`, the rest beside it.
pub(super) fn run(job: &Job, inputs: &[Input], s: &mut Session, t: &mut Sample) -> Result<Part> {
    let part = Part::of_rows(job.rows);
    match (job.operation, inputs) {
        (Operation::Round, [Input::Planes(x), Input::Planes(y)]) => {
            let chain = |s: &mut Session| (0..job.rows).try_fold(x.clone(), |z, _| and(s, &z, y));
            t.timed(s, chain).map(|z| Part::of_rows(64).with_planes(&z))
        }
        (Operation::And, [Input::Planes(x), Input::Planes(y)]) => {
            t.timed(s, |s| and(s, x, y)).map(|z| part.with_planes(&z))
        }
        (Operation::Eq, [Input::Planes(x), Input::Planes(y)]) => {
            t.timed(s, |s| equal(s, x, y)).map(|z| part.with_planes(&z))
        }
        (Operation::Lt, [Input::Planes(x), Input::Planes(y)]) => {
            t.timed(s, |s| less_than(s, x, y)).map(|z| part.with_planes(&z))
        }
        (Operation::Mul, [Input::Ring32(x), Input::Ring32(y)]) => multiply(part, s, t, x, y),
        (Operation::Mul, [Input::Ring64(x), Input::Ring64(y)]) => multiply(part, s, t, x, y),
        (Operation::Mul, [Input::Ring128(x), Input::Ring128(y)]) => multiply(part, s, t, x, y),
        (Operation::A2b, [Input::Ring32(x)]) => to_planes(job, part, s, t, x),
        (Operation::A2b, [Input::Ring64(x)]) => to_planes(job, part, s, t, x),
        (Operation::A2b, [Input::Ring128(x)]) => to_planes(job, part, s, t, x),
        (Operation::B2a, [Input::Planes(x)]) => match job.bits {
            32 => to_ring::<u32>(part, s, t, x),
            64 => to_ring::<u64>(part, s, t, x),
            _ => to_ring::<u128>(part, s, t, x),
        },
        (Operation::Shuffle, [Input::Planes(x)]) => {
            let column = vec![Column::Planes(x.clone())];
            let moved = t.timed(s, |s| Shuffle::draw(s, job.rows).apply(s, column))?;
            with_moved(part, moved)
        }
        (Operation::Sort, [Input::Planes(key)]) => {
            let order = t.timed(s, |s| sort(s, key))?;
            move_all(part, s, t, &order, key)
        }
        (Operation::Partition, [Input::Planes(bit), Input::Planes(column)]) => {
            let order = t.timed(s, |s| partition(s, bit))?;
            move_all(part, s, t, &order, column)
        }
        _ => Err(MpcError::Shape("inputs of another operation")),
    }
}

fn multiply<T: Ring>(
    part: Part,
    s: &mut Session,
    t: &mut Sample,
    x: &Arith<T>,
    y: &Arith<T>,
) -> Result<Part> {
    t.timed(s, |s| mul(s, x, y)).map(|z| part.with_arith(&z))
}

fn to_planes<T: Ring>(
    job: &Job,
    part: Part,
    s: &mut Session,
    t: &mut Sample,
    x: &Arith<T>,
) -> Result<Part> {
    t.timed(s, |s| arith_to_planes(s, x, job.bits)).map(|z| part.with_planes(&z))
}

fn to_ring<T: Ring>(part: Part, s: &mut Session, t: &mut Sample, x: &Planes) -> Result<Part> {
    let made = t.timed(s, |s| bits_to_arith::<T>(s, x))?;
    Ok(made.iter().fold(part, |part, column| part.with_arith(column)))
}

/// Moves a column as it is wanted, and the row numbers, which the verification needs.
fn move_all(
    part: Part,
    s: &mut Session,
    t: &mut Sample,
    order: &SortOrder,
    column: &Planes,
) -> Result<Part> {
    let columns = vec![Column::Planes(column.clone())];
    let moved = t.beside("move one column", s, |s| order.apply(s, columns))?;
    let part = with_moved(part, moved)?;
    if s.is_dry() {
        return Ok(part);
    }
    let rows = Planes::row_index(s.party(), column.len(), 32);
    with_moved(part, order.apply(s, vec![Column::Planes(rows)])?)
}

fn with_moved(part: Part, columns: Vec<Column>) -> Result<Part> {
    columns.into_iter().try_fold(part, |part, column| match column {
        Column::Planes(x) => Ok(part.with_planes(&x)),
        _ => Err(MpcError::Shape("planes stay planes when they move")),
    })
}
