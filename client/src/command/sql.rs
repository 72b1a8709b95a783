//! `trine sql`: -c, -f, standard input, or the shell.

use std::io::{self, BufRead, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use tokio::runtime::Runtime;
use trine_client::Client;
use trine_client::statement::is_complete;

use super::session::Session;
use super::{Failure, FormatName, meta, shell};

#[derive(Debug, Args)]
pub(super) struct Sql {
    /// Run this text
    #[arg(short = 'c', value_name = "SQL", conflicts_with = "file")]
    command: Option<String>,
    /// Run this file; stops at the first error
    #[arg(short = 'f', value_name = "FILE")]
    file: Option<PathBuf>,
    /// How results are written
    #[arg(long, value_enum, default_value_t)]
    format: FormatName,
    /// Write results to this file
    #[arg(short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Sql {
    pub(super) fn run(self, runtime: &Runtime, client: Client) -> Result<(), Failure> {
        let mut session = Session::new(client, self.format.into(), self.output.as_deref())?;
        let text = match (self.command, self.file) {
            (Some(text), _) => text,
            (None, Some(file)) => std::fs::read_to_string(&file).map_err(|e| {
                io::Error::new(e.kind(), format!("cannot read {}: {e}", file.display()))
            })?,
            (None, None) if io::stdin().is_terminal() => return shell::run(runtime, session),
            (None, None) => {
                let outcome = run_stream(runtime, &mut session, io::stdin().lock());
                runtime.block_on(session.leave());
                return outcome;
            }
        };
        let outcome = runtime.block_on(run_script(&mut session, &text)).map(|_| ());
        runtime.block_on(session.leave());
        outcome
    }
}

/// Runs a text in which lines that start with a backslash, between statements, are commands of the
/// shell. False if `\q` ended it.
pub(super) async fn run_script(session: &mut Session, text: &str) -> Result<bool, Failure> {
    for part in parts(text) {
        match part {
            Part::Sql(sql) => session.run_text(&sql).await?,
            Part::Meta(line) => {
                if !Box::pin(meta::run(session, &line)).await? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// Runs every statement as soon as its semicolon has come, so that a program at the other end of a pipe
/// may wait for an answer before it asks on. Positions count from the statement's first line.
fn run_stream(
    runtime: &Runtime,
    session: &mut Session,
    mut input: impl BufRead,
) -> Result<(), Failure> {
    while let Some(text) = next_text(&mut input)? {
        if !runtime.block_on(run_script(session, &text))? {
            break;
        }
    }
    Ok(())
}

/// The next lines that can be run: up to one that ends a statement, or a line of the shell's.
fn next_text(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut text = String::new();
    loop {
        let before = text.len();
        if input.read_line(&mut text)? == 0 {
            return Ok((!text.is_empty()).then_some(text));
        }
        let line = &text[before..];
        if line.trim_start().starts_with('\\') && is_complete(&text[..before])
            || line.contains(';') && is_complete(&text)
        {
            return Ok(Some(text));
        }
    }
}

#[derive(Debug, PartialEq)]
enum Part {
    /// Statements, with everything before them blanked out so that positions count in the script.
    Sql(String),
    /// A line that starts with a backslash.
    Meta(String),
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut before = String::new();
    let mut pending = String::new();
    let flush = |before: &mut String, pending: &mut String, parts: &mut Vec<Part>| {
        if !pending.trim().is_empty() {
            parts.push(Part::Sql(format!("{before}{pending}")));
        }
        before.extend(pending.drain(..).map(|c| if c == '\n' { '\n' } else { ' ' }));
    };
    for line in text.split_inclusive('\n') {
        let is_meta = line.trim_start().starts_with('\\');
        if is_meta && is_complete(&pending) {
            flush(&mut before, &mut pending, &mut parts);
            parts.push(Part::Meta(line.trim().to_owned()));
            before.extend(line.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            pending.push_str(line);
        }
    }
    flush(&mut before, &mut pending, &mut parts);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backslash_lines_stand_between_statements() {
        let sql = |s: &str| Part::Sql(s.to_owned());
        let meta = |s: &str| Part::Meta(s.to_owned());
        let text = "select 1;\n\\timing on\nselect 'é\n\\x\n';\n \\q\n";
        assert_eq!(
            parts(text),
            [
                sql("select 1;\n"),
                meta("\\timing on"),
                sql("         \n          \nselect 'é\n\\x\n';\n"),
                meta("\\q"),
            ]
        );
        assert_eq!(parts("select 1"), [sql("select 1")]);
        assert!(parts(" \n").is_empty());
    }

    #[test]
    fn a_stream_is_cut_after_statements() {
        let text = "select\n1; -- one\nselect 'a;\n\\x\n'; select 2;\n-- note\n\\timing\nselect 3";
        let mut input = text.as_bytes();
        let mut texts = Vec::new();
        while let Some(text) = next_text(&mut input).unwrap() {
            texts.push(text);
        }
        assert_eq!(
            texts,
            [
                "select\n1; -- one\n",
                "select 'a;\n\\x\n'; select 2;\n",
                "-- note\n\\timing\n",
                "select 3"
            ]
        );
    }
}
