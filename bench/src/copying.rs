//! Copies of data that is there: produced once, mirrored by each contestant in each round.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{
    EndOffsets,
    anyhow::{Context, Result, ensure},
    bulk_produce_over, create_topic, create_topics, delete_topics,
    process::Usage,
};

use crate::{
    Choices,
    brokers::files_gone,
    contents::Contents,
    contestants::{Contestant, Ends, connector},
    machine::Moment,
    progress::{Expected, Stored, stored, watch},
    shaped,
    stats::median,
    worker::Worker,
    workloads::{Connector, Copy, Shape},
};

/// Positions, metrics and the like are still to be written when the last record has arrived.
const SETTLE: Duration = Duration::from_secs(3);
/// How long the idle figures are taken over.
const IDLE: Duration = Duration::from_secs(20);

/// A workload's data on the source.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    pub(crate) topics: Vec<String>,
    /// How many records are to arrive.
    pub(crate) records: u64,
    /// Bytes of their keys and values, uncompressed.
    pub(crate) bytes: u64,
    pub(crate) stored: Stored,
    /// How many records each partition of each remote topic is to have.
    pub(crate) ends: Vec<Vec<i64>>,
    /// What each remote topic is to hold; of none where the numbers say enough.
    pub(crate) contents: Vec<Contents>,
}

/// What one contestant took in one round, or the medians of some rounds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    /// From handing in the connector until the last record was in the target, in s.
    pub(crate) copying: f64,
    /// From handing in the connector until the first record was in the target, in s.
    pub(crate) first: f64,
    /// From handing in the connector until all remote topics were there, in s.
    pub(crate) created: f64,
    /// From starting the program until its REST API answered, in s.
    pub(crate) to_rest: f64,
    /// From starting the program until the first record was in the target, in s.
    pub(crate) to_first: f64,
    /// While copying, in s.
    pub(crate) cpu: f64,
    /// In bytes, since the start.
    pub(crate) peak_rss: f64,
    /// In bytes, of the target's segments.
    pub(crate) target_bytes: f64,
    /// Cores that processes used which have no part in it, while copying.
    pub(crate) others: f64,
    /// In bytes, while there is nothing to copy.
    pub(crate) idle_rss: Option<f64>,
    /// Share of a core while there is nothing to copy.
    pub(crate) idle_core: Option<f64>,
}

/// Produces a workload's data.
pub(crate) async fn produce(copy: &Copy, ends: Ends<'_>) -> Result<Data> {
    let began = Instant::now();
    let topics = copy.topic_names();
    let data = match copy.shape {
        Shape::Plain => plain(copy, ends, topics).await?,
        _ => made(copy, ends, topics).await?,
    };
    let mean = data.stored.batch_bytes();
    let full = copy.batch_bytes as f64;
    ensure!(
        !copy.full_batches || (full * 0.75..full * 1.1).contains(&mean),
        "the source's batches have {mean:.0} bytes on average, wanted are {full:.0}"
    );
    eprintln!(
        "{}: {} of {} records, {:.2} GB, stored as {:.2} GB in {} batches of {mean:.0} bytes, {} with gaps, made in {:.1} s",
        copy.name,
        data.records,
        data.stored.records,
        data.bytes as f64 / 1e9,
        data.stored.bytes as f64 / 1e9,
        data.stored.batches,
        data.stored.gapped,
        began.elapsed().as_secs_f64()
    );
    Ok(data)
}

async fn plain(copy: &Copy, ends: Ends<'_>, topics: Vec<String>) -> Result<Data> {
    let bootstrap = ends.source.bootstrap();
    create_topics(&bootstrap, &topics, copy.partitions).await?;
    let produced = bulk_produce_over(&bootstrap, &topics, &copy.bulk()).await?;
    let stored = stored(ends.source, &topics, copy.partitions).await?;
    ensure!(stored.records == copy.records, "the source has {} of {} records", stored.records, copy.records);
    let keys: Vec<_> = topics.iter().flat_map(|topic| (0..copy.partitions).map(|p| (topic.clone(), p))).collect();
    let flat = EndOffsets::new(&bootstrap)?.of(&keys).await?;
    let ends = flat.chunks(usize::try_from(copy.partitions)?).map(<[i64]>::to_vec).collect();
    let mut contents = Vec::new();
    if copy.connector == Connector::Routed {
        for topic in &topics {
            contents.push(Contents::expected(&bootstrap, topic, copy.shape).await?);
        }
    }
    let bytes = produced.key_bytes + produced.value_bytes;
    Ok(Data { topics, records: stored.records, bytes, stored, ends, contents })
}

/// What is to arrive is read from the source, and has as many records as were meant to be there.
async fn made(copy: &Copy, ends: Ends<'_>, topics: Vec<String>) -> Result<Data> {
    let (mut arriving, mut contents) = (Vec::new(), Vec::new());
    for topic in &topics {
        let wanted = shaped::make(copy, ends.source, topic).await?;
        let found = Contents::expected(&ends.source.bootstrap(), topic, copy.shape).await?;
        let records = found.records();
        ensure!(records == wanted, "{topic} has {records:?} records, {wanted:?} were meant to be there");
        arriving.push(records.into_iter().map(i64::try_from).collect::<Result<Vec<_>, _>>()?);
        contents.push(found);
    }
    let stored = stored(ends.source, &topics, copy.partitions).await?;
    Ok(Data {
        topics,
        records: contents.iter().flat_map(Contents::records).sum(),
        bytes: contents.iter().map(|contents| contents.bytes).sum(),
        stored,
        ends: arriving,
        contents,
    })
}

/// One contestant's copy, from starting the program to stopping it. The copy is removed.
pub(crate) async fn run(
    contestant: Contestant,
    round: u32,
    copy: &Copy,
    data: &Data,
    ends: Ends<'_>,
    choices: &Choices,
) -> Result<Taken> {
    let target = ends.target.bootstrap();
    let alias = format!("{}{round}", contestant.word());
    let (config, remote) = connector(contestant, copy, &alias, ends, choices.tasks, &choices.tuning)?;
    files_gone(ends).await?;
    if copy.connector == Connector::Routed {
        // A Connect worker makes topics only where a mirror would not have put the records.
        for topic in &remote {
            create_topic(&target, topic, copy.partitions, 1, &[]).await?;
        }
    }
    let watcher = EndOffsets::new(&target)?;
    let worker = Worker::start(contestant, &choices.kmirror, &target).await?;
    let (before, machine) = (worker.usage()?, Moment::now(worker.pid, ends)?);
    let handed_in = Instant::now();
    worker.put_connector(&config).await.with_context(|| worker.log_tail())?;
    let expected = Expected { target: ends.target, topics: &remote, ends: &data.ends };
    let arrived = watch(&worker, &watcher, &expected).await?;
    let after = worker.usage()?;
    let others = machine.others_until(&Moment::now(worker.pid, ends)?);
    let stored = stored(ends.target, &remote, copy.partitions).await?;
    ensure!(stored.records == data.records, "the target has {} of {} records", stored.records, data.records);
    let mut taken = Taken {
        copying: arrived.last.duration_since(handed_in).as_secs_f64(),
        first: arrived.first.duration_since(handed_in).as_secs_f64(),
        created: arrived.created.duration_since(handed_in).as_secs_f64(),
        to_rest: worker.to_rest.as_secs_f64(),
        to_first: arrived.first.duration_since(worker.began).as_secs_f64(),
        cpu: after.cpu_seconds - before.cpu_seconds,
        peak_rss: after.max_rss_bytes as f64,
        target_bytes: stored.bytes as f64,
        others,
        idle_rss: None,
        idle_core: None,
    };
    if copy.idle {
        let (rss, core) = idle(&worker).await?;
        (taken.idle_rss, taken.idle_core) = (Some(rss), Some(core));
    }
    worker.stop().await?;
    for (topic, wanted) in remote.iter().zip(&data.contents) {
        Contents::found(&target, topic).await?.ensure_equal(wanted).with_context(|| topic.clone())?;
    }
    if !copy.keep {
        remove(data, &target).await?;
    }
    eprintln!(
        "{} round {round}, {}: {:.2} s, {:.1} CPU-s, {:.0} MB; others used {others:.2} cores",
        copy.name,
        contestant.title(),
        taken.copying,
        taken.cpu,
        taken.peak_rss / 1e6
    );
    Ok(taken)
}

/// Removes all copies of the data, also those that nobody has finished.
pub(crate) async fn remove(data: &Data, target: &str) -> Result<()> {
    let mut all: Vec<_> = EndOffsets::new(target)?.led_partitions().await?.into_keys().collect();
    all.retain(|topic| data.topics.iter().any(|of| topic.ends_with(of)));
    delete_topics(target, &all).await
}

async fn idle(worker: &Worker) -> Result<(f64, f64)> {
    tokio::time::sleep(SETTLE).await;
    let (from, began): (Usage, _) = (worker.usage()?, Instant::now());
    tokio::time::sleep(IDLE).await;
    let to = worker.usage()?;
    Ok((to.rss_bytes as f64, (to.cpu_seconds - from.cpu_seconds) / began.elapsed().as_secs_f64()))
}

impl Taken {
    /// The median of each figure by itself.
    pub(crate) fn medians(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(rounds.iter().map(figure));
        let some = |figure: fn(&Self) -> Option<f64>| {
            let all: Vec<_> = rounds.iter().filter_map(figure).collect();
            (!all.is_empty()).then(|| median(all))
        };
        Self {
            copying: of(|t| t.copying),
            first: of(|t| t.first),
            created: of(|t| t.created),
            to_rest: of(|t| t.to_rest),
            to_first: of(|t| t.to_first),
            cpu: of(|t| t.cpu),
            peak_rss: of(|t| t.peak_rss),
            target_bytes: of(|t| t.target_bytes),
            others: of(|t| t.others),
            idle_rss: some(|t| t.idle_rss),
            idle_core: some(|t| t.idle_core),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "copying_s": self.copying,
            "first_record_s": self.first,
            "all_created_s": self.created,
            "exec_to_rest_s": self.to_rest,
            "exec_to_first_record_s": self.to_first,
            "cpu_s": self.cpu,
            "peak_rss_bytes": self.peak_rss,
            "target_bytes": self.target_bytes,
            "cores_used_by_others": self.others,
            "idle_rss_bytes": self.idle_rss,
            "idle_core": self.idle_core,
        })
    }
}
