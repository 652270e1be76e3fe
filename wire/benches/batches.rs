//! What the data path does to each batch: cut it out of a Fetch response, and give it a new header. Bytes per second
//! are those of batches as stored; a Fetch response of 1 MiB of them is gone through each time.
//!
//! `cargo bench -p wire --bench batches`, with `-- rewrite` for one of them.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wire::{Batch, Batches, HEADER_LEN, Stored, rewrite_header, sequence_after};

/// What one partition of a Fetch response may hold.
const RESPONSE: usize = 1024 * 1024;
const LARGEST: usize = 16 * RESPONSE;
/// Bytes of a batch: small ones of a hurried producer, Kafka's default, and well-filled ones.
const SIZES: [usize; 3] = [1_024, 16 * 1_024, 64 * 1_024];

/// A batch of `size` bytes that says it holds ten records, which nothing here looks at.
fn batch(base_offset: i64, size: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
    let length = (size - 12) as u32;
    let header: [&[u8]; 11] = [
        &base_offset.to_be_bytes(),
        &length.to_be_bytes(),
        &7_i32.to_be_bytes(),
        &[2],
        &[0; 4],
        &0_i16.to_be_bytes(),
        &9_i32.to_be_bytes(),
        &1_700_000_000_000_i64.to_be_bytes(),
        &1_700_000_000_009_i64.to_be_bytes(),
        &[&4_711_i64.to_be_bytes()[..], &0_i16.to_be_bytes(), &0_i32.to_be_bytes()].concat(),
        &10_i32.to_be_bytes(),
    ];
    bytes[..HEADER_LEN].copy_from_slice(&header.concat());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn response(size: usize) -> Bytes {
    (0..).take(RESPONSE / size).flat_map(|n| batch(n * 10, size)).collect::<Vec<_>>().into()
}

fn batches_of(response: &Bytes) -> impl Iterator<Item = Batch> {
    Batches::new(response.clone(), LARGEST).filter_map(|stored| match stored {
        Ok(Stored::Batch(batch)) => Some(batch),
        _ => None,
    })
}

fn batches(criterion: &mut Criterion) {
    let view = |response: &Bytes| batches_of(response).map(|batch| batch.header().next_offset()).sum::<i64>();
    let verify = |response: &Bytes| batches_of(response).filter(|batch| batch.verify().is_ok()).count();
    let rewrite = |response: &Bytes| {
        let mut sequence = 0;
        for batch in batches_of(response) {
            let rewritten = rewrite_header(&batch, 1, 0, sequence);
            assert!(rewritten.is_ok(), "{rewritten:?}");
            sequence = sequence_after(sequence, batch.header().record_count);
            let _ = black_box(rewritten);
        }
        sequence
    };
    for size in SIZES {
        let response = response(size);
        // A bench of nothing would be fast.
        assert_eq!(verify(&response), RESPONSE / size);
        let mut group = criterion.benchmark_group("batches");
        group.throughput(Throughput::Bytes(response.len() as u64));
        group.bench_with_input(BenchmarkId::new("view", size), &response, |b, r| b.iter(|| view(black_box(r))));
        group.bench_with_input(BenchmarkId::new("verify", size), &response, |b, r| b.iter(|| verify(black_box(r))));
        group.bench_with_input(BenchmarkId::new("rewrite", size), &response, |b, r| b.iter(|| rewrite(black_box(r))));
        group.finish();
    }
}

criterion_group!(benches, batches);
criterion_main!(benches);
