//! Clusters far away: 200 ms there and 200 ms back.

use std::time::Duration;

use ::testkit::{
    Bulk,
    anyhow::Result,
    bulk_produce, create_topic,
    proxy::{Direction, Proxy, Rule},
    unique,
};

use super::story::{Side, Story};

const PARTITIONS: i32 = 4;

/// Delays all that goes through a proxy, both ways.
fn far(proxy: &Proxy) {
    for direction in [Direction::Request, Direction::Response] {
        proxy.add(Rule::latency(0, direction, Duration::from_millis(200)).any_api());
    }
}

async fn story_from_afar(source_is_far: bool) -> Result<()> {
    let pair = ::testkit::pair().await?;
    let proxy = if source_is_far { pair.source.proxy().await? } else { pair.target.proxy().await? };
    let (from, to) = (&pair.source.bootstrap, &pair.target.bootstrap);
    let (from, to) = match source_is_far {
        true => (Side::behind(&proxy, from), Side::direct(to)),
        false => (Side::direct(from), Side::behind(&proxy, to)),
    };
    let topic = unique("far");
    create_topic(&from.direct, &topic, PARTITIONS, 1, &[]).await?;
    // Some batches for each partition, so that copying them takes several ways there and back.
    let source = from.direct.clone();
    bulk_produce(&source, &topic, &Bulk::new(20_000, PARTITIONS)).await?;
    far(&proxy);
    let story = Story::begin(from, to, &[&topic], 1, 1).await?;
    story.wait_equal(&topic).await?;
    // And a little at a time.
    for _ in 0..4 {
        bulk_produce(&source, &topic, &Bulk::new(400, PARTITIONS)).await?;
        story.wait_equal(&topic).await?;
    }
    story.finish(&topic).await
}

#[tokio::test]
async fn a_target_far_away_is_written_steadily() -> Result<()> {
    story_from_afar(false).await
}

#[tokio::test]
async fn a_source_far_away_is_read_steadily() -> Result<()> {
    story_from_afar(true).await
}
