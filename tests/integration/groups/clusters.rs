//! All three connectors in both directions, on clusters that nobody else writes heartbeats to.

use ::testkit::{Cluster as Brokers, Codec, Record, create_partitions, produce};
use kmirror::records::decode_checkpoint;

use super::*;

/// The same at both ends.
const TOPIC: &str = "orders";
const EMPTY: i32 = 2;

/// A cluster, and the worker that writes to it.
struct End {
    alias: &'static str,
    brokers: Brokers,
    worker: Kmirror,
}

impl End {
    async fn start(alias: &'static str) -> Result<Self> {
        let brokers = Brokers::builder().name(alias).start().await?;
        let worker = Kmirror::on(&brokers.bootstrap()).start().await?;
        Ok(Self { alias, brokers, worker })
    }

    fn client(&self) -> Cluster {
        Cluster::new(ClusterConfig::new(self.alias, &addresses(&self.brokers.bootstrap())))
    }

    /// Records of its own, behind those that are there; one partition stays empty.
    async fn fill(&self, topic: &str, from: usize) -> Result<()> {
        for partition in 0..EMPTY {
            let value = |n| Record::value(format!("{} {partition} {n}", self.alias));
            let records: Vec<_> = (from..from + 100).map(value).collect();
            produce(&self.brokers.bootstrap(), topic, partition, &records, Codec::None).await?;
        }
        Ok(())
    }

    /// Mirrors the other cluster to this one.
    async fn mirror(&self, other: &Self) -> Result<()> {
        for (name, class) in [("hbc", "Heartbeat"), ("msc", "Source"), ("cpc", "Checkpoint")] {
            let config = json!({
                "connector.class": format!("org.apache.kafka.connect.mirror.Mirror{class}Connector"),
                "source.cluster.alias": other.alias,
                "target.cluster.alias": self.alias,
                "source.cluster.bootstrap.servers": other.brokers.bootstrap(),
                "target.cluster.bootstrap.servers": self.brokers.bootstrap(),
                "replication.factor": "1",
                "offset-syncs.topic.replication.factor": "1",
                "checkpoints.topic.replication.factor": "1",
                "heartbeats.topic.replication.factor": "1",
                "offset-syncs.topic.location": "target",
                "topics": r"(.*\.)?(orders|later)",
                "groups": "readers.*",
                "refresh.topics.interval.seconds": "1",
                "refresh.groups.interval.seconds": "1",
                "emit.checkpoints.interval.seconds": "1",
                "sync.group.offsets.interval.seconds": "1",
                "sync.group.offsets.enabled": "true",
                "sync.topic.acls.enabled": "false",
            });
            self.worker.put_connector(name, &config).await?;
        }
        Ok(())
    }

    /// Waits until its own records and the other's are here, each where it should be and once.
    async fn wait_mirrored(&self, other: &Self) -> Result<()> {
        let remote = format!("{}.{TOPIC}", other.alias);
        self.worker
            .until(&format!("{remote} in {}", self.alias), DEADLINE, async || {
                let values = async |end: &Self, topic: &str| -> Result<Vec<Vec<_>>> {
                    let read = read_all(&end.brokers.bootstrap(), topic).await?;
                    Ok(read.into_iter().map(|all| all.into_iter().map(|record| record.value).collect()).collect())
                };
                let (there, here) = (values(other, TOPIC).await?, values(self, &remote).await?);
                ensure!(there == here, "{} of {} partitions", here.len(), there.len());
                Ok(())
            })
            .await
    }

    /// Waits until a group of the other cluster has these offsets here.
    async fn wait_offsets(&self, other: &Self, group: &str, topic: &str, offsets: &[i64]) -> Result<()> {
        let remote = format!("{}.{topic}", other.alias);
        self.worker
            .until(&format!("offsets of {group} in {remote}"), DEADLINE, async || {
                let found = committed(&self.client(), group, &remote).await?;
                let found: Vec<i64> = found.into_values().map(|(offset, _)| offset).collect();
                ensure!(found == offsets, "{found:?} instead of {offsets:?}");
                Ok(())
            })
            .await
    }

    async fn topics(&self) -> Result<Vec<String>> {
        Ok(self.client().topics(None).await?.into_iter().map(|topic| topic.name).collect())
    }
}

/// What Java's `MirrorClient` makes of the heartbeats that were mirrored.
async fn wait_seen_by_java(here: &End, there: &End, group: &str) -> Result<()> {
    let java = Java::new(&kafka_version()).await?;
    here.worker
        .until("the other cluster one hop away", DEADLINE, async || {
            let told = java.tool(CLIENTS, &[&here.brokers.bootstrap(), there.alias, group], "").await?.stdout;
            for line in ["hops 1", "upstream true", "checkpoints true"] {
                ensure!(told.lines().any(|told| told == line), "no {line} in {told}");
            }
            Ok(())
        })
        .await
}

/// No checkpoint of a partition leads further back than the one before.
async fn ensure_monotone(here: &End, there: &End) -> Result<()> {
    let mut last = BTreeMap::new();
    let topic = format!("{}.checkpoints.internal", there.alias);
    for record in read_all(&here.brokers.bootstrap(), &topic).await?.iter().flatten() {
        let (key, value) = decode_checkpoint(record.key.as_deref(), record.value.as_deref())?;
        let offset = value.context("a tombstone")?.downstream_offset;
        let before = last.insert((key.group.clone(), key.topic.clone(), key.partition), offset);
        ensure!(before.is_none_or(|before| before <= offset), "{key}: {offset} after {before:?}");
    }
    ensure!(!last.is_empty(), "no checkpoints in {topic}");
    Ok(())
}

#[tokio::test]
async fn two_clusters_mirror_each_other() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplication [1, 3, 4, 6, 7], testReplicationWithEmptyPartition,
    // testOneWayReplicationWithAutoOffsetSync [14], testOffsetSyncsTopicsOnTarget, testRestartReplication, assertMonotonicCheckpoints
    let (mut east, mut west) = tokio::try_join!(End::start("east"), End::start("west"))?;
    for end in [&east, &west] {
        create_topic(&end.brokers.bootstrap(), TOPIC, EMPTY + 1, 1, &[]).await?;
        end.fill(TOPIC, 0).await?;
        commit(&end.client(), &format!("readers-{}", end.alias), TOPIC, &[100, 40, 0]).await?;
    }
    west.mirror(&east).await?;
    east.mirror(&west).await?;
    for (here, there) in [(&east, &west), (&west, &east)] {
        here.wait_mirrored(there).await?;
        here.wait_offsets(there, &format!("readers-{}", there.alias), TOPIC, &[100, 40, 0]).await?;
        wait_seen_by_java(here, there, &format!("readers-{}", there.alias)).await?;
    }

    // A topic that is made now, with an empty partition, and a group that takes it up.
    create_topic(&east.brokers.bootstrap(), "later", EMPTY, 1, &[]).await?;
    east.fill("later", 0).await?;
    create_partitions(&east.brokers.bootstrap(), "later", EMPTY + 1).await?;
    commit(&east.client(), "readers-east", "later", &[7, 100, 0]).await?;
    west.wait_offsets(&east, "readers-east", "later", &[7, 100, 0]).await?;
    west.wait_offsets(&east, "readers-east", TOPIC, &[100, 40, 0]).await?;

    // Both start again, and more comes.
    for end in [&mut east, &mut west] {
        end.worker.stop().await?;
        end.worker.restart().await?;
        end.fill(TOPIC, 100).await?;
        commit(&end.client(), &format!("readers-{}", end.alias), TOPIC, &[150, 200, 0]).await?;
    }
    for (here, there) in [(&east, &west), (&west, &east)] {
        here.wait_mirrored(there).await?;
        here.wait_offsets(there, &format!("readers-{}", there.alias), TOPIC, &[150, 200, 0]).await?;
        ensure_monotone(here, there).await?;
        let topics = here.topics().await?;
        let hops = |topic: &&String| topic.matches("east.").count() + topic.matches("west.").count();
        let back: Vec<_> = topics.iter().filter(|topic| !topic.ends_with(".internal") && hops(topic) > 1).collect();
        ensure!(back.is_empty(), "what came from here has come back: {back:?}");
        let syncs: Vec<_> = topics.iter().filter(|topic| topic.starts_with("mm2-offset-syncs")).collect();
        ensure!(syncs == [&format!("mm2-offset-syncs.{}.internal", there.alias)], "{syncs:?} in {}", here.alias);
    }
    Ok(())
}
