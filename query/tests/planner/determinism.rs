//! The same statement gives the same plan: twice, and on several threads at once.

use crate::golden::statements;
use crate::schema::{ANALYST, AT, SIGNED_AT_MS, catalog};
use std::thread;
use trine_query::compile;

fn digests() -> Vec<Result<[u8; 32], String>> {
    let catalog = catalog();
    statements()
        .iter()
        .map(|sql| {
            compile(sql, &catalog, AT, ANALYST, SIGNED_AT_MS)
                .map(|s| s.digest())
                .map_err(|e| format!("{e} {} {}", e.position, e.hint))
        })
        .collect()
}

#[test]
fn every_compilation_gives_the_same_digest() {
    let first = digests();
    assert!(first.iter().filter(|d| d.is_ok()).count() > 50);
    assert_eq!(first, digests());
    let threads: Vec<_> = (0..3).map(|_| thread::spawn(digests)).collect();
    for other in threads {
        assert_eq!(first, other.join().unwrap());
    }
}

#[test]
fn different_plans_and_profiles_have_different_digests() {
    let mut catalog = catalog();
    let digest =
        |catalog: &_, sql: &str| compile(sql, catalog, AT, ANALYST, SIGNED_AT_MS).unwrap().digest();
    let base = digest(&catalog, "select a from t1 where a > 1");
    assert_ne!(base, digest(&catalog, "select a from t1 where a > 2"));
    assert_ne!(base, digest(&catalog, "select a as b from t1 where a > 1"));
    assert_eq!(base, digest(&catalog, "SELECT a\n FROM t1 WHERE 1 < a"));
    catalog.net_profile.round_trip_us *= 2;
    assert_ne!(base, digest(&catalog, "select a from t1 where a > 1"));
}
