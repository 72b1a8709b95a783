//! Result shares of finished jobs, on disk until they expire: a client that asks again gets its result,
//! whichever nodes were killed meanwhile.
//!
//! A result is durable here before this node tells the log that it has its part. Files lie in `results`
//! below the data folder, one each, readable by their owner only; memory holds an index of them. What is
//! too old, beyond the bound in bytes, damaged, or of a job that is over without a result is deleted.

mod file;

pub(crate) use file::{Cursor, ResultReader};

use crate::clock::now_ms;
use crate::fail_point;
use file::Head;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use trine_proto::catalog::{Catalog, JobStatus};
use trine_proto::ids::{ClusterId, JobId, Party, TransactionId};
use trine_proto::status::{SqlError, sqlstate};
use trine_query::ResultShares;
use trine_storage::Backend;

/// Folder of all results, below the data folder.
const FOLDER: &str = "results";
const COMPLETE: &str = ".result";
const PARTIAL: &str = ".result.partial";

/// A result that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The attempt that made it.
    pub(crate) attempt: u32,
    /// Report of a transaction: whose it is.
    pub(crate) owner: Option<String>,
}

struct Entry {
    kept: Kept,
    /// Of the file.
    bytes: u64,
    expires: Instant,
    /// Order of arrival.
    turn: u64,
}

#[derive(Default)]
struct Shelf {
    kept: BTreeMap<JobId, Entry>,
    bytes: u64,
    turn: u64,
}

/// All finished results of this node; bounded in bytes and age, the oldest go first.
pub(crate) struct Results {
    backend: Arc<dyn Backend>,
    whose: (ClusterId, Party),
    shelf: Mutex<Shelf>,
    bytes_max: u64,
    keep: Duration,
}

impl Results {
    /// Finds what an earlier process has kept. What it has not finished writing, or what is damaged, goes.
    ///
    /// # Errors
    /// Those of the medium.
    pub(crate) fn open(
        backend: Arc<dyn Backend>,
        cluster: ClusterId,
        party: Party,
        bytes_max: u64,
        keep: Duration,
    ) -> io::Result<Self> {
        backend.settle(FOLDER)?;
        let results =
            Self { backend, whose: (cluster, party), shelf: Mutex::default(), bytes_max, keep };
        let mut found = Vec::new();
        for name in results.backend.list(FOLDER)? {
            match results.backend.open(&name).and_then(ResultReader::open) {
                Ok(reader) if results.is_mine(&name, reader.head()) => {
                    let head = reader.head();
                    let kept = Kept { attempt: head.attempt, owner: head.owner.clone() };
                    found.push((head.kept_at_ms, head.job, kept, reader.bytes));
                }
                Ok(_) => results.delete(&name, "it is no result of this node"),
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                    results.delete(&name, &e.to_string());
                }
                Err(e) => return Err(e),
            }
        }
        found.sort_by_key(|(kept_at_ms, _, kept, _)| (*kept_at_ms, kept.attempt));
        let now = now_ms();
        for (kept_at_ms, job, kept, bytes) in found {
            // A clock that was ahead must not keep a result for longer than it would be kept anew.
            let age = Duration::from_millis(now.saturating_sub(kept_at_ms));
            results.shelve(job, kept, bytes, age);
        }
        results.expire();
        Ok(results)
    }

    /// Keeps a result, durably, in place of one of an earlier attempt. Blocks on the disk.
    ///
    /// # Errors
    /// What the client is told when there is no room for it.
    pub(crate) fn put(
        &self,
        job: JobId,
        kept: Kept,
        shares: &ResultShares,
    ) -> Result<(), SqlError> {
        fail_point::reach("result.write");
        let attempt = kept.attempt;
        let head = Head::of(self.whose, (job, attempt), kept.owner.clone(), now_ms(), shares);
        let (partial, complete) =
            (format!("{FOLDER}/{job}-{attempt}{PARTIAL}"), file_of(job, attempt));
        let bytes = file::write(self.backend.as_ref(), (&partial, &complete), &head, shares);
        let bytes = bytes.map_err(|e| {
            // What is left of it goes at the next start at the latest.
            let _ = self.backend.remove(&partial);
            tracing::error!(%job, error = %e, "a result cannot be kept");
            not_kept(self.whose.1, &e)
        })?;
        fail_point::reach("result.kept");
        self.shelve(job, kept, bytes, Duration::ZERO);
        self.expire();
        Ok(())
    }

    /// Deletes results that nobody can fetch any more: of jobs that ended without one or with that of another
    /// attempt, and of jobs that the log has forgotten.
    pub(crate) fn release(&self, catalog: &Catalog) {
        let over = |(job, entry): (&JobId, &Entry)| match catalog.jobs.get(job).map(|j| &j.status) {
            Some(JobStatus::Active) => false,
            Some(JobStatus::Done) => {
                catalog.jobs.get(job).is_some_and(|j| j.attempt != entry.kept.attempt)
            }
            Some(JobStatus::Failed(_) | JobStatus::Cancelled) => true,
            None => !catalog.transactions.contains_key(&TransactionId(job.0)),
        };
        let mut shelf = self.shelf();
        let gone: Vec<JobId> =
            shelf.kept.iter().filter(|entry| over(*entry)).map(|(job, _)| *job).collect();
        for job in gone {
            self.drop_from(&mut shelf, &job);
        }
    }

    /// Deletes what is too old.
    pub(crate) fn expire(&self) {
        let mut shelf = self.shelf();
        let now = Instant::now();
        let old = shelf.kept.iter().filter(|(_, entry)| entry.expires <= now);
        let old: Vec<JobId> = old.map(|(job, _)| *job).collect();
        for job in old {
            self.drop_from(&mut shelf, &job);
        }
    }

    /// The result of a job, if it is still here. Cost: a look into the index.
    pub(crate) fn kept(&self, job: JobId) -> Option<Kept> {
        let shelf = self.shelf();
        let entry = shelf.kept.get(&job)?;
        (Instant::now() < entry.expires).then(|| entry.kept.clone())
    }

    /// How many results are here, and their bytes.
    pub(crate) fn extent(&self) -> (u64, u64) {
        let shelf = self.shelf();
        (shelf.kept.len() as u64, shelf.bytes)
    }

    /// Opens a result for reading. A damaged one is forgotten. Blocks on the disk.
    ///
    /// # Errors
    /// What the client is told.
    pub(crate) fn reader(&self, job: JobId, attempt: u32) -> Result<ResultReader, SqlError> {
        let opened = self.backend.open(&file_of(job, attempt)).and_then(ResultReader::open);
        opened.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => gone(job),
            _ => self.damaged(job, &e),
        })
    }

    /// The error for a result that cannot be read, which is forgotten.
    pub(crate) fn damaged(&self, job: JobId, error: &io::Error) -> SqlError {
        tracing::error!(%job, %error, "a kept result cannot be read");
        self.drop_from(&mut self.shelf(), &job);
        let party = self.whose.1;
        let message = format!("the result of job {job} cannot be read at node {party}: {error}");
        SqlError::new(sqlstate::DATA_CORRUPTED, message).hint("ask the query again")
    }

    fn is_mine(&self, name: &str, head: &Head) -> bool {
        name == file_of(head.job, head.attempt) && (head.cluster, head.party) == self.whose
    }

    /// Puts what lies on disk into the index. Of two attempts the later one counts.
    fn shelve(&self, job: JobId, kept: Kept, bytes: u64, age: Duration) {
        let mut shelf = self.shelf();
        if shelf.kept.get(&job).is_some_and(|known| known.kept.attempt > kept.attempt) {
            self.delete(&file_of(job, kept.attempt), "a later attempt has its result");
            return;
        }
        if shelf.kept.get(&job).is_some_and(|known| known.kept.attempt < kept.attempt) {
            self.drop_from(&mut shelf, &job);
        }
        let before = shelf.kept.remove(&job).map_or(0, |same| same.bytes);
        shelf.turn += 1;
        let expires = Instant::now() + self.keep.saturating_sub(age);
        let entry = Entry { kept, bytes, expires, turn: shelf.turn };
        shelf.bytes = shelf.bytes - before + bytes;
        shelf.kept.insert(job, entry);
        while shelf.bytes > self.bytes_max && shelf.kept.len() > 1 {
            let Some(oldest) = shelf.oldest() else { break };
            self.drop_from(&mut shelf, &oldest);
        }
    }

    fn drop_from(&self, shelf: &mut Shelf, job: &JobId) {
        if let Some(entry) = shelf.kept.remove(job) {
            shelf.bytes -= entry.bytes;
            self.delete(&file_of(*job, entry.kept.attempt), "it is over");
        }
    }

    fn delete(&self, name: &str, why: &str) {
        match self.backend.remove(name) {
            Ok(()) => tracing::debug!(file = name, why, "removed a result"),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => tracing::warn!(file = name, error = %e, "a result stays until restart"),
        }
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn oldest(&self) -> Option<JobId> {
        self.kept.iter().min_by_key(|(_, entry)| entry.turn).map(|(job, _)| *job)
    }
}

fn file_of(job: JobId, attempt: u32) -> String {
    format!("{FOLDER}/{job}-{attempt}{COMPLETE}")
}

/// The error for a result that is not here any more.
pub(crate) fn gone(job: JobId) -> SqlError {
    SqlError::new(sqlstate::UNDEFINED_OBJECT, format!("the result of job {job} is gone"))
        .hint("results are kept for a while; ask the query again")
}

fn not_kept(party: Party, error: &io::Error) -> SqlError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SqlError::new(
            sqlstate::DISK_FULL,
            format!("node {party} has no space left to keep the result"),
        )
        .hint("free space on its disk, then ask again"),
        _ => SqlError::new(
            sqlstate::IO_ERROR,
            format!("node {party} cannot keep the result: {error}"),
        ),
    }
}

#[cfg(test)]
mod tests;
