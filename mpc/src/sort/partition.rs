//! Stable partition by one bit, through opened destinations.

use super::order::SortOrder;
use super::radix::{destinations, open_destinations};
use super::shuffle::Shuffle;
use crate::{MpcError, Planes, Result, Session};

/// Stable partition: rows whose bit is 1 first, then rows whose bit is 0. 7 rounds, 52 bytes a row
/// by all parties together ([`crate::cost::cost_partition`]); nothing below two rows.
///
/// Reveals a uniformly random permutation: the destinations of all rows, shuffled.
///
/// # Errors
/// Network; a column of another width than 1; destinations that are none.
pub fn partition(s: &mut Session, bit: &Planes) -> Result<SortOrder> {
    if bit.width() != 1 {
        return Err(MpcError::Shape("a partition by one bit"));
    }
    if bit.is_ghost() && !s.is_dry() {
        return Err(MpcError::Shape("a ghost column in a real session"));
    }
    let rows = bit.len();
    if rows <= 1 {
        return Ok(SortOrder::still(Shuffle::draw(s, rows), rows));
    }
    // Ones first: the digit is the complement.
    let destinations = destinations(s, &bit.not(s.party()))?;
    let shuffle = Shuffle::draw(s, rows);
    let (public, _) = open_destinations(s, &shuffle, destinations, None)?;
    if s.is_dry() {
        return Ok(SortOrder::still(shuffle, rows));
    }
    Ok(SortOrder::new(s, shuffle, &public))
}
