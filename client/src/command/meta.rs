//! The shell's commands that start with a backslash.

use std::path::PathBuf;
use std::sync::Arc;

use trine_client::load::{LoadOptions, LoadProgress, check};
use trine_client::output::Format;
use trine_client::statement::Statement;
use trine_client::{Answer, SqlError, describe_rules, describe_table};
use trine_proto::status::sqlstate;

use super::Failure;
use super::interrupt::unless_interrupted;
use super::session::Session;
use super::sql::run_script;

const HELP: &str = "\
\\d            list tables            \\dt           the same
\\d TABLE      columns, encodings, constraints, who may read
\\i FILE       run a file             \\x [on|off]   one value a line
\\copy TABLE from FILE                load a CSV file, as `trine load` does; joins an open transaction
\\timing       show how long a statement takes
\\q            leave                  \\?            this help
A statement ends with a semicolon. Ctrl-C cancels a running query.";

/// Runs one command. False if it is `\q`.
pub(super) async fn run(session: &mut Session, line: &str) -> Result<bool, Failure> {
    let line = line.trim().trim_end_matches(';');
    let (command, argument) = match line.split_once(char::is_whitespace) {
        Some((command, argument)) => (command, argument.trim()),
        None => (line, ""),
    };
    match (command, argument) {
        ("\\q", _) => return Ok(false),
        ("\\?" | "\\h", _) => session.say(HELP)?,
        ("\\d" | "\\dt", "") => {
            let answer = session.client.run(Statement::ShowTables).await?;
            session.write(&answer)?;
        }
        ("\\d" | "\\dt", table) => describe(session, table).await?,
        ("\\timing", argument) => {
            session.timing = switched(argument, session.timing)?;
            session.say(if session.timing { "Timing is on." } else { "Timing is off." })?;
        }
        ("\\x", argument) => {
            let on = switched(argument, session.format == Format::Expanded)?;
            session.format = if on { Format::Expanded } else { Format::Table };
            session.say(if on { "Expanded display is on." } else { "Expanded display is off." })?;
        }
        ("\\i", "") => return Err(misused("\\i takes the name of a file")),
        ("\\i", file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|e| misused(&format!("cannot read {file}: {e}")))?;
            return Box::pin(run_script(session, &text)).await;
        }
        ("\\copy", argument) => copy(session, argument).await?,
        (other, _) => return Err(misused(&format!("there is no command {other}; \\? lists them"))),
    }
    Ok(true)
}

/// `\copy TABLE from FILE`.
async fn copy(session: &mut Session, argument: &str) -> Result<(), Failure> {
    let words: Vec<&str> = argument.split_whitespace().collect();
    let (table, file) = match words.as_slice() {
        [table, from, file] if from.eq_ignore_ascii_case("from") => (*table, *file),
        _ => return Err(misused("\\copy TABLE from FILE")),
    };
    let file = file.trim_matches('\'');
    let schema = session.client.schema(&plain_name(table)).await?;
    let progress = Arc::new(LoadProgress::default());
    let files = [PathBuf::from(file)];
    let checked = check(&schema, &files, &LoadOptions::default(), &progress)?;
    if let Some(bad) = checked.bad.first() {
        let message = format!("{bad}; nothing was loaded");
        return Err(SqlError::new(sqlstate::BAD_COPY_FILE, message).into());
    }
    let rows = checked.rows;
    let load = session.client.load_in(&mut session.block, checked, progress);
    match unless_interrupted(load).await {
        Some(loaded) => loaded.map(drop)?,
        None => return Err(session.give_up().await.into()),
    }
    session.say(&format!("COPY {rows}"))
}

fn misused(message: &str) -> Failure {
    SqlError::new(sqlstate::INVALID_PARAMETER, message).into()
}

fn switched(argument: &str, now: bool) -> Result<bool, Failure> {
    match argument {
        "" => Ok(!now),
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(misused("on or off")),
    }
}

/// A name as it is stored.
fn plain_name(name: &str) -> String {
    match name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
        Some(quoted) => quoted.to_owned(),
        None => name.to_lowercase(),
    }
}

async fn describe(session: &mut Session, name: &str) -> Result<(), Failure> {
    let plain = plain_name(name);
    for description in session.client.tables(&plain).await? {
        let Some(table) = describe_table(&description) else { continue };
        session.say(&format!("Table \"{plain}\""))?;
        session.write(&Answer::Rows(table))?;
        for line in describe_rules(&description) {
            session.say(&line)?;
        }
        session.say(&format!(
            "Owner: {}. Rows: {} in {} batches. May read: {}.",
            description.owner,
            description.rows,
            description.segments,
            if description.readers.is_empty() {
                "the owner only".to_owned()
            } else {
                description.readers.join(", ")
            }
        ))?;
    }
    Ok(())
}
