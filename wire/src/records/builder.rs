//! New batches out of records.

use std::io::{self, Write as _};

use bytes::Bytes;

use super::{
    codec::{Compressing, Levels},
    reader::RawRecord,
    varint,
};
use crate::batch::{Batch, Codec, CorruptBatch, HEADER_LEN, new_header};

/// Writes records into batches of a limited size.
///
/// A batch is closed before the record with which it might become larger than the limit. Whether it might is known without guessing: what has
/// been flushed out of the compressor is there to be counted, and what was written since can't take more than a little above its own length.
#[derive(Debug)]
pub struct BatchBuilder {
    codec: Codec,
    levels: Levels,
    limit: usize,
    open: Option<Open>,
    /// A record on its way.
    record: Vec<u8>,
}

/// A new batch, and where its records are from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its base offset is that of its first record; there are no gaps. It has no producer id.
    pub batch: Batch,
    /// Offset of the last record, on the cluster it was read from.
    pub last_offset: i64,
    /// How far each record's offset was from the first's on that cluster; absent where there were no gaps.
    pub distances: Option<Box<[u32]>>,
}

struct Open {
    out: Compressing,
    first: RawRecord<'static>,
    last_offset: i64,
    max_timestamp: i64,
    records: i32,
    /// Of each record; empty while there is no gap.
    distances: Vec<u32>,
    /// Bytes since the last flush, uncompressed.
    unflushed: usize,
    /// Bytes that were out at the last flush.
    flushed: usize,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("first", &self.first).field("records", &self.records).finish_non_exhaustive()
    }
}

impl BatchBuilder {
    /// For batches of up to `limit` bytes, header included. A record too large for that makes a batch of its own that exceeds it.
    #[must_use]
    pub fn new(codec: Codec, levels: Levels, limit: usize) -> Self {
        Self { codec, levels, limit, open: None, record: Vec::new() }
    }

    /// Adds a record. Returns the batch that had to be closed before it.
    ///
    /// # Errors
    /// What the compressor says: it has no memory.
    pub fn push(&mut self, record: &RawRecord<'_>) -> io::Result<Option<Built>> {
        let length = record.body.len() + LONGEST_FRAME;
        let full = match &mut self.open {
            Some(open) => !open.reaches(record) || !open.has_room(self.codec, length, self.limit)?,
            None => false,
        };
        let closed = if full { self.close()? } else { None };
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(Open::new(self.codec, self.levels, record)?),
        };
        open.write(record, &mut self.record)?;
        Ok(closed)
    }

    /// The batch that is open, if any.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn close(&mut self) -> io::Result<Option<Built>> {
        self.open.take().map(|open| open.close(self.codec)).transpose()
    }
}

/// Most bytes of a record before its body: length, attributes, delta of time, delta of offset.
const LONGEST_FRAME: usize = 5 + 1 + 10 + 5;

/// The most that so many bytes can become.
fn bound(codec: Codec, bytes: usize) -> usize {
    match codec {
        Codec::None => bytes,
        // `max_compress_len` of each block.
        Codec::Snappy => bytes + bytes / 6 + (bytes / 1024 + 1) * 36,
        Codec::Gzip | Codec::Lz4 | Codec::Zstd => bytes + bytes / 128 + 128,
    }
}

impl Open {
    fn new(codec: Codec, levels: Levels, first: &RawRecord<'_>) -> io::Result<Self> {
        let out = Compressing::new(codec, levels, vec![0; HEADER_LEN])?;
        let flushed = out.written();
        Ok(Self {
            out,
            first: RawRecord { body: &[], ..*first },
            last_offset: first.offset,
            max_timestamp: first.timestamp,
            records: 0,
            distances: Vec::new(),
            unflushed: 0,
            flushed,
        })
    }

    fn has_room(&mut self, codec: Codec, length: usize, limit: usize) -> io::Result<bool> {
        if self.flushed + bound(codec, self.unflushed + length) > limit && self.unflushed > 0 {
            self.out.flush()?;
            (self.flushed, self.unflushed) = (self.out.written(), 0);
        }
        Ok(self.flushed + bound(codec, length) <= limit)
    }

    /// Whether the record's distances from the first can be told.
    fn reaches(&self, record: &RawRecord<'_>) -> bool {
        self.records < i32::MAX && record.offset > self.last_offset && self.distance(record).is_some()
    }

    fn distance(&self, record: &RawRecord<'_>) -> Option<u32> {
        u32::try_from(record.offset - self.first.offset).ok()
    }

    fn write(&mut self, record: &RawRecord<'_>, scratch: &mut Vec<u8>) -> io::Result<()> {
        scratch.clear();
        scratch.push(record.attributes.cast_unsigned());
        // Overflow is as in Java, and undone by whoever reads it.
        varint::write_long(scratch, record.timestamp.wrapping_sub(self.first.timestamp));
        varint::write(scratch, self.records);
        let length = i32::try_from(scratch.len() + record.body.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let fields = scratch.len();
        varint::write(scratch, length);
        self.out.write_all(&scratch[fields..])?;
        self.out.write_all(&scratch[..fields])?;
        self.out.write_all(record.body)?;
        let distance = self.distance(record).unwrap_or_default();
        let records = self.records.cast_unsigned();
        if !self.distances.is_empty() || distance != records {
            if self.distances.is_empty() {
                self.distances.extend(0..records);
            }
            self.distances.push(distance);
        }
        self.unflushed += scratch.len() + record.body.len();
        self.records += 1;
        self.last_offset = record.offset;
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        Ok(())
    }

    fn close(self, codec: Codec) -> io::Result<Built> {
        let mut bytes = self.out.finish()?;
        new_header(&mut bytes, codec, self.first.offset, self.first.timestamp, self.max_timestamp, self.records);
        let batch = Batch::parse(Bytes::from(bytes)).map_err(|cause: CorruptBatch| io::Error::other(cause))?;
        let distances = (!self.distances.is_empty()).then(|| self.distances.into_boxed_slice());
        Ok(Built { batch, last_offset: self.last_offset, distances })
    }
}
