//! Carrying values from marked rows to the rows around them, in O(n): in the order of the marked rows
//! alone, differences of neighbours are taken; back at their places, prefix sums spread them.

use crate::arith::{self, ArithAny};
use crate::bits;
use crate::column::Column;
use crate::error::Result;
use crate::ops::tally::bits_to_arith;
use crate::relation::pack;
use crate::want::Want;
use trine_mpc::sort::{Column as Moving, SortOrder, partition};
use trine_mpc::{Planes, Session, protocol};

/// Which marked row a row looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toward {
    /// The last one at or before it; zeros before the first.
    Start,
    /// The first one at or after it; zeros after the last.
    End,
}

/// Carries any number of columns along the same marks. The marks stay secret, their number too.
pub(crate) struct Carrier {
    toward: Toward,
    rows: usize,
    mark: Planes,
    order: Option<SortOrder>,
    /// The mark as 0 or 1 in the rings of 64 and of 128 bits, made when asked for.
    factors: [Option<ArithAny>; 2],
}

impl Carrier {
    /// One partition by the mark. Reveals nothing.
    pub(crate) fn new(mark: &Planes, toward: Toward, s: &mut Session) -> Result<Self> {
        let rows = mark.len();
        // Unmarked rows are zero, and stand where a difference to them is that to nothing: before
        // the marked rows looking back, after them looking ahead.
        let first = match toward {
            Toward::Start => mark.not(s.party()),
            Toward::End => mark.clone(),
        };
        let order = if rows > 1 { Some(partition(s, &first)?) } else { None };
        Ok(Self { toward, rows, mark: mark.clone(), order, factors: [None, None] })
    }

    /// One product an element and two moves.
    pub(crate) fn columns(&mut self, columns: Vec<Moving>, s: &mut Session) -> Result<Vec<Moving>> {
        let masked = self.masked(columns, s)?;
        let Some(order) = &self.order else { return Ok(masked) };
        let mut steps = Vec::with_capacity(masked.len());
        for column in order.apply(s, masked)? {
            steps.push(match (column, self.toward) {
                (Moving::Planes(p), Toward::Start) => Moving::Planes(p.xor(&p.shift_down())),
                (Moving::Planes(p), Toward::End) => Moving::Planes(p.xor(&p.shift_up())),
                (number, Toward::Start) => {
                    ArithAny::from_moving(number)?.adjacent_difference().into_moving()
                }
                (number, Toward::End) => {
                    let own = ArithAny::from_moving(number)?;
                    let next = own.slice(1..self.rows);
                    let zero = ArithAny::constant(s, own.ring_bits(), 1, 0);
                    own.sub(&next.concat(&zero)?)?.into_moving()
                }
            });
        }
        let mut out = Vec::with_capacity(steps.len());
        for column in order.unapply(s, steps)? {
            out.push(match (column, self.toward) {
                (Moving::Planes(p), Toward::Start) => Moving::Planes(p.prefix_xor()),
                (Moving::Planes(p), Toward::End) => {
                    let up = p.prefix_xor();
                    let all = up.slice(self.rows - 1..self.rows).repeat_row(self.rows);
                    Moving::Planes(all.xor(&up).xor(&p))
                }
                (number, Toward::Start) => {
                    ArithAny::from_moving(number)?.prefix_sum().into_moving()
                }
                (number, Toward::End) => {
                    let own = ArithAny::from_moving(number)?;
                    let all = own.sum().repeat_row(self.rows);
                    all.sub(&own.prefix_sum())?.add(&own)?.into_moving()
                }
            });
        }
        Ok(out)
    }

    /// Numbers.
    pub(crate) fn numbers(
        &mut self,
        numbers: Vec<ArithAny>,
        s: &mut Session,
    ) -> Result<Vec<ArithAny>> {
        let moving = numbers.into_iter().map(ArithAny::into_moving).collect();
        self.columns(moving, s)?.into_iter().map(ArithAny::from_moving).collect()
    }

    /// One column in whichever encoding it has.
    pub(crate) fn column(&mut self, column: Column, s: &mut Session) -> Result<Column> {
        let (packed, moving) = pack(vec![column], &[Want::ANY])?;
        let mut moved = self.columns(moving, s)?.into_iter();
        let mut columns = packed.unpack(s, self.rows, &mut moved)?;
        columns.pop().ok_or_else(|| crate::error::QueryError::bug("a carry lost its column"))
    }

    /// Zero where there is no mark.
    fn masked(&mut self, columns: Vec<Moving>, s: &mut Session) -> Result<Vec<Moving>> {
        let mut planes = Vec::new();
        let mut numbers: [Vec<ArithAny>; 2] = [Vec::new(), Vec::new()];
        let mut kinds = Vec::with_capacity(columns.len());
        for column in columns {
            match column {
                Moving::Planes(p) => {
                    kinds.push(None);
                    planes.push(p);
                }
                number => {
                    let number = ArithAny::from_moving(number)?;
                    let ring = usize::from(number.ring_bits() == 128);
                    kinds.push(Some(ring));
                    numbers[ring].push(number);
                }
            }
        }
        let pairs: Vec<(&Planes, &Planes)> = planes.iter().map(|p| (&self.mark, p)).collect();
        let masked = if pairs.is_empty() { Vec::new() } else { protocol::and_many(s, &pairs)? };
        let mut masked = masked.into_iter();
        let mut products = Vec::with_capacity(2);
        for (ring, own) in numbers.iter().enumerate() {
            let factor = if own.is_empty() { None } else { Some(self.factor(ring, s)?) };
            let pairs: Vec<(&ArithAny, &ArithAny)> =
                own.iter().filter_map(|x| factor.as_ref().map(|f| (f, x))).collect();
            products.push(arith::mul_many(s, &pairs)?.into_iter());
        }
        let missing = || crate::error::QueryError::bug("a mask lost a column");
        kinds
            .into_iter()
            .map(|kind| match kind {
                None => masked.next().map(Moving::Planes).ok_or_else(missing),
                Some(ring) => products[ring].next().map(ArithAny::into_moving).ok_or_else(missing),
            })
            .collect()
    }

    fn factor(&mut self, ring: usize, s: &mut Session) -> Result<ArithAny> {
        if let Some(factor) = &self.factors[ring] {
            return Ok(factor.clone());
        }
        let made = bits_to_arith(&[(&self.mark, ring == 1)], s)?.pop().and_then(|mut v| v.pop());
        let made = made.ok_or_else(|| crate::error::QueryError::bug("a bit without a plane"))?;
        self.factors[ring] = Some(made.clone());
        Ok(made)
    }
}

/// Planes of the row `back` rows before (negative: after); zeros where there is none.
pub(crate) fn shifted_planes(planes: &Planes, back: i64, s: &Session) -> Planes {
    let n = planes.len();
    let by = usize::try_from(back.unsigned_abs()).unwrap_or(n).min(n);
    let zeros = bits::constant(s, by, &vec![false; planes.width()]);
    if back >= 0 {
        zeros.concat(&planes.slice(0..n - by))
    } else {
        planes.slice(by..n).concat(&zeros)
    }
}

/// The same of a number.
pub(crate) fn shifted_number(number: &ArithAny, back: i64, s: &Session) -> Result<ArithAny> {
    let n = number.len();
    let by = usize::try_from(back.unsigned_abs()).unwrap_or(n).min(n);
    let zeros = ArithAny::constant(s, number.ring_bits(), by, 0);
    if back >= 0 {
        zeros.concat(&number.slice(0..n - by))
    } else {
        number.slice(by..n).concat(&zeros)
    }
}
