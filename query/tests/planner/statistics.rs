//! Percentiles, correlation and regression over random rows with NULLs, against the same in Rust.

use crate::scalars::{Value, answer, get, table};
use crate::support::Row;
use std::collections::BTreeMap;
use trine_query::plan::Rounding;

/// Rows by `p % 4`, those for which the condition holds.
fn groups(keep: impl Fn(&Row) -> bool) -> BTreeMap<i128, Vec<Row>> {
    let mut groups: BTreeMap<i128, Vec<Row>> = BTreeMap::new();
    for row in table().rows() {
        let group = groups.entry(get(&row, "p").unwrap() % 4).or_default();
        if keep(&row) {
            group.push(row);
        }
    }
    groups
}

fn sorted(mut values: Vec<Value>) -> Vec<Value> {
    values.sort_unstable();
    values
}

/// One value a group.
fn check(expr: &str, keep: impl Fn(&Row) -> bool, due: impl Fn(&[Row]) -> Value) {
    let sql = format!("select {expr} from r group by p % 4");
    let (got, failures) = answer(&sql, &table()).unwrap();
    let want = groups(keep).into_values().map(|rows| due(&rows)).collect();
    assert_eq!(sorted(got), sorted(want), "{expr}");
    assert_eq!(failures, [], "{expr}");
}

fn values(rows: &[Row], column: &str) -> Vec<i128> {
    let mut all: Vec<i128> = rows.iter().filter_map(|r| get(r, column)).collect();
    all.sort_unstable();
    all
}

/// PERCENTILE_CONT at part / whole, times 2^40.
fn continuous(all: &[i128], part: i128, whole: i128, unit: i128) -> Value {
    let n = i128::try_from(all.len()).unwrap();
    if n == 0 {
        return None;
    }
    let at = usize::try_from(part * (n - 1) / whole).unwrap();
    let rest = part * (n - 1) % whole;
    let next = all.get(at + 1).copied().unwrap_or(0);
    let sum = all[at] * (whole - rest) + next * rest;
    Some(Rounding::Nearest.divide(sum << 40, whole * unit))
}

fn discrete(all: &[i128], part: i128, whole: i128) -> Value {
    let n = i128::try_from(all.len()).unwrap();
    let at = ((part * n + whole - 1) / whole).max(1);
    all.get(usize::try_from(at - 1).unwrap()).copied()
}

#[test]
fn percentiles_lie_between_neighbours() {
    let any = |_: &Row| true;
    let cont = |p: &str, x: &str| format!("percentile_cont({p}) within group (order by {x})");
    check(&cont("0.37", "a"), any, |rows| continuous(&values(rows, "a"), 37, 100, 1));
    check(&cont("0.999", "d"), any, |rows| continuous(&values(rows, "d"), 999, 1000, 100));
    check(&cont("0", "b"), any, |rows| continuous(&values(rows, "b"), 0, 1, 1));
    check(&cont("1", "b"), any, |rows| continuous(&values(rows, "b"), 1, 1, 1));
    check(&cont("0.25", "e desc"), any, |rows| continuous(&values(rows, "e"), 3, 4, 1000));
    check("median(big % 1000)", any, |rows| {
        let mut all: Vec<i128> =
            rows.iter().filter_map(|r| get(r, "big")).map(|v| v % 1000).collect();
        all.sort_unstable();
        continuous(&all, 1, 2, 1)
    });
    let some = |row: &Row| get(row, "f") == Some(1);
    check("median(a) filter (where f)", some, |rows| continuous(&values(rows, "a"), 1, 2, 1));
}

#[test]
fn discrete_percentiles_are_values() {
    let any = |_: &Row| true;
    let disc = |p: &str, x: &str| format!("percentile_disc({p}) within group (order by {x})");
    for (p, part, whole) in
        [("0", 0, 1), ("0.2", 1, 5), ("0.5", 1, 2), ("0.77", 77, 100), ("1", 1, 1)]
    {
        check(&disc(p, "a"), any, |rows| discrete(&values(rows, "a"), part, whole));
    }
    check(&disc("0.3", "any_day"), any, |rows| discrete(&values(rows, "any_day"), 3, 10));
    check(&disc("0.6", "f"), any, |rows| discrete(&values(rows, "f"), 3, 5));
}

#[test]
fn percentiles_without_groups() {
    let all = values(&table().rows(), "a");
    let of = |sql: &str| answer(sql, &table()).unwrap().0;
    assert_eq!(of("select median(a) from r"), [continuous(&all, 1, 2, 1)]);
    assert_eq!(of("select median(a) from r where id < 0"), [None]);
    let none = "select percentile_disc(0.5) within group (order by a) from r where id < 0";
    assert_eq!(of(none), [None]);
    let twice = "select percentile_disc(0.5) within group (order by a desc) \
                 - percentile_disc(0.5) within group (order by a) from r";
    let down: Vec<i128> = all.iter().rev().copied().collect();
    let due = discrete(&down, 1, 2).zip(discrete(&all, 1, 2)).map(|(x, y)| x - y);
    assert_eq!(of(twice), [due]);
}

#[test]
fn correlations_and_regressions_are_those_of_the_pairs() {
    let rows = table().rows();
    let pairs: Vec<(f64, f64)> = rows
        .iter()
        .filter_map(|r| Some((get(r, "e")? as f64 / 1000.0, get(r, "b")? as f64)))
        .collect();
    let n = pairs.len() as f64;
    let sum = |f: &dyn Fn((f64, f64)) -> f64| pairs.iter().copied().map(f).sum::<f64>();
    let (x, y) = (sum(&|p| p.1), sum(&|p| p.0));
    let xx = sum(&|p| p.1 * p.1) - x * x / n;
    let yy = sum(&|p| p.0 * p.0) - y * y / n;
    let xy = sum(&|p| p.0 * p.1) - x * y / n;
    let due = [
        ("corr(e, b)", xy / (xx * yy).sqrt()),
        ("regr_r2(e, b)", xy * xy / (xx * yy)),
        ("regr_slope(e, b)", xy / xx),
        ("regr_intercept(e, b)", (y - xy / xx * x) / n),
        ("regr_avgx(e, b)", x / n),
        ("regr_avgy(e, b)", y / n),
        ("regr_sxx(e, b)", xx),
        ("regr_syy(e, b)", yy),
        ("regr_sxy(e, b)", xy),
        ("corr(e, b) + 0 * regr_slope(e, b)", xy / (xx * yy).sqrt()),
    ];
    for (expr, due) in due {
        // Compared as a whole number of millionths.
        let sql = format!("select cast(({expr}) * 1000000 as bigint) from r");
        let (got, failures) = answer(&sql, &table()).unwrap();
        let [Some(got)] = got.as_slice() else { panic!("{expr}: {got:?}") };
        assert!((*got as f64 - due * 1e6).abs() < 1.5, "{expr}: {got} for {due}");
        assert_eq!(failures, []);
    }
    let count = i128::try_from(pairs.len()).unwrap();
    assert_eq!(answer("select regr_count(e, b) from r", &table()).unwrap().0, [Some(count)]);
}
