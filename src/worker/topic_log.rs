//! One of Connect's compacted topics as a log: read to the end, appended to, and applied in order.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::Mutex;
use wire::{Cluster, NewRecord, OffsetSpec, Record, TopicPartition, now_ms};

use super::Error;
use crate::records::BadRecord;

/// A record without headers; a value of `None` is a tombstone.
pub(super) fn plain((key, value): (Bytes, Option<Bytes>)) -> NewRecord {
    NewRecord { key: Some(key), value, headers: Vec::new() }
}

/// What a log needs of a cluster.
pub(super) trait Backend: Send + Sync {
    /// Log start offsets of these partitions, in the order given.
    fn earliest<'a>(&'a self, partitions: &'a [TopicPartition]) -> BoxFuture<'a, wire::Result<Vec<i64>>>;
    /// Records in [from, end), and that end.
    fn read<'a>(&'a self, from: &'a TopicPartition, offset: i64) -> BoxFuture<'a, wire::Result<(Vec<Record>, i64)>>;
    /// Appends and returns the first record's offset.
    fn append<'a>(&'a self, to: &'a TopicPartition, records: &'a [NewRecord]) -> BoxFuture<'a, wire::Result<i64>>;
}

impl Backend for Cluster {
    fn earliest<'a>(&'a self, partitions: &'a [TopicPartition]) -> BoxFuture<'a, wire::Result<Vec<i64>>> {
        Box::pin(async move {
            let wanted: Vec<_> = partitions.iter().map(|p| (p.clone(), OffsetSpec::Earliest)).collect();
            let mut answers: std::collections::BTreeMap<_, _> = self.list_offsets(&wanted).await?.into_iter().collect();
            partitions.iter().map(|p| answers.remove(p).unwrap_or(Ok(0))).collect()
        })
    }

    fn read<'a>(&'a self, from: &'a TopicPartition, offset: i64) -> BoxFuture<'a, wire::Result<(Vec<Record>, i64)>> {
        Box::pin(self.read_records(from, offset))
    }

    fn append<'a>(&'a self, to: &'a TopicPartition, records: &'a [NewRecord]) -> BoxFuture<'a, wire::Result<i64>> {
        Box::pin(self.append_records(to, records))
    }
}

/// A storage topic. Writers of a partition take turns, so that what is applied has its log's own order.
pub(super) struct TopicLog {
    kind: &'static str,
    topic: String,
    backend: Arc<dyn Backend>,
    partitions: Vec<Partition>,
}

struct Partition {
    /// The offset after the last record that was applied.
    next: Mutex<i64>,
    /// An append without an answer may have happened: what is in memory may be behind.
    stale: AtomicBool,
}

impl TopicLog {
    /// Opens the log at its start; nothing has been read yet.
    pub(super) async fn open(
        kind: &'static str,
        topic: &str,
        partitions: i32,
        backend: Arc<dyn Backend>,
    ) -> Result<Self, Error> {
        let all: Vec<_> = (0..partitions).map(|p| TopicPartition::new(topic, p)).collect();
        let starts = backend.earliest(&all).await;
        let next = starts.map_err(|cause| Error::Storage { kind, topic: topic.to_owned(), cause: Box::new(cause) })?;
        let partition = |next| Partition { next: Mutex::new(next), stale: AtomicBool::new(true) };
        let partitions = next.into_iter().map(partition).collect();
        Ok(Self { kind, topic: topic.to_owned(), backend, partitions })
    }

    /// An append failed, and the log has not been read since.
    pub(super) fn is_stale(&self) -> bool {
        self.partitions.iter().any(|partition| partition.stale.load(Ordering::Acquire))
    }

    /// The partition Connect's producer picks for a key.
    pub(super) fn partition_of(&self, key: &[u8]) -> i32 {
        match i32::try_from(self.partitions.len()) {
            Ok(partitions) if partitions > 1 => wire::partition_for_key(key, partitions),
            _ => 0,
        }
    }

    /// Reads every partition to its end and applies what is new. A record that can't be used is named in the log,
    /// once, and passed over.
    pub(super) async fn catch_up(&self, apply: impl Fn(&Record) -> Result<(), BadRecord>) -> Result<(), Error> {
        let all = (0..).zip(&self.partitions).map(async |(number, partition)| {
            let mut next = partition.next.lock().await;
            self.read_on(number, &mut next, &apply).await?;
            partition.stale.store(false, Ordering::Release);
            Ok(())
        });
        join_all(all).await.into_iter().collect()
    }

    /// Appends to one partition and, once the cluster has acknowledged, applies. Where another writer came in
    /// between, its records are read and applied too, in the log's order.
    pub(super) async fn append(
        &self,
        partition: i32,
        records: Vec<NewRecord>,
        apply: impl Fn(&Record) -> Result<(), BadRecord>,
    ) -> Result<(), Error> {
        let Some(Partition { next, stale }) = usize::try_from(partition).ok().and_then(|p| self.partitions.get(p))
        else {
            return Err(Error::Internal(format!("topic {} has no partition {partition}", self.topic)));
        };
        let mut next = next.lock().await;
        let to = TopicPartition::new(self.topic.as_str(), partition);
        // Set before, not after: the caller may give up waiting while the request is on its way.
        let was_stale = stale.swap(true, Ordering::AcqRel);
        let base = self.backend.append(&to, &records).await.map_err(|cause| self.storage(cause))?;
        if base == *next && !was_stale {
            // What the appended records carry, near enough.
            let timestamp = now_ms();
            for (offset, NewRecord { key, value, headers }) in (base..).zip(records) {
                let record = Record { offset, timestamp, key, value, headers };
                self.apply_one(partition, &record, &apply);
                *next = offset + 1;
            }
        } else {
            self.read_on(partition, &mut next, &apply).await?;
        }
        stale.store(false, Ordering::Release);
        Ok(())
    }

    async fn read_on(
        &self,
        partition: i32,
        next: &mut i64,
        apply: &impl Fn(&Record) -> Result<(), BadRecord>,
    ) -> Result<(), Error> {
        let from = TopicPartition::new(self.topic.as_str(), partition);
        let (records, end) = self.backend.read(&from, *next).await.map_err(|cause| self.storage(cause))?;
        for record in &records {
            self.apply_one(partition, record, apply);
        }
        *next = end.max(*next);
        Ok(())
    }

    fn apply_one(&self, partition: i32, record: &Record, apply: &impl Fn(&Record) -> Result<(), BadRecord>) {
        if let Err(error) = apply(record) {
            tracing::error!(
                topic = self.topic,
                partition,
                offset = record.offset,
                "skipped a record of the {} topic {}-{partition} at offset {}: {error}",
                self.kind,
                self.topic,
                record.offset
            );
        }
    }

    fn storage(&self, cause: wire::Error) -> Error {
        Error::Storage { kind: self.kind, topic: self.topic.clone(), cause: Box::new(cause) }
    }
}

#[cfg(test)]
pub(in crate::worker) mod memory {
    //! A topic in memory that can be told to fail.

    use std::{
        collections::BTreeMap,
        sync::{Mutex, atomic::AtomicBool},
    };

    use super::*;

    #[derive(Default)]
    pub(in crate::worker) struct MemoryBackend {
        pub(in crate::worker) logs: Mutex<BTreeMap<TopicPartition, Vec<Record>>>,
        pub(in crate::worker) down: AtomicBool,
        /// A topic that takes no records.
        pub(in crate::worker) full: Mutex<Option<String>>,
    }

    impl MemoryBackend {
        pub(in crate::worker) fn records(&self, topic: &str) -> Vec<(String, Option<String>)> {
            let text = |b: &Bytes| String::from_utf8(b.to_vec()).unwrap();
            let logs = self.logs.lock().unwrap();
            let records = logs.iter().filter(|(p, _)| p.topic == topic).flat_map(|(_, records)| records);
            records.map(|r| (text(r.key.as_ref().unwrap()), r.value.as_ref().map(text))).collect()
        }

        /// The anchor header's value of each record.
        pub(in crate::worker) fn anchors(&self, topic: &str) -> Vec<Option<String>> {
            let anchor = |record: &Record| {
                let [(name, Some(value))] = record.headers.as_slice() else { return None };
                assert_eq!(name, "kmirror.anchor");
                Some(String::from_utf8(value.to_vec()).unwrap())
            };
            let logs = self.logs.lock().unwrap();
            logs.iter().filter(|(p, _)| p.topic == topic).flat_map(|(_, records)| records).map(anchor).collect()
        }

        pub(in crate::worker) fn put(&self, partition: &TopicPartition, key: &str, value: Option<&str>) {
            let mut logs = self.logs.lock().unwrap();
            let log = logs.entry(partition.clone()).or_default();
            let offset = i64::try_from(log.len()).unwrap();
            let bytes = |s: &str| Bytes::from(s.to_owned());
            let (key, value) = (Some(bytes(key)), value.map(bytes));
            log.push(Record { offset, timestamp: offset, key, value, headers: Vec::new() });
        }

        fn check(&self) -> wire::Result<()> {
            self.refuse_if(self.down.load(Ordering::Acquire))
        }

        fn refuse_if(&self, refuses: bool) -> wire::Result<()> {
            if refuses {
                return Err(wire::Error::Unreachable {
                    cluster: "worker".into(),
                    addresses: "127.0.0.1:9".into(),
                    cause: "connection refused".into(),
                });
            }
            Ok(())
        }
    }

    impl Backend for MemoryBackend {
        fn earliest<'a>(&'a self, partitions: &'a [TopicPartition]) -> BoxFuture<'a, wire::Result<Vec<i64>>> {
            Box::pin(async move { self.check().map(|()| vec![0; partitions.len()]) })
        }

        fn read<'a>(
            &'a self,
            from: &'a TopicPartition,
            offset: i64,
        ) -> BoxFuture<'a, wire::Result<(Vec<Record>, i64)>> {
            Box::pin(async move {
                self.check()?;
                let logs = self.logs.lock().unwrap();
                let log = logs.get(from).cloned().unwrap_or_default();
                let end = i64::try_from(log.len()).unwrap();
                Ok((log.into_iter().filter(|r| r.offset >= offset).collect(), end))
            })
        }

        fn append<'a>(&'a self, to: &'a TopicPartition, records: &'a [NewRecord]) -> BoxFuture<'a, wire::Result<i64>> {
            Box::pin(async move {
                self.check()?;
                self.refuse_if(self.full.lock().unwrap().as_deref() == Some(to.topic.as_str()))?;
                let mut logs = self.logs.lock().unwrap();
                let log = logs.entry(to.clone()).or_default();
                let base = i64::try_from(log.len()).unwrap();
                for (offset, NewRecord { key, value, headers }) in (base..).zip(records.iter().cloned()) {
                    log.push(Record { offset, timestamp: offset, key, value, headers });
                }
                Ok(base)
            })
        }
    }
}
