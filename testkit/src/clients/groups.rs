//! Consumer groups: their offsets, and members of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::JoinHandle;

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

/// A consumer of librdkafka's that is in a group until it leaves or is dropped. It commits nothing.
#[derive(Debug)]
pub struct Member {
    signs: Arc<Signs>,
    polling: JoinHandle<Result<()>>,
}

#[derive(Debug, Default)]
struct Signs {
    stop: AtomicBool,
    has_partitions: AtomicBool,
}

impl Member {
    /// Joins by the `group.protocol` `classic` or `consumer` (KIP-848: brokers from 4.0), and waits until it has partitions of the topic.
    pub async fn join(bootstrap: &str, group: &str, topic: &str, protocol: &str) -> Result<Self> {
        let mut client = config(bootstrap);
        client.set("group.id", group).set("group.protocol", protocol).set("enable.auto.commit", "false");
        let (topic, signs) = (topic.to_owned(), Arc::<Signs>::default());
        let shared = Arc::clone(&signs);
        let polling = tokio::spawn(blocking(move || {
            let consumer: BaseConsumer = client.create()?;
            consumer.subscribe(&[&topic])?;
            while !shared.stop.load(SeqCst) {
                // Trouble on the way passes; what lasts shows by the partitions that don't come.
                let _ = consumer.poll(Duration::from_millis(100));
                shared.has_partitions.store(consumer.assignment()?.count() > 0, SeqCst);
                if let Some((code, why)) = consumer.client().fatal_error() {
                    bail!("{code}: {why}");
                }
            }
            Ok(())
        }));
        let member = Self { signs, polling };
        wait_until(&format!("a member of group {group}"), DEADLINE, async || {
            anyhow::ensure!(member.signs.has_partitions.load(SeqCst), "it has no partitions");
            Ok(())
        })
        .await?;
        Ok(member)
    }

    /// Leaves the group.
    pub async fn leave(mut self) -> Result<()> {
        self.signs.stop.store(true, SeqCst);
        (&mut self.polling).await?
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.signs.stop.store(true, SeqCst);
    }
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
