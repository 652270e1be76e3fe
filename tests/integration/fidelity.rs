//! All that a record can be, in all codecs, by both kinds of producers: what consumers of the source see, consumers of the
//! target see.

use std::{collections::BTreeMap, fs, path::PathBuf};

use ::testkit::{
    Codec, Isolation, Placement, Producing, Record, Shared,
    anyhow::{Context, Result, ensure},
    create_topic, pair, placements, produce_with, unique, wait_until,
};
use kmirror::flow::{Engine, Flow, Start};

use crate::{
    both_ends::{End, Held, arrive, each},
    flow::{DEADLINE, flow, now_ms, reached, spec},
};

/// On both clusters: nothing is refused for its size or its time.
const WIDE: [(&str, &str); 2] =
    [("max.message.bytes", "8000000"), ("message.timestamp.after.max.ms", "9223372036854775807")];
/// As often as it can be, but for what has to stay so that a consumer sees all.
const COMPACTING: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("min.cleanable.dirty.ratio", "0.001"),
    ("segment.bytes", "1048576"),
    ("delete.retention.ms", "86400000"),
];
const MB: usize = 1 << 20;

/// Bytes that compress badly, and neither to nothing.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    };
    (0..len).map(|at| if at % 1024 < 512 { next() } else { 0xc3 }).collect()
}

/// Every kind of record, but for those that one kind of producer can't write.
fn every_kind(largest: usize) -> Vec<Record> {
    let year_9999 = 253_402_300_799_000;
    let (null, empty) = (None::<Vec<u8>>, Some(Vec::new()));
    let mut all = Vec::new();
    for key in [&null, &empty, &Some(vec![0xff, 0xfe, 0x00, 0x80])] {
        for value in [&null, &empty, &Some(vec![0xc3, 0x28, 0xed, 0xa0, 0x80])] {
            all.push(Record { key: key.clone(), value: value.clone(), ..Record::default() });
        }
    }
    let with_headers = |headers: &[(&str, Option<&[u8]>)]| {
        headers.iter().fold(Record::value("with headers"), |record, (name, value)| record.header(name, *value))
    };
    all.push(with_headers(&[("a", Some(b"1")), ("a", Some(b"2")), ("b", None), ("a", Some(b"1")), ("a", None)]));
    all.push(with_headers(&[
        ("", Some(b"")),
        ("", None),
        ("null", None),
        ("empty", Some(b"")),
        ("é ü 日本", Some(&[0xff])),
    ]));
    let many: Vec<_> = (0..10_000_u32).map(|n| (format!("h{}", n % 5_000), n.to_be_bytes())).collect();
    all.push(many.iter().fold(Record::new("many", "headers"), |record, (name, value)| {
        record.header(name, (value[3] % 7 != 0).then_some(&value[..]))
    }));
    // Lengths around which varints grow, and sizes around which buffers do.
    let edges = [1, 62, 63, 64, 65, 8_190, 8_191, 8_192, 8_193, 65_535, 65_536, 100_000, largest];
    all.extend(edges.map(|len| Record::value(noise(len))));
    all.push(Record { key: Some(noise(70_000)), ..Record::value(vec![b'x'; 70_000]) });
    for timestamp in [1, 63, 64, 1_000_000_007, now_ms(), year_9999, i64::MAX / 2, i64::MAX] {
        all.push(Record::value(format!("at {timestamp}")).at(timestamp));
    }
    all
}

/// As [`every_kind`], with what only librdkafka writes: times that are none (−1), or before 1970, and in one batch those that
/// differ by more than a number holds.
fn by_librdkafka(largest: usize) -> Vec<Record> {
    let mut all = every_kind(largest);
    let times = [-1, -2, -5, -1_000_000_000_000, i64::MAX, i64::MIN + 1, -1];
    all.extend(times.map(|t| Record::value(format!("at {t}")).at(t)));
    all
}

/// As [`every_kind`], with what only Java's producer writes: the first millisecond of 1970.
fn by_java(largest: usize) -> Vec<Record> {
    let zeroth = Record::new("zeroth", "ms").at(0);
    [std::slice::from_ref(&zeroth), &every_kind(largest), std::slice::from_ref(&zeroth)].concat()
}

fn large(how: Producing) -> Producing {
    Producing { properties: vec![("message.max.bytes".to_owned(), "7000000".to_owned())], ..how }
}

async fn ends() -> Result<(End, End)> {
    let pair = pair().await?;
    let source = End::new(&pair.source.bootstrap, pair.source.tools().await?);
    let target = End::new(&pair.target.bootstrap, pair.target.tools().await?);
    Ok((source, End { isolation: Isolation::ReadUncommitted, ..target }))
}

/// Makes the remote topic, copies, and compares; gives what was copied.
async fn is_copied(source: &End, target: &End, topic: &str, partitions: i32) -> Result<Held> {
    copied(source, target, topic, partitions).await.map(|(held, _)| held)
}

/// As [`is_copied`]; gives the flow that copied, too.
async fn copied(source: &End, target: &End, topic: &str, partitions: i32) -> Result<(Held, Flow)> {
    let to = format!("mirror.{topic}");
    create_topic(&target.bootstrap, &to, partitions, 1, &WIDE).await?;
    let expected = source.held(&[topic]).await?;
    let flow = flow(&source.bootstrap, &target.bootstrap, topic, &to, partitions, Start::Earliest);
    arrive(&expected, &[(topic.to_owned(), to)], target, std::slice::from_ref(&flow)).await?;
    Ok((expected.into_iter().next().context("nothing was read")?, flow))
}

#[tokio::test]
async fn plain_records_of_both_producers() -> Result<()> {
    let (source, target) = ends().await?;
    let topic = unique("fidelity");
    create_topic(&source.bootstrap, &topic, 10, 1, &WIDE).await?;
    let (ours, javas) = (by_librdkafka(MB), by_java(MB));
    each(&Codec::ALL, async |codec, partition| {
        for batch_records in [Some(1), Some(7), None] {
            let how = large(Producing { codec, batch_records, ..Producing::default() });
            produce_with(&source.bootstrap, &topic, partition, &ours, &how).await?;
        }
        Ok(())
    })
    .await?;
    let partitions: Vec<_> = (5..).zip(Codec::ALL).collect();
    let wide = ["max.request.size=7000000", "batch.size=300000", "linger.ms=20"];
    source.tools.java_produce(&topic, &partitions, &javas, &wide).await?;

    let held = is_copied(&source, &target, &topic, 10).await?;
    // What was written is what both consumers read, times not given excepted.
    for (partition, held) in held.iter().enumerate() {
        let written = if partition < 5 { [&ours[..], &ours, &ours].concat() } else { javas.clone() };
        ensure!(held.len() == written.len(), "{} of {} in {partition}", held.len(), written.len());
        for (held, written) in held.iter().zip(&written) {
            assert!((&held.key, &held.value, &held.headers) == (&written.key, &written.value, &written.headers));
            assert_eq!(held.timestamp, written.timestamp.unwrap_or(held.timestamp));
        }
    }
    Ok(())
}

#[tokio::test]
async fn transactions_some_of_which_are_aborted() -> Result<()> {
    let (source, target) = ends().await?;
    let topic = unique("fidelity-transactions");
    create_topic(&source.bootstrap, &topic, 5, 1, &WIDE).await?;
    let records = by_librdkafka(200_000);
    each(&Codec::ALL, async |codec, partition| {
        for (commit, batch_records) in
            [(false, Some(7)), (true, Some(7)), (false, None), (true, None), (false, Some(1))]
        {
            let transaction = Some((unique("tx"), commit));
            let how = large(Producing { codec, batch_records, transaction, ..Producing::default() });
            produce_with(&source.bootstrap, &topic, partition, &records, &how).await?;
        }
        Ok(())
    })
    .await?;
    let held = is_copied(&source, &target, &topic, 5).await?;
    ensure!(held.iter().all(|held| held.len() == 2 * records.len()), "{:?}", held.iter().map(Vec::len));
    Ok(())
}

#[tokio::test]
async fn compacted_topics_with_gaps() -> Result<()> {
    let (source, target) = ends().await?;
    let topic = unique("fidelity-compacted");
    create_topic(&source.bootstrap, &topic, 5, 1, &[&WIDE[..], &COMPACTING].concat()).await?;
    // Every other record is outdated: all batches have gaps. Those without a key, which compaction wants, get one.
    let mut records = Vec::new();
    // Kafka's cleaner fails at times before 1970, which the broker had taken.
    let untimed = Record::value("untimed").at(-1);
    for (record, n) in every_kind(200_000).into_iter().chain([untimed]).zip(0..) {
        let key = record.key.clone().filter(|key| !key.is_empty()).unwrap_or_default();
        records.push(Record { key: Some([key, format!("key-{n}").into_bytes()].concat()), ..record });
        records.push(Record::new("outdated", format!("{n}")));
    }
    // The empty key is one as well.
    records.push(Record::new("", "empty key"));
    each(&Codec::ALL, async |codec, partition| {
        let how = large(Producing { codec, batch_records: Some(9), ..Producing::default() });
        produce_with(&source.bootstrap, &topic, partition, &records, &how).await?;
        roll(&source, &topic, partition).await
    })
    .await?;
    cleaned(&source, &topic, records.len() as i64).await?;
    let held = is_copied(&source, &target, &topic, 5).await?;
    let left = records.len() / 2 + 2 + ROLLS;
    ensure!(
        held.iter().all(|held| held.len() == left),
        "{:?} of {left}",
        held.iter().map(Vec::len).collect::<Vec<_>>()
    );
    Ok(())
}

/// How many records [`roll`] writes.
const ROLLS: usize = 12;

/// Begins another segment: the cleaner leaves the last one alone.
async fn roll(source: &End, topic: &str, partition: i32) -> Result<()> {
    let large: Vec<_> = (0..ROLLS).map(|n| Record::new(format!("large-{n}"), vec![b'x'; 100_000])).collect();
    let single = Producing { batch_records: Some(1), ..Producing::default() };
    produce_with(&source.bootstrap, topic, partition, &large, &single).await.map(|_| ())
}

/// Waits until all partitions are clean up to an offset.
async fn cleaned(source: &End, topic: &str, wanted: i64) -> Result<()> {
    wait_until("the cleaner", 2 * DEADLINE, async || {
        for (partition, placed) in placements(&source.bootstrap, topic).await?.into_iter().enumerate() {
            let cleaned = cleaned_up_to(&placed, topic, partition).await?;
            ensure!(cleaned >= wanted, "partition {partition} up to {cleaned} of {wanted}");
        }
        Ok(())
    })
    .await
}

/// The offset up to which a partition's log is clean, by its leader's word.
async fn cleaned_up_to(placed: &Placement, topic: &str, partition: usize) -> Result<i64> {
    let leader = u32::try_from(placed.leader)?;
    let dir: PathBuf = pair().await?.source.partition_dir(leader, topic, i32::try_from(partition)?)?;
    // Lines of topic, partition and offset.
    let text = fs::read_to_string(dir.with_file_name("cleaner-offset-checkpoint"))?;
    let prefix = format!("{topic} {partition} ");
    Ok(text.lines().find_map(|line| line.strip_prefix(&prefix)).context("never cleaned")?.parse()?)
}

/// What a compacted topic comes down to.
fn last_values<'r>(
    records: impl IntoIterator<Item = (&'r Option<Vec<u8>>, &'r Option<Vec<u8>>)>,
) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    records.into_iter().map(|(key, value)| (key.clone().unwrap_or_default(), value.clone())).collect()
}

#[tokio::test]
async fn compacted_topics_with_transactions() -> Result<()> {
    // Before the cleaner comes, and in the segment that it leaves alone.
    const CLEANED: [bool; 6] = [true, false, true, false, false, true];
    const LEFT: [bool; 3] = [false, true, false];
    const RECORDS: i64 = 40;
    let (source, target) = ends().await?;
    let topic = unique("fidelity-both");
    create_topic(&source.bootstrap, &topic, 5, 1, &[&WIDE[..], &COMPACTING].concat()).await?;
    // All transactions write the same keys, and each some that no other does.
    let records_of = |transaction: usize| -> Vec<Record> {
        let record = |n: i64| {
            let key = if n % 4 == 0 { format!("{transaction}-{n}") } else { format!("key-{}", n % 13) };
            let value = (n % 9 != 5).then(|| format!("{transaction} {n} {}", "x".repeat(200)).into_bytes());
            let record = Record { key: Some(key.into_bytes()), value, ..Record::default() };
            record.at(1_700_000_000_000 + n).header("n", Some(&[0xff])).header("n", None)
        };
        (0..RECORDS).map(record).collect()
    };
    each(&Codec::ALL, async |codec, partition| {
        // Of one producer: only markers tell where a transaction of it ends.
        let id = unique("tx");
        for (number, commit) in CLEANED.into_iter().chain(LEFT).enumerate() {
            if number == CLEANED.len() {
                roll(&source, &topic, partition).await?;
            }
            let transaction = Some((id.clone(), commit));
            let how = Producing { codec, batch_records: Some(7), transaction, ..Producing::default() };
            produce_with(&source.bootstrap, &topic, partition, &records_of(number), &how).await?;
        }
        Ok(())
    })
    .await?;
    cleaned(&source, &topic, CLEANED.len() as i64 * (RECORDS + 1)).await?;
    let (held, flow) = copied(&source, &target, &topic, 5).await?;

    let committed: Vec<usize> =
        CLEANED.into_iter().chain(LEFT).enumerate().filter(|(_, commit)| *commit).map(|(number, _)| number).collect();
    let written: Vec<Record> = committed.iter().flat_map(|number| records_of(*number)).collect();
    let wanted = last_values(written.iter().map(|record| (&record.key, &record.value)));
    for held in &held {
        let held: Vec<_> = held.iter().filter(|record| record.value.as_ref().is_none_or(|v| v.len() < 1_000)).collect();
        assert_eq!(last_values(held.iter().map(|record| (&record.key, &record.value))), wanted);
        ensure!(held.len() < written.len(), "nothing was compacted away");
    }
    let batches = flow.batches();
    let of = |reason: &str| batches.get(reason).copied().unwrap_or_default();
    // Two were aborted in the last segment, of six batches at least.
    assert!(of("drop: aborted") >= 5 * 2 * 6 && of("drop: control") > 0, "{batches:?}");
    assert!(of("reencode: compaction gap") + of("reencode: delete horizon") > 5, "{batches:?}");
    Ok(())
}

#[tokio::test]
async fn times_of_brokers() -> Result<()> {
    let (source, target) = ends().await?;
    let topic = unique("fidelity-append-time");
    let configs = [&WIDE[..], &[("message.timestamp.type", "LogAppendTime")]].concat();
    create_topic(&source.bootstrap, &topic, 5, 1, &configs).await?;
    let records = by_librdkafka(200_000);
    let began = now_ms();
    each(&Codec::ALL, async |codec, partition| {
        for batch_records in [Some(7), None] {
            let how = large(Producing { codec, batch_records, ..Producing::default() });
            produce_with(&source.bootstrap, &topic, partition, &records, &how).await?;
        }
        Ok(())
    })
    .await?;
    let held = is_copied(&source, &target, &topic, 5).await?;
    let range = began..=now_ms();
    ensure!(held.iter().flatten().all(|record| range.contains(&record.timestamp)), "times that are not the broker's");
    Ok(())
}

/// What `kafka-dump-log` tells of a partition's batches, offsets counted from the first one.
fn bounds(batches: &[String]) -> Result<Vec<String>> {
    let fields: Vec<BTreeMap<&str, &str>> = batches.iter().map(|line| pairs(line)).collect();
    let first: i64 = fields.first().context("no batches")?["baseOffset"].parse()?;
    let bound = |batch: &BTreeMap<&str, &str>| {
        let relative = |name| Ok::<_, ::testkit::anyhow::Error>(batch[name].parse::<i64>()? - first);
        let same = ["count", "compresscodec", "CreateTime", "size", "magic", "isTransactional", "isvalid"];
        let same: Vec<_> = same.iter().map(|name| format!("{name} {}", batch[name])).collect();
        Ok(format!("{} to {}: {}", relative("baseOffset")?, relative("lastOffset")?, same.join(", ")))
    };
    fields.iter().map(bound).collect()
}

/// `name: value name: value …`
fn pairs(line: &str) -> BTreeMap<&str, &str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.chunks(2).filter_map(|pair| Some((pair.first()?.trim_end_matches(':'), *pair.get(1)?))).collect()
}

/// The first segment of each partition of a topic.
async fn segments(cluster: &Shared, topic: &str) -> Result<Vec<PathBuf>> {
    let placed = placements(&cluster.bootstrap, topic).await?;
    let segment = |(placed, partition): (Placement, i32)| {
        let dir = cluster.partition_dir(u32::try_from(placed.leader)?, topic, partition)?;
        Ok(dir.join("00000000000000000000.log"))
    };
    placed.into_iter().zip(0..).map(segment).collect()
}

#[tokio::test]
async fn batches_are_bounded_as_they_were() -> Result<()> {
    let pair = pair().await?;
    let (source, target) = ends().await?;
    let (topic, to) = (unique("bounds"), unique("mirror.bounds"));
    create_topic(&source.bootstrap, &topic, 5, 1, &[]).await?;
    create_topic(&target.bootstrap, &to, 5, 1, &[]).await?;
    let records: Vec<_> = (1..=40)
        .map(|n| Record::new(format!("{n}"), noise(n * 200)).header("n", Some(&[0xff])).at(1_000 + 7 * n as i64))
        .collect();
    each(&Codec::ALL, async |codec, partition| {
        // The target's offsets are others.
        let before = vec![Record::value("before"); 1 + partition as usize];
        produce_with(&target.bootstrap, &to, partition, &before, &Producing::default()).await?;
        for batch_records in [None, Some(13), Some(5)] {
            let how = Producing { codec, batch_records, ..Producing::default() };
            produce_with(&source.bootstrap, &topic, partition, &records, &how).await?;
        }
        Ok(())
    })
    .await?;
    let mut spec = spec(&source.bootstrap, &target.bootstrap, &topic, &to, 0..5, Start::Earliest);
    spec.write.join = false;
    let flow = Engine::new("bounds").start(spec);
    reached(&flow, &topic, &[119; 5]).await?;

    let sources = source.tools.dump_batches(&segments(&pair.source, &topic).await?).await?;
    let targets = target.tools.dump_batches(&segments(&pair.target, &to).await?).await?;
    for ((source, target), codec) in sources.iter().zip(&targets).zip(Codec::ALL) {
        // What the target held before stands first.
        let before = target.len().checked_sub(source.len()).context("fewer batches than there were")?;
        let (source, target) = (bounds(source)?, bounds(&target[before..])?);
        assert!(source.len() > 12 && source.iter().all(|batch| batch.contains(codec.name())), "{source:#?}");
        assert_eq!(source, target);
    }
    Ok(())
}
