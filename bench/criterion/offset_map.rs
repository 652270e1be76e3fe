//! What the offset map costs the data path: a word for each acknowledged batch, and an update each second.
//!
//! `cargo bench -p kmirror --bench offset_map`

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kmirror::offsets::{Anchor, BLOCK_RUNS, MapWriter};
use wire::ProducerId;

const BATCHES: i64 = 1_000;
const RECORDS: u32 = 10;

fn anchor(source_offset: i64, target_offset: i64) -> Anchor {
    Anchor {
        generation: 1,
        source_id: 2,
        target_id: 3,
        source_epoch: 4,
        target_epoch: 5,
        producer: ProducerId { id: 6, epoch: 0 },
        count: 7,
        source_offset,
        target_offset,
        left_out: Vec::new(),
    }
}

/// Batches one after the other, with so many offsets between them.
fn written(gap: i64, batches: i64) -> MapWriter {
    let mut writer = MapWriter::default();
    for n in 0..batches {
        let (source, target) = (n * (i64::from(RECORDS) + gap), n * i64::from(RECORDS));
        writer.written(black_box(source), black_box(target), RECORDS);
    }
    writer
}

fn maps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("offset_map");
    group.throughput(Throughput::Elements(BATCHES as u64));
    group.bench_function("written/plain", |b| b.iter(|| written(0, BATCHES)));
    group.bench_function("written/transactions", |b| b.iter(|| written(1, BATCHES)));
    group.throughput(Throughput::Elements(1));
    for (name, gap) in [("update/plain", 0), ("update/full-block", 1)] {
        let setup = || written(gap, i64::from(BLOCK_RUNS));
        group.bench_function(name, |b| {
            b.iter_batched(setup, |mut writer| writer.update(anchor(1 << 20, 1 << 20)), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, maps);
criterion_main!(benches);
