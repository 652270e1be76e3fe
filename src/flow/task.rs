//! The shell of a flow: one task that sends requests, hands their answers to the partitions, and asks them what to send next.

mod answers;
mod end;
mod prepare;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::AtomicI64},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    time::{sleep_until, timeout},
};
use wire::{
    Fetch, FetchPartition, FetchedPartition, ProduceBatch, Produced, ProducerId, TopicMetadata, TopicPartition,
};

use self::{end::End, prepare::prepare};
use super::{FlowSpec, FlowStatus, Start, partition::Partition};

/// Limit of a Fetch answer, bytes: some MB keep both ends busy without holding much.
const FETCH_BYTES: i32 = 8 * 1024 * 1024;
/// Kafka's `max.partition.fetch.bytes`.
const FETCH_PARTITION_BYTES: i32 = 1024 * 1024;
/// How long a broker may hold a Fetch back while there is nothing: Kafka's `fetch.max.wait.ms`.
const FETCH_WAIT: Duration = Duration::from_millis(500);
/// While some partitions are busy being produced, the idle ones are looked at this often, and not waited for.
const IDLE_LOOK: Duration = Duration::from_millis(10);
/// Bytes a flow holds before it stops fetching.
const HELD_BYTES: usize = 64 * 1024 * 1024;
/// Limit of a Produce request, bytes; a larger batch goes alone.
const PRODUCE_BYTES: usize = 4 * 1024 * 1024;
/// Produce requests under way to one broker. A broker works on one request of a connection at a time, so a second one only bridges the way
/// there and back.
const PRODUCES_PER_BROKER: usize = 2;
/// Kafka's `metadata.max.age.ms`.
const METADATA_AGE: Duration = Duration::from_secs(300);
/// Not more often than this is a cluster asked for metadata: Kafka's `retry.backoff.ms`.
const REFRESH_PAUSE: Duration = Duration::from_millis(100);
/// How soon a waiting partition is looked at again, and how soon a stuck one is noticed.
const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

/// An answer that has come.
enum Done {
    Refreshed(Side, wire::Result<Vec<TopicMetadata>>),
    Prepared(Vec<(usize, wire::Result<(i64, ProducerId)>)>),
    Fetched(i32, Vec<usize>, wire::Result<Vec<FetchedPartition>>),
    Produced(i32, Vec<usize>, wire::Result<Vec<Produced>>),
    Bounds(usize, wire::Result<(i64, i64)>),
}

pub(crate) struct Task {
    name: String,
    source: End,
    target: End,
    partitions: Vec<Partition>,
    starts: Vec<Start>,
    by_source: HashMap<TopicPartition, usize>,
    by_target: HashMap<TopicPartition, usize>,
    acknowledged: Arc<[AtomicI64]>,
    status: watch::Sender<FlowStatus>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    preparing: bool,
    prepare_not_before: Instant,
    /// Source brokers with a Fetch under way; target brokers with the number of Produce requests.
    fetching: HashSet<i32>,
    producing: HashMap<i32, usize>,
    /// Partitions whose log bounds are being looked up.
    bounding: HashSet<usize>,
    looked_at: Instant,
    /// When stuck partitions were last looked for.
    swept_at: Instant,
    /// Where the next Fetch begins, so that no partition is always last.
    turn: usize,
    draining: bool,
}

impl Task {
    pub(crate) fn new(spec: FlowSpec, acknowledged: Arc<[AtomicI64]>, status: watch::Sender<FlowStatus>) -> Self {
        let topics = |of: fn(&super::FlowPartition) -> &TopicPartition| {
            spec.partitions.iter().map(|p| of(p).topic.clone()).collect::<Vec<_>>()
        };
        let index = |of: fn(&super::FlowPartition) -> &TopicPartition| {
            spec.partitions.iter().enumerate().map(|(i, p)| (of(p).clone(), i)).collect::<HashMap<_, _>>()
        };
        let source = spec.source.with_own_connections(spec.consumer_client_id);
        let target = spec.target.with_own_connections(spec.producer_client_id);
        let now = Instant::now();
        Self {
            source: End::new(source, topics(|p| &p.source)),
            target: End::new(target, topics(|p| &p.target)),
            by_source: index(|p| &p.source),
            by_target: index(|p| &p.target),
            starts: spec.partitions.iter().map(|p| p.start).collect(),
            partitions: spec.partitions.into_iter().map(|p| Partition::new(p.source, p.target)).collect(),
            name: spec.name,
            acknowledged,
            status,
            work: FuturesUnordered::new(),
            preparing: false,
            prepare_not_before: now,
            fetching: HashSet::new(),
            producing: HashMap::new(),
            bounding: HashSet::new(),
            looked_at: now,
            swept_at: now,
            turn: 0,
            draining: false,
        }
    }

    /// Runs until `drain` carries a time to drain within and what was sent is resolved, or that time is over.
    pub(crate) async fn run(mut self, mut drain: watch::Receiver<Option<Duration>>) {
        tracing::info!(flow = self.name, partitions = self.partitions.len(), "copying starts");
        let within = loop {
            self.dispatch();
            let wake = self.wake_at();
            tokio::select! {
                Some(done) = self.work.next() => self.take(done),
                () = sleep_until(wake.into()) => {}
                asked = drain.wait_for(Option::is_some) => break asked.ok().and_then(|d| *d).unwrap_or_default(),
            }
        };
        self.draining = true;
        let resolved = timeout(within, self.resolve_all()).await.is_ok();
        let unresolved = self.partitions.iter().filter(|p| p.is_unresolved()).count();
        if resolved {
            tracing::info!(flow = self.name, "drained");
        } else {
            tracing::warn!(
                flow = self.name,
                unresolved,
                "batches are left without an answer; they will be copied again"
            );
        }
    }

    async fn resolve_all(&mut self) {
        while self.partitions.iter().any(Partition::is_unresolved) {
            self.dispatch();
            let wake = self.wake_at();
            tokio::select! {
                Some(done) = self.work.next() => self.take(done),
                () = sleep_until(wake.into()) => {}
            }
        }
    }

    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let backlog = self.partitions.iter().any(|p| p.held_bytes() > 0);
        let troubled = self.source.refresh_wanted
            || self.target.refresh_wanted
            || self.partitions.iter().any(|p| p.is_waiting(now));
        if backlog {
            now + IDLE_LOOK
        } else if troubled || !self.partitions.iter().all(|p| p.is_prepared() || p.stopped().is_some()) {
            now + SOON
        } else {
            now + LATER
        }
    }

    fn dispatch(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.swept_at) >= LATER {
            self.swept_at = now;
            self.give_back(now);
        }
        for side in [Side::Source, Side::Target] {
            self.dispatch_refresh(side, now);
        }
        if !self.draining {
            self.dispatch_prepare(now);
            self.dispatch_fetch(now);
        }
        self.dispatch_produce(now);
    }

    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        }
    }

    fn dispatch_refresh(&mut self, side: Side, now: Instant) {
        let end = self.end(side);
        let due = end.refreshed_at.is_none_or(|at| {
            let age = now.duration_since(at);
            (end.refresh_wanted && age >= REFRESH_PAUSE) || age >= METADATA_AGE
        });
        if end.refreshing || !due {
            return;
        }
        end.refreshing = true;
        end.refresh_wanted = false;
        end.refreshed_at = Some(now);
        let (cluster, topics) = (end.cluster.clone(), end.topics.clone());
        self.work.push(Box::pin(async move { Done::Refreshed(side, cluster.topics(Some(&topics)).await) }));
    }

    /// Finds out where each new partition begins, and gets it a producer id.
    fn dispatch_prepare(&mut self, now: Instant) {
        if self.preparing || now < self.prepare_not_before {
            return;
        }
        let missing: Vec<(usize, TopicPartition, Start)> = self
            .partitions
            .iter()
            .enumerate()
            .filter(|(_, p)| !p.is_prepared() && p.stopped().is_none())
            .map(|(i, p)| (i, p.source.clone(), self.starts[i]))
            .collect();
        if missing.is_empty() {
            return;
        }
        self.preparing = true;
        let (source, target) = (self.source.cluster.clone(), self.target.cluster.clone());
        self.work.push(Box::pin(async move { Done::Prepared(prepare(&source, &target, missing).await) }));
    }

    fn dispatch_fetch(&mut self, now: Instant) {
        let held: usize = self.partitions.iter().map(Partition::held_bytes).sum();
        if held >= HELD_BYTES {
            return;
        }
        let backlog = held > 0;
        let count = self.partitions.len();
        let mut wanted: HashMap<i32, Vec<usize>> = HashMap::new();
        let mut leaderless = Vec::new();
        for index in (0..count).map(|i| (self.turn + i) % count.max(1)) {
            let partition = &self.partitions[index];
            if !partition.wants_fetch(now) || self.bounding.contains(&index) {
                continue;
            }
            match self.source.cluster.leader(&partition.source) {
                Some(leader) if !self.fetching.contains(&leader.broker) => {
                    wanted.entry(leader.broker).or_default().push(index)
                }
                Some(_) => {}
                None => leaderless.push(partition.source.clone()),
            }
        }
        for partition in leaderless {
            self.source.leaderless(&partition, &self.name);
        }
        // With a backlog, a Fetch that waits for idle partitions would keep the busy ones from theirs.
        let idle_due = !backlog || now.duration_since(self.looked_at) >= IDLE_LOOK;
        for (broker, mut indices) in wanted {
            if !idle_due && !indices.iter().any(|i| self.partitions[*i].is_hot()) {
                continue;
            }
            self.looked_at = now;
            // One whose first batch was cut off comes first: the first batch of an answer is always whole (KIP-74).
            indices.sort_by_key(|i| !self.partitions[*i].is_starved());
            self.turn = indices.first().map_or(self.turn, |first| (first + 1) % count);
            let partitions = indices.iter().filter_map(|i| self.fetch_partition(*i)).collect();
            for index in &indices {
                self.partitions[*index].fetch_sent();
            }
            let max_wait = if backlog { Duration::ZERO } else { FETCH_WAIT };
            let fetch = Fetch { max_wait, min_bytes: 1, max_bytes: FETCH_BYTES, partitions };
            self.fetching.insert(broker);
            let cluster = self.source.cluster.clone();
            self.work
                .push(Box::pin(async move { Done::Fetched(broker, indices, cluster.fetch(broker, &fetch).await) }));
        }
    }

    fn fetch_partition(&self, index: usize) -> Option<FetchPartition> {
        let partition = &self.partitions[index];
        let leader = self.source.cluster.leader(&partition.source)?;
        Some(FetchPartition {
            partition: partition.source.clone(),
            topic_id: leader.topic_id,
            offset: partition.position(),
            leader_epoch: leader.epoch,
            max_bytes: FETCH_PARTITION_BYTES,
        })
    }

    fn dispatch_produce(&mut self, now: Instant) {
        let mut requests: HashMap<i32, (Vec<usize>, Vec<ProduceBatch>, usize)> = HashMap::new();
        for index in 0..self.partitions.len() {
            if !self.partitions[index].has_batch(now) || (self.draining && !self.partitions[index].is_unresolved()) {
                continue;
            }
            let Some(leader) = self.target.cluster.leader(&self.partitions[index].target) else {
                self.target.leaderless(&self.partitions[index].target, &self.name);
                continue;
            };
            if self.producing.get(&leader.broker).is_some_and(|n| *n >= PRODUCES_PER_BROKER) {
                continue;
            }
            let request = requests.entry(leader.broker).or_default();
            if request.2 >= PRODUCE_BYTES {
                continue;
            }
            if let Some(batch) = self.partitions[index].next_batch(now) {
                request.2 += batch.header.len() + batch.payload.len();
                request.0.push(index);
                request.1.push(batch);
            }
        }
        for (broker, (indices, batches, _)) in requests {
            if batches.is_empty() {
                continue;
            }
            *self.producing.entry(broker).or_default() += 1;
            let cluster = self.target.cluster.clone();
            self.work.push(Box::pin(async move {
                Done::Produced(broker, indices, cluster.produce(broker, &batches).await)
            }));
        }
    }

    fn give_back(&mut self, now: Instant) {
        let given = self.partitions.iter_mut().filter_map(|p| p.give_back_if_stuck(now).then_some(())).count();
        if given > 0 {
            tracing::debug!(flow = self.name, partitions = given, "bytes given back: the target does not take them");
        }
    }
}
