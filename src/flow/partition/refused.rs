//! Batches that the target refuses for what is in them. They are opened, what fits is written anew in smaller ones, and a record that can't
//! be written follows the policy.
//!
//! Bounds and sequences change only at rest: when the refused batch is the first that is not acknowledged and nothing is out. Then the
//! target has nothing from it on, since it takes a producer's batches in sequence only.

use std::{collections::BTreeMap, sync::Arc};

use wire::{Levels, Produced, ResponseError};

use super::{Partition, attempts::Verdict, outbound::Ready};
use crate::flow::{
    PoisonPolicy, WriteSettings,
    error::Stopped,
    plan::Rules,
    recode::{Manner, Routing, TopicLimits},
};
use crate::transforms::RecordTransforms;

/// What is known of what the target does not take. Offsets are the source's.
#[derive(Debug)]
pub(super) struct Refusals {
    pub(super) rules: Rules,
    /// Largest new batch before [`Rules::refused_before`], bytes.
    smaller: usize,
    /// Size of a batch for which the target's limit is being asked, bytes.
    asking_for: usize,
    /// Records it does not take, and its words.
    poison: BTreeMap<i64, String>,
    levels: Levels,
    transforms: Option<Arc<RecordTransforms>>,
    /// Only where they choose each record's topic; [`Rules::max_batch_bytes`] is then that of the topic written now.
    limits: Option<TopicLimits>,
}

impl Refusals {
    pub(super) fn new(write: &WriteSettings, transforms: Option<Arc<RecordTransforms>>) -> Self {
        let WriteSettings { codec, levels, join, .. } = *write;
        let rules = Rules { codec, join, transforms: transforms.is_some(), ..Rules::default() };
        let limits =
            transforms.as_ref().filter(|chosen| chosen.fixed_topic().is_none()).map(|_| TopicLimits::default());
        Self { rules, smaller: usize::MAX, asking_for: 0, poison: BTreeMap::new(), levels, transforms, limits }
    }

    pub(super) fn transforms(&self) -> Option<Arc<RecordTransforms>> {
        self.transforms.clone()
    }

    /// How what begins at `position` is written.
    pub(super) fn manner(&self, position: i64) -> Manner {
        let Rules { codec, join, .. } = self.rules;
        let limits = self.limits.clone();
        let routing = limits.map(|limits| Routing { limits, ..Routing::default() });
        let (max_batch_bytes, transforms) = (self.max_batch_bytes(position), self.transforms.clone());
        Manner { codec, join, levels: self.levels, max_batch_bytes, transforms, routing }
    }

    /// Largest batch to be written from `position` on, bytes.
    fn max_batch_bytes(&self, position: i64) -> usize {
        match &self.limits {
            _ if position < self.rules.refused_before => self.smaller,
            Some(_) => usize::MAX,
            None => self.rules.max_batch_bytes,
        }
    }

    /// Batches go to this topic now. False if its largest batch is not known.
    pub(super) fn turn_to(&mut self, topic: &str) -> bool {
        let known = self.limits.as_ref().and_then(|limits| limits.get(topic));
        self.rules.max_batch_bytes = known.copied().unwrap_or(usize::MAX);
        known.is_some()
    }

    /// Records before `next` that are to be left out.
    pub(super) fn poison_before(&self, next: i64) -> BTreeMap<i64, String> {
        self.poison.range(..next).map(|(offset, words)| (*offset, words.clone())).collect()
    }

    /// Records that are left out from where the copy stands on, as far as known.
    pub(super) fn left_out(&self) -> Vec<i64> {
        self.poison.keys().copied().collect()
    }

    /// All before this offset is settled.
    pub(super) fn forget_before(&mut self, offset: i64) {
        self.poison = self.poison.split_off(&offset);
    }
}

impl Partition {
    /// The target's largest batch, bytes; absent where it does not tell. Counts from the next batch on.
    pub(crate) fn limit_known(&mut self, limit: Option<usize>) {
        let refused = std::mem::take(&mut self.refusals.asking_for);
        let limit = match limit {
            // It can't be that, or not that alone.
            Some(limit) if refused > 0 && limit >= refused => refused / 2,
            Some(limit) => limit,
            None if refused > 0 => refused / 2,
            None => return,
        };
        self.refusals.rules.max_batch_bytes = limit;
        if let (Some(limits), Some(topic)) = (&mut self.refusals.limits, self.outbound.topic()) {
            Arc::make_mut(limits).insert(Arc::clone(topic), limit);
        }
    }

    /// The target refused the batch that begins at source offset `base` for what is in it. None if it was for another reason.
    pub(super) fn content_refused(&mut self, cluster: &str, base: i64, part: &Produced) -> Option<Verdict> {
        let too_large = match ResponseError::try_from_code(part.error)? {
            ResponseError::MessageTooLarge | ResponseError::RecordListTooLarge => true,
            ResponseError::InvalidTimestamp | ResponseError::InvalidRecord => false,
            _ => return None,
        };
        // Those before it go first, and those behind it can't have got in.
        if !self.outbound.is_first(base) || !self.outbound.is_at_rest() {
            return Some(Verdict::Wait);
        }
        let refused = self.outbound.first()?;
        let words = |own: Option<&str>| {
            let name = wire::code_name(part.error);
            own.or(part.message.as_deref()).map_or_else(|| name.clone(), |words| format!("{name}: {words}"))
        };
        let (bytes, next) = (refused.bytes(), refused.next.max(refused.end()));
        let mut poison: BTreeMap<i64, String> = part
            .record_errors
            .iter()
            .filter_map(|record| Some((refused.offset(record.index)?, words(record.message.as_deref()))))
            .collect();
        if poison.is_empty() && refused.records == 1 {
            let limit = self.refusals.rules.max_batch_bytes;
            let size =
                (too_large && limit != usize::MAX).then(|| format!("{bytes} bytes alone, the topic takes {limit}"));
            poison.insert(base, words(size.as_deref()));
        }
        if let Some((offset, reason)) = poison.first_key_value()
            && self.poison_policy == PoisonPolicy::Fail
        {
            let (offset, reason) = (*offset, reason.clone());
            self.abandon();
            self.stop(Stopped::Poison {
                cluster: cluster.to_owned(),
                from: self.source.clone(),
                to: self.target.clone(),
                offset,
                reason,
            });
            return Some(Verdict::Stop);
        }
        self.refusals.smaller = if poison.is_empty() { bytes / 2 } else { self.refusals.rules.max_batch_bytes };
        let asks = too_large && poison.is_empty();
        if asks {
            self.refusals.asking_for = bytes;
        } else {
            self.refusals.rules.refused_before = next;
        }
        if !poison.is_empty() {
            // Whoever takes over has to know why the target lacks them.
            self.await_anchor();
        }
        self.refusals.poison.append(&mut poison);
        self.rewind();
        Some(if asks { Verdict::AskLimit } else { Verdict::Wait })
    }

    /// Goes back to the first batch that is not acknowledged: it is fetched again, and its sequence, as that of the first of each other topic,
    /// given to what comes in its place.
    pub(super) fn rewind(&mut self) {
        let outbound = std::mem::take(&mut self.outbound);
        self.go_back(outbound.batches());
        self.outbound = outbound;
        self.abandon();
        self.produces.succeeded();
    }

    /// Goes on before these batches, which are let go, with their sequences.
    pub(super) fn go_back<'a>(&mut self, batches: impl DoubleEndedIterator<Item = &'a Ready>) {
        // The first of each topic last.
        let mut first = i64::MAX;
        for Ready { topic, sequence, base, .. } in batches.rev() {
            first = first.min(*base);
            self.goes_on(topic.as_ref(), *sequence, *base);
        }
        self.position = self.position.min(first);
    }

    /// A Fetch under way asks for what no longer comes next.
    pub(crate) fn fetches_elsewhere(&self) -> bool {
        self.fetching.is_some_and(|offset| offset != self.position)
    }
}
