//! `/kmirror/limits`: what the worker may use. Connect has no such path.

use axum::{Json, extract::State};
use serde_json::Value;

use super::{
    Answer, AppState,
    body::{Body, kind},
    error::ApiError,
    shapes::LimitsBody,
};

const CAP: &str = "max.bytes.per.second";
/// As in the properties file, where the key is a LONG.
const MOST: u64 = i64::MAX.unsigned_abs();

pub(super) async fn limits(State(worker): AppState) -> Json<LimitsBody> {
    Json(worker.limits().into())
}

pub(super) async fn change(State(worker): AppState, Body(body): Body) -> Answer<LimitsBody> {
    worker.cap_bytes_per_second(new_cap(&body).map_err(ApiError::bad_request)?);
    Ok(Json(worker.limits().into()))
}

/// Reads the body of `PUT /kmirror/limits`; the error is for the client.
fn new_cap(body: &Value) -> Result<Option<u64>, String> {
    let Value::Object(members) = body else {
        return Err(format!("The request body is {}; a JSON object is expected", kind(body)));
    };
    if let Some(unknown) = members.keys().find(|key| key.as_str() != CAP) {
        return Err(format!("Unrecognized field {unknown:?}; allowed is {CAP}"));
    }
    let allowed = format!("a whole number of bytes up to {MOST}, or null or 0 for no cap");
    match members.get(CAP) {
        None => Err(format!("Field {CAP:?} is missing; expected is {allowed}")),
        Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().filter(|most| *most <= MOST) {
            Some(most) => Ok(Some(most).filter(|most| *most > 0)),
            None => Err(format!("Value of {CAP:?} is {value}; expected is {allowed}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cap_is_a_number_or_null() {
        assert_eq!(new_cap(&json!({CAP: 500_000})), Ok(Some(500_000)));
        assert_eq!(new_cap(&json!({CAP: MOST})), Ok(Some(MOST)));
        assert_eq!(new_cap(&json!({CAP: null})), Ok(None));
        assert_eq!(new_cap(&json!({CAP: 0})), Ok(None));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        let allowed = "a whole number of bytes up to 9223372036854775807, or null or 0 for no cap";
        for value in [json!(-1), json!(1.5), json!("7"), json!(true), json!([7]), json!({}), json!(MOST + 1)] {
            let expected = format!("Value of \"max.bytes.per.second\" is {value}; expected is {allowed}");
            assert_eq!(new_cap(&json!({CAP: value})), Err(expected));
        }
        assert_eq!(
            new_cap(&json!({})),
            Err(format!("Field \"max.bytes.per.second\" is missing; expected is {allowed}"))
        );
        let unknown = "Unrecognized field \"memory.bytes\"; allowed is max.bytes.per.second";
        assert_eq!(new_cap(&json!({CAP: 1, "memory.bytes": 2})), Err(unknown.to_owned()));
        assert_eq!(new_cap(&json!([1])), Err("The request body is an array; a JSON object is expected".to_owned()));
    }
}
