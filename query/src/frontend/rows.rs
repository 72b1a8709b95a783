//! Rows compared with subqueries: `(a, b) IN (SELECT x, y …)` and `(a, b) = (SELECT x, y …)`, written
//! with EXISTS and with a subquery for one value.

use super::columns::width;
use super::parse;
use super::position::Positions;
use super::walk::{self, Flow};
use sqlparser::ast::{
    BinaryOperator, Expr, Ident, Query, SelectItem, SetExpr, TableAliasColumnDef, TableFactor,
    UnaryOperator, VisitMut, VisitorMut,
};
use trine_proto::status::{SqlError, sqlstate};

/// Name of the subquery's rows, and the start of those of its columns.
const ROW: &str = "__trine_row";

/// Rewrites a whole query.
///
/// # Errors
/// 42601 for a subquery of another width than the row.
pub(super) fn rewrite(query: &mut Query) -> Result<(), SqlError> {
    walk::finished(query.visit(&mut Rewriter))
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = Box<SqlError>;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        let found = rewritten(expr);
        walk::replace(expr, found)
    }
}

fn rewritten(expr: &Expr) -> Result<Option<Expr>, SqlError> {
    match expr {
        Expr::InSubquery { expr, subquery, negated } => {
            let Some(row) = row(expr) else { return Ok(None) };
            same_width(row, subquery)?;
            Ok(is_among(row, subquery).map(|found| if *negated { not(found) } else { found }))
        }
        Expr::BinaryOp { left, op: op @ (BinaryOperator::Eq | BinaryOperator::NotEq), right } => {
            let ((Some(row), Expr::Subquery(subquery), _, _)
            | (_, _, Expr::Subquery(subquery), Some(row))) =
                (row(left), right.as_ref(), left.as_ref(), row(right))
            else {
                return Ok(None);
            };
            same_width(row, subquery)?;
            let equal = one_value(all_equal(row), row, subquery);
            Ok(equal.map(|e| if *op == BinaryOperator::NotEq { not(e) } else { e }))
        }
        _ => Ok(None),
    }
}

fn row(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Tuple(values) if values.len() > 1 => Some(values),
        Expr::Nested(inner) => row(inner),
        _ => None,
    }
}

fn same_width(row: &[Expr], subquery: &Query) -> Result<(), SqlError> {
    match width(subquery) {
        Some(width) if width != row.len() => {
            let amount = if width < row.len() { "few" } else { "many" };
            let message = format!("subquery has too {amount} columns");
            Err(SqlError::new(sqlstate::SYNTAX_ERROR, message))
        }
        _ => Ok(()),
    }
}

/// `SELECT item FROM (subquery) AS row (c0, c1, …)` with room for a WHERE.
fn over(row: &[Expr], subquery: &Query) -> Option<Query> {
    let sql = format!("SELECT 1 FROM (SELECT 1) AS \"{ROW}\"");
    let mut query = *parse::parse(&sql, &Positions::new(&sql)).ok()?.query;
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let TableFactor::Derived { subquery: inner, alias, .. } =
        &mut select.from.first_mut()?.relation
    else {
        return None;
    };
    **inner = subquery.clone();
    let name = |i: usize| TableAliasColumnDef { name: column(i), data_type: None };
    alias.as_mut()?.columns = (0..row.len()).map(name).collect();
    Some(query)
}

fn column(index: usize) -> Ident {
    Ident::with_quote('"', format!("{ROW}_{index}"))
}

fn all_equal(row: &[Expr]) -> Expr {
    let equal = |(i, value): (usize, &Expr)| {
        let theirs = Expr::CompoundIdentifier(vec![Ident::with_quote('"', ROW), column(i)]);
        let value = Expr::Nested(Box::new(value.clone()));
        Expr::BinaryOp { left: Box::new(theirs), op: BinaryOperator::Eq, right: Box::new(value) }
    };
    let both =
        |x, y| Expr::BinaryOp { left: Box::new(x), op: BinaryOperator::And, right: Box::new(y) };
    let none = || Expr::Value(sqlparser::ast::Value::Boolean(true).into());
    nested(row.iter().enumerate().map(equal).reduce(both).unwrap_or_else(none))
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

fn not(expr: Expr) -> Expr {
    nested(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) })
}

fn one_value(value: Expr, row: &[Expr], subquery: &Query) -> Option<Expr> {
    let mut query = over(row, subquery)?;
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    select.projection = vec![SelectItem::UnnamedExpr(value)];
    Some(Expr::Subquery(Box::new(query)))
}

fn exists(condition: Expr, row: &[Expr], subquery: &Query) -> Option<Expr> {
    let mut query = over(row, subquery)?;
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    select.selection = Some(condition);
    Some(Expr::Exists { subquery: Box::new(query), negated: false })
}

/// TRUE where a row is equal, NULL where one could be, else FALSE.
fn is_among(row: &[Expr], subquery: &Query) -> Option<Expr> {
    const TEMPLATE: &str = "SELECT CASE WHEN TRUE THEN TRUE WHEN TRUE THEN NULL ELSE FALSE END";
    let parsed = parse::parse(TEMPLATE, &Positions::new(TEMPLATE)).ok()?;
    let SetExpr::Select(select) = *parsed.query.body else { return None };
    let Some(SelectItem::UnnamedExpr(mut case)) = select.projection.into_iter().next() else {
        return None;
    };
    let Expr::Case { conditions, .. } = &mut case else { return None };
    let equal = all_equal(row);
    let open = Expr::IsNull(Box::new(equal.clone()));
    conditions.first_mut()?.condition = exists(equal, row, subquery)?;
    conditions.get_mut(1)?.condition = exists(open, row, subquery)?;
    Some(nested(case))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(sql: &str) -> Result<String, SqlError> {
        let mut parsed = parse::parse(sql, &Positions::new(sql)).unwrap();
        rewrite(&mut parsed.query).map(|()| parsed.query.to_string())
    }

    #[test]
    fn rows_look_into_subqueries_of_their_width() {
        let equal = rewritten("SELECT (a, b) = (SELECT x, y FROM u) FROM t").unwrap();
        let due = "SELECT (SELECT (\"__trine_row\".\"__trine_row_0\" = (a) AND \
                   \"__trine_row\".\"__trine_row_1\" = (b)) FROM (SELECT x, y FROM u) AS \
                   \"__trine_row\" (\"__trine_row_0\", \"__trine_row_1\")) FROM t";
        assert_eq!(equal, due);
        let among = rewritten("SELECT 1 FROM t WHERE (a, b) NOT IN (SELECT x, y FROM u)").unwrap();
        assert!(among.contains("NOT (CASE WHEN EXISTS (SELECT 1 FROM"), "{among}");
        for (sql, due) in [
            ("SELECT (1, 2) IN (SELECT 1)", "subquery has too few columns"),
            ("SELECT (1, 2) = (SELECT 1, 2, 3)", "subquery has too many columns"),
        ] {
            let error = rewritten(sql).unwrap_err();
            assert_eq!((error.sqlstate.as_str(), error.message.as_str()), ("42601", due));
        }
    }
}
