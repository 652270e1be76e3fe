//! Byte-for-byte forms of internal records. Pure: bytes in, values out, and back.
//!
//! Connect keeps its state in three compacted topics, as JSON without schemas. kmirror reads and writes the same
//! bytes, so that either can carry on where the other stopped. MirrorMaker's heartbeats, checkpoints and offset syncs are
//! Kafka structs, read by Java's tools too. [`offset_map`] is kmirror's own.

mod checkpoint;
mod config_topic;
mod heartbeat;
mod java_map;
mod kafka_struct;
pub mod offset_map;
mod offset_sync;
mod offset_topic;
mod state;
mod status_topic;

pub use checkpoint::{CheckpointKey, CheckpointValue, decode_checkpoint};
pub use config_topic::{ConfigRecord, TaskId};
pub use heartbeat::{HeartbeatKey, HeartbeatValue, decode_heartbeat};
pub use java_map::{java_text, java_value};
pub use kafka_struct::TooLong;
pub use offset_sync::{OffsetSyncKey, OffsetSyncValue, decode_offset_sync};
pub use offset_topic::{
    ANCHOR_HEADER, OffsetKey, OffsetPartition, OffsetRecord, OffsetValue, SourcePartition, decode_anchor, encode_anchor,
};
pub use state::{State, TargetState, UnknownState};
pub use status_topic::{StatusKey, StatusRecord, StatusValue};

use std::fmt;

use serde_json::Value;

/// Why a record of an internal topic can't be used. Whoever read it adds topic, partition and offset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Every record of Connect's topics has a key.
    #[error("it has no key")]
    NoKey,
    /// The key is not one of this topic's.
    #[error("unknown key {key:?}")]
    UnknownKey {
        /// The key, invalid UTF-8 replaced.
        key: String,
    },
    /// The value is not JSON.
    #[error("value of key {key:?} is not JSON: {cause}")]
    NotJson {
        /// The key, invalid UTF-8 replaced.
        key: String,
        /// The parser's words; they tell line and column, never the content.
        cause: String,
    },
    /// The value is JSON, of another shape.
    #[error("value of key {key:?}: {expected} expected")]
    Shape {
        /// The key, invalid UTF-8 replaced.
        key: String,
        /// What should have been there.
        expected: &'static str,
    },
    /// Written by a release that knows more.
    #[error("value of {key} has version {found}, {known} is known here")]
    Version {
        /// What the key says.
        key: String,
        /// The value's version.
        found: u8,
        /// The version that can be read.
        known: u8,
    },
    /// The key is not what MirrorMaker writes.
    #[error("key {key:?} is damaged: {what}")]
    DamagedKey {
        /// The key, invalid UTF-8 replaced.
        key: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The value is not what was written under this key.
    #[error("value of {key} is damaged: {what}")]
    Damaged {
        /// What the key says.
        key: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// The key as text, for messages: it may be anything.
fn lossy(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// Parses a value; absent (tombstone) stays absent, and so does a JSON `null`, as JsonConverter has it.
fn parse_json(key: &[u8], value: Option<&[u8]>) -> Result<Option<Value>, BadRecord> {
    let Some(value) = value else { return Ok(None) };
    match serde_json::from_slice(value) {
        Ok(Value::Null) => Ok(None),
        Ok(json) => Ok(Some(json)),
        Err(error) => Err(BadRecord::NotJson { key: lossy(key), cause: error.to_string() }),
    }
}

fn shape(key: &[u8], expected: &'static str) -> BadRecord {
    BadRecord::Shape { key: lossy(key), expected }
}

/// Splits `{name}-{number}` at the last dash: connector names may hold dashes and digits themselves.
fn split_task(text: &str) -> Option<(&str, u32)> {
    let (name, number) = text.rsplit_once('-')?;
    // Integer.parseInt would take a sign; Connect never writes one.
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((name, number.parse().ok()?))
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.connector, self.task)
    }
}
