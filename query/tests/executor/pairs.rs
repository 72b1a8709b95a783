//! Cross joins and aggregates over pairs.

use crate::plans::*;
use crate::reference::{as_set, evaluate};
use crate::support::*;
use trine_mpc::Profile;
use trine_proto::schema::ColumnType as T;
use trine_query::plan::{Aggregate, Compare, Expr, Field, Function, Operator, Plan};
use trine_query::types::Type;

fn check(plan: &Plan, tables: &[&Table]) {
    for profile in [Profile::LOCAL, Profile::WIDE] {
        let got = as_set(run_plan(plan, tables, profile));
        assert_eq!(got, as_set(evaluate(plan, tables)), "{plan:?}");
    }
}

fn table(id: u64, size: usize) -> Table {
    let columns = vec![
        ranged("k", T::Int, true, (-2, 9)),
        column("t", T::Varchar { bytes_max: 2 }, false),
        column("v", T::Decimal { precision: 9, scale: 2 }, true),
        column("f", T::Boolean, true),
    ];
    random_table(id, columns, &[size], 40 + id)
}

const SIZES: [(usize, usize); 7] = [(0, 0), (0, 4), (5, 0), (1, 1), (1, 7), (9, 1), (13, 70)];

pub(crate) fn both(left: &Plan, right: &Plan) -> Vec<Field> {
    left.fields.iter().chain(&right.fields).cloned().collect()
}

pub(crate) fn crossed(left: Plan, right: Plan) -> Plan {
    let fields = both(&left, &right);
    let rows = left.rows * right.rows;
    let op = Operator::CrossJoin { left: Box::new(left), right: Box::new(right) };
    Plan { op, fields, rows }
}

#[test]
fn every_pair_of_rows() {
    for (n, m) in SIZES {
        let (left, right) = (table(1, n), table(2, m));
        let tables = [&left, &right];
        let (l, r) = (left.scan(), right.scan());
        check(&reveal(crossed(l.clone(), r.clone())), &tables);
        let filtered = |p: &Plan| filter(p.clone(), compare(Compare::Gt, col(p, 0), num(1)));
        let pairs = crossed(filtered(&l), filtered(&r));
        let theta = filter(pairs.clone(), compare(Compare::Lt, col(&pairs, 2), col(&pairs, 6)));
        check(&reveal(theta), &tables);
    }
}

pub(crate) fn paired(
    left: Plan,
    right: Plan,
    condition: Option<Expr>,
    aggregates: Vec<Aggregate>,
) -> Plan {
    let mut fields = left.fields.clone();
    fields.extend(aggregates.iter().map(|a| Field {
        name: "a".into(),
        ty: a.ty.clone(),
        nullable: a.nullable,
    }));
    let rows = left.rows;
    let (left, right) = (Box::new(left), Box::new(right));
    Plan { op: Operator::PairAggregate { left, right, condition, aggregates }, fields, rows }
}

fn quantified(function: Function, argument: Expr) -> Aggregate {
    let ty = Type::Boolean;
    Aggregate {
        function,
        argument: Some(argument),
        filter: None,
        distinct: false,
        ty,
        nullable: true,
    }
}

#[test]
fn rows_beside_aggregates_over_their_pairs() {
    for (n, m) in SIZES {
        let (left, right) = (table(1, n), table(2, m));
        let tables = [&left, &right];
        let (l, r) = (left.scan(), right.scan());
        let l = filter(l.clone(), not(is_null(col(&l, 2))));
        let r = filter(r.clone(), compare(Compare::Lt, col(&r, 0), num(8)));
        let pair = Plan { fields: both(&l, &r), ..l.clone() };
        let below = compare(Compare::Lt, col(&pair, 0), col(&pair, 4));
        let some = quantified(Function::BoolOr, col(&pair, 7));
        let all = Aggregate {
            filter: Some(compare(Compare::Eq, col(&pair, 1), col(&pair, 5))),
            ..quantified(Function::BoolAnd, col(&pair, 7))
        };
        for condition in [None, Some(below)] {
            let plan = |aggregates| paired(l.clone(), r.clone(), condition.clone(), aggregates);
            check(&reveal(plan(vec![some.clone(), all.clone()])), &tables);
            let sum = subtract(col(&pair, 0), col(&pair, 4));
            let others = vec![
                aggregate(Function::CountStar, None, r.rows, true),
                aggregate(Function::Count, Some(col(&pair, 6)), r.rows, true),
                aggregate(Function::Sum, Some(sum), r.rows, true),
                aggregate(Function::Min, Some(col(&pair, 6)), r.rows, true),
                aggregate(Function::Max, Some(col(&pair, 5)), r.rows, true),
                some.clone(),
            ];
            check(&reveal(plan(others)), &tables);
        }
    }
}
