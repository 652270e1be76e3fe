//! What the stories of this room share: a real worker that mirrors while something goes wrong.

use ::testkit::{
    Cluster, Load,
    anyhow::{Context, Result, ensure},
    create_topic, end_offsets,
    proxy::Proxy,
    unique, wait_until,
};

use crate::{
    kmirror::{DEADLINE, Kmirror, list},
    worker::{Copy, connector, remote},
};

/// What a worker may have in memory at most, bytes, whatever the brokers do.
pub(super) const MEMORY: u64 = 96 << 20;

/// A cluster of a story: where it is read and written by the test, and where by the worker.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) direct: String,
    pub(super) via: String,
}

impl Side {
    /// The worker uses the brokers themselves.
    pub(super) fn direct(bootstrap: &str) -> Self {
        Self { direct: bootstrap.to_owned(), via: bootstrap.to_owned() }
    }

    /// The worker goes through a proxy.
    pub(super) fn behind(proxy: &Proxy, bootstrap: &str) -> Self {
        Self { direct: bootstrap.to_owned(), via: proxy.bootstrap() }
    }
}

/// A worker with one connector, running.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) worker: Kmirror,
    pub(super) connector: String,
    pub(super) source: Side,
    pub(super) target: Side,
}

impl Story {
    /// Starts a worker and a connector for these topics, with `tasks` tasks, and waits until it runs. What is made on the
    /// target gets `replicas` replicas.
    pub(super) async fn begin(
        source: Side,
        target: Side,
        topics: &[&str],
        replicas: i32,
        tasks: usize,
    ) -> Result<Self> {
        let story = Self::prepare(source, target, replicas).await?;
        story.mirror(topics, replicas, tasks).await?;
        Ok(story)
    }

    /// Starts a worker without a connector; its name is known already.
    pub(super) async fn prepare(source: Side, target: Side, replicas: i32) -> Result<Self> {
        let builder = ["config", "offset", "status"].iter().fold(Kmirror::on(&target.via), |worker, kind| {
            worker.property(&format!("{kind}.storage.replication.factor"), &replicas.to_string())
        });
        Ok(Self { worker: builder.start().await?, connector: unique("trouble"), source, target })
    }

    /// Starts the connector and waits until it runs.
    pub(super) async fn mirror(&self, topics: &[&str], replicas: i32, tasks: usize) -> Result<()> {
        let (replicas, tasks_max) = (replicas.to_string(), tasks.to_string());
        let more = [("replication.factor", replicas.as_str()), ("tasks.max", tasks_max.as_str())];
        let config = connector(&self.source.via, &self.target.via, &topics.join(","), &more);
        self.worker.put_connector(&self.connector, &config).await?;
        self.worker.wait_running(&self.connector, tasks).await?;
        Ok(())
    }

    /// Waits until the target's topic is equal to the source's, offsets included: nothing lost, doubled or reordered.
    pub(super) async fn wait_equal(&self, topic: &str) -> Result<()> {
        let copy = Copy { source: &self.source.direct, topic, target: &self.target.direct, remote: &remote(topic) };
        copy.wait_equal(&self.worker).await
    }

    /// Waits until each of these partitions has at least `more` records more on the target than now. `asked` are the
    /// brokers that are asked for it, where not all of them answer.
    pub(super) async fn wait_progress(&self, asked: &str, topic: &str, partitions: &[i32], more: i64) -> Result<()> {
        let remote = remote(topic);
        let before = ends(asked, &remote, partitions).await?;
        self.worker
            .until(&format!("{more} more records in each of {remote} {partitions:?}"), DEADLINE, async || {
                let now = end_offsets(asked, &remote, partitions).await?;
                let enough = before.iter().zip(&now).all(|(before, now)| now - before >= more);
                ensure!(enough, "from {before:?} to {now:?}");
                Ok(())
            })
            .await
    }

    /// Requires that the worker never had more than this in memory.
    pub(super) fn memory_within(&self, bytes: u64) -> Result<()> {
        let used = self.worker.usage()?.max_rss_bytes;
        let mb = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        eprintln!("{}: at most {:.1} MB resident", self.connector, mb(used));
        ensure!(used <= bytes, "{:.1} MB were resident, {:.1} are allowed", mb(used), mb(bytes));
        Ok(())
    }

    /// Whatever the brokers did, no records were lost or doubled, and nobody else wrote: there is nothing to tell.
    async fn no_alarm(&self) -> Result<()> {
        let told = self.worker.get(&format!("/connectors/{}/kmirror/events", self.connector)).await?.ok()?;
        ensure!(list(&told["events"]).is_empty(), "{told}");
        Ok(())
    }

    /// What every story ends with: the load ends, all is there and equal, the worker is well and was never large, and nothing is told
    /// of gaps.
    pub(super) async fn end(self, topic: &str, load: Load) -> Result<()> {
        let sent = load.stop().await?;
        ensure!(sent > 0, "no load");
        self.finish(topic).await
    }

    /// As [`Story::end`] where no load is left.
    pub(super) async fn finish(mut self, topic: &str) -> Result<()> {
        self.wait_equal(topic).await?;
        self.no_alarm().await?;
        self.worker.wait_healthy().await?;
        self.memory_within(MEMORY)?;
        self.worker.stop().await
    }
}

/// The high watermarks of some partitions, as soon as their leaders know them: a new leader is asked in vain at first.
pub(super) async fn ends(asked: &str, topic: &str, partitions: &[i32]) -> Result<Vec<i64>> {
    let what = format!("the ends of {topic} {partitions:?}");
    wait_until(&what, DEADLINE, async || end_offsets(asked, topic, partitions).await).await
}

/// Three brokers, each of which may be lost without harm.
pub(super) async fn three(name: &str) -> Result<Cluster> {
    Cluster::builder().name(name).brokers(3).property("min.insync.replicas", "2").start().await
}

/// A source of one broker.
pub(super) async fn one(name: &str) -> Result<Cluster> {
    Cluster::builder().name(name).start().await
}

/// The addresses of a cluster of three but for one broker's.
pub(super) fn but_for(cluster: &Cluster, broker: u32) -> Result<String> {
    let all = cluster.bootstrap();
    let others = cluster.broker_ids().into_iter().zip(all.split(',')).filter(|(id, _)| *id != broker);
    let others = others.map(|(_, address)| address).collect::<Vec<_>>().join(",");
    ensure!(!others.is_empty(), "{all} has no others");
    Ok(others)
}

/// A topic of the source under test, with a steady load.
pub(super) async fn loaded(
    bootstrap: &str,
    name: &str,
    partitions: i32,
    replicas: i32,
    per_second: u64,
) -> Result<(String, Load)> {
    let topic = unique(name);
    create_topic(bootstrap, &topic, partitions, replicas, &[]).await.context("the source's topic")?;
    let load = Load::start(bootstrap, &topic, partitions, per_second, 300);
    Ok((topic, load))
}
