//! Records that the target refuses, kept in a topic of their own.

use tokio::time::sleep;
use wire::{
    Backoff, Batch, BatchBuilder, Cluster, Codec, Header, Levels, NewTopic, ProduceBatch, ProduceLane, RawRecord,
    RecordBody, Recovery, TopicPartition, recovery_of, rewrite_header,
};

use super::{
    producing::ACKS_WAIT,
    topics::{Refusal, find_or_make},
};
use crate::flow::recode::{Poison, RecodeError, Rewritten};

/// Records of a batch in the topic come to this, bytes, unless one is larger.
const BATCH_BYTES: usize = 512 * 1024;
/// What the topic is made with, the most particular last ([`find_or_make`]).
const SETTINGS: [(&str, &str); 6] = [
    ("cleanup.policy", "delete"),
    ("retention.ms", "-1"),
    ("message.timestamp.type", "CreateTime"),
    ("max.message.bytes", "104857600"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.after.max.ms", "9223372036854775807"),
];

/// Where records are parked.
#[derive(Debug, Clone)]
pub(super) struct Parking {
    pub(super) cluster: Cluster,
    pub(super) topic: String,
    pub(super) replication_factor: i16,
}

/// Parks what could not be written, where that is the policy. Before source offset `new` all is parked already.
pub(super) async fn park(
    parking: Option<Parking>,
    alias: &str,
    from: &TopicPartition,
    new: i64,
    rewritten: Rewritten,
) -> Result<Rewritten, RecodeError> {
    let poison = &rewritten.poison[rewritten.poison.partition_point(|record| record.offset < new)..];
    if let (Some(parking), [first, ..]) = (parking, poison) {
        let outcome = match parked(alias, from, poison) {
            Ok(batches) => parking.park(batches).await,
            Err(cause) => Err(cause),
        };
        let (offset, topic) = (first.offset, parking.topic);
        outcome.map_err(|cause| RecodeError::NotParked { offset, topic, cause })?;
    }
    Ok(rewritten)
}

/// Records in new batches, with headers that say whence they are: Connect's names where it has some (KIP-298).
fn parked(alias: &str, from: &TopicPartition, poison: &[Poison]) -> Result<Vec<Batch>, String> {
    let mut builder = BatchBuilder::new(Codec::None, Levels::default(), BATCH_BYTES);
    let (mut batches, partition) = (Vec::new(), from.partition.to_string());
    for (record, number) in poison.iter().zip(0..) {
        let failed = |cause: &dyn std::fmt::Display| format!("the record at offset {} {cause}", record.offset);
        let offset = record.offset.to_string();
        let body = RecordBody::parse(&record.body).map_err(|cause| failed(&cause))?;
        let mut headers = body.headers().map_err(|cause| failed(&cause))?;
        headers.extend(
            [
                ("__connect.errors.topic", from.topic.as_str()),
                ("__connect.errors.partition", &partition),
                ("__connect.errors.offset", &offset),
                ("__connect.errors.exception.message", &record.reason),
                ("kmirror.source.cluster.alias", alias),
            ]
            .map(|(key, value)| Header { key: key.as_bytes(), value: Some(value.as_bytes()) }),
        );
        let mut with_headers = Vec::with_capacity(record.body.len() + 256);
        body.write_with(&headers, &mut with_headers).map_err(|cause| failed(&cause))?;
        let raw = RawRecord { offset: number, timestamp: record.timestamp, attributes: 0, body: &with_headers };
        let closed = builder.push(&raw).map_err(|cause| failed(&cause))?;
        batches.extend(closed.map(|built| built.batch));
    }
    let last = builder.close().map_err(|cause| cause.to_string())?;
    batches.extend(last.map(|built| built.batch));
    Ok(batches)
}

impl Parking {
    /// Appends the batches, whatever time it takes. A batch whose answer is lost is appended again: what is parked may be there twice.
    ///
    /// # Errors
    /// What trying again does not help against, in words.
    async fn park(&self, batches: Vec<Batch>) -> Result<(), String> {
        for batch in batches {
            let (header, payload) = rewrite_header(&batch, -1, -1, -1).map_err(|cause| cause.to_string())?;
            let partition = TopicPartition::new(self.topic.clone(), 0);
            let produce = ProduceBatch { partition, tag: 0, header, payload };
            let mut backoff = Backoff::for_requests();
            while let Err(cause) = self.append(&produce).await {
                match cause {
                    Refusal::Passing(cause) => tracing::warn!(topic = self.topic, cause, "records can't be parked yet"),
                    Refusal::Lasting(cause) => return Err(cause),
                }
                sleep(backoff.next_wait()).await;
            }
        }
        Ok(())
    }

    async fn append(&self, batch: &ProduceBatch) -> Result<(), Refusal> {
        let leader = match self.cluster.leader(&batch.partition) {
            Some(leader) => leader.broker,
            None => self.find().await?,
        };
        let answer = self.cluster.produce_on(leader, ProduceLane::Apart, std::slice::from_ref(batch), ACKS_WAIT).await;
        let refusal = match answer.map(|mut told| told.pop()) {
            Ok(Some(told)) if told.error == 0 => return Ok(()),
            Ok(Some(told)) => {
                let cause = format!("Produce: {} {}", wire::code_name(told.error), told.message.unwrap_or_default());
                let lasts = recovery_of(told.error) == Recovery::Fatal;
                if lasts { Refusal::Lasting(cause) } else { Refusal::Passing(cause) }
            }
            Ok(None) => Refusal::Passing("Produce: the answer leaves it out".to_owned()),
            Err(error) => Refusal::of(error),
        };
        if let Refusal::Passing(_) = refusal {
            // Another broker may lead it now, and nobody else asks about it.
            self.find().await?;
        }
        Err(refusal)
    }

    /// The topic's leader. Makes the topic if there is none.
    async fn find(&self) -> Result<i32, Refusal> {
        let topic = NewTopic {
            name: self.topic.clone(),
            partitions: 1,
            replication_factor: self.replication_factor,
            configs: SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        };
        find_or_make(&self.cluster, topic).await?;
        let leader = self.cluster.leader(&TopicPartition::new(self.topic.clone(), 0));
        leader.map(|leader| leader.broker).ok_or_else(|| Refusal::Passing("it has no leader".to_owned()))
    }
}
