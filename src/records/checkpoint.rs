//! Records of the checkpoints topic, `<source alias>.checkpoints.internal` on the target (`Checkpoint` of Kafka's connect-mirror-client): where a
//! consumer group of the source may go on in the target.

use std::fmt;

use bytes::Bytes;

use super::{
    BadRecord,
    kafka_struct::{Reader, TooLong, Writer},
    lossy,
};

/// The version that is written.
const VERSION: i16 = 0;

/// Whose checkpoint it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CheckpointKey {
    /// Consumer group.
    pub group: String,
    /// Topic, by its name on the target.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
}

impl fmt::Display for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checkpoint of group {} for {}-{}", self.group, self.topic, self.partition)
    }
}

/// What a group has committed, at both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointValue {
    /// What it committed at the source: the source's offset of the next record to consume.
    pub upstream_offset: i64,
    /// The target's offset to go on from.
    pub downstream_offset: i64,
    /// What it committed beside the offset; empty for none.
    pub metadata: String,
}

impl CheckpointKey {
    /// Key bytes as MirrorMaker writes them.
    ///
    /// # Errors
    /// A name of more than 32,767 bytes.
    pub fn encode(&self) -> Result<Bytes, TooLong> {
        Ok(Writer::default().text("group", &self.group)?.text("topic", &self.topic)?.i32(self.partition).end())
    }

    fn read(key: &[u8]) -> Result<Self, &'static str> {
        let mut reader = Reader::new(key);
        let read = Self { group: reader.text()?, topic: reader.text()?, partition: reader.partition()? };
        reader.end().map(|()| read)
    }
}

impl CheckpointValue {
    /// Value bytes as MirrorMaker writes them.
    ///
    /// # Errors
    /// Metadata of more than 32,767 bytes.
    pub fn encode(&self) -> Result<Bytes, TooLong> {
        let writer = Writer::default().i16(VERSION).i64(self.upstream_offset).i64(self.downstream_offset);
        Ok(writer.text("metadata", &self.metadata)?.end())
    }

    /// What a newer version has beyond the fields of version 0 is passed over, as `Checkpoint.valueSchema` does.
    fn read(value: &[u8]) -> Result<Self, &'static str> {
        let mut reader = Reader::new(value);
        let version = reader.i16()?;
        let read =
            Self { upstream_offset: reader.offset()?, downstream_offset: reader.offset()?, metadata: reader.text()? };
        if version == VERSION { reader.end().map(|()| read) } else { Ok(read) }
    }
}

/// Reads a record; no value is a tombstone.
///
/// # Errors
/// Bytes that are no checkpoint.
pub fn decode_checkpoint(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<(CheckpointKey, Option<CheckpointValue>), BadRecord> {
    let bytes = key.ok_or(BadRecord::NoKey)?;
    let key = CheckpointKey::read(bytes).map_err(|what| BadRecord::DamagedKey { key: lossy(bytes), what })?;
    let damaged = |what| BadRecord::Damaged { key: key.to_string(), what };
    let value = value.map(|value| CheckpointValue::read(value).map_err(damaged)).transpose()?;
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 14] = [0, 1, b'g', 0, 5, b'A', b'.', b't', b'o', b'p', 0, 0, 0, 3];
    const VALUE: [u8; 21] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 1, b'm'];

    #[test]
    fn bytes_are_mirrormakers() {
        // CheckpointTest.testSerde
        let key = CheckpointKey { group: "g".to_owned(), topic: "A.top".to_owned(), partition: 3 };
        let value = CheckpointValue { upstream_offset: 256, downstream_offset: 7, metadata: "m".to_owned() };
        assert_eq!(key.encode().unwrap().as_ref(), KEY);
        assert_eq!(value.encode().unwrap().as_ref(), VALUE);
        assert_eq!(decode_checkpoint(Some(&KEY), Some(&VALUE)), Ok((key.clone(), Some(value))));
        assert_eq!(decode_checkpoint(Some(&KEY), None), Ok((key, None)));
    }

    #[test]
    fn a_newer_version_is_read_by_the_fields_known() {
        let mut newer = VALUE.to_vec();
        newer[1] = 1;
        newer.extend(b"more");
        let (_, value) = decode_checkpoint(Some(&KEY), Some(&newer)).unwrap();
        assert_eq!(value, decode_checkpoint(Some(&KEY), Some(&VALUE)).unwrap().1);
    }

    #[test]
    fn garbage_is_refused_with_what_is_wrong() {
        let text = |key: &[u8], value: &[u8]| decode_checkpoint(Some(key), Some(value)).unwrap_err().to_string();
        let of = "value of checkpoint of group g for A.top-3 is damaged";
        assert_eq!(text(&KEY, &VALUE[..20]), format!("{of}: it ends too early"));
        assert_eq!(text(&KEY, &[&VALUE[..], b"x"].concat()), format!("{of}: it goes on behind its end"));
        let mut negative = VALUE;
        negative[2] = 0xff;
        assert_eq!(text(&KEY, &negative), format!("{of}: an offset is negative"));
        // Metadata null, which the schema does not have.
        assert_eq!(text(&KEY, &[&VALUE[..18], &[0xff, 0xff]].concat()), format!("{of}: a text has a negative length"));
        assert!(text(&KEY[..13], &VALUE).ends_with("is damaged: it ends too early"));
        assert!(text(&[&KEY[..10], &[0xff; 4]].concat(), &VALUE).ends_with("is damaged: a partition is negative"));
        assert_eq!(decode_checkpoint(None, Some(&VALUE)), Err(BadRecord::NoKey));
    }

    proptest! {
        #[test]
        fn any_checkpoint_survives(
            names in (".{0,40}", ".{0,40}", ".{0,40}"),
            partition in 0_i32..,
            upstream_offset in 0_i64..,
            downstream_offset in 0_i64..,
        ) {
            let (group, topic, metadata) = names;
            let key = CheckpointKey { group, topic, partition };
            let value = CheckpointValue { upstream_offset, downstream_offset, metadata };
            let read = decode_checkpoint(Some(&key.encode().unwrap()), Some(&value.encode().unwrap())).unwrap();
            prop_assert_eq!(read, (key, Some(value)));
        }

        #[test]
        fn garbage_never_panics(key in prop::collection::vec(any::<u8>(), 0..30), value in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode_checkpoint(Some(&key), Some(&value));
        }
    }
}
