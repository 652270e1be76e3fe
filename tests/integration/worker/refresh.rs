//! Topics that appear and grow while a connector runs.

use ::testkit::{
    Codec,
    anyhow::{Result, ensure},
    create_partitions, create_topic, produce, unique,
};

use super::{Copy, Load, connector, fill_slowly_copied, records, remote};
use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::pair,
};

/// Waits until the tasks have these partitions, each task's written as Connect does.
async fn wait_assigned(worker: &Kmirror, expected: &[&str]) -> Result<()> {
    worker
        .until(&format!("tasks with {expected:?}"), DEADLINE, async || {
            let assigned: Vec<_> = worker.assigned("mirror").await?.iter().map(|task| task.join(",")).collect();
            ensure!(assigned == expected, "{assigned:?}");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn new_and_grown_topics_are_taken_up_without_loss_or_doubles() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplication [7],
    // MirrorConnectorsWithCustomForwardingAdminIntegrationTest.testCreatePartitionsUseProvidedForwardingAdmin
    let pair = pair().await?;
    let prefix = unique("fresh");
    let (a, b) = (format!("{prefix}-a"), format!("{prefix}-b"));
    create_topic(&pair.source, &a, 3, 1, &[]).await?;
    fill_slowly_copied(&pair.source, &a, 3, 120_000).await?;
    let worker = Kmirror::on(&pair.target).start().await?;
    let more = [("refresh.topics.interval.seconds", "1"), ("tasks.max", "2")];
    let config = connector(&pair.source, &pair.target, &format!("{prefix}.*"), &more);
    worker.put_connector("mirror", &config).await?;
    worker.wait_running("mirror", 2).await?;
    wait_assigned(&worker, &[&format!("{a}-0,{a}-2"), &format!("{a}-1")]).await?;

    // Under load, so that what moves from task to task moves in mid-copy.
    let mut load = Load::start(&pair.source, &a, 3);
    let (remote_a, remote_b) = (remote(&a), remote(&b));
    let copy_a = Copy { source: &pair.source, topic: &a, target: &pair.target, remote: &remote_a };
    let copy_b = Copy { topic: &b, remote: &remote_b, ..copy_a };
    copy_a.wait_more_than(&worker, 0).await?;

    create_topic(&pair.source, &b, 2, 1, &[]).await?;
    for partition in 0..2 {
        produce(&pair.source, &b, partition, &records(0, 100), Codec::Snappy).await?;
    }
    wait_assigned(&worker, &[&format!("{a}-0,{a}-2,{b}-1"), &format!("{a}-1,{b}-0")]).await?;
    copy_b.wait_equal(&worker).await?;

    create_partitions(&pair.source, &a, 5).await?;
    for partition in 3..5 {
        produce(&pair.source, &a, partition, &records(1_000_000, 100), Codec::Lz4).await?;
    }
    wait_assigned(&worker, &[&format!("{a}-0,{a}-2,{a}-4,{b}-1"), &format!("{a}-1,{a}-3,{b}-0")]).await?;
    let moved = copy_a.arrived().await;
    copy_a.wait_more_than(&worker, moved).await?;
    load.stop().await?;
    copy_a.wait_equal(&worker).await?;
    copy_b.wait_equal(&worker).await?;
    worker.wait_running("mirror", 2).await?;
    Ok(())
}
