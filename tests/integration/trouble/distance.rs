//! Clusters far away: 200 ms there and 200 ms back.

use std::time::Duration;

use ::testkit::{
    Bulk, Cluster, Isolation, RecordView, Transactions,
    anyhow::{Result, ensure},
    bulk_produce, create_topic, end_offsets,
    proxy::{Direction, Proxy, Rule, api_key},
    read_all_with, transactions, unique,
};

use super::story::{Side, Story};
use crate::{kmirror::DEADLINE, worker::remote};

const PARTITIONS: i32 = 4;
/// Of each round; they have one batch or two, and a marker. Their records are years old.
const SMALL: Transactions = Transactions { count: 200, partitions: PARTITIONS, most_records: 3, aborted_of: 10 };
const ROUNDS: u64 = 20;

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

#[tokio::test]
async fn small_transactions_travel_together() -> Result<()> {
    let source = Cluster::builder().name("source").property("transaction.partition.verification.enable", "false");
    let (source, pair) = tokio::try_join!(source.start(), ::testkit::pair())?;
    let (from, topic) = (source.bootstrap(), unique("small"));
    create_topic(&from, &topic, PARTITIONS, 1, &[("retention.ms", "-1")]).await?;
    let proxy = pair.target.proxy().await?;
    let to = Side::behind(&proxy, &pair.target.bootstrap);
    let story = Story::begin(Side::direct(&from), to, &[&topic], 1, 1).await?;
    far(&proxy);
    let copy = remote(&topic);
    let requests = proxy.add(Rule::count(api_key::PRODUCE, Direction::Request).when({
        let copy = copy.clone();
        move |frame| frame.mentions(&copy)
    }));
    // The copy follows closely, and one batch of a partition is under way at a time: of old records, brokers may forget the producer.
    let mut committed = 0;
    for _ in 0..ROUNDS {
        committed += transactions(&from, &topic, &SMALL).await?.committed.1;
    }
    let partitions: Vec<i32> = (0..PARTITIONS).collect();
    story
        .worker
        .until("all committed records", DEADLINE, async || {
            let there = end_offsets(&story.target.direct, &copy, &partitions).await?.iter().sum::<i64>();
            ensure!(there.unsigned_abs() == committed, "{there} of {committed}");
            Ok(())
        })
        .await?;
    let sources = read_all_with(&from, &topic, Isolation::ReadCommitted).await?;
    let targets = read_all_with(&story.target.direct, &copy, Isolation::ReadUncommitted).await?;
    let content = |all: Vec<Vec<RecordView>>| -> Vec<Vec<_>> {
        all.into_iter().map(|records| records.into_iter().map(|record| (record.key, record.value)).collect()).collect()
    };
    ensure!(content(sources) == content(targets), "the copy differs");
    let requests = requests.matched();
    ensure!(requests < ROUNDS * SMALL.count / 20, "{requests} requests for {} transactions", ROUNDS * SMALL.count);
    let mut worker = story.worker;
    worker.stop().await
}
