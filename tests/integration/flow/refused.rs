//! Batches and records that the target does not take.

use ::testkit::{
    Codec, Producing, Record, anyhow::Result, anyhow::ensure, create_topic, produce, produce_with, set_topic_configs,
    topic_configs, unique, wait_until,
};
use kmirror::{config::IsolationLevel::ReadUncommitted, flow::PoisonPolicy, reader::ReadRecord};

use super::{opened::content, *};
use crate::shared::read_topic;

pub(super) const LARGE: usize = 60_000;

/// Some of them larger than [`LARGE`].
fn of_all_sizes(large: &[usize]) -> Vec<Record> {
    let size = |n: usize| if large.contains(&n) { LARGE } else { 100 + 37 * (n % 50) };
    (0..300).map(|n| Record::new(format!("key-{n}"), noise(n, size(n)))).collect()
}

/// Bytes that no codec makes smaller.
pub(super) fn noise(seed: usize, bytes: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

async fn in_all_codecs(bootstrap: &str, topic: &str, records: &[Record]) -> Result<()> {
    for (codec, partition) in Codec::ALL.into_iter().zip(0..) {
        let large = Producing { codec, batch_records: Some(150), ..Producing::default() };
        produce_with(bootstrap, topic, partition, records, &large).await?;
    }
    Ok(())
}

fn without(records: Vec<Vec<ReadRecord>>, left_out: &[i64]) -> Vec<Vec<ReadRecord>> {
    let rest = |all: Vec<ReadRecord>| all.into_iter().filter(|record| !left_out.contains(&record.offset)).collect();
    records.into_iter().map(rest).collect()
}

#[tokio::test]
async fn batches_too_large_for_the_target_are_split() -> Result<()> {
    let pair = pair().await?;
    let (from, to) = (unique("large"), unique("mirror.large"));
    create_topic(&pair.source, &from, 5, 1, &[]).await?;
    create_topic(&pair.target, &to, 5, 1, &[("max.message.bytes", "20000")]).await?;
    in_all_codecs(&pair.source, &from, &of_all_sizes(&[])).await?;
    let flow = flow(&pair.source, &pair.target, &from, &to, 5, Start::Earliest);
    reached(&flow, &from, &[299; 5]).await?;
    assert_eq!(
        content(read_topic(&pair.target, &to, ReadUncommitted).await?),
        content(read_topic(&pair.source, &from, ReadUncommitted).await?)
    );

    // Nobody tells that it becomes less meanwhile: a refusal does.
    set_topic_configs(&pair.target, &to, &[("max.message.bytes", "9000")]).await?;
    in_all_codecs(&pair.source, &from, &of_all_sizes(&[])).await?;
    reached(&flow, &from, &[599; 5]).await?;
    assert_eq!(
        content(read_topic(&pair.target, &to, ReadUncommitted).await?),
        content(read_topic(&pair.source, &from, ReadUncommitted).await?)
    );
    assert_eq!(flow.status().borrow().poison, BTreeMap::new());
    Ok(())
}

#[tokio::test]
async fn a_record_too_large_for_the_target_follows_the_policy() -> Result<()> {
    const LEFT_OUT: [i64; 3] = [7, 149, 299];
    let pair = pair().await?;
    let from = unique("poison");
    create_topic(&pair.source, &from, 5, 1, &[]).await?;
    in_all_codecs(&pair.source, &from, &of_all_sizes(&LEFT_OUT.map(|offset| offset as usize))).await?;
    let (skipped, failed) = (unique("mirror.skipped"), unique("mirror.failed"));
    for topic in [&skipped, &failed] {
        create_topic(&pair.target, topic, 5, 1, &[("max.message.bytes", "20000")]).await?;
    }

    let mut skipping = spec(&pair.source, &pair.target, &from, &skipped, 0..5, Start::Earliest);
    skipping.write.poison = PoisonPolicy::Skip;
    let skips = Engine::new("skips").start(skipping);
    let fails = flow(&pair.source, &pair.target, &from, &failed, 5, Start::Earliest);
    // Also behind the last one, which is left out.
    reached(&skips, &from, &[299; 5]).await?;
    let all = read_topic(&pair.source, &from, ReadUncommitted).await?;
    assert_eq!(
        content(read_topic(&pair.target, &skipped, ReadUncommitted).await?),
        content(without(all.clone(), &LEFT_OUT))
    );
    for (partition, count) in &skips.status().borrow().poison {
        assert_eq!((count.records, count.next), (3, 300), "{partition}");
        let (size, limit) =
            (count.last.starts_with("MESSAGE_TOO_LARGE: 60"), count.last.ends_with("the topic takes 20000"));
        assert!(size && limit, "{partition}: {}", count.last);
    }
    assert_eq!(skips.status().borrow().poison.len(), 5);

    wait_until("all partitions to stop", DEADLINE, || async {
        let status = fails.status().borrow().clone();
        ensure!(status.stopped.len() == 5, "{status:?}");
        Ok(())
    })
    .await?;
    for (partition, reason) in &fails.status().borrow().stopped {
        let expected = format!("the record of {partition} at offset 7 is refused for {failed}-");
        assert!(reason.contains(&expected) && reason.contains("MESSAGE_TOO_LARGE"), "{reason}");
    }
    let before: Vec<_> = all.into_iter().map(|records| records.into_iter().take(7).collect()).collect();
    assert_eq!(
        content(read_topic(&pair.target, &failed, ReadUncommitted).await?),
        content(before),
        "what comes before it is there"
    );
    Ok(())
}

#[tokio::test]
async fn records_whose_times_or_keys_the_target_refuses_are_named() -> Result<()> {
    const HOUR: i64 = 3_600_000;
    let pair = pair().await?;
    let (from, to) = (unique("refused"), unique("mirror.refused"));
    create_topic(&pair.source, &from, 5, 1, &[("message.timestamp.after.max.ms", "9223372036854775807")]).await?;
    let narrow = [("cleanup.policy", "compact"), ("message.timestamp.after.max.ms", "3600000")];
    create_topic(&pair.target, &to, 5, 1, &narrow).await?;
    let record = |n: i64| {
        let at = if n % 17 == 3 { now_ms() + 48 * HOUR } else { now_ms() - n };
        let record = Record::new(format!("key-{n}"), format!("value-{n}")).at(at);
        if n % 29 == 5 { Record { key: None, ..record } } else { record }
    };
    in_all_codecs(&pair.source, &from, &(0..300).map(record).collect::<Vec<_>>()).await?;
    let mut spec = spec(&pair.source, &pair.target, &from, &to, 0..5, Start::Earliest);
    spec.write.poison = PoisonPolicy::Skip;
    let flow = Engine::new("times").start(spec);
    reached(&flow, &from, &[299; 5]).await?;
    let left_out: Vec<i64> = (0..300).filter(|n| n % 17 == 3 || n % 29 == 5).collect();
    let expected = content(without(read_topic(&pair.source, &from, ReadUncommitted).await?, &left_out));
    assert_eq!(content(read_topic(&pair.target, &to, ReadUncommitted).await?), expected);
    for count in flow.status().borrow().poison.values() {
        assert_eq!(count.records, left_out.len() as u64);
    }
    // What is produced later arrives.
    produce(&pair.source, &from, 0, &[Record::new("the", "end")], Codec::None).await?;
    reached(&flow, &from, &[300, 299, 299, 299, 299]).await
}

#[tokio::test]
async fn a_parked_record_is_whole_and_says_whence_it_comes() -> Result<()> {
    let pair = pair().await?;
    let (from, to, park) = (unique("parked"), unique("mirror.parked"), unique("poison"));
    create_topic(&pair.source, &from, 2, 1, &[]).await?;
    create_topic(&pair.target, &to, 2, 1, &[("max.message.bytes", "20000")]).await?;
    let large = Record::new(vec![0xff, 0x00], noise(3, LARGE)).header("h", None).header("h", Some(b"1")).at(now_ms());
    let small = Record::new("key", "value");
    produce(&pair.source, &from, 1, &[small.clone(), large, small], Codec::Zstd).await?;
    let mut spec = spec(&pair.source, &pair.target, &from, &to, 0..2, Start::Earliest);
    spec.write.poison = PoisonPolicy::Park { topic: park.clone() };
    spec.write.replication_factor = 1;
    let flow = Engine::new("parks").start(spec);
    wait_until("the position", DEADLINE, || async {
        let (now, status) = (flow.positions(), flow.status().borrow().clone());
        ensure!(now.get(&TopicPartition::new(&from, 1)).is_some_and(|at| at.offset == 2), "{now:?} {status:?}");
        Ok(())
    })
    .await?;
    let source = content(read_topic(&pair.source, &from, ReadUncommitted).await?);
    assert_eq!(
        content(read_topic(&pair.target, &to, ReadUncommitted).await?)[1],
        [source[1][0].clone(), source[1][2].clone()]
    );
    let mut parked = content(read_topic(&pair.target, &park, ReadUncommitted).await?);
    assert_eq!((parked.len(), parked[0].len()), (1, 1));
    let whence = parked[0][0].headers.split_off(2);
    assert_eq!(parked[0][0], source[1][1], "apart from its last headers it is what it was");
    let whence: BTreeMap<String, String> = whence
        .into_iter()
        .map(|(key, value)| {
            [key, value.unwrap_or_default()].map(|text| String::from_utf8(text).unwrap_or_default()).into()
        })
        .collect();
    for (key, value) in [
        ("__connect.errors.topic", from.as_str()),
        ("__connect.errors.partition", "1"),
        ("__connect.errors.offset", "1"),
        ("kmirror.source.cluster.alias", "a"),
    ] {
        assert_eq!(whence[key], value, "{key}");
    }
    assert!(whence["__connect.errors.exception.message"].starts_with("MESSAGE_TOO_LARGE: 60"), "{whence:?}");
    let limit = &topic_configs(&pair.target, &park).await?["max.message.bytes"];
    assert_eq!(limit, "104857600");
    Ok(())
}

#[tokio::test]
async fn what_can_not_be_parked_stops_its_partition() -> Result<()> {
    let pair = pair().await?;
    let (from, to) = (unique("unparked"), unique("mirror.unparked"));
    create_topic(&pair.source, &from, 1, 1, &[]).await?;
    create_topic(&pair.target, &to, 1, 1, &[("max.message.bytes", "20000")]).await?;
    produce(&pair.source, &from, 0, &[Record::value("before"), Record::value(noise(1, LARGE))], Codec::None).await?;
    let mut spec = spec(&pair.source, &pair.target, &from, &to, 0..1, Start::Earliest);
    // More replicas than there are brokers.
    spec.write.poison = PoisonPolicy::Park { topic: unique("poison") };
    spec.write.replication_factor = 99;
    let flow = Engine::new("can't park").start(spec);
    wait_until("the partition to stop", DEADLINE, || async {
        let status = flow.status().borrow().clone();
        let reason = status.stopped.values().next().cloned().unwrap_or_default();
        ensure!(
            reason.contains(&format!("the record of {from}-0 at offset 1 can't be written, nor parked")),
            "{status:?}"
        );
        ensure!(reason.contains("INVALID_REPLICATION_FACTOR"), "{reason}");
        Ok(())
    })
    .await
}
