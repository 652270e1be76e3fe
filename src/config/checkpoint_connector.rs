//! A MirrorCheckpointConnector's configuration, checked.

use std::time::Duration;

use super::{
    ConfigError, ConfigErrors, ConnectorClass, Hint, MirrorConfig, Properties, RegexList, Side, WorkerConfig, hints,
    keys::{ClientRole, connector_keys},
    mirror_config::{check_security, check_transforms, interval, offset_syncs_location, regex_list, source_bootstrap},
    values::Values,
};

/// A MirrorCheckpointConnector's configuration.
#[derive(Debug, Clone)]
pub struct CheckpointConnectorConfig {
    /// What all of MirrorMaker's connectors have.
    pub mirror: MirrorConfig,
    /// Addresses, `host:port`, of the source cluster.
    pub source_bootstrap: Vec<String>,
    /// Consumer groups whose offsets are translated.
    pub groups: RegexList,
    /// Those of them that are left out.
    pub groups_exclude: RegexList,
    /// Source topics whose offsets are translated.
    pub topics: RegexList,
    /// Those of them that are left out.
    pub topics_exclude: RegexList,
    /// Between two looks for new groups; absent for never.
    pub refresh_groups: Option<Duration>,
    /// Between two writings of checkpoints; absent for never.
    pub emit_checkpoints: Option<Duration>,
    /// Between two times that groups on the target get the translated offsets; absent for never.
    pub sync_group_offsets: Option<Duration>,
    /// Whether such an offset is lowered when the group went back on the source: `kmirror.group.sync.rewind`.
    pub group_sync_rewind: bool,
    /// Replication factor to make the checkpoints topic with; −1 for the broker's default.
    pub checkpoints_replication_factor: i16,
    /// Cluster of the offset syncs topic, which the source connector must have too.
    pub offset_syncs_location: Side,
    /// How long one read of the offset syncs may wait for records.
    pub poll_timeout: Duration,
    /// Sentences to log once: keys that are probably misspelt or without effect.
    pub hints: Vec<Hint>,
}

impl CheckpointConnectorConfig {
    /// Reads a connector's configuration, `name` included; `worker` says what a connector may override. Of
    /// `connector.class` only that it is there is looked at.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(raw: &Properties, worker: &WorkerConfig) -> Result<Self, ConfigErrors> {
        let class = ConnectorClass::MirrorCheckpoint;
        let mut values = Values::read(connector_keys(class), raw);
        let mut errors = std::mem::take(&mut values.errors);
        let mirror = MirrorConfig::read(raw, &values, worker, &mut errors);
        let source_bootstrap = source_bootstrap(raw, ClientRole::Admin, &mut errors);
        let offset_syncs_location = offset_syncs_location(&values);
        let clients = [
            (Side::Source, ClientRole::Admin),
            (Side::Target, ClientRole::Admin),
            (Side::Target, ClientRole::Consumer),
            (offset_syncs_location, ClientRole::Consumer),
        ];
        check_security(raw, &clients, &mut errors);
        check_transforms(&values, class, &mut errors);
        check_what_it_works_on(&values, &mut errors);
        let mut list = |key: &str, alias: &str| regex_list(key, alias, raw, &values, &mut errors);
        let config = Self {
            mirror,
            source_bootstrap,
            groups: list("groups", "groups"),
            groups_exclude: list("groups.exclude", "groups.blacklist"),
            topics: list("topics", "topics"),
            topics_exclude: list("topics.exclude", "topics.blacklist"),
            refresh_groups: interval("refresh.groups", &values, &mut errors),
            emit_checkpoints: interval("emit.checkpoints", &values, &mut errors),
            sync_group_offsets: interval("sync.group.offsets", &values, &mut errors),
            group_sync_rewind: values.boolean("kmirror.group.sync.rewind"),
            checkpoints_replication_factor: values.number("checkpoints.topic.replication.factor").unwrap_or(-1),
            offset_syncs_location,
            poll_timeout: values.millis("consumer.poll.timeout.ms"),
            hints: hints::connector_hints(class, raw),
        };
        ConfigErrors::or(errors, config)
    }
}

/// `MirrorCheckpointConfig.validate` (Kafka 3.9): what is off must not be what an enabled connector does.
fn check_what_it_works_on(values: &Values, errors: &mut Vec<ConfigError>) {
    if !values.boolean("enabled") {
        return;
    }
    let needed = [
        ("emit.checkpoints.enabled", "a MirrorCheckpointConnector that writes no checkpoints has nothing to do"),
        ("emit.offset-syncs.enabled", "a MirrorCheckpointConnector can't translate offsets without offset syncs"),
    ];
    for (key, reason) in needed {
        if !values.boolean(key) {
            errors.push(ConfigError::invalid(key, "false", format_args!("{reason}; use enabled=false for none")));
        }
    }
}

#[cfg(test)]
mod tests;
