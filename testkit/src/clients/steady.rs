//! Records at a steady rate, and when each arrives: for latencies within one process, whose clock all share.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::bulk::{Deliveries, fill, queue};
use super::{Codec, DEADLINE, blocking, config, consumer};

/// What [`steady_produce`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steady {
    /// Records per second over all partitions.
    pub rate: u64,
    /// How many in all.
    pub records: u64,
    /// Partitions 0 to this (exclusive) get the records in turns.
    pub partitions: i32,
    /// Bytes of each value, at least 80.
    pub value_bytes: usize,
    /// Codec of the batches.
    pub codec: Codec,
}

/// Produces records as `bulk_produce` makes them, each when its time has come, with the settings of Java's producer in
/// Kafka 4 (linger 5 ms, batches of 16 KiB). Gives when each was handed to the producer, by record number.
pub async fn steady_produce(bootstrap: &str, topic: &str, steady: Steady) -> Result<Vec<Instant>> {
    let mut client = config(bootstrap);
    client
        .set("enable.idempotence", "true")
        .set("compression.type", steady.codec.name())
        .set("linger.ms", "5")
        .set("batch.size", "16384");
    let topic = topic.to_owned();
    blocking(move || {
        let producer: BaseProducer<Deliveries> = client.create_with_context(Deliveries::default())?;
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let mut sent = Vec::with_capacity(usize::try_from(steady.records)?);
        let began = Instant::now();
        for n in 0..steady.records {
            let due = Duration::from_nanos(n * 1_000_000_000 / steady.rate);
            // Serving callbacks is what there is to do meanwhile; it takes whole milliseconds.
            while began.elapsed() < due {
                producer.poll(Duration::from_millis(1));
            }
            fill(n, steady.value_bytes, &mut key, &mut value)?;
            queue(&producer, &topic, (n % u64::from(steady.partitions.unsigned_abs())) as i32, (&key, &value), None)?;
            sent.push(Instant::now());
        }
        producer.flush(DEADLINE).with_context(|| format!("flushing to {topic}"))?;
        let failed = producer.context().failed.load(Ordering::SeqCst);
        ensure!(failed == 0, "{failed} of {} records to {topic} were not acknowledged", steady.records);
        Ok(sent)
    })
    .await
}

/// Reads a topic from its beginning until all of `records` numbered records have come; gives when each was handed to
/// the reader first. The reader waits for nothing: it takes what a broker has as soon as there is a byte of it.
pub async fn arrivals(bootstrap: &str, topic: &str, partitions: i32, records: u64) -> Result<Vec<Instant>> {
    let mut client = config(bootstrap);
    client
        .set("group.id", crate::environment::unique("testkit-arrivals"))
        .set("enable.auto.commit", "false")
        .set("socket.nagle.disable", "true")
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "500");
    let topic = topic.to_owned();
    blocking(move || {
        let reader = consumer(&client)?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            assignment.add_partition_offset(&topic, partition, Offset::Beginning)?;
        }
        reader.assign(&assignment)?;
        let mut arrived: Vec<Option<Instant>> = vec![None; usize::try_from(records)?];
        let mut missing = arrived.len();
        let mut progress = Instant::now();
        while missing > 0 {
            ensure!(progress.elapsed() < DEADLINE, "{missing} of {records} records of {topic} did not come");
            let Some(message) = reader.poll(Duration::from_millis(100)) else { continue };
            let (message, now) = (message?, Instant::now());
            let number = message.payload().and_then(number).with_context(|| format!("{topic}: {message:?}"))?;
            let slot = arrived.get_mut(number).with_context(|| format!("{topic}: record {number}"))?;
            if slot.replace(slot.unwrap_or(now)).is_none() {
                missing -= 1;
            }
            progress = now;
        }
        Ok(arrived.into_iter().flatten().collect())
    })
    .await
}

/// The number in a value of `bulk_produce`.
fn number(value: &[u8]) -> Option<usize> {
    let digits = value.strip_prefix(br#"{"id":"#)?.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_number_is_in_its_value() {
        for n in [0, 7, 12_345_678] {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            fill(n, 100, &mut key, &mut value).unwrap();
            assert_eq!(number(&value), Some(usize::try_from(n).unwrap()));
        }
        assert_eq!(number(b"{}"), None);
    }
}
