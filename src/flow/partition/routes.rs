//! Topics of the target between which each record chooses (TimestampRouter, RegexRouter behind a predicate that looks at the record).
//!
//! A partition writes to one of them at a time, and turns to the next when nothing is unresolved: so all that is known of the target
//! concerns one topic. Only sequences are counted for each, since a leader counts them for each partition it leads. What is opened in one is
//! written topic by topic, and the position moves with the last of them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use super::{Before, Partition};
use crate::flow::error::Stopped;

/// Topics so far.
#[derive(Debug, Default)]
pub(super) struct Routes(HashMap<Arc<str>, Queued>);

/// What was queued for a topic.
#[derive(Debug, Clone, Copy, Default)]
struct Queued {
    /// Of the next batch.
    sequence: i32,
    /// One past the last record's source offset.
    end: i64,
}

impl Routes {
    /// Where topics are ahead of the position: it does not move with each batch, so what comes again may have been queued for some.
    pub(super) fn done_before(&self, position: i64) -> BTreeMap<Arc<str>, i64> {
        let ahead = self.0.iter().filter(|(_, queued)| queued.end > position);
        ahead.map(|(topic, queued)| (Arc::clone(topic), queued.end)).collect()
    }
}

impl Partition {
    /// Topics have records from behind where the copy stands: all would be copied again at the next start if the others did not get theirs.
    pub(crate) fn is_in_part(&self) -> bool {
        self.routes.as_ref().is_some_and(|routes| routes.0.values().any(|queued| queued.end > self.told))
    }

    /// Whether each record chooses its topic.
    pub(crate) fn is_routed(&self) -> bool {
        self.routes.is_some()
    }

    /// Sequence of the next batch to be queued for a topic, none being the only one.
    pub(super) fn sequence(&self, topic: Option<&Arc<str>>) -> i32 {
        match (&self.routes, topic) {
            (Some(routes), Some(topic)) => routes.0.get(topic).map_or(0, |queued| queued.sequence),
            _ => self.sequence,
        }
    }

    /// What is queued next for a topic has this sequence, and no record before source offset `end`.
    pub(super) fn goes_on(&mut self, topic: Option<&Arc<str>>, sequence: i32, end: i64) {
        match (&mut self.routes, topic) {
            (Some(routes), Some(topic)) => drop(routes.0.insert(Arc::clone(topic), Queued { sequence, end })),
            _ => self.sequence = sequence,
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
        (self.landed.end, self.landed.before) = (None, Before::Anything);
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
