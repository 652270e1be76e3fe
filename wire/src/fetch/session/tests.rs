use std::collections::BTreeMap;

use kafka_protocol::{messages::FetchRequest, protocol::Encodable};
use proptest::prelude::*;

use super::*;

const HIGHEST: i16 = 17;
const SESSION: i32 = 99;

fn partition(topic: &str, id: u128, number: i32, offset: i64) -> FetchPartition {
    FetchPartition {
        partition: TopicPartition::new(topic, number),
        topic_id: id,
        offset,
        leader_epoch: 3,
        last_epoch: -1,
        max_bytes: 1000,
        tag: usize::try_from(number).unwrap(),
    }
}

/// What a round tells, as `topic-partition@offset`, and what it forgets.
fn said(round: &Round) -> (Vec<String>, Vec<String>) {
    let told = round.topics.iter().flat_map(|topic| {
        let name = |p: &WirePartition| format!("{}-{}@{}", topic.topic.as_str(), p.partition, p.fetch_offset);
        topic.partitions.iter().map(name)
    });
    let forgotten = round.forgotten.iter().flat_map(|topic| {
        topic.partitions.iter().map(|p| format!("{}-{p}/{}", topic.topic.as_str(), topic.topic_id.as_u128()))
    });
    (told.collect(), forgotten.collect())
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|s| (*s).to_owned()).collect()
}

/// A session that the broker knows, with these partitions.
fn open(partitions: &[FetchPartition]) -> FetchSession {
    let mut session = FetchSession::new();
    partitions.iter().for_each(|p| session.put(p.clone()));
    let round = session.next_round(HIGHEST);
    session.accepted(&round, SESSION);
    session
}

#[test]
fn the_first_round_tells_everything_and_the_next_only_what_changed() {
    let mut session = FetchSession::new();
    session.put(partition("a", 1, 0, 10));
    session.put(partition("a", 1, 1, 20));
    session.put(partition("b", 2, 0, 30));
    assert_eq!((session.len(), session.is_empty()), (3, false));
    let first = session.next_round(HIGHEST);
    assert_eq!((first.version, first.session_id, first.epoch), (HIGHEST, 0, 0));
    assert_eq!(said(&first), (strings(&["a-0@10", "a-1@20", "b-0@30"]), vec![]));
    assert_eq!(first.topics.len(), 2, "partitions of a topic stand together");
    session.accepted(&first, SESSION);

    session.put(partition("a", 1, 1, 25));
    // As before, but for the caller's own number.
    session.put(FetchPartition { tag: 77, ..partition("b", 2, 0, 30) });
    session.put(partition("c", 3, 5, 0));
    session.remove(&TopicPartition::new("a", 0));
    session.remove(&TopicPartition::new("never", 0));
    let second = session.next_round(HIGHEST);
    assert_eq!((second.session_id, second.epoch), (SESSION, 1));
    assert_eq!(said(&second), (strings(&["a-1@25", "c-5@0"]), strings(&["a-0/1"])));
    session.accepted(&second, SESSION);
    assert_eq!(session.wanted(2, "", 0).map(|p| p.tag), Some(77));

    let third = session.next_round(HIGHEST);
    assert_eq!((third.epoch, said(&third)), (2, (vec![], vec![])));
}

#[test]
fn what_is_wanted_again_is_not_forgotten() {
    // A broker adds first and strikes then.
    for ids in [[1, 1], [0, 0]] {
        let mut session = open(&[partition("a", ids[0], 0, 10), partition("a", ids[1], 1, 10)]);
        session.remove(&TopicPartition::new("a", 0));
        session.put(partition("a", ids[0], 0, 10));
        let round = session.next_round(HIGHEST);
        assert_eq!(said(&round), (strings(&["a-0@10"]), vec![]), "{ids:?}");
    }
}

#[test]
fn one_that_came_and_went_between_two_rounds_leaves_nothing() {
    let mut session = open(&[partition("a", 1, 0, 10)]);
    for _ in 0..3 {
        session.put(partition("b", 2, 0, 0));
        session.remove(&TopicPartition::new("b", 0));
    }
    session.put(partition("c", 3, 0, 0));
    let round = session.next_round(HIGHEST);
    assert_eq!(said(&round).0, strings(&["c-0@0"]));
    session.accepted(&round, SESSION);
    session.put(partition("d", 4, 0, 0));
    session.put(partition("e", 5, 0, 0));
    assert_eq!(said(&session.next_round(HIGHEST)).0, strings(&["d-0@0", "e-0@0"]));
}

#[test]
fn a_topic_made_anew_is_another_partition_to_the_broker() {
    let mut session = open(&[partition("a", 1, 0, 10)]);
    session.put(partition("a", 8, 0, 0));
    assert!(session.wanted(1, "", 0).is_none());
    assert!(session.wanted(8, "", 0).is_some());
    let round = session.next_round(HIGHEST);
    assert_eq!(said(&round), (strings(&["a-0@0"]), strings(&["a-0/1"])));
    assert_eq!(round.topics[0].topic_id.as_u128(), 8);
    // By name it is the same one, and forgetting it would forget the new one.
    let mut by_name = open(&[partition("a", 1, 0, 10), partition("old", 0, 0, 0)]);
    by_name.put(partition("a", 8, 0, 0));
    assert_eq!(said(&by_name.next_round(HIGHEST)), (strings(&["a-0@0"]), vec![]));
}

#[test]
fn names_serve_until_all_ids_are_known() {
    let mut session = FetchSession::new();
    session.put(partition("a", 1, 0, 10));
    session.put(partition("b", 0, 0, 10));
    let round = session.next_round(HIGHEST);
    assert_eq!(round.version, 12);
    session.accepted(&round, SESSION);
    assert!(session.wanted(0, "b", 0).is_some() && session.wanted(0, "c", 0).is_none());
    // Ids need a session of their own (FETCH_SESSION_TOPIC_ID_ERROR).
    session.put(partition("b", 2, 0, 10));
    let round = session.next_round(HIGHEST);
    assert_eq!((round.version, round.session_id, round.epoch), (HIGHEST, SESSION, 0));
    assert_eq!(said(&round).0.len(), 2);
    session.accepted(&round, SESSION + 1);
    session.put(partition("c", 0, 0, 10));
    assert_eq!((session.next_round(HIGHEST).version, session.next_round(11).version), (12, 11));
}

#[test]
fn a_round_without_an_answer_begins_anew_and_closes_the_old_session() {
    let mut session = open(&[partition("a", 1, 0, 10), partition("a", 1, 1, 10)]);
    session.remove(&TopicPartition::new("a", 1));
    drop(session.next_round(HIGHEST));
    session.remove(&TopicPartition::new("a", 1));
    let again = session.next_round(HIGHEST);
    assert_eq!((again.session_id, again.epoch), (SESSION, 0));
    assert_eq!(said(&again), (strings(&["a-0@10"]), vec![]));
}

#[test]
fn only_what_means_the_session_is_asked_again_at_once() {
    let mut session = open(&[partition("a", 1, 0, 10)]);
    for (code, replaces) in [(71, SESSION), (106, SESSION), (103, SESSION), (70, 0)] {
        session.next_round(HIGHEST);
        assert!(session.refused(code), "{code}");
        let round = session.next_round(HIGHEST);
        assert_eq!((round.session_id, round.epoch, said(&round).0.len()), (replaces, 0, 1), "{code}");
        session.accepted(&round, SESSION);
    }
    for code in [0, 29, 3, -1, 1234] {
        assert!(!session.refused(code), "{code}");
    }
}

#[test]
fn a_broker_without_room_for_sessions_is_told_everything_each_time() {
    let mut session = FetchSession::new();
    session.put(partition("a", 1, 0, 10));
    for _ in 0..3 {
        let round = session.next_round(HIGHEST);
        assert_eq!((round.session_id, round.epoch, said(&round).0.len()), (0, 0, 1));
        session.accepted(&round, 0);
    }
}

#[test]
fn epochs_wrap_to_1() {
    let mut session = open(&[partition("a", 1, 0, 10)]);
    session.state = State::Open { id: SESSION, epoch: i32::MAX, by_id: true };
    let round = session.next_round(HIGHEST);
    assert_eq!(round.epoch, i32::MAX);
    session.accepted(&round, SESSION);
    assert_eq!(session.next_round(HIGHEST).epoch, 1);
}

#[test]
fn an_idle_round_of_ten_thousand_partitions_is_a_few_bytes() {
    let all: Vec<_> =
        (0..10_000).map(|n| partition(&format!("topic-{}", n / 10), 1 + n as u128 / 10, n % 10, 5)).collect();
    let mut session = FetchSession::new();
    all.iter().for_each(|p| session.put(p.clone()));
    let size = |round: Round| {
        let request = FetchRequest::default().with_topics(round.topics).with_forgotten_topics_data(round.forgotten);
        request.compute_size(round.version).unwrap()
    };
    let first = session.next_round(HIGHEST);
    session.accepted(&first, SESSION);
    assert!(size(first) > 300_000);
    let mut idle = session.next_round(HIGHEST);
    session.accepted(&idle, SESSION);
    idle.topics.clear();
    assert!(size(idle) < 64);
    session.put(partition("topic-7", 8, 3, 6));
    assert!(size(session.next_round(HIGHEST)) < 128);
}

#[test]
fn a_round_outside_sessions_asks_for_none() {
    let round = sessionless(HIGHEST, &[partition("a", 1, 0, 10)]);
    assert_eq!((round.version, round.session_id, round.epoch), (HIGHEST, 0, -1));
    assert_eq!(sessionless(HIGHEST, &[partition("a", 0, 0, 10)]).version, 12);
}

/// A broker's side of a session, as `FetchSession.update` keeps it: adds or updates, then strikes.
#[derive(Default)]
struct Broker {
    by_id: bool,
    holds: BTreeMap<(String, u128, i32), i64>,
}

impl Broker {
    fn take(&mut self, round: &Round) {
        if round.epoch == 0 {
            self.holds.clear();
            self.by_id = round.version >= 13;
        }
        let key = |topic: &TopicName, id: Uuid, partition: i32| {
            if self.by_id { (String::new(), id.as_u128(), partition) } else { (topic.to_string(), 0, partition) }
        };
        for topic in &round.topics {
            for part in &topic.partitions {
                self.holds.insert(key(&topic.topic, topic.topic_id, part.partition), part.fetch_offset);
            }
        }
        for topic in &round.forgotten {
            for part in &topic.partitions {
                self.holds.remove(&key(&topic.topic, topic.topic_id, *part));
            }
        }
    }
}

proptest! {
    /// Whatever is put, removed, made anew, lost or refused: after each round the broker holds what is wanted, and no partition is told
    /// twice in one request.
    #[test]
    fn the_broker_always_holds_what_is_wanted(
        steps in prop::collection::vec((0_u8..12, 0_u8..4, 0_i32..3, 0_u128..3, 0_i64..5), 1..120),
    ) {
        let mut session = FetchSession::new();
        let mut broker = Broker::default();
        let mut model: BTreeMap<TopicPartition, FetchPartition> = BTreeMap::new();
        for (step, topic, number, id, offset) in steps {
            let name = format!("t{topic}");
            match step {
                0..=5 => {
                    // Ids differ between topics; 0 is unknown, and only now and then.
                    let id = if id == 0 && step > 0 { 10 } else { id * 10 };
                    let id = if id == 0 { 0 } else { id + u128::from(topic) };
                    let wanted = partition(&name, id, number, offset);
                    model.insert(wanted.partition.clone(), wanted.clone());
                    session.put(wanted);
                }
                6 | 7 => {
                    model.remove(&TopicPartition::new(name.clone(), number));
                    session.remove(&TopicPartition::new(name, number));
                }
                _ => {
                    let round = session.next_round(HIGHEST);
                    let mut told = said(&round).0;
                    let count = told.len();
                    told.sort();
                    told.dedup_by_key(|t| t.split('@').next().map(str::to_owned));
                    prop_assert_eq!(told.len(), count, "told twice");
                    match step {
                        8 => {}
                        9 => prop_assert!(session.refused(70)),
                        _ => {
                            broker.take(&round);
                            session.accepted(&round, if step == 10 { SESSION } else { SESSION + 1 });
                            let expected: BTreeMap<_, _> = model
                                .values()
                                .map(|p| {
                                    let (name, id) = if broker.by_id {
                                        (String::new(), p.topic_id)
                                    } else {
                                        (p.partition.topic.clone(), 0)
                                    };
                                    ((name, id, p.partition.partition), p.offset)
                                })
                                .collect();
                            prop_assert_eq!(&broker.holds, &expected);
                        }
                    }
                }
            }
            prop_assert_eq!(session.len(), model.len());
            for wanted in model.values() {
                let found = session.wanted(wanted.topic_id, &wanted.partition.topic, wanted.partition.partition);
                prop_assert_eq!(found, Some(wanted));
            }
        }
    }
}
