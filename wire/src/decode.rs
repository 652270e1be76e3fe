//! Messages out of bytes that may lie.
//!
//! kafka-protocol (0.18) makes room for as many elements as an array claims to have before it reads one of them, so a few bytes would take
//! hundreds of gigabytes and end the process. No element is shorter than a byte: a count above the bytes that are left is a lie. Which
//! numbers are counts is the decoder's knowledge, but how they are read gives them away.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::{Decodable, HeaderVersion, buf::ByteBuf};

/// A number up to this is believed: as a count it costs a few megabytes at most, and tags of what other makers of brokers add are as large.
const BELIEVED: usize = 16 * 1024;
/// Longest variable-length number, bytes. A fifth byte is needed from 2^28 on, and no answer is that long.
const LONGEST_VARINT: u32 = 4;

/// Reads a message from the beginning of `bytes`, which keep what follows it. It takes at most a few hundred bytes of memory for each of
/// its own, and address space rather than memory until the elements come.
pub(crate) fn decode<M: Decodable + HeaderVersion>(bytes: &mut Bytes, version: i16) -> Result<M, String> {
    // A message behind a header of version 0 may be of a version that has counts of fixed length (ApiVersions: always).
    let fixed_counts = M::header_version(version) == 0;
    let mut guarded = Guarded { bytes: bytes.clone(), fixed_counts, doubted: false, varint: 0, shift: 0 };
    let message = M::decode(&mut guarded, version).map_err(|cause| cause.to_string())?;
    if guarded.doubted {
        // All that was doubted were ids and the like, or the counts among them would have been refused.
        return M::decode(bytes, version).map_err(|cause| cause.to_string());
    }
    *bytes = guarded.bytes;
    Ok(message)
}

/// As [`decode`], for what has no counts of fixed length: the header before an answer.
pub(crate) fn decode_header<M: Decodable>(bytes: &mut Bytes, version: i16) -> Result<M, String> {
    let mut guarded = Guarded { bytes: bytes.clone(), fixed_counts: false, doubted: false, varint: 0, shift: 0 };
    let header = M::decode(&mut guarded, version).map_err(|cause| cause.to_string())?;
    *bytes = guarded.bytes;
    Ok(header)
}

/// Bytes that give no count or length above what they hold.
struct Guarded {
    bytes: Bytes,
    /// Whether a 32-bit number may be one.
    fixed_counts: bool,
    /// Whether a 32-bit number was replaced.
    doubted: bool,
    /// A variable-length number so far, and how many bits of it there are.
    varint: u32,
    shift: u32,
}

impl Buf for Guarded {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.bytes.copy_to_bytes(length)
    }

    /// A byte of a variable-length number: a length or count plus one, or a tag, which is small ([`BELIEVED`]). Or a boolean, which is 0 or 1; one that
    /// is not may make what follows it look greater, but never smaller.
    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        self.varint |= u32::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        let ends = byte & 0x80 == 0;
        if !ends && self.shift < 7 * LONGEST_VARINT {
            return Ok(byte);
        }
        let claimed = self.varint.saturating_sub(1) as usize;
        (self.varint, self.shift) = (0, 0);
        let available = self.bytes.len();
        if ends && claimed <= available.max(BELIEVED) {
            Ok(byte)
        } else {
            Err(TryGetError { requested: claimed, available })
        }
    }

    /// A count, a length, or a number of any other kind. One that would be a lie as a count becomes the number that is refused as a count
    /// whether there may be null or not, and as a length too.
    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        let number = self.bytes.try_get_i32()?;
        if self.fixed_counts && usize::try_from(number).is_ok_and(|count| count > self.bytes.len().max(BELIEVED)) {
            self.doubted = true;
            return Ok(i32::MIN);
        }
        Ok(number)
    }
}

impl ByteBuf for Guarded {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.bytes.split_to(size)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::{
        messages::{BrokerId, FetchResponse, MetadataResponse, fetch_response::FetchableTopicResponse},
        protocol::Encodable,
    };

    use super::*;

    fn written(message: &impl Encodable, version: i16) -> BytesMut {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes, version).unwrap();
        bytes
    }

    #[test]
    fn a_count_above_what_is_left_costs_nothing() {
        // Throttle time and the number of brokers; error code, session id and the number of topics.
        for version in [7, 8] {
            let lie = Bytes::from_static(&[0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3]);
            let cause = decode::<MetadataResponse>(&mut lie.clone(), version).unwrap_err();
            assert!(cause.contains("negative"), "{cause}");
        }
        for count in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0xff, 0xff, 0x7f], &[0xff, 0x7f], &[8]] {
            let mut lie = Bytes::from([&[0, 0, 0, 0], count, &[1, 2, 3]].concat());
            assert!(decode::<MetadataResponse>(&mut lie, 12).is_err(), "{count:?}");
            let mut lie = Bytes::from([&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1], count, &[1, 2, 3]].concat());
            assert!(decode::<FetchResponse>(&mut lie, 17).is_err(), "{count:?}");
        }
    }

    #[test]
    fn a_boolean_that_is_none_hides_no_count() {
        let mut answer = written(&MetadataResponse::default().with_topics(vec![Default::default()]), 12);
        let end = answer.len();
        // The topic's boolean, and then a count of 15 × 2^28 partitions.
        let at = answer.windows(2).rposition(|two| two == [0, 1]).unwrap();
        answer.truncate(at);
        answer.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x0f]);
        answer.resize(end + 20, 0);
        assert!(decode::<MetadataResponse>(&mut answer.freeze(), 12).is_err());
    }

    #[test]
    fn tags_nobody_knows_are_passed_over() {
        let mut answer = written(&MetadataResponse::default(), 12);
        answer.truncate(answer.len() - 1);
        // One of them, 10,000, with one byte.
        answer.extend_from_slice(&[1, 0x90, 0x4e, 1, 7]);
        let message = decode::<MetadataResponse>(&mut answer.freeze(), 12).unwrap();
        assert_eq!(message.unknown_tagged_fields[&10_000], [7][..]);
    }

    #[test]
    fn ids_may_be_any_number() {
        for (version, topic) in [(10, "a"), (11, "b"), (12, "c"), (17, "")] {
            let topic = FetchableTopicResponse::default()
                .with_topic(kafka_protocol::protocol::StrBytes::from_static_str(topic).into());
            let message = FetchResponse::default()
                .with_session_id(i32::MAX)
                .with_throttle_time_ms(1 << 20)
                .with_responses(vec![topic]);
            let mut bytes = written(&message, version);
            bytes.extend_from_slice(b"rest");
            let mut bytes = bytes.freeze();
            assert_eq!(decode::<FetchResponse>(&mut bytes, version).unwrap(), message, "{version}");
            assert_eq!(bytes, "rest");
        }
        for version in 7..=12 {
            let message = MetadataResponse::default().with_controller_id(BrokerId(i32::MAX));
            let mut bytes = written(&message, version).freeze();
            assert_eq!(decode::<MetadataResponse>(&mut bytes, version).unwrap(), message, "{version}");
        }
    }
}
