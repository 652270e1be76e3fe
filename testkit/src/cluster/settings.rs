//! The broker properties of the kit.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;

use super::join;
use super::node::Node;

/// Writes a broker's `server.properties`; what `extra` says wins.
pub(super) fn write(node: &Node, nodes: &[Node], extra: &[(String, String)]) -> Result<()> {
    let mut properties = listeners(node, nodes);
    properties.extend(small(nodes.len()));
    properties.insert("log.dirs".to_owned(), node.data().display().to_string());
    properties.extend(extra.iter().map(|(key, value)| (key.clone(), value.replace("{id}", &node.id.to_string()))));
    let mut text = String::new();
    for (key, value) in properties {
        writeln!(text, "{key}={value}")?;
    }
    Ok(std::fs::write(node.config(), text)?)
}

fn listeners(node: &Node, nodes: &[Node]) -> BTreeMap<String, String> {
    let slots = || node.proxied.iter().enumerate();
    let listens = slots().map(|(i, (listens, _))| format!("PROXIED{i}://{}", listens.address()));
    let advertised = slots().map(|(i, (_, advertised))| format!("PROXIED{i}://{}", advertised.address()));
    let own = [format!("DIRECT://{}", node.address())];
    let controller = format!("CONTROLLER://{}", node.controller.address());
    let names =
        ["CONTROLLER".to_owned(), "DIRECT".to_owned()].into_iter().chain(slots().map(|(i, _)| format!("PROXIED{i}")));

    [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", node.id.to_string()),
        ("controller.quorum.voters", join(nodes.iter().map(|n| format!("{}@{}", n.id, n.controller.address())))),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("inter.broker.listener.name", "DIRECT".to_owned()),
        ("listeners", join(own.clone().into_iter().chain([controller]).chain(listens))),
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
