//! One of the two clusters of a flow, and how it fares.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use wire::{Cluster, TopicPartition};

use super::{METADATA_AGE, REFRESH_PAUSE};

/// How often the metadata are asked for while a broker does not answer.
const SILENCE_PAUSE: Duration = Duration::from_secs(1);

/// One of the two clusters, and how it fares.
pub(super) struct End {
    pub(super) cluster: Cluster,
    pub(super) topics: Vec<String>,
    pub(super) refresh_wanted: bool,
    pub(super) refreshing: bool,
    pub(super) refreshed_at: Option<Instant>,
    made_at: Instant,
    /// Brokers or requests that fail at present, so that each trouble is told once when it begins and once when it is over.
    troubles: HashMap<String, Instant>,
}

impl End {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            topics: Vec::new(),
            refresh_wanted: true,
            refreshing: false,
            refreshed_at: None,
            made_at: Instant::now(),
            troubles: HashMap::new(),
        }
    }

    pub(super) fn failed(&mut self, what: String, cause: &str, flow: &str) {
        if !self.troubles.contains_key(&what) {
            tracing::warn!(flow, cluster = self.cluster.alias(), %what, %cause, "trouble; trying again");
            self.troubles.insert(what, Instant::now());
        }
    }

    /// Nobody leads a partition, as far as known. Said once the metadata have been asked for: before, nothing is known of any.
    pub(super) fn leaderless(&mut self, partition: &TopicPartition, flow: &str) {
        self.refresh_wanted = true;
        if self.cluster.known_topic(&partition.topic).is_some_and(|topic| topic.error == 0) {
            self.failed(leader_of(partition), "none is known", flow);
        }
    }

    /// When to ask for metadata, unless that is under way or nobody needs them. From `overdue` on an answer of some broker is missing: the others may know that
    /// it has gone.
    pub(super) fn refresh_due(&self, overdue: Option<Instant>) -> Option<Instant> {
        if self.refreshing || self.topics.is_empty() {
            return None;
        }
        let Some(last) = self.refreshed_at else { return Some(self.made_at) };
        let next = last + if self.refresh_wanted { REFRESH_PAUSE } else { METADATA_AGE };
        Some(overdue.map_or(next, |at| next.min(at.max(last + SILENCE_PAUSE))))
    }

    /// There are new topics, of which nothing is known yet.
    pub(super) fn refresh_now(&mut self) {
        self.refresh_wanted = true;
        self.refreshed_at = None;
    }

    pub(super) fn worked(&mut self, what: impl FnOnce() -> String, flow: &str) {
        if self.troubles.is_empty() {
            return;
        }
        let what = what();
        if let Some(since) = self.troubles.remove(&what) {
            let seconds = since.elapsed().as_secs_f32();
            tracing::info!(flow, cluster = self.cluster.alias(), %what, seconds, "trouble is over");
        }
    }
}

pub(super) fn leader_of(partition: &TopicPartition) -> String {
    format!("leader of {partition}")
}

#[cfg(test)]
mod tests {
    use wire::ClusterConfig;

    use super::*;

    #[test]
    fn a_missing_answer_makes_metadata_due_again_and_again() {
        let mut end = End::new(Cluster::new(ClusterConfig::new("target", &[])));
        assert_eq!(end.refresh_due(None), None, "no flow has joined");
        end.topics = vec!["t".to_owned()];
        assert_eq!(end.refresh_due(None), Some(end.made_at), "at the start");
        let last = Instant::now();
        (end.refreshed_at, end.refresh_wanted) = (Some(last), false);
        assert_eq!(end.refresh_due(None), Some(last + METADATA_AGE));
        let soon = last + Duration::from_secs(3);
        assert_eq!(end.refresh_due(Some(soon)), Some(soon));
        assert_eq!(end.refresh_due(Some(last)), Some(last + SILENCE_PAUSE), "overdue when it was last asked");
        end.refreshing = true;
        assert_eq!(end.refresh_due(Some(last)), None);
    }
}
