//! A producer id whose sequences reach their end, 2^31 − 1, and begin anew.

use ::testkit::{
    Bulk,
    anyhow::{Context, Result, ensure},
    bulk_produce, create_topic,
    proxy::{Direction, Rule, api_key::PRODUCE},
    unique, watermarks,
};
use ::wire::{Cluster, ClusterConfig, TopicPartition};
use kmirror::offsets::{Anchor, Link, OffsetMaps};

use super::{
    PARTITIONS, a_year_ago,
    ledger::{Figures, arrived},
};
use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::{addresses, pair},
    worker::{Copy, connector},
};

const WRAP: u64 = 1 << 31;
/// Records of a partition that were copied when its count is set.
const COPIED: u64 = 100;
/// Records of a partition before its sequence wraps.
const BEFORE: u64 = 5_000;
/// Records of a partition that are copied then.
const RECORDS: u64 = 10_000;

fn bulk(records: u64, time: Option<i64>) -> Bulk {
    Bulk {
        value_bytes: 200,
        batch_bytes: 4_000,
        time,
        ..Bulk::new(records * u64::from(PARTITIONS.unsigned_abs()), PARTITIONS)
    }
}

/// Gives each link a producer that no broker knows, which is said to have written all but the last sequences. A broker takes any
/// first sequence of such a one.
async fn set_counts(target: &Cluster, alias: &str, links: &[Link]) -> Result<()> {
    let maps = OffsetMaps::open(target, alias, 1).await?;
    for link in links {
        let stored = maps.anchor(link).with_context(|| format!("no anchor of {link}"))?;
        ensure!(stored.count == COPIED, "{stored:?}");
        // So that some batch holds both the last sequence and the first.
        let count = WRAP - BEFORE - 7 * u64::from(link.source.partition.unsigned_abs());
        let producer = target.init_producer_id().await?;
        let anchor = Anchor { generation: stored.generation + 1, producer, count, ..stored };
        let mut map = maps.writer(link);
        // What is mapped so far is not that producer's.
        map.holds_until(i64::MAX, i64::MAX);
        let update = map.update(anchor);
        ensure!(maps.write(vec![(link.clone(), update)]).await?.is_empty(), "{link} has another owner");
    }
    Ok(())
}

#[tokio::test]
async fn a_copy_is_found_again_across_the_wrap_of_its_sequences() -> Result<()> {
    let pair = pair().await?;
    let proxy = ::testkit::pair().await?.target.proxy().await?;
    let (prefix, alias) = (unique("wrap"), unique("src").replace('-', ""));
    let topics = [(format!("{prefix}-now"), None), (format!("{prefix}-old"), Some(a_year_ago()?))];
    for (topic, time) in &topics {
        create_topic(&pair.source, topic, PARTITIONS, 1, &[("retention.ms", "-1")]).await?;
        bulk_produce(&pair.source, topic, &Bulk { value_bytes: 190, ..bulk(COPIED, *time) }).await?;
    }
    let [first, second] = [0, 1].map(|n: usize| format!("{alias}.{}", topics[n].0));
    let copies: Vec<_> = topics
        .iter()
        .zip([&first, &second])
        .map(|((topic, _), remote)| Copy { source: &pair.source, topic, target: &pair.target, remote })
        .collect();
    let links: Vec<Link> = copies
        .iter()
        .flat_map(|copy| {
            (0..PARTITIONS).map(|partition| Link {
                connector: "mirror".to_owned(),
                source: TopicPartition::new(copy.topic, partition),
                target: TopicPartition::new(copy.remote, partition),
            })
        })
        .collect();
    let mut worker = Kmirror::on(&proxy.bootstrap()).start().await?;
    let more = [("source.cluster.alias", alias.as_str()), ("kmirror.max.bytes.per.second", "2500000")];
    let names = topics.iter().map(|(topic, _)| topic.as_str()).collect::<Vec<_>>().join(",");
    worker.put_connector("mirror", &connector(&pair.source, &proxy.bootstrap(), &names, &more)).await?;
    arrived(&copies, &worker).await?;
    worker.stop().await?;
    let target = Cluster::new(ClusterConfig::new("b", &addresses(&pair.target)));
    set_counts(&target, &alias, &links).await?;

    for (topic, time) in &topics {
        bulk_produce(&pair.source, topic, &bulk(RECORDS, *time)).await?;
    }
    worker.restart().await?;
    let reach = async |records: u64| {
        let wanted = i64::try_from(COPIED + records)?;
        worker
            .until(&format!("{records} records in each partition"), DEADLINE, async || {
                let mut ends = Vec::new();
                for copy in &copies {
                    ends.extend(watermarks(copy.target, copy.remote).await?.iter().map(|end| end.high));
                }
                ensure!(ends.iter().all(|end| *end >= wanted), "{ends:?}");
                Ok(())
            })
            .await
    };
    reach(200).await?;
    // What is stored from now on stays on its way: what comes after is to be found across the wrap.
    let map = format!("mm2-offset-map.{alias}.internal").into_bytes();
    proxy.add(Rule::hold(PRODUCE, Direction::Request).when(move |frame| frame.produced_topic() == Some(&map)));
    reach(BEFORE + 100).await?;
    worker.kill9()?;
    let maps = OffsetMaps::open(&target, &alias, 1).await?;
    for link in &links {
        let anchor = maps.anchor(link).context("no anchor")?;
        ensure!(anchor.count < WRAP && anchor.sequence() > 0, "{link} was stored behind the wrap: {anchor:?}");
    }
    proxy.clear();
    worker.restart().await?;
    arrived(&copies, &worker).await?;
    let mut figures = Figures::default();
    for copy in &copies {
        figures += Figures::read(copy).await?;
    }
    eprintln!("sequence wrap: 1 kill behind it, {figures}");
    figures.exact()?;
    ensure!(worker.log_text().contains("found again behind its anchor"), "nothing was found again");
    worker.stop().await?;

    maps.read_on().await?;
    for link in &links {
        let anchor = maps.anchor(link).context("no anchor")?;
        let past = BEFORE + 7 * u64::from(link.source.partition.unsigned_abs());
        ensure!(anchor.count == WRAP - past + RECORDS, "{link}: {anchor:?}");
        let producers = target.describe_producers(&link.target).await?;
        let Some(own) = producers.iter().find(|active| active.producer.id == anchor.producer.id) else {
            // Old records: it was forgotten.
            ensure!(link.source.topic == topics[1].0, "{link}: the broker knows {producers:?} only");
            continue;
        };
        ensure!(own.last_sequence + 1 == anchor.sequence(), "{link}: {own:?}, {anchor:?}");
    }
    Ok(())
}
