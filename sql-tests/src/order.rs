//! ORDER BY as far as a reader of the answer can see it: which columns of the answer it sorts by.
//!
//! SQL leaves the order of rows that tie open, and Trine breaks ties at random: such rows compare as
//! sets.

use crate::value::Value;
use datafusion::sql::sqlparser::ast::{Expr, OrderByKind, Query, SelectItem, SetExpr, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Whether the rows of a query come in an order: ORDER BY outside of parentheses, or EXPLAIN.
#[must_use]
pub fn is_ordered(sql: &str) -> bool {
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize() else { return true };
    let mut depth = 0_usize;
    let mut words = Vec::new();
    for token in &tokens {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Word(w) if depth == 0 && w.quote_style.is_none() => words.push(w.keyword),
            _ => {}
        }
    }
    words.first() == Some(&Keyword::EXPLAIN)
        || words.windows(2).any(|pair| pair == [Keyword::ORDER, Keyword::BY])
}

/// The columns of the answer that a query sorts by, most significant first; `None` if it does not
/// sort, or by something that is not in the answer.
#[must_use]
pub fn order_columns(sql: &str, columns: &[String]) -> Option<Vec<usize>> {
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?;
    let [Statement::Query(query)] = parsed.as_slice() else { return None };
    let OrderByKind::Expressions(keys) = &query.order_by.as_ref()?.kind else { return None };
    keys.iter().map(|key| column_of(&key.expr, query, columns)).collect()
}

fn column_of(key: &Expr, query: &Query, columns: &[String]) -> Option<usize> {
    let text = key.to_string();
    if let Ok(position) = text.parse::<usize>() {
        return position.checked_sub(1).filter(|p| *p < columns.len());
    }
    let name = match key {
        Expr::CompoundIdentifier(parts) => parts.last().map(|p| p.value.to_lowercase()),
        Expr::Identifier(name) => Some(name.value.to_lowercase()),
        _ => None,
    };
    let named = name.and_then(|n| {
        let mut found = columns.iter().enumerate().filter(|(_, c)| c.to_lowercase() == n);
        // Of two columns with one name it could be either.
        found.next().filter(|_| found.next().is_none()).map(|(i, _)| i)
    });
    named.or_else(|| selected(&text, query, columns.len()))
}

/// The item of the SELECT list with the same text.
fn selected(text: &str, query: &Query, columns: usize) -> Option<usize> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let expression = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } => {
            Some(e.to_string())
        }
        _ => None,
    };
    let items: Option<Vec<String>> = select.projection.iter().map(expression).collect();
    let items = items.filter(|items| items.len() == columns)?;
    items.iter().position(|item| item == text)
}

/// Splits rows into runs that tie: lengths, in order.
#[must_use]
pub fn ties(rows: &[Vec<Value>], keys: &[usize]) -> Vec<usize> {
    let tied = |a: &Vec<Value>, b: &Vec<Value>| keys.iter().all(|&k| a[k] == b[k]);
    rows.chunk_by(tied).map(<[Vec<Value>]>::len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_by_counts_outside_of_parentheses() {
        assert!(is_ordered("SELECT a FROM t ORDER BY a"));
        assert!(!is_ordered("SELECT a FROM (SELECT a FROM t ORDER BY a) AS s"));
        assert!(!is_ordered("SELECT sum(a) OVER (ORDER BY b) FROM t -- ORDER BY a"));
        assert!(is_ordered("EXPLAIN SELECT 1"));
    }

    #[test]
    fn keys_are_found_in_the_answer() {
        let columns = ["a".to_owned(), "sum".to_owned(), "c".to_owned()];
        let keys = |sql: &str| order_columns(sql, &columns);
        assert_eq!(keys("SELECT a, sum(b), c FROM t ORDER BY 3, t.a DESC"), Some(vec![2, 0]));
        assert_eq!(keys("SELECT a, sum(b), c FROM t ORDER BY sum(b)"), Some(vec![1]));
        assert_eq!(keys("SELECT a, sum(b), c FROM t ORDER BY z"), None);
        assert_eq!(keys("SELECT a, sum(b), c FROM t ORDER BY 4"), None);
        assert_eq!(keys("SELECT a, sum(b), c FROM t"), None);
    }
}
