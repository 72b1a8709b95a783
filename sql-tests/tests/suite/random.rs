//! Random queries over random tables: three parties must answer as the oracle does.

use trine_sql_tests::compare::same_rows;
use trine_sql_tests::engine::{Engine, EngineKind};
use trine_sql_tests::generator::case;

const CASES: u64 = 12;
const QUERIES: usize = 5;

#[tokio::test]
async fn inprocess_answers_like_the_oracle() {
    let mut oracle = Engine::start(EngineKind::Oracle).await.unwrap();
    let mut parties = Engine::start(EngineKind::Inprocess).await.unwrap();
    let mut different = Vec::new();
    for seed in 0..CASES {
        let case = case(seed, QUERIES);
        for engine in [&mut oracle, &mut parties] {
            engine.reset().await.unwrap();
            for sql in &case.setup {
                engine.run(sql).await.unwrap();
            }
        }
        for (sql, ordered) in &case.queries {
            let expected = oracle.run(sql).await.unwrap();
            match parties.run(sql).await {
                Ok(actual) if same_rows(&actual, &expected, *ordered) => {}
                actual => different.push(format!(
                    "seed {seed}\n{}\n{sql}\nexpected {:?}\nactual {actual:?}",
                    case.setup.join(";\n"),
                    expected.rows
                )),
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}
