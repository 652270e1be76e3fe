//! Batches that have to be opened: what they hold, written anew. This takes processor time, so it runs beside the task that copies.

use wire::{
    Batch, BatchBuilder, Budget, Codec, CorruptBatch, Levels, RecordReader, Stored, legacy_codec, legacy_records,
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
}

/// A new batch in the place of source offsets.
#[derive(Debug)]
pub(crate) struct Recoded {
    /// With the base offset of its first record in the source, and no producer.
    pub(crate) batch: Batch,
    /// Where the copy stands when it is written: behind what the source has no record for.
    pub(crate) next: i64,
}

impl Recode {
    /// Reads and writes all of it. What comes out counts as used by `budget`. One source batch makes one new batch, in the same codec;
    /// messages of old formats are joined.
    pub(crate) fn run(&self, budget: &Budget) -> Result<Vec<Recoded>, CorruptBatch> {
        let mut out = Out { position: self.position, done: Vec::new(), builder: None, budget };
        for stored in &self.batches {
            match stored {
                Stored::Batch(batch) => {
                    batch.verify()?;
                    let offset = batch.header().base_offset;
                    out.begin(batch.header().codec()?, None, offset)?;
                    let mut reader = RecordReader::new(batch, MOST_RECORD_BYTES)?;
                    while let Some(record) = reader.next_record()? {
                        out.push(&record, offset)?;
                    }
                    out.end(offset)?;
                    out.skip_to(batch.header().next_offset());
                }
                Stored::Legacy(message) => {
                    out.begin(legacy_codec(message)?, Some(JOINED_BYTES), message.offset)?;
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
    done: Vec<Recoded>,
    builder: Option<(Codec, Option<usize>, BatchBuilder)>,
    budget: &'a Budget,
}

impl Out<'_> {
    /// What comes now is written in this codec, and joined with what came before if both may be.
    fn begin(&mut self, codec: Codec, limit: Option<usize>, offset: i64) -> Result<(), CorruptBatch> {
        if self.builder.as_ref().is_some_and(|(was, joins, _)| (*was, *joins) == (codec, limit) && limit.is_some()) {
            return Ok(());
        }
        self.end(offset)?;
        let builder = BatchBuilder::new(codec, Levels::default(), limit.unwrap_or(usize::MAX));
        self.builder = Some((codec, limit, builder));
        Ok(())
    }

    fn push(&mut self, record: &wire::RawRecord<'_>, offset: i64) -> Result<(), CorruptBatch> {
        if record.offset < self.position {
            return Ok(());
        }
        let Some((codec, _, builder)) = &mut self.builder else { return Ok(()) };
        let closed = builder.push(record).map_err(|cause| failed(*codec, offset, &cause))?;
        self.keep(closed);
        Ok(())
    }

    fn end(&mut self, offset: i64) -> Result<(), CorruptBatch> {
        if let Some((codec, _, mut builder)) = self.builder.take() {
            let closed = builder.close().map_err(|cause| failed(codec, offset, &cause))?;
            self.keep(closed);
        }
        Ok(())
    }

    fn keep(&mut self, built: Option<wire::Built>) {
        if let Some(built) = built {
            self.done.push(Recoded { batch: built.batch.counted(self.budget), next: built.last_offset + 1 });
        }
    }

    fn skip_to(&mut self, next: i64) {
        if let Some(last) = self.done.last_mut() {
            last.next = last.next.max(next);
        }
    }
}

fn failed(codec: Codec, base_offset: i64, cause: &std::io::Error) -> CorruptBatch {
    CorruptBatch::Payload { base_offset, codec: codec.name(), cause: cause.to_string() }
}
