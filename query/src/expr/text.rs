//! Functions of zero-padded texts.
//!
//! The bytes of a text are laid out as rows, one block of rows a position, so that one protocol call
//! works on all positions at once. A text ends at its first zero byte: "byte i is not zero" is a
//! sequence of ones and then zeros, and a table over the length is a local sum over it.

mod decimal;
mod pattern;
mod shift;

pub(crate) use decimal::digits_of;

use crate::bits;
use crate::column::Column;
use crate::error::{QueryError, Result};
use crate::expr::case::spread;
use crate::expr::eval;
use crate::plan::{Expr, Literal, TextFunction};
use crate::relation::Relation;
use crate::types::Type;
use crate::want::Want;
use trine_mpc::{Planes, Session, protocol};

/// Computes a function of texts; NULL where an argument is.
pub(super) fn text(
    function: &TextFunction,
    arguments: &[Expr],
    ty: &Type,
    relation: &mut Relation,
    s: &mut Session,
) -> Result<Column> {
    if let (TextFunction::Decimal { scale }, [number]) = (function, arguments) {
        return decimal::decimal(number, *scale as usize, ty, relation, s);
    }
    let mut columns = Vec::with_capacity(arguments.len());
    for argument in arguments {
        columns.push(eval(argument, relation, s, Want::PLANES)?);
    }
    let mut null = None;
    for column in &columns {
        null = bits::or_optional(s, null.as_ref(), column.null.as_ref())?;
    }
    let mut columns = columns.into_iter();
    let mut next = || columns.next().ok_or_else(|| QueryError::bug("a text function lacks a text"));
    let mut x = Text::of(&mut next()?, s)?;
    let planes = match function {
        TextFunction::Slice { start } => x.slice(*start as usize, width_of(ty)?, s),
        TextFunction::Lower => x.cased(b'A', s)?,
        TextFunction::Upper => x.cased(b'a', s)?,
        TextFunction::IsAscii => x.is_ascii(s)?,
        TextFunction::Length => {
            let counted: Vec<usize> = (0..=x.bytes).collect();
            x.by_length(&counted, ty.bits(), s)?
        }
        TextFunction::Like(pattern) => pattern::like(&x, pattern, s)?,
        TextFunction::Position(needle) => pattern::position(&x, needle, ty.bits(), s)?,
        TextFunction::TrimStart(set) => shift::trim_start(&mut x, set, s)?,
        TextFunction::TrimEnd(set) => shift::trim_end(&x, set, s)?,
        TextFunction::Right(count) => shift::right(&mut x, *count as usize, s)?,
        TextFunction::Decimal { .. } => {
            return Err(QueryError::bug("the digits of several numbers"));
        }
        TextFunction::Concat => {
            let mut second = next()?;
            let literal = second.as_literal().cloned();
            match literal {
                Some(Literal::Text(text)) => shift::followed_by(&mut x, &text, width_of(ty)?, s)?,
                _ => {
                    let mut y = Text::of(&mut second, s)?;
                    shift::concatenated(&mut x, &mut y, s)?
                }
            }
        }
    };
    Ok(Column::from_planes(ty.clone(), planes, null))
}

fn width_of(ty: &Type) -> Result<usize> {
    match ty {
        Type::Text { bytes } => Ok(*bytes as usize),
        _ => Err(QueryError::bug("a function of texts gives no text")),
    }
}

/// The planes of a text.
pub(super) struct Text {
    /// First byte most significant.
    planes: Planes,
    /// Bytes.
    bytes: usize,
    /// Rows.
    rows: usize,
    filled: Option<Planes>,
}

impl Text {
    fn of(column: &mut Column, s: &mut Session) -> Result<Self> {
        let bytes = width_of(&column.ty)?;
        let planes = column.planes(s)?.clone();
        Ok(Self { rows: planes.len(), planes, bytes, filled: None })
    }

    /// Byte i, 8 planes.
    fn byte(&self, i: usize) -> Planes {
        let low = 8 * (self.bytes - 1 - i);
        self.planes.bits(low..low + 8)
    }

    /// All bytes as rows: block i holds byte i of every row.
    fn blocks(&self) -> Option<Planes> {
        joined((0..self.bytes).map(|i| self.byte(i)).collect())
    }

    /// Block i of a column made of blocks.
    fn block(&self, blocks: &Planes, i: usize) -> Planes {
        blocks.slice(i * self.rows..(i + 1) * self.rows)
    }

    /// Planes of a text from its blocks.
    fn of_blocks(&self, blocks: &Planes, s: &Session) -> Planes {
        let bytes: Vec<Planes> = (0..self.bytes).rev().map(|i| self.block(blocks, i)).collect();
        bits::stack_all(&bytes).unwrap_or_else(|| bits::constant(s, self.rows, &[]))
    }

    /// Bytes start..start + count, zeros beyond the end. Local.
    fn slice(&self, start: usize, count: usize, s: &Session) -> Planes {
        let zero = bits::constant(s, self.rows, &[false; 8]);
        let bytes: Vec<Planes> = (start..start + count)
            .rev()
            .map(|i| if i < self.bytes { self.byte(i) } else { zero.clone() })
            .collect();
        bits::stack_all(&bytes).unwrap_or_else(|| bits::constant(s, self.rows, &[]))
    }

    /// Blocks of one bit: byte i is not zero. 7 ANDs a byte, made once.
    fn filled(&mut self, s: &mut Session) -> Result<Planes> {
        if let Some(filled) = &self.filled {
            return Ok(filled.clone());
        }
        let made = match self.blocks() {
            Some(blocks) => protocol::equal_constant(s, &blocks, &[false; 8])?.not(s.party()),
            None => bits::constant_bit(s, 0, false),
        };
        self.filled = Some(made.clone());
        Ok(made)
    }

    /// `table[length]` in `width` planes. Local once it is known which bytes are filled.
    fn by_length(&mut self, table: &[usize], width: usize, s: &mut Session) -> Result<Planes> {
        let filled = self.filled(s)?;
        let number = |v: usize| bits::number_bits(v as u128, width);
        let first = table.first().copied().unwrap_or(0);
        let mut out = bits::constant(s, self.rows, &number(first));
        for (i, pair) in table.windows(2).enumerate() {
            let change: Vec<bool> =
                number(pair[0]).iter().zip(number(pair[1])).map(|(a, b)| a ^ b).collect();
            out = out.xor(&spread(s, &self.block(&filled, i), &change));
        }
        Ok(out)
    }

    /// 1 where no byte has its top bit. One AND a byte but the first.
    fn is_ascii(&self, s: &mut Session) -> Result<Planes> {
        let tops: Vec<Planes> =
            (0..self.bytes).map(|i| self.byte(i).bits(7..8).not(s.party())).collect();
        bits::and_tree(s, self.rows, tops)
    }

    /// Letters of 26 from `first` on change their case. About 10 ANDs a byte.
    fn cased(&self, first: u8, s: &mut Session) -> Result<Planes> {
        let Some(blocks) = self.blocks() else { return Ok(self.planes.clone()) };
        let top = bits::number_bits(u128::from(first >> 5), 3);
        let low = blocks.bits(0..5);
        let some = protocol::equal_constant(s, &low, &[false; 5])?.not(s.party());
        let within = protocol::less_than_constant(s, &low, &bits::number_bits(27, 5))?;
        let kind = protocol::equal_constant(s, &blocks.bits(5..8), &top)?;
        let letter = bits::and_tree(s, blocks.len(), vec![some, within, kind])?;
        let change = bits::number_bits(1 << 5, 8);
        Ok(self.of_blocks(&blocks.xor(&spread(s, &letter, &change)), s))
    }
}

/// Columns one after the other, joined as a tree; none: nothing.
pub(super) fn joined(mut parts: Vec<Planes>) -> Option<Planes> {
    while parts.len() > 1 {
        parts = parts
            .chunks(2)
            .map(|pair| match pair {
                [x, y] => x.concat(y),
                rest => rest[0].clone(),
            })
            .collect();
    }
    parts.pop()
}
