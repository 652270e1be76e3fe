//! A load that goes on while something else happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rdkafka::producer::{BaseProducer, Producer};
use tokio::task::JoinHandle;

use super::bulk::{Deliveries, fill, queue};
use super::{blocking, config};

/// How often the load catches up with its rate.
const STEP: Duration = Duration::from_millis(20);
/// After its end all must be acknowledged within this.
const LAST_ACKNOWLEDGEMENT: Duration = Duration::from_secs(120);

/// A producer that writes at a steady rate until it is stopped or dropped. It is idempotent and waits long for brokers
/// that are away, so that what a topic holds is in order and without doubles whatever happens.
#[derive(Debug)]
pub struct Load {
    signs: Arc<Signs>,
    producing: JoinHandle<Result<u64>>,
}

#[derive(Debug, Default)]
struct Signs {
    stop: AtomicBool,
    /// Nobody wants to know any more.
    abandoned: AtomicBool,
    sent: AtomicU64,
}

impl Load {
    /// Starts to write `per_second` records a second to partitions 0 to `partitions`, in turns: the records of
    /// [`super::bulk_produce`], of `value_bytes` each (at least 160), not compressed.
    pub fn start(bootstrap: &str, topic: &str, partitions: i32, per_second: u64, value_bytes: usize) -> Self {
        Self::start_with_times(bootstrap, topic, partitions, per_second, value_bytes, |_| None)
    }

    /// As [`Load::start`], with the time of each record by its number: ms since the epoch, or none for that of its writing.
    pub fn start_with_times(
        bootstrap: &str,
        topic: &str,
        partitions: i32,
        per_second: u64,
        value_bytes: usize,
        time: impl Fn(u64) -> Option<i64> + Send + 'static,
    ) -> Self {
        let mut client = config(bootstrap);
        client
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            // A broker forgets the producers of old records: of two requests under way it could then take the second only.
            .set("max.in.flight.requests.per.connection", "1")
            .set("socket.timeout.ms", "10000")
            .set("request.timeout.ms", "10000");
        let (topic, signs) = (topic.to_owned(), Arc::<Signs>::default());
        let shared = Arc::clone(&signs);
        let producing = tokio::spawn(blocking(move || {
            ensure!(partitions > 0 && value_bytes >= 160, "{partitions} partitions, {value_bytes} bytes");
            let producer: BaseProducer<Deliveries> = client.create_with_context(Deliveries::default())?;
            let (mut key, mut value) = (Vec::new(), Vec::new());
            let (start, mut sent) = (Instant::now(), 0_u64);
            while !shared.stop.load(SeqCst) && !shared.abandoned.load(SeqCst) {
                let due = (start.elapsed().as_secs_f64() * per_second as f64) as u64;
                while sent < due {
                    fill(sent, value_bytes, &mut key, &mut value)?;
                    let partition = (sent % u64::from(partitions.unsigned_abs())) as i32;
                    queue(&producer, &topic, partition, (&key, &value), time(sent))?;
                    sent += 1;
                }
                shared.sent.store(sent, SeqCst);
                producer.poll(STEP);
            }
            let stopped = Instant::now();
            while producer.in_flight_count() > 0 && !shared.abandoned.load(SeqCst) {
                let left = producer.in_flight_count();
                ensure!(stopped.elapsed() < LAST_ACKNOWLEDGEMENT, "{left} of {sent} records to {topic} are unanswered");
                producer.poll(STEP);
            }
            let failed = producer.context().failed.load(SeqCst);
            ensure!(failed == 0, "{failed} of {sent} records to {topic} were not acknowledged");
            Ok(sent)
        }));
        Self { signs, producing }
    }

    /// How many records it has handed to its client so far.
    pub fn sent(&self) -> u64 {
        self.signs.sent.load(SeqCst)
    }

    /// Ends it and waits until all is acknowledged; gives the number of records.
    pub async fn stop(mut self) -> Result<u64> {
        self.signs.stop.store(true, SeqCst);
        (&mut self.producing).await?
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // A runtime waits for its blocking threads.
        self.signs.abandoned.store(true, SeqCst);
    }
}
