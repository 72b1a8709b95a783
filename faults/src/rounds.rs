//! Rounds of work under which nodes die.
//!
//! A round: writers work; one or more nodes are killed, at a random moment or at a fail point; they are
//! started again; the writers end; then everything must be as the model says, at every node.

mod verify;
mod writer;

use crate::model::Model;
use crate::{Cluster, Failure, Random};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use trine_client::Client;
use writer::Writer;

/// The fail points of `trined`, and up to which count they are reached soon.
pub const POINTS: [(&str, u64); 22] = [
    ("stage.create", 4),
    ("stage.write", 6),
    ("stage.sync", 4),
    ("stage.synced", 4),
    ("stage.rename", 4),
    ("stage.renamed", 4),
    ("stage.remove", 3),
    ("upload.receipt", 4),
    ("log.append", 20),
    ("log.appended", 20),
    ("state.apply", 20),
    ("state.applied", 20),
    ("commit.acknowledge", 3),
    ("attempt.begin", 4),
    ("attempt.hello", 4),
    ("attempt.message", 200),
    ("attempt.operator", 8),
    ("attempt.end", 4),
    ("attempt.report", 4),
    ("result.write", 4),
    ("result.kept", 4),
    ("pack.begin", 1),
];

/// Names of the two tables: one whose key is checked by the nodes together, one without constraints.
const TABLES: [&str; 2] = ["keyed", "plain"];
/// How long a node may take to reach its fail point before it is killed from outside.
const POINT_WAIT: Duration = Duration::from_secs(10);
/// How long the writers work on with nodes missing.
const MISSING_FOR: Duration = Duration::from_millis(300);
/// How long one statement may take, with nodes missing and coming back, before it counts as hanging.
const STATEMENT_WAIT: Duration = Duration::from_secs(120);
/// Seconds that a batch which nobody commits stays on disk.
const STAGED_KEEP_S: u64 = 6;
/// Pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// What to do, and how often.
#[derive(Clone, Debug)]
pub struct Options {
    /// Repeats all choices.
    pub seed: u64,
    /// Rounds.
    pub rounds: u64,
    /// Clients that write at the same time.
    pub writers: u64,
    /// Only this fail point.
    pub only: Option<String>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Rounds that passed.
    pub rounds: u64,
    /// Nodes killed.
    pub kills: u64,
    /// Fail points that were reached.
    pub points_reached: u64,
    /// Statements that were acknowledged.
    pub acknowledged: u64,
    /// Statements that ended in an error.
    pub failed: u64,
    /// Batches written, and those whose fate no client was told.
    pub batches: (usize, usize),
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds passed: {} nodes killed, {} of them at fail points; {} statements acknowledged, \
             {} failed; {} batches, {} of unknown fate",
            self.rounds,
            self.kills,
            self.points_reached,
            self.acknowledged,
            self.failed,
            self.batches.0,
            self.batches.1
        )
    }
}

/// What happens in one round.
#[derive(Clone, Debug)]
enum Fault {
    /// These nodes are killed after a while.
    Kill { victims: Vec<usize>, after: Duration },
    /// This node dies at a fail point.
    Point { victim: usize, point: String },
}

impl Fault {
    fn choose(random: &mut Random, only: Option<&str>) -> Self {
        let victim = usize::try_from(random.below(3)).unwrap_or(0);
        if only.is_none() && random.one_in(3) {
            let victims = match random.below(6) {
                0 => vec![0, 1, 2],
                1 | 2 => vec![victim, (victim + 1) % 3],
                _ => vec![victim],
            };
            return Self::Kill { victims, after: Duration::from_millis(random.below(1_500)) };
        }
        let known = POINTS.iter().find(|(name, _)| Some(*name) == only);
        let (name, times_max) = known.unwrap_or_else(|| random.pick(&POINTS));
        let times = 1 + random.below(*times_max);
        Self::Point { victim, point: format!("{name}:{times}") }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { victims, after } => {
                write!(f, "nodes {victims:?} are killed after {} ms", after.as_millis())
            }
            Self::Point { victim, point } => write!(f, "node {victim} dies at {point}"),
        }
    }
}

/// What writers and the one who compares share.
struct Shared {
    models: [Mutex<Model>; 2],
    stop: AtomicBool,
    acknowledged: AtomicU64,
    failed: AtomicU64,
    /// Batches that one transaction wrote to both tables, and whose fate no client was told.
    pairs: Mutex<Vec<i128>>,
    /// The first thing that was seen and must not be.
    wrong: Mutex<Option<Failure>>,
}

impl Shared {
    fn model(&self, table: usize) -> std::sync::MutexGuard<'_, Model> {
        self.models[table].lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn pairs(&self) -> std::sync::MutexGuard<'_, Vec<i128>> {
        self.pairs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn report(&self, failure: Failure) {
        let mut wrong = self.wrong.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        wrong.get_or_insert(failure);
    }
}

struct World {
    cluster: Cluster,
    runtime: Runtime,
    client: Arc<Client>,
    shared: Arc<Shared>,
    /// Statements that writers have begun, by writer: numbers of batches are never used twice.
    batches: Vec<u64>,
    summary: Summary,
}

/// Runs all rounds on a cluster of its own; `say` is told what happens.
///
/// # Errors
/// What must not be, with seed, round and fault; the folder of the nodes is kept and named.
pub fn run(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Summary, Failure> {
    if let Some(only) = &options.only
        && !POINTS.iter().any(|(name, _)| name == only)
    {
        return Err(format!("there is no fail point {only}"));
    }
    let mut random = Random::new(options.seed);
    let mut world = World::new(options)?;
    let mut story = String::new();
    for round in 0..options.rounds {
        let fault = Fault::choose(&mut random, options.only.as_deref());
        story = format!("seed {}, round {round}: {fault}", options.seed);
        say(&story);
        if let Err(e) = world.round(&fault, &mut random) {
            return Err(world.failed(&story, &e));
        }
        world.summary.rounds += 1;
    }
    if let Err(e) = world.no_file_is_left_over() {
        return Err(world.failed(&story, &e));
    }
    Ok(world.summary())
}

impl World {
    fn new(options: &Options) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        let mut cluster = Cluster::new()?;
        cluster.keep_staged(STAGED_KEEP_S);
        cluster.start_all()?;
        let client = Arc::new(runtime.block_on(cluster.connect())?);
        for sql in [
            "CREATE TABLE keyed (batch INT, i INT, v INT, PRIMARY KEY (batch, i))",
            "CREATE TABLE plain (batch INT, i INT, v INT)",
        ] {
            runtime.block_on(client.execute(sql)).map_err(|e| e.to_string())?;
        }
        let shared = Arc::new(Shared {
            models: Default::default(),
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            pairs: Mutex::default(),
            wrong: Mutex::default(),
        });
        let batches = (0..options.writers).collect();
        Ok(Self { cluster, runtime, client, shared, batches, summary: Summary::default() })
    }

    fn round(&mut self, fault: &Fault, random: &mut Random) -> Result<(), Failure> {
        if let Fault::Point { victim, point } = fault {
            self.cluster.start(*victim, Some(point))?;
            // It may reach its point before it is ready.
            self.cluster.ready_or_dead(*victim)?;
        }
        self.shared.stop.store(false, Ordering::SeqCst);
        let writers = self.batches.len() as u64;
        let tasks: Vec<_> = (0_u64..)
            .zip(&self.batches)
            .map(|(number, next)| {
                let (client, shared) = (Arc::clone(&self.client), Arc::clone(&self.shared));
                let writer = Writer::new(number, writers, *next, random.fork(), client, shared);
                self.runtime.spawn(writer.run())
            })
            .collect();
        self.let_die(fault);
        std::thread::sleep(MISSING_FOR);
        let started = self.cluster.start_all();
        self.shared.stop.store(true, Ordering::SeqCst);
        for (place, task) in self.batches.iter_mut().zip(tasks) {
            *place = self.runtime.block_on(task).map_err(|e| e.to_string())?;
        }
        started?;
        if let Some(wrong) =
            self.shared.wrong.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
        {
            return Err(wrong);
        }
        self.runtime.block_on(verify::tables(&self.client, &self.shared))?;
        self.runtime.block_on(verify::jobs_ended(&self.client))?;
        self.runtime.block_on(verify::nodes_agree(&self.client))?;
        for party in 0..3 {
            let answer = self.cluster.check(party)?;
            if answer.code != 0 {
                return Err(format!("trined check of node {party}:\n{}", answer.text));
            }
        }
        Ok(())
    }

    fn let_die(&mut self, fault: &Fault) {
        match fault {
            Fault::Kill { victims, after } => {
                std::thread::sleep(*after);
                for victim in victims {
                    self.cluster.kill(*victim);
                }
                self.summary.kills += victims.len() as u64;
            }
            Fault::Point { victim, .. } => {
                let started = Instant::now();
                while self.cluster.runs(*victim) && started.elapsed() < POINT_WAIT {
                    std::thread::sleep(LOOK_PAUSE);
                }
                if !self.cluster.runs(*victim) {
                    self.summary.points_reached += 1;
                }
                self.cluster.kill(*victim);
                self.summary.kills += 1;
            }
        }
    }

    /// When all is done each node has the files that the log lists, and no other.
    fn no_file_is_left_over(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs(10 * STAGED_KEEP_S);
        for party in 0..3 {
            loop {
                let answer = self.cluster.check(party)?;
                let files = self.cluster.files(party);
                let listed = answer.number("segments");
                if answer.number("uncommitted") == Some(0) && listed == Some(files.len() as u64) {
                    break;
                }
                if Instant::now() > deadline {
                    return Err(format!("node {party} has {files:#?}, but:\n{}", answer.text));
                }
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        Ok(())
    }

    fn summary(&self) -> Summary {
        let mut summary = self.summary;
        summary.acknowledged = self.shared.acknowledged.load(Ordering::SeqCst);
        summary.failed = self.shared.failed.load(Ordering::SeqCst);
        for table in 0..TABLES.len() {
            let (batches, unknown) = self.shared.model(table).counts();
            summary.batches.0 += batches;
            summary.batches.1 += unknown;
        }
        summary
    }

    fn failed(self, story: &str, failure: &str) -> Failure {
        let folder = self.cluster.keep();
        format!("{story}\n{failure}\nthe nodes' files are kept in {}", folder.display())
    }
}
