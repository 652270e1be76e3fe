//! The data plane between two real clusters.

mod header_names;
mod opened;
mod parking;
mod refused;
mod routed;

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ::testkit::{
    Codec, Producing, Record, anyhow::Result, anyhow::ensure, create_topic, produce, produce_with, read_all, unique,
    wait_until,
};
use ::wire::{Cluster, ClusterConfig, TopicPartition};
use kmirror::flow::{
    Engine, Events, FetchSettings, Flow, FlowPartition, FlowSpec, GapPolicies, Limits, RateCap, Start, WriteSettings,
};

use crate::shared::pair;

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

fn cluster(alias: &str, bootstrap: &str) -> Cluster {
    Cluster::new(ClusterConfig::new(alias, &crate::shared::addresses(bootstrap)))
}

pub(crate) fn flow(source: &str, target: &str, from: &str, to: &str, partitions: i32, start: Start) -> Flow {
    Engine::new("test").start(spec(source, target, from, to, 0..partitions, start))
}

pub(crate) fn spec(source: &str, target: &str, from: &str, to: &str, partitions: Range<i32>, start: Start) -> FlowSpec {
    let partition = |p| FlowPartition {
        source: TopicPartition::new(from, p),
        target: TopicPartition::new(to, p),
        start,
        anchored: None,
        transforms: None,
    };
    FlowSpec {
        name: "test-0".to_owned(),
        consumer_client_id: "a->b|test-0|replication-consumer".to_owned(),
        producer_client_id: "connector-producer-test-0".to_owned(),
        source: cluster("a", source),
        target: cluster("b", target),
        partitions: partitions.map(partition).collect(),
        fetch: FetchSettings::default(),
        write: WriteSettings::default(),
        limits: Limits::default(),
        rate: RateCap::default(),
        anchoring: None,
        landings: None,
        gaps: GapPolicies::default(),
        events: Events::default(),
    }
}

/// Waits until the flow has acknowledged up to these last source offsets.
pub(crate) async fn reached(flow: &Flow, topic: &str, last: &[i64]) -> Result<()> {
    let wanted: BTreeMap<_, _> = last.iter().zip(0..).map(|(o, p)| (TopicPartition::new(topic, p), *o)).collect();
    wait_until("the flow's positions", DEADLINE, || async {
        let now: BTreeMap<_, _> = flow.positions().into_iter().map(|(p, at)| (p, at.offset)).collect();
        ensure!(now == wanted, "positions {now:?}, status {:?}", *flow.status().borrow());
        Ok(())
    })
    .await
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(0))
}

/// Keys, values, headers and timestamps that a careless copy would alter.
pub(crate) fn awkward_records(count: i64) -> Vec<Record> {
    (0..count)
        .map(|i| match i % 5 {
            0 => Record::new(format!("key-{i}"), format!("{{\"n\":{i},\"text\":\"{}\"}}", "x".repeat(400)))
                .at(now_ms() + i),
            1 => Record { key: None, value: Some(Vec::new()), ..Record::default() }.at(now_ms() - 86_400_000),
            2 => Record { key: Some(Vec::new()), value: None, ..Record::default() },
            3 => Record::value(vec![0xff, 0xfe, 0x00]).header("h", Some(b"1")).header("h", None).header("", Some(b"")),
            _ => Record::new(vec![0x80], vec![0_u8; 2_000]).header("z", Some(&[0xc3, 0x28])),
        })
        .collect()
}

#[tokio::test]
async fn every_codec_arrives_record_by_record() -> Result<()> {
    // MirrorSourceTaskTest.testSerde, testPoll
    let pair = pair().await?;
    let (from, to) = (unique("codecs"), unique("mirror.codecs"));
    let partitions = i32::try_from(Codec::ALL.len())?;
    create_topic(&pair.source, &from, partitions, 1, &[]).await?;
    create_topic(&pair.target, &to, partitions, 1, &[]).await?;
    for (codec, partition) in Codec::ALL.into_iter().zip(0..) {
        produce(&pair.source, &from, partition, &awkward_records(500), codec).await?;
    }
    let flow = flow(&pair.source, &pair.target, &from, &to, partitions, Start::Earliest);
    reached(&flow, &from, &[499; 5]).await?;
    assert_eq!(read_all(&pair.target, &to).await?, read_all(&pair.source, &from).await?);

    // What comes later is copied too, and a drain leaves nothing under way.
    produce(&pair.source, &from, 3, &awkward_records(10), Codec::Lz4).await?;
    reached(&flow, &from, &[499, 499, 499, 509, 499]).await?;
    let positions = flow.drain(DEADLINE).await;
    assert_eq!(positions[&TopicPartition::new(&from, 3)].offset, 509);
    assert_eq!(read_all(&pair.target, &to).await?, read_all(&pair.source, &from).await?);
    Ok(())
}

#[tokio::test]
async fn a_copy_goes_on_from_a_position_or_from_the_end() -> Result<()> {
    let pair = pair().await?;
    let (from, to, late) = (unique("starts"), unique("mirror.starts"), unique("mirror.late"));
    create_topic(&pair.source, &from, 1, 1, &[]).await?;
    for topic in [&to, &late] {
        create_topic(&pair.target, topic, 1, 1, &[]).await?;
    }
    let single = Producing { batch_records: Some(1), ..Producing::default() };
    let records: Vec<Record> = (0..20).map(|i| Record::value(format!("v{i}"))).collect();
    produce_with(&pair.source, &from, 0, &records, &single).await?;
    let at_the_end = flow(&pair.source, &pair.target, &from, &late, 1, Start::Latest);
    reached(&at_the_end, &from, &[19]).await?;
    let resumed = flow(&pair.source, &pair.target, &from, &to, 1, Start::At(15));
    reached(&resumed, &from, &[19]).await?;
    produce(&pair.source, &from, 0, &[Record::value("new")], Codec::None).await?;
    reached(&resumed, &from, &[20]).await?;
    reached(&at_the_end, &from, &[20]).await?;
    let values = |topic: Vec<Vec<::testkit::RecordView>>| -> Vec<String> {
        topic[0].iter().map(|r| String::from_utf8_lossy(r.value.as_deref().unwrap_or_default()).into_owned()).collect()
    };
    assert_eq!(values(read_all(&pair.target, &to).await?), ["v15", "v16", "v17", "v18", "v19", "new"]);
    assert_eq!(values(read_all(&pair.target, &late).await?), ["new"]);
    Ok(())
}

/// What flows of one engine share must not be mixed up when one of them ends and comes again under load.
#[tokio::test]
async fn flows_of_one_engine_come_and_go() -> Result<()> {
    let pair = pair().await?;
    let (from, to) = (unique("engine"), unique("mirror.engine"));
    create_topic(&pair.source, &from, 2, 1, &[]).await?;
    create_topic(&pair.target, &to, 2, 1, &[]).await?;
    let engine = Engine::new("test");
    let one = |p, start| engine.start(spec(&pair.source, &pair.target, &from, &to, p..p + 1, start));
    let lasting = one(1, Start::Earliest);
    let single = Producing { batch_records: Some(1), ..Producing::default() };
    let key = TopicPartition::new(&from, 0);
    let mut next = 0;
    for round in 0..12_i64 {
        let coming = one(0, Start::At(next));
        for partition in [0, 1] {
            let records: Vec<Record> = (0..100).map(|i| Record::value(format!("{partition} {round} {i}"))).collect();
            produce_with(&pair.source, &from, partition, &records, &single).await?;
        }
        // Mostly in the middle of the copy.
        next = coming.drain(DEADLINE).await.get(&key).map_or(next, |last| last.offset + 1);
    }
    let last = one(0, Start::At(next));
    let goes_on =
        |flow: &Flow, p| flow.positions().get(&TopicPartition::new(&from, p)).is_some_and(|at| at.offset == 1_199);
    wait_until("both flows to arrive", DEADLINE, || async {
        let (a, b) = (last.positions(), lasting.positions());
        ensure!((goes_on(&last, 0) || next == 1_200) && goes_on(&lasting, 1), "{a:?} from {next}, {b:?}");
        Ok(())
    })
    .await?;
    assert_eq!(read_all(&pair.target, &to).await?, read_all(&pair.source, &from).await?);
    // One that is dropped takes nothing with it.
    drop(last);
    produce(&pair.source, &from, 1, &[Record::value("after")], Codec::None).await?;
    wait_until("the other flow to go on", DEADLINE, || async {
        let now = lasting.positions();
        ensure!(now.get(&TopicPartition::new(&from, 1)).is_some_and(|at| at.offset == 1_200), "{now:?}");
        Ok(())
    })
    .await
}

/// What the target refuses stops its partition by name, and the others go on.
#[tokio::test]
async fn what_is_refused_stops_one_partition_only() -> Result<()> {
    let pair = pair().await?;
    let (from, to) = (unique("stops"), unique("mirror.stops"));
    create_topic(&pair.source, &from, 2, 1, &[]).await?;
    create_topic(&pair.target, &to, 2, 1, &[("max.message.bytes", "1000")]).await?;
    produce(&pair.source, &from, 0, &[Record::value("before")], Codec::None).await?;
    produce(&pair.source, &from, 0, &[Record::value(vec![b'x'; 2_000])], Codec::None).await?;
    let flow = flow(&pair.source, &pair.target, &from, &to, 2, Start::Earliest);
    let mut status = flow.status();
    let stopped = tokio::time::timeout(DEADLINE, status.wait_for(|s| !s.stopped.is_empty())).await??.stopped.clone();
    let reason = &stopped[&TopicPartition::new(&from, 0)];
    for named in [to.as_str(), "cluster b", "offset 1", "MESSAGE_TOO_LARGE"] {
        assert!(reason.contains(named), "{named} is missing: {reason}");
    }
    produce(&pair.source, &from, 1, &[Record::value("goes on")], Codec::None).await?;
    reached(&flow, &from, &[0, 0]).await?;
    assert_eq!(read_all(&pair.target, &to).await?.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    Ok(())
}
