//! Against copies that are made up, with one thing after the other going wrong.

use std::collections::BTreeMap;

use proptest::prelude::*;
use wire::{AbortedTransaction, Codec};

use super::{
    super::lockstep::tests::{Log, THEIRS, answer, batch, record, stored},
    *,
};

/// Source offset of a record whose copy has this offset in the target, by what is told; and the stretches that are told of as a whole.
fn contents(map: &MapWriter) -> (BTreeMap<i64, i64>, Vec<(i64, i64)>) {
    let told = map.told();
    let runs = told.iter().flat_map(|(_, _, runs)| runs);
    let records = runs.flat_map(|run| (0..run.records).map(|n| (run.target + n, run.source + n)));
    (records.collect(), told.iter().map(|(from, end, _)| (*from, *end)).filter(|(from, end)| from < end).collect())
}

fn compare(source: &Log, target: &Log, pairs: &[Pair], until: i64) -> Compared {
    let mut comparison = Comparison::new(pairs, until);
    loop {
        match comparison.step().unwrap() {
            Want::Nothing => return comparison.done(),
            Want::Source(offset) => comparison.source_fetched(answer(source.read(offset))).unwrap(),
            Want::Target(offset) => comparison.target_fetched(answer(target.read(offset))).unwrap(),
        }
    }
}

/// Records by their numbers, which tell them from one another, with so many offsets before each batch that hold none.
fn log(batches: &[(i64, Vec<i64>)]) -> Log {
    let mut log = Log::default();
    for (gap, records) in batches {
        let base = log.end() + gap;
        let held: Vec<Held> = records.iter().map(|of| record(*of)).collect();
        log.0.push((base, stored(&batch(&held, 0, Codec::Lz4), THEIRS, -1, base)));
    }
    log
}

/// What an offset holds.
fn by_offset(log: &Log) -> BTreeMap<i64, Vec<u8>> {
    let mut records = Records::default();
    let mut all = BTreeMap::new();
    while let Ok(next) = records.look() {
        match next {
            Next::Record => {
                let held = records.held.take().unwrap();
                all.insert(held.offset, held.body);
            }
            Next::Unknown(offset) => records.fetched(answer(log.read(offset))).unwrap(),
            Next::Nothing => break,
        }
    }
    all
}

/// How somebody else copied.
#[derive(Debug, Clone)]
enum Step {
    Copied(usize),
    /// So many of those copied last once more, as after a crash.
    Again(usize),
    /// So many never, or no longer there.
    LeftOut(usize),
    Foreign(usize),
}

fn steps(clean: bool) -> impl Strategy<Value = Vec<(Step, bool)>> {
    let step = prop_oneof![
        6 => (1..6_usize).prop_map(Step::Copied),
        1 => (1..4_usize).prop_map(move |n| if clean { Step::Copied(n) } else { Step::Again(n) }),
        1 => (1..4_usize).prop_map(move |n| if clean { Step::Copied(n) } else { Step::LeftOut(n) }),
        1 => (1..4_usize).prop_map(move |n| if clean { Step::Copied(n) } else { Step::Foreign(n) }),
    ];
    prop::collection::vec((step, prop::bool::weighted(0.7)), 1..25)
}

fn source_batches() -> impl Strategy<Value = Vec<(i64, usize)>> {
    prop::collection::vec((prop_oneof![3 => Just(0), 1 => 1..3_i64], 1..7_usize), 1..12)
}

/// A source, what was copied of it, true pairs, and how many of its records were dealt with.
fn made(batches: &[(i64, usize)], steps: &[(Step, bool)]) -> (Log, Log, Vec<Pair>, usize) {
    let mut number = 0;
    let batches: Vec<(i64, Vec<i64>)> = batches
        .iter()
        .map(|(gap, size)| {
            let records = (number..).take(*size).collect();
            number += i64::try_from(*size).unwrap();
            (*gap, records)
        })
        .collect();
    let source = log(&batches);
    let offsets: Vec<i64> = by_offset(&source).into_keys().collect();
    let (mut next, mut written, mut pairs) = (0, Vec::new(), Vec::new());
    let mut target_end = 0;
    for (step, is_noted) in steps {
        let records: Vec<i64> = match step {
            Step::Copied(records) => {
                let end = (next + records).min(offsets.len());
                if *is_noted && next < end {
                    pairs.push((offsets[next], target_end));
                }
                let all = (next..end).map(|n| i64::try_from(n).unwrap()).collect();
                next = end;
                all
            }
            Step::Again(records) => (next.saturating_sub(*records)..next).map(|n| i64::try_from(n).unwrap()).collect(),
            Step::LeftOut(records) => {
                next = (next + records).min(offsets.len());
                Vec::new()
            }
            Step::Foreign(records) => (1_000_000..).take(*records).collect(),
        };
        if !records.is_empty() {
            target_end += i64::try_from(records.len()).unwrap();
            written.push((0, records));
        }
    }
    (source, log(&written), pairs, next)
}

proptest! {
    /// What is told is true: each record stands where it is said to, and of a stretch that is told of no record is missing.
    #[test]
    fn nothing_is_told_that_is_not_so(
        batches in source_batches(),
        steps in steps(false),
        wrong in prop::collection::vec((0..60_i64, 0..60_i64), 0..3),
        until in 0..80_i64,
    ) {
        let (source, target, mut pairs, _) = made(&batches, &steps);
        pairs.extend(wrong);
        pairs.sort_unstable();
        let (sources, targets) = (by_offset(&source), by_offset(&target));
        let found = compare(&source, &target, &pairs, until);
        let (told, stretches) = contents(&found.map);
        prop_assert_eq!(told.len() as u64, found.records);
        for (at_target, at_source) in &told {
            prop_assert_eq!(&targets[at_target], &sources[at_source]);
        }
        for (from, end) in stretches {
            let is_told = |offset: &i64| told.values().any(|told| told == offset);
            prop_assert!(sources.range(from..end).all(|(offset, _)| is_told(offset)), "{from} to {end}: {told:?}");
            prop_assert!(end <= until);
        }
    }

    /// Where nothing went wrong, all is told from the first pair on.
    #[test]
    fn a_copy_without_faults_is_told_as_a_whole(batches in source_batches(), steps in steps(true)) {
        let (source, target, pairs, copied) = made(&batches, &steps);
        let offsets: Vec<i64> = by_offset(&source).into_keys().collect();
        let until = offsets.get(copied).copied().unwrap_or(source.end());
        let found = compare(&source, &target, &pairs, until);
        let (told, stretches) = contents(&found.map);
        let Some((first, _)) = pairs.first() else {
            prop_assert!(told.is_empty());
            return Ok(());
        };
        prop_assert_eq!(stretches, [(*first, until)]);
        let expected: Vec<_> = offsets[..copied].iter().copied().filter(|offset| offset >= first).collect();
        prop_assert_eq!(told.into_values().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn behind_what_was_copied_twice_the_next_pair_counts() {
    let source = log(&[(0, (0..10).collect())]);
    let target = log(&[(0, (0..6).collect()), (0, (3..10).collect())]);
    let found = compare(&source, &target, &[(1, 1), (5, 5), (7, 10)], 10);
    let (told, stretches) = contents(&found.map);
    assert_eq!(stretches, [(1, 6), (7, 10)]);
    let expected = (1..6).map(|n| (n, n)).chain((10..13).map(|n| (n, n - 3))).collect();
    assert_eq!(told, expected);
    // A pair that is not so leads nowhere.
    let found = compare(&source, &target, &[(2, 1), (3, 9)], 10);
    assert_eq!((found.records, contents(&found.map).1), (0, vec![]));
}

#[test]
fn times_that_a_broker_has_put_in_are_not_compared() {
    let held: Vec<Held> = (0..3).map(|of| Held { timestamp: 5, ..record(of) }).collect();
    let theirs = stored(&batch(&held, 0, Codec::None), THEIRS, -1, 0);
    let source = log(&[(0, (0..3).collect())]);
    let found = compare(&source, &Log(vec![(0, theirs.clone())]), &[(0, 0)], 3);
    assert_eq!(found.records, 0);
    let mut bytes = theirs.to_vec();
    bytes[22] |= 1 << 3;
    let sum = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&sum.to_be_bytes());
    let found = compare(&source, &Log(vec![(0, bytes.into())]), &[(0, 0)], 3);
    assert_eq!(found.records, 3);
}

#[test]
fn what_a_transaction_took_back_is_no_copy() {
    const TRANSACTIONS: &[u8] = include_bytes!("../../../../wire/tests/golden/transactions.log");
    let all = || answer(bytes::Bytes::from_static(TRANSACTIONS));
    let mut records = Records::default();
    records.fetched(all()).unwrap();
    let Ok(Next::Record) = records.look() else { panic!("no record") };
    let first = records.held.take().unwrap().offset;
    // Whoever wrote the first one is said to have taken it back.
    let Ok(Stored::Batch(begun)) =
        wire::Batches::new(bytes::Bytes::from_static(TRANSACTIONS), usize::MAX).next().unwrap()
    else {
        panic!("an old format")
    };
    let producer_id = begun.header().producer_id;
    let aborted = vec![AbortedTransaction { producer_id, first_offset: first }];
    let mut records = Records::default();
    records.fetched(FetchedPartition { aborted, ..all() }).unwrap();
    let Ok(Next::Record) = records.look() else { panic!("no record") };
    assert!(records.held.take().unwrap().offset > first);
}

#[test]
fn what_is_not_there_or_broken_is_passed_over() {
    let (source, target) = (log(&[(0, (0..4).collect())]), log(&[(0, (0..4).collect())]));
    let mut comparison = Comparison::new(&[(0, 0), (2, 2)], 4);
    assert_eq!(comparison.step(), Ok(Want::Source(0)));
    comparison.is_not_there();
    assert_eq!(comparison.step(), Ok(Want::Source(2)));
    comparison.source_fetched(answer(source.read(2))).unwrap();
    assert_eq!(comparison.step(), Ok(Want::Target(2)));
    comparison.target_fetched(answer(target.read(2))).unwrap();
    assert_eq!((comparison.step(), comparison.done().records), (Ok(Want::Nothing), 2));

    let mut bytes = source.read(0).to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let mut comparison = Comparison::new(&[(0, 0)], 4);
    assert_eq!(comparison.step(), Ok(Want::Source(0)));
    comparison.source_fetched(answer(bytes.into())).unwrap();
    assert!(comparison.step().is_err());
    comparison.is_not_there();
    assert_eq!(comparison.step(), Ok(Want::Nothing));
}
