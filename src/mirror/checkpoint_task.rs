//! A task of MirrorCheckpointConnector: writes checkpoints of its groups, and sets their offsets in the target.

mod desk;
mod syncing;
mod topics;
mod translating;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use replication_policy::ReplicationPolicy;
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior},
};
use wire::{Cluster, CommittedOffset, NewRecord, ResponseError, TopicPartition, now_ms};

pub use self::desk::{GroupDesk, GroupReport, Synced};
use self::{desk::Ask, topics::batches};
use super::{
    Checkpoint, Checkpoints, GroupSelection, GroupSync, LoadingCheckpoints, OffsetSyncStore, Untranslated,
    reading::read_on, trouble::Troubles,
};
use crate::{config::CheckpointConnectorConfig, offsets::OffsetMaps};

/// Before reading a topic is tried again that a task needs before it can begin.
const AGAIN: Duration = Duration::from_secs(1);

/// What a task reads and writes.
#[derive(Debug, Clone)]
pub(super) struct TaskClusters {
    pub(super) source: Cluster,
    pub(super) target: Cluster,
    /// Offset syncs, wherever they are.
    pub(super) syncs: (Cluster, TopicPartition),
    /// Checkpoints, in the target.
    pub(super) checkpoints: TopicPartition,
    pub(super) maps: Option<OffsetMaps>,
}

/// A task of MirrorCheckpointConnector.
#[derive(Debug)]
pub struct CheckpointTask {
    groups: Vec<String>,
    clusters: TaskClusters,
    config: Arc<CheckpointConnectorConfig>,
    policy: Arc<dyn ReplicationPolicy>,
    selection: Arc<GroupSelection>,
    troubles: Troubles,
    /// Of the offset syncs topic: the next offset to read; absent before its start is known.
    syncs_read: Option<i64>,
    /// What was last found of each group.
    reports: BTreeMap<String, GroupReport>,
    /// It was said that checkpoints name other topics than those copied to.
    misnamed: bool,
    asked: mpsc::Receiver<Ask>,
}

/// What a task knows of its groups.
struct Known {
    checkpoints: Checkpoints,
    syncs: OffsetSyncStore,
    sync: GroupSync,
}

impl CheckpointTask {
    pub(super) fn new(
        name: String,
        groups: Vec<String>,
        clusters: TaskClusters,
        config: Arc<CheckpointConnectorConfig>,
        policy: Arc<dyn ReplicationPolicy>,
        selection: Arc<GroupSelection>,
        desk: &GroupDesk,
    ) -> Self {
        let (troubles, asked) = (Troubles::new(&name), desk.open());
        let (syncs_read, reports, misnamed) = (None, BTreeMap::new(), false);
        Self { groups, clusters, config, policy, selection, troubles, syncs_read, reports, misnamed, asked }
    }

    /// Reads what earlier tasks wrote, then writes checkpoints at once and every `emit.checkpoints.interval.seconds`, and with
    /// `sync.group.offsets.enabled` sets offsets in the target every `sync.group.offsets.interval.seconds`. What fails is told in the log and
    /// tried again. Runs until it is dropped.
    pub async fn run(mut self) {
        let checkpoints = self.load_checkpoints().await;
        let mut sync = GroupSync::new(self.config.group_sync_rewind);
        for group in &self.groups {
            checkpoints.of(group).for_each(|(partition, checkpoint)| sync.written(group, partition, checkpoint));
        }
        let syncs = OffsetSyncStore::new(checkpoints.is_complete());
        let mut known = Known { checkpoints, syncs, sync };
        let mut emit = self.config.emit_checkpoints.map(|every| interval(every, Duration::ZERO));
        let mut sync = self.config.sync_group_offsets.map(|every| interval(every, every));
        loop {
            tokio::select! {
                () = tick(&mut emit) => self.emit(&mut known).await,
                () = tick(&mut sync) => {
                    self.sync_offsets(&mut known).await;
                }
                Some(ask) = self.asked.recv() => self.answer(ask, &mut known).await,
            }
        }
    }

    async fn answer(&mut self, ask: Ask, known: &mut Known) {
        // Who asked may be gone.
        match ask {
            Ask::Groups(answer) => _ = answer.send(self.reports.clone()),
            Ask::Sync(answer) => {
                self.emit(known).await;
                _ = answer.send(self.sync_offsets(known).await);
            }
        }
    }

    /// The checkpoints that are there, of this task's groups; without the right to read them it goes on as if there were none.
    async fn load_checkpoints(&mut self) -> Checkpoints {
        let what = "reading checkpoints";
        loop {
            let mut loading = LoadingCheckpoints::new(self.groups.iter().cloned());
            let mut next = None;
            let (target, from) = (&self.clusters.target, &self.clusters.checkpoints);
            let read = read_on(target, from, &mut next, |key, value| {
                loading.take(key, value).map_err(|error| error.to_string())
            });
            match read.await {
                Ok(()) => {
                    self.troubles.worked(target, what);
                    return loading.loaded();
                }
                Err(error) if error.response() == Some(ResponseError::TopicAuthorizationFailed) => {
                    let topic = &from.topic;
                    tracing::warn!(topic, "checkpoints of before are not known, and offsets may go back: {error}");
                    return loading.unreadable();
                }
                Err(error) => {
                    self.troubles.failed(target, what, &error.to_string());
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Takes in offset syncs that have been written since.
    async fn read_syncs(&mut self, store: &mut OffsetSyncStore) {
        let what = "reading offset syncs";
        let (cluster, from) = &self.clusters.syncs;
        let read = read_on(cluster, from, &mut self.syncs_read, |key, value| {
            store.take(key, value).map_err(|error| error.to_string())
        });
        match read.await {
            Ok(()) => {
                self.troubles.worked(cluster, what);
                store.is_read_to_end();
            }
            // Nobody writes any: then there are none.
            Err(error) if error.response() == Some(ResponseError::UnknownTopicOrPartition) => store.is_read_to_end(),
            Err(error) => {
                if error.response() == Some(ResponseError::OffsetOutOfRange) {
                    // It was made again, or cleaned: from its start.
                    self.syncs_read = None;
                }
                self.troubles.failed(cluster, what, &error.to_string());
            }
        }
    }

    /// Writes the checkpoints that are due.
    async fn emit(&mut self, known: &mut Known) {
        self.read_syncs(&mut known.syncs).await;
        let committed = self.committed().await;
        let offsets: BTreeSet<(TopicPartition, i64)> = committed
            .iter()
            .flat_map(|(_, offsets)| offsets)
            .map(|(partition, committed)| (partition.clone(), committed.offset))
            .collect();
        let translated = self.translate(&offsets, &known.syncs).await;
        let translate = |partition: &TopicPartition, offset| {
            let known = translated.get(&(partition.clone(), offset));
            known.copied().unwrap_or(Err(Untranslated::NotMirrored))
        };
        let mut due = Vec::new();
        for (group, committed) in &committed {
            let outcomes = known.checkpoints.decide(group, committed, |topic| self.named(topic), translate);
            due.extend(outcomes.iter().filter_map(|outcome| Checkpoint::of(group, outcome)));
            self.reports.insert(group.clone(), GroupReport { time: now_ms(), outcomes: Ok(outcomes) });
        }
        self.write(due, &mut known.checkpoints).await;
    }

    /// What its groups have committed at the source, of topics that are taken.
    async fn committed(&mut self) -> Vec<(String, Vec<(TopicPartition, CommittedOffset)>)> {
        let what = "reading the offsets of groups";
        let source = &self.clusters.source;
        let told = match source.fetch_group_offsets(&self.groups).await {
            Ok(told) => told,
            Err(error) => {
                self.troubles.failed(source, what, &error.to_string());
                return Vec::new();
            }
        };
        let mut failure = None;
        let mut committed = Vec::new();
        for (group, offsets) in told {
            match offsets {
                Err(error) => {
                    failure = Some(format!("group {group}: {error}"));
                    self.reports.insert(group, GroupReport { time: now_ms(), outcomes: Err(error.to_string()) });
                }
                Ok(offsets) => {
                    let is_taken = |partition: &TopicPartition| self.selection.takes_topic(&partition.topic);
                    let taken = offsets.into_iter().filter(|(partition, _)| is_taken(partition));
                    // One that a transaction is about to change is told the next time.
                    let told = taken.filter_map(|(partition, committed)| Some((partition, committed.ok()?)));
                    committed.push((group, told.collect()));
                }
            }
        }
        match failure {
            Some(failure) => _ = self.troubles.failed(source, what, &failure),
            None => self.troubles.worked(source, what),
        }
        committed
    }

    async fn write(&mut self, due: Vec<Checkpoint>, checkpoints: &mut Checkpoints) {
        let what = "writing checkpoints";
        let target = &self.clusters.target;
        for some in batches(due) {
            let records: Vec<NewRecord> = some.iter().map(|(_, record)| record.clone()).collect();
            match target.append_records(&self.clusters.checkpoints, &records).await {
                Ok(_) => {
                    self.troubles.worked(target, what);
                    some.into_iter().for_each(|(checkpoint, _)| checkpoints.emitted(checkpoint));
                }
                Err(error) => {
                    self.troubles.failed(target, what, &error.to_string());
                    return;
                }
            }
        }
    }
}

fn interval(every: Duration, first: Duration) -> Interval {
    let mut interval = tokio::time::interval_at(Instant::now() + first, every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Never, where there is no interval.
async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => _ = interval.tick().await,
        None => std::future::pending().await,
    }
}
