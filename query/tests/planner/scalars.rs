//! Scalar expressions in SQL over random rows, NULLs and extremes included, against the same
//! functions in Rust.

use crate::answers::{Silent, catalog};
use crate::support::{Row, Table, check_costs, column, failed, open, random_table, ranged, stores};
use chrono::{Datelike, NaiveDate};
use trine_mpc::testing::run_as;
use trine_mpc::{Profile, Session};
use trine_proto::ids::LogIndex;
use trine_proto::schema::{Column, ColumnType as T};
use trine_query::plan::{Failure, Literal, Rounding};
use trine_query::{Executed, compile, run};

fn columns() -> Vec<Column> {
    vec![
        ranged("id", T::Int, false, (0, 999)),
        column("a", T::Int, true),
        ranged("b", T::Int, true, (-9, 9)),
        ranged("p", T::SmallInt, false, (1, 40)),
        column("d", T::Decimal { precision: 9, scale: 2 }, true),
        ranged("e", T::Decimal { precision: 6, scale: 3 }, true, (-20_000, 20_000)),
        ranged("day", T::Date, true, (8_000, 12_000)),
        column("any_day", T::Date, true),
        column("f", T::Boolean, true),
        column("big", T::BigInt, true),
        column("s", T::Varchar { bytes_max: 7 }, true),
        column("w", T::Varchar { bytes_max: 3 }, false),
        column("mixed", T::Varchar { bytes_max: 6 }, true),
    ]
}

pub(crate) fn table() -> Table {
    let mut table = random_table(1, columns(), &[60, 37], 5);
    table.schema.name = "r".into();
    // A calendar day may lie far out, but not beyond what the test's calendar knows.
    for (_, rows) in &mut table.segments {
        for row in rows {
            if let Literal::Number(v) = &mut row[7] {
                *v = (*v).clamp(-50_000_000, 50_000_000);
            }
            // Texts with capitals, spaces at the ends and letters of two bytes.
            let pool = [" aB ", "Zz", "", "é", "aé b", "  ", "b%_", "ab ab", "Ab", " é "];
            if let (Literal::Number(id), Literal::Text(text)) = (row[0].clone(), &mut row[12]) {
                *text = pool[(id % 10) as usize].as_bytes().to_vec();
            }
        }
    }
    table
}

pub(crate) type Value = Option<i128>;

/// Value of a column.
pub(crate) fn get(row: &Row, name: &str) -> Value {
    let index = columns().iter().position(|c| c.name == name).unwrap();
    match &row[index] {
        Literal::Number(v) => Some(*v),
        Literal::Boolean(b) => Some(i128::from(*b)),
        _ => None,
    }
}

pub(crate) fn answer(sql: &str, table: &Table) -> Result<(Vec<Value>, Vec<Failure>), String> {
    let tables = [table.clone()];
    let statement =
        compile(sql, &catalog(&tables), LogIndex(5), "me", 0).map_err(|e| format!("{sql}: {e}"))?;
    let stores = stores(&[table]);
    let profile = Profile::LOCAL;
    let parts: [Executed; 3] = run_as(profile, 11, |s: &mut Session| {
        let party = s.party();
        run(&statement.plan, s, &stores[party], &mut Silent).unwrap()
    });
    check_costs(&statement.plan, &parts, profile);
    let values = open(&parts)
        .into_iter()
        .map(|row| match &row[0] {
            Literal::Number(v) => Some(*v),
            Literal::Boolean(b) => Some(i128::from(*b)),
            _ => None,
        })
        .collect();
    Ok((values, failed(&parts)))
}

/// `select expr from r` is the function of every row, as a multiset.
fn check(expr: &str, expected: impl Fn(&Row) -> Value) {
    let table = table();
    let (mut got, failures) = answer(&format!("select {expr} from r"), &table).unwrap();
    let mut want: Vec<Value> = table.rows().iter().map(expected).collect();
    got.sort_unstable();
    want.sort_unstable();
    assert_eq!(got, want, "{expr}");
    assert!(failures.is_empty(), "{expr}: {failures:?}");
}

fn two(x: Value, y: Value, f: impl Fn(i128, i128) -> i128) -> Value {
    Some(f(x?, y?))
}

#[test]
fn integers_divide_towards_zero() {
    check("a / 7", |r| get(r, "a").map(|a| a / 7));
    check("b / -2", |r| get(r, "b").map(|b| b / -2));
    check("big / 1000", |r| get(r, "big").map(|b| b / 1000));
    check("a / p", |r| two(get(r, "a"), get(r, "p"), |a, p| a / p));
    check("7 / p", |r| get(r, "p").map(|p| 7 / p));
    check("a / nullif(b, 0)", |r| two(get(r, "a"), get(r, "b").filter(|b| *b != 0), |a, b| a / b));
    check("(a + b) / (p + 1)", |r| Some((get(r, "a")? + get(r, "b")?) / (get(r, "p")? + 1)));
}

#[test]
fn remainders_have_the_sign_of_the_dividend() {
    check("a % 7", |r| get(r, "a").map(|a| a % 7));
    check("b % -4", |r| get(r, "b").map(|b| b % -4));
    check("a % p", |r| two(get(r, "a"), get(r, "p"), |a, p| a % p));
    check("mod(big, p)", |r| two(get(r, "big"), get(r, "p"), |a, p| a % p));
    check("d % 3", |r| get(r, "d").map(|d| d % 300));
}

#[test]
fn decimals_divide_to_four_more_digits() {
    let nearest = |x: i128, y: i128| Rounding::Nearest.divide(x, y);
    check("d / 3", |r| get(r, "d").map(|d| nearest(d * 10_000, 3)));
    check("d / 7.0", |r| get(r, "d").map(|d| nearest(d * 100_000, 70)));
    check("d / p", |r| two(get(r, "d"), get(r, "p"), |d, p| nearest(d * 10_000, p)));
    check("d / nullif(e, 0)", |r| {
        two(get(r, "d"), get(r, "e").filter(|e| *e != 0), |d, e| nearest(d * 10_000_000, e))
    });
    check("p / 8.00", |r| get(r, "p").map(|p| nearest(p * 1_000_000, 800)));
}

#[test]
fn division_by_zero_counts_where_it_is_computed() {
    let table = table();
    let failures = |sql: &str| answer(sql, &table).unwrap().1;
    assert_eq!(failures("select a / b from r"), [Failure::DivisionByZero]);
    assert_eq!(failures("select sum(a % b) from r"), [Failure::DivisionByZero]);
    assert_eq!(failures("select id from r where d / b > 1"), [Failure::DivisionByZero]);
    for sql in [
        "select case when b <> 0 then a / b end from r",
        "select case when b = 0 then 0 when p = 1 then 1 else a / b end from r",
        "select id from r where b <> 0 and a / b > 1",
        "select id from r where b = 0 or a / b > 1",
        "select a / b from r where b > 0",
        "select sum(a / b) filter (where b < 0) from r",
        "select p, max(a / b) filter (where b < 0) from r group by p",
        "select id / (case when b is null then null else null end) from r",
        "select cast(null as int) / b from r",
    ] {
        assert_eq!(failures(sql), [], "{sql}");
    }
}

#[test]
fn numbers_are_rounded() {
    use Rounding::{Ceil, Floor, Nearest, Truncate};
    check("round(d)", |r| get(r, "d").map(|d| Nearest.divide(d, 100)));
    check("round(d, 1)", |r| get(r, "d").map(|d| Nearest.divide(d, 10)));
    check("round(d, -2)", |r| get(r, "d").map(|d| Nearest.divide(d, 10_000) * 100));
    check("round(a, -3)", |r| get(r, "a").map(|a| Nearest.divide(a, 1000) * 1000));
    check("trunc(d)", |r| get(r, "d").map(|d| Truncate.divide(d, 100) * 100));
    check("floor(e)", |r| get(r, "e").map(|e| Floor.divide(e, 1000) * 1000));
    check("ceil(e)", |r| get(r, "e").map(|e| Ceil.divide(e, 1000) * 1000));
    check("floor(b)", |r| get(r, "b"));
    check("sign(e)", |r| get(r, "e").map(i128::signum));
    check("abs(-a)", |r| get(r, "a").map(i128::abs));
    let even = |v: i128, d: i128| Rounding::Even.divide(v, d);
    check("round(cast(b as double precision) / 2)", |r| get(r, "b").map(|b| even(b, 2)));
    check("round(cast(a as double precision) / 8)", |r| get(r, "a").map(|a| even(a, 8)));
    check("cast(cast(b as double precision) / 4 as int)", |r| get(r, "b").map(|b| even(b, 4)));
    check("power(b, 3)", |r| get(r, "b").map(|b| b.pow(3)));
}

#[test]
fn casts_round_and_check() {
    check("cast(d as int)", |r| get(r, "d").map(|d| Rounding::Nearest.divide(d, 100)));
    check("cast(e as decimal(5, 1))", |r| get(r, "e").map(|e| Rounding::Nearest.divide(e, 100)));
    check("cast(f as int)", |r| get(r, "f"));
    check("cast(b as boolean)", |r| get(r, "b").map(|b| i128::from(b != 0)));
    check("cast(cast(p as double precision) as decimal(5, 2))", |r| get(r, "p").map(|p| p * 100));
    let table = table();
    let failures = |sql: &str| answer(sql, &table).unwrap().1;
    assert_eq!(failures("select cast(a as smallint) from r"), [Failure::OutOfRange]);
    assert_eq!(failures("select cast(d as decimal(4, 2)) from r"), [Failure::OutOfRange]);
    assert_eq!(failures("select cast(a as smallint) from r where abs(a) < 30000"), []);
    assert_eq!(failures("select cast(p * 1000 as smallint) from r where p < 30"), []);
}

#[test]
fn numbers_become_texts() {
    let shown = |v: i128, scale: usize| {
        let digits = format!("{:0>1$}", v.abs(), scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let point = if scale == 0 { "" } else { "." };
        format!("{}{whole}{point}{fraction}", if v < 0 { "-" } else { "" })
    };
    let table = table();
    for (expr, scale) in [("a", 0), ("b", 0), ("p", 0), ("big", 0), ("d", 2), ("e", 3), ("id", 0)] {
        for row in table.rows().iter().take(3) {
            let (id, value) = (get(row, "id").unwrap(), get(row, expr));
            let due = value.map(|v| shown(v, scale));
            let all: Vec<Value> = table
                .rows()
                .iter()
                .filter(|r| get(r, "id") == Some(id))
                .map(|r| get(r, expr).map(|v| i128::from(Some(shown(v, scale)) == due)))
                .collect();
            let text = due.unwrap_or_default();
            let sql = format!("select cast({expr} as varchar) = '{text}' from r where id = {id}");
            let (got, failures) = answer(&sql, &table).unwrap();
            let sorted = |mut v: Vec<Value>| {
                v.sort_unstable();
                v
            };
            assert_eq!(sorted(got), sorted(all), "{sql}");
            assert_eq!(failures, []);
        }
    }
    check("length(d::varchar || '!')", |r| {
        get(r, "d").map(|d| i128::try_from(shown(d, 2).len()).unwrap() + 1)
    });
}

#[test]
fn conditions_that_know_null() {
    let is = |b: bool| Some(i128::from(b));
    check("a is distinct from b", |r| is(get(r, "a") != get(r, "b")));
    check("b is distinct from 3 and f", |r| match (is(get(r, "b") != Some(3)), get(r, "f")) {
        (Some(0), _) | (_, Some(0)) => Some(0),
        (_, None) => None,
        _ => Some(1),
    });
    check("f and b is not distinct from 3 or p > 20", |r| {
        let f = get(r, "f");
        let both = match (f, get(r, "b") == Some(3)) {
            (_, false) | (Some(0), _) => Some(false),
            (None, _) => None,
            _ => Some(true),
        };
        if get(r, "p") > Some(20) { is(true) } else { both.map(i128::from) }
    });
    check("(a > b) is not true", |r| {
        is(!matches!((get(r, "a"), get(r, "b")), (Some(a), Some(b)) if a > b))
    });
    check("f is unknown", |r| is(get(r, "f").is_none()));
    check("b between 3 and -3", |r| get(r, "b").map(|_| 0));
    check("b in (1, null, 2)", |r| match get(r, "b") {
        Some(1 | 2) => Some(1),
        _ => None,
    });
    check("b not in (1, null, 2)", |r| match get(r, "b") {
        Some(1 | 2) => Some(0),
        _ => None,
    });
    check("greatest(a % 10, b, p)", |r| {
        [get(r, "a").map(|a| a % 10), get(r, "b"), get(r, "p")].into_iter().flatten().max()
    });
    check("least(a / 3, b)", |r| {
        [get(r, "a").map(|a| a / 3), get(r, "b")].into_iter().flatten().min()
    });
    check("coalesce(a / 5, b, p)", |r| {
        get(r, "a").map(|a| a / 5).or_else(|| get(r, "b")).or_else(|| get(r, "p"))
    });
    check("case a % 3 when 0 then p when 1 then b else -1 end", |r| {
        match get(r, "a").map(|a| a % 3) {
            Some(0) => get(r, "p"),
            Some(1) => get(r, "b"),
            _ => Some(-1),
        }
    });
}

fn date(days: i128) -> NaiveDate {
    NaiveDate::from_ymd_opt(1970, 1, 1).unwrap() + chrono::Duration::days(days as i64)
}

#[test]
fn parts_of_dates() {
    type Part = (&'static str, fn(NaiveDate) -> i128);
    let parts: [Part; 9] = [
        ("year", |d| d.year().into()),
        ("month", |d| d.month().into()),
        ("day", |d| d.day().into()),
        ("quarter", |d| i128::from(d.month()) / 3 + i128::from(d.month() % 3 > 0)),
        ("doy", |d| d.ordinal().into()),
        ("dow", |d| d.weekday().num_days_from_sunday().into()),
        ("isodow", |d| d.weekday().number_from_monday().into()),
        ("week", |d| d.iso_week().week().into()),
        ("decade", |d| i128::from(d.year()).div_euclid(10)),
    ];
    for (name, part) in parts {
        for column in ["day", "any_day"] {
            if column == "any_day" && name == "decade" {
                continue;
            }
            check(&format!("extract({name} from {column})"), |r| {
                get(r, column).map(|d| part(date(d)))
            });
        }
    }
    check("date_part('month', day)", |r| get(r, "day").map(|d| date(d).month().into()));
}

#[test]
fn intervals_move_dates() {
    let months = |d: i128, n: u32| {
        let moved = date(d).checked_add_months(chrono::Months::new(n)).unwrap();
        i128::from((moved - date(0)).num_days())
    };
    check("day + interval '1 month'", |r| get(r, "day").map(|d| months(d, 1)));
    check("day - interval '1 year 2 days'", |r| {
        let back = |d: i128| {
            let moved = date(d).checked_sub_months(chrono::Months::new(12)).unwrap();
            i128::from((moved - date(0)).num_days()) - 2
        };
        get(r, "day").map(back)
    });
    check("day + interval '10' day", |r| get(r, "day").map(|d| d + 10));
    check("day - date '1992-01-01'", |r| get(r, "day").map(|d| d - 8_035));
    check("day < date '1998-12-01' - interval '90' day", |r| {
        get(r, "day").map(|d| i128::from(d < 10_561 - 90))
    });
}

/// Text of a column.
fn text<'a>(row: &'a Row, name: &str) -> Option<&'a str> {
    let index = columns().iter().position(|c| c.name == name).unwrap();
    match &row[index] {
        Literal::Text(bytes) => Some(std::str::from_utf8(bytes).unwrap()),
        _ => None,
    }
}

fn check_text(expr: &str, expected: impl Fn(&Row) -> Option<String>) {
    let table = table();
    let tables = [table.clone()];
    let sql = format!("select {expr} from r");
    let statement = compile(&sql, &catalog(&tables), LogIndex(5), "me", 0).unwrap();
    let stores = stores(&[&table]);
    let parts: [Executed; 3] = run_as(Profile::WIDE, 11, |s: &mut Session| {
        let party = s.party();
        run(&statement.plan, s, &stores[party], &mut Silent).unwrap()
    });
    check_costs(&statement.plan, &parts, Profile::WIDE);
    let mut got: Vec<Option<String>> = open(&parts)
        .into_iter()
        .map(|row| match &row[0] {
            Literal::Text(bytes) => Some(String::from_utf8(bytes.clone()).unwrap()),
            _ => None,
        })
        .collect();
    let mut want: Vec<Option<String>> = table.rows().iter().map(expected).collect();
    got.sort();
    want.sort();
    assert_eq!(got, want, "{expr}");
    assert_eq!(failed(&parts), [], "{expr}");
}

#[test]
fn texts_match_patterns() {
    fn like(text: &[u8], pattern: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'%', rest)) => (0..=text.len()).any(|i| like(&text[i..], rest)),
            Some((b'_', rest)) => !text.is_empty() && like(&text[1..], rest),
            Some((c, rest)) => text.first() == Some(c) && like(&text[1..], rest),
        }
    }
    for pattern in [
        "a%",
        "%a",
        "%a%",
        "a%b",
        "%ab%z%",
        "_",
        "_b%",
        "%_a",
        "a_%",
        "%",
        "",
        "abz",
        "%~%~%",
        "a%a",
        "%b_z%",
        "aaaaaaaaaaa%",
        "%a%b%z",
        "___",
        "%___%",
        "z%_",
    ] {
        for column in ["s", "w"] {
            check(&format!("{column} like '{pattern}'"), |r| {
                text(r, column).map(|t| i128::from(like(t.as_bytes(), pattern.as_bytes())))
            });
        }
        check(&format!("s not like '{pattern}'"), |r| {
            text(r, "s").map(|t| i128::from(!like(t.as_bytes(), pattern.as_bytes())))
        });
    }
    check("mixed like '%é%'", |r| text(r, "mixed").map(|t| i128::from(t.contains('é'))));
    check("mixed like 'b\\%\\_'", |r| text(r, "mixed").map(|t| i128::from(t == "b%_")));
    check("s ilike '%AB%'", |r| text(r, "s").map(|t| i128::from(t.contains("ab"))));
    check("starts_with(s, 'ab')", |r| text(r, "s").map(|t| i128::from(t.starts_with("ab"))));
}

#[test]
fn texts_are_cut_and_joined() {
    let part =
        |t: &str, from: usize, count: usize| t.chars().skip(from).take(count).collect::<String>();
    check_text("substring(s from 2 for 3)", |r| text(r, "s").map(|t| part(t, 1, 3)));
    check_text("substr(s, 3)", |r| text(r, "s").map(|t| part(t, 2, 99)));
    check_text("substring(s from 0 for 3)", |r| text(r, "s").map(|t| part(t, 0, 2)));
    check_text("substring(s from 20 for 3)", |r| text(r, "s").map(|_| String::new()));
    check_text("left(s, 2)", |r| text(r, "s").map(|t| part(t, 0, 2)));
    check_text("right(s, 2)", |r| text(r, "s").map(|t| part(t, t.len().saturating_sub(2), 2)));
    check_text("upper(s)", |r| text(r, "s").map(str::to_uppercase));
    check_text("lower(upper(w))", |r| text(r, "w").map(str::to_lowercase));
    check_text("s || w", |r| Some(format!("{}{}", text(r, "s")?, text(r, "w")?)));
    check_text("s || '-x'", |r| Some(format!("{}-x", text(r, "s")?)));
    check_text("'é' || mixed", |r| Some(format!("é{}", text(r, "mixed")?)));
    check_text("concat(s, '/', w)", |r| {
        Some(format!("{}/{}", text(r, "s").unwrap_or(""), text(r, "w")?))
    });
    check_text("trim(mixed)", |r| text(r, "mixed").map(|t| t.trim_matches(' ').to_owned()));
    check_text("ltrim(mixed)", |r| text(r, "mixed").map(|t| t.trim_start_matches(' ').to_owned()));
    check_text("rtrim(mixed)", |r| text(r, "mixed").map(|t| t.trim_end_matches(' ').to_owned()));
    check_text("case when f then 'yes' else s end", |r| {
        if get(r, "f") == Some(1) { Some("yes".into()) } else { text(r, "s").map(str::to_owned) }
    });
}

#[test]
fn texts_have_lengths_and_positions() {
    check("length(s)", |r| text(r, "s").map(|t| t.len() as i128));
    check("octet_length(mixed)", |r| text(r, "mixed").map(|t| t.len() as i128));
    check("position('b' in s)", |r| text(r, "s").map(|t| t.find('b').map_or(0, |i| i as i128 + 1)));
    check("strpos(s, 'za')", |r| text(r, "s").map(|t| t.find("za").map_or(0, |i| i as i128 + 1)));
    let table = table();
    let failures = |sql: &str| answer(sql, &table).unwrap().1;
    for sql in [
        "select length(mixed) from r",
        "select length(upper(mixed)) from r",
        "select id from r where substring(mixed from 2) = 'b'",
        "select id from r where mixed like '_'",
    ] {
        assert_eq!(failures(sql), [Failure::NotAscii], "{sql}");
    }
    assert_eq!(
        failures("select length(mixed) from r where octet_length(mixed) > 4"),
        [Failure::NotAscii]
    );
    assert_eq!(failures("select length(mixed) from r where not mixed like '%é%'"), []);
}

/// A result of one row and column as a floating point number.
fn double(sql: &str, table: &Table) -> Option<f64> {
    use trine_query::types::{NumberKind, Type};
    let tables = [table.clone()];
    let statement = compile(sql, &catalog(&tables), LogIndex(5), "me", 0).unwrap();
    let Type::Number { kind, .. } = &statement.plan.fields[0].ty else { panic!("{sql}") };
    let unit = match kind {
        NumberKind::Double { fraction_bits } => 2_f64.powi(*fraction_bits as i32),
        NumberKind::Decimal { scale, .. } => 10_f64.powi(i32::from(*scale)),
        _ => 1.0,
    };
    answer(sql, table).unwrap().0[0].map(|v| v as f64 / unit)
}

#[test]
fn statistics_are_close_to_the_real_ones() {
    let table = table();
    let rows = table.rows();
    let values = |name: &str, unit: f64| -> Vec<f64> {
        rows.iter().filter_map(|r| get(r, name)).map(|v| v as f64 / unit).collect()
    };
    let variance = |all: &[f64], over: f64| {
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / over
    };
    let close = |sql: &str, want: f64| {
        let got = double(sql, &table).unwrap();
        assert!((got - want).abs() <= want.abs() * 1e-9 + 1e-9, "{sql}: {got} and not {want}");
    };
    for (name, unit) in [("b", 1.0), ("p", 1.0), ("e", 1000.0)] {
        let all = values(name, unit);
        let n = all.len() as f64;
        close(&format!("select var_pop({name}) from r"), variance(&all, n));
        close(&format!("select var_samp({name}) from r"), variance(&all, n - 1.0));
        close(&format!("select stddev({name}) from r"), variance(&all, n - 1.0).sqrt());
        close(&format!("select stddev_pop({name}) from r"), variance(&all, n).sqrt());
    }
    let pairs: Vec<(f64, f64)> = rows
        .iter()
        .filter_map(|r| Some((get(r, "b")? as f64, get(r, "e")? as f64 / 1000.0)))
        .collect();
    let n = pairs.len() as f64;
    let means =
        (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
    let together: f64 = pairs.iter().map(|(x, y)| (x - means.0) * (y - means.1)).sum();
    close("select covar_pop(b, e) from r", together / n);
    close("select covar_samp(e, b) from r", together / (n - 1.0));
    let mut distinct = values("b", 1.0);
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    let mean = distinct.iter().sum::<f64>() / distinct.len() as f64;
    close("select avg(distinct b) from r", mean);
    close("select sqrt(max(p)) from r", values("p", 1.0).into_iter().fold(0.0, f64::max).sqrt());
    assert_eq!(double("select var_samp(b) from r where p > 100", &table), None);
    assert_eq!(double("select var_samp(b) from r where id < 0", &table), None);
    assert_eq!(double("select stddev_pop(p) from r where id = 77777", &table), None);
    let failures = answer("select sqrt(b) from r", &table).unwrap().1;
    assert_eq!(failures, [Failure::InvalidArgument]);
}

#[test]
fn sums_beyond_64_bits_are_exact() {
    let table = table();
    let total = |rows: &[Row]| rows.iter().filter_map(|r| get(r, "big")).sum::<i128>();
    let all = table.rows();
    assert_eq!(answer("select sum(big) from r", &table).unwrap().0, [Some(total(&all))]);
    let some: Vec<Row> = all.iter().filter(|r| get(r, "p") > Some(30)).cloned().collect();
    assert_eq!(
        answer("select sum(big) filter (where p > 30) from r", &table).unwrap().0,
        [Some(total(&some))]
    );
    let mut by_flag: Vec<Value> = [Some(0), Some(1), None]
        .map(|f| {
            let rows: Vec<Row> = all.iter().filter(|r| get(r, "f") == f).cloned().collect();
            rows.iter().any(|r| get(r, "big").is_some()).then(|| total(&rows))
        })
        .to_vec();
    by_flag.sort_unstable();
    let mut got = answer("select sum(big) from r group by f", &table).unwrap().0;
    got.sort_unstable();
    assert_eq!(got, by_flag);
}
