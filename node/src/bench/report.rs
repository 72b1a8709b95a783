//! The figures of a benchmark, as text and as JSON.

use super::job::{Job, Network};
use super::measure::{Counted, Measured, Sample, Step, seconds};
use super::operation::Operation;
use super::primitive;
use super::relational;
use crate::error::NodeError;
use serde::Serialize;
use trine_mpc::Session;

/// Everything that is known of a run whose result was right.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Operation.
    pub(crate) op: &'static str,
    /// Rows.
    pub(crate) rows: usize,
    /// Bits, see [`super::Operation::bits_mean`].
    pub(crate) bits: usize,
    /// `mem` or `tls`.
    pub(crate) net: &'static str,
    /// Threads a party.
    pub(crate) threads: usize,
    /// Simulated round trip, milliseconds; 0: none.
    pub(crate) rtt_ms: f64,
    /// Simulated bandwidth, Mbit/s.
    pub(crate) mbit: Option<u32>,
    /// Best run, from the first party's start to the last one's end.
    pub(crate) wall_s: f64,
    /// Middle run.
    pub(crate) wall_median_s: f64,
    /// Runs.
    pub(crate) repeat: usize,
    /// Processor seconds of the best run, mean of the parties.
    pub(crate) cpu_s: f64,
    /// The same by party.
    pub(crate) cpu_s_per_party: [f64; 3],
    /// Payload sent by each party.
    pub(crate) bytes_per_party: [u64; 3],
    /// Rounds.
    pub(crate) rounds: u64,
    /// What a dry session predicts.
    pub(crate) bytes_predicted: [u64; 3],
    /// The same.
    pub(crate) rounds_predicted: u64,
    /// Whether counted and predicted are equal, with the expectation for what sorts open replaced by
    /// what they opened.
    pub(crate) cost_as_predicted: bool,
    /// Payload of a party for one row: the mean of the three.
    pub(crate) bytes_per_row: f64,
    /// Rows a second.
    pub(crate) elements_per_s: f64,
    /// `round`: microseconds from one message to the next.
    pub(crate) round_us: Option<f64>,
    /// Most memory during the run, of the party that took most (`mem`: of all three together).
    pub(crate) peak_rss_mb: f64,
    /// The same right before it.
    pub(crate) rss_before_mb: f64,
    /// A party's shares of the inputs, all encodings.
    pub(crate) input_mb: f64,
    /// `groupby-sum`: the operator without the time that a sort of the same key takes by itself.
    pub(crate) after_sort_s: Option<f64>,
    /// The same in bytes of party 0 for one row.
    pub(crate) after_sort_bytes_per_row: Option<f64>,
    /// How rows were ordered, for operations that order them; of several sorts the first.
    pub(crate) algorithm: Option<String>,
    /// Parts of the run at party 0, and what follows it.
    pub(crate) steps: Vec<ReportedStep>,
    /// Always true: a wrong result has no report.
    pub(crate) verified: bool,
}

/// One part of a run at party 0.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReportedStep {
    name: String,
    seconds: f64,
    rounds: u64,
    bytes: u64,
}

impl From<&Step> for ReportedStep {
    fn from(step: &Step) -> Self {
        let Step { name, seconds, rounds, bytes } = step.clone();
        Self { name, seconds, rounds, bytes }
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn float(x: u64) -> f64 {
    x as f64
}

/// The run of all parties from the first start to the last end.
fn wall(samples: &[&Sample; 3]) -> f64 {
    let from = samples.iter().map(|s| s.from_ns).min().unwrap_or(0);
    let to = samples.iter().map(|s| s.to_ns).max().unwrap_or(0);
    seconds(from, to)
}

/// Processor seconds by party. Threads of one process share its clock: each gets a third.
fn cpu(job: &Job, samples: &[&Sample; 3]) -> [f64; 3] {
    if job.network == Network::Tls {
        return samples.map(|s| seconds(s.cpu_from_ns, s.cpu_to_ns));
    }
    let from = samples.iter().map(|s| s.cpu_from_ns).min().unwrap_or(0);
    let to = samples.iter().map(|s| s.cpu_to_ns).max().unwrap_or(0);
    [seconds(from, to) / 3.0; 3]
}

fn input_bytes(job: &Job) -> u64 {
    match job.operation {
        // Rows stream from the client to the disk.
        Operation::Load => 0,
        operation if operation.is_relational() => relational::input_bytes(job),
        _ => primitive::input_bytes(job),
    }
}

/// What a dry session predicts, and how it says that rows are ordered.
fn predicted(job: &Job) -> Result<(Counted, Option<String>), NodeError> {
    if job.operation == Operation::Load {
        // Without a key there is nothing to compute.
        return Ok((Counted::default(), None));
    }
    if job.operation.is_relational() {
        return relational::predicted(job).map_err(|e| NodeError::Bench(e.to_string()));
    }
    let mut session = Session::dry(job.profile());
    let mut sample = Sample::default();
    primitive::run(job, &primitive::ghosts(job), &mut session, &mut sample)
        .map_err(|e| NodeError::Bench(e.to_string()))?;
    let algorithm = match (job.operation, session.take_chosen().sort) {
        (Operation::Partition, _) => Some("stable partition by one bit".to_owned()),
        (_, sort) => sort.map(|sort| sort.to_string()),
    };
    Ok((sample.counted, algorithm))
}

impl Report {
    /// From the measurements of the three parties.
    pub(super) fn new(job: &Job, measured: &[Measured; 3]) -> Result<Self, NodeError> {
        let lacks = || NodeError::Bench("a party measured nothing".into());
        let mut runs = Vec::new();
        for k in 0..job.repeat {
            let [a, b, c] = [0, 1, 2].map(|party| measured[party].samples.get(k));
            runs.push([a.ok_or_else(lacks)?, b.ok_or_else(lacks)?, c.ok_or_else(lacks)?]);
        }
        runs.sort_by(|a, b| wall(a).total_cmp(&wall(b)));
        let best = *runs.first().ok_or_else(lacks)?;
        let (dry, algorithm) = predicted(job)?;
        let counted = best.map(|s| s.counted);
        let as_predicted =
            counted.iter().enumerate().all(|(party, c)| c.is_as_predicted(party, &dry));
        let bytes_per_party = [0, 1, 2].map(|party| counted[party].bytes[party]);
        let cpu_s_per_party = cpu(job, &best);
        let largest =
            |of: fn(&Sample) -> u64| float(best.iter().map(|s| of(s)).max().unwrap_or(0)) / 1024.0;
        let wall_s = wall(&best);
        let alone = best[0].steps.iter().find(|step| step.name == relational::SORT_ALONE);
        Ok(Self {
            op: job.operation.name(),
            rows: job.rows,
            bits: job.bits,
            net: match job.network {
                Network::Memory => "mem",
                Network::Tls => "tls",
            },
            threads: job.threads,
            rtt_ms: f64::from(job.round_trip_us.unwrap_or(0)) / 1000.0,
            mbit: job.megabits_per_s,
            wall_s,
            wall_median_s: runs.get(runs.len() / 2).map_or(wall_s, wall),
            repeat: job.repeat,
            cpu_s: cpu_s_per_party.iter().sum::<f64>() / 3.0,
            cpu_s_per_party,
            bytes_per_party,
            rounds: counted[0].rounds,
            bytes_predicted: dry.bytes,
            rounds_predicted: dry.rounds,
            cost_as_predicted: as_predicted,
            bytes_per_row: float(bytes_per_party.iter().sum()) / 3.0 / float(job.rows as u64),
            elements_per_s: float(job.rows as u64) / wall_s.max(1e-9),
            round_us: (job.operation == Operation::Round)
                .then(|| wall_s * 1e6 / float(counted[0].rounds.max(1))),
            peak_rss_mb: largest(|s| s.peak_kb),
            rss_before_mb: largest(|s| s.before_kb),
            input_mb: float(input_bytes(job)) / f64::from(1 << 20),
            after_sort_s: alone.map(|sort| wall_s - sort.seconds),
            after_sort_bytes_per_row: alone.map(|sort| {
                float(counted[0].bytes[0].saturating_sub(sort.bytes)) / float(job.rows as u64)
            }),
            algorithm,
            steps: best[0].steps.iter().map(ReportedStep::from).collect(),
            verified: true,
        })
    }

    /// One line of JSON.
    ///
    /// # Errors
    /// Never for figures; the encoder's.
    pub(crate) fn json(&self) -> Result<String, NodeError> {
        serde_json::to_string(self).map_err(|e| NodeError::Bench(e.to_string()))
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "{}: {} rows, {} bits, {}, {} thread{} a party\n",
            self.op,
            self.rows,
            self.bits,
            match self.net {
                "mem" => "three threads over memory",
                _ => "three processes over mutual TLS",
            },
            self.threads,
            if self.threads == 1 { "" } else { "s" },
        );
        if self.rtt_ms > 0.0 || self.mbit.is_some() {
            let rate = self.mbit.map_or_else(String::new, |rate| format!(", {rate} Mbit/s"));
            text.push_str(&format!("  simulated network  {} ms round trip{rate}\n", self.rtt_ms));
        }
        let mut line =
            |name: &str, value: String| text.push_str(&format!("  {name:<17}  {value}\n"));
        line(
            "wall",
            format!(
                "{:.4} s (best of {}, middle {:.4} s), {:.3e} rows/s",
                self.wall_s, self.repeat, self.wall_median_s, self.elements_per_s
            ),
        );
        let [a, b, c] = self.cpu_s_per_party;
        let how = if self.net == "mem" { "; a third of the process each" } else { "" };
        line("processor", format!("{a:.4} s, {b:.4} s, {c:.4} s by party{how}"));
        let [a, b, c] = self.bytes_per_party;
        line(
            "sent",
            format!("{a}, {b}, {c} bytes by party; {:.2} a row and party", self.bytes_per_row),
        );
        line("rounds", self.rounds.to_string());
        if let Some(round_us) = self.round_us {
            line("one round", format!("{round_us:.1} us"));
        }
        line("predicted", self.prediction());
        let whose = if self.net == "mem" { "all three parties" } else { "a party" };
        line(
            "memory",
            format!(
                "peak {:.0} MB of {whose}, {:.0} MB before the run; shares of the input {:.0} MB a party",
                self.peak_rss_mb, self.rss_before_mb, self.input_mb
            ),
        );
        if let Some(algorithm) = &self.algorithm {
            line("algorithm", algorithm.clone());
        }
        for step in &self.steps {
            line(
                &step.name,
                format!("{:.4} s, {} rounds, {} bytes", step.seconds, step.rounds, step.bytes),
            );
        }
        if let (Some(seconds), Some(bytes)) = (self.after_sort_s, self.after_sort_bytes_per_row) {
            line("after the sort", format!("{seconds:.4} s, {bytes:.1} bytes a row of party 0"));
        }
        line("result", "equal to the plaintext".into());
        text
    }

    fn prediction(&self) -> String {
        let [a, b, c] = self.bytes_predicted;
        let equal = match (self.cost_as_predicted, self.bytes_predicted == self.bytes_per_party) {
            (true, true) => "counted the same",
            (true, false) => "counted the same but for what sorts opened",
            (false, _) => "COUNTED DIFFERS",
        };
        format!("{a}, {b}, {c} bytes, {} rounds: {equal}", self.rounds_predicted)
    }
}
