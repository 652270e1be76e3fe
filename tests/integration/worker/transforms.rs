//! Connect's transformations in a connector's configuration.

use std::collections::BTreeMap;

use ::testkit::{
    Codec, Producing, Record, anyhow::Result, anyhow::ensure, create_topic, produce, produce_with, read_all,
    topic_configs, unique, watermarks,
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

/// The first of three days, ms since the epoch.
const FIRST_DAY: i64 = 1_600_041_600_000;
const DAY: i64 = 86_400_000;
const PER_PARTITION: i64 = 900;

/// Three days, of which one begins before the other has ended, tombstones, and records with a header for the audit.
fn of_three_days(partition: i64) -> Vec<Record> {
    let record = |n: i64| {
        let ahead = if n % 2 == 1 { 20 } else { 0 };
        let day = ((n + ahead) * 3 / PER_PARTITION).min(2);
        let mut state = n.cast_unsigned() * 7 + partition.cast_unsigned();
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + u8::try_from((state >> 56) % 90).unwrap_or(0))
        };
        let value: String = (0..150).map(|_| noise()).collect();
        let record = Record::new(format!("{n}"), value).at(FIRST_DAY + day * DAY + n);
        match n {
            n if n % 7 == 0 => Record { value: None, ..record },
            n if n / 30 % 4 == 1 => record.header("audit", None),
            _ => record,
        }
    };
    (0..PER_PARTITION).map(record).collect()
}

#[tokio::test]
async fn each_record_may_choose_its_topic() -> Result<()> {
    let pair = pair().await?;
    let topic = unique("chosen");
    create_topic(&pair.source, &topic, 2, 1, &[]).await?;
    let mut expected: BTreeMap<String, Vec<Vec<Record>>> = BTreeMap::new();
    for (partition, codec) in [(0, Codec::Lz4), (1, Codec::Zstd)] {
        let records = of_three_days(partition.into());
        let producing = Producing { codec, batch_records: Some(70), ..Producing::default() };
        produce_with(&pair.source, &topic, partition, &records, &producing).await?;
        for record in records.into_iter().filter(|record| record.value.is_some()) {
            let to = if record.headers.is_empty() { remote(&topic) } else { format!("audit.{topic}") };
            let day = (record.timestamp.unwrap_or(0) - FIRST_DAY) / DAY;
            let chosen = expected.entry(format!("{to}-202009{}", 14 + day)).or_insert_with(|| vec![Vec::new(); 2]);
            chosen[usize::try_from(partition)?].push(record);
        }
    }
    assert_eq!(expected.len(), 6);
    // There before, it is used as it is.
    create_topic(&pair.target, &format!("{}-20200915", remote(&topic)), 3, 1, &[("max.message.bytes", "4000")]).await?;

    let worker = Kmirror::on(&pair.target).start().await?;
    let config = |more: &[(&str, &str)]| {
        let transforms = [
            ("transforms", "tombstones,audit,day"),
            ("transforms.tombstones.type", "Filter"),
            ("transforms.tombstones.predicate", "isTombstone"),
            ("transforms.audit.type", "RegexRouter"),
            ("transforms.audit.regex", "src\\.(.*)"),
            ("transforms.audit.replacement", "audit.$1"),
            ("transforms.audit.predicate", "hasAudit"),
            ("transforms.day.type", "TimestampRouter"),
            ("predicates", "isTombstone,hasAudit"),
            ("predicates.isTombstone.type", "RecordIsTombstone"),
            ("predicates.hasAudit.type", "HasHeaderKey"),
            ("predicates.hasAudit.name", "audit"),
        ];
        let more: Vec<_> = transforms.iter().chain(more).copied().collect();
        connector(&pair.source, &pair.target, &topic, &more)
    };
    let there = async || {
        let mut there = BTreeMap::new();
        for name in expected.keys() {
            // Not made yet.
            if watermarks(&pair.target, name).await.is_ok() {
                there.insert(name.clone(), read_all(&pair.target, name).await?);
            }
        }
        ensure!(!there.is_empty(), "nothing has come");
        Ok(there)
    };
    let count = |there: &BTreeMap<String, Vec<Vec<_>>>| there.values().flatten().map(Vec::len).sum::<usize>();
    let all: usize = expected.values().flatten().map(Vec::len).sum();

    // Slowly, so that the restart comes in the middle.
    worker.put_connector("mirror", &config(&[("kmirror.max.bytes.per.second", "40000")])).await?;
    let some = worker.until("some of the records", DEADLINE, there).await?;
    ensure!(count(&some) < all, "nothing is left to be copied after the restart");
    let restarted = worker.request("POST", "/connectors/mirror/restart?includeTasks=true", None).await?;
    ensure!(restarted.status == 202, "{restarted:?}");
    worker.wait_running("mirror", 1).await?;
    worker.put_connector("mirror", &config(&[])).await?;
    let found = worker
        .until("all records in their topics", DEADLINE, async || {
            let there = there().await?;
            ensure!(count(&there) >= all, "{} of {all}", count(&there));
            Ok(there)
        })
        .await?;
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, partitions) in found {
        let made_here = partitions.len() == 2;
        assert_eq!(made_here, name != format!("{}-20200915", remote(&topic)), "{name}: {}", partitions.len());
        for (partition, (records, expected)) in partitions.into_iter().zip(&expected[&name]).enumerate() {
            let content = records.into_iter().map(|record| Record {
                key: record.key,
                value: record.value,
                headers: record.headers,
                timestamp: Some(record.timestamp),
            });
            assert_eq!(content.collect::<Vec<_>>(), *expected, "{name}-{partition}");
        }
    }
    // MirrorMaker makes it, and so do we.
    let ends: Vec<i64> = watermarks(&pair.target, &remote(&topic)).await?.iter().map(|marks| marks.high).collect();
    assert_eq!(ends, [0, 0]);
    Ok(())
}

#[tokio::test]
async fn a_topic_that_can_not_be_had_is_named() -> Result<()> {
    let pair = pair().await?;
    let topic = unique("unroutable");
    create_topic(&pair.source, &topic, 2, 1, &[]).await?;
    let chosen = format!("{topic}-2020");
    create_topic(&pair.target, &chosen, 1, 1, &[]).await?;
    for partition in 0..2 {
        produce(&pair.source, &topic, partition, &[Record::new("k", "v").at(FIRST_DAY)], Codec::None).await?;
    }
    let worker = Kmirror::on(&pair.target).start().await?;
    let has = format!(
        "{topic}-1 at offset 0 can't be written to topic {chosen}, which its transformations choose: it has fewer partitions than the source's topic: 1"
    );
    let illegal = format!("to topic src.{topic}/2020, which its transformations choose: ");
    for (name, format, words) in [
        ("few", format!("{topic}-${{timestamp}}"), ["1 of 2 partitions", &*has]),
        ("illegal", "${topic}/${timestamp}".to_owned(), ["2 of 2 partitions", &*illegal]),
    ] {
        let config = connector(
            &pair.source,
            &pair.target,
            &topic,
            &[
                ("transforms", "year"),
                ("transforms.year.type", "TimestampRouter"),
                ("transforms.year.topic.format", &format),
                ("transforms.year.timestamp.format", "yyyy"),
            ],
        );
        worker.put_connector(name, &config).await?;
        worker.wait_task_failed(name, 0, &words).await?;
    }
    // The other partition goes on.
    worker
        .until("the record of partition 0", DEADLINE, async || {
            let there = read_all(&pair.target, &chosen).await?;
            ensure!(there[0].len() == 1, "{there:?}");
            Ok(())
        })
        .await
}
