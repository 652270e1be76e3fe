//! Positions told, altered and reset by REST, on kmirror and on Java Connect.

use std::{collections::BTreeMap, time::Duration};

use ::testkit::{
    Codec, Connect, Java, Jvm,
    anyhow::{Result, ensure},
    create_topic,
    http::{self, Response},
    kafka_version, produce, read_all, unique, wait_until,
};
use serde_json::{Value, json};

use super::{Copy, SOURCE, connector, fill_slowly_copied, holds_for, records, remote};
use crate::{
    kmirror::{DEADLINE, Kmirror, list},
    shared::pair,
};

/// A worker of either kind, by its address.
struct Api(String);

impl Api {
    fn of(worker: &Kmirror) -> Self {
        Self(format!("http://{}", worker.address()))
    }

    /// Asks, and again while a Java worker is busy with its group.
    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Response> {
        wait_until(&format!("an answer to {method} {path}"), DEADLINE, async || {
            let answer = http::request(method, &format!("{}{path}", self.0), body).await?;
            ensure!(answer.status != 409, "{answer:?}");
            Ok(answer)
        })
        .await
    }

    /// Asks for something below the connector; the answer has to be this code.
    async fn call(&self, method: &str, what: &str, body: Option<&Value>, code: u16) -> Result<Value> {
        let answer = self.ask(method, &format!("/connectors/mirror/{what}"), body).await?;
        ensure!(answer.status == code, "{method} {what}: {answer:?}");
        answer.json()
    }

    /// Stops the connector and waits until it and its tasks have.
    async fn stop(&self) -> Result<()> {
        self.call("PUT", "stop", None, 204).await?;
        self.wait_stopped().await
    }

    async fn wait_stopped(&self) -> Result<()> {
        wait_until("the connector to stop", DEADLINE, async || {
            let status = self.call("GET", "status", None, 200).await?;
            ensure!(status["connector"]["state"] == "STOPPED" && status["tasks"] == json!([]), "{status}");
            Ok(())
        })
        .await?;
        let tasks = self.call("GET", "tasks", None, 200).await?;
        ensure!(tasks == json!([]), "{tasks}");
        Ok(())
    }

    async fn resume(&self) -> Result<()> {
        self.call("PUT", "resume", None, 202).await.map(|_| ())
    }

    async fn alter(&self, entries: &[(&str, i32, Option<i64>)]) -> Result<()> {
        let answer = self.call("PATCH", "offsets", Some(&offsets(entries)), 200).await?;
        let message = json!({"message": "The offsets for this connector have been altered successfully"});
        ensure!(answer == message, "{answer}");
        Ok(())
    }

    async fn reset(&self) -> Result<()> {
        let answer = self.call("DELETE", "offsets", None, 200).await?;
        let message = json!({"message": "The offsets for this connector have been reset successfully"});
        ensure!(answer == message, "{answer}");
        Ok(())
    }

    /// Waits until these are all the positions there are: of a connector that runs they come with the next flush.
    async fn wait_offsets(&self, entries: &[(&str, i32, i64)]) -> Result<()> {
        let entries = entries.iter().map(|(topic, partition, offset)| (*topic, *partition, Some(*offset)));
        let wanted = sorted(&offsets(&entries.collect::<Vec<_>>()));
        wait_until("the offsets", DEADLINE, async || {
            let seen = self.call("GET", "offsets", None, 200).await?;
            ensure!(sorted(&seen) == wanted, "{seen}, not yet {wanted:?}");
            Ok(())
        })
        .await
    }
}

fn offsets(entries: &[(&str, i32, Option<i64>)]) -> Value {
    let entry = |(topic, partition, offset): &(&str, i32, Option<i64>)| {
        json!({
            "partition": {"cluster": SOURCE, "partition": partition, "topic": topic},
            "offset": offset.map(|offset| json!({ "offset": offset })),
        })
    };
    json!({"offsets": entries.iter().map(entry).collect::<Vec<_>>()})
}

/// Java lists offsets in no order.
fn sorted(offsets: &Value) -> Vec<String> {
    let mut entries: Vec<_> = list(&offsets["offsets"]).iter().map(Value::to_string).collect();
    entries.sort();
    entries
}

/// Source topics, and what their copies must hold: which source offsets, one after the other.
struct Ledger {
    source: String,
    target: String,
    partitions: BTreeMap<(String, i32), Expected>,
}

#[derive(Default)]
struct Expected {
    produced: i64,
    copied: Vec<i64>,
}

impl Ledger {
    async fn new(topics: &[(&str, i32)]) -> Result<Self> {
        let pair = pair().await?;
        let mut partitions = BTreeMap::new();
        for &(topic, count) in topics {
            create_topic(&pair.source, topic, count, 1, &[]).await?;
            partitions.extend((0..count).map(|partition| ((topic.to_owned(), partition), Expected::default())));
        }
        Ok(Self { source: pair.source, target: pair.target, partitions })
    }

    /// Writes so many records to each partition; they are to be copied.
    async fn produce(&mut self, count: usize) -> Result<()> {
        for ((topic, partition), expected) in &mut self.partitions {
            let from = usize::try_from(expected.produced)?;
            produce(&self.source, topic, *partition, &records(from, count), Codec::Lz4).await?;
            let end = i64::try_from(from + count)?;
            expected.copied.extend(expected.produced..end);
            expected.produced = end;
        }
        Ok(())
    }

    /// All of a partition from this source offset on is to be copied once more.
    fn again(&mut self, topic: &str, partition: i32, from: i64) {
        let expected = self.partitions.entry((topic.to_owned(), partition)).or_default();
        expected.copied.extend(from..expected.produced);
    }

    /// Waits until the copies hold that, and nothing else.
    async fn wait(&self) -> Result<()> {
        wait_until("the copies", DEADLINE, async || {
            for ((topic, partition), expected) in &self.partitions {
                let remote = remote(topic);
                let source = &read_all(&self.source, topic).await?[usize::try_from(*partition)?];
                let target = &read_all(&self.target, &remote).await?[usize::try_from(*partition)?];
                let wanted = expected.copied.iter().map(|offset| &source[usize::try_from(*offset).unwrap_or(0)].value);
                let seen = target.iter().map(|record| &record.value);
                let same = seen.clone().zip(wanted).take_while(|(seen, wanted)| seen == wanted).count();
                let (seen, wanted) = (seen.len(), expected.copied.len());
                ensure!(same == wanted && seen == wanted, "{remote}-{partition}: {seen} of {wanted}, {same} right");
            }
            Ok(())
        })
        .await
    }
}

/// MirrorConnectorsIntegrationExactlyOnceTest.testReplication [28, 29, 30], MirrorSourceConnectorTest.testAlterOffsetsMultiplePartitions.
#[tokio::test]
async fn altered_positions_are_where_a_copy_goes_on() -> Result<()> {
    let prefix = unique("altered");
    let [first, second] = [1, 2].map(|n| format!("{prefix}-{n}"));
    let mut ledger = Ledger::new(&[(&first, 3), (&second, 2)]).await?;
    ledger.produce(10).await?;
    let worker = Kmirror::on(&ledger.target).start().await?;
    let config = connector(&ledger.source, &ledger.target, &format!("{prefix}-.*"), &[("tasks.max", "2")]);
    worker.put_connector("mirror", &config).await?;
    ledger.wait().await?;
    let api = Api::of(&worker);
    let all = |last: i64| -> Vec<(&str, i32, i64)> {
        let topics = [(first.as_str(), 3), (second.as_str(), 2)];
        topics.iter().flat_map(|(topic, count)| (0..*count).map(|p| (*topic, p, last))).collect()
    };
    api.wait_offsets(&all(9)).await?;

    // The last record that was copied is the one at offset 0.
    api.stop().await?;
    api.wait_offsets(&all(9)).await?;
    let zero = [0, 1, 2].map(|partition| (first.as_str(), partition, Some(0)));
    api.alter(&zero).await?;
    api.resume().await?;
    for partition in 0..3 {
        ledger.again(&first, partition, 1);
    }
    ledger.wait().await?;
    api.wait_offsets(&all(9)).await?;

    api.stop().await?;
    api.alter(&[0, 1].map(|partition| (second.as_str(), partition, None))).await?;
    api.wait_offsets(&all(9)[..3]).await?;
    api.resume().await?;
    for partition in 0..2 {
        ledger.again(&second, partition, 0);
    }
    ledger.wait().await?;
    api.wait_offsets(&all(9)).await?;

    api.stop().await?;
    api.reset().await?;
    api.wait_offsets(&[]).await?;
    api.resume().await?;
    for (topic, partition, _) in all(9) {
        ledger.again(topic, partition, 0);
    }
    ledger.wait().await?;
    // Nothing more comes of it than what comes anew.
    ledger.produce(3).await?;
    ledger.wait().await?;
    api.wait_offsets(&all(12)).await
}

#[tokio::test]
async fn what_is_altered_in_mid_copy_stands() -> Result<()> {
    let pair = pair().await?;
    let topic = unique("mid-copy");
    create_topic(&pair.source, &topic, 2, 1, &[]).await?;
    fill_slowly_copied(&pair.source, &topic, 2, 40_000).await?;
    // Slowly enough to be stopped in the middle.
    let slowly = [("kmirror.max.bytes.per.second", "1000000")];
    let mut worker = Kmirror::on(&pair.target).start().await?;
    worker.put_connector("mirror", &connector(&pair.source, &pair.target, &topic, &slowly)).await?;
    let remote = remote(&topic);
    let copy = Copy { source: &pair.source, topic: &topic, target: &pair.target, remote: &remote };
    copy.wait_more_than(&worker, 2_000).await?;
    let api = Api::of(&worker);
    // In one breath: what the tasks had acknowledged must not come after it.
    api.call("PUT", "stop", None, 204).await?;
    api.alter(&[(&topic, 0, Some(7)), (&topic, 1, Some(8))]).await?;
    let stopped_at = copy.arrived().await;
    ensure!(stopped_at < 40_000, "all was copied already");
    let set = [(topic.as_str(), 0, 7), (topic.as_str(), 1, 8)];
    holds_for(Duration::from_secs(3), async || {
        let seen = api.call("GET", "offsets", None, 200).await?;
        ensure!(sorted(&seen) == sorted(&offsets(&set.map(|(t, p, o)| (t, p, Some(o))))), "{seen}");
        let arrived = copy.arrived().await;
        ensure!(arrived == stopped_at, "{arrived} records, {stopped_at} when it was stopped");
        Ok(())
    })
    .await?;
    worker.kill9()?;
    worker.restart().await?;
    api.wait_stopped().await?;
    api.wait_offsets(&set).await?;
    let before = read_all(&pair.target, &remote).await?.iter().map(Vec::len).collect::<Vec<_>>();
    api.resume().await?;
    copy.wait_more_than(&worker, stopped_at + 2_000).await?;
    let (source, target) = copy.read().await?;
    for (partition, first) in [8, 9].into_iter().enumerate() {
        let seen = target[partition].get(before[partition]).map(|record| &record.value);
        ensure!(seen == Some(&source[partition][first].value), "partition {partition} does not go on at {first}");
    }
    Ok(())
}

/// Questions whose answers are Connect's own: method, path below `/connectors`, body.
fn questions() -> Vec<(&'static str, &'static str, Option<Value>)> {
    let at = |cluster: Value, partition: Value, topic: Value, offset: Value| {
        json!({"offsets": [{
            "partition": {"topic": topic, "cluster": cluster, "partition": partition}, "offset": offset,
        }]})
    };
    let good = |offset: Value| at(json!(SOURCE), json!(0), json!("t"), offset);
    let partition = |partition: Value| at(json!(SOURCE), partition, json!("t"), json!({"offset": 1}));
    let bodies = [
        json!({}),
        json!({"offsets": []}),
        json!({"offsets": [{"partition": null, "offset": {"offset": 1}}]}),
        json!({"offsets": [{"partition": {}, "offset": {"offset": 1}}]}),
        json!({"offsets": [{"partition": {"cluster": SOURCE, "topic": "t"}, "offset": {"offset": 1}}]}),
        json!({"offsets": [{"partition": {"a": [1]}, "offset": null}]}),
        json!({"offsets": [{"partition": {"a": 1, "b": "x", "never": null}, "offset": null}]}),
        at(json!(1), json!(0), json!("t"), json!({"offset": 1})),
        at(json!(SOURCE), json!(0), Value::Null, json!({"offset": 1})),
        partition(json!("0")),
        partition(json!(-1)),
        partition(json!(2_147_483_648_i64)),
        partition(json!(0.5)),
        good(json!({})),
        good(json!({"position": 1})),
        good(json!({"offset": "10"})),
        good(json!({"offset": "nan"})),
        good(json!({"offset": null})),
        good(json!({"offset": 3.25})),
        good(json!({"offset": true})),
        good(json!({"offset": -420})),
        good(json!({"offset": {"a": 1}})),
    ];
    let mut questions: Vec<_> = bodies.into_iter().map(|body| ("PATCH", "mirror/offsets", Some(body))).collect();
    questions.extend([
        ("PUT", "absent/pause", None),
        ("PUT", "absent/resume", None),
        ("PUT", "absent/stop", None),
        ("GET", "absent/offsets", None),
        ("DELETE", "absent/offsets", None),
        ("PATCH", "absent/offsets", Some(good(json!({"offset": 1})))),
    ]);
    questions
}

/// Status code and body of each answer.
async fn answers(api: &Api, questions: &[(&str, &str, Option<Value>)]) -> Result<Vec<String>> {
    let mut answers = Vec::new();
    for (method, path, body) in questions {
        let answer = api.ask(method, &format!("/connectors/{path}"), body.as_ref()).await?;
        let shown = body.as_ref().map(Value::to_string).unwrap_or_default();
        answers.push(format!("{method} {path} {shown}: {} {}", answer.status, answer.json()?));
    }
    Ok(answers)
}

#[tokio::test]
async fn java_and_kmirror_obey_what_the_other_set() -> Result<()> {
    let topic = unique("obeyed");
    let mut ledger = Ledger::new(&[(&topic, 3)]).await?;
    ledger.produce(50).await?;
    let group = unique("connect");
    let storage =
        ["config", "offset", "status"].map(|kind| (format!("{kind}.storage.topic"), format!("{group}-{kind}")));
    let mut properties: Vec<(&str, &str)> = storage.iter().map(|(key, topic)| (key.as_str(), topic.as_str())).collect();
    properties.push(("group.id", &group));
    let java = Java::new(&kafka_version()).await?;
    let mut connect = Connect::start(&java, &ledger.target, Jvm::quick(256), &properties).await?;
    let javas = Api(connect.url());
    let config = connector(&ledger.source, &ledger.target, &topic, &[("tasks.max", "2")]);
    connect.put_connector("mirror", &config).await?;
    connect.wait_running("mirror", 2, DEADLINE).await?;
    ledger.wait().await?;
    let running = [
        ("PATCH", "mirror/offsets", Some(offsets(&[(&topic, 0, Some(1))]))),
        ("DELETE", "mirror/offsets", None),
        ("PUT", "mirror/resume", None),
    ];
    let javas_answers = answers(&javas, &running).await?;
    javas.stop().await?;
    let javas_answers = [javas_answers, answers(&javas, &questions()).await?].concat();
    javas.wait_offsets(&[(&topic, 0, 49), (&topic, 1, 49), (&topic, 2, 49)]).await?;
    javas.alter(&[(&topic, 0, Some(9))]).await?;
    connect.stop().await?;

    let worker =
        properties.iter().fold(Kmirror::on(&ledger.target), |worker, (key, value)| worker.property(key, value));
    let mut worker = worker.start().await?;
    let ours = Api::of(&worker);
    ours.wait_stopped().await?;
    ours.wait_offsets(&[(&topic, 0, 9), (&topic, 1, 49), (&topic, 2, 49)]).await?;
    let stopped = answers(&ours, &questions()).await?;
    ours.resume().await?;
    ledger.again(&topic, 0, 10);
    ledger.wait().await?;
    let our_answers = [answers(&ours, &running).await?, stopped].concat();
    ensure!(javas_answers.len() == our_answers.len() && our_answers.len() == running.len() + questions().len());
    for (java, own) in javas_answers.iter().zip(&our_answers) {
        ensure!(java == own, "Java answers {java}\nkmirror {own}");
    }
    ledger.produce(10).await?;
    ledger.wait().await?;
    ours.stop().await?;
    ours.wait_offsets(&[(&topic, 0, 59), (&topic, 1, 59), (&topic, 2, 59)]).await?;
    ours.alter(&[(&topic, 0, Some(19)), (&topic, 1, None)]).await?;
    worker.stop().await?;

    connect.restart().await?;
    javas.wait_offsets(&[(&topic, 0, 19), (&topic, 2, 59)]).await?;
    javas.resume().await?;
    ledger.again(&topic, 0, 20);
    ledger.again(&topic, 1, 0);
    ledger.wait().await?;
    javas.stop().await?;
    javas.reset().await?;
    javas.wait_offsets(&[]).await?;
    connect.stop().await?;

    worker.restart().await?;
    ours.wait_offsets(&[]).await?;
    ours.resume().await?;
    for partition in 0..3 {
        ledger.again(&topic, partition, 0);
    }
    ledger.wait().await?;
    ours.stop().await?;
    ours.wait_offsets(&[(&topic, 0, 59), (&topic, 1, 59), (&topic, 2, 59)]).await
}
