//! What breaks a copy: found by comparing what was last seen of both logs with what they are now. Pure.

use std::fmt;

use wire::{EpochEnd, TopicPartition};

use super::{
    epochs::Epochs,
    events::{Action, EventKind, GapPolicy, Happened, OffsetsOf},
};

/// A partition in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The cluster's alias.
    pub cluster: String,
    /// Its partition.
    pub partition: TopicPartition,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of cluster {}", self.partition, self.cluster)
    }
}

/// Why a partition can't go on as if nothing had happened. Offsets are those of the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// The source's log begins behind what is to be copied next.
    #[error("{at}: offsets {position} to {last} were gone before they were copied (retention, or DeleteRecords)", last = *.log_start - 1)]
    DataLoss {
        /// At the source.
        at: Place,
        /// Next offset to copy.
        position: i64,
        /// First offset there.
        log_start: i64,
    },
    /// What was copied is not in the source's log any more.
    #[error(
        "{at}: from offset {offset} on the log is not the one that was copied up to offset {position} (unclean leader election, or a restored \
         broker)"
    )]
    SourceDiverged {
        /// At the source.
        at: Place,
        /// Next offset to copy.
        position: i64,
        /// First offset that is not as it was copied, as far as leader epochs tell.
        offset: i64,
    },
    /// The source's log ends before what is to be copied next.
    #[error(
        "{at}: next to copy is offset {position}, and the log ends at {log_end} (the position is another topic's, or records were lost)"
    )]
    PositionBeyondSource {
        /// At the source.
        at: Place,
        /// Next offset to copy.
        position: i64,
        /// One past the last offset there.
        log_end: i64,
    },
    /// The source's topic is another one now.
    #[error("{at}: the topic was deleted and made again (id {was:032x}, now {is:032x})")]
    TopicRecreated {
        /// At the source.
        at: Place,
        /// Topic id when the copy started.
        was: u128,
        /// Topic id now.
        is: u128,
    },
    /// The target's topic is another one now.
    #[error("{at}: the topic was deleted and made again (id {was:032x}, now {is:032x})")]
    TargetRecreated {
        /// At the target.
        at: Place,
        /// Topic id when the copy started.
        was: u128,
        /// Topic id now.
        is: u128,
    },
    /// The target's log has lost records that it had acknowledged.
    #[error(
        "{at}: acknowledged were records up to offset {acknowledged}, and from offset {end} on they were lost (unclean leader election, or a \
         restored broker)"
    )]
    TargetRegressed {
        /// At the target.
        at: Place,
        /// One past the last record it had acknowledged.
        acknowledged: i64,
        /// First offset that has not what was acknowledged.
        end: i64,
    },
    /// The target does not tell how far the copy is.
    #[error("{at}: how far it was copied can't be found out: {cause}")]
    AnchorLost {
        /// At the source.
        at: Place,
        /// Why not.
        cause: String,
    },
}

/// Where a partition goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onward {
    /// At this source offset.
    At(i64),
    /// At the source's log start.
    Earliest,
    /// Where the record stood in the source that stood at this offset in the target.
    CopyOf(i64),
}

impl Gap {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::DataLoss { .. } => EventKind::DataLoss,
            Self::SourceDiverged { .. } => EventKind::SourceDiverged,
            Self::PositionBeyondSource { .. } => EventKind::PositionBeyondSource,
            Self::TopicRecreated { .. } => EventKind::TopicRecreated,
            Self::TargetRecreated { .. } => EventKind::TargetRecreated,
            Self::TargetRegressed { .. } => EventKind::TargetRegressed,
            Self::AnchorLost { .. } => EventKind::AnchorLost,
        }
    }

    pub(crate) fn is_at_target(&self) -> bool {
        matches!(self, Self::TargetRecreated { .. } | Self::TargetRegressed { .. })
    }

    /// Where the partition goes on under a policy, if it does: `next` is the first source offset that is not known to be copied.
    pub(crate) fn onward(&self, policy: GapPolicy, next: i64) -> Option<Onward> {
        let recopy = match policy {
            GapPolicy::Fail => return None,
            GapPolicy::Continue => false,
            GapPolicy::Recopy => true,
        };
        Some(match *self {
            Self::DataLoss { log_start, .. } => Onward::At(log_start),
            Self::SourceDiverged { offset, .. } => Onward::At(offset),
            Self::PositionBeyondSource { log_end, .. } if !recopy => Onward::At(log_end),
            Self::TargetRegressed { end, .. } if recopy => Onward::CopyOf(end),
            Self::PositionBeyondSource { .. } | Self::TopicRecreated { .. } => Onward::Earliest,
            Self::TargetRecreated { .. } if recopy => Onward::Earliest,
            Self::TargetRecreated { .. } | Self::TargetRegressed { .. } | Self::AnchorLost { .. } => Onward::At(next),
        })
    }

    /// From which source and which target offset on the offset map holds no more, behind this gap.
    pub(crate) fn map_holds_until(&self) -> (i64, i64) {
        match *self {
            Self::SourceDiverged { offset, .. } => (offset, i64::MAX),
            Self::PositionBeyondSource { log_end, .. } => (log_end, i64::MAX),
            Self::TargetRegressed { end, .. } => (i64::MAX, end),
            Self::TopicRecreated { .. } | Self::TargetRecreated { .. } => (0, 0),
            Self::DataLoss { .. } | Self::AnchorLost { .. } => (i64::MAX, i64::MAX),
        }
    }

    /// What is told of it.
    pub(crate) fn happened(&self, source: TopicPartition, target: TopicPartition, action: Action) -> Happened {
        let (from, to) = match *self {
            Self::DataLoss { position, log_start, .. } => (position, log_start),
            Self::SourceDiverged { position, offset, .. } => (offset, position),
            Self::PositionBeyondSource { position, log_end, .. } => (log_end, position),
            Self::TargetRegressed { acknowledged, end, .. } => (end, acknowledged),
            Self::TopicRecreated { .. } | Self::TargetRecreated { .. } | Self::AnchorLost { .. } => (-1, -1),
        };
        let records = if from < 0 { None } else { u64::try_from(to - from).ok() };
        let offsets_of = if self.is_at_target() { OffsetsOf::Target } else { OffsetsOf::Source };
        let (kind, message) = (self.kind(), self.to_string());
        Happened { kind, source, target, offsets_of, from, to, records, action, message }
    }
}

/// What the source's leader tells of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// First offset.
    pub(crate) start: i64,
    /// One past the last, replicated or not.
    pub(crate) end: i64,
    /// Of the epoch of the record that was copied last; none where epochs can't be compared.
    pub(crate) of_epoch: Option<EpochEnd>,
}

impl Bounds {
    /// What keeps the copy from going on at `position`, if anything does.
    pub(crate) fn gap(&self, at: Place, position: i64, epochs: &Epochs) -> Option<Gap> {
        let &Self { start: log_start, end: log_end, of_epoch } = self;
        if position < log_start {
            return Some(Gap::DataLoss { at, position, log_start });
        }
        if let Some(offset) = of_epoch.and_then(|told| epochs.diverged_at(position, told)) {
            return Some(Gap::SourceDiverged { at, position, offset: offset.max(log_start) });
        }
        (position > log_end).then_some(Gap::PositionBeyondSource { at, position, log_end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Place {
        Place { cluster: "a".to_owned(), partition: TopicPartition::new("t", 3) }
    }

    #[test]
    fn bounds_tell_what_is_missing() {
        let epochs = |epoch| Epochs::starting_with(epoch);
        let told = |leader_epoch, end_offset| Some(EpochEnd { leader_epoch, end_offset });
        let gap = |start, end, of_epoch, epoch| Bounds { start, end, of_epoch }.gap(at(), 100, &epochs(epoch));
        assert_eq!(gap(0, 100, None, -1), None, "all of it was copied");
        assert_eq!(gap(0, 200, told(4, 200), 4), None);
        assert_eq!(gap(100, 200, told(4, 150), 4), None, "a new leader since");
        assert_eq!(gap(120, 200, None, -1), Some(Gap::DataLoss { at: at(), position: 100, log_start: 120 }));
        assert_eq!(gap(0, 90, None, -1), Some(Gap::PositionBeyondSource { at: at(), position: 100, log_end: 90 }));
        let diverged = |offset| Some(Gap::SourceDiverged { at: at(), position: 100, offset });
        assert_eq!(gap(0, 90, told(4, 90), 4), diverged(90), "shorter");
        assert_eq!(gap(0, 300, told(4, 90), 4), diverged(90), "grown again");
        assert_eq!(gap(95, 300, told(4, 90), 4), diverged(95), "and cut at the start");
    }

    #[test]
    fn policies_say_where_to_go_on() {
        use GapPolicy::{Continue, Fail, Recopy};
        let loss = Gap::DataLoss { at: at(), position: 100, log_start: 120 };
        let diverged = Gap::SourceDiverged { at: at(), position: 100, offset: 90 };
        let beyond = Gap::PositionBeyondSource { at: at(), position: 100, log_end: 90 };
        let recreated = Gap::TopicRecreated { at: at(), was: 1, is: 2 };
        let target = Gap::TargetRecreated { at: at(), was: 1, is: 2 };
        let regressed = Gap::TargetRegressed { at: at(), acknowledged: 80, end: 70 };
        let lost = Gap::AnchorLost { at: at(), cause: String::new() };
        for (gap, on, again) in [
            (&loss, Onward::At(120), Onward::At(120)),
            (&diverged, Onward::At(90), Onward::At(90)),
            (&beyond, Onward::At(90), Onward::Earliest),
            (&recreated, Onward::Earliest, Onward::Earliest),
            (&target, Onward::At(100), Onward::Earliest),
            (&regressed, Onward::At(100), Onward::CopyOf(70)),
            (&lost, Onward::At(100), Onward::At(100)),
        ] {
            let onward = [Fail, Continue, Recopy].map(|policy| gap.onward(policy, 100));
            assert_eq!(onward, [None, Some(on), Some(again)], "{gap}");
        }
        assert_eq!(
            loss.to_string(),
            "t-3 of cluster a: offsets 100 to 119 were gone before they were copied (retention, or DeleteRecords)"
        );
        let what = regressed.happened(TopicPartition::new("t", 3), TopicPartition::new("a.t", 3), Action::Stopped);
        assert_eq!((what.offsets_of, what.from, what.to, what.records), (OffsetsOf::Target, 70, 80, Some(10)));
    }
}
