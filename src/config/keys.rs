//! The registry: every key that is known, in one table a subject.

mod client;
mod mirror;
mod source;
mod transforms;
mod worker;

pub use client::{CLIENT_KEYS, ClientKey, ClientRole};
pub use mirror::{MIRROR_SOURCE_KEYS, REPLICATION_POLICIES};
pub use source::SOURCE_CONNECTOR_KEYS;
pub use transforms::{PREDICATE_KEYS, PREDICATES, TRANSFORMATION_KEYS, TRANSFORMATIONS, keys_of_class};
pub use worker::WORKER_KEYS;

pub(super) use mirror::{OTHER_CONNECTORS_KEYS, TASK_KEYS};

use super::Key;

/// Caps what a worker fetches, and what a connector does: a key of either.
const MAX_BYTES_PER_SECOND: &str = "kmirror.max.bytes.per.second";

/// Keys of a connector whose changes hold at once for the tasks that run: they restart none.
pub(crate) const LIVE_KEYS: &[&str] = &[MAX_BYTES_PER_SECOND];

/// Every key of a MirrorSourceConnector: the framework's, then its own.
pub fn mirror_source_keys() -> impl Iterator<Item = &'static Key> {
    SOURCE_CONNECTOR_KEYS.iter().chain(MIRROR_SOURCE_KEYS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_defaults_are_valid() {
        let mut tables: Vec<(&str, Vec<&Key>)> =
            vec![("worker", WORKER_KEYS.iter().collect()), ("source", mirror_source_keys().collect())];
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
