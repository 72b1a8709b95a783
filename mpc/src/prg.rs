//! Pairwise randomness: AES-128-CTR streams that exactly two parties can compute.
//!
//! A stream is addressed by a [`Position`] (operator of the session, purpose within the operator)
//! and runs over block numbers inside it. Positions only grow: a release build stops too before a
//! mask could be used twice. Nothing else in the crate makes masks.

use zeroize::Zeroize;

use crate::Ring;
use crate::kernel::{self, Cipher};
use crate::ring::ring_words;

/// Words made in one go: they stay in the first-level cache until they are used.
const BATCH_WORDS: usize = 256;
/// Blocks of one batch.
const BATCH_BLOCKS: u64 = BATCH_WORDS as u64 / 2;
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

/// A batch of key stream, aligned for every ring.
#[repr(align(64))]
struct Batch([u64; BATCH_WORDS]);

/// AES-128 in counter mode; counter = operator (64 bits), purpose (16), block (48).
pub(crate) struct Counter {
    cipher: Cipher,
}

impl Counter {
    /// The first 16 bytes of a derived key.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let mut short = [0; 16];
        short.copy_from_slice(&key[..16]);
        let cipher = Cipher::new(&short);
        short.zeroize();
        Self { cipher }
    }

    /// The high half of the number of a block, which must exist up to the end of `words` words.
    fn number(at: Position, block: u64, words: usize) -> u64 {
        let used = words.div_ceil(2) as u64;
        assert!(block + used <= BLOCKS_MAX, "a stream position is exhausted");
        u64::from(at.purpose) << 48 | block
    }

    /// Xors key stream from a block of a position on into `target`.
    fn xor_into(&self, at: Position, block: u64, target: &mut [u64]) {
        let high = Self::number(at, block, target.len());
        self.cipher.xor_into(at.operator, high, target);
    }

    /// Calls `take` with successive batches of key stream, and the number of words before each,
    /// until `words` words are given out.
    fn run(&self, at: Position, words: usize, mut take: impl FnMut(usize, &Batch)) {
        let mut batch = Batch([0; BATCH_WORDS]);
        let mut block = 0;
        for start in (0..words).step_by(BATCH_WORDS) {
            batch.0.fill(0);
            self.xor_into(at, block, &mut batch.0[..(words - start).min(BATCH_WORDS)]);
            block += BATCH_BLOCKS;
            take(start, &batch);
        }
        batch.0.zeroize();
    }

    /// Key stream bytes of position 0: for seeds that are used once. `apply` gets 8 bytes of it for
    /// every 8 bytes of `out`, the last of which may be fewer.
    pub(crate) fn bytes(&self, out: &mut [u8], apply: impl Fn(&mut [u8], &[u8])) {
        let words = out.len().div_ceil(8);
        self.run(Position::new(0, 0), words, |start, batch| {
            let from = start * 8;
            let to = out.len().min(from + BATCH_WORDS * 8);
            for (chunk, key) in out[from..to].chunks_mut(8).zip(kernel::bytes(&batch.0).chunks(8)) {
                apply(chunk, key);
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
    #[cfg(test)]
    pub(crate) fn words(&mut self, at: Position, words: usize) -> Vec<u64> {
        let mut out = vec![0; words];
        self.xor_into(at, &mut out);
        out
    }

    /// Xors random words into `target`.
    pub(crate) fn xor_into(&mut self, at: Position, target: &mut [u64]) {
        self.advance(at);
        self.counter.xor_into(at, 0, target);
    }

    /// Gives out `n` random ring elements in batches, each with the number of elements before it.
    pub(crate) fn elements<T: Ring>(
        &mut self,
        at: Position,
        n: usize,
        mut take: impl FnMut(usize, &[T]),
    ) {
        self.advance(at);
        self.counter.run(at, ring_words::<T>(n), |start, batch| {
            let from = start * 64 / T::BITS;
            take(from, kernel::elements(&batch.0, (n - from).min(batch_elements::<T>())));
        });
    }

    /// Takes a position, to be drawn from later.
    pub(crate) fn claim(&mut self, at: Position) -> Claim {
        self.advance(at);
        Claim(at)
    }

    /// Draws from a claimed position.
    pub(crate) fn draw(&self, claim: Claim) -> Draw<'_> {
        let batch = Batch([0; BATCH_WORDS]);
        Draw { counter: &self.counter, at: claim.0, block: 0, batch }
    }

    /// A uniformly random permutation of 0..n (Fisher and Yates), as a gather index.
    pub(crate) fn permutation(&mut self, at: Position, n: u32) -> Vec<u32> {
        self.advance(at);
        let mut index: Vec<u32> = (0..n).collect();
        let mut batch = Batch([0; BATCH_WORDS]);
        let (mut left, mut block) = (n as usize, 0);
        while left > 1 {
            batch.0.fill(0);
            self.counter.xor_into(at, block, &mut batch.0);
            block += BATCH_BLOCKS;
            for &number in kernel::elements::<u32>(&batch.0, 2 * BATCH_WORDS) {
                if left <= 1 {
                    break;
                }
                if let Some(place) = below(number, left) {
                    left -= 1;
                    index.swap(left, place);
                }
            }
        }
        batch.0.zeroize();
        index
    }
}

/// A position that its stream will not give out again. It is used up by drawing from it.
pub(crate) struct Claim(Position);

/// One position of a stream, batch by batch.
pub(crate) struct Draw<'a> {
    counter: &'a Counter,
    at: Position,
    block: u64,
    batch: Batch,
}

impl Draw<'_> {
    /// The next `n` ring elements, at most [`batch_elements`]. A batch begins at a whole block: both
    /// holders cut alike.
    pub(crate) fn next<T: Ring>(&mut self, n: usize) -> &[T] {
        let batch = &mut self.batch.0[..ring_words::<T>(n)];
        batch.fill(0);
        self.counter.xor_into(self.at, self.block, batch);
        self.block += batch.len().div_ceil(2) as u64;
        kernel::elements(batch, n)
    }
}

impl Drop for Draw<'_> {
    fn drop(&mut self) {
        self.batch.0.zeroize();
    }
}

/// Ring elements of one batch: whole words of bits.
pub(crate) const fn batch_elements<T: Ring>() -> usize {
    BATCH_WORDS * 64 / T::BITS
}

/// A number below `bound` <= 2^32 from a random one, uniform unless it is rejected: multiply and
/// shift (Lemire 2019).
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low half and a value below the bound")]
fn below(number: u32, bound: usize) -> Option<usize> {
    let product = u64::from(number) * bound as u64;
    let low = u64::from(product as u32);
    // The costly remainder is needed only where a rejection is possible at all.
    if low < bound as u64 && low < (1 << 32) % bound as u64 {
        return None;
    }
    Some((product >> 32) as usize)
}

/// A sharing of zero in the making: what the stream with the next party gives, and what the stream
/// with the previous party takes. The three parties' masks cancel.
pub(crate) struct ZeroMask<'a> {
    next: &'a PairStream,
    previous: &'a PairStream,
    at: Position,
    block: u64,
}

impl<'a> ZeroMask<'a> {
    /// Takes a position of both streams.
    pub(crate) fn new(
        next: &'a mut PairStream,
        previous: &'a mut PairStream,
        at: Position,
    ) -> Self {
        next.advance(at);
        previous.advance(at);
        Self { next, previous, at, block: 0 }
    }

    /// Masks the next words. Pieces begin at whole blocks: all parties cut alike.
    pub(crate) fn xor_into(&mut self, target: &mut [u64]) {
        let high = Counter::number(self.at, self.block, target.len());
        let (next, previous) = (&self.next.counter.cipher, &self.previous.counter.cipher);
        next.xor_both_into(previous, self.at.operator, high, target);
        self.block += target.len().div_ceil(2) as u64;
    }

    /// Masks the next ring elements.
    pub(crate) fn add_into<T: Ring>(&mut self, target: &mut [T]) {
        let (mut plus, mut minus) = (Batch([0; BATCH_WORDS]), Batch([0; BATCH_WORDS]));
        for piece in target.chunks_mut(batch_elements::<T>()) {
            let words = ring_words::<T>(piece.len());
            for (batch, stream) in [(&mut plus, self.next), (&mut minus, self.previous)] {
                batch.0[..words].fill(0);
                stream.counter.xor_into(self.at, self.block, &mut batch.0[..words]);
            }
            self.block += words.div_ceil(2) as u64;
            kernel::plus(piece, kernel::elements::<T>(&plus.0, piece.len()));
            kernel::minus(piece, kernel::elements::<T>(&minus.0, piece.len()));
        }
        plus.0.zeroize();
        minus.0.zeroize();
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
    fn elements_are_the_words_of_the_stream() {
        for n in [0, 1, 255, 256, 257, 1025] {
            let words = PairStream::new(&[1; 32]).words(Position::new(1, 0), ring_words::<u32>(n));
            let mut found: Vec<u32> = Vec::new();
            PairStream::new(&[1; 32]).elements(Position::new(1, 0), n, |start, batch| {
                assert_eq!(start, found.len());
                found.extend_from_slice(batch);
            });
            assert_eq!(found, kernel::elements::<u32>(&words, n));
        }
    }

    #[test]
    fn masks_of_three_parties_cancel_and_never_repeat() {
        let keys = [[1; 32], [2; 32], [3; 32]];
        let mut sums = [vec![0_u64; 700], vec![0_u64; 700]];
        let mut seen = std::collections::BTreeSet::new();
        for party in 0..3 {
            let mut next = PairStream::new(&keys[party]);
            let mut previous = PairStream::new(&keys[(party + 2) % 3]);
            for (purpose, sum) in (0..).zip(&mut sums) {
                let at = Position::new(1, purpose);
                let mut mask = ZeroMask::new(&mut next, &mut previous, at);
                let mut own = vec![0; 700];
                let (first, second) = own.split_at_mut(301);
                for part in [first, second] {
                    if purpose == 0 {
                        mask.xor_into(part);
                    } else {
                        mask.add_into(part);
                    }
                }
                assert!(own.iter().all(|word| seen.insert(*word)), "every mask is fresh");
                for (sum, word) in sum.iter_mut().zip(own) {
                    *sum = if purpose == 0 { *sum ^ word } else { sum.wrapping_add(word) };
                }
            }
        }
        assert!(sums.iter().flatten().all(|&word| word == 0));
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
        let mut long = stream.permutation(Position::new(5002, 0), 3000);
        long.sort_unstable();
        assert!(long.into_iter().eq(0..3000));
    }

    #[test]
    fn numbers_that_would_tilt_the_scale_are_rejected() {
        // Below 3, 2^32 = 3 m + 1: exactly one number has to go.
        assert_eq!(below(0, 3), None);
        assert_eq!(below(1, 3), Some(0));
        assert_eq!(below(u32::MAX, 3), Some(2));
        assert_eq!(below(0, 4), Some(0));
        assert_eq!(below(u32::MAX, 1 << 31), Some((1 << 31) - 1));
    }
}
