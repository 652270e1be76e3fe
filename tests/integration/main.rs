//! Tests over real brokers: one binary, so that they share what is costly to start.

mod layering;
mod shared;
mod testkit;
mod wire;
