//! Against logs that are made up, with one thing after the other going wrong.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use wire::{BatchBuilder, Codec, HEADER_LEN, Levels};

use super::*;

const OURS: ProducerId = ProducerId { id: 7, epoch: 1 };
pub(in crate::flow::takeover) const THEIRS: ProducerId = ProducerId { id: 9, epoch: 0 };
const COMPACTED: &[u8] = include_bytes!("../../../../wire/tests/golden/compacted.log");
const TRANSACTIONS: &[u8] = include_bytes!("../../../../wire/tests/golden/transactions.log");

fn anchor(source_offset: i64, target_offset: i64, count: u64) -> Anchor {
    Anchor {
        generation: 1,
        source_id: 1,
        target_id: 2,
        source_epoch: 0,
        target_epoch: 0,
        producer: OURS,
        count,
        source_offset,
        target_offset,
        left_out: Vec::new(),
    }
}

/// A record whose offset in the source can be told from it.
pub(in crate::flow::takeover) fn record(of: i64) -> Held {
    // Key and value of a few bytes, no headers.
    let value = format!("{of:010}");
    let mut body = vec![1, 20];
    body.extend_from_slice(value.as_bytes());
    body.push(0);
    Held { offset: of, timestamp: 1_000 + of, body }
}

/// One batch of these records, numbered from `base`, whoever wrote it.
pub(in crate::flow::takeover) fn batch(records: &[Held], base: i64, codec: Codec) -> Batch {
    let mut builder = BatchBuilder::new(codec, Levels::default(), usize::MAX);
    for (offset, Held { timestamp, body, .. }) in (base..).zip(records) {
        let record = RawRecord { offset, timestamp: *timestamp, attributes: 0, body };
        assert!(builder.push(&record).unwrap().is_none());
    }
    builder.close().unwrap().unwrap().batch
}

/// As a broker stores what a producer wrote.
pub(in crate::flow::takeover) fn stored(batch: &Batch, producer: ProducerId, sequence: i32, offset: i64) -> Bytes {
    let (mut header, payload) = rewrite_header(batch, producer.id, producer.epoch, sequence).unwrap();
    header[..8].copy_from_slice(&offset.to_be_bytes());
    let mut bytes = BytesMut::with_capacity(HEADER_LEN + payload.len());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&payload);
    bytes.freeze()
}

/// A log in memory: batches by their base offset.
#[derive(Debug, Default)]
pub(in crate::flow::takeover) struct Log(pub(in crate::flow::takeover) Vec<(i64, Bytes)>);

impl Log {
    pub(in crate::flow::takeover) fn end(&self) -> i64 {
        self.0.last().map_or(0, |(_, bytes)| Batch::parse(bytes.clone()).unwrap().header().next_offset())
    }

    fn append(&mut self, batch: &Batch, producer: ProducerId, sequence: i32) {
        let end = self.end();
        self.0.push((end, stored(batch, producer, sequence, end)));
    }

    /// A few batches from an offset on, the first one with what stands before it in its batch.
    pub(in crate::flow::takeover) fn read(&self, from: i64) -> Bytes {
        let behind = |bytes: &Bytes| Batch::parse(bytes.clone()).unwrap().header().next_offset() > from;
        let batches = self.0.iter().filter(|(_, bytes)| behind(bytes)).take(2);
        batches
            .fold(BytesMut::new(), |mut all, (_, bytes)| {
                all.extend_from_slice(bytes);
                all
            })
            .freeze()
    }
}

pub(in crate::flow::takeover) fn answer(records: Bytes) -> FetchedPartition {
    FetchedPartition {
        tag: 0,
        error: 0,
        high_watermark: i64::MAX,
        last_stable: i64::MAX,
        log_start: 0,
        preferred_replica: None,
        diverged: None,
        aborted: Vec::new(),
        records,
    }
}

fn resume(source: &Log, target: &Log, anchor: &Anchor, manner: Manner<'_>) -> Result<Resumed, Lost> {
    let mut lockstep = Lockstep::new(anchor, manner);
    loop {
        match lockstep.step()? {
            Want::Nothing => return Ok(lockstep.done()),
            Want::Source(offset) => lockstep.source_fetched(answer(source.read(offset)))?,
            Want::Target(offset) if offset >= target.end() => lockstep.target_ends(target.end()),
            Want::Target(offset) => lockstep.target_fetched(target.read(offset))?,
        }
    }
}

/// Source records 0..n in batches of these sizes.
fn source_of(sizes: &[usize], codec: Codec) -> Log {
    let mut log = Log::default();
    for size in sizes {
        let first = log.end();
        let records: Vec<Held> = (first..).take(*size).map(record).collect();
        log.append(&batch(&records, first, codec), THEIRS, -1);
    }
    log
}

/// What the target holds, by which of the source's records each of its offsets is.
fn contents(pieces: &[Piece]) -> Vec<(i64, i64)> {
    let offsets = |piece: &Piece| (0..i64::from(piece.records)).map(|n| (piece.source + n, piece.target + n)).collect();
    pieces.iter().flat_map(|piece| -> Vec<(i64, i64)> { offsets(piece) }).collect()
}

#[derive(Debug, Clone)]
enum Written {
    /// So many source batches as they are.
    Passed(usize),
    /// So many records in one batch, bounds of their own.
    Joined(usize),
    /// Somebody else's records.
    Foreign(usize),
}

fn written() -> impl Strategy<Value = Vec<Written>> {
    let one = prop_oneof![
        3 => (1..4_usize).prop_map(Written::Passed),
        2 => (1..9_usize).prop_map(Written::Joined),
        1 => (1..4_usize).prop_map(Written::Foreign),
    ];
    proptest::collection::vec(one, 0..8)
}

proptest! {
    /// However it was cut, mixed with others' records, and wherever it stopped: the copy goes on behind its last record, and every record
    /// is known by its offsets.
    #[test]
    fn a_copy_is_found_again(
        sizes in proptest::collection::vec(1..7_usize, 1..12),
        written in written(),
        near_the_wrap in any::<bool>(),
        codec in prop_oneof![Just(Codec::None), Just(Codec::Lz4)],
        left_out in proptest::collection::btree_set(0..40_i64, 0..3),
    ) {
        let source = source_of(&sizes, codec);
        let count = if near_the_wrap { (1 << 31) - 5 } else { 0 };
        let mut target = Log::default();
        target.append(&batch(&[record(-5), record(-4)], 0, Codec::None), THEIRS, -1);
        let mut anchor = anchor(0, target.end(), count);
        anchor.left_out = left_out.iter().copied().collect();
        let (mut sequence, mut next, mut foreign) = (anchor.sequence(), 0_i64, 0);
        let mut expected = Vec::new();
        for step in written {
            match step {
                Written::Passed(batches) => {
                    let from = next;
                    let whole = source.0.iter().filter(|(base, _)| *base >= from).take(batches);
                    for (base, bytes) in whole {
                        let batch = Batch::parse(bytes.clone()).unwrap();
                        let records = batch.header().record_count;
                        // One with a record that is left out was opened.
                        if *base != next || left_out.range(*base..*base + i64::from(records)).next().is_some() {
                            break;
                        }
                        expected.extend((*base..).zip(target.end()..).take(usize::try_from(records).unwrap()));
                        target.append(&batch, OURS, sequence);
                        sequence = sequence_after(sequence, records);
                        next = batch.header().next_offset();
                    }
                }
                Written::Joined(records) => {
                    let offsets: Vec<i64> =
                        (next..source.end()).filter(|o| !left_out.contains(o)).take(records).collect();
                    let Some(last) = offsets.last() else { continue };
                    next = last + 1;
                    expected.extend(offsets.iter().copied().zip(target.end()..));
                    let held: Vec<Held> = offsets.iter().copied().map(record).collect();
                    target.append(&batch(&held, 0, codec), OURS, sequence);
                    sequence = sequence_after(sequence, i32::try_from(held.len()).unwrap());
                }
                Written::Foreign(records) => {
                    let held: Vec<Held> = (0..).take(records).map(|n| record(-n)).collect();
                    target.append(&batch(&held, 0, Codec::None), THEIRS, -1);
                    foreign += u64::try_from(records).unwrap();
                }
            }
        }
        let found = resume(&source, &target, &anchor, Manner::default()).unwrap();
        prop_assert_eq!(contents(&found.pieces), expected.clone());
        let behind = expected.last().map_or(0, |(source, _)| source + 1);
        prop_assert_eq!(found.position, behind);
        prop_assert_eq!(found.count, count + u64::try_from(expected.len()).unwrap());
        prop_assert_eq!((found.foreign, found.doubled, found.target_end), (foreign, 0, target.end()));
        // The same from anywhere on the way.
        for at in 0..=expected.len() {
            let (source_offset, target_offset) = if at == 0 {
                (0, anchor.target_offset)
            } else {
                (expected[at - 1].0 + 1, expected[at - 1].1 + 1)
            };
            let starts_batch = target.0.iter().any(|(base, _)| *base == target_offset) || target_offset == target.end();
            if starts_batch {
                let later = Anchor { source_offset, target_offset, count: count + at as u64, ..anchor.clone() };
                let again = resume(&source, &target, &later, Manner::default()).unwrap();
                prop_assert_eq!((again.position, again.count), (behind, found.count));
            }
        }
    }
}

#[test]
fn what_retention_took_from_the_target_is_counted() {
    let source = source_of(&[4, 4, 4], Codec::None);
    let mut target = Log::default();
    let batches: Vec<Batch> = source.0.iter().map(|(_, bytes)| Batch::parse(bytes.clone()).unwrap()).collect();
    for (batch, sequence) in batches.iter().zip([0, 4, 8]) {
        target.append(batch, OURS, sequence);
    }
    target.0.remove(0);
    let found = resume(&source, &target, &anchor(0, 0, 0), Manner::default()).unwrap();
    assert_eq!((found.position, found.count), (12, 12));
    assert_eq!(contents(&found.pieces), (4..12).map(|n| (n, n)).collect::<Vec<_>>());
}

#[test]
fn a_batch_that_is_there_twice_is_counted_once() {
    let source = source_of(&[4, 4], Codec::None);
    let first = Batch::parse(source.0[0].1.clone()).unwrap();
    let mut target = Log::default();
    target.append(&first, OURS, 0);
    target.append(&first, OURS, 0);
    let found = resume(&source, &target, &anchor(0, 0, 0), Manner::default()).unwrap();
    assert_eq!((found.position, found.count, found.doubled, found.target_end), (4, 4, 4, 8));
}

#[test]
fn another_record_is_not_taken_for_ours() {
    let source = source_of(&[2, 2], Codec::None);
    let mut target = Log::default();
    target.append(&batch(&[record(0), record(5)], 0, Codec::None), OURS, 0);
    let lost = resume(&source, &target, &anchor(0, 0, 0), Manner::default()).unwrap_err();
    assert_eq!(lost, Lost::Differs { source_offset: 1, target: 1 });
    // Neither is one with another time.
    let later = Held { timestamp: 7, ..record(0) };
    let mut target = Log::default();
    target.append(&batch(&[later], 0, Codec::None), OURS, 0);
    let lost = resume(&source, &target, &anchor(0, 0, 0), Manner::default()).unwrap_err();
    assert_eq!(lost, Lost::Differs { source_offset: 0, target: 0 });
}

#[test]
fn a_source_that_lost_its_end_is_told() {
    let mut source = source_of(&[2, 2], Codec::None);
    let mut target = Log::default();
    for (batch, sequence) in source.0.iter().zip([0, 2]) {
        target.append(&Batch::parse(batch.1.clone()).unwrap(), OURS, sequence);
    }
    source.0.pop();
    let lost = resume(&source, &target, &anchor(0, 0, 0), Manner::default()).unwrap_err();
    assert_eq!(lost, Lost::SourceEnds { source_end: 2 });
}

#[test]
fn what_compaction_took_from_the_source_is_passed_over() {
    let all: Vec<Held> = (0..8).map(record).collect();
    let mut target = Log::default();
    target.append(&batch(&all, 0, Codec::Lz4), OURS, 0);
    // Left are these, the last but one of them not copied yet; offsets are told by the records' times.
    for (survivors, behind) in [(vec![2, 5, 7, 9], 8), (vec![1, 3, 8, 9], 4), (vec![8, 9], 0), (vec![], 0)] {
        let kept: BTreeSet<i64> = survivors.into_iter().collect();
        let mut source = Log::default();
        for offset in &kept {
            let one = batch(&[record(*offset)], *offset, Codec::None);
            source.0.push((*offset, stored(&one, THEIRS, -1, *offset)));
        }
        let compacted = Manner { compacted: true, ..Manner::default() };
        let found = resume(&source, &target, &anchor(0, 0, 0), compacted).unwrap();
        assert_eq!((found.position, found.count), (behind, 8), "{kept:?}");
    }
}

#[test]
fn markers_and_what_was_cleaned_in_the_source_are_no_records() {
    for (name, log) in [("compacted", COMPACTED), ("transactions", TRANSACTIONS)] {
        let mut source = Log::default();
        let (mut target, mut sequence, mut copied) = (Log::default(), 0, 0);
        for cut in Batches::new(Bytes::from_static(log), MOST_BYTES) {
            let Stored::Batch(one) = cut.unwrap() else { panic!("an old format") };
            let header = *one.header();
            source.0.push((header.base_offset, one.bytes().clone()));
            if header.is_control() || header.record_count == 0 {
                continue;
            }
            // Written anew, as whoever finds gaps does.
            let mut reader = RecordReader::new(&one, MOST_BYTES).unwrap();
            let mut held = Vec::new();
            while let Some(record) = reader.next_record().unwrap() {
                copied = record.offset + 1;
                held.push(Held::of(&record));
            }
            target.append(&batch(&held, 0, Codec::None), OURS, sequence);
            sequence = sequence_after(sequence, i32::try_from(held.len()).unwrap());
        }
        let found = resume(&source, &target, &anchor(0, 0, 0), Manner::default()).unwrap();
        assert_eq!(found.position, copied, "{name}");
        assert_eq!(i64::try_from(found.count).unwrap(), target.end(), "{name}");
    }
}

#[test]
fn a_target_of_an_old_format_is_read_to_its_end() {
    const OLD: &[u8] = include_bytes!("../../../../wire/tests/golden/format-1-none.log");
    let mut lockstep = Lockstep::new(&anchor(0, 0, 0), Manner::default());
    assert_eq!(lockstep.step(), Ok(Want::Target(0)));
    lockstep.target_fetched(Bytes::from_static(OLD)).unwrap();
    let Ok(Want::Target(end)) = lockstep.step() else { panic!("it does not go on") };
    assert!(end > 0);
    lockstep.target_ends(end);
    assert_eq!(lockstep.step(), Ok(Want::Nothing));
    assert_eq!(lockstep.done().position, 0);
}
