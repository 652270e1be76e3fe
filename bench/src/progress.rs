//! When records reach the target, and what they take on disk.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use testkit::{
    Cluster, EndOffsets,
    anyhow::{Context, Result, bail, ensure},
};

use crate::worker::Worker;

/// How often the target is looked at, at most: also the error of the times.
const LOOK: Duration = Duration::from_millis(10);
/// Looking takes at most one of this many parts of the time, so that it is not what is measured.
const SHARE: u32 = 10;
/// How seldom, at most.
const SELDOM: Duration = Duration::from_millis(100);
/// How often the worker is asked how it is.
const CHECK: Duration = Duration::from_secs(3);
/// The longest time in which nothing arrives.
const STALLED: Duration = Duration::from_secs(180);

/// When what came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrived {
    /// The first record.
    pub(crate) first: Instant,
    /// All topics with all partitions.
    pub(crate) created: Instant,
    /// The last record.
    pub(crate) last: Instant,
}

/// What is to arrive where.
pub(crate) struct Expected<'a> {
    pub(crate) target: &'a Cluster,
    /// Remote topics.
    pub(crate) topics: &'a [String],
    /// For each of them how many records each partition is to have.
    pub(crate) ends: &'a [Vec<i64>],
}

/// Waits until all has arrived. The first record and the topics are seen in the brokers' directories, which costs the
/// brokers nothing: asked over the network, one that is making a thousand partitions answers late. The last one is by
/// the brokers' word.
pub(crate) async fn watch(worker: &Worker, ends: &EndOffsets, expected: &Expected<'_>) -> Result<Arrived> {
    let mut open: BTreeMap<(String, i32), i64> = BTreeMap::new();
    for (topic, ends) in expected.topics.iter().zip(expected.ends) {
        for (partition, end) in ends.iter().enumerate() {
            open.insert((topic.clone(), i32::try_from(partition)?), *end);
        }
    }
    let logs =
        open.keys().map(|(topic, partition)| logs(expected.target, topic, *partition)).collect::<Result<Vec<_>>>()?;
    let mut unmade: Vec<_> = logs.iter().collect();
    let (mut first, mut created) = (None, None);
    let mut reached: BTreeMap<(String, i32), i64> = BTreeMap::new();
    let (mut moved, mut checked) = (Instant::now(), Instant::now());
    loop {
        let began = Instant::now();
        if created.is_none() {
            unmade.retain(|logs| !logs.iter().any(|log| log.exists()));
            created = unmade.is_empty().then(Instant::now);
        }
        if first.is_none() {
            let written = |log: &PathBuf| log.metadata().is_ok_and(|log| log.len() > 0);
            first = logs.iter().flatten().any(written).then(Instant::now);
        }
        if let (Some(first), Some(created)) = (first, created) {
            let asked: Vec<_> = open.keys().cloned().collect();
            // A leader just elected may not know it yet, and one such partition fails the whole request. What lasts is
            // found by the limit of the time without progress.
            let answer = ends.of(&asked).await.unwrap_or_default();
            let now = Instant::now();
            for (key, end) in asked.into_iter().zip(answer) {
                if reached.insert(key.clone(), end) != Some(end) {
                    moved = now;
                }
                let wanted = open.get(&key).copied().unwrap_or_default();
                ensure!(end <= wanted, "{}-{} has {end} records, its source {wanted}", key.0, key.1);
                if end == wanted {
                    open.remove(&key);
                }
            }
            if open.is_empty() {
                return Ok(Arrived { first, created, last: now });
            }
        }
        let now = Instant::now();
        if now.duration_since(checked) > CHECK {
            checked = now;
            worker.check().await?;
        }
        if now.duration_since(moved) > STALLED {
            let some: Vec<_> = open.iter().take(5).map(|(key, end)| (key, reached.get(key), end)).collect();
            bail!("nothing came for {STALLED:?}; {} partitions are open: {some:?}\n{}", open.len(), worker.log_tail());
        }
        tokio::time::sleep((began.elapsed() * (SHARE - 1)).clamp(LOOK, SELDOM)).await;
    }
}

/// The first segment of a partition on each broker of a cluster, on one of which it will be.
fn logs(cluster: &Cluster, topic: &str, partition: i32) -> Result<Vec<PathBuf>> {
    let of = |broker| Ok(cluster.partition_dir(broker, topic, partition)?.join("00000000000000000000.log"));
    cluster.broker_ids().into_iter().map(of).collect()
}

/// What topics take on the brokers' disks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Bytes of all segments: batches as they are stored.
    pub(crate) bytes: u64,
    pub(crate) batches: u64,
    /// Batches that lack some of the offsets they span.
    pub(crate) gapped: u64,
    /// Without the markers that end transactions.
    pub(crate) records: u64,
}

impl Stored {
    /// Mean bytes of a batch.
    pub(crate) fn batch_bytes(&self) -> f64 {
        self.bytes as f64 / self.batches.max(1) as f64
    }
}

/// Reads the segments of topics on a cluster of one broker.
pub(crate) async fn stored(cluster: &Cluster, topics: &[String], partitions: i32) -> Result<Stored> {
    let broker = *cluster.broker_ids().first().context("no broker")?;
    let mut directories = Vec::new();
    for topic in topics {
        for partition in 0..partitions {
            directories.push(cluster.partition_dir(broker, topic, partition)?);
        }
    }
    tokio::task::spawn_blocking(move || {
        let mut sum = Stored::default();
        for directory in directories {
            for entry in std::fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "log") {
                    let segment =
                        segment(&mut std::fs::File::open(&path)?).with_context(|| path.display().to_string())?;
                    sum.bytes += segment.bytes;
                    sum.batches += segment.batches;
                    sum.gapped += segment.gapped;
                    sum.records += segment.records;
                }
            }
        }
        Ok(sum)
    })
    .await?
}

/// Goes from header to header: where each batch has its length, attributes, last offset delta and count is in KIP-98.
fn segment(file: &mut (impl std::io::Read + std::io::Seek)) -> Result<Stored> {
    use std::io::SeekFrom;

    const HEADER: usize = 61;
    const CONTROL: u8 = 0x20;
    let size = file.seek(SeekFrom::End(0))?;
    let mut stored = Stored::default();
    while stored.bytes < size {
        file.seek(SeekFrom::Start(stored.bytes))?;
        let mut header = [0_u8; HEADER];
        file.read_exact(&mut header).with_context(|| format!("a header at byte {} of {size}", stored.bytes))?;
        let [length, delta, count] = [&header[8..12], &header[23..27], &header[57..61]]
            .map(|bytes| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)));
        ensure!(header[16] == 2, "magic {} at byte {}", header[16], stored.bytes);
        stored.bytes += 12 + length;
        stored.batches += 1;
        if header[22] & CONTROL == 0 {
            stored.records += count;
            stored.gapped += u64::from(delta + 1 != count);
        }
    }
    ensure!(stored.bytes == size, "the last batch ends at byte {} of {size}", stored.bytes);
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(length: u32, count: u32) -> Vec<u8> {
        let mut bytes = vec![0; 12 + length as usize];
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = 2;
        bytes[23..27].copy_from_slice(&count.saturating_sub(1).to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        bytes
    }

    #[test]
    fn batches_and_records_of_a_segment_are_counted() {
        let (mut marker, mut gapped) = (batch(49, 1), batch(500, 5));
        marker[22] = 0x30;
        gapped[26] = 9;
        let bytes = [batch(49, 1), batch(1_000, 7), marker, gapped, batch(70_000, 300)].concat();
        let found = segment(&mut std::io::Cursor::new(&bytes)).unwrap();
        assert_eq!(found, Stored { bytes: bytes.len() as u64, batches: 5, gapped: 1, records: 313 });
        assert!(segment(&mut std::io::Cursor::new(&bytes[..bytes.len() - 1])).is_err());
    }
}
