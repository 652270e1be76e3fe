//! Record batches as bytes: read by their header, checked, and given a new header, never decompressed.
//!
//! A batch of format 2 (KIP-98) is a header of [`HEADER_LEN`] bytes and a payload: the records, compressed or not. All
//! numbers are big-endian:
//!
//! | bytes | field | | bytes | field |
//! |---|---|---|---|---|
//! | 0–7 | base offset | | 27–34 | base timestamp |
//! | 8–11 | length of all that follows | | 35–42 | max timestamp |
//! | 12–15 | partition leader epoch | | 43–50 | producer id |
//! | 16 | magic | | 51–52 | producer epoch |
//! | 17–20 | CRC-32C of bytes 21 to the end | | 53–56 | base sequence |
//! | 21–22 | attributes | | 57–60 | record count |
//! | 23–26 | last offset delta | | 61– | records |
//!
//! So whatever stands before byte 21 may be changed freely, and whatever stands behind needs a new checksum.

mod checksum;
mod header;
mod rewrite;
mod split;
#[cfg(test)]
mod tests;

pub(crate) use header::new_header;
pub use header::{Batch, BatchHeader, Codec, HEADER_LEN, TimestampType};
pub use rewrite::{rewrite_header, sequence_after};
pub use split::{Batches, LegacyMessage, Stored};

/// Bytes that are not the batch they claim to be, or a batch that may not be passed on as asked. Names the batch by
/// the offset its first 8 bytes give: an offset of the cluster it was fetched from. The caller, who knows them, adds
/// cluster, topic and partition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorruptBatch {
    /// Fewer or more bytes than the batch's own length says, or fewer than a header has.
    #[error("batch at offset {base_offset} has {actual} bytes where {expected} are needed")]
    Size {
        /// Base offset, or −1 where there are too few bytes to hold one.
        base_offset: i64,
        /// Bytes given.
        actual: usize,
        /// Bytes needed, header included.
        expected: usize,
    },
    /// The length field is impossible: negative, shorter than a header, or longer than the limit.
    #[error("batch at offset {base_offset} says {length} bytes follow its length field; {min} to {max} are possible")]
    Length {
        /// Base offset.
        base_offset: i64,
        /// The length field: bytes after it.
        length: i32,
        /// Smallest possible length for its magic.
        min: usize,
        /// Largest length the reader accepts.
        max: usize,
    },
    /// A format that no Kafka up to 4.1 writes.
    #[error("batch at offset {base_offset} has magic {magic}; 0, 1 and 2 exist")]
    Magic {
        /// Base offset.
        base_offset: i64,
        /// The byte at position 16.
        magic: i8,
    },
    /// A header field outside what it may hold.
    #[error("batch at offset {base_offset} has {field} {value}, which is impossible")]
    Field {
        /// Base offset.
        base_offset: i64,
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// The bytes are not those that were summed when the batch was written.
    #[error("batch at offset {base_offset} is corrupt: its CRC is {stored:#010x}, its bytes have {computed:#010x}")]
    Checksum {
        /// Base offset.
        base_offset: i64,
        /// CRC-32C in the header.
        stored: u32,
        /// CRC-32C of bytes 21 to the end.
        computed: u32,
    },
    /// The records can't be decompressed.
    #[error("batch at offset {base_offset} can't be decompressed ({codec}): {cause}")]
    Payload {
        /// Base offset.
        base_offset: i64,
        /// As `compression.type` names it.
        codec: &'static str,
        /// What the decompressor says.
        cause: String,
    },
    /// The records are not what the header says.
    #[error("record {index} of the batch at offset {base_offset} {what}")]
    Record {
        /// Base offset.
        base_offset: i64,
        /// How many records stand before it.
        index: i32,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Sound, but with a header that must not be passed on: a broker takes control batches from no client.
    #[error("batch at offset {base_offset} is {what}: it can't be passed on as it is")]
    NotPassable {
        /// Base offset.
        base_offset: i64,
        /// `a control batch`.
        what: &'static str,
    },
}
