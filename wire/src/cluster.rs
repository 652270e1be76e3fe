//! A cluster: its brokers' connections, its metadata, and the way to whoever must answer a request.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kafka_protocol::{
    messages::{MetadataRequest, MetadataResponse, TopicName, metadata_request::MetadataRequestTopic},
    protocol::StrBytes,
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    backoff::Backoff,
    call::Call,
    connection::{Connection, Peer},
    error::{Error, Recovery, Result},
    metadata::{Leader, MetadataCache, topics_of},
    transport,
    types::{TopicMetadata, TopicPartition},
};

/// How a cluster is reached.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// Cluster alias: the name used in errors and logs.
    pub alias: String,
    /// `host:port`, tried in order.
    pub bootstrap: Vec<String>,
    /// Sent with every request; brokers' quotas and request logs go by it.
    pub client_id: String,
    /// `client.rack`: sent with Fetch, so that a leader can name a replica nearer to us (KIP-392).
    pub rack: Option<String>,
    /// Longest wait for the answer to one request; also how long admin calls are tried again.
    pub request_timeout: Duration,
    /// Longest wait for a connection, and again for the broker's first answer on it.
    pub connect_timeout: Duration,
    /// Longest answer accepted, bytes.
    pub max_response_bytes: usize,
}

/// Kafka's `request.timeout.ms`.
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Kafka's `socket.connection.setup.timeout.ms`.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for a leader that is about to be known: of topics just made, or elected anew. Brokers tell that cheaply.
const UNTIL_ELECTED: Duration = Duration::from_millis(200);
/// Of the request timeout, the part that a broker has for an answer which any other could give as well.
const PATIENCE_WITH_ANYBODY: u32 = 6;
/// Kafka's `socket.request.max.bytes`, twice: metadata of 5,000 topics and a fetch of the largest batch both fit.
const DEFAULT_MAX_RESPONSE_BYTES: usize = 200 * 1024 * 1024;

impl ClusterConfig {
    /// A plaintext cluster with Kafka's default patience.
    #[must_use]
    pub fn new(alias: impl Into<String>, bootstrap: &[String]) -> Self {
        Self {
            alias: alias.into(),
            bootstrap: bootstrap.to_vec(),
            client_id: "kmirror".to_owned(),
            rack: None,
            request_timeout: DEFAULT_REQUEST_TIMEOUT,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            max_response_bytes: DEFAULT_MAX_RESPONSE_BYTES,
        }
    }
}

/// What a connection is used for. A broker answers one request of a connection at a time, so a Fetch that it holds back would hold back
/// everything behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    Control,
    Fetch,
    FetchCatchUp,
    Produce,
    ProduceApart,
}

/// Who must answer a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route<'a> {
    Any,
    Controller,
    Leader(&'a TopicPartition),
}

/// A handle to a cluster; clones share connections and metadata. Making one does no I/O: it connects when first used, and again whenever it
/// must.
#[derive(Debug, Clone)]
pub struct Cluster {
    config: Arc<ClusterConfig>,
    metadata: Arc<Mutex<MetadataCache>>,
    connections: Arc<Mutex<Pool>>,
}

/// Broker id and lane → the place of that connection.
type Pool = HashMap<(i32, Lane), Arc<tokio::sync::Mutex<Slot>>>;

/// The place of one connection in the pool.
#[derive(Debug)]
struct Slot {
    open: Option<Connection>,
    address: (String, u16),
    backoff: Backoff,
    not_before: Option<Instant>,
}

impl Cluster {
    /// A cluster behind these addresses.
    #[must_use]
    pub fn new(config: ClusterConfig) -> Self {
        Self { config: Arc::new(config), metadata: Arc::default(), connections: Arc::default() }
    }

    /// The same cluster through connections of its own, under another client id; metadata stays shared.
    #[must_use]
    pub fn with_own_connections(&self, client_id: impl Into<String>) -> Self {
        let config = ClusterConfig { client_id: client_id.into(), ..(*self.config).clone() };
        Self { config: Arc::new(config), metadata: Arc::clone(&self.metadata), connections: Arc::default() }
    }

    /// The same cluster under another alias, through connections of its own: what it says of itself in errors and logs.
    #[must_use]
    pub fn with_alias(&self, alias: impl Into<String>) -> Self {
        let config = ClusterConfig { alias: alias.into(), ..(*self.config).clone() };
        Self { config: Arc::new(config), metadata: Arc::clone(&self.metadata), connections: Arc::default() }
    }

    /// Cluster alias, as configured.
    #[must_use]
    pub fn alias(&self) -> &str {
        &self.config.alias
    }

    /// The bootstrap list as configured, comma-separated.
    #[must_use]
    pub fn addresses(&self) -> String {
        self.config.bootstrap.join(",")
    }

    /// How long one request may take.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        self.config.request_timeout
    }

    /// The cluster's id, asked for anew: also a cheap test of whether it can be reached. One round over the addresses, no retry.
    ///
    /// # Errors
    /// [`Error::Unreachable`] with the addresses and the cause.
    pub async fn cluster_id(&self) -> Result<String> {
        let answer = self.ask_metadata(Some(&[])).await?;
        answer.cluster_id.map(|id| id.to_string()).ok_or_else(|| Error::BadAddress {
            cluster: self.config.alias.clone(),
            message: format!("the cluster at {} tells no cluster id", self.addresses()),
        })
    }

    /// Metadata of all topics, or of those named; also refreshes what [`Cluster::leader`] answers from. Missing and denied topics are
    /// told by [`TopicMetadata::error`]. Never creates a topic. One round over the addresses, no retry.
    ///
    /// # Errors
    /// [`Error::Unreachable`] with the addresses and the cause.
    pub async fn topics(&self, names: Option<&[String]>) -> Result<Vec<TopicMetadata>> {
        Ok(topics_of(&self.ask_metadata(names).await?))
    }

    /// Who leads a partition, as far as known: a topic must have been asked for by [`Cluster::topics`].
    #[must_use]
    pub fn leader(&self, partition: &TopicPartition) -> Option<Leader> {
        self.cache().leader(partition)
    }

    /// What was last told of a topic.
    #[must_use]
    pub fn known_topic(&self, name: &str) -> Option<TopicMetadata> {
        self.cache().topic(name).cloned()
    }

    /// Whether a broker's address is known, so that it can be fetched from.
    #[must_use]
    pub fn knows_broker(&self, broker: i32) -> bool {
        self.cache().brokers.contains_key(&broker)
    }

    /// Does not ask this broker first what others can tell as well: it owes an answer.
    pub fn suspect(&self, broker: i32) {
        self.cache().answered(broker, false);
    }

    /// Closes connections to brokers that the cluster no longer lists, so that their requests fail now: from a broker that has frozen no
    /// answer comes, and the cluster takes it off its list.
    pub fn close_unlisted(&self) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|(broker, _), slot| {
            let listed = self.knows_broker(*broker);
            // Locked while it is being opened, which has its own end.
            if let (false, Ok(slot)) = (listed, slot.try_lock())
                && let Some(open) = &slot.open
            {
                open.close("the cluster no longer lists this broker");
            }
            listed
        });
    }

    /// The brokers that the cluster lists now.
    pub(crate) async fn brokers(&self) -> Result<Vec<i32>> {
        self.ask_metadata(Some(&[])).await?;
        Ok(self.cache().anybody())
    }

    pub(crate) fn rack(&self) -> Option<&str> {
        self.config.rack.as_deref()
    }

    pub(crate) fn hint_leader(&self, partition: &TopicPartition, leader: i32, epoch: i32) {
        self.cache().hint(partition, leader, epoch);
    }

    /// Addresses told beside leaders (KIP-951), of brokers that are not known yet.
    pub(crate) fn hint_brokers<'a>(&self, told: impl ExactSizeIterator<Item = (i32, &'a str, i32)>) {
        if told.len() > 0 {
            self.cache().hint_brokers(told);
        }
    }

    fn cache(&self) -> MutexGuard<'_, MetadataCache> {
        self.metadata.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the known brokers, those that answered last time first, else the bootstrap list in order.
    async fn ask_metadata(&self, names: Option<&[String]>) -> Result<MetadataResponse> {
        let topic = |name: &String| {
            MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_string(name.clone()))))
        };
        let request = MetadataRequest::default()
            .with_topics(names.map(|names| names.iter().map(topic).collect()))
            .with_allow_auto_topic_creation(false);
        let answer = self.any_broker(&request).await?;
        self.cache().merge(&answer, &topics_of(&answer));
        Ok(answer)
    }

    /// One round over everybody who might answer; the known brokers must be quick, since one that has frozen never is.
    pub(crate) async fn any_broker<R: Call>(&self, request: &R) -> Result<R::Response> {
        let known = self.cache().anybody();
        for broker in known {
            let asked = match self.connection(broker, Lane::Control).await {
                Ok(connection) => {
                    connection.call_within(request, self.config.request_timeout / PATIENCE_WITH_ANYBODY).await
                }
                Err(e) => Err(e),
            };
            self.cache().answered(broker, asked.is_ok());
            match asked {
                Ok(answer) => return Ok(answer),
                Err(e) if e.recovery() == Recovery::Fatal => return Err(e),
                Err(e) => tracing::debug!(error = %e, "trying the next broker"),
            }
        }
        let mut cause = "the list is empty".to_owned();
        for address in &self.config.bootstrap {
            let (host, port) = transport::host_and_port(address)
                .map_err(|message| Error::BadAddress { cluster: self.config.alias.clone(), message })?;
            let asked = match self.connect(&host, port).await {
                Ok(connection) => connection.call(request).await,
                Err(e) => Err(e),
            };
            match asked {
                Ok(answer) => return Ok(answer),
                Err(Error::Disconnected { broker, cause: why, .. }) => cause = format!("{broker}: {why}"),
                Err(e) => cause = e.to_string(),
            }
        }
        Err(Error::Unreachable { cluster: self.config.alias.clone(), addresses: self.addresses(), cause })
    }

    async fn connect(&self, host: &str, port: u16) -> Result<Connection> {
        let broker = format!("{host}:{port}");
        let stream =
            transport::dial(host, port, self.config.connect_timeout).await.map_err(|cause| Error::Disconnected {
                cluster: self.config.alias.clone(),
                broker: broker.clone(),
                api: "connect",
                cause: cause.to_string(),
            })?;
        let peer = Peer {
            cluster: self.config.alias.as_str().into(),
            broker,
            client_id: self.config.client_id.clone(),
            request_timeout: self.config.request_timeout,
            // A frozen broker's machine still takes connections; only the first answer tells that somebody is there.
            handshake_timeout: self.config.connect_timeout.min(self.config.request_timeout),
            max_response_bytes: self.config.max_response_bytes,
        };
        Connection::open(stream, peer).await
    }

    /// The open connection to a broker, or a new one. After a failure the next attempt waits out a jittered backoff.
    pub(crate) async fn connection(&self, broker: i32, lane: Lane) -> Result<Connection> {
        let address = self.cache().brokers.get(&broker).cloned().ok_or_else(|| Error::Disconnected {
            cluster: self.config.alias.clone(),
            broker: format!("broker {broker}"),
            api: "connect",
            cause: "its address is not known".to_owned(),
        })?;
        let slot = {
            let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(connections.entry((broker, lane)).or_insert_with(|| {
                Arc::new(tokio::sync::Mutex::new(Slot {
                    open: None,
                    address: address.clone(),
                    backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(1)),
                    not_before: None,
                }))
            }))
        };
        let mut slot = slot.lock().await;
        if let Some(open) = slot.open.as_ref().filter(|c| !c.is_closed() && slot.address == address) {
            return Ok(open.clone());
        }
        if slot.address != address {
            slot.address.clone_from(&address);
            slot.not_before = None;
            slot.backoff.reset();
        }
        slot.open = None;
        if let Some(at) = slot.not_before {
            sleep_until(at).await;
        }
        match self.connect(&address.0, address.1).await {
            Ok(open) => {
                slot.backoff.reset();
                slot.not_before = None;
                slot.open = Some(open.clone());
                Ok(open)
            }
            Err(e) => {
                slot.not_before = Some(Instant::now() + slot.backoff.next_wait());
                Err(e)
            }
        }
    }

    /// Until when the open connection of a lane must be silent.
    pub(crate) fn muted_until(&self, broker: i32, lane: Lane) -> Option<Instant> {
        let slot = {
            let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(connections.get(&(broker, lane))?)
        };
        // Locked while it is being opened: then it is not muted.
        slot.try_lock().ok()?.open.as_ref()?.muted_until()
    }

    /// One request to one broker, no retry.
    pub(crate) async fn ask<R: Call>(&self, broker: i32, lane: Lane, request: &R) -> Result<R::Response> {
        self.connection(broker, lane).await?.call(request).await
    }

    /// Sends a request along its route until `read` accepts the answer, a failure is fatal, or the request timeout has passed.
    pub(crate) async fn routed<R: Call, T>(
        &self,
        route: Route<'_>,
        request: &R,
        read: impl Fn(R::Response) -> Result<T>,
    ) -> Result<T> {
        self.persist(|| async {
            let answer = match self.broker_on(route).await? {
                Some(broker) => self.ask(broker, Lane::Control, request).await?,
                None => self.any_broker(request).await?,
            };
            read(answer)
        })
        .await
    }

    /// Tries again what may yet succeed, for as long as a request may take. Before each new attempt the metadata is refreshed where the
    /// failure asks for that.
    pub(crate) async fn persist<T, F: Future<Output = Result<T>>>(&self, attempt: impl Fn() -> F) -> Result<T> {
        let give_up = Instant::now() + self.config.request_timeout;
        let mut backoff = Backoff::for_requests();
        loop {
            let failure = match attempt().await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            let mut wait = backoff.next_wait();
            if matches!(failure, Error::Broker { .. }) && failure.recovery() == Recovery::Refresh {
                wait = wait.min(UNTIL_ELECTED);
            }
            // Nobody there at all: an address list that answers nothing is for the caller to report, not to wait on in silence.
            let hopeless = matches!(failure, Error::Unreachable { .. }) || failure.recovery() == Recovery::Fatal;
            if hopeless || Instant::now() + wait >= give_up {
                return Err(failure);
            }
            tracing::debug!(error = %failure, "trying again");
            sleep(wait).await;
            if failure.recovery() == Recovery::Refresh {
                self.ask_metadata(Some(&[])).await?;
            }
        }
    }

    /// The broker on a route; none means that anybody will do.
    async fn broker_on(&self, route: Route<'_>) -> Result<Option<i32>> {
        match route {
            Route::Any => Ok(None),
            Route::Controller => {
                if self.cache().controller.is_none() {
                    self.ask_metadata(Some(&[])).await?;
                }
                let controller = self.cache().controller;
                Ok(controller)
            }
            Route::Leader(partition) => {
                // Asked for each time: admin calls are rare, and a leader that moved is the usual reason to come here again.
                self.ask_metadata(Some(std::slice::from_ref(&partition.topic))).await?;
                self.leader_or_error(partition, "Metadata").map(|leader| Some(leader.broker))
            }
        }
    }

    /// The leader as cached, or the reason why there is none.
    pub(crate) fn leader_or_error(&self, partition: &TopicPartition, api: &'static str) -> Result<Leader> {
        if let Some(leader) = self.leader(partition) {
            return Ok(leader);
        }
        let told = self.cache().topic(&partition.topic).map(|t| t.error).filter(|code| *code != 0);
        let exists = self
            .cache()
            .topic(&partition.topic)
            .is_some_and(|t| t.partitions.iter().any(|p| p.partition == partition.partition));
        let code = told.unwrap_or(if exists { LEADER_NOT_AVAILABLE } else { UNKNOWN_TOPIC_OR_PARTITION });
        Err(self.refused(api, partition.to_string(), code, None))
    }

    pub(crate) fn refused(&self, api: &'static str, resource: String, code: i16, message: Option<String>) -> Error {
        Error::Broker { cluster: self.config.alias.clone(), api, resource, code, message }
    }

    pub(crate) fn check(
        &self,
        api: &'static str,
        resource: impl FnOnce() -> String,
        code: i16,
        message: Option<String>,
    ) -> Result<()> {
        if code == 0 { Ok(()) } else { Err(self.refused(api, resource(), code, message)) }
    }
}

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const LEADER_NOT_AVAILABLE: i16 = 5;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_frozen_broker_is_given_up_within_the_connect_timeout() {
        // The operating system completes the connection; nobody ever reads from it.
        let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = frozen.local_addr().unwrap().to_string();
        let mut config = ClusterConfig::new("A", std::slice::from_ref(&address));
        config.connect_timeout = Duration::from_millis(100);
        config.request_timeout = Duration::from_secs(600);
        let asked = tokio::time::timeout(Duration::from_secs(60), Cluster::new(config).cluster_id()).await;
        let error = asked.expect("the handshake is not bounded by the connect timeout").unwrap_err().to_string();
        assert!(error.contains(&format!("{address} did not answer ApiVersions within 100 ms")), "{error}");
    }
}
