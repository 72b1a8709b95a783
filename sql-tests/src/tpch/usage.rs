//! Processor time and memory of the three nodes of a cluster, as Linux tells them.

use std::path::Path;

/// Linux counts processor time in hundredths of a second.
const TICKS_PER_S: f64 = 100.0;

/// The three nodes' processes, and where they stood at the last [`Usage::begin`].
#[derive(Clone, Debug)]
pub struct Usage {
    pids: [String; 3],
    begun_s: [f64; 3],
}

impl Usage {
    /// Of the cluster whose folder this is.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        let pid = |party| {
            let path = folder.join(format!("node{party}/pid"));
            std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
        };
        Self { pids: [pid(0), pid(1), pid(2)], begun_s: [0.0; 3] }
    }

    /// Starts to count: processor time from here, peak of memory from here.
    pub fn begin(&mut self) {
        for pid in &self.pids {
            // Without the permission the peak is that of the process' whole life.
            let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
        self.begun_s = self.pids.each_ref().map(|pid| cpu_s(pid));
    }

    /// Processor seconds of each node since.
    #[must_use]
    pub fn cpu_s(&self) -> [f64; 3] {
        [0, 1, 2].map(|party| cpu_s(&self.pids[party]) - self.begun_s[party])
    }

    /// Most memory that one node had since, in megabytes.
    #[must_use]
    pub fn peak_mb(&self) -> f64 {
        self.pids.iter().map(|pid| peak_mb(pid)).fold(0.0, f64::max)
    }
}

/// User and system time, fields 14 and 15; the name, in brackets, may hold spaces.
fn cpu_s(pid: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    after.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum::<f64>()
        / TICKS_PER_S
}

fn peak_mb(pid: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
