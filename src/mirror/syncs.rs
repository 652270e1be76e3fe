//! Offset syncs: MirrorMaker's sparse notes of which target offset a source record has.
//!
//! [`OffsetSyncWriter`] decides which to write while records are copied, so that MirrorMaker's checkpoint connector and Kafka's Java tools can
//! work on top of kmirror. [`OffsetSyncStore`] keeps those that were read and translates by them, where the offset map knows nothing: what
//! MirrorMaker copied before kmirror took over. Both are pure. [`Emitting`] is the shell that sends them.

mod emitting;
mod inbox;
mod noted;
mod partition;
mod slots;
mod store;
mod writer;

pub use emitting::SyncsFlush;
pub(super) use emitting::{Emitting, SyncsTopic};
pub(super) use noted::NotedSyncs;
pub use store::{OffsetSyncStore, SyncTranslation};
pub use writer::{OffsetSync, OffsetSyncWriter};
