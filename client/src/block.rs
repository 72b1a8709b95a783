//! Statements one after the other, with BEGIN and COMMIT between them.
//!
//! A [`TransactionBlock`] is the client's side of an open transaction: which one it is, which statement
//! of it comes next, and whether an error has left ROLLBACK only. The nodes know the transaction by its
//! id alone, so that the statements of one may come over any connection.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use trine_proto::ids::{JobId, LogIndex, TransactionId};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::client_command::Command;
use trine_proto::wire::transaction_state::Kind;
use trine_proto::wire::{self, Within, WriteKind};

use crate::client::{Client, VALIDATING};
use crate::connect::is_connection_error;
use crate::statement::{self, REFRESH, Returning, Statement, TransactionModes, Upsert};
use crate::value::Answer;
use crate::write::explained;

/// How long a COMMIT whose answer was lost is asked again.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause before it is asked again.
const COMMIT_PAUSE: Duration = Duration::from_millis(500);

/// Where a sequence of statements stands: outside of a transaction, or in one. Dropped with a
/// transaction open, it leaves that to the nodes, which roll it back after a time;
/// [`Client::leave`] rolls it back at once.
#[derive(Debug, Default)]
pub struct TransactionBlock {
    open: Option<Open>,
    /// Temporary tables of the session.
    temporary: BTreeSet<String>,
    /// A statement under way that the log knows by this id.
    pub(crate) running: Option<TransactionId>,
}

#[derive(Debug)]
struct Open {
    id: TransactionId,
    /// Statements that wrote so far.
    sequence: u32,
    read_only: bool,
    /// ROLLBACK only. Also while a statement runs: one that is dropped half-way may have been done.
    failed: bool,
}

/// See [`TransactionBlock::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockStatus {
    /// Every statement is a transaction of its own.
    Idle,
    /// Between BEGIN and COMMIT.
    Open,
    /// An error has left ROLLBACK only.
    Failed,
}

impl TransactionBlock {
    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> BlockStatus {
        match &self.open {
            None => BlockStatus::Idle,
            Some(open) if open.failed => BlockStatus::Failed,
            Some(_) => BlockStatus::Open,
        }
    }

    /// Id of the open transaction.
    #[must_use]
    pub fn transaction(&self) -> Option<TransactionId> {
        self.open.as_ref().map(|open| open.id)
    }

    /// Says that a transaction was opened under this id.
    pub fn opened(&mut self, id: TransactionId, modes: TransactionModes) {
        let read_only = modes.read_only.unwrap_or(false);
        self.open = Some(Open { id, sequence: 0, read_only, failed: false });
    }

    /// Says that the transaction is over.
    pub fn closed(&mut self) {
        self.open = None;
    }

    /// Says that a statement begins; what it has to carry. Until [`Self::ended`] the transaction counts
    /// as failed.
    ///
    /// # Errors
    /// `25P02` after an error, `25006` for a write in a READ ONLY transaction.
    pub fn begins(&mut self, writes: bool) -> Result<Option<Within>, SqlError> {
        let Some(open) = &mut self.open else { return Ok(None) };
        if open.failed {
            return Err(failed());
        }
        if open.read_only && writes {
            open.failed = true;
            return Err(SqlError::new(
                sqlstate::READ_ONLY_TRANSACTION,
                "cannot write in a read-only transaction",
            )
            .hint("write BEGIN without READ ONLY"));
        }
        open.failed = true;
        Ok(Some(Within { transaction_id: open.id.0.to_vec(), sequence: open.sequence }))
    }

    /// Says that the statement has ended well.
    pub fn ended(&mut self, wrote: bool) {
        if let Some(open) = &mut self.open {
            open.failed = false;
            open.sequence += u32::from(wrote);
        }
    }
}

fn failed() -> SqlError {
    SqlError::new(
        sqlstate::IN_FAILED_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
    .hint("write ROLLBACK")
}

/// The table that a statement creates.
fn created(statement: &Statement) -> Option<String> {
    match statement {
        Statement::CreateTable { schema, .. } => Some(schema.name.clone()),
        Statement::CreateTableAs { table, .. } => Some(table.clone()),
        _ => None,
    }
}

/// The table that a statement drops, or gives another name.
fn moved(statement: &Statement) -> Option<(String, Option<String>)> {
    match statement {
        Statement::DropTable { table, .. } => Some((table.clone(), None)),
        Statement::AlterTable(alter) => {
            let to = alter.new_name()?;
            Some((alter.table().to_owned(), Some(to.to_owned())))
        }
        _ => None,
    }
}

/// What a statement is to a transaction.
enum Part {
    Begins(TransactionModes),
    Commits,
    RollsBack,
    Sets(TransactionModes),
    Writes,
    Reads,
    /// Not possible inside: its name.
    Outside(&'static str),
}

fn part(statement: &Statement) -> Part {
    match statement {
        Statement::Begin(modes) => Part::Begins(*modes),
        Statement::Commit => Part::Commits,
        Statement::Rollback => Part::RollsBack,
        Statement::SetTransaction(modes) => Part::Sets(*modes),
        Statement::Write(write) if write.kind == WriteKind::Refresh => Part::Outside(REFRESH),
        Statement::RefreshAll => Part::Outside(REFRESH),
        Statement::Insert(_)
        | Statement::Write(_)
        | Statement::Returning(_)
        | Statement::Upsert(_)
        | Statement::Copy(_) => Part::Writes,
        Statement::Query { .. }
        | Statement::Explain(_)
        | Statement::Ask(_)
        | Statement::Prepare(_)
        | Statement::Execute(_)
        | Statement::Deallocate(_)
        | Statement::ShowTables
        | Statement::Show(_)
        | Statement::Set
        | Statement::Reindex => Part::Reads,
        Statement::CreateTable { .. } => Part::Outside("CREATE TABLE"),
        Statement::Temporary(_) => Part::Outside("CREATE TEMPORARY TABLE"),
        Statement::CreateTableAs { .. } => Part::Outside("CREATE TABLE AS"),
        Statement::DropTable { .. } => Part::Outside("DROP TABLE"),
        Statement::AlterTable(_) => Part::Outside("ALTER TABLE"),
        Statement::CreateSchema(_) => Part::Outside("CREATE SCHEMA"),
        Statement::DropSchema(_) => Part::Outside("DROP SCHEMA"),
        Statement::CreateIndex(_) => Part::Outside("CREATE INDEX"),
        Statement::DropIndex(_) => Part::Outside("DROP INDEX"),
        Statement::CreateView { .. } => Part::Outside("CREATE VIEW"),
        Statement::DropView(_) => Part::Outside("DROP VIEW"),
        Statement::Grant { grant: true, .. } => Part::Outside("GRANT"),
        Statement::Grant { grant: false, .. } => Part::Outside("REVOKE"),
    }
}

impl Client {
    /// Runs every statement of a text in a block, in order; stops at the first that fails. Inside a
    /// transaction the block is failed then; outside, what was done before stays done.
    ///
    /// # Errors
    /// The first statement's that fails; its position counts in the whole text.
    pub async fn execute_in(
        &self,
        block: &mut TransactionBlock,
        sql: &str,
    ) -> Result<Vec<Answer>, SqlError> {
        let mut answers = Vec::new();
        for fragment in statement::split(sql)? {
            let statement = statement::parse(&fragment).inspect_err(|_| block.fails())?;
            answers.push(self.run_in(block, statement).await?);
        }
        Ok(answers)
    }

    /// Runs one statement where the block stands.
    ///
    /// # Errors
    /// Whatever refuses it, here or at the nodes. `40001` for a COMMIT that came second: the whole
    /// transaction has to be run again.
    pub async fn run_in(
        &self,
        block: &mut TransactionBlock,
        statement: Statement,
    ) -> Result<Answer, SqlError> {
        block.running = None;
        let statement = self.resolved(statement).inspect_err(|_| block.fails())?;
        if let Statement::Returning(returning) = statement {
            return Box::pin(self.run_returning(block, &returning)).await;
        }
        if let Statement::Upsert(upsert) = statement {
            return Box::pin(self.run_upsert(block, &upsert)).await;
        }
        if let Statement::Temporary(create) = statement {
            let name = created(&create);
            let answer = Box::pin(self.run_in(block, *create)).await?;
            // A notice says that the table was there before.
            if matches!(answer, Answer::Done { notice: None, .. }) {
                block.temporary.extend(name);
            }
            return Ok(answer);
        }
        let renamed = moved(&statement);
        let answer = Box::pin(self.run_part(block, statement)).await?;
        if let Some((from, to)) = renamed
            && block.temporary.remove(&from)
        {
            block.temporary.extend(to);
        }
        Ok(answer)
    }

    /// Runs one statement of those that are what they say.
    async fn run_part(
        &self,
        block: &mut TransactionBlock,
        statement: Statement,
    ) -> Result<Answer, SqlError> {
        let notice = |tag: &str, text: &str| Ok(Answer::done(tag, Some(text.to_owned())));
        match part(&statement) {
            Part::Begins(_) if block.status() == BlockStatus::Failed => Err(failed()),
            Part::Begins(_) if block.open.is_some() => {
                notice("BEGIN", "there is already a transaction in progress")
            }
            Part::Begins(modes) => self.begin(block, modes).await,
            Part::Commits if block.open.is_none() => {
                notice("COMMIT", "there is no transaction in progress")
            }
            Part::Commits => self.commit(block).await,
            Part::RollsBack if block.open.is_none() => {
                notice("ROLLBACK", "there is no transaction in progress")
            }
            Part::RollsBack => self.roll_back(block).await,
            Part::Sets(modes) => {
                block.begins(false)?;
                block.ended(false);
                match (&mut block.open, modes.read_only) {
                    (Some(open), Some(read_only)) => open.read_only = read_only,
                    (None, Some(_)) => {
                        return notice("SET", "SET TRANSACTION has an effect inside of one only");
                    }
                    _ => {}
                }
                Ok(Answer::done("SET", None))
            }
            Part::Outside(name) if block.open.is_some() => {
                block.begins(false)?;
                Err(SqlError::unsupported(
                    format!("{name} is not supported inside a transaction"),
                    "ROLLBACK or COMMIT first: it takes effect at once, for everybody",
                ))
            }
            Part::Writes => {
                let within = block.begins(true)?;
                let answer = self.run_statement(block, statement, within).await?;
                // A COPY of nothing has asked the nodes for nothing.
                block.ended(block.running.is_some());
                Ok(answer)
            }
            Part::Reads | Part::Outside(_) => {
                let within = block.begins(false)?;
                let answer = self.run_statement(block, statement, within).await?;
                block.ended(false);
                Ok(answer)
            }
        }
    }

    /// The query for what a statement writes, then the statement.
    async fn run_returning(
        &self,
        block: &mut TransactionBlock,
        returning: &Returning,
    ) -> Result<Answer, SqlError> {
        let alone = block.open.is_none() && returning.needs_snapshot();
        if alone {
            self.begin(block, TransactionModes::default()).await?;
        }
        let outcome = self.query_and_write(block, returning).await;
        if !alone {
            return outcome.inspect_err(|_| block.fails());
        }
        match outcome {
            Ok(answer) => self.commit(block).await.map(|_| answer),
            Err(error) => {
                // What matters is why; the nodes roll back what is left open.
                let _ = self.roll_back(block).await;
                Err(error)
            }
        }
    }

    /// The statements that an INSERT … ON CONFLICT stands for, together or not at all.
    async fn run_upsert(
        &self,
        block: &mut TransactionBlock,
        upsert: &Upsert,
    ) -> Result<Answer, SqlError> {
        let alone = block.open.is_none() && upsert.needs_transaction();
        if alone {
            self.begin(block, TransactionModes::default()).await?;
        }
        let outcome = self.update_and_insert(block, upsert).await;
        if !alone {
            return outcome.inspect_err(|_| block.fails());
        }
        match outcome {
            Ok(answer) => self.commit(block).await.map(|_| answer),
            Err(error) => {
                // What matters is why; the nodes roll back what is left open.
                let _ = self.roll_back(block).await;
                Err(error)
            }
        }
    }

    async fn update_and_insert(
        &self,
        block: &mut TransactionBlock,
        upsert: &Upsert,
    ) -> Result<Answer, SqlError> {
        let table = self.fresh_definition(upsert.table()).await?;
        let mut written = 0;
        for statement in upsert.statements(&table)? {
            let answer = self.run_in(block, statement).await.map_err(|e| upsert.placed(e))?;
            if let Answer::Done { rows: Some(rows), .. } = answer {
                written += rows;
            }
        }
        Ok(Answer::Done { tag: "INSERT".into(), rows: Some(written), notice: None })
    }

    async fn query_and_write(
        &self,
        block: &mut TransactionBlock,
        returning: &Returning,
    ) -> Result<Answer, SqlError> {
        let table = self.definition(returning.table()).await?;
        let answer = self.run_in(block, returning.query(&table)?).await?;
        self.run_in(block, returning.write().clone()).await?;
        Ok(answer)
    }

    /// Opens a transaction; its snapshot is that of now.
    async fn begin(
        &self,
        block: &mut TransactionBlock,
        modes: TransactionModes,
    ) -> Result<Answer, SqlError> {
        let (id, _) = self.propose_as(Command::Begin(wire::Begin {})).await?;
        block.opened(TransactionId(id), modes);
        Ok(Answer::done("BEGIN", None))
    }

    /// COMMIT. A lost answer is asked for again: the nodes keep the outcome by the transaction's id.
    async fn commit(&self, block: &mut TransactionBlock) -> Result<Answer, SqlError> {
        let Some(open) = &block.open else { return Ok(Answer::done("COMMIT", None)) };
        let id = open.id;
        if open.failed {
            // As psql shows it.
            return self.roll_back(block).await;
        }
        let outcome = self.commit_transaction(id).await;
        match &outcome {
            // The block stays: COMMIT may be asked again.
            Err(error) if is_connection_error(error) => {}
            _ => block.open = None,
        }
        outcome.map(|_| Answer::done("COMMIT", None))
    }

    /// Commits an open transaction by its id; asked again, the answer is the same.
    ///
    /// # Errors
    /// `40001` if another transaction was first, the constraint that is violated, or what it was rolled
    /// back for; `08006` if nobody answers, then the outcome is not known.
    pub async fn commit_transaction(&self, id: TransactionId) -> Result<LogIndex, SqlError> {
        let started = Instant::now();
        loop {
            let transaction_id = id.0.to_vec();
            let commit = Command::CommitTransaction(wire::CommitTransaction { transaction_id });
            let lost = match self.propose(commit).await {
                Ok(outcome) if outcome.note != VALIDATING => {
                    return Ok(LogIndex(outcome.log_index));
                }
                Ok(_) => match self.final_state(id, None).await {
                    Err(e) if e.sqlstate == sqlstate::INTEGRITY_VIOLATION => {
                        let report = self.fetch(JobId(id.0)).await;
                        return Err(report.map_or_else(|_| e.clone(), |r| explained(e.clone(), &r)));
                    }
                    Err(e) if is_connection_error(&e) => e,
                    other => return other,
                },
                Err(e) if is_connection_error(&e) => e,
                Err(e) => return Err(e),
            };
            if started.elapsed() > COMMIT_TIMEOUT {
                return Err(lost.hint(format!(
                    "whether transaction {id} was committed is not known; write COMMIT again to ask"
                )));
            }
            tokio::time::sleep(COMMIT_PAUSE).await;
        }
    }

    /// ROLLBACK.
    async fn roll_back(&self, block: &mut TransactionBlock) -> Result<Answer, SqlError> {
        let Some(open) = block.open.take() else { return Ok(Answer::done("ROLLBACK", None)) };
        let abort = wire::Abort { transaction_id: open.id.0.to_vec() };
        match self.propose(Command::Abort(abort)).await {
            Err(e) if is_connection_error(&e) => {
                let text =
                    "no node answers; the nodes roll the transaction back by themselves later";
                Ok(Answer::done("ROLLBACK", Some(text.into())))
            }
            Err(e) => Err(e),
            Ok(_) => Ok(Answer::done("ROLLBACK", None)),
        }
    }

    /// Rolls back what is open, if anything is (true then), and drops the session's temporary tables.
    ///
    /// # Errors
    /// The refusal of the nodes.
    pub async fn leave(&self, block: &mut TransactionBlock) -> Result<bool, SqlError> {
        let open = block.open.is_some();
        let rolled_back = self.roll_back(block).await;
        for table in std::mem::take(&mut block.temporary) {
            let command = wire::DropTable { table, if_exists: true, cascade: true };
            self.propose(Command::DropTable(command)).await?;
        }
        rolled_back.map(|_| open)
    }

    /// Gives up the statement of the block that writes and was dropped half-way. Whether that came in
    /// time: then nothing was changed.
    ///
    /// # Errors
    /// The refusal of the nodes, or none answers.
    pub async fn give_up_running(&self, block: &mut TransactionBlock) -> Result<bool, SqlError> {
        let Some(id) = block.running.take() else { return Ok(false) };
        let abort = wire::Abort { transaction_id: id.0.to_vec() };
        match self.propose(Command::Abort(abort)).await {
            Ok(_) => Ok(true),
            Err(e) if is_connection_error(&e) => Err(e),
            Err(_) => {
                let state = self.transaction_state(id, 0).await?;
                Ok(state.kind() == Kind::Aborted)
            }
        }
    }
}

impl TransactionBlock {
    /// A statement could not even be read.
    pub fn fails(&mut self) {
        if let Some(open) = &mut self.open {
            open.failed = true;
        }
    }
}
