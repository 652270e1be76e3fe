//! Fetch sessions (KIP-227): what a broker already knows of our wishes is not told again. Pure; follows `FetchSessionHandler.java`.

use std::{collections::HashMap, mem};

use kafka_protocol::{
    ResponseError,
    messages::{
        TopicName,
        fetch_request::{FetchPartition as WirePartition, FetchTopic, ForgottenTopic},
    },
    protocol::StrBytes,
};
use uuid::Uuid;

use super::FetchPartition;
use crate::types::TopicPartition;

/// First version of Fetch that names topics by id only (KIP-516).
const BY_TOPIC_ID: i16 = 13;
/// First version in which the last record's epoch is told (KIP-595).
const BY_EPOCH: i16 = 12;
/// Session id of who has none.
const NO_SESSION: i32 = 0;
/// Session epoch of a request that opens a session, and tells all partitions.
const FIRST_EPOCH: i32 = 0;
/// Session epoch of a request that wants no session.
const NO_EPOCH: i32 = -1;

/// The partitions that one flow wants of one broker.
///
/// A partition that is refused is told again in every answer, at once: take it out ([`FetchSession::remove`]) until it may be asked for
/// again.
#[derive(Debug, Default)]
pub struct FetchSession {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    by_name: HashMap<TopicPartition, usize>,
    /// Topic id and partition → slot, where the id is known.
    by_id: HashMap<(u128, i32), usize>,
    /// Wanted partitions whose topic id is not known.
    without_id: usize,
    /// Slots to be told of, in the order they changed.
    changed: Vec<usize>,
    /// What the broker may still hold though nobody wants it.
    forgotten: Vec<(u128, TopicPartition)>,
    state: State,
}

#[derive(Debug)]
struct Slot {
    wanted: FetchPartition,
    changed: bool,
}

/// What the broker knows of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing that counts; `replaces` is a session it may still hold, 0 for none.
    New { replaces: i32 },
    /// A session that waits for the round with this epoch.
    Open { id: i32, epoch: i32, by_id: bool },
}

impl Default for State {
    fn default() -> Self {
        Self::New { replaces: NO_SESSION }
    }
}

/// What one request says of partitions.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) version: i16,
    pub(super) session_id: i32,
    pub(super) epoch: i32,
    pub(super) topics: Vec<FetchTopic>,
    pub(super) forgotten: Vec<ForgottenTopic>,
}

impl FetchSession {
    /// A session without partitions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants a partition, or wants it from another position or with other limits. What is as before is not told again.
    pub fn put(&mut self, partition: FetchPartition) {
        let id = partition.topic_id;
        let key = (id, partition.partition.partition);
        let at = match self.by_name.get(&partition.partition) {
            Some(&at) => at,
            None => self.place(partition.partition.clone()),
        };
        let before = match self.slots.get_mut(at) {
            Some(Some(slot)) => {
                let same = is_told_alike(&slot.wanted, &partition);
                let before = mem::replace(&mut slot.wanted, partition);
                if !same && !mem::replace(&mut slot.changed, true) {
                    self.changed.push(at);
                }
                (before.topic_id != id).then_some(before)
            }
            Some(empty) => {
                *empty = Some(Slot { wanted: partition, changed: true });
                self.changed.push(at);
                self.count_id(key, at);
                None
            }
            None => None,
        };
        if let Some(before) = before {
            // Made anew: to the broker, another partition.
            self.uncount_id(before.topic_id, &before.partition, at);
            self.forget(before.topic_id, before.partition);
            self.count_id(key, at);
        }
    }

    /// No longer wants a partition.
    pub fn remove(&mut self, partition: &TopicPartition) {
        let Some(at) = self.by_name.remove(partition) else { return };
        let Some(slot) = self.slots.get_mut(at).and_then(Option::take) else { return };
        if !slot.changed {
            self.free.push(at);
        }
        self.uncount_id(slot.wanted.topic_id, partition, at);
        self.forget(slot.wanted.topic_id, slot.wanted.partition);
    }

    /// Partitions wanted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// No partition is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    fn place(&mut self, name: TopicPartition) -> usize {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.by_name.insert(name, at);
        at
    }

    fn count_id(&mut self, key: (u128, i32), at: usize) {
        if key.0 == 0 {
            self.without_id += 1;
        } else {
            self.by_id.insert(key, at);
        }
    }

    fn uncount_id(&mut self, id: u128, partition: &TopicPartition, at: usize) {
        if id == 0 {
            self.without_id -= 1;
        } else if self.by_id.get(&(id, partition.partition)) == Some(&at) {
            self.by_id.remove(&(id, partition.partition));
        }
    }

    fn forget(&mut self, id: u128, partition: TopicPartition) {
        // One that begins tells everything anyhow.
        if matches!(self.state, State::Open { .. }) {
            self.forgotten.push((id, partition));
        }
    }

    /// The next round, for a broker that speaks Fetch up to `highest`. Until [`FetchSession::accepted`] the session counts as lost.
    pub(super) fn next_round(&mut self, highest: i16) -> Round {
        let by_id = self.without_id == 0 && highest >= BY_TOPIC_ID;
        let changed = mem::take(&mut self.changed);
        let forgotten = mem::take(&mut self.forgotten);
        let version = version(highest, by_id);
        let round = match self.state {
            State::Open { id, epoch, by_id: was } if was == by_id => {
                // A broker first takes up what is wanted and then strikes what is forgotten (`FetchSession.update`).
                let gone = forgotten.into_iter().filter(|(id, partition)| {
                    if by_id {
                        *id != 0 && !self.by_id.contains_key(&(*id, partition.partition))
                    } else {
                        !self.by_name.contains_key(partition)
                    }
                });
                let told = changed.iter().filter_map(|at| self.slots.get(*at)?.as_ref());
                Round {
                    version,
                    session_id: id,
                    epoch,
                    topics: topics_of(version, told.map(|slot| &slot.wanted)),
                    forgotten: forgotten_of(gone),
                }
            }
            State::Open { id: replaces, .. } | State::New { replaces } => Round {
                version,
                session_id: replaces,
                epoch: FIRST_EPOCH,
                topics: topics_of(version, self.slots.iter().flatten().map(|slot| &slot.wanted)),
                forgotten: Vec::new(),
            },
        };
        for at in changed {
            match self.slots.get_mut(at) {
                Some(Some(slot)) => slot.changed = false,
                // Removed after it had changed: its place is free only now that it no longer stands among the changed.
                _ => self.free.push(at),
            }
        }
        self.state = State::New { replaces: round.session_id };
        round
    }

    /// The broker took a round; this is the session id that it answered with.
    pub(super) fn accepted(&mut self, round: &Round, session_id: i32) {
        self.state = if session_id == NO_SESSION {
            // No room for a session (`max.incremental.fetch.session.cache.slots`), or it has become empty: perhaps next time.
            State::New { replaces: NO_SESSION }
        } else {
            let epoch = round.epoch.checked_add(1).unwrap_or(FIRST_EPOCH + 1);
            State::Open { id: session_id, epoch, by_id: round.version >= BY_TOPIC_ID }
        };
    }

    /// The broker refused a round with this error: does it mean the session alone, so that the same may be asked at once in a new one?
    pub(super) fn refused(&mut self, code: i16) -> bool {
        use ResponseError as E;
        match ResponseError::try_from_code(code) {
            Some(E::FetchSessionIdNotFound) => {
                self.state = State::default();
                true
            }
            Some(E::InvalidFetchSessionEpoch | E::FetchSessionTopicIdError | E::InconsistentTopicId) => true,
            _ => false,
        }
    }

    /// The partition that an answer speaks of: by the topic's id from version 13 on, else by its name.
    pub(super) fn wanted(&self, topic_id: u128, topic: &str, partition: i32) -> Option<&FetchPartition> {
        let at = if topic_id == 0 {
            *self.by_name.get(&TopicPartition::new(topic, partition))?
        } else {
            *self.by_id.get(&(topic_id, partition))?
        };
        Some(&self.slots.get(at)?.as_ref()?.wanted)
    }
}

/// A round outside any session.
pub(super) fn sessionless(highest: i16, partitions: &[FetchPartition]) -> Round {
    let by_id = highest >= BY_TOPIC_ID && partitions.iter().all(|p| p.topic_id != 0);
    let version = version(highest, by_id);
    Round {
        version,
        session_id: NO_SESSION,
        epoch: NO_EPOCH,
        topics: topics_of(version, partitions.iter()),
        forgotten: Vec::new(),
    }
}

/// The broker would be told the same of both; the tag is ours alone.
fn is_told_alike(one: &FetchPartition, other: &FetchPartition) -> bool {
    let told = |p: &FetchPartition| (p.topic_id, p.offset, p.leader_epoch, p.last_epoch, p.max_bytes);
    told(one) == told(other)
}

fn version(highest: i16, by_id: bool) -> i16 {
    if by_id { highest } else { highest.min(BY_TOPIC_ID - 1) }
}

fn topics_of<'a>(version: i16, partitions: impl Iterator<Item = &'a FetchPartition>) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for wanted in partitions {
        let part = WirePartition::default()
            .with_partition(wanted.partition.partition)
            .with_current_leader_epoch(wanted.leader_epoch)
            .with_fetch_offset(wanted.offset)
            .with_last_fetched_epoch(if version >= BY_EPOCH { wanted.last_epoch } else { -1 })
            .with_partition_max_bytes(wanted.max_bytes);
        let id = Uuid::from_u128(wanted.topic_id);
        match topics.last_mut().filter(|t| t.topic_id == id && **t.topic == *wanted.partition.topic) {
            Some(topic) => topic.partitions.push(part),
            None => topics.push(
                FetchTopic::default()
                    .with_topic(name(&wanted.partition.topic))
                    .with_topic_id(id)
                    .with_partitions(vec![part]),
            ),
        }
    }
    topics
}

fn forgotten_of(partitions: impl Iterator<Item = (u128, TopicPartition)>) -> Vec<ForgottenTopic> {
    let mut topics: Vec<ForgottenTopic> = Vec::new();
    for (id, gone) in partitions {
        let id = Uuid::from_u128(id);
        match topics.last_mut().filter(|t| t.topic_id == id && **t.topic == *gone.topic) {
            Some(topic) => topic.partitions.push(gone.partition),
            None => topics.push(
                ForgottenTopic::default()
                    .with_topic(name(&gone.topic))
                    .with_topic_id(id)
                    .with_partitions(vec![gone.partition]),
            ),
        }
    }
    topics
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

#[cfg(test)]
mod tests;
