//! Workers that are stopped, killed and frozen in mid-copy.

use std::time::Duration;

use ::testkit::{
    Codec, Record,
    anyhow::{Result, ensure},
    create_topic, produce,
    proxy::{Direction, Rule, api_key},
    read_all, unique,
};

use super::{Copy, Load, connector, fill_slowly_copied, holds_for, records, remote};
use crate::{
    kmirror::Kmirror,
    shared::{Pair, pair},
};

const PARTITIONS: i32 = 3;
/// What is there when the copy begins; more comes all the time.
const BACKLOG: u64 = 120_000;
/// How many records on the target make the next blow due: all in mid-copy of the backlog, repeats included.
const BLOWS: [i64; 3] = [5_000, 30_000, 60_000];

/// A worker that copies a topic with a backlog, which is written to all the time.
struct Scene {
    pair: Pair,
    topic: String,
    remote: String,
    worker: Kmirror,
    load: Load,
}

impl Scene {
    async fn start() -> Result<Self> {
        let pair = pair().await?;
        let topic = unique("restarts");
        create_topic(&pair.source, &topic, PARTITIONS, 1, &[]).await?;
        fill_slowly_copied(&pair.source, &topic, PARTITIONS, BACKLOG).await?;
        let worker = Kmirror::on(&pair.target).start().await?;
        let load = Load::start(&pair.source, &topic, PARTITIONS);
        let config = connector(&pair.source, &pair.target, &topic, &[("tasks.max", "2")]);
        worker.put_connector("mirror", &config).await?;
        Ok(Self { remote: remote(&topic), pair, topic, worker, load })
    }

    fn copy(&self) -> Copy<'_> {
        Copy { source: &self.pair.source, topic: &self.topic, target: &self.pair.target, remote: &self.remote }
    }

    /// Waits until it is time for a blow; deals it while the backlog is not copied yet.
    async fn blow(&mut self, due: i64, deal: impl AsyncFnOnce(&mut Kmirror) -> Result<()>) -> Result<i64> {
        self.copy().wait_more_than(&self.worker, due).await?;
        deal(&mut self.worker).await?;
        let arrived = self.copy().arrived().await;
        ensure!(u64::try_from(arrived)? < BACKLOG, "{arrived} records were there already: not in mid-copy");
        Ok(arrived)
    }

    /// Ends the load, which must have written something.
    async fn end_load(&mut self) -> Result<()> {
        let written = self.load.stop().await?;
        ensure!(written > 0, "there was no load");
        Ok(())
    }
}

#[tokio::test]
async fn a_worker_stopped_in_mid_copy_resumes_exactly() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testRestartReplication
    let mut scene = Scene::start().await?;
    for due in BLOWS {
        scene.blow(due, async |worker| worker.stop().await).await?;
        scene.worker.restart().await?;
    }
    scene.end_load().await?;
    scene.copy().wait_equal(&scene.worker).await?;
    scene.worker.wait_running("mirror", 2).await?;
    let usage = scene.worker.usage()?;
    ensure!(usage.max_rss_bytes < 300 << 20, "{usage:?}");
    scene.worker.stop().await
}

/// Positions are behind what the target acknowledged when the worker dies; what is there is found out.
#[tokio::test]
async fn a_worker_killed_in_mid_copy_resumes_exactly() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testRestartReplication
    let mut scene = Scene::start().await?;
    for due in BLOWS {
        scene.blow(due, async |worker| worker.kill9()).await?;
        scene.worker.restart().await?;
    }
    scene.end_load().await?;
    scene.copy().wait_equal(&scene.worker).await?;
    scene.worker.wait_running("mirror", 2).await?;
    Ok(())
}

#[tokio::test]
async fn a_frozen_worker_goes_on_exactly() -> Result<()> {
    let mut scene = Scene::start().await?;
    for due in BLOWS {
        let frozen_at = scene.blow(due, async |worker| worker.signal("STOP")).await?;
        // Long enough for what was on its way to arrive; nothing more comes.
        holds_for(Duration::from_secs(1), async || {
            let arrived = scene.copy().arrived().await;
            ensure!(arrived < frozen_at + 10_000, "{arrived} although frozen at {frozen_at}");
            Ok(())
        })
        .await?;
        scene.worker.signal("CONT")?;
    }
    scene.end_load().await?;
    scene.copy().wait_equal(&scene.worker).await
}

/// After a clean stop nothing of the copy can be behind its anchor: what others have written there since is not read.
#[tokio::test]
async fn what_others_wrote_meanwhile_is_not_read_through() -> Result<()> {
    let Pair { source, target } = pair().await?;
    let proxy = ::testkit::pair().await?.target.proxy().await?;
    let topic = unique("meanwhile");
    create_topic(&source, &topic, 1, 1, &[]).await?;
    produce(&source, &topic, 0, &records(0, 500), Codec::Lz4).await?;
    let mut worker = Kmirror::on(&proxy.bootstrap()).start().await?;
    worker.put_connector("mirror", &connector(&source, &proxy.bootstrap(), &topic, &[])).await?;
    let remote = remote(&topic);
    let copy = Copy { source: &source, topic: &topic, target: &target, remote: &remote };
    copy.wait_equal(&worker).await?;
    worker.stop().await?;

    let foreign = Record::value(vec![b'f'; 100_000]);
    produce(&target, &remote, 0, &vec![foreign.clone(); 10], Codec::None).await?;
    produce(&source, &topic, 0, &records(500, 500), Codec::Lz4).await?;
    let has_theirs = |bytes: &[u8]| bytes.split(|byte| *byte != b'f').any(|run| run.len() > 1_000);
    let read = proxy.add(Rule::count(api_key::FETCH, Direction::Response).when(move |frame| has_theirs(frame.bytes)));
    worker.restart().await?;
    copy.wait_more_than(&worker, 1_009).await?;
    ensure!(read.matched() == 0, "the worker has read what others wrote");
    let copied: Vec<_> = read_all(&target, &remote).await?.concat().into_iter().map(|record| record.value).collect();
    let wanted: Vec<_> = read_all(&source, &topic).await?.concat().into_iter().map(|record| record.value).collect();
    ensure!(copied.iter().filter(|value| **value == foreign.value).count() == 10, "not all that others wrote is there");
    let copied: Vec<_> = copied.into_iter().filter(|value| *value != foreign.value).collect();
    ensure!(copied == wanted, "{} of {} records, or others", copied.len(), wanted.len());
    worker.stop().await
}
