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
}

const MIRROR_SOURCE: Plugin = Plugin { class: "org.apache.kafka.connect.mirror.MirrorSourceConnector", kind: "source" };

const PLUGINS: &[Plugin] = &[MIRROR_SOURCE];

/// MirrorMaker's connectors that kmirror does not run yet.
const NOT_BUILT: [&str; 2] = [
    "org.apache.kafka.connect.mirror.MirrorCheckpointConnector",
    "org.apache.kafka.connect.mirror.MirrorHeartbeatConnector",
];

impl ConnectorClass {
    /// Class name, as in Kafka.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MirrorSource => MIRROR_SOURCE.class,
        }
    }

    /// Class of its tasks, as Connect's task configurations name it.
    #[must_use]
    pub fn task_name(self) -> &'static str {
        match self {
            Self::MirrorSource => "org.apache.kafka.connect.mirror.MirrorSourceTask",
        }
    }
}

/// The connectors that can be made.
#[must_use]
pub fn plugins() -> &'static [Plugin] {
    PLUGINS
}

/// The connector `connector.class` names: in full, without the package, or without that and `Connector`.
///
/// # Errors
/// There is no such connector (Connect's message), or it is not built yet.
pub fn connector_class(raw: &Properties) -> Result<ConnectorClass, ConfigError> {
    let written = raw.get("connector.class").map_or("null", |class| class.trim());
    if is_called(MIRROR_SOURCE.class, written) {
        return Ok(ConnectorClass::MirrorSource);
    }
    if let Some(class) = NOT_BUILT.into_iter().find(|class| is_called(class, written)) {
        return Err(ConfigError::invalid(
            "connector.class",
            written,
            format_args!("{class} is not built yet, kmirror runs {}", MIRROR_SOURCE.class),
        ));
    }
    let available: Vec<&str> = PLUGINS.iter().map(|plugin| plugin.class).collect();
    Err(ConfigError {
        key: "connector.class".to_owned(),
        message: format!(
            "{NO_SUCH_CONNECTOR} and which name matches {written}, available connectors are: {}",
            available.join(", ")
        ),
    })
}

fn is_called(class: &str, written: &str) -> bool {
    let simple = class.rsplit_once('.').map_or(class, |(_, simple)| simple);
    let alias = simple.strip_suffix("Connector").unwrap_or(simple);
    [class, simple, alias].contains(&written)
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
        for written in
            [MIRROR_SOURCE.class, "MirrorSourceConnector", "MirrorSource", " MirrorSource\t", plugins()[0].class]
        {
            assert_eq!(class(written), Ok(ConnectorClass::MirrorSource), "{written}");
        }
    }

    #[test]
    fn others_are_told_apart() {
        for written in ["MirrorCheckpoint", NOT_BUILT[0], "MirrorHeartbeatConnector"] {
            let message = class(written).unwrap_err();
            assert!(message.contains("not built yet") && message.contains(written), "{message}");
        }
        assert_eq!(
            class("org.x.FileStreamSource").unwrap_err(),
            "Failed to find any class that implements Connector and which name matches org.x.FileStreamSource, \
             available connectors are: org.apache.kafka.connect.mirror.MirrorSourceConnector"
        );
        let missing = connector_class(&Properties::new()).unwrap_err();
        assert!(missing.message.contains("matches null,"), "{missing}");
        assert_eq!(missing.key, "connector.class");
    }
}
