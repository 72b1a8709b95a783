//! Finding test files and reading them: the dialects of five projects made into one that the
//! sqllogictest parser takes. Line numbers stay those of the file.
//!
//! * SQLite: comments after `onlyif`/`skipif`; `onlyif X` before `halt`.
//! * DuckDB: connection names after `statement ok`; the error text under `----`.
//! * CockroachDB: `colnames` in the place of a sort mode; regular expressions that Rust's engine
//!   does not read.

use sqllogictest::{DefaultColumnType, Record, parse_with_name};
use std::io;
use std::path::{Path, PathBuf};

/// A record of a test file.
pub type TestRecord = Record<DefaultColumnType>;

/// A test file after reading.
#[derive(Debug)]
pub struct Script {
    /// Path as it was given.
    pub name: String,
    /// Records in order.
    pub records: Vec<TestRecord>,
    /// 1-based lines of queries whose first expected line repeats the column names.
    pub header_lines: Vec<u32>,
    /// Whether the texts of expected errors are ours and must match; other projects' texts only
    /// say that there is an error. Files switch it on with the line `# errors: exact`.
    pub exact_errors: bool,
}

/// Labels under which records run (`skipif`, `onlyif`).
pub const LABELS: [&str; 2] = ["postgresql", "postgres"];

/// All test files under the paths, sorted within each folder: `.slt`, `.test`, `.part` and files
/// without an extension. A path that names a file is taken whatever it is called.
///
/// # Errors
/// A path that does not exist or cannot be read.
pub fn discover(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, &mut found)?;
        } else {
            std::fs::metadata(path).map_err(|e| at(path, &e))?;
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(|e| at(folder, &e))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        if path.is_dir() {
            walk(&path, found)?;
        } else if is_test_file(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_test_file(path: &Path) -> bool {
    match path.extension().and_then(|e| e.to_str()) {
        None => {
            path.file_name().is_some_and(|n| n != "LICENSE" && n != "README" && n != "Makefile")
        }
        Some(extension) => matches!(extension, "slt" | "test" | "part"),
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Reads and parses one file.
///
/// # Errors
/// What is wrong with the file, with its line.
pub fn read(path: &Path) -> Result<Script, String> {
    let bytes = std::fs::read(path).map_err(|e| at(path, &e).to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    parse(&text, &path.display().to_string())
}

/// Parses the text of a file.
///
/// # Errors
/// What is wrong with it, with its line.
pub fn parse(text: &str, name: &str) -> Result<Script, String> {
    let exact_errors = text.lines().any(|l| l.trim() == "# errors: exact");
    let (text, header_lines) = normalise(text);
    let records = parse_with_name(&text, name).map_err(|e| e.to_string())?;
    Ok(Script { name: name.to_owned(), records, header_lines, exact_errors })
}

/// See the module; also returns the lines of queries with column names.
fn normalise(text: &str) -> (String, Vec<u32>) {
    let mut out: Vec<String> = Vec::new();
    let mut header_lines = Vec::new();
    let mut conditions: Vec<usize> = Vec::new();
    // Inside an error record whose text under `----` is to be dropped.
    let mut in_error = false;
    let mut dropping = false;
    for (number, raw) in text.lines().enumerate() {
        let line = raw.trim_end();
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.is_empty() {
            (in_error, dropping) = (false, false);
        }
        let mut kept = line.to_owned();
        match words.as_slice() {
            _ if dropping => kept.clear(),
            ["----", ..] if in_error => {
                dropping = true;
                kept.clear();
            }
            [kind @ ("onlyif" | "skipif"), label, ..] if !in_error => {
                kept = format!("{kind} {}", label.trim_end_matches('#'));
                conditions.push(number);
            }
            ["halt"] => {
                kept = halt(&mut out, &conditions);
                conditions.clear();
            }
            ["statement", expect @ ("ok" | "error"), connection]
                if connection.starts_with("con") =>
            {
                kept = format!("statement {expect}");
                conditions.clear();
                in_error = *expect == "error";
            }
            ["statement" | "query", "error", pattern @ ..] => {
                let readable =
                    parse_with_name::<DefaultColumnType>(&format!("{line}\nSELECT 1\n"), "")
                        .is_ok();
                if !readable {
                    kept = format!("{} error", words[0]);
                }
                conditions.clear();
                in_error = pattern.is_empty() || !readable;
            }
            ["statement", ..] => conditions.clear(),
            ["query", types, options, rest @ ..] => {
                conditions.clear();
                if options.split(',').any(|o| o == "colnames") {
                    header_lines.push(u32::try_from(number + 1).unwrap_or(u32::MAX));
                    let sort: Vec<&str> = options.split(',').filter(|o| *o != "colnames").collect();
                    kept = format!("query {types} {} {}", sort.join(","), rest.join(" "));
                }
            }
            ["query", ..] => conditions.clear(),
            _ => {}
        }
        out.push(kept);
    }
    out.push(String::new());
    (out.join("\n"), header_lines)
}

/// `onlyif X` in front of a halt makes it conditional, which the parser does not know: both
/// disappear unless they hold for us.
fn halt(out: &mut [String], conditions: &[usize]) -> String {
    let mut stops = true;
    for &line in conditions {
        let Some(condition) = out.get_mut(line) else { continue };
        let ours = condition.split_whitespace().nth(1).is_some_and(|l| LABELS.contains(&l));
        stops &= condition.starts_with("onlyif") == ours;
        condition.clear();
    }
    if stops { "halt".to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TestRecord> {
        parse(text, "f").unwrap().records
    }

    #[test]
    fn comments_after_conditions_go_and_conditional_halts_are_resolved() {
        let records =
            kinds("onlyif mssql # not us\nhalt\n\nskipif mysql # x\nquery I\nSELECT 1\n----\n1\n");
        assert!(!records.iter().any(|r| matches!(r, Record::Halt { .. })));
        let query = records.iter().find_map(|r| match r {
            Record::Query { conditions, loc, .. } => Some((conditions.len(), loc.line())),
            _ => None,
        });
        assert_eq!(query, Some((1, 5)));
        let records = kinds("onlyif postgresql\nhalt\n");
        assert!(records.iter().any(|r| matches!(r, Record::Halt { .. })));
        let records = kinds("skipif mssql\nhalt\n");
        assert!(records.iter().any(|r| matches!(r, Record::Halt { .. })));
    }

    #[test]
    fn foreign_error_texts_do_not_swallow_the_next_record() {
        let records =
            kinds("statement error\nSELECT x\n----\nBinder Error: no\n\nstatement ok\nSELECT 1\n");
        let statements = records.iter().filter(|r| matches!(r, Record::Statement { .. })).count();
        assert_eq!(statements, 2);
        let records = kinds("query error (?i\nSELECT 1\n\nstatement ok con1\nSELECT 1\n");
        assert_eq!(records.iter().filter(|r| matches!(r, Record::Query { .. })).count(), 1);
        assert_eq!(records.iter().filter(|r| matches!(r, Record::Statement { .. })).count(), 1);
    }

    #[test]
    fn column_names_are_remembered_by_line() {
        let script =
            parse("\nquery II colnames,rowsort\nSELECT 1, 2\n----\na b\n1 2\n", "f").unwrap();
        assert_eq!(script.header_lines, vec![2]);
    }
}
