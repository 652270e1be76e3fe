//! Producing records whose every part the test decides.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use super::{DEADLINE, blocking, config};
use crate::environment::unique;

/// A record to produce.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The key; None is null, which is not the same as empty.
    pub key: Option<Vec<u8>>,
    /// The value; None is null (a tombstone in a compacted topic).
    pub value: Option<Vec<u8>>,
    /// Headers in order; names may repeat, values may be null.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Create time in ms since 1970; None lets the client take the present.
    pub timestamp: Option<i64>,
}

impl Record {
    /// A record with a value only.
    pub fn value(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// A record with key and value.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..Self::value(value) }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: Option<&[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        self
    }

    /// Sets the create time, in ms since 1970.
    pub fn at(mut self, timestamp: i64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }
}

/// Kafka's compression codecs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// Not compressed.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Codec {
    /// All codecs.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The value of `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// How records are produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producing {
    /// Codec of the batches.
    pub codec: Codec,
    /// Whether batches carry a producer id and sequences.
    pub idempotent: bool,
    /// Most records in a batch; None leaves it to librdkafka.
    pub batch_records: Option<usize>,
    /// Produces all in one transaction of this transactional id, which is committed (true) or aborted (false).
    pub transaction: Option<(String, bool)>,
    /// How long a record may wait for its acknowledgement; 60 s by default.
    pub timeout: Duration,
    /// Further properties of librdkafka.
    pub properties: Vec<(String, String)>,
}

impl Default for Producing {
    fn default() -> Self {
        Self {
            codec: Codec::None,
            idempotent: true,
            batch_records: None,
            transaction: None,
            timeout: DEADLINE,
            properties: Vec::new(),
        }
    }
}

impl Producing {
    fn client(&self, bootstrap: &str) -> ClientConfig {
        let mut config = config(bootstrap);
        config
            .set("compression.type", self.codec.name())
            .set("enable.idempotence", self.idempotent.to_string())
            .set("acks", "all")
            .set("linger.ms", "5")
            .set("delivery.timeout.ms", self.timeout.as_millis().to_string());
        if let Some(records) = self.batch_records {
            config.set("batch.num.messages", records.to_string());
        }
        if let Some((id, _)) = &self.transaction {
            // The transaction must be able to outlive the deadline of its records.
            let longest = self.timeout.as_millis().max(60_000).to_string();
            config.set("transactional.id", id).set("transaction.timeout.ms", longest);
        }
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config
    }
}

/// Produces records to a partition in order, idempotently, and waits for all acknowledgements. Gives their offsets.
pub async fn produce(
    bootstrap: &str,
    topic: &str,
    partition: i32,
    records: &[Record],
    codec: Codec,
) -> Result<Vec<i64>> {
    produce_with(bootstrap, topic, partition, records, &Producing { codec, ..Producing::default() }).await
}

/// As [`produce`], with all choices. The offsets are given for records of an aborted transaction too; one that was
/// aborted before it was sent is an error.
pub async fn produce_with(
    bootstrap: &str,
    topic: &str,
    partition: i32,
    records: &[Record],
    how: &Producing,
) -> Result<Vec<i64>> {
    let (bootstrap, topic, records, how) = (bootstrap.to_owned(), topic.to_owned(), records.to_vec(), how.clone());
    blocking(move || {
        let producer = sent(&bootstrap, &topic, partition, &records, &how)?;
        match &how.transaction {
            Some((_, true)) => producer.commit_transaction(DEADLINE)?,
            Some((_, false)) => producer.abort_transaction(DEADLINE)?,
            None => {}
        }
        offsets(&producer, &topic, partition)
    })
    .await
}

/// A transaction with records that are written, and whose end is left to the test. Dropped before, it stays open until its
/// coordinator aborts it.
pub struct OpenTransaction {
    producer: BaseProducer<Outcomes>,
}

impl OpenTransaction {
    /// Begins a transaction and waits for the acknowledgements of its records. Its coordinator aborts it after `timeout`.
    pub async fn begin(
        bootstrap: &str,
        topic: &str,
        partition: i32,
        records: &[Record],
        timeout: Duration,
    ) -> Result<Self> {
        let how = Producing {
            transaction: Some((unique("open"), true)),
            properties: vec![("transaction.timeout.ms".to_owned(), timeout.as_millis().to_string())],
            ..Producing::default()
        };
        let (bootstrap, topic, records) = (bootstrap.to_owned(), topic.to_owned(), records.to_vec());
        blocking(move || {
            let producer = sent(&bootstrap, &topic, partition, &records, &how)?;
            offsets(&producer, &topic, partition)?;
            Ok(Self { producer })
        })
        .await
    }

    /// Commits (true) or aborts it.
    pub async fn end(self, commit: bool) -> Result<()> {
        blocking(move || {
            let ended = match commit {
                true => self.producer.commit_transaction(DEADLINE),
                false => self.producer.abort_transaction(DEADLINE),
            };
            Ok(ended?)
        })
        .await
    }
}

/// A producer that has sent all records and has the answers; its transaction, if there is to be one, is open.
fn sent(
    bootstrap: &str,
    topic: &str,
    partition: i32,
    records: &[Record],
    how: &Producing,
) -> Result<BaseProducer<Outcomes>> {
    let outcomes = Outcomes { offsets: Mutex::new(vec![None; records.len()]) };
    let producer: BaseProducer<Outcomes> = how.client(bootstrap).create_with_context(outcomes)?;
    if how.transaction.is_some() {
        producer.init_transactions(DEADLINE)?;
        producer.begin_transaction()?;
    }
    for (index, record) in records.iter().enumerate() {
        send(&producer, topic, partition, record, index)?;
        producer.poll(Duration::ZERO);
    }
    producer.flush(how.timeout + Duration::from_secs(5)).with_context(|| format!("flushing to {topic}"))?;
    Ok(producer)
}

/// The offsets of all that was sent; an error if something was not written.
fn offsets(producer: &BaseProducer<Outcomes>, topic: &str, partition: i32) -> Result<Vec<i64>> {
    let outcomes = std::mem::take(&mut *producer.context().lock());
    let offset = |(i, outcome): (usize, Option<Outcome>)| {
        let outcome = outcome.with_context(|| format!("no answer for record {i} to {topic}-{partition}"))?;
        outcome.with_context(|| format!("record {i} to {topic}-{partition}"))
    };
    outcomes.into_iter().enumerate().map(offset).collect()
}

fn send(producer: &BaseProducer<Outcomes>, topic: &str, partition: i32, record: &Record, index: usize) -> Result<()> {
    let mut message = BaseRecord::with_opaque_to(topic, index).partition(partition);
    message.key = record.key.as_ref();
    message.payload = record.value.as_ref();
    message.timestamp = record.timestamp;
    if !record.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        let add = |all: OwnedHeaders, (key, value): &(String, Option<Vec<u8>>)| {
            all.insert(Header { key, value: value.as_ref() })
        };
        message.headers = Some(record.headers.iter().fold(headers, add));
    }
    let start = Instant::now();
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                ensure!(start.elapsed() < DEADLINE, "the queue to {topic} stayed full for {DEADLINE:?}");
                message = back;
                producer.poll(Duration::from_millis(10));
            }
            Err((error, _)) => bail!("queueing record {index} to {topic}-{partition}: {error}"),
        }
    }
}

type Outcome = std::result::Result<i64, KafkaError>;

struct Outcomes {
    offsets: Mutex<Vec<Option<Outcome>>>,
}

impl Outcomes {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<Outcome>>> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Outcomes {}

impl ProducerContext for Outcomes {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let outcome = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.clone()),
        };
        if let Some(slot) = self.lock().get_mut(index) {
            *slot = Some(outcome);
        }
    }
}
