//! Which differing answers are no error of the engine: PostgreSQL leaves them open, or answers as the
//! engine does.

use crate::words::words;
use datafusion::sql::sqlparser::ast::{
    Expr, NamedWindowDefinition, NamedWindowExpr, Query, SetExpr, Visit, Visitor, WindowFrame,
    WindowFrameUnits, WindowSpec, WindowType,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use std::ops::ControlFlow;

/// Functions of a row's place, which an empty OVER () does not define.
const PLACES: [&str; 9] = [
    "row_number",
    "rank",
    "dense_rank",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

/// Why PostgreSQL need not give the `expected` answer, or gives the `actual` one; `None` if it must
/// give the expected one, as far as the rules know. Both answers are texts of one row a line.
pub(super) fn of_answer(sql: &str, expected: &str, actual: &str) -> Option<&'static str> {
    if let Some(why) = left_open(sql, expected, actual) {
        return Some(why);
    }
    let words = words(sql);
    let has = |word: &str| words.iter().any(|w| w == word);
    let (expected, actual) = (lines(expected), lines(actual));
    let same_length = expected.len() == actual.len();
    let one = |lines: &[&str]| lines.windows(2).all(|w| w[0] == w[1]);
    if empty_window(&words) && !has("partition") && same_length && one(&actual) && !one(&expected) {
        return Some("OVER () takes the whole table, not the rows so far");
    }
    if has("order") && !has("nulls") && same_length && nulls_elsewhere(&expected, &actual) {
        return Some("NULLs sort after all values");
    }
    None
}

/// Why more than one answer is right, whichever system is asked.
pub(super) fn left_open(sql: &str, expected: &str, actual: &str) -> Option<&'static str> {
    let words = words(sql);
    if words.first().is_some_and(|w| w == "explain") {
        return Some("EXPLAIN shows the plan of the system that is asked");
    }
    let open = unordered(sql);
    let same_length = lines(expected).len() == lines(actual).len();
    if open.limit && same_length {
        return Some("which rows LIMIT keeps is left open without ORDER BY");
    }
    let place = words.iter().any(|w| PLACES.contains(&w.as_str()));
    if (empty_window(&words) && place || open.frame) && same_length {
        return Some("a row's number and neighbours are left open without ORDER BY");
    }
    None
}

/// What a statement leaves open.
#[derive(Default)]
struct Unordered {
    /// A query with LIMIT or OFFSET and no order.
    limit: bool,
    /// A window with a frame of ROWS and no order.
    frame: bool,
}

/// Looks at every query and window of a statement by itself.
fn unordered(sql: &str) -> Unordered {
    let mut found = Unordered::default();
    for statement in Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap_or_default() {
        let _ = statement.visit(&mut found);
    }
    found
}

impl Unordered {
    fn window(&mut self, window: &WindowSpec) {
        let rows = |frame: &WindowFrame| frame.units == WindowFrameUnits::Rows;
        self.frame |= window.order_by.is_empty() && window.window_frame.as_ref().is_some_and(rows);
    }
}

impl Visitor for Unordered {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let limited = query.limit_clause.is_some() || query.fetch.is_some();
        self.limit |= limited && query.order_by.is_none();
        if let SetExpr::Select(select) = query.body.as_ref() {
            for NamedWindowDefinition(_, window) in &select.named_window {
                if let NamedWindowExpr::WindowSpec(window) = window {
                    self.window(window);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && let Some(WindowType::WindowSpec(window)) = &function.over
        {
            self.window(window);
        }
        ControlFlow::Continue(())
    }
}

/// OVER () and no ORDER BY anywhere.
fn empty_window(words: &[String]) -> bool {
    !words.iter().any(|w| w == "order")
        && words.windows(3).any(|w| w[0] == "over" && w[1] == "(" && w[2] == ")")
}

/// The same rows, and those without NULLs in the same order.
fn nulls_elsewhere(expected: &[&str], actual: &[&str]) -> bool {
    let sorted = |lines: &[&str]| {
        let mut lines: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
        lines.sort_unstable();
        lines
    };
    let is_null = |l: &&&str| l.split_whitespace().any(|cell| cell == "NULL");
    let valued = |lines: &[&str]| {
        lines.iter().filter(|l| !is_null(l)).map(|l| (*l).to_owned()).collect::<Vec<_>>()
    };
    sorted(expected) == sorted(actual)
        && valued(expected) == valued(actual)
        && expected.iter().any(|l| is_null(&l))
}

fn lines(text: &str) -> Vec<&str> {
    text.trim_end().lines().map(str::trim_end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_an_order_are_left_open() {
        assert!(of_answer("SELECT a FROM t LIMIT 2", "1\n2", "3\n1").is_some());
        assert!(of_answer("SELECT a FROM t OFFSET 2", "1\n2", "3\n1").is_some());
        assert!(of_answer("SELECT a FROM t LIMIT 2", "1\n2", "3").is_none());
        assert!(of_answer("SELECT a FROM t ORDER BY a LIMIT 2", "1\n2", "3\n1").is_none());
        assert!(of_answer("SELECT row_number() OVER () FROM t", "1\n2", "2\n1").is_some());
        assert!(
            of_answer("SELECT row_number() OVER (ORDER BY a) FROM t", "1\n2", "2\n1").is_none()
        );
    }

    #[test]
    fn every_query_and_window_is_looked_at_by_itself() {
        let inner = "SELECT a FROM t WHERE a > ANY (SELECT a FROM t LIMIT 1) ORDER BY a";
        assert!(of_answer(inner, "1\n2", "3\n1").is_some());
        let window = "SELECT sum(a) OVER w FROM t WINDOW w AS (ROWS 1 PRECEDING) ORDER BY 1";
        assert!(of_answer(window, "1\n2", "3\n1").is_some());
        let ordered = "SELECT sum(a) OVER (ORDER BY a ROWS 1 PRECEDING) FROM t ORDER BY 1";
        assert!(of_answer(ordered, "1\n2", "3\n1").is_none());
        assert!(left_open("EXPLAIN SELECT 1", "a", "b\nc").is_some());
    }

    #[test]
    fn an_empty_window_is_the_whole_table() {
        assert!(of_answer("SELECT sum(a) OVER () FROM t", "1\n3\n6", "6\n6\n6").is_some());
        assert!(of_answer("SELECT sum(a) OVER () FROM t", "7\n7\n7", "6\n6\n6").is_none());
        assert!(
            of_answer("SELECT sum(a) OVER (ORDER BY a) FROM t", "1\n3\n6", "6\n6\n6").is_none()
        );
    }

    #[test]
    fn nulls_come_last_unless_said_otherwise() {
        let sql = "SELECT a, b FROM t ORDER BY a, b";
        assert!(of_answer(sql, "NULL 5\n1 0\n2 NULL\n2 2", "1 0\n2 2\n2 NULL\nNULL 5").is_some());
        assert!(of_answer(sql, "NULL 5\n1 0\n2 2", "2 2\n1 0\nNULL 5").is_none());
        assert!(of_answer(sql, "NULL 5\n1 0", "1 0\nNULL 6").is_none());
        assert!(of_answer(&format!("{sql} NULLS FIRST"), "NULL 5\n1 0", "1 0\nNULL 5").is_none());
    }
}
