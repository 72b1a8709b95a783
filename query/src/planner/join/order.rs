//! The order of inner joins. A tree of inner joins, with the semi and anti joins on top of it, is
//! taken apart into relations, equalities and further conditions, and put together in the order that
//! costs least: by dynamic programming over connected sets of relations, by repeated choice of the
//! cheapest pair where they are many. Equalities are transitive. A semi or anti join that looks at one
//! relation alone filters that relation, before any join.

use super::pairs::PAIRS_KEPT_MAX;
use super::price::{self, Shape};
use super::{Sides, defect, picked};
use crate::plan::{Expr, Field, JoinKind, Plan};
use crate::planner::aggregate::comparable_keys;
use crate::planner::relation::{filtered, subquery_of};
use crate::planner::scalar::Scope;
use crate::planner::unique::unique_keys;
use crate::planner::{Planner, build};
use datafusion_common::tree_node::TreeNode;
use datafusion_common::{DFSchema, JoinType, NullEquality};
use datafusion_expr::logical_plan::Join;
use datafusion_expr::{Expr as Logical, LogicalPlan};
use std::collections::{BTreeMap, BTreeSet};
use trine_proto::status::SqlError;

/// Relations up to which all orders are looked at.
const EXHAUSTIVE_MAX: usize = 9;
/// Relations of one join at most.
const RELATIONS_MAX: usize = 64;

/// A tree of joins, taken apart. Columns have one number over all relations.
#[derive(Default)]
struct Graph {
    leaves: Vec<Plan>,
    /// Number of the first column of each leaf.
    first: Vec<usize>,
    /// Leaf and field of each column.
    columns: Vec<(usize, Field)>,
    equalities: Vec<(Expr, Expr)>,
    conditions: Vec<Expr>,
}

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
        let search = Search::new(&graph, &output, self.profile);
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
        let built = self.scalar(expr, &scope)?;
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
            let y = self.scalar(r, &right_scope)?;
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
            let place =
                |i: usize| left.get(i).copied().unwrap_or(base + i.saturating_sub(left.len()));
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
                return Ok((filtered(plan, build::and(own)), columns));
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

impl Graph {
    fn add(&mut self, plan: Plan) -> Vec<usize> {
        let (leaf, first) = (self.leaves.len(), self.columns.len());
        self.columns.extend(plan.fields.iter().map(|f| (leaf, f.clone())));
        self.first.push(first);
        self.leaves.push(plan);
        (first..self.columns.len()).collect()
    }

    fn leaves_of(&self, expr: &Expr, out: &mut BTreeSet<usize>) {
        let mut columns = BTreeSet::new();
        build::columns_of(expr, &mut columns);
        out.extend(columns.iter().filter_map(|c| self.columns.get(*c)).map(|(leaf, _)| *leaf));
    }

    fn mask(&self, expr: &Expr) -> u64 {
        let mut leaves = BTreeSet::new();
        self.leaves_of(expr, &mut leaves);
        leaves.iter().fold(0, |mask, leaf| mask | 1 << leaf)
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

/// An order of joins.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(usize),
    Join(Box<Tree>, Box<Tree>),
}

impl Tree {
    fn mask(&self) -> u64 {
        match self {
            Self::Leaf(leaf) => 1 << leaf,
            Self::Join(l, r) => l.mask() | r.mask(),
        }
    }
}

/// The best way found to join a set of relations.
#[derive(Clone)]
struct Joined {
    cost: u64,
    rows: u64,
    /// Sets of columns (by representative of their equals) that tell rows apart.
    unique: BTreeSet<BTreeSet<usize>>,
    tree: Tree,
}

/// What the search for an order knows.
struct Search<'a> {
    graph: &'a Graph,
    output: BTreeSet<usize>,
    profile: trine_proto::catalog::NetProfile,
    /// Columns that are equal to each other, by their smallest member.
    classes: BTreeMap<usize, Vec<usize>>,
    /// Smallest member of each column's class.
    representative: Vec<usize>,
    /// Equalities of other than plain columns, with the relations of both sides.
    others: Vec<(Expr, Expr, u64, u64)>,
    /// Conditions with their relations.
    conditions: Vec<(Expr, u64)>,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph, output: &[usize], profile: trine_proto::catalog::NetProfile) -> Self {
        let mut representative: Vec<usize> = (0..graph.columns.len()).collect();
        let mut others = Vec::new();
        let mut conditions: Vec<(Expr, u64)> =
            graph.conditions.iter().map(|c| (c.clone(), graph.mask(c))).collect();
        for (x, y) in &graph.equalities {
            let (a, b) = (graph.mask(x), graph.mask(y));
            match (bare(x), bare(y)) {
                (Some(i), Some(j)) => {
                    let (from, to) = (representative[i], representative[j]);
                    let (low, high) = (from.min(to), from.max(to));
                    for slot in representative.iter_mut().filter(|r| **r == high) {
                        *slot = low;
                    }
                }
                _ if a & b == 0 && a != 0 && b != 0 => others.push((x.clone(), y.clone(), a, b)),
                _ => {
                    let equal = build::compare(crate::plan::Compare::Eq, x.clone(), y.clone());
                    conditions.extend(equal.ok().map(|e| (e, a | b)));
                }
            }
        }
        let mut classes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (column, smallest) in representative.iter().enumerate() {
            classes.entry(*smallest).or_default().push(column);
        }
        classes.retain(|_, members| members.len() > 1);
        let output = output.iter().copied().collect();
        Self { graph, output, profile, classes, representative, others, conditions }
    }

    fn leaf_of(&self, column: usize) -> u64 {
        self.graph.columns.get(column).map_or(0, |(leaf, _)| 1 << leaf)
    }

    fn column(&self, column: usize) -> Option<Expr> {
        self.graph.columns.get(column).map(|(_, f)| build::column(column, f))
    }

    /// Equalities between two sets of relations: one for each class with members in both.
    fn keys(&self, left: u64, right: u64) -> Vec<(Expr, Expr)> {
        let mut keys = Vec::new();
        for members in self.classes.values() {
            let of = |mask: u64| members.iter().find(|c| self.leaf_of(**c) & mask != 0);
            let pair = of(left).zip(of(right));
            keys.extend(pair.and_then(|(l, r)| self.column(*l).zip(self.column(*r))));
        }
        for (x, y, a, b) in &self.others {
            if a & left == *a && b & right == *b {
                keys.push((x.clone(), y.clone()));
            } else if a & right == *a && b & left == *b {
                keys.push((y.clone(), x.clone()));
            }
        }
        keys
    }

    /// Conditions over these relations that do not lie within either part alone; equalities inside
    /// one class of one relation too.
    fn conditions_within(&self, all: u64, left: u64, right: u64) -> Vec<Expr> {
        let inside = |mask: u64, of: u64| mask & of == mask;
        let mut out: Vec<Expr> = self
            .conditions
            .iter()
            .filter(|(_, mask)| {
                let nothing = *mask == 0 && all.count_ones() == 1 && all & 1 == 1;
                let here = *mask != 0
                    && inside(*mask, all)
                    && !inside(*mask, left)
                    && !inside(*mask, right);
                nothing || here
            })
            .map(|(e, _)| e.clone())
            .collect();
        // Equalities of one expression with several relations on one side.
        for (x, y, a, b) in &self.others {
            let mask = a | b;
            let spanning = inside(mask, all) && !inside(mask, left) && !inside(mask, right);
            let keyed =
                (inside(*a, left) && inside(*b, right)) || (inside(*a, right) && inside(*b, left));
            if spanning && !keyed && all.count_ones() > 1 {
                out.extend(build::compare(crate::plan::Compare::Eq, x.clone(), y.clone()).ok());
            }
        }
        // Two columns of one relation that are equal through a class.
        if left == 0 && right == 0 {
            for members in self.classes.values() {
                let own: Vec<Expr> = members
                    .iter()
                    .filter(|c| self.leaf_of(**c) == all)
                    .filter_map(|c| self.column(*c))
                    .collect();
                for pair in own.windows(2) {
                    let (x, y) = (pair[0].clone(), pair[1].clone());
                    out.extend(build::compare(crate::plan::Compare::Eq, x, y).ok());
                }
            }
        }
        out
    }

    fn leaf(&self, leaf: usize) -> Option<Joined> {
        let plan = self.graph.leaves.get(leaf)?;
        let first = self.graph.first.get(leaf)?;
        let unique = unique_keys(plan)
            .iter()
            .map(|set| set.iter().map(|c| self.same(first + c)).collect())
            .collect();
        Some(Joined { cost: 0, rows: plan.rows, unique, tree: Tree::Leaf(leaf) })
    }

    fn same(&self, column: usize) -> usize {
        self.representative.get(column).copied().unwrap_or(column)
    }

    fn cheapest(&self) -> Option<Tree> {
        let count = self.graph.leaves.len();
        if count > EXHAUSTIVE_MAX {
            return self.step_by_step();
        }
        for all_pairs in [false, true] {
            let mut best: Vec<Option<Joined>> = vec![None; 1 << count];
            for mask in 1_usize..1 << count {
                if mask.count_ones() == 1 {
                    best[mask] = self.leaf(mask.trailing_zeros() as usize);
                    continue;
                }
                let mut part = (mask - 1) & mask;
                let mut found: Option<Joined> = None;
                while part > 0 {
                    let rest = mask ^ part;
                    if part > rest
                        && let (Some(x), Some(y)) = (&best[part], &best[rest])
                    {
                        found = better(found, self.joined(x, y, all_pairs));
                    }
                    part = (part - 1) & mask;
                }
                best[mask] = found;
            }
            if let Some(done) = best.pop().flatten() {
                return Some(done.tree);
            }
        }
        None
    }

    /// The cheapest pair is joined, again and again.
    fn step_by_step(&self) -> Option<Tree> {
        let mut parts: Vec<Joined> =
            (0..self.graph.leaves.len()).map(|l| self.leaf(l)).collect::<Option<_>>()?;
        while parts.len() > 1 {
            let mut chosen: Option<(usize, usize, Joined)> = None;
            for all_pairs in [false, true] {
                for i in 0..parts.len() {
                    for j in i + 1..parts.len() {
                        let joined = self.joined(&parts[i], &parts[j], all_pairs);
                        let cheaper = |j: &Joined| {
                            chosen
                                .as_ref()
                                .is_none_or(|(_, _, c)| (j.rows, j.cost) < (c.rows, c.cost))
                        };
                        if let Some(joined) = joined.filter(cheaper) {
                            chosen = Some((i, j, joined));
                        }
                    }
                }
                if chosen.is_some() {
                    break;
                }
            }
            let (i, j, joined) = chosen?;
            parts.remove(j);
            parts.remove(i);
            parts.push(joined);
        }
        parts.pop().map(|p| p.tree)
    }

    /// Both parts joined the cheapest way; over all pairs of rows only where that is allowed.
    fn joined(&self, x: &Joined, y: &Joined, all_pairs: bool) -> Option<Joined> {
        let (a, b) = (x.tree.mask(), y.tree.mask());
        let keys = self.keys(a, b);
        let tree = Tree::Join(Box::new(x.tree.clone()), Box::new(y.tree.clone()));
        let spent = x.cost.saturating_add(y.cost);
        if x.rows <= 1 || y.rows <= 1 {
            let (one, many) = if y.rows <= 1 { (y, x) } else { (x, y) };
            let rows = many.rows * one.rows.max(1);
            return Some(Joined { cost: spent + 1, rows, unique: many.unique.clone(), tree });
        }
        let told_apart = |part: &Joined, of: &dyn Fn(&(Expr, Expr)) -> Option<usize>| {
            let columns: BTreeSet<usize> =
                keys.iter().filter_map(of).map(|c| self.same(c)).collect();
            !keys.is_empty() && part.unique.iter().any(|set| set.is_subset(&columns))
        };
        let key: u64 = keys.iter().map(|(l, r)| l.ty.bits().max(r.ty.bits()) as u64).sum();
        let x_unique = told_apart(x, &|(l, _)| build::plain_column(l));
        let y_unique = told_apart(y, &|(_, r)| build::plain_column(r));
        if !x_unique && !y_unique {
            let rows = x.rows.checked_mul(y.rows).filter(|r| all_pairs && *r <= PAIRS_KEPT_MAX)?;
            let shape = Shape { many: x.rows, unique: y.rows, key, payload: 0 };
            let cost = spent + price::looked_up(shape, self.profile);
            let mut unique = BTreeSet::new();
            for l in &x.unique {
                unique.extend(y.unique.iter().map(|r| l.union(r).copied().collect()));
            }
            return Some(Joined { cost, rows, unique, tree });
        }
        let (many, one) = if y_unique && (!x_unique || x.rows <= y.rows) { (x, y) } else { (y, x) };
        let payload = self.payload(one.tree.mask(), many.tree.mask());
        let shape = Shape { many: many.rows, unique: one.rows, key, payload };
        let mut cost = price::sorted(shape, self.profile);
        if one.rows <= super::LOOKUP_ROWS_MAX {
            cost = cost.min(price::looked_up(shape, self.profile));
        }
        let mut unique = many.unique.clone();
        if x_unique && y_unique {
            unique.extend(one.unique.iter().cloned());
        }
        Some(Joined { cost: spent.saturating_add(cost), rows: many.rows, unique, tree })
    }

    /// Bits of the columns of `part` that are needed once it is joined with `other`.
    fn payload(&self, part: u64, other: u64) -> u64 {
        let all = part | other;
        let mut bits = 0;
        for (column, (leaf, field)) in self.graph.columns.iter().enumerate() {
            if part & 1 << leaf == 0 {
                continue;
            }
            let named = |(e, mask): &(Expr, u64)| {
                let mut columns = BTreeSet::new();
                build::columns_of(e, &mut columns);
                mask & part != *mask && columns.contains(&column)
            };
            let linked = self.classes.get(&self.same(column)).is_some_and(|members| {
                let reaches = |mask: u64| members.iter().any(|c| self.leaf_of(*c) & mask != 0);
                reaches(!all) && !reaches(other)
            });
            if self.output.contains(&column) || linked || self.conditions.iter().any(named) {
                bits += field.ty.bits() as u64 + u64::from(field.nullable);
            }
        }
        bits
    }
}

/// A column itself, without a change of scale or type.
fn bare(expr: &Expr) -> Option<usize> {
    match &expr.kind {
        crate::plan::ExprKind::Column(index) => Some(*index),
        _ => None,
    }
}

fn better(a: Option<Joined>, b: Option<Joined>) -> Option<Joined> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.cost < a.cost { b } else { a }),
        (a, b) => a.or(b),
    }
}
