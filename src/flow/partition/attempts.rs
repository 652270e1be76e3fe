//! How attempts go, and whether another one can help.

use std::time::{Duration, Instant};

use wire::{Backoff, Recovery, ResponseError, recovery_of};

/// How often a batch that does not match its CRC is asked for again, at either end, before the partition stops.
pub(super) const CORRUPT_TRIES: u32 = 4;
/// How long a topic may be unknown to the brokers that knew it before.
pub(super) const MISSING_GRACE: Duration = Duration::from_secs(10);
/// How long, when they never knew it: just made among a thousand others, its news take their time.
pub(super) const NEW_GRACE: Duration = Duration::from_secs(120);

/// What a failure asks the task to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing more: the partition waits out its backoff.
    Wait,
    /// Ask for metadata first.
    Refresh,
    /// Ask the target for its largest batch.
    AskLimit,
    /// Have something written anew.
    Recode,
    /// The partition has stopped.
    Stop,
}

/// How attempts of one kind (fetching, producing) go.
#[derive(Debug)]
pub(super) struct Attempts {
    not_before: Option<Instant>,
    backoff: Backoff,
    pub(super) missing_since: Option<Instant>,
    /// The topic was known once.
    pub(super) seen: bool,
    /// Tries in a row that failed because of a checksum.
    pub(super) corrupt: u32,
}

/// Whoever answers so knows no such topic.
pub(super) fn is_missing(error: Option<ResponseError>) -> bool {
    matches!(error, Some(ResponseError::UnknownTopicOrPartition | ResponseError::UnknownTopicId))
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self { not_before: None, backoff: Backoff::for_requests(), missing_since: None, seen: false, corrupt: 0 }
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.not_before = Some(now + self.backoff.next_wait());
    }

    pub(super) fn succeeded(&mut self) {
        self.not_before = None;
        self.missing_since = None;
        self.backoff.reset();
    }

    /// The end of a backoff that still runs.
    pub(super) fn waits_until(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|at| *at > now)
    }

    /// Whether trying again can help against an error code.
    pub(super) fn judge(&mut self, code: i16, now: Instant) -> Verdict {
        let error = ResponseError::try_from_code(code);
        let missing = is_missing(error);
        let grace = if self.seen { MISSING_GRACE } else { NEW_GRACE };
        let gone = missing && now.duration_since(*self.missing_since.get_or_insert(now)) >= grace;
        let corrupt = error == Some(ResponseError::CorruptMessage);
        self.corrupt += u32::from(corrupt);
        if gone || (corrupt && self.corrupt >= CORRUPT_TRIES) {
            return Verdict::Stop;
        }
        match recovery_of(code) {
            Recovery::Retry => Verdict::Wait,
            Recovery::Refresh => Verdict::Refresh,
            Recovery::Fatal => Verdict::Stop,
        }
    }
}
