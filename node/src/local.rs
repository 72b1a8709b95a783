//! Three parties on one machine: keys, configurations and ports under one folder. `trined dev` runs
//! them as processes, the test cluster inside one.

use crate::config::{Cluster, ClusterNode, Config, Template, template};
use crate::error::NodeError;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use trine_proto::identity::Identity;
use trine_proto::ids::{ClusterId, Party};

/// Name of the principal that is made with a new cluster.
const ADMINISTRATOR: &str = "admin";

/// Folder of one party.
pub(crate) fn node_dir(dir: &Path, party: Party) -> PathBuf {
    dir.join(format!("node{party}"))
}

/// Keys and configurations of a new cluster, and `client.toml` of its administrator; the ports come
/// with [`assign_ports`].
pub(crate) fn make(dir: &Path) -> Result<(), NodeError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|_| NodeError::Identity(trine_proto::identity::IdentityError::Randomness))?;
    let admin = Identity::generate()?;
    let mut nodes = Vec::new();
    for party in Party::ALL {
        let folder = node_dir(dir, party);
        std::fs::create_dir_all(&folder).map_err(NodeError::file("create", &folder))?;
        let identity = Identity::generate()?;
        write_secret(&folder.join("node.key"), identity.secret_hex().as_str())?;
        nodes.push(ClusterNode {
            name: format!("party {party}"),
            mesh: "127.0.0.1:0".into(),
            client: "127.0.0.1:0".into(),
            key: identity.public(),
        });
    }
    let nodes =
        nodes.try_into().map_err(|_| NodeError::Config("three nodes were to be made".into()))?;
    let administrators = vec![(ADMINISTRATOR.to_owned(), admin.public())];
    let cluster = Cluster { id: ClusterId(id), nodes, administrators };
    write_configs(dir, &cluster)?;
    write_secret(&dir.join("client.toml"), &client_toml(&cluster, ADMINISTRATOR, &admin))
}

fn write_configs(dir: &Path, cluster: &Cluster) -> Result<(), NodeError> {
    for party in Party::ALL {
        let node = &cluster.nodes[party.index()];
        let text = template(&Template {
            party,
            listen_client: &node.client,
            listen_mesh: &node.mesh,
            cluster,
        });
        let path = node_dir(dir, party).join("party.toml");
        std::fs::write(&path, text).map_err(NodeError::file("write", &path))?;
    }
    Ok(())
}

/// The configuration of a client, with its secret key.
pub(crate) fn client_toml(cluster: &Cluster, principal: &str, identity: &Identity) -> String {
    let mut text = format!(
        "# Who a client is and where the three nodes are. Keep this file secret.\n\
         cluster_id = \"{}\"\nprincipal = {}\nsecret_key = \"{}\"\n",
        cluster.id,
        toml::Value::String(principal.into()),
        identity.secret_hex().as_str()
    );
    for node in &cluster.nodes {
        text.push_str(&format!(
            "\n[[nodes]]\naddress = \"{}\"\nkey = \"{}\"\n",
            node.client,
            hex::encode(node.key)
        ));
    }
    text
}

/// Ports: those asked for, else those of the last run if they are free, else free ones.
pub(crate) fn assign_ports(dir: &Path, base: Option<u16>) -> Result<(), NodeError> {
    let config = Config::read(&node_dir(dir, Party::ALL[0]).join("party.toml"))?;
    let mut cluster = config.cluster;
    let before: Vec<String> =
        cluster.nodes.iter().flat_map(|n| [n.client.clone(), n.mesh.clone()]).collect();
    let addresses: Vec<String> = match base {
        Some(base) => {
            let port = |offset: u16| {
                base.checked_add(offset)
                    .map(|port| format!("127.0.0.1:{port}"))
                    .ok_or_else(|| NodeError::Config("--port is too high for six ports".into()))
            };
            let ports = [0, 3, 1, 4, 2, 5].map(port).into_iter().collect::<Result<Vec<_>, _>>()?;
            listen_all(&ports)?;
            ports
        }
        None if before.iter().all(|a| !a.ends_with(":0")) && listen_all(&before).is_ok() => {
            before.clone()
        }
        None => free_addresses()?,
    };
    if addresses == before {
        return Ok(());
    }
    for (node, pair) in cluster.nodes.iter_mut().zip(addresses.chunks(2)) {
        node.client.clone_from(&pair[0]);
        node.mesh.clone_from(&pair[1]);
    }
    write_configs(dir, &cluster)?;
    let identity = client_identity(dir)?;
    let path = dir.join("client.toml");
    std::fs::remove_file(&path).map_err(NodeError::file("replace", &path))?;
    write_secret(&path, &client_toml(&cluster, ADMINISTRATOR, &identity))
}

/// The administrator's identity, from `client.toml`.
pub(crate) fn client_identity(dir: &Path) -> Result<Identity, NodeError> {
    let path = dir.join("client.toml");
    let text = std::fs::read_to_string(&path).map_err(NodeError::file("read", &path))?;
    let secret = toml::from_str::<toml::Table>(&text)
        .ok()
        .and_then(|t| t.get("secret_key").and_then(|k| k.as_str().map(str::to_owned)))
        .ok_or_else(|| NodeError::Config(format!("{} has no secret_key", path.display())))?;
    Ok(Identity::from_hex(&secret)?)
}

/// Whether all addresses can be listened on.
fn listen_all(addresses: &[String]) -> Result<Vec<TcpListener>, NodeError> {
    addresses
        .iter()
        .map(|address| {
            TcpListener::bind(address)
                .map_err(|source| NodeError::Listen { address: address.clone(), source })
        })
        .collect()
}

fn free_addresses() -> Result<Vec<String>, NodeError> {
    let any = vec!["127.0.0.1:0".to_owned(); 6];
    let listeners = listen_all(&any)?;
    listeners
        .iter()
        .map(|l| l.local_addr().map(|a| a.to_string()).map_err(NodeError::System))
        .collect()
}

/// A new file that only its owner may read; an existing one is not overwritten.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), NodeError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(NodeError::file("write", path))
}
