//! What is to be done with a batch, decided by its header alone.

use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::{AtomicU64, Ordering},
};

use wire::{AbortedTransaction, BatchHeader, Codec, TimestampType};

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
    /// The target takes no batch that large.
    #[error("has {bytes} bytes, of which the target takes {limit}")]
    TooLarge {
        /// All of it.
        bytes: usize,
        /// The target's.
        limit: usize,
    },
    /// Records are to be changed or left out.
    #[error("goes through transformations")]
    Transformed,
    /// Batches are to have another compression.
    #[error("is to be compressed anew")]
    Codec,
    /// It is small, and others wait behind it.
    #[error("is small enough to be joined with others")]
    Small,
    /// The target refused a batch with one of its records.
    #[error("holds records that the target refused")]
    Refused,
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
    /// Its transaction was aborted, and only committed ones are read.
    #[error("is part of an aborted transaction")]
    Aborted,
    /// Compaction removed all its records and kept the header for its producer's state.
    #[error("has no records left after compaction")]
    Emptied,
}

impl Plan {
    /// What becomes of batches and why, in the order of [`Plan::index`].
    pub(crate) const REASONS: [&str; 14] = [
        "pass",
        "drop: control",
        "drop: aborted",
        "drop: emptied",
        "reencode: magic",
        "reencode: compaction gap",
        "reencode: starts before",
        "reencode: LogAppendTime",
        "reencode: delete horizon",
        "reencode: too large",
        "reencode: refused",
        "reencode: codec",
        "reencode: small",
        "reencode: transformed",
    ];

    fn index(self) -> usize {
        match self {
            Self::Pass => 0,
            Self::Drop(Drop::Control) => 1,
            Self::Drop(Drop::Aborted) => 2,
            Self::Drop(Drop::Emptied) => 3,
            Self::Reencode(Reencode::Magic(_)) => 4,
            Self::Reencode(Reencode::CompactionGap { .. }) => 5,
            Self::Reencode(Reencode::StartsBefore { .. }) => 6,
            Self::Reencode(Reencode::LogAppendTime) => 7,
            Self::Reencode(Reencode::DeleteHorizon) => 8,
            Self::Reencode(Reencode::TooLarge { .. }) => 9,
            Self::Reencode(Reencode::Refused) => 10,
            Self::Reencode(Reencode::Codec) => 11,
            Self::Reencode(Reencode::Small) => 12,
            Self::Reencode(Reencode::Transformed) => 13,
        }
    }
}

/// Batches by what became of them. One fetched again counts again.
#[derive(Debug, Default)]
pub(crate) struct PlanCounts([AtomicU64; Plan::REASONS.len()]);

impl PlanCounts {
    pub(crate) fn count(&self, plan: Plan) {
        self.0[plan.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Those that occurred.
    pub(crate) fn by_reason(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        Plan::REASONS.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
    }
}

/// Largest batch, and largest record, believed in, bytes: Kafka's `socket.request.max.bytes`, beyond which no producer can have written it.
pub(crate) const MOST_BYTES: usize = 100 * 1024 * 1024;
/// Uncompressed batches up to this size, bytes, are worth joining.
pub(crate) const SMALL_BYTES: usize = 4 * 1024;

/// What the target wants of batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Largest batch it takes, bytes.
    pub(crate) max_batch_bytes: usize,
    /// Whether records go through transformations.
    pub(crate) transforms: bool,
    /// The compression all are to have.
    pub(crate) codec: Option<Codec>,
    /// Whether small ones are joined.
    pub(crate) join: bool,
    /// It refused a batch with records before this source offset, for what is in them.
    pub(crate) refused_before: i64,
}

impl Default for Rules {
    /// Nothing is known of the target.
    fn default() -> Self {
        Self { max_batch_bytes: usize::MAX, transforms: false, codec: None, join: false, refused_before: i64::MIN }
    }
}

/// Decides over a batch of format 2 for a copy that stands at source offset `position`. `aborted`: its transaction was. `lags`:
/// much more is there to be copied.
pub(crate) fn plan(header: &BatchHeader, position: i64, aborted: bool, lags: bool, rules: &Rules) -> Plan {
    if header.is_control() {
        return Plan::Drop(Drop::Control);
    }
    if header.record_count == 0 {
        return Plan::Drop(Drop::Emptied);
    }
    if aborted {
        return Plan::Drop(Drop::Aborted);
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
    if header.size() > rules.max_batch_bytes {
        return Plan::Reencode(Reencode::TooLarge { bytes: header.size(), limit: rules.max_batch_bytes });
    }
    if header.base_offset < rules.refused_before {
        return Plan::Reencode(Reencode::Refused);
    }
    if rules.transforms {
        return Plan::Reencode(Reencode::Transformed);
    }
    // One of the numbers that stand for no codec is corrupt, which whoever rewrites it finds out.
    let codec = header.codec().ok();
    if rules.codec.is_some_and(|wanted| codec != Some(wanted)) {
        return Plan::Reencode(Reencode::Codec);
    }
    if lags && rules.join && header.size() <= SMALL_BYTES && codec == Some(Codec::None) {
        return Plan::Reencode(Reencode::Small);
    }
    Plan::Pass
}

/// Which batches of a Fetch answer belong to aborted transactions, as a consumer finds out (`CompletedFetch`): a transaction is aborted from
/// its first offset up to its producer's next marker. No record has to be looked at.
#[derive(Debug)]
pub(crate) struct Aborted {
    /// Those that begin later, the next one last.
    later: Vec<AbortedTransaction>,
    /// Producers in the middle of one.
    producers: HashSet<i64>,
}

impl Aborted {
    pub(crate) fn new(mut transactions: Vec<AbortedTransaction>) -> Self {
        transactions.sort_unstable_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        Self { later: transactions, producers: HashSet::new() }
    }

    /// To be asked about each batch of the answer, in order.
    pub(crate) fn includes(&mut self, header: &BatchHeader) -> bool {
        while let Some(begun) = self.later.pop_if(|next| next.first_offset <= header.last_offset()) {
            self.producers.insert(begun.producer_id);
        }
        if header.is_control() {
            self.producers.remove(&header.producer_id);
        }
        header.is_transactional() && self.producers.contains(&header.producer_id)
    }
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
            (TRANSACTIONAL, 5, 5, 100, Plan::Pass),
            (0, 0, 5, 100, Plan::Drop(Drop::Emptied)),
            (0, 3, 5, 100, Plan::Reencode(gap)),
            (DELETE_HORIZON, 5, 5, 100, Plan::Reencode(Reencode::DeleteHorizon)),
            (LOG_APPEND_TIME, 5, 5, 100, Plan::Reencode(Reencode::LogAppendTime)),
            (0, 5, 5, 102, Plan::Reencode(Reencode::StartsBefore { position: 102 })),
        ] {
            assert_eq!(
                plan(&header(attributes, records, span), position, false, true, &Rules::default()),
                expected,
                "{attributes:#b} {records}/{span} at {position}"
            );
        }
        let rules = Rules::default();
        assert_eq!(plan(&header(TRANSACTIONAL, 5, 5), 100, true, true, &rules), Plan::Drop(Drop::Aborted));
        assert_eq!(plan(&header(CONTROL | TRANSACTIONAL, 1, 1), 100, true, true, &rules), Plan::Drop(Drop::Control));
        for (max_batch_bytes, refused_before, expected) in [
            (61, 100, Plan::Pass),
            (60, 100, Plan::Reencode(Reencode::TooLarge { bytes: 61, limit: 60 })),
            (61, 101, Plan::Reencode(Reencode::Refused)),
        ] {
            let rules = Rules { max_batch_bytes, refused_before, ..Rules::default() };
            assert_eq!(plan(&header(0, 5, 5), 100, false, true, &rules), expected);
        }
        const LZ4: i16 = 3;
        for (attributes, codec, join, lags, expected) in [
            (LZ4, Some(Codec::Lz4), true, true, Plan::Pass),
            (0, Some(Codec::Lz4), true, true, Plan::Reencode(Reencode::Codec)),
            (LZ4, Some(Codec::None), false, false, Plan::Reencode(Reencode::Codec)),
            (0, None, true, true, Plan::Reencode(Reencode::Small)),
            (0, None, true, false, Plan::Pass),
            (0, None, false, true, Plan::Pass),
            (LZ4, None, true, true, Plan::Pass),
        ] {
            let rules = Rules { codec, join, ..Rules::default() };
            assert_eq!(plan(&header(attributes, 5, 5), 100, false, lags, &rules), expected);
        }
        let transforms = Rules { transforms: true, ..Rules::default() };
        assert_eq!(plan(&header(LZ4, 5, 5), 100, false, false, &transforms), Plan::Reencode(Reencode::Transformed));
        let large = BatchHeader { batch_length: SMALL_BYTES as i32, ..header(0, 5, 5) };
        let joining = Rules { join: true, ..Rules::default() };
        assert_eq!(plan(&large, 100, false, true, &joining), Plan::Pass);
    }

    #[test]
    fn a_transaction_is_aborted_up_to_its_producer_s_marker() {
        let aborted = |producer_id, first_offset| AbortedTransaction { producer_id, first_offset };
        let mut answer = Aborted::new(vec![aborted(1, 30), aborted(2, 5), aborted(1, 12)]);
        // Offset, producer, attributes, whether aborted. The second one of producer 1 was committed.
        for (base_offset, producer_id, attributes, expected) in [
            (10, 2, TRANSACTIONAL, true),
            (11, 1, TRANSACTIONAL, false),
            (12, 1, TRANSACTIONAL, true),
            (13, 2, TRANSACTIONAL, true),
            (14, 2, TRANSACTIONAL | CONTROL, false),
            (15, 2, TRANSACTIONAL, false),
            (16, 1, 0, false),
            (17, 1, TRANSACTIONAL | CONTROL, false),
            (20, 1, TRANSACTIONAL, false),
            (21, 1, TRANSACTIONAL | CONTROL, false),
            (30, 1, TRANSACTIONAL, true),
        ] {
            let header = BatchHeader { base_offset, producer_id, ..header(attributes, 1, 1) };
            assert_eq!(answer.includes(&header), expected, "at {base_offset}");
        }
    }

    #[test]
    fn each_reason_is_counted_under_its_name() {
        let gap = Reencode::CompactionGap { records: 1, span: 2 };
        let plans = [
            Plan::Pass,
            Plan::Drop(Drop::Control),
            Plan::Drop(Drop::Aborted),
            Plan::Drop(Drop::Emptied),
            Plan::Reencode(Reencode::Magic(1)),
            Plan::Reencode(gap),
            Plan::Reencode(Reencode::StartsBefore { position: 1 }),
            Plan::Reencode(Reencode::LogAppendTime),
            Plan::Reencode(Reencode::DeleteHorizon),
            Plan::Reencode(Reencode::TooLarge { bytes: 2, limit: 1 }),
            Plan::Reencode(Reencode::Refused),
            Plan::Reencode(Reencode::Codec),
            Plan::Reencode(Reencode::Small),
            Plan::Reencode(Reencode::Transformed),
        ];
        let counts = PlanCounts::default();
        for (index, plan) in plans.into_iter().enumerate() {
            assert_eq!(plan.index(), index);
            counts.count(plan);
        }
        counts.count(Plan::Pass);
        let by_reason = counts.by_reason();
        assert_eq!((by_reason.len(), by_reason["pass"], by_reason["reencode: transformed"]), (14, 2, 1));
    }
}
