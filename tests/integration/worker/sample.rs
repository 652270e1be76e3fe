//! The sample of AWS for migrations to Amazon MSK, as it stands.

use std::collections::BTreeMap;

use ::testkit::{
    Codec, Record, Scratch,
    anyhow::{Context, Result, ensure},
    create_topic, produce, topic_configs, unique,
};
use serde_json::{Value, json};

use super::{Copy, awkward_records, now_ms};
use crate::{
    kmirror::{self, Kmirror},
    shared::{Pair, addresses, pair},
};

const CONNECTOR: &str = include_str!("../../../config/mm2-msc-no-auth.json");
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

fn filled_in(pair: &Pair) -> String {
    CONNECTOR
        .replace("{SOURCE CLUSTER BROKERS ADDRESS}", &pair.source)
        .replace("{TARGET CLUSTER BROKERS ADDRESS}", &pair.target)
}

/// PUTs the text as the sample's README does.
async fn put_by_curl(worker: &Kmirror, text: &str) -> Result<(u16, Value)> {
    let dir = Scratch::new("sample")?;
    let file = kmirror::write(dir.path(), "mm2-msc-no-auth.json", text)?;
    let path = "/connectors/mm2-msc/config";
    let data = format!("@{file}");
    kmirror::curl(worker, path, &["-X", "PUT", "-H", "Content-Type: application/json", "--data", &data])
        .await
        .and_then(|(status, body)| Ok((status, serde_json::from_str(&body).with_context(|| body.clone())?)))
}

#[tokio::test]
async fn the_sample_mirrors_under_the_same_names() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplication [9]
    let pair = pair().await?;
    let topics = Topics::make(&pair.source).await?;
    let worker = worker(&pair).await?;
    let (status, info) = put_by_curl(&worker, &filled_in(&pair)).await?;
    assert_eq!(status, 201, "{info}");
    assert_eq!(info["name"], "mm2-msc");
    assert_eq!(info["config"]["key.converter"], " org.apache.kafka.connect.converters.ByteArrayConverter");
    worker.wait_running("mm2-msc", 4).await?;
    topics.check(&worker, &pair, str::to_owned).await?;

    let (status, _) = put_by_curl(&worker, &filled_in(&pair)).await?;
    assert_eq!(status, 200, "the second time it exists");
    worker.wait_running("mm2-msc", 4).await?;
    topics.check(&worker, &pair, str::to_owned).await
}

#[tokio::test]
async fn with_the_default_policy_the_sample_mirrors_under_the_sources_alias() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplication [9], MirrorSourceTaskTest.testSerde, testPoll
    let pair = pair().await?;
    let topics = Topics::make(&pair.source).await?;
    let worker = worker(&pair).await?;
    let mut config: Value = serde_json::from_str(&filled_in(&pair))?;
    config["replication.policy.class"] = json!("org.apache.kafka.connect.mirror.DefaultReplicationPolicy");
    let (status, info) = put_by_curl(&worker, &config.to_string()).await?;
    assert_eq!(status, 201, "{info}");
    worker.wait_running("mm2-msc", 4).await?;
    topics.check(&worker, &pair, |topic| format!("{ALIAS}.{topic}")).await
}
