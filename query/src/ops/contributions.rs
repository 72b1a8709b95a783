//! What every row adds to the counts of classes and to sums over them.

use crate::arith::{ArithAny, mul_many};
use crate::error::Result;
use crate::ops::measure::Sum;
use crate::ops::tally::{bits_to_arith, is_wide};
use trine_mpc::{Planes, Session};

/// Per class 1 or 0 in every row (ring of 64), per sum the value or 0. One bit conversion a class
/// (2 rounds a ring), one product a value (1 round a ring); nothing for a class of all rows.
pub(crate) fn contributions(
    classes: &[Option<Planes>],
    sums: &[Sum],
    rows: usize,
    s: &mut Session,
) -> Result<(Vec<ArithAny>, Vec<ArithAny>)> {
    let secret: Vec<(&Planes, bool)> = classes
        .iter()
        .enumerate()
        .filter_map(|(c, planes)| planes.as_ref().map(|p| (p, is_wide(c, sums))))
        .collect();
    let mut vectors = bits_to_arith(&secret, s)?.into_iter().flatten();
    let factors: Vec<Option<ArithAny>> =
        classes.iter().map(|c| c.as_ref().and_then(|_| vectors.next())).collect();
    let counts = factors
        .iter()
        .map(|factor| match factor {
            Some(factor) => ArithAny::A64(factor.low64()),
            None => ArithAny::constant(s, 64, rows, 1),
        })
        .collect();
    let mut values = Vec::with_capacity(sums.len());
    let mut pairs = [Vec::new(), Vec::new()];
    for (index, sum) in sums.iter().enumerate() {
        values.push(sum.value.clone());
        let Some(Some(factor)) = factors.get(sum.class) else { continue };
        if sum.value.ring_bits() == 64 {
            pairs[0].push((index, ArithAny::A64(factor.low64())));
        } else {
            pairs[1].push((index, factor.clone()));
        }
    }
    for own in &pairs {
        let factors: Vec<(&ArithAny, &ArithAny)> =
            own.iter().map(|(index, factor)| (factor, &sums[*index].value)).collect();
        for ((index, _), product) in own.iter().zip(mul_many(s, &factors)?) {
            values[*index] = product;
        }
    }
    Ok((counts, values))
}
