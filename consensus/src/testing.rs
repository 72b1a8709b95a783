//! For tests and for engines that run three parties in one process: the replicated state without
//! Raft, a made-up cluster, and signed commands.

#![allow(clippy::expect_used, reason = "test support: without randomness there is no test")]

use std::sync::{Arc, Mutex, PoisonError};

use prost::Message as _;
use tokio::sync::watch;
use trine_proto::catalog::{Catalog, ClusterInfo};
use trine_proto::command::{
    CLIENT_DOMAIN, Command, NODE_DOMAIN, NodeCommand, NodeCommandKind, Outcome, RECEIPT_DOMAIN,
};
use trine_proto::identity::Identity;
use trine_proto::ids::{ClusterId, LogIndex, Party, TableId, TransactionId};
use trine_proto::wire;

use crate::state_machine::apply;

/// The replicated state behind a lock instead of Raft: the same [`apply`], positions from 1.
#[derive(Debug)]
pub struct LocalSequencer {
    catalog: Mutex<Arc<Catalog>>,
    applied: watch::Sender<LogIndex>,
}

impl LocalSequencer {
    /// A formed cluster: entry 1 is its Genesis.
    #[must_use]
    pub fn new(cluster: ClusterInfo) -> Self {
        let catalog = Mutex::new(Arc::new(Catalog::default()));
        let sequencer = Self { catalog, applied: watch::Sender::new(LogIndex(0)) };
        sequencer.propose(Command::Genesis(cluster));
        sequencer
    }
    /// Applies the command as the next entry.
    pub fn propose(&self, command: Command) -> Outcome {
        let mut shared = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        // A copy only where someone still looks at the state before.
        let catalog = Arc::make_mut(&mut shared);
        let index = LogIndex(catalog.applied.0 + 1);
        let outcome = apply(catalog, index, &command);
        // Published before the watch tells: whoever sees the index finds at least this state.
        drop(shared);
        self.applied.send_if_modified(|seen| {
            let newer = index > *seen;
            *seen = index.max(*seen);
            newer
        });
        outcome
    }
    /// The state after the last entry.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.lock().unwrap_or_else(PoisonError::into_inner))
    }
    /// Changes after every entry; `catalog()` is at least as new as the value seen.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<LogIndex> {
        self.applied.subscribe()
    }
}

/// A made-up cluster with the secret keys of all its nodes and of one administrator, "admin".
#[derive(Clone, Debug)]
pub struct TestCluster {
    /// The nodes' keys by party.
    pub nodes: [Identity; 3],
    /// Key of "admin".
    pub administrator: Identity,
    /// What entry 1 says.
    pub info: ClusterInfo,
}

impl TestCluster {
    /// The same for the same seed.
    #[must_use]
    pub fn seeded(seed: u8) -> Self {
        let nodes = [0, 1, 2].map(|party| identity(seed, party));
        let administrator = identity(seed, 3);
        let info = ClusterInfo {
            cluster_id: ClusterId([seed; 16]),
            node_keys: [nodes[0].public(), nodes[1].public(), nodes[2].public()],
            administrators: vec![("admin".into(), administrator.public())],
        };
        Self { nodes, administrator, info }
    }
    /// A command that the administrator signed.
    #[must_use]
    pub fn admin(&self, command: wire::client_command::Command) -> Command {
        client(&self.administrator, self.info.cluster_id, command)
    }
    /// Enrols a principal.
    #[must_use]
    pub fn enrol(&self, name: &str, key: [u8; 32]) -> Command {
        let enrol = wire::Enrol { name: name.into(), public_key: key.to_vec() };
        self.admin(wire::client_command::Command::Enrol(enrol))
    }
    /// A command that a node signed.
    #[must_use]
    pub fn node(&self, party: Party, kind: NodeCommandKind) -> Command {
        node(&self.nodes[party.index()], self.info.cluster_id, party, kind)
    }
    /// A receipt as the node of its party signs it.
    #[must_use]
    pub fn sign_receipt(&self, receipt: &wire::Receipt) -> wire::SignedReceipt {
        let signer = &self.nodes[usize::try_from(receipt.party).unwrap_or(0) % 3];
        let signed = signer.sign(RECEIPT_DOMAIN, receipt.encode_to_vec());
        wire::SignedReceipt { body: signed.body, signature: signed.signature }
    }
    /// The three receipts of a well-cut batch without PUBLIC columns.
    #[must_use]
    pub fn receipts(
        &self,
        uploader: &Identity,
        transaction: TransactionId,
        (id, table): (TableId, &trine_proto::schema::TableSchema),
        rows: u64,
    ) -> [wire::Receipt; 3] {
        let digest = |component: Party| {
            let text = format!("{transaction} {component}");
            blake3::hash(text.as_bytes()).as_bytes().to_vec()
        };
        Party::ALL.map(|party| wire::Receipt {
            cluster_id: self.info.cluster_id.0.to_vec(),
            party: u32::try_from(party.index()).unwrap_or(u32::MAX),
            transaction_id: transaction.0.to_vec(),
            table: table.name.clone(),
            schema_digest: table.digest().to_vec(),
            rows,
            first_digest: digest(party),
            second_digest: digest(party.next()),
            public_digest: blake3::hash(b"").as_bytes().to_vec(),
            principal_key: uploader.public().to_vec(),
            table_id: id.0,
        })
    }
    /// The Commit of these receipts, for [`client`].
    #[must_use]
    pub fn commit(&self, receipts: &[wire::Receipt]) -> wire::client_command::Command {
        let transaction_id = receipts.first().map(|r| r.transaction_id.clone()).unwrap_or_default();
        let receipts = receipts.iter().map(|r| self.sign_receipt(r)).collect();
        wire::client_command::Command::Commit(wire::Commit {
            transaction_id,
            receipts,
            within: None,
        })
    }
}

/// The `number`-th identity of a seed: reproducible, and worthless outside tests.
#[must_use]
pub fn identity(seed: u8, number: u8) -> Identity {
    let digest = blake3::derive_key("trine 2025 test identity", &[seed, number]);
    let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    Identity::from_hex(&hex).expect("64 hexadecimal digits")
}

/// A command that a client signed, under a fresh random command id.
///
/// # Panics
/// When the operating system gives no randomness.
#[must_use]
pub fn client(
    identity: &Identity,
    cluster: ClusterId,
    command: wire::client_command::Command,
) -> Command {
    let mut command_id = [0; 16];
    getrandom::fill(&mut command_id).expect("randomness");
    client_with_id(identity, cluster, command_id, command)
}

/// The same under a command id of one's own.
#[must_use]
pub fn client_with_id(
    identity: &Identity,
    cluster: ClusterId,
    command_id: [u8; 16],
    command: wire::client_command::Command,
) -> Command {
    let body = wire::ClientCommand {
        cluster_id: cluster.0.to_vec(),
        command_id: command_id.to_vec(),
        signed_at_ms: 0,
        expires_at_ms: u64::MAX,
        command: Some(command),
    };
    Command::Client(identity.sign(CLIENT_DOMAIN, body.encode_to_vec()))
}

/// A command that the node of a party signed.
///
/// # Panics
/// Never: the encoding into memory does not fail.
#[must_use]
pub fn node(
    identity: &Identity,
    cluster_id: ClusterId,
    party: Party,
    kind: NodeCommandKind,
) -> Command {
    let body = postcard::to_stdvec(&NodeCommand { cluster_id, party, kind }).expect("encodes");
    Command::Node(identity.sign(NODE_DOMAIN, body))
}
