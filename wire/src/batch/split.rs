//! A Fetch response's records, cut into batches.

use std::iter::FusedIterator;

use bytes::Bytes;

use super::header::{LENGTH_END, MAGIC_AT};
use super::{Batch, CorruptBatch, HEADER_LEN};

/// Smallest length field of a message of format 0: CRC, magic, attributes, lengths of key and value.
const LEGACY_MIN: usize = 14;
/// Smallest length field of a batch of format 2.
const CURRENT_MIN: usize = HEADER_LEN - LENGTH_END;

/// What a partition's log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// A batch of format 2.
    Batch(Batch),
    /// A message of an older format, which brokers still keep where it was written before 0.11.
    Legacy(LegacyMessage),
}

/// A message of format 0 or 1, not looked into: it has to be decoded and written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyMessage {
    /// Its offset on the cluster it was fetched from; of a compressed one, the last offset it holds.
    pub offset: i64,
    /// 0 or 1.
    pub magic: i8,
    /// All bytes, offset and length included.
    pub bytes: Bytes,
}

/// Cuts the records of one partition of a Fetch response into batches, without a copy. A last batch that is cut off is
/// not handed out (brokers end a response anywhere; `FetchResponse.recordsSize`): [`Self::rest`] tells how many bytes
/// there were. Ends after an error, since nothing tells where the next batch would begin.
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
    max_batch_bytes: usize,
    failed: bool,
}

impl Batches {
    /// `max_batch_bytes`: what a batch may have at most, header included. A broker returns a first batch that is larger
    /// than the bytes asked for (KIP-74), so this is a limit of sense, not of the request.
    #[must_use]
    pub fn new(records: Bytes, max_batch_bytes: usize) -> Self {
        Self { rest: records, max_batch_bytes, failed: false }
    }

    /// Bytes not handed out: at the end, those of a batch that was cut off. Where no batch was whole, more bytes have
    /// to be asked for.
    #[must_use]
    pub fn rest(&self) -> usize {
        self.rest.len()
    }

    fn cut(&mut self) -> Result<Option<Stored>, CorruptBatch> {
        let Some((offset, length)) = self.rest.first_chunk::<LENGTH_END>().map(|head| {
            let [o0, o1, o2, o3, o4, o5, o6, o7, length @ ..] = *head;
            (i64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]), i32::from_be_bytes(length))
        }) else {
            return Ok(None);
        };
        let magic = self.rest.get(MAGIC_AT).map(|byte| byte.cast_signed());
        let min = match magic {
            Some(2) => CURRENT_MIN,
            // Too few bytes to know: the smaller one, so that nothing possible is refused.
            Some(0 | 1) | None => LEGACY_MIN,
            Some(magic) => return Err(CorruptBatch::Magic { base_offset: offset, magic }),
        };
        let max = self.max_batch_bytes.saturating_sub(LENGTH_END);
        let size = match usize::try_from(length) {
            Ok(size) if (min..=max).contains(&size) => size + LENGTH_END,
            _ => return Err(CorruptBatch::Length { base_offset: offset, length, min, max }),
        };
        let Some(magic) = magic.filter(|_| size <= self.rest.len()) else {
            return Ok(None);
        };
        if magic == 2 {
            let batch = Batch::parse(self.rest.slice(..size))?;
            self.rest = self.rest.slice(size..);
            return Ok(Some(Stored::Batch(batch)));
        }
        // Room for the offset behind it, as with format 2.
        if !(0..i64::MAX).contains(&offset) {
            return Err(CorruptBatch::Field { base_offset: offset, field: "offset", value: offset });
        }
        let bytes = self.rest.split_to(size);
        Ok(Some(Stored::Legacy(LegacyMessage { offset, magic, bytes })))
    }
}

impl Iterator for Batches {
    type Item = Result<Stored, CorruptBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let cut = self.cut();
        self.failed = cut.is_err();
        cut.transpose()
    }
}

impl FusedIterator for Batches {}
