//! Where groups go on in the target, judged by the records that are there, on topics of each kind and over a kill.

mod after_mirrormaker;
mod full;

use ::testkit::{Codec, Isolation, Producing, Record, produce, produce_with, read_all_with, wait_until};

use super::*;

/// What is mirrored.
struct Topics {
    plain: String,
    /// Transactions, a fourth of them aborted: offsets of the target are others.
    transactional: String,
    /// What the cleaner has left.
    compacted: String,
}

/// Offsets of the records that a consumer can read, by partition.
type Readable = Vec<Vec<i64>>;

async fn readable(bootstrap: &str, topic: &str) -> Result<Readable> {
    let read = read_all_with(bootstrap, topic, Isolation::ReadCommitted).await?;
    Ok(read.iter().map(|records| records.iter().map(|record| record.offset).collect()).collect())
}

/// What a consumer that goes on in the target makes of it, in records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Judged {
    skipped: u64,
    again: u64,
}

/// The records of both ends are the same, in order.
fn judge(source: &[i64], committed: i64, target: &[i64], goes_on_at: i64) -> Judged {
    let next = source.partition_point(|offset| *offset < committed);
    let goes_on = target.partition_point(|offset| *offset < goes_on_at);
    Judged { skipped: goes_on.saturating_sub(next) as u64, again: next.saturating_sub(goes_on) as u64 }
}

/// What is committed by a group so many records behind the end.
fn behind(source: &[i64], records: usize) -> i64 {
    let end = source.last().map_or(0, |last| last + 1);
    source.len().checked_sub(records).map_or(0, |first| source.get(first).copied().unwrap_or(end))
}

impl Topics {
    /// Made and filled, `records` to a partition or a little less.
    async fn make(source: &str, records: usize) -> Result<Self> {
        let topics = Self {
            plain: unique("exact-plain"),
            transactional: unique("exact-transactional"),
            compacted: unique("exact-compacted"),
        };
        let compacting =
            [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.001"), ("segment.bytes", "1048576")];
        create_topic(source, &topics.plain, PARTITIONS, 1, &[]).await?;
        create_topic(source, &topics.transactional, PARTITIONS, 1, &[]).await?;
        create_topic(source, &topics.compacted, PARTITIONS, 1, &compacting).await?;
        let bulk = Bulk { value_bytes: 160, ..Bulk::new(records as u64 * PARTITIONS as u64, PARTITIONS) };
        bulk_produce(source, &topics.plain, &bulk).await?;
        for partition in 0..PARTITIONS {
            delete_records(source, &topics.plain, partition, records as i64 / 100).await?;
        }
        let one = |partition| topics.fill(source, partition, records);
        futures_util::future::try_join_all((0..PARTITIONS).map(one)).await?;
        topics.wait_compacted(source, records).await?;
        Ok(topics)
    }

    async fn fill(&self, source: &str, partition: i32, records: usize) -> Result<()> {
        const TRANSACTIONS: usize = 24;
        let value = |n: usize| format!("{n} {}", "z".repeat(100));
        let each = records / (TRANSACTIONS * 3 / 4);
        for nth in 0..TRANSACTIONS {
            let some: Vec<_> = (0..each).map(|n| Record::value(value(nth * each + n))).collect();
            let transaction = Some((unique("exact"), nth % 4 != 2));
            produce_with(
                source,
                &self.transactional,
                partition,
                &some,
                &Producing { transaction, ..Producing::default() },
            )
            .await?;
        }
        // Every third key comes again, later: two thirds of the records stay, with gaps everywhere.
        let stays = |n: usize| Record::new(format!("stays-{n}"), value(n));
        let goes = |n: usize| Record::new(format!("goes-{}", n % 50), value(n));
        let keyed: Vec<_> = (0..records * 3 / 2).map(|n| if n % 3 == 0 { goes(n) } else { stays(n) }).collect();
        produce(source, &self.compacted, partition, &keyed, Codec::Lz4).await?;
        // Rolls the segment: the cleaner leaves the last one alone.
        let large: Vec<_> = (0..12).map(|n| Record::new(format!("large-{n}"), vec![b'x'; 100_000])).collect();
        let alone = Producing { batch_records: Some(1), ..Producing::default() };
        produce_with(source, &self.compacted, partition, &large, &alone).await?;
        Ok(())
    }

    async fn wait_compacted(&self, source: &str, records: usize) -> Result<()> {
        wait_until("the cleaner", 2 * DEADLINE, || async {
            let left: Vec<_> = readable(source, &self.compacted).await?.iter().map(Vec::len).collect();
            // The 50 keys that come again, one or two of each, and what rolled the segment.
            ensure!(left.iter().all(|count| *count < records + 120), "{left:?} records are left of {records}");
            Ok(())
        })
        .await
    }

    fn all(&self) -> [&str; 3] {
        [&self.plain, &self.transactional, &self.compacted]
    }
}

impl Scene {
    /// Waits until as many records can be read in the target as in the source, and tells which.
    async fn wait_mirrored(&self, topic: &str, source: &Readable) -> Result<Readable> {
        let counts = |of: &Readable| of.iter().map(Vec::len).collect::<Vec<_>>();
        self.worker
            .until(&format!("all of {topic}"), 2 * DEADLINE, async || {
                let target = readable(&self.pair.target, &self.remote(topic)).await?;
                ensure!(counts(&target) == counts(source), "{:?} of {:?}", counts(&target), counts(source));
                Ok(target)
            })
            .await
    }

    /// What is told of groups: by group, source topic and partition.
    async fn told(&self) -> Result<BTreeMap<(String, String, i64), Value>> {
        let told = self.worker.get("/connectors/groups/kmirror/groups").await?.ok()?;
        let mut found = BTreeMap::new();
        for group in told["groups"].as_array().context("no groups")? {
            for partition in group["partitions"].as_array().context("no partitions")? {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let from = &partition["source"];
                let number = from["partition"].as_i64().context("no partition")?;
                found.insert((text(&group["group"]), text(&from["topic"]), number), partition.clone());
            }
        }
        Ok(found)
    }
}

/// Groups so many records behind the end, on three topics that are copied while the worker is killed: what each finds is exact.
async fn over_a_kill(records: usize, behinds: &[usize]) -> Result<(Scene, Topics)> {
    let mut scene = Scene::start().await?;
    let topics = Topics::make(&scene.pair.source, records).await?;
    let (prefix, source) = (unique("exact"), scene.source());
    let mut readable_at_source = BTreeMap::new();
    for topic in topics.all() {
        readable_at_source.insert(topic, readable(&scene.pair.source, topic).await?);
    }
    for records in behinds {
        for (topic, readable) in &readable_at_source {
            let offsets: Vec<_> = readable.iter().map(|offsets| behind(offsets, *records)).collect();
            commit(&source, &format!("{prefix}-{records}"), topic, &offsets).await?;
        }
    }

    // At a rate that leaves time to kill it; the target's cleaner is not to take what is compared.
    let rate = (records * 3 * 3 * 150 / 8).to_string();
    let more = [
        ("kmirror.max.bytes.per.second", rate.as_str()),
        ("config.properties.exclude", "cleanup.policy,min.cleanable.dirty.ratio,segment.bytes"),
    ];
    let names = topics.all().join(",");
    scene.put_mirror(&names, &more).await?;
    let groups = format!("{prefix}-.*");
    let more = [
        ("emit.checkpoints.interval.seconds", "1"),
        ("groups", groups.as_str()),
        ("topics", &names),
        ("tasks.max", "2"),
    ];
    scene.worker.put_connector("groups", &scene.config("Checkpoint", &more)).await?;
    let some = i64::try_from(records)?;
    let remotes = topics.all().map(|topic| scene.remote(topic));
    scene
        .worker
        .until("a part to be copied", DEADLINE, async || {
            let mut copied = 0;
            for remote in &remotes {
                copied += watermarks(&scene.pair.target, remote).await?.iter().map(|ends| ends.high).sum::<i64>();
            }
            ensure!(copied > some, "{copied} records");
            Ok(())
        })
        .await?;
    scene.worker.kill9()?;
    let mut left = 0;
    for (topic, readable) in &readable_at_source {
        let copied = watermarks(&scene.pair.target, &scene.remote(topic)).await?;
        left += readable.iter().zip(copied).map(|(all, ends)| all.len() as i64 - ends.high).sum::<i64>();
    }
    ensure!(left > 0, "all was copied before the kill");
    scene.worker.launch()?;
    scene.worker.wait_healthy().await?;

    for (topic, source) in &readable_at_source {
        let target = scene.wait_mirrored(topic, source).await?;
        for records in behinds {
            let group = format!("{prefix}-{records}");
            scene
                .worker
                .until(&format!("{group} of {topic}"), DEADLINE, async || {
                    let told = scene.told().await?;
                    for (partition, (source, target)) in (0..).zip(source.iter().zip(&target)) {
                        let key = (group.clone(), (*topic).to_owned(), partition);
                        let told = told.get(&key).with_context(|| format!("nothing of {key:?}"))?;
                        let goes_on_at = told["target_offset"].as_i64().with_context(|| told.to_string())?;
                        let judged = judge(source, behind(source, *records), target, goes_on_at);
                        ensure!(judged == Judged::default() && told["outcome"] == "EXACT", "{judged:?}: {told}");
                    }
                    Ok(())
                })
                .await?;
        }
    }
    Ok((scene, topics))
}

#[tokio::test]
async fn groups_on_topics_of_each_kind_skip_and_repeat_nothing_over_a_kill() -> Result<()> {
    // MirrorConnectorsIntegrationTransactionsTest.*, MirrorConnectorsIntegrationBaseTest.testOffsetTranslationBehindReplicationFlow
    over_a_kill(6_000, &[0, 1, 10, 100, 1_000, 5_000]).await.map(|_| ())
}

#[test]
fn what_a_consumer_would_skip_or_repeat_is_counted_in_records() {
    let (source, target) = ([10, 11, 15, 16], [0, 1, 5, 9]);
    let of = |committed, goes_on_at| judge(&source, committed, &target, goes_on_at);
    assert_eq!(of(12, 5), Judged::default());
    assert_eq!(of(12, 2), Judged::default(), "nothing stands between");
    assert_eq!(of(12, 1), Judged { skipped: 0, again: 1 });
    assert_eq!(of(10, 9), Judged { skipped: 3, again: 0 });
    assert_eq!(of(17, 10), Judged::default());
    assert_eq!([0, 1, 4, 9].map(|records| behind(&source, records)), [17, 16, 10, 0]);
}
