//! Connections that never last.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::testkit::{
    anyhow::{Result, ensure},
    proxy::Proxy,
};
use tokio::task::JoinHandle;

use super::story::{Side, Story, loaded};

const PARTITIONS: i32 = 4;

/// Cuts all connections of both proxies again and again, until dropped.
struct Cutter(JoinHandle<()>);

impl Cutter {
    fn start(proxies: [Arc<Proxy>; 2], every: impl Fn() -> Duration + Send + 'static) -> Self {
        Self(tokio::spawn(async move {
            loop {
                for proxy in &proxies {
                    tokio::time::sleep(every() / 2).await;
                    proxy.cut_all();
                }
            }
        }))
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn cut(every: impl Fn() -> Duration + Send + 'static, time: Duration) -> Result<()> {
    let pair = ::testkit::pair().await?;
    let (source, target) = (Arc::new(pair.source.proxy().await?), Arc::new(pair.target.proxy().await?));
    let (from, to) = (Side::behind(&source, &pair.source.bootstrap), Side::behind(&target, &pair.target.bootstrap));
    let (topic, load) = loaded(&from.direct, "cuts", PARTITIONS, 1, 1_000).await?;
    let story = Story::begin(from, to, &[&topic], 1, 2).await?;
    let all: Vec<_> = (0..PARTITIONS).collect();
    story.wait_progress(&pair.target.bootstrap, &topic, &all, 10).await?;

    let (start, mut rounds) = (Instant::now(), 0);
    let cutter = Cutter::start([Arc::clone(&source), Arc::clone(&target)], every);
    while start.elapsed() < time {
        story.wait_progress(&pair.target.bootstrap, &topic, &all, 100).await?;
        rounds += 1;
    }
    drop(cutter);
    ensure!(rounds > 1, "no steady progress in {time:?}");
    story.end(&topic, load).await
}

#[tokio::test]
async fn connections_cut_every_second_double_and_lose_nothing() -> Result<()> {
    cut(|| Duration::from_secs(1), Duration::from_secs(15)).await
}

mod full {
    use super::*;

    #[tokio::test]
    async fn connections_cut_at_random_double_and_lose_nothing() -> Result<()> {
        cut(|| Duration::from_millis(rand::random_range(100..3_000)), Duration::from_secs(120)).await
    }
}
