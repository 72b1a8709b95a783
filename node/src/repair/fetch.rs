//! The asking side of a repair: both components of one segment from the two peers, into a new file.

use super::serve::common_slot;
use super::wire::{Answer, Failure, Head, Request, receive, receive_page, send};
use crate::limits::{REPAIR_HEAD_BYTES_MAX, REPAIR_HEAD_WAIT};
use crate::mesh::{Mesh, RepairStream};
use trine_proto::catalog::SegmentEntry;
use trine_proto::ids::{Party, TableId};
use trine_proto::schema::Secrecy;
use trine_storage::{ComponentSource, Digests, SegmentHeader, StageWriter, Store};

/// Connections to both peers, made when first needed and kept for the next segment.
pub(super) struct Fetcher {
    mesh: Mesh,
    store: Store,
    party: Party,
    /// To the holder of slot 0 and of slot 1 of this party.
    streams: [Option<RepairStream>; 2],
}

impl Fetcher {
    pub(super) fn new(mesh: Mesh, store: Store, party: Party) -> Self {
        Self { mesh, store, party, streams: [None, None] }
    }

    /// Component i is held by party i-1 too, component i+1 by party i+1.
    fn holder(&self, slot: usize) -> Party {
        if slot == 0 { self.party.previous() } else { self.party.next() }
    }

    /// Rebuilds one segment; returns the bytes fetched.
    pub(super) async fn rebuild(
        &mut self,
        table: TableId,
        entry: &SegmentEntry,
    ) -> Result<u64, Failure> {
        let rebuilt = Box::pin(self.rebuild_now(table, entry)).await;
        if rebuilt.is_err() {
            // Pages may be on their way still.
            self.streams = [None, None];
        }
        rebuilt
    }

    async fn rebuild_now(&mut self, table: TableId, entry: &SegmentEntry) -> Result<u64, Failure> {
        let heads = [self.ask(0, table, entry).await?, self.ask(1, table, entry).await?];
        let header = agree(self.party, table, entry, &heads)?;
        let index = |slot| header.component_index(slot);
        let expected = Digests {
            components: [0, 1].map(|slot| entry.component_digests[index(slot)]),
            public: heads[0].public_digest,
        };
        let (store, for_writer) = (self.store.clone(), header.clone());
        let writer = blocking(move || store.rebuild(for_writer, expected)).await?;
        let mut writer = writer.map_err(|e| e.to_string())?;
        let mut bytes = 0;
        for chunk in 0..header.chunks() {
            let rows = header.chunk_rows(chunk);
            let mut explicit = Vec::new();
            for slot in [0, 1] {
                if header.components[slot].source == ComponentSource::Explicit {
                    explicit.extend(self.pages(slot, &header, rows, Secrecy::Secret).await?);
                }
            }
            let public = self.pages(0, &header, rows, Secrecy::Public).await?;
            bytes += explicit.iter().chain(&public).map(|page| page.len() as u64).sum::<u64>();
            let append = move || -> (StageWriter, trine_storage::Result<()>) {
                let appended = writer.append(rows, &explicit, &public);
                (writer, appended)
            };
            let (back, appended) = blocking(append).await?;
            appended.map_err(|e| e.to_string())?;
            writer = back;
        }
        blocking(move || writer.finish()).await?.map_err(|e| e.to_string())?;
        Ok(bytes)
    }

    /// Sends the request and takes in the head.
    async fn ask(
        &mut self,
        slot: usize,
        table: TableId,
        entry: &SegmentEntry,
    ) -> Result<Head, Failure> {
        let peer = self.holder(slot);
        debug_assert!(common_slot(peer, self.party).is_some());
        let named = |why: Failure| format!("node {peer}: {why}");
        if self.streams[slot].is_none() {
            let dialled = self.mesh.dial_repair(peer).await;
            self.streams[slot] = Some(dialled.map_err(named)?);
        }
        let stream = self.streams[slot].as_mut().ok_or("no connection")?;
        let request = Request { table: table.0, segment: entry.id.0, public: slot == 0 };
        send(stream, &request).await.map_err(named)?;
        let answer = receive::<Answer>(stream, REPAIR_HEAD_BYTES_MAX, REPAIR_HEAD_WAIT).await;
        match answer.map_err(named)? {
            Some(Ok(head)) => Ok(head),
            Some(Err(why)) => Err(why),
            None => Err(named("the connection was closed".into())),
        }
    }

    /// A chunk's pages of one kind, in the order of the stored columns.
    async fn pages(
        &mut self,
        slot: usize,
        header: &SegmentHeader,
        rows: usize,
        secrecy: Secrecy,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let peer = self.holder(slot);
        let stream = self.streams[slot].as_mut().ok_or("no connection")?;
        let mut pages = Vec::new();
        for column in header.layout.iter().filter(|c| c.secrecy == secrecy) {
            let page = receive_page(stream, rows * column.row_bytes).await;
            pages.push(page.map_err(|why| format!("node {peer}: {why}"))?);
        }
        Ok(pages)
    }
}

/// The header of the new file, if both peers and the log say the same of the segment. What they say of
/// components is checked by digest when the file is complete.
fn agree(
    party: Party,
    table: TableId,
    entry: &SegmentEntry,
    heads: &[Head; 2],
) -> Result<SegmentHeader, Failure> {
    let [first, second] = heads;
    let differs = if first.rows != entry.rows || second.rows != entry.rows {
        "the number of rows"
    } else if first.schema_digest != second.schema_digest {
        "the schema"
    } else if first.layout != second.layout {
        "the stored columns"
    } else if first.public_digest != second.public_digest {
        "the PUBLIC columns"
    } else {
        return Ok(SegmentHeader {
            party,
            table,
            segment: entry.id,
            schema_digest: first.schema_digest,
            rows: entry.rows,
            layout: first.layout.clone(),
            components: [first.component.clone(), second.component.clone()],
        });
    };
    Err(format!("node {} and node {} disagree about {differs}", party.previous(), party.next()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|_| "writing was interrupted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_proto::ids::{LogIndex, SegmentId};
    use trine_storage::ComponentHeader;

    fn head() -> Head {
        Head {
            schema_digest: [1; 32],
            rows: 5,
            layout: Vec::new(),
            component: ComponentHeader { salt: [2; 16], source: ComponentSource::Explicit },
            public_digest: [3; 32],
        }
    }

    #[test]
    fn peers_that_disagree_are_named_with_what_differs() {
        let entry = SegmentEntry {
            id: SegmentId([4; 16]),
            rows: 5,
            valid_from: LogIndex(1),
            valid_to: None,
            component_digests: [[0; 32]; 3],
            has_valid: false,
            layout: None,
        };
        let party = Party::ALL[1];
        let agreed = |a: Head, b: Head| agree(party, TableId(1), &entry, &[a, b]);
        assert_eq!(agreed(head(), head()).unwrap().rows, 5);
        let cases = [
            (Head { rows: 6, ..head() }, "the number of rows"),
            (Head { schema_digest: [9; 32], ..head() }, "the schema"),
            (Head { public_digest: [9; 32], ..head() }, "the PUBLIC columns"),
        ];
        for (other, what) in cases {
            let error = agreed(head(), other).unwrap_err();
            assert_eq!(error, format!("node 0 and node 2 disagree about {what}"));
        }
    }
}
