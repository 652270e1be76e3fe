//! MirrorCheckpointConnector: finds consumer groups of the source, and deals them over tasks.

use std::sync::Arc;

use replication_policy::ReplicationPolicy;
use tracing::{debug, info, warn};
use wire::{Cluster, ClusterConfig, GroupFilter, TopicPartition};

use super::{
    Error, GroupSelection, SourceCheck,
    checkpoint_task::{CheckpointTask, GroupDesk, TaskClusters},
    deal_groups,
    internal_topics::make_compacted,
    policy::replication_policy,
    reach::{REACHING_SOURCE, ask_id, cluster_config, cluster_id, probe, same_source, target_id, within},
};
use crate::{
    config::{CheckpointConnectorConfig, Side},
    offsets::OffsetMaps,
};

/// MirrorCheckpointConnector: which groups are carried over.
#[derive(Debug)]
pub struct CheckpointConnector {
    config: Arc<CheckpointConnectorConfig>,
    policy: Arc<dyn ReplicationPolicy>,
    selection: Arc<GroupSelection>,
    source_config: ClusterConfig,
    source: Cluster,
    /// Cluster id of the source when the connector started.
    source_id: String,
    target: Cluster,
    /// As of the last refresh.
    groups: Vec<String>,
}

impl CheckpointConnector {
    /// Reaches the source, checks that `target.cluster.bootstrap.servers`, where it is given, is the worker's cluster, and makes the checkpoints
    /// topic there if it is missing.
    ///
    /// # Errors
    /// A cluster is not reached within about 10 s, is another one than it must be, or refuses the topic. All may pass: try again after a while.
    pub async fn connect(config: CheckpointConnectorConfig, worker: &Cluster) -> Result<Self, Error> {
        let mirror = &config.mirror;
        let policy: Arc<dyn ReplicationPolicy> = replication_policy(&mirror.policy)?.into();
        let client_id = |side: Side| {
            let (source, target, name) = (&mirror.source_alias, &mirror.target_alias, &mirror.name);
            format!("{source}->{target}|{name}|checkpoint-{}-admin", side.name())
        };
        let source_config = cluster_config(&mirror.source_alias, &config.source_bootstrap, &client_id(Side::Source));
        let target_client = client_id(Side::Target);
        let source = probe(source_config.clone());
        let (source_id, target_id) =
            tokio::join!(cluster_id(REACHING_SOURCE, &source), target_id(worker, mirror, &target_client));
        target_id?;
        let target = worker.with_alias(mirror.target_alias.as_str());
        let topic = policy.checkpoints_topic(&mirror.source_alias);
        make_compacted(&target, &topic, config.checkpoints_replication_factor).await?;
        let selection = GroupSelection {
            groups: config.groups.clone(),
            groups_exclude: config.groups_exclude.clone(),
            topics: config.topics.clone(),
            topics_exclude: config.topics_exclude.clone(),
        };
        Ok(Self {
            policy,
            selection: Arc::new(selection),
            source: Cluster::new(source_config.clone()),
            source_config,
            source_id: source_id?,
            target,
            groups: Vec::new(),
            config: Arc::new(config),
        })
    }

    /// For finding out between refreshes whether the source is still there.
    #[must_use]
    pub fn source_check(&self) -> Arc<SourceCheck> {
        SourceCheck::new(self.source_config.clone(), self.source_id.clone())
    }

    /// One refresh: finds the groups to carry over, and deals them over tasks (`MirrorCheckpointConnector.findConsumerGroups`).
    ///
    /// # Errors
    /// The source is another cluster than at the start, or does not tell all its groups within `admin.timeout.ms`: who is missing might be
    /// there.
    pub async fn find_groups(&mut self) -> Result<Vec<Vec<String>>, Error> {
        let finding = async {
            let id = ask_id(REACHING_SOURCE, &self.source).await?;
            same_source(&self.source_config, &self.source_id, id)?;
            self.mirrored_groups().await
        };
        let limit = self.config.mirror.admin_timeout;
        let groups = within(limit, "finding the source's groups", &self.source, finding).await?;
        if groups != self.groups {
            let (before, now) = (self.groups.len(), groups.len());
            info!(connector = self.config.mirror.name, before, now, "consumer groups have changed");
        }
        self.groups = groups;
        Ok(deal_groups(&self.groups, self.config.mirror.tasks_max))
    }

    async fn mirrored_groups(&self) -> Result<Vec<String>, Error> {
        let listing = self.source.list_groups(&GroupFilter::default()).await;
        let mut listing = listing.map_err(Error::during("listing the source's groups"))?;
        if let Some(failure) = listing.failures.pop() {
            return Err(Error::during("listing the source's groups")(failure));
        }
        let is_taken = |group: &str| self.selection.takes_group(group);
        let listed = listing.groups.into_iter().filter(|group| group.is_of_consumers() && is_taken(&group.group));
        let listed: Vec<String> = listed.map(|group| group.group).collect();
        let committed = self.source.fetch_group_offsets(&listed).await;
        let committed = committed.map_err(Error::during("reading the offsets of the source's groups"))?;
        let mut groups = Vec::new();
        for (group, offsets) in committed {
            match offsets {
                Ok(offsets) => {
                    let topics = offsets.iter().map(|(partition, _)| partition.topic.as_str());
                    if self.selection.is_mirrored(&group, topics) {
                        groups.push(group);
                    }
                }
                // Its task says so, every time that it is tried.
                Err(error) => {
                    warn!(connector = self.config.mirror.name, group, "the offsets of a group can't be read: {error}");
                    groups.push(group);
                }
            }
        }
        debug!(connector = self.config.mirror.name, groups = groups.len(), "groups found");
        Ok(groups)
    }

    /// A task for some of the groups. `maps` tells where records stand in the target; absent where there is no map. `desk` is where it is asked.
    #[must_use]
    pub fn task(&self, number: usize, groups: &[String], maps: Option<OffsetMaps>, desk: &GroupDesk) -> CheckpointTask {
        let mirror = &self.config.mirror;
        let alias = mirror.offset_syncs_alias(self.config.offset_syncs_location);
        let syncs_cluster = match self.config.offset_syncs_location {
            Side::Source => &self.source,
            Side::Target => &self.target,
        };
        let clusters = TaskClusters {
            source: self.source.clone(),
            target: self.target.clone(),
            syncs: (syncs_cluster.clone(), TopicPartition::new(self.policy.offset_syncs_topic(alias), 0)),
            checkpoints: TopicPartition::new(self.policy.checkpoints_topic(&mirror.source_alias), 0),
            maps,
        };
        let name = format!("{}-{number}", mirror.name);
        CheckpointTask::new(
            name,
            groups.to_vec(),
            clusters,
            Arc::clone(&self.config),
            Arc::clone(&self.policy),
            Arc::clone(&self.selection),
            desk,
        )
    }
}
