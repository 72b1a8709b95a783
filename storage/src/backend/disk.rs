//! Files below a folder of the local disk, readable by their owner only.

use super::{Backend, BackendFile, BackendRead};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A folder on the local disk.
#[derive(Clone, Debug)]
pub struct Disk {
    root: PathBuf,
}

impl Disk {
    /// The data folder; it is made when the first file is.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Makes a folder with those above it, each durable in the one above.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = folder.parent().filter(|p| !p.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.make_folder(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => sync_folder(parent.unwrap_or_else(|| Path::new("."))),
        }
    }
}

impl Backend for Disk {
    fn create(&self, name: &str) -> io::Result<Box<dyn BackendFile>> {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            self.make_folder(folder)?;
        }
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Box::new(Writing(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn BackendRead>> {
        Ok(Box::new(Reading(File::open(self.path(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let to = self.path(to);
        fs::rename(self.path(from), &to)?;
        sync_parent(&to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        fs::remove_file(&path)?;
        sync_parent(&path)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        walk(&self.path(folder), folder, &mut |name, is_folder, _| {
            if !is_folder {
                names.push(name.to_owned());
            }
            Ok(())
        })?;
        Ok(names)
    }

    fn settle(&self, folder: &str) -> io::Result<()> {
        let root = self.path(folder);
        if root.is_dir() {
            sync_folder(&root)?;
        }
        walk(&root, folder, &mut |_, is_folder, path| {
            if is_folder { sync_folder(path) } else { Ok(()) }
        })
    }
}

/// Visits all files and folders below `path`. Names that are not UTF-8 are none of ours.
fn walk(
    path: &Path,
    name: &str,
    visit: &mut dyn FnMut(&str, bool, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(own) = entry.file_name().into_string() else { continue };
        let (name, path) = (format!("{name}/{own}"), entry.path());
        let is_folder = entry.file_type()?.is_dir();
        visit(&name, is_folder, &path)?;
        if is_folder {
            walk(&path, &name, visit)?;
        }
    }
    Ok(())
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

struct Writing(File);

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl BackendFile for Writing {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

struct Reading(File);

impl BackendRead for Reading {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}
