//! What happens at the source: records that are gone, topics that are other ones.

use ::testkit::{
    anyhow::{Context, Result, ensure},
    delete_records,
};
use serde_json::json;

use super::{FIRST, Scene};

const LOSS: &str = "kmirror.data.loss.policy";
const RECREATED: &str = "kmirror.topic.recreated.policy";

#[tokio::test]
async fn records_deleted_while_stopped_stop_their_partition_until_it_may_go_on() -> Result<()> {
    let scene = Scene::copied(100, &[]).await?;
    scene.stop().await?;
    scene.produce(0, FIRST, 100, 200).await?;
    delete_records(&scene.source, &scene.topic, 0, 150).await?;
    scene.resume().await?;
    let lost = json!({"of": "source", "from": 100, "to": 150});
    let stopped = json!({"offsets": lost, "records": 50, "action": "stopped", "continued_at": null});
    scene.tells("DATA_LOSS", 0, stopped).await?;
    scene.stopped(&["offsets 100 to 149"]).await?;
    let copied = scene.other_goes_on(100).await?;
    scene.still_holds().await?;
    scene.kinds(&[("DATA_LOSS", 1)]).await?;

    scene.put(&[(LOSS, "continue")]).await?;
    let went_on = json!({"offsets": lost, "records": 50, "action": "continued", "continued_at": 150});
    scene.tells("DATA_LOSS", 0, went_on).await?;
    scene.holds(0, &["0..100", "150..200"]).await?;
    scene.passed("DATA_LOSS").await?;
    scene.other_goes_on(copied).await?;
    scene.kinds(&[("DATA_LOSS", 2)]).await?;
    // That was it: a task that starts anew meets no gap.
    scene.stop().await?;
    scene.produce(0, FIRST, 200, 210).await?;
    scene.resume().await?;
    scene.holds(0, &["0..100", "150..210"]).await?;
    scene.kinds(&[("DATA_LOSS", 2)]).await?;
    scene.end().await
}

/// The copy is behind, and what it is to read next goes.
async fn deleted_while_running(policy: &str) -> Result<()> {
    let scene = Scene::start(&[("kmirror.max.bytes.per.second", "20000"), (LOSS, policy)]).await?;
    scene.produce(1, FIRST, 0, 10).await?;
    scene.produce(0, FIRST, 0, 20_000).await?;
    scene
        .worker
        .until("some of it", crate::kmirror::DEADLINE, async || {
            ensure!(!scene.seen(0).await?.is_empty(), "nothing");
            Ok(())
        })
        .await?;
    let before = 19_900;
    delete_records(&scene.source, &scene.topic, 0, before).await?;
    let action = if policy == "fail" { "stopped" } else { "continued" };
    let told = scene.tells("DATA_LOSS", 0, json!({"action": action})).await?;
    let from = told["offsets"]["from"].as_i64().context("no first offset")?;
    ensure!(told["offsets"] == json!({"of": "source", "from": from, "to": before}), "{told}");
    ensure!(told["records"] == before - from && from > 0, "{told}");
    let copied = format!("0..{from}");
    if policy == "fail" {
        scene.holds(0, &[&copied]).await?;
        scene.stopped(&[&format!("offsets {from} to {}", before - 1)]).await?;
    } else {
        ensure!(told["continued_at"] == before, "{told}");
        scene.holds(0, &[&copied, &format!("{before}..20000")]).await?;
        scene.passed("DATA_LOSS").await?;
    }
    scene.put(&[("kmirror.max.bytes.per.second", "0")]).await?;
    scene.holds(1, &["0..10"]).await?;
    scene.other_goes_on(10).await?;
    scene.kinds(&[("DATA_LOSS", 1)]).await?;
    scene.end().await
}

#[tokio::test]
async fn records_deleted_in_front_of_a_copy_stop_it() -> Result<()> {
    deleted_while_running("fail").await
}

#[tokio::test]
async fn records_deleted_in_front_of_a_copy_are_passed() -> Result<()> {
    deleted_while_running("continue").await
}

/// `more`: records of the new topic, before the worker sees it.
async fn recreated_while_away(more: u64) -> Result<()> {
    let mut scene = Scene::copied(100, &[]).await?;
    scene.worker.stop().await?;
    scene.make_again(&scene.source, &scene.topic).await?;
    scene.produce(0, "n", 0, more).await?;
    scene.worker.restart().await?;
    let unknown = json!({"of": "source", "from": null, "to": null});
    let stopped = json!({"offsets": unknown, "records": null, "action": "stopped", "continued_at": null});
    // Both are of the topic.
    for partition in [0, 1] {
        scene.tells("TOPIC_RECREATED", partition, stopped.clone()).await?;
    }
    scene.worker.wait_task_failed(&scene.name, 0, &["2 of 3 partitions stopped", "was deleted and made again"]).await?;
    scene.still_holds().await?;
    // A topic beside it is copied all the same.
    scene.beside_goes_on().await?;

    scene.put(&[(RECREATED, "continue")]).await?;
    scene.tells("TOPIC_RECREATED", 0, json!({"offsets": unknown, "action": "continued"})).await?;
    scene.holds(0, &["0..100", &format!("n0..{more}")]).await?;
    scene.produce(1, "n", 0, 5).await?;
    scene.holds(1, &["0..100", "n0..5"]).await?;
    // The new one is the known one from now on.
    scene.worker.stop().await?;
    scene.produce(0, "n", more, more + 10).await?;
    scene.worker.restart().await?;
    scene.holds(0, &["0..100", &format!("n0..{}", more + 10)]).await?;
    ensure!(scene.told().await?["events"] == json!([]), "{}", scene.told().await?);
    scene.end().await
}

#[tokio::test]
async fn a_shorter_topic_made_again_while_the_worker_was_away() -> Result<()> {
    recreated_while_away(30).await
}

#[tokio::test]
async fn a_longer_topic_made_again_while_the_worker_was_away() -> Result<()> {
    recreated_while_away(300).await
}

async fn recreated_while_running(policy: &str) -> Result<()> {
    let scene = Scene::copied(100, &[(RECREATED, policy)]).await?;
    scene.make_again(&scene.source, &scene.topic).await?;
    scene.produce(0, "n", 0, 130).await?;
    scene.produce(1, "n", 0, 20).await?;
    let action = if policy == "fail" { "stopped" } else { "continued" };
    for partition in [0, 1] {
        scene.tells("TOPIC_RECREATED", partition, json!({"action": action, "records": null})).await?;
    }
    scene.beside_goes_on().await?;
    if policy == "fail" {
        scene
            .worker
            .wait_task_failed(&scene.name, 0, &["2 of 3 partitions stopped", "was deleted and made again"])
            .await?;
    } else {
        scene.holds(0, &["0..100", "n0..130"]).await?;
        scene.holds(1, &["0..100", "n0..20"]).await?;
        // Once each.
        ensure!(scene.told().await?["counts"]["TOPIC_RECREATED"]["events"] == 2, "{}", scene.told().await?);
    }
    scene.end().await
}

#[tokio::test]
async fn a_topic_made_again_while_it_is_copied_stops() -> Result<()> {
    recreated_while_running("fail").await
}

#[tokio::test]
async fn a_topic_made_again_while_it_is_copied_is_copied_from_its_beginning() -> Result<()> {
    recreated_while_running("continue").await
}
