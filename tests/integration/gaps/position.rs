//! Positions that lie behind the source's log, and copies that nobody knows the end of.

use ::testkit::{
    anyhow::{Context, Result, ensure},
    create_topic, delete_topic, wait_for_topic, watermarks,
};
use serde_json::json;

use super::{FIRST, Scene};
use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::pair,
};

const BEYOND: &str = "kmirror.position.beyond.source.policy";
const LOST: &str = "kmirror.anchor.lost.policy";

/// Both partitions are copied up to 50; partition 0 has 100 records, and a position of 1,000.
async fn beyond(more: &[(&str, &str)]) -> Result<Scene> {
    let scene = Scene::copied(50, more).await?;
    scene.stop().await?;
    scene.produce(0, FIRST, 50, 100).await?;
    scene.set_position(0, 999).await?;
    scene.resume().await?;
    Ok(scene)
}

#[tokio::test]
async fn a_position_beyond_the_log_stops_its_partition_until_it_may_go_on() -> Result<()> {
    let scene = beyond(&[]).await?;
    let range = json!({"of": "source", "from": 100, "to": 1000});
    scene.tells("POSITION_BEYOND_SOURCE", 0, json!({"offsets": range, "action": "stopped"})).await?;
    scene.stopped(&["1000", "100"]).await?;
    scene.other_goes_on(50).await?;
    scene.still_holds().await?;

    scene.put(&[(BEYOND, "continue")]).await?;
    let went_on = json!({"offsets": range, "action": "continued", "continued_at": 100});
    scene.tells("POSITION_BEYOND_SOURCE", 0, went_on).await?;
    scene.passed("POSITION_BEYOND_SOURCE").await?;
    scene.produce(0, FIRST, 100, 120).await?;
    scene.holds(0, &["0..50", "100..120"]).await?;
    scene.kinds(&[("POSITION_BEYOND_SOURCE", 2)]).await?;
    scene.stop().await?;
    scene.produce(0, FIRST, 120, 130).await?;
    scene.resume().await?;
    scene.holds(0, &["0..50", "100..130"]).await?;
    scene.kinds(&[("POSITION_BEYOND_SOURCE", 2)]).await?;
    scene.end().await
}

#[tokio::test]
async fn a_position_beyond_the_log_may_mean_to_copy_all_again() -> Result<()> {
    let scene = beyond(&[(BEYOND, "recopy")]).await?;
    scene.tells("POSITION_BEYOND_SOURCE", 0, json!({"action": "continued"})).await?;
    scene.holds(0, &["0..50", "0..100"]).await?;
    scene.passed("POSITION_BEYOND_SOURCE").await?;
    scene.other_goes_on(50).await?;
    scene.produce(0, FIRST, 100, 120).await?;
    scene.holds(0, &["0..50", "0..120"]).await?;
    scene.kinds(&[("POSITION_BEYOND_SOURCE", 1)]).await?;
    scene.end().await
}

/// At the end of the log there is nothing to copy, and no gap.
#[tokio::test]
async fn a_position_at_the_end_of_the_log_is_none_beyond_it() -> Result<()> {
    let scene = Scene::copied(50, &[]).await?;
    scene.stop().await?;
    scene.produce(0, FIRST, 50, 100).await?;
    scene.set_position(0, 99).await?;
    scene.resume().await?;
    scene.other_goes_on(50).await?;
    scene.produce(0, FIRST, 100, 120).await?;
    scene.holds(0, &["0..50", "100..120"]).await?;
    scene.kinds(&[]).await?;
    scene.end().await
}

/// Both partitions have records 0 to 149, of which positions know only 0 to 99, and nothing is known beyond that.
async fn anchor_lost(more: &[(&str, &str)]) -> Result<Scene> {
    let pair = pair().await?;
    // Positions are stored when the worker is stopped, and not while it runs.
    let worker = Kmirror::on(&pair.target).property("offset.flush.interval.ms", "3600000");
    let mut scene = Scene::on(&pair.source, &pair.target, worker, more).await?;
    scene.fill(100).await?;
    scene.worker.stop().await?;
    scene.worker.restart().await?;
    for partition in [0, 1] {
        scene.produce(partition, FIRST, 100, 150).await?;
        scene.holds(partition, &["0..150"]).await?;
    }
    scene.worker.kill9()?;
    let map = scene.map();
    ensure!(!watermarks(&scene.target, &map).await?.is_empty(), "there was no offset map");
    delete_topic(&scene.target, &map).await?;
    // One that was never copied has nothing to lose.
    create_topic(&scene.source, &format!("{}-new", scene.topic), 1, 1, &[]).await?;
    scene.produce_to(&scene.source, &format!("{}-new", scene.topic), 0, FIRST, 0, 10).await?;
    scene.worker.restart().await?;
    Ok(scene)
}

#[tokio::test]
async fn without_its_anchor_a_copy_stops_until_it_may_go_on() -> Result<()> {
    let scene = anchor_lost(&[]).await?;
    for partition in [0, 1] {
        let stopped = json!({"action": "stopped", "records": null, "continued_at": null});
        scene.tells("ANCHOR_LOST", partition, stopped).await?;
    }
    // The one beside them, which had nothing to copy yet, has lost its anchor as well.
    scene.worker.wait_task_failed(&scene.name, 0, &["3 of 4 partitions stopped", "can't be found out"]).await?;
    let new = scene.remote_of(&format!("{}-new", scene.topic));
    wait_for_topic(&scene.target, &new, 1).await?;
    scene
        .worker
        .until("the new topic", DEADLINE, async || {
            let end = watermarks(&scene.target, &new).await?.first().context("no partition")?.high;
            ensure!(end == 10, "{end}");
            Ok(())
        })
        .await?;
    scene.still_holds().await?;

    scene.put(&[(LOST, "continue")]).await?;
    for partition in [0, 1] {
        scene.tells("ANCHOR_LOST", partition, json!({"action": "continued", "continued_at": 100})).await?;
        scene.holds(partition, &["0..150", "100..150"]).await?;
    }
    scene.produce(0, FIRST, 150, 160).await?;
    scene.holds(0, &["0..150", "100..160"]).await?;
    scene.beside_goes_on().await?;
    scene.end().await
}

#[tokio::test]
async fn without_its_anchor_a_copy_goes_on_at_its_position_if_it_may() -> Result<()> {
    let mut scene = anchor_lost(&[(LOST, "continue")]).await?;
    for partition in [0, 1] {
        scene.holds(partition, &["0..150", "100..150"]).await?;
    }
    scene.produce(0, FIRST, 150, 160).await?;
    scene.holds(0, &["0..150", "100..160"]).await?;
    // Once: what it does from here is known again.
    scene.worker.kill9()?;
    scene.worker.restart().await?;
    scene.produce(0, FIRST, 160, 170).await?;
    scene.holds(0, &["0..150", "100..170"]).await?;
    scene.beside_goes_on().await?;
    ensure!(scene.told().await?["events"] == json!([]), "{}", scene.told().await?);
    scene.end().await
}
