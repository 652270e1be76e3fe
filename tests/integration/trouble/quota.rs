//! Brokers that throttle: real quotas of the client ids that a task's connections have.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ::testkit::{
    Bulk, Codec, Producing, Record, Shared,
    anyhow::{Result, ensure},
    bulk_produce, create_topic, end_offsets, produce_with,
    proxy::{Direction, Frame, Proxy, Rule, api_key},
    unique, wait_until,
};

use super::story::{MEMORY, Side, Story};
use crate::{kmirror::DEADLINE, worker::remote};

/// Bytes per second that the quota allows.
const RATE: u64 = 300_000;
/// Kafka measures the rate over this long, and so lets this much pass before it throttles (`quota.window.num` less one,
/// times `quota.window.size.seconds`), and one more while the last window fills.
const WINDOW: f64 = 11.0;
const BYTES: u64 = 6_000_000;
/// What may pass beyond that before the answer tells of it: a Fetch of one partition.
const OVERSHOOT: u64 = 1_200_000;
/// A request that is on its way while the answer that forbids it comes is nobody's fault.
const CROSSED: Duration = Duration::from_millis(500);
/// Clocks of timers are rounded.
const ROUNDED: Duration = Duration::from_millis(20);

/// What a proxy sees of throttling.
#[derive(Debug, Default)]
struct Witness {
    /// By connection: when it was last told to be silent, and until when.
    silent: HashMap<u64, (Instant, Instant)>,
    /// The longest it was ever told, per answer, in ms.
    longest_ms: i32,
    throttled: usize,
    violations: Vec<String>,
}

impl Witness {
    fn watch(proxy: &Proxy, key: i16) -> Arc<Mutex<Self>> {
        let witness = Arc::<Mutex<Self>>::default();
        for direction in [Direction::Request, Direction::Response] {
            let seen = Arc::clone(&witness);
            // Looks at each frame, and leaves it to the rules behind.
            proxy.add(Rule::count(key, direction).when(move |frame| {
                seen.lock().unwrap().see(frame, Instant::now());
                false
            }));
        }
        witness
    }

    fn see(&mut self, frame: &Frame<'_>, now: Instant) {
        match frame.direction {
            Direction::Response => {
                let ms = throttle_ms(frame);
                self.longest_ms = self.longest_ms.max(ms);
                if let Ok(wait @ 1..) = u64::try_from(ms) {
                    self.throttled += 1;
                    self.silent.insert(frame.connection, (now, now + Duration::from_millis(wait)));
                }
            }
            Direction::Request => {
                if let Some(&(told, until)) = self.silent.get(&frame.connection)
                    && now > told + CROSSED
                    && now + ROUNDED < until
                {
                    let (after, of) = (now - told, until - told);
                    self.violations.push(format!("a request {after:?} into a silence of {of:?}"));
                }
            }
        }
    }
}

/// `throttle_time_ms` of an answer: the first field of Fetch (from version 7 an answer's header is followed by it, from 12
/// with a byte of tags between), and the last but for a byte of tags of Produce (from version 9).
fn throttle_ms(frame: &Frame<'_>) -> i32 {
    let bytes = match frame.api_key {
        api_key::FETCH if frame.api_version >= 12 => frame.bytes.get(5..9),
        api_key::FETCH => frame.bytes.get(4..8),
        _ if frame.api_version >= 9 => frame.bytes.len().checked_sub(5).and_then(|at| frame.bytes.get(at..at + 4)),
        _ => frame.bytes.last_chunk::<4>().map(<[u8; 4]>::as_slice),
    };
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_be_bytes)
}

/// Gives a client id a quota on a cluster.
async fn limit(cluster: &Shared, client: &str, key: &str, rate: u64) -> Result<()> {
    let quota = format!("{key}={rate}");
    let arguments = ["--alter", "--add-config", &quota, "--entity-type", "clients", "--entity-name", client];
    cluster.tools().await?.configs(&arguments).await?;
    Ok(())
}

/// Waits until each broker honours the quotas that were set before: they hear of them some time after the controller has them, up to half a
/// second on Kafka 3, each in the order in which they were set. So a last one is tried out.
async fn wait_heard(cluster: &Shared, proxy: &Proxy) -> Result<()> {
    let (client, topic) = (unique("probe"), unique("probe"));
    limit(cluster, &client, "producer_byte_rate", 100).await?;
    let partitions = i32::try_from(cluster.bootstrap.split(',').count())?;
    create_topic(&cluster.bootstrap, &topic, partitions, 1, &[]).await?;
    let throttling = Arc::<Mutex<BTreeSet<u32>>>::default();
    let seen = Arc::clone(&throttling);
    proxy.add(Rule::count(api_key::PRODUCE, Direction::Response).when(move |frame| {
        if throttle_ms(frame) > 0 {
            seen.lock().unwrap().insert(frame.broker);
        }
        false
    }));
    let how = Producing { properties: vec![("client.id".to_owned(), client)], ..Producing::default() };
    // New topics are spread evenly: each broker leads one of the partitions.
    for partition in 0..partitions {
        wait_until("a broker to hear of quotas", DEADLINE, async || {
            let before = throttling.lock().unwrap().len();
            produce_with(&proxy.bootstrap(), &topic, partition, &[Record::value(vec![0; 10_000])], &how).await?;
            let after = throttling.lock().unwrap().len();
            ensure!(after > before, "brokers that do: {after} of {partitions}");
            Ok(())
        })
        .await?;
    }
    proxy.clear();
    Ok(())
}

async fn throttled(throttles_source: bool) -> Result<()> {
    let pair = ::testkit::pair().await?;
    let (from, to) = (&pair.source, &pair.target);
    let throttling = if throttles_source { from } else { to };
    let proxy = throttling.proxy().await?;
    let topic = unique("quota");
    create_topic(&from.bootstrap, &topic, 1, 1, &[]).await?;
    let bulk = Bulk { value_bytes: 1_000, codec: Codec::None, batch_bytes: 100_000, ..Bulk::new(BYTES / 1_000, 1) };
    bulk_produce(&from.bootstrap, &topic, &bulk).await?;
    let (source, target, key) = match throttles_source {
        true => (Side::behind(&proxy, &from.bootstrap), Side::direct(&to.bootstrap), api_key::FETCH),
        false => (Side::direct(&from.bootstrap), Side::behind(&proxy, &to.bootstrap), api_key::PRODUCE),
    };
    let story = Story::prepare(source, target, 1).await?;
    let (client, quota) = match throttles_source {
        true => (format!("src->dst|{}-0|replication-consumer", story.connector), "consumer_byte_rate"),
        false => (format!("connector-producer-{}-0", story.connector), "producer_byte_rate"),
    };
    limit(throttling, &client, quota, RATE).await?;
    wait_heard(throttling, &proxy).await?;
    let witness = Witness::watch(&proxy, key);
    let start = Instant::now();
    story.mirror(&[&topic], 1, 1).await?;

    let (mut moved, mut longest_rest, mut last) = (Instant::now(), Duration::ZERO, 0);
    story
        .worker
        .until("all records", DEADLINE, async || {
            let end = end_offsets(&to.bootstrap, &remote(&topic), &[0]).await?[0];
            if end > last {
                longest_rest = longest_rest.max(moved.elapsed());
                (moved, last) = (Instant::now(), end);
            }
            ensure!(last == i64::try_from(bulk.records)?, "{last}");
            Ok(())
        })
        .await?;
    let took = start.elapsed().as_secs_f64();
    let least = (BYTES - OVERSHOOT) as f64 / RATE as f64 - WINDOW;
    let witness = std::mem::take(&mut *witness.lock().unwrap());
    eprintln!("took {took:.1} s (at least {least:.1}), longest rest {longest_rest:?}; {witness:?}");
    ensure!(witness.throttled > 0 && witness.longest_ms > 1_000, "hardly throttled: {witness:?}");
    ensure!(witness.violations.is_empty(), "{witness:?}");
    ensure!(took >= least, "took {took:.1} s, where the quota allows no less than {least:.1} s");
    // A Fetch beyond the quota is answered with nothing: what passed at once at the start has to leave the window first.
    ensure!(longest_rest.as_secs_f64() < 3.0 * WINDOW, "no progress for {longest_rest:?}");
    story.wait_equal(&topic).await?;
    story.memory_within(MEMORY)
}

#[tokio::test]
async fn a_quota_of_the_source_is_honoured() -> Result<()> {
    throttled(true).await
}

#[tokio::test]
async fn a_quota_of_the_target_is_honoured() -> Result<()> {
    throttled(false).await
}
