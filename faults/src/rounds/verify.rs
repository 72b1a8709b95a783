//! What must hold when all three nodes are back.

use super::{Shared, TABLES};
use crate::Failure;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use trine_client::{Client, SqlError, Value};
use trine_proto::wire::job_state::Kind;

/// How long the cluster may take to serve again once all nodes are ready.
const HEAL_WAIT: Duration = Duration::from_secs(60);
/// Pause before the next try.
const PAUSE: Duration = Duration::from_millis(200);

/// Rows and sum of every batch of a table.
pub(super) async fn batches_of(
    client: &Client,
    table: &str,
) -> Result<BTreeMap<i128, (i128, i128)>, SqlError> {
    let sql = format!("SELECT batch, COUNT(*), SUM(v) FROM {table} GROUP BY batch");
    let rows = client.query(&sql).await?.rows;
    let number = |value: &Value| match value {
        Value::Int(n) => *n,
        // No batch has such a number.
        _ => i128::MIN,
    };
    Ok(rows.iter().map(|row| (number(&row[0]), (number(&row[1]), number(&row[2])))).collect())
}

/// Both tables hold what the model says, and of a transaction on both either both parts or none.
pub(super) async fn tables(client: &Client, shared: &Shared) -> Result<(), Failure> {
    let (first, second) = (healed(client, TABLES[0]).await?, healed(client, TABLES[1]).await?);
    let again = healed(client, TABLES[0]).await?;
    let mut half = None;
    shared.pairs().retain(|batch| {
        let shown = [&first, &second, &again].map(|seen| seen.contains_key(batch));
        // It may have been committed in between.
        if shown[0] == shown[2] && shown[0] != shown[1] {
            half =
                Some(format!("batch {batch} of one transaction is in one table only: {shown:?}"));
        }
        shown == [false; 3]
    });
    if let Some(half) = half {
        return Err(half);
    }
    for (index, seen) in [first, second].iter().enumerate() {
        let compared = shared.model(index).compare(seen);
        compared.map_err(|e| format!("table {}:\n{e}", TABLES[index]))?;
    }
    Ok(())
}

/// A table, once it can be read again.
async fn healed(client: &Client, table: &str) -> Result<BTreeMap<i128, (i128, i128)>, Failure> {
    let started = Instant::now();
    loop {
        match batches_of(client, table).await {
            Ok(seen) => return Ok(seen),
            Err(e) if started.elapsed() > HEAL_WAIT => {
                return Err(format!("table {table} cannot be read after the faults: {e}"));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// No job is queued or runs.
pub(super) async fn jobs_ended(client: &Client) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let jobs = client.jobs().await.map_err(|e| format!("the list of jobs: {e}"))?;
        let open: Vec<_> = jobs
            .into_iter()
            .filter(|job| {
                let kind = job.state.as_ref().map(|s| s.kind());
                matches!(kind, Some(Kind::Queued | Kind::Running))
            })
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        if started.elapsed() > HEAL_WAIT {
            return Err(format!("jobs do not end: {open:#?}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// All three nodes have applied the same log to the same state.
pub(super) async fn nodes_agree(client: &Client) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let answers = client.status().await;
        let states: Result<Vec<_>, _> = answers.into_iter().collect();
        let told = match states {
            Ok(states) => {
                let state: Vec<_> =
                    states.iter().map(|s| (s.applied_index, s.state_digest.clone())).collect();
                if state.windows(2).all(|pair| pair[0] == pair[1]) {
                    return Ok(());
                }
                // Another digest at the same position never heals.
                if state.windows(2).any(|p| p[0].0 == p[1].0 && p[0].1 != p[1].1) {
                    return Err(format!("the states of the nodes differ: {state:?}"));
                }
                format!("{state:?}")
            }
            Err(e) => e.to_string(),
        };
        if started.elapsed() > HEAL_WAIT {
            return Err(format!("the nodes do not come to the same position: {told}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
