//! A cluster whose members can be ended, started again from their folders, and cut off.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use tempfile::TempDir;
use trine_proto::catalog::Catalog;
use trine_proto::command::{Command, Outcome};
use trine_proto::ids::{LogIndex, Party};
use trine_proto::wire;
use trine_proto::wire::client_command::Command as Asked;

use crate::testing::TestCluster;
use crate::{Config, Consensus, ConsensusError, RaftTransport};

/// Far more than any step needs: a bound, not a pause.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A slow line: a request of more bytes than this takes longer than an election.
const LONG_BYTES: usize = 1 << 20;
const LONG_TAKES: Duration = Duration::from_secs(7);

/// To a slow member every request with entries takes longer than Raft's patience; a heartbeat is shorter.
const BEAT_BYTES: usize = 128;
const SLOW_TAKES: Duration = Duration::from_secs(1);

/// Who is there, and which connections are cut.
#[derive(Default)]
struct Mesh {
    members: [Weak<Consensus>; 3],
    cut: BTreeSet<Party>,
    slow: Option<Party>,
}

struct Port {
    from: Party,
    mesh: Arc<Mutex<Mesh>>,
}

impl RaftTransport for Port {
    fn call(
        &self,
        party: Party,
        request: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, ConsensusError>> {
        let (from, mesh) = (self.from, Arc::clone(&self.mesh));
        Box::pin(async move {
            let slow = mesh.lock().unwrap().slow == Some(party);
            if slow && request.len() > BEAT_BYTES {
                tokio::time::sleep(SLOW_TAKES).await;
            }
            if request.len() > LONG_BYTES {
                tokio::time::sleep(LONG_TAKES).await;
            }
            let member = {
                let mesh = mesh.lock().unwrap();
                let cut = mesh.cut.contains(&from) || mesh.cut.contains(&party);
                if cut { None } else { mesh.members[party.index()].upgrade() }
            };
            let gone = || ConsensusError::Peer { party, reason: "not there".into() };
            let answer = member.ok_or_else(gone)?.handle(from, request).await;
            if answer.is_empty() { Err(gone()) } else { Ok(answer) }
        })
    }
}

pub(super) struct Harness {
    pub(super) cluster: TestCluster,
    dirs: [TempDir; 3],
    mesh: Arc<Mutex<Mesh>>,
    members: [Option<Arc<Consensus>>; 3],
    /// Raft ids of the disks.
    ids: [u64; 3],
}

impl Harness {
    /// No member is started yet.
    pub(super) fn empty() -> Self {
        Self {
            cluster: TestCluster::seeded(1),
            dirs: std::array::from_fn(|_| tempfile::tempdir().unwrap()),
            mesh: Arc::default(),
            members: [None, None, None],
            ids: [1, 2, 3],
        }
    }
    pub(super) async fn started() -> Self {
        let mut harness = Self::empty();
        // Party 0 stands for election at once: the others are there to vote.
        for party in Party::ALL.into_iter().rev() {
            harness.start(party).await;
        }
        harness
    }
    pub(super) fn config(&self, party: Party) -> Config {
        Config {
            dir: self.dirs[party.index()].path().to_path_buf(),
            party,
            raft_id: self.ids[party.index()],
            probe: |_| {},
            cluster: self.cluster.info.clone(),
        }
    }
    pub(super) fn transport(&self, from: Party) -> Arc<dyn RaftTransport> {
        Arc::new(Port { from, mesh: Arc::clone(&self.mesh) })
    }
    /// Starts a member. One that was just dropped may still be answering a last request: its
    /// folder is free when that is over.
    pub(super) async fn start(&mut self, party: Party) {
        let open = async {
            loop {
                match Consensus::start(self.config(party), self.transport(party)).await {
                    Err(ConsensusError::Io(_)) => tokio::time::sleep(PAUSE).await,
                    other => return other.unwrap(),
                }
            }
        };
        let member = Arc::new(tokio::time::timeout(PATIENCE, open).await.unwrap());
        self.mesh.lock().unwrap().members[party.index()] = Arc::downgrade(&member);
        self.members[party.index()] = Some(member);
    }
    /// Ends a member without notice.
    pub(super) fn kill(&mut self, party: Party) {
        self.mesh.lock().unwrap().members[party.index()] = Weak::new();
        self.members[party.index()] = None;
    }
    /// An empty disk in the place of a member's.
    pub(super) fn lose_disk(&mut self, party: Party) {
        self.dirs[party.index()] = tempfile::tempdir().unwrap();
    }
    /// The id under which a member may start, as the others see it.
    pub(super) async fn asked_id(&self, party: Party) -> u64 {
        let dir = self.dirs[party.index()].path();
        crate::member_id(dir, party, self.transport(party)).await.unwrap()
    }
    /// Starts a member on an empty disk.
    pub(super) async fn start_anew(&mut self, party: Party) {
        let id = tokio::time::timeout(PATIENCE, self.asked_id(party)).await.unwrap();
        assert_ne!(id, self.ids[party.index()]);
        self.ids[party.index()] = id;
        self.start(party).await;
    }
    /// Until a member votes.
    pub(super) async fn wait_voter(&self, party: Party) {
        let inner = Arc::clone(&self.member(party).inner);
        tokio::time::timeout(PATIENCE, inner.become_voter()).await.unwrap();
    }
    pub(super) fn cut(&self, party: Party) {
        self.mesh.lock().unwrap().cut.insert(party);
    }
    pub(super) fn slow_down(&self, party: Party) {
        self.mesh.lock().unwrap().slow = Some(party);
    }
    pub(super) fn heal(&self) {
        self.mesh.lock().unwrap().cut.clear();
    }
    pub(super) fn member(&self, party: Party) -> &Arc<Consensus> {
        self.members[party.index()].as_ref().unwrap()
    }
    /// The leader, once a running member knows one that is running.
    pub(super) async fn leader(&self) -> Party {
        let search = async {
            loop {
                let known = self.members.iter().flatten().find_map(|m| m.leader());
                if let Some(leader) = known.filter(|l| self.members[l.index()].is_some()) {
                    return leader;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE, search).await.unwrap()
    }
    pub(super) async fn propose(&self, at: Party, command: Command) -> Outcome {
        self.member(at).propose(command, PATIENCE).await.unwrap()
    }
    /// Creates a table through a member.
    pub(super) async fn create(&self, at: Party, name: &str) -> LogIndex {
        match self.propose(at, self.cluster.admin(table(name))).await {
            Outcome::TableCreated(index, _) => index,
            other => panic!("{other:?}"),
        }
    }
    /// The state that all members share once they have applied a position.
    pub(super) async fn agreed(&self, index: LogIndex) -> Arc<Catalog> {
        let mut states = Vec::new();
        for party in Party::ALL {
            states.push(self.member(party).wait_applied(index, PATIENCE).await.unwrap());
        }
        assert_eq!(states[0], states[1]);
        assert_eq!(states[0], states[2]);
        states.swap_remove(0)
    }
}

const PAUSE: Duration = Duration::from_millis(20);

pub(super) fn table(name: &str) -> Asked {
    let column = wire::ColumnSchema {
        name: "id".into(),
        kind: wire::TypeKind::Int.into(),
        ..wire::ColumnSchema::default()
    };
    let schema =
        wire::TableSchema { name: name.into(), columns: vec![column], primary_key: vec![] };
    Asked::CreateTable(wire::CreateTable { schema: Some(schema), ..Default::default() })
}

pub(super) fn names(catalog: &Catalog) -> Vec<&str> {
    catalog.tables.values().map(|t| t.schema.name.as_str()).collect()
}
