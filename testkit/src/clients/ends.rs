//! How far many partitions have come, asked often and cheaply.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::{REQUEST_DEADLINE, blocking, config, consumer};

/// librdkafka looks through the whole list for each answer: longer lists cost more than further requests.
const LIST: usize = 1_000;

/// A client that stays connected: one request per 1,000 partitions and broker, not two connections and a request per
/// partition as with [`super::watermarks`].
#[derive(Clone)]
pub struct EndOffsets {
    client: Arc<BaseConsumer>,
}

impl EndOffsets {
    /// A client of the cluster with these brokers.
    pub fn new(bootstrap: &str) -> Result<Self> {
        Ok(Self { client: Arc::new(consumer(&config(bootstrap))?) })
    }

    /// All topics, each with the number of its partitions that have leaders.
    pub async fn led_partitions(&self) -> Result<BTreeMap<String, i32>> {
        let client = self.client.clone();
        blocking(move || {
            let metadata = client.fetch_metadata(None, REQUEST_DEADLINE)?;
            let led = metadata.topics().iter().map(|topic| {
                let led = topic.partitions().iter().filter(|p| p.leader() >= 0 && p.error().is_none()).count();
                Ok((topic.name().to_owned(), i32::try_from(led)?))
            });
            led.collect()
        })
        .await
    }

    /// The high watermark of each partition, in the order asked. All of them must exist.
    pub async fn of(&self, partitions: &[(String, i32)]) -> Result<Vec<i64>> {
        let (client, partitions) = (self.client.clone(), partitions.to_vec());
        blocking(move || {
            let mut ends = Vec::with_capacity(partitions.len());
            for some in partitions.chunks(LIST) {
                let mut asked = TopicPartitionList::with_capacity(some.len());
                for (topic, partition) in some {
                    // ListOffsets' timestamp for the end (−1) is what librdkafka calls the offset End.
                    asked.add_partition_offset(topic, *partition, Offset::End)?;
                }
                for answer in client.offsets_for_times(asked, REQUEST_DEADLINE)?.elements() {
                    answer.error()?;
                    ends.push(answer.offset().to_raw().unwrap_or(-1));
                }
            }
            Ok(ends)
        })
        .await
    }
}
