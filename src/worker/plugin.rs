//! The border between the life cycle and what it runs: narrow, so that the life cycle is tested without clusters.

mod checkpoint;
mod heartbeat;
mod ticking;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use wire::{Cluster, TopicPartition};

use crate::{
    config::{self, ConfigErrors, ConnectorClass, Hint, MirrorConfig, Properties, SourceConnectorConfig, WorkerConfig},
    flow::{Anchoring, Engine, Events, Flow, FlowStatus, Limits, Positions, RateCap, StoredPosition},
    mirror::{self, AclView, GroupDesk, SourceCheck, SourceConnector, SyncsFlush},
    offsets::{self, OffsetMaps, OpenMaps},
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

/// What those see who ask about a connector; all its lives tell it.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// What has happened to its copies.
    pub(super) events: Events,
    /// Its tasks that know of groups.
    pub(super) groups: GroupDesk,
    /// Set by the one that copies, once it has reached the clusters.
    pub(super) acls: Arc<Mutex<Option<AclView>>>,
}

/// Reaches both clusters; all tasks of the connector share the cap given, and tell what is told.
pub(super) type Connect =
    Box<dyn FnOnce(RateCap, Told) -> BoxFuture<'static, Result<Box<dyn Connector>, String>> + Send>;

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

/// What one task of a connector does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Share {
    /// Copies these partitions of the source.
    Partitions(Vec<TopicPartition>),
    /// Translates the offsets of these groups.
    Groups(Vec<String>),
    /// Writes heartbeats.
    Heartbeats,
}

impl Share {
    /// The source's partitions of which it stores positions.
    pub(super) fn partitions(&self) -> &[TopicPartition] {
        match self {
            Self::Partitions(partitions) => partitions,
            Self::Groups(_) | Self::Heartbeats => &[],
        }
    }
}

/// What a refresh found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refreshed {
    /// What there is to do, by tasks.
    pub(super) shares: Vec<Share>,
    /// How many topics should be mirrored.
    pub(super) topics: usize,
    /// Those of them that are not, or not fully, and why.
    pub(super) failures: BTreeMap<String, String>,
    /// Topics of the source that are gone at both ends: their positions have no meaning any more.
    pub(super) orphans: BTreeSet<String>,
}

/// A connected connector.
pub(super) trait Connector: Send + Sync {
    /// For asking between refreshes, also while the connector itself is away for one; none where no source is needed.
    fn probe(&self) -> Option<Arc<dyn Probe>>;
    /// One refresh: finds what there is to do, and makes remote topics.
    fn refresh(&mut self) -> BoxFuture<'_, Result<Refreshed, String>>;
    /// Partitions that [`start`](Self::start) leaves out, and why.
    fn left_out(
        &self,
        _share: &Share,
        _positions: &BTreeMap<TopicPartition, StoredPosition>,
    ) -> BTreeMap<TopicPartition, String> {
        BTreeMap::new()
    }
    /// Starts a task from stored positions; it stores some by itself, before it sends anything.
    fn start(
        &self,
        task: usize,
        share: &Share,
        positions: &BTreeMap<TopicPartition, StoredPosition>,
        store: Arc<dyn Positions>,
    ) -> Box<dyn Task>;
}

/// A running task. Dropping it aborts it.
pub(super) trait Task: Send + Sync {
    /// Per source partition the last source offset that the target acknowledged.
    fn positions(&self) -> BTreeMap<TopicPartition, StoredPosition>;
    /// Which partitions have stopped for good.
    fn status(&self) -> watch::Receiver<FlowStatus>;
    /// Ends it, waiting at most `timeout` for what is unresolved, and returns the final positions.
    fn drain(self: Box<Self>, timeout: Duration) -> BoxFuture<'static, BTreeMap<TopicPartition, StoredPosition>>;
}

/// MirrorMaker's connectors.
pub(super) struct MirrorMaker {
    pub(super) worker: WorkerConfig,
    pub(super) cluster: Cluster,
    /// What all tasks of the worker share.
    pub(super) limits: Limits,
    /// What several connectors of one source have open.
    pub(super) maps: OpenMaps,
}

/// A connector with what its tasks need.
struct Connected {
    connector: SourceConnector,
    /// Runs its tasks.
    engine: Engine,
    /// Of the worker.
    limits: Limits,
    /// Of all its tasks.
    rate: RateCap,
    /// Told by all its tasks.
    events: Events,
    maps: Maps,
}

impl Plugin for MirrorMaker {
    fn open(&self, config: &Properties) -> Result<Opened, ConfigErrors> {
        match config::connector_class(config)? {
            ConnectorClass::MirrorSource => self.open_source(config),
            ConnectorClass::MirrorCheckpoint => {
                checkpoint::open(config, &self.worker, &self.cluster, self.maps.clone())
            }
            ConnectorClass::MirrorHeartbeat => heartbeat::open(config, &self.worker, &self.cluster),
        }
    }
}

impl MirrorMaker {
    fn open_source(&self, config: &Properties) -> Result<Opened, ConfigErrors> {
        let config = SourceConnectorConfig::parse(config, &self.worker)?;
        let (cluster, limits, open) = (self.cluster.clone(), self.limits.clone(), self.maps.clone());
        let replication_factor = self.worker.offset_storage.replication_factor;
        Ok(Opened {
            enabled: config.mirror.enabled,
            source_alias: config.mirror.source_alias.clone(),
            refresh: config.refresh_topics,
            hints: config.hints.clone(),
            source_name: format!("cluster {} at {}", config.mirror.source_alias, config.source_bootstrap.join(",")),
            max_bytes_per_second: config.max_bytes_per_second,
            connect: Box::new(move |rate, Told { events, acls, .. }| {
                Box::pin(async move {
                    let connector = SourceConnector::connect(config, &cluster).await.map_err(|error| causes(&error))?;
                    *acls.lock().unwrap_or_else(PoisonError::into_inner) = Some(connector.acl_view());
                    let SourceConnectorConfig { mirror, offset_map, .. } = connector.config();
                    let maps = if *offset_map {
                        let then = "records may be copied twice after a crash";
                        Maps::of(open, &cluster, mirror, replication_factor, then)
                    } else {
                        Maps::Open(None)
                    };
                    let engine = Engine::new(connector.name());
                    Ok(Box::new(Connected { connector, engine, limits, rate, events, maps }) as Box<dyn Connector>)
                })
            }),
        })
    }
}

/// The offset map of a connector.
enum Maps {
    /// Until the first refresh, beside which it is opened: neither needs the other.
    Closed(Closed),
    /// Absent where the target forbids it, or nobody wants it.
    Open(Option<OffsetMaps>),
}

/// What opens a map.
struct Closed {
    open: OpenMaps,
    connector: String,
    target: Cluster,
    source_alias: String,
    replication_factor: i16,
    /// What follows where the target forbids it, for the log.
    then: &'static str,
}

impl Maps {
    /// Replicated as the worker's own topics are.
    fn of(
        open: OpenMaps,
        worker: &Cluster,
        config: &MirrorConfig,
        replication_factor: i16,
        then: &'static str,
    ) -> Self {
        Self::Closed(Closed {
            open,
            connector: config.name.clone(),
            target: worker.with_alias(config.target_alias.as_str()),
            source_alias: config.source_alias.clone(),
            replication_factor,
            then,
        })
    }

    /// Opens it, unless it is open.
    async fn open(&mut self) -> Result<(), offsets::Error> {
        let Self::Closed(Closed { open, connector, target, source_alias, replication_factor, then }) = self else {
            return Ok(());
        };
        let opened = match open.open(target, source_alias, *replication_factor).await {
            Err(error) if error.is_denied() => {
                tracing::warn!(connector, "{error}: {then}");
                None
            }
            opened => Some(opened?),
        };
        *self = Self::Open(opened);
        Ok(())
    }

    fn get(&self) -> Option<&OffsetMaps> {
        match self {
            Self::Closed(_) => None,
            Self::Open(maps) => maps.as_ref(),
        }
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

impl Connector for Connected {
    fn probe(&self) -> Option<Arc<dyn Probe>> {
        Some(self.connector.source_check())
    }

    fn refresh(&mut self) -> BoxFuture<'_, Result<Refreshed, String>> {
        Box::pin(async move {
            let (synced, opened) = tokio::join!(self.connector.sync_topics(), self.maps.open());
            opened.map_err(|error| causes(&error))?;
            self.connector.remember(self.maps.get().cloned());
            let partitions = synced.map_err(|error| causes(&error))?;
            let shares = self.connector.task_partitions(&partitions).into_iter().map(Share::Partitions).collect();
            let orphans = self.connector.delete_orphans(self.maps.get()).await;
            let (topics, failures) = (self.connector.topics(), self.connector.failures().clone());
            Ok(Refreshed { shares, topics, failures, orphans })
        })
    }

    fn left_out(
        &self,
        share: &Share,
        positions: &BTreeMap<TopicPartition, StoredPosition>,
    ) -> BTreeMap<TopicPartition, String> {
        let reason = "no position is stored and auto.offset.reset=none allows no other start";
        self.connector
            .without_start(share.partitions(), positions)
            .into_iter()
            .map(|p| (p, reason.to_owned()))
            .collect()
    }

    fn start(
        &self,
        task: usize,
        share: &Share,
        positions: &BTreeMap<TopicPartition, StoredPosition>,
        store: Arc<dyn Positions>,
    ) -> Box<dyn Task> {
        let Self { connector, engine, limits, rate, events, maps } = self;
        let mut spec = connector.flow_spec(task, share.partitions(), positions, limits, rate, events);
        spec.anchoring = maps.get().map(|maps| Anchoring {
            connector: connector.name().to_owned(),
            maps: maps.clone(),
            positions: store,
            noted: connector.noted_pairs(),
        });
        Box::new(Copying { flow: engine.start(spec), syncs: connector.syncs_flush() })
    }
}

/// A task that copies.
struct Copying {
    flow: Flow,
    /// Absent where no offset syncs are written.
    syncs: Option<SyncsFlush>,
}

/// For the offset syncs of what was acknowledged, where copying itself has taken all the time there is; and where there is more.
const FLUSH_SYNCS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));

impl Task for Copying {
    fn positions(&self) -> BTreeMap<TopicPartition, StoredPosition> {
        self.flow.positions()
    }

    fn status(&self) -> watch::Receiver<FlowStatus> {
        self.flow.status()
    }

    fn drain(self: Box<Self>, timeout: Duration) -> BoxFuture<'static, BTreeMap<TopicPartition, StoredPosition>> {
        Box::pin(async move {
            let Self { flow, syncs } = *self;
            let begin = Instant::now();
            let positions = flow.drain(timeout).await;
            if let Some(syncs) = syncs {
                let (least, most) = FLUSH_SYNCS;
                syncs.flush(timeout.saturating_sub(begin.elapsed()).clamp(least, most)).await;
            }
            positions
        })
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
