//! Many groups' requests, each to its group's coordinator (KIP-699, KIP-709): a broker is asked for some at a time, several brokers at once.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use kafka_protocol::{messages::FindCoordinatorRequest, protocol::StrBytes};
use tokio::time::{Instant, sleep};

use super::text;
use crate::{
    backoff::Backoff,
    call::Call,
    cluster::Cluster,
    error::{Error, Recovery, Result},
};

/// Groups whose coordinators are asked for at once.
const KEYS_PER_REQUEST: usize = 500;
/// FindCoordinator's key type of a group.
const GROUP: i8 = 0;

/// What was told, by group. Groups that are left out are asked again.
pub(super) type Told<T> = HashMap<String, Result<T>>;

/// How much is asked of a broker at a time. The connection is shared with metadata and whatever else waits for few bytes, and a broker
/// answers one request of a connection at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Items in one request.
    pub(super) per_request: usize,
    /// Requests under way at one broker.
    pub(super) in_flight: usize,
    /// How long to go on while nothing succeeds.
    pub(super) patience: Duration,
}

/// Asks until each item has an outcome that asking again would not change, or nothing has got one for `pace.patience`. `groups` are the
/// items' groups; the outcomes have their order. `find` tells coordinators, `ask` asks one of them about items by their numbers.
///
/// # Errors
/// `find`'s.
pub(super) async fn ask_coordinators<T, Find, Ask>(
    groups: &[&str],
    pace: Pace,
    find: impl Fn(Vec<String>) -> Find,
    ask: impl Fn(i32, Vec<usize>) -> Ask,
    unanswered: impl Fn(&str) -> Error,
) -> Result<Vec<Result<T>>>
where
    Find: Future<Output = Result<Told<i32>>>,
    Ask: Future<Output = Result<Told<T>>>,
{
    let mut outcomes: Vec<Option<Result<T>>> = groups.iter().map(|_| None).collect();
    let mut failures: HashMap<usize, Error> = HashMap::new();
    let mut coordinators: HashMap<String, i32> = HashMap::new();
    let mut backoff = Backoff::for_requests();
    let mut give_up = Instant::now() + pace.patience;
    let mut left = groups.len();
    while left > 0 {
        let open = || (0..groups.len()).filter(|item| outcomes[*item].is_none());
        let lost: HashSet<&str> = open().map(|item| groups[item]).filter(|g| !coordinators.contains_key(*g)).collect();
        let lost: Vec<String> = lost.into_iter().map(str::to_owned).collect();
        let found = if lost.is_empty() { Told::new() } else { find(lost).await? };
        let mut told: Vec<(usize, Result<T>)> = Vec::new();
        let mut by_broker: HashMap<i32, VecDeque<usize>> = HashMap::new();
        for item in open() {
            let group = groups[item];
            match found.get(group) {
                Some(Err(failure)) => told.push((item, Err(failure.clone()))),
                Some(Ok(broker)) => drop(coordinators.insert(group.to_owned(), *broker)),
                None => {}
            }
            if let Some(broker) = coordinators.get(group) {
                by_broker.entry(*broker).or_default().push_back(item);
            }
        }
        let asked =
            by_broker.into_iter().map(|(broker, items)| ask_one(broker, items, groups, pace, &ask, &unanswered));
        told.extend(join_all(asked).await.into_iter().flatten());
        for (item, outcome) in told {
            match outcome {
                Err(failure) if failure.recovery() != Recovery::Fatal => {
                    coordinators.remove(groups[item]);
                    failures.insert(item, failure);
                }
                outcome => outcomes[item] = Some(outcome),
            }
        }
        let before = std::mem::replace(&mut left, outcomes.iter().filter(|outcome| outcome.is_none()).count());
        if left == 0 {
            break;
        }
        if left < before {
            backoff.reset();
            give_up = Instant::now() + pace.patience;
        }
        let wait = backoff.next_wait();
        if Instant::now() + wait >= give_up {
            break;
        }
        tracing::debug!(left, "asking coordinators again");
        sleep(wait).await;
    }
    let outcome = |(item, outcome): (usize, Option<Result<T>>)| {
        outcome.unwrap_or_else(|| Err(failures.remove(&item).unwrap_or_else(|| unanswered(groups[item]))))
    };
    Ok(outcomes.into_iter().enumerate().map(outcome).collect())
}

/// One broker's items, until all are answered or the broker fails.
async fn ask_one<T, Ask: Future<Output = Result<Told<T>>>>(
    broker: i32,
    items: VecDeque<usize>,
    groups: &[&str],
    pace: Pace,
    ask: &impl Fn(i32, Vec<usize>) -> Ask,
    unanswered: &impl Fn(&str) -> Error,
) -> Vec<(usize, Result<T>)> {
    let queue = Mutex::new(items);
    let queue = || queue.lock().unwrap_or_else(PoisonError::into_inner);
    let lanes = (0..pace.in_flight).map(async |_| {
        let mut told = Vec::new();
        loop {
            let items: Vec<usize> = {
                let mut queue = queue();
                let count = pace.per_request.min(queue.len());
                queue.drain(..count).collect()
            };
            if items.is_empty() {
                return told;
            }
            match ask(broker, items.clone()).await {
                Ok(mut answer) => {
                    let was = answer.len();
                    let (mut answered, mut passed_over) = (Vec::new(), Vec::new());
                    for item in items {
                        match answer.remove(groups[item]) {
                            Some(outcome) => answered.push((item, outcome)),
                            None => passed_over.push(item),
                        }
                    }
                    // An older version answers for the first alone. One that answers for none would be asked for ever.
                    if answered.is_empty() {
                        tracing::debug!(broker, was, "an answer about other groups");
                        let retry = |item: usize| (item, Err(unanswered(groups[item])));
                        told.extend(passed_over.into_iter().map(retry));
                    } else {
                        queue().extend(passed_over);
                    }
                    told.extend(answered);
                }
                // What is left would fail as well, each after its own wait.
                Err(failure) => {
                    let left = std::mem::take(&mut *queue());
                    told.extend(items.into_iter().chain(left).map(|item| (item, Err(failure.clone()))));
                    return told;
                }
            }
        }
    });
    join_all(lanes).await.into_iter().flatten().collect()
}

impl Cluster {
    /// The coordinators of groups, asked for anew.
    pub(super) async fn find_coordinators(&self, groups: Vec<String>) -> Result<Told<i32>> {
        let api = FindCoordinatorRequest::API;
        let mut told = Told::new();
        let mut open: Vec<&str> = groups.iter().map(String::as_str).collect();
        while let Some(first) = open.first() {
            let keys = open.iter().take(KEYS_PER_REQUEST).map(|group| text(group)).collect();
            let request = FindCoordinatorRequest::default().with_key_type(GROUP).with_coordinator_keys(keys);
            let answer = self.any_broker(&request).await?;
            let mut heard: Told<i32> = HashMap::new();
            let mut hear = |group: &str, code: i16, message: Option<StrBytes>, id: i32, host: &str, port: i32| {
                let found = self.check(api, || format!("group {group}"), code, message.map(|m| m.to_string()));
                if found.is_ok() {
                    self.hint_brokers([(id, host, port)].into_iter());
                }
                heard.insert(group.to_owned(), found.map(|()| id));
            };
            if answer.coordinators.is_empty() {
                // Before version 4, which answers for the first.
                let a = answer;
                hear(first, a.error_code, a.error_message, a.node_id.0, &a.host, a.port);
            } else {
                for c in answer.coordinators {
                    hear(&c.key, c.error_code, c.error_message, c.node_id.0, &c.host, c.port);
                }
            }
            let before = open.len();
            open.retain(|group| !heard.contains_key(*group));
            told.extend(heard);
            if open.len() == before {
                // Left out of the answer: asked again in the next round.
                break;
            }
        }
        Ok(told)
    }

    /// As [`ask_coordinators`], of this cluster. After a round with failures brokers and addresses are asked for anew.
    pub(super) async fn coordinated<T, Ask: Future<Output = Result<Told<T>>>>(
        &self,
        api: &'static str,
        groups: &[&str],
        (per_request, in_flight): (usize, usize),
        ask: impl Fn(i32, Vec<usize>) -> Ask,
    ) -> Result<Vec<Result<T>>> {
        let pace = Pace { per_request, in_flight, patience: self.request_timeout() };
        let again = AtomicBool::new(false);
        let find = |groups: Vec<String>| async {
            // A broker that has moved is known by its new address only then.
            if again.swap(true, Ordering::Relaxed) {
                self.brokers().await?;
            }
            self.find_coordinators(groups).await
        };
        let unanswered = |group: &str| self.unanswered(api, &format!("group {group}"));
        ask_coordinators(groups, pace, find, ask, unanswered).await
    }
}
