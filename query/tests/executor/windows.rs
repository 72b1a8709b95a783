//! Window functions: every function over every kind of frame, and what it means row by row.

use crate::plans::*;
use crate::reference::{as_set, eval, sort, total};
use crate::support::*;
use trine_mpc::Profile;
use trine_proto::schema::ColumnType as T;
use trine_query::plan::{
    Bound, Expr, Field, Frame, Function, Literal, Operator, Plan, SortKey, Which, WindowFunction,
    WindowKind,
};
use trine_query::types::Type;

/// Rows with a value for each function behind them, partition by partition in order.
pub(crate) fn evaluate(
    mut rows: Vec<Row>,
    partition: &[Expr],
    order: &[SortKey],
    functions: &[WindowFunction],
) -> Vec<Row> {
    sort(&mut rows, order);
    let mut parts: Vec<(Row, Vec<Row>)> = Vec::new();
    for row in rows {
        let key: Row = partition.iter().map(|p| eval(p, &row)).collect();
        match parts.iter_mut().find(|(k, _)| *k == key) {
            Some((_, members)) => members.push(row),
            None => parts.push((key, vec![row])),
        }
    }
    parts.iter().flat_map(|(_, rows)| one_partition(rows, order, functions)).collect()
}

fn one_partition(rows: &[Row], order: &[SortKey], functions: &[WindowFunction]) -> Vec<Row> {
    let keys: Vec<Row> =
        rows.iter().map(|r| order.iter().map(|k| eval(&k.expr, r)).collect()).collect();
    let value = |i: usize, f: &WindowFunction| match &f.kind {
        WindowKind::RowNumber => Literal::Number(i as i128 + 1),
        WindowKind::Rank => {
            Literal::Number(keys.iter().position(|k| *k == keys[i]).unwrap() as i128 + 1)
        }
        WindowKind::DenseRank => {
            let mut seen: Vec<&Row> = keys[..=i].iter().collect();
            seen.dedup();
            Literal::Number(seen.len() as i128)
        }
        WindowKind::Ntile(n) => {
            let (n, count) = (*n as usize, rows.len());
            let (each, rest) = (count / n, count % n);
            let long = rest * (each + 1);
            let bucket = if i < long { i / (each + 1) } else { rest + (i - long) / each.max(1) };
            Literal::Number(bucket as i128 + 1)
        }
        WindowKind::Shift { value, back, default } => {
            let other = i as i64 - back;
            if (0..rows.len() as i64).contains(&other) {
                eval(value, &rows[other as usize])
            } else {
                default.as_ref().map_or(Literal::Null, |d| eval(d, &rows[i]))
            }
        }
        WindowKind::Value { value, which, frame } => {
            let frame = framed(i, &keys, *frame);
            let row = match which {
                Which::First => frame.first(),
                Which::Last => frame.last(),
                Which::Nth(n) => frame.get(*n as usize - 1),
            };
            row.map_or(Literal::Null, |r| eval(value, &rows[*r]))
        }
        WindowKind::Aggregate { aggregate, frame } => {
            let inside: Vec<Row> =
                framed(i, &keys, *frame).into_iter().map(|r| rows[r].clone()).collect();
            total(aggregate, &inside)
        }
    };
    let all =
        |i: usize| rows[i].iter().cloned().chain(functions.iter().map(|f| value(i, f))).collect();
    (0..rows.len()).map(all).collect()
}

fn framed(i: usize, keys: &[Row], frame: Frame) -> Vec<usize> {
    let n = keys.len() as i64;
    let start = match frame.start {
        Bound::Unbounded => 0,
        Bound::Rows(k) => i as i64 + k,
        Bound::Peers => keys.iter().position(|k| *k == keys[i]).unwrap() as i64,
    };
    let end = match frame.end {
        Bound::Unbounded => n - 1,
        Bound::Rows(k) => i as i64 + k,
        Bound::Peers => keys.iter().rposition(|k| *k == keys[i]).unwrap() as i64,
    };
    (start.max(0)..=end.min(n - 1)).map(|r| r as usize).collect()
}

/// Columns: unique number, group with NULLs, ties, values.
fn table(size: usize, seed: u64) -> Table {
    let columns = vec![
        ranged("id", T::Int, false, (0, 1000)),
        ranged("g", T::Int, true, (0, 2)),
        ranged("o", T::Int, true, (-1, 3)),
        column("v", T::Decimal { precision: 9, scale: 2 }, true),
        column("t", T::Varchar { bytes_max: 2 }, true),
        column("f", T::Boolean, true),
    ];
    let mut table = random_table(1, columns, &[size], seed);
    for (index, row) in table.segments[0].1.iter_mut().enumerate() {
        row[0] = Literal::Number((index as i128 * 37) % 1000);
    }
    table
}

fn window(
    input: Plan,
    partition: Vec<Expr>,
    order: Vec<SortKey>,
    functions: Vec<WindowFunction>,
) -> Plan {
    let mut fields = input.fields.clone();
    fields.extend(functions.iter().map(|f| Field {
        name: "w".into(),
        ty: f.ty.clone(),
        nullable: f.nullable,
    }));
    let rows = input.rows;
    let op = Operator::Window { input: Box::new(input), partition, order, functions };
    Plan { op, fields, rows }
}

fn key(expr: Expr, descending: bool) -> SortKey {
    SortKey { expr, descending, nulls_first: descending }
}

fn counted(kind: WindowKind, rows: u64) -> WindowFunction {
    WindowFunction { kind, ty: number(1, rows.max(1) as i128), nullable: false }
}

fn over(frame: Frame, function: Function, argument: Option<Expr>, rows: u64) -> WindowFunction {
    let a = aggregate(function, argument, rows, true);
    let (ty, nullable) = (a.ty.clone(), a.nullable);
    WindowFunction { kind: WindowKind::Aggregate { aggregate: a, frame }, ty, nullable }
}

const FRAMES: [(Bound, Bound); 10] = [
    (Bound::Unbounded, Bound::Peers),
    (Bound::Unbounded, Bound::Unbounded),
    (Bound::Peers, Bound::Peers),
    (Bound::Peers, Bound::Unbounded),
    (Bound::Unbounded, Bound::Rows(0)),
    (Bound::Rows(0), Bound::Unbounded),
    (Bound::Rows(-3), Bound::Rows(2)),
    (Bound::Rows(-4), Bound::Rows(0)),
    (Bound::Unbounded, Bound::Rows(2)),
    (Bound::Rows(-100), Bound::Rows(1)),
];

/// Checks functions over all rows and over filtered ones, with and without partitions. `tied`: the
/// order leaves ties.
fn check(tied: bool, functions: impl Fn(&Plan) -> Vec<WindowFunction>) {
    for (index, size) in [0, 1, 2, 23, 70].into_iter().enumerate() {
        let table = table(size, 70 + index as u64);
        let scan = table.scan();
        let kept = filter(scan.clone(), not(is_null(col(&scan, 3))));
        for input in [scan, kept] {
            for partition in [vec![], vec![col(&input, 1)]] {
                let mut order = vec![key(col(&input, 2), true)];
                if !tied {
                    order.push(key(col(&input, 0), false));
                }
                let functions = functions(&input);
                let plan = reveal(window(input.clone(), partition, order, functions));
                let got = as_set(run_plan(&plan, &[&table], Profile::LOCAL));
                let expected = as_set(crate::reference::evaluate(&plan, &[&table]));
                assert_eq!(got, expected, "{size} rows");
            }
        }
    }
}

#[test]
fn numbers_of_rows() {
    check(false, |p| {
        vec![
            counted(WindowKind::RowNumber, p.rows),
            counted(WindowKind::Rank, p.rows),
            counted(WindowKind::DenseRank, p.rows),
            counted(WindowKind::Ntile(4), 4),
        ]
    });
    check(true, |p| {
        vec![counted(WindowKind::Rank, p.rows), counted(WindowKind::DenseRank, p.rows)]
    });
}

#[test]
fn values_of_other_rows() {
    check(false, |p| {
        let shift = |value: Expr, back, default: Option<Expr>| WindowFunction {
            ty: value.ty.clone(),
            nullable: true,
            kind: WindowKind::Shift { value, back, default },
        };
        vec![
            shift(col(p, 3), 1, None),
            shift(col(p, 4), -1, None),
            shift(col(p, 0), 3, Some(col(p, 0))),
            shift(col(p, 3), -5, Some(col(p, 3))),
            shift(col(p, 5), 0, None),
        ]
    });
}

#[test]
fn values_of_the_frame() {
    for which in [Which::First, Which::Last, Which::Nth(3)] {
        check(false, |p| {
            let one = |(start, end): (Bound, Bound), value: Expr| WindowFunction {
                ty: value.ty.clone(),
                nullable: true,
                kind: WindowKind::Value { value, which, frame: Frame { start, end } },
            };
            let movable =
                |f: &&(Bound, Bound)| which != Which::Nth(3) || !matches!(f.0, Bound::Rows(_));
            let frames: Vec<_> = FRAMES.iter().filter(movable).collect();
            let of = |c: usize| frames.iter().map(move |f| one(**f, col(p, c)));
            of(3).chain(of(4)).collect()
        });
    }
}

#[test]
fn aggregates_over_frames() {
    let empty = [(Bound::Rows(2), Bound::Rows(4)), (Bound::Rows(-4), Bound::Rows(-2))];
    check(false, |p| {
        FRAMES
            .iter()
            .chain(&empty)
            .flat_map(|(start, end)| {
                let frame = Frame { start: *start, end: *end };
                [
                    over(frame, Function::CountStar, None, p.rows),
                    over(frame, Function::Count, Some(col(p, 3)), p.rows),
                    over(frame, Function::Sum, Some(col(p, 3)), p.rows),
                ]
            })
            .collect()
    });
    check(true, |p| {
        let frame = Frame { start: Bound::Unbounded, end: Bound::Peers };
        let whole = Frame { start: Bound::Unbounded, end: Bound::Unbounded };
        let quantified = |function, frame| WindowFunction {
            kind: WindowKind::Aggregate {
                aggregate: trine_query::plan::Aggregate {
                    function,
                    argument: Some(col(p, 5)),
                    filter: Some(not(is_null(col(p, 1)))),
                    distinct: false,
                    ty: Type::Boolean,
                    nullable: true,
                },
                frame,
            },
            ty: Type::Boolean,
            nullable: true,
        };
        vec![
            over(frame, Function::Sum, Some(col(p, 0)), p.rows),
            over(frame, Function::Avg, Some(col(p, 0)), p.rows),
            over(whole, Function::Avg, Some(col(p, 3)), p.rows),
            quantified(Function::BoolAnd, frame),
            quantified(Function::BoolOr, whole),
        ]
    });
}

#[test]
fn extremes_over_frames() {
    check(false, |p| {
        FRAMES
            .iter()
            .flat_map(|(start, end)| {
                let frame = Frame { start: *start, end: *end };
                [
                    over(frame, Function::Min, Some(col(p, 3)), p.rows),
                    over(frame, Function::Max, Some(col(p, 4)), p.rows),
                ]
            })
            .collect()
    });
}
