//! The batches of one partition on their way to the target: those that wait, and those sent and not yet acknowledged.
//!
//! Up to [`WINDOW`] batches are unresolved at a time, as many as a broker remembers of a producer (`ProducerStateEntry`), but only while it
//! is sure that it does remember: its sequence check is what keeps a batch from landing without the one before it. A broker that has
//! forgotten a producer id takes any sequence, so with an id that is new, or whose records are old, one batch is unresolved at a time.
//!
//! Where records choose their topics, all that is unresolved goes to one of them: a batch for another waits until nothing is.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use wire::{HEADER_LEN, sequence_after};

use crate::flow::{landings::Stretch, plan::SMALL_BYTES, tail::Written};

/// Batches of one producer id that a broker can recognise when they come again.
const WINDOW: usize = 5;
/// After this long without an acknowledgement what waits behind the unresolved batches is given back.
pub(super) const GIVE_BACK_AFTER: Duration = Duration::from_secs(5);

/// So many small batches are enough to go on with until the next Fetch is answered.
const MANY_SMALL: usize = 2 * WINDOW;

/// A batch ready to be sent, under our producer id. Offsets are the source's.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) header: [u8; HEADER_LEN],
    pub(super) payload: Bytes,
    /// Where it goes; absent where all go to one.
    pub(super) topic: Option<Arc<str>>,
    pub(super) base: i64,
    /// Where the copy stands behind it: not behind its records where some before them are for other topics, whose batches follow.
    pub(super) next: i64,
    pub(super) sequence: i32,
    pub(super) records: i32,
    /// How far each record's offset is from `base`, where there are gaps.
    pub(super) distances: Option<Box<[u32]>>,
    /// Newest record's time, ms since the epoch.
    pub(super) max_timestamp: i64,
    /// If it is small, those like it are joined where many of them are fetched at once.
    pub(super) joins: bool,
}

impl Ready {
    pub(super) fn bytes(&self) -> usize {
        HEADER_LEN + self.payload.len()
    }

    /// Offset of a record of it.
    pub(super) fn offset(&self, index: usize) -> Option<i64> {
        let distance = match &self.distances {
            Some(distances) => distances.get(index).copied().map(i64::from),
            None => i64::try_from(index).ok().filter(|index| *index < i64::from(self.records)),
        };
        distance.map(|distance| self.base + distance)
    }

    /// Where its records stand in the target, if the first of them is at `offset` there: a stretch ends where the source has a gap.
    pub(super) fn stretches(&self, offset: i64, mut each: impl FnMut(Stretch)) {
        let Some(distances) = &self.distances else {
            return each(Stretch {
                source: self.base,
                target: offset,
                records: u64::from(self.records.unsigned_abs()),
            });
        };
        let mut first = 0;
        for next in 1..=distances.len() {
            if next == distances.len() || distances[next] != distances[next - 1] + 1 {
                let (source, target) = (self.base + i64::from(distances[first]), offset + first as i64);
                each(Stretch { source, target, records: (next - first) as u64 });
                first = next;
            }
        }
    }

    /// One past the last record's offset.
    pub(super) fn end(&self) -> i64 {
        let last = usize::try_from(self.records - 1).ok().and_then(|last| self.offset(last));
        last.map_or(self.next, |last| last + 1)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its request is out.
    Out,
    /// Its request came back without an acknowledgement: it has to be sent again.
    Again {
        /// The target may have it all the same: its log has to be looked at before.
        perhaps_written: bool,
    },
    /// Acknowledged, while one before it is not.
    Done {
        /// Of its first record, in the target.
        offset: i64,
    },
}

#[derive(Debug)]
struct Sent {
    batch: Ready,
    state: State,
}

impl Sent {
    fn is_again(&self) -> bool {
        matches!(self.state, State::Again { .. })
    }
}

/// What the target's log says of batches that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// All that it has of them is known now.
    Seen,
    /// It has batches under our producer id that were not sent by us, the first of them with this sequence.
    Another(i32),
}

#[derive(Debug, Default)]
pub(super) struct Outbound {
    waiting: VecDeque<Ready>,
    waiting_bytes: usize,
    sent: VecDeque<Sent>,
    sent_bytes: usize,
    /// The topic that batches go to now, where each has its own.
    topic: Option<Arc<str>>,
    /// A request failed: until all that was sent is resolved, one batch at a time goes out again, in order.
    resolving: bool,
    /// `max_timestamp` of the batch acknowledged last: what the broker judges by whether to forget the producer id.
    known_by: Option<i64>,
    /// Since when something is unresolved without any acknowledgement.
    stalled_since: Option<Instant>,
}

impl Outbound {
    pub(super) fn push(&mut self, batch: Ready) {
        self.waiting_bytes += batch.bytes();
        self.waiting.push_back(batch);
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// More wait than can be under way at a time: joining what comes makes nothing later.
    pub(super) fn waits_for_room(&self) -> bool {
        self.waiting.len() >= WINDOW
    }

    /// Enough wait that are small, and that would not have been so many had they been fetched later: while they go out, one or few at a
    /// time, more gathers at the source that can be joined.
    pub(super) fn waits_in_small(&self) -> bool {
        let is_many = self.waiting.len() >= MANY_SMALL && self.waiting_bytes <= self.waiting.len() * SMALL_BYTES;
        is_many && self.waiting.back().is_some_and(|last| last.joins)
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.waiting_bytes + self.sent_bytes
    }

    pub(super) fn is_unresolved(&self) -> bool {
        !self.sent.is_empty()
    }

    /// What came back without an acknowledgement goes out again, one by one.
    pub(super) fn is_resolving(&self) -> bool {
        self.resolving
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.waiting.is_empty()
    }

    /// Nothing of it is out: the next request may take another way without overtaking one.
    pub(super) fn is_at_rest(&self) -> bool {
        self.sent.iter().all(|sent| sent.state != State::Out)
    }

    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        self.stalled_since.is_some_and(|since| now.duration_since(since) >= GIVE_BACK_AFTER)
    }

    /// The first batch that is not acknowledged.
    pub(super) fn first(&self) -> Option<&Ready> {
        self.sent.front().map(|sent| &sent.batch).or_else(|| self.waiting.front())
    }

    /// Whether a broker is sure to remember the producer id, whatever it has of the unresolved batches: it judges by the last it has.
    pub(super) fn is_remembered(&self, fresh_after: i64) -> bool {
        let is_fresh = |time: i64| time > fresh_after;
        self.known_by.is_some_and(is_fresh) && self.sent.iter().all(|sent| is_fresh(sent.batch.max_timestamp))
    }

    #[cfg(test)]
    pub(super) fn known_by(&mut self, time: i64) {
        self.known_by = Some(time);
    }

    /// Whether a batch may be sent now. A broker is sure to remember the producer id if its last batch is newer than `fresh_after`, ms
    /// since the epoch.
    pub(super) fn can_send(&self, fresh_after: i64) -> bool {
        if self.resolving {
            return self.is_at_rest() && !self.must_look() && self.sent.iter().any(Sent::is_again);
        }
        self.waiting.front().is_some_and(|next| next.topic == self.topic)
            && (self.sent.is_empty() || (self.sent.len() < WINDOW && self.is_remembered(fresh_after)))
    }

    /// The target may have something that came back without an acknowledgement, and nothing is on its way there any more.
    pub(super) fn must_look(&self) -> bool {
        self.is_at_rest() && self.sent.iter().any(|sent| sent.state == State::Again { perhaps_written: true })
    }

    /// The topic of the next batch, if it is another than before and nothing is unresolved any more.
    pub(super) fn other_topic(&self) -> Option<&Arc<str>> {
        let next = self.waiting.front().filter(|next| self.sent.is_empty() && next.topic != self.topic)?;
        next.topic.as_ref()
    }

    /// Batches go to this topic now; whoever leads it may know nothing of the producer id. None: to none before it is named again.
    pub(super) fn turn_to(&mut self, topic: Option<Arc<str>>) {
        self.topic = topic;
        self.known_by = None;
    }

    pub(super) fn topic(&self) -> Option<&Arc<str>> {
        self.topic.as_ref()
    }

    /// The batch to send now: of those that came back the first, with the same bytes, else the next.
    pub(super) fn send(&mut self, now: Instant, fresh_after: i64) -> Option<&Ready> {
        if !self.can_send(fresh_after) {
            return None;
        }
        if self.resolving {
            let again = self.sent.iter_mut().find(|sent| sent.is_again())?;
            again.state = State::Out;
            return Some(&again.batch);
        }
        let batch = self.waiting.pop_front()?;
        self.waiting_bytes -= batch.bytes();
        self.sent_bytes += batch.bytes();
        self.stalled_since.get_or_insert(now);
        self.sent.push_back(Sent { batch, state: State::Out });
        self.sent.back().map(|sent| &sent.batch)
    }

    /// The target acknowledged the batch that begins at source offset `base`, and has it from `offset` on. Returns the last source offset up to
    /// which all is acknowledged, if that moved; `written` is told of each batch up to there, with its offset in the target.
    pub(super) fn acknowledged(
        &mut self,
        base: i64,
        offset: i64,
        now: Instant,
        written: impl FnMut(&Ready, i64),
    ) -> Option<i64> {
        let at = self.sent.iter().position(|sent| sent.batch.base == base)?;
        self.sent[at].state = State::Done { offset };
        self.known_by = Some(self.sent[at].batch.max_timestamp);
        self.settle(now, written)
    }

    /// Lets go of what is acknowledged, from the first on.
    fn settle(&mut self, now: Instant, mut written: impl FnMut(&Ready, i64)) -> Option<i64> {
        let mut last = None;
        while let Some(State::Done { offset }) = self.sent.front().map(|sent| sent.state)
            && let Some(done) = self.sent.pop_front()
        {
            self.sent_bytes -= done.batch.bytes();
            last = Some(done.batch.next - 1);
            written(&done.batch, offset);
        }
        if last.is_some() {
            self.stalled_since = if self.sent.is_empty() { None } else { Some(now) };
            self.resolving &= !self.sent.is_empty();
        }
        last
    }

    /// The request of a batch came back without an acknowledgement. False if the batch is none of ours.
    pub(super) fn failed(&mut self, base: i64, perhaps_written: bool) -> bool {
        let Some(sent) = self.sent.iter_mut().find(|sent| sent.batch.base == base) else { return false };
        self.resolving = true;
        sent.state = State::Again { perhaps_written };
        true
    }

    /// What the target's log has of ours behind what is acknowledged. Returns also as [`Outbound::acknowledged`] what that settles.
    pub(super) fn looked(
        &mut self,
        log: &[Written],
        now: Instant,
        written: impl FnMut(&Ready, i64),
    ) -> (Look, Option<i64>) {
        let matches =
            |sent: &Sent, there: &Written| sent.batch.sequence == there.sequence && sent.batch.records == there.records;
        // Each one follows another in the log as it did when it was sent, from the first on.
        let ours = self.sent.iter().zip(log).take_while(|(sent, there)| matches(sent, there)).count();
        if let Some(other) = log.get(ours) {
            return (Look::Another(other.sequence), None);
        }
        for (sent, there) in self.sent.iter_mut().zip(log) {
            sent.state = State::Done { offset: there.offset };
            self.known_by = Some(sent.batch.max_timestamp);
        }
        self.see_nothing();
        (Look::Seen, self.settle(now, written))
    }

    /// Whether what the leader has of ours ends with one of the unresolved batches, or right before the first.
    pub(super) fn ends_with(&self, last_sequence: i32) -> bool {
        let next = sequence_after(last_sequence, 1);
        let is_behind = |sent: &Sent| sequence_after(sent.batch.sequence, sent.batch.records) == next;
        self.sent.front().is_some_and(|first| first.batch.sequence == next) || self.sent.iter().any(is_behind)
    }

    /// The target's log can't be looked at.
    pub(super) fn see_nothing(&mut self) {
        for sent in self.sent.iter_mut().filter(|sent| sent.is_again()) {
            sent.state = State::Again { perhaps_written: false };
        }
    }

    /// Whether a refused sequence of this batch may only mean that those before it are missing: with a single unresolved batch it does not.
    pub(super) fn is_one_of_many(&self, base: i64) -> bool {
        self.sent.len() > 1 && self.sent.iter().any(|sent| sent.batch.base == base)
    }

    /// Whether it is the first of the unresolved ones.
    pub(super) fn is_first(&self, base: i64) -> bool {
        self.sent.front().is_some_and(|sent| sent.batch.base == base)
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        *self = Self { known_by: self.known_by, topic: self.topic.take(), ..Self::default() };
    }

    /// All that is not acknowledged, in order.
    pub(super) fn batches(&self) -> impl DoubleEndedIterator<Item = &Ready> {
        self.sent.iter().map(|sent| &sent.batch).chain(&self.waiting)
    }

    /// Gives back what waits behind unresolved batches that the target has not taken for long. The unresolved ones are kept, apart from the
    /// answers they came in. Returns what was given, None if there was nothing.
    pub(super) fn give_back(&mut self, now: Instant, copy: impl Fn(&Bytes) -> Bytes) -> Option<VecDeque<Ready>> {
        if !self.is_stuck(now) || self.waiting.is_empty() {
            return None;
        }
        for sent in &mut self.sent {
            sent.batch.payload = copy(&sent.batch.payload);
        }
        self.waiting_bytes = 0;
        Some(std::mem::take(&mut self.waiting))
    }
}

#[cfg(test)]
mod tests;
