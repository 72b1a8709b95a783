//! Where files live: the one seam of this crate.
//!
//! Names are relative, with `/` between their parts. A file is written under one name, synced, and
//! then renamed; afterwards it is only read and removed.

mod disk;
#[cfg(feature = "testing")]
mod faulty;
mod memory;

pub use disk::Disk;
#[cfg(feature = "testing")]
pub use faulty::{Faulty, Tear};
pub use memory::Memory;

use std::io;

/// A place for files.
pub trait Backend: Send + Sync {
    /// Creates an empty file (or empties the one of that name), with its folders.
    ///
    /// # Errors
    /// Those of the medium.
    fn create(&self, name: &str) -> io::Result<Box<dyn BackendFile>>;
    /// Opens a file for reading; it stays readable through the handle after a removal.
    ///
    /// # Errors
    /// `NotFound`, or those of the medium.
    fn open(&self, name: &str) -> io::Result<Box<dyn BackendRead>>;
    /// Renames a synced file within its folder, atomically; durable on return.
    ///
    /// # Errors
    /// Those of the medium; it is then open whether the file has the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; durable on return.
    ///
    /// # Errors
    /// `NotFound`, or those of the medium.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Names of all files in a folder and below, in any order; none if there is no such folder.
    ///
    /// # Errors
    /// Those of the medium.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;
    /// Makes durable every name in a folder and below that an earlier process may have left unsynced.
    ///
    /// # Errors
    /// Those of the medium.
    fn settle(&self, folder: &str) -> io::Result<()>;
}

/// A file that is being written, from its beginning to its end.
pub trait BackendFile: io::Write + Send {
    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// Those of the medium.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that is being read.
pub trait BackendRead: Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// Those of the medium.
    fn length(&self) -> io::Result<u64>;
    /// Exactly `length` bytes from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before, or those of the medium.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

/// Bytes in memory.
impl BackendRead for &[u8] {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        self.get(start..start.saturating_add(length))
            .map(<[u8]>::to_vec)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
