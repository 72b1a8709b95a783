//! Jobs.

use super::*;
use crate::limits::{ATTEMPTS_MAX, STATEMENT_BYTES_MAX};
use trine_proto::catalog::{JobEntry, JobStatus};
use trine_proto::ids::JobId;
use trine_proto::status::sqlstate;

impl World {
    fn submit(&mut self) -> JobId {
        match self.ann(query("SELECT 1")) {
            Outcome::JobAccepted(_, id) => id,
            other => panic!("{other:?}"),
        }
    }
    fn job(&self, id: JobId) -> &JobEntry {
        &self.catalog.jobs[&id]
    }
}

fn done(job: JobId, attempt: u32) -> NodeCommandKind {
    NodeCommandKind::JobDone { job, attempt }
}

fn cancel(job: JobId) -> Asked {
    Asked::CancelQuery(wire::CancelQuery { job_id: job.0.to_vec() })
}

#[test]
fn a_query_gets_its_position_and_the_digest_of_the_log() {
    let mut world = World::new();
    let ann = world.ann.clone();
    let command = world.sign(&ann, query("SELECT 1"));
    let Command::Client(signed) = &command else { unreachable!() };
    let outcome = world.run(&command);
    let Outcome::JobAccepted(position, id) = outcome else { panic!("{outcome:?}") };
    let job = world.job(id);
    assert_eq!(job.position, position);
    assert_eq!(job.log_digest, world.catalog.log_digest);
    assert_eq!(job.statement_digest, *blake3::hash(&signed.body).as_bytes());
    assert_eq!((job.principal.as_str(), job.sql.as_str()), ("ann", "SELECT 1"));
    assert_eq!((job.attempt, &job.status), (1, &JobStatus::Active));
    // The same command again, its outcome remembered or not: the same job.
    assert_eq!(world.run(&command), outcome);
    world.catalog.outcomes.clear();
    assert_eq!(world.run(&command), outcome);
    assert_eq!(world.catalog.jobs.len(), 1);
}

#[test]
fn a_job_is_not_taken_over_by_its_id() {
    let mut world = World::new();
    let id = world.submit();
    world.catalog.outcomes.clear();
    let bob = world.bob.clone();
    let cluster = world.cluster.info.cluster_id;
    let stolen = client_with_id(&bob, cluster, id.0, query("SELECT 2"));
    refused_with(&world.run(&stolen), sqlstate::PROTOCOL_VIOLATION);
    assert_eq!(world.job(id).principal, "ann");
}

#[test]
fn statements_are_bounded() {
    let mut world = World::new();
    refused_with(&world.ann(query("")), sqlstate::LIMIT_EXCEEDED);
    let long = "x".repeat(STATEMENT_BYTES_MAX + 1);
    refused_with(&world.ann(query(&long)), sqlstate::LIMIT_EXCEEDED);
    assert!(world.catalog.jobs.is_empty());
}

#[test]
fn three_reports_make_a_job_done() {
    let mut world = World::new();
    let id = world.submit();
    applied(&world.node(2, done(id, 1)));
    nothing(&world.node(2, done(id, 1)));
    nothing(&world.node(0, done(id, 2)));
    applied(&world.node(0, done(id, 1)));
    assert_eq!(world.job(id).status, JobStatus::Active);
    applied(&world.node(1, done(id, 1)));
    assert_eq!(world.job(id).status, JobStatus::Done);
    nothing(&world.node(1, NodeCommandKind::JobRetry { job: id, attempt: 1 }));
}

#[test]
fn the_first_error_fails_a_job() {
    let mut world = World::new();
    let id = world.submit();
    let error = SqlError::new(sqlstate::UNDEFINED_TABLE, "table \"x\" does not exist");
    let failed = |attempt| NodeCommandKind::JobFailed { job: id, attempt, error: error.clone() };
    nothing(&world.node(0, failed(2)));
    applied(&world.node(0, failed(1)));
    nothing(&world.node(1, failed(1)));
    nothing(&world.node(1, done(id, 1)));
    assert_eq!(world.job(id).status, JobStatus::Failed(error.clone()));
}

#[test]
fn a_lost_attempt_runs_again_at_the_old_position() {
    let mut world = World::new();
    let id = world.submit();
    let position = world.job(id).position;
    for attempt in 1..ATTEMPTS_MAX {
        applied(&world.node(0, done(id, attempt)));
        applied(&world.node(1, NodeCommandKind::JobRetry { job: id, attempt }));
        nothing(&world.node(2, NodeCommandKind::JobRetry { job: id, attempt }));
        let job = world.job(id);
        assert_eq!((job.attempt, job.done), (attempt + 1, [false; 3]));
        assert_eq!(job.position, position);
        nothing(&world.node(0, done(id, attempt)));
    }
    applied(&world.node(1, NodeCommandKind::JobRetry { job: id, attempt: ATTEMPTS_MAX }));
    match &world.job(id).status {
        JobStatus::Failed(error) => assert_eq!(error.sqlstate, sqlstate::NODE_UNAVAILABLE),
        other => panic!("{other:?}"),
    }
}

#[test]
fn its_owner_cancels_a_query() {
    let mut world = World::new();
    let id = world.submit();
    refused_with(&world.bob(cancel(id)), sqlstate::INSUFFICIENT_PRIVILEGE);
    refused_with(&world.admin(cancel(id)), sqlstate::INSUFFICIENT_PRIVILEGE);
    refused_with(&world.ann(cancel(JobId([9; 16]))), sqlstate::UNDEFINED_OBJECT);
    applied(&world.ann(cancel(id)));
    assert_eq!(world.job(id).status, JobStatus::Cancelled);
    nothing(&world.ann(cancel(id)));
    nothing(&world.node(0, done(id, 1)));
}
