//! Anchors and the offset map in a real topic.

use ::testkit::{Codec, Record, anyhow::Result, create_topic, produce, topic_configs, unique};
use ::wire::{Cluster, ClusterConfig, NewRecord, ProducerId, TopicPartition};
use bytes::Bytes;
use kmirror::offsets::{Anchor, Link, MapWriter, OffsetMaps, OpenMaps, Translation};

use crate::{
    kmirror::Kmirror,
    shared::{Pair, pair},
    worker::{Copy, connector},
};

fn client(bootstrap: &str) -> Cluster {
    crate::shared::show_log();
    Cluster::new(ClusterConfig::new("b", &crate::shared::addresses(bootstrap)))
}

fn topic_of(alias: &str) -> String {
    format!("mm2-offset-map.{alias}.internal")
}

fn link(partition: i32) -> Link {
    Link {
        connector: "mm2-msc".to_owned(),
        source: TopicPartition::new("orders", partition),
        target: TopicPartition::new("A.orders", partition),
    }
}

fn anchor(generation: u64, source_offset: i64, target_offset: i64) -> Anchor {
    Anchor {
        generation,
        source_id: 11,
        target_id: 12,
        source_epoch: 3,
        target_epoch: 4,
        producer: ProducerId { id: 5, epoch: 6 },
        count: 7,
        source_offset,
        target_offset,
        left_out: vec![source_offset + 3],
    }
}

/// Transactions of four records and a marker: source offset 5n is target offset 4n.
fn write_transactions(writer: &mut MapWriter, first: i64, end: i64) {
    (first..end).for_each(|n| writer.written(n * 5, n * 4, 4));
}

async fn store(maps: &OffsetMaps, writer: &mut MapWriter, generation: u64, end: i64) -> Result<Vec<Link>> {
    Ok(maps.write(vec![(link(0), writer.update(anchor(generation, end * 5, end * 4)))]).await?)
}

async fn check_exact(maps: &OffsetMaps, transactions: std::ops::Range<i64>) -> Result<()> {
    let offsets: Vec<_> = transactions.clone().map(|n| n * 5 + 2).collect();
    let exact: Vec<_> = transactions.map(|n| Translation::Exact(n * 4 + 2)).collect();
    assert_eq!(maps.translate(&link(0), &offsets).await?, exact);
    Ok(())
}

#[tokio::test]
async fn what_is_stored_is_found_again() -> Result<()> {
    let (target, alias) = (pair().await?.target, unique("stored"));
    let maps = OffsetMaps::open(&client(&target), &alias, 1).await?;
    assert_eq!((maps.anchor(&link(0)), maps.translate(&link(0), &[7]).await?), (None, vec![Translation::Unmapped]));
    let configs = topic_configs(&target, &topic_of(&alias)).await?;
    assert_eq!(configs["cleanup.policy"], "compact");

    // From tasks of their own, as connectors would.
    let writing = (0..20).map(|partition| {
        let maps = maps.clone();
        tokio::spawn(async move {
            let mut writer = maps.writer(&link(partition));
            writer.copies_again_from(0);
            write_transactions(&mut writer, 0, 1_500 + i64::from(partition));
            let end = 1_500 + i64::from(partition);
            maps.write(vec![(link(partition), writer.update(anchor(1, end * 5, end * 4)))]).await
        })
    });
    for written in writing.collect::<Vec<_>>() {
        assert_eq!(written.await??, []);
    }
    for maps in [maps, OffsetMaps::open(&client(&target), &alias, 1).await?] {
        for partition in 0..20 {
            let end = 1_500 + i64::from(partition);
            assert_eq!(maps.anchor(&link(partition)), Some(anchor(1, end * 5, end * 4)));
            let found = maps.translate(&link(partition), &[0, 4, 5_003, end * 5 - 1, end * 5]).await?;
            let end = Translation::MirroredEnd(end * 4);
            assert_eq!(
                found,
                [Translation::Exact(0), Translation::NextMirrored(4), Translation::Exact(4_003), end, end]
            );
        }
        check_exact(&maps, 0..1_500).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_owner_that_was_superseded_is_told() -> Result<()> {
    let (target, alias) = (pair().await?.target, unique("superseded"));
    let old = OffsetMaps::open(&client(&target), &alias, 1).await?;
    let mut old_writer = old.writer(&link(0));
    old_writer.copies_again_from(0);
    write_transactions(&mut old_writer, 0, 1_000);
    assert_eq!(store(&old, &mut old_writer, 1, 1_000).await?, []);

    let new = OffsetMaps::open(&client(&target), &alias, 1).await?;
    let mut new_writer = new.writer(&link(0));
    assert_eq!(store(&new, &mut new_writer, 2, 1_000).await?, []);
    write_transactions(&mut old_writer, 1_000, 3_000);
    assert_eq!(store(&old, &mut old_writer, 1, 3_000).await?, [link(0)]);
    assert_eq!(old.anchor(&link(0)), Some(anchor(2, 5_000, 4_000)));
    // What it wrote stands behind, and does not count.
    let third = OffsetMaps::open(&client(&target), &alias, 1).await?;
    assert_eq!(third.anchor(&link(0)), Some(anchor(2, 5_000, 4_000)));

    write_transactions(&mut new_writer, 1_000, 2_100);
    assert_eq!(store(&new, &mut new_writer, 2, 2_100).await?, []);
    for maps in [&old, &new, &third] {
        maps.read_on().await?;
        assert_eq!(maps.anchor(&link(0)), Some(anchor(2, 10_500, 8_400)));
        check_exact(maps, 0..2_100).await?;
    }
    Ok(())
}

#[tokio::test]
async fn records_that_cannot_be_read_are_passed_over() -> Result<()> {
    let (target, alias) = (pair().await?.target, unique("damaged"));
    let cluster = client(&target);
    let at = TopicPartition::new(topic_of(&alias), 0);
    let maps = OffsetMaps::open(&cluster, &alias, 1).await?;
    let mut writer = maps.writer(&link(0));
    writer.copies_again_from(0);
    write_transactions(&mut writer, 0, 700);
    store(&maps, &mut writer, 1, 700).await?;
    let (records, _) = cluster.read_records(&at, 0).await?;
    let [block, anchored] = &records[..] else { panic!("{} records", records.len()) };
    let changed = |value: &Option<Bytes>, at: usize, bits: u8| {
        let mut bytes = value.as_deref().unwrap_or_default().to_vec();
        bytes[at] ^= bits;
        Some(Bytes::from(bytes))
    };
    let damage = [
        (Some(Bytes::from_static(b"what is this")), Some(Bytes::from_static(b"?"))),
        (None, Some(Bytes::from_static(b"no key"))),
        // The first byte is the version.
        (anchored.key.clone(), changed(&anchored.value, 0, 3)),
        (anchored.key.clone(), changed(&anchored.value, 20, 1)),
        (block.key.clone(), changed(&block.value, 40, 0x80)),
    ];
    // A record without a key is refused by a compacted topic: it comes from before somebody changed the policy.
    for (key, value) in damage.into_iter().filter(|(key, _)| key.is_some()) {
        cluster.append_records(&at, &[NewRecord { key, value, headers: Vec::new() }]).await?;
    }
    for maps in [maps, OffsetMaps::open(&cluster, &alias, 1).await?] {
        maps.read_on().await?;
        assert_eq!(maps.anchor(&link(0)), Some(anchor(1, 3_500, 2_800)));
        check_exact(&maps, 0..700).await?;
    }
    Ok(())
}

#[tokio::test]
async fn topics_made_again_void_what_was_mapped() -> Result<()> {
    let (target, alias) = (pair().await?.target, unique("recreated"));
    let maps = OffsetMaps::open(&client(&target), &alias, 1).await?;
    let mut writer = maps.writer(&link(0));
    writer.copies_again_from(0);
    write_transactions(&mut writer, 0, 2_000);
    store(&maps, &mut writer, 1, 2_000).await?;
    check_exact(&maps, 0..2_000).await?;
    writer.copies_again_from(0);
    writer.written(0, 8_000, 10);
    let update = writer.update(Anchor { source_id: 99, ..anchor(1, 10, 8_010) });
    assert_eq!(maps.write(vec![(link(0), update)]).await?, []);
    for maps in [maps, OffsetMaps::open(&client(&target), &alias, 1).await?] {
        let end = Translation::MirroredEnd(8_010);
        assert_eq!(maps.translate(&link(0), &[3, 10, 700]).await?, [Translation::Exact(8_003), end, end]);
    }
    // Blocks that no longer count are deleted.
    let (records, _) = client(&target).read_records(&TopicPartition::new(topic_of(&alias), 0), 0).await?;
    assert_eq!(records.iter().filter(|record| record.value.is_none()).count(), 3);
    Ok(())
}

#[tokio::test]
async fn who_opens_the_same_map_shares_it() -> Result<()> {
    let (target, alias) = (client(&pair().await?.target), unique("shared"));
    let open = OpenMaps::default();
    let (one, other) = tokio::try_join!(open.open(&target, &alias, 1), open.open(&target, &alias, 1))?;
    let mut writer = one.writer(&link(0));
    writer.copies_again_from(0);
    write_transactions(&mut writer, 0, 10);
    assert_eq!(store(&one, &mut writer, 1, 10).await?, []);
    // Without reading on.
    assert_eq!(other.anchor(&link(0)), Some(anchor(1, 50, 40)));
    // They are two owners nevertheless: one of them is told, and who wins goes on.
    let mut others = other.writer(&link(0));
    let told = [store(&other, &mut others, 1, 10).await?, store(&one, &mut writer, 1, 10).await?];
    assert_eq!(told.iter().map(Vec::len).sum::<usize>(), 1, "{told:?}");

    // Another alias of the target is another name in errors.
    let renamed = open.open(&target.with_alias("c"), &alias, 1).await?;
    store(&one, &mut writer, 2, 10).await?;
    assert_eq!(renamed.anchor(&link(0)).map(|anchor| anchor.generation), Some(1));
    drop((one, other));
    // Nobody had it open: it was read anew.
    let again = open.open(&target, &alias, 1).await?;
    assert_eq!(again.anchor(&link(0)), Some(anchor(2, 50, 40)));
    Ok(())
}

/// A worker with two connectors of a source reads their map once, also where they start together.
#[tokio::test]
async fn connectors_of_one_source_share_its_map() -> Result<()> {
    let Pair { source, target } = pair().await?;
    let mut worker = Kmirror::on(&target).start().await?;
    let alias = unique("a");
    let topics = [unique("one"), unique("two")];
    for topic in &topics {
        create_topic(&source, topic, 1, 1, &[]).await?;
        produce(&source, topic, 0, &[Record::value("1"), Record::value("2")], Codec::None).await?;
        let more = [("source.cluster.alias", alias.as_str())];
        worker.put_connector(topic, &connector(&source, &target, topic, &more)).await?;
    }
    let read =
        |worker: &Kmirror| worker.log_text().matches(&format!("read the offset map {}", topic_of(&alias))).count();
    for lives in 1..=2 {
        for topic in &topics {
            worker.wait_running(topic, 1).await?;
            let remote = format!("{alias}.{topic}");
            Copy { source: &source, topic, target: &target, remote: &remote }.wait_equal(&worker).await?;
        }
        assert_eq!(read(&worker), lives);
        worker.stop().await?;
        for topic in &topics {
            produce(&source, topic, 0, &[Record::value("3")], Codec::None).await?;
        }
        worker.restart().await?;
    }
    worker.stop().await
}

#[tokio::test]
async fn topics_that_would_lose_the_map_are_refused() -> Result<()> {
    let target = pair().await?.target;
    let (deleted, wide) = (unique("deleted"), unique("wide"));
    create_topic(&target, &topic_of(&deleted), 1, 1, &[("cleanup.policy", "delete")]).await?;
    create_topic(&target, &topic_of(&wide), 2, 1, &[("cleanup.policy", "compact")]).await?;
    let refused = async |alias| OffsetMaps::open(&client(&target), alias, 1).await.unwrap_err().to_string();
    let text = refused(&deleted).await;
    assert!(text.contains("cleanup.policy=delete in cluster b; allowed is exactly compact"), "{text}");
    let text = refused(&wide).await;
    assert!(text.contains("2 partitions in cluster b; allowed is exactly 1"), "{text}");
    let impossible = OffsetMaps::open(&client(&target), &unique("replicated"), 77).await.unwrap_err().to_string();
    assert!(impossible.contains("INVALID_REPLICATION_FACTOR"), "{impossible}");
    Ok(())
}

mod clusters {
    mod full;
}
