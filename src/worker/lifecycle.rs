//! The life of one connector and its tasks: a loop that owns them and does one thing at a time.
//!
//! Source and target may come and go at any time. Nothing here gives up: what fails is shown, and tried again.

mod source;
mod stop;
mod tasks;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use source::Source;
use tasks::RunningTask;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinSet,
};
use wire::TopicPartition;

use super::{
    config_store::StoredConnector,
    decide::backoff,
    plugin::{Connector, Plugin, Refreshed, SourceTrouble, Told},
    storage::Stores,
};
use crate::{
    config::Hint,
    flow::{RateCap, StoredPosition},
    records::{State, TargetState},
};

/// How long things may take.
#[derive(Debug, Clone)]
pub(super) struct Timings {
    /// An attempt to reach the source that has no outcome by then is shown as FAILED.
    pub(super) attempt: Duration,
    /// Between two questions whether the source is there.
    pub(super) probe: Duration,
    /// A running connector whose source has not answered for this long is shown as FAILED; also how long one answer may
    /// take.
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
    /// Somebody is to alter its positions: says when all of it has stopped, or why it can't yet.
    AwaitStopped(oneshot::Sender<Result<(), String>>),
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

/// Outcome of work that is done beside the loop.
enum Done {
    /// Both clusters are reached.
    Connected(Box<dyn Connector>),
    /// Connecting failed, or a refresh has ended and the connector comes back with it.
    Synced { connector: Option<Box<dyn Connector>>, result: Result<Refreshed, String> },
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
    /// Told to stop, and drained; this many attempts to store that have failed.
    Stopping {
        failures: u32,
    },
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
    work: JoinSet<Done>,
    probes: JoinSet<Result<(), SourceTrouble>>,
    /// What the last refresh found that did not fail.
    found: Refreshed,
    /// How many refreshes have failed since, and why the last of them did.
    refresh_failures: (u32, String),
    tasks: BTreeMap<u32, RunningTask>,
    /// Shared by all tasks there ever are, so that a change holds for those that run.
    rate: RateCap,
    /// Told by all tasks there ever are; whoever began this life shows it.
    told: Told,
    /// Tasks to start anew when the connector is there again.
    restarts: BTreeSet<u32>,
    /// Per source alias, acknowledged positions of drained tasks that are not stored yet.
    unsaved: BTreeMap<String, BTreeMap<TopicPartition, StoredPosition>>,
    /// A task's status changed.
    wake: Arc<Notify>,
    /// When to try again, or to refresh.
    next_sync: Option<Instant>,
    next_probe: Instant,
    next_flush: Instant,
}

impl Lifecycle {
    pub(super) fn new(
        name: String,
        context: Arc<Context>,
        commands: mpsc::UnboundedReceiver<Command>,
        told: Told,
    ) -> Self {
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
            found: Refreshed::default(),
            refresh_failures: (0, String::new()),
            tasks: BTreeMap::new(),
            rate: RateCap::default(),
            told,
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
                    Some(Command::AwaitStopped(answer)) => {
                        let outcome = self.stopped().await;
                        // Whoever asked may be gone.
                        let _ = answer.send(outcome);
                    }
                    Some(Command::Stop(ending)) => break ending,
                    None => break Ending::Shutdown,
                },
                Some(done) = self.work.join_next() => match done {
                    Ok(Done::Connected(connector)) => self.connected(connector),
                    Ok(Done::Synced { connector, result }) => self.synced(connector, result).await,
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
                self.wind_down().await;
                // What fails of it is shown, and tried again.
                let _ = self.finish_stop(0).await;
            }
        }
    }

    /// Ends all that runs, positions stored if that can be.
    async fn rest(&mut self) {
        self.wind_down().await;
        // What is not stored now is when its time comes.
        let _ = self.flush().await;
    }

    /// Ends all that runs.
    async fn wind_down(&mut self) {
        self.leave_source();
        self.phase = Phase::Resting;
        self.restarts.clear();
        self.drain(self.tasks.keys().copied().collect()).await;
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
                match hint {
                    Hint::Info(text) => tracing::info!(connector = self.name, "{text}"),
                    Hint::Warn(text) => tracing::warn!(connector = self.name, "{text}"),
                }
            }
        }
        // Not once the source is reached: it is the tasks that run which shall heed it.
        self.rate.set(opened.max_bytes_per_second);
        self.phase = Phase::Starting { failures };
        self.refresh_failures.0 = 0;
        // A connector that is not enabled has no tasks, and needs no source.
        self.source = opened
            .enabled
            .then(|| Source::new(opened.source_alias, opened.source_name.clone(), opened.refresh, Instant::now()));
        let (enabled, limit) = (opened.enabled, self.context.timings.attempt);
        let connect = (opened.connect)(self.rate.clone(), self.told.clone());
        let name = opened.source_name;
        self.work.spawn(async move {
            if !enabled {
                return Done::Synced { connector: None, result: Ok(Refreshed::default()) };
            }
            let connected = tokio::time::timeout(limit, connect).await;
            let connected =
                connected.unwrap_or_else(|_| Err(format!("{name} gave no answer within {} s", limit.as_secs_f32())));
            match connected {
                Ok(connector) => Done::Connected(connector),
                Err(error) => Done::Synced { connector: None, result: Err(error) },
            }
        });
    }

    /// Refreshes for the first time, and watches the source from now on: that may take long.
    fn connected(&mut self, connector: Box<dyn Connector>) {
        let now = Instant::now();
        if let Some(source) = &mut self.source {
            source.probe = connector.probe();
            source.reach.answered(now);
        }
        self.next_probe = now + self.context.timings.probe;
        self.connector = Some(connector);
        self.refresh();
    }

    async fn synced(&mut self, connector: Option<Box<dyn Connector>>, result: Result<Refreshed, String>) {
        self.connector = connector;
        match result {
            Ok(found) => {
                if let Some(source) = &mut self.source {
                    source.reach.answered(Instant::now());
                    source.trouble = None;
                }
                self.refresh_failures.0 = 0;
                self.found = found;
                self.settle().await;
                self.forget_orphans().await;
            }
            Err(error) if self.phase == Phase::Running => {
                tracing::warn!(connector = self.name, "refreshing topics failed, tasks go on as they are: {error}");
                self.refresh_failures = (self.refresh_failures.0.saturating_add(1), error);
                self.show_connector();
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
            Phase::Resting | Phase::Running | Phase::Stopping { .. } => 1,
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
            // Tried again the next time.
            let _ = self.flush().await;
            self.next_flush = now + self.context.timings.flush;
        }
        if self.next_sync.is_some_and(|at| now >= at) {
            self.next_sync = None;
            match self.phase {
                Phase::Starting { failures } => self.begin(failures),
                Phase::Running => self.refresh(),
                Phase::Stopping { failures } => {
                    let _ = self.finish_stop(failures).await;
                }
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
            let result = connector.refresh().await;
            Done::Synced { connector: Some(connector), result }
        });
    }

    /// The next refresh, no later than `limit` from now.
    fn schedule_refresh(&mut self, limit: Duration) {
        let every = self.source.as_ref().and_then(|source| source.refresh);
        self.next_sync = every.filter(|_| self.connector.is_some()).map(|every| Instant::now() + every.min(limit));
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
