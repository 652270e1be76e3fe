//! kmirror copies Apache Kafka topics from one cluster to another, continuously, and takes MirrorMaker 2's place.
//!
//! The rooms, from the top: [`rest`] answers Connect's API, [`worker`] runs connectors, [`mirror`] decides what is carried, [`flow`] moves it,
//! [`transforms`] changes records on their way, [`offsets`] remembers where they stand, and [`records`] knows internal record forms. [`reader`] reads independently of all of them, for
//! comparing. [`config`] is used from all rooms. ARCHITECTURE.md tells the rest.

pub mod config;
pub mod flow;
mod foreign;
pub mod mirror;
pub mod offsets;
pub mod reader;
pub mod records;
pub mod rest;
pub mod transforms;
pub mod worker;
