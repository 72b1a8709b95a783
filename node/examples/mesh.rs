//! What the mesh costs on this machine: three parties in one process, real TLS over loopback.
//!
//! `cargo run --release -p trine-node --features testing --example mesh`

use std::sync::Arc;
use std::time::{Duration, Instant};
use trine_mpc::{MpcError, Net};
use trine_node::testing::Loopback;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let world = Loopback::start()?;
    for (bytes, rounds) in [(8, 20_000), (64, 5_000), (4 << 10, 5_000), (64 << 10, 2_000)] {
        let took = ring(&world, bytes, rounds)?;
        println!("{bytes:>9} bytes a round: {:8.2} µs a round", micros(took.0, rounds));
    }
    for (bytes, rounds) in [(1 << 20, 100), (8 << 20, 40)] {
        let (wall, processor) = ring(&world, bytes, rounds)?;
        let gigabytes = (3 * bytes * rounds) as f64 / 1e9;
        println!(
            "{bytes:>9} bytes a round: {:8.2} µs a round, {:.2} GB/s of all parties, {:.3} CPU s/GB",
            micros(wall, rounds),
            gigabytes / wall.as_secs_f64(),
            processor.as_secs_f64() / gigabytes,
        );
    }
    Ok(())
}

fn micros(time: Duration, rounds: usize) -> f64 {
    time.as_secs_f64() * 1e6 / rounds as f64
}

/// Every party sends `bytes` to the next one and receives as many from the previous one, `rounds`
/// times: wall and processor time.
fn ring(world: &Loopback, bytes: usize, rounds: usize) -> Result<(Duration, Duration), MpcError> {
    let nets = world.attempt(1)?;
    let (start, before) = (Instant::now(), processor());
    let work = |party: usize, net: Arc<dyn Net>| {
        move || -> Result<(), MpcError> {
            let mut into = vec![0; bytes];
            let mut out = vec![0; bytes];
            for round in 0..rounds {
                out[0] = round.to_le_bytes()[0];
                net.exchange(0, (party + 1) % 3, &out, (party + 2) % 3, &mut into)?;
                assert_eq!(into[0], out[0]);
            }
            Ok(())
        }
    };
    let threads = [0, 1, 2].map(|p| std::thread::spawn(work(p, Arc::clone(&nets[p]))));
    for thread in threads {
        thread.join().unwrap_or(Err(MpcError::Shape("a party panicked")))?;
    }
    Ok((start.elapsed(), processor().saturating_sub(before)))
}

/// Processor time of this process so far.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    // Fields 14 and 15 of proc(5), in hundredths of a second on every Linux.
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}
