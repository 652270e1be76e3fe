//! Leaders that stop answering: nobody refuses a connection, and nothing is answered.

use ::testkit::{
    Cluster,
    anyhow::{Result, ensure},
    create_topic,
};

use super::story::{Side, Story, but_for, loaded, one, three};
use crate::worker::remote;

const PARTITIONS: i32 = 6;

/// The partitions without a replica on this broker, of a topic with one replica each.
fn away_from(cluster: &Cluster, broker: u32, topic: &str) -> Result<Vec<i32>> {
    let mut away = Vec::new();
    for partition in 0..PARTITIONS {
        if !cluster.partition_dir(broker, topic, partition)?.exists() {
            away.push(partition);
        }
    }
    ensure!(!away.is_empty() && away.len() < PARTITIONS as usize, "{topic} without broker {broker}: {away:?}");
    Ok(away)
}

/// With one replica nobody takes the frozen broker's place: its partitions wait, and the others must not wait with them.
#[tokio::test]
async fn a_frozen_leader_of_the_target_stops_nobody_elses_partitions() -> Result<()> {
    let (source, target) = tokio::try_join!(one("source"), three("target"))?;
    let (topic, load) = loaded(&source.bootstrap(), "frozen", PARTITIONS, 1, 600).await?;
    let copied = remote(&topic);
    create_topic(&target.bootstrap(), &copied, PARTITIONS, 1, &[("min.insync.replicas", "1")]).await?;
    let (from, to) = (Side::direct(&source.bootstrap()), Side::direct(&target.bootstrap()));
    let story = Story::begin(from, to, &[&topic], 3, 1).await?;
    let all: Vec<_> = (0..PARTITIONS).collect();
    story.wait_progress(&target.bootstrap(), &topic, &all, 50).await?;

    let others = away_from(&target, 2, &copied)?;
    let answering = but_for(&target, 2)?;
    target.sigstop(2)?;
    for _ in 0..2 {
        story.wait_progress(&answering, &topic, &others, 400).await?;
    }
    target.sigcont(2)?;
    target.wait_ready().await?;
    story.wait_progress(&target.bootstrap(), &topic, &all, 50).await?;
    story.end(&topic, load).await
}

#[tokio::test]
async fn a_frozen_leader_of_the_source_stops_nobody_elses_partitions() -> Result<()> {
    let (source, target) = tokio::try_join!(three("source"), one("target"))?;
    let topic = ::testkit::unique("frozen");
    let source_at = source.bootstrap();
    create_topic(&source_at, &topic, PARTITIONS, 1, &[("min.insync.replicas", "1")]).await?;
    let load = ::testkit::Load::start(&source_at, &topic, PARTITIONS, 600, 300);
    let story = Story::begin(Side::direct(&source_at), Side::direct(&target.bootstrap()), &[&topic], 1, 1).await?;
    let all: Vec<_> = (0..PARTITIONS).collect();
    story.wait_progress(&target.bootstrap(), &topic, &all, 50).await?;

    let others = away_from(&source, 2, &topic)?;
    source.sigstop(2)?;
    for _ in 0..2 {
        story.wait_progress(&target.bootstrap(), &topic, &others, 400).await?;
    }
    source.sigcont(2)?;
    source.wait_ready().await?;
    story.wait_progress(&target.bootstrap(), &topic, &all, 50).await?;
    story.end(&topic, load).await
}

/// Where there are other replicas, the copy goes on with a new leader while the old one still holds its requests without a word.
#[tokio::test]
async fn a_frozen_leader_that_has_replicas_is_left_at_both_ends() -> Result<()> {
    let (source, target) = tokio::try_join!(three("source"), three("target"))?;
    let topic = ::testkit::unique("frozen");
    let replicated = [("min.insync.replicas", "2")];
    create_topic(&source.bootstrap(), &topic, PARTITIONS, 3, &replicated).await?;
    create_topic(&target.bootstrap(), &remote(&topic), PARTITIONS, 3, &replicated).await?;
    let (source_at, target_at) = (but_for(&source, 2)?, but_for(&target, 2)?);
    let load = ::testkit::Load::start(&source_at, &topic, PARTITIONS, 600, 300);
    let (from, to) = (Side::direct(&source.bootstrap()), Side::direct(&target.bootstrap()));
    let story = Story::begin(from, to, &[&topic], 3, 1).await?;
    let all: Vec<_> = (0..PARTITIONS).collect();
    story.wait_progress(&target.bootstrap(), &topic, &all, 50).await?;
    for frozen in [&target, &source] {
        frozen.sigstop(2)?;
        story.wait_progress(&target_at, &topic, &all, 100).await?;
        frozen.sigcont(2)?;
        frozen.wait_ready().await?;
    }
    story.end(&topic, load).await
}
