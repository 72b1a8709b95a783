//! Files in memory: for tests, and for clusters that live in one process.

use super::{Backend, BackendFile, BackendRead};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files in memory. It knows what was synced, so that a crash can be played.
#[derive(Default)]
pub struct Memory {
    files: Mutex<BTreeMap<String, Arc<Mutex<Content>>>>,
}

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    /// Bytes that survive a crash for sure.
    synced: usize,
}

impl Memory {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of a file, if there is one.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        self.find(name).ok().map(|file| lock(&file).bytes.clone())
    }

    /// Puts a file there as it is, synced.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let content = Content { synced: bytes.len(), bytes };
        lock(&self.files).insert(name.into(), Arc::new(Mutex::new(content)));
    }

    /// What is found after a crash: of every file the synced bytes, and of those after them the
    /// first `unsynced_kept` at most.
    #[must_use]
    pub fn after_crash(&self, unsynced_kept: usize) -> Self {
        let survivors = Self::new();
        for (name, file) in lock(&self.files).iter() {
            let content = lock(file);
            let kept = content.synced.saturating_add(unsynced_kept).min(content.bytes.len());
            survivors.put(name, content.bytes[..kept].to_vec());
        }
        survivors
    }

    fn find(&self, name: &str) -> io::Result<Arc<Mutex<Content>>> {
        let files = lock(&self.files);
        files.get(name).map(Arc::clone).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Backend for Memory {
    fn create(&self, name: &str) -> io::Result<Box<dyn BackendFile>> {
        let content = Arc::new(Mutex::new(Content::default()));
        lock(&self.files).insert(name.into(), Arc::clone(&content));
        Ok(Box::new(Handle(content)))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn BackendRead>> {
        Ok(Box::new(Handle(self.find(name)?)))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = lock(&self.files);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.into(), file);
        Ok(())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = lock(&self.files).remove(name);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{folder}/");
        Ok(lock(&self.files).keys().filter(|name| name.starts_with(&prefix)).cloned().collect())
    }
    fn settle(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

struct Handle(Arc<Mutex<Content>>);

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BackendFile for Handle {
    fn sync(&mut self) -> io::Result<()> {
        let mut content = lock(&self.0);
        content.synced = content.bytes.len();
        Ok(())
    }
}

impl BackendRead for Handle {
    fn length(&self) -> io::Result<u64> {
        Ok(lock(&self.0).bytes.len() as u64)
    }
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        lock(&self.0).bytes.as_slice().read_at(offset, length)
    }
}

/// A panic elsewhere leaves the map and the bytes whole: every change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
