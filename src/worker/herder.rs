//! What can be asked of a worker: the connectors, their tasks and statuses, and every change to them.

mod offsets;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    Error,
    decide::restart_plan,
    lifecycle::{Command, Context, Ending, Lifecycle},
    plugin::Told,
};
use crate::{
    config::{ConfigError, ConfigErrors, ConnectorClass, Properties, connector_class},
    flow::Events,
    mirror::{AclView, GroupDesk},
    records::{State, StatusKey, StatusValue, TargetState, TaskId},
};

/// A configuration as a client gave it: JSON null is not the same as absent.
pub type GivenConfig = BTreeMap<String, Option<String>>;

/// A connector and the tasks it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorInfo {
    /// Connector name.
    pub name: String,
    /// Its configuration as given, `name` included.
    pub config: Properties,
    /// Its tasks.
    pub tasks: Vec<TaskId>,
}

/// How a connector and its tasks are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorStatus {
    /// Connector name.
    pub name: String,
    /// The connector's own status.
    pub connector: StatusValue,
    /// Statuses of its tasks, by number.
    pub tasks: Vec<(u32, StatusValue)>,
}

/// What has happened to a connector's copies, and between which clusters.
#[derive(Debug, Clone)]
pub struct ConnectorEvents {
    /// Alias of the source cluster.
    pub source_alias: String,
    /// Alias of the target cluster.
    pub target_alias: String,
    /// Since it was created, or since the worker started.
    pub events: Events,
}

/// Whether a connector that exists already may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It must not exist (POST).
    Create,
    /// It may (PUT).
    Upsert,
}

/// A connector's running life.
struct Life {
    commands: mpsc::UnboundedSender<Command>,
    done: JoinHandle<()>,
    /// Revision and target state it was last told of.
    seen: (u64, TargetState),
    /// Also by the lives before that broke.
    told: Told,
}

#[derive(Default)]
struct Lives {
    running: BTreeMap<String, Life>,
    /// Deleted, not ended yet: whoever comes next under the same name waits for it.
    ending: BTreeMap<String, JoinHandle<()>>,
}

/// Owns the connectors of a worker. Questions are answered from memory; changes are written first.
pub struct Herder {
    context: Arc<Context>,
    /// Changes to the config topic, one at a time.
    changes: tokio::sync::Mutex<()>,
    lives: Mutex<Lives>,
    closing: AtomicBool,
}

impl Herder {
    /// Starts the connectors that are stored.
    pub(super) fn start(context: Context) -> Arc<Self> {
        let herder = Arc::new(Self {
            context: Arc::new(context),
            changes: tokio::sync::Mutex::default(),
            lives: Mutex::default(),
            closing: AtomicBool::new(false),
        });
        tokio::spawn(Arc::clone(&herder.context.stores.status).write());
        herder.reconcile();
        herder
    }

    /// Names of all connectors.
    #[must_use]
    pub fn connectors(&self) -> Vec<String> {
        self.context.stores.config.names()
    }

    /// A connector.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn connector(&self, name: &str) -> Result<ConnectorInfo, Error> {
        let stored = self.context.stores.config.get(name);
        let stored = stored.ok_or_else(|| Error::ConnectorNotFound { connector: name.to_owned() })?;
        let tasks = (0..).take(stored.tasks.len()).map(|task| TaskId::new(name, task)).collect();
        Ok(ConnectorInfo { name: name.to_owned(), config: stored.config, tasks })
    }

    /// Tasks of a connector with their configurations.
    ///
    /// # Errors
    /// There is no connector of that name.
    pub fn tasks(&self, name: &str) -> Result<Vec<(TaskId, Properties)>, Error> {
        let stored = self.context.stores.config.get(name);
        let stored = stored.ok_or_else(|| Error::ConnectorNotFound { connector: name.to_owned() })?;
        Ok((0..).zip(stored.tasks).map(|(task, config)| (TaskId::new(name, task), config)).collect())
    }

    /// How a connector and its tasks are.
    ///
    /// # Errors
    /// Nothing has been reported of it.
    pub fn status(&self, name: &str) -> Result<ConnectorStatus, Error> {
        let status = &self.context.stores.status;
        let connector = status.get(&StatusKey::Connector(name.to_owned()));
        let connector = connector.ok_or_else(|| Error::NoConnectorStatus { connector: name.to_owned() })?;
        Ok(ConnectorStatus { name: name.to_owned(), connector, tasks: status.tasks(name) })
    }

    /// How a task is.
    ///
    /// # Errors
    /// Nothing has been reported of it.
    pub fn task_status(&self, name: &str, task: u32) -> Result<StatusValue, Error> {
        let status = self.context.stores.status.get(&StatusKey::Task(TaskId::new(name, task)));
        status.ok_or_else(|| Error::NoTaskStatus { connector: name.to_owned(), task })
    }

    /// What has happened to a connector's copies.
    ///
    /// # Errors
    /// There is none of that name, or the worker drains.
    pub fn events(&self, name: &str) -> Result<ConnectorEvents, Error> {
        let config = self.connector(name)?.config;
        // Its life is over then, and what it knew.
        self.refuse_when_closing()?;
        let lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was just stored has not begun to live.
        let events = lives.running.get(name).map(|life| life.told.events.clone()).unwrap_or_default();
        let alias = |key, default: &str| config.get(key).map_or(default, |alias| alias.trim()).to_owned();
        let (source_alias, target_alias) = (alias("source.cluster.alias", ""), alias("target.cluster.alias", "target"));
        Ok(ConnectorEvents { source_alias, target_alias, events })
    }

    /// What compares the ACLs of a MirrorSourceConnector; none before it has reached its clusters.
    ///
    /// # Errors
    /// There is no connector of that name, it is another one, or the worker drains.
    pub fn acls(&self, name: &str) -> Result<Option<AclView>, Error> {
        let told = self.told(name, ConnectorClass::MirrorSource)?;
        Ok(told.acls.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Where the tasks of a MirrorCheckpointConnector are asked about their groups.
    ///
    /// # Errors
    /// There is no connector of that name, it is another one, or the worker drains.
    pub fn groups(&self, name: &str) -> Result<GroupDesk, Error> {
        Ok(self.told(name, ConnectorClass::MirrorCheckpoint)?.groups)
    }

    /// What a connector of this class tells.
    fn told(&self, name: &str, class: ConnectorClass) -> Result<Told, Error> {
        let config = self.connector(name)?.config;
        self.refuse_when_closing()?;
        if connector_class(&config).ok() != Some(class) {
            return Err(Error::OtherClass { connector: name.to_owned(), class });
        }
        let lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(lives.running.get(name).map(|life| life.told.clone()).unwrap_or_default())
    }

    /// Checks and stores a connector's configuration, and starts it anew. True if it did not exist before. With
    /// `target`, it is born in that state.
    ///
    /// # Errors
    /// A configuration that does not hold up, a name that is taken, or a config topic that does not take it.
    pub async fn put_connector(
        self: &Arc<Self>,
        name: &str,
        given: GivenConfig,
        target: Option<TargetState>,
        put: Put,
    ) -> Result<(bool, ConnectorInfo), Error> {
        let config = self.check(name, given)?;
        let (name, herder) = (name.to_owned(), Arc::clone(self));
        self.change(async move {
            let store = &herder.context.stores.config;
            let existed = store.contains(&name);
            if existed && put == Put::Create {
                return Err(Error::AlreadyExists { connector: name });
            }
            store.put_connector(&name, config, target).await?;
            tracing::info!(connector = name, "{}", if existed { "reconfigured" } else { "created" });
            Ok((!existed, herder.connector(&name)?))
        })
        .await
    }

    /// Deletes a connector; its positions stay, so that one of the same name goes on where it ended.
    ///
    /// # Errors
    /// There is none of that name, or the config topic does not take it.
    pub async fn delete_connector(self: &Arc<Self>, name: &str) -> Result<(), Error> {
        let (name, herder) = (name.to_owned(), Arc::clone(self));
        self.change(async move {
            if !herder.context.stores.config.contains(&name) {
                return Err(Error::ConnectorNotFound { connector: name });
            }
            herder.context.stores.config.remove_connector(&name).await?;
            tracing::info!(connector = name, "deleted");
            Ok(())
        })
        .await
    }

    /// Restarts a connector, its tasks, or those of both that failed (KIP-745), and tells what it chose as RESTARTING;
    /// nothing when the connector alone was asked for.
    ///
    /// # Errors
    /// There is none of that name, or nothing is known of its state.
    pub fn restart_connector(
        &self,
        name: &str,
        include_tasks: bool,
        only_failed: bool,
    ) -> Result<Option<ConnectorStatus>, Error> {
        self.refuse_when_closing()?;
        if !self.context.stores.config.contains(name) {
            return Err(Error::UnknownConnector { connector: name.to_owned() });
        }
        if !include_tasks && !only_failed {
            // The connector alone: there is nothing to choose from.
            self.tell(name, Command::Restart { connector: true, tasks: [].into() });
            return Ok(None);
        }
        let mut status = self.status(name).map_err(|_| Error::NoStatusToRestart { connector: name.to_owned() })?;
        let states: Vec<_> = status.tasks.iter().map(|(task, status)| (*task, status.state)).collect();
        let (connector, tasks) = restart_plan(status.connector.state, &states, include_tasks, only_failed);
        let restarting = |status: &mut StatusValue| {
            status.state = State::Restarting;
            status.trace = None;
        };
        if connector {
            restarting(&mut status.connector);
        }
        for (_, status) in status.tasks.iter_mut().filter(|(task, _)| tasks.contains(task)) {
            restarting(status);
        }
        if connector || !tasks.is_empty() {
            self.tell(name, Command::Restart { connector, tasks });
        }
        Ok(Some(status))
    }

    /// Restarts one task.
    ///
    /// # Errors
    /// There is no such connector or task.
    pub fn restart_task(&self, name: &str, task: u32) -> Result<(), Error> {
        self.refuse_when_closing()?;
        let stored = self.context.stores.config.get(name);
        let stored = stored.ok_or_else(|| Error::UnknownConnector { connector: name.to_owned() })?;
        if usize::try_from(task).is_ok_and(|task| task >= stored.tasks.len()) {
            return Err(Error::UnknownTask { connector: name.to_owned(), task });
        }
        self.tell(name, Command::Restart { connector: false, tasks: [task].into() });
        Ok(())
    }

    /// Tells a connector to run, to rest with its tasks configured, or to have none. Nothing happens where it is told so
    /// already.
    ///
    /// # Errors
    /// There is none of that name, or the config topic does not take it.
    pub async fn set_target(self: &Arc<Self>, name: &str, target: TargetState) -> Result<(), Error> {
        let (name, herder) = (name.to_owned(), Arc::clone(self));
        self.change(async move {
            let store = &herder.context.stores.config;
            let stored = store.get(&name).ok_or_else(|| Error::NoneToSteer { connector: name.clone() })?;
            if stored.target != target {
                store.put_target(&name, target).await?;
                tracing::info!(connector = name, "told to be {}", target.as_str());
            }
            Ok(())
        })
        .await
    }

    /// Takes no more changes, drains every connector, stores positions, and says that nobody runs them now.
    pub(super) async fn drain(&self) {
        self.closing.store(true, Ordering::Release);
        // A change that has begun is let finish.
        let changes = self.changes.lock().await;
        let lives = std::mem::take(&mut *self.lives.lock().unwrap_or_else(PoisonError::into_inner));
        let mut ends = Vec::new();
        for (name, life) in lives.running {
            // Gone already where the loop itself broke; nothing is left to be told.
            let _ = life.commands.send(Command::Stop(Ending::Shutdown));
            ends.push((name, life.done));
        }
        ends.extend(lives.ending);
        let timings = &self.context.timings;
        // Draining, then two attempts at storing: the one under way, and the last.
        let limit = timings.drain + timings.flush_timeout * 2;
        let until = tokio::time::Instant::now() + limit;
        for (name, done) in ends {
            if tokio::time::timeout_at(until, done).await.is_err() {
                tracing::warn!(connector = name, "did not end within {} ms", limit.as_millis());
            }
        }
        if !self.context.stores.status.flush(timings.flush_timeout).await {
            tracing::warn!("the last statuses could not be written");
        }
        drop(changes);
    }

    /// Reads on where a write had no answer, and does what that asks for.
    pub(super) async fn catch_up(&self) -> Result<(), Error> {
        let changes = self.changes.lock().await;
        self.context.stores.catch_up().await?;
        self.reconcile();
        drop(changes);
        Ok(())
    }

    /// Makes a change to its end, whether or not somebody still waits for the answer: a client that hangs up must not
    /// leave half a change behind.
    async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let herder = Arc::clone(self);
        let done = tokio::spawn(async move {
            let turn = herder.changes.lock().await;
            herder.refuse_when_closing()?;
            herder.context.stores.catch_up().await?;
            let outcome = change.await;
            herder.reconcile();
            drop(turn);
            outcome
        });
        done.await.unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
    }

    /// Completes a configuration with its name and checks it.
    fn check(&self, name: &str, given: GivenConfig) -> Result<Properties, Error> {
        let reason = "Null value can not be supplied as the configuration value.";
        let null = |(key, _): (&String, _)| ConfigError::invalid(key, "null", reason);
        let nulls: Vec<_> = given.iter().filter(|(_, value)| value.is_none()).map(null).collect();
        if !nulls.is_empty() {
            return Err(Error::InvalidConfig(ConfigErrors(nulls).connect_message()));
        }
        let mut config: Properties = given.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let stated = config.entry("name".to_owned()).or_insert_with(|| name.to_owned());
        if stated != name {
            return Err(Error::NameMismatch { config: stated.clone(), url: name.to_owned() });
        }
        let opened = self.context.plugin.open(&config);
        opened.map(|_| config).map_err(|errors| Error::InvalidConfig(errors.connect_message()))
    }

    /// Makes what runs follow the config store.
    fn reconcile(&self) {
        if self.closing.load(Ordering::Acquire) {
            return;
        }
        let wanted = self.context.stores.config.revisions();
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> = lives.running.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in gone {
            if let Some(life) = lives.running.remove(&name) {
                let _ = life.commands.send(Command::Stop(Ending::Deleted));
                lives.ending.insert(name, life.done);
            }
        }
        lives.ending.retain(|_, done| !done.is_finished());
        for (name, seen) in wanted {
            match lives.running.get_mut(&name).filter(|life| !life.commands.is_closed()) {
                Some(life) if life.seen == seen => {}
                Some(life) => {
                    life.seen = seen;
                    let _ = life.commands.send(Command::Changed);
                }
                None => {
                    let before = lives.ending.remove(&name);
                    let broken = lives.running.remove(&name);
                    let told = broken.map(|life| life.told).unwrap_or_default();
                    let life = self.begin_life(name.clone(), seen, before, told);
                    lives.running.insert(name, life);
                }
            }
        }
    }

    /// Starts a connector's loop after the end of the one before it. Should the loop break, that is shown: a restart
    /// or a change begins it anew.
    fn begin_life(&self, name: String, seen: (u64, TargetState), before: Option<JoinHandle<()>>, told: Told) -> Life {
        #[expect(clippy::disallowed_methods, reason = "sent to under a lock, which can't wait; a life answers quickly")]
        let (commands, receiver) = mpsc::unbounded_channel();
        let (context, shared) = (Arc::clone(&self.context), told.clone());
        let done = tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            let lifecycle = Lifecycle::new(name.clone(), Arc::clone(&context), receiver, shared);
            if let Err(error) = tokio::spawn(lifecycle.run()).await {
                tracing::error!(connector = name, "its loop broke, restart it: {error}");
                let trace = format!("kmirror.ConnectorPanicked: {error}");
                context.stores.status.report(StatusKey::Connector(name), State::Failed, Some(trace));
            }
        });
        Life { commands, done, seen, told }
    }

    fn tell(&self, name: &str, command: Command) {
        // Begins it anew where its loop broke.
        self.reconcile();
        let lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(life) = lives.running.get(name) {
            let _ = life.commands.send(command);
        }
    }

    /// Reads on whether or not a write failed.
    #[cfg(test)]
    pub(super) async fn read_on(&self) {
        self.context.stores.config.catch_up().await.unwrap();
        self.reconcile();
    }

    fn refuse_when_closing(&self) -> Result<(), Error> {
        if self.closing.load(Ordering::Acquire) { Err(Error::ShuttingDown) } else { Ok(()) }
    }
}
