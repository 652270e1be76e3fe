//! The part of a map that a copy extends. Pure.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;

use super::anchor::{Anchor, same_topics};
use crate::records::offset_map::{AnchorValue, BlockId, BlockValue, Era, MapKey, MapLink, Run, Runs};

/// Runs in a block.
pub const BLOCK_RUNS: u32 = 512;
/// Eras that are remembered: positions are set back by hand. Beyond, the oldest goes.
const MOST_ERAS: usize = 64;

/// Topic ids, source and target.
type Topics = (u128, u128);

/// Extends the map of one link; the flow holds one per partition. Cheap where nothing breaks: a plain topic's map is one run.
#[derive(Debug)]
pub struct MapWriter {
    /// Oldest first, each with the topics it is about: none until an anchor tells.
    eras: Vec<(Option<Topics>, Era)>,
    /// The newest runs of the last era. None: that era has ended.
    open: Option<Runs>,
    /// Blocks not known to be stored.
    sealed: VecDeque<Sealed>,
    /// One past the number of the last block that is stored; told by the store.
    stored: Arc<AtomicU32>,
    next_block: u32,
    target_end: i64,
    /// What stands before the first era was copied by somebody else, and is still to be compared.
    is_uncompared: bool,
    /// [`BLOCK_RUNS`], fewer in tests.
    block_runs: u32,
}

/// A block that gets no more runs.
#[derive(Debug, Clone)]
struct Sealed {
    number: u32,
    runs: Arc<Runs>,
}

/// What has to be stored now: blocks, then the anchor that no longer has their runs. Storing it again, or not at all because a newer one has
/// come, does no harm.
#[derive(Debug, Clone)]
pub struct Update {
    anchor: Anchor,
    eras: Vec<Era>,
    open: Option<Runs>,
    sealed: Vec<Sealed>,
    stored: Arc<AtomicU32>,
    next_block: u32,
    is_uncompared: bool,
}

/// A map of nothing yet.
impl Default for MapWriter {
    fn default() -> Self {
        Self::restore(None)
    }
}

impl MapWriter {
    /// Goes on where a stored map ends; from nothing where there is none.
    pub(super) fn restore(stored: Option<&AnchorValue>) -> Self {
        let topics = stored.map(|value| (value.source_id, value.target_id));
        let eras: Vec<_> = stored.iter().flat_map(|value| &value.eras).map(|era| (topics, *era)).collect();
        let open = stored.and_then(|value| value.open.clone()).filter(|_| !eras.is_empty());
        let next_block = eras.iter().map(|(_, era)| era.next_block).max().unwrap_or(0);
        let target_end =
            stored.map_or(0, |value| value.target_offset).max(open.as_ref().map_or(0, |open| open.end().1));
        let is_uncompared = stored.is_some_and(|value| value.is_uncompared);
        let stored = Arc::new(AtomicU32::new(next_block));
        let (sealed, block_runs) = (VecDeque::new(), BLOCK_RUNS);
        Self { eras, open, sealed, stored, next_block, target_end, is_uncompared, block_runs }
    }

    /// The target has acknowledged `records` of them: source offsets from `source` on stand from `target` on. To be told in the order of both; a
    /// source offset before the end of what was told begins a copy anew.
    pub fn written(&mut self, source: i64, target: i64, records: u32) {
        if records == 0 {
            return;
        }
        let run = Run { source, target, records: i64::from(records) };
        if let Some(open) = &self.open
            && open.len() >= self.block_runs
            && open.end() != (source, target)
        {
            self.seal();
        }
        // Within a block, runs that do not ascend are not taken; this holds for the era as a whole.
        let ascends = target >= self.target_end;
        if !(ascends && self.open.as_mut().is_some_and(|open| open.push(run))) {
            self.begin(source);
            if let Some(open) = &mut self.open {
                open.push(run);
            }
        }
        self.target_end = run.end().1;
    }

    /// One past the last record of the copy in the target, where the map tells.
    pub(crate) fn end_of_copy(&self) -> Option<i64> {
        self.open.as_ref().filter(|open| !open.is_empty()).map(|open| open.end().1)
    }

    /// The position was set, and the copy goes on from there: back, so that what was copied is copied again; or forward. What is copied from now
    /// on wins over what was copied before. Where the copy stands already, this does nothing.
    pub fn copies_again_from(&mut self, source: i64) {
        if self.open.is_some() && self.eras.last().is_some_and(|(_, era)| source == self.position(era)) {
            return;
        }
        self.begin(source);
    }

    /// What stands before was copied by somebody who kept no map. Where source and target are still alike, it is told later:
    /// [`MapWriter::compared`].
    pub(crate) fn begins_behind_another_s(&mut self) {
        self.is_uncompared = true;
    }

    /// The source offset before which somebody else's copy is still to be compared.
    pub(crate) fn uncompared(&self) -> Option<i64> {
        let (_, first) = self.eras.first().filter(|_| self.is_uncompared)?;
        Some(first.from)
    }

    /// What was found of somebody else's copy before the source offset `until`, where this map began, of topics with these ids. A map that
    /// begins elsewhere by now leaves it alone.
    pub(crate) fn compared(&mut self, until: i64, topics: Topics, mut older: Self) {
        self.is_uncompared = false;
        let is_of =
            |(of, era): &(Option<Topics>, Era)| era.from == until && of.is_none_or(|of| same_topics(of, topics));
        older.close();
        if older.eras.is_empty() || !self.eras.first().is_some_and(is_of) {
            return;
        }
        // Blocks are numbered in the order in which they are stored, and an era's follow one another.
        let live = self.open.as_ref().and(self.eras.last()).map(|(_, era)| (self.position(era), era.target_from));
        self.close();
        let behind = self.next_block;
        self.sealed.extend(older.sealed.into_iter().map(|block| Sealed { number: behind + block.number, ..block }));
        self.next_block += older.next_block;
        let renumbered = older.eras.into_iter().map(|(_, era)| {
            let (first_block, next_block) = (behind + era.first_block, behind + era.next_block);
            (Some(topics), Era { first_block, next_block, ..era })
        });
        self.eras.splice(..0, renumbered);
        self.eras.drain(..self.eras.len().saturating_sub(MOST_ERAS - 1));
        self.drop_void();
        if let Some((source, target_from)) = live {
            self.begin(source);
            // It is the same copy that goes on.
            if let Some((_, era)) = self.eras.last_mut() {
                era.target_from = target_from;
            }
        }
    }

    /// For a map of what somebody else copied: a stretch begins at these offsets.
    pub(crate) fn stretch_begins(&mut self, source: i64, target: i64) {
        self.target_end = self.target_end.max(target);
        self.begin(source);
    }

    /// The stretch that was begun last, if any of it was told, reaches up to this source offset: no record stands between there and the last
    /// that was told.
    pub(crate) fn stretch_reaches(&mut self, source: i64) {
        let is_told = self.open.as_ref().is_some_and(|open| !open.is_empty());
        self.close();
        if let Some((_, era)) = self.eras.last_mut().filter(|_| is_told) {
            era.end = era.end.max(source);
        }
    }

    /// Of what was mapped, nothing holds any more from these offsets on: the source has other records from `source` on (it diverged), or the
    /// target has lost what stood from `target` on. i64::MAX for a side that keeps all; (0, 0) forgets everything. No copy extends the map until
    /// [`MapWriter::copies_again_from`] says from where on, or the next anchor.
    pub fn holds_until(&mut self, source: i64, target: i64) {
        self.close();
        for (_, era) in &mut self.eras {
            era.end = era.end.min(source);
        }
        self.eras.retain(|(_, era)| era.end > era.from && era.target_from < target);
        self.target_end = self.target_end.min(target);
        self.drop_void();
    }

    /// What has to be stored so that the stored map is that of this moment. The anchor's offsets are to include all that was
    /// [`written`](Self::written). Another topic id than the anchor before had makes void what was mapped before.
    pub fn update(&mut self, anchor: Anchor) -> Update {
        let topics = (anchor.source_id, anchor.target_id);
        if self.eras.iter().any(|(of, _)| of.is_some_and(|of| !same_topics(of, topics))) {
            if self.eras.last().is_some_and(|(of, _)| of.is_some()) {
                self.open = None;
            }
            self.eras.retain(|(of, _)| of.is_none_or(|of| same_topics(of, topics)));
            self.drop_void();
        }
        if self.open.is_none() {
            self.begin(anchor.source_offset);
        }
        self.target_end = self.target_end.max(anchor.target_offset);
        let position = anchor.source_offset.max(self.open.as_ref().map_or(0, |open| open.end().0));
        if let Some((_, mut current)) = self.eras.pop() {
            current.end = current.end.max(position);
            // What is copied again as a whole is forgotten, once nothing of what is older lies ahead: until then, this era may be dropped itself.
            if self.eras.iter().all(|(_, era)| era.end <= current.end) {
                self.eras.retain_mut(|(_, era)| {
                    era.end = era.end.min(current.from);
                    era.end > era.from
                });
            }
            self.eras.push((None, current));
        }
        for (of, _) in &mut self.eras {
            *of = Some(topics);
        }
        let stored = self.stored.load(Ordering::Acquire);
        self.sealed.retain(|block| block.number >= stored);
        Update {
            anchor,
            eras: self.eras.iter().map(|(_, era)| *era).collect(),
            open: self.open.clone(),
            sealed: self.sealed.iter().cloned().collect(),
            stored: Arc::clone(&self.stored),
            next_block: self.next_block,
            is_uncompared: self.is_uncompared,
        }
    }

    /// What it tells, for tests: the source offsets of each era, and its runs.
    #[cfg(test)]
    pub(crate) fn told(&self) -> Vec<(i64, i64, Vec<Run>)> {
        let of = |at: usize, era: &Era| {
            let is_of = |block: &&Sealed| (era.first_block..era.next_block).contains(&block.number);
            let sealed = self.sealed.iter().filter(is_of).flat_map(|block| block.runs.iter());
            let open = self.open.as_ref().filter(|_| at + 1 == self.eras.len());
            let end = open.map_or(era.end, |open| era.end.max(open.end().0));
            (era.from, end, sealed.chain(open.into_iter().flat_map(Runs::iter)).collect())
        };
        self.eras.iter().enumerate().map(|(at, (_, era))| of(at, era)).collect()
    }

    /// Up to where a live era has been copied.
    fn position(&self, era: &Era) -> i64 {
        self.open.as_ref().map_or(era.end, |open| open.end().0.max(era.end))
    }

    fn begin(&mut self, source: i64) {
        self.close();
        for at in (0..self.eras.len()).rev() {
            if !leads_on(&self.eras, at, source) {
                self.eras.remove(at);
            }
        }
        if self.eras.len() == MOST_ERAS {
            self.eras.remove(0);
        }
        self.drop_void();
        let (first_block, next_block) = (self.next_block, self.next_block);
        self.eras
            .push((None, Era { from: source, end: source, target_from: self.target_end, first_block, next_block }));
        self.open = Some(Runs::new(source));
    }

    /// Ends the live era.
    fn close(&mut self) {
        if self.open.as_ref().is_some_and(|open| !open.is_empty()) {
            self.seal();
        }
        let end = self.open.take().map(|open| open.end().0);
        if let (Some(end), Some((_, era))) = (end, self.eras.last_mut()) {
            era.end = era.end.max(end);
            if era.end == era.from {
                self.eras.pop();
            }
        }
    }

    /// Makes a block of the newest runs.
    fn seal(&mut self) {
        if let (Some(open), Some((_, era))) = (&mut self.open, self.eras.last_mut()) {
            let runs = Arc::new(std::mem::replace(open, Runs::new(open.end().0)));
            self.sealed.push_back(Sealed { number: self.next_block, runs });
            self.next_block += 1;
            era.next_block = self.next_block;
        }
    }

    /// Blocks of eras that are gone need not be stored.
    fn drop_void(&mut self) {
        let eras = &self.eras;
        let is_wanted = |number| eras.iter().any(|(_, era)| (era.first_block..era.next_block).contains(&number));
        self.sealed.retain(|block| is_wanted(block.number));
    }
}

/// Whether who reads on from an era at `at` meets all that is mirrored behind it, when the copy goes on from `source`: records that only older
/// eras have are passed over otherwise.
fn leads_on(eras: &[(Option<Topics>, Era)], at: usize, source: i64) -> bool {
    let Some((_, era)) = eras.get(at) else { return true };
    let (older, newer) = (&eras[..at], &eras[at + 1..]);
    let mut reached = era.end;
    while reached < source {
        let covers = |(_, era): &&(_, Era)| era.from <= reached && reached < era.end;
        if let Some((_, by)) = newer.iter().find(covers) {
            reached = by.end;
        } else if older.iter().any(|era| covers(&era)) {
            return false;
        } else {
            let next = older.iter().map(|(_, era)| era.from).filter(|from| *from > reached).min();
            reached = next.unwrap_or(source);
        }
    }
    true
}

impl Update {
    /// How far the copy is.
    #[must_use]
    pub fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// The records to store, in order, under an owner's number.
    pub(super) fn records(&self, link: &MapLink, owner: u64) -> Vec<(Bytes, Bytes)> {
        let anchor = &self.anchor;
        let block = |sealed: &Sealed| {
            let id = BlockId { number: sealed.number, generation: anchor.generation };
            let key = MapKey::Block(link.clone(), id).encode();
            let value = BlockValue {
                source_id: anchor.source_id,
                target_id: anchor.target_id,
                source_epoch: anchor.source_epoch,
                target_epoch: anchor.target_epoch,
                runs: (*sealed.runs).clone(),
            };
            let value = value.encode(&key);
            (key, value)
        };
        let key = MapKey::Anchor(link.clone()).encode();
        let value = AnchorValue {
            generation: anchor.generation,
            owner,
            source_id: anchor.source_id,
            target_id: anchor.target_id,
            source_epoch: anchor.source_epoch,
            target_epoch: anchor.target_epoch,
            producer_id: anchor.producer.id,
            producer_epoch: anchor.producer.epoch,
            count: anchor.count,
            source_offset: anchor.source_offset,
            target_offset: anchor.target_offset,
            left_out: anchor.left_out.clone(),
            eras: self.eras.clone(),
            open: self.open.clone(),
            is_uncompared: self.is_uncompared,
        };
        let value = value.encode(&key);
        self.sealed.iter().map(block).chain([(key, value)]).collect()
    }

    /// Its blocks need not be stored again.
    pub(super) fn is_stored(&self) {
        self.stored.fetch_max(self.next_block, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
