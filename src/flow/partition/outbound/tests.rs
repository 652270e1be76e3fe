//! Against a model of a leader with its sequence check, over any order of acknowledgements, lost answers, refusals and restarts.

use proptest::prelude::*;

use super::*;

const FRESH: i64 = 1_000;
const RECORDS: i32 = 2;

fn batch(number: usize, max_timestamp: i64) -> Ready {
    let first = i32::try_from(number).unwrap() * RECORDS;
    Ready {
        header: [0; HEADER_LEN],
        payload: Bytes::from_static(b"payload"),
        topic: None,
        base: i64::from(first),
        next: i64::from(first + RECORDS),
        sequence: first,
        records: RECORDS,
        distances: None,
        max_timestamp,
    }
}

fn outbound(timestamps: &[i64]) -> Outbound {
    let mut outbound = Outbound::default();
    timestamps.iter().enumerate().for_each(|(i, time)| outbound.push(batch(i, *time)));
    outbound
}

fn send(outbound: &mut Outbound) -> Option<i64> {
    outbound.send(Instant::now(), FRESH).map(|ready| ready.base)
}

#[test]
fn the_window_opens_once_the_broker_is_sure_to_remember() {
    let now = Instant::now();
    let mut new = outbound(&[FRESH + 1; 8]);
    assert_eq!((send(&mut new), send(&mut new)), (Some(0), None), "a producer id that nobody has seen");
    assert_eq!(new.acknowledged(0, now), Some(1));
    let sent: Vec<_> = std::iter::from_fn(|| send(&mut new)).collect();
    assert_eq!(sent, [2, 4, 6, 8, 10], "as many as a broker recognises");

    let mut old = outbound(&[FRESH; 3]);
    assert_eq!(send(&mut old), Some(0));
    old.acknowledged(0, now);
    assert_eq!((send(&mut old), send(&mut old)), (Some(2), None), "old records are forgotten at any time");

    let mut mixed = outbound(&[FRESH + 1, FRESH, FRESH + 1]);
    send(&mut mixed);
    mixed.acknowledged(0, now);
    assert_eq!((send(&mut mixed), send(&mut mixed)), (Some(2), None), "one of those under way is old");
}

#[test]
fn the_leader_of_another_topic_may_not_know_the_producer() {
    let now = Instant::now();
    let topics = ["a", "b"].map(Arc::<str>::from);
    let mut outbound = Outbound::default();
    for number in 0..6 {
        outbound.push(Ready { topic: Some(Arc::clone(&topics[number / 3])), ..batch(number, FRESH + 1) });
    }
    assert_eq!((send(&mut outbound), outbound.other_topic()), (None, Some(&topics[0])));
    outbound.turn_to(Some(Arc::clone(&topics[0])));
    assert_eq!((send(&mut outbound), send(&mut outbound)), (Some(0), None));
    outbound.acknowledged(0, now);
    assert_eq!([send(&mut outbound), send(&mut outbound), send(&mut outbound)], [Some(2), Some(4), None]);
    outbound.acknowledged(2, now);
    assert_eq!(outbound.other_topic(), None, "one is unresolved");
    outbound.acknowledged(4, now);
    assert_eq!(outbound.other_topic(), Some(&topics[1]));
    outbound.turn_to(Some(Arc::clone(&topics[1])));
    assert_eq!((send(&mut outbound), send(&mut outbound)), (Some(6), None));
    outbound.acknowledged(6, now);
    assert_eq!((send(&mut outbound), send(&mut outbound)), (Some(8), Some(10)));
}

#[test]
fn positions_wait_for_the_first_and_resends_go_one_by_one() {
    let now = Instant::now();
    let mut outbound = outbound(&[FRESH + 1; 5]);
    send(&mut outbound);
    outbound.acknowledged(0, now);
    assert_eq!([send(&mut outbound), send(&mut outbound), send(&mut outbound)], [Some(2), Some(4), Some(6)]);
    assert!(outbound.failed(2));
    assert_eq!(send(&mut outbound), None, "others are still out");
    assert_eq!(outbound.acknowledged(6, now), None, "not before the ones before it");
    outbound.failed(4);
    assert_eq!((send(&mut outbound), send(&mut outbound)), (Some(2), None));
    assert_eq!(outbound.acknowledged(2, now), Some(3));
    assert_eq!(send(&mut outbound), Some(4));
    assert_eq!(outbound.acknowledged(4, now), Some(7), "and the one behind it");
    assert_eq!(send(&mut outbound), Some(8));
    assert!(!outbound.failed(2), "none of ours any more");
}

/// Answers were handled the wrong way round and the first was lost: nothing is left to send again.
#[test]
fn what_is_written_before_an_acknowledged_one_is_acknowledged() {
    let now = Instant::now();
    let mut outbound = outbound(&[FRESH + 1; 3]);
    send(&mut outbound);
    outbound.acknowledged(0, now);
    assert_eq!([send(&mut outbound), send(&mut outbound)], [Some(2), Some(4)]);
    outbound.acknowledged(4, now);
    outbound.failed(2);
    assert_eq!(send(&mut outbound), Some(2));
    outbound.failed(2);
    assert!(outbound.written_until(2 * RECORDS + RECORDS - 1));
    assert_eq!(outbound.settle(now), Some(5));
    assert!(!outbound.is_unresolved());
}

/// A leader that checks sequences as `ProducerAppendInfo` and remembers the last five batches, or after a restart the last one.
#[derive(Default)]
struct Leader {
    log: Vec<i64>,
    remembered: VecDeque<i32>,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Ok,
    OutOfOrder,
}

impl Leader {
    fn last_sequence(&self) -> Option<i32> {
        self.remembered.back().map(|first| first + RECORDS - 1)
    }

    fn append(&mut self, base: i64, sequence: i32) -> Answer {
        if self.remembered.contains(&sequence) {
            return Answer::Ok;
        }
        if self.last_sequence().is_some_and(|last| sequence != last + 1) {
            return Answer::OutOfOrder;
        }
        self.log.push(base);
        self.remembered.push_back(sequence);
        if self.remembered.len() > WINDOW {
            self.remembered.pop_front();
        }
        Answer::Ok
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_doubled_or_reordered(
        fates in prop::collection::vec((0..6_u8, any::<prop::sample::Index>()), 0..300),
        count in 1..30_usize,
    ) {
        let now = Instant::now();
        let mut ours = outbound(&vec![FRESH + 1; count]);
        let mut leader = Leader::default();
        let mut under_way: VecDeque<(i64, i32)> = VecDeque::new();
        let mut position = -1;
        let mut fates = fates.into_iter();
        let mut turns = 0;
        while leader.log.len() < count || ours.is_unresolved() {
            turns += 1;
            prop_assert!(turns < 5_000, "no progress: {} of {count} written", leader.log.len());
            // When the troubles are used up, all goes well.
            let (fate, which) = fates.next().map_or((0, None), |(fate, which)| (fate, Some(which)));
            while let Some(ready) = ours.send(now, FRESH) {
                under_way.push_back((ready.base, ready.sequence));
            }
            let outcomes: Vec<(i64, Option<Answer>)> = match fate {
                // The connection is cut somewhere: what is before the cut was appended, and nobody knows.
                1 => {
                    let cut = which.map_or(0, |w| w.index(under_way.len() + 1));
                    let lost: Vec<_> = under_way.drain(..).collect();
                    lost.into_iter().enumerate().map(|(i, (base, sequence))| {
                        if i < cut {
                            leader.append(base, sequence);
                        }
                        (base, None)
                    }).collect()
                }
                // Refused before it is appended (too few in-sync replicas).
                2 => under_way.pop_front().map(|(base, _)| (base, None)).into_iter().collect(),
                // Appended, but its followers are slow: refused after it.
                3 => under_way.pop_front().map(|(base, sequence)| { leader.append(base, sequence); (base, None) }).into_iter().collect(),
                // A restart: what was under way is lost, and all but the last batch forgotten.
                4 => {
                    let keep = leader.remembered.len().saturating_sub(1);
                    leader.remembered.drain(..keep);
                    under_way.drain(..).map(|(base, _)| (base, None)).collect()
                }
                // Two answers are handled the wrong way round.
                5 if under_way.len() > 1 => {
                    let (a, b) = (under_way.pop_front().unwrap(), under_way.pop_front().unwrap());
                    let (first, second) = (leader.append(a.0, a.1), leader.append(b.0, b.1));
                    vec![(b.0, Some(second)), (a.0, Some(first))]
                }
                _ => under_way.pop_front().map(|(base, sequence)| (base, Some(leader.append(base, sequence)))).into_iter().collect(),
            };
            for (base, answer) in outcomes {
                match answer {
                    Some(Answer::Ok) => {
                        if let Some(last) = ours.acknowledged(base, now) {
                            prop_assert!(last > position);
                            position = last;
                            prop_assert!(leader.log.contains(&(last + 1 - i64::from(RECORDS))), "acknowledged, not written");
                        }
                    }
                    Some(Answer::OutOfOrder) => {
                        let (many, first) = (ours.is_one_of_many(base), ours.is_first(base));
                        ours.failed(base);
                        prop_assert!(many, "a single batch is never refused");
                        if first {
                            prop_assert!(leader.last_sequence().is_some_and(|last| ours.written_until(last)));
                            position = ours.settle(now).unwrap_or(position);
                        }
                    }
                    None => { ours.failed(base); }
                }
            }
        }
        let expected: Vec<i64> = (0..count).map(|i| i64::try_from(i).unwrap() * i64::from(RECORDS)).collect();
        prop_assert_eq!(leader.log, expected);
        prop_assert_eq!(position, i64::try_from(count).unwrap() * i64::from(RECORDS) - 1);
    }
}
