//! What the flow decides over each batch by its header. The file that decides is compiled into this program: nothing of the flow is public
//! for its sake.
//!
//! `cargo bench -p kmirror --bench plan`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wire::BatchHeader;

#[path = "../../src/flow"]
#[expect(dead_code, reason = "the tests in it run with the flow's own, and leave what they use")]
mod flow {
    pub(crate) mod plan;
}

use flow::plan::{Plan, Rules, plan};

/// Batches of a partition, one after the other.
const BATCHES: i64 = 1_000;
const RECORDS: i32 = 10;

/// The header of batch `n`.
fn header(n: i64, attributes: i16) -> BatchHeader {
    BatchHeader {
        base_offset: n * i64::from(RECORDS),
        batch_length: 49,
        partition_leader_epoch: 7,
        crc: 0,
        attributes,
        last_offset_delta: RECORDS - 1,
        base_timestamp: 1_700_000_000_000,
        max_timestamp: 1_700_000_000_009,
        producer_id: 4_711,
        producer_epoch: 0,
        base_sequence: 0,
        record_count: RECORDS,
    }
}

fn plans(criterion: &mut Criterion) {
    let rules = Rules::default();
    let passing = |headers: &[BatchHeader]| {
        headers
            .iter()
            .filter(|header| {
                plan(black_box(header), black_box(header.base_offset), false, true, black_box(&rules)) == Plan::Pass
            })
            .count()
    };
    const LZ4: i16 = 3;
    const TRANSACTIONAL_CONTROL: i16 = 0x30;
    let ordinary: Vec<_> = (0..BATCHES).map(|n| header(n, LZ4)).collect();
    // Every other one of short transactions is a marker.
    let markers: Vec<_> =
        (0..BATCHES).map(|n| header(n, if n % 2 == 0 { LZ4 } else { TRANSACTIONAL_CONTROL })).collect();
    // A bench of the wrong outcome would say nothing.
    assert_eq!((passing(&ordinary), passing(&markers)), (BATCHES as usize, BATCHES as usize / 2));
    let mut group = criterion.benchmark_group("plan");
    group.throughput(Throughput::Elements(BATCHES as u64));
    group.bench_function("ordinary", |b| b.iter(|| passing(black_box(&ordinary))));
    group.bench_function("markers", |b| b.iter(|| passing(black_box(&markers))));
    group.finish();
}

criterion_group!(benches, plans);
criterion_main!(benches);
