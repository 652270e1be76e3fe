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
        joins: true,
    }
}

fn outbound(timestamps: &[i64]) -> Outbound {
    let mut outbound = Outbound::default();
    timestamps.iter().enumerate().for_each(|(i, time)| outbound.push(batch(i, *time)));
    outbound
}

/// The target has the batch, as if its log began with the source's.
fn acknowledged(outbound: &mut Outbound, base: i64) -> Option<i64> {
    outbound.acknowledged(base, base, Instant::now(), |_, _| {})
}

fn there(number: usize) -> Written {
    let Ready { sequence, records, base, .. } = batch(number, 0);
    Written { sequence, records, offset: base }
}

fn send(outbound: &mut Outbound) -> Option<i64> {
    outbound.send(Instant::now(), FRESH).map(|ready| ready.base)
}

#[test]
fn the_window_opens_once_the_broker_is_sure_to_remember() {
    let mut new = outbound(&[FRESH + 1; 8]);
    assert_eq!((send(&mut new), send(&mut new)), (Some(0), None), "a producer id that nobody has seen");
    assert_eq!(acknowledged(&mut new, 0), Some(1));
    let sent: Vec<_> = std::iter::from_fn(|| send(&mut new)).collect();
    assert_eq!(sent, [2, 4, 6, 8, 10], "as many as a broker recognises");

    let mut old = outbound(&[FRESH; 3]);
    assert_eq!(send(&mut old), Some(0));
    acknowledged(&mut old, 0);
    assert_eq!((send(&mut old), send(&mut old)), (Some(2), None), "old records are forgotten at any time");

    let mut mixed = outbound(&[FRESH + 1, FRESH, FRESH + 1]);
    send(&mut mixed);
    acknowledged(&mut mixed, 0);
    assert_eq!((send(&mut mixed), send(&mut mixed)), (Some(2), None), "one of those under way is old");
}

#[test]
fn the_leader_of_another_topic_may_not_know_the_producer() {
    let topics = ["a", "b"].map(Arc::<str>::from);
    let mut outbound = Outbound::default();
    for number in 0..6 {
        outbound.push(Ready { topic: Some(Arc::clone(&topics[number / 3])), ..batch(number, FRESH + 1) });
    }
    assert_eq!((send(&mut outbound), outbound.other_topic()), (None, Some(&topics[0])));
    outbound.turn_to(Some(Arc::clone(&topics[0])));
    assert_eq!((send(&mut outbound), send(&mut outbound)), (Some(0), None));
    acknowledged(&mut outbound, 0);
    assert_eq!([send(&mut outbound), send(&mut outbound), send(&mut outbound)], [Some(2), Some(4), None]);
    acknowledged(&mut outbound, 2);
    assert_eq!(outbound.other_topic(), None, "one is unresolved");
    acknowledged(&mut outbound, 4);
    assert_eq!(outbound.other_topic(), Some(&topics[1]));
    outbound.turn_to(Some(Arc::clone(&topics[1])));
    assert_eq!((send(&mut outbound), send(&mut outbound)), (Some(6), None));
    acknowledged(&mut outbound, 6);
    assert_eq!((send(&mut outbound), send(&mut outbound)), (Some(8), Some(10)));
}

#[test]
fn positions_wait_for_the_first_and_resends_go_one_by_one() {
    let mut outbound = outbound(&[FRESH + 1; 5]);
    send(&mut outbound);
    acknowledged(&mut outbound, 0);
    assert_eq!([send(&mut outbound), send(&mut outbound), send(&mut outbound)], [Some(2), Some(4), Some(6)]);
    assert!(outbound.failed(2, false));
    assert_eq!(send(&mut outbound), None, "others are still out");
    assert_eq!(acknowledged(&mut outbound, 6), None, "not before the ones before it");
    outbound.failed(4, false);
    assert_eq!((send(&mut outbound), send(&mut outbound)), (Some(2), None));
    assert_eq!(acknowledged(&mut outbound, 2), Some(3));
    assert_eq!(send(&mut outbound), Some(4));
    assert_eq!(acknowledged(&mut outbound, 4), Some(7), "and the one behind it");
    assert_eq!(send(&mut outbound), Some(8));
    assert!(!outbound.failed(2, false), "none of ours any more");
}

#[test]
fn what_may_be_there_is_looked_for_before_it_is_sent_again() {
    let now = Instant::now();
    let mut outbound = outbound(&[FRESH + 1; 4]);
    send(&mut outbound);
    acknowledged(&mut outbound, 0);
    assert_eq!([send(&mut outbound), send(&mut outbound), send(&mut outbound)], [Some(2), Some(4), Some(6)]);
    outbound.failed(2, true);
    assert!(!outbound.must_look(), "others are still out");
    outbound.failed(4, true);
    outbound.failed(6, false);
    assert!(outbound.must_look());
    assert_eq!(send(&mut outbound), None);
    let mut told = Vec::new();
    let seen = outbound.looked(&[there(1)], now, |batch, offset| told.push((batch.base, offset)));
    assert_eq!((seen, told), ((Look::Seen, Some(3)), vec![(2, 2)]));
    assert!(!outbound.must_look());
    assert_eq!((send(&mut outbound), send(&mut outbound)), (Some(4), None));
    outbound.failed(4, true);
    let before = outbound.sent.len();
    let twice = [Written { records: RECORDS + 1, ..there(2) }];
    assert_eq!(outbound.looked(&twice, now, |_, _| {}), (Look::Another(4), None), "with bounds that are not ours");
    assert_eq!(outbound.looked(&[there(2), there(3), there(4)], now, |_, _| {}).0, Look::Another(8));
    assert_eq!(outbound.sent.len(), before);
    assert_eq!(outbound.looked(&[there(2), there(3)], now, |_, _| {}), (Look::Seen, Some(7)));
    assert!(!outbound.is_unresolved() && !outbound.is_resolving());
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
        fates in prop::collection::vec((0..7_u8, any::<prop::sample::Index>()), 0..300),
        count in 1..30_usize,
        fresh in any::<bool>(),
    ) {
        let now = Instant::now();
        // Of old records the leader forgets the producer at any time.
        let mut ours = outbound(&vec![if fresh { FRESH + 1 } else { FRESH }; count]);
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
            // Each with its answer: none, or whether it was refused for its sequence.
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
                // Appended, but its followers are slow: refused after it.
                2 => under_way.pop_front().map(|(base, sequence)| { leader.append(base, sequence); (base, None) }).into_iter().collect(),
                // A restart: what was under way is lost, and all but the last batch forgotten.
                3 => {
                    let keep = leader.remembered.len().saturating_sub(1);
                    leader.remembered.drain(..keep);
                    under_way.drain(..).map(|(base, _)| (base, None)).collect()
                }
                4 if !fresh => {
                    leader.remembered.clear();
                    Vec::new()
                }
                // Two answers are handled the wrong way round.
                5 if under_way.len() > 1 => {
                    let (a, b) = (under_way.pop_front().unwrap(), under_way.pop_front().unwrap());
                    let (first, second) = (leader.append(a.0, a.1), leader.append(b.0, b.1));
                    vec![(b.0, Some(second)), (a.0, Some(first))]
                }
                // Refused before it is looked at (too few in-sync replicas).
                6 => {
                    under_way.pop_front().map(|(base, _)| ours.failed(base, false));
                    Vec::new()
                }
                _ => under_way.pop_front().map(|(base, sequence)| (base, Some(leader.append(base, sequence)))).into_iter().collect(),
            };
            for (base, answer) in outcomes {
                match answer {
                    Some(Answer::Ok) => {
                        if let Some(last) = acknowledged(&mut ours, base) {
                            prop_assert!(last > position);
                            position = last;
                            prop_assert!(leader.log.contains(&(last + 1 - i64::from(RECORDS))), "acknowledged, not written");
                        }
                    }
                    Some(Answer::OutOfOrder) | None => { ours.failed(base, true); }
                }
            }
            if ours.must_look() {
                let acknowledged = usize::try_from((position + 1) / i64::from(RECORDS)).unwrap();
                let log: Vec<Written> = (acknowledged..leader.log.len()).map(there).collect();
                let (look, settled) = ours.looked(&log, now, |_, _| {});
                prop_assert_eq!(look, Look::Seen);
                position = settled.unwrap_or(position);
            }
        }
        let expected: Vec<i64> = (0..count).map(|i| i64::try_from(i).unwrap() * i64::from(RECORDS)).collect();
        prop_assert_eq!(leader.log, expected);
        prop_assert_eq!(position, i64::try_from(count).unwrap() * i64::from(RECORDS) - 1);
    }
}

#[test]
fn records_stand_in_stretches_without_gaps_at_the_source() {
    let stretches = |distances: Option<&[u32]>, records| {
        let ready = Ready { distances: distances.map(Into::into), records, ..batch(50, FRESH) };
        let mut told = Vec::new();
        ready.stretches(7, |Stretch { source, target, records }| told.push((source, target, records)));
        told
    };
    assert_eq!(stretches(None, 3), [(100, 7, 3)]);
    assert_eq!(stretches(Some(&[0, 1, 4, 6, 7, 8]), 6), [(100, 7, 2), (104, 9, 1), (106, 10, 3)]);
    assert_eq!(stretches(Some(&[2]), 1), [(102, 7, 1)]);
}
