//! The worker's properties file, checked.

use std::time::Duration;

use super::{
    ConfigError, ConfigErrors, Hint, Listener, Properties, address, client::check_security_protocol, hints,
    keys::WORKER_KEYS, values::Values,
};

/// One of Connect's three topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageTopic {
    /// Topic name.
    pub name: String,
    /// Partitions to make it with; −1 for the broker's default.
    pub partitions: i32,
    /// Replication factor to make it with; −1 for the broker's default.
    pub replication_factor: i16,
    /// Further topic settings to make it with. Never `cleanup.policy`, which is always `compact`.
    pub configs: Vec<(String, String)>,
}

/// Which client settings a connector may override (`connector.client.config.override.policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverridePolicy {
    /// All of them.
    All,
    /// None.
    None,
    /// Those that say who it is: `sasl.jaas.config`, `sasl.mechanism` and `security.protocol`.
    Principal,
}

impl OverridePolicy {
    /// The word in the key's value and in errors.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::None => "None",
            Self::Principal => "Principal",
        }
    }

    /// Whether a connector may override this setting, given without its prefix.
    #[must_use]
    pub fn allows(self, setting: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Principal => matches!(setting, "sasl.jaas.config" | "sasl.mechanism" | "security.protocol"),
        }
    }

    fn by_name(written: &str) -> Option<Self> {
        let simple = written.rsplit_once('.').map_or(written, |(_, simple)| simple);
        let word = simple.strip_suffix("ConnectorClientConfigOverridePolicy").unwrap_or(simple);
        [Self::All, Self::None, Self::Principal].into_iter().find(|policy| policy.name() == word)
    }
}

/// A worker's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerConfig {
    /// Addresses, `host:port`, of the worker's own cluster, to which the data goes.
    pub bootstrap_servers: Vec<String>,
    /// Name of the Connect group.
    pub group_id: String,
    /// Name of the worker's clients; empty unless set.
    pub client_id: String,
    /// Topic of connector and task configurations; one partition.
    pub config_storage: StorageTopic,
    /// Topic of positions.
    pub offset_storage: StorageTopic,
    /// Topic of states.
    pub status_storage: StorageTopic,
    /// Between two stores of positions.
    pub offset_flush_interval: Duration,
    /// For one store of positions.
    pub offset_flush_timeout: Duration,
    /// For a task to stop.
    pub task_shutdown_timeout: Duration,
    /// Where the REST API listens; at least one.
    pub listeners: Vec<Listener>,
    /// Host other workers reach this one at, where it differs from the listener's.
    pub advertised_host: Option<String>,
    /// Port other workers reach this one at, where it differs from the listener's.
    pub advertised_port: Option<u16>,
    /// Settings `producer.compression.…` as written, without `producer.`: for connectors that override them not.
    pub producer_compression: Properties,
    /// What connectors may override.
    pub override_policy: OverridePolicy,
    /// Bytes per second, as the brokers store them, that all connectors may fetch together; absent for no cap.
    pub max_bytes_per_second: Option<u64>,
    /// Bytes that may be fetched and not yet acknowledged.
    pub memory_bytes: usize,
    /// Sentences to log once: keys that are probably misspelt or have no effect.
    pub hints: Vec<Hint>,
}

impl WorkerConfig {
    /// Reads a worker's properties.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn parse(raw: &Properties) -> Result<Self, ConfigErrors> {
        let mut values = Values::read(WORKER_KEYS.iter(), raw);
        let mut errors = std::mem::take(&mut values.errors);
        check_what_is_not_built(raw, &values, &mut errors);

        let bootstrap_servers =
            keep(address::bootstrap("bootstrap.servers", values.list("bootstrap.servers")), &mut errors);
        let listeners = keep(address::listeners("listeners", values.list("listeners")), &mut errors);
        let written_policy = values.text("connector.client.config.override.policy").unwrap_or_default();
        let override_policy = OverridePolicy::by_name(written_policy).unwrap_or_else(|| {
            errors.push(ConfigError::invalid(
                "connector.client.config.override.policy",
                written_policy,
                "String must be one of: All, None, Principal",
            ));
            OverridePolicy::All
        });
        let config = Self {
            bootstrap_servers: bootstrap_servers.unwrap_or_default(),
            group_id: values.owned_text("group.id"),
            client_id: values.owned_text("client.id"),
            config_storage: storage_topic("config", Some(1), raw, &values),
            offset_storage: storage_topic("offset", values.number("offset.storage.partitions"), raw, &values),
            status_storage: storage_topic("status", values.number("status.storage.partitions"), raw, &values),
            offset_flush_interval: values.millis("offset.flush.interval.ms"),
            offset_flush_timeout: values.millis("offset.flush.timeout.ms"),
            task_shutdown_timeout: values.millis("task.shutdown.graceful.timeout.ms"),
            listeners: listeners.unwrap_or_default(),
            advertised_host: values
                .text("rest.advertised.host.name")
                .filter(|host| !host.is_empty())
                .map(str::to_owned),
            advertised_port: values.number("rest.advertised.port"),
            producer_compression: raw
                .iter()
                .filter_map(|(key, value)| Some((key.strip_prefix("producer.")?, value)))
                .filter(|(setting, _)| setting.starts_with("compression."))
                .map(|(setting, value)| (setting.to_owned(), value.clone()))
                .collect(),
            override_policy,
            max_bytes_per_second: values.cap("kmirror.max.bytes.per.second"),
            memory_bytes: values.number("kmirror.memory.bytes").unwrap_or(usize::MAX),
            hints: hints::worker_hints(raw),
        };
        ConfigErrors::or(errors, config)
    }
}

fn keep<T>(result: Result<T, ConfigError>, errors: &mut Vec<ConfigError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

/// Refuses what would silently not hold.
fn check_what_is_not_built(raw: &Properties, values: &Values, errors: &mut Vec<ConfigError>) {
    for prefix in ["", "producer.", "consumer.", "admin."] {
        let key = format!("{prefix}security.protocol");
        if let Some(protocol) = raw.get(&key) {
            errors.extend(check_security_protocol(&key, protocol).err());
        }
    }
    let refused = [
        (
            "exactly.once.source.support",
            values.text("exactly.once.source.support").is_some_and(|support| support.eq_ignore_ascii_case("enabled")),
            "transactions are not built yet. Set it to disabled: a crash doubles no record there either, by the sequence numbers of the target's log",
        ),
        (
            "rest.advertised.listener",
            values.text("rest.advertised.listener") == Some("https"),
            "https is not built yet, advertise http",
        ),
        (
            "config.providers",
            !values.list("config.providers").is_empty(),
            "configuration providers are not built yet, so ${…} would not be resolved. Write the values themselves",
        ),
    ];
    for (key, is_refused, reason) in refused {
        if is_refused {
            let value = raw.get(key).map_or("", |value| value.trim());
            errors.push(ConfigError::invalid(key, value, reason));
        }
    }
}

/// `{kind}.storage.…`: what is none of Connect's own three keys is a setting of the topic.
fn storage_topic(kind: &str, partitions: Option<i32>, raw: &Properties, values: &Values) -> StorageTopic {
    let prefix = format!("{kind}.storage.");
    let configs = raw
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?, value)))
        .filter(|(setting, _)| !matches!(*setting, "topic" | "partitions" | "replication.factor" | "cleanup.policy"))
        .map(|(setting, value)| (setting.to_owned(), value.trim().to_owned()))
        .collect();
    StorageTopic {
        name: values.owned_text(&format!("{prefix}topic")),
        partitions: partitions.unwrap_or(-1),
        replication_factor: values.number(&format!("{prefix}replication.factor")).unwrap_or(-1),
        configs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read_properties;

    const MINIMAL: &str = "group.id=g\nkey.converter=c\nvalue.converter=c\nconfig.storage.topic=c\n\
                           offset.storage.topic=o\nstatus.storage.topic=s\nbootstrap.servers=a:9092,b:9093\n";

    fn parse(more: &str) -> Result<WorkerConfig, ConfigErrors> {
        WorkerConfig::parse(&read_properties(&format!("{MINIMAL}{more}")).unwrap())
    }

    #[test]
    fn defaults_are_connects() {
        let topic = |name: &str, partitions| StorageTopic {
            name: name.to_owned(),
            partitions,
            replication_factor: 3,
            configs: Vec::new(),
        };
        let expected = WorkerConfig {
            bootstrap_servers: vec!["a:9092".to_owned(), "b:9093".to_owned()],
            group_id: "g".to_owned(),
            client_id: String::new(),
            config_storage: topic("c", 1),
            offset_storage: topic("o", 25),
            status_storage: topic("s", 5),
            offset_flush_interval: Duration::from_secs(60),
            offset_flush_timeout: Duration::from_secs(5),
            task_shutdown_timeout: Duration::from_secs(5),
            listeners: vec![Listener { host: None, port: 8083 }],
            advertised_host: None,
            advertised_port: None,
            producer_compression: Properties::new(),
            override_policy: OverridePolicy::All,
            max_bytes_per_second: None,
            memory_bytes: 32 * 1024 * 1024,
            hints: Vec::new(),
        };
        assert_eq!(parse(""), Ok(expected));
    }

    #[test]
    fn what_is_set_is_read() {
        let config = parse(
            "listeners=http://127.0.0.1:0, http://:80\nrest.advertised.host.name=me\nrest.advertised.port=81\n\
             offset.flush.interval.ms=1000\noffset.storage.partitions=-1\noffset.storage.replication.factor=1\n\
             offset.storage.segment.bytes=1024\noffset.storage.cleanup.policy=delete\nclient.id=w\n\
             connector.client.config.override.policy=org.apache.kafka.connect.connector.policy.NoneConnectorClientConfigOverridePolicy\n\
             kmirror.max.bytes.per.second=5000000000\nkmirror.memory.bytes=4194304\n\
             producer.compression.type=gzip\nproducer.sasl.jaas.config=secret\n",
        )
        .unwrap();
        assert_eq!(config.listeners.len(), 2);
        assert_eq!((config.advertised_host.as_deref(), config.advertised_port), (Some("me"), Some(81)));
        assert_eq!(config.offset_flush_interval, Duration::from_secs(1));
        assert_eq!((config.offset_storage.partitions, config.offset_storage.replication_factor), (-1, 1));
        assert_eq!(config.offset_storage.configs, [("segment.bytes".to_owned(), "1024".to_owned())]);
        assert_eq!(config.client_id, "w");
        assert_eq!(config.producer_compression, Properties::from([("compression.type".to_owned(), "gzip".to_owned())]));
        assert_eq!(config.override_policy, OverridePolicy::None);
        assert_eq!((config.max_bytes_per_second, config.memory_bytes), (Some(5_000_000_000), 4_194_304));
        assert_eq!(config.hints.len(), 1, "{:?}", config.hints);
    }

    #[test]
    fn one_error_a_key() {
        // (line, key, part of the message)
        let table = [
            ("offset.flush.interval.ms=soon", "offset.flush.interval.ms", "Not a number of type LONG"),
            ("group.id= ", "group.id", "String must be non-empty"),
            ("offset.storage.partitions=0", "offset.storage.partitions", "must be -1"),
            ("rest.advertised.port=70000", "rest.advertised.port", "no more than 65535"),
            ("rest.advertised.listener=https", "rest.advertised.listener", "not built yet"),
            ("listeners=https://:8443", "listeners", "https is not built yet"),
            ("listeners=", "listeners", "at least one listener"),
            ("bootstrap.servers=a", "bootstrap.servers", "a is not of the form host:port"),
            ("security.protocol=ssl", "security.protocol", "not built yet: PLAINTEXT only"),
            ("security.protocol=tls", "security.protocol", "String must be one of"),
            ("producer.security.protocol=SASL_SSL", "producer.security.protocol", "not built yet: PLAINTEXT only"),
            ("exactly.once.source.support=ENABLED", "exactly.once.source.support", "not built yet"),
            (
                "connector.client.config.override.policy=Allowlist",
                "connector.client.config.override.policy",
                "All, None, Principal",
            ),
            ("config.providers=file", "config.providers", "not built yet"),
            (
                "kmirror.max.bytes.per.second=-1",
                "kmirror.max.bytes.per.second",
                "Invalid value -1 for configuration kmirror.max.bytes.per.second: Value must be at least 0",
            ),
            ("kmirror.max.bytes.per.second=1M", "kmirror.max.bytes.per.second", "Not a number of type LONG"),
            (
                "kmirror.memory.bytes=4194303",
                "kmirror.memory.bytes",
                "Invalid value 4194303 for configuration kmirror.memory.bytes: Value must be at least 4194304",
            ),
            ("kmirror.memory.bytes=32MB", "kmirror.memory.bytes", "Not a number of type LONG"),
            ("connect.protocol=magic", "connect.protocol", "String must be one of: eager, compatible, sessioned"),
        ];
        for (line, key, part) in table {
            let errors = parse(line).expect_err(line);
            let about_key: Vec<_> = errors.0.iter().filter(|error| error.key == key).collect();
            assert!(!about_key.is_empty() && errors.0.len() == about_key.len(), "{line}: {errors}");
            assert!(about_key.iter().any(|error| error.message.contains(part)), "{line}: {errors}");
        }
    }

    #[test]
    fn all_errors_at_once() {
        let raw = read_properties("offset.flush.interval.ms=x\nlisteners=ftp://:1\nsecurity.protocol=SSL\n").unwrap();
        let keys: Vec<String> = WorkerConfig::parse(&raw).unwrap_err().0.into_iter().map(|error| error.key).collect();
        for key in [
            "group.id",
            "key.converter",
            "value.converter",
            "config.storage.topic",
            "offset.storage.topic",
            "status.storage.topic",
            "offset.flush.interval.ms",
            "listeners",
            "security.protocol",
        ] {
            assert_eq!(keys.iter().filter(|found| *found == key).count(), 1, "{key}: {keys:?}");
        }
    }

    #[test]
    fn the_principal_policy_lets_credentials_pass() {
        assert!(OverridePolicy::Principal.allows("sasl.jaas.config"));
        assert!(!OverridePolicy::Principal.allows("batch.size"));
    }
}
