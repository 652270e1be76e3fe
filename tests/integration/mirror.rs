//! MirrorSourceConnector against two real clusters.

mod acls;
mod offset_syncs;
mod topic_configs;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ::testkit::{anyhow::Result, unique, wait_until_eq};
use ::wire::{Cluster, ClusterConfig, ConfigSource, NewTopic, TopicPartition};
use kmirror::{
    config::{Properties, SourceConnectorConfig, WorkerConfig},
    flow::{Events, Limits, RateCap, Start, StoredPosition},
    mirror::{Error, SourceConnector},
};

use crate::shared::pair;

fn client(alias: &str, bootstrap: &str) -> Cluster {
    Cluster::new(ClusterConfig::new(alias, &crate::shared::addresses(bootstrap)))
}

fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A connector's configuration; later pairs win.
fn config(source: &str, target: &str, more: &[(&str, &str)]) -> Result<SourceConnectorConfig> {
    let worker = properties(&[
        ("bootstrap.servers", target),
        ("group.id", "g"),
        ("key.converter", "c"),
        ("value.converter", "c"),
        ("config.storage.topic", "c"),
        ("offset.storage.topic", "o"),
        ("status.storage.topic", "s"),
    ]);
    let mut raw = properties(&[
        ("name", "msc"),
        ("connector.class", "MirrorSourceConnector"),
        ("source.cluster.alias", "A"),
        ("target.cluster.alias", "B"),
        ("source.cluster.bootstrap.servers", source),
        ("target.cluster.bootstrap.servers", target),
        ("replication.factor", "1"),
        ("offset-syncs.topic.replication.factor", "1"),
    ]);
    raw.extend(properties(more));
    Ok(SourceConnectorConfig::parse(&raw, &WorkerConfig::parse(&worker)?)?)
}

async fn create(cluster: &Cluster, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Result<()> {
    let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let topic = NewTopic { name: name.to_owned(), partitions, replication_factor: 1, configs };
    for (_, outcome) in cluster.create_topics(&[topic]).await? {
        outcome?;
    }
    Ok(())
}

async fn partitions_of(cluster: &Cluster, name: &str) -> Result<usize> {
    let metadata = cluster.topics(Some(&[name.to_owned()])).await?;
    Ok(metadata.iter().filter(|topic| topic.error == 0).map(|topic| topic.partitions.len()).sum())
}

/// Refreshes until this many partitions are mirrored and this many topics failed: brokers hear of a new topic one after
/// the other, and any of them may be asked.
async fn refreshed(connector: &mut SourceConnector, partitions: usize, failures: usize) -> Result<Vec<TopicPartition>> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let mirrored = connector.sync_topics().await?;
        if mirrored.len() == partitions && connector.failures().len() == failures {
            return Ok(mirrored);
        }
        let failed = connector.failures();
        assert!(Instant::now() < deadline, "wanted {partitions} and {failures} failures: {mirrored:?}, {failed:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn remote_topics_are_made_like_their_sources_and_grow_with_them() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplication [2],
    // MirrorSourceConnectorTest.testRefreshTopicPartitionsTopicOnTargetFirst,
    // MirrorConnectorsWithCustomForwardingAdminIntegrationTest.testCreatePartitionsUseProvidedForwardingAdmin
    let pair = pair().await?;
    let (source, target) = (client("A", &pair.source), client("B", &pair.target));
    let prefix = unique("mirrored");
    let (compact, plain, existing) =
        (format!("{prefix}-compact"), format!("{prefix}-plain"), format!("{prefix}-there"));
    create(&source, &compact, 3, &[("cleanup.policy", "compact"), ("min.insync.replicas", "1")]).await?;
    create(&source, &plain, 1, &[]).await?;
    create(&source, &existing, 2, &[]).await?;
    create(&target, &format!("A.{existing}"), 4, &[]).await?;

    let topics = format!("{prefix}.*");
    let config = config(&pair.source, &pair.target, &[("topics", &topics), ("tasks.max", "2")])?;
    let mut connector = SourceConnector::connect(config, &target).await?;
    connector.source_check().check().await?;
    let mirrored = refreshed(&mut connector, 6, 0).await?;
    let names: Vec<String> = mirrored.iter().map(ToString::to_string).collect();
    let expected = [
        format!("{compact}-0"),
        format!("{compact}-1"),
        format!("{compact}-2"),
        format!("{plain}-0"),
        format!("{existing}-0"),
        format!("{existing}-1"),
    ];
    assert_eq!(names, expected);
    assert_eq!(connector.failures(), &BTreeMap::new());
    // A broker that did not make the topic hears of it a little later.
    wait_until_eq("the remote topic's partitions", Duration::from_secs(30), 3, async || {
        partitions_of(&target, &format!("A.{compact}")).await
    })
    .await?;
    assert_eq!(partitions_of(&target, &format!("A.{existing}")).await?, 4, "never lowered");

    let configs = target.describe_topic_configs(&[format!("A.{compact}")], None).await?;
    let entries = configs[0].1.clone()?;
    let entry = |name: &str| entries.iter().find(|entry| entry.name == name).expect("the setting");
    assert_eq!(
        (entry("cleanup.policy").value.as_deref(), entry("cleanup.policy").source),
        (Some("compact"), ConfigSource::Topic)
    );
    assert_ne!(entry("min.insync.replicas").source, ConfigSource::Topic, "excluded by default");

    for (_, outcome) in source.create_partitions(&[(plain.clone(), 2)]).await? {
        outcome?;
    }
    let grown = refreshed(&mut connector, 7, 0).await?;
    let tasks = connector.task_partitions(&grown);
    assert_eq!(tasks.iter().map(Vec::len).collect::<Vec<_>>(), [4, 3]);

    let position = StoredPosition { offset: 41, anchored: None };
    let stored = BTreeMap::from([(TopicPartition::new(&*compact, 0), position)]);
    let spec = connector.flow_spec(0, &tasks[0], &stored, &Limits::default(), &RateCap::default(), &Events::default());
    assert_eq!(spec.name, "msc-0");
    assert_eq!(spec.partitions[0].target, TopicPartition::new(format!("A.{compact}"), 0));
    assert_eq!(spec.partitions[0].start, Start::At(42));
    assert_eq!(spec.partitions[1].start, Start::Earliest);
    Ok(())
}

#[tokio::test]
async fn one_topics_failure_does_not_keep_the_others() -> Result<()> {
    // IdentityReplicationIntegrationTest.*
    let pair = pair().await?;
    let (source, target) = (client("A", &pair.source), client("B", &pair.target));
    let prefix = unique("partly");
    let (there, refused) = (format!("{prefix}-there"), format!("{prefix}-refused"));
    create(&source, &there, 1, &[]).await?;
    create(&source, &refused, 1, &[]).await?;
    create(&target, &there, 1, &[]).await?;
    let topics = format!("{prefix}.*");
    let more = [
        ("topics", topics.as_str()),
        // More than the shared clusters have brokers.
        ("replication.factor", "4"),
        ("replication.policy.class", "IdentityReplicationPolicy"),
    ];
    let mut connector = SourceConnector::connect(config(&pair.source, &pair.target, &more)?, &target).await?;
    assert_eq!(refreshed(&mut connector, 1, 1).await?, [TopicPartition::new(&*there, 0)]);
    let reason = connector.failures().get(&refused).expect("a named failure");
    assert!(reason.contains("INVALID_REPLICATION_FACTOR") && reason.contains(&refused), "{reason}");
    Ok(())
}

#[tokio::test]
async fn wrong_clusters_are_refused_by_name() -> Result<()> {
    let pair = pair().await?;
    let target = client("B", &pair.target);

    let elsewhere = config(&pair.source, &pair.target, &[("target.cluster.bootstrap.servers", &pair.source)])?;
    let error = SourceConnector::connect(elsewhere, &target).await.expect_err("another cluster");
    let ids = [client("A", &pair.source).cluster_id().await?, target.cluster_id().await?];
    assert!(matches!(error, Error::WrongTarget { .. }), "{error}");
    assert!(ids.iter().all(|id| error.to_string().contains(id)), "{error}");

    let onto_itself = config(&pair.target, &pair.target, &[("replication.policy.class", "IdentityReplicationPolicy")])?;
    let error = SourceConnector::connect(onto_itself, &target).await.expect_err("the same cluster");
    assert!(matches!(error, Error::SameCluster { .. }), "{error}");

    let disabled = config("127.0.0.1:1", &pair.target, &[("enabled", "false")])?;
    let mut disabled = SourceConnector::connect(disabled, &target).await?;
    assert_eq!(disabled.sync_topics().await?, []);
    Ok(())
}

#[tokio::test]
async fn an_unreachable_source_is_named_soon() -> Result<()> {
    let pair = pair().await?;
    let target = client("B", &pair.target);
    // Nothing listens on the first; the second takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let addresses = format!("127.0.0.1:1,{}", silent.local_addr()?);
    let started = Instant::now();
    let error =
        SourceConnector::connect(config(&addresses, &pair.target, &[])?, &target).await.expect_err("nobody there");
    let text = error.to_string();
    assert!(
        text.contains("127.0.0.1:1") && text.contains("cluster A") && text.contains("reaching the source"),
        "{text}"
    );
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    Ok(())
}
