//! Positions of source partitions, as the offset topic tells them.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use bytes::Bytes;
use wire::{Record, TopicPartition};

use super::{
    Error,
    topic_log::{Pair, TopicLog},
};
use crate::records::{BadRecord, OffsetKey, OffsetRecord, SourcePartition};

/// One position under each spelling of its key that the topic holds: offset and record timestamp (ms).
///
/// Spellings other than ours hash and compact apart, so they are deleted when ours is written. Until then the youngest
/// record is right.
#[derive(Debug, Default)]
struct Position {
    spellings: BTreeMap<Bytes, (i64, i64)>,
}

impl Position {
    /// Source offset of the last replicated record; −1 is MirrorMaker's way to say none.
    fn offset(&self) -> Option<i64> {
        self.spellings.values().max_by_key(|(_, timestamp)| *timestamp).map(|(offset, _)| *offset)
    }
}

#[derive(Debug, Default)]
struct OffsetState {
    positions: BTreeMap<OffsetKey, Position>,
}

impl OffsetState {
    fn apply(&mut self, record: &Record) -> Result<(), BadRecord> {
        let decoded = OffsetRecord::decode(record.key.as_deref(), record.value.as_deref())?;
        let OffsetRecord::Source { key, offset } = decoded else { return Ok(()) };
        let spellings = &mut self.positions.entry(key).or_default().spellings;
        let spelling = record.key.clone().unwrap_or_default();
        match offset {
            Some(offset) => spellings.insert(spelling, (offset, record.timestamp)),
            None => spellings.remove(&spelling),
        };
        Ok(())
    }

    fn positions(&self, connector: &str, cluster: &str) -> BTreeMap<TopicPartition, i64> {
        let mine = |key: &OffsetKey| key.connector == connector && key.partition.cluster == cluster;
        let position = |(key, position): (&OffsetKey, &Position)| {
            // MirrorMaker reads a negative position as none.
            let offset = position.offset().filter(|&offset| offset >= 0)?;
            Some((TopicPartition::new(key.partition.topic.as_str(), key.partition.partition), offset))
        };
        self.positions.iter().filter(|(key, _)| mine(key)).filter_map(position).collect()
    }

    /// Records to write so that these positions stand; those which stand already are left out.
    fn changes(&self, connector: &str, cluster: &str, positions: &BTreeMap<TopicPartition, i64>) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for (partition, &offset) in positions {
            let key = OffsetKey {
                connector: connector.to_owned(),
                partition: SourcePartition {
                    cluster: cluster.to_owned(),
                    topic: partition.topic.clone(),
                    partition: partition.partition,
                },
            };
            let spelling = key.encode();
            let known = self.positions.get(&key);
            let foreign = || known.into_iter().flat_map(|p| p.spellings.keys()).filter(|s| **s != spelling);
            if known.is_some_and(|p| p.offset() == Some(offset)) && foreign().next().is_none() {
                continue;
            }
            pairs.extend(foreign().map(|other| (other.clone(), None)));
            pairs.push((spelling, Some(OffsetKey::encode_value(offset))));
        }
        pairs
    }
}

/// The offset topic and what it says.
pub(super) struct OffsetStore {
    log: TopicLog,
    state: RwLock<OffsetState>,
}

/// Records of one append at most: a batch must fit the topic's max.message.bytes.
const RECORDS_PER_APPEND: usize = 2000;

impl OffsetStore {
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

    /// Stored positions of a connector's source partitions: the last replicated source offset of each, none below 0.
    pub(super) fn positions(&self, connector: &str, cluster: &str) -> BTreeMap<TopicPartition, i64> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).positions(connector, cluster)
    }

    /// Stores those positions that differ from what is stored, and says how many they were. The caller has them from
    /// the target's acknowledgements (invariant B).
    pub(super) async fn store(
        &self,
        connector: &str,
        cluster: &str,
        positions: &BTreeMap<TopicPartition, i64>,
    ) -> Result<usize, Error> {
        let changes = self.state.read().unwrap_or_else(PoisonError::into_inner).changes(connector, cluster, positions);
        let count = changes.iter().filter(|(_, value)| value.is_some()).count();
        let mut by_partition: BTreeMap<i32, Vec<Pair>> = BTreeMap::new();
        let (values, tombstones): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, value)| value.is_some());
        // Old spellings go last: should the process end in between, two positions are better than none.
        for pairs in [values, tombstones] {
            by_partition.clear();
            for pair in pairs {
                by_partition.entry(self.log.partition_of(&pair.0)).or_default().push(pair);
            }
            for (partition, pairs) in &by_partition {
                for chunk in pairs.chunks(RECORDS_PER_APPEND) {
                    self.log.append(*partition, chunk.to_vec(), |record| self.apply(record)).await?;
                }
            }
        }
        Ok(count)
    }

    fn apply(&self, record: &Record) -> Result<(), BadRecord> {
        self.state.write().unwrap_or_else(PoisonError::into_inner).apply(record)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::Ordering};

    use super::{super::topic_log::memory::MemoryBackend, *};

    async fn store(backend: &Arc<MemoryBackend>, partitions: i32) -> OffsetStore {
        OffsetStore::open(TopicLog::open("offset", "o", partitions, backend.clone()).await.unwrap()).await.unwrap()
    }

    fn positions(entries: &[(&str, i32, i64)]) -> BTreeMap<TopicPartition, i64> {
        entries.iter().map(|(topic, p, offset)| (TopicPartition::new(*topic, *p), *offset)).collect()
    }

    #[tokio::test]
    async fn only_changes_are_written() {
        let backend = Arc::new(MemoryBackend::default());
        let first = store(&backend, 1).await;
        assert_eq!(first.store("c", "A", &positions(&[("t", 0, 5), ("t", 1, 9)])).await.unwrap(), 2);
        assert_eq!(first.store("c", "A", &positions(&[("t", 0, 5), ("t", 1, 10)])).await.unwrap(), 1);
        assert_eq!(first.store("c", "A", &positions(&[("t", 0, 5), ("t", 1, 10)])).await.unwrap(), 0);
        assert_eq!(backend.records("o").len(), 3);
        let again = store(&backend, 1).await;
        assert_eq!(again.positions("c", "A"), positions(&[("t", 0, 5), ("t", 1, 10)]));
        assert_eq!(again.positions("c", "B"), BTreeMap::new());
        assert_eq!(again.positions("d", "A"), BTreeMap::new());
    }

    #[tokio::test]
    async fn nothing_is_believed_that_was_not_acknowledged() {
        let backend = Arc::new(MemoryBackend::default());
        let store = store(&backend, 1).await;
        backend.down.store(true, Ordering::Release);
        assert!(store.store("c", "A", &positions(&[("t", 0, 5)])).await.is_err());
        assert_eq!(store.positions("c", "A"), BTreeMap::new());
        backend.down.store(false, Ordering::Release);
        store.store("c", "A", &positions(&[("t", 0, 5)])).await.unwrap();
        assert_eq!(store.positions("c", "A"), positions(&[("t", 0, 5)]));
    }

    #[tokio::test]
    async fn another_spelling_is_read_and_then_replaced() {
        let backend = Arc::new(MemoryBackend::default());
        let partition = TopicPartition::new("o", 0);
        let foreign = r#"["c", {"topic":"t","partition":0,"cluster":"A"}]"#;
        backend.put(&partition, foreign, Some(r#"{"offset":41}"#));
        let first = store(&backend, 1).await;
        assert_eq!(first.positions("c", "A"), positions(&[("t", 0, 41)]));
        // The same position is written all the same, so that Connect finds it under its own bytes.
        assert_eq!(first.store("c", "A", &positions(&[("t", 0, 41)])).await.unwrap(), 1);
        let ours = r#"["c",{"cluster":"A","partition":0,"topic":"t"}]"#;
        assert_eq!(
            backend.records("o")[1..],
            [(ours.to_owned(), Some(r#"{"offset":41}"#.to_owned())), (foreign.to_owned(), None)]
        );
        assert_eq!(first.store("c", "A", &positions(&[("t", 0, 41)])).await.unwrap(), 0);
        assert_eq!(store(&backend, 1).await.positions("c", "A"), positions(&[("t", 0, 41)]));
    }

    #[tokio::test]
    async fn no_position_below_zero() {
        let backend = Arc::new(MemoryBackend::default());
        let partition = TopicPartition::new("o", 0);
        backend.put(&partition, r#"["c",{"cluster":"A","partition":0,"topic":"t"}]"#, Some(r#"{"offset":-1}"#));
        backend.put(&partition, r#"["c",{"cluster":"A","partition":1,"topic":"t"}]"#, Some(r#"{"offset":7}"#));
        backend.put(&partition, r#"["c",{"cluster":"A","partition":1,"topic":"t"}]"#, None);
        assert_eq!(store(&backend, 1).await.positions("c", "A"), BTreeMap::new());
    }
}
