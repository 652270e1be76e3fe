//! What offset syncs tell of copies that somebody else made: MirrorMaker, before kmirror took over.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use wire::{Cluster, ResponseError, TopicPartition};

use crate::{
    flow::{NotedPairs, Pair},
    mirror::reading::read_on,
    records::decode_offset_sync,
};

/// Kept of a partition; beyond, every other one goes.
const MOST_PAIRS: usize = 256;

/// Reads them when somebody asks.
#[derive(Debug)]
pub(in crate::mirror) struct NotedSyncs {
    pub(in crate::mirror) cluster: Cluster,
    /// Where they are.
    pub(in crate::mirror) from: TopicPartition,
    /// How far back they count, source offsets.
    pub(in crate::mirror) most: i64,
}

impl NotedPairs for NotedSyncs {
    fn before(
        &self,
        until: BTreeMap<TopicPartition, i64>,
    ) -> BoxFuture<'static, Result<BTreeMap<TopicPartition, Vec<Pair>>, String>> {
        let (cluster, from) = (self.cluster.clone(), self.from.clone());
        let mut found = Found::new(until, self.most);
        Box::pin(async move {
            let read = read_on(&cluster, &from, &mut None, |key, value| found.take(key, value)).await;
            match read {
                // Nobody has written any.
                Err(error) if error.response() == Some(ResponseError::UnknownTopicOrPartition) => {}
                read => read.map_err(|error| error.to_string())?,
            }
            Ok(found.pairs())
        })
    }
}

/// Syncs of some partitions, before a source offset of each.
struct Found {
    /// First and last source offset that counts, and the pairs there, ascending at both ends.
    partitions: BTreeMap<TopicPartition, (i64, i64, Vec<Pair>)>,
}

impl Found {
    fn new(until: BTreeMap<TopicPartition, i64>, most: i64) -> Self {
        let partition = |(partition, until): (TopicPartition, i64)| {
            (partition, (until.saturating_sub(most), until.saturating_sub(1), Vec::new()))
        };
        Self { partitions: until.into_iter().map(partition).collect() }
    }

    /// Takes a record in; records come in the topic's order.
    fn take(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), String> {
        let (key, sync) = decode_offset_sync(key, value).map_err(|error| error.to_string())?;
        let partition = TopicPartition { topic: key.topic, partition: key.partition };
        let Some((first, last, pairs)) = self.partitions.get_mut(&partition) else { return Ok(()) };
        let Some(sync) = sync else {
            pairs.clear();
            return Ok(());
        };
        let (source, target) = (sync.upstream_offset, sync.downstream_offset);
        if source > *last {
            return Ok(());
        }
        // Whoever copied has gone back, or the target is another one.
        while pairs.pop_if(|last| last.0 >= source || last.1 >= target).is_some() {}
        if source >= *first {
            pairs.push((source, target));
        }
        if pairs.len() > MOST_PAIRS {
            let mut nth = 0;
            pairs.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
        }
        Ok(())
    }

    fn pairs(self) -> BTreeMap<TopicPartition, Vec<Pair>> {
        self.partitions.into_iter().map(|(partition, (_, _, pairs))| (partition, pairs)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{OffsetSyncKey, OffsetSyncValue};

    fn found(most: i64, syncs: &[Option<Pair>]) -> Vec<Pair> {
        let partition = TopicPartition::new("t", 1);
        let mut found = Found::new(BTreeMap::from([(partition.clone(), 1_000)]), most);
        for sync in syncs {
            let value = sync.map(|(upstream_offset, downstream_offset)| {
                OffsetSyncValue { upstream_offset, downstream_offset }.encode()
            });
            for number in [0, 1] {
                let key = OffsetSyncKey { topic: "t".to_owned(), partition: number }.encode().unwrap();
                found.take(Some(&key), value.as_deref()).unwrap();
            }
        }
        found.pairs().remove(&partition).unwrap()
    }

    #[test]
    fn pairs_ascend_up_to_where_the_copy_was_taken_over() {
        let syncs = |pairs: &[Pair]| pairs.iter().copied().map(Some).collect::<Vec<_>>();
        let table: [(i64, &[Pair], &[Pair]); 5] = [
            (
                500,
                &[(499, 9), (500, 10), (600, 20), (999, 30), (1_000, 31), (2_000, 40)],
                &[(500, 10), (600, 20), (999, 30)],
            ),
            (500, &[(600, 20), (700, 30), (600, 50)], &[(600, 50)]),
            (500, &[(600, 20), (700, 30), (650, 50)], &[(600, 20), (650, 50)]),
            (500, &[(600, 20), (700, 10)], &[(700, 10)]),
            (500, &[(600, 20), (5, 50)], &[]),
        ];
        for (most, given, expected) in table {
            assert_eq!(found(most, &syncs(given)), expected, "{given:?}");
        }
        assert_eq!(found(500, &[Some((600, 20)), None, Some((700, 30))]), [(700, 30)]);
    }

    #[test]
    fn of_many_the_first_and_some_all_the_way_are_kept() {
        let syncs: Vec<_> = (0..900).map(|n| Some((n, n))).collect();
        let kept = found(2_000, &syncs);
        assert!(kept.len() <= MOST_PAIRS && kept.len() >= MOST_PAIRS / 2, "{}", kept.len());
        assert_eq!(kept[0], (0, 0));
        assert!(kept.is_sorted() && kept[kept.len() - 1].0 > 890);
    }

    #[test]
    fn what_is_no_sync_is_refused() {
        let mut found = Found::new(BTreeMap::from([(TopicPartition::new("t", 1), 10)]), 10);
        assert!(found.take(Some(b"x"), Some(b"y")).is_err());
    }
}
