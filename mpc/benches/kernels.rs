//! The inner loops one by one: key streams, gates, transposes, compression, gathers, permutations.
//!
//! `cargo bench -p trine-mpc`. Gates run as three parties in one process: the figure holds the work of
//! all three and the hand-over of messages in memory.

#![allow(clippy::unwrap_used, reason = "a bench may stop where it fails")]
#![allow(missing_docs, reason = "the groups are made by a macro")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use trine_mpc::testing::{Noise, compress_bits, run, share_arith, share_planes};
use trine_mpc::{Planes, input, protocol, sort};

const ROWS: usize = 1 << 16;

fn streams(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream");
    let mut out = vec![0; 1 << 20];
    group.throughput(Throughput::Bytes(1 << 20));
    group.bench_function("expand", |b| {
        b.iter(|| input::expand(black_box(&[1; 32]), 0, 0, &mut out));
    });
    group.finish();
}

fn gates(c: &mut Criterion) {
    let mut group = c.benchmark_group("gates");
    let bytes = Noise::new(1).bytes(8 * ROWS);
    let (x, y) = (share_planes(1, ROWS, 64, &bytes), share_planes(2, ROWS, 64, &bytes));
    let ring = share_arith::<u64>(3, &vec![7; ROWS]);
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("and", |b| {
        b.iter(|| run(1, |s| protocol::and(s, &x[s.party()], &y[s.party()]).unwrap()));
    });
    group.bench_function("less_than", |b| {
        b.iter(|| run(1, |s| protocol::less_than(s, &x[s.party()], &y[s.party()]).unwrap()));
    });
    group.bench_function("multiply", |b| {
        b.iter(|| run(1, |s| protocol::mul(s, &ring[s.party()], &ring[s.party()]).unwrap()));
    });
    group.bench_function("arith_to_planes", |b| {
        b.iter(|| run(1, |s| protocol::arith_to_planes(s, &ring[s.party()], 64).unwrap()));
    });
    group.finish();
}

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("rows");
    let bytes = Noise::new(1).bytes(8 * ROWS);
    group.throughput(Throughput::Bytes(16 * ROWS as u64));
    group.bench_function("planes_of_rows", |b| {
        b.iter(|| Planes::from_rows(ROWS, 64, black_box(&bytes), &bytes));
    });
    let planes = Planes::from_rows(ROWS, 64, &bytes, &bytes);
    let mut noise = Noise::new(2);
    let rows = u64::try_from(ROWS).unwrap();
    let index: Vec<u32> = (0..ROWS).map(|_| u32::try_from(noise.word() % rows).unwrap()).collect();
    group.bench_function("gather", |b| b.iter(|| planes.gather(black_box(&index))));
    let words: Vec<u64> = (0..ROWS).map(|_| noise.word()).collect();
    let mask: Vec<u64> = (0..ROWS).map(|_| noise.word()).collect();
    group.bench_function("compress", |b| {
        b.iter_batched_ref(
            || vec![0; ROWS],
            |out| compress_bits(black_box(&words), &mask, out),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn permutations(c: &mut Criterion) {
    let mut group = c.benchmark_group("permutation");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("draw", |b| {
        b.iter(|| run(1, |s| sort::Shuffle::draw(s, ROWS)));
    });
    group.finish();
}

criterion_group!(kernels, streams, gates, rows, permutations);
criterion_main!(kernels);
