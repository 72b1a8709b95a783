//! Raft between the nodes. The bytes are opaque to whoever carries them; the carrier vouches for
//! who sent them (the mesh authenticates both ends of a connection).

use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;

use futures::future::{BoxFuture, Either, select};
use openraft::RaftLogId as _;
use openraft::error::{
    Infallible, InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError,
    SnapshotMismatch, Unreachable,
};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};
use tokio::task::{JoinError, JoinHandle};
use trine_proto::command::Command;
use trine_proto::ids::{LogIndex, Party};

use crate::database::{decode, encode};
use crate::error::ConsensusError;
use crate::join::{Lineage, Restored};
use crate::raft::{LogId, Member, RaftId, Types, Vote};

/// Carries one request to another party's node and brings its answer. Either side is at most
/// [`crate::limits::MESSAGE_BYTES_MAX`] bytes.
///
/// The node at the other end hands the bytes to [`crate::Consensus::handle`] together with the
/// party that the connection belongs to. Calls run side by side, also to one party: a heartbeat
/// must not wait behind a long message, or the follower looks for another leader. A future may be
/// dropped before it is ready; the bytes may arrive all the same.
pub trait RaftTransport: Send + Sync + 'static {
    /// # Errors
    /// [`ConsensusError::Peer`] when there is no answer.
    fn call(
        &self,
        party: Party,
        request: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, ConsensusError>>;
}

/// What one node asks of another.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Raft: entries of the log, or a heartbeat. First, here and below, the member that it is for: a
    /// party's earlier member and its successor are reached over the same connection.
    Append(RaftId, AppendEntriesRequest<Types>),
    /// Raft: an election.
    Vote(RaftId, VoteRequest<RaftId>),
    /// Raft: a piece of a snapshot.
    Snapshot(RaftId, InstallSnapshotRequest<Types>),
    /// Put this into the log, if you are the leader.
    Propose(Command),
    /// Have you applied the Genesis?
    Formed,
    /// My log is lost: take me in as a new member, if you are the leader.
    Admit,
    /// Make me a voter, if you are the leader and I have nearly all of the log.
    Promote(RaftId),
    /// My folder was restored from a backup. Was yours?
    Restored,
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    Append(AppendEntriesResponse<RaftId>),
    Vote(VoteResponse<RaftId>),
    Snapshot(InstallSnapshotResponse<RaftId>),
    /// The piece does not continue what was received: start over.
    SnapshotMismatch(SnapshotMismatch),
    /// The command is the entry at this position and committed. What became of it, every node
    /// works out for itself.
    Ordered(LogIndex),
    /// Ask someone else.
    NotLeader,
    /// Refused, for a reason that is for the log file.
    Failed(String),
    /// Whether the Genesis is applied.
    Formed(bool),
    /// The id under which the caller is a member, or votes.
    Member(RaftId),
    /// This node's folder was restored, and waits for the others'.
    Waiting(Restored),
    /// This node runs, at this share generation, in a cluster that began with this restore if with any.
    Running(u64, Option<Lineage>),
}

/// Calls with typed messages.
#[derive(Clone)]
pub(crate) struct Link {
    transport: Arc<dyn RaftTransport>,
}

impl Link {
    pub(crate) fn new(transport: Arc<dyn RaftTransport>) -> Self {
        Self { transport }
    }
    pub(crate) async fn call(
        &self,
        party: Party,
        request: &Request,
    ) -> Result<Response, ConsensusError> {
        let answer = self.transport.call(party, encode(request)?).await?;
        decode(&answer).map_err(|e| ConsensusError::Peer { party, reason: e.to_string() })
    }
}

impl RaftNetworkFactory<Types> for Link {
    type Network = Peer;

    async fn new_client(&mut self, target: RaftId, node: &Member) -> Peer {
        Peer { target, node: *node, link: self.clone(), slow: None }
    }
}

/// The way to one member.
pub(crate) struct Peer {
    target: RaftId,
    node: Member,
    link: Link,
    /// Entries that are still on their way though Raft has lost patience.
    slow: Option<(Sending, JoinHandle<Result<Response, ConsensusError>>)>,
}

/// Tells apart what is being sent: the same entries again are the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sending {
    vote: Vote,
    previous: Option<LogId>,
    last: Option<LogId>,
}

impl Sending {
    /// Whether this is what another call asks for, or its beginning: the log has grown meanwhile.
    fn begins(&self, other: &Self) -> bool {
        (self.vote, self.previous) == (other.vote, other.previous) && self.last <= other.last
    }

    /// The answer to this as an answer to a call for `asked`.
    fn answer(&self, asked: &Self, answer: Response) -> Response {
        match answer {
            Response::Append(AppendEntriesResponse::Success) if self.last != asked.last => {
                Response::Append(AppendEntriesResponse::PartialSuccess(self.last))
            }
            other => other,
        }
    }
}

type Failure<E> = RPCError<RaftId, Member, RaftError<RaftId, E>>;

impl Peer {
    async fn call<E: std::error::Error>(&self, request: &Request) -> Result<Response, Failure<E>> {
        match self.node.party() {
            Some(party) => self.link.call(party, request).await.map_err(|e| unreachable_peer(&e)),
            None => Err(strange("a member that is no party")),
        }
    }

    /// Raft gives a message one heartbeat's time and drops the future then; entries that take
    /// longer over this connection would be sent anew for ever. So they travel in a task of their
    /// own, and the next call for the same entries waits for that one, also when entries have come
    /// behind them: to begin again with every new entry would be for ever too. Raft sends no heartbeats
    /// meanwhile, and the follower would look for another leader: each such call is one as well.
    async fn append(
        &mut self,
        mut rpc: AppendEntriesRequest<Types>,
    ) -> Result<Response, Failure<Infallible>> {
        let Some(party) = self.node.party() else {
            return Err(strange("a member that is no party"));
        };
        let sending = Sending {
            vote: rpc.vote,
            previous: rpc.prev_log_id,
            last: rpc.entries.last().map(|e| *e.get_log_id()),
        };
        let (link, target) = (self.link.clone(), self.target);
        match &mut self.slow {
            Some((known, task)) if known.begins(&sending) => {
                let known = *known;
                rpc.entries.clear();
                let heartbeat = Request::Append(target, rpc);
                let beat = pin!(link.call(party, &heartbeat));
                let first = select(task, beat).await;
                match first {
                    Either::Left((answer, _)) => {
                        self.slow = None;
                        return sent(answer).map(|answer| known.answer(&sending, answer));
                    }
                    // Still the leader, and the entries still have their place.
                    Either::Right((Ok(Response::Append(AppendEntriesResponse::Success)), _)) => {}
                    Either::Right((Ok(answer), _)) => return Ok(answer),
                    Either::Right((Err(e), _)) => return Err(unreachable_peer(&e)),
                }
            }
            slow => {
                let request = Request::Append(target, rpc);
                let task = tokio::spawn(async move { link.call(party, &request).await });
                if let Some((_, old)) = slow.replace((sending, task)) {
                    old.abort();
                }
            }
        }
        let Some((known, task)) = &mut self.slow else {
            return Err(strange("nothing is being sent"));
        };
        let (known, answer) = (*known, task.await);
        self.slow = None;
        sent(answer).map(|answer| known.answer(&sending, answer))
    }
}

/// What came of a task that sent entries.
#[allow(clippy::result_large_err, reason = "the error type is openraft's")]
fn sent(
    answer: Result<Result<Response, ConsensusError>, JoinError>,
) -> Result<Response, Failure<Infallible>> {
    match answer {
        Ok(answer) => answer.map_err(|e| unreachable_peer(&e)),
        Err(_) => Err(strange("sending was given up")),
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.slow {
            task.abort();
        }
    }
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<RaftId>, Failure<Infallible>> {
        let answer = if rpc.entries.is_empty() {
            self.call(&Request::Append(self.target, rpc)).await?
        } else {
            self.append(rpc).await?
        };
        match answer {
            Response::Append(response) => Ok(response),
            other => Err(strange(unexpected(&other))),
        }
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<Types>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<RaftId>, Failure<InstallSnapshotError>> {
        match self.call(&Request::Snapshot(self.target, rpc)).await? {
            Response::Snapshot(response) => Ok(response),
            Response::SnapshotMismatch(mismatch) => {
                let error = RaftError::APIError(InstallSnapshotError::SnapshotMismatch(mismatch));
                Err(RPCError::RemoteError(RemoteError::new(self.target, error)))
            }
            other => Err(strange(unexpected(&other))),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<RaftId>,
        _option: RPCOption,
    ) -> Result<VoteResponse<RaftId>, Failure<Infallible>> {
        match self.call(&Request::Vote(self.target, rpc)).await? {
            Response::Vote(response) => Ok(response),
            other => Err(strange(unexpected(&other))),
        }
    }
}

fn unexpected(response: &Response) -> String {
    match response {
        Response::Failed(reason) => reason.clone(),
        other => format!("an answer to another question: {other:?}"),
    }
}

/// No connection: Raft waits a little before it tries again.
fn unreachable_peer<E: std::error::Error>(error: &ConsensusError) -> Failure<E> {
    RPCError::Unreachable(Unreachable::new(error))
}

/// There is a connection, but what comes over it is no answer.
fn strange<E: std::error::Error>(reason: impl Into<String>) -> Failure<E> {
    RPCError::Network(NetworkError::new(&std::io::Error::other(reason.into())))
}
