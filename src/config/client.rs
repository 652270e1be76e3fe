//! Which settings reach which of a connector's clients, and the few of them that decide whether it can run.

use std::{collections::BTreeMap, time::Duration};

use super::{
    ConfigError, Properties,
    keys::{CLIENT_KEYS, ClientRole},
};

/// The cluster a client talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where records come from.
    Source,
    /// Where the target alias points. The data itself goes to the worker's cluster.
    Target,
}

impl Side {
    /// The word in key prefixes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// A client's setting, and the key it was written under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSetting {
    /// Value, as written.
    pub value: String,
    /// Key in the connector's configuration; for errors that must name it.
    pub key: String,
}

/// Where a consumer begins when it has no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoOffsetReset {
    /// At the log start.
    Earliest,
    /// At the log end.
    Latest,
    /// Nowhere: having no position is an error.
    None,
}

/// Which records of transactions a consumer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationLevel {
    /// Those of committed transactions, and records outside of transactions.
    ReadCommitted,
    /// All, aborted ones too.
    ReadUncommitted,
}

/// What makes up one of the connector's clients (`MirrorConnectorConfig`): the connection settings under
/// `source.cluster.` (or `target.`), then all under `consumer.` (or another role), then all under `source.consumer.`;
/// later ones win. Settings under `source.cluster.` that do not concern the connection reach no client.
///
/// The producer of the data is none of these: it is the worker's, tuned by `producer.override.`.
#[must_use]
pub fn effective_client(raw: &Properties, side: Side, role: ClientRole) -> BTreeMap<String, ClientSetting> {
    let cluster_prefix = format!("{}.cluster.", side.name());
    let role_prefix = format!("{}.", role.name());
    let side_role_prefix = format!("{}.{}.", side.name(), role.name());
    let mut client = BTreeMap::new();
    let mut add = |prefix: &str, reaches: fn(&str) -> bool| {
        for (key, value) in raw {
            if let Some(setting) = key.strip_prefix(prefix)
                && reaches(setting)
            {
                client.insert(setting.to_owned(), ClientSetting { value: value.clone(), key: key.clone() });
            }
        }
    };
    add(&cluster_prefix, is_connection_setting);
    // `producer.override.x` is read by the worker, not by these clients.
    add(&role_prefix, |setting| !setting.starts_with("override."));
    add(&side_role_prefix, |_| true);
    if role == ClientRole::Consumer {
        let own = |setting: &str, value: &str| ClientSetting {
            value: value.to_owned(),
            key: format!("{side_role_prefix}{setting}"),
        };
        client.insert("enable.auto.commit".to_owned(), own("enable.auto.commit", "false"));
        client.entry("auto.offset.reset".to_owned()).or_insert_with(|| own("auto.offset.reset", "earliest"));
    }
    client
}

/// Whether a setting concerns the connection: `MirrorClientConfig.CLIENT_CONFIG_DEF`, all that is read under
/// `source.cluster.` and `target.cluster.`.
pub(super) fn is_connection_setting(setting: &str) -> bool {
    matches!(setting, "bootstrap.servers" | "security.protocol")
        || setting.starts_with("ssl.")
        || setting.starts_with("sasl.")
}

/// Whether a setting of this name exists, and which clients read it.
pub(super) fn roles_of(setting: &str) -> Option<&'static [ClientRole]> {
    CLIENT_KEYS.iter().find(|key| key.name == setting).map(|key| key.roles)
}

/// # Errors
/// The value is none of Kafka's, or one that is not built.
pub(super) fn auto_offset_reset(client: &BTreeMap<String, ClientSetting>) -> Result<AutoOffsetReset, ConfigError> {
    let Some(ClientSetting { value, key }) = client.get("auto.offset.reset") else {
        return Ok(AutoOffsetReset::Earliest);
    };
    match value.trim() {
        "earliest" => Ok(AutoOffsetReset::Earliest),
        "latest" => Ok(AutoOffsetReset::Latest),
        "none" => Ok(AutoOffsetReset::None),
        duration if duration.starts_with("by_duration:") => {
            Err(ConfigError::invalid(key, duration, "by_duration is not built yet: use earliest, latest or none"))
        }
        other => Err(ConfigError::invalid(key, other, "String must be one of: earliest, latest, none")),
    }
}

/// Committed records only, unless asked otherwise. (Kafka's consumer has it the other way round, and MirrorMaker copies
/// aborted records with it.)
///
/// # Errors
/// The value is none of Kafka's.
pub(super) fn isolation_level(client: &BTreeMap<String, ClientSetting>) -> Result<IsolationLevel, ConfigError> {
    let Some(ClientSetting { value, key }) = client.get("isolation.level") else {
        return Ok(IsolationLevel::ReadCommitted);
    };
    match value.trim().to_ascii_lowercase().as_str() {
        "read_committed" => Ok(IsolationLevel::ReadCommitted),
        "read_uncommitted" => Ok(IsolationLevel::ReadUncommitted),
        _ => Err(ConfigError::invalid(key, value.trim(), "String must be one of: read_committed, read_uncommitted")),
    }
}

/// How the consumer of the data fetches, by Kafka's keys and with its defaults. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchKeys {
    /// `client.rack`
    pub rack: Option<String>,
    /// `fetch.max.wait.ms`
    pub max_wait: Duration,
    /// `fetch.min.bytes`
    pub min_bytes: i32,
    /// `fetch.max.bytes`
    pub max_bytes: i32,
    /// `max.partition.fetch.bytes`
    pub max_partition_bytes: i32,
}

/// # Errors
/// Values that are no numbers of Kafka's `int` from 0 on.
pub(super) fn fetch_keys(client: &BTreeMap<String, ClientSetting>) -> Result<FetchKeys, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut number = |setting: &str, default: i32| {
        let Some(ClientSetting { value, key }) = client.get(setting) else { return default };
        value.trim().parse().ok().filter(|number| *number >= 0).unwrap_or_else(|| {
            errors.push(ConfigError::invalid(key, value.trim(), "a number of at least 0 (type INT)"));
            default
        })
    };
    let keys = FetchKeys {
        rack: client.get("client.rack").map(|rack| rack.value.trim().to_owned()).filter(|rack| !rack.is_empty()),
        max_wait: Duration::from_millis(u64::from(number("fetch.max.wait.ms", 500).unsigned_abs())),
        min_bytes: number("fetch.min.bytes", 1),
        max_bytes: number("fetch.max.bytes", 50 * 1024 * 1024),
        max_partition_bytes: number("max.partition.fetch.bytes", 1024 * 1024),
    };
    if errors.is_empty() { Ok(keys) } else { Err(errors) }
}

/// # Errors
/// `security.protocol` is not PLAINTEXT; names the key it was written under.
pub(super) fn check_security_protocol(key: &str, value: &str) -> Result<(), ConfigError> {
    match value.trim().to_ascii_uppercase().as_str() {
        "PLAINTEXT" => Ok(()),
        "SSL" | "SASL_PLAINTEXT" | "SASL_SSL" => {
            Err(ConfigError::invalid(key, value.trim(), "not built yet: PLAINTEXT only"))
        }
        _ => Err(ConfigError::invalid(
            key,
            value.trim(),
            "String must be one of (case insensitive): PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> Properties {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn value(client: &BTreeMap<String, ClientSetting>, setting: &str) -> Option<String> {
        client.get(setting).map(|setting| setting.value.clone())
    }

    #[test]
    fn later_layers_win() {
        // MirrorConnectorConfigTest.testSourceConsumerConfig, testSourceConsumerConfigWithSourcePrefix
        let raw = properties(&[
            ("source.cluster.bootstrap.servers", "s:1"),
            ("source.cluster.ssl.key.password", "a"),
            ("source.cluster.sasl.mechanism", "PLAIN"),
            ("source.cluster.max.poll.records", "1"),
            ("target.cluster.bootstrap.servers", "t:1"),
            ("consumer.max.poll.records", "2"),
            ("consumer.ssl.key.password", "b"),
            ("consumer.group.id", "g"),
            ("source.consumer.max.poll.records", "3"),
            ("producer.acks", "1"),
            ("producer.override.acks", "0"),
            ("target.producer.acks", "all"),
            ("target.admin.request.timeout.ms", "5"),
        ]);
        let consumer = effective_client(&raw, Side::Source, ClientRole::Consumer);
        assert_eq!(value(&consumer, "bootstrap.servers").as_deref(), Some("s:1"));
        assert_eq!(value(&consumer, "sasl.mechanism").as_deref(), Some("PLAIN"));
        assert_eq!(value(&consumer, "ssl.key.password").as_deref(), Some("b"));
        assert_eq!(value(&consumer, "max.poll.records").as_deref(), Some("3"));
        assert_eq!(consumer["max.poll.records"].key, "source.consumer.max.poll.records");
        assert_eq!(value(&consumer, "group.id").as_deref(), Some("g"));
        assert_eq!(value(&consumer, "enable.auto.commit").as_deref(), Some("false"));
        assert_eq!(value(&consumer, "auto.offset.reset").as_deref(), Some("earliest"));

        let admin = effective_client(&raw, Side::Source, ClientRole::Admin);
        assert_eq!(value(&admin, "max.poll.records"), None, "not under source.cluster.");
        assert_eq!(value(&admin, "ssl.key.password").as_deref(), Some("a"));
        assert_eq!(value(&admin, "request.timeout.ms"), None);

        let target = effective_client(&raw, Side::Target, ClientRole::Producer);
        assert_eq!(value(&target, "bootstrap.servers").as_deref(), Some("t:1"));
        assert_eq!(value(&target, "acks").as_deref(), Some("all"));
        assert_eq!(value(&target, "override.acks"), None);
    }

    #[test]
    fn every_client_has_its_layers() {
        // MirrorConnectorConfigTest.testSourceProducerConfig, testSourceProducerConfigWithSourcePrefix, testSourceAdminConfig,
        // testSourceAdminConfigWithSourcePrefix, testTargetAdminConfig, testTargetAdminConfigWithSourcePrefix
        for side in [Side::Source, Side::Target] {
            for role in [ClientRole::Consumer, ClientRole::Producer, ClientRole::Admin] {
                let (side_name, role_name) = (side.name(), role.name());
                let layers = [
                    format!("{side_name}.cluster.ssl.key.password"),
                    format!("{role_name}.ssl.key.password"),
                    format!("{side_name}.{role_name}.ssl.key.password"),
                ];
                for set in 1..=layers.len() {
                    let raw = layers[..set].iter().map(|key| (key.clone(), key.clone())).collect();
                    let client = effective_client(&raw, side, role);
                    assert_eq!(client["ssl.key.password"].value, layers[set - 1]);
                }
                let other = if side == Side::Source { "target" } else { "source" };
                let others = [format!("{other}.cluster.ssl.key.password"), format!("{other}.{role_name}.x")];
                let raw = others.iter().map(|key| (key.clone(), String::new())).collect();
                assert!(effective_client(&raw, side, role).keys().all(|key| key != "x" && key != "ssl.key.password"));
            }
        }
    }

    #[test]
    fn auto_commit_cannot_be_turned_on() {
        let raw = properties(&[("source.consumer.enable.auto.commit", "true")]);
        let consumer = effective_client(&raw, Side::Source, ClientRole::Consumer);
        assert_eq!(value(&consumer, "enable.auto.commit").as_deref(), Some("false"));
    }

    #[test]
    fn reset_policies() {
        let table = [
            ("consumer.auto.offset.reset", "earliest", Ok(AutoOffsetReset::Earliest)),
            ("consumer.auto.offset.reset", " latest ", Ok(AutoOffsetReset::Latest)),
            ("source.consumer.auto.offset.reset", "none", Ok(AutoOffsetReset::None)),
            ("target.consumer.auto.offset.reset", "latest", Ok(AutoOffsetReset::Earliest)),
            ("source.cluster.auto.offset.reset", "latest", Ok(AutoOffsetReset::Earliest)),
            (
                "consumer.auto.offset.reset",
                "by_duration:PT1H",
                Err(
                    "Invalid value by_duration:PT1H for configuration consumer.auto.offset.reset: by_duration is not built yet: use earliest, latest or none",
                ),
            ),
            (
                "source.consumer.auto.offset.reset",
                "first",
                Err(
                    "Invalid value first for configuration source.consumer.auto.offset.reset: String must be one of: earliest, latest, none",
                ),
            ),
        ];
        for (key, text, expected) in table {
            let consumer = effective_client(&properties(&[(key, text)]), Side::Source, ClientRole::Consumer);
            let read = auto_offset_reset(&consumer).map_err(|error| error.message);
            assert_eq!(read, expected.map_err(str::to_owned), "{key}={text}");
        }
    }

    #[test]
    fn fetching_follows_the_layers() {
        let keys = |pairs| fetch_keys(&effective_client(&properties(pairs), Side::Source, ClientRole::Consumer));
        let default = keys(&[]).unwrap();
        assert_eq!((default.max_wait, default.min_bytes, default.rack), (Duration::from_millis(500), 1, None));
        let set = keys(&[
            ("consumer.fetch.min.bytes", "5"),
            ("source.consumer.fetch.min.bytes", "7"),
            ("source.consumer.client.rack", "use1-az1"),
            ("consumer.max.partition.fetch.bytes", "33554432"),
        ])
        .unwrap();
        assert_eq!((set.min_bytes, set.max_partition_bytes), (7, 33_554_432));
        assert_eq!(set.rack.as_deref(), Some("use1-az1"));
        let errors = keys(&[("consumer.fetch.min.bytes", "-1"), ("consumer.fetch.max.wait.ms", "soon")]).unwrap_err();
        assert_eq!(errors.len(), 2, "{errors:?}");
    }

    #[test]
    fn isolation_follows_the_layers() {
        let level = |pairs: &[(&str, &str)]| {
            isolation_level(&effective_client(&properties(pairs), Side::Source, ClientRole::Consumer))
        };
        assert_eq!(level(&[]), Ok(IsolationLevel::ReadCommitted));
        assert_eq!(level(&[("consumer.isolation.level", "read_uncommitted")]), Ok(IsolationLevel::ReadUncommitted));
        assert_eq!(
            level(&[
                ("consumer.isolation.level", "read_uncommitted"),
                ("source.consumer.isolation.level", "read_committed")
            ]),
            Ok(IsolationLevel::ReadCommitted)
        );
        assert!(level(&[("consumer.isolation.level", "serializable")]).is_err());
    }

    #[test]
    fn protocols() {
        // MirrorConnectorConfigTest.testCaseInsensitiveSecurityProtocol, testInvalidSecurityProtocol
        assert_eq!(check_security_protocol("k", " plaintext"), Ok(()));
        for (value, reason) in [("sasl_ssl", "not built yet: PLAINTEXT only"), ("TLS", "String must be one of")] {
            let error = check_security_protocol("source.cluster.security.protocol", value).unwrap_err();
            assert_eq!(error.key, "source.cluster.security.protocol");
            assert!(error.message.contains(reason), "{error}");
        }
    }
}
