//! A partition that goes on behind a gap: what is under way ends first, then it begins anew.

use std::time::Instant;

use wire::{FetchedPartition, ProducerId};

use super::{Epochs, Gap, Landed, Met, Onward, OpenTransaction, Partition, Stopped, routes::Routes};

/// On its way out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    onward: Onward,
    map_holds_until: (i64, i64),
    /// The target no longer takes what is under way, so only answers are waited for.
    is_target: bool,
}

/// How a partition begins behind a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) onward: Onward,
    /// From which source and which target offset on the offset map holds no more.
    pub(crate) map_holds_until: (i64, i64),
}

impl Partition {
    /// What is under way to the target may be in the log behind a gap: how far the copy is, is known when that is answered. Until then the gap
    /// is put off, and nothing more is sent. Gives it back where nothing is to be waited for.
    pub(crate) fn put_off(&mut self, gap: Gap) -> Option<Gap> {
        if !gap.is_at_target() || self.outbound.is_at_rest() {
            return Some(gap);
        }
        self.put_off.get_or_insert_with(|| Box::new(gap));
        None
    }

    /// The gap that was put off, when it may be met.
    pub(crate) fn take_put_off(&mut self) -> Option<Gap> {
        self.put_off.take_if(|_| self.outbound.is_at_rest()).map(|gap| *gap)
    }

    /// It will go on behind a gap.
    pub(crate) fn leave(&mut self, gap: &Gap, onward: Onward) {
        let (is_target, map_holds_until) = (gap.is_at_target(), gap.map_holds_until());
        self.leaving = Some(Leaving { onward, map_holds_until, is_target });
    }

    /// A gap has stopped it.
    pub(crate) fn end_at(&mut self, gap: Gap) {
        if gap.is_at_target() {
            self.abandon();
        }
        self.stop(Stopped::Gap(gap));
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// The target no longer takes what is under way, or perhaps not.
    pub(super) fn is_leaving_target(&self) -> bool {
        self.suspected.is_some() || self.put_off.is_some() || self.leaving.is_some_and(|leaving| leaving.is_target)
    }

    /// The target seems to have lost records from `end` on of those acknowledged. Nothing is sent until that is clear: its topic may be
    /// another one.
    pub(crate) fn suspect(&mut self, acknowledged: i64, end: i64, now: Instant) {
        self.suspected.get_or_insert((acknowledged, end, now));
        self.landed.is_in_doubt = true;
    }

    /// The target's topic is another one: of what was lost with the former its anchors tell by that one's id.
    pub(crate) fn end_doubt(&mut self) {
        self.suspected = None;
        self.landed.is_in_doubt = false;
    }

    /// From where on it seems so, and since when.
    pub(crate) fn suspected(&self) -> Option<(i64, Instant)> {
        self.suspected.map(|(_, end, since)| (end, since))
    }

    /// It is clear now. Up to where all was acknowledged, and from where on that is lost.
    pub(crate) fn take_suspected(&mut self) -> Option<(i64, i64)> {
        self.suspected.take().map(|(acknowledged, end, _)| (acknowledged, end))
    }

    /// Whether nothing of before a gap is under way any more, so that it can begin behind it.
    pub(crate) fn has_left(&mut self) -> bool {
        // While the target is only suspected, what is under way may still be taken.
        let Some(Leaving { is_target, .. }) = self.leaving.filter(|_| self.suspected.is_none()) else { return false };
        if is_target && self.outbound.is_at_rest() {
            self.abandon();
        }
        self.outbound.is_empty() && self.answer.is_none() && self.fetching.is_none()
    }

    /// Forgets the copy up to the gap: it is to be prepared as one that begins.
    pub(crate) fn begin_behind(&mut self) -> Option<Behind> {
        let Leaving { onward, map_holds_until, .. } = self.leaving.take()?;
        self.producer = None;
        self.landed = Landed::default();
        self.epochs = Epochs::default();
        self.transaction = OpenTransaction::default();
        self.routes = self.routes.take().map(|_| Box::<Routes>::default());
        (self.strikes, self.starved, self.late) = (0, false, None);
        Some(Behind { onward, map_holds_until })
    }

    /// Leader epoch of the source's record before the next to fetch, −1 where that is not known.
    pub(crate) fn last_epoch(&self) -> i32 {
        self.epochs.before(self.position)
    }

    pub(crate) fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// The source has no epochs to compare with.
    pub(crate) fn forget_epochs(&mut self) {
        self.epochs = Epochs::default();
    }

    /// Up to where all is acknowledged or left out, source offset.
    pub(crate) fn told_up_to(&self) -> i64 {
        self.told
    }

    /// Under which it writes.
    pub(crate) fn producer(&self) -> Option<ProducerId> {
        self.producer
    }

    /// What was met in the target's log.
    pub(crate) fn take_met(&mut self) -> Vec<Met> {
        std::mem::take(&mut self.landed.met)
    }
}

/// Whether the replica's log is not the one that was fetched from, or lags behind it.
pub(crate) fn is_diverged(part: &FetchedPartition) -> bool {
    part.error == 0 && part.diverged.is_some()
}

#[cfg(test)]
mod tests;
