//! Subqueries that are none: `(SELECT x)` is x, and a condition with a subquery on an inner join is a
//! condition of WHERE, where DataFusion looks for subqueries.

use super::functions::Functions;
use sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, JoinConstraint, JoinOperator, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Visit, VisitMut, Visitor, VisitorMut,
};
use std::ops::ControlFlow;

/// Rewrites a whole query, from the inside out.
pub(super) fn rewrite(query: &mut Query) {
    let _ = query.visit(&mut Rewriter);
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Subquery(query) = expr
            && let Some(value) = value(query)
        {
            *expr = Expr::Nested(Box::new(value));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            conditions_to_where(select);
        }
        ControlFlow::Continue(())
    }
}

/// The value of `SELECT value` with nothing else about it.
fn value(query: &Query) -> Option<Expr> {
    let bare = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty();
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let (SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }) =
        one(&select.projection)?
    else {
        return None;
    };
    let plain = bare
        && !grouped
        && select.distinct.is_none()
        && select.from.is_empty()
        && select.selection.is_none()
        && select.having.is_none()
        && !counts(value);
    plain.then(|| value.clone())
}

fn one<T>(list: &[T]) -> Option<&T> {
    match list {
        [only] => Some(only),
        _ => None,
    }
}

/// Whether an aggregate or a window function would be moved into another query.
fn counts(expr: &Expr) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
            let functions = Functions::shared();
            let name = function.name.to_string().to_lowercase();
            let found = function.over.is_some()
                || functions.aggregate.contains_key(&name)
                || functions.is_window_only(&name);
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    expr.visit(&mut Finder).is_break()
}

fn conditions_to_where(select: &mut Select) {
    // A qualified wildcard of an expression has no relation whose joins could be looked at.
    let odd = |item: &SelectItem| {
        let SelectItem::QualifiedWildcard(kind, _) = item else { return false };
        matches!(kind, SelectItemQualifiedWildcardKind::Expr(_))
    };
    if select.projection.iter().any(odd) {
        return;
    }
    for from in &mut select.from {
        let inner = from.joins.iter().all(|join| {
            matches!(
                join.join_operator,
                JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
            )
        });
        if !inner {
            continue;
        }
        for join in &mut from.joins {
            let (JoinOperator::Join(JoinConstraint::On(condition))
            | JoinOperator::Inner(JoinConstraint::On(condition))) = &join.join_operator
            else {
                continue;
            };
            if !holds_subquery(condition) {
                continue;
            }
            let moved = Expr::Nested(Box::new(condition.clone()));
            join.join_operator = JoinOperator::CrossJoin(JoinConstraint::None);
            select.selection = Some(match select.selection.take() {
                None => moved,
                Some(others) => Expr::BinaryOp {
                    left: Box::new(Expr::Nested(Box::new(others))),
                    op: BinaryOperator::And,
                    right: Box::new(moved),
                },
            });
        }
    }
}

fn holds_subquery(expr: &Expr) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    expr.visit(&mut Finder).is_break()
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::super::position::Positions;
    use super::*;

    fn lifted(sql: &str) -> String {
        let mut parsed = parse::parse(sql, &Positions::new(sql)).unwrap();
        rewrite(&mut parsed.query);
        parsed.query.to_string()
    }

    #[test]
    fn a_subquery_of_nothing_is_its_value() {
        for (sql, due) in [
            ("SELECT (SELECT a + 1) FROM t", "SELECT (a + 1) FROM t"),
            ("VALUES ((SELECT (SELECT 2)))", "VALUES (((2)))"),
            ("SELECT (SELECT sum(a)) FROM t", "SELECT (SELECT sum(a)) FROM t"),
            ("SELECT (SELECT a WHERE b) FROM t", "SELECT (SELECT a WHERE b) FROM t"),
            ("SELECT (SELECT a FROM u) FROM t", "SELECT (SELECT a FROM u) FROM t"),
        ] {
            assert_eq!(lifted(sql), due, "{sql}");
        }
    }

    #[test]
    fn conditions_with_subqueries_leave_inner_joins_only() {
        let inner = "SELECT * FROM t JOIN u ON (SELECT max(x) FROM v) = t.a WHERE b";
        let due = "SELECT * FROM t CROSS JOIN u WHERE (b) AND ((SELECT max(x) FROM v) = t.a)";
        assert_eq!(lifted(inner), due);
        let outer = "SELECT * FROM t LEFT JOIN u ON (SELECT max(x) FROM v) = t.a";
        assert_eq!(lifted(outer), outer);
    }
}
