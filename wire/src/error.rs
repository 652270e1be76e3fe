//! What can go wrong between this process and a cluster, and what to do about it.
//!
//! [`Recovery`] is decided here and nowhere else: callers match on it instead of on codes.

use std::time::Duration;

use kafka_protocol::ResponseError;

/// Result of a call to a cluster.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed call, with the cluster, the broker or resource and the request it concerns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address list is unusable before anything was sent.
    #[error("cluster {cluster}: {message}")]
    BadAddress {
        /// Cluster alias.
        cluster: String,
        /// What is wrong, with the address.
        message: String,
    },
    /// None of the known addresses answered.
    #[error("cluster {cluster}: no broker reachable at {addresses}: {cause}")]
    Unreachable {
        /// Cluster alias.
        cluster: String,
        /// The bootstrap list that was tried, in order.
        addresses: String,
        /// The last attempt's failure.
        cause: String,
    },
    /// A connection could not be opened, or broke while a request was under way.
    #[error("cluster {cluster}: connection to {broker} lost during {api}: {cause}")]
    Disconnected {
        /// Cluster alias.
        cluster: String,
        /// `host:port`.
        broker: String,
        /// The request's Kafka name, such as `Fetch`.
        api: &'static str,
        /// Operating system's or transport's words.
        cause: String,
    },
    /// No response within the request's time.
    #[error("cluster {cluster}: {broker} did not answer {api} within {} ms", after.as_millis())]
    Timeout {
        /// Cluster alias.
        cluster: String,
        /// `host:port`.
        broker: String,
        /// The request's Kafka name.
        api: &'static str,
        /// The time that was allowed.
        after: Duration,
    },
    /// A response that is longer than allowed or not of the protocol: probably not a Kafka listener,
    /// or one that wants TLS.
    #[error("cluster {cluster}: {broker} sent what is not a Kafka response to {api}: {cause}")]
    Malformed {
        /// Cluster alias.
        cluster: String,
        /// `host:port`.
        broker: String,
        /// The request's Kafka name.
        api: &'static str,
        /// What was wrong with it.
        cause: String,
    },
    /// The broker lacks a request or a version of it that kmirror needs.
    #[error(
        "cluster {cluster}: {broker} speaks {api} {offered}, kmirror needs {needed}; brokers from 2.1 are supported"
    )]
    Unsupported {
        /// Cluster alias.
        cluster: String,
        /// `host:port`.
        broker: String,
        /// The request's Kafka name.
        api: &'static str,
        /// The broker's version range, or "not at all".
        offered: String,
        /// Our version range.
        needed: String,
    },
    /// The broker answered with an error code.
    #[error("cluster {cluster}: {api} of {resource}: {}{}", code_name(*code), suffix(message.as_deref()))]
    Broker {
        /// Cluster alias.
        cluster: String,
        /// The request's Kafka name.
        api: &'static str,
        /// What the request was about: `topic orders`, `orders-3`, `group g`.
        resource: String,
        /// Kafka's error code.
        code: i16,
        /// The broker's own text, where it sent one.
        message: Option<String>,
    },
}

/// What a caller does after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Try again after a backoff: the same broker may answer next time.
    Retry,
    /// Refresh the metadata, then try again: somebody else may lead now.
    Refresh,
    /// Trying the same again can't help.
    Fatal,
}

impl Error {
    /// What to do after this failure.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Unreachable { .. } | Self::Disconnected { .. } | Self::Timeout { .. } => Recovery::Refresh,
            Self::BadAddress { .. } | Self::Malformed { .. } | Self::Unsupported { .. } => Recovery::Fatal,
            Self::Broker { code, .. } => recovery_of(*code),
        }
    }

    /// The broker's error, where the failure is a broker's answer.
    #[must_use]
    pub fn response(&self) -> Option<ResponseError> {
        match self {
            Self::Broker { code, .. } => ResponseError::try_from_code(*code),
            _ => None,
        }
    }
}

/// What to do after a broker's error code. Follows `Errors.java`: retriable codes, and among them those of
/// `InvalidMetadataException`. Unlike there, missing topics and lacking rights are for the caller to judge.
#[must_use]
pub fn recovery_of(code: i16) -> Recovery {
    use ResponseError as E;
    let Some(error) = ResponseError::try_from_code(code) else {
        return Recovery::Fatal;
    };
    match error {
        E::UnknownTopicOrPartition
        | E::LeaderNotAvailable
        | E::NotLeaderOrFollower
        | E::ReplicaNotAvailable
        | E::NetworkException
        | E::KafkaStorageError
        | E::FencedLeaderEpoch
        | E::UnknownLeaderEpoch
        | E::ListenerNotFound
        | E::NotController
        | E::NotCoordinator
        | E::CoordinatorNotAvailable
        | E::PreferredLeaderNotAvailable
        | E::UnknownTopicId
        | E::InconsistentTopicId
        | E::OffsetNotAvailable => Recovery::Refresh,
        other if other.is_retriable() => Recovery::Retry,
        _ => Recovery::Fatal,
    }
}

/// Kafka's name of an error code, such as `NOT_LEADER_OR_FOLLOWER`.
#[must_use]
pub fn code_name(code: i16) -> String {
    let Some(error) = ResponseError::try_from_code(code) else {
        return format!("error code {code}");
    };
    let camel = format!("{error:?}");
    let mut name = String::with_capacity(camel.len() + 8);
    for (i, c) in camel.chars().enumerate() {
        if i > 0 && c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

fn suffix(message: Option<&str>) -> String {
    message.filter(|m| !m.is_empty()).map_or_else(String::new, |m| format!(": {m}"))
}
