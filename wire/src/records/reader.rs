//! The records of a batch, one after the other.

use std::io::{self, Read};

use bytes::Bytes;

use super::{codec::decompressing, varint};
use crate::batch::{Batch, BatchHeader, Codec, CorruptBatch, TimestampType};

/// What is decompressed at a time, bytes.
const WINDOW: usize = 64 * 1024;

/// A record: what another batch has to say anew of it, and the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// On the cluster it was read from.
    pub offset: i64,
    /// As consumers see it, ms since 1970: with LogAppendTime that of the batch.
    pub timestamp: i64,
    /// No flag has a meaning yet.
    pub attributes: i8,
    /// Key, value and headers, as they are stored.
    pub body: &'a [u8],
}

/// Reads the records of a batch of format 2.
pub struct RecordReader {
    header: BatchHeader,
    input: Input,
    most: usize,
    read: i32,
    last_delta: i32,
}

impl RecordReader {
    /// A reader of a batch whose CRC is right. A record of more than `most` bytes is refused, so that one alone can't fill memory.
    ///
    /// # Errors
    /// [`CorruptBatch::Field`] for a codec that is none, [`CorruptBatch::Payload`] if the compressed stream has no sound beginning.
    pub fn new(batch: &Batch, most: usize) -> Result<Self, CorruptBatch> {
        let header = *batch.header();
        let input = match header.codec()? {
            Codec::None => Input::Plain { bytes: batch.payload(), at: 0 },
            codec => {
                let reader = decompressing(codec, batch.payload()).map_err(|cause| payload(&header, &cause))?;
                Input::Stream { reader, buffer: Vec::new(), at: 0, end: 0 }
            }
        };
        Ok(Self { header, input, most, read: 0, last_delta: -1 })
    }

    /// The next record; none after the last that the header counts.
    ///
    /// # Errors
    /// [`CorruptBatch::Payload`] for what can't be decompressed, [`CorruptBatch::Record`] for what is no record. After an error there
    /// is nothing more to be read.
    pub fn next_record(&mut self) -> Result<Option<RawRecord<'_>>, CorruptBatch> {
        if self.read == self.header.record_count {
            return if self.fill(1)? { Err(self.bad("is followed by more bytes")) } else { Ok(None) };
        }
        self.fill(varint::MOST)?;
        let Some((length, prefix)) = varint::read(self.input.rest()) else {
            return Err(self.bad("has no length"));
        };
        let Ok(length) = usize::try_from(length) else {
            return Err(self.bad("has a negative length"));
        };
        if length > self.most {
            return Err(self.bad("is longer than a record may be"));
        }
        if !self.fill(prefix + length)? {
            return Err(self.bad("is cut off"));
        }
        let record = &self.input.rest()[prefix..prefix + length];
        let fields = record.split_first().and_then(|(attributes, rest)| {
            let (timestamp, first) = varint::read_long(rest)?;
            let (offset, second) = varint::read(&rest[first..])?;
            Some((attributes.cast_signed(), timestamp, offset, 1 + first + second))
        });
        let Some((attributes, timestamp_delta, offset_delta, body)) = fields else {
            return Err(self.bad("is too short"));
        };
        if offset_delta <= self.last_delta || offset_delta > self.header.last_offset_delta {
            return Err(self.bad("has an offset out of order"));
        }
        self.last_delta = offset_delta;
        self.read += 1;
        let timestamp = match self.header.timestamp_type() {
            TimestampType::LogAppendTime => self.header.max_timestamp,
            // A delete horizon in its place (KIP-534) is what the deltas of such a batch count from. Overflow is as in Java.
            TimestampType::CreateTime => self.header.base_timestamp.wrapping_add(timestamp_delta),
        };
        let offset = self.header.base_offset + i64::from(offset_delta);
        let body = &self.input.take(prefix + length)[prefix + body..];
        Ok(Some(RawRecord { offset, timestamp, attributes, body }))
    }

    fn fill(&mut self, count: usize) -> Result<bool, CorruptBatch> {
        self.input.fill(count).map_err(|cause| payload(&self.header, &cause))
    }

    fn bad(&self, what: &'static str) -> CorruptBatch {
        CorruptBatch::Record { base_offset: self.header.base_offset, index: self.read, what }
    }
}

impl std::fmt::Debug for RecordReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordReader").field("header", &self.header).field("read", &self.read).finish_non_exhaustive()
    }
}

fn payload(header: &BatchHeader, cause: &io::Error) -> CorruptBatch {
    let codec = header.codec().map_or("none", Codec::name);
    CorruptBatch::Payload { base_offset: header.base_offset, codec, cause: cause.to_string() }
}

/// Bytes to be read, in memory or as they come.
enum Input {
    Plain { bytes: Bytes, at: usize },
    Stream { reader: Box<dyn Read + Send>, buffer: Vec<u8>, at: usize, end: usize },
}

impl Input {
    /// What is there and not taken.
    fn rest(&self) -> &[u8] {
        match self {
            Self::Plain { bytes, at } => &bytes[*at..],
            Self::Stream { buffer, at, end, .. } => &buffer[*at..*end],
        }
    }

    /// So many bytes of [`Self::rest`], which has them.
    fn take(&mut self, count: usize) -> &[u8] {
        match self {
            Self::Plain { bytes, at } => {
                *at += count;
                &bytes[*at - count..*at]
            }
            Self::Stream { buffer, at, .. } => {
                *at += count;
                &buffer[*at - count..*at]
            }
        }
    }

    /// Reads on until so many bytes are there. False if the end comes before.
    fn fill(&mut self, count: usize) -> io::Result<bool> {
        let Self::Stream { reader, buffer, at, end } = self else {
            return Ok(self.rest().len() >= count);
        };
        while *end - *at < count {
            if *end == buffer.len() && *at > 0 {
                buffer.copy_within(*at..*end, 0);
                (*at, *end) = (0, *end - *at);
            }
            if *end == buffer.len() {
                // By what has come, never by what is announced.
                buffer.resize((2 * buffer.len()).max(WINDOW), 0);
            }
            match reader.read(&mut buffer[*end..]) {
                Ok(0) => return Ok(false),
                Ok(read) => *end += read,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(true)
    }
}
