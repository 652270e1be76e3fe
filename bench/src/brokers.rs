//! The clusters that all contestants use.

use std::{
    fs,
    time::{Duration, Instant},
};

use testkit::{
    Cluster, Jvm,
    anyhow::{Context, Result, ensure},
    wait_until,
};

use crate::{Choices, contestants::Ends, warm_up::warm_up};

/// Longest wait for files to be removed.
const REMOVED: Duration = Duration::from_secs(120);

/// A source and a target of one broker each.
pub(crate) struct Brokers {
    source: Cluster,
    target: Cluster,
}

impl Brokers {
    /// Starts both and warms them up. `heap_mb` is each broker's; what `properties` say wins.
    pub(crate) async fn start(heap_mb: u32, properties: &[(&str, &str)], choices: &Choices) -> Result<Self> {
        let began = Instant::now();
        let start = |name| {
            let builder = Cluster::builder()
                .name(name)
                .jvm(Jvm::full(heap_mb))
                // Kafka's defaults, where the kit hurries for the sake of tests: with thousands of partitions it costs.
                .property("log.retention.check.interval.ms", "300000")
                .property("log.cleaner.backoff.ms", "15000")
                .property("num.network.threads", "3")
                .property("num.io.threads", "8")
                // Not Kafka's minute: what is deleted takes room until then, which may be memory.
                .property("log.segment.delete.delay.ms", "1000");
            properties.iter().fold(builder, |builder, (key, value)| builder.property(key, value)).start()
        };
        let (source, target) = tokio::try_join!(start("source"), start("target"))?;
        let brokers = Self { source, target };
        warm_up(brokers.ends(), choices).await.context("warming the brokers up")?;
        eprintln!("brokers ready after {:.1} s", began.elapsed().as_secs_f64());
        Ok(brokers)
    }

    /// Both.
    pub(crate) fn ends(&self) -> Ends<'_> {
        Ends { source: &self.source, target: &self.target }
    }
}

/// Waits until the files of deleted topics are gone: they take room, and removing them takes time that is nobody's.
pub(crate) async fn files_gone(ends: Ends<'_>) -> Result<()> {
    let mut directories = Vec::new();
    for cluster in [ends.source, ends.target] {
        for broker in cluster.broker_ids() {
            let any = cluster.partition_dir(broker, "any", 0)?;
            directories.push(any.parent().context("a partition's directory lies in none")?.to_owned());
        }
    }
    wait_until("files of deleted topics to be removed", REMOVED, async || {
        let mut left = 0;
        for directory in &directories {
            for entry in fs::read_dir(directory)? {
                // `<topic>-<partition>.<uuid>-delete`, of `LogManager.asyncDelete`.
                left += usize::from(entry?.file_name().to_string_lossy().ends_with("-delete"));
            }
        }
        ensure!(left == 0, "{left} directories are left");
        Ok(())
    })
    .await
}
