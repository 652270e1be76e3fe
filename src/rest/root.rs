//! `/` and `/health`: about the worker itself.

use axum::{Json, extract::State, http::StatusCode};

use super::{
    Answer, AppState,
    shapes::{HealthBody, ServerInfoBody},
};
use crate::worker::Health;

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Set where releases are built.
const COMMIT: Option<&str> = option_env!("KMIRROR_COMMIT");

pub(super) async fn root(State(worker): AppState) -> Answer<ServerInfoBody> {
    let kafka_cluster_id = worker.cluster_id()?;
    Ok(Json(ServerInfoBody { version: VERSION, commit: COMMIT.unwrap_or("unknown"), kafka_cluster_id }))
}

/// The shape is that of KIP-1017, not that of errors.
pub(super) async fn health(State(worker): AppState) -> (StatusCode, Json<HealthBody>) {
    let (code, status, message) = match worker.health() {
        Health::Healthy => {
            let text = "Worker has completed startup and is ready to handle requests.";
            (StatusCode::OK, "healthy", text.to_owned())
        }
        Health::Starting(cause) => {
            (StatusCode::SERVICE_UNAVAILABLE, "starting", format!("Worker is still starting up: {cause}"))
        }
        Health::Unhealthy(cause) => {
            (StatusCode::SERVICE_UNAVAILABLE, "unhealthy", format!("Worker has lost its Kafka cluster: {cause}"))
        }
        Health::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", "Worker is shutting down.".to_owned()),
    };
    (code, Json(HealthBody { status, message }))
}
