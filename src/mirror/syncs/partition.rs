//! Which records of one partition are due an offset sync.

use crate::{flow::Stretch, records::OffsetSyncValue};

impl Stretch {
    /// Where its last record stands; none where it has no record.
    pub(super) fn newest(&self) -> Option<OffsetSyncValue> {
        self.records.checked_sub(1).map(|index| self.record(index))
    }

    fn record(&self, index: u64) -> OffsetSyncValue {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        OffsetSyncValue {
            upstream_offset: self.source.saturating_add(index),
            downstream_offset: self.target.saturating_add(index),
        }
    }
}

/// Decides as `OffsetSyncWriter.PartitionState` of Kafka does.
#[derive(Debug, Default)]
pub(super) struct PartitionSyncs {
    /// The record that was acknowledged last.
    previous: Option<OffsetSyncValue>,
    /// Target offset of the sync that was due last.
    last_synced: Option<i64>,
}

/// Which records of a stretch are due at once: those at `first`, `first + step` and so on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    stretch: Stretch,
    next: u64,
    step: u64,
}

impl PartitionSyncs {
    /// Takes in a stretch. A record is due a sync if it is the first in the partition's life here, if it does not follow the last one at the
    /// source, if it stands before the last one in the target, or if what the last sync translates to (one behind it) has fallen back by
    /// `offset_lag_max` records.
    pub(super) fn acknowledged(&mut self, stretch: Stretch, offset_lag_max: u64) -> Due {
        let step = offset_lag_max.saturating_add(1);
        let Some(newest) = stretch.newest() else {
            return Due { stretch, next: 0, step };
        };
        let is_due_at_once = self.previous.is_none_or(|previous| {
            let is_next_at_source = previous.upstream_offset.checked_add(1) == Some(stretch.source);
            let is_back_in_target = stretch.target < previous.downstream_offset;
            !is_next_at_source || is_back_in_target
        });
        let until_stale = self.last_synced.map_or(0, |synced| {
            let stale = i128::from(synced) + i128::from(step);
            u64::try_from((stale - i128::from(stretch.target)).max(0)).unwrap_or(u64::MAX)
        });
        let due = Due { stretch, next: if is_due_at_once { 0 } else { until_stale }, step };
        if let Some(synced) = due.newest() {
            self.last_synced = Some(synced.downstream_offset);
        }
        self.previous = Some(newest);
        due
    }
}

impl Due {
    /// The last of those that are left.
    pub(super) fn newest(&self) -> Option<OffsetSyncValue> {
        let behind = self.stretch.records.checked_sub(1)?.checked_sub(self.next)?;
        Some(self.stretch.record(self.next + behind / self.step * self.step))
    }
}

impl Iterator for Due {
    type Item = OffsetSyncValue;

    fn next(&mut self) -> Option<OffsetSyncValue> {
        if self.next >= self.stretch.records {
            return None;
        }
        let due = self.stretch.record(self.next);
        self.next = self.next.saturating_add(self.step);
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One record after the other, as MirrorMaker sees them: `OffsetSyncWriter.PartitionState.update`, and its reset after each sync.
    #[derive(Default)]
    struct RecordByRecord(Option<(i64, i64, i64)>);

    impl RecordByRecord {
        fn is_due(&mut self, upstream: i64, downstream: i64, lag_max: i64) -> bool {
            let due = self.0.is_none_or(|(previous_upstream, previous_downstream, synced)| {
                downstream - (synced + 1) >= lag_max
                    || upstream - previous_upstream != 1
                    || downstream < previous_downstream
            });
            let synced = if due { downstream } else { self.0.map_or(-1, |(.., synced)| synced) };
            self.0 = Some((upstream, downstream, synced));
            due
        }
    }

    fn single(state: &mut PartitionSyncs, (source, target): (i64, i64), lag_max: u64) -> bool {
        state.acknowledged(Stretch { source, target, records: 1 }, lag_max).count() == 1
    }

    #[test]
    fn syncs_are_due_where_mirrormaker_emits_them() {
        // MirrorSourceTaskTest.testOffsetSync, with offset.lag.max=50
        let table = [
            ((0, 100), true, "first"),
            ((2, 102), true, "upstream offset skipped"),
            ((3, 152), false, "50 behind what the last sync translates to is due at 153"),
            ((4, 153), true, "stale"),
            ((5, 154), false, ""),
            ((6, 203), false, ""),
            ((7, 204), true, "stale"),
            ((2, 206), true, "upstream reset"),
            ((3, 207), false, ""),
            ((4, 3), true, "downstream reset"),
            ((5, 4), false, ""),
            ((7, 6), true, "upstream offset skipped"),
        ];
        let mut state = PartitionSyncs::default();
        for (offsets, due, why) in table {
            assert_eq!(single(&mut state, offsets, 50), due, "{offsets:?} {why}");
        }
    }

    #[test]
    fn without_lag_every_record_is_due() {
        // MirrorSourceTaskTest.testZeroOffsetSync
        let mut state = PartitionSyncs::default();
        for offsets in [(0, 100), (2, 102), (3, 153), (4, 154), (5, 155), (6, 207), (2, 208), (3, 209), (4, 3), (5, 4)]
        {
            assert!(single(&mut state, offsets, 0), "{offsets:?}");
        }
        assert_eq!(state.acknowledged(Stretch { source: 6, target: 5, records: 1000 }, 0).count(), 1000);
    }

    #[test]
    fn a_long_stretch_costs_what_it_emits() {
        let mut state = PartitionSyncs::default();
        let due = state.acknowledged(Stretch { source: 0, target: 0, records: 1 << 62 }, (1 << 60) - 1);
        let offsets: Vec<_> = due.map(|sync| sync.upstream_offset).collect();
        assert_eq!(offsets, [0, 1 << 60, 2 << 60, 3 << 60]);
        let empty = state.acknowledged(Stretch { source: 1 << 62, target: 1 << 62, records: 0 }, 0);
        assert_eq!((empty.newest(), empty.count()), (None, 0));
        let never = state.acknowledged(Stretch { source: 1 << 62, target: 1 << 62, records: 1000 }, u64::MAX);
        assert_eq!(never.count(), 0);
    }

    proptest! {
        #[test]
        fn stretches_emit_what_their_records_would(
            stretches in prop::collection::vec((-3_i64..4, -3_i64..6, 0_u64..40), 1..30),
            lag_max in 0_u64..25,
        ) {
            let (mut by_stretch, mut by_record) = (PartitionSyncs::default(), RecordByRecord::default());
            // Where the next stretch begins: mostly right behind the last one, at times elsewhere.
            let (mut source, mut target) = (50, 50);
            for (skipped, moved, records) in stretches {
                source = (source + skipped.max(0) - if skipped < -1 { 20 } else { 0 }).max(0);
                target = (target + moved.max(0) - if moved < -2 { 20 } else { 0 }).max(0);
                let stretch = Stretch { source, target, records };
                let due = by_stretch.acknowledged(stretch, lag_max);
                let last = due.newest();
                let emitted: Vec<_> = due.collect();
                let model: Vec<_> = (0..records)
                    .map(|index| stretch.record(index))
                    .filter(|at| by_record.is_due(at.upstream_offset, at.downstream_offset, lag_max.cast_signed()))
                    .collect();
                prop_assert_eq!(last, model.last().copied());
                prop_assert_eq!(emitted, model);
                source += records.cast_signed();
                target += records.cast_signed();
            }
        }
    }
}
