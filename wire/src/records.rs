//! Batches that can't pass as they are: their records read, and written into new ones.
//!
//! A record of format 2 (KIP-98) is, all numbers but the attributes being varints ([`varint`]): the length of what follows, attributes, its
//! time and its offset less the batch's, then its *body*: key, value and headers. The body is the same in every batch, so it moves as
//! bytes and comes out as it went in, whatever is in it: doubled headers, empty ones, text that is none. Only who has to look into it
//! reads it ([`RecordBody`]).
//!
//! Both ways are streams. What a batch claims to hold costs no memory until it is there, and then one record at a time.

mod body;
mod builder;
mod codec;
mod legacy;
mod reader;
#[cfg(test)]
mod tests;
mod varint;

pub use body::{Header, MalformedRecord, RecordBody};
pub use builder::{BatchBuilder, Built};
pub use codec::Levels;
#[cfg(any(test, fuzzing))]
pub(crate) use codec::{Compressing, decompressing};
pub use legacy::{legacy_codec, legacy_records};
pub use reader::{RawRecord, RecordReader};
