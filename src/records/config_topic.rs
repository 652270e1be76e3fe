//! Records of Connect's config topic (`KafkaConfigBackingStore`): plain text keys, JSON values.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{BadRecord, TargetState, lossy, parse_json, shape, split_task};

/// A task of a connector; prints as `connector-task`, as Connect does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// Connector name.
    pub connector: String,
    /// Task number, from 0.
    pub task: u32,
}

impl TaskId {
    /// A task by its connector's name and its number.
    #[must_use]
    pub fn new(connector: impl Into<String>, task: u32) -> Self {
        Self { connector: connector.into(), task }
    }
}

/// One record of the config topic. A `None` inside is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigRecord {
    /// `connector-{c}`: a connector's configuration, or its deletion.
    Connector {
        /// Connector name.
        connector: String,
        /// Its configuration as given.
        config: Option<BTreeMap<String, String>>,
    },
    /// `task-{c}-{n}`: a task's configuration, of no effect until the next commit.
    Task {
        /// The task.
        id: TaskId,
        /// Its configuration.
        config: Option<BTreeMap<String, String>>,
    },
    /// `commit-{c}`: from here on the connector has this many tasks.
    Commit {
        /// Connector name.
        connector: String,
        /// Number of tasks.
        tasks: Option<u32>,
    },
    /// `target-state-{c}`: what the connector has been told to be.
    TargetState {
        /// Connector name.
        connector: String,
        /// The state; absent means started.
        state: Option<TargetState>,
    },
    /// Records that mean nothing to a worker without peers: session keys, restart requests (never obeyed when read
    /// back), logger levels, fencing of exactly-once tasks.
    Ignored,
}

/// Prefixes of keys which are Connect's, and of no use here.
const IGNORED_PREFIXES: [&str; 3] = ["restart-connector-", "logger-cluster-", "tasks-fencing-"];

impl ConfigRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// Keys that are not Connect's, and values of another shape.
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, BadRecord> {
        let key = key.ok_or(BadRecord::NoKey)?;
        let unknown = || BadRecord::UnknownKey { key: lossy(key) };
        let text = std::str::from_utf8(key).map_err(|_| unknown())?;
        if let Some(connector) = text.strip_prefix("target-state-") {
            let state = parse_json(key, value)?.map(|json| target_state(key, &json)).transpose()?;
            return Ok(Self::TargetState { connector: connector.to_owned(), state });
        }
        if let Some(connector) = text.strip_prefix("connector-") {
            let config = parse_json(key, value)?.map(|json| properties(key, &json)).transpose()?;
            return Ok(Self::Connector { connector: connector.to_owned(), config });
        }
        if text == "session-key" || IGNORED_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            return Ok(Self::Ignored);
        }
        if let Some(rest) = text.strip_prefix("task-") {
            let (connector, task) = split_task(rest).ok_or_else(unknown)?;
            let config = parse_json(key, value)?.map(|json| properties(key, &json)).transpose()?;
            return Ok(Self::Task { id: TaskId::new(connector, task), config });
        }
        if let Some(connector) = text.strip_prefix("commit-") {
            let tasks = parse_json(key, value)?.map(|json| task_count(key, &json)).transpose()?;
            return Ok(Self::Commit { connector: connector.to_owned(), tasks });
        }
        Err(unknown())
    }

    /// Key and value as Connect writes them; nothing for [`Ignored`](Self::Ignored), which is never written.
    #[must_use]
    pub fn encode(&self) -> Option<(Bytes, Option<Bytes>)> {
        let (key, value) = match self {
            Self::Connector { connector, config } => {
                (format!("connector-{connector}"), config.as_ref().map(|c| json!({ "properties": c })))
            }
            Self::Task { id, config } => (format!("task-{id}"), config.as_ref().map(|c| json!({ "properties": c }))),
            Self::Commit { connector, tasks } => (format!("commit-{connector}"), tasks.map(|n| json!({ "tasks": n }))),
            Self::TargetState { connector, state } => {
                (format!("target-state-{connector}"), state.map(target_state_value))
            }
            Self::Ignored => return None,
        };
        Some((Bytes::from(key), value.map(|json| Bytes::from(json.to_string()))))
    }
}

/// Workers before 3.5 know no STOPPED and read `state` only: for them a stopped connector is a paused one (KIP-875).
fn target_state_value(state: TargetState) -> Value {
    let old = if state == TargetState::Stopped { TargetState::Paused } else { state };
    let mut value = Map::new();
    value.insert("state".to_owned(), old.as_str().into());
    value.insert("state.v2".to_owned(), state.as_str().into());
    Value::Object(value)
}

fn target_state(key: &[u8], json: &Value) -> Result<TargetState, BadRecord> {
    let named = |field: &str| json.get(field).and_then(Value::as_str).and_then(|s| s.parse().ok());
    named("state.v2").or_else(|| named("state")).ok_or_else(|| shape(key, "\"state\" with STARTED, PAUSED or STOPPED"))
}

fn task_count(key: &[u8], json: &Value) -> Result<u32, BadRecord> {
    let tasks = json.get("tasks").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    tasks.ok_or_else(|| shape(key, "\"tasks\" with a number"))
}

fn properties(key: &[u8], json: &Value) -> Result<BTreeMap<String, String>, BadRecord> {
    let map = json.get("properties").and_then(Value::as_object);
    let map = map.ok_or_else(|| shape(key, "\"properties\" with a map"))?;
    let mut properties = BTreeMap::new();
    for (name, value) in map {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => return Err(shape(key, "\"properties\" with a flat map of strings")),
        };
        properties.insert(name.clone(), text);
    }
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn decode(key: &str, value: Option<&str>) -> Result<ConfigRecord, BadRecord> {
        ConfigRecord::decode(Some(key.as_bytes()), value.map(str::as_bytes))
    }

    /// Bytes as Connect 3.7 writes them (JsonConverter, schemas off).
    #[test]
    fn bytes_are_connects() {
        let config = map(&[("name", "mm2-msc"), ("tasks.max", "4")]);
        let cases = [
            (
                ConfigRecord::Connector { connector: "mm2-msc".into(), config: Some(config.clone()) },
                "connector-mm2-msc",
                Some(r#"{"properties":{"name":"mm2-msc","tasks.max":"4"}}"#),
            ),
            (ConfigRecord::Connector { connector: "mm2-msc".into(), config: None }, "connector-mm2-msc", None),
            (
                ConfigRecord::Task { id: TaskId::new("mm2-msc", 12), config: Some(map(&[("task.index", "12")])) },
                "task-mm2-msc-12",
                Some(r#"{"properties":{"task.index":"12"}}"#),
            ),
            (
                ConfigRecord::Commit { connector: "mm2-msc".into(), tasks: Some(4) },
                "commit-mm2-msc",
                Some(r#"{"tasks":4}"#),
            ),
            (
                ConfigRecord::TargetState { connector: "mm2-msc".into(), state: Some(TargetState::Started) },
                "target-state-mm2-msc",
                Some(r#"{"state":"STARTED","state.v2":"STARTED"}"#),
            ),
            (
                ConfigRecord::TargetState { connector: "mm2-msc".into(), state: Some(TargetState::Stopped) },
                "target-state-mm2-msc",
                Some(r#"{"state":"PAUSED","state.v2":"STOPPED"}"#),
            ),
            (ConfigRecord::TargetState { connector: "mm2-msc".into(), state: None }, "target-state-mm2-msc", None),
        ];
        for (record, key, value) in cases {
            let (k, v) = record.encode().unwrap();
            assert_eq!((k.as_ref(), v.as_deref()), (key.as_bytes(), value.map(str::as_bytes)));
            assert_eq!(decode(key, value).unwrap(), record);
        }
    }

    #[test]
    fn target_states_of_older_workers() {
        let read = |value| match decode("target-state-c", Some(value)).unwrap() {
            ConfigRecord::TargetState { state, .. } => state,
            other => panic!("{other:?}"),
        };
        assert_eq!(read(r#"{"state":"PAUSED"}"#), Some(TargetState::Paused));
        assert_eq!(read(r#"{"state.v2":"STOPPED","state":"PAUSED"}"#), Some(TargetState::Stopped));
        assert_eq!(read(r#"{"state":"STARTED","state.v2":"HIBERNATED"}"#), Some(TargetState::Started));
        assert_eq!(read("null"), None);
    }

    #[test]
    fn records_of_no_use_are_ignored() {
        for (key, value) in [
            ("session-key", Some(r#"{"key":"aGk=","algorithm":"HmacSHA256","creation-timestamp":1}"#)),
            ("restart-connector-mm2-msc", Some(r#"{"include-tasks":true,"only-failed":false}"#)),
            ("logger-cluster-org.apache", Some(r#"{"level":"DEBUG"}"#)),
            ("tasks-fencing-mm2-msc", Some(r#"{"task-count":3}"#)),
            ("tasks-fencing-mm2-msc", None),
        ] {
            assert_eq!(decode(key, value).unwrap(), ConfigRecord::Ignored, "{key}");
        }
        assert_eq!(ConfigRecord::Ignored.encode(), None);
    }

    #[test]
    fn bad_records_say_what_is_wrong() {
        let text = |key: &str, value: &str| decode(key, Some(value)).unwrap_err().to_string();
        assert_eq!(text("greetings", "{}"), r#"unknown key "greetings""#);
        assert_eq!(text("task-mm2", "{}"), r#"unknown key "task-mm2""#);
        assert_eq!(text("connector-c", "{}"), r#"value of key "connector-c": "properties" with a map expected"#);
        assert_eq!(text("commit-c", r#"{"tasks":-1}"#), r#"value of key "commit-c": "tasks" with a number expected"#);
        assert!(text("connector-c", "{\"pro").starts_with(r#"value of key "connector-c" is not JSON: EOF"#));
        assert!(text("connector-c", r#"{"properties":{"a":{}}}"#).ends_with("a flat map of strings expected"));
        assert_eq!(ConfigRecord::decode(None, None).unwrap_err(), BadRecord::NoKey);
        assert!(ConfigRecord::decode(Some(&[0xff, 0xfe]), None).is_err());
    }

    proptest! {
        #[test]
        fn any_connector_survives(name in "\\PC{1,40}", config in prop::collection::btree_map("\\PC{0,12}", ".{0,12}", 0..6), n in 0u32..) {
            for record in [
                ConfigRecord::Connector { connector: name.clone(), config: Some(config.clone()) },
                ConfigRecord::Task { id: TaskId::new(name.clone(), n), config: Some(config) },
                ConfigRecord::Commit { connector: name.clone(), tasks: Some(n) },
                ConfigRecord::TargetState { connector: name, state: Some(TargetState::Paused) },
            ] {
                let (key, value) = record.encode().unwrap();
                prop_assert_eq!(ConfigRecord::decode(Some(&key), value.as_deref()).unwrap(), record);
            }
        }

        #[test]
        fn garbage_never_panics(key in prop::collection::vec(any::<u8>(), 0..40), value in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = ConfigRecord::decode(Some(&key), Some(&value));
        }
    }
}
