//! Gaps and other things that somebody has to know of: found, told, and passed where the policy says so.

use std::time::{Duration, Instant};

use wire::{Cluster, OffsetSpec, TopicPartition};

use super::{Done, Task, members::Stay, prepare::one_offset};
use crate::flow::{
    Action, EventKind, Gap, Happened, OffsetsOf, Place, Start,
    gap::{Bounds, Onward},
    partition::{Before, Behind, Met},
    tail::{Blind, LookFor, Strangers, end_of_ours, strangers},
};

/// How long brokers may take to hear of a topic that was made again.
const NEWS: Duration = Duration::from_secs(1);

/// What the source's leader tells of a partition's log. `last_epoch`: of the record that was copied last, −1 for an unknown one.
async fn bounds(cluster: &Cluster, at: &TopicPartition, last_epoch: i32) -> wire::Result<Bounds> {
    let start = one_offset(cluster, at, OffsetSpec::Earliest).await?;
    let end = cluster.log_end(at).await?;
    let of_epoch = if last_epoch < 0 {
        None
    } else {
        let told = cluster.epoch_end(at, last_epoch).await?;
        if told.leader_epoch >= 0 {
            Some(told)
        } else {
            // It has never heard of that epoch. What does it have? Nothing at all where it keeps old messages.
            let newest = cluster.leader(at).map_or(-1, |leader| leader.epoch);
            Some(cluster.epoch_end(at, newest).await?).filter(|told| told.leader_epoch >= 0)
        }
    };
    Ok(Bounds { start, end, of_epoch })
}

impl Task {
    /// The leader says that the next offset is not there, or follows other records than those copied. One just elected may not know yet: it
    /// is asked what it has.
    pub(super) fn look_up_bounds(&mut self, index: usize) {
        if !self.asking.insert(index) {
            return;
        }
        let partition = &self.partitions[index];
        let (cluster, at, last_epoch) = (self.source.cluster.clone(), partition.source.clone(), partition.last_epoch());
        self.work.push(Box::pin(async move { Done::Bounds(index, bounds(&cluster, &at, last_epoch).await) }));
    }

    pub(super) fn bounds_known(&mut self, index: usize, answer: wire::Result<Bounds>, now: Instant) {
        self.asking.remove(&index);
        if self.seats[index].stay == Stay::Left {
            return;
        }
        let at = self.source_of(index);
        let partition = &mut self.partitions[index];
        let gap = answer.as_ref().ok().and_then(|bounds| bounds.gap(at, partition.position(), partition.epochs()));
        match (gap, answer) {
            (Some(gap), _) => self.meet_at_rest(index, gap),
            (None, answer) => {
                partition.fetch_failed(now);
                if matches!(answer, Ok(Bounds { of_epoch: None, .. })) {
                    partition.forget_epochs();
                }
            }
        }
        self.reconsider(index, now);
    }

    pub(super) fn source_of(&self, index: usize) -> Place {
        let cluster = self.source.cluster.alias().to_owned();
        Place { cluster, partition: self.partitions[index].source.clone() }
    }

    fn target_of(&self, index: usize) -> Place {
        let cluster = self.target.cluster.alias().to_owned();
        Place { cluster, partition: self.partitions[index].target.clone() }
    }

    /// The topic of a partition, at one end, is another than before.
    pub(super) fn recreated(&mut self, index: usize, at_target: bool, was: u128, is: u128) {
        let gap = if at_target {
            self.partitions[index].end_doubt();
            self.anchoring.moved.insert(index);
            Gap::TargetRecreated { at: self.target_of(index), was, is }
        } else {
            Gap::TopicRecreated { at: self.source_of(index), was, is }
        };
        self.meet_at_rest(index, gap);
    }

    /// A partition of which something may be under way has met a gap.
    pub(super) fn meet_at_rest(&mut self, index: usize, gap: Gap) {
        let partition = &mut self.partitions[index];
        if let Some(gap) = partition.put_off(gap) {
            let next = partition.told_up_to();
            self.meet(index, gap, next);
        }
    }

    /// A partition has met a gap: it stops, or goes on behind it. `next`: the first source offset that is not known to be copied.
    pub(super) fn meet(&mut self, index: usize, gap: Gap, next: i64) {
        let partition = &mut self.partitions[index];
        if partition.stopped().is_some() || partition.is_leaving() {
            return;
        }
        let onward = gap.onward(self.gaps.of(gap.kind()), next);
        let action = match onward {
            None => Action::Stopped,
            Some(Onward::At(offset)) => Action::WentOn(Some(offset)),
            Some(Onward::Earliest | Onward::CopyOf(_)) => Action::WentOn(None),
        };
        self.events.tell(gap.happened(partition.source.clone(), partition.target.clone(), action));
        match onward {
            None => {
                partition.end_at(gap);
                self.tell_stopped(index);
            }
            Some(onward) => {
                partition.leave(&gap, onward);
                self.fetching.leave(index);
                self.tell_gap(index, &gap);
            }
        }
    }

    /// Once nothing of before a gap is under way, its partition begins behind it.
    pub(super) fn begin_behind(&mut self, index: usize) {
        // Also where it goes nowhere any more: what the target no longer takes is not waited for.
        let has_left = self.partitions[index].has_left();
        if !has_left || self.seats[index].stay != Stay::Copied || self.asking.contains(&index) {
            return;
        }
        if self.anchoring.concerns(index) {
            return self.anchoring.hurry();
        }
        let Some(behind) = self.partitions[index].begin_behind() else { return };
        let seat = &mut self.seats[index];
        seat.anchored = None;
        seat.behind = Some(behind);
        seat.start = match behind.onward {
            Onward::At(offset) => Start::At(offset),
            // The second is found out by the offset map.
            Onward::Earliest | Onward::CopyOf(_) => Start::Earliest,
        };
        self.unprepared.insert(index);
    }

    /// What was met in the target's log beside what was looked for.
    pub(super) fn act_on_met(&mut self, index: usize) {
        for met in self.partitions[index].take_met() {
            match met {
                Met::Regressed { acknowledged, end } => {
                    self.partitions[index].suspect(acknowledged, end, Instant::now());
                    self.target.refresh_now();
                }
                Met::Doubled { from, to, records } => {
                    self.report(index, EventKind::RecordsDoubled, (from, to), records)
                }
                Met::Foreign { from, to, records } => self.report(index, EventKind::ForeignWrites, (from, to), records),
                // Each partition's batches are among another's.
                Met::Between { .. } if self.shares_targets => {}
                Met::Between { from, to, unchecked: Some((sequence, before)) } if self.partitions[index].can_look() => {
                    self.look_between(index, (from, to), sequence, before == Before::Ours);
                }
                Met::Between { from, to, .. } => self.strangers_known(index, (from, to), None),
            }
        }
    }

    /// The target's metadata, asked for at `asked`, tell of no other topic. Brokers may hear of one late.
    pub(super) fn clear_suspicion(&mut self, index: usize, asked: Option<Instant>) {
        let Some((end, since)) = self.partitions[index].suspected() else { return };
        if asked.is_none_or(|asked| asked < since + NEWS) {
            self.target.refresh_wanted = true;
            return;
        }
        let partition = &self.partitions[index];
        let Some(producer) = partition.producer() else { return };
        if !self.asking.insert(index) {
            self.target.refresh_wanted = true;
            return;
        }
        // Others may have written in the place of what was lost before that.
        let (cluster, at) = (self.target.cluster.clone(), partition.target.clone());
        let (budget, looking) = (self.limits.budget.clone(), self.looking.clone());
        self.work.push(Box::pin(async move {
            // Never closed.
            let _permit = looking.acquire_owned().await;
            Done::EndOfOurs(index, end_of_ours(&cluster, &at, producer, end, None, &budget).await)
        }));
    }

    /// Where the last batch of ours ends in a target that has lost what came behind it.
    pub(super) fn regressed(&mut self, index: usize, outcome: Result<i64, Blind>, now: Instant) {
        self.asking.remove(&index);
        if self.seats[index].stay == Stay::Left {
            return;
        }
        match outcome {
            Ok(end) => {
                if let Some((acknowledged, _)) = self.partitions[index].take_suspected() {
                    let at = self.target_of(index);
                    self.meet_at_rest(index, Gap::TargetRegressed { at, acknowledged, end });
                }
            }
            Err(cause) => {
                let what = format!("the log of {}", self.partitions[index].target);
                self.target.failed(what, &cause.to_string(), &self.name);
                self.target.refresh_wanted = true;
            }
        }
        self.reconsider(index, now);
    }

    /// Whether records between ours are ours once more, or have come in place of others of ours: the broker may have forgotten the producer.
    fn look_between(&mut self, index: usize, (from, to): (i64, i64), sequence: i32, is_behind_ours: bool) {
        let Some(producer) = self.partitions[index].producer() else { return };
        let what = LookFor { from, producer, sequence, is_behind_ours };
        let (cluster, at) = (self.target.cluster.clone(), self.partitions[index].target.clone());
        let (budget, looking) = (self.limits.budget.clone(), self.looking.clone());
        self.work.push(Box::pin(async move {
            // Never closed.
            let _permit = looking.acquire_owned().await;
            let outcome = strangers(&cluster, &at, what, to, &budget).await;
            Done::Strangers(index, what, to, outcome)
        }));
    }

    pub(super) fn strangers_looked_at(
        &mut self,
        index: usize,
        what: LookFor,
        to: i64,
        outcome: Result<Strangers, Blind>,
        now: Instant,
    ) {
        // The place may be another's by now.
        if self.partitions[index].producer() != Some(what.producer) {
            return;
        }
        if let Err(Blind::Regressed { from: acknowledged, end }) = outcome {
            self.partitions[index].suspect(acknowledged, end, now);
            return self.target.refresh_now();
        }
        self.strangers_known(index, (what.from, to), outcome.ok());
    }

    /// What is between ours is reported: as others' where nobody could look at it.
    fn strangers_known(&self, index: usize, (from, to): (i64, i64), told: Option<Strangers>) {
        let all = u64::try_from(to - from).unwrap_or(0);
        let Strangers { ours, others } = told.unwrap_or(Strangers { ours: 0, others: all });
        if ours > 0 {
            self.report(index, EventKind::RecordsDoubled, (from, to), ours);
        }
        if others > 0 {
            self.report(index, EventKind::ForeignWrites, (from, to), others);
        }
    }

    pub(super) fn report(&self, index: usize, kind: EventKind, (from, to): (i64, i64), records: u64) {
        let partition = &self.partitions[index];
        let alias = self.target.cluster.alias();
        let message = match kind {
            EventKind::RecordsDoubled => {
                format!(
                    "{records} records of the copy are there twice, in offsets {from} to {} of cluster {alias}",
                    to - 1
                )
            }
            _ => format!("others have written offsets {from} to {} of cluster {alias}", to - 1),
        };
        self.events.tell(Happened {
            kind,
            source: partition.source.clone(),
            target: partition.target.clone(),
            offsets_of: OffsetsOf::Target,
            from,
            to,
            records: Some(records),
            action: Action::Reported,
            message,
        });
    }

    /// How far behind a gap a partition's position is stored, once it is prepared there.
    pub(super) fn begun_behind(&mut self, index: usize, position: i64) -> bool {
        let Some(Behind { onward, .. }) = self.seats[index].behind.take() else { return false };
        if onward != Onward::At(position) {
            let partition = &self.partitions[index].source;
            tracing::info!(flow = self.name, %partition, position, "goes on behind a gap");
        }
        self.store(index, position - 1);
        true
    }
}
