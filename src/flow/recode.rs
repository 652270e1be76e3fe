//! Batches that have to be opened: what they hold, written anew. This takes processor time, so it runs beside the task that copies.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use wire::{
    Batch, BatchBuilder, Budget, Built, Codec, CorruptBatch, Levels, MalformedRecord, RawRecord, RecordReader, Stored,
    legacy_codec, legacy_records,
};

use super::plan::SMALL_BYTES;
use crate::transforms::{RecordTransforms, Transformed};

/// Largest record believed in, bytes: Kafka's `socket.request.max.bytes`, beyond which no producer can have written one uncompressed.
const MOST_RECORD_BYTES: usize = 100 * 1024 * 1024;
/// Small batches and messages of old formats are joined up to this, bytes. Measured: batches of 1 kB are copied five times as fast joined,
/// and it matters little to how many.
const JOINED_BYTES: usize = 256 * 1024;

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
    pub(crate) limits: Option<TopicLimits>,
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
    /// Where the copy stands when it is written: behind what the source has no record for.
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
    /// too large for one; small ones and messages of old formats are joined. A batch ends where the next record goes to another topic.
    pub(crate) fn run(mut self, budget: &Budget) -> Result<Rewritten, CorruptBatch> {
        let poison = std::mem::take(&mut self.poison);
        let (position, manner) = (self.position, &self.manner);
        let (scratch, done) = (Vec::new(), Rewritten::default());
        let mut out = Out { position, manner, scratch, done, topic: None, open: None, poison, budget };
        for stored in &self.batches {
            match stored {
                Stored::Batch(batch) => {
                    batch.verify()?;
                    let header = batch.header();
                    let joins = manner.join && header.size() <= SMALL_BYTES;
                    out.begin(header.codec()?, joins, header.base_offset)?;
                    let mut reader = RecordReader::new(batch, MOST_RECORD_BYTES)?;
                    while let Some(record) = reader.next_record()? {
                        out.push(&record, header.base_offset)?;
                    }
                }
                Stored::Legacy(message) => {
                    out.begin(legacy_codec(message)?, true, message.offset)?;
                    let mut failed = None;
                    legacy_records(message, MOST_RECORD_BYTES, |record| {
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
    /// Of what is open, where records choose theirs.
    topic: Option<Arc<str>>,
    open: Option<Open>,
    poison: BTreeMap<i64, String>,
    budget: &'a Budget,
}

struct Open {
    codec: Codec,
    joins: bool,
    builder: BatchBuilder,
}

impl Out<'_> {
    /// What comes now was compressed like this. It is joined with what came before if both may be.
    fn begin(&mut self, was: Codec, joins: bool, offset: i64) -> Result<(), CorruptBatch> {
        let codec = self.manner.codec.unwrap_or(was);
        if joins && self.open.as_ref().is_some_and(|open| open.joins && open.codec == codec) {
            return Ok(());
        }
        self.end(offset)?;
        let builder = self.manner.builder(codec, joins, self.topic.as_deref());
        self.open = Some(Open { codec, joins, builder });
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
        let Some(open) = &mut self.open else { return Ok(()) };
        let failed = |cause| failed(open.codec, offset, &cause);
        let record = match &self.manner.transforms {
            Some(transforms) => {
                let outcome =
                    transforms.apply(*record, &mut self.scratch).map_err(|cause| malformed(record, offset, cause))?;
                let Some(Transformed { topic, record }) = outcome else { return Ok(()) };
                if let Some(limits) = &self.manner.limits
                    && self.topic.as_deref() != Some(&*topic)
                {
                    self.done.keep(open.builder.close().map_err(failed)?, self.topic.as_ref(), self.budget);
                    open.builder = self.manner.builder(open.codec, open.joins, Some(&topic));
                    let known = limits.get_key_value(&*topic).map(|(topic, _)| Arc::clone(topic));
                    self.topic = Some(known.unwrap_or_else(|| topic.into()));
                }
                record
            }
            None => *record,
        };
        let closed = open.builder.push(&record).map_err(failed)?;
        self.done.keep(closed, self.topic.as_ref(), self.budget);
        Ok(())
    }

    fn end(&mut self, offset: i64) -> Result<(), CorruptBatch> {
        if let Some(mut open) = self.open.take() {
            let closed = open.builder.close().map_err(|cause| failed(open.codec, offset, &cause))?;
            self.done.keep(closed, self.topic.as_ref(), self.budget);
        }
        Ok(())
    }
}

impl Manner {
    fn builder(&self, codec: Codec, joins: bool, topic: Option<&str>) -> BatchBuilder {
        let limit = if joins { JOINED_BYTES } else { usize::MAX }.min(self.max_batch_bytes);
        let own = topic.zip(self.limits.as_ref()).and_then(|(topic, limits)| limits.get(topic).copied());
        BatchBuilder::new(codec, self.levels, own.map_or(limit, |own| own.min(limit)))
    }
}

impl Rewritten {
    fn keep(&mut self, built: Option<Built>, topic: Option<&Arc<str>>, budget: &Budget) {
        if let Some(Built { batch, last_offset, distances }) = built {
            let batch = batch.counted(budget);
            self.batches.push(Recoded { batch, topic: topic.cloned(), distances, next: last_offset + 1 });
        }
    }
}

fn malformed(record: &RawRecord<'_>, base_offset: i64, cause: MalformedRecord) -> CorruptBatch {
    let index = i32::try_from(record.offset - base_offset).unwrap_or_default();
    CorruptBatch::Record { base_offset, index, what: cause.what }
}

fn failed(codec: Codec, base_offset: i64, cause: &std::io::Error) -> CorruptBatch {
    CorruptBatch::Payload { base_offset, codec: codec.name(), cause: cause.to_string() }
}
