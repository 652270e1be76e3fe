//! When it is stored how far copies are.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{Done, Task, members::Stay};
use crate::{
    flow,
    offsets::{self, Link},
};

/// How often what has moved is stored. Whoever takes over reads so much of the target again.
const EVERY: Duration = Duration::from_secs(1);
/// After this long without being able to store anything, nothing more is sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// Of which partition something is being stored.
#[derive(Debug)]
pub(super) struct Owner {
    index: usize,
    generation: u64,
    link: Link,
}

#[derive(Debug)]
pub(super) struct Anchoring {
    /// Absent where nothing may be stored.
    pub(super) stores: Option<flow::Anchoring>,
    /// Partitions of which more is acknowledged than is stored.
    pub(super) moved: BTreeSet<usize>,
    /// Those of which that is being stored.
    storing: BTreeSet<usize>,
    is_under_way: bool,
    next: Instant,
    /// Since when nothing could be stored.
    failing_since: Option<Instant>,
}

impl Anchoring {
    pub(super) fn new(stores: Option<flow::Anchoring>, now: Instant) -> Self {
        let (moved, storing) = (BTreeSet::new(), BTreeSet::new());
        Self { stores, moved, storing, is_under_way: false, next: now, failing_since: None }
    }

    /// Something of a partition is not stored.
    pub(super) fn concerns(&self, index: usize) -> bool {
        self.moved.contains(&index) || self.storing.contains(&index)
    }

    /// A partition is nobody's any more: what is being stored of it concerns nobody.
    pub(super) fn forget(&mut self, index: usize) {
        self.moved.remove(&index);
        self.storing.remove(&index);
    }

    /// Somebody waits for it.
    pub(super) fn hurry(&mut self) {
        if self.failing_since.is_none() {
            self.next = Instant::now();
        }
    }

    pub(super) fn wakes_at(&self) -> Option<Instant> {
        (!self.moved.is_empty() && !self.is_under_way).then_some(self.next)
    }

    /// Nothing has been stored for so long that more would be too much to look for.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.failing_since.is_some_and(|since| now.duration_since(since) >= PATIENCE)
    }
}

impl Task {
    pub(super) fn dispatch_anchoring(&mut self, now: Instant) {
        if self.anchoring.wakes_at().is_none_or(|at| at > now) {
            return;
        }
        let Some(stores) = self.anchoring.stores.clone() else { return self.anchoring.moved.clear() };
        self.anchoring.next = now + EVERY;
        let (mut updates, mut owners) = (Vec::new(), Vec::new());
        for index in std::mem::take(&mut self.anchoring.moved) {
            if self.seats[index].stay == Stay::Left {
                continue;
            }
            let partition = &mut self.partitions[index];
            let epoch = self.target.cluster.leader(&partition.target).map_or(-1, |leader| leader.epoch);
            if let Some(update) = partition.anchor(epoch) {
                self.anchoring.storing.insert(index);
                let link = link(&stores.connector, partition);
                owners.push(Owner { index, generation: update.anchor().generation, link: link.clone() });
                updates.push((link, update));
            }
        }
        if !updates.is_empty() {
            self.anchoring.is_under_way = true;
            self.work.push(Box::pin(async move { Done::Anchored(owners, stores.maps.write(updates).await) }));
        }
    }

    pub(super) fn anchored(
        &mut self,
        mut owners: Vec<Owner>,
        outcome: Result<Vec<Link>, offsets::Error>,
        now: Instant,
    ) {
        self.anchoring.is_under_way = false;
        // Their places may be others' by now.
        owners.retain(|owner| {
            let is_there = self.seats[owner.index].stay != Stay::Left;
            is_there && self.partitions[owner.index].generation() == Some(owner.generation)
        });
        for owner in &owners {
            self.anchoring.storing.remove(&owner.index);
        }
        let what = || "storing anchors".to_owned();
        let superseded = match outcome {
            Ok(superseded) => superseded,
            Err(cause) => {
                self.target.failed(what(), &cause.to_string(), &self.name);
                self.anchoring.failing_since.get_or_insert(now);
                self.anchoring.moved.extend(owners.iter().map(|owner| owner.index));
                return;
            }
        };
        self.target.worked(what, &self.name);
        let waited = self.anchoring.is_overdue(now);
        self.anchoring.failing_since = None;
        for Owner { index, link, .. } in owners {
            if superseded.contains(&link) {
                self.superseded(index);
            } else if self.partitions[index].anchored() || self.partitions[index].is_leaving() {
                self.reconsider(index, now);
            }
        }
        if waited {
            self.reconsider_all(now);
        }
    }

    /// Somebody else copies this partition now.
    fn superseded(&mut self, index: usize) {
        if self.seats[index].stay != Stay::Left && self.partitions[index].stopped().is_none() {
            self.partitions[index].superseded();
            self.tell_stopped(index);
        }
    }
}

pub(super) fn link(connector: &str, partition: &super::Partition) -> Link {
    Link { connector: connector.to_owned(), source: partition.source.clone(), target: partition.target.clone() }
}
