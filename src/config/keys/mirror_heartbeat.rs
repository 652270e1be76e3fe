//! Keys of MirrorMaker's heartbeat connector (`MirrorHeartbeatConfig`), in its order.

use crate::config::key::{
    Default::Value,
    Key,
    Kind::{Boolean, Long, Short},
    Valid,
};

/// Keys of a MirrorHeartbeatConnector beside those that all of MirrorMaker's connectors have.
pub const MIRROR_HEARTBEAT_KEYS: &[Key] = &[
    Key::new("emit.heartbeats.enabled", Boolean, Value("true"), "Whether heartbeats are written to the target."),
    Key::new("emit.heartbeats.interval.seconds", Long, Value("1"), "How often, seconds."),
    Key::new(
        "heartbeats.topic.replication.factor",
        Short,
        Value("3"),
        "Replication factor of the heartbeats topic; -1 for the broker's default.",
    )
    .valid(Valid::BrokersChoiceOrUpTo(i16::MAX as i64)),
];
