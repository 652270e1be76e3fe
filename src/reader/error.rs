//! Why a partition can't be read.

/// What ends a reader. Offsets are of the cluster that is read: that of the next record wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReaderError {
    /// librdkafka takes no such settings, or there is no thread for it.
    #[error("cluster {cluster}: no reader could be made: {cause}")]
    Client {
        /// The cluster's alias.
        cluster: String,
        /// librdkafka's words.
        cause: String,
    },
    /// The cluster has no such topic or partition, and had none for five seconds.
    #[error("{topic}-{partition} of cluster {cluster} does not exist")]
    Missing {
        /// The cluster's alias.
        cluster: String,
        /// The topic.
        topic: String,
        /// The partition, −1 where it is about the topic.
        partition: i32,
    },
    /// The offset is not in the log, or no longer.
    #[error("{topic}-{partition} of cluster {cluster}: there is no offset {offset}")]
    OutOfRange {
        /// The cluster's alias.
        cluster: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset wanted.
        offset: i64,
    },
    /// A batch's sum is wrong, or it can't be decompressed.
    #[error("{topic}-{partition} of cluster {cluster} from offset {offset} is corrupt: {cause}")]
    Corrupt {
        /// The cluster's alias.
        cluster: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset wanted next.
        offset: i64,
        /// librdkafka's words.
        cause: String,
    },
    /// Nothing came for longer than the reader is patient.
    #[error("{topic}-{partition} of cluster {cluster}: nothing came from offset {offset} on for {seconds} s: {cause}")]
    Stalled {
        /// The cluster's alias.
        cluster: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset wanted next.
        offset: i64,
        /// How long.
        seconds: u64,
        /// What librdkafka said last.
        cause: String,
    },
    /// Anything else that trying again does not help, such as a right that is missing.
    #[error("{topic}-{partition} of cluster {cluster} can't be read from offset {offset}: {cause}")]
    Failed {
        /// The cluster's alias.
        cluster: String,
        /// The topic.
        topic: String,
        /// The partition, −1 where it is about the topic.
        partition: i32,
        /// The offset wanted next, −1 before there is one.
        offset: i64,
        /// librdkafka's words.
        cause: String,
    },
}
