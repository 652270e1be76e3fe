//! What is known of the copy in the target: where it ends there, and what else was met.

use wire::ProducerId;

use super::{outbound::Ready, track::Track};
use crate::flow::{landings::Fresh, tail::LookFor};

/// What stands before the end that is known of the target's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Before {
    /// What its leader had when the copy began anew. Nobody need ever have seen it.
    #[default]
    Anything,
    /// What was read there: it is not lost by rights.
    Readable,
    /// A batch of ours, acknowledged.
    Ours,
}

/// Something met in the target's log that nobody asked for. Offsets are the target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    /// Between two batches of ours are records that are not of the same copy.
    Between {
        from: i64,
        to: i64,
        /// The broker may have forgotten the producer id, so that they may be ours, once more, or what was before them may be lost: then the
        /// sequence that comes behind them, and what is known of those before.
        unchecked: Option<(i32, Before)>,
    },
    /// A batch came to stand before the end of what was acknowledged.
    Regressed { acknowledged: i64, end: i64 },
    /// Records of others are somewhere in this range.
    Foreign { from: i64, to: i64, records: u64 },
    /// Records of ours are there once more, somewhere in this range.
    Doubled { from: i64, to: i64, records: u64 },
}

#[derive(Debug, Default)]
pub(super) struct Landed {
    /// Where the target's log ends as far as it is known to be ours: behind the record acknowledged last, or where it ended when the copy began.
    /// None where it may not be read, and where records choose their topic and none is there yet.
    pub(super) end: Option<i64>,
    pub(super) before: Before,
    /// Absent where no anchors are stored.
    pub(super) track: Option<Box<Track>>,
    pub(super) met: Vec<Met>,
    /// The target has lost what was acknowledged, or so it seems: what the last anchor says of it stays, so that whoever starts anew sees it.
    pub(super) is_in_doubt: bool,
}

impl Landed {
    /// Takes over where a batch of ours stands in the target. `forgotten`: its leader may not have known the producer any more.
    pub(super) fn written(&mut self, batch: &Ready, offset: i64, forgotten: bool, fresh: &mut Fresh) {
        if offset < 0 {
            // It is somewhere behind what was acknowledged before.
            self.before = self.before.min(Before::Readable);
            return;
        }
        match self.end {
            Some(end) if offset > end => {
                let unchecked = forgotten.then_some((batch.sequence, self.before));
                self.met.push(Met::Between { from: end, to: offset, unchecked });
            }
            Some(end) if offset < end && self.before != Before::Anything => {
                self.met.push(Met::Regressed { acknowledged: end, end: offset });
            }
            _ => {}
        }
        self.end = Some(offset + i64::from(batch.records));
        self.before = Before::Ours;
        if let Some(track) = &mut self.track {
            track.written(batch, offset);
        }
        if fresh.is_kept() {
            batch.stretches(offset, |stretch| fresh.push(stretch));
        }
    }

    /// Where to look for batches of ours, the first of them with this sequence.
    pub(super) fn look_for(&self, producer: ProducerId, sequence: i32) -> Option<LookFor> {
        Some(LookFor { from: self.end?, producer, sequence, is_behind_ours: self.before == Before::Ours })
    }
}
