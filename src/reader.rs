//! Records read by librdkafka, which shares no code with what copies them: for comparing what is at both ends. Nothing is copied by it.
//!
//! A [`Reader`] reads one partition, from an offset to an end or on and on. It is a client of its own, so that whatever librdkafka says is
//! about this partition, and what it holds is bounded: librdkafka's queue by [`ReaderSettings::queue_bytes`], and what is on its way out
//! of it by some 64 KiB. It has a thread of its own, which ends when the reader is dropped.

mod client;
mod error;
mod record;

pub use error::ReaderError;
pub use record::{ReadRecord, TimestampType};

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};
use tokio::sync::mpsc;

use crate::config::IsolationLevel;

/// Records are handed over together up to this, bytes of keys, values and headers.
const HANDED_OVER_BYTES: usize = 64 * 1024;

/// From which cluster, and how.
#[derive(Debug, Clone)]
pub struct ReaderSettings {
    /// The cluster's alias, for errors.
    pub cluster: String,
    /// Its brokers, `host:port`.
    pub bootstrap: Vec<String>,
    /// Which records of transactions are read.
    pub isolation: IsolationLevel,
    /// What librdkafka may hold of records that were not asked for yet, bytes. One Fetch answer of as much may come on top, and what the
    /// batches in it are when decompressed.
    pub queue_bytes: usize,
    /// The longest time without news while there must be something to read.
    pub patience: Duration,
}

impl ReaderSettings {
    /// Committed records of a cluster, with a queue of 4 MiB and a minute's patience.
    #[must_use]
    pub fn new(cluster: impl Into<String>, bootstrap: &[String]) -> Self {
        Self {
            cluster: cluster.into(),
            bootstrap: bootstrap.to_vec(),
            isolation: IsolationLevel::ReadCommitted,
            queue_bytes: 4 * 1024 * 1024,
            patience: Duration::from_secs(60),
        }
    }
}

/// What to read. Offsets are of the cluster that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPartition {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Offset of the first record wanted. Compaction may have removed that one: the next is read.
    pub from: i64,
    /// One past the last offset wanted; none to read on and on. The reader ends sooner where there is nothing more that may be read: at the
    /// log end, or, with read_committed, at the first transaction that is open.
    pub to: Option<i64>,
}

/// Both ends of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Log start offset.
    pub low: i64,
    /// High watermark: one past the last record that all in-sync replicas have.
    pub high: i64,
}

/// Reads one partition.
#[derive(Debug)]
pub struct Reader {
    handed_over: mpsc::Receiver<Result<Vec<ReadRecord>, ReaderError>>,
    records: VecDeque<ReadRecord>,
}

impl Reader {
    /// Begins to read. Whether the cluster can be reached, and the partition read, is told by [`Self::next`].
    ///
    /// # Errors
    /// [`ReaderError::Client`] where librdkafka takes no such settings or gets no thread.
    pub fn start(settings: &ReaderSettings, partition: ReadPartition) -> Result<Self, ReaderError> {
        // One on its way while the next is put together.
        let (hand_over, handed_over) = mpsc::channel(1);
        client::start(settings, partition, hand_over)?;
        Ok(Self { handed_over, records: VecDeque::new() })
    }

    /// The next record; none at the end. Losing the future loses no record.
    ///
    /// # Errors
    /// Why reading can't go on. There is nothing after it.
    pub async fn next(&mut self) -> Result<Option<ReadRecord>, ReaderError> {
        while self.records.is_empty() {
            match self.handed_over.recv().await {
                Some(records) => self.records = records?.into(),
                None => return Ok(None),
            }
        }
        Ok(self.records.pop_front())
    }
}

/// The bounds of each partition of a topic, by partition number.
///
/// # Errors
/// [`ReaderError::Missing`] where the cluster has known no such topic for five seconds, or what librdkafka says where it can't be asked.
pub async fn bounds(settings: &ReaderSettings, topic: &str) -> Result<Vec<Bounds>, ReaderError> {
    let (settings, topic, alias) = (settings.clone(), topic.to_owned(), settings.cluster.clone());
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = client::config(&settings)
            .create()
            .map_err(|cause| ReaderError::Client { cluster: settings.cluster.clone(), cause: cause.to_string() })?;
        let begun = Instant::now();
        loop {
            match bounds_once(&consumer, &topic, settings.patience) {
                Ok(bounds) => return Ok(bounds),
                Err((_, cause)) if client::is_missing(&cause) && begun.elapsed() < client::HEARSAY => {
                    // Nothing is assigned: this waits, no more.
                    let _ = consumer.poll(client::TURN);
                }
                Err((partition, cause)) if client::is_missing(&cause) => {
                    return Err(ReaderError::Missing { cluster: settings.cluster, topic, partition });
                }
                Err((partition, cause)) => {
                    let (cluster, cause) = (settings.cluster, cause.to_string());
                    return Err(ReaderError::Failed { cluster, topic, partition, offset: -1, cause });
                }
            }
        }
    });
    asked.await.unwrap_or_else(|gone| Err(ReaderError::Client { cluster: alias, cause: gone.to_string() }))
}

/// Where it fails, for which partition: −1 for all.
fn bounds_once(consumer: &BaseConsumer, topic: &str, patience: Duration) -> Result<Vec<Bounds>, (i32, KafkaError)> {
    let partitions = client::partitions(consumer, topic, patience).map_err(|cause| (-1, cause))?;
    let of = |partition| {
        let (low, high) = consumer.fetch_watermarks(topic, partition, patience).map_err(|cause| (partition, cause))?;
        Ok(Bounds { low, high })
    };
    (0..partitions).map(of).collect()
}
