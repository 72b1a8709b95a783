//! One party's side of one attempt of one job.

use std::sync::Arc;

use zeroize::Zeroize;

use crate::net::Net;
use crate::prg::{PairStream, Position};
use crate::ring::{Ring, ring_words};
use crate::{Cost, Planes, Result};

pub use crate::cost::{Circuit, Profile};

/// Domain of the keys of one attempt.
const CONTEXT: &str = "trine 2025-01 pair key of one attempt v1";

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
}

/// What only a real session has.
struct Live {
    net: Arc<dyn Net>,
    next: PairStream,
    previous: PairStream,
}

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
    cost: Cost,
    sorts_predicted: Cost,
    sorts_recomputed: Cost,
    raised: Vec<(u8, Planes)>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.is_dry() { "dry" } else { "real" };
        write!(f, "Session(party {}, {kind}, {:?})", self.party, self.cost)
    }
}

/// The one lane in use: forks will get their own.
const LANE: u32 = 0;

impl Session {
    /// A real session of party `party` (0, 1 or 2; anything else is a defect and panics).
    #[must_use]
    pub fn new(party: usize, net: Arc<dyn Net>, keys: AttemptKeys, profile: Profile) -> Self {
        assert!(party < 3, "a party index");
        let next = PairStream::new(&keys.next);
        let live = Live { net, next, previous: PairStream::new(&keys.previous) };
        Self { party, live: Some(live), ..Self::dry(profile) }
    }
    /// A session that predicts costs (of all three parties) only.
    #[must_use]
    pub fn dry(profile: Profile) -> Self {
        Self {
            party: 0,
            profile,
            live: None,
            operator: 0,
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

    fn live(&mut self) -> Result<&mut Live> {
        self.live.as_mut().ok_or(crate::MpcError::Shape("a dry session has no network"))
    }
    /// The stream shared with `peer`, one of the two others.
    pub(crate) fn stream(&mut self, peer: usize) -> Result<&mut PairStream> {
        let next = self.next();
        let live = self.live()?;
        Ok(if peer == next { &mut live.next } else { &mut live.previous })
    }
    /// Random ring elements known to this party and `peer`.
    pub(crate) fn common<T: Ring>(
        &mut self,
        peer: usize,
        at: Position,
        n: usize,
    ) -> Result<Vec<T>> {
        let words = self.stream(peer)?.words(at, ring_words::<T>(n));
        Ok((0..n).map(|i| T::from_words(&words, i)).collect())
    }
    /// Xors a sharing of zero into `target`: the three parties' results xor to zero.
    pub(crate) fn mask_zero_xor(&mut self, target: &mut [u64]) -> Result<()> {
        let at = Position::new(self.operator(), 0);
        let live = self.live()?;
        live.next.xor_into(at, target);
        live.previous.xor_into(at, target);
        Ok(())
    }
    /// Adds a sharing of zero to `target`: the three parties' results add up to zero.
    pub(crate) fn mask_zero_ring<T: Ring>(&mut self, target: &mut [T]) -> Result<()> {
        let at = Position::new(self.operator(), 0);
        let words = ring_words::<T>(target.len());
        let live = self.live()?;
        let (plus, minus) = (live.next.words(at, words), live.previous.words(at, words));
        for (i, x) in target.iter_mut().enumerate() {
            *x = x.plus(T::from_words(&plus, i)).minus(T::from_words(&minus, i));
        }
        Ok(())
    }

    /// Sends and counts. Nothing is sent for an empty message: lengths are public.
    pub(crate) fn send(&mut self, to: usize, bytes: Vec<u8>) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.cost.bytes[self.party] += bytes.len() as u64;
        self.live()?.net.send(to, LANE, &bytes)
    }
    /// Waits for a message of exactly `length` bytes.
    pub(crate) fn receive(&mut self, from: usize, length: usize) -> Result<Vec<u8>> {
        if length == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; length];
        self.live()?.net.receive(from, LANE, &mut bytes)?;
        Ok(bytes)
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
