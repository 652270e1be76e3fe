//! What is stored of a copy so that it is found again: how far it is, and where its records stand in the target.

use super::{Partition, outbound::Ready};
use crate::{
    flow::landings::Stretch,
    offsets::{Anchor, MapWriter, Update},
};

/// Beyond so many bytes acknowledged since the last anchor was stored nothing more is sent: whoever takes over reads all of them again.
const MOST_UNANCHORED: usize = 256 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Track {
    /// Of this owner.
    generation: u64,
    /// Topics of the source and of the target that it copies: once they are made again the partition knows others before it has left them.
    /// Zero where the cluster tells none.
    topics: [u128; 2],
    /// Records acknowledged under the producer id.
    count: u64,
    map: MapWriter,
    /// Bytes acknowledged since the last anchor was stored.
    unanchored: usize,
    /// Nothing is sent before another anchor is stored.
    is_awaited: bool,
    /// The map tells more of what was copied before than is stored.
    has_grown: bool,
    /// Count and next source offset in the anchor stored last.
    stored: (u64, i64),
    /// The one that is being stored.
    storing: Option<Storing>,
}

#[derive(Debug, Clone, Copy)]
struct Storing {
    of: (u64, i64),
    bytes: usize,
    is_awaited: bool,
    has_grown: bool,
}

impl Track {
    /// Goes on from an anchor that is stored.
    pub(crate) fn new(anchor: &Anchor, map: MapWriter) -> Self {
        let &Anchor { generation, source_id, target_id, count, source_offset, .. } = anchor;
        let (stored, topics) = ((count, source_offset), [source_id, target_id]);
        Self {
            generation,
            topics,
            count,
            map,
            unanchored: 0,
            is_awaited: false,
            has_grown: false,
            stored,
            storing: None,
        }
    }

    /// The target has a batch of ours from this offset of its own on.
    pub(super) fn written(&mut self, batch: &Ready, offset: i64) {
        self.count += u64::from(batch.records.unsigned_abs());
        self.unanchored += batch.bytes();
        batch.stretches(offset, |Stretch { source, target, records }| {
            self.map.written(source, target, u32::try_from(records).unwrap_or(u32::MAX));
        });
    }
}

impl Partition {
    /// Generation of the anchors that are stored for it; none where none are.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.landed.track.as_ref().map(|track| track.generation)
    }

    /// Nothing goes out before an anchor is stored.
    pub(crate) fn awaits_anchor(&self) -> bool {
        self.landed.track.as_ref().is_some_and(|track| track.is_awaited || track.unanchored >= MOST_UNANCHORED)
    }

    /// What of it is to be stored now; nothing if that is stored already. `target_epoch`: the leader's, −1 for none.
    pub(crate) fn anchor(&mut self, target_epoch: i32) -> Option<Update> {
        if self.landed.is_in_doubt {
            return None;
        }
        let (producer, target_offset) = (self.producer?, self.landed.end?);
        let track = self.landed.track.as_mut()?;
        let of = (track.count, self.told);
        if of == track.stored && !track.is_awaited && !track.has_grown {
            return None;
        }
        let Track { unanchored: bytes, is_awaited, has_grown, .. } = **track;
        track.storing = Some(Storing { of, bytes, is_awaited, has_grown });
        let topics = track.topics;
        let topic = |end: usize, known: u128| if topics[end] == 0 { known } else { topics[end] };
        Some(track.map.update(Anchor {
            generation: track.generation,
            source_id: topic(0, self.source_id),
            target_id: topic(1, self.target_id),
            source_epoch: self.epochs.before(self.told),
            target_epoch,
            producer,
            count: track.count,
            source_offset: self.told,
            target_offset,
            left_out: self.refusals.left_out(),
        }))
    }

    /// What [`Partition::anchor`] told last is stored. True if it waited for that.
    pub(crate) fn anchored(&mut self) -> bool {
        let awaited = self.awaits_anchor();
        if let Some(track) = &mut self.landed.track
            && let Some(Storing { of, bytes, is_awaited, has_grown }) = track.storing.take()
        {
            track.stored = of;
            track.unanchored = track.unanchored.saturating_sub(bytes);
            track.is_awaited &= !is_awaited;
            track.has_grown &= !has_grown;
        }
        awaited && !self.awaits_anchor()
    }

    /// The source offset before which somebody else's copy is still to be compared with its source.
    pub(crate) fn uncompared(&self) -> Option<i64> {
        self.landed.track.as_ref()?.map.uncompared()
    }

    /// What was found of that copy before a source offset, when the topics had these ids.
    pub(crate) fn compared(&mut self, until: i64, topics: (u128, u128), found: MapWriter) {
        if let Some(track) = &mut self.landed.track {
            track.map.compared(until, topics, found);
            track.has_grown = true;
            // One that is under way does not tell it.
            if let Some(storing) = &mut track.storing {
                storing.has_grown = false;
            }
        }
    }

    /// What the next anchor tells has to be known before anything more goes out.
    pub(super) fn await_anchor(&mut self) {
        if let Some(track) = &mut self.landed.track {
            track.is_awaited = true;
            // One that is under way does not tell it.
            if let Some(storing) = &mut track.storing {
                storing.is_awaited = false;
            }
        }
    }
}
