//! Topics and their configurations.

use std::collections::BTreeMap;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
    TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::ends::EndOffsets;
use super::{DEADLINE, REQUEST_DEADLINE, blocking, config, consumer};
use crate::wait::wait_until;

fn admin(bootstrap: &str) -> Result<AdminClient<DefaultClientContext>> {
    Ok(config(bootstrap).create()?)
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(DEADLINE)).operation_timeout(Some(DEADLINE))
}

fn only(mut results: Vec<TopicResult>, what: &str) -> Result<()> {
    ensure!(results.len() == 1, "{what}: {} answers", results.len());
    results.remove(0).map(|_| ()).map_err(|(topic, code)| anyhow::anyhow!("{what} {topic}: {code}"))
}

/// Creates a topic with topic configs (`("cleanup.policy", "compact")` …) and waits until all partitions have leaders.
pub async fn create_topic(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    replication_factor: i32,
    configs: &[(&str, &str)],
) -> Result<()> {
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replication_factor));
    for (key, value) in configs {
        new = new.set(key, value);
    }
    let given_up = AtomicBool::new(false);
    let told = wait_until("a broker that creates topics", DEADLINE, async || {
        let told = admin(bootstrap)?.create_topics([&new], &options()).await;
        // So ends what librdkafka asks of a broker that the metadata leave out for a moment, whether it was done or not.
        match told {
            Err(error @ KafkaError::AdminOp(RDKafkaErrorCode::DestroyBroker)) => {
                given_up.store(true, Ordering::Relaxed);
                Err(error.into())
            }
            told => Ok(told),
        }
    });
    let told = told.await??;
    let exists = matches!(told[..], [Err((_, RDKafkaErrorCode::TopicAlreadyExists))]);
    if !(exists && given_up.into_inner()) {
        only(told, "creating")?;
    }
    wait_for_topic(bootstrap, topic, partitions).await
}

/// Creates many topics of equally many partitions, without replicas or configs, and waits until all have leaders.
pub async fn create_topics(bootstrap: &str, topics: &[String], partitions: i32) -> Result<()> {
    // A controller takes some 10,000 partitions in one request.
    for some in topics.chunks(100) {
        let new: Vec<_> =
            some.iter().map(|topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(1))).collect();
        for created in admin(bootstrap)?.create_topics(&new, &options()).await? {
            created.map_err(|(topic, code)| anyhow::anyhow!("creating {topic}: {code}"))?;
        }
    }
    let ends = EndOffsets::new(bootstrap)?;
    wait_until(&format!("{} topics with leaders", topics.len()), DEADLINE, async || {
        let led = ends.led_partitions().await?;
        let missing = topics.iter().filter(|&topic| led.get(topic).copied().unwrap_or(0) < partitions).count();
        ensure!(missing == 0, "{missing} are missing or without leaders");
        Ok(())
    })
    .await
}

/// Deletes topics and waits until brokers no longer tell of them.
pub async fn delete_topics(bootstrap: &str, topics: &[String]) -> Result<()> {
    for some in topics.chunks(100) {
        let names: Vec<_> = some.iter().map(String::as_str).collect();
        for deleted in admin(bootstrap)?.delete_topics(&names, &options()).await? {
            deleted.map_err(|(topic, code)| anyhow::anyhow!("deleting {topic}: {code}"))?;
        }
    }
    let ends = EndOffsets::new(bootstrap)?;
    wait_until(&format!("{} topics to be gone", topics.len()), DEADLINE, async || {
        let led = ends.led_partitions().await?;
        let left = topics.iter().filter(|&topic| led.contains_key(topic)).count();
        ensure!(left == 0, "{left} are still there");
        Ok(())
    })
    .await
}

/// Waits until a topic has at least this many partitions and each of them a leader, by the word of every broker in the
/// list that answers: brokers hear of a new topic one after the other, and any of them may be asked next.
pub async fn wait_for_topic(bootstrap: &str, topic: &str, partitions: i32) -> Result<()> {
    wait_told(bootstrap, topic, partitions, false).await
}

/// As [`wait_for_topic`], where each broker has to answer if `by_all`.
async fn wait_told(bootstrap: &str, topic: &str, partitions: i32, by_all: bool) -> Result<()> {
    let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
    wait_until(&format!("{partitions} partitions of {topic} with leaders"), DEADLINE, || {
        let (bootstrap, topic) = (bootstrap.clone(), topic.clone());
        blocking(move || {
            let answers: Vec<_> =
                bootstrap.split(',').map(|address| led_partitions(address, &topic)).collect::<Result<_>>()?;
            let silent = answers.iter().filter(|answer| answer.is_none()).count();
            ensure!(silent == 0 || (!by_all && silent < answers.len()), "{silent} brokers do not answer");
            for (led, error) in answers.into_iter().flatten() {
                ensure!(error.is_none() && led >= partitions as usize, "{led} with leaders, {error:?}");
            }
            Ok(())
        })
    })
    .await
}

/// Where a partition lives, by broker ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The leader, −1 for none.
    pub leader: i32,
    /// All replicas, the preferred leader first.
    pub replicas: Vec<i32>,
    /// The replicas in sync, in ascending order.
    pub in_sync: Vec<i32>,
}

/// Where each partition of a topic lives, by partition number.
pub async fn placements(bootstrap: &str, topic: &str) -> Result<Vec<Placement>> {
    let (client, topic) = (config(bootstrap), topic.to_owned());
    blocking(move || {
        let metadata = consumer(&client)?.fetch_metadata(Some(&topic), REQUEST_DEADLINE)?;
        let found = metadata.topics().first().context("no answer for the topic")?;
        ensure!(found.error().is_none(), "{topic}: {:?}", found.error());
        let mut placed: Vec<_> = found.partitions().iter().collect();
        placed.sort_by_key(|p| p.id());
        let placement = |p: &rdkafka::metadata::MetadataPartition| {
            let mut in_sync = p.isr().to_vec();
            in_sync.sort_unstable();
            Placement { leader: p.leader(), replicas: p.replicas().to_vec(), in_sync }
        };
        Ok(placed.into_iter().map(placement).collect())
    })
    .await
}

/// How many partitions of a topic have leaders, and the topic's error, as one broker knows it: `None` where it is down or frozen. What fails
/// sooner says nothing about that.
fn led_partitions(address: &str, topic: &str) -> Result<Option<(usize, Option<RDKafkaRespErr>)>> {
    // A refused connection is quickly told from a slow answer, where librdkafka would try again until its deadline.
    let socket = address.to_socket_addrs()?.next().context("no such host")?;
    if TcpStream::connect_timeout(&socket, Duration::from_secs(2)).is_err() {
        return Ok(None);
    }
    let asked = Instant::now();
    let metadata = match consumer(&config(address))?.fetch_metadata(Some(topic), REQUEST_DEADLINE) {
        Err(_) if asked.elapsed() >= REQUEST_DEADLINE / 2 => return Ok(None),
        told => told.with_context(|| format!("asking {address} for {topic}"))?,
    };
    let seen = metadata.topics().first().context("no answer for the topic")?;
    Ok(Some((seen.partitions().iter().filter(|p| p.leader() >= 0).count(), seen.error())))
}

/// Raises a topic's partition count to `total` and waits until all have leaders, by the word of every broker: producers wait for a topic that the
/// one they ask does not know, and refuse records for a partition that it does not know.
pub async fn create_partitions(bootstrap: &str, topic: &str, total: i32) -> Result<()> {
    let new = NewPartitions::new(topic, usize::try_from(total)?);
    only(admin(bootstrap)?.create_partitions([&new], &options()).await?, "adding partitions to")?;
    wait_told(bootstrap, topic, total, true).await
}

/// Deletes a topic and waits until brokers no longer tell of it.
pub async fn delete_topic(bootstrap: &str, topic: &str) -> Result<()> {
    only(admin(bootstrap)?.delete_topics(&[topic], &options()).await?, "deleting")?;
    let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
    wait_until(&format!("{topic} to be gone"), DEADLINE, || {
        let (bootstrap, topic) = (bootstrap.clone(), topic.clone());
        blocking(move || {
            // Asked for all topics: a metadata request that names one may create it.
            let metadata = consumer(&config(&bootstrap))?.fetch_metadata(None, REQUEST_DEADLINE)?;
            ensure!(metadata.topics().iter().all(|t| t.name() != topic), "it is still there");
            Ok(())
        })
    })
    .await
}

/// Deletes the records of a partition before `before` (an offset); gives the new log start offset.
pub async fn delete_records(bootstrap: &str, topic: &str, partition: i32, before: i64) -> Result<i64> {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(before))?;
    let deleted = admin(bootstrap)?.delete_records(&offsets, &options()).await?;
    let elements = deleted.elements();
    let answer = elements.first().context("no answer for the partition")?;
    answer.error().with_context(|| format!("deleting records of {topic}-{partition} before {before}"))?;
    answer.offset().to_raw().context("no log start offset")
}

/// Sets a topic's configs, and waits until a broker tells of them. Those set before and not named here go back to their
/// defaults (Kafka's AlterConfigs).
pub async fn set_topic_configs(bootstrap: &str, topic: &str, configs: &[(&str, &str)]) -> Result<()> {
    let mut alter = AlterConfig::new(ResourceSpecifier::Topic(topic));
    for (key, value) in configs {
        alter = alter.set(key, value);
    }
    admin(bootstrap)?.alter_configs([&alter], &options()).await?;
    // The client passes over a refusal.
    wait_until(&format!("configs of {topic} to be set"), DEADLINE, async || {
        let set = topic_configs(bootstrap, topic).await?;
        let differing = configs.iter().find(|(key, value)| set.get(*key).map(String::as_str) != Some(value));
        ensure!(differing.is_none(), "not set: {differing:?}");
        // Beside those named, who keeps the topic's configs may have set some again.
        ensure!(!configs.is_empty() || set.is_empty(), "still set: {set:?}");
        Ok(())
    })
    .await
}

/// The configs set on a topic itself, without defaults of any kind, once a broker knows the topic.
pub async fn topic_configs(bootstrap: &str, topic: &str) -> Result<BTreeMap<String, String>> {
    wait_until(&format!("configs of {topic}"), DEADLINE, async || {
        let described = admin(bootstrap)?.describe_configs([&ResourceSpecifier::Topic(topic)], &options()).await?;
        let entries: Vec<_> = described.into_iter().flatten().flat_map(|resource| resource.entries).collect();
        // The client passes over an error; each topic has configs by default.
        ensure!(!entries.is_empty(), "none told");
        let own = entries.into_iter().filter(|e| matches!(e.source, ConfigSource::DynamicTopic));
        Ok(own.filter_map(|e| Some((e.name, e.value?))).collect())
    })
    .await
}
