//! Request bodies: what is taken, and what is said of the rest.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
    response::IntoResponse,
};
use serde_json::{Map, Value};

use super::{BODY_LIMIT, BODY_TIMEOUT, error::ApiError};
use crate::{records::TargetState, worker::GivenConfig};

/// How long a request's body may take to arrive.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyTimeout(pub(super) Duration);

/// A request's body, JSON.
pub(super) struct Body(pub(super) Value);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let limit = request.extensions().get().map_or(BODY_TIMEOUT, |BodyTimeout(limit)| *limit);
        let read = tokio::time::timeout(limit, Bytes::from_request(request, state)).await;
        let bytes = read.map_err(|_| ApiError::body_timed_out(limit))?.map_err(|rejection| {
            let text = rejection.body_text();
            match rejection.into_response().status() {
                StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(BODY_LIMIT),
                _ => ApiError::bad_request(text),
            }
        })?;
        if bytes.is_empty() {
            return Err(ApiError::bad_request("The request has no body; a JSON object is expected".to_owned()));
        }
        // The parser names line and column, and limits how deep a body may nest.
        let json = serde_json::from_slice(&bytes);
        json.map(Self).map_err(|error| ApiError::bad_request(format!("The request body is not valid JSON: {error}")))
    }
}

/// `POST /connectors`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CreateRequest {
    /// Trimmed; empty if absent, for the validator to refuse.
    pub(super) name: String,
    pub(super) config: GivenConfig,
    pub(super) target: Option<TargetState>,
}

/// Reads the body of `POST /connectors`; the error is for the client.
pub(super) fn create_request(body: Value) -> Result<CreateRequest, String> {
    let Value::Object(mut members) = body else {
        return Err(format!("The request body is {}; a JSON object is expected", kind(&body)));
    };
    let known = ["name", "config", "initial_state"];
    if let Some(unknown) = members.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("Unrecognized field {unknown:?}; allowed are {}", known.join(", ")));
    }
    let name = members.remove("name").map_or(Ok(None), |value| scalar("name", value))?;
    let config = match members.remove("config") {
        Some(config @ Value::Object(_)) => given_config(config)?,
        None | Some(Value::Null) => return Err("Field \"config\" is missing; a JSON object is expected".to_owned()),
        Some(other) => return Err(format!("Field \"config\" is {}; a JSON object is expected", kind(&other))),
    };
    let target = members.remove("initial_state").map_or(Ok(None), |value| scalar("initial_state", value))?;
    let target = target.map(|state| initial_state(&state)).transpose()?;
    Ok(CreateRequest { name: name.unwrap_or_default().trim().to_owned(), config, target })
}

/// Reads a flat map of settings, as `PUT …/config` has it; the error is for the client.
pub(super) fn given_config(body: Value) -> Result<GivenConfig, String> {
    let Value::Object(members) = body else {
        return Err(format!("The configuration is {}; a JSON object is expected", kind(&body)));
    };
    let members: Map<String, Value> = members;
    members.into_iter().map(|(key, value)| Ok((key.clone(), scalar(&key, value)?))).collect()
}

/// Connector settings are strings; numbers and booleans become such.
fn scalar(key: &str, value: Value) -> Result<Option<String>, String> {
    match value {
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(flag) => Ok(Some(flag.to_string())),
        Value::Null => Ok(None),
        Value::Array(_) | Value::Object(_) => {
            Err(format!("Value of {key:?} is {}; a string, number or boolean is expected", kind(&value)))
        }
    }
}

/// KIP-980: as the state is told in statuses, in any case.
fn initial_state(text: &str) -> Result<TargetState, String> {
    match text.to_ascii_uppercase().as_str() {
        "RUNNING" => Ok(TargetState::Started),
        "PAUSED" => Ok(TargetState::Paused),
        "STOPPED" => Ok(TargetState::Stopped),
        _ => Err(format!("Value of \"initial_state\" is {text:?}; allowed are RUNNING, PAUSED, STOPPED")),
    }
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn scalars_become_strings() {
        let config = given_config(json!({"a": " b ", "tasks.max": 4, "enabled": true, "gone": null})).unwrap();
        let expected = [("a", some(" b ")), ("enabled", some("true")), ("gone", None), ("tasks.max", some("4"))];
        assert_eq!(config, expected.map(|(k, v)| (k.to_owned(), v)).into());
        assert_eq!(
            given_config(json!({"a": {"b": 1}})).unwrap_err(),
            r#"Value of "a" is an object; a string, number or boolean is expected"#
        );
        assert_eq!(given_config(json!([])).unwrap_err(), "The configuration is an array; a JSON object is expected");
    }

    #[test]
    fn create_requests() {
        let read = create_request(json!({"name": " c ", "config": {}, "initial_state": "stopped"})).unwrap();
        let target = Some(TargetState::Stopped);
        assert_eq!(read, CreateRequest { name: "c".into(), config: GivenConfig::new(), target });
        assert_eq!(create_request(json!({"config": {}})).unwrap().name, "");
        for (body, message) in [
            (json!({"name": "c"}), r#"Field "config" is missing; a JSON object is expected"#),
            (json!({"name": "c", "config": 1}), r#"Field "config" is a number; a JSON object is expected"#),
            (json!({"nam": "c"}), r#"Unrecognized field "nam"; allowed are name, config, initial_state"#),
            (json!({"name": []}), r#"Value of "name" is an array; a string, number or boolean is expected"#),
            (json!("c"), "The request body is a string; a JSON object is expected"),
            (
                json!({"config": {}, "initial_state": "ASLEEP"}),
                r#"Value of "initial_state" is "ASLEEP"; allowed are RUNNING, PAUSED, STOPPED"#,
            ),
        ] {
            assert_eq!(create_request(body).unwrap_err(), message);
        }
    }
}
