//! `trine admin`: who is enrolled, how the nodes are.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use trine_client::output::{Format, write_table};
use trine_client::{Client, OutputColumn, SqlError, Table, Value};
use trine_proto::identity::Identity;
use trine_proto::status::sqlstate;
use trine_proto::wire::NodeStatus;

use super::Failure;

#[derive(Debug, Args)]
pub(super) struct Admin {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Enrol a principal: with a key of theirs, or with a new one written to a configuration file
    Enrol {
        /// Name of the principal
        name: String,
        /// Their public key, 64 hexadecimal digits
        #[arg(long, value_name = "HEX", conflicts_with = "output", value_parser = parse_key)]
        key: Option<Key>,
        /// Make a new key and write the configuration of its client here (default: NAME.toml)
        #[arg(short = 'o', value_name = "FILE.toml")]
        output: Option<PathBuf>,
    },
    /// Who is enrolled
    Principals,
    /// What each node says of itself
    Status,
}

#[derive(Clone, Debug)]
struct Key([u8; 32]);

fn parse_key(text: &str) -> Result<Key, String> {
    hex::decode(text)
        .ok()
        .and_then(|k| k.try_into().ok())
        .map(Key)
        .ok_or_else(|| "64 hexadecimal digits are expected".to_owned())
}

impl Admin {
    pub(super) async fn run(self, client: &Client) -> Result<(), Failure> {
        match self.action {
            Action::Enrol { name, key: Some(Key(key)), .. } => {
                client.enrol(&name, key).await?;
                println!("enrolled {name}");
            }
            Action::Enrol { name, key: None, output } => {
                let path = match output {
                    Some(path) => path,
                    None => default_path(&name)?,
                };
                enrol_new(client, &name, &path).await?;
                println!("enrolled {name}; its configuration is {}", path.display());
            }
            Action::Principals => show(&principals(client).await?)?,
            Action::Status => {
                let outcomes = client.status().await;
                let up = outcomes.iter().filter(|o| o.is_ok()).count();
                show(&statuses(outcomes))?;
                if up < 3 {
                    return Err(Failure::Reported);
                }
            }
        }
        Ok(())
    }
}

fn show(table: &Table) -> Result<(), Failure> {
    Ok(write_table(&mut io::stdout(), table, Format::Table)?)
}

fn default_path(name: &str) -> Result<PathBuf, Failure> {
    if name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_') {
        return Ok(PathBuf::from(format!("{name}.toml")));
    }
    Err(SqlError::new(sqlstate::INVALID_PARAMETER, "the name makes no file name")
        .hint("say where the configuration goes with -o FILE.toml")
        .into())
}

/// The file is written first: a key that is enrolled and lost would be of no use to anybody.
async fn enrol_new(client: &Client, name: &str, path: &Path) -> Result<(), Failure> {
    let identity =
        Identity::generate().map_err(|e| SqlError::new(sqlstate::INTERNAL_ERROR, e.to_string()))?;
    write_secret(path, &client.config().to_toml(name, &identity))?;
    if let Err(error) = client.enrol(name, identity.public()).await {
        std::fs::remove_file(path).ok();
        return Err(error.into());
    }
    Ok(())
}

/// Writes a new file that only its owner can read.
fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    Ok(written
        .map_err(|e| io::Error::new(e.kind(), format!("cannot write {}: {e}", path.display())))?)
}

async fn principals(client: &Client) -> Result<Table, SqlError> {
    let columns = ["name", "role", "public key"].map(OutputColumn::text).to_vec();
    let rows = client
        .principals()
        .await?
        .into_iter()
        .map(|p| {
            let role = if p.administrator { "administrator" } else { "" };
            [p.name, role.to_owned(), hex::encode(p.public_key)].map(Value::Text).to_vec()
        })
        .collect();
    Ok(Table { columns, rows, explain: None })
}

fn statuses(outcomes: Vec<Result<NodeStatus, SqlError>>) -> Table {
    let names = [
        "node",
        "state",
        "version",
        "log position",
        "leader",
        "mesh",
        "you are",
        "segments",
        "reclaimed",
        "log",
        "share generation",
        "packed",
        "results",
    ];
    let rows = outcomes
        .into_iter()
        .enumerate()
        .map(|(i, outcome)| {
            let cells = match outcome {
                Ok(s) => up(i, s).to_vec(),
                Err(e) => {
                    let mut cells = vec![e.message];
                    cells.resize(names.len() - 1, String::new());
                    cells
                }
            };
            std::iter::once(i.to_string()).chain(cells).map(Value::Text).collect()
        })
        .collect();
    Table { columns: names.map(OutputColumn::text).to_vec(), rows, explain: None }
}

/// The cells of a node that answers, behind its number.
fn up(node: usize, s: NodeStatus) -> [String; 12] {
    let leader = if s.leader < 0 { "none".to_owned() } else { format!("node {}", s.leader) };
    let others = s.mesh_up.iter().enumerate().filter(|(p, _)| *p != node);
    let mesh: Vec<String> =
        others.map(|(p, up)| format!("{p} {}", if *up { "up" } else { "down" })).collect();
    let who = if s.principal.is_empty() { "not enrolled".into() } else { s.principal };
    let kept = s.housekeeping.unwrap_or_default();
    [
        "up".to_owned(),
        s.version,
        s.applied_index.to_string(),
        leader,
        mesh.join(", "),
        who,
        format!("{} listed, {} staged", kept.segments_listed, kept.segments_staged),
        format!("{} files, {} bytes", kept.segments_removed, kept.bytes_reclaimed),
        format!("{} to {}, snapshot at {}", kept.log_first, kept.log_last, kept.snapshot),
        kept.share_generation.to_string(),
        format!("{} into {}", kept.segments_packed, kept.packs),
        format!("{}, {} bytes", kept.results, kept.results_bytes),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_proto::wire::Housekeeping;

    #[test]
    fn a_secret_is_written_once_and_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        write_secret(&path, "secret").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "secret");
        assert!(write_secret(&path, "other").is_err(), "an existing file is never replaced");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_node_that_is_down_is_a_row_of_its_own() {
        let status = NodeStatus {
            mesh_up: vec![true, true, false],
            applied_index: 7,
            leader: 1,
            principal: "ann".into(),
            housekeeping: Some(Housekeeping {
                segments_listed: 3,
                segments_staged: 1,
                segments_removed: 2,
                bytes_reclaimed: 99,
                log_first: 5,
                log_last: 9,
                snapshot: 6,
                share_generation: 4,
                segments_packed: 64,
                packs: 2,
                results: 3,
                results_bytes: 120,
                ..Default::default()
            }),
            ..Default::default()
        };
        let down = SqlError::new(sqlstate::NODE_UNAVAILABLE, "node 1 (x:1) is down: refused");
        let table = statuses(vec![Ok(status), Err(down)]);
        let shown = |i: usize| table.rows[i].iter().map(ToString::to_string).collect::<Vec<_>>();
        let (first, behind) = (&shown(0)[..7], &shown(0)[7..]);
        assert_eq!(first, ["0", "up", "", "7", "node 1", "1 up, 2 down", "ann"]);
        assert_eq!(
            behind,
            [
                "3 listed, 1 staged",
                "2 files, 99 bytes",
                "5 to 9, snapshot at 6",
                "4",
                "64 into 2",
                "3, 120 bytes"
            ]
        );
        assert_eq!(shown(1).len(), shown(0).len());
        assert_eq!(shown(1)[1], "node 1 (x:1) is down: refused");
    }
}
