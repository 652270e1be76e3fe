//! A real topic of transactions: the map is compared with what librdkafka reads at both ends, for each offset.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use ::testkit::{
    Cluster, Isolation, Producing, Record, RecordView, Transactions,
    anyhow::{Context, Result, ensure},
    create_topic, end_offsets, produce_with, read_all_with, set_topic_configs, transactions, unique, wait_until,
};
use ::wire::TopicPartition;
use futures_util::future::try_join_all;
use kmirror::offsets::{Link, OffsetMaps, Translation};

use super::{BYTES_PER_BREAK, CLEANER_PAUSE, COMPACTED_OFTEN, bytes_in, client, show_times, topic_of};
use crate::{
    kmirror::{DEADLINE, Kmirror},
    worker::{connector, remote},
};

const TOPIC: &str = "transactional";
const CONNECTOR: &str = "mm2-msc";
const PARTITIONS: i32 = 4;
const MADE: Transactions = Transactions { count: 200_000, partitions: PARTITIONS, most_records: 3, aborted_of: 10 };
/// Offsets translated by one call.
const AT_ONCE: usize = 1_000;

/// Transactions of librdkafka's in between, ended by a coordinator: six records each, every third aborted. Gives how many are committed.
async fn coordinated(bootstrap: &str, is_over: &AtomicU64) -> Result<u64> {
    let id = unique("coordinated");
    let mut committed = 0;
    while is_over.load(Ordering::Acquire) == 0 {
        let records: Vec<_> = (0..6).map(|n| Record::new(id.as_str(), format!("{committed}-{n}"))).collect();
        for (partition, commits) in [(0, true), (1, true), (2, false)] {
            let how = Producing { transaction: Some((id.clone(), commits)), ..Producing::default() };
            produce_with(bootstrap, TOPIC, partition, &records, &how).await?;
            committed += if commits { 6 } else { 0 };
        }
    }
    Ok(committed)
}

/// What each source offset up to the end is in the target, and how often the two run apart.
fn truth(source: &[RecordView], target: &[RecordView], ends: (i64, i64)) -> Result<(Vec<Translation>, u64)> {
    ensure!(source.len() == target.len(), "{} of {} committed records", target.len(), source.len());
    let mut pairs = source.iter().zip(target).peekable();
    let (mut expected, mut breaks, mut ahead) = (Vec::new(), 0, None);
    for offset in 0..=ends.0 {
        expected.push(match pairs.peek() {
            Some((from, to)) if from.offset == offset => {
                ensure!((&from.key, &from.value) == (&to.key, &to.value), "{from:?} is not {to:?}");
                breaks += u64::from(ahead.replace(from.offset - to.offset) != Some(from.offset - to.offset));
                let target = to.offset;
                pairs.next();
                Translation::Exact(target)
            }
            Some((_, to)) => Translation::NextMirrored(to.offset),
            None => Translation::MirroredEnd(ends.1),
        });
    }
    Ok((expected, breaks))
}

/// Anchors, and bytes of keys and values of blocks and of anchors, in the map's topic.
async fn stored(bootstrap: &str) -> Result<(usize, usize, usize)> {
    let (records, _) = client(bootstrap).read_records(&TopicPartition::new(topic_of("src"), 0), 0).await?;
    let (mut count, mut blocks, mut anchors) = (0, 0, 0);
    for record in &records {
        let key = record.key.as_deref().context("a record without a key")?;
        let bytes = key.len() + record.value.as_ref().map_or(0, |value| value.len());
        match key.first() {
            Some(b'b') => blocks += bytes,
            Some(b'a') => (count, anchors) = (count + 1, anchors + bytes),
            // That the topic was made.
            _ => {}
        }
    }
    Ok((count, blocks, anchors))
}

/// Has the broker's cleaner leave of the map's topic what a worker that runs for long finds: of each copy the newest anchors.
async fn compact(bootstrap: &str, links: &[Link]) -> Result<()> {
    set_topic_configs(bootstrap, &topic_of("src"), &COMPACTED_OFTEN).await?;
    let maps = OffsetMaps::open(&client(bootstrap), "src", 1).await?;
    wait_until("old anchors to be compacted away", Duration::from_secs(120), async || {
        // Segments roll when something is appended.
        let taken_over = links.iter().map(|link| {
            let mut anchor = maps.anchor(link).with_context(|| format!("no anchor of {link}"))?;
            anchor.generation += 1;
            Ok((link.clone(), maps.writer(link).update(anchor)))
        });
        ensure!(maps.write(taken_over.collect::<Result<_>>()?).await?.is_empty());
        let (left, ..) = stored(bootstrap).await?;
        ensure!(left <= 20 * links.len(), "{left} anchors are left");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn two_hundred_thousand_transactions_are_translated() -> Result<()> {
    // MirrorConnectorsIntegrationTransactionsTest.*
    let source = Cluster::builder().name("source").property("transaction.partition.verification.enable", "false");
    let target = Cluster::builder().name("target").property(CLEANER_PAUSE.0, CLEANER_PAUSE.1);
    let (source, target) = tokio::try_join!(source.start(), target.start())?;
    let (from, to) = (source.bootstrap(), target.bootstrap());
    create_topic(&from, TOPIC, PARTITIONS, 1, &[("retention.ms", "-1")]).await?;
    let mut worker = Kmirror::on(&to).start().await?;
    worker.put_connector(CONNECTOR, &connector(&from, &to, TOPIC, &[("tasks.max", "2")])).await?;
    worker.wait_running(CONNECTOR, 2).await?;

    let (begin, is_over) = (Instant::now(), AtomicU64::new(0));
    let (made, committed) = tokio::try_join!(
        async {
            let made = transactions(&from, TOPIC, &MADE).await;
            is_over.store(1, Ordering::Release);
            made
        },
        coordinated(&from, &is_over),
    )?;
    eprintln!("{made:?} and {committed} records by a coordinator in {:.1} s", begin.elapsed().as_secs_f64());
    let committed = made.committed.1 + committed;
    let partitions: Vec<i32> = (0..PARTITIONS).collect();
    let arrived = async || end_offsets(&to, &remote(TOPIC), &partitions).await;
    let copied = worker
        .until("all committed records", DEADLINE, async || {
            let sum = arrived().await?.iter().sum::<i64>().unsigned_abs();
            ensure!(sum == committed, "{sum} of {committed}");
            Ok(())
        })
        .await;
    if let Err(error) = copied {
        // Who holds back the rest: the source, or the copy.
        let readable = read_all_with(&from, TOPIC, Isolation::ReadCommitted).await?;
        let readable: Vec<usize> = readable.iter().map(Vec::len).collect();
        let copied = arrived().await?;
        let status = worker.status(CONNECTOR).await?;
        return Err(error.context(format!("{readable:?} can be read at the source, {copied:?} are copied; {status}")));
    }
    eprintln!("copied {:.1} s after the first was written", begin.elapsed().as_secs_f64());
    worker.stop().await?;

    let sources = read_all_with(&from, TOPIC, Isolation::ReadCommitted).await?;
    let targets = read_all_with(&to, &remote(TOPIC), Isolation::ReadUncommitted).await?;
    let ends = end_offsets(&from, TOPIC, &partitions).await?.into_iter().zip(arrived().await?);
    let (mut expected, mut breaks) = (Vec::new(), 0);
    for ((source, target), ends) in sources.iter().zip(&targets).zip(ends) {
        let (offsets, broken) = truth(source, target, ends)?;
        expected.push(offsets);
        breaks += broken;
    }
    let links: Vec<Link> = partitions
        .iter()
        .map(|partition| Link {
            connector: CONNECTOR.to_owned(),
            source: TopicPartition::new(TOPIC, *partition),
            target: TopicPartition::new(remote(TOPIC), *partition),
        })
        .collect();
    let dir = target.partition_dir(1, &topic_of("src"), 0)?;
    let per_break = |bytes: usize| bytes as f64 / breaks as f64;
    let log = per_break(usize::try_from(bytes_in(&dir, ".log")?)?);
    let (count, blocks, anchors) = stored(&to).await?;
    compact(&to, &links).await?;
    let compacted = per_break(usize::try_from(bytes_in(&dir, ".log")?)?);
    eprintln!(
        "{} transactions, {breaks} breaks: {log:.2} bytes a break in the map's log, {:.2} in blocks and {:.2} in {count} anchors; \
         {compacted:.2} in the log once it is compacted",
        MADE.count,
        per_break(blocks),
        per_break(anchors),
    );
    ensure!(breaks > MADE.count / 2, "{breaks} breaks only");
    ensure!(per_break(blocks) > 1.0 && compacted <= BYTES_PER_BREAK, "{blocks} bytes in blocks");

    let begin = Instant::now();
    let maps = OffsetMaps::open(&client(&to), "src", 1).await?;
    eprintln!("opened in {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
    for name in ["cold", "warm"] {
        let mut times = Vec::new();
        for (link, expected) in links.iter().zip(&expected) {
            // About one in each block.
            for offset in (0..expected.len()).step_by(3_001) {
                let begin = Instant::now();
                let found = maps.translate(link, &[i64::try_from(offset)?]).await?;
                times.push(begin.elapsed());
                ensure!(
                    found == expected[offset..=offset],
                    "{link} at {offset}: {found:?}, not {:?}",
                    expected[offset]
                );
            }
        }
        show_times(&format!("{name} look-up of one offset"), times);
    }
    let begin = Instant::now();
    let all = links.iter().zip(&expected).map(async |(link, expected)| -> Result<()> {
        for (chunk, expected) in expected.chunks(AT_ONCE).enumerate() {
            let first = chunk * AT_ONCE;
            let offsets: Vec<i64> = (first..first + expected.len()).map(i64::try_from).collect::<Result<_, _>>()?;
            let found = maps.translate(link, &offsets).await?;
            let wrong = offsets.iter().zip(found.iter().zip(expected)).find(|(_, (found, expected))| found != expected);
            ensure!(wrong.is_none(), "{link}: {wrong:?}");
        }
        Ok(())
    });
    try_join_all(all).await?;
    let offsets: usize = expected.iter().map(Vec::len).sum();
    eprintln!("{offsets} offsets, those of {committed} records among them, in {:.2} s", begin.elapsed().as_secs_f64());
    Ok(())
}
