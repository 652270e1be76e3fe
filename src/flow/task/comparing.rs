//! What somebody else has copied is compared with its source, beside the copy, so that groups that are still there are told exactly where to
//! go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use wire::TopicPartition;

use super::{Done, Task, members::Stay};
use crate::flow::{
    Pair,
    takeover::{Compared, Copied, compare},
};

/// Partitions that are compared at the same time.
const AT_ONCE: usize = 2;
/// Before it is tried again where a cluster does not answer.
const AGAIN: Duration = Duration::from_secs(30);
/// What is tried.
const COMPARING: &str = "comparing what was copied before";

/// Of which partition something was found.
#[derive(Debug)]
pub(super) struct Looked {
    index: usize,
    generation: Option<u64>,
    until: i64,
    /// Ids, source and target.
    topics: (u128, u128),
}

#[derive(Debug)]
pub(super) struct Comparing {
    /// Partitions that are to be compared.
    due: BTreeSet<usize>,
    /// What is noted of them, once that was asked.
    pairs: Option<BTreeMap<TopicPartition, Vec<Pair>>>,
    is_asking: bool,
    under_way: usize,
    not_before: Instant,
    /// Partitions compared, and records found, since the log was told last.
    done: (u64, u64),
}

impl Comparing {
    pub(super) fn new(now: Instant) -> Self {
        Self { due: BTreeSet::new(), pairs: None, is_asking: false, under_way: 0, not_before: now, done: (0, 0) }
    }

    pub(super) fn wakes_at(&self) -> Option<Instant> {
        (!self.due.is_empty() && !self.is_asking && self.under_way == 0).then_some(self.not_before)
    }
}

impl Task {
    /// Where something is to be compared before this partition's map.
    pub(super) fn compare_later(&mut self, index: usize) {
        if self.partitions[index].uncompared().is_some() {
            self.comparing.due.insert(index);
        }
    }

    pub(super) fn dispatch_comparing(&mut self, now: Instant) {
        if self.comparing.due.is_empty() || self.comparing.is_asking || now < self.comparing.not_before {
            return;
        }
        let Some(noted) = self.anchoring.stores.as_ref().and_then(|stores| stores.noted.clone()) else {
            return self.comparing.due.clear();
        };
        let (partitions, seats) = (&self.partitions, &self.seats);
        let uncompared = |index: usize| partitions[index].uncompared().filter(|_| seats[index].stay == Stay::Copied);
        self.comparing.due.retain(|index| uncompared(*index).is_some());
        while self.comparing.under_way < AT_ONCE {
            let source = |index: &usize| &partitions[*index].source;
            let Some(pairs) = &mut self.comparing.pairs else {
                let until = self.comparing.due.iter().filter_map(|i| Some((source(i).clone(), uncompared(*i)?)));
                let asked = noted.before(until.collect());
                self.comparing.is_asking = !self.comparing.due.is_empty();
                if self.comparing.is_asking {
                    self.work.push(Box::pin(async move { Done::Noted(asked.await) }));
                }
                return;
            };
            let Some(index) = self.comparing.due.iter().copied().find(|index| pairs.contains_key(source(index))) else {
                // Others have joined since: they are asked about when these are done.
                if self.comparing.under_way == 0 {
                    self.comparing.pairs = None;
                    continue;
                }
                return;
            };
            self.comparing.due.remove(&index);
            let (from, to) = (partitions[index].source.clone(), partitions[index].target.clone());
            let pairs = pairs.remove(&from).unwrap_or_default();
            let Some(until) = uncompared(index) else { continue };
            let partition = &partitions[index];
            let topics = (partition.source_id, partition.target_id);
            let looked = Looked { index, generation: partition.generation(), until, topics };
            let (source, target) = (self.source.cluster.clone(), self.target.cluster.clone());
            let (read_committed, limits, rate) = (self.settings.read_committed, self.limits.clone(), self.rate.clone());
            self.comparing.under_way += 1;
            self.work.push(Box::pin(async move {
                let copied = Copied { from: &from, to: &to, read_committed, transforms: None, compacted: false };
                Done::Compared(looked, compare(&source, &target, copied, (&pairs, until), (&limits, &rate)).await)
            }));
        }
    }

    pub(super) fn noted(&mut self, pairs: Result<BTreeMap<TopicPartition, Vec<Pair>>, String>, now: Instant) {
        self.comparing.is_asking = false;
        match pairs {
            Ok(pairs) => self.comparing.pairs = Some(pairs),
            Err(cause) => self.comparing_failed(&cause, now),
        }
    }

    pub(super) fn compared(&mut self, looked: Looked, outcome: wire::Result<Compared>, now: Instant) {
        self.comparing.under_way -= 1;
        let Looked { index, generation, until, topics } = looked;
        // Its place may be another's by now.
        let is_there = self.seats[index].stay != Stay::Left && self.partitions[index].generation() == generation;
        match outcome {
            Ok(Compared { map, records }) => {
                self.source.worked(|| COMPARING.to_owned(), &self.name);
                if is_there {
                    self.partitions[index].compared(until, topics, map);
                    self.anchoring.moved.insert(index);
                    self.comparing.done = (self.comparing.done.0 + 1, self.comparing.done.1 + records);
                }
            }
            Err(cause) => {
                self.comparing.due.extend(is_there.then_some(index));
                self.comparing_failed(&cause.to_string(), now);
            }
        }
        if self.comparing.due.is_empty() && self.comparing.under_way == 0 {
            self.comparing.pairs = None;
            let (partitions, records) = std::mem::take(&mut self.comparing.done);
            tracing::info!(flow = self.name, partitions, records, "compared what was copied before by another");
        }
    }

    fn comparing_failed(&mut self, cause: &str, now: Instant) {
        self.source.failed(COMPARING.to_owned(), cause, &self.name);
        self.comparing.not_before = now + AGAIN;
    }
}
