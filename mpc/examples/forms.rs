//! Measures every form of the less-than circuit under simulated round trips, and what the choice of
//! the profile loses against the best of them.
//!
//! `cargo run --release -p trine-mpc --example forms [bits]`

#![allow(clippy::unwrap_used, reason = "a measurement may stop where it fails")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use trine_mpc::testing::{Noise, less_than_in, run_over, share_planes};
use trine_mpc::{Circuit, MemoryNet, Net, Profile, Result, cost};

type Due = Arc<Mutex<BTreeMap<(usize, usize, u32), VecDeque<Instant>>>>;

/// One end of a network in memory whose messages arrive half a round trip later.
struct Delayed {
    party: usize,
    inner: Arc<MemoryNet>,
    half: Duration,
    due: Due,
}

impl Net for Delayed {
    fn send(&self, party: usize, lane: u32, bytes: &[u8]) -> Result<()> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let at = due.entry((self.party, party, lane)).or_default();
        at.push_back(Instant::now() + self.half);
        drop(due);
        self.inner.send(party, lane, bytes)
    }

    fn receive(&self, party: usize, lane: u32, into: &mut [u8]) -> Result<()> {
        self.inner.receive(party, lane, into)?;
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let at = due.get_mut(&(party, self.party, lane)).and_then(VecDeque::pop_front);
        drop(due);
        if let Some(left) = at.and_then(|at| at.checked_duration_since(Instant::now())) {
            std::thread::sleep(left);
        }
        Ok(())
    }
}

fn seconds(profile: Profile, form: Circuit, bits: usize, rows: usize) -> f64 {
    let mut noise = Noise::new(1);
    let bytes = noise.bytes(rows * bits.div_ceil(8));
    let (x, y) = (share_planes(1, rows, bits, &bytes), share_planes(2, rows, bits, &bytes));
    let due = Due::default();
    let half = Duration::from_micros(u64::from(profile.round_trip_us)) / 2;
    let mut party = 0;
    let nets = MemoryNet::mesh().map(|inner| {
        let end = Delayed { party, inner, half, due: Arc::clone(&due) };
        party += 1;
        Arc::new(end) as Arc<dyn Net>
    });
    let barrier = std::sync::Barrier::new(3);
    let times = run_over(nets, profile, 1, |s| {
        let mut best = f64::MAX;
        for _ in 0..3 {
            barrier.wait();
            let start = Instant::now();
            less_than_in(s, form, &x[s.party()], &y[s.party()]).unwrap();
            best = best.min(start.elapsed().as_secs_f64());
        }
        best
    });
    times.into_iter().fold(0.0, f64::max)
}

fn main() {
    let bits = std::env::args().nth(1).map_or(64, |bits| bits.parse().unwrap());
    for round_trip_us in [50, 1000, 10_000, 50_000] {
        for log in [10, 14, 17, 20] {
            let rows = 1 << log;
            let profile = Profile { round_trip_us, megabits_per_s: 65_536, lanes: 1 };
            let predicted = |form| profile.time_ns(cost::cost_less_than_as(form, rows, bits));
            let forms = [
                Circuit::Ripple,
                Circuit::Blocks(2),
                Circuit::Blocks(4),
                Circuit::Blocks(8),
                Circuit::Blocks(16),
                Circuit::Tree,
            ];
            let chosen = forms.into_iter().min_by_key(|form| predicted(*form)).unwrap();
            let measured = forms.map(|form| (form, seconds(profile, form, bits, rows)));
            let of = |form| measured.iter().find(|m| m.0 == form).map_or(0.0, |m| m.1);
            let best = measured.iter().fold(f64::MAX, |best, m| best.min(m.1));
            println!(
                "{round_trip_us:6} us 2^{log}: chosen {chosen:?} {:.2} ms, best {:.2} ms, loses {:.0}%; {}",
                of(chosen) * 1e3,
                best * 1e3,
                (of(chosen) / best - 1.0) * 100.0,
                measured.map(|(form, s)| format!("{form:?} {:.2}", s * 1e3)).join(", ")
            );
        }
    }
}
