//! What the connector does beside the copy, for as long as it lives: offset syncs, topic settings, ACLs.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use wire::Cluster;

use super::{SourceConnector, client_id, cluster_config, topic_rules};
use crate::{
    config::{OffsetSyncs, Side, SourceConnectorConfig},
    mirror::{
        MirroredTopic, SourceCheck,
        acls::AclSync,
        reach::REACHING_SOURCE,
        syncs::{Emitting, SyncsTopic},
        topic_configs::TopicConfigSync,
        trouble::Troubles,
    },
};

impl SourceConnector {
    /// Begins with all of it that is on.
    pub(super) fn begin_beside(&mut self) {
        let (config, name) = (&self.config, self.config.mirror.name.as_str());
        self.emitting = config.offset_syncs.as_ref().map(|syncs| {
            let topic = SyncsTopic {
                cluster: self.syncs_cluster(syncs),
                name: self.selection.offset_syncs_topic(config.mirror.offset_syncs_alias(syncs.location)),
                replication_factor: syncs.replication_factor,
            };
            Emitting::start(name, topic, syncs.lag_max, syncs.commit_interval)
        });
        if let Some(every) = config.sync_topic_configs {
            let ends = [&self.source, &self.target];
            let (alter, limit) = (config.alter_configs, config.mirror.admin_timeout);
            let mut sync = TopicConfigSync::new(name, ends, topic_rules(config), alter, limit);
            let (mut turns, mut source) = (Turns::new(every, self.mirrored.subscribe()), self.reached_source());
            self.beside.spawn(async move {
                while let Some(topics) = turns.next().await {
                    if source.is_the_same().await {
                        sync.step(&topics).await;
                    }
                }
            });
        }
        if let Some(every) = config.sync_topic_acls {
            let mut sync = AclSync::new(name, self.acls.clone());
            let (mut turns, mut source) = (Turns::new(every, self.mirrored.subscribe()), self.reached_source());
            let mut maps = self.acls.removes().then(|| self.maps.subscribe());
            let source_id = self.source_id.clone();
            self.beside.spawn(async move {
                if let Some(maps) = &mut maps {
                    let Ok(known) = maps.wait_for(Option::is_some).await.map(|maps| maps.clone().flatten()) else {
                        return;
                    };
                    known.into_iter().for_each(|maps| sync.remember(maps, source_id.clone()));
                }
                while let Some(topics) = turns.next().await {
                    if source.is_the_same().await {
                        sync.step(&topics).await;
                    }
                }
            });
        }
    }

    fn reached_source(&self) -> ReachedSource {
        let (source, troubles) = (self.source.clone(), Troubles::new(&self.config.mirror.name));
        ReachedSource { source, check: self.source_check(), troubles }
    }

    /// The cluster of the offset syncs topic, by connections of its own.
    fn syncs_cluster(&self, syncs: &OffsetSyncs) -> Cluster {
        let OffsetSyncs { location, bootstrap, .. } = syncs;
        let client_id = syncs_client_id(&self.config, *location);
        let (cluster, addresses) = match location {
            Side::Source => (&self.source, Some(&self.config.source_bootstrap)),
            Side::Target => (&self.target, self.config.mirror.target_bootstrap.as_ref()),
        };
        match bootstrap.as_ref().filter(|own| Some(*own) != addresses) {
            // Its producer was given other addresses than the rest.
            Some(own) => Cluster::new(cluster_config(cluster.alias(), own, &client_id)),
            None => cluster.with_own_connections(client_id),
        }
    }
}

/// That of MirrorMaker's first task: here one producer writes for all.
pub(super) fn syncs_client_id(config: &SourceConnectorConfig, location: Side) -> String {
    let task = format!("{}-0", config.mirror.name);
    format!("{}|offset-syncs-{}-producer", client_id(config, &task), location.name())
}

/// Asks, before anything is carried, whether it still is the cluster that was meant: another one may have topics of the same names.
struct ReachedSource {
    source: Cluster,
    check: Arc<SourceCheck>,
    troubles: Troubles,
}

impl ReachedSource {
    async fn is_the_same(&mut self) -> bool {
        let checked = self.check.check().await;
        match &checked {
            Ok(()) => self.troubles.worked(&self.source, REACHING_SOURCE),
            Err(cause) => drop(self.troubles.failed(&self.source, REACHING_SOURCE, &cause.to_string())),
        }
        checked.is_ok()
    }
}

/// When something is done with the topics mirrored: at once when they are known, then from time to time (`MirrorSourceConnector.start`).
struct Turns {
    every: Duration,
    mirrored: watch::Receiver<Option<Arc<[MirroredTopic]>>>,
    ticks: Option<tokio::time::Interval>,
}

impl Turns {
    fn new(every: Duration, mirrored: watch::Receiver<Option<Arc<[MirroredTopic]>>>) -> Self {
        Self { every, mirrored, ticks: None }
    }

    /// The topics of the next turn; none once the connector has gone.
    async fn next(&mut self) -> Option<Arc<[MirroredTopic]>> {
        self.mirrored.wait_for(Option::is_some).await.ok()?;
        let every = self.every;
        let ticks = self.ticks.get_or_insert_with(|| {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        ticks.tick().await;
        self.mirrored.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_turn_waits_for_topics_and_the_others_for_their_time() {
        let mirrored = watch::Sender::new(None);
        let mut turns = Turns::new(Duration::from_secs(600), mirrored.subscribe());
        assert!(timeout(Duration::from_secs(3600), turns.next()).await.is_err(), "no refresh yet");
        mirrored.send_replace(Some(Arc::default()));
        let begin = Instant::now();
        assert_eq!(turns.next().await.map(|topics| topics.len()), Some(0));
        assert_eq!(begin.elapsed(), Duration::ZERO, "at once");
        let topic = MirroredTopic { source: "t".to_owned(), remote: "A.t".to_owned(), partitions: 1 };
        mirrored.send_replace(Some(Arc::new([topic])));
        assert_eq!(turns.next().await.map(|topics| topics.len()), Some(1));
        assert_eq!(begin.elapsed(), Duration::from_secs(600));
    }
}
