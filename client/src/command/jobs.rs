//! `trine jobs`: queries outlive the connection that asked them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use trine_client::output::Format;
use trine_client::{Answer, Client, OutputColumn, Table, Value};
use trine_proto::ids::JobId;
use trine_proto::wire::JobEntry;
use trine_proto::wire::job_state::Kind;

use super::session::Session;
use super::{Failure, FormatName};

/// Characters of a statement in the list.
const SQL_SHOWN_MAX: usize = 60;

#[derive(Debug, Args)]
pub(super) struct Jobs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Your jobs (default)
    List,
    /// Wait until a job is done
    Watch {
        #[arg(value_parser = parse_job)]
        id: JobId,
    },
    /// Show a job's result
    Fetch {
        #[arg(value_parser = parse_job)]
        id: JobId,
        /// How the result is written
        #[arg(long, value_enum, default_value_t)]
        format: FormatName,
        /// Write the result to this file
        #[arg(short = 'o', value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Cancel a job
    Cancel {
        #[arg(value_parser = parse_job)]
        id: JobId,
    },
}

fn parse_job(text: &str) -> Result<JobId, String> {
    JobId::from_hex(text).ok_or_else(|| "32 hexadecimal digits are expected".to_owned())
}

impl Jobs {
    pub(super) async fn run(self, client: Client) -> Result<(), Failure> {
        match self.action.unwrap_or(Action::List) {
            Action::List => {
                let table = listed(client.jobs().await?);
                Session::new(client, Format::Table, None)?.write(&Answer::Rows(table))
            }
            Action::Watch { id } => {
                let mut session = Session::new(client, Format::Table, None)?;
                session.watch(id).await?;
                session.say("done")
            }
            Action::Fetch { id, format, output } => {
                let mut session = Session::new(client, format.into(), output.as_deref())?;
                session.watch(id).await?;
                let table = session.client.fetch(id).await?;
                session.write(&Answer::Rows(table))
            }
            Action::Cancel { id } => Ok(client.cancel(id).await?),
        }
    }
}

fn listed(jobs: Vec<JobEntry>) -> Table {
    let columns = vec![
        OutputColumn::text("job"),
        OutputColumn::text("state"),
        OutputColumn::text("statement"),
    ];
    let rows = jobs
        .into_iter()
        .map(|job| {
            let kind = job.state.as_ref().map_or(Kind::Unknown, |s| s.kind());
            let state = kind.as_str_name().to_lowercase();
            let error = job.state.and_then(|s| s.error).map(|e| format!("{state}: {}", e.message));
            vec![
                Value::Text(
                    JobId::from_slice(&job.job_id).map_or_else(String::new, |j| j.to_string()),
                ),
                Value::Text(error.unwrap_or(state)),
                Value::Text(shortened(&job.sql)),
            ]
        })
        .collect();
    Table { columns, rows, explain: None }
}

/// One line of at most so many characters.
fn shortened(sql: &str) -> String {
    let words: Vec<&str> = sql.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= SQL_SHOWN_MAX {
        return line;
    }
    line.chars().take(SQL_SHOWN_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_proto::wire::{Error, JobState};

    #[test]
    fn jobs_are_listed_with_state_and_statement() {
        let error = Error { message: "no x".into(), ..Default::default() };
        let state =
            JobState { kind: Kind::Failed.into(), error: Some(error), ..Default::default() };
        let sql = format!("select\n  {}", "x, ".repeat(50));
        let job = JobEntry { job_id: vec![0xab; 16], sql, state: Some(state) };
        let row: Vec<String> = listed(vec![job]).rows[0].iter().map(ToString::to_string).collect();
        assert_eq!(row[0], "ab".repeat(16));
        assert_eq!(row[1], "failed: no x");
        assert!(row[2].starts_with("select x, x") && row[2].ends_with('…'));
        assert_eq!(row[2].chars().count(), SQL_SHOWN_MAX);
    }
}
