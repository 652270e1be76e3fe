//! What trouble costs kmirror: healthy partitions beside stuck ones, a leader that freezes, a slow network.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{
    Bulk, Cluster, EndOffsets, Jvm,
    anyhow::{Context, Result, ensure},
    bulk_produce, create_topic, placements, set_topic_configs, steady_produce, wait_until,
};

use crate::{
    Choices,
    contestants::{Contestant, Ends, plain},
    delay::{self, Delay},
    progress::{Expected, watch},
    report::{Section, verdict},
    warm_up::warm_up,
    worker::Worker,
};

const DEADLINE: Duration = Duration::from_secs(180);
/// How long partitions stay stuck, at least: until the pauses between tries are as long as they get.
const STUCK: Duration = Duration::from_secs(20);
const STUCK_PARTITIONS: i32 = 64;
const HEALTHY_PARTITIONS: i32 = 8;
/// One way; a round trip takes twice this.
const DELAY: Duration = Duration::from_millis(100);
/// The aims.
const KEPT: f64 = 0.8;
const RESUMED: Duration = Duration::from_secs(2);

/// Runs all, each once.
pub(crate) async fn run(choices: &Choices, quick: bool) -> Result<Section> {
    let records = if quick { 400_000 } else { 3_000_000 };
    let mut section = Section { table: "### trouble\n\n| | |\n|---|---|\n".to_owned(), ..Section::default() };
    let mut json = serde_json::Map::new();
    let mut add = |lines: Vec<(String, f64, &str)>, section: &mut Section| {
        for (what, figure, unit) in lines {
            section.table += &format!("| {what} | {figure:.2} {unit} |\n");
            json.insert(what, figure.into());
        }
    };
    // So many that the start of a copy counts for little beside it.
    let stuck = stuck(choices, 4 * records).await.context("stuck partitions")?;
    section.verdicts.push(judge("64 stuck partitions: speed kept", stuck.kept, stuck.kept >= KEPT, KEPT));
    let soon = RESUMED.as_secs_f64();
    section.verdicts.push(judge("64 stuck partitions: s until the last resumes", stuck.last, stuck.last <= soon, soon));
    add(
        vec![
            ("records/s of healthy partitions alone".to_owned(), stuck.alone, ""),
            ("records/s beside 64 stuck ones".to_owned(), stuck.beside, ""),
            ("share of the speed that is kept".to_owned(), stuck.kept, ""),
            ("first stuck partition resumes after the cause is gone".to_owned(), stuck.first, "s"),
            ("last".to_owned(), stuck.last, "s"),
        ],
        &mut section,
    );
    let frozen = frozen(choices).await.context("a frozen leader")?;
    section.verdicts.push(judge("frozen leader: s until all go on", frozen.resumed, frozen.resumed <= soon, soon));
    add(
        vec![
            ("a frozen leader's partitions have new leaders after".to_owned(), frozen.moved, "s"),
            ("all of them go on after that".to_owned(), frozen.resumed, "s"),
        ],
        &mut section,
    );
    let [near, far] = distances(choices, records).await.context("a slow network")?;
    add(
        vec![
            ("records/s through a proxy without delay".to_owned(), near, ""),
            ("records/s with round trips of 200 ms to the target".to_owned(), far, ""),
        ],
        &mut section,
    );
    section.json = Value::Object(json);
    Ok(section)
}

fn judge(what: &str, found: f64, met: bool, aim: f64) -> String {
    verdict("trouble", what, met, &format!("{found:.2}"), &aim.to_string())
}

async fn three(name: &str) -> Result<Cluster> {
    Cluster::builder().name(name).brokers(3).jvm(Jvm::full(768)).start().await
}

/// Produces to a new topic of the source; gives the ends of its partitions.
async fn fill(source: &Cluster, topic: &str, records: u64, partitions: i32) -> Result<Vec<i64>> {
    let bootstrap = source.bootstrap();
    create_topic(&bootstrap, topic, partitions, 1, &[]).await?;
    bulk_produce(&bootstrap, topic, &Bulk::new(records, partitions)).await?;
    let keys: Vec<_> = (0..partitions).map(|p| (topic.to_owned(), p)).collect();
    EndOffsets::new(&bootstrap)?.of(&keys).await
}

struct Stuck {
    alone: f64,
    beside: f64,
    kept: f64,
    first: f64,
    last: f64,
}

/// Partitions whose in-sync replicas are too few, beside others of one connector.
async fn stuck(choices: &Choices, records: u64) -> Result<Stuck> {
    let source = Cluster::builder().name("source").jvm(Jvm::full(1_024)).start().await?;
    let target = three("target").await?;
    // Brokers that get faster from copy to copy would hide what the second one loses.
    warm_up(Ends { source: &source, target: &target }, choices).await.context("warming the brokers up")?;
    let healthy = fill(&source, "healthy", records, HEALTHY_PARTITIONS).await?;
    let waiting = fill(&source, "stuck", 64_000, STUCK_PARTITIONS).await?;
    let all = [("min.insync.replicas", "3")];
    create_topic(&target.bootstrap(), "beside.stuck", STUCK_PARTITIONS, 3, &all).await?;
    target.stop(3).await?;
    let ends = Ends { source: &source, target: &target };
    let copied = async |worker: &Worker, alias: &str, topics: &str| {
        let began = Instant::now();
        worker.put_connector(&Value::Object(plain(alias, topics, ends, choices.tasks))).await?;
        let watcher = EndOffsets::new(&target.bootstrap())?;
        let topics = &[format!("{alias}.healthy")];
        let expected = Expected { target: &target, topics, ends: std::slice::from_ref(&healthy) };
        let arrived = watch(worker, &watcher, &expected).await?;
        Ok::<_, testkit::anyhow::Error>(records as f64 / arrived.last.duration_since(began).as_secs_f64())
    };
    let worker = Worker::start(Contestant::Kmirror, &choices.kmirror, &target.bootstrap()).await?;
    let alone = copied(&worker, "alone", "healthy").await?;
    worker.stop().await?;
    let worker = Worker::start(Contestant::Kmirror, &choices.kmirror, &target.bootstrap()).await?;
    let began = Instant::now();
    let beside = copied(&worker, "beside", "healthy,stuck").await?;
    tokio::time::sleep(STUCK.saturating_sub(began.elapsed())).await;
    let keys: Vec<_> = (0..STUCK_PARTITIONS).map(|p| ("beside.stuck".to_owned(), p)).collect();
    let watcher = EndOffsets::new(&target.bootstrap())?;
    let before = watcher.of(&keys).await?;
    ensure!(before.iter().all(|end| *end == 0), "the stuck partitions were not stuck: {before:?}");
    let gone = Instant::now();
    set_topic_configs(&target.bootstrap(), "beside.stuck", &[("min.insync.replicas", "1")]).await?;
    let expected = Expected { target: &target, topics: &["beside.stuck".to_owned()], ends: &[waiting] };
    let arrived = watch(&worker, &watcher, &expected).await?;
    worker.stop().await?;
    let after = |at: Instant| at.saturating_duration_since(gone).as_secs_f64();
    Ok(Stuck { alone, beside, kept: beside / alone, first: after(arrived.first), last: after(arrived.last) })
}

struct Frozen {
    moved: f64,
    resumed: f64,
}

/// A broker that stops answering, with its connections open, until the others have taken over.
async fn frozen(choices: &Choices) -> Result<Frozen> {
    const PARTITIONS: i32 = 12;
    let source = Cluster::builder().name("source").jvm(Jvm::full(512)).start().await?;
    let target = three("target").await?;
    create_topic(&source.bootstrap(), "steady", PARTITIONS, 1, &[]).await?;
    create_topic(&target.bootstrap(), "frozen.steady", PARTITIONS, 3, &[("min.insync.replicas", "2")]).await?;
    let worker = Worker::start(Contestant::Kmirror, &choices.kmirror, &target.bootstrap()).await?;
    let ends = Ends { source: &source, target: &target };
    worker.put_connector(&Value::Object(plain("frozen", "steady", ends, choices.tasks))).await?;
    let stream = testkit::Steady {
        rate: 1_000,
        records: 120_000,
        partitions: PARTITIONS,
        value_bytes: 500,
        codec: testkit::Codec::Lz4,
    };
    let bootstrap = source.bootstrap();
    let producing = tokio::spawn(async move { steady_produce(&bootstrap, "steady", stream).await });
    let keys: Vec<_> = (0..PARTITIONS).map(|p| ("frozen.steady".to_owned(), p)).collect();
    let watcher = EndOffsets::new(&target.bootstrap())?;
    wait_until("records in all partitions", DEADLINE, async || {
        let ends = watcher.of(&keys).await?;
        ensure!(ends.iter().all(|end| *end > 1_000), "{ends:?}");
        Ok(())
    })
    .await?;
    let address = target.bootstrap();
    let (frozen, others) = address.split_once(',').context("three brokers")?;
    let frozen_id = i32::try_from(target.broker_ids()[0])?;
    let leaders = async || {
        let placed = placements(others, "frozen.steady").await?;
        testkit::anyhow::Ok(placed.iter().map(|placed| placed.leader).collect::<Vec<_>>())
    };
    ensure!(!frozen.is_empty() && leaders().await?.contains(&frozen_id), "it leads nothing");
    target.sigstop(target.broker_ids()[0])?;
    let began = Instant::now();
    wait_until("new leaders", DEADLINE, async || {
        let leaders = leaders().await?;
        ensure!(!leaders.contains(&frozen_id) && !leaders.contains(&-1), "{leaders:?}");
        Ok(())
    })
    .await?;
    let moved = Instant::now();
    // Its cache names the frozen broker no more.
    let watcher = EndOffsets::new(others)?;
    let at_first = wait_until("the ends by the new leaders", DEADLINE, async || watcher.of(&keys).await).await?;
    wait_until("all partitions to go on", DEADLINE, async || {
        worker.check().await?;
        let ends = watcher.of(&keys).await?;
        let still = ends.iter().zip(&at_first).filter(|(end, first)| end <= first).count();
        ensure!(still == 0, "{still} of {PARTITIONS} partitions stand still");
        Ok(())
    })
    .await?;
    let resumed = moved.elapsed().as_secs_f64();
    target.sigcont(target.broker_ids()[0])?;
    producing.abort();
    worker.stop().await?;
    Ok(Frozen { moved: moved.duration_since(began).as_secs_f64(), resumed })
}

/// Records per second to a target near and far.
async fn distances(choices: &Choices, records: u64) -> Result<[f64; 2]> {
    let source = Cluster::builder().name("source").jvm(Jvm::full(1_024)).start().await?;
    let target = Cluster::builder().name("target").jvm(Jvm::full(1_024)).proxy_slots(2).start().await?;
    let filled = fill(&source, "far", records, HEALTHY_PARTITIONS).await?;
    let ends = Ends { source: &source, target: &target };
    let slots = target.slots();
    let mut speeds = [0.0; 2];
    for ((slot, by), (alias, speed)) in
        slots.iter().zip([Duration::ZERO, DELAY]).zip(["near", "far"].iter().zip(&mut speeds))
    {
        let _network = Delay::open(slot, by).await?;
        let worker = Worker::start(Contestant::Kmirror, &choices.kmirror, &delay::bootstrap(slot)).await?;
        let began = Instant::now();
        worker.put_connector(&Value::Object(plain(alias, "far", ends, choices.tasks))).await?;
        let watcher = EndOffsets::new(&target.bootstrap())?;
        let topics = &[format!("{alias}.far")];
        let expected = Expected { target: &target, topics, ends: std::slice::from_ref(&filled) };
        let arrived = watch(&worker, &watcher, &expected).await?;
        *speed = records as f64 / arrived.last.duration_since(began).as_secs_f64();
        worker.stop().await?;
    }
    Ok(speeds)
}
