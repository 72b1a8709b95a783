//! Cross join: every pair of rows. Only for public bounds whose product is small.

use crate::bits;
use crate::error::{QueryError, Result};
use crate::relation::Relation;
use trine_mpc::{Session, protocol};

/// Row r * n + l is left row l beside right row r. Local, but for one AND where both sides have a
/// valid bit.
pub(crate) fn cross_join(left: Relation, right: Relation, s: &mut Session) -> Result<Relation> {
    let (of_left, of_right) = pair_rows(left.rows, 0..right.rows)?;
    let rows = of_left.len();
    let valid = match (&left.valid, &right.valid) {
        (Some(x), Some(y)) => Some(protocol::and(s, &x.gather(&of_left), &y.gather(&of_right))?),
        (Some(x), None) => Some(x.gather(&of_left)),
        (None, Some(y)) => Some(y.gather(&of_right)),
        (None, None) => None,
    };
    let mut columns: Vec<_> = left.columns.iter().map(|c| c.gather(s, &of_left)).collect();
    columns.extend(right.columns.iter().map(|c| c.gather(s, &of_right)));
    Ok(Relation { rows, valid, columns })
}

/// Row numbers of both sides for every pair with these right rows, the left row running fastest.
pub(crate) fn pair_rows(
    left: usize,
    right: std::ops::Range<usize>,
) -> Result<(Vec<u32>, Vec<u32>)> {
    let number = |n: usize| u32::try_from(n).map_err(|_| QueryError::bug("more pairs than memory"));
    let (n, start, end) = (number(left)?, number(right.start)?, number(right.end)?);
    let of_left = (start..end).flat_map(|_| 0..n).collect();
    let of_right = (start..end).flat_map(|r| std::iter::repeat_n(r, left)).collect();
    Ok((of_left, of_right))
}

/// All pairs of a left relation with some right rows, not looking at any valid bit.
pub(crate) fn pairs(
    left: &Relation,
    right: &Relation,
    rows: std::ops::Range<usize>,
    s: &Session,
) -> Result<Relation> {
    let (of_left, of_right) = pair_rows(left.rows, rows)?;
    let mut columns: Vec<_> = left.columns.iter().map(|c| c.gather(s, &of_left)).collect();
    columns.extend(right.columns.iter().map(|c| c.gather(s, &of_right)));
    let valid = right.valid.as_ref().map(|v| v.gather(&of_right));
    Ok(Relation { rows: of_left.len(), valid, columns })
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
