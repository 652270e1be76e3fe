//! What somebody else has copied, compared with its source record by record. Pure: batches are handed in as they are asked for.
//!
//! MirrorMaker keeps no map, but notes of some records where their copies stand. From such a pair on the records of both logs are taken side by
//! side for as long as they are the same; where they are not (a stretch that was copied twice, records that the cleaner has removed at one end),
//! the next pair behind is gone on from. Of what lies between nothing is told.

use std::collections::VecDeque;

use wire::{CorruptBatch, FetchedPartition, Stored, TimestampType};

use super::lockstep::{Held, Opened, Want, next_of, open, read};
use crate::{flow::Pair, offsets::MapWriter};

/// What was found.
#[derive(Debug)]
pub(crate) struct Compared {
    /// Where the records stand that are the same.
    pub(crate) map: MapWriter,
    /// How many they are.
    pub(crate) records: u64,
}

#[derive(Debug)]
pub(super) struct Comparison {
    /// Those to go on from, ascending at both ends.
    pairs: VecDeque<Pair>,
    /// One past the last source offset that is compared.
    until: i64,
    source: Records,
    target: Records,
    /// The pair that the stretch began with, before any record of it was compared.
    begins_with: Option<Pair>,
    is_in_step: bool,
    found: Compared,
}

/// Records of one log, one after the other.
#[derive(Debug, Default)]
struct Records {
    batches: VecDeque<Stored>,
    opened: Option<Opened>,
    /// The times in the opened batch are not the records' own.
    times_replaced: bool,
    held: Option<Held>,
    /// Those before are passed over.
    from: i64,
    /// To ask for next.
    next: i64,
    /// No more can be read there.
    has_ended: bool,
}

/// What comes next in a log.
enum Next {
    Record,
    /// Nothing is there yet from this offset on: it has to be asked for.
    Unknown(i64),
    Nothing,
}

impl Records {
    fn go_to(&mut self, offset: i64) {
        self.from = offset;
        if self.next < offset {
            self.next = offset;
            self.has_ended = false;
        }
    }

    fn fetched(&mut self, answer: FetchedPartition) -> Result<(), CorruptBatch> {
        self.has_ended = answer.records.is_empty();
        self.batches.extend(read(answer, &mut self.next)?);
        Ok(())
    }

    /// Holds the next record.
    fn look(&mut self) -> Result<Next, CorruptBatch> {
        loop {
            if self.held.as_ref().is_some_and(|held| held.offset >= self.from) {
                return Ok(Next::Record);
            }
            self.held = None;
            if let Some(mut opened) = self.opened.take() {
                self.held = next_of(&mut opened)?;
                self.opened = self.held.is_some().then_some(opened);
                continue;
            }
            let Some(stored) = self.batches.pop_front() else {
                return Ok(if self.has_ended { Next::Nothing } else { Next::Unknown(self.next) });
            };
            let (behind, times_replaced) = match &stored {
                Stored::Batch(batch) => {
                    let header = batch.header();
                    (header.next_offset(), header.timestamp_type() == TimestampType::LogAppendTime)
                }
                Stored::Legacy(message) => (message.offset.saturating_add(1), false),
            };
            if behind > self.from {
                self.opened = Some(open(&stored)?);
                self.times_replaced = times_replaced;
            }
        }
    }
}

impl Comparison {
    /// From these pairs on, up to a source offset. Pairs that do not ascend with those before them are left out.
    pub(super) fn new(pairs: &[Pair], until: i64) -> Self {
        let mut ascending: VecDeque<Pair> = VecDeque::new();
        for pair in pairs.iter().filter(|(source, _)| *source < until) {
            if ascending.back().is_none_or(|last| last.0 < pair.0 && last.1 < pair.1) {
                ascending.push_back(*pair);
            }
        }
        Self {
            pairs: ascending,
            until,
            source: Records::default(),
            target: Records::default(),
            begins_with: None,
            is_in_step: false,
            found: Compared { map: MapWriter::default(), records: 0 },
        }
    }

    /// What the source has from [`Want::Source`]'s offset on; nothing at its end.
    pub(super) fn source_fetched(&mut self, answer: FetchedPartition) -> Result<(), CorruptBatch> {
        self.source.fetched(answer)
    }

    /// What the target has from [`Want::Target`]'s offset on; nothing at its end.
    pub(super) fn target_fetched(&mut self, answer: FetchedPartition) -> Result<(), CorruptBatch> {
        self.target.fetched(answer)
    }

    /// A log does not hold the offset that was asked for, or what is there can't be read.
    pub(super) fn is_not_there(&mut self) {
        self.is_in_step = false;
    }

    pub(super) fn done(self) -> Compared {
        self.found
    }

    /// Goes on as far as what was handed in allows.
    pub(super) fn step(&mut self) -> Result<Want, CorruptBatch> {
        loop {
            if !self.is_in_step {
                let Some(pair) = self.pairs.pop_front() else { return Ok(Want::Nothing) };
                self.source.go_to(pair.0);
                self.target.go_to(pair.1);
                self.found.map.stretch_begins(pair.0, pair.1);
                (self.begins_with, self.is_in_step) = (Some(pair), true);
            }
            match self.source.look()? {
                Next::Unknown(offset) if offset < self.until => return Ok(Want::Source(offset)),
                Next::Nothing => return Ok(Want::Nothing),
                Next::Record | Next::Unknown(_) => {}
            }
            if self.source.held.as_ref().is_none_or(|held| held.offset >= self.until) {
                self.found.map.stretch_reaches(self.until);
                return Ok(Want::Nothing);
            }
            match self.target.look()? {
                Next::Record => self.compare(),
                Next::Unknown(offset) => return Ok(Want::Target(offset)),
                Next::Nothing => return Ok(Want::Nothing),
            }
        }
    }

    /// The records that both hold.
    fn compare(&mut self) {
        let (Some(source), Some(target)) = (&self.source.held, &self.target.held) else { return };
        let times_differ = source.timestamp != target.timestamp;
        let is_same = source.body == target.body
            && !(times_differ && !self.source.times_replaced && !self.target.times_replaced)
            && self.begins_with.is_none_or(|pair| pair == (source.offset, target.offset));
        if !is_same {
            let (source, target) = (source.offset, target.offset);
            self.pairs.retain(|pair| pair.0 >= source && pair.1 >= target);
            self.is_in_step = false;
            return;
        }
        self.found.map.written(source.offset, target.offset, 1);
        self.found.records += 1;
        (self.begins_with, self.source.held, self.target.held) = (None, None, None);
    }
}

#[cfg(test)]
mod tests;
