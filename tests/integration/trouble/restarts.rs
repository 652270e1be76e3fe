//! Brokers that go and come back one after another, under load.

use ::testkit::{
    Cluster, Load,
    anyhow::{Result, ensure},
    placements, unique, wait_until,
};

use super::{
    DEADLINE,
    story::{Side, Story, three},
};
use crate::worker::remote;

const PARTITIONS: i32 = 6;

/// How a broker goes.
#[derive(Debug, Clone, Copy)]
enum Leave {
    /// As an operator stops it: leaderships are handed over first.
    InOrder,
    /// By kill -9.
    Killed,
}

/// Stops and starts a broker, and waits until it has caught up: the next one may go only then.
async fn restart(cluster: &Cluster, broker: u32, leave: Leave, topic: &str) -> Result<()> {
    match leave {
        Leave::InOrder => cluster.stop(broker).await?,
        Leave::Killed => cluster.kill9(broker)?,
    }
    cluster.restart(broker).await?;
    wait_until(&format!("all replicas of {topic} in sync"), DEADLINE, async || {
        for placed in placements(&cluster.bootstrap(), topic).await? {
            ensure!(placed.leader >= 0 && placed.in_sync.len() == 3, "{placed:?}");
        }
        Ok(())
    })
    .await
}

async fn roll(rounds: &[[Leave; 2]]) -> Result<()> {
    let (source, target) = tokio::try_join!(three("source"), three("target"))?;
    let topic = unique("rolling");
    ::testkit::create_topic(&source.bootstrap(), &topic, PARTITIONS, 3, &[]).await?;
    let load = Load::start(&source.bootstrap(), &topic, PARTITIONS, 1_200, 300);
    let (from, to) = (Side::direct(&source.bootstrap()), Side::direct(&target.bootstrap()));
    let story = Story::begin(from, to, &[&topic], 3, 2).await?;
    let all: Vec<_> = (0..PARTITIONS).collect();
    story.wait_progress(&target.bootstrap(), &topic, &all, 20).await?;
    let copied = remote(&topic);
    for ([of_source, of_target], broker) in rounds.iter().zip((1..=3).cycle()) {
        // Not the same broker on both sides, so that no two logs of an error look alike.
        let other = broker % 3 + 1;
        tokio::try_join!(restart(&source, broker, *of_source, &topic), restart(&target, other, *of_target, &copied))?;
        story.wait_progress(&target.bootstrap(), &topic, &all, 20).await?;
    }
    story.end(&topic, load).await
}

#[tokio::test]
async fn brokers_restarted_one_after_another_lose_and_double_nothing() -> Result<()> {
    use Leave::{InOrder, Killed};
    roll(&[[InOrder, Killed], [Killed, InOrder], [InOrder, InOrder]]).await
}

mod full {
    use super::*;

    #[tokio::test]
    async fn brokers_restarted_again_and_again_lose_and_double_nothing() -> Result<()> {
        let any = || if rand::random() { Leave::InOrder } else { Leave::Killed };
        let rounds: Vec<_> = (0..9).map(|_| [any(), any()]).collect();
        eprintln!("{rounds:?}");
        roll(&rounds).await
    }
}
