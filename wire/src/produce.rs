//! Produce: raw batches to the broker that leads their partitions, with acks=all.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kafka_protocol::{
    messages::{ProduceResponse, ResponseHeader},
    protocol::HeaderVersion,
};

use crate::{
    batch::HEADER_LEN,
    call::PRODUCE,
    cluster::{Cluster, Lane},
    decode::{decode, decode_header},
    error::Result,
    produce_frame::{ProduceBatch as FramedBatch, encode_produce},
    types::TopicPartition,
};

/// The leader answers once all in-sync replicas have the batch.
const ACKS_ALL: i16 = -1;
/// Beyond the time for the followers: what the answer itself may take.
const ANSWER_MARGIN: Duration = Duration::from_secs(3);

/// One batch of a Produce request: its 61 header bytes apart from its untouched payload.
#[derive(Debug, Clone)]
pub struct ProduceBatch {
    /// Where it goes.
    pub partition: TopicPartition,
    /// The caller's number for it, told again in the answer.
    pub tag: usize,
    /// The rewritten header.
    pub header: [u8; HEADER_LEN],
    /// The records, as the source stored them.
    pub payload: Bytes,
}

/// One partition's part of a Produce answer.
#[derive(Debug, Clone)]
pub struct Produced {
    /// The caller's number, as in [`ProduceBatch::tag`].
    pub tag: usize,
    /// Kafka's error code, 0 for none.
    pub error: i16,
    /// The broker's own words, where it has some.
    pub message: Option<String>,
    /// The records for which the batch is refused, where the broker names them (KIP-467).
    pub record_errors: Vec<RecordError>,
    /// Offset of the batch's first record in this cluster.
    pub base_offset: i64,
}

/// A record for which its batch is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// Which record of the batch, from 0.
    pub index: usize,
    /// The broker's own words, where it has some.
    pub message: Option<String>,
}

/// Which of a broker's two Produce connections: a broker answers one request of a connection at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProduceLane {
    /// What goes well.
    Shared,
    /// Partitions whose followers are slow, so that nothing waits behind them.
    Apart,
}

impl ProduceLane {
    fn lane(self) -> Lane {
        match self {
            Self::Shared => Lane::Produce,
            Self::Apart => Lane::ProduceApart,
        }
    }
}

impl Cluster {
    /// Until when a broker wants no Produce request over this connection (KIP-219), if it still does.
    #[must_use]
    pub fn produce_muted_until(&self, broker: i32, lane: ProduceLane) -> Option<Instant> {
        self.muted_until(broker, lane.lane()).map(tokio::time::Instant::into_std)
    }

    /// Appends batches, at most one a partition, through the broker that leads them, with acks=all. The broker waits up to `acks_wait` for
    /// its followers. Answers tell errors per partition; of a batch that the answer leaves out nobody knows whether it was appended.
    ///
    /// # Errors
    /// When the broker could not be asked or did not answer: then nobody knows whether the batches were appended.
    pub async fn produce_on(
        &self,
        broker: i32,
        lane: ProduceLane,
        batches: &[ProduceBatch],
        acks_wait: Duration,
    ) -> Result<Vec<Produced>> {
        let (api, key, spoken) = PRODUCE;
        let connection = self.connection(broker, lane.lane()).await?;
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
        let patience = connection.request_timeout().max(acks_wait + ANSWER_MARGIN);
        let correlation = connection.next_correlation();
        let broker_patience = i32::try_from(acks_wait.as_millis()).unwrap_or(i32::MAX);
        let frame = encode_produce(version, correlation, connection.client_id(), ACKS_ALL, broker_patience, &parts)
            .map_err(|cause| connection.malformed(api, cause.to_string()))?;
        let mut body = connection.exchange(api, correlation, frame, patience, None).await?;
        let answer = decode_header::<ResponseHeader>(&mut body, ProduceResponse::header_version(version))
            .and_then(|_| decode::<ProduceResponse>(&mut body, version))
            .map_err(|cause| {
                connection.close("a Produce response could not be read");
                connection.malformed(api, cause)
            })?;
        connection.honour_throttle(answer.throttle_time_ms);
        let endpoints = answer.node_endpoints.iter();
        self.hint_brokers(endpoints.map(|node| (node.node_id.0, node.host.as_str(), node.port)));
        let by_name: HashMap<(&str, i32), &ProduceBatch> =
            batches.iter().map(|b| ((b.partition.topic.as_str(), b.partition.partition), b)).collect();
        let mut produced = Vec::with_capacity(batches.len());
        for topic in answer.responses {
            for part in topic.partition_responses {
                let Some(sent) = by_name.get(&(topic.name.as_str(), part.index)) else { continue };
                if part.error_code != 0 {
                    self.hint_leader(
                        &sent.partition,
                        part.current_leader.leader_id.0,
                        part.current_leader.leader_epoch,
                    );
                }
                let record_errors = part.record_errors.iter().filter_map(|refused| {
                    let message = refused.batch_index_error_message.as_ref().map(|m| m.to_string());
                    Some(RecordError { index: usize::try_from(refused.batch_index).ok()?, message })
                });
                produced.push(Produced {
                    tag: sent.tag,
                    error: part.error_code,
                    message: part.error_message.as_ref().map(|m| m.to_string()),
                    record_errors: record_errors.collect(),
                    base_offset: part.base_offset,
                });
            }
        }
        Ok(produced)
    }
}
