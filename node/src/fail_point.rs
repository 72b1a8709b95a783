//! Named points at which a node can be made to die, for tests that kill it where it hurts most.
//!
//! `TRINE_FAIL_POINT=NAME` ends the process by SIGKILL when the point is reached for the first time,
//! `NAME:3` at the third. Only in builds with debug assertions: in a release build no code of this
//! remains, whatever the environment says. An environment variable rather than a feature, because
//! every other test of the same build then runs the program that is also killed.
//!
//! | point | where |
//! |---|---|
//! | `stage.create`, `stage.write`, `stage.sync`, `stage.rename`, `stage.remove` | before that call for a segment's file |
//! | `stage.synced`, `stage.renamed` | after it |
//! | `upload.receipt` | staged, the receipt not sent |
//! | `log.append`, `log.appended` | around the write of log entries |
//! | `state.apply`, `state.applied` | around the write of the applied state |
//! | `commit.acknowledge` | the outcome is known, the client is not told |
//! | `attempt.begin`, `attempt.hello`, `attempt.end` | around an attempt's protocol |
//! | `attempt.message` | before an exchange of an attempt |
//! | `attempt.operator` | before an operator of a query |
//! | `attempt.report` | the attempt is over, the log does not know |
//! | `result.write`, `result.kept` | around the write of a result; the log does not know of it |
//! | `pack.begin` | small segments are about to be packed into one |
//! | `repair.page` | a page of a segment is about to be given to a peer |
//! | `backup.file`, `backup.manifest` | before that file of a backup is in its place |
//! | `restore.file`, `restore.state`, `restore.end` | before a segment, the state, the end of a restore |

use crate::error::NodeError;
use std::io::{self, Write};
use trine_storage::{Backend, BackendFile, BackendRead, Disk};

/// Every point, for harnesses.
pub const FAIL_POINTS: [&str; 28] = [
    "stage.create",
    "stage.write",
    "stage.sync",
    "stage.synced",
    "stage.rename",
    "stage.renamed",
    "stage.remove",
    "upload.receipt",
    "log.append",
    "log.appended",
    "state.apply",
    "state.applied",
    "commit.acknowledge",
    "attempt.begin",
    "attempt.hello",
    "attempt.message",
    "attempt.operator",
    "attempt.end",
    "attempt.report",
    "result.write",
    "result.kept",
    "pack.begin",
    "repair.page",
    "backup.file",
    "backup.manifest",
    "restore.file",
    "restore.state",
    "restore.end",
];

/// The variable that names the point.
const VARIABLE: &str = "TRINE_FAIL_POINT";

/// Dies here if this is the point that was asked for.
#[inline]
pub(crate) fn reach(name: &str) {
    #[cfg(debug_assertions)]
    armed::reach(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

/// Refuses a variable that names no point: a test of nothing would pass.
///
/// # Errors
/// [`NodeError::Config`].
pub(crate) fn check() -> Result<(), NodeError> {
    match std::env::var(VARIABLE) {
        Ok(value) if cfg!(debug_assertions) => parse(&value).map(drop).ok_or_else(|| {
            NodeError::Config(format!("{VARIABLE}={value} names no fail point of this program"))
        }),
        _ => Ok(()),
    }
}

/// Name, and how often it has to be reached.
fn parse(value: &str) -> Option<(&str, u64)> {
    let (name, times) = value.split_once(':').unwrap_or((value, "1"));
    let times = times.parse().ok().filter(|times| *times > 0)?;
    FAIL_POINTS.contains(&name).then_some((name, times))
}

#[cfg(debug_assertions)]
mod armed {
    use super::{VARIABLE, parse};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The point that was asked for, and how often it must still be reached.
    static ARMED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();

    pub(super) fn reach(name: &str) {
        let armed = ARMED.get_or_init(|| {
            let value = std::env::var(VARIABLE).ok()?;
            parse(&value).map(|(name, times)| (name.to_owned(), AtomicU64::new(times)))
        });
        let Some((point, left)) = armed else { return };
        if point == name && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            eprintln!("fail point {name}: this node ends now");
            let own = rustix::process::getpid();
            // Like kill -9 from outside: nothing is flushed, no destructor runs.
            let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}

/// The disk, with a fail point at every call that changes it.
pub(crate) struct FailingDisk(pub(crate) Disk);

impl Backend for FailingDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn BackendFile>> {
        reach("stage.create");
        Ok(Box::new(FailingFile(self.0.create(name)?)))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn BackendRead>> {
        self.0.open(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        reach("stage.rename");
        self.0.rename(from, to)?;
        reach("stage.renamed");
        Ok(())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        reach("stage.remove");
        self.0.remove(name)
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.0.list(folder)
    }
    fn settle(&self, folder: &str) -> io::Result<()> {
        self.0.settle(folder)
    }
}

struct FailingFile(Box<dyn BackendFile>);

impl Write for FailingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        reach("stage.write");
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl BackendFile for FailingFile {
    fn sync(&mut self) -> io::Result<()> {
        reach("stage.sync");
        self.0.sync()?;
        reach("stage.synced");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_known_by_name_and_counted() {
        assert_eq!(parse("log.append"), Some(("log.append", 1)));
        assert_eq!(parse("attempt.message:30"), Some(("attempt.message", 30)));
        for bad in ["", "log", "log.append:0", "log.append:x", "LOG.APPEND"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
