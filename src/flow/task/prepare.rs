//! What a partition needs before it can be copied: an offset to begin at, a producer id, and what is known of the target's limits.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use wire::{Cluster, ConfigEntry, OffsetSpec, ProducerId, ResponseError, TopicPartition};

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
    pub(super) is_routed: bool,
}

/// What it needs.
pub(super) struct Prepared {
    /// Next source offset to copy.
    pub(super) position: i64,
    pub(super) producer: ProducerId,
    /// One past the last record in the target's log; absent where it may not be read.
    pub(super) target_end: Option<i64>,
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

/// Where logs of the target end; none where they may not be read.
async fn log_ends(target: &Cluster, targets: &[TopicPartition]) -> BTreeMap<TopicPartition, wire::Result<Option<i64>>> {
    let readable = |end: wire::Result<i64>| match end {
        Err(error) if error.response() == Some(ResponseError::TopicAuthorizationFailed) => Ok(None),
        told => told.map(Some),
    };
    match target.log_ends(targets).await {
        Ok(told) => told.into_iter().map(|(partition, end)| (partition, readable(end))).collect(),
        Err(error) => targets.iter().map(|partition| (partition.clone(), Err(error.clone()))).collect(),
    }
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
    // Where records choose their topics none is known yet.
    let targets: Vec<TopicPartition> =
        wanted.iter().filter(|wanted| !wanted.is_routed).map(|wanted| wanted.target.clone()).collect();
    let (told, limits, ends) =
        tokio::join!(source.list_offsets(&asked), batch_limits(target, &topics), log_ends(target, &targets));
    let told: BTreeMap<TopicPartition, wire::Result<i64>> = match told {
        Ok(told) => told.into_iter().collect(),
        Err(e) => asked.into_iter().map(|(partition, _)| (partition, Err(e.clone()))).collect(),
    };
    stream::iter(wanted)
        .map(|Wanted { index, source, target: at, start, .. }| {
            let position = match start {
                Start::At(offset) => Ok(offset),
                Start::Earliest | Start::Latest => told.get(&source).cloned().unwrap_or(Ok(0)),
            };
            let max_batch_bytes = limits.get(&at.topic).copied();
            let target_end = ends.get(&at).cloned().unwrap_or(Ok(None));
            async move {
                let prepared = async {
                    let (position, target_end) = (position?, target_end?);
                    let producer = target.init_producer_id().await?;
                    Ok(Prepared { position, producer, target_end, max_batch_bytes })
                };
                (index, prepared.await)
            }
        })
        .buffer_unordered(PRODUCER_IDS_AT_ONCE)
        .collect()
        .await
}
