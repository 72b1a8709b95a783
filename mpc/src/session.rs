//! One party's side of one attempt of one job.

use std::sync::Arc;

use zeroize::Zeroize;

use crate::kernel::{bytes, bytes_mut};
use crate::net::Net;
use crate::pipe::Pipe;
use crate::prg::{PairStream, Position, ZeroMask};
use crate::ring::Ring;
use crate::{Chosen, Cost, MpcError, Planes, Result};

pub use crate::cost::{Circuit, Profile};

/// Domain of the keys of one attempt.
const CONTEXT: &str = "trine 2025-01 pair key of one attempt v1";
/// Domain of the keys of one lane of a fork.
const LANE_CONTEXT: &str = "trine 2025-01 pair key of one lane v1";

/// The keys of one attempt that this party shares with the next and with the previous party.
/// Derive with [`AttemptKeys::derive`]; never reuse for a second attempt. Erased when dropped.
pub struct AttemptKeys {
    next: [u8; 32],
    previous: [u8; 32],
}

impl std::fmt::Debug for AttemptKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AttemptKeys(2 keys)")
    }
}

impl Drop for AttemptKeys {
    fn drop(&mut self) {
        self.next.zeroize();
        self.previous.zeroize();
    }
}

impl AttemptKeys {
    /// From the two pair secrets and the transcript (job, attempt, plan digest, both fresh nonces
    /// of each pair's start handshake in party order). Both ends of a pair give the same secret and
    /// the same context bytes: `next` of party i and `previous` of party i+1.
    #[must_use]
    pub fn derive(
        pair_next: &[u8; 32],
        pair_previous: &[u8; 32],
        context_next: &[u8],
        context_previous: &[u8],
    ) -> Self {
        let key = |secret: &[u8; 32], context: &[u8]| {
            let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
            hasher.update(secret).update(context);
            *hasher.finalize().as_bytes()
        };
        Self { next: key(pair_next, context_next), previous: key(pair_previous, context_previous) }
    }

    /// The keys of one lane of the fork that is operator `operator` of the session with these keys: a
    /// stream position of one can never be one of another.
    fn of_lane(&self, operator: u64, lane: u32) -> Self {
        let key = |pair: &[u8; 32]| {
            let mut hasher = blake3::Hasher::new_derive_key(LANE_CONTEXT);
            hasher.update(pair).update(&operator.to_le_bytes()).update(&lane.to_le_bytes());
            *hasher.finalize().as_bytes()
        };
        Self { next: key(&self.next), previous: key(&self.previous) }
    }
}

/// What only a real session has.
struct Live {
    net: Arc<dyn Net>,
    /// The network's lane of this session's messages: 0, or that of a fork.
    lane: u32,
    keys: AttemptKeys,
    next: PairStream,
    previous: PairStream,
    /// Word buffers for what lives within one protocol; what they held is erased with the session.
    buffers: Vec<Vec<u64>>,
}

impl Live {
    fn new(net: Arc<dyn Net>, lane: u32, keys: AttemptKeys) -> Self {
        let (next, previous) = (PairStream::new(&keys.next), PairStream::new(&keys.previous));
        Self { net, lane, keys, next, previous, buffers: Vec::new() }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for buffer in &mut self.buffers {
            buffer.zeroize();
        }
    }
}

/// Buffers kept for reuse: more are in use at a time only in the shallowest circuits.
const BUFFERS_MAX: usize = 16;
/// Words that they may hold together: what is kept is memory that columns cannot have.
const BUFFER_WORDS_MAX: usize = 1 << 23;

/// One party's side of a protocol run. `Session::dry` has no network: every protocol charges its
/// predicted cost and returns *ghost* shares (right length and width, no data).
///
/// All three parties call the same protocols in the same order with columns of equal shape; what
/// a protocol does depends on nothing else. After an error the session is of no further use: the
/// attempt is lost and needs fresh keys.
pub struct Session {
    party: usize,
    profile: Profile,
    live: Option<Live>,
    operator: u64,
    /// Shuffles so far.
    shuffles: usize,
    chosen: Chosen,
    cost: Cost,
    sorts_predicted: Cost,
    sorts_recomputed: Cost,
    raised: Vec<(u8, Planes)>,
}

/// A dry session asked for what only a real one has.
const DRY: MpcError = MpcError::Shape("a dry session has no network");

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.is_dry() { "dry" } else { "real" };
        write!(f, "Session(party {}, {kind}, {:?})", self.party, self.cost)
    }
}

impl Session {
    /// A real session of party `party` (0, 1 or 2; anything else is a defect and panics).
    #[must_use]
    pub fn new(party: usize, net: Arc<dyn Net>, keys: AttemptKeys, profile: Profile) -> Self {
        assert!(party < 3, "a party index");
        Self { party, live: Some(Live::new(net, 0, keys)), ..Self::dry(profile) }
    }
    /// A session for one lane (1 or more) of the fork that is operator `operator` of this one.
    pub(crate) fn fork(&self, operator: u64, lane: u32) -> Result<Self> {
        let live = self.live.as_ref().ok_or(DRY)?;
        if live.lane != 0 || lane == 0 {
            return Err(MpcError::Shape("a fork within a fork"));
        }
        let keys = live.keys.of_lane(operator, lane);
        let live = Live::new(Arc::clone(&live.net), lane, keys);
        Ok(Self { party: self.party, live: Some(live), ..Self::dry(self.profile) })
    }
    /// Whether this session is one lane of a fork.
    pub(crate) fn is_fork(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.lane != 0)
    }
    /// A session that predicts costs (of all three parties) only.
    #[must_use]
    pub fn dry(profile: Profile) -> Self {
        Self {
            party: 0,
            profile,
            live: None,
            operator: 0,
            shuffles: 0,
            chosen: Chosen::default(),
            cost: Cost::default(),
            sorts_predicted: Cost::default(),
            sorts_recomputed: Cost::default(),
            raised: Vec::new(),
        }
    }
    /// Whether this session only predicts.
    #[must_use]
    pub fn is_dry(&self) -> bool {
        self.live.is_none()
    }
    /// This party's index (0 in a dry session).
    #[must_use]
    pub fn party(&self) -> usize {
        self.party
    }
    /// Profile.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }
    /// So far: real session: own bytes counted at index `party()` (others 0); dry: predicted for
    /// all.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }
    /// Expectation charged so far for the parts of sorts whose shape depends on opened
    /// comparisons, bytes of all three parties. In a dry session it is part of
    /// [`Session::cost`]; in a real one it is what a dry session would have charged.
    #[must_use]
    pub fn sorts_predicted(&self) -> Cost {
        self.sorts_predicted
    }
    /// Cost of the same parts, recomputed from the opened segment sizes, bytes of all three
    /// parties; zero in a dry session. A whole run satisfies, for rounds and for the bytes of each
    /// party, counted == predicted - [`Session::sorts_predicted`] + `sorts_recomputed`. (Every
    /// sort asserts its own part.)
    #[must_use]
    pub fn sorts_recomputed(&self) -> Cost {
        self.sorts_recomputed
    }
    /// Checks for cancellation between operators.
    ///
    /// # Errors
    /// [`crate::MpcError::Cancelled`], or [`crate::MpcError::PeerLost`] if that is known already.
    pub fn check(&self) -> Result<()> {
        self.live.as_ref().map_or(Ok(()), |live| live.net.check())
    }

    /// Notes that something failed in the rows whose bit is 1 (a column of width 1). What `kind`
    /// means is the caller's; nothing is opened or sent.
    pub fn raise(&mut self, kind: u8, rows: Planes) {
        self.raised.push((kind, rows));
    }
    /// What was raised since the last call, in order.
    pub fn take_raised(&mut self) -> Vec<(u8, Planes)> {
        std::mem::take(&mut self.raised)
    }

    /// The next shuffle is led by party 0 again, as in a fresh session: for who runs a program of which the
    /// cost is known from a fresh dry session. All parties do it at the same step.
    pub fn restart_turns(&mut self) {
        self.shuffles = 0;
    }

    /// What was chosen since the last call.
    pub fn take_chosen(&mut self) -> Chosen {
        std::mem::take(&mut self.chosen)
    }
    /// Where choices are noted.
    pub(crate) fn chosen(&mut self) -> &mut Chosen {
        &mut self.chosen
    }

    /// The party after this one: it holds x_{i+1} too.
    pub(crate) fn next(&self) -> usize {
        (self.party + 1) % 3
    }
    /// The party before this one: it holds x_i too.
    pub(crate) fn previous(&self) -> usize {
        (self.party + 2) % 3
    }

    /// Charges a prediction (dry sessions).
    pub(crate) fn charge(&mut self, cost: Cost) {
        self.cost += cost;
    }
    /// Books the data-dependent part of one sort.
    pub(crate) fn note_sort(&mut self, predicted: Cost, recomputed: Cost) {
        self.sorts_predicted += predicted;
        self.sorts_recomputed += recomputed;
    }

    /// A number that no earlier step of this session had; equal at all parties.
    pub(crate) fn operator(&mut self) -> u64 {
        self.operator += 1;
        self.operator
    }

    /// The party that leads the next shuffle, and so sends twice as much as the others: every party in
    /// its turn.
    pub(crate) fn next_lead(&mut self) -> usize {
        self.shuffles += 1;
        (self.shuffles - 1) % 3
    }

    fn live(&mut self) -> Result<&mut Live> {
        self.live.as_mut().ok_or(DRY)
    }
    /// A buffer of `words` words whose contents are unspecified: for what lives within one protocol.
    pub(crate) fn take_buffer(&mut self, words: usize) -> Vec<u64> {
        let buffers = self.live.as_mut().map(|live| &mut live.buffers);
        // The smallest that is large enough; else a new one, so that no buffer grows by copying.
        let found = buffers.and_then(|buffers| {
            let fits = |i: &usize| buffers[*i].capacity() >= words;
            let best = (0..buffers.len()).filter(fits).min_by_key(|&i| buffers[i].capacity());
            best.map(|i| buffers.swap_remove(i))
        });
        let Some(mut buffer) = found else { return vec![0; words] };
        buffer.resize(words, 0);
        buffer
    }
    /// Gives a buffer back for reuse.
    pub(crate) fn give_buffer(&mut self, buffer: Vec<u64>) {
        let Some(live) = &mut self.live else { return };
        if buffer.capacity() == 0 {
            return;
        }
        live.buffers.push(buffer);
        // The smallest go first where there are too many, the largest where they are too large.
        let total = |buffers: &[Vec<u64>]| buffers.iter().map(Vec::capacity).sum::<usize>();
        live.buffers.sort_unstable_by_key(Vec::capacity);
        if live.buffers.len() > BUFFERS_MAX {
            live.buffers.remove(0).zeroize();
        }
        while total(&live.buffers) > BUFFER_WORDS_MAX
            && let Some(mut largest) = live.buffers.pop()
        {
            largest.zeroize();
        }
    }
    /// The stream shared with `peer`, one of the two others.
    pub(crate) fn stream(&mut self, peer: usize) -> Result<&mut PairStream> {
        let next = self.next();
        let live = self.live()?;
        Ok(if peer == next { &mut live.next } else { &mut live.previous })
    }
    /// The streams shared with the next and with the previous party.
    pub(crate) fn streams(&mut self) -> Result<(&mut PairStream, &mut PairStream)> {
        let live = self.live()?;
        Ok((&mut live.next, &mut live.previous))
    }
    /// Random ring elements known to this party and `peer`.
    pub(crate) fn common<T: Ring>(
        &mut self,
        peer: usize,
        at: Position,
        n: usize,
    ) -> Result<Vec<T>> {
        let mut out = vec![T::default(); n];
        self.stream(peer)?.elements(at, n, |start, batch: &[T]| {
            out[start..start + batch.len()].copy_from_slice(batch);
        });
        Ok(out)
    }
    /// Masks of which the three parties' cancel, from a position of their own.
    pub(crate) fn zero_mask(&mut self) -> Result<ZeroMask<'_>> {
        let at = Position::new(self.operator(), 0);
        let live = self.live()?;
        Ok(ZeroMask::new(&mut live.next, &mut live.previous, at))
    }

    /// One round in which everyone sends `own` to the previous party and takes `other` from the next:
    /// component i is then with both that hold it. Nothing for empty slices.
    pub(crate) fn reshare<T: Ring>(&mut self, own: &[T], other: &mut [T]) -> Result<()> {
        self.exchange(self.previous(), own, self.next(), other)
    }
    /// The same for a message that leaves while it is made; to be ended by [`Session::end_pipe`].
    pub(crate) fn pipe(&mut self) -> Result<Pipe> {
        let (to, from, profile) = (self.previous(), self.next(), self.profile);
        let live = self.live()?;
        Ok(Pipe::new(Arc::clone(&live.net), live.lane, to, from, profile))
    }
    /// Sends what is left of `own` and waits for `other`: with that the round is over.
    pub(crate) fn end_pipe<T: Ring>(
        &mut self,
        mut pipe: Pipe,
        own: &[T],
        other: &mut [T],
    ) -> Result<()> {
        if own.is_empty() {
            return Ok(());
        }
        pipe.end(own, other)?;
        self.cost.bytes[self.party] += size_of_val(own) as u64;
        self.end_round();
        Ok(())
    }
    /// One round in which everyone sends `own` to the next party and takes the component that it
    /// lacks from the previous one. Nothing for empty slices.
    pub(crate) fn gather_missing<T: Ring>(&mut self, own: &[T], missing: &mut [T]) -> Result<()> {
        self.exchange(self.next(), own, self.previous(), missing)
    }

    fn exchange<T: Ring>(
        &mut self,
        to: usize,
        out: &[T],
        from: usize,
        into: &mut [T],
    ) -> Result<()> {
        if out.is_empty() && into.is_empty() {
            return Ok(());
        }
        self.cost.bytes[self.party] += size_of_val(out) as u64;
        let live = self.live()?;
        live.net.exchange(live.lane, to, bytes(out), from, bytes_mut(into))?;
        self.end_round();
        Ok(())
    }

    /// Sends elements and counts. Nothing is sent for an empty message: lengths are public.
    pub(crate) fn send_elements<T: Ring>(&mut self, to: usize, elements: &[T]) -> Result<()> {
        self.send_slice(to, bytes(elements))
    }
    /// Waits for a message that fills `into`.
    pub(crate) fn receive_elements<T: Ring>(&mut self, from: usize, into: &mut [T]) -> Result<()> {
        if into.is_empty() {
            return Ok(());
        }
        let live = self.live()?;
        live.net.receive(from, live.lane, bytes_mut(into))
    }
    fn send_slice(&mut self, to: usize, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.cost.bytes[self.party] += bytes.len() as u64;
        let live = self.live()?;
        live.net.send(to, live.lane, bytes)
    }
    /// Counts one round; every party counts it, also one that only sends or only waits.
    pub(crate) fn end_round(&mut self) {
        self.cost.rounds += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pair_keys_agree_and_nonces_separate_attempts() {
        let (s01, s12, s20) = ([1; 32], [2; 32], [3; 32]);
        let first = AttemptKeys::derive(&s01, &s20, b"job 1 nonces a", b"job 1 nonces b");
        let second = AttemptKeys::derive(&s12, &s01, b"job 1 nonces c", b"job 1 nonces a");
        assert_eq!(first.next, second.previous);
        let again = AttemptKeys::derive(&s01, &s20, b"job 1 nonces x", b"job 1 nonces b");
        assert_ne!(first.next, again.next);
        assert_eq!(first.previous, again.previous);
    }

    #[test]
    fn keys_do_not_print() {
        let keys = AttemptKeys::derive(&[7; 32], &[7; 32], b"", b"");
        assert_eq!(format!("{keys:?}"), "AttemptKeys(2 keys)");
    }
}
