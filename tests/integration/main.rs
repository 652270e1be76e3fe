//! Tests over real brokers: one binary, so that they share what is costly to start.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod both_ends;
mod fidelity;
mod flow;
mod gaps;
mod groups;
mod killed;
mod kmirror;
mod layering;
mod mirror;
mod offset_map;
mod old;
mod reader;
mod rights;
mod shared;
mod testkit;
mod transforms;
mod trouble;
mod wire;
mod worker;
