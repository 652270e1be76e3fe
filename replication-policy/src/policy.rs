//! The interface, with Kafka's defaults.

use std::fmt::Debug;

/// How topic names are made on the target and read back.
///
/// Follows `org.apache.kafka.connect.mirror.ReplicationPolicy` of Kafka 4.0: where that returns null, `None` is
/// returned here. Policies are asked for every topic of a cluster at every refresh, so answers must depend on nothing
/// but the arguments and the policy's own settings.
pub trait ReplicationPolicy: Debug + Send + Sync {
    /// The name a topic of the source cluster gets on the target.
    fn format_remote_topic(&self, source_cluster_alias: &str, topic: &str) -> String;

    /// Alias of the cluster a topic was mirrored from; `None` for a topic that is at home where it is seen.
    fn topic_source<'a>(&'a self, topic: &'a str) -> Option<&'a str>;

    /// The topic's name one hop upstream, on the cluster [`topic_source`](Self::topic_source) names; `None` for a
    /// topic that is at home, or where the policy cannot tell.
    fn upstream_topic<'a>(&self, topic: &'a str) -> Option<&'a str>;

    /// The topic's name on the cluster where it was first written, over all hops.
    fn original_topic<'a>(&self, topic: &'a str) -> &'a str {
        let mut current = topic;
        // A name gets shorter with each hop; a policy whose names do not must still not hang us.
        for _ in 0..=topic.len() {
            match self.upstream_topic(current) {
                Some(upstream) if upstream != current => current = upstream,
                _ => break,
            }
        }
        current
    }

    /// Name of the heartbeats topic on the cluster where heartbeats are written.
    fn heartbeats_topic(&self) -> &str {
        "heartbeats"
    }

    /// Name of the offset syncs topic that concerns the named other cluster.
    fn offset_syncs_topic(&self, cluster_alias: &str) -> String {
        format!("mm2-offset-syncs.{cluster_alias}.internal")
    }

    /// Name of the topic that holds checkpoints of the named source cluster's groups.
    fn checkpoints_topic(&self, cluster_alias: &str) -> String {
        format!("{cluster_alias}.checkpoints.internal")
    }

    /// Whether this is a heartbeats topic, own or mirrored over any number of hops.
    fn is_heartbeats_topic(&self, topic: &str) -> bool {
        self.original_topic(topic) == self.heartbeats_topic()
    }

    /// Whether this is a checkpoints topic. The bare name without an alias before it is none.
    fn is_checkpoints_topic(&self, topic: &str) -> bool {
        topic.ends_with(".checkpoints.internal")
    }

    /// Whether MirrorMaker made this topic for its own use.
    ///
    /// Kafka 4.0's rule (KIP-1074): starts with `mm2` and ends as internal topics do, or is a checkpoints topic. Up to
    /// 3.9 the end of the name was enough.
    fn is_mm2_internal_topic(&self, topic: &str) -> bool {
        (topic.starts_with("mm2") && topic.ends_with(".internal")) || self.is_checkpoints_topic(topic)
    }

    /// Whether this topic is never mirrored: MirrorMaker's own ones and those that Kafka and its tools keep for
    /// themselves (`__…`, `.…`).
    ///
    /// Kafka 4.0's rule (KIP-1074). Up to 3.9 every name that ended in `.internal` or `-internal` counted too.
    fn is_internal_topic(&self, topic: &str) -> bool {
        self.is_mm2_internal_topic(topic) || topic.starts_with("__") || topic.starts_with('.')
    }
}
