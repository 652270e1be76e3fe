//! Answers of brokers.

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        AlterConfigsRequest, ApiVersionsRequest, ConsumerGroupDescribeRequest, CreateAclsRequest,
        CreatePartitionsRequest, CreateTopicsRequest, DeleteAclsRequest, DeleteTopicsRequest, DescribeAclsRequest,
        DescribeConfigsRequest, DescribeGroupsRequest, DescribeProducersRequest, FetchRequest, FindCoordinatorRequest,
        IncrementalAlterConfigsRequest, InitProducerIdRequest, ListGroupsRequest, ListOffsetsRequest, MetadataRequest,
        MetadataResponse, OffsetCommitRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceResponse,
        ResponseHeader,
    },
    protocol::{Decodable, Encodable, HeaderVersion},
};

use super::{batches, input::Input};
use crate::{
    call::{Call, PRODUCE},
    decode::{decode, decode_header},
    metadata::{MetadataCache, topics_of},
};

/// Any bytes as the answer to any request in any version spoken, and what is made of it.
pub fn responses(data: &[u8]) {
    can_be_read(data);
}

/// As [`responses`]; tells whether the bytes are an answer.
pub(super) fn can_be_read(data: &[u8]) -> bool {
    let mut input = Input(data);
    let (api, version) = (input.byte(), input.byte());
    let body = Bytes::copy_from_slice(input.0);
    match api % 23 {
        0 => answer::<ApiVersionsRequest>(body, version).is_some(),
        1 => answer::<MetadataRequest>(body, version).as_ref().map(metadata).is_some(),
        2 => {
            let answer = answer::<FetchRequest>(body, version);
            for partition in answer.iter().flat_map(|answer| &answer.responses).flat_map(|topic| &topic.partitions) {
                batches(partition.records.as_deref().unwrap_or_default());
            }
            answer.is_some()
        }
        3 => answer::<ListOffsetsRequest>(body, version).is_some(),
        4 => answer::<OffsetForLeaderEpochRequest>(body, version).is_some(),
        5 => answer::<InitProducerIdRequest>(body, version).is_some(),
        6 => answer::<DescribeProducersRequest>(body, version).is_some(),
        7 => answer::<CreateTopicsRequest>(body, version).is_some(),
        8 => answer::<CreatePartitionsRequest>(body, version).is_some(),
        9 => answer::<DescribeConfigsRequest>(body, version).is_some(),
        10 => answer::<DescribeGroupsRequest>(body, version).is_some(),
        11 => answer::<FindCoordinatorRequest>(body, version).is_some(),
        12 => read::<ProduceResponse>(body, of(PRODUCE.2, version)).is_some(),
        13 => answer::<ListGroupsRequest>(body, version).is_some(),
        14 => answer::<ConsumerGroupDescribeRequest>(body, version).is_some(),
        15 => answer::<OffsetFetchRequest>(body, version).is_some(),
        16 => answer::<OffsetCommitRequest>(body, version).is_some(),
        17 => answer::<IncrementalAlterConfigsRequest>(body, version).is_some(),
        18 => answer::<AlterConfigsRequest>(body, version).is_some(),
        19 => answer::<DeleteTopicsRequest>(body, version).is_some(),
        20 => answer::<DescribeAclsRequest>(body, version).is_some(),
        21 => answer::<CreateAclsRequest>(body, version).is_some(),
        _ => answer::<DeleteAclsRequest>(body, version).is_some(),
    }
}

fn of((low, high): (i16, i16), choice: u8) -> i16 {
    low + i16::from(choice) % (high - low + 1)
}

fn answer<R: Call>(body: Bytes, version: u8) -> Option<R::Response>
where
    R::Response: Decodable + Encodable + HeaderVersion + PartialEq + std::fmt::Debug,
{
    read(body, of(R::SPOKEN, version))
}

/// Decodes the bytes as a header, and as a body. What could be read is, written and read again, the same.
fn read<M: Decodable + Encodable + HeaderVersion + PartialEq + std::fmt::Debug>(
    mut bytes: Bytes,
    version: i16,
) -> Option<M> {
    let _ = decode_header::<ResponseHeader>(&mut bytes.clone(), M::header_version(version));
    let message: M = decode(&mut bytes, version).ok()?;
    let mut written = bytes::BytesMut::new();
    if message.encode(&mut written, version).is_ok() {
        let mut written = written.freeze();
        assert_eq!(M::decode(&mut written, version).unwrap(), message);
        assert!(written.is_empty());
    }
    Some(message)
}

fn metadata(answer: &MetadataResponse) {
    let topics = topics_of(answer);
    let mut cache = MetadataCache::default();
    cache.merge(answer, &topics);
    cache.merge(answer, &topics);
    for topic in &topics {
        assert!(topic.partitions.is_sorted_by_key(|partition| partition.partition));
        for partition in &topic.partitions {
            let partition = crate::TopicPartition::new(topic.name.clone(), partition.partition);
            let _ = cache.leader(&partition);
            cache.hint(&partition, 1, 7);
        }
    }
    let _ = cache.anybody();
}
