//! Against a model of leaders, one of each topic, that check sequences, sizes and times, over lost requests and answers, memory given back
//! and records that are refused.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use wire::{
    Batch, BatchBuilder, Budget, Codec, FetchedPartition, Levels, ProduceBatch, Produced, ProducerId, RawRecord,
    RecordBody, RecordError, RecordReader, TopicPartition,
};

use super::*;
use crate::config::{read_properties, transform_stages};
use crate::flow::{
    PoisonPolicy, WriteSettings,
    partition::{Begun, Verdict, outbound::GIVE_BACK_AFTER},
    recode::RecodeError,
    tail::{LookFor, Tail, Written},
};
use crate::transforms::{TopicTransforms, Transforms};

const DAY_MS: i64 = 86_400_000;
const LOW_WATER: usize = 1024 * 1024;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TIMESTAMP: i16 = 32;
const OUT_OF_ORDER: i16 = 45;
/// Brokers remember all.
const FRESH: i64 = -1;

/// By the day, without tombstones; `join`s small batches.
fn partition(join: bool) -> Partition {
    let config = "transforms=dead,day\ntransforms.dead.type=Filter\ntransforms.dead.predicate=p\npredicates=p\n\
                  predicates.p.type=RecordIsTombstone\ntransforms.day.type=TimestampRouter\n\
                  transforms.day.topic.format=${topic}-${timestamp}\ntransforms.day.timestamp.format=dd\n";
    let transforms = Transforms::new(transform_stages(&read_properties(config).unwrap()).unwrap());
    let TopicTransforms::Records(transforms) = transforms.for_topic("a.t") else { panic!("{transforms:?}") };
    let write = WriteSettings { poison: PoisonPolicy::Skip, join, ..WriteSettings::default() };
    let (source, target) = (TopicPartition::new("t", 0), TopicPartition::new("a.t", 0));
    let mut partition = Partition::new(source, target, Some(transforms.into()), &write, Arc::default());
    let producer = ProducerId { id: 7, epoch: 0 };
    partition.prepared(Begun::anew(producer, None));
    partition
}

/// A record of the source: its day, whether it is no tombstone, and bytes of its value beyond its offset.
type OneRecord = (i64, bool, usize);

/// Batches of so many records.
fn log(records: &[OneRecord], batch: usize) -> Bytes {
    let mut log = Vec::new();
    for (chunk, first) in records.chunks(batch).zip((0..).step_by(batch)) {
        let mut builder = BatchBuilder::new(Codec::None, Levels::default(), usize::MAX);
        for ((day, has_value, size), offset) in chunk.iter().zip(first..) {
            // Neither key nor headers.
            let value = format!("{offset}{}", " ".repeat(*size));
            let body = if *has_value {
                let length = value.len() * 2;
                let length = [(length & 0x7f | 0x80) as u8, (length >> 7) as u8];
                [&[1], &length[..], value.as_bytes(), &[0]].concat()
            } else {
                vec![1, 1, 0]
            };
            builder.push(&RawRecord { offset, timestamp: day * DAY_MS, attributes: 0, body: &body }).unwrap();
        }
        log.extend_from_slice(builder.close().unwrap().unwrap().batch.bytes());
    }
    log.into()
}

fn fetch(partition: &mut Partition, log: &Bytes) {
    partition.fetch_sent();
    assert!(partition.fetch_done());
    let answer = FetchedPartition {
        tag: 0,
        error: 0,
        high_watermark: 1_000,
        last_stable: 1_000,
        log_start: 0,
        preferred_replica: None,
        diverged: None,
        aborted: Vec::new(),
        records: log.clone(),
    };
    let mut verdict = partition.fetched("a", answer, Instant::now());
    while verdict == Verdict::Recode {
        let work = partition.recode_work().expect("work");
        let next = work.next;
        verdict = partition.recoded("a", next, work.run(&Budget::new(LOW_WATER)).map_err(RecodeError::Corrupt));
    }
    assert_eq!(verdict, Verdict::Wait);
}

/// Source offsets of a batch's records.
fn offsets(batch: &ProduceBatch) -> Vec<i64> {
    let batch = Batch::parse([&batch.header[..], &batch.payload].concat().into()).unwrap();
    batch.verify().unwrap();
    let mut reader = RecordReader::new(&batch, LOW_WATER).unwrap();
    let mut offsets = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        let value = RecordBody::parse(record.body).unwrap().value.unwrap();
        offsets.push(std::str::from_utf8(value).unwrap().trim_end().parse().unwrap());
    }
    offsets
}

fn sequence(batch: &ProduceBatch) -> i32 {
    i32::from_be_bytes(batch.header[53..57].try_into().unwrap())
}

/// Leads the partition of one topic.
struct Leader {
    limit: usize,
    /// Says which records it refuses.
    names: bool,
    taken: Vec<i64>,
    /// First and last sequence of batches.
    remembered: VecDeque<(i32, i32)>,
    log: Vec<Written>,
}

impl Leader {
    fn new(limit: usize, names: bool) -> Self {
        Self { limit, names, taken: Vec::new(), remembered: VecDeque::new(), log: Vec::new() }
    }

    fn append(&mut self, batch: &ProduceBatch, poison: &[i64]) -> Produced {
        let offsets = offsets(batch);
        let (first, last) = (sequence(batch), sequence(batch) + i32::try_from(offsets.len()).unwrap() - 1);
        let refused: Vec<RecordError> = (0..offsets.len())
            .filter(|index| poison.contains(&offsets[*index]))
            .map(|index| RecordError { index, message: None })
            .collect();
        let error = if batch.header.len() + batch.payload.len() > self.limit {
            MESSAGE_TOO_LARGE
        } else if !refused.is_empty() {
            INVALID_TIMESTAMP
        } else if self.remembered.contains(&(first, last)) {
            0
        } else if self.remembered.back().is_some_and(|(_, last)| first != last + 1) {
            OUT_OF_ORDER
        } else {
            let offset = i64::try_from(self.taken.len()).unwrap();
            self.log.push(Written { sequence: first, records: last - first + 1, offset });
            self.taken.extend(offsets);
            self.remembered.push_back((first, last));
            if self.remembered.len() > 5 {
                self.remembered.pop_front();
            }
            0
        };
        let record_errors = if error == INVALID_TIMESTAMP && self.names { refused } else { Vec::new() };
        let there = self.log.iter().find(|batch| error == 0 && batch.sequence == first);
        let base_offset = there.map_or(-1, |batch| batch.offset);
        Produced { tag: 0, error, message: None, record_errors, base_offset }
    }
}

/// What is sent next: its offset, target, sequence and offsets.
fn send(partition: &mut Partition, now: Instant) -> Option<(i64, String, i32, Vec<i64>)> {
    let (base, batch) = partition.next_batch(now, FRESH)?;
    Some((base, batch.partition.to_string(), sequence(&batch), offsets(&batch)))
}

#[test]
fn a_batch_for_another_topic_waits_until_nothing_is_unresolved() {
    let mut partition = partition(false);
    let now = Instant::now();
    let later = now + Duration::from_secs(60);
    fetch(&mut partition, &log(&[(0, true, 9), (1, true, 9), (0, true, 9), (1, false, 9), (0, true, 9)], 2));
    assert_eq!(partition.position(), 5);
    let [first, second] = ["a.t-01", "a.t-02"].map(Arc::<str>::from);
    assert_eq!(send(&mut partition, now), None, "nothing is known of the topic");
    assert_eq!(partition.other_topic(now), Some(&first));
    partition.turn_to(&first, None);
    assert_eq!(partition.other_topic(now), None);
    assert_eq!(send(&mut partition, now), Some((0, "a.t-01-0".to_owned(), 0, vec![0])));
    assert_eq!((send(&mut partition, now), partition.other_topic(now)), (None, None), "one is unresolved");
    partition.unanswered(0, 1, now, FRESH);
    assert!(!partition.turns_away(), "it matters what becomes of its topic");
    assert_eq!(send(&mut partition, later), Some((0, "a.t-01-0".to_owned(), 0, vec![0])), "again, before others");
    assert_eq!(partition.acknowledged(0, 0, later, FRESH), Some(-1), "those of the other topic lie between");
    assert_eq!(send(&mut partition, later), Some((2, "a.t-01-0".to_owned(), 1, vec![2])));
    assert_eq!(send(&mut partition, later), Some((4, "a.t-01-0".to_owned(), 2, vec![4])));
    assert_eq!(
        (partition.acknowledged(2, 0, later, FRESH), partition.acknowledged(4, 0, later, FRESH)),
        (Some(-1), Some(-1))
    );
    assert!(partition.is_in_part());
    assert_eq!(partition.other_topic(later), Some(&second));
    partition.topic_missed(later);
    assert_eq!(partition.other_topic(later), None, "not before the backoff is over");
    partition.turn_to(&second, None);
    assert_eq!(send(&mut partition, later), Some((1, "a.t-02-0".to_owned(), 0, vec![1])));
    assert!(partition.is_in_part());
    assert_eq!((partition.acknowledged(1, 0, later, FRESH), partition.passed_over()), (Some(4), None));
    assert!(!partition.is_in_part());
    assert!(partition.turns_away());
}

#[test]
fn sequences_of_all_topics_go_back_to_what_is_given_back() {
    let mut partition = partition(false);
    let now = Instant::now();
    let stuck = now + GIVE_BACK_AFTER;
    let log = log(&[0, 1, 0, 1, 0, 1].map(|day| (day, true, 9)), 2);
    fetch(&mut partition, &log);
    let [first, second] = ["a.t-01", "a.t-02"].map(Arc::<str>::from);
    partition.turn_to(&first, None);
    assert!(send(&mut partition, now).is_some());
    assert!(partition.give_back_if_stuck(stuck, Bytes::clone));
    let sequences = [&first, &second].map(|topic| partition.sequence(Some(topic)));
    assert_eq!((partition.position(), sequences), (1, [1, 0]));
    assert_eq!(partition.acknowledged(0, 0, stuck, FRESH), Some(-1));
    assert_eq!(partition.passed_over(), Some(0));
    fetch(&mut partition, &log);
    let mut sent = Vec::new();
    for topic in [&second, &second, &second, &first, &first] {
        partition.turn_to(topic, None);
        let batch = send(&mut partition, stuck).expect("a batch");
        let last = partition.acknowledged(batch.0, 0, stuck, FRESH);
        sent.push((batch.2, batch.3, last));
    }
    let expected = [(0, 1, 0), (1, 3, 0), (2, 5, 0), (1, 2, 0), (2, 4, 5)];
    assert_eq!(sent, expected.map(|(sequence, offset, last)| (sequence, vec![offset], Some(last))));
}

#[test]
fn what_is_written_already_is_left_out_when_the_rest_comes_again() {
    let mut partition = partition(false);
    let now = Instant::now();
    let log = log(&[0, 1, 0, 1, 0, 1].map(|day| (day, true, 9)), 6);
    fetch(&mut partition, &log);
    let [first, second] = ["a.t-01", "a.t-02"].map(Arc::<str>::from);
    partition.turn_to(&first, None);
    assert_eq!(send(&mut partition, now).map(|sent| sent.3), Some(vec![0, 2, 4]));
    partition.acknowledged(0, 0, now, FRESH);
    partition.turn_to(&second, None);
    assert_eq!(send(&mut partition, now).map(|sent| sent.3), Some(vec![1, 3, 5]));
    let refusal = Produced {
        tag: 0,
        error: INVALID_TIMESTAMP,
        message: None,
        record_errors: vec![RecordError { index: 1, message: None }],
        base_offset: -1,
    };
    assert_eq!(partition.produce_refused("b", 1, &refusal, now), Verdict::Wait);
    fetch(&mut partition, &log);
    assert_eq!(send(&mut partition, now), Some((1, "a.t-02-0".to_owned(), 0, vec![1, 5])));
    assert_eq!((partition.acknowledged(1, 0, now, FRESH), partition.other_topic(now)), (Some(5), None));
    assert_eq!(partition.poison().map(|count| (count.records, count.next)), Some((1, 4)));
}

#[test]
fn batches_written_before_a_limit_was_known_are_written_again() {
    let mut partition = partition(false);
    let now = Instant::now();
    let log = log(&[(0, true, 100); 4], 4);
    fetch(&mut partition, &log);
    let topic = Arc::from("a.t-01");
    partition.turn_to(&topic, Some(300));
    assert_eq!((partition.position(), partition.held_bytes()), (0, 0));
    fetch(&mut partition, &log);
    let (base, _, sequence, offsets) = send(&mut partition, now).expect("a batch");
    assert_eq!((base, sequence, offsets), (0, 0, vec![0, 1]));
}

#[test]
fn a_topic_that_can_not_be_had_stops_the_partition_by_name() {
    let mut partition = partition(false);
    fetch(&mut partition, &log(&[(0, false, 0), (0, true, 9)], 2));
    partition.topic_refused("a.t-01", "INVALID_TOPIC_EXCEPTION".to_owned());
    let text = partition.stopped().expect("a reason").to_string();
    let expected = "the record of t-0 at offset 1 can't be written to topic a.t-01, which its transformations choose: \
                    INVALID_TOPIC_EXCEPTION";
    assert_eq!(text, expected);
    assert_eq!((partition.other_topic(Instant::now()), partition.held_bytes()), (None, 0));
}

proptest! {
    #[test]
    fn every_record_gets_to_its_topic_once_and_in_order(
        records in prop::collection::vec((0..3_i64, prop::bool::weighted(0.8), 0..150_usize), 1..120),
        batch in 1..12_usize,
        join: bool,
        names: bool,
        fates in prop::collection::vec((0..7_u8, any::<prop::sample::Index>()), 0..200),
        poison in prop::collection::btree_set(0..120_i64, 0..6),
        limits in prop::collection::vec((prop_oneof![350..2_000_usize, Just(LOW_WATER)], any::<bool>()), 3),
    ) {
        let log = log(&records, batch);
        let count = i64::try_from(records.len()).unwrap();
        let poison: Vec<i64> = poison.into_iter().collect();
        let topics = ["a.t-01", "a.t-02", "a.t-03"].map(Arc::<str>::from);
        let mut leaders: BTreeMap<Arc<str>, Leader> =
            topics.iter().zip(&limits).map(|(topic, (limit, _))| (Arc::clone(topic), Leader::new(*limit, names))).collect();
        let told: BTreeMap<Arc<str>, Option<usize>> =
            topics.iter().zip(&limits).map(|(topic, (limit, tells))| (Arc::clone(topic), tells.then_some(*limit))).collect();
        let expected: BTreeMap<Arc<str>, Vec<i64>> = topics.iter().zip(0..).map(|(topic, day)| {
            let its = records.iter().zip(0..).filter(|((on, has_value, _), offset)| *on == day && *has_value && !poison.contains(offset));
            (Arc::clone(topic), its.map(|(_, offset)| offset).collect())
        }).collect();
        let mut partition = partition(join);
        let mut under_way: VecDeque<(i64, ProduceBatch)> = VecDeque::new();
        let mut fates = fates.into_iter();
        let mut now = Instant::now();
        let mut position = -1;
        let mut turns = 0;
        while position + 1 < count {
            turns += 1;
            prop_assert!(turns < 5_000, "no progress at {position} of {count}");
            now += Duration::from_secs(3);
            if partition.position() < count && partition.wants_fetch(now, LOW_WATER) {
                fetch(&mut partition, &log);
            }
            let other = partition.other_topic(now).cloned();
            if let Some(topic) = other {
                prop_assert!(under_way.is_empty());
                partition.turn_to(&topic, told[&topic]);
            }
            while let Some(sent) = partition.next_batch(now, FRESH) {
                under_way.push_back(sent);
            }
            let (fate, which) = fates.next().map_or((0, None), |(fate, which)| (fate, Some(which)));
            let outcomes: Vec<(ProduceBatch, i64, Option<Produced>)> = match fate {
                // The connection is cut somewhere: what is before the cut was appended, if it could be, and nobody knows.
                1 => {
                    let cut = which.map_or(0, |which| which.index(under_way.len() + 1));
                    let lost: Vec<_> = under_way.drain(..).collect();
                    lost.into_iter().enumerate().map(|(i, (base, batch))| {
                        if i < cut {
                            leaders.get_mut(&*batch.partition.topic).unwrap().append(&batch, &poison);
                        }
                        (batch, base, None)
                    }).collect()
                }
                // A restart: all but the last batch is forgotten, and what was under way lost.
                2 => {
                    for leader in leaders.values_mut() {
                        let keep = leader.remembered.len().saturating_sub(1);
                        leader.remembered.drain(..keep);
                    }
                    under_way.drain(..).map(|(base, batch)| (batch, base, None)).collect()
                }
                3 => {
                    partition.give_back_if_stuck(now, Bytes::clone);
                    Vec::new()
                }
                4 => {
                    partition.turns_away();
                    Vec::new()
                }
                _ => under_way.pop_front().map(|(base, batch)| {
                    let answer = leaders.get_mut(&*batch.partition.topic).unwrap().append(&batch, &poison);
                    (batch, base, Some(answer))
                }).into_iter().collect(),
            };
            let mut moved = Vec::new();
            for (batch, base, answer) in outcomes {
                let topic = &*batch.partition.topic;
                match answer {
                    None => partition.unanswered(base, 1, now, FRESH),
                    Some(answer) if answer.error == 0 => moved.extend(partition.acknowledged(base, answer.base_offset, now, FRESH)),
                    Some(answer) => {
                        if partition.produce_refused("b", base, &answer, now) == Verdict::AskLimit {
                            partition.limit_known(told[topic]);
                        }
                    }
                }
            }
            now += Duration::from_secs(3);
            if let Some(LookFor { from, sequence, .. }) = partition.must_look(now) {
                let leader = &leaders[&*partition.target.topic];
                let ours = leader.log.iter().filter(|there| there.offset >= from && there.sequence >= sequence);
                let end = i64::try_from(leader.taken.len()).unwrap();
                let tail = Tail { ours: ours.copied().collect(), doubled: 0, end };
                let (verdict, settled) = partition.looked("b", Ok(tail), now, FRESH);
                prop_assert_eq!(verdict, Verdict::Wait);
                moved.extend(settled);
            }
            prop_assert!(partition.stopped().is_none(), "{:?}", partition.stopped());
            moved.extend(partition.passed_over());
            for last in moved {
                prop_assert!(last >= position, "{last} after {position}");
                position = last;
                for (topic, expected) in &expected {
                    let there = expected.iter().filter(|offset| **offset <= last);
                    prop_assert!(there.eq(leaders[topic].taken.iter().filter(|offset| **offset <= last)), "{topic} at {last}");
                }
            }
        }
        for (topic, leader) in leaders {
            prop_assert_eq!(&leader.taken, &expected[&topic], "{}", topic);
        }
    }
}
