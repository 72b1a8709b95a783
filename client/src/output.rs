//! Results and errors as text: `table` as psql prints it, `csv`, `json`.

use std::io::{self, Write};

use trine_proto::status::SqlError;
use unicode_width::UnicodeWidthStr as _;

use crate::value::{Table, Value};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns and a line with the number of rows.
    Table,
    /// Aligned, one line a value.
    Expanded,
    /// RFC 4180 with a header; NULL is an empty field.
    Csv,
    /// One array of objects. Numbers are written with all their digits.
    Json,
}

/// Writes a table.
///
/// # Errors
/// Those of the writer.
pub fn write_table(out: &mut dyn Write, table: &Table, format: Format) -> io::Result<()> {
    match format {
        Format::Csv => write_csv(out, table),
        Format::Json => write_json(out, table),
        Format::Table | Format::Expanded => match &table.explain {
            Some(text) => text.lines().try_for_each(|line| writeln!(out, "{}", escaped(line))),
            None if matches!(format, Format::Table) => write_aligned(out, table),
            None => write_expanded(out, table),
        },
    }
}

/// A value on a terminal: NULL is empty, control characters are escaped so that data cannot drive
/// the terminal or break the lines.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) => escaped(text),
        other => other.to_string(),
    }
}

fn escaped(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// `(1 row)`, `(2 rows)`.
#[must_use]
pub fn row_count(rows: usize) -> String {
    format!("({rows} row{})", if rows == 1 { "" } else { "s" })
}

fn pad(out: &mut String, text: &str, width: usize, right: bool) {
    let space = width.saturating_sub(text.width());
    if right {
        out.extend(std::iter::repeat_n(' ', space));
    }
    out.push_str(text);
    if !right {
        out.extend(std::iter::repeat_n(' ', space));
    }
}

fn write_aligned(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    let cells: Vec<Vec<String>> =
        table.rows.iter().map(|r| r.iter().map(shown).collect()).collect();
    let names: Vec<String> = table.columns.iter().map(|c| escaped(&c.name)).collect();
    let widths: Vec<usize> = names
        .iter()
        .enumerate()
        .map(|(i, n)| cells.iter().map(|r| r[i].width()).fold(n.width(), usize::max))
        .collect();
    let mut line = String::new();
    for (i, (name, &width)) in names.iter().zip(&widths).enumerate() {
        line.push_str(if i == 0 { " " } else { "| " });
        let left = (width - name.width()) / 2;
        line.extend(std::iter::repeat_n(' ', left));
        pad(&mut line, name, width - left, false);
        line.push(' ');
    }
    writeln!(out, "{}", line.trim_end())?;
    let rule: Vec<String> = widths.iter().map(|w| "-".repeat(w + 2)).collect();
    writeln!(out, "{}", rule.join("+"))?;
    for row in &cells {
        line.clear();
        for (i, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(if i == 0 { " " } else { "| " });
            pad(&mut line, cell, width, table.columns[i].is_numeric());
            line.push(' ');
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out, "{}", row_count(cells.len()))
}

fn write_expanded(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    let width = table.columns.iter().map(|c| escaped(&c.name).width()).max().unwrap_or(0);
    for (i, row) in table.rows.iter().enumerate() {
        writeln!(out, "-[ RECORD {} ]{}", i + 1, "-".repeat(width))?;
        for (column, value) in table.columns.iter().zip(row) {
            let mut line = String::new();
            pad(&mut line, &escaped(&column.name), width, false);
            writeln!(out, "{}", format!("{line} | {}", shown(value)).trim_end())?;
        }
    }
    writeln!(out, "{}", row_count(table.rows.len()))
}

fn write_csv(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(table.columns.iter().map(|c| c.name.as_str()))?;
    for row in &table.rows {
        let fields = row.iter().map(|v| match v {
            Value::Null => String::new(),
            other => other.to_string(),
        });
        writer.write_record(fields)?;
    }
    writer.flush()
}

fn write_json(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    let string = |text: &str| serde_json::to_string(text).map_err(io::Error::other);
    let names =
        table.columns.iter().map(|c| string(&c.name)).collect::<io::Result<Vec<String>>>()?;
    write!(out, "[")?;
    for (r, row) in table.rows.iter().enumerate() {
        write!(out, "{}\n  {{", if r == 0 { "" } else { "," })?;
        for (i, (name, value)) in names.iter().zip(row).enumerate() {
            let text = match value {
                Value::Null => "null".to_owned(),
                Value::Double(x) if !x.is_finite() => "null".to_owned(),
                Value::Bool(_) | Value::Int(_) | Value::Decimal { .. } | Value::Double(_) => {
                    value.to_string()
                }
                Value::Date(_) | Value::Timestamp(_) | Value::Text(_) => {
                    string(&value.to_string())?
                }
            };
            write!(out, "{}{name}: {text}", if i == 0 { "" } else { ", " })?;
        }
        write!(out, "}}")?;
    }
    writeln!(out, "{}]", if table.rows.is_empty() { "" } else { "\n" })
}

/// An error as psql shows it: sentence, the line with a caret under the position, hint. `text` is
/// what the position counts in.
#[must_use]
pub fn render_error(error: &SqlError, text: &str) -> String {
    let mut out = format!("ERROR:  {}: {}", error.sqlstate, escaped(&error.message));
    if let Some(place) = caret(text, error.position) {
        out.push('\n');
        out.push_str(&place);
    }
    if !error.hint.is_empty() {
        out.push_str("\nHINT:  ");
        out.push_str(&escaped(&error.hint));
    }
    out
}

/// Characters of a long line that are shown around the position.
const CARET_WINDOW: usize = 70;

fn caret(text: &str, position: u32) -> Option<String> {
    let position = (position as usize).checked_sub(1)?;
    let before: String = text.chars().take(position).collect();
    if before.chars().count() < position {
        return None;
    }
    let number = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count();
    let line = text.lines().nth(number - 1).unwrap_or_default();
    let from = if line.chars().count() <= CARET_WINDOW {
        0
    } else {
        column.saturating_sub(CARET_WINDOW / 2)
    };
    // A tab or control character takes one column, so that the caret stays below its place.
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let window: String = line.chars().skip(from).take(CARET_WINDOW).map(plain).collect();
    let dots = |cut: bool| if cut { "..." } else { "" };
    let after = line.chars().count() > from + CARET_WINDOW;
    let lead = format!("LINE {number}: {}", dots(from > 0));
    let under: String = window.chars().take(column - from).collect();
    Some(format!("{lead}{window}{}\n{}^", dots(after), " ".repeat(lead.len() + under.width())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::OutputColumn;
    use trine_proto::wire::OutputKind;

    fn table() -> Table {
        let mut price = OutputColumn::integer("price");
        price.kind = OutputKind::Decimal;
        let text = |t: &str| Value::Text(t.into());
        let decimal = |unscaled| Value::Decimal { unscaled, scale: 2 };
        Table {
            columns: vec![OutputColumn::integer("id"), OutputColumn::text("a name"), price],
            rows: vec![
                vec![Value::Int(1), text("an"), decimal(-5)],
                vec![Value::Int(12345), text("日本, \"x\"\n\u{1b}[2J"), Value::Null],
            ],
            explain: None,
        }
    }

    fn written(format: Format) -> String {
        let mut out = Vec::new();
        write_table(&mut out, &table(), format).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn aligned() {
        let expected = "  id   |        a name        | price
-------+----------------------+-------
     1 | an                   | -0.05
 12345 | 日本, \"x\"\\n\\u{1b}[2J |
(2 rows)
";
        assert_eq!(written(Format::Table), expected);
    }

    #[test]
    fn expanded() {
        let expected = "-[ RECORD 1 ]------
id     | 1
a name | an
price  | -0.05
-[ RECORD 2 ]------
id     | 12345
a name | 日本, \"x\"\\n\\u{1b}[2J
price  |
(2 rows)
";
        assert_eq!(written(Format::Expanded), expected);
    }

    #[test]
    fn csv_and_json_keep_everything() {
        let csv = "id,a name,price\n1,an,-0.05\n12345,\"日本, \"\"x\"\"\n\u{1b}[2J\",\n";
        assert_eq!(written(Format::Csv), csv);
        let json = written(Format::Json);
        assert_eq!(
            json,
            "[\n  {\"id\": 1, \"a name\": \"an\", \"price\": -0.05},\n  {\"id\": 12345, \
             \"a name\": \"日本, \\\"x\\\"\\n\\u001b[2J\", \"price\": null}\n]\n"
        );
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        let empty = Table { rows: vec![], ..table() };
        let mut out = Vec::new();
        write_table(&mut out, &empty, Format::Json).unwrap();
        assert_eq!(out, b"[]\n");
    }

    #[test]
    fn an_error_points_at_its_place() {
        let text = "SELECT a,\n  x FROM t";
        let error = SqlError::new("42703", "column \"x\" does not exist").hint("say a").at(13);
        assert_eq!(
            render_error(&error, text),
            "ERROR:  42703: column \"x\" does not exist\nLINE 2:   x FROM t\n          ^\nHINT:  say a"
        );
        assert_eq!(render_error(&SqlError::new("XX000", "m"), text), "ERROR:  XX000: m");
        assert_eq!(render_error(&SqlError::new("42601", "m").at(99), text), "ERROR:  42601: m");
        let end = SqlError::new("42601", "syntax error at end of input").at(9);
        assert!(render_error(&end, "select a").ends_with("LINE 1: select a\n                ^"));
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let text = format!("SELECT {} x", "a, ".repeat(100));
        let shown = caret(&text, u32::try_from(text.len()).unwrap()).unwrap();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0].chars().nth(lines[1].len() - 1), Some('x'));
        assert!(lines[0].starts_with("LINE 1: ...") && lines[0].len() < 90);
    }
}
