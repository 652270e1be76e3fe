//! Two mirrors that face each other must not send a topic round and round.

use crate::ReplicationPolicy;

/// Whether mirroring `topic` to the cluster called `target_cluster_alias` would carry it back to where it has been.
///
/// Follows the hops in the name from the nearest upwards, as `MirrorSourceConnector.isCycle` does. A policy that does
/// not tell the hops apart (identity) sees no cycle.
#[must_use]
pub fn is_cycle(policy: &dyn ReplicationPolicy, topic: &str, target_cluster_alias: &str) -> bool {
    let mut current = topic;
    // Each hop takes at least a character from the name; the bound stops a policy for which that does not hold.
    for _ in 0..=topic.len() {
        match policy.topic_source(current) {
            None => return false,
            Some(source) if source == target_cluster_alias => return true,
            Some(_) => {}
        }
        match policy.upstream_topic(current) {
            Some(upstream) if upstream != current => current = upstream,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CustomMM2ReplicationPolicy, DefaultReplicationPolicy, IdentityReplicationPolicy, Separators};

    #[test]
    fn cycles_are_seen_over_all_hops() {
        // MirrorSourceConnectorTest.testNoCycles, testIdentityReplication, testIsCycleWithNullUpstreamTopic
        let default = DefaultReplicationPolicy::default();
        let identity = IdentityReplicationPolicy::new(Some("source".to_owned()), Separators::default());
        let sample = CustomMM2ReplicationPolicy::new(Some("source".to_owned()), Separators::default());
        // (topic, cycle by default policy?, by identity?)
        let table = [
            ("topic1", false, false),
            ("source.topic3", false, false),
            ("target.topic1", true, false),
            ("target.source.topic1", true, false),
            ("source.target.topic1", true, false),
            ("target.source.topic2", true, false),
            ("source.source.target.t", true, false),
            ("source.targets.t", false, false),
            ("heartbeats", false, false),
            ("source.heartbeats", false, false),
            ("target.heartbeats", true, true),
            ("target.source.heartbeats", true, true),
            ("source.target.heartbeats", true, true),
            (".b", false, false),
        ];
        for (topic, by_default, by_identity) in table {
            assert_eq!(is_cycle(&default, topic, "target"), by_default, "{topic}");
            assert_eq!(is_cycle(&identity, topic, "target"), by_identity, "{topic}, identity");
            assert!(!is_cycle(&sample, topic, "target"), "{topic}, sample");
        }
    }

    #[test]
    fn a_policy_that_runs_in_circles_ends() {
        #[derive(Debug)]
        struct Circles;
        impl ReplicationPolicy for Circles {
            fn format_remote_topic(&self, _: &str, topic: &str) -> String {
                topic.to_owned()
            }
            fn topic_source<'a>(&'a self, _: &'a str) -> Option<&'a str> {
                Some("elsewhere")
            }
            fn upstream_topic<'a>(&self, topic: &'a str) -> Option<&'a str> {
                Some(if topic == "a" { "b" } else { "a" })
            }
        }
        assert!(!is_cycle(&Circles, "a", "target"));
        assert!(["a", "b"].contains(&Circles.original_topic("a")));
    }
}
