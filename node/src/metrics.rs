//! Numbers for Prometheus, in its text format, on an address of their own that is off unless configured.
//!
//! Whoever reaches the address sees them: public facts of the log, counters, sizes of files, states of
//! connections. No name, no statement, no digest, no value, nothing of one job or principal. It understands
//! one request, `GET /metrics`, in a few kilobytes and seconds; whatever else comes is answered with an error
//! or closed.

mod serve;
mod text;

pub(crate) use serve::serve;

use crate::files::Files;
use crate::limits::UPLOADS_MAX;
use crate::repair::unlisted;
use crate::services::Shared;
use std::sync::Arc;
use text::Text;
use trine_proto::catalog::{Catalog, JobStatus, TransactionState};
use trine_proto::ids::Party;

/// All numbers as they are now.
pub(crate) async fn gather(shared: &Arc<Shared>) -> String {
    let mut text = Text::default();
    let party = shared.party.to_string();
    let version = [("version", env!("CARGO_PKG_VERSION")), ("party", party.as_str())];
    text.gauge("trine_build_info", "Version and party of this node.").labelled(&version, 1);
    let catalog = shared.consensus.catalog();
    log(&mut text, shared, &catalog);
    jobs(&mut text, shared, &catalog);
    disk(&mut text, shared, &catalog).await;
    if let Some(bytes) = resident_bytes() {
        text.gauge("process_resident_memory_bytes", "Memory of this process.").value(bytes);
    }
    text.into_string()
}

/// The replicated log and the connections to the peers.
fn log(text: &mut Text, shared: &Shared, catalog: &Catalog) {
    let (log, leader) = (shared.consensus.log_extent(), shared.consensus.leader());
    text.gauge("trine_log_applied", "Position of the last entry applied.").value(catalog.applied.0);
    text.gauge("trine_log_first", "Position of the oldest entry kept; 0: none.").value(log.first);
    text.gauge("trine_log_last", "Position of the newest entry.").value(log.last);
    text.gauge("trine_log_snapshot", "Position of the last snapshot of the state; 0: none yet.")
        .value(log.snapshot);
    text.gauge("trine_leader", "1 for the party whose node leads the log, as this node knows.");
    for party in Party::ALL {
        let leads = u64::from(leader == Some(party));
        text.labelled(&[("party", &party.to_string())], leads);
    }
    text.gauge("trine_peer_up", "Whether the control connection to the other node stands.");
    let up = shared.mesh.up();
    for peer in [shared.party.next(), shared.party.previous()] {
        let up = u64::from(up[peer.index()]);
        text.labelled(&[("party", &peer.to_string())], up);
    }
}

/// Queries and statements: what the log knows of them, and what this process has done.
fn jobs(text: &mut Text, shared: &Shared, catalog: &Catalog) {
    let mut states = [("active", 0), ("done", 0), ("failed", 0), ("cancelled", 0)];
    for job in catalog.jobs.values() {
        let state = match job.status {
            JobStatus::Active => 0,
            JobStatus::Done => 1,
            JobStatus::Failed(_) => 2,
            JobStatus::Cancelled => 3,
        };
        states[state].1 += 1;
    }
    text.gauge("trine_jobs", "Queries that the log remembers, by state.");
    for (state, count) in states {
        text.labelled(&[("state", state)], count);
    }
    let mut work = [("open", 0), ("validating", 0)];
    for state in catalog.transactions.values() {
        match state {
            TransactionState::Open(_) => work[0].1 += 1,
            TransactionState::Validating(_) => work[1].1 += 1,
            _ => {}
        }
    }
    text.gauge("trine_transactions", "Transactions, checks and statements that write, under way.");
    for (state, count) in work {
        text.labelled(&[("state", state)], count);
    }
    text.gauge("trine_attempts_running", "Attempts under way at this node.")
        .value(shared.runner.running() as u64);
    let counted = shared.runner.counters();
    text.counter("trine_attempts_total", "Attempts that have ended at this node, by how.");
    let ends = [
        ("done", &counted.done),
        ("failed", &counted.failed),
        ("lost", &counted.lost),
        ("stopped", &counted.stopped),
    ];
    for (how, count) in ends {
        text.labelled(&[("how", how)], count.value());
    }
    text.counter("trine_protocol_rounds_total", "Rounds of protocols that came to their end.")
        .value(counted.rounds.value());
    text.counter("trine_protocol_sent_bytes_total", "Payload sent to the peers by protocols.")
        .value(counted.bytes_sent.value());
    let uploads = UPLOADS_MAX.saturating_sub(shared.uploads.available_permits());
    text.gauge("trine_uploads_running", "Uploads under way.").value(uploads as u64);
}

/// What lies on disk and what has gone.
async fn disk(text: &mut Text, shared: &Arc<Shared>, catalog: &Arc<Catalog>) {
    let (store, counted) = (shared.store.clone(), Arc::clone(catalog));
    let looked = tokio::task::spawn_blocking(move || {
        (unlisted(&store, &counted), store.extent().unwrap_or_default())
    });
    // Numbers that cannot be had are left out.
    if let Ok((staged, (files, bytes))) = looked.await {
        text.gauge("trine_segments_staged", "Segment files that the log has not resolved.")
            .value(staged);
        text.gauge("trine_segment_files", "Segment files.").value(files);
        text.gauge("trine_segment_bytes", "Bytes of segment files.").value(bytes);
    }
    text.gauge("trine_segments_listed", "Segments that something may read.")
        .value(Files::of(catalog).listed.len() as u64);
    let removed = shared.store.removed();
    text.counter("trine_segments_removed_total", "Segment files deleted.").value(removed.files);
    text.counter("trine_segments_removed_bytes_total", "Bytes in them.").value(removed.bytes);
    let counted = shared.runner.counters();
    text.counter("trine_packs_total", "Segments made of many small ones.")
        .value(counted.packs.value());
    text.counter("trine_segments_packed_total", "Small segments that they were made of.")
        .value(counted.segments_packed.value());
    let (results, bytes) = shared.runner.results().extent();
    text.gauge("trine_results", "Finished results that are kept.").value(results);
    text.gauge("trine_results_bytes", "Bytes of them.").value(bytes);
    text.gauge("trine_oldest_unfinished", "Position that keeps ended segments; 0: none.")
        .value(catalog.oldest_unfinished().map_or(0, |position| position.0));
    text.gauge("trine_backups_marked", "Positions that are marked for a backup.")
        .value(catalog.backups.len() as u64);
    text.gauge("trine_share_generation", "How often shares were refreshed.")
        .value(catalog.share_generation);
}

/// As the system counts it; none where it does not say.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}
