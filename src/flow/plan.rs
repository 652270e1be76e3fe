//! What is to be done with a batch, decided by its header alone.

use wire::{BatchHeader, TimestampType};

/// What becomes of a batch on its way to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// 61 header bytes are rewritten, the rest moves as it is.
    Pass,
    /// Its records have to be decoded and written anew.
    Reencode(Reencode),
    /// Nothing of it is copied.
    Drop(Drop),
}

/// Why a batch can't pass as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reencode {
    /// A format older than Kafka 0.11: brokers refuse it in Produce 3 and later.
    #[error("is of message format {0}, which has to be converted")]
    Magic(i8),
    /// Part of a transaction: aborted ones have to be left out.
    #[error("is part of a transaction")]
    Transactional,
    /// Compaction removed records: brokers refuse a count that differs from the range (`LogValidator`).
    #[error("has gaps left by compaction, {records} records over {span} offsets")]
    CompactionGap {
        /// Records left.
        records: i32,
        /// Offsets the batch spans.
        span: i64,
    },
    /// The copy starts behind the batch's first record.
    #[error("begins before the position {position}")]
    StartsBefore {
        /// Next source offset to copy.
        position: i64,
    },
    /// Its records' own times are not those that consumers of the source see.
    #[error("has LogAppendTime")]
    LogAppendTime,
    /// Its base timestamp is a delete horizon (KIP-534), not a record's time.
    #[error("has a delete horizon, so it was cleaned")]
    DeleteHorizon,
}

/// Why nothing of a batch is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Drop {
    /// A transaction's commit or abort marker: clients may not write it.
    #[error("is a transaction marker")]
    Control,
    /// Compaction removed all its records and kept the header for its producer's state.
    #[error("has no records left after compaction")]
    Emptied,
}

/// Decides over a batch of format 2 for a copy that stands at source offset `position`.
pub(crate) fn plan(header: &BatchHeader, position: i64) -> Plan {
    if header.is_control() {
        return Plan::Drop(Drop::Control);
    }
    if header.record_count == 0 {
        return Plan::Drop(Drop::Emptied);
    }
    if header.is_transactional() {
        return Plan::Reencode(Reencode::Transactional);
    }
    if !header.is_contiguous() {
        let span = header.next_offset() - header.base_offset;
        return Plan::Reencode(Reencode::CompactionGap { records: header.record_count, span });
    }
    if header.delete_horizon().is_some() {
        return Plan::Reencode(Reencode::DeleteHorizon);
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Plan::Reencode(Reencode::LogAppendTime);
    }
    if header.base_offset < position {
        return Plan::Reencode(Reencode::StartsBefore { position });
    }
    Plan::Pass
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    fn header(attributes: i16, records: i32, span: i32) -> BatchHeader {
        BatchHeader {
            base_offset: 100,
            batch_length: 49,
            partition_leader_epoch: 0,
            crc: 0,
            attributes,
            last_offset_delta: span - 1,
            base_timestamp: 1,
            max_timestamp: 2,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: records,
        }
    }

    #[test]
    fn every_outcome() {
        let gap = Reencode::CompactionGap { records: 3, span: 5 };
        for (attributes, records, span, position, expected) in [
            (0, 5, 5, 100, Plan::Pass),
            // After a gap between batches the next batch lies beyond the position.
            (0, 5, 5, 90, Plan::Pass),
            (4, 5, 5, 100, Plan::Pass), // zstd
            (CONTROL | TRANSACTIONAL, 1, 1, 100, Plan::Drop(Drop::Control)),
            (TRANSACTIONAL, 5, 5, 100, Plan::Reencode(Reencode::Transactional)),
            (0, 0, 5, 100, Plan::Drop(Drop::Emptied)),
            (0, 3, 5, 100, Plan::Reencode(gap)),
            (DELETE_HORIZON, 5, 5, 100, Plan::Reencode(Reencode::DeleteHorizon)),
            (LOG_APPEND_TIME, 5, 5, 100, Plan::Reencode(Reencode::LogAppendTime)),
            (0, 5, 5, 102, Plan::Reencode(Reencode::StartsBefore { position: 102 })),
        ] {
            assert_eq!(
                plan(&header(attributes, records, span), position),
                expected,
                "{attributes:#b} {records}/{span} at {position}"
            );
        }
    }
}
