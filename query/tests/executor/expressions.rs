//! Scan, Filter, Project and every expression.

use crate::plans::*;
use crate::reference::{as_set, evaluate};
use crate::support::*;
use trine_mpc::Profile;
use trine_proto::schema::{ColumnType as T, Secrecy};
use trine_query::plan::{Compare, Expr, Field, Literal, Operator, Plan};
use trine_query::types::{NumberKind, Type};

const SIZES: [&[usize]; 5] = [&[], &[1], &[0, 3], &[64], &[70, 41]];

/// a, b: INT with NULLs and a narrow range; c: BIGINT; d: DECIMAL; f: BOOLEAN; s, u: VARCHAR; e: ENUM; day.
pub(crate) fn sample(sizes: &[usize], seed: u64) -> Table {
    let labels = ["red", "green", "blue"].map(String::from).to_vec();
    let mut day = ranged("day", T::Date, false, (0, 20));
    day.secrecy = Secrecy::Public;
    random_table(
        1,
        vec![
            column("a", T::Int, true),
            ranged("b", T::Int, false, (-3, 4)),
            column("c", T::BigInt, false),
            column("d", T::Decimal { precision: 7, scale: 2 }, true),
            column("f", T::Boolean, true),
            column("s", T::Varchar { bytes_max: 3 }, true),
            column("u", T::Varchar { bytes_max: 1 }, false),
            column("e", T::Enum { labels }, true),
            day,
        ],
        sizes,
        seed,
    )
}

fn check(plan: &Plan, table: &Table) {
    for profile in [Profile::LOCAL, Profile::WIDE] {
        let got = as_set(run_plan(plan, &[table], profile));
        assert_eq!(got, as_set(evaluate(plan, &[table])), "{plan:?}");
    }
}

fn check_exprs(make: impl Fn(&Plan) -> Vec<Expr>) {
    for (seed, sizes) in SIZES.iter().enumerate() {
        let table = sample(sizes, seed as u64);
        let scan = table.scan();
        let exprs = make(&scan);
        check(&reveal(project(scan, exprs)), &table);
    }
}

#[test]
fn a_scan_gives_back_the_rows() {
    for (seed, sizes) in SIZES.iter().enumerate() {
        let table = sample(sizes, 100 + seed as u64);
        check(&reveal(table.scan()), &table);
    }
}

#[test]
fn a_predicate_keeps_rows_where_it_is_true() {
    for (seed, sizes) in SIZES.iter().enumerate() {
        let table = sample(sizes, 200 + seed as u64);
        let scan = table.scan();
        let predicate = or(vec![
            and(vec![
                compare(Compare::Gt, col(&scan, 0), num(-1)),
                col(&scan, 4),
                not(compare(Compare::Eq, col(&scan, 5), text(b"a"))),
            ]),
            is_null(col(&scan, 3)),
        ]);
        let both = and(vec![predicate, compare(Compare::Le, col(&scan, 1), num(2))]);
        check(&reveal(filter(scan, both)), &table);
    }
}

#[test]
fn comparisons_with_constants_inside_at_and_beyond_the_bounds() {
    use Compare::{Eq, Ge, Gt, Le, Lt, Ne};
    check_exprs(|scan| {
        let mut out = Vec::new();
        for op in [Eq, Ne, Lt, Le, Gt, Ge] {
            for v in [-4, -3, -1, 4, 5] {
                out.push(compare(op, col(scan, 1), num(v)));
            }
            out.push(compare(op, num(2), col(scan, 0)));
            out.push(compare(op, col(scan, 2), num(i128::from(i64::MAX))));
            out.push(compare(op, col(scan, 0), null_of(number(0, 1))));
            for t in [&b""[..], b"a", b"ab", b"abz", b"abza", b"\xff\xff\xff"] {
                out.push(compare(op, col(scan, 5), text(t)));
            }
        }
        out
    });
}

#[test]
fn comparisons_of_columns_of_different_bounds_and_lengths() {
    use Compare::{Eq, Ge, Gt, Le, Lt, Ne};
    check_exprs(|scan| {
        let mut out = Vec::new();
        for op in [Eq, Ne, Lt, Le, Gt, Ge] {
            out.push(compare(op, col(scan, 0), col(scan, 1)));
            out.push(compare(op, col(scan, 1), col(scan, 8)));
            out.push(compare(op, col(scan, 5), col(scan, 6)));
            out.push(compare(op, col(scan, 4), is_null(col(scan, 0))));
            out.push(compare(op, add(col(scan, 0), col(scan, 1)), col(scan, 2)));
        }
        out
    });
}

#[test]
fn three_valued_logic() {
    check_exprs(|scan| {
        let a = || col(scan, 4);
        let b = || compare(Compare::Gt, col(scan, 0), num(0));
        let c = || compare(Compare::Lt, col(scan, 1), num(1));
        vec![
            and(vec![a(), b()]),
            or(vec![a(), b()]),
            and(vec![a(), b(), c()]),
            or(vec![c(), a(), b()]),
            and(vec![c(), c()]),
            or(vec![c(), not(c())]),
            not(a()),
            not(and(vec![a(), not(b())])),
            is_null(and(vec![a(), b()])),
            and(vec![a(), null_of(Type::Boolean)]),
        ]
    });
}

#[test]
fn arithmetic_within_and_beyond_64_bits() {
    check_exprs(|scan| {
        let c = || col(scan, 2);
        vec![
            add(col(scan, 0), col(scan, 1)),
            subtract(col(scan, 0), col(scan, 3)),
            add(c(), c()),
            subtract(c(), col(scan, 0)),
            multiply(c(), col(scan, 0)),
            multiply(col(scan, 0), col(scan, 1)),
            multiply(col(scan, 1), num(-7)),
            add(col(scan, 0), num(5)),
            subtract(col(scan, 8), num(3)),
            subtract(num(10), col(scan, 1)),
            add(num(10), col(scan, 8)),
            add(col(scan, 0), null_of(number(0, 0))),
            scale(col(scan, 3), 100),
            scale(c(), 10_000),
            absolute(col(scan, 0)),
            absolute(col(scan, 1)),
            absolute(col(scan, 8)),
            absolute(subtract(c(), num(9))),
            absolute(add(c(), col(scan, 0))),
        ]
    });
}

#[test]
fn case_in_planes_and_in_arithmetic() {
    check_exprs(|scan| {
        let yes = || compare(Compare::Gt, col(scan, 0), num(0));
        let flag = || col(scan, 4);
        let wide = || multiply(col(scan, 0), col(scan, 1));
        vec![
            case(vec![(yes(), num(1))], num(0)),
            case(vec![(yes(), num(3)), (flag(), num(-2))], null_of(number(0, 0))),
            case(vec![(flag(), col(scan, 0)), (yes(), col(scan, 1))], num(9)),
            case(vec![(yes(), wide()), (flag(), num(4))], num(0)),
            add(case(vec![(yes(), col(scan, 0))], num(0)), num(1)),
            add(case(vec![(flag(), wide())], col(scan, 1)), num(1)),
            case(vec![(flag(), col(scan, 5)), (yes(), text(b"ab"))], col(scan, 6)),
            case(vec![(yes(), flag())], null_of(Type::Boolean)),
            case(vec![(yes(), null_of(number(0, 0)))], col(scan, 3)),
        ]
    });
}

#[test]
fn look_ups_and_retyping() {
    check_exprs(|scan| {
        let truth = |b: bool| Literal::Boolean(b);
        let words = [&b"r"[..], b"longer", b""].map(|w| Literal::Text(w.to_vec())).to_vec();
        let numbers = (0..8).map(|v| Literal::Number((v * v) % 5 - 1)).collect();
        vec![
            lookup(col(scan, 7), vec![truth(true), truth(false), truth(true)], Type::Boolean),
            lookup(col(scan, 7), vec![truth(true); 3], Type::Boolean),
            lookup(col(scan, 7), words, Type::Text { bytes: 6 }),
            lookup(
                col(scan, 7),
                vec![Literal::Number(5), Literal::Null, Literal::Number(-5)],
                number(-5, 5),
            ),
            lookup(col(scan, 1), numbers, number(-1, 3)),
            retype(col(scan, 1), number(-100, 1 << 70)),
            retype(col(scan, 0), number(i128::from(i32::MIN), 1 << 40)),
            retype(add(col(scan, 0), col(scan, 1)), number(-(1 << 70), 1 << 70)),
            retype(col(scan, 6), Type::Text { bytes: 4 }),
            retype(num(4), number(0, 9)),
        ]
    });
}

#[test]
fn rows_from_nowhere() {
    let table = sample(&[2], 1);
    let field = |ty: Type, nullable| Field { name: "v".into(), ty, nullable };
    let fields = vec![
        field(number(-4, 9), true),
        field(Type::Text { bytes: 2 }, false),
        field(Type::Number { kind: NumberKind::Date, low: 0, high: 3 }, false),
    ];
    let row = |a: Literal, b: &[u8], c| vec![a, Literal::Text(b.to_vec()), Literal::Number(c)];
    for rows in [
        vec![],
        vec![row(Literal::Number(-4), b"x", 3)],
        vec![row(Literal::Null, b"", 0), row(Literal::Number(9), b"zz", 1)],
    ] {
        let values =
            Plan { rows: rows.len() as u64, fields: fields.clone(), op: Operator::Values(rows) };
        check(&reveal(values), &table);
    }
    let nothing = Plan { rows: 1, fields: vec![], op: Operator::Values(vec![vec![]]) };
    check(&reveal(project(nothing, vec![num(42), null_of(Type::Boolean)])), &table);
}

/// The third column of the parts below.
fn expr_of_flag() -> Expr {
    let kind = trine_query::plan::ExprKind::Column(2);
    Expr { kind, ty: Type::Boolean, nullable: true }
}

#[test]
fn a_union_widens() {
    for (seed, sizes) in SIZES.iter().enumerate() {
        let table = sample(sizes, 300 + seed as u64);
        let scan = table.scan();
        let part = |exprs: Vec<Expr>| project(scan.clone(), exprs);
        let parts = vec![
            part(vec![col(&scan, 1), col(&scan, 6), col(&scan, 4)]),
            part(vec![col(&scan, 0), col(&scan, 5), is_null(col(&scan, 0))]),
            filter(
                part(vec![multiply(col(&scan, 0), col(&scan, 2)), text(b"q"), col(&scan, 4)]),
                not(is_null(expr_of_flag())),
            ),
        ];
        let fields = (0..3)
            .map(|i| Field {
                name: "u".into(),
                ty: parts
                    .iter()
                    .map(|p| p.fields[i].ty.clone())
                    .reduce(|a, b| union_type(&a, &b))
                    .unwrap(),
                nullable: parts.iter().any(|p| p.fields[i].nullable),
            })
            .collect();
        let rows = parts.iter().map(|p| p.rows).sum();
        let union = Plan { rows, fields, op: Operator::UnionAll(parts) };
        let doubled = project(union.clone(), vec![add(col(&union, 0), num(1))]);
        check(&reveal(union), &table);
        check(&reveal(doubled), &table);
    }
}
