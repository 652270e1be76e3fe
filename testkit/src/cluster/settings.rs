//! The broker properties of the kit.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;

use super::join;
use super::node::Node;

/// Writes a broker's `server.properties`; what `extra` says wins. With the address of a `zookeeper` it is Kafka 2's.
pub(super) fn write(node: &Node, nodes: &[Node], zookeeper: Option<&str>, extra: &[(String, String)]) -> Result<()> {
    let mut properties = listeners(node, zookeeper.is_none());
    properties.extend(match zookeeper {
        Some(address) => with_zookeeper(node, address),
        None => with_controllers(node, nodes),
    });
    properties.extend(small(nodes.len()));
    properties.insert("log.dirs".to_owned(), node.data().display().to_string());
    properties.extend(extra.iter().map(|(key, value)| (key.clone(), value.replace("{id}", &node.id.to_string()))));
    let mut text = String::new();
    for (key, value) in properties {
        writeln!(text, "{key}={value}")?;
    }
    Ok(std::fs::write(node.config(), text)?)
}

fn with_controllers(node: &Node, nodes: &[Node]) -> Vec<(String, String)> {
    [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", node.id.to_string()),
        ("controller.quorum.voters", join(nodes.iter().map(|n| format!("{}@{}", n.id, n.controller.address())))),
        ("controller.listener.names", "CONTROLLER".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn with_zookeeper(node: &Node, address: &str) -> Vec<(String, String)> {
    [
        ("broker.id", node.id.to_string()),
        ("zookeeper.connect", address.to_owned()),
        ("zookeeper.session.timeout.ms", "6000".to_owned()),
        // It may start together with the brokers, on a machine that has much to do.
        ("zookeeper.connection.timeout.ms", "60000".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn listeners(node: &Node, is_controller: bool) -> BTreeMap<String, String> {
    let slots = || node.proxied.iter().enumerate();
    let listens = slots().map(|(i, (listens, _))| format!("PROXIED{i}://{}", listens.address()));
    let advertised = slots().map(|(i, (_, advertised))| format!("PROXIED{i}://{}", advertised.address()));
    let own = [format!("DIRECT://{}", node.address())];
    let controller = is_controller.then(|| format!("CONTROLLER://{}", node.controller.address()));
    let names = ["CONTROLLER", "DIRECT"].map(str::to_owned).into_iter().skip(usize::from(!is_controller));
    let names = names.chain(slots().map(|(i, _)| format!("PROXIED{i}")));

    [
        ("inter.broker.listener.name", "DIRECT".to_owned()),
        ("listeners", join(own.clone().into_iter().chain(controller).chain(listens))),
        ("advertised.listeners", join(own.into_iter().chain(advertised))),
        ("listener.security.protocol.map", join(names.map(|name| format!("{name}:PLAINTEXT")))),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Small internal topics, short waits and little memory: a cluster of tests holds little and is watched closely.
fn small(brokers: usize) -> Vec<(String, String)> {
    let replicas = brokers.min(3).to_string();
    let in_sync = if brokers > 2 { "2" } else { "1" };
    [
        ("auto.create.topics.enable", "false"),
        ("default.replication.factor", &replicas),
        ("offsets.topic.replication.factor", &replicas),
        ("offsets.topic.num.partitions", "4"),
        ("transaction.state.log.replication.factor", &replicas),
        ("transaction.state.log.min.isr", in_sync),
        ("transaction.state.log.num.partitions", "4"),
        ("group.initial.rebalance.delay.ms", "0"),
        // A killed broker is fenced after this, and can come back only then.
        ("broker.session.timeout.ms", "4000"),
        ("broker.heartbeat.interval.ms", "500"),
        ("replica.lag.time.max.ms", "5000"),
        ("num.network.threads", "2"),
        ("num.io.threads", "4"),
        ("num.recovery.threads.per.data.dir", "1"),
        // Each would else wait half a minute, or five, for the first look at a log.
        ("log.initial.task.delay.ms", "500"),
        ("log.retention.check.interval.ms", "1000"),
        // Records of tests have fixed, old timestamps; what is to be deleted has its own retention.ms.
        ("log.retention.ms", "-1"),
        ("log.cleaner.backoff.ms", "500"),
        ("log.segment.delete.delay.ms", "1000"),
        ("log.cleaner.dedupe.buffer.size", "8388608"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}
