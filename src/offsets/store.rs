//! The maps in the target.

mod opened;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Mutex as AsyncMutex;
use wire::{Cluster, Record, ResponseError, TopicPartition};

use super::{
    Anchor, Error, Link, MapWriter, Translation, Update,
    index::{Entry, Index},
    topic::{Log, Pair, TopicLog, prepare},
};
use crate::records::offset_map::{
    AddedRule, BlockId, MadeIds, MadeTopic, MapKey, MapLink, MapRecord, RuleOrigin, Runs,
};

pub use opened::OpenMaps;

/// What is read at once when the topic is read through, bytes.
const READ_BYTES: i32 = 256 * 1024;
/// Batches are no larger, where a record alone isn't: to look up one block, its batch is fetched.
const BATCH_BYTES: usize = 64 * 1024;
/// What a record takes in a batch beside key and value: at most two lengths and some deltas.
const RECORD_OVERHEAD: usize = 32;
/// Blocks in the cache, 1 to 2 kB each.
const CACHED_BLOCKS: usize = 256;
/// Void blocks that are deleted by the way, with each write of their link.
const DELETED_AT_ONCE: usize = 1_000;

/// The maps of all links from one source to a target. Clones share everything.
///
/// Anchors and an index of blocks are in memory, up to where the topic was last read or written; blocks are fetched when they are asked for.
#[derive(Debug, Clone)]
pub struct OffsetMaps {
    /// Tells this owner from others of the same generation.
    owner: u64,
    shared: Arc<Shared>,
}

/// What those share who opened the same topic.
#[derive(Debug)]
struct Shared {
    topic: String,
    log: Box<dyn Log>,
    batch_bytes: usize,
    /// Held by whoever reads on or appends, so that memory has the topic's order.
    progress: AsyncMutex<Progress>,
    index: Mutex<Index>,
    cache: Mutex<Cache>,
}

#[derive(Debug)]
struct Progress {
    /// Offset of the next record to take in.
    next: i64,
    /// Something was, or may have been, appended that has not been taken in.
    stale: bool,
}

impl OffsetMaps {
    /// The maps of what comes from `source_alias`, in `target`. Makes the topic if it is missing, and reads it to its end.
    ///
    /// # Errors
    /// A cluster that does not answer or lacks a right, and a topic that is not compacted or has several partitions.
    pub async fn open(target: &Cluster, source_alias: &str, replication_factor: i16) -> Result<Self, Error> {
        let topic = format!("mm2-offset-map.{source_alias}.internal");
        let limit = prepare(target, &topic, replication_factor).await?;
        let log = TopicLog { cluster: target.clone(), partition: TopicPartition::new(topic.as_str(), 0) };
        let begin = Instant::now();
        let maps = Self::on(Box::new(log), topic, rand::random(), limit).await?;
        let (topic, copies) = (&maps.shared.topic, maps.shared.index().links());
        tracing::info!(topic, copies, took = ?begin.elapsed(), "read the offset map {topic}");
        Ok(maps)
    }

    async fn on(log: Box<dyn Log>, topic: String, owner: u64, limit: usize) -> Result<Self, Error> {
        let shared = Shared {
            topic,
            log,
            batch_bytes: BATCH_BYTES.min(limit),
            progress: AsyncMutex::new(Progress { next: 0, stale: true }),
            index: Mutex::default(),
            cache: Mutex::default(),
        };
        let mut progress = shared.progress.lock().await;
        shared.read_anew(&mut progress).await?;
        drop(progress);
        Ok(Self { owner, shared: Arc::new(shared) })
    }

    /// All copies that are known, in no order.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        self.shared.index().all().cloned().collect()
    }

    /// The anchor of a link. Its generation is the highest that was met, so that one more is higher than any.
    #[must_use]
    pub fn anchor(&self, link: &Link) -> Option<Anchor> {
        self.shared.index().link(link)?.anchor()
    }

    /// Extends a link's map from where the stored one ends.
    #[must_use]
    pub fn writer(&self, link: &Link) -> MapWriter {
        MapWriter::restore(self.shared.index().link(link).and_then(|map| map.stored()))
    }

    /// Stores updates, in batches that the topic takes, with acks=all; what has no answer may be stored all the same. Tells the links that
    /// another owner has taken over: their stored anchor has a higher generation than the one given (or the same, which two owners took at
    /// once, and the other has won). What was given for them does not count, whether it was stored or not.
    ///
    /// # Errors
    /// When the cluster does not take it within the request timeout. Nothing is lost by that: the writers' next updates have it all again.
    pub async fn write(&self, updates: Vec<(Link, Update)>) -> Result<Vec<Link>, Error> {
        let shared = &self.shared;
        let mut progress = shared.progress.lock().await;
        let superseded = |link: &Link, update: &Update| {
            let index = shared.index();
            index.link(link).is_some_and(|map| map.is_superseded(update.anchor().generation, self.owner))
        };
        let (mut lost, mut own) = (Vec::new(), Vec::new());
        for (link, update) in updates {
            if superseded(&link, &update) { lost.push(link) } else { own.push((link, update)) }
        }
        let records = own.iter().flat_map(|(link, update)| update.records(&MapLink::from(link), self.owner));
        let pairs = records.map(|(key, value)| (Some(key), Some(value))).collect();
        shared.append(&mut progress, pairs).await?;
        let mut tombstones = Vec::new();
        for (link, update) in own {
            update.is_stored();
            if superseded(&link, &update) {
                lost.push(link);
            } else if let Some(map) = shared.index().link(&link) {
                let void = map.void(update.anchor().generation).take(DELETED_AT_ONCE);
                tombstones.extend(void.map(|id| tombstone(&link, Some(id))));
            }
        }
        if let Err(error) = shared.append(&mut progress, tombstones).await {
            // What was asked for is stored; the rest is tried again with the next write.
            tracing::debug!(topic = shared.topic, "void blocks are left for now: {error}");
        }
        Ok(lost)
    }

    /// Takes in what others have stored.
    ///
    /// # Errors
    /// When the topic can't be read within the request timeout.
    pub async fn read_on(&self) -> Result<(), Error> {
        let mut progress = self.shared.progress.lock().await;
        self.shared.read_on(&mut progress, 0).await
    }

    /// What committed offsets of a link's source are in its target, in the order given.
    ///
    /// # Errors
    /// When a block that is not in memory can't be read within the request timeout.
    pub async fn translate(&self, link: &Link, offsets: &[i64]) -> Result<Vec<Translation>, Error> {
        let mut translations = Vec::with_capacity(offsets.len());
        for offset in offsets {
            loop {
                match self.shared.translate(link, *offset) {
                    Ok(translation) => {
                        translations.push(translation);
                        break;
                    }
                    Err(entry) => self.shared.fetch(link, &entry).await?,
                }
            }
        }
        Ok(translations)
    }

    /// Deletes all of a link's records, its generation too: it is no longer copied. (Where it is to be copied from nothing,
    /// [`MapWriter::holds_until`] (0, 0) keeps old owners out.)
    ///
    /// # Errors
    /// When the cluster does not take the tombstones within the request timeout: some may be left.
    pub async fn forget(&self, link: &Link) -> Result<(), Error> {
        let mut progress = self.shared.progress.lock().await;
        let blocks: Vec<_> = self.shared.index().link(link).map(|map| map.all().collect()).unwrap_or_default();
        // The anchor last: without it nobody knows of blocks that are left.
        let keys = blocks.into_iter().map(Some).chain([None]);
        self.shared.append(&mut progress, keys.map(|id| tombstone(link, id)).collect()).await
    }

    /// Topics of the target that a connector made.
    #[must_use]
    pub fn made(&self, connector: &str) -> Vec<(MadeTopic, MadeIds)> {
        let index = self.shared.index();
        let own = index.made().iter().filter(|(made, _)| made.connector == connector);
        own.map(|(made, ids)| (made.clone(), ids.clone())).collect()
    }

    /// Stores which topics were made.
    ///
    /// # Errors
    /// When the cluster does not take it within the request timeout.
    pub async fn note_made(&self, made: &[(MadeTopic, MadeIds)]) -> Result<(), Error> {
        let pair = |(made, ids): &(MadeTopic, MadeIds)| {
            let key = MapKey::Made(made.clone()).encode();
            let value = ids.encode(&key);
            (Some(key), Some(value))
        };
        let mut progress = self.shared.progress.lock().await;
        self.shared.append(&mut progress, made.iter().map(pair).collect()).await
    }

    /// Deletes all records about a topic that was made, those of its copies too: it is gone.
    ///
    /// # Errors
    /// When the cluster does not take the tombstones within the request timeout: some may be left.
    pub async fn forget_made(&self, made: &MadeTopic) -> Result<(), Error> {
        let is_of = |link: &Link| {
            (link.connector.as_str(), link.source.topic.as_str(), link.target.topic.as_str())
                == (made.connector.as_str(), made.source.as_str(), made.target.as_str())
        };
        for link in self.links().iter().filter(|link| is_of(link)) {
            self.forget(link).await?;
        }
        let mut progress = self.shared.progress.lock().await;
        self.shared.append(&mut progress, vec![(Some(MapKey::Made(made.clone()).encode()), None)]).await
    }

    /// Access rules of the target that a connector added.
    #[must_use]
    pub fn rules(&self, connector: &str) -> Vec<(AddedRule, RuleOrigin)> {
        let index = self.shared.index();
        let own = index.rules().iter().filter(|(added, _)| added.connector == connector);
        own.map(|(added, origin)| (added.clone(), origin.clone())).collect()
    }

    /// Stores which access rules were added, and for what; without an origin it forgets them.
    ///
    /// # Errors
    /// When the cluster does not take it within the request timeout: some may be stored.
    pub async fn note_rules(&self, rules: &[(AddedRule, Option<RuleOrigin>)]) -> Result<(), Error> {
        let pair = |(added, origin): &(AddedRule, Option<RuleOrigin>)| {
            let key = MapKey::Rule(added.clone()).encode();
            let value = origin.as_ref().map(|origin| origin.encode(&key));
            (Some(key), value)
        };
        let mut progress = self.shared.progress.lock().await;
        self.shared.append(&mut progress, rules.iter().map(pair).collect()).await
    }

    /// Deletes the blocks of a link that speak only of what the source no longer has. For its owner to call.
    ///
    /// # Errors
    /// When the cluster does not take the tombstones within the request timeout: some may be left.
    pub async fn prune(&self, link: &Link, source_log_start: i64) -> Result<(), Error> {
        let mut progress = self.shared.progress.lock().await;
        let below: Vec<_> =
            self.shared.index().link(link).map(|map| map.below(source_log_start).collect()).unwrap_or_default();
        let tombstones = below.into_iter().map(|id| tombstone(link, Some(id))).collect();
        self.shared.append(&mut progress, tombstones).await
    }
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, cause: wire::Error) -> Error {
        Error::Cluster { topic: self.topic.clone(), cause: Box::new(cause) }
    }

    /// Appends in order, and takes in what was appended, in the log's order where others come between.
    async fn append(&self, progress: &mut Progress, pairs: Vec<Pair>) -> Result<(), Error> {
        for batch in batches(pairs, self.batch_bytes) {
            // Set before, not after: the caller may give up waiting while the request is on its way.
            let was_stale = std::mem::replace(&mut progress.stale, true);
            let base = self.log.append(&batch).await.map_err(|cause| self.failed(cause))?;
            let after = base + i64::try_from(batch.len()).unwrap_or(i64::MAX);
            if base == progress.next && !was_stale {
                for (offset, (key, value)) in (base..).zip(&batch) {
                    self.take(offset, key.as_deref(), value.as_deref());
                }
                *progress = Progress { next: after, stale: false };
            } else if base < progress.next {
                tracing::warn!(topic = self.topic, "the offset map {} was made again: it is read anew", self.topic);
                self.read_anew(progress).await?;
            } else {
                self.read_on(progress, after).await?;
            }
        }
        Ok(())
    }

    /// Forgets all and reads the topic from its start.
    async fn read_anew(&self, progress: &mut Progress) -> Result<(), Error> {
        *self.index() = Index::default();
        *self.cache() = Cache::default();
        let (start, _) = self.log.bounds().await.map_err(|cause| self.failed(cause))?;
        *progress = Progress { next: start, stale: true };
        self.read_to(progress, 0).await?;
        self.index().settle();
        Ok(())
    }

    /// Reads from where it stopped to the end, or up to an offset that is known to be there.
    async fn read_on(&self, progress: &mut Progress, known: i64) -> Result<(), Error> {
        match self.read_to(progress, known).await {
            Err(Error::Cluster { cause, .. }) if cause.response() == Some(ResponseError::OffsetOutOfRange) => {
                tracing::warn!(topic = self.topic, "the offset map {} has lost records: it is read anew", self.topic);
                self.read_anew(progress).await
            }
            outcome => outcome,
        }
    }

    /// Chunk by chunk, so that memory holds one of them.
    async fn read_to(&self, progress: &mut Progress, known: i64) -> Result<(), Error> {
        let mut end = known.max(self.log.bounds().await.map_err(|cause| self.failed(cause))?.1);
        while progress.next < end {
            let read = self.log.read(progress.next, READ_BYTES).await;
            let (records, next) = read.map_err(|cause| self.failed(cause))?;
            for Record { offset, key, value, .. } in &records {
                self.take(*offset, key.as_deref(), value.as_deref());
            }
            if next == progress.next {
                // A leader that came up with less, or that does not yet know how far others are.
                end = self.log.bounds().await.map_err(|cause| self.failed(cause))?.1;
            }
            progress.next = next.max(progress.next);
        }
        progress.stale = false;
        Ok(())
    }

    fn take(&self, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        match MapRecord::decode(key, value) {
            Ok(record) => self.index().apply(offset, record),
            Err(error) => {
                let topic = &self.topic;
                tracing::error!(
                    topic,
                    offset,
                    "skipped a record of the offset map {topic} at offset {offset}: {error}"
                );
            }
        }
    }

    fn translate(&self, link: &Link, offset: i64) -> Result<Translation, Entry> {
        let index = self.index();
        let Some(map) = index.link(link) else { return Ok(Translation::Unmapped) };
        map.translate(offset, |id| self.cache().get((map.serial, id)))
    }

    /// Gets a block into the cache. One that is not where it should be was stored again, or deleted: then the topic is read on, and what is
    /// nowhere is given up.
    async fn fetch(&self, link: &Link, entry: &Entry) -> Result<(), Error> {
        let read = match self.log.read(entry.offset, 1).await {
            Ok((records, _)) => records,
            Err(error) if error.response() == Some(ResponseError::OffsetOutOfRange) => Vec::new(),
            Err(error) => return Err(self.failed(error)),
        };
        let record = read.into_iter().find(|record| record.offset == entry.offset);
        let decoded = record.and_then(|record| MapRecord::decode(record.key.as_deref(), record.value.as_deref()).ok());
        if let Some(MapRecord::Block(of, id, Some(value))) = decoded
            && (of, id) == (MapLink::from(link), entry.id)
            && (value.runs.begin(), value.runs.end().0) == (entry.begin, entry.end)
        {
            if let Some(map) = self.index().link(link) {
                self.cache().put((map.serial, id), Arc::new(value.runs));
            }
            return Ok(());
        }
        let mut progress = self.progress.lock().await;
        self.read_on(&mut progress, 0).await?;
        if self.index().link_mut(link).is_some_and(|map| map.lose(entry)) {
            let (topic, offset, number) = (&self.topic, entry.offset, entry.id.number);
            tracing::error!(topic, offset, "block {number} of {link} is lost: the offset map {topic} no longer has it");
        }
        Ok(())
    }
}

fn tombstone(link: &Link, block: Option<BlockId>) -> Pair {
    let link = MapLink::from(link);
    let key = block.map_or_else(|| MapKey::Anchor(link.clone()), |id| MapKey::Block(link.clone(), id));
    (Some(key.encode()), None)
}

/// Cuts into batches of no more than so many bytes, where a record alone is not larger.
fn batches(pairs: Vec<Pair>, limit: usize) -> Vec<Vec<Pair>> {
    let mut batches: Vec<Vec<Pair>> = Vec::new();
    let mut room = 0;
    for pair in pairs {
        let length = |part: &Option<bytes::Bytes>| part.as_ref().map_or(0, bytes::Bytes::len);
        let bytes = length(&pair.0) + length(&pair.1) + RECORD_OVERHEAD;
        match batches.last_mut() {
            Some(batch) if bytes <= room => {
                batch.push(pair);
                room -= bytes;
            }
            _ => {
                batches.push(vec![pair]);
                room = limit.saturating_sub(bytes + wire::HEADER_LEN);
            }
        }
    }
    batches
}

/// Blocks looked up last. Keys: a link's number in the index, and the block.
#[derive(Debug, Default)]
struct Cache {
    blocks: HashMap<(u64, BlockId), (Arc<Runs>, u64)>,
    uses: u64,
}

impl Cache {
    fn get(&mut self, key: (u64, BlockId)) -> Option<Arc<Runs>> {
        self.uses += 1;
        let (runs, used) = self.blocks.get_mut(&key)?;
        *used = self.uses;
        Some(Arc::clone(runs))
    }

    fn put(&mut self, key: (u64, BlockId), runs: Arc<Runs>) {
        self.uses += 1;
        // A miss has cost a request: looking at all is nothing beside it.
        if self.blocks.len() >= CACHED_BLOCKS
            && let Some(oldest) = self.blocks.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key)
        {
            self.blocks.remove(&oldest);
        }
        self.blocks.insert(key, (runs, self.uses));
    }
}

#[cfg(test)]
mod tests;
