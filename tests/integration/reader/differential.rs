//! Two readings of the same batches: wire's and librdkafka's.

use std::time::Duration;

use ::testkit::{
    Codec, Producing, Record, anyhow::Result, anyhow::ensure, create_topic, produce_with, unique, wait_until,
};
use ::wire::{
    Batch, BatchBuilder, Batches, Budget, Cluster, ClusterConfig, FetchLane, FetchLimits, FetchPartition, HEADER_LEN,
    Levels, ProduceBatch, ProduceLane, RawRecord, RecordReader, Stored, TopicPartition, rewrite_header,
};
use kmirror::{
    config::IsolationLevel::{ReadCommitted, ReadUncommitted},
    reader::{ReadRecord, TimestampType},
};

use super::DEADLINE;
use crate::shared::{addresses, pair, read_topic};

const CODECS: [::wire::Codec; 5] =
    [::wire::Codec::None, ::wire::Codec::Gzip, ::wire::Codec::Snappy, ::wire::Codec::Lz4, ::wire::Codec::Zstd];
const MOST: usize = 16 << 20;

/// A variable-length number (KIP-98), read here by itself: what is tested is not to check itself.
fn number(from: &mut &[u8]) -> i64 {
    let (mut raw, mut shift) = (0_u64, 0);
    loop {
        let (byte, rest) = from.split_first().expect("a number");
        *from = rest;
        raw |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed());
        }
    }
}

fn bytes(from: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(number(from)).ok()?;
    let (taken, rest) = from.split_at(length);
    *from = rest;
    Some(taken.to_vec())
}

/// The same form as librdkafka's records have.
fn record(raw: &RawRecord<'_>, timestamp_type: TimestampType) -> ReadRecord {
    let mut body = raw.body;
    let (key, value) = (bytes(&mut body), bytes(&mut body));
    let headers = (0..number(&mut body)).map(|_| (bytes(&mut body).expect("a key"), bytes(&mut body))).collect();
    assert!(body.is_empty(), "{} bytes behind a record", body.len());
    let timestamp_type = if raw.timestamp == -1 { TimestampType::NoTimestampType } else { timestamp_type };
    ReadRecord { offset: raw.offset, timestamp: raw.timestamp, timestamp_type, key, value, headers }
}

fn number_to(to: &mut Vec<u8>, number: i64) {
    let mut raw = (number << 1 ^ number >> 63).cast_unsigned();
    while raw >= 0x80 {
        to.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    to.push(raw as u8);
}

fn bytes_to(to: &mut Vec<u8>, part: Option<&[u8]>) {
    number_to(to, part.map_or(-1, |part| part.len() as i64));
    to.extend(part.unwrap_or_default());
}

fn body(record: &ReadRecord) -> Vec<u8> {
    let mut body = Vec::new();
    bytes_to(&mut body, record.key.as_deref());
    bytes_to(&mut body, record.value.as_deref());
    number_to(&mut body, record.headers.len() as i64);
    for (key, value) in &record.headers {
        bytes_to(&mut body, Some(key));
        bytes_to(&mut body, value.as_deref());
    }
    body
}

fn client(bootstrap: &str) -> Cluster {
    Cluster::new(ClusterConfig::new("under-test", &addresses(bootstrap)))
}

/// Batches of a partition from the first on, as they are stored, up to an offset.
async fn stored(cluster: &Cluster, at: &TopicPartition, end: i64) -> Result<Vec<Batch>> {
    cluster.topics(Some(std::slice::from_ref(&at.topic))).await?;
    let leader = cluster.leader(at).expect("a leader");
    let limits =
        FetchLimits { max_wait: Duration::from_millis(500), min_bytes: 1, max_bytes: 8 << 20, read_committed: false };
    let (mut batches, mut offset) = (Vec::new(), 0);
    while offset < end {
        let wanted = FetchPartition {
            partition: at.clone(),
            topic_id: leader.topic_id,
            offset,
            leader_epoch: leader.epoch,
            last_epoch: -1,
            max_bytes: 8 << 20,
            tag: 0,
        };
        let room = Budget::new(MOST).reserve(MOST, MOST).expect("nothing is used");
        let answer = cluster.fetch_once(leader.broker, FetchLane::Follow, &[wanted], &limits, room).await?.remove(0);
        ensure!(answer.error == 0, "{answer:?}");
        for found in Batches::new(answer.records, MOST) {
            let Stored::Batch(batch) = found? else { panic!("a message of an old format") };
            batch.verify()?;
            offset = batch.header().next_offset();
            batches.push(batch);
        }
    }
    Ok(batches)
}

fn read(batches: &[Batch]) -> Result<Vec<ReadRecord>> {
    let mut records = Vec::new();
    for batch in batches.iter().filter(|batch| !batch.header().is_control()) {
        let timestamp_type = match batch.header().timestamp_type() {
            ::wire::TimestampType::CreateTime => TimestampType::CreateTime,
            ::wire::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
        };
        let mut reader = RecordReader::new(batch, MOST)?;
        while let Some(raw) = reader.next_record()? {
            records.push(record(&raw, timestamp_type));
        }
    }
    Ok(records)
}

fn awkward(count: i64) -> Vec<Record> {
    let awkward = |n: i64| match n % 6 {
        0 => Record::new(format!("key-{n}"), "x".repeat(usize::try_from(n * 37 % 5_000).unwrap_or(0))),
        1 => Record { key: None, value: None, ..Record::default() }.at(0),
        2 => Record::new(Vec::new(), Vec::new()).at(1),
        3 => (0..n * 50 % 900).fold(Record::value(vec![0xff, 0]), |r, h| {
            r.header("h", [None, Some(&b""[..]), Some(&[0xc3, 0x28])][usize::try_from(h % 3).unwrap_or(0)])
        }),
        4 => Record::value((0..n * 631 % 60_000).map(|b| (b * b) as u8).collect::<Vec<_>>()).at(1_600_000_000_000 - n),
        _ => Record::value(b"v".to_vec()).header("", None).header("ü", Some(b"1")).header("", None),
    };
    (0..count).map(awkward).collect()
}

#[tokio::test]
async fn what_brokers_hold_is_read_alike() -> Result<()> {
    let source = pair().await?.source;
    let cluster = client(&source);
    for settings in [&[][..], &[("message.timestamp.type", "LogAppendTime")]] {
        let topic = unique("differential-read");
        create_topic(&source, &topic, 5, 1, settings).await?;
        for (codec, partition) in Codec::ALL.into_iter().zip(0..) {
            for (batch_records, commit) in [(None, None), (Some(1), None), (Some(13), Some(true)), (None, Some(false))]
            {
                let transaction = commit.map(|commit| (unique("txn"), commit));
                let how = Producing { codec, batch_records, transaction, ..Producing::default() };
                produce_with(&source, &topic, partition, &awkward(120), &how).await?;
            }
        }
        // Markers come last.
        let end = 4 * 120 + 2;
        wait_until("all markers", DEADLINE, || async {
            let settings = crate::shared::reader_settings(&source, ReadUncommitted);
            let bounds = kmirror::reader::bounds(&settings, &topic).await?;
            ensure!(bounds.iter().all(|bounds| bounds.high == end), "{bounds:?}");
            Ok(())
        })
        .await?;
        let expected = read_topic(&source, &topic, ReadUncommitted).await?;
        for (partition, expected) in (0..).zip(&expected) {
            let batches = stored(&cluster, &TopicPartition::new(&topic, partition), end).await?;
            let found = read(&batches)?;
            assert_eq!((found.len(), expected.len()), (480, 480));
            for (found, expected) in found.iter().zip(expected) {
                assert!(found == expected, "{topic}-{partition}: {found:?} is to be {expected:?}");
            }
        }
    }
    Ok(())
}

/// Records that no honest client would send among those that one would.
fn odd() -> Vec<ReadRecord> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
    let record = |n: i64| ReadRecord {
        offset: n,
        timestamp: [now, 0, 1, now - 86_400_000, -1][usize::try_from(n).unwrap() % 5],
        timestamp_type: if n % 5 == 4 { TimestampType::NoTimestampType } else { TimestampType::CreateTime },
        key: [None, Some(Vec::new()), Some(vec![0xff, 0xfe, 0])][usize::try_from(n).unwrap() % 3].clone(),
        value: match n % 7 {
            0 => None,
            1 => Some(vec![n as u8; 1_000_000]),
            2 => Some((0..60_000_u32).map(|i| ((i * i) >> 3) as u8).collect()),
            _ => Some(format!("value {n}").into_bytes()),
        },
        headers: match n % 4 {
            0 => Vec::new(),
            // Keys that are no text: rdkafka's own way to them would end the process.
            1 => vec![(vec![0xc3, 0x28], None), (vec![0xff], Some(Vec::new())), (vec![0xc3, 0x28], Some(vec![0]))],
            2 => vec![(b"h".to_vec(), None); 10_000],
            _ => vec![(Vec::new(), None), (b"a".to_vec(), Some(vec![1])), (b"a".to_vec(), Some(vec![2]))],
        },
    };
    (0..40).map(record).collect()
}

#[tokio::test]
async fn what_wire_writes_is_read_by_librdkafka() -> Result<()> {
    let source = pair().await?.source;
    let cluster = client(&source);
    let topic = unique("differential-write");
    create_topic(&source, &topic, 5, 1, &[("max.message.bytes", "4000000")]).await?;
    let records = odd();
    for (codec, partition) in CODECS.into_iter().zip(0..) {
        let at = TopicPartition::new(&topic, partition);
        cluster.topics(Some(std::slice::from_ref(&topic))).await?;
        let leader = cluster.leader(&at).expect("a leader");
        let mut builder = BatchBuilder::new(codec, Levels::default(), 2_000_000);
        let mut batches = Vec::new();
        for record in &records {
            let body = body(record);
            let raw = RawRecord { offset: record.offset, timestamp: record.timestamp, attributes: 0, body: &body };
            batches.extend(builder.push(&raw)?);
        }
        batches.extend(builder.close()?);
        ensure!(batches.len() > 1 || codec != ::wire::Codec::None, "{} batches", batches.len());
        let mut end = 0;
        for built in &batches {
            let (header, payload) = rewrite_header(&built.batch, -1, -1, -1)?;
            ensure!(header.len() == HEADER_LEN && built.batch.header().base_offset == end);
            end = built.last_offset + 1;
            let batch = ProduceBatch { partition: at.clone(), tag: 0, header, payload };
            let wait = Duration::from_secs(20);
            let told =
                cluster.produce_on(leader.broker, ProduceLane::Shared, std::slice::from_ref(&batch), wait).await?;
            ensure!(told[0].error == 0, "{codec:?}: {told:?}");
        }
        // The broker wrote what it was given, and didn't compress it anew.
        let stored = stored(&cluster, &at, end).await?;
        let payloads = |batches: Vec<Batch>| batches.iter().map(Batch::payload).collect::<Vec<_>>();
        ensure!(payloads(stored.clone()) == payloads(batches.into_iter().map(|built| built.batch).collect()));
        ensure!(read(&stored)? == records, "{codec:?}: wire reads other records");
    }
    for (partition, found) in read_topic(&source, &topic, ReadCommitted).await?.iter().enumerate() {
        assert_eq!(found.len(), records.len());
        for (found, expected) in found.iter().zip(&records) {
            assert!(found == expected, "{partition}: record {} is another one", expected.offset);
        }
    }
    Ok(())
}
