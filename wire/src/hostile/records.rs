//! The records of batches.

use std::io::Write as _;

use bytes::Bytes;

use super::{CODECS, MOST_RECORD, input::Input};
use crate::{
    batch::{Batch, Codec, HEADER_LEN, LegacyMessage, new_header},
    records::{BatchBuilder, Compressing, Levels, RecordBody, RecordReader, legacy_codec, legacy_records},
    small_topic,
};

/// So much is read of what a few bytes become: decompressing for hours finds nothing.
const MOST_READ: usize = 16 << 20;

/// A batch with a sound header around any payload, or around what any bytes compress to; likewise messages of the old formats.
pub fn records(data: &[u8]) {
    holds_records(data);
}

/// As [`records`]; tells whether there are records, and all of them can be read.
pub(super) fn holds_records(data: &[u8]) -> bool {
    let mut input = Input(data);
    let flags = input.byte();
    let codec = input.one_of(&CODECS);
    let compress = flags & 1 != 0;
    if flags & 2 != 0 {
        let magic = i8::from(flags & 4 != 0);
        let attributes = input.byte();
        let content = if flags & 8 != 0 { with_sums(input.0, magic) } else { input.0.to_vec() };
        let content = if compress { compressed(codec, &content) } else { content };
        let attributes = if compress { attributes & !7 | codec as u8 } else { attributes };
        let read = read_legacy(&legacy(magic, 1_000, attributes, &content));
        read_legacy(&legacy(magic, i64::MIN, attributes, &content));
        return read;
    }
    let count = if flags & 4 != 0 { i32::from(input.byte()) } else { i32::from(input.short()) << 8 };
    let last_offset_delta = i32::from(input.short());
    let (attributes, base_timestamp) = (input.byte(), input.long());
    let content = if compress { compressed(codec, input.0) } else { input.0.to_vec() };
    let mut bytes = [&[0; HEADER_LEN], &content[..]].concat();
    new_header(&mut bytes, codec, 5, base_timestamp, 7, count);
    bytes[23..27].copy_from_slice(&last_offset_delta.to_be_bytes());
    bytes[22] |= attributes & !7;
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    read_batch(&Batch::parse(bytes.into()).unwrap())
}

/// Reads all records of a batch that is sound by its sum; what is read to its end comes out of a new batch as it went in.
pub(super) fn read_batch(batch: &Batch) -> bool {
    let header = batch.header();
    if let Ok(found) = small_topic::records_of(batch) {
        assert!(found.len() <= header.record_count as usize);
    }
    let Ok(mut reader) = RecordReader::new(batch, MOST_RECORD) else { return false };
    let mut builder = BatchBuilder::new(header.codec().unwrap(), Levels::default(), usize::MAX);
    let (mut read, mut count, mut last) = (0, 0, header.base_offset - 1);
    let mut kept = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some(record)) => {
                assert!(record.offset > last && record.offset <= header.last_offset());
                assert!(record.body.len() <= MOST_RECORD);
                read_body(record.body);
                last = record.offset;
                count += 1;
                read += record.body.len();
                if read > MOST_READ {
                    return false;
                }
                assert!(builder.push(&record).unwrap().is_none());
                kept.push((record.timestamp, record.attributes, record.body.to_vec()));
            }
            Ok(None) => break,
            Err(_) => {
                // Whoever asks again gets no record either.
                let _ = reader.next_record();
                return false;
            }
        }
    }
    assert_eq!(count, header.record_count);
    let Some(built) = builder.close().unwrap() else {
        assert_eq!(count, 0);
        return false;
    };
    assert_eq!((built.last_offset, built.batch.verify()), (last, Ok(())));
    let mut reader = RecordReader::new(&built.batch, MOST_RECORD).unwrap();
    for (timestamp, attributes, body) in kept {
        let record = reader.next_record().unwrap().unwrap();
        assert_eq!((record.timestamp, record.attributes), (timestamp, attributes));
        assert!(record.body == body, "a body of {} bytes is another one", body.len());
    }
    assert!(reader.next_record() == Ok(None));
    true
}

/// What is read of a record's body is, written and read again, the same.
fn read_body(bytes: &[u8]) {
    let Ok(body) = RecordBody::parse(bytes) else { return };
    let Ok(headers) = body.headers() else { return };
    let mut written = Vec::new();
    body.write_with(&headers, &mut written).unwrap();
    let again = RecordBody::parse(&written).unwrap();
    assert!((again.key, again.value) == (body.key, body.value));
    assert!(again.headers().unwrap() == headers, "{} headers are other ones", headers.len());
}

pub(super) fn read_legacy(message: &LegacyMessage) -> bool {
    let mut read = 0;
    let mut count = 0;
    let done = legacy_records(message, MOST_RECORD, |record| {
        read += record.body.len();
        count += 1;
        read <= MOST_READ
    });
    if done.is_ok() && legacy_codec(message) == Ok(Codec::None) {
        assert_eq!(count, 1);
    }
    done.is_ok() && count > 0
}

pub(super) fn compressed(codec: Codec, content: &[u8]) -> Vec<u8> {
    let mut out = Compressing::new(codec, Levels::default(), Vec::new()).unwrap();
    out.write_all(content).unwrap();
    out.finish().unwrap()
}

fn legacy(magic: i8, offset: i64, attributes: u8, value: &[u8]) -> LegacyMessage {
    let mut bytes = offset.to_be_bytes().to_vec();
    let timestamp: &[u8] = if magic == 1 { &[0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0] } else { &[] };
    let length = (4 + 2 + timestamp.len() + 8 + value.len()) as u32;
    bytes.extend(length.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend([magic.cast_unsigned(), attributes]);
    bytes.extend(timestamp);
    bytes.extend((-1_i32).to_be_bytes());
    bytes.extend((value.len() as u32).to_be_bytes());
    bytes.extend(value);
    let crc = crc32fast::hash(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_be_bytes());
    LegacyMessage { offset, magic, bytes: Bytes::from(bytes) }
}

/// Messages one behind the other, each with the sum it should have: no fuzzer guesses sums.
fn with_sums(content: &[u8], magic: i8) -> Vec<u8> {
    let mut bytes = content.to_vec();
    let mut at = 0;
    while let Some(length) = bytes.get(at + 8..at + 12) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let Some(message) = bytes.get_mut(at + 12..(at + 12).saturating_add(length)).filter(|m| m.len() > 4) else {
            break;
        };
        message[4] = magic.cast_unsigned();
        let crc = crc32fast::hash(&message[4..]);
        message[..4].copy_from_slice(&crc.to_be_bytes());
        at += 12 + length;
    }
    bytes
}
