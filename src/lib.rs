//! kmirror copies Apache Kafka topics from one cluster to another, continuously, and takes MirrorMaker 2's place.

pub mod config;
pub mod flow;
pub mod mirror;
pub mod records;
pub mod worker;
