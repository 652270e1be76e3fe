//! What a committed offset is in the target.

/// A committed source offset, which is that of the next record to consume, in the target's offsets. Whoever reads on from there has skipped
/// nothing that was mirrored; [`Translation::BeforeMirror`] is the caller's to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Translation {
    /// That record was mirrored, and stands here.
    Exact(i64),
    /// That record was not mirrored (it is a marker, compacted, dropped); the next one that was stands here.
    NextMirrored(i64),
    /// Nothing from there on has been mirrored yet: the end of what was.
    MirroredEnd(i64),
    /// Nothing is known of that record: it stands before all that was mirrored, between two stretches because the position was set forward, or in
    /// a part of the map that is pruned or lost. The next record that is known to be mirrored may be taken if the source holds nothing from the
    /// committed offset up to it.
    BeforeMirror {
        /// Its offset in the source.
        first_source: i64,
        /// Its offset in the target.
        first_target: i64,
    },
    /// Nothing is known of that record, nor of any behind it.
    Unmapped,
}
