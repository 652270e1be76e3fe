//! Leaders that move to other brokers, with their partitions, under load.

use std::fs;

use ::testkit::{
    Cluster, Load, Scratch,
    anyhow::{Result, ensure},
    create_topic, placements, unique, wait_until,
};
use serde_json::json;

use super::{
    DEADLINE,
    story::{Side, Story, three},
};
use crate::worker::remote;

const PARTITIONS: i32 = 6;

/// Moves each partition to two brokers of which none leads it now, by Kafka's own tool, and waits until one of them does.
async fn move_leaders(cluster: &Cluster, topic: &str) -> Result<()> {
    let before = placements(&cluster.bootstrap(), topic).await?;
    let wanted: Vec<[i32; 2]> = before.iter().map(|p| [p.leader % 3 + 1, (p.leader + 1) % 3 + 1]).collect();
    let partitions: Vec<_> = (0..)
        .zip(&wanted)
        .map(|(partition, replicas): (i32, _)| json!({"topic": topic, "partition": partition, "replicas": replicas}))
        .collect();
    let scratch = Scratch::new("moves")?;
    let file = scratch.path().join("moves.json").display().to_string();
    fs::write(&file, json!({"version": 1, "partitions": partitions}).to_string())?;
    let tool = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
    cluster.tools().run(tool, &["--reassignment-json-file", &file, "--execute"]).await?;
    wait_until("the partitions to move", DEADLINE, async || {
        for (placed, wanted) in placements(&cluster.bootstrap(), topic).await?.iter().zip(&wanted) {
            ensure!(wanted.contains(&placed.leader) && placed.replicas.len() == 2, "{placed:?}, wanted {wanted:?}");
        }
        Ok(())
    })
    .await
}

async fn moves(rounds: usize) -> Result<()> {
    let (source, target) = tokio::try_join!(three("source"), three("target"))?;
    let topic = unique("moving");
    let copied = remote(&topic);
    for (cluster, topic) in [(&source, &topic), (&target, &copied)] {
        create_topic(&cluster.bootstrap(), topic, PARTITIONS, 2, &[("min.insync.replicas", "1")]).await?;
    }
    let load = Load::start(&source.bootstrap(), &topic, PARTITIONS, 1_200, 300);
    let (from, to) = (Side::direct(&source.bootstrap()), Side::direct(&target.bootstrap()));
    let story = Story::begin(from, to, &[&topic], 3, 2).await?;
    let all: Vec<_> = (0..PARTITIONS).collect();
    story.wait_progress(&target.bootstrap(), &topic, &all, 20).await?;
    for _ in 0..rounds {
        tokio::try_join!(move_leaders(&source, &topic), move_leaders(&target, &copied))?;
        story.wait_progress(&target.bootstrap(), &topic, &all, 100).await?;
    }
    story.end(&topic, load).await
}

#[tokio::test]
async fn leaders_that_move_are_followed() -> Result<()> {
    moves(2).await
}

mod full {
    use super::*;

    #[tokio::test]
    async fn leaders_that_move_again_and_again_are_followed() -> Result<()> {
        moves(12).await
    }
}
