//! Moving batches: Fetch and Produce with raw record bytes, and the offsets they are asked by.

use std::{collections::HashMap, time::Duration};

use bytes::{Buf as _, Bytes};
use futures_util::future::join_all;
use kafka_protocol::{
    messages::{
        BrokerId, DescribeProducersRequest, FetchRequest, FetchResponse, InitProducerIdRequest, ListOffsetsRequest,
        OffsetForLeaderEpochRequest, ProduceResponse, ResponseHeader, TopicName,
        describe_producers_request::TopicRequest,
        fetch_request::{FetchPartition as WireFetchPartition, FetchTopic},
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
    },
    protocol::{Decodable, HeaderVersion, Request, StrBytes},
};
use uuid::Uuid;

use crate::{
    batch::HEADER_LEN,
    call::{Call, PRODUCE},
    cluster::{Cluster, Lane, Route},
    error::{Recovery, Result},
    produce_frame::{ProduceBatch as FramedBatch, encode_produce},
    types::{OffsetSpec, TopicPartition},
};

/// First version of Fetch that names topics by id only.
const FETCH_BY_TOPIC_ID: i16 = 13;
/// The leader answers once all in-sync replicas have the batch.
const ACKS_ALL: i16 = -1;
/// No leader epoch known: the broker does not compare.
const NO_EPOCH: i32 = -1;

/// What a Fetch asks of one broker. Sizes in bytes as the broker stores them (compressed).
#[derive(Debug, Clone)]
pub struct Fetch {
    /// How long the broker may hold the answer back while it has less than `min_bytes`.
    pub max_wait: Duration,
    /// See `max_wait`.
    pub min_bytes: i32,
    /// Limit of the whole answer; the first batch is sent even if it is larger.
    pub max_bytes: i32,
    /// Partitions led by that broker; filled in this order until `max_bytes` is reached.
    pub partitions: Vec<FetchPartition>,
}

/// One partition of a [`Fetch`].
#[derive(Debug, Clone)]
pub struct FetchPartition {
    /// Which one.
    pub partition: TopicPartition,
    /// Topic id, zero where the cluster has none.
    pub topic_id: u128,
    /// Offset of the first record wanted, the cluster's own.
    pub offset: i64,
    /// Leader epoch by our metadata: a broker that knows better refuses. −1: don't compare.
    pub leader_epoch: i32,
    /// Limit for this partition; the first batch is sent even if it is larger.
    pub max_bytes: i32,
}

/// One partition's part of a Fetch answer.
#[derive(Debug, Clone)]
pub struct FetchedPartition {
    /// Which one.
    pub partition: TopicPartition,
    /// Kafka's error code, 0 for none.
    pub error: i16,
    /// One past the last record that consumers may read.
    pub high_watermark: i64,
    /// First offset still there, −1 when not told.
    pub log_start: i64,
    /// Whole batches as stored, the last one perhaps cut off.
    pub records: Bytes,
}

/// One batch of a Produce request: its 61 header bytes apart from its untouched payload.
#[derive(Debug, Clone)]
pub struct ProduceBatch {
    /// Where it goes.
    pub partition: TopicPartition,
    /// The rewritten header.
    pub header: [u8; HEADER_LEN],
    /// The records, as the source stored them.
    pub payload: Bytes,
}

/// One partition's part of a Produce answer.
#[derive(Debug, Clone)]
pub struct Produced {
    /// Which one.
    pub partition: TopicPartition,
    /// Kafka's error code, 0 for none.
    pub error: i16,
    /// The broker's own words, where it has some; those about single records (KIP-467) follow.
    pub message: Option<String>,
    /// Offset of the batch's first record in this cluster.
    pub base_offset: i64,
}

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
    /// Fetches from one broker, read_uncommitted. Answers tell errors per partition.
    ///
    /// # Errors
    /// When the broker could not be asked, or refuses the request as a whole.
    pub async fn fetch(&self, broker: i32, fetch: &Fetch) -> Result<Vec<FetchedPartition>> {
        let connection = self.connection(broker, Lane::Fetch).await?;
        let highest = connection.version(FetchRequest::API, FetchRequest::KEY, FetchRequest::SPOKEN)?;
        let all_have_ids = fetch.partitions.iter().all(|p| p.topic_id != 0);
        let version = if all_have_ids { highest } else { highest.min(FETCH_BY_TOPIC_ID - 1) };

        let mut topics: Vec<FetchTopic> = Vec::new();
        for wanted in &fetch.partitions {
            let part = WireFetchPartition::default()
                .with_partition(wanted.partition.partition)
                .with_current_leader_epoch(wanted.leader_epoch)
                .with_fetch_offset(wanted.offset)
                .with_partition_max_bytes(wanted.max_bytes);
            match topics.last_mut().filter(|t| **t.topic == *wanted.partition.topic) {
                Some(topic) => topic.partitions.push(part),
                None => topics.push(
                    FetchTopic::default()
                        .with_topic(topic_name(&wanted.partition.topic))
                        .with_topic_id(Uuid::from_u128(wanted.topic_id))
                        .with_partitions(vec![part]),
                ),
            }
        }
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(i32::try_from(fetch.max_wait.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(fetch.min_bytes)
            .with_max_bytes(fetch.max_bytes)
            .with_topics(topics);
        let answer = connection.call_held(&request, version, fetch.max_wait).await?;
        self.check(FetchRequest::API, || format!("broker {broker}"), answer.error_code, None)?;
        Ok(self.read_fetch(version, fetch, answer))
    }

    fn read_fetch(&self, version: i16, fetch: &Fetch, answer: FetchResponse) -> Vec<FetchedPartition> {
        let names: HashMap<u128, &str> = if version >= FETCH_BY_TOPIC_ID {
            fetch.partitions.iter().map(|p| (p.topic_id, p.partition.topic.as_str())).collect()
        } else {
            HashMap::new()
        };
        let mut fetched = Vec::with_capacity(fetch.partitions.len());
        for topic in answer.responses {
            let name = match names.get(&topic.topic_id.as_u128()) {
                Some(name) => (*name).to_owned(),
                None => topic.topic.to_string(),
            };
            for part in topic.partitions {
                let partition = TopicPartition::new(name.clone(), part.partition_index);
                if part.error_code != 0 {
                    self.hint_leader(&partition, part.current_leader.leader_id.0, part.current_leader.leader_epoch);
                }
                fetched.push(FetchedPartition {
                    partition,
                    error: part.error_code,
                    high_watermark: part.high_watermark,
                    log_start: part.log_start_offset,
                    records: part.records.unwrap_or_default(),
                });
            }
        }
        fetched
    }

    /// Appends batches, at most one a partition, through the broker that leads them, with acks=all. Answers tell errors per partition.
    ///
    /// # Errors
    /// When the broker could not be asked or did not answer: then nobody knows whether the batches were appended.
    pub async fn produce(&self, broker: i32, batches: &[ProduceBatch]) -> Result<Vec<Produced>> {
        let (api, key, spoken) = PRODUCE;
        let connection = self.connection(broker, Lane::Produce).await?;
        let version = connection.version(api, key, spoken)?;
        let parts: Vec<FramedBatch<'_>> = batches
            .iter()
            .map(|b| FramedBatch {
                topic: &b.partition.topic,
                topic_id: 0,
                partition: b.partition.partition,
                header: b.header,
                payload: b.payload.clone(),
            })
            .collect();
        let patience = connection.request_timeout();
        let correlation = connection.next_correlation();
        // The broker gives up a little before we do, so that its answer still tells what happened.
        let broker_patience = i32::try_from(patience.as_millis() * 9 / 10).unwrap_or(i32::MAX);
        let frame = encode_produce(version, correlation, connection.client_id(), ACKS_ALL, broker_patience, &parts)
            .map_err(|cause| connection.malformed(api, cause.to_string()))?;
        let mut body = connection.exchange(api, correlation, frame, patience).await?;
        let answer = ResponseHeader::decode(&mut body, ProduceResponse::header_version(version))
            .and_then(|_| ProduceResponse::decode(&mut body, version))
            .map_err(|cause| {
                connection.close("a Produce response could not be read");
                connection.malformed(api, cause.to_string())
            })?;
        debug_assert!(!body.has_remaining(), "a Produce response has bytes left");
        connection.honour_throttle(answer.throttle_time_ms);
        let mut produced = Vec::with_capacity(batches.len());
        for topic in answer.responses {
            for part in topic.partition_responses {
                let partition = TopicPartition::new(topic.name.to_string(), part.index);
                if part.error_code != 0 {
                    self.hint_leader(&partition, part.current_leader.leader_id.0, part.current_leader.leader_epoch);
                }
                let single = part.record_errors.iter().map(|r| {
                    let why = r.batch_index_error_message.as_deref().unwrap_or("refused");
                    format!("record {}: {why}", r.batch_index)
                });
                let words: Vec<String> =
                    part.error_message.iter().map(|m| m.to_string()).chain(single.take(3)).collect();
                produced.push(Produced {
                    partition,
                    error: part.error_code,
                    message: if words.is_empty() { None } else { Some(words.join("; ")) },
                    base_offset: part.base_offset,
                });
            }
        }
        Ok(produced)
    }

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
                let missing = || Err(self.refused(ListOffsetsRequest::API, partition.to_string(), -1, None));
                (partition.clone(), told.remove(partition).unwrap_or_else(missing))
            })
            .collect())
    }

    async fn list_offsets_once(
        &self,
        wanted: &[(TopicPartition, OffsetSpec)],
    ) -> Result<Vec<(TopicPartition, Result<i64>)>> {
        let mut names: Vec<String> = wanted.iter().map(|(p, _)| p.topic.clone()).collect();
        names.sort_unstable();
        names.dedup();
        self.topics(Some(&names)).await?;
        let mut outcomes = Vec::with_capacity(wanted.len());
        let mut by_broker: HashMap<i32, Vec<(&TopicPartition, OffsetSpec)>> = HashMap::new();
        for (partition, spec) in wanted {
            match self.leader_or_error(partition, ListOffsetsRequest::API) {
                Ok(leader) => by_broker.entry(leader.broker).or_default().push((partition, *spec)),
                Err(e)
                    if e.recovery() == Recovery::Refresh
                        && e.response() != Some(crate::ResponseError::UnknownTopicOrPartition) =>
                {
                    return Err(e);
                }
                Err(e) => outcomes.push((partition.clone(), Err(e))),
            }
        }
        let asked = by_broker.iter().map(|(broker, parts)| self.list_offsets_of(*broker, parts));
        for answer in join_all(asked).await {
            outcomes.extend(answer?);
        }
        Ok(outcomes)
    }

    async fn list_offsets_of(
        &self,
        broker: i32,
        parts: &[(&TopicPartition, OffsetSpec)],
    ) -> Result<Vec<(TopicPartition, Result<i64>)>> {
        let mut topics: HashMap<&str, Vec<ListOffsetsPartition>> = HashMap::new();
        for (partition, spec) in parts {
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

    /// Where a leader epoch of a partition ends. Asked for the current epoch, this is the log end, beyond the high watermark.
    ///
    /// # Errors
    /// When the leader can't be asked within the request timeout.
    pub async fn epoch_end(&self, partition: &TopicPartition, leader_epoch: i32) -> Result<EpochEnd> {
        let part = OffsetForLeaderPartition::default()
            .with_partition(partition.partition)
            .with_current_leader_epoch(NO_EPOCH)
            .with_leader_epoch(leader_epoch);
        let topic =
            OffsetForLeaderTopic::default().with_topic(topic_name(&partition.topic)).with_partitions(vec![part]);
        let request = OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        self.routed(Route::Leader(partition), &request, |answer| {
            let api = OffsetForLeaderEpochRequest::API;
            let Some(part) = answer.topics.first().and_then(|t| t.partitions.first()) else {
                return Err(self.refused(api, partition.to_string(), -1, None));
            };
            self.check(api, || partition.to_string(), part.error_code, None)?;
            Ok(EpochEnd { leader_epoch: part.leader_epoch, end_offset: part.end_offset })
        })
        .await
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
