//! A record as librdkafka hands it out.

use rdkafka::{Message as _, Timestamp, message::BorrowedMessage};

use crate::foreign;

/// What a record's timestamp means (Kafka's `TimestampType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// It has none: it was written before there were any, or its producer gave −1.
    NoTimestampType,
    /// Its producer's.
    CreateTime,
    /// When the broker appended it.
    LogAppendTime,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRecord {
    /// On the cluster that was read.
    pub offset: i64,
    /// Milliseconds since 1970, −1 for none.
    pub timestamp: i64,
    /// What `timestamp` means.
    pub timestamp_type: TimestampType,
    /// The key; none for null.
    pub key: Option<Vec<u8>>,
    /// The value; none for null.
    pub value: Option<Vec<u8>>,
    /// Headers in order, doubled ones too; a value that is none is null. Of a key, librdkafka tells what stands before its first zero byte.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl ReadRecord {
    pub(super) fn of(message: &BorrowedMessage<'_>) -> Self {
        let (timestamp, timestamp_type) = match message.timestamp() {
            Timestamp::NotAvailable => (-1, TimestampType::NoTimestampType),
            Timestamp::CreateTime(ms) => (ms, TimestampType::CreateTime),
            Timestamp::LogAppendTime(ms) => (ms, TimestampType::LogAppendTime),
        };
        Self {
            offset: message.offset(),
            timestamp,
            timestamp_type,
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: foreign::headers(message),
        }
    }

    /// Bytes of key, value and headers.
    pub(super) fn bytes(&self) -> usize {
        let of = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(key, value)| key.len() + of(value)).sum();
        of(&self.key) + of(&self.value) + headers
    }
}
