//! What offset syncs translate to.

use std::collections::HashMap;

use wire::TopicPartition;

use super::slots::Slots;
use crate::records::{BadRecord, OffsetSyncKey, decode_offset_sync};

/// A committed source offset in the target's offsets, by offset syncs alone (`OffsetSyncStore.translateDownstream` of Kafka).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncTranslation {
    /// The group may go on here and skips nothing.
    At {
        /// Target offset.
        offset: i64,
        /// The most records that are consumed again.
        again: u64,
        /// Source offset of the sync that tells so.
        upstream_offset: i64,
    },
    /// It lies before all syncs that are kept.
    BeforeSyncs {
        /// Source offset of the oldest one.
        oldest: i64,
    },
    /// There is no sync of the partition.
    NoSync,
    /// The topic has not been read to its end: newer syncs may be there.
    NotRead,
}

/// The syncs of a topic, kept as Kafka's `OffsetSyncStore` keeps them: 64 of a partition at most.
#[derive(Debug)]
pub struct OffsetSyncStore {
    partitions: HashMap<TopicPartition, Slots>,
    keeps_only_newest: bool,
    is_read: bool,
}

impl OffsetSyncStore {
    /// A store before the topic is read. `is_checkpointed`: checkpoints of an earlier life are known, and keep what follows from going back.
    /// Otherwise what this life is the first to say must never lie before what an earlier one may have said; so of the syncs that are there
    /// only each partition's last one is used.
    #[must_use]
    pub fn new(is_checkpointed: bool) -> Self {
        Self { partitions: HashMap::new(), keeps_only_newest: !is_checkpointed, is_read: false }
    }

    /// Takes a record in; records come in the topic's order. A tombstone makes its partition one without syncs.
    ///
    /// # Errors
    /// A record that is no offset sync changes nothing.
    pub fn take(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), BadRecord> {
        let (OffsetSyncKey { topic, partition }, value) = decode_offset_sync(key, value)?;
        let partition = TopicPartition { topic, partition };
        let Some(sync) = value else {
            self.partitions.remove(&partition);
            return Ok(());
        };
        match self.partitions.get_mut(&partition) {
            Some(slots) if self.is_read || !self.keeps_only_newest => slots.add(sync),
            Some(slots) => *slots = Slots::new(sync),
            None => {
                self.partitions.insert(partition, Slots::new(sync));
            }
        }
        Ok(())
    }

    /// The topic has been read to its end once: from now on offsets are translated.
    pub fn is_read_to_end(&mut self) {
        self.is_read = true;
    }

    /// What a committed offset, which is that of the next record to consume, is in the target.
    ///
    /// Of a record behind a sync it is only known that it stands behind the sync's own, if it was copied at all: so a group that is further goes
    /// on one behind the sync, never more.
    ///
    /// ```text
    /// source  ──s─·─·─·─·─g──      s: record of the sync    g: committed
    /// target  ──s─g─·─·──────      ·: copied or not, nobody knows
    /// ```
    #[must_use]
    pub fn translate(&self, partition: &TopicPartition, committed: i64) -> SyncTranslation {
        if !self.is_read {
            return SyncTranslation::NotRead;
        }
        match self.partitions.get(partition).map(|slots| slots.at(committed)) {
            None => SyncTranslation::NoSync,
            Some(Err(oldest)) => SyncTranslation::BeforeSyncs { oldest },
            Some(Ok(sync)) => {
                let ahead = committed.abs_diff(sync.upstream_offset);
                SyncTranslation::At {
                    offset: sync.downstream_offset.saturating_add_unsigned(ahead.min(1)),
                    again: ahead.saturating_sub(1),
                    upstream_offset: sync.upstream_offset,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::records::OffsetSyncValue;

    fn partition() -> TopicPartition {
        TopicPartition::new("topic1", 2)
    }

    fn take(store: &mut OffsetSyncStore, upstream_offset: i64, downstream_offset: i64) {
        let key = OffsetSyncKey { topic: "topic1".to_owned(), partition: 2 }.encode().unwrap();
        let value = OffsetSyncValue { upstream_offset, downstream_offset }.encode();
        store.take(Some(&key), Some(&value)).unwrap();
    }

    fn read(is_checkpointed: bool, syncs: &[(i64, i64)]) -> OffsetSyncStore {
        let mut store = OffsetSyncStore::new(is_checkpointed);
        syncs.iter().for_each(|(upstream, downstream)| take(&mut store, *upstream, *downstream));
        store.is_read_to_end();
        store
    }

    /// As MirrorMaker answers: nothing, or −1 where all syncs lie behind.
    fn translated(store: &OffsetSyncStore, committed: i64) -> Option<i64> {
        match store.translate(&partition(), committed) {
            SyncTranslation::At { offset, .. } => Some(offset),
            SyncTranslation::BeforeSyncs { .. } => Some(-1),
            SyncTranslation::NoSync | SyncTranslation::NotRead => None,
        }
    }

    #[test]
    fn a_group_goes_on_at_most_one_behind_a_sync() {
        // OffsetSyncStoreTest.testOffsetTranslation
        let mut store = read(false, &[]);
        take(&mut store, 100, 200);
        assert_eq!(translated(&store, 150), Some(201));
        take(&mut store, 150, 251);
        assert_eq!(translated(&store, 150), Some(251));
        assert_eq!(translated(&store, 5), Some(-1));
        take(&mut store, 200, 10);
        assert_eq!(translated(&store, 200), Some(10), "the target went back");
        take(&mut store, 20, 20);
        assert_eq!(translated(&store, 20), Some(20), "the source went back");
    }

    #[test]
    fn it_is_told_what_may_be_consumed_again() {
        let store = read(false, &[(100, 200)]);
        for (committed, offset, again) in [(100, 200, 0), (101, 201, 0), (102, 201, 1), (1100, 201, 999)] {
            let expected = SyncTranslation::At { offset, again, upstream_offset: 100 };
            assert_eq!(store.translate(&partition(), committed), expected);
        }
        assert_eq!(store.translate(&partition(), 99), SyncTranslation::BeforeSyncs { oldest: 100 });
    }

    #[test]
    fn nothing_is_translated_before_the_topic_is_read() {
        // OffsetSyncStoreTest.testNoTranslationIfStoreNotStarted, testNoTranslationIfNoOffsetSync
        let mut store = OffsetSyncStore::new(false);
        assert_eq!(store.translate(&partition(), 0), SyncTranslation::NotRead);
        take(&mut store, 100, 200);
        assert_eq!([0, 100, 200].map(|at| translated(&store, at)), [None; 3]);
        store.is_read_to_end();
        assert_eq!([0, 100, 200].map(|at| translated(&store, at)), [Some(-1), Some(200), Some(201)]);
        assert_eq!(read(false, &[]).translate(&partition(), 0), SyncTranslation::NoSync);
        assert_eq!(store.translate(&TopicPartition::new("topic1", 1), 0), SyncTranslation::NoSync);
    }

    fn every_ten(from: i64, to: i64) -> Vec<(i64, i64)> {
        (from..=to).step_by(10).map(|offset| (offset, offset)).collect()
    }

    /// Each kept sync is hit, nothing more than one behind it is told, and just before it its predecessor counts.
    fn check_kept(store: &OffsetSyncStore, kept: &[i64]) {
        for (place, offset) in kept.iter().copied().enumerate() {
            let before = place.checked_sub(1).map_or(-1, |place| kept[place] + 1);
            let expected = [before, offset, offset + 1, offset + 1].map(Some);
            assert_eq!([-1, 0, 1, 2].map(|step| translated(store, offset + step)), expected, "{offset}");
        }
    }

    #[test]
    fn without_checkpoints_only_the_last_sync_of_before_counts() {
        // OffsetSyncStoreTest.testPastOffsetTranslation
        let mut store = read(false, &every_ten(0, 1000));
        check_kept(&store, &[1000]);
        every_ten(1010, 10_000).iter().for_each(|(up, down)| take(&mut store, *up, *down));
        check_kept(&store, &[1000, 4840, 6760, 8680, 9160, 9640, 9880, 9940, 9970, 9990, 10_000]);
        take(&mut store, 1500, 11_000);
        assert_eq!([1499, 1500, 2000].map(|at| translated(&store, at)), [Some(-1), Some(11_000), Some(11_001)]);
    }

    #[test]
    fn with_checkpoints_all_syncs_count() {
        // OffsetSyncStoreTest.testPastOffsetTranslationWithoutInitializationReadToEnd
        let mut store = read(true, &every_ten(0, 1000));
        for offset in [0, 480, 720, 990, 1000] {
            assert_eq!([0, 1].map(|step| translated(&store, offset + step)), [Some(offset), Some(offset + 1)]);
        }
        every_ten(1010, 10_000).iter().for_each(|(up, down)| take(&mut store, *up, *down));
        check_kept(&store, &[0, 3840, 7680, 8640, 9120, 9600, 9840, 9900, 9960, 9990, 10_000]);
        take(&mut store, 1500, 11_000);
        assert_eq!([1499, 1500, 2000].map(|at| translated(&store, at)), [Some(-1), Some(11_000), Some(11_001)]);
    }

    #[test]
    fn what_is_no_sync_changes_nothing_and_a_tombstone_forgets() {
        let mut store = read(true, &[(100, 200)]);
        assert!(store.take(Some(b"x"), Some(b"y")).is_err());
        assert_eq!(translated(&store, 100), Some(200));
        let key = OffsetSyncKey { topic: "topic1".to_owned(), partition: 2 }.encode().unwrap();
        store.take(Some(&key), None).unwrap();
        assert_eq!(store.translate(&partition(), 100), SyncTranslation::NoSync);
    }

    proptest! {
        #[test]
        fn a_fixed_store_translates_monotonically_and_skips_nothing(
            steps in prop::collection::vec((1_i64..500, 0_i64..5), 1..200),
            mut committed in prop::collection::vec(0_i64..60_000, 2..50),
        ) {
            // Upstream and downstream offsets of syncs, some records not copied.
            let (mut up, mut down) = (0, 0);
            let syncs: Vec<_> = steps.iter().map(|(step, left_out)| {
                up += step;
                down += (step - left_out).max(1);
                (up, down)
            }).collect();
            let store = read(true, &syncs);
            committed.sort_unstable();
            let mut before = -1;
            for at in committed {
                let now = translated(&store, at).unwrap();
                prop_assert!(now >= before);
                before = now;
                // The record at or behind `at` stands behind all that is synced before it.
                let first_behind = syncs.iter().find(|(up, _)| *up >= at).map_or(i64::MAX, |(_, down)| *down);
                prop_assert!(now <= first_behind);
            }
        }
    }
}
