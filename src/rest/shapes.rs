//! Bodies of answers. Members are in Connect's order.

use serde::Serialize;
use serde_json::Value;

use crate::{
    config::Properties,
    records::{StatusValue, TaskId},
    worker::{ConnectorInfo, ConnectorStatus, LimitsInUse},
};

/// Every connector there is reads a source.
const CONNECTOR_TYPE: &str = "source";

#[derive(Serialize)]
pub(super) struct TaskIdBody {
    connector: String,
    task: u32,
}

impl From<TaskId> for TaskIdBody {
    fn from(id: TaskId) -> Self {
        Self { connector: id.connector, task: id.task }
    }
}

#[derive(Serialize)]
pub(super) struct ConnectorInfoBody {
    name: String,
    config: Properties,
    tasks: Vec<TaskIdBody>,
    r#type: &'static str,
}

impl From<ConnectorInfo> for ConnectorInfoBody {
    fn from(info: ConnectorInfo) -> Self {
        let tasks = info.tasks.into_iter().map(TaskIdBody::from).collect();
        Self { name: info.name, config: info.config, tasks, r#type: CONNECTOR_TYPE }
    }
}

#[derive(Serialize)]
pub(super) struct TaskInfoBody {
    id: TaskIdBody,
    config: Properties,
}

impl From<(TaskId, Properties)> for TaskInfoBody {
    fn from((id, config): (TaskId, Properties)) -> Self {
        Self { id: id.into(), config }
    }
}

#[derive(Serialize)]
struct ConnectorStateBody {
    state: &'static str,
    worker_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

#[derive(Serialize)]
pub(super) struct TaskStateBody {
    id: u32,
    state: &'static str,
    worker_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

impl From<(u32, StatusValue)> for TaskStateBody {
    fn from((id, status): (u32, StatusValue)) -> Self {
        Self { id, state: status.state.as_str(), worker_id: status.worker_id, trace: status.trace }
    }
}

#[derive(Serialize)]
pub(super) struct ConnectorStateInfoBody {
    name: String,
    connector: ConnectorStateBody,
    tasks: Vec<TaskStateBody>,
    r#type: &'static str,
}

impl From<ConnectorStatus> for ConnectorStateInfoBody {
    fn from(status: ConnectorStatus) -> Self {
        let StatusValue { state, trace, worker_id, .. } = status.connector;
        Self {
            name: status.name,
            connector: ConnectorStateBody { state: state.as_str(), worker_id, trace },
            tasks: status.tasks.into_iter().map(TaskStateBody::from).collect(),
            r#type: CONNECTOR_TYPE,
        }
    }
}

/// One entry of `GET /connectors?expand=…`; what was not asked for is absent.
#[derive(Serialize)]
pub(super) struct ExpandedBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<ConnectorStateInfoBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) info: Option<ConnectorInfoBody>,
}

#[derive(Serialize)]
pub(super) struct ServerInfoBody {
    pub(super) version: &'static str,
    pub(super) commit: &'static str,
    pub(super) kafka_cluster_id: String,
}

#[derive(Serialize)]
pub(super) struct HealthBody {
    pub(super) status: &'static str,
    pub(super) message: String,
}

/// `GET …/offsets`.
#[derive(Serialize)]
pub(super) struct OffsetsBody {
    offsets: Vec<OffsetBody>,
}

#[derive(Serialize)]
struct OffsetBody {
    partition: Value,
    offset: Value,
}

impl From<Vec<(Value, Value)>> for OffsetsBody {
    fn from(offsets: Vec<(Value, Value)>) -> Self {
        Self { offsets: offsets.into_iter().map(|(partition, offset)| OffsetBody { partition, offset }).collect() }
    }
}

#[derive(Serialize)]
pub(super) struct MessageBody {
    pub(super) message: &'static str,
}

/// A cap that is absent is null.
#[derive(Serialize)]
pub(super) struct LimitsBody {
    #[serde(rename = "max.bytes.per.second")]
    max_bytes_per_second: Option<u64>,
    #[serde(rename = "memory.bytes")]
    memory_bytes: usize,
    #[serde(rename = "memory.bytes.in.use")]
    memory_bytes_in_use: usize,
}

impl From<LimitsInUse> for LimitsBody {
    fn from(limits: LimitsInUse) -> Self {
        Self {
            max_bytes_per_second: limits.max_bytes_per_second,
            memory_bytes: limits.memory_bytes,
            memory_bytes_in_use: limits.memory_bytes_in_use,
        }
    }
}
