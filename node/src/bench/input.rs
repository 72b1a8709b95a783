//! Input columns: plaintext from the job's seed, and each party's components of it.
//!
//! Two components of a column are expanded from seeds, the third is what remains, as when an owner
//! loads a table. Every party computes the plaintext here; only its own two components go on.

use super::job::Job;
use super::operation::Operation;
use trine_mpc::input::{cut_boolean, expand};
use trine_mpc::{Arith, Planes, Ring};

/// How a column is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Planes of so many bits.
    Boolean(usize),
    /// A ring of so many bits.
    Ring(usize),
}

/// A column in the clear: values below 2^bits.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) form: Form,
    pub(super) values: Vec<u128>,
}

/// Numbers that follow from a seed (SplitMix64; not for secrets).
pub(super) struct Draw(u64);

impl Draw {
    /// The numbers of one column of a job.
    pub(super) const fn of(job: &Job, column: u64) -> Self {
        Self(job.seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(column << 32))
    }
    pub(super) const fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    /// A value of so many bits, at most 128.
    pub(super) fn value(&mut self, bits: usize) -> u128 {
        let wide = u128::from(self.word()) | u128::from(self.word()) << 64;
        wide & mask(bits)
    }
    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.word() % limit).unwrap_or(0)
    }
}

/// The lowest `bits` bits set.
pub(super) const fn mask(bits: usize) -> u128 {
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}

/// The ring that an arithmetic value of so many bits lives in.
pub(super) const fn ring_of(bits: usize) -> usize {
    if bits <= 32 {
        32
    } else if bits <= 64 {
        64
    } else {
        128
    }
}

/// Input columns of a primitive, in the clear.
pub(super) fn plain(job: &Job) -> Vec<Plain> {
    let random = |column, form| Plain { form, values: random(job, column, form) };
    let boolean = Form::Boolean(job.bits);
    match job.operation {
        Operation::Round => plain(&Job { operation: Operation::And, rows: 64, ..job.clone() }),
        Operation::And => vec![random(0, boolean), random(1, boolean)],
        Operation::Mul => vec![random(0, Form::Ring(job.bits)), random(1, Form::Ring(job.bits))],
        Operation::Eq | Operation::Lt => {
            let first = random(0, boolean);
            let second = Plain { form: boolean, values: near(job, &first.values) };
            vec![first, second]
        }
        Operation::A2b => vec![random(0, Form::Ring(ring_of(job.bits)))],
        Operation::B2a => vec![random(0, Form::Boolean(1))],
        Operation::Shuffle => vec![random(0, boolean)],
        Operation::Sort => vec![Plain { form: boolean, values: repeated(job) }],
        Operation::Partition => vec![random(0, Form::Boolean(1)), random(1, boolean)],
        _ => Vec::new(),
    }
}

fn random(job: &Job, column: u64, form: Form) -> Vec<u128> {
    let mut draw = Draw::of(job, column);
    let (Form::Boolean(bits) | Form::Ring(bits)) = form;
    (0..job.rows).map(|_| draw.value(bits)).collect()
}

/// A quarter of the rows equal, a quarter different in the lowest bit only, the rest unrelated.
fn near(job: &Job, first: &[u128]) -> Vec<u128> {
    let mut draw = Draw::of(job, 1);
    let mut row = |(i, x): (usize, &u128)| match i % 4 {
        0 => *x,
        1 => *x ^ 1,
        _ => draw.value(job.bits),
    };
    first.iter().enumerate().map(&mut row).collect()
}

/// Keys of which a quarter repeat an earlier one.
fn repeated(job: &Job) -> Vec<u128> {
    let mut draw = Draw::of(job, 0);
    let mut keys: Vec<u128> = Vec::with_capacity(job.rows);
    for row in 0..job.rows {
        let key = if row % 4 == 3 { keys[draw.below(row)] } else { draw.value(job.bits) };
        keys.push(key);
    }
    keys
}

/// Seed of component 0 or 1 of a job's inputs.
pub(super) fn seed(job: &Job, component: u8) -> [u8; 32] {
    let text = [&job.seed.to_le_bytes()[..], &[component]].concat();
    *blake3::hash(&text).as_bytes()
}

/// The two components that a party holds, of the three.
pub(super) fn held<T: Clone>(party: usize, components: &[T; 3]) -> (T, T) {
    (components[party % 3].clone(), components[(party + 1) % 3].clone())
}

/// One party's shares of a boolean column.
pub(super) fn planes(job: &Job, party: usize, column: u32, bits: usize, values: &[u128]) -> Planes {
    let row_bytes = bits.div_ceil(8);
    let mut rest: Vec<u8> =
        values.iter().flat_map(|v| v.to_le_bytes().into_iter().take(row_bytes)).collect();
    let seeds = [seed(job, 0), seed(job, 1)];
    let mut expanded = [vec![0; rest.len()], vec![0; rest.len()]];
    for (seed, out) in seeds.iter().zip(&mut expanded) {
        expand(seed, column, 0, out);
    }
    cut_boolean(&mut rest, &seeds[0], &seeds[1], column, 0);
    let [first, second] = expanded;
    let (own, next) = held(party, &[first, second, rest]);
    Planes::from_rows(values.len(), bits, &own, &next)
}

/// One party's shares of an arithmetic column.
pub(super) fn arith<T: Ring>(job: &Job, party: usize, column: u32, values: &[u128]) -> Arith<T> {
    let [first, second] = [seed(job, 0), seed(job, 1)].map(|seed| {
        let mut bytes = vec![0; values.len() * T::BITS / 8];
        expand(&seed, column, 0, &mut bytes);
        bytes.chunks_exact(T::BITS / 8).map(element::<T>).collect::<Vec<T>>()
    });
    let rest = values
        .iter()
        .zip(&first)
        .zip(&second)
        .map(|((v, a), b)| T::from_u128(*v).minus(*a).minus(*b))
        .collect();
    let (own, next) = held(party, &[first, second, rest]);
    Arith::from_components(own, next)
}

fn element<T: Ring>(bytes: &[u8]) -> T {
    let mut wide = [0; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    T::from_u128(u128::from_le_bytes(wide))
}
