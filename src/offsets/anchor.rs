//! How far a copy is.

use std::fmt;

use wire::{ProducerId, TopicPartition};

use crate::records::offset_map::{AnchorValue, MapLink};

/// One partition as one connector copies it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link {
    /// Connector name.
    pub connector: String,
    /// The partition in the source cluster.
    pub source: TopicPartition,
    /// The partition in the target cluster.
    pub target: TopicPartition,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {}", self.connector, self.source, self.target)
    }
}

impl From<&Link> for MapLink {
    fn from(link: &Link) -> Self {
        Self {
            connector: link.connector.clone(),
            source_topic: link.source.topic.clone(),
            source_partition: link.source.partition,
            target_topic: link.target.topic.clone(),
            target_partition: link.target.partition,
        }
    }
}

impl From<MapLink> for Link {
    fn from(link: MapLink) -> Self {
        Self {
            connector: link.connector,
            source: TopicPartition::new(link.source_topic, link.source_partition),
            target: TopicPartition::new(link.target_topic, link.target_partition),
        }
    }
}

/// How far a link's copy is: what a new owner needs to find the copy again. Never ahead of what the target acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Of the owner: one more at each take-over.
    pub generation: u64,
    /// Topic id in the source cluster, zero where it tells none (brokers before 2.8).
    pub source_id: u128,
    /// Topic id in the target cluster, zero where it tells none.
    pub target_id: u128,
    /// Leader epoch last seen in the source, −1 unknown.
    pub source_epoch: i32,
    /// Leader epoch last seen in the target, −1 unknown.
    pub target_epoch: i32,
    /// The producer that writes to the target.
    pub producer: ProducerId,
    /// Records written since the producer began.
    pub count: u64,
    /// Next source offset to copy.
    pub source_offset: i64,
    /// One past the last of ours in the target, or its log end when the copy began.
    pub target_offset: i64,
    /// Source offsets, at `source_offset` or behind, that the target refused and that were left out; ascending.
    pub left_out: Vec<i64>,
}

impl Anchor {
    /// Sequence of the next record: they run from 0 to 2^31 − 1, and then from 0 again.
    #[must_use]
    pub fn sequence(&self) -> i32 {
        (self.count & u64::from(i32::MAX.cast_unsigned())) as i32
    }

    /// As a stored record says it.
    pub(super) fn of(value: &AnchorValue) -> Self {
        Self {
            generation: value.generation,
            source_id: value.source_id,
            target_id: value.target_id,
            source_epoch: value.source_epoch,
            target_epoch: value.target_epoch,
            producer: ProducerId { id: value.producer_id, epoch: value.producer_epoch },
            count: value.count,
            source_offset: value.source_offset,
            target_offset: value.target_offset,
            left_out: value.left_out.clone(),
        }
    }
}

/// Whether two pairs of topic ids (source, target) may be of the same topics: where a cluster tells none, names count.
pub(super) fn same_topics(a: (u128, u128), b: (u128, u128)) -> bool {
    let same = |a, b| a == b || a == 0 || b == 0;
    same(a.0, b.0) && same(a.1, b.1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::offsets) fn link() -> Link {
        Link { connector: "c".into(), source: TopicPartition::new("t", 0), target: TopicPartition::new("a.t", 0) }
    }

    pub(in crate::offsets) fn anchor(generation: u64, source_offset: i64, target_offset: i64) -> Anchor {
        Anchor {
            generation,
            source_id: 1,
            target_id: 2,
            source_epoch: 3,
            target_epoch: 4,
            producer: ProducerId { id: 5, epoch: 6 },
            count: 7,
            source_offset,
            target_offset,
            left_out: vec![source_offset + 3],
        }
    }

    #[test]
    fn sequences_wrap_at_2_to_31() {
        for (count, sequence) in [(0, 0), ((1 << 31) - 1, i32::MAX), (1 << 31, 0), ((5 << 31) + 7, 7)] {
            assert_eq!(Anchor { count, ..anchor(0, 0, 0) }.sequence(), sequence, "{count}");
        }
    }

    #[test]
    fn where_an_id_is_unknown_names_count() {
        assert!(same_topics((1, 2), (1, 2)) && same_topics((0, 2), (1, 2)) && same_topics((1, 2), (1, 0)));
        assert!(!same_topics((1, 2), (3, 2)) && !same_topics((0, 2), (1, 3)));
    }
}
