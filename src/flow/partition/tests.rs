//! Over segment files of a real broker: a batch of 5 records at offset 0 and one of 3 at offset 5.

use std::time::Duration;

use bytes::Bytes;
use wire::{AbortedTransaction, Batch, Budget, FetchedPartition, RecordError, RecordReader};

use crate::flow::{
    recode::RecodeError,
    tail::{Blind, LookFor, Tail, Written},
};

use super::{
    attempts::{CORRUPT_TRIES, MISSING_GRACE, NEW_GRACE},
    outbound::GIVE_BACK_AFTER,
    *,
};

pub(super) const PLAIN: &[u8] = include_bytes!("../../../wire/tests/golden/none.log");
const TRANSACTIONS: &[u8] = include_bytes!("../../../wire/tests/golden/transactions.log");
const COMPACTED: &[u8] = include_bytes!("../../../wire/tests/golden/compacted.log");
const APPEND_TIME: &[u8] = include_bytes!("../../../wire/tests/golden/append-time.log");

const NOT_LEADER: i16 = 6;
const UNKNOWN_TOPIC: i16 = 3;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const MESSAGE_TOO_LARGE: i16 = 10;
const CORRUPT_MESSAGE: i16 = 2;
const INVALID_TIMESTAMP: i16 = 32;
const OUT_OF_ORDER: i16 = 45;

/// No broker is sure to remember anything: one batch at a time.
pub(super) const NEVER: i64 = i64::MAX;
/// A producer of a record so old may be forgotten, and one of such a new one is not.
const OLD: i64 = 5;
pub(super) const NEW: i64 = 6;
pub(super) const LOW_WATER: usize = 1024 * 1024;

pub(super) fn new() -> Partition {
    Partition::new(
        TopicPartition::new("t", 0),
        TopicPartition::new("a.t", 0),
        None,
        &WriteSettings::default(),
        Arc::default(),
    )
}

pub(super) fn started() -> Partition {
    let mut partition = new();
    let producer = ProducerId { id: 7, epoch: 0 };
    partition.prepared(Begun::anew(producer, Some(0)));
    partition
}

pub(super) fn fetched(partition: &mut Partition, log: &'static [u8]) -> Verdict {
    assert!(partition.wants_fetch(Instant::now(), LOW_WATER));
    partition.fetch_sent();
    assert!(partition.fetch_done());
    let verdict = partition.fetched("a", answer(Bytes::from_static(log)), Instant::now());
    opened(partition, verdict)
}

/// Has what is to be opened opened, on the spot.
fn opened(partition: &mut Partition, mut verdict: Verdict) -> Verdict {
    while verdict == Verdict::Recode {
        let work = partition.recode_work().expect("work");
        assert!(partition.recode_work().is_none() && !partition.wants_fetch(Instant::now(), LOW_WATER));
        let next = work.next;
        verdict = partition.recoded("a", next, work.run(&Budget::new(LOW_WATER)).map_err(RecodeError::Corrupt));
    }
    verdict
}

fn answer(records: Bytes) -> FetchedPartition {
    FetchedPartition {
        tag: 0,
        error: 0,
        high_watermark: 8,
        last_stable: 8,
        log_start: 0,
        preferred_replica: None,
        diverged: None,
        aborted: Vec::new(),
        records,
    }
}

pub(super) fn next(partition: &mut Partition, now: Instant) -> Option<ProduceBatch> {
    partition.next_batch(now, NEVER).map(|(_, batch)| batch)
}

/// An answer to Produce that refuses the batch, or records of it.
fn refusal(error: i16, records: &[usize]) -> Produced {
    let record_errors = records.iter().map(|index| RecordError { index: *index, message: Some(format!("no {index}")) });
    Produced {
        tag: 0,
        error,
        message: Some("words".to_owned()),
        record_errors: record_errors.collect(),
        base_offset: -1,
    }
}

fn base_sequence(batch: &ProduceBatch) -> i32 {
    i32::from_be_bytes([batch.header[53], batch.header[54], batch.header[55], batch.header[56]])
}

#[test]
fn batches_go_one_by_one_and_positions_follow_acknowledgements() {
    let mut partition = started();
    assert_eq!(fetched(&mut partition, PLAIN), Verdict::Wait);
    assert_eq!(partition.position(), 8);
    let now = Instant::now();
    let first = next(&mut partition, now).expect("the first batch");
    assert_eq!(base_sequence(&first), 0);
    assert!(next(&mut partition, now).is_none(), "one unresolved batch at a time");
    assert_eq!(partition.acknowledged(0, 0, now, NEVER), Some(4));
    assert_eq!(base_sequence(&next(&mut partition, now).expect("the second batch")), 5);
    assert_eq!(partition.acknowledged(5, 5, now, NEVER), Some(7));
    assert_eq!(partition.acknowledged(5, 5, now, NEVER), None, "nothing is acknowledged twice");
    assert_eq!(partition.held_bytes(), 0);
}

#[test]
fn an_unanswered_batch_is_sent_again_with_the_same_bytes() {
    let mut partition = started();
    fetched(&mut partition, PLAIN);
    let now = Instant::now();
    let first = next(&mut partition, now).expect("a batch");
    partition.unanswered(0, 1, now, NEVER);
    assert!(next(&mut partition, now).is_none(), "it waits first");
    let later = now + Duration::from_secs(2);
    assert_eq!(partition.looked("b", Ok(Tail::default()), later, OLD), (Verdict::Wait, None));
    let again = next(&mut partition, later).expect("the batch again");
    assert_eq!((first.header, first.payload), (again.header, again.payload));
}

#[test]
fn a_fetch_that_no_longer_fits_brings_nothing() {
    let mut partition = started();
    fetched(&mut partition, PLAIN);
    let now = Instant::now();
    next(&mut partition, now).expect("a batch");
    // Under way when the bytes are given back: what it brings lies beyond the new position.
    partition.fetch_sent();
    let later = now + GIVE_BACK_AFTER;
    assert!(partition.give_back_if_stuck(later, Bytes::clone));
    assert_eq!(partition.position(), 5);
    assert!(!partition.fetch_done());
    assert!(!partition.wants_fetch(later, LOW_WATER), "stuck: not fetched until the unresolved batch is taken");
    assert_eq!(partition.acknowledged(0, 0, now, NEVER), Some(4));
    // Fetched again, the second batch has the sequence it had before.
    fetched(&mut partition, PLAIN);
    assert_eq!(base_sequence(&next(&mut partition, later).expect("the second batch")), 5);
}

/// Offset in the source, time and value of each record that is sent.
fn sent(partition: &mut Partition) -> Vec<(i64, i64, String)> {
    let now = Instant::now();
    let mut records = Vec::new();
    while let Some((base, batch)) = partition.next_batch(now, NEVER) {
        let batch = Batch::parse([&batch.header[..], &batch.payload].concat().into()).expect("a batch");
        assert_eq!((batch.verify(), batch.header().is_transactional()), (Ok(()), false));
        assert!(batch.header().is_contiguous() && batch.header().delete_horizon().is_none());
        let mut reader = RecordReader::new(&batch, LOW_WATER).expect("records");
        while let Some(record) = reader.next_record().expect("a record") {
            records.push((
                base + record.offset,
                record.timestamp,
                format!("{:?}", Bytes::copy_from_slice(record.body)),
            ));
        }
        partition.acknowledged(base, base, now, NEVER);
    }
    records
}

fn offsets(records: &[(i64, i64, String)]) -> Vec<i64> {
    records.iter().map(|(offset, ..)| *offset).collect()
}

#[test]
fn what_is_opened_goes_on_without_gaps() {
    let mut partition = started();
    assert_eq!(fetched(&mut partition, COMPACTED), Verdict::Wait);
    assert_eq!(partition.position(), 8);
    // Of a batch of 5 records two are left, one batch is empty, and the last passes.
    let records = sent(&mut partition);
    assert_eq!(records.len(), 4);
    assert_eq!(offsets(&records)[2..], [6, 7]);
}

#[test]
fn times_of_the_broker_become_those_of_the_records() {
    let mut partition = started();
    fetched(&mut partition, APPEND_TIME);
    let times: Vec<i64> = sent(&mut partition).iter().map(|(_, time, _)| *time).collect();
    assert_eq!(times, [1_795_226_668_881; 3]);
}

#[test]
fn aborted_transactions_and_markers_are_left_out() {
    let aborted = [AbortedTransaction { producer_id: 9, first_offset: 4 }];
    for (aborted, expected) in [(&aborted[..], &[0, 1, 2][..]), (&[], &[0, 1, 2, 4, 5])] {
        let mut partition = started();
        partition.fetch_sent();
        assert!(partition.fetch_done());
        let answer = FetchedPartition { aborted: aborted.to_vec(), ..answer(Bytes::from_static(TRANSACTIONS)) };
        assert_eq!(partition.fetched("a", answer, Instant::now()), Verdict::Wait);
        assert_eq!((partition.position(), offsets(&sent(&mut partition)).as_slice()), (7, expected));
    }
}

#[test]
fn a_batch_is_cut_where_the_copy_begins() {
    let mut partition = started();
    partition.position = 3;
    fetched(&mut partition, PLAIN);
    assert_eq!(offsets(&sent(&mut partition)), [3, 4, 5, 6, 7]);
}

#[test]
fn what_was_being_opened_is_dropped_when_it_no_longer_comes_next() {
    let mut partition = started();
    partition.fetch_sent();
    assert!(partition.fetch_done());
    let verdict = partition.fetched("a", answer(Bytes::from_static(COMPACTED)), Instant::now());
    assert_eq!(verdict, Verdict::Recode);
    let work = partition.recode_work().expect("work");
    partition.abandon();
    assert!(partition.is_recoding(), "somebody is at it");
    let next = work.next;
    assert_eq!(
        partition.recoded("a", next, work.run(&Budget::new(LOW_WATER)).map_err(RecodeError::Corrupt)),
        Verdict::Wait
    );
    assert_eq!((partition.position(), partition.held_bytes(), partition.is_recoding()), (0, 0, false));
}

#[test]
fn a_flipped_bit_is_fetched_again_and_then_stops() {
    let mut damaged = PLAIN.to_vec();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let mut partition = started();
    for tries in 1..=CORRUPT_TRIES {
        partition.fetch_sent();
        assert!(partition.fetch_done());
        let verdict = partition.fetched("a", answer(Bytes::from(damaged.clone())), Instant::now());
        assert_eq!(partition.position(), 5, "the sound batch before it is kept, once");
        assert_eq!(verdict == Verdict::Stop, tries == CORRUPT_TRIES);
    }
    let text = partition.stopped().expect("a reason").to_string();
    assert!(text.contains("CRC") && text.contains("offset 5"), "{text}");
    // Sound bytes at a later try are taken.
    let mut partition = started();
    partition.fetched("a", answer(Bytes::from(damaged)), Instant::now());
    assert_eq!(fetched(&mut partition, PLAIN), Verdict::Wait);
    assert_eq!(partition.position(), 8);
}

#[test]
fn refusals() {
    let now = Instant::now();
    for (code, at, expected) in [
        (NOT_LEADER, now, Verdict::Refresh),
        (UNKNOWN_TOPIC, now, Verdict::Refresh),
        (UNKNOWN_TOPIC, now + NEW_GRACE, Verdict::Stop),
        (TOPIC_AUTHORIZATION_FAILED, now, Verdict::Stop),
    ] {
        let mut partition = started();
        fetched(&mut partition, PLAIN);
        next(&mut partition, now).expect("a batch");
        partition.produce_refused("b", 0, &refusal(UNKNOWN_TOPIC, &[]), now);
        assert_eq!(partition.produce_refused("b", 0, &refusal(code, &[]), at), expected, "{code}");
        if expected == Verdict::Stop {
            let text = partition.stopped().expect("a reason").to_string();
            for named in ["Produce of a.t-0 at source offset 0", "cluster b", "words"] {
                assert!(text.contains(named), "{named}: {text}");
            }
            assert_eq!(partition.held_bytes(), 0);
        }
    }
    let mut denied = started();
    assert_eq!(denied.fetch_refused("a", TOPIC_AUTHORIZATION_FAILED, now), Verdict::Stop);
    let text = denied.stopped().expect("a reason").to_string();
    assert!(text.contains("Fetch of t-0") && text.contains("TOPIC_AUTHORIZATION_FAILED"), "{text}");
}

/// Kafka calls it retriable, for bytes damaged on the way to the broker; those that stay damaged were so before.
#[test]
fn a_broker_that_goes_on_refusing_the_checksum_ends_the_tries() {
    let mut partition = started();
    fetched(&mut partition, PLAIN);
    let now = Instant::now();
    for tries in 1..=CORRUPT_TRIES {
        next(&mut partition, now + Duration::from_secs(60) * tries).expect("a batch");
        let verdict = partition.produce_refused("b", 0, &refusal(CORRUPT_MESSAGE, &[]), now);
        assert_eq!(verdict == Verdict::Stop, tries == CORRUPT_TRIES, "{tries}");
    }
}

#[test]
fn trouble_at_one_end_does_not_hold_up_the_other() {
    let mut partition = started();
    fetched(&mut partition, PLAIN);
    let now = Instant::now();
    next(&mut partition, now).expect("a batch");
    partition.fetch_failed(now);
    assert!(!partition.wants_fetch(now, LOW_WATER));
    assert!(next(&mut partition, now).is_none(), "the batch under way is not sent twice");
    assert_eq!(partition.acknowledged(0, 0, now, NEVER), Some(4));
    assert!(next(&mut partition, now).is_some());
}

/// A topic just made is unknown to some brokers for a moment, and so is one that is gone: time tells them apart.
#[test]
fn a_missing_topic_has_some_grace_wherever_it_is_missed() {
    let now = Instant::now();
    let missing = wire::Error::Broker {
        cluster: "a".to_owned(),
        api: "ListOffsets",
        resource: "t-0".to_owned(),
        code: UNKNOWN_TOPIC,
        message: None,
    };
    let mut partition = new();
    assert_eq!(partition.prepare_refused(missing.clone().into(), now), Verdict::Refresh);
    // A leader may be slower to hear of it than the rest, who tell whether it is gone.
    partition.metadata_known(false);
    partition.metadata_known(true);
    assert_eq!(partition.prepare_refused(missing.into(), now + NEW_GRACE), Verdict::Refresh);

    for (at_target, named) in [(false, "Metadata of t-0"), (true, "Metadata of a.t-0")] {
        let mut partition = started();
        assert_eq!(partition.metadata_refused("c", at_target, UNKNOWN_TOPIC, now), Verdict::Refresh);
        partition.metadata_known(at_target);
        assert_eq!(partition.metadata_refused("c", at_target, UNKNOWN_TOPIC, now + MISSING_GRACE), Verdict::Refresh);
        assert_eq!(partition.metadata_refused("c", at_target, UNKNOWN_TOPIC, now + MISSING_GRACE * 2), Verdict::Stop);
        let text = partition.stopped().expect("a reason").to_string();
        assert!(text.contains(named) && text.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{text}");
    }
}

#[test]
fn a_batch_too_large_for_the_target_is_split() {
    // What the target tells when asked: it may not tell, or tell what can't be.
    for (limit, expected) in [(Some(400), 400), (None, 507 / 2), (Some(1_000), 507 / 2)] {
        let mut partition = started();
        fetched(&mut partition, PLAIN);
        let now = Instant::now();
        let first = next(&mut partition, now).expect("a batch");
        let bytes = first.header.len() + first.payload.len();
        assert_eq!(bytes, 507);
        assert_eq!(partition.produce_refused("b", 0, &refusal(MESSAGE_TOO_LARGE, &[]), now), Verdict::AskLimit);
        assert_eq!((partition.position(), partition.held_bytes()), (0, 0));
        partition.limit_known(limit);
        assert_eq!(partition.refusals.rules.max_batch_bytes, expected);
        fetched(&mut partition, PLAIN);
        let again = next(&mut partition, now).expect("a batch");
        assert_eq!(base_sequence(&again), 0, "the sequence that the refused one had");
        assert!(again.header.len() + again.payload.len() <= expected);
        assert!(partition.acknowledged(0, 0, now, NEVER).is_some());
        let rest = offsets(&sent(&mut partition));
        assert_eq!((rest[0], rest.last()), (i64::from(record_count(&again)), Some(&7)));
    }
}

fn record_count(batch: &ProduceBatch) -> i32 {
    i32::from_be_bytes([batch.header[57], batch.header[58], batch.header[59], batch.header[60]])
}

#[test]
fn a_batch_is_refused_for_good_only_when_those_before_it_are_there() {
    let mut partition = started();
    partition.outbound = Outbound::default();
    fetched(&mut partition, PLAIN);
    let now = Instant::now();
    partition.next_batch(now, -1).expect("the first batch");
    partition.acknowledged(0, 0, now, NEVER);
    // Both are fetched again, from the start of the second on: two are out at a time.
    (partition.position, partition.sequence) = (0, 0);
    partition.outbound.clear();
    fetched(&mut partition, PLAIN);
    partition.next_batch(now, -1).expect("the first batch");
    partition.next_batch(now, -1).expect("the second batch");
    assert_eq!(partition.produce_refused("b", 5, &refusal(OUT_OF_ORDER, &[]), now), Verdict::Wait);
    assert_eq!(partition.produce_refused("b", 0, &refusal(MESSAGE_TOO_LARGE, &[]), now), Verdict::AskLimit);
    assert_eq!(partition.position(), 0);
    let mut partition = started();
    partition.outbound.clear();
    fetched(&mut partition, PLAIN);
    partition.next_batch(now, -1).expect("the first batch");
    assert_eq!(partition.produce_refused("b", 5, &refusal(MESSAGE_TOO_LARGE, &[]), now), Verdict::Wait);
}

/// Takes all that is sent but for these records, of source offsets, which it names if it `names`. Returns those taken.
fn taken_by(partition: &mut Partition, poison: &[i64], names: bool) -> Vec<i64> {
    let mut taken = Vec::new();
    let now = Instant::now();
    for _ in 0..100 {
        if partition.position() < 8 && partition.wants_fetch(now, LOW_WATER) {
            fetched(partition, PLAIN);
        }
        let Some((base, batch)) = partition.next_batch(now + Duration::from_secs(60), NEVER) else { break };
        let ready = partition.outbound.first().expect("a batch").clone();
        let offsets: Vec<i64> = (0..record_count(&batch)).filter_map(|index| ready.offset(index as usize)).collect();
        let refused: Vec<usize> = (0..offsets.len()).filter(|index| poison.contains(&offsets[*index])).collect();
        if refused.is_empty() {
            partition.acknowledged(base, base, now, NEVER);
            taken.extend(offsets);
        } else {
            let told = if names { &refused[..] } else { &[] };
            if partition.produce_refused("b", base, &refusal(INVALID_TIMESTAMP, told), now) == Verdict::Stop {
                break;
            }
        }
    }
    taken
}

#[test]
fn records_that_the_target_refuses_follow_the_policy() {
    for (poison, names, taken) in [
        (&[1, 6][..], true, &[0, 2, 3, 4, 5, 7][..]),
        (&[1, 6], false, &[0, 2, 3, 4, 5, 7]),
        (&[0, 1, 2, 3, 4], true, &[5, 6, 7]),
        (&[0, 1, 4, 7], false, &[2, 3, 5, 6]),
        (&[0, 1, 2, 3, 4, 5, 6, 7], false, &[]),
    ] {
        let mut partition = started();
        partition.poison_policy = PoisonPolicy::Skip;
        assert_eq!(taken_by(&mut partition, poison, names), taken, "{poison:?} {names}");
        let count = partition.poison().expect("poison");
        assert_eq!((count.records, count.next - 1), (poison.len() as u64, poison[poison.len() - 1]));
        assert!(count.last.starts_with("INVALID_TIMESTAMP: "), "{}", count.last);
        partition.passed_over();
        assert!(partition.stopped().is_none() && partition.refusals.poison_before(i64::MAX).is_empty());

        let mut partition = started();
        let first = poison[0];
        let taken = taken_by(&mut partition, poison, names);
        assert_eq!(taken, (0..first.min(if names { 0 } else { first })).collect::<Vec<_>>());
        let text = partition.stopped().expect("a reason").to_string();
        assert!(text.contains(&format!("t-0 at offset {first} is refused for a.t-0 by cluster b")), "{text}");
        assert!(text.contains("INVALID_TIMESTAMP: "), "{text}");
    }
}

#[test]
fn what_is_left_out_at_the_end_moves_the_position_too() {
    let mut partition = started();
    partition.poison_policy = PoisonPolicy::Skip;
    assert_eq!(taken_by(&mut partition, &[5, 6, 7], true), [0, 1, 2, 3, 4]);
    assert_eq!(partition.passed_over(), Some(7));
    assert_eq!(partition.passed_over(), None);
}

#[test]
fn a_refused_sequence_is_looked_up_in_the_log() {
    let now = Instant::now();
    let [later, much_later] = [60, 120].map(|seconds| now + Duration::from_secs(seconds));
    let second_is_refused = || {
        let mut partition = started();
        fetched(&mut partition, PLAIN);
        next(&mut partition, now).expect("the first batch");
        partition.acknowledged(0, 0, now, NEVER);
        next(&mut partition, now).expect("the second batch");
        assert_eq!(partition.produce_refused("b", 5, &refusal(OUT_OF_ORDER, &[]), now), Verdict::Wait);
        assert_eq!(partition.must_look(now), None, "not before the backoff is over");
        assert!(next(&mut partition, later).is_none(), "not before it is looked for");
        let expected = LookFor { from: 5, producer: ProducerId { id: 7, epoch: 0 }, sequence: 5, is_behind_ours: true };
        assert_eq!(partition.must_look(later), Some(expected));
        partition
    };
    let tail = |ours: &[Written]| Ok(Tail { ours: ours.to_vec(), doubled: 0, end: 8 });
    let second = Written { sequence: 5, records: 3, offset: 6 };

    let mut there = second_is_refused();
    assert_eq!(there.looked("b", tail(&[second]), later, OLD), (Verdict::Wait, Some(7)));
    assert_eq!(there.landed.end, Some(9), "behind what it really was appended at");

    let mut missing = second_is_refused();
    assert_eq!(missing.looked("b", tail(&[]), later, OLD), (Verdict::Wait, None));
    assert_eq!(base_sequence(&next(&mut missing, later).expect("the second batch")), 5);
    for at in [later, much_later] {
        assert_eq!(missing.produce_refused("b", 5, &refusal(OUT_OF_ORDER, &[]), at), Verdict::Wait);
        assert_eq!(missing.looked("b", tail(&[]), at, OLD), (Verdict::Wait, None));
        assert!(next(&mut missing, at + Duration::from_secs(60)).is_some());
    }
    assert_eq!(missing.produce_refused("b", 5, &refusal(OUT_OF_ORDER, &[]), much_later), Verdict::Stop);

    let mut another = second_is_refused();
    let theirs = Written { records: 2, ..second };
    assert_eq!(another.looked("b", tail(&[theirs]), later, OLD).0, Verdict::Stop);
    let text = another.stopped().expect("a reason").to_string();
    assert!(text.contains("is copied by another worker now"), "{text}");

    let unseen = |remembered| Err(Blind::Unseen { readable: 5, end: 8, remembered });
    for remembered in [None, Some((3, NEW)), Some((9, NEW)), Some((7, OLD))] {
        let mut waits = second_is_refused();
        assert_eq!(waits.looked("b", unseen(remembered), later, OLD), (Verdict::Refresh, None));
        assert_eq!(waits.must_look(later), None);
        assert!(waits.must_look(much_later).is_some(), "again and again");
    }
    for remembered in [4, 7] {
        let mut recognised = second_is_refused();
        assert_eq!(recognised.looked("b", unseen(Some((remembered, NEW))), later, OLD), (Verdict::Wait, None));
        assert_eq!(base_sequence(&next(&mut recognised, later).expect("the second batch")), 5);
    }

    let mut regressed = second_is_refused();
    assert_eq!(regressed.looked("b", Err(Blind::Regressed { from: 5, end: 3 }), later, OLD), (Verdict::Wait, None));
    assert_eq!(regressed.take_met(), [Met::Regressed { acknowledged: 5, end: 3 }]);

    let mut unseen_start = started();
    unseen_start.landed.end = Some(4);
    fetched(&mut unseen_start, PLAIN);
    next(&mut unseen_start, now).expect("the first batch");
    unseen_start.unanswered(0, 1, now, NEVER);
    assert_eq!(unseen_start.looked("b", Err(Blind::Regressed { from: 4, end: 3 }), later, OLD), (Verdict::Wait, None));
    assert_eq!(unseen_start.take_met(), [], "what one leader alone had");
    assert_eq!(unseen_start.must_look(later).map(|what| (what.from, what.is_behind_ours)), Some((3, false)));
}

#[test]
fn what_stands_between_or_before_is_met() {
    let mut partition = started();
    fetched(&mut partition, PLAIN);
    let now = Instant::now();
    next(&mut partition, now).expect("the first batch");
    partition.acknowledged(0, 10, now, NEVER);
    next(&mut partition, now).expect("the second batch");
    partition.acknowledged(5, 8, now, NEVER);
    let met = [
        Met::Between { from: 0, to: 10, unchecked: Some((0, Before::Anything)) },
        Met::Regressed { acknowledged: 15, end: 8 },
    ];
    assert_eq!(partition.take_met(), met);
    assert_eq!(partition.take_met(), []);
}

#[test]
fn a_request_may_come_late_where_the_broker_may_have_forgotten_the_producer() {
    let now = Instant::now();
    let waits = |first_time: i64, fresh_after: i64| {
        let mut partition = started();
        fetched(&mut partition, PLAIN);
        next(&mut partition, now).expect("the first batch");
        partition.acknowledged(0, 0, now, fresh_after);
        partition.outbound.known_by(first_time);
        next(&mut partition, now).expect("the second batch");
        partition.unanswered(5, 1, now, fresh_after);
        let soon = now + LATE / 2;
        assert!(!partition.may_come_late(2, soon), "at another leader");
        assert!(!partition.may_come_late(1, now + LATE));
        partition.may_come_late(1, soon)
    };
    assert!(!waits(i64::MAX, 0), "all of them are new");
    assert!(waits(0, 0), "the batch before is old");
    assert!(waits(i64::MAX, i64::MAX - 1), "it is old itself, whatever was before");
}

#[test]
fn a_log_that_may_not_be_read_leaves_it_to_the_broker() {
    let mut partition = started();
    fetched(&mut partition, PLAIN);
    let now = Instant::now();
    let later = now + Duration::from_secs(60);
    next(&mut partition, now).expect("the first batch");
    partition.unanswered(0, 1, now, NEVER);
    assert!(partition.must_look(later).is_some());
    let denied = wire::Error::Broker {
        cluster: "b".to_owned(),
        api: "Fetch",
        resource: "a.t-0".to_owned(),
        code: TOPIC_AUTHORIZATION_FAILED,
        message: None,
    };
    assert_eq!(partition.looked("b", Err(Blind::Failed(denied)), later, OLD), (Verdict::Wait, None));
    assert_eq!(partition.must_look(later), None);
    assert!(next(&mut partition, later).is_some());
    partition.unanswered(0, 1, later, NEVER);
    assert!(partition.must_look(later + Duration::from_secs(60)).is_none(), "not asked for again");
}
