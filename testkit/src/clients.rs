//! Admin calls, producers and readers by librdkafka, which shares no code with what is tested.

mod admin;
mod bulk;
mod ends;
mod groups;
mod load;
mod produce;
mod read;
mod steady;
mod transactions;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

pub use admin::{
    Placement, create_partitions, create_topic, create_topics, delete_records, delete_topic, delete_topics, placements,
    set_topic_configs, topic_configs, wait_for_topic,
};
pub use bulk::{Bulk, Produced, bulk_produce, bulk_produce_over};
pub use ends::EndOffsets;
pub use groups::{Member, commit_group_offset, committed_group_offset};
pub use load::Load;
pub use produce::{Codec, OpenTransaction, Producing, Record, produce, produce_with};
pub use read::{
    Isolation, RecordView, TimestampKind, Watermarks, end_offsets, read_all, read_all_with, read_digests, watermarks,
};
pub use steady::{Steady, arrivals, steady_produce};
pub use transactions::{Made, Transactions, transactions};

/// The longest any call of this room may take without progress.
const DEADLINE: Duration = Duration::from_secs(60);
/// One request within that.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("broker.address.family", "v4")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "500");
    config
}

fn consumer(config: &ClientConfig) -> Result<BaseConsumer> {
    Ok(config.create::<BaseConsumer>()?)
}

/// Runs a blocking call of librdkafka off the caller's runtime.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(call).await?
}

/// The ids of the brokers that the one at `address` (`host:port`) believes to be alive.
pub(crate) async fn live_brokers(address: &str) -> Result<Vec<i32>> {
    let address = address.to_owned();
    blocking(move || {
        // A refused connection is quickly told from a slow answer, where librdkafka would try again until its deadline.
        let socket: SocketAddr = address.parse()?;
        std::net::TcpStream::connect_timeout(&socket, Duration::from_secs(2)).context("does not accept connections")?;
        let metadata = consumer(&config(&address))?.fetch_metadata(None, Duration::from_secs(5))?;
        Ok(metadata.brokers().iter().map(|b| b.id()).collect())
    })
    .await
}
