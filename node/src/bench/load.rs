//! Rows a second through the whole of a load: the client's parsing and cutting, three streams over
//! TLS, three synced files, the commit. The program `trine` beside this one is the client.

use super::input::Draw;
use super::job::{Job, Network};
use super::measure::{Measured, Sample, memory_kb_of, now_ns, reset_peak_memory_of};
use crate::error::NodeError;
use crate::local::node_dir;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use trine_proto::ids::Party;

/// Columns of the table when none are asked for.
pub(super) const COLUMNS: usize = 10;

/// Runs the job and verifies the sums of all columns.
///
/// # Errors
/// [`NodeError::Bench`] when the cluster, the load or the verification fails.
pub(super) fn run(job: &Job) -> Result<[Measured; 3], NodeError> {
    if job.network == Network::Memory || job.link().is_some() {
        return Err(NodeError::Config(
            "load takes a real cluster: no --net mem, --rtt-ms or --mbit".into(),
        ));
    }
    let folder = tempfile::Builder::new()
        .prefix("trine-bench-")
        .tempdir()
        .map_err(NodeError::file("create", std::env::temp_dir()))?;
    let file = folder.path().join("rows.csv");
    let sums = write_rows(job, &file).map_err(NodeError::file("write", &file))?;
    let cluster = Cluster::start(&folder.path().join("cluster"))?;
    let mut measured: [Measured; 3] = Default::default();
    for run in 0..job.repeat {
        let table = format!("t{run}");
        cluster.sql(&definition(job, &table))?;
        let samples = cluster.measured(|| cluster.load(&file, &table))?;
        for (measured, sample) in measured.iter_mut().zip(samples) {
            measured.samples.push(sample);
        }
        verify(job, &cluster.sql(&question(job, &table))?, &sums)?;
    }
    Ok(measured)
}

/// Writes the rows; returns the sum of every column.
fn write_rows(job: &Job, file: &Path) -> std::io::Result<Vec<i128>> {
    let mut out = BufWriter::new(std::fs::File::create(file)?);
    let names: Vec<String> = (0..job.columns).map(|c| format!("c{c}")).collect();
    writeln!(out, "{}", names.join(","))?;
    let mut draw = Draw::of(job, 0);
    let mut sums = vec![0_i128; job.columns];
    let shift = 64 - job.bits;
    let mut line = String::new();
    for _ in 0..job.rows {
        line.clear();
        for (column, sum) in sums.iter_mut().enumerate() {
            let value = draw.word().cast_signed() >> shift;
            *sum += i128::from(value);
            if column > 0 {
                line.push(',');
            }
            line.push_str(&value.to_string());
        }
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(sums)
}

fn definition(job: &Job, table: &str) -> String {
    let ty = if job.bits == 32 { "INT" } else { "BIGINT" };
    let columns: Vec<String> = (0..job.columns).map(|c| format!("c{c} {ty} NOT NULL")).collect();
    format!("CREATE TABLE {table} ({})", columns.join(", "))
}

fn question(job: &Job, table: &str) -> String {
    let sums: Vec<String> = (0..job.columns).map(|c| format!("sum(c{c})")).collect();
    format!("SELECT count(*), {} FROM {table}", sums.join(", "))
}

fn verify(job: &Job, answer: &str, sums: &[i128]) -> Result<(), NodeError> {
    let got: Option<Vec<i128>> =
        answer.lines().last().map(|l| l.split(',').filter_map(|v| v.parse().ok()).collect());
    let expected: Vec<i128> = [job.rows as i128].iter().chain(sums).copied().collect();
    if got.as_ref() == Some(&expected) {
        return Ok(());
    }
    Err(NodeError::Bench(format!(
        "load: WRONG RESULT: count and sums are {answer:?} instead of {expected:?}"
    )))
}

/// A program that stands beside this one.
pub(super) fn sibling(name: &str) -> Result<PathBuf, NodeError> {
    let own = std::env::current_exe().map_err(NodeError::System)?;
    let path = own.with_file_name(name);
    if path.exists() {
        return Ok(path);
    }
    Err(NodeError::Bench(format!(
        "{} is missing: build it too (cargo build --release --bins)",
        path.display()
    )))
}

/// `trined dev` in a folder of its own. Dropped, it is asked to stop and waited for.
struct Cluster {
    dir: PathBuf,
    child: Child,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

impl Cluster {
    fn start(dir: &Path) -> Result<Self, NodeError> {
        let program = std::env::current_exe().map_err(NodeError::System)?;
        let child = Command::new(program)
            .arg("dev")
            .arg("--dir")
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(NodeError::System)?;
        let mut cluster = Self { dir: dir.to_path_buf(), child };
        let mut line = String::new();
        if let Some(output) = cluster.child.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(NodeError::System)?;
        }
        if line.starts_with("READY") {
            return Ok(cluster);
        }
        Err(NodeError::Bench("the cluster did not start".into()))
    }

    fn client(&self, arguments: &[&str]) -> Result<Output, NodeError> {
        let output = Command::new(sibling("trine")?)
            .args(arguments)
            .arg("--config")
            .arg(self.dir.join("client.toml"))
            .output()
            .map_err(NodeError::System)?;
        if output.status.success() {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(NodeError::Bench(format!("trine {}: {}", arguments[0], said.trim_end())))
    }

    fn sql(&self, sql: &str) -> Result<String, NodeError> {
        let output = self.client(&["sql", "--format", "csv", "-c", sql])?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn load(&self, file: &Path, table: &str) -> Result<(), NodeError> {
        let file = file.to_string_lossy();
        self.client(&["load", &file, "--table", table]).map(|_| ())
    }

    /// Time of the whole, processor time and memory of the three nodes.
    fn measured(
        &self,
        work: impl FnOnce() -> Result<(), NodeError>,
    ) -> Result<[Sample; 3], NodeError> {
        let pids = Party::ALL.map(|party| self.pid(party));
        let mut samples: [Sample; 3] = Default::default();
        for (sample, pid) in samples.iter_mut().zip(&pids) {
            reset_peak_memory_of(pid);
            sample.before_kb = memory_kb_of(pid).1;
            sample.cpu_from_ns = cpu_ns_of(pid);
        }
        let from = now_ns();
        work()?;
        let to = now_ns();
        for (sample, pid) in samples.iter_mut().zip(&pids) {
            (sample.from_ns, sample.to_ns) = (from, to);
            sample.cpu_to_ns = cpu_ns_of(pid);
            sample.peak_kb = memory_kb_of(pid).0;
        }
        Ok(samples)
    }

    fn pid(&self, party: Party) -> String {
        let path = node_dir(&self.dir, party).join("pid");
        std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
    }
}

/// Processor time of another process: Linux counts it in hundredths of a second.
fn cpu_ns_of(pid: &str) -> u64 {
    const TICK_NS: u64 = 10_000_000;
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in brackets, may hold spaces; user and system time are fields 14 and 15.
    let after = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    after.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum::<u64>()
        * TICK_NS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Operation;

    #[test]
    fn a_wrong_sum_is_a_failure() {
        let job = Job { columns: 2, ..Job::new(Operation::Load, 3, 32) };
        assert!(verify(&job, "count,sum,sum\n3,-5,7\n", &[-5, 7]).is_ok());
        let error = verify(&job, "count,sum,sum\n3,-5,8\n", &[-5, 7]).unwrap_err().to_string();
        assert!(error.starts_with("load: WRONG RESULT: count and sums are"), "{error}");
        assert!(verify(&job, "", &[-5, 7]).is_err());
    }
}
