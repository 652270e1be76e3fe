//! MirrorSourceConnector: reaches the clusters, keeps the target's topics, tells the tasks what to copy.

mod beside;
mod deletion;

use std::{collections::BTreeMap, sync::Arc};

use tokio::{sync::watch, task::JoinSet};
use tracing::{error, info, warn};
use wire::{Cluster, ClusterConfig, Codec, Levels, TopicPartition};

use self::deletion::Deletion;
use super::{
    AclDifference, Destination, Error, MirroredTopic, Selection, SourceCheck, SyncsFlush,
    acls::Acls,
    reach::{REACHING_SOURCE, ask_id, cluster_config, cluster_id, probe, same_source, target_id, within},
    split,
    syncs::{Emitting, NotedSyncs},
    topics::{self, Outcome, TopicRules},
};
use crate::{
    config::{self, AutoOffsetReset, Compression, Compressor, IsolationLevel, Side, SourceConnectorConfig},
    flow::{
        EventKind, Events, FetchSettings, FlowPartition, FlowSpec, GapPolicies, GapPolicy, Limits, NotedPairs,
        PoisonPolicy, RateCap, Start, StoredPosition, WriteSettings,
    },
    offsets::OffsetMaps,
};

/// Compares ACLs at both ends, also while their connector is busy.
#[derive(Debug, Clone)]
pub struct AclView {
    acls: Acls,
    mirrored: watch::Receiver<Option<Arc<[MirroredTopic]>>>,
}

impl AclView {
    /// What the next copy of ACLs would do, as they are now and for the topics of the last refresh. Nothing is written.
    ///
    /// # Errors
    /// ACLs can't be read at one of the clusters: no right to, no authorizer (SECURITY_DISABLED), or nobody answers within `admin.timeout.ms`.
    pub async fn difference(&self) -> Result<AclDifference, Error> {
        let topics = self.mirrored.borrow().clone().unwrap_or_default();
        self.acls.plan(&topics).await.map(AclDifference::from)
    }
}

/// MirrorSourceConnector: what is mirrored, and under which names.
#[derive(Debug)]
pub struct SourceConnector {
    config: SourceConnectorConfig,
    selection: Arc<Selection>,
    source_config: ClusterConfig,
    source: Cluster,
    /// Cluster id of the source when the connector started; empty while the connector is disabled.
    source_id: String,
    target: Cluster,
    topics: usize,
    failures: BTreeMap<String, String>,
    /// Topics that the target has, as of the last refresh; none before the first.
    mirrored: watch::Sender<Option<Arc<[MirroredTopic]>>>,
    acls: Acls,
    /// Where it stands what earlier lives have done; none before that is open, and absent where there is no such place.
    maps: watch::Sender<Option<Option<OffsetMaps>>>,
    /// Absent where no offset syncs are written.
    emitting: Option<Arc<Emitting>>,
    /// What is done beside the copy, aborted with the connector.
    beside: JoinSet<()>,
    /// `kmirror.topic.deletion`; absent for never.
    deletion: Option<Deletion>,
}

impl SourceConnector {
    /// Reaches the source and checks that `target.cluster.bootstrap.servers`, where it is given, is the worker's
    /// cluster. A connector with `enabled=false` reaches nobody.
    ///
    /// # Errors
    /// A cluster is not reached within about 10 s (the error names addresses and cause), or is another one than it must
    /// be. All may pass: try again after a while.
    pub async fn connect(config: SourceConnectorConfig, worker: &Cluster) -> Result<Self, Error> {
        let selection = Arc::new(Selection::new(&config)?);
        let client_id = admin_client_id(&config, Side::Source);
        let mut source_config = cluster_config(&config.mirror.source_alias, &config.source_bootstrap, &client_id);
        source_config.rack.clone_from(&config.fetch.rack);
        let source = Cluster::new(source_config.clone());
        // Known to the user by the connector's name for it, not by the worker's.
        let target = worker.with_alias(config.mirror.target_alias.as_str());
        let acls = Acls::new([&source, &target], &selection, &config.acls, config.mirror.admin_timeout);
        let deletion = config.topic_deletion.map(|after| Deletion::new(after, &config.mirror.name));
        let mut connector = Self {
            source,
            source_config,
            source_id: String::new(),
            target,
            selection,
            config,
            topics: 0,
            failures: BTreeMap::new(),
            mirrored: watch::Sender::new(None),
            acls,
            maps: watch::Sender::new(None),
            emitting: None,
            beside: JoinSet::new(),
            deletion,
        };
        if connector.config.mirror.enabled {
            connector.source_id = connector.check_clusters(worker).await?;
            connector.begin_beside();
        }
        Ok(connector)
    }

    /// Asks all clusters for their ids at once and compares them; returns the source's.
    async fn check_clusters(&self, worker: &Cluster) -> Result<String, Error> {
        let config = &self.config;
        let source = probe(self.source_config.clone());
        let target_client = admin_client_id(config, Side::Target);
        let (source_id, worker_id) =
            tokio::join!(cluster_id(REACHING_SOURCE, &source), target_id(worker, &config.mirror, &target_client),);
        let (source_id, worker_id) = (source_id?, worker_id?);
        if source_id == worker_id && self.selection.keeps_names() {
            return Err(Error::SameCluster {
                addresses: source.addresses(),
                id: source_id,
                policy: config.mirror.policy.class,
            });
        }
        Ok(source_id)
    }

    /// For finding out between refreshes whether the source is still there. Not for a connector that is not enabled.
    #[must_use]
    pub fn source_check(&self) -> Arc<SourceCheck> {
        SourceCheck::new(self.source_config.clone(), self.source_id.clone())
    }

    /// One refresh: lists the source's topics, makes missing remote topics and partitions. Returns the source
    /// partitions to mirror, by topic and number: those whose remote partition exists. The others are in
    /// [`failures`](Self::failures) and tried again at the next refresh.
    ///
    /// # Errors
    /// The source is another cluster than at the start, or the clusters' topics could not be listed or altered at all;
    /// bounded by `admin.timeout.ms`.
    pub async fn sync_topics(&mut self) -> Result<Vec<TopicPartition>, Error> {
        if !self.config.mirror.enabled {
            return Ok(Vec::new());
        }
        let limit = self.config.mirror.admin_timeout;
        let listing = async {
            // Another cluster's topics would be made on the target among those of the one that was meant.
            let id = ask_id(REACHING_SOURCE, &self.source).await?;
            same_source(&self.source_config, &self.source_id, id)?;
            self.source.topics(None).await.map_err(Error::during("listing the source's topics"))
        };
        let metadata = within(limit, "listing the source's topics", &self.source, listing).await?;
        let selected = self.selection.select(&metadata);
        for (topic, reason) in &selected.failures {
            warn!(topic, "topic is not mirrored: {reason}");
        }
        let rules = topic_rules(&self.config);
        let syncing = topics::sync(&self.source, &self.target, &selected.topics, &rules);
        let outcome = within(limit, "bringing the target's topics up to date", &self.target, syncing).await?;
        let partitions = mirrored_partitions(&selected.topics, &outcome);
        info!(
            connector = self.config.mirror.name,
            topics = selected.topics.len(),
            partitions = partitions.len(),
            "topics refreshed"
        );
        let there = selected.topics.iter().filter(|topic| outcome.partitions.contains_key(&topic.remote)).cloned();
        self.mirrored.send_replace(Some(there.collect()));
        if let Some(deletion) = &mut self.deletion {
            deletion.wanted = selected.topics.iter().map(|topic| topic.remote.clone()).collect();
            deletion.listed = metadata.into_iter().map(|topic| topic.name).collect();
            deletion.made.extend(outcome.made);
        }
        self.topics = selected.topics.len() + selected.failures.len();
        self.failures = outcome.failures;
        self.failures.extend(selected.failures);
        Ok(partitions)
    }

    /// Where it stands what earlier lives of the connector have done; absent where there is no such place. ACLs that may be removed again
    /// (`kmirror.acls.remove`) are not copied before this is told.
    pub fn remember(&self, maps: Option<OffsetMaps>) {
        self.maps.send_if_modified(|known| {
            let is_new = known.is_none();
            known.get_or_insert(maps);
            is_new
        });
    }

    /// For asking what the next copy of ACLs would do.
    #[must_use]
    pub fn acl_view(&self) -> AclView {
        AclView { acls: self.acls.clone(), mirrored: self.mirrored.subscribe() }
    }

    /// For writing offset syncs of all that was acknowledged, when a task has drained; absent where none are written. They are written as long as
    /// there is one of these.
    #[must_use]
    pub fn syncs_flush(&self) -> Option<SyncsFlush> {
        self.emitting.as_ref().map(Emitting::flush)
    }

    /// What offset syncs tell of copies that MirrorMaker made; absent where they are not to be looked into.
    #[must_use]
    pub fn noted_pairs(&self) -> Option<Arc<dyn NotedPairs>> {
        let most = i64::try_from(self.config.backfill_offsets).unwrap_or(i64::MAX);
        let location = self.config.offset_syncs.as_ref().filter(|_| most > 0)?.location;
        let cluster = match location {
            Side::Source => self.source.clone(),
            Side::Target => self.target.clone(),
        };
        let topic = self.selection.offset_syncs_topic(self.config.mirror.offset_syncs_alias(location));
        Some(Arc::new(NotedSyncs { cluster, from: TopicPartition::new(topic, 0), most }))
    }

    /// Source topics that are not, or not fully, mirrored since the last refresh, with the reason.
    #[must_use]
    pub fn failures(&self) -> &BTreeMap<String, String> {
        &self.failures
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.mirror.name
    }

    /// How many source topics should be mirrored, as of the last refresh; [`failures`](Self::failures) among them.
    #[must_use]
    pub fn topics(&self) -> usize {
        self.topics
    }

    /// The connector's configuration.
    #[must_use]
    pub fn config(&self) -> &SourceConnectorConfig {
        &self.config
    }

    /// The source cluster.
    #[must_use]
    pub fn source(&self) -> &Cluster {
        &self.source
    }

    /// MirrorMaker's split: dealt round-robin over min(tasks.max, n) tasks.
    #[must_use]
    pub fn task_partitions(&self, partitions: &[TopicPartition]) -> Vec<Vec<TopicPartition>> {
        split(partitions, self.config.mirror.tasks_max)
    }

    /// What a task copies, and from where. `positions` holds the last replicated source offset of each partition that
    /// has one, `limits` are the worker's, `rate` and `events` are what all tasks of the connector share.
    ///
    /// With `auto.offset.reset=none` a partition without a position is left out and logged;
    /// [`without_start`](Self::without_start) names those. Where it is stored how far the copy is, is for the caller to say.
    #[must_use]
    pub fn flow_spec(
        &self,
        task: usize,
        partitions: &[TopicPartition],
        positions: &BTreeMap<TopicPartition, StoredPosition>,
        limits: &Limits,
        rate: &RateCap,
        events: &Events,
    ) -> FlowSpec {
        let name = format!("{}-{task}", self.config.mirror.name);
        for partition in self.without_start(partitions, positions) {
            error!(task = name, %partition, "no stored position and auto.offset.reset=none: partition is not copied");
        }
        let partitions = partitions
            .iter()
            .filter_map(|partition| {
                let Destination { topic, transforms } = self.selection.destination(&partition.topic)?;
                Some(FlowPartition {
                    source: partition.clone(),
                    target: TopicPartition::new(topic, partition.partition),
                    start: self.start(positions.get(partition))?,
                    anchored: positions.get(partition).and_then(|position| position.anchored),
                    transforms,
                })
            })
            .collect();
        FlowSpec {
            consumer_client_id: format!("{}|replication-consumer", client_id(&self.config, &name)),
            producer_client_id: format!("connector-producer-{name}"),
            name,
            source: self.source.clone(),
            target: self.target.clone(),
            partitions,
            fetch: FetchSettings {
                max_wait: self.config.fetch.max_wait,
                min_bytes: self.config.fetch.min_bytes,
                max_bytes: self.config.fetch.max_bytes,
                max_partition_bytes: self.config.fetch.max_partition_bytes,
                read_committed: self.config.isolation_level == IsolationLevel::ReadCommitted,
            },
            write: self.write_settings(),
            anchoring: None,
            landings: self.emitting.as_ref().map(|emitting| emitting.landings()),
            gaps: gap_policies(&self.config.gaps),
            events: events.clone(),
            limits: limits.clone(),
            rate: rate.clone(),
        }
    }

    fn write_settings(&self) -> WriteSettings {
        let kept = Levels::default();
        let (codec, levels) = match self.config.compression {
            Compression::Keep => (None, kept),
            Compression::Configured(compressor) => match compressor {
                Compressor::None => (Some(Codec::None), kept),
                Compressor::Gzip { level } => (Some(Codec::Gzip), Levels { gzip: level, ..kept }),
                Compressor::Snappy => (Some(Codec::Snappy), kept),
                Compressor::Lz4 => (Some(Codec::Lz4), kept),
                Compressor::Zstd { level } => (Some(Codec::Zstd), Levels { zstd: level, ..kept }),
            },
        };
        let poison = match &self.config.poison {
            config::PoisonPolicy::Fail => PoisonPolicy::Fail,
            config::PoisonPolicy::Skip => PoisonPolicy::Skip,
            config::PoisonPolicy::Park { topic } => PoisonPolicy::Park { topic: topic.clone() },
        };
        let (join, replication_factor) = (self.config.join_small_batches, self.config.replication_factor);
        WriteSettings { codec, levels, poison, join, replication_factor }
    }

    fn start(&self, position: Option<&StoredPosition>) -> Option<Start> {
        // A copy that has begun needs no rule: its anchor tells where.
        let begun = position.filter(|position| position.anchored.is_some()).map(|_| Start::Earliest);
        start(position.map(|position| position.offset), self.config.auto_offset_reset).or(begun)
    }

    /// The partitions that have no stored position while `auto.offset.reset=none` forbids to choose one.
    #[must_use]
    pub fn without_start(
        &self,
        partitions: &[TopicPartition],
        positions: &BTreeMap<TopicPartition, StoredPosition>,
    ) -> Vec<TopicPartition> {
        let has_start = |partition: &&TopicPartition| self.start(positions.get(*partition)).is_some();
        partitions.iter().filter(|partition| !has_start(partition)).cloned().collect()
    }
}

/// The flow's word for what the configuration says of each kind of gap.
fn gap_policies(config: &config::GapPolicies) -> GapPolicies {
    let of = |policy| match policy {
        config::GapPolicy::Fail => GapPolicy::Fail,
        config::GapPolicy::Continue => GapPolicy::Continue,
        config::GapPolicy::Recopy => GapPolicy::Recopy,
    };
    // Taken apart, so that a key that is not obeyed is noticed.
    let config::GapPolicies {
        data_loss,
        topic_recreated,
        source_diverged,
        position_beyond_source,
        target_recreated,
        target_regressed,
        anchor_lost,
    } = *config;
    GapPolicies::default()
        .with(EventKind::DataLoss, of(data_loss))
        .with(EventKind::TopicRecreated, of(topic_recreated))
        .with(EventKind::SourceDiverged, of(source_diverged))
        .with(EventKind::PositionBeyondSource, of(position_beyond_source))
        .with(EventKind::TargetRecreated, of(target_recreated))
        .with(EventKind::TargetRegressed, of(target_regressed))
        .with(EventKind::AnchorLost, of(anchor_lost))
}

/// Where a partition begins: behind the last replicated offset, or as `auto.offset.reset` says. A negative position
/// means none, as in `MirrorSourceTask`.
fn start(position: Option<i64>, reset: AutoOffsetReset) -> Option<Start> {
    match (position, reset) {
        (Some(last), _) if (0..i64::MAX).contains(&last) => Some(Start::At(last + 1)),
        (_, AutoOffsetReset::Earliest) => Some(Start::Earliest),
        (_, AutoOffsetReset::Latest) => Some(Start::Latest),
        (_, AutoOffsetReset::None) => None,
    }
}

/// How topics are made and their settings kept.
fn topic_rules(config: &SourceConnectorConfig) -> TopicRules {
    TopicRules {
        replication_factor: config.replication_factor,
        config_exclude: config.config_properties_exclude.clone(),
        use_defaults_from_source: config.use_defaults_from_source,
    }
}

/// The source partitions whose remote partition exists, by topic and number.
fn mirrored_partitions(topics: &[MirroredTopic], outcome: &Outcome) -> Vec<TopicPartition> {
    let mut partitions: Vec<TopicPartition> = topics
        .iter()
        .flat_map(|topic| {
            let on_target = outcome.partitions.get(&topic.remote).copied().unwrap_or(0);
            (0..topic.partitions.min(on_target)).map(|partition| TopicPartition::new(topic.source.clone(), partition))
        })
        .collect();
    partitions.sort();
    partitions
}

/// The beginning of client ids, as `MirrorConnectorConfig` makes it; `owner` is the connector or its task. Brokers' quotas
/// and request logs go by them, so they are MirrorMaker's.
fn client_id(config: &SourceConnectorConfig, owner: &str) -> String {
    format!("{}->{}|{owner}", config.mirror.source_alias, config.mirror.target_alias)
}

fn admin_client_id(config: &SourceConnectorConfig, side: Side) -> String {
    format!("{}|replication-{}-admin", client_id(config, &config.mirror.name), side.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::selection::tests::config;

    #[tokio::test]
    async fn client_ids_are_mirrormakers() {
        let worker = Cluster::new(ClusterConfig::new("worker", &["127.0.0.1:9".to_owned()]));
        let connector = SourceConnector::connect(config("enabled=false"), &worker).await.unwrap();
        let (limits, rate, events) = (Limits::default(), RateCap::default(), Events::default());
        let spec = connector.flow_spec(2, &[], &BTreeMap::new(), &limits, &rate, &events);
        assert_eq!(spec.name, "msc-2");
        assert_eq!(spec.consumer_client_id, "source->target|msc-2|replication-consumer");
        assert_eq!(spec.producer_client_id, "connector-producer-msc-2");
        let admins = [Side::Source, Side::Target].map(|side| admin_client_id(&connector.config, side));
        assert_eq!(
            admins,
            ["source->target|msc|replication-source-admin", "source->target|msc|replication-target-admin"]
        );
        let syncs = [Side::Source, Side::Target].map(|side| beside::syncs_client_id(&connector.config, side));
        assert_eq!(
            syncs,
            ["source->target|msc-0|offset-syncs-source-producer", "source->target|msc-0|offset-syncs-target-producer"]
        );
    }

    #[test]
    fn each_gap_has_the_policy_of_its_key() {
        let of = |lines: &str| {
            let policies = gap_policies(&config(lines).gaps);
            let meant = EventKind::ALL.into_iter().map(|kind| (kind, policies.of(kind)));
            meant.filter(|(_, policy)| *policy != GapPolicy::Fail).collect::<Vec<_>>()
        };
        assert_eq!(of(""), []);
        for (key, kind) in [
            ("data.loss", EventKind::DataLoss),
            ("topic.recreated", EventKind::TopicRecreated),
            ("source.diverged", EventKind::SourceDiverged),
            ("position.beyond.source", EventKind::PositionBeyondSource),
            ("target.recreated", EventKind::TargetRecreated),
            ("target.regressed", EventKind::TargetRegressed),
            ("anchor.lost", EventKind::AnchorLost),
        ] {
            assert_eq!(of(&format!("kmirror.{key}.policy=continue")), [(kind, GapPolicy::Continue)]);
        }
        let recopied = [(EventKind::TargetRegressed, GapPolicy::Recopy)];
        assert_eq!(of("kmirror.target.regressed.policy=recopy"), recopied);
    }

    #[test]
    fn a_partition_begins_behind_its_position() {
        // MirrorSourceTaskTest.testSeekBehaviorDuringStart
        let table = [
            (Some(0), AutoOffsetReset::Earliest, Some(Start::At(1))),
            (Some(41), AutoOffsetReset::Latest, Some(Start::At(42))),
            (Some(41), AutoOffsetReset::None, Some(Start::At(42))),
            (Some(-1), AutoOffsetReset::Earliest, Some(Start::Earliest)),
            (None, AutoOffsetReset::Earliest, Some(Start::Earliest)),
            (None, AutoOffsetReset::Latest, Some(Start::Latest)),
            (None, AutoOffsetReset::None, None),
        ];
        for (position, reset, expected) in table {
            assert_eq!(start(position, reset), expected, "{position:?} {reset:?}");
        }
    }

    #[test]
    fn only_partitions_that_exist_on_the_target_are_copied() {
        let topic = |source: &str, partitions| MirroredTopic {
            source: source.to_owned(),
            remote: format!("A.{source}"),
            partitions,
        };
        let outcome = Outcome {
            partitions: BTreeMap::from([("A.b".to_owned(), 2), ("A.a".to_owned(), 9), ("A.c".to_owned(), 1)]),
            ..Outcome::default()
        };
        let topics = [topic("b", 2), topic("a", 1), topic("c", 3), topic("failed", 4)];
        let names: Vec<String> = mirrored_partitions(&topics, &outcome).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a-0", "b-0", "b-1", "c-0"]);
    }
}
