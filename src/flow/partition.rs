//! One partition on its way from source to target: what is fetched, what is sent, what is acknowledged. Pure: time comes as a parameter,
//! and requests are made by [`super::task`].

mod answer;
mod attempts;
mod gap;
mod landed;
mod look;
mod outbound;
mod refused;
mod routes;
mod track;
mod transaction;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use wire::{ProduceBatch, Produced, ProducerId, Recovery, ResponseError, TopicPartition};

use self::{
    answer::Answer,
    attempts::{Attempts, is_missing},
    gap::Leaving,
    landed::Landed,
    look::is_refused_before_append,
    outbound::{Outbound, Ready},
    refused::Refusals,
    routes::Routes,
    transaction::OpenTransaction,
};
pub(crate) use self::{
    attempts::Verdict,
    gap::{Behind, is_diverged},
    landed::{Before, Met},
    track::Track,
};
use super::{
    PoisonCount, PoisonPolicy, WriteSettings,
    epochs::Epochs,
    error::Stopped,
    gap::{Gap, Onward},
    landings::{Fresh, Landings},
    plan::PlanCounts,
    recode::Poison,
};
use crate::transforms::RecordTransforms;

/// Acknowledgements in a row after which a partition that was slow shares its requests with the others again.
const QUICK_AGAIN: u32 = 3;
/// How often a refused sequence is answered by looking at the target's log before the partition stops.
const MOST_STRIKES: u32 = 3;
/// How late a request may come to a broker whose connection was given up: what is looked for before would not be there yet.
const LATE: Duration = Duration::from_secs(3);

/// Why a copy can't begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unprepared {
    /// A cluster can't be asked.
    #[error(transparent)]
    Failed(#[from] wire::Error),
    /// It will do later.
    #[error("{0}")]
    NotYet(String),
    /// Nor will it later.
    #[error(transparent)]
    Stopped(Box<Stopped>),
    /// It is not what it was. `next`: the first source offset that is not known to be copied.
    #[error("{gap}")]
    Gap {
        /// What has happened.
        gap: Box<Gap>,
        next: i64,
    },
}

/// Where a copy begins.
#[derive(Debug)]
pub(crate) struct Begun {
    /// Next source offset to copy.
    pub(crate) position: i64,
    pub(crate) producer: ProducerId,
    /// Of the first batch.
    pub(crate) sequence: i32,
    /// One past the last record in the target's log; absent where it may not be read.
    pub(crate) target_end: Option<i64>,
    /// What stands before that.
    pub(crate) before: Before,
    /// Leader epoch of the source's record before `position`, −1 where that is not known.
    pub(crate) source_epoch: i32,
    /// Found in the target's log.
    pub(crate) met: Vec<Met>,
    /// Absent where no anchors are stored.
    pub(crate) track: Option<Track>,
}

#[cfg(test)]
impl Begun {
    /// At the start of both logs, if the target's may be read.
    fn anew(producer: ProducerId, target_end: Option<i64>) -> Self {
        let (before, met) = (Before::Anything, Vec::new());
        Self { position: 0, producer, sequence: 0, target_end, before, source_epoch: -1, met, track: None }
    }
}

#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) source: TopicPartition,
    pub(crate) target: TopicPartition,
    /// Topic ids when the copy started; zero where the cluster tells none.
    pub(crate) source_id: u128,
    pub(crate) target_id: u128,
    /// What they were before the topics were made again.
    pub(crate) former_ids: [u128; 2],
    producer: Option<ProducerId>,
    /// Sequence of the next batch to be queued.
    sequence: i32,
    landed: Landed,
    /// Where acknowledged records stand, as far as that is to be told.
    fresh: Fresh,
    /// Refused sequences in a row after which nothing was found.
    strikes: u32,
    /// Only where each record chooses its topic. Then `target` and `target_id` are those of the batches sent last.
    routes: Option<Box<Routes>>,
    /// Of what was fetched.
    epochs: Epochs,
    /// It is to go on behind a gap.
    leaving: Option<Leaving>,
    /// A gap at the target that is met when all that is under way is answered.
    put_off: Option<Box<Gap>>,
    /// The target seems to have lost what was acknowledged: up to where that was, from where on it is lost, and since when it seems so.
    suspected: Option<(i64, i64, Instant)>,
    /// A broker that may have forgotten the producer, and until when a request that was given up may still come there.
    late: Option<(i32, Instant)>,
    /// Next source offset to fetch.
    position: i64,
    /// Source offset up to which all is acknowledged or left out, as told.
    told: i64,
    refusals: Refusals,
    poison_policy: PoisonPolicy,
    /// A transaction at the source that holds back what comes next.
    transaction: OpenTransaction,
    counts: Arc<PlanCounts>,
    /// What could not be written.
    poison: PoisonCount,
    outbound: Outbound,
    /// An answer of which some is being written anew: nothing is fetched until that is there.
    answer: Option<Answer>,
    /// The offset that a Fetch under way asks for.
    fetching: Option<i64>,
    /// The last fetch cut off the first batch, or left it out: it has to stand first in the next.
    starved: bool,
    /// Largest batch seen, or announced by one cut off, bytes.
    largest_batch: usize,
    /// The follower to fetch from, and until when (KIP-392).
    follower: Option<(i32, Instant)>,
    /// Acknowledgements still to come before its batches share requests with others: the target's replicas were slow to take them.
    slow: u32,
    fetches: Attempts,
    produces: Attempts,
    stopped: Option<Box<Stopped>>,
}

impl Partition {
    pub(crate) fn new(
        source: TopicPartition,
        target: TopicPartition,
        transforms: Option<Arc<RecordTransforms>>,
        write: &WriteSettings,
        counts: Arc<PlanCounts>,
    ) -> Self {
        let routes = transforms.as_ref().filter(|transforms| transforms.fixed_topic().is_none());
        Self {
            source,
            target,
            source_id: 0,
            target_id: 0,
            former_ids: [0; 2],
            producer: None,
            sequence: 0,
            landed: Landed::default(),
            fresh: Fresh::default(),
            epochs: Epochs::default(),
            leaving: None,
            put_off: None,
            suspected: None,
            late: None,
            strikes: 0,
            routes: routes.map(|_| Box::default()),
            position: 0,
            told: 0,
            refusals: Refusals::new(write, transforms),
            poison_policy: write.poison.clone(),
            transaction: OpenTransaction::default(),
            counts,
            poison: PoisonCount::default(),
            outbound: Outbound::default(),
            answer: None,
            fetching: None,
            starved: false,
            largest_batch: 0,
            follower: None,
            slow: 0,
            fetches: Attempts::new(),
            produces: Attempts::new(),
            stopped: None,
        }
    }

    /// Begins at a source offset, under a producer id of its own.
    pub(crate) fn prepared(&mut self, begun: Begun) {
        let Begun { position, producer, sequence, target_end, before, source_epoch, met, track } = begun;
        self.position = position;
        self.told = position;
        self.producer = Some(producer);
        self.sequence = sequence;
        self.landed = Landed { end: target_end, before, track: track.map(Box::new), met, is_in_doubt: false };
        self.epochs = Epochs::starting_with(source_epoch);
        self.fetches.succeeded();
        self.produces.succeeded();
    }

    pub(crate) fn is_prepared(&self) -> bool {
        self.producer.is_some()
    }

    pub(crate) fn transforms(&self) -> Option<Arc<RecordTransforms>> {
        self.refusals.transforms()
    }

    pub(crate) fn stopped(&self) -> Option<&Stopped> {
        self.stopped.as_deref()
    }

    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    /// Bytes a Fetch has to allow for this partition, where batches are known to be large.
    pub(crate) fn largest_batch(&self) -> usize {
        self.largest_batch
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.outbound.held_bytes()
    }

    pub(crate) fn is_unresolved(&self) -> bool {
        self.outbound.is_unresolved()
    }

    /// When it has to be looked at again without any event: a backoff is over, or a follower has been read from for long enough.
    pub(crate) fn wakes_at(&self, now: Instant) -> Option<Instant> {
        let follower = self.follower.map(|(_, until)| until).filter(|until| *until > now);
        let late = self.late.map(|(_, until)| until).filter(|until| *until > now);
        let waits =
            [self.fetches.waits_until(now), self.produces.waits_until(now), follower, late, self.transaction.told_at()];
        waits.into_iter().flatten().min().filter(|_| self.stopped.is_none())
    }

    /// Whether to fetch more, with `low_water` bytes waiting being enough.
    pub(crate) fn wants_fetch(&self, now: Instant, low_water: usize) -> bool {
        self.is_prepared()
            && self.stopped.is_none()
            && self.leaving.is_none()
            && self.fetching.is_none()
            && self.answer.is_none()
            && self.outbound.waiting_bytes() < low_water
            && !self.outbound.waits_in_small()
            && !self.outbound.is_stuck(now)
            && self.fetches.waits_until(now).is_none()
    }

    /// The broker to fetch from instead of the leader.
    pub(crate) fn follower(&self, now: Instant) -> Option<i32> {
        self.follower.filter(|(_, until)| now < *until).map(|(broker, _)| broker)
    }

    /// Back to the leader: the follower does not answer, or can't. False if it was the leader already.
    pub(crate) fn leave_follower(&mut self) -> bool {
        self.follower.take().is_some()
    }

    pub(crate) fn fetch_sent(&mut self) {
        self.fetching = Some(self.position);
    }

    /// The request came back, for better or worse. False when what it brought is no longer what comes next.
    pub(crate) fn fetch_done(&mut self) -> bool {
        self.fetching.take() == Some(self.position) && self.stopped.is_none()
    }

    /// The next batch to send, if one may be sent now, and the source offset it begins at. For `fresh_after` see [`Outbound::can_send`].
    pub(crate) fn next_batch(&mut self, now: Instant, fresh_after: i64) -> Option<(i64, ProduceBatch)> {
        if !self.may_send(now) {
            return None;
        }
        let batch = self.outbound.send(now, fresh_after)?;
        let (header, payload) = (batch.header, batch.payload.clone());
        Some((batch.base, ProduceBatch { partition: self.target.clone(), header, payload, tag: 0 }))
    }

    pub(crate) fn has_batch(&self, now: Instant, fresh_after: i64) -> bool {
        self.may_send(now) && self.outbound.can_send(fresh_after)
    }

    fn may_send(&self, now: Instant) -> bool {
        self.produces.waits_until(now).is_none() && !self.awaits_anchor() && !self.is_leaving_target()
    }

    /// What is unresolved is being sent again.
    pub(crate) fn is_resending(&self) -> bool {
        self.outbound.is_resolving()
    }

    /// Its batches go apart from those of others, which would have to wait for them. Changes only while nothing is out, so that no batch
    /// overtakes another.
    pub(crate) fn goes_apart(&self) -> bool {
        self.slow > 0
    }

    /// The target has the batch that begins at source offset `base`, from its own `offset` on. Returns the last source offset up to which all
    /// is acknowledged, if that moved (invariant B). For `fresh_after` see [`Outbound::can_send`].
    pub(crate) fn acknowledged(&mut self, base: i64, offset: i64, now: Instant, fresh_after: i64) -> Option<i64> {
        let forgotten = !self.outbound.is_remembered(fresh_after);
        let (landed, fresh) = (&mut self.landed, &mut self.fresh);
        let written = |batch: &Ready, offset| landed.written(batch, offset, forgotten, fresh);
        let last = self.outbound.acknowledged(base, offset, now, written)?;
        self.settled(last);
        Some(last)
    }

    /// From now on it is kept where acknowledged records stand, for [`Partition::tell_landings`]; not where they choose their topics.
    pub(crate) fn keep_landings(&mut self) {
        if !self.is_routed() {
            self.fresh.keep();
        }
    }

    /// Hands over where the records acknowledged since the last time stand.
    pub(crate) fn tell_landings(&mut self, landings: &dyn Landings) {
        self.fresh.tell(&self.source, landings);
    }

    fn settled(&mut self, last: i64) {
        self.told(last + 1);
        (self.strikes, self.late) = (0, None);
        self.produces.succeeded();
        self.produces.corrupt = 0;
        if self.outbound.is_at_rest() {
            self.slow = self.slow.saturating_sub(1);
        }
    }

    /// The last source offset up to which nothing is left to copy or to be acknowledged, if that moved without an acknowledgement: behind
    /// what was left out.
    pub(crate) fn passed_over(&mut self) -> Option<i64> {
        let moved = self.outbound.is_empty() && self.position > self.told && self.stopped.is_none();
        moved.then(|| {
            self.told(self.position);
            self.position - 1
        })
    }

    fn told(&mut self, next: i64) {
        self.told = next;
        self.refusals.forget_before(next);
    }

    /// The source offset from which on open transactions hold records back for long, where that is news: none when they no longer do.
    pub(crate) fn held_back_news(&mut self, now: Instant) -> Option<Option<i64>> {
        if self.answer.is_some() || !self.outbound.is_empty() {
            self.transaction.lags(now);
        }
        self.transaction.news(now)
    }

    /// Records that could not be written, if there are any.
    pub(crate) fn poison(&self) -> Option<&PoisonCount> {
        (self.poison.records > 0).then_some(&self.poison)
    }

    /// Source offset from which on records that can't be written are new.
    pub(crate) fn poison_from(&self) -> i64 {
        self.poison.next
    }

    /// Counts records that were left out; those given back and met again count once.
    fn left_out(&mut self, poison: &[Poison]) {
        for record in poison {
            if record.offset < self.poison.next {
                continue;
            }
            self.poison.records += 1;
            self.poison.next = record.offset + 1;
            self.poison.last.clone_from(&record.reason);
        }
    }

    /// Nobody knows whether that batch was, or will be, appended by this broker: the target's log is looked at before it is sent again, with the
    /// same bytes. For `fresh_after` see [`Outbound::can_send`].
    pub(crate) fn unanswered(&mut self, base: i64, broker: i32, now: Instant, fresh_after: i64) {
        self.failed(base, true, now);
        if !self.outbound.is_remembered(fresh_after) {
            self.late = Some((broker, now + LATE));
        }
    }

    fn failed(&mut self, base: i64, perhaps_written: bool, now: Instant) {
        // Where the log can't be looked at, a broker that has the batch says so if it remembers the producer.
        let perhaps_written = perhaps_written && self.landed.end.is_some();
        // One cut connection fails several batches, and is one failure.
        if self.outbound.failed(base, perhaps_written) && self.produces.waits_until(now).is_none() {
            self.produces.failed(now);
        }
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

    /// The target's broker answered with an error for the batch that begins at source offset `base`.
    pub(crate) fn produce_refused(&mut self, cluster: &str, base: i64, part: &Produced, now: Instant) -> Verdict {
        let code = part.error;
        let one_of_many = self.outbound.is_one_of_many(base);
        self.failed(base, !is_refused_before_append(code), now);
        if let Some(verdict) = self.content_refused(cluster, base, part) {
            return verdict;
        }
        match ResponseError::try_from_code(code) {
            // Those behind the first one only miss it, and so may one that was behind another when it was sent.
            Some(ResponseError::OutOfOrderSequenceNumber) if one_of_many && !self.outbound.is_first(base) => {
                return Verdict::Wait;
            }
            // Who takes a copy over that begins anew takes the next epoch.
            Some(ResponseError::InvalidProducerEpoch | ResponseError::ProducerFenced) => {
                self.superseded();
                return Verdict::Stop;
            }
            // Perhaps it is there already. The log tells, if it can be looked at.
            Some(
                ResponseError::OutOfOrderSequenceNumber
                | ResponseError::UnknownProducerId
                | ResponseError::DuplicateSequenceNumber,
            ) if self.landed.end.is_some() && self.strikes < MOST_STRIKES => {
                self.strikes += 1;
                return Verdict::Wait;
            }
            Some(
                ResponseError::RequestTimedOut
                | ResponseError::NotEnoughReplicas
                | ResponseError::NotEnoughReplicasAfterAppend,
            ) if self.outbound.is_at_rest() => self.slow = QUICK_AGAIN,
            _ => {}
        }
        match self.produces.judge(code, now) {
            Verdict::Stop => {
                let name = wire::code_name(code);
                let cause = part.message.as_ref().map_or_else(|| name.clone(), |m| format!("{name}: {m}"));
                let reason = self.refusal(cluster, true, "Produce", base, cause);
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
        attempts.seen = true;
    }

    /// What it needs to begin could not be had.
    pub(crate) fn prepare_refused(&mut self, cause: Unprepared, now: Instant) -> Verdict {
        let reason = match cause {
            // Gaps are met before.
            Unprepared::NotYet(_) | Unprepared::Gap { .. } => return Verdict::Wait,
            Unprepared::Stopped(reason) => *reason,
            Unprepared::Failed(cause) => {
                let verdict = match &cause {
                    // Leaders are slow to hear of topics made among thousands of others. Whether it is gone is told by the metadata.
                    _ if is_missing(cause.response()) => Verdict::Refresh,
                    wire::Error::Broker { code, .. } => self.fetches.judge(*code, now),
                    other if other.recovery() == Recovery::Fatal => Verdict::Stop,
                    _ => Verdict::Wait,
                };
                if verdict != Verdict::Stop {
                    return verdict;
                }
                Stopped::Unprepared { partition: self.source.clone(), cause }
            }
        };
        self.stop(reason);
        Verdict::Stop
    }

    fn refusal(&self, cluster: &str, at_target: bool, operation: &'static str, offset: i64, cause: String) -> Stopped {
        let partition = if at_target { &self.target } else { &self.source };
        Stopped::Refused { cluster: cluster.to_owned(), partition: partition.clone(), operation, offset, cause }
    }

    /// The first source offset that the target has not acknowledged.
    fn next_to_write(&self) -> i64 {
        self.outbound.first().map_or(self.position, |batch| batch.base)
    }

    /// Lets go of all that is fetched and not acknowledged: the target no longer takes it.
    pub(crate) fn abandon(&mut self) {
        self.outbound.clear();
        self.void_answer();
    }

    /// Another worker copies it now.
    pub(crate) fn superseded(&mut self) {
        let reason = Stopped::Superseded { partition: self.source.clone(), generation: self.generation() };
        self.abandon();
        self.stop(reason);
    }

    pub(crate) fn stop(&mut self, reason: Stopped) {
        self.stopped = Some(Box::new(reason));
    }

    /// Gives back the bytes that wait behind batches which the target has not taken for long; they are fetched again later. `copy` frees
    /// those batches from the answers they came in.
    pub(crate) fn give_back_if_stuck(&mut self, now: Instant, copy: impl Fn(&Bytes) -> Bytes) -> bool {
        let Some(given) = self.outbound.give_back(now, copy) else { return false };
        self.go_back(given.iter());
        self.void_answer();
        true
    }
}

#[cfg(test)]
mod tests;
