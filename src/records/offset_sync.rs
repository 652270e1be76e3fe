//! Records of the offset syncs topic, `mm2-offset-syncs.<other cluster>.internal` (`OffsetSync` of Kafka's connect-mirror): which target offset a
//! record of a source partition has.

use std::fmt;

use bytes::Bytes;

use super::{
    BadRecord,
    kafka_struct::{Reader, TooLong, Writer},
    lossy,
};

/// Which partition it is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetSyncKey {
    /// Topic, by its name on the source.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
}

impl fmt::Display for OffsetSyncKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset sync of {}-{}", self.topic, self.partition)
    }
}

/// Where one record stands at both ends. There is no version in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetSyncValue {
    /// Its offset at the source.
    pub upstream_offset: i64,
    /// Its offset in the target.
    pub downstream_offset: i64,
}

impl OffsetSyncKey {
    /// Key bytes as MirrorMaker writes them.
    ///
    /// # Errors
    /// A topic's name of more than 32,767 bytes.
    pub fn encode(&self) -> Result<Bytes, TooLong> {
        Ok(Writer::default().text("topic", &self.topic)?.i32(self.partition).end())
    }

    fn read(key: &[u8]) -> Result<Self, &'static str> {
        let mut reader = Reader::new(key);
        let read = Self { topic: reader.text()?, partition: reader.partition()? };
        reader.end().map(|()| read)
    }
}

impl OffsetSyncValue {
    /// Value bytes as MirrorMaker writes them.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Writer::default().i64(self.upstream_offset).i64(self.downstream_offset).end()
    }

    fn read(value: &[u8]) -> Result<Self, &'static str> {
        let mut reader = Reader::new(value);
        let read = Self { upstream_offset: reader.offset()?, downstream_offset: reader.offset()? };
        reader.end().map(|()| read)
    }
}

/// Reads a record; no value is a tombstone.
///
/// # Errors
/// Bytes that are no offset sync.
pub fn decode_offset_sync(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<(OffsetSyncKey, Option<OffsetSyncValue>), BadRecord> {
    let bytes = key.ok_or(BadRecord::NoKey)?;
    let key = OffsetSyncKey::read(bytes).map_err(|what| BadRecord::DamagedKey { key: lossy(bytes), what })?;
    let damaged = |what| BadRecord::Damaged { key: key.to_string(), what };
    let value = value.map(|value| OffsetSyncValue::read(value).map_err(damaged)).transpose()?;
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 9] = [0, 3, b't', b'o', b'p', 0, 0, 1, 0];
    const VALUE: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 200];

    #[test]
    fn bytes_are_mirrormakers() {
        // OffsetSyncTest.testSerde
        let key = OffsetSyncKey { topic: "top".to_owned(), partition: 256 };
        let value = OffsetSyncValue { upstream_offset: 100, downstream_offset: 200 };
        assert_eq!(key.encode().unwrap().as_ref(), KEY);
        assert_eq!(value.encode().as_ref(), VALUE);
        assert_eq!(decode_offset_sync(Some(&KEY), Some(&VALUE)), Ok((key.clone(), Some(value))));
        assert_eq!(decode_offset_sync(Some(&KEY), None), Ok((key, None)));
    }

    #[test]
    fn garbage_is_refused_with_what_is_wrong() {
        let text = |key: &[u8], value: &[u8]| decode_offset_sync(Some(key), Some(value)).unwrap_err().to_string();
        let of = "value of offset sync of top-256 is damaged";
        assert_eq!(text(&KEY, &VALUE[..15]), format!("{of}: it ends too early"));
        assert_eq!(text(&KEY, &[0; 17]), format!("{of}: it goes on behind its end"));
        assert_eq!(text(&KEY, &[0xff; 16]), format!("{of}: an offset is negative"));
        assert!(text(&KEY[..8], &VALUE).ends_with("is damaged: it ends too early"));
        assert!(text(&[&KEY[..], &[0]].concat(), &VALUE).ends_with("is damaged: it goes on behind its end"));
        assert_eq!(decode_offset_sync(None, Some(&VALUE)), Err(BadRecord::NoKey));
    }

    proptest! {
        #[test]
        fn any_offset_sync_survives(topic in ".{0,40}", partition in 0_i32.., upstream_offset in 0_i64.., downstream_offset in 0_i64..) {
            let key = OffsetSyncKey { topic, partition };
            let value = OffsetSyncValue { upstream_offset, downstream_offset };
            let read = decode_offset_sync(Some(&key.encode().unwrap()), Some(&value.encode())).unwrap();
            prop_assert_eq!(read, (key, Some(value)));
        }

        #[test]
        fn garbage_never_panics(key in prop::collection::vec(any::<u8>(), 0..20), value in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = decode_offset_sync(Some(&key), Some(&value));
        }
    }
}
