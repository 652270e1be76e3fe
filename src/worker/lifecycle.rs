//! The life of one connector and its tasks: a loop that owns them and does one thing at a time.
//!
//! Source and target may come and go at any time. Nothing here gives up: what fails is shown, and tried again.

mod tasks;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tasks::RunningTask;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};
use wire::TopicPartition;

use super::{
    config_store::StoredConnector,
    decide::{Reach, backoff},
    plugin::{Connector, Plugin, Probe},
    storage::Stores,
};
use crate::records::{State, TargetState};

/// How long things may take.
#[derive(Debug, Clone)]
pub(super) struct Timings {
    /// An attempt to reach the source that has no outcome by then is shown as FAILED.
    pub(super) attempt: Duration,
    /// Between two questions whether the source is there, and how long one may take.
    pub(super) probe: Duration,
    /// A running connector whose source has not answered for this long is shown as FAILED.
    pub(super) source_lost: Duration,
    /// Bounds of the pause between attempts.
    pub(super) retry: (Duration, Duration),
    /// Between two storings of positions: `offset.flush.interval.ms`.
    pub(super) flush: Duration,
    /// How long storing positions may take: `offset.flush.timeout.ms`.
    pub(super) flush_timeout: Duration,
    /// How long draining may take: `task.shutdown.graceful.timeout.ms`.
    pub(super) drain: Duration,
}

/// What every connector of a worker shares.
pub(super) struct Context {
    pub(super) stores: Stores,
    pub(super) plugin: Box<dyn Plugin>,
    pub(super) timings: Timings,
}

/// What the herder tells a connector.
#[derive(Debug)]
pub(super) enum Command {
    /// The config store has another configuration or target state.
    Changed,
    /// Somebody asked for a restart.
    Restart {
        /// Of the connector itself.
        connector: bool,
        /// Of these tasks.
        tasks: BTreeSet<u32>,
    },
    /// It shall end.
    Stop(Ending),
}

/// Why a connector ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was deleted: its statuses go.
    Deleted,
    /// The worker ends: somebody else may take over.
    Shutdown,
}

/// Outcome of connecting or of a refresh; the connector comes back with it.
struct Synced {
    connector: Option<Box<dyn Connector>>,
    result: Result<Vec<TopicPartition>, String>,
}

/// What there is of the source as long as the connector is to run.
struct Source {
    alias: String,
    refresh: Option<Duration>,
    probe: Arc<dyn Probe>,
    reach: Reach,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing to do until somebody says so: paused, stopped, or a configuration that does not hold up.
    Resting,
    /// The source has not been reached since the last change; this many attempts have failed.
    Starting {
        failures: u32,
    },
    Running,
}

/// A connector's owner.
pub(super) struct Lifecycle {
    name: String,
    context: Arc<Context>,
    commands: mpsc::UnboundedReceiver<Command>,
    stored: StoredConnector,
    phase: Phase,
    source: Option<Source>,
    /// Absent while it is being connected, or away for a refresh.
    connector: Option<Box<dyn Connector>>,
    work: JoinSet<Synced>,
    probes: JoinSet<Result<(), String>>,
    /// What the last refresh found.
    partitions: Vec<TopicPartition>,
    tasks: BTreeMap<u32, RunningTask>,
    /// Tasks to start anew when the connector is there again.
    restarts: BTreeSet<u32>,
    /// Per source alias, acknowledged positions of drained tasks that are not stored yet.
    unsaved: BTreeMap<String, BTreeMap<TopicPartition, i64>>,
    /// A task's status changed.
    wake: Arc<Notify>,
    /// When to try again, or to refresh.
    next_sync: Option<Instant>,
    next_probe: Instant,
    next_flush: Instant,
}

impl Lifecycle {
    pub(super) fn new(name: String, context: Arc<Context>, commands: mpsc::UnboundedReceiver<Command>) -> Self {
        let now = Instant::now();
        Self {
            name,
            commands,
            stored: StoredConnector::default(),
            phase: Phase::Resting,
            source: None,
            connector: None,
            work: JoinSet::new(),
            probes: JoinSet::new(),
            partitions: Vec::new(),
            tasks: BTreeMap::new(),
            restarts: BTreeSet::new(),
            unsaved: BTreeMap::new(),
            wake: Arc::new(Notify::new()),
            next_sync: None,
            next_probe: now,
            next_flush: now + context.timings.flush,
            context,
        }
    }

    /// Lives until told to stop.
    pub(super) async fn run(mut self) {
        self.show_ownership();
        self.obey().await;
        let ending = loop {
            let deadline = tokio::time::Instant::from_std(self.deadline());
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Changed) => self.obey().await,
                    Some(Command::Restart { connector, tasks }) => self.restart(connector, tasks).await,
                    Some(Command::Stop(ending)) => break ending,
                    None => break Ending::Shutdown,
                },
                Some(done) = self.work.join_next() => match done {
                    Ok(synced) => self.synced(synced).await,
                    Err(error) => self.attempt_failed(format!("kmirror.ConnectorPanicked: {error}")),
                },
                Some(Ok(answer)) = self.probes.join_next() => self.probed(answer),
                () = self.wake.notified() => self.show_tasks(),
                () = tokio::time::sleep_until(deadline) => self.due().await,
            }
        };
        self.end(ending).await;
    }

    /// Statuses a former owner left behind tell nothing any more.
    fn show_ownership(&self) {
        let Some(stored) = self.context.stores.config.get(&self.name) else { return };
        self.show(State::Unassigned, None);
        for task in (0..).take(stored.tasks.len()) {
            self.show_task(task, State::Unassigned, None);
        }
    }

    /// Takes over what the config store says. The one place where target states take effect.
    async fn obey(&mut self) {
        let Some(stored) = self.context.stores.config.get(&self.name) else { return };
        let before = std::mem::replace(&mut self.stored, stored);
        let same = before.revision == self.stored.revision && before.target == self.stored.target;
        if same {
            return;
        }
        match self.stored.target {
            TargetState::Started => self.begin(0),
            TargetState::Paused => {
                self.rest().await;
                self.show(State::Paused, None);
                for task in (0..).take(self.stored.tasks.len()) {
                    self.show_task(task, State::Paused, None);
                }
            }
            TargetState::Stopped => {
                self.rest().await;
                // A stopped connector has no tasks; a worker that stopped it before it got so far left some.
                if !self.stored.tasks.is_empty() {
                    match self.context.stores.config.put_tasks(&self.name, &[]).await {
                        Ok(()) => self.stored.tasks.clear(),
                        Err(error) => tracing::warn!(connector = self.name, "can't remove its tasks: {error}"),
                    }
                }
                self.context.stores.status.forget_tasks(&self.name, 0);
                self.show(State::Stopped, None);
            }
        }
    }

    /// Ends all that runs, positions stored.
    async fn rest(&mut self) {
        self.leave_source();
        self.phase = Phase::Resting;
        self.restarts.clear();
        self.drain(self.tasks.keys().copied().collect()).await;
        self.flush().await;
    }

    fn leave_source(&mut self) {
        self.work = JoinSet::new();
        self.probes = JoinSet::new();
        self.connector = None;
        self.source = None;
        self.next_sync = None;
    }

    /// Connects, and refreshes for the first time. Tasks that run go on until it is known what they shall be.
    fn begin(&mut self, failures: u32) {
        self.leave_source();
        let opened = match self.context.plugin.open(&self.stored.config) {
            Ok(opened) => opened,
            Err(errors) => {
                self.phase = Phase::Resting;
                let texts: Vec<_> = errors.0.iter().map(|error| error.message.as_str()).collect();
                let trace = format!("kmirror.ConfigInvalid: {}", texts.join("\n\t"));
                tracing::error!(connector = self.name, "its stored configuration does not hold up: {trace}");
                self.show(State::Failed, Some(trace));
                return;
            }
        };
        if failures == 0 {
            for hint in &opened.hints {
                tracing::warn!(connector = self.name, "{hint}");
            }
        }
        self.phase = Phase::Starting { failures };
        let now = Instant::now();
        // A connector that is not enabled has no tasks, and needs no source.
        self.source = opened.enabled.then(|| Source {
            alias: opened.source_alias,
            refresh: opened.refresh,
            probe: opened.probe,
            reach: Reach::new(now),
        });
        // Connecting asks the source itself; asking once more is for a first refresh that takes long.
        self.next_probe = now + self.context.timings.probe;
        let (enabled, connect, limit) = (opened.enabled, opened.connect, self.context.timings.attempt);
        let name = self.source.as_ref().map_or_else(String::new, |source| source.probe.name());
        self.work.spawn(async move {
            if !enabled {
                return Synced { connector: None, result: Ok(Vec::new()) };
            }
            let connected = tokio::time::timeout(limit, connect).await;
            let connected =
                connected.unwrap_or_else(|_| Err(format!("{name} gave no answer within {} s", limit.as_secs_f32())));
            match connected {
                Ok(mut connector) => {
                    let result = connector.sync_topics().await;
                    Synced { connector: Some(connector), result }
                }
                Err(error) => Synced { connector: None, result: Err(error) },
            }
        });
    }

    async fn synced(&mut self, synced: Synced) {
        self.connector = synced.connector;
        match synced.result {
            Ok(partitions) => {
                if let Some(source) = &mut self.source {
                    source.reach.answered(Instant::now());
                }
                self.partitions = partitions;
                self.settle().await;
            }
            Err(error) if self.phase == Phase::Running => {
                tracing::warn!(connector = self.name, "refreshing topics failed, tasks go on as they are: {error}");
                if self.restarts.is_empty() {
                    self.schedule_refresh(self.context.timings.retry.1);
                } else {
                    self.settle().await;
                }
            }
            Err(error) => self.attempt_failed(format!("kmirror.ConnectorStartFailed: {error}")),
        }
    }

    fn attempt_failed(&mut self, trace: String) {
        let failures = match self.phase {
            Phase::Starting { failures } => failures.saturating_add(1),
            Phase::Resting | Phase::Running => 1,
        };
        let (least, most) = self.context.timings.retry;
        let pause = backoff(failures, least, most, rand::random());
        tracing::error!(connector = self.name, "start failed, trying again in {} ms: {trace}", pause.as_millis());
        self.phase = Phase::Starting { failures };
        self.connector = None;
        self.next_sync = Some(Instant::now() + pause);
        self.show(State::Failed, Some(trace));
    }

    async fn restart(&mut self, connector: bool, tasks: BTreeSet<u32>) {
        tracing::info!(connector = self.name, "restart asked for: connector {connector}, tasks {tasks:?}");
        for task in tasks.iter().filter(|task| usize::try_from(**task).is_ok_and(|n| n < self.stored.tasks.len())) {
            self.show_task(*task, State::Restarting, None);
        }
        if self.stored.target != TargetState::Started {
            if connector {
                self.show(State::Restarting, None);
            }
            // As if just read: the states that were covered by RESTARTING are said again.
            self.stored.revision = 0;
            self.obey().await;
            return;
        }
        self.restarts.extend(tasks);
        if connector {
            self.show(State::Restarting, None);
            self.begin(0);
        } else if self.connector.is_some() && self.phase == Phase::Running {
            self.settle().await;
        }
    }

    /// What time has come for.
    async fn due(&mut self) {
        let now = Instant::now();
        if now >= self.next_flush {
            self.flush().await;
            self.next_flush = now + self.context.timings.flush;
        }
        if self.next_sync.is_some_and(|at| now >= at) {
            self.next_sync = None;
            match self.phase {
                Phase::Starting { failures } => self.begin(failures),
                Phase::Running => self.refresh(),
                Phase::Resting => {}
            }
        }
        if now >= self.next_probe {
            self.next_probe = now + self.context.timings.probe;
            self.judge_source(now);
            self.probe();
        }
    }

    fn deadline(&self) -> Instant {
        let mut deadline = self.next_flush;
        if let Some(at) = self.next_sync {
            deadline = deadline.min(at);
        }
        if self.source.is_some() { deadline.min(self.next_probe) } else { deadline }
    }

    fn refresh(&mut self) {
        let Some(mut connector) = self.connector.take() else { return };
        self.work.spawn(async move {
            let result = connector.sync_topics().await;
            Synced { connector: Some(connector), result }
        });
    }

    /// The next refresh, no later than `limit` from now.
    fn schedule_refresh(&mut self, limit: Duration) {
        let every = self.source.as_ref().and_then(|source| source.refresh);
        self.next_sync = every.filter(|_| self.connector.is_some()).map(|every| Instant::now() + every.min(limit));
    }

    fn probe(&mut self) {
        let Some(source) = &self.source else { return };
        // Between two attempts there is nothing to find out.
        let pausing = matches!(self.phase, Phase::Starting { .. }) && self.work.is_empty();
        if !self.probes.is_empty() || pausing {
            return;
        }
        let (asked, name, limit) = (source.probe.probe(), source.probe.name(), self.context.timings.probe);
        self.probes.spawn(async move {
            let answer = tokio::time::timeout(limit, asked).await;
            answer.unwrap_or_else(|_| Err(format!("{name} did not answer within {} s", limit.as_secs_f32())))
        });
    }

    fn probed(&mut self, answer: Result<(), String>) {
        let Some(source) = &mut self.source else { return };
        match answer {
            Ok(()) => {
                source.reach.answered(Instant::now());
                if self.phase == Phase::Running {
                    self.show(State::Running, None);
                }
            }
            Err(cause) => {
                source.reach.failed(cause);
                self.judge_source(Instant::now());
            }
        }
    }

    /// Shows a source that is gone. The tasks go on trying by themselves.
    fn judge_source(&self, now: Instant) {
        let Some(source) = &self.source else { return };
        let patience = match self.phase {
            Phase::Starting { .. } => self.context.timings.attempt,
            Phase::Running => self.context.timings.source_lost,
            Phase::Resting => return,
        };
        if let Some(cause) = source.reach.lost(now, patience) {
            self.show(State::Failed, Some(format!("kmirror.SourceUnreachable: {cause}")));
        }
    }

    async fn end(mut self, ending: Ending) {
        let tasks: Vec<u32> = (0..).take(self.stored.tasks.len()).collect();
        self.rest().await;
        let status = &self.context.stores.status;
        match ending {
            Ending::Deleted => status.forget(&self.name),
            Ending::Shutdown => {
                self.show(State::Unassigned, None);
                for task in tasks {
                    self.show_task(task, State::Unassigned, None);
                }
            }
        }
    }
}
