//! What `test.sh` and `demo.sh` need of the kit.

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use testkit::{
    Bulk, Codec, RecordView, archive_classes, bulk_produce, create_topic, exercise, fetch_jars, read_all, watermarks,
};

const USAGE: &str = "\
usage: testkit-tool COMMAND
  fetch-jars VERSION…                               puts the jars of Kafka versions into the cache
  archive-classes VERSION…                          so that Kafka's programs start with less work
  exercise VERSION                                  starts what tests start, once: archive-classes looks on
  create-topic BOOTSTRAP TOPIC PARTITIONS           with replication factor 1
  produce BOOTSTRAP TOPIC PARTITIONS RECORDS CODEC  JSON records of 500 bytes; CODEC is none, gzip, snappy, lz4 or zstd
  offsets BOOTSTRAP TOPIC                           a line for each partition: number, log start, high watermark
  latest BOOTSTRAP TOPIC                            a line for each key: key, tab, last value; deleted ones are left out
  compare BOOTSTRAP TOPIC BOOTSTRAP TOPIC           whether both hold the same records in the same order, by partition";

/// Wrong usage (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        ["fetch-jars", ref versions @ ..] if !versions.is_empty() => fetch(versions),
        ["archive-classes", ref versions @ ..] if !versions.is_empty() => archive(versions),
        ["exercise", version] => exercise(version).await,
        ["create-topic", bootstrap, topic, partitions] => create(bootstrap, topic, partitions).await,
        ["produce", bootstrap, topic, partitions, records, codec] => {
            produce(bootstrap, topic, partitions, records, codec).await
        }
        ["offsets", bootstrap, topic] => offsets(bootstrap, topic).await,
        ["latest", bootstrap, topic] => latest(bootstrap, topic).await,
        ["compare", source, source_topic, target, target_topic] => {
            compare((source, source_topic), (target, target_topic)).await
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testkit-tool {}: {error:#}", args.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn fetch(versions: &[&str]) -> Result<()> {
    versions.iter().try_for_each(|version| {
        let jars = fetch_jars(version)?;
        Ok(writeln!(stdout(), "Kafka {version}: {}", jars.display())?)
    })
}

fn archive(versions: &[&str]) -> Result<()> {
    versions.iter().try_for_each(|version| {
        let archive = archive_classes(version, &["exercise", version])?;
        Ok(writeln!(stdout(), "Kafka {version}: {}", archive.display())?)
    })
}

async fn create(bootstrap: &str, topic: &str, partitions: &str) -> Result<()> {
    create_topic(bootstrap, topic, number(partitions, "PARTITIONS")?, 1, &[]).await
}

async fn produce(bootstrap: &str, topic: &str, partitions: &str, records: &str, codec: &str) -> Result<()> {
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    let codec = codecs.into_iter().find(|known| known.name() == codec);
    let codec = codec.context("CODEC: want none, gzip, snappy, lz4 or zstd")?;
    let bulk = Bulk::new(number(records, "RECORDS")?, number(partitions, "PARTITIONS")?);
    bulk_produce(bootstrap, topic, &Bulk { codec, ..bulk }).await?;
    Ok(())
}

async fn offsets(bootstrap: &str, topic: &str) -> Result<()> {
    for (partition, ends) in watermarks(bootstrap, topic).await?.into_iter().enumerate() {
        writeln!(stdout(), "{partition} {} {}", ends.low, ends.high)?;
    }
    Ok(())
}

async fn latest(bootstrap: &str, topic: &str) -> Result<()> {
    let mut last = BTreeMap::new();
    for record in read_all(bootstrap, topic).await?.into_iter().flatten() {
        last.insert(record.key, record.value);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for (key, value) in last {
        if let (Some(key), Some(value)) = (key, value) {
            writeln!(stdout(), "{}\t{}", text(&key), text(&value))?;
        }
    }
    Ok(())
}

async fn compare(source: (&str, &str), target: (&str, &str)) -> Result<()> {
    let (sent, copied) = (read_all(source.0, source.1).await?, read_all(target.0, target.1).await?);
    ensure!(sent.len() == copied.len(), "{} partitions and {}", sent.len(), copied.len());
    let mut records = 0;
    for (partition, (sent, copied)) in sent.iter().zip(&copied).enumerate() {
        // Offsets may differ: a target that held records before begins elsewhere.
        let content = |r: &RecordView| (r.key.clone(), r.value.clone(), r.headers.clone(), r.timestamp);
        let differing = sent.iter().zip(copied).find(|(a, b)| content(a) != content(b));
        if let Some((a, b)) = differing {
            bail!("partition {partition}: source offset {} and target offset {} differ", a.offset, b.offset);
        }
        ensure!(
            sent.len() == copied.len(),
            "partition {partition}: {} records and {}, the same as far as both go",
            sent.len(),
            copied.len()
        );
        records += sent.len();
    }
    ensure!(records > 0, "there are no records to compare");
    writeln!(stdout(), "{records} records are the same in key, value, headers, timestamp and order")?;
    Ok(())
}

fn number<T: std::str::FromStr>(text: &str, what: &str) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().with_context(|| format!("{what} {text:?}"))
}
