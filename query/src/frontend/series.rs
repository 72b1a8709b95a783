//! `generate_series(first, last [, step])` in FROM, of constants: the rows, written out.

use super::names;
use super::parse;
use super::position::Positions;
use super::walk::{self, Flow};
use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, Query, SetExpr, TableAlias, TableAliasColumnDef,
    TableFactor, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use trine_proto::status::{SqlError, sqlstate};

/// Rows of a series at most: they become part of the plan.
const ROWS_MAX: usize = 10_000;
const NAME: &str = "generate_series";

/// Rewrites a whole query. Series of anything else stay, for the check to refuse.
///
/// # Errors
/// 22023 for a step of zero; 54000 for a series that is too long.
pub(super) fn rewrite(query: &mut Query) -> Result<(), SqlError> {
    walk::finished(query.visit(&mut Rewriter))
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = Box<SqlError>;

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> Flow {
        let found = written_out(factor);
        walk::replace(factor, found)
    }
}

fn written_out(factor: &TableFactor) -> Result<Option<TableFactor>, SqlError> {
    let TableFactor::Table { name, args: Some(args), alias, .. } = factor else { return Ok(None) };
    let ident = name.0.last().and_then(|part| part.as_ident());
    if ident.is_none_or(|i| names::fold(i) != NAME) {
        return Ok(None);
    }
    let constants: Option<Vec<i64>> = args.args.iter().map(constant).collect();
    let (first, last, step) = match constants.as_deref() {
        Some([first, last]) => (*first, *last, 1),
        Some([first, last, step]) => (*first, *last, *step),
        _ => return Ok(None),
    };
    if step == 0 {
        return Err(SqlError::new("22023", "step size cannot equal zero"));
    }
    let mut rows = Vec::new();
    let mut next = Some(first);
    while let Some(value) = next.filter(|v| if step > 0 { *v <= last } else { *v >= last }) {
        if rows.len() == ROWS_MAX {
            let message = format!("a series has more than {ROWS_MAX} rows");
            return Err(SqlError::new(sqlstate::LIMIT_EXCEEDED, message)
                .hint("load the numbers into a table"));
        }
        rows.push(format!("({value})"));
        next = value.checked_add(step);
    }
    // VALUES has at least one row.
    let sql = match rows.as_slice() {
        [] => "SELECT * FROM (VALUES (1)) AS none WHERE FALSE".to_owned(),
        rows => format!("VALUES {}", rows.join(", ")),
    };
    let subquery = parse::parse(&sql, &Positions::new(&sql))?.query;
    debug_assert!(matches!(*subquery.body, SetExpr::Values(_) | SetExpr::Select(_)));
    let name = alias.as_ref().map_or_else(|| Ident::new(NAME), |alias| alias.name.clone());
    let columns = match alias {
        Some(alias) if !alias.columns.is_empty() => alias.columns.clone(),
        _ => vec![TableAliasColumnDef { name: name.clone(), data_type: None }],
    };
    let alias = Some(TableAlias { explicit: true, name, columns, at: None });
    Ok(Some(TableFactor::Derived { lateral: false, subquery, alias, sample: None }))
}

fn constant(argument: &FunctionArg) -> Option<i64> {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else { return None };
    integer(expr)
}

fn integer(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => text.parse().ok(),
        Expr::Nested(inner) => integer(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => integer(expr)?.checked_neg(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(from: &str) -> Result<String, SqlError> {
        let sql = format!("SELECT * FROM {from}");
        let mut parsed = parse::parse(&sql, &Positions::new(&sql)).unwrap();
        rewrite(&mut parsed.query).map(|()| parsed.query.to_string())
    }

    #[test]
    fn a_series_is_written_out() {
        for (from, due) in [
            (
                "generate_series(1, 3)",
                "(VALUES (1), (2), (3)) AS generate_series (generate_series)",
            ),
            ("generate_series(5, -1, -3) AS g", "(VALUES (5), (2), (-1)) AS g (g)"),
            ("generate_series(1, 1) AS g (x)", "(VALUES (1)) AS g (x)"),
            ("generate_series(1, x)", "generate_series(1, x)"),
        ] {
            assert_eq!(rewritten(from).unwrap(), format!("SELECT * FROM {due}"));
        }
        let code = |from: &str| rewritten(from).unwrap_err().sqlstate;
        assert_eq!(code("generate_series(1, 2, 0)"), "22023");
        assert_eq!(code("generate_series(1, 1000000)"), sqlstate::LIMIT_EXCEEDED);
        let empty = rewritten("generate_series(3, 1)").unwrap();
        assert!(empty.contains("WHERE false"), "{empty}");
    }
}
