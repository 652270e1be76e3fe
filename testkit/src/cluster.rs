//! A real Apache Kafka cluster of one to three brokers: in KRaft mode, where they are controllers too, or of Kafka 2 with a
//! ZooKeeper.

mod node;
mod settings;
mod zookeeper;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::environment::{kafka_version, random};
use crate::java::{Java, Jvm, ToolOutput};
use crate::process::Process;
use crate::proxy::{Proxy, Slot};
use crate::scratch::Scratch;
use crate::tools::Tools;
use crate::wait::wait_until;
use crate::{clients, process};
use node::{Node, Start};
use zookeeper::ZooKeeper;

const START_DEADLINE: Duration = Duration::from_secs(120);
const STOP_DEADLINE: Duration = Duration::from_secs(60);
const START_TRIES: usize = 3;

/// What a cluster is to be like. Made by [`Cluster::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    name: String,
    version: String,
    brokers: u32,
    jvm: Jvm,
    properties: Vec<(String, String)>,
    proxied: bool,
    slots: usize,
}

impl Builder {
    /// What errors and log files call it; "kafka" unless set.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// The Kafka version; [`kafka_version`] unless set. Kafka 2 comes with a ZooKeeper, and a broker of it that was
    /// killed can be started again only when its session there is over, after 6 s.
    pub fn version(mut self, version: &str) -> Self {
        self.version = version.to_owned();
        self
    }

    /// How many brokers, 1 to 3; 1 unless set. Their ids count from 1.
    pub fn brokers(mut self, brokers: u32) -> Self {
        self.brokers = brokers;
        self
    }

    /// How each broker's machine runs; quickly started with 384 MB unless set.
    pub fn jvm(mut self, jvm: Jvm) -> Self {
        self.jvm = jvm;
        self
    }

    /// Adds a broker property, which wins over the kit's own. `{id}` in its value becomes each broker's id.
    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.properties.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Puts a proxy before the brokers: see [`Cluster::proxy`].
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// Gives each broker this many further listeners whose advertised ports belong to whoever opens the [`Slot`].
    pub fn proxy_slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    /// Starts the cluster and waits until each broker answers and sees all others.
    pub async fn start(self) -> Result<Cluster> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_start().await? {
                Start::Ready(cluster) => return Ok(*cluster),
                // Another program took a port between our look and the broker's bind.
                Start::PortTaken(why) if tries == START_TRIES => bail!("{why} ({tries} tries)"),
                Start::PortTaken(why) => eprintln!("starting again on other ports: {why}"),
            }
        }
    }

    async fn try_start(&self) -> Result<Start> {
        ensure!((1..=3).contains(&self.brokers), "{} brokers: want 1 to 3", self.brokers);
        let scratch = Scratch::new(&self.name)?;
        let java = Java::new(&self.version).await?;
        let slots = self.slots + usize::from(self.proxied);
        let nodes =
            (1..=self.brokers).map(|id| Node::new(id, scratch.path(), slots, self.jvm)).collect::<Result<Vec<_>>>()?;
        let proxy = match self.proxied {
            true => Some(Proxy::open(&slot(&nodes, self.slots)).await?),
            false => None,
        };
        let zookeeper = match java.is_kafka_2() {
            true => Some(ZooKeeper::start(&java, scratch.path())?),
            false => None,
        };
        let name = self.name.clone();
        let cluster = Cluster { name, nodes, java, proxy, free_slots: self.slots, zookeeper, _scratch: scratch };

        let address = cluster.zookeeper.as_ref().map(ZooKeeper::address);
        for node in &cluster.nodes {
            settings::write(node, &cluster.nodes, address.as_deref(), &self.properties)?;
        }
        if cluster.zookeeper.is_none() {
            cluster.format().await?;
        }
        for node in &cluster.nodes {
            node.spawn(&cluster.java)?;
        }
        match cluster.wait_ready().await {
            Ok(()) => Ok(Start::Ready(Box::new(cluster))),
            Err(error)
                if cluster.nodes.iter().any(Node::lost_its_port)
                    || cluster.zookeeper.as_ref().is_some_and(ZooKeeper::lost_its_port) =>
            {
                Ok(Start::PortTaken(format!("a port of {} was taken: {}", self.name, error.root_cause())))
            }
            Err(error) => Err(error),
        }
    }
}

/// A running cluster. Its processes and data are gone after drop. All its addresses are on the loopback interface.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    nodes: Vec<Node>,
    java: Java,
    proxy: Option<Proxy>,
    free_slots: usize,
    zookeeper: Option<ZooKeeper>,
    // Last, so that the brokers are gone before their data.
    _scratch: Scratch,
}

impl Cluster {
    /// One broker of the default version, unless told otherwise.
    pub fn builder() -> Builder {
        Builder {
            name: "kafka".to_owned(),
            version: kafka_version(),
            brokers: 1,
            jvm: Jvm::quick(384),
            properties: Vec::new(),
            proxied: false,
            slots: 0,
        }
    }

    /// Starts one broker of the default version.
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// Gives the brokers' directories what KRaft wants there.
    async fn format(&self) -> Result<()> {
        let id = cluster_id();
        let mut formatting = Vec::new();
        for node in &self.nodes {
            let (java, config, id) = (self.java.clone(), node.config().display().to_string(), id.clone());
            formatting.push(tokio::spawn(async move {
                java.tool("kafka.tools.StorageTool", &["format", "--cluster-id", &id, "--config", &config], "").await
            }));
        }
        for formatted in formatting {
            formatted.await??;
        }
        Ok(())
    }

    /// `bootstrap.servers` of the brokers themselves.
    pub fn bootstrap(&self) -> String {
        join(self.nodes.iter().map(Node::address))
    }

    /// `bootstrap.servers` of the proxy; clients that use it stay on the proxy, whose addresses the brokers advertise.
    /// An error unless the cluster was built [`Builder::proxied`].
    pub fn proxied_bootstrap(&self) -> Result<String> {
        Ok(self.proxy()?.bootstrap())
    }

    /// The proxy before the brokers. An error unless the cluster was built [`Builder::proxied`].
    pub fn proxy(&self) -> Result<&Proxy> {
        self.proxy.as_ref().with_context(|| format!("{} was built without proxied()", self.name))
    }

    /// The listeners kept free by [`Builder::proxy_slots`].
    pub fn slots(&self) -> Vec<Slot> {
        (0..self.free_slots).map(|i| slot(&self.nodes, i)).collect()
    }

    /// The ids of all brokers, running or not.
    pub fn broker_ids(&self) -> Vec<u32> {
        self.nodes.iter().map(|n| n.id).collect()
    }

    /// The Java set up for this cluster's version.
    pub fn java(&self) -> &Java {
        &self.java
    }

    /// The process id of a running broker.
    pub fn pid(&self, broker: u32) -> Result<u32> {
        self.with_process(broker, |p| Ok(p.pid()))
    }

    /// The process id of ZooKeeper. An error unless the cluster is of Kafka 2.
    pub fn zookeeper_pid(&self) -> Result<u32> {
        self.zookeeper.as_ref().map(ZooKeeper::pid).with_context(|| format!("{} has no ZooKeeper", self.name))
    }

    /// Stops a broker with SIGTERM, as an operator would: it hands its leaderships over first.
    pub async fn stop(&self, broker: u32) -> Result<()> {
        let process = self.node(broker)?.take().with_context(|| format!("broker {broker} does not run"))?;
        process.stop(STOP_DEADLINE).await?;
        Ok(())
    }

    /// Kills a broker with SIGKILL.
    pub fn kill9(&self, broker: u32) -> Result<()> {
        self.node(broker)?.take().with_context(|| format!("broker {broker} does not run"))?.kill9()
    }

    /// Freezes a broker: its connections stay open and nothing is answered. The others fence it after 4 s.
    pub fn sigstop(&self, broker: u32) -> Result<()> {
        self.with_process(broker, |p| p.signal("STOP"))
    }

    /// Lets a frozen broker go on.
    pub fn sigcont(&self, broker: u32) -> Result<()> {
        self.with_process(broker, |p| p.signal("CONT"))
    }

    /// Starts a broker again on the same data and ports (stopping it first if it runs), and waits until it answers
    /// and sees all brokers that run.
    pub async fn restart(&self, broker: u32) -> Result<()> {
        self.restart_all(&[broker]).await
    }

    /// As [`Cluster::restart`] for several brokers at once: a cluster that lost its quorum needs more than one.
    pub async fn restart_all(&self, brokers: &[u32]) -> Result<()> {
        for &broker in brokers {
            if let Some(process) = self.node(broker)?.take() {
                process.stop(STOP_DEADLINE).await?;
            }
        }
        for &broker in brokers {
            self.node(broker)?.spawn(&self.java)?;
        }
        self.wait_ready().await
    }

    /// Waits until each running broker answers and sees all running brokers.
    pub async fn wait_ready(&self) -> Result<()> {
        let running: Vec<_> = self.nodes.iter().filter(|n| n.is_started()).collect();
        let what = format!("{} running brokers of {} to see each other", running.len(), self.name);
        let ready = wait_until(&what, START_DEADLINE, async || {
            if let Some(Err(ended)) = self.zookeeper.as_ref().map(ZooKeeper::check_running) {
                return Ok(Err(ended));
            }
            for node in &running {
                if let Err(ended) = node.check_running() {
                    return Ok(Err(ended));
                }
                let seen =
                    clients::live_brokers(&node.address()).await.with_context(|| format!("broker {}", node.id))?;
                ensure!(seen.len() == running.len(), "broker {} sees brokers {seen:?}", node.id);
            }
            Ok(Ok(()))
        });
        ready.await.and_then(|checked| checked).with_context(|| self.log_tails(40))
    }

    /// The file a broker logs to.
    pub fn log(&self, broker: u32) -> Result<PathBuf> {
        Ok(self.node(broker)?.log())
    }

    /// The directory with a broker's segments of a partition.
    pub fn partition_dir(&self, broker: u32, topic: &str, partition: i32) -> Result<PathBuf> {
        Ok(self.node(broker)?.data().join(format!("{topic}-{partition}")))
    }

    /// The last `lines` lines of each broker's log, and of ZooKeeper's.
    pub fn log_tails(&self, lines: usize) -> String {
        let tail = |n: &Node| {
            format!("--- end of the log of {} broker {}:\n{}", self.name, n.id, process::log_tail(&n.log(), lines))
        };
        let zookeeper = self.zookeeper.iter().map(|zookeeper| {
            format!("--- end of the log of {}'s ZooKeeper:\n{}", self.name, zookeeper.log_tail(lines))
        });
        self.nodes.iter().map(tail).chain(zookeeper).collect::<Vec<_>>().join("\n")
    }

    /// Kafka's command-line tools on this cluster.
    pub fn tools(&self) -> Tools {
        Tools::new(self.java.clone(), &self.bootstrap())
    }

    /// Runs the main class of one of Kafka's tools to its end: see [`Java::tool`].
    pub async fn tool(&self, main: &str, args: &[&str]) -> Result<ToolOutput> {
        self.java.tool(main, args, "").await
    }

    /// The directory that holds everything of this cluster, removed on drop.
    pub fn dir(&self) -> &Path {
        self._scratch.path()
    }

    fn node(&self, broker: u32) -> Result<&Node> {
        self.nodes.iter().find(|n| n.id == broker).with_context(|| format!("{} has no broker {broker}", self.name))
    }

    fn with_process<T>(&self, broker: u32, act: impl FnOnce(&Process) -> Result<T>) -> Result<T> {
        self.node(broker)?.with_process(act)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log_tails(40));
        }
    }
}

fn slot(nodes: &[Node], index: usize) -> Slot {
    Slot { routes: nodes.iter().map(|n| n.route(index)).collect() }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

/// A random cluster id: 16 bytes in unpadded URL-safe Base64, as Kafka's `Uuid` prints them.
fn cluster_id() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = u128::from(random()) << 64 | u128::from(random());
    // The last digit carries only two bits. No leading dash, which the tool would take for an option.
    let digits =
        (0..22).rev().map(|i| if i == 0 { (bits as usize & 3) << 4 } else { (bits >> (6 * i - 4)) as usize & 63 });
    let id: String = digits.map(|d| char::from(DIGITS[d])).collect();
    if id.starts_with('-') { id.replacen('-', "A", 1) } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_ids_are_22_digits_and_never_look_like_an_option() {
        for _ in 0..1000 {
            let id = cluster_id();
            assert!(id.len() == 22 && !id.starts_with('-') && "AQgw".contains(&id[21..]), "{id}");
        }
    }
}
