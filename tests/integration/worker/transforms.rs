//! Connect's transformations in a connector's configuration.

use ::testkit::{
    Codec, Record, anyhow::Result, anyhow::ensure, create_topic, produce, read_all, topic_configs, unique, watermarks,
};

use super::{connector, remote};
use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::pair,
};

#[tokio::test]
async fn records_are_routed_filtered_and_marked() -> Result<()> {
    let pair = pair().await?;
    let prefix = unique("transformed");
    let [orders, audit, secret] = ["orders", "audit", "secret"].map(|name| format!("{prefix}-{name}"));
    for (topic, partitions) in [(&orders, 2), (&audit, 1), (&secret, 1)] {
        create_topic(&pair.source, topic, partitions, 1, &[("max.message.bytes", "1234567")]).await?;
    }
    let plain = |n: i64| Record::new(format!("k{n}"), format!("v{n}")).at(1_600_000_000_000 + n);
    let records: Vec<Record> = (0..60)
        .map(|n| match n % 3 {
            0 => plain(n),
            1 => Record { value: None, ..plain(n) },
            _ => plain(n).header("internal", Some(b"x")).header("kept", None).header("internal", None),
        })
        .collect();
    for (topic, partition, codec) in [(&orders, 0, Codec::Lz4), (&orders, 1, Codec::None), (&audit, 0, Codec::Zstd)] {
        produce(&pair.source, topic, partition, &records, codec).await?;
    }
    produce(&pair.source, &secret, 0, &records, Codec::None).await?;

    let worker = Kmirror::on(&pair.target).start().await?;
    let routed = format!("routed.{prefix}-orders");
    let config = connector(
        &pair.source,
        &pair.target,
        &format!("{prefix}-.*"),
        &[
            ("transforms", "secrets, route, tombstones, unmark, mark"),
            ("transforms.secrets.type", "org.apache.kafka.connect.transforms.Filter"),
            ("transforms.secrets.predicate", "isSecret"),
            ("transforms.route.type", "org.apache.kafka.connect.transforms.RegexRouter"),
            ("transforms.route.regex", &format!("src\\.({prefix}-orders)")),
            ("transforms.route.replacement", "routed.$1"),
            ("transforms.tombstones.type", "org.apache.kafka.connect.transforms.Filter"),
            ("transforms.tombstones.predicate", "isTombstone"),
            ("transforms.unmark.type", "org.apache.kafka.connect.transforms.DropHeaders"),
            ("transforms.unmark.headers", "internal"),
            ("transforms.unmark.predicate", "isAudit"),
            ("transforms.unmark.negate", "true"),
            ("transforms.mark.type", "org.apache.kafka.connect.transforms.InsertHeader"),
            ("transforms.mark.header", "from"),
            ("transforms.mark.value.literal", "the old cluster"),
            ("predicates", "isSecret, isTombstone, isAudit"),
            ("predicates.isSecret.type", "org.apache.kafka.connect.transforms.predicates.TopicNameMatches"),
            ("predicates.isSecret.pattern", ".*-secret"),
            ("predicates.isTombstone.type", "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone"),
            ("predicates.isAudit.type", "org.apache.kafka.connect.transforms.predicates.TopicNameMatches"),
            ("predicates.isAudit.pattern", ".*-audit"),
        ],
    );
    worker.put_connector("mirror", &config).await?;
    worker.wait_running("mirror", 1).await?;
    worker
        .until("the records that are left", DEADLINE, async || {
            let (orders, audit) =
                (read_all(&pair.target, &routed).await?, read_all(&pair.target, &remote(&audit)).await?);
            let counts: Vec<usize> = orders.iter().chain(&audit).map(Vec::len).collect();
            ensure!(counts == [40; 3], "{counts:?}");
            Ok(())
        })
        .await?;
    let from = ("from".to_owned(), Some(b"the old cluster".to_vec()));
    let internal = |value: Option<&[u8]>| ("internal".to_owned(), value.map(<[u8]>::to_vec));
    let kept = ("kept".to_owned(), None);
    let orders = read_all(&pair.target, &routed).await?;
    let audit = read_all(&pair.target, &remote(&audit)).await?;
    for (partition, marked) in [
        (&orders[0], vec![kept.clone(), from.clone()]),
        (&orders[1], vec![kept.clone(), from.clone()]),
        (&audit[0], vec![internal(Some(b"x")), kept, internal(None), from.clone()]),
    ] {
        for (record, n) in partition.iter().zip((0..60).filter(|n| n % 3 != 1)) {
            assert_eq!(
                (record.key.as_deref(), record.timestamp),
                (Some(format!("k{n}").as_bytes()), 1_600_000_000_000 + n)
            );
            assert_eq!(record.value.as_deref(), Some(format!("v{n}").as_bytes()));
            let expected = if n % 3 == 0 { vec![from.clone()] } else { marked.clone() };
            assert_eq!(record.headers, expected, "record {n}");
        }
    }
    assert_eq!(topic_configs(&pair.target, &routed).await?["max.message.bytes"], "1234567");
    // Neither what is routed elsewhere nor what is dropped has a topic.
    for unwanted in [format!("src.{prefix}-orders"), remote(&secret)] {
        assert!(watermarks(&pair.target, &unwanted).await.is_err(), "{unwanted}");
    }
    Ok(())
}

#[tokio::test]
async fn topics_may_be_routed_together() -> Result<()> {
    let pair = pair().await?;
    let prefix = unique("together");
    let [small, large] = ["small", "large"].map(|name| format!("{prefix}-{name}"));
    for (topic, partitions) in [(&small, 1), (&large, 2)] {
        create_topic(&pair.source, topic, partitions, 1, &[]).await?;
    }
    let of = |name: &str| (0..500).map(|n| Record::new(name, n.to_string())).collect::<Vec<_>>();
    produce(&pair.source, &small, 0, &of("small"), Codec::None).await?;
    for partition in 0..2 {
        produce(&pair.source, &large, partition, &of(&format!("large-{partition}")), Codec::None).await?;
    }
    let worker = Kmirror::on(&pair.target).start().await?;
    let all = format!("{prefix}.all");
    let config = connector(
        &pair.source,
        &pair.target,
        &format!("{prefix}-.*"),
        &[
            ("tasks.max", "3"),
            ("transforms", "route"),
            ("transforms.route.type", "RegexRouter"),
            ("transforms.route.regex", ".*"),
            ("transforms.route.replacement", &all),
        ],
    );
    worker.put_connector("mirror", &config).await?;
    worker
        .until("all records in one topic", DEADLINE, async || {
            let counts: Vec<usize> = read_all(&pair.target, &all).await?.iter().map(Vec::len).collect();
            ensure!(counts == [1_000, 500], "{counts:?}");
            Ok(())
        })
        .await?;
    let together = read_all(&pair.target, &all).await?;
    for (partition, key) in [(0, "small"), (0, "large-0"), (1, "large-1")] {
        let values = together[partition].iter().filter(|record| record.key.as_deref() == Some(key.as_bytes()));
        let values: Vec<String> = values
            .map(|record| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned())
            .collect();
        assert_eq!(values, (0..500).map(|n| n.to_string()).collect::<Vec<_>>(), "{key}");
    }
    Ok(())
}
