//! What a Fetch brought, batch by batch. Those that pass are queued at once; those that have to be opened wait for it, and whatever stands
//! behind them waits as well.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wire::{Batch, Batches, Codec, CorruptBatch, FetchedPartition, HEADER_LEN, Stored, rewrite_header, sequence_after};

use super::{
    Partition, Refusals,
    attempts::{CORRUPT_TRIES, Verdict},
    outbound::Ready,
};
use crate::flow::{
    epochs::Epochs,
    error::Stopped,
    plan::{Aborted, MOST_BYTES, Plan, PlanCounts, Reencode, Rules, plan},
    recode::{Recode, RecodeError, Recoded, Rewritten},
};

/// With so many bytes of a partition in one answer there are batches to be joined.
const MUCH_BYTES: usize = 16 * 1024;
/// How long a follower that the leader named is read from before the leader is asked again: Kafka's `metadata.max.age.ms`.
const PREFERENCE_AGE: Duration = Duration::from_secs(300);

/// What is left of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    batches: Batches,
    aborted: Aborted,
    /// There is enough of it for small batches to be joined.
    joins: bool,
    /// Cut off, and not yet dealt with.
    next: Option<Result<Stored, CorruptBatch>>,
    /// To be written anew; none once somebody is at it.
    work: Option<Recode>,
    /// What is being written is no longer what comes next.
    void: bool,
}

/// The topic of a batch that was opened, and the distances of its records.
type Opened = (Option<Arc<str>>, Option<Box<[u32]>>);

/// What is kept of batches that were met.
struct Seen<'a> {
    counts: &'a PlanCounts,
    epochs: &'a mut Epochs,
}

impl Answer {
    fn next(&mut self) -> Option<Result<Stored, CorruptBatch>> {
        self.next.take().or_else(|| self.batches.next())
    }

    /// What becomes of a batch where the copy stands at `position`, and where it stands behind it. None for one that lies before.
    fn plan(&mut self, stored: &Stored, position: i64, rules: &Rules, seen: &mut Seen<'_>) -> Option<(Plan, i64)> {
        let (plan, next, epoch, first) = match stored {
            Stored::Batch(batch) => {
                let header = batch.header();
                let aborted = self.aborted.includes(header);
                let plan = plan(header, position, aborted, self.joins, rules);
                (plan, header.next_offset(), header.partition_leader_epoch, header.base_offset)
            }
            Stored::Legacy(old) => {
                (Plan::Reencode(Reencode::Magic(old.magic)), old.offset.saturating_add(1), -1, old.offset)
            }
        };
        // A fetch answers with the whole batch that holds the offset asked for, or would have held it.
        (next > position).then(|| {
            seen.counts.count(plan);
            seen.epochs.seen(epoch, first);
            (plan, next)
        })
    }

    /// The batch and those behind it that have to be opened as well.
    fn gather(
        &mut self,
        first: Stored,
        position: i64,
        mut next: i64,
        refusals: &Refusals,
        seen: &mut Seen<'_>,
    ) -> Recode {
        let mut batches = vec![first];
        while let Some(cut) = self.next() {
            let plan = cut.as_ref().ok().and_then(|stored| self.plan(stored, next, &refusals.rules, seen));
            match (cut, plan) {
                (Ok(stored), Some((Plan::Reencode(_), behind))) => {
                    batches.push(stored);
                    next = behind;
                }
                // What is left out in between does not part them. What the header says counts only if its sum is right.
                (Ok(Stored::Batch(batch)), Some((Plan::Drop(_), behind))) if batch.verify().is_ok() => next = behind,
                (other, _) => {
                    self.next = Some(other);
                    break;
                }
            }
        }
        Recode { position, batches, next, manner: refusals.manner(position), poison: refusals.poison_before(next) }
    }
}

impl Partition {
    /// Takes over what a Fetch brought: whole batches are planned, checked, given their new header and queued.
    pub(crate) fn fetched(&mut self, cluster: &str, answer: FetchedPartition, now: Instant) -> Verdict {
        self.fetches.succeeded();
        self.transaction.seen(answer.last_stable, answer.high_watermark, now);
        self.starved = false;
        if answer.records.is_empty() {
            if let Some(replica) = answer.preferred_replica {
                self.follower = Some((replica, now + PREFERENCE_AGE));
            } else {
                // The answer was full before it was this partition's turn, or its next batch is larger than the limits.
                self.starved = answer.readable_end() > self.position;
            }
            return Verdict::Wait;
        }
        let joins = answer.records.len() >= MUCH_BYTES || self.outbound.waits_for_room();
        let (batches, aborted) = (Batches::new(answer.records, MOST_BYTES), Aborted::new(answer.aborted));
        let before = self.position;
        let mut answer = Answer { batches, aborted, joins, next: None, work: None, void: false };
        let verdict = self.take_over(cluster, &mut answer);
        if verdict == Verdict::Recode {
            self.answer = Some(answer);
        } else {
            self.starved = verdict == Verdict::Wait && self.position == before && answer.batches.rest() > 0;
        }
        verdict
    }

    fn take_over(&mut self, cluster: &str, answer: &mut Answer) -> Verdict {
        while let Some(cut) = answer.next() {
            let stored = match cut {
                Ok(stored) => stored,
                Err(cause) => return self.corrupt(cluster, cause),
            };
            let seen = &mut Seen { counts: &self.counts, epochs: &mut self.epochs };
            let Some((plan, next)) = answer.plan(&stored, self.position, &self.refusals.rules, seen) else {
                continue;
            };
            let done = match (plan, &stored) {
                (Plan::Pass, Stored::Batch(batch)) => self.queue(batch, None, next),
                // What the header says counts only if its sum is right.
                (Plan::Drop(why), Stored::Batch(batch)) => batch.verify().map(|()| {
                    tracing::trace!(partition = %self.source, offset = batch.header().base_offset, %why, "left out");
                    self.moved_to(next);
                }),
                (plan, _) => {
                    if let Plan::Reencode(why) = plan {
                        tracing::trace!(partition = %self.source, position = self.position, %why, "written anew");
                    }
                    let mut work = answer.gather(stored, self.position, next, &self.refusals, seen);
                    if let (Some(routing), Some(routes)) = (&mut work.manner.routing, &self.routes) {
                        routing.done_before = routes.done_before(self.position);
                    }
                    answer.work = Some(work);
                    return Verdict::Recode;
                }
            };
            if let Err(cause) = done {
                return self.corrupt(cluster, cause);
            }
        }
        Verdict::Wait
    }

    /// Queues a batch that begins at the source offset in its header; behind it the copy stands at `next`. If it was `opened`: its topic and
    /// distances, for which see [`Ready`].
    fn queue(&mut self, batch: &Batch, opened: Option<Opened>, next: i64) -> Result<(), CorruptBatch> {
        let Some(producer) = self.producer else { return Ok(()) };
        let joins = self.refusals.rules.join && (opened.is_some() || batch.header().codec()? == Codec::None);
        let (topic, distances) = opened.unwrap_or_default();
        let records = batch.header().record_count;
        let sequence = self.sequence(topic.as_ref());
        let (header, payload) = rewrite_header(batch, producer.id, producer.epoch, sequence)?;
        let ready = Ready {
            header,
            payload,
            topic,
            base: batch.header().base_offset,
            next,
            sequence,
            records,
            distances,
            max_timestamp: batch.header().max_timestamp,
            joins,
        };
        self.goes_on(ready.topic.as_ref(), sequence_after(sequence, records), ready.end());
        self.moved_to(next);
        self.largest_batch = self.largest_batch.max(HEADER_LEN + ready.payload.len());
        self.outbound.push(ready);
        Ok(())
    }

    fn moved_to(&mut self, position: i64) {
        self.position = position;
        self.fetches.corrupt = 0;
    }

    /// Some of an answer is being written anew, or is to be.
    pub(crate) fn is_recoding(&self) -> bool {
        self.answer.is_some()
    }

    /// What is to be written anew, for whoever has not begun yet. [`Partition::recoded`] has to follow.
    pub(crate) fn recode_work(&mut self) -> Option<Recode> {
        self.answer.as_mut()?.work.take()
    }

    /// What was to be written anew is there: it is queued, and the rest of the answer dealt with.
    pub(crate) fn recoded(&mut self, cluster: &str, next: i64, outcome: Result<Rewritten, RecodeError>) -> Verdict {
        if let Ok(Rewritten { poison, .. }) = &outcome {
            self.left_out(poison);
        }
        let Some(mut answer) = self.answer.take().filter(|answer| !answer.void && self.stopped.is_none()) else {
            return Verdict::Wait;
        };
        let queued = match outcome {
            Ok(Rewritten { mut batches, .. }) => {
                batches.drain(..).try_for_each(|Recoded { batch, topic, distances, next }| {
                    self.queue(&batch, Some((topic, distances)), next)
                })
            }
            Err(RecodeError::Corrupt(cause)) => Err(cause),
            Err(RecodeError::NotParked { offset, topic, cause }) => {
                self.abandon();
                self.stop(Stopped::NotParked { from: self.source.clone(), offset, topic, cause });
                return Verdict::Stop;
            }
        };
        if let Err(cause) = queued {
            return self.corrupt(cluster, cause);
        }
        // Also behind what came to nothing.
        self.moved_to(next);
        let verdict = self.take_over(cluster, &mut answer);
        if verdict == Verdict::Recode {
            self.answer = Some(answer);
        }
        verdict
    }

    /// What is being written anew is no longer what comes next.
    pub(crate) fn void_answer(&mut self) {
        match &mut self.answer {
            // Nobody has begun.
            Some(answer) if answer.work.is_some() => self.answer = None,
            Some(answer) => answer.void = true,
            None => {}
        }
    }

    fn corrupt(&mut self, cluster: &str, cause: CorruptBatch) -> Verdict {
        self.fetches.corrupt += 1;
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
}

#[cfg(test)]
mod tests;
