//! Configuration files as text, with every key explained.

use super::{Cluster, ClusterNode, DEFAULT_FILTER};
use trine_proto::ids::Party;

/// What [`template`] fills in.
#[derive(Debug)]
pub struct Template<'a> {
    /// Party index.
    pub party: Party,
    /// Where this node listens for clients.
    pub listen_client: &'a str,
    /// Where it listens for the other nodes.
    pub listen_mesh: &'a str,
    /// The whole `[cluster]` block.
    pub cluster: &'a Cluster,
}

/// The text of a `party.toml` with every key explained. The secret key is in `node.key` beside it.
#[must_use]
pub fn template(t: &Template<'_>) -> String {
    let quote = |s: &str| toml::Value::String(s.to_owned()).to_string();
    let mut text = format!(
        "# Configuration of one party's node (trined). Every key that is not in [cluster] can be\n\
         # overridden by an environment variable, named in brackets.\n\
         \n[party]\n\
         # Which party this is: the place of its node in [[cluster.nodes]], from 0.\n\
         index = {index}\n\
         # Folder of shares and replicated state, from the folder of this file. [TRINE_DATA_DIR]\n\
         data_dir = \"data\"\n\
         # File with the node's secret key, 64 hexadecimal digits, mode 0600. [TRINE_KEY_FILE]\n\
         key_file = \"node.key\"\n\
         # Address that clients connect to. [TRINE_LISTEN_CLIENT]\n\
         listen_client = {client}\n\
         # Address that the two other nodes connect to. [TRINE_LISTEN_MESH]\n\
         listen_mesh = {mesh}\n\
         # Address of a page with numbers for Prometheus, without TLS: whoever reaches it may read it.\n\
         # Empty: there is none. [TRINE_LISTEN_METRICS]\n\
         listen_metrics = \"\"\n\
         \n[limits]\n\
         # Milliseconds that a query waits for a party that is down. [TRINE_PARTY_WAIT_MS]\n\
         party_wait_ms = 10000\n\
         # Queries and key checks that run at one time. [TRINE_JOBS_RUNNING]\n\
         jobs_running = 16\n\
         # Threads that one query may compute with; the least of the three nodes counts. [TRINE_LANES]\n\
         lanes = 1\n\
         # Bytes of finished results that are kept for their clients. [TRINE_RESULTS_BYTES_MAX]\n\
         results_bytes_max = 1073741824\n\
         # Seconds that a finished result is kept. [TRINE_RESULTS_KEEP_S]\n\
         results_keep_s = 3600\n\
         # Megabytes that one job may need, by what its plan says; the least of the three nodes counts;\n\
         # 0: the memory of the machine. [TRINE_JOB_MEMORY_MB]\n\
         job_memory_mb = 0\n\
         # Seconds of silence after which an open transaction is rolled back. [TRINE_TRANSACTION_IDLE_S]\n\
         transaction_idle_s = 600\n\
         # Seconds that an uploaded batch may wait for its commit before it is given up.\n\
         # [TRINE_STAGED_KEEP_S]\n\
         staged_keep_s = 3600\n\
         \n[log]\n\
         # text or json. [TRINE_LOG_FORMAT]\n\
         format = \"text\"\n\
         # What to log: error, warn, info, debug, or by module. [TRINE_LOG]\n\
         filter = \"{DEFAULT_FILTER}\"\n",
        index = t.party,
        client = quote(t.listen_client),
        mesh = quote(t.listen_mesh),
    );
    text.push_str(&cluster_block(t.cluster));
    text
}

/// The `[cluster]` block, to be copied to the three parties without a change.
#[must_use]
pub fn cluster_block(cluster: &Cluster) -> String {
    let quote = |s: &str| toml::Value::String(s.to_owned()).to_string();
    let mut text = format!(
        "\n# From here on the file is identical at all three parties; the nodes compare it.\n\
         [cluster]\n\
         # Drawn when the cluster was made.\n\
         id = \"{}\"\n\
         # Principals that may enrol others.\n\
         administrators = [\n",
        cluster.id
    );
    for (name, key) in &cluster.administrators {
        text.push_str(&format!(
            "    {{ name = {}, key = \"{}\" }},\n",
            quote(name),
            hex::encode(key)
        ));
    }
    text.push_str("]\n");
    text.extend(cluster.nodes.iter().map(node_block));
    text
}

/// One node's public entry in the `[cluster]` block.
#[must_use]
pub fn node_block(node: &ClusterNode) -> String {
    let quote = |s: &str| toml::Value::String(s.to_owned()).to_string();
    format!(
        "\n[[cluster.nodes]]\n\
         # Organisation; where the other nodes and where clients reach its node; its public key.\n\
         name = {}\nmesh = {}\nclient = {}\nkey = \"{}\"\n",
        quote(&node.name),
        quote(&node.mesh),
        quote(&node.client),
        hex::encode(node.key)
    )
}
