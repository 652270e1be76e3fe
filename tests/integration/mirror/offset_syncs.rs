//! Offset syncs, read by Kafka's own formatter, beside what was copied.

use std::{collections::BTreeMap, time::Duration};

use ::testkit::{
    Codec, Producing, Record, Tools,
    anyhow::{Context, Result, ensure},
    create_topic, produce, produce_with, read_all, topic_configs, unique, watermarks,
};

use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::pair,
    worker::{Copy, connector},
};

const FORMATTER: &str = "org.apache.kafka.connect.mirror.formatters.OffsetSyncFormatter";
const LAG_MAX: i64 = 100;

/// One sync: source offset and target offset.
type Sync = (i64, i64);

/// All syncs of a partition, in their order.
async fn syncs_of(tools: &Tools, bootstrap: &str, syncs_topic: &str, partition: &str) -> Result<Vec<Sync>> {
    let ends = watermarks(bootstrap, syncs_topic).await?;
    ensure!(ends.len() == 1, "{syncs_topic} has {} partitions", ends.len());
    let count = usize::try_from(ends[0].high)?;
    ensure!(count > 0, "{syncs_topic} is empty");
    let lines = tools.console_consume(syncs_topic, count, &["--formatter", FORMATTER]).await?;
    let of = format!("topicPartition={partition},");
    lines.iter().filter(|line| line.contains(&of)).map(|line| sync(line)).collect()
}

/// Reads `OffsetSync{topicPartition=t-0, upstreamOffset=1, downstreamOffset=2}`.
fn sync(line: &str) -> Result<Sync> {
    let number = |name: &str| -> Result<i64> {
        let rest = line.split_once(&format!("{name}=")).with_context(|| format!("no {name} in {line}"))?.1;
        Ok(rest.split([',', '}']).next().unwrap_or_default().parse()?)
    };
    Ok((number("upstreamOffset")?, number("downstreamOffset")?))
}

/// Where MirrorMaker leads a consumer that committed `offset`: to the newest sync that is not behind it, and one further if that is before it.
fn translated(syncs: &[Sync], offset: i64) -> Option<i64> {
    let (upstream, downstream) = syncs.iter().rev().find(|(upstream, _)| *upstream <= offset)?;
    Some(if *upstream == offset { *downstream } else { downstream + 1 })
}

fn values(from: usize, count: usize) -> Vec<Record> {
    (from..from + count).map(|n| Record::new(format!("k{n}"), format!("value {n}"))).collect()
}

async fn wait_newest(
    worker: &Kmirror,
    tools: &Tools,
    at: &str,
    topic: &str,
    of: &str,
    newest: i64,
) -> Result<Vec<Sync>> {
    worker
        .until(&format!("a sync of {of} at {newest}"), DEADLINE, async || {
            let syncs = syncs_of(tools, at, topic, of).await?;
            ensure!(syncs.last().is_some_and(|last| last.0 == newest), "{:?}", syncs.last());
            Ok(syncs)
        })
        .await
}

/// Every sync names the same record at both ends, and none leads a consumer past a record that it has not read.
#[tokio::test]
async fn syncs_lead_where_mirrormakers_would() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplication [8], MirrorConnectorsIntegrationTransactionsTest.*,
    // MirrorUtilsTest.testCreateCompactedTopic
    let pair = ::testkit::pair().await?;
    let (from, to) = (pair.source.bootstrap.as_str(), pair.target.bootstrap.as_str());
    let (topic, alias) = (unique("synced"), unique("to"));
    create_topic(from, &topic, 1, 1, &[]).await?;
    // Aborted records and markers are at the source only.
    for nth in 0..6 {
        let transaction = Some((unique("syncs"), nth % 3 != 1));
        let how = Producing { transaction, ..Producing::default() };
        produce_with(from, &topic, 0, &values(1_000 * nth, 40 + 20 * nth), &how).await?;
    }
    produce(from, &topic, 0, &values(10_000, 1_500), Codec::Lz4).await?;
    let worker = Kmirror::on(to).start().await?;
    let lag = LAG_MAX.to_string();
    // The syncs' own topic is asked for too, and is internal all the same.
    let later = format!("{topic}-later");
    let topics = format!("{topic},{later},mm2-offset-syncs.{alias}.internal");
    let more = [
        ("target.cluster.alias", alias.as_str()),
        ("offset.lag.max", &lag),
        ("topics.exclude", "nothing"),
        ("refresh.topics.interval.seconds", "1"),
    ];
    worker.put_connector("syncs", &connector(from, to, &topics, &more)).await?;
    worker.wait_running("syncs", 1).await?;

    let tools = pair.source.tools().await?;
    let (syncs_topic, partition) = (format!("mm2-offset-syncs.{alias}.internal"), format!("{topic}-0"));
    let source = ::testkit::read_all_with(from, &topic, ::testkit::Isolation::ReadCommitted).await?.remove(0);
    let last = source.last().context("records")?.offset;
    let syncs = wait_newest(&worker, &tools, from, &syncs_topic, &partition, last).await?;
    let configs = topic_configs(from, &syncs_topic).await?;
    ensure!(configs.get("cleanup.policy").map(String::as_str) == Some("compact"), "{configs:?}");

    let target = read_all(to, &format!("src.{topic}")).await?.remove(0);
    ensure!(source.len() == target.len(), "{} of {} records", target.len(), source.len());
    let stands: BTreeMap<i64, i64> =
        source.iter().zip(&target).map(|(source, target)| (source.offset, target.offset)).collect();
    for (upstream, downstream) in &syncs {
        ensure!(stands.get(upstream) == Some(downstream), "{upstream} → {downstream}: {:?}", stands.get(upstream));
    }
    ensure!(syncs[0].0 == source[0].offset, "the first record is synced: {:?}", syncs[0]);
    for (offset, at) in &stands {
        let told = translated(&syncs, *offset).with_context(|| format!("{offset} is not translated"))?;
        ensure!(told <= *at, "{offset} is at {at}, and the syncs lead to {told}");
    }
    let newest = translated(&syncs, last).context("the last record")?;
    ensure!(newest == target.last().context("records")?.offset, "{newest}");

    // A refresh that finds what is younger than the syncs finds them too.
    create_topic(from, &later, 1, 1, &[]).await?;
    worker
        .until("the later topic", DEADLINE, async || {
            watermarks(to, &format!("src.{later}")).await?;
            Ok(())
        })
        .await?;
    let mirrored = watermarks(to, &format!("src.{syncs_topic}")).await;
    ensure!(mirrored.is_err(), "the syncs were mirrored: {mirrored:?}");
    Ok(())
}

/// What is not due goes out when a worker stops, however seldom offsets are committed; the next life begins with a sync.
#[tokio::test]
async fn a_worker_that_stops_has_all_synced() -> Result<()> {
    let pair = ::testkit::pair().await?;
    let (from, to) = (pair.source.bootstrap.as_str(), pair.target.bootstrap.as_str());
    let (topic, alias) = (unique("stopped"), unique("to"));
    create_topic(from, &topic, 1, 1, &[]).await?;
    produce(from, &topic, 0, &values(0, 250), Codec::None).await?;
    let mut worker = Kmirror::on(to).property("offset.flush.interval.ms", "3600000").start().await?;
    let config = connector(from, to, &topic, &[("target.cluster.alias", &alias), ("offset.lag.max", "1000")]);
    worker.put_connector("syncs", &config).await?;
    let remote = format!("src.{topic}");
    let copy = Copy { source: from, topic: &topic, target: to, remote: &remote };
    copy.wait_equal(&worker).await?;
    worker.stop().await?;
    let tools = pair.source.tools().await?;
    let (syncs_topic, partition) = (format!("mm2-offset-syncs.{alias}.internal"), format!("{topic}-0"));
    let syncs = syncs_of(&tools, from, &syncs_topic, &partition).await?;
    ensure!(syncs == [(0, 0), (249, 249)], "{syncs:?}");

    produce(from, &topic, 0, &values(250, 10), Codec::None).await?;
    worker.restart().await?;
    copy.wait_equal(&worker).await?;
    worker.stop().await?;
    let syncs = syncs_of(&tools, from, &syncs_topic, &partition).await?;
    ensure!(syncs[2].0 == 250 && syncs.last() == Some(&(259, 259)), "{syncs:?}");
    Ok(())
}

/// `offset-syncs.topic.location=target` and `emit.offset-syncs.enabled=false`.
#[tokio::test]
async fn syncs_are_where_they_should_be_and_nowhere_else() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplicationWithoutOffsetSyncWillNotCreateOffsetSyncsTopic,
    // testOffsetSyncsTopicsOnTarget
    let shared = pair().await?;
    let (from, to) = (shared.source.as_str(), shared.target.as_str());
    let (topic, [at_target, off]) = (unique("placed"), ["from", "off"].map(unique));
    create_topic(from, &topic, 1, 1, &[]).await?;
    produce(from, &topic, 0, &values(0, 10), Codec::None).await?;
    let worker = Kmirror::on(to).start().await?;
    let target_alias = unique("to");
    let located = [
        ("source.cluster.alias", at_target.as_str()),
        ("target.cluster.alias", &target_alias),
        ("offset-syncs.topic.location", "target"),
    ];
    worker.put_connector("located", &connector(from, to, &topic, &located)).await?;
    let mut silent = connector(
        from,
        to,
        &topic,
        &[
            ("source.cluster.alias", off.as_str()),
            ("target.cluster.alias", off.as_str()),
            ("emit.offset-syncs.enabled", "false"),
        ],
    );
    // Who turns them off must not shape them.
    silent.as_object_mut().context("an object")?.remove("offset-syncs.topic.replication.factor");
    worker.put_connector("silent", &silent).await?;

    let tools = ::testkit::pair().await?.target.tools().await?;
    let (syncs_topic, partition) = (format!("mm2-offset-syncs.{at_target}.internal"), format!("{topic}-0"));
    let syncs = wait_newest(&worker, &tools, to, &syncs_topic, &partition, 9).await?;
    ensure!(syncs[0] == (0, 0), "{syncs:?}");
    let remote = format!("{off}.{topic}");
    Copy { source: from, topic: &topic, target: to, remote: &remote }.wait_equal(&worker).await?;
    for (bootstrap, alias) in [(from, &target_alias), (from, &off), (to, &off)] {
        let missing = watermarks(bootstrap, &format!("mm2-offset-syncs.{alias}.internal")).await;
        ensure!(missing.is_err(), "syncs that concern {alias} at {bootstrap}: {missing:?}");
    }
    Ok(())
}

/// Where syncs can't be written the copy goes on, and the log says so once.
#[tokio::test]
async fn a_copy_does_not_wait_for_syncs() -> Result<()> {
    // MirrorUtilsTest.testCreateCompactedTopicAlreadyExists
    let shared = pair().await?;
    let (from, to) = (shared.source.as_str(), shared.target.as_str());
    let (topic, alias) = (unique("unsynced"), unique("to"));
    create_topic(from, &topic, 1, 1, &[]).await?;
    produce(from, &topic, 0, &values(0, 1_000), Codec::None).await?;
    let mut worker = Kmirror::on(to).start().await?;
    // More than there are brokers.
    let more = [("target.cluster.alias", alias.as_str()), ("offset-syncs.topic.replication.factor", "99")];
    worker.put_connector("syncs", &connector(from, to, &topic, &more)).await?;
    let remote = format!("src.{topic}");
    Copy { source: from, topic: &topic, target: to, remote: &remote }.wait_equal(&worker).await?;
    let trouble = || {
        let log = worker.log_text();
        let words = ["writing offset syncs", "INVALID_REPLICATION_FACTOR", "trying again"];
        log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    };
    worker
        .until("the trouble to be told", Duration::from_secs(30), async || {
            ensure!(trouble() == 1, "{} times", trouble());
            Ok(())
        })
        .await?;
    // Mended by hand: what waits is written.
    create_topic(from, &format!("mm2-offset-syncs.{alias}.internal"), 1, 1, &[("cleanup.policy", "compact")]).await?;
    let tools = ::testkit::pair().await?.source.tools().await?;
    let syncs_topic = format!("mm2-offset-syncs.{alias}.internal");
    wait_newest(&worker, &tools, from, &syncs_topic, &format!("{topic}-0"), 999).await?;
    ensure!(trouble() == 1, "told {} times", trouble());
    worker.stop().await
}
