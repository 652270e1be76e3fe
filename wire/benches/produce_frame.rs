//! What is written for a Produce request: all but the payloads, which are sent from where they are. The file that writes it is compiled
//! into this program: nothing of it is public for its sake.
//!
//! `cargo bench -p wire --bench produce_frame`

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wire::HEADER_LEN;

#[path = "../src"]
#[expect(dead_code, reason = "the tests in it run with the crate's own, and leave what they use")]
mod src {
    pub(crate) mod produce_frame;
}

use src::produce_frame::{ProduceBatch, encode_produce};

/// The newest layout, which names topics by id.
const VERSION: i16 = 13;
/// Batches of a request and bytes of each, header included: of a hurried producer, of Kafka's default one over many partitions, and as
/// large as a request gets.
const REQUESTS: [(usize, usize); 3] = [(8, 1_024), (256, 16 * 1_024), (4, 1_024 * 1_024)];

fn header(size: usize) -> [u8; HEADER_LEN] {
    let mut header = [7; HEADER_LEN];
    // The length of what follows the length field.
    header[8..12].copy_from_slice(&((size - 12) as u32).to_be_bytes());
    header
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("produce_frame");
    for (count, size) in REQUESTS {
        let payload = Bytes::from(vec![1; size - HEADER_LEN]);
        let encode = || {
            let batches: Vec<_> = (0..count)
                .map(|partition| ProduceBatch {
                    topic: "orders",
                    topic_id: 4_711,
                    partition: partition as i32,
                    header: header(size),
                    payload: payload.clone(),
                })
                .collect();
            encode_produce(VERSION, 1, "kmirror", -1, 30_000, black_box(&batches))
        };
        // A bench of a refusal would be fast.
        let length: usize = encode().iter().flatten().map(Bytes::len).sum();
        assert!(length > count * size, "{length}");
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new(format!("{count} batches"), size), |b| b.iter(encode));
    }
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
