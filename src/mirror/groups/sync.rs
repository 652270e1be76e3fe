//! Which offsets are committed for groups of the target (`sync.group.offsets.enabled`).

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use wire::{GroupType, ResponseError, TopicPartition, code_name};

use crate::{mirror::Untranslated, records::CheckpointValue};

/// What the target has under a group's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetGroup {
    /// Nothing, or a group without members: its offsets may be set.
    Free,
    /// A group with members: its offsets are theirs.
    Active {
        /// Kafka's name of its state, such as `Stable`.
        state: String,
    },
    /// No group of consumers, such as a share group.
    OtherType {
        /// Kafka's name of its type, or its protocol type where that is the difference.
        group_type: String,
    },
}

impl TargetGroup {
    /// By type, protocol type and state as brokers tell them (`ListGroups`, `DescribeGroups`, `ConsumerGroupDescribe`); a group that the target
    /// does not know is `Dead`.
    #[must_use]
    pub fn of(kind: &GroupType, protocol_type: &str, state: &str) -> Self {
        if !kind.is_of_consumers(protocol_type) {
            let group_type = if *kind == GroupType::Classic { protocol_type.to_owned() } else { kind.to_string() };
            return Self::OtherType { group_type };
        }
        match state {
            "Empty" | "Dead" => Self::Free,
            _ => Self::Active { state: state.to_owned() },
        }
    }
}

/// What becomes of a group's offset of one partition in the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionSync {
    /// It is to be committed.
    Write {
        /// The target's offset.
        offset: i64,
        /// What the group committed beside it at the source.
        metadata: String,
        /// Why.
        why: WriteReason,
    },
    /// It is left as it is.
    Leave(NotWritten),
}

/// Why an offset is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteReason {
    /// The target has none, or a negative one.
    Absent,
    /// The target's is lower.
    Behind,
    /// The group went back at the source, and the target's is what was committed here before that (`kmirror.group.sync.rewind`).
    Rewound,
}

/// Why an offset is not committed, or was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotWritten {
    /// The target has it.
    UpToDate,
    /// The target's is higher: somebody consumed there, or the group went back at the source.
    TargetAhead {
        /// The target's.
        offset: i64,
    },
    /// The group has members in the target.
    Active {
        /// Kafka's name of its state, or of the error by which the broker tells so.
        state: String,
    },
    /// The target has another kind of group under that name.
    OtherType {
        /// Kafka's name of its type.
        group_type: String,
    },
    /// Nobody knows what the group's offset is in the target.
    Untranslated(Untranslated),
    /// A right is missing.
    Denied {
        /// Kafka's name of the error.
        error: String,
    },
    /// The broker refused it otherwise.
    Failed {
        /// Kafka's name of the error.
        error: String,
    },
}

impl NotWritten {
    /// By a broker's answer to OffsetCommit. What tells that the group is no longer without members is no error.
    #[must_use]
    pub fn refused(error: ResponseError) -> Self {
        let name = code_name(error.code());
        match error {
            ResponseError::UnknownMemberId
            | ResponseError::IllegalGeneration
            | ResponseError::RebalanceInProgress
            | ResponseError::FencedMemberEpoch
            | ResponseError::StaleMemberEpoch => Self::Active { state: name },
            ResponseError::GroupAuthorizationFailed
            | ResponseError::TopicAuthorizationFailed
            | ResponseError::ClusterAuthorizationFailed => Self::Denied { error: name },
            _ => Self::Failed { error: name },
        }
    }

    /// For REST.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UpToDate => "UP_TO_DATE",
            Self::TargetAhead { .. } => "TARGET_AHEAD",
            Self::Active { .. } => "ACTIVE",
            Self::OtherType { .. } => "OTHER_TYPE",
            Self::Untranslated(reason) => reason.code(),
            Self::Denied { .. } => "DENIED",
            Self::Failed { .. } => "FAILED",
        }
    }
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpToDate => f.write_str("the target has this offset"),
            Self::TargetAhead { offset } => write!(f, "the target has a higher one, {offset}"),
            Self::Active { state } => write!(f, "the group has members in the target ({state})"),
            Self::OtherType { group_type } => {
                write!(f, "in the target this is no group of consumers, but {group_type}")
            }
            Self::Untranslated(reason) => reason.fmt(f),
            Self::Denied { error } => write!(f, "the target denies it: {error}"),
            Self::Failed { error } => write!(f, "the target refuses it: {error}"),
        }
    }
}

/// Decides what is committed for groups of the target.
///
/// A committed offset is never lowered: in the target, too, a group may have consumed. With `kmirror.group.sync.rewind` one is where the group
/// has gone back at the source, as long as the target has what was committed from here, so that nobody has consumed since.
#[derive(Debug)]
pub struct GroupSync {
    /// What was last committed, or checkpointed in an earlier life; absent where offsets are never lowered.
    known: Option<HashMap<String, BTreeMap<TopicPartition, CheckpointValue>>>,
}

impl GroupSync {
    /// `rewind` is `kmirror.group.sync.rewind`.
    #[must_use]
    pub fn new(rewind: bool) -> Self {
        Self { known: rewind.then(HashMap::new) }
    }

    /// A checkpoint's offset has been committed in the target. Also for those of an earlier life, before anything is decided.
    pub fn written(&mut self, group: &str, partition: &TopicPartition, checkpoint: &CheckpointValue) {
        if let Some(known) = &mut self.known {
            known.entry(group.to_owned()).or_default().insert(partition.clone(), checkpoint.clone());
        }
    }

    /// Decides for one group, by the target's partitions.
    ///
    /// `committed` is what the group has in the target (absent or negative for none), read just now: whoever consumes in between may be set back.
    /// `checkpoints` are the last ones that were emitted, `untranslated` those of the group's partitions that have no target offset now; of these
    /// the ones without an earlier checkpoint are left.
    pub fn decide<'c>(
        &self,
        group: &str,
        target: &TargetGroup,
        committed: &BTreeMap<TopicPartition, Option<i64>>,
        checkpoints: impl IntoIterator<Item = (&'c TopicPartition, &'c CheckpointValue)>,
        untranslated: &[(TopicPartition, Untranslated)],
    ) -> BTreeMap<TopicPartition, PartitionSync> {
        let leave = |reason: &Untranslated| PartitionSync::Leave(NotWritten::Untranslated(*reason));
        let mut decided: BTreeMap<_, _> =
            untranslated.iter().map(|(partition, reason)| (partition.clone(), leave(reason))).collect();
        let known = self.known.as_ref().map(|known| known.get(group));
        for (partition, checkpoint) in checkpoints {
            let sync = match target {
                TargetGroup::Free => {
                    let before = known.map(|known| known.and_then(|known| known.get(partition)));
                    let at = committed.get(partition).copied().flatten().filter(|offset| *offset >= 0);
                    decide(at, checkpoint, before.flatten())
                }
                TargetGroup::Active { state } => PartitionSync::Leave(NotWritten::Active { state: state.clone() }),
                TargetGroup::OtherType { group_type } => {
                    PartitionSync::Leave(NotWritten::OtherType { group_type: group_type.clone() })
                }
            };
            decided.insert(partition.clone(), sync);
        }
        decided
    }
}

/// One partition of a group without members. `known` is what was committed from here last.
fn decide(target: Option<i64>, checkpoint: &CheckpointValue, known: Option<&CheckpointValue>) -> PartitionSync {
    let offset = checkpoint.downstream_offset;
    let write = |why| PartitionSync::Write { offset, metadata: checkpoint.metadata.clone(), why };
    let Some(target) = target else { return write(WriteReason::Absent) };
    let went_back = known
        .is_some_and(|known| known.downstream_offset == target && checkpoint.upstream_offset < known.upstream_offset);
    match target.cmp(&offset) {
        std::cmp::Ordering::Less => write(WriteReason::Behind),
        std::cmp::Ordering::Equal => PartitionSync::Leave(NotWritten::UpToDate),
        std::cmp::Ordering::Greater if went_back => write(WriteReason::Rewound),
        std::cmp::Ordering::Greater => PartitionSync::Leave(NotWritten::TargetAhead { offset: target }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("source1.t", number)
    }

    fn checkpoint(upstream_offset: i64, downstream_offset: i64) -> CheckpointValue {
        CheckpointValue { upstream_offset, downstream_offset, metadata: "meta".to_owned() }
    }

    fn write(offset: i64, why: WriteReason) -> PartitionSync {
        PartitionSync::Write { offset, metadata: "meta".to_owned(), why }
    }

    /// One partition of a free group.
    fn one(sync: &GroupSync, target: Option<i64>, checkpoint: &CheckpointValue) -> PartitionSync {
        let committed = BTreeMap::from([(partition(0), target)]);
        let decided = sync.decide("g", &TargetGroup::Free, &committed, [(&partition(0), checkpoint)], &[]);
        decided[&partition(0)].clone()
    }

    #[test]
    fn idle_groups_move_forward() {
        // MirrorCheckpointTaskTest.testSyncOffset
        let sync = GroupSync::new(false);
        assert_eq!(one(&sync, Some(100), &checkpoint(200, 101)), write(101, WriteReason::Behind));
        assert_eq!(one(&sync, Some(50), &checkpoint(100, 51)), write(51, WriteReason::Behind));
    }

    #[test]
    fn offsets_that_are_not_there_are_written() {
        // MirrorCheckpointTaskTest.testSyncOffsetForTargetGroupWithNullOffsetAndMetadata
        let sync = GroupSync::new(false);
        for target in [None, Some(-1)] {
            assert_eq!(one(&sync, target, &checkpoint(200, 101)), write(101, WriteReason::Absent));
        }
        let checkpoint = checkpoint(200, 101);
        let decided = sync.decide("g", &TargetGroup::Free, &BTreeMap::new(), [(&partition(0), &checkpoint)], &[]);
        assert_eq!(decided, BTreeMap::from([(partition(0), write(101, WriteReason::Absent))]));
    }

    #[test]
    fn offsets_are_never_lowered() {
        let mut sync = GroupSync::new(false);
        sync.written("g", &partition(0), &checkpoint(400, 300));
        assert_eq!(one(&sync, Some(101), &checkpoint(200, 101)), PartitionSync::Leave(NotWritten::UpToDate));
        let ahead = PartitionSync::Leave(NotWritten::TargetAhead { offset: 300 });
        assert_eq!(one(&sync, Some(300), &checkpoint(200, 101)), ahead);
    }

    #[test]
    fn a_rewind_is_followed_where_nobody_has_consumed_since() {
        let mut sync = GroupSync::new(true);
        let ahead = PartitionSync::Leave(NotWritten::TargetAhead { offset: 300 });
        assert_eq!(one(&sync, Some(300), &checkpoint(200, 101)), ahead, "nobody knows who committed 300");
        sync.written("g", &partition(0), &checkpoint(400, 300));
        assert_eq!(one(&sync, Some(300), &checkpoint(200, 101)), write(101, WriteReason::Rewound));
        assert_eq!(
            one(&sync, Some(301), &checkpoint(200, 101)),
            PartitionSync::Leave(NotWritten::TargetAhead { offset: 301 }),
            "consumed in the target"
        );
        assert_eq!(one(&sync, Some(300), &checkpoint(400, 101)), ahead, "the source has not gone back");
        sync.written("g", &partition(0), &checkpoint(200, 101));
        assert_eq!(one(&sync, Some(300), &checkpoint(100, 51)), ahead, "300 was committed anew by somebody");
    }

    #[test]
    fn groups_with_members_and_other_types_are_left() {
        let sync = GroupSync::new(true);
        let (checkpoint, committed) = (checkpoint(200, 101), BTreeMap::new());
        let (classic, consumer) = (GroupType::Classic, GroupType::Consumer);
        for (kind, protocol_type, state, code) in [
            (&classic, "consumer", "Stable", "ACTIVE"),
            (&classic, "consumer", "PreparingRebalance", "ACTIVE"),
            (&classic, "consumer", "CompletingRebalance", "ACTIVE"),
            (&consumer, "consumer", "Assigning", "ACTIVE"),
            (&consumer, "consumer", "Reconciling", "ACTIVE"),
            (&GroupType::Share, "share", "Empty", "OTHER_TYPE"),
            (&GroupType::Streams, "streams", "Empty", "OTHER_TYPE"),
            (&classic, "connect", "Empty", "OTHER_TYPE"),
        ] {
            let target = TargetGroup::of(kind, protocol_type, state);
            let decided = sync.decide("g", &target, &committed, [(&partition(0), &checkpoint)], &[]);
            let PartitionSync::Leave(reason) = &decided[&partition(0)] else { panic!("{target:?}: {decided:?}") };
            assert_eq!(reason.code(), code, "{target:?}");
        }
        for (kind, protocol_type, state) in
            [(&classic, "consumer", "Empty"), (&classic, "", "Dead"), (&consumer, "consumer", "Empty")]
        {
            assert_eq!(TargetGroup::of(kind, protocol_type, state), TargetGroup::Free);
        }
        let other = |kind, protocol_type| TargetGroup::of(kind, protocol_type, "");
        assert_eq!(other(&classic, "connect"), TargetGroup::OtherType { group_type: "connect".into() });
        assert_eq!(other(&GroupType::Share, "share"), TargetGroup::OtherType { group_type: "share".into() });
    }

    #[test]
    fn partitions_without_a_checkpoint_are_left_with_their_reason() {
        let sync = GroupSync::new(false);
        let untranslated = [
            (partition(0), Untranslated::NotMirrored),
            (partition(1), Untranslated::BeforeMirror { first: 10, records: 5 }),
        ];
        // Partition 1 was checkpointed before.
        let last = checkpoint(3, 2);
        for target in [TargetGroup::Free, TargetGroup::Active { state: "Stable".to_owned() }] {
            let decided = sync.decide("g", &target, &BTreeMap::new(), [(&partition(1), &last)], &untranslated);
            let reason = NotWritten::Untranslated(Untranslated::NotMirrored);
            assert_eq!(decided[&partition(0)], PartitionSync::Leave(reason));
            assert_eq!(decided[&partition(1)] == write(2, WriteReason::Absent), target == TargetGroup::Free);
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        for (error, code, sentence) in [
            (ResponseError::UnknownMemberId, "ACTIVE", "the group has members in the target (UNKNOWN_MEMBER_ID)"),
            (ResponseError::StaleMemberEpoch, "ACTIVE", "the group has members in the target (STALE_MEMBER_EPOCH)"),
            (ResponseError::GroupAuthorizationFailed, "DENIED", "the target denies it: GROUP_AUTHORIZATION_FAILED"),
            (ResponseError::GroupIdNotFound, "FAILED", "the target refuses it: GROUP_ID_NOT_FOUND"),
        ] {
            let reason = NotWritten::refused(error);
            assert_eq!((reason.code(), reason.to_string().as_str()), (code, sentence));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_never_lower_than_what_is_there(target in -1_i64..50, upstream in 0_i64..50, downstream in 0_i64..50) {
            match one(&GroupSync::new(false), Some(target), &checkpoint(upstream, downstream)) {
                PartitionSync::Write { offset, .. } => prop_assert!(offset > target && offset == downstream),
                PartitionSync::Leave(_) => prop_assert!(target >= downstream),
            }
        }
    }
}
