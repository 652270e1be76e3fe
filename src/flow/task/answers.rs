//! What a flow does with the answers that come.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use wire::{FetchedPartition, OffsetSpec, Produced, ProducerId, ResponseError, TopicMetadata};

use super::{Done, Side, Task, end::leader_of, prepare::one_offset};
use crate::flow::{Start, error::Stopped, partition::Verdict};

impl Task {
    pub(super) fn take(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Refreshed(side, answer) => self.refreshed(side, answer, now),
            Done::Prepared(outcomes) => self.prepared(outcomes, now),
            Done::Fetched(broker, indices, answer) => self.fetched(broker, &indices, answer, now),
            Done::Produced(broker, indices, answer) => self.produced(broker, &indices, answer, now),
            Done::Bounds(index, answer) => self.bounds_known(index, answer, now),
        }
    }

    fn refreshed(&mut self, side: Side, answer: wire::Result<Vec<TopicMetadata>>, now: Instant) {
        let name = self.name.clone();
        let end = self.end(side);
        end.refreshing = false;
        let what = "metadata".to_owned();
        let topics = match answer {
            Ok(topics) => topics,
            Err(cause) => {
                end.refresh_wanted = true;
                return end.failed(what, &cause.to_string(), &name);
            }
        };
        end.worked(&what, &name);
        let alias = end.cluster.alias().to_owned();
        let known: HashMap<&str, &TopicMetadata> = topics.iter().map(|t| (t.name.as_str(), t)).collect();
        let at_target = side == Side::Target;
        for index in 0..self.partitions.len() {
            let partition = &mut self.partitions[index];
            let at = if at_target { partition.target.clone() } else { partition.source.clone() };
            let Some(topic) = known.get(at.topic.as_str()).filter(|_| partition.stopped().is_none()) else { continue };
            if topic.error != 0 {
                match partition.metadata_refused(&alias, at_target, topic.error, now) {
                    Verdict::Stop => self.tell_stopped(index),
                    Verdict::Wait | Verdict::Refresh => self.end(side).refresh_wanted = true,
                }
                continue;
            }
            partition.metadata_known(at_target);
            if self.end(side).cluster.leader(&at).is_some() {
                self.end(side).worked(&leader_of(&at), &name);
            }
            let partition = &mut self.partitions[index];
            let id = if at_target { &mut partition.target_id } else { &mut partition.source_id };
            let was = std::mem::replace(id, topic.id);
            if was != 0 && topic.id != 0 && was != topic.id {
                if at_target {
                    partition.abandon();
                }
                partition.stop(Stopped::Recreated { cluster: alias.clone(), partition: at, was, is: topic.id });
                self.tell_stopped(index);
            }
        }
    }

    fn prepared(&mut self, outcomes: Vec<(usize, wire::Result<(i64, ProducerId)>)>, now: Instant) {
        self.preparing = false;
        for (index, outcome) in outcomes {
            let error = match outcome {
                Ok((position, producer)) => {
                    self.partitions[index].prepared(position, producer);
                    // A copy that begins at the end stands there from now on, also for the next start.
                    if self.starts[index] == Start::Latest && position > 0 {
                        self.acknowledged[index].store(position - 1, Ordering::Release);
                    }
                    continue;
                }
                Err(error) => error,
            };
            self.prepare_not_before = now + Duration::from_millis(500);
            match self.partitions[index].prepare_refused(&error, now) {
                Verdict::Stop => self.tell_stopped(index),
                Verdict::Wait | Verdict::Refresh => {
                    let name = self.name.clone();
                    self.source.failed("preparing partitions".to_owned(), &error.to_string(), &name);
                }
            }
        }
        if self.partitions.iter().all(|p| p.is_prepared() || p.stopped().is_some()) {
            let name = self.name.clone();
            self.source.worked("preparing partitions", &name);
        }
    }

    fn fetched(&mut self, broker: i32, indices: &[usize], answer: wire::Result<Vec<FetchedPartition>>, now: Instant) {
        self.fetching.remove(&broker);
        let expected: HashSet<usize> =
            indices.iter().copied().filter(|index| self.partitions[*index].fetch_done()).collect();
        let what = format!("Fetch from broker {broker}");
        let name = self.name.clone();
        let parts = match answer {
            Ok(parts) => parts,
            Err(cause) => {
                self.source.failed(what, &cause.to_string(), &name);
                self.source.refresh_wanted = true;
                expected.iter().for_each(|index| self.partitions[*index].fetch_failed(now));
                return;
            }
        };
        self.source.worked(&what, &name);
        let alias = self.source.cluster.alias().to_owned();
        for part in parts {
            let Some(index) = self.by_source.get(&part.partition).copied().filter(|i| expected.contains(i)) else {
                continue;
            };
            let verdict = match ResponseError::try_from_code(part.error) {
                None => self.partitions[index].fetched(&alias, part.records),
                Some(ResponseError::OffsetOutOfRange) => {
                    self.look_up_bounds(index);
                    Verdict::Wait
                }
                Some(_) => self.partitions[index].fetch_refused(&alias, part.error, now),
            };
            self.act_on(verdict, Side::Source, index);
        }
    }

    fn produced(&mut self, broker: i32, indices: &[usize], answer: wire::Result<Vec<Produced>>, now: Instant) {
        if let Some(under_way) = self.producing.get_mut(&broker) {
            *under_way -= 1;
        }
        let what = format!("Produce to broker {broker}");
        let name = self.name.clone();
        let parts = match answer {
            Ok(parts) => parts,
            Err(cause) => {
                self.target.failed(what, &cause.to_string(), &name);
                self.target.refresh_wanted = true;
                indices.iter().for_each(|index| self.partitions[*index].unanswered(now));
                return;
            }
        };
        self.target.worked(&what, &name);
        let alias = self.target.cluster.alias().to_owned();
        let mut left: HashSet<usize> = indices.iter().copied().collect();
        for part in parts {
            let Some(index) = self.by_target.get(&part.partition).copied().filter(|i| left.remove(i)) else { continue };
            let refused_as = format!("Produce to {}", part.partition);
            let verdict = match ResponseError::try_from_code(part.error) {
                // An answer to a resend may say that the batch is there already.
                None | Some(ResponseError::DuplicateSequenceNumber) => {
                    self.target.worked(&refused_as, &name);
                    if let Some(last) = self.partitions[index].acknowledged() {
                        self.acknowledged[index].store(last, Ordering::Release);
                    }
                    Verdict::Wait
                }
                Some(_) => {
                    let verdict =
                        self.partitions[index].produce_refused(&alias, part.error, part.message.as_deref(), now);
                    if verdict == Verdict::Wait {
                        self.target.failed(refused_as, &wire::code_name(part.error), &name);
                    }
                    verdict
                }
            };
            self.act_on(verdict, Side::Target, index);
        }
        // Left out of the answer: nothing is known of them.
        left.into_iter().for_each(|index| self.partitions[index].unanswered(now));
    }

    fn act_on(&mut self, verdict: Verdict, side: Side, index: usize) {
        match verdict {
            Verdict::Wait => {}
            Verdict::Refresh => self.end(side).refresh_wanted = true,
            Verdict::Stop => self.tell_stopped(index),
        }
    }

    /// The leader says that the next offset is not there. A leader just elected may not know yet: its bounds are asked for first.
    fn look_up_bounds(&mut self, index: usize) {
        if !self.bounding.insert(index) {
            return;
        }
        let (cluster, at) = (self.source.cluster.clone(), self.partitions[index].source.clone());
        self.work.push(Box::pin(async move {
            let start = one_offset(&cluster, &at, OffsetSpec::Earliest).await;
            let end = one_offset(&cluster, &at, OffsetSpec::Latest).await;
            Done::Bounds(index, start.and_then(|start| Ok((start, end?))))
        }));
    }

    fn bounds_known(&mut self, index: usize, answer: wire::Result<(i64, i64)>, now: Instant) {
        self.bounding.remove(&index);
        let partition = &mut self.partitions[index];
        let position = partition.position();
        let (log_start, log_end) = match answer {
            Ok(bounds) => bounds,
            Err(_) => return partition.fetch_failed(now),
        };
        if (log_start..=log_end).contains(&position) {
            return partition.fetch_failed(now);
        }
        let verdict = if position < log_start {
            format!("{} records are gone before they were copied (retention, or DeleteRecords)", log_start - position)
        } else {
            "the log ends before it (records were lost, or the position is another topic's)".to_owned()
        };
        let reason = Stopped::OutOfRange {
            cluster: self.source.cluster.alias().to_owned(),
            partition: partition.source.clone(),
            position,
            log_start,
            log_end,
            verdict,
        };
        partition.stop(reason);
        self.tell_stopped(index);
    }

    fn tell_stopped(&self, index: usize) {
        let partition = &self.partitions[index];
        let Some(reason) = partition.stopped() else { return };
        tracing::error!(flow = self.name, partition = %partition.source, %reason, "partition stopped");
        self.status.send_modify(|status| {
            status.stopped.entry(partition.source.clone()).or_insert_with(|| reason.to_string());
        });
    }
}
