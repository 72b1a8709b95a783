//! The giving side of a repair. A peer gets the one component that it holds too, of segments that the
//! log lists, and nothing else: what it lacks it cannot ask for.

use super::wire::{Answer, Failure, Head, Request, receive, send, send_page};
use crate::fail_point;
use crate::files::Files;
use crate::limits::{CATCH_UP, REPAIR_IDLE_MAX, REPAIR_REQUEST_BYTES_MAX};
use crate::mesh::RepairStream;
use std::sync::Arc;
use trine_consensus::Consensus;
use trine_proto::ids::{Party, SegmentId, TableId};
use trine_proto::schema::Secrecy;
use trine_storage::{ComponentSource, SegmentReader, Store};

/// What the giving side stands on.
pub(crate) struct Giver {
    pub(crate) party: Party,
    /// Key of each party's node in this node's configuration; the mesh has checked the caller's.
    pub(crate) keys: [[u8; 32]; 3],
    pub(crate) consensus: Arc<Consensus>,
    pub(crate) store: Store,
}

/// The slot (0, 1) of `own` that holds the component which `peer` holds too. Party i holds components i
/// and i+1.
pub(super) fn common_slot(own: Party, peer: Party) -> Option<usize> {
    match peer {
        _ if peer == own.next() => Some(1),
        _ if peer == own.previous() => Some(0),
        _ => None,
    }
}

impl Giver {
    /// Answers one peer's requests until its connection ends.
    pub(crate) async fn serve(&self, peer: Party, mut stream: RepairStream) {
        loop {
            let request =
                receive::<Request>(&mut stream, REPAIR_REQUEST_BYTES_MAX, REPAIR_IDLE_MAX).await;
            let request = match request {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(why) => {
                    tracing::warn!(%peer, why, "a repair connection ended");
                    return;
                }
            };
            if let Err(why) = self.answer(peer, &request, &mut stream).await {
                tracing::warn!(%peer, why, "a repair connection ended");
                return;
            }
        }
    }

    async fn answer(
        &self,
        peer: Party,
        request: &Request,
        stream: &mut RepairStream,
    ) -> Result<(), Failure> {
        let slot = common_slot(self.party, peer).ok_or("a node asks itself")?;
        let (table, segment) = (TableId(request.table), SegmentId(request.segment));
        let reader = match self.find(peer, table, segment).await {
            Ok(reader) => Arc::new(reader),
            Err(why) => return send(stream, &Answer::Err(why)).await,
        };
        let header = reader.header();
        let component = header.components[slot].clone();
        let explicit = component.source == ComponentSource::Explicit;
        let head = Head {
            schema_digest: header.schema_digest,
            rows: header.rows,
            layout: header.layout.clone(),
            component,
            public_digest: reader.digests().public,
        };
        send(stream, &Answer::Ok(head)).await?;
        let columns: Vec<(usize, Secrecy)> =
            header.layout.iter().map(|c| c.secrecy).enumerate().collect();
        for chunk in 0..reader.chunks() {
            for &(column, secrecy) in &columns {
                if secrecy == Secrecy::Secret && explicit {
                    fail_point::reach("repair.page");
                    let page = page(&reader, move |r| r.component(chunk, column, slot)).await?;
                    send_page(stream, &page.unwrap_or_default()).await?;
                }
            }
            for &(column, secrecy) in &columns {
                if secrecy == Secrecy::Public && request.public {
                    let page = page(&reader, move |r| r.public(chunk, column)).await?;
                    send_page(stream, &page).await?;
                }
            }
        }
        tracing::info!(%peer, %table, %segment, slot, "gave a component back");
        Ok(())
    }

    /// The segment, if the log lists it and the peer is who the log says.
    async fn find(
        &self,
        peer: Party,
        table: TableId,
        segment: SegmentId,
    ) -> Result<SegmentReader, Failure> {
        let mut applied = self.consensus.subscribe();
        let listed = async {
            loop {
                applied.mark_unchanged();
                let catalog = self.consensus.catalog();
                let member = catalog.cluster.as_ref().map(|c| c.node_keys[peer.index()]);
                if member == Some(self.keys[peer.index()])
                    && Files::of(&catalog).listed.contains(&(table, segment))
                {
                    return;
                }
                if applied.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        // The peer may be ahead in the log for a moment.
        tokio::time::timeout(CATCH_UP, listed)
            .await
            .map_err(|_| format!("node {} does not list the segment", self.party))?;
        let store = self.store.clone();
        let reader = tokio::task::spawn_blocking(move || store.read(table, segment)).await;
        reader
            .map_err(|_| "reading was interrupted".to_owned())?
            .map_err(|e| format!("node {} cannot read its own part: {e}", self.party))
    }
}

/// One page, read away from the network's threads.
async fn page<T: Send + 'static>(
    reader: &Arc<SegmentReader>,
    read: impl FnOnce(&SegmentReader) -> trine_storage::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let reader = Arc::clone(reader);
    tokio::task::spawn_blocking(move || read(&reader))
        .await
        .map_err(|_| "reading was interrupted".to_owned())?
        .map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_gets_the_component_that_it_holds_too() {
        for own in Party::ALL {
            assert_eq!(common_slot(own, own), None);
            for peer in [own.next(), own.previous()] {
                let slot = common_slot(own, peer).unwrap();
                let given = (own.index() + slot) % 3;
                let held = [peer.index(), (peer.index() + 1) % 3];
                assert!(held.contains(&given), "{own} gives {given} to {peer}");
                // The component that the peer lacks is never it.
                assert_ne!(given, (peer.index() + 2) % 3);
            }
        }
    }
}
