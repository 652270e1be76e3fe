//! Keys of a worker's properties file (`DistributedConfig`, `WorkerConfig`, `RestServerConfig`), and kmirror's own.

use crate::config::key::{
    Default::{Null, Required, Value},
    Importance::{High, Medium},
    Key,
    Kind::{Boolean, Class, Double, Int, List, Long, Password, Short, String},
    Valid,
};

/// The signature algorithm of internal requests, and the key's.
const HMAC: &str = "HmacSHA256";
/// `kmirror.memory.bytes` below this would leave single partitions waiting for each other.
const LEAST_MEMORY: i64 = 4 * 1024 * 1024;

/// Keys a worker's properties file may hold. Beside them: client settings under `producer.`, `consumer.` and `admin.`,
/// topic settings under `config.storage.`, `offset.storage.` and `status.storage.`, and `listeners.https.`.
pub const WORKER_KEYS: &[Key] = &[
    Key::new(
        "bootstrap.servers",
        List,
        Value("localhost:9092"),
        "Addresses, host:port, of the worker's own cluster, which is the target of the data.",
    )
    .importance(High),
    Key::new("group.id", String, Required, "Name of the Connect group this worker belongs to.")
        .importance(High)
        .valid(Valid::NonEmpty),
    Key::new("key.converter", Class, Required, "Default converter of keys. Mirrored bytes are never converted.")
        .importance(High),
    Key::new("value.converter", Class, Required, "Default converter of values. Mirrored bytes are never converted.")
        .importance(High),
    Key::new(
        "header.converter",
        Class,
        Value("org.apache.kafka.connect.storage.SimpleHeaderConverter"),
        "Default converter of headers. Mirrored bytes are never converted.",
    ),
    Key::new("config.storage.topic", String, Required, "Topic that holds connector and task configurations.")
        .importance(High)
        .valid(Valid::NonEmpty),
    Key::new(
        "config.storage.replication.factor",
        Short,
        Value("3"),
        "Replication factor of that topic when it is made; it always has one partition.",
    )
    .valid(Valid::BrokersChoiceOrUpTo(i16::MAX as i64)),
    Key::new("offset.storage.topic", String, Required, "Topic that holds the positions of source connectors.")
        .importance(High)
        .valid(Valid::NonEmpty),
    Key::new("offset.storage.partitions", Int, Value("25"), "Partitions of that topic when it is made.")
        .valid(Valid::BrokersChoiceOrUpTo(i32::MAX as i64)),
    Key::new(
        "offset.storage.replication.factor",
        Short,
        Value("3"),
        "Replication factor of that topic when it is made.",
    )
    .valid(Valid::BrokersChoiceOrUpTo(i16::MAX as i64)),
    Key::new("status.storage.topic", String, Required, "Topic that holds the states of connectors and tasks.")
        .importance(High)
        .valid(Valid::NonEmpty),
    Key::new("status.storage.partitions", Int, Value("5"), "Partitions of that topic when it is made.")
        .valid(Valid::BrokersChoiceOrUpTo(i32::MAX as i64)),
    Key::new(
        "status.storage.replication.factor",
        Short,
        Value("3"),
        "Replication factor of that topic when it is made.",
    )
    .valid(Valid::BrokersChoiceOrUpTo(i16::MAX as i64)),
    Key::new("offset.flush.interval.ms", Long, Value("60000"), "Time between two stores of positions, ms.")
        .valid(Valid::AtLeast(1)),
    Key::new("offset.flush.timeout.ms", Long, Value("5000"), "Time one store of positions may take, ms.")
        .valid(Valid::AtLeast(1)),
    Key::new("task.shutdown.graceful.timeout.ms", Long, Value("5000"), "Time a task may take to stop, ms.")
        .valid(Valid::AtLeast(0)),
    Key::new("listeners", List, Value("http://:8083"), "Addresses the REST API listens on, such as http://:8083.")
        .importance(High),
    Key::new("rest.advertised.host.name", String, Null, "Host other workers reach this one's REST API at."),
    Key::new("rest.advertised.port", Int, Null, "Port other workers reach this one's REST API at.")
        .valid(Valid::Between(1, 65535)),
    Key::new("rest.advertised.listener", String, Null, "Protocol other workers use for this one's REST API.")
        .valid(Valid::OneOf(&["http", "https"])),
    Key::new("admin.listeners", List, Null, "Addresses of the /admin endpoints, where they differ."),
    Key::new("rest.extension.classes", List, Value(""), "REST extensions of Connect."),
    Key::new("access.control.allow.origin", String, Value(""), "CORS: allowed origins."),
    Key::new("access.control.allow.methods", String, Value(""), "CORS: allowed methods."),
    Key::new("response.http.headers.config", String, Value(""), "Headers to add to REST responses."),
    Key::new(
        "connector.client.config.override.policy",
        Class,
        Value("All"),
        "Which client settings a connector may override: All, None or Principal.",
    )
    .importance(Medium),
    Key::new("plugin.path", List, Null, "Directories of Java plugins; kmirror has none."),
    Key::new("plugin.discovery", String, Value("hybrid_warn"), "How Java plugins are found; kmirror has none.")
        .valid(Valid::OneOfIgnoringCase(&["only_scan", "hybrid_warn", "hybrid_fail", "service_load"])),
    Key::new(
        "topic.creation.enable",
        Boolean,
        Value("true"),
        "Whether connectors may have topics made by the framework; MirrorMaker's make their own.",
    ),
    Key::new("topic.tracking.enable", Boolean, Value("true"), "Whether the topics a connector writes to are tracked."),
    Key::new("topic.tracking.allow.reset", Boolean, Value("true"), "Whether that set may be reset."),
    Key::new("config.providers", List, Value(""), "Providers that ${provider:path:key} refers to."),
    Key::new("client.id", String, Value(""), "Name of this worker's clients in the brokers' logs and quotas."),
    Key::new("session.timeout.ms", Int, Value("10000"), "Time after which a silent worker loses its tasks, ms.")
        .importance(High)
        .valid(Valid::AtLeast(1)),
    Key::new("heartbeat.interval.ms", Int, Value("3000"), "Time between two signs of life of a worker, ms.")
        .importance(High)
        .valid(Valid::AtLeast(1)),
    Key::new("rebalance.timeout.ms", Int, Value("60000"), "Time workers have to rejoin in a rebalance, ms.")
        .importance(High)
        .valid(Valid::AtLeast(1)),
    Key::new(
        "worker.sync.timeout.ms",
        Int,
        Value("3000"),
        "Time to catch up with the configuration topic before leaving the group, ms.",
    )
    .importance(Medium),
    Key::new("worker.unsync.backoff.ms", Int, Value("300000"), "Time out of the group after that failed, ms.")
        .importance(Medium),
    Key::new("connect.protocol", String, Value("sessioned"), "Connect's protocol of rebalancing.")
        .valid(Valid::OneOf(&["eager", "compatible", "sessioned"])),
    Key::new(
        "scheduled.rebalance.max.delay.ms",
        Int,
        Value("300000"),
        "Time the tasks of a lost worker wait for its return, ms.",
    )
    .valid(Valid::Between(0, i32::MAX as i64)),
    Key::new("inter.worker.key.generation.algorithm", String, Value(HMAC), "Algorithm of session keys."),
    Key::new("inter.worker.key.size", Int, Null, "Bits of session keys."),
    Key::new("inter.worker.key.ttl.ms", Int, Value("3600000"), "Life of a session key, ms.")
        .valid(Valid::Between(0, i32::MAX as i64)),
    Key::new("inter.worker.signature.algorithm", String, Value(HMAC), "Algorithm that signs internal requests."),
    Key::new("inter.worker.verification.algorithms", List, Value(HMAC), "Algorithms accepted in internal requests."),
    Key::new("exactly.once.source.support", String, Value("disabled"), "Exactly-once for source connectors.")
        .importance(High)
        .valid(Valid::OneOfIgnoringCase(&["disabled", "preparing", "enabled"])),
    Key::new("metrics.sample.window.ms", Long, Value("30000"), "Window of a metric's sample, ms.")
        .valid(Valid::AtLeast(0)),
    Key::new("metrics.num.samples", Int, Value("2"), "Samples a metric is computed from.").valid(Valid::AtLeast(1)),
    Key::new("metrics.recording.level", String, Value("INFO"), "Level of metrics.")
        .valid(Valid::OneOf(&["INFO", "DEBUG", "TRACE"])),
    Key::new(
        "metric.reporters",
        List,
        Value("org.apache.kafka.common.metrics.JmxReporter"),
        "Java classes that report metrics.",
    ),
    Key::new("auto.include.jmx.reporter", Boolean, Value("true"), "Whether JmxReporter is added to them."),
    Key::new("security.protocol", String, Value("PLAINTEXT"), "Protocol of the worker's own cluster.")
        .importance(Medium)
        .valid(Valid::OneOfIgnoringCase(super::client::SECURITY_PROTOCOLS)),
    Key::new("retry.backoff.ms", Long, Value("100"), "Time before a failed request is sent again, ms.")
        .valid(Valid::AtLeast(0)),
    Key::new("retry.backoff.max.ms", Long, Value("1000"), "The most this grows to, ms.").valid(Valid::AtLeast(0)),
    Key::new("reconnect.backoff.ms", Long, Value("50"), "Time before a lost connection is opened again, ms.")
        .valid(Valid::AtLeast(0)),
    Key::new("reconnect.backoff.max.ms", Long, Value("1000"), "The most this grows to, ms.").valid(Valid::AtLeast(0)),
    Key::new("request.timeout.ms", Int, Value("40000"), "Time a broker has to answer, ms.").valid(Valid::AtLeast(0)),
    Key::new("metadata.max.age.ms", Long, Value("300000"), "Age at which metadata is read again, ms.")
        .valid(Valid::AtLeast(0)),
    Key::new("metadata.recovery.strategy", String, Value("rebootstrap"), "What to do when no known broker answers."),
    Key::new("connections.max.idle.ms", Long, Value("540000"), "Time after which an idle connection is closed, ms."),
    Key::new("client.dns.lookup", String, Value("use_all_dns_ips"), "Which of a name's addresses are used.")
        .valid(Valid::OneOf(&["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"])),
    Key::new("send.buffer.bytes", Int, Value("131072"), "Send buffer of a socket, bytes; -1 for the system's.")
        .valid(Valid::AtLeast(-1)),
    Key::new("receive.buffer.bytes", Int, Value("32768"), "Receive buffer of a socket, bytes; -1 for the system's.")
        .valid(Valid::AtLeast(-1)),
    Key::new("socket.connection.setup.timeout.ms", Long, Value("10000"), "Time to open a connection, ms."),
    Key::new("socket.connection.setup.timeout.max.ms", Long, Value("30000"), "The most this grows to, ms."),
    Key::new("sasl.mechanism", String, Value("GSSAPI"), "SASL mechanism."),
    Key::new("sasl.jaas.config", Password, Null, "SASL login module and credentials."),
    Key::new(
        "sasl.login.refresh.window.factor",
        Double,
        Value("0.8"),
        "Share of a credential's life after which it is renewed.",
    ),
    Key::new(
        super::MAX_BYTES_PER_SECOND,
        Long,
        Value("0"),
        "Bytes per second, as the brokers store them (compressed), that all connectors of this worker fetch together; \
         0 for no cap. Kafka has no such key.",
    )
    .importance(Medium)
    .valid(Valid::AtLeast(0)),
    Key::new(
        "kmirror.memory.bytes",
        Long,
        Value("33554432"),
        "Bytes that may be fetched and not yet acknowledged by the target, in this worker. Kafka has no such key.",
    )
    .importance(Medium)
    .valid(Valid::AtLeast(LEAST_MEMORY)),
];
