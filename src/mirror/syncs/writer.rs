//! When offset syncs are sent.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use wire::TopicPartition;

use super::partition::PartitionSyncs;
use crate::{
    flow::Stretch,
    records::{OffsetSyncKey, OffsetSyncValue, TooLong},
};

/// The most syncs on their way at the same time.
const MAX_OUTSTANDING: usize = 10;

/// One sync, to be sent to partition 0 of the offset syncs topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetSync {
    /// A partition of the source.
    pub partition: TopicPartition,
    /// Where one of its records stands at both ends.
    pub offsets: OffsetSyncValue,
}

impl OffsetSync {
    /// Key and value bytes.
    ///
    /// # Errors
    /// A topic's name of more than 32,767 bytes.
    pub fn encode(&self) -> Result<(Bytes, Bytes), TooLong> {
        let TopicPartition { topic, partition } = self.partition.clone();
        Ok((OffsetSyncKey { topic, partition }.encode()?, self.offsets.encode()))
    }
}

/// Decides which offset syncs a task sends, and when, as Kafka's `OffsetSyncWriter` does: those that are due go out as long as no more than
/// ten are on their way, of those that wait the newest of each partition; what is not due waits for the next commit of offsets.
///
/// Every method that returns syncs gives them away: they count as on their way until [`answered`](Self::answered). One that could not be
/// written is not sent again; the next one of its partition makes up for it.
#[derive(Debug)]
pub struct OffsetSyncWriter {
    offset_lag_max: u64,
    partitions: HashMap<TopicPartition, Partition>,
    /// Partitions with a pending sync, longest waiting first. One that was forgotten may be among them.
    pending: VecDeque<TopicPartition>,
    outstanding: usize,
}

#[derive(Debug, Default)]
struct Partition {
    syncs: PartitionSyncs,
    /// Due, and waits for others to be answered.
    pending: Option<OffsetSyncValue>,
    /// Newest record, where no sync of it was due.
    delayed: Option<OffsetSyncValue>,
}

impl OffsetSyncWriter {
    /// `offset_lag_max` is `offset.lag.max`: how many records what a sync translates to may fall back before the next is due.
    #[must_use]
    pub fn new(offset_lag_max: u64) -> Self {
        Self { offset_lag_max, partitions: HashMap::new(), pending: VecDeque::new(), outstanding: 0 }
    }

    /// Records of a source partition have been acknowledged by the target; stretches of a partition come in the order of the copy. Returns the
    /// syncs to send now. Costs by what it returns, not by the number of records.
    pub fn acknowledged(&mut self, partition: &TopicPartition, stretch: Stretch) -> Vec<OffsetSync> {
        let state = match self.partitions.get_mut(partition) {
            Some(state) => state,
            None => self.partitions.entry(partition.clone()).or_default(),
        };
        let Some(newest) = stretch.newest() else { return Vec::new() };
        let mut due = state.syncs.acknowledged(stretch, self.offset_lag_max);
        state.delayed = Some(newest).filter(|newest| due.newest() != Some(*newest));
        let mut sent = Vec::new();
        while let Some(sync) = due.next() {
            self.put(partition, sync);
            sent.extend(self.sendable());
            if self.outstanding >= MAX_OUTSTANDING {
                // Of all that are left, the last one will wait.
                if let Some(last) = due.newest() {
                    self.put(partition, last);
                }
                break;
            }
        }
        sent
    }

    /// Offsets have been committed (every `offset.flush.interval.ms`): what is not due goes out as well. Returns the syncs to send now.
    pub fn committed(&mut self) -> Vec<OffsetSync> {
        let delayed =
            self.partitions.iter_mut().filter_map(|(partition, state)| Some((partition, state.delayed.take()?)));
        let mut delayed: Vec<_> = delayed.map(|(partition, sync)| (partition.clone(), sync)).collect();
        delayed.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (partition, sync) in delayed {
            self.put(&partition, sync);
        }
        self.sendable()
    }

    /// So many syncs were answered, well or not. Returns those to send in their place.
    pub fn answered(&mut self, syncs: usize) -> Vec<OffsetSync> {
        self.outstanding = self.outstanding.saturating_sub(syncs);
        self.sendable()
    }

    /// A partition is no longer copied here. If it comes back, its first record is due a sync.
    pub fn forget(&mut self, partition: &TopicPartition) {
        self.partitions.remove(partition);
    }

    /// A partition's newest sync takes the place in the queue of the one that waits.
    fn put(&mut self, partition: &TopicPartition, sync: OffsetSyncValue) {
        if let Some(state) = self.partitions.get_mut(partition)
            && state.pending.replace(sync).is_none()
        {
            self.pending.push_back(partition.clone());
        }
    }

    fn sendable(&mut self) -> Vec<OffsetSync> {
        let mut sent = Vec::new();
        while self.outstanding < MAX_OUTSTANDING
            && let Some(partition) = self.pending.pop_front()
        {
            if let Some(offsets) = self.partitions.get_mut(&partition).and_then(|state| state.pending.take()) {
                self.outstanding += 1;
                sent.push(OffsetSync { partition, offsets });
            }
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("t", number)
    }

    fn one(source: i64, target: i64) -> Stretch {
        Stretch { source, target, records: 1 }
    }

    fn upstream(syncs: &[OffsetSync]) -> Vec<(i32, i64)> {
        syncs.iter().map(|sync| (sync.partition.partition, sync.offsets.upstream_offset)).collect()
    }

    #[test]
    fn what_is_not_due_goes_out_with_the_next_commit() {
        // OffsetSyncWriterTest.testMaybeQueueOffsetSyncs, testPromoteDelayedOffsetSyncs
        let mut writer = OffsetSyncWriter::new(2);
        assert_eq!(upstream(&writer.acknowledged(&partition(0), one(0, 1))), [(0, 0)]);
        assert_eq!(upstream(&writer.acknowledged(&partition(0), one(1, 2))), []);
        assert_eq!(upstream(&writer.acknowledged(&partition(0), one(2, 3))), []);
        let sent = writer.committed();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].offsets, OffsetSyncValue { upstream_offset: 2, downstream_offset: 3 });
        assert_eq!(writer.committed(), []);
        // A commit does not count as a sync for what is due: the next is, counted from the one that was due.
        assert_eq!(upstream(&writer.acknowledged(&partition(0), one(3, 4))), [(0, 3)]);
        assert_eq!(writer.committed(), []);
    }

    #[test]
    fn no_more_than_ten_are_on_their_way() {
        // OffsetSyncWriterTest.testFirePendingOffsetSyncs, MirrorSourceTaskTest.testSendSyncEvent
        let mut writer = OffsetSyncWriter::new(100);
        for number in 0..10 {
            assert_eq!(writer.acknowledged(&partition(number), one(0, 0)).len(), 1, "{number}");
        }
        assert_eq!(writer.acknowledged(&partition(10), one(0, 0)), []);
        assert_eq!(writer.acknowledged(&partition(11), one(0, 0)), []);
        // The newest of a partition wins, in its place.
        assert_eq!(writer.acknowledged(&partition(10), one(5, 5)), []);
        // Not due, so it waits for a commit, and that for its turn.
        assert_eq!(writer.acknowledged(&partition(11), one(1, 1)), []);
        assert_eq!(upstream(&writer.answered(1)), [(10, 5)]);
        assert_eq!(writer.committed(), []);
        assert_eq!(upstream(&writer.answered(10)), [(11, 1)]);
        assert_eq!(writer.answered(1), []);
    }

    #[test]
    fn of_a_stretch_ten_go_out_and_the_last_waits() {
        let mut writer = OffsetSyncWriter::new(0);
        let sent = writer.acknowledged(&partition(0), Stretch { source: 7, target: 0, records: 1_000_000 });
        assert_eq!(upstream(&sent), (7..17).map(|at| (0, at)).collect::<Vec<_>>());
        assert_eq!(upstream(&writer.answered(10)), [(0, 1_000_006)]);
        assert_eq!(writer.committed(), [], "all of it is synced");
    }

    #[test]
    fn a_partition_that_comes_back_is_synced_at_once() {
        let mut writer = OffsetSyncWriter::new(100);
        assert_eq!(writer.acknowledged(&partition(0), one(0, 0)).len(), 1);
        writer.acknowledged(&partition(0), one(1, 1));
        writer.forget(&partition(0));
        assert_eq!(writer.committed(), []);
        assert_eq!(upstream(&writer.acknowledged(&partition(0), one(2, 2))), [(0, 2)]);
    }

    #[test]
    fn a_filtered_stretch_says_nothing() {
        // No record, no metadata of one: MirrorSourceTaskTest.testCommitRecordWithNullMetadata
        let mut writer = OffsetSyncWriter::new(0);
        assert_eq!(writer.acknowledged(&partition(0), Stretch { source: 3, target: 0, records: 0 }), []);
        assert_eq!(writer.committed(), []);
    }

    /// Kafka's writer, record by record: ordered maps of pending and delayed syncs, and a semaphore.
    #[derive(Default)]
    struct Model {
        states: BTreeMap<i32, (i64, i64, i64)>,
        pending: Vec<(i32, i64)>,
        delayed: BTreeMap<i32, i64>,
        outstanding: usize,
    }

    impl Model {
        fn put(pending: &mut Vec<(i32, i64)>, partition: i32, upstream: i64) {
            match pending.iter_mut().find(|(of, _)| *of == partition) {
                Some(entry) => entry.1 = upstream,
                None => pending.push((partition, upstream)),
            }
        }

        fn record(&mut self, partition: i32, upstream: i64, downstream: i64, lag_max: i64) -> Vec<(i32, i64)> {
            let before = self.states.get(&partition).copied();
            let due = before.is_none_or(|(u, d, synced)| {
                downstream - (synced + 1) >= lag_max || upstream - u != 1 || downstream < d
            });
            let synced = if due { downstream } else { before.map_or(-1, |(.., synced)| synced) };
            self.states.insert(partition, (upstream, downstream, synced));
            if due {
                self.delayed.remove(&partition);
                Self::put(&mut self.pending, partition, upstream);
            } else {
                self.delayed.insert(partition, upstream);
            }
            self.fire()
        }

        fn commit(&mut self) -> Vec<(i32, i64)> {
            for (partition, upstream) in std::mem::take(&mut self.delayed) {
                Self::put(&mut self.pending, partition, upstream);
            }
            self.fire()
        }

        fn fire(&mut self) -> Vec<(i32, i64)> {
            let count = (MAX_OUTSTANDING - self.outstanding).min(self.pending.len());
            self.outstanding += count;
            self.pending.drain(..count).collect()
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Acknowledged(i32, u64, u64),
        Committed,
        Answered(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..20_i32, 0_u64..3, 0_u64..30).prop_map(|(partition, gap, records)| Step::Acknowledged(partition, gap, records)),
            1 => Just(Step::Committed),
            2 => (1_usize..10).prop_map(Step::Answered),
        ]
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_mirrormaker_sends(steps in prop::collection::vec(step(), 1..80), lag_max in 0_u64..12) {
            let (mut writer, mut model) = (OffsetSyncWriter::new(lag_max), Model::default());
            let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
            for step in steps {
                let (sent, expected) = match step {
                    Step::Acknowledged(number, gap, records) => {
                        let end = ends.entry(number).or_default();
                        *end += gap.cast_signed();
                        let stretch = Stretch { source: *end, target: *end, records };
                        *end += records.cast_signed();
                        let expected: Vec<_> = (stretch.source..*end)
                            .flat_map(|at| model.record(number, at, at, lag_max.cast_signed()))
                            .collect();
                        (writer.acknowledged(&partition(number), stretch), expected)
                    }
                    Step::Committed => (writer.committed(), model.commit()),
                    Step::Answered(syncs) => {
                        model.outstanding = model.outstanding.saturating_sub(syncs);
                        (writer.answered(syncs), model.fire())
                    }
                };
                prop_assert_eq!(upstream(&sent), expected);
                prop_assert_eq!(writer.outstanding, model.outstanding);
            }
        }
    }
}
