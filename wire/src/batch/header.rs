//! The 61 bytes that say all about a batch but its records.

use bytes::Bytes;

use super::CorruptBatch;
use crate::memory::Budget;

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;
/// Bytes up to and with the length field: what that field does not count.
pub(super) const LENGTH_END: usize = 12;
/// Where the magic byte stands, in every format.
pub(super) const MAGIC_AT: usize = 16;
/// Where the CRC stands; it covers everything behind itself.
pub(super) const CRC_AT: usize = 17;
/// First byte that the CRC covers.
pub(super) const SUMMED_FROM: usize = 21;

const CODEC_MASK: i16 = 0x07;
const TIMESTAMP_TYPE: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;

/// How a batch's records are compressed (`CompressionType.java`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// snappy, in the framing of snappy-java.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard; needs Fetch 10 and Produce 7 (KIP-110).
    Zstd,
}

impl Codec {
    /// The name that `compression.type` uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The number it has in a batch's attributes.
    fn id(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }
}

/// What the timestamps of a batch mean (KIP-32).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// Each record has the time its producer gave it.
    CreateTime,
    /// All records have the batch's max timestamp: when the broker appended them.
    LogAppendTime,
}

/// The header of a batch of format 2, checked so far that no accessor can overflow. Offsets are of the cluster the
/// batch was read from; times are milliseconds since 1970, −1 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record as it was produced; compaction may have removed that record since.
    pub base_offset: i64,
    /// Bytes after the length field, so 12 fewer than the batch has.
    pub batch_length: i32,
    /// Leader epoch at which the batch was appended; −1 before the leader has set it.
    pub partition_leader_epoch: i32,
    /// CRC-32C of bytes 21 to the end, as stored.
    pub crc: u32,
    /// Flags, read by the methods below.
    pub attributes: i16,
    /// Last offset minus base offset, as produced: compaction leaves it.
    pub last_offset_delta: i32,
    /// The first record's time, or the delete horizon ([`Self::delete_horizon`]).
    pub base_timestamp: i64,
    /// The greatest time of a record, or the time of the append ([`Self::timestamp_type`]).
    pub max_timestamp: i64,
    /// −1 for a producer that is not idempotent.
    pub producer_id: i64,
    /// −1 for a producer that is not idempotent.
    pub producer_epoch: i16,
    /// Sequence of the first record; −1 for none.
    pub base_sequence: i32,
    /// Records the batch holds now: fewer than it spans after compaction, and 0 for one kept only for its producer's
    /// state.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// Too few bytes, a magic other than 2, or a field that can't be: offsets or counts below 0 or beyond 2^63.
    pub fn parse(bytes: &[u8]) -> Result<Self, CorruptBatch> {
        let Some(raw) = bytes.first_chunk::<HEADER_LEN>() else {
            let base_offset = bytes.first_chunk::<8>().map_or(-1, |b| i64::from_be_bytes(*b));
            return Err(CorruptBatch::Size { base_offset, actual: bytes.len(), expected: HEADER_LEN });
        };
        let base_offset = i64::from_be_bytes(at(raw, 0));
        let [magic] = at::<1>(raw, MAGIC_AT);
        if magic != 2 {
            return Err(CorruptBatch::Magic { base_offset, magic: magic.cast_signed() });
        }
        let header = Self {
            base_offset,
            batch_length: i32::from_be_bytes(at(raw, 8)),
            partition_leader_epoch: i32::from_be_bytes(at(raw, LENGTH_END)),
            crc: u32::from_be_bytes(at(raw, CRC_AT)),
            attributes: i16::from_be_bytes(at(raw, SUMMED_FROM)),
            last_offset_delta: i32::from_be_bytes(at(raw, 23)),
            base_timestamp: i64::from_be_bytes(at(raw, 27)),
            max_timestamp: i64::from_be_bytes(at(raw, 35)),
            producer_id: i64::from_be_bytes(at(raw, 43)),
            producer_epoch: i16::from_be_bytes(at(raw, 51)),
            base_sequence: i32::from_be_bytes(at(raw, 53)),
            record_count: i32::from_be_bytes(at(raw, 57)),
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), CorruptBatch> {
        let base_offset = self.base_offset;
        let bad = |field, value| Err(CorruptBatch::Field { base_offset, field, value });
        if self.last_offset_delta < 0 {
            return bad("last offset delta", self.last_offset_delta.into());
        }
        if self.record_count < 0 {
            return bad("record count", self.record_count.into());
        }
        // Room for next_offset, one past the last.
        if base_offset < 0 || base_offset > i64::MAX - 1 - i64::from(self.last_offset_delta) {
            return bad("base offset", base_offset);
        }
        Ok(())
    }

    /// All of the batch, bytes: what a broker compares with `max.message.bytes`.
    #[must_use]
    pub fn size(&self) -> usize {
        usize::try_from(self.batch_length).unwrap_or_default() + LENGTH_END
    }

    /// Offset of the last record, as it was produced.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// Where to go on reading: the offset after the last.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    /// Sequence of the last record, −1 for none. Counts offsets, not records left, as `DefaultRecordBatch.lastSequence`
    /// does.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        super::sequence_after(self.base_sequence, self.last_offset_delta)
    }

    /// Whether every offset from base to last has its record. A broker refuses a produced batch that has gaps
    /// (`LogValidator`: "Inconsistent batch offset range").
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        i64::from(self.last_offset_delta) + 1 == i64::from(self.record_count)
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// One of the three numbers that stand for no codec yet.
    pub fn codec(&self) -> Result<Codec, CorruptBatch> {
        match self.attributes & CODEC_MASK {
            0 => Ok(Codec::None),
            1 => Ok(Codec::Gzip),
            2 => Ok(Codec::Snappy),
            3 => Ok(Codec::Lz4),
            4 => Ok(Codec::Zstd),
            other => Err(CorruptBatch::Field {
                base_offset: self.base_offset,
                field: "compression codec",
                value: other.into(),
            }),
        }
    }

    /// What [`Self::max_timestamp`] and the records' times mean.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & TIMESTAMP_TYPE == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }

    /// Written within a transaction: its data or its marker.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(super) fn attributes_outside_transactions(&self) -> i16 {
        self.attributes & !TRANSACTIONAL
    }

    /// A marker of the broker's, such as the end of a transaction: no data of anybody's.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// When the log cleaner may drop the batch's tombstones, in milliseconds since 1970 (KIP-534). Where there is one
    /// it stands in the base timestamp's place, and the records' times count from it.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }
}

/// One whole batch of format 2, header and records. Cloning is cheap; a batch cut from a Fetch response keeps all of
/// that response's bytes alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// Takes `bytes` as exactly one batch. Does not sum them: see [`Self::verify`].
    ///
    /// # Errors
    /// What [`BatchHeader::parse`] refuses, and a length field that does not match the bytes.
    pub fn parse(bytes: Bytes) -> Result<Self, CorruptBatch> {
        let header = BatchHeader::parse(&bytes)?;
        // Counted in 64 bits, where no length field can overflow.
        if i64::try_from(bytes.len()).ok() != Some(i64::from(header.batch_length) + LENGTH_END as i64) {
            return Err(CorruptBatch::Size {
                base_offset: header.base_offset,
                actual: bytes.len(),
                expected: usize::try_from(header.batch_length).map_or(HEADER_LEN, |length| length + LENGTH_END),
            });
        }
        Ok(Self { header, bytes })
    }

    /// The header, read.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All bytes: header and records.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The records, compressed as they came, without a copy.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(HEADER_LEN..)
    }

    /// The same batch, its bytes counted until it and all slices of it are dropped.
    #[must_use]
    pub fn counted(self, budget: &Budget) -> Self {
        Self { header: self.header, bytes: budget.count(self.bytes) }
    }

    /// Sums the batch: one pass over its bytes.
    ///
    /// # Errors
    /// [`CorruptBatch::Checksum`] with both sums.
    pub fn verify(&self) -> Result<(), CorruptBatch> {
        let computed = crc32c::crc32c(&self.bytes[SUMMED_FROM..]);
        if computed == self.header.crc {
            return Ok(());
        }
        Err(CorruptBatch::Checksum { base_offset: self.header.base_offset, stored: self.header.crc, computed })
    }
}

/// Writes the header of a batch without gaps and without a producer over the first bytes of `batch`, whose records stand behind them.
pub(crate) fn new_header(
    batch: &mut [u8],
    codec: Codec,
    base_offset: i64,
    base_timestamp: i64,
    max_timestamp: i64,
    records: i32,
) {
    // Parsing finds a length that is none.
    let length = i32::try_from(batch.len()).map_or(-1, |length| length - LENGTH_END as i32);
    let mut put = |at: usize, bytes: &[u8]| batch[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &base_offset.to_be_bytes());
    put(8, &length.to_be_bytes());
    put(LENGTH_END, &(-1_i32).to_be_bytes());
    put(MAGIC_AT, &[2]);
    put(SUMMED_FROM, &codec.id().to_be_bytes());
    put(23, &(records - 1).to_be_bytes());
    put(27, &base_timestamp.to_be_bytes());
    put(35, &max_timestamp.to_be_bytes());
    put(43, &(-1_i64).to_be_bytes());
    put(51, &(-1_i16).to_be_bytes());
    put(53, &(-1_i32).to_be_bytes());
    put(57, &records.to_be_bytes());
    let crc = crc32c::crc32c(&batch[SUMMED_FROM..]);
    batch[CRC_AT..SUMMED_FROM].copy_from_slice(&crc.to_be_bytes());
}

/// `N` bytes of a header from `from` on: in bounds for every field of it.
fn at<const N: usize>(raw: &[u8; HEADER_LEN], from: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&raw[from..from + N]);
    field
}
