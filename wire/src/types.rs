//! Kafka's words for the things calls are about.

use std::fmt;

use bytes::Bytes;

/// A partition of a topic; prints as `topic-partition`, as Kafka does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Topic name.
    pub topic: String,
    /// Partition number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition by its topic's name and its number.
    #[must_use]
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// One topic as the cluster's metadata tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Topic name.
    pub name: String,
    /// 128-bit topic id; zero below Kafka 2.8.
    pub id: u128,
    /// True for topics the broker itself calls internal (`__consumer_offsets`).
    pub internal: bool,
    /// Kafka's error code for this topic, 0 for none.
    pub error: i16,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionMetadata>,
}

/// One partition as the cluster's metadata tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Partition number.
    pub partition: i32,
    /// Broker id of the leader, absent during an election.
    pub leader: Option<i32>,
    /// Leader epoch, −1 below Kafka 2.1.
    pub leader_epoch: i32,
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Topic name.
    pub name: String,
    /// Number of partitions, −1 for the broker's default.
    pub partitions: i32,
    /// Replication factor, −1 for the broker's default.
    pub replication_factor: i16,
    /// Topic settings.
    pub configs: Vec<(String, String)>,
}

/// What a client may do with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicRights {
    /// Operation READ: Fetch.
    pub read: bool,
    /// Operation WRITE: Produce.
    pub write: bool,
}

/// One setting of a topic as DescribeConfigs tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Setting's name, such as `retention.ms`.
    pub name: String,
    /// Its value; absent when sensitive.
    pub value: Option<String>,
    /// Can't be changed through the protocol.
    pub read_only: bool,
    /// A secret: the broker does not tell the value.
    pub sensitive: bool,
    /// Where the value comes from.
    pub source: ConfigSource,
}

/// Where a setting's value comes from (`DescribeConfigsResponse.ConfigSource`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set dynamically on one broker, or as the cluster's default.
    DynamicBroker,
    /// In the broker's properties file.
    StaticBroker,
    /// Kafka's default.
    Default,
    /// Anything else (client metrics, group settings, later additions).
    Other,
}

/// Which offset ListOffsets is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// Log start.
    Earliest,
    /// High watermark: one past the last record a consumer may read.
    Latest,
    /// First record with at least this timestamp, ms since the epoch.
    Timestamp(i64),
}

/// A decoded record of one of kmirror's own small topics. Mirrored data never takes this form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Offset in its partition.
    pub offset: i64,
    /// Timestamp, ms since the epoch.
    pub timestamp: i64,
    /// Key bytes.
    pub key: Option<Bytes>,
    /// Value bytes; absent for a tombstone.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Headers,
}

/// Headers of a [`Record`] in their order: names (what is not UTF-8 in them replaced) and values, absent for null.
pub type Headers = Vec<(String, Option<Bytes>)>;

/// A record to append to one of kmirror's own small topics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewRecord {
    /// Key bytes.
    pub key: Option<Bytes>,
    /// Value bytes; absent for a tombstone.
    pub value: Option<Bytes>,
    /// Its headers. Of several with one name the last is written.
    pub headers: Headers,
}
