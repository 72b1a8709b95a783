//! One test per rule of `apply`, over commands with real signatures.

mod alter;
mod commits;
mod definitions;
mod identities;
mod networks;
mod objects;
mod packs;
mod queries;
mod schemas;
mod transactions;
mod validations;
mod writes;

use trine_proto::catalog::{Catalog, TableEntry, TransactionState};
use trine_proto::command::{Command, NodeCommandKind, Outcome};
use trine_proto::identity::Identity;
use trine_proto::ids::{LogIndex, Party, TableId, TransactionId};
use trine_proto::schema::TableSchema;
use trine_proto::status::SqlError;
use trine_proto::wire;
use trine_proto::wire::client_command::Command as Asked;

use super::apply;
use crate::testing::{TestCluster, client_with_id, identity};

/// A formed cluster with the principals ann and bob.
pub(super) struct World {
    pub(super) cluster: TestCluster,
    pub(super) catalog: Catalog,
    pub(super) ann: Identity,
    pub(super) bob: Identity,
    commands: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let cluster = TestCluster::seeded(1);
        let (ann, bob) = (identity(1, 10), identity(1, 11));
        let mut world = Self { cluster, catalog: Catalog::default(), ann, bob, commands: 0 };
        world.run(&Command::Genesis(world.cluster.info.clone()));
        for (name, key) in [("ann", world.ann.public()), ("bob", world.bob.public())] {
            let enrol = wire::Enrol { name: name.into(), public_key: key.to_vec() };
            applied(&world.admin(Asked::Enrol(enrol)));
        }
        world
    }
    pub(super) fn run(&mut self, command: &Command) -> Outcome {
        let index = LogIndex(self.catalog.applied.0 + 1);
        let outcome = apply(&mut self.catalog, index, command);
        assert_eq!(self.catalog.applied, index);
        outcome
    }
    pub(super) fn sign(&mut self, who: &Identity, asked: Asked) -> Command {
        self.commands += 1;
        let id = u128::from(self.commands).to_be_bytes();
        client_with_id(who, self.cluster.info.cluster_id, id, asked)
    }
    fn ask(&mut self, who: &Identity, asked: Asked) -> Outcome {
        let command = self.sign(who, asked);
        self.run(&command)
    }
    pub(super) fn admin(&mut self, asked: Asked) -> Outcome {
        self.ask(&self.cluster.administrator.clone(), asked)
    }
    pub(super) fn ann(&mut self, asked: Asked) -> Outcome {
        self.ask(&self.ann.clone(), asked)
    }
    pub(super) fn bob(&mut self, asked: Asked) -> Outcome {
        self.ask(&self.bob.clone(), asked)
    }
    pub(super) fn node(&mut self, party: usize, kind: NodeCommandKind) -> Outcome {
        let command = self.cluster.node(Party::new(party).unwrap(), kind);
        self.run(&command)
    }
    /// Ann's table with or without a primary key.
    pub(super) fn table(&mut self, name: &str, keyed: bool) -> TableSchema {
        let outcome = self.ann(create(name, keyed, false));
        assert!(matches!(outcome, Outcome::TableCreated(..)), "{outcome:?}");
        TableSchema::try_from(&schema(name, keyed)).unwrap()
    }
    pub(super) fn receipts(&self, id: u8, table: &TableSchema, rows: u64) -> [wire::Receipt; 3] {
        self.cluster.receipts(&self.ann, transaction(id), self.now(table), rows)
    }
    /// The schema with the id that its table has now.
    pub(super) fn now<'a>(&self, table: &'a TableSchema) -> (TableId, &'a TableSchema) {
        let known = self.catalog.table(&table.name, self.catalog.applied);
        (known.map_or(TableId(0), |t| t.id), table)
    }
    /// Ann commits a well-cut batch.
    pub(super) fn load(&mut self, id: u8, table: &TableSchema, rows: u64) -> Outcome {
        let commit = self.cluster.commit(&self.receipts(id, table, rows));
        self.ann(commit)
    }
    pub(super) fn entry(&self, name: &str) -> &TableEntry {
        self.catalog.table(name, self.catalog.applied).unwrap()
    }
    pub(super) fn state(&self, id: u8) -> &TransactionState {
        &self.catalog.transactions[&transaction(id)]
    }
}

pub(super) fn transaction(id: u8) -> TransactionId {
    TransactionId([id; 16])
}

pub(super) fn schema(name: &str, keyed: bool) -> wire::TableSchema {
    let column = |name: &str| wire::ColumnSchema {
        name: name.into(),
        kind: wire::TypeKind::Int.into(),
        ..wire::ColumnSchema::default()
    };
    wire::TableSchema {
        name: name.into(),
        columns: vec![column("id"), column("value")],
        primary_key: if keyed { vec![0] } else { Vec::new() },
    }
}

pub(super) fn create(name: &str, keyed: bool, if_not_exists: bool) -> Asked {
    Asked::CreateTable(wire::CreateTable {
        schema: Some(schema(name, keyed)),
        if_not_exists,
        rules: None,
    })
}

pub(super) fn drop_table(table: &str, if_exists: bool) -> Asked {
    Asked::DropTable(wire::DropTable { table: table.into(), if_exists, cascade: false })
}

pub(super) fn select_on(table: &str, principal: &str) -> wire::Grant {
    wire::Grant { table: table.into(), principal: principal.into() }
}

pub(super) fn abort(id: u8) -> Asked {
    Asked::Abort(wire::Abort { transaction_id: transaction(id).0.to_vec() })
}

pub(super) fn query(sql: &str) -> Asked {
    Asked::SubmitQuery(wire::SubmitQuery { sql: sql.into(), ..Default::default() })
}

pub(super) fn applied(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
}

pub(super) fn nothing(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Nothing(_, notice) => notice,
        other => panic!("expected Nothing, got {other:?}"),
    }
}

pub(super) fn refused(outcome: &Outcome) -> &SqlError {
    match outcome {
        Outcome::Refused(_, error) => error,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

pub(super) fn refused_with(outcome: &Outcome, sqlstate: &str) {
    assert_eq!(refused(outcome).sqlstate, sqlstate, "{outcome:?}");
}

/// The catalog apart from what every entry changes.
pub(super) fn content(catalog: &Catalog) -> Catalog {
    let mut content = catalog.clone();
    content.applied = LogIndex(0);
    content.log_digest = [0; 32];
    content.outcomes.clear();
    content
}
