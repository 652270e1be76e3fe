//! What a task writes.

use wire::NewRecord;

use crate::mirror::Checkpoint;

/// Keys and values of the checkpoints written as one batch, bytes: a topic takes 1 MiB by default.
const BATCH_BYTES: usize = 256 * 1024;

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
