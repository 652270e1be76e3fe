//! Records of Connect's offset topic: `["<connector>",{partition}]` → `{"offset":N}`, as MirrorSource writes them.
//!
//! Connect looks positions up by the raw key bytes and spreads keys over partitions by their hash, so the order of
//! the partition's members is part of the format: it is that of a Java HashMap with these keys. Reading takes
//! any order and spacing, and any other partition and offset: what stands there can be shown and deleted.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{BadRecord, java_map::in_hash_order, lossy, parse_json, shape};

/// Name of the header that records of kmirror's own bear, with the generation of the anchor that the position belongs
/// to: ASCII decimal. A position without it was set from outside, by a person or a Java worker.
pub const ANCHOR_HEADER: &str = "kmirror.anchor";

/// The [`ANCHOR_HEADER`]'s value.
#[must_use]
pub fn encode_anchor(generation: u64) -> Bytes {
    Bytes::from(generation.to_string())
}

/// The generation that an [`ANCHOR_HEADER`] names; none where it is not one of ours.
#[must_use]
pub fn decode_anchor(value: &[u8]) -> Option<u64> {
    // `parse` takes a sign, which nobody writes.
    let digits = value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

/// A source partition as MirrorSource names it in its offsets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourcePartition {
    /// Alias of the source cluster.
    pub cluster: String,
    /// Topic's name in the source cluster.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
}

/// What a connector stores an offset for: Connect's "source partition".
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OffsetPartition {
    /// MirrorSource's.
    Source(SourcePartition),
    /// Of another kind of connector (checkpoints, heartbeats), or nobody's: a JSON object, its members in Java's order.
    Other(String),
}

impl OffsetPartition {
    /// The partition with these members.
    #[must_use]
    pub fn of(members: &Map<String, Value>) -> Self {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let number = members.get("partition").and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
        match (text("cluster"), text("topic"), number, members.len()) {
            (Some(cluster), Some(topic), Some(partition), 3) => {
                Self::Source(SourcePartition { cluster: cluster.to_owned(), topic: topic.to_owned(), partition })
            }
            _ => {
                let ordered = in_hash_order(members).into_iter().map(|(key, value)| (key.clone(), value.clone()));
                Self::Other(Value::Object(ordered.collect()).to_string())
            }
        }
    }

    /// Its members, in Java's order.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Source(SourcePartition { cluster, topic, partition }) => {
                json!({ "cluster": cluster, "partition": partition, "topic": topic })
            }
            Self::Other(text) => serde_json::from_str(text).unwrap_or_default(),
        }
    }
}

/// Whose position a record tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetKey {
    /// Connector name.
    pub connector: String,
    /// What it is the position in.
    pub partition: OffsetPartition,
}

impl OffsetKey {
    /// Key bytes as Connect writes them.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Bytes::from(json!([self.connector, self.partition.to_json()]).to_string())
    }

    /// Value bytes for the position `offset`: the source offset of the last record that was replicated.
    #[must_use]
    pub fn encode_value(offset: i64) -> Bytes {
        Bytes::from(json!({ "offset": offset }).to_string())
    }
}

/// What a record tells of a position.
#[derive(Debug, Clone, PartialEq)]
pub enum OffsetValue {
    /// Of a source partition, the source offset of the last record that was replicated; −1 means none.
    Position(i64),
    /// Anything else that is JSON.
    Other(Value),
}

impl OffsetValue {
    /// As it stands in the topic.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Position(offset) => json!({ "offset": offset }),
            Self::Other(value) => value.clone(),
        }
    }
}

/// One record of the offset topic.
#[derive(Debug, Clone, PartialEq)]
pub struct OffsetRecord {
    /// Whose position.
    pub key: OffsetKey,
    /// The position; absent where it was deleted.
    pub value: Option<OffsetValue>,
}

impl OffsetRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// Keys that are not Connect's, and values that are not JSON.
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, BadRecord> {
        let key = key.ok_or(BadRecord::NoKey)?;
        let unknown = || BadRecord::UnknownKey { key: lossy(key) };
        let json: Value = serde_json::from_slice(key).map_err(|_| unknown())?;
        let Some([Value::String(connector), Value::Object(members)]) = json.as_array().map(Vec::as_slice) else {
            return Err(unknown());
        };
        let partition = OffsetPartition::of(members);
        let value = parse_json(key, value)?.map(|json| position(&partition, &json).unwrap_or(OffsetValue::Other(json)));
        Ok(Self { key: OffsetKey { connector: connector.clone(), partition }, value })
    }

    /// Whether MirrorSource could make something of it.
    ///
    /// # Errors
    /// A source partition's value that is no position.
    pub fn check(&self) -> Result<(), BadRecord> {
        match (&self.key.partition, &self.value) {
            (OffsetPartition::Source(_), Some(OffsetValue::Other(_))) => {
                Err(shape(&self.key.encode(), "\"offset\" with a number"))
            }
            _ => Ok(()),
        }
    }
}

/// The value's number, where that is all it says, or all that counts. MirrorMaker reads null as none.
fn position(partition: &OffsetPartition, json: &Value) -> Option<OffsetValue> {
    let members = json.as_object()?;
    let counts = members.len() == 1 || matches!(partition, OffsetPartition::Source(_));
    match members.get("offset").filter(|_| counts)? {
        Value::Null => Some(OffsetValue::Position(-1)),
        offset => offset.as_i64().map(OffsetValue::Position),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(connector: &str, cluster: &str, topic: &str, partition: i32) -> OffsetKey {
        OffsetKey {
            connector: connector.into(),
            partition: OffsetPartition::Source(SourcePartition {
                cluster: cluster.into(),
                topic: topic.into(),
                partition,
            }),
        }
    }

    fn read(key: &str, value: Option<&str>) -> Result<OffsetRecord, BadRecord> {
        OffsetRecord::decode(Some(key.as_bytes()), value.map(str::as_bytes))
    }

    #[test]
    fn bytes_are_connects() {
        let key = key("mm2-msc", "A", "t", 0);
        assert_eq!(key.encode().as_ref(), br#"["mm2-msc",{"cluster":"A","partition":0,"topic":"t"}]"#);
        assert_eq!(OffsetKey::encode_value(41).as_ref(), br#"{"offset":41}"#);
    }

    #[test]
    fn any_order_and_spacing_is_read() {
        for text in [
            r#"["mm2-msc",{"cluster":"A","partition":0,"topic":"t"}]"#,
            r#"[ "mm2-msc", { "topic": "t", "partition": 0, "cluster": "A" } ]"#,
        ] {
            let key = key("mm2-msc", "A", "t", 0);
            for (value, expected) in [
                (Some(r#"{"offset":12}"#), Some(OffsetValue::Position(12))),
                (Some(r#"{ "offset" : -1 }"#), Some(OffsetValue::Position(-1))),
                (Some(r#"{"offset":null}"#), Some(OffsetValue::Position(-1))),
                (Some(r#"{"offset":7,"more":true}"#), Some(OffsetValue::Position(7))),
                (Some(r#"{"offset":"7"}"#), Some(OffsetValue::Other(json!({"offset": "7"})))),
                (Some("null"), None),
                (None, None),
            ] {
                let expected = OffsetRecord { key: key.clone(), value: expected };
                assert_eq!(read(text, value), Ok(expected), "{value:?}");
            }
        }
    }

    #[test]
    fn other_partitions_are_kept_as_they_are() {
        for (text, canonical) in [
            (r#"["mm2-cpc",{"group":"g","topic":"t","partition":0}]"#, r#"{"partition":0,"topic":"t","group":"g"}"#),
            (
                r#"["mm2-hbc",{"targetClusterAlias":"B", "sourceClusterAlias":"A"}]"#,
                r#"{"sourceClusterAlias":"A","targetClusterAlias":"B"}"#,
            ),
            (r#"["file",{"filename":"x"}]"#, r#"{"filename":"x"}"#),
            (
                r#"["mm2-msc",{"cluster":"A","partition":"0","topic":"t"}]"#,
                r#"{"cluster":"A","partition":"0","topic":"t"}"#,
            ),
            (
                r#"["mm2-msc",{"cluster":"A","partition":2147483648,"topic":"t"}]"#,
                r#"{"cluster":"A","partition":2147483648,"topic":"t"}"#,
            ),
            (r#"["c",{}]"#, "{}"),
        ] {
            let record = read(text, Some(r#"{"position":3}"#)).unwrap();
            assert_eq!(record.key.partition, OffsetPartition::Other(canonical.to_owned()));
            assert_eq!(record.key.partition.to_json().to_string(), canonical);
            assert_eq!(record.value.unwrap().to_json(), json!({"position": 3}));
            let connector = record.key.connector.clone();
            assert_eq!(record.key.encode(), format!(r#"["{connector}",{canonical}]"#));
        }
        let checkpoint = r#"["mm2-cpc",{"partition":0,"topic":"t","group":"g"}]"#;
        assert_eq!(read(checkpoint, Some(r#"{"offset":0}"#)).unwrap().value, Some(OffsetValue::Position(0)));
        let more = read(checkpoint, Some(r#"{"offset":0,"more":1}"#)).unwrap();
        assert_eq!(more.value.unwrap().to_json(), json!({"offset": 0, "more": 1}));
    }

    #[test]
    fn bad_records_say_what_is_wrong() {
        let text = |key: &str, value: &str| read(key, Some(value)).unwrap_err().to_string();
        assert_eq!(text("mm2-msc", "{}"), r#"unknown key "mm2-msc""#);
        assert_eq!(text("[1,2]", "{}"), r#"unknown key "[1,2]""#);
        assert_eq!(text(r#"["c",null]"#, "{}"), r#"unknown key "[\"c\",null]""#);
        let key = r#"["c",{"cluster":"A","partition":0,"topic":"t"}]"#;
        assert!(text(key, "{").contains("is not JSON: EOF"));
        let error = read(key, Some(r#"{"offset":"7"}"#)).unwrap().check().unwrap_err().to_string();
        assert!(error.ends_with("\"offset\" with a number expected"), "{error}");
        assert_eq!(read(key, Some(r#"{"offset":7}"#)).unwrap().check(), Ok(()));
        assert_eq!(read(r#"["c",{"file":"x"}]"#, Some(r#"{"offset":"7"}"#)).unwrap().check(), Ok(()));
    }

    #[test]
    fn anchors_are_plain_numbers() {
        for generation in [0, 7, u64::MAX] {
            assert_eq!(decode_anchor(&encode_anchor(generation)), Some(generation));
        }
        for other in ["", "-1", "+1", " 1", "1.0", "x", "18446744073709551616"] {
            assert_eq!(decode_anchor(other.as_bytes()), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn any_position_survives(c in "\\PC{1,20}", cluster in "\\PC{1,10}", topic in "[a-zA-Z0-9._-]{1,60}", p in 0i32.., offset in -1i64..) {
            let key = key(&c, &cluster, &topic, p);
            let read = OffsetRecord::decode(Some(&key.encode()), Some(&OffsetKey::encode_value(offset))).unwrap();
            prop_assert_eq!(read, OffsetRecord { key, value: Some(OffsetValue::Position(offset)) });
        }

        #[test]
        fn garbage_never_panics(key in prop::collection::vec(any::<u8>(), 0..40), value in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = OffsetRecord::decode(Some(&key), Some(&value));
        }
    }
}
