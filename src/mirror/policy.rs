//! The replication policy of a connector's settings.

use replication_policy::ReplicationPolicy;

use super::Error;
use crate::config::PolicySettings;

/// # Errors
/// No replication policy can be made of the settings.
pub(super) fn replication_policy(settings: &PolicySettings) -> Result<Box<dyn ReplicationPolicy>, Error> {
    replication_policy::from_settings(&replication_policy::PolicySettings {
        class: settings.class,
        separator: settings.separator.as_deref(),
        internal_topic_separator_enabled: settings.internal_topic_separator_enabled,
        source_cluster_alias: Some(&settings.source_cluster_alias),
    })
    .map_err(|error| Error::Policy(error.to_string()))
}
