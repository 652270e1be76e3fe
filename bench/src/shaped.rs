//! Data that is more than records in a row: transactions, what a cleaner has left, headers.

use std::{
    collections::HashSet,
    fmt::Write as _,
    ops::Range,
    time::{Duration, SystemTime},
};

use testkit::{
    Cluster, Producing, Record,
    anyhow::{Context, Result, ensure},
    create_topic, create_topics, produce_with, set_topic_configs, wait_until,
};
use tokio::task::JoinSet;

use crate::{
    contents::MARK,
    progress::{Stored, stored},
    workloads::{Copy, Shape},
};

/// How many records are produced together; of transactions, each has as many.
const CHUNK: u64 = 10_000;
/// Of so many transactions of a partition one is aborted.
const ABORTED: u64 = 4;
/// Producers of each partition: their transactions interleave.
const LANES: u64 = 2;
/// Of so many records one is marked.
const MARKED: u64 = 10;
/// Keys that come again and again, in each partition.
const HOT_KEYS: u64 = 500;
/// How long after its first record a segment is rolled, and how old the data is said to be, which is more. The record
/// that closes it is of the present. A copy of records older than an hour would be another matter for a producer.
const SEGMENT: Duration = Duration::from_secs(20 * 60);
const AGE: Duration = Duration::from_secs(30 * 60);
/// The longest the cleaner may take.
const CLEANED: Duration = Duration::from_secs(180);
/// The share of batches that a cleaned topic is to have gaps in, at least.
const GAPS: f64 = 0.9;
/// Brokers that clean as soon as there is something to clean, and remember all keys of a partition at once. The kit's
/// are told to remember few, Kafka's to look every 15 s.
pub(crate) const CLEANING: [(&str, &str); 3] =
    [("log.cleaner.backoff.ms", "500"), ("log.cleaner.threads", "2"), ("log.cleaner.dedupe.buffer.size", "67108864")];

/// Makes a topic of a shape that is not plain. Gives how many records of each partition are to arrive.
pub(crate) async fn make(copy: &Copy, source: &Cluster, topic: &str) -> Result<Vec<u64>> {
    let bootstrap = source.bootstrap();
    let per_partition = copy.records / u64::from(copy.partitions.unsigned_abs());
    let compacted = copy.shape == Shape::Compacted;
    let segment = SEGMENT.as_millis().to_string();
    let compacting =
        [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.001"), ("segment.ms", segment.as_str())];
    if compacted {
        create_topic(&bootstrap, topic, copy.partitions, 1, &compacting).await?;
    } else {
        create_topics(&bootstrap, &[topic.to_owned()], copy.partitions).await?;
    }
    let written = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock")? - AGE;
    let at = compacted.then(|| i64::try_from(written.as_millis())).transpose()?;
    let mut lanes: JoinSet<Result<()>> = JoinSet::new();
    for (partition, lane) in (0..copy.partitions).flat_map(|partition| (0..LANES).map(move |lane| (partition, lane))) {
        let (bootstrap, topic, copy) = (bootstrap.clone(), topic.to_owned(), copy.clone());
        lanes.spawn(async move {
            for chunk in (lane..per_partition.div_ceil(CHUNK)).step_by(LANES as usize) {
                let records: Vec<_> = range(chunk, per_partition).map(|n| record(&copy, partition, n, at)).collect();
                let id = format!("{topic}-{partition}-{lane}");
                let transaction = (copy.shape == Shape::Transactions).then(|| (id, commits(chunk)));
                produce_with(&bootstrap, &topic, partition, &records, &producing(&copy, transaction)).await?;
            }
            Ok(())
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane??;
    }
    let arriving = match copy.shape {
        Shape::Plain => per_partition,
        Shape::Transactions => {
            let committed = committed(per_partition);
            ensure!(committed < per_partition, "{per_partition} records of a partition are too few to abort some");
            committed
        }
        Shape::Marked => per_partition - per_partition.div_ceil(MARKED),
        Shape::Compacted => {
            let live = (0..copy.partitions).map(|partition| live(partition, per_partition)).collect::<Vec<_>>();
            clean(copy, source, topic, &live).await?;
            // Remote topics get the same settings, and cleaning them would cost whoever copies.
            set_topic_configs(&bootstrap, topic, &[]).await?;
            return Ok(live);
        }
    };
    Ok(vec![arriving; copy.partitions.unsigned_abs() as usize])
}

/// Closes all segments and waits until each partition has `live` records.
async fn clean(copy: &Copy, source: &Cluster, topic: &str, live: &[u64]) -> Result<()> {
    for partition in 0..copy.partitions {
        // The cleaner leaves the last segment alone.
        let last = Record::new("last", "last");
        produce_with(&source.bootstrap(), topic, partition, &[last], &producing(copy, None)).await?;
    }
    let topics = [topic.to_owned()];
    let wanted: u64 = live.iter().sum();
    let stored: Stored = wait_until("the cleaner", CLEANED, async || {
        let stored = stored(source, &topics, copy.partitions).await?;
        ensure!(stored.records == wanted, "{} records are left, {wanted} are to be", stored.records);
        Ok(stored)
    })
    .await?;
    let gaps = stored.gapped as f64 / stored.batches as f64;
    ensure!(gaps >= GAPS, "{:.0} % of the batches have gaps, wanted are {:.0} %", gaps * 100.0, GAPS * 100.0);
    Ok(())
}

fn producing(copy: &Copy, transaction: Option<(String, bool)>) -> Producing {
    let properties = [
        ("linger.ms", "20".to_owned()),
        ("batch.size", copy.batch_bytes.to_string()),
        ("batch.num.messages", "1000000".to_owned()),
    ];
    Producing {
        codec: copy.codec,
        // A producer id takes a second to get, and each chunk would need another one.
        idempotent: transaction.is_some(),
        transaction,
        properties: properties.map(|(key, value)| (key.to_owned(), value)).into(),
        ..Producing::default()
    }
}

/// Which records a chunk has.
fn range(chunk: u64, per_partition: u64) -> Range<u64> {
    chunk * CHUNK..((chunk + 1) * CHUNK).min(per_partition)
}

/// Whether a transaction is committed.
fn commits(chunk: u64) -> bool {
    chunk % ABORTED != 1
}

/// How many records of a partition are in committed transactions.
fn committed(per_partition: u64) -> u64 {
    let chunks = (0..per_partition.div_ceil(CHUNK)).filter(|chunk| commits(*chunk));
    chunks.map(|chunk| range(chunk, per_partition)).map(|range| range.end - range.start).sum()
}

/// How many keys a partition has, with that of the record that closes its segment.
fn live(partition: i32, per_partition: u64) -> u64 {
    let keys: HashSet<_> = (0..per_partition).map(|n| rewritten(partition, n).unwrap_or(HOT_KEYS + n)).collect();
    keys.len() as u64 + 1
}

fn noise(partition: i32, n: u64) -> u64 {
    // Neighbours have nothing in common (the finalizer of MurmurHash3).
    let mut mixed = n << 8 | u64::from(partition.unsigned_abs());
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        mixed = (mixed ^ mixed >> 33).wrapping_mul(factor);
    }
    mixed ^ mixed >> 33
}

/// Which of the keys that come again and again a record has: about every second one, so that what a cleaner leaves has
/// gaps of all lengths in nearly every batch. All others have keys of their own.
fn rewritten(partition: i32, n: u64) -> Option<u64> {
    let noise = noise(partition, n);
    (noise & 1 == 1).then_some((noise >> 1) % HOT_KEYS)
}

fn record(copy: &Copy, partition: i32, n: u64, at: Option<i64>) -> Record {
    let key = match rewritten(partition, n) {
        Some(hot) if copy.shape == Shape::Compacted => format!("hot-{hot}"),
        _ => format!("key-{partition}-{n}"),
    };
    let record = Record { timestamp: at, ..Record::new(key, value(partition, n, copy.value_bytes)) };
    let marked = copy.shape == Shape::Marked && n.is_multiple_of(MARKED);
    if marked { record.header(MARK, Some(b"yes")) } else { record }
}

/// JSON whose names repeat and whose numbers don't, so that it shrinks as such things do.
fn value(partition: i32, n: u64, bytes: usize) -> String {
    let mut text = format!(r#"{{"sensor":"{partition}-{n}","readings":["#);
    let mut bits = noise(partition, n);
    loop {
        bits = bits.rotate_left(29).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n;
        let before = text.len();
        let comma = if text.ends_with('[') { "" } else { "," };
        let _ = write!(text, r#"{comma}{{"id":"{:08x}","celsius":{}.{}}}"#, bits >> 32, bits % 40, bits >> 8 & 7);
        if text.len() + 2 > bytes {
            text.truncate(before);
            break;
        }
    }
    let padding = bytes.saturating_sub(text.len() + 2);
    text.extend(std::iter::repeat_n(' ', padding));
    text.push_str("]}");
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::workloads;

    #[test]
    fn values_are_json_of_the_asked_size_and_all_different() {
        let mut seen = HashSet::new();
        for (partition, n, bytes) in [(0, 0, 100), (0, 1, 100), (7, 1, 500), (7, 123_456_789, 1_000), (1, 256, 1_000)] {
            let text = value(partition, n, bytes);
            assert_eq!(text.len(), bytes);
            let json: Value = serde_json::from_str(&text).unwrap();
            assert!(seen.insert(json["readings"].to_string()), "{text}");
        }
    }

    #[test]
    fn a_quarter_is_aborted_and_half_is_rewritten() {
        assert_eq!(committed(10 * CHUNK + 17), 7 * CHUNK + 17);
        assert_eq!([committed(CHUNK), committed(2 * CHUNK), committed(4 * CHUNK)], [CHUNK, CHUNK, 3 * CHUNK]);
        let share = live(3, 100_000) as f64 / 100_000.0;
        assert!((0.49..0.52).contains(&share), "{share}");
    }

    #[test]
    fn chunks_are_all_records_once() {
        let all: Vec<_> = (0..3).flat_map(|chunk| range(chunk, 2 * CHUNK + 5)).collect();
        assert_eq!(all, (0..2 * CHUNK + 5).collect::<Vec<_>>());
    }

    #[test]
    fn only_shapes_ask_for_keys_and_headers() {
        let of = |shape| workloads::opened().into_iter().find(|copy| copy.shape == shape).unwrap();
        let is_hot = |record: &Record| record.key.as_ref().is_some_and(|key| key.starts_with(b"hot-"));
        let hot = |copy: &Copy| (0..100).filter(|n| is_hot(&record(copy, 0, *n, None))).count();
        assert!((30..70).contains(&hot(&of(Shape::Compacted))));
        assert_eq!(hot(&of(Shape::Transactions)), 0);
        let marked = (0..100).filter(|n| !record(&of(Shape::Marked), 0, *n, None).headers.is_empty()).count();
        assert_eq!(marked, 10);
    }
}
