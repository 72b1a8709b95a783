//! ORDER BY, LIMIT and what Reveal makes of row counts.

use crate::expressions::sample;
use crate::plans::*;
use crate::reference::{as_set, eval, evaluate};
use crate::support::*;
use trine_mpc::Profile;
use trine_query::plan::{Compare, Expr, Operator, Plan, ResultSize, SortKey};

const SIZES: [&[usize]; 6] = [&[], &[1], &[2], &[0, 9], &[64], &[50, 33]];

fn sort(input: Plan, keys: Vec<SortKey>) -> Plan {
    Plan {
        rows: input.rows,
        fields: input.fields.clone(),
        op: Operator::Sort { input: Box::new(input), keys },
    }
}

fn limit(input: Plan, skip: u64, fetch: Option<u64>) -> Plan {
    let left = input.rows - skip.min(input.rows);
    Plan {
        rows: fetch.map_or(left, |f| f.min(left)),
        fields: input.fields.clone(),
        op: Operator::Limit { input: Box::new(input), skip, fetch },
    }
}

fn key(expr: Expr, descending: bool, nulls_first: bool) -> SortKey {
    SortKey { expr, descending, nulls_first }
}

/// The keys of the rows in order: equal for any way of breaking ties.
fn projected(rows: &[Row], keys: &[SortKey]) -> Vec<Row> {
    rows.iter().map(|r| keys.iter().map(|k| eval(&k.expr, r)).collect()).collect()
}

fn orders(scan: &Plan) -> Vec<Vec<SortKey>> {
    vec![
        vec![key(col(scan, 0), false, false)],
        vec![key(col(scan, 0), true, true), key(col(scan, 1), false, false)],
        vec![key(col(scan, 5), true, false), key(col(scan, 4), false, true)],
        vec![key(add(col(scan, 0), col(scan, 1)), false, true), key(col(scan, 8), true, false)],
    ]
}

fn for_inputs(f: impl Fn(&Plan, &Table)) {
    for (seed, sizes) in SIZES.iter().enumerate() {
        let table = sample(sizes, 700 + seed as u64);
        let scan = table.scan();
        let cut = filter(scan.clone(), compare(Compare::Ge, col(&scan, 1), num(0)));
        f(&scan, &table);
        f(&cut, &table);
    }
}

#[test]
fn rows_come_out_in_order_whatever_is_revealed_of_their_number() {
    for_inputs(|input, table| {
        for keys in orders(input) {
            for size in [ResultSize::Hidden, ResultSize::Padded] {
                let plan = reveal_as(sort(input.clone(), keys.clone()), size, true);
                let got = run_plan(&plan, &[table], Profile::LOCAL);
                let want = evaluate(&plan, &[table]);
                assert_eq!(projected(&got, &keys), projected(&want, &keys));
                assert_eq!(as_set(got), as_set(want));
            }
        }
    });
}

#[test]
fn the_first_rows_in_order() {
    for_inputs(|input, table| {
        let keys = orders(input).remove(1);
        for (skip, fetch) in [(0, Some(3)), (2, Some(5)), (1, None), (0, Some(0)), (500, Some(1))] {
            let sorted = sort(input.clone(), keys.clone());
            // As the planner asks for it: no more sorted rows than are looked at.
            let mut front = sorted.clone();
            front.rows = front.rows.min(fetch.map_or(u64::MAX, |fetch| skip + fetch));
            for (sorted, profile) in
                [(sorted, Profile::WIDE), (front.clone(), Profile::WIDE), (front, Profile::LOCAL)]
            {
                let plan = reveal_as(limit(sorted, skip, fetch), ResultSize::Hidden, true);
                let got = run_plan(&plan, &[table], profile);
                let want = evaluate(&plan, &[table]);
                assert_eq!(projected(&got, &keys), projected(&want, &keys));
                let all = evaluate(input, &[table]);
                assert!(got.iter().all(|row| all.contains(row)));
            }
        }
    });
}

#[test]
fn any_rows_without_an_order() {
    for_inputs(|input, table| {
        for (skip, fetch) in [(0, Some(3)), (2, Some(50)), (4, None), (0, Some(0))] {
            let plan = reveal(limit(input.clone(), skip, fetch));
            let got = run_plan(&plan, &[table], Profile::LOCAL);
            assert_eq!(got.len(), evaluate(&plan, &[table]).len());
            let mut all = evaluate(input, &[table]);
            for row in got {
                let at = all.iter().position(|other| *other == row).unwrap();
                all.remove(at);
            }
        }
    });
}

#[test]
fn a_padded_result_has_the_next_power_of_two_of_rows() {
    let table = sample(&[40, 30], 9);
    let stores = stores(&[&table]);
    for bound in -3..=5 {
        let scan = table.scan();
        let predicate = compare(Compare::Lt, col(&scan, 1), num(bound));
        let plan = reveal_as(filter(scan, predicate), ResultSize::Padded, false);
        let want = evaluate(&plan, &[&table]);
        let got = run_plan(&plan, &[&table], Profile::LOCAL);
        assert_eq!(as_set(got), as_set(want.clone()));
        let rows = trine_mpc::testing::run(3, |s| {
            let store = &stores[s.party()];
            trine_query::run(&plan, s, store, &mut Nobody).unwrap().rows
        });
        let padded = (want.len().max(1).next_power_of_two()).min(70) as u64;
        assert_eq!(rows, [padded; 3], "{} rows", want.len());
    }
}

struct Nobody;
impl trine_query::Observer for Nobody {
    fn operator(&mut self, _name: &str, _done: u32, _total: u32) {}
}

#[test]
fn ties_do_not_come_out_in_storage_order() {
    let table = sample(&[60], 10);
    let scan = table.scan();
    let keys = vec![key(is_null(col(&scan, 1)), false, false)];
    let plan = reveal_as(sort(scan, keys), ResultSize::Hidden, true);
    let got = run_plan(&plan, &[&table], Profile::LOCAL);
    assert_ne!(got, table.rows());
    let plan = reveal(table.scan());
    assert_ne!(run_plan(&plan, &[&table], Profile::LOCAL), table.rows());
}
