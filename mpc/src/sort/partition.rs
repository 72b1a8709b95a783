//! Stable partition by one bit, through opened destinations.

use super::movement::{Flat, Kind};
use super::order::SortOrder;
use super::shuffle::{Shuffle, Shuffled};
use crate::cost::cost_partition;
use crate::protocol::{bits_to_arith, mul, open_elements};
use crate::{Arith, MpcError, Planes, Result, Session};

/// Stable partition: rows whose bit is 1 first, then rows whose bit is 0. 7 rounds, 52 bytes a row
/// by all parties together ([`cost_partition`]); nothing below two rows.
///
/// Reveals a uniformly random permutation: the destinations of all rows, shuffled.
///
/// # Errors
/// Network; a column of another width than 1.
pub fn partition(s: &mut Session, bit: &Planes) -> Result<SortOrder> {
    if bit.width() != 1 {
        return Err(MpcError::Shape("a partition by one bit"));
    }
    if bit.is_ghost() && !s.is_dry() {
        return Err(MpcError::Shape("a ghost column in a real session"));
    }
    let rows = bit.len();
    let shuffle = Shuffle::draw(s, rows);
    if s.is_dry() {
        s.charge(cost_partition(rows));
        return Ok(SortOrder::new(shuffle, Vec::new()));
    }
    if rows <= 1 {
        return Ok(SortOrder::new(shuffle, Vec::new()));
    }
    let destinations = destinations(s, bit)?;
    let (a, b) = destinations.components();
    let flat = Flat { kind: Kind::Ring32, a: pack(a), b: pack(b) };
    let moved = shuffle.apply_flat(s, flat)?;
    open_destinations(s, shuffle, moved)
}

/// Where each row goes: ones before it if it is a one, all ones and zeros before it otherwise.
fn destinations(s: &mut Session, bit: &Planes) -> Result<Arith<u32>> {
    let mut bits = bits_to_arith::<u32>(s, bit)?;
    let bit = bits.pop().ok_or(MpcError::Shape("one vector for one plane"))?;
    let rows = bit.len();
    let party = s.party();
    let index = (0_u32..).take(rows).collect();
    // up = ones up to and including the row; zeros before a zero row = row - up.
    let up = bit.prefix_sum();
    let of_zero = bit.sum().repeat_row(rows).add(&Arith::public(party, index)).sub(&up);
    let of_one = up.add_constant(party, u32::MAX);
    let gain = mul(s, &bit, &of_one.sub(&of_zero))?;
    Ok(of_zero.add(&gain))
}

/// Two elements a word.
fn pack(elements: &[u32]) -> Vec<u64> {
    let word =
        |pair: &[u32]| u64::from(pair[0]) | pair.get(1).map_or(0, |&high| u64::from(high)) << 32;
    elements.chunks(2).map(word).collect()
}

#[allow(clippy::cast_possible_truncation, reason = "the halves of a word are meant")]
fn unpack(words: &[u64], rows: usize) -> Vec<u32> {
    words.iter().flat_map(|w| [*w as u32, (w >> 32) as u32]).take(rows).collect()
}

/// Opens shuffled destinations. That all rows are among them makes them a uniform permutation.
fn open_destinations(
    s: &mut Session,
    shuffle: Shuffle,
    moved: Shuffled<Flat>,
) -> Result<SortOrder> {
    let rows = shuffle.len();
    let Shuffled(flat) = moved;
    let column = Arith::from_components(unpack(&flat.a, rows), unpack(&flat.b, rows));
    let opened = open_elements(s, &column)?;
    let mut public = vec![u32::MAX; rows];
    for (row, &target) in (0_u32..).zip(&opened) {
        match public.get_mut(target as usize) {
            Some(slot) if *slot == u32::MAX => *slot = row,
            _ => return Err(MpcError::Shape("opened destinations are no permutation")),
        }
    }
    Ok(SortOrder::new(shuffle, public))
}
