//! Kafka's own programs run on the kit's clusters.

use ::testkit::anyhow::{Result, ensure};
use ::testkit::{
    Codec, Connect, Isolation, Java, Jvm, Record, create_topic, fetch_jars, kafka_version, pair, produce, read_all,
    unique, wait_until,
};
use serde_json::json;

use super::{DEADLINE, now_ms};

#[tokio::test]
async fn jars_are_fetched_once() -> Result<()> {
    let version = kafka_version();
    let (first, again) = (fetch_jars(&version)?, fetch_jars(&version)?);
    assert_eq!(first, again);
    assert!(first.join(format!("kafka-clients-{version}.jar")).exists());
    Ok(())
}

#[tokio::test]
async fn kafkas_tools_see_what_the_clients_wrote() -> Result<()> {
    let source = &pair().await?.source;
    let tools = source.tools().await?;
    let topic = unique("tools");
    create_topic(&source.bootstrap, &topic, 1, 1, &[]).await?;
    produce(&source.bootstrap, &topic, 0, &[Record::new("a", "from librdkafka")], Codec::Gzip).await?;
    tools
        .console_produce(&topic, &["b:from Java"], &["--property", "parse.key=true", "--property", "key.separator=:"])
        .await?;

    assert!(tools.list_topics().await?.contains(&topic));
    let printed = tools.console_consume(&topic, 2, &["--property", "print.key=true"]).await?;
    assert_eq!(printed, ["a\tfrom librdkafka", "b\tfrom Java"]);
    assert_eq!(read_all(&source.bootstrap, &topic).await?[0][1].key.as_deref(), Some(&b"b"[..]));
    assert!(tools.perf_produce(&topic, 1000, 100, &["acks=all"]).await?.contains("1000 records sent"));
    let failed = tools.topics(&["--describe", "--topic", "absent"]).await;
    assert!(format!("{:#}", failed.expect_err("no such topic")).contains("absent"));
    Ok(())
}

#[tokio::test]
async fn mirror_maker_2_copies_a_topic() -> Result<()> {
    let pair = pair().await?;
    let topic = unique("mirrored");
    create_topic(&pair.source.bootstrap, &topic, 2, 1, &[]).await?;
    let records: Vec<_> = (0..100).map(|i| Record::new(format!("k{i}"), format!("v{i}")).at(i)).collect();
    produce(&pair.source.bootstrap, &topic, 1, &records, Codec::Snappy).await?;

    let java = Java::new(&kafka_version()).await?;
    let mut connect = Connect::start(&java, &pair.target.bootstrap, Jvm::quick(256), &[]).await?;
    let alias = unique("east");
    let config = json!({
        "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
        "source.cluster.alias": alias,
        "target.cluster.alias": "west",
        "source.cluster.bootstrap.servers": pair.source.bootstrap,
        "target.cluster.bootstrap.servers": pair.target.bootstrap,
        "topics": topic,
        "replication.factor": "1",
        "offset-syncs.topic.replication.factor": "1",
        "tasks.max": "2",
        "sync.topic.acls.enabled": "false",
    });
    connect.put_connector("mirror", &config).await?;
    connect.wait_running("mirror", 1, DEADLINE).await?;
    let copied = wait_until("all records on the target", DEADLINE, async || {
        let copied = read_all(&pair.target.bootstrap, &format!("{alias}.{topic}")).await?;
        ensure!(copied.iter().map(Vec::len).sum::<usize>() == 100, "{} partitions, {copied:?}", copied.len());
        Ok(copied)
    })
    .await?;
    assert_eq!(copied, read_all(&pair.source.bootstrap, &topic).await?);

    let usage = connect.usage()?;
    assert!(usage.max_rss_bytes > 50 << 20 && usage.cpu_seconds > 0.5, "{usage:?}");
    connect.stop().await?;
    assert!(connect.usage().is_err());
    Ok(())
}

#[tokio::test]
async fn javas_clients_read_and_write_all_of_a_record() -> Result<()> {
    let source = &pair().await?.source;
    let tools = source.tools().await?;
    let (from_librdkafka, from_java) = (unique("librdkafka"), unique("java"));
    let records = [
        Record::new(vec![0x80, 0], "").header("h", None).header("", Some(b"")).header("h", Some(&[0xff])).at(5),
        Record { key: None, value: None, ..Record::default() }.at(1),
        Record::value(vec![b'x'; 100_000]).at(now_ms()),
    ];
    for topic in [&from_librdkafka, &from_java] {
        create_topic(&source.bootstrap, topic, 2, 1, &[]).await?;
    }
    produce(&source.bootstrap, &from_librdkafka, 1, &records, Codec::Gzip).await?;
    tools.java_produce(&from_java, &[(1, Codec::Zstd)], &records, &[]).await?;

    let topics = [from_librdkafka.as_str(), &from_java];
    let read = tools.java_read_all(&topics, Isolation::ReadCommitted).await?;
    assert_eq!(read[0], read[1]);
    for (topic, by_java) in topics.iter().zip(&read) {
        assert_eq!(by_java[1].len(), records.len());
        assert_eq!(*by_java, read_all(&source.bootstrap, topic).await?);
    }
    for (view, record) in read[0][1].iter().zip(&records) {
        assert_eq!((&view.key, &view.value, &view.headers), (&record.key, &record.value, &record.headers));
        assert_eq!(Some(view.timestamp), record.timestamp);
    }
    Ok(())
}
