//! Shuffle, sort, stable partition.
//!
//! A [`SortOrder`] says how rows move: a secret shuffle, then a public permutation. Sorted columns
//! are made lazily, for just the columns that are needed.
//!
//! What may be opened on the way (and nothing else is): once rows have been shuffled by a *fresh*
//! secret permutation, the relative order of *distinct* keys, or destinations that form a full
//! permutation. The types keep to it: what is opened is made inside this module from a shuffled key
//! that is consumed by its opening, and the shuffle then lives on only inside a [`SortOrder`], which
//! moves columns and can justify no further opening.

mod choose;
mod column;
mod compare;
mod expected;
mod keys;
mod list;
mod movement;
mod moves;
mod order;
mod partition;
mod permute;
mod quicksort;
mod radix;
mod segment;
mod segments;
mod shape;
mod shuffle;
mod sides;
#[cfg(test)]
mod simulation;

pub use choose::{
    Choice, Ties, choice, cost_sort, cost_sort_opened_expected, cost_top_k, sort, sort_columns,
    top_k, top_k_shuffled,
};
pub use column::Column;
pub use order::SortOrder;
pub use partition::partition;
pub use shuffle::Shuffle;
