//! Connectors that are deleted, made again, restarted, and born paused or stopped.

use ::testkit::{
    Codec,
    anyhow::{Result, ensure},
    create_topic, produce, unique,
};
use serde_json::{Value, json};

use super::{Copy, connector, records, remote};
use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::pair,
};

#[tokio::test]
async fn a_connector_made_again_goes_on_where_the_deleted_one_ended() -> Result<()> {
    let pair = pair().await?;
    let topic = unique("again");
    create_topic(&pair.source, &topic, 2, 1, &[]).await?;
    let remote = remote(&topic);
    let copy = Copy { source: &pair.source, topic: &topic, target: &pair.target, remote: &remote };
    let worker = Kmirror::on(&pair.target).start().await?;
    let config = connector(&pair.source, &pair.target, &topic, &[]);
    for round in 0..3 {
        for partition in 0..2 {
            produce(&pair.source, &topic, partition, &records(round * 1_000, 100), Codec::Lz4).await?;
        }
        let body = json!({"name": "mirror", "config": config});
        let created = worker.request("POST", "/connectors", Some(&body)).await?;
        ensure!(created.status == 201, "{created:?}");
        worker.wait_running("mirror", 1).await?;
        copy.wait_equal(&worker).await?;
        let deleted = worker.request("DELETE", "/connectors/mirror", None).await?;
        ensure!(deleted.status == 204 && deleted.body.is_empty(), "{deleted:?}");
        // Made again at once in the second round, after its statuses have gone in the others.
        if round != 1 {
            worker
                .until("its statuses to go", DEADLINE, async || {
                    let status = worker.get("/connectors/mirror/status").await?;
                    ensure!(status.status == 404, "{status:?}");
                    Ok(())
                })
                .await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn restarts_answer_as_connect_does_and_double_nothing() -> Result<()> {
    let pair = pair().await?;
    let topic = unique("anew");
    create_topic(&pair.source, &topic, 2, 1, &[]).await?;
    let remote = remote(&topic);
    let copy = Copy { source: &pair.source, topic: &topic, target: &pair.target, remote: &remote };
    let worker = Kmirror::on(&pair.target).start().await?;
    worker.put_connector("mirror", &connector(&pair.source, &pair.target, &topic, &[("tasks.max", "2")])).await?;
    worker.wait_running("mirror", 2).await?;

    let states = |status: &Value| -> Vec<String> {
        let tasks = crate::kmirror::list(&status["tasks"]).iter().map(|task| &task["state"]);
        [&status["connector"]["state"]].into_iter().chain(tasks).map(|s| s.as_str().unwrap_or("?").to_owned()).collect()
    };
    let (up, anew) = ("RUNNING", "RESTARTING");
    for (round, (query, code, expected)) in [
        ("restart", 204, None),
        ("restart?includeTasks=false&onlyFailed=false", 204, None),
        ("restart?includeTasks=true", 202, Some([anew, anew, anew])),
        ("restart?includeTasks=true&onlyFailed=true", 202, Some([up, up, up])),
        ("restart?onlyFailed=true", 202, Some([up, up, up])),
        ("tasks/1/restart", 204, None),
    ]
    .into_iter()
    .enumerate()
    {
        produce(&pair.source, &topic, 0, &records(round * 1_000, 50), Codec::Snappy).await?;
        let answer = worker.request("POST", &format!("/connectors/mirror/{query}"), None).await?;
        ensure!(answer.status == code, "{query}: {answer:?}");
        let seen = (code == 202).then(|| answer.json()).transpose()?;
        ensure!(seen.as_ref().map(states) == expected.map(|e| e.map(str::to_owned).to_vec()), "{query}: {answer:?}");
        produce(&pair.source, &topic, 1, &records(round * 1_000, 50), Codec::Snappy).await?;
        worker.wait_running("mirror", 2).await?;
        copy.wait_equal(&worker).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_connector_born_paused_or_stopped_copies_nothing_until_it_is_made_anew() -> Result<()> {
    let pair = pair().await?;
    let topic = unique("unborn");
    create_topic(&pair.source, &topic, 1, 1, &[]).await?;
    produce(&pair.source, &topic, 0, &records(0, 10), Codec::None).await?;
    let mut worker = Kmirror::on(&pair.target).start().await?;
    let config = connector(&pair.source, &pair.target, &topic, &[]);
    for state in ["PAUSED", "STOPPED"] {
        let body = json!({"name": state, "config": config, "initial_state": state.to_lowercase()});
        let created = worker.request("POST", "/connectors", Some(&body)).await?;
        ensure!(created.status == 201, "{created:?}");
    }
    let unknown = json!({"name": "x", "config": config, "initial_state": "DEAD"});
    let refused = worker.request("POST", "/connectors", Some(&unknown)).await?;
    ensure!(refused.status == 400 && refused.body.contains("RUNNING, PAUSED, STOPPED"), "{refused:?}");

    let both = async |worker: &Kmirror| -> Result<()> {
        for state in ["PAUSED", "STOPPED"] {
            worker
                .wait_status(&format!("{state} to be that"), state, DEADLINE, |status| {
                    ensure!(status["connector"]["state"] == state && status["tasks"] == json!([]), "not yet");
                    Ok(())
                })
                .await?;
        }
        Ok(())
    };
    both(&worker).await?;
    worker.stop().await?;
    worker.restart().await?;
    both(&worker).await?;
    // A new configuration leaves the state as it is.
    worker.put_connector("PAUSED", &config).await?;
    both(&worker).await?;
    ensure!(::testkit::watermarks(&pair.target, &remote(&topic)).await.is_err(), "something was copied");

    // Made anew without a state, it runs.
    ensure!(worker.request("DELETE", "/connectors/PAUSED", None).await?.status == 204);
    let created = worker.request("POST", "/connectors", Some(&json!({"name": "PAUSED", "config": config}))).await?;
    ensure!(created.status == 201, "{created:?}");
    worker.wait_running("PAUSED", 1).await?;
    let remote = remote(&topic);
    Copy { source: &pair.source, topic: &topic, target: &pair.target, remote: &remote }.wait_equal(&worker).await
}
