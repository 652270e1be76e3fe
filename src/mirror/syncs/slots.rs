//! The syncs kept of one partition: dense where the copy is now, ever sparser towards its beginning.

use crate::records::OffsetSyncValue;

/// One slot for each bit of an offset.
const SLOTS: usize = 64;

/// Up to 64 slots, each with a sync, newest first, as Kafka's `OffsetSyncStore` keeps them. With up(i) for the upstream offset in slot i, and
/// where slots i < j have different syncs:
///
/// - slot 0 has the newest sync, slot 63 the oldest that is usable;
/// - *recent enough*: up(i) ≤ up(j) + 2^j − 2^i, so that of what lies 2^j back at most one in 2^j offsets is lost;
/// - *apart enough*: up(i) ≥ up(j) + 2^max(i−2, 0), so that slots are not spent on neighbours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slots {
    /// Never empty. One that stands in several slots is here once.
    kept: Vec<Kept>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    sync: OffsetSyncValue,
    /// The first slot that it stands in; it stands in all up to the next one's.
    slot: usize,
}

impl Slots {
    pub(super) fn new(sync: OffsetSyncValue) -> Self {
        Self { kept: vec![Kept { sync, slot: 0 }] }
    }

    /// Takes the newest sync in. Where the copy has gone back at the source, nothing from before counts.
    pub(super) fn add(&mut self, sync: OffsetSyncValue) {
        if self.kept.first().is_some_and(|newest| sync.upstream_offset < newest.sync.upstream_offset) {
            *self = Self::new(sync);
            return;
        }
        let before = self.slots();
        // Syncs by number: those that were kept, then the new one.
        let new = self.kept.len();
        let up = |number: usize| self.kept.get(number).map_or(sync, |kept| kept.sync).upstream_offset;
        let mut slots = before;
        slots[0] = new;
        let mut replacement = new;
        // The slot, as they were before, whose sync may move up next.
        let mut candidate = 0;
        for slot in 1..SLOTS {
            let previous = slots[slot - 1];
            loop {
                let number = before[candidate];
                let is_apart_from_previous = is_apart((previous, up(previous)), (number, up(number)), slot - 1);
                let fits = is_apart_from_previous
                    && is_recent((previous, up(previous)), (number, up(number)), slot - 1, slot)
                    && slots.get(slot + 1).is_none_or(|&next| is_apart((number, up(number)), (next, up(next)), slot));
                if fits {
                    replacement = number;
                }
                let is_repeated = before.get(candidate + 1) == Some(&number);
                // One that is too near to its predecessor now will be so further up too.
                let is_of_no_use = is_repeated || !is_apart_from_previous;
                if fits || is_of_no_use {
                    candidate += 1;
                }
                if !is_of_no_use || candidate >= slot {
                    break;
                }
            }
            if is_recent((previous, up(previous)), (slots[slot], up(slots[slot])), slot - 1, slot) {
                // So are those further up.
                break;
            }
            slots[slot] = replacement;
        }
        self.keep(&slots, sync);
    }

    /// The newest sync at or before a source offset. `Err` is the oldest there is, where that is behind the offset.
    pub(super) fn at(&self, upstream_offset: i64) -> Result<OffsetSyncValue, i64> {
        let found = self.kept.iter().find(|kept| kept.sync.upstream_offset <= upstream_offset);
        found.map(|kept| kept.sync).ok_or_else(|| self.kept.last().map_or(i64::MAX, |kept| kept.sync.upstream_offset))
    }

    /// For each slot, which of the kept ones stands in it.
    fn slots(&self) -> [usize; SLOTS] {
        let mut slots = [0; SLOTS];
        for (number, kept) in self.kept.iter().enumerate() {
            slots[kept.slot..].fill(number);
        }
        slots
    }

    fn keep(&mut self, slots: &[usize; SLOTS], new: OffsetSyncValue) {
        let mut kept: Vec<Kept> = Vec::with_capacity(self.kept.len() + 1);
        for slot in 0..SLOTS {
            if slot == 0 || slots[slot] != slots[slot - 1] {
                let sync = self.kept.get(slots[slot]).map_or(new, |kept| kept.sync);
                kept.push(Kept { sync, slot });
            }
        }
        kept.shrink_to_fit();
        self.kept = kept;
    }
}

/// Syncs by number and upstream offset: whether that in slot `j` is not too old, given that in slot `i`.
fn is_recent((newer, up_i): (usize, i64), (older, up_j): (usize, i64), i: usize, j: usize) -> bool {
    newer == older || i128::from(up_i) <= i128::from(up_j) + (1 << j) - (1 << i)
}

/// Whether an older one is far enough from that in slot `i`.
fn is_apart((newer, up_i): (usize, i64), (older, up_j): (usize, i64), i: usize) -> bool {
    newer == older || i128::from(up_i) >= i128::from(up_j) + (1 << i.saturating_sub(2))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn sync(offset: i64) -> OffsetSyncValue {
        OffsetSyncValue { upstream_offset: offset, downstream_offset: offset }
    }

    fn kept(slots: &Slots) -> Vec<i64> {
        slots.kept.iter().rev().map(|kept| kept.sync.upstream_offset).collect()
    }

    fn check_invariants(slots: &Slots) {
        let numbers = slots.slots();
        let up = |slot: usize| i128::from(slots.kept[numbers[slot]].sync.upstream_offset);
        for j in 0..SLOTS {
            for i in (0..j).filter(|i| up(*i) != up(j)) {
                assert!(up(i) <= up(j) + (1 << j) - (1 << i), "slots {i} and {j} of {slots:?}");
                assert!(up(i) >= up(j) + (1 << i.saturating_sub(2)), "slots {i} and {j} of {slots:?}");
            }
        }
    }

    /// Adds syncs by their distances, and checks after each one that no more than `most` others went for it.
    fn check_losses(first: i64, steps: impl IntoIterator<Item = i64>, most: usize) {
        let mut slots = Slots::new(sync(first));
        let mut offset = first;
        for step in steps {
            let before = slots.kept.len();
            offset += step;
            slots.add(sync(offset));
            check_invariants(&slots);
            assert_eq!(slots.kept[0].sync, sync(offset));
            assert_eq!(slots.kept.last().map(|kept| kept.sync), Some(sync(first)));
            let lost = before + 1 - slots.kept.len();
            assert!(lost <= most, "{lost} went for {offset}: {slots:?}");
        }
    }

    #[test]
    fn offsets_further_back_are_kept_more_sparsely() {
        // OffsetSyncStoreTest.testPastOffsetTranslation; without its initial 1000, testPastOffsetTranslationWithoutInitializationReadToEnd
        let mut slots = Slots::new(sync(1000));
        (1010..=10_000).step_by(10).for_each(|offset| slots.add(sync(offset)));
        let expected = [1000, 4840, 6760, 8680, 9160, 9640, 9880, 9940, 9970, 9990, 10_000];
        assert_eq!(kept(&slots), expected);
        for pair in expected.windows(2) {
            assert_eq!(slots.at(pair[1] - 1), Ok(sync(pair[0])));
            assert_eq!(slots.at(pair[1]), Ok(sync(pair[1])));
        }
        assert_eq!(slots.at(999), Err(1000));

        let mut slots = Slots::new(sync(0));
        (10..=1000).step_by(10).for_each(|offset| slots.add(sync(offset)));
        let expected = [0, 480, 720, 990, 1000];
        assert!(expected.iter().all(|offset| kept(&slots).contains(offset)), "{:?}", kept(&slots));
        (1010..=10_000).step_by(10).for_each(|offset| slots.add(sync(offset)));
        assert_eq!(kept(&slots), [0, 3840, 7680, 8640, 9120, 9600, 9840, 9900, 9960, 9990, 10_000]);
    }

    #[test]
    fn going_back_clears_all() {
        let mut slots = Slots::new(sync(0));
        (10..=1000).step_by(10).for_each(|offset| slots.add(sync(offset)));
        slots.add(sync(500));
        assert_eq!(kept(&slots), [500]);
        assert_eq!(slots.at(499), Err(500));
    }

    #[test]
    fn of_evenly_spaced_syncs_one_goes_for_each_that_comes() {
        // OffsetSyncStoreTest.testConsistentlySpacedSyncs
        let mut step = 1;
        while step < i64::MAX / 100 {
            (0..30).for_each(|first| check_losses(first, std::iter::repeat_n(step, 100), 1));
            step = step * 2 + 1;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        // OffsetSyncStoreTest.testRandomlySpacedSyncs
        #[test]
        fn of_unevenly_spaced_syncs_few_go_for_each_that_comes(
            (bits, steps) in (1_u32..53).prop_flat_map(|bits| (Just(bits), vec(0..1_i64 << bits, 1..300))),
            minimum in prop_oneof![Just(0), Just(1_i64 << 16)],
        ) {
            check_losses(0, steps.into_iter().map(|step| step + minimum), bits as usize + 2);
        }

        // OffsetSyncStoreTest.testDroppedSyncsSpacing
        #[test]
        fn of_syncs_with_some_dropped_two_go_at_most(steps in vec(prop_oneof![Just(100_i64), Just(200)], 1..500)) {
            check_losses(0, steps, 2);
        }

        #[test]
        fn any_syncs_keep_the_newest_and_the_invariants(offsets in vec(0_i64.., 1..100)) {
            let mut slots = Slots::new(sync(0));
            for offset in offsets {
                slots.add(sync(offset));
                check_invariants(&slots);
                prop_assert_eq!(slots.at(i64::MAX), Ok(sync(offset)));
            }
        }
    }
}
