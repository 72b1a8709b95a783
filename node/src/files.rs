//! Which segment files the log still wants: visibility, deletion and repair follow the catalog alone.

use std::collections::BTreeSet;
use trine_proto::catalog::Catalog;
use trine_proto::ids::{LogIndex, SegmentId, TableId};

/// What the log says of files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// Must be here.
    pub(crate) listed: BTreeSet<(TableId, SegmentId)>,
    /// Must not be here: given up, or replaced or of a dropped table, and no unfinished query may read it.
    pub(crate) gone: BTreeSet<SegmentId>,
}

impl Files {
    /// From the replicated state.
    pub(crate) fn of(catalog: &Catalog) -> Self {
        let oldest = catalog.oldest_unfinished();
        let needed = |ended: Option<LogIndex>| {
            ended.is_none_or(|end| oldest.is_some_and(|position| position < end))
        };
        // What an open transaction has written all three nodes hold: its COMMIT relies on it.
        let uncommitted = catalog.uncommitted().map(|(table, segment)| (table, segment.id));
        let listed = uncommitted.filter(|(_, id)| !catalog.aborted_segments.contains(id)).collect();
        // A backup may be of a position at which what was given up since was still open.
        let given_up = if catalog.backups.is_empty() {
            catalog.aborted_segments.clone()
        } else {
            BTreeSet::new()
        };
        let mut files = Self { listed, gone: given_up };
        for table in catalog.tables.values() {
            for segment in &table.segments {
                if needed(table.dropped) && needed(segment.valid_to) {
                    files.listed.insert((segment.home(table.id), segment.id));
                } else {
                    files.gone.insert(segment.id);
                }
            }
        }
        // Versions of a table list the same segments; one that needs it is enough.
        for (_, segment) in &files.listed {
            files.gone.remove(segment);
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use trine_proto::catalog::{
        JobEntry, JobStatus, NetProfile, SegmentEntry, TableEntry, TableRules,
    };
    use trine_proto::ids::JobId;
    use trine_proto::schema::TableSchema;

    fn table(id: u64, dropped: Option<u64>) -> TableEntry {
        let segment = SegmentEntry {
            id: SegmentId([u8::try_from(id).unwrap(); 16]),
            rows: 1,
            valid_from: LogIndex(1),
            valid_to: None,
            component_digests: [[0; 32]; 3],
            has_valid: false,
            layout: None,
        };
        TableEntry {
            id: TableId(id),
            schema: TableSchema { name: "t".into(), columns: vec![], primary_key: vec![] },
            owner: "a".into(),
            created: LogIndex(1),
            dropped: dropped.map(LogIndex),
            segments: vec![segment],
            grants: BTreeMap::new(),
            rules: TableRules::default(),
            replaces: None,
        }
    }

    #[test]
    fn files_stay_while_a_position_is_marked_for_a_backup() {
        let mut catalog = Catalog::default();
        catalog.tables.insert(TableId(2), table(2, Some(10)));
        catalog.aborted_segments.insert(SegmentId([9; 16]));
        catalog.backups.insert(LogIndex(9), trine_proto::catalog::BackupMark::default());
        let files = Files::of(&catalog);
        assert_eq!((files.listed.len(), files.gone.len()), (1, 0));
        catalog.backups.clear();
        let files = Files::of(&catalog);
        assert_eq!((files.listed.len(), files.gone.len()), (0, 2));
    }

    #[test]
    fn versions_of_a_table_share_their_files() {
        let mut catalog = Catalog::default();
        let old = table(1, Some(10));
        let layout = trine_proto::alter::Layout {
            table: TableId(1),
            schema: old.schema.clone(),
            columns: vec![],
        };
        let mut new = table(1, None);
        (new.id, new.replaces) = (TableId(2), Some(TableId(1)));
        new.segments[0].layout = Some(std::sync::Arc::new(layout));
        catalog.tables.extend([(old.id, old), (new.id, new)]);
        let files = Files::of(&catalog);
        assert_eq!(files.listed, [(TableId(1), SegmentId([1; 16]))].into());
        assert!(files.gone.is_empty());
        // What is rewritten goes once nobody reads it, by whatever version.
        for table in catalog.tables.values_mut() {
            table.segments[0].valid_to = Some(LogIndex(12));
        }
        assert_eq!(Files::of(&catalog).gone, [SegmentId([1; 16])].into());
        let listed = crate::repair::listed(&catalog);
        assert!(listed.is_empty());
    }

    #[test]
    fn files_of_a_dropped_table_stay_while_an_older_query_runs() {
        let mut catalog = Catalog::default();
        for table in [table(1, None), table(2, Some(10))] {
            catalog.tables.insert(table.id, table);
        }
        catalog.aborted_segments.insert(SegmentId([9; 16]));
        let mut job = JobEntry {
            id: JobId([1; 16]),
            principal: "a".into(),
            sql: String::new(),
            statement_digest: [0; 32],
            position: LogIndex(9),
            log_digest: [0; 32],
            attempt: 1,
            status: JobStatus::Active,
            done: [false; 3],
            signed_at_ms: 0,
            net_profile: NetProfile::default(),
            parameters: None,
            memory_max: None,
            within: None,
        };
        catalog.jobs.insert(job.id, job.clone());
        assert_eq!(Files::of(&catalog).listed.len(), 2);
        assert_eq!(Files::of(&catalog).gone, [SegmentId([9; 16])].into());
        job.position = LogIndex(11);
        catalog.jobs.insert(job.id, job);
        let files = Files::of(&catalog);
        assert_eq!(files.listed, [(TableId(1), SegmentId([1; 16]))].into());
        assert_eq!(files.gone, [SegmentId([2; 16]), SegmentId([9; 16])].into());
    }
}
