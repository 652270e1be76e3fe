//! From `replication.policy.class` to a policy.

use std::fmt;

use crate::{
    CustomMM2ReplicationPolicy, DEFAULT_SEPARATOR, DefaultReplicationPolicy, IdentityReplicationPolicy,
    ReplicationPolicy, Separators,
};

/// The classes `replication.policy.class` may name. The part after the last dot does as well.
pub const CLASS_NAMES: [&str; 3] = [
    "org.apache.kafka.connect.mirror.DefaultReplicationPolicy",
    "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
    "com.amazonaws.kafka.samples.CustomMM2ReplicationPolicy",
];

/// What a policy is made from: the raw values of the keys, untrimmed, as Kafka's policies get them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicySettings<'a> {
    /// `replication.policy.class`, full or simple name.
    pub class: &'a str,
    /// `replication.policy.separator`; absent means a dot.
    pub separator: Option<&'a str>,
    /// `replication.policy.internal.topic.separator.enabled`; Kafka's default is true.
    pub internal_topic_separator_enabled: bool,
    /// `source.cluster.alias`.
    pub source_cluster_alias: Option<&'a str>,
}

/// Settings no policy can be made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyError {
    /// No policy has this class name.
    UnknownClass(String),
    /// `replication.policy.separator` is empty: names joined with nothing cannot be taken apart.
    EmptySeparator,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownClass(class) => {
                write!(f, "no replication policy is called {class}; there are {}", CLASS_NAMES.join(", "))
            }
            Self::EmptySeparator => f.write_str("replication.policy.separator must not be empty"),
        }
    }
}

impl std::error::Error for PolicyError {}

/// Makes the policy the settings ask for.
///
/// # Errors
/// An unknown class (the error lists those there are) or an empty separator.
pub fn from_settings(settings: &PolicySettings<'_>) -> Result<Box<dyn ReplicationPolicy>, PolicyError> {
    let separators =
        Separators::new(settings.separator.unwrap_or(DEFAULT_SEPARATOR), settings.internal_topic_separator_enabled)
            .ok_or(PolicyError::EmptySeparator)?;
    let alias = || settings.source_cluster_alias.map(str::to_owned);
    let class = settings.class.trim();
    let full_name = CLASS_NAMES
        .into_iter()
        .find(|full| *full == class || full.rsplit_once('.').is_some_and(|(_, simple)| simple == class));
    match full_name.and_then(|full| full.rsplit_once('.')) {
        Some((_, "DefaultReplicationPolicy")) => Ok(Box::new(DefaultReplicationPolicy::new(separators))),
        Some((_, "IdentityReplicationPolicy")) => Ok(Box::new(IdentityReplicationPolicy::new(alias(), separators))),
        Some((_, "CustomMM2ReplicationPolicy")) => Ok(Box::new(CustomMM2ReplicationPolicy::new(alias(), separators))),
        _ => Err(PolicyError::UnknownClass(class.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings<'a>(class: &'a str, separator: Option<&'a str>) -> PolicySettings<'a> {
        PolicySettings {
            class,
            separator,
            internal_topic_separator_enabled: true,
            source_cluster_alias: Some("source"),
        }
    }

    #[test]
    fn every_class_is_found_by_both_names() {
        for full in CLASS_NAMES {
            let simple = full.rsplit_once('.').unwrap().1;
            for name in [full, simple, &format!(" {simple} ")] {
                let policy = from_settings(&settings(name, None)).unwrap();
                assert!(format!("{policy:?}").starts_with(simple), "{name} made {policy:?}");
            }
        }
    }

    #[test]
    fn settings_reach_the_policy() {
        let policy = from_settings(&settings("DefaultReplicationPolicy", Some("_"))).unwrap();
        assert_eq!(policy.format_remote_topic("a", "t"), "a_t");
        assert_eq!(policy.checkpoints_topic("a"), "a_checkpoints_internal");
        let dots = PolicySettings {
            internal_topic_separator_enabled: false,
            ..settings("DefaultReplicationPolicy", Some("_"))
        };
        assert_eq!(from_settings(&dots).unwrap().checkpoints_topic("a"), "a.checkpoints.internal");
        let identity = from_settings(&settings("IdentityReplicationPolicy", None)).unwrap();
        assert_eq!(identity.topic_source("t"), Some("source"));
    }

    #[test]
    fn errors_say_what_is_allowed() {
        let error = from_settings(&settings("com.example.Mine", None)).unwrap_err().to_string();
        assert!(error.contains("com.example.Mine"));
        assert!(CLASS_NAMES.iter().all(|name| error.contains(name)), "{error}");
        assert_eq!(
            from_settings(&settings("DefaultReplicationPolicy", Some(""))).unwrap_err(),
            PolicyError::EmptySeparator
        );
    }
}
