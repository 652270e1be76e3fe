//! Real Apache Kafka for tests and the demo: clusters, Connect with MirrorMaker 2, a proxy that does damage, and
//! clients that share no code with what is tested. Nothing it starts outlives the process that started it.
//!
//! Needs Java 17 with its compiler, Maven (for the first run of a version) and `setpriv`; Linux only.

mod classes;
mod clients;
mod cluster;
mod connect;
mod environment;
pub mod http;
mod jars;
mod java;
mod pair;
pub mod ports;
pub mod process;
pub mod proxy;
mod scratch;
pub mod supervisor;
mod tools;
mod wait;

/// The errors of this crate, for tests whose package does not depend on it.
pub use anyhow;
pub use classes::{archive as archive_classes, exercise};
pub use clients::{
    Bulk, Codec, EndOffsets, Isolation, Load, Made, Member, OpenTransaction, Placement, Produced, Producing, Record,
    RecordView, Steady, TimestampKind, Transactions, Watermarks, arrivals, bulk_produce, bulk_produce_over,
    commit_group_offset, committed_group_offset, create_partitions, create_topic, create_topics, delete_records,
    delete_topic, delete_topics, end_offsets, placements, produce, produce_with, read_all, read_all_with, read_digests,
    set_topic_configs, steady_produce, topic_configs, transactions, wait_for_topic, watermarks,
};
pub use cluster::{Builder, Cluster};
pub use connect::{Connect, MirrorMaker};
pub use environment::{cache_dir, kafka_version, require, unique};
pub use jars::fetch as fetch_jars;
pub use java::{Java, Jvm, ToolOutput};
pub use pair::{Pair, Shared, pair};
pub use scratch::Scratch;
pub use tools::Tools;
pub use wait::{wait_until, wait_until_eq};
