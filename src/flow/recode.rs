//! Batches that have to be opened: what they hold, written anew. This takes processor time, so it runs beside the task that copies.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use wire::{
    Batch, BatchBuilder, Budget, Built, Codec, CorruptBatch, Levels, MalformedRecord, RawRecord, RecordReader, Stored,
    legacy_codec, legacy_records,
};

use super::plan::{MOST_BYTES, SMALL_BYTES};
use crate::transforms::{RecordTransforms, Transformed};

/// Small batches and messages of old formats are joined up to this, bytes. Measured: batches of 1 kB are copied five times as fast joined,
/// and it matters little to how many.
const JOINED_BYTES: usize = 256 * 1024;
/// Topics that are written side by side, each with a compressor. When there are more, those before are finished first.
const MOST_LANES: usize = 8;

/// Batches that stand one behind the other in the source.
#[derive(Debug)]
pub(crate) struct Recode {
    /// Next source offset to copy when this was asked for: what lies before it is left out.
    pub(crate) position: i64,
    pub(crate) batches: Vec<Stored>,
    /// Where the copy stands behind them.
    pub(crate) next: i64,
    pub(crate) manner: Manner,
    /// Records, by source offset, that the target does not take, and its words.
    pub(crate) poison: BTreeMap<i64, String>,
}

/// How it is written.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    /// What is done to each record.
    pub(crate) transforms: Option<Arc<RecordTransforms>>,
    /// Only where that chooses each record's topic.
    pub(crate) routing: Option<Routing>,
    /// The compression that all get; absent where each keeps its own.
    pub(crate) codec: Option<Codec>,
    pub(crate) levels: Levels,
    /// Whether small batches are joined.
    pub(crate) join: bool,
    /// Largest batch to write, bytes, unless a single record is larger.
    pub(crate) max_batch_bytes: usize,
}

/// Largest batches of topics, bytes, as far as they are known.
pub(crate) type TopicLimits = Arc<HashMap<Arc<str>, usize>>;

/// What is known of the topics that records choose.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routing {
    pub(crate) limits: TopicLimits,
    /// Source offsets before which a topic has its records, where that is not before the position.
    pub(crate) done_before: BTreeMap<Arc<str>, i64>,
}

/// What comes of it.
#[derive(Debug, Default)]
pub(crate) struct Rewritten {
    pub(crate) batches: Vec<Recoded>,
    /// The records that were met of those the target does not take.
    pub(crate) poison: Vec<Poison>,
}

/// Why nothing comes of it.
#[derive(Debug)]
pub(crate) enum RecodeError {
    /// The bytes are not what the source's producer wrote.
    Corrupt(CorruptBatch),
    /// What the target refuses can't be parked either.
    NotParked {
        /// Of the first record, in the source.
        offset: i64,
        /// The topic for such records.
        topic: String,
        /// Why not.
        cause: String,
    },
}

/// A new batch in the place of source offsets.
#[derive(Debug)]
pub(crate) struct Recoded {
    /// With the base offset of its first record in the source, and no producer.
    pub(crate) batch: Batch,
    /// Where it goes; absent where all go to one.
    pub(crate) topic: Option<Arc<str>>,
    /// How far each record's source offset is from the first's, where there are gaps.
    pub(crate) distances: Option<Box<[u32]>>,
    /// Where the copy stands when it is written: behind what the source has no record for. Where records choose their topics that may be no
    /// further than before.
    pub(crate) next: i64,
}

/// A record that the target does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Poison {
    /// In the source.
    pub(crate) offset: i64,
    /// ms since the epoch.
    pub(crate) timestamp: i64,
    /// Key, value and headers, as a batch has them.
    pub(crate) body: Vec<u8>,
    /// The target's words.
    pub(crate) reason: String,
}

impl Recode {
    /// Reads and writes all of it. What comes out counts as used by `budget`. One source batch makes one new batch, or several where it is
    /// too large for one; small ones and messages of old formats are joined. Where records choose their topics, all batches for one come
    /// before those for another, so that it is not turned to and fro between them: the copy moves on with those of the last topic only.
    pub(crate) fn run(mut self, budget: &Budget) -> Result<Rewritten, CorruptBatch> {
        let poison = std::mem::take(&mut self.poison);
        let (position, manner) = (self.position, &self.manner);
        let (scratch, done) = (Vec::new(), Rewritten::default());
        let mut out =
            Out { position, manner, scratch, done, begun: position, lanes: Vec::new(), open: None, poison, budget };
        for stored in &self.batches {
            match stored {
                Stored::Batch(batch) => {
                    batch.verify()?;
                    let header = batch.header();
                    let joins = manner.join && header.size() <= SMALL_BYTES;
                    out.begin(header.codec()?, joins, header.base_offset)?;
                    let mut reader = RecordReader::new(batch, MOST_BYTES)?;
                    while let Some(record) = reader.next_record()? {
                        out.push(&record, header.base_offset)?;
                    }
                }
                Stored::Legacy(message) => {
                    out.begin(legacy_codec(message)?, true, message.offset)?;
                    let mut failed = None;
                    legacy_records(message, MOST_BYTES, |record| {
                        failed = out.push(record, message.offset).err();
                        failed.is_none()
                    })?;
                    if let Some(cause) = failed {
                        return Err(cause);
                    }
                }
            }
        }
        out.end(position)?;
        out.finish(self.next);
        if let Some(last) = out.done.batches.last_mut() {
            last.next = self.next;
        }
        Ok(out.done)
    }
}

struct Out<'a> {
    position: i64,
    manner: &'a Manner,
    /// A transformed record.
    scratch: Vec<u8>,
    done: Rewritten,
    /// Where the copy stood before the first record of `lanes`.
    begun: i64,
    /// Topics of the records since then; one without a name where all go to one.
    lanes: Vec<Lane>,
    open: Option<Open>,
    poison: BTreeMap<i64, String>,
    budget: &'a Budget,
}

/// How what comes now is compressed, and whether it may be joined.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Open {
    codec: Codec,
    joins: bool,
}

struct Lane {
    topic: Option<Arc<str>>,
    /// Absent between batches that are not joined.
    builder: Option<BatchBuilder>,
    done: Vec<Recoded>,
}

impl Out<'_> {
    /// What comes now was compressed like this. It is joined with what came before if both may be.
    fn begin(&mut self, was: Codec, joins: bool, offset: i64) -> Result<(), CorruptBatch> {
        let open = Open { codec: self.manner.codec.unwrap_or(was), joins };
        if !joins || self.open != Some(open) {
            self.end(offset)?;
            self.open = Some(open);
        }
        Ok(())
    }

    fn push(&mut self, record: &RawRecord<'_>, offset: i64) -> Result<(), CorruptBatch> {
        if record.offset < self.position {
            return Ok(());
        }
        if let Some(reason) = self.poison.remove(&record.offset) {
            let RawRecord { offset, timestamp, body, .. } = *record;
            self.done.poison.push(Poison { offset, timestamp, body: body.to_vec(), reason });
            return Ok(());
        }
        let Some(open) = self.open else { return Ok(()) };
        let mut scratch = std::mem::take(&mut self.scratch);
        let outcome = match &self.manner.transforms {
            Some(transforms) => {
                transforms.apply(*record, &mut scratch).map_err(|cause| malformed(record, offset, cause))?
            }
            None => Some(Transformed { topic: Cow::Borrowed(""), record: *record }),
        };
        if let Some(Transformed { topic, record }) = outcome
            && let Some(lane) = self.lane(&topic, &record, open.codec, offset)?
        {
            let Lane { topic, builder, done } = &mut self.lanes[lane];
            let builder = builder.get_or_insert_with(|| self.manner.builder(open, topic.as_deref()));
            let closed = builder.push(&record).map_err(|cause| failed(open.codec, offset, &cause))?;
            done.extend(closed.map(|built| Recoded::of(built, topic.as_ref(), self.budget)));
        }
        self.scratch = scratch;
        Ok(())
    }

    /// The lane that a record takes; none if its topic has it already.
    fn lane(
        &mut self,
        topic: &str,
        record: &RawRecord<'_>,
        codec: Codec,
        offset: i64,
    ) -> Result<Option<usize>, CorruptBatch> {
        let Some(routing) = &self.manner.routing else {
            if self.lanes.is_empty() {
                self.lanes.push(Lane { topic: None, builder: None, done: Vec::new() });
            }
            return Ok(Some(0));
        };
        if routing.done_before.get(topic).is_some_and(|before| record.offset < *before) {
            return Ok(None);
        }
        if let Some(lane) = self.lanes.iter().position(|lane| lane.topic.as_deref() == Some(topic)) {
            return Ok(Some(lane));
        }
        if self.lanes.len() == MOST_LANES {
            self.close(codec, offset)?;
            self.finish(record.offset);
        }
        let known = routing.limits.get_key_value(topic).map(|(topic, _)| Arc::clone(topic));
        let topic = Some(known.unwrap_or_else(|| topic.into()));
        self.lanes.push(Lane { topic, builder: None, done: Vec::new() });
        Ok(Some(self.lanes.len() - 1))
    }

    fn end(&mut self, offset: i64) -> Result<(), CorruptBatch> {
        match self.open.take() {
            Some(open) => self.close(open.codec, offset),
            None => Ok(()),
        }
    }

    fn close(&mut self, codec: Codec, offset: i64) -> Result<(), CorruptBatch> {
        for Lane { topic, builder, done } in &mut self.lanes {
            if let Some(mut builder) = builder.take() {
                let closed = builder.close().map_err(|cause| failed(codec, offset, &cause))?;
                done.extend(closed.map(|built| Recoded::of(built, topic.as_ref(), self.budget)));
            }
        }
        Ok(())
    }

    /// Puts the batches of all lanes one behind the other. Before the last of them is written the copy stands where it began, since those of
    /// one lane may lie behind those of another; then at `next`.
    fn finish(&mut self, next: i64) {
        let begun = std::mem::replace(&mut self.begun, next);
        self.lanes.retain(|lane| !lane.done.is_empty());
        let is_single = self.lanes.len() < 2;
        for lane in self.lanes.drain(..) {
            let batches = lane.done.into_iter();
            let batches = batches.map(|batch| if is_single { batch } else { Recoded { next: begun, ..batch } });
            self.done.batches.extend(batches);
        }
        if let Some(last) = self.done.batches.last_mut().filter(|_| !is_single) {
            last.next = next;
        }
    }
}

impl Manner {
    fn builder(&self, open: Open, topic: Option<&str>) -> BatchBuilder {
        let limit = if open.joins { JOINED_BYTES } else { usize::MAX }.min(self.max_batch_bytes);
        let own = topic.zip(self.routing.as_ref()).and_then(|(topic, routing)| routing.limits.get(topic).copied());
        BatchBuilder::new(open.codec, self.levels, own.map_or(limit, |own| own.min(limit)))
    }
}

impl Recoded {
    fn of(built: Built, topic: Option<&Arc<str>>, budget: &Budget) -> Self {
        let Built { batch, last_offset, distances } = built;
        Self { batch: batch.counted(budget), topic: topic.cloned(), distances, next: last_offset + 1 }
    }
}

fn malformed(record: &RawRecord<'_>, base_offset: i64, cause: MalformedRecord) -> CorruptBatch {
    let index = i32::try_from(record.offset - base_offset).unwrap_or_default();
    CorruptBatch::Record { base_offset, index, what: cause.what }
}

fn failed(codec: Codec, base_offset: i64, cause: &std::io::Error) -> CorruptBatch {
    CorruptBatch::Payload { base_offset, codec: codec.name(), cause: cause.to_string() }
}
