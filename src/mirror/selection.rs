//! Which topics are mirrored, and what they are called on the target.

use std::sync::Arc;

use replication_policy::{ReplicationPolicy, is_cycle};
use wire::{TopicMetadata, code_name};

use super::{Error, policy::replication_policy};
use crate::{
    config::{RegexList, SourceConnectorConfig},
    transforms::{RecordTransforms, TopicTransforms, Transforms},
};

/// A topic to mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirroredTopic {
    /// Its name on the source.
    pub source: String,
    /// Its name on the target, routers applied.
    pub remote: String,
    /// Partitions it has on the source.
    pub partitions: i32,
}

/// What of a cluster's topics is mirrored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    /// Topics to mirror, by source name.
    pub topics: Vec<MirroredTopic>,
    /// Topics that should be mirrored and that the source did not describe, with the reason.
    pub failures: Vec<(String, String)>,
}

/// The rules by which topics are chosen.
#[derive(Debug)]
pub struct Selection {
    policy: Box<dyn ReplicationPolicy>,
    include: RegexList,
    exclude: RegexList,
    source_alias: String,
    target_alias: String,
    heartbeats_replication: bool,
    transforms: Transforms,
}

/// Where a topic's records go.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Topic on the target.
    pub topic: String,
    /// What is done to them on the way; absent where they are copied as they are.
    pub transforms: Option<Arc<RecordTransforms>>,
}

impl Selection {
    /// The rules of a connector's configuration.
    ///
    /// # Errors
    /// No replication policy can be made of its settings.
    pub fn new(config: &SourceConnectorConfig) -> Result<Self, Error> {
        let policy = replication_policy(&config.mirror.policy)?;
        Ok(Self {
            policy,
            include: config.topics.clone(),
            exclude: config.topics_exclude.clone(),
            source_alias: config.mirror.source_alias.clone(),
            target_alias: config.mirror.target_alias.clone(),
            heartbeats_replication: config.heartbeats_replication,
            transforms: Transforms::new(config.transforms.clone()),
        })
    }

    /// Whether a topic of the source is mirrored (`MirrorSourceConnector.shouldReplicateTopic`): the filter takes it or
    /// it is a heartbeats topic, it is not internal, and it has not been on the target before.
    #[must_use]
    pub fn should_replicate(&self, topic: &str) -> bool {
        let is_filtered_in = self.include.matches(topic) && !self.exclude.matches(topic);
        let is_heartbeats = self.heartbeats_replication && self.policy.is_heartbeats_topic(topic);
        (is_filtered_in || is_heartbeats)
            && !self.policy.is_internal_topic(topic)
            && !is_cycle(&*self.policy, topic, &self.target_alias)
    }

    /// A source topic's name on the target, before any router.
    #[must_use]
    pub fn remote_name(&self, topic: &str) -> String {
        self.policy.format_remote_topic(&self.source_alias, topic)
    }

    /// The offset syncs topic that concerns this other cluster.
    #[must_use]
    pub fn offset_syncs_topic(&self, other_alias: &str) -> String {
        self.policy.offset_syncs_topic(other_alias)
    }

    /// Where the records of a source topic go; nowhere if a filter drops all.
    #[must_use]
    pub fn destination(&self, topic: &str) -> Option<Destination> {
        let remote = self.remote_name(topic);
        match self.transforms.for_topic(&remote) {
            TopicTransforms::Route(topic) => Some(Destination { topic, transforms: None }),
            TopicTransforms::Drop => None,
            TopicTransforms::Records(transforms) => {
                let topic = transforms.fixed_topic().map_or(remote, str::to_owned);
                Some(Destination { topic, transforms: Some(Arc::new(transforms)) })
            }
        }
    }

    /// Whether topics have the same name on both sides.
    #[must_use]
    pub fn keeps_names(&self) -> bool {
        self.remote_name("t") == "t"
    }

    /// Chooses from the metadata of all topics of the source; sorted by name.
    #[must_use]
    pub fn select(&self, metadata: &[TopicMetadata]) -> Selected {
        let mut selected = Selected::default();
        // Broker-internal topics are not even listed for MirrorMaker (`Admin.listTopics`).
        for topic in metadata.iter().filter(|topic| !topic.internal && self.should_replicate(&topic.name)) {
            if topic.error == 0 {
                let Some(Destination { topic: remote, .. }) = self.destination(&topic.name) else { continue };
                selected.topics.push(MirroredTopic {
                    source: topic.name.clone(),
                    remote,
                    partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
                });
            } else {
                let reason = format!(
                    "{} while describing topic {} of cluster {}",
                    code_name(topic.error),
                    topic.name,
                    self.source_alias
                );
                selected.failures.push((topic.name.clone(), reason));
            }
        }
        selected.topics.sort_by(|a, b| a.source.cmp(&b.source));
        selected
    }
}

#[cfg(test)]
pub(super) mod tests {
    use wire::PartitionMetadata;

    use super::*;
    use crate::config::{REPLICATION_POLICIES, WorkerConfig, read_properties};

    /// A connector's configuration from `source` to `target`, with lines more.
    pub(in crate::mirror) fn config(lines: &str) -> SourceConnectorConfig {
        let worker = "group.id=g\nkey.converter=c\nvalue.converter=c\nconfig.storage.topic=c\n\
                      offset.storage.topic=o\nstatus.storage.topic=s\nbootstrap.servers=w:9092\n";
        let worker = WorkerConfig::parse(&read_properties(worker).unwrap()).unwrap();
        let text = format!(
            "name=msc\nconnector.class=MirrorSource\nsource.cluster.alias=source\ntarget.cluster.alias=target\n\
             source.cluster.bootstrap.servers=s:9092\n{lines}\n"
        );
        SourceConnectorConfig::parse(&read_properties(&text).unwrap(), &worker).unwrap()
    }

    fn selection(lines: &str) -> Selection {
        Selection::new(&config(lines)).unwrap()
    }

    pub(in crate::mirror) fn topic(name: &str, partitions: i32, error: i16) -> TopicMetadata {
        let partition = |partition| PartitionMetadata { partition, leader: Some(1), leader_epoch: 0 };
        TopicMetadata {
            name: name.to_owned(),
            id: 0,
            internal: name == "__consumer_offsets",
            error,
            partitions: (0..partitions).map(partition).collect(),
        }
    }

    #[test]
    fn every_policy_of_the_registry_can_be_made() {
        let mut registered = REPLICATION_POLICIES.to_vec();
        let mut made = replication_policy::CLASS_NAMES.to_vec();
        registered.sort_unstable();
        made.sort_unstable();
        assert_eq!(registered, made);
        for class in REPLICATION_POLICIES {
            let made = selection(&format!("replication.policy.class={class}"));
            assert!(class.ends_with(format!("{:?}", made.policy).split(' ').next().unwrap()), "{class}: {made:?}");
        }
    }

    #[test]
    fn topics_are_chosen_by_filter_policy_and_cycles() {
        // MirrorSourceConnectorTest.testReplicatesHeartbeatsByDefault, testReplicatesHeartbeatsDespiteFilter,
        // testDoesNotReplicateHeartbeatsWhenDisabled, testReplicatesHeartbeatsWhenDisabledButFilterAllows, testNoCycles, testIdentityReplication,
        // IdentityReplicationIntegrationTest.*
        const IDENTITY: &str = "replication.policy.class=IdentityReplicationPolicy";
        const SAMPLE: &str = "replication.policy.class=CustomMM2ReplicationPolicy\ntopics=^ExampleTopic[\\\\w]*";
        // (configuration, mirrored, not mirrored)
        let table: &[(&str, &[&str], &[&str])] = &[
            (
                "",
                &["t", "source.t", "my.internal", "heartbeats", "us-west.heartbeats"],
                &[
                    "target.t",
                    "source.target.t",
                    "target.source.t",
                    "__consumer_offsets",
                    "a.replica",
                    ".hidden",
                    "mm2-offset-syncs.b.internal",
                    "a.checkpoints.internal",
                    "target.heartbeats",
                ],
            ),
            ("topics=orders, o[12]", &["orders", "o1", "heartbeats", "a.b.heartbeats"], &["orders2", "o3", "t"]),
            ("topics=orders\nheartbeats.replication.enabled=false", &["orders"], &["heartbeats", "us-west.heartbeats"]),
            ("heartbeats.replication.enabled=false", &["heartbeats"], &["target.heartbeats"]),
            ("topics=", &["heartbeats"], &["t", "orders"]),
            ("topics.exclude=", &["a.replica", "t"], &["__x", "mm2-status.a.internal"]),
            ("replication.policy.separator=_\ntopics=x", &["us-west_heartbeats"], &["us-west.heartbeats", "target_x"]),
            (IDENTITY, &["t", "target.t", "source.target.t", "source.heartbeats"], &["target.heartbeats", "__x"]),
            (
                SAMPLE,
                &["ExampleTopic", "ExampleTopic1", "heartbeats"],
                &["OtherTopic", "ExampleTopic-1", "a.heartbeats"],
            ),
        ];
        for (lines, mirrored, left) in table {
            let selection = selection(lines);
            for topic in *mirrored {
                assert!(selection.should_replicate(topic), "{lines}: {topic} should be mirrored");
            }
            for topic in *left {
                assert!(!selection.should_replicate(topic), "{lines}: {topic} should not be mirrored");
            }
        }
    }

    #[test]
    fn names_follow_the_policy() {
        assert_eq!(selection("").remote_name("t"), "source.t");
        assert!(!selection("").keeps_names());
        let identity = selection("replication.policy.class=IdentityReplicationPolicy");
        assert_eq!(identity.remote_name("t"), "t");
        assert_eq!(identity.remote_name("heartbeats"), "source.heartbeats");
        assert!(identity.keeps_names());
    }

    #[test]
    fn what_cannot_be_described_is_named() {
        let metadata = [
            topic("b", 3, 0),
            topic("a", 1, 0),
            topic("denied", 0, 29),
            topic("__x", 0, 29),
            topic("__consumer_offsets", 50, 0),
        ];
        let selected = selection("").select(&metadata);
        let names: Vec<_> =
            selected.topics.iter().map(|t| (t.source.as_str(), t.remote.as_str(), t.partitions)).collect();
        assert_eq!(names, [("a", "source.a", 1), ("b", "source.b", 3)]);
        assert_eq!(
            selected.failures,
            [(
                "denied".to_owned(),
                "TOPIC_AUTHORIZATION_FAILED while describing topic denied of cluster source".to_owned()
            )]
        );
    }
}
