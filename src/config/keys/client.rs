//! Settings of Kafka's clients, as far as a hint has to know which client reads them.

use ClientRole::{Admin, Consumer, Producer};

/// `SecurityProtocol`
pub(super) const SECURITY_PROTOCOLS: &[&str] = &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// The kind of client that reads a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientRole {
    /// Reads records.
    Consumer,
    /// Writes records.
    Producer,
    /// Makes and describes topics and groups.
    Admin,
}

impl ClientRole {
    /// The word in key prefixes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Producer => "producer",
            Self::Admin => "admin",
        }
    }
}

/// A setting of Kafka's clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientKey {
    /// Name without a prefix.
    pub name: &'static str,
    /// Which clients read it.
    pub roles: &'static [ClientRole],
}

const fn key(name: &'static str, roles: &'static [ClientRole]) -> ClientKey {
    ClientKey { name, roles }
}

const ALL: &[ClientRole] = &[Consumer, Producer, Admin];
const READS: &[ClientRole] = &[Consumer];
const WRITES: &[ClientRole] = &[Producer];

/// Settings of Kafka's clients. `ssl.*` and `sasl.*` belong to all of them and are not listed one by one.
pub const CLIENT_KEYS: &[ClientKey] = &[
    key("acks", WRITES),
    key("allow.auto.create.topics", READS),
    key("auto.commit.interval.ms", READS),
    key("auto.offset.reset", READS),
    key("batch.size", WRITES),
    key("bootstrap.servers", ALL),
    key("buffer.memory", WRITES),
    key("check.crcs", READS),
    key("client.dns.lookup", ALL),
    key("client.id", ALL),
    key("client.rack", READS),
    key("compression.gzip.level", WRITES),
    key("compression.lz4.level", WRITES),
    key("compression.type", WRITES),
    key("compression.zstd.level", WRITES),
    key("connections.max.idle.ms", ALL),
    key("default.api.timeout.ms", &[Consumer, Admin]),
    key("delivery.timeout.ms", WRITES),
    key("enable.auto.commit", READS),
    key("enable.idempotence", WRITES),
    key("exclude.internal.topics", READS),
    key("fetch.max.bytes", READS),
    key("fetch.max.wait.ms", READS),
    key("fetch.min.bytes", READS),
    key("group.id", READS),
    key("group.instance.id", READS),
    key("group.protocol", READS),
    key("heartbeat.interval.ms", READS),
    key("interceptor.classes", &[Consumer, Producer]),
    key("isolation.level", READS),
    key("key.deserializer", READS),
    key("key.serializer", WRITES),
    key("linger.ms", WRITES),
    key("max.block.ms", WRITES),
    key("max.in.flight.requests.per.connection", WRITES),
    key("max.partition.fetch.bytes", READS),
    key("max.poll.interval.ms", READS),
    key("max.poll.records", READS),
    key("max.request.size", WRITES),
    key("metadata.max.age.ms", ALL),
    key("metadata.max.idle.ms", WRITES),
    key("metric.reporters", ALL),
    key("metrics.num.samples", ALL),
    key("metrics.recording.level", ALL),
    key("metrics.sample.window.ms", ALL),
    key("partition.assignment.strategy", READS),
    key("partitioner.class", WRITES),
    key("receive.buffer.bytes", ALL),
    key("reconnect.backoff.max.ms", ALL),
    key("reconnect.backoff.ms", ALL),
    key("request.timeout.ms", ALL),
    key("retries", &[Producer, Admin]),
    key("retry.backoff.max.ms", ALL),
    key("retry.backoff.ms", ALL),
    key("security.protocol", ALL),
    key("security.providers", ALL),
    key("send.buffer.bytes", ALL),
    key("session.timeout.ms", READS),
    key("socket.connection.setup.timeout.max.ms", ALL),
    key("socket.connection.setup.timeout.ms", ALL),
    key("transaction.timeout.ms", WRITES),
    key("transactional.id", WRITES),
    key("value.deserializer", READS),
    key("value.serializer", WRITES),
];
