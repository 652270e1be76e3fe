//! Offsets, epochs and producer ids: what is asked around Fetch and Produce.

use std::collections::HashMap;

use futures_util::future::join_all;
use kafka_protocol::{
    messages::{
        BrokerId, DescribeProducersRequest, InitProducerIdRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest,
        TopicName,
        describe_producers_request::TopicRequest,
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
    },
    protocol::StrBytes,
};

use crate::{
    call::Call,
    cluster::{Cluster, Lane, Route},
    error::{Recovery, Result},
    metadata::Leader,
    types::{OffsetSpec, TopicPartition},
};

/// No leader epoch known: the broker does not compare.
const NO_EPOCH: i32 = -1;

/// A producer id and its epoch (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerId {
    /// The id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// What a partition's leader remembers of one producer (KIP-664).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Producer id and epoch.
    pub producer: ProducerId,
    /// Sequence of its last record.
    pub last_sequence: i32,
    /// Timestamp of its last batch, ms since the epoch.
    pub last_timestamp: i64,
}

/// Where a leader epoch ends (KIP-320).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch not above the one asked for, −1 if there is none.
    pub leader_epoch: i32,
    /// One past its last offset: for the current epoch the log end, not the high watermark.
    pub end_offset: i64,
}

impl Cluster {
    /// A producer id that nobody had before.
    ///
    /// # Errors
    /// When no broker hands one out within the request timeout, or the right to write idempotently is missing.
    pub async fn init_producer_id(&self) -> Result<ProducerId> {
        // No transaction: the timeout counts for nothing, brokers only want it positive.
        let request =
            InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(i32::MAX);
        self.routed(Route::Any, &request, |answer| {
            self.check(InitProducerIdRequest::API, || "a new producer id".to_owned(), answer.error_code, None)?;
            Ok(ProducerId { id: answer.producer_id.0, epoch: answer.producer_epoch })
        })
        .await
    }

    /// Offsets of partitions, asked of their leaders; the outcome of each is told beside it.
    ///
    /// # Errors
    /// When the metadata can't be asked for.
    pub async fn list_offsets(
        &self,
        wanted: &[(TopicPartition, OffsetSpec)],
    ) -> Result<Vec<(TopicPartition, Result<i64>)>> {
        // A leader that moved fails the round, and the round is asked again.
        let mut told: HashMap<_, _> = self.persist(|| self.list_offsets_once(wanted)).await?.into_iter().collect();
        Ok(wanted
            .iter()
            .map(|(partition, _)| {
                let missing = || Err(self.not_told(ListOffsetsRequest::API, partition));
                (partition.clone(), told.remove(partition).unwrap_or_else(missing))
            })
            .collect())
    }

    async fn list_offsets_once(
        &self,
        wanted: &[(TopicPartition, OffsetSpec)],
    ) -> Result<Vec<(TopicPartition, Result<i64>)>> {
        let (by_broker, mut outcomes) = self.by_leader(ListOffsetsRequest::API, wanted).await?;
        let asked = by_broker.iter().map(|(broker, parts)| self.list_offsets_of(*broker, parts));
        for answer in join_all(asked).await {
            outcomes.extend(answer?);
        }
        Ok(outcomes)
    }

    /// Partitions by the brokers that lead them, and those that have no leader, with the reason. A leader that is only not known yet fails all:
    /// asked again, it may be.
    async fn by_leader<'a, T: Copy, O>(
        &self,
        api: &'static str,
        wanted: &'a [(TopicPartition, T)],
    ) -> Result<(HashMap<i32, Vec<(&'a TopicPartition, T, Leader)>>, Vec<(TopicPartition, Result<O>)>)> {
        let mut names: Vec<String> = wanted.iter().map(|(p, _)| p.topic.clone()).collect();
        names.sort_unstable();
        names.dedup();
        self.topics(Some(&names)).await?;
        let mut by_broker: HashMap<i32, Vec<_>> = HashMap::new();
        let mut outcomes = Vec::new();
        for (partition, what) in wanted {
            match self.leader_or_error(partition, api) {
                Ok(leader) => by_broker.entry(leader.broker).or_default().push((partition, *what, leader)),
                Err(e)
                    if e.recovery() == Recovery::Refresh
                        && e.response() != Some(crate::ResponseError::UnknownTopicOrPartition) =>
                {
                    return Err(e);
                }
                Err(e) => outcomes.push((partition.clone(), Err(e))),
            }
        }
        Ok((by_broker, outcomes))
    }

    async fn list_offsets_of(
        &self,
        broker: i32,
        parts: &[(&TopicPartition, OffsetSpec, Leader)],
    ) -> Result<Vec<(TopicPartition, Result<i64>)>> {
        let mut topics: HashMap<&str, Vec<ListOffsetsPartition>> = HashMap::new();
        for (partition, spec, _) in parts {
            let timestamp = match spec {
                OffsetSpec::Latest => -1,
                OffsetSpec::Earliest => -2,
                OffsetSpec::Timestamp(ms) => *ms,
            };
            topics.entry(&partition.topic).or_default().push(
                ListOffsetsPartition::default()
                    .with_partition_index(partition.partition)
                    .with_current_leader_epoch(NO_EPOCH)
                    .with_timestamp(timestamp),
            );
        }
        let topic = |(name, parts)| ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(parts);
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(topics.into_iter().map(topic).collect());
        let answer = self.ask(broker, Lane::Control, &request).await?;
        let mut outcomes = Vec::with_capacity(parts.len());
        for topic in answer.topics {
            for part in topic.partitions {
                let partition = TopicPartition::new(topic.name.to_string(), part.partition_index);
                let checked = self.check(ListOffsetsRequest::API, || partition.to_string(), part.error_code, None);
                match checked {
                    Err(e) if e.recovery() != Recovery::Fatal => return Err(e),
                    checked => outcomes.push((partition, checked.map(|()| part.offset))),
                }
            }
        }
        Ok(outcomes)
    }

    /// Where a leader epoch of a partition ends. Asked for the current one, this is the log end, beyond the high watermark.
    ///
    /// # Errors
    /// When the leader can't be asked within the request timeout.
    pub async fn epoch_end(&self, partition: &TopicPartition, leader_epoch: i32) -> Result<EpochEnd> {
        let wanted = [(partition.clone(), Some(leader_epoch))];
        let mut told = self.persist(|| self.epoch_ends(&wanted)).await?;
        told.pop().map_or_else(|| Err(self.not_told(OffsetForLeaderEpochRequest::API, partition)), |(_, end)| end)
    }

    /// One past the last record in the leaders' logs; a partition may be named twice. In-sync replicas may lack the last ones, which
    /// consumers don't see: ListOffsets and Fetch end before those. The outcome of each is told beside it.
    ///
    /// # Errors
    /// When the metadata can't be asked for.
    pub async fn log_ends(&self, partitions: &[TopicPartition]) -> Result<Vec<(TopicPartition, Result<i64>)>> {
        let wanted: Vec<_> = partitions.iter().map(|partition| (partition.clone(), None)).collect();
        let told = self.persist(|| self.epoch_ends(&wanted)).await?;
        let mut ends: HashMap<_, _> = told.into_iter().map(|(p, end)| (p, end.map(|end| end.end_offset))).collect();
        // Logs that know of no epoch: nothing was ever appended, or before there were any, when no follower lacked what was acknowledged.
        let epochless: Vec<_> = ends.iter().filter(|(_, end)| matches!(end, Ok(..0))).map(|(p, _)| p.clone()).collect();
        if !epochless.is_empty() {
            let latest: Vec<_> = epochless.into_iter().map(|partition| (partition, OffsetSpec::Latest)).collect();
            ends.extend(self.list_offsets(&latest).await?);
        }
        let not_told = |p: &TopicPartition| Err(self.not_told(OffsetForLeaderEpochRequest::API, p));
        let end = |p: &TopicPartition| ends.get(p).cloned().unwrap_or_else(|| not_told(p));
        Ok(partitions.iter().map(|partition| (partition.clone(), end(partition))).collect())
    }

    /// As [`Cluster::log_ends`], of one partition.
    ///
    /// # Errors
    /// When the leader can't be asked within the request timeout.
    pub async fn log_end(&self, partition: &TopicPartition) -> Result<i64> {
        let mut told = self.log_ends(std::slice::from_ref(partition)).await?;
        told.pop().map_or(Ok(0), |(_, end)| end)
    }

    /// Ends of these epochs, none being the current one.
    async fn epoch_ends(
        &self,
        wanted: &[(TopicPartition, Option<i32>)],
    ) -> Result<Vec<(TopicPartition, Result<EpochEnd>)>> {
        let api = OffsetForLeaderEpochRequest::API;
        let (by_broker, mut outcomes) = self.by_leader(api, wanted).await?;
        let asked = by_broker.iter().map(async |(broker, parts)| {
            let mut topics: HashMap<&str, Vec<OffsetForLeaderPartition>> = HashMap::new();
            for (partition, epoch, leader) in parts {
                topics.entry(&partition.topic).or_default().push(
                    OffsetForLeaderPartition::default()
                        .with_partition(partition.partition)
                        // A leader that knows a newer epoch refuses, so that the end of one that has passed is not taken for the log's.
                        .with_current_leader_epoch(leader.epoch)
                        .with_leader_epoch(epoch.unwrap_or(leader.epoch)),
                );
            }
            let topic =
                |(name, parts)| OffsetForLeaderTopic::default().with_topic(topic_name(name)).with_partitions(parts);
            let request = OffsetForLeaderEpochRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_topics(topics.into_iter().map(topic).collect());
            let answer = self.ask(*broker, Lane::Control, &request).await?;
            let mut told = Vec::with_capacity(parts.len());
            for topic in answer.topics {
                for part in topic.partitions {
                    let partition = TopicPartition::new(topic.topic.to_string(), part.partition);
                    match self.check(api, || partition.to_string(), part.error_code, None) {
                        Err(e) if e.recovery() != Recovery::Fatal => return Err(e),
                        checked => {
                            let end = EpochEnd { leader_epoch: part.leader_epoch, end_offset: part.end_offset };
                            told.push((partition, checked.map(|()| end)));
                        }
                    }
                }
            }
            Ok(told)
        });
        for answer in join_all(asked).await {
            outcomes.extend(answer?);
        }
        Ok(outcomes)
    }

    fn not_told(&self, api: &'static str, partition: &TopicPartition) -> crate::Error {
        self.refused(api, partition.to_string(), -1, None)
    }

    /// The producers a partition's leader remembers (brokers from 2.8).
    ///
    /// # Errors
    /// When the leader can't be asked within the request timeout, lacks the request, or the right to read the topic is missing.
    pub async fn describe_producers(&self, partition: &TopicPartition) -> Result<Vec<ActiveProducer>> {
        let topic = TopicRequest::default()
            .with_name(topic_name(&partition.topic))
            .with_partition_indexes(vec![partition.partition]);
        let request = DescribeProducersRequest::default().with_topics(vec![topic]);
        self.routed(Route::Leader(partition), &request, |answer| {
            let api = DescribeProducersRequest::API;
            let Some(part) = answer.topics.first().and_then(|t| t.partitions.first()) else {
                return Err(self.refused(api, partition.to_string(), -1, None));
            };
            let message = part.error_message.as_ref().map(|m| m.to_string());
            self.check(api, || partition.to_string(), part.error_code, message)?;
            Ok(part
                .active_producers
                .iter()
                .map(|p| ActiveProducer {
                    producer: ProducerId { id: p.producer_id.0, epoch: i16::try_from(p.producer_epoch).unwrap_or(-1) },
                    last_sequence: p.last_sequence,
                    last_timestamp: p.last_timestamp,
                })
                .collect())
        })
        .await
    }
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}
