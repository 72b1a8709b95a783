//! The applied catalog as records of the `state` family, so that a batch of entries costs what it
//! changed and not what the catalog has grown to. A record's key is a letter and the object's id.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use trine_proto::catalog::{
    BackupMark, Catalog, ClusterInfo, NetProfile, NetReports, SchemaEntry, SegmentEntry, TableEntry,
};
use trine_proto::ids::{JobId, LogIndex, SegmentId, TableId, TransactionId};

use crate::database::{Batch, Database, Family, decode};
use crate::error::ConsensusError;
use crate::raft::{LogId, StoredMembership};

const HEAD: &[u8] = b"H";
const PRINCIPAL: u8 = b'p';
const TABLE: u8 = b't';
const SEGMENT: u8 = b's';
const VIEW: u8 = b'v';
const TRANSACTION: u8 = b'x';
const JOB: u8 = b'j';
const OUTCOME: u8 = b'o';
const ABORTED: u8 = b'a';

/// Where Raft stands with the catalog. Written with every batch of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// The last applied entry, of whatever kind.
    pub(crate) last: Option<LogId>,
    /// The last applied membership.
    pub(crate) membership: StoredMembership,
}

/// All of the catalog that is not a map.
#[derive(Serialize, Deserialize)]
struct Head {
    last: Option<LogId>,
    membership: StoredMembership,
    cluster: Option<ClusterInfo>,
    next_table: u64,
    net_profile: NetProfile,
    net_reports: NetReports,
    job_memory: [Option<u64>; 3],
    applied: LogIndex,
    log_digest: [u8; 32],
    backups: BTreeMap<LogIndex, BackupMark>,
    share_generation: u64,
    schemas: BTreeMap<String, SchemaEntry>,
}

/// Reads what was written last; an empty store is an empty catalog.
pub(crate) fn load(database: &Database) -> Result<(Catalog, Applied), ConsensusError> {
    let Some(head) = database.get::<Head>(Family::State, HEAD)? else {
        return Ok((Catalog::default(), Applied::default()));
    };
    let mut catalog = Catalog {
        cluster: head.cluster,
        next_table: head.next_table,
        net_profile: head.net_profile,
        net_reports: head.net_reports,
        job_memory: head.job_memory,
        applied: head.applied,
        log_digest: head.log_digest,
        backups: head.backups,
        share_generation: head.share_generation,
        schemas: head.schemas,
        ..Catalog::default()
    };
    let mut segments: BTreeMap<(TableId, u64), SegmentEntry> = BTreeMap::new();
    for record in database.from(Family::State, &[])? {
        let (key, value) = record?;
        let Some((&kind, id)) = key.split_first() else {
            return Err(ConsensusError::Corrupt("an empty key".into()));
        };
        match kind {
            PRINCIPAL => read(&mut catalog.principals, id, &value)?,
            TABLE => read(&mut catalog.tables, id, &value)?,
            VIEW => read(&mut catalog.views, id, &value)?,
            SEGMENT => read(&mut segments, id, &value)?,
            TRANSACTION => read(&mut catalog.transactions, id, &value)?,
            JOB => read(&mut catalog.jobs, id, &value)?,
            OUTCOME => read(&mut catalog.outcomes, id, &value)?,
            ABORTED => {
                catalog.aborted_segments.insert(SegmentId::from_key(id)?);
            }
            _ if *key == *HEAD => {}
            _ => return Err(ConsensusError::Corrupt(format!("a record of kind {kind}"))),
        }
    }
    // In order of (table, position in its list).
    for ((table, position), segment) in segments {
        let table = catalog.tables.get_mut(&table);
        let list = table.map(|t| &mut t.segments).filter(|l| l.len() as u64 == position);
        list.ok_or_else(|| {
            ConsensusError::Corrupt(format!("segment {} has no place", segment.id))
        })?
        .push(segment);
    }
    Ok((catalog, Applied { last: head.last, membership: head.membership }))
}

/// Adds to the batch what differs between two states of the catalog. Cost: one comparison per
/// object, one write per difference.
pub(crate) fn write_difference(
    batch: &mut Batch<'_>,
    old: &Catalog,
    new: &Catalog,
    applied: &Applied,
) -> Result<(), ConsensusError> {
    let head = Head {
        last: applied.last,
        membership: applied.membership.clone(),
        cluster: new.cluster.clone(),
        next_table: new.next_table,
        net_profile: new.net_profile,
        net_reports: new.net_reports.clone(),
        job_memory: new.job_memory,
        applied: new.applied,
        log_digest: new.log_digest,
        backups: new.backups.clone(),
        share_generation: new.share_generation,
        schemas: new.schemas.clone(),
    };
    batch.put(Family::State, HEAD, &head)?;
    difference(batch, PRINCIPAL, &old.principals, &new.principals)?;
    difference(batch, TRANSACTION, &old.transactions, &new.transactions)?;
    difference(batch, JOB, &old.jobs, &new.jobs)?;
    difference(batch, VIEW, &old.views, &new.views)?;
    difference(batch, OUTCOME, &old.outcomes, &new.outcomes)?;
    for id in new.aborted_segments.difference(&old.aborted_segments) {
        batch.put(Family::State, &key(ABORTED, id), &())?;
    }
    for id in old.aborted_segments.difference(&new.aborted_segments) {
        batch.delete(Family::State, &key(ABORTED, id))?;
    }
    tables(batch, &old.tables, &new.tables)
}

/// A table's segments are records of their own: a commit writes one segment, not the list.
fn tables(
    batch: &mut Batch<'_>,
    old: &BTreeMap<TableId, TableEntry>,
    new: &BTreeMap<TableId, TableEntry>,
) -> Result<(), ConsensusError> {
    let dropped = old.keys().filter(|id| !new.contains_key(id));
    for id in new.keys().chain(dropped) {
        let (before, after) = (old.get(id), new.get(id));
        if before == after {
            continue;
        }
        let bare = |t: &TableEntry| TableEntry { segments: Vec::new(), ..t.clone() };
        match after {
            Some(table) if before.map(bare).as_ref() != Some(&bare(table)) => {
                batch.put(Family::State, &key(TABLE, id), &bare(table))?;
            }
            Some(_) => {}
            None => batch.delete(Family::State, &key(TABLE, id))?,
        }
        let before = before.map_or(&[][..], |t| &t.segments);
        let after = after.map_or(&[][..], |t| &t.segments);
        for (position, segment) in (0_u64..).zip(after) {
            if usize::try_from(position).ok().and_then(|p| before.get(p)) != Some(segment) {
                batch.put(Family::State, &key(SEGMENT, &(*id, position)), segment)?;
            }
        }
        for (position, _) in (0_u64..).zip(before).skip(after.len()) {
            batch.delete(Family::State, &key(SEGMENT, &(*id, position)))?;
        }
    }
    Ok(())
}

fn difference<K: Key, V: PartialEq + Serialize>(
    batch: &mut Batch<'_>,
    kind: u8,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) -> Result<(), ConsensusError> {
    for (id, value) in new {
        if old.get(id) != Some(value) {
            batch.put(Family::State, &key(kind, id), value)?;
        }
    }
    for id in old.keys().filter(|id| !new.contains_key(id)) {
        batch.delete(Family::State, &key(kind, id))?;
    }
    Ok(())
}

fn read<K: Key, V: DeserializeOwned>(
    map: &mut BTreeMap<K, V>,
    id: &[u8],
    value: &[u8],
) -> Result<(), ConsensusError> {
    map.insert(K::from_key(id)?, decode(value)?);
    Ok(())
}

fn key<K: Key>(kind: u8, id: &K) -> Vec<u8> {
    let mut bytes = vec![kind];
    id.append_to(&mut bytes);
    bytes
}

/// Ids as bytes of a key.
trait Key: Ord + Sized {
    fn append_to(&self, key: &mut Vec<u8>);
    fn from_key(bytes: &[u8]) -> Result<Self, ConsensusError>;
}

impl Key for [u8; 16] {
    fn append_to(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self);
    }
    fn from_key(bytes: &[u8]) -> Result<Self, ConsensusError> {
        bytes.try_into().map_err(|_| bad_key())
    }
}

macro_rules! random_id_key {
    ($($name:ident),*) => {$(
        impl Key for $name {
            fn append_to(&self, key: &mut Vec<u8>) {
                self.0.append_to(key);
            }
            fn from_key(bytes: &[u8]) -> Result<Self, ConsensusError> {
                <[u8; 16]>::from_key(bytes).map(Self)
            }
        }
    )*};
}
random_id_key!(SegmentId, TransactionId, JobId);

impl Key for String {
    fn append_to(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self.as_bytes());
    }
    fn from_key(bytes: &[u8]) -> Result<Self, ConsensusError> {
        Self::from_utf8(bytes.to_vec()).map_err(|_| bad_key())
    }
}

impl Key for TableId {
    fn append_to(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(&self.0.to_be_bytes());
    }
    fn from_key(bytes: &[u8]) -> Result<Self, ConsensusError> {
        bytes.try_into().map(|b| Self(u64::from_be_bytes(b))).map_err(|_| bad_key())
    }
}

/// Table and position in its list of segments.
impl Key for (TableId, u64) {
    fn append_to(&self, key: &mut Vec<u8>) {
        self.0.append_to(key);
        key.extend_from_slice(&self.1.to_be_bytes());
    }
    fn from_key(bytes: &[u8]) -> Result<Self, ConsensusError> {
        let (table, position) = bytes.split_at_checked(8).ok_or_else(bad_key)?;
        let position = position.try_into().map_err(|_| bad_key())?;
        Ok((TableId::from_key(table)?, u64::from_be_bytes(position)))
    }
}

fn bad_key() -> ConsensusError {
    ConsensusError::Corrupt("a key of the wrong length".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_machine::apply;
    use crate::testing::{TestCluster, client};
    use trine_proto::command::{Command, NodeCommandKind};
    use trine_proto::ids::Party;
    use trine_proto::schema::TableSchema;
    use trine_proto::wire;
    use trine_proto::wire::client_command::Command as Asked;

    fn commands(cluster: &TestCluster) -> Vec<Command> {
        let id = cluster.info.cluster_id;
        let column = wire::ColumnSchema {
            name: "id".into(),
            kind: wire::TypeKind::Int.into(),
            ..wire::ColumnSchema::default()
        };
        let schema =
            wire::TableSchema { name: "t".into(), columns: vec![column], primary_key: vec![] };
        let table = TableSchema::try_from(&schema).unwrap();
        let admin = |asked| client(&cluster.administrator, id, asked);
        let load = |n: u8| {
            let transaction = TransactionId([n; 16]);
            let receipts =
                cluster.receipts(&cluster.administrator, transaction, (TableId(0), &table), 3);
            admin(cluster.commit(&receipts))
        };
        let create = wire::CreateTable { schema: Some(schema.clone()), ..Default::default() };
        let query = wire::SubmitQuery { sql: "SELECT 1".into(), ..Default::default() };
        let view = wire::CreateView {
            name: "v".into(),
            sql: "SELECT id FROM t".into(),
            depends: vec!["t".into()],
            ..Default::default()
        };
        let error = trine_proto::status::SqlError::new("57014", "given up");
        let abort = NodeCommandKind::Abort { transaction: TransactionId([9; 16]), error };
        let drop = wire::DropTable { table: "t".into(), if_exists: false, cascade: true };
        vec![
            Command::Genesis(cluster.info.clone()),
            cluster.enrol("ann", [5; 32]),
            admin(Asked::CreateTable(create)),
            load(1),
            load(2),
            admin(Asked::CreateView(view)),
            admin(Asked::SubmitQuery(query)),
            cluster.node(Party::ALL[1], abort),
            admin(Asked::DropTable(drop)),
        ]
    }

    /// Writes a state over another and reads it back.
    fn written(database: &Database, old: &Catalog, new: &Catalog) -> Catalog {
        let mut batch = database.batch();
        write_difference(&mut batch, old, new, &Applied::default()).unwrap();
        batch.commit_synced().unwrap();
        load(database).unwrap().0
    }

    #[test]
    fn what_is_written_step_by_step_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(dir.path()).unwrap();
        let mut catalog = load(&database).unwrap().0;
        assert_eq!(catalog, Catalog::default());
        let mut states = vec![catalog.clone()];
        for (index, command) in (1..).zip(commands(&TestCluster::seeded(1))) {
            let old = catalog.clone();
            apply(&mut catalog, LogIndex(index), &command);
            assert_eq!(written(&database, &old, &catalog), catalog);
            states.push(catalog.clone());
        }
        let last = states.last().unwrap();
        assert_eq!(last.tables.values().map(|t| t.segments.len()).sum::<usize>(), 2);
        assert_eq!((last.jobs.len(), last.aborted_segments.len()), (1, 1));
        // Any state over any other, as a snapshot would do it: deletions too.
        let mut present = last.clone();
        for next in states.iter().rev().chain(&states) {
            assert_eq!(written(&database, &present, next), *next);
            present = next.clone();
        }
    }
}
