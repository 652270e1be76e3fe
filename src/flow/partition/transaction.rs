//! Transactions that stay open: what comes behind their first record is held back from consumers with read_committed.

use std::time::{Duration, Instant};

/// From when on that is told. After Kafka's default `transaction.timeout.ms` the coordinator aborts what is still open; what stays open
/// longer has a longer timeout, or hangs (KIP-664).
pub(super) const TOLD_AFTER: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stand {
    /// Last stable offset.
    offset: i64,
    /// Since when the copy waits for another.
    since: Instant,
}

/// Where the source's last stable offset stands still, and the copy with it.
#[derive(Debug, Default)]
pub(super) struct OpenTransaction {
    stand: Option<Stand>,
    told: Option<i64>,
}

impl OpenTransaction {
    /// A Fetch was answered with these offsets; −1 where the broker does not tell.
    pub(super) fn seen(&mut self, last_stable: i64, high_watermark: i64, now: Instant) {
        if last_stable < 0 || last_stable >= high_watermark {
            self.stand = None;
        } else if self.stand.is_none_or(|stand| stand.offset != last_stable) {
            self.stand = Some(Stand { offset: last_stable, since: now });
        }
    }

    /// What comes before it is not copied yet, so that nothing is held back so far. Nor may it be known any more where it stands.
    pub(super) fn lags(&mut self, now: Instant) {
        if let Some(stand) = &mut self.stand {
            stand.since = now;
        }
    }

    /// When it is to be told, unless that was done.
    pub(super) fn told_at(&self) -> Option<Instant> {
        self.stand.filter(|stand| self.told != Some(stand.offset)).map(|stand| stand.since + TOLD_AFTER)
    }

    /// The offset from which on records are held back for long, where that is news: none when they no longer are.
    pub(super) fn news(&mut self, now: Instant) -> Option<Option<i64>> {
        let long = self.stand.filter(|stand| now.duration_since(stand.since) >= TOLD_AFTER).map(|stand| stand.offset);
        let is_news = std::mem::replace(&mut self.told, long) != long;
        is_news.then_some(long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_still_for_long_is_told_once() {
        let (mut open, start) = (OpenTransaction::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        open.seen(10, 10, at(0));
        assert_eq!((open.told_at(), open.news(at(99))), (None, None), "nothing is open");
        open.seen(10, 12, at(0));
        open.seen(11, 13, at(30));
        open.seen(11, 20, at(80));
        assert_eq!((open.told_at(), open.news(at(89))), (Some(at(90)), None), "it moved after 30 s");
        assert_eq!(open.news(at(90)), Some(Some(11)));
        assert_eq!((open.told_at(), open.news(at(91))), (None, None));
        open.seen(20, 20, at(100));
        assert_eq!(open.news(at(100)), Some(None));
        open.seen(-1, 20, at(100));
        assert_eq!((open.told_at(), open.news(at(300))), (None, None), "read_uncommitted, or an old broker");
    }

    #[test]
    fn nothing_is_held_back_from_a_copy_that_lags() {
        let (mut open, start) = (OpenTransaction::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        open.seen(10, 12, at(0));
        open.lags(at(100));
        assert_eq!((open.told_at(), open.news(at(159))), (Some(at(160)), None));
        assert_eq!(open.news(at(160)), Some(Some(10)));
    }
}
