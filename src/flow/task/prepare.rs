//! What a partition needs before it can be copied: an offset to begin at, a producer id, and what is known of the target's limits.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use wire::{Cluster, ConfigEntry, OffsetSpec, ProducerId, TopicPartition};

use crate::flow::Start;

/// Producer ids asked for at the same time.
const PRODUCER_IDS_AT_ONCE: usize = 16;
/// What limits a batch, bytes: beyond the first a broker refuses it as MESSAGE_TOO_LARGE, beyond the second as RECORD_LIST_TOO_LARGE.
const BATCH_LIMITS: [&str; 2] = ["max.message.bytes", "segment.bytes"];

/// A partition that is to be copied.
pub(super) struct Wanted {
    pub(super) index: usize,
    pub(super) source: TopicPartition,
    pub(super) target: TopicPartition,
    pub(super) start: Start,
}

/// What it needs.
pub(super) struct Prepared {
    /// Next source offset to copy.
    pub(super) position: i64,
    pub(super) producer: ProducerId,
    /// The target's, where it tells.
    pub(super) max_batch_bytes: Option<usize>,
}

/// One offset of one partition.
pub(super) async fn one_offset(cluster: &Cluster, partition: &TopicPartition, spec: OffsetSpec) -> wire::Result<i64> {
    let mut told = cluster.list_offsets(&[(partition.clone(), spec)]).await?;
    told.pop().map_or(Ok(0), |(_, offset)| offset)
}

/// The largest batch that each of these topics takes, bytes. Who may not ask finds out by what is refused.
pub(super) async fn batch_limits(cluster: &Cluster, topics: &[String]) -> BTreeMap<String, usize> {
    let told = cluster.describe_topic_configs(topics, Some(&BATCH_LIMITS)).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "the target's limits are not known");
        Vec::new()
    });
    let smallest = |settings: Vec<ConfigEntry>| {
        settings
            .iter()
            .filter(|setting| BATCH_LIMITS.contains(&setting.name.as_str()))
            .filter_map(|setting| setting.value.as_ref()?.parse().ok())
            .min()
    };
    told.into_iter().filter_map(|(topic, settings)| Some((topic, smallest(settings.ok()?)?))).collect()
}

/// Start offsets, producer ids and limits of new partitions.
pub(super) async fn prepare(
    source: &Cluster,
    target: &Cluster,
    wanted: Vec<Wanted>,
) -> Vec<(usize, wire::Result<Prepared>)> {
    let asked: Vec<(TopicPartition, OffsetSpec)> = wanted
        .iter()
        .filter_map(|wanted| match wanted.start {
            Start::At(_) => None,
            Start::Earliest => Some((wanted.source.clone(), OffsetSpec::Earliest)),
            Start::Latest => Some((wanted.source.clone(), OffsetSpec::Latest)),
        })
        .collect();
    let topics: BTreeSet<String> = wanted.iter().map(|wanted| wanted.target.topic.clone()).collect();
    let topics: Vec<String> = topics.into_iter().collect();
    let (told, limits) = tokio::join!(source.list_offsets(&asked), batch_limits(target, &topics));
    let told: BTreeMap<TopicPartition, wire::Result<i64>> = match told {
        Ok(told) => told.into_iter().collect(),
        Err(e) => asked.into_iter().map(|(partition, _)| (partition, Err(e.clone()))).collect(),
    };
    stream::iter(wanted)
        .map(|Wanted { index, source, target: at, start }| {
            let position = match start {
                Start::At(offset) => Ok(offset),
                Start::Earliest | Start::Latest => told.get(&source).cloned().unwrap_or(Ok(0)),
            };
            let max_batch_bytes = limits.get(&at.topic).copied();
            async move {
                let outcome = match position {
                    Ok(position) => {
                        let producer = target.init_producer_id().await;
                        producer.map(|producer| Prepared { position, producer, max_batch_bytes })
                    }
                    Err(e) => Err(e),
                };
                (index, outcome)
            }
        })
        .buffer_unordered(PRODUCER_IDS_AT_ONCE)
        .collect()
        .await
}
