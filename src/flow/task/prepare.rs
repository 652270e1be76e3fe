//! What a partition needs before it can be copied: an offset to begin at, and a producer id.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use wire::{Cluster, OffsetSpec, ProducerId, TopicPartition};

use crate::flow::Start;

/// Producer ids asked for at the same time.
const PRODUCER_IDS_AT_ONCE: usize = 16;

/// One offset of one partition.
pub(super) async fn one_offset(cluster: &Cluster, partition: &TopicPartition, spec: OffsetSpec) -> wire::Result<i64> {
    let mut told = cluster.list_offsets(&[(partition.clone(), spec)]).await?;
    told.pop().map_or(Ok(0), |(_, offset)| offset)
}

/// Start offsets and producer ids of new partitions.
pub(super) async fn prepare(
    source: &Cluster,
    target: &Cluster,
    wanted: Vec<(usize, TopicPartition, Start)>,
) -> Vec<(usize, wire::Result<(i64, ProducerId)>)> {
    let asked: Vec<(TopicPartition, OffsetSpec)> = wanted
        .iter()
        .filter_map(|(_, partition, start)| match start {
            Start::At(_) => None,
            Start::Earliest => Some((partition.clone(), OffsetSpec::Earliest)),
            Start::Latest => Some((partition.clone(), OffsetSpec::Latest)),
        })
        .collect();
    let told: BTreeMap<TopicPartition, wire::Result<i64>> = match source.list_offsets(&asked).await {
        Ok(told) => told.into_iter().collect(),
        Err(e) => asked.into_iter().map(|(partition, _)| (partition, Err(e.clone()))).collect(),
    };
    stream::iter(wanted)
        .map(|(index, partition, start)| {
            let position = match start {
                Start::At(offset) => Ok(offset),
                Start::Earliest | Start::Latest => told.get(&partition).cloned().unwrap_or(Ok(0)),
            };
            async move {
                let outcome = match position {
                    Ok(position) => target.init_producer_id().await.map(|producer| (position, producer)),
                    Err(e) => Err(e),
                };
                (index, outcome)
            }
        })
        .buffer_unordered(PRODUCER_IDS_AT_ONCE)
        .collect()
        .await
}
