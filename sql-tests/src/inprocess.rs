//! Three parties in this process: the client's cutting and opening, the replicated state machine,
//! the planner, the executor and the protocols are the ones that run in production; a local
//! sequencer stands for Raft, memory for disks and sockets, and a statement is planned once.
//!
//! A statement: [`InProcess::run`] parses it as the client does; an INSERT is cut, staged at three
//! stores, committed with three receipts and, under a PRIMARY KEY, checked under MPC; a query is
//! ordered, compiled, executed by three threads under fresh keys, and opened.

mod fibers;
mod load;

use crate::engine::EngineError;
use crate::value::Output;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use trine_client::cut::{NodePart, cut_rows};
use trine_client::open::{ResultPart, ResultVector, open_result};
use trine_client::statement::{
    self, Alter, Asked, Insert, PreparedStatements, Returning, Statement, TransactionModes, Upsert,
    Write,
};
use trine_client::{
    BlockStatus, ParameterRow, Table, TableDefinition, TransactionBlock, arrange, explained,
    named_result, parameter_row, query_parameters, random_id, rows_written,
};
use trine_consensus::testing::{LocalSequencer, TestCluster, client_with_id};
use trine_mpc::{AttemptKeys, Net, Session};
use trine_proto::catalog::{
    Catalog, Parameters, Subject, TableRules, TransactionState, Validation, Verdict,
};
use trine_proto::command::{NodeCommandKind, Outcome};
use trine_proto::ids::{JobId, LogIndex, Party, SegmentId, TableId, TransactionId};
use trine_proto::result::result_digest;
use trine_proto::schema::TableSchema;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire;
use trine_proto::wire::client_command::Command;
use trine_query::{Observer, QueryError, ResultShares};
use trine_storage::{ComponentHeader, ComponentSource, Digests, Memory, SegmentHeader, Store};

/// Name of the principal who asks.
const PRINCIPAL: &str = "admin";
/// Rows of a relation up to which the parties share a thread: two cores would not make it faster.
const FIBER_ROWS_MAX: u64 = 1 << 14;
/// Stack of a party's thread: deep expressions recurse.
const STACK_BYTES: usize = 64 << 20;

/// The three parties and the one user.
pub struct InProcess {
    cluster: TestCluster,
    sequencer: LocalSequencer,
    stores: [Store; 3],
    /// Where the user's statements stand.
    block: Mutex<TransactionBlock>,
    prepared: Mutex<PreparedStatements>,
}

/// Nobody watches the progress.
struct Unobserved;

impl Observer for Unobserved {
    fn operator(&mut self, _name: &str, _done: u32, _total: u32) {}
}

impl InProcess {
    /// An empty database.
    ///
    /// # Errors
    /// Never with stores in memory; theirs.
    pub fn new() -> Result<Self, EngineError> {
        let cluster = TestCluster::seeded(1);
        let sequencer = LocalSequencer::new(cluster.info.clone());
        let store = || Store::open(Arc::new(Memory::new())).map_err(|e| internal(&e));
        let stores = [store()?, store()?, store()?];
        let (block, prepared) = (Mutex::default(), Mutex::default());
        Ok(Self { cluster, sequencer, stores, block, prepared })
    }

    /// Runs the statements of a text; the answer is that of the last one.
    ///
    /// # Errors
    /// The first statement that fails.
    pub fn run(&self, sql: &str) -> Result<Output, EngineError> {
        let mut output = Output::done(None);
        for fragment in statement::split(sql)? {
            let statement = statement::parse(&fragment).inspect_err(|_| self.block().fails())?;
            output = self.run_in_block(statement)?;
        }
        Ok(output)
    }

    fn block(&self) -> MutexGuard<'_, TransactionBlock> {
        self.block.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One statement, BEGIN and COMMIT among them, as the client sees to it.
    fn run_in_block(&self, statement: Statement) -> Result<Output, EngineError> {
        let statement = match statement {
            Statement::Execute(execution) => {
                let bound = self.prepared().execute(execution);
                bound.inspect_err(|_| self.block().fails())?
            }
            other => other,
        };
        let open = self.block().transaction();
        if let Statement::Returning(returning) = &statement {
            return self.run_returning(returning, open.is_none());
        }
        if let Statement::Upsert(upsert) = &statement {
            return self.run_upsert(upsert, open.is_none());
        }
        match (statement, open) {
            (Statement::Begin(modes), None) => {
                let (id, _) = self.propose(Command::Begin(wire::Begin {}))?;
                self.block().opened(TransactionId(id), modes);
            }
            (Statement::Commit, Some(id)) if self.block().status() == BlockStatus::Open => {
                self.block().closed();
                let transaction_id = id.0.to_vec();
                let commit = wire::CommitTransaction { transaction_id };
                let (_, outcome) = self.propose(Command::CommitTransaction(commit))?;
                if matches!(outcome, Outcome::Validating(_)) {
                    self.validate(id)?;
                }
            }
            (Statement::Commit | Statement::Rollback, Some(id)) => {
                self.block().closed();
                let transaction_id = id.0.to_vec();
                self.propose(Command::Abort(wire::Abort { transaction_id }))?;
            }
            (Statement::Begin(_) | Statement::Commit | Statement::Rollback, _)
            | (Statement::SetTransaction(_), _) => {}
            (statement, _) => {
                let writes = matches!(statement, Statement::Insert(_) | Statement::Write(_));
                let within = self.block().begins(writes)?;
                let output = self.run_one(statement, within)?;
                self.block().ended(writes);
                return Ok(output);
            }
        }
        Ok(Output::done(None))
    }

    /// The query for what a statement writes, then the statement, as the client does it.
    fn run_returning(&self, returning: &Returning, idle: bool) -> Result<Output, EngineError> {
        let alone = idle && returning.needs_snapshot();
        if alone {
            self.run_in_block(Statement::Begin(TransactionModes::default()))?;
        }
        let both = || {
            let (_, table) = self.table(returning.table())?;
            let output = self.run_in_block(returning.query(&table)?)?;
            self.run_in_block(returning.write().clone())?;
            Ok(output)
        };
        let outcome = both().inspect_err(|_| self.block().fails());
        if alone {
            let end = if outcome.is_ok() { Statement::Commit } else { Statement::Rollback };
            self.run_in_block(end)?;
        }
        outcome
    }

    /// The statements that an INSERT … ON CONFLICT stands for, as the client runs them.
    fn run_upsert(&self, upsert: &Upsert, idle: bool) -> Result<Output, EngineError> {
        let alone = idle && upsert.needs_transaction();
        if alone {
            self.run_in_block(Statement::Begin(TransactionModes::default()))?;
        }
        let all = || {
            let (_, table) = self.table(upsert.table())?;
            for statement in upsert.statements(&table)? {
                self.run_in_block(statement)?;
            }
            Ok(Output::done(None))
        };
        let outcome = all().inspect_err(|_| self.block().fails());
        if alone {
            let end = if outcome.is_ok() { Statement::Commit } else { Statement::Rollback };
            self.run_in_block(end)?;
        }
        outcome
    }

    fn run_one(
        &self,
        statement: Statement,
        within: Option<wire::Within>,
    ) -> Result<Output, EngineError> {
        let command = match statement {
            // The session is the file.
            Statement::Temporary(create) => return self.run_one(*create, within),
            Statement::Insert(insert) => return self.insert(&insert, within),
            Statement::Write(write) => return self.write(&write, within),
            Statement::Query { sql, .. } => return Ok(self.query(sql, None, within)?.into()),
            Statement::Explain(write) => return self.explain(&write, within),
            Statement::Ask(asked) => return self.ask(&asked, within),
            Statement::Prepare(prepared) => {
                self.prepared().prepare(prepared)?;
                return Ok(Output::done(None));
            }
            Statement::Deallocate(name) => {
                self.prepared().deallocate(name.as_deref())?;
                return Ok(Output::done(None));
            }
            _ if within.is_some() => {
                return Err(EngineError::new(
                    sqlstate::FEATURE_NOT_SUPPORTED,
                    "this statement is not supported inside a transaction",
                ));
            }
            Statement::CreateTableAs { table, columns, sql, if_not_exists, .. } => {
                return self.create_table_as(&table, &columns, &sql, if_not_exists);
            }
            Statement::Reindex
            | Statement::Set
            | Statement::Execute(_)
            | Statement::Returning(_)
            | Statement::Upsert(_)
            | Statement::Begin(_)
            | Statement::SetTransaction(_)
            | Statement::Commit
            | Statement::Rollback => return Ok(Output::done(None)),
            Statement::Show(settings) => return Ok(shown(settings)),
            Statement::AlterTable(alter) => return self.alter(&alter),
            Statement::CreateSchema(schema) => Command::CreateSchema(schema),
            Statement::DropSchema(schema) => Command::DropSchema(schema),
            Statement::CreateIndex(index) => Command::CreateIndex(index),
            Statement::DropIndex(index) => Command::DropIndex(index),
            Statement::DropView(view) => Command::DropView(view),
            Statement::CreateView { view, .. } => {
                let catalog = self.sequencer.catalog();
                let at = catalog.applied;
                trine_query::check_view(&view.sql, &view.columns, &catalog, at, PRINCIPAL)?;
                Command::CreateView(view)
            }
            Statement::Copy(_) => {
                return Err(EngineError::new(
                    sqlstate::FEATURE_NOT_SUPPORTED,
                    "COPY uploads to nodes; there are none in process",
                ));
            }
            Statement::ShowTables => {
                return Err(EngineError::new(
                    sqlstate::FEATURE_NOT_SUPPORTED,
                    "SHOW TABLES asks a node; there is none in process",
                ));
            }
            Statement::RefreshAll => {
                return Err(EngineError::new(
                    sqlstate::FEATURE_NOT_SUPPORTED,
                    "REFRESH SHARES ALL asks a node for the tables; there is none in process",
                ));
            }
            Statement::CreateTable { schema, rules, if_not_exists } => {
                let catalog = self.sequencer.catalog();
                let checks: Vec<String> = rules.checks.iter().map(|c| c.sql.clone()).collect();
                let at = catalog.applied;
                trine_query::check_conditions(&schema, &checks, &catalog, at, PRINCIPAL)?;
                drop(catalog);
                let (schema, rules) = (Some(wire::TableSchema::from(&schema)), Some(rules));
                Command::CreateTable(wire::CreateTable { schema, if_not_exists, rules })
            }
            Statement::DropTable { table, if_exists, cascade } => {
                Command::DropTable(wire::DropTable { table, if_exists, cascade })
            }
            Statement::Grant { grant, table, principal } => {
                let body = wire::Grant { table, principal };
                if grant { Command::Grant(body) } else { Command::Revoke(body) }
            }
        };
        if let (id, Outcome::Validating(_)) = self.propose(command)? {
            self.validate(TransactionId(id))?;
        }
        Ok(Output::done(None))
    }

    /// ALTER TABLE, as client and node do it.
    fn alter(&self, alter: &Alter) -> Result<Output, EngineError> {
        let catalog = self.sequencer.catalog();
        let at = catalog.applied;
        if let Ok((_, table)) = self.table(alter.table()) {
            alter.check_defaults(&table)?;
        }
        let planned = trine_query::check_alteration(&alter.command, &catalog, at, PRINCIPAL);
        drop(catalog);
        planned.map_err(|e| alter.placed(e))?;
        let proposed = self.propose(Command::AlterTable(alter.command.clone()));
        if let (id, Outcome::Validating(_)) = proposed.map_err(|e| alter.placed(e))? {
            self.validate(TransactionId(id))?;
        }
        Ok(Output::done(None))
    }

    /// Signs a command as the user and applies it; the id is the command's.
    fn propose(&self, command: Command) -> Result<([u8; 16], Outcome), SqlError> {
        let id = random_id()?;
        let info = &self.cluster.info;
        let signed = client_with_id(&self.cluster.administrator, info.cluster_id, id, command);
        match self.sequencer.propose(signed) {
            Outcome::Refused(_, error) => Err(error),
            outcome => Ok((id, outcome)),
        }
    }

    fn insert(&self, insert: &Insert, within: Option<wire::Within>) -> Result<Output, EngineError> {
        let (id, definition) = self.table(&insert.table)?;
        let schema = &definition.schema;
        let rows = arrange(&definition, insert)?;
        let transaction = TransactionId(random_id()?);
        let parts = cut_rows(schema, &rows, self.cluster.info.cluster_id, transaction)?;
        self.commit((id, schema), transaction, parts, within)?;
        Ok(Output::done(u64::try_from(rows.len()).ok()))
    }

    /// A table as the catalog has it now.
    fn table(&self, name: &str) -> Result<(TableId, TableDefinition), SqlError> {
        let catalog = self.sequencer.catalog();
        let entry = catalog.table(name, catalog.applied).ok_or_else(|| {
            let message = format!("relation \"{name}\" does not exist");
            SqlError::new(sqlstate::UNDEFINED_TABLE, message)
        })?;
        let rules = wire_defaults(&entry.rules);
        Ok((entry.id, TableDefinition::new(entry.schema.clone(), &rules)?))
    }

    /// Stages the three parts of an upload and commits them as one batch.
    fn commit(
        &self,
        (table, schema): (TableId, &TableSchema),
        transaction: TransactionId,
        parts: [NodePart; 3],
        within: Option<wire::Within>,
    ) -> Result<(), EngineError> {
        let mut receipts = Vec::with_capacity(3);
        for (party, part) in Party::ALL.into_iter().zip(parts) {
            receipts.push(self.stage(party, table, schema, transaction, part)?);
        }
        let mut commit = self.cluster.commit(&receipts);
        if let Command::Commit(commit) = &mut commit {
            commit.within = within;
        }
        let (_, outcome) = self.propose(commit)?;
        if matches!(outcome, Outcome::Validating(_)) {
            self.validate(transaction)?;
        }
        Ok(())
    }

    /// What a node does with its part of an upload.
    fn stage(
        &self,
        party: Party,
        table: TableId,
        schema: &TableSchema,
        transaction: TransactionId,
        part: NodePart,
    ) -> Result<wire::Receipt, EngineError> {
        let component = |c: &Option<wire::Component>| {
            let c = c.clone().unwrap_or_default();
            let source = <[u8; 32]>::try_from(c.seed.as_slice())
                .map_or(ComponentSource::Explicit, ComponentSource::Seed);
            let salt = c.salt.try_into().unwrap_or_default();
            ComponentHeader { salt, source }
        };
        let header = SegmentHeader {
            party,
            table,
            segment: SegmentId::from(transaction),
            schema_digest: schema.digest(),
            rows: part.header.rows,
            layout: schema.stored_columns(),
            components: [component(&part.header.first), component(&part.header.second)],
        };
        let staged = || -> trine_storage::Result<Digests> {
            let mut writer = self.stores[party.index()].stage(header.clone())?;
            for (index, chunk) in part.chunks.iter().enumerate() {
                writer.append(header.chunk_rows(index), &chunk.explicit, &chunk.public)?;
            }
            writer.finish()
        };
        let digests = staged().map_err(|e| internal(&e))?;
        Ok(wire::Receipt {
            cluster_id: self.cluster.info.cluster_id.0.to_vec(),
            party: u32::try_from(party.index()).unwrap_or_default(),
            transaction_id: transaction.0.to_vec(),
            table: schema.name.clone(),
            schema_digest: header.schema_digest.to_vec(),
            rows: header.rows,
            first_digest: digests.components[0].to_vec(),
            second_digest: digests.components[1].to_vec(),
            public_digest: digests.public.to_vec(),
            principal_key: self.cluster.administrator.public().to_vec(),
            table_id: table.0,
        })
    }

    /// Work on a table under MPC (a check, a statement that writes), its verdicts, and its report.
    fn validate(&self, transaction: TransactionId) -> Result<Table, EngineError> {
        let catalog = self.sequencer.catalog();
        let Some(TransactionState::Validating(validation)) = catalog.transactions.get(&transaction)
        else {
            return Err(EngineError::new(sqlstate::INTERNAL_ERROR, "the work does not run"));
        };
        let done = self.work(&catalog, transaction, validation);
        let (table, attempt) = (validation.table, validation.attempt);
        let alters = matches!(validation.subject, Subject::Alter(_));
        let before = catalog.tables.get(&table);
        let listed = before.into_iter().flat_map(|t| &t.segments);
        let before: Vec<(TableId, SegmentId)> = listed.map(|s| (s.home(table), s.id)).collect();
        // Whoever still looks at a state makes the next entry copy it.
        drop(catalog);
        let report = match done {
            Ok((verdicts, report)) => {
                self.say(transaction, attempt, verdicts);
                report
            }
            Err(e) => {
                let error = SqlError::new(&e.sqlstate, e.message.clone());
                let kind = NodeCommandKind::Abort { transaction, error };
                self.sequencer.propose(self.cluster.node(Party::ALL[0], kind));
                return Err(e);
            }
        };
        let after = self.sequencer.catalog();
        self.forget_replaced(&before, &after)?;
        match after.transactions.get(&transaction) {
            // What the rows do not keep for an ALTER TABLE the log says by itself.
            Some(TransactionState::Aborted(_, error)) if alters => Err(error.clone().into()),
            Some(TransactionState::Aborted(_, error)) => {
                Err(explained(error.clone(), &report).into())
            }
            Some(TransactionState::Committed(_) | TransactionState::Joined(..)) => Ok(report),
            _ => Err(EngineError::new(sqlstate::INTERNAL_ERROR, "the work has no end")),
        }
    }

    fn work(
        &self,
        catalog: &Catalog,
        transaction: TransactionId,
        validation: &Validation,
    ) -> Result<([Verdict; 3], Table), EngineError> {
        let work = trine_query::compile_work(catalog, transaction, validation)?;
        let salts: [[u8; 16]; 3] = [random_id()?, random_id()?, random_id()?];
        let run = |session: &mut Session, store: &Store| {
            let party = session.party();
            trine_query::run_work(&work, session, store, [salts[party], salts[(party + 1) % 3]])
        };
        let rows = catalog.tables.values().flat_map(|t| &t.segments).map(|s| s.rows).sum::<u64>();
        let done = self.three_parties(catalog, rows <= FIBER_ROWS_MAX, run)?;
        let verdicts = [0, 1, 2].map(|party| done[party].verdict);
        let job = JobId(transaction.0);
        let mut parts: [ResultPart; 3] = Default::default();
        for ((party, done), part) in Party::ALL.into_iter().zip(done).zip(&mut parts) {
            *part = self.part(party, job, done.shares);
        }
        Ok((verdicts, open_result(self.cluster.info.cluster_id, job, &parts)?))
    }

    /// Deletes the segments that an entry ended: nothing else runs that could read them.
    fn forget_replaced(
        &self,
        before: &[(TableId, SegmentId)],
        after: &Catalog,
    ) -> Result<(), EngineError> {
        for (table, segment) in before.iter().filter(|s| after.aborted_segments.contains(&s.1)) {
            for store in &self.stores {
                store.remove(*table, *segment).map_err(|e| internal(&e))?;
            }
        }
        Ok(())
    }

    /// A statement that writes: its parameters as a row of shares at the stores, its turn, its report.
    fn write(&self, write: &Write, within: Option<wire::Within>) -> Result<Output, EngineError> {
        let parameters = self.shared_parameters(write)?;
        let (sql, table) = (write.sql.clone(), write.table.clone());
        let mut command =
            wire::SubmitWrite { sql, table, kind: 0, parameters: parameters.clone(), within };
        command.set_kind(write.kind);
        let (id, _) = self.propose(Command::SubmitWrite(command))?;
        let report = self.validate(TransactionId(id));
        self.forget_parameters(parameters.as_ref())?;
        Ok(Output::done(Some(rows_written(&report?)?)))
    }

    /// What the parties would do for a statement that writes.
    fn explain(&self, write: &Write, within: Option<wire::Within>) -> Result<Output, EngineError> {
        let set = self.shared_parameters(write)?;
        let answer = self.query(write.sql.clone(), set.clone(), within);
        self.forget_parameters(set.as_ref())?;
        Ok(answer?.into())
    }

    fn shared_parameters(&self, write: &Write) -> Result<Option<wire::ParameterSet>, EngineError> {
        let (_, definition) = self.table(&write.table)?;
        let row = parameter_row(&definition, write)?;
        row.map(|row| self.stage_parameters(&row)).transpose()
    }

    /// Creates a table with the columns of a SELECT and fills it, as the client does.
    fn create_table_as(
        &self,
        table: &str,
        columns: &[String],
        sql: &str,
        if_not_exists: bool,
    ) -> Result<Output, EngineError> {
        let catalog = self.sequencer.catalog();
        let statement = trine_query::compile(sql, &catalog, catalog.applied, PRINCIPAL, 0)?;
        let schema = named_result(statement.result_schema("result")?, table, columns)?;
        let schema = Some(wire::TableSchema::from(&schema));
        let create = wire::CreateTable { schema, if_not_exists, rules: None };
        let (_, outcome) = self.propose(Command::CreateTable(create))?;
        if matches!(outcome, Outcome::Nothing(..)) {
            return Ok(Output::done(None));
        }
        let filled = self.write(&Write::filling(table, sql), None);
        if filled.is_err() {
            let drop = wire::DropTable { table: table.to_owned(), ..Default::default() };
            self.propose(Command::DropTable(drop))?;
        }
        filled
    }

    fn say(&self, transaction: TransactionId, attempt: u32, verdicts: [Verdict; 3]) {
        for (party, verdict) in Party::ALL.into_iter().zip(verdicts) {
            let kind = NodeCommandKind::Verdict { transaction, attempt, verdict };
            self.sequencer.propose(self.cluster.node(party, kind));
        }
    }

    fn prepared(&self) -> MutexGuard<'_, PreparedStatements> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A query with secret parameters.
    fn ask(&self, asked: &Asked, within: Option<wire::Within>) -> Result<Output, EngineError> {
        let catalog = self.sequencer.catalog();
        let tables: Vec<TableSchema> = catalog.tables.values().map(|t| t.schema.clone()).collect();
        let set = self.stage_parameters(&query_parameters(&tables, asked)?)?;
        let answer = self.query(asked.sql.clone(), Some(set.clone()), within);
        self.forget_parameters(Some(&set))?;
        Ok(answer?.into())
    }

    /// One row of parameters as shares at the stores.
    fn stage_parameters(&self, row: &ParameterRow) -> Result<wire::ParameterSet, EngineError> {
        let id = TransactionId(random_id()?);
        let cells = std::slice::from_ref(&row.cells);
        let parts = cut_rows(&row.schema, cells, self.cluster.info.cluster_id, id)?;
        for (party, part) in Party::ALL.into_iter().zip(parts) {
            self.stage(party, TableId::PARAMETERS, &row.schema, id, part)?;
        }
        let schema = Some(wire::TableSchema::from(&row.schema));
        Ok(wire::ParameterSet { id: id.0.to_vec(), schema })
    }

    fn forget_parameters(&self, set: Option<&wire::ParameterSet>) -> Result<(), EngineError> {
        if let Some(id) = set.and_then(|set| SegmentId::from_slice(&set.id)) {
            for store in &self.stores {
                store.remove(TableId::PARAMETERS, id).map_err(|e| internal(&e))?;
            }
        }
        Ok(())
    }

    fn query(
        &self,
        sql: String,
        parameters: Option<wire::ParameterSet>,
        within: Option<wire::Within>,
    ) -> Result<Table, EngineError> {
        let submit = wire::SubmitQuery { sql: sql.clone(), parameters, within };
        let (id, _) = self.propose(Command::SubmitQuery(submit))?;
        let job = JobId(id);
        let answer = self.answer(&sql, job);
        for party in Party::ALL {
            let kind = match &answer {
                Ok(_) => NodeCommandKind::JobDone { job, attempt: 1 },
                Err(e) => {
                    let error = SqlError::new(&e.sqlstate, e.message.clone());
                    NodeCommandKind::JobFailed { job, attempt: 1, error }
                }
            };
            self.sequencer.propose(self.cluster.node(party, kind));
        }
        answer
    }

    fn answer(&self, sql: &str, job: JobId) -> Result<Table, EngineError> {
        let catalog = self.sequencer.catalog();
        let entry = catalog.jobs.get(&job).ok_or_else(|| {
            EngineError::new(sqlstate::INTERNAL_ERROR, "the query is not in the catalog")
        })?;
        let seen = entry.within.as_ref().map(|w| catalog.within(w.snapshot, &w.written));
        let seen = seen.as_ref().unwrap_or(&catalog);
        let shares = self.executed(sql, entry.parameters.as_ref(), seen, entry.snapshot())?;
        let mut parts: [ResultPart; 3] = Default::default();
        for ((party, shares), part) in Party::ALL.into_iter().zip(shares).zip(&mut parts) {
            *part = self.part(party, job, shares);
        }
        Ok(open_result(self.cluster.info.cluster_id, job, &parts)?)
    }

    /// The three parties' parts of an answer. They share one planning.
    fn executed(
        &self,
        sql: &str,
        parameters: Option<&Parameters>,
        catalog: &Catalog,
        position: LogIndex,
    ) -> Result<[ResultShares; 3], EngineError> {
        let statement = self.planned(sql, parameters, catalog, position, &self.stores[0])?;
        let execute = |session: &mut Session, store: &Store| {
            trine_query::execute(&statement, session, store, &mut Unobserved)
        };
        let small = statement.rows_max() <= FIBER_ROWS_MAX;
        self.three_parties(catalog, small, execute)
    }

    fn planned(
        &self,
        sql: &str,
        parameters: Option<&Parameters>,
        catalog: &Catalog,
        position: LogIndex,
        store: &Store,
    ) -> Result<trine_query::Statement, EngineError> {
        let who = (PRINCIPAL, 0);
        match trine_query::compile_over(sql, parameters, catalog, position, who, store) {
            Ok(statement) => Ok(statement),
            Err(QueryError::Sql(error)) => Err(error.into()),
            Err(error) => Err(internal(&error)),
        }
    }

    /// Digests of the plans that the three nodes make of a query, each by itself, at the same time.
    ///
    /// # Errors
    /// What the query is refused with.
    pub fn plan_digests(&self, sql: &str) -> Result<[[u8; 32]; 3], EngineError> {
        let catalog = self.sequencer.catalog();
        let at = catalog.applied;
        let plans = thread::scope(|scope| {
            let node = |store| {
                let catalog = &catalog;
                scope.spawn(move || self.planned(sql, None, catalog, at, store).map(|s| s.digest()))
            };
            self.stores.each_ref().map(node).map(thread::ScopedJoinHandle::join)
        });
        let [a, b, c] = plans.map(|plan| {
            plan.unwrap_or_else(|_| Err(EngineError::new(sqlstate::INTERNAL_ERROR, "a panic")))
        });
        Ok([a?, b?, c?])
    }

    /// What EXPLAIN ANALYZE says at each of the three nodes.
    ///
    /// # Errors
    /// What the query fails with.
    pub fn analysed(&self, sql: &str) -> Result<[Vec<wire::ExplainRow>; 3], EngineError> {
        let catalog = self.sequencer.catalog();
        let at = catalog.applied;
        let shares = self.executed(&format!("EXPLAIN ANALYZE {sql}"), None, &catalog, at)?;
        Ok(shares.map(|shares| shares.header.explain))
    }

    /// What a node sends a client that fetches.
    fn part(&self, party: Party, job: JobId, shares: ResultShares) -> ResultPart {
        let mut header = shares.header;
        header.attempt = 1;
        let (cluster, rows) = (self.cluster.info.cluster_id, header.rows);
        let vectors = (0..).zip(shares.vectors).map(|(index, v)| {
            let next = result_digest(cluster, job, 1, index, rows, party.next(), &v.next);
            ResultVector { component: v.own, next_digest: next.to_vec() }
        });
        ResultPart { vectors: vectors.collect(), header }
    }

    /// Runs `work` as the three parties of one attempt, under keys that were never used before.
    fn three_parties<T: Send>(
        &self,
        catalog: &Catalog,
        small: bool,
        work: impl Fn(&mut Session, &Store) -> Result<T, QueryError> + Sync,
    ) -> Result<[T; 3], EngineError> {
        let profile = trine_query::profile(catalog.net_profile);
        let pairs: [[u8; 32]; 3] = [random_id()?, random_id()?, random_id()?];
        let work = |party: usize, net: Arc<dyn Net>| {
            let keys = AttemptKeys::derive(&pairs[party], &pairs[(party + 2) % 3], b"1", b"1");
            work(&mut Session::new(party, net, keys, profile), &self.stores[party])
        };
        let outcomes = if small && profile.lanes <= 1 { fibers::run(work) } else { threads(work) };
        let mut results = Vec::with_capacity(3);
        let mut lost = None;
        for outcome in outcomes {
            match outcome {
                Some(Ok(result)) => results.push(result),
                Some(Err(QueryError::Sql(error))) => return Err(error.into()),
                Some(Err(error)) => lost = Some(lost.unwrap_or_else(|| internal(&error))),
                None => return Err(EngineError::new(sqlstate::INTERNAL_ERROR, "a party panicked")),
            }
        }
        <[T; 3]>::try_from(results).map_err(|_| {
            lost.unwrap_or_else(|| EngineError::new(sqlstate::INTERNAL_ERROR, "a party is missing"))
        })
    }
}

/// Runs `work` as each of the three parties, a thread each; none for one that panicked.
fn threads<T: Send>(work: impl Fn(usize, Arc<dyn Net>) -> T + Sync) -> [Option<T>; 3] {
    let mut parties = trine_mpc::testing::mesh().into_iter().enumerate();
    thread::scope(|scope| {
        let threads = [0, 1, 2].map(|_| {
            let (party, net) = parties.next()?;
            let (work, builder) = (&work, thread::Builder::new().stack_size(STACK_BYTES));
            builder.spawn_scoped(scope, move || work(party, net)).ok()
        });
        threads.map(|thread| thread?.join().ok())
    })
}

/// The answer to SHOW.
fn shown(settings: Vec<(String, String)>) -> Output {
    let value = |text: String| crate::value::Value::Text(text);
    match settings.as_slice() {
        [(name, setting)] => Output::result(vec![name.clone()], vec![vec![value(setting.clone())]]),
        _ => {
            let rows = settings.into_iter().map(|(n, s)| vec![value(n), value(s)]).collect();
            Output::result(vec!["name".into(), "setting".into()], rows)
        }
    }
}

/// Defaults and unique keys as nodes describe them.
fn wire_defaults(rules: &TableRules) -> wire::TableRules {
    let defaults = rules.defaults.iter().map(|(column, sql)| wire::DefaultRule {
        column: u32::try_from(*column).unwrap_or(u32::MAX),
        sql: sql.clone(),
    });
    let number = |column: &usize| u32::try_from(*column).unwrap_or(u32::MAX);
    let unique = rules.indexes.iter().filter(|i| i.unique && i.dropped.is_none());
    let indexes = unique.map(|i| wire::IndexRule {
        name: i.name.clone(),
        columns: i.columns.iter().map(number).collect(),
        unique: true,
        constraint: i.constraint,
    });
    let (defaults, indexes) = (defaults.collect(), indexes.collect());
    wire::TableRules { defaults, indexes, ..Default::default() }
}

fn internal(error: &dyn std::error::Error) -> EngineError {
    EngineError::new(sqlstate::INTERNAL_ERROR, error.to_string())
}
