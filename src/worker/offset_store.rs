//! Positions of source partitions, as the offset topic tells them.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::Value;
use wire::{NewRecord, Record, TopicPartition};

use super::{
    Error,
    topic_log::{TopicLog, plain},
};
use crate::{
    flow::StoredPosition,
    records::{
        ANCHOR_HEADER, BadRecord, OffsetKey, OffsetPartition, OffsetRecord, OffsetValue, SourcePartition,
        decode_anchor, encode_anchor,
    },
};

/// What one record tells.
#[derive(Debug)]
struct Told {
    value: OffsetValue,
    /// Generation that its header names.
    anchored: Option<u64>,
    /// Of the record, ms.
    timestamp: i64,
}

/// One position under each spelling of its key that the topic holds; never empty.
///
/// Spellings other than Java's hash and compact apart, so they are deleted when that is written. Until then the youngest
/// record is right.
#[derive(Debug, Default)]
struct Stored {
    spellings: BTreeMap<Bytes, Told>,
}

impl Stored {
    fn told(&self) -> Option<&Told> {
        self.spellings.values().max_by_key(|told| told.timestamp)
    }

    /// What MirrorMaker makes of it: a negative offset means none.
    fn position(&self) -> Option<StoredPosition> {
        let told = self.told()?;
        let OffsetValue::Position(offset) = told.value else { return None };
        Some(StoredPosition { offset: offset.max(-1), anchored: told.anchored })
    }
}

#[derive(Debug, Default)]
struct OffsetState {
    connectors: BTreeMap<String, BTreeMap<OffsetPartition, Stored>>,
}

impl OffsetState {
    fn apply(&mut self, record: &Record) -> Result<(), BadRecord> {
        let decoded = OffsetRecord::decode(record.key.as_deref(), record.value.as_deref())?;
        let sound = decoded.check();
        let OffsetRecord { key: OffsetKey { connector, partition }, value } = decoded;
        let spelling = record.key.clone().unwrap_or_default();
        let positions = self.connectors.entry(connector).or_default();
        match value {
            Some(value) => {
                let told = Told { value, anchored: anchor_of(record), timestamp: record.timestamp };
                positions.entry(partition).or_default().spellings.insert(spelling, told);
            }
            None => {
                if let Some(stored) = positions.get_mut(&partition) {
                    stored.spellings.remove(&spelling);
                    if stored.spellings.is_empty() {
                        positions.remove(&partition);
                    }
                }
            }
        }
        sound
    }

    fn of(&self, connector: &str) -> impl Iterator<Item = (&OffsetPartition, &Stored)> {
        self.connectors.get(connector).into_iter().flatten()
    }

    fn positions(&self, connector: &str, cluster: &str) -> BTreeMap<TopicPartition, StoredPosition> {
        let position = |(partition, stored): (&OffsetPartition, &Stored)| match partition {
            OffsetPartition::Source(source) if source.cluster == cluster => {
                Some((TopicPartition::new(source.topic.as_str(), source.partition), stored.position()?))
            }
            _ => None,
        };
        self.of(connector).filter_map(position).collect()
    }

    /// Records to write so that this stands, none where it stands already.
    fn changes(
        &self,
        connector: &str,
        partition: &OffsetPartition,
        wanted: Option<StoredPosition>,
    ) -> impl Iterator<Item = NewRecord> {
        let stored = self.connectors.get(connector).and_then(|positions| positions.get(partition));
        let key = OffsetKey { connector: connector.to_owned(), partition: partition.clone() }.encode();
        let stale = stored.into_iter().flat_map(|stored| stored.spellings.keys());
        let stale: Vec<_> = stale.filter(|spelling| wanted.is_none() || **spelling != key).cloned().collect();
        let stands = stale.is_empty() && stored.and_then(Stored::position) == wanted;
        let value = wanted.filter(|_| !stands).map(|StoredPosition { offset, anchored }| NewRecord {
            key: Some(key),
            value: Some(OffsetKey::encode_value(offset)),
            headers: anchored.map(|g| (ANCHOR_HEADER.to_owned(), Some(encode_anchor(g)))).into_iter().collect(),
        });
        value.into_iter().chain(stale.into_iter().map(|spelling| plain((spelling, None))))
    }
}

fn anchor_of(record: &Record) -> Option<u64> {
    let (_, value) = record.headers.iter().rfind(|(name, _)| name == ANCHOR_HEADER)?;
    decode_anchor(value.as_deref()?)
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

    /// Stored positions of a connector's source partitions. One that is absent was never stored, or deleted.
    pub(super) fn positions(&self, connector: &str, cluster: &str) -> BTreeMap<TopicPartition, StoredPosition> {
        self.read(|state| state.positions(connector, cluster))
    }

    /// Stores those positions that differ from what is stored, and says how many they were. The caller has them from
    /// the target's acknowledgements (invariant B).
    pub(super) async fn store(
        &self,
        connector: &str,
        cluster: &str,
        positions: &BTreeMap<TopicPartition, StoredPosition>,
    ) -> Result<usize, Error> {
        let wanted = positions.iter().map(|(partition, position)| {
            let TopicPartition { topic, partition } = partition.clone();
            let partition = SourcePartition { cluster: cluster.to_owned(), topic, partition };
            (OffsetPartition::Source(partition), Some(*position))
        });
        self.write(connector, wanted).await
    }

    /// All that is stored for a connector, as partition and offset. The mark that a source partition's copy has begun
    /// (−1) is no position, and left out.
    pub(super) fn offsets(&self, connector: &str) -> Vec<(Value, Value)> {
        let shown = |(partition, stored): (&OffsetPartition, &Stored)| {
            let told = stored.told()?;
            let begun = matches!(partition, OffsetPartition::Source(_))
                && matches!(told.value, OffsetValue::Position(offset) if offset < 0);
            (!begun).then(|| (partition.to_json(), told.value.to_json()))
        };
        self.read(|state| state.of(connector).filter_map(shown).collect())
    }

    /// Sets positions from outside; one that is absent deletes what is stored under any spelling.
    ///
    /// Each partition of the topic takes its share as a whole. Where one fails, others may have taken theirs: doing it
    /// again is safe.
    pub(super) async fn alter(
        &self,
        connector: &str,
        offsets: impl IntoIterator<Item = (OffsetPartition, Option<i64>)>,
    ) -> Result<(), Error> {
        let set = |offset| StoredPosition { offset, anchored: None };
        let wanted = offsets.into_iter().map(|(partition, offset)| (partition, offset.map(set)));
        self.write(connector, wanted).await.map(|_| ())
    }

    /// Deletes all that is stored for a connector.
    pub(super) async fn reset(&self, connector: &str) -> Result<(), Error> {
        let all: Vec<_> = self.read(|state| state.of(connector).map(|(partition, _)| partition.clone()).collect());
        self.write(connector, all.into_iter().map(|partition| (partition, None))).await.map(|_| ())
    }

    /// Writes what does not stand yet; says how many positions that were.
    async fn write(
        &self,
        connector: &str,
        wanted: impl IntoIterator<Item = (OffsetPartition, Option<StoredPosition>)>,
    ) -> Result<usize, Error> {
        let changes = |state: &OffsetState| -> (Vec<NewRecord>, Vec<NewRecord>) {
            let wanted = wanted.into_iter();
            let records = wanted
                .flat_map(|(partition, position)| state.changes(connector, &partition, position).collect::<Vec<_>>());
            records.partition(|record| record.value.is_some())
        };
        let (values, tombstones) = self.read(changes);
        let count = values.len();
        // Old spellings go last: should the process end in between, two positions are better than none.
        for records in [values, tombstones] {
            let mut by_partition: BTreeMap<i32, Vec<NewRecord>> = BTreeMap::new();
            for record in records {
                let partition = self.log.partition_of(record.key.as_deref().unwrap_or_default());
                by_partition.entry(partition).or_default().push(record);
            }
            // Side by side: the cluster may be far away, and Connect makes 25 partitions.
            let appended = by_partition.into_iter().map(async |(partition, records)| {
                for chunk in records.chunks(RECORDS_PER_APPEND) {
                    self.log.append(partition, chunk.to_vec(), |record| self.apply(record)).await?;
                }
                Ok(())
            });
            join_all(appended).await.into_iter().collect::<Result<(), Error>>()?;
        }
        Ok(count)
    }

    fn read<T>(&self, look: impl FnOnce(&OffsetState) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn apply(&self, record: &Record) -> Result<(), BadRecord> {
        self.state.write().unwrap_or_else(PoisonError::into_inner).apply(record)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::Ordering},
        time::Duration,
    };

    use futures_util::future::BoxFuture;

    use super::{
        super::topic_log::{Backend, memory::MemoryBackend},
        *,
    };

    async fn store(backend: &Arc<MemoryBackend>, partitions: i32) -> OffsetStore {
        OffsetStore::open(TopicLog::open("offset", "o", partitions, backend.clone()).await.unwrap()).await.unwrap()
    }

    /// As kmirror itself stores them.
    fn positions(entries: &[(&str, i32, i64)]) -> BTreeMap<TopicPartition, StoredPosition> {
        let position = |offset| StoredPosition { offset, anchored: Some(0) };
        entries.iter().map(|(topic, p, offset)| (TopicPartition::new(*topic, *p), position(*offset))).collect()
    }

    /// As others store them.
    fn outside(entries: &[(&str, i32, i64)]) -> BTreeMap<TopicPartition, StoredPosition> {
        positions(entries).into_iter().map(|(p, position)| (p, StoredPosition { anchored: None, ..position })).collect()
    }

    fn source(topic: &str, partition: i32) -> OffsetPartition {
        OffsetPartition::Source(SourcePartition { cluster: "A".into(), topic: topic.into(), partition })
    }

    fn key(topic: &str, partition: i32) -> String {
        format!(r#"["c",{{"cluster":"A","partition":{partition},"topic":"{topic}"}}]"#)
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

    /// Takes records only when two partitions are written at the same time.
    struct Together(Arc<MemoryBackend>, tokio::sync::Barrier);

    impl Backend for Together {
        fn earliest<'a>(&'a self, partitions: &'a [TopicPartition]) -> BoxFuture<'a, wire::Result<Vec<i64>>> {
            self.0.earliest(partitions)
        }

        fn read<'a>(&'a self, from: &'a TopicPartition, at: i64) -> BoxFuture<'a, wire::Result<(Vec<Record>, i64)>> {
            self.0.read(from, at)
        }

        fn append<'a>(&'a self, to: &'a TopicPartition, records: &'a [NewRecord]) -> BoxFuture<'a, wire::Result<i64>> {
            Box::pin(async {
                self.1.wait().await;
                self.0.append(to, records).await
            })
        }
    }

    #[tokio::test]
    async fn partitions_are_written_side_by_side() {
        let memory = Arc::new(MemoryBackend::default());
        let backend = Arc::new(Together(memory.clone(), tokio::sync::Barrier::new(2)));
        let store = OffsetStore::open(TopicLog::open("offset", "o", 2, backend).await.unwrap()).await.unwrap();
        let wanted: Vec<_> = (0..20).map(|partition| ("t", partition, 5)).collect();
        let stored = tokio::time::timeout(Duration::from_secs(60), store.store("c", "A", &positions(&wanted))).await;
        assert_eq!(stored.expect("one waits for the other").unwrap(), 20);
        assert_eq!((store.positions("c", "A"), store.log.is_stale()), (positions(&wanted), false));
        assert_eq!(memory.records("o").len(), 20);
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
        assert_eq!(first.positions("c", "A"), outside(&[("t", 0, 41)]));
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
    async fn a_copy_that_has_begun_is_not_one_that_was_deleted() {
        let backend = Arc::new(MemoryBackend::default());
        let partition = TopicPartition::new("o", 0);
        backend.put(&partition, &key("t", 0), Some(r#"{"offset":-1}"#));
        backend.put(&partition, &key("t", 1), Some(r#"{"offset":-7}"#));
        backend.put(&partition, &key("t", 2), Some(r#"{"offset":7}"#));
        backend.put(&partition, &key("t", 2), None);
        let first = store(&backend, 1).await;
        assert_eq!(first.positions("c", "A"), outside(&[("t", 0, -1), ("t", 1, -1)]));
        assert_eq!(first.store("c", "A", &positions(&[("t", 0, -1)])).await.unwrap(), 1);
        assert_eq!(first.positions("c", "A")[&TopicPartition::new("t", 0)].anchored, Some(0));
        assert_eq!(first.store("c", "A", &positions(&[("t", 0, -1)])).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_position_tells_who_set_it() {
        let backend = Arc::new(MemoryBackend::default());
        let first = store(&backend, 1).await;
        let own = |offset, generation| StoredPosition { offset, anchored: Some(generation) };
        let at = |position| BTreeMap::from([(TopicPartition::new("t", 0), position)]);
        first.store("c", "A", &at(own(5, 0))).await.unwrap();
        first.store("c", "A", &at(own(5, 3))).await.unwrap();
        assert_eq!(first.positions("c", "A"), at(own(5, 3)));
        // The same offset, but now somebody means it.
        first.alter("c", [(source("t", 0), Some(5))]).await.unwrap();
        assert_eq!(first.positions("c", "A"), outside(&[("t", 0, 5)]));
        assert_eq!(backend.anchors("o"), [Some("0".to_owned()), Some("3".to_owned()), None]);
        assert_eq!(store(&backend, 1).await.positions("c", "A"), outside(&[("t", 0, 5)]));
        // A Java worker writes no header either.
        first.store("c", "A", &at(own(6, 3))).await.unwrap();
        backend.put(&TopicPartition::new("o", 0), &key("t", 0), Some(r#"{"offset":9}"#));
        first.catch_up().await.unwrap();
        assert_eq!(first.positions("c", "A"), outside(&[("t", 0, 9)]));
    }

    #[tokio::test]
    async fn altered_and_deleted_under_every_spelling() {
        let backend = Arc::new(MemoryBackend::default());
        let partition = TopicPartition::new("o", 0);
        let foreign = r#"["c",{"topic":"t","partition":0,"cluster":"A"}]"#;
        let spaced = r#"["c",{"topic":"u", "partition":0,"cluster":"A"}]"#;
        backend.put(&partition, foreign, Some(r#"{"offset":41}"#));
        backend.put(&partition, spaced, Some(r#"{"offset":1}"#));
        backend.put(&partition, &key("u", 0), Some(r#"{"offset":2}"#));
        let store = store(&backend, 1).await;
        store.alter("c", [(source("t", 0), Some(7)), (source("u", 0), None), (source("v", 0), None)]).await.unwrap();
        assert_eq!(store.positions("c", "A"), outside(&[("t", 0, 7)]));
        let written = backend.records("o").split_off(3);
        let text = |text: &str| text.to_owned();
        let tombstones = [(text(foreign), None), (key("u", 0), None), (text(spaced), None)];
        assert_eq!(written[0], (key("t", 0), Some(text(r#"{"offset":7}"#))));
        assert_eq!(written[1..], tombstones);
        store.alter("c", [(source("t", 0), Some(7)), (source("u", 0), None)]).await.unwrap();
        assert_eq!(backend.records("o").len(), 7, "what stands is not written again");
    }

    #[tokio::test]
    async fn all_of_a_connector_is_shown_and_deleted() {
        let backend = Arc::new(MemoryBackend::default());
        let partition = TopicPartition::new("o", 0);
        let other = r#"["c",{"cluster":"A","partition":"0","topic":"t"}]"#;
        backend.put(&partition, other, Some(r#"{"offset":"x"}"#));
        backend.put(&partition, &key("broken", 0), Some(r#"{"offset":"x"}"#));
        backend.put(&partition, &key("t", 0), Some(r#"{"offset":3}"#));
        backend.put(&partition, &key("begun", 0), Some(r#"{"offset":-1}"#));
        backend.put(&partition, r#"["c",{"cluster":"B","partition":0,"topic":"t"}]"#, Some(r#"{"offset":4}"#));
        backend.put(&partition, r#"["d",{"cluster":"A","partition":0,"topic":"t"}]"#, Some(r#"{"offset":5}"#));
        let first = store(&backend, 1).await;
        let shown = |store: &OffsetStore| -> Vec<String> {
            store.offsets("c").iter().map(|(partition, offset)| format!("{partition} {offset}")).collect()
        };
        let expected = [
            r#"{"cluster":"A","partition":0,"topic":"broken"} {"offset":"x"}"#,
            r#"{"cluster":"A","partition":0,"topic":"t"} {"offset":3}"#,
            r#"{"cluster":"B","partition":0,"topic":"t"} {"offset":4}"#,
            r#"{"cluster":"A","partition":"0","topic":"t"} {"offset":"x"}"#,
        ];
        assert_eq!(shown(&first), expected);
        // What is no position is none to go on from.
        let known = BTreeMap::from([
            (TopicPartition::new("begun", 0), StoredPosition { offset: -1, anchored: None }),
            (TopicPartition::new("t", 0), StoredPosition { offset: 3, anchored: None }),
        ]);
        assert_eq!(first.positions("c", "A"), known);
        first.reset("c").await.unwrap();
        assert_eq!(shown(&first), [""; 0]);
        assert_eq!(first.positions("c", "A"), BTreeMap::new());
        let again = store(&backend, 1).await;
        assert_eq!((shown(&again), again.offsets("d").len()), (Vec::new(), 1));
        let tombstones = backend.records("o").into_iter().filter(|(_, value)| value.is_none());
        assert_eq!(tombstones.count(), 5);
        again.reset("c").await.unwrap();
        assert_eq!(backend.records("o").len(), 11);
    }
}
