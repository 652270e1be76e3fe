//! Requests that wait for their answers.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::rules::{Frame, Predicate};

/// Counts requests, and those of them that are unanswered: made by [`super::Proxy::watch`].
#[derive(Clone)]
pub struct Watch {
    api_key: i16,
    predicate: Predicate,
    seen: Arc<AtomicU64>,
    unanswered: Arc<AtomicU64>,
}

impl Watch {
    pub(super) fn new(api_key: i16, predicate: Predicate) -> Self {
        Self { api_key, predicate, seen: Arc::default(), unanswered: Arc::default() }
    }

    /// How many requests came so far.
    pub fn seen(&self) -> u64 {
        self.seen.load(SeqCst)
    }

    /// How many of them have no answer now: none that was handed to the client's connection, which lives still.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(SeqCst)
    }

    pub(super) fn count(&self, frame: &Frame<'_>) -> Option<Unanswered> {
        (self.api_key == frame.api_key && (self.predicate)(frame)).then(|| {
            self.seen.fetch_add(1, SeqCst);
            self.unanswered.fetch_add(1, SeqCst);
            Unanswered(self.unanswered.clone())
        })
    }
}

impl Debug for Watch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} requests of API {} unanswered", self.unanswered(), self.seen(), self.api_key)
    }
}

/// A request that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Unanswered(Arc<AtomicU64>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::Direction;
    use super::*;

    #[test]
    fn a_request_counts_until_it_is_let_go() {
        let watch = Watch::new(0, Arc::new(|frame: &Frame<'_>| frame.bytes == b"data"));
        let frame = |api_key, bytes| Frame {
            api_key,
            api_version: 0,
            correlation_id: 0,
            direction: Direction::Request,
            broker: 1,
            connection: 0,
            bytes,
        };
        assert!(watch.count(&frame(1, b"data")).is_none() && watch.count(&frame(0, b"else")).is_none());
        let (one, two) = (watch.count(&frame(0, b"data")), watch.count(&frame(0, b"data")));
        assert_eq!((watch.seen(), watch.unanswered()), (2, 2));
        drop(one);
        assert_eq!((watch.seen(), watch.unanswered()), (2, 1));
        drop(two);
        assert_eq!((watch.seen(), watch.unanswered()), (2, 0));
    }
}
