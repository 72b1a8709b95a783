//! The contract of Trine: what crosses the wire or lives in the catalog.
//!
//! Every crate of the workspace stands on this one; it stands on none of ours. It holds
//!
//! * the generated gRPC code ([`wire`]) of `proto/trine/v1/trine.proto`;
//! * ids as newtypes ([`ids`]), table schemas and how a column is encoded ([`schema`]);
//! * the replicated catalog as pure data with look-ups ([`catalog`], [`transaction`]) and the commands that change
//!   it ([`command`]; the rules that apply them live in trine-consensus);
//! * errors that reach a user: SQLSTATE, sentence, position, hint ([`status`]);
//! * the digest by which a client checks a result ([`result`]);
//! * identities: Ed25519 keys, signatures and TLS by pinned key ([`identity`], [`tls`]).
//!
//! It does no I/O.

pub mod alter;
pub mod catalog;
pub mod command;
pub mod identity;
pub mod ids;
pub mod result;
pub mod schema;
pub mod status;
pub mod tls;
pub mod transaction;

/// Generated messages, clients and servers of package `trine.v1`.
pub mod wire {
    #![allow(missing_docs, unreachable_pub, unused_qualifications)]
    #![allow(clippy::all, clippy::pedantic, clippy::nursery, clippy::restriction)]
    tonic::include_proto!("trine.v1");

    /// Descriptor set of the contract, for gRPC reflection.
    pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/trine_descriptor.bin"));
}

/// Rows of one chunk: the unit in which batches are cut, sent, stored and expanded from seeds.
pub const CHUNK_ROWS: usize = 1 << 16;
