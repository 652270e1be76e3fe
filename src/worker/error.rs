//! What can go wrong in a worker, in the words its REST clients see.

use crate::config::ConnectorClass;

/// A refused request or a failed step of the worker. Texts are Connect's where Connect has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The worker has not read its topics yet.
    #[error("The worker is still starting up: {cause}")]
    Starting {
        /// What it waits for.
        cause: String,
    },
    /// The worker is draining and takes no more changes.
    #[error("The worker is shutting down")]
    ShuttingDown,
    /// No such connector.
    #[error("Connector {connector} not found")]
    ConnectorNotFound {
        /// The name that was asked for.
        connector: String,
    },
    /// No such connector, in the restart calls' words.
    #[error("Unknown connector: {connector}")]
    UnknownConnector {
        /// The name that was asked for.
        connector: String,
    },
    /// No such connector, in the words of pause, resume and stop.
    #[error("Unknown connector {connector}")]
    NoneToSteer {
        /// The name that was asked for.
        connector: String,
    },
    /// Positions are not to be changed while tasks may store theirs.
    #[error(
        "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified connector by issuing a 'PUT' request to the '/connectors/{connector}/stop' endpoint"
    )]
    NotStopped {
        /// Connector name.
        connector: String,
    },
    /// It was told to stop, and its positions could not be stored yet.
    #[error("Connector {connector} is not stopped yet, which is tried again and again: {cause}")]
    StopUnfinished {
        /// Connector name.
        connector: String,
        /// What failed.
        cause: String,
    },
    /// The connector does not take these offsets, in MirrorMaker's words.
    #[error("{0}")]
    OffsetsRefused(String),
    /// No such task.
    #[error("Unknown task: {connector}-{task}")]
    UnknownTask {
        /// Connector name.
        connector: String,
        /// Task number.
        task: u32,
    },
    /// Nothing has been reported yet.
    #[error("No status found for connector {connector}")]
    NoConnectorStatus {
        /// Connector name.
        connector: String,
    },
    /// Nothing has been reported yet.
    #[error("No status found for task {connector}-{task}")]
    NoTaskStatus {
        /// Connector name.
        connector: String,
        /// Task number.
        task: u32,
    },
    /// Only one of another class can tell that.
    #[error("Connector {connector} is no {}", class.name())]
    OtherClass {
        /// Connector name.
        connector: String,
        /// Which one can.
        class: ConnectorClass,
    },
    /// A restart needs a status to choose from.
    #[error("Status for connector {connector} not found")]
    NoStatusToRestart {
        /// Connector name.
        connector: String,
    },
    /// A connector of that name exists.
    #[error("Connector {connector} already exists")]
    AlreadyExists {
        /// Connector name.
        connector: String,
    },
    /// Two names for one connector.
    #[error("Connector name configuration ({config}) doesn't match connector name in the URL ({url})")]
    NameMismatch {
        /// Value of `name` in the configuration.
        config: String,
        /// Name in the URL, or `name` of the request.
        url: String,
    },
    /// The configuration does not hold up; the text lists all that is wrong.
    #[error("{0}")]
    InvalidConfig(String),
    /// A storage topic could not be read or written.
    #[error("{kind} topic {topic}: {cause}")]
    Storage {
        /// `config`, `offset` or `status`.
        kind: &'static str,
        /// Topic name.
        topic: String,
        /// The cluster client's error; names cluster, broker and request.
        cause: Box<wire::Error>,
    },
    /// A storage topic has no partitions, or vanished.
    #[error(
        "{kind} topic {topic} (worker key {kind}.storage.topic) does not exist in cluster {cluster} although it was created just now"
    )]
    StorageMissing {
        /// `config`, `offset` or `status`.
        kind: &'static str,
        /// Topic name.
        topic: String,
        /// Cluster alias.
        cluster: String,
    },
    /// A storage topic would lose records.
    #[error(
        "{kind} topic {topic} (worker key {kind}.storage.topic) has cleanup.policy={found}; allowed is exactly compact, else the worker's state would be deleted in time. Correct the topic's setting or name another topic"
    )]
    CleanupPolicy {
        /// `config`, `offset` or `status`.
        kind: &'static str,
        /// Topic name.
        topic: String,
        /// The policy it has.
        found: String,
    },
    /// The order of the config topic's records matters, so they must be in one partition.
    #[error(
        "config topic {topic} (worker key config.storage.topic) has {found} partitions; allowed is exactly 1, else the order of its records is lost. Name another topic or create this one anew"
    )]
    ConfigPartitions {
        /// Topic name.
        topic: String,
        /// Partitions it has.
        found: usize,
    },
    /// The worker's own cluster does not answer.
    #[error("{0}")]
    Cluster(Box<wire::Error>),
    /// Other workers hold the group.
    #[error("group {group} still has {} of other workers: {}; waiting until they have left", count(members.len()), members.join(", "))]
    ForeignMembers {
        /// `group.id`.
        group: String,
        /// `client id @ host` of each.
        members: Vec<String>,
    },
    /// A part of the worker failed in a way that should not be possible.
    #[error("internal error: {0}")]
    Internal(String),
}

fn count(members: usize) -> String {
    if members == 1 { "1 live member".to_owned() } else { format!("{members} live members") }
}

impl From<wire::Error> for Error {
    fn from(cause: wire::Error) -> Self {
        Self::Cluster(Box::new(cause))
    }
}

impl Error {
    /// Waiting and trying again can't help: somebody has to change a topic's setting first.
    #[must_use]
    pub fn refuses_start(&self) -> bool {
        matches!(self, Self::CleanupPolicy { .. } | Self::ConfigPartitions { .. })
    }
}
