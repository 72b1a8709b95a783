//! Clients: they upload and commit, query, or write; ask again when no answer comes; and sometimes go
//! away in the middle.

use super::broken::Rule;
use super::world::{Node, World};
use prost::Message as _;
use trine_proto::catalog::{JobStatus, Staged, TransactionState, Verdict};
use trine_proto::command::{CLIENT_DOMAIN, Command, Outcome};
use trine_proto::ids::{JobId, LogIndex, TableId, TransactionId};
use trine_proto::schema::TableSchema;
use trine_proto::wire;
use trine_proto::wire::client_command::Command as Asked;

/// How long a client tries before it goes away, in milliseconds.
const PATIENCE: u64 = 60_000;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Load { keyed: bool },
    Query,
    Write { rewrites: bool },
}

/// One client with one wish.
#[derive(Clone, Debug)]
pub(super) struct Client {
    goal: Goal,
    /// Names its command, and its transaction or job.
    id: [u8; 16],
    begun: Option<u64>,
    staged: [bool; 3],
    /// Goes away after staging.
    leaves: bool,
    command: Option<Command>,
    /// The node that was asked last, in that life.
    asked: Option<(usize, u64)>,
}

/// Name of the one table or the other.
const fn name(keyed: bool) -> &'static str {
    if keyed { "keyed" } else { "plain" }
}

fn schema(keyed: bool) -> wire::TableSchema {
    let column = wire::ColumnSchema {
        name: "v".into(),
        kind: wire::TypeKind::Int.into(),
        ..wire::ColumnSchema::default()
    };
    let primary_key = if keyed { vec![0] } else { vec![] };
    wire::TableSchema { name: name(keyed).into(), columns: vec![column], primary_key }
}

/// The administrator's command under an id that the seed draws.
fn signed(world: &World, id: [u8; 16], asked: Asked) -> Command {
    let body = wire::ClientCommand {
        cluster_id: world.cluster.info.cluster_id.0.to_vec(),
        command_id: id.to_vec(),
        signed_at_ms: 0,
        expires_at_ms: u64::MAX,
        command: Some(asked),
    };
    Command::Client(world.cluster.administrator.sign(CLIENT_DOMAIN, body.encode_to_vec()))
}

/// Entry 2 or 3 of the log.
pub(super) fn create_table(world: &mut World, keyed: bool) -> Command {
    let id = world.id();
    let create = wire::CreateTable { schema: Some(schema(keyed)), ..Default::default() };
    signed(world, id, Asked::CreateTable(create))
}

/// The table as some node knows it.
fn table(world: &World, keyed: bool) -> TableId {
    let known = |n: &Node| n.catalog.table(name(keyed), LogIndex(u64::MAX)).map(|t| t.id);
    world.nodes.iter().find_map(known).unwrap_or(TableId(0))
}

/// Number of the table without constraints: it is made first.
pub(super) const PLAIN: u64 = 0;

/// A batch of a few rows in the table without constraints, uploaded to all three: its id and its Commit.
pub(super) fn loaded(world: &mut World) -> ([u8; 16], Command) {
    let id = world.id();
    let schema = TableSchema::try_from(&schema(false)).unwrap();
    let table = table(world, false);
    let who = &world.cluster.administrator;
    let receipts = world.cluster.receipts(who, TransactionId(id), (table, &schema), 3);
    let commit = world.cluster.commit(&receipts);
    let command = *blake3::hash(&id).as_bytes().first_chunk().unwrap();
    (id, signed(world, command, commit))
}

/// A node's verdict on a statement that wrote: digests as two holders of a component compute them.
pub(super) fn staged(
    world: &World,
    (node, table): (usize, TableId),
    transaction: TransactionId,
    attempt: u32,
    rows: u64,
) -> Verdict {
    let digest = |component: usize| {
        *blake3::hash(format!("{transaction} {attempt} {}", component % 3).as_bytes()).as_bytes()
    };
    let entry = &world.nodes[node].catalog.tables[&table];
    Verdict::Staged(Staged {
        rows,
        schema_digest: entry.schema.digest(),
        first_digest: digest(node),
        second_digest: digest(node + 1),
        public_digest: [0; 32],
    })
}

impl Client {
    pub(super) fn new(world: &mut World) -> Self {
        let goal = match world.below(7) {
            0 | 1 => Goal::Load { keyed: false },
            2 | 3 => Goal::Load { keyed: true },
            4 => Goal::Query,
            5 => Goal::Write { rewrites: false },
            _ => Goal::Write { rewrites: true },
        };
        Self {
            goal,
            id: world.id(),
            begun: None,
            staged: [false; 3],
            leaves: world.below(7) == 0,
            command: None,
            asked: None,
        }
    }

    /// Does the next thing; returns the pause until the one after, or nothing when it is done.
    pub(super) fn step(&mut self, world: &mut World) -> Option<u64> {
        let begun = *self.begun.get_or_insert(world.now);
        if world.now > begun + PATIENCE {
            return None;
        }
        let pause = Some(20 + world.below(300));
        if let Some((node, life)) = self.asked {
            if self.is_over(world, node) {
                return None;
            }
            // No answer: another node is asked the same.
            if !world.nodes[node].up || world.nodes[node].life != life || world.below(12) == 0 {
                self.asked = None;
            }
            return pause;
        }
        let needed = if world.rule == Some(Rule::ThreeReceipts) { 2 } else { 3 };
        if let Goal::Load { keyed } = self.goal
            && self.staged.iter().filter(|staged| **staged).count() < needed
        {
            return if self.upload(world, keyed) { pause } else { None };
        }
        if self.leaves && matches!(self.goal, Goal::Load { .. }) {
            return None;
        }
        let command = match &self.command {
            Some(command) => command.clone(),
            None => self.command.insert(self.build(world)).clone(),
        };
        let node = usize::try_from(world.below(3)).unwrap();
        if world.has_quorum(node) {
            world.append(command);
            self.asked = Some((node, world.nodes[node].life));
        }
        pause
    }

    /// Stages at one node that is up; false when the log has given the batch up.
    fn upload(&mut self, world: &mut World, keyed: bool) -> bool {
        let node = usize::try_from(world.below(3)).unwrap();
        if !world.nodes[node].up {
            return true;
        }
        let transaction = TransactionId(self.id);
        let own = &mut world.nodes[node];
        let Some(table) = own.catalog.table(name(keyed), LogIndex(u64::MAX)).map(|t| t.id) else {
            return true;
        };
        if own.catalog.aborted_segments.contains(&transaction.into()) {
            return false;
        }
        own.disk.insert((table, transaction.into()));
        world.changes += 1;
        self.staged[node] = true;
        true
    }

    fn build(&self, world: &World) -> Command {
        let asked = match self.goal {
            Goal::Load { keyed } => {
                let schema = TableSchema::try_from(&schema(keyed)).unwrap();
                let table = table(world, keyed);
                let receipts = world.cluster.receipts(
                    &world.cluster.administrator,
                    TransactionId(self.id),
                    (table, &schema),
                    3,
                );
                world.cluster.commit(&receipts)
            }
            Goal::Query => Asked::SubmitQuery(wire::SubmitQuery {
                sql: "SELECT 1".into(),
                parameters: None,
                within: None,
            }),
            Goal::Write { rewrites } => {
                let kind =
                    if rewrites { wire::WriteKind::Rewrite } else { wire::WriteKind::Insert };
                Asked::SubmitWrite(wire::SubmitWrite {
                    sql: "a statement".into(),
                    table: name(self.id[1].is_multiple_of(2)).into(),
                    kind: kind.into(),
                    ..Default::default()
                })
            }
        };
        // A Commit has an id of its own; statements give theirs to their transaction or job.
        let id = match self.goal {
            Goal::Load { .. } => *blake3::hash(&self.id).as_bytes().first_chunk().unwrap(),
            _ => self.id,
        };
        signed(world, id, asked)
    }

    /// Whether the node that was asked knows the end; what it says is remembered.
    fn is_over(&self, world: &mut World, node: usize) -> bool {
        let catalog = &world.nodes[node].catalog;
        let transaction = TransactionId(self.id);
        if self.goal == Goal::Query {
            let job = catalog.jobs.get(&JobId(self.id));
            return job.is_some_and(|job| job.status != JobStatus::Active);
        }
        let told = match catalog.transactions.get(&transaction) {
            Some(TransactionState::Committed(at)) => Some(Some(*at)),
            Some(TransactionState::Aborted(..)) => Some(None),
            Some(
                TransactionState::Validating(_)
                | TransactionState::Open(_)
                | TransactionState::Joined(..),
            ) => None,
            None => {
                let command = blake3::hash(&self.id);
                let outcome = catalog.outcomes.get(command.as_bytes().first_chunk().unwrap());
                matches!(outcome, Some(Outcome::Refused(..))).then_some(None)
            }
        };
        if let Some(Some(at)) = told {
            world.acknowledged.insert(transaction, at);
            world.changes += 1;
        }
        told.is_some()
    }
}
