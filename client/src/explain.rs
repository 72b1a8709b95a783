//! EXPLAIN as text: the oblivious plan as a tree, with what it costs and what the nodes learn.
//! Bytes are those of all three parties together, payload without framing.

use serde_json::{Map, Value as Json};
use trine_proto::wire::{Counted, ExplainRow, ResultHeader};

/// Widest operator text before the costs; a longer one pushes its own costs to the right.
const WIDTH_MAX: usize = 76;

/// Deeper operators stand beside each other: no plan has so many, and the nodes are not to be trusted.
const DEPTH_MAX: u32 = 500;

/// The lines of an EXPLAIN or EXPLAIN ANALYZE, from the headers of parties 0, 1 and 2 (alike but
/// for what each counted).
#[must_use]
pub fn render(headers: [&ResultHeader; 3]) -> Vec<String> {
    let rows = &headers[0].explain;
    let analyze = rows.iter().any(|r| r.counted.is_some());
    let texts: Vec<String> = rows.iter().map(tree_text).collect();
    let width = texts.iter().map(|t| t.chars().count()).max().unwrap_or(0).min(WIDTH_MAX);
    let mut lines = Vec::new();
    let mut differing = 0;
    for (index, (row, text)) in rows.iter().zip(&texts).enumerate() {
        let mut line = format!("{text:<width$}  rows {}", grouped(row.rows));
        if analyze {
            let check = Check::of(row, counted(headers, index));
            line.push_str(&check.text(row));
            differing += usize::from(!check.agrees);
        } else {
            line.push_str(&predicted(row));
        }
        lines.push(line);
        if !row.opens.is_empty() {
            let indent = " ".repeat(row.depth as usize * 2 + if row.depth > 0 { 3 } else { 2 });
            lines.push(format!("{indent}opens: {}", row.opens));
        }
    }
    if analyze {
        lines.extend(analyze_summary(headers, differing));
    } else {
        lines.push(predicted_total(rows));
    }
    lines
}

/// EXPLAIN (FORMAT JSON): the plan as PostgreSQL nests it, with the costs of each party.
#[must_use]
pub fn render_json(headers: [&ResultHeader; 3]) -> String {
    let rows = &headers[0].explain;
    let analyze = rows.iter().any(|r| r.counted.is_some());
    let mut whole = Map::new();
    if !rows.is_empty() {
        whole.insert("Plan".into(), node(headers, analyze, &mut 0));
    }
    if analyze {
        let (totals, seconds) = totals(headers);
        whole.insert("Counted Rounds".into(), totals.map(|c| c.rounds).to_vec().into());
        whole.insert("Counted Bytes".into(), totals.map(|c| c.bytes_sent).to_vec().into());
        whole.insert("Execution Time".into(), (seconds * 1000.0).into());
    }
    format!("{:#}", Json::Array(vec![Json::Object(whole)]))
}

/// The operator at `next` with those below it.
fn node(headers: [&ResultHeader; 3], analyze: bool, next: &mut usize) -> Json {
    let rows = &headers[0].explain;
    let (at, row) = (*next, &rows[*next]);
    *next += 1;
    let (kind, detail) = row.text.split_once(' ').unwrap_or((&row.text, ""));
    let mut own = Map::new();
    own.insert("Node Type".into(), kind.into());
    own.insert("Detail".into(), detail.into());
    own.insert("Plan Rows".into(), row.rows.into());
    own.insert("Rounds".into(), row.rounds.into());
    own.insert("Bytes".into(), row.bytes.clone().into());
    own.insert("Expected".into(), row.expected.into());
    own.insert("Opens".into(), row.opens.as_str().into());
    if analyze {
        let counted = counted(headers, at);
        own.insert("Counted Rounds".into(), counted.map(|c| c.rounds).to_vec().into());
        own.insert("Counted Bytes".into(), counted.map(|c| c.bytes_sent).to_vec().into());
        own.insert("Agrees".into(), Check::of(row, counted).agrees.into());
    }
    let mut below = Vec::new();
    while row.depth < DEPTH_MAX && rows.get(*next).is_some_and(|other| other.depth > row.depth) {
        below.push(node(headers, analyze, next));
    }
    if !below.is_empty() {
        own.insert("Plans".into(), below.into());
    }
    Json::Object(own)
}

fn tree_text(row: &ExplainRow) -> String {
    match row.depth as usize {
        0 => row.text.clone(),
        depth => format!("{}-> {}", " ".repeat(depth * 2 - 2), row.text),
    }
}

fn sum(bytes: &[u64]) -> u64 {
    bytes.iter().fold(0, |all, b| all.saturating_add(*b))
}

fn tilde(row: &ExplainRow) -> &'static str {
    if row.expected { "~" } else { "" }
}

fn predicted(row: &ExplainRow) -> String {
    if row.rounds == 0 && sum(&row.bytes) == 0 {
        return String::new();
    }
    let t = tilde(row);
    format!("  rounds {t}{}  bytes {t}{}", grouped(row.rounds), human(sum(&row.bytes)))
}

fn predicted_total(rows: &[ExplainRow]) -> String {
    let bytes = rows.iter().fold(0, |all: u64, r| all.saturating_add(sum(&r.bytes)));
    let t = if rows.iter().any(|r| r.expected) { "~" } else { "" };
    format!("Predicted in all: {t}{} sent by the three parties together", human(bytes))
}

/// Predicted (or recomputed) against counted, for one operator.
struct Check {
    rounds: u64,
    bytes: u64,
    counted_rounds: u64,
    counted_bytes: u64,
    agrees: bool,
}

impl Check {
    fn of(row: &ExplainRow, counted: [Counted; 3]) -> Self {
        // Where the shape comes from opened comparisons, the exact cost follows from what was opened.
        let (rounds, per_party) = if row.expected {
            (row.rounds_recomputed, &row.bytes_recomputed)
        } else {
            (row.rounds, &row.bytes)
        };
        let agrees = counted.iter().enumerate().all(|(party, c)| {
            c.rounds == rounds && per_party.get(party).copied().unwrap_or(0) == c.bytes_sent
        });
        Self {
            rounds,
            bytes: sum(per_party),
            counted_rounds: counted.iter().map(|c| c.rounds).max().unwrap_or(0),
            counted_bytes: sum(&counted.map(|c| c.bytes_sent)),
            agrees,
        }
    }

    fn text(&self, row: &ExplainRow) -> String {
        if self.agrees && self.rounds == 0 && self.bytes == 0 {
            return String::new();
        }
        let expected = if row.expected {
            format!("  expected rounds ~{} bytes ~{}", grouped(row.rounds), human(sum(&row.bytes)))
        } else {
            String::new()
        };
        let word = if row.expected { "recomputed" } else { "predicted" };
        let mark = if self.agrees { "" } else { "  DIFFERS" };
        format!(
            "{expected}  {word} rounds {} bytes {}  counted rounds {} bytes {}{mark}",
            grouped(self.rounds),
            human(self.bytes),
            grouped(self.counted_rounds),
            human(self.counted_bytes)
        )
    }
}

/// What each party counted at an operator.
fn counted(headers: [&ResultHeader; 3], operator: usize) -> [Counted; 3] {
    headers.map(|h| h.explain.get(operator).and_then(|r| r.counted).unwrap_or_default())
}

/// What each party counted in all, and the seconds of the slowest.
fn totals(headers: [&ResultHeader; 3]) -> ([Counted; 3], f64) {
    let seconds = headers.iter().map(|h| h.seconds).fold(0.0, f64::max);
    (headers.map(|h| h.total.unwrap_or_default()), seconds)
}

fn analyze_summary(headers: [&ResultHeader; 3], differing: usize) -> Vec<String> {
    let (totals, seconds) = totals(headers);
    let rounds = totals.iter().map(|c| c.rounds).max().unwrap_or(0);
    let bytes = sum(&totals.map(|c| c.bytes_sent));
    vec![
        format!(
            "Counted in all: rounds {}, {} sent by the three parties together, {seconds:.3} s",
            grouped(rounds),
            human(bytes)
        ),
        match differing {
            0 => "Predicted and counted costs agree at every operator and every party.".to_owned(),
            1 => "Predicted and counted costs DIFFER at 1 operator.".to_owned(),
            n => format!("Predicted and counted costs DIFFER at {n} operators."),
        },
    ]
}

/// 1234567 as `1,234,567`.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `24 B`, or `3.1 MB (3,145,728)`: rounded and exact. MB is 10^6 bytes.
#[must_use]
pub fn human(bytes: u64) -> String {
    match short_bytes(bytes) {
        short if bytes < 1000 => short,
        short => format!("{short} ({})", grouped(bytes)),
    }
}

/// The rounded half of [`human`].
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
pub fn short_bytes(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        // What would round to 1000.0 of a unit is shown in the next one.
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(depth: u32, text: &str, rows: u64, rounds: u64, bytes: [u64; 3]) -> ExplainRow {
        ExplainRow {
            depth,
            text: text.into(),
            rows,
            rounds,
            bytes: bytes.to_vec(),
            ..Default::default()
        }
    }

    fn plan() -> ResultHeader {
        let mut sort = row(1, "Sort b (quicksort)", 1000, 40, [400_000, 400_000, 434_567]);
        sort.expected = true;
        sort.opens = "the order of shuffled rows".into();
        sort.rounds_recomputed = 41;
        sort.bytes_recomputed = vec![5, 6, 7];
        let explain = vec![
            row(0, "Project a, b", 1000, 0, [0, 0, 0]),
            sort,
            row(2, "Filter a > 10 (ripple)", 1000, 32, [8, 8, 8]),
            row(3, "Scan t", 1000, 0, [0, 0, 0]),
        ];
        ResultHeader { explain, ..Default::default() }
    }

    #[test]
    fn explain_is_a_tree_with_costs() {
        let plan = plan();
        assert_eq!(
            render([&plan; 3]),
            [
                "Project a, b                 rows 1,000",
                "-> Sort b (quicksort)        rows 1,000  rounds ~40  bytes ~1.2 MB (1,234,567)",
                "     opens: the order of shuffled rows",
                "  -> Filter a > 10 (ripple)  rows 1,000  rounds 32  bytes 24 B",
                "    -> Scan t                rows 1,000",
                "Predicted in all: ~1.2 MB (1,234,591) sent by the three parties together",
            ]
        );
    }

    fn counted(party: usize, filter_bytes: u64) -> ResultHeader {
        let mut header = plan();
        let count = |rounds, bytes_sent| Some(Counted { rounds, bytes_sent });
        header.explain[0].counted = count(0, 0);
        header.explain[1].counted = count(41, [5, 6, 7][party]);
        header.explain[2].counted = count(32, filter_bytes);
        header.explain[3].counted = count(0, 0);
        header.total = count(73, 15);
        header.seconds = 0.25;
        header
    }

    #[test]
    fn analyze_compares_every_operator_at_every_party() {
        let good = [0, 1, 2].map(|p| counted(p, 8));
        let lines = render(good.each_ref());
        assert!(lines[1].ends_with(
            "expected rounds ~40 bytes ~1.2 MB (1,234,567)  recomputed rounds 41 bytes 18 B  \
             counted rounds 41 bytes 18 B"
        ));
        assert!(lines[3].ends_with("predicted rounds 32 bytes 24 B  counted rounds 32 bytes 24 B"));
        assert_eq!(
            lines[5],
            "Counted in all: rounds 73, 45 B sent by the three parties together, 0.250 s"
        );
        assert!(lines[6].contains("agree at every operator"));
        // The same sum, but not the same at every party.
        let bad = [counted(0, 7), counted(1, 9), counted(2, 8)];
        let lines = render(bad.each_ref());
        assert!(lines[3].ends_with("DIFFERS"), "{}", lines[3]);
        assert!(lines[6].contains("DIFFER at 1 operator"));
    }

    #[test]
    fn json_nests_the_operators() {
        let plan = plan();
        let text = render_json([&plan; 3]);
        let json: Json = serde_json::from_str(&text).unwrap();
        let sort = &json[0]["Plan"]["Plans"][0];
        assert_eq!(json[0]["Plan"]["Node Type"], "Project");
        assert_eq!(
            (&sort["Node Type"], &sort["Detail"]),
            (&"Sort".into(), &"b (quicksort)".into())
        );
        assert_eq!(sort["Bytes"], serde_json::json!([400_000, 400_000, 434_567]));
        assert_eq!((&sort["Rounds"], &sort["Expected"]), (&40.into(), &true.into()));
        assert_eq!(sort["Plans"][0]["Plans"][0]["Node Type"], "Scan");
        assert!(sort.get("Counted Bytes").is_none());

        let counted = [0, 1, 2].map(|p| counted(p, 8));
        let json: Json = serde_json::from_str(&render_json(counted.each_ref())).unwrap();
        let sort = &json[0]["Plan"]["Plans"][0];
        assert_eq!(sort["Counted Bytes"], serde_json::json!([5, 6, 7]));
        assert_eq!((&sort["Agrees"], &json[0]["Execution Time"]), (&true.into(), &250.0.into()));
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(12), "12");
        assert_eq!(human(999), "999 B");
        assert_eq!(human(999_960), "1.0 MB (999,960)");
        assert_eq!(human(3_145_728), "3.1 MB (3,145,728)");
    }
}
