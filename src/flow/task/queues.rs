//! Partitions that wait for their turn, first come, first served, each at one broker.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Queues of partitions (by index), one for each `K`; a partition is in one of them at most.
#[derive(Debug)]
pub(super) struct Queues<K> {
    by_key: HashMap<K, VecDeque<usize>>,
    queued: Vec<bool>,
}

impl<K: Copy + Eq + Hash> Queues<K> {
    pub(super) fn new() -> Self {
        Self { by_key: HashMap::new(), queued: Vec::new() }
    }

    /// For so many partitions from now on; never for fewer.
    pub(super) fn make_room(&mut self, partitions: usize) {
        self.queued.resize(partitions, false);
    }

    pub(super) fn contains(&self, index: usize) -> bool {
        self.queued[index]
    }

    /// At the end of the queue, or at its head; nothing if it is queued already.
    pub(super) fn push(&mut self, key: K, index: usize, first: bool) {
        if !std::mem::replace(&mut self.queued[index], true) {
            let queue = self.by_key.entry(key).or_default();
            if first { queue.push_front(index) } else { queue.push_back(index) }
        }
    }

    pub(super) fn pop(&mut self, key: K) -> Option<usize> {
        let index = self.by_key.get_mut(&key)?.pop_front()?;
        self.queued[index] = false;
        Some(index)
    }

    pub(super) fn len(&self, key: K) -> usize {
        self.by_key.get(&key).map_or(0, VecDeque::len)
    }

    /// Those that somebody waits at.
    pub(super) fn keys(&self) -> Vec<K> {
        self.by_key.iter().filter(|(_, queue)| !queue.is_empty()).map(|(key, _)| *key).collect()
    }

    /// Nobody waits any more: leaders may have changed, and everybody has to queue again.
    pub(super) fn clear(&mut self) {
        self.by_key.clear();
        self.queued.fill(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_waits_once_and_in_order() {
        let mut queues = Queues::new();
        queues.make_room(4);
        for (broker, index, first) in [(1, 0, false), (1, 2, false), (2, 3, false), (1, 1, true), (2, 0, false)] {
            queues.push(broker, index, first);
        }
        assert_eq!((queues.len(1), queues.len(2), queues.contains(0)), (3, 1, true));
        assert_eq!([queues.pop(1), queues.pop(1), queues.pop(1), queues.pop(1)], [Some(1), Some(0), Some(2), None]);
        assert_eq!(queues.keys(), [2]);
        queues.push(1, 0, false);
        queues.clear();
        assert!(queues.keys().is_empty() && !queues.contains(0) && !queues.contains(3));
    }
}
