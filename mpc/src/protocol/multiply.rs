//! AND of columns, and multiplication: the only place where secret ring elements meet.
//!
//! x y = sum of x_i y_j over all i, j. Party i holds the four terms of {i, i+1} and takes three of
//! them, z_i = x_i y_i + x_i y_{i+1} + x_{i+1} y_i + a_i with a_0 + a_1 + a_2 = 0 from the pair
//! streams, and sends z_i to party i-1. (Araki, Furukawa, Lindell, Nof, Ohara, CCS 2016.)

use super::gates::{Gate, Sum, run};
use super::{ready_arith, ready_rows};
use crate::cost::{cost_and_many, cost_multiply};
use crate::kernel;
use crate::lanes::{by_column, join_arith, join_planes};
use crate::{Arith, MpcError, Planes, Result, Ring, Session};

/// Bytes of products that are worked on at a time: they stay in the first-level cache.
const PIECE_BYTES: usize = 4096;

/// Products of one round, one after the other; every row-wise ring multiplication goes through here.
fn products<T: Ring>(
    s: &mut Session,
    pairs: &[(&Arith<T>, &Arith<T>)],
    total: usize,
) -> Result<(Vec<T>, Vec<T>)> {
    let (mut own, mut other) = (vec![T::default(); total], vec![T::default(); total]);
    let mut pipe = s.pipe()?;
    let mut mask = s.zero_mask()?;
    let (mut made, piece) = (0, PIECE_BYTES / T::BYTES);
    for (x, y) in pairs {
        let ((xa, xb), (ya, yb)) = (x.components(), y.components());
        for from in (0..x.len()).step_by(piece) {
            let rows = from..x.len().min(from + piece);
            let out = &mut own[made..made + rows.len()];
            let [xa, xb] = [xa, xb].map(|c| &c[rows.clone()]);
            let [ya, yb] = [ya, yb].map(|c| &c[rows.clone()]);
            kernel::product_terms(out, xa, xb, ya, yb);
            mask.add_into(out);
            made += rows.len();
            pipe.step(&own, &mut other, made)?;
        }
    }
    s.end_pipe(pipe, &own, &mut other)?;
    Ok((own, other))
}

/// AND, plane by plane; a width-1 operand is repeated (still 3 bits an output bit). 3k, 1 round.
/// Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn and(s: &mut Session, x: &Planes, y: &Planes) -> Result<Planes> {
    let mut results = and_many(s, &[(x, y)])?;
    results.pop().ok_or(MpcError::Shape("one result for one pair"))
}

/// Several independent ANDs in one round; lengths may differ from pair to pair. 3k each, 1 round.
/// Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn and_many(s: &mut Session, pairs: &[(&Planes, &Planes)]) -> Result<Vec<Planes>> {
    let mut shapes = Vec::with_capacity(pairs.len());
    for (x, y) in pairs {
        ready_rows(s, x, y)?;
        let width = match (x.width(), y.width()) {
            (k, l) if k == l => k,
            (1, k) | (k, 1) => k,
            _ => return Err(MpcError::Shape("AND of columns of different width")),
        };
        shapes.push((x.len(), width));
    }
    if s.is_dry() {
        s.charge(cost_and_many(&shapes));
        return Ok(shapes.into_iter().map(|(len, width)| Planes::ghost(len, width)).collect());
    }
    let len = shapes.first().map_or(0, |shape| shape.0);
    if shapes.iter().any(|shape| shape.0 != len) || s.parts(len) == 1 {
        return and_pairs(s, pairs, &shapes);
    }
    let parts = s.in_lanes(len, |lane, rows| {
        let cut = |(x, y): &(&Planes, &Planes)| (x.slice(rows.clone()), y.slice(rows.clone()));
        let cut: Vec<(Planes, Planes)> = pairs.iter().map(cut).collect();
        let pairs: Vec<(&Planes, &Planes)> = cut.iter().map(|(x, y)| (x, y)).collect();
        let shapes: Vec<_> = shapes.iter().map(|shape| (rows.len(), shape.1)).collect();
        and_pairs(lane, &pairs, &shapes)
    })?;
    by_column(parts).iter().map(|parts| join_planes(len, parts)).collect()
}

/// The ANDs of pairs, each with the rows and planes of its result.
fn and_pairs(
    s: &mut Session,
    pairs: &[(&Planes, &Planes)],
    shapes: &[(usize, usize)],
) -> Result<Vec<Planes>> {
    let total = pairs.iter().zip(shapes).map(|((x, _), shape)| x.words() * shape.1).sum();
    let mut gates = Vec::with_capacity(pairs.len());
    for ((x, y), &(_, width)) in pairs.iter().zip(shapes) {
        if x.width() == y.width() {
            gates.push(Gate::and(x.components(), y.components()));
            continue;
        }
        let (one, many) = if x.width() == 1 { (x, y) } else { (y, x) };
        gates.extend((0..width).map(|j| Gate::and(one.plane(0), many.plane(j))));
    }
    let (mut own, mut other) = (vec![0; total], vec![0; total]);
    run(s, &gates, &mut own, &mut other)?;
    if let &[(len, width)] = shapes {
        return Ok(vec![Planes::from_components(len, width, own, other)]);
    }
    let mut from = 0;
    let mut results = Vec::with_capacity(pairs.len());
    for ((x, _), &(len, width)) in pairs.iter().zip(shapes) {
        let range = from..from + x.words() * width;
        from = range.end;
        let (a, b) = (own[range.clone()].to_vec(), other[range].to_vec());
        results.push(Planes::from_components(len, width, a, b));
    }
    Ok(results)
}

/// OR, plane by plane; widths as for [`and`]. 3k, 1 round. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn or(s: &mut Session, x: &Planes, y: &Planes) -> Result<Planes> {
    let mut both = and(s, x, y)?;
    both.xor_assign(x);
    both.xor_assign(y);
    Ok(both)
}

/// bit ? x : y, row by row; `bit` has width 1. 3k, 1 round. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn select(s: &mut Session, bit: &Planes, x: &Planes, y: &Planes) -> Result<Planes> {
    super::ready_both(s, x, y)?;
    if bit.width() != 1 {
        return Err(MpcError::Shape("a choice by one bit"));
    }
    ready_rows(s, bit, x)?;
    let (len, width) = (x.len(), x.width());
    if s.is_dry() {
        s.charge(cost_and_many(&[(len, width)]));
        return Ok(Planes::ghost(len, width));
    }
    s.by_rows(len, [bit, x, y], |s, [bit, x, y]| {
        let words = x.words();
        let choose = |j: usize| Gate {
            left: Sum::of(bit.plane(0)),
            right: Sum::both(x.plane(j), y.plane(j)),
            plus: Sum::of(y.plane(j)),
            words,
        };
        let gates: Vec<Gate<'_>> = (0..width).map(choose).collect();
        let (mut own, mut other) = (vec![0; width * words], vec![0; width * words]);
        run(s, &gates, &mut own, &mut other)?;
        Ok(Planes::from_components(x.len(), width, own, other))
    })
}

/// Row-wise product. 3k, 1 round. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn mul<T: Ring>(s: &mut Session, x: &Arith<T>, y: &Arith<T>) -> Result<Arith<T>> {
    let mut results = mul_many(s, &[(x, y)])?;
    results.pop().ok_or(MpcError::Shape("one result for one pair"))
}

fn check_pairs<T: Ring>(s: &Session, pairs: &[(&Arith<T>, &Arith<T>)]) -> Result<()> {
    for (x, y) in pairs {
        ready_arith(s, x)?;
        ready_arith(s, y)?;
        if x.len() != y.len() {
            return Err(MpcError::Shape("columns of different length"));
        }
    }
    Ok(())
}

/// Several products in one round; lengths may differ from pair to pair. 3k each, 1 round. Reveals
/// nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn mul_many<T: Ring>(
    s: &mut Session,
    pairs: &[(&Arith<T>, &Arith<T>)],
) -> Result<Vec<Arith<T>>> {
    check_pairs(s, pairs)?;
    let total = pairs.iter().map(|(x, _)| x.len()).sum();
    if s.is_dry() {
        s.charge(cost_multiply(total, T::BITS));
        return Ok(pairs.iter().map(|(x, _)| Arith::ghost(x.len())).collect());
    }
    if let [(x, y)] = pairs {
        let product = s.by_elements(total, [*x, *y], |s, [x, y]| {
            let (own, other) = products(s, &[(x, y)], x.len())?;
            Ok(Arith::from_components(own, other))
        })?;
        return Ok(vec![product]);
    }
    let len = pairs.first().map_or(0, |(x, _)| x.len());
    if pairs.iter().any(|(x, _)| x.len() != len) || s.parts(len) == 1 {
        return products_of(s, pairs);
    }
    let parts = s.in_lanes(len, |lane, rows| {
        let cut = |(x, y): &(&Arith<T>, &Arith<T>)| (x.slice(rows.clone()), y.slice(rows.clone()));
        let cut: Vec<(Arith<T>, Arith<T>)> = pairs.iter().map(cut).collect();
        let pairs: Vec<(&Arith<T>, &Arith<T>)> = cut.iter().map(|(x, y)| (x, y)).collect();
        products_of(lane, &pairs)
    })?;
    Ok(by_column(parts).iter().map(|parts| join_arith(parts)).collect())
}

/// The products of pairs, one by one.
fn products_of<T: Ring>(
    s: &mut Session,
    pairs: &[(&Arith<T>, &Arith<T>)],
) -> Result<Vec<Arith<T>>> {
    let total = pairs.iter().map(|(x, _)| x.len()).sum();
    let (own, other) = products(s, pairs, total)?;
    let mut from = 0;
    let cut = pairs.iter().map(|(x, _)| {
        let range = from..from + x.len();
        from = range.end;
        Arith::from_components(own[range.clone()].to_vec(), other[range].to_vec())
    });
    Ok(cut.collect())
}

/// For each pair the inner product, all in one round: one row per pair (a vector of `pairs.len()`
/// rows). 3k per pair whatever the lengths, 1 round. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn inner_products<T: Ring>(
    s: &mut Session,
    pairs: &[(&Arith<T>, &Arith<T>)],
) -> Result<Arith<T>> {
    check_pairs(s, pairs)?;
    if s.is_dry() {
        s.charge(cost_multiply(pairs.len(), T::BITS));
        return Ok(Arith::ghost(pairs.len()));
    }
    let (mut own, mut other) = (vec![T::default(); pairs.len()], vec![T::default(); pairs.len()]);
    for (sum, (x, y)) in own.iter_mut().zip(pairs) {
        let ((xa, xb), (ya, yb)) = (x.components(), y.components());
        kernel::inner_terms(sum, xa, xb, ya, yb);
    }
    s.zero_mask()?.add_into(&mut own);
    s.reshare(&own, &mut other)?;
    Ok(Arith::from_components(own, other))
}

/// Row by row the sum of the products of all pairs. 3k a row whatever the number of pairs, 1 round. Real
/// sessions only; columns of equal length.
pub(crate) fn sum_of_products<T: Ring>(
    s: &mut Session,
    pairs: &[(&Arith<T>, &Arith<T>)],
) -> Result<Arith<T>> {
    check_pairs(s, pairs)?;
    let rows = pairs.first().map_or(0, |(x, _)| x.len());
    let (mut own, mut other) = (vec![T::default(); rows], vec![T::default(); rows]);
    let piece = PIECE_BYTES / T::BYTES;
    let mut terms = vec![T::default(); piece.min(rows)];
    for (i, out) in own.chunks_mut(piece).enumerate() {
        let (range, terms) = (i * piece..i * piece + out.len(), &mut terms[..out.len()]);
        for (x, y) in pairs {
            let ((xa, xb), (ya, yb)) = (x.components(), y.components());
            let [xa, xb] = [xa, xb].map(|c| &c[range.clone()]);
            let [ya, yb] = [ya, yb].map(|c| &c[range.clone()]);
            kernel::product_terms(terms, xa, xb, ya, yb);
            kernel::plus(out, terms);
        }
    }
    s.zero_mask()?.add_into(&mut own);
    s.reshare(&own, &mut other)?;
    Ok(Arith::from_components(own, other))
}
