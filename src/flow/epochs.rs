//! Leader epochs of what was fetched of a partition: by them a log that is not the same any more is known (KIP-101, KIP-320). Pure.

use std::collections::VecDeque;

use wire::EpochEnd;

/// Changes of the epoch that are remembered: more do not lie between what is fetched and what is acknowledged.
const REMEMBERED: usize = 8;
/// In place of the first offset of an epoch that began before anything was fetched.
const UNKNOWN: i64 = i64::MIN;

/// Epochs, each with the first offset fetched of it, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Epochs(VecDeque<(i32, i64)>);

impl Epochs {
    /// What was copied before ended in this epoch; −1 for an unknown one.
    pub(crate) fn starting_with(epoch: i32) -> Self {
        Self((epoch >= 0).then_some((epoch, UNKNOWN)).into_iter().collect())
    }

    /// A batch that begins at this offset was fetched. −1 for one without an epoch.
    pub(crate) fn seen(&mut self, epoch: i32, offset: i64) {
        while self.0.back().is_some_and(|(known, first)| *first >= offset || *known > epoch) {
            self.0.pop_back();
        }
        if epoch < 0 || self.0.back().is_some_and(|(known, _)| *known == epoch) {
            return;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((epoch, offset));
    }

    /// Epoch of the record before an offset, −1 where that is not known.
    pub(crate) fn before(&self, offset: i64) -> i32 {
        self.0.iter().rev().find(|(_, first)| *first < offset).map_or(-1, |(epoch, _)| *epoch)
    }

    /// What the leader has of the epoch of the record before `position`, or of the largest epoch below it, is `told`: the first offset from
    /// which on it has not what was fetched, if there is one.
    pub(crate) fn diverged_at(&self, position: i64, told: EpochEnd) -> Option<i64> {
        let epoch = self.before(position);
        if epoch < 0 || (told.leader_epoch == epoch && told.end_offset >= position) {
            return None;
        }
        let next = self.0.iter().find(|(known, _)| *known > told.leader_epoch).map(|(_, first)| *first);
        let ended = next.filter(|first| *first != UNKNOWN).unwrap_or(position);
        Some(ended.min(told.end_offset).min(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(leader_epoch: i32, end_offset: i64) -> EpochEnd {
        EpochEnd { leader_epoch, end_offset }
    }

    fn fetched(batches: &[(i32, i64)]) -> Epochs {
        let mut epochs = Epochs::default();
        batches.iter().for_each(|(epoch, offset)| epochs.seen(*epoch, *offset));
        epochs
    }

    #[test]
    fn the_epoch_before_an_offset() {
        let epochs = fetched(&[(2, 0), (2, 10), (5, 20), (7, 30)]);
        let before: Vec<_> = [0, 1, 20, 21, 30, 31, 99].into_iter().map(|offset| epochs.before(offset)).collect();
        assert_eq!(before, [-1, 2, 2, 5, 5, 7, 7]);
        assert_eq!(Epochs::starting_with(3).before(0), 3);
        assert_eq!(Epochs::starting_with(-1), Epochs::default());
    }

    #[test]
    fn what_is_fetched_again_counts_as_it_is_now() {
        let mut epochs = fetched(&[(2, 0), (5, 20), (7, 30)]);
        epochs.seen(6, 20);
        assert_eq!(epochs, fetched(&[(2, 0), (6, 20)]));
        epochs.seen(-1, 40);
        assert_eq!(epochs, Epochs::default(), "old messages have none");
        let many: Vec<_> = (0..20).map(|n| (n, i64::from(n) * 10)).collect();
        assert_eq!(fetched(&many), fetched(&many[12..]));
    }

    #[test]
    fn logs_part_where_an_epoch_ended_first() {
        let epochs = fetched(&[(2, 0), (5, 20), (7, 30)]);
        for (answer, at) in [
            (told(7, 40), None),
            (told(7, 99), None),
            (told(7, 35), Some(35)),
            (told(6, 28), Some(28)),
            (told(6, 50), Some(30)),
            (told(5, 50), Some(30)),
            (told(5, 25), Some(25)),
            (told(3, 99), Some(20)),
            (told(-1, 99), Some(0)),
        ] {
            assert_eq!(epochs.diverged_at(40, answer), at, "{answer:?}");
        }
        let anchored = Epochs::starting_with(7);
        assert_eq!(anchored.diverged_at(40, told(7, 35)), Some(35));
        assert_eq!(anchored.diverged_at(40, told(5, 99)), Some(40), "nobody knows where");
        assert_eq!(Epochs::default().diverged_at(40, told(5, 9)), None, "there is nothing to compare");
    }
}
