//! Batches whose fate is not known: the target's log is looked at before they are sent again, with the same bytes.

use std::time::Instant;

use wire::{Recovery, ResponseError};

use super::{
    Partition,
    attempts::Verdict,
    outbound::{Look, Ready},
    track::Track,
};
use crate::flow::{
    error::Stopped,
    tail::{Blind, LookFor, Tail},
};

impl Partition {
    /// The target's log may be read, and where it ended is known.
    pub(crate) fn can_look(&self) -> bool {
        self.target_end.is_some()
    }

    /// What has to be looked for in the target's log before anything goes there, if it may be done now.
    pub(crate) fn must_look(&self, now: Instant) -> Option<LookFor> {
        let first =
            self.outbound.first().filter(|_| self.stopped.is_none() && self.produces.waits_until(now).is_none())?;
        let (from, producer) = (self.target_end?, self.producer?);
        self.outbound.must_look().then_some(LookFor { from, producer, sequence: first.sequence })
    }

    /// What was found there. Returns as [`Partition::acknowledged`] what that settles.
    pub(crate) fn looked(
        &mut self,
        cluster: &str,
        outcome: Result<Tail, Blind>,
        now: Instant,
    ) -> (Verdict, Option<i64>) {
        let tail = match outcome {
            Ok(tail) => tail,
            Err(Blind::Regressed { from, end }) => {
                self.abandon();
                let cluster = cluster.to_owned();
                self.stop(Stopped::Regressed { cluster, partition: self.target.clone(), acknowledged: from, end });
                return (Verdict::Stop, None);
            }
            Err(Blind::Failed(cause)) if cause.recovery() == Recovery::Fatal => {
                let at = &self.target;
                tracing::warn!(cluster, %at, %cause, "this log may not be read: only a broker that remembers sees what comes again");
                self.target_end = None;
                self.track = None;
                self.outbound.see_nothing();
                return (Verdict::Wait, None);
            }
            // Nobody can read it, but who sends again is recognised. The leader sees by that whether its followers have it by now, which it
            // may not do by itself once fewer of them are asked for (KIP-966).
            Err(Blind::Unseen { remembered: Some(last), .. }) if self.outbound.ends_with(last) => {
                self.outbound.see_nothing();
                return (Verdict::Wait, None);
            }
            Err(Blind::Failed(_) | Blind::Unseen { .. } | Blind::Unreadable { .. }) => {
                self.produces.failed(now);
                return (Verdict::Refresh, None);
            }
        };
        if tail.doubled > 0 {
            let records = tail.doubled;
            tracing::error!(cluster, partition = %self.target, records, "records of ours are there twice");
        }
        let (end, track) = (&mut self.target_end, &mut self.track);
        let (look, settled) = self.outbound.looked(&tail.ours, now, |batch, offset| written(end, track, batch, offset));
        match look {
            Look::Seen => {
                if let Some(last) = settled {
                    self.settled(last);
                }
                (Verdict::Wait, settled)
            }
            Look::Another(sequence) => {
                let (partition, to) = (self.source.clone(), self.target.clone());
                tracing::warn!(cluster, %to, sequence, "another writer has used our producer id");
                let reason = Stopped::Superseded { partition, generation: self.generation() };
                self.abandon();
                self.stop(reason);
                (Verdict::Stop, None)
            }
        }
    }
}

/// Takes over where a batch of ours stands in the target.
pub(super) fn written(target_end: &mut Option<i64>, track: &mut Option<Box<Track>>, batch: &Ready, offset: i64) {
    if offset >= 0 {
        *target_end = Some(offset + i64::from(batch.records));
        if let Some(track) = track {
            track.written(batch, offset);
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
