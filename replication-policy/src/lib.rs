//! How MirrorMaker's remote, internal and original topic names are made and read.
//!
//! Names are all that ties a mirrored topic to the one it came from: consumers, the Java tools of Kafka
//! (`RemoteClusterUtils`, `MirrorClient`) and other mirrors read them. A [`ReplicationPolicy`] is therefore a promise
//! to third parties, and the three here follow Kafka's classes of the same name to the letter.
//!
//! No input or output, no clock, no dependencies.
//!
//! # A policy of one's own
//!
//! Three methods make a policy; the rest follows from them.
//!
//! ```
//! use replication_policy::{ReplicationPolicy, is_cycle};
//!
//! /// `orders` of cluster `us` is called `orders@us` elsewhere.
//! #[derive(Debug)]
//! struct SuffixPolicy;
//!
//! impl ReplicationPolicy for SuffixPolicy {
//!     fn format_remote_topic(&self, source_cluster_alias: &str, topic: &str) -> String {
//!         format!("{topic}@{source_cluster_alias}")
//!     }
//!     fn topic_source<'a>(&'a self, topic: &'a str) -> Option<&'a str> {
//!         topic.rsplit_once('@').map(|(_, source)| source)
//!     }
//!     fn upstream_topic<'a>(&self, topic: &'a str) -> Option<&'a str> {
//!         topic.rsplit_once('@').map(|(upstream, _)| upstream)
//!     }
//! }
//!
//! let policy = SuffixPolicy;
//! assert_eq!(policy.format_remote_topic("us", "orders"), "orders@us");
//! assert_eq!(policy.original_topic("orders@us@eu"), "orders");
//! assert!(policy.is_heartbeats_topic("heartbeats@us"));
//! // What came from `eu` is not carried back to it.
//! assert!(is_cycle(&policy, "orders@eu@us", "eu"));
//! ```

mod by_name;
mod cycle;
mod default_policy;
mod identity;
mod policy;
mod sample;
mod separators;

pub use by_name::{CLASS_NAMES, PolicyError, PolicySettings, from_settings};
pub use cycle::is_cycle;
pub use default_policy::DefaultReplicationPolicy;
pub use identity::IdentityReplicationPolicy;
pub use policy::ReplicationPolicy;
pub use sample::CustomMM2ReplicationPolicy;
pub use separators::{DEFAULT_SEPARATOR, Separators};
