//! How long to wait before trying again.

use std::time::Duration;

use rand::RngExt as _;

/// Exponential backoff with jitter: the n-th wait is `first · 2ⁿ`, at most `limit`, then spread over ±20 %, so that many clients of a
/// broker that comes back do not return in the same instant (as Kafka's `ExponentialBackoff`, KIP-580).
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    failures: u32,
}

impl Backoff {
    /// A backoff that starts at `first` and never waits longer than 1.2 × `limit`.
    #[must_use]
    pub fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit, failures: 0 }
    }

    /// Waits between requests that failed: Kafka's `retry.backoff.ms` and `retry.backoff.max.ms`.
    #[must_use]
    pub fn for_requests() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(1))
    }

    /// The next wait, with its jitter drawn from the thread's generator.
    pub fn next_wait(&mut self) -> Duration {
        self.next_with(rand::rng().random_range(0.8..=1.2))
    }

    /// The next wait for a given spread factor (pure; 1.0 means no spread).
    pub fn next_with(&mut self, spread: f64) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(self.failures.min(20)).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.limit).mul_f64(spread)
    }

    /// Forgets the failures: the next wait is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_limit_and_starts_again_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        let waits: Vec<_> = (0..4).map(|_| backoff.next_with(1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 350, 350]);
        backoff.reset();
        assert_eq!(backoff.next_with(1.0).as_millis(), 100);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        for _ in 0..200 {
            let wait = Backoff::new(Duration::from_millis(100), Duration::from_secs(1)).next_wait().as_millis();
            assert!((80..=120).contains(&wait), "{wait}");
        }
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::for_requests();
        for _ in 0..10_000 {
            assert!(backoff.next_with(1.0) <= Duration::from_secs(1));
        }
    }
}
