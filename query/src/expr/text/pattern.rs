//! LIKE and the position of a public text.
//!
//! A pattern is cut at its percent signs. Whether a piece stands at a position is an AND over "byte
//! p + i is c", made for all positions at once from one indicator a position and distinct byte. Pieces
//! follow each other greedily: after each it is known for every position whether the pattern so far
//! can end there or before.

use super::{Text, joined};
use crate::bits;
use crate::error::{QueryError, Result};
use crate::expr::case::spread;
use crate::expr::indicators;
use crate::plan::{LikePattern, LikeToken};
use std::collections::{BTreeMap, BTreeSet};
use trine_mpc::{Planes, Session, protocol};

/// For every byte that matters: blocks of one bit, "byte p is that".
struct Hits {
    of: BTreeMap<usize, Planes>,
    rows: usize,
    bytes: usize,
}

impl Hits {
    fn new(x: &Text, wanted: BTreeSet<usize>, s: &mut Session) -> Result<Self> {
        let cells: Vec<usize> = wanted.into_iter().collect();
        let of = match x.blocks() {
            Some(blocks) if !cells.is_empty() => indicators(&blocks, &cells, s)?,
            _ => BTreeMap::new(),
        };
        Ok(Self { of, rows: x.rows, bytes: x.bytes })
    }

    fn slice(&self, planes: &Planes, from: usize, count: usize) -> Planes {
        planes.slice(from * self.rows..(from + count) * self.rows)
    }

    /// Blocks from..from + count: byte p is (not) zero; a position beyond the last byte is.
    fn ends(&self, from: usize, count: usize, s: &Session) -> Result<Planes> {
        let zero = self.of.get(&0).ok_or_else(|| QueryError::bug("an indicator is missing"))?;
        let inside = count.min(self.bytes.saturating_sub(from));
        let mut parts = Vec::new();
        if inside > 0 {
            parts.push(self.slice(zero, from, inside));
        }
        if count > inside {
            parts.push(bits::constant_bit(s, (count - inside) * self.rows, true));
        }
        joined(parts).ok_or_else(|| QueryError::bug("no position is asked for"))
    }

    /// Blocks of one bit for start positions from..from + count: the piece stands there.
    fn stands(
        &self,
        piece: &[LikeToken],
        from: usize,
        count: usize,
        s: &mut Session,
    ) -> Result<Planes> {
        let mut all = Vec::with_capacity(piece.len());
        for (i, token) in piece.iter().enumerate() {
            all.push(match token {
                LikeToken::Byte(byte) => {
                    let hits = self
                        .of
                        .get(&usize::from(*byte))
                        .ok_or_else(|| QueryError::bug("an indicator is missing"))?;
                    self.slice(hits, from + i, count)
                }
                LikeToken::Any => self.ends(from + i, count, s)?.not(s.party()),
            });
        }
        bits::and_tree(s, count * self.rows, all)
    }
}

fn bytes_of(pieces: &[Vec<LikeToken>]) -> BTreeSet<usize> {
    pieces
        .iter()
        .flatten()
        .map(|token| match token {
            LikeToken::Byte(byte) => usize::from(*byte),
            LikeToken::Any => 0,
        })
        .collect()
}

/// 1 where the text matches. About (distinct bytes + piece length) ANDs a byte of the text, and
/// log2 of its length more for every piece between two percent signs.
pub(super) fn like(x: &Text, pattern: &LikePattern, s: &mut Session) -> Result<Planes> {
    let never = |s: &Session| bits::constant_bit(s, x.rows, false);
    let pieces = &pattern.pieces;
    let length: usize = pieces.iter().map(Vec::len).sum();
    if length > x.bytes {
        return Ok(never(s));
    }
    let mut wanted = bytes_of(pieces);
    if pattern.at_end {
        wanted.insert(0);
    }
    let hits = Hits::new(x, wanted, s)?;
    let mut pieces = pieces.as_slice();
    // Positions at which the next piece may begin: all from `from` on, where `open` says so.
    let mut from = 0;
    let mut open: Option<Planes> = None;
    if pattern.at_start {
        let Some((first, rest)) = pieces.split_first() else {
            return Err(QueryError::bug("a pattern without a piece"));
        };
        pieces = rest;
        let mut found = hits.stands(first, 0, 1, s)?;
        from = first.len();
        if rest.is_empty() {
            if pattern.at_end {
                let end = hits.ends(from, 1, s)?;
                found = protocol::and(s, &found, &end)?;
            }
            return Ok(found);
        }
        open = joined(vec![found; x.bytes + 1 - from]);
    }
    let (last, between) = if pattern.at_end {
        let Some((last, between)) = pieces.split_last() else {
            return Err(QueryError::bug("a pattern without an end"));
        };
        (Some(last), between)
    } else {
        (None, pieces)
    };
    let mut rest: usize = pieces.iter().map(Vec::len).sum();
    for piece in between {
        // Later pieces must fit behind this one.
        let count = x.bytes + 1 - from - rest;
        rest -= piece.len();
        let found = begins(&hits, piece, from, count, open.as_ref(), s)?;
        let last_one = rest == 0 && last.is_none();
        from += piece.len();
        if last_one {
            return any(&found, x.rows, count, s);
        }
        open = Some(until(&found, x.rows, count, s)?);
    }
    let Some(last) = last else {
        // Only percent signs behind the start.
        return Ok(open.map_or_else(|| bits::constant_bit(s, x.rows, true), |o| o.slice(0..x.rows)));
    };
    let count = x.bytes + 1 - from - last.len();
    let found = begins(&hits, last, from, count, open.as_ref(), s)?;
    let ends = hits.ends(from + last.len(), count, s)?;
    let found = protocol::and(s, &found, &ends)?;
    // A piece without zero bytes ends at a zero byte at one position only; an Any token does too.
    let mut sum = never(s);
    for p in 0..count {
        sum = sum.xor(&found.slice(p * x.rows..(p + 1) * x.rows));
    }
    Ok(sum)
}

/// For positions from..from + count: the piece begins there, and may.
fn begins(
    hits: &Hits,
    piece: &[LikeToken],
    from: usize,
    count: usize,
    open: Option<&Planes>,
    s: &mut Session,
) -> Result<Planes> {
    let found = hits.stands(piece, from, count, s)?;
    Ok(match open {
        Some(open) => protocol::and(s, &found, &hits.slice(open, 0, count))?,
        None => found,
    })
}

/// OR over blocks.
fn any(found: &Planes, rows: usize, count: usize, s: &mut Session) -> Result<Planes> {
    let none: Vec<Planes> =
        (0..count).map(|p| found.slice(p * rows..(p + 1) * rows).not(s.party())).collect();
    Ok(bits::and_tree(s, rows, none)?.not(s.party()))
}

/// Block p: OR over blocks 0..=p. Doubling: count * log2(count) ANDs.
fn until(found: &Planes, rows: usize, count: usize, s: &mut Session) -> Result<Planes> {
    let mut reached = found.clone();
    let mut step = 1;
    while step < count {
        let (front, back) =
            (reached.slice(0..step * rows), reached.slice(step * rows..count * rows));
        let back = protocol::or(s, &back, &reached.slice(0..(count - step) * rows))?;
        reached = front.concat(&back);
        step *= 2;
    }
    Ok(reached)
}

/// 1 + the first position of a public text in ASCII texts, 0 where it is not. An empty one is at 1.
pub(super) fn position(x: &Text, needle: &[u8], width: usize, s: &mut Session) -> Result<Planes> {
    let number = |v: usize| bits::number_bits(v as u128, width);
    if needle.is_empty() {
        return Ok(bits::constant(s, x.rows, &number(1)));
    }
    let mut out = bits::constant(s, x.rows, &number(0));
    if needle.len() > x.bytes {
        return Ok(out);
    }
    let piece: Vec<LikeToken> = needle.iter().map(|b| LikeToken::Byte(*b)).collect();
    let hits = Hits::new(x, bytes_of(std::slice::from_ref(&piece)), s)?;
    let count = x.bytes + 1 - piece.len();
    let found = hits.stands(&piece, 0, count, s)?;
    let reached = until(&found, x.rows, count, s)?;
    let mut before = bits::constant_bit(s, x.rows, false);
    for p in 0..count {
        let now = reached.slice(p * x.rows..(p + 1) * x.rows);
        out = out.xor(&spread(s, &now.xor(&before), &number(p + 1)));
        before = now;
    }
    Ok(out)
}
