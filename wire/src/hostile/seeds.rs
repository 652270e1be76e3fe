//! What the fuzzer begins with: batches that a real broker wrote (`wire/tests/golden`), and answers as kafka-protocol writes them. They are
//! files, since that is what a fuzzer reads; `cargo test -p wire write_seeds -- --ignored` makes them anew.

mod admin;

use std::{fs, path::Path};

use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, ApiVersionsResponse, BrokerId, CreatePartitionsRequest, CreatePartitionsResponse,
        CreateTopicsRequest, CreateTopicsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
        DescribeGroupsRequest, DescribeGroupsResponse, DescribeProducersRequest, DescribeProducersResponse,
        FetchRequest, FetchResponse, FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdRequest,
        InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
        OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, ProduceResponse, TopicName,
        api_versions_response::ApiVersion,
        create_partitions_response::CreatePartitionsTopicResult,
        create_topics_response::CreatableTopicResult,
        describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult},
        describe_groups_response::{DescribedGroup, DescribedGroupMember},
        describe_producers_response::{PartitionResponse, ProducerState, TopicResponse},
        fetch_response::{AbortedTransaction, FetchableTopicResponse, NodeEndpoint, PartitionData},
        find_coordinator_response::Coordinator,
        list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
        metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
        offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult},
        produce_response::{BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse},
    },
    protocol::{Encodable, StrBytes},
};

use super::CODECS;
use crate::{
    batch::{Batch, Batches, HEADER_LEN, Stored},
    call::{Call, PRODUCE},
};

const GOLDEN: [(&str, &[u8]); 8] = [
    ("none", include_bytes!("../../tests/golden/none.log")),
    ("gzip", include_bytes!("../../tests/golden/gzip.log")),
    ("snappy", include_bytes!("../../tests/golden/snappy.log")),
    ("lz4", include_bytes!("../../tests/golden/lz4.log")),
    ("zstd", include_bytes!("../../tests/golden/zstd.log")),
    ("append-time", include_bytes!("../../tests/golden/append-time.log")),
    ("transactions", include_bytes!("../../tests/golden/transactions.log")),
    ("compacted", include_bytes!("../../tests/golden/compacted.log")),
];

/// Formats 0 and 1.
const OLD: [(&str, &[u8]); 10] = [
    ("format-0-none", include_bytes!("../../tests/golden/format-0-none.log")),
    ("format-0-gzip", include_bytes!("../../tests/golden/format-0-gzip.log")),
    ("format-0-snappy", include_bytes!("../../tests/golden/format-0-snappy.log")),
    ("format-0-lz4", include_bytes!("../../tests/golden/format-0-lz4.log")),
    ("format-1-none", include_bytes!("../../tests/golden/format-1-none.log")),
    ("format-1-gzip", include_bytes!("../../tests/golden/format-1-gzip.log")),
    ("format-1-snappy", include_bytes!("../../tests/golden/format-1-snappy.log")),
    ("format-1-lz4", include_bytes!("../../tests/golden/format-1-lz4.log")),
    ("format-1-append-time", include_bytes!("../../tests/golden/format-1-append-time.log")),
    ("format-1-compacted", include_bytes!("../../tests/golden/format-1-compacted.log")),
];

/// Messages of the formats 0 and 1, which their own sums don't matter to: the target makes them right.
fn messages(magic: u8) -> Vec<u8> {
    let message = |offset: i64, key: &[u8], value: &[u8]| {
        let mut fields = vec![0, 0, 0, 0, magic, 0];
        fields.extend(if magic == 1 { &[0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0][..] } else { &[] });
        for part in [key, value] {
            fields.extend((part.len() as u32).to_be_bytes());
            fields.extend(part);
        }
        [&offset.to_be_bytes(), &(fields.len() as u32).to_be_bytes()[..], &fields].concat()
    };
    [message(0, b"k", b"value"), message(1, b"", b""), message(1_000, b"key", &[7; 40])].concat()
}

fn batches(file: &[u8]) -> Vec<Batch> {
    Batches::new(Bytes::copy_from_slice(file), 1 << 20)
        .filter_map(|found| if let Ok(Stored::Batch(batch)) = found { Some(batch) } else { None })
        .collect()
}

/// All files of a target, by name.
pub(super) fn all(target: &str) -> Vec<(String, Vec<u8>)> {
    match target {
        "batches" => GOLDEN.iter().chain(&OLD).map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect(),
        "records" => records(),
        "codecs" => codecs(),
        "responses" => responses(),
        _ => rebuild(),
    }
}

fn records() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (name, bytes) in GOLDEN {
        for (n, batch) in batches(bytes).iter().enumerate() {
            let header = batch.header();
            let codec = header.codec().unwrap() as u8;
            let mut file = vec![4, codec, header.record_count as u8];
            file.extend((header.last_offset_delta as u16).to_le_bytes());
            file.push(header.attributes as u8);
            file.extend(header.base_timestamp.to_le_bytes());
            file.extend(&batch.bytes()[HEADER_LEN..]);
            if codec == 0 {
                for codec in 1..5 {
                    let file = [&[5, codec], &file[2..]].concat();
                    files.push((format!("{name}-{n}-{}", CODECS[usize::from(codec)].name()), file));
                }
            }
            files.push((format!("{name}-{n}"), file));
        }
    }
    for codec in 0..4 {
        for (name, magic, flags) in [("old-0", 0, 2 | 8 | 1), ("old-1", 1, 2 | 4 | 8 | 1)] {
            let file = [&[flags, codec, 0][..], &messages(magic)].concat();
            files.push((format!("{name}-{}", CODECS[usize::from(codec)].name()), file));
        }
    }
    for (name, bytes) in OLD {
        let messages = Batches::new(Bytes::from_static(bytes), 1 << 20).map(Result::unwrap).enumerate();
        for (n, stored) in messages {
            let Stored::Legacy(message) = stored else { panic!("{name} is of today's format") };
            let (magic, attributes) = (message.magic.cast_unsigned(), message.bytes[17]);
            if attributes & 7 == 0 {
                continue;
            }
            // A compressed message has no key, and its value goes to its end.
            let value = &message.bytes[if magic == 0 { 26 } else { 34 }..];
            files.push((format!("{name}-{n}"), [&[2 | magic << 2, 0, attributes], value].concat()));
        }
    }
    files
}

fn codecs() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (codec, (name, bytes)) in (0..).zip(&GOLDEN[..5]) {
        let batch = &batches(bytes)[0];
        files.push((format!("{name}-read"), [&[0, codec], &batch.bytes()[HEADER_LEN..]].concat()));
        let plain = &GOLDEN[0].1[HEADER_LEN..507];
        files.push((format!("{name}-written"), [&[0x31, codec], plain].concat()));
        files.push((format!("{name}-damaged"), [&[0x37, codec, 9, 0, 0x40, 0, 2], plain].concat()));
    }
    files
}

fn rebuild() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    for codec in 0..5 {
        for (name, limit) in [("unlimited", [0, 0]), ("limited", [40, 0])] {
            let mut file = vec![codec, 5, 3, limit[0], limit[1], 7, 0, 0, 0, 0, 0, 0, 0];
            for n in 0..30_u8 {
                file.extend([n % 2 * 4 + n % 3 / 2 * 8, n % 6]);
                file.extend(if n % 2 == 0 { vec![20] } else { vec![30, n % 9] });
                file.extend((0..30).map(|_| next()));
            }
            files.push((format!("{}-{name}", CODECS[usize::from(codec)].name()), file));
        }
    }
    files
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

/// An answer in the lowest and the highest version and the one between that is nearest to where its encoding changed.
fn answers<R: Call>(api: u8, message: &(impl Encodable + Clone), versions: &[i16]) -> Vec<(String, Vec<u8>)> {
    let (low, _) = R::SPOKEN;
    versions.iter().map(|version| file(R::API, api, low, *version, message)).collect()
}

fn file(name: &str, api: u8, low: i16, version: i16, message: &impl Encodable) -> (String, Vec<u8>) {
    let mut bytes = BytesMut::from(&[api, (version - low) as u8][..]);
    message.encode(&mut bytes, version).unwrap_or_else(|cause| panic!("{name} {version}: {cause}"));
    (format!("{name}-{version}"), bytes.to_vec())
}

fn responses() -> Vec<(String, Vec<u8>)> {
    let topic = || TopicName(text("topic"));
    let id = uuid::Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let versions = ApiVersionsResponse::default().with_api_keys(vec![
        ApiVersion::default().with_api_key(0).with_min_version(3).with_max_version(11),
        ApiVersion::default().with_api_key(18).with_max_version(4),
    ]);
    let metadata = MetadataResponse::default()
        .with_cluster_id(Some(text("cluster")))
        .with_controller_id(BrokerId(2))
        .with_brokers(
            [1, 2]
                .map(|n| {
                    MetadataResponseBroker::default()
                        .with_node_id(BrokerId(n))
                        .with_host(text("host"))
                        .with_port(9092)
                        .with_rack(Some(text("rack")))
                })
                .to_vec(),
        )
        .with_topics(vec![
            MetadataResponseTopic::default().with_name(Some(topic())).with_partitions(
                [1, 0]
                    .map(|n| {
                        MetadataResponsePartition::default()
                            .with_partition_index(n)
                            .with_leader_id(BrokerId(1))
                            .with_replica_nodes(vec![BrokerId(1), BrokerId(2)])
                            .with_isr_nodes(vec![BrokerId(1)])
                    })
                    .to_vec(),
            ),
        ]);
    let fetch = |by_id: bool| {
        let partition = PartitionData::default()
            .with_high_watermark(8)
            .with_aborted_transactions(Some(vec![AbortedTransaction::default().with_first_offset(4)]))
            .with_records(Some(Bytes::from_static(GOLDEN[3].1)));
        let topic = FetchableTopicResponse::default().with_partitions(vec![partition]);
        let topic = if by_id { topic.with_topic_id(id) } else { topic.with_topic(TopicName(text("topic"))) };
        FetchResponse::default().with_session_id(0x4000_0001).with_responses(vec![topic])
    };
    let end = NodeEndpoint::default().with_node_id(BrokerId(1)).with_host(text("host")).with_port(9092);
    let offsets = ListOffsetsResponse::default().with_topics(vec![
        ListOffsetsTopicResponse::default()
            .with_name(topic())
            .with_partitions(vec![ListOffsetsPartitionResponse::default().with_offset(7)]),
    ]);
    let epochs = OffsetForLeaderEpochResponse::default().with_topics(vec![
        OffsetForLeaderTopicResult::default()
            .with_topic(topic())
            .with_partitions(vec![EpochEndOffset::default().with_end_offset(7)]),
    ]);
    let producers = DescribeProducersResponse::default().with_topics(vec![
        TopicResponse::default().with_name(topic()).with_partitions(vec![
            PartitionResponse::default()
                .with_error_message(Some(text("words")))
                .with_active_producers(vec![ProducerState::default()]),
        ]),
    ]);
    let created = CreateTopicsResponse::default()
        .with_topics(vec![CreatableTopicResult::default().with_name(topic()).with_error_message(Some(text("words")))]);
    let widened = CreatePartitionsResponse::default().with_results(vec![
        CreatePartitionsTopicResult::default().with_name(topic()).with_error_message(Some(text("words"))),
    ]);
    let config = DescribeConfigsResourceResult::default()
        .with_name(text("retention.ms"))
        .with_value(Some(text("1")))
        .with_config_source(1);
    let configs = DescribeConfigsResponse::default().with_results(vec![
        DescribeConfigsResult::default()
            .with_resource_type(2)
            .with_resource_name(text("topic"))
            .with_configs(vec![config]),
    ]);
    let member = DescribedGroupMember::default().with_member_id(text("member")).with_client_id(text("client"));
    let groups = DescribeGroupsResponse::default()
        .with_groups(vec![DescribedGroup::default().with_group_state(text("Stable")).with_members(vec![member])]);
    let coordinator = FindCoordinatorResponse::default().with_host(text("host")).with_port(9092);
    let place = Coordinator::default().with_key(text("group")).with_host(text("host")).with_port(9092);
    let coordinators = FindCoordinatorResponse::default().with_coordinators(vec![place]);
    let refused = BatchIndexAndErrorMessage::default().with_batch_index(3);
    let produced = |version: i16| {
        let partition = PartitionProduceResponse::default().with_base_offset(7);
        let partition = if version < 8 { partition } else { partition.with_record_errors(vec![refused.clone()]) };
        ProduceResponse::default().with_responses(vec![
            TopicProduceResponse::default().with_name(topic()).with_partition_responses(vec![partition]),
        ])
    };
    let mut files = [
        answers::<ApiVersionsRequest>(0, &versions, &[0, 1, 3]),
        answers::<MetadataRequest>(1, &metadata, &[7, 8, 9, 12]),
        answers::<FetchRequest>(2, &fetch(false), &[10, 11, 12]),
        answers::<FetchRequest>(2, &fetch(true), &[13, 15]),
        answers::<FetchRequest>(2, &fetch(true).with_node_endpoints(vec![end]), &[17]),
        answers::<ListOffsetsRequest>(3, &offsets, &[4, 5, 6, 9]),
        answers::<OffsetForLeaderEpochRequest>(4, &epochs, &[2, 3, 4]),
        answers::<InitProducerIdRequest>(5, &InitProducerIdResponse::default(), &[1, 2, 5]),
        answers::<DescribeProducersRequest>(6, &producers, &[0]),
        answers::<CreateTopicsRequest>(7, &created, &[3, 5, 7]),
        answers::<CreatePartitionsRequest>(8, &widened, &[1, 2, 3]),
        answers::<DescribeConfigsRequest>(9, &configs, &[2, 3, 4]),
        answers::<DescribeGroupsRequest>(10, &groups, &[2, 4, 5]),
        answers::<FindCoordinatorRequest>(11, &coordinator, &[2, 3]),
        answers::<FindCoordinatorRequest>(11, &coordinators, &[4]),
    ]
    .concat();
    files.extend(admin::responses());
    files.extend([7, 8, 9, 12].map(|version| file(PRODUCE.0, 12, PRODUCE.2.0, version, &produced(version))));
    files
}

#[test]
#[ignore = "writes into the work tree"]
fn write_seeds() {
    for target in super::tests::TARGETS.map(|(name, _)| name) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in all(target) {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
}
