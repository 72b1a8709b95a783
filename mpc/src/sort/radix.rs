//! Sort digit by digit through opened destinations (Chida et al., eprint 2019/695; Asharov et al.,
//! CCS 2022, eprint 2022/1595): for keys of a few bits, and where rounds are dear.
//!
//! A pass turns the one-hot form of a digit into arithmetic, counts with local prefix sums where each
//! row goes, and opens these destinations under a fresh shuffle, with which the rest of the key and the
//! row index move on. In the end the row index is in the order of the keys; opened under one more
//! shuffle it is the way there. Every opening has its own shuffle and shows a full permutation, which is
//! uniformly random whatever the keys.

use super::choose::Ties;
use super::column::Flat;
use super::order::SortOrder;
use super::permute::{Kind, permute};
use super::shuffle::{Shuffle, Shuffled};
use crate::bits::words;
use crate::cost::{
    ceil_log2, cost_and, cost_bits_to_arith, cost_multiply, cost_open_arith, cost_open_planes,
    cost_shuffle,
};
use crate::protocol::{and, and_many, bits_to_arith, open_elements, open_words, sum_of_products};
use crate::{Arith, Cost, MpcError, Planes, Result, Session};

/// Widths of the digits, lowest first: as even as can be.
fn digits(width: usize, digit: usize) -> impl Iterator<Item = usize> {
    let passes = width.div_ceil(digit.max(1));
    (0..passes).map(move |i| (i + 1) * width / passes - i * width / passes)
}

/// A radix sort of n rows by digits of up to `digit` bits (1 to 3). Exact for all parties together; party
/// 0 leads every shuffle here, where in a session the parties take turns.
pub(super) fn cost_radix(n: usize, width: usize, digit: usize, ties: Ties) -> Cost {
    if n <= 1 {
        return Cost::default();
    }
    let index = ceil_log2(n);
    let (mut total, mut rest) = (Cost::default(), width);
    let one_pass = width <= digit && ties == Ties::Stable;
    if ties == Ties::Random {
        total += cost_shuffle(n, width + index, 0);
    }
    for bits in digits(width, digit) {
        rest -= bits;
        let planes = if one_pass { 0 } else { rest + index };
        total += cost_destinations(n, bits) + cost_moved_destinations(n, planes);
    }
    if !one_pass {
        total += cost_shuffle(n, index, 0) + cost_open_planes(n, index);
    }
    total
}

/// Destinations of n rows by a digit.
pub(super) fn cost_destinations(n: usize, digit: usize) -> Cost {
    let mut total = cost_bits_to_arith(n, (1 << digit) - 1, 32) + cost_multiply(n, 32);
    match digit {
        2 => total += cost_and(n, 1),
        3 => total += cost_and(n, 3) + cost_and(n, 1),
        _ => {}
    }
    total
}

/// Destinations shuffled together with planes, then opened.
pub(super) fn cost_moved_destinations(n: usize, planes: usize) -> Cost {
    let moved = ((Kind::Ring32.words(n) + words(n) * planes) * 8) as u64;
    let shuffle = Cost { rounds: 3, bytes: [2 * moved, moved, moved] };
    shuffle + cost_open_arith(n, 32)
}

/// Stable ascending sort. Two rows or more. With random ties rows of equal keys come out in a secret
/// random order instead.
pub(super) fn radix(s: &mut Session, key: &Planes, digit: usize, ties: Ties) -> Result<SortOrder> {
    let (rows, width) = (key.len(), key.width());
    if width <= digit && ties == Ties::Stable {
        let (shuffle, public, _) = pass(s, key, None)?;
        if s.is_dry() {
            return Ok(SortOrder::still(shuffle, rows));
        }
        return Ok(SortOrder::new(s, shuffle, &public));
    }
    let index_bits = ceil_log2(rows);
    // The row index below the rest of the key.
    let mut state = row_index(s, rows).stack(key);
    if ties == Ties::Random {
        let shuffle = Shuffle::draw(s, rows);
        let Shuffled(mixed) = shuffle.apply_key(s, state)?;
        state = mixed;
    }
    for bits in digits(width, digit) {
        let own = state.bits(index_bits..index_bits + bits);
        let index = state.bits(0..index_bits);
        let rest = index.stack(&state.bits(index_bits + bits..state.width()));
        let (_, _, moved) = pass(s, &own, Some(rest))?;
        state = moved.ok_or(MpcError::Shape("planes that moved"))?;
    }
    let shuffle = Shuffle::draw(s, rows);
    let Shuffled(index) = shuffle.apply_key(s, state)?;
    if s.is_dry() {
        s.charge(cost_open_planes(rows, index_bits));
        return Ok(SortOrder::still_turned(shuffle));
    }
    let planes = open_words(s, &index)?;
    let opened = numbers(&planes, rows, index_bits);
    let places = inverse_of(&opened)?;
    Ok(SortOrder::turned(s, shuffle, &places))
}

/// Public row numbers as a column.
pub(super) fn row_index(s: &Session, rows: usize) -> Planes {
    let bits = ceil_log2(rows);
    if s.is_dry() { Planes::ghost(rows, bits) } else { Planes::row_index(s.party(), rows, bits) }
}

/// One digit: a fresh shuffle, the public permutation behind it (row at each place), and what moves
/// along, in the new order.
fn pass(
    s: &mut Session,
    digit: &Planes,
    along: Option<Planes>,
) -> Result<(Shuffle, Vec<u32>, Option<Planes>)> {
    let rows = digit.len();
    let destinations = destinations(s, digit)?;
    let shuffle = Shuffle::draw(s, rows);
    let (public, moved) = open_destinations(s, &shuffle, destinations, along)?;
    Ok((shuffle, public, moved))
}

/// Where each row goes when rows are sorted by a digit of 1 to 3 bits, stably.
pub(super) fn destinations(s: &mut Session, digit: &Planes) -> Result<Arith<u32>> {
    let (rows, party) = (digit.len(), s.party());
    if s.is_dry() {
        s.charge(cost_destinations(rows, digit.width()));
        return Ok(Arith::ghost(rows));
    }
    let cells = one_hot(s, digit)?;
    let n = u32::try_from(rows).unwrap_or(u32::MAX);
    // Every row has one value: a zero goes behind the zeros above it, of which there are as many as the others
    // leave.
    let others = sum_of(&cells);
    let mut before = Arith::constant(party, 1, n).sub(&others.sum());
    let others = others.into_prefix_sum();
    let mut gains = Vec::with_capacity(cells.len());
    for cell in &cells {
        // What a row with this value gains on the place that it would have as a zero.
        let behind = cell.prefix_sum().into_sum(&others);
        gains.push(behind.plus_row(&before).plus_public(party, |i| !i));
        before = before.add(&cell.sum());
    }
    drop(others);
    let pairs: Vec<_> = cells.iter().zip(&gains).collect();
    let gained = sum_of_products(s, &pairs)?;
    drop(gains);
    let others = sum_of(&cells);
    drop(cells);
    Ok(gained.into_difference(&others.into_prefix_sum()).plus_public(party, |i| i))
}

fn sum_of(cells: &[Arith<u32>]) -> Arith<u32> {
    let (first, rest) = cells.split_at(1);
    rest.iter().fold(first[0].clone(), |sum, cell| sum.into_sum(cell))
}

/// For every value of the digit but 0 whether a row has it.
fn one_hot(s: &mut Session, digit: &Planes) -> Result<Vec<Arith<u32>>> {
    let bit = |i: usize| digit.bits(i..i + 1);
    // Products of bits, by the set of bits as a binary number, from 1 on.
    let products = match digit.width() {
        1 => digit.clone(),
        2 => digit.stack(&and(s, &bit(0), &bit(1))?),
        3 => {
            let (x, y, z) = (bit(0), bit(1), bit(2));
            let mut pairs = and_many(s, &[(&x, &y), (&x, &z), (&y, &z)])?;
            let all = and(s, &pairs[0], &z)?;
            let yz = pairs.remove(2);
            let xz = pairs.remove(1);
            let xy = pairs.remove(0);
            x.stack(&y).stack(&xy).stack(&z).stack(&xz).stack(&yz).stack(&all)
        }
        _ => return Err(MpcError::Shape("a digit of 1 to 3 bits")),
    };
    let mut cells = bits_to_arith::<u32>(s, &products)?;
    // A row has exactly the bits of v: inclusion and exclusion over the sets that contain v.
    for i in 0..digit.width() {
        for v in 1..=cells.len() {
            if v >> i & 1 == 0 {
                cells[v - 1] = cells[v - 1].sub(&cells[(v | 1 << i) - 1]);
            }
        }
    }
    Ok(cells)
}

/// Shuffles destinations, with them what moves along, and opens them. That all rows are among them
/// makes them a uniform permutation. The row at each place, and what moved, in that order.
pub(super) fn open_destinations(
    s: &mut Session,
    shuffle: &Shuffle,
    destinations: Arith<u32>,
    along: Option<Planes>,
) -> Result<(Vec<u32>, Option<Planes>)> {
    let rows = destinations.len();
    if s.is_dry() {
        let planes = along.as_ref().map_or(0, Planes::width);
        s.charge(cost_moved_destinations(rows, planes).led_by(shuffle.lead()));
        return Ok((Vec::new(), along));
    }
    let (a, b) = destinations.into_components();
    let mut a = pack(a);
    let mut b = pack(b);
    let mut kinds = vec![Kind::Ring32];
    if let Some(along) = along {
        kinds.push(Kind::Bits(along.width()));
        let (own, other) = along.into_components();
        a.extend_from_slice(&own);
        b.extend_from_slice(&other);
    }
    let Shuffled(Flat { kinds, mut a, mut b }) = shuffle.apply_flat(s, Flat { kinds, a, b })?;
    let from = Kind::Ring32.words(rows);
    let (planes_a, planes_b) = (a.split_off(from), b.split_off(from));
    let (a, b) = (unpack(a, rows), unpack(b, rows));
    let opened = open_elements(s, &Arith::from_components(a, b))?;
    let public = inverse_of(&opened)?;
    drop(opened);
    let moved = match kinds[..] {
        [_, Kind::Bits(width)] => {
            let move_on = |planes| permute(&kinds[1..], rows, planes, &public);
            let (a, b) = (move_on(planes_a), move_on(planes_b));
            Some(Planes::from_components(rows, width, a, b))
        }
        _ => None,
    };
    Ok((public, moved))
}

/// The inverse of what was opened, if it is a permutation.
fn inverse_of(opened: &[u32]) -> Result<Vec<u32>> {
    let mut out = vec![u32::MAX; opened.len()];
    for (row, &target) in (0_u32..).zip(opened) {
        match out.get_mut(target as usize) {
            Some(slot) if *slot == u32::MAX => *slot = row,
            _ => return Err(MpcError::Shape("opened destinations are no permutation")),
        }
    }
    Ok(out)
}

/// Rows of up to 32 opened planes as numbers.
fn numbers(planes: &[u64], rows: usize, width: usize) -> Vec<u32> {
    let mut out = vec![0; rows];
    let bytes = crate::bits::rows_from_planes(rows, width, planes);
    for (slot, row) in out.iter_mut().zip(bytes.chunks_exact(crate::bits::row_bytes(width))) {
        let mut buffer = [0; 4];
        buffer[..row.len()].copy_from_slice(row);
        *slot = u32::from_le_bytes(buffer);
    }
    out
}

/// Two elements a word.
fn pack(elements: Vec<u32>) -> Vec<u64> {
    let word =
        |pair: &[u32]| u64::from(pair[0]) | pair.get(1).map_or(0, |&high| u64::from(high)) << 32;
    elements.chunks(2).map(word).collect()
}

#[allow(clippy::cast_possible_truncation, reason = "the halves of a word are meant")]
fn unpack(words: Vec<u64>, rows: usize) -> Vec<u32> {
    words.iter().flat_map(|w| [*w as u32, (w >> 32) as u32]).take(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use crate::sort::Column;
    use crate::testing::{Noise, reconstruct_values, run, share_values};

    #[test]
    fn digits_of_every_width_sort_stably_at_the_predicted_cost() {
        for rows in [2, 3, 64, 65, 300] {
            for (width, digit) in [(1, 1), (2, 1), (2, 2), (3, 3), (3, 2), (4, 3), (7, 3), (9, 2)] {
                let mut noise = Noise::new((rows * width + digit) as u64);
                let keys: Vec<u128> = (0..rows).map(|_| noise.value(width)).collect();
                let mut expected: Vec<(u128, u128)> = keys.iter().copied().zip(0..).collect();
                let numbered = share_values(2, 20, &(0..rows as u128).collect::<Vec<_>>());
                let shares = share_values(1, width, &keys);
                let results = run(7, |s| {
                    let party = s.party();
                    let order = radix(s, &shares[party], digit, Ties::Stable).unwrap();
                    let cost = s.cost();
                    let moved =
                        order.apply(s, vec![Column::Planes(numbered[party].clone())]).unwrap();
                    let back = order.unapply(s, moved.clone()).unwrap();
                    let planes = |columns: Vec<Column>| match columns.into_iter().next() {
                        Some(Column::Planes(x)) => x,
                        _ => panic!("planes stay planes"),
                    };
                    (planes(moved), planes(back), cost)
                });
                let mut dry = Session::dry(Profile::LOCAL);
                radix(&mut dry, &Planes::ghost(rows, width), digit, Ties::Stable).unwrap();
                let predicted = dry.cost();
                for (party, result) in results.iter().enumerate() {
                    assert_eq!(result.2.rounds, predicted.rounds);
                    assert_eq!(result.2.bytes[party], predicted.bytes[party]);
                }
                let as_planned = cost_radix(rows, width, digit, Ties::Stable);
                assert_eq!(predicted.rounds, as_planned.rounds);
                let total = |cost: Cost| cost.bytes.iter().sum::<u64>();
                assert_eq!(total(predicted), total(as_planned));
                expected.sort_by_key(|(key, _)| *key);
                let rows_of = |f: fn(&(Planes, Planes, Cost)) -> &Planes| {
                    reconstruct_values(&[0, 1, 2].map(|party: usize| f(&results[party]).clone()))
                };
                let sorted: Vec<u128> = expected.into_iter().map(|(_, row)| row).collect();
                assert_eq!(rows_of(|r| &r.0), sorted, "{rows} rows, {width} bits by {digit}");
                assert_eq!(rows_of(|r| &r.1), (0..rows as u128).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn destinations_that_are_none_are_an_error() {
        assert!(inverse_of(&[0, 2, 1]).is_ok());
        for opened in [&[0, 0][..], &[1, 2], &[u32::MAX]] {
            assert!(inverse_of(opened).is_err());
        }
    }
}
