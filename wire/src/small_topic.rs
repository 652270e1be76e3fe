//! Reading and appending the records of small topics: the worker's own config, offset and status topics. Mirrored data never comes here.

use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    protocol::StrBytes,
    records::{
        Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record as WireRecord,
        RecordBatchEncoder, RecordEncodeOptions, TimestampType,
    },
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    batch::{Batch, Batches, HEADER_LEN, Stored},
    cluster::Cluster,
    error::{Error, Result},
    fetch::{FetchLane, FetchLimits},
    produce::{ProduceBatch, ProduceLane},
    records::{RecordBody, RecordReader},
    types::{NewRecord, OffsetSpec, Record, TopicPartition},
};

/// Far beyond what a small topic's records need.
const MAX_BATCH_BYTES: usize = 100 * 1024 * 1024;
/// Enough for a read to end of a topic of some MB in a few requests.
const READ_BYTES: i32 = 4 * 1024 * 1024;

impl Cluster {
    /// All records from an offset up to the partition's end at the time of the call, and that end (the high watermark). A `from` below the
    /// log start begins at the log start.
    ///
    /// # Errors
    /// When the leader can't be read within the request timeout a request, or holds a batch that can't be decoded.
    pub async fn read_records(&self, partition: &TopicPartition, from: i64) -> Result<(Vec<Record>, i64)> {
        let bounds = [(partition.clone(), OffsetSpec::Earliest), (partition.clone(), OffsetSpec::Latest)];
        // One answer per partition: the two bounds are asked for apart.
        let start = self.single_offset(&bounds[..1]).await?;
        let end = self.single_offset(&bounds[1..]).await?;
        let mut position = from.max(start);
        let mut records = Vec::new();
        while position < end {
            position =
                self.persist(|| self.read_step(partition, position, READ_BYTES)).await.map(|(mut read, next)| {
                    records.append(&mut read);
                    next
                })?;
        }
        records.retain(|r| r.offset < end);
        Ok((records, end))
    }

    /// Records from an offset on, of about so many `bytes` as stored, one batch at least, and the offset to go on from: for topics that are
    /// too large to be held as a whole. At the end nothing comes, half a second later.
    ///
    /// # Errors
    /// As [`Cluster::read_records`]; and an offset outside of the log (OFFSET_OUT_OF_RANGE).
    pub async fn read_some_records(
        &self,
        partition: &TopicPartition,
        from: i64,
        bytes: i32,
    ) -> Result<(Vec<Record>, i64)> {
        self.persist(|| self.read_step(partition, from, bytes)).await
    }

    async fn single_offset(&self, wanted: &[(TopicPartition, OffsetSpec)]) -> Result<i64> {
        let mut outcome = self.list_offsets(wanted).await?;
        outcome.pop().map_or(Ok(0), |(_, offset)| offset)
    }

    /// Records of one Fetch from `position` on, and where to go on.
    async fn read_step(&self, partition: &TopicPartition, position: i64, max_bytes: i32) -> Result<(Vec<Record>, i64)> {
        let limits =
            FetchLimits { max_wait: Duration::from_millis(500), min_bytes: 1, max_bytes, read_committed: false };
        let part = self.fetch_of_leader(FetchLane::Follow, partition, position, &limits, None).await?;
        let undecodable = |cause: String| Error::Malformed {
            cluster: self.alias().to_owned(),
            broker: partition.to_string(),
            api: "Fetch",
            cause: format!("from offset {position}: {cause}"),
        };
        let mut records = Vec::new();
        let mut next = position;
        for stored in Batches::new(part.records, MAX_BATCH_BYTES) {
            let batch = match stored.map_err(|e| undecodable(e.to_string()))? {
                Stored::Batch(batch) => batch,
                Stored::Legacy(old) => return Err(undecodable(format!("message format {} is too old", old.magic))),
            };
            batch.verify().map_err(|e| undecodable(e.to_string()))?;
            next = next.max(batch.header().next_offset());
            if batch.header().is_control() {
                continue;
            }
            let found = records_of(&batch).map_err(undecodable)?;
            records.extend(found.into_iter().filter(|record| record.offset >= position));
        }
        Ok((records, next))
    }

    /// Appends records as one batch with acks=all; returns the first one's offset.
    /// At least once: an attempt whose answer was lost may be appended twice, which compacted topics do not mind.
    ///
    /// # Errors
    /// When the leader does not take them within the request timeout.
    pub async fn append_records(&self, partition: &TopicPartition, records: &[NewRecord]) -> Result<i64> {
        let batch = encode(records).map_err(|cause| Error::Malformed {
            cluster: self.alias().to_owned(),
            broker: partition.to_string(),
            api: "Produce",
            cause,
        })?;
        self.persist(|| async {
            self.topics(Some(std::slice::from_ref(&partition.topic))).await?;
            let leader = self.leader_or_error(partition, "Produce")?;
            let mut header = [0; HEADER_LEN];
            header.copy_from_slice(&batch[..HEADER_LEN]);
            let produce =
                ProduceBatch { partition: partition.clone(), tag: 0, header, payload: batch.slice(HEADER_LEN..) };
            // The broker gives up a little before we do, so that its answer still tells what happened.
            let wait = self.request_timeout() * 9 / 10;
            let answer =
                self.produce_on(leader.broker, ProduceLane::Shared, std::slice::from_ref(&produce), wait).await?;
            let Some(part) = answer.into_iter().next() else {
                return Err(self.refused("Produce", partition.to_string(), -1, None));
            };
            self.check("Produce", || partition.to_string(), part.error, part.message)?;
            Ok(part.base_offset)
        })
        .await
    }
}

/// The records of a batch that is no control batch.
pub(crate) fn records_of(batch: &Batch) -> Result<Vec<Record>, String> {
    let mut reader = RecordReader::new(batch, MAX_BATCH_BYTES).map_err(|e| e.to_string())?;
    let mut records = Vec::new();
    let mut bytes = 0;
    while let Some(record) = reader.next_record().map_err(|e| e.to_string())? {
        bytes += record.body.len();
        if bytes > MAX_BATCH_BYTES {
            return Err(format!("a batch holds more than {MAX_BATCH_BYTES} bytes of records"));
        }
        let body = RecordBody::parse(record.body).map_err(|e| e.to_string())?;
        let [key, value] = [body.key, body.value].map(|part| part.map(Bytes::copy_from_slice));
        let headers = body.headers().map_err(|e| e.to_string())?.into_iter();
        let headers = headers
            .map(|header| (String::from_utf8_lossy(header.key).into_owned(), header.value.map(Bytes::copy_from_slice)))
            .collect();
        records.push(Record { offset: record.offset, timestamp: record.timestamp, key, value, headers });
    }
    Ok(records)
}

/// Wall clock, ms since the epoch: what records carry that are written now.
#[must_use]
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// One uncompressed batch, as a client without idempotence writes it.
fn encode(records: &[NewRecord]) -> Result<Bytes, String> {
    let now = now_ms();
    let header = |(name, value): &(String, Option<Bytes>)| (StrBytes::from_string(name.clone()), value.clone());
    let record = |(offset, NewRecord { key, value, headers }): (usize, &NewRecord)| WireRecord {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: i64::try_from(offset).unwrap_or(i64::MAX),
        // The encoder wants sequences to run with the offsets; the first one, which the header shows, is "none".
        sequence: i32::try_from(offset).unwrap_or(i32::MAX).saturating_add(NO_SEQUENCE),
        timestamp: now,
        key: key.clone(),
        value: value.clone(),
        headers: headers.iter().map(header).collect(),
    };
    let records: Vec<WireRecord> = records.iter().enumerate().map(record).collect();
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, records.iter(), &options).map_err(|e| e.to_string())?;
    if batch.len() < HEADER_LEN { Err("no records given".to_owned()) } else { Ok(batch.freeze()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_read_headers_included() {
        let bytes = |text: &str| Some(Bytes::from(text.to_owned()));
        let header = |name: &str, value| (name.to_owned(), value);
        let records = [
            NewRecord { key: bytes("a"), value: bytes("1"), headers: vec![header("h", bytes("7")), header("", None)] },
            NewRecord { key: bytes("b"), value: None, headers: Vec::new() },
            NewRecord { key: None, value: bytes(""), headers: vec![header("\u{fc}", bytes(""))] },
        ];
        let batch = Batch::parse(encode(&records).unwrap()).unwrap();
        let read = records_of(&batch).unwrap();
        assert_eq!(read.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 1, 2]);
        let read = read.into_iter().map(|Record { key, value, headers, .. }| NewRecord { key, value, headers });
        assert_eq!(read.collect::<Vec<_>>(), records);
    }
}
