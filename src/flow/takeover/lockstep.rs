//! Source and target walked in step from an anchor on, to find what the target has of the source. Pure: batches are handed in as they are
//! asked for.
//!
//! The target's batches under our producer id count themselves, by their sequences, and hold what was in the source. A batch that passed has
//! the very sum that rewriting its source batch gives; any other is compared record by record.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use wire::{
    Batch, Batches, CorruptBatch, FetchedPartition, ProducerId, RawRecord, RecordReader, Stored, TimestampType,
    legacy_records, rewrite_header, sequence_after,
};

use crate::{
    flow::{
        plan::{Aborted, MOST_BYTES, Plan, Rules, plan},
        tail::distance,
    },
    offsets::Anchor,
    transforms::RecordTransforms,
};

/// What has to be handed in next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Batches of the source from this offset on.
    Source(i64),
    /// Batches of the target from this offset on.
    Target(i64),
    /// Nothing: the target has no more.
    Nothing,
}

/// Source offsets of which the target's are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The first one's, in the source.
    pub(crate) source: i64,
    /// The first one's, in the target.
    pub(crate) target: i64,
    pub(crate) records: u32,
}

/// Where the copy stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// Next source offset to copy.
    pub(crate) position: i64,
    /// Records written under the producer id.
    pub(crate) count: u64,
    /// One past what was looked at in the target.
    pub(crate) target_end: i64,
    /// What was written since the anchor.
    pub(crate) pieces: Vec<Piece>,
    /// Records of others among it.
    pub(crate) foreign: u64,
    /// Records of ours that are there once more.
    pub(crate) doubled: u64,
}

impl Resumed {
    /// Nothing was written since the anchor.
    pub(crate) fn of(anchor: &Anchor) -> Self {
        let &Anchor { source_offset: position, count, target_offset: target_end, .. } = anchor;
        Self { position, count, target_end, pieces: Vec::new(), foreign: 0, doubled: 0 }
    }
}

/// Why the copy is not found again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lost {
    /// The target has something else than the source.
    #[error("offset {target} of the target holds another record than offset {source_offset} of the source")]
    Differs {
        /// In the source.
        source_offset: i64,
        /// In the target.
        target: i64,
    },
    /// The source has fewer records than were copied.
    #[error("the target holds records that the source, which ends at offset {source_end}, does not have")]
    SourceEnds {
        /// One past the last that can be read.
        source_end: i64,
    },
    /// A batch can't be read.
    #[error(transparent)]
    Corrupt(#[from] CorruptBatch),
}

/// What is done to the source's records, and what of them may be missing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner<'a> {
    pub(super) transforms: Option<&'a RecordTransforms>,
    /// Compaction may have removed records from the source since they were copied.
    pub(super) compacted: bool,
}

#[derive(Debug)]
pub(super) struct Lockstep<'a> {
    manner: Manner<'a>,
    producer: ProducerId,
    left_out: BTreeSet<i64>,
    source: VecDeque<Stored>,
    opened: Option<Opened>,
    /// A record of the source that has not been found in the target yet.
    held: Option<Held>,
    /// Next source offset to ask for; no more can be read there.
    source_next: i64,
    source_ended: bool,
    target: VecDeque<Batch>,
    target_batch: Option<TargetBatch>,
    /// A record of the target that has not been found in the source yet.
    wanted: Option<Held>,
    target_ended: bool,
    /// Sequence of the next batch.
    sequence: i32,
    /// Records by their sequences that are no longer in the target.
    gone: u32,
    found: Resumed,
}

/// Records of a source batch.
pub(super) enum Opened {
    Batch(RecordReader),
    Legacy(std::vec::IntoIter<Held>),
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opened")
    }
}

#[derive(Debug)]
struct TargetBatch {
    reader: RecordReader,
    base_offset: i64,
    /// Records it was produced with, and how many of them are dealt with.
    span: u32,
    done: u32,
    /// The broker has put its own time in the place of the records'.
    times_replaced: bool,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) body: Vec<u8>,
}

impl Held {
    fn of(record: &RawRecord<'_>) -> Self {
        Self { offset: record.offset, timestamp: record.timestamp, body: record.body.to_vec() }
    }
}

impl<'a> Lockstep<'a> {
    pub(super) fn new(anchor: &Anchor, manner: Manner<'a>) -> Self {
        Self {
            manner,
            producer: anchor.producer,
            left_out: anchor.left_out.iter().copied().collect(),
            source: VecDeque::new(),
            opened: None,
            held: None,
            source_next: anchor.source_offset,
            source_ended: false,
            target: VecDeque::new(),
            target_batch: None,
            wanted: None,
            target_ended: false,
            sequence: anchor.sequence(),
            gone: 0,
            found: Resumed::of(anchor),
        }
    }

    /// What the source has from [`Want::Source`]'s offset on; nothing at its end.
    pub(super) fn source_fetched(&mut self, answer: FetchedPartition) -> Result<(), Lost> {
        self.source_ended = answer.records.is_empty();
        self.source.extend(read(answer, &mut self.source_next)?);
        Ok(())
    }

    /// What the target has from [`Want::Target`]'s offset on.
    pub(super) fn target_fetched(&mut self, records: Bytes) -> Result<(), Lost> {
        for cut in Batches::new(records, MOST_BYTES) {
            let batch = match cut? {
                Stored::Batch(batch) => batch,
                // These tell no producer.
                Stored::Legacy(message) => {
                    self.found.target_end = self.found.target_end.max(message.offset.saturating_add(1));
                    continue;
                }
            };
            let header = *batch.header();
            if header.base_offset < self.found.target_end {
                continue;
            }
            self.found.target_end = header.next_offset();
            if header.producer_id != self.producer.id || header.producer_epoch != self.producer.epoch {
                self.found.foreign += u64::from(header.record_count.unsigned_abs());
            } else if distance(self.sequence_behind(), header.base_sequence) < 0 {
                self.found.doubled += u64::from(header.record_count.unsigned_abs());
            } else {
                self.target.push_back(batch);
            }
        }
        Ok(())
    }

    /// Nothing of the target is left to be handed in: its log ends at this offset.
    pub(super) fn target_ends(&mut self, log_end: i64) {
        self.found.target_end = self.found.target_end.max(log_end);
        self.target_ended = true;
    }

    /// Sequence behind the last batch that was handed in.
    fn sequence_behind(&self) -> i32 {
        self.target.back().map_or(self.sequence, |last| sequence_after(last.header().last_sequence(), 1))
    }

    pub(super) fn done(self) -> Resumed {
        self.found
    }

    /// Goes on as far as what was handed in allows.
    pub(super) fn step(&mut self) -> Result<Want, Lost> {
        loop {
            if self.gone > 0 {
                // Of what compaction may have taken from both nothing is known.
                if !self.manner.compacted && self.next_source()?.is_none() {
                    if !self.source_ended {
                        return Ok(Want::Source(self.source_next));
                    }
                    return Err(Lost::SourceEnds { source_end: self.source_next });
                }
                let skipped = if self.manner.compacted { self.gone } else { 1 };
                self.gone -= skipped;
                self.found.count += u64::from(skipped);
            } else if let Some(wanted) = self.wanted.take() {
                let Some(source) = self.next_source()? else {
                    if !self.source_ended {
                        self.wanted = Some(wanted);
                        return Ok(Want::Source(self.source_next));
                    }
                    if !self.manner.compacted {
                        return Err(Lost::SourceEnds { source_end: self.source_next });
                    }
                    self.found.count += 1;
                    continue;
                };
                self.compare(source, &wanted)?;
            } else if !self.next_wanted()?
                && let Some(want) = self.next_batch()?
            {
                return Ok(want);
            }
        }
    }

    fn compare(&mut self, source: Held, target: &Held) -> Result<(), Lost> {
        let times_replaced = self.target_batch.as_ref().is_some_and(|batch| batch.times_replaced);
        self.found.count += 1;
        if source.body == target.body && (times_replaced || source.timestamp == target.timestamp) {
            self.found.position = source.offset + 1;
            self.piece(source.offset, target.offset, 1);
            return Ok(());
        }
        if !self.manner.compacted {
            return Err(Lost::Differs { source_offset: source.offset, target: target.offset });
        }
        // The target's was removed from the source.
        self.held = Some(source);
        Ok(())
    }

    /// The next record of the target batch that is being looked into. False if there is none.
    fn next_wanted(&mut self) -> Result<bool, Lost> {
        let Some(batch) = &mut self.target_batch else { return Ok(false) };
        match batch.reader.next_record()? {
            Some(record) => {
                let index = u32::try_from(record.offset - batch.base_offset).unwrap_or(0);
                self.gone = index.saturating_sub(batch.done);
                batch.done = index + 1;
                self.wanted = Some(Held::of(&record));
            }
            None => {
                self.gone = batch.span.saturating_sub(batch.done);
                self.target_batch = None;
            }
        }
        Ok(true)
    }

    /// The next batch of the target: known by its sum, or to be looked into.
    fn next_batch(&mut self) -> Result<Option<Want>, Lost> {
        let Some(batch) = self.target.front() else {
            let want = if self.target_ended { Want::Nothing } else { Want::Target(self.found.target_end) };
            return Ok(Some(want));
        };
        let header = *batch.header();
        let ahead = distance(self.sequence, header.base_sequence);
        if ahead > 0 {
            (self.gone, self.sequence) = (ahead.unsigned_abs(), header.base_sequence);
            return Ok(None);
        }
        if self.source.is_empty() && !self.source_ended {
            return Ok(Some(Want::Source(self.source_next)));
        }
        let Some(batch) = self.target.pop_front() else { return Ok(None) };
        self.sequence = sequence_after(header.last_sequence(), 1);
        if let Some(base_offset) = self.passed(&batch)? {
            let records = header.record_count.unsigned_abs();
            self.source.pop_front();
            self.found.position = base_offset + i64::from(records);
            self.found.count += u64::from(records);
            self.piece(base_offset, header.base_offset, records);
            return Ok(None);
        }
        batch.verify()?;
        self.target_batch = Some(TargetBatch {
            reader: RecordReader::new(&batch, MOST_BYTES)?,
            base_offset: header.base_offset,
            span: u32::try_from(header.next_offset() - header.base_offset).unwrap_or(0),
            done: 0,
            times_replaced: header.timestamp_type() == TimestampType::LogAppendTime,
        });
        Ok(None)
    }

    /// Where the target's batch is the next one of the source, as it was: that one's base offset.
    fn passed(&self, target: &Batch) -> Result<Option<i64>, Lost> {
        let Some(Stored::Batch(source)) = self.source.front() else { return Ok(None) };
        let (header, written) = (source.header(), target.header());
        let whole = self.opened.is_none()
            && self.held.is_none()
            && self.manner.transforms.is_none()
            && header.is_contiguous()
            && header.base_offset >= self.found.position
            && header.record_count == written.record_count
            && header.size() == written.size()
            && self.left_out.range(header.base_offset..header.next_offset()).next().is_none();
        if !whole {
            return Ok(None);
        }
        let ProducerId { id, epoch } = self.producer;
        let (rewritten, _) = rewrite_header(source, id, epoch, written.base_sequence)?;
        let sum = wire::BatchHeader::parse(&rewritten)?.crc;
        Ok((sum == written.crc).then_some(header.base_offset))
    }

    /// The next record of the source that is copied, as it is written.
    fn next_source(&mut self) -> Result<Option<Held>, Lost> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        loop {
            let Some(opened) = &mut self.opened else {
                let Some(stored) = self.source.pop_front() else { return Ok(None) };
                self.opened = Some(open(&stored)?);
                continue;
            };
            let Some(record) = next_of(opened)? else {
                self.opened = None;
                continue;
            };
            if record.offset < self.found.position || self.left_out.contains(&record.offset) {
                continue;
            }
            if let Some(written) = self.transformed(record)? {
                // Those that are gone from the target are behind it too.
                self.found.position = if self.gone > 0 { written.offset + 1 } else { self.found.position };
                return Ok(Some(written));
            }
        }
    }

    fn transformed(&self, record: Held) -> Result<Option<Held>, Lost> {
        let Some(transforms) = self.manner.transforms else { return Ok(Some(record)) };
        let Held { offset, timestamp, body } = record;
        let mut scratch = Vec::new();
        let raw = RawRecord { offset, timestamp, attributes: 0, body: &body };
        let made = transforms.apply(raw, &mut scratch).map_err(|cause| CorruptBatch::Record {
            base_offset: offset,
            index: 0,
            what: cause.what,
        })?;
        Ok(made.map(|made| Held::of(&made.record)))
    }

    fn piece(&mut self, source: i64, target: i64, records: u32) {
        if let Some(last) = self.found.pieces.last_mut() {
            let behind = i64::from(last.records);
            if last.source + behind == source
                && last.target + behind == target
                && let Some(sum) = last.records.checked_add(records)
            {
                last.records = sum;
                return;
            }
        }
        self.found.pieces.push(Piece { source, target, records });
    }
}

/// Batches of an answer that a consumer gets records of, from an offset on, which is moved behind them.
pub(super) fn read(answer: FetchedPartition, next: &mut i64) -> Result<Vec<Stored>, CorruptBatch> {
    let mut aborted = Aborted::new(answer.aborted);
    let mut all = Vec::new();
    for cut in Batches::new(answer.records, MOST_BYTES) {
        let stored = cut?;
        let (copied, behind) = match &stored {
            Stored::Batch(batch) => {
                let header = batch.header();
                let aborted = aborted.includes(header);
                let plan = plan(header, *next, aborted, false, &Rules::default());
                (!matches!(plan, Plan::Drop(_)), header.next_offset())
            }
            Stored::Legacy(message) => (true, message.offset.saturating_add(1)),
        };
        if behind > *next {
            *next = behind;
            if copied {
                all.push(stored);
            }
        }
    }
    Ok(all)
}

pub(super) fn open(stored: &Stored) -> Result<Opened, CorruptBatch> {
    match stored {
        Stored::Batch(batch) => {
            batch.verify()?;
            Ok(Opened::Batch(RecordReader::new(batch, MOST_BYTES)?))
        }
        Stored::Legacy(message) => {
            let mut records = Vec::new();
            legacy_records(message, MOST_BYTES, |record| {
                records.push(Held::of(record));
                true
            })?;
            Ok(Opened::Legacy(records.into_iter()))
        }
    }
}

pub(super) fn next_of(opened: &mut Opened) -> Result<Option<Held>, CorruptBatch> {
    match opened {
        Opened::Batch(reader) => Ok(reader.next_record()?.map(|record| Held::of(&record))),
        Opened::Legacy(records) => Ok(records.next()),
    }
}

#[cfg(test)]
pub(super) mod tests;
