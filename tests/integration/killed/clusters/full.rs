//! What the long series share. Each prints what it found in one line.
//!
//! `KMIRROR_SEED` gives what is random once more; `KMIRROR_KILLS` and `KMIRROR_TROUBLE_SECONDS` make a series shorter.

mod frozen;
mod late;
mod random;
mod trouble;

use std::env;

use ::testkit::{
    Cluster, Load,
    anyhow::{Context, Result, ensure},
    create_topic, unique,
};
use serde_json::Value;

use crate::{
    killed::{
        a_year_ago,
        ledger::{Figures, arrived},
    },
    kmirror::{Builder, DEADLINE, Kmirror},
    worker::{Copy, connector, remote},
};

const PARTITIONS: i32 = 4;

/// Three brokers, behind a proxy for who wants it.
async fn three(name: &str, properties: &[(&str, &str)]) -> Result<Cluster> {
    let builder = Cluster::builder().name(name).brokers(3).property("min.insync.replicas", "2").proxied();
    properties.iter().fold(builder, |builder, (key, value)| builder.property(key, value)).start().await
}

/// A worker whose topics have three replicas.
fn worker(bootstrap: &str) -> Builder {
    ["config", "offset", "status"].iter().fold(Kmirror::on(bootstrap), |worker, kind| {
        worker.property(&format!("{kind}.storage.replication.factor"), "3")
    })
}

/// A connector whose topics have three replicas; later pairs win.
fn mirror(source: &str, target: &str, topics: &[String], more: &[(&str, &str)]) -> Value {
    let replicated = [("replication.factor", "3"), ("offset-syncs.topic.replication.factor", "3")];
    connector(source, target, &topics.join(","), &[&replicated, more].concat())
}

/// The time of records, which decides for how long a broker remembers their producer.
#[derive(Debug, Clone, Copy)]
enum Times {
    Now,
    AYearAgo,
    /// Some of the one, then some of the other, and so on.
    InTurns,
}

const TIMES: [Times; 3] = [Times::Now, Times::AYearAgo, Times::InTurns];

/// Topics of the source that get records of new times, of old ones, and of both, for as long as this lives.
struct Loaded {
    prefix: String,
    topics: Vec<String>,
    loads: Vec<Load>,
}

impl Loaded {
    async fn start(source: &str, name: &str, per_second: u64) -> Result<Self> {
        let prefix = unique(name);
        let old = a_year_ago()?;
        let (mut topics, mut loads) = (Vec::new(), Vec::new());
        for times in TIMES {
            let topic = format!("{prefix}-{times:?}");
            create_topic(source, &topic, PARTITIONS, 3, &[("retention.ms", "-1")]).await?;
            let time = move |number: u64| match times {
                Times::Now => None,
                Times::AYearAgo => Some(old),
                Times::InTurns => (number / 2_000).is_multiple_of(2).then_some(old),
            };
            loads.push(Load::start_with_times(source, &topic, PARTITIONS, per_second, 200, time));
            topics.push(topic);
        }
        Ok(Self { prefix, topics, loads })
    }

    /// Ends the load, and gives the figures of all topics together when all has arrived.
    async fn figures(self, source: &str, target: &str, worker: &Kmirror) -> Result<Figures> {
        for load in self.loads {
            load.stop().await?;
        }
        figures(source, target, &self.topics, worker).await
    }
}

/// The figures of these topics together, when all that the source has has arrived.
async fn figures(source: &str, target: &str, topics: &[String], worker: &Kmirror) -> Result<Figures> {
    let remotes: Vec<_> = topics.iter().map(|topic| remote(topic)).collect();
    let copies: Vec<_> =
        topics.iter().zip(&remotes).map(|(topic, remote)| Copy { source, topic, target, remote }).collect();
    arrived(&copies, worker).await?;
    // Where some are doubled, there may be as many as in the source before all are there.
    worker
        .until("the last records", DEADLINE, async || {
            let mut sum = Figures::default();
            for copy in &copies {
                sum += Figures::read(copy).await?;
            }
            ensure!(sum.missing == 0, "{sum}");
            Ok(sum)
        })
        .await
}

/// A number from the environment, or this one.
fn number_from(key: &str, otherwise: u64) -> Result<u64> {
    match env::var(key) {
        Ok(text) => text.parse().with_context(|| format!("{key}={text}: want a number")),
        Err(_) => Ok(otherwise),
    }
}
