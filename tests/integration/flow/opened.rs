//! Batches that can't pass as they are: consumers of the target see what consumers of the source see.

use ::testkit::{anyhow::Result, anyhow::ensure, create_topic, produce, produce_with, unique, wait_until};
use ::wire::{BatchHeader, Batches, Stored};
use kmirror::{
    config::IsolationLevel::{self, ReadCommitted, ReadUncommitted},
    reader::{ReadRecord, TimestampType},
};

use super::*;
use crate::shared::read_topic;

/// How records are copied: offsets are each cluster's own, and what a target's topic calls its times is its own as well.
pub(super) fn content(partitions: Vec<Vec<ReadRecord>>) -> Vec<Vec<ReadRecord>> {
    let of = |record: ReadRecord| ReadRecord { offset: 0, timestamp_type: TimestampType::CreateTime, ..record };
    partitions.into_iter().map(|records| records.into_iter().map(of).collect()).collect()
}

async fn arrives(source: &str, from: &str, level: IsolationLevel, target: &str, to: &str, flow: &Flow) -> Result<()> {
    wait_until("the same records at both ends", DEADLINE, || async {
        let expected = content(read_topic(source, from, level).await?);
        let found = content(read_topic(target, to, ReadUncommitted).await?);
        let counts = |partitions: &[Vec<ReadRecord>]| partitions.iter().map(Vec::len).collect::<Vec<_>>();
        let status = flow.status().borrow().clone();
        ensure!(found == expected, "{:?} of {:?}: {status:?}", counts(&found), counts(&expected));
        Ok(())
    })
    .await
}

/// The headers of a partition's batches, up to 1 MiB of them.
async fn headers(cluster: &Cluster, at: &TopicPartition) -> Result<Vec<BatchHeader>> {
    let records = crate::wire::fetch_from(cluster, at, 0).await?;
    let header = |stored| match stored {
        Ok(Stored::Batch(batch)) => Some(*batch.header()),
        _ => None,
    };
    Ok(Batches::new(records, 1 << 20).filter_map(header).collect())
}

fn transaction(commit: bool, codec: Codec) -> Producing {
    Producing { transaction: Some((unique("txn"), commit)), codec, batch_records: Some(7), ..Producing::default() }
}

#[tokio::test]
async fn committed_transactions_arrive_and_aborted_ones_do_not() -> Result<()> {
    // MirrorConnectorsIntegrationTransactionsTest.*
    let pair = pair().await?;
    let (from, to, all) = (unique("transactions"), unique("mirror.transactions"), unique("mirror.uncommitted"));
    create_topic(&pair.source, &from, 2, 1, &[]).await?;
    for topic in [&to, &all] {
        create_topic(&pair.target, topic, 2, 1, &[]).await?;
    }
    let committed = flow(&pair.source, &pair.target, &from, &to, 2, Start::Earliest);
    let mut spec = spec(&pair.source, &pair.target, &from, &all, 0..2, Start::Earliest);
    spec.fetch.read_committed = false;
    let uncommitted = Engine::new("uncommitted").start(spec);
    for round in 0..3 {
        for (commit, codec) in [(true, Codec::Lz4), (false, Codec::None), (false, Codec::Gzip), (true, Codec::Zstd)] {
            produce_with(&pair.source, &from, 0, &awkward_records(20 + round), &transaction(commit, codec)).await?;
        }
        produce(&pair.source, &from, 0, &awkward_records(3), Codec::Snappy).await?;
        produce_with(&pair.source, &from, 1, &awkward_records(10), &transaction(false, Codec::None)).await?;
    }
    produce(&pair.source, &from, 1, &[Record::value("the end")], Codec::None).await?;
    arrives(&pair.source, &from, ReadCommitted, &pair.target, &to, &committed).await?;
    arrives(&pair.source, &from, ReadUncommitted, &pair.target, &all, &uncommitted).await?;
    let records: Vec<_> = read_topic(&pair.target, &to, ReadUncommitted).await?.iter().map(Vec::len).collect();
    assert_eq!(records, [2 * (20 + 21 + 22) + 9, 1]);
    let batches = committed.batches();
    assert!(batches["drop: control"] >= 12 && batches["drop: aborted"] >= 12 && batches["pass"] > 0, "{batches:?}");
    assert!(!uncommitted.batches().contains_key("drop: aborted"));
    Ok(())
}

#[tokio::test]
async fn a_compacted_topic_arrives_as_it_is_left() -> Result<()> {
    let pair = pair().await?;
    let (from, to) = (unique("compacted"), unique("mirror.compacted"));
    let compacting = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("segment.bytes", "1048576"),
        ("delete.retention.ms", "86400000"),
    ];
    let partitions = i32::try_from(Codec::ALL.len())?;
    create_topic(&pair.source, &from, partitions, 1, &compacting).await?;
    create_topic(&pair.target, &to, partitions, 1, &[("cleanup.policy", "compact")]).await?;
    let keyed = |key: i64, n: i64| {
        let record = Record::new(format!("key-{key}"), format!("{n}-{}", "x".repeat(300))).at(now_ms() + n);
        let record = if key % 7 == 3 { Record { value: None, ..record } } else { record };
        if key % 3 == 0 { record.header("h", Some(b"1")).header("h", None) } else { record }
    };
    let records: Vec<Record> = (0..400).map(|n| keyed(n * n % 61, n)).collect();
    // Rolls the segment: the cleaner leaves the last one alone.
    let rolls: Vec<Record> =
        (0..12).map(|n| Record::new(format!("large-{n}"), vec![u8::try_from(n).unwrap_or(0); 100_000])).collect();
    for (codec, partition) in Codec::ALL.into_iter().zip(0..) {
        let batches = Producing { codec, batch_records: Some(9), ..Producing::default() };
        produce_with(&pair.source, &from, partition, &records, &batches).await?;
        let plain = Producing { batch_records: Some(1), ..Producing::default() };
        produce_with(&pair.source, &from, partition, &rolls, &plain).await?;
    }
    wait_until("the cleaner", 2 * DEADLINE, || async {
        let left: Vec<_> = read_topic(&pair.source, &from, ReadUncommitted).await?.iter().map(Vec::len).collect();
        ensure!(left.iter().all(|count| *count < 200), "{left:?} records are left");
        Ok(())
    })
    .await?;
    let flow = flow(&pair.source, &pair.target, &from, &to, partitions, Start::Earliest);
    arrives(&pair.source, &from, ReadCommitted, &pair.target, &to, &flow).await?;
    let batches = flow.batches();
    // Which of the two is a matter of how often the cleaner ran.
    let left: u64 =
        ["reencode: compaction gap", "reencode: delete horizon"].iter().filter_map(|why| batches.get(why)).sum();
    assert!(left > 20, "{batches:?}");
    Ok(())
}

#[tokio::test]
async fn times_of_a_broker_arrive_as_times_of_records() -> Result<()> {
    let pair = pair().await?;
    let (from, to) = (unique("append-time"), unique("mirror.append-time"));
    create_topic(&pair.source, &from, 5, 1, &[("message.timestamp.type", "LogAppendTime")]).await?;
    create_topic(&pair.target, &to, 5, 1, &[]).await?;
    for (codec, partition) in Codec::ALL.into_iter().zip(0..) {
        produce(&pair.source, &from, partition, &awkward_records(50), codec).await?;
    }
    let flow = flow(&pair.source, &pair.target, &from, &to, 5, Start::Earliest);
    arrives(&pair.source, &from, ReadCommitted, &pair.target, &to, &flow).await
}

#[tokio::test]
async fn a_copy_may_begin_within_a_batch() -> Result<()> {
    let pair = pair().await?;
    let (from, to) = (unique("within"), unique("mirror.within"));
    create_topic(&pair.source, &from, 5, 1, &[]).await?;
    create_topic(&pair.target, &to, 5, 1, &[]).await?;
    for (codec, partition) in Codec::ALL.into_iter().zip(0..) {
        produce(&pair.source, &from, partition, &awkward_records(50), codec).await?;
    }
    let flow = flow(&pair.source, &pair.target, &from, &to, 5, Start::At(17));
    reached(&flow, &from, &[49; 5]).await?;
    let expected: Vec<Vec<_>> = content(read_topic(&pair.source, &from, ReadUncommitted).await?)
        .into_iter()
        .map(|all| all[17..].to_vec())
        .collect();
    assert_eq!(content(read_topic(&pair.target, &to, ReadUncommitted).await?), expected);
    Ok(())
}

#[tokio::test]
async fn small_batches_that_wait_are_joined_unless_that_is_unwanted() -> Result<()> {
    let pair = pair().await?;
    let (from, joined, kept) = (unique("small"), unique("mirror.joined"), unique("mirror.kept"));
    create_topic(&pair.source, &from, 1, 1, &[]).await?;
    for topic in [&joined, &kept] {
        create_topic(&pair.target, topic, 1, 1, &[]).await?;
    }
    let small = Producing { batch_records: Some(5), ..Producing::default() };
    produce_with(&pair.source, &from, 0, &awkward_records(1_000), &small).await?;
    let joins = flow(&pair.source, &pair.target, &from, &joined, 1, Start::Earliest);
    let mut spec = spec(&pair.source, &pair.target, &from, &kept, 0..1, Start::Earliest);
    spec.write.join = false;
    let keeps = Engine::new("keeps").start(spec);
    for (topic, flow) in [(&joined, &joins), (&kept, &keeps)] {
        arrives(&pair.source, &from, ReadUncommitted, &pair.target, topic, flow).await?;
        reached(flow, &from, &[999]).await?;
    }
    let target = cluster("b", &pair.target);
    let batches = async |topic: &str| headers(&target, &TopicPartition::new(topic, 0)).await.map(|all| all.len());
    assert_eq!(batches(&kept).await?, 200);
    let count = batches(&joined).await?;
    assert!(count < 20, "{count} batches");
    Ok(())
}

#[tokio::test]
async fn batches_get_the_compression_that_is_configured() -> Result<()> {
    let pair = pair().await?;
    let from = unique("compressed");
    create_topic(&pair.source, &from, 5, 1, &[]).await?;
    for (codec, partition) in Codec::ALL.into_iter().zip(0..) {
        produce(&pair.source, &from, partition, &awkward_records(200), codec).await?;
    }
    for codec in
        [::wire::Codec::None, ::wire::Codec::Gzip, ::wire::Codec::Snappy, ::wire::Codec::Lz4, ::wire::Codec::Zstd]
    {
        let to = unique("mirror.compressed");
        create_topic(&pair.target, &to, 5, 1, &[]).await?;
        let mut spec = spec(&pair.source, &pair.target, &from, &to, 0..5, Start::Earliest);
        spec.write.codec = Some(codec);
        let flow = Engine::new("compresses").start(spec);
        arrives(&pair.source, &from, ReadUncommitted, &pair.target, &to, &flow).await?;
        for partition in 0..5 {
            let all = headers(&cluster("b", &pair.target), &TopicPartition::new(&to, partition)).await?;
            assert!(!all.is_empty() && all.iter().all(|header| header.codec() == Ok(codec)), "{all:?}");
        }
    }
    Ok(())
}

mod full {
    use ::testkit::OpenTransaction;
    use tokio::time::timeout;

    use super::*;

    /// That takes a minute, by the default of `transaction.timeout.ms`.
    #[tokio::test]
    async fn a_transaction_that_stays_open_is_told_until_it_ends() -> Result<()> {
        let pair = pair().await?;
        let (from, to) = (unique("open"), unique("mirror.open"));
        create_topic(&pair.source, &from, 2, 1, &[]).await?;
        create_topic(&pair.target, &to, 2, 1, &[]).await?;
        produce(&pair.source, &from, 0, &awkward_records(5), Codec::None).await?;
        let open = OpenTransaction::begin(&pair.source, &from, 0, &awkward_records(3), 10 * DEADLINE).await?;
        for partition in [0, 1] {
            produce(&pair.source, &from, partition, &awkward_records(4), Codec::Lz4).await?;
        }
        let flow = flow(&pair.source, &pair.target, &from, &to, 2, Start::Earliest);
        reached(&flow, &from, &[4, 3]).await?;
        let mut status = flow.status();
        let told = timeout(2 * DEADLINE, status.wait_for(|status| !status.held_back.is_empty())).await??.clone();
        assert_eq!(told.held_back, BTreeMap::from([(TopicPartition::new(&from, 0), 5)]));
        assert!(told.stopped.is_empty(), "{told:?}");
        // What is not held back goes on, and what is, does not.
        produce(&pair.source, &from, 1, &awkward_records(1), Codec::None).await?;
        reached(&flow, &from, &[4, 4]).await?;

        open.end(true).await?;
        timeout(DEADLINE, status.wait_for(|status| status.held_back.is_empty())).await??;
        arrives(&pair.source, &from, ReadCommitted, &pair.target, &to, &flow).await?;
        let records: Vec<_> = read_topic(&pair.target, &to, ReadUncommitted).await?.iter().map(Vec::len).collect();
        assert_eq!(records, [12, 5]);
        Ok(())
    }
}
