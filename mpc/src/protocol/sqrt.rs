//! Integer square root of boolean columns.
//!
//! Digit by digit: the remainder takes in two bits a step and is compared with 4 * root + 1; where it
//! is no smaller the next digit of the root is 1 and the difference is the new remainder.

use super::{ready, select, subtract};
use crate::cost::{cost_sqrt, sqrt_widths};
use crate::{Planes, Result, Session};

/// floor(sqrt(x)), unsigned: half as many planes as x has, rounded up. Cost
/// [`crate::cost::cost_sqrt`]: a subtraction and a choice a digit, of growing width. Reveals nothing.
///
/// # Errors
/// Network.
pub fn sqrt(s: &mut Session, x: &Planes) -> Result<Planes> {
    ready(s, x)?;
    let (len, profile, party) = (x.len(), s.profile(), s.party());
    let digits = x.width().div_ceil(2);
    if s.is_dry() {
        s.charge(cost_sqrt(profile, len, x.width()));
        return Ok(Planes::ghost(len, digits));
    }
    let x = x.zero_extend(2 * digits);
    let mut remainder = Planes::constant(party, len, &[]);
    let mut root = Planes::constant(party, len, &[]);
    for (step, width) in sqrt_widths(2 * digits).enumerate() {
        let place = 2 * (digits - 1 - step);
        let shifted = x.bits(place..place + 2).stack(&remainder);
        let trial = Planes::constant(party, len, &[true, false]).stack(&root);
        let fit = |planes: &Planes| {
            if planes.width() < width { planes.zero_extend(width) } else { planes.bits(0..width) }
        };
        let (shifted, trial) = (fit(&shifted), fit(&trial));
        let difference = subtract(s, &shifted, &trial)?;
        let digit = difference.bits(width - 1..width).not(party);
        if step + 1 < digits {
            remainder =
                select(s, &digit, &difference.bits(0..width - 1), &shifted.bits(0..width - 1))?;
        }
        root = digit.stack(&root);
    }
    Ok(root)
}
