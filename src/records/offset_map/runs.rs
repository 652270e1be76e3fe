//! Runs, coded as they come.
//!
//! A run is coded by what lies between it and the run before: a head of `records << 2 | flags`, then, by the flags, the gap in the source
//! (bit 0; else it is 1, a transaction's marker) and the gap in the target (bit 1; else none). So a transaction's break takes one byte up to 31
//! records, two up to 4,095. Before the first run stand the block's begin and target offset 0.

use super::coding::{Reader, put_i64, put_u64};

/// Source and target offsets that run side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Source offset of the first record.
    pub source: i64,
    /// Its offset in the target.
    pub target: i64,
    /// How many records follow each other at both ends, 1 at least.
    pub records: i64,
}

impl Run {
    /// One past the last offset, in the source and in the target.
    #[must_use]
    pub fn end(&self) -> (i64, i64) {
        (self.source.saturating_add(self.records), self.target.saturating_add(self.records))
    }
}

/// Where a source offset stands among runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a run: at this target offset.
    Inside(i64),
    /// Before this run, in none.
    Before(Run),
    /// Behind all of them.
    Behind,
}

/// Runs in the source's order, which is the target's too: apart from each other at one end at least. Held as coded, but for the last one,
/// which may still grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    begin: i64,
    coded: Vec<u8>,
    /// Where the last of the coded ones ends.
    coded_end: (i64, i64),
    last: Option<Run>,
    len: u32,
}

impl Runs {
    /// No runs, from a source offset on.
    #[must_use]
    pub fn new(begin: i64) -> Self {
        Self { begin, coded: Vec::new(), coded_end: (begin, 0), last: None, len: 0 }
    }

    /// The source offset from which on these are all the runs there are.
    #[must_use]
    pub fn begin(&self) -> i64 {
        self.begin
    }

    /// One past the last record, in the source and in the target; the begin and 0 where there is none.
    #[must_use]
    pub fn end(&self) -> (i64, i64) {
        self.last.map_or(self.coded_end, |last| last.end())
    }

    /// How many runs.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// None at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a run, or lets the last one grow by it where it follows at both ends. False, and nothing is added, where it stands before the end
    /// of what is there, at either end, or is no run.
    pub fn push(&mut self, run: Run) -> bool {
        let end = self.end();
        let fits = (1..MOST_RECORDS).contains(&run.records)
            && run.source.checked_add(run.records).is_some()
            && run.target.checked_add(run.records).is_some();
        if !fits || run.source < end.0 || run.target < end.1 {
            return false;
        }
        if let Some(last) = &mut self.last {
            if (run.source, run.target) == end && last.records < MOST_RECORDS {
                last.records += run.records;
                return true;
            }
            put_run(&mut self.coded, self.coded_end, last);
            self.coded_end = end;
        }
        self.last = Some(run);
        self.len += 1;
        true
    }

    /// The runs, in order.
    pub fn iter(&self) -> impl Iterator<Item = Run> {
        let mut reader = Reader::new(&self.coded);
        let mut end = (self.begin, 0);
        let coded = (1..self.len).map_while(move |_| {
            let run = take_run(&mut reader, end).ok()?;
            end = run.end();
            Some(run)
        });
        coded.chain(self.last)
    }

    /// Where a source offset stands.
    #[must_use]
    pub fn place(&self, source: i64) -> Place {
        match self.iter().find(|run| source < run.end().0) {
            None => Place::Behind,
            Some(run) if source < run.source => Place::Before(run),
            Some(run) => Place::Inside(run.target + (source - run.source)),
        }
    }

    /// The part before a source offset.
    #[must_use]
    pub fn before(&self, source: i64) -> Self {
        let mut part = Self::new(self.begin);
        for run in self.iter().take_while(|run| run.source < source) {
            part.push(Run { records: run.records.min(source - run.source), ..run });
        }
        part
    }

    pub(super) fn encode(&self, to: &mut Vec<u8>) {
        put_i64(to, self.begin);
        put_u64(to, u64::from(self.len));
        to.extend(&self.coded);
        if let Some(last) = &self.last {
            put_run(to, self.coded_end, last);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        let mut runs = Self::new(reader.i64()?);
        let count = reader.count()?;
        for _ in 0..count {
            let run = take_run(reader, runs.end())?;
            let before = runs.len;
            if !runs.push(run) || runs.len == before {
                return Err("two runs are not apart");
            }
        }
        Ok(runs)
    }
}

const SOURCE_GAP: u64 = 1;
const TARGET_GAP: u64 = 2;
/// What fits beside the flags, twice.
const MOST_RECORDS: i64 = 1 << 60;
/// A commit or abort marker.
const USUAL_SOURCE_GAP: u64 = 1;

fn put_run(to: &mut Vec<u8>, before: (i64, i64), run: &Run) {
    // What push has let in ascends.
    let gaps = ((run.source - before.0).cast_unsigned(), (run.target - before.1).cast_unsigned());
    let mut head = run.records.cast_unsigned() << 2;
    head |= if gaps.0 == USUAL_SOURCE_GAP { 0 } else { SOURCE_GAP };
    head |= if gaps.1 == 0 { 0 } else { TARGET_GAP };
    put_u64(to, head);
    if head & SOURCE_GAP != 0 {
        put_u64(to, gaps.0);
    }
    if head & TARGET_GAP != 0 {
        put_u64(to, gaps.1);
    }
}

fn take_run(reader: &mut Reader<'_>, before: (i64, i64)) -> Result<Run, &'static str> {
    let head = reader.u64()?;
    let source_gap = if head & SOURCE_GAP == 0 { USUAL_SOURCE_GAP } else { reader.u64()? };
    let target_gap = if head & TARGET_GAP == 0 { 0 } else { reader.u64()? };
    let (source, target) = (before.0.checked_add_unsigned(source_gap), before.1.checked_add_unsigned(target_gap));
    let (Some(source), Some(target)) = (source, target) else { return Err("an offset is beyond 2^63") };
    Ok(Run { source, target, records: (head >> 2).cast_signed() })
}
