//! Checkpoints: where consumer groups of the source may go on in the target.
//!
//! What a committed offset is in the target is told by the offset map, or by offset syncs where the map knows nothing ([`Knowledge`]). Of that,
//! [`Checkpoints`] decides what is worth a record in the checkpoints topic. Pure: asking the clusters, sending and time are the caller's.

mod store;
mod target_offset;

use replication_policy::ReplicationPolicy;

pub use store::{Checkpoint, CheckpointOutcome, Checkpoints, Emission, LoadingCheckpoints, Translatable};
pub use target_offset::{Exactness, Knowledge, TargetOffset, Untranslated};

/// The name that a topic of the source has on the target, as checkpoints bear it: a topic that once came from the target has its own name
/// there (`MirrorCheckpointTask.renameTopicPartition`).
#[must_use]
pub fn checkpoint_topic(policy: &dyn ReplicationPolicy, source_alias: &str, target_alias: &str, topic: &str) -> String {
    if policy.topic_source(topic) == Some(target_alias) {
        policy.original_topic(topic).to_owned()
    } else {
        policy.format_remote_topic(source_alias, topic)
    }
}

#[cfg(test)]
mod tests {
    use replication_policy::{DefaultReplicationPolicy, IdentityReplicationPolicy, Separators};

    use super::*;

    #[test]
    fn topics_are_named_as_on_the_target() {
        // MirrorCheckpointTaskTest.testDownstreamTopicRenaming
        let policy = DefaultReplicationPolicy::default();
        for (topic, name) in
            [("topic3", "source1.topic3"), ("target2.topic3", "topic3"), ("source6.topic7", "source1.source6.topic7")]
        {
            assert_eq!(checkpoint_topic(&policy, "source1", "target2", topic), name);
        }
        let policy = IdentityReplicationPolicy::new(Some("source1".to_owned()), Separators::default());
        assert_eq!(checkpoint_topic(&policy, "source1", "target2", "target2.topic3"), "target2.topic3");
    }
}
