//! Batches under way when a gap is met.

use std::time::Duration;

use super::*;
use crate::{
    flow::{
        Place,
        partition::{
            Begun, Track,
            tests::{LOW_WATER, NEVER, NEW, PLAIN, fetched, new, next, started},
        },
    },
    offsets::{Anchor, MapWriter},
};

#[test]
fn a_gap_of_the_source_is_passed_when_all_before_it_is_acknowledged() {
    let mut partition = started();
    fetched(&mut partition, PLAIN);
    let now = Instant::now();
    let at = Place { cluster: "a".to_owned(), partition: partition.source.clone() };
    let gap = Gap::DataLoss { at, position: 8, log_start: 20 };
    partition.leave(&gap, Onward::At(20));
    assert!(!partition.wants_fetch(now, LOW_WATER) && !partition.has_left());
    for base in [0, 5] {
        next(&mut partition, now).expect("a batch");
        partition.acknowledged(base, base, now, NEVER);
    }
    partition.suspect(8, 7, now);
    assert!(!partition.has_left(), "it is not clear yet what the target has");
    assert_eq!(partition.take_suspected(), Some((8, 7)));
    assert!(partition.has_left());
    let behind = Behind { onward: Onward::At(20), map_holds_until: (i64::MAX, i64::MAX) };
    assert_eq!(partition.begin_behind(), Some(behind));
    assert!(!partition.is_prepared() && !partition.is_leaving());
}

#[test]
fn a_gap_of_the_target_waits_for_answers_only() {
    let mut partition = started();
    fetched(&mut partition, PLAIN);
    let now = Instant::now();
    next(&mut partition, now).expect("the first batch");
    let at = Place { cluster: "b".to_owned(), partition: partition.target.clone() };
    partition.leave(&Gap::TargetRecreated { at, was: 1, is: 2 }, Onward::Earliest);
    assert!(next(&mut partition, now).is_none() && !partition.has_left(), "an answer is to come");
    partition.unanswered(0, 1, now, NEVER);
    assert_eq!(partition.must_look(now + Duration::from_secs(60)), None);
    assert!(partition.has_left());
    assert_eq!(partition.begin_behind().map(|behind| behind.onward), Some(Onward::Earliest));
    assert_eq!(partition.held_bytes(), 0);
}

#[test]
fn a_gap_of_the_target_is_put_off_until_all_is_answered() {
    let mut partition = new();
    let anchor = Anchor {
        generation: 1,
        source_id: 10,
        target_id: 20,
        source_epoch: -1,
        target_epoch: -1,
        producer: ProducerId { id: 7, epoch: 0 },
        count: 0,
        source_offset: 0,
        target_offset: 0,
        left_out: Vec::new(),
    };
    let track = Some(Track::new(&anchor, MapWriter::default()));
    partition.prepared(Begun { track, ..Begun::anew(anchor.producer, Some(0)) });
    partition.outbound.known_by(NEW);
    fetched(&mut partition, PLAIN);
    let now = Instant::now();
    for _ in 0..2 {
        partition.next_batch(now, i64::MIN).expect("two at once");
    }
    (partition.source_id, partition.target_id) = (10, 21);
    let at = Place { cluster: "b".to_owned(), partition: partition.target.clone() };
    let gap = Gap::TargetRecreated { at, was: 20, is: 21 };
    assert_eq!(partition.put_off(gap.clone()), None);
    assert_eq!(partition.acknowledged(0, 0, now, i64::MIN), Some(4));
    assert_eq!(partition.take_put_off(), None, "one is to be answered");
    assert_eq!(partition.acknowledged(5, 5, now, i64::MIN), Some(7));
    assert_eq!(partition.take_put_off().as_ref(), Some(&gap));
    assert_eq!(partition.told_up_to(), 8);
    assert_eq!(partition.put_off(gap.clone()), Some(gap), "nothing is to be answered any more");
    let told = partition.anchor(-1).expect("an anchor").anchor().clone();
    assert_eq!((told.source_offset, told.source_id, told.target_id), (8, 10, 20), "of the topic that was left");
}
