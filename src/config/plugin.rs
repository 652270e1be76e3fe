//! Which connectors there are, and which of them a configuration asks for.

use super::{ConfigError, Properties, error::NO_SUCH_CONNECTOR};

/// A connector that kmirror runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plugin {
    /// Class name, as in Kafka.
    pub class: &'static str,
    /// Connect's type of plugin: `source`.
    pub kind: &'static str,
}

/// A connector of MirrorMaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectorClass {
    /// Copies topics.
    MirrorSource,
    /// Translates the offsets of consumer groups.
    MirrorCheckpoint,
    /// Writes a sign of life.
    MirrorHeartbeat,
}

const PLUGINS: &[Plugin] = &[
    Plugin { class: ConnectorClass::MirrorCheckpoint.name(), kind: "source" },
    Plugin { class: ConnectorClass::MirrorHeartbeat.name(), kind: "source" },
    Plugin { class: ConnectorClass::MirrorSource.name(), kind: "source" },
];

impl ConnectorClass {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MirrorSource, Self::MirrorCheckpoint, Self::MirrorHeartbeat];

    /// Class name, as in Kafka.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MirrorSource => "org.apache.kafka.connect.mirror.MirrorSourceConnector",
            Self::MirrorCheckpoint => "org.apache.kafka.connect.mirror.MirrorCheckpointConnector",
            Self::MirrorHeartbeat => "org.apache.kafka.connect.mirror.MirrorHeartbeatConnector",
        }
    }

    /// Class of its tasks, as Connect's task configurations name it.
    #[must_use]
    pub fn task_name(self) -> &'static str {
        match self {
            Self::MirrorSource => "org.apache.kafka.connect.mirror.MirrorSourceTask",
            Self::MirrorCheckpoint => "org.apache.kafka.connect.mirror.MirrorCheckpointTask",
            Self::MirrorHeartbeat => "org.apache.kafka.connect.mirror.MirrorHeartbeatTask",
        }
    }

    /// The connector of this name: in full, without the package, or without that and `Connector`; trimmed.
    ///
    /// # Errors
    /// There is none; Connect's message.
    pub fn named(written: &str) -> Result<Self, ConfigError> {
        Self::ALL.into_iter().find(|class| class.is_called(written.trim())).ok_or_else(|| ConfigError {
            key: "connector.class".to_owned(),
            message: format!(
                "{NO_SUCH_CONNECTOR} and which name matches {}, available connectors are: {}",
                written.trim(),
                PLUGINS.iter().map(|plugin| plugin.class).collect::<Vec<_>>().join(", ")
            ),
        })
    }

    fn is_called(self, written: &str) -> bool {
        let class = self.name();
        let simple = class.rsplit_once('.').map_or(class, |(_, simple)| simple);
        let alias = simple.strip_suffix("Connector").unwrap_or(simple);
        [class, simple, alias].contains(&written)
    }
}

/// The connectors that there are.
#[must_use]
pub fn plugins() -> &'static [Plugin] {
    PLUGINS
}

/// The connector that `connector.class` names.
///
/// # Errors
/// There is no such connector; Connect's message.
pub fn connector_class(raw: &Properties) -> Result<ConnectorClass, ConfigError> {
    ConnectorClass::named(raw.get("connector.class").map_or("null", |class| class.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(written: &str) -> Result<ConnectorClass, String> {
        let raw = Properties::from([("connector.class".to_owned(), written.to_owned())]);
        connector_class(&raw).map_err(|error| error.message)
    }

    #[test]
    fn all_names_of_a_class_are_found() {
        for written in [ConnectorClass::MirrorSource.name(), "MirrorSourceConnector", "MirrorSource", " MirrorSource\t"]
        {
            assert_eq!(class(written), Ok(ConnectorClass::MirrorSource), "{written}");
        }
    }

    #[test]
    fn others_are_told_apart() {
        assert_eq!(class("MirrorCheckpoint"), Ok(ConnectorClass::MirrorCheckpoint));
        assert_eq!(class("MirrorHeartbeatConnector"), Ok(ConnectorClass::MirrorHeartbeat));
        assert_eq!(
            class("org.x.FileStreamSource").unwrap_err(),
            "Failed to find any class that implements Connector and which name matches org.x.FileStreamSource, \
             available connectors are: org.apache.kafka.connect.mirror.MirrorCheckpointConnector, \
             org.apache.kafka.connect.mirror.MirrorHeartbeatConnector, \
             org.apache.kafka.connect.mirror.MirrorSourceConnector"
        );
        let missing = connector_class(&Properties::new()).unwrap_err();
        assert!(missing.message.contains("matches null,"), "{missing}");
        assert_eq!(missing.key, "connector.class");
    }
}
