//! Clusters start, lose brokers and get them back.

use ::testkit::anyhow::{Result, ensure};
use ::testkit::process::is_alive;
use ::testkit::{
    Bulk, Cluster, Codec, Isolation, Producing, Record, TimestampKind, Watermarks, bulk_produce, commit_group_offset,
    committed_group_offset, create_partitions, create_topic, delete_records, delete_topic, pair, produce, produce_with,
    read_all, read_all_with, set_topic_configs, topic_configs, unique, wait_for_topic, wait_until, wait_until_eq,
    watermarks,
};

use super::DEADLINE;

#[tokio::test]
async fn a_killed_broker_comes_back_with_its_records_behind_the_same_proxy() -> Result<()> {
    let cluster = Cluster::builder().version("4.1.1").proxied().start().await?;
    let (direct, proxied) = (cluster.bootstrap(), cluster.proxied_bootstrap()?);
    let topic = unique("orders");
    create_topic(&direct, &topic, 2, 1, &[]).await?;
    let record = Record::new("k", "v").header("h", None).header("h", Some(b"")).header("g", Some(b"x")).at(1234);
    let offsets = produce(&proxied, &topic, 1, &[record, Record::default().at(1)], Codec::Zstd).await?;
    assert_eq!(offsets, [0, 1]);

    let before = read_all(&direct, &topic).await?;
    let [none, two] = before.as_slice() else { panic!("{before:?}") };
    assert!(none.is_empty());
    assert_eq!((two[0].key.as_deref(), two[0].value.as_deref()), (Some(&b"k"[..]), Some(&b"v"[..])));
    let headers = [("h", None), ("h", Some(vec![])), ("g", Some(b"x".to_vec()))];
    assert_eq!(two[0].headers, headers.map(|(name, value)| (name.to_owned(), value)));
    assert_eq!((two[0].timestamp, two[0].timestamp_kind), (1234, TimestampKind::CreateTime));
    assert_eq!((&two[1].key, &two[1].value), (&None, &None));
    assert!(std::fs::read_dir(cluster.partition_dir(1, &topic, 1)?)?.count() > 0);

    let pid = cluster.pid(1)?;
    cluster.kill9(1)?;
    assert!(!is_alive(pid));
    cluster.restart(1).await?;
    assert_eq!(read_all(&proxied, &topic).await?, before);

    let (pid, dir) = (cluster.pid(1)?, cluster.dir().to_owned());
    drop(cluster);
    assert!(!is_alive(pid) && !dir.exists());
    Ok(())
}

#[tokio::test]
async fn kafka_3_9_speaks_all_codecs() -> Result<()> {
    let cluster = Cluster::builder().version("3.9.1").start().await?;
    let bootstrap = cluster.bootstrap();
    let topic = unique("codecs");
    create_topic(&bootstrap, &topic, 1, 1, &[]).await?;
    for codec in Codec::ALL {
        let records: Vec<_> = (0..20).map(|_| Record::value(format!("{} ", codec.name()).repeat(20))).collect();
        produce(&bootstrap, &topic, 0, &records, codec).await?;
    }
    let read = &read_all(&bootstrap, &topic).await?[0];
    assert_eq!(read.iter().map(|r| r.offset).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());

    // What the broker stored tells whether the codecs were used at all.
    cluster.stop(1).await?;
    let segment = cluster.partition_dir(1, &topic, 0)?.join("00000000000000000000.log");
    let dump = cluster.tools().dump_log(&segment).await?;
    for codec in Codec::ALL {
        assert!(dump.contains(&format!("compresscodec: {}", codec.name())), "{dump}");
    }
    Ok(())
}

#[tokio::test]
async fn kafka_2_8_stores_what_old_formats_say_and_comes_back() -> Result<()> {
    let cluster = Cluster::builder().version("2.8.2").proxied().start().await?;
    let (direct, proxied) = (cluster.bootstrap(), cluster.proxied_bootstrap()?);
    let topic = unique("old");
    create_topic(&direct, &topic, 2, 1, &[("message.format.version", "0.10.2-IV0")]).await?;
    let plain = Producing { codec: Codec::Lz4, idempotent: false, ..Producing::default() };
    let records: Vec<_> = (0..20).map(|n| Record::new(format!("{n}"), "old ".repeat(20)).at(1_000 + n)).collect();
    produce_with(&proxied, &topic, 1, &records, &plain).await?;
    let tools = cluster.tools();
    let read = async || tools.java_read_all(&[&topic], Isolation::ReadCommitted).await;
    let before = read().await?;
    assert_eq!(before[0][1].len(), 20);
    assert!(before[0][1].iter().zip(1_000..).all(|(record, at)| record.timestamp == at), "{before:?}");
    assert_eq!(tools.list_topics().await?, std::slice::from_ref(&topic));

    cluster.restart(1).await?;
    // A broker of Kafka 2 is told of its topics once it is up.
    wait_for_topic(&direct, &topic, 2).await?;
    assert_eq!(read().await?, before);
    let segment = cluster.partition_dir(1, &topic, 1)?.join("00000000000000000000.log");
    let dump = tools.dump_log(&segment).await?;
    assert!(dump.contains("magic: 1 compresscodec: LZ4"), "{dump}");
    let pids = [cluster.pid(1)?, cluster.zookeeper_pid()?];
    drop(cluster);
    assert!(!pids.into_iter().any(is_alive));
    Ok(())
}

#[tokio::test]
async fn three_brokers_do_without_one_that_is_frozen_or_killed() -> Result<()> {
    let cluster = Cluster::builder().brokers(3).property("min.insync.replicas", "2").start().await?;
    let bootstrap = cluster.bootstrap();
    let topic = unique("replicated");
    create_topic(&bootstrap, &topic, 3, 3, &[]).await?;
    let all = async |value: &str| -> Result<()> {
        for partition in 0..3 {
            produce(&bootstrap, &topic, partition, &[Record::value(value)], Codec::None).await?;
        }
        Ok(())
    };
    all("with all").await?;
    cluster.sigstop(3)?;
    all("without 3").await?;
    cluster.sigcont(3)?;
    cluster.wait_ready().await?;
    cluster.kill9(2)?;
    all("without 2").await?;
    cluster.restart(2).await?;
    let read = read_all(&bootstrap, &topic).await?;
    assert!(read.iter().all(|records| records.len() == 3), "{read:?}");
    Ok(())
}

#[tokio::test]
async fn a_broker_that_cannot_start_is_an_error_with_its_log() {
    let started = Cluster::builder().property("num.io.threads", "none").start().await;
    let error = format!("{:#}", started.expect_err("started"));
    assert!(error.contains("num.io.threads"), "{error}");
}

#[tokio::test]
async fn topics_are_changed_and_deleted() -> Result<()> {
    let bootstrap = &pair().await?.source.bootstrap;
    let topic = unique("admin");
    // Asked before the topic is there: as of a broker that has not yet heard of it.
    let (configs, ()) = tokio::try_join!(
        topic_configs(bootstrap, &topic),
        create_topic(bootstrap, &topic, 1, 1, &[("retention.ms", "-1")])
    )?;
    assert_eq!(configs, [("retention.ms".to_owned(), "-1".to_owned())].into());
    create_partitions(bootstrap, &topic, 3).await?;
    set_topic_configs(bootstrap, &topic, &[("max.message.bytes", "2000000")]).await?;
    wait_until_eq("the topic's configs", DEADLINE, "max.message.bytes=2000000 ".to_owned(), async || {
        Ok(topic_configs(bootstrap, &topic).await?.iter().map(|(k, v)| format!("{k}={v} ")).collect())
    })
    .await?;

    let records: Vec<_> = (0..10).map(|i| Record::value(format!("{i}"))).collect();
    produce(bootstrap, &topic, 2, &records, Codec::Lz4).await?;
    assert_eq!(delete_records(bootstrap, &topic, 2, 4).await?, 4);
    assert_eq!(watermarks(bootstrap, &topic).await?[2], Watermarks { low: 4, high: 10 });
    assert_eq!(read_all(bootstrap, &topic).await?[2].len(), 6);

    let group = unique("group");
    assert_eq!(committed_group_offset(bootstrap, &group, &topic, 2).await?, None);
    commit_group_offset(bootstrap, &group, &topic, 2, 7).await?;
    assert_eq!(committed_group_offset(bootstrap, &group, &topic, 2).await?, Some(7));

    delete_topic(bootstrap, &topic).await?;
    assert!(read_all(bootstrap, &topic).await.is_err());
    Ok(())
}

#[tokio::test]
async fn transactions_are_seen_as_the_isolation_says() -> Result<()> {
    let bootstrap = &pair().await?.target.bootstrap;
    let topic = unique("transactions");
    create_topic(bootstrap, &topic, 1, 1, &[]).await?;
    for (value, commit) in [("aborted", false), ("committed", true)] {
        let how = Producing { transaction: Some((unique("tx"), commit)), ..Producing::default() };
        produce_with(bootstrap, &topic, 0, &[Record::value(value)], &how).await?;
    }
    let values = async |isolation| -> Result<Vec<String>> {
        let read = read_all_with(bootstrap, &topic, isolation).await?;
        Ok(read[0].iter().map(|r| String::from_utf8_lossy(r.value.as_deref().unwrap()).into_owned()).collect())
    };
    assert_eq!(values(Isolation::ReadUncommitted).await?, ["aborted", "committed"]);
    // The marker of the commit is written after its answer.
    wait_until("the committed record", DEADLINE, async || {
        let seen = values(Isolation::ReadCommitted).await?;
        ensure!(seen == ["committed"], "{seen:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn bulk_records_go_to_all_partitions_in_turns() -> Result<()> {
    let bootstrap = &pair().await?.source.bootstrap;
    let topic = unique("bulk");
    create_topic(bootstrap, &topic, 3, 1, &[]).await?;
    let bytes = bulk_produce(bootstrap, &topic, &Bulk::new(50_001, 3)).await?;
    assert_eq!(bytes, 50_001 * 500);
    let ends = watermarks(bootstrap, &topic).await?;
    assert_eq!(ends, [Watermarks { low: 0, high: 16_667 }; 3]);
    Ok(())
}
