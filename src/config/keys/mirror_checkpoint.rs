//! Keys of MirrorMaker's checkpoint connector (`MirrorCheckpointConfig`), in its order, and those of its topic filter.

use super::mirror::{CONSUMER_POLL_TIMEOUT, OFFSET_SYNCS_TOPIC_LOCATION, TOPIC_FILTER_CLASS, TOPICS_NOT_SELECTED};
use crate::config::key::{
    Default::Value,
    Importance::High,
    Key,
    Kind::{Boolean, Class, List, Long, Short},
    Valid,
};

const GROUP_FILTER: &str = "org.apache.kafka.connect.mirror.DefaultGroupFilter";

/// Keys of a MirrorCheckpointConnector beside those that all of MirrorMaker's connectors have, and kmirror's.
pub const MIRROR_CHECKPOINT_KEYS: &[Key] = &[
    CONSUMER_POLL_TIMEOUT,
    Key::new(
        "groups",
        List,
        Value(".*"),
        "Consumer groups whose offsets are translated: regular expressions, each for a whole name.",
    )
    .importance(High),
    Key::new(
        "groups.exclude",
        List,
        Value("console-consumer-.*, connect-.*, __.*"),
        "Groups left out, though they match `groups`.",
    )
    .importance(High)
    .alias("groups.blacklist"),
    Key::new("group.filter.class", Class, Value(GROUP_FILTER), "Class that selects groups.")
        .valid(Valid::Classes(&[GROUP_FILTER])),
    Key::new("refresh.groups.enabled", Boolean, Value("true"), "Whether new groups are looked for."),
    Key::new("refresh.groups.interval.seconds", Long, Value("600"), "How often, seconds."),
    Key::new("emit.checkpoints.enabled", Boolean, Value("true"), "Whether translated offsets are written to a topic."),
    Key::new("emit.checkpoints.interval.seconds", Long, Value("60"), "How often, seconds."),
    Key::new(
        "sync.group.offsets.enabled",
        Boolean,
        Value("false"),
        "Whether groups that are idle on the target get the translated offsets there.",
    ),
    Key::new("sync.group.offsets.interval.seconds", Long, Value("60"), "How often, seconds."),
    Key::new(
        "checkpoints.topic.replication.factor",
        Short,
        Value("3"),
        "Replication factor of the checkpoints topic; -1 for the broker's default.",
    )
    .valid(Valid::BrokersChoiceOrUpTo(i16::MAX as i64)),
    OFFSET_SYNCS_TOPIC_LOCATION,
    TOPIC_FILTER_CLASS,
    Key::new(
        "topics",
        List,
        Value(".*"),
        "Topics whose offsets are translated: regular expressions, each for a whole name. Those of the source connector \
         have to be written here too.",
    )
    .importance(High),
    TOPICS_NOT_SELECTED,
    Key::new("emit.offset-syncs.enabled", Boolean, Value("true"), "Whether the source connector writes offset syncs."),
];
