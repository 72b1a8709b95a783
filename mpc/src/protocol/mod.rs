//! Protocols; costs as in the table of the design (bits of all parties for one row, rounds).
//!
//! Every function states what it computes, its cost and what it reveals. "Reveals nothing" means:
//! what a party receives is uniform whatever the inputs are. In a dry session each of them charges
//! its `cost_*` and returns a ghost. All parties must call with equal shapes; shapes that do not fit
//! give [`MpcError::Shape`] before anything is sent.

mod adder;
mod compare;
mod convert;
mod divide;
pub(crate) mod gates;
mod multiply;
mod open;
mod sqrt;
#[cfg(test)]
mod tests;

use crate::{Arith, MpcError, Planes, Result, Ring, Session};

pub use adder::{absolute, add, negate_if, subtract};
pub use compare::{
    and_all_planes, equal, equal_constant, less_than, less_than_constant, or_all_rows,
};
pub use convert::{arith_to_planes, bits_to_arith, planes_to_arith, signed_planes_to_arith};
pub use divide::divide;
pub use multiply::{and, and_many, inner_products, mul, mul_many, or, select};
pub use open::{open_arith, open_planes};
pub use sqrt::sqrt;

#[cfg(any(test, feature = "testing"))]
pub(crate) use compare::less_than_as;
pub(crate) use compare::less_than_distinct;
pub(crate) use multiply::sum_of_products;
pub(crate) use open::{open_elements, open_words};

/// A column may take part: a ghost has no place in a real session.
fn ready(s: &Session, x: &Planes) -> Result<()> {
    if x.is_ghost() && !s.is_dry() {
        return Err(MpcError::Shape("a ghost column in a real session"));
    }
    Ok(())
}

/// The same for arithmetic columns.
fn ready_arith<T: Ring>(s: &Session, x: &Arith<T>) -> Result<()> {
    if x.is_ghost() && !s.is_dry() {
        return Err(MpcError::Shape("a ghost column in a real session"));
    }
    Ok(())
}

/// Two columns of equal length.
fn ready_rows(s: &Session, x: &Planes, y: &Planes) -> Result<()> {
    if x.len() != y.len() {
        return Err(MpcError::Shape("columns of different length"));
    }
    ready(s, x)?;
    ready(s, y)
}

/// Two columns of equal length and width.
fn ready_both(s: &Session, x: &Planes, y: &Planes) -> Result<()> {
    if x.width() != y.width() {
        return Err(MpcError::Shape("columns of different width"));
    }
    ready_rows(s, x, y)
}
