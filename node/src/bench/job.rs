//! What to run: the same at all parties.

use super::operation::Operation;
use crate::error::NodeError;
use serde::{Deserialize, Serialize};
use trine_mpc::Profile;
use trine_mpc::net_delay::Link;

/// Rows at most: row numbers have 32 bits, and a run must fit into a machine.
pub(crate) const ROWS_MAX: usize = 1 << 28;
/// Threads of one party at most.
pub(crate) const THREADS_MAX: usize = 64;

/// What lies between the parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum Network {
    /// Three threads of one process.
    #[value(name = "mem")]
    Memory,
    /// Three processes, mutual TLS over loopback.
    Tls,
}

/// A form of circuit to force upon the engine, instead of the one that it would choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum Form {
    /// Fewest bytes, most rounds.
    Ripple,
    /// Fewest rounds, most bytes.
    Tree,
}

/// One benchmark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// What.
    pub(crate) operation: Operation,
    /// Rows of the (larger) input.
    pub(crate) rows: usize,
    /// See [`Operation::bits_mean`].
    pub(crate) bits: usize,
    /// Distinct keys of a GROUP BY.
    pub(crate) groups: usize,
    /// Columns of a loaded table.
    pub(crate) columns: usize,
    /// Where.
    pub(crate) network: Network,
    /// Threads a party.
    pub(crate) threads: usize,
    /// Simulated round trip in microseconds; none: what the network has.
    pub(crate) round_trip_us: Option<u32>,
    /// Simulated bandwidth.
    pub(crate) megabits_per_s: Option<u32>,
    /// Round trip that the engine believes in, in microseconds, where it is not the simulated one.
    pub(crate) believed_round_trip_us: Option<u32>,
    /// Forced circuit.
    pub(crate) form: Option<Form>,
    /// Times that the operation runs.
    pub(crate) repeat: usize,
    /// Of the input columns.
    pub(crate) seed: u64,
    /// Whether party 1 flips a bit of its result: the verification must notice.
    pub(crate) corrupt: bool,
}

impl Job {
    /// A job with everything else as usual; for tests and as the start of the command line's.
    pub(crate) const fn new(operation: Operation, rows: usize, bits: usize) -> Self {
        Self {
            operation,
            rows,
            bits,
            groups: 0,
            columns: 0,
            network: Network::Tls,
            threads: 1,
            round_trip_us: None,
            megabits_per_s: None,
            believed_round_trip_us: None,
            form: None,
            repeat: 1,
            seed: 1,
            corrupt: false,
        }
    }

    /// Refuses what makes no sense, and fills in what was left open.
    ///
    /// # Errors
    /// [`NodeError::Config`] with the argument's name.
    pub(crate) fn checked(mut self) -> Result<Self, NodeError> {
        let refuse = |why: String| Err(NodeError::Config(why));
        if self.rows == 0 || self.rows > ROWS_MAX {
            return refuse(format!("--rows is 1 to {ROWS_MAX}, not {}", self.rows));
        }
        self.operation.check_bits(self.bits).map_err(NodeError::Config)?;
        if self.repeat == 0 || self.repeat > 1000 {
            return refuse(format!("--repeat is 1 to 1000, not {}", self.repeat));
        }
        if !(1..=THREADS_MAX).contains(&self.threads) {
            return refuse(format!("--threads is 1 to {THREADS_MAX}, not {}", self.threads));
        }
        if self.megabits_per_s == Some(0) {
            return refuse("--mbit is at least 1".into());
        }
        let (groups, groups_max) = match self.operation {
            Operation::GroupbySmall => (16, 256),
            _ => ((self.rows / 16).max(1), self.rows),
        };
        if self.columns == 0 {
            self.columns = super::load::COLUMNS;
        }
        if self.columns > 1000 {
            return refuse(format!("--columns is 1 to 1000, not {}", self.columns));
        }
        if self.groups == 0 {
            self.groups = groups;
        }
        if self.groups > groups_max {
            return refuse(format!("--groups is 1 to {groups_max} here, not {}", self.groups));
        }
        let keys = match self.operation {
            Operation::GroupbySum => self.groups,
            Operation::JoinUnique => self.unique_rows(),
            _ => 1,
        };
        if self.bits < 60 && keys > 1 << self.bits {
            return refuse(format!("{keys} distinct keys do not fit into --bits {}", self.bits));
        }
        Ok(self)
    }

    /// Rows of the unique side of a join.
    pub(crate) const fn unique_rows(&self) -> usize {
        self.rows.div_ceil(4)
    }

    /// The simulated link, if any.
    pub(crate) fn link(&self) -> Option<Link> {
        if self.round_trip_us.is_none() && self.megabits_per_s.is_none() {
            return None;
        }
        Some(Link {
            round_trip_us: self.round_trip_us.unwrap_or(0),
            megabits_per_s: self.megabits_per_s,
        })
    }

    /// What the engine chooses its circuits by: the simulated network rounded to powers of two, as
    /// the replicated profile is, unless something else is forced.
    pub(crate) fn profile(&self) -> Profile {
        let lanes = u32::try_from(self.threads).unwrap_or(1);
        match self.form {
            // Rounds for nothing, or bytes for nothing.
            Some(Form::Ripple) => Profile { round_trip_us: 0, megabits_per_s: 1, lanes },
            Some(Form::Tree) => Profile { round_trip_us: 1 << 30, megabits_per_s: 1 << 20, lanes },
            None => {
                let trip = self.believed_round_trip_us.or(self.round_trip_us);
                let trip = trip.map_or(Profile::LOCAL.round_trip_us, nearest_power_of_two);
                let rate =
                    self.megabits_per_s.map_or(Profile::LOCAL.megabits_per_s, nearest_power_of_two);
                Profile {
                    round_trip_us: trip.max(Profile::LOCAL.round_trip_us),
                    megabits_per_s: rate,
                    lanes,
                }
            }
        }
    }
}

/// By ratio: 3 becomes 4, 5 becomes 4, 6 becomes 8 (the geometric middle of 4 and 8 is 5.7).
fn nearest_power_of_two(x: u32) -> u32 {
    let x = u64::from(x.max(1));
    let low = 1_u64 << x.ilog2();
    let nearest = if x * x > 2 * low * low { 2 * low } else { low };
    u32::try_from(nearest).unwrap_or(1 << 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(job: Job) -> String {
        job.checked().unwrap_err().to_string()
    }

    #[test]
    fn powers_of_two_are_the_nearest_by_ratio() {
        let cases = [(0, 1), (1, 1), (3, 4), (5, 4), (6, 8), (1000, 1024), (50_000, 65_536)];
        for (x, power) in cases {
            assert_eq!(nearest_power_of_two(x), power, "{x}");
        }
        assert_eq!(nearest_power_of_two(u32::MAX), 1 << 31);
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        let job = |rows, bits| Job::new(Operation::Sort, rows, bits);
        assert_eq!(refusal(job(0, 64)), "--rows is 1 to 268435456, not 0");
        assert_eq!(refusal(job(10, 200)), "sort takes --bits 1 to 128 (width of the key), not 200");
        assert_eq!(refusal(Job { repeat: 0, ..job(10, 8) }), "--repeat is 1 to 1000, not 0");
        assert_eq!(refusal(Job { megabits_per_s: Some(0), ..job(10, 8) }), "--mbit is at least 1");
        assert_eq!(
            refusal(Job { groups: 300, ..Job::new(Operation::GroupbySmall, 1000, 32) }),
            "--groups is 1 to 256 here, not 300"
        );
        assert_eq!(
            refusal(Job::new(Operation::JoinUnique, 1000, 4)),
            "250 distinct keys do not fit into --bits 4"
        );
    }

    #[test]
    fn the_profile_follows_the_simulated_network_unless_forced() {
        let mut job = Job::new(Operation::Lt, 1, 64);
        assert_eq!(job.profile(), Profile::LOCAL);
        job.round_trip_us = Some(50_000);
        job.megabits_per_s = Some(100);
        assert_eq!(job.profile(), Profile::WIDE);
        job.form = Some(Form::Ripple);
        assert_eq!(job.profile().megabits_per_s, 1);
    }
}
