//! The search for an order of joins: dynamic programming over sets of relations, by [`price`].

use super::pairs::PAIRS_KEPT_MAX;
use super::price::{self, Shape};
use crate::plan::{Compare, Expr, ExprKind, Field, Plan};
use crate::planner::build;
use crate::planner::unique::unique_keys;
use std::collections::{BTreeMap, BTreeSet};
use trine_proto::catalog::NetProfile;

/// Relations up to which all orders are looked at.
const EXHAUSTIVE_MAX: usize = 9;

/// A tree of joins, taken apart. Columns have one number over all relations.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) leaves: Vec<Plan>,
    /// Number of the first column of each leaf.
    pub(super) first: Vec<usize>,
    /// Leaf and field of each column.
    pub(super) columns: Vec<(usize, Field)>,
    pub(super) equalities: Vec<(Expr, Expr)>,
    pub(super) conditions: Vec<Expr>,
}

impl Graph {
    pub(super) fn add(&mut self, plan: Plan) -> Vec<usize> {
        let (leaf, first) = (self.leaves.len(), self.columns.len());
        self.columns.extend(plan.fields.iter().map(|f| (leaf, f.clone())));
        self.first.push(first);
        self.leaves.push(plan);
        (first..self.columns.len()).collect()
    }

    pub(super) fn leaves_of(&self, expr: &Expr, out: &mut BTreeSet<usize>) {
        let mut columns = BTreeSet::new();
        build::columns_of(expr, &mut columns);
        out.extend(columns.iter().filter_map(|c| self.columns.get(*c)).map(|(leaf, _)| *leaf));
    }

    pub(super) fn mask(&self, expr: &Expr) -> u64 {
        let mut leaves = BTreeSet::new();
        self.leaves_of(expr, &mut leaves);
        leaves.iter().fold(0, |mask, leaf| mask | 1 << leaf)
    }
}

/// An order of joins.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    Leaf(usize),
    Join(Box<Self>, Box<Self>),
}

impl Tree {
    pub(super) fn mask(&self) -> u64 {
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
pub(super) struct Search<'a> {
    graph: &'a Graph,
    output: BTreeSet<usize>,
    profile: NetProfile,
    /// Columns that are equal to each other, by their smallest member.
    classes: BTreeMap<usize, Vec<usize>>,
    /// Smallest member of each column's class.
    representative: Vec<usize>,
    /// Equalities of other than plain columns, with the relations of both sides.
    others: Vec<(Expr, Expr, u64, u64)>,
    /// Conditions with their relations.
    conditions: Vec<(Expr, u64)>,
    /// Per column the relations of each condition that reads it.
    readers: BTreeMap<usize, Vec<u64>>,
    /// Pairs of rows of two relations that meet on public keys, by the set of both.
    pub(super) known: BTreeMap<u64, u64>,
}

impl<'a> Search<'a> {
    pub(super) fn new(graph: &'a Graph, output: &[usize], profile: NetProfile) -> Self {
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
                    let equal = build::compare(Compare::Eq, x.clone(), y.clone());
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
        let mut readers: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for (condition, mask) in &conditions {
            let mut columns = BTreeSet::new();
            build::columns_of(condition, &mut columns);
            columns.into_iter().for_each(|c| readers.entry(c).or_default().push(*mask));
        }
        let known = BTreeMap::new();
        Self { graph, output, profile, classes, representative, others, conditions, readers, known }
    }

    fn leaf_of(&self, column: usize) -> u64 {
        self.graph.columns.get(column).map_or(0, |(leaf, _)| 1 << leaf)
    }

    fn column(&self, column: usize) -> Option<Expr> {
        self.graph.columns.get(column).map(|(_, f)| build::column(column, f))
    }

    /// Equalities between two sets of relations: one for each class with members in both.
    pub(super) fn keys(&self, left: u64, right: u64) -> Vec<(Expr, Expr)> {
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
    pub(super) fn conditions_within(&self, all: u64, left: u64, right: u64) -> Vec<Expr> {
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
                out.extend(build::compare(Compare::Eq, x.clone(), y.clone()).ok());
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
                    out.extend(build::compare(Compare::Eq, x, y).ok());
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

    pub(super) fn cheapest(&self) -> Option<Tree> {
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
        if let Some(rows) = self.known.get(&(a | b)) {
            let mut unique = BTreeSet::new();
            unique.extend(x.unique.iter().filter(|_| y_unique).cloned());
            unique.extend(y.unique.iter().filter(|_| x_unique).cloned());
            return Some(Joined { cost: spent, rows: *rows, unique, tree });
        }
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
            let read = self
                .readers
                .get(&column)
                .is_some_and(|masks| masks.iter().any(|mask| mask & part != *mask));
            let linked = self.classes.get(&self.same(column)).is_some_and(|members| {
                let reaches = |mask: u64| members.iter().any(|c| self.leaf_of(*c) & mask != 0);
                reaches(!all) && !reaches(other)
            });
            if self.output.contains(&column) || linked || read {
                bits += field.ty.bits() as u64 + u64::from(field.nullable);
            }
        }
        bits
    }
}

/// A column itself, without a change of scale or type.
fn bare(expr: &Expr) -> Option<usize> {
    match &expr.kind {
        ExprKind::Column(index) => Some(*index),
        _ => None,
    }
}

fn better(a: Option<Joined>, b: Option<Joined>) -> Option<Joined> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.cost < a.cost { b } else { a }),
        (a, b) => a.or(b),
    }
}
