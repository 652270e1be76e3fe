//! Mirrors the same topic with kmirror and with real MirrorMaker 2, on the same brokers one after the other, and prints what each took.
//! Absolute times differ from machine to machine; the ratios are what counts.
#![expect(clippy::print_stdout, reason = "the table is the program's result")]

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Parser;
use serde_json::{Value, json};
use testkit::{
    Bulk, Cluster, Connect, Java, Jvm, Scratch,
    anyhow::{Context, Result, ensure},
    bulk_produce, create_topic, http,
    ports::Port,
    process::{Process, Program, Usage, usage},
    wait_until, watermarks,
};

/// Longest wait for a start or for a whole copy.
const DEADLINE: Duration = Duration::from_secs(1_800);
/// How often the target's end is looked at: also the error of the times measured.
const LOOK: Duration = Duration::from_millis(100);
/// How long the idle figures are taken over.
const IDLE: Duration = Duration::from_secs(10);

/// kmirror beside MirrorMaker 2 on the same brokers.
#[derive(Debug, Parser)]
struct Arguments {
    /// The kmirror program
    #[arg(long)]
    kmirror: PathBuf,
    /// JSON records of 500 bytes, compressed with LZ4 by their producer
    #[arg(long, default_value_t = 4_000_000)]
    records: u64,
    /// Partitions of the topic
    #[arg(long, default_value_t = 8)]
    partitions: i32,
    /// Tasks of the connector
    #[arg(long, default_value_t = 4)]
    tasks: u32,
    /// Leaves MirrorMaker 2 out
    #[arg(long)]
    only_kmirror: bool,
}

/// What one of the two took.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// From starting the program until its REST API answered.
    to_rest: Duration,
    /// From handing in the connector until the last record was in the target.
    copying: Duration,
    /// In that time.
    cpu_seconds: f64,
    /// Highest so far.
    peak_rss: u64,
    idle_rss: u64,
    /// Share of one core while there is nothing to copy.
    idle_core: f64,
}

/// The program under test, whichever it is.
struct Worker {
    url: String,
    pid: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let start = |name| Cluster::builder().name(name).jvm(Jvm::full(1_024)).start();
    let (source, target) = tokio::try_join!(start("source"), start("target"))?;
    let topic = "bench";
    create_topic(&source.bootstrap(), topic, arguments.partitions, 1, &[]).await?;
    let began = Instant::now();
    let bytes = bulk_produce(&source.bootstrap(), topic, &Bulk::new(arguments.records, arguments.partitions)).await?;
    println!(
        "{} records, {:.2} GB of values, produced in {:.1} s",
        arguments.records,
        gigabytes(bytes),
        began.elapsed().as_secs_f64()
    );

    let mut rows = vec![("kmirror", with_kmirror(&arguments, &source, &target, topic).await?)];
    if !arguments.only_kmirror {
        rows.push(("MirrorMaker 2", with_mirror_maker(&arguments, &source, &target, topic).await?));
    }
    print_table(&rows, arguments.records, bytes);
    Ok(())
}

async fn with_kmirror(arguments: &Arguments, source: &Cluster, target: &Cluster, topic: &str) -> Result<Taken> {
    let scratch = Scratch::new("bench-kmirror")?;
    let port = Port::reserve()?;
    let url = format!("http://{}", port.address());
    let properties = [
        ("bootstrap.servers", target.bootstrap()),
        ("group.id", "bench".to_owned()),
        ("listeners", url.clone()),
        ("key.converter", "org.apache.kafka.connect.converters.ByteArrayConverter".to_owned()),
        ("value.converter", "org.apache.kafka.connect.converters.ByteArrayConverter".to_owned()),
        ("config.storage.topic", "bench-configs".to_owned()),
        ("offset.storage.topic", "bench-offsets".to_owned()),
        ("status.storage.topic", "bench-status".to_owned()),
        ("config.storage.replication.factor", "-1".to_owned()),
        ("offset.storage.replication.factor", "-1".to_owned()),
        ("status.storage.replication.factor", "-1".to_owned()),
    ];
    let file = scratch.path().join("worker.properties");
    std::fs::write(&file, properties.iter().map(|(key, value)| format!("{key}={value}\n")).collect::<String>())?;
    let process = start_kmirror(&arguments.kmirror, &file, &scratch.path().join("kmirror.log"))?;
    let began = Instant::now();
    let worker = Worker { url, pid: process.pid() };
    let taken = measure(&worker, began, "kmirror", arguments, source, target, topic).await;
    let taken = taken.with_context(|| format!("end of kmirror's log:\n{}", process.log_tail(20)))?;
    process.stop(Duration::from_secs(30)).await?;
    Ok(taken)
}

fn start_kmirror(program: &Path, properties: &Path, log: &Path) -> Result<Process> {
    let command = [program.display().to_string(), "worker".to_owned(), properties.display().to_string()];
    Process::spawn(&Program::new("kmirror", log, command))
}

async fn with_mirror_maker(arguments: &Arguments, source: &Cluster, target: &Cluster, topic: &str) -> Result<Taken> {
    let java = Java::new(&testkit::kafka_version()).await?;
    let began = Instant::now();
    // As `connect-distributed.sh` starts it.
    let mut connect = Connect::start(&java, &target.bootstrap(), Jvm::full(2_048), &[]).await?;
    let worker = Worker { url: connect.url(), pid: connect.process()?.pid() };
    let taken = measure(&worker, began, "mm2", arguments, source, target, topic).await?;
    connect.stop().await?;
    Ok(taken)
}

/// `began`: when the program was started.
async fn measure(
    worker: &Worker,
    began: Instant,
    alias: &str,
    arguments: &Arguments,
    source: &Cluster,
    target: &Cluster,
    topic: &str,
) -> Result<Taken> {
    wait_until("the REST API", DEADLINE, async || http::request("GET", &format!("{}/", worker.url), None).await?.ok())
        .await?;
    let to_rest = began.elapsed();
    let path = format!("{}/connectors/bench/config", worker.url);
    let config = connector(alias, arguments, source, target, topic);
    let before = usage(worker.pid)?;
    let handed_in = Instant::now();
    wait_until("the connector to be taken", DEADLINE, async || http::request("PUT", &path, Some(&config)).await?.ok())
        .await?;
    let remote = format!("{alias}.{topic}");
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        // The remote topic does not exist at first.
        let copied =
            watermarks(&target.bootstrap(), &remote).await.map_or(0, |ends| ends.iter().map(|w| w.high).sum::<i64>());
        if u64::try_from(copied)? >= arguments.records {
            break;
        }
        ensure!(handed_in.elapsed() < DEADLINE, "{copied} of {} records after {DEADLINE:?}", arguments.records);
    }
    let copying = handed_in.elapsed();
    let after = usage(worker.pid)?;
    // What is done after the last record (positions, metrics) is not idling yet.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle_from = usage(worker.pid)?;
    tokio::time::sleep(IDLE).await;
    let idle_to = usage(worker.pid)?;
    Ok(taken(to_rest, copying, &[before, after, idle_from, idle_to]))
}

fn taken(to_rest: Duration, copying: Duration, [before, after, idle_from, idle_to]: &[Usage; 4]) -> Taken {
    Taken {
        to_rest,
        copying,
        cpu_seconds: after.cpu_seconds - before.cpu_seconds,
        peak_rss: after.max_rss_bytes,
        idle_rss: idle_to.rss_bytes,
        idle_core: (idle_to.cpu_seconds - idle_from.cpu_seconds) / IDLE.as_secs_f64(),
    }
}

fn connector(alias: &str, arguments: &Arguments, source: &Cluster, target: &Cluster, topic: &str) -> Value {
    json!({
        "name": "bench",
        "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
        "source.cluster.alias": alias,
        "target.cluster.alias": "target",
        "source.cluster.bootstrap.servers": source.bootstrap(),
        "target.cluster.bootstrap.servers": target.bootstrap(),
        "topics": topic,
        "tasks.max": arguments.tasks.to_string(),
        "replication.factor": "1",
        "offset-syncs.topic.replication.factor": "1",
        "key.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
        "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
    })
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn print_table(rows: &[(&str, Taken)], records: u64, bytes: u64) {
    println!(
        "\n| | seconds | records/s | CPU-seconds | CPU-s/GB | peak RSS MB | exec to REST s | idle RSS MB | idle, % of a core |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, taken) in rows {
        let seconds = taken.copying.as_secs_f64();
        println!(
            "| {name} | {seconds:.1} | {:.0} | {:.1} | {:.2} | {:.0} | {:.2} | {:.0} | {:.1} |",
            records as f64 / seconds,
            taken.cpu_seconds,
            taken.cpu_seconds / gigabytes(bytes),
            megabytes(taken.peak_rss),
            taken.to_rest.as_secs_f64(),
            megabytes(taken.idle_rss),
            taken.idle_core * 100.0,
        );
    }
    if let [(_, ours), (_, theirs)] = rows {
        println!(
            "| ratio | {:.1}× as fast | | 1/{:.0} | | 1/{:.0} | | 1/{:.0} | |",
            theirs.copying.as_secs_f64() / ours.copying.as_secs_f64(),
            theirs.cpu_seconds / ours.cpu_seconds.max(0.01),
            megabytes(theirs.peak_rss) / megabytes(ours.peak_rss).max(1.0),
            megabytes(theirs.idle_rss) / megabytes(ours.idle_rss).max(1.0),
        );
    }
}
