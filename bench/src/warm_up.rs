//! Copies that nobody measures, until the brokers have compiled what a copy needs of them: whoever comes first would else share the
//! cores with their compilers, and get its answers from code that is still interpreted.

use std::{
    fs, mem,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;
use testkit::{
    Bulk, Codec, EndOffsets,
    anyhow::{Context, Result},
    bulk_produce, create_topic, delete_topics,
    process::usage,
};

use crate::{
    Choices,
    contestants::{Contestant, Ends, plain},
    progress::{Expected, watch},
    worker::Worker,
};

/// Brokers are warm when their compilers take less than this part of the CPU time they need for a pass.
const WARM: f64 = 0.1;
/// They are given up on after this time.
const LONGEST: Duration = Duration::from_secs(90);
const PARTITIONS: i32 = 8;
/// Name, codec, bytes of a value and of a batch, records. Brokers look into compressed batches, which is another path for each codec;
/// small batches bring the most requests per byte.
const KINDS: [(&str, Codec, usize, usize, u64); 6] = [
    ("small", Codec::None, 100, 1_024, 400_000),
    ("middle", Codec::None, 100, 16_384, 800_000),
    ("large", Codec::None, 1_000, 262_144, 300_000),
    ("lz4", Codec::Lz4, 500, 262_144, 400_000),
    ("zstd", Codec::Zstd, 500, 262_144, 200_000),
    ("gzip", Codec::Gzip, 500, 262_144, 100_000),
];

/// Mirrors the same topics with kmirror again and again, from source to target. It is the one that asks most of the brokers per second.
pub(crate) async fn warm_up(ends: Ends<'_>, choices: &Choices) -> Result<()> {
    let (source, target) = (ends.source.bootstrap(), ends.target.bootstrap());
    let began = Instant::now();
    let topics = KINDS.map(|(name, ..)| format!("warm-up-{name}"));
    for (topic, (_, codec, value_bytes, batch_bytes, records)) in topics.iter().zip(KINDS) {
        create_topic(&source, topic, PARTITIONS, 1, &[]).await?;
        let bulk = Bulk { codec, value_bytes, batch_bytes, ..Bulk::new(records, PARTITIONS) };
        bulk_produce(&source, topic, &bulk).await?;
    }
    let keys: Vec<_> = topics.iter().flat_map(|topic| (0..PARTITIONS).map(|p| (topic.clone(), p))).collect();
    let flat = EndOffsets::new(&source)?.of(&keys).await?;
    let filled: Vec<_> = flat.chunks(usize::try_from(PARTITIONS)?).map(<[i64]>::to_vec).collect();
    let watcher = EndOffsets::new(&target)?;
    let worker = Worker::start(Contestant::Kmirror, &choices.kmirror, &target).await?;
    let mut copies = Vec::new();
    for pass in 1.. {
        let (before, at) = (Compiled::by(ends)?, Instant::now());
        let alias = format!("warm{pass}");
        worker.put_connector(&Value::Object(plain(&alias, "warm-up-.*", ends, choices.tasks))).await?;
        let remote: Vec<_> = topics.iter().map(|topic| format!("{alias}.{topic}")).collect();
        watch(&worker, &watcher, &Expected { target: ends.target, topics: &remote, ends: &filled }).await?;
        // Nobody writes to the copy of the pass before any more.
        delete_topics(&target, &mem::replace(&mut copies, remote)).await?;
        let share = Compiled::by(ends)?.share_since(&before);
        eprintln!(
            "warm-up pass {pass}: {:.1} s, compilers took {:.1} % of the brokers' CPU time",
            at.elapsed().as_secs_f64(),
            share * 100.0
        );
        if share < WARM {
            break;
        }
        if began.elapsed() > LONGEST {
            eprintln!("the brokers still compile after {:.0} s", began.elapsed().as_secs_f64());
            break;
        }
    }
    worker.stop().await?;
    delete_topics(&target, &copies).await?;
    delete_topics(&source, &topics).await
}

/// CPU time of all brokers, in s.
struct Compiled {
    compilers: f64,
    all: f64,
}

impl Compiled {
    fn by(ends: Ends<'_>) -> Result<Self> {
        let mut sum = Self { compilers: 0.0, all: 0.0 };
        for cluster in [ends.source, ends.target] {
            for broker in cluster.broker_ids() {
                let pid = cluster.pid(broker)?;
                sum.all += usage(pid)?.cpu_seconds;
                sum.compilers += compilers(Path::new(&format!("/proc/{pid}/task")))?;
            }
        }
        Ok(sum)
    }

    /// The compilers' part of what was used since then.
    fn share_since(&self, before: &Self) -> f64 {
        // A compiler thread that has ended takes its time along.
        let compilers = (self.compilers - before.compilers).max(0.0);
        compilers / (self.all - before.all).max(0.01)
    }
}

/// CPU time of a Java machine's compiler threads, in s.
fn compilers(threads: &Path) -> Result<f64> {
    const USER_HZ: f64 = 100.0;
    let mut ticks = 0;
    for thread in fs::read_dir(threads).with_context(|| threads.display().to_string())? {
        // One that ends meanwhile is none.
        let Ok(stat) = fs::read_to_string(thread?.path().join("stat")) else { continue };
        ticks += compiler_ticks(&stat).unwrap_or(0);
    }
    Ok(ticks as f64 / USER_HZ)
}

/// User and system time (fields 14 and 15 of proc_stat(5)) where the thread is a compiler: the kernel cuts names after 15 bytes.
fn compiler_ticks(stat: &str) -> Option<u64> {
    let (name, fields) = stat.split_once('(')?.1.rsplit_once(')')?;
    if !name.starts_with("C1 Compiler") && !name.starts_with("C2 Compiler") {
        return None;
    }
    let mut times = fields.split_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    Some(times.next()?? + times.next()??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_compilers_are_counted() {
        let stat = |name: &str| format!("4711 ({name}) S 1 2 3 4 5 6 7 8 9 10 300 45 13 14 20 0");
        assert_eq!(compiler_ticks(&stat("C2 CompilerThre")), Some(345));
        assert_eq!(compiler_ticks(&stat("C1 CompilerThre")), Some(345));
        assert_eq!(compiler_ticks(&stat("data-plane (C2)")), None);
        assert_eq!(compiler_ticks("4711 (C2 CompilerThre) S 1"), None);
    }

    #[test]
    fn the_share_is_of_the_time_between() {
        let at = |compilers, all| Compiled { compilers, all };
        assert_eq!(at(15.0, 120.0).share_since(&at(10.0, 100.0)), 0.25);
        assert_eq!(at(9.0, 120.0).share_since(&at(10.0, 100.0)), 0.0);
    }
}
