//! From Java Connect with MirrorMaker 2 to kmirror and back, on the same group and storage topics.

use std::time::Duration;

use ::testkit::{
    Codec, Connect, Java, Jvm,
    anyhow::{Result, ensure},
    create_topic, kafka_version, produce, unique,
};

use super::{Copy, connector, records, remote};
use crate::{
    kmirror::{DEADLINE, Kmirror, list},
    shared::pair,
};

/// All records of the source are on the target, once: where no kmirror runs that could be asked.
async fn wait_equal(copy: &Copy<'_>) -> Result<()> {
    ::testkit::wait_until("all records on the target", DEADLINE, async || {
        let (source, target) = copy.read().await?;
        let count = |topic: &[Vec<_>]| topic.iter().map(Vec::len).collect::<Vec<_>>();
        ensure!(count(&source) == count(&target), "{:?} of {:?}", count(&target), count(&source));
        Ok(source == target)
    })
    .await
    .and_then(|equal| {
        ensure!(equal, "the records differ");
        Ok(())
    })
}

#[tokio::test]
async fn a_connector_moves_from_java_to_kmirror_and_back() -> Result<()> {
    let pair = pair().await?;
    let topic = unique("moves");
    create_topic(&pair.source, &topic, 3, 1, &[]).await?;
    let fill = async |from: usize| -> Result<()> {
        for partition in 0..3 {
            produce(&pair.source, &topic, partition, &records(from, 200), Codec::Lz4).await?;
        }
        Ok(())
    };
    let remote = remote(&topic);
    let copy = Copy { source: &pair.source, topic: &topic, target: &pair.target, remote: &remote };

    let group = unique("connect");
    let storage =
        ["config", "offset", "status"].map(|kind| (format!("{kind}.storage.topic"), format!("{group}-{kind}")));
    let mut properties: Vec<(&str, &str)> = storage.iter().map(|(key, topic)| (key.as_str(), topic.as_str())).collect();
    properties.push(("group.id", &group));
    let java = Java::new(&kafka_version()).await?;
    let mut connect = Connect::start(&java, &pair.target, Jvm::quick(256), &properties).await?;
    let more = [("tasks.max", "2")];
    connect.put_connector("mirror", &connector(&pair.source, &pair.target, &topic, &more)).await?;
    connect.wait_running("mirror", 2, DEADLINE).await?;
    fill(0).await?;
    wait_equal(&copy).await?;

    // The Java worker is a member of the group still.
    let worker = properties.iter().fold(Kmirror::on(&pair.target), |worker, (key, value)| worker.property(key, value));
    let mut worker = worker.launch()?;
    worker.wait_health(503, &["starting", &group, "1 live member", "connect-"]).await?;
    ensure!(worker.log_text().contains("1 live member"), "{}", worker.log_text());
    let refused = worker.get("/connectors").await?;
    ensure!(refused.status == 503 && refused.body.contains(&group), "{refused:?}");
    fill(1_000).await?;
    wait_equal(&copy).await?;

    connect.stop().await?;
    worker.wait_healthy().await?;
    worker.wait_running("mirror", 2).await?;
    fill(2_000).await?;
    copy.wait_equal(&worker).await?;
    let info = worker.get("/connectors/mirror").await?.ok()?;
    ensure!(info["config"]["topics"] == topic.as_str(), "{info}");
    worker.stop().await?;

    // Java takes what kmirror has stored: configuration, tasks, positions and statuses.
    connect.restart().await?;
    let status = connect.wait_running("mirror", 2, DEADLINE).await?;
    ensure!(list(&status["tasks"]).len() == 2, "{status}");
    fill(3_000).await?;
    wait_equal(&copy).await?;
    connect.stop().await?;

    worker.restart().await?;
    worker.wait_running("mirror", 2).await?;
    fill(4_000).await?;
    copy.wait_equal(&worker).await?;
    // The last word of each side's clock: nobody writes what the other has written already.
    super::holds_for(Duration::from_secs(1), async || {
        let arrived = copy.arrived().await;
        ensure!(arrived == 3 * 5 * 200, "{arrived}");
        Ok(())
    })
    .await
}
