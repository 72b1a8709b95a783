//! One attempt at a job or a key check, on a thread of its own: handshake, fresh keys, protocol.
//!
//! Nothing of a result leaves here but result shares, and nothing of an error but a sentence.

use crate::fail_point;
use crate::limits::{HELLO_WAIT, STOP_LOOK};
use crate::mesh::{AttemptId, AttemptKind, AttemptNet, Hello, HelloDigest, Mesh};
use crate::packing::{self, NotPacked};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use trine_mpc::{AttemptKeys, MpcError, Net, Profile, Session};
use trine_proto::catalog::{Catalog, JobEntry, NetProfile, PackEntry, Staged, Subject, Validation};
use trine_proto::ids::{Party, SegmentId, TableId, TransactionId};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire;
use trine_query::{Done, Explain, Memory, Observer, QueryError, ResultShares};
use trine_storage::{StorageError, Store};

/// Lanes of the network under a profile: the main line of a job, and one for every thread of a fork.
pub(crate) fn lanes(profile: Profile) -> usize {
    if profile.lanes > 1 { usize::try_from(profile.lanes).map_or(1, |forks| forks + 1) } else { 1 }
}

/// The catalog with the network profile that a job is bound to: the one in force may be another by
/// now.
fn bound(catalog: &Catalog, net_profile: NetProfile) -> Cow<'_, Catalog> {
    if catalog.net_profile == net_profile {
        return Cow::Borrowed(catalog);
    }
    Cow::Owned(Catalog { net_profile, ..catalog.clone() })
}

/// How an attempt ended.
pub(crate) enum End {
    /// This party's part of a result.
    Result(Box<ResultShares>),
    /// What was found, this party's part of what the client is told, and who the client is.
    Verdict(Box<Done>, String),
    /// This party's report of the segment that it packed.
    Packed(Box<Staged>),
    /// Another attempt would meet the same.
    Failed(SqlError),
    /// A peer went away: the next attempt may succeed. What ran then; empty before the first operator.
    Lost(String),
    /// The log ended the attempt.
    Stopped,
}

/// What every attempt needs.
pub(crate) struct Context {
    pub(crate) mesh: Mesh,
    pub(crate) store: Store,
    pub(crate) party: Party,
    pub(crate) party_wait: Duration,
}

/// What others may see of an attempt under way, and how they end it.
#[derive(Default)]
pub(crate) struct Handle {
    state: Mutex<HandleState>,
}

#[derive(Default)]
struct HandleState {
    stopped: bool,
    net: Option<Arc<AttemptNet>>,
    progress: wire::Progress,
}

impl Handle {
    /// Ends the attempt: its thread sees an error at the next message.
    pub(crate) fn stop(&self) {
        let net = {
            let mut state = self.lock();
            state.stopped = true;
            state.net.clone()
        };
        if let Some(net) = net {
            net.abort("the attempt is over");
        }
    }

    /// The protocol is over at this party: what the log makes of the attempt from now on must not
    /// reach peers that still work on messages of ours.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        if let Some(net) = state.net.take() {
            state.progress.bytes_sent = net.bytes_sent();
        }
    }

    /// Operator, operators done, bytes so far.
    pub(crate) fn progress(&self) -> wire::Progress {
        let state = self.lock();
        let mut progress = state.progress.clone();
        if let Some(net) = &state.net {
            progress.bytes_sent = net.bytes_sent();
        }
        progress
    }

    /// Whether the attempt is to end.
    pub(crate) fn stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Registers the network; false if the attempt has been stopped already.
    fn attach(&self, net: &Arc<AttemptNet>) -> bool {
        let mut state = self.lock();
        state.net = Some(Arc::clone(net));
        !state.stopped
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HandleState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reporter<'a>(&'a Handle);

impl Observer for Reporter<'_> {
    fn operator(&mut self, name: &str, done: u32, total: u32) {
        fail_point::reach("attempt.operator");
        let mut state = self.0.lock();
        name.clone_into(&mut state.progress.operator);
        state.progress.operators_done = done;
        state.progress.operators_total = total;
    }
}

impl Context {
    /// Runs a query job's current attempt.
    pub(crate) fn query(&self, catalog: &Catalog, job: &JobEntry, handle: &Handle) -> End {
        let bound = match &job.within {
            None => bound(catalog, job.net_profile),
            Some(within) => {
                let seen = catalog.within(within.snapshot, &within.written);
                Cow::Owned(Catalog { net_profile: job.net_profile, ..seen })
            }
        };
        let catalog = bound.as_ref();
        let statement = match trine_query::compile_over(
            &job.sql,
            job.parameters.as_ref(),
            catalog,
            job.snapshot(),
            (&job.principal, job.signed_at_ms),
            &self.store,
        ) {
            Ok(statement) => statement,
            Err(QueryError::Sql(e)) => return End::Failed(e),
            Err(e) => return self.ended_by(e, handle, catalog),
        };
        if matches!(statement.explain, Explain::Plan) {
            return match statement.result_header_for_explain() {
                Ok(mut header) => {
                    header.attempt = job.attempt;
                    End::Result(Box::new(ResultShares { header, vectors: Vec::new() }))
                }
                Err(e) => self.ended_by(e, handle, catalog),
            };
        }
        if let Err(end) = affordable(job.memory_max, statement.memory()) {
            return end;
        }
        let digest = HelloDigest {
            statement: job.statement_digest,
            principal: job.principal.clone(),
            position: job.position.0,
            log_digest: job.log_digest,
            plan: statement.digest(),
            plan_format: trine_query::plan::PLAN_FORMAT,
        };
        let id = AttemptId { kind: AttemptKind::Query, job: job.id.0, attempt: job.attempt };
        let started = Instant::now();
        let run = |session: &mut Session, _| {
            trine_query::execute(&statement, session, &self.store, &mut Reporter(handle))
        };
        match self.protocol(catalog, job.net_profile, id, digest, handle, run) {
            Ok(mut shares) => {
                shares.header.attempt = job.attempt;
                shares.header.seconds = started.elapsed().as_secs_f64();
                End::Result(Box::new(shares))
            }
            Err(end) => end,
        }
    }

    /// Runs the current attempt at a check.
    pub(crate) fn validation(
        &self,
        catalog: &Catalog,
        transaction: TransactionId,
        validation: &Validation,
        handle: &Handle,
    ) -> End {
        if let Subject::Pack(entry) = &validation.subject {
            let made = transaction.segment_of_attempt(validation.attempt);
            return self.pack(catalog, (validation.table, made), entry, handle);
        }
        let kind = AttemptKind::Validation;
        let id = AttemptId { kind, job: transaction.0, attempt: validation.attempt };
        let subject = Validation { verdicts: [None; 3], ..validation.clone() };
        let Ok(encoded) = postcard::to_stdvec(&subject) else {
            return End::Failed(internal("a validation does not encode"));
        };
        let bound = bound(catalog, validation.net_profile);
        let compiled = trine_query::compile_work(&bound, transaction, validation)
            .and_then(|work| work.digest().map(|digest| (work, digest)));
        let (work, plan) = match compiled {
            Ok(compiled) => compiled,
            Err(e) => return End::Failed(e),
        };
        if let Err(end) = affordable(validation.memory_max, work.memory()) {
            return end;
        }
        let digest = HelloDigest {
            statement: *blake3::hash(&encoded).as_bytes(),
            principal: String::new(),
            position: validation.position.0,
            log_digest: [0; 32],
            plan,
            plan_format: trine_query::plan::PLAN_FORMAT,
        };
        let run = |session: &mut Session, salts| {
            trine_query::run_work(&work, session, &self.store, salts)
        };
        match self.protocol(catalog, validation.net_profile, id, digest, handle, run) {
            Ok(mut done) => {
                done.shares.header.attempt = validation.attempt;
                let owner = match &validation.subject {
                    Subject::Write(write) => write.principal.clone(),
                    Subject::Transaction(open) => open.principal.clone(),
                    _ => catalog
                        .tables
                        .get(&validation.table)
                        .map_or_else(String::new, |t| t.owner.clone()),
                };
                End::Verdict(Box::new(done), owner)
            }
            Err(end) => end,
        }
    }

    /// Packs small segments: without the peers, since nothing is computed together.
    fn pack(
        &self,
        catalog: &Catalog,
        place: (TableId, SegmentId),
        entry: &PackEntry,
        handle: &Handle,
    ) -> End {
        match packing::pack(&self.store, self.party, place, entry, &|| handle.stopped()) {
            Ok(staged) => End::Packed(Box::new(staged)),
            Err(NotPacked::Stopped) => End::Stopped,
            Err(NotPacked::Storage(e)) => End::Failed(unreadable(self.party, &e, catalog)),
            Err(NotPacked::Differ(what)) => {
                let message = format!("node {}: {what}", self.party);
                End::Failed(SqlError::new(sqlstate::DATA_CORRUPTED, message))
            }
        }
    }

    /// Handshake with both peers, fresh keys, then `run`.
    fn protocol<T>(
        &self,
        catalog: &Catalog,
        net_profile: NetProfile,
        id: AttemptId,
        digest: HelloDigest,
        handle: &Handle,
        run: impl FnOnce(&mut Session, Salts) -> Result<T, QueryError>,
    ) -> Result<T, End> {
        self.wait_all_up(handle, "")?;
        let lost = |e: MpcError| self.ended_by(QueryError::Mpc(e), handle, catalog);
        let profile = trine_query::profile(net_profile);
        fail_point::reach("attempt.begin");
        let net = self.mesh.begin(id, lanes(profile)).map_err(lost)?;
        if !handle.attach(&net) {
            net.abort("the attempt is over");
            return Err(End::Stopped);
        }
        let result = Self::handshake(self.party, &net, id, digest).and_then(|(keys, salts)| {
            let shared: Arc<dyn Net> = Arc::<AttemptNet>::clone(&net);
            fail_point::reach("attempt.hello");
            let done = run(&mut Session::new(self.party.index(), shared, keys, profile), salts);
            fail_point::reach("attempt.end");
            done
        });
        result.map_err(|e| {
            let lost =
                matches!(e, QueryError::Mpc(MpcError::PeerLost { .. } | MpcError::Cancelled));
            if let Some(error) = net.peer_error().filter(|_| lost && !handle.stopped()) {
                return End::Failed(error);
            }
            let end = self.ended_by(e, handle, catalog);
            match &end {
                End::Failed(error) => net.fail(error),
                _ => net.abort("the attempt is lost at this party"),
            }
            end
        })
    }

    /// Waits for both peers as long as the configuration says, and no longer than the attempt lives.
    /// `operator`: in which one was lost, for the error.
    pub(crate) fn wait_all_up(&self, handle: &Handle, operator: &str) -> Result<(), End> {
        let started = Instant::now();
        loop {
            let left = self.party_wait.saturating_sub(started.elapsed());
            let outcome = self.mesh.wait_all_up(left.min(STOP_LOOK));
            match outcome {
                _ if handle.stopped() => return Err(End::Stopped),
                Ok(()) => return Ok(()),
                Err(down) if left <= STOP_LOOK => {
                    return Err(End::Failed(self.party_down(down, operator)));
                }
                Err(_) => {}
            }
        }
    }

    /// Hello with both peers. Every attempt draws a nonce of its own, so that a pair that stayed up
    /// while the third restarted never repeats a mask.
    pub(crate) fn handshake(
        party: Party,
        net: &AttemptNet,
        id: AttemptId,
        digest: HelloDigest,
    ) -> Result<(AttemptKeys, Salts), QueryError> {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(|_| MpcError::Randomness)?;
        let mine = Hello { nonce, streams: Vec::new(), verdict: Ok(digest.clone()) };
        let [next, previous] = net.exchange_hello(&mine, HELLO_WAIT)?;
        let peers = [(party.next(), &next), (party.previous(), &previous)];
        for (peer, hello) in peers {
            match &hello.verdict {
                Ok(theirs) => same(&digest, theirs, party, peer)?,
                Err(refusal) => return Err(QueryError::Sql(refusal.clone())),
            }
        }
        net.open()?;
        let context = |peer: Party, theirs: &[u8; 32]| {
            let (low, high) = if party < peer { (&nonce, theirs) } else { (theirs, &nonce) };
            let mut context = vec![u8::from(id.kind == AttemptKind::Validation)];
            context.extend_from_slice(&id.job);
            context.extend_from_slice(&id.attempt.to_le_bytes());
            context.extend_from_slice(&digest.plan);
            context.extend_from_slice(low);
            context.extend_from_slice(high);
            context
        };
        let secrets = [net.pair_secret(party.next()), net.pair_secret(party.previous())];
        let contexts =
            [context(party.next(), &next.nonce), context(party.previous(), &previous.nonce)];
        let keys = AttemptKeys::derive(&secrets[0], &secrets[1], &contexts[0], &contexts[1]);
        // Component i is held by this party and the previous one, component i+1 by the next one too.
        Ok((keys, [salt(&secrets[1], &contexts[1]), salt(&secrets[0], &contexts[0])]))
    }

    /// What an error means for the job.
    fn ended_by(&self, error: QueryError, handle: &Handle, catalog: &Catalog) -> End {
        if handle.stopped() {
            return End::Stopped;
        }
        match error {
            QueryError::Mpc(MpcError::PeerLost { .. } | MpcError::Cancelled) => {
                End::Lost(handle.progress().operator)
            }
            QueryError::Sql(e) => End::Failed(e),
            QueryError::Storage(e) => {
                let error = unreadable(self.party, &e, catalog);
                tracing::error!(error = error.message, "a segment cannot be read");
                End::Failed(error)
            }
            QueryError::Mpc(e) => End::Failed(SqlError::new(
                sqlstate::PROTOCOL_VIOLATION,
                format!("protocol error at node {}: {e}", self.party),
            )),
            QueryError::Bug(what) => {
                tracing::error!(what, "defect");
                End::Failed(internal("a defect ended the query; the node's log says more"))
            }
        }
    }

    /// The sentence for a party that is down, with the operator in which it was lost, if it was.
    pub(crate) fn party_down(&self, party: Party, operator: &str) -> SqlError {
        let mut message = format!("node {party} ({}) is down", self.mesh.address(party));
        let why = self.mesh.why_down(party);
        if !why.is_empty() {
            message.push_str(": ");
            message.push_str(&why);
        }
        if !operator.is_empty() {
            message.push_str("; it was lost in the operator ");
            message.push_str(operator);
        }
        SqlError::new(sqlstate::NODE_UNAVAILABLE, message)
            .hint("queries need all three nodes; ask again when it is back")
    }
}

/// Whether a job stays within its budget of memory. Both numbers are the same at all nodes.
fn affordable(budget: Option<u64>, needed: Result<Memory, QueryError>) -> Result<(), End> {
    let Some(budget) = budget else { return Ok(()) };
    let Memory { bytes, operator } =
        needed.map_err(|_| End::Failed(internal("the memory of the plan was not estimated")))?;
    if bytes <= budget {
        return Ok(());
    }
    Err(End::Failed(
        SqlError::new(
            sqlstate::OUT_OF_MEMORY,
            format!(
                "out of memory: {operator} needs about {bytes} bytes at each node, one job may use \
                 {budget}"
            ),
        )
        .hint("select fewer columns or rows, or let the operators raise [limits] job_memory_mb"),
    ))
}

fn internal(message: &str) -> SqlError {
    SqlError::new(sqlstate::INTERNAL_ERROR, message)
}

/// A share that cannot be read, by party, table and segment.
fn unreadable(party: Party, error: &StorageError, catalog: &Catalog) -> SqlError {
    let Some((table, segment)) = error.damaged() else {
        let message = format!("node {party} cannot read its share of a table: {error}");
        return SqlError::new(sqlstate::INTERNAL_ERROR, message);
    };
    let name = match catalog.tables.get(&table) {
        Some(table) => format!("table \"{}\"", table.schema.name),
        None if table == TableId::PARAMETERS => "a statement's parameters".into(),
        None => format!("table {table}"),
    };
    let why = match error {
        StorageError::NotFound { .. } => "the file is missing".to_owned(),
        e => e.to_string(),
    };
    let message = format!("node {party} cannot read its share of {name}, segment {segment}: {why}");
    SqlError::new(sqlstate::DATA_CORRUPTED, message).hint(format!(
        "the operator of node {party} can rebuild it: trined repair --config party.toml"
    ))
}

/// Salts of the two components that this party holds of a segment made in the attempt.
type Salts = [[u8; 16]; 2];

/// What keys the digest of a component: known to the pair that holds it, fresh for every attempt.
fn salt(pair_secret: &[u8; 32], context: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("trine salt of a segment made by nodes v1");
    hasher.update(pair_secret).update(context);
    let mut salt = [0; 16];
    hasher.finalize_xof().fill(&mut salt);
    salt
}

/// Compares what two nodes are about to run; an error names what differs.
fn same(
    mine: &HelloDigest,
    theirs: &HelloDigest,
    me: Party,
    peer: Party,
) -> Result<(), QueryError> {
    if mine.plan_format != theirs.plan_format {
        return Err(QueryError::Sql(
            SqlError::new(
                sqlstate::INTERNAL_ERROR,
                format!(
                    "node {me} plans in format version {}, and node {peer} in {}; nothing was computed",
                    mine.plan_format, theirs.plan_format
                ),
            )
            .hint("run one version of trined at all three nodes"),
        ));
    }
    let differs = if mine.statement != theirs.statement {
        "the statement"
    } else if mine.principal != theirs.principal {
        "the principal"
    } else if mine.position != theirs.position {
        "the log position"
    } else if mine.log_digest != theirs.log_digest {
        "the history of the log"
    } else if mine.plan != theirs.plan {
        "the physical plan"
    } else {
        return Ok(());
    };
    Err(QueryError::Sql(SqlError::new(
        sqlstate::INTERNAL_ERROR,
        format!("node {me} and node {peer} disagree about {differs}; nothing was computed"),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> HelloDigest {
        HelloDigest {
            statement: [1; 32],
            principal: "a".into(),
            position: 7,
            log_digest: [2; 32],
            plan: [3; 32],
            plan_format: 1,
        }
    }

    #[test]
    fn a_job_plans_by_the_profile_of_its_position_whatever_is_in_force() {
        let profile = NetProfile { round_trip_us: 1024, megabits_per_s: 512, lanes: 2 };
        let of = |in_force| {
            let catalog = Catalog { net_profile: in_force, ..Catalog::default() };
            bound(&catalog, profile).into_owned()
        };
        assert_eq!(of(profile).net_profile, profile);
        assert_eq!(of(profile), of(NetProfile::default()));
        assert_eq!(lanes(trine_query::profile(profile)), 3);
        assert_eq!(lanes(trine_query::profile(NetProfile::default())), 1);
    }

    #[test]
    fn an_unreadable_share_is_named_by_party_table_and_segment() {
        let party = Party::ALL[1];
        let (table, segment) = (TableId(7), SegmentId([0xab; 16]));
        let hex = "ab".repeat(16);
        let missing = StorageError::NotFound { table, segment };
        let error = unreadable(party, &missing, &Catalog::default());
        assert_eq!(
            error.message,
            format!("node 1 cannot read its share of table 7, segment {hex}: the file is missing")
        );
        let file = format!("segments/7/{hex}.parquet");
        let flipped = StorageError::Corrupt { file: file.clone(), what: "component 1: x".into() };
        let error = unreadable(party, &flipped, &Catalog::default());
        assert_eq!(
            error.message,
            format!(
                "node 1 cannot read its share of table 7, segment {hex}: file {file} is corrupt: \
                 component 1: x"
            )
        );
        let newer = StorageError::Unsupported { file: file.clone(), version: 2 };
        assert_eq!(
            newer.to_string(),
            format!("file {file} has format version 2; this version reads 1")
        );
        assert_eq!(
            error.hint,
            "the operator of node 1 can rebuild it: trined repair --config party.toml"
        );
    }

    #[test]
    fn a_job_beyond_its_budget_says_what_needs_how_much() {
        let needed = |bytes| Ok(Memory { bytes, operator: "SortAggregate" });
        assert!(affordable(None, needed(u64::MAX)).is_ok());
        assert!(affordable(Some(1_000), needed(1_000)).is_ok());
        let Err(End::Failed(e)) = affordable(Some(1_000), needed(1_001)) else {
            panic!("1001 of 1000 bytes")
        };
        assert_eq!(e.sqlstate, "53200");
        assert_eq!(
            e.message,
            "out of memory: SortAggregate needs about 1001 bytes at each node, one job may use 1000"
        );
    }

    #[test]
    fn a_handshake_names_what_differs() {
        let (me, peer) = (Party::ALL[0], Party::ALL[2]);
        assert!(same(&digest(), &digest(), me, peer).is_ok());
        let other = HelloDigest { plan_format: 2, ..digest() };
        let Err(QueryError::Sql(e)) = same(&digest(), &other, me, peer) else {
            panic!("a difference in the plan format passed")
        };
        assert_eq!(
            e.message,
            "node 0 plans in format version 1, and node 2 in 2; nothing was computed"
        );
        let cases: [(HelloDigest, &str); 5] = [
            (HelloDigest { statement: [9; 32], ..digest() }, "the statement"),
            (HelloDigest { principal: "b".into(), ..digest() }, "the principal"),
            (HelloDigest { position: 8, ..digest() }, "the log position"),
            (HelloDigest { log_digest: [9; 32], ..digest() }, "the history of the log"),
            (HelloDigest { plan: [9; 32], ..digest() }, "the physical plan"),
        ];
        for (theirs, what) in cases {
            let Err(QueryError::Sql(e)) = same(&digest(), &theirs, me, peer) else {
                panic!("a difference in {what} passed")
            };
            assert!(e.message.contains(what), "{e}");
            assert!(e.message.contains("node 0 and node 2"), "{e}");
        }
    }
}
