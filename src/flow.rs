//! The data plane: fetch → plan → rewrite → produce → acknowledge.
//!
//! A [`Flow`] owns the source partitions of one task; the flows of a connector run in one [`Engine`]. A batch that needs no change inside is never decompressed: its 61 header bytes are
//! rewritten and its payload moves as it came. `partition` decides, `task` acts.

mod epochs;
mod error;
mod events;
mod gap;
mod landings;
mod limits;
mod partition;
mod plan;
mod recode;
mod tail;
mod takeover;
mod task;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use wire::{Cluster, Codec, Levels, TopicPartition};

use self::{
    plan::PlanCounts,
    task::{Joining, Order, Task},
};
use crate::{offsets::OffsetMaps, transforms::RecordTransforms};

pub use error::Stopped;
pub use events::{Action, Event, EventCount, EventKind, Events, GapPolicies, GapPolicy, Happened, OffsetsOf};
pub use gap::{Gap, Place};
pub use landings::{Landings, Stretch};
pub use limits::{DEFAULT_BUDGET_BYTES, Limits, RateCap};

/// In [`Flow::positions`]' store: the target has acknowledged nothing in this life of the flow.
const NOTHING_ACKNOWLEDGED: i64 = -1;

/// Where the copy of a partition begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At this source offset: one past the stored position.
    At(i64),
    /// At the source's log start.
    Earliest,
    /// With what is produced from now on.
    Latest,
}

/// How far a source partition has been copied, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredPosition {
    /// Source offset of the last record that was copied; −1 where none has been yet.
    pub offset: i64,
    /// Generation of the anchor that it belongs to. Absent where it was set from outside, by a person or a Java worker:
    /// then it is to be obeyed.
    pub anchored: Option<u64>,
}

/// One partition to copy.
#[derive(Debug, Clone)]
pub struct FlowPartition {
    /// Where it is read.
    pub source: TopicPartition,
    /// Where it is written.
    pub target: TopicPartition,
    /// Where it begins, unless an anchor tells that.
    pub start: Start,
    /// Generation of the anchor that its stored position belongs to; absent where there is none, and where that was set from outside: then the
    /// copy begins at `start`, whatever was copied before.
    pub anchored: Option<u64>,
    /// What is done to its records; absent where they are copied as they are. Where they choose each record's topic, `target` is none but by
    /// that choice.
    pub transforms: Option<Arc<RecordTransforms>>,
}

/// What one task copies.
#[derive(Debug, Clone)]
pub struct FlowSpec {
    /// Names the flow in logs: `<connector>-<task>`.
    pub name: String,
    /// Client id of the connections that fetch, if this flow is the first of its engine.
    pub consumer_client_id: String,
    /// Client id of the connections that produce, likewise.
    pub producer_client_id: String,
    /// The cluster that is read.
    pub source: Cluster,
    /// The cluster that is written.
    pub target: Cluster,
    /// Its partitions; no source partition occurs twice.
    pub partitions: Vec<FlowPartition>,
    /// How it fetches.
    pub fetch: FetchSettings,
    /// How it writes.
    pub write: WriteSettings,
    /// What keeps a copy from being begun twice; absent where nothing may be stored of it on the target.
    pub anchoring: Option<Anchoring>,
    /// Told where records have come to stand, if anybody wants to know; that of the flow that starts first is told by all of its engine.
    pub landings: Option<Arc<dyn Landings>>,
    /// What becomes of partitions that meet a gap.
    pub gaps: GapPolicies,
    /// Told of them.
    pub events: Events,
    /// What it shares with the other flows of its worker.
    pub limits: Limits,
    /// Bytes per second it may fetch.
    pub rate: RateCap,
}

/// Where it is stored how far copies are, so that whoever takes one over finds it exactly.
#[derive(Debug, Clone)]
pub struct Anchoring {
    /// The connector's name: what two connectors copy are two copies.
    pub connector: String,
    /// Anchors and offset maps of the source.
    pub maps: OffsetMaps,
    /// Stored positions.
    pub positions: Arc<dyn Positions>,
    /// What is known of copies that somebody else made before; absent where those are not to be looked into.
    pub noted: Option<Arc<dyn NotedPairs>>,
}

/// Offsets of a record in the source and of its copy in the target.
pub type Pair = (i64, i64);

/// Tells where single records of a copy stand, as noted by somebody who copied before there was an offset map.
pub trait NotedPairs: std::fmt::Debug + Send + Sync {
    /// Records before the given offsets of these partitions of the source: ascending at both ends, for each partition, as far back as is worth
    /// while.
    ///
    /// # Errors
    /// Why they can't be told now, in words.
    fn before(
        &self,
        until: BTreeMap<TopicPartition, i64>,
    ) -> BoxFuture<'static, Result<BTreeMap<TopicPartition, Vec<Pair>>, String>>;
}

/// Stores positions of source partitions beside those of other connectors.
pub trait Positions: std::fmt::Debug + Send + Sync {
    /// Done when they are stored.
    ///
    /// # Errors
    /// Why they are not, in words; they may be all the same.
    fn store(&self, positions: BTreeMap<TopicPartition, StoredPosition>) -> BoxFuture<'static, Result<(), String>>;
}

/// How a flow fetches: the consumer settings of these names. Sizes in bytes, as brokers store them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchSettings {
    /// `fetch.max.wait.ms`: how long a broker may hold an answer back while it has less than `min_bytes`.
    pub max_wait: Duration,
    /// `fetch.min.bytes`.
    pub min_bytes: i32,
    /// `fetch.max.bytes`: of one answer; the memory left may allow less.
    pub max_bytes: i32,
    /// `max.partition.fetch.bytes`: of one partition in an answer.
    pub max_partition_bytes: i32,
    /// `isolation.level`: records of aborted transactions are left out, those of open ones waited for.
    pub read_committed: bool,
}

impl Default for FetchSettings {
    /// Kafka's defaults, but for `read_committed`.
    fn default() -> Self {
        Self {
            read_committed: true,
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 50 * 1024 * 1024,
            max_partition_bytes: 1024 * 1024,
        }
    }
}

/// How a flow writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteSettings {
    /// The compression all batches get; absent where each keeps its own.
    pub codec: Option<Codec>,
    /// For batches that are written anew.
    pub levels: Levels,
    /// Whether small batches that wait together become one.
    pub join: bool,
    /// What becomes of records that can't be written.
    pub poison: PoisonPolicy,
    /// Of topics that are made when the first record is for them, −1 for the brokers' default.
    pub replication_factor: i16,
}

impl Default for WriteSettings {
    fn default() -> Self {
        let (levels, poison) = (Levels::default(), PoisonPolicy::default());
        Self { codec: None, levels, join: true, poison, replication_factor: -1 }
    }
}

/// What becomes of a record that the target refuses: too large by itself, a time it does not take, no key on a compacted topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PoisonPolicy {
    /// Its partition stops, and says which record it is.
    #[default]
    Fail,
    /// It is left out, counted and named.
    Skip,
    /// As [`Self::Skip`], and before that it is appended to a topic of the target, as it is but for headers that say whence it comes.
    Park {
        /// Made if there is none.
        topic: String,
    },
}

/// How a flow fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowStatus {
    /// Partitions, by their source names, that stopped and why. The others go on.
    pub stopped: BTreeMap<TopicPartition, String>,
    /// Partitions, by their source names, of which transactions that stay open hold records back, and from which source offset on.
    pub held_back: BTreeMap<TopicPartition, i64>,
    /// Partitions, by their source names, of which records could not be written.
    pub poison: BTreeMap<TopicPartition, PoisonCount>,
    /// Partitions, by their source names, that went on behind a gap, and what it was; the last one of each.
    pub gaps: BTreeMap<TopicPartition, String>,
}

/// Records of a partition that the target refused, since the flow started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoisonCount {
    /// How many.
    pub records: u64,
    /// Source offset behind the last.
    pub next: i64,
    /// Why that was refused, in the target's words.
    pub last: String,
}

/// What runs flows. Those of one engine share connections, requests and the memory of brokers' troubles, so they must read the same cluster
/// and write the same cluster in the same way: the flow that starts first gives its client ids, fetch settings and limits to all. Clones are
/// the same.
#[derive(Debug, Clone)]
pub struct Engine {
    name: Arc<str>,
    /// The task that runs the flows, once there was one.
    orders: Arc<Mutex<Option<Orders>>>,
}

type Orders = mpsc::UnboundedSender<Order>;

impl Engine {
    /// An engine without flows; `name` is the connector's, for logs.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), orders: Arc::default() }
    }

    /// Starts to copy. Trouble with the clusters is retried without end and told in the log; what can't be retried stops a partition and
    /// is told by [`Flow::status`].
    #[must_use]
    pub fn start(&self, spec: FlowSpec) -> Flow {
        /// Numbers flows.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let partitions: Vec<TopicPartition> = spec.partitions.iter().map(|p| p.source.clone()).collect();
        let acknowledged: Arc<[AtomicI64]> = partitions.iter().map(|_| AtomicI64::new(NOTHING_ACKNOWLEDGED)).collect();
        let generations: Arc<[AtomicU64]> = partitions.iter().map(|_| AtomicU64::new(0)).collect();
        let counts = Arc::new(PlanCounts::default());
        let (status_sender, status) = watch::channel(FlowStatus::default());
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let orders = self.orders_to_a_task(&spec);
        let joining = Joining {
            id,
            name: spec.name,
            partitions: spec.partitions,
            acknowledged: Arc::clone(&acknowledged),
            generations: Arc::clone(&generations),
            counts: Arc::clone(&counts),
            status: status_sender,
        };
        // A task ends only when nobody can send to it any more.
        let _ = orders.send(Order::Join(Box::new(joining)));
        Flow { id, partitions, acknowledged, generations, counts, status, orders }
    }

    fn orders_to_a_task(&self, spec: &FlowSpec) -> Orders {
        let mut running = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(orders) = running.as_ref().filter(|orders| !orders.is_closed()) {
            return orders.clone();
        }
        // Three orders in a flow's life, and who drops it can't wait.
        #[expect(clippy::disallowed_methods, reason = "no more orders than tasks are started")]
        let (orders, taken) = mpsc::unbounded_channel();
        tokio::spawn(Task::new(self.name.to_string(), spec).run(taken));
        running.insert(orders).clone()
    }
}

/// A running flow. Dropping it stops it at once; [`Flow::drain`] stops it in order.
#[derive(Debug)]
pub struct Flow {
    id: u64,
    partitions: Vec<TopicPartition>,
    acknowledged: Arc<[AtomicI64]>,
    generations: Arc<[AtomicU64]>,
    counts: Arc<PlanCounts>,
    status: watch::Receiver<FlowStatus>,
    orders: Orders,
}

impl Flow {
    /// Per source partition the last source offset that the target acknowledged; absent where there is none in this life
    /// of the flow. A partition that began at [`Start::Latest`] stands before its first record from the start, so that
    /// the next start goes on there.
    #[must_use]
    pub fn positions(&self) -> BTreeMap<TopicPartition, StoredPosition> {
        let position = |(offset, generation): (&AtomicI64, &AtomicU64)| StoredPosition {
            offset: offset.load(Ordering::Acquire),
            anchored: Some(generation.load(Ordering::Acquire)).filter(|generation| *generation > 0),
        };
        let all = self.partitions.iter().zip(self.acknowledged.iter().zip(self.generations.iter()).map(position));
        let known = all.filter(|(_, position)| position.offset != NOTHING_ACKNOWLEDGED);
        known.map(|(partition, position)| (partition.clone(), position)).collect()
    }

    /// Batches so far by what became of them and why, such as `pass` and `reencode: compaction gap`. One fetched again counts again.
    #[must_use]
    pub fn batches(&self) -> BTreeMap<&'static str, u64> {
        self.counts.by_reason()
    }

    /// What has stopped, and its changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<FlowStatus> {
        self.status.clone()
    }

    /// Stops fetching, waits at most `within` for answers to what was sent, and returns the positions.
    pub async fn drain(self, within: Duration) -> BTreeMap<TopicPartition, StoredPosition> {
        let (drained, all) = oneshot::channel();
        let _ = self.orders.send(Order::Drain(self.id, drained));
        // What has no answer by then is copied again; the task says so.
        let _ = timeout(within, all).await;
        self.positions()
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        // Without a task there is nothing to stop.
        let _ = self.orders.send(Order::Leave(self.id));
    }
}
