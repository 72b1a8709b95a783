//! Plans over plain rows: the meaning of every operator, with nothing oblivious about it.

use crate::support::{Row, Table};
use std::cmp::Ordering;
use trine_query::plan::{
    Aggregate, Compare, Expr, ExprKind, Function, JoinKind, Literal, Operator, Plan, Rounding,
    SortKey,
};
use trine_query::types::{NumberKind, Type};

pub(crate) fn order(a: &Literal, b: &Literal) -> Ordering {
    match (a, b) {
        (Literal::Boolean(a), Literal::Boolean(b)) => a.cmp(b),
        (Literal::Number(a), Literal::Number(b)) => a.cmp(b),
        (Literal::Text(a), Literal::Text(b)) => a.cmp(b),
        (Literal::Null, Literal::Null) => Ordering::Equal,
        (Literal::Null, _) => Ordering::Less,
        (_, Literal::Null) => Ordering::Greater,
        _ => panic!("values of two types"),
    }
}

pub(crate) fn order_rows(a: &Row, b: &Row) -> Ordering {
    a.iter().zip(b).map(|(a, b)| order(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

fn truth(v: &Literal) -> Option<bool> {
    match v {
        Literal::Boolean(b) => Some(*b),
        Literal::Null => None,
        _ => panic!("no truth value"),
    }
}

fn from_truth(v: Option<bool>) -> Literal {
    v.map_or(Literal::Null, Literal::Boolean)
}

fn numbers(x: &Literal, y: &Literal, f: impl Fn(i128, i128) -> i128) -> Literal {
    match (x, y) {
        (Literal::Number(x), Literal::Number(y)) => Literal::Number(f(*x, *y)),
        _ => Literal::Null,
    }
}

pub(crate) fn eval(expr: &Expr, row: &Row) -> Literal {
    let go = |e: &Expr| eval(e, row);
    match &expr.kind {
        ExprKind::Column(i) => row[*i].clone(),
        ExprKind::Literal(l) => l.clone(),
        ExprKind::Not(x) => from_truth(truth(&go(x)).map(|b| !b)),
        ExprKind::And(all) => {
            let all: Vec<_> = all.iter().map(|e| truth(&go(e))).collect();
            from_truth(if all.contains(&Some(false)) {
                Some(false)
            } else if all.contains(&None) {
                None
            } else {
                Some(true)
            })
        }
        ExprKind::Or(all) => {
            let all: Vec<_> = all.iter().map(|e| truth(&go(e))).collect();
            from_truth(if all.contains(&Some(true)) {
                Some(true)
            } else if all.contains(&None) {
                None
            } else {
                Some(false)
            })
        }
        ExprKind::Compare { op, left, right } => {
            let (x, y) = (go(left), go(right));
            if x == Literal::Null || y == Literal::Null {
                return Literal::Null;
            }
            let o = order(&x, &y);
            Literal::Boolean(match op {
                Compare::Eq => o.is_eq(),
                Compare::Ne => o.is_ne(),
                Compare::Lt => o.is_lt(),
                Compare::Le => o.is_le(),
                Compare::Gt => o.is_gt(),
                Compare::Ge => o.is_ge(),
            })
        }
        ExprKind::IsNull(x) => Literal::Boolean(go(x) == Literal::Null),
        ExprKind::Add(x, y) => numbers(&go(x), &go(y), |x, y| x + y),
        ExprKind::Subtract(x, y) => numbers(&go(x), &go(y), |x, y| x - y),
        ExprKind::Multiply(x, y) => numbers(&go(x), &go(y), |x, y| x * y),
        ExprKind::Scale(x, f) => numbers(&go(x), &Literal::Number(*f), |x, f| x * f),
        ExprKind::Absolute(x) => numbers(&go(x), &Literal::Number(0), |x, _| x.abs()),
        ExprKind::Case { branches, otherwise } => {
            let hit = branches.iter().find(|(c, _)| truth(&go(c)) == Some(true));
            go(hit.map_or(otherwise, |(_, v)| v))
        }
        ExprKind::Lookup { argument, table } => match (go(argument), &argument.ty) {
            (Literal::Number(v), Type::Number { low, .. }) => table[(v - low) as usize].clone(),
            _ => Literal::Null,
        },
        ExprKind::Retype(x) => go(x),
        ExprKind::Divide { left, right, fraction_bits, rounding } => {
            let (bits, rounding) = (*fraction_bits, *rounding);
            numbers(
                &go(left),
                &go(right),
                |x, y| {
                    if y == 0 { 0 } else { rounding.divide(x << bits, y) }
                },
            )
        }
        ExprKind::Modulo(x, y) => numbers(&go(x), &go(y), |x, y| if y == 0 { 0 } else { x % y }),
        ExprKind::DivideBy { argument, divisor, rounding } => {
            numbers(&go(argument), &Literal::Number(*divisor), |x, d| rounding.divide(x, d))
        }
        ExprKind::SquareRoot { argument, fraction_bits } => {
            numbers(&go(argument), &Literal::Number(0), |x, _| (x << fraction_bits).isqrt())
        }
        ExprKind::Steps { argument, thresholds, values } => match go(argument) {
            Literal::Number(v) => values[thresholds.iter().filter(|t| **t <= v).count()].clone(),
            _ => Literal::Null,
        },
        ExprKind::Check { value, .. } => go(value),
        ExprKind::Let { value, body } => {
            let inner: Row = row.iter().cloned().chain([go(value)]).collect();
            eval(body, &inner)
        }
        ExprKind::Bound(depth) => row[row.len() - 1 - depth].clone(),
        ExprKind::Text { .. } => panic!("texts are compared in SQL"),
    }
}

fn is_true(e: &Expr, row: &Row) -> bool {
    truth(&eval(e, row)) == Some(true)
}

pub(crate) fn total(a: &Aggregate, rows: &[Row]) -> Literal {
    let rows = rows.iter().filter(|r| a.filter.as_ref().is_none_or(|f| is_true(f, r)));
    let Some(argument) = &a.argument else {
        return Literal::Number(rows.count() as i128);
    };
    let mut values: Vec<Literal> =
        rows.map(|r| eval(argument, r)).filter(|v| *v != Literal::Null).collect();
    values.sort_by(order);
    if a.distinct {
        values.dedup();
    }
    let count = values.len() as i128;
    if a.function == Function::Count {
        return Literal::Number(count);
    }
    if values.is_empty() {
        return Literal::Null;
    }
    let sum = || -> i128 {
        values
            .iter()
            .map(|v| if let Literal::Number(v) = v { *v } else { panic!("no number") })
            .sum()
    };
    match a.function {
        Function::Sum => Literal::Number(sum()),
        Function::Avg => match &a.ty {
            Type::Number { kind: NumberKind::Double { fraction_bits }, .. } => {
                Literal::Number((sum() << fraction_bits) / count)
            }
            _ => Literal::Number(Rounding::Nearest.divide(sum() * 10_000, count)),
        },
        Function::Min => values[0].clone(),
        Function::Max => values[values.len() - 1].clone(),
        Function::BoolAnd => Literal::Boolean(!values.contains(&Literal::Boolean(false))),
        Function::BoolOr => Literal::Boolean(values.contains(&Literal::Boolean(true))),
        Function::CountStar | Function::Count => unreachable!(),
    }
}

fn grouped(rows: Vec<Row>, keys: &[Expr], aggregates: &[Aggregate]) -> Vec<Row> {
    let mut groups: Vec<(Row, Vec<Row>)> = Vec::new();
    for row in rows {
        let key: Row = keys.iter().map(|k| eval(k, &row)).collect();
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, members)) => members.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    groups
        .into_iter()
        .map(|(key, members)| {
            key.into_iter().chain(aggregates.iter().map(|a| total(a, &members))).collect()
        })
        .collect()
}

/// ORDER BY, stable.
pub(crate) fn sort(rows: &mut [Row], keys: &[SortKey]) {
    rows.sort_by(|a, b| {
        for key in keys {
            let (x, y) = (eval(&key.expr, a), eval(&key.expr, b));
            let nulls = (x == Literal::Null, y == Literal::Null);
            let o = match nulls {
                (true, true) => Ordering::Equal,
                (true, false) if key.nulls_first => Ordering::Less,
                (true, false) => Ordering::Greater,
                (false, true) if key.nulls_first => Ordering::Greater,
                (false, true) => Ordering::Less,
                _ if key.descending => order(&y, &x),
                _ => order(&x, &y),
            };
            if o.is_ne() {
                return o;
            }
        }
        Ordering::Equal
    });
}

/// Rows that exist.
pub(crate) fn evaluate(plan: &Plan, tables: &[&Table]) -> Vec<Row> {
    let go = |p: &Plan| evaluate(p, tables);
    match &plan.op {
        Operator::Scan { table, columns, .. } => {
            let table = tables.iter().find(|t| t.id == *table).unwrap();
            let pick = |row: Row| columns.iter().map(|&c| row[c].clone()).collect();
            table.rows().into_iter().map(pick).collect()
        }
        Operator::Values(rows) => rows.clone(),
        Operator::Filter { input, predicate } => {
            go(input).into_iter().filter(|r| is_true(predicate, r)).collect()
        }
        Operator::Project { input, exprs } => {
            go(input).iter().map(|r| exprs.iter().map(|e| eval(e, r)).collect()).collect()
        }
        Operator::UnionAll(inputs) => inputs.iter().flat_map(go).collect(),
        Operator::ScalarAggregate { input, aggregates } => {
            let rows = go(input);
            vec![aggregates.iter().map(|a| total(a, &rows)).collect()]
        }
        Operator::SmallDomainAggregate { input, keys, aggregates }
        | Operator::SortAggregate { input, keys, aggregates, .. } => {
            grouped(go(input), keys, aggregates)
        }
        Operator::UniqueKeyJoin {
            kind, many, unique, many_keys, unique_keys, residual, ..
        } => {
            let (left, right) = (go(many), go(unique));
            let nothing: Row = vec![Literal::Null; unique.fields.len()];
            let mut out = Vec::new();
            for row in left {
                let key: Row = many_keys.iter().map(|k| eval(k, &row)).collect();
                let hit = right.iter().find(|other| {
                    let theirs: Row = unique_keys.iter().map(|k| eval(k, other)).collect();
                    let both: Row = row.iter().chain(*other).cloned().collect();
                    !key.contains(&Literal::Null)
                        && key == theirs
                        && residual.as_ref().is_none_or(|r| is_true(r, &both))
                });
                let join = |other: &Row| row.iter().chain(other).cloned().collect();
                match (kind, hit) {
                    (JoinKind::Inner | JoinKind::Left, Some(other)) => out.push(join(other)),
                    (JoinKind::Left, None) => out.push(join(&nothing)),
                    (JoinKind::Semi, Some(_)) | (JoinKind::Anti, None) => out.push(row),
                    _ => {}
                }
            }
            out
        }
        Operator::OneRowJoin { input, one } => {
            let one_row = go(one).pop().unwrap_or_else(|| vec![Literal::Null; one.fields.len()]);
            go(input).iter().map(|r| r.iter().chain(&one_row).cloned().collect()).collect()
        }
        Operator::CrossJoin { left, right } => {
            let left = go(left);
            let beside = |r: &Row| -> Vec<Row> {
                left.iter().map(|l| l.iter().chain(r).cloned().collect()).collect()
            };
            go(right).iter().flat_map(beside).collect()
        }
        Operator::PairAggregate { left, right, condition, aggregates } => {
            let right = go(right);
            let one = |l: Row| {
                let pairs: Vec<Row> = right
                    .iter()
                    .map(|r| l.iter().chain(r).cloned().collect::<Row>())
                    .filter(|p| condition.as_ref().is_none_or(|c| is_true(c, p)))
                    .collect();
                l.into_iter().chain(aggregates.iter().map(|a| total(a, &pairs))).collect()
            };
            go(left).into_iter().map(one).collect()
        }
        Operator::Window { input, partition, order, functions } => {
            crate::windows::evaluate(go(input), partition, order, functions)
        }
        Operator::Again { .. } => panic!("plans by hand share nothing"),
        Operator::Public { .. }
        | Operator::PublicFilter { .. }
        | Operator::PublicColumns { .. }
        | Operator::PublicAggregate { .. }
        | Operator::PublicJoin { .. } => panic!("plans by hand look at no PUBLIC data"),
        Operator::Sort { input, keys } => {
            let mut rows = go(input);
            sort(&mut rows, keys);
            rows
        }
        Operator::Limit { input, skip, fetch } => {
            let fetch = fetch.map_or(usize::MAX, |f| f as usize);
            go(input).into_iter().skip(*skip as usize).take(fetch).collect()
        }
        Operator::Reveal { input, .. } => go(input),
    }
}

pub(crate) fn as_set(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(order_rows);
    rows
}
