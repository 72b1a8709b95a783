//! `trine-tpch --sf 0.01 [--query N]… [--engine inprocess|cluster|oracle]`: generates TPC-H's tables,
//! loads them, asks the queries and prints one line for each: ok, differs or refused, seconds, and
//! for a cluster the bytes and rounds that its parties counted. A run derived from TPC-H, not a TPC result.

use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tempfile::TempDir;
use trine_sql_tests::answers::read_csv;
use trine_sql_tests::engine::{Engine, EngineKind, Traffic};
use trine_sql_tests::tpch::run::{Asked, Verdict, ask, load};
use trine_sql_tests::tpch::usage::Usage;
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
    /// Folder with q01.sql to q22.sql, instead of the corpus' own.
    #[arg(long)]
    queries: Option<PathBuf>,
    /// Folder with q01.csv to q22.csv, instead of the corpus' own; what it lacks is asked of DataFusion.
    #[arg(long)]
    answers: Option<PathBuf>,
    /// Folder for the generated CSV files; files that are there are taken. A fresh one without it.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Only writes the CSV files (into --data) and, to the output, the CREATE TABLE statements.
    #[arg(long, requires = "data")]
    generate: bool,
    /// Prints one JSON object per query instead of a line of text, and last one for all of them.
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
    let mut total = Total::new(arguments, &engine);
    let mut oracle = None;
    for number in queries(&arguments.query)? {
        let name = format!("q{number:02}");
        let sql = read(&query_path(arguments, &name))?;
        let expected = match known_answer(arguments, &name)? {
            Some(answer) => answer,
            None => plain_answer(&mut oracle, &folder, &sql).await?,
        };
        total.begin();
        let asked = ask(&mut engine, &sql, &expected).await?;
        total.add(&asked);
        if arguments.json {
            println!("{}", json_line(&name, &asked));
        } else {
            println!("{}", text_line(&name, &asked));
        }
    }
    println!("{}", if arguments.json { total.json() } else { total.text() });
    Ok(total.equal == total.asked)
}

fn words(verdict: &Verdict) -> (&'static str, String) {
    match verdict {
        Verdict::Equal => ("ok", String::new()),
        Verdict::Differs(what) => ("differs", what.clone()),
        Verdict::Refused(e) => ("refused", e.to_string()),
        Verdict::Failed(e) => ("failed", e.to_string()),
    }
}

/// Payload of all three parties in megabytes.
#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn megabytes(traffic: &Traffic) -> f64 {
    traffic.bytes.iter().sum::<u64>() as f64 / 1e6
}

fn text_line(name: &str, asked: &Asked) -> String {
    let seconds = asked.took.as_secs_f64();
    let traffic = asked
        .traffic
        .map_or_else(String::new, |t| format!("{:10.2} MB {:8} rounds", megabytes(&t), t.rounds));
    format!("{name} {seconds:8.2} s {traffic}  {}", asked.verdict)
}

fn json_line(name: &str, asked: &Asked) -> String {
    let (word, reason) = words(&asked.verdict);
    let traffic = asked.traffic.unwrap_or_default();
    serde_json::json!({
        "query": name, "verdict": word, "rows": asked.rows, "wall_s": asked.took.as_secs_f64(),
        "bytes_per_party": traffic.bytes, "rounds": traffic.rounds, "reason": reason,
    })
    .to_string()
}

/// What all queries cost together.
struct Total {
    sf: String,
    usage: Option<Usage>,
    asked: u32,
    equal: u32,
    wall_s: f64,
    cpu_s: [f64; 3],
    traffic: Traffic,
    lineitems: u64,
    peak_mb: f64,
}

impl Total {
    fn new(arguments: &Arguments, engine: &Engine) -> Self {
        let usage = match engine {
            Engine::Cluster(cluster) => Some(Usage::of(cluster.folder())),
            _ => None,
        };
        let scale: f64 = arguments.sf.parse().unwrap_or(0.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "about")]
        let lineitems = (scale * 6_000_000.0) as u64;
        Self {
            sf: arguments.sf.clone(),
            usage,
            asked: 0,
            equal: 0,
            wall_s: 0.0,
            cpu_s: [0.0; 3],
            traffic: Traffic::default(),
            lineitems,
            peak_mb: 0.0,
        }
    }

    fn begin(&mut self) {
        if let Some(usage) = &mut self.usage {
            usage.begin();
        }
    }

    fn add(&mut self, asked: &Asked) {
        self.asked += 1;
        self.equal += u32::from(asked.verdict == Verdict::Equal);
        self.wall_s += asked.took.as_secs_f64();
        if let Some(traffic) = asked.traffic {
            self.traffic.rounds += traffic.rounds;
            for (sum, bytes) in self.traffic.bytes.iter_mut().zip(traffic.bytes) {
                *sum += bytes;
            }
        }
        if let Some(usage) = &self.usage {
            for (sum, seconds) in self.cpu_s.iter_mut().zip(usage.cpu_s()) {
                *sum += seconds;
            }
            self.peak_mb = self.peak_mb.max(usage.peak_mb());
        }
    }

    fn text(&self) -> String {
        let Self { asked, equal, wall_s, traffic, .. } = self;
        format!(
            "{equal} of {asked} queries answered rightly; {wall_s:.2} s, {:.2} MB, {} rounds together; \
             peak memory of a party {:.0} MB",
            megabytes(traffic),
            traffic.rounds,
            self.peak_mb
        )
    }

    fn json(&self) -> String {
        serde_json::json!({
            "op": "tpch", "sf": self.sf, "rows": self.lineitems, "bits": 0, "wall_s": self.wall_s,
            "cpu_s": self.cpu_s.iter().sum::<f64>() / 3.0, "cpu_s_per_party": self.cpu_s,
            "bytes_per_party": self.traffic.bytes, "rounds": self.traffic.rounds,
            "peak_rss_mb": self.peak_mb, "queries": self.asked, "equal": self.equal,
            "verified": self.equal == self.asked,
        })
        .to_string()
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

fn query_path(arguments: &Arguments, name: &str) -> PathBuf {
    let folder = arguments.queries.clone().unwrap_or_else(|| arguments.corpus.join("queries"));
    folder.join(format!("{name}.sql"))
}

fn known_answer(arguments: &Arguments, name: &str) -> Result<Option<Output>, String> {
    let folder = arguments
        .answers
        .clone()
        .unwrap_or_else(|| arguments.corpus.join(format!("answers_sf{}", arguments.sf)));
    let path = folder.join(format!("{name}.csv"));
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
    std::fs::read_to_string(path).map_err(|e| {
        format!(
            "{}: {e}; the 22 query texts are not part of this repository: name a folder with q01.sql to \
             q22.sql with --queries",
            path.display()
        )
    })
}
