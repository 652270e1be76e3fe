//! A batch under a producer id of our own.

use bytes::Bytes;

use super::checksum::with_other_beginning;
use super::header::{CRC_AT, LENGTH_END, SUMMED_FROM};
use super::{Batch, CorruptBatch, HEADER_LEN};

/// From this length of the records on, bytes, the new sum is quicker derived from the old one than summed.
const DERIVED_FROM: usize = 4_096;

/// The header under which a batch is produced to another cluster, and its records, which stay where they are.
///
/// The base offset becomes 0: any other makes the broker recompress (`LogValidator`, in-place assignment). The leader
/// epoch becomes −1, the producer's fields those given: the source's own would collide with the target's. A record of a
/// transaction becomes one of none: whoever copies it knows that it was committed. Everything else stays. The source's CRC is verified first, so that what was corrupt on its way here is refused and not signed
/// anew; where it pays the new one is derived from it, so that the records are read once.
///
/// `base_sequence` is the sequence of the first record; the next batch's is [`sequence_after`] it and the record count.
///
/// # Errors
/// [`CorruptBatch::Checksum`] for a corrupt batch, [`CorruptBatch::NotPassable`] for a control batch.
pub fn rewrite_header(
    batch: &Batch,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
) -> Result<([u8; HEADER_LEN], Bytes), CorruptBatch> {
    let base_offset = batch.header().base_offset;
    // The flags are believed only once the sum has vouched for them.
    batch.verify()?;
    if batch.header().is_control() {
        return Err(CorruptBatch::NotPassable { base_offset, what: "a control batch" });
    }
    let mut header = [0; HEADER_LEN];
    header.copy_from_slice(&batch.bytes()[..HEADER_LEN]);
    header[..8].copy_from_slice(&0_i64.to_be_bytes());
    header[LENGTH_END..16].copy_from_slice(&(-1_i32).to_be_bytes());
    header[SUMMED_FROM..23].copy_from_slice(&batch.header().attributes_outside_transactions().to_be_bytes());
    header[43..51].copy_from_slice(&producer_id.to_be_bytes());
    header[51..53].copy_from_slice(&producer_epoch.to_be_bytes());
    header[53..57].copy_from_slice(&base_sequence.to_be_bytes());
    let payload = batch.payload();
    let crc = match u32::try_from(payload.len()) {
        Ok(rest) if payload.len() >= DERIVED_FROM => {
            let before = &batch.bytes()[SUMMED_FROM..HEADER_LEN];
            with_other_beginning(batch.header().crc, before, &header[SUMMED_FROM..], rest)
        }
        _ => crc32c::crc32c_append(crc32c::crc32c(&header[SUMMED_FROM..]), &payload),
    };
    header[CRC_AT..SUMMED_FROM].copy_from_slice(&crc.to_be_bytes());
    Ok((header, payload))
}

/// The sequence `count` records after `sequence`: 0 follows 2^31 − 1 (`DefaultRecordBatch.incrementSequence`).
/// `sequence` is 0 or more.
#[must_use]
pub fn sequence_after(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}
