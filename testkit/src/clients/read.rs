//! Reading all that a topic holds.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message, Timestamp};
use rdkafka::{Offset, TopicPartitionList};

use super::{DEADLINE, REQUEST_DEADLINE, blocking, config, consumer};

/// Kafka's `isolation.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// All records, also those of open and aborted transactions.
    #[default]
    ReadUncommitted,
    /// Committed records before the first open transaction.
    ReadCommitted,
}

/// What a record's timestamp means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampKind {
    /// The batch has no timestamps (magic 0), or none was given.
    None,
    /// The producer's, or what it was told.
    CreateTime,
    /// When the broker appended it.
    LogAppendTime,
}

/// A record as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView {
    /// Offset in the cluster that was read.
    pub offset: i64,
    /// The key; None is null.
    pub key: Option<Vec<u8>>,
    /// The value; None is null.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since 1970, −1 for [`TimestampKind::None`].
    pub timestamp: i64,
    /// What `timestamp` means.
    pub timestamp_kind: TimestampKind,
}

impl RecordView {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message
            .headers()
            .map(|headers| headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect());
        let (timestamp, timestamp_kind) = match message.timestamp() {
            Timestamp::NotAvailable => (-1, TimestampKind::None),
            Timestamp::CreateTime(ms) => (ms, TimestampKind::CreateTime),
            Timestamp::LogAppendTime(ms) => (ms, TimestampKind::LogAppendTime),
        };
        Self {
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
            timestamp,
            timestamp_kind,
        }
    }
}

/// Both ends of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Log start offset.
    pub low: i64,
    /// High watermark: the offset after the last replicated record or marker.
    pub high: i64,
}

/// The watermarks of each partition of a topic, by partition number.
pub async fn watermarks(bootstrap: &str, topic: &str) -> Result<Vec<Watermarks>> {
    let (client, topic) = (config(bootstrap), topic.to_owned());
    blocking(move || watermarks_of(&consumer(&client)?, &topic)).await
}

/// The high watermarks of some partitions of a topic, in the order asked for. Other partitions need no leader for it.
pub async fn end_offsets(bootstrap: &str, topic: &str, partitions: &[i32]) -> Result<Vec<i64>> {
    let (client, topic, partitions) = (config(bootstrap), topic.to_owned(), partitions.to_vec());
    blocking(move || {
        let consumer = consumer(&client)?;
        let end = |&partition: &i32| Ok(consumer.fetch_watermarks(&topic, partition, REQUEST_DEADLINE)?.1);
        partitions.iter().map(end).collect()
    })
    .await
}

/// How long a broker may not have heard of a topic that another one knows.
const NEWS: Duration = Duration::from_secs(5);

fn watermarks_of(consumer: &BaseConsumer, topic: &str) -> Result<Vec<Watermarks>> {
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST_DEADLINE)?;
    let found = metadata.topics().first().context("no answer for the topic")?;
    if let Some(error) = found.error() {
        bail!("{topic}: {error:?}");
    }
    (0..found.partitions().len())
        .map(|partition| {
            let (low, high) = consumer.fetch_watermarks(topic, partition as i32, REQUEST_DEADLINE)?;
            Ok(Watermarks { low, high })
        })
        .collect()
}

/// Reads all records of a topic up to the present high watermarks, by partition number, with `read_uncommitted`.
pub async fn read_all(bootstrap: &str, topic: &str) -> Result<Vec<Vec<RecordView>>> {
    read_all_with(bootstrap, topic, Isolation::ReadUncommitted).await
}

/// As [`read_all`]. With [`Isolation::ReadCommitted`] it ends at the last stable offset where that comes first. A
/// batch whose CRC is wrong is an error, and so are 60 s without progress.
///
/// Formats 0 and 1 can't be read so: librdkafka 2.12 takes the lengths in such messages for varints where the Fetch
/// answer is of version 12 or later. [`Tools::java_read_all`](crate::Tools::java_read_all) can.
pub async fn read_all_with(bootstrap: &str, topic: &str, isolation: Isolation) -> Result<Vec<Vec<RecordView>>> {
    read_as(bootstrap, topic, isolation, |record| record).await
}

/// As [`read_all`], with 64 bits in the place of each record, of its key, value, headers and timestamp: for topics too large to
/// be held. Two records that differ have the same bits once in 2^64.
pub async fn read_digests(bootstrap: &str, topic: &str) -> Result<Vec<Vec<u64>>> {
    read_as(bootstrap, topic, Isolation::ReadUncommitted, |RecordView { key, value, headers, timestamp, .. }| {
        let mut digest = DefaultHasher::new();
        (key, value, headers, timestamp).hash(&mut digest);
        digest.finish()
    })
    .await
}

async fn read_as<T: Clone + Send + 'static>(
    bootstrap: &str,
    topic: &str,
    isolation: Isolation,
    keep: impl Fn(RecordView) -> T + Send + 'static,
) -> Result<Vec<Vec<T>>> {
    let mut client = config(bootstrap);
    client
        // librdkafka wants a group even where offsets are never committed.
        .set("group.id", crate::environment::unique("testkit-reader"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "50")
        .set(
            "isolation.level",
            match isolation {
                Isolation::ReadUncommitted => "read_uncommitted",
                Isolation::ReadCommitted => "read_committed",
            },
        );
    let topic = topic.to_owned();
    blocking(move || read(&consumer(&client)?, &topic, &keep).with_context(|| format!("reading {topic}"))).await
}

fn read<T: Clone>(consumer: &BaseConsumer, topic: &str, keep: &impl Fn(RecordView) -> T) -> Result<Vec<Vec<T>>> {
    let start = Instant::now();
    let ends = loop {
        match watermarks_of(consumer, topic) {
            // Who asked before may have asked another broker, which hears of new topics at another time.
            Err(_) if start.elapsed() < NEWS => drop(consumer.poll(Duration::from_millis(50))),
            told => break told?,
        }
    };
    let mut records: Vec<Vec<T>> = vec![Vec::new(); ends.len()];
    let mut assignment = TopicPartitionList::new();
    let mut unread: BTreeMap<usize, i64> = BTreeMap::new();
    for (partition, end) in ends.iter().enumerate().filter(|(_, end)| end.low < end.high) {
        assignment.add_partition_offset(topic, partition as i32, Offset::Offset(end.low))?;
        unread.insert(partition, end.high);
    }
    consumer.assign(&assignment)?;
    let mut progress = Instant::now();
    while !unread.is_empty() {
        ensure!(progress.elapsed() < DEADLINE, "no progress for {DEADLINE:?}; unread (partition: end) {unread:?}");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => {
                progress = Instant::now();
                let partition = usize::try_from(message.partition())?;
                let Some(&end) = unread.get(&partition) else { continue };
                if message.offset() < end {
                    records[partition].push(keep(RecordView::of(&message)));
                }
                if message.offset() + 1 >= end {
                    unread.remove(&partition);
                }
            }
            // The end may also be a control record or a compacted one, which are not delivered, or the last stable offset.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unread.remove(&usize::try_from(partition)?);
            }
            Some(Err(KafkaError::MessageConsumption(
                rdkafka::error::RDKafkaErrorCode::BrokerTransportFailure
                | rdkafka::error::RDKafkaErrorCode::AllBrokersDown
                | rdkafka::error::RDKafkaErrorCode::NotLeaderForPartition,
            ))) => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
    Ok(records)
}
