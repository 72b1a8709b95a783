//! The rules that change the replicated catalog: [`apply`].
//!
//! Pure and infallible: no clock, no randomness, no I/O. The same log makes the same catalog at
//! every node, a refusal is a value like any other. Nothing in an entry is believed because a
//! leader sent it: every node verifies every signature here, at its own place.
//!
//! | topic | file |
//! |---|---|
//! | entry 1, enrolment, network profile | `principals` |
//! | CREATE and DROP TABLE, GRANT, REVOKE | `ddl` |
//! | ALTER TABLE | `alter`, and `texts` for the names in CHECKs and views |
//! | what a table demands of its rows | `rules` |
//! | CREATE and DROP SCHEMA | `schemas` |
//! | CREATE and DROP INDEX | `indexes` |
//! | CREATE and DROP VIEW | `views` |
//! | one name space for all of them | `names` |
//! | three receipts become one visible batch; Abort | `commit` |
//! | the turn and the verdicts of checks and of statements that write | `validation` |
//! | queries, and how statements that write come in | `jobs` |
//! | BEGIN, the statements inside, COMMIT | `transactions` |
//! | small segments that become one | `packing` |
//! | positions that are backed up | `backups` |
//! | what is forgotten, and when | `retention` |

mod alter;
mod backups;
mod commit;
mod ddl;
mod indexes;
mod jobs;
mod names;
mod network;
mod packing;
mod principals;
mod retention;
mod rules;
mod schemas;
#[cfg(test)]
mod tests;
mod texts;
mod transactions;
mod validation;
mod views;

pub use packing::packable;

use prost::Message as _;
use trine_proto::catalog::{Catalog, Principal};
use trine_proto::command::{
    CLIENT_DOMAIN, Command, NODE_DOMAIN, NodeCommand, NodeCommandKind, Outcome, SignedBytes,
};
use trine_proto::ids::{JobId, LogIndex, Party, TransactionId};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire;
use trine_proto::wire::client_command::Command as Asked;

use crate::limits::ERROR_BYTES_MAX;

/// Applies the entry at `index`: the only way in which a catalog changes.
///
/// The rolling digest covers every entry, forged and refused ones included; `applied` becomes
/// `index`. Cost: one signature (a Commit: four), and look-ups in ordered maps.
///
/// # Panics
/// When `index` is not behind the last applied one: only a bug in this crate can do that, and a
/// node that went on would differ from the others in silence.
pub fn apply(catalog: &mut Catalog, index: LogIndex, command: &Command) -> Outcome {
    assert!(index > catalog.applied, "entry {index} applied after {}", catalog.applied);
    catalog.log_digest = roll(&catalog.log_digest, index, command);
    catalog.applied = index;
    match command {
        Command::Genesis(info) => settle(index, principals::genesis(catalog, index, info)),
        Command::Client(signed) => client(catalog, index, signed),
        Command::Node(signed) => settle(index, node(catalog, index, signed)),
    }
}

/// A command of a client whose signature, cluster and principal hold.
struct Request {
    /// Position of the entry.
    index: LogIndex,
    /// Names the command; a repeated one gets the first outcome.
    command_id: [u8; 16],
    /// The client's clock, Unix milliseconds.
    signed_at_ms: u64,
    /// Who asks.
    principal: Principal,
    /// BLAKE3 of the signed bytes.
    digest: [u8; 32],
}

/// BLAKE3 over the previous digest, the position (8 bytes, little-endian) and the encoded command.
fn roll(previous: &[u8; 32], index: LogIndex, command: &Command) -> [u8; 32] {
    // A command holds only integers, strings and sequences of known length: encoding it into
    // memory does not fail.
    let encoded = postcard::to_stdvec(command).unwrap_or_default();
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous).update(&index.0.to_le_bytes()).update(&encoded);
    *hasher.finalize().as_bytes()
}

fn settle(index: LogIndex, result: Result<Outcome, SqlError>) -> Outcome {
    result.unwrap_or_else(|error| Outcome::Refused(index, bounded(error)))
}

fn client(catalog: &mut Catalog, index: LogIndex, signed: &SignedBytes) -> Outcome {
    // A refusal before this point is not kept under the command id: else a forged entry could
    // take the place of the genuine one.
    let (request, asked) = match authenticate(catalog, index, signed) {
        Ok(authentic) => authentic,
        Err(error) => return Outcome::Refused(index, error),
    };
    if let Some(first) = catalog.outcomes.get(&request.command_id) {
        return first.clone();
    }
    let outcome = settle(index, dispatch(catalog, &request, &asked));
    catalog.outcomes.insert(request.command_id, outcome.clone());
    retention::outcomes(catalog);
    outcome
}

fn authenticate(
    catalog: &Catalog,
    index: LogIndex,
    signed: &SignedBytes,
) -> Result<(Request, Asked), SqlError> {
    let cluster = catalog.cluster.as_ref().ok_or_else(not_formed)?;
    signed.verify(CLIENT_DOMAIN).map_err(|_| forged("the client's signature does not verify"))?;
    let command = wire::ClientCommand::decode(signed.body.as_slice())
        .map_err(|_| malformed("the command does not decode"))?;
    if command.cluster_id != cluster.cluster_id.0 {
        return Err(forged("the command was signed for another cluster"));
    }
    let principal = catalog
        .principal_by_key(&signed.public_key)
        .ok_or_else(|| forged("the key that signed the command is not enrolled"))?
        .clone();
    let command_id = command
        .command_id
        .as_slice()
        .try_into()
        .map_err(|_| malformed("a command id has 16 bytes"))?;
    let asked = command.command.ok_or_else(|| malformed("the command asks for nothing"))?;
    let digest = *blake3::hash(&signed.body).as_bytes();
    let signed_at_ms = command.signed_at_ms;
    Ok((Request { index, command_id, signed_at_ms, principal, digest }, asked))
}

fn dispatch(catalog: &mut Catalog, request: &Request, asked: &Asked) -> Result<Outcome, SqlError> {
    match asked {
        Asked::CreateTable(c) => ddl::create_table(catalog, request, c),
        Asked::DropTable(c) => ddl::drop_table(catalog, request, c),
        Asked::AlterTable(c) => alter::alter(catalog, request, c),
        Asked::CreateSchema(c) => schemas::create(catalog, request, c),
        Asked::DropSchema(c) => schemas::drop_schema(catalog, request, c),
        Asked::Grant(c) => ddl::grant(catalog, request, c, true),
        Asked::Revoke(c) => ddl::grant(catalog, request, c, false),
        Asked::Enrol(c) => principals::enrol(catalog, request, c),
        Asked::Commit(c) => commit::commit(catalog, request, c),
        Asked::Abort(c) => commit::abort_by_client(catalog, request, c),
        Asked::SubmitQuery(c) => jobs::submit(catalog, request, c),
        Asked::CancelQuery(c) => jobs::cancel(catalog, request, c),
        Asked::CreateIndex(c) => indexes::create(catalog, request, c),
        Asked::DropIndex(c) => indexes::drop_index(catalog, request, c),
        Asked::CreateView(c) => views::create(catalog, request, c),
        Asked::DropView(c) => views::drop_view(catalog, request, c),
        Asked::SubmitWrite(c) => jobs::submit_write(catalog, request, c),
        Asked::Begin(_) => transactions::begin(catalog, request),
        Asked::CommitTransaction(c) => transactions::commit(catalog, request, c),
    }
}

fn node(catalog: &mut Catalog, index: LogIndex, signed: &SignedBytes) -> Result<Outcome, SqlError> {
    let cluster = catalog.cluster.as_ref().ok_or_else(not_formed)?;
    signed.verify(NODE_DOMAIN).map_err(|_| forged("the node's signature does not verify"))?;
    let command: NodeCommand = postcard::from_bytes(&signed.body)
        .map_err(|_| malformed("the node's command does not decode"))?;
    let party = known_party(command.party)?;
    if command.cluster_id != cluster.cluster_id {
        return Err(forged("the node's command was signed for another cluster"));
    }
    if cluster.node_keys[party.index()] != signed.public_key {
        return Err(forged(format!("the key is not that of the node of party {party}")));
    }
    match command.kind {
        NodeCommandKind::JobDone { job, attempt } => {
            jobs::done(catalog, index, party, job, attempt)
        }
        NodeCommandKind::JobFailed { job, attempt, error } => {
            jobs::failed(catalog, index, job, attempt, bounded(error))
        }
        NodeCommandKind::JobRetry { job, attempt } => jobs::retry(catalog, index, job, attempt),
        NodeCommandKind::Verdict { transaction, attempt, verdict } => {
            validation::verdict(catalog, index, party, transaction, attempt, verdict)
        }
        NodeCommandKind::ValidationRetry { transaction, attempt } => {
            validation::retry(catalog, index, transaction, attempt)
        }
        NodeCommandKind::Abort { transaction, error } => {
            commit::abort(catalog, index, transaction, bounded(error))
        }
        NodeCommandKind::NetReport(seen) => network::report(catalog, index, party, seen),
        NodeCommandKind::JobMemory(bytes) => {
            catalog.job_memory[party.index()] = Some(bytes);
            Ok(Outcome::Applied(index))
        }
        NodeCommandKind::BackupMark => Ok(backups::mark(catalog, index)),
        NodeCommandKind::BackupDone(position) => Ok(backups::done(catalog, index, party, position)),
        NodeCommandKind::BackupEnd(position) => Ok(backups::end(catalog, index, position)),
        NodeCommandKind::Pack(table) => packing::pack(catalog, index, table),
    }
}

/// A decoded `Party` may hold any byte: only 0, 1 and 2 are parties.
fn known_party(party: Party) -> Result<Party, SqlError> {
    Party::new(party.index()).ok_or_else(|| malformed("there are parties 0, 1 and 2"))
}

fn transaction_id(bytes: &[u8]) -> Result<TransactionId, SqlError> {
    TransactionId::from_slice(bytes).ok_or_else(|| malformed("a transaction id has 16 bytes"))
}

fn job_id(bytes: &[u8]) -> Result<JobId, SqlError> {
    JobId::from_slice(bytes).ok_or_else(|| malformed("a job id has 16 bytes"))
}

fn not_formed() -> SqlError {
    SqlError::new(sqlstate::NODE_UNAVAILABLE, "the cluster is not formed yet")
        .hint("try again in a moment")
}

fn forged(message: impl Into<String>) -> SqlError {
    SqlError::new(sqlstate::INVALID_AUTHORIZATION, message)
}

fn malformed(message: impl Into<String>) -> SqlError {
    SqlError::new(sqlstate::PROTOCOL_VIOLATION, message)
}

/// An error as the replicated state keeps it: whoever wrote it, its size is bounded.
fn bounded(mut error: SqlError) -> SqlError {
    if error.sqlstate.len() != 5 || !error.sqlstate.is_ascii() {
        sqlstate::INTERNAL_ERROR.clone_into(&mut error.sqlstate);
    }
    for text in [&mut error.message, &mut error.hint] {
        let end = text.floor_char_boundary(ERROR_BYTES_MAX);
        text.truncate(end);
    }
    error
}
