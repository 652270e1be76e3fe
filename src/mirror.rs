//! What is carried from one cluster to the other, and under which names.
//!
//! Decisions are pure: which topics ([`Selection`]), what to make or raise on the target (`topics`), which task gets
//! which partition ([`split`]), and of what MirrorMaker carries beside records, settings (`topic_configs`), access rules (`acls`) and offset
//! syncs ([`OffsetSyncWriter`]). [`SourceConnector`] acts on them. Checkpoints and groups are decided by [`OffsetSyncStore`], [`Checkpoints`],
//! [`GroupSelection`] and [`GroupSync`].

mod acls;
mod assignment;
mod checkpoint_connector;
mod checkpoint_task;
mod checkpoints;
mod groups;
mod heartbeats;
mod internal_topics;
mod policy;
mod reach;
mod reading;
mod selection;
mod source_connector;
mod syncs;
mod topic_configs;
mod topics;
mod trouble;

pub use acls::{AclBinding, AclDifference};
pub use assignment::split;
pub use checkpoint_connector::CheckpointConnector;
pub use checkpoint_task::{CheckpointTask, GroupDesk, GroupReport, Synced};
pub use checkpoints::{
    Checkpoint, CheckpointOutcome, Checkpoints, Emission, Exactness, Knowledge, LoadingCheckpoints, TargetOffset,
    Translatable, Untranslated, checkpoint_topic,
};
pub use groups::{GroupSelection, GroupSync, NotWritten, PartitionSync, TargetGroup, WriteReason, deal_groups};
pub use heartbeats::HeartbeatConnector;
pub use reach::SourceCheck;
pub use selection::{Destination, MirroredTopic, Selected, Selection};
pub use source_connector::{AclView, SourceConnector};
pub use syncs::{OffsetSync, OffsetSyncStore, OffsetSyncWriter, SyncTranslation, SyncsFlush};

use std::time::Duration;

use crate::offsets;

/// Why a connector cannot run, or a step of it failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A call to a cluster failed.
    #[error("{operation} failed: {cause}")]
    Cluster {
        /// What was to be done, such as `listing the topics`.
        operation: &'static str,
        /// The call's error; it names cluster, address and cause.
        #[source]
        cause: Box<wire::Error>,
    },
    /// A cluster took too long, over all addresses and retries.
    #[error("{operation} failed: cluster {cluster} at {addresses} did not answer within {} ms", after.as_millis())]
    Timeout {
        /// What was to be done.
        operation: &'static str,
        /// Cluster alias.
        cluster: String,
        /// Its bootstrap addresses.
        addresses: String,
        /// The time that was allowed.
        after: Duration,
    },
    /// `target.cluster.bootstrap.servers` and the worker's `bootstrap.servers` lead to two clusters. Records go to the
    /// worker's, so the one the connector names would stay empty.
    #[error(
        "target.cluster.bootstrap.servers ({target_addresses}) is cluster {target_id}, but the worker writes to its own \
         cluster {worker_id} ({worker_addresses}): run this connector on a worker attached to cluster {target_id}, or \
         correct target.cluster.bootstrap.servers"
    )]
    WrongTarget {
        /// What the connector names.
        target_addresses: String,
        /// Its cluster id.
        target_id: String,
        /// What the worker is attached to.
        worker_addresses: String,
        /// Its cluster id.
        worker_id: String,
    },
    /// Source and target are one cluster and topics keep their names: each record would be copied behind itself for ever.
    #[error(
        "source.cluster.bootstrap.servers ({addresses}) is the worker's own cluster {id}, and {policy} keeps topic names: \
         every topic would be copied onto itself"
    )]
    SameCluster {
        /// The source's addresses.
        addresses: String,
        /// Cluster id of both.
        id: String,
        /// The replication policy's class.
        policy: &'static str,
    },
    /// Another cluster answers at the source's addresses than when the connector started.
    #[error("cluster {cluster} at {addresses} was {was} and is {is} now: restart the connector if that is meant")]
    SourceChanged {
        /// Cluster alias.
        cluster: String,
        /// Its bootstrap addresses.
        addresses: String,
        /// Cluster id at the start.
        was: String,
        /// Cluster id now.
        is: String,
    },
    /// No replication policy can be made of the settings.
    #[error("replication policy: {0}")]
    Policy(String),
    /// The offset map could not be read or written.
    #[error("{operation} failed: {cause}")]
    Map {
        /// What was to be done.
        operation: &'static str,
        /// The map's error; it names its topic and the cause.
        #[source]
        cause: Box<offsets::Error>,
    },
}

impl Error {
    /// For `map_err`: a call that failed while doing `operation`.
    fn during(operation: &'static str) -> impl FnOnce(wire::Error) -> Self {
        move |cause| Self::Cluster { operation, cause: Box::new(cause) }
    }

    /// As [`Self::during`], of the offset map.
    fn of_map(operation: &'static str) -> impl FnOnce(offsets::Error) -> Self {
        move |cause| Self::Map { operation, cause: Box::new(cause) }
    }
}
