//! A fixed sample of the corpora, where they are: $TRINE_CORPORA, else beside this repository.

use std::path::{Path, PathBuf};
use trine_sql_tests::engine::{Engine, EngineKind};
use trine_sql_tests::ladder::foreign;
use trine_sql_tests::report::{Reason, Report};
use trine_sql_tests::runner::run_script;
use trine_sql_tests::script;

/// Files or folders, and how many entries of each file run.
const SAMPLE: [(&str, usize); 6] = [
    ("risinglight", 10_000),
    ("cockroachdb/limit", 10_000),
    ("sqlite/select1.test", 200),
    ("sqlite/random/expr/slt_good_1.test", 700),
    ("sqlite/random/groupby/slt_good_13.test", 500),
    ("sqlite/random/aggregates/slt_good_129.test", 500),
];

/// The corpora, if they are on this machine.
pub(crate) fn corpora() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora");
    let path = std::env::var_os("TRINE_CORPORA").map_or_else(beside, PathBuf::from);
    path.is_dir().then_some(path)
}

#[tokio::test]
async fn sample() {
    let Some(corpora) = corpora() else {
        eprintln!("no corpora on this machine: nothing was run");
        return;
    };
    let mut engine = Engine::start(EngineKind::Inprocess).await.unwrap();
    let mut total = Report::default();
    for (part, entries) in SAMPLE {
        for file in script::discover(&[corpora.join(part)]).unwrap() {
            let mut script = script::read(&file).unwrap();
            script.records.truncate(entries);
            total += run_script(&mut engine, &script, None).await;
        }
    }
    // What is refused is listed by `make ladder`; an answer that is given must be right.
    let wrong = |reason: &Reason| match reason {
        Reason::Error(e) => e.is_internal(),
        Reason::Different { .. } => true,
        Reason::Other(_) => false,
    };
    total.failures.retain(|f| f.follows.is_none() && foreign(f).is_none() && wrong(&f.reason));
    assert!(total.failures.is_empty(), "{}", total.failures_text());
    assert!(total.passed * 10 > (total.passed + total.failed) * 7, "{}", total.summary());
    assert!(total.passed > 400, "{}", total.summary());
}
