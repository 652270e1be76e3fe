//! Names of headers that are no text: to a broker they are bytes.

use std::sync::Arc;

use ::testkit::anyhow::bail;
use ::wire::{
    BatchBuilder, Batches, Codec, Header, Levels, ProduceBatch, RawRecord, RecordBody, RecordReader, Stored,
    rewrite_header,
};
use kmirror::{
    config::{IsolationLevel::ReadUncommitted, read_properties, transform_stages},
    transforms::{TopicTransforms, Transforms},
};

use super::{opened::content, *};
use crate::shared::read_topic;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
/// Null for key and value, and no headers.
const BARE: [u8; 3] = [1, 1, 0];
const MARK: Header<'static> = Header { key: b"mark", value: Some(b"7") };

/// No text, cut off within a character, doubled, with a zero byte, empty, and longer than a varint's first byte tells.
fn awkward_headers() -> Vec<Header<'static>> {
    const LONG: [u8; 300] = [0xfe; 300];
    let names: [&[u8]; 9] =
        [b"\xff\xfe", b"\xc3\x28", b"\xe2\x82", b"\xed\xa0\x80", b"\xff\xfe", b"a\0\xff", b"", b"\0", &LONG];
    let values = [Some(&b"\xff"[..]), None, Some(b"")];
    names.into_iter().zip(values.into_iter().cycle()).map(|(key, value)| Header { key, value }).collect()
}

/// Bodies of three records: with all of the headers, fewer and fewer.
fn bodies(more: &[Header<'_>]) -> Result<Vec<Vec<u8>>> {
    let (bare, headers) = (RecordBody::parse(&BARE)?, awkward_headers());
    let body = |skipped: usize| -> Result<Vec<u8>> {
        let mut body = Vec::new();
        bare.write_with(&[&headers[skipped..], more].concat(), &mut body)?;
        Ok(body)
    };
    (0..3).map(body).collect()
}

/// Appends records of such bodies in one batch: librdkafka and Java take text for names.
async fn append(cluster: &Cluster, at: TopicPartition, codec: Codec, bodies: &[Vec<u8>]) -> Result<()> {
    let mut builder = BatchBuilder::new(codec, Levels::default(), usize::MAX);
    for (offset, body) in (0..).zip(bodies) {
        builder.push(&RawRecord { offset, timestamp: now_ms(), attributes: 0, body })?;
    }
    let built = builder.close()?.expect("records are in it");
    let (header, payload) = rewrite_header(&built.batch, -1, -1, -1)?;
    cluster.topics(Some(std::slice::from_ref(&at.topic))).await?;
    let leader = cluster.leader(&at).expect("a leader").broker;
    let batch = ProduceBatch { partition: at, tag: 0, header, payload };
    let answer = crate::wire::send(cluster, leader, &batch).await?;
    ensure!(answer.error == 0, "{answer:?}");
    Ok(())
}

/// The bodies of a partition's records, as the broker has them.
async fn stored(cluster: &Cluster, at: &TopicPartition) -> Result<Vec<Vec<u8>>> {
    let mut bodies = Vec::new();
    for stored in Batches::new(crate::wire::fetch_from(cluster, at, 0).await?, 1 << 20) {
        let Stored::Batch(batch) = stored? else { bail!("an old format") };
        batch.verify()?;
        let mut reader = RecordReader::new(&batch, 1 << 20)?;
        while let Some(record) = reader.next_record()? {
            bodies.push(record.body.to_vec());
        }
    }
    Ok(bodies)
}

#[tokio::test]
async fn names_of_headers_arrive_byte_by_byte() -> Result<()> {
    let pair = pair().await?;
    let (source, target) = (cluster("a", &pair.source), cluster("b", &pair.target));
    let from = unique("names");
    let [passed, opened, marked] = ["mirror.passed", "mirror.opened", "mirror.marked"].map(unique);
    create_topic(&pair.source, &from, 5, 1, &[]).await?;
    for topic in [&passed, &opened, &marked] {
        create_topic(&pair.target, topic, 5, 1, &[]).await?;
    }
    let written = bodies(&[])?;
    for (codec, partition) in CODECS.into_iter().zip(0..) {
        let at = TopicPartition::new(&from, partition);
        append(&source, at.clone(), codec, &written).await?;
        assert_eq!(stored(&source, &at).await?, written, "{codec:?}");
    }

    let as_it_is = |to: &str| {
        let mut spec = spec(&pair.source, &pair.target, &from, to, 0..5, Start::Earliest);
        spec.write.join = false;
        spec
    };
    let passes = Engine::new("passes").start(as_it_is(&passed));
    // What is opened moves the bodies of records; a header is inserted where they are read.
    let opens = flow(&pair.source, &pair.target, &from, &opened, 5, Start::At(1));
    let config = "transforms=mark\ntransforms.mark.type=org.apache.kafka.connect.transforms.InsertHeader\n\
                  transforms.mark.header=mark\ntransforms.mark.value.literal=7";
    let TopicTransforms::Records(transforms) =
        Transforms::new(transform_stages(&read_properties(config)?)?).for_topic(&marked)
    else {
        bail!("no record is looked at")
    };
    let (mut marking, transforms) = (as_it_is(&marked), Arc::new(transforms));
    marking.partitions.iter_mut().for_each(|partition| partition.transforms = Some(Arc::clone(&transforms)));
    let marks = Engine::new("marks").start(marking);
    for flow in [&passes, &opens, &marks] {
        reached(flow, &from, &[2; 5]).await?;
    }
    assert_eq!(passes.batches(), BTreeMap::from([("pass", 5)]));
    assert_eq!(opens.batches(), BTreeMap::from([("reencode: starts before", 5)]));
    assert_eq!(marks.batches(), BTreeMap::from([("reencode: transformed", 5)]));
    let with_mark = bodies(&[MARK])?;
    for (codec, partition) in CODECS.into_iter().zip(0..) {
        for (topic, expected) in [(&passed, &written[..]), (&opened, &written[1..]), (&marked, &with_mark)] {
            let found = stored(&target, &TopicPartition::new(topic, partition)).await?;
            assert!(found == expected, "{codec:?} in {topic}: {found:?}");
        }
    }
    // Another client sees the same, as far as it can tell.
    let seen = content(read_topic(&pair.target, &passed, ReadUncommitted).await?);
    assert_eq!(seen, content(read_topic(&pair.source, &from, ReadUncommitted).await?));
    let names: Vec<_> = seen[0][0].headers.iter().take(4).map(|(name, _)| name.as_slice()).collect();
    assert_eq!(names, [&b"\xff\xfe"[..], b"\xc3\x28", b"\xe2\x82", b"\xed\xa0\x80"]);
    Ok(())
}
