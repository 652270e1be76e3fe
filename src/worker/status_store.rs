//! Statuses of connectors and tasks, as the status topic tells them, and the writer of ours.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::{Notify, watch};
use wire::{NewRecord, Record};

use super::{
    Error,
    topic_log::{TopicLog, plain},
};
use crate::records::{BadRecord, State, StatusKey, StatusRecord, StatusValue, TaskId};

/// Pause before a status that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What this worker says of a connector or task: state and trace, or that it is gone.
type Report = Option<(State, Option<String>)>;

#[derive(Default)]
struct Outbox {
    /// The last word on each, so that saying it again costs nothing.
    said: BTreeMap<StatusKey, Report>,
    /// What the topic has not acknowledged yet; only the last word counts.
    pending: BTreeMap<StatusKey, Report>,
}

/// The status topic and what it says. Reporting never waits: a writer of its own appends, and tries again until the
/// topic has acknowledged, since a status that nobody sees is no status.
pub(super) struct StatusStore {
    log: TopicLog,
    state: RwLock<BTreeMap<StatusKey, StatusValue>>,
    worker_id: String,
    generation: i32,
    outbox: Mutex<Outbox>,
    wake: Notify,
    /// Nothing is left to write.
    idle: watch::Sender<bool>,
}

impl StatusStore {
    /// Reads the topic. `worker_id` is this worker's `host:port`.
    pub(super) async fn open(log: TopicLog, worker_id: &str) -> Result<Self, Error> {
        let mut store = Self {
            log,
            state: RwLock::default(),
            worker_id: worker_id.to_owned(),
            generation: 0,
            outbox: Mutex::default(),
            wake: Notify::new(),
            idle: watch::Sender::new(true),
        };
        store.catch_up().await?;
        // Above every former owner's, so that Java workers too take ours for the later word.
        let highest = store.read(|state| state.values().map(|status| status.generation).max());
        store.generation = highest.unwrap_or(0).saturating_add(1);
        Ok(store)
    }

    /// Applies what the topic holds beyond what is known.
    pub(super) async fn catch_up(&self) -> Result<(), Error> {
        self.log.catch_up(|record| self.apply(record)).await
    }

    /// A write failed half-way: memory may be behind the topic.
    pub(super) fn is_stale(&self) -> bool {
        self.log.is_stale()
    }

    /// A connector's or task's status as the topic has it.
    pub(super) fn get(&self, key: &StatusKey) -> Option<StatusValue> {
        self.read(|state| state.get(key).cloned())
    }

    /// Statuses of a connector's tasks as the topic has them, by number.
    pub(super) fn tasks(&self, connector: &str) -> Vec<(u32, StatusValue)> {
        self.read(|state| {
            let status = |(key, value): (&StatusKey, &StatusValue)| match key {
                StatusKey::Task(id) if id.connector == connector => Some((id.task, value.clone())),
                _ => None,
            };
            state.iter().filter_map(status).collect()
        })
    }

    /// Says that a connector or task is in this state.
    pub(super) fn report(&self, key: StatusKey, state: State, trace: Option<String>) {
        self.say(key, Some((state, trace)));
    }

    /// Says that the tasks from number `first` on are gone.
    pub(super) fn forget_tasks(&self, connector: &str, first: u32) {
        let mut gone: Vec<u32> = self.tasks(connector).into_iter().map(|(task, _)| task).collect();
        {
            let outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
            let said = |(key, report): (&StatusKey, &Report)| match key {
                StatusKey::Task(id) if id.connector == connector && report.is_some() => Some(id.task),
                _ => None,
            };
            gone.extend(outbox.said.iter().filter_map(said));
        }
        for task in gone.into_iter().filter(|&task| task >= first) {
            self.say(StatusKey::Task(TaskId::new(connector, task)), None);
        }
    }

    /// Says that a connector and its tasks are gone.
    pub(super) fn forget(&self, connector: &str) {
        self.forget_tasks(connector, 0);
        self.say(StatusKey::Connector(connector.to_owned()), None);
    }

    fn say(&self, key: StatusKey, report: Report) {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        if outbox.said.get(&key) == Some(&report) {
            return;
        }
        outbox.said.insert(key.clone(), report.clone());
        outbox.pending.insert(key, report);
        self.idle.send_replace(false);
        self.wake.notify_one();
    }

    /// Waits until all that was reported is written, at most this long.
    pub(super) async fn flush(&self, timeout: Duration) -> bool {
        let mut idle = self.idle.subscribe();
        tokio::time::timeout(timeout, idle.wait_for(|idle| *idle)).await.is_ok()
    }

    /// Writes what is reported, for as long as the store is in use.
    pub(super) async fn write(self: Arc<Self>) {
        let mut failing = false;
        loop {
            let batch = {
                let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
                let batch = std::mem::take(&mut outbox.pending);
                if batch.is_empty() {
                    self.idle.send_replace(true);
                }
                batch
            };
            if batch.is_empty() {
                self.wake.notified().await;
                continue;
            }
            match self.append(&batch).await {
                Ok(()) => failing = false,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!("statuses can't be written, trying again until they are: {error}");
                    }
                    self.put_back(batch);
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// What was said meanwhile counts more.
    fn put_back(&self, batch: BTreeMap<StatusKey, Report>) {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, report) in batch {
            outbox.pending.entry(key).or_insert(report);
        }
    }

    async fn append(&self, batch: &BTreeMap<StatusKey, Report>) -> Result<(), Error> {
        let mut by_partition: BTreeMap<i32, Vec<NewRecord>> = BTreeMap::new();
        for (key, report) in batch {
            let value = report.as_ref().map(|(state, trace)| {
                let (worker_id, generation) = (self.worker_id.clone(), self.generation);
                StatusValue { state: *state, trace: trace.clone(), worker_id, generation }.encode()
            });
            let key = key.encode();
            by_partition.entry(self.log.partition_of(&key)).or_default().push(plain((key, value)));
        }
        for (partition, records) in by_partition {
            self.log.append(partition, records, |record| self.apply(record)).await?;
        }
        Ok(())
    }

    fn apply(&self, record: &Record) -> Result<(), BadRecord> {
        let decoded = StatusRecord::decode(record.key.as_deref(), record.value.as_deref())?;
        let StatusRecord::Status { key, value } = decoded else { return Ok(()) };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match value {
            Some(value) => state.insert(key, value),
            None => state.remove(&key),
        };
        Ok(())
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<StatusKey, StatusValue>) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use wire::TopicPartition;

    use super::{super::topic_log::memory::MemoryBackend, *};

    async fn store(backend: &Arc<MemoryBackend>) -> Arc<StatusStore> {
        let log = TopicLog::open("status", "s", 1, backend.clone()).await.unwrap();
        Arc::new(StatusStore::open(log, "me:1").await.unwrap())
    }

    fn connector() -> StatusKey {
        StatusKey::Connector("c".into())
    }

    fn task(n: u32) -> StatusKey {
        StatusKey::Task(TaskId::new("c", n))
    }

    #[tokio::test]
    async fn each_change_is_written_once_as_a_later_owner() {
        let backend = Arc::new(MemoryBackend::default());
        let old = r#"{"state":"RUNNING","trace":null,"worker_id":"jvm:1","generation":7}"#;
        backend.put(&TopicPartition::new("s", 0), "status-connector-c", Some(old));
        let store = store(&backend).await;
        tokio::spawn(store.clone().write());
        assert_eq!(store.get(&connector()).unwrap().worker_id, "jvm:1");
        for _ in 0..3 {
            store.report(connector(), State::Failed, Some("kmirror.X: y".into()));
            assert!(store.flush(Duration::from_secs(20)).await);
        }
        let new = r#"{"state":"FAILED","trace":"kmirror.X: y","worker_id":"me:1","generation":8}"#;
        let records = backend.records("s");
        assert_eq!(records[1..], [("status-connector-c".to_owned(), Some(new.to_owned()))]);
        assert_eq!(store.get(&connector()).unwrap().state, State::Failed);
    }

    #[tokio::test]
    async fn the_last_word_is_written_once_the_topic_answers() {
        let backend = Arc::new(MemoryBackend::default());
        let store = store(&backend).await;
        backend.down.store(true, Ordering::Release);
        tokio::spawn(store.clone().write());
        store.report(task(0), State::Running, None);
        assert!(!store.flush(Duration::from_millis(50)).await);
        assert_eq!(store.get(&task(0)), None);
        store.report(task(0), State::Paused, None);
        backend.down.store(false, Ordering::Release);
        assert!(store.flush(Duration::from_secs(20)).await);
        assert_eq!(store.get(&task(0)).unwrap().state, State::Paused);
    }

    #[tokio::test]
    async fn what_is_gone_leaves_tombstones() {
        let backend = Arc::new(MemoryBackend::default());
        let store = store(&backend).await;
        tokio::spawn(store.clone().write());
        store.report(connector(), State::Running, None);
        for n in 0..3 {
            store.report(task(n), State::Running, None);
        }
        store.forget_tasks("c", 1);
        assert!(store.flush(Duration::from_secs(20)).await);
        assert_eq!(store.tasks("c").into_iter().map(|(n, _)| n).collect::<Vec<_>>(), [0]);
        store.forget("c");
        assert!(store.flush(Duration::from_secs(20)).await);
        assert_eq!((store.get(&connector()), store.tasks("c")), (None, vec![]));
        assert_eq!(backend.records("s").last().unwrap(), &("status-task-c-0".to_owned(), None));
    }
}
