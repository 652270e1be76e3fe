//! A worker that is frozen at a named point of its cycle while another one takes its place, and then goes on.

use ::testkit::{
    Bulk, Cluster,
    anyhow::{Context, Result, ensure},
    bulk_produce, create_topic, unique, wait_until,
};

use super::{mirror, three, worker};
use crate::{
    killed::{
        About, PARTITIONS, POINTS, Point, RECORDS, a_year_ago,
        ledger::{Figures, arrived},
        rule,
    },
    kmirror::DEADLINE,
    worker::{Copy, remote},
};

/// So that the copy takes some seconds.
const BYTES_PER_SECOND: &str = "3000000";

/// How a worker says that it was taken over.
const SUPERSEDED: &str = "is copied by another worker now";
const MAP: &str = "mm2-offset-map.src.internal";

fn bulk(records: u64, value_bytes: usize, time: Option<i64>) -> Bulk {
    Bulk { value_bytes, batch_bytes: 4_000, time, ..Bulk::new(records, PARTITIONS) }
}

/// Copies a topic of new records and one of old ones, and freezes the worker at this point of it.
async fn frozen_at(from: &Cluster, to: &Cluster, point: &Point) -> Result<Figures> {
    let (source, target, proxy) = (from.bootstrap(), to.bootstrap(), to.proxy()?);
    let prefix = unique("frozen");
    let topics = [(format!("{prefix}-now"), None), (format!("{prefix}-old"), Some(a_year_ago()?))];
    for (topic, time) in &topics {
        create_topic(&source, topic, PARTITIONS, 3, &[("retention.ms", "-1")]).await?;
        bulk_produce(&source, topic, &bulk(RECORDS, 200, *time)).await?;
    }
    let remotes = topics.each_ref().map(|(topic, _)| remote(topic));
    let copies: Vec<_> = topics
        .iter()
        .zip(&remotes)
        .map(|((topic, _), remote)| Copy { source: &source, topic, target: &target, remote })
        .collect();
    let copied = async || {
        let mut sum = 0;
        for copy in &copies {
            sum += copy.arrived().await;
        }
        sum
    };

    let positions = unique("positions");
    let workers = worker(&proxy.bootstrap()).property("offset.storage.topic", &positions);
    let mut old = workers.clone().start().await?;
    let about = match point.about {
        About::Data => remote(&prefix),
        About::Map => MAP.to_owned(),
        About::Positions => positions,
    };
    let held = proxy.add(rule(point, &about));
    let names: Vec<_> = topics.iter().map(|(topic, _)| topic.clone()).collect();
    let config = mirror(&source, &proxy.bootstrap(), &names, &[("kmirror.max.bytes.per.second", BYTES_PER_SECOND)]);
    old.put_connector("mirror", &config).await?;
    wait_until(point.name, DEADLINE, async || {
        ensure!(held.matched() > 0, "not yet");
        Ok(())
    })
    .await?;
    old.signal("STOP")?;
    proxy.clear();

    let mut new = workers.start().await?;
    let frozen_at = copied().await;
    new.until("the other worker to copy on", DEADLINE, async || {
        let copied = copied().await;
        ensure!(copied > frozen_at + 3_000, "from {frozen_at} to {copied}");
        Ok(())
    })
    .await?;
    old.signal("CONT")?;
    for (topic, time) in &topics {
        bulk_produce(&source, topic, &bulk(RECORDS / 3, 210, *time)).await?;
    }
    old.wait_task_failed("mirror", 0, &[SUPERSEDED]).await?;
    // Whatever the old one has stored meanwhile is what a next one begins with.
    new.kill9()?;
    new.restart().await?;
    arrived(&copies, &new).await?;
    let mut figures = Figures::default();
    for copy in &copies {
        figures += Figures::read(copy).await?;
    }
    eprintln!("frozen when {}: {figures}", point.name);
    figures.exact()?;
    old.stop().await?;
    new.stop().await?;
    Ok(figures)
}

#[tokio::test]
async fn workers_frozen_at_any_point_and_taken_over_double_nothing() -> Result<()> {
    let (source, target) = tokio::try_join!(three("source", &[]), three("target", &[]))?;
    let mut sum = Figures::default();
    for point in &POINTS {
        sum += frozen_at(&source, &target, point).await.with_context(|| format!("frozen when {}", point.name))?;
    }
    eprintln!("frozen and taken over: {} points, {sum}", POINTS.len());
    Ok(())
}
