//! The source side of a flow: who is asked for what, and how much.
//!
//! At each broker two Fetch requests may be under way, over connections of their own. The *follow* round is a fetch session (KIP-227) of all
//! partitions that are waited for; the broker holds it back while none of them has anything. A partition that becomes hungry meanwhile does
//! not wait for its end: the *catch-up* request asks for it at once. It is held back only for a moment, so that the next hungry one is soon
//! served as well, and whoever has nothing moves to the next follow round.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use wire::{
    Backoff, FetchLane, FetchLimits, FetchPartition, FetchSession, FetchedPartition, Reservation, ResponseError,
};

use super::{Done, OVERDUE, Side, Task, queues::Queues};
use crate::flow::{
    limits::{Limits, Room},
    partition::{Verdict, is_diverged},
};

/// Bytes that a follow round asks for at first, and of a broker that has little; an answer that fills them asks for more the next time.
const FIRST_ASK: usize = 64 * 1024;
/// With less free memory than this nothing is asked for. A first batch that is larger comes whole all the same (KIP-74).
const LEAST_ASK: usize = 16 * 1024;
/// Limit of a near broker's answer, bytes: enough to keep both ends busy, and little enough to stay in the processor's cache.
const NEAR_ASK: usize = 2 * 1024 * 1024;
/// Of a far one's, which is under way for long.
const FAR_ASK: usize = 8 * 1024 * 1024;
/// A broker is far when an answer with much in it takes as long.
const FAR: Duration = Duration::from_millis(20);
/// How long a broker may hold back the catch-up request.
const CATCH_UP_WAIT: Duration = Duration::from_millis(10);

/// Where a partition is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Nowhere,
    Follow(i32),
    CatchUp,
}

#[derive(Debug)]
pub(super) struct Fetching {
    hungry: Queues<i32>,
    places: Vec<Place>,
    brokers: HashMap<i32, Broker>,
    /// Partitions that leave their session: what it asks for is no longer what comes next.
    leaving: BTreeSet<usize>,
    /// A request waits for memory.
    pub(super) short_of_memory: bool,
    /// When a request may go that waits for its rate, or out of a broker's silence.
    wake_at: Option<Instant>,
    /// The budget's part for one answer, bytes.
    part: usize,
    /// Whether the source's brokers are far.
    far: bool,
}

#[derive(Debug)]
struct Broker {
    /// Absent while its round is under way.
    session: Option<FetchSession>,
    catching_up: bool,
    /// From when on the answer of the follow round, and of the catch-up request, is missing.
    overdue: [Option<Instant>; 2],
    /// The last catch-up request brought nothing.
    caught_up: bool,
    follow_ask: usize,
    catch_up_ask: usize,
    backoff: Backoff,
    not_before: Option<Instant>,
}

impl Broker {
    fn new() -> Self {
        Self {
            session: Some(FetchSession::new()),
            catching_up: false,
            overdue: [None; 2],
            caught_up: false,
            follow_ask: FIRST_ASK,
            catch_up_ask: NEAR_ASK,
            backoff: Backoff::for_requests(),
            not_before: None,
        }
    }
}

/// A Fetch that came back.
pub(super) struct Fetched {
    broker: i32,
    /// The session of a follow round; none for the catch-up request.
    session: Option<FetchSession>,
    /// The partitions of a catch-up request.
    asked: Vec<usize>,
    reserved: usize,
    sent_at: Instant,
    answer: wire::Result<Vec<FetchedPartition>>,
}

impl Fetching {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            hungry: Queues::new(),
            places: Vec::new(),
            brokers: HashMap::new(),
            leaving: BTreeSet::new(),
            short_of_memory: false,
            wake_at: None,
            part: limits.budget.limit() / 4,
            far: false,
        }
    }

    pub(super) fn make_room(&mut self, partitions: usize) {
        self.hungry.make_room(partitions);
        self.places.resize(partitions, Place::Nowhere);
    }

    pub(super) fn place(&self, index: usize) -> Place {
        self.places[index]
    }

    /// From when on an answer of which broker is missing.
    pub(super) fn overdue(&self) -> impl Iterator<Item = (Instant, i32)> {
        self.brokers.iter().flat_map(|(id, broker)| broker.overdue.into_iter().flatten().map(|at| (at, *id)))
    }

    pub(super) fn wakes_at(&self) -> Option<Instant> {
        // A broker without backoff was asked already, if there was anything to ask for.
        let brokers = self.brokers.values().filter_map(|broker| broker.not_before);
        brokers.chain(self.wake_at).min()
    }

    fn is_due(&mut self, id: i32, lane: FetchLane, at: Option<Instant>) {
        if let Some(broker) = self.brokers.get_mut(&id) {
            broker.overdue[usize::from(lane == FetchLane::CatchUp)] = at;
        }
    }

    /// The partition is no longer waited for.
    pub(super) fn leave(&mut self, index: usize) {
        if self.places[index] != Place::Nowhere {
            self.leaving.insert(index);
        }
    }

    pub(super) fn clear(&mut self) {
        self.hungry.clear();
    }

    /// How much to ask for after an answer of `came` bytes.
    fn asks_more(asked: usize, came: usize, most: usize) -> usize {
        let next = match came {
            much if is_much(much, asked) => asked * 4,
            little if little * 8 < asked => (asked / 2).max(FIRST_ASK),
            _ => asked,
        };
        next.min(most).max(LEAST_ASK)
    }
}

impl Task {
    pub(super) fn queue_for_fetch(&mut self, index: usize, now: Instant) {
        if let Place::Follow(id) = self.fetching.places[index]
            && self.broker_for(index, now).is_some_and(|broker| broker != id)
        {
            self.fetching.leave(index);
        }
        let partition = &self.partitions[index];
        if !self.goes_on(index)
            || self.fetching.places[index] != Place::Nowhere
            || self.fetching.hungry.contains(index)
            || !partition.wants_fetch(now, self.limits.share(self.fetching.far))
        {
            return;
        }
        match self.broker_for(index, now) {
            Some(broker) => self.fetching.hungry.push(broker, index, partition.is_starved()),
            None => self.source.leaderless(&partition.source, &self.name),
        }
    }

    /// Whom to ask for a partition: the follower that its leader named, else the leader.
    fn broker_for(&self, index: usize, now: Instant) -> Option<i32> {
        let partition = &self.partitions[index];
        let follower = partition.follower(now).filter(|broker| self.source.cluster.knows_broker(*broker));
        follower.or_else(|| self.source.cluster.leader(&partition.source).map(|leader| leader.broker))
    }

    pub(super) fn dispatch_fetch(&mut self, now: Instant) {
        self.fetching.short_of_memory = false;
        self.fetching.wake_at = None;
        for index in std::mem::take(&mut self.fetching.leaving) {
            self.leave_session(index);
            self.reconsider(index, now);
        }
        for id in self.fetching.hungry.keys() {
            self.fetching.brokers.entry(id).or_insert_with(Broker::new);
        }
        let ids: Vec<i32> = self.fetching.brokers.keys().copied().collect();
        for id in ids {
            let hungry = self.fetching.hungry.len(id) > 0;
            let Some(broker) = self.fetching.brokers.get_mut(&id) else { continue };
            if broker.not_before.is_some_and(|at| at > now) {
                continue;
            }
            broker.not_before = None;
            if broker.session.as_ref().is_some_and(|session| hungry || !session.is_empty()) {
                // Those that have caught up join this round, or they would be asked for beside it for ever.
                if !(broker.catching_up && broker.caught_up) {
                    self.follow(id, now);
                }
            } else if hungry && broker.session.is_none() && !broker.catching_up {
                self.catch_up(id, now);
            }
        }
    }

    /// Takes a partition out of its session; as long as that is under way, it goes on leaving.
    fn leave_session(&mut self, index: usize) {
        let Place::Follow(id) = self.fetching.places[index] else { return };
        match self.fetching.brokers.get_mut(&id).and_then(|broker| broker.session.as_mut()) {
            Some(session) => {
                session.remove(&self.partitions[index].source);
                self.fetching.places[index] = Place::Nowhere;
                self.partitions[index].fetch_done();
            }
            None => {
                self.fetching.leaving.insert(index);
            }
        }
    }

    /// Memory for an answer of up to `ask` bytes, as far as the rate allows.
    fn room(&mut self, ask: usize, now: Instant) -> Option<Reservation> {
        let mut most = ask;
        for cap in [&self.rate, &self.limits.rate] {
            match cap.room(now) {
                Room::Any => {}
                Room::Bytes(bytes) => most = most.min(bytes.max(LEAST_ASK)),
                Room::Later(at) => {
                    self.fetching.wake_at = Some(self.fetching.wake_at.map_or(at, |known| known.min(at)));
                    return None;
                }
            }
        }
        let room = self.limits.budget.reserve(LEAST_ASK.min(most), most);
        self.fetching.short_of_memory |= room.is_none();
        room
    }

    fn limits_of(&self, room: &Reservation, max_wait: Duration) -> FetchLimits {
        let max_bytes = i32::try_from(room.bytes()).unwrap_or(i32::MAX).min(self.settings.max_bytes);
        FetchLimits {
            max_wait,
            min_bytes: self.settings.min_bytes,
            max_bytes,
            read_committed: self.settings.read_committed,
        }
    }

    /// A broker that asked for silence (KIP-219) is not asked for anything, and no memory kept for its answer.
    fn is_muted(&mut self, id: i32, lane: FetchLane, now: Instant) -> bool {
        let until = self.source.cluster.fetch_muted_until(id, lane).filter(|until| *until > now);
        if let Some(until) = until {
            let wake = self.fetching.wake_at.map_or(until, |known| known.min(until));
            self.fetching.wake_at = Some(wake);
        }
        until.is_some()
    }

    fn follow(&mut self, id: i32, now: Instant) {
        if self.is_muted(id, FetchLane::Follow, now) {
            return;
        }
        let ask = self.fetching.brokers.get(&id).map_or(FIRST_ASK, |broker| broker.follow_ask);
        let Some(room) = self.room(ask, now) else { return };
        let Some(mut session) = self.fetching.brokers.get_mut(&id).and_then(|broker| broker.session.take()) else {
            return;
        };
        while let Some(index) = self.fetching.hungry.pop(id) {
            if let Some(wanted) = self.wanted(index, now) {
                session.put(wanted);
                self.fetching.places[index] = Place::Follow(id);
            }
        }
        if session.is_empty() {
            if let Some(broker) = self.fetching.brokers.get_mut(&id) {
                broker.session = Some(session);
            }
            return;
        }
        self.fetching.is_due(id, FetchLane::Follow, Some(now + self.settings.max_wait + OVERDUE));
        let limits = self.limits_of(&room, self.settings.max_wait);
        let cluster = self.source.cluster.clone();
        self.work.push(Box::pin(async move {
            let reserved = room.bytes();
            let answer = cluster.fetch_round(id, FetchLane::Follow, &mut session, &limits, room).await;
            let asked = Vec::new();
            Done::Fetched(Box::new(Fetched {
                broker: id,
                session: Some(session),
                asked,
                reserved,
                sent_at: now,
                answer,
            }))
        }));
    }

    fn catch_up(&mut self, id: i32, now: Instant) {
        if self.is_muted(id, FetchLane::CatchUp, now) {
            return;
        }
        let ask = self.fetching.brokers.get(&id).map_or(NEAR_ASK, |broker| broker.catch_up_ask);
        let Some(room) = self.room(ask, now) else { return };
        let (mut asked, mut partitions) = (Vec::new(), Vec::new());
        while let Some(index) = self.fetching.hungry.pop(id) {
            if let Some(wanted) = self.wanted(index, now) {
                partitions.push(wanted);
                asked.push(index);
                self.fetching.places[index] = Place::CatchUp;
            }
        }
        if partitions.is_empty() {
            return;
        }
        if let Some(broker) = self.fetching.brokers.get_mut(&id) {
            broker.catching_up = true;
        }
        self.fetching.is_due(id, FetchLane::CatchUp, Some(now + CATCH_UP_WAIT + OVERDUE));
        // A client that asks for more than a record at a time says so for the sake of its requests' number; one that is behind has more.
        let limits = FetchLimits { min_bytes: 1, ..self.limits_of(&room, CATCH_UP_WAIT) };
        let cluster = self.source.cluster.clone();
        self.work.push(Box::pin(async move {
            let reserved = room.bytes();
            let answer = cluster.fetch_once(id, FetchLane::CatchUp, &partitions, &limits, room).await;
            Done::Fetched(Box::new(Fetched { broker: id, session: None, asked, reserved, sent_at: now, answer }))
        }));
    }

    /// What to ask for a partition, if it still wants anything.
    fn wanted(&mut self, index: usize, now: Instant) -> Option<FetchPartition> {
        let share = self.limits.share(self.fetching.far);
        let goes_on = self.goes_on(index);
        let partition = &mut self.partitions[index];
        if !goes_on || self.asking.contains(&index) || !partition.wants_fetch(now, share) {
            return None;
        }
        let leader = self.source.cluster.leader(&partition.source)?;
        partition.fetch_sent();
        let most = usize::try_from(self.settings.max_partition_bytes).unwrap_or(usize::MAX);
        let bytes = share.min(most).max(partition.largest_batch());
        Some(FetchPartition {
            partition: partition.source.clone(),
            topic_id: leader.topic_id,
            offset: partition.position(),
            leader_epoch: leader.epoch,
            last_epoch: partition.last_epoch(),
            max_bytes: i32::try_from(bytes).unwrap_or(i32::MAX),
            tag: index,
        })
    }

    pub(super) fn fetched(&mut self, done: Fetched, now: Instant) {
        let Fetched { broker: id, mut session, asked, reserved, sent_at, answer } = done;
        let lane = if session.is_some() { FetchLane::Follow } else { FetchLane::CatchUp };
        self.fetching.is_due(id, lane, None);
        let what = || format!("Fetch from broker {id}");
        let parts = match answer {
            Ok(parts) => parts,
            Err(cause) => {
                self.source.failed(what(), &cause.to_string(), &self.name);
                self.source.refresh_wanted = true;
                return self.fetch_lost(id, session.is_some(), &asked, now);
            }
        };
        self.source.worked(what, &self.name);
        let came = parts.iter().map(|part| part.records.len()).sum();
        self.rate.spend(came, now);
        self.limits.rate.spend(came, now);
        if is_much(came, reserved) {
            self.fetching.far = now.duration_since(sent_at) >= FAR;
        }
        let most = if self.fetching.far { FAR_ASK } else { NEAR_ASK }.min(self.fetching.part);
        if let Some(broker) = self.fetching.brokers.get_mut(&id) {
            broker.backoff.reset();
            let ask = if session.is_some() { &mut broker.follow_ask } else { &mut broker.catch_up_ask };
            *ask = Fetching::asks_more(reserved, came, most);
            if session.is_none() {
                broker.catching_up = false;
                broker.caught_up = came == 0;
            }
        }
        let place = if session.is_some() { Place::Follow(id) } else { Place::CatchUp };
        let mut answered = Vec::with_capacity(parts.len());
        for part in parts {
            let index = part.tag;
            if self.fetching.places.get(index).is_none_or(|at| *at != place) {
                continue;
            }
            self.fetching.places[index] = Place::Nowhere;
            if self.partitions[index].fetch_done() && self.goes_on(index) {
                self.fetched_one(index, part, now);
            }
            answered.push(index);
        }
        if let Some(session) = &mut session {
            // What goes on stays in the session; the rest leaves it.
            for index in &answered {
                let stays = self.broker_for(*index, now) == Some(id);
                match self.wanted(*index, now).filter(|_| stays) {
                    Some(wanted) => {
                        session.put(wanted);
                        self.fetching.places[*index] = Place::Follow(id);
                    }
                    None => {
                        self.partitions[*index].fetch_done();
                        session.remove(&self.partitions[*index].source);
                    }
                }
            }
        } else {
            for index in asked {
                if self.fetching.places[index] == Place::CatchUp {
                    self.fetching.places[index] = Place::Nowhere;
                    self.partitions[index].fetch_done();
                }
                self.reconsider(index, now);
            }
        }
        if let (Some(session), Some(broker)) = (session, self.fetching.brokers.get_mut(&id)) {
            broker.session = Some(session);
        }
        answered.into_iter().for_each(|index| self.reconsider(index, now));
    }

    fn fetched_one(&mut self, index: usize, part: FetchedPartition, now: Instant) {
        let alias = self.source.cluster.alias().to_owned();
        let error = ResponseError::try_from_code(part.error);
        let partition = &mut self.partitions[index];
        let is_diverged = is_diverged(&part);
        // A follower that can't answer, or is behind, says nothing about the leader.
        if (error.is_some() || is_diverged) && partition.leave_follower() {
            self.source.refresh_wanted = true;
            return;
        }
        // The leader names a follower that has just come back, and goes on naming it.
        let is_unlisted = part.preferred_replica.is_some_and(|broker| !self.source.cluster.knows_broker(broker));
        if is_unlisted && part.records.is_empty() && error.is_none() {
            partition.fetch_failed(now);
            self.source.refresh_wanted = true;
            return;
        }
        let verdict = match error {
            None if !is_diverged => partition.fetched(&alias, part, now),
            None | Some(ResponseError::OffsetOutOfRange) => {
                self.look_up_bounds(index);
                Verdict::Wait
            }
            Some(_) => partition.fetch_refused(&alias, part.error, now),
        };
        self.passed_over(index);
        self.act_on(verdict, Side::Source, index);
    }

    /// A broker did not answer. All that it was asked for is to be asked for again, after a moment, and perhaps elsewhere.
    fn fetch_lost(&mut self, id: i32, follow: bool, asked: &[usize], now: Instant) {
        if let Some(broker) = self.fetching.brokers.get_mut(&id) {
            broker.not_before = Some(now + broker.backoff.next_wait());
            if follow {
                broker.session = Some(FetchSession::new());
            } else {
                broker.catching_up = false;
            }
        }
        let lost: Vec<usize> = if follow {
            (0..self.partitions.len()).filter(|i| self.fetching.places[*i] == Place::Follow(id)).collect()
        } else {
            asked.iter().copied().filter(|index| self.fetching.places[*index] == Place::CatchUp).collect()
        };
        for index in lost {
            self.fetching.places[index] = Place::Nowhere;
            self.partitions[index].fetch_done();
            self.partitions[index].leave_follower();
            self.reconsider(index, now);
        }
    }
}

/// Whether an answer was limited by what was asked for, rather than by what there was.
fn is_much(came: usize, asked: usize) -> bool {
    came * 2 >= asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_follows_what_comes() {
        let most = NEAR_ASK;
        let mut ask = FIRST_ASK;
        for expected in [256 * 1024, 1024 * 1024, NEAR_ASK, NEAR_ASK] {
            ask = Fetching::asks_more(ask, ask, most);
            assert_eq!(ask, expected);
        }
        assert_eq!(Fetching::asks_more(ask, ask / 4, most), ask, "a fair part of it");
        for _ in 0..10 {
            ask = Fetching::asks_more(ask, 0, most);
        }
        assert_eq!(ask, FIRST_ASK);
        assert_eq!(Fetching::asks_more(FAR_ASK, FAR_ASK / 4, most), most, "it is near again");
        assert_eq!(Fetching::asks_more(FIRST_ASK, 0, 1), LEAST_ASK, "a budget of next to nothing");
    }
}
