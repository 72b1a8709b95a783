//! What runs statements for the shell and for scripts alike: a client, how to write, where to.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use trine_client::explain::short_bytes;
use trine_client::output::{Format, write_table};
use trine_client::statement::{self, Statement};
use trine_client::{Answer, Client, JobProgress, SqlError, Table, TransactionBlock};
use trine_proto::ids::JobId;

use super::Failure;
use super::interrupt::{canceled, interrupt, unless_interrupted};

/// How often the progress line is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// Jobs that end sooner show no progress line.
const DRAW_AFTER: Duration = Duration::from_millis(400);

/// See the module.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) format: Format,
    /// Says how long each statement took.
    pub(super) timing: bool,
    /// The open transaction, if there is one.
    pub(super) block: TransactionBlock,
    out: Box<dyn Write>,
}

impl Session {
    /// Writes to a file, or to standard output.
    pub(super) fn new(client: Client, format: Format, to: Option<&Path>) -> Result<Self, Failure> {
        let out: Box<dyn Write> = match to {
            Some(path) => Box::new(io::BufWriter::new(File::create(path).map_err(|e| {
                io::Error::new(e.kind(), format!("cannot write {}: {e}", path.display()))
            })?)),
            None => Box::new(io::stdout()),
        };
        let block = TransactionBlock::default();
        Ok(Self { client, format, timing: false, block, out })
    }

    /// Runs the statements of a text in order, stops at the first error; its position counts in the
    /// text.
    pub(super) async fn run_text(&mut self, text: &str) -> Result<(), Failure> {
        let failed = |e: SqlError| Failure::Sql(e, text.to_owned());
        for fragment in statement::split(text).map_err(failed)? {
            let started = Instant::now();
            let parsed = statement::parse(&fragment).inspect_err(|_| self.block.fails());
            let statement = parsed.map_err(failed)?;
            let answer = self.run_statement(statement).await.map_err(failed)?;
            self.write(&answer)?;
            if self.timing {
                writeln!(self.out, "Time: {:.3} ms", started.elapsed().as_secs_f64() * 1000.0)?;
            }
            self.out.flush()?;
        }
        Ok(())
    }

    async fn run_statement(&mut self, statement: Statement) -> Result<Answer, SqlError> {
        let statement = self.client.resolved(statement).inspect_err(|_| self.block.fails())?;
        match statement {
            Statement::Ask(asked) => {
                let within = self.block.begins(false)?;
                let job = self.client.submit_asked_in(&asked, within).await?;
                self.watch(job).await.map_err(|e| asked.placed(e))?;
                let table = self.client.fetch(job).await?;
                self.block.ended(false);
                Ok(Answer::Rows(table))
            }
            Statement::Query { sql, offset } => {
                self.query(&sql).await.map(Answer::Rows).map_err(|mut e| {
                    if e.position > 0 {
                        e.position += offset;
                    }
                    e
                })
            }
            other => {
                let run = self.client.run_in(&mut self.block, other);
                match unless_interrupted(run).await {
                    Some(outcome) => outcome,
                    None => Err(self.give_up().await),
                }
            }
        }
    }

    /// Ends a statement that was interrupted, at the nodes too.
    pub(super) async fn give_up(&mut self) -> SqlError {
        let given_up = self.client.give_up_running(&mut self.block);
        match unless_interrupted(given_up).await {
            Some(Ok(true)) => canceled("the statement changed nothing"),
            _ => canceled(
                "whether the statement took effect is not known; look before you repeat it",
            ),
        }
    }

    /// Rolls back what is left open at the end.
    pub(super) async fn leave(&mut self) {
        match self.client.leave(&mut self.block).await {
            Ok(false) => {}
            Ok(true) => eprintln!("NOTICE:  the open transaction was rolled back"),
            Err(e) => eprintln!("NOTICE:  the open transaction was not rolled back: {e}"),
        }
    }

    async fn query(&mut self, sql: &str) -> Result<Table, SqlError> {
        let within = self.block.begins(false)?;
        let job = self.client.submit_in(sql, within).await?;
        self.watch(job).await?;
        let table = self.client.fetch(job).await?;
        self.block.ended(false);
        Ok(table)
    }

    /// Waits for a job with a progress line on a terminal; Ctrl-C cancels it.
    pub(super) async fn watch(&self, job: JobId) -> Result<(), SqlError> {
        let (sender, receiver) = watch::channel(JobProgress::default());
        let wait = self.client.wait(job, Some(&sender));
        tokio::pin!(wait);
        tokio::select! {
            outcome = &mut wait => return outcome,
            () = draw(receiver) => {}
            () = interrupt() => {}
        }
        self.client.cancel(job).await?;
        // The job may have ended before; then its result stays to be fetched.
        match unless_interrupted(wait).await {
            Some(Ok(())) => Err(canceled(&format!("the job had ended: `trine jobs fetch {job}`"))),
            Some(Err(error)) => Err(error),
            None => Err(canceled("the nodes have not confirmed it yet")),
        }
    }

    /// Writes an answer.
    pub(super) fn write(&mut self, answer: &Answer) -> Result<(), Failure> {
        match answer {
            Answer::Rows(table) => write_table(&mut self.out, table, self.format)?,
            Answer::Done { tag, rows, notice } => {
                if let Some(notice) = notice {
                    eprintln!("NOTICE:  {notice}");
                }
                // Machines read the other formats: they get results only.
                if matches!(self.format, Format::Table | Format::Expanded) {
                    match rows {
                        // As psql does: an object id that nobody has any more.
                        Some(rows) if tag == "INSERT" => writeln!(self.out, "{tag} 0 {rows}")?,
                        Some(rows) => writeln!(self.out, "{tag} {rows}")?,
                        None => writeln!(self.out, "{tag}")?,
                    }
                }
            }
        }
        self.out.flush()?;
        Ok(())
    }

    /// Writes a line of text.
    pub(super) fn say(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{text}")?;
        Ok(())
    }
}

/// Draws the progress line on standard error, if that is a terminal; ends never.
async fn draw(progress: watch::Receiver<JobProgress>) {
    let started = Instant::now();
    tokio::time::sleep(DRAW_AFTER).await;
    let line = Line(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        line.0.set_style(style);
    }
    loop {
        line.0.set_message(progress_text(&progress.borrow(), started.elapsed()));
        line.0.tick();
        tokio::time::sleep(DRAW_EVERY).await;
    }
}

/// A line that is wiped out however its drawing ends.
struct Line(ProgressBar);

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn progress_text(p: &JobProgress, elapsed: Duration) -> String {
    let seconds = format!("{:.1} s", elapsed.as_secs_f64());
    if p.queued {
        return format!("waiting for its turn, {seconds}");
    }
    let percent = (100 * u64::from(p.operators_done)).checked_div(u64::from(p.operators_total));
    match percent {
        None => format!("starting, {seconds}"),
        Some(percent) => format!(
            "{percent} %, operator {}/{} {}, {}, {seconds}",
            p.operators_done + u32::from(p.operators_done < p.operators_total),
            p.operators_total,
            p.operator,
            short_bytes(p.bytes_sent)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_line_says_how_far() {
        let elapsed = Duration::from_millis(2340);
        let mut p = JobProgress { queued: true, ..Default::default() };
        assert_eq!(progress_text(&p, elapsed), "waiting for its turn, 2.3 s");
        p.queued = false;
        assert_eq!(progress_text(&p, elapsed), "starting, 2.3 s");
        p.operators_total = 8;
        p.operators_done = 2;
        p.operator = "SortAggregate".into();
        p.bytes_sent = 12_300_000;
        assert_eq!(progress_text(&p, elapsed), "25 %, operator 3/8 SortAggregate, 12.3 MB, 2.3 s");
    }
}
