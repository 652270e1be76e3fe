//! A MirrorSourceConnector's configuration, checked.

use std::time::Duration;

use super::{
    AclConfig, AutoOffsetReset, Compression, ConfigError, ConfigErrors, FetchKeys, GapPolicies, Hint, IsolationLevel,
    MirrorConfig, PoisonPolicy, Properties, RegexList, Side, WorkerConfig,
    client::{auto_offset_reset, effective_client, fetch_keys, isolation_level},
    compression::compression,
    gaps::gap_policies,
    hints,
    keys::{ClientRole, mirror_source_keys},
    mirror_config::{bootstrap, check_security, interval, offset_syncs_location, regex_list, source_bootstrap},
    plugin,
    poison::poison_policy,
    transforms::{TransformStage, transforms},
    values::Values,
};

/// Where offset syncs go, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetSyncs {
    /// Cluster of their topic: `offset-syncs.topic.location`.
    pub location: Side,
    /// Replication factor to make it with; −1 for the broker's default.
    pub replication_factor: i16,
    /// `offset.lag.max`, records: a translated offset lags behind by no more.
    pub lag_max: u64,
    /// Addresses, `host:port`, of their producer. Absent: it is the worker's cluster that has their topic.
    pub bootstrap: Option<Vec<String>>,
    /// `offset.flush.interval.ms` of the worker: how often those go out that are not due.
    pub commit_interval: Duration,
}

/// How topic settings are changed on the target: `use.incremental.alter.configs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlterConfigs {
    /// One by one where the target can, else all of a topic's at once.
    Requested,
    /// One by one, or not at all.
    Required,
    /// All of a topic's at once: what is not copied is taken back to its default.
    Never,
}

/// A MirrorSourceConnector's configuration.
#[derive(Debug, Clone)]
pub struct SourceConnectorConfig {
    /// What all of MirrorMaker's connectors have.
    pub mirror: MirrorConfig,
    /// Addresses, `host:port`, of the source cluster.
    pub source_bootstrap: Vec<String>,
    /// Topics to mirror.
    pub topics: RegexList,
    /// Topics not to mirror.
    pub topics_exclude: RegexList,
    /// Topic settings not to copy.
    pub config_properties_exclude: RegexList,
    /// Whether settings that are defaults on the source are copied too.
    pub use_defaults_from_source: bool,
    /// How topic settings are changed on the target.
    pub alter_configs: AlterConfigs,
    /// Between two looks for new topics and partitions; absent for never.
    pub refresh_topics: Option<Duration>,
    /// Between two copies of topic settings; absent for never.
    pub sync_topic_configs: Option<Duration>,
    /// Between two copies of ACLs; absent for never.
    pub sync_topic_acls: Option<Duration>,
    /// Which ACLs are copied, and what becomes of them.
    pub acls: AclConfig,
    /// How long a source topic has to be gone before the one that kmirror made of it is deleted; absent for never.
    pub topic_deletion: Option<Duration>,
    /// Absent where none are written.
    pub offset_syncs: Option<OffsetSyncs>,
    /// Replication factor of topics to make; −1 for the broker's default.
    pub replication_factor: i16,
    /// Whether heartbeats topics are mirrored whatever the filter says.
    pub heartbeats_replication: bool,
    /// Where a partition without a stored position begins.
    pub auto_offset_reset: AutoOffsetReset,
    /// Which records of transactions are read.
    pub isolation_level: IsolationLevel,
    /// How the data is fetched.
    pub fetch: FetchKeys,
    /// Bytes per second, as the brokers store them, that its tasks on a worker may fetch together; absent for no cap.
    pub max_bytes_per_second: Option<u64>,
    /// What is done to records on their way, in this order.
    pub transforms: Vec<TransformStage>,
    /// Which compression batches have on the target.
    pub compression: Compression,
    /// Whether small batches become larger ones.
    pub join_small_batches: bool,
    /// `kmirror.offset.map.enabled`.
    pub offset_map: bool,
    /// How far back what MirrorMaker has copied is compared with its source when a copy is taken over, source offsets; 0 for not at all.
    pub backfill_offsets: u64,
    /// What happens to records that the target can't take.
    pub poison: PoisonPolicy,
    /// What happens to partitions that meet a gap.
    pub gaps: GapPolicies,
    /// Sentences to log once: keys that are probably misspelt or without effect, and what is not built.
    pub hints: Vec<Hint>,
}

impl SourceConnectorConfig {
    /// Reads a connector's configuration, `name` included; `worker` says what a connector may override.
    ///
    /// # Errors
    /// All that is wrong with it. Where `connector.class` names no connector, that alone: nothing else can
    /// be judged then.
    pub fn parse(raw: &Properties, worker: &WorkerConfig) -> Result<Self, ConfigErrors> {
        plugin::connector_class(raw)?;
        let mut values = Values::read(mirror_source_keys(), raw);
        let mut errors = std::mem::take(&mut values.errors);
        let mirror = MirrorConfig::read(raw, &values, worker, &mut errors);
        let source_bootstrap = source_bootstrap(raw, ClientRole::Consumer, &mut errors);
        let offset_syncs = values.boolean("emit.offset-syncs.enabled").then(|| {
            let location = offset_syncs_location(&values);
            OffsetSyncs {
                location,
                replication_factor: values.number("offset-syncs.topic.replication.factor").unwrap_or(-1),
                lag_max: values.number("offset.lag.max").unwrap_or_default(),
                bootstrap: bootstrap(raw, location, ClientRole::Producer, &mut errors),
                commit_interval: worker.offset_flush_interval,
            }
        });
        check_offset_syncs(raw, offset_syncs.as_ref(), &mut errors);
        let mut clients = vec![
            (Side::Source, ClientRole::Consumer),
            (Side::Source, ClientRole::Admin),
            (Side::Target, ClientRole::Admin),
        ];
        clients.extend(offset_syncs.iter().map(|syncs| (syncs.location, ClientRole::Producer)));
        check_security(raw, &clients, &mut errors);

        let consumer = effective_client(raw, Side::Source, ClientRole::Consumer);
        let auto_offset_reset = auto_offset_reset(&consumer);
        let isolation_level = isolation_level(&consumer);
        let fetch = fetch_keys(&consumer);
        let compression = compression(raw, &values, worker);
        let poison = poison_policy(raw, &values);
        check_exactly_once(&values, isolation_level.as_ref().ok(), &mut errors);
        errors.extend(auto_offset_reset.as_ref().err().cloned());
        errors.extend(isolation_level.as_ref().err().cloned());
        errors.extend(fetch.as_ref().err().cloned().unwrap_or_default());
        errors.extend(compression.as_ref().err().cloned().unwrap_or_default());
        errors.extend(poison.as_ref().err().cloned());

        let mut list = |key: &str, alias: &str| regex_list(key, alias, raw, &values, &mut errors);
        let topics = list("topics", "topics");
        let topics_exclude = list("topics.exclude", "topics.blacklist");
        let config_properties_exclude = list("config.properties.exclude", "config.properties.blacklist");
        let (transforms, unread) = transforms(raw, &values, &mut errors);
        let refresh_topics = interval("refresh.topics", &values, &mut errors);
        let sync_topic_configs = interval("sync.topic.configs", &values, &mut errors);
        let sync_topic_acls = interval("sync.topic.acls", &values, &mut errors);
        let acls = AclConfig::read(&values, &mut errors);

        let topic_deletion =
            values.text("kmirror.topic.deletion").and_then(|delay| delay.parse().ok()).map(Duration::from_millis);
        let offset_map = values.boolean("kmirror.offset.map.enabled");
        if let Some(after) = topic_deletion.filter(|_| !offset_map) {
            let reason = "which topics were made is noted in the offset map, and kmirror.offset.map.enabled is false";
            errors.push(ConfigError::invalid("kmirror.topic.deletion", &after.as_millis().to_string(), reason));
        }

        let (Ok(auto_offset_reset), Ok(isolation_level), Ok(fetch), Ok(compression), Ok(poison)) =
            (auto_offset_reset, isolation_level, fetch, compression, poison)
        else {
            return Err(ConfigErrors(errors));
        };
        let config = Self {
            mirror,
            source_bootstrap,
            topics,
            topics_exclude,
            config_properties_exclude,
            use_defaults_from_source: values.text("use.defaults.from") == Some("source"),
            alter_configs: match values.text("use.incremental.alter.configs") {
                Some("required") => AlterConfigs::Required,
                Some("never") => AlterConfigs::Never,
                _ => AlterConfigs::Requested,
            },
            refresh_topics,
            sync_topic_configs,
            sync_topic_acls,
            acls,
            topic_deletion,
            offset_syncs,
            replication_factor: values.number("replication.factor").unwrap_or(-1),
            heartbeats_replication: values.boolean("heartbeats.replication.enabled"),
            auto_offset_reset,
            isolation_level,
            fetch,
            max_bytes_per_second: values.cap("kmirror.max.bytes.per.second"),
            transforms,
            compression,
            offset_map,
            backfill_offsets: values.number("kmirror.offset.map.backfill.offsets").unwrap_or_default(),
            join_small_batches: values.boolean("kmirror.join.small.batches"),
            poison,
            gaps: gap_policies(&values),
            hints: hints::source_connector_hints(raw, compression, &unread),
        };
        ConfigErrors::or(errors, config)
    }
}

/// `MirrorSourceConnector.validate`: only committed records can be copied exactly once. One error, whatever is wrong.
fn check_exactly_once(values: &Values, isolation: Option<&IsolationLevel>, errors: &mut Vec<ConfigError>) {
    let Some(written) = values.text("exactly.once.support").filter(|text| text.eq_ignore_ascii_case("required")) else {
        return;
    };
    let reason = if isolation == Some(&IsolationLevel::ReadUncommitted) {
        "records of aborted transactions would be copied, isolation.level of the source's consumer has to be read_committed"
    } else {
        "transactions are not built yet, so exactly-once cannot be promised; use requested"
    };
    errors.push(ConfigError::invalid("exactly.once.support", written, reason));
}

/// `MirrorSourceConnector.validate`: who turns offset syncs off must not shape them.
fn check_offset_syncs(raw: &Properties, syncs: Option<&OffsetSyncs>, errors: &mut Vec<ConfigError>) {
    let shaped = raw.keys().find(|key| key.starts_with("offset-syncs-") || key.starts_with("offset-syncs.topic."));
    if let Some(shaped) = shaped
        && syncs.is_none()
    {
        errors.push(ConfigError::invalid(
            "emit.offset-syncs.enabled",
            "false",
            format_args!("offset syncs cannot be off while {shaped} is set"),
        ));
    }
}

#[cfg(test)]
mod tests;
