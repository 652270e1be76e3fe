//! What a flow does with the answers that come.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::spawn_blocking;
use wire::{CorruptBatch, TopicMetadata};

use super::{
    Done, Side, Task,
    end::leader_of,
    members::Stay,
    parking::park,
    prepare::{Prepared, batch_limits},
};
use crate::flow::{
    Start,
    partition::{Unprepared, Verdict},
    recode::{RecodeError, Rewritten},
    tail::{Blind, LookFor, Tail, tail},
};

impl Task {
    pub(super) fn take(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Refreshed(side, answer) => self.refreshed(side, answer, now),
            Done::Prepared(outcomes) => self.prepared(outcomes, now),
            Done::Anchored(owners, outcome) => self.anchored(owners, outcome, now),
            Done::Noted(pairs) => self.noted(pairs, now),
            Done::Compared(looked, outcome) => self.compared(looked, outcome, now),
            Done::Fetched(fetched) => self.fetched(*fetched, now),
            Done::Produced(sent) => self.produced(sent, now),
            Done::Bounds(index, answer) => self.bounds_known(index, answer, now),
            Done::Looked(index, outcome) => self.looked(index, outcome, now),
            Done::Strangers(index, what, to, outcome) => self.strangers_looked_at(index, what, to, outcome, now),
            Done::EndOfOurs(index, outcome) => self.regressed(index, outcome, now),
            Done::Limit(index, limit) => self.limit_known(index, limit, now),
            Done::Recoded(index, next, outcome) => self.recoded(index, next, outcome, now),
            Done::Found(topic, answer) => self.topic_found(&topic, answer, now),
        }
    }

    fn refreshed(&mut self, side: Side, answer: wire::Result<Vec<TopicMetadata>>, now: Instant) {
        let name = self.name.clone();
        let end = self.end(side);
        end.refreshing = false;
        let begun = end.refreshed_at;
        let what = "metadata".to_owned();
        let topics = match answer {
            Ok(topics) => topics,
            Err(cause) => {
                end.refresh_wanted = true;
                return end.failed(what, &cause.to_string(), &name);
            }
        };
        end.worked(|| what, &name);
        end.cluster.close_unlisted();
        let alias = end.cluster.alias().to_owned();
        let known: HashMap<&str, &TopicMetadata> = topics.iter().map(|t| (t.name.as_str(), t)).collect();
        let at_target = side == Side::Target;
        for index in 0..self.partitions.len() {
            if self.seats[index].stay == Stay::Left {
                continue;
            }
            let partition = &mut self.partitions[index];
            let at = if at_target { partition.target.clone() } else { partition.source.clone() };
            let Some(topic) = known.get(at.topic.as_str()).filter(|_| partition.stopped().is_none()) else { continue };
            if topic.error != 0 {
                if at_target && partition.turns_away() {
                    self.finding.forget(&at.topic);
                    continue;
                }
                match partition.metadata_refused(&alias, at_target, topic.error, now) {
                    Verdict::Stop => self.tell_stopped(index),
                    Verdict::Wait | Verdict::Refresh | Verdict::AskLimit | Verdict::Recode => {
                        self.end(side).refresh_wanted = true
                    }
                }
                continue;
            }
            partition.metadata_known(at_target);
            if self.end(side).cluster.leader(&at).is_some() {
                self.end(side).worked(|| leader_of(&at), &name);
            }
            let partition = &mut self.partitions[index];
            let former = &mut partition.former_ids[usize::from(at_target)];
            // A broker that lags behind tells the old one.
            if topic.id != 0 && topic.id == *former {
                continue;
            }
            let id = if at_target { &mut partition.target_id } else { &mut partition.source_id };
            let was = std::mem::replace(id, topic.id);
            if was != 0 && topic.id != 0 && was != topic.id {
                *former = was;
                if at_target && partition.turns_away() {
                    self.finding.forget(&at.topic);
                    continue;
                }
                self.recreated(index, at_target, was, topic.id);
            } else if at_target {
                self.clear_suspicion(index, begun);
            }
        }
        self.fetching.clear();
        self.producing.clear();
        self.reconsider_all(now);
    }

    fn prepared(&mut self, outcomes: Vec<(usize, Result<Prepared, Unprepared>)>, now: Instant) {
        self.preparing = false;
        for (index, outcome) in outcomes {
            if self.seats[index].stay == Stay::Left {
                self.unprepared.remove(&index);
                continue;
            }
            let error = match outcome {
                Ok(Prepared { begun, max_batch_bytes }) => {
                    let (position, start) = (begun.position, self.seats[index].start);
                    let partition = &mut self.partitions[index];
                    partition.prepared(begun);
                    partition.limit_known(max_batch_bytes);
                    if let Some(generation) = partition.generation() {
                        self.anchored_as(index, generation);
                    }
                    self.compare_later(index);
                    self.unprepared.remove(&index);
                    self.act_on_met(index);
                    self.reconsider(index, now);
                    if self.begun_behind(index, position) {
                        continue;
                    }
                    // A copy that begins at the end stands there from now on, also for the next start; so does one that was found further on.
                    let stands = match start {
                        Start::At(from) => position > from,
                        Start::Earliest => self.seats[index].anchored.is_some(),
                        Start::Latest => true,
                    };
                    if stands && position > 0 {
                        self.store(index, position - 1);
                    }
                    continue;
                }
                Err(Unprepared::Gap { gap, next }) => {
                    self.meet(index, *gap, next);
                    self.reconsider(index, now);
                    continue;
                }
                Err(error) => error,
            };
            self.prepare_not_before = now + Duration::from_millis(500);
            let text = error.to_string();
            match self.partitions[index].prepare_refused(error, now) {
                Verdict::Stop => self.tell_stopped(index),
                verdict => {
                    // The metadata tell whether a topic is gone.
                    let is_wanted = verdict == Verdict::Refresh;
                    self.source.refresh_wanted |= is_wanted;
                    self.target.refresh_wanted |= is_wanted;
                    self.source.failed("preparing partitions".to_owned(), &text, &self.name);
                }
            }
        }
        if self.unprepared.iter().all(|index| self.partitions[*index].stopped().is_some()) {
            self.source.worked(|| "preparing partitions".to_owned(), &self.name);
        }
    }

    pub(super) fn act_on(&mut self, verdict: Verdict, side: Side, index: usize) {
        match verdict {
            Verdict::Wait | Verdict::AskLimit => {}
            Verdict::Refresh => self.end(side).refresh_wanted = true,
            Verdict::Recode => self.recode(index),
            Verdict::Stop => self.tell_stopped(index),
        }
    }

    /// Has batches opened and written anew, on a thread where that may take its time.
    fn recode(&mut self, index: usize) {
        let Some(work) = self.partitions[index].recode_work() else { return };
        let (budget, opening) = (self.limits.budget.clone(), Arc::clone(&self.opening));
        let (parking, alias) = (self.parking.clone(), self.source.cluster.alias().to_owned());
        let (from, poison_from) = (self.partitions[index].source.clone(), self.partitions[index].poison_from());
        self.work.push(Box::pin(async move {
            let (first, next) = (work.position, work.next);
            // Never closed.
            let permit = opening.acquire_owned().await;
            let outcome = spawn_blocking(move || work.run(&budget)).await;
            // Parking takes no processor, and may wait for the target.
            drop(permit);
            let outcome = outcome.unwrap_or_else(|cause| {
                Err(CorruptBatch::Payload { base_offset: first, codec: "any", cause: cause.to_string() })
            });
            let outcome = match outcome {
                Ok(rewritten) => park(parking, &alias, &from, poison_from, rewritten).await,
                Err(cause) => Err(RecodeError::Corrupt(cause)),
            };
            Done::Recoded(index, next, outcome)
        }));
    }

    fn recoded(&mut self, index: usize, next: i64, outcome: Result<Rewritten, RecodeError>, now: Instant) {
        if !self.goes_on(index) {
            self.partitions[index].void_answer();
        }
        let alias = self.source.cluster.alias().to_owned();
        let verdict = self.partitions[index].recoded(&alias, next, outcome);
        self.tell_poison(index);
        self.passed_over(index);
        self.act_on(verdict, Side::Source, index);
        self.reconsider(index, now);
    }

    /// Behind what is left out there may be nothing for long: the copy stands there all the same.
    pub(super) fn passed_over(&mut self, index: usize) {
        if self.goes_on(index)
            && let Some(last) = self.partitions[index].passed_over()
        {
            self.store(index, last);
        }
    }

    /// The target refused a batch for its size: how large may it be?
    pub(super) fn ask_limit(&mut self, index: usize) {
        if !self.asking.insert(index) {
            return;
        }
        let (cluster, topic) = (self.target.cluster.clone(), self.partitions[index].target.topic.clone());
        self.work.push(Box::pin(async move {
            let limit = batch_limits(&cluster, std::slice::from_ref(&topic)).await.remove(&topic);
            Done::Limit(index, limit)
        }));
    }

    fn limit_known(&mut self, index: usize, limit: Option<usize>, now: Instant) {
        self.asking.remove(&index);
        if self.seats[index].stay == Stay::Left {
            return;
        }
        self.partitions[index].limit_known(limit);
        self.reconsider(index, now);
    }

    /// Looks into the target's log for batches whose fate is not known.
    pub(super) fn look(&mut self, index: usize, what: LookFor, now: Instant) {
        let partition = &self.partitions[index];
        let leader = self.target.cluster.leader(&partition.target).map_or(-1, |leader| leader.broker);
        if partition.may_come_late(leader, now) || !self.asking.insert(index) {
            return;
        }
        let (cluster, at, budget) =
            (self.target.cluster.clone(), self.partitions[index].target.clone(), self.limits.budget.clone());
        let looking = Arc::clone(&self.looking);
        self.work.push(Box::pin(async move {
            // Never closed.
            let _permit = looking.acquire_owned().await;
            Done::Looked(index, tail(&cluster, &at, what, &budget).await)
        }));
    }

    fn looked(&mut self, index: usize, outcome: Result<Tail, Blind>, now: Instant) {
        self.asking.remove(&index);
        if self.seats[index].stay == Stay::Left {
            return;
        }
        let alias = self.target.cluster.alias().to_owned();
        let what = || format!("the log of {}", self.partitions[index].target);
        match &outcome {
            Ok(_) => self.target.worked(what, &self.name),
            Err(cause) => self.target.failed(what(), &cause.to_string(), &self.name),
        }
        let (verdict, settled) = self.partitions[index].looked(&alias, outcome, now, self.fresh_after);
        if let Some(last) = settled {
            self.store(index, last);
            self.passed_over(index);
        }
        self.act_on_met(index);
        self.act_on(verdict, Side::Target, index);
        self.reconsider(index, now);
    }
}
