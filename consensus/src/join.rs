//! How a disk that holds no log yet comes into the group.
//!
//! A member that has forgotten its votes must not speak under its old Raft id: it could vote twice in a
//! term, and a leader that has counted its copy of the log would find it gone. So a node whose folder is
//! empty asks first ([`member_id`]):
//!
//! 1. If both others say that there is no cluster yet, it is a founder, under its party's first id.
//! 2. If one of them has applied the Genesis, the leader takes it in as a learner under a new id.
//! 3. Started under that id it gets the log or a snapshot like any member that fell behind, asks to be a
//!    voter until it is one ([`Inner::become_voter`]), and its party's earlier id leaves the group with
//!    that change.
//!
//! Two nodes of three are enough for all of this; they go on serving. Who asks is known by its
//! connection: a party can replace its own member only.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use futures::future::join;
use openraft::ChangeMembers;
use openraft::error::{ClientWriteError, RaftError};
use trine_proto::ids::Party;

use crate::consensus::{Inner, stored_id};
use crate::database::{decode, encode};
use crate::error::ConsensusError;
use crate::limits::{CATCH_UP_ENTRIES, JOIN_PAUSE};
use crate::network::{Link, RaftTransport, Request, Response};
use crate::raft::{Member, RaftId, founders};

/// The Raft id of the log in a folder; none if there is no log yet.
///
/// # Errors
/// `Io`, `Corrupt`.
pub fn stored_member_id(dir: &Path) -> Result<Option<u64>, ConsensusError> {
    stored_id(dir)
}

/// The Raft id under which a node may start: that of its folder; for an empty one what the two others
/// say, for as long as it takes to hear from them.
///
/// # Errors
/// `Io`, `Corrupt`.
pub async fn member_id(
    dir: &Path,
    party: Party,
    transport: Arc<dyn RaftTransport>,
) -> Result<u64, ConsensusError> {
    if let Some(id) = stored_id(dir)? {
        return Ok(id);
    }
    tracing::info!("this node has no log yet: asking the two others whether there is a cluster");
    let link = Link::new(transport);
    let peers = [party.next(), party.previous()];
    loop {
        let ask = |peer| link.call(peer, &Request::Formed);
        match join(ask(peers[0]), ask(peers[1])).await {
            (Ok(Response::Formed(false)), Ok(Response::Formed(false))) => {
                let own = founders().into_iter().find(|(_, m)| m.party() == Some(party));
                return own.map(|(id, _)| id).ok_or_else(|| {
                    ConsensusError::Stopped(format!("party {party} is no founder"))
                });
            }
            (Ok(Response::Formed(true)), _) | (_, Ok(Response::Formed(true))) => {
                for peer in peers {
                    if let Ok(Response::Member(id)) = link.call(peer, &Request::Admit).await {
                        tracing::warn!(id, "this node's log was lost: it joins as a new member");
                        return Ok(id);
                    }
                }
            }
            _ => {}
        }
        tokio::time::sleep(JOIN_PAUSE).await;
    }
}

/// What a node whose own log is empty, and that does not run yet, answers to another.
#[must_use]
pub fn answer_unformed(request: &[u8]) -> Vec<u8> {
    let answer = match decode::<Request>(request) {
        Ok(Request::Formed) => Response::Formed(false),
        _ => Response::Failed("this node is starting".into()),
    };
    encode(&answer).unwrap_or_default()
}

/// Why a request is not answered.
type Refusal = String;

impl Inner {
    /// Whether this node has applied the Genesis.
    pub(crate) fn formed(&self) -> Response {
        Response::Formed(self.published.catalog().cluster.is_some())
    }

    /// Takes a party's new disk in as a learner, if this node leads: under an id that no disk had before.
    pub(crate) async fn admit(&self, from: Party) -> Result<Response, Refusal> {
        let (members, voters) = self.members();
        let highest = members.iter().map(|(id, _)| *id).max().unwrap_or(0);
        let id = (highest / 3 + 1) * 3 + from.index() as RaftId + 1;
        // Learners of the party that were never heard of again.
        let stale: BTreeSet<RaftId> = members
            .iter()
            .filter(|(id, m)| m.party() == Some(from) && !voters.contains(id))
            .map(|(id, _)| *id)
            .collect();
        if !stale.is_empty() {
            let removed = self.raft.change_membership(ChangeMembers::RemoveNodes(stale), true);
            if let Some(answer) = refused(removed.await)? {
                return Ok(answer);
            }
        }
        let party = u8::try_from(from.index()).map_err(|e| e.to_string())?;
        let added = self.raft.add_learner(id, Member { party }, false).await;
        Ok(refused(added)?.unwrap_or(Response::Member(id)))
    }

    /// Makes a party's learner a voter in the place of the party's earlier member, if this node leads
    /// and the learner has nearly all of the log.
    pub(crate) async fn promote(&self, from: Party, id: RaftId) -> Result<Response, Refusal> {
        let (members, voters) = self.members();
        if voters.contains(&id) {
            return Ok(Response::Member(id));
        }
        if !members.iter().any(|(known, m)| *known == id && m.party() == Some(from)) {
            return Err(format!("party {from} has no member {id}"));
        }
        let lag = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            let last = metrics.last_log_index.unwrap_or(0);
            let matched = metrics.replication.as_ref().and_then(|r| r.get(&id).copied().flatten());
            matched.map(|matched| last.saturating_sub(matched.index))
        };
        if lag.is_none_or(|lag| lag > CATCH_UP_ENTRIES) {
            return Ok(Response::NotLeader);
        }
        let of_others =
            |id: &RaftId| members.iter().any(|(known, m)| known == id && m.party() != Some(from));
        let mut next: BTreeSet<RaftId> = voters.into_iter().filter(of_others).collect();
        next.insert(id);
        let changed = self.raft.change_membership(next, false).await;
        Ok(refused(changed)?.unwrap_or(Response::Member(id)))
    }

    /// Asks the others until this member is a voter: at once for one that is.
    pub(crate) async fn become_voter(self: Arc<Self>) {
        let founder = founders().iter().any(|(id, _)| *id == self.raft_id);
        while !founder && !self.members().1.contains(&self.raft_id) {
            for peer in [self.party.next(), self.party.previous()] {
                let asked = self.link.call(peer, &Request::Promote(self.raft_id)).await;
                if matches!(asked, Ok(Response::Member(_))) {
                    tracing::info!(id = self.raft_id, "this node votes again");
                }
            }
            tokio::time::sleep(JOIN_PAUSE).await;
        }
    }

    /// All members of the group as this node knows it, and which of them vote.
    fn members(&self) -> (Vec<(RaftId, Member)>, BTreeSet<RaftId>) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        let members = membership.nodes().map(|(id, member)| (*id, *member)).collect();
        (members, membership.voter_ids().collect())
    }
}

/// The answer when a change of the group was not made, because this node does not lead.
fn refused<T>(
    changed: Result<T, RaftError<RaftId, ClientWriteError<RaftId, Member>>>,
) -> Result<Option<Response>, Refusal> {
    match changed {
        Ok(_) => Ok(None),
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
            Ok(Some(Response::NotLeader))
        }
        Err(e) => Err(e.to_string()),
    }
}
