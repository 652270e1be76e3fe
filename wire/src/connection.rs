//! One connection to one broker: requests go out pipelined, answers come back in order.
//!
//! A connection never recovers. When anything goes wrong (the stream ends, an answer is late, too long or out of order) it is closed, every
//! request under way fails with the cause, and the pool opens another one.

mod stream;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::{
    messages::{ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader},
    protocol::{Encodable, HeaderVersion, Request, StrBytes},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};

use self::stream::{Outgoing, Room, Segments, Vacate, Waiting, run};
use crate::{
    call::Call,
    decode::{decode, decode_header},
    error::{Error, Result},
    memory::Reservation,
    transport::Stream,
};

/// UNSUPPORTED_VERSION, the one code that ApiVersions answers in version 0 whatever was asked.
const UNSUPPORTED_VERSION: i16 = 35;

/// Who a connection leads to and how patient it is.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Cluster alias, for errors.
    pub(crate) cluster: Arc<str>,
    /// `host:port`, for errors.
    pub(crate) broker: String,
    /// Sent with every request.
    pub(crate) client_id: String,
    /// Longest wait for an answer.
    pub(crate) request_timeout: Duration,
    /// Longest wait for the first answer, to ApiVersions.
    pub(crate) handshake_timeout: Duration,
    /// Longest answer accepted, bytes.
    pub(crate) max_response_bytes: usize,
}

/// A handle to an open connection; clones share it. Dropping the last one closes it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    peer: Peer,
    outgoing: mpsc::Sender<Outgoing>,
    /// Why the connection is closed; empty while it is open.
    closed: watch::Sender<Option<String>>,
    correlation: AtomicI32,
    /// API key → the broker's version range.
    versions: HashMap<i16, (i16, i16)>,
    /// Until when the broker asked us to be silent (KIP-219: it no longer delays the answer, it trusts the client).
    muted_until: Mutex<Option<Instant>>,
}

impl Connection {
    /// Takes over a fresh stream and asks the broker what it speaks.
    ///
    /// # Errors
    /// [`Error::Disconnected`], [`Error::Timeout`] or [`Error::Malformed`] when what answers is not a Kafka broker.
    pub(crate) async fn open(stream: Box<dyn Stream>, peer: Peer) -> Result<Self> {
        let (outgoing, requests) = mpsc::channel(64);
        let (closed, closing) = watch::channel(None);
        tokio::spawn(run(stream, requests, closing, peer.max_response_bytes));
        let mut connection = Self {
            shared: Arc::new(Shared {
                peer,
                outgoing,
                closed,
                correlation: AtomicI32::new(0),
                versions: HashMap::new(),
                muted_until: Mutex::new(None),
            }),
        };
        let versions = connection.api_versions().await?;
        if let Some(shared) = Arc::get_mut(&mut connection.shared) {
            shared.versions = versions;
        }
        Ok(connection)
    }

    /// Closed by the other side, by an error or by [`Connection::close`].
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.closed.borrow().is_some() || self.shared.outgoing.is_closed()
    }

    /// Closes the connection; every request under way fails with this cause.
    pub(crate) fn close(&self, cause: &str) {
        self.shared.closed.send_if_modified(|now| {
            let first = now.is_none();
            if first {
                *now = Some(cause.to_owned());
            }
            first
        });
    }

    /// Sends a request and waits for its answer. The answer's error codes are the caller's to read.
    pub(crate) async fn call<R: Call>(&self, request: &R) -> Result<R::Response> {
        self.call_within(request, self.shared.peer.request_timeout).await
    }

    /// As [`Connection::call`], with a patience of its own.
    pub(crate) async fn call_within<R: Call>(&self, request: &R, patience: Duration) -> Result<R::Response> {
        let version = self.version(R::API, R::KEY, R::SPOKEN)?;
        self.call_at(request, version, patience, None).await
    }

    /// As [`Connection::call`], for an answer that the broker may hold back for `wait` on purpose (Fetch), and that is read into `room`.
    pub(crate) async fn call_held<R: Call>(
        &self,
        request: &R,
        version: i16,
        wait: Duration,
        room: Option<Reservation>,
    ) -> Result<R::Response> {
        self.call_at(request, version, self.shared.peer.request_timeout + wait, room).await
    }

    /// The highest version of a request that both sides speak.
    pub(crate) fn version(&self, api: &'static str, key: i16, (low, high): (i16, i16)) -> Result<i16> {
        let offered = self.shared.versions.get(&key).copied();
        if let Some((from, to)) = offered {
            let version = high.min(to);
            if version >= low.max(from) {
                return Ok(version);
            }
        }
        Err(Error::Unsupported {
            cluster: self.shared.peer.cluster.to_string(),
            broker: self.shared.peer.broker.clone(),
            api,
            offered: offered
                .map_or_else(|| "not at all".to_owned(), |(from, to)| format!("in versions {from} to {to}")),
            needed: format!("one of {low} to {high}"),
        })
    }

    async fn call_at<R: Call>(
        &self,
        request: &R,
        version: i16,
        patience: Duration,
        room: Option<Reservation>,
    ) -> Result<R::Response> {
        let correlation = self.next_correlation();
        let frame =
            encode(&*request.fit(version), version, correlation, &self.shared.peer.client_id).map_err(|cause| {
                self.malformed(R::API, format!("the request can't be written in version {version}: {cause}"))
            })?;
        let mut body = self.exchange(R::API, correlation, vec![frame], patience, room).await?;
        let response = decode_header::<ResponseHeader>(&mut body, R::Response::header_version(version))
            .and_then(|_| decode::<R::Response>(&mut body, version))
            .map_err(|cause| {
                self.close("a response could not be read");
                self.malformed(R::API, cause)
            })?;
        self.honour_throttle(R::throttle_ms(&response));
        Ok(response)
    }

    /// Sends a frame (with its length prefix, under `correlation`) and waits for the answer's bytes, response header included. They count
    /// against `room` until their last slice is dropped; whatever else ends the wait gives it back.
    pub(crate) async fn exchange(
        &self,
        api: &'static str,
        correlation: i32,
        segments: Vec<Bytes>,
        patience: Duration,
        room: Option<Reservation>,
    ) -> Result<Bytes> {
        let room = room.map(Room::new);
        let _vacate = Vacate(room.clone());
        while let Some(until) = self.muted_until() {
            sleep_until(until).await;
        }
        let (reply, answer) = oneshot::channel();
        let send = async {
            let out = Outgoing { frame: Segments::new(segments), waiting: Waiting { correlation, reply, room } };
            if self.shared.outgoing.send(out).await.is_err() {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "connection is closed"));
            }
            answer
                .await
                .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::ConnectionAborted, "connection is closed")))
        };
        match timeout(patience, send).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(cause)) if cause.kind() == io::ErrorKind::InvalidData => Err(self.malformed(api, cause.to_string())),
            Ok(Err(cause)) => {
                let said = self.shared.closed.borrow().clone();
                Err(Error::Disconnected {
                    cluster: self.shared.peer.cluster.to_string(),
                    broker: self.shared.peer.broker.clone(),
                    api,
                    cause: said.unwrap_or_else(|| cause.to_string()),
                })
            }
            Err(_) => {
                // Answers come in order: what follows a late answer would be late as well.
                self.close(&format!("{api} was not answered in time"));
                Err(Error::Timeout {
                    cluster: self.shared.peer.cluster.to_string(),
                    broker: self.shared.peer.broker.clone(),
                    api,
                    after: patience,
                })
            }
        }
    }

    pub(crate) fn next_correlation(&self) -> i32 {
        self.shared.correlation.fetch_add(1, Ordering::Relaxed) & i32::MAX
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.shared.peer.client_id
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.shared.peer.request_timeout
    }

    /// Until when the broker wants silence, if it still does.
    pub(crate) fn muted_until(&self) -> Option<Instant> {
        let until = *self.shared.muted_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| *until > Instant::now())
    }

    /// Stays silent for as long as the broker asked for.
    pub(crate) fn honour_throttle(&self, throttle_ms: i32) {
        if let Ok(ms @ 1..) = u64::try_from(throttle_ms) {
            let until = Instant::now() + Duration::from_millis(ms);
            let mut muted = self.shared.muted_until.lock().unwrap_or_else(PoisonError::into_inner);
            *muted = Some(muted.map_or(until, |before| before.max(until)));
        }
    }

    pub(crate) fn malformed(&self, api: &'static str, cause: String) -> Error {
        Error::Malformed {
            cluster: self.shared.peer.cluster.to_string(),
            broker: self.shared.peer.broker.clone(),
            api,
            cause,
        }
    }

    /// ApiVersions as KIP-511 tells it: a broker that lacks the version asked for answers UNSUPPORTED_VERSION in version 0.
    async fn api_versions(&self) -> Result<HashMap<i16, (i16, i16)>> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("kmirror"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let api = ApiVersionsRequest::API;
        let patience = self.shared.peer.handshake_timeout;
        for version in [ApiVersionsRequest::SPOKEN.1, 0] {
            let correlation = self.next_correlation();
            let frame = encode(&request, version, correlation, &self.shared.peer.client_id)
                .map_err(|cause| self.malformed(api, cause.to_string()))?;
            let mut body = self.exchange(api, correlation, vec![frame], patience, None).await?;
            // Its response header is always version 0: the correlation id alone.
            if body.len() < 6 {
                return Err(self.malformed(api, format!("an answer of {} bytes", body.len())));
            }
            body.advance(4);
            if version > 0 && i16::from_be_bytes([body[0], body[1]]) == UNSUPPORTED_VERSION {
                continue;
            }
            let response = decode::<ApiVersionsResponse>(&mut body, version)
                .map_err(|cause| self.malformed(api, format!("{cause}; is this a Kafka listener without TLS?")))?;
            if response.error_code != 0 {
                return Err(Error::Broker {
                    cluster: self.shared.peer.cluster.to_string(),
                    api,
                    resource: self.shared.peer.broker.clone(),
                    code: response.error_code,
                    message: None,
                });
            }
            self.honour_throttle(response.throttle_time_ms);
            return Ok(response.api_keys.iter().map(|k| (k.api_key, (k.min_version, k.max_version))).collect());
        }
        Err(self.malformed(api, "neither version 3 nor 0 is answered".to_owned()))
    }
}

/// A whole frame: length, header, body.
fn encode<R: Request>(request: &R, version: i16, correlation: i32, client_id: &str) -> Result<Bytes, String> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_string(client_id.to_owned())));
    let mut frame = BytesMut::zeroed(4);
    header.encode(&mut frame, R::header_version(version)).map_err(|e| e.to_string())?;
    request.encode(&mut frame, version).map_err(|e| e.to_string())?;
    let length = i32::try_from(frame.len() - 4).map_err(|_| "longer than 2 GiB".to_owned())?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

#[cfg(test)]
mod tests;
