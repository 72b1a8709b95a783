//! What a node does with another node's request. A peer may be wrong or dishonest: what it sends
//! is checked before Raft sees it, because Raft takes its peers' word.

use std::io::Cursor;
use std::sync::PoisonError;

use openraft::error::SnapshotMismatch;
use openraft::raft::{AppendEntriesRequest, InstallSnapshotRequest, InstallSnapshotResponse};
use openraft::{RaftLogId as _, Snapshot, SnapshotSegmentId};
use trine_proto::command::Command;
use trine_proto::ids::Party;

use crate::consensus::Inner;
use crate::database::{decode, encode};
use crate::limits::{MESSAGE_BYTES_MAX, ORDER_TIMEOUT, SNAPSHOT_BYTES_MAX};
use crate::network::{Request, Response};
use crate::propose::check_size;
use crate::raft::{SnapshotMeta, Types, Vote};
use crate::state_store::decode_snapshot;

/// A snapshot on its way in; one at a time.
#[derive(Debug)]
pub(crate) struct Receiving {
    from: Party,
    vote: Vote,
    meta: SnapshotMeta,
    bytes: Vec<u8>,
}

/// Why a request is not answered.
type Refusal = String;

impl Inner {
    /// The answer to a request, whatever its bytes are.
    pub(crate) async fn answer(&self, from: Party, request: &[u8]) -> Response {
        self.answer_checked(from, request).await.unwrap_or_else(|reason| {
            tracing::warn!(party = %from, reason, "refused a request of a node");
            Response::Failed(reason)
        })
    }

    async fn answer_checked(&self, from: Party, request: &[u8]) -> Result<Response, Refusal> {
        if request.len() > MESSAGE_BYTES_MAX {
            return Err(format!("{} bytes are too many for a message", request.len()));
        }
        let request: Request = decode(request).map_err(|e| e.to_string())?;
        match request {
            Request::Append(target, rpc) => {
                self.check_target(target)?;
                self.check_vote(from, &rpc.vote, true)?;
                check_entries(&rpc)?;
                let answer = self.raft.append_entries(rpc).await;
                answer.map(Response::Append).map_err(|e| e.to_string())
            }
            Request::Vote(target, rpc) => {
                self.check_target(target)?;
                self.check_vote(from, &rpc.vote, false)?;
                let answer = self.raft.vote(rpc).await;
                answer.map(Response::Vote).map_err(|e| e.to_string())
            }
            Request::Snapshot(target, rpc) => {
                self.check_target(target)?;
                self.check_vote(from, &rpc.vote, true)?;
                self.receive(from, rpc).await
            }
            Request::Propose(command) => self.order(command).await,
            Request::Formed => Ok(self.formed()),
            Request::Admit => self.admit(from).await,
            Request::Promote(id) => self.promote(from, id).await,
            Request::Restored => {
                let generation = self.published.catalog().share_generation;
                Ok(Response::Running(generation, self.lineage.clone()))
            }
        }
    }

    /// What was meant for the disk that was lost is not for this one.
    fn check_target(&self, target: u64) -> Result<(), Refusal> {
        if target == self.raft_id {
            return Ok(());
        }
        Err(format!("a message for Raft node {target}, and this is {}", self.raft_id))
    }

    /// A node speaks for its own members only. `leads`: whether it must have been elected.
    fn check_vote(&self, from: Party, vote: &Vote, leads: bool) -> Result<(), Refusal> {
        let id = vote.leader_id().node_id;
        if id == self.raft_id || self.party_of(id).is_some_and(|party| party != from) {
            return Err(format!("party {from} speaks as Raft node {id}"));
        }
        if vote.is_committed() != leads {
            return Err("a vote that does not go with the request".into());
        }
        Ok(())
    }

    async fn order(&self, command: Command) -> Result<Response, Refusal> {
        let bytes = encode(&command).map_err(|e| e.to_string())?;
        check_size(bytes.len()).map_err(|e| e.to_string())?;
        if matches!(&command, Command::Genesis(info) if *info != self.cluster) {
            return Err("the Genesis of another cluster".into());
        }
        // Without a quorum the waiting would pile up here.
        match tokio::time::timeout(ORDER_TIMEOUT, self.order_here(command)).await {
            Ok(ordered) => ordered.map_err(|e| e.to_string()),
            Err(_) => Err("no quorum: no answer from two of the three nodes".into()),
        }
    }

    /// Gathers a snapshot piece by piece; Raft gets it once it is whole and decodes.
    async fn receive(
        &self,
        from: Party,
        rpc: InstallSnapshotRequest<Types>,
    ) -> Result<Response, Refusal> {
        let mine = self.raft.with_raft_state(|s| *s.vote_ref()).await.map_err(|e| e.to_string())?;
        if rpc.vote < mine {
            return Ok(Response::Snapshot(InstallSnapshotResponse { vote: mine }));
        }
        let (vote, done) = (rpc.vote, rpc.done);
        if let Some(mismatch) = self.add_piece(from, rpc)? {
            return Ok(Response::SnapshotMismatch(mismatch));
        }
        if !done {
            return Ok(Response::Snapshot(InstallSnapshotResponse { vote }));
        }
        let whole = self.receiving.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Receiving { meta, bytes, .. }) = whole else {
            return Err("the snapshot was displaced by another".into());
        };
        decode_snapshot(&bytes, &meta, &self.cluster).map_err(|e| e.to_string())?;
        let snapshot = Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) };
        let answer = self.raft.install_full_snapshot(vote, snapshot).await;
        let answer = answer.map_err(|e| e.to_string())?;
        Ok(Response::Snapshot(InstallSnapshotResponse { vote: answer.vote }))
    }

    /// Adds a piece; the mismatch tells what would have been expected.
    fn add_piece(
        &self,
        from: Party,
        rpc: InstallSnapshotRequest<Types>,
    ) -> Result<Option<SnapshotMismatch>, Refusal> {
        let mut receiving = self.receiving.lock().unwrap_or_else(PoisonError::into_inner);
        if rpc.offset == 0 {
            let (vote, meta) = (rpc.vote, rpc.meta);
            *receiving = Some(Receiving { from, vote, meta, bytes: rpc.data });
            return Ok(None);
        }
        let current = receiving
            .as_mut()
            .filter(|r| r.from == from && r.vote == rpc.vote && r.meta == rpc.meta);
        let expected = current.as_ref().map_or(0, |r| r.bytes.len() as u64);
        match current {
            Some(current) if expected == rpc.offset => {
                if current.bytes.len() + rpc.data.len() > SNAPSHOT_BYTES_MAX {
                    *receiving = None;
                    return Err("the snapshot is too long".into());
                }
                current.bytes.extend(rpc.data);
                Ok(None)
            }
            _ => {
                let segment =
                    |offset| SnapshotSegmentId { id: rpc.meta.snapshot_id.clone(), offset };
                let (expect, got) = (segment(expected), segment(rpc.offset));
                Ok(Some(SnapshotMismatch { expect, got }))
            }
        }
    }
}

/// Entries follow on one another without a gap, none from a later term than the leader's.
fn check_entries(rpc: &AppendEntriesRequest<Types>) -> Result<(), Refusal> {
    let mut previous = rpc.prev_log_id;
    for entry in &rpc.entries {
        let id = *entry.get_log_id();
        let next = previous.map_or(Some(0), |p| p.index.checked_add(1));
        if next != Some(id.index) || previous.is_some_and(|p| id.leader_id < p.leader_id) {
            return Err("entries that do not follow on one another".into());
        }
        if id.leader_id > *rpc.vote.leader_id() {
            return Err("an entry of a leader yet to come".into());
        }
        previous = Some(id);
    }
    Ok(())
}
