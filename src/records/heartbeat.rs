//! Records of the heartbeats topic (`Heartbeat` of Kafka's connect-mirror-client): one for each pair of clusters, written anew again and again.

use std::fmt;

use bytes::Bytes;

use super::{
    BadRecord,
    kafka_struct::{Reader, TooLong, Writer},
    lossy,
};

/// The version that is written.
const VERSION: i16 = 0;

/// Which way the heartbeat goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeartbeatKey {
    /// Alias of the cluster that is copied.
    pub source_alias: String,
    /// Alias of the cluster that the heartbeat was written to.
    pub target_alias: String,
}

impl fmt::Display for HeartbeatKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "heartbeat {}->{}", self.source_alias, self.target_alias)
    }
}

/// When it was emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatValue {
    /// Wall clock, ms since the epoch.
    pub timestamp: i64,
}

impl HeartbeatKey {
    /// Key bytes as MirrorMaker writes them.
    ///
    /// # Errors
    /// An alias of more than 32,767 bytes.
    pub fn encode(&self) -> Result<Bytes, TooLong> {
        let writer = Writer::default().text("source.cluster.alias", &self.source_alias)?;
        Ok(writer.text("target.cluster.alias", &self.target_alias)?.end())
    }

    fn read(key: &[u8]) -> Result<Self, &'static str> {
        let mut reader = Reader::new(key);
        let read = Self { source_alias: reader.text()?, target_alias: reader.text()? };
        reader.end().map(|()| read)
    }
}

impl HeartbeatValue {
    /// Value bytes as MirrorMaker writes them.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Writer::default().i16(VERSION).i64(self.timestamp).end()
    }

    /// What a newer version has beyond the fields of version 0 is passed over, as `Heartbeat.valueSchema` does.
    fn read(value: &[u8]) -> Result<Self, &'static str> {
        let mut reader = Reader::new(value);
        let version = reader.i16()?;
        let read = Self { timestamp: reader.i64()? };
        if version == VERSION { reader.end().map(|()| read) } else { Ok(read) }
    }
}

/// Reads a record; no value is a tombstone.
///
/// # Errors
/// Bytes that are no heartbeat.
pub fn decode_heartbeat(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<(HeartbeatKey, Option<HeartbeatValue>), BadRecord> {
    let bytes = key.ok_or(BadRecord::NoKey)?;
    let key = HeartbeatKey::read(bytes).map_err(|what| BadRecord::DamagedKey { key: lossy(bytes), what })?;
    let damaged = |what| BadRecord::Damaged { key: key.to_string(), what };
    let value = value.map(|value| HeartbeatValue::read(value).map_err(damaged)).transpose()?;
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 6] = [0, 1, b'A', 0, 1, b'B'];

    #[test]
    fn bytes_are_mirrormakers() {
        // HeartbeatTest.testSerde
        let key = HeartbeatKey { source_alias: "A".to_owned(), target_alias: "B".to_owned() };
        let value = HeartbeatValue { timestamp: 1_700_000_000_000 };
        assert_eq!(key.encode().unwrap().as_ref(), KEY);
        let bytes = [0, 0, 0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00];
        assert_eq!(value.encode().as_ref(), bytes);
        assert_eq!(decode_heartbeat(Some(&KEY), Some(&bytes)), Ok((key.clone(), Some(value))));
        assert_eq!(decode_heartbeat(Some(&KEY), None), Ok((key, None)));
    }

    #[test]
    fn a_newer_version_is_read_by_the_fields_known() {
        let bytes = [0, 7, 0, 0, 0, 0, 0, 0, 0, 5, b'm', b'o', b'r', b'e'];
        let (_, value) = decode_heartbeat(Some(&KEY), Some(&bytes)).unwrap();
        assert_eq!(value, Some(HeartbeatValue { timestamp: 5 }));
    }

    #[test]
    fn garbage_is_refused_with_what_is_wrong() {
        let text = |key: &[u8], value: &[u8]| decode_heartbeat(Some(key), Some(value)).unwrap_err().to_string();
        assert_eq!(text(&KEY, &[0, 0, 1]), "value of heartbeat A->B is damaged: it ends too early");
        assert_eq!(text(&KEY, &[0; 11]), "value of heartbeat A->B is damaged: it goes on behind its end");
        assert_eq!(text(&KEY[..5], &[0; 10]), "key \"\\0\\u{1}A\\0\\u{1}\" is damaged: it ends too early");
        assert_eq!(text(&[0xff, 0xff], &[0; 10]), "key \"��\" is damaged: a text has a negative length");
        assert_eq!(text(&[0, 1, 0xff, 0, 0], &[0; 10]), "key \"\\0\\u{1}�\\0\\0\" is damaged: a text is not UTF-8");
        assert_eq!(decode_heartbeat(None, Some(&[0; 10])), Err(BadRecord::NoKey));
    }

    proptest! {
        #[test]
        fn any_heartbeat_survives(source_alias in ".{0,40}", target_alias in ".{0,40}", timestamp: i64) {
            let (key, value) = (HeartbeatKey { source_alias, target_alias }, HeartbeatValue { timestamp });
            let read = decode_heartbeat(Some(&key.encode().unwrap()), Some(&value.encode())).unwrap();
            prop_assert_eq!(read, (key, Some(value)));
        }

        #[test]
        fn garbage_never_panics(key in prop::collection::vec(any::<u8>(), 0..20), value in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = decode_heartbeat(Some(&key), Some(&value));
        }
    }
}
