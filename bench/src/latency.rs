//! How much later a record is with a consumer of the target than with one of the source.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{
    Codec, Steady,
    anyhow::{Context, Result},
    arrivals, create_topic, delete_topic, steady_produce, unique, wait_for_topic, wait_until,
};

use crate::{
    Choices,
    brokers::files_gone,
    contestants::{Contestant, Ends, plain},
    stats::{median, percentile},
    worker::Worker,
    workloads,
};

const PARTITIONS: i32 = 4;
const DEADLINE: Duration = Duration::from_secs(120);

/// 50th and 99th percentile and maximum, in ms.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// One contestant's latencies in one round, or the medians of some rounds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Latencies {
    /// From handing a record to the producer until the source's consumer had it.
    pub(crate) direct: Spread,
    /// The same for the target's consumer.
    pub(crate) mirrored: Spread,
    /// Record by record, how much later the target's consumer had it.
    pub(crate) added: Spread,
    /// CPU time of the mirror, as a share of one core.
    pub(crate) core: f64,
}

/// One contestant's run, from starting the program to stopping it, on a topic of its own.
pub(crate) async fn run(
    contestant: Contestant,
    round: u32,
    steady: &workloads::Steady,
    ends: Ends<'_>,
    choices: &Choices,
) -> Result<Latencies> {
    let (source, target) = (ends.source.bootstrap(), ends.target.bootstrap());
    let topic = unique("bench-latency");
    let alias = format!("{}{round}", contestant.word());
    let remote = format!("{alias}.{topic}");
    files_gone(ends).await?;
    create_topic(&source, &topic, PARTITIONS, 1, &[]).await?;
    let worker = Worker::start(contestant, &choices.kmirror, &target).await?;
    worker.put_connector(&Value::Object(plain(&alias, &topic, ends, choices.tasks))).await?;
    wait_until("the remote topic", DEADLINE, async || {
        worker.check().await?;
        wait_for_topic(&target, &remote, PARTITIONS).await
    })
    .await?;
    let warm_up = steady.rate * steady.warm_up.as_secs();
    let stream = Steady {
        rate: steady.rate,
        records: warm_up + steady.rate * steady.measured.as_secs(),
        partitions: PARTITIONS,
        value_bytes: 500,
        codec: Codec::Lz4,
    };
    let (before, began) = (worker.usage()?, Instant::now());
    let (sent, direct, mirrored) = tokio::try_join!(
        steady_produce(&source, &topic, stream),
        arrivals(&source, &topic, PARTITIONS, stream.records),
        arrivals(&target, &remote, PARTITIONS, stream.records),
    )
    .with_context(|| worker.log_tail())?;
    let core = (worker.usage()?.cpu_seconds - before.cpu_seconds) / began.elapsed().as_secs_f64();
    worker.stop().await?;
    delete_topic(&source, &topic).await?;
    delete_topic(&target, &remote).await?;
    let warm_up = usize::try_from(warm_up)?;
    let between = |from: &[Instant], to: &[Instant]| {
        let late = from.iter().zip(to).skip(warm_up);
        // A record can be with the target's consumer first where the source's was not scheduled in time.
        Spread::of(late.map(|(from, to)| to.saturating_duration_since(*from).as_secs_f64() * 1e3).collect())
    };
    let latencies = Latencies {
        direct: between(&sent, &direct),
        mirrored: between(&sent, &mirrored),
        added: between(&direct, &mirrored),
        core,
    };
    eprintln!(
        "{} round {round}, {}: added p50 {:.1} ms, p99 {:.1} ms",
        steady.name,
        contestant.title(),
        latencies.added.p50,
        latencies.added.p99
    );
    Ok(latencies)
}

impl Spread {
    fn of(mut milliseconds: Vec<f64>) -> Self {
        milliseconds.sort_by(f64::total_cmp);
        let at = |share| percentile(&milliseconds, share);
        Self { p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }

    fn medians(spreads: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(spreads.iter().map(figure));
        Self { p50: of(|s| s.p50), p99: of(|s| s.p99), max: of(|s| s.max) }
    }

    fn json(self) -> Value {
        json!({"p50_ms": self.p50, "p99_ms": self.p99, "max_ms": self.max})
    }
}

impl Latencies {
    /// The median of each figure by itself.
    pub(crate) fn medians(rounds: &[Self]) -> Self {
        let of = |spread: fn(&Self) -> Spread| Spread::medians(&rounds.iter().map(spread).collect::<Vec<_>>());
        Self {
            direct: of(|l| l.direct),
            mirrored: of(|l| l.mirrored),
            added: of(|l| l.added),
            core: median(rounds.iter().map(|l| l.core)),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "direct": self.direct.json(),
            "mirrored": self.mirrored.json(),
            "added": self.added.json(),
            "core": self.core,
        })
    }
}
