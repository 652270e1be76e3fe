//! Who takes part, and what each is started and configured with.

use serde_json::{Map, Value, json};
use testkit::{
    Cluster,
    anyhow::{Context, Result},
};

use crate::{
    contents::{ADDED, MARK},
    workloads::{Connector, Copy, Shape},
};

/// Who mirrors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Contestant {
    /// kmirror
    Kmirror,
    /// kmirror that copies and does nothing beside: what that costs
    Bare,
    /// MirrorMaker 2 as installed
    Default,
    /// MirrorMaker 2 with larger batches, fetches and buffers, and the source's codec
    Tuned,
}

impl Contestant {
    /// As the tables say it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Kmirror => "kmirror",
            Self::Bare => "kmirror, bare",
            Self::Default => "MirrorMaker 2",
            Self::Tuned => "MirrorMaker 2, tuned",
        }
    }

    /// As a word: in names of topics and in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Kmirror => "kmirror",
            Self::Bare => "bare",
            Self::Default => "default",
            Self::Tuned => "tuned",
        }
    }

    /// Whether there is something to set: the sample's own settings are what its workload is about.
    pub(crate) fn takes_part(self, copy: &Copy) -> bool {
        !matches!(self, Self::Tuned | Self::Bare) || copy.connector != Connector::Sample
    }

    /// Whether it is this program.
    pub(crate) fn is_kmirror(self) -> bool {
        matches!(self, Self::Kmirror | Self::Bare)
    }
}

/// Both ends of a copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends<'a> {
    pub(crate) source: &'a Cluster,
    pub(crate) target: &'a Cluster,
}

/// What a worker has beside what [`testkit::Connect`] sets: Connect's own defaults where the kit has others.
pub(crate) fn worker_properties(contestant: Contestant) -> Vec<(&'static str, &'static str)> {
    let mut properties = vec![
        ("offset.flush.interval.ms", "60000"),
        ("offset.storage.partitions", "25"),
        ("status.storage.partitions", "5"),
    ];
    if contestant == Contestant::Default {
        properties.push(("plugin.discovery", "hybrid_warn"));
    }
    properties
}

/// The sample's connector, read where the documentation names it.
const SAMPLE: &str = include_str!("../../config/mm2-msc-no-auth.json");

/// A connector's configuration and the names that its remote topics have. `alias` is the source's.
pub(crate) fn connector(
    contestant: Contestant,
    copy: &Copy,
    alias: &str,
    ends: Ends<'_>,
    tasks: u32,
    tuning: &[(String, String)],
) -> Result<(Value, Vec<String>)> {
    let topics = copy.topic_names();
    if copy.connector == Connector::Sample {
        return Ok((sample(contestant, ends)?, topics));
    }
    let mut config = plain(alias, &copy.topics_pattern(), ends, tasks);
    if copy.shape == Shape::Transactions && !contestant.is_kmirror() {
        // As installed it copies aborted records too.
        config.insert("source.consumer.isolation.level".to_owned(), "read_committed".into());
    }
    let transforms = match copy.connector {
        Connector::Routed => routed(),
        Connector::Transformed => transformed(),
        Connector::Plain | Connector::Pattern | Connector::Sample => Vec::new(),
    };
    config.extend(transforms.into_iter().map(|(key, value)| (key.to_owned(), value.into())));
    if contestant == Contestant::Bare {
        config.extend(BARE.into_iter().map(|key| (key.to_owned(), "false".into())));
        // A key of what is off is an error.
        config.remove("offset-syncs.topic.replication.factor");
    }
    if contestant == Contestant::Tuned {
        let many = copy.topics > 1;
        let tuned = tuned(copy.codec.name(), many).into_iter().map(|(key, value)| (key.to_owned(), value));
        config.extend(tuned.map(|(key, value)| (key, value.into())));
        config.extend(tuning.iter().map(|(key, value)| (key.clone(), value.clone().into())));
    }
    let routed = if copy.connector == Connector::Routed { ROUTED } else { "" };
    Ok((Value::Object(config), topics.iter().map(|topic| format!("{routed}{alias}.{topic}")).collect()))
}

/// What [`Connector::Routed`] puts before the names of remote topics.
const ROUTED: &str = "routed-";

fn routed() -> Vec<(&'static str, String)> {
    [
        ("transforms", "route"),
        ("transforms.route.type", "org.apache.kafka.connect.transforms.RegexRouter"),
        ("transforms.route.regex", "(.*)"),
        ("transforms.route.replacement", &format!("{ROUTED}$1")),
    ]
    .map(|(key, value)| (key, value.to_owned()))
    .into()
}

fn transformed() -> Vec<(&'static str, String)> {
    [
        ("transforms", "leave,add"),
        ("transforms.leave.type", "org.apache.kafka.connect.transforms.Filter"),
        ("transforms.leave.predicate", "marked"),
        ("transforms.add.type", "org.apache.kafka.connect.transforms.InsertHeader"),
        ("transforms.add.header", ADDED.0),
        ("transforms.add.value.literal", ADDED.1),
        ("predicates", "marked"),
        ("predicates.marked.type", "org.apache.kafka.connect.transforms.predicates.HasHeaderKey"),
        ("predicates.marked.name", MARK),
    ]
    .map(|(key, value)| (key, value.to_owned()))
    .into()
}

/// The least a connector needs on clusters of one broker.
pub(crate) fn plain(alias: &str, topics: &str, ends: Ends<'_>, tasks: u32) -> Map<String, Value> {
    let config = json!({
        "name": "bench",
        "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
        "source.cluster.alias": alias,
        "target.cluster.alias": "target",
        "source.cluster.bootstrap.servers": ends.source.bootstrap(),
        "target.cluster.bootstrap.servers": ends.target.bootstrap(),
        "topics": topics,
        "tasks.max": tasks.to_string(),
        "replication.factor": "1",
        "offset-syncs.topic.replication.factor": "1",
        "key.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
        "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
    });
    match config {
        Value::Object(config) => config,
        _ => Map::new(),
    }
}

/// What kmirror does beside copying.
const BARE: [&str; 4] = [
    "kmirror.offset.map.enabled",
    "emit.offset-syncs.enabled",
    "sync.topic.configs.enabled",
    "sync.topic.acls.enabled",
];

/// What makes MirrorMaker 2 faster: fewer and larger requests on both sides, and batches in the codec of the source.
fn tuned(codec: &str, many_partitions: bool) -> Vec<(&'static str, String)> {
    // A batch's memory is taken whole when its first record comes: a large one for each of many partitions would
    // leave the producer waiting for memory.
    let batch = if many_partitions { "65536" } else { "524288" };
    [
        ("producer.override.compression.type", codec),
        // The other codecs' defaults are quick ones.
        ("producer.override.compression.gzip.level", "1"),
        ("producer.override.batch.size", batch),
        ("producer.override.linger.ms", "50"),
        ("producer.override.buffer.memory", "134217728"),
        ("producer.override.max.request.size", "8388608"),
        ("producer.override.send.buffer.bytes", "1048576"),
        ("source.consumer.max.poll.records", "10000"),
        ("source.consumer.fetch.min.bytes", "1048576"),
        ("source.consumer.fetch.max.wait.ms", "100"),
        ("source.consumer.fetch.max.bytes", "67108864"),
        ("source.consumer.max.partition.fetch.bytes", "8388608"),
        ("source.consumer.receive.buffer.bytes", "1048576"),
        ("offset.lag.max", "10000"),
    ]
    .map(|(key, value)| (key, value.to_owned()))
    .into()
}

/// The sample, with what it leaves open filled in. Its replication factor of 3 needs three brokers.
fn sample(contestant: Contestant, ends: Ends<'_>) -> Result<Value> {
    let mut config: Value = serde_json::from_str(SAMPLE).context("the sample's JSON")?;
    config["source.cluster.bootstrap.servers"] = ends.source.bootstrap().into();
    config["target.cluster.bootstrap.servers"] = ends.target.bootstrap().into();
    config["replication.factor"] = "1".into();
    config["offset-syncs.topic.replication.factor"] = "1".into();
    if !contestant.is_kmirror() {
        // The sample's policy is a jar of its own. Kafka's that keeps names does the same.
        config["replication.policy.class"] = "org.apache.kafka.connect.mirror.IdentityReplicationPolicy".into();
    }
    Ok(config)
}
