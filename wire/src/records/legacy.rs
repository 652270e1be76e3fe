//! Messages of the formats before 0.11 (magic 0 and 1), as records of today's.
//!
//! A message is, all numbers big-endian: offset (8 bytes), length of the rest (4), CRC-32 of what follows (4), magic, attributes, a
//! timestamp (8, magic 1 only), key and value, each behind its length (4; −1 for null). The value of a compressed one holds further messages,
//! and its offset is that of the last of them; with magic 1 their own offsets count from 0, with gaps where compaction removed some
//! (`LegacyRecord`, `AbstractLegacyRecordBatch`).

use std::io::Read;

use bytes::{Buf as _, Bytes};

use super::{codec::decompressing, reader::RawRecord, varint};
use crate::batch::{Codec, CorruptBatch, LegacyMessage};

/// Offset and length.
const PREFIX: usize = 12;
/// First byte that the CRC covers.
const SUMMED_FROM: usize = PREFIX + 4;
const CODEC_MASK: u8 = 0x07;
const LOG_APPEND_TIME: u8 = 0x08;
/// Kafka's `NO_TIMESTAMP`: what messages without one have after conversion.
const NO_TIMESTAMP: i64 = -1;
const OUT_OF_ORDER: &str = "has an offset out of order";

/// One message, read but for its value.
struct Message {
    offset: i64,
    magic: i8,
    attributes: u8,
    timestamp: i64,
    key: Option<Bytes>,
    value: Option<Bytes>,
}

/// Hands each record of a message to `each`, in order, until that says no more (false). Verifies the CRC of the message, and of each within.
/// A record of more than `most` bytes is refused.
///
/// # Errors
/// What is no message, does not match its CRC, or can't be decompressed.
pub fn legacy_records(
    message: &LegacyMessage,
    most: usize,
    mut each: impl FnMut(&RawRecord<'_>) -> bool,
) -> Result<(), CorruptBatch> {
    let outer = Message::parse(message.bytes.clone(), message.offset, 0)?;
    let codec = outer.codec()?;
    let mut body = Vec::new();
    if codec == Codec::None {
        outer.write_body(&mut body);
        each(&RawRecord { offset: outer.offset, timestamp: outer.timestamp, attributes: 0, body: &body });
        return Ok(());
    }
    let Some(value) = outer.value.clone() else { return Err(outer.bad(0, "is compressed and has no value")) };
    // Where relative offsets begin is known only from the last one.
    let mut base = 0;
    if outer.magic == 1 {
        let mut last = 0;
        inner(&outer, codec, value.clone(), most, |inner| {
            last = inner.offset;
            true
        })?;
        base = outer.offset.checked_sub(last).ok_or_else(|| outer.bad(0, OUT_OF_ORDER))?;
    }
    let (mut index, mut next, mut sound) = (0, 0, true);
    inner(&outer, codec, value, most, |inner| {
        // The wrapper's own is the last: what is beyond would take the copy beyond records that it has not seen.
        let offset = base.checked_add(inner.offset).filter(|offset| (next..=outer.offset).contains(offset));
        let Some(offset) = offset else {
            sound = false;
            return false;
        };
        (index, next) = (index + 1, offset.saturating_add(1));
        body.clear();
        inner.write_body(&mut body);
        let timestamp = if outer.attributes & LOG_APPEND_TIME == 0 { inner.timestamp } else { outer.timestamp };
        each(&RawRecord { offset, timestamp, attributes: 0, body: &body })
    })?;
    if sound { Ok(()) } else { Err(outer.bad(index, OUT_OF_ORDER)) }
}

/// The codec of a message, by which its records are to be compressed anew.
///
/// # Errors
/// What is no message.
pub fn legacy_codec(message: &LegacyMessage) -> Result<Codec, CorruptBatch> {
    Message::parse(message.bytes.clone(), message.offset, 0)?.codec()
}

fn inner(
    outer: &Message,
    codec: Codec,
    value: Bytes,
    most: usize,
    mut each: impl FnMut(&Message) -> bool,
) -> Result<(), CorruptBatch> {
    let payload = |cause: std::io::Error| CorruptBatch::Payload {
        base_offset: outer.offset,
        codec: codec.name(),
        cause: cause.to_string(),
    };
    // Producers before 0.10 summed the header of an LZ4 frame wrongly (KAFKA-3160).
    let value = if codec == Codec::Lz4 && outer.magic == 0 { with_right_descriptor_sum(value) } else { value };
    let mut stream = decompressing(codec, value).map_err(payload)?;
    let mut index = 0;
    loop {
        let mut prefix = Vec::with_capacity(PREFIX);
        stream.by_ref().take(PREFIX as u64).read_to_end(&mut prefix).map_err(payload)?;
        if prefix.is_empty() {
            return Ok(());
        }
        let mut fields = prefix.as_slice();
        let (Ok(offset), Ok(length)) = (fields.try_get_i64(), fields.try_get_i32()) else {
            return Err(outer.bad(index, "is cut off"));
        };
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= most) else {
            return Err(outer.bad(index, "is longer than a record may be"));
        };
        // By what comes, never by what is announced.
        stream.by_ref().take(length as u64).read_to_end(&mut prefix).map_err(payload)?;
        if prefix.len() < PREFIX + length {
            return Err(outer.bad(index, "is cut off"));
        }
        let message = Message::parse(prefix.into(), offset, index)?;
        if message.codec()? != Codec::None {
            return Err(outer.bad(index, "is compressed within a compressed one"));
        }
        if !each(&message) {
            return Ok(());
        }
        index += 1;
    }
}

impl Message {
    /// All bytes of a message, which says that it has this offset.
    fn parse(bytes: Bytes, offset: i64, index: i32) -> Result<Self, CorruptBatch> {
        let bad = |what| CorruptBatch::Record { base_offset: offset, index, what };
        let mut rest = bytes;
        if rest.len() < SUMMED_FROM + 2 {
            return Err(bad("is too short"));
        }
        let computed = crc32fast::hash(&rest[SUMMED_FROM..]);
        rest.advance(PREFIX);
        let stored = rest.get_u32();
        if stored != computed {
            return Err(CorruptBatch::Checksum { base_offset: offset, stored, computed });
        }
        let (magic, attributes) = (rest.get_i8(), rest.get_u8());
        let timestamp = match magic {
            0 => NO_TIMESTAMP,
            1 => rest.try_get_i64().map_err(|_| bad("is too short"))?,
            _ => return Err(CorruptBatch::Magic { base_offset: offset, magic }),
        };
        let key = bytes_of(&mut rest).ok_or_else(|| bad("has a key that is cut off"))?;
        let value = bytes_of(&mut rest).ok_or_else(|| bad("has a value that is cut off"))?;
        if !rest.is_empty() {
            return Err(bad("is followed by more bytes"));
        }
        Ok(Self { offset, magic, attributes, timestamp, key, value })
    }

    fn codec(&self) -> Result<Codec, CorruptBatch> {
        match self.attributes & CODEC_MASK {
            0 => Ok(Codec::None),
            1 => Ok(Codec::Gzip),
            2 => Ok(Codec::Snappy),
            3 => Ok(Codec::Lz4),
            other => {
                Err(CorruptBatch::Field { base_offset: self.offset, field: "compression codec", value: other.into() })
            }
        }
    }

    /// Key, value and no headers, as format 2 has them.
    fn write_body(&self, to: &mut Vec<u8>) {
        for part in [&self.key, &self.value] {
            match part {
                // Lengths were 32-bit numbers before.
                Some(bytes) => {
                    varint::write(to, i32::try_from(bytes.len()).unwrap_or(i32::MAX));
                    to.extend_from_slice(bytes);
                }
                None => varint::write(to, -1),
            }
        }
        varint::write(to, 0);
    }

    fn bad(&self, index: i32, what: &'static str) -> CorruptBatch {
        CorruptBatch::Record { base_offset: self.offset, index, what }
    }
}

/// Bytes behind their length, or null. None where they are cut off.
fn bytes_of(rest: &mut Bytes) -> Option<Option<Bytes>> {
    match rest.try_get_i32().ok()? {
        -1 => Some(None),
        length => {
            let length = usize::try_from(length).ok().filter(|length| *length <= rest.len())?;
            Some(Some(rest.split_to(length)))
        }
    }
}

/// An LZ4 frame whose descriptor has the sum that the format wants: they took in the frame's magic number as well.
fn with_right_descriptor_sum(frame: Bytes) -> Bytes {
    use std::hash::Hasher as _;

    const CONTENT_SIZE: u8 = 0x08;
    const FLAGS_AT: usize = 4;
    let Some(flags) = frame.get(FLAGS_AT) else { return frame };
    let sum_at = FLAGS_AT + 2 + if flags & CONTENT_SIZE == 0 { 0 } else { 8 };
    let mut bytes = frame.to_vec();
    let Some((descriptor, rest)) = bytes.split_at_mut_checked(sum_at) else { return frame };
    let mut hasher = twox_hash::XxHash32::with_seed(0);
    hasher.write(&descriptor[FLAGS_AT..]);
    if let Some(sum) = rest.first_mut() {
        *sum = (hasher.finish() >> 8) as u8;
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::records::{Levels, codec::Compressing};

    fn message(
        magic: i8,
        offset: i64,
        attributes: u8,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Vec<u8> {
        let mut summed = vec![magic.cast_unsigned(), attributes];
        if magic == 1 {
            summed.extend(timestamp.to_be_bytes());
        }
        for part in [key, value] {
            summed.extend(part.map_or(-1, |bytes| bytes.len() as i32).to_be_bytes());
            summed.extend(part.unwrap_or_default());
        }
        let crc = crc32fast::hash(&summed);
        [&offset.to_be_bytes()[..], &(summed.len() as i32 + 4).to_be_bytes(), &crc.to_be_bytes(), &summed].concat()
    }

    fn compressed(codec: Codec, messages: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Compressing::new(codec, Levels::default(), Vec::new()).unwrap();
        out.write_all(&messages.concat()).unwrap();
        out.finish().unwrap()
    }

    fn read(magic: i8, offset: i64, bytes: Vec<u8>) -> Result<Vec<(i64, i64, Vec<u8>)>, CorruptBatch> {
        let mut found = Vec::new();
        legacy_records(&LegacyMessage { offset, magic, bytes: bytes.into() }, 1 << 20, |record| {
            found.push((record.offset, record.timestamp, record.body.to_vec()));
            true
        })?;
        Ok(found)
    }

    #[test]
    fn a_message_is_a_record_without_headers() {
        let plain = message(1, 7, 0, 99, None, Some(b"v"));
        assert_eq!(read(1, 7, plain).unwrap(), [(7, 99, vec![1, 2, b'v', 0])]);
        let old = message(0, 7, 0, 0, Some(b""), None);
        assert_eq!(read(0, 7, old).unwrap(), [(7, -1, vec![0, 1, 0])]);
    }

    #[test]
    fn offsets_within_count_back_from_the_last() {
        for (id, codec) in [(1, Codec::Gzip), (2, Codec::Snappy), (3, Codec::Lz4)] {
            // Compaction took 0 and 2.
            let inner = [1, 3].map(|offset| message(1, offset, 0, 50 + offset, None, Some(b"v")));
            let times = |attributes| {
                let wrapper = message(1, 103, attributes, 60, None, Some(&compressed(codec, &inner)));
                read(1, 103, wrapper).unwrap().iter().map(|(offset, time, _)| (*offset, *time)).collect::<Vec<_>>()
            };
            assert_eq!(times(id), [(101, 51), (103, 53)], "{codec:?}");
            assert_eq!(times(id | LOG_APPEND_TIME), [(101, 60), (103, 60)], "{codec:?}");
            // Format 0 has them absolute.
            let inner = [101, 103].map(|offset| message(0, offset, 0, 0, None, Some(b"v")));
            let wrapper = message(0, 103, id, 0, None, Some(&compressed(codec, &inner)));
            let found = read(0, 103, wrapper).unwrap();
            assert_eq!(found.iter().map(|(offset, ..)| *offset).collect::<Vec<_>>(), [101, 103], "{codec:?}");
        }
    }

    #[test]
    fn offsets_within_ascend_to_that_of_the_wrapper() {
        let within = |offsets: &[i64], magic, last| {
            let inner: Vec<_> = offsets.iter().map(|offset| message(magic, *offset, 0, 50, None, Some(b"v"))).collect();
            let wrapper = message(magic, last, 1, 60, None, Some(&compressed(Codec::Gzip, &inner)));
            read(magic, last, wrapper).map(|found| found.len())
        };
        assert_eq!(within(&[5, 7], 0, 7), Ok(2));
        let cases: [(&[i64], i8, i64); 6] = [
            (&[7, 5], 0, 7),
            (&[7, 7], 0, 7),
            (&[5, 8], 0, 7),
            (&[-1, 7], 0, 7),
            (&[i64::MAX, 1], 1, 7),
            (&[0, i64::MIN], 1, 7),
        ];
        for (offsets, magic, last) in cases {
            let found = within(offsets, magic, last);
            let refused = matches!(found, Err(CorruptBatch::Record { what: OUT_OF_ORDER, .. }));
            assert!(refused, "{offsets:?}: {found:?}");
        }
    }

    #[test]
    fn a_wrong_descriptor_sum_of_old_lz4_is_forgiven() {
        let mut frame = compressed(Codec::Lz4, &[message(0, 5, 0, 0, None, Some(b"v"))]);
        frame[6] ^= 0xff;
        let wrapper = |magic| message(magic, 5, 3, 0, None, Some(&frame));
        assert_eq!(read(0, 5, wrapper(0)).unwrap().len(), 1);
        assert!(matches!(read(1, 5, wrapper(1)), Err(CorruptBatch::Payload { .. })));
    }

    #[test]
    fn damage_is_named() {
        let good = message(1, 7, 0, 99, Some(b"key"), Some(b"value"));
        let mut flipped = good.clone();
        flipped[30] ^= 1;
        assert!(matches!(read(1, 7, flipped), Err(CorruptBatch::Checksum { base_offset: 7, .. })));
        assert!(read(1, 7, good[..20].to_vec()).is_err());
        let within = compressed(Codec::Gzip, &[good[..good.len() - 1].to_vec()]);
        let wrapper = message(1, 7, 1, 0, None, Some(&within));
        assert!(matches!(read(1, 7, wrapper), Err(CorruptBatch::Record { what: "is cut off", .. })));
    }
}
