use std::collections::BTreeMap;

use kafka_protocol::messages::{ProduceRequest, RequestHeader};
use kafka_protocol::protocol::Decodable;
use proptest::prelude::*;

use super::*;

/// A header whose length field fits `payload`; its other bytes tell which batch it is.
fn batch(topic: &str, topic_id: u128, partition: i32, payload: Bytes) -> ProduceBatch<'_> {
    let mut header = [u8::try_from(partition & 0x7f).unwrap() ^ 0x55; HEADER_LEN];
    header[8..12].copy_from_slice(&i32::try_from(HEADER_LEN - LENGTH_END + payload.len()).unwrap().to_be_bytes());
    ProduceBatch { topic, topic_id, partition, header, payload }
}

/// The frame as the broker reads it: every field, and nothing left over.
fn decode(version: i16, segments: &[Bytes]) -> (RequestHeader, ProduceRequest) {
    let mut bytes = Bytes::from(segments.concat());
    let length = i32::from_be_bytes(*bytes.first_chunk().unwrap());
    assert_eq!(usize::try_from(length).unwrap(), bytes.len() - 4);
    let mut bytes = bytes.split_off(4);
    let header = RequestHeader::decode(&mut bytes, if version >= 9 { 2 } else { 1 }).unwrap();
    let request = ProduceRequest::decode(&mut bytes, version).unwrap();
    assert!(bytes.is_empty(), "{} bytes left over", bytes.len());
    (header, request)
}

/// What a request carries, by topic (name or id) and partition.
fn carried(version: i16, request: &ProduceRequest) -> BTreeMap<(String, i32), Bytes> {
    let mut all = BTreeMap::new();
    for topic in &request.topic_data {
        let name = if version >= 13 {
            assert_eq!(topic.name.as_str(), "");
            topic.topic_id.as_u128().to_string()
        } else {
            assert!(topic.topic_id.is_nil());
            topic.name.to_string()
        };
        for partition in &topic.partition_data {
            let before = all.insert((name.clone(), partition.index), partition.records.clone().unwrap());
            assert_eq!(before, None);
        }
    }
    all
}

fn expected(version: i16, batches: &[ProduceBatch<'_>]) -> BTreeMap<(String, i32), Bytes> {
    let name = |b: &ProduceBatch<'_>| if version >= 13 { b.topic_id.to_string() } else { b.topic.to_owned() };
    batches.iter().map(|b| ((name(b), b.partition), [&b.header[..], &b.payload[..]].concat().into())).collect()
}

#[test]
fn every_version_is_read_back_as_it_was_meant() {
    let batches = [
        batch("orders", 7, 3, Bytes::from_static(b"third")),
        batch("payments", u128::MAX - 8, 0, Bytes::from(vec![7; 70_000])),
        batch("orders", 7, 0, Bytes::from_static(b"first")),
        batch("orders", 7, 1, Bytes::new()),
    ];
    for version in 3..=13 {
        let (header, request) = decode(version, &encode_produce(version, 42, "kmirror", -1, 30_000, &batches).unwrap());
        assert_eq!((header.request_api_key, header.request_api_version), (0, version));
        assert_eq!((header.correlation_id, header.client_id.as_deref()), (42, Some("kmirror")));
        assert_eq!((request.transactional_id.clone(), request.acks, request.timeout_ms), (None, -1, 30_000));
        assert_eq!(request.topic_data.len(), 2);
        assert_eq!(carried(version, &request), expected(version, &batches), "version {version}");
    }
}

#[test]
fn large_payloads_are_not_copied() {
    let payloads = [Bytes::from(vec![1; COPIED + 1]), Bytes::from(vec![2; 3 * COPIED])];
    let batches = [batch("t", 1, 0, payloads[0].clone()), batch("t", 1, 1, payloads[1].clone())];
    for version in 3..=13 {
        let segments = encode_produce(version, 1, "c", -1, 1, &batches).unwrap();
        for payload in &payloads {
            assert!(segments.iter().any(|s| s.as_ptr() == payload.as_ptr() && s.len() == payload.len()));
        }
        assert!(segments.iter().all(|s| !s.is_empty()));
    }
}

#[test]
fn small_payloads_go_out_as_one_segment() {
    let batches: Vec<_> = (0..8).map(|p| batch("t", 1, p, Bytes::from(vec![7; COPIED]))).collect();
    assert_eq!(encode_produce(9, 1, "c", -1, 1, &batches).unwrap().len(), 1);
}

#[test]
fn an_empty_request_is_a_whole_frame() {
    for version in 3..=13 {
        let (_, request) = decode(version, &encode_produce(version, 1, "", 1, 5, &[]).unwrap());
        assert!(request.topic_data.is_empty());
    }
}

#[test]
fn what_a_broker_would_refuse_is_not_written() {
    let one = batch("t", 1, 0, Bytes::from_static(b"x"));
    let long = "n".repeat(32_768);
    for version in [i16::MIN, 2, 14, i16::MAX] {
        assert_eq!(encode_produce(version, 1, "c", -1, 1, &[]), Err(FrameError::Version { version }));
    }
    for version in 3..=13 {
        let encode = |client_id, batches: &[ProduceBatch<'_>]| encode_produce(version, 1, client_id, -1, 1, batches);
        assert_eq!(
            encode("c", &[one.clone(), batch("u", 2, 0, Bytes::new()), one.clone()]),
            Err(FrameError::Repeated { topic: "t".to_owned(), partition: 0 })
        );
        assert!(matches!(encode(&long, &[]), Err(FrameError::Name { length: 32_768, .. })));
        let named = encode("c", &[batch(&long, 1, 0, Bytes::new())]);
        assert_eq!(matches!(named, Err(FrameError::Name { length: 32_768, .. })), version < 13, "{version}");
        let mut lying = one.clone();
        lying.payload = Bytes::from_static(b"xy");
        assert_eq!(
            encode("c", &[lying]),
            Err(FrameError::Length { topic: "t".to_owned(), partition: 0, said: 50, actual: 51 })
        );
        let without_id = encode("c", &[batch("t", 0, 0, Bytes::new())]);
        let refused = FrameError::NoTopicId { topic: "t".to_owned(), version };
        assert_eq!(without_id.err(), (version >= 13).then_some(refused));
    }
}

#[test]
fn a_frame_beyond_32_bits_is_refused() {
    // 40 partitions share one payload of 64 MiB: 2.5 GiB to send, 64 MiB held.
    let payload = Bytes::from(vec![0; 64 << 20]);
    let batches: Vec<_> = (0..40).map(|partition| batch("t", 1, partition, payload.clone())).collect();
    for version in [3, 9, 13] {
        assert!(matches!(encode_produce(version, 1, "c", -1, 1, &batches), Err(FrameError::TooLong { .. })));
    }
}

proptest! {
    #[test]
    fn any_batches_are_read_back(
        version in 3_i16..=13,
        correlation_id: i32,
        client_id in "[a-z0-9_.-]{0,300}",
        acks: i16,
        timeout_ms: i32,
        what in prop::collection::btree_map(
            (0_u8..40, any::<i32>()),
            prop_oneof![
                9 => prop::collection::vec(any::<u8>(), 0..300),
                1 => prop::collection::vec(any::<u8>(), COPIED - 1..COPIED + 2),
            ],
            0..60,
        ),
    ) {
        let names: Vec<String> = (0..40).map(|i| format!("topic-{}", "é".repeat(i * 5))).collect();
        let batches: Vec<_> = what
            .into_iter()
            .map(|((t, p), payload)| batch(&names[usize::from(t)], u128::from(t) + 1, p, payload.into()))
            .collect();
        let segments = encode_produce(version, correlation_id, &client_id, acks, timeout_ms, &batches).unwrap();
        let (header, request) = decode(version, &segments);
        prop_assert_eq!(header.correlation_id, correlation_id);
        prop_assert_eq!(header.client_id.as_deref(), Some(client_id.as_str()));
        prop_assert_eq!((request.acks, request.timeout_ms), (acks, timeout_ms));
        prop_assert_eq!(carried(version, &request), expected(version, &batches));
    }
}
