//! Records of Connect's offset topic, as far as MirrorSource writes them: `["<connector>",{partition}]` → `{"offset":N}`.
//!
//! Connect looks positions up by the raw key bytes and spreads keys over partitions by their hash, so the order of
//! the partition's members is part of the format: it is that of a Java HashMap with these three keys. Reading takes
//! any order and spacing.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{BadRecord, lossy, parse_json, shape};

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

/// Whose position a record tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetKey {
    /// Connector name.
    pub connector: String,
    /// The source partition.
    pub partition: SourcePartition,
}

impl OffsetKey {
    /// Key bytes as MirrorMaker's source connector writes them.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let SourcePartition { cluster, topic, partition } = &self.partition;
        let key = json!([self.connector, { "cluster": cluster, "partition": partition, "topic": topic }]);
        Bytes::from(key.to_string())
    }

    /// Value bytes for the position `offset`: the source offset of the last record that was replicated.
    #[must_use]
    pub fn encode_value(offset: i64) -> Bytes {
        Bytes::from(json!({ "offset": offset }).to_string())
    }
}

/// One record of the offset topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OffsetRecord {
    /// A source partition's position.
    Source {
        /// Whose.
        key: OffsetKey,
        /// Source offset of the last record that was replicated; −1 means none, a tombstone that it was deleted.
        offset: Option<i64>,
    },
    /// Well-formed, of another kind of connector (checkpoints, heartbeats, or none of MirrorMaker's).
    Other,
}

impl OffsetRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// Keys that are not Connect's, and values of another shape.
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, BadRecord> {
        let key = key.ok_or(BadRecord::NoKey)?;
        let unknown = || BadRecord::UnknownKey { key: lossy(key) };
        let json: Value = serde_json::from_slice(key).map_err(|_| unknown())?;
        let Some([Value::String(connector), Value::Object(members)]) = json.as_array().map(Vec::as_slice) else {
            return Err(unknown());
        };
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let number = members.get("partition").and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
        let (Some(cluster), Some(topic), Some(partition), 3) = (text("cluster"), text("topic"), number, members.len())
        else {
            return Ok(Self::Other);
        };
        let offset = match parse_json(key, value)? {
            None => None,
            Some(json) => {
                let offset = json.get("offset").and_then(Value::as_i64);
                Some(offset.ok_or_else(|| shape(key, "\"offset\" with a number"))?)
            }
        };
        let partition = SourcePartition { cluster: cluster.to_owned(), topic: topic.to_owned(), partition };
        Ok(Self::Source { key: OffsetKey { connector: connector.clone(), partition }, offset })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(connector: &str, cluster: &str, topic: &str, partition: i32) -> OffsetKey {
        OffsetKey {
            connector: connector.into(),
            partition: SourcePartition { cluster: cluster.into(), topic: topic.into(), partition },
        }
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
            let read = OffsetRecord::decode(Some(text.as_bytes()), Some(br#"{"offset":12}"#)).unwrap();
            assert_eq!(read, OffsetRecord::Source { key: key("mm2-msc", "A", "t", 0), offset: Some(12) });
            let gone = OffsetRecord::decode(Some(text.as_bytes()), None).unwrap();
            assert_eq!(gone, OffsetRecord::Source { key: key("mm2-msc", "A", "t", 0), offset: None });
        }
    }

    #[test]
    fn other_connectors_are_left_alone() {
        for text in [
            r#"["mm2-cpc",{"partition":0,"topic":"t","group":"g"}]"#,
            r#"["mm2-hbc",{"sourceClusterAlias":"A","targetClusterAlias":"B"}]"#,
            r#"["file",{"filename":"x"}]"#,
            r#"["mm2-msc",{"cluster":"A","partition":"0","topic":"t"}]"#,
        ] {
            let read = OffsetRecord::decode(Some(text.as_bytes()), Some(b"{\"position\":3}")).unwrap();
            assert_eq!(read, OffsetRecord::Other, "{text}");
        }
    }

    #[test]
    fn bad_records_say_what_is_wrong() {
        let text = |key: &str, value: &str| {
            OffsetRecord::decode(Some(key.as_bytes()), Some(value.as_bytes())).unwrap_err().to_string()
        };
        assert_eq!(text("mm2-msc", "{}"), r#"unknown key "mm2-msc""#);
        assert_eq!(text("[1,2]", "{}"), r#"unknown key "[1,2]""#);
        let key = r#"["c",{"cluster":"A","partition":0,"topic":"t"}]"#;
        assert!(text(key, r#"{"offset":"7"}"#).ends_with("\"offset\" with a number expected"));
        assert!(text(key, "{").contains("is not JSON: EOF"));
    }

    proptest! {
        #[test]
        fn any_position_survives(c in "\\PC{1,20}", cluster in "\\PC{1,10}", topic in "[a-zA-Z0-9._-]{1,60}", p in 0i32.., offset in -1i64..) {
            let key = key(&c, &cluster, &topic, p);
            let read = OffsetRecord::decode(Some(&key.encode()), Some(&OffsetKey::encode_value(offset))).unwrap();
            prop_assert_eq!(read, OffsetRecord::Source { key, offset: Some(offset) });
        }

        #[test]
        fn garbage_never_panics(key in prop::collection::vec(any::<u8>(), 0..40), value in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = OffsetRecord::decode(Some(&key), Some(&value));
        }
    }
}
