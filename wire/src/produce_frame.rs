//! A Produce request as bytes to send, with the records where they already are.
//!
//! The message crate would copy every payload into one buffer. Here only what stands between the payloads is written:
//! the result is a list of segments for a vectored write. Only small payloads are copied.

use bytes::{BufMut, Bytes, BytesMut};

use crate::HEADER_LEN;

const API_KEY: i16 = 0;
/// First version with compact lengths and tagged fields, under request header 2.
const FLEXIBLE: i16 = 9;
/// First version that names topics by id (KIP-516).
const TOPIC_IDS: i16 = 13;
/// Bytes of a batch before and with its length field.
const LENGTH_END: usize = 12;
/// A payload of so many bytes costs less to copy than to be a segment of its own.
const COPIED: usize = 2_048;

/// One batch for one partition of the target.
#[derive(Debug, Clone)]
pub(crate) struct ProduceBatch<'a> {
    /// The target's topic: sent up to version 12, and named in errors.
    pub(crate) topic: &'a str,
    /// The topic's id at the target, 0 where it is not known: sent from version 13 on.
    pub(crate) topic_id: u128,
    /// Partition of the topic.
    pub(crate) partition: i32,
    /// The batch's header, as [`crate::rewrite_header`] returns it.
    pub(crate) header: [u8; HEADER_LEN],
    /// The batch's records, compressed or not.
    pub(crate) payload: Bytes,
}

/// A Produce request that can't be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// A version whose layout is not known here.
    #[error("Produce version {version} is not known; 3 to 13 are")]
    Version {
        /// The version asked for.
        version: i16,
    },
    /// A client id or topic name longer than the protocol's strings.
    #[error("{what} has {length} bytes; a Kafka string has at most 32767")]
    Name {
        /// `client id`, or `topic name` with the name's beginning.
        what: String,
        /// Its bytes.
        length: usize,
    },
    /// Two batches for one partition: brokers refuse more than one per request (`ProduceRequest.validateRecords`).
    #[error("{topic}-{partition} has more than one batch in a Produce request; brokers take one")]
    Repeated {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
    },
    /// The version names topics by id, and the id is 0.
    #[error("topic {topic} has no id, which Produce version {version} needs")]
    NoTopicId {
        /// Topic.
        topic: String,
        /// The version asked for.
        version: i16,
    },
    /// A header that says another length than its payload has.
    #[error("the batch for {topic}-{partition} says {said} bytes follow its length field, but {actual} do")]
    Length {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// The header's length field.
        said: i32,
        /// Header and payload together, from the length field's end.
        actual: usize,
    },
    /// Longer than the four bytes of a request's length can say.
    #[error("a Produce request of {length} bytes is longer than Kafka's frames, 2147483647 bytes")]
    TooLong {
        /// Bytes of the request, its length field not counted.
        length: usize,
    },
}

/// A Produce request in segments that, sent one after the other, are the whole frame, its length included. `acks` is
/// −1 (all), 0 or 1; the broker waits up to `timeout_ms` for its followers. No transactional id is sent.
///
/// The batches may come in any order; they are sent sorted by topic and partition.
///
/// # Errors
/// [`FrameError`], before anything is written: nothing of a request that can't be right is sent.
pub(crate) fn encode_produce(
    version: i16,
    correlation_id: i32,
    client_id: &str,
    acks: i16,
    timeout_ms: i32,
    batches: &[ProduceBatch<'_>],
) -> Result<Vec<Bytes>, FrameError> {
    if !(3..=TOPIC_IDS).contains(&version) {
        return Err(FrameError::Version { version });
    }
    let topics = by_topic(version, batches)?;
    let mut frame = Frame::new(version, batches);
    frame.own.put_i16(API_KEY);
    frame.own.put_i16(version);
    frame.own.put_i32(correlation_id);
    // The client id keeps its plain form in header 2 (KIP-482), so that any broker can read it.
    put_plain_string(&mut frame.own, "client id", client_id)?;
    frame.tagged_fields();
    frame.no_string();
    frame.own.put_i16(acks);
    frame.own.put_i32(timeout_ms);
    frame.length(topics.len());
    for topic in topics {
        frame.topic(&topic)?;
        frame.length(topic.len());
        for batch in topic {
            frame.own.put_i32(batch.partition);
            frame.records(batch)?;
            frame.tagged_fields();
        }
        frame.tagged_fields();
    }
    frame.tagged_fields();
    frame.finish()
}

/// The batches grouped by topic, each group sorted by partition; refuses what repeats.
fn by_topic<'b>(version: i16, batches: &'b [ProduceBatch<'b>]) -> Result<Vec<Vec<&'b ProduceBatch<'b>>>, FrameError> {
    let key = |batch: &ProduceBatch<'b>| (batch.topic, batch.partition);
    let mut sorted: Vec<&ProduceBatch<'b>> = batches.iter().collect();
    sorted.sort_unstable_by_key(|batch| key(batch));
    for pair in sorted.windows(2) {
        if key(pair[0]) == key(pair[1]) {
            return Err(FrameError::Repeated { topic: pair[0].topic.to_owned(), partition: pair[0].partition });
        }
    }
    if version >= TOPIC_IDS
        && let Some(batch) = sorted.iter().find(|batch| batch.topic_id == 0)
    {
        return Err(FrameError::NoTopicId { topic: batch.topic.to_owned(), version });
    }
    Ok(sorted.chunk_by(|a, b| a.topic == b.topic).map(<[_]>::to_vec).collect())
}

/// A frame under way: our own bytes in one buffer, and where in it which payload comes.
struct Frame {
    flexible: bool,
    by_id: bool,
    own: BytesMut,
    payloads: Vec<(usize, Bytes)>,
}

impl Frame {
    fn new(version: i16, batches: &[ProduceBatch<'_>]) -> Self {
        let names: usize = batches.iter().map(|batch| batch.topic.len()).sum();
        let copied: usize = batches.iter().map(|batch| batch.payload.len()).filter(|length| *length <= COPIED).sum();
        let mut own = BytesMut::with_capacity(128 + names + batches.len() * (HEADER_LEN + 32) + copied);
        // The frame's length, known in the end.
        own.put_i32(0);
        Self {
            flexible: version >= FLEXIBLE,
            by_id: version >= TOPIC_IDS,
            own,
            payloads: Vec::with_capacity(batches.len()),
        }
    }

    fn tagged_fields(&mut self) {
        if self.flexible {
            self.own.put_u8(0);
        }
    }

    fn no_string(&mut self) {
        if self.flexible {
            self.own.put_u8(0);
        } else {
            self.own.put_i16(-1);
        }
    }

    /// A length of an array or of bytes. One that 32 bits can't hold leads to a frame that [`Self::finish`] refuses.
    fn length(&mut self, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX - 1);
        if self.flexible {
            put_unsigned_varint(&mut self.own, length + 1);
        } else {
            self.own.put_u32(length);
        }
    }

    fn topic(&mut self, batches: &[&ProduceBatch<'_>]) -> Result<(), FrameError> {
        let Some(first) = batches.first() else { return Ok(()) };
        if self.by_id {
            self.own.put_u128(first.topic_id);
        } else if self.flexible {
            string_length("topic name", first.topic)?;
            self.length(first.topic.len());
            self.own.put_slice(first.topic.as_bytes());
        } else {
            put_plain_string(&mut self.own, "topic name", first.topic)?;
        }
        Ok(())
    }

    fn records(&mut self, batch: &ProduceBatch<'_>) -> Result<(), FrameError> {
        let [_, _, _, _, _, _, _, _, l0, l1, l2, l3, ..] = batch.header;
        let said = i32::from_be_bytes([l0, l1, l2, l3]);
        let size = HEADER_LEN + batch.payload.len();
        if usize::try_from(said).ok() != Some(size - LENGTH_END) {
            let (topic, partition) = (batch.topic.to_owned(), batch.partition);
            return Err(FrameError::Length { topic, partition, said, actual: size - LENGTH_END });
        }
        self.length(size);
        self.own.put_slice(&batch.header);
        if batch.payload.len() <= COPIED {
            self.own.put_slice(&batch.payload);
        } else {
            self.payloads.push((self.own.len(), batch.payload.clone()));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Bytes>, FrameError> {
        let payloads: usize = self.payloads.iter().map(|(_, payload)| payload.len()).sum();
        let length = self.own.len() - 4 + payloads;
        let Ok(field) = i32::try_from(length) else {
            return Err(FrameError::TooLong { length });
        };
        self.own[..4].copy_from_slice(&field.to_be_bytes());
        let own = self.own.freeze();
        let mut segments = Vec::with_capacity(self.payloads.len() * 2 + 1);
        let mut from = 0;
        for (at, payload) in self.payloads {
            segments.push(own.slice(from..at));
            segments.push(payload);
            from = at;
        }
        if from < own.len() {
            segments.push(own.slice(from..));
        }
        Ok(segments)
    }
}

fn string_length(what: &str, text: &str) -> Result<i16, FrameError> {
    i16::try_from(text.len())
        .map_err(|_| FrameError::Name { what: format!("{what} {:.40}…", text), length: text.len() })
}

fn put_plain_string(to: &mut BytesMut, what: &str, text: &str) -> Result<(), FrameError> {
    to.put_i16(string_length(what, text)?);
    to.put_slice(text.as_bytes());
    Ok(())
}

/// Seven bits a byte, the low ones first; all but the last byte have the top bit set.
fn put_unsigned_varint(to: &mut BytesMut, mut value: u32) {
    while value > 0x7f {
        to.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    to.put_u8(value as u8);
}

#[cfg(test)]
mod tests;
