//! Functions that move bytes by a secret number of places: a choice of all bytes for every bit of
//! that number.

use super::Text;
use crate::bits;
use crate::error::Result;
use crate::expr::case::spread;
use crate::expr::indicators;
use trine_mpc::{Planes, Session, protocol};
use trine_proto::schema::bits_for;

fn digits(most: usize) -> usize {
    bits_for(most as u128) as usize
}

/// The text without its first `count` bytes, `count` secret and at most as long as the text. 8 ANDs
/// a byte and bit of the count.
pub(super) fn forwards(planes: &Planes, count: &Planes, s: &mut Session) -> Result<Planes> {
    let width = planes.width();
    let mut now = planes.clone();
    for digit in 0..count.width() {
        let gone = (8_usize << digit).min(width);
        let zeros = bits::constant(s, planes.len(), &vec![false; gone]);
        let moved = zeros.stack(&now.bits(0..width - gone));
        now = protocol::select(s, &count.bits(digit..digit + 1), &moved, &now)?;
    }
    Ok(now)
}

/// Zero bytes in front, `count` of them.
fn backwards(planes: &Planes, count: &Planes, s: &mut Session) -> Result<Planes> {
    let width = planes.width();
    let mut now = planes.clone();
    for digit in 0..count.width() {
        let gone = (8_usize << digit).min(width);
        let moved = now.bits(gone..width).zero_extend(width);
        now = protocol::select(s, &count.bits(digit..digit + 1), &moved, &now)?;
    }
    Ok(now)
}

/// Blocks of one bit: byte i is in the set.
fn members(x: &Text, set: &[u8], s: &mut Session) -> Result<Option<Planes>> {
    let Some(blocks) = x.blocks() else { return Ok(None) };
    let mut cells: Vec<usize> = set.iter().map(|b| usize::from(*b)).collect();
    cells.sort_unstable();
    cells.dedup();
    let found = indicators(&blocks, &cells, s)?;
    Ok(found.into_values().reduce(|x, y| x.xor(&y)))
}

/// Without leading bytes of a set.
pub(super) fn trim_start(x: &mut Text, set: &[u8], s: &mut Session) -> Result<Planes> {
    let Some(mut leading) = members(x, set, s)? else { return Ok(x.planes.clone()) };
    let (rows, bytes) = (x.rows, x.bytes);
    let mut step = 1;
    while step < bytes {
        let back = leading.slice(step * rows..bytes * rows);
        let back = protocol::and(s, &back, &leading.slice(0..(bytes - step) * rows))?;
        leading = leading.slice(0..step * rows).concat(&back);
        step *= 2;
    }
    let width = digits(bytes);
    let mut count = bits::constant(s, rows, &vec![false; width]);
    for i in 0..bytes {
        let change: Vec<bool> = bits::number_bits((i ^ (i + 1)) as u128, width);
        count = count.xor(&spread(s, &x.block(&leading, i), &change));
    }
    forwards(&x.planes, &count, s)
}

/// Without trailing bytes of a set.
pub(super) fn trim_end(x: &Text, set: &[u8], s: &mut Session) -> Result<Planes> {
    let with_zero: Vec<u8> = set.iter().copied().chain([0]).collect();
    let Some(mut trailing) = members(x, &with_zero, s)? else { return Ok(x.planes.clone()) };
    let (rows, bytes) = (x.rows, x.bytes);
    let mut step = 1;
    while step < bytes {
        let front = trailing.slice(0..(bytes - step) * rows);
        let front = protocol::and(s, &front, &trailing.slice(step * rows..bytes * rows))?;
        trailing = front.concat(&trailing.slice((bytes - step) * rows..bytes * rows));
        step *= 2;
    }
    let Some(blocks) = x.blocks() else { return Ok(x.planes.clone()) };
    let kept = protocol::and(s, &trailing.not(s.party()), &blocks)?;
    Ok(x.of_blocks(&kept, s))
}

/// The last `count` bytes.
pub(super) fn right(x: &mut Text, count: usize, s: &mut Session) -> Result<Planes> {
    let skipped: Vec<usize> = (0..=x.bytes).map(|length| length.saturating_sub(count)).collect();
    let width = digits(x.bytes.saturating_sub(count));
    let skipped = x.by_length(&skipped, width, s)?;
    let moved = forwards(&x.planes, &skipped, s)?;
    let all = Text { planes: moved, bytes: x.bytes, rows: x.rows, filled: None };
    Ok(all.slice(0, count.min(x.bytes), s))
}

/// x, then a public text, in a text of `bytes`. Local but for the length of x.
pub(super) fn followed_by(
    x: &mut Text,
    text: &[u8],
    bytes: usize,
    s: &mut Session,
) -> Result<Planes> {
    let filled = x.filled(s)?;
    let mut out = x.slice(0, bytes, s);
    for length in 0..=x.bytes {
        let before = length.checked_sub(1).map(|i| x.block(&filled, i));
        let here = (length < x.bytes).then(|| x.block(&filled, length));
        // The length is this: the byte before is there, and this one is not.
        let ends = match (before, here) {
            (Some(before), Some(here)) => before.xor(&here),
            (Some(before), None) => before,
            (None, Some(here)) => here.not(s.party()),
            (None, None) => bits::constant_bit(s, x.rows, true),
        };
        let mut placed = vec![0; length];
        placed.extend_from_slice(text);
        placed.truncate(bytes);
        out = out.xor(&spread(s, &ends, &bits::text_bits(&placed, bytes)));
    }
    Ok(out)
}

/// x, then y.
pub(super) fn concatenated(x: &mut Text, y: &mut Text, s: &mut Session) -> Result<Planes> {
    let bytes = x.bytes + y.bytes;
    let lengths: Vec<usize> = (0..=x.bytes).collect();
    let length = x.by_length(&lengths, digits(x.bytes), s)?;
    let behind = backwards(&y.slice(0, bytes, s), &length, s)?;
    Ok(x.slice(0, bytes, s).xor(&behind))
}
