//! The shell of flows: one task that sends requests, hands their answers to the partitions, and asks them what to send next. The flows of
//! a connector share it, and with it connections, requests and memory of brokers' troubles.
//!
//! Nothing here looks at all partitions at every turn: after each event the partitions it concerned say what they wait for
//! ([`Task::reconsider`]) and queue for it, so that ten thousand idle ones cost nothing.

mod anchoring;
mod answers;
mod comparing;
mod end;
mod fetching;
mod gaps;
mod landings;
mod members;
mod parking;
mod prepare;
mod producing;
mod queues;
mod routing;
mod topics;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    num::NonZero,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant, SystemTime},
};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{Semaphore, mpsc},
    time::sleep_until,
};
use wire::{TopicMetadata, TopicPartition};

pub(crate) use self::members::{Joining, Order};

use self::{
    anchoring::{Anchoring, Owner},
    comparing::{Comparing, Looked},
    end::End,
    fetching::{Fetched, Fetching},
    landings::Telling,
    members::{Member, Seat, Stay},
    parking::Parking,
    prepare::{Clusters, Prepared, Wanted, prepare},
    producing::{Producing, Sent},
    routing::{Finding, Found},
    topics::Refusal,
};
use crate::{
    foreign,
    offsets::{self, Link},
};

use super::{
    Events, FetchSettings, FlowSpec, GapPolicies, Limits, Pair, PoisonPolicy, RateCap, WriteSettings,
    gap::Bounds,
    partition::{Partition, Unprepared},
    recode::{RecodeError, Rewritten},
    tail::{Blind, LookFor, Strangers, Tail},
    takeover::Compared,
};

/// Kafka's `metadata.max.age.ms`.
const METADATA_AGE: Duration = Duration::from_secs(300);
/// Not more often than this is a cluster asked for metadata: Kafka's `retry.backoff.ms`.
const REFRESH_PAUSE: Duration = Duration::from_millis(100);
/// Beyond what a broker may take for an answer by itself: then it is asked of the others whether it is still there.
const OVERDUE: Duration = Duration::from_secs(2);
/// How often stuck partitions are looked for, while there is anything that could be stuck.
const SWEEP: Duration = Duration::from_secs(1);
/// Sweeps after the last work, in which unused memory is given back.
const LAST_SWEEPS: u32 = 3;
/// How soon to look again for memory that other flows hold, should nobody say that it is free.
const SHORT_OF_MEMORY: Duration = Duration::from_millis(100);
/// Partitions whose logs at the target are looked into at the same time.
const LOOKING_AT_ONCE: usize = 16;
/// A broker is sure to remember the producer of a record not older than this: a good deal less than the default of
/// `producer.id.expiration.ms`, a day.
const REMEMBERED_MS: i64 = 3_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

/// An answer that has come.
enum Done {
    Refreshed(Side, wire::Result<Vec<TopicMetadata>>),
    Prepared(Vec<(usize, Result<Prepared, Unprepared>)>),
    Anchored(Vec<Owner>, Result<Vec<Link>, offsets::Error>),
    Noted(Result<BTreeMap<TopicPartition, Vec<Pair>>, String>),
    Compared(Looked, wire::Result<Compared>),
    Fetched(Box<Fetched>),
    Produced(Sent),
    Bounds(usize, wire::Result<Bounds>),
    Looked(usize, Result<Tail, Blind>),
    Strangers(usize, LookFor, i64, Result<Strangers, Blind>),
    EndOfOurs(usize, Result<i64, Blind>),
    Limit(usize, Option<usize>),
    Recoded(usize, i64, Result<Rewritten, RecodeError>),
    Found(Arc<str>, Result<Found, Refusal>),
}

pub(crate) struct Task {
    name: String,
    source: End,
    target: End,
    partitions: Vec<Partition>,
    /// Whose each partition is.
    seats: Vec<Seat>,
    /// Places of partitions that are nobody's any more.
    left: Vec<usize>,
    members: HashMap<u64, Member>,
    /// Those that fetch no more.
    draining: Vec<u64>,
    limits: Limits,
    rate: RateCap,
    settings: FetchSettings,
    write: WriteSettings,
    parking: Option<Parking>,
    /// Several partitions are written to one, or may be.
    shares_targets: bool,
    /// Partitions whose records choose their topics.
    routed: bool,
    finding: Finding,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    fetching: Fetching,
    producing: Producing,
    anchoring: Anchoring,
    comparing: Comparing,
    telling: Telling,
    gaps: GapPolicies,
    events: Events,
    unprepared: BTreeSet<usize>,
    preparing: bool,
    prepare_not_before: Instant,
    /// Partitions about which a broker is asked something before they go on: log bounds, the producer's state.
    asking: HashSet<usize>,
    /// Lets as many batches be opened at a time as there are processors.
    opening: Arc<Semaphore>,
    /// Lets so many logs be looked into at a time.
    looking: Arc<Semaphore>,
    /// Partitions that hold bytes.
    holding: Vec<bool>,
    holding_count: usize,
    /// Ends of backoffs.
    timers: BTreeSet<(Instant, usize)>,
    swept_at: Instant,
    sweeps_left: u32,
    /// Newer records than this, ms since the epoch, keep their producer in the brokers' memory.
    fresh_after: i64,
}

impl Task {
    /// A task without flows. Their connections, limits and ways of fetching are those of `first`, which is to join.
    pub(crate) fn new(name: String, first: &FlowSpec) -> Self {
        let source = first.source.with_own_connections(&first.consumer_client_id);
        let target = first.target.with_own_connections(&first.producer_client_id);
        let now = Instant::now();
        let parking = match &first.write.poison {
            PoisonPolicy::Park { topic } => {
                let replication_factor = first.write.replication_factor;
                Some(Parking { cluster: target.clone(), topic: topic.clone(), replication_factor })
            }
            PoisonPolicy::Fail | PoisonPolicy::Skip => None,
        };
        Self {
            name,
            source: End::new(source),
            target: End::new(target),
            partitions: Vec::new(),
            seats: Vec::new(),
            left: Vec::new(),
            members: HashMap::new(),
            draining: Vec::new(),
            fetching: Fetching::new(&first.limits),
            limits: first.limits.clone(),
            rate: first.rate.clone(),
            settings: first.fetch,
            write: first.write.clone(),
            parking,
            shares_targets: false,
            routed: false,
            finding: Finding::default(),
            work: FuturesUnordered::new(),
            producing: Producing::new(),
            anchoring: Anchoring::new(first.anchoring.clone(), now),
            comparing: Comparing::new(now),
            telling: Telling::new(first.landings.clone(), now),
            gaps: first.gaps.clone(),
            events: first.events.clone(),
            unprepared: BTreeSet::new(),
            preparing: false,
            prepare_not_before: now,
            asking: HashSet::new(),
            opening: Arc::new(Semaphore::new(available_parallelism().map_or(1, NonZero::get))),
            looking: Arc::new(Semaphore::new(LOOKING_AT_ONCE)),
            holding: Vec::new(),
            holding_count: 0,
            timers: BTreeSet::new(),
            swept_at: now,
            sweeps_left: 0,
            fresh_after: i64::MAX,
        }
    }

    /// Runs until nobody is left who could give an order.
    pub(crate) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            tokio::select! {
                () = self.step() => {}
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
            }
            // Flows that start together are asked for together.
            while let Ok(order) = orders.try_recv() {
                self.obey(order);
            }
            self.let_go();
        }
    }

    /// Sends what can be sent and waits for the next event. May be cancelled while it waits.
    async fn step(&mut self) {
        let freed = self.limits.budget.freed();
        let now = Instant::now();
        self.dispatch(now);
        let wake = self.wake_at(now);
        tokio::select! {
            Some(done) = self.work.next() => self.take(done),
            () = freed, if self.fetching.short_of_memory => {}
            () = sleep_until(wake.into()) => {}
        }
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let refresh = [Side::Source, Side::Target].into_iter().filter_map(|side| self.refresh_due(side));
        let sweep = (self.holding_count > 0 || self.sweeps_left > 0).then_some(self.swept_at + SWEEP);
        let memory = self.fetching.short_of_memory.then_some(now + SHORT_OF_MEMORY);
        let timer = self.timers.first().map(|(at, _)| *at);
        let prepare = (!self.unprepared.is_empty() && !self.preparing).then_some(self.prepare_not_before);
        let fetch = self.fetching.wakes_at();
        let stored = [self.anchoring.wakes_at(), self.telling.wakes_at(), self.comparing.wakes_at()];
        let others = [sweep, memory, prepare, fetch, timer, self.producing.wakes_at()].into_iter().chain(stored);
        others.flatten().chain(refresh).min().unwrap_or(now + METADATA_AGE)
    }

    fn dispatch(&mut self, now: Instant) {
        self.fresh_after = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(i64::MAX, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX) - REMEMBERED_MS);
        while let Some((at, index)) = self.timers.pop_first() {
            if at > now {
                self.timers.insert((at, index));
                break;
            }
            self.reconsider(index, now);
        }
        if now.duration_since(self.swept_at) >= SWEEP {
            self.sweep(now);
        }
        for side in [Side::Source, Side::Target] {
            self.dispatch_refresh(side, now);
        }
        self.dispatch_prepare(now);
        self.dispatch_anchoring(now);
        self.dispatch_comparing(now);
        self.dispatch_landings(now);
        self.dispatch_fetch(now);
        self.dispatch_produce(now);
    }

    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        }
    }

    fn refresh_due(&self, side: Side) -> Option<Instant> {
        let end = if side == Side::Source { &self.source } else { &self.target };
        end.refresh_due(self.overdue(side).into_iter().map(|(at, _)| at).min())
    }

    /// From when on an answer of which broker is missing.
    fn overdue(&self, side: Side) -> Vec<(Instant, i32)> {
        match side {
            Side::Source => self.fetching.overdue().collect(),
            Side::Target => self.producing.overdue(&self.target.cluster).collect(),
        }
    }

    fn dispatch_refresh(&mut self, side: Side, now: Instant) {
        if self.refresh_due(side).is_none_or(|due| due > now) {
            return;
        }
        if self.routed && side == Side::Target {
            self.name_topics();
        }
        let overdue = self.overdue(side);
        let end = self.end(side);
        overdue.iter().filter(|(at, _)| *at <= now).for_each(|(_, broker)| end.cluster.suspect(*broker));
        end.refreshing = true;
        end.refresh_wanted = false;
        end.refreshed_at = Some(now);
        let (cluster, topics) = (end.cluster.clone(), end.topics.clone());
        self.work.push(Box::pin(async move { Done::Refreshed(side, cluster.topics(Some(&topics)).await) }));
    }

    /// Finds out where each new partition begins, and gets it a producer id.
    fn dispatch_prepare(&mut self, now: Instant) {
        if self.preparing || self.unprepared.is_empty() || now < self.prepare_not_before {
            return;
        }
        let (partitions, seats) = (&self.partitions, &self.seats);
        self.unprepared.retain(|index| {
            let partition = &partitions[*index];
            seats[*index].stay == Stay::Copied && !partition.is_prepared() && partition.stopped().is_none()
        });
        let wanted = |index: &usize| {
            let (partition, seat) = (&partitions[*index], &seats[*index]);
            Wanted {
                index: *index,
                source: partition.source.clone(),
                target: partition.target.clone(),
                start: seat.start,
                anchored: seat.anchored,
                behind: seat.behind,
                transforms: partition.transforms(),
            }
        };
        let missing: Vec<Wanted> = self.unprepared.iter().map(wanted).collect();
        if missing.is_empty() {
            return;
        }
        self.preparing = true;
        let clusters = Clusters {
            source: self.source.cluster.clone(),
            target: self.target.cluster.clone(),
            anchoring: self.anchoring.stores.clone(),
            read_committed: self.settings.read_committed,
            budget: self.limits.budget.clone(),
        };
        self.work.push(Box::pin(async move { Done::Prepared(prepare(&clusters, missing).await) }));
    }

    /// Something about a partition has changed: it queues for what it can do now, or sets a timer.
    fn reconsider(&mut self, index: usize, now: Instant) {
        if let Some(from) = self.partitions[index].held_back_news(now) {
            self.tell_held_back(index, from);
        }
        let partition = &self.partitions[index];
        let holds = partition.held_bytes() > 0;
        if self.holding[index] != holds {
            self.holding[index] = holds;
            self.holding_count = if holds { self.holding_count + 1 } else { self.holding_count - 1 };
            self.sweeps_left = LAST_SWEEPS;
            self.limits.partition_holds(holds);
        }
        if let Some(at) = partition.wakes_at(now) {
            self.timers.insert((at, index));
        }
        if let Some(gap) = self.partitions[index].take_put_off().filter(|_| self.seats[index].stay != Stay::Left) {
            self.meet_at_rest(index, gap);
        }
        if self.partitions[index].is_leaving() {
            self.begin_behind(index);
        }
        if self.routed && !self.asking.contains(&index) {
            self.turn(index, now);
        }
        if let Some(what) = self.partitions[index].must_look(now) {
            self.look(index, what, now);
        }
        if self.partitions[index].awaits_anchor() {
            self.anchoring.moved.insert(index);
            self.anchoring.hurry();
        }
        if self.asking.contains(&index) {
            return;
        }
        self.queue_for_fetch(index, now);
        self.queue_for_produce(index, now);
    }

    fn reconsider_all(&mut self, now: Instant) {
        (0..self.partitions.len()).for_each(|index| self.reconsider(index, now));
    }

    fn sweep(&mut self, now: Instant) {
        self.swept_at = now;
        self.limits.budget.trim();
        self.sweeps_left = self.sweeps_left.saturating_sub(1);
        if self.holding_count == 0 {
            if self.sweeps_left == 0 {
                foreign::give_back_memory();
            }
            return;
        }
        let mut given = 0;
        for index in 0..self.partitions.len() {
            let budget = &self.limits.budget;
            if self.holding[index] && self.partitions[index].give_back_if_stuck(now, |bytes| budget.copy(bytes)) {
                given += 1;
                self.fetching.leave(index);
            }
        }
        if given > 0 {
            tracing::debug!(flow = self.name, partitions = given, "bytes given back: the target does not take them");
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.holding.iter().filter(|holds| **holds).for_each(|_| self.limits.partition_holds(false));
    }
}
