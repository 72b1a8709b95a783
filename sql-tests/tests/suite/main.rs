//! One binary for all tests that link the whole system: a second one would cost a quarter of a
//! gigabyte and half a minute of linking.

mod cluster;
mod corpus;
mod random;
mod sentinels;
