//! Stories told through REST: the real program, real brokers, and what arrives read by librdkafka.

mod brokers;
mod caps;
mod deletion;
mod lifecycle;
mod offsets;
mod own_cluster;
mod process;
mod recreated;
mod refresh;
mod rest;
mod restart;
mod sample;
mod source_lost;
mod stopped;
mod takeover;
mod target;
mod transforms;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ::testkit::{
    Bulk, Codec, Record, RecordView,
    anyhow::{Context, Result, bail, ensure},
    bulk_produce, produce, read_all, watermarks,
};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::kmirror::{DEADLINE, Kmirror};

/// The source's alias in all stories but the sample's.
const SOURCE: &str = "src";

/// A MirrorSourceConnector's configuration; later pairs win.
pub(crate) fn connector(source: &str, target: &str, topics: &str, more: &[(&str, &str)]) -> Value {
    let mut config = json!({
        "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
        "source.cluster.alias": SOURCE,
        "target.cluster.alias": "dst",
        "source.cluster.bootstrap.servers": source,
        "target.cluster.bootstrap.servers": target,
        "topics": topics,
        "replication.factor": "1",
        "offset-syncs.topic.replication.factor": "1",
        "sync.topic.acls.enabled": "false",
    });
    for (key, value) in more {
        config[*key] = json!(value);
    }
    config
}

/// A topic's name on the target under DefaultReplicationPolicy.
pub(crate) fn remote(topic: &str) -> String {
    format!("{SOURCE}.{topic}")
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(0))
}

/// Records `from` to `from + count`, no two alike.
fn records(from: usize, count: usize) -> Vec<Record> {
    (from..from + count).map(|i| Record::new(format!("k{i}"), format!("value {i} {}", "y".repeat(100)))).collect()
}

/// Keys, values, headers and timestamps that a careless copy would alter.
fn awkward_records(count: i64) -> Vec<Record> {
    let day = 86_400_000;
    (0..count)
        .map(|i| match i % 5 {
            0 => Record::new(format!("key-{i}"), format!("{{\"n\":{i},\"text\":\"{}\"}}", "x".repeat(300))),
            1 => Record { key: None, value: Some(Vec::new()), ..Record::default() }.at(now_ms() - day + i),
            2 => Record { key: Some(Vec::new()), value: None, ..Record::default() }.at(now_ms() + i),
            3 => Record::value(vec![0xff, 0xfe, 0x00]).header("h", Some(b"1")).header("h", None).header("", Some(b"")),
            _ => Record::new(vec![0x80], vec![0_u8; 2_000]).header("z", Some(&[0xc3, 0x28])),
        })
        .collect()
}

/// Where a story's records come from and go to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copy<'a> {
    pub(crate) source: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) target: &'a str,
    pub(crate) remote: &'a str,
}

impl Copy<'_> {
    /// Waits until each partition of the target holds at least as many records as the source.
    async fn wait_arrived(&self, worker: &Kmirror) -> Result<()> {
        let wanted = watermarks(self.source, self.topic).await?;
        worker
            .until(&format!("all of {} in {}", self.topic, self.remote), DEADLINE, async || {
                let seen = watermarks(self.target, self.remote).await?;
                ensure!(seen.len() == wanted.len(), "{} of {} partitions", seen.len(), wanted.len());
                let missing = wanted.iter().zip(&seen).any(|(wanted, seen)| seen.high < wanted.high);
                ensure!(!missing, "the target's ends {seen:?}, the source's {wanted:?}");
                Ok(())
            })
            .await
    }

    /// Waits until all has arrived, and requires both topics to be equal, offsets included: nothing missing, doubled,
    /// altered or out of order.
    pub(crate) async fn wait_equal(&self, worker: &Kmirror) -> Result<()> {
        self.wait_arrived(worker).await?;
        let (source, target) = self.read().await?;
        ensure!(source.len() == target.len(), "{} partitions of {}", target.len(), source.len());
        for (partition, (source, target)) in source.iter().zip(&target).enumerate() {
            if let Some((source, target)) = source.iter().zip(target).find(|(source, target)| source != target) {
                bail!("{}-{partition}: source has {}, target has {}", self.remote, brief(source), brief(target));
            }
            ensure!(source.len() == target.len(), "{}-{partition}: {} of {}", self.remote, target.len(), source.len());
        }
        Ok(())
    }

    async fn read(&self) -> Result<(Vec<Vec<RecordView>>, Vec<Vec<RecordView>>)> {
        Ok((read_all(self.source, self.topic).await?, read_all(self.target, self.remote).await?))
    }

    /// Records on the target now, over all partitions; 0 as long as the topic is not there.
    pub(crate) async fn arrived(&self) -> i64 {
        watermarks(self.target, self.remote).await.map_or(0, |ends| ends.iter().map(|end| end.high).sum())
    }

    /// Waits until more than `count` records are on the target.
    pub(crate) async fn wait_more_than(&self, worker: &Kmirror, count: i64) -> Result<i64> {
        worker
            .until(&format!("more than {count} records in {}", self.remote), DEADLINE, async || {
                let arrived = self.arrived().await;
                ensure!(arrived > count, "{arrived}");
                Ok(arrived)
            })
            .await
    }
}

/// A record in an error: enough to tell it from others.
fn brief(record: &RecordView) -> String {
    let text = |bytes: &Option<Vec<u8>>| match bytes {
        None => "null".to_owned(),
        Some(bytes) => format!("{:?} ({} bytes)", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]), bytes.len()),
    };
    let RecordView { offset, key, value, headers, timestamp, .. } = record;
    format!("offset {offset}, time {timestamp}, key {}, value {}, headers {headers:?}", text(key), text(value))
}

/// Fills a topic with records in batches of about 4 kB: as one batch a partition is under way at a time, copying them takes
/// seconds. No two records are alike.
async fn fill_slowly_copied(source: &str, topic: &str, partitions: i32, count: u64) -> Result<()> {
    let bulk = Bulk { value_bytes: 200, batch_bytes: 4_000, ..Bulk::new(count, partitions) };
    bulk_produce(source, topic, &bulk).await.map(|_| ())
}

/// Producers that write to all partitions of a topic until told to stop. No two records are alike.
struct Load {
    stop: Arc<AtomicBool>,
    producing: JoinHandle<Result<usize>>,
}

impl Load {
    fn start(bootstrap: &str, topic: &str, partitions: i32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (bootstrap, topic, stopped) = (bootstrap.to_owned(), topic.to_owned(), Arc::clone(&stop));
        let producing = tokio::spawn(async move {
            const ROUND: usize = 500;
            let mut sent = 0;
            for codec in Codec::ALL.into_iter().cycle() {
                if stopped.load(Ordering::Acquire) {
                    break;
                }
                let round: Vec<_> = (0..partitions).zip((sent..).step_by(ROUND)).collect();
                sent += ROUND * round.len();
                let parts = round.into_iter().map(async |(partition, from)| {
                    produce(&bootstrap, &topic, partition, &records(from, ROUND), codec).await
                });
                try_join_all(parts).await?;
            }
            Ok(sent)
        });
        Self { stop, producing }
    }

    /// Ends it; gives the number of records written.
    async fn stop(&mut self) -> Result<usize> {
        self.stop.store(true, Ordering::Release);
        tokio::time::timeout(DEADLINE, &mut self.producing).await.context("the load does not end")??
    }
}

/// Requires a condition to hold for as long as `time`.
async fn holds_for(time: Duration, mut check: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let start = std::time::Instant::now();
    while start.elapsed() < time {
        check().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
