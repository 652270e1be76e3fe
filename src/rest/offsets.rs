//! `/connectors/{connector}/offsets` (KIP-875).

use axum::{Json, extract::State};
use serde_json::{Map, Value};

use super::{
    Answer, AppState, Path,
    body::{Body, kind},
    error::ApiError,
    shapes::{MessageBody, OffsetsBody},
};
use crate::worker::GivenOffset;

pub(super) async fn get(State(worker): AppState, Path(connector): Path<String>) -> Answer<OffsetsBody> {
    Ok(Json(worker.herder()?.offsets(&connector).await?.into()))
}

pub(super) async fn alter(
    State(worker): AppState,
    Path(connector): Path<String>,
    Body(body): Body,
) -> Answer<MessageBody> {
    let offsets = given_offsets(body).map_err(ApiError::bad_request)?;
    worker.herder()?.alter_offsets(&connector, offsets).await?;
    Ok(Json(MessageBody { message: "The offsets for this connector have been altered successfully" }))
}

pub(super) async fn reset(State(worker): AppState, Path(connector): Path<String>) -> Answer<MessageBody> {
    worker.herder()?.reset_offsets(&connector).await?;
    Ok(Json(MessageBody { message: "The offsets for this connector have been reset successfully" }))
}

/// Reads the body of a request to alter offsets; the error is for the client.
fn given_offsets(body: Value) -> Result<Vec<GivenOffset>, String> {
    let mut members = object("The request body", body, &["offsets"])?;
    let entries = match members.remove("offsets") {
        Some(Value::Array(entries)) if !entries.is_empty() => entries,
        None | Some(Value::Null | Value::Array(_)) => {
            return Err("Partitions / offsets need to be provided for an alter offsets request".to_owned());
        }
        Some(other) => return Err(format!("Field \"offsets\" is {}; a JSON array is expected", kind(&other))),
    };
    let entry = |(number, entry)| {
        let what = format!("entry {number} of \"offsets\"");
        let mut members = object(&what, entry, &["partition", "offset"])?;
        let mut map = |name: &str| match members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => {
                Err(format!("Field {name:?} of {what} is {}; a JSON object or null is expected", kind(&other)))
            }
        };
        Ok(GivenOffset { partition: map("partition")?, offset: map("offset")? })
    };
    entries.into_iter().enumerate().map(entry).collect()
}

fn object(what: &str, value: Value, known: &[&str]) -> Result<Map<String, Value>, String> {
    let Value::Object(members) = value else {
        return Err(format!("{what} is {}; a JSON object is expected", kind(&value)));
    };
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(format!("Unrecognized field {unknown:?}; allowed are {}", known.join(", "))),
        None => Ok(members),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies_are_lists_of_partitions_and_offsets() {
        let map = |value: Value| value.as_object().cloned();
        let body = json!({"offsets": [
            {"partition": {"topic": "t"}, "offset": {"offset": 1}}, {"partition": {"a": [1]}, "offset": null}, {},
        ]});
        let expected = [
            GivenOffset { partition: map(json!({"topic": "t"})), offset: map(json!({"offset": 1})) },
            GivenOffset { partition: map(json!({"a": [1]})), offset: None },
            GivenOffset { partition: None, offset: None },
        ];
        assert_eq!(given_offsets(body), Ok(expected.to_vec()));
    }

    #[test]
    fn other_bodies_are_refused_with_what_is_expected() {
        let none = "Partitions / offsets need to be provided for an alter offsets request";
        for (body, expected) in [
            (json!({}), none),
            (json!({"offsets": null}), none),
            (json!({"offsets": []}), none),
            (json!([]), "The request body is an array; a JSON object is expected"),
            (json!({"offsets": {}}), "Field \"offsets\" is an object; a JSON array is expected"),
            (json!({"offset": []}), "Unrecognized field \"offset\"; allowed are offsets"),
            (json!({"offsets": [{}, 7]}), "entry 1 of \"offsets\" is a number; a JSON object is expected"),
            (json!({"offsets": [{"key": 7}]}), "Unrecognized field \"key\"; allowed are partition, offset"),
            (
                json!({"offsets": [{"partition": "t-0"}]}),
                "Field \"partition\" of entry 0 of \"offsets\" is a string; a JSON object or null is expected",
            ),
        ] {
            assert_eq!(given_offsets(body), Err(expected.to_owned()));
        }
    }
}
