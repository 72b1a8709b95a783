//! Scalar, small-domain and sort aggregates: NULLs, empty groups, invalid rows, extremes.

use crate::expressions::sample;
use crate::plans::*;
use crate::reference::{as_set, evaluate};
use crate::support::*;
use trine_mpc::Profile;
use trine_mpc::sort::cost_sort;
use trine_proto::CHUNK_ROWS;
use trine_proto::schema::ColumnType as T;
use trine_query::dry_run;
use trine_query::plan::{Aggregate, Compare, Expr, Function, Literal, Operator, Plan};

const SIZES: [&[usize]; 6] = [&[], &[1], &[2], &[0, 7], &[64], &[50, 27]];

fn check(plan: &Plan, table: &Table) {
    for profile in [Profile::LOCAL, Profile::WIDE] {
        let got = as_set(run_plan(plan, &[table], profile));
        assert_eq!(got, as_set(evaluate(plan, &[table])), "{plan:?}");
    }
}

/// Every table, with all rows, with some, and with none of them valid.
fn for_inputs(f: impl Fn(&Plan, &Table)) {
    for (seed, sizes) in SIZES.iter().enumerate() {
        let table = sample(sizes, 400 + seed as u64);
        let scan = table.scan();
        let some = compare(Compare::Gt, col(&scan, 0), num(-2));
        let none = compare(Compare::Gt, col(&scan, 1), num(4));
        let cut = filter(scan.clone(), some);
        let empty = filter(scan.clone(), none);
        for input in [scan, cut, empty] {
            f(&input, &table);
        }
    }
}

/// Everything that adds up.
fn sums(input: &Plan, scalar: bool) -> Vec<Aggregate> {
    let of = |function, argument: Expr| aggregate(function, Some(argument), input.rows, scalar);
    let c = |i| col(input, i);
    vec![
        aggregate(Function::CountStar, None, input.rows, scalar),
        of(Function::Count, c(0)),
        of(Function::Sum, c(0)),
        of(Function::Sum, c(1)),
        of(Function::Sum, c(2)),
        of(Function::Sum, c(3)),
        of(Function::Sum, multiply(c(1), c(3))),
        of(Function::Avg, c(0)),
        of(Function::Avg, c(3)),
        of(Function::Avg, c(1)),
        of(Function::BoolAnd, c(4)),
        of(Function::BoolOr, c(4)),
        filtered(of(Function::Sum, c(0)), c(4)),
        filtered(of(Function::Count, c(3)), compare(Compare::Lt, c(1), num(1))),
        filtered(aggregate(Function::CountStar, None, input.rows, scalar), c(4)),
        filtered(of(Function::BoolOr, is_null(c(0))), c(4)),
    ]
}

fn extremes(input: &Plan, scalar: bool) -> Vec<Aggregate> {
    let of = |function, index| aggregate(function, Some(col(input, index)), input.rows, scalar);
    vec![
        of(Function::Min, 0),
        of(Function::Max, 0),
        of(Function::Min, 2),
        of(Function::Max, 5),
        filtered(of(Function::Min, 3), col(input, 4)),
    ]
}

fn distincts(input: &Plan, scalar: bool) -> Vec<Aggregate> {
    let of = |function, index| {
        distinct(aggregate(function, Some(col(input, index)), input.rows, scalar))
    };
    vec![
        of(Function::Count, 0),
        of(Function::Sum, 0),
        of(Function::Count, 5),
        filtered(of(Function::Sum, 1), col(input, 4)),
    ]
}

#[test]
fn a_filtered_sum() {
    for_inputs(|input, table| {
        let sum = aggregate(Function::Sum, Some(col(input, 0)), input.rows, true);
        check(&reveal(scalar_aggregate(input.clone(), vec![sum])), table);
    });
}

#[test]
fn rows_of_more_than_one_chunk() {
    let columns = vec![
        ranged("a", T::Int, true, (-40, 90)),
        column("d", T::Decimal { precision: 12, scale: 2 }, false),
        column("f", T::Boolean, false),
    ];
    let table = random_table(3, columns, &[CHUNK_ROWS + 1000, 10, CHUNK_ROWS], 12);
    let scan = table.scan();
    let cut = filter(scan.clone(), compare(Compare::Gt, col(&scan, 0), num(1)));
    let of = |f, i| aggregate(f, Some(col(&cut, i)), cut.rows, true);
    let all = vec![of(Function::Sum, 0), of(Function::Sum, 1), of(Function::Max, 0)];
    let plan = reveal(scalar_aggregate(cut.clone(), all));
    assert_eq!(run_plan(&plan, &[&table], Profile::LOCAL), evaluate(&plan, &[&table]));
    let groups = small_domain(cut.clone(), vec![col(&cut, 2)], vec![of(Function::Sum, 1)]);
    let plan = reveal(groups);
    let got = as_set(run_plan(&plan, &[&table], Profile::LOCAL));
    assert_eq!(got, as_set(evaluate(&plan, &[&table])));
}

#[test]
fn without_groups() {
    for_inputs(|input, table| {
        let mut all = sums(input, true);
        all.extend(extremes(input, true));
        all.extend(distincts(input, true));
        check(&reveal(scalar_aggregate(input.clone(), all)), table);
    });
}

#[test]
fn over_small_domains() {
    for_inputs(|input, table| {
        let keys = vec![col(input, 4), col(input, 7)];
        check(&reveal(small_domain(input.clone(), keys, sums(input, false))), table);
        let keys = vec![col(input, 1)];
        check(&reveal(small_domain(input.clone(), keys, Vec::new())), table);
        let keys = vec![is_null(col(input, 0)), col(input, 1), col(input, 4)];
        let count = aggregate(Function::CountStar, None, input.rows, false);
        check(&reveal(small_domain(input.clone(), keys, vec![count])), table);
    });
}

#[test]
fn over_sorted_groups() {
    for_inputs(|input, table| {
        let keys = vec![col(input, 0), col(input, 4)];
        check(&reveal(sort_aggregate(input.clone(), keys, sums(input, false))), table);
    });
}

#[test]
fn distinct_rows() {
    for_inputs(|input, table| {
        let keys = vec![col(input, 5), col(input, 7), add(col(input, 1), num(1))];
        check(&reveal(sort_aggregate(input.clone(), keys, Vec::new())), table);
        // The bits below a computed NULL differ from row to row.
        let hidden = || add(col(input, 0), col(input, 1));
        check(&reveal(sort_aggregate(input.clone(), vec![hidden()], Vec::new())), table);
        let truth = compare(Compare::Gt, hidden(), num(0));
        check(&reveal(small_domain(input.clone(), vec![truth], Vec::new())), table);
    });
}

#[test]
fn lowest_highest_and_distinct_of_sorted_groups() {
    for_inputs(|input, table| {
        let mut all = extremes(input, false);
        all.extend(distincts(input, false));
        all.push(aggregate(Function::Sum, Some(col(input, 1)), input.rows, false));
        check(&reveal(sort_aggregate(input.clone(), vec![col(input, 7)], all)), table);
        let one = vec![aggregate(Function::Min, Some(col(input, 5)), input.rows, false)];
        check(&reveal(sort_aggregate(input.clone(), vec![col(input, 1)], one)), table);
    });
}

#[test]
fn a_total_can_be_used_further() {
    for_inputs(|input, table| {
        let of = |f, i| aggregate(f, Some(col(input, i)), input.rows, false);
        let grouped = sort_aggregate(
            input.clone(),
            vec![col(input, 1)],
            vec![of(Function::Sum, 1), of(Function::Count, 0)],
        );
        let having = filter(
            grouped.clone(),
            compare(Compare::Gt, col(&grouped, 1), subtract(col(&grouped, 2), num(3))),
        );
        let shown = project(having.clone(), vec![col(&having, 0), scale(col(&having, 2), 3)]);
        let total = aggregate(Function::Sum, Some(col(&shown, 1)), shown.rows, true);
        check(&reveal(shown.clone()), table);
        check(&reveal(scalar_aggregate(shown, vec![total])), table);
    });
}

#[test]
fn keys_that_follow_from_others_travel() {
    let columns = vec![
        ranged("k", T::Int, true, (0, 9)),
        column("t", T::Varchar { bytes_max: 3 }, true),
        column("v", T::BigInt, true),
    ];
    for size in [0, 1, 40] {
        let mut table = random_table(1, columns.clone(), &[size], 90);
        // The text follows from the number; NULL for some.
        for row in &mut table.segments[0].1 {
            row[1] = match &row[0] {
                Literal::Number(k) if k % 3 > 0 => Literal::Text(vec![b'a' + *k as u8]),
                _ => Literal::Null,
            };
        }
        let scan = table.scan();
        let input = filter(scan.clone(), not(is_null(col(&scan, 2))));
        let aggregates = vec![
            aggregate(Function::CountStar, None, input.rows, false),
            aggregate(Function::Max, Some(col(&input, 2)), input.rows, true),
        ];
        let keys = vec![col(&input, 0), col(&input, 1)];
        let mut plan = sort_aggregate(input, keys, aggregates);
        let all = as_set(evaluate(&plan, &[&table]));
        if let Operator::SortAggregate { determined, .. } = &mut plan.op {
            *determined = 1;
        }
        let got = as_set(run_plan(&reveal(plan), &[&table], Profile::LOCAL));
        assert_eq!(got, all);
    }
}

#[test]
fn after_its_sort_a_group_by_sends_little() {
    let rows = 1 << 20;
    let columns = vec![column("k", T::Int, false), column("v", T::Int, false)];
    let mut scan = random_table(9, columns, &[1], 1).scan();
    scan.rows = rows;
    if let Operator::Scan { segments, .. } = &mut scan.op {
        segments[0].rows = rows;
    }
    let after = |filtered: bool, counted: bool| {
        let least = compare(Compare::Gt, col(&scan, 1), num(0));
        let input = if filtered { filter(scan.clone(), least) } else { scan.clone() };
        let mut aggregates = vec![aggregate(Function::Sum, Some(col(&input, 1)), rows, false)];
        if counted {
            aggregates.push(aggregate(Function::CountStar, None, rows, false));
        }
        let keys = vec![col(&input, 0)];
        let plan = reveal(sort_aggregate(input, keys, aggregates));
        let costs = dry_run(&plan, Profile::LOCAL).unwrap();
        let sort = cost_sort(Profile::LOCAL, 1 << 20, 32 + usize::from(filtered));
        [0, 1, 2].map(|party| (costs[1].cost.bytes[party] - sort.bytes[party]) / rows)
    };
    let plain = after(false, false);
    assert!(plain.iter().all(|bytes| *bytes <= 60), "{plain:?}");
    assert!(plain.iter().sum::<u64>() <= 145, "{plain:?}");
    // A condition costs two planes more, a count a few.
    let conditional = after(true, false);
    assert!(conditional.iter().all(|bytes| *bytes <= 61), "{conditional:?}");
    let counted = after(true, true);
    assert!(counted.iter().sum::<u64>() <= 180, "{counted:?}");
}
