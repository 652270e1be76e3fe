//! Target topics that are deleted and made again.

use ::testkit::{
    anyhow::{Context, Result, ensure},
    create_topic, delete_topic, placements,
    proxy::{
        Direction, Frame, Rule,
        api_key::{METADATA, PRODUCE},
    },
    wait_for_topic, wait_until,
};
use serde_json::json;

use super::{FIRST, Scene};
use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::pair,
};

const RECREATED: &str = "kmirror.target.recreated.policy";

/// The target's topic is another one, and records behind those that were copied are at the source.
async fn made_again(is_running: bool, more: &[(&str, &str)]) -> Result<Scene> {
    let mut scene = Scene::copied(100, more).await?;
    if !is_running {
        scene.worker.stop().await?;
    }
    make_again_elsewhere(&scene).await?;
    // Nothing is copied any more.
    scene.expected.lock().unwrap().clear();
    if !is_running {
        scene.worker.restart().await?;
    }
    Ok(scene)
}

/// Deletes the remote topic and makes it again, where there are several brokers under other leaders: those of before, who get what is sent by
/// name, refuse it.
async fn make_again_elsewhere(scene: &Scene) -> Result<()> {
    let brokers = scene.target.split(',').count();
    let remote = scene.remote();
    let before = placements(&scene.target, &remote).await?;
    let other = |leader: i32| usize::try_from(leader).map(|leader| leader % brokers + 1);
    let leaders = before.iter().map(|placed| other(placed.leader).map(|broker| broker.to_string()));
    let leaders = leaders.collect::<Result<Vec<_>, _>>()?.join(",");
    delete_topic(&scene.target, &remote).await?;
    let tools = ::testkit::pair().await?.target.tools().await?;
    wait_until("the topic to be made again", DEADLINE, async || {
        tools.topics(&["--create", "--topic", &remote, "--replica-assignment", &leaders]).await?;
        wait_for_topic(&scene.target, &remote, 2).await
    })
    .await
}

async fn more_records(scene: &Scene) -> Result<()> {
    scene.produce(0, FIRST, 100, 150).await?;
    scene.produce(1, FIRST, 100, 110).await
}

async fn stops(is_running: bool) -> Result<()> {
    let scene = made_again(is_running, &[]).await?;
    more_records(&scene).await?;
    let unknown = json!({"of": "target", "from": null, "to": null});
    for partition in [0, 1] {
        let stopped = json!({"offsets": unknown, "records": null, "action": "stopped"});
        scene.tells("TARGET_RECREATED", partition, stopped).await?;
    }
    let words = ["2 of 3 partitions stopped", &format!("{}-0", scene.remote()), "was deleted and made again"];
    scene.worker.wait_task_failed(&scene.name, 0, &words).await?;
    scene.beside_goes_on().await?;
    scene.holds(0, &[]).await?;

    scene.put(&[(RECREATED, "continue")]).await?;
    scene.tells("TARGET_RECREATED", 0, json!({"action": "continued", "continued_at": 100})).await?;
    scene.holds(0, &["100..150"]).await?;
    scene.holds(1, &["100..110"]).await?;
    ensure!(scene.told().await?["counts"]["TARGET_RECREATED"]["events"] == 4, "{}", scene.told().await?);
    scene.end().await
}

async fn goes_on(is_running: bool, policy: &str) -> Result<()> {
    let mut scene = made_again(is_running, &[(RECREATED, policy)]).await?;
    more_records(&scene).await?;
    for partition in [0, 1] {
        scene.tells("TARGET_RECREATED", partition, json!({"action": "continued"})).await?;
    }
    let first = if policy == "recopy" { 0 } else { 100 };
    scene.holds(0, &[&format!("{first}..150")]).await?;
    scene.holds(1, &[&format!("{first}..110")]).await?;
    scene.passed_all("TARGET_RECREATED").await?;
    scene.beside_goes_on().await?;
    ensure!(scene.told().await?["counts"]["TARGET_RECREATED"]["events"] == 2, "{}", scene.told().await?);
    // The new one is the known one from now on.
    scene.worker.kill9()?;
    scene.produce(0, FIRST, 150, 160).await?;
    scene.worker.restart().await?;
    scene.holds(0, &[&format!("{first}..160")]).await?;
    ensure!(scene.told().await?["events"] == json!([]), "{}", scene.told().await?);
    scene.end().await
}

#[tokio::test]
async fn a_target_made_again_while_the_worker_was_away_stops_until_it_may_go_on() -> Result<()> {
    stops(false).await
}

#[tokio::test]
async fn a_target_made_again_while_it_is_written_stops_until_it_may_go_on() -> Result<()> {
    stops(true).await
}

#[tokio::test]
async fn a_target_made_again_while_the_worker_was_away_gets_what_comes() -> Result<()> {
    goes_on(false, "continue").await
}

#[tokio::test]
async fn a_target_made_again_while_it_is_written_gets_what_comes() -> Result<()> {
    goes_on(true, "continue").await
}

#[tokio::test]
async fn a_target_made_again_while_the_worker_was_away_gets_all_again() -> Result<()> {
    goes_on(false, "recopy").await
}

#[tokio::test]
async fn a_target_made_again_while_it_is_written_gets_all_again() -> Result<()> {
    goes_on(true, "recopy").await
}

/// A topic led by the broker that led the one of the same name before: what is sent there by name is taken, and no refused request tells that
/// the topic is another one. `via`: where the worker finds the target.
async fn in_place(via: &str, policy: &str, before: impl FnOnce(&Scene)) -> Result<Scene> {
    let pair = pair().await?;
    let tools = ::testkit::pair().await?.target.tools().await?;
    let more = [(RECREATED, policy), ("target.cluster.bootstrap.servers", via)];
    let scene = Scene::prepared(&pair.source, &pair.target, Kmirror::on(via), &more).await?;
    create_topic(&scene.source, &scene.topic, 2, 1, &[]).await?;
    let remote = scene.remote();
    let make = async || {
        tools.topics(&["--create", "--topic", &remote, "--replica-assignment", "1,1"]).await?;
        wait_for_topic(&scene.target, &remote, 2).await
    };
    make().await?;
    scene.put(&[]).await?;
    scene.fill(100).await?;
    before(&scene);
    delete_topic(&scene.target, &remote).await?;
    wait_until("the topic to be made again", DEADLINE, make).await?;
    scene.expected.lock().unwrap().clear();
    Ok(scene)
}

async fn made_again_in_place(policy: &str) -> Result<()> {
    let scene = in_place(&pair().await?.target, policy, |_| ()).await?;
    more_records(&scene).await?;
    let action = if policy == "fail" { "stopped" } else { "continued" };
    for partition in [0, 1] {
        scene.tells("TARGET_RECREATED", partition, json!({"action": action})).await?;
    }
    let told = scene.told().await?;
    ensure!(told["counts"]["TARGET_REGRESSED"]["events"] == 0, "{told}");
    if policy == "continue" {
        // Also what was taken before it was known to be another topic.
        scene.holds(0, &["100..150"]).await?;
    }
    scene.end().await
}

#[tokio::test]
async fn a_target_made_again_on_the_same_broker_is_told_from_one_that_lost_records() -> Result<()> {
    made_again_in_place("fail").await?;
    made_again_in_place("continue").await?;
    made_again_in_place("recopy").await
}

/// The new topic has taken batches, of which one is still to be answered when it is known to be another one: they count, under both policies.
#[tokio::test]
async fn what_a_target_made_again_takes_before_that_is_known_is_there_once() -> Result<()> {
    let proxy = ::testkit::pair().await?.target.proxy().await?;
    for policy in ["fail", "continue"] {
        let mut news = None;
        let mute = |scene: &Scene| {
            let remote = scene.remote();
            let is_about = move |frame: &Frame<'_>| frame.mentions(&remote);
            news = Some(proxy.add(Rule::hold(METADATA, Direction::Response).when(is_about)));
        };
        let scene = in_place(&proxy.bootstrap(), policy, mute).await?;
        let (news, remote) = (news.context("never called")?, scene.remote());
        let is_about = move |frame: &Frame<'_>| frame.produced_topic() == Some(remote.as_bytes());
        let sent = proxy.watch(PRODUCE, is_about.clone());
        let answers = proxy.add(Rule::hold(PRODUCE, Direction::Response).when(is_about));
        for (from, requests) in [(100, 1), (110, 2)] {
            scene.produce(0, FIRST, from, from + 10).await?;
            let under_way = async || {
                ensure!(sent.unanswered() == requests, "{sent:?}");
                Ok(())
            };
            scene.worker.until("requests to be under way", DEADLINE, under_way).await?;
        }
        answers.wait_held(1, DEADLINE).await?;
        answers.release_one();
        news.wait_held(1, DEADLINE).await?;
        news.release();
        // Were it told without the other answer, that would be by now.
        scene.told().await?;
        answers.release();
        if policy == "fail" {
            scene.tells("TARGET_RECREATED", 0, json!({"action": "stopped"})).await?;
            scene.put(&[(RECREATED, "continue")]).await?;
        }
        scene.tells("TARGET_RECREATED", 0, json!({"action": "continued", "continued_at": 120})).await?;
        scene.produce(0, FIRST, 120, 130).await?;
        scene.holds(0, &["100..130"]).await?;
        scene.end().await?;
    }
    Ok(())
}
