//! The same data over more and more partitions: what kmirror's speed and memory do.

use std::fmt::Write as _;

use serde_json::{Value, json};
use testkit::{Codec, anyhow::Result};

use crate::{
    Choices,
    brokers::Brokers,
    contestants::Contestant,
    copying::{self, Taken},
    report::{Section, verdict},
    workloads::{Connector, Copy, Goals, Shape},
};

/// Names and partitions; ten partitions a topic.
const STEPS: [(&str, usize); 4] =
    [("scale-10", 10), ("scale-100", 100), ("scale-1000", 1_000), ("scale-10000", 10_000)];
/// Enough for a broker of 10,000 partitions.
const HEAP_MB: u32 = 2_048;
const RECORDS: u64 = 2_000_000;
/// Of each topic.
const PARTITIONS: i32 = 10;

/// Copies the data of each step once. With `quick` the last step is left out.
pub(crate) async fn run(choices: &Choices, quick: bool) -> Result<Section> {
    let mut table = format!(
        "### scale: {RECORDS} JSON records of 500 B in LZ4 over more and more partitions, {} tasks\n\n\
         | partitions | mean batch, kB | all created, s | all copied, s | records/s | CPU-s per GB | peak RSS, MB | idle \
         RSS, MB | idle, % of a core |\n|---|---|---|---|---|---|---|---|---|\n",
        choices.tasks
    );
    let (mut steps, mut verdicts) = (Vec::new(), Vec::new());
    for (name, partitions) in STEPS.into_iter().take(if quick { STEPS.len() - 1 } else { STEPS.len() }) {
        let copy = copy(name, partitions);
        // New ones for each step: deleting thousands of partitions goes on for long after it was asked for.
        let brokers = Brokers::start(HEAP_MB, &[], choices).await?;
        let data = copying::produce(&copy, brokers.ends()).await?;
        let run = copying::run(Contestant::Kmirror, 1, &copy, &data, brokers.ends(), choices).await;
        match run {
            Ok(taken) => {
                table += &row(partitions, &copy, &data, &taken);
                steps.push((partitions, taken));
            }
            // A size that is too much is a result as well.
            Err(error) => {
                eprintln!("{name}: {error:#}");
                let _ = writeln!(table, "| {partitions} | failed | | | | | | | |");
                verdicts.push(verdict("scale", &format!("{partitions} partitions"), false, "failed", "all copied"));
            }
        }
    }
    let json: Value =
        steps.iter().map(|(partitions, taken)| json!({"partitions": partitions, "taken": taken.json()})).collect();
    Ok(Section { table, verdicts, json, overview: None })
}

fn copy(name: &'static str, partitions: usize) -> Copy {
    Copy {
        name,
        title: "",
        records: RECORDS,
        topics: partitions / PARTITIONS as usize,
        partitions: PARTITIONS,
        value_bytes: 500,
        codec: Codec::Lz4,
        batch_bytes: 256 * 1024,
        full_batches: false,
        shape: Shape::Plain,
        connector: Connector::Pattern,
        idle: true,
        keep: true,
        goals: Goals::default(),
    }
}

fn row(partitions: usize, copy: &Copy, data: &copying::Data, taken: &Taken) -> String {
    format!(
        "| {partitions} | {:.1} | {:.2} | {:.2} | {:.0} | {:.2} | {:.0} | {:.0} | {:.2} |\n",
        data.stored.batch_bytes() / 1e3,
        taken.created,
        taken.copying,
        copy.records as f64 / taken.copying,
        taken.cpu / (data.bytes as f64 / 1e9),
        taken.peak_rss / 1e6,
        taken.idle_rss.unwrap_or_default() / 1e6,
        taken.idle_core.unwrap_or_default() * 100.0,
    )
}
