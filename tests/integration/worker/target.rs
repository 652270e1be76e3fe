//! Connectors that name another target than the worker's own cluster.

use std::time::Duration;

use ::testkit::{
    anyhow::{Context, Result},
    create_topic, unique,
};
use ::wire::{Cluster, ClusterConfig};

use super::connector;
use crate::{
    kmirror::Kmirror,
    shared::{addresses, pair},
};

#[tokio::test]
async fn another_clusters_address_as_target_is_refused_by_both_ids() -> Result<()> {
    let pair = pair().await?;
    let topic = unique("elsewhere");
    create_topic(&pair.source, &topic, 1, 1, &[]).await?;
    let worker = Kmirror::on(&pair.target).start().await?;
    let root = worker.get("/").await?.ok()?;
    let own = root["kafka_cluster_id"].as_str().context("no kafka_cluster_id")?;
    let other = Cluster::new(ClusterConfig::new("other", &addresses(&pair.source))).cluster_id().await?;

    let config = connector(&pair.source, &pair.source, &topic, &[]);
    worker.put_connector("mirror", &config).await?;
    let trace = worker.wait_failed("mirror", Duration::from_secs(15), &[own, &other]).await?;
    assert!(trace.contains("target.cluster.bootstrap.servers"), "{trace}");
    // Corrected, it runs.
    worker.put_connector("mirror", &connector(&pair.source, &pair.target, &topic, &[])).await?;
    worker.wait_running("mirror", 1).await?;
    Ok(())
}
