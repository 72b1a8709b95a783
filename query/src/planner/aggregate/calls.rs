//! What the aggregates of one node are made of: the aggregates that an operator computes, columns that
//! rank the rows of each group, and how the results follow from them.

use super::percentile::{Ranked, ranked_rows};
use super::statistics::Derived;
use crate::plan::{Aggregate, Expr, Plan};
use crate::planner::grouping::grouping_of;
use crate::planner::scalar::{Scope, defect};
use crate::planner::{Planner, build};
use datafusion_expr::Expr as Logical;
use trine_proto::status::SqlError;

/// How one result follows.
pub(in crate::planner) enum Made<'a> {
    /// GROUPING of these keys.
    Grouping(&'a [Logical]),
    /// From the aggregates at these places: one as it is, or what a statistic makes of several.
    Parts(Vec<usize>, Option<Box<Derived>>),
}

/// The aggregates of a node.
pub(in crate::planner) struct Calls<'a> {
    /// What is computed, each once.
    pub(in crate::planner) aggregates: Vec<Aggregate>,
    /// One for each expression of the node.
    pub(in crate::planner) results: Vec<Made<'a>>,
    /// What rows are ranked by in their group.
    ranked: Vec<Ranked>,
}

impl Planner<'_> {
    /// `whole`: there may be a result without rows.
    pub(in crate::planner) fn calls<'a>(
        &self,
        exprs: &'a [Logical],
        scope: &Scope<'_>,
        rows: u64,
        whole: bool,
    ) -> Result<Calls<'a>, SqlError> {
        let mut calls = Calls {
            aggregates: Vec::with_capacity(exprs.len()),
            results: Vec::with_capacity(exprs.len()),
            ranked: Vec::new(),
        };
        for expr in exprs {
            if let Some(keys) = grouping_of(expr) {
                calls.results.push(Made::Grouping(keys));
                continue;
            }
            let derived = match self.percentile(expr, scope, rows, whole, &mut calls.ranked) {
                Some(derived) => Some(derived),
                None => self.derived(expr, scope, rows),
            };
            let (parts, derived) = match derived {
                Some(derived) => {
                    let derived = derived?;
                    (derived.parts.clone(), Some(Box::new(derived)))
                }
                None => (vec![self.one_aggregate(expr, scope, rows, whole)?], None),
            };
            let mut at = Vec::with_capacity(parts.len());
            for part in parts {
                let known = calls.aggregates.iter().position(|a| *a == part);
                at.push(known.unwrap_or(calls.aggregates.len()));
                if known.is_none() {
                    calls.aggregates.push(part);
                }
            }
            calls.results.push(Made::Parts(at, derived));
        }
        Ok(calls)
    }
}

impl Calls<'_> {
    /// Whether the results are the aggregates, one by one.
    pub(in crate::planner) fn are_plain(&self) -> bool {
        self.results.len() == self.aggregates.len()
            && self.results.iter().enumerate().all(|(i, made)| match made {
                Made::Parts(at, None) => at.as_slice() == [i],
                _ => false,
            })
    }

    /// The rows with what ranks them within the groups of these keys behind their columns, where it is
    /// asked for.
    ///
    /// # Errors
    /// 22003 where there are too many rows.
    pub(in crate::planner) fn ranked(&self, input: Plan, keys: &[Expr]) -> Result<Plan, SqlError> {
        ranked_rows(input, keys, &self.ranked)
    }
}

/// A result from the columns of a grouped relation, of which `width` are keys.
pub(in crate::planner) fn result(
    (at, derived): (&[usize], Option<&Derived>),
    grouped: &Plan,
    width: usize,
) -> Result<Expr, SqlError> {
    let column = |index: &usize| {
        let index = width + index;
        let field = grouped.fields.get(index);
        field.map(|f| build::column(index, f)).ok_or_else(|| defect("an aggregate is lost".into()))
    };
    let own = at.iter().map(column).collect::<Result<Vec<Expr>, SqlError>>()?;
    match (derived, own.as_slice()) {
        (Some(derived), own) => derived.finish(own),
        (None, [column]) => Ok(column.clone()),
        (None, _) => Err(defect("an aggregate of several columns".into())),
    }
}
