//! Fetch: raw batches of many partitions from one broker.

mod session;

use std::{cell::Cell, mem, time::Duration};

use bytes::Bytes;
use kafka_protocol::{
    messages::{BrokerId, FetchRequest, FetchResponse},
    protocol::{Request, StrBytes},
};
use tokio::time::Instant;

pub use self::session::FetchSession;
use self::session::{Round, sessionless};
use crate::{
    call::Call,
    cluster::{Cluster, Lane},
    data::EpochEnd,
    error::{Result, code_name},
    memory::Reservation,
    types::TopicPartition,
};

/// What one Fetch may take. Sizes in bytes as the broker stores them (compressed).
#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    /// How long the broker may hold the answer back while it has less than `min_bytes`.
    pub max_wait: Duration,
    /// See `max_wait`.
    pub min_bytes: i32,
    /// Limit of the whole answer; its first batch is sent even if it is larger.
    pub max_bytes: i32,
    /// Up to the last stable offset, with the transactions that were aborted (`isolation.level`, KIP-98).
    pub read_committed: bool,
}

/// One partition of a Fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPartition {
    /// Which one.
    pub partition: TopicPartition,
    /// Topic id, zero where the cluster has none.
    pub topic_id: u128,
    /// Offset of the first record wanted, the cluster's own.
    pub offset: i64,
    /// Leader epoch by our metadata: a broker that knows better refuses. −1: don't compare.
    pub leader_epoch: i32,
    /// Leader epoch of the record before `offset`, −1 where it is not known: a broker whose log has parted from that says where
    /// ([`FetchedPartition::diverged`]; KIP-595, Fetch from version 12 on).
    pub last_epoch: i32,
    /// Limit for this partition, bytes; the answer's first batch is sent even if it is larger.
    pub max_bytes: i32,
    /// The caller's number for it, told again in the answer.
    pub tag: usize,
}

/// One partition's part of a Fetch answer.
#[derive(Debug, Clone)]
pub struct FetchedPartition {
    /// The caller's number, as in [`FetchPartition::tag`].
    pub tag: usize,
    /// Kafka's error code, 0 for none.
    pub error: i16,
    /// One past the last record that all in-sync replicas have, −1 when not told.
    pub high_watermark: i64,
    /// Offset of the first record of a transaction that is open, the high watermark where there is none: read_committed ends there. −1 where
    /// that was not asked for.
    pub last_stable: i64,
    /// First offset still there, −1 when not told.
    pub log_start: i64,
    /// The replica to fetch from instead (KIP-392): told by a leader that knows one in our rack, and then without records.
    pub preferred_replica: Option<i32>,
    /// The broker's log has other records before the offset asked for than the last epoch tells, or none: what it has of that epoch, or of the
    /// largest before it. A replica that lags behind says so too.
    pub diverged: Option<EpochEnd>,
    /// Transactions whose records among these count for nothing: only where [`FetchLimits::read_committed`] was asked for.
    pub aborted: Vec<AbortedTransaction>,
    /// Whole batches as stored, the last one perhaps cut off.
    pub records: Bytes,
}

/// A transaction that ended with a marker that aborts it. It may have begun before the first record of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer_id: i64,
    /// Its first record's offset.
    pub first_offset: i64,
}

impl FetchedPartition {
    /// One past the last record that could be read. −1 when not told.
    #[must_use]
    pub fn readable_end(&self) -> i64 {
        if self.last_stable < 0 { self.high_watermark } else { self.last_stable.min(self.high_watermark) }
    }
}

/// Which of a broker's two Fetch connections: a broker holds back what comes behind a Fetch that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FetchLane {
    /// Partitions that are read to their end: the broker may hold the answer back.
    Follow,
    /// Partitions with a backlog.
    CatchUp,
}

impl FetchLane {
    fn lane(self) -> Lane {
        match self {
            Self::Follow => Lane::Fetch,
            Self::CatchUp => Lane::FetchCatchUp,
        }
    }
}

impl Cluster {
    /// One round of a session: all partitions when it is new or the broker forgot it, else only what changed since the
    /// last round. Partitions without news may be absent from the answer; errors are told per partition. After an error, and when this is
    /// dropped before it ends, the session begins anew at the next round. A session without partitions asks nothing.
    ///
    /// The answer counts against `room`, with its true length, until the last of its records is dropped.
    ///
    /// # Errors
    /// When the broker could not be asked, or refuses the request as a whole.
    pub async fn fetch_round(
        &self,
        broker: i32,
        lane: FetchLane,
        session: &mut FetchSession,
        limits: &FetchLimits,
        room: Reservation,
    ) -> Result<Vec<FetchedPartition>> {
        if session.is_empty() {
            return Ok(Vec::new());
        }
        let (budget, bytes) = (room.budget(), room.bytes());
        let mut room = Some(room);
        let mut begun_anew = false;
        loop {
            let connection = self.connection(broker, lane.lane()).await?;
            let highest = connection.version(FetchRequest::API, FetchRequest::KEY, FetchRequest::SPOKEN)?;
            let mut round = session.next_round(highest);
            let request = request(&mut round, limits, self.rack());
            let room = room.take().unwrap_or_else(|| budget.take(bytes));
            let answer = connection.call_held(&request, round.version, limits.max_wait, Some(room)).await?;
            if session.refused(answer.error_code) && !begun_anew {
                tracing::debug!(broker, error = code_name(answer.error_code), "a fetch session begins anew");
                begun_anew = true;
                continue;
            }
            self.check(FetchRequest::API, || format!("broker {broker}"), answer.error_code, None)?;
            session.accepted(&round, answer.session_id);
            return Ok(self.read_fetch(answer, limits.read_committed, |id, topic, partition| {
                session.wanted(id, topic, partition)
            }));
        }
    }

    /// One Fetch without a session. Errors are told per partition. For the answer's bytes see [`Cluster::fetch_round`].
    ///
    /// # Errors
    /// When the broker could not be asked, or refuses the request as a whole.
    pub async fn fetch_once(
        &self,
        broker: i32,
        lane: FetchLane,
        partitions: &[FetchPartition],
        limits: &FetchLimits,
        room: Reservation,
    ) -> Result<Vec<FetchedPartition>> {
        self.fetch_plain(broker, lane, partitions, limits, Some(room)).await
    }

    /// As [`Cluster::fetch_once`], outside any budget where there is no `room`.
    pub(crate) async fn fetch_plain(
        &self,
        broker: i32,
        lane: FetchLane,
        partitions: &[FetchPartition],
        limits: &FetchLimits,
        room: Option<Reservation>,
    ) -> Result<Vec<FetchedPartition>> {
        let connection = self.connection(broker, lane.lane()).await?;
        let highest = connection.version(FetchRequest::API, FetchRequest::KEY, FetchRequest::SPOKEN)?;
        let mut round = sessionless(highest, partitions);
        let request = request(&mut round, limits, self.rack());
        let answer = connection.call_held(&request, round.version, limits.max_wait, room).await?;
        self.check(FetchRequest::API, || format!("broker {broker}"), answer.error_code, None)?;
        // Brokers answer in the order they were asked in.
        let next = Cell::new(0);
        let find = |id, topic: &str, partition| {
            let is = |p: &&FetchPartition| {
                p.partition.partition == partition
                    && if id == 0 { p.partition.topic == topic } else { p.topic_id == id }
            };
            let at = next.replace(next.get() + 1);
            partitions.get(at).filter(is).or_else(|| partitions.iter().find(is))
        };
        Ok(self.read_fetch(answer, limits.read_committed, find))
    }

    /// Until when a broker's quota wants silence on a lane (KIP-219). What is asked before waits it out, with its room: better to reserve
    /// none until then.
    #[must_use]
    pub fn fetch_muted_until(&self, broker: i32, lane: FetchLane) -> Option<std::time::Instant> {
        self.muted_until(broker, lane.lane()).map(Instant::into_std)
    }

    /// The parts of an answer that speak of what was asked for.
    fn read_fetch<'a>(
        &self,
        answer: FetchResponse,
        read_committed: bool,
        find: impl Fn(u128, &str, i32) -> Option<&'a FetchPartition>,
    ) -> Vec<FetchedPartition> {
        let endpoints = answer.node_endpoints.iter();
        self.hint_brokers(endpoints.map(|node| (node.node_id.0, node.host.as_str(), node.port)));
        let mut fetched = Vec::with_capacity(answer.responses.iter().map(|topic| topic.partitions.len()).sum());
        for topic in answer.responses {
            for part in topic.partitions {
                let Some(asked) = find(topic.topic_id.as_u128(), topic.topic.as_str(), part.partition_index) else {
                    continue;
                };
                if part.error_code != 0 {
                    let leader = part.current_leader;
                    self.hint_leader(&asked.partition, leader.leader_id.0, leader.leader_epoch);
                }
                fetched.push(FetchedPartition {
                    tag: asked.tag,
                    error: part.error_code,
                    high_watermark: part.high_watermark,
                    last_stable: if read_committed { part.last_stable_offset } else { -1 },
                    log_start: part.log_start_offset,
                    preferred_replica: Some(part.preferred_read_replica.0).filter(|id| *id >= 0),
                    diverged: Some(&part.diverging_epoch)
                        .filter(|told| told.end_offset >= 0)
                        .map(|told| EpochEnd { leader_epoch: told.epoch, end_offset: told.end_offset }),
                    aborted: part.aborted_transactions.unwrap_or_default().into_iter().map(aborted).collect(),
                    // An empty slice would hold the whole answer.
                    records: part.records.filter(|records| !records.is_empty()).unwrap_or_default(),
                });
            }
        }
        fetched
    }
}

fn aborted(told: kafka_protocol::messages::fetch_response::AbortedTransaction) -> AbortedTransaction {
    AbortedTransaction { producer_id: told.producer_id.0, first_offset: told.first_offset }
}

fn request(round: &mut Round, limits: &FetchLimits, rack: Option<&str>) -> FetchRequest {
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(i32::try_from(limits.max_wait.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(limits.min_bytes)
        .with_max_bytes(limits.max_bytes)
        .with_isolation_level(i8::from(limits.read_committed))
        .with_session_id(round.session_id)
        .with_session_epoch(round.epoch)
        .with_topics(mem::take(&mut round.topics))
        .with_forgotten_topics_data(mem::take(&mut round.forgotten))
        .with_rack_id(StrBytes::from_string(rack.unwrap_or_default().to_owned()))
}
