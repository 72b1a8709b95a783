//! Whether an outcome is what the record wants.

use crate::compare::{Expected, compare};
use crate::engine::EngineError;
use crate::order::{is_ordered, order_columns, ties};
use crate::report::Reason;
use crate::value::Output;
use sqllogictest::{DefaultColumnType, ExpectedError, QueryExpect, SortMode, StatementExpect};

/// Judges a statement whose rows do not count.
///
/// # Errors
/// Why the record failed.
pub fn judge_statement(
    outcome: Result<Output, EngineError>,
    expected: &StatementExpect,
    exact: bool,
) -> Result<(), Reason> {
    match (outcome, expected) {
        (Ok(_), StatementExpect::Ok) => Ok(()),
        (Ok(output), StatementExpect::Count(wanted)) => {
            let actual = output.affected.or_else(|| u64::try_from(output.rows.len()).ok());
            if actual == Some(*wanted) {
                return Ok(());
            }
            let actual = actual.unwrap_or(0);
            Err(Reason::Other(format!("expected {wanted} rows, affected {actual}")))
        }
        (Ok(_), StatementExpect::Error(_)) => Err(no_error()),
        (Err(e), StatementExpect::Error(wanted)) => judge_error(e, wanted, exact),
        (Err(e), _) => Err(Reason::Error(e)),
    }
}

fn no_error() -> Reason {
    Reason::Other("expected an error, succeeded".to_owned())
}

/// Judges a query. `file_sort`: the sort mode where the record names none; `header`: the first
/// expected line repeats the names of the columns; `exact`: texts of errors count.
///
/// # Errors
/// Why the record failed.
pub fn judge_query(
    sql: &str,
    outcome: Result<Output, EngineError>,
    expected: &QueryExpect<DefaultColumnType>,
    file_sort: SortMode,
    header: bool,
    exact: bool,
) -> Result<(), Reason> {
    match (outcome, expected) {
        (Ok(output), QueryExpect::Results { types, sort_mode, results, .. }) => {
            let mut lines = results.as_slice();
            if header {
                let names: Vec<&str> =
                    lines.first().map_or(Vec::new(), |l| l.split_whitespace().collect());
                let actual = output.columns.join(" ");
                if actual.split_whitespace().collect::<Vec<_>>() != names {
                    return Err(Reason::Other(format!("columns are called: {actual}")));
                }
                lines = lines.get(1..).unwrap_or_default();
            }
            let sort = sort_mode.filter(|s| *s != SortMode::NoSort).unwrap_or(file_sort);
            let wanted = Expected { types, sort, lines };
            compare(&output, &wanted).or_else(|actual| {
                let expected = lines.join("\n");
                let tied = sort == SortMode::NoSort && same_but_for_ties(sql, &output, &wanted);
                if tied { Ok(()) } else { Err(Reason::Different { expected, actual }) }
            })
        }
        (Ok(_), QueryExpect::Error(_)) => Err(no_error()),
        (Err(e), QueryExpect::Error(wanted)) => judge_error(e, wanted, exact),
        (Err(e), QueryExpect::Results { .. }) => Err(Reason::Error(e)),
    }
}

/// SQLSTATEs must match; texts only where they are ours.
fn judge_error(error: EngineError, wanted: &ExpectedError, exact: bool) -> Result<(), Reason> {
    let states = matches!(wanted, ExpectedError::SqlState(_));
    let fits = if exact || states {
        wanted.is_match(&error.message, Some(&error.sqlstate))
    } else {
        !error.is_unsupported() && !error.is_internal()
    };
    if fits { Ok(()) } else { Err(Reason::Error(error)) }
}

/// Whether two systems gave the same answer to a query whose columns have these type letters.
#[must_use]
pub fn same_answer(sql: &str, ours: &Output, theirs: &Output, types: &[DefaultColumnType]) -> bool {
    let lines: Vec<String> = theirs.rows.iter().flatten().map(ToString::to_string).collect();
    let sort = if is_ordered(sql) { SortMode::NoSort } else { SortMode::RowSort };
    let wanted = Expected { types, sort, lines: &lines };
    ours.columns.len() == theirs.columns.len()
        && (compare(ours, &wanted).is_ok() || same_but_for_ties(sql, ours, &wanted))
}

/// Whether the answer is the expected one with rows that tie under ORDER BY in another order.
///
/// The expected rows can be paired with the actual ones only run by run: within each run of actual
/// rows that tie, the lines at the same places must be the same rows in some order.
fn same_but_for_ties(sql: &str, output: &Output, wanted: &Expected<'_>) -> bool {
    let Some(keys) = order_columns(sql, &output.columns) else { return false };
    let columns = output.columns.len();
    let per_row = match wanted.lines.len() {
        lines if lines == output.rows.len() => 1,
        lines if lines == output.rows.len() * columns => columns,
        _ => return false,
    };
    let mut start = 0;
    ties(&output.rows, &keys).into_iter().all(|length| {
        let end = start + length;
        let run = Output::result(output.columns.clone(), output.rows[start..end].to_vec());
        let lines = &wanted.lines[start * per_row..end * per_row];
        start = end;
        let wanted = Expected { types: wanted.types, sort: SortMode::RowSort, lines };
        compare(&run, &wanted).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    #[test]
    fn ties_may_come_in_any_order_and_nothing_else() {
        let rows =
            [(1, 5), (2, 5), (3, 6)].map(|(a, b)| vec![Value::Integer(a), Value::Integer(b)]);
        let output = Output::result(vec!["a".to_owned(), "b".to_owned()], rows.to_vec());
        let check = |sql: &str, lines: &str| {
            let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
            let types = vec![DefaultColumnType::Integer; 2];
            let expected = QueryExpect::Results {
                types,
                sort_mode: None,
                result_mode: None,
                label: None,
                results: lines,
            };
            judge_query(sql, Ok(output.clone()), &expected, SortMode::NoSort, false, false).is_ok()
        };
        const BY_B: &str = "SELECT a, b FROM t ORDER BY b";
        assert!(check(BY_B, "1 5\n2 5\n3 6"));
        assert!(check(BY_B, "2 5\n1 5\n3 6"));
        assert!(check(BY_B, "2\n5\n1\n5\n3\n6"));
        assert!(!check(BY_B, "3 6\n1 5\n2 5"));
        assert!(!check(BY_B, "2 5\n2 5\n3 6"));
        assert!(!check("SELECT a, b FROM t ORDER BY a", "2 5\n1 5\n3 6"));
        assert!(!check("SELECT a, b FROM t ORDER BY z", "2 5\n1 5\n3 6"));
    }
}
