//! From properties and JSON to checked types.
//!
//! One registry ([`WORKER_KEYS`], [`connector_keys`]) says what each key is; values are
//! read by the rules of Kafka's `ConfigDef` and refused in its words, all errors at once. Unknown keys are tolerated, as
//! Connect tolerates them; a hint tells of those that look misspelt or that MirrorMaker ignores too.
//!
//! No input or output but [`load_properties`].

mod acls;
mod address;
mod calendar;
mod checkpoint_connector;
mod client;
mod compression;
mod error;
mod gaps;
mod heartbeat_connector;
mod hints;
mod java_regex;
mod key;
mod keys;
mod mirror_config;
mod plugin;
mod poison;
mod principal_rules;
mod properties;
#[cfg(test)]
mod reference;
mod regex_list;
mod replacement;
mod source_connector;
mod transforms;
mod validate;
mod values;
mod worker;

pub use acls::AclConfig;
pub use address::Listener;
pub use calendar::rfc3339;
pub use checkpoint_connector::CheckpointConnectorConfig;
pub use client::{AutoOffsetReset, ClientSetting, FetchKeys, IsolationLevel, Side, effective_client};
pub use compression::{Compression, Compressor};
pub use error::{ConfigError, ConfigErrors};
pub use gaps::{GapPolicies, GapPolicy};
pub use heartbeat_connector::HeartbeatConnectorConfig;
pub use hints::Hint;
pub use key::{Default, Importance, Key, Kind, Valid, Value, Width};
pub(crate) use keys::LIVE_KEYS;
pub use keys::{
    CLIENT_KEYS, ClientKey, ClientRole, KMIRROR_CHECKPOINT_KEYS, KMIRROR_SOURCE_KEYS, MIRROR_CHECKPOINT_KEYS,
    MIRROR_HEARTBEAT_KEYS, MIRROR_KEYS, MIRROR_SOURCE_KEYS, PREDICATE_KEYS, PREDICATES, REPLICATION_POLICIES,
    SECURITY_KEYS, SOURCE_CONNECTOR_KEYS, TRANSFORMATION_KEYS, TRANSFORMATIONS, WORKER_KEYS, connector_keys,
    keys_of_class, mirror_source_keys,
};
pub use mirror_config::{MirrorConfig, PolicySettings};
pub use plugin::{ConnectorClass, Plugin, connector_class, plugins};
pub use poison::PoisonPolicy;
pub use principal_rules::PrincipalRules;
pub use properties::{Properties, load_properties, read_properties};
pub use regex_list::RegexList;
pub use source_connector::{AlterConfigs, OffsetSyncs, SourceConnectorConfig};
pub use transforms::{
    Condition, Predicate, RegexRouter, TimestampRouter, TransformStage, Transformation, transform_stages,
};
pub use validate::{ConfigInfo, ConfigInfos, Definition, validate};
pub use worker::{OverridePolicy, StorageTopic, WorkerConfig};
