//! What the life cycle decides, as pure functions: time and randomness come in as parameters.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::plugin::{Refreshed, Share, SourceTrouble};
use crate::{
    config::{ConnectorClass, LIVE_KEYS, Properties},
    flow::{FlowStatus, PoisonCount},
    records::State,
};

/// Most lines of a trace that name one topic or partition each: a status is one record, with a broker's limit of 1 MiB.
/// The log names all.
const MOST_NAMED: usize = 200;

/// A pause before the next attempt: doubles from `least` up to `most`, of which the upper half is random so that
/// workers that failed together don't come back together. `random` is in 0..1.
pub(super) fn backoff(failures: u32, least: Duration, most: Duration, random: f64) -> Duration {
    let doubled = least.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(20)));
    let full = doubled.min(most);
    full.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
}

/// Whether something that is asked now and then still answers.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    last: Instant,
    failure: Option<String>,
}

impl Reach {
    /// Counts from `now`, as if it had just answered.
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, failure: None }
    }

    /// It answered.
    pub(super) fn answered(&mut self, now: Instant) {
        self.last = now;
        self.failure = None;
    }

    /// It did not, for this reason.
    pub(super) fn failed(&mut self, cause: String) {
        self.failure = Some(cause);
    }

    /// Why the last question has no answer.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Why it must be called lost: it has failed to answer, and for longer than `patience`.
    pub(super) fn lost(&self, now: Instant, patience: Duration) -> Option<&str> {
        let silent = now.saturating_duration_since(self.last) > patience;
        self.failure().filter(|_| silent)
    }
}

/// State and trace of a connector that has begun. Whatever fails it, its tasks run on: what is worst is told.
///
/// `trouble` is what is wrong with the source, `refresh` why refreshing has failed for some time, `found` what the last
/// refresh that did not fail found.
pub(super) fn connector_state(
    trouble: Option<&SourceTrouble>,
    refresh: Option<&str>,
    found: &Refreshed,
) -> (State, Option<String>) {
    let trace = match (trouble, refresh) {
        (Some(SourceTrouble::Changed(text)), _) => format!("kmirror.SourceChanged: {text}"),
        (Some(SourceTrouble::Silent(text)), _) => format!("kmirror.SourceUnreachable: {text}"),
        (None, Some(error)) => format!("kmirror.RefreshFailed: {error}"),
        (None, None) if found.failures.is_empty() => return (State::Running, None),
        (None, None) => {
            let count = found.failures.len();
            let verb = if count == 1 { "is" } else { "are" };
            let first = format!("kmirror.TopicsNotMirrored: {count} of {} topics {verb} not mirrored", found.topics);
            named(first, &found.failures)
        }
    };
    (State::Failed, Some(trace))
}

/// A trace's first line, and one line for each that it is about.
fn named<K: std::fmt::Display>(first: String, reasons: &BTreeMap<K, String>) -> String {
    let mut trace = first;
    for (what, reason) in reasons.iter().take(MOST_NAMED) {
        trace.push_str(&format!("\n\t{what}: {reason}"));
    }
    if let Some(more @ 1..) = reasons.len().checked_sub(MOST_NAMED) {
        trace.push_str(&format!("\n\tand {more} more, which the log names"));
    }
    trace
}

/// State and trace of a task: one stopped partition makes it FAILED, though the others go on. Records that were left out or are held back
/// leave it RUNNING, with a trace.
pub(super) fn task_state(
    partitions: usize,
    FlowStatus { stopped, held_back, poison, gaps }: &FlowStatus,
) -> (State, Option<String>) {
    let mut traces = Vec::new();
    if !stopped.is_empty() {
        let count = stopped.len();
        let first = format!("kmirror.PartitionsStopped: {count} of {partitions} partitions stopped");
        traces.push(named(first, stopped));
    }
    if !gaps.is_empty() {
        let count = gaps.len();
        let first = format!("kmirror.GapsPassed: {count} of {partitions} partitions went on behind a gap");
        traces.push(named(first, gaps));
    }
    if !poison.is_empty() {
        let of =
            |count: &PoisonCount| format!("{}, the last at offset {}: {}", count.records, count.next - 1, count.last);
        let reasons = poison.iter().map(|(partition, count)| (partition, of(count))).collect();
        let records: u64 = poison.values().map(|count| count.records).sum();
        traces.push(named(format!("kmirror.RecordsLeftOut: the target refused {records} records"), &reasons));
    }
    if !held_back.is_empty() {
        let first = "kmirror.TransactionsOpen: transactions that stay open hold records back, from these offsets on";
        let reasons = held_back.iter().map(|(partition, offset)| (partition, format!("offset {offset}"))).collect();
        traces.push(named(first.to_owned(), &reasons));
    }
    let state = if stopped.is_empty() { State::Running } else { State::Failed };
    (state, (!traces.is_empty()).then(|| traces.join("\n")))
}

/// Task configurations as MirrorMaker's connectors make them, and Connect completes: the connector's own, with class, number and what is the
/// task's.
pub(super) fn task_configs(connector: &Properties, shares: &[Share]) -> Vec<Properties> {
    let config = |(index, share): (usize, &Share)| {
        let (class, assigned) = match share {
            Share::Partitions(partitions) => {
                let assigned: Vec<String> = partitions.iter().map(ToString::to_string).collect();
                (ConnectorClass::MirrorSource, Some(("task.assigned.partitions", assigned.join(","))))
            }
            Share::Groups(groups) => {
                (ConnectorClass::MirrorCheckpoint, Some(("task.assigned.groups", groups.join(","))))
            }
            Share::Heartbeats => (ConnectorClass::MirrorHeartbeat, None),
        };
        let mut config = connector.clone();
        config.insert("task.class".to_owned(), class.task_name().to_owned());
        if let Some((key, assigned)) = assigned {
            config.insert("task.index".to_owned(), index.to_string());
            config.insert(key.to_owned(), assigned);
        }
        config
    };
    shares.iter().enumerate().map(config).collect()
}

/// Which running tasks have to end: those that are asked for, that are too many, and whose configuration changed in more
/// than what holds for running tasks anyway.
pub(super) fn to_drain<'a>(
    running: impl IntoIterator<Item = (u32, &'a Properties)>,
    wanted: &[Properties],
    asked: &BTreeSet<u32>,
) -> Vec<u32> {
    let ends = |task: u32, config: &Properties| {
        let wanted = usize::try_from(task).ok().and_then(|n| wanted.get(n));
        let same = wanted.is_some_and(|wanted| but_live(wanted).eq(but_live(config)));
        !same || asked.contains(&task)
    };
    running.into_iter().filter(|(task, config)| ends(*task, config)).map(|(task, _)| task).collect()
}

fn but_live(config: &Properties) -> impl Iterator<Item = (&String, &String)> {
    config.iter().filter(|(key, _)| !LIVE_KEYS.contains(&key.as_str()))
}

/// What a restart call chooses (KIP-745): `status` is the state of each.
pub(super) fn restart_plan(
    connector: State,
    tasks: &[(u32, State)],
    include_tasks: bool,
    only_failed: bool,
) -> (bool, BTreeSet<u32>) {
    let chosen = |state: State| !only_failed || state == State::Failed;
    let tasks = tasks.iter().filter(|(_, state)| include_tasks && chosen(*state)).map(|(task, _)| *task);
    (chosen(connector), tasks.collect())
}

#[cfg(test)]
mod tests {
    use wire::TopicPartition;

    use super::*;

    fn tp(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition::new(topic, partition)
    }

    #[test]
    fn backoff_grows_to_its_limit_and_is_spread() {
        let pause =
            |failures, random| backoff(failures, Duration::from_secs(1), Duration::from_secs(30), random).as_millis();
        assert_eq!([pause(1, 1.0), pause(2, 1.0), pause(3, 1.0)], [1000, 2000, 4000]);
        assert_eq!([pause(6, 1.0), pause(60, 1.0), pause(u32::MAX, 1.0)], [30_000; 3]);
        assert_eq!([pause(1, 0.0), pause(2, 0.0), pause(60, 0.0)], [500, 1000, 15_000]);
        assert_eq!(pause(0, 1.0), 1000);
    }

    #[test]
    fn lost_needs_a_failure_and_time() {
        let start = Instant::now();
        let after = |s| start + Duration::from_secs(s);
        let patience = Duration::from_secs(15);
        let mut reach = Reach::new(start);
        assert_eq!(reach.lost(after(100), patience), None);
        reach.failed("refused".into());
        assert_eq!(reach.lost(after(15), patience), None);
        assert_eq!(reach.lost(after(16), patience), Some("refused"));
        reach.answered(after(17));
        assert_eq!(reach.lost(after(60), patience), None);
    }

    #[test]
    fn one_stopped_partition_fails_its_task_by_name() {
        let mut stopped = BTreeMap::new();
        assert_eq!(
            task_state(4, &FlowStatus { stopped: stopped.clone(), ..FlowStatus::default() }),
            (State::Running, None)
        );
        stopped.insert(tp("orders", 2), "record too large".into());
        stopped.insert(tp("orders", 0), "DATA_LOSS [0,7)".into());
        let trace = "kmirror.PartitionsStopped: 2 of 4 partitions stopped\n\torders-0: DATA_LOSS [0,7)\n\torders-2: record too large";
        assert_eq!(
            task_state(4, &FlowStatus { stopped: stopped.clone(), ..FlowStatus::default() }),
            (State::Failed, Some(trace.to_owned()))
        );
    }

    #[test]
    fn the_worst_fails_a_connector() {
        let failures = [("a", "creating topic A.a failed: denied"), ("b", "denied")];
        let found = |count: usize| Refreshed {
            shares: Vec::new(),
            topics: 5,
            failures: failures[..count].iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Refreshed::default()
        };
        let trace = |trouble: Option<&SourceTrouble>, refresh, count| {
            let (state, trace) = connector_state(trouble, refresh, &found(count));
            assert_eq!(state == State::Failed, trace.is_some());
            trace.unwrap_or_default()
        };
        assert_eq!(trace(None, None, 0), "");
        assert_eq!(
            trace(None, None, 1),
            "kmirror.TopicsNotMirrored: 1 of 5 topics is not mirrored\n\ta: creating topic A.a failed: denied"
        );
        assert!(trace(None, None, 2).starts_with("kmirror.TopicsNotMirrored: 2 of 5 topics are not mirrored\n\ta: "));
        assert_eq!(trace(None, Some("late"), 2), "kmirror.RefreshFailed: late");
        let silent = SourceTrouble::Silent("refused".into());
        assert_eq!(trace(Some(&silent), Some("late"), 2), "kmirror.SourceUnreachable: refused");
        let changed = SourceTrouble::Changed("x is y".into());
        assert_eq!(trace(Some(&changed), None, 0), "kmirror.SourceChanged: x is y");
    }

    #[test]
    fn a_trace_fits_into_a_record() {
        let stopped = (0..5_000).map(|p| (tp("t", p), "x".repeat(500))).collect();
        let trace = task_state(6_000, &FlowStatus { stopped, ..FlowStatus::default() }).1.unwrap();
        assert!(trace.starts_with("kmirror.PartitionsStopped: 5000 of 6000 partitions stopped\n\tt-0: x"));
        assert!(trace.ends_with("\n\tand 4800 more, which the log names"));
        assert!(trace.len() < 200_000, "{}", trace.len());
    }

    #[test]
    fn records_left_out_show_in_a_running_task() {
        let count = PoisonCount { records: 2, next: 18, last: "MESSAGE_TOO_LARGE".to_owned() };
        let poison = BTreeMap::from([(tp("t", 3), count)]);
        let left_out =
            "kmirror.RecordsLeftOut: the target refused 2 records\n\tt-3: 2, the last at offset 17: MESSAGE_TOO_LARGE";
        assert_eq!(task_state(4, &FlowStatus::default()), (State::Running, None));
        let mut status = FlowStatus { poison, ..FlowStatus::default() };
        assert_eq!(task_state(4, &status), (State::Running, Some(left_out.to_owned())));
        status.held_back.insert(tp("t", 2), 99);
        let (state, trace) = task_state(4, &status);
        assert_eq!(state, State::Running);
        let open = "kmirror.TransactionsOpen: transactions that stay open hold records back, from these offsets on\n\tt-2: offset 99";
        assert_eq!(trace, Some(format!("{left_out}\n{open}")));
        status.held_back.clear();
        status.stopped.insert(tp("t", 0), "gone".to_owned());
        let (state, trace) = task_state(4, &status);
        let expected = format!("kmirror.PartitionsStopped: 1 of 4 partitions stopped\n\tt-0: gone\n{left_out}");
        assert_eq!((state, trace), (State::Failed, Some(expected)));
    }

    #[test]
    fn gaps_that_were_passed_show_in_a_running_task() {
        let mut status = FlowStatus::default();
        status.gaps.insert(tp("orders", 2), "DATA_LOSS: source offsets [7, 12) were removed".to_owned());
        let passed = "kmirror.GapsPassed: 1 of 3 partitions went on behind a gap\n\torders-2: DATA_LOSS: source offsets [7, 12) were removed";
        assert_eq!(task_state(3, &status), (State::Running, Some(passed.to_owned())));
        status.gaps.extend((0..300).map(|partition| (tp("t", partition), "ANCHOR_LOST".to_owned())));
        let trace = task_state(301, &status).1.unwrap();
        assert!(trace.starts_with("kmirror.GapsPassed: 301 of 301 partitions went on behind a gap\n\torders-2: "));
        assert!(trace.ends_with("\n\tt-198: ANCHOR_LOST\n\tand 101 more, which the log names"), "{trace}");
        // What stopped is told first.
        status.gaps.retain(|partition, _| partition.topic == "orders");
        status.stopped.insert(tp("orders", 0), "TOPIC_RECREATED".to_owned());
        let stopped = "kmirror.PartitionsStopped: 1 of 3 partitions stopped\n\torders-0: TOPIC_RECREATED";
        let expected = (State::Failed, Some(format!("{stopped}\n{passed}")));
        assert_eq!(task_state(3, &status), expected);
    }

    fn copies<const N: usize>(split: [Vec<TopicPartition>; N]) -> Vec<Share> {
        split.map(Share::Partitions).into()
    }

    #[test]
    fn task_configs_are_mirror_makers() {
        let connector: Properties = [("name".to_owned(), "mm2-msc".to_owned())].into();
        let configs = task_configs(&connector, &copies([vec![tp("t1", 0), tp("t2", 3)], vec![tp("t1", 1)]]));
        let expected: Properties = [
            ("name", "mm2-msc"),
            ("task.assigned.partitions", "t1-0,t2-3"),
            ("task.class", "org.apache.kafka.connect.mirror.MirrorSourceTask"),
            ("task.index", "0"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
        assert_eq!(configs[0], expected);
        assert_eq!((configs[1]["task.index"].as_str(), configs[1]["task.assigned.partitions"].as_str()), ("1", "t1-1"));
        assert_eq!(configs.len(), 2);
    }

    #[test]
    fn only_what_changed_is_drained() {
        let configs = task_configs(&Properties::new(), &copies([vec![tp("t", 0)], vec![tp("t", 1)], vec![tp("t", 2)]]));
        let running = || (0..).zip(&configs);
        assert_eq!(to_drain(running(), &configs, &BTreeSet::new()), Vec::<u32>::new());
        assert_eq!(to_drain(running(), &configs, &[1].into()), [1]);
        assert_eq!(to_drain(running(), &configs[..1], &BTreeSet::new()), [1, 2]);
        let other = task_configs(
            &Properties::new(),
            &copies([vec![tp("t", 0)], vec![tp("t", 1), tp("t", 3)], vec![tp("t", 2)]]),
        );
        assert_eq!(to_drain(running(), &other, &BTreeSet::new()), [1]);
    }

    #[test]
    fn a_cap_drains_nothing() {
        let configs = |entries: &[(&str, &str)]| {
            let config = entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            task_configs(&config, &copies([vec![tp("t", 0)], vec![tp("t", 1)]]))
        };
        let cap = "kmirror.max.bytes.per.second";
        let drained = |before: &[(&str, &str)], after: &[(&str, &str)]| {
            to_drain((0..).zip(&configs(before)), &configs(after), &BTreeSet::new())
        };
        for (before, after) in [("7", Some("8")), ("8", None)] {
            let after: Vec<_> = after.map(|value| (cap, value)).into_iter().collect();
            assert_eq!(drained(&[(cap, before)], &after), Vec::<u32>::new());
            assert_eq!(drained(&after, &[(cap, before)]), Vec::<u32>::new());
        }
        assert_eq!(drained(&[(cap, "7"), ("name", "c")], &[(cap, "8"), ("name", "d")]), [0, 1]);
    }

    #[test]
    fn restarts_choose_as_in_kip_745() {
        use State::{Failed, Running};
        let tasks = [(0, Running), (1, Failed)];
        assert_eq!(restart_plan(Running, &tasks, false, false), (true, BTreeSet::new()));
        assert_eq!(restart_plan(Running, &tasks, false, true), (false, BTreeSet::new()));
        assert_eq!(restart_plan(Failed, &tasks, false, true), (true, BTreeSet::new()));
        assert_eq!(restart_plan(Running, &tasks, true, false), (true, [0, 1].into()));
        assert_eq!(restart_plan(Running, &tasks, true, true), (false, [1].into()));
    }
}
