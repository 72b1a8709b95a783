//! Whether an answer is the expected one: sums exact, averages and quotients within a relative
//! distance, rows that tie under ORDER BY as sets.

use crate::compare::{equal_numbers, within};
use crate::value::{Output, Value};
use datafusion::sql::sqlparser::ast::{
    Expr, LimitClause, OrderByKind, SelectItem, SetExpr, Statement,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// Relative distance up to which averages and quotients count as equal.
pub const TOLERANCE: f64 = 1e-6;

/// What the text of a query says about its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Names of the columns of ORDER BY, where it has some.
    pub order: Vec<String>,
    /// The number after LIMIT.
    pub limit: Option<usize>,
    /// Per column of the SELECT list: whether it holds an average or a quotient.
    pub inexact: Vec<bool>,
}

/// Reads the shape of a query.
///
/// # Errors
/// The text is not one query.
pub fn shape(sql: &str) -> Result<Shape, String> {
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).map_err(|e| e.to_string())?;
    let [Statement::Query(query)] = parsed.as_slice() else {
        return Err("one query is expected".to_owned());
    };
    let mut shape = Shape::default();
    if let Some(order) = &query.order_by
        && let OrderByKind::Expressions(keys) = &order.kind
    {
        shape.order = keys.iter().map(|k| last_name(&k.expr)).collect();
    }
    if let Some(LimitClause::LimitOffset { limit: Some(limit), .. }) = &query.limit_clause {
        shape.limit = limit.to_string().parse().ok();
    }
    if let SetExpr::Select(select) = query.body.as_ref() {
        shape.inexact = select.projection.iter().map(is_inexact).collect();
    }
    Ok(shape)
}

fn last_name(e: &Expr) -> String {
    match e {
        Expr::CompoundIdentifier(parts) => {
            parts.last().map(|p| p.value.to_lowercase()).unwrap_or_default()
        }
        other => other.to_string().to_lowercase(),
    }
}

fn is_inexact(item: &SelectItem) -> bool {
    let text = item.to_string().to_lowercase();
    text.contains("avg(") || text.contains(" / ")
}

/// Compares an answer with the expected one under the shape of their query.
///
/// Rows that are equal in all columns of ORDER BY may come in any order; of those that a LIMIT cuts
/// through, any may be there.
///
/// # Errors
/// Says what differs first.
pub fn compare(actual: &Output, expected: &Output, shape: &Shape) -> Result<(), String> {
    if actual.columns.len() != expected.columns.len() {
        let (got, due) = (actual.columns.len(), expected.columns.len());
        return Err(format!("{got} columns, not {due}"));
    }
    if actual.rows.len() != expected.rows.len() {
        return Err(format!("{} rows, not {}", actual.rows.len(), expected.rows.len()));
    }
    let same = |column: usize, a: &Value, b: &Value| {
        let inexact = shape.inexact.get(column).copied().unwrap_or(false);
        same_text(a, b)
            || equal_numbers(a, b)
            || inexact && (within(a, b, TOLERANCE) || one_unit(a, b))
    };
    let same_row = |a: &[Value], b: &[Value]| {
        a.iter().zip(b).enumerate().all(|(column, (x, y))| same(column, x, y))
    };
    let keys = keys(expected, shape)?;
    let key_same = |a: &[Value], b: &[Value]| keys.iter().all(|&k| same(k, &a[k], &b[k]));
    for (number, (a, b)) in actual.rows.iter().zip(&expected.rows).enumerate() {
        if !key_same(a, b) {
            return Err(differing(number, a, b));
        }
    }
    let mut start = 0;
    while start < expected.rows.len() {
        let tied = |row: &Vec<Value>| key_same(row, &expected.rows[start]);
        let length = expected.rows[start..].iter().take_while(|r| tied(r)).count().max(1);
        let end = start + length;
        let cut = end == expected.rows.len() && shape.limit == Some(end) && !keys.is_empty();
        if !cut {
            let mut rest: Vec<&Vec<Value>> = expected.rows[start..end].iter().collect();
            for (number, row) in actual.rows.iter().enumerate().take(end).skip(start) {
                let found = rest.iter().position(|e| same_row(row, e));
                match found {
                    Some(at) => drop(rest.swap_remove(at)),
                    None => return Err(differing(number, row, &expected.rows[number])),
                }
            }
        }
        start = end;
    }
    Ok(())
}

/// Whether two decimals differ by one unit of the coarser one's last digit, from the sixth on: one
/// engine rounds where another cuts.
fn one_unit(a: &Value, b: &Value) -> bool {
    let (Value::Decimal { digits: x, scale: p }, Value::Decimal { digits: y, scale: q }) = (a, b)
    else {
        return false;
    };
    let scale = *p.min(q);
    let at = |digits: &i128, own: u8| digits / 10_i128.saturating_pow(u32::from(own - scale));
    scale >= 6 && (at(x, *p) - at(y, *q)).abs() <= 1
}

/// CSV has no types: digits may be a text there, and an empty text NULL.
fn same_text(a: &Value, b: &Value) -> bool {
    let text = |v: &Value| match v {
        Value::Null => String::new(),
        Value::Text(t) => t.clone(),
        other => other.to_string(),
    };
    a == b || text(a) == text(b)
}

fn keys(expected: &Output, shape: &Shape) -> Result<Vec<usize>, String> {
    let place = |name: &String| {
        let found = expected.columns.iter().position(|c| c.to_lowercase() == *name);
        found.ok_or_else(|| format!("ORDER BY {name} is not a column of the answer"))
    };
    shape.order.iter().map(place).collect()
}

fn differing(number: usize, actual: &[Value], expected: &[Value]) -> String {
    let text = |row: &[Value]| row.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
    format!("row {}: {}; expected: {}", number + 1, text(actual), text(expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::read_csv;

    const SQL: &str = "SELECT a, avg(b) AS m, c FROM t GROUP BY a, c ORDER BY a DESC, t.c LIMIT 3";

    fn verdict(sql: &str, actual: &str, expected: &str) -> bool {
        let csv = |t: &str| read_csv(t).unwrap();
        compare(&csv(actual), &csv(expected), &shape(sql).unwrap()).is_ok()
    }

    #[test]
    fn the_shape_is_read_from_the_text() {
        let shape = shape(SQL).unwrap();
        assert_eq!(shape.order, ["a", "c"]);
        assert_eq!(shape.limit, Some(3));
        assert_eq!(shape.inexact, [false, true, false]);
        assert!(super::shape("SELECT 1; SELECT 2").is_err());
    }

    #[test]
    fn ties_are_sets_and_only_averages_are_close() {
        let unlimited = SQL.strip_suffix(" LIMIT 3").unwrap();
        let expected = "a,m,c\n2,1.5,x\n1,1.25,x\n1,2.5,x\n";
        assert!(verdict(unlimited, "a,m,c\n2,1.5,x\n1,2.5,x\n1,1.25,x\n", expected));
        assert!(verdict(unlimited, "a,m,c\n2,1.5000001,x\n1,1.25,x\n1,2.5,x\n", expected));
        assert!(!verdict(unlimited, "a,m,c\n2,1.6,x\n1,1.25,x\n1,2.5,x\n", expected));
        assert!(!verdict(unlimited, "a,m,c\n1,1.25,x\n2,1.5,x\n1,2.5,x\n", expected));
        assert!(!verdict(unlimited, "a,m,c\n2.0000001,1.5,x\n1,1.25,x\n1,2.5,x\n", expected));
        assert!(!verdict(unlimited, "a,m,c\n2,1.5,x\n1,1.25,x\n1,1.25,x\n", expected));
        assert!(!verdict(unlimited, "a,m,c\n2,1.5,x\n", expected));
        let average = "SELECT avg(a) AS a FROM t";
        assert!(verdict(average, "a\n0.042895\n", "a\n0.042894\n"));
        assert!(!verdict(average, "a\n0.042895\n", "a\n0.042893\n"));
        assert!(!verdict(average, "a\n0.0429\n", "a\n0.0428\n"));
        assert!(verdict("SELECT a FROM t", "a\n\"13\"\n\n", "a\n13\n\"\"\n"));
        // A LIMIT that cuts through ties leaves open which of them are there.
        assert!(verdict(SQL, "a,m,c\n2,1.5,x\n1,9,x\n1,2.5,x\n", expected));
        assert!(!verdict(SQL, "a,m,c\n2,9,x\n1,1.25,x\n1,2.5,x\n", expected));
    }
}
