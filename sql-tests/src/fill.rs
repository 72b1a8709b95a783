//! Writing expected answers into a new test file: queries without a `----` get the engine's answer,
//! for a person to review.

use crate::compare::rendered_rows;
use crate::engine::Engine;
use crate::runner::excluded;
use crate::script;
use sqllogictest::{QueryExpect, Record, SortMode};
use std::collections::BTreeMap;
use std::path::Path;

/// Fills one file in place; returns how many answers were written.
///
/// # Errors
/// The file cannot be read or written. A query that fails is reported and stays open.
pub async fn fill(engine: &mut Engine, path: &Path) -> Result<usize, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let script = script::read(path)?;
    engine.reset().await.map_err(|e| e.to_string())?;
    let lines: Vec<&str> = text.lines().collect();
    // Line index after the SQL of a query to the answer that goes there.
    let mut answers: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for record in &script.records {
        if excluded(record, engine.label()) {
            continue;
        }
        match record {
            Record::Statement { sql, .. } => drop(engine.run(sql).await),
            Record::Query {
                sql,
                loc,
                expected: QueryExpect::Results { types, sort_mode, .. },
                ..
            } => {
                let start = loc.line() as usize;
                let length = lines[start..].iter().position(|l| l.trim().is_empty());
                let end = length.map_or(lines.len(), |n| start + n);
                if lines[start..end].contains(&"----") {
                    continue;
                }
                let output = match engine.run(sql).await {
                    Ok(output) => output,
                    Err(e) => {
                        eprintln!("{loc}: {e}");
                        continue;
                    }
                };
                let mut rows = rendered_rows(&output, types);
                if *sort_mode == Some(SortMode::RowSort) {
                    rows.sort();
                }
                answers.insert(end, rows.iter().map(|r| r.join(" ")).collect());
            }
            _ => {}
        }
    }
    let filled = answers.len();
    let mut out = String::new();
    for (number, line) in lines.iter().chain([&""]).enumerate() {
        if let Some(answer) = answers.get(&number) {
            out.push_str("----\n");
            answer.iter().for_each(|row| out.push_str(&format!("{row}\n")));
        }
        if number < lines.len() {
            out.push_str(line);
            out.push('\n');
        }
    }
    std::fs::write(path, out).map_err(|e| e.to_string())?;
    Ok(filled)
}
