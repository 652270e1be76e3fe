//! Batches whose fate is not known: the target's log is looked at before they are sent again, with the same bytes.

use std::time::Instant;

use wire::{Recovery, ResponseError};

use super::{
    Before, Met, Partition,
    attempts::Verdict,
    outbound::{Look, Ready},
};
use crate::flow::tail::{Blind, LookFor, Tail};

impl Partition {
    /// The target's log may be read, and where it ended is known.
    pub(crate) fn can_look(&self) -> bool {
        self.landed.end.is_some()
    }

    fn may_look(&self, now: Instant) -> bool {
        self.stopped.is_none() && !self.is_leaving_target() && self.produces.waits_until(now).is_none()
    }

    /// A request that was given up may still come to this broker, which would take it though it was sent again.
    pub(crate) fn may_come_late(&self, leader: i32, now: Instant) -> bool {
        self.late.is_some_and(|(broker, until)| broker == leader && until > now)
    }

    /// What has to be looked for in the target's log before anything goes there, if it may be done now.
    pub(crate) fn must_look(&self, now: Instant) -> Option<LookFor> {
        let first = self.outbound.first().filter(|_| self.may_look(now))?;
        let look_for = self.landed.look_for(self.producer?, first.sequence);
        look_for.filter(|_| self.outbound.must_look())
    }

    /// What was found there. Returns as [`Partition::acknowledged`] what that settles. For `fresh_after` see [`Outbound::can_send`].
    pub(crate) fn looked(
        &mut self,
        cluster: &str,
        outcome: Result<Tail, Blind>,
        now: Instant,
        fresh_after: i64,
    ) -> (Verdict, Option<i64>) {
        let tail = match outcome {
            Ok(tail) => tail,
            // The leader that was asked when the copy began had what no other has got.
            Err(Blind::Regressed { end, .. }) if self.landed.before == Before::Anything => {
                self.landed.end = Some(end);
                return (Verdict::Wait, None);
            }
            Err(Blind::Regressed { from, end }) => {
                self.landed.met.push(Met::Regressed { acknowledged: from, end });
                return (Verdict::Wait, None);
            }
            Err(Blind::Failed(cause)) if cause.recovery() == Recovery::Fatal => {
                let at = &self.target;
                tracing::warn!(cluster, %at, %cause, "this log may not be read: only a broker that remembers sees what comes again");
                (self.landed.end, self.landed.track) = (None, None);
                self.outbound.see_nothing();
                return (Verdict::Wait, None);
            }
            // Nobody can read it, but who sends again is recognised, unless its time lets the producer be forgotten meanwhile. The leader sees
            // by that whether its followers have it by now, which it may not do by itself once fewer of them are asked for (KIP-966).
            Err(Blind::Unseen { remembered: Some((last, time)), .. })
                if time > fresh_after && self.outbound.ends_with(last) =>
            {
                self.outbound.see_nothing();
                return (Verdict::Wait, None);
            }
            Err(Blind::Failed(_) | Blind::Unseen { .. } | Blind::Unreadable { .. }) => {
                self.produces.failed(now);
                return (Verdict::Refresh, None);
            }
        };
        if tail.doubled > 0 {
            let (from, to) = (self.landed.end.unwrap_or_default(), tail.end);
            self.landed.met.push(Met::Doubled { from, to, records: tail.doubled });
        }
        let (landed, fresh) = (&mut self.landed, &mut self.fresh);
        // What is there twice was counted.
        let written = |batch: &Ready, offset| landed.written(batch, offset, false, fresh);
        let (look, settled) = self.outbound.looked(&tail.ours, now, written);
        match look {
            Look::Seen => {
                if let Some(last) = settled {
                    self.settled(last);
                }
                (Verdict::Wait, settled)
            }
            Look::Another(sequence) => {
                tracing::warn!(cluster, to = %self.target, sequence, "another writer has used our producer id");
                self.superseded();
                (Verdict::Stop, None)
            }
        }
    }
}

/// Whether a broker answers with this before it looks at its log. Others may come when it had appended the batch already: a leader that has
/// lost its office while its followers copied says so too.
pub(super) fn is_refused_before_append(code: i16) -> bool {
    use ResponseError as E;
    matches!(
        ResponseError::try_from_code(code),
        Some(
            E::NotEnoughReplicas
                | E::MessageTooLarge
                | E::RecordListTooLarge
                | E::InvalidRecord
                | E::InvalidTimestamp
                | E::CorruptMessage
                | E::TopicAuthorizationFailed
                | E::ClusterAuthorizationFailed
                | E::UnsupportedCompressionType
                | E::PolicyViolation
        )
    )
}
