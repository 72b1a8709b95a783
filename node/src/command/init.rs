//! `trined init`: how three organisations make a cluster without trusting one of them with a key.
//!
//! 1. Each party: `trined init --dir D --name ORG --client-address A --mesh-address B` makes
//!    `D/node.key` and `D/node.toml`, its public entry, and sends the latter to the others.
//! 2. One of them: `trined init --cluster-from a.toml b.toml c.toml --administrator NAME -o
//!    cluster.toml` makes the common block (and `NAME.client.toml` if no key of NAME is given).
//! 3. Each party: `trined init --dir D --party N --cluster cluster.toml` makes `D/party.toml`.

use crate::config::{Cluster, ClusterNode, Template, cluster_block, node_block, template};
use crate::error::NodeError;
use crate::local::{client_toml, write_secret};
use std::path::{Path, PathBuf};
use trine_proto::identity::Identity;
use trine_proto::ids::{ClusterId, Party};

/// Arguments of `trined init`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder of this party's node.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Step 1: name of the organisation.
    #[arg(long, requires = "client_address", requires = "mesh_address", requires = "dir")]
    name: Option<String>,
    /// Step 1: HOST:PORT where clients reach the node.
    #[arg(long, value_name = "ADDRESS")]
    client_address: Option<String>,
    /// Step 1: HOST:PORT where the other nodes reach it.
    #[arg(long, value_name = "ADDRESS")]
    mesh_address: Option<String>,
    /// Step 2: the three node.toml files, in party order.
    #[arg(long, num_args = 3, value_name = "NODE.TOML", requires = "output")]
    cluster_from: Option<Vec<PathBuf>>,
    /// Step 2: who may enrol principals: NAME, or NAME=KEY with the public key of an identity that exists.
    #[arg(long, value_name = "NAME[=KEY]")]
    administrator: Vec<String>,
    /// Step 2: file for the common block.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Step 3: index of this party, 0, 1 or 2.
    #[arg(long, requires = "cluster", requires = "dir")]
    party: Option<usize>,
    /// Step 3: the common block.
    #[arg(long, value_name = "CLUSTER.TOML")]
    cluster: Option<PathBuf>,
}

/// One of the three steps.
pub(super) fn run(arguments: &Arguments) -> Result<(), NodeError> {
    match arguments {
        Arguments {
            name: Some(name),
            dir: Some(dir),
            client_address: Some(client),
            mesh_address: Some(mesh),
            ..
        } => make_keys(dir, name, client, mesh),
        Arguments { cluster_from: Some(nodes), output: Some(output), administrator, .. } => {
            make_cluster(nodes, administrator, output)
        }
        Arguments { party: Some(party), cluster: Some(cluster), dir: Some(dir), .. } => {
            make_config(dir, *party, cluster)
        }
        _ => Err(NodeError::Config(
            "give --name for step 1, --cluster-from for step 2 or --party for step 3; see trined init --help".into(),
        )),
    }
}

fn make_keys(dir: &Path, name: &str, client: &str, mesh: &str) -> Result<(), NodeError> {
    std::fs::create_dir_all(dir).map_err(NodeError::file("create", dir))?;
    let identity = Identity::generate()?;
    write_secret(&dir.join("node.key"), identity.secret_hex().as_str())?;
    let node = ClusterNode {
        name: name.into(),
        mesh: mesh.into(),
        client: client.into(),
        key: identity.public(),
    };
    let path = dir.join("node.toml");
    std::fs::write(&path, node_block(&node)).map_err(NodeError::file("write", &path))?;
    println!("{} holds this node's public entry: send it to the two other parties", path.display());
    Ok(())
}

fn make_cluster(
    nodes: &[PathBuf],
    administrators: &[String],
    output: &Path,
) -> Result<(), NodeError> {
    let mut text = String::new();
    for path in nodes {
        text.push_str(&std::fs::read_to_string(path).map_err(NodeError::file("read", path))?);
    }
    let mut made = Vec::new();
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|_| NodeError::Identity(trine_proto::identity::IdentityError::Randomness))?;
    let mut head = format!("[cluster]\nid = \"{}\"\nadministrators = [\n", ClusterId(id));
    for administrator in administrators {
        let (name, key) = match administrator.split_once('=') {
            Some((name, key)) => (name, key.to_owned()),
            None => {
                let identity = Identity::generate()?;
                let key = hex::encode(identity.public());
                made.push((administrator.as_str(), identity));
                (administrator.as_str(), key)
            }
        };
        let name = toml::Value::String(name.into());
        head.push_str(&format!("    {{ name = {name}, key = \"{key}\" }},\n"));
    }
    head.push_str("]\n");
    let cluster = Cluster::parse(&format!("{head}{text}"))?;
    std::fs::write(output, cluster_block(&cluster)).map_err(NodeError::file("write", output))?;
    println!("{} is the common block: every party needs the same file", output.display());
    for (name, identity) in made {
        let path = output.with_file_name(format!("{name}.client.toml"));
        write_secret(&path, &client_toml(&cluster, name, &identity))?;
        println!("{} is the identity of administrator {name}: keep it secret", path.display());
    }
    Ok(())
}

fn make_config(dir: &Path, party: usize, cluster: &Path) -> Result<(), NodeError> {
    let party =
        Party::new(party).ok_or_else(|| NodeError::Config("--party is 0, 1 or 2".into()))?;
    let text = std::fs::read_to_string(cluster).map_err(NodeError::file("read", cluster))?;
    let cluster = Cluster::parse(&text)?;
    let node = &cluster.nodes[party.index()];
    let text = template(&Template {
        party,
        listen_client: &node.client,
        listen_mesh: &node.mesh,
        cluster: &cluster,
    });
    let path = dir.join("party.toml");
    std::fs::write(&path, text).map_err(NodeError::file("write", &path))?;
    crate::config::Config::read(&path)?;
    println!("start this party's node with: trined run --config {}", path.display());
    Ok(())
}
