//! Kafka 2.8 as source and as target, and Kafka 3.9 as source.

mod golden;
mod target;
mod worker;

use std::{collections::BTreeSet, fs};

use ::testkit::{
    Cluster, Codec, Isolation, Producing, Record,
    anyhow::{Result, ensure},
    create_topic, pair, produce_with, read_all, set_topic_configs, unique, wait_until,
};
use kmirror::flow::{Flow, Start};

use crate::{
    both_ends::{End, Held, arrive, content, each, require_equal},
    flow::{DEADLINE, awkward_records, flow, now_ms, reached},
};

const KAFKA_2: &str = "2.8.2";
/// What formats 0 and 1 know.
const OLD_CODECS: [Codec; 4] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4];
const FORMAT_1: (&str, &str) = ("message.format.version", "0.10.2-IV0");
const FORMAT_0: (&str, &str) = ("message.format.version", "0.9.0");

/// A producer that writes format 2, which the broker converts: formats 0 and 1 have no room for producer ids.
fn converted() -> Producing {
    Producing { idempotent: false, ..Producing::default() }
}

/// A producer that believes in a broker of this version, and writes its format.
fn native(version: &str) -> Producing {
    let properties = [("api.version.request", "false"), ("broker.version.fallback", version)];
    Producing { properties: properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into(), ..converted() }
}

/// Awkward records without headers, which formats 0 and 1 don't have.
fn headerless(count: i64) -> Vec<Record> {
    awkward_records(count).into_iter().map(|record| Record { headers: Vec::new(), ..record }).collect()
}

/// A topic with a partition for each codec, which holds these records three times: in batches of 7, of 1, and as the client
/// likes.
async fn filled(
    source: &Cluster,
    name: &str,
    configs: &[(&str, &str)],
    codecs: &[Codec],
    records: &[Record],
    how: &Producing,
) -> Result<String> {
    let (bootstrap, topic) = (source.bootstrap(), unique(name));
    create_topic(&bootstrap, &topic, i32::try_from(codecs.len())?, 1, configs).await?;
    for batch_records in [Some(7), Some(1), None] {
        each(codecs, async |codec, partition| {
            let how = Producing { codec, batch_records, ..how.clone() };
            produce_with(&bootstrap, &topic, partition, records, &how).await.map(|_| ())
        })
        .await?;
    }
    Ok(topic)
}

/// The formats and codecs (by number) of the first segment of a partition, and how many batches it holds.
fn stored(source: &Cluster, topic: &str, partition: i32) -> Result<(BTreeSet<(u8, u8)>, usize)> {
    let log = fs::read(source.partition_dir(1, topic, partition)?.join("00000000000000000000.log"))?;
    let (mut rest, mut found, mut batches) = (log.as_slice(), BTreeSet::new(), 0);
    while let Some((batch, next)) = rest.get(8..12).and_then(|length| {
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
        rest.split_at_checked(12 + length)
    }) {
        let magic = batch[16];
        found.insert((magic, batch[if magic == 2 { 22 } else { 17 }] & 7));
        (rest, batches) = (next, batches + 1);
    }
    Ok((found, batches))
}

/// Starts a copy of each topic to one beside it on the target.
async fn copies(source: &str, target: &str, topics: &[(String, i32)]) -> Result<(Vec<(String, String)>, Vec<Flow>)> {
    let (mut names, mut flows) = (Vec::new(), Vec::new());
    for (from, partitions) in topics {
        let to = format!("mirror.{from}");
        create_topic(target, &to, *partitions, 1, &[]).await?;
        flows.push(flow(source, target, from, &to, *partitions, Start::Earliest));
        names.push((from.clone(), to));
    }
    Ok((names, flows))
}

async fn target_end() -> Result<End> {
    let target = &pair().await?.target;
    let end = End::new(&target.bootstrap, target.tools().await?);
    Ok(End { isolation: Isolation::ReadUncommitted, ..end })
}

#[tokio::test]
async fn kafka_2_8_is_copied_whatever_the_format() -> Result<()> {
    let target = target_end().await?;
    let source = Cluster::builder().name("old").version(KAFKA_2).start().await?;
    let bootstrap = source.bootstrap();
    let (rich, plain) = (awkward_records(60), headerless(60));

    let append_time = ("message.timestamp.type", "LogAppendTime");
    let new = filled(&source, "new", &[], &Codec::ALL, &rich, &Producing::default()).await?;
    let upgraded = filled(&source, "upgraded", &[FORMAT_1], &OLD_CODECS, &plain, &converted()).await?;
    let mut topics = vec![(new, 5), (upgraded.clone(), 4)];
    for (name, configs, how, magic) in [
        ("converted-1", &[FORMAT_1][..], converted(), 1),
        ("converted-0", &[FORMAT_0], converted(), 0),
        ("native-1", &[FORMAT_1], native("0.10.2"), 1),
        ("native-0", &[FORMAT_0], native("0.9.0"), 0),
        ("append-time", &[FORMAT_1, append_time], converted(), 1),
    ] {
        let topic = filled(&source, name, configs, &OLD_CODECS, &plain, &how).await?;
        for (partition, codec) in (0..).zip(0..4) {
            let (found, batches) = stored(&source, &topic, partition)?;
            // What does not get smaller is not compressed; what is, is a message with messages in it.
            let possible = [(magic, codec), (magic, 0)].into();
            assert!(found.contains(&(magic, codec)) && found.is_subset(&possible), "{found:?} in {topic}-{partition}");
            assert_eq!(codec == 0, batches == 180, "{batches} in {topic}-{partition}");
        }
        topics.push((topic, 4));
    }
    // From here on in format 2, as after an upgrade of all clients.
    set_topic_configs(&bootstrap, &upgraded, &[]).await?;
    wait_until("the new format", DEADLINE, async || {
        produce_with(&bootstrap, &upgraded, 3, &rich[..1], &converted()).await?;
        let formats: BTreeSet<u8> = stored(&source, &upgraded, 3)?.0.iter().map(|(magic, _)| *magic).collect();
        ensure!(formats == [1, 2].into(), "{formats:?}");
        Ok(())
    })
    .await?;
    topics.push((compacted(&source).await?, 4));

    let end = End { by_librdkafka: false, ..End::new(&bootstrap, source.tools()) };
    let names: Vec<_> = topics.iter().map(|(topic, _)| topic.as_str()).collect();
    let expected = end.held(&names).await?;
    assert!(expected.last().is_some_and(|held| held.iter().all(|records| records.len() < 100)), "compacted");
    require_equal("by librdkafka", &expected[0], &read_all(&bootstrap, names[0]).await?)?;
    let (pairs, flows) = copies(&bootstrap, &target.bootstrap, &topics).await?;
    arrive(&expected, &pairs, &target, &flows).await?;

    // A copy may begin within a message that holds several.
    let (from, within) = (names[2], unique("mirror.within"));
    create_topic(&target.bootstrap, &within, 4, 1, &[]).await?;
    let flow = flow(&bootstrap, &target.bootstrap, from, &within, 4, Start::At(17));
    reached(&flow, from, &[179; 4]).await?;
    let rest: Held = content(&expected[2]).iter().map(|records| records[17..].to_vec()).collect();
    require_equal("from 17 on", &rest, &content(&read_all(&target.bootstrap, &within).await?))
}

/// A topic of format 1 that compaction has left gaps in, also within compressed messages.
async fn compacted(source: &Cluster) -> Result<String> {
    let (bootstrap, topic) = (source.bootstrap(), unique("compacted"));
    let compacting = [
        FORMAT_1,
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("segment.bytes", "1048576"),
        ("delete.retention.ms", "86400000"),
    ];
    create_topic(&bootstrap, &topic, 4, 1, &compacting).await?;
    let records: Vec<Record> = (0..400)
        .map(|n| {
            let key = n * n % 61;
            let value = (key % 7 != 3).then(|| format!("{n}-{}", "x".repeat(300)).into_bytes());
            Record { key: Some(format!("key-{key}").into_bytes()), value, ..Record::default() }.at(now_ms() + n)
        })
        .collect();
    // Rolls the segment: the cleaner leaves the last one alone.
    let rolls: Vec<Record> = (0..12).map(|n| Record::new(format!("large-{n}"), vec![b'x'; 100_000])).collect();
    each(&OLD_CODECS, async |codec, partition| {
        let batches = Producing { codec, batch_records: Some(9), ..converted() };
        produce_with(&bootstrap, &topic, partition, &records, &batches).await?;
        let single = Producing { batch_records: Some(1), ..converted() };
        produce_with(&bootstrap, &topic, partition, &rolls, &single).await.map(|_| ())
    })
    .await?;
    let checkpoint = source.partition_dir(1, &topic, 0)?.with_file_name("cleaner-offset-checkpoint");
    wait_until("the cleaner", 2 * DEADLINE, async || {
        // Lines of topic, partition and the offset up to which it is clean.
        let text = fs::read_to_string(&checkpoint)?;
        let cleaned = text.lines().filter_map(|line| line.strip_prefix(&topic)?.trim().split_once(' ')?.1.parse().ok());
        let cleaned: Vec<i64> = cleaned.collect();
        ensure!(cleaned.len() == 4 && cleaned.iter().all(|offset| *offset >= 400), "up to {cleaned:?}");
        Ok(())
    })
    .await?;
    Ok(topic)
}

#[tokio::test]
async fn kafka_3_9_is_copied() -> Result<()> {
    let target = target_end().await?;
    let source = Cluster::builder().name("old").version("3.9.1").start().await?;
    let plain = filled(&source, "plain", &[], &Codec::ALL, &awkward_records(60), &Producing::default()).await?;
    let committed = unique("committed");
    create_topic(&source.bootstrap(), &committed, 5, 1, &[]).await?;
    each(&Codec::ALL, async |codec, partition| {
        for commit in [false, true] {
            let how = Producing { codec, transaction: Some((unique("tx"), commit)), ..Producing::default() };
            produce_with(&source.bootstrap(), &committed, partition, &awkward_records(20), &how).await?;
        }
        Ok(())
    })
    .await?;
    let topics = [(plain, 5), (committed, 5)];
    let names: Vec<_> = topics.iter().map(|(topic, _)| topic.as_str()).collect();
    let expected = End::new(&source.bootstrap(), source.tools()).held(&names).await?;
    ensure!(expected[1].iter().all(|records| records.len() == 20), "{expected:?}");
    let (pairs, flows) = copies(&source.bootstrap(), &target.bootstrap, &topics).await?;
    arrive(&expected, &pairs, &target, &flows).await
}
