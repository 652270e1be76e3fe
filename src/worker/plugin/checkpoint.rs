//! MirrorMaker's checkpoint connector.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;
use wire::{Cluster, TopicPartition};

use super::{Connector, Maps, Opened, Probe, Refreshed, Share, Task, Told, causes, ticking::Ticking};
use crate::{
    config::{CheckpointConnectorConfig, ConfigErrors, Properties, WorkerConfig},
    flow::{Positions, StoredPosition},
    mirror::{CheckpointConnector, GroupDesk},
    offsets::OpenMaps,
};

struct Connected {
    connector: CheckpointConnector,
    maps: Maps,
    desk: GroupDesk,
}

pub(super) fn open(
    config: &Properties,
    worker: &WorkerConfig,
    cluster: &Cluster,
    maps: OpenMaps,
) -> Result<Opened, ConfigErrors> {
    let config = CheckpointConnectorConfig::parse(config, worker)?;
    let (cluster, replication_factor) = (cluster.clone(), worker.offset_storage.replication_factor);
    let mirror = config.mirror.clone();
    Ok(Opened {
        enabled: mirror.enabled && config.emit_checkpoints.is_some(),
        source_alias: mirror.source_alias.clone(),
        refresh: config.refresh_groups,
        hints: config.hints.clone(),
        source_name: format!("cluster {} at {}", mirror.source_alias, config.source_bootstrap.join(",")),
        max_bytes_per_second: None,
        connect: Box::new(move |_rate, Told { groups, .. }| {
            Box::pin(async move {
                let connector = CheckpointConnector::connect(config, &cluster).await.map_err(|error| causes(&error))?;
                let then = "offsets are translated by offset syncs alone";
                let maps = Maps::of(maps, &cluster, &mirror, replication_factor, then);
                Ok(Box::new(Connected { connector, maps, desk: groups }) as Box<dyn Connector>)
            })
        }),
    })
}

impl Connector for Connected {
    fn probe(&self) -> Option<Arc<dyn Probe>> {
        Some(self.connector.source_check())
    }

    fn refresh(&mut self) -> BoxFuture<'_, Result<Refreshed, String>> {
        Box::pin(async move {
            let (found, opened) = tokio::join!(self.connector.find_groups(), self.maps.open());
            opened.map_err(|error| causes(&error))?;
            let groups = found.map_err(|error| causes(&error))?;
            Ok(Refreshed { shares: groups.into_iter().map(Share::Groups).collect(), ..Refreshed::default() })
        })
    }

    fn start(
        &self,
        task: usize,
        share: &Share,
        _positions: &BTreeMap<TopicPartition, StoredPosition>,
        _store: Arc<dyn Positions>,
    ) -> Box<dyn Task> {
        let Share::Groups(groups) = share else { return Ticking::start(async {}) };
        Ticking::start(self.connector.task(task, groups, self.maps.get().cloned(), &self.desk).run())
    }
}
