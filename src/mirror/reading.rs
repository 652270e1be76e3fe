//! Reading what connectors keep in topics.

use wire::{Cluster, OffsetSpec, TopicPartition};

/// Asked for at a time, bytes.
const READ_BYTES: i32 = 1024 * 1024;

/// Reads one partition from `next`, or its start, to its end. Records that can't be used are named in the log and passed over.
pub(super) async fn read_on(
    cluster: &Cluster,
    from: &TopicPartition,
    next: &mut Option<i64>,
    mut take: impl FnMut(Option<&[u8]>, Option<&[u8]>) -> Result<(), String>,
) -> wire::Result<()> {
    let bound = async |spec| {
        let mut told = cluster.list_offsets(&[(from.clone(), spec)]).await?;
        told.pop().map_or(Ok(0), |(_, offset)| offset)
    };
    let end = bound(OffsetSpec::Latest).await?;
    let mut at = match *next {
        Some(at) => at,
        None => bound(OffsetSpec::Earliest).await?,
    };
    while at < end {
        let (records, after) = cluster.read_some_records(from, at, READ_BYTES).await?;
        for record in &records {
            if let Err(error) = take(record.key.as_deref(), record.value.as_deref()) {
                let (topic, offset) = (&from.topic, record.offset);
                tracing::warn!(topic, offset, "skipped a record of {topic} at offset {offset}: {error}");
            }
        }
        if after == at {
            break;
        }
        at = after;
        *next = Some(at);
    }
    *next = Some(at);
    Ok(())
}
