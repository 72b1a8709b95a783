//! The configuration of one party: `party.toml`, parsed once. Scalar keys may be overridden by
//! environment variables `TRINE_*`. [`template()`] writes a file with every key explained.

mod template;

pub use template::{Template, cluster_block, node_block, template};

use crate::error::NodeError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use trine_proto::catalog::ClusterInfo;
use trine_proto::identity::Identity;
use trine_proto::ids::{ClusterId, Party};

/// Everything a node has to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which party runs it.
    pub party: Party,
    /// Folder of segments and replicated state.
    pub data_dir: PathBuf,
    /// The node's key.
    pub identity: Identity,
    /// Address for clients.
    pub listen_client: String,
    /// Address for the two other nodes.
    pub listen_mesh: String,
    /// Address of the metrics page; none: it is off.
    pub listen_metrics: Option<String>,
    /// The block that is identical at all three.
    pub cluster: Cluster,
    /// Bounds that an operator may want to change.
    pub limits: Limits,
    /// How it logs.
    pub log: Log,
}

/// The cluster's identity and addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Drawn when the cluster is made.
    pub id: ClusterId,
    /// The three nodes, by party index.
    pub nodes: [ClusterNode; 3],
    /// Principals that may enrol others: (name, key).
    pub administrators: Vec<(String, [u8; 32])>,
}

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterNode {
    /// Name of the organisation, for people.
    pub name: String,
    /// Where the other nodes reach it.
    pub mesh: String,
    /// Where clients reach it.
    pub client: String,
    /// Its public key.
    pub key: [u8; 32],
}

impl Cluster {
    /// BLAKE3 of the whole block: compared in every hello on the mesh.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        // Strings, arrays and sequences of known length: encoding into memory does not fail.
        let encoded = postcard::to_stdvec(self).unwrap_or_default();
        *blake3::hash(&encoded).as_bytes()
    }

    /// From the text of a common block, as `trined init` writes it.
    ///
    /// # Errors
    /// [`NodeError::Config`].
    pub fn parse(text: &str) -> Result<Self, NodeError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Block {
            cluster: FileCluster,
        }
        let block: Block = toml::from_str(text).map_err(|e| invalid(e.message().to_owned()))?;
        block.cluster.check()
    }

    /// What goes into entry 1 of the log.
    #[must_use]
    pub fn info(&self) -> ClusterInfo {
        ClusterInfo {
            cluster_id: self.id,
            node_keys: [0, 1, 2].map(|i| self.nodes[i].key),
            administrators: self.administrators.clone(),
        }
    }

    /// A node as errors name it: "node 2 (127.0.0.1:7003)".
    #[must_use]
    pub fn node_name(&self, party: Party) -> String {
        format!("node {party} ({})", self.nodes[party.index()].client)
    }
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a query waits for a party that is down before it fails.
    pub party_wait: Duration,
    /// Queries and key checks that run at one time.
    pub jobs_running: usize,
    /// Threads that one query may compute with, if all three nodes grant as many.
    pub lanes: u32,
    /// Bytes of finished results on disk; the oldest go first.
    pub results_bytes_max: usize,
    /// How long a finished result is kept.
    pub results_keep: Duration,
    /// Bytes of memory that one job may need; 0: the machine's.
    pub job_memory_bytes: u64,
    /// Silence of a client after which this node proposes to roll its open transaction back.
    pub transaction_idle: Duration,
    /// How long a staged part may wait for its Commit before this node proposes to give it up. A load
    /// of many batches commits each batch when it is complete, so this is one batch's time.
    pub staged_keep: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            party_wait: Duration::from_secs(10),
            jobs_running: 16,
            lanes: 1,
            results_bytes_max: 1 << 30,
            results_keep: Duration::from_secs(3_600),
            job_memory_bytes: 0,
            transaction_idle: Duration::from_secs(600),
            staged_keep: Duration::from_secs(3_600),
        }
    }
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Text lines or JSON objects.
    pub format: LogFormat,
    /// Filter of tracing, e.g. `info` or `trine_node=debug,info`.
    pub filter: String,
}

/// What a node logs unless told otherwise: openraft tells of every election in many lines.
const DEFAULT_FILTER: &str = "info,openraft=warn";

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: DEFAULT_FILTER.into() }
    }
}

/// See [`Log`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    party: FileParty,
    cluster: FileCluster,
    #[serde(default)]
    limits: FileLimits,
    #[serde(default)]
    log: FileLog,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileParty {
    index: usize,
    data_dir: PathBuf,
    key_file: PathBuf,
    listen_client: String,
    listen_mesh: String,
    listen_metrics: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCluster {
    id: String,
    #[serde(default)]
    administrators: Vec<FileAdministrator>,
    nodes: Vec<FileNode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAdministrator {
    name: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileNode {
    name: String,
    mesh: String,
    client: String,
    key: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FileLimits {
    party_wait_ms: Option<u64>,
    jobs_running: Option<usize>,
    lanes: Option<u32>,
    results_bytes_max: Option<usize>,
    results_keep_s: Option<u64>,
    transaction_idle_s: Option<u64>,
    job_memory_mb: Option<u64>,
    staged_keep_s: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FileLog {
    format: Option<LogFormat>,
    filter: Option<String>,
}

fn invalid(message: impl Into<String>) -> NodeError {
    NodeError::Config(message.into())
}

fn key(what: &str, text: &str) -> Result<[u8; 32], NodeError> {
    hex::decode(text.trim())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| invalid(format!("{what} is written as 64 hexadecimal digits")))
}

impl Config {
    /// Reads `party.toml` and the environment.
    ///
    /// # Errors
    /// [`NodeError::Config`] names the file and the key at fault; [`NodeError::File`].
    pub fn read(path: &Path) -> Result<Self, NodeError> {
        let text = std::fs::read_to_string(path).map_err(NodeError::file("read", path))?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        Self::parse(&text, folder, &|name| std::env::var(name).ok()).map_err(|e| match e {
            NodeError::Config(what) => invalid(format!("{}: {what}", path.display())),
            other => other,
        })
    }

    /// From the text of the file. Relative paths start at `folder`; `variable` looks up the
    /// environment.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(
        text: &str,
        folder: &Path,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, NodeError> {
        let mut file: File = toml::from_str(text).map_err(|e| invalid(e.message().to_owned()))?;
        file.overrides(variable)?;
        let File { party, cluster, limits, log } = file;
        let index = Party::new(party.index).ok_or_else(|| {
            invalid("[party] index is 0, 1 or 2: the place among [[cluster.nodes]]")
        })?;
        let key_file = folder.join(&party.key_file);
        let secret =
            std::fs::read_to_string(&key_file).map_err(NodeError::file("read", &key_file))?;
        let identity = Identity::from_hex(&secret)
            .map_err(|e| invalid(format!("{}: {e}", key_file.display())))?;
        let cluster = cluster.check()?;
        if cluster.nodes[index.index()].key != identity.public() {
            return Err(invalid(format!(
                "the key in {} is {}, but [[cluster.nodes]] lists another for party {index}",
                key_file.display(),
                hex::encode(identity.public())
            )));
        }
        Ok(Self {
            party: index,
            data_dir: folder.join(party.data_dir),
            identity,
            listen_client: party.listen_client,
            listen_mesh: party.listen_mesh,
            listen_metrics: party.listen_metrics.filter(|address| !address.is_empty()),
            cluster,
            limits: limits.check()?,
            log: log.check(),
        })
    }
}

impl File {
    /// `TRINE_*`: every scalar key that may differ between two starts of the same node.
    fn overrides(&mut self, variable: &dyn Fn(&str) -> Option<String>) -> Result<(), NodeError> {
        fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, NodeError> {
            text.trim().parse().map_err(|_| invalid(format!("{name} is not a whole number")))
        }
        if let Some(v) = variable("TRINE_DATA_DIR") {
            self.party.data_dir = v.into();
        }
        if let Some(v) = variable("TRINE_KEY_FILE") {
            self.party.key_file = v.into();
        }
        if let Some(v) = variable("TRINE_LISTEN_CLIENT") {
            self.party.listen_client = v;
        }
        if let Some(v) = variable("TRINE_LISTEN_MESH") {
            self.party.listen_mesh = v;
        }
        if let Some(v) = variable("TRINE_LISTEN_METRICS") {
            self.party.listen_metrics = Some(v);
        }
        if let Some(v) = variable("TRINE_PARTY_WAIT_MS") {
            self.limits.party_wait_ms = Some(number("TRINE_PARTY_WAIT_MS", &v)?);
        }
        if let Some(v) = variable("TRINE_JOBS_RUNNING") {
            self.limits.jobs_running = Some(number("TRINE_JOBS_RUNNING", &v)?);
        }
        if let Some(v) = variable("TRINE_LANES") {
            self.limits.lanes = Some(number("TRINE_LANES", &v)?);
        }
        if let Some(v) = variable("TRINE_RESULTS_BYTES_MAX") {
            self.limits.results_bytes_max = Some(number("TRINE_RESULTS_BYTES_MAX", &v)?);
        }
        if let Some(v) = variable("TRINE_RESULTS_KEEP_S") {
            self.limits.results_keep_s = Some(number("TRINE_RESULTS_KEEP_S", &v)?);
        }
        if let Some(v) = variable("TRINE_JOB_MEMORY_MB") {
            self.limits.job_memory_mb = Some(number("TRINE_JOB_MEMORY_MB", &v)?);
        }
        if let Some(v) = variable("TRINE_TRANSACTION_IDLE_S") {
            self.limits.transaction_idle_s = Some(number("TRINE_TRANSACTION_IDLE_S", &v)?);
        }
        if let Some(v) = variable("TRINE_STAGED_KEEP_S") {
            self.limits.staged_keep_s = Some(number("TRINE_STAGED_KEEP_S", &v)?);
        }
        if let Some(v) = variable("TRINE_LOG_FORMAT") {
            self.log.format = Some(match v.as_str() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err(invalid("TRINE_LOG_FORMAT is text or json")),
            });
        }
        if let Some(v) = variable("TRINE_LOG") {
            self.log.filter = Some(v);
        }
        Ok(())
    }
}

impl FileCluster {
    fn check(self) -> Result<Cluster, NodeError> {
        let id = ClusterId::from_hex(self.id.trim())
            .ok_or_else(|| invalid("[cluster] id is written as 32 hexadecimal digits"))?;
        let count = self.nodes.len();
        let nodes = self
            .nodes
            .into_iter()
            .enumerate()
            .map(|(i, n)| {
                let key = key(&format!("the key of [[cluster.nodes]] number {i}"), &n.key)?;
                Ok(ClusterNode { name: n.name, mesh: n.mesh, client: n.client, key })
            })
            .collect::<Result<Vec<_>, NodeError>>()?;
        let nodes = <[ClusterNode; 3]>::try_from(nodes).map_err(|_| {
            invalid(format!("three [[cluster.nodes]] are needed, {count} are given"))
        })?;
        let [a, b, c] = [0, 1, 2].map(|i| nodes[i].key);
        if a == b || b == c || a == c {
            return Err(invalid("the three [[cluster.nodes]] need three different keys"));
        }
        let administrators = self
            .administrators
            .into_iter()
            .map(|a| Ok((a.name.clone(), key(&format!("the key of {}", a.name), &a.key)?)))
            .collect::<Result<_, NodeError>>()?;
        Ok(Cluster { id, nodes, administrators })
    }
}

impl FileLimits {
    fn check(self) -> Result<Limits, NodeError> {
        let default = Limits::default();
        let lanes = self.lanes.unwrap_or(default.lanes);
        if !(1..=trine_consensus::limits::LANES_MAX).contains(&lanes) {
            return Err(invalid("[limits] lanes is 1 to 64"));
        }
        let jobs_running = self.jobs_running.unwrap_or(default.jobs_running);
        if jobs_running == 0 || jobs_running > 1_000 {
            return Err(invalid("[limits] jobs_running is 1 to 1000"));
        }
        Ok(Limits {
            party_wait: self.party_wait_ms.map_or(default.party_wait, Duration::from_millis),
            jobs_running,
            lanes,
            results_bytes_max: self.results_bytes_max.unwrap_or(default.results_bytes_max),
            results_keep: self.results_keep_s.map_or(default.results_keep, Duration::from_secs),
            job_memory_bytes: self
                .job_memory_mb
                .map_or(default.job_memory_bytes, |mb| mb.saturating_mul(1 << 20)),
            transaction_idle: self
                .transaction_idle_s
                .map_or(default.transaction_idle, Duration::from_secs),
            staged_keep: self
                .staged_keep_s
                .map_or(default.staged_keep, |s| Duration::from_secs(s.max(1))),
        })
    }
}

impl FileLog {
    fn check(self) -> Log {
        let default = Log::default();
        Log {
            format: self.format.unwrap_or(default.format),
            filter: self.filter.unwrap_or(default.filter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (tempfile::TempDir, String, Identity) {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::generate().unwrap();
        std::fs::write(folder.path().join("node.key"), identity.secret_hex().as_str()).unwrap();
        let node = |i: u8, key| ClusterNode {
            name: format!("org \"{i}\""),
            mesh: format!("127.0.0.1:800{i}"),
            client: format!("127.0.0.1:700{i}"),
            key,
        };
        let cluster = Cluster {
            id: ClusterId([7; 16]),
            nodes: [node(0, [1; 32]), node(1, identity.public()), node(2, [3; 32])],
            administrators: vec![("admin".into(), [9; 32])],
        };
        let text = template(&Template {
            party: Party::ALL[1],
            listen_client: "127.0.0.1:7001",
            listen_mesh: "127.0.0.1:8001",
            cluster: &cluster,
        });
        (folder, text, identity)
    }

    fn parse(folder: &Path, text: &str) -> Result<Config, String> {
        Config::parse(text, folder, &|_| None).map_err(|e| e.to_string())
    }

    #[test]
    fn the_template_is_read_back() {
        let (folder, text, identity) = sample();
        let config = parse(folder.path(), &text).unwrap();
        assert_eq!(config.party, Party::ALL[1]);
        assert_eq!(config.data_dir, folder.path().join("data"));
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.log, Log::default());
        assert_eq!(config.cluster.nodes[1].key, identity.public());
        assert_eq!(config.cluster.nodes[2].name, "org \"2\"");
        assert_eq!(config.cluster.node_name(Party::ALL[2]), "node 2 (127.0.0.1:7002)");
        assert!(!format!("{config:?}").contains(identity.secret_hex().as_str()));
    }

    #[test]
    fn the_environment_wins() {
        let (folder, text, _) = sample();
        let variable = |name: &str| match name {
            "TRINE_JOBS_RUNNING" => Some("9".to_owned()),
            "TRINE_LISTEN_MESH" => Some("0.0.0.0:1".to_owned()),
            "TRINE_LOG_FORMAT" => Some("json".to_owned()),
            _ => None,
        };
        let config = Config::parse(&text, folder.path(), &variable).unwrap();
        assert_eq!(config.limits.jobs_running, 9);
        assert_eq!(config.listen_mesh, "0.0.0.0:1");
        assert_eq!(config.log.format, LogFormat::Json);
    }

    #[test]
    fn mistakes_are_named() {
        let (folder, text, _) = sample();
        let cases = [
            (text.replace("index = 1", "index = 3"), "index is 0, 1 or 2"),
            (text.replace("index = 1", "index = 0"), "lists another for party 0"),
            (text.replace("jobs_running = 16", "jobs_runing = 4"), "unknown field `jobs_runing`"),
            (text.replace("jobs_running = 16", "jobs_running = 0"), "jobs_running is 1 to 1000"),
            (text.replace("lanes = 1", "lanes = 65"), "[limits] lanes is 1 to 64"),
            (text.replace(&hex::encode([3; 32]), "03"), "64 hexadecimal digits"),
            (text.replace(&hex::encode([3; 32]), &hex::encode([1; 32])), "three different keys"),
            (text.replace("node.key", "other.key"), "cannot read"),
        ];
        for (text, expected) in cases {
            let error = parse(folder.path(), &text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn every_part_of_the_cluster_block_counts() {
        let (folder, text, _) = sample();
        let cluster = parse(folder.path(), &text).unwrap().cluster;
        let mut other = cluster.clone();
        other.nodes[0].mesh.push('0');
        assert_ne!(cluster.digest(), other.digest());
        let mut other = cluster.clone();
        other.administrators.clear();
        assert_ne!(cluster.digest(), other.digest());
        assert_eq!(cluster.digest(), cluster.clone().digest());
    }
}
