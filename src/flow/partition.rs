//! One partition on its way from source to target: what is fetched, what is sent, what is acknowledged. Pure: time comes as a parameter,
//! and requests are made by [`super::task`].
//!
//! At most one batch is unresolved at a time. So a resend can't overtake anything, the target's sequence check alone keeps order
//! (invariant D), and a broker that forgot the producer id can't be fooled into a gap.

mod attempts;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use wire::{
    Batch, Batches, CorruptBatch, HEADER_LEN, ProduceBatch, ProducerId, Recovery, Stored, TopicPartition,
    rewrite_header, sequence_after,
};

pub(crate) use self::attempts::Verdict;
use self::attempts::{Attempts, CORRUPT_TRIES};
use super::{
    error::Stopped,
    plan::{Plan, Reencode, plan},
};

/// Bytes a partition may have waiting before it is fetched again; what one more fetch brings comes on top.
pub(crate) const LOW_WATER_BYTES: usize = 1024 * 1024;
/// Largest batch believed in: Kafka's `socket.request.max.bytes`, beyond which no producer can have written it.
const MAX_BATCH_BYTES: usize = 100 * 1024 * 1024;
/// After this long without an acknowledgement the bytes waiting behind the unresolved batch are given back.
const GIVE_BACK_AFTER: Duration = Duration::from_secs(5);

/// A batch ready to be sent, under our producer id. Offsets are the source's.
#[derive(Debug, Clone)]
struct Ready {
    header: [u8; HEADER_LEN],
    payload: Bytes,
    base: i64,
    next: i64,
    sequence: i32,
    records: i32,
}

impl Ready {
    fn bytes(&self) -> usize {
        HEADER_LEN + self.payload.len()
    }
}

#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) source: TopicPartition,
    pub(crate) target: TopicPartition,
    /// Topic ids when the copy started; zero where the cluster tells none.
    pub(crate) source_id: u128,
    pub(crate) target_id: u128,
    producer: Option<ProducerId>,
    /// Sequence of the next batch to be queued.
    sequence: i32,
    /// Next source offset to fetch.
    position: i64,
    queue: VecDeque<Ready>,
    queued_bytes: usize,
    unresolved: Option<Ready>,
    /// The unresolved batch's request is out since then; without it the batch waits to be sent (again).
    sent_at: Option<Instant>,
    /// When the unresolved batch was first sent.
    unresolved_since: Option<Instant>,
    /// The offset that a Fetch under way asks for.
    fetching: Option<i64>,
    /// The last fetch brought data: more is likely there.
    hot: bool,
    /// The last fetch cut off the first batch: it has to stand first in the next.
    starved: bool,
    fetches: Attempts,
    produces: Attempts,
    stopped: Option<Box<Stopped>>,
}

impl Partition {
    pub(crate) fn new(source: TopicPartition, target: TopicPartition) -> Self {
        Self {
            source,
            target,
            source_id: 0,
            target_id: 0,
            producer: None,
            sequence: 0,
            position: 0,
            queue: VecDeque::new(),
            queued_bytes: 0,
            unresolved: None,
            sent_at: None,
            unresolved_since: None,
            fetching: None,
            hot: false,
            starved: false,
            fetches: Attempts::new(),
            produces: Attempts::new(),
            stopped: None,
        }
    }

    /// Begins at a source offset, under a producer id of its own, with sequence 0.
    pub(crate) fn prepared(&mut self, position: i64, producer: ProducerId) {
        self.position = position;
        self.producer = Some(producer);
        self.fetches.succeeded();
        self.produces.succeeded();
    }

    pub(crate) fn is_prepared(&self) -> bool {
        self.producer.is_some()
    }

    pub(crate) fn stopped(&self) -> Option<&Stopped> {
        self.stopped.as_deref()
    }

    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    pub(crate) fn is_hot(&self) -> bool {
        self.hot
    }

    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.queued_bytes + self.unresolved.as_ref().map_or(0, Ready::bytes)
    }

    pub(crate) fn is_unresolved(&self) -> bool {
        self.unresolved.is_some()
    }

    /// Waits out a backoff: something has to be looked at again soon.
    pub(crate) fn is_waiting(&self, now: Instant) -> bool {
        self.stopped.is_none() && (self.fetches.waits(now) || self.produces.waits(now))
    }

    pub(crate) fn wants_fetch(&self, now: Instant) -> bool {
        let stuck = self.unresolved_since.is_some_and(|since| now.duration_since(since) >= GIVE_BACK_AFTER);
        self.is_prepared()
            && self.stopped.is_none()
            && self.fetching.is_none()
            && !stuck
            && self.queued_bytes < LOW_WATER_BYTES
            && !self.fetches.waits(now)
    }

    pub(crate) fn fetch_sent(&mut self) {
        self.fetching = Some(self.position);
    }

    /// The request came back, for better or worse. False when what it brought is no longer what comes next.
    pub(crate) fn fetch_done(&mut self) -> bool {
        self.hot = false;
        self.starved = false;
        self.fetching.take() == Some(self.position) && self.stopped.is_none()
    }

    /// Takes over what a Fetch brought: whole batches are planned, checked, given their new header and queued.
    pub(crate) fn fetched(&mut self, cluster: &str, records: Bytes) -> Verdict {
        self.fetches.succeeded();
        if records.is_empty() {
            return Verdict::Wait;
        }
        self.hot = true;
        let mut batches = Batches::new(records, MAX_BATCH_BYTES);
        let before = self.position;
        for cut in batches.by_ref() {
            let queued = match cut {
                Ok(Stored::Batch(batch)) => self.enqueue(cluster, &batch),
                Ok(Stored::Legacy(old)) => Err(Verdicted::Stop(Box::new(Stopped::reencode(
                    cluster,
                    &self.source,
                    old.offset,
                    Reencode::Magic(old.magic),
                )))),
                Err(cause) => Err(Verdicted::Corrupt(cause)),
            };
            match queued {
                Ok(()) => {}
                Err(Verdicted::Stop(reason)) => {
                    self.stopped = Some(reason);
                    return Verdict::Stop;
                }
                Err(Verdicted::Corrupt(cause)) => return self.corrupt(cluster, cause),
            }
        }
        self.starved = self.position == before && batches.rest() > 0;
        Verdict::Wait
    }

    fn enqueue(&mut self, cluster: &str, batch: &Batch) -> Result<(), Verdicted> {
        let header = batch.header();
        if header.next_offset() <= self.position {
            // A fetch answers with the whole batch that holds the offset asked for; this one lies before it altogether.
            return Ok(());
        }
        let Some(producer) = self.producer else { return Ok(()) };
        let offset = header.base_offset;
        let stop = match plan(header, self.position) {
            Plan::Pass => None,
            Plan::Reencode(why) => Some(Stopped::reencode(cluster, &self.source, offset, why)),
            Plan::Drop(why) => Some(Stopped::drop(cluster, &self.source, offset, why)),
        };
        if let Some(reason) = stop {
            // What the header says counts only if its sum is right.
            batch.verify().map_err(Verdicted::Corrupt)?;
            return Err(Verdicted::Stop(Box::new(reason)));
        }
        let (rewritten, payload) =
            rewrite_header(batch, producer.id, producer.epoch, self.sequence).map_err(Verdicted::Corrupt)?;
        let ready = Ready {
            header: rewritten,
            payload,
            base: offset,
            next: header.next_offset(),
            sequence: self.sequence,
            records: header.record_count,
        };
        self.sequence = sequence_after(self.sequence, ready.records);
        self.position = ready.next;
        self.fetches.corrupt = 0;
        self.queued_bytes += ready.bytes();
        self.queue.push_back(ready);
        Ok(())
    }

    fn corrupt(&mut self, cluster: &str, cause: CorruptBatch) -> Verdict {
        self.fetches.corrupt += 1;
        self.hot = false;
        if self.fetches.corrupt >= CORRUPT_TRIES {
            self.stop(Stopped::Corrupt {
                cluster: cluster.to_owned(),
                partition: self.source.clone(),
                tries: self.fetches.corrupt,
                cause,
            });
            return Verdict::Stop;
        }
        tracing::warn!(cluster, partition = %self.source, %cause, "corrupt batch, fetching it again");
        Verdict::Wait
    }

    /// The next batch to send, if one may be sent now: the unresolved one again, with the same bytes, else the next.
    pub(crate) fn next_batch(&mut self, now: Instant) -> Option<ProduceBatch> {
        if !self.has_batch(now) {
            return None;
        }
        if self.unresolved.is_none() {
            let next = self.queue.pop_front()?;
            self.queued_bytes -= next.bytes();
            self.unresolved = Some(next);
            self.unresolved_since = Some(now);
        }
        let batch = self.unresolved.as_ref()?;
        self.sent_at = Some(now);
        Some(ProduceBatch { partition: self.target.clone(), header: batch.header, payload: batch.payload.clone() })
    }

    pub(crate) fn has_batch(&self, now: Instant) -> bool {
        self.sent_at.is_none() && !self.produces.waits(now) && (self.unresolved.is_some() || !self.queue.is_empty())
    }

    /// The target has the unresolved batch. Returns the last source offset that it acknowledged (invariant B).
    pub(crate) fn acknowledged(&mut self) -> Option<i64> {
        let done = self.unresolved.take()?;
        self.sent_at = None;
        self.unresolved_since = None;
        self.produces.succeeded();
        self.produces.corrupt = 0;
        Some(done.next - 1)
    }

    /// Nobody knows whether the unresolved batch was appended: it is sent again with the same bytes, and a broker that has it says so.
    pub(crate) fn unanswered(&mut self, now: Instant) {
        self.sent_at = None;
        self.produces.failed(now);
    }

    /// The source could not be asked.
    pub(crate) fn fetch_failed(&mut self, now: Instant) {
        self.fetches.failed(now);
    }

    /// The source's broker answered a Fetch with an error.
    pub(crate) fn fetch_refused(&mut self, cluster: &str, code: i16, now: Instant) -> Verdict {
        self.fetches.failed(now);
        match self.fetches.judge(code, now) {
            Verdict::Stop => {
                let reason = self.refusal(cluster, false, "Fetch", self.position, wire::code_name(code));
                self.stop(reason);
                Verdict::Stop
            }
            go_on => go_on,
        }
    }

    /// The target's broker answered a Produce with an error.
    pub(crate) fn produce_refused(&mut self, cluster: &str, code: i16, message: Option<&str>, now: Instant) -> Verdict {
        self.unanswered(now);
        match self.produces.judge(code, now) {
            Verdict::Stop => {
                let name = wire::code_name(code);
                let cause = message.map_or_else(|| name.clone(), |m| format!("{name}: {m}"));
                let reason = self.refusal(cluster, true, "Produce", self.next_to_write(), cause);
                self.abandon();
                self.stop(reason);
                Verdict::Stop
            }
            go_on => go_on,
        }
    }

    /// The metadata of the topic, at either end, tell an error instead of leaders.
    pub(crate) fn metadata_refused(&mut self, cluster: &str, at_target: bool, code: i16, now: Instant) -> Verdict {
        let attempts = if at_target { &mut self.produces } else { &mut self.fetches };
        let verdict = attempts.judge(code, now);
        if verdict == Verdict::Stop {
            let next = if at_target { self.next_to_write() } else { self.position };
            let reason = self.refusal(cluster, at_target, "Metadata", next, wire::code_name(code));
            if at_target {
                self.abandon();
            }
            self.stop(reason);
        }
        verdict
    }

    /// The metadata are in order again.
    pub(crate) fn metadata_known(&mut self, at_target: bool) {
        let attempts = if at_target { &mut self.produces } else { &mut self.fetches };
        attempts.missing_since = None;
    }

    /// The start offset or the producer id could not be had.
    pub(crate) fn prepare_refused(&mut self, cause: &wire::Error, now: Instant) -> Verdict {
        let verdict = match cause {
            wire::Error::Broker { code, .. } => self.fetches.judge(*code, now),
            other if other.recovery() == Recovery::Fatal => Verdict::Stop,
            _ => Verdict::Wait,
        };
        if verdict == Verdict::Stop {
            self.stop(Stopped::Unprepared { partition: self.source.clone(), cause: cause.clone() });
        }
        verdict
    }

    fn refusal(&self, cluster: &str, at_target: bool, operation: &'static str, offset: i64, cause: String) -> Stopped {
        let partition = if at_target { &self.target } else { &self.source };
        Stopped::Refused { cluster: cluster.to_owned(), partition: partition.clone(), operation, offset, cause }
    }

    /// The first source offset that the target has not acknowledged.
    fn next_to_write(&self) -> i64 {
        let first = self.unresolved.as_ref().or_else(|| self.queue.front());
        first.map_or(self.position, |batch| batch.base)
    }

    /// Lets go of all that is fetched and not acknowledged: the target no longer takes it.
    pub(crate) fn abandon(&mut self) {
        self.unresolved = None;
        self.unresolved_since = None;
        self.queue.clear();
        self.queued_bytes = 0;
    }

    pub(crate) fn stop(&mut self, reason: Stopped) {
        self.stopped = Some(Box::new(reason));
    }

    /// Gives back the bytes that wait behind a batch which the target has not taken for long; they are fetched again later. The unresolved
    /// batch is kept, apart from the response it came in.
    pub(crate) fn give_back_if_stuck(&mut self, now: Instant) -> bool {
        let stuck = self.unresolved_since.is_some_and(|since| now.duration_since(since) >= GIVE_BACK_AFTER);
        if !stuck || self.queue.is_empty() {
            return false;
        }
        if let Some(unresolved) = &mut self.unresolved {
            unresolved.payload = Bytes::copy_from_slice(&unresolved.payload);
            self.position = unresolved.next;
            self.sequence = sequence_after(unresolved.sequence, unresolved.records);
        }
        self.queue.clear();
        self.queued_bytes = 0;
        true
    }
}

enum Verdicted {
    Stop(Box<Stopped>),
    Corrupt(CorruptBatch),
}

#[cfg(test)]
mod tests;
