//! Answers to requests about groups, settings and access rules.

use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, DescribeAclsRequest, DescribeAclsResponse, GroupId, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchResponse, TopicName, alter_configs_response, consumer_group_describe_response,
    create_acls_response::AclCreationResult,
    delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl},
    delete_topics_response::DeletableTopicResult,
    describe_acls_response::{AclDescription, DescribeAclsResource},
    incremental_alter_configs_response,
    list_groups_response::ListedGroup,
    offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
    offset_fetch_response::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
        OffsetFetchResponseTopic, OffsetFetchResponseTopics,
    },
};

use super::{answers, text};

pub(super) fn responses() -> Vec<(String, Vec<u8>)> {
    let topic = || TopicName(text("topic"));
    let group = || GroupId(text("group"));
    let listed = |state: &'static str, kind: &'static str| {
        let group = ListedGroup::default().with_group_id(group()).with_protocol_type(text("consumer"));
        ListGroupsResponse::default().with_groups(vec![group.with_group_state(text(state)).with_group_type(text(kind))])
    };
    let partitions = consumer_group_describe_response::TopicPartitions::default()
        .with_topic_name(topic())
        .with_partitions(vec![0, 1]);
    let assignment = consumer_group_describe_response::Assignment::default().with_topic_partitions(vec![partitions]);
    let member = consumer_group_describe_response::Member::default()
        .with_member_id(text("member"))
        .with_subscribed_topic_names(vec![topic()])
        .with_assignment(assignment);
    let described = ConsumerGroupDescribeResponse::default().with_groups(vec![
        consumer_group_describe_response::DescribedGroup::default()
            .with_group_id(group())
            .with_error_message(Some(text("words")))
            .with_members(vec![member]),
    ]);
    let one = OffsetFetchResponse::default().with_topics(vec![
        OffsetFetchResponseTopic::default().with_name(topic()).with_partitions(vec![
            OffsetFetchResponsePartition::default().with_committed_offset(7).with_metadata(Some(text("note"))),
        ]),
    ]);
    let fetched = OffsetFetchResponseTopics::default().with_name(topic()).with_partitions(vec![
        OffsetFetchResponsePartitions::default().with_committed_offset(7).with_metadata(Some(text("note"))),
    ]);
    let many = OffsetFetchResponse::default()
        .with_groups(vec![OffsetFetchResponseGroup::default().with_group_id(group()).with_topics(vec![fetched])]);
    let committed = OffsetCommitResponse::default().with_topics(vec![
        OffsetCommitResponseTopic::default()
            .with_name(topic())
            .with_partitions(vec![OffsetCommitResponsePartition::default().with_error_code(25)]),
    ]);
    let altered = IncrementalAlterConfigsResponse::default().with_responses(vec![
        incremental_alter_configs_response::AlterConfigsResourceResponse::default()
            .with_resource_type(2)
            .with_resource_name(text("topic"))
            .with_error_message(Some(text("words"))),
    ]);
    let replaced = AlterConfigsResponse::default().with_responses(vec![
        alter_configs_response::AlterConfigsResourceResponse::default()
            .with_resource_type(2)
            .with_resource_name(text("topic"))
            .with_error_message(Some(text("words"))),
    ]);
    let deleted = DeleteTopicsResponse::default()
        .with_responses(vec![DeletableTopicResult::default().with_name(Some(topic())).with_error_code(3)]);
    let acl = AclDescription::default().with_principal(text("User:a")).with_host(text("*")).with_operation(3);
    let acls = DescribeAclsResponse::default().with_resources(vec![
        DescribeAclsResource::default()
            .with_resource_type(2)
            .with_pattern_type(3)
            .with_resource_name(text("topic"))
            .with_acls(vec![acl]),
    ]);
    let added = CreateAclsResponse::default()
        .with_results(vec![AclCreationResult::default().with_error_message(Some(text("words")))]);
    let matching = DeleteAclsMatchingAcl::default()
        .with_resource_type(2)
        .with_pattern_type(3)
        .with_resource_name(text("topic"))
        .with_principal(text("User:a"))
        .with_host(text("*"));
    let removed = DeleteAclsResponse::default()
        .with_filter_results(vec![DeleteAclsFilterResult::default().with_matching_acls(vec![matching])]);
    [
        answers::<ListGroupsRequest>(13, &listed("", ""), &[2, 3]),
        answers::<ListGroupsRequest>(13, &listed("Empty", ""), &[4]),
        answers::<ListGroupsRequest>(13, &listed("Empty", "classic"), &[5]),
        answers::<ConsumerGroupDescribeRequest>(14, &described, &[0, 1]),
        answers::<OffsetFetchRequest>(15, &one, &[5, 6, 7]),
        answers::<OffsetFetchRequest>(15, &many, &[8, 9]),
        answers::<OffsetCommitRequest>(16, &committed, &[6, 8, 9]),
        answers::<IncrementalAlterConfigsRequest>(17, &altered, &[0, 1]),
        answers::<AlterConfigsRequest>(18, &replaced, &[1, 2]),
        answers::<DeleteTopicsRequest>(19, &deleted, &[3, 4, 6]),
        answers::<DescribeAclsRequest>(20, &acls, &[1, 2, 3]),
        answers::<CreateAclsRequest>(21, &added, &[1, 2, 3]),
        answers::<DeleteAclsRequest>(22, &removed, &[1, 2, 3]),
    ]
    .concat()
}
