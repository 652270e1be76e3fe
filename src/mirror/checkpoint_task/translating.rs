//! What committed offsets are in the target: asked of the offset map, of offset syncs, and of the source.

use std::collections::{BTreeSet, HashMap};

use wire::{OffsetSpec, TopicPartition};

use super::CheckpointTask;
use crate::{
    mirror::{Knowledge, OffsetSyncStore, SyncTranslation, TargetOffset, Untranslated, checkpoint_topic},
    offsets::{Link, OffsetMaps, Translation},
};

/// What is done, for the log.
const READING_MAP: &str = "reading the offset map";

impl CheckpointTask {
    /// What committed offsets are in the target. Where the map can't be read none is told: a sync alone might lead behind records that the
    /// map knows to be missing.
    pub(super) async fn translate(
        &mut self,
        offsets: &BTreeSet<(TopicPartition, i64)>,
        syncs: &OffsetSyncStore,
    ) -> HashMap<(TopicPartition, i64), Result<TargetOffset, Untranslated>> {
        let mut failed = None;
        if let Some(maps) = &self.clusters.maps {
            failed = maps.read_on().await.err();
        }
        let links = self.links();
        self.tell_misnamed(offsets.iter().filter_map(|(partition, _)| links.get(partition)));
        let mut known = Vec::new();
        let mut unread = Vec::new();
        for (partition, committed) in offsets {
            let key = (partition.clone(), *committed);
            if failed.is_some() {
                unread.push(key);
                continue;
            }
            let sync = syncs.translate(partition, *committed);
            let mut knowledge = Knowledge {
                committed: Some(*committed),
                map: Translation::Unmapped,
                copied_to: None,
                sync,
                map_of_sync: None,
                source_log_start: None,
            };
            if let Some((maps, link)) = self.clusters.maps.as_ref().zip(links.get(partition)) {
                // Before the map, which may have grown when it is asked.
                knowledge.copied_to = maps.anchor(link).map(|anchor| anchor.source_offset);
                let of_sync = match sync {
                    SyncTranslation::At { upstream_offset, .. } => Some(upstream_offset),
                    _ => None,
                };
                let wanted: Vec<i64> = [*committed].into_iter().chain(of_sync).collect();
                match maps.translate(link, &wanted).await {
                    Ok(told) => {
                        let mut told = told.into_iter();
                        knowledge.map = told.next().unwrap_or(Translation::Unmapped);
                        knowledge.map_of_sync = told.next();
                    }
                    Err(error) => {
                        failed = Some(error);
                        unread.push(key);
                        continue;
                    }
                }
            }
            known.push((key, knowledge));
        }
        match failed {
            Some(error) => _ = self.troubles.failed(&self.clusters.target, READING_MAP, &error.to_string()),
            None => self.troubles.worked(&self.clusters.target, READING_MAP),
        }
        let is_before = |knowledge: &Knowledge| matches!(knowledge.map, Translation::BeforeMirror { .. });
        let asked: BTreeSet<_> =
            known.iter().filter(|(_, known)| is_before(known)).map(|((partition, _), _)| partition.clone()).collect();
        let starts = self.log_starts(asked).await;
        known
            .into_iter()
            .map(|((partition, committed), mut knowledge)| {
                knowledge.source_log_start = starts.get(&partition).copied();
                ((partition, committed), knowledge.translate())
            })
            .chain(unread.into_iter().map(|key| (key, Err(Untranslated::NotRead))))
            .collect()
    }

    /// By source partition the link of whoever copies it: to the topic that checkpoints name, if one does that.
    fn links(&self) -> HashMap<TopicPartition, Link> {
        let mut links: HashMap<TopicPartition, Link> = HashMap::new();
        for link in self.clusters.maps.iter().flat_map(OffsetMaps::links) {
            let is_named = || link.target.topic == self.named(&link.source.topic);
            if !links.contains_key(&link.source) || is_named() {
                links.insert(link.source.clone(), link);
            }
        }
        links
    }

    /// The name that checkpoints have for a topic of the source.
    pub(super) fn named(&self, topic: &str) -> String {
        let mirror = &self.config.mirror;
        checkpoint_topic(&*self.policy, &mirror.source_alias, &mirror.target_alias, topic)
    }

    /// Says, once, that groups won't find the topics that checkpoints name: the connector that copies has another policy.
    fn tell_misnamed<'l>(&mut self, links: impl Iterator<Item = &'l Link>) {
        let is_misnamed = |link: &&Link| link.target.topic != self.named(&link.source.topic);
        let copied: BTreeSet<_> =
            links.filter(is_misnamed).map(|link| (&link.source.topic, &link.target.topic)).collect();
        let Some((source, target)) = copied.first().filter(|_| !self.misnamed) else { return };
        tracing::warn!(
            connector = self.config.mirror.name,
            topics = copied.len(),
            "checkpoints and offsets of groups name {}, but {source} is copied to {target}: this connector needs the \
             replication.policy.class, replication.policy.separator and source.cluster.alias of the one that copies",
            self.named(source)
        );
        self.misnamed = true;
    }

    async fn log_starts(&mut self, partitions: BTreeSet<TopicPartition>) -> HashMap<TopicPartition, i64> {
        if partitions.is_empty() {
            return HashMap::new();
        }
        let wanted: Vec<_> = partitions.into_iter().map(|partition| (partition, OffsetSpec::Earliest)).collect();
        // What is not told counts as not known: then nothing is passed over.
        let told = self.clusters.source.list_offsets(&wanted).await.unwrap_or_default();
        told.into_iter().filter_map(|(partition, offset)| Some((partition, offset.ok()?))).collect()
    }
}
