//! The sample of AWS for migrations to Amazon MSK, as it stands.

use std::collections::BTreeMap;

use ::kmirror::records::{decode_checkpoint, decode_heartbeat};
use ::testkit::{
    Codec, Record, Scratch,
    anyhow::{Context, Result, ensure},
    commit_group_offset, create_topic, produce, read_all, topic_configs, unique,
};
use serde_json::{Value, json};

use super::{Copy, awkward_records, now_ms};
use crate::{
    kmirror::{self, DEADLINE, Kmirror},
    shared::{Pair, addresses, pair},
};

const CONNECTOR: &str = include_str!("../../../config/mm2-msc-no-auth.json");
const CHECKPOINTS: &str = include_str!("../../../config/mm2-cpc-no-auth.json");
const HEARTBEATS: &str = include_str!("../../../config/mm2-hbc-no-auth.json");
const WORKER: &str = include_str!("../../../config/connect-distributed.properties");
const ALIAS: &str = "msksource";

/// Topics that the sample's `topics` takes: one per codec, and one with settings.
struct Topics {
    codecs: Vec<(String, Codec)>,
    settings: String,
}

impl Topics {
    /// Made and filled: the sample looks for new topics only every 300 s.
    async fn make(source: &str) -> Result<Self> {
        let name = |what: &str| format!("ExampleTopic_{what}_{}", unique("").replace('-', "_"));
        let topics = Self {
            codecs: Codec::ALL.iter().map(|codec| (name(codec.name()), *codec)).collect(),
            settings: name("settings"),
        };
        for (topic, codec) in &topics.codecs {
            create_topic(source, topic, 2, 3, &[]).await?;
            produce(source, topic, 1, &awkward_records(500), *codec).await?;
        }
        let settings = [
            ("cleanup.policy", "compact"),
            ("retention.ms", "123456789"),
            ("max.message.bytes", "2000000"),
            ("min.insync.replicas", "2"),
            ("leader.replication.throttled.replicas", "0:1"),
        ];
        create_topic(source, &topics.settings, 7, 3, &settings).await?;
        // A compacted topic wants keys, and times close enough together to leave its segment open.
        let keyed: Vec<_> =
            (0..100).map(|i| Record::new(format!("k{}", i % 10), format!("{i}")).at(now_ms())).collect();
        produce(source, &topics.settings, 6, &keyed, Codec::Zstd).await?;
        Ok(topics)
    }

    async fn check(&self, worker: &Kmirror, pair: &Pair, remote: impl Fn(&str) -> String) -> Result<()> {
        let topics = self.codecs.iter().map(|(topic, _)| topic).chain([&self.settings]);
        for topic in topics {
            let remote = remote(topic);
            let copy = Copy { source: &pair.source, topic, target: &pair.target, remote: &remote };
            copy.wait_equal(worker).await?;
        }
        let expected = [("cleanup.policy", "compact"), ("max.message.bytes", "2000000"), ("retention.ms", "123456789")];
        let expected: BTreeMap<_, _> = expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        for (topic, expected) in [(&self.settings, expected), (&self.codecs[0].0, BTreeMap::new())] {
            let mut copied = topic_configs(&pair.target, &remote(topic)).await?;
            for limit in ["message.timestamp.before.max.ms", "message.timestamp.after.max.ms"] {
                assert!(copied.remove(limit).is_some(), "the source's {limit} is said: {copied:?}");
            }
            assert_eq!(copied, expected);
        }
        Ok(())
    }
}

/// A worker from the sample's file with its placeholders filled in.
async fn worker(pair: &Pair) -> Result<Kmirror> {
    ensure!(
        addresses(&pair.target).len() >= 3,
        "the sample asks for three replicas: run this under `testkit-supervisor --brokers 3`"
    );
    let file = WORKER.replace("BROKERS", &pair.target).replace("GROUP", &unique("sample"));
    Kmirror::on(&pair.target).file(&file).start().await
}

fn filled_in(text: &str, pair: &Pair) -> String {
    text.replace("{SOURCE CLUSTER BROKERS ADDRESS}", &pair.source)
        .replace("{TARGET CLUSTER BROKERS ADDRESS}", &pair.target)
}

/// PUTs the text as the sample's README does.
async fn put_by_curl(worker: &Kmirror, name: &str, text: &str) -> Result<(u16, Value)> {
    let dir = Scratch::new("sample")?;
    let file = kmirror::write(dir.path(), &format!("{name}-no-auth.json"), text)?;
    let path = format!("/connectors/{name}/config");
    let data = format!("@{file}");
    kmirror::curl(worker, &path, &["-X", "PUT", "-H", "Content-Type: application/json", "--data", &data])
        .await
        .and_then(|(status, body)| Ok((status, serde_json::from_str(&body).with_context(|| body.clone())?)))
}

#[tokio::test]
async fn with_the_default_policy_the_sample_mirrors_under_the_sources_alias() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplication [9], MirrorSourceTaskTest.testSerde, testPoll
    let pair = pair().await?;
    let topics = Topics::make(&pair.source).await?;
    let worker = worker(&pair).await?;
    let mut config: Value = serde_json::from_str(&filled_in(CONNECTOR, &pair))?;
    config["replication.policy.class"] = json!("org.apache.kafka.connect.mirror.DefaultReplicationPolicy");
    let (status, info) = put_by_curl(&worker, "mm2-msc", &config.to_string()).await?;
    assert_eq!(status, 201, "{info}");
    worker.wait_running("mm2-msc", 4).await?;
    topics.check(&worker, &pair, |topic| format!("{ALIAS}.{topic}")).await
}

/// All three from their own files, as the sample's README says. (One test: two workers of this configuration would copy the same topics.)
#[tokio::test]
async fn the_samples_three_connectors_run_together() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplication [9]
    let pair = pair().await?;
    let topics = Topics::make(&pair.source).await?;
    let (topic, _) = &topics.codecs[0];
    let group = unique("sample-readers");
    commit_group_offset(&pair.source, &group, topic, 1, 250).await?;
    let worker = worker(&pair).await?;
    for (name, text, tasks) in [("mm2-msc", CONNECTOR, 4), ("mm2-cpc", CHECKPOINTS, 1), ("mm2-hbc", HEARTBEATS, 1)] {
        let (status, info) = put_by_curl(&worker, name, &filled_in(text, &pair)).await?;
        ensure!(status == 201 && info["name"] == name, "{status}: {info}");
        assert_eq!(info["config"]["key.converter"], " org.apache.kafka.connect.converters.ByteArrayConverter");
        worker.wait_running(name, tasks).await?;
        let (status, shown) = kmirror::curl(&worker, &format!("/connectors/{name}/status"), &[]).await?;
        ensure!(status == 200 && shown.contains("RUNNING") && !shown.contains("FAILED"), "{status}: {shown}");
    }
    topics.check(&worker, &pair, str::to_owned).await?;
    let (status, _) = put_by_curl(&worker, "mm2-msc", &filled_in(CONNECTOR, &pair)).await?;
    assert_eq!(status, 200, "the second time it exists");
    worker.wait_running("mm2-msc", 4).await?;
    topics.check(&worker, &pair, str::to_owned).await?;
    // The sample's checkpoint connector is not told of the policy that keeps names: it names the topic as it would by default.
    let named = format!("{ALIAS}.{topic}");
    worker
        .until("a checkpoint and a heartbeat", DEADLINE, async || {
            let checkpoints = read_all(&pair.target, &format!("{ALIAS}.checkpoints.internal")).await?;
            let mut found = None;
            for record in checkpoints.iter().flatten() {
                let (key, value) = decode_checkpoint(record.key.as_deref(), record.value.as_deref())?;
                if (key.group.as_str(), key.topic.as_str(), key.partition) == (&group, &named, 1) {
                    found = value.map(|value| (value.upstream_offset, value.downstream_offset));
                }
            }
            ensure!(found == Some((250, 250)), "{found:?}");
            let mut beats = 0;
            for record in read_all(&pair.target, "heartbeats").await?.iter().flatten() {
                let (key, _) = decode_heartbeat(record.key.as_deref(), record.value.as_deref())?;
                beats += u32::from((key.source_alias.as_str(), key.target_alias.as_str()) == (ALIAS, "mskdest"));
            }
            ensure!(beats > 0, "no heartbeat");
            Ok(())
        })
        .await?;
    let (status, listed) = kmirror::curl(&worker, "/connectors", &[]).await?;
    let mut listed: Vec<String> = serde_json::from_str(&listed)?;
    listed.sort_unstable();
    ensure!(status == 200 && listed == ["mm2-cpc", "mm2-hbc", "mm2-msc"], "{listed:?}");
    for name in listed {
        let (status, _) = kmirror::curl(&worker, &format!("/connectors/{name}"), &["-X", "DELETE"]).await?;
        ensure!(status == 204, "{name}: {status}");
    }
    Ok(())
}
