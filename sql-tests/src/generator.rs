//! Random tables and random queries over them, from a seed. The same seed gives the same case.
//!
//! Tables mix all types, NULLs, duplicates, extremes, keys, PUBLIC columns and declared ranges; their
//! row counts cluster around the borders that engines get wrong. Queries are well typed and have one
//! right answer: integer arithmetic stays within 32 bits, ORDER BY before LIMIT is total. An engine
//! may refuse a query; it may not answer it differently.

mod expression;
mod query;
mod random;
mod table;
mod wide;

pub use query::{Query, Shape};
pub use table::{Column, Kind, Table};

use random::Random;

/// A database and questions to it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The tables with their rows.
    pub tables: Vec<Table>,
    /// The questions.
    pub queries: Vec<Query>,
}

impl Case {
    /// CREATE TABLE and INSERT statements.
    #[must_use]
    pub fn setup(&self) -> Vec<String> {
        self.tables.iter().flat_map(Table::statements).collect()
    }

    /// The same for a plain database.
    #[must_use]
    pub fn plain_setup(&self) -> Vec<String> {
        self.tables.iter().flat_map(Table::plain_statements).collect()
    }
}

/// The case of a seed, with so many queries.
#[must_use]
pub fn case(seed: u64, queries: usize) -> Case {
    let mut random = Random::new(seed);
    let count = 1 + random.below(3);
    let tables: Vec<Table> = (0..count).map(|i| table::table(&mut random, i)).collect();
    let queries = (0..queries).map(|_| query::query(&mut random, &tables)).collect();
    Case { tables, queries }
}

/// The case of a seed for an oracle that has all of PostgreSQL's surface.
#[must_use]
pub fn wide_case(seed: u64, queries: usize) -> Case {
    let mut case = case(seed, queries);
    let mut random = Random::new(seed ^ 0x5749_4445);
    for (number, query) in case.queries.iter_mut().enumerate() {
        if number % 4 != 0 {
            *query = wide::query(&mut random, &case.tables);
        }
    }
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Oracle;

    /// What DataFusion cannot plan or computes with an error is no case; it must stay rare.
    #[tokio::test]
    async fn the_oracle_answers_almost_every_query() {
        let (mut asked, mut failed) = (0, Vec::new());
        for seed in 0..40 {
            let case = case(seed, 6);
            let oracle = Oracle::new();
            for sql in &case.setup() {
                oracle.run(sql).await.unwrap_or_else(|e| panic!("seed {seed}: {sql}\n{e}"));
            }
            for query in &case.queries {
                asked += 1;
                if let Err(e) = oracle.run(&query.sql()).await {
                    failed.push(format!("seed {seed}: {}\n{e}", query.sql()));
                }
            }
        }
        assert!(failed.len() * 20 < asked, "{}", failed.join("\n\n"));
    }

    #[test]
    fn a_seed_gives_one_case() {
        let sql = |seed| {
            let case = case(seed, 5);
            let queries: Vec<String> = case.queries.iter().map(Query::sql).collect();
            (case.setup(), queries)
        };
        assert_eq!(sql(7), sql(7));
        assert_ne!(sql(7), sql(8));
    }
}
