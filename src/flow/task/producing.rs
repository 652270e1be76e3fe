//! The target side of a flow: which batches go out in which request.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use wire::{Cluster, ProduceBatch, ProduceLane, Produced, ResponseError};

use super::{Done, OVERDUE, Side, Task, queues::Queues};
use crate::flow::partition::Verdict;

/// Limit of a Produce request, bytes; a larger batch goes alone.
const PRODUCE_BYTES: usize = 4 * 1024 * 1024;
/// Produce requests under way over one connection: Kafka's `max.in.flight.requests.per.connection`.
const MOST_UNDER_WAY: usize = 5;
/// A broker works on one request of a connection at a time, so a second one bridges the way there and back where that is short. More only go
/// out as fast as this, so that on a short way requests stay wide.
const BRIDGING: usize = 2;
const PIPELINE_PAUSE: Duration = Duration::from_millis(10);
/// How long a leader waits for its followers before it says that they are slow. Then the partition's batches go apart from the others', which
/// had to wait with it.
pub(super) const ACKS_WAIT: Duration = Duration::from_millis(1_500);

/// A connection to a target broker.
type Way = (i32, ProduceLane);

#[derive(Debug)]
pub(super) struct Producing {
    ready: Queues<Way>,
    ways: HashMap<Way, UnderWay>,
    /// Of each partition, the batches whose requests are under way.
    out: Vec<usize>,
}

#[derive(Debug)]
struct UnderWay {
    requests: usize,
    last_sent: Instant,
    /// From when on an answer is missing.
    overdue: Instant,
}

/// A Produce request that came back: its partitions, with the source offset at which the batch of each begins.
pub(super) struct Sent {
    way: Way,
    batches: Vec<(usize, i64)>,
    answer: wire::Result<Vec<Produced>>,
}

impl Producing {
    pub(super) fn new() -> Self {
        Self { ready: Queues::new(), ways: HashMap::new(), out: Vec::new() }
    }

    pub(super) fn make_room(&mut self, partitions: usize) {
        self.ready.make_room(partitions);
        self.out.resize(partitions, 0);
    }

    /// No answer about the partition is to come.
    pub(super) fn is_quiet(&self, index: usize) -> bool {
        self.out[index] == 0
    }

    pub(super) fn clear(&mut self) {
        self.ready.clear();
    }

    /// When a request that only waits to be a wide one may go.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        let waits = |(way, under_way): (&Way, &UnderWay)| {
            let waits = self.ready.len(*way) > 0 && (BRIDGING..MOST_UNDER_WAY).contains(&under_way.requests);
            waits.then_some(under_way.last_sent + PIPELINE_PAUSE)
        };
        self.ways.iter().filter_map(waits).min()
    }

    fn may_send(&self, way: Way, now: Instant) -> bool {
        self.ways.get(&way).is_none_or(|under_way| {
            under_way.requests < BRIDGING
                || (under_way.requests < MOST_UNDER_WAY && now.duration_since(under_way.last_sent) >= PIPELINE_PAUSE)
        })
    }

    fn sent(&mut self, way: Way, now: Instant) {
        let overdue = now + ACKS_WAIT + OVERDUE;
        let under_way = self.ways.entry(way).or_insert(UnderWay { requests: 0, last_sent: now, overdue });
        under_way.requests += 1;
        under_way.last_sent = now;
        if under_way.requests == 1 {
            under_way.overdue = overdue;
        }
    }

    fn came_back(&mut self, way: Way, now: Instant) {
        if let Some(under_way) = self.ways.get_mut(&way) {
            under_way.requests -= 1;
            under_way.overdue = now + ACKS_WAIT + OVERDUE;
        }
    }

    /// From when on an answer of which broker is missing.
    pub(super) fn overdue(&self, target: &Cluster) -> impl Iterator<Item = (Instant, i32)> {
        let waiting = self.ways.iter().filter(|(_, under_way)| under_way.requests > 0);
        waiting.map(|(way, under_way)| {
            // Requests wait out the broker's own wish for silence.
            let muted = target.produce_muted_until(way.0, way.1);
            let overdue = muted.map_or(under_way.overdue, |until| under_way.overdue.max(until + ACKS_WAIT + OVERDUE));
            (overdue, way.0)
        })
    }
}

impl Task {
    pub(super) fn queue_for_produce(&mut self, index: usize, now: Instant) {
        let partition = &self.partitions[index];
        if self.producing.ready.contains(index) || !self.may_produce(index, now) {
            return;
        }
        let lane = self.lane(index);
        match self.target.cluster.leader(&partition.target) {
            Some(leader) => self.producing.ready.push((leader.broker, lane), index, false),
            None => self.target.leaderless(&partition.target, &self.name),
        }
    }

    fn lane(&self, index: usize) -> ProduceLane {
        if self.partitions[index].goes_apart() { ProduceLane::Apart } else { ProduceLane::Shared }
    }

    fn may_produce(&self, index: usize, now: Instant) -> bool {
        let partition = &self.partitions[index];
        partition.has_batch(now, self.fresh_after)
            && !self.anchoring.is_overdue(now)
            && (self.goes_on(index) || partition.is_resending())
    }

    pub(super) fn dispatch_produce(&mut self, now: Instant) {
        // When its turn comes a partition may have another way than when it queued.
        loop {
            let mut ways = self.producing.ready.keys();
            ways.retain(|way| self.producing.may_send(*way, now));
            if ways.is_empty() {
                return;
            }
            for way in ways {
                while self.producing.ready.len(way) > 0 && self.producing.may_send(way, now) {
                    self.send_produce(way, now);
                }
            }
        }
    }

    /// One request: a batch of each partition that waits, as far as there is room.
    fn send_produce(&mut self, way: Way, now: Instant) {
        let (mut indices, mut batches, mut bytes) = (Vec::new(), Vec::<ProduceBatch>::new(), 0);
        let mut others = Vec::new();
        for _ in 0..self.producing.ready.len(way) {
            if bytes >= PRODUCE_BYTES {
                break;
            }
            let Some(index) = self.producing.ready.pop(way) else { break };
            if self.asking.contains(&index) || !self.may_produce(index, now) {
                continue;
            }
            let target = &self.partitions[index].target;
            // On the way it had before a batch could overtake one, or be overtaken: ways change only while nothing is out.
            if self.lane(index) != way.1 {
                others.push(index);
                continue;
            }
            // A request has one batch of a partition.
            if self.shares_targets && batches.iter().any(|batch| batch.partition == *target) {
                others.push(index);
                continue;
            }
            if let Some((base, mut batch)) = self.partitions[index].next_batch(now, self.fresh_after) {
                bytes += batch.header.len() + batch.payload.len();
                batch.tag = indices.len();
                self.producing.out[index] += 1;
                indices.push((index, base));
                batches.push(batch);
            }
        }
        for index in indices.iter().map(|(index, _)| *index).chain(others) {
            self.queue_for_produce(index, now);
        }
        if batches.is_empty() {
            return;
        }
        self.producing.sent(way, now);
        let cluster = self.target.cluster.clone();
        self.work.push(Box::pin(async move {
            let answer = cluster.produce_on(way.0, way.1, &batches, ACKS_WAIT).await;
            Done::Produced(Sent { way, batches: indices, answer })
        }));
    }

    pub(super) fn produced(&mut self, sent: Sent, now: Instant) {
        let Sent { way, mut batches, answer } = sent;
        self.producing.came_back(way, now);
        batches.iter().for_each(|(index, _)| self.producing.out[*index] -= 1);
        let what = || format!("Produce to broker {}", way.0);
        match answer {
            Ok(parts) => {
                self.target.worked(what, &self.name);
                for part in parts {
                    let Some((index, base)) = batches.get_mut(part.tag).filter(|(index, _)| *index != usize::MAX)
                    else {
                        continue;
                    };
                    let (index, base) = (std::mem::replace(index, usize::MAX), *base);
                    self.produced_one(index, base, &part, now);
                    self.reconsider(index, now);
                }
            }
            Err(cause) => {
                self.target.failed(what(), &cause.to_string(), &self.name);
                self.target.refresh_wanted = true;
            }
        }
        // Without an answer, or left out of it: nothing is known of them.
        for (index, base) in batches.into_iter().filter(|(index, _)| *index != usize::MAX) {
            self.partitions[index].unanswered(base, way.0, now, self.fresh_after);
            self.reconsider(index, now);
        }
    }

    fn produced_one(&mut self, index: usize, base: i64, part: &Produced, now: Instant) {
        let error = ResponseError::try_from_code(part.error);
        // Where the target's log can't be looked at, its leader is believed to have the batch already.
        let is_there = error == Some(ResponseError::DuplicateSequenceNumber) && !self.partitions[index].can_look();
        if error.is_none() || is_there {
            self.target.worked(|| format!("Produce to {}", self.partitions[index].target), &self.name);
            if let Some(last) = self.partitions[index].acknowledged(base, part.base_offset, now, self.fresh_after) {
                self.store(index, last);
                // Nothing may be left of what was opened.
                self.passed_over(index);
            }
            self.act_on_met(index);
            return;
        }
        let alias = self.target.cluster.alias().to_owned();
        let verdict = self.partitions[index].produce_refused(&alias, base, part, now);
        if self.partitions[index].fetches_elsewhere() {
            self.fetching.leave(index);
        }
        match verdict {
            Verdict::Wait => {
                let what = format!("Produce to {}", self.partitions[index].target);
                self.target.failed(what, &wire::code_name(part.error), &self.name);
            }
            Verdict::AskLimit => self.ask_limit(index),
            Verdict::Refresh | Verdict::Recode | Verdict::Stop => {}
        }
        self.act_on(verdict, Side::Target, index);
    }
}
