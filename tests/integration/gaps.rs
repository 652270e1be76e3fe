//! Gaps made for real: each is told with partition and offsets, stops or goes on as its policy says, and nobody else minds.
//!
//! Records are numbered, so that what a partition must hold is written as runs: `0..100` and, behind it, `150..200`.

mod clusters;
mod foreign;
mod position;
mod silent;
mod source;
mod target;

use std::{collections::BTreeMap, sync::Mutex};

use ::testkit::{
    Producing, Record, RecordView,
    anyhow::{Context, Result, ensure},
    create_topic, delete_topic, produce_with, read_all, unique, wait_until, watermarks,
};
use serde_json::{Value, json};

use crate::{
    kmirror::{Builder, DEADLINE, Kmirror, list},
    shared::pair,
    worker::connector,
};

/// What a producer writes besides others: its records have the same letter.
type Tag = &'static str;

/// Of those that are there from the beginning.
const FIRST: Tag = "";

/// Records of these numbers.
fn records(tag: Tag, from: u64, to: u64) -> Vec<Record> {
    (from..to).map(|n| Record::new(format!("k{n}"), format!("{tag}{n}"))).collect()
}

/// Records as runs of numbers, such as `["0..100", "x7..9"]`.
fn runs(records: &[RecordView]) -> Vec<String> {
    let mut runs: Vec<(String, u64, u64)> = Vec::new();
    for record in records {
        let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        let digits = value.trim_start_matches(|c: char| !c.is_ascii_digit());
        let tag = &value[..value.len() - digits.len()];
        let number = digits.parse().unwrap_or(u64::MAX);
        match runs.last_mut() {
            Some((known, _, end)) if known == tag && *end == number => *end += 1,
            _ => runs.push((tag.to_owned(), number, number.saturating_add(1))),
        }
    }
    runs.into_iter().map(|(tag, from, to)| format!("{tag}{from}..{to}")).collect()
}

/// A connector that copies one topic, the worker it runs on, and what its copies must hold.
struct Scene {
    /// Bootstrap servers.
    source: String,
    target: String,
    worker: Kmirror,
    /// Of the connector, and the source's alias: no two scenes share an offset map.
    name: String,
    topic: String,
    /// Of the connector, beside those that all have.
    more: BTreeMap<String, String>,
    /// Of records, ms since the epoch; none takes the present.
    time: Option<i64>,
    /// Of each partition that is not to change any more.
    expected: Mutex<BTreeMap<i32, Vec<String>>>,
}

impl Scene {
    /// A topic of two partitions on the shared clusters, one of one partition beside it, and a connector that copies both.
    async fn start(more: &[(&str, &str)]) -> Result<Self> {
        let pair = pair().await?;
        Self::on(&pair.source, &pair.target, Kmirror::on(&pair.target), more).await
    }

    async fn on(source: &str, target: &str, worker: Builder, more: &[(&str, &str)]) -> Result<Self> {
        let scene = Self::prepared(source, target, worker, more).await?;
        create_topic(source, &scene.topic, 2, 1, &[]).await?;
        create_topic(source, &scene.beside(), 1, 1, &[]).await?;
        scene.put(&[]).await?;
        Ok(scene)
    }

    /// Without its topic, and without its connector.
    async fn prepared(source: &str, target: &str, worker: Builder, more: &[(&str, &str)]) -> Result<Self> {
        Ok(Self {
            source: source.to_owned(),
            target: target.to_owned(),
            worker: worker.start().await?,
            name: unique("s").replace('-', ""),
            topic: unique("gap"),
            more: more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            time: None,
            expected: Mutex::default(),
        })
    }

    /// A scene whose partitions both hold the first records.
    async fn copied(count: u64, more: &[(&str, &str)]) -> Result<Self> {
        let scene = Self::start(more).await?;
        scene.fill(count).await?;
        Ok(scene)
    }

    /// Both partitions get the first records, and are copied.
    async fn fill(&self, count: u64) -> Result<()> {
        for partition in [0, 1] {
            self.produce(partition, FIRST, 0, count).await?;
        }
        for partition in [0, 1] {
            self.holds(partition, &[&format!("0..{count}")]).await?;
        }
        Ok(())
    }

    fn keeps_names(&self) -> bool {
        self.more.get("replication.policy.class").is_some_and(|class| class.contains("Identity"))
    }

    /// A topic that the connector copies as well.
    fn beside(&self) -> String {
        format!("{}-beside", self.topic)
    }

    /// A topic's name on the target.
    fn remote_of(&self, topic: &str) -> String {
        if self.keeps_names() { topic.to_owned() } else { format!("{}.{topic}", self.name) }
    }

    /// The topic's.
    fn remote(&self) -> String {
        self.remote_of(&self.topic)
    }

    /// Where anchors and offset map are.
    fn map(&self) -> String {
        format!("mm2-offset-map.{}.internal", self.name)
    }

    /// Hands the connector in, with these keys from now on.
    async fn put(&self, more: &[(&str, &str)]) -> Result<()> {
        let topics = format!("{}.*", self.topic);
        let known = self.more.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let alias = [("source.cluster.alias", self.name.as_str())];
        let all: Vec<_> = alias.into_iter().chain(known).chain(more.iter().copied()).collect();
        self.worker.put_connector(&self.name, &connector(&self.source, &self.target, &topics, &all)).await.map(|_| ())
    }

    async fn call(&self, method: &str, what: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.worker.request(method, &format!("/connectors/{}/{what}", self.name), body).await?;
        ensure!((200..300).contains(&answer.status), "{method} {what}: {answer:?}");
        if answer.body.is_empty() { Ok(Value::Null) } else { answer.json() }
    }

    /// Stops the connector, and waits until it has.
    async fn stop(&self) -> Result<()> {
        self.call("PUT", "stop", None).await?;
        let stopped = |status: &Value| {
            ensure!(status["connector"]["state"] == "STOPPED" && list(&status["tasks"]).is_empty(), "not yet");
            Ok(())
        };
        self.worker.wait_status("the connector to stop", &self.name, DEADLINE, stopped).await.map(|_| ())
    }

    async fn resume(&self) -> Result<()> {
        self.call("PUT", "resume", None).await.map(|_| ())
    }

    /// Sets a partition's position: the last source offset that counts as copied.
    async fn set_position(&self, partition: i32, offset: i64) -> Result<()> {
        let at = json!({"cluster": self.name, "partition": partition, "topic": self.topic});
        let body = json!({"offsets": [{"partition": at, "offset": {"offset": offset}}]});
        self.call("PATCH", "offsets", Some(&body)).await.map(|_| ())
    }

    /// Writes records of these numbers to the source.
    async fn produce(&self, partition: i32, tag: Tag, from: u64, to: u64) -> Result<()> {
        self.produce_to(&self.source, &self.topic, partition, tag, from, to).await
    }

    /// Writes records of these numbers to the target, as somebody else.
    async fn produce_to_target(&self, partition: i32, tag: Tag, from: u64, to: u64) -> Result<()> {
        self.produce_to(&self.target, &self.remote(), partition, tag, from, to).await
    }

    async fn produce_to(&self, at: &str, topic: &str, partition: i32, tag: Tag, from: u64, to: u64) -> Result<()> {
        let how = Producing { batch_records: Some(10), ..Producing::default() };
        let timed = records(tag, from, to).into_iter().map(|record| Record { timestamp: self.time, ..record });
        produce_with(at, topic, partition, &timed.collect::<Vec<_>>(), &how).await.map(|_| ())
    }

    /// Deletes a topic and makes it again.
    async fn make_again(&self, at: &str, topic: &str) -> Result<()> {
        delete_topic(at, topic).await?;
        // Its name is free only when the brokers have heard of it.
        wait_until("the topic to be made again", DEADLINE, async || create_topic(at, topic, 2, 1, &[]).await).await
    }

    async fn seen(&self, partition: i32) -> Result<Vec<String>> {
        let all = read_all(&self.target, &self.remote()).await?;
        Ok(runs(all.get(usize::try_from(partition)?).context("no such partition")?))
    }

    /// Waits until a partition of the target holds exactly this. It has to stay so until more is expected, or the scene ends.
    async fn holds(&self, partition: i32, expected: &[&str]) -> Result<()> {
        let expected: Vec<String> = expected.iter().map(|&run| run.to_owned()).collect();
        self.worker
            .until(&format!("{expected:?} in partition {partition}"), DEADLINE, async || {
                let seen = self.seen(partition).await?;
                ensure!(seen == expected, "{seen:?}");
                Ok(())
            })
            .await?;
        self.expected.lock().unwrap().insert(partition, expected);
        Ok(())
    }

    /// What is to be held must be held still.
    async fn still_holds(&self) -> Result<()> {
        let expected = self.expected.lock().unwrap().clone();
        for (partition, expected) in expected {
            let seen = self.seen(partition).await?;
            ensure!(seen == expected, "partition {partition} holds {seen:?}, {expected:?} before");
        }
        Ok(())
    }

    /// All there is to tell.
    async fn told(&self) -> Result<Value> {
        self.call("GET", "kmirror/events", None).await
    }

    /// Waits until the newest event of a kind about a partition has all of `expected`, and gives it. It names both partitions.
    async fn tells(&self, kind: &str, partition: i32, expected: Value) -> Result<Value> {
        let at = |cluster: &str, topic: &str| json!({"cluster": cluster, "topic": topic, "partition": partition});
        let (from, to) = (at(&self.name, &self.topic), at("dst", &self.remote()));
        self.worker
            .until(&format!("{kind} of partition {partition}, {expected}"), DEADLINE, async || {
                let told = self.call("GET", &format!("kmirror/events?kind={kind}"), None).await?;
                let event = list(&told["events"]).iter().rev().find(|event| event["source"] == from);
                let event = event.with_context(|| format!("none: {told}"))?;
                ensure!(event["kind"] == kind && event["target"] == to, "{event}");
                for (member, value) in expected.as_object().context("no object")? {
                    ensure!(event[member] == *value, "{event}");
                }
                Ok(event.clone())
            })
            .await
    }

    /// How many events there are of each kind; each one is about partition 0, and counted.
    async fn kinds(&self, expected: &[(&str, u64)]) -> Result<()> {
        let told = self.told().await?;
        let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
        for event in list(&told["events"]) {
            ensure!(event["source"]["partition"] == 0, "{event}");
            *counted.entry(event["kind"].as_str().unwrap_or_default()).or_default() += 1;
        }
        for (kind, count) in told["counts"].as_object().context("no counts")? {
            let listed = counted.get(kind.as_str()).copied().unwrap_or(0);
            ensure!(count["events"] == listed, "{listed} of {kind} listed, {count} counted");
        }
        ensure!(counted == expected.iter().copied().collect(), "{counted:?}: {told}");
        Ok(())
    }

    /// Waits until the task is FAILED, and its trace names partition 0 and all of `words`; partition 1 takes part no more than that it goes on.
    async fn stopped(&self, words: &[&str]) -> Result<()> {
        let named = format!("\n\t{}-0: ", self.topic);
        let words: Vec<&str> =
            ["kmirror.PartitionsStopped: 1 of ", &named].into_iter().chain(words.iter().copied()).collect();
        let trace = self.worker.wait_task_failed(&self.name, 0, &words).await?;
        ensure!(!trace.contains(&format!("\n\t{}-1: ", self.topic)), "{trace}");
        Ok(())
    }

    /// Waits until the task runs, with a trace that says which gap partition 0 has passed.
    async fn passed(&self, kind: &str) -> Result<()> {
        let named = format!("\n\t{}-0: {kind}: ", self.topic);
        let passed = |status: &Value| {
            let task = &status["tasks"][0];
            let trace = task["trace"].as_str().unwrap_or_default();
            ensure!(task["state"] == "RUNNING", "not running");
            ensure!(trace.contains("kmirror.GapsPassed: 1 of ") && trace.contains(&named), "{named:?} is not told");
            Ok(())
        };
        self.worker.wait_status("a gap to be passed", &self.name, DEADLINE, passed).await.map(|_| ())
    }

    /// Waits until the task runs, with a trace that says which gap both partitions have passed.
    async fn passed_all(&self, kind: &str) -> Result<()> {
        let passed = |status: &Value| {
            let task = &status["tasks"][0];
            let trace = task["trace"].as_str().unwrap_or_default();
            ensure!(task["state"] == "RUNNING", "not running");
            for partition in [0, 1] {
                let named = format!("\n\t{}-{partition}: {kind}: ", self.topic);
                ensure!(trace.contains("kmirror.GapsPassed: 2 of ") && trace.contains(&named), "{named:?} is not told");
            }
            Ok(())
        };
        self.worker.wait_status("gaps to be passed", &self.name, DEADLINE, passed).await.map(|_| ())
    }

    /// Partition 1 is copied on: `from` is what it has got so far.
    async fn other_goes_on(&self, from: u64) -> Result<u64> {
        let to = from + 10;
        self.produce(1, FIRST, from, to).await?;
        self.holds(1, &[&format!("0..{to}")]).await?;
        Ok(to)
    }

    /// The topic beside it is copied on.
    async fn beside_goes_on(&self) -> Result<()> {
        let (topic, remote) = (self.beside(), self.remote_of(&self.beside()));
        let so_far = watermarks(&self.source, &topic).await?[0].high;
        let end = u64::try_from(so_far)? + 10;
        self.produce_to(&self.source, &topic, 0, FIRST, end - 10, end).await?;
        self.worker
            .until("the topic beside it to be copied on", DEADLINE, async || {
                let seen = runs(&read_all(&self.target, &remote).await?[0]);
                ensure!(seen == [format!("0..{end}")], "{seen:?}");
                Ok(())
            })
            .await
    }

    /// Nothing has changed that was to stay, also when all that is under way has ended.
    async fn end(mut self) -> Result<()> {
        self.still_holds().await?;
        self.worker.stop().await?;
        self.still_holds().await
    }
}
