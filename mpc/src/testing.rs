//! Three parties in one process: for tests of this crate and of those above it.
//!
//! [`run`] gives each party a thread, a real session and an end of an in-memory network; every
//! message is encoded and decoded as over a socket. [`record`] keeps what was sent, [`run_with_fault`]
//! breaks one message.

use std::sync::{Arc, Mutex, PoisonError};

use crate::net::Net;
use crate::net_memory::MemoryNet;
use crate::{Arith, AttemptKeys, MpcError, Planes, Profile, Result, Ring, Session, bits};

/// Three ends of a fresh in-memory network.
#[must_use]
pub fn mesh() -> [Arc<dyn Net>; 3] {
    MemoryNet::mesh().map(|end| end as Arc<dyn Net>)
}

/// The three parties' keys for a test seed.
#[must_use]
pub fn keys(seed: u64) -> [AttemptKeys; 3] {
    let secret = |pair: u8| *blake3::hash(&[&seed.to_le_bytes()[..], &[pair]].concat()).as_bytes();
    let pair = [secret(0), secret(1), secret(2)];
    [0, 1, 2].map(|i: usize| AttemptKeys::derive(&pair[i], &pair[(i + 2) % 3], b"test", b"test"))
}

/// Runs `f` as all three parties under [`Profile::LOCAL`]; results by party index.
pub fn run<T: Send>(seed: u64, f: impl Fn(&mut Session) -> T + Sync) -> [T; 3] {
    run_as(Profile::LOCAL, seed, f)
}

/// [`run`] under another profile.
pub fn run_as<T: Send>(
    profile: Profile,
    seed: u64,
    f: impl Fn(&mut Session) -> T + Sync,
) -> [T; 3] {
    run_over(mesh(), profile, seed, f)
}

/// [`run`] over given networks. A party that returns or panics lets go of its end.
///
/// # Panics
/// If a party panics.
pub fn run_over<T: Send>(
    nets: [Arc<dyn Net>; 3],
    profile: Profile,
    seed: u64,
    f: impl Fn(&mut Session) -> T + Sync,
) -> [T; 3] {
    let mut parties = nets.into_iter().zip(keys(seed)).enumerate();
    std::thread::scope(|scope| {
        let threads = std::array::from_fn::<_, 3, _>(|_| {
            let next = parties.next();
            let f = &f;
            scope.spawn(move || {
                let (party, (net, keys)) = next?;
                Some(f(&mut Session::new(party, net, keys, profile)))
            })
        });
        threads.map(|thread| match thread.join() {
            Ok(Some(result)) => result,
            Ok(None) => unreachable!("there are three parties"),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// One message that a party sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Receiver.
    pub to: usize,
    /// Lane.
    pub lane: u32,
    /// Payload.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message(to {}, lane {}, {} bytes)", self.to, self.lane, self.bytes.len())
    }
}

/// What one party sent, in order.
pub type Transcript = Vec<Message>;

/// (receiver, bytes) of every message: what must not depend on the data.
#[must_use]
pub fn shape(transcript: &Transcript) -> Vec<(usize, usize)> {
    transcript.iter().map(|m| (m.to, m.bytes.len())).collect()
}

/// What happens to one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut instead: the sender is gone.
    Cut,
    /// The last byte is missing.
    Truncate,
}

/// A network end that keeps what it sends and may break one message.
struct Observed {
    inner: Arc<MemoryNet>,
    sent: Arc<Mutex<Transcript>>,
    /// The fault and the number of the message that it hits.
    fault: Option<(usize, Fault)>,
}

impl Net for Observed {
    fn send(&self, party: usize, lane: u32, bytes: &[u8]) -> Result<()> {
        let mut bytes = bytes.to_vec();
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        match self.fault {
            Some((at, Fault::Cut)) if at == sent.len() => {
                self.inner.close();
                return Err(MpcError::Cancelled);
            }
            Some((at, Fault::Truncate)) if at == sent.len() => {
                bytes.pop();
            }
            _ => {}
        }
        sent.push(Message { to: party, lane, bytes: bytes.clone() });
        self.inner.send(party, lane, &bytes)
    }
    fn receive(&self, party: usize, lane: u32, into: &mut [u8]) -> Result<()> {
        self.inner.receive(party, lane, into)
    }
    fn check(&self) -> Result<()> {
        self.inner.check()
    }
}

/// Runs and returns what every party sent.
pub fn record<T: Send>(
    profile: Profile,
    seed: u64,
    f: impl Fn(&mut Session) -> T + Sync,
) -> ([T; 3], [Transcript; 3]) {
    observe(profile, seed, None, f)
}

/// Runs with message number `message` of party `party` broken.
pub fn run_with_fault<T: Send>(
    seed: u64,
    party: usize,
    message: usize,
    fault: Fault,
    f: impl Fn(&mut Session) -> T + Sync,
) -> [T; 3] {
    observe(Profile::LOCAL, seed, Some((party, message, fault)), f).0
}

fn observe<T: Send>(
    profile: Profile,
    seed: u64,
    fault: Option<(usize, usize, Fault)>,
    f: impl Fn(&mut Session) -> T + Sync,
) -> ([T; 3], [Transcript; 3]) {
    let logs: [Arc<Mutex<Transcript>>; 3] = std::array::from_fn(|_| Arc::default());
    let mut party = 0;
    let nets = MemoryNet::mesh().map(|inner| {
        let fault = fault.filter(|f| f.0 == party).map(|(_, message, fault)| (message, fault));
        let sent = Arc::clone(&logs[party]);
        party += 1;
        Arc::new(Observed { inner, sent, fault }) as Arc<dyn Net>
    });
    let results = run_over(nets, profile, seed, f);
    let take = |log: &Arc<Mutex<Transcript>>| {
        std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner))
    };
    (results, [take(&logs[0]), take(&logs[1]), take(&logs[2])])
}

/// Words that depend on a seed only (SplitMix64; not for secrets).
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// From a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
    /// The next word.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    /// A value of `width` bits, at most 128.
    pub fn value(&mut self, width: usize) -> u128 {
        let wide = u128::from(self.word()) | u128::from(self.word()) << 64;
        if width >= 128 { wide } else { wide & ((1 << width) - 1) }
    }
    /// n bytes.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.word().to_le_bytes()[0]).collect()
    }
}

/// Row-major bytes of values of `width` bits, at most 128.
#[must_use]
pub fn rows_of(width: usize, values: &[u128]) -> Vec<u8> {
    let stride = bits::row_bytes(width);
    values.iter().flat_map(|v| v.to_le_bytes().into_iter().take(stride)).collect()
}

/// Values of row-major bytes; the inverse of [`rows_of`].
#[must_use]
pub fn values_of(width: usize, rows: &[u8]) -> Vec<u128> {
    let value = |row: &[u8]| {
        let mut bytes = [0; 16];
        bytes[..row.len()].copy_from_slice(row);
        u128::from_le_bytes(bytes)
    };
    rows.chunks_exact(bits::row_bytes(width).max(1)).map(value).collect()
}

/// Random boolean shares of values of `width` bits, at most 128.
#[must_use]
pub fn share_values(seed: u64, width: usize, values: &[u128]) -> [Planes; 3] {
    share_planes(seed, values.len(), width, &rows_of(width, values))
}

/// Values of three parties' shares, at most 128 bits wide.
#[must_use]
pub fn reconstruct_values(parties: &[Planes; 3]) -> Vec<u128> {
    values_of(parties[0].width(), &reconstruct_planes(parties))
}

/// Random boolean shares of row-major bytes, by party index. Bits beyond the last row are noise, in
/// the value too.
#[must_use]
pub fn share_planes(seed: u64, len: usize, width: usize, rows: &[u8]) -> [Planes; 3] {
    let mut plain = bits::planes_from_rows(len, width, rows);
    let mut noise = Noise::new(seed ^ 0x5EED);
    if let Some(unused) = bits::words(len).checked_sub(1).map(|_| !bits::tail_mask(len)) {
        for plane in plain.chunks_exact_mut(bits::words(len)) {
            plane[bits::words(len) - 1] |= unused & noise.word();
        }
    }
    let x0: Vec<u64> = plain.iter().map(|_| noise.word()).collect();
    let x1: Vec<u64> = plain.iter().map(|_| noise.word()).collect();
    let x2: Vec<u64> = plain.iter().zip(&x0).zip(&x1).map(|((x, a), b)| x ^ a ^ b).collect();
    [(&x0, &x1), (&x1, &x2), (&x2, &x0)]
        .map(|(a, b)| Planes::from_components(len, width, a.clone(), b.clone()))
}

/// Row-major bytes of three parties' shares.
///
/// # Panics
/// If the copies of a component differ between its two holders.
#[must_use]
pub fn reconstruct_planes(parties: &[Planes; 3]) -> Vec<u8> {
    let (len, width) = (parties[0].len(), parties[0].width());
    let mut sum = vec![0; bits::words(len) * width];
    for i in 0..3 {
        let (own, next) = (&parties[i], &parties[(i + 1) % 3]);
        assert_eq!((len, width), (next.len(), next.width()), "shapes of all parties");
        assert_eq!(own.clear_component(false), next.clear_component(true), "both holders agree");
        crate::shares::planes::xor_into(&mut sum, &own.clear_component(true));
    }
    bits::rows_from_planes(len, width, &sum)
}

/// Random arithmetic shares, by party index.
#[must_use]
pub fn share_arith<T: Ring>(seed: u64, values: &[T]) -> [Arith<T>; 3] {
    let mut noise = Noise::new(seed ^ 0xA517);
    let mut draw = || T::from_words(&[noise.word(), noise.word()], 0);
    let x0: Vec<T> = values.iter().map(|_| draw()).collect();
    let x1: Vec<T> = values.iter().map(|_| draw()).collect();
    let x2: Vec<T> =
        values.iter().zip(&x0).zip(&x1).map(|((x, a), b)| x.minus(*a).minus(*b)).collect();
    [(&x0, &x1), (&x1, &x2), (&x2, &x0)].map(|(a, b)| Arith::from_components(a.clone(), b.clone()))
}

/// Values of three parties' shares.
///
/// # Panics
/// If the copies of a component differ between its two holders.
#[must_use]
pub fn reconstruct_arith<T: Ring>(parties: &[Arith<T>; 3]) -> Vec<T> {
    let mut sum = vec![T::default(); parties[0].len()];
    for i in 0..3 {
        let (own, next) = (parties[i].components(), parties[(i + 1) % 3].components());
        assert!(own.1 == next.0, "both holders agree");
        for (total, share) in sum.iter_mut().zip(own.0) {
            *total = total.plus(*share);
        }
    }
    sum
}

/// Bits of `words` where `mask` is one, packed at the start of `out`; how many they are. For benches.
pub fn compress_bits(words: &[u64], mask: &[u64], out: &mut [u64]) -> usize {
    crate::kernel::compress(words, mask, out, 0)
}

/// [`crate::protocol::less_than`] in one form of the circuit, whatever the profile would choose.
///
/// # Errors
/// As it has.
pub fn less_than_in(
    s: &mut Session,
    form: crate::Circuit,
    x: &Planes,
    y: &Planes,
) -> Result<Planes> {
    crate::protocol::less_than_as(s, form, x, y)
}
