//! One party of a benchmark, and the process that is one.
//!
//! The parent writes `GO` when all three parties are ready; the party runs the operation once,
//! answers with a line of JSON, and waits for the next `GO`. At the end of its input it leaves its
//! result shares in a file.

use super::job::Job;
use super::measure::{MachineClock, Sample};
use super::primitive::{self, Input};
use super::relational::{self, Prepared};
use super::vector::Part;
use crate::attempt::Context;
use crate::attempt::lanes;
use crate::config::Config;
use crate::error::NodeError;
use crate::local::node_dir;
use crate::mesh::{AttemptId, AttemptKind, AttemptNet, HelloDigest, Mesh};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use trine_mpc::{DelayNet, Net, Session};
use trine_proto::ids::Party;

/// How long the three processes may take to find each other.
const MEET_WAIT: Duration = Duration::from_secs(30);

/// A line to the parent: ready for the next run.
pub(super) const READY: &str = "READY";
/// A line from the parent: run.
pub(super) const GO: &str = "GO";

/// File of a party's result shares.
pub(super) fn part_path(dir: &Path, party: usize) -> PathBuf {
    dir.join(format!("part{party}"))
}

/// What a party needs before the clock runs.
pub(super) enum Ready {
    Primitive(Vec<Input>),
    Relational(Box<Prepared>),
}

impl Ready {
    /// Makes a party's shares of the inputs.
    pub(super) fn new(job: &Job, party: usize) -> Result<Self, String> {
        if job.operation.is_relational() {
            let prepared = relational::prepare(job, party).map_err(|e| e.to_string())?;
            return Ok(Self::Relational(Box::new(prepared)));
        }
        Ok(Self::Primitive(primitive::inputs(job, party)))
    }

    /// Runs the operation once.
    pub(super) fn run(&self, job: &Job, s: &mut Session) -> Result<(Sample, Part), String> {
        let mut sample = Sample::begin();
        let part = match self {
            Self::Primitive(inputs) => {
                primitive::run(job, inputs, s, &mut sample).map_err(|e| e.to_string())
            }
            Self::Relational(prepared) => {
                relational::run(prepared, s, &mut sample).map_err(|e| e.to_string())
            }
        };
        let mut part = part?;
        if job.corrupt && s.party() == 1 {
            part.corrupt();
        }
        Ok((sample, part))
    }
}

/// The network as the job wants it.
pub(super) fn network(job: &Job, net: Arc<dyn Net>) -> Arc<dyn Net> {
    match job.link() {
        Some(link) => Arc::new(DelayNet::new(net, MachineClock::shared(), link)),
        None => net,
    }
}

/// Runs one of the three processes: the hidden command `trined bench-party`.
///
/// # Errors
/// [`NodeError::Bench`] and what keeps the mesh from standing.
pub(crate) fn run(dir: &Path, party: usize, job: &str) -> Result<(), NodeError> {
    let bench = |what: String| NodeError::Bench(format!("party {party}: {what}"));
    let digest = *blake3::hash(job.as_bytes()).as_bytes();
    let job: Job = serde_json::from_str(job).map_err(|e| bench(e.to_string()))?;
    let party = Party::new(party).ok_or_else(|| NodeError::Config("party is 0, 1 or 2".into()))?;
    let config = Config::read(&node_dir(dir, party).join("party.toml"))?;
    let ready = Ready::new(&job, party.index()).map_err(bench)?;
    let listener = TcpListener::bind(&config.listen_mesh)
        .map_err(|source| NodeError::Listen { address: config.listen_mesh.clone(), source })?;
    let mesh = Mesh::start(party, Arc::new(config.cluster.clone()), &config.identity, listener)?;
    mesh.wait_all_up(MEET_WAIT).map_err(|peer| bench(format!("party {peer} is not there")))?;
    let (net, mut session) = session(&mesh, party, &job, digest).map_err(bench)?;
    let mut last = None;
    let mut line = String::new();
    loop {
        println!("{READY}");
        line.clear();
        std::io::stdin().read_line(&mut line).map_err(NodeError::System)?;
        if line.trim_end() != GO {
            break;
        }
        let (sample, part) = ready.run(&job, &mut session).map_err(bench)?;
        println!("{}", serde_json::to_string(&sample).map_err(|e| bench(e.to_string()))?);
        last = Some(part);
    }
    if let Some(part) = last {
        let path = part_path(dir, party.index());
        let bytes = postcard::to_stdvec(&part).map_err(|e| bench(e.to_string()))?;
        std::fs::write(&path, bytes).map_err(NodeError::file("write", &path))?;
    }
    // The parent may be gone.
    let _ = writeln!(std::io::stdout(), "DONE");
    // Nobody's messages are cut off: the others are done when the parent closes our input.
    while std::io::stdin().read_line(&mut line).is_ok_and(|n| n > 0) {}
    drop(net);
    mesh.stop();
    Ok(())
}

/// A session over the mesh, made as that of a query: hello, fresh keys.
fn session(
    mesh: &Mesh,
    party: Party,
    job: &Job,
    digest: [u8; 32],
) -> Result<(Arc<AttemptNet>, Session), String> {
    let id = AttemptId { kind: AttemptKind::Query, job: [0xBE; 16], attempt: 1 };
    let hello = HelloDigest {
        statement: digest,
        principal: "bench".into(),
        position: 0,
        log_digest: [0; 32],
        plan: digest,
        plan_format: trine_query::plan::PLAN_FORMAT,
    };
    let net = mesh.begin(id, lanes(job.profile())).map_err(|e| e.to_string())?;
    let (keys, _) = Context::handshake(party, &net, id, hello).map_err(|e| e.to_string())?;
    let shared: Arc<dyn Net> = Arc::<AttemptNet>::clone(&net);
    let session = Session::new(party.index(), network(job, shared), keys, job.profile());
    Ok((net, session))
}
