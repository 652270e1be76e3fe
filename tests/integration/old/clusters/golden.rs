//! Makes `wire/tests/golden/format-*.log`: segments of formats 0 and 1 as a real broker wrote them.

use std::path::Path;

use super::*;

/// Ms since the epoch: time of the first record.
const BEGAN: i64 = 1_700_000_000_000;

/// Keys, no keys, and no value once; a time every 10 ms.
fn records() -> Vec<Record> {
    let record = |n: i64| {
        let value = (n != 3).then(|| format!("value {n} {}", "abcdefgh".repeat(8)).into_bytes());
        let key = (n % 2 == 0 || n == 3).then(|| format!("k{n}").into_bytes());
        Record { key, value, ..Record::default() }.at(BEGAN + 10 * n)
    };
    (0..8).map(record).collect()
}

/// Writes each part as one batch.
async fn write(source: &Cluster, topic: &str, codec: Codec, parts: &[&[Record]], how: &Producing) -> Result<()> {
    for part in parts {
        // A client that waits for more does not send a part of it.
        let properties = [&how.properties[..], &[("linger.ms".to_owned(), "1000".to_owned())]].concat();
        let how = Producing { codec, batch_records: Some(part.len()), properties, ..how.clone() };
        produce_with(&source.bootstrap(), topic, 0, part, &how).await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "writes into the work tree"]
async fn write_golden() -> Result<()> {
    let source = Cluster::builder().name("old").version(KAFKA_2).start().await?;
    let bootstrap = source.bootstrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("wire/tests/golden");
    let keep = |topic: &str, name: &str| -> Result<()> {
        let segment = source.partition_dir(1, topic, 0)?.join("00000000000000000000.log");
        let bytes = fs::copy(segment, folder.join(format!("{name}.log")))?;
        ensure!((1..4_000).contains(&bytes), "{name} has {bytes} bytes");
        Ok(())
    };
    let records = records();
    for (format, number, version) in [(FORMAT_0, 0, "0.9.0"), (FORMAT_1, 1, "0.10.2")] {
        for codec in OLD_CODECS {
            let name = format!("format-{number}-{}", codec.name());
            create_topic(&bootstrap, &name, 1, 1, &[format]).await?;
            write(&source, &name, codec, &[&records[..5], &records[5..]], &native(version)).await?;
            keep(&name, &name)?;
        }
    }
    let name = "format-1-append-time";
    create_topic(&bootstrap, name, 1, 1, &[FORMAT_1, ("message.timestamp.type", "LogAppendTime")]).await?;
    write(&source, name, Codec::Gzip, &[&records], &native("0.10.2")).await?;
    keep(name, name)?;

    let name = "format-1-compacted";
    let compacting = [
        FORMAT_1,
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("segment.bytes", "1000"),
        ("delete.retention.ms", "86400000"),
    ];
    create_topic(&bootstrap, name, 1, 1, &compacting).await?;
    let keyed = |key: &str, n: i64, bytes: usize| Record::new(key, vec![b'v'; bytes]).at(BEGAN + 10 * n);
    let first: Vec<_> = ["a", "b", "a", "c", "b"].iter().zip(0..).map(|(key, n)| keyed(key, n, 20)).collect();
    write(&source, name, Codec::Gzip, &[&first, &[keyed("c", 5, 20), keyed("d", 6, 20)]], &native("0.10.2")).await?;
    // Each needs a segment of its own: the cleaner leaves the last one alone.
    let rolls: Vec<_> = (7..10).map(|n| keyed(&format!("k{n}"), n, 900)).collect();
    write(&source, name, Codec::None, &rolls.chunks(1).collect::<Vec<_>>(), &native("0.10.2")).await?;
    let checkpoint = source.partition_dir(1, name, 0)?.with_file_name("cleaner-offset-checkpoint");
    wait_until("the cleaner", 2 * DEADLINE, async || {
        let text = fs::read_to_string(&checkpoint)?;
        let cleaned = text.lines().find_map(|line| line.strip_prefix(&format!("{name} 0 "))?.parse::<i64>().ok());
        ensure!(cleaned.is_some_and(|offset| offset >= 9), "up to {cleaned:?}");
        Ok(())
    })
    .await?;
    keep(name, name)
}
