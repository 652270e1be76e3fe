//! When it is told where acknowledged records stand: not with each acknowledgement, but now and then.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::Task;
use crate::flow::Landings;

/// What comes in this time is told at once.
const EVERY: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Telling {
    /// Who is told, if anybody wants to know.
    to: Option<Arc<dyn Landings>>,
    /// Partitions of which there may be something to tell.
    moved: BTreeSet<usize>,
    next: Instant,
}

impl Telling {
    pub(super) fn new(to: Option<Arc<dyn Landings>>, now: Instant) -> Self {
        Self { to, moved: BTreeSet::new(), next: now }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.to.is_some()
    }

    /// More of a partition is acknowledged.
    pub(super) fn moved(&mut self, index: usize) {
        if self.is_wanted() {
            self.moved.insert(index);
        }
    }

    pub(super) fn wakes_at(&self) -> Option<Instant> {
        (!self.moved.is_empty()).then_some(self.next)
    }
}

impl Task {
    pub(super) fn dispatch_landings(&mut self, now: Instant) {
        if self.telling.wakes_at().is_none_or(|at| at > now) {
            return;
        }
        self.telling.next = now + EVERY;
        for index in std::mem::take(&mut self.telling.moved) {
            self.tell_landings(index);
        }
    }

    /// A partition is nobody's any more: what is known of it is told now.
    pub(super) fn tell_last_landings(&mut self, index: usize) {
        if self.telling.moved.remove(&index) {
            self.tell_landings(index);
        }
    }

    fn tell_landings(&mut self, index: usize) {
        if let Some(to) = &self.telling.to {
            self.partitions[index].tell_landings(&**to);
        }
    }
}
