//! A command's way into the log, from whichever node it was handed to.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, join, select};
use openraft::error::{ClientWriteError, RaftError};
use tokio::time::{Instant, timeout, timeout_at};
use trine_proto::catalog::Catalog;
use trine_proto::command::{Command, Outcome};
use trine_proto::ids::{LogIndex, Party};

use crate::consensus::Inner;
use crate::database::encode;
use crate::error::ConsensusError;
use crate::limits::{ASK_WAIT, COMMAND_BYTES_MAX, PROPOSE_PAUSE};
use crate::network::{Request, Response};

/// What one try came to.
enum Try {
    /// The entry at this position.
    Ordered(LogIndex),
    /// Not now, for this reason.
    Again(String),
}

impl Inner {
    pub(crate) async fn propose(
        &self,
        command: Command,
        timeout: Duration,
    ) -> Result<Outcome, ConsensusError> {
        let deadline = Instant::now() + timeout;
        let bytes = encode(&command)?;
        check_size(bytes.len())?;
        let digest = *blake3::hash(&bytes).as_bytes();
        self.alive()?;
        self.wait_formed(&command, deadline).await?;
        let mut reason;
        loop {
            match timeout_at(deadline, self.try_once(&command)).await {
                Ok(Ok(Try::Ordered(index))) => {
                    self.wait_until(index, deadline).await?;
                    match self.published.recent(index) {
                        Some(entry) if entry.command_digest == digest => return Ok(entry.outcome),
                        Some(_) => reason = "the leader named another entry".to_owned(),
                        // A snapshot took this node past the entry: order it again, the answer
                        // is the first one's.
                        None => reason = "this node was behind".to_owned(),
                    }
                }
                Ok(Ok(Try::Again(why))) => reason = why,
                Ok(Err(e)) => return Err(e),
                Err(_) => {
                    let reason = self.with_silent("the entry is not ordered in time").await;
                    return Err(ConsensusError::Unavailable { reason });
                }
            }
            if Instant::now() + PROPOSE_PAUSE >= deadline {
                let reason = self.with_silent(&reason).await;
                return Err(ConsensusError::Unavailable { reason });
            }
            tokio::time::sleep(PROPOSE_PAUSE).await;
        }
    }

    pub(crate) async fn wait_applied(
        &self,
        index: LogIndex,
        timeout: Duration,
    ) -> Result<std::sync::Arc<Catalog>, ConsensusError> {
        if self.published.catalog().applied < index {
            self.alive()?;
            self.wait_until(index, Instant::now() + timeout).await?;
        }
        Ok(self.published.catalog())
    }

    /// Puts a command into the log if this node leads. Used for its own and for others' commands.
    pub(crate) async fn order_here(&self, command: Command) -> Result<Response, ConsensusError> {
        match self.raft.client_write(command).await {
            Ok(written) => Ok(Response::Ordered(LogIndex(written.log_id.index))),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                Ok(Response::NotLeader)
            }
            Err(RaftError::APIError(e)) => Ok(Response::Failed(e.to_string())),
            Err(RaftError::Fatal(e)) => Err(ConsensusError::Stopped(e.to_string())),
        }
    }

    async fn try_once(&self, command: &Command) -> Result<Try, ConsensusError> {
        let Some(leader) = self.leader() else {
            self.alive()?;
            return Ok(Try::Again("there is no leader".into()));
        };
        let answer = if leader == self.party {
            self.order_here(command.clone()).await?
        } else {
            let request = Request::Propose(command.clone());
            let call = pin!(self.link.call(leader, &request));
            let changed = pin!(self.leader_changed(leader));
            // However long the answer takes: a second proposal would only add to the load. But
            // not from one that leads no longer.
            match select(call, changed).await {
                Either::Left((Ok(answer), _)) => answer,
                Either::Left((Err(e), _)) => {
                    return Ok(Try::Again(format!("the leader is out of reach: {e}")));
                }
                Either::Right(_) => return Ok(Try::Again("the leader is changing".into())),
            }
        };
        Ok(match answer {
            Response::Ordered(index) => Try::Ordered(index),
            Response::NotLeader => Try::Again("the leader is changing".into()),
            Response::Failed(why) => Try::Again(why),
            _ => Try::Again(format!("party {leader} answers what was not asked")),
        })
    }

    /// Returns once this node takes another party for the leader, or none.
    async fn leader_changed(&self, from: Party) {
        let mut metrics = self.raft.metrics();
        while self.leader() == Some(from) {
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }

    /// A reason, and which of the other nodes do not answer this one: asked now, so that whoever reads it
    /// knows where to look.
    async fn with_silent(&self, reason: &str) -> String {
        let ask = async |peer| match timeout(ASK_WAIT, self.link.call(peer, &Request::Formed)).await
        {
            Ok(Ok(_)) => None,
            _ => Some(format!("node {peer}")),
        };
        let (next, previous) = join(ask(self.party.next()), ask(self.party.previous())).await;
        let mut silent: Vec<String> = [next, previous].into_iter().flatten().collect();
        silent.sort();
        let own = self.party;
        match silent.as_slice() {
            [] => reason.to_owned(),
            [one] => format!("{reason}: {one} does not answer node {own}"),
            _ => format!("{reason}: {} do not answer node {own}", silent.join(" and ")),
        }
    }

    fn leader(&self) -> Option<Party> {
        let leader = self.raft.metrics().borrow().current_leader;
        leader.and_then(|id| self.party_of(id))
    }

    /// Before its Genesis a cluster refuses everything, and the client would have to ask again
    /// under another id.
    async fn wait_formed(
        &self,
        command: &Command,
        deadline: Instant,
    ) -> Result<(), ConsensusError> {
        if matches!(command, Command::Genesis(_)) {
            return Ok(());
        }
        let mut applied = self.published.subscribe();
        let formed = applied.wait_for(|_| self.published.catalog().cluster.is_some());
        // What was seen is not held while the others are asked.
        if timeout_at(deadline, formed).await.is_ok_and(|seen| seen.is_ok()) {
            return Ok(());
        }
        self.alive()?;
        let reason = self.with_silent("the cluster is not formed yet").await;
        Err(ConsensusError::Unavailable { reason })
    }

    async fn wait_until(&self, index: LogIndex, deadline: Instant) -> Result<(), ConsensusError> {
        let mut applied = self.published.subscribe();
        match timeout_at(deadline, applied.wait_for(|at| *at >= index)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                self.alive()?;
                let reason = format!("position {index} is not applied at this node yet");
                Err(ConsensusError::Unavailable { reason })
            }
        }
    }

    fn alive(&self) -> Result<(), ConsensusError> {
        let state = self.raft.metrics().borrow().running_state.clone();
        state.map_err(|e| ConsensusError::Stopped(e.to_string()))
    }
}

/// Refuses what would be too long for an entry.
pub(crate) fn check_size(bytes: usize) -> Result<(), ConsensusError> {
    if bytes > COMMAND_BYTES_MAX {
        return Err(ConsensusError::TooLarge { bytes, bytes_max: COMMAND_BYTES_MAX });
    }
    Ok(())
}
