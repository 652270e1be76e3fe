//! Finding a copy again: what the target has of a partition, seen from its anchor.

mod comparison;
mod lockstep;

use std::time::Instant;

use tokio::time::sleep_until;
use wire::{Budget, Cluster, ResponseError, TopicPartition};

pub(crate) use self::{
    comparison::Compared,
    lockstep::{Piece, Resumed},
};
use self::{
    comparison::Comparison,
    lockstep::{Lockstep, Lost, Manner, Want},
};
use super::tail::{Blind, CHUNK, TargetLog};
use crate::{
    flow::{Limits, Pair, RateCap},
    offsets::Anchor,
    transforms::RecordTransforms,
};

/// How a copy begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beginning<'a> {
    /// Where this anchor, and what was written since, say.
    Resumed(&'a Anchor),
    /// Where its position, or `auto.offset.reset`, says.
    Anew,
    /// What its position relies on is not there.
    Lost(String),
}

/// How a copy begins: `anchored` is the generation that its stored position names. A position without one was set from outside, and one that
/// is absent was deleted or never there: both are heeded, whatever an anchor says.
pub(crate) fn beginning(anchor: Option<&Anchor>, anchored: Option<u64>) -> Beginning<'_> {
    let Some(generation) = anchored else { return Beginning::Anew };
    match anchor {
        Some(anchor) if anchor.generation >= generation => Beginning::Resumed(anchor),
        Some(anchor) => Beginning::Lost(format!(
            "its position belongs to an anchor of generation {generation}, and the last one stored is of generation {}",
            anchor.generation
        )),
        None => {
            Beginning::Lost(format!("its position belongs to an anchor of generation {generation}, and none is stored"))
        }
    }
}

/// Why a copy is not taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// The target's log can't be looked at.
    #[error(transparent)]
    Blind(#[from] Blind),
    /// The source's log can't be looked at.
    #[error(transparent)]
    Source(#[from] wire::Error),
    /// They don't fit.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// What is copied where, and how, as far as finding it again depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copied<'a> {
    pub(crate) from: &'a TopicPartition,
    pub(crate) to: &'a TopicPartition,
    pub(crate) read_committed: bool,
    pub(crate) transforms: Option<&'a RecordTransforms>,
    /// The source compacts the topic.
    pub(crate) compacted: bool,
}

/// Where a copy stands of which an anchor tells how far it was.
pub(crate) async fn take_over(
    source: &Cluster,
    target: &Cluster,
    copied: Copied<'_>,
    anchor: &Anchor,
    budget: &Budget,
) -> Result<Resumed, NotTaken> {
    let manner = Manner { transforms: copied.transforms, compacted: copied.compacted };
    let mut lockstep = Lockstep::new(anchor, manner);
    let mut log = TargetLog::open(target, copied.to, anchor.target_offset, budget).await?;
    loop {
        match lockstep.step()? {
            Want::Nothing => return Ok(lockstep.done()),
            Want::Source(offset) => {
                let fetched = source.fetch_from(copied.from, offset, CHUNK, copied.read_committed, budget).await?;
                lockstep.source_fetched(fetched)?;
            }
            Want::Target(offset) => {
                log.at = log.at.max(offset);
                match log.next().await? {
                    Some(records) => lockstep.target_fetched(records)?,
                    None => lockstep.target_ends(log.end),
                }
            }
        }
    }
}

/// Asked for at a time while a copy of somebody else is compared, bytes: nobody waits for it.
const COMPARED_AT_ONCE: i32 = 256 * 1024;

/// Where the records of a copy stand that somebody else has made, from the first of these pairs on and up to a source offset.
///
/// # Errors
/// A leader that does not answer. What can't be read is left out.
pub(crate) async fn compare(
    source: &Cluster,
    target: &Cluster,
    copied: Copied<'_>,
    (pairs, until): (&[Pair], i64),
    (limits, rate): (&Limits, &RateCap),
) -> wire::Result<Compared> {
    let caps = [&limits.rate, rate];
    let mut comparison = Comparison::new(pairs, until);
    loop {
        let Ok(want) = comparison.step() else {
            comparison.is_not_there();
            continue;
        };
        let (cluster, partition, offset, read_committed) = match want {
            Want::Nothing => return Ok(comparison.done()),
            Want::Source(offset) => (source, copied.from, offset, copied.read_committed),
            // What was written in a transaction that was aborted is no copy.
            Want::Target(offset) => (target, copied.to, offset, true),
        };
        while let Some(later) = caps.iter().find_map(|cap| cap.wait(Instant::now())) {
            sleep_until(later.into()).await;
        }
        let fetched = cluster.fetch_from(partition, offset, COMPARED_AT_ONCE, read_committed, &limits.budget).await;
        let came = fetched.as_ref().map_or(0, |fetched| fetched.records.len());
        caps.iter().for_each(|cap| cap.spend(came, Instant::now()));
        let taken = match fetched {
            Ok(fetched) if matches!(want, Want::Source(_)) => comparison.source_fetched(fetched),
            Ok(fetched) => comparison.target_fetched(fetched),
            Err(error) if error.response() == Some(ResponseError::OffsetOutOfRange) => {
                comparison.is_not_there();
                continue;
            }
            Err(error) => return Err(error),
        };
        if taken.is_err() {
            comparison.is_not_there();
        }
    }
}
