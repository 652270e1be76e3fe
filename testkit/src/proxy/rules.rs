//! Which frames something happens to, and what.

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::Semaphore;

use super::api_key;
use super::watch::{Unanswered, Watch};
use crate::wait::wait_until;

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From client to broker.
    Request,
    /// From broker to client.
    Response,
}

/// A frame as predicates see it.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The request's API key, for responses too.
    pub api_key: i16,
    /// The request's API version, for responses too.
    pub api_version: i16,
    /// The correlation id.
    pub correlation_id: i32,
    /// Which way it goes.
    pub direction: Direction,
    /// Id of the broker at the other end of the connection.
    pub broker: u32,
    /// Which connection through the proxy: no two of one proxy have the same number, open or not.
    pub connection: u64,
    /// The whole frame behind its length: header and body.
    pub bytes: &'a [u8],
}

impl Frame<'_> {
    /// Whether this name stands anywhere in it, be it as a part of another name.
    pub fn mentions(&self, name: &str) -> bool {
        let name = name.as_bytes();
        self.bytes.windows(name.len()).any(|part| part == name)
    }

    /// The topic that a Produce request, or the answer to it, names first; none in other frames and before version 9.
    pub fn produced_topic(&self) -> Option<&[u8]> {
        if self.api_key != api_key::PRODUCE || self.api_version < 9 {
            return None;
        }
        let mut rest = Fields(self.bytes);
        match self.direction {
            Direction::Request => {
                let [.., high, low] = *rest.take(10)?.first_chunk::<10>()?;
                // The client id; −1 for none.
                rest.take(usize::try_from(i16::from_be_bytes([high, low])).unwrap_or(0))?;
                rest.tags()?;
                // Transactional id, acks and timeout.
                rest.compact()?;
                rest.take(6)?;
            }
            Direction::Response => {
                rest.take(4)?;
                rest.tags()?;
            }
        }
        // How many topics.
        rest.number()?;
        rest.compact()
    }
}

/// What of a frame has not been read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// An unsigned varint.
    fn number(&mut self) -> Option<usize> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = usize::from(*self.take(1)?.first()?);
            number |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A string of the flexible versions: its length and one, 0 for none.
    fn compact(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?.saturating_sub(1);
        self.take(length)
    }

    /// Tagged fields, which nobody sends.
    fn tags(&mut self) -> Option<()> {
        (self.number()? == 0).then_some(())
    }
}

pub(super) type Predicate = Arc<dyn Fn(&Frame<'_>) -> bool + Send + Sync>;
type Change = Arc<dyn Fn(&mut Vec<u8>) + Send + Sync>;

#[derive(Clone)]
pub(super) enum Action {
    Hold,
    Drop,
    Delay(Duration),
    Latency(Duration),
    Repeat,
    Cut,
    Mutate(Change),
    Count,
}

/// Frames and what happens to them: an action, narrowed down by the methods.
#[derive(Clone)]
pub struct Rule {
    api_key: Option<i16>,
    direction: Direction,
    action: Action,
    times: u64,
    broker: Option<u32>,
    predicate: Option<Predicate>,
}

impl Rule {
    fn new(api_key: i16, direction: Direction, action: Action) -> Self {
        Self { api_key: Some(api_key), direction, action, times: u64::MAX, broker: None, predicate: None }
    }

    /// Holds frames until [`RuleHandle::release`]. What follows on the same connection waits behind them. A held
    /// request reaches the broker even if its client has closed the connection by then.
    pub fn hold(api_key: i16, direction: Direction) -> Self {
        Self::new(api_key, direction, Action::Hold)
    }

    /// Swallows frames; the connection lives on.
    pub fn drop(api_key: i16, direction: Direction) -> Self {
        Self::new(api_key, direction, Action::Drop)
    }

    /// Lets each frame wait for `by` before it goes on, and what follows on the same connection behind it.
    pub fn delay(api_key: i16, direction: Direction, by: Duration) -> Self {
        Self::new(api_key, direction, Action::Delay(by))
    }

    /// Lets each frame go on `by` after it came, as a long line would: what follows on the same connection waits beside
    /// it, not behind it, so that several may be under way.
    pub fn latency(api_key: i16, direction: Direction, by: Duration) -> Self {
        Self::new(api_key, direction, Action::Latency(by))
    }

    /// Sends frames twice. The broker answers a repeated request twice; the second answer is swallowed, as a client
    /// that repeats itself after a lost connection never sees the first.
    pub fn repeat(api_key: i16, direction: Direction) -> Self {
        Self::new(api_key, direction, Action::Repeat)
    }

    /// Closes both sides of the connection instead of sending the frame on.
    pub fn cut(api_key: i16, direction: Direction) -> Self {
        Self::new(api_key, direction, Action::Cut)
    }

    /// Changes frames: the closure gets all bytes behind the length, which follows what it leaves.
    pub fn mutate(api_key: i16, direction: Direction, change: impl Fn(&mut Vec<u8>) + Send + Sync + 'static) -> Self {
        Self::new(api_key, direction, Action::Mutate(Arc::new(change)))
    }

    /// Does nothing but count frames in [`RuleHandle::matched`] (and keep later rules off them).
    pub fn count(api_key: i16, direction: Direction) -> Self {
        Self::new(api_key, direction, Action::Count)
    }

    /// Acts on all API keys instead of one.
    pub fn any_api(mut self) -> Self {
        self.api_key = None;
        self
    }

    /// Acts on the first `times` matching frames only.
    pub fn first(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Acts on connections to this broker only.
    pub fn on_broker(mut self, broker: u32) -> Self {
        self.broker = Some(broker);
        self
    }

    /// Acts only where `predicate` says so.
    pub fn when(mut self, predicate: impl Fn(&Frame<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.predicate = Some(Arc::new(predicate));
        self
    }

    fn matches(&self, frame: &Frame<'_>) -> bool {
        self.api_key.is_none_or(|key| key == frame.api_key)
            && self.direction == frame.direction
            && self.broker.is_none_or(|broker| broker == frame.broker)
            && self.predicate.as_ref().is_none_or(|p| p(frame))
    }
}

impl Debug for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let action = match &self.action {
            Action::Hold => "hold".to_owned(),
            Action::Drop => "drop".to_owned(),
            Action::Delay(by) => format!("delay by {by:?}"),
            Action::Latency(by) => format!("latency of {by:?}"),
            Action::Repeat => "repeat".to_owned(),
            Action::Cut => "cut".to_owned(),
            Action::Mutate(_) => "mutate".to_owned(),
            Action::Count => "count".to_owned(),
        };
        write!(f, "{action} {:?} of API ", self.direction)?;
        match self.api_key {
            Some(key) => write!(f, "{key}"),
            None => f.write_str("any"),
        }
    }
}

/// A rule at work.
#[derive(Debug)]
pub(super) struct Active {
    rule: Rule,
    matched: AtomicU64,
    held: AtomicU64,
    removed: AtomicBool,
    /// One permit lets one held frame go; closed, it lets all go.
    gate: Semaphore,
}

impl Active {
    /// Waits until this rule lets a frame it holds go.
    pub(super) async fn pass_gate(&self) {
        let _held = Held::count(&self.held);
        // A closed gate is an open one to frames.
        if let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
    }

    pub(super) fn action(&self) -> &Action {
        &self.rule.action
    }

    fn release(&self) {
        self.removed.store(true, SeqCst);
        self.gate.close();
    }
}

/// Counts a held frame until it goes on, or its connection ends.
struct Held<'a>(&'a AtomicU64);

impl<'a> Held<'a> {
    fn count(held: &'a AtomicU64) -> Self {
        held.fetch_add(1, SeqCst);
        Self(held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// A rule that was added to a proxy. Dropping the handle leaves the rule at work.
#[derive(Debug, Clone)]
pub struct RuleHandle {
    active: Arc<Active>,
    rules: Weak<Rules>,
}

impl RuleHandle {
    /// How many frames the rule has acted on so far.
    pub fn matched(&self) -> u64 {
        self.active.matched.load(SeqCst)
    }

    /// How many frames it holds now. Frames that wait behind a held one are not counted.
    pub fn held(&self) -> u64 {
        self.active.held.load(SeqCst)
    }

    /// Removes the rule and lets go all frames it holds.
    pub fn release(&self) {
        self.active.release();
        if let Some(rules) = self.rules.upgrade() {
            rules.list().retain(|other| !Arc::ptr_eq(other, &self.active));
        }
    }

    /// Lets one held frame go (or, if none is held, the next one that matches); the rule stays.
    pub fn release_one(&self) {
        self.active.gate.add_permits(1);
    }

    /// Waits until the rule has acted on `count` frames.
    pub async fn wait_matched(&self, count: u64, deadline: Duration) -> Result<()> {
        wait_until(&format!("{count} frames for the rule {:?}", self.active.rule), deadline, async || {
            ensure!(self.matched() >= count, "{}", self.matched());
            Ok(())
        })
        .await
    }

    /// Waits until the rule holds `count` frames.
    pub async fn wait_held(&self, count: u64, deadline: Duration) -> Result<()> {
        wait_until(&format!("{count} frames held by the rule {:?}", self.active.rule), deadline, async || {
            ensure!(self.held() >= count, "{} (matched {})", self.held(), self.matched());
            Ok(())
        })
        .await
    }
}

/// The rules of one proxy.
#[derive(Debug, Default)]
pub(super) struct Rules {
    list: Mutex<Vec<Arc<Active>>>,
    seen: Mutex<HashMap<(i16, Direction), u64>>,
    watches: Mutex<Vec<Watch>>,
}

impl Rules {
    pub(super) fn add(self: &Arc<Self>, rule: Rule) -> RuleHandle {
        let active = Arc::new(Active {
            rule,
            matched: AtomicU64::new(0),
            held: AtomicU64::new(0),
            removed: AtomicBool::new(false),
            gate: Semaphore::new(0),
        });
        self.list().push(active.clone());
        RuleHandle { active, rules: Arc::downgrade(self) }
    }

    pub(super) fn clear(&self) {
        for active in self.list().drain(..) {
            active.release();
        }
    }

    pub(super) fn watch(&self, watch: Watch) {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).push(watch);
    }

    /// Counts a request with those who watch for it.
    pub(super) fn watched(&self, frame: &Frame<'_>) -> Vec<Unanswered> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        watches.iter().filter_map(|watch| watch.count(frame)).collect()
    }

    pub(super) fn seen(&self, api_key: i16, direction: Direction) -> u64 {
        self.counts().get(&(api_key, direction)).copied().unwrap_or(0)
    }

    /// Counts a frame and finds the rule that acts on it.
    pub(super) fn judge(&self, frame: &Frame<'_>) -> Option<Arc<Active>> {
        *self.counts().entry((frame.api_key, frame.direction)).or_default() += 1;
        // Predicates run outside the lock: they are the test's, and may take their time or look at the rules.
        let rules = self.list().clone();
        rules.into_iter().find(|active| {
            !active.removed.load(SeqCst)
                && active.rule.matches(frame)
                && active.matched.fetch_update(SeqCst, SeqCst, |n| (n < active.rule.times).then_some(n + 1)).is_ok()
        })
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<Active>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<(i16, Direction), u64>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Request, Response};

    fn frame(api_key: i16, direction: Direction, broker: u32) -> Frame<'static> {
        Frame { api_key, api_version: 0, correlation_id: 0, direction, broker, connection: 0, bytes: b"x" }
    }

    #[test]
    fn the_first_matching_rule_acts_as_often_as_it_may() {
        let rules = Arc::new(Rules::default());
        let first = rules.add(Rule::drop(0, Request).first(2).on_broker(1));
        let second = rules.add(Rule::count(0, Request).any_api());
        for (api, direction, broker) in
            [(0, Request, 1), (0, Request, 2), (0, Request, 1), (0, Request, 1), (0, Response, 1)]
        {
            rules.judge(&frame(api, direction, broker));
        }
        assert_eq!((first.matched(), second.matched()), (2, 2));
        assert_eq!((rules.seen(0, Request), rules.seen(0, Response), rules.seen(1, Request)), (4, 1, 0));
    }

    #[test]
    fn a_produce_request_and_its_answer_name_their_topic() {
        // Version 9: correlation id 7, client "me", no transaction, acks −1, 30 s; one topic "t.é".
        let request = b"\0\0\0\x09\0\0\0\x07\0\x02me\0\0\xff\xff\0\0\x75\x30\x02\x05t.\xc3\xa9\x02and the rest";
        let answer = b"\0\0\0\x07\0\x02\x05t.\xc3\xa9\x02and the rest";
        let frame = |api_key, direction, bytes| Frame { api_version: 9, bytes, ..frame(api_key, direction, 1) };
        assert_eq!(frame(0, Request, request).produced_topic(), Some("t.é".as_bytes()));
        assert_eq!(frame(0, Response, answer).produced_topic(), Some("t.é".as_bytes()));
        assert_eq!(frame(1, Response, answer).produced_topic(), None);
        for cut in 0..request.len() - 14 {
            assert_eq!(frame(0, Request, &request[..cut]).produced_topic(), None);
        }
    }

    #[test]
    fn predicates_narrow_down_and_released_rules_rest() {
        let rules = Arc::new(Rules::default());
        let rule = rules.add(Rule::hold(1, Request).when(|f| f.bytes == b"y"));
        assert!(rules.judge(&frame(1, Request, 1)).is_none());
        assert!(rules.judge(&Frame { bytes: b"y", ..frame(1, Request, 1) }).is_some());
        rule.release();
        assert!(rules.judge(&Frame { bytes: b"y", ..frame(1, Request, 1) }).is_none());
    }
}
