//! Topics that records choose: found, or made, when the first batch is for them.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use wire::{Cluster, NewTopic};

use super::{
    Done, Task,
    members::Stay,
    prepare::batch_limits,
    topics::{Refusal, find_or_make},
};

/// How long a topic that was found is taken to be there: Kafka's `metadata.max.age.ms`.
const FOUND_FOR: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
pub(super) struct Finding {
    found: HashMap<Arc<str>, (Instant, Found)>,
    /// Topics that are looked for, with the partitions that wait for them.
    waiting: HashMap<Arc<str>, Vec<usize>>,
}

/// A topic that is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    partitions: usize,
    /// Largest batch, bytes, where the target tells.
    limit: Option<usize>,
}

impl Finding {
    fn found(&self, topic: &str, now: Instant) -> Option<Found> {
        let (at, found) = self.found.get(topic)?;
        (now.duration_since(*at) < FOUND_FOR).then_some(*found)
    }

    /// Something has become of the topic.
    pub(super) fn forget(&mut self, topic: &str) {
        self.found.remove(topic);
    }
}

impl Task {
    /// Turns a partition to the topic of its next batch, if that is another than before, at once or when it is found.
    pub(super) fn turn(&mut self, index: usize, now: Instant) {
        if !self.goes_on(index) {
            return;
        }
        let Some(topic) = self.partitions[index].other_topic(now) else { return };
        let topic = Arc::clone(topic);
        if let Some(found) = self.finding.found(&topic, now) {
            return self.turn_to(index, &topic, found);
        }
        self.asking.insert(index);
        let waiting = self.finding.waiting.entry(Arc::clone(&topic)).or_default();
        waiting.push(index);
        if waiting.len() > 1 {
            return;
        }
        let source = &self.partitions[index].source;
        let there = self.source.cluster.known_topic(&source.topic).map_or(0, |known| known.partitions.len());
        let wanted = NewTopic {
            name: topic.to_string(),
            partitions: i32::try_from(there).unwrap_or(i32::MAX).max(source.partition + 1),
            replication_factor: self.write.replication_factor,
            configs: Vec::new(),
        };
        let cluster = self.target.cluster.clone();
        self.work.push(Box::pin(async move { Done::Found(topic, find(&cluster, wanted).await) }));
    }

    pub(super) fn topic_found(&mut self, topic: &Arc<str>, answer: Result<Found, Refusal>, now: Instant) {
        let what = || format!("topic {topic}");
        match &answer {
            Ok(found) => {
                self.target.worked(what, &self.name);
                self.finding.found.retain(|_, (at, _)| now.duration_since(*at) < FOUND_FOR);
                self.finding.found.insert(Arc::clone(topic), (now, *found));
            }
            Err(Refusal::Passing(cause)) => self.target.failed(what(), cause, &self.name),
            Err(Refusal::Lasting(_)) => {}
        }
        for index in self.finding.waiting.remove(topic).unwrap_or_default() {
            self.asking.remove(&index);
            if self.seats[index].stay == Stay::Left {
                continue;
            }
            match &answer {
                Ok(found) => self.turn_to(index, topic, *found),
                Err(Refusal::Passing(_)) => self.partitions[index].topic_missed(now),
                Err(Refusal::Lasting(cause)) => self.refuse_topic(index, topic, cause.clone()),
            }
            self.reconsider(index, now);
        }
    }

    fn turn_to(&mut self, index: usize, topic: &Arc<str>, found: Found) {
        let partition = &mut self.partitions[index];
        if usize::try_from(partition.source.partition).is_ok_and(|number| number < found.partitions) {
            partition.turn_to(topic, found.limit);
            if partition.fetches_elsewhere() {
                self.fetching.leave(index);
            }
        } else {
            let cause = format!("it has fewer partitions than the source's topic: {}", found.partitions);
            self.refuse_topic(index, topic, cause);
        }
    }

    fn refuse_topic(&mut self, index: usize, topic: &str, cause: String) {
        self.partitions[index].topic_refused(topic, cause);
        self.tell_stopped(index);
    }
}

async fn find(cluster: &Cluster, wanted: NewTopic) -> Result<Found, Refusal> {
    let name = [wanted.name.clone()];
    let told = find_or_make(cluster, wanted).await?;
    let limit = batch_limits(cluster, &name).await.remove(&told.name);
    Ok(Found { partitions: told.partitions.len(), limit })
}
