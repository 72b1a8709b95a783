//! TPC-H on a thousandth of its size against the oracle; the queries come from the corpora.

use crate::ladder::corpora;
use trine_sql_tests::engine::{Engine, EngineKind};
use trine_sql_tests::tpch::run::{Verdict, ask, load};
use trine_sql_tests::tpch::{TABLES, data};

const SCALE: f64 = 0.001;
/// Queries that are answered at least.
const EQUAL_MIN: usize = 13;

#[tokio::test]
async fn inprocess_answers_like_the_oracle() {
    let folder = tempfile::tempdir().unwrap();
    data::generate(SCALE, folder.path()).unwrap();
    let mut oracle = Engine::start(EngineKind::Oracle).await.unwrap();
    let mut parties = Engine::start(EngineKind::Inprocess).await.unwrap();
    for engine in [&mut oracle, &mut parties] {
        load(engine, folder.path()).await.unwrap();
    }
    for table in TABLES {
        let sql = format!("SELECT count(*) FROM {table}");
        let counts = [oracle.run(&sql).await.unwrap().rows, parties.run(&sql).await.unwrap().rows];
        assert_eq!(counts[0], counts[1], "{table}");
    }
    let Some(queries) = corpora().map(|c| c.join("tpch/queries")) else {
        eprintln!("no corpora on this machine: no query was run");
        return;
    };
    let (mut equal, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for number in 1..=22 {
        let sql = std::fs::read_to_string(queries.join(format!("q{number:02}.sql"))).unwrap();
        let expected = oracle.run(&sql).await.unwrap();
        match ask(&mut parties, &sql, &expected).await.unwrap().verdict {
            Verdict::Equal => equal += 1,
            Verdict::Refused(e) => refused.push(format!("q{number:02}: {e}")),
            verdict => wrong.push(format!("q{number:02}: {verdict}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(equal >= EQUAL_MIN, "{}", refused.join("\n"));
}
