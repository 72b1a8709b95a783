//! The ladder: whole corpora on an engine, several files at a time, and a document of every record
//! that fails, with its reason.

mod answer;
mod document;
mod foreign;

pub use document::document;
pub use foreign::foreign;

use crate::beside::Beside;
use crate::engine::{Engine, EngineKind};
use crate::report::Report;
use crate::runner::run_script;
use crate::script;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Stack of a thread that runs files: statements nest deeply.
const STACK_BYTES: usize = 64 << 20;

/// The report of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// Path below the folder that was asked for.
    pub file: String,
    /// What came of it.
    pub report: Report,
}

impl FileReport {
    /// The first folder of the path: the corpus.
    #[must_use]
    pub fn corpus(&self) -> &str {
        self.file.split_once('/').map_or(".", |(first, _)| first)
    }
}

/// Runs all test files under the paths, `jobs` at a time, each on an engine of its own thread; calls
/// `done` after each. Reports come in the order of the files. With `postgres` the server behind
/// `PGHOST` is asked about every record that fails, and failures say what it did.
///
/// # Errors
/// A path that cannot be read, or an engine that does not start.
pub fn run_files(
    kind: EngineKind,
    paths: &[PathBuf],
    jobs: usize,
    postgres: bool,
    done: impl Fn(&FileReport) + Sync,
) -> Result<Vec<FileReport>, String> {
    let files = files(paths)?;
    // The largest first, or one of them keeps a single thread busy at the end.
    let mut queue: Vec<usize> = (0..files.len()).collect();
    queue.sort_by_key(|&i| std::fs::metadata(&files[i].0).map_or(0, |m| m.len()));
    let queue = Mutex::new(queue);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || -> Result<Vec<(usize, FileReport)>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| e.to_string())?;
        runtime.block_on(async {
            let mut engine = Engine::start(kind).await.map_err(|e| e.to_string())?;
            let mut reports = Vec::new();
            while let Some(index) = next() {
                let (path, name) = &files[index];
                let report = run_file(&mut engine, path, name, postgres).await?;
                done(&report);
                reports.push((index, report));
            }
            Ok(reports)
        })
    };
    let mut reports = thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let threads: Vec<_> = (0..jobs.max(1)).map(spawn).collect();
        let join = |t: std::io::Result<thread::ScopedJoinHandle<'_, _>>| {
            t.map_err(|e| e.to_string())?.join().map_err(|_| "a thread ended early".to_owned())?
        };
        threads.into_iter().map(join).collect::<Result<Vec<_>, String>>()
    })?
    .concat();
    reports.sort_by_key(|(index, _)| *index);
    Ok(reports.into_iter().map(|(_, report)| report).collect())
}

async fn run_file(
    engine: &mut Engine,
    path: &Path,
    name: &str,
    postgres: bool,
) -> Result<FileReport, String> {
    let report = match script::read(path) {
        Ok(mut script) if postgres => {
            name.clone_into(&mut script.name);
            let mut beside = Beside::default();
            let report = run_script(engine, &script, Some(&mut beside)).await;
            beside.finish().await.map_err(|e| e.to_string())?;
            report
        }
        Ok(mut script) => {
            name.clone_into(&mut script.name);
            run_script(engine, &script, None).await
        }
        Err(message) => Report::unreadable(name, message),
    };
    Ok(FileReport { file: name.to_owned(), report })
}

/// Files with their names below the path that led to them.
fn files(paths: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, String> {
    let mut files = Vec::new();
    for path in paths {
        for file in script::discover(std::slice::from_ref(path)).map_err(|e| e.to_string())? {
            let below = file.strip_prefix(path).ok().filter(|p| !p.as_os_str().is_empty());
            let name = below.unwrap_or(&file).display().to_string();
            files.push((file, name));
        }
    }
    Ok(files)
}
