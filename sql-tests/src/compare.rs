//! Whether a result is the expected one, by the rules of sqllogictest.

use crate::value::{Output, Value};
use md5::{Digest as _, Md5};
use sqllogictest::{DefaultColumnType, SortMode};

/// What a query record expects.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Type letters, one per column.
    pub types: &'a [DefaultColumnType],
    /// How rows are sorted before they are compared.
    pub sort: SortMode,
    /// Expected lines.
    pub lines: &'a [String],
}

/// Relative distance up to which two floating point numbers are the same answer.
const TOLERANCE: f64 = 1e-9;

/// Compares; `Err` holds the actual result as text.
///
/// # Errors
/// The answer differs.
pub fn compare(actual: &Output, expected: &Expected<'_>) -> Result<(), String> {
    let letters = letters(expected.types, actual.columns.len());
    if let [line] = expected.lines
        && let Some((count, hash)) = parse_hash(line)
    {
        let (values, digest) = hash_of(actual, &letters, expected.sort);
        let same = values == count && digest == hash;
        return if same { Ok(()) } else { Err(format!("{values} values hashing to {digest}")) };
    }
    let same = match expected.sort {
        SortMode::ValueSort => by_value(actual, &letters, expected.lines),
        sort => by_row(actual, &letters, expected.lines, sort == SortMode::RowSort),
    };
    if same {
        return Ok(());
    }
    let rows: Vec<String> = render_rows(actual, &letters).iter().map(|r| r.join(" ")).collect();
    Err(rows.join("\n"))
}

fn letters(types: &[DefaultColumnType], columns: usize) -> Vec<char> {
    let letter = |t: &DefaultColumnType| match t {
        DefaultColumnType::Integer => 'I',
        DefaultColumnType::FloatingPoint => 'R',
        DefaultColumnType::Text => 'T',
        DefaultColumnType::Any => '?',
    };
    (0..columns).map(|i| types.get(i).map_or('?', letter)).collect()
}

/// Every row as sqllogictest writes it under the type letters.
#[must_use]
pub fn rendered_rows(actual: &Output, types: &[DefaultColumnType]) -> Vec<Vec<String>> {
    render_rows(actual, &letters(types, actual.columns.len()))
}

fn render_rows(actual: &Output, letters: &[char]) -> Vec<Vec<String>> {
    let row = |row: &Vec<Value>| row.iter().zip(letters).map(|(v, &l)| v.render(l)).collect();
    actual.rows.iter().map(row).collect()
}

/// `30 values hashing to 3c13dee48d9356ae19af2515e05e6b54`.
fn parse_hash(line: &str) -> Option<(usize, &str)> {
    let (count, hash) = line.split_once(" values hashing to ")?;
    Some((count.parse().ok()?, hash.trim()))
}

/// md5 over the values, each followed by a newline, after sorting.
fn hash_of(actual: &Output, letters: &[char], sort: SortMode) -> (usize, String) {
    let mut rows = render_rows(actual, letters);
    if sort == SortMode::RowSort {
        rows.sort();
    }
    let mut values: Vec<String> = rows.into_iter().flatten().collect();
    if sort == SortMode::ValueSort {
        values.sort();
    }
    let mut md5 = Md5::new();
    for value in &values {
        md5.update(value.as_bytes());
        md5.update(b"\n");
    }
    let digest: String = md5.finalize().iter().map(|b| format!("{b:02x}")).collect();
    (values.len(), digest)
}

fn by_value(actual: &Output, letters: &[char], lines: &[String]) -> bool {
    let mut values: Vec<(String, Value, char)> = actual
        .rows
        .iter()
        .flat_map(|row| row.iter().zip(letters).map(|(v, &l)| (v.render(l), v.clone(), l)))
        .collect();
    values.sort_by(|a, b| a.0.cmp(&b.0));
    let mut expected: Vec<&String> = lines.iter().collect();
    expected.sort();
    values.len() == expected.len()
        && values.iter().zip(expected).all(|((_, v, l), e)| same(v, *l, e))
}

/// Rows on lines, or (SQLite) every value on a line of its own.
fn by_row(actual: &Output, letters: &[char], lines: &[String], sorted: bool) -> bool {
    let columns = letters.len();
    let rows = actual.rows.len();
    let valuewise = columns > 1 && lines.len() == rows * columns && lines.len() != rows;
    let mut expected: Vec<Vec<&str>> = if valuewise {
        lines.chunks(columns).map(|c| c.iter().map(|l| l.trim()).collect()).collect()
    } else if lines.len() == rows {
        lines.iter().map(|line| cells(line, columns)).collect()
    } else {
        return false;
    };
    let mut actual: Vec<(Vec<String>, &Vec<Value>)> =
        render_rows(actual, letters).into_iter().zip(&actual.rows).collect();
    if sorted {
        expected.sort();
        actual.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let row_same = |row: &[Value], cells: &[&str]| {
        if cells.len() == row.len() {
            return row.iter().zip(letters).zip(cells).all(|((v, &l), c)| same(v, l, c));
        }
        // Texts with blanks in them: every value takes as many words as it has itself.
        let words = |v: &Value| v.to_string().split_whitespace().count().max(1);
        let mut rest = cells;
        let each = row.iter().zip(letters).all(|(v, &l)| {
            let Some((own, after)) = rest.split_at_checked(words(v)) else { return false };
            rest = after;
            same(v, l, &own.join(" "))
        });
        each && rest.is_empty()
    };
    if actual.iter().zip(&expected).all(|((_, row), e)| row_same(row, e)) {
        return true;
    }
    // Sorting by differently written numbers may pair rows differently: match them one by one.
    sorted && as_sets(&actual, &expected, row_same)
}

fn as_sets(
    actual: &[(Vec<String>, &Vec<Value>)],
    expected: &[Vec<&str>],
    row_same: impl Fn(&[Value], &[&str]) -> bool,
) -> bool {
    let mut used = vec![false; expected.len()];
    actual.iter().all(|(_, row)| {
        let found = expected
            .iter()
            .enumerate()
            .find(|(i, e)| !used[*i] && row_same(row, e))
            .map(|(i, _)| i);
        found.map(|i| used[i] = true).is_some()
    })
}

fn cells(line: &str, columns: usize) -> Vec<&str> {
    let by_tab: Vec<&str> = line.split('\t').map(str::trim).collect();
    if by_tab.len() == columns { by_tab } else { line.split_whitespace().collect() }
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One value against one expected cell.
fn same(value: &Value, letter: char, cell: &str) -> bool {
    let plain = value.to_string();
    if plain == cell || value.render(letter) == cell || squeeze(&plain) == squeeze(cell) {
        return true;
    }
    match value {
        Value::Null => false,
        Value::Boolean(b) => {
            let words = if *b { ["t", "true", "1"] } else { ["f", "false", "0"] };
            words.contains(&cell.to_lowercase().as_str())
        }
        Value::Text(_) => false,
        Value::Integer(_) | Value::Decimal { .. } | Value::Double(_) => {
            let Some(wanted) = Value::number(cell) else { return false };
            if letter == 'R' && value.render('R') == wanted.render('R') {
                return true;
            }
            let (Some(a), Some(b)) = (value.as_f64(), wanted.as_f64()) else { return false };
            let exact = !matches!((value, &wanted), (Value::Double(_), _) | (_, Value::Double(_)));
            if exact { equal_decimals(value, &wanted) } else { close(a, b) }
        }
    }
}

fn equal_decimals(a: &Value, b: &Value) -> bool {
    let trimmed = |v: &Value| {
        let text = v.to_string();
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    };
    trimmed(a) == trimmed(b)
}

/// Within a relative distance of 1e-9.
#[must_use]
pub fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0)
}

/// Whether two results hold the same rows, in order or as multisets; doubles within 1e-6 of each
/// other count as equal, as do an integer and a decimal of the same value.
#[must_use]
pub fn same_rows(a: &Output, b: &Output, ordered: bool) -> bool {
    if a.rows.len() != b.rows.len() || a.columns.len() != b.columns.len() {
        return false;
    }
    let same_row = |x: &Vec<Value>, y: &Vec<Value>| x.iter().zip(y).all(|(v, w)| near(v, w));
    if ordered {
        return a.rows.iter().zip(&b.rows).all(|(x, y)| same_row(x, y));
    }
    let mut used = vec![false; b.rows.len()];
    a.rows.iter().all(|x| {
        let found = (0..b.rows.len()).find(|&i| !used[i] && same_row(x, &b.rows[i]));
        found.map(|i| used[i] = true).is_some()
    })
}

fn near(a: &Value, b: &Value) -> bool {
    let exact = !matches!((a, b), (Value::Double(_), _) | (_, Value::Double(_)));
    a == b || if exact { equal_numbers(a, b) } else { within(a, b, 1e-6) }
}

/// Whether two values are the same number, whatever their scale.
#[must_use]
pub fn equal_numbers(a: &Value, b: &Value) -> bool {
    a.as_f64().is_some() && b.as_f64().is_some() && equal_decimals(a, b)
}

/// Whether two numbers are within a distance relative to the larger one (and to 1).
#[must_use]
pub fn within(a: &Value, b: &Value, tolerance: f64) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(x), Some(y)) => (x - y).abs() <= tolerance * x.abs().max(y.abs()).max(1.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(rows: Vec<Vec<Value>>) -> Output {
        let columns = vec!["c".to_owned(); rows.first().map_or(1, Vec::len)];
        Output::result(columns, rows)
    }
    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }
    fn check(rows: Vec<Vec<Value>>, types: &str, sort: SortMode, expected: &str) -> bool {
        use sqllogictest::ColumnType as _;
        let types: Vec<_> = types.chars().filter_map(DefaultColumnType::from_char).collect();
        let lines = lines(expected);
        compare(&output(rows), &Expected { types: &types, sort, lines: &lines }).is_ok()
    }

    #[test]
    fn rows_values_and_hashes() {
        use SortMode::{NoSort, RowSort, ValueSort};
        let one = |v: i128| vec![Value::Integer(v)];
        assert!(check(vec![one(1), one(2)], "I", NoSort, "1\n2"));
        assert!(!check(vec![one(2), one(1)], "I", NoSort, "1\n2"));
        assert!(check(vec![one(2), one(1)], "I", RowSort, "1\n2"));
        assert!(!check(vec![one(2), one(2)], "I", RowSort, "1\n2"));
        let pair = vec![Value::Integer(3), Value::Text("a b".into())];
        assert!(check(vec![pair.clone()], "IT", NoSort, "3 a b"));
        assert!(check(vec![pair.clone()], "IT", NoSort, "3\ta b"));
        assert!(check(vec![pair.clone()], "IT", NoSort, "3\na b"));
        let mixed = vec![pair[1].clone(), Value::Decimal { digits: 100, scale: 0 }];
        assert!(check(vec![mixed.clone()], "TR", NoSort, "a b 100"));
        assert!(!check(vec![mixed], "TR", NoSort, "a b 100 7"));
        assert!(check(vec![one(10), one(9)], "I", ValueSort, "10\n9"));
        // printf '1\n2\n' | md5sum
        let hash = "2 values hashing to 6ddb4095eb719e2a9f0a3f95677d24e0";
        assert!(check(vec![one(2), one(1)], "I", RowSort, hash));
        assert!(!check(vec![one(2), one(2)], "I", RowSort, hash));
    }

    #[test]
    fn numbers_compare_by_value() {
        use SortMode::NoSort;
        let d = Value::Decimal { digits: 150, scale: 2 };
        assert!(check(vec![vec![d.clone()]], "R", NoSort, "1.5"));
        assert!(check(vec![vec![d.clone()]], "I", NoSort, "1"));
        assert!(check(vec![vec![d.clone()]], "I", NoSort, "1.5"));
        assert!(!check(vec![vec![d.clone()]], "I", NoSort, "2"));
        assert!(!check(vec![vec![d]], "T", NoSort, "1.51"));
        assert!(check(vec![vec![Value::Boolean(true)]], "B", NoSort, "true"));
        assert!(check(vec![vec![Value::Boolean(true)]], "I", NoSort, "1"));
        assert!(!check(vec![vec![Value::Null]], "I", NoSort, "0"));
    }
}
