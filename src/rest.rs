//! The Kafka Connect REST API over a [`Worker`]. The only room that names axum.
//!
//! Paths, status codes, bodies and messages are Connect's (checked against its 3.7 sources), with these differences:
//! - a body that can't be read is 400, where Connect answers 500: it is the client's to correct;
//! - bodies over 1 MiB are 413, and bodies that do not arrive within 10 s are 408;
//! - while the worker starts or drains, what needs its cluster is 503 with the cause, where Connect lets clients wait
//!   90 s; `/health` is 503 too when the worker's cluster stops answering, so that load balancers notice;
//! - what stands below `/kmirror` and `/connectors/{connector}/kmirror` is not Connect's.

mod acls;
mod body;
mod connectors;
mod error;
mod events;
mod groups;
mod limits;
mod offsets;
mod plugins;
mod root;
mod shapes;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, FromRequestParts, Request, State},
    http::{Method, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post, put},
};
use body::BodyTimeout;
use error::ApiError;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;

use crate::{
    config::{Listener, WorkerConfig},
    worker::Worker,
};

/// Largest request body taken, in bytes. Connector configurations are a few kB.
const BODY_LIMIT: usize = 1024 * 1024;
/// How long a request's body may take to arrive. They are a few kB: who takes longer holds a connection open for nothing.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take (`ConnectResource.DEFAULT_REST_REQUEST_TIMEOUT_MS`).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);

/// Why REST can't be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener's address can't be used.
    #[error("can't listen on {address} (worker key listeners): {cause}")]
    Bind {
        /// `host:port`.
        address: String,
        /// The operating system's words.
        cause: std::io::Error,
    },
    /// A listener broke while in use.
    #[error("listener {address} failed: {cause}")]
    Serve {
        /// `host:port`.
        address: SocketAddr,
        /// The operating system's words.
        cause: std::io::Error,
    },
}

/// Opens the listeners, in the order given.
///
/// # Errors
/// An address that does not resolve, is taken, or is not allowed.
pub async fn bind(listeners: &[Listener]) -> Result<Vec<TcpListener>, Error> {
    let mut bound = Vec::new();
    for listener in listeners {
        let host = listener.host.as_deref().filter(|host| !host.is_empty()).unwrap_or("0.0.0.0");
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let opened = TcpListener::bind((host, listener.port)).await;
        bound.push(opened.map_err(|cause| Error::Bind { address: format!("{host}:{}", listener.port), cause })?);
    }
    Ok(bound)
}

/// Whether the listeners can be reached from other machines.
#[must_use]
pub fn is_reachable_from_outside(listeners: &[TcpListener]) -> bool {
    // One whose address can't be told is taken for the worse.
    listeners.iter().any(|listener| listener.local_addr().map_or(true, |address| !address.ip().is_loopback()))
}

/// The worker's advertised `host:port`, as it stands in statuses: `rest.advertised.*`, else the first listener's host
/// and port, else this machine's name. `machine` is that name.
#[must_use]
pub fn worker_id(config: &WorkerConfig, bound: Option<SocketAddr>, machine: &str) -> String {
    let host = config.advertised_host.as_deref().filter(|host| !host.is_empty());
    let listening = config.listeners.first().and_then(|listener| listener.host.as_deref());
    // An address that means "all of them" is nobody's address.
    let listening = listening.filter(|host| !["", "0.0.0.0", "::", "[::]"].contains(host));
    let port = config.advertised_port.or_else(|| bound.map(|address| address.port()));
    let port = port.or_else(|| config.listeners.first().map(|listener| listener.port)).unwrap_or(8083);
    format!("{}:{port}", host.or(listening).unwrap_or(machine))
}

/// Answers requests on these listeners until `stop`; requests under way are answered still.
///
/// # Errors
/// A listener that breaks.
pub async fn serve(
    listeners: Vec<TcpListener>,
    worker: Arc<Worker>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    serve_router(listeners, router(worker, BODY_TIMEOUT), stop).await
}

async fn serve_router(
    listeners: Vec<TcpListener>,
    app: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let mut servers = tokio::task::JoinSet::new();
    for listener in listeners {
        let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        tracing::info!("REST is listening on http://{address}");
        let (app, mut stopped) = (app.clone(), stopped.clone());
        servers.spawn(async move {
            // The sender lives as long as this call.
            let stop = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
            let served = axum::serve(listener, app).with_graceful_shutdown(stop).await;
            served.map_err(|cause| Error::Serve { address, cause })
        });
    }
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop, if !*stopping.borrow() => drop(stopping.send(true)),
            served = servers.join_next() => match served {
                None => return Ok(()),
                Some(Ok(served)) => served?,
                Some(Err(error)) => tracing::error!("a listener's task broke: {error}"),
            },
        }
    }
}

/// Where Connect ends a path, it also takes a slash.
fn route(router: Router<Arc<Worker>>, path: &str, methods: MethodRouter<Arc<Worker>>) -> Router<Arc<Worker>> {
    router.route(&format!("{path}/"), methods.clone()).route(path, methods)
}

fn router(worker: Arc<Worker>, body_timeout: Duration) -> Router {
    let routes: [(&str, MethodRouter<Arc<Worker>>); 20] = [
        ("/health", get(root::health)),
        ("/connector-plugins", get(plugins::plugins)),
        ("/connector-plugins/{plugin}/config/validate", put(plugins::validate)),
        ("/kmirror/limits", get(limits::limits).put(limits::change)),
        ("/connectors", get(connectors::list).post(connectors::create)),
        ("/connectors/{connector}", get(connectors::info).delete(connectors::delete)),
        ("/connectors/{connector}/config", get(connectors::config).put(connectors::put_config)),
        ("/connectors/{connector}/status", get(connectors::status)),
        ("/connectors/{connector}/restart", post(connectors::restart)),
        ("/connectors/{connector}/pause", put(connectors::pause)),
        ("/connectors/{connector}/resume", put(connectors::resume)),
        ("/connectors/{connector}/stop", put(connectors::stop)),
        ("/connectors/{connector}/offsets", get(offsets::get).patch(offsets::alter).delete(offsets::reset)),
        ("/connectors/{connector}/kmirror/acls", get(acls::difference)),
        ("/connectors/{connector}/kmirror/events", get(events::events)),
        ("/connectors/{connector}/kmirror/groups", get(groups::groups)),
        ("/connectors/{connector}/kmirror/sync-groups", post(groups::sync)),
        ("/connectors/{connector}/tasks", get(connectors::tasks)),
        ("/connectors/{connector}/tasks/{task}/status", get(connectors::task_status)),
        ("/connectors/{connector}/tasks/{task}/restart", post(connectors::restart_task)),
    ];
    let root = Router::new().route("/", get(root::root));
    let router = routes.into_iter().fold(root, |router, (path, methods)| route(router, path, methods));
    router
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(middleware::from_fn(guard))
        .layer(Extension(BodyTimeout(body_timeout)))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(worker)
}

/// What holds for every request: bodies are JSON, answers come in time.
async fn guard(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let has_body = length.is_some_and(|length| length > 0) || headers.contains_key(header::TRANSFER_ENCODING);
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let is_json = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    let is_change = [Method::POST, Method::PUT, Method::PATCH].contains(request.method());
    if is_change && has_body && !is_json {
        return ApiError::unsupported_media_type().into_response();
    }
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::timed_out().into_response(),
    }
}

/// A path's parameters; one of another type is a path that does not exist, as in Connect.
struct Path<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Self(value)).map_err(|_| ApiError::not_found())
    }
}

/// A query's parameters in the order given; one may come more than once.
struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(pairs)| Self(pairs)).map_err(|error| ApiError::bad_request(error.to_string()))
    }
}

impl Query {
    /// As `Boolean.valueOf`: anything but `true` is false.
    fn flag(&self, name: &str, default: bool) -> bool {
        let value = self.0.iter().find(|(key, _)| key == name);
        value.map_or(default, |(_, value)| value.eq_ignore_ascii_case("true"))
    }

    /// Whether it is there, alone or with any value but `false`.
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, value)| key == name && !value.eq_ignore_ascii_case("false"))
    }
}

type AppState = State<Arc<Worker>>;
type Answer<T> = Result<Json<T>, ApiError>;

#[cfg(test)]
mod tests;
