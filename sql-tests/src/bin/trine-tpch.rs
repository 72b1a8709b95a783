//! `trine-tpch --sf 0.01 [--query N]… [--engine inprocess|cluster|oracle]`: generates TPC-H's tables,
//! loads them, asks the queries and prints one line for each: ok, differs or refused, and seconds.
//! A run derived from TPC-H, not a TPC result.

use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tempfile::TempDir;
use trine_sql_tests::answers::read_csv;
use trine_sql_tests::engine::{Engine, EngineKind};
use trine_sql_tests::tpch::run::{Verdict, ask, load};
use trine_sql_tests::tpch::{SCHEMA, TABLES, data};
use trine_sql_tests::value::Output;

/// The 22 queries of TPC-H on random data of any size.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Scale factor: 1 has six million lineitems; the declared ranges go up to 1.
    #[arg(long, default_value = "0.01")]
    sf: String,
    /// Numbers of queries, 1 to 22; all without it.
    #[arg(long)]
    query: Vec<u8>,
    /// Where they run.
    #[arg(long, value_enum, default_value = "inprocess")]
    engine: EngineKind,
    /// Folder with queries/qNN.sql and, where there are some, answers_sfS/qNN.csv and sfS.md5.
    #[arg(long, default_value = "../shared/corpora/tpch")]
    corpus: PathBuf,
    /// Folder for the generated CSV files; files that are there are taken. A fresh one without it.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Only writes the CSV files (into --data) and, to the output, the CREATE TABLE statements.
    #[arg(long, requires = "data")]
    generate: bool,
    /// Prints one JSON object per query instead of a line of text.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("trine-tpch: {message}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments) -> Result<bool, String> {
    let fresh = tempfile::tempdir().map_err(|e| e.to_string())?;
    let folder = prepare(arguments, &fresh)?;
    if arguments.generate {
        print!("{SCHEMA}");
        return Ok(true);
    }
    let mut engine = Engine::start(arguments.engine).await.map_err(|e| e.to_string())?;
    let start = Instant::now();
    load(&mut engine, &folder).await.map_err(|e| e.to_string())?;
    eprintln!("loaded in {:.2} s", start.elapsed().as_secs_f64());
    let mut oracle = None;
    let mut all = true;
    for number in queries(&arguments.query)? {
        let name = format!("q{number:02}");
        let path = arguments.corpus.join(format!("queries/{name}.sql"));
        let sql = read(&path)?;
        let expected = match known_answer(arguments, &name)? {
            Some(answer) => answer,
            None => plain_answer(&mut oracle, &folder, &sql).await?,
        };
        let asked = ask(&mut engine, &sql, &expected).await?;
        all &= asked.verdict == Verdict::Equal;
        let seconds = asked.took.as_secs_f64();
        if arguments.json {
            let (word, text) = words(&asked.verdict);
            let rows = asked.rows;
            println!(
                "{{\"query\":\"{name}\",\"verdict\":\"{word}\",\"rows\":{rows},\"wall_s\":{seconds:.3},\
                 \"reason\":{text:?}}}"
            );
        } else {
            println!("{name} {seconds:8.2} s  {}", asked.verdict);
        }
    }
    Ok(all)
}

fn words(verdict: &Verdict) -> (&'static str, String) {
    match verdict {
        Verdict::Equal => ("ok", String::new()),
        Verdict::Differs(what) => ("differs", what.clone()),
        Verdict::Refused(e) => ("refused", e.to_string()),
        Verdict::Failed(e) => ("failed", e.to_string()),
    }
}

fn queries(wanted: &[u8]) -> Result<Vec<u8>, String> {
    match wanted.iter().find(|n| !(1..=22).contains(*n)) {
        Some(n) => Err(format!("there is no query {n}: they are 1 to 22")),
        None if wanted.is_empty() => Ok((1..=22).collect()),
        None => Ok(wanted.to_vec()),
    }
}

/// The folder with the data of the scale factor, generated unless it is there.
fn prepare(arguments: &Arguments, fresh: &TempDir) -> Result<PathBuf, String> {
    let scale: f64 = arguments.sf.parse().map_err(|_| format!("--sf {}", arguments.sf))?;
    let folder = arguments.data.clone().unwrap_or_else(|| fresh.path().to_owned());
    if !TABLES.iter().all(|t| data::file(&folder, t).is_file()) {
        data::generate(scale, &folder).map_err(|e| e.to_string())?;
    }
    let sums = arguments.corpus.join(format!("sf{}.md5", arguments.sf));
    if sums.is_file() {
        let checked = data::check_md5(&folder, &sums)?;
        eprintln!("{checked} files have the md5 of {}", sums.display());
    }
    Ok(folder)
}

fn known_answer(arguments: &Arguments, name: &str) -> Result<Option<Output>, String> {
    let path = arguments.corpus.join(format!("answers_sf{}/{name}.csv", arguments.sf));
    if !path.is_file() {
        return Ok(None);
    }
    read_csv(&read(&path)?).map(Some).map_err(|e| format!("{}: {e}", path.display()))
}

/// The answer of plain DataFusion over the same files.
async fn plain_answer(
    oracle: &mut Option<Engine>,
    folder: &Path,
    sql: &str,
) -> Result<Output, String> {
    if oracle.is_none() {
        let mut engine = Engine::start(EngineKind::Oracle).await.map_err(|e| e.to_string())?;
        load(&mut engine, folder).await.map_err(|e| e.to_string())?;
        *oracle = Some(engine);
    }
    let engine = oracle.as_mut().ok_or("no oracle")?;
    engine.run(sql).await.map_err(|e| format!("the oracle: {e}"))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}
