//! The border between the life cycle and what it runs: narrow, so that the life cycle is tested without clusters.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use wire::{Cluster, ClusterConfig, TopicPartition};

use crate::{
    config::{ConfigErrors, Properties, SourceConnectorConfig, WorkerConfig},
    flow::{Flow, FlowStatus},
    mirror::SourceConnector,
};

/// Class of its tasks, as Connect's task configurations name it.
pub(super) const SOURCE_TASK: &str = "org.apache.kafka.connect.mirror.MirrorSourceTask";

/// Makes connectors from configurations.
pub(super) trait Plugin: Send + Sync {
    /// Checks a configuration without any I/O.
    fn open(&self, config: &Properties) -> Result<Opened, ConfigErrors>;
}

/// A checked configuration, ready to be connected.
pub(super) struct Opened {
    /// Key `enabled`: false means a connector without tasks.
    pub(super) enabled: bool,
    /// Alias of the source cluster: part of the key of stored positions.
    pub(super) source_alias: String,
    /// How often topics are looked for; never, if absent.
    pub(super) refresh: Option<Duration>,
    /// Sentences to log once.
    pub(super) hints: Vec<String>,
    /// Tells whether the source answers.
    pub(super) probe: Arc<dyn Probe>,
    /// Reaches both clusters.
    pub(super) connect: BoxFuture<'static, Result<Box<dyn Connector>, String>>,
}

/// Asks a cluster whether it is there.
pub(super) trait Probe: Send + Sync {
    /// What is asked, for messages: alias and addresses.
    fn name(&self) -> String;
    /// One attempt; the error names address and cause.
    fn probe(&self) -> BoxFuture<'static, Result<(), String>>;
}

/// A connected connector.
pub(super) trait Connector: Send + Sync {
    /// One refresh: makes remote topics, returns the source partitions to mirror.
    fn sync_topics(&mut self) -> BoxFuture<'_, Result<Vec<TopicPartition>, String>>;
    /// Which task takes which of them.
    fn task_partitions(&self, partitions: &[TopicPartition]) -> Vec<Vec<TopicPartition>>;
    /// Partitions that [`start`](Self::start) leaves out, and why.
    fn left_out(
        &self,
        partitions: &[TopicPartition],
        positions: &BTreeMap<TopicPartition, i64>,
    ) -> BTreeMap<TopicPartition, String>;
    /// Starts a task from stored positions.
    fn start(
        &self,
        task: usize,
        partitions: &[TopicPartition],
        positions: &BTreeMap<TopicPartition, i64>,
    ) -> Box<dyn Task>;
}

/// A running task. Dropping it aborts it.
pub(super) trait Task: Send + Sync {
    /// Per source partition the last source offset that the target acknowledged.
    fn positions(&self) -> BTreeMap<TopicPartition, i64>;
    /// Which partitions have stopped for good.
    fn status(&self) -> watch::Receiver<FlowStatus>;
    /// Ends it, waiting at most `timeout` for what is unresolved, and returns the final positions.
    fn drain(self: Box<Self>, timeout: Duration) -> BoxFuture<'static, BTreeMap<TopicPartition, i64>>;
}

/// MirrorMaker's source connector.
pub(super) struct MirrorSource {
    pub(super) worker: WorkerConfig,
    pub(super) cluster: Cluster,
}

impl Plugin for MirrorSource {
    fn open(&self, config: &Properties) -> Result<Opened, ConfigErrors> {
        let config = SourceConnectorConfig::parse(config, &self.worker)?;
        let source = Cluster::new(ClusterConfig::new(config.source_alias.as_str(), &config.source_bootstrap));
        let cluster = self.cluster.clone();
        Ok(Opened {
            enabled: config.enabled,
            source_alias: config.source_alias.clone(),
            refresh: config.refresh_topics,
            hints: config.hints.clone(),
            probe: Arc::new(source),
            connect: Box::pin(async move {
                let connector = SourceConnector::connect(config, &cluster).await.map_err(|error| causes(&error))?;
                Ok(Box::new(connector) as Box<dyn Connector>)
            }),
        })
    }
}

impl Probe for Cluster {
    fn name(&self) -> String {
        format!("cluster {} at {}", self.alias(), self.addresses())
    }

    fn probe(&self) -> BoxFuture<'static, Result<(), String>> {
        let cluster = self.clone();
        Box::pin(async move { cluster.cluster_id().await.map(|_| ()).map_err(|error| causes(&error)) })
    }
}

impl Connector for SourceConnector {
    fn sync_topics(&mut self) -> BoxFuture<'_, Result<Vec<TopicPartition>, String>> {
        Box::pin(async move { self.sync_topics().await.map_err(|error| causes(&error)) })
    }

    fn task_partitions(&self, partitions: &[TopicPartition]) -> Vec<Vec<TopicPartition>> {
        self.task_partitions(partitions)
    }

    fn left_out(
        &self,
        partitions: &[TopicPartition],
        positions: &BTreeMap<TopicPartition, i64>,
    ) -> BTreeMap<TopicPartition, String> {
        let reason = "no position is stored and auto.offset.reset=none allows no other start";
        self.without_start(partitions, positions).into_iter().map(|p| (p, reason.to_owned())).collect()
    }

    fn start(
        &self,
        task: usize,
        partitions: &[TopicPartition],
        positions: &BTreeMap<TopicPartition, i64>,
    ) -> Box<dyn Task> {
        Box::new(Flow::start(self.flow_spec(task, partitions, positions)))
    }
}

impl Task for Flow {
    fn positions(&self) -> BTreeMap<TopicPartition, i64> {
        self.positions()
    }

    fn status(&self) -> watch::Receiver<FlowStatus> {
        self.status()
    }

    fn drain(self: Box<Self>, timeout: Duration) -> BoxFuture<'static, BTreeMap<TopicPartition, i64>> {
        Box::pin((*self).drain(timeout))
    }
}

/// An error and what caused it, one per line as in a stack trace; causes that the error's own text tells are left out.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str("\nCaused by: ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
