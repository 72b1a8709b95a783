//! Choices from a seed.

use trine_mpc::testing::Noise;

/// A stream of choices.
pub(super) struct Random(Noise);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(Noise::new(seed))
    }
    /// 0 to n - 1; 0 for n = 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.0.word() % (n.max(1) as u64)).unwrap_or(0)
    }
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
    pub(super) fn word(&mut self, choices: &[&str]) -> String {
        (*self.pick(choices)).to_owned()
    }
    /// low to high, both included.
    pub(super) fn number(&mut self, low: i64, high: i64) -> i64 {
        let span = i128::from(high) - i128::from(low) + 1;
        let offset = i128::from(self.0.word()) % span.max(1);
        i64::try_from(i128::from(low) + offset).unwrap_or(low)
    }
}

/// digits / 10^scale as a literal.
pub(super) fn decimal(digits: i64, scale: u8) -> String {
    if scale == 0 {
        return digits.to_string();
    }
    let sign = if digits < 0 { "-" } else { "" };
    let scale = usize::from(scale);
    let text = format!("{:0width$}", digits.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = text.split_at(text.len() - scale);
    format!("{sign}{whole}.{fraction}")
}
