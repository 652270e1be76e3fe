//! The border between the life cycle and what it runs: narrow, so that the life cycle is tested without clusters.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use wire::{Cluster, TopicPartition};

use crate::{
    config::{ConfigErrors, Hint, Properties, SourceConnectorConfig, WorkerConfig},
    flow::{Engine, Flow, FlowStatus, Limits, RateCap, StoredPosition},
    mirror::{self, SourceCheck, SourceConnector},
};

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
    pub(super) hints: Vec<Hint>,
    /// The source's alias and addresses, for messages.
    pub(super) source_name: String,
    /// Key `kmirror.max.bytes.per.second`.
    pub(super) max_bytes_per_second: Option<u64>,
    /// Reaches both clusters.
    pub(super) connect: Connect,
}

/// Reaches both clusters; all tasks of the connector share the cap given.
pub(super) type Connect = Box<dyn FnOnce(RateCap) -> BoxFuture<'static, Result<Box<dyn Connector>, String>> + Send>;

/// What is wrong with a source; the texts name alias, addresses and cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SourceTrouble {
    /// It does not answer, which may pass.
    Silent(String),
    /// Another cluster answers at its addresses.
    Changed(String),
}

/// Asks a source whether it is there.
pub(super) trait Probe: Send + Sync {
    /// One attempt.
    fn probe(self: Arc<Self>) -> BoxFuture<'static, Result<(), SourceTrouble>>;
}

/// What a refresh found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refreshed {
    /// Source partitions to mirror.
    pub(super) partitions: Vec<TopicPartition>,
    /// How many topics should be mirrored.
    pub(super) topics: usize,
    /// Those of them that are not, or not fully, and why.
    pub(super) failures: BTreeMap<String, String>,
}

/// A connected connector.
pub(super) trait Connector: Send + Sync {
    /// For asking between refreshes, also while the connector itself is away for one.
    fn probe(&self) -> Arc<dyn Probe>;
    /// One refresh: makes remote topics.
    fn sync_topics(&mut self) -> BoxFuture<'_, Result<Refreshed, String>>;
    /// Which task takes which of them.
    fn task_partitions(&self, partitions: &[TopicPartition]) -> Vec<Vec<TopicPartition>>;
    /// Partitions that [`start`](Self::start) leaves out, and why.
    fn left_out(
        &self,
        partitions: &[TopicPartition],
        positions: &BTreeMap<TopicPartition, StoredPosition>,
    ) -> BTreeMap<TopicPartition, String>;
    /// Starts a task from stored positions.
    fn start(
        &self,
        task: usize,
        partitions: &[TopicPartition],
        positions: &BTreeMap<TopicPartition, StoredPosition>,
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
    /// What all tasks of the worker share.
    pub(super) limits: Limits,
}

/// A connector with what runs its tasks, what it shares with the others of its worker, and what its tasks share.
struct Limited(SourceConnector, Engine, Limits, RateCap);

impl Plugin for MirrorSource {
    fn open(&self, config: &Properties) -> Result<Opened, ConfigErrors> {
        let config = SourceConnectorConfig::parse(config, &self.worker)?;
        let (cluster, limits) = (self.cluster.clone(), self.limits.clone());
        Ok(Opened {
            enabled: config.enabled,
            source_alias: config.source_alias.clone(),
            refresh: config.refresh_topics,
            hints: config.hints.clone(),
            source_name: format!("cluster {} at {}", config.source_alias, config.source_bootstrap.join(",")),
            max_bytes_per_second: config.max_bytes_per_second,
            connect: Box::new(move |rate| {
                Box::pin(async move {
                    let connector = SourceConnector::connect(config, &cluster).await.map_err(|error| causes(&error))?;
                    let engine = Engine::new(connector.name());
                    Ok(Box::new(Limited(connector, engine, limits, rate)) as Box<dyn Connector>)
                })
            }),
        })
    }
}

impl Probe for SourceCheck {
    fn probe(self: Arc<Self>) -> BoxFuture<'static, Result<(), SourceTrouble>> {
        Box::pin(async move {
            self.check().await.map_err(|error| match &error {
                mirror::Error::SourceChanged { .. } => SourceTrouble::Changed(causes(&error)),
                _ => SourceTrouble::Silent(causes(&error)),
            })
        })
    }
}

impl Connector for Limited {
    fn probe(&self) -> Arc<dyn Probe> {
        self.0.source_check()
    }

    fn sync_topics(&mut self) -> BoxFuture<'_, Result<Refreshed, String>> {
        Box::pin(async move {
            let partitions = self.0.sync_topics().await.map_err(|error| causes(&error))?;
            Ok(Refreshed { partitions, topics: self.0.topics(), failures: self.0.failures().clone() })
        })
    }

    fn task_partitions(&self, partitions: &[TopicPartition]) -> Vec<Vec<TopicPartition>> {
        self.0.task_partitions(partitions)
    }

    fn left_out(
        &self,
        partitions: &[TopicPartition],
        positions: &BTreeMap<TopicPartition, StoredPosition>,
    ) -> BTreeMap<TopicPartition, String> {
        let reason = "no position is stored and auto.offset.reset=none allows no other start";
        self.0.without_start(partitions, positions).into_iter().map(|p| (p, reason.to_owned())).collect()
    }

    fn start(
        &self,
        task: usize,
        partitions: &[TopicPartition],
        positions: &BTreeMap<TopicPartition, StoredPosition>,
    ) -> Box<dyn Task> {
        Box::new(self.1.start(self.0.flow_spec(task, partitions, positions, &self.2, &self.3)))
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
