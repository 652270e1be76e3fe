//! Batches that have to be opened: what they hold, written anew. This takes processor time, so it runs beside the task that copies.

use std::collections::BTreeMap;

use wire::{
    Batch, BatchBuilder, Budget, Built, Codec, CorruptBatch, Levels, RawRecord, RecordReader, Stored, legacy_codec,
    legacy_records,
};

/// Largest record believed in, bytes: Kafka's `socket.request.max.bytes`, beyond which no producer can have written one uncompressed.
const MOST_RECORD_BYTES: usize = 100 * 1024 * 1024;
/// Messages of old formats are joined up to this, bytes: Kafka's default `max.message.bytes` is 12 more.
const JOINED_BYTES: usize = 1024 * 1024;

/// Batches that stand one behind the other in the source.
#[derive(Debug)]
pub(crate) struct Recode {
    /// Next source offset to copy when this was asked for: what lies before it is left out.
    pub(crate) position: i64,
    pub(crate) batches: Vec<Stored>,
    /// Where the copy stands behind them.
    pub(crate) next: i64,
    /// Largest batch to write, bytes, unless a single record is larger.
    pub(crate) max_batch_bytes: usize,
    /// Records, by source offset, that the target does not take, and its words.
    pub(crate) poison: BTreeMap<i64, String>,
}

/// What comes of it.
#[derive(Debug, Default)]
pub(crate) struct Rewritten {
    pub(crate) batches: Vec<Recoded>,
    /// The records that were met of those the target does not take.
    pub(crate) poison: Vec<Poison>,
}

/// A new batch in the place of source offsets.
#[derive(Debug)]
pub(crate) struct Recoded {
    /// With the base offset of its first record in the source, and no producer.
    pub(crate) batch: Batch,
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
    /// Reads and writes all of it. What comes out counts as used by `budget`. One source batch makes one new batch, in the same codec, or
    /// several where it is too large for one; messages of old formats are joined.
    pub(crate) fn run(mut self, budget: &Budget) -> Result<Rewritten, CorruptBatch> {
        let poison = std::mem::take(&mut self.poison);
        let mut out = Out { position: self.position, done: Rewritten::default(), builder: None, poison, budget };
        for stored in &self.batches {
            match stored {
                Stored::Batch(batch) => {
                    batch.verify()?;
                    let offset = batch.header().base_offset;
                    out.begin(batch.header().codec()?, self.max_batch_bytes, offset, false)?;
                    let mut reader = RecordReader::new(batch, MOST_RECORD_BYTES)?;
                    while let Some(record) = reader.next_record()? {
                        out.push(&record, offset)?;
                    }
                    out.end(offset)?;
                    out.skip_to(batch.header().next_offset());
                }
                Stored::Legacy(message) => {
                    let limit = JOINED_BYTES.min(self.max_batch_bytes);
                    out.begin(legacy_codec(message)?, limit, message.offset, true)?;
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
        out.end(self.position)?;
        Ok(out.done)
    }
}

struct Out<'a> {
    position: i64,
    done: Rewritten,
    builder: Option<(Codec, BatchBuilder)>,
    poison: BTreeMap<i64, String>,
    budget: &'a Budget,
}

impl Out<'_> {
    /// What comes now is written in this codec, and joined with what came before if that is the same.
    fn begin(&mut self, codec: Codec, limit: usize, offset: i64, joins: bool) -> Result<(), CorruptBatch> {
        if joins && self.builder.as_ref().is_some_and(|(was, _)| *was == codec) {
            return Ok(());
        }
        self.end(offset)?;
        self.builder = Some((codec, BatchBuilder::new(codec, Levels::default(), limit)));
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
        let Some((codec, builder)) = &mut self.builder else { return Ok(()) };
        let closed = builder.push(record).map_err(|cause| failed(*codec, offset, &cause))?;
        self.keep(closed);
        Ok(())
    }

    fn end(&mut self, offset: i64) -> Result<(), CorruptBatch> {
        if let Some((codec, mut builder)) = self.builder.take() {
            let closed = builder.close().map_err(|cause| failed(codec, offset, &cause))?;
            self.keep(closed);
        }
        Ok(())
    }

    fn keep(&mut self, built: Option<Built>) {
        if let Some(Built { batch, last_offset, distances }) = built {
            let batch = batch.counted(self.budget);
            self.done.batches.push(Recoded { batch, distances, next: last_offset + 1 });
        }
    }

    fn skip_to(&mut self, next: i64) {
        if let Some(last) = self.done.batches.last_mut() {
            last.next = last.next.max(next);
        }
    }
}

fn failed(codec: Codec, base_offset: i64, cause: &std::io::Error) -> CorruptBatch {
    CorruptBatch::Payload { base_offset, codec: codec.name(), cause: cause.to_string() }
}
