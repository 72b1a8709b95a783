//! The client's configuration: who one is and which three nodes one speaks with.
//!
//! ```toml
//! cluster_id = "…"   # 32 hexadecimal digits
//! principal  = "ann" # the name one is enrolled under
//! secret_key = "…"   # 64 hexadecimal digits: keep this file to yourself (mode 0600)
//!
//! [[nodes]]          # three, in the order of the parties
//! address = "127.0.0.1:7001"
//! key     = "…"      # 64 hexadecimal digits: the node's public key
//! ```

use std::path::{Path, PathBuf};

use serde::Deserialize;
use trine_proto::identity::Identity;
use trine_proto::ids::ClusterId;
use trine_proto::status::{SqlError, sqlstate};

/// Everything a client has to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster; commands are signed for it.
    pub cluster_id: ClusterId,
    /// Name under which the key is enrolled (for display; nodes go by the key).
    pub principal: String,
    /// The client's key.
    pub identity: Identity,
    /// The three nodes, by party index.
    pub nodes: [NodeAddress; 3],
}

/// Where a node is and which key it must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// `host:port`.
    pub address: String,
    /// Ed25519 public key.
    pub key: [u8; 32],
}

#[derive(Deserialize)]
struct File {
    cluster_id: String,
    principal: String,
    secret_key: String,
    nodes: Vec<FileNode>,
}

#[derive(Deserialize)]
struct FileNode {
    address: String,
    key: String,
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(sqlstate::INVALID_PARAMETER, message)
}

impl Config {
    /// From the text of a configuration file.
    ///
    /// # Errors
    /// `22023` with the key that is missing or malformed; never with the secret.
    pub fn parse(text: &str) -> Result<Self, SqlError> {
        // The parser's own message quotes the line at fault, which may hold the secret key.
        let file: File = toml::from_str(text).map_err(|e| invalid(e.message().to_owned()))?;
        let cluster_id = ClusterId::from_hex(file.cluster_id.trim())
            .ok_or_else(|| invalid("cluster_id is written as 32 hexadecimal digits"))?;
        let identity = Identity::from_hex(&file.secret_key)
            .map_err(|e| invalid(format!("secret_key: {e}")))?;
        let count = file.nodes.len();
        let nodes: Vec<NodeAddress> = file
            .nodes
            .into_iter()
            .enumerate()
            .map(|(i, n)| {
                let key = hex::decode(n.key.trim())
                    .ok()
                    .and_then(|k| <[u8; 32]>::try_from(k).ok())
                    .ok_or_else(|| {
                        invalid(format!("key of node {i} is written as 64 hexadecimal digits"))
                    })?;
                Ok(NodeAddress { address: n.address, key })
            })
            .collect::<Result<_, SqlError>>()?;
        let nodes = <[NodeAddress; 3]>::try_from(nodes)
            .map_err(|_| invalid(format!("three [[nodes]] are needed, {count} are given")))?;
        Ok(Self { cluster_id, principal: file.principal, identity, nodes })
    }

    /// From a file.
    ///
    /// # Errors
    /// `22023`, naming the file.
    pub fn read(path: &Path) -> Result<Self, SqlError> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| invalid(format!("cannot read {}: {e}", path.display())))?;
        Self::parse(&text).map_err(|mut e| {
            e.message = format!("{}: {}", path.display(), e.message);
            e
        })
    }

    /// From the file given, else `$TRINE_CONFIG`, else `./client.toml`, else
    /// `trine/client.toml` in the user's configuration folder.
    ///
    /// # Errors
    /// `22023`: no file found, or the one found is malformed.
    pub fn find(given: Option<&Path>) -> Result<Self, SqlError> {
        let path = locate(given, &|name| std::env::var_os(name).map(PathBuf::from))?;
        Self::read(&path)
    }

    /// The text of a configuration file for another identity of the same cluster.
    #[must_use]
    pub fn to_toml(&self, principal: &str, identity: &Identity) -> String {
        let mut text = format!(
            "# Trine client configuration. It holds a secret key: keep it to yourself (mode 0600).\n\
             cluster_id = \"{}\"\nprincipal = {}\nsecret_key = \"{}\"\n",
            self.cluster_id,
            toml::Value::String(principal.to_owned()),
            identity.secret_hex().as_str()
        );
        for node in &self.nodes {
            text.push_str(&format!(
                "\n[[nodes]]\naddress = {}\nkey = \"{}\"\n",
                toml::Value::String(node.address.clone()),
                hex::encode(node.key)
            ));
        }
        text
    }
}

fn locate(
    given: Option<&Path>,
    variable: &dyn Fn(&str) -> Option<PathBuf>,
) -> Result<PathBuf, SqlError> {
    if let Some(path) = given {
        return Ok(path.to_path_buf());
    }
    if let Some(path) = variable("TRINE_CONFIG").filter(|p| !p.as_os_str().is_empty()) {
        return Ok(path);
    }
    let local = PathBuf::from("client.toml");
    if local.is_file() {
        return Ok(local);
    }
    let folder = variable("XDG_CONFIG_HOME")
        .filter(|p| p.is_absolute())
        .or_else(|| variable("HOME").map(|h| h.join(".config")));
    if let Some(path) = folder.map(|f| f.join("trine").join("client.toml"))
        && path.is_file()
    {
        return Ok(path);
    }
    Err(invalid("no client configuration found").hint(
        "give --config FILE, set TRINE_CONFIG, or put client.toml here or into ~/.config/trine; \
         `trined dev --dir DIR` writes DIR/client.toml",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Config, Identity) {
        let identity = Identity::generate().unwrap();
        let node = |i: u8| NodeAddress { address: format!("127.0.0.1:700{i}"), key: [i; 32] };
        let config = Config {
            cluster_id: ClusterId([7; 16]),
            principal: "ann \"x\"".into(),
            identity: identity.clone(),
            nodes: [node(1), node(2), node(3)],
        };
        (config, identity)
    }

    #[test]
    fn what_is_written_is_read() {
        let (config, identity) = sample();
        let read = Config::parse(&config.to_toml("ann \"x\"", &identity)).unwrap();
        assert_eq!(read.cluster_id, config.cluster_id);
        assert_eq!(read.principal, config.principal);
        assert_eq!(read.identity.public(), identity.public());
        assert_eq!(read.nodes, config.nodes);
    }

    #[test]
    fn a_malformed_file_is_named_without_its_secret() {
        let (config, identity) = sample();
        let good = config.to_toml("ann", &identity);
        let two = good.rsplit_once("\n[[nodes]]").unwrap().0;
        assert!(Config::parse(two).unwrap_err().message.contains("2 are given"));
        let secret = identity.secret_hex();
        let unquoted = good.replace(&format!("\"{}\"", secret.as_str()), secret.as_str());
        let error = Config::parse(&unquoted).unwrap_err();
        assert!(!format!("{error:?}").contains(secret.as_str()));
        assert!(!format!("{config:?}").contains(secret.as_str()));
    }

    #[test]
    fn the_first_place_wins() {
        let folder = tempfile::tempdir().unwrap();
        let user = folder.path().join("trine/client.toml");
        std::fs::create_dir_all(user.parent().unwrap()).unwrap();
        std::fs::write(&user, "").unwrap();
        let home = folder.path().to_path_buf();
        let none = |_: &str| None;
        let xdg = |name: &str| (name == "XDG_CONFIG_HOME").then(|| home.clone());
        let both =
            |name: &str| if name == "TRINE_CONFIG" { Some("e.toml".into()) } else { xdg(name) };
        assert_eq!(locate(Some(Path::new("g")), &both).unwrap(), Path::new("g"));
        assert_eq!(locate(None, &both).unwrap(), Path::new("e.toml"));
        assert_eq!(locate(None, &xdg).unwrap(), user);
        assert_eq!(locate(None, &none).unwrap_err().sqlstate, "22023");
    }
}
