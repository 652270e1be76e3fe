//! `/connectors/{connector}/kmirror/acls?dry-run`: what copying ACLs would change. Connect has no such path.

use axum::{Json, extract::State};
use serde::Serialize;
use wire::AclBinding;

use super::{Answer, AppState, Path, Query, error::ApiError};
use crate::mirror::AclDifference;

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

impl From<AclBinding> for AclBody {
    fn from(binding: AclBinding) -> Self {
        let AclBinding { resource_type, pattern_type, resource_name, principal, host, operation, permission } = binding;
        Self {
            resource_type: resource_type.to_string(),
            pattern_type: pattern_type.to_string(),
            resource_name,
            principal,
            host,
            operation: operation.to_string(),
            permission: permission.to_string(),
        }
    }
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
    let all = |bindings: Vec<AclBinding>| bindings.into_iter().map(AclBody::from).collect();
    let left_out = left_out.into_iter().map(|(acl, reason)| LeftOutBody { acl: acl.into(), reason }).collect();
    Ok(Json(DifferenceBody { add: all(add), remove: all(remove), left_out }))
}
