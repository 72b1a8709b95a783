//! NOT, AND, OR after Kleene, and the truth of a condition.

use crate::bits;
use crate::column::Column;
use crate::error::Result;
use crate::expr::{eval, under};
use crate::plan::{Expr, ExprKind};
use crate::relation::Relation;
use crate::types::Type;
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};

/// A truth value as two bits: *is TRUE*, and *is not FALSE* (none: the same bit, never NULL).
struct Ternary {
    truth: Planes,
    not_false: Option<Planes>,
}

/// Value bits may be arbitrary under NULL, so TRUE is value AND NOT null; then "not FALSE" is
/// TRUE xor null. One AND for each operand that can be NULL, all in one round.
fn ternaries(
    all: &[Expr],
    decisive: bool,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Vec<Ternary>> {
    let mut values: Vec<(Planes, Option<Planes>)> = Vec::with_capacity(all.len());
    for expr in all {
        let mut column = if expr.can_fail() && !values.is_empty() {
            let guard = undecided(&values, decisive, relation.rows, s)?;
            under(&guard, relation, s, |relation, s| eval(expr, relation, s, Want::PLANES))?
        } else {
            eval(expr, relation, s, Want::PLANES)?
        };
        let value = column.planes(s)?.clone();
        values.push((value, column.null));
    }
    mask(values, s)
}

/// 1 where no operand so far is `decisive` (FALSE for AND, TRUE for OR), so that the next one counts.
fn undecided(
    values: &[(Planes, Option<Planes>)],
    decisive: bool,
    rows: usize,
    s: &mut Session,
) -> Result<Planes> {
    let mut open = Vec::with_capacity(values.len());
    for (value, null) in values {
        let other = if decisive { value.not(s.party()) } else { value.clone() };
        open.push(match null {
            Some(null) => protocol::or(s, &other, null)?,
            None => other,
        });
    }
    bits::and_tree(s, rows, open)
}

fn mask(values: Vec<(Planes, Option<Planes>)>, s: &mut Session) -> Result<Vec<Ternary>> {
    let present: Vec<Option<Planes>> =
        values.iter().map(|(_, null)| null.as_ref().map(|n| n.not(s.party()))).collect();
    let pairs: Vec<(&Planes, &Planes)> = values
        .iter()
        .zip(&present)
        .filter_map(|((value, _), present)| present.as_ref().map(|p| (value, p)))
        .collect();
    let mut truths =
        if pairs.is_empty() { Vec::new() } else { protocol::and_many(s, &pairs)? }.into_iter();
    let mut out = Vec::with_capacity(values.len());
    for (value, null) in values {
        out.push(match null {
            None => Ternary { truth: value, not_false: None },
            Some(null) => {
                let truth = truths.next().unwrap_or(value);
                let not_false = truth.xor(&null);
                Ternary { truth, not_false: Some(not_false) }
            }
        });
    }
    Ok(out)
}

/// AND of all: TRUE where all are TRUE, not FALSE where none is FALSE.
fn conjunction(all: Vec<Ternary>, rows: usize, s: &mut Session) -> Result<Ternary> {
    if all.iter().all(|t| t.not_false.is_none()) {
        let truths = all.into_iter().map(|t| t.truth).collect();
        return Ok(Ternary { truth: bits::and_tree(s, rows, truths)?, not_false: None });
    }
    let stacked = all
        .into_iter()
        .map(|t| {
            let not_false = t.not_false.unwrap_or_else(|| t.truth.clone());
            t.truth.stack(&not_false)
        })
        .collect();
    let both = bits::and_tree(s, rows, stacked)?;
    Ok(Ternary { truth: both.bits(0..1), not_false: Some(both.bits(1..2)) })
}

/// Exchanges TRUE and FALSE; local.
fn negation(x: Ternary, party: usize) -> Ternary {
    match x.not_false {
        None => Ternary { truth: x.truth.not(party), not_false: None },
        Some(not_false) => {
            Ternary { truth: not_false.not(party), not_false: Some(x.truth.not(party)) }
        }
    }
}

fn column(x: Ternary) -> Column {
    let null = x.not_false.map(|not_false| not_false.xor(&x.truth));
    Column::from_planes(Type::Boolean, x.truth, null)
}

/// NOT; NULL stays NULL. Local.
pub(super) fn not(inner: &Expr, relation: &mut Relation, s: &mut Session) -> Result<Column> {
    let mut x = eval(inner, relation, s, Want::PLANES)?;
    let value = x.planes(s)?.not(s.party());
    Ok(Column::from_planes(Type::Boolean, value, x.null))
}

/// AND. 3 bits an operand (6 where NULL is possible), ceil(log2 operands) rounds.
pub(super) fn and(all: &[Expr], relation: &mut Relation, s: &mut Session) -> Result<Column> {
    let operands = ternaries(all, false, relation, s)?;
    Ok(column(conjunction(operands, relation.rows, s)?))
}

/// OR, as NOT of the AND of the negations.
pub(super) fn or(all: &[Expr], relation: &mut Relation, s: &mut Session) -> Result<Column> {
    let party = s.party();
    let negated =
        ternaries(all, true, relation, s)?.into_iter().map(|t| negation(t, party)).collect();
    let none = conjunction(negated, relation.rows, s)?;
    Ok(column(negation(none, party)))
}

/// Bits whose AND says where a condition is TRUE (neither FALSE nor NULL).
fn conjuncts(expr: &Expr, relation: &mut Relation, s: &mut Session) -> Result<Vec<Planes>> {
    if let ExprKind::And(all) = &expr.kind {
        let mut out: Vec<Planes> = Vec::new();
        for one in all {
            let more = if one.can_fail() && !out.is_empty() {
                let guard = bits::and_tree(s, relation.rows, out.clone())?;
                under(&guard, relation, s, |relation, s| conjuncts(one, relation, s))?
            } else {
                conjuncts(one, relation, s)?
            };
            out.extend(more);
        }
        return Ok(out);
    }
    let mut column = eval(expr, relation, s, Want::PLANES)?;
    let mut out = vec![column.planes(s)?.clone()];
    out.extend(column.null.map(|null| null.not(s.party())));
    Ok(out)
}

/// 1 where all conditions are TRUE and all `also` bits are 1.
pub(crate) fn truth<'a>(
    conditions: impl IntoIterator<Item = &'a Expr>,
    also: Vec<Planes>,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Planes> {
    let mut all = also;
    for condition in conditions {
        all.extend(conjuncts(condition, relation, s)?);
    }
    bits::and_tree(s, relation.rows, all)
}
