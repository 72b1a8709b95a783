//! `trine load`: checks every cell on this machine, cuts, uploads, commits.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use trine_client::load::{Checked, LoadOptions, LoadProgress, Proposal, check, propose};
use trine_client::{Client, Committed, SqlError, random_id};
use trine_proto::ids::TransactionId;
use trine_proto::schema::TableSchema;
use trine_proto::status::sqlstate;

use super::Failure;
use super::interrupt::{canceled, interrupt};

#[derive(Debug, Args)]
pub(super) struct Load {
    /// CSV files; their first line names columns of the table
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The table to load into
    #[arg(long, value_name = "T")]
    table: String,
    /// Propose a schema from the files, ask, and create the table
    #[arg(long)]
    create: bool,
    /// Text that stands for NULL
    #[arg(long, value_name = "STR", default_value = "")]
    null: String,
    /// Write rows with a bad cell to this file and load the others
    #[arg(long, value_name = "FILE")]
    skip_bad: Option<PathBuf>,
    /// Create the table without asking
    #[arg(long)]
    yes: bool,
    /// Format of the files
    #[arg(long, value_enum, default_value_t)]
    format: FileFormat,
    /// Id of an earlier attempt whose outcome is not known: nothing is loaded twice
    #[arg(long, value_name = "HEX", value_parser = parse_transaction)]
    transaction: Option<TransactionId>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum FileFormat {
    /// RFC 4180
    #[default]
    Csv,
}

fn parse_transaction(text: &str) -> Result<TransactionId, String> {
    TransactionId::from_hex(text).ok_or_else(|| "32 hexadecimal digits are expected".to_owned())
}

impl Load {
    pub(super) async fn run(self, client: Client) -> Result<(), Failure> {
        let FileFormat::Csv = self.format;
        let schema = if self.create {
            self.propose_schema(&client).await?
        } else {
            client.schema(&self.table).await?
        };
        let started = Instant::now();
        let progress = Arc::new(LoadProgress::default());
        let bar = Bar::start(&progress);
        let checked = self.check(schema, &progress).await?;
        self.report_bad(&checked, &bar)?;
        if self.create {
            client.create_table(&checked.schema, false).await?;
            bar.say(&format!("created table {}", self.table));
        }
        let (skipped, rows) = (checked.bad_rows, checked.rows);
        let committed =
            if rows == 0 { None } else { Some(self.load(&client, checked, &progress).await?) };
        drop(bar);
        if let (Some(file), 1..) = (&self.skip_bad, skipped) {
            println!("{skipped} bad rows were written to {}", file.display());
        }
        if committed.is_some_and(|c| c.before) {
            println!("NOTICE:  this batch had been loaded before; nothing was loaded again");
            return Ok(());
        }
        println!("{}", final_line(rows, &self.table, started.elapsed()));
        Ok(())
    }

    async fn propose_schema(&self, client: &Client) -> Result<TableSchema, Failure> {
        match client.tables(&self.table).await {
            Ok(_) => {
                let message = format!("table \"{}\" already exists", self.table);
                return Err(SqlError::new(sqlstate::DUPLICATE_TABLE, message)
                    .hint("leave --create out to load into it")
                    .into());
            }
            Err(e) if e.sqlstate == sqlstate::UNDEFINED_TABLE => {}
            Err(e) => return Err(e.into()),
        }
        let (table, files, null) = (self.table.clone(), self.files.clone(), self.null.clone());
        let proposal = tokio::task::spawn_blocking(move || propose(&table, &files, &null))
            .await
            .map_err(io::Error::other)??;
        self.confirm(&proposal)?;
        Ok(proposal.schema)
    }

    /// Shows what will be created and what everybody will know, and asks.
    fn confirm(&self, proposal: &Proposal) -> Result<(), Failure> {
        println!("{};", proposal.sql());
        println!(
            "This becomes public, readable by every party and everybody who may see the table:"
        );
        println!("  names and types of the columns, the number of rows");
        for fact in &proposal.public {
            println!("  {fact}");
        }
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(SqlError::new(
                sqlstate::INVALID_PARAMETER,
                "nobody is there to agree to the proposed table",
            )
            .hint("read it, then add --yes, or write your own CREATE TABLE")
            .into());
        }
        print!("Create the table and load? [y/N] ");
        io::stdout().flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
            Ok(())
        } else {
            println!("Nothing was created, nothing was loaded.");
            Err(Failure::Reported)
        }
    }

    async fn check(
        &self,
        schema: TableSchema,
        progress: &Arc<LoadProgress>,
    ) -> Result<Checked, Failure> {
        let options = LoadOptions {
            null: self.null.clone(),
            skip_bad: self.skip_bad.clone(),
            ..LoadOptions::default()
        };
        let (files, progress) = (self.files.clone(), Arc::clone(progress));
        let work = tokio::task::spawn_blocking(move || check(&schema, &files, &options, &progress));
        tokio::select! {
            checked = work => Ok(checked.map_err(io::Error::other)??),
            // Nothing was sent yet; the reading thread ends with the process.
            () = interrupt() => Err(Failure::Interrupted),
        }
    }

    fn report_bad(&self, checked: &Checked, bar: &Bar) -> Result<(), Failure> {
        if checked.bad_cells == 0 {
            return Ok(());
        }
        for cell in &checked.bad {
            bar.say(&cell.to_string());
        }
        let more = checked.bad_cells - checked.bad.len() as u64;
        if more > 0 {
            bar.say(&format!("and {more} more"));
        }
        let total = format!("{} bad cells in {} rows", checked.bad_cells, checked.bad_rows);
        if self.skip_bad.is_some() {
            bar.say(&total);
            return Ok(());
        }
        Err(SqlError::new(sqlstate::BAD_COPY_FILE, format!("{total}; nothing was loaded"))
            .hint("correct the file, or set bad rows aside with --skip-bad FILE")
            .into())
    }

    async fn load(
        &self,
        client: &Client,
        checked: Checked,
        progress: &Arc<LoadProgress>,
    ) -> Result<Committed, Failure> {
        let id = match self.transaction {
            Some(id) => id,
            None => TransactionId(random_id()?),
        };
        let own = self.transaction.is_none();
        tokio::select! {
            committed = client.load(checked, id, own, Arc::clone(progress)) => Ok(committed?),
            () = interrupt() => {
                client.abort(id).await;
                // Commit and abort may have crossed: the first one in the log counts.
                match client.outcome_before(id).await {
                    Ok(Some(_)) => Err(canceled("the batch had been committed already").into()),
                    _ => Err(canceled("nothing was loaded").into()),
                }
            }
        }
    }
}

fn final_line(rows: u64, table: &str, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate for people to read")]
    let rate = if seconds > 0.0 { rows as f64 / seconds } else { 0.0 };
    format!("loaded {rows} rows into {table} in {seconds:.2} s ({rate:.0} rows/s)")
}

/// A progress bar on standard error, if that is a terminal.
struct Bar {
    bar: ProgressBar,
    ticker: tokio::task::JoinHandle<()>,
}

impl Bar {
    fn start(progress: &Arc<LoadProgress>) -> Self {
        let bar = ProgressBar::new(0);
        let template = "{percent:>3} % {wide_bar} {bytes}/{total_bytes} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let (shown, progress) = (bar.clone(), Arc::clone(progress));
        let ticker = tokio::spawn(async move {
            loop {
                shown.set_length(progress.bytes_total.load(Ordering::Relaxed));
                shown.set_position(progress.bytes_done.load(Ordering::Relaxed));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self { bar, ticker }
    }

    /// A line above the bar.
    fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.ticker.abort();
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_how_fast() {
        assert_eq!(
            final_line(1000, "t", Duration::from_millis(2500)),
            "loaded 1000 rows into t in 2.50 s (400 rows/s)"
        );
    }
}
