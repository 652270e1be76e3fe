use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};

use super::*;
use crate::{ClusterConfig, ResponseError};

const UNKNOWN_MEMBER_ID: i16 = 25;
const UNSTABLE_OFFSET_COMMIT: i16 = 88;

fn cluster() -> Cluster {
    Cluster::new(ClusterConfig::new("A", &["127.0.0.1:1".to_owned()]))
}

fn at(topic: &str, partition: i32, offset: i64, metadata: &str) -> (TopicPartition, CommittedOffset) {
    let committed = CommittedOffset { offset, leader_epoch: None, metadata: metadata.to_owned() };
    (TopicPartition::new(topic, partition), committed)
}

fn part(partition: i32, offset: i64, epoch: i32, code: i16) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(epoch)
        .with_metadata(Some(text("m")))
        .with_error_code(code)
}

#[test]
fn old_and_new_answers_tell_the_same() {
    let a = cluster();
    let topic = |name: &str, parts: Vec<OffsetFetchResponsePartition>| {
        OffsetFetchResponseTopic::default().with_name(TopicName(text(name))).with_partitions(parts)
    };
    let old = OffsetFetchResponse::default().with_topics(vec![
        topic("b", vec![part(2, 9, 3, 0), part(1, -1, -1, 0), part(0, -1, -1, UNSTABLE_OFFSET_COMMIT)]),
        topic("a", vec![part(0, 7, -1, 0)]),
    ]);
    let told = a.committed(old.clone(), "g");
    let new = OffsetFetchResponse::default().with_groups(vec![as_group(old, "g")]);
    assert_eq!(told, a.committed(new, "other"));

    let offsets = told["g"].as_ref().unwrap();
    let partitions: Vec<String> = offsets.iter().map(|(partition, _)| partition.to_string()).collect();
    assert_eq!(partitions, ["a-0", "b-0", "b-2"], "b-1 has none");
    let committed = |offset, leader_epoch| Ok(CommittedOffset { offset, leader_epoch, metadata: "m".to_owned() });
    assert_eq!((&offsets[0].1, &offsets[2].1), (&committed(7, None), &committed(9, Some(3))));
    let unstable = offsets[1].1.as_ref().unwrap_err();
    assert_eq!(unstable.response(), Some(ResponseError::UnstableOffsetCommit));
    assert!(unstable.to_string().contains("group g, b-0"), "{unstable}");

    let denied = a.committed(OffsetFetchResponse::default().with_error_code(30), "g");
    assert_eq!(denied["g"].as_ref().unwrap_err().response(), Some(ResponseError::GroupAuthorizationFailed));
}

#[test]
fn a_commit_is_an_administrators() {
    let epoch = CommittedOffset { offset: 4, leader_epoch: Some(2), metadata: "note".to_owned() };
    let request = commit("g", &[at("t", 1, 5, ""), (TopicPartition::new("u", 0), epoch), at("t", 0, 6, "x")]);
    assert_eq!((request.generation_id_or_member_epoch, &*request.member_id, request.group_instance_id), (-1, "", None));
    let told: Vec<_> = request
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|p| (topic.name.to_string(), p)))
        .map(|(topic, p)| {
            let metadata = p.committed_metadata.as_ref().unwrap().to_string();
            (topic, p.partition_index, p.committed_offset, p.committed_leader_epoch, metadata)
        })
        .collect();
    let row = |topic: &str, partition, offset, epoch, metadata: &str| {
        (topic.to_owned(), partition, offset, epoch, metadata.to_owned())
    };
    assert_eq!(told, [row("t", 1, 5, -1, ""), row("t", 0, 6, -1, "x"), row("u", 0, 4, 2, "note")]);
}

#[test]
fn a_coordinator_is_not_given_more_than_it_can_append() {
    let offsets: Vec<_> = (0..10_000).map(|partition| at(&"t".repeat(100), partition, 7, "")).collect();
    let pieces = bounded("group", &offsets);
    assert!(pieces.len() >= 6 && pieces.iter().all(|piece| piece.len() * 169 <= BYTES_PER_COMMIT), "{}", pieces.len());
    assert_eq!(pieces.concat(), offsets);
    // Metadata counts; what is too large alone goes alone.
    let large = "x".repeat(BYTES_PER_COMMIT);
    let offsets = [at("t", 0, 1, ""), at("t", 1, 1, &large), at("t", 2, 1, "")];
    assert_eq!(bounded("g", &offsets).iter().map(|piece| piece.len()).collect::<Vec<_>>(), [1, 1, 1]);
    assert!(bounded("g", &[]).is_empty());
}

#[test]
fn refusals_are_told_by_partition_and_coordinators_by_group() {
    let a = cluster();
    let answer = |codes: &[i16]| {
        let part = |(index, code): (i32, &i16)| {
            OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(*code)
        };
        OffsetCommitResponse::default().with_topics(vec![
            OffsetCommitResponseTopic::default()
                .with_name(TopicName(text("t")))
                .with_partitions((0..).zip(codes).map(part).collect()),
        ])
    };
    // UNKNOWN_TOPIC_OR_PARTITION is retriable elsewhere; here it would hold up the group's others.
    let told = a.written("g", answer(&[0, UNKNOWN_MEMBER_ID, 3, 12])).unwrap();
    let of = |partition| told[&TopicPartition::new("t", partition)].clone();
    assert_eq!(of(0), Ok(()));
    assert_eq!(of(2).unwrap_err().response(), Some(ResponseError::UnknownTopicOrPartition));
    assert_eq!(of(3).unwrap_err().response(), Some(ResponseError::OffsetMetadataTooLarge));
    let active = of(1).unwrap_err();
    assert!(is_active_group(&active) && !is_active_group(&of(3).unwrap_err()));
    assert_eq!(active.to_string(), "cluster A: OffsetCommit of group g, t-1: UNKNOWN_MEMBER_ID");
    for code in [COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR] {
        assert!(a.written("g", answer(&[0, code])).is_err());
    }
}
