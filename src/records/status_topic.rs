//! Records of Connect's status topic (`KafkaStatusBackingStore`).

use bytes::Bytes;
use serde_json::{Value, json};

use super::{BadRecord, State, TaskId, lossy, parse_json, shape, split_task};

/// Whose status a record tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatusKey {
    /// `status-connector-{c}`.
    Connector(String),
    /// `status-task-{c}-{n}`.
    Task(TaskId),
}

impl StatusKey {
    /// The connector it is about.
    #[must_use]
    pub fn connector(&self) -> &str {
        match self {
            Self::Connector(connector) => connector,
            Self::Task(id) => &id.connector,
        }
    }

    /// Key bytes as Connect writes them.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Bytes::from(match self {
            Self::Connector(connector) => format!("status-connector-{connector}"),
            Self::Task(id) => format!("status-task-{id}"),
        })
    }
}

/// A connector's or task's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusValue {
    /// Its state.
    pub state: State,
    /// Why it failed: first line `class: message`, absent while healthy.
    pub trace: Option<String>,
    /// `host:port` of the worker that wrote it.
    pub worker_id: String,
    /// Group generation of the writer; a higher one is a later owner.
    pub generation: i32,
}

impl StatusValue {
    /// Value bytes as Connect writes them: `trace` is there even when null.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let value = json!({
            "state": self.state.as_str(),
            "trace": self.trace,
            "worker_id": self.worker_id,
            "generation": self.generation,
        });
        Bytes::from(value.to_string())
    }
}

/// One record of the status topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusRecord {
    /// A status, or that there is none any more.
    Status {
        /// Whose.
        key: StatusKey,
        /// The status; a tombstone means the thing is gone.
        value: Option<StatusValue>,
    },
    /// `status-topic-{t}:connector-{c}`: which topics a connector used. Not kept.
    Topic,
}

impl StatusRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// Keys that are not Connect's, and values of another shape.
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, BadRecord> {
        let key = key.ok_or(BadRecord::NoKey)?;
        let unknown = || BadRecord::UnknownKey { key: lossy(key) };
        let text = std::str::from_utf8(key).map_err(|_| unknown())?;
        if text.starts_with("status-topic-") {
            return Ok(Self::Topic);
        }
        let status_key = if let Some(connector) = text.strip_prefix("status-connector-") {
            StatusKey::Connector(connector.to_owned())
        } else if let Some(rest) = text.strip_prefix("status-task-") {
            let (connector, task) = split_task(rest).ok_or_else(unknown)?;
            StatusKey::Task(TaskId::new(connector, task))
        } else {
            return Err(unknown());
        };
        let value = parse_json(key, value)?.map(|json| status(key, &json)).transpose()?;
        Ok(Self::Status { key: status_key, value })
    }
}

fn status(key: &[u8], json: &Value) -> Result<StatusValue, BadRecord> {
    let text = |field: &str| json.get(field).and_then(Value::as_str);
    let state =
        text("state").and_then(|s| s.parse().ok()).ok_or_else(|| shape(key, "\"state\" with a state's name"))?;
    let worker_id = text("worker_id").ok_or_else(|| shape(key, "\"worker_id\" with host:port"))?;
    let generation = json.get("generation").and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
    Ok(StatusValue {
        state,
        trace: text("trace").filter(|t| !t.is_empty()).map(str::to_owned),
        worker_id: worker_id.to_owned(),
        generation: generation.ok_or_else(|| shape(key, "\"generation\" with a number"))?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(key: &str, value: Option<&str>) -> Result<StatusRecord, BadRecord> {
        StatusRecord::decode(Some(key.as_bytes()), value.map(str::as_bytes))
    }

    #[test]
    fn bytes_are_connects() {
        let status =
            StatusValue { state: State::Running, trace: None, worker_id: "10.0.0.7:8083".into(), generation: 7 };
        let json = r#"{"state":"RUNNING","trace":null,"worker_id":"10.0.0.7:8083","generation":7}"#;
        assert_eq!(status.encode().as_ref(), json.as_bytes());
        for (key, text) in [
            (StatusKey::Connector("mm2-msc".into()), "status-connector-mm2-msc"),
            (StatusKey::Task(TaskId::new("mm2-msc", 3)), "status-task-mm2-msc-3"),
        ] {
            assert_eq!(key.encode().as_ref(), text.as_bytes());
            let read = decode(text, Some(json)).unwrap();
            assert_eq!(read, StatusRecord::Status { key: key.clone(), value: Some(status.clone()) });
            assert_eq!(decode(text, None).unwrap(), StatusRecord::Status { key, value: None });
        }
    }

    #[test]
    fn topic_tracking_is_passed_over() {
        let value = r#"{"topic":{"name":"t","connector":"c","task":0,"discoverTimestamp":1}}"#;
        assert_eq!(decode("status-topic-t:connector-c", Some(value)).unwrap(), StatusRecord::Topic);
    }

    #[test]
    fn bad_records_say_what_is_wrong() {
        let text = |key: &str, value: &str| decode(key, Some(value)).unwrap_err().to_string();
        assert_eq!(text("status-worker-1", "{}"), r#"unknown key "status-worker-1""#);
        let half = r#"{"state":"RUNNING","worker_id":"h:1"}"#;
        assert!(text("status-connector-c", half).ends_with("\"generation\" with a number expected"));
        assert!(text("status-connector-c", r#"{"state":"HAPPY"}"#).ends_with("\"state\" with a state's name expected"));
    }

    proptest! {
        #[test]
        fn any_status_survives(name in "\\PC{1,40}", trace in prop::option::of(".{1,60}"), generation: i32, n in 0u32..) {
            let value = StatusValue { state: State::Failed, trace, worker_id: "h:1".into(), generation };
            for key in [StatusKey::Connector(name.clone()), StatusKey::Task(TaskId::new(name.clone(), n))] {
                let read = StatusRecord::decode(Some(&key.encode()), Some(&value.encode())).unwrap();
                prop_assert_eq!(read, StatusRecord::Status { key, value: Some(value.clone()) });
            }
        }

        #[test]
        fn garbage_never_panics(key in prop::collection::vec(any::<u8>(), 0..40), value in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = StatusRecord::decode(Some(&key), Some(&value));
        }
    }
}
