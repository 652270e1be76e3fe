//! The registry: every key that is known, in one table a subject.

mod client;
mod mirror;
mod mirror_checkpoint;
mod mirror_heartbeat;
mod mirror_source;
mod own;
mod security;
mod source;
mod transforms;
mod worker;

pub use client::{CLIENT_KEYS, ClientKey, ClientRole};
pub use mirror::{MIRROR_KEYS, REPLICATION_POLICIES};
pub use mirror_checkpoint::MIRROR_CHECKPOINT_KEYS;
pub use mirror_heartbeat::MIRROR_HEARTBEAT_KEYS;
pub use mirror_source::MIRROR_SOURCE_KEYS;
pub use own::{KMIRROR_CHECKPOINT_KEYS, KMIRROR_SOURCE_KEYS};
pub use security::SECURITY_KEYS;
pub use source::SOURCE_CONNECTOR_KEYS;
pub use transforms::{PREDICATE_KEYS, PREDICATES, TRANSFORMATION_KEYS, TRANSFORMATIONS, keys_of_class};
pub use worker::WORKER_KEYS;

pub(super) use mirror::{DEDICATED_KEYS, TASK_KEYS};

use super::{ConnectorClass, Key};

/// Caps what a worker fetches, and what a connector does: a key of either.
const MAX_BYTES_PER_SECOND: &str = "kmirror.max.bytes.per.second";

/// Keys of a connector whose changes hold at once for the tasks that run: they restart none.
pub(crate) const LIVE_KEYS: &[&str] = &[MAX_BYTES_PER_SECOND];

/// Every key of a connector: the framework's, those of all of MirrorMaker's connectors, its own, kmirror's.
pub fn connector_keys(class: ConnectorClass) -> impl Iterator<Item = &'static Key> {
    let (own, kmirror): (&[Key], &[Key]) = match class {
        ConnectorClass::MirrorSource => (MIRROR_SOURCE_KEYS, KMIRROR_SOURCE_KEYS),
        ConnectorClass::MirrorCheckpoint => (MIRROR_CHECKPOINT_KEYS, KMIRROR_CHECKPOINT_KEYS),
        ConnectorClass::MirrorHeartbeat => (MIRROR_HEARTBEAT_KEYS, &[]),
    };
    SOURCE_CONNECTOR_KEYS.iter().chain(MIRROR_KEYS).chain(SECURITY_KEYS).chain(own).chain(kmirror)
}

/// Every key of a MirrorSourceConnector.
pub fn mirror_source_keys() -> impl Iterator<Item = &'static Key> {
    connector_keys(ConnectorClass::MirrorSource)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_defaults_are_valid() {
        let mut tables: Vec<(&str, Vec<&Key>)> = vec![("worker", WORKER_KEYS.iter().collect())];
        tables.extend(ConnectorClass::ALL.map(|class| (class.name(), connector_keys(class).collect())));
        for (classes, common) in [(TRANSFORMATIONS, TRANSFORMATION_KEYS), (PREDICATES, PREDICATE_KEYS)] {
            tables.extend(classes.iter().map(|class| {
                let own = keys_of_class(class.rsplit('.').next().unwrap_or_default());
                (*class, common.iter().chain(own).collect())
            }));
        }
        for (table, keys) in tables {
            let mut names = BTreeSet::new();
            for key in keys {
                assert!(names.insert(key.name), "{table}: {} is there twice", key.name);
                assert!(key.doc.ends_with('.'), "{table}: {} lacks a sentence", key.name);
                if let Some(text) = key.default_text() {
                    key.parse(key.name, text).unwrap_or_else(|error| panic!("{table}: default of {error}"));
                }
            }
        }
    }
}
