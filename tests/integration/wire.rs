//! The protocol client against a real broker.

mod acls;
mod configs;
mod fetch;
mod groups;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::testkit::{Codec, Record, anyhow::Result, create_topic, produce, unique};
use ::wire::{
    Batches, Budget, Cluster, ClusterConfig, ConfigSource, Error, FetchLane, FetchLimits, FetchPartition, NewRecord,
    NewTopic, OffsetSpec, ProduceBatch, ProduceLane, Produced, Recovery, ResponseError, Stored, TopicPartition,
    rewrite_header,
};
use bytes::Bytes;

use crate::shared::pair;

fn client(bootstrap: &str) -> Cluster {
    Cluster::new(ClusterConfig::new("under-test", &crate::shared::addresses(bootstrap)))
}

/// A partition's batches from an offset on, up to 1 MiB.
pub(crate) async fn fetch_from(cluster: &Cluster, at: &TopicPartition, offset: i64) -> Result<Bytes> {
    cluster.topics(Some(std::slice::from_ref(&at.topic))).await?;
    let leader = cluster.leader(at).expect("a leader");
    let wanted = FetchPartition {
        partition: at.clone(),
        topic_id: leader.topic_id,
        offset,
        leader_epoch: leader.epoch,
        last_epoch: -1,
        max_bytes: 1 << 20,
        tag: 7,
    };
    let limits =
        FetchLimits { max_wait: Duration::from_secs(5), min_bytes: 1, max_bytes: 1 << 20, read_committed: false };
    let room = Budget::new(1 << 20).reserve(1 << 20, 1 << 20).expect("nothing is used");
    let mut answer = cluster.fetch_once(leader.broker, FetchLane::Follow, &[wanted], &limits, room).await?;
    let part = answer.pop().expect("one partition");
    assert_eq!((part.error, part.tag), (0, 7));
    Ok(part.records)
}

/// Appends a batch through a broker.
pub(crate) async fn send(cluster: &Cluster, broker: i32, batch: &ProduceBatch) -> Result<Produced> {
    let wait = Duration::from_secs(20);
    let mut answer = cluster.produce_on(broker, ProduceLane::Apart, std::slice::from_ref(batch), wait).await?;
    let part = answer.pop().expect("one partition");
    assert_eq!((part.tag, answer.len()), (batch.tag, 0));
    Ok(part)
}

#[tokio::test]
async fn topics_are_created_described_and_grown() -> Result<()> {
    let cluster = client(&pair().await?.source);
    let name = unique("wire-topics");
    let new = NewTopic {
        name: name.clone(),
        partitions: 2,
        replication_factor: -1,
        configs: vec![("retention.ms".to_owned(), "12345".to_owned())],
    };
    let refused =
        NewTopic { name: unique("wire-bad"), configs: vec![("no.such.key".to_owned(), "1".to_owned())], ..new.clone() };
    let outcomes = cluster.create_topics(&[new.clone(), refused]).await?;
    let id = outcomes[0].1.clone()?;
    let error = outcomes[1].1.clone().expect_err("an unknown setting");
    assert!(error.to_string().contains("INVALID_CONFIG") && error.to_string().contains("no.such.key"), "{error}");
    let again = cluster.create_topics(&[new]).await?;
    assert_eq!(again[0].1.clone().expect_err("it exists").response(), Some(ResponseError::TopicAlreadyExists));

    ::testkit::wait_for_topic(&pair().await?.source, &name, 2).await?;
    let told = cluster.topics(Some(std::slice::from_ref(&name))).await?;
    assert_eq!((id, outcomes[0].0.as_str()), (told[0].id, name.as_str()));
    let configs = cluster.describe_topic_configs(&[name.clone(), "no-such-topic".to_owned()], None).await?;
    let entries = configs[0].1.clone()?;
    let retention = entries.iter().find(|e| e.name == "retention.ms").expect("retention.ms");
    assert_eq!((retention.value.as_deref(), retention.source), (Some("12345"), ConfigSource::Topic));
    assert!(entries.iter().any(|e| e.source == ConfigSource::Default));
    assert_eq!(configs[1].1.clone().expect_err("missing").recovery(), Recovery::Refresh);

    assert_eq!(cluster.create_partitions(&[(name.clone(), 5)]).await?, [(name.clone(), Ok(()))]);
    ::testkit::wait_for_topic(&pair().await?.source, &name, 5).await?;
    let topics = cluster.topics(Some(&[name, "no-such-topic".to_owned()])).await?;
    assert_eq!(topics[0].partitions.len(), 5);
    assert!(topics[0].id != 0 && topics[0].error == 0);
    assert_eq!(topics[1].error, 3);
    Ok(())
}

#[tokio::test]
async fn raw_batches_travel_and_a_resend_is_known() -> Result<()> {
    let bootstrap = &pair().await?.source;
    let (from, to) = (TopicPartition::new(unique("wire-from"), 0), TopicPartition::new(unique("wire-to"), 0));
    for at in [&from, &to] {
        create_topic(bootstrap, &at.topic, 1, 1, &[]).await?;
    }
    // Not older than the topic's retention.
    let began = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let records: Vec<Record> = (0..50).map(|i| Record::new(format!("k{i}"), format!("v{i}")).at(began + i)).collect();
    produce(bootstrap, &from.topic, 0, &records, Codec::Zstd).await?;
    let cluster = client(bootstrap);
    let fetched = fetch_from(&cluster, &from, 0).await?;
    let batches: Vec<_> = Batches::new(fetched, 1 << 20).collect::<Result<_, _>>()?;
    let producer = cluster.init_producer_id().await?;
    let mut sequence = 0;
    cluster.topics(Some(std::slice::from_ref(&to.topic))).await?;
    for stored in &batches {
        let Stored::Batch(batch) = stored else { panic!("an old format") };
        let (header, payload) = rewrite_header(batch, producer.id, producer.epoch, sequence)?;
        let produce = ProduceBatch { partition: to.clone(), tag: 3, header, payload };
        let leader = cluster.leader(&to).expect("a leader").broker;
        let first = send(&cluster, leader, &produce).await?;
        let again = send(&cluster, leader, &produce).await?;
        assert_eq!((first.error, again.error), (0, 0));
        assert_eq!(first.base_offset, again.base_offset, "the same bytes again are the same batch");
        sequence += batch.header().record_count;
    }
    let (there, copied) =
        (::testkit::read_all(bootstrap, &from.topic).await?, ::testkit::read_all(bootstrap, &to.topic).await?);
    assert_eq!(there, copied);

    let remembered = cluster.describe_producers(&to).await?;
    assert_eq!((remembered[0].producer, remembered[0].last_sequence), (producer, sequence - 1));
    let bounds = cluster.list_offsets(&[(to.clone(), OffsetSpec::Latest)]).await?;
    assert_eq!(bounds, [(to.clone(), Ok(50))]);
    let by_time = OffsetSpec::Timestamp(began + 10);
    let timed = cluster.list_offsets(&[(from.clone(), by_time), (to.clone(), by_time)]).await?;
    assert_eq!(timed, [(from.clone(), Ok(10)), (to.clone(), Ok(10))]);
    let leader = cluster.leader(&to).expect("a leader");
    assert_eq!(cluster.epoch_end(&to, leader.epoch).await?.end_offset, 50);
    Ok(())
}

#[tokio::test]
async fn a_gap_in_the_sequence_is_refused() -> Result<()> {
    let bootstrap = &pair().await?.source;
    let at = TopicPartition::new(unique("wire-gap"), 0);
    create_topic(bootstrap, &at.topic, 1, 1, &[]).await?;
    produce(bootstrap, &at.topic, 0, &[Record::value("v")], Codec::None).await?;
    let cluster = client(bootstrap);
    let stored = Batches::new(fetch_from(&cluster, &at, 0).await?, 1 << 20).next().expect("a batch")?;
    let Stored::Batch(batch) = stored else { panic!("an old format") };
    let producer = cluster.init_producer_id().await?;
    let leader = cluster.leader(&at).expect("a leader").broker;
    let mut errors = Vec::new();
    for sequence in [0, 7] {
        let (header, payload) = rewrite_header(&batch, producer.id, producer.epoch, sequence)?;
        let answer = send(&cluster, leader, &ProduceBatch { partition: at.clone(), tag: 3, header, payload }).await?;
        errors.push(ResponseError::try_from_code(answer.error));
    }
    assert_eq!(errors, [None, Some(ResponseError::OutOfOrderSequenceNumber)]);
    Ok(())
}

#[tokio::test]
async fn small_topics_are_read_to_the_end() -> Result<()> {
    let bootstrap = &pair().await?.target;
    let at = TopicPartition::new(unique("wire-small"), 0);
    create_topic(bootstrap, &at.topic, 1, 1, &[("cleanup.policy", "compact")]).await?;
    let cluster = client(bootstrap);
    assert_eq!(cluster.read_records(&at, 0).await?, (Vec::new(), 0));
    let record = |key: &str, value: Option<&str>, header: Option<&str>| {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let headers = header.map(|value| ("h".to_owned(), Some(bytes(value)))).into_iter().collect();
        NewRecord { key: Some(bytes(key)), value: value.map(bytes), headers }
    };
    let [a, b] = [record("a", Some("1"), None), record("b", None, Some("x"))];
    assert_eq!(cluster.append_records(&at, &[a, b.clone()]).await?, 0);
    // What a Java worker with a compressing producer writes is read as well.
    let others = [Record::new("c", "3").header("h", Some(b"y")), Record::new("d", "4")];
    produce(bootstrap, &at.topic, 0, &others, Codec::Lz4).await?;
    let (records, end) = cluster.read_records(&at, 1).await?;
    let seen: Vec<_> =
        records.into_iter().map(|r| (r.offset, NewRecord { key: r.key, value: r.value, headers: r.headers })).collect();
    let expected = [(1, b), (2, record("c", Some("3"), Some("y"))), (3, record("d", Some("4"), None))];
    assert_eq!((seen.as_slice(), end), (expected.as_slice(), 4));
    Ok(())
}

#[tokio::test]
async fn an_unknown_group_is_dead_and_a_member_is_named() -> Result<()> {
    let cluster = client(&pair().await?.target);
    let group = cluster.describe_group(&unique("nobody")).await?;
    assert_eq!((group.state.as_str(), group.members.len()), ("Dead", 0));
    Ok(())
}

#[tokio::test]
async fn the_bootstrap_list_is_tried_in_order() -> Result<()> {
    let free = ::testkit::ports::Port::reserve()?;
    let mut addresses = vec![free.address()];
    addresses.extend(crate::shared::addresses(&pair().await?.source));
    let cluster = Cluster::new(ClusterConfig::new("two", &addresses));
    assert!(!cluster.cluster_id().await?.is_empty());
    let nobody = Cluster::new(ClusterConfig::new("nobody", &[free.address()]));
    let error = nobody.cluster_id().await.expect_err("nobody listens");
    let text = error.to_string();
    assert!(
        matches!(error, Error::Unreachable { .. }) && text.contains(&free.address()) && text.contains("refused"),
        "{text}"
    );
    assert!(text.contains("nobody"), "{text}");
    Ok(())
}

/// A listener that speaks something else: HTTP here. The message says what was expected.
#[tokio::test]
async fn a_listener_of_another_protocol_is_told_apart() -> Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 64];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let error = client(&address).cluster_id().await.expect_err("not a broker");
    assert!(error.to_string().contains("is this a Kafka listener"), "{error}");
    Ok(())
}
