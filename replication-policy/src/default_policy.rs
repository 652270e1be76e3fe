//! Source alias, separator, topic.

use crate::{ReplicationPolicy, Separators, separators::internal_topics_by_separators};

/// Kafka's `DefaultReplicationPolicy`: `orders` of cluster `us` is `us.orders` elsewhere.
///
/// A topic that is at home but whose name holds the separator looks as if it were mirrored; that is harmless unless
/// its first part is the alias of a cluster in play.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefaultReplicationPolicy {
    separators: Separators,
}

impl DefaultReplicationPolicy {
    /// A policy that joins names with these separators.
    #[must_use]
    pub fn new(separators: Separators) -> Self {
        Self { separators }
    }
}

impl ReplicationPolicy for DefaultReplicationPolicy {
    fn format_remote_topic(&self, source_cluster_alias: &str, topic: &str) -> String {
        self.separators.join(source_cluster_alias, topic)
    }

    fn topic_source<'a>(&'a self, topic: &'a str) -> Option<&'a str> {
        self.separators.split(topic).map(|(source, _)| source)
    }

    fn upstream_topic<'a>(&self, topic: &'a str) -> Option<&'a str> {
        self.separators.split(topic).map(|(_, upstream)| upstream)
    }

    internal_topics_by_separators!();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(separator: &str, internal: bool) -> DefaultReplicationPolicy {
        DefaultReplicationPolicy::new(Separators::new(separator, internal).unwrap())
    }

    #[test]
    fn names_are_read_as_java_splits_them() {
        // MirrorClientTest.remoteTopicsTest, MirrorClientTest.remoteTopicsSeparatorTest
        // (separator, topic, source, upstream, original)
        let table = [
            (".", "topic", None, None, "topic"),
            (".", "a.topic", Some("a"), Some("topic"), "topic"),
            (".", "a.b.topic", Some("a"), Some("b.topic"), "topic"),
            (".", "a.", None, None, "a."),
            (".", "a..", None, None, "a.."),
            (".", "..", None, None, ".."),
            (".", "", None, None, ""),
            (".", ".b", Some(""), Some("b"), "b"),
            (".", "a..b", Some("a"), Some(".b"), "b"),
            (".", "a.b.", Some("a"), Some("b."), "b."),
            ("_", "a_topic", Some("a"), Some("topic"), "topic"),
            ("_", "a_b_topic", Some("a"), Some("b_topic"), "topic"),
            ("_", "a.topic", None, None, "a.topic"),
            ("_", "a_", None, None, "a_"),
            ("__", "a__topic", Some("a"), Some("topic"), "topic"),
            ("__", "a_b__topic", Some("a_b"), Some("topic"), "topic"),
            ("__", "a_topic", None, None, "a_topic"),
            ("__", "a____", None, None, "a____"),
            ("__", "a___", Some("a"), Some("_"), "_"),
            ("__", "__consumer_offsets", Some(""), Some("consumer_offsets"), "consumer_offsets"),
        ];
        for (separator, topic, source, upstream, original) in table {
            let policy = policy(separator, true);
            assert_eq!(policy.topic_source(topic), source, "source of {topic} with {separator}");
            assert_eq!(policy.upstream_topic(topic), upstream, "upstream of {topic} with {separator}");
            assert_eq!(policy.original_topic(topic), original, "original of {topic} with {separator}");
        }
    }

    #[test]
    fn remote_names_carry_alias_and_separator() {
        assert_eq!(policy(".", true).format_remote_topic("us", "t"), "us.t");
        assert_eq!(policy("_", true).format_remote_topic("us", "t"), "us_t");
        assert_eq!(policy("__", false).format_remote_topic("us", "a.t"), "us__a.t");
        assert_eq!(policy(" ", true).format_remote_topic("us", "t"), "us t", "not trimmed");
    }

    #[test]
    fn internal_names_follow_the_flag() {
        // ReplicationPolicyTest.offsetSyncsTopic_shouldBeEffectedByInternalTopicSeparatorEnabled,
        // ReplicationPolicyTest.checkpointsTopic_shouldBeEffectedByInternalTopicSeparatorEnabled,
        // ReplicationPolicyTest.heartbeatsTopic_shouldNotBeEffectedByInternalTopicSeparatorConfig
        let table = [
            (".", true, "mm2-offset-syncs.CLUSTER.internal", "CLUSTER.checkpoints.internal"),
            ("_", true, "mm2-offset-syncs_CLUSTER_internal", "CLUSTER_checkpoints_internal"),
            ("__", true, "mm2-offset-syncs__CLUSTER__internal", "CLUSTER__checkpoints__internal"),
            ("__", false, "mm2-offset-syncs.CLUSTER.internal", "CLUSTER.checkpoints.internal"),
        ];
        for (separator, flag, syncs, checkpoints) in table {
            let policy = policy(separator, flag);
            assert_eq!(policy.offset_syncs_topic("CLUSTER"), syncs);
            assert_eq!(policy.checkpoints_topic("CLUSTER"), checkpoints);
            assert_eq!(policy.heartbeats_topic(), "heartbeats");
            assert!(policy.is_mm2_internal_topic(syncs) && policy.is_internal_topic(syncs));
            assert!(policy.is_checkpoints_topic(checkpoints) && policy.is_internal_topic(checkpoints));
            assert!(!policy.is_checkpoints_topic(syncs));
        }
    }

    #[test]
    fn internal_topics_of_kafka_4() {
        // ReplicationPolicyTest.testInternalTopic, MirrorClientTest.testIsCheckpointTopic
        // (topic, with separator "." internal?, with "_" internal?)
        let table = [
            ("mm2-offset-syncs.b.internal", true, false),
            ("mm2-offset-syncs_b_internal", false, true),
            ("mm2-configs.a.internal", true, false),
            ("a.checkpoints.internal", true, false),
            ("checkpoints.internal", false, false),
            ("__consumer_offsets", true, true),
            (".hidden", true, true),
            ("my.internal", false, false),
            ("my-internal", false, false),
            ("my_internal", false, false),
            ("mm2internal", false, false),
            ("orders", false, false),
        ];
        for (topic, dot, underscore) in table {
            assert_eq!(policy(".", true).is_internal_topic(topic), dot, "{topic}");
            assert_eq!(policy("_", true).is_internal_topic(topic), underscore, "{topic} with _");
            assert_eq!(policy("_", false).is_internal_topic(topic), dot, "{topic} with _ and dots inside");
        }
    }

    #[test]
    fn heartbeats_over_any_number_of_hops() {
        // MirrorClientTest.testIsHeartbeatTopic, MirrorSourceConnectorTest.testReplicatesHeartbeatsByDefault
        let dot = policy(".", true);
        for topic in ["heartbeats", "a.heartbeats", "b.a.heartbeats", "us-west.heartbeats"] {
            assert!(dot.is_heartbeats_topic(topic), "{topic}");
        }
        for topic in ["a-heartbeats", "heartbeats.a", "heartbeats2"] {
            assert!(!dot.is_heartbeats_topic(topic), "{topic}");
        }
        assert!(!policy("_", true).is_heartbeats_topic("us-west.heartbeats"));
        assert!(policy("_", true).is_heartbeats_topic("us-west_heartbeats"));
    }

    #[test]
    fn hops_are_counted_from_the_nearest_source() {
        // MirrorClientTest.countHopsForTopicTest
        let policy = policy(".", true);
        let mut sources = Vec::new();
        let mut topic = "source3.source2.source1.topic";
        while let (Some(source), Some(upstream)) = (policy.topic_source(topic), policy.upstream_topic(topic)) {
            sources.push(source);
            topic = upstream;
        }
        assert_eq!(sources, ["source3", "source2", "source1"]);
        assert_eq!(topic, "topic");
    }

    proptest! {
        #[test]
        fn what_is_formatted_reads_back(
            alias in "[a-zA-Z0-9-]{1,12}",
            topic in "[a-zA-Z0-9-]{1,12}([._]{0,3}[a-zA-Z0-9-]{1,12}){0,4}",
            separator in prop::sample::select(vec![".", "_", "__", "..", "._"]),
        ) {
            let policy = policy(separator, true);
            let remote = policy.format_remote_topic(&alias, &topic);
            prop_assert_eq!(policy.topic_source(&remote), Some(alias.as_str()));
            prop_assert_eq!(policy.upstream_topic(&remote), Some(topic.as_str()));
            prop_assert_eq!(policy.original_topic(&remote), policy.original_topic(&topic));
        }

        #[test]
        fn any_name_has_an_original(topic in "\\PC{0,40}", separator in "[._]{1,2}") {
            let policy = policy(&separator, true);
            let original = policy.original_topic(&topic);
            prop_assert!(topic.ends_with(original));
            prop_assert_eq!(policy.upstream_topic(original), None);
            prop_assert_eq!(policy.topic_source(&topic).is_some(), policy.upstream_topic(&topic).is_some());
        }
    }
}
