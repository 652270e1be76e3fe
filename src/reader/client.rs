//! A reader's thread and its client.

use std::{
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};
use tokio::sync::mpsc;

use super::{HANDED_OVER_BYTES, ReadPartition, ReadRecord, ReaderError, ReaderSettings};
use crate::config::IsolationLevel;

/// How often a reader that waits looks whether anybody still wants to read.
pub(super) const TURN: Duration = Duration::from_millis(100);
/// A topic or partition counts as missing once brokers have known none for so long: they hear of a new one, one after the other.
pub(super) const HEARSAY: Duration = Duration::from_secs(5);
/// Records that librdkafka has ready or asks for more: what bounds it is bytes.
const QUEUED_MIN_MESSAGES: usize = 100_000;
/// The least that librdkafka takes for `fetch.max.bytes`, since one message may have as much (`message.max.bytes`).
const LEAST_FETCH_BYTES: usize = 1_000_000;

pub(super) type HandOver = mpsc::Sender<Result<Vec<ReadRecord>, ReaderError>>;

pub(super) fn config(settings: &ReaderSettings) -> ClientConfig {
    let kilobytes = (settings.queue_bytes / 1024).max(1);
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", settings.bootstrap.join(","))
        // A group is wanted even where no offset is ever committed.
        .set("group.id", "kmirror-reader")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("allow.auto.create.topics", "false")
        // A topic that does not exist is to be told as soon as the cluster is known.
        .set("topic.metadata.propagation.max.ms", "0")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "1000")
        .set("queued.min.messages", QUEUED_MIN_MESSAGES.to_string())
        .set("queued.max.messages.kbytes", kilobytes.to_string())
        .set("fetch.message.max.bytes", (kilobytes * 1024).to_string())
        .set("fetch.max.bytes", (kilobytes * 1024).max(LEAST_FETCH_BYTES).to_string())
        .set(
            "isolation.level",
            match settings.isolation {
                IsolationLevel::ReadCommitted => "read_committed",
                IsolationLevel::ReadUncommitted => "read_uncommitted",
            },
        );
    config
}

/// Starts the thread that reads a partition and hands over what it reads.
pub(super) fn start(
    settings: &ReaderSettings,
    partition: ReadPartition,
    hand_over: HandOver,
) -> Result<(), ReaderError> {
    let refused = |cause: String| ReaderError::Client { cluster: settings.cluster.clone(), cause };
    let consumer: BaseConsumer = config(settings).create().map_err(|cause| refused(cause.to_string()))?;
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(&partition.topic, partition.partition, Offset::Offset(partition.from))
        .and_then(|()| consumer.assign(&assignment))
        .map_err(|cause| refused(cause.to_string()))?;
    let reading = Reading {
        cluster: settings.cluster.clone(),
        patience: settings.patience,
        next: partition.from,
        partition,
        batch: Vec::new(),
        batch_bytes: 0,
        missing_since: None,
        trouble: "no broker was reached".to_owned(),
        at_end: false,
    };
    let named = thread::Builder::new().name("kmirror-reader".to_owned());
    named.spawn(move || reading.run(&consumer, &hand_over)).map_err(|cause| refused(cause.to_string()))?;
    Ok(())
}

struct Reading {
    cluster: String,
    patience: Duration,
    partition: ReadPartition,
    /// Offset of the next record wanted.
    next: i64,
    /// What is to be handed over.
    batch: Vec<ReadRecord>,
    batch_bytes: usize,
    /// When it was first said that there is no such topic or partition, unless it has been found since.
    missing_since: Option<Instant>,
    /// What librdkafka said last.
    trouble: String,
    /// Whether all that may be read was read.
    at_end: bool,
}

/// Nobody wants to read any more.
struct Gone;

impl Reading {
    fn run(mut self, consumer: &BaseConsumer, hand_over: &HandOver) {
        let mut news = Instant::now();
        loop {
            if hand_over.is_closed() {
                return;
            }
            if self.partition.to.is_some_and(|to| self.next >= to || self.at_end) {
                let _ = self.flush(hand_over);
                return;
            }
            // Not only when nothing was said: a broker that can't be reached is told of again and again.
            if !self.at_end && news.elapsed() > self.patience {
                let stalled = ReaderError::Stalled {
                    cluster: self.cluster.clone(),
                    topic: self.partition.topic.clone(),
                    partition: self.partition.partition,
                    offset: self.next,
                    seconds: self.patience.as_secs(),
                    cause: self.trouble.clone(),
                };
                return self.fail(hand_over, stalled);
            }
            if self.missing_since.is_some_and(|since| since.elapsed() >= HEARSAY) {
                // librdkafka goes on by itself where it was only one broker that did not know yet, and does not say so.
                match partitions(consumer, &self.partition.topic, self.patience) {
                    Ok(count) if count > self.partition.partition => self.missing_since = None,
                    Err(cause) if !is_missing(&cause) => self.trouble = cause.to_string(),
                    _ => {
                        let (topic, partition) = (self.partition.topic.clone(), self.partition.partition);
                        let missing = ReaderError::Missing { cluster: self.cluster.clone(), topic, partition };
                        return self.fail(hand_over, missing);
                    }
                }
            }
            // Whoever waits gets what there is as soon as there is no more.
            let wait = if self.batch.is_empty() { TURN } else { Duration::ZERO };
            let polled = match consumer.poll(wait) {
                None if !self.batch.is_empty() => self.flush(hand_over),
                None => continue,
                Some(Ok(message)) => {
                    self.at_end = false;
                    self.next = message.offset() + 1;
                    if self.partition.to.is_none_or(|to| message.offset() < to) {
                        self.keep(ReadRecord::of(&message), hand_over)
                    } else {
                        Ok(())
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.at_end = true;
                    self.flush(hand_over)
                }
                Some(Err(cause)) => match self.judge(&cause) {
                    Some(error) => return self.fail(hand_over, error),
                    None => {
                        if is_missing(&cause) {
                            self.missing_since.get_or_insert_with(Instant::now);
                        }
                        self.trouble = cause.to_string();
                        tracing::debug!(cluster = %self.cluster, topic = %self.partition.topic, %cause, "reading goes on");
                        continue;
                    }
                },
            };
            if polled.is_err() {
                return;
            }
            news = Instant::now();
            self.missing_since = None;
        }
    }

    fn keep(&mut self, record: ReadRecord, hand_over: &HandOver) -> Result<(), Gone> {
        self.batch_bytes += record.bytes();
        self.batch.push(record);
        if self.batch_bytes >= HANDED_OVER_BYTES || self.batch.len() >= 1_000 { self.flush(hand_over) } else { Ok(()) }
    }

    /// Waits until there is room: meanwhile librdkafka fills its queue, and no more than that.
    fn flush(&mut self, hand_over: &HandOver) -> Result<(), Gone> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch_bytes = 0;
        hand_over.blocking_send(Ok(std::mem::take(&mut self.batch))).map_err(|_| Gone)
    }

    fn fail(mut self, hand_over: &HandOver, error: ReaderError) {
        if self.flush(hand_over).is_ok() {
            let _ = hand_over.blocking_send(Err(error));
        }
    }

    /// What can't be helped by waiting.
    fn judge(&self, cause: &KafkaError) -> Option<ReaderError> {
        use RDKafkaErrorCode as Code;

        if is_missing(cause) {
            // That is told once it is certain.
            return None;
        }
        let code = cause.rdkafka_error_code()?;
        let (cluster, topic) = (self.cluster.clone(), self.partition.topic.clone());
        let (partition, offset) = (self.partition.partition, self.next);
        match code {
            Code::OffsetOutOfRange | Code::AutoOffsetReset => {
                Some(ReaderError::OutOfRange { cluster, topic, partition, offset })
            }
            Code::BadMessage | Code::InvalidMessage | Code::BadCompression | Code::Underflow => {
                Some(ReaderError::Corrupt { cluster, topic, partition, offset, cause: cause.to_string() })
            }
            // librdkafka goes on by itself after these: it asks again, elsewhere if need be.
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable => None,
            _ => Some(ReaderError::Failed { cluster, topic, partition, offset, cause: cause.to_string() }),
        }
    }
}

/// How many partitions a topic has, as the broker that is asked knows.
pub(super) fn partitions(consumer: &BaseConsumer, topic: &str, patience: Duration) -> KafkaResult<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), patience)?;
    match metadata.topics().first().map(|found| (found.error(), found.partitions().len())) {
        Some((None, count)) if count > 0 => Ok(i32::try_from(count).unwrap_or(i32::MAX)),
        Some((Some(code), _)) => Err(KafkaError::MetadataFetch(code.into())),
        _ => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)),
    }
}

/// Whether an error says that there is no such topic or partition.
pub(super) fn is_missing(cause: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = cause.rdkafka_error_code();
    matches!(code, Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition))
}
