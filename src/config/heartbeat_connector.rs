//! A MirrorHeartbeatConnector's configuration, checked.

use std::time::Duration;

use super::{
    ConfigErrors, ConnectorClass, Hint, MirrorConfig, Properties, Side, WorkerConfig, hints,
    keys::{ClientRole, connector_keys},
    mirror_config::{check_security, check_transforms, interval},
    values::Values,
};

/// A MirrorHeartbeatConnector's configuration. It needs no address of the source, to which it does not talk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatConnectorConfig {
    /// What all of MirrorMaker's connectors have.
    pub mirror: MirrorConfig,
    /// Between two heartbeats; absent for none.
    pub emit_heartbeats: Option<Duration>,
    /// Replication factor to make the heartbeats topic with; −1 for the broker's default.
    pub heartbeats_replication_factor: i16,
    /// Sentences to log once: keys that are probably misspelt or without effect.
    pub hints: Vec<Hint>,
}

impl HeartbeatConnectorConfig {
    /// Reads a connector's configuration, `name` included; `worker` says what a connector may override. Of
    /// `connector.class` only that it is there is looked at.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(raw: &Properties, worker: &WorkerConfig) -> Result<Self, ConfigErrors> {
        let class = ConnectorClass::MirrorHeartbeat;
        let mut values = Values::read(connector_keys(class), raw);
        let mut errors = std::mem::take(&mut values.errors);
        let mirror = MirrorConfig::read(raw, &values, worker, &mut errors);
        check_security(raw, &[(Side::Target, ClientRole::Admin)], &mut errors);
        check_transforms(&values, class, &mut errors);
        let config = Self {
            mirror,
            emit_heartbeats: interval("emit.heartbeats", &values, &mut errors),
            heartbeats_replication_factor: values.number("heartbeats.topic.replication.factor").unwrap_or(-1),
            hints: hints::connector_hints(class, raw),
        };
        ConfigErrors::or(errors, config)
    }

    /// How many tasks it has (`MirrorHeartbeatConnector.taskConfigs`): one, whatever `tasks.max` says and also with
    /// `enabled=false`, unless no heartbeats are to be written.
    #[must_use]
    pub fn tasks(&self) -> usize {
        usize::from(self.emit_heartbeats.is_some())
    }
}

#[cfg(test)]
mod tests;
