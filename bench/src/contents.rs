//! What is in a topic, read by a client that shares no code with either contestant.

use std::{
    collections::{HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use testkit::{
    Isolation, RecordView,
    anyhow::{Result, ensure},
    read_all_with,
};

use crate::workloads::Shape;

/// What [`crate::workloads::Connector::Transformed`] adds to each record.
pub(crate) const ADDED: (&str, &str) = ("mirrored-by", "bench");
/// The header of the records that it leaves out.
pub(crate) const MARK: &str = "internal";

/// A digest of what a topic's partitions hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    partitions: Vec<Partition>,
    /// Of all keys and values.
    pub(crate) bytes: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Partition {
    records: u64,
    /// Of key, value, headers and timestamp of all records, in order.
    digest: u64,
}

impl Contents {
    /// What a mirror is to make of a topic of the source: committed records only, and of marked ones what the transforms leave.
    pub(crate) async fn expected(bootstrap: &str, topic: &str, shape: Shape) -> Result<Self> {
        let mut partitions = read_all_with(bootstrap, topic, Isolation::ReadCommitted).await?;
        match shape {
            Shape::Marked => partitions.iter_mut().for_each(transform),
            Shape::Compacted => {
                for (partition, records) in partitions.iter().enumerate() {
                    let keys: HashSet<_> = records.iter().map(|record| &record.key).collect();
                    let twice = records.len() - keys.len();
                    ensure!(twice == 0, "{topic}-{partition} has {twice} records whose key comes again");
                }
            }
            Shape::Plain | Shape::Transactions => {}
        }
        Ok(Self::of(&partitions))
    }

    /// All that a topic holds: a mirror writes no transactions, so what is there counts.
    pub(crate) async fn found(bootstrap: &str, topic: &str) -> Result<Self> {
        Ok(Self::of(&read_all_with(bootstrap, topic, Isolation::ReadUncommitted).await?))
    }

    fn of(partitions: &[Vec<RecordView>]) -> Self {
        let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len) as u64;
        let bytes = partitions.iter().flatten().map(|record| size(&record.key) + size(&record.value)).sum();
        let digest = |records: &Vec<RecordView>| {
            let mut digest = DefaultHasher::new();
            for record in records {
                (&record.key, &record.value, &record.headers, record.timestamp).hash(&mut digest);
            }
            Partition { records: records.len() as u64, digest: digest.finish() }
        };
        Self { partitions: partitions.iter().map(digest).collect(), bytes }
    }

    /// How many records each partition has.
    pub(crate) fn records(&self) -> Vec<u64> {
        self.partitions.iter().map(|partition| partition.records).collect()
    }

    /// An error that names the first partition that is not as `wanted`.
    pub(crate) fn ensure_equal(&self, wanted: &Self) -> Result<()> {
        let (here, there) = (self.partitions.len(), wanted.partitions.len());
        ensure!(here == there, "{here} partitions instead of {there}");
        for (number, (here, there)) in self.partitions.iter().zip(&wanted.partitions).enumerate() {
            let (found, expected) = (here.records, there.records);
            ensure!(found == expected, "partition {number} has {found} records instead of {expected}");
            ensure!(here == there, "partition {number} has other records than its source, or in another order");
        }
        Ok(())
    }
}

fn transform(records: &mut Vec<RecordView>) {
    records.retain(|record| record.headers.iter().all(|(name, _)| name != MARK));
    let added = || (ADDED.0.to_owned(), Some(ADDED.1.as_bytes().to_vec()));
    records.iter_mut().for_each(|record| record.headers.push(added()));
}

#[cfg(test)]
mod tests {
    use testkit::TimestampKind;

    use super::*;

    fn record(key: &str, value: &str, header: Option<&str>) -> RecordView {
        RecordView {
            offset: 7,
            key: Some(key.into()),
            value: Some(value.into()),
            headers: header.map(|name| (name.to_owned(), None)).into_iter().collect(),
            timestamp: 1,
            timestamp_kind: TimestampKind::CreateTime,
        }
    }

    #[test]
    fn every_difference_but_of_offsets_is_found() {
        let (a, b) = (record("a", "1", None), record("b", "22", None));
        let all = Contents::of(&[vec![a.clone(), b.clone()], vec![]]);
        assert_eq!((all.records(), all.bytes), (vec![2, 0], 5));
        let moved = RecordView { offset: 8, ..b.clone() };
        all.ensure_equal(&Contents::of(&[vec![a.clone(), moved], vec![]])).unwrap();
        let later = RecordView { timestamp: 2, ..b.clone() };
        let null = RecordView { value: None, ..b.clone() };
        for other in [
            vec![vec![a.clone(), b.clone()]],
            vec![vec![a.clone()], vec![b.clone()]],
            vec![vec![b.clone(), a.clone()], vec![]],
            vec![vec![a.clone(), later], vec![]],
            vec![vec![a.clone(), null], vec![]],
            vec![vec![a.clone(), record("b", "22", Some("h"))], vec![]],
        ] {
            assert!(Contents::of(&other).ensure_equal(&all).is_err(), "{other:?}");
        }
    }

    #[test]
    fn transforms_add_a_header_and_leave_out_marked_records() {
        let mut records = vec![record("a", "1", Some(MARK)), record("b", "2", Some("other"))];
        transform(&mut records);
        let headers: Vec<_> = records[0].headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((records.len(), headers), (1, vec!["other", ADDED.0]));
    }
}
