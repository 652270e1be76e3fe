//! What all tests share.

use ::testkit::anyhow::Result;
use kmirror::{
    config::IsolationLevel,
    reader::{ReadPartition, ReadRecord, Reader, ReaderSettings, bounds},
};

/// The bootstrap lists of the two clusters that all tests share.
pub(crate) struct Pair {
    pub(crate) source: String,
    pub(crate) target: String,
}

pub(crate) async fn pair() -> Result<Pair> {
    let pair = ::testkit::pair().await?;
    Ok(Pair { source: pair.source.bootstrap.clone(), target: pair.target.bootstrap.clone() })
}

/// Shows the log of what runs in the test's own process where RUST_LOG asks for it.
pub(crate) fn show_log() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    // A second test of the process finds it set up already.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}

/// The addresses of a comma-separated bootstrap list.
pub(crate) fn addresses(bootstrap: &str) -> Vec<String> {
    bootstrap.split(',').map(str::to_owned).collect()
}

pub(crate) fn reader_settings(bootstrap: &str, isolation: IsolationLevel) -> ReaderSettings {
    ReaderSettings { isolation, ..ReaderSettings::new("under-test", &addresses(bootstrap)) }
}

/// All that a topic holds now, by partition number.
pub(crate) async fn read_topic(
    bootstrap: &str,
    topic: &str,
    isolation: IsolationLevel,
) -> Result<Vec<Vec<ReadRecord>>> {
    let settings = reader_settings(bootstrap, isolation);
    let mut all = Vec::new();
    for (bounds, partition) in bounds(&settings, topic).await?.into_iter().zip(0..) {
        let wanted = ReadPartition { topic: topic.to_owned(), partition, from: bounds.low, to: Some(bounds.high) };
        let mut reader = Reader::start(&settings, wanted)?;
        let mut records = Vec::new();
        while let Some(record) = reader.next().await? {
            records.push(record);
        }
        all.push(records);
    }
    Ok(all)
}
