//! Failed requests in Connect's shape: `{"error_code":404,"message":"…"}`.

use std::time::Duration;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::worker;

/// A refused or failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error_code: u16,
    message: &'a str,
}

impl ApiError {
    pub(super) fn bad_request(message: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message }
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            message: format!("The request body is larger than {limit} bytes"),
        }
    }

    pub(super) fn body_timed_out(limit: Duration) -> Self {
        let message = format!("The request body did not arrive within {} ms", limit.as_millis());
        Self { status: StatusCode::REQUEST_TIMEOUT, message }
    }

    pub(super) fn not_found() -> Self {
        Self::http(StatusCode::NOT_FOUND)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::http(StatusCode::METHOD_NOT_ALLOWED)
    }

    pub(super) fn unsupported_media_type() -> Self {
        Self::http(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    }

    pub(super) fn internal(message: String) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message }
    }

    pub(super) fn timed_out() -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: "Request timed out".to_owned() }
    }

    /// Jersey's text for what it refuses itself, such as `HTTP 404 Not Found`.
    fn http(status: StatusCode) -> Self {
        let reason = status.canonical_reason().unwrap_or_default();
        Self { status, message: format!("HTTP {} {reason}", status.as_u16()) }
    }
}

impl From<worker::Error> for ApiError {
    fn from(error: worker::Error) -> Self {
        use worker::Error as E;
        let status = match &error {
            E::Starting { .. } | E::ShuttingDown | E::StopUnfinished { .. } => StatusCode::SERVICE_UNAVAILABLE,
            E::ConnectorNotFound { .. }
            | E::UnknownConnector { .. }
            | E::NoneToSteer { .. }
            | E::UnknownTask { .. }
            | E::NoConnectorStatus { .. }
            | E::NoTaskStatus { .. }
            | E::OtherClass { .. }
            | E::NoStatusToRestart { .. } => StatusCode::NOT_FOUND,
            E::AlreadyExists { .. } => StatusCode::CONFLICT,
            E::NameMismatch { .. } | E::InvalidConfig(_) | E::NotStopped { .. } => StatusCode::BAD_REQUEST,
            // A connector's own refusal, which Connect takes for a failure.
            E::OffsetsRefused(_)
            | E::Storage { .. }
            | E::StorageMissing { .. }
            | E::CleanupPolicy { .. }
            | E::ConfigPartitions { .. }
            | E::Cluster(_)
            | E::ForeignMembers { .. }
            | E::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, message: error.to_string() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { error_code: self.status.as_u16(), message: &self.message };
        (self.status, Json(body)).into_response()
    }
}
