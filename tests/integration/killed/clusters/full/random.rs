//! Kills at random moments under load, each while a Produce request of the copy has no answer.

use std::time::{Duration, Instant};

use ::testkit::{
    Bulk, Connect, Jvm,
    anyhow::{Result, ensure},
    bulk_produce, create_topic,
    proxy::{Direction, Proxy, Rule, Watch, api_key::PRODUCE},
    unique, wait_until,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Loaded, PARTITIONS, mirror, number_from, three, worker};
use crate::{
    killed::ledger::Figures,
    kmirror::{DEADLINE, Kmirror},
    worker::{Copy, remote},
};

const KILLS: u64 = 50;
/// So many show what the others would be without an offset map.
const KILLS_UNMAPPED: u64 = 4;
/// Records a second in each topic.
const RATE: u64 = 4_000;
/// Answers take this long, so that many kills find one missing.
const WAY: Duration = Duration::from_millis(20);

/// Kills a worker, and starts it again, until so many kills have found a request unanswered; gives how many were needed.
async fn kill(worker: &mut Kmirror, watch: &Watch, counting: u64, random: &mut StdRng) -> Result<u64> {
    let (mut counted, mut all) = (0, 0);
    while counted < counting {
        // The moment is what is random here: from a worker that has hardly begun to one that has long caught up.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..4_000))).await;
        let start = Instant::now();
        while watch.unanswered() == 0 {
            ensure!(start.elapsed() < DEADLINE, "nothing is sent: {watch:?}");
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        worker.kill9()?;
        counted += u64::from(watch.unanswered() > 0);
        all += 1;
        worker.restart().await?;
    }
    Ok(all)
}

/// Watches for Produce requests of topics whose names begin so in the source.
fn watch(proxy: &Proxy, prefix: &str) -> Watch {
    let name = remote(prefix).into_bytes();
    proxy.watch(PRODUCE, move |frame| frame.produced_topic().is_some_and(|topic| topic.starts_with(&name)))
}

#[tokio::test]
async fn kills_at_random_moments_lose_and_double_nothing() -> Result<()> {
    let seed = number_from("KMIRROR_SEED", rand::random())?;
    eprintln!("random kills: KMIRROR_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (from, to) = tokio::try_join!(three("source", &[]), three("target", &[]))?;
    let (source, target, proxy) = (from.bootstrap(), to.bootstrap(), to.proxy()?);
    proxy.add(Rule::latency(PRODUCE, Direction::Response, WAY));
    for (what, is_mapped, counting) in
        [("random kills", "true", KILLS), ("random kills without an offset map", "false", KILLS_UNMAPPED)]
    {
        let counting = number_from("KMIRROR_KILLS", counting)?.min(counting);
        let loaded = Loaded::start(&source, "kills", RATE).await?;
        let watch = watch(proxy, &loaded.prefix);
        let mut worker = worker(&proxy.bootstrap()).start().await?;
        let config = mirror(&source, &proxy.bootstrap(), &loaded.topics, &[("kmirror.offset.map.enabled", is_mapped)]);
        worker.put_connector("mirror", &config).await?;
        let all = kill(&mut worker, &watch, counting, &mut random).await?;
        let figures = loaded.figures(&source, &target, &worker).await?;
        eprintln!("{what}: {counting} kills of {all} while a request was unanswered, {figures} (seed {seed})");
        match is_mapped {
            "true" => figures.exact()?,
            _ => ensure!(figures.doubled > 0 && figures.missing == 0, "the series shows nothing: {figures}"),
        }
        worker.stop().await?;
    }
    mirror_maker(from.java(), &source, &target).await
}

/// MirrorMaker 2 on Connect, killed before it has stored a position for the first time.
async fn mirror_maker(java: &::testkit::Java, source: &str, target: &str) -> Result<()> {
    const RECORDS: u64 = 50_000;
    let topic = unique("kills-mm2");
    create_topic(source, &topic, PARTITIONS, 3, &[("retention.ms", "-1")]).await?;
    bulk_produce(source, &topic, &Bulk::new(RECORDS, PARTITIONS)).await?;
    // What Connect does where nobody says otherwise; and its group, that it is back soon after the kill.
    let properties =
        [("offset.flush.interval.ms", "60000"), ("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "2000")];
    let mut connect = Connect::start(java, target, Jvm::quick(384), &properties).await?;
    connect.put_connector("mirror", &mirror(source, target, std::slice::from_ref(&topic), &[])).await?;
    let remote = remote(&topic);
    let copy = Copy { source, topic: &topic, target, remote: &remote };
    wait_until("some records by MirrorMaker 2", DEADLINE, async || {
        let arrived = copy.arrived().await;
        ensure!(arrived > 10_000, "{arrived}");
        Ok(())
    })
    .await?;
    connect.kill9()?;
    let copied = copy.arrived().await;
    // It is through when it has copied what came last.
    connect.restart().await?;
    bulk_produce(source, &topic, &Bulk { value_bytes: 300, ..Bulk::new(1_000, PARTITIONS) }).await?;
    let figures = wait_until("all records by MirrorMaker 2", DEADLINE, async || {
        let figures = Figures::read(&copy).await?;
        ensure!(figures.missing == 0, "{figures}");
        Ok(figures)
    })
    .await?;
    eprintln!("MirrorMaker 2: 1 kill before its first offset flush, when it had copied {copied}, {figures}");
    ensure!(figures.doubled > 0, "{figures}");
    connect.stop().await
}
