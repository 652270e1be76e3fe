//! Tests over real brokers: one binary, so that they share what is costly to start.

mod flow;
mod layering;
mod mirror;
mod shared;
mod testkit;
mod trouble;
mod wire;
