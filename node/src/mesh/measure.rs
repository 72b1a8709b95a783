//! Round trip and bandwidth between two nodes, over their control connection.

use super::outbox::Outbox;
use super::wire::{FrameHeader, FrameKind};
use crate::limits::{
    PROBE_BURST_FRAMES, PROBE_BURSTS, PROBE_FRAME_BYTES, PROBE_PAUSE, PROBE_PINGS, PROBE_WAIT,
};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The control connection with a peer as a measurement needs it.
pub(crate) struct Probe {
    pub(super) outbox: Arc<Outbox>,
    pub(super) pongs: Arc<Notify>,
}

impl Probe {
    /// The shortest of several round trips; none when the connection is lost.
    pub(crate) async fn round_trip(&self) -> Option<Duration> {
        let mut best = None::<Duration>;
        for _ in 0..PROBE_PINGS {
            let took = self.exchange(0).await?;
            best = Some(best.map_or(took, |best| best.min(took)));
            tokio::time::sleep(PROBE_PAUSE).await;
        }
        best
    }

    /// Megabits a second of the best of several bursts; none when the connection is lost.
    pub(crate) async fn megabits_per_s(&self, round_trip: Duration) -> Option<f64> {
        let bits = (PROBE_BURST_FRAMES * PROBE_FRAME_BYTES * 8) as f64;
        let mut best = 0.0_f64;
        for _ in 0..PROBE_BURSTS {
            let took = self.exchange(PROBE_BURST_FRAMES).await?.saturating_sub(round_trip);
            best = best.max(bits / 1e6 / took.as_secs_f64().max(1e-6));
        }
        Some(best)
    }

    /// Time until the peer has answered after so many full frames.
    async fn exchange(&self, frames: usize) -> Option<Duration> {
        let probe = |last| FrameHeader { kind: FrameKind::Probe { last }, ..FrameHeader::BEAT };
        let start = Instant::now();
        for _ in 0..frames {
            self.outbox.send(probe(false), &[0; PROBE_FRAME_BYTES]).ok()?;
        }
        self.outbox.send(probe(true), &[]).ok()?;
        tokio::time::timeout(PROBE_WAIT, self.pongs.notified()).await.ok()?;
        Some(start.elapsed())
    }
}
