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
    /// Records acknowledged under the producer id.
    count: u64,
    map: MapWriter,
    /// Bytes acknowledged since the last anchor was stored.
    unanchored: usize,
    /// Nothing is sent before another anchor is stored.
    is_awaited: bool,
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
}

impl Track {
    /// Goes on from an anchor that is stored.
    pub(crate) fn new(anchor: &Anchor, map: MapWriter) -> Self {
        let &Anchor { generation, count, source_offset, .. } = anchor;
        let stored = (count, source_offset);
        Self { generation, count, map, unanchored: 0, is_awaited: false, stored, storing: None }
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
        let (producer, target_offset) = (self.producer?, self.landed.end?);
        let track = self.landed.track.as_mut()?;
        let of = (track.count, self.told);
        if of == track.stored && !track.is_awaited {
            return None;
        }
        track.storing = Some(Storing { of, bytes: track.unanchored, is_awaited: track.is_awaited });
        Some(track.map.update(Anchor {
            generation: track.generation,
            source_id: self.source_id,
            target_id: self.target_id,
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
            && let Some(Storing { of, bytes, is_awaited }) = track.storing.take()
        {
            track.stored = of;
            track.unanchored = track.unanchored.saturating_sub(bytes);
            track.is_awaited &= !is_awaited;
        }
        awaited && !self.awaits_anchor()
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
