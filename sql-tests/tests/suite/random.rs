//! Random queries over random tables: three parties must answer as the oracle does.

use trine_sql_tests::engine::{Engine, EngineKind};
use trine_sql_tests::fuzz::{Tally, run_seed};

const SEEDS: u64 = 25;
const QUERIES: usize = 6;

#[tokio::test]
async fn inprocess_answers_like_the_oracle() {
    let mut oracle = Engine::start(EngineKind::Oracle).await.unwrap();
    let mut parties = Engine::start(EngineKind::Inprocess).await.unwrap();
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        run_seed(&mut parties, &mut oracle, seed, QUERIES, &mut tally).await.unwrap();
    }
    let findings: Vec<String> = tally.findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{}", findings.join("\n\n"));
    // Refusals are no answers: enough must be left that the comparison means something.
    assert!(tally.equal * 3 > tally.asked(), "{tally:?}");
}
