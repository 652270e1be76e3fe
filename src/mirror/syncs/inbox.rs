//! What the data path tells, until offset syncs are made of it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;
use wire::TopicPartition;

use crate::flow::{Landings, Stretch};

/// Stretches of a partition that wait. MirrorMaker, too, lets go of older ones where syncs can't be sent as fast as they come.
const MOST_WAITING: usize = 16;

/// Stretches that wait, by partition and in the order of the copy.
pub(super) type Waiting = HashMap<TopicPartition, VecDeque<Stretch>>;

/// Takes in what was acknowledged, in bounded room.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    /// There is something.
    pub(super) news: Notify,
}

impl Inbox {
    /// All that waits.
    pub(super) fn take(&self) -> Waiting {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Landings for Inbox {
    fn landed(&self, partition: &TopicPartition, stretches: &[Stretch]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let of_partition = match waiting.get_mut(partition) {
            Some(of_partition) => of_partition,
            None => waiting.entry(partition.clone()).or_default(),
        };
        for next in stretches {
            if of_partition.back_mut().is_some_and(|last| last.join(*next)) {
                continue;
            }
            if of_partition.len() == MOST_WAITING {
                of_partition.pop_front();
            }
            of_partition.push_back(*next);
        }
        drop(waiting);
        self.news.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(source: i64, target: i64, records: u64) -> Stretch {
        Stretch { source, target, records }
    }

    #[test]
    fn the_newest_stretches_wait_joined() {
        let (inbox, one, two) = (Inbox::default(), TopicPartition::new("t", 0), TopicPartition::new("t", 1));
        inbox.landed(&one, &[stretch(0, 10, 5), stretch(5, 15, 5)]);
        inbox.landed(&two, &[stretch(7, 0, 1)]);
        inbox.landed(&one, &[stretch(10, 20, 1), stretch(12, 21, 1)]);
        let mut taken = inbox.take();
        assert_eq!(taken.remove(&one).unwrap(), [stretch(0, 10, 11), stretch(12, 21, 1)]);
        assert_eq!(taken.remove(&two).unwrap(), [stretch(7, 0, 1)]);
        assert!(inbox.take().is_empty());

        let many: Vec<Stretch> = (0..100).map(|nth| stretch(2 * nth, nth, 1)).collect();
        inbox.landed(&one, &many);
        let kept = inbox.take().remove(&one).unwrap();
        assert_eq!((kept.len(), kept.back()), (MOST_WAITING, many.last()));
    }
}
