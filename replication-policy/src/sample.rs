//! The policy of the AWS sample for migrations to MSK.

use crate::{ReplicationPolicy, Separators, separators::internal_topics_by_separators};

/// The AWS sample's `CustomMM2ReplicationPolicy`: every topic keeps its name, heartbeats too.
///
/// It names no upstream topic, so nothing may be concluded from a missing one: what is mirrored is told by comparing
/// remote names. Cycles cannot be seen: for one-way mirrors only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomMM2ReplicationPolicy {
    source_cluster_alias: Option<String>,
    separators: Separators,
}

impl CustomMM2ReplicationPolicy {
    /// A policy that takes every topic for one of `source_cluster_alias`; without an alias all are at home.
    #[must_use]
    pub fn new(source_cluster_alias: Option<String>, separators: Separators) -> Self {
        Self { source_cluster_alias, separators }
    }
}

impl ReplicationPolicy for CustomMM2ReplicationPolicy {
    fn format_remote_topic(&self, _source_cluster_alias: &str, topic: &str) -> String {
        topic.to_owned()
    }

    fn topic_source<'a>(&'a self, _topic: &'a str) -> Option<&'a str> {
        self.source_cluster_alias.as_deref()
    }

    fn upstream_topic<'a>(&self, _topic: &'a str) -> Option<&'a str> {
        None
    }

    internal_topics_by_separators!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stays() {
        let policy = CustomMM2ReplicationPolicy::new(Some("source".to_owned()), Separators::default());
        for topic in ["t", "a.t", "heartbeats", "a.heartbeats"] {
            assert_eq!(policy.format_remote_topic("x", topic), topic);
            assert_eq!(policy.topic_source(topic), Some("source"));
            assert_eq!(policy.upstream_topic(topic), None);
            assert_eq!(policy.original_topic(topic), topic);
            assert_eq!(policy.is_heartbeats_topic(topic), topic == "heartbeats");
        }
        assert_eq!(policy.offset_syncs_topic("b"), "mm2-offset-syncs.b.internal");
        assert!(policy.is_internal_topic("a.checkpoints.internal"));
    }
}
