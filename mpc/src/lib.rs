//! Three-party replicated secret sharing and vectorised protocols; nothing of SQL, no sockets.
//!
//! # What it guarantees
//!
//! Three parties (0, 1, 2) hold shares of columns and compute on them together. The adversary is one
//! *semi-honest* party together with any number of clients: it follows the protocol and tries to learn
//! from all that it stores, receives and is shown, over all jobs and attempts. It learns the public
//! shapes (row counts, widths), what is opened with a [`Disclosure`], and, from each sort or
//! partition, a uniformly random permutation. A party that *deviates* is not detected here, except
//! where lengths or permutations stop making sense; that is an error, never a number.
//!
//! # Notation
//!
//! x = x_0 + x_1 + x_2 modulo 2^l ([`Arith`]; l is 32, 64 or 128) or x = x_0 ^ x_1 ^ x_2 bit by bit
//! ([`Planes`]: bit-sliced, one plane a bit position, exactly as many planes as the type has bits).
//! Party i holds the *components* (x_i, x_{i+1}), indices modulo 3 (Araki, Furukawa, Lindell, Nof,
//! Ohara, CCS 2016, eprint 2016/768). A public value is its own component 0. Parties i and i+1 share
//! a key per attempt of a job ([`AttemptKeys`]); masks come from AES-128-CTR under it, each stream
//! position once.
//!
//! # The life of a computation
//!
//! 1. The owner cuts columns ([`input::cut_boolean`], [`input::cut_arithmetic`]); a node expands the
//!    seeds of its two components ([`input::expand`]) and makes [`Planes`] or [`Arith`] of them.
//! 2. A [`Session`] joins the party's index, the [`Net`], the keys and the network [`Profile`].
//! 3. [`protocol`] and [`sort`] work on whole columns; everything local is a method of the columns.
//!    All parties call the same functions in the same order with equal shapes.
//! 4. A *dry* session ([`Session::dry`]) runs the same calls without a network: it charges
//!    predicted costs ([`cost`]) and hands out *ghosts*, columns of a shape without data. What a real
//!    session counts is held equal to that.
//! 5. Result shares go to the client, or [`protocol::open_planes`] opens them to the nodes with a
//!    [`Disclosure`].
//!
//! # Protocols
//!
//! Bits sent by all parties together for one row of k bits (ring of l bits), rounds, and what is
//! revealed to the parties beyond shapes:
//!
//! | protocol | bits | rounds | reveals |
//! |---|---|---|---|
//! | xor, not, add, times constant, prefix sums, differences, gather by public index | 0 | 0 | nothing |
//! | [`protocol::and`], [`protocol::or`], [`protocol::select`], [`protocol::mul`] | 3k | 1 | nothing |
//! | [`protocol::inner_products`], any length | 3l once | 1 | nothing |
//! | [`protocol::equal`], [`protocol::and_all_planes`] | 3(k-1) | ceil(log2 k) | nothing |
//! | [`protocol::less_than`], tree | 3(2k-1-floor(log2 k)) | 1 + ceil(log2 k) | nothing |
//! | [`protocol::less_than`], ripple | 3k | k | nothing |
//! | the same in b blocks of at least two bits | [`cost::cost_less_than_as`] | about k/b + log2 b | nothing |
//! | [`protocol::less_than_constant`] | 3 less | 1 less | nothing |
//! | [`protocol::add`], [`protocol::subtract`], ripple | 3(k-1) | k-1 | nothing |
//! | the same, prefix tree | [`cost::cost_carries_as`] | 1 + ceil(log2(k-1)) | nothing |
//! | [`protocol::negate_if`], [`protocol::absolute`], ripple | 3(k-1) | k-1 | nothing |
//! | [`protocol::bits_to_arith`] | 3l a plane | 2 | nothing |
//! | [`protocol::planes_to_arith`], by bits or by an adder | l(k+2) or 3l + 3(l-1) | 2 or adder + 2 | nothing |
//! | [`protocol::arith_to_planes`] | k + adder | 1 + adder | nothing |
//! | [`protocol::divide`] | [`cost::cost_divide`] | about (k+f)(adder + 1) | nothing |
//! | [`protocol::sqrt`] | [`cost::cost_sqrt`] | about k/2 (adder + 1) | nothing |
//! | [`protocol::or_all_rows`] | 3 | ceil(log2 n) | nothing |
//! | [`sort::Shuffle::apply`], [`sort::SortOrder::apply`], `unapply` | 4k | 3 | nothing |
//! | [`sort::partition`] | 416 | 7 | a uniformly random permutation |
//! | [`sort::sort`] | [`sort::cost_sort`], expected | expected | a uniformly random permutation |
//! | [`sort::sort_columns`] | the same, and 4k for other columns than the key | the same | the same |
//! | [`sort::top_k`] | [`sort::cost_top_k`], expected | expected | part of one |
//! | [`sort::top_k_shuffled`] | 4 ceil(log2 n) more | 3 more | the same |
//! | [`protocol::open_planes`], [`protocol::open_arith`] | 3k | 1 | the column |
//!
//! Which form of a circuit runs is a pure function of (profile, rows, width), so it is the same at all
//! parties; so is the number of parts that a long column is cut into, each with a thread and a lane of the
//! network of its own. Lanes change neither bytes nor rounds. Protocols over no rows cost nothing.

mod bits;
mod chosen;
pub mod cost;
pub mod disclosure;
pub mod error;
pub mod input;
mod kernel;
mod lanes;
pub mod net;
pub mod net_delay;
pub mod net_memory;
mod pipe;
mod prg;
pub mod protocol;
pub mod ring;
pub mod session;
pub mod shares;
pub mod sort;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use chosen::Chosen;
pub use cost::Cost;
pub use disclosure::Disclosure;
pub use error::MpcError;
pub use kernel::release_freed;
pub use net::Net;
pub use net_delay::DelayNet;
pub use net_memory::MemoryNet;
pub use session::{AttemptKeys, Circuit, Profile, Session};
pub use shares::{Arith, Planes, Ring};

/// Result of a protocol.
pub type Result<T> = std::result::Result<T, MpcError>;
