//! What groups have committed: read as an administrator does, and written for groups that nobody is in.

use std::collections::HashMap;

use kafka_protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName,
    offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_fetch_request::OffsetFetchRequestGroup,
    offset_fetch_response::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
        OffsetFetchResponseTopic, OffsetFetchResponseTopics,
    },
};

use super::{coordinators::Told, text};
use crate::{
    call::Call,
    cluster::{Cluster, Lane},
    error::{Error, Result},
    types::TopicPartition,
};

/// Groups whose offsets one OffsetFetch asks for: with 1,000 partitions each that is an answer of a few MB.
const FETCHED_PER_REQUEST: usize = 50;
/// OffsetCommit is of one group. A broker takes one at a time from a connection all the same; several under way bridge the way to it.
const COMMITS_IN_FLIGHT: usize = 4;
/// The coordinator appends a request's offsets as one batch, which may have 1 MiB by default. This is in key and value, less what surrounds them.
const BYTES_PER_COMMIT: usize = 256 * 1024;
/// Of an offset's key and value, what is neither group, topic nor metadata.
const BYTES_PER_OFFSET: usize = 64;

const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const NOT_COORDINATOR: i16 = 16;

/// A group's committed position in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: i64,
    /// Leader epoch of the last record read, where the consumer told it (KIP-320).
    pub leader_epoch: Option<i32>,
    /// Whatever the consumer wrote beside it; mostly empty.
    pub metadata: String,
}

/// Outcomes by partition.
pub type GroupOffsets = Vec<(TopicPartition, Result<CommittedOffset>)>;

impl Cluster {
    /// All that groups have committed, share groups being told as groups without; the outcome of each is told beside its name, in the order given. A group that does not
    /// exist has none. What is being committed by a transaction is not told as it was before: that partition's outcome is
    /// UNSTABLE_OFFSET_COMMIT (KIP-447; brokers before 2.5 tell what it was).
    ///
    /// # Errors
    /// When no broker can be asked who coordinates them.
    pub async fn fetch_group_offsets(&self, groups: &[String]) -> Result<Vec<(String, Result<GroupOffsets>)>> {
        let names: &[&str] = &groups.iter().map(String::as_str).collect::<Vec<_>>();
        let outcomes = self
            .coordinated(OffsetFetchRequest::API, names, (FETCHED_PER_REQUEST, 1), |broker, items| async move {
                let group = |item: &usize| {
                    OffsetFetchRequestGroup::default().with_group_id(GroupId(text(names[*item]))).with_topics(None)
                };
                let request = OffsetFetchRequest::default()
                    .with_groups(items.iter().map(group).collect())
                    .with_require_stable(true);
                let answer = self.ask(broker, Lane::Control, &request).await?;
                Ok(self.committed(answer, names[items[0]]))
            })
            .await?;
        Ok(groups.iter().cloned().zip(outcomes).collect())
    }

    /// What an answer tells; one before version 8 is about `first` alone.
    fn committed(&self, answer: OffsetFetchResponse, first: &str) -> Told<GroupOffsets> {
        let groups = if answer.groups.is_empty() { vec![as_group(answer, first)] } else { answer.groups };
        let api = OffsetFetchRequest::API;
        let offsets = |group: OffsetFetchResponseGroup| {
            let name = group.group_id.to_string();
            let checked = self.check(api, || format!("group {name}"), group.error_code, None);
            let offsets = checked.map(|()| {
                let mut offsets = GroupOffsets::new();
                for topic in group.topics {
                    for part in topic.partitions {
                        let partition = TopicPartition::new(topic.name.to_string(), part.partition_index);
                        let checked = self.check(api, || format!("group {name}, {partition}"), part.error_code, None);
                        // Asked about all, a group without an offset may be told with −1.
                        if checked.is_err() || part.committed_offset >= 0 {
                            offsets.push((partition, checked.map(|()| committed(part))));
                        }
                    }
                }
                offsets.sort_by(|(a, _), (b, _)| a.cmp(b));
                offsets
            });
            (name, offsets)
        };
        groups.into_iter().map(offsets).collect()
    }

    /// Writes offsets of groups as an administrator (`Admin.alterConsumerGroupOffsets`: generation −1, no member); the outcome of each
    /// partition is told beside it, in the order given. A group that does not exist is made, a classic one. The broker refuses a group that somebody
    /// is in, mostly with UNKNOWN_MEMBER_ID ([`is_active_group`]), and share groups, with GROUP_ID_NOT_FOUND. A request without an answer is sent
    /// again, so what another has written in between is overwritten.
    ///
    /// # Errors
    /// When no broker can be asked who coordinates them.
    pub async fn commit_group_offsets(
        &self,
        wanted: &[(String, Vec<(TopicPartition, CommittedOffset)>)],
    ) -> Result<Vec<(String, Vec<(TopicPartition, Result<()>)>)>> {
        let commits: &[(&str, &[(TopicPartition, CommittedOffset)])] = &wanted
            .iter()
            .flat_map(|(group, offsets)| bounded(group, offsets).into_iter().map(|some| (group.as_str(), some)))
            .collect::<Vec<_>>();
        let groups: Vec<&str> = commits.iter().map(|(group, _)| *group).collect();
        let api = OffsetCommitRequest::API;
        let outcomes = self
            .coordinated(api, &groups, (1, COMMITS_IN_FLIGHT), |broker, items| async move {
                let (group, offsets) = commits[items[0]];
                let answer = self.ask(broker, Lane::Control, &commit(group, offsets)).await?;
                Ok(HashMap::from([(group.to_owned(), self.written(group, answer))]))
            })
            .await?;
        let mut outcomes = outcomes.into_iter().zip(commits);
        let group = |(group, offsets): &(String, Vec<(TopicPartition, CommittedOffset)>)| {
            let mut told = Vec::with_capacity(offsets.len());
            while told.len() < offsets.len() {
                let Some((outcome, (_, some))) = outcomes.next() else { break };
                let mut codes = match outcome {
                    Ok(codes) => codes,
                    Err(failure) => {
                        told.extend(some.iter().map(|(partition, _)| (partition.clone(), Err(failure.clone()))));
                        continue;
                    }
                };
                told.extend(some.iter().map(|(partition, _)| {
                    let outcome = codes
                        .remove(partition)
                        .unwrap_or_else(|| Err(self.unanswered(api, &format!("group {group}, {partition}"))));
                    (partition.clone(), outcome)
                }));
            }
            (group.clone(), told)
        };
        Ok(wanted.iter().map(group).collect())
    }

    /// Outcomes by partition. What is said of the coordinator is said of the group, and fails it as a whole: it is sent again.
    fn written(&self, group: &str, answer: OffsetCommitResponse) -> Result<HashMap<TopicPartition, Result<()>>> {
        let api = OffsetCommitRequest::API;
        let mut told = HashMap::new();
        for topic in answer.topics {
            for part in topic.partitions {
                let partition = TopicPartition::new(topic.name.to_string(), part.partition_index);
                let outcome = self.check(api, || format!("group {group}, {partition}"), part.error_code, None);
                match (part.error_code, outcome) {
                    (COORDINATOR_LOAD_IN_PROGRESS | COORDINATOR_NOT_AVAILABLE | NOT_COORDINATOR, Err(failure)) => {
                        return Err(failure);
                    }
                    (_, outcome) => drop(told.insert(partition, outcome)),
                }
            }
        }
        Ok(told)
    }
}

fn committed(told: OffsetFetchResponsePartitions) -> CommittedOffset {
    CommittedOffset {
        offset: told.committed_offset,
        leader_epoch: Some(told.committed_leader_epoch).filter(|epoch| *epoch >= 0),
        metadata: told.metadata.map_or_else(String::new, |metadata| metadata.to_string()),
    }
}

/// An answer about one group as newer ones tell it.
fn as_group(answer: OffsetFetchResponse, group: &str) -> OffsetFetchResponseGroup {
    let partition = |part: OffsetFetchResponsePartition| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(part.partition_index)
            .with_committed_offset(part.committed_offset)
            .with_committed_leader_epoch(part.committed_leader_epoch)
            .with_metadata(part.metadata)
            .with_error_code(part.error_code)
    };
    let topic = |topic: OffsetFetchResponseTopic| {
        OffsetFetchResponseTopics::default()
            .with_name(topic.name)
            .with_partitions(topic.partitions.into_iter().map(partition).collect())
    };
    OffsetFetchResponseGroup::default()
        .with_group_id(GroupId(text(group)))
        .with_error_code(answer.error_code)
        .with_topics(answer.topics.into_iter().map(topic).collect())
}

fn commit(group: &str, offsets: &[(TopicPartition, CommittedOffset)]) -> OffsetCommitRequest {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (partition, committed) in offsets {
        let place = *places.entry(&partition.topic).or_insert_with(|| {
            topics.push(OffsetCommitRequestTopic::default().with_name(TopicName(text(&partition.topic))));
            topics.len() - 1
        });
        topics[place].partitions.push(
            OffsetCommitRequestPartition::default()
                .with_partition_index(partition.partition)
                .with_committed_offset(committed.offset)
                .with_committed_leader_epoch(committed.leader_epoch.unwrap_or(-1))
                .with_committed_metadata(Some(text(&committed.metadata))),
        );
    }
    // Generation −1 and no member, which are the defaults, are an administrator's.
    OffsetCommitRequest::default().with_group_id(GroupId(text(group))).with_topics(topics)
}

/// A group's offsets in pieces that a coordinator can append.
fn bounded<'a>(
    group: &str,
    mut offsets: &'a [(TopicPartition, CommittedOffset)],
) -> Vec<&'a [(TopicPartition, CommittedOffset)]> {
    let mut pieces = Vec::new();
    while !offsets.is_empty() {
        let mut bytes = 0;
        let fits = |(partition, committed): &&(TopicPartition, CommittedOffset)| {
            bytes += BYTES_PER_OFFSET + group.len() + partition.topic.len() + committed.metadata.len();
            bytes <= BYTES_PER_COMMIT
        };
        let count = offsets.iter().take_while(fits).count().max(1);
        let (piece, rest) = offsets.split_at(count);
        pieces.push(piece);
        offsets = rest;
    }
    pieces
}

/// Whether a failure means that somebody is in the group, so that only its members may commit: an old member's commit is refused the same way.
#[must_use]
pub fn is_active_group(failure: &Error) -> bool {
    use crate::ResponseError as E;
    matches!(
        failure.response(),
        Some(E::UnknownMemberId | E::StaleMemberEpoch | E::IllegalGeneration | E::RebalanceInProgress)
    )
}

#[cfg(test)]
mod tests;
