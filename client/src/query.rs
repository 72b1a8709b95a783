//! Queries: submitted to all three nodes in the same signed bytes, watched at all three, fetched
//! from all three and opened here.

use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use tokio::sync::watch;
use trine_proto::ids::JobId;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::client_command::Command;
use trine_proto::wire::job_state::Kind;
use trine_proto::wire::query_client::QueryClient;
use trine_proto::wire::result_part::Part;
use trine_proto::wire::{
    self, CommandOutcome, Counted, JobEntry, JobRef, JobState, ListJobs, ParameterSet, Signed,
    SubmitQuery,
};

use crate::client::Client;
use crate::connect::{MESSAGE_BYTES_MAX, Node, is_connection_error};
use crate::open::{ResultPart, ResultVector, open_result};
use crate::value::Table;

/// How long a node that was lost may take to come back while the others go on.
const NODE_WAIT: Duration = Duration::from_secs(15);
/// Pause before a lost node is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long to wait for the other nodes once one says that the job failed.
const FAILURE_GRACE: Duration = Duration::from_secs(2);
/// How often the three parts are fetched: again when a node is lost or attempts differ.
const FETCHES_MAX: u32 = 5;

/// How far a job is, by the node that reports the most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobProgress {
    /// Waits for its turn.
    pub queued: bool,
    /// Operator that runs.
    pub operator: String,
    /// Operators finished.
    pub operators_done: u32,
    /// Operators in all.
    pub operators_total: u32,
    /// Payload bytes sent so far, the three nodes together.
    pub bytes_sent: u64,
}

type ProgressSender = watch::Sender<JobProgress>;

impl Client {
    /// Runs one SELECT or EXPLAIN and opens its result.
    ///
    /// # Errors
    /// Whatever the nodes refuse or fail it for; positions count in `sql`.
    pub async fn query(&self, sql: &str) -> Result<Table, SqlError> {
        self.query_in(sql, None).await
    }

    pub(crate) async fn query_in(
        &self,
        sql: &str,
        within: Option<wire::Within>,
    ) -> Result<Table, SqlError> {
        let job = self.submit_in(sql, within).await?;
        self.wait(job, None).await?;
        self.fetch(job).await
    }

    /// [`Self::query`], with what each party counted: rounds, and payload bytes that it sent.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn query_counted(&self, sql: &str) -> Result<(Table, [Counted; 3]), SqlError> {
        let job = self.submit(sql).await?;
        self.wait(job, None).await?;
        let parts = self.fetch_parts(job).await?;
        let counted = parts.each_ref().map(|part| part.header.total.unwrap_or_default());
        Ok((open_result(self.config.cluster_id, job, &parts)?, counted))
    }

    /// Signs a query and hands the same bytes to all three nodes.
    ///
    /// # Errors
    /// `57P03` before anything is sent if a node is down; the refusal of any node.
    pub async fn submit(&self, sql: &str) -> Result<JobId, SqlError> {
        self.submit_in(sql, None).await
    }

    /// The same for a query inside an open transaction, with what its block gave.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub async fn submit_in(
        &self,
        sql: &str,
        within: Option<wire::Within>,
    ) -> Result<JobId, SqlError> {
        self.submit_with(sql, None, within).await
    }

    /// The same with the set of its secret parameters.
    pub(crate) async fn submit_with(
        &self,
        sql: &str,
        parameters: Option<ParameterSet>,
        within: Option<wire::Within>,
    ) -> Result<JobId, SqlError> {
        try_join_all(self.nodes.iter().map(Node::channel)).await?;
        let command = Command::SubmitQuery(SubmitQuery { sql: sql.to_owned(), parameters, within });
        let (id, signed) = self.sign(command)?;
        let job = JobId(id);
        let answers = join_all(self.nodes.iter().map(|node| submit_to(node, &signed))).await;
        let mut accepted = false;
        let (mut refused, mut lost) = (None, None);
        for answer in answers {
            match answer.map(|o| (o.log_index, o.error)) {
                Ok((log_index, None)) => {
                    self.saw(log_index);
                    accepted = true;
                }
                Ok((_, Some(error))) => refused = refused.or_else(|| Some(error.into())),
                Err(error) if is_connection_error(&error) => lost = lost.or(Some(error)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match refused.or(lost) {
            None => Ok(job),
            Some(error) => {
                if accepted {
                    // The other nodes would wait for the one that does not take part.
                    self.cancel(job).await.ok();
                }
                Err(error)
            }
        }
    }

    /// Waits until the job is done at all three nodes.
    ///
    /// # Errors
    /// What the job failed with; `57014` if it was cancelled; the node that stays away.
    pub async fn wait(
        &self,
        job: JobId,
        progress: Option<&ProgressSender>,
    ) -> Result<(), SqlError> {
        let watches = self.nodes.iter().map(|node| Box::pin(watch_node(node, job, progress)));
        let mut pending = futures::future::select_all(watches);
        let mut failure: Option<SqlError> = None;
        loop {
            let step = match &failure {
                None => Some(pending.await),
                Some(_) => tokio::time::timeout(FAILURE_GRACE, pending).await.ok(),
            };
            // Nobody else said anything in time: the failure stands.
            let Some((outcome, _, rest)) = step else { break };
            match outcome {
                Ok(()) => {}
                // A node's own verdict says more than that another one was lost.
                Err(e) if failure.as_ref().is_none_or(is_connection_error) => failure = Some(e),
                Err(_) => {}
            }
            if rest.is_empty() {
                break;
            }
            pending = futures::future::select_all(rest);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Fetches the three parts of a finished job's result and opens them.
    ///
    /// # Errors
    /// A node's failure; those of [`open_result`].
    pub async fn fetch(&self, job: JobId) -> Result<Table, SqlError> {
        open_result(self.config.cluster_id, job, &self.fetch_parts(job).await?)
    }

    /// The three parts of one attempt.
    async fn fetch_parts(&self, job: JobId) -> Result<[ResultPart; 3], SqlError> {
        for fetched in 1..=FETCHES_MAX {
            let parts = try_join_all(self.nodes.iter().map(|node| fetch_part(node, job))).await;
            let parts = match parts {
                Err(error) if is_connection_error(&error) && fetched < FETCHES_MAX => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                    continue;
                }
                parts => parts?,
            };
            let parts: [ResultPart; 3] = parts
                .try_into()
                .map_err(|_| SqlError::new(sqlstate::INTERNAL_ERROR, "three parts are needed"))?;
            let attempt = parts[0].header.attempt;
            if parts.iter().all(|p| p.header.attempt == attempt) {
                return Ok(parts);
            }
            // A new attempt is under way at some node.
            self.wait(job, None).await?;
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        Err(SqlError::new(sqlstate::DATA_CORRUPTED, "the nodes keep results of different attempts")
            .hint(format!("try `trine jobs fetch {job}` again")))
    }

    /// Asks for a job to be cancelled. It may have ended before.
    ///
    /// # Errors
    /// The refusal of the nodes, or none answers.
    pub async fn cancel(&self, job: JobId) -> Result<(), SqlError> {
        let command = Command::CancelQuery(wire::CancelQuery { job_id: job.0.to_vec() });
        let (_, signed) = self.sign(command)?;
        let outcome = self
            .any(|c| {
                let signed = signed.clone();
                async move { QueryClient::new(c).cancel(signed).await }
            })
            .await?;
        self.saw(outcome.log_index);
        outcome.error.map_or(Ok(()), |e| Err(e.into()))
    }

    /// This principal's jobs, as one node knows them.
    ///
    /// # Errors
    /// None of the nodes answers.
    pub async fn jobs(&self) -> Result<Vec<JobEntry>, SqlError> {
        self.any(|c| async move { QueryClient::new(c).list(ListJobs {}).await })
            .await
            .map(|list| list.jobs)
    }
}

/// Hands a query to one node. A channel whose node went away meanwhile is made anew once.
async fn submit_to(node: &Node, signed: &Signed) -> Result<CommandOutcome, SqlError> {
    let call = || {
        let signed = signed.clone();
        node.call(|c| async move { QueryClient::new(c).submit(signed).await })
    };
    match call().await {
        Err(error) if is_connection_error(&error) => call().await,
        outcome => outcome,
    }
}

/// Watches a job at one node until it is final there; comes back to a node that was lost.
async fn watch_node(
    node: &Node,
    job: JobId,
    progress: Option<&ProgressSender>,
) -> Result<(), SqlError> {
    let mut lost_since: Option<Instant> = None;
    loop {
        let lost = match watch_once(node, job, progress, &mut lost_since).await {
            Ok(Some(outcome)) => return outcome,
            Ok(None) => SqlError::new(
                sqlstate::CONNECTION_FAILURE,
                format!("{} ended the watch before the job was done", node.name()),
            ),
            Err(error) if is_connection_error(&error) => error,
            Err(error) => return Err(error),
        };
        let since = *lost_since.get_or_insert_with(Instant::now);
        if since.elapsed() > NODE_WAIT {
            let hint = format!("the job goes on when the node is back: `trine jobs fetch {job}`");
            return Err(lost.hint(hint));
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// One stream of states. `Some` when the job is final, `None` when the stream ended before.
async fn watch_once(
    node: &Node,
    job: JobId,
    progress: Option<&ProgressSender>,
    lost_since: &mut Option<Instant>,
) -> Result<Option<Result<(), SqlError>>, SqlError> {
    let question = JobRef { job_id: job.0.to_vec() };
    let mut states =
        node.call(|c| async move { QueryClient::new(c).watch(question).await }).await?;
    while let Some(state) = states.message().await.map_err(|s| node.error(s))? {
        *lost_since = None;
        if let Some(outcome) = verdict(&state, job) {
            return Ok(Some(outcome));
        }
        if let Some(sender) = progress {
            report(sender, &state);
        }
    }
    Ok(None)
}

fn verdict(state: &JobState, job: JobId) -> Option<Result<(), SqlError>> {
    let own = |fallback: (&str, &str)| {
        let error = state.error.clone().map(SqlError::from);
        Some(Err(error.unwrap_or_else(|| SqlError::new(fallback.0, fallback.1))))
    };
    match state.kind() {
        Kind::Done => Some(Ok(())),
        Kind::Failed => own((sqlstate::INTERNAL_ERROR, "the job failed")),
        Kind::Cancelled => own((sqlstate::QUERY_CANCELED, "the job was cancelled")),
        Kind::Expired => own((sqlstate::UNDEFINED_OBJECT, "the result has expired")),
        // A node that has not applied the job's entry yet says so once; it sends the next state when it has.
        Kind::Unknown if state.error.is_some() => {
            own((sqlstate::UNDEFINED_OBJECT, &format!("job {job} is not known")))
        }
        Kind::Unknown | Kind::Queued | Kind::Running => None,
    }
}

fn report(sender: &ProgressSender, state: &JobState) {
    let p = state.progress.clone().unwrap_or_default();
    sender.send_modify(|shown| {
        let further = p.operators_done >= shown.operators_done;
        shown.queued = state.kind() == Kind::Queued && shown.operators_total == 0;
        if further {
            shown.operator.clone_from(&p.operator);
            shown.operators_done = p.operators_done;
            shown.operators_total = p.operators_total;
        }
        // Each node counts what it sends itself; the three send about the same.
        shown.bytes_sent = shown.bytes_sent.max(p.bytes_sent.saturating_mul(3));
    });
}

/// One node's part, its pieces put together.
async fn fetch_part(node: &Node, job: JobId) -> Result<ResultPart, SqlError> {
    let question = JobRef { job_id: job.0.to_vec() };
    let mut stream = node
        .call(|c| async move {
            QueryClient::new(c).max_decoding_message_size(MESSAGE_BYTES_MAX).fetch(question).await
        })
        .await?;
    let mut pieces = Vec::new();
    while let Some(piece) = stream.message().await.map_err(|s| node.error(s))? {
        pieces.extend(piece.part);
    }
    assemble(pieces).map_err(|reason| {
        SqlError::new(sqlstate::DATA_CORRUPTED, format!("{}: {reason}", node.name()))
    })
}

fn assemble(pieces: Vec<Part>) -> Result<ResultPart, &'static str> {
    let mut pieces = pieces.into_iter();
    let Some(Part::Header(header)) = pieces.next() else {
        return Err("the result does not start with its header");
    };
    let mut vectors: Vec<ResultVector> = Vec::new();
    let mut open = false;
    for piece in pieces {
        let Part::Vector(piece) = piece else { return Err("the result has two headers") };
        if !open {
            vectors.push(ResultVector::default());
        }
        let index = piece.index as usize;
        let due = vectors.len() - 1;
        let Some(vector) = vectors.last_mut().filter(|_| index == due) else {
            return Err("a vector of the result is missing or out of order");
        };
        vector.component.extend(piece.component);
        open = !piece.last;
        if piece.last {
            vector.next_digest = piece.next_digest;
        }
    }
    if open {
        return Err("the result was cut off");
    }
    Ok(ResultPart { header, vectors })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_proto::wire::ResultHeader;

    fn piece(index: u32, component: &[u8], last: bool) -> Part {
        Part::Vector(wire::ResultVector {
            index,
            component: component.to_vec(),
            next_digest: if last { vec![7] } else { vec![] },
            last,
        })
    }

    #[test]
    fn pieces_become_vectors() {
        let header = || Part::Header(ResultHeader { rows: 2, ..Default::default() });
        let part = assemble(vec![
            header(),
            piece(0, b"ab", false),
            piece(0, b"c", true),
            piece(1, b"", true),
        ])
        .unwrap();
        assert_eq!(part.header.rows, 2);
        assert_eq!(part.vectors.len(), 2);
        assert_eq!(part.vectors[0].component, b"abc");
        assert_eq!(part.vectors[0].next_digest, [7]);
        assert!(assemble(vec![]).is_err());
        assert!(assemble(vec![piece(0, b"", true)]).is_err());
        assert!(assemble(vec![header(), piece(0, b"a", false)]).is_err());
        assert!(assemble(vec![header(), piece(1, b"a", true)]).is_err());
        assert!(assemble(vec![header(), piece(0, b"a", false), piece(1, b"a", true)]).is_err());
        assert!(assemble(vec![header(), header()]).is_err());
    }

    #[test]
    fn only_final_states_are_verdicts() {
        let state = |kind: Kind| JobState { kind: kind.into(), ..Default::default() };
        let job = JobId([1; 16]);
        assert_eq!(verdict(&state(Kind::Running), job), None);
        assert_eq!(verdict(&state(Kind::Unknown), job), None);
        assert_eq!(verdict(&state(Kind::Done), job), Some(Ok(())));
        let cancelled = verdict(&state(Kind::Cancelled), job).unwrap().unwrap_err();
        assert_eq!(cancelled.sqlstate, sqlstate::QUERY_CANCELED);
        let own = SqlError::new(sqlstate::UNDEFINED_COLUMN, "no x").at(3);
        let failed = JobState { error: Some(own.clone().into()), ..state(Kind::Failed) };
        assert_eq!(verdict(&failed, job), Some(Err(own)));
    }
}
