//! The topics that a task reads and writes.

use wire::{Cluster, NewRecord, OffsetSpec, TopicPartition};

use crate::mirror::Checkpoint;

/// Asked for at a time, bytes.
const READ_BYTES: i32 = 1024 * 1024;
/// Keys and values of the checkpoints written as one batch, bytes: a topic takes 1 MiB by default.
const BATCH_BYTES: usize = 256 * 1024;

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

/// Checkpoints with their records, in batches that a topic takes. One that can't be written is named in the log and left out.
pub(super) fn batches(checkpoints: Vec<Checkpoint>) -> Vec<Vec<(Checkpoint, NewRecord)>> {
    let mut batches: Vec<Vec<(Checkpoint, NewRecord)>> = Vec::new();
    let mut room = 0;
    for checkpoint in checkpoints {
        let (key, value) = match checkpoint.encode() {
            Ok(pair) => pair,
            Err(error) => {
                tracing::error!("no {}: {error}", checkpoint.key);
                continue;
            }
        };
        let bytes = key.len() + value.len();
        let record = NewRecord { key: Some(key), value: Some(value), headers: Vec::new() };
        match batches.last_mut() {
            Some(batch) if bytes <= room => {
                batch.push((checkpoint, record));
                room -= bytes;
            }
            _ => {
                batches.push(vec![(checkpoint, record)]);
                room = BATCH_BYTES.saturating_sub(bytes);
            }
        }
    }
    batches
}
