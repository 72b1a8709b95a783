//! What a backup says of itself.
//!
//! TOML: the format version on the first line, a keyed digest of all that follows on the second. Every
//! digest is keyed from the party's secret key, each kind under a context of its own.

use crate::error::NodeError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use trine_proto::identity::Identity;

/// Version of the layout of a backup.
const FORMAT: u32 = 1;
/// Name of the manifest.
pub(super) const MANIFEST: &str = "manifest.toml";
/// Name of the replicated state.
pub(super) const STATE: &str = "state";

const FILE_CONTEXT: &str = "trine backup file digest v1";
const MANIFEST_CONTEXT: &str = "trine backup manifest digest v1";

/// Keys of the digests of one party's backups.
pub(super) struct Keys {
    file: [u8; 32],
    manifest: [u8; 32],
}

impl Keys {
    pub(super) fn of(identity: &Identity) -> Self {
        let secret = identity.secret_hex();
        let key = |context| blake3::derive_key(context, secret.as_bytes());
        Self { file: key(FILE_CONTEXT), manifest: key(MANIFEST_CONTEXT) }
    }

    /// Begins the digest of a file: it covers the name, so that no two can be exchanged.
    pub(super) fn file(&self, name: &str) -> FileDigest {
        let mut hasher = blake3::Hasher::new_keyed(&self.file);
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        FileDigest(hasher)
    }

    fn manifest(&self, body: &str) -> String {
        blake3::keyed_hash(&self.manifest, body.as_bytes()).to_hex().to_string()
    }
}

/// The digest of one file, being made.
pub(super) struct FileDigest(blake3::Hasher);

impl FileDigest {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    pub(super) fn finish(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Version of the program that wrote it.
    pub(super) software: String,
    /// Cluster id in hexadecimal.
    pub(super) cluster: String,
    /// Whose part it is.
    pub(super) party: usize,
    /// Log position.
    pub(super) position: u64,
    /// Rolling digest of the log there, in hexadecimal.
    pub(super) log_digest: String,
    /// How often shares had been refreshed.
    pub(super) share_generation: u64,
    /// All files but the manifest.
    pub(super) files: Vec<Entry>,
}

/// One file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Name below the backup's folder.
    pub(super) name: String,
    /// Its length.
    pub(super) bytes: u64,
    /// Its keyed digest in hexadecimal.
    pub(super) digest: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, {} bytes)", self.name, self.bytes)
    }
}

impl Manifest {
    /// The text of the file.
    pub(super) fn seal(&self, keys: &Keys) -> Result<String, NodeError> {
        let body = toml::to_string(self)
            .map_err(|e| NodeError::Backup(format!("the manifest cannot be written: {e}")))?;
        Ok(format!("format = {FORMAT}\nmac = \"{}\"\n{body}", keys.manifest(&body)))
    }

    /// Reads and checks the text found in `folder`.
    pub(super) fn open(folder: &Path, text: &str, keys: &Keys) -> Result<Self, NodeError> {
        let refused = |what: String| NodeError::Backup(format!("{}: {what}", folder.display()));
        let unreadable = || refused(format!("{MANIFEST} is not that of a backup"));
        let (first, rest) = text.split_once('\n').ok_or_else(unreadable)?;
        let found = first.strip_prefix("format = ").and_then(|f| f.parse::<u32>().ok());
        let found = found.ok_or_else(unreadable)?;
        if found != FORMAT {
            return Err(refused(format!(
                "the backup has format version {found}; this version reads {FORMAT}"
            )));
        }
        let (second, body) = rest.split_once('\n').ok_or_else(unreadable)?;
        if second != format!("mac = \"{}\"", keys.manifest(body)) {
            return Err(refused(format!(
                "{MANIFEST} was changed, or was not written under this party's key"
            )));
        }
        toml::from_str(body).map_err(|_| unreadable())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_back_by_its_own_party_only() {
        let keys = Keys::of(&Identity::from_hex(&"11".repeat(32)).unwrap());
        let mut digest = keys.file("state");
        digest.update(b"abc");
        let entry = Entry { name: "state".into(), bytes: 3, digest: digest.finish() };
        let manifest = Manifest {
            software: "0.1.0".into(),
            cluster: "ab".repeat(16),
            party: 1,
            position: 57,
            log_digest: "cd".repeat(32),
            share_generation: 2,
            files: vec![entry],
        };
        let text = manifest.seal(&keys).unwrap();
        let folder = Path::new("/b");
        assert_eq!(Manifest::open(folder, &text, &keys).unwrap(), manifest);
        let error = |text: &str, keys| Manifest::open(folder, text, keys).unwrap_err().to_string();
        let changed = "/b: manifest.toml was changed, or was not written under this party's key";
        assert_eq!(error(&text.replace("position = 57", "position = 58"), &keys), changed);
        let other = Keys::of(&Identity::from_hex(&"12".repeat(32)).unwrap());
        assert_eq!(error(&text, &other), changed);
        assert_eq!(
            error(&text.replacen("format = 1", "format = 2", 1), &keys),
            "/b: the backup has format version 2; this version reads 1"
        );
        for bad in ["", "format = x\n", "hello\nworld\n", "format = 1\n"] {
            assert_eq!(error(bad, &keys), "/b: manifest.toml is not that of a backup");
        }
        // Digests depend on the key and on the name.
        let digest = |keys: &Keys, name: &str| keys.file(name).finish();
        assert_ne!(digest(&keys, "a"), digest(&other, "a"));
        assert_ne!(digest(&keys, "a"), digest(&keys, "b"));
    }
}
