//! EXPLAIN of a statement that writes: the same code on ghosts.

use super::{Labelled, Rule, Work, all_hold, counted, unfit, violation, write};
use crate::error::{QueryError, Result};
use crate::executor::difference;
use crate::explain::{SORT_OPENS, rows_below};
use crate::policy;
use trine_mpc::{Cost, Profile, Session};
use trine_proto::wire::ExplainRow;

impl Work {
    /// First the statement itself: it makes shares anew, counts what it wrote and has the verdict opened;
    /// below, what finds its rows. Then one line for each constraint that it could break, with its plan
    /// below.
    ///
    /// # Errors
    /// As a dry run.
    pub(crate) fn explain_rows(&self, profile: Profile) -> Result<Vec<ExplainRow>> {
        let write = self.write.as_deref();
        let (write, table, schema) =
            write.ok_or_else(|| QueryError::bug("EXPLAIN of work without a statement"))?;
        let mut session = Session::dry(profile);
        let s = &mut session;
        let below = rows_below(write.source(), 1, profile)?;
        let written = write::run(write, (*table, schema), s, None, [[0; 16]; 2])?;
        let hit = written.hit.clone();
        let mut bits = unfit(written, schema, s)?;
        let root = Line { depth: 0, text: write.text(schema), rows: write.made.rows };
        let mut root = root.cost(s, Books::default(), &below);
        let mut lines = below;
        for check in &self.checks {
            for Labelled { label, rule } in &check.rules {
                let below = match rule {
                    Rule::NoRow(plan) => rows_below(plan, 2, profile)?,
                    Rule::Unique(_) | Rule::Range(_) => Vec::new(),
                };
                let before = Books::of(s);
                if let Some(bit) = violation(check, rule, s, None)? {
                    bits.push((label.clone(), bit));
                }
                let rows = check.new.iter().chain(&check.old).map(|part| part.rows).sum();
                let (kind, name) = label.split_once(':').unwrap_or(("", label));
                let line = Line { depth: 1, text: format!("Check {kind} {name}"), rows };
                lines.push(line.cost(s, before, &below));
                lines.extend(below);
            }
        }
        let before = s.cost();
        all_hold(&bits, s)?;
        counted(Some(&hit), s)?;
        add(&mut root, difference(s.cost(), before));
        if !bits.is_empty() {
            // The lines below say what their sorts open.
            policy::VERDICT.clone_into(&mut root.opens);
        }
        lines.insert(0, root);
        Ok(lines)
    }
}

/// What was spent up to some point.
#[derive(Clone, Copy, Default)]
struct Books {
    cost: Cost,
    sorts: Cost,
}

impl Books {
    fn of(s: &Session) -> Self {
        Self { cost: s.cost(), sorts: s.sorts_predicted() }
    }
}

struct Line {
    depth: u32,
    text: String,
    rows: u64,
}

impl Line {
    /// What was spent since `before` is its cost, but for what the lines below tell.
    fn cost(self, s: &Session, before: Books, below: &[ExplainRow]) -> ExplainRow {
        let now = Books::of(s);
        let spent = difference(now.cost, before.cost);
        let told = |party: usize| -> u64 {
            below.iter().map(|row| row.bytes.get(party).copied().unwrap_or(0)).sum()
        };
        let rounds: u64 = below.iter().map(|row| row.rounds).sum();
        let bytes = [0, 1, 2].map(|party| spent.bytes[party].saturating_sub(told(party)));
        // The lines below say themselves what their sorts open.
        let expected = below.is_empty() && now.sorts != before.sorts;
        ExplainRow {
            depth: self.depth,
            text: self.text,
            rows: self.rows,
            rounds: spent.rounds.saturating_sub(rounds),
            bytes: bytes.to_vec(),
            expected,
            opens: if expected { SORT_OPENS.to_owned() } else { String::new() },
            counted: None,
            rounds_recomputed: 0,
            bytes_recomputed: Vec::new(),
        }
    }
}

fn add(row: &mut ExplainRow, cost: Cost) {
    row.rounds += cost.rounds;
    for (bytes, more) in row.bytes.iter_mut().zip(cost.bytes) {
        *bytes += more;
    }
}
