//! MirrorHeartbeatConnector: signs of life, which source connectors carry on from cluster to cluster.

use std::time::Duration;

use tracing::{info, warn};
use wire::{Cluster, NewRecord, TopicPartition, now_ms};

use super::{Error, internal_topics::make_compacted, policy::replication_policy, reach::target_id};
use crate::{
    config::HeartbeatConnectorConfig,
    records::{HeartbeatKey, HeartbeatValue},
};

/// MirrorHeartbeatConnector: who writes heartbeats, and where.
#[derive(Debug, Clone)]
pub struct HeartbeatConnector {
    name: String,
    key: HeartbeatKey,
    topic: String,
    target: Cluster,
}

impl HeartbeatConnector {
    /// Checks that `target.cluster.bootstrap.servers`, where it is given, is the worker's cluster, and makes the topic there if it is missing.
    ///
    /// # Errors
    /// A cluster is not reached within about 10 s, is another one than it must be, or refuses the topic. All may pass: try again after a while.
    pub async fn connect(config: &HeartbeatConnectorConfig, worker: &Cluster) -> Result<Self, Error> {
        let mirror = &config.mirror;
        let topic = replication_policy(&mirror.policy)?.heartbeats_topic().to_owned();
        let client_id =
            format!("{}->{}|{}|heartbeats-target-admin", mirror.source_alias, mirror.target_alias, mirror.name);
        target_id(worker, mirror, &client_id).await?;
        let target = worker.with_alias(mirror.target_alias.as_str());
        make_compacted(&target, &topic, config.heartbeats_replication_factor).await?;
        let key = HeartbeatKey { source_alias: mirror.source_alias.clone(), target_alias: mirror.target_alias.clone() };
        Ok(Self { name: mirror.name.clone(), key, topic, target })
    }

    /// Writes a heartbeat now and `every` so often, until it is dropped. What can't be written is told, once, and left out.
    pub async fn beat(self, every: Duration) {
        let to = TopicPartition::new(self.topic.as_str(), 0);
        let mut ticks = tokio::time::interval(every);
        // After a pause there is nothing to make up for.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut in_trouble = false;
        loop {
            ticks.tick().await;
            let written = self.write(&to).await;
            let connector = &self.name;
            match &written {
                Ok(()) if in_trouble => info!(connector, "heartbeats are written again"),
                Err(error) if !in_trouble => warn!(connector, "no heartbeat written; trying again: {error}"),
                _ => {}
            }
            in_trouble = written.is_err();
        }
    }

    async fn write(&self, to: &TopicPartition) -> Result<(), String> {
        let key = self.key.encode().map_err(|error| error.to_string())?;
        let value = HeartbeatValue { timestamp: now_ms() }.encode();
        let record = NewRecord { key: Some(key), value: Some(value), headers: Vec::new() };
        self.target.append_records(to, &[record]).await.map(|_| ()).map_err(|error| error.to_string())
    }
}
