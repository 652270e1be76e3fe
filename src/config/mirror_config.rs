//! What the configurations of MirrorMaker's connectors have in common.

use std::time::Duration;

use super::{
    ConfigError, ConnectorClass, Properties, RegexList, Side, WorkerConfig, address,
    client::{check_security_protocol, effective_client},
    key::{full_class_name, parse_list},
    keys::{ClientRole, REPLICATION_POLICIES},
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

/// What each of MirrorMaker's connectors has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorConfig {
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
    /// Addresses, `host:port`, of the target cluster. Absent: the worker's cluster is the target and nothing is
    /// compared.
    pub target_bootstrap: Option<Vec<String>>,
    /// For one administrative step.
    pub admin_timeout: Duration,
    /// How remote topics are named.
    pub policy: PolicySettings,
}

impl MirrorConfig {
    /// What is wrong is added to `errors`; with one of them what is returned means nothing.
    pub(super) fn read(
        raw: &Properties,
        values: &Values,
        worker: &WorkerConfig,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        check_overrides(raw, worker, errors);
        check_what_is_not_built(raw, values, errors);
        let target_bootstrap = bootstrap(raw, Side::Target, ClientRole::Admin, errors);
        Self {
            name: values.owned_text("name"),
            tasks_max: values.number("tasks.max").unwrap_or(1),
            enabled: values.boolean("enabled"),
            source_alias: values.owned_text("source.cluster.alias"),
            target_alias: values.owned_text("target.cluster.alias"),
            target_bootstrap,
            admin_timeout: values.millis("admin.timeout.ms"),
            policy: policy_settings(raw, values, errors),
        }
    }

    /// Whose alias the offset syncs topic on this side bears: that of the other side.
    #[must_use]
    pub fn offset_syncs_alias(&self, location: Side) -> &str {
        match location {
            Side::Source => &self.target_alias,
            Side::Target => &self.source_alias,
        }
    }
}

/// The addresses of a client, where it has any.
pub(super) fn bootstrap(
    raw: &Properties,
    side: Side,
    role: ClientRole,
    errors: &mut Vec<ConfigError>,
) -> Option<Vec<String>> {
    let client = effective_client(raw, side, role);
    let written = client.get("bootstrap.servers")?;
    address::bootstrap(&written.key, &parse_list(&written.value))
        .map_err(|error| {
            // Several clients may have it from one key.
            if !errors.contains(&error) {
                errors.push(error);
            }
        })
        .ok()
}

/// As [`bootstrap`], of the source, without which there is nothing to do; empty after an error.
pub(super) fn source_bootstrap(raw: &Properties, role: ClientRole, errors: &mut Vec<ConfigError>) -> Vec<String> {
    let before = errors.len();
    let addresses = bootstrap(raw, Side::Source, role, errors);
    if addresses.is_none() && errors.len() == before {
        errors.push(ConfigError::missing("source.cluster.bootstrap.servers"));
    }
    addresses.unwrap_or_default()
}

/// `offset-syncs.topic.location`
pub(super) fn offset_syncs_location(values: &Values) -> Side {
    if values.text("offset-syncs.topic.location") == Some("target") { Side::Target } else { Side::Source }
}

/// A list of regular expressions, by its key or its former name; empty after an error.
pub(super) fn regex_list(
    key: &str,
    alias: &str,
    raw: &Properties,
    values: &Values,
    errors: &mut Vec<ConfigError>,
) -> RegexList {
    let written = if raw.contains_key(key) || !raw.contains_key(alias) { key } else { alias };
    RegexList::parse(written, values.list(key)).unwrap_or_else(|found| {
        errors.extend(found);
        RegexList::empty()
    })
}

/// `{subject}.interval.seconds`, unless `{subject}.enabled` is false. As in MirrorMaker's scheduler a negative interval
/// means never.
pub(super) fn interval(subject: &str, values: &Values, errors: &mut Vec<ConfigError>) -> Option<Duration> {
    let key = format!("{subject}.interval.seconds");
    let seconds: i64 = values.number(&key).unwrap_or(-1);
    if seconds == 0 {
        errors.push(ConfigError::invalid(&key, "0", "Value must be at least 1, or negative for never"));
    }
    let seconds = u64::try_from(seconds).ok()?;
    values.boolean(&format!("{subject}.enabled")).then(|| Duration::from_secs(seconds))
}

/// `security.protocol` of these clients and of the data's producer, each named by the key it was written under.
pub(super) fn check_security(raw: &Properties, clients: &[(Side, ClientRole)], errors: &mut Vec<ConfigError>) {
    for (side, role) in clients {
        if let Some(written) = effective_client(raw, *side, *role).get("security.protocol") {
            errors.extend(check_security_protocol(&written.key, &written.value).err());
        }
    }
    let key = "producer.override.security.protocol";
    if let Some(written) = raw.get(key) {
        errors.extend(check_security_protocol(key, written).err());
    }
}

/// What a connector writes for MirrorMaker's tools stays as they read it.
pub(super) fn check_transforms(values: &Values, class: ConnectorClass, errors: &mut Vec<ConfigError>) {
    let aliases = values.list("transforms");
    if !aliases.is_empty() {
        let simple = class.name().rsplit_once('.').map_or(class.name(), |(_, simple)| simple);
        let reason = format!("not built yet: records of a {simple} are written without transformations");
        errors.push(ConfigError::invalid("transforms", &aliases.join(","), reason));
    }
}

/// Adds the error for an empty separator. A class that is not known has been reported by the registry already.
fn policy_settings(raw: &Properties, values: &Values, errors: &mut Vec<ConfigError>) -> PolicySettings {
    let separator = raw.get("replication.policy.separator").cloned();
    if separator.as_deref() == Some("") {
        let reason = "names that are joined with nothing cannot be taken apart again";
        errors.push(ConfigError::invalid("replication.policy.separator", "", reason));
    }
    let written = values.text("replication.policy.class").unwrap_or_default();
    PolicySettings {
        class: full_class_name(REPLICATION_POLICIES, written).unwrap_or(REPLICATION_POLICIES[0]),
        separator,
        internal_topic_separator_enabled: values.boolean("replication.policy.internal.topic.separator.enabled"),
        source_cluster_alias: raw.get("source.cluster.alias").cloned().unwrap_or_default(),
    }
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
    if values.text("offsets.storage.topic").is_some() {
        let written = raw.get("offsets.storage.topic").map_or("", |value| value.trim());
        let reason = "not built yet: positions are kept in the worker's offset.storage.topic";
        errors.push(ConfigError::invalid("offsets.storage.topic", written, reason));
    }
}
