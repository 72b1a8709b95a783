//! Three processes of this program, which form a mesh over mutual TLS on loopback with throw-away
//! keys, and a parent that lets them begin together.

use super::Run;
use super::job::Job;
use super::measure::{Measured, Sample};
use super::party::{GO, READY, part_path};
use super::vector::Part;
use crate::error::NodeError;
use crate::local::{assign_ports, make};
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// One child. It ends when its input does; dropped, it is killed.
struct Member {
    party: usize,
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.input.take());
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Member {
    fn start(dir: &Path, party: usize, job: &str) -> Result<Self, NodeError> {
        let program = std::env::current_exe().map_err(NodeError::System)?;
        let mut child = Command::new(program)
            .arg("bench-party")
            .arg("--dir")
            .arg(dir)
            .args(["--party", &party.to_string(), "--job", job])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(NodeError::System)?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = output.ok_or_else(|| NodeError::Bench("a child has no output".into()))?;
        Ok(Self { party, child, input, lines: BufReader::new(output).lines() })
    }

    fn line(&mut self) -> Result<String, NodeError> {
        match self.lines.next() {
            Some(Ok(line)) => Ok(line),
            _ => Err(NodeError::Bench(format!("party {} ended before it was done", self.party))),
        }
    }

    fn expect(&mut self, what: &str) -> Result<(), NodeError> {
        let line = self.line()?;
        if line == what {
            return Ok(());
        }
        Err(NodeError::Bench(format!("party {} said {line:?} instead of {what}", self.party)))
    }

    fn tell(&mut self, what: &str) -> Result<(), NodeError> {
        let input = self.input.as_mut().ok_or_else(|| NodeError::Bench("no child".into()))?;
        writeln!(input, "{what}").map_err(NodeError::System)
    }
}

/// Runs the job.
///
/// # Errors
/// [`NodeError::Bench`] when a party fails (it has said why on standard error).
pub(super) fn run(job: &Job) -> Result<Run, NodeError> {
    let folder = tempfile::Builder::new()
        .prefix("trine-bench-")
        .tempdir()
        .map_err(NodeError::file("create", std::env::temp_dir()))?;
    let dir = folder.path();
    make(dir)?;
    assign_ports(dir, None)?;
    let text = serde_json::to_string(job).map_err(|e| NodeError::Bench(e.to_string()))?;
    let mut members = Vec::new();
    for party in 0..3 {
        members.push(Member::start(dir, party, &text)?);
    }
    let mut measured: [Measured; 3] = Default::default();
    for _ in 0..job.repeat {
        for member in &mut members {
            member.expect(READY)?;
        }
        for member in &mut members {
            member.tell(GO)?;
        }
        for (member, measured) in members.iter_mut().zip(&mut measured) {
            let line = member.line()?;
            let sample: Sample = serde_json::from_str(&line)
                .map_err(|e| NodeError::Bench(format!("party {}: {e}", member.party)))?;
            measured.samples.push(sample);
        }
    }
    for member in &mut members {
        member.expect(READY)?;
        member.tell("END")?;
    }
    for member in &mut members {
        member.expect("DONE")?;
    }
    let part = |party| -> Result<Part, NodeError> {
        let path = part_path(dir, party);
        let bytes = std::fs::read(&path).map_err(NodeError::file("read", &path))?;
        postcard::from_bytes(&bytes).map_err(|e| NodeError::Bench(format!("party {party}: {e}")))
    };
    let parts = [part(0)?, part(1)?, part(2)?];
    drop(members);
    Ok(Run { measured, parts })
}
