//! Brokers of both sides that are killed while a worker copies.

use ::testkit::{
    Bulk, Cluster,
    anyhow::{Result, ensure},
    bulk_produce, create_topic, unique,
};

use super::{Copy, connector, remote};
use crate::kmirror::Kmirror;

#[tokio::test]
async fn brokers_killed_in_mid_copy_lose_and_reorder_nothing() -> Result<()> {
    let three = |name| Cluster::builder().name(name).brokers(3).property("min.insync.replicas", "2").start();
    let (source, target) = (three("source").await?, three("target").await?);
    let topic = unique("kills");
    create_topic(&source.bootstrap(), &topic, 6, 3, &[]).await?;
    let worker = ["config", "offset", "status"].iter().fold(Kmirror::on(&target.bootstrap()), |worker, kind| {
        worker.property(&format!("{kind}.storage.replication.factor"), "3")
    });
    let worker = worker.start().await?;
    let more = [("replication.factor", "3"), ("tasks.max", "2")];
    let config = connector(&source.bootstrap(), &target.bootstrap(), &topic, &more);
    worker.put_connector("mirror", &config).await?;
    worker.wait_running("mirror", 2).await?;

    let remote = remote(&topic);
    let (source_address, target_address) = (source.bootstrap(), target.bootstrap());
    let copy = Copy { source: &source_address, topic: &topic, target: &target_address, remote: &remote };
    let bulk = |records| Bulk { value_bytes: 200, ..Bulk::new(records, 6) };
    let produce = async |records| bulk_produce(&source_address, &topic, &bulk(records)).await;
    produce(50_000).await?;
    copy.wait_more_than(&worker, 0).await?;
    target.kill9(1)?;
    produce(50_000).await?;
    source.kill9(2)?;
    let killed_at = copy.arrived().await;
    worker
        .until("the copy to go on without two brokers", crate::kmirror::DEADLINE, async || {
            let arrived = copy.arrived().await;
            ensure!(arrived > killed_at || arrived == 100_000, "{arrived}");
            Ok(())
        })
        .await?;
    ::testkit::anyhow::ensure!(worker.process()?.exited()?.is_none(), "kmirror has ended");
    let (up, also_up) = tokio::join!(target.restart(1), source.restart(2));
    up.and(also_up)?;
    produce(50_000).await?;
    copy.wait_equal(&worker).await?;
    worker.wait_running("mirror", 2).await?;
    worker.wait_healthy().await
}
