//! The text format of Prometheus, version 0.0.4.

use std::fmt::Write as _;

/// Numbers under names; the name in force is that of the last [`Text::gauge`] or [`Text::counter`].
#[derive(Debug, Default)]
pub(super) struct Text {
    out: String,
    name: &'static str,
}

impl Text {
    /// A number that goes up and down.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> &mut Self {
        self.begin(name, help, "gauge")
    }

    /// A number that only grows while the process lives.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> &mut Self {
        self.begin(name, help, "counter")
    }

    fn begin(&mut self, name: &'static str, help: &str, kind: &str) -> &mut Self {
        self.name = name;
        // Writing to a string does not fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self
    }

    /// The number.
    pub(super) fn value(&mut self, value: u64) {
        let _ = writeln!(self.out, "{} {value}", self.name);
    }

    /// One of several numbers of one name. Labels are ours: nothing in them needs escaping.
    pub(super) fn labelled(&mut self, labels: &[(&str, &str)], value: u64) {
        let pairs: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
        let _ = writeln!(self.out, "{}{{{}}} {value}", self.name, pairs.join(","));
    }

    pub(super) fn into_string(self) -> String {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn numbers_are_written_as_prometheus_reads_them() {
        let mut text = Text::default();
        text.gauge("trine_x", "What x is.").value(7);
        text.counter("trine_y_total", "What y is.");
        text.labelled(&[("party", "0"), ("how", "done")], 1);
        text.labelled(&[("party", "1"), ("how", "done")], 2);
        let expected = "# HELP trine_x What x is.\n# TYPE trine_x gauge\ntrine_x 7\n\
             # HELP trine_y_total What y is.\n# TYPE trine_y_total counter\n\
             trine_y_total{party=\"0\",how=\"done\"} 1\ntrine_y_total{party=\"1\",how=\"done\"} 2\n";
        assert_eq!(text.into_string(), expected);
    }
}
