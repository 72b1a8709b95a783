//! Opening values to the nodes. Each party sends the component that the next one lacks.

use super::{ready, ready_arith};
use crate::bits;
use crate::cost::{cost_open_arith, cost_open_planes};
use crate::kernel;
use crate::{Arith, Disclosure, Planes, Result, Ring, Session};

/// Opens to all nodes: row-major bytes (`ceil(width/8)` a row; zeros in a dry session). 3k,
/// 1 round. Reveals the column, and nothing else: bits beyond the last row are cleared first.
///
/// # Errors
/// Network.
pub fn open_planes(s: &mut Session, x: &Planes, permit: Disclosure) -> Result<Vec<u8>> {
    let Disclosure { .. } = permit;
    ready(s, x)?;
    if s.is_dry() {
        s.charge(cost_open_planes(x.len(), x.width()));
        return Ok(vec![0; x.len() * bits::row_bytes(x.width())]);
    }
    let planes = open_words(s, x)?;
    Ok(bits::rows_from_planes(x.len(), x.width(), &planes))
}

/// Opens to all nodes (zeros in a dry session). 3k, 1 round. Reveals the column.
///
/// # Errors
/// Network.
pub fn open_arith<T: Ring>(s: &mut Session, x: &Arith<T>, permit: Disclosure) -> Result<Vec<T>> {
    let Disclosure { .. } = permit;
    ready_arith(s, x)?;
    if s.is_dry() {
        s.charge(cost_open_arith(x.len(), T::BITS));
        return Ok(vec![T::default(); x.len()]);
    }
    open_elements(s, x)
}

/// Opens planes that are masked or freshly shuffled: not a disclosure. Real sessions only.
pub(crate) fn open_words(s: &mut Session, x: &Planes) -> Result<Vec<u64>> {
    let (a, b) = (x.clear_component(true), x.clear_component(false));
    if a.is_empty() {
        return Ok(Vec::new());
    }
    let mut value = vec![0; a.len()];
    s.gather_missing(&a, &mut value)?;
    kernel::xor_both(&mut value, &a, &b);
    bits::clear_tails(&mut value, x.len());
    Ok(value)
}

/// The same for ring elements. Real sessions only.
pub(crate) fn open_elements<T: Ring>(s: &mut Session, x: &Arith<T>) -> Result<Vec<T>> {
    let (a, b) = x.components();
    if a.is_empty() {
        return Ok(Vec::new());
    }
    let mut value = vec![T::default(); a.len()];
    s.gather_missing(a, &mut value)?;
    kernel::plus_both(&mut value, a, b);
    Ok(value)
}
