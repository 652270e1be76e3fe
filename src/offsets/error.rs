//! Why the map can't be read or written.

use wire::ResponseError;

/// A failed step of [`OffsetMaps`](super::OffsetMaps).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The cluster does not answer, or refuses.
    #[error("offset map {topic}: {cause}")]
    Cluster {
        /// The map's topic.
        topic: String,
        /// What the target cluster says.
        cause: Box<wire::Error>,
    },
    /// The topic is there, but would lose the map.
    #[error(
        "offset map {topic}: the topic has cleanup.policy={found} in cluster {cluster}; allowed is exactly compact, since other policies delete the map"
    )]
    CleanupPolicy {
        /// The map's topic.
        topic: String,
        /// Alias of the target cluster.
        cluster: String,
        /// The setting's value.
        found: String,
    },
    /// The topic is there, with more than the one partition that gives records their order.
    #[error("offset map {topic}: the topic has {found} partitions in cluster {cluster}; allowed is exactly 1")]
    Partitions {
        /// The map's topic.
        topic: String,
        /// Alias of the target cluster.
        cluster: String,
        /// How many it has.
        found: usize,
    },
    /// The right to read or write the topic is missing.
    #[error("offset map {topic}: cluster {cluster} grants no right to {operation} the topic")]
    Denied {
        /// The map's topic.
        topic: String,
        /// Alias of the target cluster.
        cluster: String,
        /// Kafka's name of the operation.
        operation: &'static str,
    },
}

impl Error {
    /// The right to make, read or write the map is missing.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Denied { .. } => true,
            Self::Cluster { cause, .. } => matches!(
                cause.response(),
                Some(ResponseError::TopicAuthorizationFailed | ResponseError::ClusterAuthorizationFailed)
            ),
            _ => false,
        }
    }
}
