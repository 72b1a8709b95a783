//! A relation that occurs twice in a plan (a CTE used twice, both halves of an outer join, grouping
//! sets) is computed once: later occurrences become Again. Local relations are left as they are.

use super::with_inputs;
use crate::executor::inputs;
use crate::ops::limit::valid_rows_come_first;
use crate::plan::{Operator, Plan};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Positions of the relations seen so far, by their canonical encoding.
#[derive(Default)]
struct Seen {
    next: u32,
    nodes: BTreeMap<Vec<u8>, u32>,
}

/// See the module.
pub(super) fn apply(plan: Plan) -> Plan {
    let seen = RefCell::new(Seen::default());
    shared(plan, &seen)
}

fn shared(plan: Plan, seen: &RefCell<Seen>) -> Plan {
    let position = seen.borrow().next;
    seen.borrow_mut().next += 1;
    if costs(&plan)
        && let Ok(key) = postcard::to_stdvec(&plan)
    {
        let earlier = seen.borrow().nodes.get(&key).copied();
        if let Some(node) = earlier {
            return Plan { op: Operator::Again { node }, ..plan };
        }
        seen.borrow_mut().nodes.insert(key, position);
    }
    with_inputs(plan, &|input| shared(input, seen))
}

/// Whether computing a relation takes protocols. Reading a table again takes memory for none. What
/// is in order stays, because a LIMIT above it must see that it is.
fn costs(plan: &Plan) -> bool {
    if plan.rows > 1 && valid_rows_come_first(plan) {
        return false;
    }
    match &plan.op {
        Operator::Scan { .. }
        | Operator::Values(_)
        | Operator::Public { .. }
        | Operator::Again { .. } => false,
        Operator::UnionAll(_)
        | Operator::PublicFilter { .. }
        | Operator::PublicColumns { .. }
        | Operator::Limit { .. } => inputs(plan).into_iter().any(costs),
        _ => true,
    }
}
