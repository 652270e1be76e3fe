//! All troubles at once for ten minutes: answers that are lost, brokers that die, go and come back, coordinators that move, and producers that
//! the target's brokers forget.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ::testkit::{
    Cluster,
    anyhow::{Context, Result, ensure},
    placements,
    proxy::{Direction, Rule, api_key::PRODUCE},
    unique, wait_until, watermarks,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Loaded, mirror, number_from, three, worker};
use crate::worker::remote;

const SECONDS: u64 = 600;
/// Records a second in each topic.
const RATE: u64 = 400;
/// Of the answers to Produce requests.
const LOST: f64 = 0.05;
/// A broker that starts, on a machine that has much to do, and its replicas until they are in sync.
const BACK_DEADLINE: Duration = Duration::from_secs(240);
/// Partitions of `__consumer_offsets` in the kit's clusters.
const OFFSETS_PARTITIONS: i32 = 4;

/// One end of the copy.
struct End<'a> {
    cluster: &'a Cluster,
    name: &'static str,
    copied: Vec<String>,
    /// What else a worker needs of it: topic and partition.
    needed: Vec<(String, usize)>,
}

impl End<'_> {
    async fn leader(&self, topic: &str, partition: usize) -> Result<u32> {
        let placed = placements(&self.cluster.bootstrap(), topic).await?;
        let leader = placed.get(partition).with_context(|| format!("{topic} has no partition {partition}"))?.leader;
        u32::try_from(leader).with_context(|| format!("{topic}-{partition} has no leader"))
    }

    async fn wait_in_sync(&self) -> Result<()> {
        let topics = self.copied.iter().chain(self.needed.iter().map(|(topic, _)| topic));
        wait_until(&format!("all replicas of the {} in sync", self.name), BACK_DEADLINE, async || {
            for topic in topics.clone() {
                for placed in placements(&self.cluster.bootstrap(), topic).await? {
                    ensure!(placed.leader >= 0 && placed.in_sync.len() == 3, "{topic}: {placed:?}");
                }
            }
            Ok(())
        })
        .await
    }

    /// One broker goes at a time, and is back before the next one does.
    async fn restart(&self, broker: u32, killed: bool) -> Result<()> {
        if killed {
            self.cluster.kill9(broker)?;
        } else {
            self.cluster.stop(broker).await?;
        }
        self.cluster.restart(broker).await?;
        self.wait_in_sync().await
    }

    /// One trouble after the other until this moment; gives how many of which kind there were.
    async fn trouble(&self, until: Instant, mut random: StdRng) -> Result<BTreeMap<&'static str, u32>> {
        let mut done = BTreeMap::new();
        self.wait_in_sync().await?;
        while Instant::now() < until {
            let kind = match random.random_range(0..3) {
                0 if !self.needed.is_empty() => {
                    let (topic, partition) = &self.needed[random.random_range(0..self.needed.len())];
                    self.restart(self.leader(topic, *partition).await?, random.random()).await?;
                    "coordinators and stores restarted"
                }
                1 => {
                    for broker in self.cluster.broker_ids() {
                        self.restart(broker, false).await?;
                    }
                    "rolling restarts"
                }
                _ => {
                    let topic = &self.copied[random.random_range(0..self.copied.len())];
                    self.restart(self.leader(topic, 0).await?, true).await?;
                    "leaders killed"
                }
            };
            *done.entry(kind).or_default() += 1;
        }
        Ok(done)
    }
}

/// Where a group's offsets are: `Utils.abs(groupId.hashCode()) % partitions` of Kafka's GroupCoordinatorService.
fn group_partition(group: &str) -> usize {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    usize::try_from(hash.saturating_abs() % OFFSETS_PARTITIONS).unwrap_or(0)
}

#[tokio::test]
async fn ten_minutes_of_trouble_lose_and_double_nothing() -> Result<()> {
    let time = Duration::from_secs(number_from("KMIRROR_TROUBLE_SECONDS", SECONDS)?);
    let seed = number_from("KMIRROR_SEED", rand::random())?;
    eprintln!("{} s of trouble: KMIRROR_SEED={seed}", time.as_secs());
    // The target forgets each producer as soon as its last records are old.
    let forgetful = [("producer.id.expiration.check.interval.ms", "200")];
    let (source, target) = tokio::try_join!(three("source", &[]), three("target", &forgetful))?;
    let (from, to, proxy) = (source.bootstrap(), target.bootstrap(), target.proxy()?);
    let loaded = Loaded::start(&from, "trouble", RATE).await?;
    let group = unique("trouble");
    let stores =
        ["config", "offset", "status"].map(|kind| (format!("{kind}.storage.topic"), format!("{group}-{kind}")));
    let mut worker = stores
        .iter()
        .fold(worker(&proxy.bootstrap()).property("group.id", &group), |worker, (key, topic)| {
            worker.property(key, topic)
        })
        .start()
        .await?;
    worker.put_connector("mirror", &mirror(&from, &proxy.bootstrap(), &loaded.topics, &[])).await?;
    worker.wait_running("mirror", 1).await?;

    let lost = proxy.add(Rule::drop(PRODUCE, Direction::Response).when(|_| rand::random_bool(LOST)));
    let needed = stores.iter().map(|(_, topic)| (topic.clone(), 0));
    let needed = needed.chain([
        ("__consumer_offsets".to_owned(), group_partition(&group)),
        ("mm2-offset-map.src.internal".to_owned(), 0),
    ]);
    let ends = [
        End { cluster: &source, name: "source", copied: loaded.topics.clone(), needed: Vec::new() },
        End {
            cluster: &target,
            name: "target",
            copied: loaded.topics.iter().map(|topic| remote(topic)).collect(),
            needed: needed.collect(),
        },
    ];
    let until = Instant::now() + time;
    let [of_source, of_target] =
        [0, 1].map(|n| ends[n].trouble(until, StdRng::seed_from_u64(seed.wrapping_add(n as u64))));
    let (of_source, of_target) = tokio::try_join!(of_source, of_target)?;
    lost.release();
    let mut meanwhile = 0;
    for topic in &ends[1].copied {
        meanwhile += watermarks(&to, topic).await?.iter().map(|end| end.high).sum::<i64>();
    }
    let figures = loaded.figures(&from, &to, &worker).await?;
    eprintln!(
        "{} s of trouble: source {of_source:?}, target {of_target:?}, {} answers lost, {meanwhile} records copied meanwhile, \
         {figures} (seed {seed})",
        time.as_secs(),
        lost.matched()
    );
    figures.exact()?;
    ensure!(u64::try_from(meanwhile)? > figures.records / 2, "little was copied while there was trouble");
    worker.wait_running("mirror", 1).await?;
    worker.stop().await
}

#[test]
fn a_groups_partition_is_that_of_java() {
    // As `jshell` tells.
    for (group, partition) in [("kmirror", 2), ("trouble", 1), ("connect-cluster", 3), ("group-one", 0)] {
        assert_eq!(group_partition(group), partition, "{group}");
    }
}
