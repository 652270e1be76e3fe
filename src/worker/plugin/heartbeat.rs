//! MirrorMaker's heartbeat connector.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use wire::{Cluster, TopicPartition};

use super::{Connector, Opened, Probe, Refreshed, Share, Task, causes, ticking::Ticking};
use crate::{
    config::{ConfigErrors, HeartbeatConnectorConfig, Properties, WorkerConfig},
    flow::{Positions, StoredPosition},
    mirror::HeartbeatConnector,
};

struct Connected {
    connector: HeartbeatConnector,
    every: Duration,
}

pub(super) fn open(config: &Properties, worker: &WorkerConfig, cluster: &Cluster) -> Result<Opened, ConfigErrors> {
    let config = HeartbeatConnectorConfig::parse(config, worker)?;
    let cluster = cluster.clone();
    let every = config.emit_heartbeats;
    Ok(Opened {
        // With enabled=false it beats on, as in MirrorMaker.
        enabled: every.is_some(),
        source_alias: config.mirror.source_alias.clone(),
        refresh: None,
        hints: config.hints.clone(),
        source_name: format!("cluster {} at {}", config.mirror.target_alias, cluster.addresses()),
        max_bytes_per_second: None,
        connect: Box::new(move |_rate, _told| {
            Box::pin(async move {
                let connector = HeartbeatConnector::connect(&config, &cluster).await.map_err(|error| causes(&error))?;
                Ok(Box::new(Connected { connector, every: every.unwrap_or_default() }) as Box<dyn Connector>)
            })
        }),
    })
}

impl Connector for Connected {
    fn probe(&self) -> Option<Arc<dyn Probe>> {
        None
    }

    fn refresh(&mut self) -> BoxFuture<'_, Result<Refreshed, String>> {
        Box::pin(async { Ok(Refreshed { shares: vec![Share::Heartbeats], ..Refreshed::default() }) })
    }

    fn start(
        &self,
        _task: usize,
        _share: &Share,
        _positions: &BTreeMap<TopicPartition, StoredPosition>,
        _store: Arc<dyn Positions>,
    ) -> Box<dyn Task> {
        Ticking::start(self.connector.clone().beat(self.every))
    }
}
