//! The tasks of a connector: made what they shall be, drained, shown, and their positions stored.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use wire::TopicPartition;

use super::{Context, Lifecycle, Phase};
use crate::{
    config::Properties,
    flow::{Positions, StoredPosition},
    records::{OffsetPartition, SourcePartition, State, StatusKey, TaskId},
    worker::{
        decide::{task_configs, task_state, to_drain},
        plugin::{Share, Task},
    },
};

/// A task that runs, the configuration it runs with, and under which alias its positions are stored.
pub(super) struct RunningTask {
    config: Properties,
    source_alias: String,
    partitions: usize,
    /// Partitions it was not started with, and why.
    left_out: BTreeMap<TopicPartition, String>,
    task: Box<dyn Task>,
}

/// Positions of a connector's source partitions, for tasks that store some by themselves.
struct OwnPositions {
    context: Arc<Context>,
    connector: String,
    source_alias: String,
}

impl std::fmt::Debug for OwnPositions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { connector, source_alias, .. } = self;
        f.debug_struct("OwnPositions").field("connector", connector).field("source_alias", source_alias).finish()
    }
}

impl Positions for OwnPositions {
    fn store(&self, positions: BTreeMap<TopicPartition, StoredPosition>) -> BoxFuture<'static, Result<(), String>> {
        let (context, connector, source_alias) =
            (Arc::clone(&self.context), self.connector.clone(), self.source_alias.clone());
        Box::pin(async move {
            let stored = context.stores.offset.store(&connector, &source_alias, &positions).await;
            stored.map(|_| ()).map_err(|error| error.to_string())
        })
    }
}

impl Lifecycle {
    /// Makes the tasks what the partitions found and the configuration want: all that change are drained first, so
    /// that no partition is ever copied by two; then their positions are stored; then they start.
    pub(super) async fn settle(&mut self) {
        let shares = std::mem::take(&mut self.found.shares);
        let wanted = task_configs(&self.stored.config, &shares);
        let restarts = std::mem::take(&mut self.restarts);
        let drained = to_drain(self.tasks.iter().map(|(n, t)| (*n, &t.config)), &wanted, &restarts);
        if !drained.is_empty() {
            self.drain(drained).await;
            // What is not stored now is kept: the new tasks start from it.
            let _ = self.flush().await;
        }
        if self.stored.tasks != wanted {
            if let Err(error) = self.context.stores.config.put_tasks(&self.name, &wanted).await {
                self.attempt_failed(format!("kmirror.TasksNotStored: {error}"));
                return;
            }
            self.stored.tasks.clone_from(&wanted);
            let partitions: usize = shares.iter().map(|share| share.partitions().len()).sum();
            tracing::info!(connector = self.name, partitions, tasks = wanted.len(), "tasks changed");
        }
        self.context.stores.status.forget_tasks(&self.name, u32::try_from(wanted.len()).unwrap_or(u32::MAX));
        for ((number, share), config) in shares.iter().enumerate().zip(wanted) {
            self.start_task(number, share, config);
        }
        self.found.shares = shares;
        self.phase = Phase::Running;
        self.schedule_refresh(Duration::MAX);
        self.show_connector();
        self.show_tasks();
    }

    /// Deletes the positions of topics that are gone at both ends: one made anew of the same name is copied from its start. No task has had
    /// them since the refresh before.
    pub(super) async fn forget_orphans(&mut self) {
        let (orphans, Some(source)) = (std::mem::take(&mut self.found.orphans), &self.source) else { return };
        if let Some(unsaved) = self.unsaved.get_mut(&source.alias) {
            unsaved.retain(|partition, _| !orphans.contains(&partition.topic));
        }
        let stored = self.context.stores.offset.positions(&self.name, &source.alias).into_keys();
        let gone =
            stored.filter(|partition| orphans.contains(&partition.topic)).map(|TopicPartition { topic, partition }| {
                let cluster = source.alias.clone();
                (OffsetPartition::Source(SourcePartition { cluster, topic, partition }), None)
            });
        let gone: Vec<_> = gone.collect();
        if gone.is_empty() {
            return;
        }
        if let Err(error) = self.context.stores.offset.alter(&self.name, gone).await {
            tracing::warn!(connector = self.name, "positions of {orphans:?}, which are gone, are left: {error}");
        }
    }

    fn start_task(&mut self, number: usize, share: &Share, config: Properties) {
        let (Ok(task), Some(connector), Some(source)) = (u32::try_from(number), &self.connector, &self.source) else {
            return;
        };
        if self.tasks.contains_key(&task) {
            return;
        }
        let mut positions = self.context.stores.offset.positions(&self.name, &source.alias);
        positions.extend(self.unsaved.get(&source.alias).cloned().unwrap_or_default());
        let left_out = connector.left_out(share, &positions);
        let (context, connector_name) = (Arc::clone(&self.context), self.name.clone());
        let store = OwnPositions { context, connector: connector_name, source_alias: source.alias.clone() };
        let started = connector.start(number, share, &positions, Arc::new(store));
        let mut status = started.status();
        let wake = Arc::clone(&self.wake);
        // Ends with the task, whose side of the channel goes with it.
        tokio::spawn(async move {
            while status.changed().await.is_ok() {
                wake.notify_one();
            }
        });
        let (source_alias, partitions) = (source.alias.clone(), share.partitions().len());
        self.tasks.insert(task, RunningTask { config, source_alias, partitions, left_out, task: started });
    }

    /// Ends these tasks side by side and keeps what they got acknowledged.
    pub(super) async fn drain(&mut self, tasks: Vec<u32>) {
        let limit = self.context.timings.drain;
        let ending = tasks.into_iter().filter_map(|n| self.tasks.remove(&n));
        let drained = join_all(ending.map(async |running| (running.source_alias, running.task.drain(limit).await)));
        for (alias, positions) in drained.await {
            self.unsaved.entry(alias).or_default().extend(positions);
        }
    }

    /// Stores what has changed since the last time (invariant B: only what the target acknowledged). What can't be
    /// stored now, the error says why, is stored next time.
    pub(super) async fn flush(&mut self) -> Result<(), String> {
        let mut outcome = Ok(());
        let mut all = self.unsaved.clone();
        for running in self.tasks.values() {
            all.entry(running.source_alias.clone()).or_default().extend(running.task.positions());
        }
        for (alias, positions) in all {
            let stored = self.context.stores.offset.store(&self.name, &alias, &positions);
            match tokio::time::timeout(self.context.timings.flush_timeout, stored).await {
                Ok(Ok(0)) => {}
                Ok(Ok(count)) => tracing::debug!(connector = self.name, "stored {count} positions"),
                Ok(Err(error)) => {
                    outcome = Err(format!("positions not stored: {error}"));
                    continue;
                }
                Err(_) => {
                    let limit = self.context.timings.flush_timeout.as_millis();
                    outcome = Err(format!("positions not stored within {limit} ms"));
                    continue;
                }
            }
            self.unsaved.remove(&alias);
        }
        if let Err(cause) = &outcome {
            tracing::warn!(connector = self.name, "{cause}; trying again later");
        }
        outcome
    }

    pub(super) fn show(&self, state: State, trace: Option<String>) {
        self.context.stores.status.report(StatusKey::Connector(self.name.clone()), state, trace);
    }

    pub(super) fn show_task(&self, task: u32, state: State, trace: Option<String>) {
        let key = StatusKey::Task(TaskId::new(self.name.as_str(), task));
        self.context.stores.status.report(key, state, trace);
    }

    pub(super) fn show_tasks(&self) {
        for (number, running) in &self.tasks {
            let mut status = running.task.status().borrow().clone();
            status.stopped.extend(running.left_out.clone());
            let (state, trace) = task_state(running.partitions, &status);
            self.show_task(*number, state, trace);
        }
    }
}
