//! Where copied records have come to stand, for whoever takes notes of it.

use std::fmt::Debug;

use wire::TopicPartition;

/// Records that were acknowledged: `records` consecutive source offsets from `source` on, at consecutive target offsets from `target` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Source offset of the first.
    pub source: i64,
    /// Its target offset.
    pub target: i64,
    /// How many.
    pub records: u64,
}

impl Stretch {
    /// Takes in one that follows right behind at both ends. False if it does not.
    pub fn join(&mut self, next: Self) -> bool {
        let follows = |from: i64, to: i64| i64::try_from(self.records).is_ok_and(|by| from.checked_add(by) == Some(to));
        let joins = follows(self.source, next.source) && follows(self.target, next.target);
        if joins {
            self.records += next.records;
        }
        joins
    }
}

/// Told of what the target has acknowledged.
pub trait Landings: Debug + Send + Sync {
    /// Of a source partition, in the order of the copy, now and then: the newest stretches where there are many. The data path waits for it: it must
    /// neither block nor fail. Partitions whose records choose their topics are not told of, since their offsets are of several topics.
    fn landed(&self, partition: &TopicPartition, stretches: &[Stretch]);
}

/// Stretches of a partition that wait to be told. Those of a transactional topic are short; of more than these, the newest are kept.
const MOST_FRESH: usize = 16;

/// What is to be told of one partition.
#[derive(Debug, Default)]
pub(super) struct Fresh(Option<Vec<Stretch>>);

impl Fresh {
    /// Keeps what comes, from now on.
    pub(super) fn keep(&mut self) {
        self.0.get_or_insert_default();
    }

    pub(super) fn push(&mut self, next: Stretch) {
        let Some(fresh) = &mut self.0 else { return };
        if fresh.last_mut().is_some_and(|last| last.join(next)) {
            return;
        }
        if fresh.len() == MOST_FRESH {
            fresh.remove(0);
        }
        fresh.push(next);
    }

    pub(super) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Hands over what there is.
    pub(super) fn tell(&mut self, partition: &TopicPartition, landings: &dyn Landings) {
        if let Some(fresh) = self.0.as_mut().filter(|fresh| !fresh.is_empty()) {
            landings.landed(partition, fresh);
            fresh.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn stretch(source: i64, target: i64, records: u64) -> Stretch {
        Stretch { source, target, records }
    }

    #[derive(Debug, Default)]
    struct Told(Mutex<Vec<Stretch>>);

    impl Landings for Told {
        fn landed(&self, _: &TopicPartition, stretches: &[Stretch]) {
            self.0.lock().unwrap().extend(stretches);
        }
    }

    #[test]
    fn what_follows_at_both_ends_is_one_stretch() {
        let mut first = stretch(10, 3, 5);
        assert!(first.join(stretch(15, 8, 2)));
        assert_eq!(first, stretch(10, 3, 7));
        for other in [stretch(18, 10, 1), stretch(17, 11, 1), stretch(10, 3, 1)] {
            assert!(!first.join(other), "{other:?}");
        }
        assert!(!stretch(i64::MAX, 0, 1).join(stretch(i64::MIN, 1, 1)));
    }

    #[test]
    fn only_what_is_kept_is_told_and_once() {
        let (told, partition) = (Told::default(), TopicPartition::new("t", 0));
        let mut fresh = Fresh::default();
        fresh.push(stretch(0, 0, 1));
        fresh.tell(&partition, &told);
        assert_eq!(*told.0.lock().unwrap(), []);
        fresh.keep();
        for next in [stretch(1, 1, 2), stretch(3, 3, 1), stretch(5, 4, 1)] {
            fresh.push(next);
        }
        fresh.tell(&partition, &told);
        fresh.tell(&partition, &told);
        assert_eq!(*told.0.lock().unwrap(), [stretch(1, 1, 3), stretch(5, 4, 1)]);
        told.0.lock().unwrap().clear();
        (0..100).for_each(|nth| fresh.push(stretch(2 * nth, nth, 1)));
        fresh.tell(&partition, &told);
        let told = told.0.lock().unwrap();
        assert_eq!((told.len(), told.last()), (MOST_FRESH, Some(&stretch(198, 99, 1))));
    }
}
