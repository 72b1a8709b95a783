//! Joins with a unique side, and with a single row.

use crate::plans::*;
use crate::reference::{as_set, evaluate};
use crate::support::*;
use trine_mpc::Profile;
use trine_proto::ids::{SegmentId, TableId};
use trine_proto::schema::{ColumnType as T, TableSchema};
use trine_query::plan::{
    Compare, Expr, Field, Function, JoinKind, JoinMethod, Literal, Operator, Plan,
};

fn check(plan: &Plan, tables: &[&Table]) {
    for profile in [Profile::LOCAL, Profile::WIDE] {
        let got = as_set(run_plan(plan, tables, profile));
        assert_eq!(got, as_set(evaluate(plan, tables)), "{plan:?}");
    }
}

#[test]
fn a_group_by_of_the_key_needs_no_sort() {
    for (index, (n, m)) in SIZES.into_iter().enumerate() {
        let (left, right) = (many(n, 700 + index as u64), unique(m, 800 + index as u64));
        let (l, r) = (left.scan(), right.scan());
        let l = filter(l.clone(), compare(Compare::Lt, col(&l, 2), num(1_000)));
        let mut both =
            join(JoinKind::Inner, l.clone(), r.clone(), vec![(col(&l, 0), col(&r, 0))], None);
        if let Operator::UniqueKeyJoin { method, .. } = &mut both.op {
            *method = JoinMethod::Merge;
        }
        both.rows = l.rows + r.rows;
        let sum = aggregate(Function::Sum, Some(col(&both, 5)), both.rows, true);
        let count = aggregate(Function::Count, Some(col(&both, 2)), both.rows, false);
        for key in [0, 3] {
            let keys = vec![col(&both, key), col(&both, 4)];
            let mut plan = sort_aggregate(both.clone(), keys, vec![sum.clone(), count.clone()]);
            if let Operator::SortAggregate { presorted, determined, .. } = &mut plan.op {
                (*presorted, *determined) = (true, 1);
            }
            check(&reveal(plan), &[&left, &right]);
        }
    }
}

/// The same by sorting and by looking up.
fn check_join(join: Plan, tables: &[&Table]) {
    check(&reveal(join.clone()), tables);
    let mut looked_up = join;
    if let Operator::UniqueKeyJoin { method, .. } = &mut looked_up.op {
        *method = JoinMethod::Lookup;
    }
    check(&reveal(looked_up), tables);
}

/// Many side: k small with NULLs, t text, v a number.
fn many(size: usize, seed: u64) -> Table {
    let columns = vec![
        ranged("k", T::Int, true, (-2, 9)),
        column("t", T::Varchar { bytes_max: 2 }, false),
        column("v", T::BigInt, true),
    ];
    random_table(1, columns, &[size / 2, size - size / 2], seed)
}

/// Unique side: every key once (0 included, and NULLs), wider bounds and longer text than the many side.
fn unique(size: usize, seed: u64) -> Table {
    let columns = vec![
        ranged("k", T::Int, true, (-5, 40)),
        column("t", T::Varchar { bytes_max: 3 }, false),
        column("w", T::Decimal { precision: 9, scale: 2 }, true),
        column("f", T::Boolean, false),
        column("c", T::BigInt, false),
    ];
    let mut table = random_table(2, columns, &[size], seed);
    for (index, row) in table.segments[0].1.iter_mut().enumerate() {
        row[0] = if index % 5 == 4 { Literal::Null } else { Literal::Number(index as i128 - 1) };
    }
    table
}

fn join(
    kind: JoinKind,
    many: Plan,
    unique: Plan,
    keys: Vec<(Expr, Expr)>,
    residual: Option<Expr>,
) -> Plan {
    let mut fields = many.fields.clone();
    if matches!(kind, JoinKind::Inner | JoinKind::Left) {
        let nullable = kind == JoinKind::Left;
        fields.extend(
            unique.fields.iter().map(|f| Field { nullable: nullable || f.nullable, ..f.clone() }),
        );
    }
    let (many_keys, unique_keys) = keys.into_iter().unzip();
    Plan {
        rows: many.rows,
        fields,
        op: Operator::UniqueKeyJoin {
            kind,
            many: Box::new(many),
            unique: Box::new(unique),
            many_keys,
            unique_keys,
            residual,
            method: JoinMethod::Sort,
        },
    }
}

const KINDS: [JoinKind; 4] = [JoinKind::Inner, JoinKind::Left, JoinKind::Semi, JoinKind::Anti];
const SIZES: [(usize, usize); 8] =
    [(0, 0), (0, 3), (3, 0), (1, 1), (9, 1), (2, 12), (40, 11), (70, 66)];

fn for_sides(f: impl Fn(JoinKind, &Plan, &Plan, &[&Table])) {
    for (index, (n, m)) in SIZES.into_iter().enumerate() {
        let (left, right) = (many(n, 500 + index as u64), unique(m, 600 + index as u64));
        for kind in KINDS {
            f(kind, &left.scan(), &right.scan(), &[&left, &right]);
        }
    }
}

#[test]
fn on_one_key_with_nulls() {
    for_sides(|kind, left, right, tables| {
        let keys = vec![(col(left, 0), col(right, 0))];
        check_join(join(kind, left.clone(), right.clone(), keys, None), tables);
    });
}

#[test]
fn between_filtered_sides_with_a_residual() {
    for_sides(|kind, left, right, tables| {
        let left = filter(left.clone(), compare(Compare::Lt, col(left, 0), num(7)));
        let right = filter(right.clone(), not(col(right, 3)));
        let both = join(JoinKind::Inner, left.clone(), right.clone(), vec![], None);
        let residual = compare(Compare::Gt, add(col(&both, 2), col(&both, 7)), col(&both, 5));
        let keys = vec![(col(&left, 0), col(&right, 0))];
        check_join(join(kind, left, right, keys, Some(residual)), tables);
    });
}

#[test]
fn on_two_keys_one_of_them_computed() {
    for_sides(|kind, left, right, tables| {
        let right = sort_aggregate(
            right.clone(),
            vec![col(right, 1), col(right, 3)],
            vec![aggregate(Function::Max, Some(col(right, 2)), right.rows, false)],
        );
        let keys = vec![
            (col(left, 1), col(&right, 0)),
            (compare(Compare::Gt, col(left, 0), num(3)), col(&right, 1)),
        ];
        check_join(join(kind, left.clone(), right.clone(), keys, None), tables);
    });
}

#[test]
fn a_semi_join_needs_no_unique_side() {
    let (left, right) = (many(30, 1), many(25, 2));
    let right = Table { id: TableId(9), ..right };
    for kind in [JoinKind::Semi, JoinKind::Anti] {
        let (l, r) = (left.scan(), right.scan());
        let keys = vec![(col(&l, 0), col(&r, 0))];
        check(&reveal(join(kind, l, r, keys, None)), &[&left, &right]);
    }
}

#[test]
fn joined_columns_are_summed() {
    let (left, right) = (many(40, 3), unique(12, 4));
    let (l, r) = (left.scan(), right.scan());
    let keys = vec![(col(&l, 0), col(&r, 0))];
    let both = join(JoinKind::Left, l, r, keys, None);
    let product = multiply(col(&both, 0), col(&both, 5));
    let sum = aggregate(Function::Sum, Some(product), both.rows, true);
    let count = aggregate(Function::Count, Some(col(&both, 4)), both.rows, true);
    check(&reveal(scalar_aggregate(both, vec![sum, count])), &[&left, &right]);
}

#[test]
fn all_keys_present_on_both_sides() {
    let row = |k: i128| vec![Literal::Number(k)];
    let table = |id: u64, keys: &[i128]| Table {
        id: TableId(id),
        schema: TableSchema {
            name: "k".into(),
            columns: vec![ranged("k", T::Int, false, (0, 7))],
            primary_key: vec![0],
        },
        segments: vec![(SegmentId([id as u8; 16]), keys.iter().map(|k| row(*k)).collect())],
    };
    // Rows before the first unique row must not match a real 0.
    let left = table(1, &[0, 0, 7, 3, 1]);
    for keys in [&[3, 7, 1][..], &[0, 7], &[5]] {
        let right = table(2, keys);
        for kind in KINDS {
            let (l, r) = (left.scan(), right.scan());
            let on = vec![(col(&l, 0), col(&r, 0))];
            check_join(join(kind, l, r, on, None), &[&left, &right]);
        }
    }
}

#[test]
fn one_row_beside_every_row() {
    for size in [0, 1, 20] {
        let (left, right) = (many(size, 5), unique(6, 6));
        let (l, r) = (left.scan(), right.scan());
        let sum = aggregate(Function::Sum, Some(col(&r, 2)), r.rows, true);
        let max = aggregate(Function::Max, Some(col(&r, 1)), r.rows, true);
        let one = scalar_aggregate(r, vec![sum, max]);
        let there = compare(Compare::Gt, col(&one, 0), num(0));
        for one in [one.clone(), filter(one.clone(), there), filter(one, null_of(col(&l, 0).ty))]
            .into_iter()
            .take(2)
        {
            let fields = l
                .fields
                .iter()
                .chain(&one.fields)
                .map(|f| Field { nullable: true, ..f.clone() })
                .collect();
            let op = Operator::OneRowJoin { input: Box::new(l.clone()), one: Box::new(one) };
            let plan = Plan { rows: l.rows, fields, op };
            let kept = filter(plan.clone(), compare(Compare::Lt, col(&plan, 2), col(&plan, 3)));
            check(&reveal(plan), &[&left, &right]);
            check(&reveal(kept), &[&left, &right]);
        }
    }
}
