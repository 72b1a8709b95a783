//! Attempts: three nodes meet, compute, and each learns by itself how it ended.

use super::world::{Event, How, PARTY_WAIT, World, retry};
use crate::scheduler::{Task, Work};
use trine_proto::catalog::{Subject, TransactionState, Validation, Verdict};
use trine_proto::command::NodeCommandKind;
use trine_proto::ids::{TableId, TransactionId};
use trine_proto::status::SqlError;

/// Who has come to an attempt so far, in which life.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    joined: [Option<u64>; 3],
}

impl World {
    pub(super) fn start(&mut self, node: usize, task: Task) {
        self.nodes[node].running.insert(task);
        *self.begun.entry((task, node)).or_default() += 1;
        let (life, deadline) = (self.nodes[node].life, self.now + PARTY_WAIT);
        let pause = 1 + self.below(50);
        self.after(pause, Event::Meet { node, life, task, deadline });
    }

    /// The log has ended the attempt: this node leaves, and tells the others.
    pub(super) fn stop(&mut self, node: usize, task: Task) {
        if self.sessions.contains_key(&task) {
            self.break_session(task);
        }
        self.end_soon(node, task, How::Stopped);
    }

    pub(super) fn meet(&mut self, node: usize, task: Task, deadline: u64) {
        if !self.nodes[node].running.contains(&task) {
            return;
        }
        let life = self.nodes[node].life;
        if !self.reaches_all(node) {
            if self.now > deadline {
                self.report(node, party_down(task), Some(task));
            } else {
                self.after(100, Event::Meet { node, life, task, deadline });
            }
            return;
        }
        let session = self.sessions.entry(task).or_default();
        session.joined[node] = Some(life);
        if session.joined.iter().all(Option::is_some) {
            let pause = 20 + self.below(800);
            self.after(pause, Event::Finish(task));
        }
    }

    /// The protocol is over. One of the three may still have lost a peer that was ready first.
    pub(super) fn finish(&mut self, task: Task) {
        let Some(session) = self.sessions.get(&task) else { return };
        let lives = session.joined;
        if lives.iter().any(Option::is_none) {
            return;
        }
        self.sessions.remove(&task);
        let unlucky = self.below(18);
        for (node, life) in (0_u64..).zip(lives) {
            let how = if node == unlucky { How::Lost } else { How::Done };
            let pause = self.below(60);
            let node = usize::try_from(node).unwrap();
            let life = life.unwrap();
            self.after(pause, Event::End { node, life, task, how });
        }
    }

    pub(super) fn break_sessions_of(&mut self, nodes: &[usize]) {
        let broken: Vec<Task> = self
            .sessions
            .iter()
            .filter(|(_, s)| nodes.iter().any(|node| s.joined[*node].is_some()))
            .map(|(task, _)| *task)
            .collect();
        broken.into_iter().for_each(|task| self.break_session(task));
    }

    fn break_session(&mut self, task: Task) {
        let Some(session) = self.sessions.remove(&task) else { return };
        for (node, life) in session.joined.into_iter().enumerate() {
            if life == Some(self.nodes[node].life) && self.nodes[node].up {
                self.end_soon(node, task, How::Lost);
            }
        }
    }

    fn end_soon(&mut self, node: usize, task: Task, how: How) {
        let (life, pause) = (self.nodes[node].life, self.below(200));
        self.after(pause, Event::End { node, life, task, how });
    }

    pub(super) fn end(&mut self, node: usize, task: Task, how: How) {
        if !self.nodes[node].running.contains(&task) {
            return;
        }
        match how {
            How::Stopped => self.ended(node, task),
            How::Lost => {
                let (life, deadline) = (self.nodes[node].life, self.now + PARTY_WAIT);
                self.after(1, Event::AfterLoss { node, life, task, deadline });
            }
            How::Done => match self.done(node, task) {
                Some(kind) => self.report(node, kind, Some(task)),
                None => self.ended(node, task),
            },
        }
    }

    /// What a node tells the log of an attempt that came to its end; a statement that writes has staged
    /// its rows before.
    fn done(&mut self, node: usize, task: Task) -> Option<NodeCommandKind> {
        let attempt = task.attempt;
        let transaction = match task.work {
            Work::Query(job) => return Some(NodeCommandKind::JobDone { job, attempt }),
            Work::Validation(transaction) => transaction,
        };
        let Some(TransactionState::Validating(validation)) =
            self.nodes[node].catalog.transactions.get(&transaction)
        else {
            return None;
        };
        let Validation { table, subject, attempt: current, .. } = (**validation).clone();
        if current != attempt {
            return None;
        }
        let violated = transaction.0[0] % 7 == 0;
        let verdict = match subject {
            // One that is not as the others' would be, at one node or another.
            Subject::Pack(entry) => {
                let rows = if violated { entry.rows + 1 } else { entry.rows };
                self.stage(node, (table, transaction), attempt, rows)
            }
            _ if violated => Verdict::Violated,
            Subject::Write(_) => self.stage(node, (table, transaction), attempt, 2),
            _ => Verdict::Holds,
        };
        Some(NodeCommandKind::Verdict { transaction, attempt, verdict })
    }

    /// A segment of this node's own making.
    fn stage(
        &mut self,
        node: usize,
        (table, transaction): (TableId, TransactionId),
        attempt: u32,
        rows: u64,
    ) -> Verdict {
        self.nodes[node].disk.insert((table, transaction.segment_of_attempt(attempt)));
        self.changes += 1;
        super::client::staged(self, (node, table), transaction, attempt, rows)
    }

    /// Whoever finds everybody back asks for the next attempt; who waits too long gives up.
    pub(super) fn after_loss(&mut self, node: usize, task: Task, deadline: u64) {
        if !self.nodes[node].running.contains(&task) {
            return;
        }
        let life = self.nodes[node].life;
        if self.reaches_all(node) {
            self.report(node, retry(task), Some(task));
        } else if self.now > deadline {
            self.report(node, party_down(task), Some(task));
        } else {
            self.after(100, Event::AfterLoss { node, life, task, deadline });
        }
    }
}

fn party_down(task: Task) -> NodeCommandKind {
    let error = SqlError::new("57P03", "a node is down");
    match task.work {
        Work::Query(job) => NodeCommandKind::JobFailed { job, attempt: task.attempt, error },
        Work::Validation(TransactionId(id)) => {
            NodeCommandKind::Abort { transaction: TransactionId(id), error }
        }
    }
}
