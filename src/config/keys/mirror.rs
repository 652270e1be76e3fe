//! Keys of MirrorMaker's connectors (`MirrorConnectorConfig`, `MirrorSourceConfig`).

use crate::config::key::{
    Default::{Null, Required, Value},
    Importance::{High, Medium},
    Key,
    Kind::{Boolean, Class, Int, List, Long, Short, String},
    Valid,
};

/// What `replication.policy.class` may name.
pub const REPLICATION_POLICIES: &[&str] = &[
    "org.apache.kafka.connect.mirror.DefaultReplicationPolicy",
    "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
    "com.amazonaws.kafka.samples.CustomMM2ReplicationPolicy",
];

const TOPIC_FILTER: &str = "org.apache.kafka.connect.mirror.DefaultTopicFilter";
const CONFIG_PROPERTY_FILTER: &str = "org.apache.kafka.connect.mirror.DefaultConfigPropertyFilter";
const FORWARDING_ADMIN: &str = "org.apache.kafka.clients.admin.ForwardingAdmin";

/// Kafka 4.0's default (KIP-1074). Up to 3.9 every topic that ends in `.internal` or `-internal` was left out.
const TOPICS_EXCLUDE: &str = r"mm2.*\.internal, .*\.replica, __.*";

const CONFIG_PROPERTIES_EXCLUDE: &str = r"follower\.replication\.throttled\.replicas, leader\.replication\.throttled\.replicas, message\.timestamp\.difference\.max\.ms, message\.timestamp\.type, unclean\.leader\.election\.enable, min\.insync\.replicas";

/// Policies for gaps: what the source has lost can't be copied again.
const FAIL_OR_CONTINUE: &[&str] = &["fail", "continue"];
const FAIL_CONTINUE_OR_RECOPY: &[&str] = &["fail", "continue", "recopy"];

/// Keys of a MirrorSourceConnector beside the framework's: those common to MirrorMaker's connectors, then its own,
/// and kmirror's.
/// Client settings come under `source.cluster.`, `target.cluster.`, `consumer.`, `producer.`, `admin.`, these with
/// `source.` or `target.` before them, and `producer.override.`.
pub const MIRROR_SOURCE_KEYS: &[Key] = &[
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
    Key::new("topics", List, Value(".*"), "Topics to mirror: regular expressions, each for a whole name.")
        .importance(High),
    Key::new("topics.exclude", List, Value(TOPICS_EXCLUDE), "Topics not to mirror, though they match `topics`.")
        .importance(High)
        .alias("topics.blacklist"),
    Key::new("topic.filter.class", Class, Value(TOPIC_FILTER), "Class that selects topics.")
        .valid(Valid::Classes(&[TOPIC_FILTER])),
    Key::new(
        "config.property.filter.class",
        Class,
        Value(CONFIG_PROPERTY_FILTER),
        "Class that selects topic settings.",
    )
    .valid(Valid::Classes(&[CONFIG_PROPERTY_FILTER])),
    Key::new(
        "config.properties.exclude",
        List,
        Value(CONFIG_PROPERTIES_EXCLUDE),
        "Topic settings not to copy: regular expressions, each for a whole name.",
    )
    .importance(High)
    .alias("config.properties.blacklist"),
    Key::new(
        "use.defaults.from",
        String,
        Value("target"),
        "Whose defaults count where a source topic has none of its own: source or target.",
    )
    .valid(Valid::OneOf(&["source", "target"])),
    Key::new(
        "use.incremental.alter.configs",
        String,
        Value("requested"),
        "How topic settings are changed (Kafka 3.5 to 3.9).",
    )
    .valid(Valid::OneOf(&["requested", "required", "never"])),
    Key::new("consumer.poll.timeout.ms", Long, Value("1000"), "Time one poll may wait for records, ms.")
        .valid(Valid::AtLeast(0)),
    Key::new("refresh.topics.enabled", Boolean, Value("true"), "Whether new topics and partitions are looked for."),
    Key::new("refresh.topics.interval.seconds", Long, Value("600"), "How often, seconds."),
    Key::new("sync.topic.configs.enabled", Boolean, Value("true"), "Whether changes of topic settings are copied."),
    Key::new("sync.topic.configs.interval.seconds", Long, Value("600"), "How often, seconds."),
    Key::new("sync.topic.acls.enabled", Boolean, Value("true"), "Whether ACLs of topics are copied."),
    Key::new("sync.topic.acls.interval.seconds", Long, Value("600"), "How often, seconds."),
    Key::new(
        "replication.factor",
        Int,
        Value("2"),
        "Replication factor of the topics made on the target; -1 for the broker's default.",
    )
    .valid(Valid::BrokersChoiceOrUpTo(i16::MAX as i64)),
    Key::new(
        "offset-syncs.topic.replication.factor",
        Short,
        Value("3"),
        "Replication factor of the offset syncs topic.",
    )
    .valid(Valid::BrokersChoiceOrUpTo(i16::MAX as i64)),
    Key::new("offset-syncs.topic.location", String, Value("source"), "Cluster that holds the offset syncs topic.")
        .valid(Valid::OneOf(&["source", "target"])),
    Key::new("offset.lag.max", Long, Value("100"), "The most records a translated offset may lag behind.")
        .valid(Valid::AtLeast(0)),
    Key::new("emit.offset-syncs.enabled", Boolean, Value("true"), "Whether offset syncs are written."),
    Key::new(
        "heartbeats.replication.enabled",
        Boolean,
        Value("true"),
        "Whether heartbeats topics are mirrored whatever `topics` says.",
    ),
    Key::new(
        "add.source.alias.to.metrics",
        Boolean,
        Value("false"),
        "Whether metrics carry the source's alias (Kafka 3.5 to 3.9).",
    ),
    Key::new(
        super::MAX_BYTES_PER_SECOND,
        Long,
        Value("0"),
        "Bytes per second, as the brokers store them (compressed), that the connector's tasks on a worker fetch \
         together; 0 for no cap. A change holds at once and restarts no task. MirrorMaker has no such key.",
    )
    .importance(Medium)
    .valid(Valid::AtLeast(0)),
    Key::new(
        "kmirror.compression",
        String,
        Value("keep"),
        "Compression of batches on the target: keep, which is the source's, or configured, which is what compression.type \
         and compression.gzip.level or compression.zstd.level under producer.override. say, and is applied to every \
         batch, at the price of writing it anew. MirrorMaker has no such key and does the latter.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(&["keep", "configured"])),
    Key::new(
        "kmirror.join.small.batches",
        Boolean,
        Value("true"),
        "Whether uncompressed batches of at most 4 kB become larger ones where many of them wait to be copied: several \
         times faster, for the brokers above all. With false they stay as the source holds them. MirrorMaker has no such \
         key and makes batches of its own.",
    ),
    Key::new(
        "kmirror.offset.map.enabled",
        Boolean,
        Value("true"),
        "Whether it is stored, in topic mm2-offset-map.<source alias>.internal of the target, how far each partition's copy is and \
         where its records stand there. With false a copy that was interrupted goes on at its stored position, so that records are \
         copied twice after a crash, as MirrorMaker, which has no such key, copies them.",
    ),
    Key::new(
        "kmirror.poison.policy",
        String,
        Value("fail"),
        "What a record that the target can't take does: fail stops its partition, park sends it to kmirror.poison.topic, \
         skip leaves it out. Unless this is set, errors.tolerance=all means skip. MirrorMaker has no such key.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(&["fail", "park", "skip"])),
    Key::new(
        "kmirror.poison.topic",
        String,
        Null,
        "Topic on the target for records that kmirror.poison.policy=park takes out of the copy; kmirror.poison. and the \
         source's alias unless set. MirrorMaker has no such key.",
    )
    .importance(Medium),
    Key::new(
        "kmirror.data.loss.policy",
        String,
        Value("fail"),
        "What a partition does when the source has removed records before they were copied: fail stops it, continue goes on \
         with the first record that is there, so that the target never gets those between. MirrorMaker has no such key and \
         goes by auto.offset.reset, which means first starts only here.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(FAIL_OR_CONTINUE)),
    Key::new(
        "kmirror.topic.recreated.policy",
        String,
        Value("fail"),
        "What a partition does when the source's topic was deleted and made again: fail stops it, continue copies the new \
         topic from its beginning, behind what the target has of the old one. What the old one held that was not copied \
         is lost. MirrorMaker has no such key.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(FAIL_OR_CONTINUE)),
    Key::new(
        "kmirror.source.diverged.policy",
        String,
        Value("fail"),
        "What a partition does when the source has lost records that were copied, as by an unclean election: fail stops it, \
         continue goes on where the source's log parted from what was copied. The target keeps the records that the \
         source has lost, in front of those that took their place. MirrorMaker has no such key.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(FAIL_OR_CONTINUE)),
    Key::new(
        "kmirror.position.beyond.source.policy",
        String,
        Value("fail"),
        "What a partition does when its position, as set from outside, lies behind the end of the source's log: fail stops \
         it, continue copies what is produced from now on, so that what the source has is left out, recopy copies from the \
         source's log start, so that what was copied before is there twice. MirrorMaker has no such key.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(FAIL_CONTINUE_OR_RECOPY)),
    Key::new(
        "kmirror.target.recreated.policy",
        String,
        Value("fail"),
        "What a partition does when the target's topic was deleted and made again: fail stops it, continue goes on with the \
         next record, so that the new topic lacks all that was copied before, recopy copies all that the source has, from \
         its log start. MirrorMaker has no such key and does what continue does.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(FAIL_CONTINUE_OR_RECOPY)),
    Key::new(
        "kmirror.target.regressed.policy",
        String,
        Value("fail"),
        "What a partition does when the target has lost records that it had acknowledged, as by an unclean election: fail \
         stops it, continue goes on, so that the lost records stay lost, recopy copies again from the first that was lost, \
         so that what the target still has of those behind it is there twice. MirrorMaker has no such key and does what \
         continue does.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(FAIL_CONTINUE_OR_RECOPY)),
    Key::new(
        "kmirror.anchor.lost.policy",
        String,
        Value("fail"),
        "What a partition does when nobody knows how much of it the target has: fail stops it, continue goes on at the \
         stored position, so that what was written since that was stored is there twice. MirrorMaker has no such key and \
         does the latter.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(FAIL_OR_CONTINUE)),
];

/// Keys of MirrorMaker's other connectors and of its dedicated mode, which shared configurations set everywhere. They
/// are not misspelt, only without effect here.
pub(in crate::config) const OTHER_CONNECTORS_KEYS: &[&str] = &[
    "checkpoints.topic.replication.factor",
    "clusters",
    "dedicated.mode.enable.internal.rest",
    "emit.checkpoints.enabled",
    "emit.checkpoints.interval.seconds",
    "emit.heartbeats.enabled",
    "emit.heartbeats.interval.seconds",
    "group.filter.class",
    "groups",
    "groups.blacklist",
    "groups.exclude",
    "heartbeats.topic.replication.factor",
    "refresh.groups.enabled",
    "refresh.groups.interval.seconds",
    "sync.group.offsets.enabled",
    "sync.group.offsets.interval.seconds",
];

/// Keys the connector itself writes into its tasks' configurations.
pub(in crate::config) const TASK_KEYS: &[&str] = &["task.assigned.partitions", "task.class", "task.index"];
