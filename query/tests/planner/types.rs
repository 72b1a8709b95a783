//! Result types and the public bounds behind them.

use crate::schema::{ANALYST, AT, SIGNED_AT_MS, catalog};
use trine_proto::status::sqlstate;
use trine_query::types::{NumberKind, Type};
use trine_query::{compile, sql_type};

/// Types of the result columns: (SQL name, low, high).
fn bounds(sql: &str) -> Vec<(String, i128, i128)> {
    let statement = compile(sql, &catalog(), AT, ANALYST, SIGNED_AT_MS).unwrap();
    let of = |ty: &Type| match ty {
        Type::Number { low, high, .. } => (sql_type(ty), *low, *high),
        other => (sql_type(other), 0, 0),
    };
    statement.plan.fields.iter().map(|f| of(&f.ty)).collect()
}

fn one(sql: &str) -> (String, i128, i128) {
    let mut all = bounds(sql);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn is(name: &str, low: i128, high: i128) -> (String, i128, i128) {
    (name.to_owned(), low, high)
}

#[test]
fn arithmetic_has_exact_bounds() {
    assert_eq!(one("select year + 1 from insurer"), is("BIGINT", 2, 6));
    assert_eq!(one("select year - coinsurance from insurer"), is("INT", -99, 5));
    assert_eq!(one("select year * coinsurance from insurer"), is("INT", 0, 500));
    assert_eq!(one("select -year from insurer"), is("INT", -5, -1));
    assert_eq!(one("select abs(year - 4) from insurer"), is("BIGINT", 0, 3));
    assert_eq!(one("select (year - 3) * (year - 3) from insurer"), is("BIGINT", -4, 4));
    assert_eq!(
        one("select case when year > 2 then 7 else plan end from insurer"),
        is("BIGINT", 1, 24)
    );
    assert_eq!(one("select coalesce(a, 0) from t1").1, i128::from(i32::MIN));
}

#[test]
fn integers_widen_with_their_bounds() {
    let low = i128::from(i32::MIN);
    assert_eq!(one("select a + b from t1"), is("BIGINT", 2 * low, -2 * low - 2));
    let square = one("select big * big from t");
    assert_eq!(square, is("DECIMAL(38,0)", i128::from(i64::MIN) * i128::from(i64::MAX), 1 << 126));
}

#[test]
fn decimals_keep_their_scale() {
    assert_eq!(
        one("select cost + cost from hospital"),
        is("DECIMAL(11,2)", -19_999_999_998, 19_999_999_998)
    );
    assert_eq!(one("select cost * cost from hospital").0, "DECIMAL(21,4)");
    assert_eq!(one("select cost + year from hospital").0, "DECIMAL(13,2)");
    assert_eq!(one("select cost * 1.5 from hospital").0, "DECIMAL(13,3)");
    assert_eq!(
        one("select cast(year as decimal(6, 2)) from hospital"),
        is("DECIMAL(6,2)", 100, 500)
    );
}

#[test]
fn aggregates_are_bounded_by_rows() {
    let (rows, cents) = (1_819, 9_999_999_999_i128);
    assert_eq!(one("select count(*) from hospital"), is("BIGINT", 0, rows));
    assert_eq!(one("select sum(year) from hospital"), is("BIGINT", 0, 5 * rows));
    assert_eq!(
        one("select sum(cost) from hospital"),
        is("DECIMAL(20,2)", -cents * rows, cents * rows)
    );
    assert_eq!(
        one("select avg(cost) from hospital"),
        is("DECIMAL(14,6)", -cents * 10_000, cents * 10_000)
    );
    assert_eq!(one("select avg(year) from hospital"), is("DOUBLE PRECISION", 1 << 40, 5 << 40));
    assert_eq!(one("select max(year) from hospital"), is("INT", 1, 5));
    assert_eq!(
        one("select sum(big) from t"),
        is("DECIMAL(38,0)", i128::from(i64::MIN) * 800, i128::from(i64::MAX) * 800)
    );
}

#[test]
fn set_operations_take_the_union_of_bounds() {
    assert_eq!(
        one("select year from hospital union all select coinsurance from insurer"),
        is("INT", 0, 100)
    );
    assert_eq!(
        one("select cost from hospital union all select 7"),
        is("DECIMAL(22,2)", -9_999_999_999, 9_999_999_999)
    );
}

#[test]
fn casts_have_the_bounds_of_their_type() {
    assert_eq!(one("select cast(n as smallint) from t"), is("SMALLINT", -32_768, 32_767));
    assert_eq!(
        one("select cast(price as decimal(6, 4)) from t"),
        is("DECIMAL(6,4)", -999_999, 999_999)
    );
    assert_eq!(one("select cast(price as int) from t"), is("INT", -100_000_000, 100_000_000));
}

#[test]
fn what_could_overflow_is_checked() {
    for sql in [
        "select big * big * n from t",
        "select sum(big * big) from t",
        "select avg(big * n) from t",
    ] {
        let statement = compile(sql, &catalog(), AT, ANALYST, SIGNED_AT_MS).unwrap();
        assert!(format!("{:?}", statement.plan).contains("OutOfRange"), "{sql}");
    }
    for sql in ["select -9223372036854775808 - 1", "select 3000000000 * 4000000000"] {
        let error = compile(sql, &catalog(), AT, ANALYST, SIGNED_AT_MS).unwrap_err();
        assert_eq!(error.sqlstate, sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "{sql}: {error}");
    }
}

#[test]
fn dictionaries_follow_the_expression() {
    let labels = |sql: &str| {
        let s = compile(sql, &catalog(), AT, ANALYST, SIGNED_AT_MS).unwrap();
        match &s.plan.fields[0].ty {
            Type::Number { kind: NumberKind::Enum { labels }, .. } => labels.join(" "),
            other => panic!("{sql}: {other:?}"),
        }
    };
    assert_eq!(labels("select hue from t"), "red green blue");
    assert_eq!(labels("select upper(hue) from t"), "BLUE GREEN RED");
    assert_eq!(
        labels("select case when n = 1 then hue else 'none' end from t"),
        "red green blue none"
    );
    assert_eq!(
        labels("select hue from t union all select mood from t"),
        "red green blue sad ok happy"
    );
    assert_eq!(labels("select coalesce(mood, hue) from t"), "sad ok happy red green blue");
}
