//! A herder without clusters: topics in memory, connectors that do as they are told.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use wire::TopicPartition;

use super::{
    Worker,
    config_store::ConfigStore,
    herder::Herder,
    lifecycle::{Context, Timings},
    offset_store::OffsetStore,
    plugin::{Connector, Opened, Plugin, Probe, Refreshed, Share, SourceTrouble, Task, Told},
    status_store::StatusStore,
    storage::Stores,
    topic_log::{TopicLog, memory::MemoryBackend},
};
use crate::{
    config::{self, ConfigError, ConfigErrors, OverridePolicy, Properties, StorageTopic, WorkerConfig},
    flow::{Events, FlowStatus, Positions, RateCap, StoredPosition},
};

/// The clusters of a test: what they hold, and whether they answer.
pub(crate) struct Clusters {
    pub(in crate::worker) storage: Arc<MemoryBackend>,
    /// Source partitions, and whether the source is there.
    pub(crate) source: Mutex<Result<Vec<TopicPartition>, String>>,
    /// Topics that can't be mirrored, and why.
    pub(crate) failures: Mutex<BTreeMap<String, String>>,
    /// What refreshes fail of though the source answers.
    pub(crate) refresh_error: Mutex<Option<String>>,
    /// Whether another cluster answers at the source's address.
    pub(crate) changed: AtomicBool,
    /// Connections made so far.
    pub(crate) connects: AtomicUsize,
    /// Running tasks by what they copy, and those that ended, oldest first.
    pub(crate) tasks: Mutex<BTreeMap<Vec<TopicPartition>, Arc<FakeTask>>>,
    pub(crate) drained: Mutex<VecDeque<Vec<TopicPartition>>>,
    /// Tasks drain only while this is true.
    pub(crate) may_drain: watch::Sender<bool>,
}

/// A task's inside.
#[derive(Default)]
pub(crate) struct FakeTask {
    /// Offsets of the positions it was started from.
    pub(crate) from: BTreeMap<TopicPartition, i64>,
    /// What caps it.
    pub(crate) rate: RateCap,
    /// What it tells.
    pub(crate) events: Events,
    pub(crate) acknowledged: Mutex<BTreeMap<TopicPartition, i64>>,
    pub(crate) status: watch::Sender<FlowStatus>,
}

pub(crate) fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// Timings for tests: nothing waits long.
fn timings() -> Timings {
    Timings {
        attempt: Duration::from_millis(200),
        probe: Duration::from_millis(20),
        source_lost: Duration::from_millis(100),
        retry: (Duration::from_millis(10), Duration::from_millis(50)),
        flush: Duration::from_millis(20),
        flush_timeout: Duration::from_secs(5),
        drain: Duration::from_secs(5),
    }
}

impl Clusters {
    pub(crate) fn new(partitions: &[TopicPartition]) -> Arc<Self> {
        Arc::new(Self {
            storage: Arc::default(),
            source: Mutex::new(Ok(partitions.to_vec())),
            failures: Mutex::default(),
            refresh_error: Mutex::default(),
            changed: AtomicBool::new(false),
            connects: AtomicUsize::new(0),
            tasks: Mutex::default(),
            drained: Mutex::default(),
            may_drain: watch::Sender::new(true),
        })
    }

    /// Opens the stores as a worker that starts does.
    pub(crate) async fn herder(self: &Arc<Self>) -> Arc<Herder> {
        let open = async |kind, topic: &str, partitions| {
            TopicLog::open(kind, topic, partitions, self.storage.clone()).await.unwrap()
        };
        let stores = Stores {
            config: ConfigStore::open(open("config", "configs", 1).await).await.unwrap(),
            offset: OffsetStore::open(open("offset", "offsets", 1).await).await.unwrap(),
            status: Arc::new(StatusStore::open(open("status", "statuses", 1).await, "me:8083").await.unwrap()),
        };
        Herder::start(Context { stores, plugin: Box::new(FakePlugin(self.clone())), timings: timings() })
    }

    /// A worker that has started with these clusters.
    pub(crate) async fn worker(self: &Arc<Self>) -> Worker {
        let worker = unstarted_worker();
        worker.set_reached("kmirror-test-cluster".into());
        assert!(worker.herder.set(self.herder().await).is_ok());
        worker.set_health(super::Health::Healthy);
        worker
    }

    pub(crate) fn set_failures(&self, failures: &[(&str, &str)]) {
        *self.failures.lock().unwrap() =
            failures.iter().map(|(topic, reason)| ((*topic).to_owned(), (*reason).to_owned())).collect();
    }

    pub(crate) fn set_source(&self, source: Result<Vec<TopicPartition>, String>) {
        *self.source.lock().unwrap() = source;
    }

    pub(crate) fn task(&self, partitions: &[TopicPartition]) -> Option<Arc<FakeTask>> {
        self.tasks.lock().unwrap().get(partitions).cloned()
    }

    pub(crate) fn running(&self) -> Vec<Vec<TopicPartition>> {
        self.tasks.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn records(&self, topic: &str) -> Vec<(String, Option<String>)> {
        self.storage.records(topic)
    }

    /// Appends what another worker would have written.
    pub(crate) fn write(&self, topic: &str, key: &str, value: &str) {
        self.storage.put(&tp(topic, 0), key, Some(value));
    }

    /// Lets a topic take no more records, or all of them.
    pub(crate) fn set_full(&self, topic: Option<&str>) {
        *self.storage.full.lock().unwrap() = topic.map(str::to_owned);
    }

    pub(crate) fn acknowledge(&self, partition: &TopicPartition, offset: i64) {
        let tasks = self.tasks.lock().unwrap();
        let (_, task) = tasks.iter().find(|(partitions, _)| partitions.contains(partition)).unwrap();
        task.acknowledged.lock().unwrap().insert(partition.clone(), offset);
    }

    pub(crate) fn set_storage_down(&self, down: bool) {
        self.storage.down.store(down, Ordering::Release);
    }
}

pub(crate) fn unstarted_worker() -> Worker {
    let topic =
        |name: &str| StorageTopic { name: name.into(), partitions: 1, replication_factor: 1, configs: Vec::new() };
    let config = WorkerConfig {
        bootstrap_servers: vec!["127.0.0.1:9".into()],
        group_id: "g".into(),
        client_id: String::new(),
        config_storage: topic("configs"),
        offset_storage: topic("offsets"),
        status_storage: topic("statuses"),
        offset_flush_interval: Duration::from_secs(60),
        offset_flush_timeout: Duration::from_secs(5),
        task_shutdown_timeout: Duration::from_secs(5),
        listeners: Vec::new(),
        advertised_host: None,
        advertised_port: None,
        producer_compression: Default::default(),
        override_policy: OverridePolicy::All,
        max_bytes_per_second: None,
        memory_bytes: 32 * 1024 * 1024,
        hints: Vec::new(),
    };
    Worker::new(config, "me:8083".into())
}

/// A worker that has reached its cluster and reads its topics still.
pub(crate) fn reached_worker() -> Worker {
    let worker = unstarted_worker();
    worker.set_reached("kmirror-test-cluster".into());
    worker
}

struct FakePlugin(Arc<Clusters>);

/// Waits until `check` says what is awaited, and fails with what it saw last.
pub(crate) async fn until<T: std::fmt::Debug>(what: &str, mut check: impl FnMut() -> Result<T, String>) -> T {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        match check() {
            Ok(value) => return value,
            Err(seen) if std::time::Instant::now() > deadline => panic!("{what}: last seen {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

impl Plugin for FakePlugin {
    fn open(&self, config: &Properties) -> Result<Opened, ConfigErrors> {
        let get = |key: &str| config.get(key).map(String::as_str);
        let error = |key: &str, message: String| ConfigError { key: key.into(), message };
        let mut errors = Vec::new();
        config::connector_class(config)?;
        if get("tasks.max").is_some_and(|v| v.parse::<u32>().is_err()) {
            let text = "Invalid value x for configuration tasks.max: Not a number of type INT";
            errors.push(error("tasks.max", text.into()));
        }
        if get("source.cluster.alias").is_none() {
            let text = "Missing required configuration \"source.cluster.alias\" which has no default value.";
            errors.push(error("source.cluster.alias", text.into()));
        }
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        let clusters = self.0.clone();
        let tasks_max = get("tasks.max").map_or(1, |v| v.parse().unwrap());
        let reset_none = get("consumer.auto.offset.reset") == Some("none");
        Ok(Opened {
            enabled: get("enabled") != Some("false"),
            source_alias: get("source.cluster.alias").unwrap().into(),
            refresh: Some(Duration::from_millis(20)),
            hints: Vec::new(),
            source_name: "cluster A at 127.0.0.1:9".into(),
            max_bytes_per_second: get("kmirror.max.bytes.per.second").map(|v| v.parse().unwrap()),
            connect: Box::new(move |rate, Told { events, .. }| {
                Box::pin(async move {
                    clusters.source.lock().unwrap().clone()?;
                    clusters.connects.fetch_add(1, Ordering::AcqRel);
                    Ok(Box::new(FakeConnector { clusters, tasks_max, reset_none, rate, events }) as Box<dyn Connector>)
                })
            }),
        })
    }
}

struct FakeProbe(Arc<Clusters>);

impl Probe for FakeProbe {
    fn probe(self: Arc<Self>) -> BoxFuture<'static, Result<(), SourceTrouble>> {
        Box::pin(async move {
            self.0.source.lock().unwrap().clone().map_err(SourceTrouble::Silent)?;
            let changed = self.0.changed.load(Ordering::Acquire);
            if changed { Err(SourceTrouble::Changed("cluster A was x and is y now".into())) } else { Ok(()) }
        })
    }
}

struct FakeConnector {
    clusters: Arc<Clusters>,
    tasks_max: usize,
    reset_none: bool,
    rate: RateCap,
    events: Events,
}

impl Connector for FakeConnector {
    fn probe(&self) -> Option<Arc<dyn Probe>> {
        Some(Arc::new(FakeProbe(self.clusters.clone())))
    }

    fn refresh(&mut self) -> BoxFuture<'_, Result<Refreshed, String>> {
        Box::pin(async move {
            let partitions = self.clusters.source.lock().unwrap().clone()?;
            self.clusters.refresh_error.lock().unwrap().clone().map_or(Ok(()), Err)?;
            let failures = self.clusters.failures.lock().unwrap().clone();
            let mirrored: BTreeSet<_> = partitions.iter().map(|p| p.topic.clone()).collect();
            let topics = mirrored.iter().chain(failures.keys()).collect::<BTreeSet<_>>().len();
            let mut split = vec![Vec::new(); self.tasks_max.min(partitions.len())];
            let count = split.len();
            for (n, partition) in partitions.into_iter().enumerate() {
                split[n % count].push(partition);
            }
            let shares = split.into_iter().map(Share::Partitions).collect();
            Ok(Refreshed { shares, topics, failures, ..Refreshed::default() })
        })
    }

    fn left_out(
        &self,
        share: &Share,
        positions: &BTreeMap<TopicPartition, StoredPosition>,
    ) -> BTreeMap<TopicPartition, String> {
        let unknown = share.partitions().iter().filter(|p| self.reset_none && !positions.contains_key(p));
        unknown.map(|p| (p.clone(), "no position".to_owned())).collect()
    }

    fn start(
        &self,
        _task: usize,
        share: &Share,
        positions: &BTreeMap<TopicPartition, StoredPosition>,
        _store: Arc<dyn Positions>,
    ) -> Box<dyn Task> {
        let from = positions.iter().map(|(partition, position)| (partition.clone(), position.offset)).collect();
        let (rate, events) = (self.rate.clone(), self.events.clone());
        let inside = Arc::new(FakeTask { from, rate, events, ..FakeTask::default() });
        let partitions = share.partitions();
        let mut tasks = self.clusters.tasks.lock().unwrap();
        for partition in partitions {
            let taken = tasks.keys().any(|running| running.contains(partition));
            assert!(!taken, "{partition} is copied by two tasks");
        }
        tasks.insert(partitions.to_vec(), inside.clone());
        Box::new(RunningFake { clusters: self.clusters.clone(), partitions: partitions.to_vec(), inside })
    }
}

struct RunningFake {
    clusters: Arc<Clusters>,
    partitions: Vec<TopicPartition>,
    inside: Arc<FakeTask>,
}

impl Task for RunningFake {
    fn positions(&self) -> BTreeMap<TopicPartition, StoredPosition> {
        let acknowledged = self.inside.acknowledged.lock().unwrap();
        let position = |(partition, offset): (&TopicPartition, &i64)| {
            (partition.clone(), StoredPosition { offset: *offset, anchored: Some(1) })
        };
        acknowledged.iter().map(position).collect()
    }

    fn status(&self) -> watch::Receiver<FlowStatus> {
        self.inside.status.subscribe()
    }

    fn drain(self: Box<Self>, _timeout: Duration) -> BoxFuture<'static, BTreeMap<TopicPartition, StoredPosition>> {
        Box::pin(async move {
            self.clusters.may_drain.subscribe().wait_for(|may| *may).await.unwrap();
            self.clusters.tasks.lock().unwrap().remove(&self.partitions);
            self.clusters.drained.lock().unwrap().push_back(self.partitions.clone());
            self.positions()
        })
    }
}
