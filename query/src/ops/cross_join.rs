//! Cross join: every pair of rows. Only for public bounds whose product is small.

use crate::bits;
use crate::error::{QueryError, Result};
use crate::relation::Relation;
use trine_mpc::{Session, protocol};

/// Row r * n + l is left row l beside right row r. Local, but for one AND where both sides have a
/// valid bit.
pub(crate) fn cross_join(left: Relation, right: Relation, s: &mut Session) -> Result<Relation> {
    let mut out = pairs(&left, &right, 0..right.rows, s)?;
    let Some(left_valid) = &left.valid else { return Ok(out) };
    let index = if s.is_dry() { Vec::new() } else { tiled(left.rows, right.rows)? };
    let valid = bits::gather(s, left_valid, out.rows, &index);
    out.valid = Some(match out.valid {
        Some(right) => protocol::and(s, &valid, &right)?,
        None => valid,
    });
    Ok(out)
}

/// All pairs of a left relation with some right rows, the left row running fastest; valid where the
/// right row is.
pub(crate) fn pairs(
    left: &Relation,
    right: &Relation,
    range: std::ops::Range<usize>,
    s: &Session,
) -> Result<Relation> {
    let too_many = || QueryError::bug("more pairs than memory");
    let rows = left.rows.checked_mul(range.len()).ok_or_else(too_many)?;
    let (mut of_left, mut of_right) = (Vec::new(), Vec::new());
    if !s.is_dry() {
        of_left = tiled(left.rows, range.len())?;
        let number = |n: usize| u32::try_from(n).map_err(|_| too_many());
        let (start, end) = (number(range.start)?, number(range.end)?);
        of_right = (start..end).flat_map(|r| std::iter::repeat_n(r, left.rows)).collect();
    }
    let mut columns: Vec<_> = left.columns.iter().map(|c| c.gather(s, rows, &of_left)).collect();
    columns.extend(right.columns.iter().map(|c| c.gather(s, rows, &of_right)));
    let valid = right.valid.as_ref().map(|v| bits::gather(s, v, rows, &of_right));
    Ok(Relation { rows, valid, columns })
}

/// Row numbers 0..n, `times` over.
pub(crate) fn tiled(n: usize, times: usize) -> Result<Vec<u32>> {
    let n = u32::try_from(n).map_err(|_| QueryError::bug("more pairs than memory"))?;
    Ok((0..times).flat_map(|_| 0..n).collect())
}

/// OR over the blocks of `n` rows each: row l of the result is the OR of rows l, n + l, 2n + l, …
/// 3 bits a row, ceil(log2 blocks) rounds.
pub(crate) fn or_blocks(
    mut bit: trine_mpc::Planes,
    n: usize,
    s: &mut Session,
) -> Result<trine_mpc::Planes> {
    if bit.is_empty() {
        return Ok(bits::constant(s, n, &vec![false; bit.width()]));
    }
    while bit.len() > n {
        let blocks = bit.len() / n;
        let half = blocks / 2;
        let (x, y) = (bit.slice(0..half * n), bit.slice(half * n..2 * half * n));
        let both = protocol::or(s, &x, &y)?;
        bit = if blocks % 2 == 1 { both.concat(&bit.slice(2 * half * n..bit.len())) } else { both };
    }
    Ok(bit)
}
