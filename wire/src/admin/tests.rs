//! All administrative calls, in the lowest and in the highest version that is spoken of each, against a broker played here. That real brokers
//! answer as this one does is for the integration tests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        AlterConfigsRequest, AlterConfigsResponse, ApiVersionsRequest, ApiVersionsResponse, BrokerId,
        ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, CreateAclsRequest, CreateAclsResponse,
        DeleteAclsRequest, DeleteAclsResponse, DeleteTopicsResponse, DescribeAclsRequest, DescribeAclsResponse,
        DescribeGroupsRequest, DescribeGroupsResponse, FindCoordinatorRequest, FindCoordinatorResponse,
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ListGroupsRequest, ListGroupsResponse,
        MetadataRequest, MetadataResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
        OffsetFetchResponse, RequestHeader, ResponseHeader, alter_configs_response, consumer_group_describe_response,
        create_acls_response::AclCreationResult,
        delete_acls_response::DeleteAclsFilterResult,
        delete_topics_response::DeletableTopicResult,
        describe_acls_response::{AclDescription, DescribeAclsResource},
        describe_groups_response,
        find_coordinator_response::Coordinator,
        incremental_alter_configs_response,
        list_groups_response::ListedGroup,
        metadata_response::MetadataResponseBroker,
        offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
        offset_fetch_response::{
            OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
            OffsetFetchResponseTopic, OffsetFetchResponseTopics,
        },
    },
    protocol::{Decodable, Encodable, HeaderVersion, Request},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    AclBinding, AclOperation, ClusterConfig, CommittedOffset, Error, GroupFilter, GroupType, PatternType,
    PermissionType, ResourceType, ResponseError, TopicPartition,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Lowest,
    Highest,
}

/// What the broker was asked, by API key.
type Asked = Arc<Mutex<BTreeMap<i16, usize>>>;

struct Played {
    speaks: Speaks,
    port: i32,
    asked: Asked,
    /// Committed by group; all in topic `t`, partition 0.
    offsets: Arc<Mutex<BTreeMap<String, i64>>>,
    acls: Arc<Mutex<Vec<AclCreated>>>,
}

type AclCreated = kafka_protocol::messages::create_acls_request::AclCreation;

/// The version spoken of a request: none where it is offered only by new brokers.
fn spoken<R: Call>(speaks: Speaks) -> i16 {
    if speaks == Speaks::Lowest { R::SPOKEN.0 } else { R::SPOKEN.1 }
}

fn written<M: Encodable + HeaderVersion>(correlation: i32, message: &M, version: i16) -> Vec<u8> {
    let mut frame = BytesMut::zeroed(4);
    let header = ResponseHeader::default().with_correlation_id(correlation);
    header.encode(&mut frame, M::header_version(version)).unwrap();
    message.encode(&mut frame, version).unwrap();
    let length = u32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame.to_vec()
}

macro_rules! offered {
    ($speaks:expr; $($request:ident),+) => {
        vec![$((<$request as Request>::KEY, spoken::<$request>($speaks))),+]
    };
}

impl Played {
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        while let Ok(length) = stream.read_u32().await {
            let mut frame = vec![0; length as usize];
            stream.read_exact(&mut frame).await.unwrap();
            let mut frame = Bytes::from(frame);
            let (key, version) = (i16::from_be_bytes([frame[0], frame[1]]), i16::from_be_bytes([frame[2], frame[3]]));
            let flexible = kafka_protocol::messages::ApiKey::try_from(key).unwrap().request_header_version(version);
            let header = RequestHeader::decode(&mut frame, flexible).unwrap();
            *self.asked.lock().unwrap().entry(key).or_default() += 1;
            let answer = self.answer(key, version, header.correlation_id, frame);
            stream.write_all(&answer).await.unwrap();
        }
    }

    fn offered(&self) -> Vec<(i16, i16)> {
        let mut offered = offered!(self.speaks; MetadataRequest, FindCoordinatorRequest, ListGroupsRequest, DescribeGroupsRequest,
            OffsetFetchRequest, OffsetCommitRequest, AlterConfigsRequest, DeleteTopicsRequest, DescribeAclsRequest,
            CreateAclsRequest, DeleteAclsRequest);
        if self.speaks == Speaks::Highest {
            offered.extend(offered!(self.speaks; ConsumerGroupDescribeRequest, IncrementalAlterConfigsRequest));
        }
        offered
    }

    fn answer(&self, key: i16, version: i16, correlation: i32, mut body: Bytes) -> Vec<u8> {
        macro_rules! reply {
            ($($request:ident => |$asked:ident| $answer:expr),+ $(,)?) => {
                match key {
                    $(<$request as Request>::KEY => {
                        let $asked = $request::decode(&mut body, version).unwrap();
                        assert!(body.is_empty());
                        written(correlation, &$answer, version)
                    })+
                    other => panic!("API {other}"),
                }
            };
        }
        let old = self.speaks == Speaks::Lowest;
        let topic = || TopicName(text("t"));
        reply! {
            ApiVersionsRequest => |_asked| {
                let key = |(key, version): (i16, i16)| {
                    kafka_protocol::messages::api_versions_response::ApiVersion::default()
                        .with_api_key(key).with_min_version(0).with_max_version(version)
                };
                ApiVersionsResponse::default().with_api_keys(self.offered().into_iter().map(key).collect())
            },
            MetadataRequest => |_asked| {
                let broker = MetadataResponseBroker::default()
                    .with_node_id(BrokerId(1)).with_host(text("127.0.0.1")).with_port(self.port);
                MetadataResponse::default().with_brokers(vec![broker]).with_controller_id(BrokerId(1))
            },
            FindCoordinatorRequest => |asked| {
                let answer = FindCoordinatorResponse::default();
                if old {
                    assert!(!asked.key.is_empty());
                    answer.with_node_id(BrokerId(1)).with_host(text("127.0.0.1")).with_port(self.port)
                } else {
                    let found = |key: StrBytes| Coordinator::default().with_key(key).with_node_id(BrokerId(1))
                        .with_host(text("127.0.0.1")).with_port(self.port);
                    answer.with_coordinators(asked.coordinator_keys.into_iter().map(found).collect())
                }
            },
            ListGroupsRequest => |asked| {
                assert_eq!((asked.states_filter.len(), asked.types_filter.len()), if old { (0, 0) } else { (1, 1) });
                let group = |name: &str, kind: &str| ListedGroup::default().with_group_id(name_of(name))
                    .with_protocol_type(text("consumer"))
                    .with_group_state(text(if old { "" } else { "Empty" }))
                    .with_group_type(text(if old { "" } else { kind }));
                ListGroupsResponse::default().with_groups(vec![group("b", "classic"), group("a", "classic")])
            },
            DescribeGroupsRequest => |asked| {
                let group = |name: kafka_protocol::messages::GroupId| {
                    let state = if &*name.0 == "new" { "Dead" } else { "Empty" };
                    describe_groups_response::DescribedGroup::default().with_group_id(name).with_group_state(text(state))
                };
                DescribeGroupsResponse::default().with_groups(asked.groups.into_iter().map(group).collect())
            },
            ConsumerGroupDescribeRequest => |asked| {
                let group = |name| consumer_group_describe_response::DescribedGroup::default()
                    .with_group_id(name).with_group_state(text("Stable"));
                ConsumerGroupDescribeResponse::default().with_groups(asked.group_ids.into_iter().map(group).collect())
            },
            OffsetCommitRequest => |asked| {
                assert_eq!((asked.generation_id_or_member_epoch, asked.member_id.len()), (-1, 0));
                let part = asked.topics[0].partitions[0].clone();
                self.offsets.lock().unwrap().insert(asked.group_id.to_string(), part.committed_offset);
                OffsetCommitResponse::default().with_topics(vec![OffsetCommitResponseTopic::default()
                    .with_name(topic()).with_partitions(vec![OffsetCommitResponsePartition::default()])])
            },
            OffsetFetchRequest => |asked| {
                let offset = |group: &str| self.offsets.lock().unwrap().get(group).copied().unwrap_or(-1);
                if old {
                    assert_eq!(asked.topics, None);
                    let part = OffsetFetchResponsePartition::default().with_committed_offset(offset(&asked.group_id));
                    OffsetFetchResponse::default().with_topics(vec![
                        OffsetFetchResponseTopic::default().with_name(topic()).with_partitions(vec![part])])
                } else {
                    assert!(asked.require_stable);
                    let group = |group: kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup| {
                        assert_eq!((group.topics, group.member_id, group.member_epoch), (None, None, -1));
                        let part = OffsetFetchResponsePartitions::default().with_committed_offset(offset(&group.group_id));
                        OffsetFetchResponseGroup::default().with_group_id(group.group_id).with_topics(vec![
                            OffsetFetchResponseTopics::default().with_name(topic()).with_partitions(vec![part])])
                    };
                    OffsetFetchResponse::default().with_groups(asked.groups.into_iter().map(group).collect())
                }
            },
            IncrementalAlterConfigsRequest => |asked| {
                let told = |r: kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource| {
                    let ops: Vec<_> = r.configs.iter().map(|c| (c.config_operation, c.value.is_some())).collect();
                    assert_eq!((r.resource_type, ops), (TOPIC_RESOURCE, vec![(0, true), (1, false)]));
                    incremental_alter_configs_response::AlterConfigsResourceResponse::default()
                        .with_resource_type(r.resource_type).with_resource_name(r.resource_name)
                };
                IncrementalAlterConfigsResponse::default().with_responses(asked.resources.into_iter().map(told).collect())
            },
            AlterConfigsRequest => |asked| {
                let told = |r: kafka_protocol::messages::alter_configs_request::AlterConfigsResource| {
                    alter_configs_response::AlterConfigsResourceResponse::default()
                        .with_resource_type(r.resource_type).with_resource_name(r.resource_name)
                        .with_error_code(40).with_error_message(Some(text("no")))
                };
                AlterConfigsResponse::default().with_responses(asked.resources.into_iter().map(told).collect())
            },
            DeleteTopicsRequest => |asked| {
                let names: Vec<TopicName> = if old { asked.topic_names } else {
                    asked.topics.into_iter().filter_map(|t| t.name).collect()
                };
                // The first answer comes from a broker that has just lost its office.
                let first = self.asked.lock().unwrap()[&DeleteTopicsRequest::KEY] == 1;
                let told = |name: TopicName| DeletableTopicResult::default()
                    .with_error_code(if first { NOT_CONTROLLER } else if &*name.0 == "gone" { 3 } else { 0 })
                    .with_name(Some(name));
                DeleteTopicsResponse::default().with_responses(names.into_iter().map(told).collect())
            },
            CreateAclsRequest => |asked| {
                let results = asked.creations.iter().map(|_| AclCreationResult::default()).collect();
                self.acls.lock().unwrap().extend(asked.creations);
                CreateAclsResponse::default().with_results(results)
            },
            DescribeAclsRequest => |asked| {
                assert_eq!((asked.resource_type_filter, asked.pattern_type_filter, asked.operation), (2, 1, 1));
                let resource = |acl: &AclCreated| DescribeAclsResource::default()
                    .with_resource_type(acl.resource_type).with_pattern_type(acl.resource_pattern_type)
                    .with_resource_name(acl.resource_name.clone()).with_acls(vec![AclDescription::default()
                        .with_principal(acl.principal.clone()).with_host(acl.host.clone())
                        .with_operation(acl.operation).with_permission_type(acl.permission_type)]);
                DescribeAclsResponse::default()
                    .with_resources(self.acls.lock().unwrap().iter().map(resource).collect())
            },
            DeleteAclsRequest => |asked| {
                let mut acls = self.acls.lock().unwrap();
                acls.retain(|acl| asked.filters.iter().all(|filter| {
                    (filter.resource_name_filter.as_ref(), filter.operation) != (Some(&acl.resource_name), acl.operation)
                }));
                let told = asked.filters.iter().map(|_| DeleteAclsFilterResult::default()).collect();
                DeleteAclsResponse::default().with_filter_results(told)
            },
        }
    }
}

fn name_of(group: &str) -> kafka_protocol::messages::GroupId {
    kafka_protocol::messages::GroupId(text(group))
}

async fn played(speaks: Speaks) -> (Cluster, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let broker = Arc::new(Played {
        speaks,
        port: i32::from(address.port()),
        asked: Arc::clone(&asked),
        offsets: Arc::default(),
        acls: Arc::default(),
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&broker).serve(stream));
        }
    });
    (Cluster::new(ClusterConfig::new("A", &[address.to_string()])), asked)
}

#[tokio::test]
async fn groups_are_asked_for_in_every_version() {
    for speaks in [Speaks::Lowest, Speaks::Highest] {
        let (cluster, asked) = played(speaks).await;
        let is_old = speaks == Speaks::Lowest;
        let filter = GroupFilter { states: vec!["Empty".to_owned()], types: vec![GroupType::Classic] };
        let listing = cluster.list_groups(&filter).await.unwrap();
        let listed: Vec<_> = listing.groups.iter().map(|g| (g.group.as_str(), g.state.as_deref())).collect();
        let state = if is_old { None } else { Some("Empty") };
        assert_eq!((listed, listing.failures), (vec![("a", state), ("b", state)], vec![]));

        let names: Vec<String> = (0..120).map(|n| format!("g{n}")).chain(["new".to_owned()]).collect();
        let described = cluster.describe_groups(&names).await.unwrap();
        let states: Vec<_> = described.iter().map(|(_, d)| d.as_ref().unwrap().state.as_str()).collect();
        assert!(states[..120].iter().all(|state| *state == "Empty"));
        assert_eq!(states[120], if is_old { "Dead" } else { "Stable" });
        let count = |key: i16| asked.lock().unwrap().get(&key).copied().unwrap_or_default();
        assert_eq!(count(DescribeGroupsRequest::KEY), 3);
        // For those that are dead once more.
        assert_eq!(count(FindCoordinatorRequest::KEY), if is_old { 122 } else { 2 });

        let at = |offset| {
            vec![(TopicPartition::new("t", 0), CommittedOffset { offset, leader_epoch: None, metadata: String::new() })]
        };
        let wanted: Vec<_> = names[..120].iter().cloned().zip((0..).map(at)).collect();
        let told = cluster.commit_group_offsets(&wanted).await.unwrap();
        assert!(told.iter().all(|(_, told)| matches!(told.as_slice(), [(_, Ok(()))])), "{told:?}");
        let told = cluster.fetch_group_offsets(&names).await.unwrap();
        for ((name, told), n) in told.iter().zip(0..) {
            let told: Vec<i64> = told.as_ref().unwrap().iter().map(|(_, t)| t.as_ref().unwrap().offset).collect();
            assert_eq!(told, if n < 120 { vec![n] } else { vec![] }, "{name}");
        }
        assert_eq!(count(OffsetFetchRequest::KEY), if is_old { 121 } else { 3 });
    }
}

#[tokio::test]
async fn settings_topics_and_rules_are_changed_in_every_version() {
    for speaks in [Speaks::Lowest, Speaks::Highest] {
        let (cluster, asked) = played(speaks).await;
        let is_old = speaks == Speaks::Lowest;
        let set = ConfigChange::Set { name: "retention.ms".to_owned(), value: "1".to_owned() };
        let changes = vec![set, ConfigChange::Delete { name: "segment.ms".to_owned() }];
        let altered = cluster.alter_topic_configs(&[TopicConfigChanges { topic: "t".to_owned(), changes }]).await;
        if is_old {
            let said = altered.unwrap_err();
            assert!(matches!(&said, Error::Unsupported { api: "IncrementalAlterConfigs", .. }), "{said}");
        } else {
            assert_eq!(altered, Ok(vec![("t".to_owned(), Ok(()))]));
        }
        let replaced = cluster.replace_topic_configs(&[("t".to_owned(), Vec::new())]).await.unwrap();
        let said = replaced[0].1.as_ref().unwrap_err();
        assert_eq!(said.to_string(), "cluster A: AlterConfigs of topic t: INVALID_CONFIG: no");

        let deleted = cluster.delete_topics(&["t".to_owned(), "gone".to_owned()]).await.unwrap();
        assert_eq!(deleted[0], ("t".to_owned(), Ok(())));
        let missing = deleted[1].1.as_ref().unwrap_err();
        assert_eq!(missing.response(), Some(ResponseError::UnknownTopicOrPartition));
        assert_eq!(asked.lock().unwrap()[&DeleteTopicsRequest::KEY], 2, "one NOT_CONTROLLER speaks for all");

        let acl = |pattern_type, name: &str, operation, permission| AclBinding {
            resource_type: ResourceType::Topic,
            pattern_type,
            resource_name: name.to_owned(),
            principal: "User:a".to_owned(),
            host: "*".to_owned(),
            operation,
            permission,
        };
        let [read, deny] = [
            acl(PatternType::Prefixed, "t", AclOperation::Read, PermissionType::Allow),
            acl(PatternType::Literal, "u", AclOperation::Other(99), PermissionType::Deny),
        ];
        let made = cluster.create_acls(&[deny.clone(), read.clone()]).await.unwrap();
        assert_eq!(made, [(deny.clone(), Ok(())), (read.clone(), Ok(()))]);
        assert_eq!(cluster.describe_acls(Some(ResourceType::Topic)).await, Ok(vec![deny.clone(), read.clone()]));
        assert_eq!(cluster.delete_acls(std::slice::from_ref(&deny)).await, Ok(vec![(deny.clone(), Ok(()))]));
        assert_eq!(cluster.describe_acls(Some(ResourceType::Topic)).await, Ok(vec![read.clone()]));
        assert_eq!(deny.to_string(), "DENY UNKNOWN(99) on TOPIC LITERAL u for User:a from *");
    }
}
