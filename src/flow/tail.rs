//! What the target's log has of batches whose fate is not known.
//!
//! A broker that has forgotten a producer id takes any sequence, so a batch is never sent again before the target's log has been looked at,
//! to its end: beyond the high watermark too, where a leader may hold what its followers lack.

use super::plan::MOST_BYTES;
use bytes::Bytes;
use wire::{
    Batch, BatchHeader, Batches, Budget, Cluster, ProducerId, ResponseError, Stored, TopicPartition, sequence_after,
};

/// Asked for at a time, bytes.
pub(crate) const CHUNK: i32 = 1024 * 1024;

/// How far back a log is looked at first, offsets; then twice that, and so on.
const FIRST_STEP: i64 = 1024;
/// How much of it is read backwards, bytes.
const MOST_READ_BACK: usize = 1 << 30;

/// A batch of ours in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// Of its first record.
    pub(crate) sequence: i32,
    pub(crate) records: i32,
    /// Of its first record, in the target.
    pub(crate) offset: i64,
}

/// What the target's log holds from an offset on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Of one producer, in the order of the log, from the sequence on that was asked for.
    pub(crate) ours: Vec<Written>,
    /// Records of that producer that are there once more.
    pub(crate) doubled: u64,
    /// One past the last record, ours or not.
    pub(crate) end: i64,
}

/// Why the target's log can't be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Blind {
    /// In-sync replicas lack the last records as yet: nobody can read them.
    #[error("the last records, from offset {readable} to {end}, are not replicated yet")]
    Unseen {
        /// The high watermark.
        readable: i64,
        /// One past the leader's last record.
        end: i64,
        /// The last batch of ours that the leader remembers, among those that nobody can read too: its last sequence, and its time, ms since
        /// the epoch.
        remembered: Option<(i32, i64)>,
    },
    /// The log ends before what was acknowledged.
    #[error("the log ends at offset {end}, before the acknowledged end {from}")]
    Regressed {
        /// One past the last acknowledged record.
        from: i64,
        /// One past the leader's last record.
        end: i64,
    },
    /// What is there is no batch.
    #[error("the log holds no whole batch at offset {at}")]
    Unreadable {
        /// Where it was read.
        at: i64,
    },
    /// Its leader can't be asked.
    #[error(transparent)]
    Failed(#[from] wire::Error),
}

/// Where to look for batches in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LookFor {
    /// One past what was acknowledged last, in the target.
    pub(crate) from: i64,
    pub(crate) producer: ProducerId,
    /// Of the first batch that is not acknowledged.
    pub(crate) sequence: i32,
    /// The batch before `from` is the one before that.
    pub(crate) is_behind_ours: bool,
}

impl LookFor {
    /// From where on to look: what is before is looked at as well, where that is known.
    async fn open<'a>(
        &self,
        target: &'a Cluster,
        partition: &'a TopicPartition,
        budget: &'a Budget,
    ) -> Result<TargetLog<'a>, Blind> {
        let mut log = TargetLog::open(target, partition, self.from, budget).await?;
        if self.is_behind_ours {
            log.at = (self.from - 1).max(0);
        }
        Ok(log)
    }

    /// A batch that begins before: it was lost if another has come in its place.
    fn check_before(&self, header: &BatchHeader) -> Result<(), Blind> {
        let is_ours =
            header.producer_id == self.producer.id && sequence_after(header.last_sequence(), 1) == self.sequence;
        if self.is_behind_ours && header.next_offset() >= self.from && !is_ours {
            return Err(Blind::Regressed { from: self.from, end: header.base_offset });
        }
        Ok(())
    }
}

/// What a partition of the target has of a producer's batches.
pub(crate) async fn tail(
    target: &Cluster,
    partition: &TopicPartition,
    what: LookFor,
    budget: &Budget,
) -> Result<Tail, Blind> {
    match read_tail(target, partition, what, budget).await {
        Err(Blind::Unseen { readable, end, .. }) => {
            // A broker that can't be asked this (before 2.8) is waited for.
            let known = target.describe_producers(partition).await.unwrap_or_default();
            let ours = known.into_iter().find(|active| active.producer == what.producer);
            Err(Blind::Unseen {
                readable,
                end,
                remembered: ours.map(|active| (active.last_sequence, active.last_timestamp)),
            })
        }
        told => told,
    }
}

async fn read_tail(
    target: &Cluster,
    partition: &TopicPartition,
    what: LookFor,
    budget: &Budget,
) -> Result<Tail, Blind> {
    let LookFor { from, producer, mut sequence, .. } = what;
    let mut log = what.open(target, partition, budget).await?;
    let (mut ours, mut doubled) = (Vec::new(), 0);
    while let Some(batches) = log.next_batches().await? {
        for batch in &batches {
            let header = batch.header();
            let is_ours = header.producer_id == producer.id && header.producer_epoch == producer.epoch;
            if header.base_offset < from {
                what.check_before(header)?;
                continue;
            }
            if !is_ours {
                continue;
            }
            if distance(sequence, header.base_sequence) < 0 {
                doubled += u64::from(header.record_count.unsigned_abs());
                continue;
            }
            // Compaction may have left fewer records than it was produced with.
            let records = header.last_offset_delta + 1;
            ours.push(Written { sequence: header.base_sequence, records, offset: header.base_offset });
            sequence = sequence_after(header.last_sequence(), 1);
        }
    }
    Ok(Tail { ours, doubled, end: log.end })
}

/// Whether the batch before where `what` begins is the one that was acknowledged, or one of others has come in its place. What is not there any
/// more tells nothing.
pub(crate) async fn check_before(
    target: &Cluster,
    partition: &TopicPartition,
    what: LookFor,
    budget: &Budget,
) -> Result<(), Blind> {
    let mut log = what.open(target, partition, budget).await?;
    log.end = what.from;
    for batch in log.next_batches().await?.into_iter().flatten() {
        let header = batch.header();
        if header.base_offset < what.from {
            what.check_before(header)?;
        }
    }
    Ok(())
}

/// Where the last batch of a producer ends that stands before an offset: what was acknowledged behind it is lost. Where none of the last GiB is
/// the producer's, where that GiB begins; where none is at all, where the log begins. Batches from the sequence `next` on are left out: they
/// were written behind the loss.
pub(crate) async fn end_of_ours(
    target: &Cluster,
    partition: &TopicPartition,
    producer: ProducerId,
    before: i64,
    next: Option<i32>,
    budget: &Budget,
) -> Result<i64, Blind> {
    let (mut high, mut step, mut read) = (before, FIRST_STEP, 0);
    let is_ours = |header: &BatchHeader| {
        let is_new = |next| header.producer_epoch == producer.epoch && distance(next, header.base_sequence) >= 0;
        header.producer_id == producer.id && !next.is_some_and(is_new)
    };
    loop {
        let low = (high - step).max(0);
        let mut log = TargetLog { cluster: target, partition, budget, at: low, end: high, read_at: None };
        let mut last = None;
        while let Some(batches) = log.next_batches().await? {
            for batch in &batches {
                let header = batch.header();
                if is_ours(header) && header.base_offset < high {
                    last = Some(header.next_offset().min(before));
                }
                read += batch.bytes().len();
            }
        }
        let start = log.log_start().await?;
        match last {
            Some(end) => return Ok(end),
            None if low <= start || read > MOST_READ_BACK => return Ok(low.max(start).min(before)),
            None => (high, step) = (low, step * 2),
        }
    }
}

/// What stands between batches of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strangers {
    /// Records of our producer id.
    pub(crate) ours: u64,
    /// Offsets of others, their markers among them.
    pub(crate) others: u64,
}

/// Whose records the target's log has from where `what` says up to before offset `to`.
pub(crate) async fn strangers(
    target: &Cluster,
    partition: &TopicPartition,
    what: LookFor,
    to: i64,
    budget: &Budget,
) -> Result<Strangers, Blind> {
    let from = what.from;
    let mut log = what.open(target, partition, budget).await?;
    log.end = to;
    let mut ours = 0;
    while let Some(batches) = log.next_batches().await? {
        for batch in &batches {
            let header = batch.header();
            if header.base_offset < from {
                what.check_before(header)?;
            } else if header.base_offset < to && header.producer_id == what.producer.id {
                ours += u64::from(header.record_count.unsigned_abs());
            }
        }
    }
    Ok(Strangers { ours, others: u64::try_from(to - from).unwrap_or(0).saturating_sub(ours) })
}

/// From one sequence to another: negative where that comes before.
pub(crate) fn distance(from: i32, to: i32) -> i32 {
    let ahead = to.wrapping_sub(from) & i32::MAX;
    // The half that is further ahead is behind.
    if ahead > i32::MAX / 2 { ahead | i32::MIN } else { ahead }
}

/// A log that is read up to where it ended when that was begun.
pub(crate) struct TargetLog<'a> {
    cluster: &'a Cluster,
    partition: &'a TopicPartition,
    budget: &'a Budget,
    /// Next offset to read.
    pub(crate) at: i64,
    /// Where it ended.
    pub(crate) end: i64,
    /// Where it was read last.
    read_at: Option<i64>,
}

impl<'a> TargetLog<'a> {
    pub(crate) async fn open(
        cluster: &'a Cluster,
        partition: &'a TopicPartition,
        from: i64,
        budget: &'a Budget,
    ) -> Result<Self, Blind> {
        let end = cluster.log_end(partition).await?;
        if end < from {
            return Err(Blind::Regressed { from, end });
        }
        Ok(Self { cluster, partition, budget, at: from, end, read_at: None })
    }

    /// What comes next; who reads it moves `at` behind it.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Blind> {
        if self.at < self.end && self.read_at == Some(self.at) {
            return Err(Blind::Unreadable { at: self.at });
        }
        while self.at < self.end {
            let answer = self.cluster.fetch_from(self.partition, self.at, CHUNK, false, self.budget).await;
            let part = match answer {
                Ok(part) => part,
                Err(error) if error.response() == Some(ResponseError::OffsetOutOfRange) => {
                    // Retention, or a leader that has less.
                    let start = self.log_start().await?;
                    if start <= self.at {
                        return Err(error.into());
                    }
                    self.at = start;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if !part.records.is_empty() {
                self.read_at = Some(self.at);
                return Ok(Some(part.records));
            }
            if part.high_watermark < self.end {
                return Err(Blind::Unseen { readable: part.high_watermark, end: self.end, remembered: None });
            }
            // Nothing is left of the rest: compaction, or an empty log.
            self.at = self.end;
        }
        Ok(None)
    }

    /// The batches that come next, but for messages of old formats, which tell no producer; `at` moves behind them.
    async fn next_batches(&mut self) -> Result<Option<Vec<Batch>>, Blind> {
        let Some(records) = self.next().await? else { return Ok(None) };
        let mut batches = Vec::new();
        // What can't be cut into batches is not ours, or is found corrupt by whoever reads it.
        for stored in Batches::new(records, MOST_BYTES).flatten() {
            let next = match stored {
                Stored::Batch(batch) => {
                    let next = batch.header().next_offset();
                    batches.push(batch);
                    next
                }
                Stored::Legacy(message) => message.offset.saturating_add(1),
            };
            self.at = self.at.max(next);
        }
        Ok(Some(batches))
    }

    async fn log_start(&self) -> Result<i64, Blind> {
        let wanted = [(self.partition.clone(), wire::OffsetSpec::Earliest)];
        let mut told = self.cluster.list_offsets(&wanted).await?;
        Ok(told.pop().map_or(Ok(0), |(_, offset)| offset)?)
    }
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances_wrap() {
        assert_eq!(distance(3, 3), 0);
        assert_eq!(distance(3, 8), 5);
        assert_eq!(distance(8, 3), -5);
        assert_eq!(distance(i32::MAX - 1, 3), 5);
        assert_eq!(distance(3, i32::MAX - 1), -5);
    }
}
