//! The clusters that all contestants use.

use std::time::Instant;

use testkit::{Bulk, Cluster, Codec, Jvm, anyhow::Result, bulk_produce, create_topic, delete_topic};

use crate::contestants::Ends;

/// A source and a target of one broker each.
pub(crate) struct Brokers {
    source: Cluster,
    target: Cluster,
}

impl Brokers {
    /// Starts both and makes them write for a while, so that the first who is measured does not meet cold brokers.
    /// `heap_mb` is each broker's.
    pub(crate) async fn start(heap_mb: u32) -> Result<Self> {
        let began = Instant::now();
        let start = |name| {
            Cluster::builder()
                .name(name)
                .jvm(Jvm::full(heap_mb))
                // Kafka's defaults, where the kit hurries for the sake of tests: with thousands of partitions it costs.
                .property("log.retention.check.interval.ms", "300000")
                .property("log.cleaner.backoff.ms", "15000")
                .property("num.network.threads", "3")
                .property("num.io.threads", "8")
                .start()
        };
        let (source, target) = tokio::try_join!(start("source"), start("target"))?;
        let brokers = Self { source, target };
        tokio::try_join!(warm_up(&brokers.source), warm_up(&brokers.target))?;
        eprintln!("brokers ready after {:.1} s", began.elapsed().as_secs_f64());
        Ok(brokers)
    }

    /// Both.
    pub(crate) fn ends(&self) -> Ends<'_> {
        Ends { source: &self.source, target: &self.target }
    }
}

async fn warm_up(cluster: &Cluster) -> Result<()> {
    let bootstrap = cluster.bootstrap();
    for (codec, batch_bytes, records) in
        [(Codec::Lz4, 262_144, 300_000), (Codec::None, 16_384, 300_000), (Codec::Gzip, 262_144, 50_000)]
    {
        let topic = format!("warm-up-{}", codec.name());
        create_topic(&bootstrap, &topic, 8, 1, &[]).await?;
        bulk_produce(&bootstrap, &topic, &Bulk { codec, batch_bytes, ..Bulk::new(records, 8) }).await?;
        delete_topic(&bootstrap, &topic).await?;
    }
    Ok(())
}
