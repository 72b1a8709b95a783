//! Result shares on their way to the verification, and how they are put together.

use serde::{Deserialize, Serialize};
use trine_mpc::{Arith, Planes, Ring};
use trine_proto::wire::{OutputColumn, ShareForm};
use trine_query::{Executed, ShareVector};

/// Public description of one column of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// Whether it is added up in a ring or xored together.
    ring: bool,
    /// Planes, or bits of the ring.
    bits: usize,
    /// What is added to an unsigned value.
    low: i128,
    /// Whether the highest bit is a sign.
    signed: bool,
    /// Whether a NULL plane follows.
    nullable: bool,
}

/// One vector: the own component, and a digest of the next party's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Vector {
    pub(super) own: Vec<u8>,
    next: [u8; 32],
}

/// One party's part of a result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    rows: usize,
    columns: Vec<Header>,
    /// Whether a plane follows that says which rows exist.
    valid: bool,
    pub(super) vectors: Vec<Vector>,
}

/// A result in the clear, column by column; NULL is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) columns: Vec<Vec<Option<i128>>>,
}

impl Vector {
    fn new(own: Vec<u8>, next: &[u8]) -> Self {
        Self { own, next: *blake3::hash(next).as_bytes() }
    }
}

impl Part {
    /// Without columns, of so many rows.
    pub(super) const fn of_rows(rows: usize) -> Self {
        Self { rows, columns: Vec::new(), valid: false, vectors: Vec::new() }
    }

    /// With one more boolean column.
    pub(super) fn with_planes(mut self, x: &Planes) -> Self {
        let bytes = |words: &[u64]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
        let (own, next) = x.components();
        self.vectors.push(Vector::new(bytes(own), &bytes(next)));
        self.columns.push(Header {
            ring: false,
            bits: x.width(),
            low: 0,
            signed: false,
            nullable: false,
        });
        self
    }

    /// With one more arithmetic column.
    pub(super) fn with_arith<T: Ring>(mut self, x: &Arith<T>) -> Self {
        let bytes = |elements: &[T]| {
            let element = |v: &T| v.to_u128().to_le_bytes().into_iter().take(T::BITS / 8);
            elements.iter().flat_map(element).collect::<Vec<u8>>()
        };
        let (own, next) = x.components();
        self.vectors.push(Vector::new(bytes(own), &bytes(next)));
        self.columns.push(Header {
            ring: true,
            bits: T::BITS,
            low: 0,
            signed: false,
            nullable: false,
        });
        self
    }

    /// What the executor hands out for the client.
    pub(super) fn executed(executed: &Executed) -> Self {
        let header = |column: &OutputColumn| Header {
            ring: column.form() == ShareForm::Arithmetic,
            bits: column.bits as usize,
            low: column.low.as_slice().try_into().map_or(0, i128::from_le_bytes),
            signed: true,
            nullable: column.nullable,
        };
        let vector = |v: &ShareVector| Vector::new(v.own.clone(), &v.next);
        Self {
            rows: usize::try_from(executed.rows).unwrap_or(usize::MAX),
            columns: executed.columns.iter().map(header).collect(),
            valid: true,
            vectors: executed.vectors.iter().map(vector).collect(),
        }
    }

    /// Flips one bit of the own component.
    pub(super) fn corrupt(&mut self) {
        if let Some(byte) = self.vectors.first_mut().and_then(|v| v.own.first_mut()) {
            *byte ^= 1;
        }
    }
}

/// Puts three parts together.
///
/// # Errors
/// What does not fit: shapes, or what two holders of a component say of it.
pub(super) fn open(parts: &[Part; 3]) -> Result<Opened, String> {
    let [first, rest @ ..] = parts;
    for part in rest {
        let same = part.rows == first.rows && part.columns == first.columns;
        if !same || part.vectors.len() != first.vectors.len() {
            return Err("the parties' results have different shapes".into());
        }
    }
    for (party, part) in parts.iter().enumerate() {
        let after = &parts[(party + 1) % 3];
        for (index, (vector, other)) in part.vectors.iter().zip(&after.vectors).enumerate() {
            if vector.next != *blake3::hash(&other.own).as_bytes() {
                let next = (party + 1) % 3;
                return Err(format!(
                    "WRONG RESULT: parties {party} and {next} hold different shares of vector {index}"
                ));
            }
        }
    }
    let mut columns = Vec::new();
    let mut index = 0;
    let mut take = |ring, bits| {
        let values = values(parts, index, ring, bits, first.rows);
        index += 1;
        values
    };
    for header in &first.columns {
        let values = take(header.ring, header.bits)?;
        let nulls = header.nullable.then(|| take(false, 1)).transpose()?;
        let value = |(row, v): (usize, u128)| {
            let null = nulls.as_ref().is_some_and(|n| n[row] == 1);
            (!null).then(|| decode(header, v))
        };
        columns.push(values.into_iter().enumerate().map(value).collect::<Vec<_>>());
    }
    if first.valid {
        let valid = take(false, 1)?;
        for column in &mut columns {
            let mut row = 0..;
            column.retain(|_| row.next().is_some_and(|row: usize| valid[row] == 1));
        }
    }
    Ok(Opened { columns })
}

const fn decode(header: &Header, value: u128) -> i128 {
    let shift = 128 - header.bits;
    if header.ring && header.signed {
        return (value << shift).cast_signed() >> shift;
    }
    header.low.wrapping_add(value.cast_signed())
}

/// One vector's values, unsigned.
fn values(
    parts: &[Part; 3],
    index: usize,
    ring: bool,
    bits: usize,
    rows: usize,
) -> Result<Vec<u128>, String> {
    let words = rows.div_ceil(64);
    let length = if ring { rows * bits / 8 } else { bits * words * 8 };
    let missing = || format!("vector {index} of the result is missing or of another length");
    let mut components = Vec::with_capacity(3);
    for part in parts {
        let own = part.vectors.get(index).map(|v| v.own.as_slice());
        components.push(own.filter(|own| own.len() == length).ok_or_else(missing)?);
    }
    if bits > 128 {
        return Err("a column is wider than 128 bits".into());
    }
    if ring {
        let element = |row: usize| {
            let part = |component: &&[u8]| {
                let mut wide = [0; 16];
                wide[..bits / 8].copy_from_slice(&component[row * bits / 8..(row + 1) * bits / 8]);
                u128::from_le_bytes(wide)
            };
            let sum = components.iter().map(part).fold(0, u128::wrapping_add);
            sum & super::input::mask(bits)
        };
        return Ok((0..rows).map(element).collect());
    }
    let mut values = vec![0; rows];
    for plane in 0..bits {
        for (row, value) in values.iter_mut().enumerate() {
            let byte = plane * words * 8 + row / 8;
            let bit = components.iter().fold(0, |bit, c| bit ^ c[byte]) >> (row % 8) & 1;
            *value |= u128::from(bit) << plane;
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::input;
    use crate::bench::{Job, Operation};

    fn parts() -> [Part; 3] {
        let job = Job::new(Operation::And, 70, 9);
        let values: Vec<u128> = (0..70).map(|v| v * 7 % 512).collect();
        [0, 1, 2].map(|party| {
            Part::of_rows(70)
                .with_planes(&input::planes(&job, party, 0, 9, &values))
                .with_arith(&input::arith::<u32>(&job, party, 1, &values))
        })
    }

    #[test]
    fn three_parts_give_the_values() {
        let opened = open(&parts()).unwrap();
        let expected: Vec<_> = (0..70).map(|v| Some(v * 7 % 512)).collect();
        assert_eq!(opened.columns, [expected.clone(), expected]);
    }

    #[test]
    fn a_changed_share_is_noticed() {
        let mut parts = parts();
        parts[1].corrupt();
        assert_eq!(
            open(&parts).unwrap_err(),
            "WRONG RESULT: parties 0 and 1 hold different shares of vector 0"
        );
    }

    #[test]
    fn a_short_vector_is_noticed() {
        let mut parts = parts();
        for part in &mut parts {
            part.vectors[1] = Vector::new(Vec::new(), &[]);
        }
        let error = open(&parts).unwrap_err();
        assert_eq!(error, "vector 1 of the result is missing or of another length");
    }
}
