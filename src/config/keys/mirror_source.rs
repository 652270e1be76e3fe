//! Keys of MirrorMaker's source connector (`MirrorSourceConfig`), in its order.

use super::mirror::{CONSUMER_POLL_TIMEOUT, OFFSET_SYNCS_TOPIC_LOCATION, TOPIC_FILTER_CLASS, TOPICS_NOT_SELECTED};
use crate::config::key::{
    Default::Value,
    Importance::High,
    Key,
    Kind::{Boolean, Class, Int, List, Long, Short, String},
    Valid,
};

const CONFIG_PROPERTY_FILTER: &str = "org.apache.kafka.connect.mirror.DefaultConfigPropertyFilter";

const CONFIG_PROPERTIES_EXCLUDE: &str = r"follower\.replication\.throttled\.replicas, leader\.replication\.throttled\.replicas, message\.timestamp\.difference\.max\.ms, message\.timestamp\.type, unclean\.leader\.election\.enable, min\.insync\.replicas";

/// Keys of a MirrorSourceConnector beside those that all of MirrorMaker's connectors have, and kmirror's.
pub const MIRROR_SOURCE_KEYS: &[Key] = &[
    Key::new("topics", List, Value(".*"), "Topics to mirror: regular expressions, each for a whole name.")
        .importance(High),
    TOPICS_NOT_SELECTED,
    Key::new(
        "config.properties.exclude",
        List,
        Value(CONFIG_PROPERTIES_EXCLUDE),
        "Topic settings not to copy: regular expressions, each for a whole name.",
    )
    .importance(High)
    .alias("config.properties.blacklist"),
    TOPIC_FILTER_CLASS,
    Key::new(
        "config.property.filter.class",
        Class,
        Value(CONFIG_PROPERTY_FILTER),
        "Class that selects topic settings.",
    )
    .valid(Valid::Classes(&[CONFIG_PROPERTY_FILTER])),
    CONSUMER_POLL_TIMEOUT,
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
    Key::new("offset.lag.max", Long, Value("100"), "The most records a translated offset may lag behind.")
        .valid(Valid::AtLeast(0)),
    OFFSET_SYNCS_TOPIC_LOCATION,
    Key::new("emit.offset-syncs.enabled", Boolean, Value("true"), "Whether offset syncs are written."),
    Key::new(
        "heartbeats.replication.enabled",
        Boolean,
        Value("true"),
        "Whether heartbeats topics are mirrored whatever `topics` says.",
    ),
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
    Key::new(
        "add.source.alias.to.metrics",
        Boolean,
        Value("false"),
        "Whether metrics carry the source's alias (Kafka 3.5 to 3.9).",
    ),
];
