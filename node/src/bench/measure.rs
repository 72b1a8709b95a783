//! Clocks, processor time, memory, and what one party measured.

use nix::time::ClockId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use trine_mpc::net_delay::Clock;
use trine_mpc::{Cost, Session};

/// Nanoseconds of a clock that all processes of a machine share.
pub(super) fn now_ns() -> u64 {
    nanoseconds(ClockId::CLOCK_MONOTONIC)
}

/// Processor time of all threads of this process so far, in nanoseconds.
pub(super) fn cpu_ns() -> u64 {
    nanoseconds(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// Zero on a machine without the clock, which is none that this runs on.
fn nanoseconds(clock: ClockId) -> u64 {
    let time = nix::time::clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The machine's clock, for simulated delays.
pub(super) struct MachineClock;

impl MachineClock {
    pub(super) fn shared() -> Arc<dyn Clock> {
        Arc::new(Self)
    }
}

impl Clock for MachineClock {
    fn now_ns(&self) -> u64 {
        now_ns()
    }
    fn wait_until(&self, at: u64) {
        loop {
            let now = now_ns();
            if now >= at {
                return;
            }
            std::thread::sleep(Duration::from_nanos(at - now));
        }
    }
}

/// Kilobytes that this process has in memory: (most since the last reset, now). Zero where the
/// kernel does not say.
fn memory_kb() -> (u64, u64) {
    memory_kb_of("self")
}

/// The same of another process.
pub(super) fn memory_kb_of(pid: &str) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    };
    (field("VmHWM:"), field("VmRSS:"))
}

/// Forgets the peak of memory so far.
fn reset_peak_memory() {
    reset_peak_memory_of("self");
}

/// The same for another process.
pub(super) fn reset_peak_memory_of(pid: &str) {
    // Without the permission the peak includes the preparation, which only makes it larger.
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// One part of what was timed, or something beside it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) seconds: f64,
    pub(super) rounds: u64,
    /// Sent by this party.
    pub(super) bytes: u64,
}

/// What a protocol cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) rounds: u64,
    /// Sent by each party; a real session knows its own.
    pub(super) bytes: [u64; 3],
    /// What a dry session charges for the parts of sorts that depend on what is opened: contained
    /// in a dry session's `bytes`.
    sorts_predicted: (u64, [u64; 3]),
    /// What took their place.
    sorts_recomputed: (u64, [u64; 3]),
}

impl Counted {
    /// From counted cost, expectation for sorts, and the same recomputed.
    pub(super) const fn of(cost: Cost, predicted: Cost, recomputed: Cost) -> Self {
        Self {
            rounds: cost.rounds,
            bytes: cost.bytes,
            sorts_predicted: (predicted.rounds, predicted.bytes),
            sorts_recomputed: (recomputed.rounds, recomputed.bytes),
        }
    }
    /// All of a session so far.
    fn session(s: &Session) -> Self {
        Self::of(s.cost(), s.sorts_predicted(), s.sorts_recomputed())
    }
    fn each(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        let three = |a: [u64; 3], b: [u64; 3]| [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2])];
        let both = |a: (u64, [u64; 3]), b: (u64, [u64; 3])| (f(a.0, b.0), three(a.1, b.1));
        Self {
            rounds: f(self.rounds, other.rounds),
            bytes: three(self.bytes, other.bytes),
            sorts_predicted: both(self.sorts_predicted, other.sorts_predicted),
            sorts_recomputed: both(self.sorts_recomputed, other.sorts_recomputed),
        }
    }
    fn since(self, before: Self) -> Self {
        self.each(before, |a, b| a - b)
    }
    pub(super) fn plus(self, other: Self) -> Self {
        self.each(other, |a, b| a + b)
    }
    /// Whether what a party counted is what a dry session predicted, with the expectation for
    /// sorts in the place of what they opened.
    pub(super) fn is_as_predicted(&self, party: usize, dry: &Self) -> bool {
        self.rounds + dry.sorts_predicted.0 == dry.rounds + self.sorts_recomputed.0
            && self.bytes[party] + dry.sorts_predicted.1[party]
                == dry.bytes[party] + self.sorts_recomputed.1[party]
    }
}

/// One run of the operation at one party.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
    pub(super) cpu_from_ns: u64,
    pub(super) cpu_to_ns: u64,
    pub(super) counted: Counted,
    /// Parts of the run and what follows it, in order.
    pub(super) steps: Vec<Step>,
    pub(super) peak_kb: u64,
    pub(super) before_kb: u64,
}

/// All runs at one party.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) samples: Vec<Sample>,
}

impl Sample {
    /// A run that is about to begin.
    pub(super) fn begin() -> Self {
        reset_peak_memory();
        Self { before_kb: memory_kb().1, ..Self::default() }
    }

    /// What the figures are about.
    pub(super) fn timed<T>(&mut self, s: &mut Session, work: impl FnOnce(&mut Session) -> T) -> T {
        s.restart_turns();
        let before = Counted::session(s);
        (self.cpu_from_ns, self.from_ns) = (cpu_ns(), now_ns());
        let result = work(s);
        (self.to_ns, self.cpu_to_ns) = (now_ns(), cpu_ns());
        self.counted = Counted::session(s).since(before);
        self.peak_kb = memory_kb().0;
        result
    }

    /// Something that is measured beside it.
    pub(super) fn beside<T>(
        &mut self,
        name: &str,
        s: &mut Session,
        work: impl FnOnce(&mut Session) -> T,
    ) -> T {
        s.restart_turns();
        let (before, from) = (Counted::session(s), now_ns());
        let result = work(s);
        let counted = Counted::session(s).since(before);
        self.steps.push(Step {
            name: name.to_owned(),
            seconds: seconds(from, now_ns()),
            rounds: counted.rounds,
            bytes: counted.bytes[s.party()],
        });
        result
    }

    /// Takes the peak of memory now, where `timed` did not.
    pub(super) fn end(&mut self) {
        self.peak_kb = self.peak_kb.max(memory_kb().0);
    }
}

/// Between two moments.
#[allow(clippy::cast_precision_loss, reason = "nanoseconds of a benchmark lie far below 2^52")]
pub(super) fn seconds(from_ns: u64, to_ns: u64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e9
}
