//! Answers as CSV, and whether two of them are the same within a tolerance.

use crate::value::{Output, Value};

/// Header and rows; NULL is an empty field, an empty text `""`.
#[must_use]
pub fn write_csv(output: &Output) -> String {
    let mut text = join(output.columns.iter().map(|c| quote(c)));
    for row in &output.rows {
        text.push_str(&join(row.iter().map(field)));
    }
    text
}

fn join(fields: impl Iterator<Item = String>) -> String {
    fields.collect::<Vec<_>>().join(",") + "\n"
}

fn field(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(t) if t.is_empty() => "\"\"".to_owned(),
        Value::Text(t) => quote(t),
        other => other.to_string(),
    }
}

fn quote(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Reads what [`write_csv`] and the client write. Numbers become numbers.
///
/// # Errors
/// Says which line has another number of fields than the header, or is cut within quotes.
pub fn read_csv(text: &str) -> Result<Output, String> {
    let mut lines = records(text)?.into_iter();
    let columns: Vec<String> =
        lines.next().ok_or("no header")?.into_iter().map(|(field, _)| field).collect();
    let mut rows = Vec::new();
    for (number, line) in lines.enumerate() {
        if line.len() != columns.len() {
            let (got, due) = (line.len(), columns.len());
            return Err(format!("row {}: {got} fields where {due} are due", number + 1));
        }
        let value = |(field, quoted): (String, bool)| {
            if field.is_empty() && !quoted {
                Value::Null
            } else if quoted {
                Value::Text(field)
            } else {
                Value::number(&field).unwrap_or(Value::Text(field))
            }
        };
        rows.push(line.into_iter().map(value).collect());
    }
    Ok(Output::result(columns, rows))
}

type Field = (String, bool);

/// Fields of each line with whether they were quoted.
fn records(text: &str) -> Result<Vec<Vec<Field>>, String> {
    let mut all = Vec::new();
    let mut line: Vec<Field> = Vec::new();
    let mut field: Field = (String::new(), false);
    let mut inside = false;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if inside && characters.peek() == Some(&'"') => {
                characters.next();
                field.0.push('"');
            }
            '"' => {
                inside = !inside;
                field.1 = true;
            }
            _ if inside => field.0.push(c),
            ',' => line.push(std::mem::take(&mut field)),
            '\r' => {}
            '\n' => {
                line.push(std::mem::take(&mut field));
                all.push(std::mem::take(&mut line));
            }
            _ => field.0.push(c),
        }
    }
    if inside {
        return Err("a quoted field does not end".to_owned());
    }
    if !line.is_empty() || !field.0.is_empty() {
        line.push(field);
        all.push(line);
    }
    Ok(all)
}

/// Same columns (by count), same rows in the same order; numbers within a relative distance.
#[must_use]
pub fn same_within(a: &Output, b: &Output, tolerance: f64) -> bool {
    a.columns.len() == b.columns.len()
        && a.rows.len() == b.rows.len()
        && a.rows.iter().flatten().zip(b.rows.iter().flatten()).all(|(x, y)| {
            match (x.as_f64(), y.as_f64()) {
                (Some(v), Some(w)) => (v - w).abs() <= tolerance * v.abs().max(w.abs()).max(1.0),
                _ => x == y || x.to_string() == y.to_string(),
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_survives_the_round_trip() {
        let out = Output::result(
            vec!["a,b".into(), "c".into()],
            vec![
                vec![Value::Integer(1), Value::Text("x \"y\"\nz".into())],
                vec![Value::Null, Value::Text(String::new())],
                vec![Value::Decimal { digits: -5, scale: 1 }, Value::Text("t".into())],
            ],
        );
        assert_eq!(read_csv(&write_csv(&out)), Ok(out));
        assert!(read_csv("a,b\n1\n").is_err());
        assert!(read_csv("a\n\"1\n").is_err());
    }

    #[test]
    fn tolerance_is_relative() {
        let one = |v: &str| read_csv(&format!("a\n{v}\n")).unwrap();
        assert!(same_within(&one("1000000.5"), &one("1000000.9"), 1e-6));
        assert!(!same_within(&one("1000000.5"), &one("1000002.5"), 1e-6));
        assert!(!same_within(&one("x"), &one("y"), 1e-6));
        assert!(!same_within(&one("1"), &one("1\n2"), 1e-6));
    }
}
