//! A batch on its way: three streams, three receipts, one signed Commit. All or nothing: until the
//! Commit is in the log nobody sees a row, and after it everybody sees all of them.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use trine_proto::command::{RECEIPT_DOMAIN, SignedBytes};
use trine_proto::ids::{JobId, LogIndex, TransactionId};
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::client_command::Command;
use trine_proto::wire::ingest_client::IngestClient;
use trine_proto::wire::transaction_client::TransactionClient;
use trine_proto::wire::transaction_state::Kind;
use trine_proto::wire::upload_message::Message;
use trine_proto::wire::{self, SignedReceipt, TransactionRef, TransactionState, UploadMessage};

use crate::block::TransactionBlock;
use crate::catalog::TableDefinition;
use crate::client::{Client, VALIDATING};
use crate::connect::is_connection_error;
use crate::cut::{NodePart, cut_rows};
use crate::encode::{Cell, CellError, ColumnEncoder};
use crate::random::random_id;
use crate::statement::{Given, Insert};
use crate::value::Answer;
use crate::write::explained;

/// Chunks that wait for the network, for each node.
const QUEUED_CHUNKS: usize = 2;
/// How long to ask for the outcome of a Commit whose answer was lost.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one question for the state of a transaction may wait at the node.
const STATE_WAIT_MS: u64 = 5_000;

/// Where the messages for the three nodes go. Sending blocks while a node is slow.
pub(crate) type Streams = [mpsc::Sender<UploadMessage>; 3];

/// A batch that is visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its transaction.
    pub transaction: TransactionId,
    /// From this log position on.
    pub log_index: LogIndex,
    /// It had been committed before: nothing was loaded again.
    pub before: bool,
}

impl Client {
    /// Inserts rows of literals.
    pub(crate) async fn insert(
        &self,
        insert: Insert,
        block: &mut TransactionBlock,
        within: Option<wire::Within>,
    ) -> Result<Answer, SqlError> {
        let known = self.definition(&insert.table).await;
        let mut known = known.map_err(|e| placed(e, insert.position))?;
        // Another client may have altered the table: a batch of other columns the nodes refuse, but
        // nobody would notice a default of before.
        if takes_defaults(&insert, &known) || arrange(&known, &insert).is_err() {
            let fresh = self.fresh_definition(&insert.table).await;
            known = fresh.map_err(|e| placed(e, insert.position))?;
        }
        let rows = arrange(&known, &insert)?;
        let outcome = self.insert_rows(&known.schema, &rows, block, within.clone()).await;
        // The schema that was known may have been replaced meanwhile by another client.
        let outcome = match outcome {
            Err(error) if !is_connection_error(&error) => {
                let fresh = self
                    .fresh_definition(&insert.table)
                    .await
                    .map_err(|e| placed(e, insert.position))?;
                if fresh == known {
                    return Err(error);
                }
                let rows = arrange(&fresh, &insert)?;
                self.insert_rows(&fresh.schema, &rows, block, within).await
            }
            other => other,
        };
        outcome?;
        Ok(Answer::Done { tag: "INSERT".into(), rows: Some(rows.len() as u64), notice: None })
    }

    async fn insert_rows(
        &self,
        schema: &trine_proto::schema::TableSchema,
        rows: &[Vec<Cell>],
        block: &mut TransactionBlock,
        within: Option<wire::Within>,
    ) -> Result<Committed, SqlError> {
        let transaction = TransactionId(random_id()?);
        block.running = Some(transaction);
        let parts = cut_rows(schema, rows, self.config.cluster_id, transaction)?;
        self.upload(transaction, true, within, move |streams| send_parts(parts, &streams)).await
    }

    /// Stages what `produce` sends and commits it. `fresh`: the id is this attempt's own, so that a
    /// failure may abort it. Inside an open transaction the batch joins that.
    pub(crate) async fn upload<F>(
        &self,
        transaction: TransactionId,
        fresh: bool,
        within: Option<wire::Within>,
        produce: F,
    ) -> Result<Committed, SqlError>
    where
        F: FnOnce(Streams) -> Result<(), SqlError> + Send + 'static,
    {
        let receipts = match self.stage(produce).await {
            Ok(receipts) => receipts,
            Err(error) => {
                if fresh {
                    self.abort(transaction).await;
                } else if let Ok(before) = self.outcome_before(transaction).await
                    && let Some(committed) = before
                {
                    return Ok(committed);
                }
                return Err(error);
            }
        };
        let commit = wire::Commit { transaction_id: transaction.0.to_vec(), receipts, within };
        let committed = |log_index| Committed { transaction, log_index, before: false };
        match self.propose(Command::Commit(commit)).await {
            Ok(outcome) if outcome.note == VALIDATING => {
                let state = self.final_state(transaction, None).await;
                match state {
                    Err(e) if e.sqlstate == sqlstate::INTEGRITY_VIOLATION => {
                        // Which constraint it was only the client can find out.
                        let report = self.fetch(JobId(transaction.0)).await;
                        Err(report.map_or_else(|_| e.clone(), |r| explained(e.clone(), &r)))
                    }
                    state => state.map(committed),
                }
            }
            Ok(outcome) => Ok(committed(LogIndex(outcome.log_index))),
            Err(error) if is_connection_error(&error) => {
                self.final_state(transaction, Some(error)).await.map(committed)
            }
            Err(error) => {
                if fresh {
                    self.abort(transaction).await;
                }
                Err(error)
            }
        }
    }

    pub(crate) async fn stage<F>(&self, produce: F) -> Result<Vec<SignedReceipt>, SqlError>
    where
        F: FnOnce(Streams) -> Result<(), SqlError> + Send + 'static,
    {
        // All three or none: a node that is down is found out before anything is sent.
        try_join_all(self.nodes.iter().map(crate::connect::Node::channel)).await?;
        let mut senders = Vec::with_capacity(3);
        let uploads: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                let (sender, receiver) = mpsc::channel(QUEUED_CHUNKS);
                senders.push(sender);
                node.call(|channel| async move {
                    IngestClient::new(channel).upload(ReceiverStream::new(receiver)).await
                })
            })
            .collect();
        let streams: Streams = senders.try_into().map_err(|_| bug("three streams"))?;
        let producer = tokio::task::spawn_blocking(move || produce(streams));
        let uploaded = try_join_all(uploads).await;
        // By now the streams are closed, so that the producer ends.
        let produced = producer.await.map_err(|_| bug("the cutting thread"))?;
        match (produced, uploaded) {
            (Err(e), _) if e.sqlstate != STREAM_CLOSED => Err(e),
            (_, Err(e)) => Err(e),
            (Err(_), Ok(_)) => Err(bug("a stream")),
            (Ok(()), Ok(receipts)) => {
                for (receipt, node) in receipts.iter().zip(&self.nodes) {
                    check_receipt(receipt, node.key()).map_err(|()| {
                        SqlError::new(
                            sqlstate::DATA_CORRUPTED,
                            format!(
                                "{} answered with a receipt that is not signed by it",
                                node.name()
                            ),
                        )
                    })?;
                }
                Ok(receipts)
            }
        }
    }

    /// Gives a transaction up, as far as nodes can be reached. What is not aborted here the nodes
    /// abort by themselves later.
    pub async fn abort(&self, transaction: TransactionId) {
        let abort = wire::Abort { transaction_id: transaction.0.to_vec() };
        let attempt = self.propose(Command::Abort(abort));
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(5), attempt).await {
            tracing::debug!(%transaction, %error, "transaction was not aborted");
        }
    }

    /// The outcome of an earlier upload under the same id, if there is one: waits for its
    /// validation.
    ///
    /// # Errors
    /// What refused the earlier upload.
    pub async fn outcome_before(
        &self,
        transaction: TransactionId,
    ) -> Result<Option<Committed>, SqlError> {
        let state = self.transaction_state(transaction, 0).await?;
        let log_index = match state.kind() {
            Kind::Unknown | Kind::Staged | Kind::Open => return Ok(None),
            Kind::Committed | Kind::Joined => LogIndex(state.log_index),
            Kind::Validating | Kind::Aborted => self.final_state(transaction, None).await?,
        };
        Ok(Some(Committed { transaction, log_index, before: true }))
    }

    pub(crate) async fn transaction_state(
        &self,
        transaction: TransactionId,
        wait_ms: u64,
    ) -> Result<TransactionState, SqlError> {
        let question = TransactionRef { transaction_id: transaction.0.to_vec(), wait_ms };
        let state = self
            .any(|channel| {
                let question = question.clone();
                async move { TransactionClient::new(channel).state(question).await }
            })
            .await?;
        self.saw(state.log_index);
        Ok(state)
    }

    /// Waits until a transaction is committed or aborted. `lost`: the answer to the Commit was lost
    /// with this error, so that it may never have reached the log.
    pub(crate) async fn final_state(
        &self,
        transaction: TransactionId,
        lost: Option<SqlError>,
    ) -> Result<LogIndex, SqlError> {
        let started = Instant::now();
        loop {
            let state = self.transaction_state(transaction, STATE_WAIT_MS).await;
            match state.as_ref().map(TransactionState::kind) {
                Ok(Kind::Committed | Kind::Joined) => return state.map(|s| LogIndex(s.log_index)),
                Ok(Kind::Aborted) => {
                    let error = state?.error.map(SqlError::from);
                    return Err(error.unwrap_or_else(|| {
                        SqlError::new(sqlstate::SERIALIZATION_FAILURE, "the batch was given up")
                    }));
                }
                Ok(Kind::Validating) => {}
                _ if started.elapsed() > OUTCOME_TIMEOUT => {
                    let mut error = match state {
                        Err(e) => e,
                        Ok(_) => lost.unwrap_or_else(|| {
                            SqlError::new(sqlstate::CONNECTION_FAILURE, "the batch is not known")
                        }),
                    };
                    error.hint = format!(
                        "whether the batch was committed is not known; load the same file again with \
                         --transaction {transaction}: nothing is loaded twice"
                    );
                    return Err(error);
                }
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }
}

/// Says that a node closed its stream: that node's own error is the one to report.
const STREAM_CLOSED: &str = "TRN01";

fn bug(what: &str) -> SqlError {
    SqlError::new(sqlstate::INTERNAL_ERROR, format!("{what} ended early"))
}

/// The error at this position, unless it has one already.
pub(crate) fn placed(error: SqlError, position: u32) -> SqlError {
    if error.position == 0 { error.at(position) } else { error }
}

fn check_receipt(receipt: &SignedReceipt, key: [u8; 32]) -> Result<(), ()> {
    let signed = SignedBytes {
        body: receipt.body.clone(),
        public_key: key,
        signature: receipt.signature.clone(),
    };
    signed.verify(RECEIPT_DOMAIN).map_err(|_| ())
}

/// Sends one message to one node; blocks while its queue is full.
pub(crate) fn send(stream: &mpsc::Sender<UploadMessage>, message: Message) -> Result<(), SqlError> {
    stream
        .blocking_send(UploadMessage { message: Some(message) })
        .map_err(|_| SqlError::new(STREAM_CLOSED, "a node closed its stream"))
}

pub(crate) fn send_parts(parts: [NodePart; 3], streams: &Streams) -> Result<(), SqlError> {
    let mut chunks = Vec::with_capacity(3);
    for (part, stream) in parts.into_iter().zip(streams) {
        send(stream, Message::Header(part.header))?;
        chunks.push(part.chunks.into_iter());
    }
    // Round by round, so that no node waits for another's whole part.
    loop {
        let mut sent = false;
        for (chunks, stream) in chunks.iter_mut().zip(streams) {
            if let Some(chunk) = chunks.next() {
                send(stream, Message::Chunk(chunk))?;
                sent = true;
            }
        }
        if !sent {
            return Ok(());
        }
    }
}

/// The values of an INSERT as rows in the order of the schema, checked; what is not named is its
/// default, else NULL.
///
/// # Errors
/// An unknown column, a wrong number of values, or a cell that does not fit, at its place.
pub fn arrange(table: &TableDefinition, insert: &Insert) -> Result<Vec<Vec<Cell>>, SqlError> {
    let schema = &table.schema;
    let width = insert.rows.first().map_or(0, Vec::len);
    let first_position = |at: usize| {
        insert.rows.first().and_then(|r| r.get(at)).map_or(insert.position, |(_, p)| *p)
    };
    let targets: Vec<usize> = match &insert.columns {
        None => (0..schema.columns.len().min(width)).collect(),
        Some(columns) => columns
            .iter()
            .map(|(name, position)| {
                schema.position(name).ok_or_else(|| {
                    SqlError::new(
                        sqlstate::UNDEFINED_COLUMN,
                        format!("column \"{name}\" of table \"{}\" does not exist", schema.name),
                    )
                    .at(*position)
                })
            })
            .collect::<Result<_, _>>()?,
    };
    let syntax = |message: &str, at| SqlError::new(sqlstate::SYNTAX_ERROR, message).at(at);
    if width > targets.len() {
        let at = first_position(targets.len());
        return Err(syntax("INSERT has more values than target columns", at));
    }
    if let Some((_, position)) = insert.columns.as_ref().and_then(|c| c.get(width)) {
        return Err(syntax("INSERT has more target columns than values", *position));
    }
    let encoders: Vec<ColumnEncoder> = schema.columns.iter().map(ColumnEncoder::new).collect();
    let failed = |column: usize, e: CellError, position| {
        e.of_column(&schema.columns[column].name).at(position)
    };
    let default = |column: usize| table.defaults.get(&column).cloned().unwrap_or(Cell::Null);
    let base: Vec<Cell> = (0..schema.columns.len()).map(default).collect();
    for (i, encoder) in encoders.iter().enumerate().filter(|(i, _)| !targets.contains(i)) {
        encoder.cell(&base[i]).map_err(|e| failed(i, e, insert.position))?;
    }
    let mut rows = Vec::with_capacity(insert.rows.len());
    for given in &insert.rows {
        let mut row = base.clone();
        for (&target, (value, position)) in targets.iter().zip(given) {
            if let Given::Cell(cell) = value {
                row[target] = cell.clone();
            }
            encoders[target].cell(&row[target]).map_err(|e| failed(target, e, *position))?;
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Whether a row gets a value that the statement does not give.
fn takes_defaults(insert: &Insert, table: &TableDefinition) -> bool {
    let width = table.schema.columns.len();
    insert.rows.iter().any(|row| {
        row.len() < width || row.iter().any(|(given, _)| matches!(given, Given::Default))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{Statement, parse_all};
    use prost::Message as _;
    use trine_proto::ids::ClusterId;

    fn table() -> TableDefinition {
        defined("create table t (a int not null, b varchar(20), c decimal(8,2), d date)")
    }

    fn defined(sql: &str) -> TableDefinition {
        match parse_all(sql).unwrap().remove(0) {
            Statement::CreateTable { schema, rules, .. } => {
                TableDefinition::new(schema, &rules).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    fn insert(sql: &str) -> Insert {
        match parse_all(sql).unwrap().remove(0) {
            Statement::Insert(insert) => insert,
            other => panic!("{other:?}"),
        }
    }

    fn refused(sql: &str) -> (String, u32, String) {
        let e = arrange(&table(), &insert(sql)).unwrap_err();
        (e.sqlstate, e.position, e.message)
    }

    #[test]
    fn literals_go_to_their_columns() {
        let rows =
            arrange(&table(), &insert("insert into t (d, a) values (date '1970-01-02', -5)"));
        let cells = vec![Cell::Number("-5".into()), Cell::Null, Cell::Null, Cell::Date(1)];
        assert!(rows.unwrap() == vec![cells]);
        let rows = arrange(&table(), &insert("insert into t values (1, 'x'), (2, null)")).unwrap();
        assert_eq!(rows.len(), 2);
        assert!(rows[1] == vec![Cell::Number("2".into()), Cell::Null, Cell::Null, Cell::Null]);
    }

    #[test]
    fn defaults_stand_for_what_is_not_given() {
        let table = defined(
            "create table t (a int default 1+1, b varchar(9) default 'x' not null, c date default \
             '2024-02-29', d boolean)",
        );
        let rows = |sql: &str| arrange(&table, &insert(sql)).unwrap();
        let base = vec![
            Cell::Number("2".into()),
            Cell::Text("x".into()),
            Cell::Text("2024-02-29".into()),
            Cell::Null,
        ];
        assert!(rows("insert into t default values") == vec![base.clone()]);
        assert!(rows("insert into t values (default)") == vec![base.clone()]);
        let mut other = base.clone();
        other[3] = Cell::Bool(true);
        other[0] = Cell::Null;
        let both = rows("insert into t (d, a) values (true, null), (default, default)");
        assert!(both == vec![other, base]);
        let e = arrange(&table, &insert("insert into t (b) values (null)")).unwrap_err();
        assert_eq!((e.sqlstate.as_str(), e.position), ("23502", 27));
    }

    #[test]
    fn an_error_points_at_its_literal() {
        let (state, at, message) = refused("insert into t values (1, 'x'), (99999999999, 'y')");
        assert_eq!((state.as_str(), at), ("22003", 33));
        assert_eq!(message, "column \"a\": out of range for INT");
        assert_eq!(refused("insert into t (a, e) values (1, 2)").0, "42703");
        assert_eq!(refused("insert into t (a, e) values (1, 2)").1, 19);
        assert_eq!(refused("insert into t (b) values ('x')").0, "23502");
        assert_eq!(refused("insert into t values (null)").1, 23);
        assert_eq!(refused("insert into t (a, b) values (1)").1, 19);
        assert_eq!(refused("insert into t (a) values (1, 2)").1, 30);
        assert_eq!(refused("insert into t values (1, 'x', 1.005)").0, "22003");
    }

    #[test]
    fn no_message_holds_a_literal_of_an_insert() {
        let sql = "insert into t values (1879048193, 'SENTINELTEXT', 4711.17, date '2021-12-03')";
        let rows = arrange(&table(), &insert(sql)).unwrap();
        let ids = (ClusterId([1; 16]), TransactionId([2; 16]));
        let parts = cut_rows(&table().schema, &rows, ids.0, ids.1).unwrap();
        let days = crate::encode::parse_date(b"2021-12-03").unwrap();
        let low = i64::from(i32::MIN);
        let sentinels: Vec<Vec<u8>> = vec![
            b"SENTINELTEXT".to_vec(),
            b"TXETLENITNES".to_vec(),
            b"1879048193".to_vec(),
            b"2021-12-03".to_vec(),
            b"4711".to_vec(),
            1_879_048_193_i64.to_le_bytes().to_vec(),
            (1_879_048_193_i64 - low).to_le_bytes()[..5].to_vec(),
            471_117_i64.to_le_bytes().to_vec(),
            (i64::from(days) - low).to_le_bytes()[..5].to_vec(),
        ];
        for part in parts {
            let mut sent = part.header.encode_to_vec();
            for chunk in part.chunks {
                sent.extend(chunk.encode_to_vec());
            }
            for sentinel in &sentinels {
                assert!(!sent.windows(sentinel.len()).any(|w| w == sentinel), "{sentinel:?}");
            }
        }
        assert!(!format!("{:?}", parse_all(sql).unwrap()).contains("SENTINEL"));
    }
}
