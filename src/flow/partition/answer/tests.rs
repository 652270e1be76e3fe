//! Over batches of real brokers, again and again: small ones are joined where they would have to wait for each other.

use bytes::Bytes;
use wire::{AbortedTransaction, Budget, ProducerId, TopicPartition};

use super::*;
use crate::flow::{WriteSettings, partition::Begun};

const PLAIN: &[u8] = include_bytes!("../../../../wire/tests/golden/none.log");
const TRANSACTIONS: &[u8] = include_bytes!("../../../../wire/tests/golden/transactions.log");
/// In [`PLAIN`], a batch of 3 records.
const SMALL_BATCH: usize = 507;
/// Offsets in [`TRANSACTIONS`]: one of 3 records and its marker, then one of 2 and its marker.
const SPAN: i64 = 7;
/// Bytes of the first batch there.
const FIRST_BATCH: usize = 329;
const PLENTY: usize = 1024 * 1024;
/// Brokers remember nothing: one batch at a time.
const NEVER: i64 = i64::MAX;

fn started(join: bool) -> Partition {
    let write = WriteSettings { join, ..WriteSettings::default() };
    let (source, target) = (TopicPartition::new("t", 0), TopicPartition::new("a.t", 0));
    let mut partition = Partition::new(source, target, None, &write, Arc::default());
    partition.prepared(Begun::anew(ProducerId { id: 7, epoch: 0 }, Some(0)));
    partition
}

/// Batches at these offsets. Their sums do not cover those.
fn at(offset: i64, batches: &[u8]) -> Vec<u8> {
    let mut moved = Vec::new();
    let mut rest = batches;
    while !rest.is_empty() {
        let base = i64::from_be_bytes(rest[..8].try_into().unwrap());
        let length = 12 + i32::from_be_bytes(rest[8..12].try_into().unwrap()) as usize;
        moved.extend((offset + base).to_be_bytes());
        moved.extend(&rest[8..length]);
        rest = &rest[length..];
    }
    moved
}

fn fetch(partition: &mut Partition, records: Vec<u8>, aborted: Vec<AbortedTransaction>) {
    partition.fetch_sent();
    assert!(partition.fetch_done());
    let (high_watermark, last_stable) = (i64::MAX, i64::MAX);
    let (error, log_start, preferred_replica, diverged) = (0, 0, None, None);
    let records = Bytes::from(records);
    let answer = FetchedPartition {
        tag: 0,
        error,
        high_watermark,
        last_stable,
        log_start,
        preferred_replica,
        diverged,
        aborted,
        records,
    };
    let mut verdict = partition.fetched("a", answer, Instant::now());
    while verdict == Verdict::Recode {
        let work = partition.recode_work().unwrap();
        let next = work.next;
        verdict = partition.recoded("a", next, Ok(work.run(&Budget::new(PLENTY)).unwrap()));
    }
    assert_eq!(verdict, Verdict::Wait);
}

/// So many small batches are all that has come to the source.
fn follow(partition: &mut Partition, batches: i64) {
    let position = partition.position();
    // The batch stands at offset 5 there.
    let log = (0..batches).flat_map(|n| at(position + 3 * n - 5, &PLAIN[SMALL_BATCH..])).collect();
    fetch(partition, log, Vec::new());
}

/// Source offset and number of records of each batch that goes out.
fn send_all(partition: &mut Partition) -> Vec<(i64, i32)> {
    let now = Instant::now();
    let mut sent = Vec::new();
    while let Some((base, batch)) = partition.next_batch(now, NEVER) {
        sent.push((base, i32::from_be_bytes(batch.header[57..61].try_into().unwrap())));
        partition.acknowledged(base, base, now, NEVER);
    }
    sent
}

#[test]
fn few_small_batches_wait_so_that_more_are_joined() {
    for join in [true, false] {
        let mut partition = started(join);
        let mut fetches = 0;
        // The source is followed closely, and the target takes nothing.
        while fetches < 100 && partition.wants_fetch(Instant::now(), PLENTY) {
            follow(&mut partition, 1);
            fetches += 1;
        }
        assert_eq!(fetches, if join { 10 } else { 100 });
        if !join {
            continue;
        }
        let (base, _) = partition.next_batch(Instant::now(), NEVER).unwrap();
        assert_eq!(base, 0);
        assert!(partition.wants_fetch(Instant::now(), PLENTY), "one less waits");
        // Meanwhile that much has come, and has to wait in any case.
        follow(&mut partition, 40);
        partition.acknowledged(0, 0, Instant::now(), NEVER);
        let sent = send_all(&mut partition);
        assert_eq!((sent.len(), sent.last()), (10, Some(&(30, 120))));
    }
}

#[test]
fn small_batches_are_joined_across_what_is_left_out() {
    for (join, batches) in [(true, 1), (false, 50)] {
        let mut partition = started(join);
        let log: Vec<u8> = (0..50).flat_map(|n| at(n * SPAN, TRANSACTIONS)).collect();
        assert!(log.len() >= MUCH_BYTES);
        let aborted = (0..50).map(|n| AbortedTransaction { producer_id: 9, first_offset: n * SPAN + 4 });
        fetch(&mut partition, log, aborted.collect());
        assert_eq!(partition.position(), 50 * SPAN, "behind the last marker");
        let sent = send_all(&mut partition);
        assert_eq!((sent.len(), sent.iter().map(|(_, records)| records).sum()), (batches, 150));
        // What was left out among joined batches counts with them.
        assert_eq!(partition.passed_over(), (!join).then_some(50 * SPAN - 1));
    }
}

#[test]
fn what_is_left_out_among_joined_batches_is_checked() {
    let mut partition = started(true);
    let mut log: Vec<u8> = (0..50).flat_map(|n| at(n * SPAN, TRANSACTIONS)).collect();
    // In the body of the first marker.
    log[FIRST_BATCH + HEADER_LEN + 9] ^= 1;
    fetch(&mut partition, log, Vec::new());
    assert_eq!((partition.position(), partition.fetches.corrupt), (3, 1));
    assert_eq!(send_all(&mut partition), [(0, 3)]);
}
