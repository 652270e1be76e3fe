//! Offsets of consumer groups.

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::{DEADLINE, blocking, config, consumer};
use crate::wait::wait_until;

/// Commits `offset` (the next record to read) for an inactive consumer group.
pub async fn commit_group_offset(bootstrap: &str, group: &str, topic: &str, partition: i32, offset: i64) -> Result<()> {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    with_coordinator(bootstrap, group, move |consumer| consumer.commit(&offsets, CommitMode::Sync))
        .await
        .with_context(|| format!("committing {offset} of {topic}-{partition} for group {group}"))
}

/// What a consumer group has committed for a partition (the next record to read); None if nothing.
pub async fn committed_group_offset(bootstrap: &str, group: &str, topic: &str, partition: i32) -> Result<Option<i64>> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, partition);
    let committed =
        with_coordinator(bootstrap, group, move |consumer| consumer.committed_offsets(asked.clone(), DEADLINE))
            .await
            .with_context(|| format!("what group {group} has committed for {topic}-{partition}"))?;
    Ok(committed.find_partition(topic, partition).and_then(|p| match p.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }))
}

/// Asks the group's coordinator, again as long as that is only coming up.
async fn with_coordinator<T: Send + 'static>(
    bootstrap: &str,
    group: &str,
    call: impl Fn(&BaseConsumer) -> KafkaResult<T> + Clone + Send + 'static,
) -> Result<T> {
    wait_until(&format!("the coordinator of group {group}"), DEADLINE, || {
        let (client, call) = (config(bootstrap).set("group.id", group).clone(), call.clone());
        blocking(move || match call(&consumer(&client)?) {
            Err(error) if is_coming_up(&error) => Err(error.into()),
            result => Ok(result),
        })
    })
    .await?
    .map_err(Into::into)
}

fn is_coming_up(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::WaitingForCoordinator
        )
    )
}
