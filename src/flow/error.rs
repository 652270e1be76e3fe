//! Why a partition is no longer copied.

use wire::{CorruptBatch, TopicPartition};

use super::gap::Gap;

/// A reason that only a person, or a later kmirror, can take away. It stops one partition; the others of the task go on. Offsets are the
/// source's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The bytes are not what the source's producer wrote, however often they are fetched.
    #[error("{partition} of cluster {cluster}: fetched {tries} times, and still {cause}")]
    Corrupt {
        /// The source's alias.
        cluster: String,
        /// Source partition.
        partition: TopicPartition,
        /// How often.
        tries: u32,
        /// What is wrong, with the batch's offset.
        cause: CorruptBatch,
    },
    /// It can't go on as if nothing had happened.
    #[error("{kind}: {0}", kind = .0.kind())]
    Gap(Gap),
    /// Another worker copies the partition now.
    #[error("{partition} is copied by another worker now, which took it over{}", after(*.generation))]
    Superseded {
        /// Source partition.
        partition: TopicPartition,
        /// Generation of this worker's anchors.
        generation: Option<u64>,
    },
    /// A broker refuses what can't be refused otherwise by trying again.
    #[error("{operation} of {partition} at source offset {offset} refused by cluster {cluster}: {cause}")]
    Refused {
        /// Alias of the cluster that refuses.
        cluster: String,
        /// Partition in that cluster.
        partition: TopicPartition,
        /// The request's Kafka name.
        operation: &'static str,
        /// Source offset the request was about, −1 before the first.
        offset: i64,
        /// The broker's words.
        cause: String,
    },
    /// A record can't be written, and `kmirror.poison.policy` is `fail`.
    #[error(
        "the record of {from} at offset {offset} is refused for {to} by cluster {cluster}: {reason} (kmirror.poison.policy=park or skip \
         would go on without it)"
    )]
    Poison {
        /// Alias of the cluster that refuses.
        cluster: String,
        /// Partition it comes from.
        from: TopicPartition,
        /// Partition it is meant for.
        to: TopicPartition,
        /// In the source.
        offset: i64,
        /// The broker's words.
        reason: String,
    },
    /// A record can't be written, and neither can it be parked.
    #[error(
        "the record of {from} at offset {offset} can't be written, nor parked in topic {topic} of the target: {cause}"
    )]
    NotParked {
        /// Partition it comes from.
        from: TopicPartition,
        /// In the source.
        offset: i64,
        /// `kmirror.poison.topic`.
        topic: String,
        /// Why it can't be parked.
        cause: String,
    },
    /// A record is to go to a topic that can't be had.
    #[error(
        "the record of {from} at offset {offset} can't be written to topic {topic}, which its transformations choose: {cause}"
    )]
    Unroutable {
        /// Partition it comes from.
        from: TopicPartition,
        /// In the source.
        offset: i64,
        /// On the target. It may be no legal name.
        topic: String,
        /// Why it can't be had.
        cause: String,
    },
    /// The copy could not begin: its start offset or its producer id is refused.
    #[error("{partition} can't be started: {cause}")]
    Unprepared {
        /// Source partition.
        partition: TopicPartition,
        /// Which cluster refuses what.
        cause: wire::Error,
    },
}

fn after(generation: Option<u64>) -> String {
    generation.map_or_else(String::new, |generation| format!(" after generation {generation}"))
}
