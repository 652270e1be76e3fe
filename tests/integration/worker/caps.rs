//! Byte-rate caps: a connector's by its configuration, the worker's by its properties and through REST, changed while tasks
//! run. Speed is only ever bounded from above; that a cap is gone shows by what would have taken longer than the deadline.

use std::time::{Duration, Instant};

use ::testkit::{
    Bulk, Codec, Record,
    anyhow::{Context, Result, ensure},
    bulk_produce, create_topic, produce, unique,
};
use serde_json::{Value, json};

use super::{Copy, connector, remote};
use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::{Pair, pair},
};

const KEY: &str = "kmirror.max.bytes.per.second";
/// Bytes per second.
const CAP: u64 = 200_000;
/// Keys, headers and batches come on top: what is capped is more than what is counted here.
const VALUE_BYTES: u64 = 1_000;
const BATCH_BYTES: usize = 20_000;
/// Of all topics of a test: under the cap they would take 120 s, and so longer than the deadline.
const RECORDS: u64 = 24_000;
/// How many records show that the cap is kept.
const ENOUGH: u64 = 1_200;
/// Bytes that may come at once: a tenth of a second's, and for each of two tasks two requests that no other knows of yet, with
/// a batch more than was asked for.
const BURST: u64 = 20_000 + 2 * 2 * (20_000 + BATCH_BYTES as u64 * 2);

async fn filled(pair: &Pair, partitions: i32, records: u64) -> Result<String> {
    let topic = unique("capped");
    create_topic(&pair.source, &topic, partitions, 1, &[]).await?;
    let bulk = Bulk {
        value_bytes: usize::try_from(VALUE_BYTES)?,
        codec: Codec::None,
        batch_bytes: BATCH_BYTES,
        ..Bulk::new(records, partitions)
    };
    bulk_produce(&pair.source, &topic, &bulk).await?;
    Ok(topic)
}

/// Watches the target until enough has come, never faster than the cap allows since `start`.
async fn capped(worker: &Kmirror, start: Instant, copies: &[Copy<'_>]) -> Result<()> {
    let mut broken = None;
    let least = Duration::from_secs_f64((ENOUGH * VALUE_BYTES - BURST) as f64 / CAP as f64);
    worker
        .until("enough records under the cap", DEADLINE, async || {
            let mut arrived = 0;
            for copy in copies {
                arrived += u64::try_from(copy.arrived().await)?;
            }
            let (bytes, took) = (arrived * VALUE_BYTES, start.elapsed());
            let most = BURST as f64 + CAP as f64 * took.as_secs_f64();
            if bytes as f64 > most {
                broken = Some(format!("{bytes} bytes after {took:?}, where {most:.0} are allowed"));
                return Ok(());
            }
            ensure!(arrived >= ENOUGH, "{arrived} records after {took:?}, which takes at least {least:?}");
            Ok(())
        })
        .await?;
    ensure!(broken.is_none(), "{}", broken.unwrap_or_default());
    Ok(())
}

/// How often a task has begun to copy.
fn starts(worker: &Kmirror, task: &str) -> usize {
    worker.log_text().matches(&format!("copying starts flow=\"{task}\"")).count()
}

#[tokio::test]
async fn a_connectors_cap_is_changed_while_its_tasks_run() -> Result<()> {
    let pair = pair().await?;
    let topic = filled(&pair, 2, RECORDS).await?;
    let remote = remote(&topic);
    let copy = Copy { source: &pair.source, topic: &topic, target: &pair.target, remote: &remote };
    let worker = Kmirror::on(&pair.target).start().await?;
    let cap = CAP.to_string();
    let config = |more: &[(&str, &str)]| {
        let more: Vec<_> = [("tasks.max", "2")].iter().chain(more).copied().collect();
        connector(&pair.source, &pair.target, &topic, &more)
    };

    // Two tasks, one cap.
    let start = Instant::now();
    worker.put_connector("mirror", &config(&[(KEY, &cap)])).await?;
    worker.wait_running("mirror", 2).await?;
    capped(&worker, start, &[copy]).await?;
    let before = copy.arrived().await;
    ensure!(u64::try_from(before)? < RECORDS / 2, "{before} records are there: nothing is left to be uncapped");

    let info = worker.put_connector("mirror", &config(&[])).await?;
    ensure!(info["config"].get(KEY).is_none(), "{info}");
    copy.wait_equal(&worker).await?;
    worker.wait_running("mirror", 2).await?;
    for task in ["mirror-0", "mirror-1"] {
        ensure!(starts(&worker, task) == 1, "{task} started anew");
    }
    let tasks = worker.get("/connectors/mirror/tasks").await?.ok()?;
    ensure!(tasks[0]["config"]["task.index"] == "0" && tasks[0]["config"].get(KEY).is_none(), "{tasks}");

    // A task that does start anew would have shown.
    ensure!(worker.request("POST", "/connectors/mirror/tasks/0/restart", None).await?.status == 204);
    worker
        .until("the task to start anew", DEADLINE, async || {
            ensure!(starts(&worker, "mirror-0") == 2, "not yet");
            Ok(())
        })
        .await?;
    produce(&pair.source, &topic, 0, &[Record::value("after the restart")], Codec::None).await?;
    copy.wait_equal(&worker).await?;

    let bad = worker.request("PUT", "/connectors/mirror/config", Some(&config(&[(KEY, "1 MB")]))).await?;
    let text = "Invalid value 1 MB for configuration kmirror.max.bytes.per.second: Not a number of type LONG";
    ensure!(bad.status == 400 && bad.body.contains(text), "{bad:?}");
    Ok(())
}

#[tokio::test]
async fn the_workers_cap_holds_for_all_connectors_and_is_changed_through_rest() -> Result<()> {
    let pair = pair().await?;
    let topics = [filled(&pair, 1, RECORDS / 2).await?, filled(&pair, 1, RECORDS / 2).await?];
    let remotes = topics.each_ref().map(|topic| remote(topic));
    let copies =
        [0, 1].map(|i| Copy { source: &pair.source, topic: &topics[i], target: &pair.target, remote: &remotes[i] });
    let cap = CAP.to_string();
    let mut worker =
        Kmirror::on(&pair.target).property(KEY, &cap).property("kmirror.memory.bytes", "4194304").start().await?;
    let limits = async |worker: &Kmirror| worker.get("/kmirror/limits").await?.ok();
    let shown = |limits: &Value, cap: Value| -> Result<()> {
        let members: Vec<_> = limits.as_object().context("no object")?.keys().map(String::as_str).collect();
        ensure!(members == ["max.bytes.per.second", "memory.bytes", "memory.bytes.in.use"], "{limits}");
        ensure!(limits["max.bytes.per.second"] == cap && limits["memory.bytes"] == 4_194_304, "{limits}");
        ensure!(limits["memory.bytes.in.use"].as_u64().is_some_and(|bytes| bytes <= 4_194_304), "{limits}");
        Ok(())
    };
    shown(&limits(&worker).await?, json!(CAP))?;

    let start = Instant::now();
    for (name, topic) in ["first", "second"].into_iter().zip(&topics) {
        worker.put_connector(name, &connector(&pair.source, &pair.target, topic, &[])).await?;
    }
    for name in ["first", "second"] {
        worker.wait_running(name, 1).await?;
    }
    capped(&worker, start, &copies).await?;
    worker
        .until("memory to be in use", DEADLINE, async || {
            let limits = limits(&worker).await?;
            shown(&limits, json!(CAP))?;
            ensure!(limits["memory.bytes.in.use"] != 0, "{limits}");
            Ok(())
        })
        .await?;

    let put = async |body: Value| worker.request("PUT", "/kmirror/limits", Some(&body)).await;
    let bad = put(json!({"max.bytes.per.second": -1})).await?;
    ensure!(bad.status == 400 && bad.json()?["error_code"] == 400 && bad.body.contains("is -1"), "{bad:?}");
    shown(&limits(&worker).await?, json!(CAP))?;
    let mut before = 0;
    for copy in &copies {
        before += u64::try_from(copy.arrived().await)?;
    }
    ensure!(before < RECORDS / 2, "{before} records are there: nothing is left to be uncapped");
    shown(&put(json!({"max.bytes.per.second": null})).await?.ok()?, Value::Null)?;
    for (copy, task) in copies.iter().zip(["first-0", "second-0"]) {
        copy.wait_equal(&worker).await?;
        ensure!(starts(&worker, task) == 1, "{task} started anew");
    }
    shown(&limits(&worker).await?, Value::Null)?;

    // In force until the worker ends.
    worker.stop().await?;
    worker.restart().await?;
    shown(&limits(&worker).await?, json!(CAP))
}
