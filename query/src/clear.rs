//! Plans over PUBLIC values, in the clear: what expressions and operators mean, on plain rows.
//!
//! Values are those of the protocols, not those of another database: encoded numbers, texts as bytes,
//! the same rounding and scales. A column that is declared PUBLIC later does not change an answer.
//! Everything is a function of the values and their order: one thread, ordered maps, ties by content,
//! so that three nodes compute the same.
//!
//! What may fail in a row, or leave 127 bits, is not computed here ([`Beyond`]): it stays with the
//! protocols, which tell the client alone.

mod aggregate;
mod expr;
mod operator;
mod stored;
mod text;

pub(crate) use expr::{eval, is_true};
pub(crate) use operator::{Clear, evaluate, pairs, taken};
pub(crate) use stored::PublicData;

/// Left to the protocols: a failure on the effective path, a number beyond 127 bits, or an operator
/// that is not computed in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beyond;
