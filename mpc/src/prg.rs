//! Pairwise randomness: AES-128-CTR streams that exactly two parties can compute.
//!
//! A stream is addressed by a [`Position`] (operator of the session, purpose within the operator)
//! and runs over block numbers inside it. Positions only grow: a release build stops too before a
//! mask could be used twice. Nothing else in the crate makes masks.

use aes::Aes128;
use aes::cipher::{Array, Block, BlockCipherEncrypt, KeyInit};

/// Blocks encrypted in one call: 2 KiB, well inside the first-level cache.
const BATCH_BLOCKS: usize = 128;
/// Words of one batch.
const BATCH_WORDS: usize = 2 * BATCH_BLOCKS;
/// Blocks that one position can give.
const BLOCKS_MAX: u64 = 1 << 48;

/// Where a stream starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    operator: u64,
    purpose: u16,
}

impl Position {
    pub(crate) const fn new(operator: u64, purpose: u16) -> Self {
        Self { operator, purpose }
    }
}

/// AES-128 in counter mode; counter = operator (64 bits), purpose (16), block (48).
pub(crate) struct Counter {
    cipher: Aes128,
}

impl Counter {
    /// The first 16 bytes of a derived key.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let mut short = Array::from([0; 16]);
        short.copy_from_slice(&key[..16]);
        let cipher = Aes128::new(&short);
        zeroize::Zeroize::zeroize(short.as_mut_slice());
        Self { cipher }
    }

    /// Calls `take` with successive batches of key stream until `words` words are given out.
    fn run(&self, at: Position, words: usize, mut take: impl FnMut(usize, &[u64])) {
        self.run_from(at, 0, words, &mut take);
    }

    fn run_from(
        &self,
        at: Position,
        block: u64,
        words: usize,
        take: &mut dyn FnMut(usize, &[u64]),
    ) {
        let mut blocks = [Block::<Aes128>::default(); BATCH_BLOCKS];
        let mut buffer = [0; BATCH_WORDS];
        let top = u64::from(at.purpose) << 48;
        let mut next = block;
        let mut done = 0;
        while done < words {
            let count = (words - done).min(BATCH_WORDS);
            let used = count.div_ceil(2);
            assert!(next + used as u64 <= BLOCKS_MAX, "a stream position is exhausted");
            for (block, number) in blocks.iter_mut().zip(next..).take(used) {
                block[..8].copy_from_slice(&at.operator.to_le_bytes());
                block[8..].copy_from_slice(&(top | number).to_le_bytes());
            }
            self.cipher.encrypt_blocks(&mut blocks[..used]);
            for (pair, block) in buffer.chunks_exact_mut(2).zip(&blocks).take(used) {
                let (mut low, mut high) = ([0; 8], [0; 8]);
                low.copy_from_slice(&block[..8]);
                high.copy_from_slice(&block[8..]);
                pair[0] = u64::from_le_bytes(low);
                pair[1] = u64::from_le_bytes(high);
            }
            take(done, &buffer[..count]);
            next += used as u64;
            done += count;
        }
    }

    /// Key stream bytes of position 0: for seeds that are used once.
    pub(crate) fn bytes(&self, out: &mut [u8], apply: impl Fn(&mut [u8], &[u8])) {
        let words = out.len().div_ceil(8);
        self.run(Position::new(0, 0), words, |start, batch| {
            let from = start * 8;
            let to = out.len().min(from + batch.len() * 8);
            for (chunk, word) in out[from..to].chunks_mut(8).zip(batch) {
                let key = word.to_le_bytes();
                apply(chunk, &key[..]);
            }
        });
    }
}

/// The stream that this party shares with one other.
pub(crate) struct PairStream {
    counter: Counter,
    last: Option<Position>,
}

impl PairStream {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self { counter: Counter::new(key), last: None }
    }

    /// Takes a position; taking one that is not above all earlier ones is a defect and stops here.
    fn advance(&mut self, at: Position) {
        assert!(self.last.is_none_or(|last| last < at), "a stream position is used twice");
        self.last = Some(at);
    }

    /// `words` random words.
    pub(crate) fn words(&mut self, at: Position, words: usize) -> Vec<u64> {
        self.advance(at);
        let mut out = Vec::with_capacity(words);
        self.counter.run(at, words, |_, batch| out.extend_from_slice(batch));
        out
    }

    /// Xors random words into `target`.
    pub(crate) fn xor_into(&mut self, at: Position, target: &mut [u64]) {
        self.advance(at);
        self.counter.run(at, target.len(), |start, batch| {
            for (t, r) in target[start..start + batch.len()].iter_mut().zip(batch) {
                *t ^= r;
            }
        });
    }

    /// A uniformly random permutation of 0..n (Fisher and Yates), as a gather index.
    pub(crate) fn permutation(&mut self, at: Position, n: u32) -> Vec<u32> {
        self.advance(at);
        let mut index: Vec<u32> = (0..n).collect();
        let mut cursor = Cursor { counter: &self.counter, at, block: 0, buffer: Vec::new() };
        for i in (1..n).rev() {
            let j = cursor.below(i + 1);
            index.swap(i as usize, j as usize);
        }
        index
    }
}

/// Reads one position number by number, as many as rejection asks for.
struct Cursor<'a> {
    counter: &'a Counter,
    at: Position,
    block: u64,
    /// Words still to be used, last first.
    buffer: Vec<u64>,
}

impl Cursor<'_> {
    fn word(&mut self) -> u64 {
        loop {
            if let Some(word) = self.buffer.pop() {
                return word;
            }
            let buffer = &mut self.buffer;
            self.counter.run_from(self.at, self.block, BATCH_WORDS, &mut |_, batch| {
                buffer.extend(batch.iter().rev());
            });
            self.block += BATCH_BLOCKS as u64;
        }
    }

    /// Uniform below `bound` > 0: multiply and shift, with rejection (Lemire 2019).
    #[allow(clippy::cast_possible_truncation, reason = "low word and a value below a u32 bound")]
    fn below(&mut self, bound: u32) -> u32 {
        let bound = u64::from(bound);
        loop {
            let product = u128::from(self.word()) * u128::from(bound);
            let low = product as u64;
            // The costly remainder is needed only where a rejection is possible at all.
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 64) as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_holders_draw_the_same_and_positions_differ() {
        let (mut a, mut b) = (PairStream::new(&[1; 32]), PairStream::new(&[1; 32]));
        let first = a.words(Position::new(1, 0), 1001);
        assert_eq!(first, b.words(Position::new(1, 0), 1001));
        let second = a.words(Position::new(1, 1), 1001);
        assert_ne!(first, second);
        let mut target = first.clone();
        let mut c = PairStream::new(&[1; 32]);
        c.xor_into(Position::new(1, 0), &mut target);
        assert!(target.iter().all(|&w| w == 0));
        assert_ne!(PairStream::new(&[2; 32]).words(Position::new(1, 0), 1001), first);
    }

    #[test]
    #[should_panic(expected = "used twice")]
    fn a_position_cannot_be_used_twice() {
        let mut stream = PairStream::new(&[1; 32]);
        let _ = stream.words(Position::new(4, 1), 1);
        let _ = stream.words(Position::new(4, 1), 1);
    }

    #[test]
    fn permutations_are_permutations_and_spread() {
        let mut stream = PairStream::new(&[9; 32]);
        let mut hits = [[0_u32; 4]; 4];
        for round in 0..4000 {
            let p = stream.permutation(Position::new(round, 0), 4);
            let mut sorted = p.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
            for (place, &value) in p.iter().enumerate() {
                hits[place][value as usize] += 1;
            }
        }
        assert!(hits.iter().flatten().all(|&h| (850..1150).contains(&h)), "{hits:?}");
        assert!(stream.permutation(Position::new(5000, 0), 0).is_empty());
        assert_eq!(stream.permutation(Position::new(5001, 0), 1), [0]);
    }
}
