//! No alarm where nothing is wrong.

use ::testkit::{
    Codec, Producing, Record,
    anyhow::{Result, ensure},
    create_topic, delete_records, produce, produce_with, read_all, unique, watermarks,
};

use super::{FIRST, Scene, records};
use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::pair,
};

impl Scene {
    /// The worker ends in each way it can, and starts again.
    async fn lives_again(&mut self) -> Result<()> {
        self.stop().await?;
        self.resume().await?;
        self.beside_goes_on().await?;
        self.kinds(&[]).await?;
        self.worker.stop().await?;
        self.worker.restart().await?;
        self.beside_goes_on().await?;
        self.kinds(&[]).await?;
        self.worker.kill9()?;
        self.worker.restart().await?;
        self.beside_goes_on().await?;
        self.kinds(&[]).await
    }
}

/// A topic whose first records are gone, an empty one, and one that is emptied when all of it was copied; on the target too.
#[tokio::test]
async fn logs_that_begin_late_and_empty_ones_are_no_gaps() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplicationWithEmptyPartition
    let pair = pair().await?;
    let mut scene = Scene::prepared(&pair.source, &pair.target, Kmirror::on(&pair.target), &[]).await?;
    for (topic, partitions) in [(scene.topic.clone(), 3), (scene.beside(), 1)] {
        create_topic(&scene.source, &topic, partitions, 1, &[]).await?;
    }
    for partition in [0, 1] {
        scene.produce(partition, FIRST, 0, 100).await?;
    }
    delete_records(&scene.source, &scene.topic, 0, 40).await?;
    scene.put(&[]).await?;
    scene.holds(0, &["40..100"]).await?;
    scene.holds(1, &["0..100"]).await?;
    scene.holds(2, &[]).await?;
    scene.lives_again().await?;
    // What was copied may go, at either end: up to there, and to the end.
    delete_records(&scene.source, &scene.topic, 0, 70).await?;
    delete_records(&scene.source, &scene.topic, 1, 100).await?;
    delete_records(&scene.target, &scene.remote(), 1, 100).await?;
    scene.holds(1, &[]).await?;
    scene.lives_again().await?;
    scene.produce(0, FIRST, 100, 110).await?;
    scene.produce(1, FIRST, 100, 110).await?;
    scene.holds(0, &["40..110"]).await?;
    scene.holds(1, &["100..110"]).await?;
    scene.kinds(&[]).await?;
    scene.end().await
}

/// Markers and aborted records have offsets of the source that the target never gets.
#[tokio::test]
async fn transactions_are_no_gaps() -> Result<()> {
    // MirrorConnectorsIntegrationTransactionsTest.*
    let mut scene = Scene::copied(20, &[]).await?;
    for (round, commit) in (0..).zip([true, false, true, false]) {
        let transaction = Some((unique("tx"), commit));
        let how = Producing { transaction, ..Producing::default() };
        let (from, to) = (20 + round * 10, 30 + round * 10);
        produce_with(&scene.source, &scene.topic, 0, &records(FIRST, from, to), &how).await?;
    }
    scene.holds(0, &["0..30", "40..50"]).await?;
    scene.lives_again().await?;
    scene.produce(0, FIRST, 60, 70).await?;
    scene.holds(0, &["0..30", "40..50", "60..70"]).await?;
    scene.kinds(&[]).await?;
    scene.end().await
}

/// Records go from within both logs.
#[tokio::test]
async fn compaction_is_no_gap() -> Result<()> {
    let pair = pair().await?;
    let mut scene = Scene::prepared(&pair.source, &pair.target, Kmirror::on(&pair.target), &[]).await?;
    let compacting = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("segment.bytes", "1048576"),
        ("delete.retention.ms", "0"),
    ];
    create_topic(&scene.source, &scene.topic, 2, 1, &compacting).await?;
    create_topic(&scene.source, &scene.beside(), 1, 1, &[]).await?;
    scene.put(&[]).await?;
    let keyed = |from: i64, to: i64| -> Vec<Record> {
        (from..to).map(|n| Record::new(format!("k{}", n % 5), format!("{n}"))).collect()
    };
    // The cleaner leaves the last segment alone.
    let large = (0..12).map(|n| Record::new(format!("large-{n}"), vec![b'x'; 100_000])).collect::<Vec<_>>();
    let produced = async |records: &[Record]| produce(&scene.source, &scene.topic, 0, records, Codec::None).await;
    produced(&keyed(0, 200)).await?;
    produced(&large).await?;
    produced(&keyed(200, 300)).await?;
    for (at, topic) in [(&scene.source, &scene.topic), (&scene.target, &scene.remote())] {
        scene
            .worker
            .until(&format!("{topic} to be compacted"), DEADLINE, async || {
                let (ends, left) = (watermarks(at, topic).await?, read_all(at, topic).await?[0].len());
                ensure!(ends[0].high == 312 && left < 200, "{left} records, {ends:?}");
                Ok(())
            })
            .await?;
    }
    scene.lives_again().await?;
    produce(&scene.source, &scene.topic, 0, &keyed(300, 310), Codec::None).await?;
    let remote = scene.remote();
    scene
        .worker
        .until("the last records", DEADLINE, async || {
            let all = read_all(&scene.target, &remote).await?;
            let last = all[0].last().and_then(|record| record.value.clone());
            ensure!(last.as_deref() == Some(b"309"), "{last:?}");
            Ok(())
        })
        .await?;
    scene.kinds(&[]).await?;
    scene.end().await
}

/// Only what is produced from now on.
#[tokio::test]
async fn a_first_start_at_the_end_is_no_gap() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplicateFromLatest
    let pair = pair().await?;
    let more = [("consumer.auto.offset.reset", "latest")];
    let mut scene = Scene::prepared(&pair.source, &pair.target, Kmirror::on(&pair.target), &more).await?;
    create_topic(&scene.source, &scene.topic, 2, 1, &[]).await?;
    create_topic(&scene.source, &scene.beside(), 1, 1, &[]).await?;
    scene.produce(0, FIRST, 0, 100).await?;
    scene.put(&[]).await?;
    scene.worker.wait_running(&scene.name, 1).await?;
    // It stands at the end when its position says so.
    scene
        .worker
        .until("positions", DEADLINE, async || {
            let told = scene.call("GET", "offsets", None).await?.to_string();
            ensure!(told.contains("\"offset\":99"), "{told}");
            Ok(())
        })
        .await?;
    scene.produce(0, FIRST, 100, 110).await?;
    scene.holds(0, &["100..110"]).await?;
    scene.lives_again().await?;
    scene.produce(0, FIRST, 110, 120).await?;
    scene.holds(0, &["100..120"]).await?;
    scene.kinds(&[]).await?;
    scene.end().await
}
