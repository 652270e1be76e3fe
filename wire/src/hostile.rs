//! Bytes that nobody honest wrote: what must hold whatever they are. One function for each place that takes bytes from outside; it panics
//! where something does not hold. The fuzzer (`wire/fuzz`) and the tests beside it (`tests.rs`) run the same functions.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what does not hold is to end the run, as in a test"
)]

mod batches;
mod codecs;
mod input;
mod rebuild;
mod records;
mod responses;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod tests;

pub use batches::batches;
pub use codecs::codecs;
pub use rebuild::rebuild;
pub use records::records;
pub use responses::responses;

use crate::batch::Codec;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
/// Longest record believed in, bytes: what may be held at a time depends on it.
const MOST_RECORD: usize = 1 << 20;
