//! What MirrorMaker's connectors have in common (`MirrorConnectorConfig`).

use crate::config::key::{
    Default::{Required, Value},
    Importance::{High, Medium},
    Key,
    Kind::{Boolean, Class, List, Long, String},
    Valid,
};

/// What `replication.policy.class` may name.
pub const REPLICATION_POLICIES: &[&str] = &[
    "org.apache.kafka.connect.mirror.DefaultReplicationPolicy",
    "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
    "com.amazonaws.kafka.samples.CustomMM2ReplicationPolicy",
];

const FORWARDING_ADMIN: &str = "org.apache.kafka.clients.admin.ForwardingAdmin";
const TOPIC_FILTER: &str = "org.apache.kafka.connect.mirror.DefaultTopicFilter";

/// Kafka 4.0's default (KIP-1074). Up to 3.9 every topic that ends in `.internal` or `-internal` was left out.
const TOPICS_EXCLUDE: &str = r"mm2.*\.internal, .*\.replica, __.*";

/// Keys of each of MirrorMaker's connectors, beside the framework's and [`SECURITY_KEYS`](super::SECURITY_KEYS).
/// Client settings come under `source.cluster.`, `target.cluster.`, `consumer.`, `producer.`, `admin.`, these with
/// `source.` or `target.` before them, and `producer.override.`.
pub const MIRROR_KEYS: &[Key] = &[
    Key::new("enabled", Boolean, Value("true"), "Whether the connector does anything."),
    Key::new(
        "source.cluster.alias",
        String,
        Required,
        "Name of the source cluster, in remote topic names and stored positions.",
    )
    .importance(High)
    .valid(Valid::NonEmpty),
    Key::new("target.cluster.alias", String, Value("target"), "Name of the target cluster.")
        .importance(High)
        .valid(Valid::NonEmpty),
    Key::new("admin.timeout.ms", Long, Value("60000"), "Time one administrative step may take, ms.")
        .valid(Valid::AtLeast(1)),
    Key::new("replication.policy.class", Class, Value(REPLICATION_POLICIES[0]), "How remote topics are named.")
        .valid(Valid::Classes(REPLICATION_POLICIES)),
    Key::new("replication.policy.separator", String, Value("."), "Text between alias and topic in remote names."),
    Key::new(
        "replication.policy.internal.topic.separator.enabled",
        Boolean,
        Value("true"),
        "Whether internal topics have that separator too, or dots.",
    ),
    Key::new("forwarding.admin.class", Class, Value(FORWARDING_ADMIN), "Client that makes and alters topics.")
        .valid(Valid::Classes(&[FORWARDING_ADMIN])),
    Key::new(
        "metric.reporters",
        List,
        Value("org.apache.kafka.common.metrics.JmxReporter"),
        "Java classes that report metrics.",
    ),
    Key::new("auto.include.jmx.reporter", Boolean, Value("true"), "Whether JmxReporter is added to them."),
    Key::new(
        "security.protocol",
        String,
        Value("PLAINTEXT"),
        "Checked and not used: only prefixed keys reach a client.",
    )
    .importance(Medium)
    .valid(Valid::OneOfIgnoringCase(super::client::SECURITY_PROTOCOLS)),
    Key::new("metric.names.formats", List, Value("legacy"), "Formats of metric names (KIP-1280)."),
];

/// Topics that are not selected: the same for all connectors that select some.
pub(super) const TOPICS_NOT_SELECTED: Key =
    Key::new("topics.exclude", List, Value(TOPICS_EXCLUDE), "Topics left out, though they match `topics`.")
        .importance(High)
        .alias("topics.blacklist");
pub(super) const TOPIC_FILTER_CLASS: Key =
    Key::new("topic.filter.class", Class, Value(TOPIC_FILTER), "Class that selects topics.")
        .valid(Valid::Classes(&[TOPIC_FILTER]));
pub(super) const OFFSET_SYNCS_TOPIC_LOCATION: Key =
    Key::new("offset-syncs.topic.location", String, Value("source"), "Cluster that holds the offset syncs topic.")
        .valid(Valid::OneOf(&["source", "target"]));
pub(super) const CONSUMER_POLL_TIMEOUT: Key =
    Key::new("consumer.poll.timeout.ms", Long, Value("1000"), "Time one poll may wait for records, ms.")
        .valid(Valid::AtLeast(0));

/// Keys of MirrorMaker's dedicated mode, which shared configurations set everywhere. They are not misspelt, only without
/// effect here.
pub(in crate::config) const DEDICATED_KEYS: &[&str] = &["clusters", "dedicated.mode.enable.internal.rest"];

/// Keys the connectors themselves write into their tasks' configurations.
pub(in crate::config) const TASK_KEYS: &[&str] =
    &["task.assigned.groups", "task.assigned.partitions", "task.class", "task.index"];
