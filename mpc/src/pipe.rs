//! A long message that leaves while it is made: piece after piece goes to the network, which encrypts and
//! sends it, while the processor's caches still hold it, and the link is busy before all is computed.
//!
//! Pieces are cut by the length of the message alone. They are messages of their own to the network, and one
//! round to the protocol: nobody waits for a piece before it has sent what the link holds.

use std::ops::Range;
use std::sync::Arc;

use crate::kernel::{bytes, bytes_mut};
use crate::net::Net;
use crate::{Profile, Result, Ring};

/// Bytes of a piece; the last one has up to twice as many.
const PIECE_BYTES: usize = 1 << 19;

/// A message to one peer and one from another, in pieces.
pub(crate) struct Pipe {
    net: Arc<dyn Net>,
    lane: u32,
    to: usize,
    from: usize,
    /// Pieces under way before one is waited for.
    ahead: usize,
    /// Pieces sent and received.
    sent: usize,
    received: usize,
}

/// Piece number i of a message of so many elements; none beyond the last.
fn piece<T: Ring>(i: usize, total: usize) -> Option<Range<usize>> {
    let size = PIECE_BYTES / T::BYTES;
    let count = (total / size).max(1);
    let end = if i + 1 == count { total } else { (i + 1) * size };
    (i < count).then_some(i * size..end)
}

impl Pipe {
    pub(crate) fn new(
        net: Arc<dyn Net>,
        lane: u32,
        to: usize,
        from: usize,
        profile: Profile,
    ) -> Self {
        // What a link holds, and two pieces.
        let held = u64::from(profile.round_trip_us) * u64::from(profile.megabits_per_s) / 8;
        let ahead = usize::try_from(held).unwrap_or(usize::MAX) / PIECE_BYTES + 2;
        Self { net, lane, to, from, ahead, sent: 0, received: 0 }
    }

    /// Sends what is whole of the first `made` elements of `own`.
    pub(crate) fn step<T: Ring>(&mut self, own: &[T], other: &mut [T], made: usize) -> Result<()> {
        while let Some(out) = piece::<T>(self.sent, own.len()).filter(|piece| piece.end <= made) {
            let out = bytes(&own[out]);
            self.sent += 1;
            match piece::<T>(self.received, other.len()) {
                Some(into) if self.received + self.ahead < self.sent => {
                    self.received += 1;
                    let into = bytes_mut(&mut other[into]);
                    self.net.exchange(self.lane, self.to, out, self.from, into)?;
                }
                _ if self.sent == 1 && made == own.len() => {
                    self.received = 1;
                    let into = piece::<T>(0, other.len()).unwrap_or(0..0);
                    let into = bytes_mut(&mut other[into]);
                    self.net.exchange(self.lane, self.to, out, self.from, into)?;
                }
                _ => self.net.send(self.to, self.lane, out)?,
            }
        }
        Ok(())
    }

    /// Sends the rest and waits for everything.
    pub(crate) fn end<T: Ring>(&mut self, own: &[T], other: &mut [T]) -> Result<()> {
        self.step(own, other, own.len())?;
        while let Some(into) = piece::<T>(self.received, other.len()) {
            self.received += 1;
            self.net.receive(self.from, self.lane, bytes_mut(&mut other[into]))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::mesh;

    /// Everyone sends to the previous party; what each gets from the next one.
    fn around(total: usize, steps: usize, profile: Profile) {
        let nets = mesh();
        std::thread::scope(|scope| {
            for (party, net) in nets.into_iter().enumerate() {
                scope.spawn(move || {
                    let (next, previous) = ((party + 1) % 3, (party + 2) % 3);
                    let element = |party: usize, i: usize| (party * total + i) as u64;
                    let mut pipe = Pipe::new(net, 0, previous, next, profile);
                    let (mut own, mut other) = (vec![0; total], vec![0; total]);
                    let mut made = 0;
                    while made < total {
                        let end = total.min(made + steps);
                        for (slot, i) in own[made..end].iter_mut().zip(made..) {
                            *slot = element(party, i);
                        }
                        made = end;
                        pipe.step(&own, &mut other, made).unwrap();
                    }
                    pipe.end(&own, &mut other).unwrap();
                    assert!((0..total).all(|i| other[i] == element(next, i)), "{total} elements");
                });
            }
        });
    }

    #[test]
    fn pieces_cover_a_message_of_any_length() {
        let size = PIECE_BYTES / 8;
        for total in [0, 1, size - 1, size, 2 * size - 1, 2 * size, 5 * size + 7] {
            let pieces: Vec<_> = (0..).map_while(|i| piece::<u64>(i, total)).collect();
            assert_eq!((pieces[0].start, pieces[pieces.len() - 1].end), (0, total));
            assert!(pieces.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(pieces.iter().all(|piece| piece.len() < 2 * size));
            assert_eq!(pieces.len(), (total / size).max(1));
        }
    }

    #[test]
    fn what_is_sent_arrives_however_it_is_made() {
        let size = PIECE_BYTES / 8;
        for profile in [Profile::LOCAL, Profile::WIDE] {
            for total in [1, size, 2 * size + 1, 7 * size + 100] {
                for steps in [1000, size, 3 * size, total] {
                    around(total, steps, profile);
                }
            }
        }
    }
}
