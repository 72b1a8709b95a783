//! What the parties send must not depend on values: two tables of equal shape, one plan, equal
//! messages in number, order and length. (A sort's shape may depend on the random order in which
//! distinct keys meet pivots, never on more; plans here have none.)

use crate::expressions::sample;
use crate::pairs::{both, crossed, paired};
use crate::plans::*;
use crate::support::*;
use trine_mpc::Profile;
use trine_mpc::testing::{record, shape};
use trine_query::plan::{Compare, Function, Literal, Plan, ResultSize};

struct Nobody;
impl trine_query::Observer for Nobody {
    fn operator(&mut self, _name: &str, _done: u32, _total: u32) {}
}

fn shapes(plan: &Plan, table: &Table) -> [Vec<(usize, usize)>; 3] {
    let stores = stores(&[table]);
    let (_, sent) = record(Profile::LOCAL, 11, |s| {
        let store = &stores[s.party()];
        trine_query::run(plan, s, store, &mut Nobody).unwrap();
    });
    sent.map(|transcript| shape(&transcript))
}

#[test]
fn equal_shapes_for_any_values() {
    let random = sample(&[50, 25], 1);
    let mut zeros = random.clone();
    for row in zeros.segments.iter_mut().flat_map(|(_, rows)| rows) {
        row[0] = Literal::Null;
        row[1] = Literal::Number(0);
        row[2] = Literal::Number(0);
        row[4] = Literal::Boolean(false);
        row[5] = Literal::Text(Vec::new());
    }
    let scan = random.scan();
    let predicate = and(vec![
        compare(Compare::Gt, col(&scan, 0), num(0)),
        or(vec![col(&scan, 4), compare(Compare::Eq, col(&scan, 5), text(b"ab"))]),
    ]);
    let cut = filter(scan, predicate);
    let of = |f, i| aggregate(f, Some(col(&cut, i)), cut.rows, true);
    let totals = vec![of(Function::Sum, 0), of(Function::Avg, 1), of(Function::Min, 2)];
    let groups = vec![of(Function::Sum, 2), of(Function::Avg, 3)];
    let plans = [
        reveal(cut.clone()),
        reveal_as(cut.clone(), ResultSize::Hidden, false),
        reveal(scalar_aggregate(cut.clone(), totals)),
        reveal(small_domain(cut.clone(), vec![col(&cut, 4), col(&cut, 1)], groups)),
    ];
    let pair = Plan { fields: both(&cut, &cut), ..cut.clone() };
    let condition = compare(Compare::Lt, col(&pair, 0), col(&pair, cut.fields.len() + 2));
    let sum = aggregate(Function::Sum, Some(col(&pair, 1)), cut.rows, true);
    let max = aggregate(Function::Max, Some(col(&pair, 2)), cut.rows, true);
    let by_pairs = [
        reveal_as(crossed(cut.clone(), cut.clone()), ResultSize::Hidden, false),
        reveal(paired(cut.clone(), cut.clone(), Some(condition), vec![sum, max])),
    ];
    for plan in plans.iter().chain(&by_pairs) {
        assert_eq!(shapes(plan, &random), shapes(plan, &zeros), "{plan:?}");
    }
}
