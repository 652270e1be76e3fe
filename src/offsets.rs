//! Where the records of the source stand in the target, and how far each copy is.
//!
//! While a partition is copied, each acknowledged batch tells that source offsets [s, s+n) stand at target offsets [t, t+n). Of such pieces a
//! [`MapWriter`] makes *runs*; a plain topic is one run for ever, a transactional one breaks at each marker. An [`Anchor`], stored about
//! every second, says how far the copy is, and after a crash the copy is found again from it. [`OffsetMaps`] keeps both in the target, in the
//! compacted topic `mm2-offset-map.<source alias>.internal`, and answers from there which target offset a committed source offset is.
//!
//! **Eras.** What is copied in one go, ascending, is an era. When the position is set back, a new era begins, and where eras overlap the newest
//! wins. A group that goes on in an era reads what newer eras copied behind it, and so skips nothing as long as the next era begins no later than
//! this one ended. Where a position set forward breaks that (copied to 100, set back to 50, copied to 70, set forward to 100), the era in
//! between is forgotten ([`MapWriter::copies_again_from`]).
//!
//! **Blocks.** Of an era's runs, each [`BLOCK_RUNS`] become a block, stored once. The newest runs travel inside the anchor's record: anchor and
//! map are always of one moment. Only blocks within the eras that the newest anchor names count, so what an owner that was superseded has still
//! appended is void, and so is what it says itself: of two anchors the one of the higher generation counts, wherever it stands.
//! Each block says from which source offset on it has all runs. A block that is lost therefore leaves a hole that is seen, never a gap that is
//! believed.

mod anchor;
mod error;
mod index;
mod map_writer;
mod store;
mod topic;
mod translation;

pub use anchor::{Anchor, Link};
pub use error::Error;
pub use map_writer::{BLOCK_RUNS, MapWriter, Update};
pub use store::{OffsetMaps, OpenMaps};
pub use translation::Translation;
