//! Where tasks are asked about their groups.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};
use wire::TopicPartition;

use crate::mirror::{CheckpointOutcome, PartitionSync};

/// How long a task may take to set the offsets of all its groups, which are thousands at most.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who asks waits for what was asked before.
const QUEUE: usize = 4;

/// What became of each group, by the target's partitions; or why nothing is known of it in the target.
pub type Synced = BTreeMap<String, Result<BTreeMap<TopicPartition, PartitionSync>, String>>;

/// What a task last found of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupReport {
    /// When, ms since the epoch.
    pub time: i64,
    /// What each of its committed offsets is in the target; or why the source did not tell them.
    pub outcomes: Result<Vec<CheckpointOutcome>, String>,
}

#[derive(Debug)]
pub(super) enum Ask {
    Groups(oneshot::Sender<BTreeMap<String, GroupReport>>),
    Sync(oneshot::Sender<Synced>),
}

/// Asks all tasks of a connector that run at present. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct GroupDesk {
    tasks: Arc<Mutex<Vec<mpsc::Sender<Ask>>>>,
}

impl GroupDesk {
    /// For a task that begins.
    pub(super) fn open(&self) -> mpsc::Receiver<Ask> {
        let (sender, asked) = mpsc::channel(QUEUE);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_closed());
        tasks.push(sender);
        asked
    }

    /// What is known of all groups, as of when checkpoints were last looked at.
    ///
    /// # Errors
    /// A task has not answered for a minute.
    pub async fn groups(&self) -> Result<BTreeMap<String, GroupReport>, String> {
        self.ask(Ask::Groups).await
    }

    /// Sets the offsets of groups in the target now, whatever the interval is.
    ///
    /// # Errors
    /// A task has not answered for a minute; what it was asked it may still do.
    pub async fn sync_now(&self) -> Result<Synced, String> {
        self.ask(Ask::Sync).await
    }

    async fn ask<T>(
        &self,
        ask: impl Fn(oneshot::Sender<BTreeMap<String, T>>) -> Ask,
    ) -> Result<BTreeMap<String, T>, String> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tasks.retain(|task| !task.is_closed());
        let answers = tasks.into_iter().map(async |task| {
            let (sender, answer) = oneshot::channel();
            // One that ends meanwhile has no groups any more.
            if task.send(ask(sender)).await.is_err() {
                return BTreeMap::new();
            }
            answer.await.unwrap_or_default()
        });
        let all = tokio::time::timeout(PATIENCE, futures_util::future::join_all(answers)).await;
        let all = all.map_err(|_| format!("tasks did not answer within {} s", PATIENCE.as_secs()))?;
        Ok(all.into_iter().flatten().collect())
    }
}
