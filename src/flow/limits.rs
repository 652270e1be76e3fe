//! What flows may use: memory, shared by all of a worker, and bytes per second.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use wire::Budget;

/// Bytes in flight of a worker, where nothing else is configured: at this size a worker stays below 96 MB.
pub const DEFAULT_BUDGET_BYTES: usize = 32 * 1024 * 1024;
/// How much of a partition waits at least, bytes.
const LEAST_SHARE: usize = 64 * 1024;
/// And at most: what a near broker brings when it is needed had better not leave the processor's cache before.
const NEAR_SHARE: usize = 256 * 1024;
/// What a far one brings has to last for as long as the next takes.
const FAR_SHARE: usize = 1024 * 1024;
/// A pause may give rise to a burst of what this long would have brought.
const BURST: Duration = Duration::from_millis(100);
/// Who has to wait asks again after this long: the cap may have been changed meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// What all flows of a worker share. Clones are the same.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes that are fetched and not yet acknowledged.
    pub budget: Budget,
    /// Bytes per second fetched by all flows together.
    pub rate: RateCap,
    /// Partitions that hold bytes.
    holding: Arc<AtomicUsize>,
}

impl Limits {
    /// A budget of so many bytes and no cap on the rate, which [`RateCap::set`] gives.
    #[must_use]
    pub fn new(budget_bytes: usize) -> Self {
        Self { budget: Budget::new(budget_bytes), rate: RateCap::default(), holding: Arc::default() }
    }

    /// Bytes of one partition that may wait, so that half the budget is enough for all that have any.
    pub(crate) fn share(&self, far: bool) -> usize {
        let most = if far { FAR_SHARE } else { NEAR_SHARE };
        let holding = self.holding.load(Ordering::Relaxed).max(1);
        (self.budget.limit() / 4 / holding).clamp(LEAST_SHARE, most)
    }

    pub(crate) fn partition_holds(&self, holds: bool) {
        if holds {
            self.holding.fetch_add(1, Ordering::Relaxed);
        } else {
            self.holding.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(DEFAULT_BUDGET_BYTES)
    }
}

/// A cap in bytes per second, as stored by the brokers (compressed), that can be changed while it is used. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct RateCap(Arc<Cap>);

#[derive(Debug, Default)]
struct Cap {
    /// 0: no cap.
    bytes_per_second: AtomicU64,
    bucket: Mutex<Bucket>,
}

impl RateCap {
    /// A cap; none means no cap.
    #[must_use]
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        let cap = Self::default();
        cap.set(bytes_per_second);
        cap
    }

    /// Changes the cap from now on (a flow that waits for it notices within 200 ms); none or 0 takes it away.
    pub fn set(&self, bytes_per_second: Option<u64>) {
        let mut bucket = self.bucket();
        let new = bytes_per_second.unwrap_or(0);
        let old = self.0.bytes_per_second.swap(new, Ordering::Relaxed);
        bucket.change(old, new);
    }

    /// The cap in force.
    #[must_use]
    pub fn get(&self) -> Option<u64> {
        Some(self.0.bytes_per_second.load(Ordering::Relaxed)).filter(|rate| *rate > 0)
    }

    /// How many bytes may be fetched now, or when to ask again; none means as many as you like.
    pub(crate) fn room(&self, now: Instant) -> Room {
        match self.get() {
            None => Room::Any,
            Some(rate) => self.bucket().room(rate, now),
        }
    }

    /// Until when nothing may be fetched; none means that something may.
    pub(crate) fn wait(&self, now: Instant) -> Option<Instant> {
        match self.room(now) {
            Room::Later(at) => Some(at),
            Room::Any | Room::Bytes(_) => None,
        }
    }

    /// So many bytes have come.
    pub(crate) fn spend(&self, bytes: usize, now: Instant) {
        if let Some(rate) = self.get() {
            self.bucket().spend(rate, bytes, now);
        }
    }

    fn bucket(&self) -> std::sync::MutexGuard<'_, Bucket> {
        self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a [`RateCap`] allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Any,
    Bytes(usize),
    Later(Instant),
}

/// Bytes that may still come. An answer larger than what was left makes it negative, and the next one wait for longer.
#[derive(Debug, Default)]
struct Bucket {
    bytes: f64,
    at: Option<Instant>,
}

impl Bucket {
    /// What has come too early costs as much time as before: counted in bytes, a few seconds of a high rate would be hours of a low one.
    fn change(&mut self, old: u64, new: u64) {
        if old == 0 || new == 0 {
            *self = Self::default();
        } else {
            self.bytes *= new as f64 / old as f64;
        }
    }

    fn fill(&mut self, rate: u64, now: Instant) {
        let passed = self.at.map_or(BURST, |at| now.saturating_duration_since(at));
        let most = rate as f64 * BURST.as_secs_f64();
        self.bytes = (self.bytes + rate as f64 * passed.as_secs_f64()).min(most);
        self.at = Some(now);
    }

    fn room(&mut self, rate: u64, now: Instant) -> Room {
        self.fill(rate, now);
        if self.bytes >= 1.0 {
            return Room::Bytes(self.bytes as usize);
        }
        let wait = Duration::try_from_secs_f64((1.0 - self.bytes) / rate as f64).unwrap_or(ASK_AGAIN);
        Room::Later(now + wait.clamp(Duration::from_millis(1), ASK_AGAIN))
    }

    fn spend(&mut self, rate: u64, bytes: usize, now: Instant) {
        self.fill(rate, now);
        self.bytes -= bytes as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fetches of `answer` bytes for ten seconds, by two flows in turn.
    fn bytes_in_ten_seconds(cap: &RateCap, answer: usize) -> usize {
        let begin = Instant::now();
        let mut now = begin;
        let mut sum = 0;
        while now < begin + Duration::from_secs(10) {
            match cap.room(now) {
                Room::Later(at) => now = at,
                _ => {
                    cap.spend(answer, now);
                    sum += answer;
                    now += Duration::from_micros(50);
                }
            }
        }
        sum
    }

    #[test]
    fn a_rate_is_kept_whatever_the_size_of_the_answers() {
        for answer in [100, 10_000, 1_000_000] {
            let sum = bytes_in_ten_seconds(&RateCap::new(Some(1_000_000)), answer) as f64;
            // The first burst and the last answer come on top.
            assert!((9_000_000.0..=11_200_000.0).contains(&sum), "{sum} bytes in answers of {answer}");
        }
    }

    #[test]
    fn a_cap_can_be_changed_and_taken_away() {
        let cap = RateCap::new(None);
        let now = Instant::now();
        assert_eq!(cap.room(now), Room::Any);
        cap.clone().set(Some(1_000));
        cap.spend(1_000, now);
        assert!(matches!(cap.room(now + Duration::from_millis(800)), Room::Later(_)));
        cap.set(None);
        assert_eq!((cap.room(now), cap.get()), (Room::Any, None));
        // What came meanwhile, or was owed before, does not count.
        cap.spend(1_000_000, now);
        cap.set(Some(1_000));
        assert!(matches!(cap.room(now), Room::Bytes(100)));
        cap.set(Some(0));
        assert_eq!(cap.get(), None);
    }

    #[test]
    fn a_changed_cap_is_noticed_by_who_waits() {
        let cap = RateCap::new(Some(1));
        let now = Instant::now();
        cap.spend(1_000_000, now);
        assert_eq!(cap.room(now), Room::Later(now + ASK_AGAIN));
        cap.set(Some(u64::MAX));
        cap.spend(usize::MAX, now);
        assert!(matches!(cap.room(now), Room::Later(at) if at > now));
    }

    #[test]
    fn a_debt_is_as_long_under_another_cap() {
        let cap = RateCap::new(Some(1_000_000));
        let now = Instant::now();
        // A tenth of a second is free.
        cap.spend(600_000, now);
        let after = |ms| now + Duration::from_millis(ms);
        assert!(matches!(cap.room(after(100)), Room::Later(_)));
        for rate in [1_000, 50_000_000] {
            cap.set(Some(rate));
            assert!(matches!(cap.room(after(490)), Room::Later(_)), "{rate}");
        }
        cap.set(Some(1_000));
        assert!(matches!(cap.room(after(510)), Room::Bytes(5..=11)));
    }

    #[test]
    fn shares_shrink_with_the_number_that_need_one() {
        let limits = Limits::new(32 * 1024 * 1024);
        assert_eq!([true, false].map(|far| limits.share(far)), [FAR_SHARE, NEAR_SHARE]);
        (0..64).for_each(|_| limits.partition_holds(true));
        assert_eq!([true, false].map(|far| limits.share(far)), [128 * 1024; 2]);
        (0..10_000).for_each(|_| limits.partition_holds(true));
        assert_eq!(limits.share(true), LEAST_SHARE);
        (0..10_064).for_each(|_| limits.partition_holds(false));
        assert_eq!(limits.share(true), FAR_SHARE);
    }
}
