//! The client itself: three nodes, signed commands, and one entry for any statement.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use prost::Message as _;
use tonic::transport::Channel;
use trine_proto::command::CLIENT_DOMAIN;
use trine_proto::ids::{Party, TransactionId};
use trine_proto::schema::TableSchema;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::client_command::Command;
use trine_proto::wire::transaction_client::TransactionClient;
use trine_proto::wire::{self, CommandOutcome, Signed};

use crate::block::TransactionBlock;
use crate::catalog::TableDefinition;
use crate::clock::now_ms;
use crate::config::Config;
use crate::connect::{Node, is_connection_error};
use crate::encode::Cell;
use crate::random::random_id;
use crate::statement::{Alter, Execution, Prepared, PreparedStatements, Statement};
use crate::value::{Answer, OutputColumn, Table, Value};

/// How long a signed command may be on its way.
const COMMAND_EXPIRES_MS: u64 = 60_000;
/// How long one node may take for one command before another is asked.
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a question goes around the three nodes while none of them can serve it.
const AROUND_TIMEOUT: Duration = Duration::from_secs(10);
/// What the note of an outcome says of work that the nodes do first.
pub(crate) const VALIDATING: &str = "validating";
/// Pause between two rounds.
const ROUND_PAUSE: Duration = Duration::from_millis(500);

/// A client of one cluster, with one identity. Connections are made when they are needed.
pub struct Client {
    pub(crate) config: Config,
    pub(crate) nodes: [Node; 3],
    /// The node that answered last: asked first for what any node can answer.
    preferred: AtomicUsize,
    /// Highest log position seen: what is read must not be older.
    seen: AtomicU64,
    /// Definitions that all three nodes agreed on, by table.
    pub(crate) schemas: Mutex<BTreeMap<String, TableDefinition>>,
    /// What was prepared.
    prepared: Mutex<PreparedStatements>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({} of cluster {})", self.config.principal, self.config.cluster_id)
    }
}

impl Client {
    /// Connects. A node that is down is no error yet (what can do without it works); one that shows
    /// a wrong key is, and so is a cluster of which no node answers.
    ///
    /// # Errors
    /// `28000` or `57P03`, naming the node.
    pub async fn connect(config: Config) -> Result<Self, SqlError> {
        let [a, b, c] = config.nodes.clone();
        let node = |i: usize, at| Node::new(Party::ALL[i], at, &config.identity);
        let nodes = [node(0, a)?, node(1, b)?, node(2, c)?];
        let mut first_error = None;
        let mut up = None;
        for (i, outcome) in join_all(nodes.iter().map(Node::channel)).await.into_iter().enumerate()
        {
            match outcome {
                Ok(_) => up = up.or(Some(i)),
                Err(e) if !is_connection_error(&e) => return Err(e),
                Err(e) => first_error = first_error.or(Some(e)),
            }
        }
        match (up, first_error) {
            (None, Some(error)) => Err(error),
            (up, _) => Ok(Self {
                config,
                nodes,
                preferred: AtomicUsize::new(up.unwrap_or(0)),
                seen: AtomicU64::new(0),
                schemas: Mutex::new(BTreeMap::new()),
                prepared: Mutex::default(),
            }),
        }
    }

    /// The configuration it was made from.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Runs every statement of a text, in order; stops at the first that fails (what was done
    /// before stays done, but for an open transaction, which is rolled back, also at the end).
    ///
    /// # Errors
    /// The first statement's that fails; its position counts in the whole text.
    pub async fn execute(&self, sql: &str) -> Result<Vec<Answer>, SqlError> {
        let mut block = TransactionBlock::default();
        let answers = self.execute_in(&mut block, sql).await;
        if self.leave(&mut block).await.is_err() {
            tracing::debug!("a transaction that was left open could not be rolled back");
        }
        answers
    }

    /// Runs one statement as a transaction of its own.
    ///
    /// # Errors
    /// Whatever refuses it, here or at the nodes.
    pub async fn run(&self, statement: Statement) -> Result<Answer, SqlError> {
        let mut block = TransactionBlock::default();
        let answer = self.run_in(&mut block, statement).await;
        self.leave(&mut block).await?;
        answer
    }

    /// Runs one statement that is neither BEGIN nor COMMIT nor ROLLBACK.
    pub(crate) async fn run_statement(
        &self,
        block: &mut TransactionBlock,
        statement: Statement,
        within: Option<wire::Within>,
    ) -> Result<Answer, SqlError> {
        match statement {
            Statement::CreateTable { schema, rules, if_not_exists } => {
                self.create_table_with(&schema, rules, if_not_exists).await
            }
            Statement::CreateTableAs { table, columns, sql, offset, if_not_exists } => {
                let done = self.create_table_as(&table, &columns, &sql, if_not_exists).await;
                done.map_err(|e| shifted(e, offset))
            }
            Statement::DropTable { table, if_exists, cascade } => {
                self.forget_schema(&table);
                let command = Command::DropTable(wire::DropTable { table, if_exists, cascade });
                self.done("DROP TABLE", command).await
            }
            Statement::AlterTable(alter) => self.alter_table(alter).await,
            Statement::CreateSchema(schema) => {
                self.done("CREATE SCHEMA", Command::CreateSchema(schema)).await
            }
            Statement::DropSchema(schema) => {
                self.schemas.lock().unwrap_or_else(PoisonError::into_inner).clear();
                self.done("DROP SCHEMA", Command::DropSchema(schema)).await
            }
            Statement::CreateIndex(index) => {
                self.done("CREATE INDEX", Command::CreateIndex(index)).await
            }
            Statement::DropIndex(index) => self.done("DROP INDEX", Command::DropIndex(index)).await,
            Statement::Reindex => {
                let notice = "indexes hold nothing: there is nothing to build anew";
                Ok(Answer::done("REINDEX", Some(notice.into())))
            }
            Statement::CreateView { view, offset } => {
                let outcome = self.done("CREATE VIEW", Command::CreateView(view)).await;
                outcome.map_err(|e| shifted(e, offset))
            }
            Statement::DropView(view) => self.done("DROP VIEW", Command::DropView(view)).await,
            Statement::Grant { grant, table, principal } => {
                let body = wire::Grant { table, principal };
                if grant {
                    self.done("GRANT", Command::Grant(body)).await
                } else {
                    self.done("REVOKE", Command::Revoke(body)).await
                }
            }
            Statement::Insert(insert) => self.insert(insert, block, within).await,
            Statement::Write(write) => self.write(write, block, within).await,
            Statement::RefreshAll => Box::pin(self.refresh_all(block)).await,
            Statement::Query { sql, offset } => {
                let outcome = self.query_in(&sql, within).await;
                outcome.map(Answer::Rows).map_err(|e| shifted(e, offset))
            }
            Statement::Explain(write) => self.explain(&write, within).await.map(Answer::Rows),
            Statement::Ask(asked) => {
                let job = self.submit_asked_in(&asked, within).await?;
                self.wait(job, None).await.map_err(|e| asked.placed(e))?;
                self.fetch(job).await.map(Answer::Rows)
            }
            Statement::Copy(copy) => self.copy(copy, block, within).await,
            Statement::Prepare(prepared) => {
                self.prepared().prepare(prepared)?;
                Ok(Answer::done("PREPARE", None))
            }
            Statement::Deallocate(name) => {
                self.prepared().deallocate(name.as_deref())?;
                Ok(Answer::done("DEALLOCATE", None))
            }
            Statement::ShowTables => self.show_tables().await.map(Answer::Rows),
            Statement::Show(settings) => Ok(Answer::Rows(shown(settings))),
            Statement::Set => Ok(Answer::done("SET", None)),
            // Their block has seen to them.
            Statement::Execute(_)
            | Statement::Returning(_)
            | Statement::Upsert(_)
            | Statement::Temporary(_)
            | Statement::Begin(_)
            | Statement::SetTransaction(_)
            | Statement::Commit
            | Statement::Rollback => Ok(Answer::done("", None)),
        }
    }

    /// Keeps a SELECT, INSERT, UPDATE or DELETE with `$1`, `$2`, … under a name. No node hears of it.
    ///
    /// # Errors
    /// `42P05` for a name that is taken; a mistake in a statement that writes.
    pub fn prepare(&self, name: &str, sql: &str) -> Result<(), SqlError> {
        self.prepared().prepare(Prepared::new(name.to_owned(), Vec::new(), sql, 0)?)
    }

    /// Runs a prepared statement. The values reach the nodes as shares only; their types are public.
    ///
    /// # Errors
    /// `26000` for an unknown name, `42601` for another number of values; as [`Self::run`].
    pub async fn execute_prepared(
        &self,
        name: &str,
        values: Vec<Cell>,
    ) -> Result<Answer, SqlError> {
        self.run(Statement::Execute(Execution::new(name, values))).await
    }

    /// The statement that an EXECUTE stands for; any other as it is.
    ///
    /// # Errors
    /// Those of EXECUTE.
    pub fn resolved(&self, statement: Statement) -> Result<Statement, SqlError> {
        match statement {
            Statement::Execute(execution) => self.prepared().execute(execution),
            other => Ok(other),
        }
    }

    fn prepared(&self) -> MutexGuard<'_, PreparedStatements> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a table.
    ///
    /// # Errors
    /// Whatever the nodes refuse it for.
    pub async fn create_table(
        &self,
        schema: &TableSchema,
        if_not_exists: bool,
    ) -> Result<Answer, SqlError> {
        self.create_table_with(schema, wire::TableRules::default(), if_not_exists).await
    }

    async fn create_table_with(
        &self,
        schema: &TableSchema,
        rules: wire::TableRules,
        if_not_exists: bool,
    ) -> Result<Answer, SqlError> {
        self.forget_schema(&schema.name);
        let (schema, rules) = (Some(wire::TableSchema::from(schema)), Some(rules));
        let command = Command::CreateTable(wire::CreateTable { schema, if_not_exists, rules });
        self.done("CREATE TABLE", command).await
    }

    async fn alter_table(&self, alter: Alter) -> Result<Answer, SqlError> {
        if alter.sets_defaults() {
            match self.fresh_definition(alter.table()).await {
                Ok(table) => alter.check_defaults(&table)?,
                // IF EXISTS is for the log to decide.
                Err(e) if e.sqlstate == sqlstate::UNDEFINED_TABLE => {}
                Err(e) => return Err(e),
            }
        }
        // Whatever becomes of it, what is known of the table may be out of date.
        self.forget_schema(alter.table());
        let done = self.done("ALTER TABLE", Command::AlterTable(alter.command.clone())).await;
        self.forget_schema(alter.table());
        done.map_err(|e| alter.placed(e))
    }

    async fn show_tables(&self) -> Result<Table, SqlError> {
        let rows = self
            .tables("")
            .await?
            .into_iter()
            .filter_map(|t| {
                let name = t.schema?.name;
                Some(vec![Value::Text(name), Value::Text(t.owner), Value::Int(t.rows.into())])
            })
            .collect();
        let columns = vec![
            OutputColumn::text("table"),
            OutputColumn::text("owner"),
            OutputColumn::integer("rows"),
        ];
        Ok(Table { columns, rows, explain: None })
    }

    /// Proposes a command; one that the nodes check under MPC first is waited for.
    async fn done(&self, tag: &str, command: Command) -> Result<Answer, SqlError> {
        let (id, outcome) = self.propose_as(command).await?;
        if outcome.note == VALIDATING {
            self.final_state(TransactionId(id), None).await?;
            return Ok(Answer::done(tag, None));
        }
        Ok(Answer::done(tag, Some(outcome.note).filter(|n| !n.is_empty())))
    }

    fn forget_schema(&self, table: &str) {
        self.schemas.lock().unwrap_or_else(PoisonError::into_inner).remove(table);
    }

    /// A command with a fresh id, signed.
    pub(crate) fn sign(&self, command: Command) -> Result<([u8; 16], Signed), SqlError> {
        let command_id = random_id()?;
        let signed_at_ms = now_ms();
        let body = wire::ClientCommand {
            cluster_id: self.config.cluster_id.0.to_vec(),
            command_id: command_id.to_vec(),
            signed_at_ms,
            expires_at_ms: signed_at_ms.saturating_add(COMMAND_EXPIRES_MS),
            command: Some(command),
        };
        let signed = self.config.identity.sign(CLIENT_DOMAIN, body.encode_to_vec());
        Ok((command_id, signed.into()))
    }

    /// Signs a command and proposes it through any node that answers. Asked twice, a node answers
    /// with the first outcome, so that trying the next node is safe.
    pub(crate) async fn propose(&self, command: Command) -> Result<CommandOutcome, SqlError> {
        self.propose_as(command).await.map(|(_, outcome)| outcome)
    }

    /// The same, with the id of the command.
    pub(crate) async fn propose_as(
        &self,
        command: Command,
    ) -> Result<([u8; 16], CommandOutcome), SqlError> {
        let (id, signed) = self.sign(command)?;
        self.propose_signed(signed).await.map(|outcome| (id, outcome))
    }

    /// Proposes what is signed.
    pub(crate) async fn propose_signed(&self, signed: Signed) -> Result<CommandOutcome, SqlError> {
        let outcome = self
            .any(|channel| {
                let signed = signed.clone();
                async move {
                    let call = async { TransactionClient::new(channel).propose(signed).await };
                    tokio::time::timeout(PROPOSE_TIMEOUT, call).await.unwrap_or_else(|_| {
                        Err(tonic::Status::deadline_exceeded("no answer within 30 seconds"))
                    })
                }
            })
            .await?;
        self.saw(outcome.log_index);
        match outcome.error {
            Some(error) => Err(error.into()),
            None => Ok(outcome),
        }
    }

    /// Asks the nodes in turn, the one that answered last first, until one answers or refuses. While
    /// nodes are up but cannot serve (an election), goes around again for some seconds.
    pub(crate) async fn any<T, F, R>(&self, call: F) -> Result<T, SqlError>
    where
        F: Fn(Channel) -> R,
        R: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let started = Instant::now();
        let mut last = None;
        loop {
            let first = self.preferred.load(Ordering::Relaxed);
            let mut reached = false;
            for i in 0..3 {
                let at = (first + i) % 3;
                let node = &self.nodes[at];
                reached |= node.channel().await.is_ok();
                match node.call(&call).await {
                    Ok(answer) => {
                        self.preferred.store(at, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(e) if is_connection_error(&e) => last = Some(e),
                    Err(e) => return Err(e),
                }
            }
            // Two nodes are needed to decide anything; with none reachable there is nobody to wait for.
            if !reached || started.elapsed() > AROUND_TIMEOUT {
                break;
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
        Err(last.unwrap_or_else(|| SqlError::new(sqlstate::NODE_UNAVAILABLE, "no node answers")))
    }

    /// Remembers a log position: what is read later is not older.
    pub(crate) fn saw(&self, log_index: u64) {
        self.seen.fetch_max(log_index, Ordering::Relaxed);
    }

    /// Highest log position seen.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }
}

/// The answer to SHOW: one setting as a column of its name, all of them as a list.
fn shown(settings: Vec<(String, String)>) -> Table {
    if let [(name, value)] = settings.as_slice() {
        let rows = vec![vec![Value::Text(value.clone())]];
        return Table { columns: vec![OutputColumn::text(name)], rows, explain: None };
    }
    let rows = settings.into_iter().map(|(n, v)| vec![Value::Text(n), Value::Text(v)]).collect();
    let columns = vec![OutputColumn::text("name"), OutputColumn::text("setting")];
    Table { columns, rows, explain: None }
}

/// An error whose position counts in a statement, moved into the text that the statement is part of.
fn shifted(mut error: SqlError, offset: u32) -> SqlError {
    if error.position > 0 {
        error.position = error.position.saturating_add(offset);
    }
    error
}
