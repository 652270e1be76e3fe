//! Segments of formats 0 and 1 that a Kafka 2.8.2 broker wrote. `wire/tests/golden/README.md` says how they were made.

use bytes::Bytes;

use super::MOST;
use crate::{
    batch::{Batches, Codec, LegacyMessage, Stored},
    records::{RecordBody, legacy_codec, legacy_records},
};

macro_rules! golden {
    ($name:literal) => {
        &include_bytes!(concat!("../../../tests/golden/format-", $name, ".log"))[..]
    };
}

const BEGAN: i64 = 1_700_000_000_000;

type Record = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

fn messages(file: &'static [u8]) -> Vec<LegacyMessage> {
    let mut batches = Batches::new(Bytes::from_static(file), MOST);
    let found = batches.by_ref().map(|found| match found.unwrap() {
        Stored::Legacy(message) => message,
        Stored::Batch(batch) => panic!("{:?}", batch.header()),
    });
    let found = found.collect();
    assert_eq!(batches.rest(), 0);
    found
}

/// Offset, time, key and value of each record of a message.
fn records_of(message: &LegacyMessage) -> Vec<Record> {
    let mut found = Vec::new();
    legacy_records(message, MOST, |record| {
        let body = RecordBody::parse(record.body).unwrap();
        assert_eq!(body.headers(), Ok(Vec::new()));
        found.push((record.offset, record.timestamp, body.key.map(<[u8]>::to_vec), body.value.map(<[u8]>::to_vec)));
        true
    })
    .unwrap();
    found
}

fn written() -> Vec<Record> {
    let record = |n: i64| {
        let key = (n % 2 == 0 || n == 3).then(|| format!("k{n}").into_bytes());
        let value = (n != 3).then(|| format!("value {n} {}", "abcdefgh".repeat(8)).into_bytes());
        (n, BEGAN + 10 * n, key, value)
    };
    (0..8).map(record).collect()
}

#[test]
fn messages_hold_what_was_produced() {
    let files = [
        (Codec::None, golden!("0-none"), golden!("1-none")),
        (Codec::Gzip, golden!("0-gzip"), golden!("1-gzip")),
        (Codec::Snappy, golden!("0-snappy"), golden!("1-snappy")),
        (Codec::Lz4, golden!("0-lz4"), golden!("1-lz4")),
    ];
    for (codec, format_0, format_1) in files {
        for (magic, file) in [(0, format_0), (1, format_1)] {
            let messages = messages(file);
            let lasts: Vec<_> = messages.iter().map(|message| message.offset).collect();
            assert_eq!(lasts, if codec == Codec::None { (0..8).collect() } else { vec![4, 7] }, "{codec:?} {magic}");
            assert!(messages.iter().all(|message| message.magic == magic && legacy_codec(message) == Ok(codec)));
            let found: Vec<_> = messages.iter().flat_map(records_of).collect();
            // Format 0 has no times.
            let expected = written()
                .into_iter()
                .map(|(offset, time, key, value)| (offset, if magic == 0 { -1 } else { time }, key, value));
            assert_eq!(found, expected.collect::<Vec<_>>(), "{codec:?} {magic}");
        }
    }
}

#[test]
fn a_broker_s_time_is_that_of_all_records() {
    let messages = messages(golden!("1-append-time"));
    let found: Vec<_> = messages.iter().flat_map(records_of).collect();
    let time = found[0].1;
    assert!(time > BEGAN + 1_000);
    let expected = written().into_iter().map(|(offset, _, key, value)| (offset, time, key, value));
    assert_eq!(found, expected.collect::<Vec<_>>());
}

#[test]
fn what_compaction_left_keeps_its_offsets() {
    let messages = messages(golden!("1-compacted"));
    let found: Vec<_> =
        messages.iter().flat_map(records_of).map(|(offset, time, key, _)| (offset, time, key)).collect();
    let expected: Vec<_> = [(2, "a"), (4, "b"), (5, "c"), (6, "d")]
        .map(|(offset, key)| (offset, BEGAN + 10 * offset, Some(key.as_bytes().to_vec())))
        .into();
    assert_eq!(found, expected);
    assert_eq!(messages.iter().map(|message| message.offset).collect::<Vec<_>>(), [4, 6]);
}
