//! What an aggregation has to add up. Every COUNT, SUM, AVG, BOOL_AND and BOOL_OR comes down to
//! *classes* (bits: this row contributes) that are counted, and values that are summed over a
//! class. How rows meet their group is the operator's; what the totals mean is `finish`'s.

use crate::arith::ArithAny;
use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::{eval, truth};
use crate::plan::{Aggregate, Expr, Function};
use crate::relation::Relation;
use crate::types::{NumberKind, Type};
use crate::want::Want;
use trine_mpc::{Planes, Session};

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
        /// Index among the sums.
        sum: usize,
        /// Class.
        class: usize,
    },
    /// A sum over a count.
    Average {
        /// Index among the sums.
        sum: usize,
        /// Class.
        class: usize,
        /// The sum is raised by this factor first.
        factor: i128,
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
    pub(crate) fn new(relation: &Relation) -> Self {
        Self {
            classes: vec![relation.valid.clone()],
            sums: Vec::new(),
            outputs: Vec::new(),
            keys: vec![None],
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
            Some(expr) => Some(eval(expr, relation, s, argument_want(aggregate))?),
            None => None,
        };
        let class = self.class(aggregate, argument.as_mut(), None, relation, s)?;
        let output = match (aggregate.function, argument) {
            (Function::CountStar | Function::Count, _) => Output::Count { class },
            (Function::Sum, Some(mut x)) => {
                let value = x.arith_in(s, aggregate.ty.ring_bits())?;
                Output::Sum { sum: self.push(class, value), class }
            }
            (Function::Avg, Some(x)) => self.average(aggregate, x, class, relation.rows, s)?,
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
        rows: usize,
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
            (_, Type::Number { kind: NumberKind::Double { fraction_bits }, .. }) => {
                (1, *fraction_bits as usize)
            }
            _ => return Err(QueryError::bug("AVG of a type that has none")),
        };
        let (low, high) = bits::bounds(&x.ty).ok_or_else(|| QueryError::bug("AVG of a text"))?;
        let times = i128::try_from(rows)
            .ok()
            .and_then(|rows| rows.checked_mul(factor))
            .ok_or_else(QueryError::out_of_range)?;
        let raise = |bound: i128| bound.checked_mul(times).ok_or_else(QueryError::out_of_range);
        let bounds = (raise(low.min(0))?, raise(high.max(0))?);
        let fits = i128::from(i64::MIN) <= bounds.0 && bounds.1 <= i128::from(i64::MAX);
        let value = x.arith_in(s, if fits { 64 } else { 128 })?;
        let sum = self.push(class, value);
        Ok(Output::Average { sum, class, factor, bounds, fraction_bits })
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
