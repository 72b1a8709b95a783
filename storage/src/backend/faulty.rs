//! A backend that crashes: every call counts down, one fails, and all after it fail too.

use super::{Backend, BackendFile, BackendRead, Memory};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of the failing call is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// Nothing.
    Before,
    /// Half of the bytes, if it is a write; else nothing.
    Half,
    /// All of it; only the answer is lost.
    After,
}

/// Memory whose process dies after a number of calls. Afterwards [`Memory::after_crash`] says what
/// is left.
pub struct Faulty {
    memory: Arc<Memory>,
    fuse: Arc<Fuse>,
}

struct Fuse {
    calls_left: AtomicU64,
    tear: Tear,
}

/// What a call is to do.
enum Fate {
    Work,
    /// The call at which it crashes.
    Crash,
    Dead,
}

impl Faulty {
    /// Crashes at the call after `calls` calls.
    #[must_use]
    pub fn new(memory: Arc<Memory>, calls: u64, tear: Tear) -> Self {
        // One more for the crash itself; 0 is dead.
        let calls_left = AtomicU64::new(calls.saturating_add(1));
        Self { memory, fuse: Arc::new(Fuse { calls_left, tear }) }
    }

    /// Whether it has crashed.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.fuse.calls_left.load(Ordering::SeqCst) == 0
    }
}

impl Fuse {
    fn next(&self) -> Fate {
        let before =
            self.calls_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match before {
            Err(_) => Fate::Dead,
            Ok(1) => Fate::Crash,
            Ok(_) => Fate::Work,
        }
    }

    /// Runs a call that is done entirely or not at all.
    fn run<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.next() {
            Fate::Work => call(),
            Fate::Dead => Err(crash()),
            Fate::Crash => {
                if self.tear == Tear::After {
                    call()?;
                }
                Err(crash())
            }
        }
    }
}

fn crash() -> io::Error {
    io::Error::other("the backend has crashed")
}

impl Backend for Faulty {
    fn create(&self, name: &str) -> io::Result<Box<dyn BackendFile>> {
        let file = self.fuse.run(|| self.memory.create(name))?;
        Ok(Box::new(FaultyFile { file, fuse: Arc::clone(&self.fuse) }))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn BackendRead>> {
        let file = self.fuse.run(|| self.memory.open(name))?;
        Ok(Box::new(FaultyRead { file, fuse: Arc::clone(&self.fuse) }))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.fuse.run(|| self.memory.rename(from, to))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.fuse.run(|| self.memory.remove(name))
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.fuse.run(|| self.memory.list(folder))
    }
    fn settle(&self, folder: &str) -> io::Result<()> {
        self.fuse.run(|| self.memory.settle(folder))
    }
}

struct FaultyFile {
    file: Box<dyn BackendFile>,
    fuse: Arc<Fuse>,
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (self.fuse.next(), self.fuse.tear) {
            (Fate::Work, _) => return self.file.write(bytes),
            (Fate::Crash, Tear::Half) => self.file.write_all(&bytes[..bytes.len() / 2])?,
            (Fate::Crash, Tear::After) => self.file.write_all(bytes)?,
            (Fate::Crash, Tear::Before) | (Fate::Dead, _) => {}
        }
        Err(crash())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BackendFile for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        let file = &mut self.file;
        self.fuse.run(|| file.sync())
    }
}

struct FaultyRead {
    file: Box<dyn BackendRead>,
    fuse: Arc<Fuse>,
}

impl BackendRead for FaultyRead {
    fn length(&self) -> io::Result<u64> {
        self.fuse.run(|| self.file.length())
    }
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.fuse.run(|| self.file.read_at(offset, length))
    }
}
