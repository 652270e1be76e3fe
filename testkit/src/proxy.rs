//! A TCP proxy that knows Kafka's frames and does damage to them by rule.
//!
//! It stands between clients and the brokers of one cluster: each broker has a listener of its own for it, whose
//! advertised address is the proxy's, so that clients which bootstrap through the proxy stay on it. The rules act on
//! single requests and responses; order within a connection is kept, as TCP would. Brokers among each other do not
//! use it. Only PLAINTEXT listeners can be proxied: inside TLS there are no frames to see.

mod pump;
mod rules;
mod watch;

use std::fs::File;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::task::JoinSet;

use crate::environment::cache_dir;
use crate::wait::wait_until;
use pump::Connections;
use rules::Rules;
pub use rules::{Direction, Frame, Rule, RuleHandle};
pub use watch::Watch;

const BIND_DEADLINE: Duration = Duration::from_secs(5);

/// API keys of the Kafka protocol, for [`Rule`].
pub mod api_key {
    #![allow(missing_docs, reason = "each name is the request's own in the protocol guide")]
    pub const PRODUCE: i16 = 0;
    pub const FETCH: i16 = 1;
    pub const LIST_OFFSETS: i16 = 2;
    pub const METADATA: i16 = 3;
    pub const OFFSET_COMMIT: i16 = 8;
    pub const OFFSET_FETCH: i16 = 9;
    pub const FIND_COORDINATOR: i16 = 10;
    pub const JOIN_GROUP: i16 = 11;
    pub const HEARTBEAT: i16 = 12;
    pub const LEAVE_GROUP: i16 = 13;
    pub const SYNC_GROUP: i16 = 14;
    pub const DESCRIBE_GROUPS: i16 = 15;
    pub const LIST_GROUPS: i16 = 16;
    pub const API_VERSIONS: i16 = 18;
    pub const CREATE_TOPICS: i16 = 19;
    pub const DELETE_TOPICS: i16 = 20;
    pub const DELETE_RECORDS: i16 = 21;
    pub const INIT_PRODUCER_ID: i16 = 22;
    pub const OFFSET_FOR_LEADER_EPOCH: i16 = 23;
    pub const ADD_PARTITIONS_TO_TXN: i16 = 24;
    pub const ADD_OFFSETS_TO_TXN: i16 = 25;
    pub const END_TXN: i16 = 26;
    pub const TXN_OFFSET_COMMIT: i16 = 28;
    pub const DESCRIBE_ACLS: i16 = 29;
    pub const CREATE_ACLS: i16 = 30;
    pub const DELETE_ACLS: i16 = 31;
    pub const DESCRIBE_CONFIGS: i16 = 32;
    pub const ALTER_CONFIGS: i16 = 33;
    pub const CREATE_PARTITIONS: i16 = 37;
    pub const DELETE_GROUPS: i16 = 42;
    pub const INCREMENTAL_ALTER_CONFIGS: i16 = 44;
    pub const DESCRIBE_CLUSTER: i16 = 60;
    pub const DESCRIBE_PRODUCERS: i16 = 61;
}

/// Where the proxy listens for a broker, and where that broker listens for the proxy; both on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Broker id.
    pub broker: u32,
    /// The proxy's port, which the broker advertises.
    pub listen: u16,
    /// The broker's port.
    pub upstream: u16,
}

/// One listener of each broker, for one proxy. Written as `1@15001>15002,2@…` (broker, proxy's port, broker's port).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// One route per broker.
    pub routes: Vec<Route>,
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, Route { broker, listen, upstream }) in self.routes.iter().enumerate() {
            write!(f, "{}{broker}@{listen}>{upstream}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Slot {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let route = |part: &str| {
            let (broker, ports) = part.split_once('@')?;
            let (listen, upstream) = ports.split_once('>')?;
            Some(Route { broker: broker.parse().ok()?, listen: listen.parse().ok()?, upstream: upstream.parse().ok()? })
        };
        let routes = text.split(',').map(|p| route(p).with_context(|| format!("slot {text:?}: {p:?}")));
        Ok(Self { routes: routes.collect::<Result<_>>()? })
    }
}

/// A running proxy. Dropping it closes its ports and all connections through it.
#[derive(Debug)]
pub struct Proxy {
    routes: Vec<Route>,
    rules: Arc<Rules>,
    connections: Arc<Connections>,
    _accepting: JoinSet<()>,
    _lease: File,
}

impl Proxy {
    /// Opens the proxy's ports of a slot. An error if another process or proxy has this slot open.
    pub async fn open(slot: &Slot) -> Result<Self> {
        let first = slot.routes.first().context("a slot without brokers")?;
        let leases = cache_dir()?.join("slots");
        std::fs::create_dir_all(&leases)?;
        let lease = File::create(leases.join(first.listen.to_string()))?;
        lease.try_lock().map_err(|e| anyhow!("proxy slot {slot} is in use: {e}"))?;

        let rules = Arc::new(Rules::default());
        let connections = Arc::new(Connections::default());
        let mut accepting = JoinSet::new();
        for route in slot.routes.iter().copied() {
            // Bound and served on the proxies' own runtime: a test that blocks its runtime must not stop them.
            let bind = runtime()?.spawn(async move {
                // The port's last proxy may be closing.
                wait_until("the proxy's port", BIND_DEADLINE, async || {
                    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, route.listen)).await?)
                })
                .await
            });
            let listener = bind.await?.with_context(|| format!("binding {}", route.listen))?;
            let (rules, connections) = (rules.clone(), connections.clone());
            accepting.spawn_on(accept(listener, route, rules, connections), runtime()?.handle());
        }
        Ok(Self { routes: slot.routes.clone(), rules, connections, _accepting: accepting, _lease: lease })
    }

    /// `bootstrap.servers` of this proxy.
    pub fn bootstrap(&self) -> String {
        self.routes.iter().map(|r| format!("127.0.0.1:{}", r.listen)).collect::<Vec<_>>().join(",")
    }

    /// Adds a rule. On each frame the first matching rule, in the order they were added, acts alone.
    pub fn add(&self, rule: Rule) -> RuleHandle {
        self.rules.add(rule)
    }

    /// Removes all rules and lets go all frames they hold.
    pub fn clear(&self) {
        self.rules.clear();
    }

    /// Counts from now on the requests of this API for which `predicate` holds and whose answers have not been passed on.
    pub fn watch(&self, api_key: i16, predicate: impl Fn(&Frame<'_>) -> bool + Send + Sync + 'static) -> Watch {
        let watch = Watch::new(api_key, Arc::new(predicate));
        self.rules.watch(watch.clone());
        watch
    }

    /// How many frames of this API went in this direction so far, whatever became of them.
    pub fn seen(&self, api_key: i16, direction: Direction) -> u64 {
        self.rules.seen(api_key, direction)
    }

    /// Waits until [`Proxy::seen`] has reached `count`.
    pub async fn wait_seen(&self, api_key: i16, direction: Direction, count: u64, deadline: Duration) -> Result<()> {
        wait_until(&format!("{count} × {direction:?} of API {api_key} at the proxy"), deadline, async || {
            let seen = self.seen(api_key, direction);
            ensure!(seen >= count, "{seen}");
            Ok(())
        })
        .await
    }

    /// Closes all connections; new ones are accepted.
    pub fn cut_all(&self) {
        self.connections.cut_all();
    }

    /// From now on accepts (true) or refuses (false: accepted and closed at once) new connections.
    pub fn accept_connections(&self, accept: bool) {
        self.connections.accept(accept);
    }

    /// How many connections are open through the proxy now.
    pub fn open_connections(&self) -> usize {
        self.connections.open()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.connections.accept(false);
        self.connections.cut_all();
    }
}

async fn accept(listener: TcpListener, route: Route, rules: Arc<Rules>, connections: Arc<Connections>) {
    loop {
        // Errors of accept are those of one connection (or a want of descriptors, which may pass).
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let Some(cut) = connections.register() else { continue };
        let rules = rules.clone();
        tokio::spawn(async move {
            // A broker that is down: the client sees its connection closed.
            let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, route.upstream)).await else { return };
            let _ = (client.set_nodelay(true), broker.set_nodelay(true));
            pump::run(client, broker, route.broker, rules, cut).await;
        });
    }
}

fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        runtime::Builder::new_multi_thread().worker_threads(1).thread_name("testkit-proxy").enable_all().build()
    });
    runtime.as_ref().map_err(|e| anyhow!("starting the proxies' runtime: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_survive_being_written_and_read() {
        let route = |broker| Route { broker, listen: 15_000 + broker as u16, upstream: 20_000 + broker as u16 };
        let slot = Slot { routes: vec![route(1), route(2)] };
        assert_eq!(slot.to_string(), "1@15001>20001,2@15002>20002");
        assert_eq!(slot.to_string().parse::<Slot>().unwrap(), slot);
        assert!("1@x>2".parse::<Slot>().is_err());
    }
}
