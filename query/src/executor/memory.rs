//! How much memory a plan needs, from its public shapes alone: the same number at every node, so that
//! all decide alike whether it may run.
//!
//! An estimate: what the inputs of an operator, its output and a copy of the larger of them take, both
//! components, beside everything that waits for its turn further up. Buffers of messages do not count.

use super::{inputs, operator_name, wants::plan_wants};
use crate::error::Result;
use crate::plan::{Operator, Plan};
use crate::want::Want;

/// Bytes that one party holds of an element of an arithmetic column of 64 bits.
const ARITH_BYTES: u64 = 16;

/// The most that one operator of a plan needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes at one party.
    pub bytes: u64,
    /// The operator.
    pub operator: &'static str,
}

/// Where a plan needs the most.
///
/// # Errors
/// `Bug` for a plan that contradicts itself.
pub(crate) fn memory(plan: &Plan) -> Result<Memory> {
    let wants = plan_wants(plan)?;
    let mut walk = Walk { wants, position: 0, most: Memory { bytes: 0, operator: "Scan" } };
    walk.relation(plan, 0);
    Ok(walk.most)
}

struct Walk {
    /// Per node in pre-order.
    wants: Vec<Vec<Want>>,
    position: usize,
    most: Memory,
}

impl Walk {
    /// Bytes of what the node makes. `waiting`: of what others have made and nobody has used yet.
    fn relation(&mut self, plan: &Plan, waiting: u64) -> u64 {
        let own = self.output(plan);
        let mut held = waiting;
        let mut largest = own;
        for input in inputs(plan) {
            let bytes = self.relation(input, held);
            held = held.saturating_add(bytes);
            largest = largest.max(bytes);
        }
        // What is read or is there already needs no copy.
        let copy = if matches!(plan.op, Operator::Scan { .. } | Operator::Again { .. }) {
            0
        } else {
            largest
        };
        let bytes = held.saturating_add(own).saturating_add(copy);
        if bytes > self.most.bytes {
            self.most = Memory { bytes, operator: operator_name(&plan.op) };
        }
        own
    }

    /// Bytes of the columns that somebody wants, and of the valid bits.
    fn output(&mut self, plan: &Plan) -> u64 {
        let wants = self.wants.get(self.position).map_or(&[][..], Vec::as_slice);
        let mut bits = 2_u64;
        for (field, want) in plan.fields.iter().zip(wants).filter(|(_, w)| w.used) {
            let planes = u64::try_from(field.ty.bits()).unwrap_or(u64::MAX);
            if !want.only_arith() {
                bits = bits.saturating_add(planes.saturating_mul(2));
            }
            if want.arith {
                let rings = if field.ty.ring_bits() > 64 { 2 } else { 1 };
                bits = bits.saturating_add(8 * ARITH_BYTES * rings);
            }
            bits = bits.saturating_add(if field.nullable { 2 } else { 0 });
        }
        self.position += 1;
        plan.rows.saturating_mul(bits) / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Field, ResultSize};
    use crate::types::Type;

    fn plan(op: Operator, rows: u64) -> Plan {
        let fields = vec![Field { name: "a".into(), ty: Type::Boolean, nullable: true }];
        Plan { op, fields, rows }
    }

    #[test]
    fn the_operator_that_needs_the_most_is_named() {
        let values = || plan(Operator::Values(Vec::new()), 8_000);
        let all = |inputs| plan(Operator::UnionAll(inputs), 16_000);
        let reveal = |input, rows| {
            let input = Box::new(input);
            plan(Operator::Reveal { input, size: ResultSize::Hidden, ordered: true }, rows)
        };
        // A bit, its NULL bit and the valid bit, two components each: 6 bits a row.
        let union = reveal(all(vec![values(), values()]), 16_000);
        let found = memory(&union).unwrap();
        assert_eq!(found, Memory { bytes: 3 * 12_000, operator: "UnionAll" });
        let one = reveal(values(), 8_000);
        assert_eq!(memory(&one).unwrap(), Memory { bytes: 3 * 6_000, operator: "Reveal" });
        // No number overflows.
        assert_eq!(
            memory(&reveal(plan(Operator::Values(Vec::new()), u64::MAX), 1)).unwrap().operator,
            "Values"
        );
    }
}
