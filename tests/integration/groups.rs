//! MirrorCheckpointConnector and MirrorHeartbeatConnector: what groups find in the target.

mod clusters;
mod exact;
mod moved;

use std::collections::BTreeMap;

use ::testkit::{
    Bulk, Java, Watermarks,
    anyhow::{Context, Result, ensure},
    bulk_produce, create_topic, delete_records, kafka_version, read_all, unique, watermarks,
};
use ::wire::{Cluster, ClusterConfig, CommittedOffset, TopicPartition};
use kmirror::records::{decode_checkpoint, decode_heartbeat};
use serde_json::{Value, json};

use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::{Pair, addresses, pair},
    worker::connector,
};

/// Kafka's own client tools.
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/groups/Clients.java");
const PARTITIONS: i32 = 3;

/// A source that nobody else's topics have the name of.
struct Scene {
    pair: Pair,
    alias: String,
    worker: Kmirror,
}

impl Scene {
    async fn start() -> Result<Self> {
        let pair = pair().await?;
        let worker = Kmirror::on(&pair.target).start().await?;
        Ok(Self { alias: unique("src").replace('-', ""), worker, pair })
    }

    fn config(&self, class: &str, more: &[(&str, &str)]) -> Value {
        let mut config = json!({
            "connector.class": format!("org.apache.kafka.connect.mirror.Mirror{class}Connector"),
            "source.cluster.alias": self.alias,
            "target.cluster.alias": "dst",
            "source.cluster.bootstrap.servers": self.pair.source,
            "target.cluster.bootstrap.servers": self.pair.target,
            "checkpoints.topic.replication.factor": "1",
            "heartbeats.topic.replication.factor": "1",
        });
        for (key, value) in more {
            config[*key] = json!(value);
        }
        config
    }

    /// A MirrorSourceConnector of these topics.
    async fn put_mirror(&self, topics: &str, more: &[(&str, &str)]) -> Result<()> {
        let alias = [("source.cluster.alias", self.alias.as_str())];
        let config = connector(&self.pair.source, &self.pair.target, topics, &[&alias, more].concat());
        self.worker.put_connector("mirror", &config).await.map(|_| ())
    }

    async fn mirror(&self, topic: &str, more: &[(&str, &str)]) -> Result<()> {
        self.put_mirror(topic, more).await?;
        let remote = self.remote(topic);
        self.worker
            .until("all that is left to be copied", DEADLINE, async || {
                let left = watermarks(&self.pair.source, topic).await?;
                let copied = watermarks(&self.pair.target, &remote).await?;
                let counts = |of: &[Watermarks]| of.iter().map(|ends| ends.high - ends.low).collect::<Vec<_>>();
                ensure!(counts(&left) == counts(&copied), "{copied:?} of {left:?}");
                Ok(())
            })
            .await
    }

    /// Waits until a group's last checkpoints of a topic lead from and to these offsets, in each partition.
    async fn wait_checkpoints(&self, group: &str, topic: &str, wanted: (i64, i64)) -> Result<()> {
        let (checkpoints, remote) = (format!("{}.checkpoints.internal", self.alias), self.remote(topic));
        self.worker
            .until(&format!("checkpoints {wanted:?} of {group} in {topic}"), DEADLINE, async || {
                let mut last = BTreeMap::new();
                for record in read_all(&self.pair.target, &checkpoints).await?.iter().flatten() {
                    let (key, value) = decode_checkpoint(record.key.as_deref(), record.value.as_deref())?;
                    let value = value.context("a tombstone")?;
                    if key.group == group && key.topic == remote {
                        last.insert(key.partition, (value.upstream_offset, value.downstream_offset));
                    }
                }
                ensure!(last == (0..PARTITIONS).map(|partition| (partition, wanted)).collect(), "{last:?}");
                Ok(())
            })
            .await
    }

    fn remote(&self, topic: &str) -> String {
        format!("{}.{topic}", self.alias)
    }

    fn source(&self) -> Cluster {
        Cluster::new(ClusterConfig::new("source", &addresses(&self.pair.source)))
    }

    fn target(&self) -> Cluster {
        Cluster::new(ClusterConfig::new("target", &addresses(&self.pair.target)))
    }
}

/// What a group has committed of a topic, by partition.
async fn committed(cluster: &Cluster, group: &str, topic: &str) -> Result<BTreeMap<i32, (i64, String)>> {
    let told = cluster.fetch_group_offsets(&[group.to_owned()]).await?;
    let (_, offsets) = told.into_iter().next().context("no answer")?;
    let of_topic = offsets?.into_iter().filter(|(partition, _)| partition.topic == topic);
    of_topic
        .map(|(partition, told)| told.map(|told| (partition.partition, (told.offset, told.metadata))))
        .map(|told| Ok(told?))
        .collect()
}

async fn commit(cluster: &Cluster, group: &str, topic: &str, offsets: &[i64]) -> Result<()> {
    let committed =
        |offset: &i64| CommittedOffset { offset: *offset, leader_epoch: None, metadata: format!("of {group}") };
    let offsets =
        (0..).zip(offsets).map(|(partition, offset)| (TopicPartition::new(topic, partition), committed(offset)));
    for (_, outcomes) in cluster.commit_group_offsets(&[(group.to_owned(), offsets.collect())]).await? {
        for (_, outcome) in outcomes {
            outcome?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn heartbeats_come_at_the_interval() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplication [3], MirrorHeartBeatConnectorTest.testMirrorHeartbeatConnectorDisabled,
    // testReplicationDisabled, MirrorHeartbeatTaskTest.testPollCreatesRecords
    let scene = Scene::start().await?;
    let config = scene.config("Heartbeat", &[("enabled", "false"), ("tasks.max", "3")]);
    scene.worker.put_connector("heartbeats", &config).await?;
    scene.worker.wait_running("heartbeats", 1).await?;
    let beats = || async {
        let records = read_all(&scene.pair.target, "heartbeats").await?;
        let mut times = Vec::new();
        for record in records.iter().flatten() {
            let (key, value) = decode_heartbeat(record.key.as_deref(), record.value.as_deref())?;
            if (key.source_alias.as_str(), key.target_alias.as_str()) == (&scene.alias, "dst") {
                times.extend(value.map(|value| value.timestamp));
            }
        }
        Ok::<_, ::testkit::anyhow::Error>(times)
    };
    let times = scene
        .worker
        .until("three heartbeats", DEADLINE, async || {
            let times = beats().await?;
            ensure!(times.len() >= 3, "{times:?}");
            Ok(times)
        })
        .await?;
    ensure!(times.is_sorted() && times.windows(2).all(|pair| pair[1] - pair[0] >= 900), "{times:?}");
    scene
        .worker
        .put_connector("heartbeats", &scene.config("Heartbeat", &[("emit.heartbeats.enabled", "false")]))
        .await?;
    scene.worker.wait_running("heartbeats", 0).await?;
    Ok(())
}

/// Groups anywhere in a topic whose offsets differ at both ends: what each finds in the target is exact, and Java's tools read it.
#[tokio::test]
async fn offsets_are_translated_exactly_for_groups_anywhere() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplication [5, 6], testOneWayReplicationWithAutoOffsetSync [11, 12, 13],
    // testOffsetTranslationBehindReplicationFlow, MirrorCheckpointConnectorTest.testMirrorCheckpointConnectorEnabled, testReplicationEnabled,
    // testReplicationDisabled
    const RECORDS: i64 = 20_000;
    const REMOVED: i64 = 1_000;
    let scene = Scene::start().await?;
    let topic = unique("groups");
    create_topic(&scene.pair.source, &topic, PARTITIONS, 1, &[]).await?;
    let all = u64::try_from(RECORDS)? * u64::from(PARTITIONS.unsigned_abs());
    bulk_produce(&scene.pair.source, &topic, &Bulk { value_bytes: 80, ..Bulk::new(all, PARTITIONS) }).await?;
    for partition in 0..PARTITIONS {
        delete_records(&scene.pair.source, &topic, partition, REMOVED).await?;
    }
    scene.mirror(&topic, &[]).await?;

    let (source, target) = (scene.source(), scene.target());
    let behind = [0, 1, 10, 100, 1_000, 10_000, RECORDS];
    let prefix = unique("behind");
    let groups: Vec<(String, Vec<i64>)> = behind
        .iter()
        .map(|behind| {
            (format!("{prefix}-{behind}"), (0..i64::from(PARTITIONS)).map(|n| (RECORDS - behind - n).max(0)).collect())
        })
        .collect();
    for (group, offsets) in &groups {
        commit(&source, group, &topic, offsets).await?;
    }
    commit(&source, &format!("console-consumer-{prefix}"), &topic, &[5]).await?;
    let interval = [("emit.checkpoints.interval.seconds", "1"), ("sync.group.offsets.interval.seconds", "1")];
    let groups_key = format!("{prefix}.*,console-consumer-{prefix}");
    let more = [
        ("sync.group.offsets.enabled", "true"),
        ("groups", groups_key.as_str()),
        ("tasks.max", "2"),
        ("topics", &topic),
    ];
    let config = scene.config("Checkpoint", &[&interval[..], &more].concat());
    scene.worker.put_connector("groups", &config).await?;
    scene.worker.wait_running("groups", 2).await?;
    let tasks = scene.worker.get("/connectors/groups/tasks").await?.ok()?;
    let assigned = tasks[0]["config"]["task.assigned.groups"].as_str().unwrap_or_default();
    ensure!(assigned.split(',').count() == 4, "{tasks}");

    let remote = scene.remote(&topic);
    // Each record stands as much earlier as were removed; who is behind all that is left begins at its start.
    let expected = |group: &str, offsets: &[i64]| -> BTreeMap<i32, (i64, String)> {
        (0..).zip(offsets.iter().map(|offset| ((offset - REMOVED).max(0), format!("of {group}")))).collect()
    };
    let in_target = async |group: &str, offsets: &[i64]| {
        let expected = expected(group, offsets);
        scene
            .worker
            .until(&format!("offsets of {group} in the target"), DEADLINE, async || {
                let found = committed(&target, group, &remote).await?;
                ensure!(found == expected, "{found:?} instead of {expected:?}");
                Ok(())
            })
            .await
    };
    for (group, offsets) in &groups {
        in_target(group, offsets).await?;
    }
    ensure!(committed(&target, &format!("console-consumer-{prefix}"), &remote).await?.is_empty(), "it is excluded");
    let at_source = source.topics(Some(std::slice::from_ref(&remote))).await?;
    ensure!(at_source.iter().all(|topic| topic.error != 0), "{remote} is in the source too");

    let path = "/connectors/groups/kmirror/groups";
    let told = scene.worker.get(path).await?.ok()?;
    let told: BTreeMap<&str, &Value> = told["groups"]
        .as_array()
        .context("no groups")?
        .iter()
        .filter_map(|group| Some((group["group"].as_str()?, group)))
        .collect();
    ensure!(told.len() == groups.len(), "{told:?}");
    for (group, offsets) in &groups {
        let partitions = told[group.as_str()]["partitions"].as_array().context("no partitions")?;
        ensure!(partitions.len() == offsets.len(), "{partitions:?}");
        for (partition, offset) in partitions.iter().zip(offsets) {
            let wanted = json!([offset, (offset - REMOVED).max(0), "EXACT", 0]);
            let found = json!([
                partition["source_offset"],
                partition["target_offset"],
                partition["outcome"],
                partition["again"]
            ]);
            ensure!(found == wanted, "{partition} instead of {wanted}");
        }
    }

    // A group that goes on is followed; one that goes back in the source is not set back in the target.
    let (first, last) = (&groups[0].0, &groups[5].0);
    commit(&source, last, &topic, &[RECORDS, RECORDS, RECORDS]).await?;
    commit(&source, first, &topic, &[REMOVED, REMOVED, REMOVED]).await?;
    in_target(last, &[RECORDS, RECORDS, RECORDS]).await?;
    scene.wait_checkpoints(first, &topic, (REMOVED, 0)).await?;
    in_target(first, &groups[0].1).await?;

    if kafka_version() != "2.8.2" {
        let told = Java::new(&kafka_version()).await?;
        let told = told.tool(CLIENTS, &[&scene.pair.target, &scene.alias, last], "").await?.stdout;
        for partition in 0..PARTITIONS {
            let line = format!("{remote}-{partition} {}", RECORDS - REMOVED);
            ensure!(told.lines().any(|told| told == line), "no {line} in {told}");
        }
        ensure!(told.contains("checkpoints true"), "{told}");
    }
    // Asked for now, each partition is told: nothing has changed but for the group that went back.
    let told = scene.worker.request("POST", "/connectors/groups/kmirror/sync-groups", None).await?.ok()?;
    for group in told["groups"].as_array().context("no groups")? {
        let wanted = if group["group"] == first.as_str() { "TARGET_AHEAD" } else { "UP_TO_DATE" };
        let partitions = group["partitions"].as_array().context("no partitions")?;
        ensure!(partitions.len() == 3 && partitions.iter().all(|told| told["outcome"] == wanted), "{group}");
    }
    let refused = scene.worker.get("/connectors/mirror/kmirror/groups").await?;
    ensure!(refused.status == 404, "{refused:?}");
    scene.worker.put_connector("groups", &scene.config("Checkpoint", &[("enabled", "false")])).await?;
    scene.worker.wait_running("groups", 0).await?;
    Ok(())
}

/// MirrorMaker waits for a record; where the copy of an empty topic begins is known before one comes.
#[tokio::test]
async fn a_group_of_an_empty_topic_has_its_checkpoint_at_once() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testNoCheckpointsIfNoRecordsAreMirrored
    let scene = Scene::start().await?;
    let (topic, group) = (unique("empty"), unique("early"));
    create_topic(&scene.pair.source, &topic, PARTITIONS, 1, &[]).await?;
    let source = scene.source();
    commit(&source, &group, &topic, &[0, 0, 0]).await?;
    scene.mirror(&topic, &[]).await?;
    let more = [("emit.checkpoints.interval.seconds", "1"), ("groups", group.as_str()), ("topics", topic.as_str())];
    scene.worker.put_connector("groups", &scene.config("Checkpoint", &more)).await?;
    scene.wait_checkpoints(&group, &topic, (0, 0)).await?;

    bulk_produce(&scene.pair.source, &topic, &Bulk::new(300, PARTITIONS)).await?;
    commit(&source, &group, &topic, &[60, 60, 60]).await?;
    scene.wait_checkpoints(&group, &topic, (60, 60)).await
}
