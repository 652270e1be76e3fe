//! Connectors, their tasks and target states, as the config topic tells them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{PoisonError, RwLock},
};

use wire::Record;

use super::{
    Error,
    topic_log::{TopicLog, plain},
};
use crate::{
    config::Properties,
    records::{BadRecord, ConfigRecord, TargetState, TaskId},
};

/// A connector as the config topic has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct StoredConnector {
    /// Its configuration as given.
    pub(super) config: Properties,
    /// Rises with each configuration record, equal ones too: a PUT without a change restarts the connector.
    pub(super) revision: u64,
    /// What it has been told to be.
    pub(super) target: TargetState,
    /// Configurations of its tasks, by number, as last committed.
    pub(super) tasks: Vec<Properties>,
}

/// The config topic, replayed. Follows `KafkaConfigBackingStore`'s consumer side.
#[derive(Debug, Default)]
struct ConfigState {
    connectors: BTreeMap<String, (Properties, u64)>,
    targets: BTreeMap<String, TargetState>,
    tasks: BTreeMap<String, Vec<Properties>>,
    /// Task configurations without a commit so far.
    staged: BTreeMap<String, BTreeMap<u32, Properties>>,
    /// Connectors whose last commit lacked some of its tasks: they are to be made anew.
    inconsistent: BTreeSet<String>,
    revisions: u64,
}

impl ConfigState {
    fn apply(&mut self, record: &Record) -> Result<(), BadRecord> {
        match ConfigRecord::decode(record.key.as_deref(), record.value.as_deref())? {
            ConfigRecord::Connector { connector, config: Some(config) } => {
                self.revisions += 1;
                self.connectors.insert(connector, (config, self.revisions));
            }
            ConfigRecord::Connector { connector, config: None } => {
                self.connectors.remove(&connector);
                self.tasks.remove(&connector);
                self.staged.remove(&connector);
                self.inconsistent.remove(&connector);
            }
            ConfigRecord::Task { id, config: Some(config) } => {
                self.staged.entry(id.connector).or_default().insert(id.task, config);
            }
            ConfigRecord::Task { id, config: None } => {
                if let Some(staged) = self.staged.get_mut(&id.connector) {
                    staged.remove(&id.task);
                }
            }
            ConfigRecord::Commit { connector, tasks } => self.commit(connector, tasks.unwrap_or(0)),
            ConfigRecord::TargetState { connector, state: Some(state) } => {
                self.targets.insert(connector, state);
            }
            ConfigRecord::TargetState { connector, state: None } => {
                self.targets.remove(&connector);
            }
            ConfigRecord::Ignored => {}
        }
        Ok(())
    }

    /// Compaction may leave tasks of a former, larger set staged, so more than `count` is fine; fewer is not.
    fn commit(&mut self, connector: String, count: u32) {
        let staged = self.staged.entry(connector.clone()).or_default();
        if !(0..count).all(|n| staged.contains_key(&n)) {
            tracing::warn!(connector, "the config topic holds a commit of {count} tasks but not all of them");
            self.inconsistent.insert(connector);
            return;
        }
        let mut staged = std::mem::take(staged);
        let tasks = (0..count).filter_map(|n| staged.remove(&n)).collect();
        self.inconsistent.remove(&connector);
        self.tasks.insert(connector, tasks);
    }

    fn get(&self, connector: &str) -> Option<StoredConnector> {
        let (config, revision) = self.connectors.get(connector)?;
        Some(StoredConnector {
            config: config.clone(),
            revision: *revision,
            target: self.targets.get(connector).copied().unwrap_or_default(),
            tasks: self.tasks.get(connector).cloned().unwrap_or_default(),
        })
    }
}

/// The config topic and what it says. Reads never wait for I/O; writes change memory once acknowledged.
pub(super) struct ConfigStore {
    log: TopicLog,
    state: RwLock<ConfigState>,
}

/// Task configurations are appended in batches of about this many bytes, since a batch must fit the topic's
/// max.message.bytes (1 MiB by default).
const TASKS_PER_APPEND_BYTES: usize = 256 * 1024;

impl ConfigStore {
    pub(super) async fn open(log: TopicLog) -> Result<Self, Error> {
        let store = Self { log, state: RwLock::default() };
        store.catch_up().await?;
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

    pub(super) fn names(&self) -> Vec<String> {
        self.read(|state| state.connectors.keys().cloned().collect())
    }

    pub(super) fn contains(&self, connector: &str) -> bool {
        self.read(|state| state.connectors.contains_key(connector))
    }

    pub(super) fn get(&self, connector: &str) -> Option<StoredConnector> {
        self.read(|state| state.get(connector))
    }

    /// Name and revision of every connector.
    pub(super) fn revisions(&self) -> BTreeMap<String, (u64, TargetState)> {
        self.read(|state| {
            let target = |name: &String| state.targets.get(name).copied().unwrap_or_default();
            state.connectors.iter().map(|(name, (_, revision))| (name.clone(), (*revision, target(name)))).collect()
        })
    }

    /// Writes a connector; a target state comes first, so that nobody starts what shall be born stopped (KIP-980).
    pub(super) async fn put_connector(
        &self,
        connector: &str,
        config: Properties,
        target: Option<TargetState>,
    ) -> Result<(), Error> {
        let state = target.map(|state| ConfigRecord::TargetState { connector: connector.into(), state: Some(state) });
        let record = ConfigRecord::Connector { connector: connector.into(), config: Some(config) };
        self.append(state.iter().chain([&record])).await
    }

    /// Tells a connector what to be.
    pub(super) async fn put_target(&self, connector: &str, target: TargetState) -> Result<(), Error> {
        let record = ConfigRecord::TargetState { connector: connector.into(), state: Some(target) };
        self.append([&record]).await
    }

    /// Removes a connector and its target state. Its task configurations stay behind, harmless, as with Connect.
    pub(super) async fn remove_connector(&self, connector: &str) -> Result<(), Error> {
        let record = ConfigRecord::Connector { connector: connector.into(), config: None };
        let state = ConfigRecord::TargetState { connector: connector.into(), state: None };
        self.append([&record, &state]).await
    }

    /// Writes the tasks of a connector and commits them.
    pub(super) async fn put_tasks(&self, connector: &str, tasks: &[Properties]) -> Result<(), Error> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (n, config) in (0..).zip(tasks) {
            let size: usize = config.iter().map(|(k, v)| k.len() + v.len() + 6).sum();
            if bytes > 0 && bytes + size > TASKS_PER_APPEND_BYTES {
                self.append(&batch).await?;
                batch.clear();
                bytes = 0;
            }
            bytes += size;
            batch.push(ConfigRecord::Task { id: TaskId::new(connector, n), config: Some(config.clone()) });
        }
        let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        batch.push(ConfigRecord::Commit { connector: connector.into(), tasks: Some(count) });
        self.append(&batch).await
    }

    async fn append<'a>(&self, records: impl IntoIterator<Item = &'a ConfigRecord>) -> Result<(), Error> {
        let records = records.into_iter().filter_map(ConfigRecord::encode).map(plain).collect();
        self.log.append(0, records, |record| self.apply(record)).await
    }

    fn apply(&self, record: &Record) -> Result<(), BadRecord> {
        self.state.write().unwrap_or_else(PoisonError::into_inner).apply(record)
    }

    fn read<T>(&self, look: impl FnOnce(&ConfigState) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::Ordering};

    use wire::TopicPartition;

    use super::{super::topic_log::memory::MemoryBackend, *};

    fn map(entries: &[(&str, &str)]) -> Properties {
        entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    async fn store(backend: &Arc<MemoryBackend>) -> ConfigStore {
        ConfigStore::open(TopicLog::open("config", "c", 1, backend.clone()).await.unwrap()).await.unwrap()
    }

    fn replay(records: &[(&str, Option<&str>)]) -> ConfigState {
        let mut state = ConfigState::default();
        for (offset, (key, value)) in (0..).zip(records) {
            let bytes = |s: &str| bytes::Bytes::from(s.to_owned());
            let (key, value) = (Some(bytes(key)), value.map(bytes));
            let record = Record { offset, timestamp: 0, key, value, headers: Vec::new() };
            state.apply(&record).unwrap();
        }
        state
    }

    #[test]
    fn tasks_count_only_once_committed() {
        let task = |n| Some(if n == 0 { r#"{"properties":{"n":"0"}}"# } else { r#"{"properties":{"n":"1"}}"# });
        let connector = ("connector-a", Some(r#"{"properties":{"name":"a"}}"#));
        let state = replay(&[connector, ("task-a-0", task(0)), ("task-a-1", task(1))]);
        assert_eq!(state.get("a").unwrap().tasks, Vec::<Properties>::new());
        let state =
            replay(&[connector, ("task-a-0", task(0)), ("task-a-1", task(1)), ("commit-a", Some(r#"{"tasks":2}"#))]);
        assert_eq!(state.get("a").unwrap().tasks, [map(&[("n", "0")]), map(&[("n", "1")])]);
        let state = replay(&[connector, ("task-a-1", task(1)), ("commit-a", Some(r#"{"tasks":2}"#))]);
        assert!(state.inconsistent.contains("a"));
        assert_eq!(state.get("a").unwrap().tasks, Vec::<Properties>::new());
        let compacted = [connector, ("task-a-1", task(1)), ("task-a-0", task(0)), ("commit-a", Some(r#"{"tasks":1}"#))];
        assert_eq!(replay(&compacted).get("a").unwrap().tasks, [map(&[("n", "0")])]);
        let state = replay(&[
            connector,
            ("task-a-0", task(0)),
            ("commit-a", Some(r#"{"tasks":1}"#)),
            ("commit-a", Some(r#"{"tasks":0}"#)),
        ]);
        assert_eq!(state.get("a").unwrap().tasks, Vec::<Properties>::new());
    }

    #[test]
    fn target_state_may_come_before_its_connector_and_outlives_none() {
        let connector = ("connector-a", Some(r#"{"properties":{"name":"a"}}"#));
        let stopped = ("target-state-a", Some(r#"{"state":"PAUSED","state.v2":"STOPPED"}"#));
        assert_eq!(replay(&[stopped, connector]).get("a").unwrap().target, TargetState::Stopped);
        assert_eq!(replay(&[connector]).get("a").unwrap().target, TargetState::Started);
        let anew = [stopped, connector, ("connector-a", None), ("target-state-a", None), connector];
        assert_eq!(replay(&anew).get("a").unwrap().target, TargetState::Started);
    }

    #[test]
    fn an_equal_configuration_is_a_new_revision() {
        let connector = ("connector-a", Some(r#"{"properties":{"name":"a"}}"#));
        assert_ne!(
            replay(&[connector]).get("a").unwrap().revision,
            replay(&[connector, connector]).get("a").unwrap().revision
        );
    }

    #[tokio::test]
    async fn memory_changes_only_when_the_append_was_acknowledged() {
        let backend = Arc::new(MemoryBackend::default());
        let store = store(&backend).await;
        store.put_connector("a", map(&[("name", "a")]), None).await.unwrap();
        backend.down.store(true, Ordering::Release);
        let error = store.remove_connector("a").await.unwrap_err();
        assert!(error.to_string().starts_with("config topic c: cluster worker: no broker reachable"), "{error}");
        assert!(store.contains("a"));
        assert!(store.is_stale());
        backend.down.store(false, Ordering::Release);
        store.catch_up().await.unwrap();
        assert!(!store.is_stale());
        store.remove_connector("a").await.unwrap();
        assert!(!store.contains("a"));
    }

    #[tokio::test]
    async fn what_others_wrote_in_between_is_applied_too() {
        let backend = Arc::new(MemoryBackend::default());
        let store = store(&backend).await;
        let partition = TopicPartition::new("c", 0);
        backend.put(&partition, "connector-b", Some(r#"{"properties":{"name":"b"}}"#));
        store.put_connector("a", map(&[("name", "a")]), Some(TargetState::Paused)).await.unwrap();
        assert_eq!(store.names(), ["a", "b"]);
        assert_eq!(store.get("a").unwrap().target, TargetState::Paused);
        let keys: Vec<_> = backend.records("c").into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["connector-b", "target-state-a", "connector-a"]);
    }

    #[tokio::test]
    async fn garbage_is_passed_over() {
        let backend = Arc::new(MemoryBackend::default());
        let partition = TopicPartition::new("c", 0);
        backend.put(&partition, "connector-x", Some("{\"prop"));
        backend.put(&partition, "hello", None);
        backend.put(&partition, "connector-a", Some(r#"{"properties":{"name":"a"}}"#));
        assert_eq!(store(&backend).await.names(), ["a"]);
    }

    #[tokio::test]
    async fn many_tasks_go_in_several_batches_and_are_read_back() {
        let backend = Arc::new(MemoryBackend::default());
        let first = store(&backend).await;
        let long = "x".repeat(100_000);
        let tasks: Vec<_> = (0..9).map(|n| map(&[("task.index", &n.to_string()), ("p", &long)])).collect();
        first.put_connector("a", map(&[("name", "a")]), None).await.unwrap();
        first.put_tasks("a", &tasks).await.unwrap();
        assert_eq!(first.get("a").unwrap().tasks, tasks);
        assert_eq!(store(&backend).await.get("a").unwrap().tasks, tasks);
    }
}
