//! The oblivious operators, one file each. Every function takes relations whose children have run
//! already and never looks at a value: shapes, rounds and bytes follow from public sizes.

pub(crate) mod carry;
pub(crate) mod contributions;
pub(crate) mod cross_join;
pub(crate) mod extreme;
pub(crate) mod filter;
pub(crate) mod finish;
pub(crate) mod group_key;
pub(crate) mod group_pass;
pub(crate) mod limit;
pub(crate) mod lookup_join;
pub(crate) mod measure;
pub(crate) mod one_row_join;
pub(crate) mod pair_aggregate;
pub(crate) mod project;
pub(crate) mod public;
pub(crate) mod public_aggregate;
pub(crate) mod reveal;
pub(crate) mod scalar_aggregate;
pub(crate) mod scan;
pub(crate) mod small_domain;
pub(crate) mod sort;
pub(crate) mod sort_aggregate;
pub(crate) mod tally;
pub(crate) mod union_all;
pub(crate) mod unique_join;
pub(crate) mod values;
pub(crate) mod window;
