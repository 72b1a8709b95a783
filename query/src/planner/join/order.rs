//! The order of inner joins. A tree of inner joins, with the semi and anti joins on top of it, is
//! taken apart into relations, equalities and further conditions, and put together in the order that
//! costs least: by dynamic programming over connected sets of relations, by repeated choice of the
//! cheapest pair where they are many. Equalities are transitive. A semi or anti join that looks at one
//! relation alone filters that relation, before any join.

use super::search::{Graph, Search, Tree};
use super::{Sides, defect, picked};
use crate::plan::{Expr, Field, JoinKind, Plan};
use crate::planner::aggregate::comparable_keys;
use crate::planner::relation::{filtered, subquery_of};
use crate::planner::scalar::Scope;
use crate::planner::{Planner, build};
use datafusion_common::tree_node::TreeNode;
use datafusion_common::{DFSchema, JoinType, NullEquality};
use datafusion_expr::logical_plan::Join;
use datafusion_expr::{Expr as Logical, LogicalPlan};
use std::collections::{BTreeMap, BTreeSet};
use trine_proto::status::SqlError;

/// Relations of one join at most.
const RELATIONS_MAX: usize = 64;

impl Planner<'_> {
    /// An inner join, or a semi or anti join above one, in the cheapest order.
    pub(in crate::planner) fn ordered(
        &self,
        plan: &LogicalPlan,
        join: &Join,
    ) -> Result<Plan, SqlError> {
        let mut graph = Graph::default();
        let output = self.take_apart(plan, &mut graph)?;
        if graph.leaves.len() > RELATIONS_MAX {
            return Err(SqlError::unsupported(
                format!("a join of more than {RELATIONS_MAX} relations is not supported"),
                "join some of them in a subquery",
            ));
        }
        let mut search = Search::new(&graph, &output, self.profile);
        search.known = self.known_pairs(&graph, &search)?;
        let tree = search.cheapest().ok_or_else(|| self.no_bound(join))?;
        let (plan, columns) = self.put_together(&graph, &search, &tree, join)?;
        let places: Option<Vec<usize>> =
            output.iter().map(|c| columns.iter().position(|have| have == c)).collect();
        let places = places.ok_or_else(|| defect("a join lost a column".into()))?;
        Ok(picked(plan, &places))
    }

    /// Adds a tree to the graph; the numbers of its output columns.
    fn take_apart(&self, plan: &LogicalPlan, graph: &mut Graph) -> Result<Vec<usize>, SqlError> {
        match plan {
            LogicalPlan::Join(join) if is_inner(join) => {
                let left = self.take_apart(&join.left, graph)?;
                let right = self.take_apart(&join.right, graph)?;
                for (l, r) in &join.on {
                    let x = self.global(l, join.left.schema(), &left, graph)?;
                    let y = self.global(r, join.right.schema(), &right, graph)?;
                    let pair = comparable_keys(x, y).map_err(|e| self.put(e, l))?;
                    graph.equalities.push(pair);
                }
                let both: Vec<usize> = left.into_iter().chain(right).collect();
                if let Some(filter) = &join.filter {
                    let schema = join
                        .left
                        .schema()
                        .join(join.right.schema())
                        .map_err(|e| defect(e.to_string()))?;
                    let condition = self.global(filter, &schema, &both, graph)?;
                    graph.conditions.extend(build::conjuncts(condition));
                }
                Ok(both)
            }
            LogicalPlan::Join(join) if is_filter(join) && holds_inner(&join.left) => {
                let left = self.take_apart(&join.left, graph)?;
                match self.filter_leaf(join, &left, graph)? {
                    true => Ok(left),
                    false => Err(defect("a semi join over several relations".into())),
                }
            }
            LogicalPlan::Projection(projection) if holds_inner(plan) => {
                let below = self.take_apart(&projection.input, graph)?;
                let schema = projection.input.schema();
                let place = |e: &Logical| {
                    let column = plain(e)?;
                    below.get(schema.maybe_index_of_column(column)?).copied()
                };
                let all: Option<Vec<usize>> = projection.expr.iter().map(place).collect();
                all.ok_or_else(|| defect("a projection lost a column".into()))
            }
            LogicalPlan::SubqueryAlias(alias) if holds_inner(plan) => {
                self.take_apart(&alias.input, graph)
            }
            LogicalPlan::Filter(filter) if holds_inner(plan) => {
                let below = self.take_apart(&filter.input, graph)?;
                let condition =
                    self.global(&filter.predicate, filter.input.schema(), &below, graph)?;
                graph.conditions.extend(build::conjuncts(condition));
                Ok(below)
            }
            leaf => {
                let plan = self.relation(leaf, false)?;
                Ok(graph.add(plan))
            }
        }
    }

    /// An expression over columns by their numbers.
    fn global(
        &self,
        expr: &Logical,
        schema: &DFSchema,
        columns: &[usize],
        graph: &Graph,
    ) -> Result<Expr, SqlError> {
        let fields: Vec<Field> =
            columns.iter().filter_map(|c| graph.columns.get(*c)).map(|(_, f)| f.clone()).collect();
        let scope = Scope { schema, fields: &fields, subqueries: &[] };
        let built = self.exact(expr, &scope)?;
        Ok(build::moved(&built, &|i| columns.get(i).copied().unwrap_or(i)))
    }

    /// Lets a semi or anti join filter the one relation that it looks at; false if they are several.
    fn filter_leaf(
        &self,
        join: &Join,
        left: &[usize],
        graph: &mut Graph,
    ) -> Result<bool, SqlError> {
        let right = self.relation(&join.right, false)?;
        let right_scope =
            Scope { schema: join.right.schema(), fields: &right.fields, subqueries: &[] };
        let mut left_keys = Vec::with_capacity(join.on.len());
        let mut right_keys = Vec::with_capacity(join.on.len());
        for (l, r) in &join.on {
            let x = self.global(l, join.left.schema(), left, graph)?;
            let y = self.exact(r, &right_scope)?;
            let (x, y) = comparable_keys(x, y).map_err(|e| self.put(e, l))?;
            left_keys.push(x);
            right_keys.push(y);
        }
        let mut leaves = BTreeSet::new();
        for key in &left_keys {
            graph.leaves_of(key, &mut leaves);
        }
        // Right columns are numbered behind all others while conditions are compiled.
        let base = graph.columns.len();
        let mut residual = Vec::new();
        if let Some(filter) = &join.filter {
            let schema =
                join.left.schema().join(join.right.schema()).map_err(|e| defect(e.to_string()))?;
            let mut fields: Vec<Field> =
                left.iter().filter_map(|c| graph.columns.get(*c)).map(|(_, f)| f.clone()).collect();
            fields.extend(right.fields.iter().cloned());
            let scope = Scope { schema: &schema, fields: &fields, subqueries: &[] };
            let built = self.condition(filter, &scope)?;
            let place = |i: usize| {
                left.get(i).copied().unwrap_or_else(|| base + i.saturating_sub(left.len()))
            };
            residual = build::conjuncts(build::moved(&built, &place));
            for part in &residual {
                graph.leaves_of(part, &mut leaves);
            }
        }
        let [leaf] = leaves.iter().copied().collect::<Vec<_>>()[..] else { return Ok(false) };
        let (Some(first), Some(plan)) =
            (graph.first.get(leaf).copied(), graph.leaves.get(leaf).cloned())
        else {
            return Ok(false);
        };
        let width = plan.fields.len();
        let own = |i: usize| if i >= base { width + i - base } else { i - first };
        let moved =
            |all: &[Expr]| -> Vec<Expr> { all.iter().map(|e| build::moved(e, &own)).collect() };
        let sides = Sides {
            left: plan,
            right,
            left_keys: moved(&left_keys),
            right_keys,
            residual: moved(&residual),
        };
        let kind =
            if join.join_type == JoinType::LeftAnti { JoinKind::Anti } else { JoinKind::Semi };
        let kept = self.semi(sides, kind, join)?;
        if let Some(slot) = graph.leaves.get_mut(leaf) {
            *slot = kept;
        }
        Ok(true)
    }

    /// For relations that are joined on public keys alone how many pairs of rows meet.
    fn known_pairs(
        &self,
        graph: &Graph,
        search: &Search<'_>,
    ) -> Result<BTreeMap<u64, u64>, SqlError> {
        let mut known = BTreeMap::new();
        if !self.public.is_met() {
            return Ok(known);
        }
        for (j, (right, right_first)) in graph.leaves.iter().zip(&graph.first).enumerate() {
            for (i, (left, left_first)) in graph.leaves.iter().zip(&graph.first).enumerate().take(j)
            {
                let mut sides = Sides {
                    left: left.clone(),
                    right: right.clone(),
                    left_keys: Vec::new(),
                    right_keys: Vec::new(),
                    residual: Vec::new(),
                };
                for (x, y) in search.keys(1 << i, 1 << j) {
                    let (x, y) = comparable_keys(x, y)?;
                    sides.left_keys.push(build::moved(&x, &|c| c - left_first));
                    sides.right_keys.push(build::moved(&y, &|c| c - right_first));
                }
                if let Some(pairs) = self.pairs_in_the_clear(&sides)? {
                    known.insert(1 << i | 1 << j, pairs);
                }
            }
        }
        Ok(known)
    }

    /// The plan of a tree, and the numbers of its columns.
    fn put_together(
        &self,
        graph: &Graph,
        search: &Search<'_>,
        tree: &Tree,
        join: &Join,
    ) -> Result<(Plan, Vec<usize>), SqlError> {
        let (l, r) = match tree {
            Tree::Leaf(leaf) => {
                let lost = || defect("a join lost a relation".into());
                let plan = graph.leaves.get(*leaf).ok_or_else(lost)?.clone();
                let first = graph.first.get(*leaf).copied().ok_or_else(lost)?;
                let columns: Vec<usize> = (first..first + plan.fields.len()).collect();
                let place = |c: usize| c - first;
                let own = search.conditions_within(1 << leaf, 0, 0);
                let own = own.iter().map(|e| build::moved(e, &place)).collect();
                return Ok((self.in_the_clear(filtered(plan, build::and(own)))?, columns));
            }
            Tree::Join(l, r) => (l, r),
        };
        let (left, left_columns) = self.put_together(graph, search, l, join)?;
        let (right, right_columns) = self.put_together(graph, search, r, join)?;
        let within = |columns: &[usize], e: &Expr| {
            build::moved(e, &|c| columns.iter().position(|have| *have == c).unwrap_or(c))
        };
        let (mut left_keys, mut right_keys) = (Vec::new(), Vec::new());
        for (x, y) in search.keys(l.mask(), r.mask()) {
            let (x, y) = comparable_keys(x, y)?;
            left_keys.push(within(&left_columns, &x));
            right_keys.push(within(&right_columns, &y));
        }
        let columns: Vec<usize> = left_columns.into_iter().chain(right_columns).collect();
        let residual = search.conditions_within(l.mask() | r.mask(), l.mask(), r.mask());
        let residual = residual.iter().map(|e| within(&columns, e)).collect();
        let sides = Sides { left, right, left_keys, right_keys, residual };
        Ok((self.inner(sides, join)?, columns))
    }
}

fn is_inner(join: &Join) -> bool {
    join.join_type == JoinType::Inner
        && join.null_equality == NullEquality::NullEqualsNothing
        && !join.null_aware
}

/// A semi or anti join that looks at its left side through plain columns of one relation.
fn is_filter(join: &Join) -> bool {
    let kind = matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti);
    if !kind || join.null_equality != NullEquality::NullEqualsNothing || join.null_aware {
        return false;
    }
    let mut sources = BTreeSet::new();
    let schema = join.left.schema();
    let mut add = |e: &Logical| {
        for column in e.column_refs() {
            if let Some(index) = schema.maybe_index_of_column(column) {
                sources.insert(source(&join.left, index));
            }
        }
    };
    join.on.iter().for_each(|(l, _)| add(l));
    join.filter.iter().for_each(&mut add);
    sources.len() == 1
}

/// Which relation of a tree of joins a column comes from, as the path to it.
fn source(plan: &LogicalPlan, index: usize) -> Vec<bool> {
    match plan {
        LogicalPlan::Join(join) if is_inner(join) => {
            let width = join.left.schema().fields().len();
            let right = index >= width;
            let (side, index) =
                if right { (&join.right, index - width) } else { (&join.left, index) };
            let mut path = vec![right];
            path.extend(source(side, index));
            path
        }
        LogicalPlan::Join(join) if is_filter(join) => source(&join.left, index),
        LogicalPlan::SubqueryAlias(alias) if holds_inner(plan) => source(&alias.input, index),
        LogicalPlan::Filter(filter) if holds_inner(plan) => source(&filter.input, index),
        LogicalPlan::Projection(projection) if holds_inner(plan) => {
            let column = projection.expr.get(index).and_then(plain);
            let below = column.and_then(|c| projection.input.schema().maybe_index_of_column(c));
            below.map_or_else(Vec::new, |below| source(&projection.input, below))
        }
        _ => Vec::new(),
    }
}

/// Whether a tree of joins goes on below a node.
pub(in crate::planner) fn holds_inner(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Join(join) => is_inner(join) || (is_filter(join) && holds_inner(&join.left)),
        LogicalPlan::SubqueryAlias(alias) => holds_inner(&alias.input),
        LogicalPlan::Filter(filter) => {
            let nested = filter.predicate.exists(|e| Ok(subquery_of(e).is_some()));
            !nested.unwrap_or(true) && holds_inner(&filter.input)
        }
        LogicalPlan::Projection(projection) => {
            projection.expr.iter().all(|e| plain(e).is_some()) && holds_inner(&projection.input)
        }
        _ => false,
    }
}

fn plain(expr: &Logical) -> Option<&datafusion_common::Column> {
    match expr {
        Logical::Column(column) => Some(column),
        Logical::Alias(alias) => plain(&alias.expr),
        _ => None,
    }
}
