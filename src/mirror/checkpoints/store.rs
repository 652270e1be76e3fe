//! Which checkpoints to emit, given those that were.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use wire::{CommittedOffset, TopicPartition};

use super::{Exactness, TargetOffset, Untranslated};
use crate::records::{BadRecord, CheckpointKey, CheckpointValue, TooLong, decode_checkpoint};

/// What becomes of one committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointOutcome {
    /// The source's partition.
    pub source: TopicPartition,
    /// The target's.
    pub target: TopicPartition,
    /// The source's offset of the next record to consume; absent for none.
    pub committed: Option<i64>,
    /// Its checkpoint, or why there can't be one.
    pub checkpoint: Result<Translatable, Untranslated>,
}

/// A committed offset that the target has too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translatable {
    /// Both offsets.
    pub value: CheckpointValue,
    /// What the group may consume again.
    pub exactness: Exactness,
    /// Whether it is emitted.
    pub emission: Emission,
}

/// Why a checkpoint is emitted, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emission {
    /// There was none of the partition.
    First,
    /// The group went back at the source.
    UpstreamWentBack,
    /// The target's offset has advanced.
    Advanced,
    /// The offset map says for certain that the target's offset is a lower one now: its log was made again. (MirrorMaker has no such rule, and
    /// leaves a checkpoint that would skip records.)
    TargetWentBack,
    /// Not emitted: the last one says the same of the target.
    Repeated,
    /// Not emitted: what is known by now would set the target's offset back, for less is known of what lies further back.
    WouldGoBack,
}

impl Emission {
    /// Whether it is to be written.
    #[must_use]
    pub fn is_emitted(self) -> bool {
        !matches!(self, Self::Repeated | Self::WouldGoBack)
    }

    /// `MirrorCheckpointTask.checkpointIsMoreRecent`, and [`Emission::TargetWentBack`].
    fn of(last: Option<&CheckpointValue>, upstream_offset: i64, found: TargetOffset) -> Self {
        let Some(last) = last else { return Self::First };
        if upstream_offset < last.upstream_offset {
            Self::UpstreamWentBack
        } else if found.offset > last.downstream_offset {
            Self::Advanced
        } else if found.offset == last.downstream_offset {
            Self::Repeated
        } else if found.exactness == Exactness::Exact {
            Self::TargetWentBack
        } else {
            Self::WouldGoBack
        }
    }
}

/// A record for partition 0 of the checkpoints topic. Its timestamp is the time of emission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose it is.
    pub key: CheckpointKey,
    /// Both offsets.
    pub value: CheckpointValue,
}

impl Checkpoint {
    /// The checkpoint to emit for a group, if one is.
    #[must_use]
    pub fn of(group: &str, outcome: &CheckpointOutcome) -> Option<Self> {
        let found = outcome.checkpoint.as_ref().ok().filter(|found| found.emission.is_emitted())?;
        let TopicPartition { topic, partition } = outcome.target.clone();
        Some(Self { key: CheckpointKey { group: group.to_owned(), topic, partition }, value: found.value.clone() })
    }

    /// Key and value bytes.
    ///
    /// # Errors
    /// A name, or metadata, of more than 32,767 bytes.
    pub fn encode(&self) -> Result<(Bytes, Bytes), TooLong> {
        Ok((self.key.encode()?, self.value.encode()?))
    }
}

type OfGroup = BTreeMap<TopicPartition, CheckpointValue>;

/// Checkpoints while their topic is read: nothing is decided before that is over (`CheckpointStore` of Kafka).
#[derive(Debug)]
pub struct LoadingCheckpoints {
    groups: HashMap<String, OfGroup>,
}

/// The last checkpoint of each partition of a task's groups.
#[derive(Debug)]
pub struct Checkpoints {
    groups: HashMap<String, OfGroup>,
    is_complete: bool,
}

impl LoadingCheckpoints {
    /// For a task that has these groups.
    #[must_use]
    pub fn new(groups: impl IntoIterator<Item = String>) -> Self {
        Self { groups: groups.into_iter().map(|group| (group, OfGroup::new())).collect() }
    }

    /// Takes a record in, unless it is of another task's group; records come in the topic's order, and the last one counts.
    ///
    /// # Errors
    /// A record that is no checkpoint changes nothing.
    pub fn take(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), BadRecord> {
        let (CheckpointKey { group, topic, partition }, value) = decode_checkpoint(key, value)?;
        if let Some(of_group) = self.groups.get_mut(&group) {
            let partition = TopicPartition { topic, partition };
            match value {
                Some(value) => of_group.insert(partition, value),
                None => of_group.remove(&partition),
            };
        }
        Ok(())
    }

    /// The topic has been read to its end.
    #[must_use]
    pub fn loaded(self) -> Checkpoints {
        Checkpoints { groups: self.groups, is_complete: true }
    }

    /// The topic can't be read, for lack of the right to it, say: the task goes on as if there were none.
    #[must_use]
    pub fn unreadable(self) -> Checkpoints {
        let groups = self.groups.into_keys().map(|group| (group, OfGroup::new())).collect();
        Checkpoints { groups, is_complete: false }
    }
}

impl Checkpoints {
    /// Whether those of earlier lives are all there. Otherwise offset syncs of before may not be used
    /// ([`OffsetSyncStore::new`](crate::mirror::OffsetSyncStore::new)).
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The last checkpoints of a group, by the target's partitions.
    pub fn of(&self, group: &str) -> impl Iterator<Item = (&TopicPartition, &CheckpointValue)> {
        self.groups.get(group).into_iter().flatten()
    }

    /// What becomes of the offsets that a group has committed at the source, of topics that pass the topic filter; a negative one is none. `name`
    /// is a topic's name on the target, `translate` what a committed offset is there.
    pub fn decide(
        &self,
        group: &str,
        committed: &[(TopicPartition, CommittedOffset)],
        name: impl Fn(&str) -> String,
        translate: impl Fn(&TopicPartition, i64) -> Result<TargetOffset, Untranslated>,
    ) -> Vec<CheckpointOutcome> {
        let last = self.groups.get(group);
        let decide = |(source, committed): &(TopicPartition, CommittedOffset)| {
            let target = TopicPartition::new(name(&source.topic), source.partition);
            let offset = Some(committed.offset).filter(|offset| *offset >= 0);
            let checkpoint = offset.ok_or(Untranslated::NotCommitted).and_then(|upstream_offset| {
                let found = translate(source, upstream_offset)?;
                let last = last.and_then(|last| last.get(&target));
                let value = CheckpointValue {
                    upstream_offset,
                    downstream_offset: found.offset,
                    metadata: committed.metadata.clone(),
                };
                let emission = Emission::of(last, upstream_offset, found);
                Ok(Translatable { value, exactness: found.exactness, emission })
            });
            CheckpointOutcome { source: source.clone(), target, committed: offset, checkpoint }
        };
        committed.iter().map(decide).collect()
    }

    /// A checkpoint has been written.
    pub fn emitted(&mut self, checkpoint: Checkpoint) {
        let Checkpoint { key: CheckpointKey { group, topic, partition }, value } = checkpoint;
        self.groups.entry(group).or_default().insert(TopicPartition { topic, partition }, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{mirror::SyncTranslation, mirror::checkpoints::Knowledge, offsets::Translation};

    const GROUP: &str = "consumer-group-1";

    fn committed(offset: i64) -> Vec<(TopicPartition, CommittedOffset)> {
        let committed = CommittedOffset { offset, leader_epoch: None, metadata: "meta".to_owned() };
        vec![(TopicPartition::new("t1", 0), committed)]
    }

    fn inexact(offset: i64) -> Result<TargetOffset, Untranslated> {
        Ok(TargetOffset { offset, exactness: Exactness::Sync { again: 9 } })
    }

    fn remote(topic: &str) -> String {
        format!("source1.{topic}")
    }

    /// Decides of one committed offset that translates to `found`, and emits what is to be emitted.
    fn round(
        store: &mut Checkpoints,
        upstream: i64,
        found: Result<TargetOffset, Untranslated>,
    ) -> Result<Emission, Untranslated> {
        let outcomes = store.decide(GROUP, &committed(upstream), remote, |_, _| found);
        if let Some(checkpoint) = Checkpoint::of(GROUP, &outcomes[0]) {
            store.emitted(checkpoint);
        }
        outcomes[0].checkpoint.as_ref().map(|found| found.emission).map_err(|reason| *reason)
    }

    fn empty() -> Checkpoints {
        LoadingCheckpoints::new([GROUP.to_owned()]).loaded()
    }

    fn record(group: &str, upstream_offset: i64, downstream_offset: i64) -> Checkpoint {
        let key = CheckpointKey { group: group.to_owned(), topic: "source1.t1".to_owned(), partition: 0 };
        Checkpoint { key, value: CheckpointValue { upstream_offset, downstream_offset, metadata: String::new() } }
    }

    fn load(store: &mut LoadingCheckpoints, checkpoint: &Checkpoint) {
        let (key, value) = checkpoint.encode().unwrap();
        store.take(Some(&key), Some(&value)).unwrap();
    }

    #[test]
    fn a_checkpoint_has_both_offsets_and_what_was_committed() {
        // MirrorCheckpointTaskTest.testCheckpoint
        let outcomes = empty().decide(GROUP, &committed(10), remote, |_, _| inexact(11));
        let checkpoint = Checkpoint::of(GROUP, &outcomes[0]).unwrap();
        assert_eq!(checkpoint.key, CheckpointKey { group: GROUP.into(), topic: "source1.t1".into(), partition: 0 });
        let value = CheckpointValue { upstream_offset: 10, downstream_offset: 11, metadata: "meta".to_owned() };
        assert_eq!(checkpoint.value, value);
    }

    #[test]
    fn nothing_is_emitted_of_what_has_no_sync_or_offset() {
        // MirrorCheckpointTaskTest.testNoCheckpointForTopicWithoutOffsetSyncs, testNoCheckpointForTopicWithNullOffsetAndMetadata,
        // MirrorConnectorsIntegrationBaseTest.testNoCheckpointsIfNoRecordsAreMirrored
        let no_sync = |_: &TopicPartition, offset| {
            let known = Knowledge {
                committed: Some(offset),
                map: Translation::Unmapped,
                copied_to: None,
                sync: SyncTranslation::NoSync,
                map_of_sync: None,
                source_log_start: None,
            };
            known.translate()
        };
        let outcomes = empty().decide(GROUP, &committed(10), remote, no_sync);
        assert_eq!(outcomes[0].checkpoint, Err(Untranslated::NotMirrored));
        assert_eq!(Checkpoint::of(GROUP, &outcomes[0]), None);
        let outcomes = empty().decide(GROUP, &committed(-1), remote, |_, _| inexact(1));
        assert_eq!((outcomes[0].committed, &outcomes[0].checkpoint), (None, &Err(Untranslated::NotCommitted)));
    }

    #[test]
    fn the_target_never_goes_back_unless_the_source_does() {
        // MirrorCheckpointTaskTest.testCheckpointRecordsMonotonicIfStoreRewinds,
        // MirrorConnectorsIntegrationBaseTest.assertMonotonicCheckpoints, testOffsetTranslationBehindReplicationFlow
        let mut store = empty();
        assert_eq!(round(&mut store, 100, inexact(200)), Ok(Emission::First));
        assert_eq!(round(&mut store, 101, inexact(201)), Ok(Emission::Advanced));
        assert_eq!(round(&mut store, 101, inexact(201)), Ok(Emission::Repeated));
        // The store has lost precision.
        assert_eq!(round(&mut store, 101, inexact(151)), Ok(Emission::WouldGoBack));
        assert_eq!(round(&mut store, 105, inexact(151)), Ok(Emission::WouldGoBack));
        assert_eq!(round(&mut store, 105, inexact(205)), Ok(Emission::Advanced));
        assert_eq!(round(&mut store, 90, inexact(151)), Ok(Emission::UpstreamWentBack));
        assert_eq!(round(&mut store, 90, inexact(151)), Ok(Emission::Repeated));
        let end = Ok(TargetOffset { offset: 150, exactness: Exactness::MirroredEnd });
        assert_eq!(round(&mut store, 90, end), Ok(Emission::WouldGoBack));
        assert_eq!(round(&mut store, 90, Err(Untranslated::NotMirrored)), Err(Untranslated::NotMirrored));
    }

    #[test]
    fn what_the_map_knows_for_certain_counts_when_the_target_was_made_again() {
        let mut store = empty();
        let exact = |offset| Ok(TargetOffset { offset, exactness: Exactness::Exact });
        assert_eq!(round(&mut store, 100, exact(200)), Ok(Emission::First));
        assert_eq!(round(&mut store, 100, exact(50)), Ok(Emission::TargetWentBack));
        assert_eq!(round(&mut store, 100, exact(50)), Ok(Emission::Repeated));
    }

    #[test]
    fn a_new_life_goes_on_from_the_checkpoints_that_are_there() {
        // MirrorCheckpointTaskTest.testCheckpointsTaskRestartUsesExistingCheckpoints,
        // MirrorConnectorsIntegrationBaseTest.testRestartReplication
        let mut loading = LoadingCheckpoints::new([GROUP.to_owned()]);
        load(&mut loading, &record(GROUP, 200, 150));
        load(&mut loading, &record(GROUP, 250, 201));
        let mut store = loading.loaded();
        assert!(store.is_complete());
        assert_eq!(round(&mut store, 250, inexact(176)), Ok(Emission::WouldGoBack));
        assert_eq!(round(&mut store, 400, inexact(376)), Ok(Emission::Advanced));
    }

    #[test]
    fn only_sound_records_of_the_tasks_groups_are_kept() {
        // CheckpointStoreTest.testReadCheckpointsTopic
        let mut loading = LoadingCheckpoints::new(["group1".to_owned(), "group2".to_owned()]);
        load(&mut loading, &record("group1", 1, 1));
        load(&mut loading, &record("group1", 2, 2));
        load(&mut loading, &record("group2", 3, 3));
        load(&mut loading, &record("group3", 4, 4));
        assert!(loading.take(Some(b"k"), Some(b"v")).is_err());
        assert_eq!(loading.take(None, None), Err(BadRecord::NoKey));
        let store = loading.loaded();
        let known = |group| store.of(group).map(|(_, value)| value.upstream_offset).collect::<Vec<_>>();
        assert_eq!([known("group1"), known("group2"), known("group3")], [vec![2], vec![3], vec![]]);
    }

    #[test]
    fn a_tombstone_takes_a_checkpoint_away() {
        let mut loading = LoadingCheckpoints::new([GROUP.to_owned()]);
        load(&mut loading, &record(GROUP, 1, 1));
        loading.take(Some(&record(GROUP, 1, 1).key.encode().unwrap()), None).unwrap();
        assert_eq!(loading.loaded().of(GROUP).count(), 0);
    }

    #[test]
    fn a_topic_that_cannot_be_read_counts_as_empty() {
        // CheckpointStoreTest.testReadCheckpointsTopicError
        let mut loading = LoadingCheckpoints::new([GROUP.to_owned()]);
        load(&mut loading, &record(GROUP, 250, 201));
        let mut store = loading.unreadable();
        assert!(!store.is_complete());
        assert_eq!(round(&mut store, 250, inexact(176)), Ok(Emission::First));
    }
}
