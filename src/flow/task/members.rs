//! The flows that one task runs: they come and go, and what they copy shares connections and requests.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::{oneshot, watch};

use super::{Side, Task, fetching::Place};
use crate::flow::{
    FlowPartition, FlowStatus, Gap, Start,
    partition::{Behind, Partition},
    plan::PlanCounts,
};

/// What a flow's owner wants of the task that runs it.
pub(crate) enum Order {
    Join(Box<Joining>),
    /// Fetch no more for this flow, and say when all that it sent is resolved. Then it has left.
    Drain(u64, oneshot::Sender<()>),
    /// Forget this flow at once.
    Leave(u64),
}

/// A flow that is to be copied from now on.
pub(crate) struct Joining {
    /// Never used before.
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) partitions: Vec<FlowPartition>,
    /// Of each partition the last source offset that the target acknowledged.
    pub(crate) acknowledged: Arc<[AtomicI64]>,
    /// Of each partition the generation of its anchors.
    pub(crate) generations: Arc<[AtomicU64]>,
    /// Of its batches.
    pub(crate) counts: Arc<PlanCounts>,
    pub(crate) status: watch::Sender<FlowStatus>,
}

pub(super) struct Member {
    name: String,
    acknowledged: Arc<[AtomicI64]>,
    generations: Arc<[AtomicU64]>,
    status: watch::Sender<FlowStatus>,
    /// Its partitions' places in the task.
    places: Vec<usize>,
    drained: Option<oneshot::Sender<()>>,
}

/// Whose a partition is.
pub(super) struct Seat {
    member: u64,
    /// Which of the member's partitions it is.
    nth: usize,
    pub(super) start: Start,
    /// See [`FlowPartition::anchored`].
    pub(super) anchored: Option<u64>,
    /// It is to begin behind a gap.
    pub(super) behind: Option<Behind>,
    pub(super) stay: Stay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    Copied,
    /// Only what was sent counts.
    Drained,
    /// Nobody's. Answers about it may still come.
    Left,
}

impl Task {
    pub(super) fn obey(&mut self, order: Order) {
        match order {
            Order::Join(joining) => self.join(*joining),
            Order::Drain(id, drained) => self.drain(id, drained),
            Order::Leave(id) => self.leave(id),
        }
    }

    fn join(&mut self, joining: Joining) {
        let Joining { id, name, partitions, acknowledged, generations, counts, status } = joining;
        tracing::info!(flow = name, partitions = partitions.len(), "copying starts");
        let (mut free, left) = std::mem::take(&mut self.left).into_iter().partition(|index| self.is_quiet(*index));
        self.left = left;
        let places = partitions.into_iter().enumerate().map(|(nth, partition)| {
            let FlowPartition { source, target, start, anchored, transforms } = partition;
            let seat = Seat { member: id, nth, start, anchored, behind: None, stay: Stay::Copied };
            let mut partition = Partition::new(source, target, transforms, &self.write, Arc::clone(&counts));
            if self.telling.is_wanted() {
                partition.keep_landings();
            }
            self.seat(&mut free, seat, partition)
        });
        let places = places.collect();
        self.left.extend(free);
        self.members.insert(id, Member { name, acknowledged, generations, status, places, drained: None });
        self.name_topics();
        self.source.refresh_now();
        self.target.refresh_now();
    }

    /// Gives a partition one of the free places, or a new one.
    fn seat(&mut self, free: &mut Vec<usize>, seat: Seat, partition: Partition) -> usize {
        let index = free.pop().unwrap_or(self.partitions.len());
        if index == self.partitions.len() {
            self.partitions.push(partition);
            self.seats.push(seat);
            self.holding.push(false);
            self.fetching.make_room(index + 1);
            self.producing.make_room(index + 1);
        } else {
            self.partitions[index] = partition;
            self.seats[index] = seat;
        }
        self.unprepared.insert(index);
        index
    }

    /// No answer is to come about what was at this place.
    fn is_quiet(&self, index: usize) -> bool {
        self.fetching.place(index) == Place::Nowhere
            && self.producing.is_quiet(index)
            && !self.asking.contains(&index)
            && !self.partitions[index].is_recoding()
            && !self.unprepared.contains(&index)
    }

    fn drain(&mut self, id: u64, drained: oneshot::Sender<()>) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.drained = Some(drained);
        let (places, now) = (member.places.clone(), Instant::now());
        for index in places {
            self.seats[index].stay = Stay::Drained;
            self.fetching.leave(index);
            self.reconsider(index, now);
        }
        self.draining.push(id);
    }

    /// Lets go of the flows that wait for nothing but what was sent, and whose wait is over.
    pub(super) fn let_go(&mut self) {
        for id in self.draining.clone() {
            let Some(member) = self.members.get(&id) else { continue };
            if member.places.iter().any(|index| self.owes(*index)) {
                continue;
            }
            // What is stored last is all that was acknowledged: whoever goes on finds nothing to be looked for.
            if member.places.iter().any(|index| self.anchoring.concerns(*index)) {
                self.anchoring.hurry();
            } else {
                self.leave(id);
            }
        }
    }

    /// What comes next of it is copied: all, or what belongs to what was begun.
    pub(super) fn goes_on(&self, index: usize) -> bool {
        match self.seats[index].stay {
            Stay::Copied => true,
            Stay::Drained => self.partitions[index].is_in_part(),
            Stay::Left => false,
        }
    }

    /// Something was sent and is not acknowledged, or is of no use without what waits.
    fn owes(&self, index: usize) -> bool {
        let partition = &self.partitions[index];
        partition.is_unresolved() || (partition.is_in_part() && partition.stopped().is_none())
    }

    fn leave(&mut self, id: u64) {
        self.draining.retain(|draining| *draining != id);
        let Some(member) = self.members.remove(&id) else { return };
        let unresolved = member.places.iter().filter(|index| self.partitions[**index].is_unresolved()).count();
        let now = Instant::now();
        for index in member.places {
            self.seats[index].stay = Stay::Left;
            self.tell_last_landings(index);
            self.partitions[index].abandon();
            self.anchoring.forget(index);
            self.reconsider(index, now);
            self.fetching.leave(index);
            self.left.push(index);
        }
        self.name_topics();
        if unresolved > 0 {
            let flow = member.name;
            tracing::warn!(flow, unresolved, "batches are left without an answer; they will be copied again");
        } else if let Some(drained) = member.drained {
            tracing::info!(flow = member.name, "drained");
            // Its owner may have lost patience.
            let _ = drained.send(());
        }
    }

    pub(super) fn name_topics(&mut self) {
        let there = self.partitions.iter().zip(&self.seats).filter(|(_, seat)| seat.stay != Stay::Left);
        self.routed = there.clone().any(|(partition, _)| partition.is_routed());
        let mut targets = HashSet::new();
        self.shares_targets =
            self.routed || !there.map(|(partition, _)| &partition.target).all(|target| targets.insert(target));
        for side in [Side::Source, Side::Target] {
            let there = self.partitions.iter().zip(&self.seats).filter(|(_, seat)| seat.stay != Stay::Left);
            let mut topics: Vec<String> = there
                .map(|(partition, _)| match side {
                    Side::Source => partition.source.topic.clone(),
                    Side::Target => partition.target.topic.clone(),
                })
                .collect();
            topics.sort_unstable();
            topics.dedup();
            self.end(side).topics = topics;
        }
    }

    /// The target has acknowledged a partition's records up to this source offset.
    pub(super) fn store(&mut self, index: usize, offset: i64) {
        let seat = &self.seats[index];
        if let Some(member) = self.members.get(&seat.member) {
            member.acknowledged[seat.nth].store(offset, Ordering::Release);
        }
        self.telling.moved(index);
        if self.partitions[index].generation().is_some() {
            self.anchoring.moved.insert(index);
        }
    }

    /// Positions of a partition belong to anchors of this generation from now on.
    pub(super) fn anchored_as(&self, index: usize, generation: u64) {
        let seat = &self.seats[index];
        if let Some(member) = self.members.get(&seat.member) {
            member.generations[seat.nth].store(generation, Ordering::Release);
        }
    }

    /// Open transactions begin to hold records back for long, or no longer do.
    pub(super) fn tell_held_back(&self, index: usize, from: Option<i64>) {
        let partition = &self.partitions[index].source;
        let Some(member) = self.members.get(&self.seats[index].member) else { return };
        if let Some(offset) = from {
            let flow = &member.name;
            tracing::warn!(flow, %partition, offset, "a transaction that stays open holds back what comes behind it");
        }
        member.status.send_modify(|status| {
            match from {
                Some(offset) => status.held_back.insert(partition.clone(), offset),
                None => status.held_back.remove(partition),
            };
        });
    }

    /// Records of a partition could not be written.
    pub(super) fn tell_poison(&self, index: usize) {
        let partition = &self.partitions[index];
        let Some((count, member)) = partition.poison().zip(self.members.get(&self.seats[index].member)) else { return };
        member.status.send_if_modified(|status| {
            let told = status.poison.entry(partition.source.clone()).or_default();
            let new = count.records - told.records;
            if new > 0 {
                let (flow, last, reason) = (&member.name, count.next - 1, &count.last);
                tracing::warn!(flow, partition = %partition.source, records = new, last, reason, "records can't be written");
                told.clone_from(count);
            }
            new > 0
        });
    }

    /// A partition goes on behind a gap.
    pub(super) fn tell_gap(&self, index: usize, gap: &Gap) {
        let Some(member) = self.members.get(&self.seats[index].member) else { return };
        member.status.send_modify(|status| {
            let text = format!("{}: {gap}", gap.kind());
            status.gaps.insert(self.partitions[index].source.clone(), text);
        });
    }

    pub(super) fn tell_stopped(&self, index: usize) {
        let partition = &self.partitions[index];
        let Some((reason, member)) = partition.stopped().zip(self.members.get(&self.seats[index].member)) else {
            return;
        };
        tracing::error!(flow = member.name, partition = %partition.source, %reason, "partition stopped");
        member.status.send_modify(|status| {
            status.stopped.entry(partition.source.clone()).or_insert_with(|| reason.to_string());
        });
    }
}
