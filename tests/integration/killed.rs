//! Workers killed at named points of their cycle: the target holds each source record exactly once, in order (invariant D).
//!
//! A proxy before the target holds the one request or answer that makes the point; the worker is killed then, and what was held goes on its
//! way afterwards, as it would in a network.

mod clusters;
mod ledger;
mod wrap;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ::testkit::{
    Bulk, Cluster,
    anyhow::{Context, Result, ensure},
    bulk_produce, create_topic, placements,
    proxy::{
        Direction, Proxy, Rule,
        api_key::{OFFSET_FOR_LEADER_EPOCH, PRODUCE},
    },
    read_all, unique, wait_until,
};

use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::{Pair, pair},
    worker::{Copy, connector, remote},
};

const PARTITIONS: i32 = 3;
const RECORDS: u64 = 30_000;
/// So that the copy takes some seconds.
const BYTES_PER_SECOND: &str = "1500000";
const YEAR_MS: i64 = 365 * 86_400_000;

/// What a request is about.
#[derive(Debug, Clone, Copy)]
enum About {
    /// The copied topic, on the target.
    Data,
    /// Anchors and offset maps.
    Map,
    /// Positions.
    Positions,
}

/// Where a worker is killed: when this request or answer has come by after so many others of its kind, which it never gets.
#[derive(Debug, Clone, Copy)]
struct Point {
    name: &'static str,
    api: i16,
    direction: Direction,
    about: About,
    after: u64,
}

const fn point(name: &'static str, api: i16, direction: Direction, about: About, after: u64) -> Point {
    Point { name, api, direction, about, after }
}

/// The points of a copy, each in a copy of its own.
const POINTS: [Point; 10] = {
    use About::{Data, Map, Positions};
    use Direction::{Request, Response};
    [
        point("the first anchor is on its way", PRODUCE, Request, Map, 0),
        point("the first anchor is stored", PRODUCE, Response, Map, 0),
        point("the first position is on its way", PRODUCE, Request, Positions, 0),
        point("the first position is stored", PRODUCE, Response, Positions, 0),
        point("the first batches are on their way", PRODUCE, Request, Data, 0),
        point("the first batches are appended", PRODUCE, Response, Data, 0),
        point("batches in mid-copy are on their way", PRODUCE, Request, Data, 12),
        point("batches in mid-copy are appended", PRODUCE, Response, Data, 12),
        point("a later anchor is on its way", PRODUCE, Request, Map, 2),
        point("a later anchor is stored", PRODUCE, Response, Map, 2),
    ]
};

/// Those of finding one again: these come one after the other, behind one of a copy.
const AGAIN: [Point; 3] = [
    point("the end of the log is asked for", OFFSET_FOR_LEADER_EPOCH, Direction::Request, About::Data, 0),
    point("the anchor of the take-over is on its way", PRODUCE, Direction::Request, About::Map, 0),
    point("the anchor of the take-over is stored", PRODUCE, Direction::Response, About::Map, 0),
];

/// Holds the frame that makes a point, of a topic whose name begins with this.
fn rule(point: &Point, of: &str) -> Rule {
    let (after, topic) = (AtomicU64::new(point.after), of.to_owned());
    Rule::hold(point.api, point.direction).when(move |frame| {
        // What is said of a topic is no request for it: anchors name those they are about.
        let is_about = match frame.api_key {
            PRODUCE => frame.produced_topic().is_some_and(|name| name.starts_with(topic.as_bytes())),
            _ => frame.mentions(&topic),
        };
        is_about && after.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_err()
    })
}

/// A topic of the source, full of records of this time (ms since the epoch; none: now).
async fn filled(source: &str, topic: &str, time: Option<i64>) -> Result<()> {
    create_topic(source, topic, PARTITIONS, 1, &[("retention.ms", "-1")]).await?;
    let bulk = Bulk { value_bytes: 200, batch_bytes: 4_000, time, ..Bulk::new(RECORDS, PARTITIONS) };
    bulk_produce(source, topic, &bulk).await.map(|_| ())
}

/// A worker behind a proxy, killed again and again.
struct Scene {
    pair: Pair,
    proxy: Arc<Proxy>,
    worker: Kmirror,
    positions: String,
}

impl Scene {
    async fn start() -> Result<Self> {
        let proxy = Arc::new(::testkit::pair().await?.target.proxy().await?);
        let positions = unique("positions");
        let worker = Kmirror::on(&proxy.bootstrap()).property("offset.storage.topic", &positions).start().await?;
        Ok(Self { pair: pair().await?, proxy, worker, positions })
    }

    /// Copies a topic of records of this time (ms since the epoch; none: now), and kills the worker at these points of it. With an offset map
    /// the copy is exact; without one it must not be.
    async fn killed_at(&mut self, points: &[&Point], time: Option<i64>, is_mapped: bool) -> Result<()> {
        let topic = unique("killed");
        filled(&self.pair.source, &topic, time).await?;
        let alias = unique("src").replace('-', "");
        let more = [
            ("source.cluster.alias", alias.as_str()),
            ("kmirror.max.bytes.per.second", BYTES_PER_SECOND),
            ("kmirror.offset.map.enabled", if is_mapped { "true" } else { "false" }),
        ];
        let via = self.proxy.bootstrap();
        let mut begun = false;
        for point in points {
            let remote = format!("{alias}.{topic}");
            let about = match point.about {
                About::Data => remote.clone(),
                About::Map => format!("mm2-offset-map.{alias}.internal"),
                About::Positions => self.positions.clone(),
            };
            let held = self.proxy.add(rule(point, &about));
            if !begun {
                self.worker.put_connector(&alias, &connector(&self.pair.source, &via, &topic, &more)).await?;
                begun = true;
            }
            wait_until(point.name, DEADLINE, async || {
                ensure!(held.matched() > 0, "not yet");
                Ok(())
            })
            .await?;
            self.worker.kill9()?;
            self.proxy.clear();
            self.worker.restart().await?;
        }
        let remote = format!("{alias}.{topic}");
        let copy = Copy { source: &self.pair.source, topic: &topic, target: &self.pair.target, remote: &remote };
        if is_mapped {
            copy.wait_equal(&self.worker).await?;
        } else {
            copy.wait_more_than(&self.worker, i64::try_from(RECORDS)?).await?;
            let doubled = doubled(&self.pair.target, &remote).await?;
            ensure!(doubled > 0, "none is doubled: the test shows nothing");
        }
        let deleted = self.worker.request("DELETE", &format!("/connectors/{alias}"), None).await?;
        ensure!(deleted.status == 204, "{deleted:?}");
        Ok(())
    }
}

pub(crate) fn a_year_ago() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())? - YEAR_MS)
}

/// Records that are there more than once, over all partitions.
async fn doubled(target: &str, topic: &str) -> Result<usize> {
    let mut doubled = 0;
    for records in read_all(target, topic).await? {
        let values: BTreeSet<_> = records.iter().map(|record| &record.value).collect();
        doubled += records.len() - values.len();
    }
    Ok(doubled)
}

#[tokio::test]
async fn a_copy_killed_at_any_point_is_found_again() -> Result<()> {
    let mut scene = Scene::start().await?;
    for (point, nth) in POINTS.iter().zip(0..) {
        let time = if nth % 2 == 0 { None } else { Some(a_year_ago()?) };
        scene.killed_at(&[point], time, true).await.with_context(|| format!("killed when {}", point.name))?;
    }
    scene.worker.stop().await
}

#[tokio::test]
async fn a_worker_killed_while_it_finds_a_copy_again_is_no_different() -> Result<()> {
    let mut scene = Scene::start().await?;
    let copied = POINTS[7];
    let points: Vec<&Point> = [&copied].into_iter().chain(&AGAIN).collect();
    scene.killed_at(&points, Some(a_year_ago()?), true).await?;
    scene.killed_at(&points, None, true).await?;
    scene.worker.stop().await
}

/// What the others would show if nothing was found again.
#[tokio::test]
async fn without_an_offset_map_records_are_copied_twice() -> Result<()> {
    let mut scene = Scene::start().await?;
    scene.killed_at(&[&POINTS[7]], None, false).await?;
    scene.worker.stop().await
}

/// A worker that did not die after all: it is behind, and sends what another one has sent.
#[tokio::test]
async fn a_worker_that_was_frozen_and_taken_over_finds_out_and_stops() -> Result<()> {
    let pair = pair().await?;
    for time in [None, Some(a_year_ago()?)] {
        let topic = unique("superseded");
        filled(&pair.source, &topic, time).await?;
        let workers = Kmirror::on(&pair.target);
        let first = workers.clone().start().await?;
        let config =
            connector(&pair.source, &pair.target, &topic, &[("kmirror.max.bytes.per.second", BYTES_PER_SECOND)]);
        first.put_connector("mirror", &config).await?;
        let remote = remote(&topic);
        let copy = Copy { source: &pair.source, topic: &topic, target: &pair.target, remote: &remote };
        copy.wait_more_than(&first, 2_000).await?;
        first.signal("STOP")?;
        let mut second = workers.start().await?;
        let frozen_at = copy.arrived().await;
        copy.wait_more_than(&second, frozen_at + 3_000).await?;
        first.signal("CONT")?;
        first.wait_task_failed("mirror", 0, &["is copied by another worker now"]).await?;
        copy.wait_equal(&second).await?;
        ensure!(second.log_text().contains("found again behind its anchor"), "nothing was taken over");
        second.stop().await?;
    }
    Ok(())
}

/// The leader has what its followers lack, and so nobody can read it, when the worker comes back.
#[tokio::test]
async fn records_that_nobody_can_read_yet_are_waited_for() -> Result<()> {
    let source = &pair().await?.source;
    let target = Cluster::builder()
        .name("target")
        .brokers(3)
        .property("min.insync.replicas", "2")
        // A follower that says nothing stays in sync for as long as the test needs.
        .property("replica.lag.time.max.ms", "120000")
        .property("broker.session.timeout.ms", "120000")
        .property("offsets.topic.num.partitions", "1")
        .property("offsets.topic.replication.factor", "1")
        .start()
        .await?;
    let topic = unique("unseen");
    filled(source, &topic, Some(a_year_ago()?)).await?;
    // Broker 1 leads all that the worker needs, but for its group.
    let via = target.bootstrap().split(',').next().context("no broker")?.to_owned();
    let remote = remote(&topic);
    let tools = target.tools();
    let make = async |topic: &str, replicas: &str, more: &[&str]| {
        tools
            .topics(&[&["--create", "--topic", topic, "--replica-assignment", replicas], more].concat())
            .await
            .map(|_| ())
    };
    let stored = ["config", "offset", "status"].map(|kind| (kind, unique(kind)));
    let map = "mm2-offset-map.src.internal";
    for name in stored.iter().map(|(_, name)| name.as_str()).chain([map]) {
        make(name, "1", &["--config", "cleanup.policy=compact", "--config", "min.insync.replicas=1"]).await?;
    }
    make(&remote, "1:2:3,1:2:3,1:2:3", &["--config", "retention.ms=-1"]).await?;
    let worker = stored
        .iter()
        .fold(Kmirror::on(&via), |worker, (kind, name)| worker.property(&format!("{kind}.storage.topic"), name));
    let mut worker = worker.start().await?;
    let more = [("kmirror.max.bytes.per.second", BYTES_PER_SECOND)];
    worker.put_connector("mirror", &connector(source, &via, &topic, &more)).await?;
    let copy = Copy { source, topic: &topic, target: &via, remote: &remote };
    copy.wait_more_than(&worker, 2_000).await?;
    let coordinator = placements(&via, "__consumer_offsets").await?.first().context("no group")?.leader;
    let follower = if coordinator == 3 { 2 } else { 3 };
    target.sigstop(follower)?;
    // What is sent from now on is appended, and seen by nobody.
    let says = async |worker: &Kmirror, words: &str| {
        worker
            .until(words, DEADLINE, async || {
                ensure!(worker.log_text().contains(words), "not yet");
                Ok(())
            })
            .await
    };
    says(&worker, "REQUEST_TIMED_OUT").await?;
    worker.kill9()?;
    worker.restart().await?;
    says(&worker, "are not replicated yet").await?;
    target.sigcont(follower)?;
    copy.wait_equal(&worker).await?;
    says(&worker, "found again behind its anchor").await?;
    worker.stop().await
}

mod full {
    use super::*;

    /// Of this series.
    const LONGEST: Duration = Duration::from_secs(600);

    /// Brokers that forget each producer as soon as its records are old, which these are, while connections are cut and the worker killed.
    #[tokio::test]
    async fn producers_forgotten_at_any_moment_double_nothing() -> Result<()> {
        let source = &pair().await?.source;
        let target = Cluster::builder()
            .name("target")
            .property("producer.id.expiration.check.interval.ms", "200")
            .proxied()
            .start()
            .await?;
        let proxy = target.proxy()?;
        let mut worker = Kmirror::on(&proxy.bootstrap()).start().await?;
        let topic = unique("forgotten");
        filled(source, &topic, Some(a_year_ago()?)).await?;
        let more = [("kmirror.max.bytes.per.second", "400000")];
        worker.put_connector("mirror", &connector(source, &proxy.bootstrap(), &topic, &more)).await?;
        let (remote, direct) = (remote(&topic), target.bootstrap());
        let copy = Copy { source, topic: &topic, target: &direct, remote: &remote };
        let (start, mut kills) = (Instant::now(), 0);
        while copy.arrived().await < i64::try_from(RECORDS)? {
            ensure!(start.elapsed() < LONGEST, "{} of {RECORDS} after {kills} kills", copy.arrived().await);
            for _ in 0..3 {
                let arrived = copy.arrived().await;
                let _ = worker
                    .until("some more records", Duration::from_secs(10), async || {
                        ensure!(copy.arrived().await > arrived + 100, "none");
                        Ok(())
                    })
                    .await;
                proxy.cut_all();
            }
            worker.kill9()?;
            worker.restart().await?;
            kills += 1;
        }
        copy.wait_equal(&worker).await?;
        ensure!(kills > 2, "{kills} kills only");
        worker.stop().await
    }
}
