//! A MirrorSourceConnector's configuration, checked.

use std::time::Duration;

use super::{
    AutoOffsetReset, Compression, ConfigError, ConfigErrors, GapPolicies, Hint, IsolationLevel, PoisonPolicy,
    Properties, RegexList, Side, WorkerConfig, address,
    client::{FetchKeys, auto_offset_reset, check_security_protocol, effective_client, fetch_keys, isolation_level},
    compression::compression,
    gaps::gap_policies,
    hints,
    key::{full_class_name, parse_list},
    keys::{ClientRole, REPLICATION_POLICIES, mirror_source_keys},
    plugin,
    poison::poison_policy,
    transforms::{TransformStage, transforms},
    values::Values,
};

/// How remote topics are named, as written: a policy reads its settings untrimmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySettings {
    /// Full class name, one of [`REPLICATION_POLICIES`].
    pub class: &'static str,
    /// `replication.policy.separator`; absent where it is not set.
    pub separator: Option<String>,
    /// Whether internal topics have the separator too, or dots.
    pub internal_topic_separator_enabled: bool,
    /// `source.cluster.alias`, as written.
    pub source_cluster_alias: String,
}

/// A MirrorSourceConnector's configuration.
#[derive(Debug, Clone)]
pub struct SourceConnectorConfig {
    /// Name of the connector.
    pub name: String,
    /// The most tasks to make, at least 1.
    pub tasks_max: usize,
    /// Whether it does anything.
    pub enabled: bool,
    /// Name of the source cluster.
    pub source_alias: String,
    /// Name of the target cluster.
    pub target_alias: String,
    /// Addresses, `host:port`, of the source cluster.
    pub source_bootstrap: Vec<String>,
    /// Addresses, `host:port`, of the target cluster. Absent: the worker's cluster is the target and nothing is
    /// compared.
    pub target_bootstrap: Option<Vec<String>>,
    /// Topics to mirror.
    pub topics: RegexList,
    /// Topics not to mirror.
    pub topics_exclude: RegexList,
    /// Topic settings not to copy.
    pub config_properties_exclude: RegexList,
    /// Whether settings that are defaults on the source are copied too.
    pub use_defaults_from_source: bool,
    /// Between two looks for new topics and partitions; absent for never.
    pub refresh_topics: Option<Duration>,
    /// Replication factor of topics to make; −1 for the broker's default.
    pub replication_factor: i16,
    /// Whether heartbeats topics are mirrored whatever the filter says.
    pub heartbeats_replication: bool,
    /// For one administrative step.
    pub admin_timeout: Duration,
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
    /// What happens to records that the target can't take.
    pub poison: PoisonPolicy,
    /// What happens to partitions that meet a gap.
    pub gaps: GapPolicies,
    /// How remote topics are named.
    pub policy: PolicySettings,
    /// Sentences to log once: keys that are probably misspelt or without effect, and what is not built.
    pub hints: Vec<Hint>,
}

impl SourceConnectorConfig {
    /// Reads a connector's configuration, `name` included; `worker` says what a connector may override.
    ///
    /// # Errors
    /// All that is wrong with it. Where `connector.class` names no connector that runs, that alone: nothing else can
    /// be judged then.
    pub fn parse(raw: &Properties, worker: &WorkerConfig) -> Result<Self, ConfigErrors> {
        plugin::connector_class(raw)?;
        let mut values = Values::read(mirror_source_keys(), raw);
        let mut errors = std::mem::take(&mut values.errors);
        check_overrides(raw, worker, &mut errors);
        check_what_is_not_built(raw, &values, &mut errors);
        check_security(raw, &mut errors);
        check_offset_syncs(raw, &values, &mut errors);

        let consumer = effective_client(raw, Side::Source, ClientRole::Consumer);
        let target_admin = effective_client(raw, Side::Target, ClientRole::Admin);
        let source_bootstrap = consumer
            .get("bootstrap.servers")
            .ok_or_else(|| ConfigError::missing("source.cluster.bootstrap.servers"))
            .and_then(|written| address::bootstrap(&written.key, &parse_list(&written.value)));
        let target_bootstrap = target_admin
            .get("bootstrap.servers")
            .map(|written| address::bootstrap(&written.key, &parse_list(&written.value)))
            .transpose();
        let auto_offset_reset = auto_offset_reset(&consumer);
        let isolation_level = isolation_level(&consumer);
        let fetch = fetch_keys(&consumer);
        let compression = compression(raw, &values, worker);
        let poison = poison_policy(raw, &values);
        let policy = policy_settings(raw, &values);
        errors.extend(source_bootstrap.as_ref().err().cloned());
        errors.extend(target_bootstrap.as_ref().err().cloned());
        errors.extend(auto_offset_reset.as_ref().err().cloned());
        errors.extend(isolation_level.as_ref().err().cloned());
        errors.extend(fetch.as_ref().err().cloned().unwrap_or_default());
        errors.extend(compression.as_ref().err().cloned().unwrap_or_default());
        errors.extend(poison.as_ref().err().cloned());
        errors.extend(policy.as_ref().err().cloned());

        let mut regex_list = |key: &str, alias: &str| {
            let written = if raw.contains_key(key) || !raw.contains_key(alias) { key } else { alias };
            RegexList::parse(written, values.list(key)).unwrap_or_else(|found| {
                errors.extend(found);
                RegexList::empty()
            })
        };
        let topics = regex_list("topics", "topics");
        let topics_exclude = regex_list("topics.exclude", "topics.blacklist");
        let config_properties_exclude = regex_list("config.properties.exclude", "config.properties.blacklist");
        let (transforms, unread) = transforms(raw, &values, &mut errors);
        let refresh_topics = interval("refresh.topics", &values, &mut errors);

        let (
            Ok(source_bootstrap),
            Ok(target_bootstrap),
            Ok(auto_offset_reset),
            Ok(isolation_level),
            Ok(fetch),
            Ok(compression),
            Ok(poison),
            Ok(policy),
        ) = (
            source_bootstrap,
            target_bootstrap,
            auto_offset_reset,
            isolation_level,
            fetch,
            compression,
            poison,
            policy,
        )
        else {
            return Err(ConfigErrors(errors));
        };
        let config = Self {
            name: values.owned_text("name"),
            tasks_max: values.number("tasks.max").unwrap_or(1),
            enabled: values.boolean("enabled"),
            source_alias: values.owned_text("source.cluster.alias"),
            target_alias: values.owned_text("target.cluster.alias"),
            source_bootstrap,
            target_bootstrap,
            topics,
            topics_exclude,
            config_properties_exclude,
            use_defaults_from_source: values.text("use.defaults.from") == Some("source"),
            refresh_topics,
            replication_factor: values.number("replication.factor").unwrap_or(-1),
            heartbeats_replication: values.boolean("heartbeats.replication.enabled"),
            admin_timeout: values.millis("admin.timeout.ms"),
            auto_offset_reset,
            isolation_level,
            fetch,
            max_bytes_per_second: values.cap("kmirror.max.bytes.per.second"),
            transforms,
            compression,
            offset_map: values.boolean("kmirror.offset.map.enabled"),
            join_small_batches: values.boolean("kmirror.join.small.batches"),
            poison,
            gaps: gap_policies(&values),
            policy,
            hints: hints::connector_hints(raw, &values, compression, &unread),
        };
        ConfigErrors::or(errors, config)
    }
}

/// # Errors
/// An empty separator, or a class that is not known (which the registry has reported already).
fn policy_settings(raw: &Properties, values: &Values) -> Result<PolicySettings, ConfigError> {
    let separator = raw.get("replication.policy.separator").cloned();
    if separator.as_deref() == Some("") {
        let reason = "names that are joined with nothing cannot be taken apart again";
        return Err(ConfigError::invalid("replication.policy.separator", "", reason));
    }
    let written = values.text("replication.policy.class").unwrap_or_default();
    Ok(PolicySettings {
        class: full_class_name(REPLICATION_POLICIES, written).unwrap_or(REPLICATION_POLICIES[0]),
        separator,
        internal_topic_separator_enabled: values.boolean("replication.policy.internal.topic.separator.enabled"),
        source_cluster_alias: raw.get("source.cluster.alias").cloned().unwrap_or_default(),
    })
}

/// `{subject}.interval.seconds`, unless `{subject}.enabled` is false. As in MirrorMaker's scheduler a negative interval
/// means never.
fn interval(subject: &str, values: &Values, errors: &mut Vec<ConfigError>) -> Option<Duration> {
    let key = format!("{subject}.interval.seconds");
    let seconds: i64 = values.number(&key).unwrap_or(-1);
    if seconds == 0 {
        errors.push(ConfigError::invalid(&key, "0", "Value must be at least 1, or negative for never"));
    }
    let seconds = u64::try_from(seconds).ok()?;
    values.boolean(&format!("{subject}.enabled")).then(|| Duration::from_secs(seconds))
}

/// `connector.client.config.override.policy` of the worker, in Connect's words.
fn check_overrides(raw: &Properties, worker: &WorkerConfig, errors: &mut Vec<ConfigError>) {
    for key in raw.keys() {
        let setting = ["producer.override.", "consumer.override.", "admin.override."]
            .iter()
            .find_map(|prefix| key.strip_prefix(prefix));
        if let Some(setting) = setting
            && !worker.override_policy.allows(setting)
        {
            errors.push(ConfigError {
                key: key.clone(),
                message: format!(
                    "The '{}' policy does not allow '{setting}' to be overridden in the connector configuration.",
                    worker.override_policy.name()
                ),
            });
        }
    }
    let key = "producer.override.bootstrap.servers";
    if let Some(written) = raw.get(key) {
        match address::bootstrap(key, &parse_list(written)) {
            Ok(addresses) if addresses != worker.bootstrap_servers => errors.push(ConfigError::invalid(
                key,
                written.trim(),
                "not built yet: records go to the worker's own cluster, as bootstrap.servers of the worker names it",
            )),
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
    }
}

/// Refuses what would silently not hold.
fn check_what_is_not_built(raw: &Properties, values: &Values, errors: &mut Vec<ConfigError>) {
    let refused = [
        (
            "exactly.once.support",
            values.text("exactly.once.support").is_some_and(|support| support.eq_ignore_ascii_case("required")),
            "transactions are not built yet, so exactly-once cannot be promised; use requested",
        ),
        (
            "offsets.storage.topic",
            values.text("offsets.storage.topic").is_some(),
            "not built yet: positions are kept in the worker's offset.storage.topic",
        ),
    ];
    for (key, is_refused, reason) in refused {
        if is_refused {
            errors.push(ConfigError::invalid(key, raw.get(key).map_or("", |value| value.trim()), reason));
        }
    }
}

/// `security.protocol` of every client the connector makes, each named by the key it was written under.
fn check_security(raw: &Properties, errors: &mut Vec<ConfigError>) {
    let clients =
        [(Side::Source, ClientRole::Consumer), (Side::Source, ClientRole::Admin), (Side::Target, ClientRole::Admin)];
    for (side, role) in clients {
        if let Some(written) = effective_client(raw, side, role).get("security.protocol") {
            errors.extend(check_security_protocol(&written.key, &written.value).err());
        }
    }
    let key = "producer.override.security.protocol";
    if let Some(written) = raw.get(key) {
        errors.extend(check_security_protocol(key, written).err());
    }
}

/// `MirrorSourceConnector.validate`: who turns offset syncs off must not shape them.
fn check_offset_syncs(raw: &Properties, values: &Values, errors: &mut Vec<ConfigError>) {
    let shaped = raw.keys().find(|key| key.starts_with("offset-syncs-") || key.starts_with("offset-syncs.topic."));
    if let Some(shaped) = shaped
        && !values.boolean("emit.offset-syncs.enabled")
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
