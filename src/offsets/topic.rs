//! The map's topic in the target: made where it is missing, refused where it would lose the map.

use std::{fmt::Debug, time::Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use wire::{Backoff, Cluster, Headers, NewRecord, NewTopic, OffsetSpec, Record, ResponseError, TopicPartition};

use super::Error;

/// Key and value; a value of `None` is a tombstone.
pub(super) type Pair = (Option<Bytes>, Option<Bytes>);

/// What the maps need of their topic's one partition.
pub(super) trait Log: Debug + Send + Sync {
    /// First and next offset.
    fn bounds(&self) -> BoxFuture<'_, wire::Result<(i64, i64)>>;
    /// Records from an offset on, of about so many bytes or of one batch, and the offset to go on from.
    fn read(&self, from: i64, bytes: i32) -> BoxFuture<'_, wire::Result<(Vec<Record>, i64)>>;
    /// Appends as one batch; tells the first one's offset.
    fn append<'a>(&'a self, pairs: &'a [Pair]) -> BoxFuture<'a, wire::Result<i64>>;
}

/// The partition on brokers.
#[derive(Debug)]
pub(super) struct TopicLog {
    pub(super) cluster: Cluster,
    pub(super) partition: TopicPartition,
}

impl Log for TopicLog {
    fn bounds(&self) -> BoxFuture<'_, wire::Result<(i64, i64)>> {
        Box::pin(async move {
            let mut bounds = (0, 0);
            for (spec, bound) in [(OffsetSpec::Earliest, &mut bounds.0), (OffsetSpec::Latest, &mut bounds.1)] {
                // One answer per partition: the two are asked for apart.
                if let Some((_, told)) = self.cluster.list_offsets(&[(self.partition.clone(), spec)]).await?.pop() {
                    *bound = told?;
                }
            }
            Ok(bounds)
        })
    }

    fn read(&self, from: i64, bytes: i32) -> BoxFuture<'_, wire::Result<(Vec<Record>, i64)>> {
        Box::pin(self.cluster.read_some_records(&self.partition, from, bytes))
    }

    fn append<'a>(&'a self, pairs: &'a [Pair]) -> BoxFuture<'a, wire::Result<i64>> {
        Box::pin(async move {
            let record =
                |(key, value): &Pair| NewRecord { key: key.clone(), value: value.clone(), headers: Headers::new() };
            let records: Vec<NewRecord> = pairs.iter().map(record).collect();
            self.cluster.append_records(&self.partition, &records).await
        })
    }
}

/// As Kafka's own `offsets.topic.segment.bytes`: what is in the newest segment is never compacted, and has to be read at each start.
const SEGMENT_BYTES: &str = "104857600";
/// `max.message.bytes` as Kafka has it by default.
const DEFAULT_LIMIT: usize = 1_048_588;

/// Makes the topic if it is missing, and checks it. Tells the largest batch that it takes, bytes.
pub(super) async fn prepare(cluster: &Cluster, topic: &str, replication_factor: i16) -> Result<usize, Error> {
    let failed = |cause: wire::Error| Error::Cluster { topic: topic.to_owned(), cause: Box::new(cause) };
    let names = [topic.to_owned()];
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    let found = cluster.topics(Some(&names)).await.map_err(failed)?;
    if found.iter().any(|found| found.error == unknown) {
        let new = NewTopic {
            name: topic.to_owned(),
            partitions: 1,
            replication_factor,
            configs: [("cleanup.policy", "compact"), ("segment.bytes", SEGMENT_BYTES)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        for (_, made) in cluster.create_topics(&[new]).await.map_err(failed)? {
            match made {
                Ok(_) => tracing::info!(topic, "created offset map {topic} in cluster {}", cluster.alias()),
                Err(error) if error.response() == Some(ResponseError::TopicAlreadyExists) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
    check_partitions(cluster, topic).await?;
    check_rights(cluster, topic).await?;
    let settings = ["cleanup.policy", "max.message.bytes"];
    let mut told = cluster.describe_topic_configs(&names, Some(&settings)).await.map_err(failed)?;
    let entries = match told.pop().map(|(_, entries)| entries) {
        Some(Ok(entries)) => entries,
        // As with Connect's topics: without the right to ask, it is taken as it is.
        Some(Err(error)) => {
            tracing::warn!(topic, "can't tell whether the offset map {topic} is compacted: {error}");
            Vec::new()
        }
        None => Vec::new(),
    };
    let value = |name: &str| entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.value.as_deref());
    match value("cleanup.policy").map(str::trim) {
        None | Some("compact") => {}
        Some(found) => {
            return Err(Error::CleanupPolicy {
                topic: topic.to_owned(),
                cluster: cluster.alias().to_owned(),
                found: found.to_owned(),
            });
        }
    }
    Ok(value("max.message.bytes").and_then(|bytes| bytes.parse().ok()).unwrap_or(DEFAULT_LIMIT))
}

/// Asks for the rights: an empty map is not read, and none is written before there is something to copy.
async fn check_rights(cluster: &Cluster, topic: &str) -> Result<(), Error> {
    let rights = cluster.topic_rights(&[topic.to_owned()]).await;
    let rights = rights.map_err(|cause| Error::Cluster { topic: topic.to_owned(), cause: Box::new(cause) })?;
    // Who is not told finds out.
    let Some(rights) = rights.get(topic) else { return Ok(()) };
    match [(rights.read, "READ"), (rights.write, "WRITE")].into_iter().find(|(granted, _)| !granted) {
        None => Ok(()),
        Some((_, operation)) => {
            Err(Error::Denied { topic: topic.to_owned(), cluster: cluster.alias().to_owned(), operation })
        }
    }
}

/// Waits until the brokers know the topic: one just made is unknown to some for a moment.
async fn check_partitions(cluster: &Cluster, topic: &str) -> Result<(), Error> {
    let give_up = Instant::now() + cluster.request_timeout();
    let mut backoff = Backoff::for_requests();
    loop {
        let found = cluster.topics(Some(&[topic.to_owned()])).await;
        let found = found.map_err(|cause| Error::Cluster { topic: topic.to_owned(), cause: Box::new(cause) })?;
        let found = found.first();
        if let Some(partitions) = found.filter(|found| found.error == 0).map(|found| &found.partitions)
            && partitions.iter().any(|partition| partition.leader.is_some())
        {
            if partitions.len() == 1 {
                return Ok(());
            }
            let (topic, cluster) = (topic.to_owned(), cluster.alias().to_owned());
            return Err(Error::Partitions { topic, cluster, found: partitions.len() });
        }
        let code = found.map_or(0, |found| found.error);
        let may_come = code == 0 || wire::recovery_of(code) != wire::Recovery::Fatal;
        let wait = backoff.next_wait();
        if !may_come || Instant::now() + wait >= give_up {
            let code = if code == 0 { ResponseError::LeaderNotAvailable.code() } else { code };
            let cause = wire::Error::Broker {
                cluster: cluster.alias().to_owned(),
                api: "Metadata",
                resource: format!("topic {topic}"),
                code,
                message: None,
            };
            return Err(Error::Cluster { topic: topic.to_owned(), cause: Box::new(cause) });
        }
        tokio::time::sleep(wait).await;
    }
}
