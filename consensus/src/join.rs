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
//!
//! A folder that was restored from a backup holds a log that may be older than what its member has
//! acknowledged. It asks too:
//!
//! 1. If both others were restored to the same position and have not run since, the three are the
//!    cluster again, each under its old id. They remember which three restores that were.
//! 2. If another runs in the cluster of just these restores, so may this one.
//! 3. If another runs in a cluster that knows nothing of this restore, the log is thrown away and the
//!    node joins as above, with the segments it has; but not with those of an older share generation.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use futures::future::join;
use openraft::ChangeMembers;
use openraft::error::{ClientWriteError, RaftError};
use serde::{Deserialize, Serialize};
use trine_proto::catalog::Catalog;
use trine_proto::ids::{LogIndex, Party};

use crate::consensus::{self, Inner};
use crate::database::{Database, Family, decode, encode};
use crate::error::ConsensusError;
use crate::limits::{CATCH_UP_ENTRIES, JOIN_PAUSE};
use crate::network::{Link, RaftTransport, Request, Response};
use crate::raft::{Member, RaftId, founders};

/// Key of what a restore has left, and of the restore that a cluster began with.
pub(crate) const RESTORED: &[u8] = b"restored";
const LINEAGE: &[u8] = b"lineage";

/// What a restore of one node has left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    position: LogIndex,
    log_digest: [u8; 32],
    generation: u64,
    /// Tells this restore from every other, one of the same backup too.
    nonce: [u8; 16],
}

/// The restores of three nodes that made a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lineage {
    nonces: [[u8; 16]; 3],
}

impl Restored {
    pub(crate) const fn new(catalog: &Catalog, nonce: [u8; 16]) -> Self {
        Self {
            position: catalog.applied,
            log_digest: catalog.log_digest,
            generation: catalog.share_generation,
            nonce,
        }
    }
}

/// What a data folder is before its node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No log yet.
    Empty,
    /// The log of a member under this Raft id.
    Member(u64),
    /// Restored from a backup under this Raft id, and not used since.
    Restored(u64, Restored),
}

/// How a folder stands.
///
/// # Errors
/// `Io`, `Corrupt`, `Unsupported`.
pub fn standing(dir: &Path) -> Result<Standing, ConsensusError> {
    if !dir.join("raft").exists() {
        return Ok(Standing::Empty);
    }
    let database = Database::open(dir)?;
    let Some(identity) = consensus::identity(&database)? else { return Ok(Standing::Empty) };
    let restored: Option<Restored> = database.get(Family::Meta, RESTORED)?;
    Ok(match restored {
        Some(restored) if stored_lineage(&database)?.is_none() => {
            Standing::Restored(identity.raft_id, restored)
        }
        _ => Standing::Member(identity.raft_id),
    })
}

/// The restore that a store's cluster began with.
pub(crate) fn stored_lineage(database: &Database) -> Result<Option<Lineage>, ConsensusError> {
    database.get(Family::Meta, LINEAGE)
}

/// The Raft id under which a node may start: that of its folder; for an empty or restored one what the
/// two others say, for as long as it takes to hear from them.
///
/// # Errors
/// `Io`, `Corrupt`, `Unsupported`; `Restored` if the folder does not fit the others.
pub async fn member_id(
    dir: &Path,
    party: Party,
    transport: Arc<dyn RaftTransport>,
) -> Result<u64, ConsensusError> {
    let link = Link::new(transport);
    match standing(dir)? {
        Standing::Member(id) => return Ok(id),
        Standing::Restored(id, own) => {
            if let Some(lineage) = found_again(party, &own, &link).await? {
                let database = Database::open(dir)?;
                let mut batch = database.batch();
                batch.put(Family::Meta, LINEAGE, &lineage)?;
                batch.commit_synced()?;
                return Ok(id);
            }
            // This log must not speak again. The segments stay, for what they are worth.
            tracing::warn!("the two others went on without this node: it joins as a new member");
            let log = dir.join("raft");
            std::fs::remove_dir_all(&log)
                .map_err(|e| ConsensusError::Io(format!("{}: {e}", log.display())))?;
        }
        Standing::Empty => {}
    }
    tracing::info!("this node has no log yet: asking the two others whether there is a cluster");
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

/// Waits until the two others say what they are. The restores that the cluster is made of, if all three
/// restored one position; none if the others went on.
async fn found_again(
    party: Party,
    own: &Restored,
    link: &Link,
) -> Result<Option<Lineage>, ConsensusError> {
    tracing::info!(position = %own.position, "this folder was restored: asking the two others");
    let peers = [party.next(), party.previous()];
    loop {
        let ask = |peer| link.call(peer, &Request::Restored);
        let answers = join(ask(peers[0]), ask(peers[1])).await;
        for answer in [&answers.0, &answers.1] {
            if let Ok(Response::Running(generation, lineage)) = answer {
                return beside_running(party, own, *generation, lineage.as_ref());
            }
        }
        let waiting = [&answers.0, &answers.1].map(|answer| match answer {
            Ok(Response::Waiting(other)) => Some(other),
            _ => None,
        });
        if let Some(lineage) = together(party, own, waiting)? {
            return Ok(Some(lineage));
        }
        tokio::time::sleep(JOIN_PAUSE).await;
    }
}

/// The cluster of three restores, once both others have said that theirs is of the same position.
fn together(
    party: Party,
    own: &Restored,
    others: [Option<&Restored>; 2],
) -> Result<Option<Lineage>, ConsensusError> {
    let peers = [party.next(), party.previous()];
    let mut nonces = [own.nonce; 3];
    let mut known = 1;
    for (peer, other) in peers.into_iter().zip(others) {
        let Some(other) = other else { continue };
        if (other.position, other.log_digest) != (own.position, own.log_digest) {
            return Err(ConsensusError::Restored(format!(
                "it is of log position {}, and that of party {peer} of log position {}: restore all \
                 three to one position",
                own.position, other.position
            )));
        }
        nonces[peer.index()] = other.nonce;
        known += 1;
    }
    Ok((known == 3).then_some(Lineage { nonces }))
}

/// Another node runs: in the cluster of this very restore, or in one that went on without it.
fn beside_running(
    party: Party,
    own: &Restored,
    generation: u64,
    lineage: Option<&Lineage>,
) -> Result<Option<Lineage>, ConsensusError> {
    if let Some(lineage) = lineage.filter(|l| l.nonces[party.index()] == own.nonce) {
        return Ok(Some(lineage.clone()));
    }
    if own.generation < generation {
        return Err(ConsensusError::Restored(format!(
            "the backup is of share generation {}, and the cluster has refreshed its shares to \
             generation {generation}: old parts do not fit; empty the data folder, start the node, and \
             run trined repair",
            own.generation
        )));
    }
    Ok(None)
}

/// What a node that does not run yet answers to another.
#[must_use]
pub fn answer_waiting(standing: &Standing, request: &[u8]) -> Vec<u8> {
    let answer = match (decode::<Request>(request), standing) {
        (Ok(Request::Formed), Standing::Empty) => Response::Formed(false),
        (Ok(Request::Restored), Standing::Restored(_, own)) => Response::Waiting(own.clone()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(position: u64, nonce: u8) -> Restored {
        let log_digest = [u8::try_from(position).unwrap(); 32];
        Restored { position: LogIndex(position), log_digest, generation: 1, nonce: [nonce; 16] }
    }

    #[test]
    fn three_restores_of_one_position_are_a_cluster() {
        let [a, b, c] = [0, 1, 2].map(|n| restored(5, n));
        let made = [
            together(Party::ALL[0], &a, [Some(&b), Some(&c)]).unwrap().unwrap(),
            together(Party::ALL[1], &b, [Some(&c), Some(&a)]).unwrap().unwrap(),
            together(Party::ALL[2], &c, [Some(&a), Some(&b)]).unwrap().unwrap(),
        ];
        assert!(made.iter().all(|l| l.nonces == [[0; 16], [1; 16], [2; 16]]), "{made:?}");
        assert_eq!(together(Party::ALL[0], &a, [None, Some(&c)]).unwrap(), None);
        let error = together(Party::ALL[0], &a, [Some(&restored(6, 1)), None]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the restored folder cannot be used: it is of log position 5, and that of party 1 of log \
             position 6: restore all three to one position"
        );
    }

    #[test]
    fn a_restored_node_never_speaks_under_its_old_id_beside_nodes_that_went_on() {
        let own = restored(5, 1);
        let party = Party::ALL[1];
        let lineage = Lineage { nonces: [[0; 16], [1; 16], [2; 16]] };
        let same = beside_running(party, &own, 1, Some(&lineage)).unwrap();
        assert_eq!(same, Some(lineage.clone()));
        // A cluster that was never restored, and one of an earlier restore of this node.
        assert_eq!(beside_running(party, &own, 1, None).unwrap(), None);
        let again = restored(5, 9);
        assert_eq!(beside_running(party, &again, 1, Some(&lineage)).unwrap(), None);
        let old = beside_running(party, &own, 2, None).unwrap_err();
        assert_eq!(
            old.to_string(),
            "the restored folder cannot be used: the backup is of share generation 1, and the cluster \
             has refreshed its shares to generation 2: old parts do not fit; empty the data folder, \
             start the node, and run trined repair"
        );
    }
}
