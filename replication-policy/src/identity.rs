//! Same name on both sides.

use crate::{DefaultReplicationPolicy, ReplicationPolicy, Separators, separators::internal_topics_by_separators};

/// Kafka's `IdentityReplicationPolicy`: topics keep their names.
///
/// Heartbeats are excepted, they are told apart as by [`DefaultReplicationPolicy`]. Since every topic seems to come
/// from the one configured source, cycles cannot be seen: for one-way mirrors only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityReplicationPolicy {
    source_cluster_alias: Option<String>,
    separators: Separators,
    heartbeats: DefaultReplicationPolicy,
}

impl IdentityReplicationPolicy {
    /// A policy that takes every topic for one of `source_cluster_alias`; without an alias all are at home.
    #[must_use]
    pub fn new(source_cluster_alias: Option<String>, separators: Separators) -> Self {
        let heartbeats = DefaultReplicationPolicy::new(separators.clone());
        Self { source_cluster_alias, separators, heartbeats }
    }

    fn looks_like_heartbeats(&self, topic: &str) -> bool {
        topic.ends_with(self.heartbeats_topic())
    }
}

impl ReplicationPolicy for IdentityReplicationPolicy {
    fn format_remote_topic(&self, source_cluster_alias: &str, topic: &str) -> String {
        if self.looks_like_heartbeats(topic) {
            self.heartbeats.format_remote_topic(source_cluster_alias, topic)
        } else {
            topic.to_owned()
        }
    }

    fn topic_source<'a>(&'a self, topic: &'a str) -> Option<&'a str> {
        if self.looks_like_heartbeats(topic) {
            self.heartbeats.topic_source(topic)
        } else {
            self.source_cluster_alias.as_deref()
        }
    }

    fn upstream_topic<'a>(&self, topic: &'a str) -> Option<&'a str> {
        if self.looks_like_heartbeats(topic) { self.heartbeats.upstream_topic(topic) } else { Some(topic) }
    }

    internal_topics_by_separators!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_except_heartbeats() {
        // IdentityReplicationIntegrationTest.*, MirrorClientTest.testIdentityReplicationRemoteTopics, testIdentityReplicationTopicSource
        let policy = IdentityReplicationPolicy::new(Some("source".to_owned()), Separators::default());
        // (topic, remote, source, upstream, original, heartbeats?)
        let table = [
            ("t", "t", Some("source"), Some("t"), "t", false),
            ("a.t", "a.t", Some("source"), Some("a.t"), "a.t", false),
            ("heartbeats", "x.heartbeats", None, None, "heartbeats", true),
            ("a.heartbeats", "x.a.heartbeats", Some("a"), Some("heartbeats"), "heartbeats", true),
            ("b.a.heartbeats", "x.b.a.heartbeats", Some("b"), Some("a.heartbeats"), "heartbeats", true),
            ("a-heartbeats", "x.a-heartbeats", None, None, "a-heartbeats", false),
        ];
        for (topic, remote, source, upstream, original, heartbeats) in table {
            assert_eq!(policy.format_remote_topic("x", topic), remote);
            assert_eq!(policy.topic_source(topic), source, "source of {topic}");
            assert_eq!(policy.upstream_topic(topic), upstream, "upstream of {topic}");
            assert_eq!(policy.original_topic(topic), original, "original of {topic}");
            assert_eq!(policy.is_heartbeats_topic(topic), heartbeats, "{topic}");
        }
    }

    #[test]
    fn without_an_alias_all_are_at_home() {
        let policy = IdentityReplicationPolicy::default();
        assert_eq!(policy.topic_source("t"), None);
        assert_eq!(policy.topic_source("a.heartbeats"), Some("a"));
    }

    #[test]
    fn internal_names_follow_the_separator() {
        let policy = IdentityReplicationPolicy::new(None, Separators::new("_", true).unwrap());
        assert_eq!(policy.offset_syncs_topic("b"), "mm2-offset-syncs_b_internal");
        assert_eq!(policy.checkpoints_topic("a"), "a_checkpoints_internal");
        assert!(policy.is_internal_topic("a_checkpoints_internal"));
        assert!(!policy.is_internal_topic("a.checkpoints.internal"));
    }
}
