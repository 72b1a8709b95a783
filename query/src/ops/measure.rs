//! What an aggregation has to add up. Every COUNT, SUM, AVG, BOOL_AND and BOOL_OR comes down to
//! *classes* (bits: this row contributes) that are counted, and values that are summed over a
//! class. How rows meet their group is the operator's; what the totals mean is `finish`'s.

use crate::arith::ArithAny;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::{eval, truth, under};
use crate::plan::{Aggregate, Expr, Function};
use crate::relation::Relation;
use crate::types::{NumberKind, Type};
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};
use trine_proto::schema::bits_for;

/// Class 0: all valid rows.
pub(crate) const VALID: usize = 0;

/// A value that is added up over the rows of a class.
#[derive(Debug)]
pub(crate) struct Sum {
    /// Index of the class.
    pub(crate) class: usize,
    /// One per row, in the ring that holds the total.
    pub(crate) value: ArithAny,
}

/// Where a total is found among the sums.
#[derive(Clone, Debug)]
pub(crate) enum Total {
    /// One sum, in the ring that holds it.
    Whole(usize),
    /// A total beyond 64 bits of values within 64: the sum of the values modulo 2^64, and the sum of
    /// their upper bits, both in the ring of 64 bits. With u = value - low and lo = u mod 2^shift the
    /// total is 2^shift * upper + SUM lo + low * count, where SUM lo fits 64 bits and so follows from
    /// the first sum.
    Halves {
        /// Index of the sum modulo 2^64.
        sum: usize,
        /// Index of the sum of u >> shift.
        upper: usize,
        /// Bits below the upper ones.
        shift: u32,
        /// Lower bound of the values.
        low: i128,
    },
}

/// How one aggregate follows from totals.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Count of a class.
    Count {
        /// Class.
        class: usize,
    },
    /// A sum; NULL where the class is empty.
    Sum {
        /// Its total.
        sum: Total,
        /// Class.
        class: usize,
    },
    /// A sum over a count.
    Average {
        /// Its total.
        sum: Total,
        /// Class.
        class: usize,
        /// The sum is raised by this factor first.
        factor: i128,
        /// Bounds of the sum itself.
        plain: (i128, i128),
        /// Bounds of the raised sum.
        bounds: (i128, i128),
        /// Binary digits after the point.
        fraction_bits: usize,
    },
    /// Whether `some` is empty or not; NULL where `class` is empty.
    Quantified {
        /// Rows that argue for (BOOL_OR) or against (BOOL_AND).
        some: usize,
        /// Class.
        class: usize,
        /// BOOL_OR: true; BOOL_AND: false.
        when_some: bool,
    },
}

/// Classes and sums of the aggregates of one operator, in input rows.
#[derive(Debug)]
pub(crate) struct Measures {
    /// Bit per row; none: every row.
    pub(crate) classes: Vec<Option<Planes>>,
    /// Values.
    pub(crate) sums: Vec<Sum>,
    /// One per aggregate.
    pub(crate) outputs: Vec<Output>,
    /// What the classes are, to find them again; none for one that stands for itself.
    keys: Vec<Option<ClassKey>>,
    /// Whether there are far fewer groups than rows: what costs per group is then cheap.
    few_groups: bool,
    rows: usize,
}

/// (FILTER, argument whose NULLs do not contribute, wanted value of a Boolean argument).
type ClassKey = (Option<Expr>, Option<Expr>, Option<bool>);

/// What an aggregate needs of its argument.
pub(crate) fn argument_want(aggregate: &Aggregate) -> Want {
    match aggregate.function {
        Function::CountStar => Want::NOTHING,
        Function::Count if aggregate.distinct => Want::PLANES,
        Function::Count => Want::ANY,
        Function::Sum if aggregate.distinct => Want::PLANES.and(Want::ARITH),
        Function::Sum | Function::Avg => Want::ARITH,
        Function::Min | Function::Max | Function::BoolAnd | Function::BoolOr => Want::PLANES,
    }
}

impl Measures {
    /// Class 0 only.
    pub(crate) fn new(relation: &Relation, few_groups: bool) -> Self {
        Self {
            classes: vec![relation.valid.clone()],
            sums: Vec::new(),
            outputs: Vec::new(),
            keys: vec![None],
            few_groups,
            rows: relation.rows,
        }
    }

    /// Adds a class that no other aggregate shares.
    pub(crate) fn push_class(&mut self, bit: Planes) {
        self.classes.push(Some(bit));
        self.keys.push(None);
    }

    /// Adds an aggregate other than MIN, MAX and DISTINCT. Costs its expressions and one AND a
    /// condition of each new class.
    pub(crate) fn add(
        &mut self,
        aggregate: &Aggregate,
        relation: &mut Relation,
        s: &mut Session,
    ) -> Result<()> {
        let mut argument = match &aggregate.argument {
            Some(_) => Some(argument_of(aggregate, relation, s)?),
            None => None,
        };
        let class = self.class(aggregate, argument.as_mut(), None, relation, s)?;
        let output = match (aggregate.function, argument) {
            (Function::CountStar | Function::Count, _) => Output::Count { class },
            (Function::Sum, Some(mut x)) => {
                let sum = self.total(&mut x, class, aggregate.ty.ring_bits(), s)?;
                Output::Sum { sum, class }
            }
            (Function::Avg, Some(x)) => self.average(aggregate, x, class, s)?,
            (Function::BoolAnd, Some(mut x)) => {
                let some = self.class(aggregate, Some(&mut x), Some(false), relation, s)?;
                Output::Quantified { some, class, when_some: false }
            }
            (Function::BoolOr, Some(mut x)) => {
                let some = self.class(aggregate, Some(&mut x), Some(true), relation, s)?;
                Output::Quantified { some, class, when_some: true }
            }
            _ => return Err(QueryError::bug("an aggregate that does not add up")),
        };
        self.outputs.push(output);
        Ok(())
    }

    fn push(&mut self, class: usize, value: ArithAny) -> usize {
        self.sums.push(Sum { class, value });
        self.sums.len() - 1
    }

    /// Adds what a total takes. Where it leaves 64 bits and groups are few, the upper bits alone are
    /// converted once more; lifting every value to 128 bits costs twice to eight times as much.
    fn total(
        &mut self,
        x: &mut Column,
        class: usize,
        ring: usize,
        s: &mut Session,
    ) -> Result<Total> {
        if ring == 64 || x.ty.ring_bits() == 128 || !self.few_groups || x.as_literal().is_some() {
            let value = x.arith_in(s, ring)?;
            return Ok(Total::Whole(self.push(class, value)));
        }
        let Some((low, _)) = bits::bounds(&x.ty) else {
            return Err(QueryError::bug("the sum of a text"));
        };
        let rows_bits = bits_for(self.rows as u128).max(1);
        let width = x.ty.bits();
        let shift = 64_u32.saturating_sub(rows_bits);
        let kept = (shift as usize).min(width);
        let value = x.arith_in(s, 64)?;
        let upper = x.planes(s)?.bits(kept..width);
        let upper = ArithAny::A64(protocol::planes_to_arith(s, &upper)?);
        let sum = self.push(class, value);
        Ok(Total::Halves { sum, upper: self.push(class, upper), shift, low })
    }

    fn class(
        &mut self,
        aggregate: &Aggregate,
        argument: Option<&mut Column>,
        value: Option<bool>,
        relation: &mut Relation,
        s: &mut Session,
    ) -> Result<usize> {
        let nullable = argument.as_ref().is_some_and(|x| x.null.is_some());
        let key: ClassKey = (
            aggregate.filter.clone(),
            if nullable || value.is_some() { aggregate.argument.clone() } else { None },
            value,
        );
        if key == (None, None, None) {
            return Ok(VALID);
        }
        if let Some(found) = self.keys.iter().position(|k| k.as_ref() == Some(&key)) {
            return Ok(found);
        }
        let bit = contributes(aggregate, argument, value, relation, s)?;
        self.keys.push(Some(key));
        self.classes.push(Some(bit));
        Ok(self.classes.len() - 1)
    }

    /// Decimals keep their digits and gain those of the result type; integers become fixed point.
    fn average(
        &mut self,
        aggregate: &Aggregate,
        mut x: Column,
        class: usize,
        s: &mut Session,
    ) -> Result<Output> {
        let (factor, fraction_bits) = match (&x.ty, &aggregate.ty) {
            (
                Type::Number { kind: NumberKind::Decimal { scale: from, .. }, .. },
                Type::Number { kind: NumberKind::Decimal { scale: to, .. }, .. },
            ) => {
                let digits = u32::from(to.saturating_sub(*from));
                (10_i128.checked_pow(digits).ok_or_else(QueryError::out_of_range)?, 0)
            }
            (from, Type::Number { kind: NumberKind::Double { fraction_bits }, .. }) => {
                let own = match from {
                    Type::Number { kind: NumberKind::Double { fraction_bits }, .. } => {
                        *fraction_bits
                    }
                    _ => 0,
                };
                (1, fraction_bits.saturating_sub(own) as usize)
            }
            _ => return Err(QueryError::bug("AVG of a type that has none")),
        };
        let (low, high) = bits::bounds(&x.ty).ok_or_else(|| QueryError::bug("AVG of a text"))?;
        let rows = i128::try_from(self.rows).map_err(|_| QueryError::out_of_range())?;
        let times = |factor: i128, bound: i128| {
            rows.checked_mul(factor)
                .and_then(|times| bound.checked_mul(times))
                .ok_or_else(QueryError::out_of_range)
        };
        let plain = (times(1, low.min(0))?, times(1, high.max(0))?);
        let bounds = (times(factor, low.min(0))?, times(factor, high.max(0))?);
        let sum = self.total(&mut x, class, ring_of(plain), s)?;
        Ok(Output::Average { sum, class, factor, plain, bounds, fraction_bits })
    }
}

/// The ring that holds numbers within these bounds.
pub(crate) fn ring_of((low, high): (i128, i128)) -> usize {
    if i128::from(i64::MIN) <= low && high <= i128::from(i64::MAX) { 64 } else { 128 }
}

/// The argument of an aggregate; what fails in rows that its FILTER leaves out does not count.
pub(crate) fn argument_of(
    aggregate: &Aggregate,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Column> {
    let Some(argument) = &aggregate.argument else {
        return Err(QueryError::bug("an aggregate without its argument"));
    };
    let want = argument_want(aggregate);
    match &aggregate.filter {
        Some(filter) if argument.can_fail() => {
            let guard = truth([filter], Vec::new(), relation, s)?;
            under(&guard, relation, s, |relation, s| eval(argument, relation, s, want))
        }
        _ => eval(argument, relation, s, want),
    }
}

/// 1 where a row contributes to an aggregate: valid, FILTER is TRUE, the argument not NULL (and, for
/// a Boolean argument, equal to `value`).
pub(crate) fn contributes(
    aggregate: &Aggregate,
    argument: Option<&mut Column>,
    value: Option<bool>,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Planes> {
    let mut also: Vec<Planes> = relation.valid.iter().cloned().collect();
    if let Some(x) = argument {
        also.extend(x.null.as_ref().map(|null| null.not(s.party())));
        if let Some(value) = value {
            let planes = x.planes(s)?.clone();
            also.push(if value { planes } else { planes.not(s.party()) });
        }
    }
    truth(&aggregate.filter, also, relation, s)
}
