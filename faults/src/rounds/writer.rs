//! One client that writes batches of its own, changes and deletes them, and now and then reads, writes to
//! both tables in one transaction, or refreshes the shares of a table.

use super::verify::batches_of;
use super::{STATEMENT_WAIT, Shared, TABLES};
use crate::Random;
use crate::model::State;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use trine_client::Client;

/// Rows of one batch.
pub(super) const ROWS: i128 = 3;

/// Pause after a statement that failed.
const PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Writer {
    number: u64,
    writers: u64,
    next_batch: u64,
    random: Random,
    client: Arc<Client>,
    shared: Arc<Shared>,
}

impl Writer {
    /// `next_batch`: its remainder by `writers` is `number`.
    pub(super) const fn new(
        number: u64,
        writers: u64,
        next_batch: u64,
        random: Random,
        client: Arc<Client>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { number, writers, next_batch, random, client, shared }
    }

    /// Works until it is stopped; returns the number of its next batch.
    pub(super) async fn run(mut self) -> u64 {
        while !self.shared.stop.load(Ordering::SeqCst) {
            let table = usize::from(self.random.one_in(2));
            let choice = self.random.below(13);
            let own =
                self.shared.model(table).settled(i128::from(self.number), i128::from(self.writers));
            match choice {
                0..=4 => self.insert(table).await,
                5 | 6 if !own.is_empty() => {
                    let (batch, state) = *self.random.pick(&own);
                    let after = state.map(|(rows, sum)| (rows, sum + rows));
                    let sql =
                        format!("UPDATE {} SET v = v + 1 WHERE batch = {batch}", TABLES[table]);
                    self.write(table, batch, after, &sql).await;
                }
                7 | 8 if !own.is_empty() => {
                    let batch = self.random.pick(&own).0;
                    let sql = format!("DELETE FROM {} WHERE batch = {batch}", TABLES[table]);
                    self.write(table, batch, None, &sql).await;
                }
                10 | 11 => self.insert_both().await,
                12 => self.refresh(table).await,
                _ => self.read(table).await,
            }
        }
        self.next_batch
    }

    async fn insert(&mut self, table: usize) {
        let (batch, after, values) = self.new_batch();
        let sql = format!("INSERT INTO {} VALUES {values}", TABLES[table]);
        self.write(table, batch, after, &sql).await;
    }

    /// The next batch: its number, its state, and its rows as SQL.
    fn new_batch(&mut self) -> (i128, State, String) {
        let batch = i128::from(self.next_batch);
        self.next_batch += self.writers;
        let first = i128::from(self.random.below(1_000));
        let rows: Vec<String> =
            (0..ROWS).map(|i| format!("({batch}, {i}, {})", first + i)).collect();
        let after = Some((ROWS, (0..ROWS).map(|i| first + i).sum()));
        (batch, after, rows.join(", "))
    }

    /// One batch in both tables, or in none.
    async fn insert_both(&mut self) {
        let (batch, after, values) = self.new_batch();
        let inserts = TABLES.map(|table| format!("INSERT INTO {table} VALUES {values};"));
        let sql = format!("BEGIN; {} COMMIT", inserts.concat());
        (0..TABLES.len()).for_each(|table| self.shared.model(table).sent(batch, after));
        match tokio::time::timeout(STATEMENT_WAIT, self.client.execute(&sql)).await {
            Ok(Ok(_)) => {
                (0..TABLES.len()).for_each(|table| self.shared.model(table).acknowledged(batch));
                self.shared.acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Ok(Err(_)) => {
                self.shared.pairs().push(batch);
                self.failed().await;
            }
            Err(_) => self.shared.report(format!("hangs: {sql}")),
        }
    }

    /// Changes no row.
    async fn refresh(&self, table: usize) {
        let sql = format!("REFRESH SHARES {}", TABLES[table]);
        match tokio::time::timeout(STATEMENT_WAIT, self.client.execute(&sql)).await {
            Ok(Ok(_)) => drop(self.shared.acknowledged.fetch_add(1, Ordering::SeqCst)),
            Ok(Err(_)) => self.failed().await,
            Err(_) => self.shared.report(format!("hangs: {sql}")),
        }
    }

    async fn write(&self, table: usize, batch: i128, after: State, sql: &str) {
        self.shared.model(table).sent(batch, after);
        match tokio::time::timeout(STATEMENT_WAIT, self.client.execute(sql)).await {
            Ok(Ok(_)) => {
                self.shared.model(table).acknowledged(batch);
                self.shared.acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Ok(Err(_)) => self.failed().await,
            Err(_) => self.shared.report(format!("hangs: {sql}")),
        }
    }

    /// While a node is away most statements fail at once.
    async fn failed(&self) {
        self.shared.failed.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(PAUSE).await;
    }

    /// What is visible is whole, whoever writes meanwhile.
    async fn read(&self, table: usize) {
        let reading = batches_of(&self.client, TABLES[table]);
        match tokio::time::timeout(STATEMENT_WAIT, reading).await {
            Ok(Ok(batches)) => {
                let half = batches.iter().find(|(_, (rows, _))| *rows != ROWS);
                if let Some((batch, (rows, _))) = half {
                    self.shared.report(format!("batch {batch} shows {rows} of {ROWS} rows"));
                }
            }
            Ok(Err(_)) => self.failed().await,
            Err(_) => self.shared.report(format!("hangs: a query of {}", TABLES[table])),
        }
    }
}
