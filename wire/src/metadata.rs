//! What is known of a cluster: brokers, controller, topic ids, leaders and their epochs. Pure; [`crate::Cluster`] keeps it fresh.

use std::collections::{HashMap, HashSet};

use kafka_protocol::messages::MetadataResponse;

use crate::types::{PartitionMetadata, TopicMetadata, TopicPartition};

/// Who leads a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// Broker id.
    pub broker: i32,
    /// Leader epoch, −1 where the cluster tells none.
    pub epoch: i32,
    /// Topic id; zero below Kafka 2.8.
    pub topic_id: u128,
}

/// The newest answer about brokers, and the newest about each topic.
#[derive(Debug, Default)]
pub(crate) struct MetadataCache {
    pub(crate) cluster_id: Option<String>,
    pub(crate) controller: Option<i32>,
    /// Broker id → host and port.
    pub(crate) brokers: HashMap<i32, (String, u16)>,
    topics: HashMap<String, TopicMetadata>,
    /// Brokers that did not answer when they were last asked: they are asked last.
    silent: HashSet<i32>,
}

impl MetadataCache {
    /// Whom to ask what anybody can answer, in that order.
    pub(crate) fn anybody(&self) -> Vec<i32> {
        let mut ids: Vec<i32> = self.brokers.keys().copied().collect();
        ids.sort_by_key(|id| (self.silent.contains(id), *id));
        ids
    }

    /// A broker did, or did not, answer.
    pub(crate) fn answered(&mut self, broker: i32, answered: bool) {
        if answered {
            self.silent.remove(&broker);
        } else {
            self.silent.insert(broker);
        }
    }

    /// Takes over an answer. A broker that lags behind may tell an older leader than we know: per partition the higher epoch stays, unless
    /// the topic is another one (KIP-320).
    pub(crate) fn merge(&mut self, response: &MetadataResponse, topics: &[TopicMetadata]) {
        self.cluster_id = response.cluster_id.as_ref().map(|id| id.to_string());
        self.controller = Some(response.controller_id.0).filter(|id| *id >= 0);
        if !response.brokers.is_empty() {
            self.brokers = response
                .brokers
                .iter()
                .filter_map(|b| Some((b.node_id.0, (b.host.to_string(), u16::try_from(b.port).ok()?))))
                .collect();
        }
        for topic in topics {
            let mut newer = topic.clone();
            if let Some(known) = self.topics.get(&topic.name).filter(|known| known.id == topic.id) {
                for partition in &mut newer.partitions {
                    let ours = place(&known.partitions, partition.partition).map(|at| &known.partitions[at]);
                    if let Some(ours) = ours.filter(|ours| ours.leader_epoch > partition.leader_epoch) {
                        partition.clone_from(ours);
                    }
                }
            }
            self.topics.insert(newer.name.clone(), newer);
        }
    }

    /// A leader told by a Produce or Fetch answer (KIP-951).
    pub(crate) fn hint(&mut self, partition: &TopicPartition, leader: i32, epoch: i32) {
        if !self.brokers.contains_key(&leader) {
            return;
        }
        let Some(topic) = self.topics.get_mut(&partition.topic) else { return };
        let Some(at) = place(&topic.partitions, partition.partition) else { return };
        let known = &mut topic.partitions[at];
        if epoch > known.leader_epoch {
            known.leader = Some(leader);
            known.leader_epoch = epoch;
        }
    }

    /// Addresses told beside hints. Those known from metadata stay: they are what the listener we came through advertises.
    pub(crate) fn hint_brokers<'a>(&mut self, told: impl Iterator<Item = (i32, &'a str, i32)>) {
        for (id, host, port) in told {
            if let Ok(port) = u16::try_from(port) {
                self.brokers.entry(id).or_insert_with(|| (host.to_owned(), port));
            }
        }
    }

    pub(crate) fn leader(&self, partition: &TopicPartition) -> Option<Leader> {
        let topic = self.topics.get(&partition.topic).filter(|t| t.error == 0)?;
        let found = &topic.partitions[place(&topic.partitions, partition.partition)?];
        Some(Leader { broker: found.leader?, epoch: found.leader_epoch, topic_id: topic.id })
    }

    pub(crate) fn topic(&self, name: &str) -> Option<&TopicMetadata> {
        self.topics.get(name)
    }
}

/// Where a partition stands in a list sorted by number: mostly at that number.
fn place(sorted: &[PartitionMetadata], number: i32) -> Option<usize> {
    let at = usize::try_from(number).ok()?;
    if sorted.get(at).is_some_and(|p| p.partition == number) {
        return Some(at);
    }
    sorted.binary_search_by_key(&number, |p| p.partition).ok()
}

/// The topics of an answer in our words, partitions by number.
pub(crate) fn topics_of(response: &MetadataResponse) -> Vec<TopicMetadata> {
    let topic = |t: &kafka_protocol::messages::metadata_response::MetadataResponseTopic| {
        let mut partitions: Vec<_> = t
            .partitions
            .iter()
            .map(|p| PartitionMetadata {
                partition: p.partition_index,
                leader: Some(p.leader_id.0).filter(|id| *id >= 0),
                leader_epoch: p.leader_epoch,
            })
            .collect();
        partitions.sort_by_key(|p| p.partition);
        Some(TopicMetadata {
            name: t.name.as_ref()?.to_string(),
            id: t.topic_id.as_u128(),
            internal: t.is_internal,
            error: t.error_code,
            partitions,
        })
    };
    response.topics.iter().filter_map(topic).collect()
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{BrokerId, metadata_response::MetadataResponseBroker};
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    fn answer() -> MetadataResponse {
        let broker = |id: i32| {
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(id))
                .with_host(StrBytes::from_static_str("h"))
                .with_port(9092)
        };
        MetadataResponse::default().with_brokers(vec![broker(1), broker(2)]).with_controller_id(BrokerId(2))
    }

    fn topic(id: u128, leader: i32, epoch: i32) -> TopicMetadata {
        TopicMetadata {
            name: "t".into(),
            id,
            internal: false,
            error: 0,
            partitions: vec![PartitionMetadata { partition: 0, leader: Some(leader), leader_epoch: epoch }],
        }
    }

    #[test]
    fn an_older_leader_epoch_does_not_replace_a_newer_one_of_the_same_topic() {
        let at = TopicPartition::new("t", 0);
        let mut cache = MetadataCache::default();
        cache.merge(&answer(), &[topic(7, 1, 5)]);
        cache.merge(&answer(), &[topic(7, 2, 4)]);
        assert_eq!(cache.leader(&at), Some(Leader { broker: 1, epoch: 5, topic_id: 7 }));
        // Made anew: its epochs start again.
        cache.merge(&answer(), &[topic(8, 2, 0)]);
        assert_eq!(cache.leader(&at), Some(Leader { broker: 2, epoch: 0, topic_id: 8 }));
    }

    #[test]
    fn a_silent_broker_is_asked_last_until_it_answers() {
        let mut cache = MetadataCache::default();
        cache.merge(&answer(), &[]);
        cache.answered(1, false);
        assert_eq!(cache.anybody(), [2, 1]);
        cache.answered(1, true);
        assert_eq!(cache.anybody(), [1, 2]);
    }

    #[test]
    fn a_hint_counts_only_when_it_is_newer_and_its_broker_is_known() {
        let at = TopicPartition::new("t", 0);
        let mut cache = MetadataCache::default();
        cache.merge(&answer(), &[topic(7, 1, 5)]);
        for (leader, epoch) in [(2, 5), (2, 4), (9, 6)] {
            cache.hint(&at, leader, epoch);
            assert_eq!(cache.leader(&at).map(|l| l.broker), Some(1), "{leader} {epoch}");
        }
        cache.hint(&at, 2, 6);
        assert_eq!(cache.leader(&at), Some(Leader { broker: 2, epoch: 6, topic_id: 7 }));
    }

    #[test]
    fn a_hint_s_broker_is_taken_up_with_its_address() {
        let at = TopicPartition::new("t", 0);
        let mut cache = MetadataCache::default();
        cache.merge(&answer(), &[topic(7, 1, 5)]);
        cache.hint_brokers([(9, "new", 9093), (1, "other", 1), (8, "bad", 70_000)].into_iter());
        cache.hint(&at, 9, 6);
        assert_eq!(cache.leader(&at).map(|l| l.broker), Some(9));
        assert_eq!(cache.brokers.get(&9), Some(&("new".to_owned(), 9093)));
        assert_eq!(cache.brokers.get(&1), Some(&("h".to_owned(), 9092)));
        assert_eq!(cache.brokers.get(&8), None);
    }

    #[test]
    fn partitions_are_found_where_numbers_are_missing() {
        let part = |partition| PartitionMetadata { partition, leader: Some(1), leader_epoch: partition };
        let mut with_gaps = topic(7, 1, 0);
        with_gaps.partitions = vec![part(1), part(2), part(5)];
        let mut cache = MetadataCache::default();
        cache.merge(&answer(), &[with_gaps.clone()]);
        with_gaps.partitions[2].leader_epoch = 4;
        cache.merge(&answer(), &[with_gaps]);
        let epoch = |number| cache.leader(&TopicPartition::new("t", number)).map(|l| l.epoch);
        assert_eq!([-1, 0, 1, 2, 3, 5].map(epoch), [None, None, Some(1), Some(2), None, Some(5)]);
    }

    #[test]
    fn a_partition_without_leader_or_of_a_topic_with_an_error_has_none() {
        let at = TopicPartition::new("t", 0);
        let mut cache = MetadataCache::default();
        let mut during_election = topic(7, 1, 5);
        during_election.partitions[0].leader = None;
        cache.merge(&answer(), &[during_election]);
        assert_eq!(cache.leader(&at), None);
        let mut denied = topic(7, 1, 6);
        denied.error = 29;
        cache.merge(&answer(), &[denied]);
        assert_eq!(cache.leader(&at), None);
        assert_eq!(cache.leader(&TopicPartition::new("t", 1)), None);
    }
}
