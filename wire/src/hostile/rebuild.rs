//! Records of any kind, written and read.

use super::{CODECS, input::Input};
use crate::{
    batch::HEADER_LEN,
    records::{BatchBuilder, Built, Levels, RawRecord, RecordReader},
};

const TIMES: [i64; 6] = [-1, 0, i64::MIN, i64::MAX, 1_700_000_000_000, 1_700_000_000_001];

struct Owned {
    offset: i64,
    timestamp: i64,
    attributes: i8,
    body: Vec<u8>,
}

/// Any records into batches of any limit and codec: each holds its part of them, in order and unchanged, and keeps the limit.
pub fn rebuild(data: &[u8]) {
    let mut input = Input(data);
    let codec = input.one_of(&CODECS);
    let levels = Levels { gzip: 1 + u32::from(input.byte()) % 9, zstd: i32::from(input.byte()) % 8 };
    let limit = match input.short() {
        0 => usize::MAX,
        limit => usize::from(limit) * 16,
    };
    let mut offset = input.long() & (i64::MAX >> 1);
    let mut records = Vec::new();
    while !input.is_empty() && records.len() < 1_000 {
        let flags = input.byte();
        offset += 1 + i64::from(flags >> 6);
        let timestamp = if flags & 1 == 0 { input.one_of(&TIMES) } else { input.long() };
        let attributes = if flags & 2 == 0 { 0 } else { input.byte().cast_signed() };
        let count = usize::from(if flags & 4 == 0 { input.byte().into() } else { input.short() });
        let body = if flags & 8 == 0 { input.bytes(count).to_vec() } else { vec![input.byte(); count] };
        records.push(Owned { offset, timestamp, attributes, body });
    }
    let mut builder = BatchBuilder::new(codec, levels, limit);
    let mut rest = records.as_slice();
    for record in &records {
        let raw = RawRecord {
            offset: record.offset,
            timestamp: record.timestamp,
            attributes: record.attributes,
            body: &record.body,
        };
        if let Some(built) = builder.push(&raw).unwrap() {
            rest = taken(&built, rest, limit);
        }
    }
    if let Some(built) = builder.close().unwrap() {
        rest = taken(&built, rest, limit);
    }
    assert!(rest.is_empty() && builder.close().unwrap().is_none());
}

/// What is left of the records when the batch has its part of them.
fn taken<'r>(Built { batch, last_offset, .. }: &Built, records: &'r [Owned], limit: usize) -> &'r [Owned] {
    let header = batch.header();
    assert_eq!(batch.verify(), Ok(()));
    assert!(header.is_contiguous() && header.record_count > 0 && batch.bytes().len() > HEADER_LEN);
    assert!(batch.bytes().len() <= limit || header.record_count == 1, "{} of {limit} bytes", batch.bytes().len());
    let (these, rest) = records.split_at(header.record_count as usize);
    assert_eq!(*last_offset, these[these.len() - 1].offset);
    assert_eq!((header.base_offset, header.base_timestamp), (these[0].offset, these[0].timestamp));
    assert_eq!(Some(header.max_timestamp), these.iter().map(|record| record.timestamp).max());
    let mut reader = RecordReader::new(batch, 1 << 20).unwrap();
    for (offset, expected) in (header.base_offset..).zip(these) {
        let found = reader.next_record().unwrap().unwrap();
        assert_eq!(found.offset, offset);
        assert_eq!((found.timestamp, found.attributes), (expected.timestamp, expected.attributes));
        assert!(found.body == expected.body, "a body of {} bytes is another one", expected.body.len());
    }
    assert!(reader.next_record() == Ok(None));
    rest
}
