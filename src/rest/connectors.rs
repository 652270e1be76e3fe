//! `/connectors` and all below.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    Answer, AppState, Path, Query,
    body::{Body, create_request, given_config},
    error::ApiError,
    shapes::{ConnectorInfoBody, ConnectorStateInfoBody, ExpandedBody, TaskInfoBody, TaskStateBody},
};
use crate::{
    config::Properties,
    records::TargetState,
    worker::{ConnectorInfo, Put},
};

pub(super) async fn list(State(worker): AppState, query: Query) -> Result<Response, ApiError> {
    let herder = worker.herder()?;
    let expand: Vec<&str> = query.0.iter().filter(|(key, _)| key == "expand").map(|(_, v)| v.as_str()).collect();
    if expand.is_empty() {
        return Ok(Json(herder.connectors()).into_response());
    }
    let mut all = BTreeMap::new();
    for name in herder.connectors() {
        let status = expand.contains(&"status").then(|| herder.status(&name)).transpose();
        let info = expand.contains(&"info").then(|| herder.connector(&name)).transpose();
        // One that is being made or deleted just now is left out.
        let (Ok(status), Ok(info)) = (status, info) else { continue };
        all.insert(name, ExpandedBody { status: status.map(Into::into), info: info.map(Into::into) });
    }
    Ok(Json(all).into_response())
}

pub(super) async fn create(
    State(worker): AppState,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let request = create_request(body).map_err(ApiError::bad_request)?;
    let herder = worker.herder()?;
    let put = herder.put_connector(&request.name, request.config, request.target, Put::Create);
    let (_, info) = put.await?;
    Ok(created(&headers, info))
}

pub(super) async fn info(State(worker): AppState, Path(connector): Path<String>) -> Answer<ConnectorInfoBody> {
    Ok(Json(worker.herder()?.connector(&connector)?.into()))
}

pub(super) async fn delete(State(worker): AppState, Path(connector): Path<String>) -> Result<StatusCode, ApiError> {
    worker.herder()?.delete_connector(&connector).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn config(State(worker): AppState, Path(connector): Path<String>) -> Answer<Properties> {
    Ok(Json(worker.herder()?.connector(&connector)?.config))
}

pub(super) async fn put_config(
    State(worker): AppState,
    Path(connector): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let given = given_config(body).map_err(ApiError::bad_request)?;
    let (is_new, info) = worker.herder()?.put_connector(&connector, given, None, Put::Upsert).await?;
    Ok(if is_new { created(&headers, info) } else { Json(ConnectorInfoBody::from(info)).into_response() })
}

pub(super) async fn status(State(worker): AppState, Path(connector): Path<String>) -> Answer<ConnectorStateInfoBody> {
    Ok(Json(worker.herder()?.status(&connector)?.into()))
}

pub(super) async fn restart(
    State(worker): AppState,
    Path(connector): Path<String>,
    query: Query,
) -> Result<Response, ApiError> {
    let (include_tasks, only_failed) = (query.flag("includeTasks", false), query.flag("onlyFailed", false));
    Ok(match worker.herder()?.restart_connector(&connector, include_tasks, only_failed)? {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(status) => (StatusCode::ACCEPTED, Json(ConnectorStateInfoBody::from(status))).into_response(),
    })
}

pub(super) async fn pause(state: AppState, connector: Path<String>) -> Result<StatusCode, ApiError> {
    set_target(state, connector, TargetState::Paused, StatusCode::ACCEPTED).await
}

pub(super) async fn resume(state: AppState, connector: Path<String>) -> Result<StatusCode, ApiError> {
    set_target(state, connector, TargetState::Started, StatusCode::ACCEPTED).await
}

/// Unlike the others it answers 204, as in Connect.
pub(super) async fn stop(state: AppState, connector: Path<String>) -> Result<StatusCode, ApiError> {
    set_target(state, connector, TargetState::Stopped, StatusCode::NO_CONTENT).await
}

async fn set_target(
    State(worker): AppState,
    Path(connector): Path<String>,
    target: TargetState,
    answer: StatusCode,
) -> Result<StatusCode, ApiError> {
    worker.herder()?.set_target(&connector, target).await?;
    Ok(answer)
}

pub(super) async fn tasks(State(worker): AppState, Path(connector): Path<String>) -> Answer<Vec<TaskInfoBody>> {
    let tasks = worker.herder()?.tasks(&connector)?;
    Ok(Json(tasks.into_iter().map(TaskInfoBody::from).collect()))
}

pub(super) async fn task_status(
    State(worker): AppState,
    Path((connector, task)): Path<(String, u32)>,
) -> Answer<TaskStateBody> {
    let status = worker.herder()?.task_status(&connector, task)?;
    Ok(Json((task, status).into()))
}

pub(super) async fn restart_task(
    State(worker): AppState,
    Path((connector, task)): Path<(String, u32)>,
) -> Result<StatusCode, ApiError> {
    worker.herder()?.restart_task(&connector, task)?;
    Ok(StatusCode::NO_CONTENT)
}

/// 201 with the new connector's address, under the host that the client used.
fn created(headers: &HeaderMap, info: ConnectorInfo) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let location = location(host, &info.name);
    (StatusCode::CREATED, [(header::LOCATION, location)], Json(ConnectorInfoBody::from(info))).into_response()
}

fn location(host: Option<&str>, connector: &str) -> String {
    let mut location = host.map_or_else(String::new, |host| format!("http://{host}"));
    location.push_str("/connectors/");
    for byte in connector.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            location.push(char::from(byte));
        } else {
            location.push_str(&format!("%{byte:02X}"));
        }
    }
    location
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_encoded() {
        assert_eq!(location(Some("h:8083"), "mm2-msc"), "http://h:8083/connectors/mm2-msc");
        assert_eq!(location(None, "a b/ü"), "/connectors/a%20b%2F%C3%BC");
    }
}
