//! Brokers that die and wires that lie: nothing is lost, doubled or reordered by it.

mod cuts;
mod distance;
mod frozen;
mod in_sync;
mod leaders;
mod quota;
mod restarts;
mod scale;
mod story;

use std::time::Duration;

use ::testkit::{
    Bulk, Cluster, Codec, Record,
    anyhow::{Result, ensure},
    bulk_produce, create_topic, produce,
    proxy::{Direction, Rule, api_key},
    read_all, unique, wait_until, watermarks,
};
use ::wire::{ClusterConfig, TopicPartition};
use kmirror::flow::{
    Engine, Events, FetchSettings, Flow, FlowPartition, FlowSpec, GapPolicies, Limits, RateCap, Start, WriteSettings,
};

const DEADLINE: Duration = Duration::from_secs(120);

fn flow(source: &str, target: &str, topic: &str, partitions: i32) -> Flow {
    crate::shared::show_log();
    let cluster = |alias, bootstrap: &str| {
        let config = ClusterConfig::new(alias, &crate::shared::addresses(bootstrap));
        // Short, so that an answer that never comes is not waited for long.
        ::wire::Cluster::new(ClusterConfig { request_timeout: Duration::from_secs(3), ..config })
    };
    let partition = |p| FlowPartition {
        source: TopicPartition::new(topic, p),
        target: TopicPartition::new(topic, p),
        start: Start::Earliest,
        anchored: None,
        transforms: None,
    };
    Engine::new("test").start(FlowSpec {
        name: "trouble-0".to_owned(),
        consumer_client_id: "a->b|trouble-0|replication-consumer".to_owned(),
        producer_client_id: "connector-producer-trouble-0".to_owned(),
        source: cluster("a", source),
        target: cluster("b", target),
        partitions: (0..partitions).map(partition).collect(),
        fetch: FetchSettings::default(),
        write: WriteSettings::default(),
        limits: Limits::default(),
        rate: RateCap::default(),
        anchoring: None,
        landings: None,
        gaps: GapPolicies::default(),
        events: Events::default(),
    })
}

async fn caught_up(flow: &Flow, source: &str, topic: &str) -> Result<()> {
    let ends = ::testkit::watermarks(source, topic).await?;
    wait_until("the copy to catch up", DEADLINE, || async {
        let positions = flow.positions();
        let stopped = flow.status().borrow().stopped.clone();
        ensure!(stopped.is_empty(), "stopped: {stopped:?}");
        for (end, p) in ends.iter().zip(0..) {
            let last = positions.get(&TopicPartition::new(topic, p)).map_or(-1, |at| at.offset);
            ensure!(last + 1 == end.high, "partition {p} is at {last} of {}", end.high);
        }
        Ok(())
    })
    .await
}

fn records(from: i64, count: i64) -> Vec<Record> {
    (from..from + count).map(|i| Record::new(format!("k{i}"), format!("value {i} {}", "y".repeat(200)))).collect()
}

/// The position of a payload byte in a frame that carries one batch at its end.
fn within_payload(frame: &[u8]) -> usize {
    frame.len() - 100
}

#[tokio::test]
async fn damaged_frames_are_refused_and_sent_again() -> Result<()> {
    let source = Cluster::builder().name("source").proxied().start().await?;
    let target = Cluster::builder().name("target").proxied().start().await?;
    let topic = unique("damage");
    for cluster in [&source, &target] {
        create_topic(&cluster.bootstrap(), &topic, 1, 1, &[]).await?;
    }
    let flip = |frame: &mut Vec<u8>| {
        let at = within_payload(frame);
        frame[at] ^= 0x10;
    };
    let carries_records = |frame: &::testkit::proxy::Frame<'_>| frame.bytes.len() > 2_000;
    let fetch =
        source.proxy()?.add(Rule::mutate(api_key::FETCH, Direction::Response, flip).when(carries_records).first(2));
    let flow = flow(&source.proxied_bootstrap()?, &target.proxied_bootstrap()?, &topic, 1);
    produce(&source.bootstrap(), &topic, 0, &records(0, 100), Codec::None).await?;
    fetch.wait_matched(2, DEADLINE).await?;
    caught_up(&flow, &source.bootstrap(), &topic).await?;

    let sent =
        target.proxy()?.add(Rule::mutate(api_key::PRODUCE, Direction::Request, flip).when(carries_records).first(2));
    produce(&source.bootstrap(), &topic, 0, &records(100, 100), Codec::None).await?;
    sent.wait_matched(2, DEADLINE).await?;
    caught_up(&flow, &source.bootstrap(), &topic).await?;
    assert_eq!(read_all(&target.bootstrap(), &topic).await?, read_all(&source.bootstrap(), &topic).await?);

    // Damaged each time: the partition stops with the name of the broken sum, and nothing of it arrives.
    let before = ::testkit::watermarks(&target.bootstrap(), &topic).await?;
    source.proxy()?.add(Rule::mutate(api_key::FETCH, Direction::Response, flip).when(carries_records));
    produce(&source.bootstrap(), &topic, 0, &records(200, 50), Codec::None).await?;
    let mut status = flow.status();
    let stopped = tokio::time::timeout(DEADLINE, status.wait_for(|s| !s.stopped.is_empty())).await??.stopped.clone();
    let reason = &stopped[&TopicPartition::new(&topic, 0)];
    assert!(reason.contains("CRC") && reason.contains("offset 200"), "{reason}");
    assert_eq!(::testkit::watermarks(&target.bootstrap(), &topic).await?, before);
    Ok(())
}

#[tokio::test]
async fn lost_answers_and_cut_connections_double_nothing() -> Result<()> {
    let source = Cluster::builder().name("source").proxied().start().await?;
    let target = Cluster::builder().name("target").proxied().start().await?;
    let topic = unique("lost");
    for cluster in [&source, &target] {
        create_topic(&cluster.bootstrap(), &topic, 2, 1, &[]).await?;
    }
    let lost = target.proxy()?.add(Rule::drop(api_key::PRODUCE, Direction::Response).first(2));
    let flow = flow(&source.proxied_bootstrap()?, &target.proxied_bootstrap()?, &topic, 2);
    for partition in 0..2 {
        produce(&source.bootstrap(), &topic, partition, &records(0, 500), Codec::Lz4).await?;
    }
    lost.wait_matched(2, DEADLINE).await?;
    caught_up(&flow, &source.bootstrap(), &topic).await?;
    let cut = target.proxy()?.add(Rule::cut(api_key::PRODUCE, Direction::Response).first(3));
    let torn = source.proxy()?.add(Rule::cut(api_key::FETCH, Direction::Response).first(3));
    for round in 1..8 {
        produce(&source.bootstrap(), &topic, round % 2, &records(i64::from(round) * 500, 100), Codec::None).await?;
    }
    cut.wait_matched(3, DEADLINE).await?;
    torn.wait_matched(3, DEADLINE).await?;
    caught_up(&flow, &source.bootstrap(), &topic).await?;
    let repeated = target.proxy()?.add(Rule::repeat(api_key::PRODUCE, Direction::Request).first(5));
    for round in 8..14 {
        produce(&source.bootstrap(), &topic, round % 2, &records(i64::from(round) * 500, 100), Codec::None).await?;
    }
    caught_up(&flow, &source.bootstrap(), &topic).await?;
    assert!(repeated.matched() > 0);
    assert_eq!(read_all(&target.bootstrap(), &topic).await?, read_all(&source.bootstrap(), &topic).await?);
    Ok(())
}

#[tokio::test]
async fn brokers_killed_in_mid_copy_lose_and_reorder_nothing() -> Result<()> {
    let three = |name| Cluster::builder().name(name).brokers(3).property("min.insync.replicas", "2").start();
    let (source, target) = (three("source").await?, three("target").await?);
    let topic = unique("kills");
    for cluster in [&source, &target] {
        create_topic(&cluster.bootstrap(), &topic, 6, 3, &[]).await?;
    }
    let flow = flow(&source.bootstrap(), &target.bootstrap(), &topic, 6);
    let bulk = Bulk::new(100_000, 6);
    bulk_produce(&source.bootstrap(), &topic, &bulk).await?;
    let copied = || flow.positions().values().map(|last| last.offset + 1).sum::<i64>();
    wait_until("the copy to be under way", DEADLINE, || async {
        ensure!(copied() > 0, "nothing yet");
        Ok(())
    })
    .await?;
    target.kill9(1)?;
    bulk_produce(&source.bootstrap(), &topic, &bulk).await?;
    source.kill9(2)?;
    let at_the_kill = copied();
    wait_until("the copy to go on without two brokers", DEADLINE, || async {
        ensure!(copied() > at_the_kill || copied() == 200_000, "still at {at_the_kill}: {:?}", *flow.status().borrow());
        Ok(())
    })
    .await?;
    target.restart(1).await?;
    source.restart(2).await?;
    bulk_produce(&source.bootstrap(), &topic, &bulk).await?;
    caught_up(&flow, &source.bootstrap(), &topic).await?;
    assert_eq!(read_all(&target.bootstrap(), &topic).await?, read_all(&source.bootstrap(), &topic).await?);
    Ok(())
}

/// A broker that is frozen, not gone: nobody refuses a connection, nothing is answered.
#[tokio::test]
async fn a_frozen_leader_is_left_for_the_next() -> Result<()> {
    let source = Cluster::builder().name("source").start().await?;
    let target = Cluster::builder().name("target").brokers(3).property("min.insync.replicas", "2").start().await?;
    let topic = unique("frozen");
    create_topic(&source.bootstrap(), &topic, 6, 1, &[]).await?;
    create_topic(&target.bootstrap(), &topic, 6, 3, &[]).await?;
    let flow = flow(&source.bootstrap(), &target.bootstrap(), &topic, 6);
    bulk_produce(&source.bootstrap(), &topic, &Bulk::new(20_000, 6)).await?;
    caught_up(&flow, &source.bootstrap(), &topic).await?;
    target.sigstop(1)?;
    bulk_produce(&source.bootstrap(), &topic, &Bulk::new(20_000, 6)).await?;
    caught_up(&flow, &source.bootstrap(), &topic).await?;
    target.sigcont(1)?;
    bulk_produce(&source.bootstrap(), &topic, &Bulk::new(20_000, 6)).await?;
    caught_up(&flow, &source.bootstrap(), &topic).await?;
    wait_until("the broker that was frozen to know that it no longer leads", DEADLINE, || async {
        let there = watermarks(&target.bootstrap(), &topic).await?;
        let here = watermarks(&source.bootstrap(), &topic).await?;
        ensure!(there == here, "{there:?} of {here:?}");
        Ok(())
    })
    .await?;
    assert_eq!(read_all(&target.bootstrap(), &topic).await?, read_all(&source.bootstrap(), &topic).await?);
    Ok(())
}
