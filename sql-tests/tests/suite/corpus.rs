//! Every file of the corpus on the oracle and on three parties in this process.

use std::path::{Path, PathBuf};
use trine_sql_tests::engine::{Engine, EngineKind};
use trine_sql_tests::report::Report;
use trine_sql_tests::runner::run_script;
use trine_sql_tests::script;

/// The corpus folder, or a part of it.
pub(crate) fn corpus(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(part)
}

/// Runs files and fails with all their failures.
pub(crate) async fn check(engine: &mut Engine, paths: &[PathBuf], records_min: usize) {
    let mut total = Report::default();
    for file in script::discover(paths).unwrap() {
        if file.extension().is_none_or(|e| e != "slt") {
            continue;
        }
        let script = script::read(&file).unwrap();
        let report = run_script(engine, &script, None).await;
        assert!(report.passed + report.failed + report.skipped > 0, "{} is empty", file.display());
        total += report;
    }
    assert!(total.failures.is_empty(), "{}\n{}", total.failures_text(), total.summary());
    assert!(total.passed >= records_min, "only {}", total.summary());
}

#[tokio::test]
async fn oracle() {
    let mut engine = Engine::start(EngineKind::Oracle).await.unwrap();
    check(&mut engine, &[corpus("")], 300).await;
}

#[tokio::test]
async fn inprocess() {
    let mut engine = Engine::start(EngineKind::Inprocess).await.unwrap();
    check(&mut engine, &[corpus("")], 330).await;
}
