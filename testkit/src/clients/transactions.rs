//! Transactions by the hundred thousand.
//!
//! A coordinator ends some hundred transactions a second. So its part is played here: batches of several producers' transactions and the
//! markers that end them go to the partitions' leader by the requests that producers and coordinators send. What brokers and readers make
//! of that is the same.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        InitProducerIdRequest, ProduceRequest, ProducerId, RequestHeader, ResponseHeader, TopicName, TransactionalId,
        WriteTxnMarkersRequest,
        produce_request::{PartitionProduceData, TopicProduceData},
        write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic},
    },
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes},
    records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::DEADLINE;
use crate::environment::unique;
use crate::wait::wait_until;

/// Producers of each partition, as many of whose transactions may be open at a time.
const PRODUCERS: u64 = 4;
/// Requests of a producer that are under way at a time.
const WINDOW: usize = 100;

/// Which transactions [`transactions`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transactions {
    /// How many, over all partitions.
    pub count: u64,
    /// Partitions 0 to this (exclusive) of the topic.
    pub partitions: i32,
    /// A batch has 1 to so many records. Most transactions have one or two batches.
    pub most_records: u64,
    /// One of so many is aborted.
    pub aborted_of: u64,
}

/// What [`transactions`] has made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Made {
    /// Transactions that were committed, and records in them.
    pub committed: (u64, u64),
    /// Transactions that were aborted, and records in them.
    pub aborted: (u64, u64),
}

/// Writes small transactions, several open at a time in each partition. The cluster must be one broker (`bootstrap`) with
/// `transaction.partition.verification.enable=false`, or it asks a coordinator who knows nothing of them.
pub async fn transactions(bootstrap: &str, topic: &str, wanted: &Transactions) -> Result<Made> {
    ensure!(!bootstrap.contains(','), "{bootstrap}: want one broker");
    // A request may have batches of one producer only, and a broker takes one request of a connection at a time.
    let mut producers = JoinSet::new();
    for number in 0..PRODUCERS {
        let count = wanted.count / PRODUCERS + u64::from(number < wanted.count % PRODUCERS);
        let share = Transactions { count, ..*wanted };
        producers.spawn(one_producer_s(bootstrap.to_owned(), topic.to_owned(), share, number));
    }
    let mut made = Made::default();
    while let Some(share) = producers.join_next().await {
        let Made { committed, aborted } = share??;
        for (sum, of_one) in [(&mut made.committed, committed), (&mut made.aborted, aborted)] {
            *sum = (sum.0 + of_one.0, sum.1 + of_one.1);
        }
    }
    Ok(made)
}

async fn one_producer_s(bootstrap: String, topic: String, wanted: Transactions, number: u64) -> Result<Made> {
    // A broker that was just started has none to give away yet.
    let producer = wait_until("a producer id", DEADLINE, || Leader::producer_id(&bootstrap)).await?;
    let mut leader = Leader::connect(&bootstrap).await?;
    let topic = TopicName(StrBytes::from_string(topic));
    let id = TransactionalId(StrBytes::from_string(unique("transactions")));
    let count = usize::try_from(wanted.partitions)?;
    let (mut open, mut sequences) = (vec![None::<u64>; count], vec![0; count]);
    let (mut made, mut begun, mut step) = (Made::default(), 0, number);
    loop {
        let (mut batches, mut markers) = (Vec::new(), Vec::new());
        step += PRODUCERS;
        for partition in 0..count {
            let thrown = thrown(step, partition as u64);
            match open[partition] {
                Some(records) if thrown >> 8 & 3 != 0 || begun == wanted.count => {
                    let is_committed = !(thrown >> 16).is_multiple_of(wanted.aborted_of);
                    let sum = if is_committed { &mut made.committed } else { &mut made.aborted };
                    *sum = (sum.0 + 1, sum.1 + records);
                    open[partition] = None;
                    markers.push(marker(producer, is_committed, &topic, partition as i32));
                }
                before if before.is_some() || begun < wanted.count => {
                    begun += u64::from(before.is_none());
                    let records = 1 + (thrown >> 24) % wanted.most_records;
                    open[partition] = Some(before.unwrap_or(0) + records);
                    let (records, next) = batch(producer, sequences[partition], records)?;
                    sequences[partition] = next;
                    let batch = PartitionProduceData::default().with_index(partition as i32);
                    batches.push(batch.with_records(Some(records)));
                }
                _ => {}
            }
        }
        if !batches.is_empty() {
            let topic = TopicProduceData::default().with_name(topic.clone()).with_partition_data(batches);
            let request = ProduceRequest::default().with_transactional_id(Some(id.clone())).with_acks(-1);
            leader.queue(&request.with_timeout_ms(30_000).with_topic_data(vec![topic]), PRODUCE)?;
        }
        if !markers.is_empty() {
            leader.queue(&WriteTxnMarkersRequest::default().with_markers(markers), MARKERS)?;
        }
        let is_over = begun == wanted.count && open.iter().all(Option::is_none);
        if leader.sent.len() >= WINDOW || is_over {
            leader.exchange().await?;
        }
        if is_over {
            return Ok(made);
        }
    }
}

/// Pseudo-random, the same in each run (SplitMix64).
fn thrown(step: u64, partition: u64) -> u64 {
    let mixed = (step << 16 | partition).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)) >> 8
}

fn marker(producer: ProducerId, is_committed: bool, topic: &TopicName, partition: i32) -> WritableTxnMarker {
    let topic = WritableTxnMarkerTopic::default().with_name(topic.clone()).with_partition_indexes(vec![partition]);
    WritableTxnMarker::default()
        .with_producer_id(producer)
        .with_transaction_result(is_committed)
        .with_topics(vec![topic])
}

/// A batch and the sequence that comes after it.
fn batch(producer: ProducerId, sequence: i32, records: u64) -> Result<(Bytes, i32)> {
    let record = |at: i32| Record {
        transactional: true,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: producer.0,
        producer_epoch: 0,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(at),
        sequence: sequence + at,
        timestamp: 1_700_000_000_000 + i64::from(sequence + at),
        key: Some(Bytes::from(producer.0.to_string())),
        value: Some(Bytes::from(format!("record {} of producer {}", sequence + at, producer.0))),
        headers: Default::default(),
    };
    let count = i32::try_from(records)?;
    let records: Vec<Record> = (0..count).map(record).collect();
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, records.iter(), &options)?;
    Ok((batch.freeze(), sequence + count))
}

/// Versions that brokers from 2.8 on speak.
const PRODUCE: i16 = 9;
const MARKERS: i16 = 1;
const PRODUCER_ID: i16 = 4;

/// The leader of all partitions. It answers in the order in which it is asked.
struct Leader {
    stream: TcpStream,
    /// Of the requests in `frames`: is it one with markers?
    sent: Vec<bool>,
    frames: BytesMut,
}

impl Leader {
    async fn connect(bootstrap: &str) -> Result<Self> {
        let stream = TcpStream::connect(bootstrap).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, sent: Vec::new(), frames: BytesMut::new() })
    }

    fn queue<R: Request>(&mut self, request: &R, version: i16) -> Result<()> {
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(i32::try_from(self.sent.len())?);
        let mut frame = BytesMut::new();
        header.encode(&mut frame, R::header_version(version))?;
        request.encode(&mut frame, version)?;
        self.frames.put_i32(i32::try_from(frame.len())?);
        self.frames.put(frame);
        self.sent.push(R::KEY == WriteTxnMarkersRequest::KEY);
        Ok(())
    }

    /// Sends what is queued, and checks the answers.
    async fn exchange(&mut self) -> Result<()> {
        self.stream.write_all(&self.frames.split()).await?;
        for is_markers in std::mem::take(&mut self.sent) {
            let codes: Vec<i16> = if is_markers {
                let answer = self.answer::<WriteTxnMarkersRequest>(MARKERS).await?;
                let topics = answer.markers.into_iter().flat_map(|marker| marker.topics);
                topics.flat_map(|topic| topic.partitions).map(|partition| partition.error_code).collect()
            } else {
                let answer = self.answer::<ProduceRequest>(PRODUCE).await?;
                let partitions = answer.responses.into_iter().flat_map(|topic| topic.partition_responses);
                partitions.map(|partition| partition.error_code).collect()
            };
            ensure!(!codes.is_empty(), "nothing is answered");
            if let Some(code) = codes.iter().find(|code| **code != 0) {
                bail!("error {code} for {}", if is_markers { "a marker" } else { "a batch" });
            }
        }
        Ok(())
    }

    async fn producer_id(bootstrap: &str) -> Result<ProducerId> {
        let mut broker = Self::connect(bootstrap).await?;
        let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
        broker.queue(&request.with_producer_id(ProducerId(-1)).with_producer_epoch(-1), PRODUCER_ID)?;
        broker.stream.write_all(&broker.frames).await?;
        let answer = broker.answer::<InitProducerIdRequest>(PRODUCER_ID).await?;
        ensure!(answer.error_code == 0, "error {}", answer.error_code);
        Ok(answer.producer_id)
    }

    async fn answer<R: Request>(&mut self, version: i16) -> Result<R::Response> {
        let length = self.stream.read_i32().await?;
        let mut frame = vec![0; usize::try_from(length)?];
        self.stream.read_exact(&mut frame).await?;
        let mut frame = Bytes::from(frame);
        ResponseHeader::decode(&mut frame, R::Response::header_version(version))?;
        let answer = R::Response::decode(&mut frame, version).context("an answer")?;
        ensure!(!frame.has_remaining(), "{} bytes more than an answer", frame.remaining());
        Ok(answer)
    }
}
