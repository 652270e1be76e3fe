//! Millions of plausible records, quickly.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::{Codec, blocking, config};

/// Shorter values have fewer fields.
const LEAST_WITH_LINES: usize = 160;

/// How many records of what kind [`bulk_produce`] writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bulk {
    /// How many records over all partitions.
    pub records: u64,
    /// Partitions 0 to this (exclusive) get the records in turns, record `n` goes to `n` modulo this.
    pub partitions: i32,
    /// Bytes of each value, at least 80.
    pub value_bytes: usize,
    /// Codec of the batches.
    pub codec: Codec,
    /// Most bytes in a batch; librdkafka's `batch.size`.
    pub batch_bytes: usize,
    /// The time of all records, ms since the epoch; the time at which each is written, if absent.
    pub time: Option<i64>,
}

impl Bulk {
    /// This many 500-byte records over partitions 0 to `partitions`, compressed with LZ4, in batches up to 256 KiB.
    pub fn new(records: u64, partitions: i32) -> Self {
        Self { records, partitions, value_bytes: 500, codec: Codec::Lz4, batch_bytes: 256 * 1024, time: None }
    }
}

/// Produces JSON records idempotently and waits until all are acknowledged. Record `n` has the key `key-<n mod 1000003>`,
/// and a value that begins with `{"id":<n>,`; the same `n` always has the same bytes. Gives the bytes of all values.
pub async fn bulk_produce(bootstrap: &str, topic: &str, bulk: &Bulk) -> Result<u64> {
    bulk_produce_over(bootstrap, &[topic.to_owned()], bulk).await.map(|produced| produced.value_bytes)
}

/// What [`bulk_produce_over`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Produced {
    /// Bytes of all keys.
    pub key_bytes: u64,
    /// Bytes of all values.
    pub value_bytes: u64,
}

/// As [`bulk_produce`] with the records in turns over the partitions of several topics, each of which has
/// `bulk.partitions`.
pub async fn bulk_produce_over(bootstrap: &str, topics: &[String], bulk: &Bulk) -> Result<Produced> {
    ensure!(bulk.partitions > 0 && bulk.value_bytes >= 80, "{bulk:?}: want partitions > 0 and value_bytes >= 80");
    let mut client = config(bootstrap);
    client
        .set("enable.idempotence", "true")
        .set("compression.type", bulk.codec.name())
        .set("linger.ms", "20")
        .set("batch.size", bulk.batch_bytes.to_string())
        .set("batch.num.messages", "1000000")
        .set("queue.buffering.max.messages", "500000")
        .set("queue.buffering.max.kbytes", "262144");
    let (topics, bulk) = (topics.to_vec(), bulk.clone());
    blocking(move || {
        let producer: BaseProducer<Deliveries> = client.create_with_context(Deliveries::default())?;
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let per_topic = u64::from(bulk.partitions.unsigned_abs());
        let mut produced = Produced { key_bytes: 0, value_bytes: 0 };
        for n in 0..bulk.records {
            fill(n, bulk.value_bytes, &mut key, &mut value)?;
            let turn = n % (per_topic * topics.len() as u64);
            let topic = &topics[(turn / per_topic) as usize];
            queue(&producer, topic, (turn % per_topic) as i32, (&key, &value), bulk.time)?;
            produced.key_bytes += key.len() as u64;
            produced.value_bytes += value.len() as u64;
            if n % 1024 == 0 {
                producer.poll(Duration::ZERO);
            }
        }
        producer.flush(Duration::from_secs(300)).with_context(|| format!("flushing to {topics:?}"))?;
        let failed = producer.context().failed.load(Ordering::SeqCst);
        ensure!(failed == 0, "{failed} of {} records to {topics:?} were not acknowledged", bulk.records);
        Ok(produced)
    })
    .await
}

pub(super) fn queue(
    producer: &BaseProducer<Deliveries>,
    topic: &str,
    partition: i32,
    (key, value): (&[u8], &[u8]),
    time: Option<i64>,
) -> Result<()> {
    let mut message = BaseRecord::to(topic).partition(partition).key(key).payload(value);
    message.timestamp = time;
    let start = Instant::now();
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                ensure!(start.elapsed() < Duration::from_secs(120), "the queue to {topic} stayed full for 120 s");
                message = back;
                producer.poll(Duration::from_millis(5));
            }
            Err((error, _)) => bail!("queueing to {topic}-{partition}: {error}"),
        }
    }
}

/// Like an order event of a shop: mostly text that repeats, with some digits that don't, so that it compresses about
/// as real events do.
pub(super) fn fill(n: u64, bytes: usize, key: &mut Vec<u8>, value: &mut Vec<u8>) -> Result<()> {
    const STATUS: [&str; 4] = ["created", "paid", "shipped", "delivered"];
    let noise = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    key.clear();
    write!(key, "key-{}", n % 1_000_003)?;
    value.clear();
    let status = STATUS[(noise >> 62) as usize];
    if bytes < LEAST_WITH_LINES {
        let (sku, quantity) = ((noise >> 16) as u32, noise % 9 + 1);
        write!(value, r#"{{"id":{n},"sku":"{sku:08x}","status":"{status}","qty":{quantity},"pad":""#)?;
        return close(value, bytes);
    }
    write!(value, r#"{{"id":{n},"customer":"{noise:016x}","status":"{status}","cents":{},"lines":["#, noise % 100_000)?;
    let mut line = noise;
    loop {
        line = line.rotate_left(23).wrapping_mul(0xd134_2543_de82_ef95) ^ n;
        let item = format!(r#"{{"sku":"{:08x}","qty":{}}}"#, line >> 32, line % 9 + 1);
        // One byte for the comma, and what closes the value.
        if value.len() + item.len() + 1 + r#"],"pad":""}"#.len() > bytes {
            break;
        }
        if value.last() == Some(&b'}') {
            value.push(b',');
        }
        value.extend_from_slice(item.as_bytes());
    }
    value.extend_from_slice(br#"],"pad":""#);
    close(value, bytes)
}

/// Pads a value that is open in its last string.
fn close(value: &mut Vec<u8>, bytes: usize) -> Result<()> {
    ensure!(value.len() + 2 <= bytes, "a value of {bytes} bytes has no room for its fields");
    value.resize(bytes - 2, b'.');
    value.extend_from_slice(br#""}"#);
    Ok(())
}

#[derive(Default)]
pub(super) struct Deliveries {
    pub(super) failed: AtomicU64,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.failed.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_of_the_asked_size() {
        for bytes in [80, 100, 159, 160, 161, 300, 500, 10_000] {
            for n in [0, 1, 999_999_999_999] {
                let (mut key, mut value) = (Vec::new(), Vec::new());
                fill(n, bytes, &mut key, &mut value).unwrap();
                assert_eq!(value.len(), bytes);
                let json: serde_json::Value = serde_json::from_slice(&value).unwrap();
                assert_eq!(json["id"], n);
            }
        }
    }
}
