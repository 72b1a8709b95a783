//! Division of boolean columns.
//!
//! Restoring: the partial remainder R takes in one numerator bit a step, R - D gives the quotient
//! bit (no borrow) and the next remainder. In step i the remainder has at most i bits, so the first
//! steps compare few planes; what D has above them is summed up in one bit "not zero" each, made
//! once by a prefix circuit.

use super::adder::{carries, prefix_and};
use super::{or, ready_rows, select};
use crate::cost::{cost_carries, cost_divide, cost_prefix_and, divide_steps};
use crate::{Planes, Result, Session};

/// Restoring division, unsigned: floor(numerator * 2^fraction_bits / denominator); result width =
/// numerator width + fraction_bits. Denominator 0 gives all ones. Cost
/// [`crate::cost::cost_divide`]: about one adder and one choice a quotient bit. Reveals nothing.
///
/// # Errors
/// Network, or shapes that do not fit.
pub fn divide(
    s: &mut Session,
    numerator: &Planes,
    denominator: &Planes,
    fraction_bits: usize,
) -> Result<Planes> {
    ready_rows(s, numerator, denominator)?;
    let (len, profile, party) = (numerator.len(), s.profile(), s.party());
    let (low, width) = (numerator.width(), denominator.width());
    let quotient = low + fraction_bits;
    if s.is_dry() {
        s.charge(cost_divide(profile, len, low, width, fraction_bits));
        return Ok(Planes::ghost(len, quotient));
    }
    if quotient == 0 || width == 0 {
        return Ok(Planes::constant(party, len, &vec![true; quotient]));
    }
    s.by_rows(len, [numerator, denominator], |s, [numerator, denominator]| {
        quotient_of(s, len, numerator, denominator, fraction_bits)
    })
}

/// One part of the rows; circuits are chosen for all `rows` of them.
fn quotient_of(
    s: &mut Session,
    rows: usize,
    numerator: &Planes,
    denominator: &Planes,
    fraction_bits: usize,
) -> Result<Planes> {
    let (len, profile, party) = (numerator.len(), s.profile(), s.party());
    let (width, quotient) = (denominator.width(), numerator.width() + fraction_bits);
    // Plane j: the planes of D from j on are all zero.
    let form = cost_prefix_and(profile, rows, width).0;
    let zero_from = reversed(&prefix_and(s, form, &reversed(&denominator.not(party)))?);
    let zero = Planes::constant(party, len, &[false]);
    let mut remainder = Planes::constant(party, len, &[]);
    let mut bits = Vec::with_capacity(quotient);
    for (taken, step) in divide_steps(quotient, width).enumerate() {
        let place = quotient - 1 - taken;
        let bit = match place.checked_sub(fraction_bits) {
            Some(j) => numerator.bits(j..j + 1),
            None => zero.clone(),
        };
        let shifted = bit.stack(&remainder);
        let compared = shifted.bits(0..step.compared);
        let mut minus = denominator.bits(0..step.compared).not(party);
        let mut plus = compared.clone();
        if step.saturated {
            minus = minus.stack(&zero_from.bits(step.compared..step.compared + 1));
            plus = plus.stack(&zero);
        }
        let form = cost_carries(profile, rows, step.carries()).0;
        let out = carries(s, form, &plus, &minus, true)?;
        let top = out.width() - 1;
        let mut fits = out.bits(top..top + 1);
        if step.overflow {
            // With D > 0 an overflowing remainder always borrows: exactly one of the two holds.
            fits = fits.xor(&shifted.bits(step.compared..step.compared + 1));
        }
        if step.keeps {
            let into = Planes::constant(party, len, &[true]);
            let carried = into.stack(&out.bits(0..step.compared - 1));
            let difference =
                compared.xor(&denominator.bits(0..step.compared).not(party)).xor(&carried);
            remainder = select(s, &fits, &difference, &compared)?;
        }
        bits.push(fits);
    }
    let found = bits.iter().rev().skip(1).fold(last(&bits, &zero), |low, bit| low.stack(bit));
    or(s, &found, &zero_from.bits(0..1))
}

/// The lowest quotient bit: the last that was found.
fn last(bits: &[Planes], zero: &Planes) -> Planes {
    bits.last().unwrap_or(zero).clone()
}

/// Planes in reverse order.
fn reversed(x: &Planes) -> Planes {
    let words = x.words().max(1);
    let flip = |c: &[u64]| c.rchunks_exact(words).flatten().copied().collect();
    x.map(x.len(), x.width(), flip)
}
