//! Segment files of a real broker, read as its own tool reads them. `wire/tests/golden/README.md` says how they were made.

use super::*;

macro_rules! golden {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!("../../../tests/golden/", $name, ".log")))
    };
}

/// What `kafka-dump-log` printed for each file, without its first two lines.
const DUMPED: [(&str, &str); 8] = [
    (
        "none",
        "baseOffset: 0 lastOffset: 4 count: 5 baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1700000000040 size: 507 magic: 2 compresscodec: none crc: 1985541197 isvalid: true\n\
         baseOffset: 5 lastOffset: 7 count: 3 baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 507 CreateTime: 1700000000070 size: 327 magic: 2 compresscodec: none crc: 3886219427 isvalid: true",
    ),
    (
        "gzip",
        "baseOffset: 0 lastOffset: 4 count: 5 baseSequence: 0 lastSequence: 4 producerId: 0 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1700000000040 size: 173 magic: 2 compresscodec: gzip crc: 352006162 isvalid: true\n\
         baseOffset: 5 lastOffset: 7 count: 3 baseSequence: 5 lastSequence: 7 producerId: 0 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 173 CreateTime: 1700000000070 size: 146 magic: 2 compresscodec: gzip crc: 294780982 isvalid: true",
    ),
    (
        "snappy",
        "baseOffset: 0 lastOffset: 4 count: 5 baseSequence: 0 lastSequence: 4 producerId: 1 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1700000000040 size: 200 magic: 2 compresscodec: snappy crc: 3010324052 isvalid: true\n\
         baseOffset: 5 lastOffset: 7 count: 3 baseSequence: 5 lastSequence: 7 producerId: 1 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 200 CreateTime: 1700000000070 size: 161 magic: 2 compresscodec: snappy crc: 2059397416 isvalid: true",
    ),
    (
        "lz4",
        "baseOffset: 0 lastOffset: 4 count: 5 baseSequence: 0 lastSequence: 4 producerId: 2 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1700000000040 size: 186 magic: 2 compresscodec: lz4 crc: 91305306 isvalid: true\n\
         baseOffset: 5 lastOffset: 7 count: 3 baseSequence: 5 lastSequence: 7 producerId: 2 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 186 CreateTime: 1700000000070 size: 153 magic: 2 compresscodec: lz4 crc: 1813945468 isvalid: true",
    ),
    (
        "zstd",
        "baseOffset: 0 lastOffset: 4 count: 5 baseSequence: 0 lastSequence: 4 producerId: 3 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1700000000040 size: 173 magic: 2 compresscodec: zstd crc: 746570949 isvalid: true\n\
         baseOffset: 5 lastOffset: 7 count: 3 baseSequence: 5 lastSequence: 7 producerId: 3 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 173 CreateTime: 1700000000070 size: 146 magic: 2 compresscodec: zstd crc: 1462635942 isvalid: true",
    ),
    (
        "append-time",
        "baseOffset: 0 lastOffset: 2 count: 3 baseSequence: 0 lastSequence: 2 producerId: 4 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 0 LogAppendTime: 1795226668881 size: 329 magic: 2 compresscodec: none crc: 191076374 isvalid: true",
    ),
    (
        "transactions",
        "baseOffset: 0 lastOffset: 2 count: 3 baseSequence: 0 lastSequence: 2 producerId: 9 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: true isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1700000000020 size: 329 magic: 2 compresscodec: none crc: 1028897654 isvalid: true\n\
         baseOffset: 3 lastOffset: 3 count: 1 baseSequence: -1 lastSequence: -1 producerId: 9 producerEpoch: 1 partitionLeaderEpoch: 0 isTransactional: true isControl: true deleteHorizonMs: OptionalLong.empty position: 329 CreateTime: 1795226669277 size: 78 magic: 2 compresscodec: none crc: 1500155162 isvalid: true\n\
         baseOffset: 4 lastOffset: 5 count: 2 baseSequence: 0 lastSequence: 1 producerId: 9 producerEpoch: 1 partitionLeaderEpoch: 0 isTransactional: true isControl: false deleteHorizonMs: OptionalLong.empty position: 407 CreateTime: 1700000000040 size: 239 magic: 2 compresscodec: none crc: 1686154005 isvalid: true\n\
         baseOffset: 6 lastOffset: 6 count: 1 baseSequence: -1 lastSequence: -1 producerId: 9 producerEpoch: 2 partitionLeaderEpoch: 0 isTransactional: true isControl: true deleteHorizonMs: OptionalLong.empty position: 646 CreateTime: 1795226669310 size: 78 magic: 2 compresscodec: none crc: 2013912524 isvalid: true",
    ),
    (
        "compacted",
        "baseOffset: 0 lastOffset: 4 count: 2 baseSequence: 0 lastSequence: 4 producerId: 5 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong[1795313069315] position: 0 CreateTime: 1700000000000 size: 88 magic: 2 compresscodec: none crc: 746095940 isvalid: true\n\
         baseOffset: 5 lastOffset: 5 count: 0 baseSequence: 0 lastSequence: 0 producerId: 6 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 88 CreateTime: 1700000000001 size: 61 magic: 2 compresscodec: none crc: 1413158083 isvalid: true\n\
         baseOffset: 6 lastOffset: 7 count: 2 baseSequence: 0 lastSequence: 1 producerId: 7 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 149 CreateTime: 1700000000002 size: 79 magic: 2 compresscodec: none crc: 4148455040 isvalid: true",
    ),
];

fn file(name: &str) -> Bytes {
    match name {
        "none" => golden!("none"),
        "gzip" => golden!("gzip"),
        "snappy" => golden!("snappy"),
        "lz4" => golden!("lz4"),
        "zstd" => golden!("zstd"),
        "append-time" => golden!("append-time"),
        "transactions" => golden!("transactions"),
        "compacted" => golden!("compacted"),
        other => panic!("no file {other}"),
    }
}

fn batches(bytes: Bytes) -> Vec<Batch> {
    let mut batches = Batches::new(bytes, LIMIT);
    let found = batches.by_ref().map(|found| match found.unwrap() {
        Stored::Batch(batch) => batch,
        Stored::Legacy(message) => panic!("{message:?}"),
    });
    let found = found.collect();
    assert_eq!(batches.rest(), 0);
    found
}

/// A batch in the words of `DumpLogSegments.printBatchLevel`.
fn dump(batch: &Batch, position: usize) -> String {
    let h = batch.header();
    let time = match h.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    let horizon = h.delete_horizon().map_or("OptionalLong.empty".to_owned(), |ms| format!("OptionalLong[{ms}]"));
    format!(
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} producerEpoch: {} \
         partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {horizon} position: {position} \
         {time}: {} size: {} magic: 2 compresscodec: {} crc: {} isvalid: {}",
        h.base_offset,
        h.last_offset(),
        h.record_count,
        h.base_sequence,
        h.last_sequence(),
        h.producer_id,
        h.producer_epoch,
        h.partition_leader_epoch,
        h.is_transactional(),
        h.is_control(),
        h.max_timestamp,
        batch.bytes().len(),
        h.codec().unwrap().name(),
        h.crc,
        batch.verify().is_ok(),
    )
}

#[test]
fn a_broker_s_batches_are_read_as_kafka_dump_log_reads_them() {
    for (name, dumped) in DUMPED {
        let mut position = 0;
        let mut lines = Vec::new();
        for batch in batches(file(name)) {
            lines.push(dump(&batch, position));
            position += batch.bytes().len();
        }
        assert_eq!(lines, dumped.lines().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn only_what_the_cleaner_went_over_has_gaps() {
    for (name, dumped) in DUMPED {
        let contiguous: Vec<bool> = batches(file(name)).iter().map(|b| b.header().is_contiguous()).collect();
        let expected = if name == "compacted" { vec![false, false, true] } else { vec![true; dumped.lines().count()] };
        assert_eq!(contiguous, expected, "{name}");
    }
}

/// The rewritten batch is read by another implementation, which checks the sum and looks inside.
#[test]
fn a_rewritten_batch_holds_the_same_records() {
    for name in ["none", "gzip", "snappy", "lz4"] {
        for batch in batches(file(name)) {
            let (header, payload) = rewrite_header(&batch, 77, 3, 1000).unwrap();
            let mut rewritten = Bytes::from([&header[..], &payload[..]].concat());
            let mut source = batch.bytes().clone();
            let before = RecordBatchDecoder::decode(&mut source).unwrap().records;
            let after = RecordBatchDecoder::decode(&mut rewritten).unwrap().records;
            assert_eq!((before.len(), after.len()), (batch.header().record_count as usize, before.len()), "{name}");
            for (i, (before, after)) in (0..).zip(before.iter().zip(&after)) {
                assert_eq!((after.offset, after.sequence), (i64::from(i), 1000 + i));
                assert_eq!((after.producer_id, after.producer_epoch), (77, 3));
                assert_eq!((&after.key, &after.value, after.timestamp), (&before.key, &before.value, before.timestamp));
                assert_eq!(after.headers, before.headers);
            }
        }
    }
}

#[test]
fn markers_are_not_passed_on_and_records_leave_their_transaction() {
    for batch in batches(file("transactions")) {
        let rewritten = rewrite_header(&batch, 77, 3, 1000);
        if batch.header().is_control() {
            assert!(matches!(rewritten, Err(CorruptBatch::NotPassable { .. })), "{rewritten:?}");
        } else {
            let (header, payload) = rewritten.unwrap();
            let rewritten = Batch::parse([&header[..], &payload].concat().into()).unwrap();
            assert_eq!((rewritten.verify(), rewritten.header().is_transactional()), (Ok(()), false));
        }
    }
}

/// The codecs of Java's producer are read, and what is written anew is read by another implementation.
#[test]
fn a_broker_s_records_are_read_and_written_anew() {
    use crate::records::{BatchBuilder, Levels, RecordReader};

    for (name, _) in DUMPED {
        for batch in batches(file(name)).into_iter().filter(|b| !b.header().is_control() && b.header().record_count > 0)
        {
            let mut builder = BatchBuilder::new(batch.header().codec().unwrap(), Levels::default(), LIMIT);
            let mut reader = RecordReader::new(&batch, LIMIT).unwrap();
            while let Some(record) = reader.next_record().unwrap() {
                assert_eq!(builder.push(&record).unwrap(), None);
            }
            let built = builder.close().unwrap().unwrap().batch;
            assert_eq!(built.verify(), Ok(()));
            assert_eq!(built.header().record_count, batch.header().record_count, "{name}");
            // It does not speak zstd here.
            if name == "zstd" {
                continue;
            }
            let (mut source, mut rewritten) = (batch.bytes().clone(), built.bytes().clone());
            let before = RecordBatchDecoder::decode(&mut source).unwrap().records;
            let after = RecordBatchDecoder::decode(&mut rewritten).unwrap().records;
            assert_eq!(before.len(), after.len(), "{name}");
            for (before, after) in before.iter().zip(&after) {
                assert_eq!((&after.key, &after.value, &after.headers), (&before.key, &before.value, &before.headers));
                let time = match batch.header().timestamp_type() {
                    TimestampType::CreateTime => before.timestamp,
                    TimestampType::LogAppendTime => batch.header().max_timestamp,
                };
                assert_eq!(after.timestamp, time, "{name}");
            }
        }
    }
}

/// As the worker reads its topics, which another worker may have written in any codec.
#[test]
fn small_topics_are_read_in_every_codec() {
    let read = |name| -> Vec<_> {
        let records =
            batches(file(name)).iter().map(|batch| crate::small_topic::records_of(batch).unwrap()).collect::<Vec<_>>();
        records.concat().into_iter().map(|r| (r.offset, r.timestamp, r.key, r.value)).collect()
    };
    let expected = read("none");
    assert_eq!(expected.len(), 8);
    assert!(expected.iter().any(|(_, _, _, value)| value.as_deref().is_some_and(|v| v.starts_with(b"value 0"))));
    for name in ["gzip", "snappy", "lz4", "zstd"] {
        assert_eq!(read(name), expected, "{name}");
    }
}
