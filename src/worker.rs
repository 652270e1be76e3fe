//! The worker: its state in Connect's topics, the life of its connectors, and what can be asked of it.
//!
//! It is there before its cluster is: [`Worker::run`] tries until the cluster answers, and [`Worker::health`] tells what
//! it waits for meanwhile.

mod config_store;
mod decide;
mod error;
mod herder;
#[cfg(test)]
mod life_tests;
mod lifecycle;
mod offset_store;
mod offsets;
mod plugin;
mod status_store;
mod storage;
#[cfg(test)]
pub(crate) mod testing;
mod topic_log;

pub use error::Error;
pub use herder::{ConnectorEvents, ConnectorInfo, ConnectorStatus, GivenConfig, Herder, Put};
pub use offsets::GivenOffset;

use std::{
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
};

use decide::{Reach, backoff};
use lifecycle::{Context, Timings};
use plugin::MirrorMaker;
use storage::Stores;
use wire::{Cluster, ClusterConfig};

use crate::{
    config::WorkerConfig,
    flow::{Limits, RateCap},
    offsets::OpenMaps,
};

/// Bounds of the pause between attempts to start.
const START_RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Between two questions whether the worker's own cluster is there, and how long one may take.
const OWN_CLUSTER_CHECK: Duration = Duration::from_secs(5);
/// The worker's own cluster may be silent this long before that is called unhealthy: one lost answer is no outage.
const OWN_CLUSTER_LOST: Duration = Duration::from_secs(8);

/// How the worker is, for load balancers and people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It has started and its cluster answers.
    Healthy,
    /// It has not started; the text says what it waits for.
    Starting(String),
    /// It had started, and now its cluster does not answer; the text says why.
    Unhealthy(String),
    /// It drains.
    Stopping,
}

/// What a worker may use, and uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsInUse {
    /// Bytes per second, as the brokers store them, that all connectors may fetch together; absent for no cap.
    pub max_bytes_per_second: Option<u64>,
    /// Bytes that may be fetched and not yet acknowledged.
    pub memory_bytes: usize,
    /// How many of them are reserved or held now. A batch larger than all of them passes alone, so they may be more.
    pub memory_bytes_in_use: usize,
}

/// A worker process' one worker.
pub struct Worker {
    config: WorkerConfig,
    worker_id: String,
    health: RwLock<Health>,
    /// Id of its own cluster, as last told.
    cluster_id: RwLock<Option<String>>,
    herder: OnceLock<Arc<Herder>>,
    limits: Limits,
}

impl Worker {
    /// A worker that has not done anything yet. `worker_id` is its advertised `host:port`.
    #[must_use]
    pub fn new(config: WorkerConfig, worker_id: String) -> Self {
        let mut limits = Limits::new(config.memory_bytes);
        limits.rate = RateCap::new(config.max_bytes_per_second);
        Self {
            config,
            worker_id,
            health: RwLock::new(Health::Starting("nothing has been tried yet".to_owned())),
            cluster_id: RwLock::default(),
            herder: OnceLock::new(),
            limits,
        }
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &WorkerConfig {
        &self.config
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Id of its own cluster: known as soon as that is reached, before the worker's topics are read.
    ///
    /// # Errors
    /// The cluster has not been reached.
    pub fn cluster_id(&self) -> Result<String, Error> {
        let known = self.cluster_id.read().unwrap_or_else(PoisonError::into_inner).clone();
        known.ok_or_else(|| self.not_started())
    }

    /// What can be asked of it.
    ///
    /// # Errors
    /// It has not started.
    pub fn herder(&self) -> Result<&Arc<Herder>, Error> {
        self.herder.get().ok_or_else(|| self.not_started())
    }

    /// What it may use, and uses, as of now.
    #[must_use]
    pub fn limits(&self) -> LimitsInUse {
        LimitsInUse {
            max_bytes_per_second: self.limits.rate.get(),
            memory_bytes: self.limits.budget.limit(),
            memory_bytes_in_use: self.limits.budget.used(),
        }
    }

    /// Caps what all connectors fetch together, in bytes per second as the brokers store them, from now until the worker
    /// ends; none or 0 takes the cap away.
    pub fn cap_bytes_per_second(&self, most: Option<u64>) {
        self.limits.rate.set(most);
        match self.limits.rate.get() {
            Some(most) => tracing::info!("all connectors may fetch {most} bytes per second together from now on"),
            None => tracing::info!("what all connectors fetch is not capped any more"),
        }
    }

    fn not_started(&self) -> Error {
        match self.health() {
            Health::Starting(cause) | Health::Unhealthy(cause) => Error::Starting { cause },
            Health::Stopping => Error::ShuttingDown,
            Health::Healthy => Error::Internal("healthy without a start".to_owned()),
        }
    }

    /// Starts, works until `shutdown`, and drains.
    ///
    /// # Errors
    /// A storage topic that would lose the worker's state. Whatever may pass is waited out instead.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let mut client = ClusterConfig::new("worker", &self.config.bootstrap_servers);
        if !self.config.client_id.is_empty() {
            client.client_id.clone_from(&self.config.client_id);
        }
        let cluster = Cluster::new(client);
        tokio::pin!(shutdown);
        let herder = tokio::select! {
            herder = self.start(&cluster) => herder?,
            () = &mut shutdown => {
                self.set_health(Health::Stopping);
                return Ok(());
            }
        };
        let herder = self.herder.get_or_init(|| herder);
        self.set_health(Health::Healthy);
        let count = herder.connectors().len();
        let cluster_id = self.cluster_id().unwrap_or_default();
        tracing::info!("worker {} is ready: cluster {cluster_id}, {count} connectors", self.worker_id);
        tokio::select! {
            () = self.watch(&cluster, herder) => {}
            () = &mut shutdown => {}
        }
        tracing::info!("draining");
        self.set_health(Health::Stopping);
        herder.drain().await;
        tracing::info!("drained");
        Ok(())
    }

    async fn start(&self, cluster: &Cluster) -> Result<Arc<Herder>, Error> {
        let mut failures = 0u32;
        loop {
            let error = match self.attempt(cluster).await {
                Ok(herder) => return Ok(herder),
                Err(error) if error.refuses_start() => return Err(error),
                Err(error) => error,
            };
            failures = failures.saturating_add(1);
            let pause = backoff(failures, START_RETRY.0, START_RETRY.1, rand::random());
            tracing::warn!("not started yet, trying again in {} ms: {error}", pause.as_millis());
            self.set_health(Health::Starting(error.to_string()));
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self, cluster: &Cluster) -> Result<Arc<Herder>, Error> {
        let cluster_id = cluster.cluster_id().await?;
        self.set_reached(cluster_id.clone());
        // Whoever is still in the group has its connectors running: two writers of the same partitions are never right.
        let group = cluster.describe_group(&self.config.group_id).await?;
        if !group.members.is_empty() {
            return Err(Error::ForeignMembers { group: self.config.group_id.clone(), members: group.members });
        }
        self.set_health(Health::Starting(format!("cluster {cluster_id} is reached, its topics are made and read")));
        let stores = Stores::open(&self.config, &self.worker_id, cluster).await?;
        let plugin = Box::new(MirrorMaker {
            worker: self.config.clone(),
            cluster: cluster.clone(),
            limits: self.limits.clone(),
            maps: OpenMaps::default(),
        });
        let timings = Timings {
            attempt: Duration::from_secs(12),
            probe: Duration::from_secs(5),
            source_lost: Duration::from_secs(15),
            retry: (Duration::from_secs(1), Duration::from_secs(30)),
            flush: self.config.offset_flush_interval,
            flush_timeout: self.config.offset_flush_timeout,
            drain: self.config.task_shutdown_timeout,
        };
        Ok(Herder::start(Context { stores, plugin, timings }))
    }

    fn set_reached(&self, cluster_id: String) {
        *self.cluster_id.write().unwrap_or_else(PoisonError::into_inner) = Some(cluster_id);
    }

    /// Asks the worker's own cluster now and then, and catches up after an outage.
    async fn watch(&self, cluster: &Cluster, herder: &Herder) {
        let mut reach = Reach::new(Instant::now());
        loop {
            tokio::time::sleep(OWN_CLUSTER_CHECK).await;
            let answer = tokio::time::timeout(OWN_CLUSTER_CHECK, cluster.cluster_id()).await;
            match answer {
                Ok(Ok(_)) => {
                    reach.answered(Instant::now());
                    if let Err(error) = herder.catch_up().await {
                        tracing::warn!("can't read on in the worker's topics: {error}");
                    }
                }
                Ok(Err(error)) => reach.failed(error.to_string()),
                Err(_) => {
                    let (addresses, limit) = (cluster.addresses(), OWN_CLUSTER_CHECK.as_secs());
                    reach.failed(format!("the worker's cluster at {addresses} did not answer within {limit} s"));
                }
            }
            let health = match reach.lost(Instant::now(), OWN_CLUSTER_LOST) {
                None => Health::Healthy,
                Some(cause) => Health::Unhealthy(cause.to_owned()),
            };
            self.set_health(health);
        }
    }

    fn set_health(&self, health: Health) {
        let mut current = self.health.write().unwrap_or_else(PoisonError::into_inner);
        match (&*current, &health) {
            (Health::Healthy, Health::Unhealthy(cause)) => tracing::error!("unhealthy: {cause}"),
            (Health::Unhealthy(_), Health::Healthy) => tracing::info!("healthy again"),
            _ => {}
        }
        *current = health;
    }
}
