//! A small Kafka protocol client: connections, routing and retries, admin calls, and record batches as bytes. It knows nothing of mirroring.
//!
//! Start at [`Cluster`]. Brokers from Kafka 2.1 are supported; an older one is refused by name.

mod acls;
mod admin;
mod backoff;
mod batch;
mod call;
mod cluster;
mod connection;
mod data;
mod decode;
mod error;
mod fetch;
mod fetch_from;
mod groups;
#[cfg(any(test, fuzzing))]
pub mod hostile;
mod memory;
mod metadata;
mod murmur2;
mod produce;
mod produce_frame;
mod records;
mod small_topic;
mod transport;
mod types;

pub use acls::{AclBinding, AclOperation, PatternType, PermissionType, ResourceType};
pub use admin::{ConfigChange, TopicConfigChanges};
pub use backoff::Backoff;
pub use batch::{
    Batch, BatchHeader, Batches, Codec, CorruptBatch, HEADER_LEN, LegacyMessage, Stored, TimestampType, rewrite_header,
    sequence_after,
};
pub use cluster::{Cluster, ClusterConfig};
pub use data::{ActiveProducer, EpochEnd, ProducerId};
pub use error::{Error, Recovery, Result, code_name, recovery_of};
pub use fetch::{AbortedTransaction, FetchLane, FetchLimits, FetchPartition, FetchSession, FetchedPartition};
pub use groups::{
    CommittedOffset, GroupDescription, GroupFilter, GroupListing, GroupOffsets, GroupType, ListedGroup, is_active_group,
};
pub use kafka_protocol::ResponseError;
pub use memory::{Budget, Reservation};
pub use metadata::Leader;
pub use murmur2::partition_for_key;
pub use produce::{ProduceBatch, ProduceLane, Produced, RecordError};
pub use records::{
    BatchBuilder, Built, Header, Levels, MalformedRecord, RawRecord, RecordBody, RecordReader, legacy_codec,
    legacy_records,
};
pub use small_topic::now_ms;
pub use types::{
    ConfigEntry, ConfigSource, Headers, NewRecord, NewTopic, OffsetSpec, PartitionMetadata, Record, TopicMetadata,
    TopicPartition, TopicRights,
};
