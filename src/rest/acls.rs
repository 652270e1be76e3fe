//! `/connectors/{connector}/kmirror/acls?dry-run`: what copying ACLs would change. Connect has no such path.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{Answer, AppState, Path, Query, error::ApiError};
use crate::mirror::{AclBinding, AclDifference};

#[derive(Serialize)]
pub(super) struct DifferenceBody {
    /// To be added to the target.
    add: Vec<AclBody>,
    /// To be removed there.
    remove: Vec<AclBody>,
    /// Rules of the source that are not carried.
    left_out: Vec<LeftOutBody>,
}

#[derive(Serialize)]
struct AclBody {
    resource_type: String,
    pattern_type: String,
    resource_name: String,
    principal: String,
    host: String,
    operation: String,
    permission: String,
}

#[derive(Serialize)]
struct LeftOutBody {
    #[serde(flatten)]
    acl: AclBody,
    reason: String,
}

pub(super) async fn difference(
    State(worker): AppState,
    Path(connector): Path<String>,
    query: Query,
) -> Answer<DifferenceBody> {
    if !query.has("dry-run") {
        return Err(ApiError::bad_request("ACLs are only compared here: ask with ?dry-run".to_owned()));
    }
    let not_yet = || ApiError::internal(format!("Connector {connector} has not reached its clusters yet"));
    let view = worker.herder()?.acls(&connector)?.ok_or_else(not_yet)?;
    let told = view.difference().await.map_err(|error| ApiError::internal(error.to_string()))?;
    let AclDifference { add, remove, left_out } = told;
    let body = |acl| {
        let AclBinding { resource_type, pattern_type, resource_name, principal, host, operation, permission } = acl;
        AclBody {
            resource_type: resource_type.to_string(),
            pattern_type: pattern_type.to_string(),
            resource_name,
            principal,
            host,
            operation: operation.to_string(),
            permission: permission.to_string(),
        }
    };
    Ok(Json(DifferenceBody {
        add: add.into_iter().map(body).collect(),
        remove: remove.into_iter().map(body).collect(),
        left_out: left_out.into_iter().map(|(acl, reason)| LeftOutBody { acl: body(acl), reason }).collect(),
    }))
}
