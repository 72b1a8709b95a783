//! Joins on PUBLIC columns of both sides: which rows meet is found in the clear, so that the bound is
//! exact and nothing is sorted. Secret equalities beside public ones filter the pairs.

use super::{all_exist, picked_rows};
use crate::clear::pairs;
use crate::cost;
use crate::explain;
use crate::plan::{Expr, Field, JoinKind, Literal, Operator, Plan, PublicIndex};
use crate::planner::join::Sides;
use crate::planner::relation::filtered;
use crate::planner::{Planner, ROWS_MAX, build};
use std::sync::Arc;
use trine_proto::status::SqlError;

/// Pairs that a join on public keys may have.
const PAIRS_MAX: u64 = ROWS_MAX >> 4;

type Values = Arc<Vec<Literal>>;

/// Keys that are public on both sides, and the places of the others.
struct Keys {
    left: Vec<Values>,
    right: Vec<Values>,
    public: Vec<usize>,
    secret: Vec<usize>,
}

impl Planner<'_> {
    fn public_keys(&self, sides: &Sides) -> Result<Keys, SqlError> {
        let (left, right) = (Vec::new(), Vec::new());
        let mut keys = Keys { left, right, public: Vec::new(), secret: Vec::new() };
        if !self.public.is_met() {
            keys.secret = (0..sides.left_keys.len()).collect();
            return Ok(keys);
        }
        for (place, (l, r)) in sides.left_keys.iter().zip(&sides.right_keys).enumerate() {
            let left = self.known_expression(&sides.left, l)?;
            let right = match &left {
                Some(_) => self.known_expression(&sides.right, r)?,
                None => None,
            };
            match (left, right) {
                (Some(left), Some(right)) => {
                    keys.left.push(left);
                    keys.right.push(right);
                    keys.public.push(place);
                }
                _ => keys.secret.push(place),
            }
        }
        Ok(keys)
    }

    /// How many pairs of rows meet, if all keys are public.
    pub(in crate::planner) fn pairs_in_the_clear(
        &self,
        sides: &Sides,
    ) -> Result<Option<u64>, SqlError> {
        let keys = self.public_keys(sides)?;
        if keys.public.is_empty() || !keys.secret.is_empty() {
            return Ok(None);
        }
        Ok(pairs(&keys.left, &keys.right, PAIRS_MAX).map(|pairs| pairs.len() as u64))
    }

    /// An inner join whose keys are public, all or some; none if none is. Further conditions are not in
    /// it. `other` is what the join is without that: it is asked for where some keys are secret.
    pub(in crate::planner) fn met_in_the_clear(
        &self,
        sides: &Sides,
        other: impl FnOnce() -> Result<Plan, SqlError>,
    ) -> Result<Option<Plan>, SqlError> {
        let keys = self.public_keys(sides)?;
        if keys.public.is_empty() {
            return Ok(None);
        }
        let Some(pairs) = pairs(&keys.left, &keys.right, PAIRS_MAX) else { return Ok(None) };
        let mut conditions = Vec::with_capacity(sides.left_keys.len());
        let width = sides.left.fields.len();
        for (l, r) in sides.left_keys.iter().zip(&sides.right_keys) {
            let right = build::moved(r, &|i| i + width);
            conditions.push(build::compare(crate::plan::Compare::Eq, l.clone(), right)?);
        }
        let at = |places: &[usize]| -> Vec<Expr> {
            places.iter().filter_map(|p| conditions.get(*p).cloned()).collect()
        };
        let fields: Vec<Field> =
            sides.left.fields.iter().chain(&sides.right.fields).cloned().collect();
        let condition = explain::condition(&build::and(at(&keys.public)), &fields);
        let rows = pairs.len() as u64;
        let (left_rows, right_rows): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
        let op = Operator::PublicJoin {
            left: Box::new(sides.left.clone()),
            right: Box::new(sides.right.clone()),
            left_rows: PublicIndex::new(left_rows),
            right_rows: PublicIndex::new(right_rows),
            condition,
        };
        let met = Plan { op, fields, rows };
        if keys.secret.is_empty() {
            return Ok(Some(met));
        }
        let filtered = filtered(met, build::and(at(&keys.secret)));
        Ok(Some(match other() {
            Ok(other) => cost::cheaper(filtered, other, self.profile),
            Err(_) => filtered,
        }))
    }

    /// Left rows with (Semi) or without (Anti) a match, where both keys are public and every right row
    /// exists; none elsewhere.
    pub(in crate::planner) fn existing_in_the_clear(
        &self,
        sides: &Sides,
        kind: JoinKind,
    ) -> Result<Option<Plan>, SqlError> {
        let decides = sides.residual.is_empty() && all_exist(&sides.right);
        if !decides || !self.public.is_met() {
            return Ok(None);
        }
        let keys = self.public_keys(sides)?;
        if keys.public.is_empty() || !keys.secret.is_empty() {
            return Ok(None);
        }
        let Some(pairs) = pairs(&keys.left, &keys.right, PAIRS_MAX) else { return Ok(None) };
        let mut matched: Vec<u32> = pairs.into_iter().map(|(left, _)| left).collect();
        matched.dedup();
        let mut matches = matched.iter().copied().peekable();
        let rows = u32::try_from(sides.left.rows).unwrap_or(u32::MAX);
        let kept = (0..rows).filter(|row| {
            let met = matches.next_if_eq(row).is_some();
            met == (kind == JoinKind::Semi)
        });
        let names: Vec<String> =
            sides.left_keys.iter().map(|k| explain::condition(k, &sides.left.fields)).collect();
        let word = if kind == JoinKind::Semi { "IN" } else { "NOT IN" };
        let condition = format!("{} {word} {}", names.join(", "), explain::source(&sides.right));
        let kept: Vec<u32> = kept.collect();
        Ok(Some(picked_rows(sides.left.clone(), kept, condition)))
    }

    /// Whether an outer join may be put together of the rows that match and those that do not without
    /// a wider bound.
    pub(in crate::planner) fn splits_in_the_clear(&self, sides: &Sides) -> Result<bool, SqlError> {
        if !sides.residual.is_empty() || !all_exist(&sides.right) {
            return Ok(false);
        }
        let keys = self.public_keys(sides)?;
        Ok(!keys.public.is_empty() && keys.secret.is_empty())
    }
}
