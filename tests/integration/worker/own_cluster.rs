//! The worker's own cluster, where its state and the copies are, comes and goes.

use ::testkit::{
    Cluster, Codec,
    anyhow::{Result, ensure},
    create_topic, produce, unique,
};
use futures_util::future::try_join_all;

use super::{Copy, connector, records, remote};
use crate::{kmirror::Kmirror, shared::pair};

#[tokio::test]
async fn a_worker_waits_for_its_own_cluster_at_the_start_and_later() -> Result<()> {
    let source = pair().await?.source;
    let topic = unique("patient");
    create_topic(&source, &topic, 1, 1, &[]).await?;
    let own = Cluster::builder().name("own").start().await?;
    let target = own.bootstrap();
    own.stop(1).await?;

    let mut worker = Kmirror::on(&target).launch()?;
    worker.wait_health(503, &["starting", &target]).await?;
    for (method, path) in [("GET", "/"), ("GET", "/connectors"), ("POST", "/connectors/c/restart")] {
        let answer = worker.request(method, path, None).await?;
        ensure!(answer.status == 503 && answer.body.contains(&target), "{method} {path}: {answer:?}");
    }
    // It can be ended while it waits, and begins to wait anew.
    worker.stop().await?;
    worker.launch()?;
    worker.wait_health(503, &["starting", &target]).await?;
    own.restart(1).await?;
    worker.wait_healthy().await?;
    worker.put_connector("mirror", &connector(&source, &target, &topic, &[])).await?;
    worker.wait_running("mirror", 1).await?;
    let remote = remote(&topic);
    let copy = Copy { source: &source, topic: &topic, target: &target, remote: &remote };
    produce(&source, &topic, 0, &records(0, 100), Codec::Zstd).await?;
    copy.wait_equal(&worker).await?;

    own.kill9(1)?;
    worker.wait_health(503, &["unhealthy", &target]).await?;
    // What is remembered is told still.
    ensure!(worker.get("/connectors").await?.ok()? == serde_json::json!(["mirror"]));
    // What needs its topics fails in words, and nothing of it is done.
    let asked = ["offsets", "stop", "pause"].map(|what| (if what == "offsets" { "GET" } else { "PUT" }, what));
    let asked = asked.map(|(method, what)| (method, format!("/connectors/mirror/{what}")));
    let answers = asked.each_ref().map(|(method, path)| worker.request(method, path, None));
    for answer in try_join_all(answers).await? {
        ensure!(answer.status == 500 && answer.body.contains(" topic ") && answer.body.contains(&target), "{answer:?}");
    }
    produce(&source, &topic, 0, &records(1_000, 100), Codec::Zstd).await?;
    own.restart(1).await?;
    worker.wait_healthy().await?;
    copy.wait_equal(&worker).await?;
    worker.wait_running("mirror", 1).await?;

    // It can be ended without its cluster too: what is not stored is merely copied again.
    own.kill9(1)?;
    worker.stop().await
}
