//! What happens to copies that somebody has to know of: gaps, and what others write.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use wire::TopicPartition;

/// Events kept of a connector; the oldest go first.
const KEPT: usize = 1000;
/// What is only reported, and goes on, is one event for so long.
const ONE_EVENT: Duration = Duration::from_secs(60);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// Records of the source were gone before they were copied: retention, or DeleteRecords.
    DataLoss,
    /// The source's topic was deleted and made again.
    TopicRecreated,
    /// The source has lost records that were copied, and perhaps others in their place: an unclean election, or a restored broker.
    SourceDiverged,
    /// The position lies behind the end of the source's log.
    PositionBeyondSource,
    /// The target's topic was deleted and made again.
    TargetRecreated,
    /// The target has lost records that it had acknowledged.
    TargetRegressed,
    /// What the target tells of the copy does not fit, so that nobody knows what it has.
    AnchorLost,
    /// Others write to the target's topic.
    ForeignWrites,
    /// Records are there twice.
    RecordsDoubled,
}

impl EventKind {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::DataLoss,
        Self::TopicRecreated,
        Self::SourceDiverged,
        Self::PositionBeyondSource,
        Self::TargetRecreated,
        Self::TargetRegressed,
        Self::AnchorLost,
        Self::ForeignWrites,
        Self::RecordsDoubled,
    ];

    /// As users see it, such as `DATA_LOSS`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DataLoss => "DATA_LOSS",
            Self::TopicRecreated => "TOPIC_RECREATED",
            Self::SourceDiverged => "SOURCE_DIVERGED",
            Self::PositionBeyondSource => "POSITION_BEYOND_SOURCE",
            Self::TargetRecreated => "TARGET_RECREATED",
            Self::TargetRegressed => "TARGET_REGRESSED",
            Self::AnchorLost => "ANCHOR_LOST",
            Self::ForeignWrites => "FOREIGN_WRITES",
            Self::RecordsDoubled => "RECORDS_DOUBLED",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What becomes of a partition that meets a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GapPolicy {
    /// It stops.
    #[default]
    Fail,
    /// It goes on without what is lost.
    Continue,
    /// What the target lacks is copied again.
    Recopy,
}

/// What becomes of partitions, by the kind of gap: those of [`GapPolicies::with`], and [`GapPolicy::Fail`] for all else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GapPolicies(BTreeMap<EventKind, GapPolicy>);

impl GapPolicies {
    /// One policy more.
    #[must_use]
    pub fn with(mut self, kind: EventKind, policy: GapPolicy) -> Self {
        self.0.insert(kind, policy);
        self
    }

    /// The policy for one kind.
    #[must_use]
    pub fn of(&self, kind: EventKind) -> GapPolicy {
        self.0.get(&kind).copied().unwrap_or_default()
    }
}

/// Whose offsets an event speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetsOf {
    /// The source's.
    Source,
    /// The target's.
    Target,
}

/// What was done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The partition stopped.
    Stopped,
    /// It goes on, from this source offset; the first there is if none.
    WentOn(Option<i64>),
    /// Nothing: the copy is not disturbed.
    Reported,
}

/// What happened to the copy of a partition, before it is numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// What.
    pub kind: EventKind,
    /// The partition that is copied.
    pub source: TopicPartition,
    /// Where to.
    pub target: TopicPartition,
    /// Whose offsets the next two are.
    pub offsets_of: OffsetsOf,
    /// First offset that it is about, −1 where that is not known.
    pub from: i64,
    /// One past the last, −1 where that is not known.
    pub to: i64,
    /// Records that it is about, where they were counted.
    pub records: Option<u64>,
    /// What was done about it.
    pub action: Action,
    /// All that in words.
    pub message: String,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Ascending from 1, in the order in which events began.
    pub id: u64,
    /// When it began.
    pub at: SystemTime,
    /// When it was added to last.
    pub last_at: SystemTime,
    /// What happened.
    pub what: Happened,
}

/// Events of a kind since the worker started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventCount {
    /// How many.
    pub events: u64,
    /// Records that they were about, as far as they were counted.
    pub records: u64,
}

/// The events of a connector; clones share them. Its life cycle keeps them, tasks come and go.
#[derive(Debug, Clone, Default)]
pub struct Events(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    kept: VecDeque<Event>,
    last_id: u64,
    counts: BTreeMap<EventKind, EventCount>,
}

impl Events {
    /// Something happened: it is logged and kept. What is only reported and goes on with the same partition makes one event a minute.
    pub fn tell(&self, what: Happened) {
        self.tell_at(what, SystemTime::now());
    }

    fn tell_at(&self, what: Happened, now: SystemTime) {
        let mut log = self.log();
        // Its members apart.
        let log = &mut *log;
        let count = log.counts.entry(what.kind).or_default();
        count.records += what.records.unwrap_or(0);
        let same = |event: &&mut Event| {
            let known = &event.what;
            let recent = now.duration_since(event.at).is_ok_and(|age| age < ONE_EVENT);
            recent && (known.kind, known.action) == (what.kind, Action::Reported) && known.source == what.source
        };
        if what.action == Action::Reported
            && let Some(event) = log.kept.iter_mut().rev().find(same)
        {
            event.last_at = now;
            event.what.to = what.to;
            event.what.records = event.what.records.zip(what.records).map(|(known, more)| known + more);
            return;
        }
        count.events += 1;
        let Happened { kind, source, target, action, message, .. } = &what;
        match action {
            // The flow says so, as of all that stops.
            Action::Stopped => {}
            Action::WentOn(at) => {
                tracing::error!(%kind, partition = %source, to = %target, from = at, "{message}: the partition goes on");
            }
            Action::Reported => tracing::warn!(%kind, partition = %source, to = %target, "{message}"),
        }
        log.last_id += 1;
        let id = log.last_id;
        log.kept.push_back(Event { id, at: now, last_at: now, what });
        if log.kept.len() > KEPT {
            log.kept.pop_front();
        }
    }

    /// The newest thousand, oldest first.
    #[must_use]
    pub fn kept(&self) -> Vec<Event> {
        self.log().kept.iter().cloned().collect()
    }

    /// How many there were of each kind; kinds without any are left out.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<EventKind, EventCount> {
        self.log().counts.clone()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happened(kind: EventKind, partition: i32, from: i64, action: Action) -> Happened {
        let at = |topic: &str| TopicPartition { topic: topic.to_owned(), partition };
        Happened {
            kind,
            source: at("t"),
            target: at("a.t"),
            offsets_of: OffsetsOf::Target,
            from,
            to: from + 10,
            records: Some(10),
            action,
            message: String::new(),
        }
    }

    #[test]
    fn what_goes_on_is_one_event_a_minute() {
        let (events, start) = (Events::default(), SystemTime::UNIX_EPOCH);
        let foreign = |partition, from| happened(EventKind::ForeignWrites, partition, from, Action::Reported);
        for (second, partition, from) in [(0, 0, 0), (1, 1, 0), (59, 0, 50), (60, 0, 70)] {
            events.tell_at(foreign(partition, from), start + Duration::from_secs(second));
        }
        let told: Vec<_> = events.kept().into_iter().map(|e| (e.id, e.what.from, e.what.to, e.what.records)).collect();
        assert_eq!(told, [(1, 0, 60, Some(20)), (2, 0, 10, Some(10)), (3, 70, 80, Some(10))]);
        let count = EventCount { events: 3, records: 40 };
        assert_eq!(events.counts(), BTreeMap::from([(EventKind::ForeignWrites, count)]));
    }

    #[test]
    fn each_gap_is_an_event_and_the_newest_are_kept() {
        let events = Events::default();
        for from in 0..=KEPT as i64 {
            events.tell(happened(EventKind::DataLoss, 0, from, Action::Stopped));
        }
        let kept = events.kept();
        assert_eq!((kept.len(), kept[0].id, kept[0].what.from), (KEPT, 2, 1));
        assert_eq!(events.counts()[&EventKind::DataLoss].events, KEPT as u64 + 1);
    }

    #[test]
    fn policies_fail_by_default() {
        let policies = GapPolicies::default().with(EventKind::DataLoss, GapPolicy::Continue);
        let of: Vec<_> = EventKind::ALL.into_iter().filter(|kind| policies.of(*kind) != GapPolicy::Fail).collect();
        assert_eq!(of, [EventKind::DataLoss]);
    }
}
