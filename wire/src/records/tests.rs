mod golden;

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    codec::{Compressing, decompressing},
    *,
};
use crate::batch::{Batch, BatchHeader, Codec, CorruptBatch, HEADER_LEN};

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const MOST: usize = 16 << 20;

/// A record that owns its body.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    offset: i64,
    timestamp: i64,
    attributes: i8,
    body: Vec<u8>,
}

impl Owned {
    fn new(offset: i64, timestamp: i64, body: impl Into<Vec<u8>>) -> Self {
        Self { offset, timestamp, attributes: 0, body: body.into() }
    }

    fn raw(&self) -> RawRecord<'_> {
        RawRecord { offset: self.offset, timestamp: self.timestamp, attributes: self.attributes, body: &self.body }
    }
}

fn built(codec: Codec, limit: usize, records: &[Owned]) -> Vec<Built> {
    let mut builder = BatchBuilder::new(codec, Levels::default(), limit);
    let mut batches: Vec<_> = records.iter().filter_map(|record| builder.push(&record.raw()).unwrap()).collect();
    batches.extend(builder.close().unwrap());
    batches
}

fn read(batch: &Batch) -> Result<Vec<Owned>, CorruptBatch> {
    let mut reader = RecordReader::new(batch, MOST)?;
    let mut records = Vec::new();
    while let Some(RawRecord { offset, timestamp, attributes, body }) = reader.next_record()? {
        records.push(Owned { offset, timestamp, attributes, body: body.to_vec() });
    }
    Ok(records)
}

/// Without gaps, from the first one on: what a batch makes of them.
fn renumbered(records: &[Owned]) -> Vec<Owned> {
    let first = records.first().map_or(0, |record| record.offset);
    (first..).zip(records).map(|(offset, record)| Owned { offset, ..record.clone() }).collect()
}

fn records() -> impl Strategy<Value = Vec<Owned>> {
    let body = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..60),
        1 => (any::<u8>(), 0_usize..9_000).prop_map(|(byte, length)| vec![byte; length]),
    ];
    let timestamp =
        prop_oneof![Just(-1), Just(0), Just(i64::MIN), Just(i64::MAX), 1_600_000_000_000_i64..1_700_000_000_000];
    let record = (1_i64..5, timestamp, any::<i8>(), body);
    prop::collection::vec(record, 1..40).prop_map(|records| {
        let mut next = 7;
        let number = |(step, timestamp, attributes, body)| {
            next += step;
            Owned { offset: next, timestamp, attributes, body }
        };
        records.into_iter().map(number).collect()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(records in records(), codec in prop::sample::select(&CODECS)) {
        let batches = built(codec, MOST, &records);
        prop_assert_eq!(batches.len(), 1);
        let Built { batch, last_offset, distances } = &batches[0];
        prop_assert_eq!(*last_offset, records.last().unwrap().offset);
        let expected: Vec<u32> = records.iter().map(|record| (record.offset - records[0].offset) as u32).collect();
        let told = distances.clone().unwrap_or_else(|| (0..records.len() as u32).collect());
        prop_assert_eq!(&told[..], &expected[..]);
        prop_assert_eq!(batch.verify(), Ok(()));
        let header = batch.header();
        prop_assert!(header.is_contiguous() && header.codec() == Ok(codec));
        prop_assert_eq!(header.max_timestamp, records.iter().map(|record| record.timestamp).max().unwrap());
        prop_assert_eq!(header.base_timestamp, records[0].timestamp);
        prop_assert_eq!(read(batch).unwrap(), renumbered(&records));
    }

    #[test]
    fn no_batch_of_several_records_is_above_the_limit(
        records in records(), codec in prop::sample::select(&CODECS), limit in 100_usize..20_000,
    ) {
        let batches = built(codec, limit, &records);
        for Built { batch, .. } in &batches {
            prop_assert!(batch.bytes().len() <= limit || batch.header().record_count == 1);
        }
        let lasts: Vec<_> = batches.iter().map(|built| built.last_offset).collect();
        prop_assert!(lasts.is_sorted());
        let mut rest = records.as_slice();
        for built in &batches {
            let (these, others) = rest.split_at(built.batch.header().record_count as usize);
            prop_assert_eq!(read(&built.batch).unwrap(), renumbered(these));
            prop_assert_eq!(built.last_offset, these.last().unwrap().offset);
            rest = others;
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn anything_is_read_without_a_panic(
        payload: Vec<u8>, codec in prop::sample::select(&CODECS), count in 0..100_i32, span in 0..100_i32,
    ) {
        let mut bytes = vec![0; HEADER_LEN];
        bytes.extend(&payload);
        crate::batch::new_header(&mut bytes, codec, 5, 6, 7, count);
        bytes[23..27].copy_from_slice(&span.to_be_bytes());
        let _ = read(&Batch::parse(bytes.into()).unwrap());
    }

    #[test]
    fn a_damaged_stream_is_read_without_a_panic(
        records in records(), codec in prop::sample::select(&CODECS), at: prop::sample::Index, with: u8,
    ) {
        let batch = &built(codec, MOST, &records)[0].batch;
        let mut bytes = batch.bytes().to_vec();
        let at = HEADER_LEN + at.index(bytes.len() - HEADER_LEN);
        bytes[at] ^= with;
        if let Ok(read) = read(&Batch::parse(bytes.into()).unwrap()) {
            prop_assert_eq!(read.len(), records.len());
        }
    }
}

#[test]
fn times_are_those_that_consumers_see() {
    const LOG_APPEND_TIME: u8 = 1 << 3;
    let batch = &built(Codec::None, MOST, &[Owned::new(3, 100, "a"), Owned::new(4, 90, "b")])[0].batch;
    assert_eq!(read(batch).unwrap().iter().map(|record| record.timestamp).collect::<Vec<_>>(), [100, 90]);
    let mut bytes = batch.bytes().to_vec();
    bytes[22] |= LOG_APPEND_TIME;
    let batch = Batch::parse(bytes.into()).unwrap();
    assert_eq!(read(&batch).unwrap().iter().map(|record| record.timestamp).collect::<Vec<_>>(), [100, 100]);
}

#[test]
fn a_batch_of_compressible_records_is_split_by_what_it_becomes() {
    // 4 MB that become a few kB: they fit, whatever their length.
    let records: Vec<_> = (0..4_000).map(|offset| Owned::new(offset, 1, vec![b'a'; 1_000])).collect();
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd, Codec::Snappy] {
        assert_eq!(built(codec, 1 << 20, &records).len(), 1, "{codec:?}");
    }
    let plain = built(Codec::None, 1 << 20, &records);
    assert_eq!(plain.len(), 4);
    assert!(plain.iter().all(|built| built.batch.bytes().len() <= 1 << 20));
}

#[test]
fn a_record_above_the_limit_is_alone() {
    let sizes = [10, 5_000, 10, 10];
    let records: Vec<_> = (0..).zip(sizes).map(|(offset, size)| Owned::new(offset, 1, vec![1; size])).collect();
    let counts: Vec<_> =
        built(Codec::None, 1_000, &records).iter().map(|built| built.batch.header().record_count).collect();
    assert_eq!(counts, [1, 1, 2]);
}

fn compressed(codec: Codec, content: &[u8]) -> Vec<u8> {
    let mut out = Compressing::new(codec, Levels::default(), Vec::new()).unwrap();
    out.write_all(content).unwrap();
    out.finish().unwrap()
}

#[test]
fn a_lie_about_a_length_costs_no_memory() {
    // A length of 2 GB, and a record that long announced within a sound stream.
    let mut content = vec![0xfe, 0xff, 0xff, 0xff, 0x0f];
    content.extend([0; 100]);
    for codec in CODECS {
        let mut bytes = vec![0; HEADER_LEN];
        bytes.extend(compressed(codec, &content));
        crate::batch::new_header(&mut bytes, codec, 0, 0, 0, 1);
        let batch = Batch::parse(bytes.into()).unwrap();
        assert!(matches!(
            RecordReader::new(&batch, usize::MAX).unwrap().next_record(),
            Err(CorruptBatch::Record { what: "is cut off", .. })
        ));
        assert!(matches!(
            RecordReader::new(&batch, MOST).unwrap().next_record(),
            Err(CorruptBatch::Record { what: "is longer than a record may be", .. })
        ));
    }
    // A raw snappy block of 4 GB.
    let claim = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0]);
    assert!(decompressing(Codec::Snappy, claim).unwrap().read(&mut [0; 10]).is_err());
}

#[test]
fn snappy_without_frames_is_read() {
    let raw = snap::raw::Encoder::new().compress_vec(&[7; 1_000]).unwrap();
    let mut all = Vec::new();
    decompressing(Codec::Snappy, raw.into()).unwrap().read_to_end(&mut all).unwrap();
    assert_eq!(all, [7; 1_000]);
}

#[test]
fn several_streams_behind_each_other_are_one() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Zstd] {
        let both = [compressed(codec, &[1; 70_000]), compressed(codec, &[2; 10])].concat();
        let mut all = Vec::new();
        decompressing(codec, both.into()).unwrap().read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 70_010, "{codec:?}");
    }
}

#[test]
fn what_the_header_counts_is_what_there_must_be() {
    let batch = &built(Codec::None, MOST, &[Owned::new(0, 1, "a"), Owned::new(1, 1, "b")])[0].batch;
    for (count, what) in [(1, "is followed by more bytes"), (3, "has no length")] {
        let mut bytes = batch.bytes().to_vec();
        bytes[57..61].copy_from_slice(&i32::to_be_bytes(count));
        let Err(CorruptBatch::Record { what: found, .. }) = read(&Batch::parse(bytes.into()).unwrap()) else {
            panic!("{count} records were read");
        };
        assert_eq!(found, what);
    }
    let header: BatchHeader = *batch.header();
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (-1, -1, -1));
}
