//! The store over a topic in memory that can fail, compact and be made again.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::*;
use crate::{
    offsets::anchor::tests::{anchor, link},
    records::offset_map::Rule,
};

#[derive(Debug, Default)]
struct Topic {
    records: BTreeMap<i64, (Bytes, Option<Bytes>)>,
    next: i64,
    /// The next append happens, or not, and has no answer.
    lost_answer: Option<bool>,
    batches: Vec<usize>,
}

impl Topic {
    fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        let copy = Bytes::copy_from_slice;
        self.records.insert(self.next, (copy(key), value.map(copy)));
        self.next += 1;
    }

    /// Leaves the last record of each key, and no tombstones.
    fn compact(&mut self) {
        let last: HashMap<_, _> = self.records.iter().map(|(offset, (key, _))| (key.clone(), *offset)).collect();
        self.records.retain(|offset, (key, value)| last.get(key) == Some(offset) && value.is_some());
    }

    fn keys(&self) -> Vec<MapKey> {
        self.records.values().map(|(key, _)| MapKey::decode(key).unwrap()).collect()
    }

    /// Blocks and records.
    fn shape(&self) -> (usize, usize) {
        (self.blocks(), self.records.len())
    }

    fn blocks(&self) -> usize {
        self.keys().iter().filter(|key| matches!(key, MapKey::Block(..))).count()
    }
}

#[derive(Debug, Clone, Default)]
struct MemoryLog(Arc<Mutex<Topic>>);

impl MemoryLog {
    fn topic(&self) -> MutexGuard<'_, Topic> {
        self.0.lock().unwrap()
    }

    async fn open(&self, owner: u64) -> OffsetMaps {
        OffsetMaps::on(Box::new(self.clone()), "map".into(), owner, 1 << 20).await.unwrap()
    }
}

fn refused(code: i16) -> wire::Error {
    wire::Error::Broker { cluster: "b".into(), api: "Test", resource: "map-0".into(), code, message: None }
}

impl Log for MemoryLog {
    fn bounds(&self) -> BoxFuture<'_, wire::Result<(i64, i64)>> {
        Box::pin(async { Ok((0, self.topic().next)) })
    }

    fn read(&self, from: i64, bytes: i32) -> BoxFuture<'_, wire::Result<(Vec<Record>, i64)>> {
        Box::pin(async move {
            let topic = self.topic();
            if from > topic.next {
                return Err(refused(ResponseError::OffsetOutOfRange.code()));
            }
            let record = |(offset, (key, value)): (&i64, &(Bytes, Option<Bytes>))| Record {
                offset: *offset,
                timestamp: 0,
                key: Some(key.clone()),
                value: value.clone(),
                headers: Vec::new(),
            };
            let read: Vec<_> = topic.records.range(from..).take(if bytes > 1 { 7 } else { 2 }).map(record).collect();
            let next = read.last().map_or(topic.next, |last| last.offset + 1);
            Ok((read, next))
        })
    }

    fn append<'a>(&'a self, pairs: &'a [Pair]) -> BoxFuture<'a, wire::Result<i64>> {
        Box::pin(async move {
            let mut topic = self.topic();
            let lost_answer = topic.lost_answer.take();
            let base = topic.next;
            if lost_answer != Some(false) {
                for (key, value) in pairs {
                    topic.put(key.as_ref().unwrap(), value.as_deref());
                }
                topic.batches.push(pairs.len());
            }
            lost_answer.map_or(Ok(base), |_| Err(refused(ResponseError::RequestTimedOut.code())))
        })
    }
}

/// Transactions of four records and a marker, `first` to `end` of them; source offset 5n is target offset 4n.
fn write_transactions(writer: &mut MapWriter, first: i64, end: i64) {
    (first..end).for_each(|n| writer.written(n * 5, n * 4, 4));
}

async fn store(maps: &OffsetMaps, writer: &mut MapWriter, generation: u64, end: i64) -> Vec<Link> {
    maps.write(vec![(link(), writer.update(anchor(generation, end * 5, end * 4)))]).await.unwrap()
}

/// A map of 1,500 breaks: two blocks.
async fn two_blocks(maps: &OffsetMaps) -> MapWriter {
    let mut writer = maps.writer(&link());
    writer.copies_again_from(0);
    write_transactions(&mut writer, 0, 1_500);
    assert_eq!(store(maps, &mut writer, 1, 1_500).await, []);
    writer
}

async fn check_exact(maps: &OffsetMaps, transactions: std::ops::Range<i64>) {
    let offsets: Vec<_> = transactions.clone().map(|n| n * 5 + 2).collect();
    let exact: Vec<_> = transactions.map(|n| Translation::Exact(n * 4 + 2)).collect();
    assert_eq!(maps.translate(&link(), &offsets).await.unwrap(), exact);
}

#[tokio::test]
async fn what_is_stored_is_found_again() {
    let log = MemoryLog::default();
    let maps = log.open(1).await;
    assert_eq!(
        (maps.anchor(&link()), maps.translate(&link(), &[7]).await.unwrap()),
        (None, vec![Translation::Unmapped])
    );
    let mut writer = two_blocks(&maps).await;
    assert_eq!(log.topic().shape(), (2, 3));
    write_transactions(&mut writer, 1_500, 1_600);
    store(&maps, &mut writer, 1, 1_600).await;
    for maps in [maps, log.open(2).await] {
        assert_eq!(maps.anchor(&link()), Some(anchor(1, 8_000, 6_400)));
        check_exact(&maps, 0..1_600).await;
        let more = maps.translate(&link(), &[4, 7_999, 8_000, -1]).await.unwrap();
        let before = Translation::BeforeMirror { first_source: 0, first_target: 0 };
        assert_eq!(
            more,
            [Translation::NextMirrored(4), Translation::MirroredEnd(6_400), Translation::MirroredEnd(6_400), before]
        );
    }
    // A new owner goes on.
    let maps = log.open(3).await;
    let mut writer = maps.writer(&link());
    write_transactions(&mut writer, 1_600, 3_000);
    assert_eq!(store(&maps, &mut writer, 2, 3_000).await, []);
    check_exact(&log.open(4).await, 0..3_000).await;
    assert_eq!(log.topic().blocks(), 5);
}

#[tokio::test]
async fn an_owner_that_was_superseded_is_told_and_does_no_harm() {
    let log = MemoryLog::default();
    let old = log.open(1).await;
    let mut old_writer = two_blocks(&old).await;
    // Another one of then, which wakes up late.
    let late = log.open(1).await;
    let mut late_writer = late.writer(&link());
    let new = log.open(2).await;
    let mut new_writer = new.writer(&link());
    assert_eq!(store(&new, &mut new_writer, 2, 1_500).await, []);
    // The old one has not heard: it stores a block under a number that the new one will use, and its anchor.
    write_transactions(&mut old_writer, 1_500, 3_000);
    assert_eq!(store(&old, &mut old_writer, 1, 3_000).await, [link()]);
    assert_eq!(old.anchor(&link()), Some(anchor(2, 7_500, 6_000)));
    // Now it has heard, and stores nothing more.
    let length = log.topic().next;
    assert_eq!(store(&old, &mut old_writer, 1, 3_001).await, [link()]);
    assert_eq!(log.topic().next, length);
    // What a third one reads, before the new one writes again.
    assert_eq!(log.open(3).await.anchor(&link()), Some(anchor(2, 7_500, 6_000)));

    write_transactions(&mut new_writer, 1_500, 2_700);
    assert_eq!(store(&new, &mut new_writer, 2, 2_700).await, []);
    write_transactions(&mut late_writer, 1_500, 2_600);
    assert_eq!(store(&late, &mut late_writer, 1, 2_600).await, [link()]);
    write_transactions(&mut new_writer, 2_700, 4_200);
    assert_eq!(store(&new, &mut new_writer, 2, 4_200).await, []);
    for compacted in [false, true] {
        if compacted {
            log.topic().compact();
        }
        for maps in [&old, &late, &new, &log.open(3).await] {
            maps.read_on().await.unwrap();
            assert_eq!(maps.anchor(&link()), Some(anchor(2, 21_000, 16_800)));
            check_exact(maps, 0..4_200).await;
        }
    }
    let generation_of = |key| match key {
        MapKey::Block(_, id) => Some(id.generation),
        MapKey::Anchor(_) | MapKey::Made(_) | MapKey::Rule(_) => None,
    };
    // 4,200 runs: eight blocks, none of them the old owner's.
    let generations: Vec<_> = log.topic().keys().into_iter().filter_map(generation_of).collect();
    assert_eq!(generations.len(), 8);
    assert_eq!(generations.iter().filter(|generation| **generation == 1).count(), 2);
}

#[tokio::test]
async fn of_two_owners_of_one_generation_the_same_one_wins_for_all() {
    let log = MemoryLog::default();
    let (low, high) = (log.open(1).await, log.open(2).await);
    let (mut low_writer, mut high_writer) = (low.writer(&link()), high.writer(&link()));
    assert_eq!(store(&low, &mut low_writer, 1, 10).await, []);
    assert_eq!(store(&high, &mut high_writer, 1, 20).await, []);
    assert_eq!(store(&low, &mut low_writer, 1, 11).await, [link()]);
    assert_eq!(store(&high, &mut high_writer, 1, 21).await, []);
    log.topic().compact();
    assert_eq!(log.open(3).await.anchor(&link()), Some(anchor(1, 105, 84)));
}

#[tokio::test]
async fn lost_answers_lose_nothing() {
    for happened in [false, true] {
        let log = MemoryLog::default();
        let maps = log.open(1).await;
        let mut writer = two_blocks(&maps).await;
        write_transactions(&mut writer, 1_500, 2_100);
        log.topic().lost_answer = Some(happened);
        let update = writer.update(anchor(1, 10_500, 8_400));
        let error = maps.write(vec![(link(), update)]).await.unwrap_err().to_string();
        assert!(error.starts_with("offset map map: cluster b: "), "{error}");
        write_transactions(&mut writer, 2_100, 2_200);
        assert_eq!(store(&maps, &mut writer, 1, 2_200).await, []);
        for maps in [maps, log.open(2).await] {
            check_exact(&maps, 0..2_200).await;
        }
        log.topic().compact();
        assert_eq!(log.topic().blocks(), 4);
    }
}

#[tokio::test]
async fn blocks_that_moved_are_found_and_those_that_are_gone_are_missed() {
    let log = MemoryLog::default();
    let maps = log.open(1).await;
    two_blocks(&maps).await;
    let other = log.open(2).await;
    // Stored once more behind, as after a lost answer, and compacted.
    let again: Vec<_> = log.topic().records.values().take(2).cloned().collect();
    again.iter().for_each(|(key, value)| log.topic().put(key, value.as_deref()));
    log.topic().compact();
    check_exact(&other, 0..1_500).await;

    let maps = log.open(3).await;
    let (key, _) = &again[0];
    log.topic().records.retain(|_, (of, _)| of != key);
    let lost = maps.translate(&link(), &[0, 512 * 5 - 2, 512 * 5, 1_400 * 5]).await.unwrap();
    let next = Translation::BeforeMirror { first_source: 512 * 5, first_target: 512 * 4 };
    assert_eq!(lost, [next, next, Translation::Exact(512 * 4), Translation::Exact(1_400 * 4)]);
}

#[tokio::test]
async fn records_that_cannot_be_read_are_passed_over() {
    let log = MemoryLog::default();
    let maps = log.open(1).await;
    two_blocks(&maps).await;
    {
        let mut topic = log.topic();
        topic.put(b"what is this", Some(b"?"));
        let anchor = MapKey::Anchor(MapLink::from(&link())).encode();
        topic.put(&anchor, Some(b"\x01 damaged"));
        topic.put(&anchor, Some(b"\x02 of a later release"));
        // The second block is damaged where it stands.
        let (_, value) = topic.records.get_mut(&1).unwrap();
        let mut bytes = value.as_ref().unwrap().to_vec();
        bytes[100] ^= 1;
        *value = Some(Bytes::from(bytes));
    }
    let maps = log.open(2).await;
    assert_eq!(maps.anchor(&link()), Some(anchor(1, 7_500, 6_000)));
    check_exact(&maps, 0..512).await;
    check_exact(&maps, 1_024..1_500).await;
    let next = Translation::BeforeMirror { first_source: 1_024 * 5, first_target: 1_024 * 4 };
    assert_eq!(maps.translate(&link(), &[600 * 5]).await.unwrap(), [next]);
}

#[tokio::test]
async fn a_topic_made_again_is_read_anew() {
    let log = MemoryLog::default();
    let maps = log.open(1).await;
    let mut writer = two_blocks(&maps).await;
    *log.topic() = Topic::default();
    maps.read_on().await.unwrap();
    write_transactions(&mut writer, 1_500, 1_510);
    assert_eq!(store(&maps, &mut writer, 1, 1_510).await, []);
    for maps in [maps, log.open(2).await] {
        assert_eq!(maps.anchor(&link()), Some(anchor(1, 7_550, 6_040)));
        check_exact(&maps, 1_024..1_510).await;
        let next = Translation::BeforeMirror { first_source: 1_024 * 5, first_target: 1_024 * 4 };
        assert_eq!(maps.translate(&link(), &[3]).await.unwrap(), [next]);
    }
}

#[tokio::test]
async fn what_is_forgotten_or_pruned_is_deleted() {
    let log = MemoryLog::default();
    let maps = log.open(1).await;
    let mut writer = two_blocks(&maps).await;
    maps.prune(&link(), 511 * 5).await.unwrap();
    check_exact(&maps, 0..1_500).await;
    maps.prune(&link(), 600 * 5).await.unwrap();
    store(&maps, &mut writer, 1, 1_500).await;
    log.topic().compact();
    assert_eq!(log.topic().blocks(), 1);
    for maps in [&maps, &log.open(2).await] {
        check_exact(maps, 600..1_500).await;
        let next = Translation::BeforeMirror { first_source: 512 * 5, first_target: 512 * 4 };
        assert_eq!(maps.translate(&link(), &[3]).await.unwrap(), [next]);
    }
    maps.forget(&link()).await.unwrap();
    log.topic().compact();
    assert!(log.topic().records.is_empty());
    for maps in [&maps, &log.open(2).await] {
        assert_eq!(
            (maps.anchor(&link()), maps.translate(&link(), &[3]).await.unwrap()),
            (None, vec![Translation::Unmapped])
        );
    }
}

/// Eras that are copied again as a whole leave nothing behind.
#[tokio::test]
async fn what_is_copied_again_is_deleted() {
    let log = MemoryLog::default();
    let maps = log.open(1).await;
    let mut writer = two_blocks(&maps).await;
    writer.copies_again_from(0);
    (0..1_500).for_each(|n| writer.written(n * 5, 6_000 + n * 4, 4));
    maps.write(vec![(link(), writer.update(anchor(1, 7_500, 12_000)))]).await.unwrap();
    log.topic().compact();
    assert_eq!(log.topic().blocks(), 2);
    for maps in [&maps, &log.open(2).await] {
        let again = maps.translate(&link(), &[0, 7_491]).await.unwrap();
        assert_eq!(again, [Translation::Exact(6_000), Translation::Exact(11_993)]);
    }
}

#[tokio::test]
async fn batches_are_no_larger_than_the_topic_takes() {
    let log = MemoryLog::default();
    let maps = OffsetMaps::on(Box::new(log.clone()), "map".into(), 1, 2_000).await.unwrap();
    let links: Vec<_> = (0..100).map(|n| Link { source: TopicPartition::new("t", n), ..link() }).collect();
    let update = |link: &Link| (link.clone(), maps.writer(link).update(anchor(1, 10, 8)));
    assert_eq!(maps.write(links.iter().map(update).collect()).await.unwrap(), []);
    let batches = log.topic().batches.clone();
    assert!(batches.len() > 5 && batches.iter().all(|records| records * 100 < 2_000), "{batches:?}");
    let reopened = log.open(2).await;
    assert!(links.iter().all(|link| reopened.anchor(link) == Some(anchor(1, 10, 8))));
}

#[test]
fn the_cache_keeps_what_was_used_last() {
    let mut cache = Cache::default();
    let key = |number| (1, BlockId { number, generation: 1 });
    let most = u32::try_from(CACHED_BLOCKS).unwrap();
    for number in 0..most {
        cache.put(key(number), Arc::new(Runs::new(0)));
    }
    assert!(cache.get(key(0)).is_some());
    cache.put(key(most), Arc::new(Runs::new(0)));
    assert_eq!(cache.blocks.len(), CACHED_BLOCKS);
    assert!(cache.get(key(0)).is_some() && cache.get(key(1)).is_none() && cache.get(key(most)).is_some());
}

#[tokio::test]
async fn topics_that_were_made_are_known_until_they_are_forgotten() {
    let made = |source: &str| MadeTopic {
        connector: link().connector,
        source: source.to_owned(),
        target: format!("A.{source}"),
    };
    let log = MemoryLog::default();
    let (maps, other) = (log.open(1).await, log.open(2).await);
    let of_link = MadeTopic { target: link().target.topic, ..made(&link().source.topic) };
    let ids = |target_id| MadeIds { source_cluster: "x".to_owned(), target_id };
    let noted = [(of_link.clone(), ids(7)), (made("other"), ids(u128::MAX))];
    maps.note_made(&noted).await.unwrap();
    store(&maps, &mut maps.writer(&link()), 1, 1_000).await;
    other.read_on().await.unwrap();
    for maps in [&maps, &other, &log.open(3).await] {
        let mut found = maps.made(&link().connector);
        found.sort();
        let mut wanted = noted.to_vec();
        wanted.sort();
        assert_eq!(found, wanted);
        assert_eq!(maps.made("somebody else's"), []);
    }
    maps.forget_made(&of_link).await.unwrap();
    for maps in [&maps, &log.open(4).await] {
        assert_eq!(maps.made(&link().connector), [(made("other"), ids(u128::MAX))]);
        assert_eq!(maps.links(), [], "its copies are forgotten too");
    }
}

#[tokio::test]
async fn rules_that_were_added_are_known_until_they_are_forgotten() {
    let rule = |name: &str| Rule {
        codes: [2, 3, -1, 127],
        resource: name.to_owned(),
        principal: "User:\u{e9}".to_owned(),
        host: "*".to_owned(),
    };
    let added = |name: &str| AddedRule { connector: "c".to_owned(), rule: rule(name) };
    let origin = RuleOrigin { source_cluster: "x".to_owned(), rule: rule("orders") };
    let log = MemoryLog::default();
    let maps = log.open(1).await;
    maps.note_rules(&[(added("A.orders"), Some(origin.clone())), (added("gone"), Some(origin.clone()))]).await.unwrap();
    maps.note_rules(&[(added("gone"), None)]).await.unwrap();
    for maps in [&maps, &log.open(2).await] {
        assert_eq!(maps.rules("c"), [(added("A.orders"), origin.clone())]);
        assert_eq!((maps.rules("d"), maps.links()), (vec![], vec![]));
    }
}
