//! Topics of the target between which each record chooses (TimestampRouter, RegexRouter behind a predicate that looks at the record).
//!
//! A partition writes to one of them at a time, and turns to the next when nothing is unresolved: so all that is known of the target
//! concerns one topic. Only sequences are counted for each, since a leader counts them for each partition it leads.

use std::{collections::HashMap, sync::Arc, time::Instant};

use super::Partition;
use crate::flow::error::Stopped;

/// Topics so far, with the sequence of the batch to be queued next.
pub(super) type Routes = HashMap<Arc<str>, i32>;

impl Partition {
    /// Whether each record chooses its topic.
    pub(crate) fn is_routed(&self) -> bool {
        self.routes.is_some()
    }

    /// Sequence of the next batch to be queued for a topic, none being the only one.
    pub(super) fn sequence(&mut self, topic: Option<&Arc<str>>) -> &mut i32 {
        match (&mut self.routes, topic) {
            (Some(routes), Some(topic)) => routes.entry(Arc::clone(topic)).or_default(),
            _ => &mut self.sequence,
        }
    }

    /// The topic of the next batch, if it has to be turned to before that can be sent ([`Partition::turn_to`]), and may be now.
    pub(crate) fn other_topic(&self, now: Instant) -> Option<&Arc<str>> {
        let topic = self.outbound.other_topic()?;
        (self.stopped.is_none() && self.produces.waits_until(now).is_none()).then_some(topic)
    }

    /// The topic of the next batch is there: batches go to it now. `limit`: its largest batch, bytes, where the target tells.
    pub(crate) fn turn_to(&mut self, topic: &Arc<str>, limit: Option<usize>) {
        self.produces.succeeded();
        // Given back meanwhile, it is turned to when it comes again.
        if self.outbound.other_topic() != Some(topic) {
            return;
        }
        topic.as_ref().clone_into(&mut self.target.topic);
        self.target_id = 0;
        self.slow = 0;
        // Just made, it may be news to its leader.
        (self.produces.seen, self.produces.corrupt) = (false, 0);
        self.outbound.turn_to(Some(Arc::clone(topic)));
        // A limit found out by what was refused is not given up for one told before that.
        if !self.refusals.turn_to(topic) {
            self.limit_known(limit);
        }
        // It may have been written when nothing was known of it.
        let limit = self.refusals.rules.max_batch_bytes;
        if self.outbound.first().is_some_and(|next| next.records > 1 && next.bytes() > limit) {
            self.rewind();
        }
    }

    /// The topic of the next batch can't be asked for, or made, at present.
    pub(crate) fn topic_missed(&mut self, now: Instant) {
        self.produces.failed(now);
    }

    /// The topic of the next batch can't be had.
    pub(crate) fn topic_refused(&mut self, topic: &str, cause: String) {
        let offset = self.next_to_write();
        self.abandon();
        self.stop(Stopped::Unroutable { from: self.source.clone(), offset, topic: topic.to_owned(), cause });
    }

    /// Where nothing is on its way to the topic written last, it does not matter what has become of that: it is turned to anew before the
    /// next batch goes there. False where it does matter.
    pub(crate) fn turns_away(&mut self) -> bool {
        let turns = self.routes.is_some() && !self.outbound.is_unresolved();
        if turns {
            self.outbound.turn_to(None);
            self.target_id = 0;
        }
        turns
    }
}

#[cfg(test)]
mod tests;
