//! Borders of partitions, peers and frames, as secret marks over sorted rows.

use crate::arith::ArithAny;
use crate::bits;
use crate::error::{QueryError, Result};
use crate::ops::carry::{Carrier, Toward, shifted_number, shifted_planes};
use crate::ops::tally::bits_to_arith;
use crate::plan::{Bound, Frame};
use trine_mpc::{Planes, Session, protocol};

/// Sorted rows: what belongs together. Carriers are made when asked for, once.
pub(crate) struct Rows {
    /// Rows.
    pub(crate) count: usize,
    /// Whether all valid rows are one partition, from row 0 on.
    pub(crate) single: bool,
    /// Same partition (and validity) as the row before.
    pub(crate) same: Planes,
    order: Option<Planes>,
    /// Same partition and order as the row before.
    peer: Option<Planes>,
    carriers: [Option<Carrier>; 4],
}

/// A border that values are carried from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Border {
    PartitionStart,
    PartitionEnd,
    PeersStart,
    PeersEnd,
}

impl Rows {
    /// One equality of neighbours.
    pub(crate) fn new(
        count: usize,
        single: bool,
        partition: Option<Planes>,
        order: Option<Planes>,
        s: &mut Session,
    ) -> Result<Self> {
        let same = match &partition {
            Some(partition) => bits::equals_previous(s, partition)?,
            None => {
                let first = bits::constant_bit(s, count.min(1), false);
                first.concat(&bits::constant_bit(s, count.saturating_sub(1), true))
            }
        };
        Ok(Self { count, single, same, order, peer: None, carriers: [None, None, None, None] })
    }

    /// Same partition and order as the row before. One more equality.
    pub(crate) fn peer(&mut self, s: &mut Session) -> Result<Planes> {
        if let Some(peer) = &self.peer {
            return Ok(peer.clone());
        }
        let peer = match &self.order {
            None => self.same.clone(),
            Some(order) => {
                let equal = bits::equals_previous(s, order)?;
                protocol::and(s, &self.same, &equal)?
            }
        };
        self.peer = Some(peer.clone());
        Ok(peer)
    }

    /// What carries values from a border to the rows that it bounds.
    pub(crate) fn carrier(&mut self, border: Border, s: &mut Session) -> Result<&mut Carrier> {
        let slot = border as usize;
        if self.carriers[slot].is_none() {
            let same = match border {
                Border::PartitionStart | Border::PartitionEnd => self.same.clone(),
                Border::PeersStart | Border::PeersEnd => self.peer(s)?,
            };
            let first = same.not(s.party());
            self.carriers[slot] = Some(match border {
                Border::PartitionStart | Border::PeersStart => {
                    Carrier::new(&first, Toward::Start, s)?
                }
                Border::PartitionEnd | Border::PeersEnd => {
                    Carrier::new(&bits::next_row(s, &first, true), Toward::End, s)?
                }
            });
        }
        self.carriers[slot].as_mut().ok_or_else(|| QueryError::bug("a carrier was just made"))
    }

    /// 1 where the row `back` rows before (negative: after) lies in the same partition. ANDs in
    /// ceil(log2 back) steps.
    pub(crate) fn reaches(&self, back: i64, s: &mut Session) -> Result<Planes> {
        let distance = usize::try_from(back.unsigned_abs()).unwrap_or(usize::MAX);
        if distance >= self.count {
            return Ok(bits::constant_bit(s, self.count, false));
        }
        let mut out: Option<(Planes, i64)> = None;
        let mut power = (self.same.clone(), 1_i64);
        let mut left = distance;
        while left > 0 {
            if left % 2 == 1 {
                out = Some(match out {
                    None => power.clone(),
                    Some((bit, length)) => {
                        let further = shifted_planes(&power.0, length, s);
                        (protocol::and(s, &bit, &further)?, length + power.1)
                    }
                });
            }
            left /= 2;
            if left > 0 {
                let further = shifted_planes(&power.0, power.1, s);
                power = (protocol::and(s, &power.0, &further)?, 2 * power.1);
            }
        }
        let Some((bit, _)) = out else { return Ok(bits::constant_bit(s, self.count, true)) };
        Ok(if back > 0 { bit } else { shifted_planes(&bit, back, s) })
    }

    /// Sums over the frame of every row, from what each row adds.
    pub(crate) fn sums(
        &mut self,
        added: &[ArithAny],
        frame: Frame,
        s: &mut Session,
    ) -> Result<Vec<ArithAny>> {
        let up: Vec<ArithAny> = added.iter().map(ArithAny::prefix_sum).collect();
        let before = up.iter().zip(added).map(|(u, x)| u.sub(x)).collect::<Result<Vec<_>>>()?;
        let end = self.at(frame.end, false, &up, &before, s)?;
        let start = self.at(frame.start, true, &up, &before, s)?;
        end.iter().zip(&start).map(|(e, b)| e.sub(b)).collect()
    }

    /// Prefix sums at one border of the frame: up to its last row, or (`start`) before its first.
    fn at(
        &mut self,
        bound: Bound,
        start: bool,
        up: &[ArithAny],
        before: &[ArithAny],
        s: &mut Session,
    ) -> Result<Vec<ArithAny>> {
        let own = if start { before } else { up };
        match bound {
            Bound::Rows(0) => Ok(own.to_vec()),
            Bound::Unbounded if start => self.first(before, s),
            Bound::Unbounded => self.last(up, s),
            Bound::Peers if start => self.carrier(Border::PeersStart, s)?.numbers(own.to_vec(), s),
            Bound::Peers => self.carrier(Border::PeersEnd, s)?.numbers(own.to_vec(), s),
            Bound::Rows(ahead) => {
                let beyond = if ahead < 0 { self.first(before, s)? } else { self.last(up, s)? };
                let inside = self.reaches(-ahead, s)?;
                let mut out = Vec::with_capacity(own.len());
                for (own, beyond) in own.iter().zip(beyond) {
                    let there = shifted_number(own, -ahead, s)?;
                    out.push(choose(&inside, &there, &beyond, s)?);
                }
                Ok(out)
            }
        }
    }

    /// Prefix sums before the partition.
    fn first(&mut self, before: &[ArithAny], s: &mut Session) -> Result<Vec<ArithAny>> {
        if self.single {
            let n = self.count;
            return Ok(before.iter().map(|x| x.slice(0..1).repeat_row(n)).collect());
        }
        self.carrier(Border::PartitionStart, s)?.numbers(before.to_vec(), s)
    }

    /// Prefix sums up to the end of the partition. Rows that are not valid add nothing.
    fn last(&mut self, up: &[ArithAny], s: &mut Session) -> Result<Vec<ArithAny>> {
        if self.single {
            let n = self.count;
            return Ok(up.iter().map(|x| x.slice(n - 1..n).repeat_row(n)).collect());
        }
        self.carrier(Border::PartitionEnd, s)?.numbers(up.to_vec(), s)
    }
}

/// bit ? x : y. One conversion and one product.
fn choose(bit: &Planes, x: &ArithAny, y: &ArithAny, s: &mut Session) -> Result<ArithAny> {
    let factor = bits_to_arith(&[(bit, x.ring_bits() == 128)], s)?.pop().and_then(|mut v| v.pop());
    let factor = factor.ok_or_else(|| QueryError::bug("a bit without a plane"))?;
    y.add(&factor.mul(s, &x.sub(y)?)?)
}
