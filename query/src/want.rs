//! Which encodings of which columns are needed further up: decides what a scan reads, what a
//! shuffle moves and in which domain an expression is computed. A hint about cost, never about
//! meaning: a column that lacks an encoding converts itself when asked.

use crate::plan::{Expr, ExprKind, Literal};

/// What the consumer of a column does with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Want {
    /// Anything at all; a column nobody uses carries no shares.
    pub(crate) used: bool,
    /// Compares, sorts or selects it.
    pub(crate) planes: bool,
    /// Adds or multiplies it.
    pub(crate) arith: bool,
}

impl Want {
    /// Nobody looks.
    pub(crate) const NOTHING: Self = Self { used: false, planes: false, arith: false };
    /// Either encoding will do.
    pub(crate) const ANY: Self = Self { used: true, planes: false, arith: false };
    /// Planes.
    pub(crate) const PLANES: Self = Self { used: true, planes: true, arith: false };
    /// Arithmetic.
    pub(crate) const ARITH: Self = Self { used: true, planes: false, arith: true };

    /// Both needs.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            used: self.used || other.used,
            planes: self.planes || other.planes,
            arith: self.arith || other.arith,
        }
    }
    /// Whether arithmetic alone is asked for.
    pub(crate) const fn only_arith(self) -> bool {
        self.arith && !self.planes
    }
}

/// Adds to `wants` (one per column of the input) what computing `expr` for `want` needs.
pub(crate) fn collect(expr: &Expr, want: Want, wants: &mut [Want]) {
    match &expr.kind {
        ExprKind::Column(index) => {
            if let Some(w) = wants.get_mut(*index) {
                *w = w.and(want);
            }
        }
        ExprKind::Literal(_) => {}
        ExprKind::Not(x) | ExprKind::Lookup { argument: x, .. } => collect(x, Want::PLANES, wants),
        ExprKind::And(all) | ExprKind::Or(all) => {
            for x in all {
                collect(x, Want::PLANES, wants);
            }
        }
        ExprKind::Compare { left, right, .. } => {
            collect(left, Want::PLANES, wants);
            collect(right, Want::PLANES, wants);
        }
        ExprKind::IsNull(x) | ExprKind::Absolute(x) => collect(x, Want::ANY, wants),
        ExprKind::Add(x, y) | ExprKind::Subtract(x, y) if literal_of(y).is_some() => {
            collect(x, want, wants);
        }
        ExprKind::Add(x, y) if literal_of(x).is_some() => collect(y, want, wants),
        ExprKind::Add(x, y) | ExprKind::Subtract(x, y) | ExprKind::Multiply(x, y) => {
            collect(x, Want::ARITH, wants);
            collect(y, Want::ARITH, wants);
        }
        ExprKind::Scale(x, _) => collect(x, Want::ARITH, wants),
        ExprKind::Case { branches, otherwise } => {
            for (condition, value) in branches {
                collect(condition, Want::PLANES, wants);
                collect(value, want, wants);
            }
            collect(otherwise, want, wants);
        }
        ExprKind::Retype(x) => collect(x, want, wants),
        ExprKind::Divide { left, right, .. } => {
            collect(left, Want::ANY, wants);
            collect(right, Want::ANY, wants);
        }
        ExprKind::Modulo(x, y) => {
            collect(x, Want::ARITH, wants);
            collect(y, Want::ARITH, wants);
        }
        ExprKind::DivideBy { argument, .. } => collect(argument, Want::ANY, wants),
        ExprKind::Steps { argument, .. } => collect(argument, Want::PLANES, wants),
        ExprKind::Check { value, fails, .. } => {
            collect(fails, Want::PLANES, wants);
            collect(value, want, wants);
        }
        ExprKind::Let { value, body } => {
            let needed = collect_bound(body, want, wants);
            collect(value, needed, wants);
        }
        ExprKind::Bound(depth) => {
            let index = wants.len().checked_sub(depth + 1);
            if let Some(w) = index.and_then(|index| wants.get_mut(index)) {
                *w = w.and(want);
            }
        }
    }
}

/// As [`collect`] for the body of a Let; returns what it needs of the bound value.
pub(crate) fn collect_bound(body: &Expr, want: Want, wants: &mut [Want]) -> Want {
    let mut inner = wants.to_vec();
    inner.push(Want::NOTHING);
    collect(body, want, &mut inner);
    wants.copy_from_slice(&inner[..wants.len()]);
    inner.last().copied().unwrap_or(Want::NOTHING)
}

/// The public constant that an expression is, if it is one.
pub(crate) fn literal_of(expr: &Expr) -> Option<&Literal> {
    match &expr.kind {
        ExprKind::Literal(literal) => Some(literal),
        ExprKind::Retype(inner) => literal_of(inner),
        _ => None,
    }
}
