//! Three threads of this process over queues in memory: the engine without sockets and encryption.

use super::Run;
use super::job::Job;
use super::measure::{Measured, Sample};
use super::party::{Ready, network};
use super::vector::Part;
use crate::error::NodeError;
use std::sync::{Arc, Barrier};
use trine_mpc::{AttemptKeys, MemoryNet, Net, Session};

/// Runs the job; processor time and memory are those of all three parties together.
///
/// # Errors
/// [`NodeError::Bench`].
pub(super) fn run(job: &Job) -> Result<Run, NodeError> {
    let mut secrets = [[0; 32]; 3];
    for secret in &mut secrets {
        getrandom::fill(secret)
            .map_err(|_| NodeError::Bench("no randomness from the operating system".into()))?;
    }
    let barrier = Barrier::new(3);
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = MemoryNet::mesh()
            .into_iter()
            .enumerate()
            .map(|(party, net)| {
                let keys = AttemptKeys::derive(
                    &secrets[party],
                    &secrets[(party + 2) % 3],
                    b"bench",
                    b"bench",
                );
                let barrier = &barrier;
                scope.spawn(move || one_party(job, party, net, keys, barrier))
            })
            .collect();
        threads.into_iter().map(|t| t.join().ok()).collect::<Vec<_>>()
    });
    let mut measured = Vec::new();
    let mut parts = Vec::new();
    for (party, result) in results.into_iter().enumerate() {
        let result = result.unwrap_or_else(|| Err("it panicked".into()));
        let (own, part) = result.map_err(|e| NodeError::Bench(format!("party {party}: {e}")))?;
        measured.push(own);
        parts.push(part);
    }
    let three = || NodeError::Bench("three parties were to answer".into());
    Ok(Run {
        measured: measured.try_into().map_err(|_| three())?,
        parts: parts.try_into().map_err(|_| three())?,
    })
}

/// Always comes to every barrier: a party that fails lets go of its network, so that the others
/// fail too instead of waiting.
fn one_party(
    job: &Job,
    party: usize,
    net: Arc<MemoryNet>,
    keys: AttemptKeys,
    barrier: &Barrier,
) -> Result<(Measured, Part), String> {
    let net: Arc<dyn Net> = net;
    let mut state = Ready::new(job, party)
        .map(|ready| (ready, Session::new(party, network(job, net), keys, job.profile())));
    let mut samples: Vec<Sample> = Vec::new();
    let mut last = None;
    for _ in 0..job.repeat {
        last = None;
        barrier.wait();
        let run = match &mut state {
            Ok((ready, session)) => ready.run(job, session),
            Err(why) => Err(why.clone()),
        };
        match run {
            Ok((sample, part)) => {
                samples.push(sample);
                last = Some(part);
            }
            Err(why) => state = Err(why),
        }
        barrier.wait();
    }
    state?;
    last.map(|part| (Measured { samples }, part)).ok_or_else(|| "nothing was run".to_owned())
}
