//! Consumer groups: which are mirrored, which task has which, and what is written into the target's.
//!
//! Pure: asking the clusters and writing to them are the caller's.

mod selection;
mod sync;

pub use selection::{GroupSelection, deal_groups};
pub use sync::{GroupSync, NotWritten, PartitionSync, TargetGroup, WriteReason};
