//! What a committed source offset is in the target, by all that is known.

use std::fmt;

use crate::{mirror::SyncTranslation, offsets::Translation};

/// Where a group may go on in the target. It skips nothing that was mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetOffset {
    /// The target's offset of the next record to consume.
    pub offset: i64,
    /// What it may consume again.
    pub exactness: Exactness,
}

/// How exact a [`TargetOffset`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exactness {
    /// By the offset map: nothing is consumed again.
    Exact,
    /// By the offset map, which ends before the committed offset: what is still to be copied from there up to it is consumed again.
    MirroredEnd,
    /// By an offset sync.
    Sync {
        /// The most records that are consumed again.
        again: u64,
    },
}

impl Exactness {
    /// For REST.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Exact | Self::Sync { again: 0 } => "EXACT",
            Self::MirroredEnd => "MIRRORED_END",
            Self::Sync { .. } => "INEXACT",
        }
    }
}

/// Why a group has no offset in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untranslated {
    /// The group has committed nothing, or a negative offset.
    NotCommitted,
    /// Nothing is known of the partition, from the committed offset on: its topic is not mirrored, or nothing of it yet.
    NotMirrored,
    /// The source may hold records from the committed offset on that were not mirrored, before the first that was.
    BeforeMirror {
        /// The first source offset from the committed one on that is known to be mirrored.
        first: i64,
        /// The most records that the group would skip.
        records: u64,
    },
    /// It was mirrored, by what wrote offset syncs; none that is kept is so old.
    BeforeSyncs {
        /// Source offset of the oldest sync that is kept.
        oldest: i64,
    },
    /// The offset syncs, or the offset map, are still being read, or can't be read just now.
    NotRead,
}

impl Untranslated {
    /// For REST.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotCommitted => "NOT_COMMITTED",
            Self::NotMirrored => "NOT_MIRRORED",
            Self::BeforeMirror { .. } => "BEFORE_MIRROR",
            Self::BeforeSyncs { .. } => "BEFORE_SYNCS",
            Self::NotRead => "NOT_READ",
        }
    }
}

impl fmt::Display for Untranslated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCommitted => f.write_str("the group has committed no offset of it at the source"),
            Self::NotMirrored => f.write_str("nothing of it has been mirrored from the committed offset on"),
            Self::BeforeMirror { first, records } => write!(
                f,
                "the first record that is mirrored from the committed offset on is at source offset {first}: up to {records} records \
                 before it would be skipped"
            ),
            Self::BeforeSyncs { oldest } => {
                write!(f, "the oldest offset sync that is kept is at source offset {oldest}, behind the committed one")
            }
            Self::NotRead => {
                f.write_str("offset syncs or the offset map are still being read, or can't be read just now")
            }
        }
    }
}

/// All that is known of a committed offset.
#[derive(Debug, Clone, Copy)]
pub struct Knowledge {
    /// The source's offset of the next record to consume; absent, as a negative one, for none.
    pub committed: Option<i64>,
    /// What the offset map says of it.
    pub map: Translation,
    /// The source's offset that is copied next, where the map tells.
    pub copied_to: Option<i64>,
    /// What offset syncs say of it.
    pub sync: SyncTranslation,
    /// What the offset map says of the record that the sync is about ([`SyncTranslation::At`]'s `upstream_offset`), where there is a sync.
    pub map_of_sync: Option<Translation>,
    /// The first offset that the source still has of the partition, where it is known.
    pub source_log_start: Option<i64>,
}

impl Knowledge {
    /// Where the group may go on. The offset map decides where it knows; a sync does where MirrorMaker copied, before the map or behind its end.
    ///
    /// # Errors
    /// Why nobody can tell.
    pub fn translate(&self) -> Result<TargetOffset, Untranslated> {
        let committed = self.committed.filter(|offset| *offset >= 0).ok_or(Untranslated::NotCommitted)?;
        let by_map = |offset, exactness| Ok(TargetOffset { offset, exactness });
        match self.map {
            Translation::Exact(offset) | Translation::NextMirrored(offset) => by_map(offset, Exactness::Exact),
            Translation::MirroredEnd(end) => match self.by_sync() {
                // Copied on by somebody else, or just now.
                Some(found) if found.offset > end => Ok(found),
                // What is copied next will stand there.
                _ if self.copied_to.is_some_and(|next| committed <= next) => by_map(end, Exactness::Exact),
                _ => by_map(end, Exactness::MirroredEnd),
            },
            Translation::BeforeMirror { first_source, first_target } => {
                let first_held = self.source_log_start.map_or(committed, |start| start.max(committed));
                if first_held >= first_source {
                    return by_map(first_target, Exactness::Exact);
                }
                let records = first_held.abs_diff(first_source);
                self.by_sync().ok_or(match self.sync {
                    SyncTranslation::BeforeSyncs { oldest } if oldest < first_source => {
                        Untranslated::BeforeSyncs { oldest }
                    }
                    SyncTranslation::NotRead => Untranslated::NotRead,
                    _ => Untranslated::BeforeMirror { first: first_source, records },
                })
            }
            Translation::Unmapped => self.by_sync().ok_or(match self.sync {
                SyncTranslation::BeforeSyncs { oldest } => Untranslated::BeforeSyncs { oldest },
                SyncTranslation::NotRead => Untranslated::NotRead,
                SyncTranslation::At { .. } | SyncTranslation::NoSync => Untranslated::NotMirrored,
            }),
        }
    }

    /// What the sync says, unless the map knows better. A sync about what the map covers was written beside the map: if the map does not know
    /// how it goes on from there, records may be missing, and a sync would lead behind them unawares.
    fn by_sync(&self) -> Option<TargetOffset> {
        let SyncTranslation::At { offset, again, .. } = self.sync else { return None };
        let is_in_map = matches!(self.map_of_sync, Some(Translation::Exact(_) | Translation::NextMirrored(_)));
        (!is_in_map).then_some(TargetOffset { offset, exactness: Exactness::Sync { again } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNMAPPED: Option<Translation> = Some(Translation::Unmapped);
    const BEFORE: Translation = Translation::BeforeMirror { first_source: 1000, first_target: 900 };

    fn at(offset: i64, again: u64) -> SyncTranslation {
        SyncTranslation::At { offset, again, upstream_offset: 400 }
    }

    fn translate(
        map: Translation,
        (sync, map_of_sync): (SyncTranslation, Option<Translation>),
        source_log_start: Option<i64>,
    ) -> Result<(i64, Exactness), Untranslated> {
        let known = Knowledge { committed: Some(500), map, copied_to: None, sync, map_of_sync, source_log_start };
        known.translate().map(|found| (found.offset, found.exactness))
    }

    #[test]
    fn the_map_decides_where_it_knows() {
        let sync = (at(391, 99), UNMAPPED);
        for map in [Translation::Exact(7), Translation::NextMirrored(7)] {
            assert_eq!(translate(map, sync, None), Ok((7, Exactness::Exact)));
        }
        assert_eq!(translate(Translation::MirroredEnd(391), sync, None), Ok((391, Exactness::MirroredEnd)));
    }

    #[test]
    fn who_has_consumed_all_that_is_copied_goes_on_at_its_end() {
        let none = SyncTranslation::NoSync;
        for (copied_to, exactness) in [
            (None, Exactness::MirroredEnd),
            (Some(499), Exactness::MirroredEnd),
            (Some(500), Exactness::Exact),
            (Some(510), Exactness::Exact),
        ] {
            let map = Translation::MirroredEnd(391);
            let known = Knowledge {
                committed: Some(500),
                map,
                copied_to,
                sync: none,
                map_of_sync: None,
                source_log_start: None,
            };
            assert_eq!(known.translate(), Ok(TargetOffset { offset: 391, exactness }));
        }
    }

    #[test]
    fn a_sync_decides_before_the_map_and_behind_its_end() {
        let inexact = Ok((391, Exactness::Sync { again: 99 }));
        assert_eq!(translate(Translation::Unmapped, (at(391, 99), None), None), inexact);
        assert_eq!(translate(BEFORE, (at(391, 99), Some(BEFORE)), None), inexact);
        assert_eq!(translate(Translation::MirroredEnd(390), (at(391, 99), UNMAPPED), None), inexact);
    }

    #[test]
    fn a_sync_does_not_lead_over_what_the_map_has_not() {
        // The position was set forward from behind the sync: up to 1000, nothing was copied.
        let sync = (at(391, 99), Some(Translation::Exact(390)));
        assert_eq!(translate(BEFORE, sync, None), Err(Untranslated::BeforeMirror { first: 1000, records: 500 }));
        assert_eq!(translate(Translation::Unmapped, sync, None), Err(Untranslated::NotMirrored));
    }

    #[test]
    fn the_first_mirrored_record_will_do_where_the_source_holds_none_before() {
        let none = (SyncTranslation::NoSync, None);
        assert_eq!(translate(BEFORE, none, Some(1000)), Ok((900, Exactness::Exact)));
        assert_eq!(
            translate(BEFORE, none, Some(990)),
            Err(Untranslated::BeforeMirror { first: 1000, records: 10 }),
            "the rest is gone from the source"
        );
        assert_eq!(translate(BEFORE, none, Some(0)), Err(Untranslated::BeforeMirror { first: 1000, records: 500 }));
    }

    #[test]
    fn it_is_told_why_nothing_is_known() {
        let none = |sync| (sync, None);
        let unmapped = |sync| translate(Translation::Unmapped, none(sync), None);
        assert_eq!(unmapped(SyncTranslation::NoSync), Err(Untranslated::NotMirrored));
        assert_eq!(unmapped(SyncTranslation::NotRead), Err(Untranslated::NotRead));
        let oldest = |oldest| SyncTranslation::BeforeSyncs { oldest };
        assert_eq!(unmapped(oldest(600)), Err(Untranslated::BeforeSyncs { oldest: 600 }));
        assert_eq!(translate(BEFORE, none(oldest(600)), None), Err(Untranslated::BeforeSyncs { oldest: 600 }));
        let before_mirror = Err(Untranslated::BeforeMirror { first: 1000, records: 500 });
        assert_eq!(translate(BEFORE, none(oldest(1000)), None), before_mirror, "a sync of what was copied since");
        assert_eq!(translate(BEFORE, none(SyncTranslation::NotRead), None), Err(Untranslated::NotRead));
        for committed in [None, Some(-1)] {
            let known = Knowledge {
                committed,
                map: Translation::Exact(7),
                copied_to: None,
                sync: SyncTranslation::NoSync,
                map_of_sync: None,
                source_log_start: None,
            };
            assert_eq!(known.translate(), Err(Untranslated::NotCommitted));
        }
    }

    #[test]
    fn codes_and_sentences() {
        assert_eq!(Exactness::Sync { again: 0 }.code(), "EXACT");
        assert_eq!(Exactness::Sync { again: 1 }.code(), "INEXACT");
        let before = Untranslated::BeforeMirror { first: 1000, records: 10 };
        assert_eq!(before.code(), "BEFORE_MIRROR");
        assert_eq!(
            before.to_string(),
            "the first record that is mirrored from the committed offset on is at source offset 1000: up to 10 records before it would be \
             skipped"
        );
    }
}
