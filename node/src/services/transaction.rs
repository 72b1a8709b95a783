//! Signed commands on their way into the log, and what became of transactions.

use super::{Shared, protocol, unavailable, unknown_key};
use crate::clock::now_ms;
use crate::fail_point;
use crate::limits::{CLOCK_SKEW_MAX, PROPOSE_TIMEOUT, STATE_WAIT_MAX};
use prost::Message as _;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};
use trine_proto::catalog::{
    Catalog, Parameters, Subject, TransactionState, Validation, WriteEntry,
};
use trine_proto::command::{CLIENT_DOMAIN, Command, Outcome, SignedBytes};
use trine_proto::ids::{SegmentId, TransactionId};
use trine_proto::schema::TableSchema;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::transaction::Within;
use trine_proto::wire::client_command::Command as Kind;
use trine_proto::wire::transaction_state::Kind as StateKind;
use trine_proto::wire::{self, CommandOutcome};

/// See the contract.
pub(super) struct TransactionService(pub(super) Arc<Shared>);

/// A command that this node has verified.
pub(super) struct Verified {
    pub(super) signed: SignedBytes,
    pub(super) command: wire::ClientCommand,
}

/// Checks signature, cluster and time of a command. The state machine checks again on apply, the
/// times excepted: they are this node's opinion and never reach apply.
pub(super) fn verify(shared: &Shared, signed: wire::Signed) -> Result<Verified, SqlError> {
    let signed = SignedBytes::from(signed);
    signed.verify(CLIENT_DOMAIN).map_err(|_| {
        SqlError::new(
            sqlstate::INVALID_AUTHORIZATION,
            "the signature of the command does not verify",
        )
    })?;
    let command = wire::ClientCommand::decode(signed.body.as_slice())
        .map_err(|_| protocol("the signed bytes are no ClientCommand"))?;
    if command.cluster_id != shared.cluster.cluster_id.0 {
        return Err(protocol("the command is for another cluster")
            .hint("compare cluster_id in the client's configuration"));
    }
    let now = now_ms();
    let skew = u64::try_from(CLOCK_SKEW_MAX.as_millis()).unwrap_or(u64::MAX);
    if command.expires_at_ms < now {
        return Err(protocol("the command has expired").hint("compare the clocks"));
    }
    if command.signed_at_ms > now.saturating_add(skew) {
        return Err(protocol(format!(
            "the client's clock is more than {} s ahead of node {}'s",
            skew / 1000,
            shared.party
        )));
    }
    Ok(Verified { signed, command })
}

/// Orders a verified command and waits for its outcome at this node. Keys that are not enrolled do
/// not get into the log.
pub(super) async fn propose(shared: &Shared, signed: SignedBytes) -> Result<Outcome, SqlError> {
    let key = signed.public_key;
    let principal = shared.caught_up(|catalog| catalog.principal_by_key(&key).map(drop)).await;
    principal.ok_or_else(unknown_key)?;
    let proposed = shared.consensus.propose(Command::Client(signed), PROPOSE_TIMEOUT).await;
    proposed.map_err(|e| unavailable(&shared.mesh, &e))
}

#[tonic::async_trait]
impl wire::transaction_server::Transaction for TransactionService {
    async fn propose(
        &self,
        request: Request<wire::Signed>,
    ) -> Result<Response<CommandOutcome>, Status> {
        let verified = verify(&self.0, request.into_inner())?;
        if matches!(verified.command.command, Some(Kind::SubmitQuery(_) | Kind::CancelQuery(_))) {
            return Err(protocol("queries go to the Query service").into());
        }
        match &verified.command.command {
            Some(Kind::CreateView(view)) => {
                self.plan_view(view.clone(), verified.signed.public_key).await?;
            }
            Some(Kind::CreateTable(table)) => {
                self.plan_conditions(table, verified.signed.public_key).await?;
            }
            Some(Kind::AlterTable(alter)) => {
                self.plan_alteration(alter.clone(), verified.signed.public_key).await?;
            }
            Some(Kind::SubmitWrite(write)) => {
                let signed_at_ms = verified.command.signed_at_ms;
                self.plan_write(write, verified.signed.public_key, signed_at_ms).await?;
            }
            _ => {}
        }
        let outcome = propose(&self.0, verified.signed).await?;
        fail_point::reach("commit.acknowledge");
        Ok(Response::new(outcome.into()))
    }

    async fn state(
        &self,
        request: Request<wire::TransactionRef>,
    ) -> Result<Response<wire::TransactionState>, Status> {
        self.0.caller(&request).await?;
        let asked = request.into_inner();
        let id = TransactionId::from_slice(&asked.transaction_id)
            .ok_or_else(|| protocol("a transaction id has 16 bytes"))?;
        let wait = Duration::from_millis(asked.wait_ms).min(STATE_WAIT_MAX);
        let mut applied = self.0.consensus.subscribe();
        let finished = async {
            loop {
                applied.mark_unchanged();
                let state = self.state_of(id, &self.0.consensus.catalog());
                let over = [StateKind::Committed, StateKind::Aborted, StateKind::Joined];
                if over.contains(&state.kind()) {
                    return state;
                }
                if applied.changed().await.is_err() {
                    return state;
                }
            }
        };
        let state = match tokio::time::timeout(wait, finished).await {
            Ok(state) => state,
            Err(_) => self.state_of(id, &self.0.consensus.catalog()),
        };
        Ok(Response::new(state))
    }
}

impl TransactionService {
    /// Plans a statement that writes once before the log is troubled. What this node may merely not
    /// have seen yet is left to the job.
    async fn plan_write(
        &self,
        write: &wire::SubmitWrite,
        key: [u8; 32],
        signed_at_ms: u64,
    ) -> Result<(), SqlError> {
        let within = match &write.within {
            None => None,
            Some(asked) => match self.0.opened(asked).await {
                Some((snapshot, written)) => {
                    Some(Within { transaction: TransactionId([0; 16]), snapshot, written })
                }
                // Refused by the log, or unknown here yet.
                None => return Ok(()),
            },
        };
        let catalog = self.0.consensus.catalog();
        let Some(principal) = catalog.principal_by_key(&key).map(|p| p.name.clone()) else {
            return Ok(());
        };
        let parameters = match &write.parameters {
            None => None,
            Some(set) => {
                let id = SegmentId::from_slice(&set.id);
                let types = set.schema.as_ref().map(TableSchema::try_from).transpose()?;
                let known = id.zip(types);
                Some(known.ok_or_else(|| protocol("the parameters have no types"))?)
            }
        };
        let at = catalog.applied;
        let Some(table) = catalog.table(&write.table, at).map(|t| t.id) else { return Ok(()) };
        let entry = WriteEntry {
            principal,
            sql: write.sql.clone(),
            rewrites: write.kind() != wire::WriteKind::Insert,
            refreshes: write.kind() == wire::WriteKind::Refresh,
            parameters: parameters.map(|(segment, schema)| Parameters { segment, schema }),
            statement_digest: [0; 32],
            signed_at_ms,
        };
        let validation = Validation {
            table,
            subject: Subject::Write(Box::new(entry)),
            queued: at,
            attempt: 1,
            position: at,
            verdicts: [None; 3],
            net_profile: catalog.net_profile,
            memory_max: None,
            within,
        };
        let planning = tokio::task::spawn_blocking(move || {
            trine_query::compile_work(&catalog, TransactionId([0; 16]), &validation).map(drop)
        });
        match planning.await {
            Ok(Err(e)) if !super::query::may_be_late(&e) => Err(e),
            _ => Ok(()),
        }
    }

    /// Plans a view once before the log is troubled, so that one that cannot be used is refused. The
    /// log keeps the text whatever it means.
    async fn plan_view(&self, view: wire::CreateView, key: [u8; 32]) -> Result<(), SqlError> {
        let relations = view.depends.clone();
        let known = self.0.caught_up(|catalog| {
            let at = catalog.applied;
            let exists = |name: &String| {
                catalog.table(name, at).is_some() || catalog.view(name, at).is_some()
            };
            relations.iter().all(exists).then_some(())
        });
        // A relation that does not exist even now is named by the planner.
        let _ = known.await;
        let catalog = self.0.consensus.catalog();
        let Some(name) = catalog.principal_by_key(&key).map(|p| p.name.clone()) else {
            return Err(unknown_key());
        };
        let at = catalog.applied;
        tokio::task::spawn_blocking(move || {
            trine_query::check_view(&view.sql, &view.columns, &catalog, at, &name)
        })
        .await
        .map_err(|_| SqlError::new(sqlstate::INTERNAL_ERROR, "the view was not planned"))?
    }

    /// Plans the conditions of a table's CHECKs once, so that one that no row could be held against is
    /// refused. What else is wrong with the table the log says.
    async fn plan_conditions(
        &self,
        table: &wire::CreateTable,
        key: [u8; 32],
    ) -> Result<(), SqlError> {
        let checks = table.rules.iter().flat_map(|rules| &rules.checks);
        let checks: Vec<String> = checks.map(|check| check.sql.clone()).collect();
        let schema = table.schema.as_ref().map(TableSchema::try_from).transpose()?;
        let Some(schema) = schema.filter(|_| !checks.is_empty()) else { return Ok(()) };
        let catalog = self.0.consensus.catalog();
        let Some(name) = catalog.principal_by_key(&key).map(|p| p.name.clone()) else {
            return Err(unknown_key());
        };
        let at = catalog.applied;
        tokio::task::spawn_blocking(move || {
            trine_query::check_conditions(&schema, &checks, &catalog, at, &name)
        })
        .await
        .map_err(|_| SqlError::new(sqlstate::INTERNAL_ERROR, "the table was not planned"))?
    }

    /// Plans the conditions of CHECKs that an ALTER TABLE adds.
    async fn plan_alteration(
        &self,
        alter: wire::AlterTable,
        key: [u8; 32],
    ) -> Result<(), SqlError> {
        // What this node may merely not have seen yet is left to the log.
        let known =
            self.0.caught_up(|catalog| catalog.table(&alter.table, catalog.applied).map(drop));
        let _ = known.await;
        let catalog = self.0.consensus.catalog();
        let Some(name) = catalog.principal_by_key(&key).map(|p| p.name.clone()) else {
            return Err(unknown_key());
        };
        let at = catalog.applied;
        tokio::task::spawn_blocking(move || {
            trine_query::check_alteration(&alter, &catalog, at, &name)
        })
        .await
        .map_err(|_| SqlError::new(sqlstate::INTERNAL_ERROR, "the change was not planned"))?
    }

    fn state_of(&self, id: TransactionId, catalog: &Catalog) -> wire::TransactionState {
        let mut out = wire::TransactionState::default();
        match catalog.transactions.get(&id) {
            Some(TransactionState::Validating(v)) => {
                out.set_kind(StateKind::Validating);
                out.log_index = v.queued.0;
            }
            Some(TransactionState::Open(open)) => {
                out.set_kind(StateKind::Open);
                out.log_index = open.snapshot.0;
                out.error = open.failed.clone().map(Into::into);
            }
            Some(TransactionState::Joined(index, _)) => {
                out.set_kind(StateKind::Joined);
                out.log_index = index.0;
            }
            Some(TransactionState::Committed(index)) => {
                out.set_kind(StateKind::Committed);
                out.log_index = index.0;
            }
            Some(TransactionState::Aborted(index, error)) => {
                out.set_kind(StateKind::Aborted);
                out.log_index = index.0;
                out.error = Some(error.clone().into());
            }
            None => {
                let staged = self.0.store.list().unwrap_or_default();
                if staged.iter().any(|(_, segment)| segment.0 == id.0) {
                    out.set_kind(StateKind::Staged);
                }
            }
        }
        out
    }
}
