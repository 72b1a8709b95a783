//! CASE: one indicator bit per branch, then one selection per branch, all in one round.

use crate::arith::{self, ArithAny};
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::{eval, truth, under};
use crate::plan::{Expr, Literal};
use crate::relation::Relation;
use crate::types::Type;
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};

/// With f_i = "branch i is the first whose condition is TRUE", the value is e ^ XOR f_i & (v_i ^ e)
/// in planes, or e + SUM f_i (v_i - e) in arithmetic shares, where e is the value without a branch.
/// A branch whose v_i and e are both public costs no selection.
pub(super) fn case(
    branches: &[(Expr, Expr)],
    otherwise: &Expr,
    ty: &Type,
    relation: &mut Relation,
    s: &mut Session,
    want: Want,
) -> Result<Column> {
    let firsts = first_true(branches, relation, s)?;
    let mut values = Vec::with_capacity(branches.len() + 1);
    for (index, value) in branches.iter().map(|(_, v)| v).chain([otherwise]).enumerate() {
        let column = if value.can_fail() {
            let guard = match firsts.get(index) {
                Some(first) => first.clone(),
                None => none_of(&firsts, relation.rows, s),
            };
            under(&guard, relation, s, |relation, s| eval(value, relation, s, want))?
        } else {
            eval(value, relation, s, want)?
        };
        values.push(column.retype(s, ty, want)?);
    }
    let numbers = matches!(ty, Type::Number { .. });
    let secret = || values.iter().filter(|v| v.as_literal().is_none());
    let in_arith = numbers
        && if want.only_arith() {
            secret().all(Column::has_arith)
        } else {
            !want.planes && secret().next().is_some() && secret().all(|v| !v.has_planes())
        };
    let Some(default) = values.pop() else {
        return Err(QueryError::bug("CASE without values"));
    };
    let nulls = choose_nulls(&firsts, &values, &default, s)?;
    let mut chosen = if in_arith {
        choose_arith(&firsts, values, default, ty, s)?
    } else {
        choose_planes(&firsts, values, default, ty, s)?
    };
    chosen.null = nulls;
    Ok(chosen)
}

/// Bit i: condition i is TRUE and none before it. One AND a branch but the first.
fn first_true(
    branches: &[(Expr, Expr)],
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Vec<Planes>> {
    let mut firsts: Vec<Planes> = Vec::with_capacity(branches.len());
    let mut taken: Option<Planes> = None;
    for (condition, _) in branches {
        let hit = match &taken {
            Some(taken) if condition.can_fail() => {
                let guard = taken.not(s.party());
                under(&guard, relation, s, |relation, s| {
                    truth([condition], Vec::new(), relation, s)
                })?
            }
            _ => truth([condition], Vec::new(), relation, s)?,
        };
        let first = match &taken {
            None => hit,
            Some(taken) => protocol::and(s, &taken.not(s.party()), &hit)?,
        };
        taken = Some(taken.map_or_else(|| first.clone(), |t| t.xor(&first)));
        firsts.push(first);
    }
    Ok(firsts)
}

/// 1 where no branch is taken. Local: at most one bit is 1 in a row.
fn none_of(firsts: &[Planes], rows: usize, s: &Session) -> Planes {
    let start = bits::constant_bit(s, rows, true);
    firsts.iter().fold(start, |none, first| none.xor(first))
}

/// e ^ XOR f_i & (v_i ^ e); `public[i]` is v_i ^ e where it is public.
fn mix(
    firsts: &[Planes],
    differences: Vec<(Planes, Option<Vec<bool>>)>,
    default: Planes,
    s: &mut Session,
) -> Result<Planes> {
    let secret: Vec<(&Planes, &Planes)> = firsts
        .iter()
        .zip(&differences)
        .filter(|(_, (_, public))| public.is_none())
        .map(|(first, (difference, _))| (first, difference))
        .collect();
    let mut selected =
        if secret.is_empty() { Vec::new() } else { protocol::and_many(s, &secret)? }.into_iter();
    let mut out = default;
    for (first, (_, public)) in firsts.iter().zip(&differences) {
        let term = match public {
            Some(bits) => spread(s, first, bits),
            None => selected
                .next()
                .ok_or_else(|| QueryError::bug("a selection gave back too few columns"))?,
        };
        out = out.xor(&term);
    }
    Ok(out)
}

/// A secret bit times a public constant: the bit in the planes where the constant has a 1. Local.
pub(super) fn spread(s: &Session, bit: &Planes, value: &[bool]) -> Planes {
    bits::constant(s, bit.len(), &vec![false; value.len()]).xor(bit).and_constant(value)
}

fn choose_planes(
    firsts: &[Planes],
    values: Vec<Column>,
    mut default: Column,
    ty: &Type,
    s: &mut Session,
) -> Result<Column> {
    let default_bits = default.as_literal().map(|l| bits::literal_bits(l, ty)).transpose()?;
    let base = default.planes(s)?.clone();
    let mut differences = Vec::with_capacity(values.len());
    for mut value in values {
        let own = value.as_literal().map(|l| bits::literal_bits(l, ty)).transpose()?;
        let public = match (own, &default_bits) {
            (Some(a), Some(b)) => Some(a.iter().zip(b).map(|(a, b)| a ^ b).collect()),
            _ => None,
        };
        differences.push((value.planes(s)?.xor(&base), public));
    }
    let planes = mix(firsts, differences, base, s)?;
    Ok(Column::from_planes(ty.clone(), planes, None))
}

fn choose_nulls(
    firsts: &[Planes],
    values: &[Column],
    default: &Column,
    s: &mut Session,
) -> Result<Option<Planes>> {
    if default.null.is_none() && values.iter().all(|v| v.null.is_none()) {
        return Ok(None);
    }
    let public = |c: &Column| match (c.as_literal(), &c.null) {
        (Some(Literal::Null), _) => Some(true),
        (_, None) => Some(false),
        _ => None,
    };
    let bit = |c: &Column, s: &Session| {
        c.null.clone().unwrap_or_else(|| bits::constant_bit(s, c.rows, false))
    };
    let base = bit(default, s);
    let differences = values
        .iter()
        .map(|v| {
            let known = public(v).zip(public(default)).map(|(a, b)| vec![a ^ b]);
            (bit(v, s).xor(&base), known)
        })
        .collect();
    Ok(Some(mix(firsts, differences, base, s)?))
}

fn choose_arith(
    firsts: &[Planes],
    values: Vec<Column>,
    mut default: Column,
    ty: &Type,
    s: &mut Session,
) -> Result<Column> {
    let ring = ty.ring_bits();
    let number = |c: &Column| match c.as_literal() {
        Some(Literal::Number(v)) => Some(*v),
        Some(_) => Some(0),
        None => None,
    };
    let Some(stacked) = bits::stack_all(firsts) else { return Ok(default) };
    let factors: Vec<ArithAny> = if ring == 64 {
        protocol::bits_to_arith(s, &stacked)?.into_iter().map(ArithAny::A64).collect()
    } else {
        protocol::bits_to_arith(s, &stacked)?.into_iter().map(ArithAny::A128).collect()
    };
    let base = default.arith_in(s, ring)?;
    let mut out = base.clone();
    let mut secret = Vec::new();
    for (mut value, factor) in values.into_iter().zip(&factors) {
        if let (Some(v), Some(e)) = (number(&value), number(&default)) {
            out = out.add(&factor.times_constant(v.wrapping_sub(e)))?;
        } else {
            secret.push((factor, value.arith_in(s, ring)?.sub(&base)?));
        }
    }
    let pairs: Vec<(&ArithAny, &ArithAny)> = secret.iter().map(|(f, v)| (*f, v)).collect();
    for product in arith::mul_many(s, &pairs)? {
        out = out.add(&product)?;
    }
    Ok(Column::from_arith(ty.clone(), out, None))
}
