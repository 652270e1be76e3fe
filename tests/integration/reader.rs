//! Reading by librdkafka, over real brokers.

mod differential;

use std::time::Duration;

use ::testkit::{
    Codec, Producing, Record,
    anyhow::Result,
    create_topic, delete_records, produce, produce_with,
    proxy::{Direction, Rule, api_key},
    unique, wait_until,
};
use kmirror::{
    config::IsolationLevel::{ReadCommitted, ReadUncommitted},
    reader::{Bounds, ReadPartition, ReadRecord, Reader, ReaderError, ReaderSettings, TimestampType, bounds},
};

use crate::shared::{pair, read_topic, reader_settings};

const DEADLINE: Duration = Duration::from_secs(60);

fn partition(topic: &str, from: i64, to: Option<i64>) -> ReadPartition {
    ReadPartition { topic: topic.to_owned(), partition: 0, from, to }
}

async fn rest(reader: &mut Reader) -> Result<Vec<ReadRecord>, ReaderError> {
    let mut records = Vec::new();
    while let Some(record) = reader.next().await? {
        records.push(record);
    }
    Ok(records)
}

fn numbered(numbers: std::ops::Range<i32>) -> Vec<Record> {
    numbers.map(|n| Record::value(format!("v{n}")).at(1_700_000_000_000 + i64::from(n))).collect()
}

fn values(records: &[ReadRecord]) -> Vec<String> {
    records.iter().map(|r| String::from_utf8_lossy(r.value.as_deref().unwrap_or_default()).into_owned()).collect()
}

#[tokio::test]
async fn a_part_is_read_from_an_offset_to_an_end() -> Result<()> {
    let source = pair().await?.source;
    let topic = unique("reader-part");
    create_topic(&source, &topic, 1, 1, &[]).await?;
    // Offsets within batches: the client gets whole ones, and hands out what was asked for.
    produce(&source, &topic, 0, &numbered(0..50), Codec::Lz4).await?;
    let settings = reader_settings(&source, ReadUncommitted);
    let found = rest(&mut Reader::start(&settings, partition(&topic, 17, Some(23)))?).await?;
    assert_eq!(found.iter().map(|r| r.offset).collect::<Vec<_>>(), [17, 18, 19, 20, 21, 22]);
    assert_eq!(values(&found), ["v17", "v18", "v19", "v20", "v21", "v22"]);
    assert_eq!((found[0].timestamp, found[0].timestamp_type), (1_700_000_000_017, TimestampType::CreateTime));
    // There is less than was asked for, and nothing.
    assert_eq!(rest(&mut Reader::start(&settings, partition(&topic, 48, Some(99)))?).await?.len(), 2);
    assert_eq!(rest(&mut Reader::start(&settings, partition(&topic, 50, Some(50)))?).await?, []);
    Ok(())
}

#[tokio::test]
async fn what_comes_later_is_read_on_and_on() -> Result<()> {
    let source = pair().await?.source;
    let topic = unique("reader-on");
    create_topic(&source, &topic, 1, 1, &[]).await?;
    let mut reader = Reader::start(&reader_settings(&source, ReadCommitted), partition(&topic, 0, None))?;
    for round in 0..3 {
        let records = numbered(10 * round..10 * round + 10);
        produce(&source, &topic, 0, &records, Codec::None).await?;
        for record in records {
            let found = tokio::time::timeout(DEADLINE, reader.next()).await??.map(|found| found.value);
            assert_eq!(found, Some(record.value));
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_committed_is_read_up_to_the_first_open_transaction() -> Result<()> {
    let source = pair().await?.source;
    let topic = unique("reader-committed");
    create_topic(&source, &topic, 1, 1, &[]).await?;
    for (commit, records) in [(true, 0..3), (false, 3..6), (true, 6..8)] {
        let transaction = Producing { transaction: Some((unique("txn"), commit)), ..Producing::default() };
        produce_with(&source, &topic, 0, &numbered(records), &transaction).await?;
    }
    // The marker of the last one may be on its way.
    wait_until("the last marker", DEADLINE, || async {
        let found = read_topic(&source, &topic, ReadCommitted).await?;
        ::testkit::anyhow::ensure!(values(&found[0]) == ["v0", "v1", "v2", "v6", "v7"], "{found:?}");
        Ok(())
    })
    .await?;
    let all = read_topic(&source, &topic, ReadUncommitted).await?;
    assert_eq!(values(&all[0]), ["v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7"]);
    Ok(())
}

#[tokio::test]
async fn headers_come_in_order_and_as_they_are() -> Result<()> {
    let source = pair().await?.source;
    let topic = unique("reader-headers");
    create_topic(&source, &topic, 1, 1, &[]).await?;
    let mut record = Record { key: None, value: Some(Vec::new()), ..Record::default() };
    for n in 0..10_000 {
        let value = n.to_string();
        record =
            record.header(["h", "", "ü"][n % 3], [Some(value.as_bytes()), None, Some(b""), Some(b"\xff\0")][n % 4]);
    }
    produce(&source, &topic, 0, std::slice::from_ref(&record), Codec::None).await?;
    let found = read_topic(&source, &topic, ReadCommitted).await?.remove(0).remove(0);
    assert_eq!((found.key, found.value), (record.key, record.value));
    let expected: Vec<_> = record.headers.into_iter().map(|(key, value)| (key.into_bytes(), value)).collect();
    assert!(found.headers == expected, "{} headers", found.headers.len());
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_named() -> Result<()> {
    let source = pair().await?.source;
    let settings = reader_settings(&source, ReadCommitted);
    let missing = unique("reader-missing");
    let gone = |partition| ReaderError::Missing { cluster: "under-test".to_owned(), topic: missing.clone(), partition };
    assert_eq!(bounds(&settings, &missing).await, Err(gone(-1)));
    let mut reader = Reader::start(&settings, partition(&missing, 0, Some(1)))?;
    assert_eq!(reader.next().await, Err(gone(0)));
    assert_eq!(reader.next().await, Ok(None));

    let topic = unique("reader-range");
    create_topic(&source, &topic, 1, 1, &[]).await?;
    produce(&source, &topic, 0, &numbered(0..5), Codec::None).await?;
    delete_records(&source, &topic, 0, 3).await?;
    for offset in [1, 99] {
        let error = Reader::start(&settings, partition(&topic, offset, Some(100)))?.next().await.unwrap_err();
        assert!(matches!(&error, ReaderError::OutOfRange { offset: named, .. } if *named == offset), "{error}");
    }
    let error = Reader::start(&settings, ReadPartition { partition: 7, ..partition(&topic, 0, None) })?.next().await;
    assert!(matches!(error, Err(ReaderError::Missing { partition: 7, .. })), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_topic_that_brokers_do_not_know_yet_is_waited_for() -> Result<()> {
    let source = &::testkit::pair().await?.source;
    let proxy = source.proxy().await?;
    let settings = reader_settings(&proxy.bootstrap(), ReadCommitted);
    let (read, bounded) = (unique("reader-early"), unique("reader-early"));
    let [told, told_again] = [&read, &bounded].map(|topic| {
        let topic = topic.clone();
        let answers = Rule::count(api_key::METADATA, Direction::Response);
        proxy.add(answers.when(move |frame| frame.mentions(&topic)))
    });

    let mut reader = Reader::start(&settings, partition(&read, 0, None))?;
    told.wait_matched(1, DEADLINE).await?;
    create_topic(&source.bootstrap, &read, 1, 1, &[]).await?;
    produce(&source.bootstrap, &read, 0, &numbered(0..1), Codec::None).await?;
    assert_eq!(reader.next().await?.map(|record| record.offset), Some(0));

    let topic = bounded.clone();
    let bounds = tokio::spawn(async move { bounds(&settings, &topic).await });
    told_again.wait_matched(1, DEADLINE).await?;
    create_topic(&source.bootstrap, &bounded, 3, 1, &[]).await?;
    assert_eq!(bounds.await??, [Bounds { low: 0, high: 0 }; 3]);
    Ok(())
}

#[tokio::test]
async fn damage_is_told_behind_what_is_sound() -> Result<()> {
    let source = &::testkit::pair().await?.source;
    let topic = unique("reader-damaged");
    create_topic(&source.bootstrap, &topic, 1, 1, &[]).await?;
    produce(&source.bootstrap, &topic, 0, &numbered(0..50), Codec::Lz4).await?;
    produce(&source.bootstrap, &topic, 0, &[Record::value(vec![7; 500])], Codec::None).await?;
    let proxy = source.proxy().await?;
    let value = |bytes: &[u8]| bytes.windows(500).position(|window| window == [7; 500]);
    let flip = move |frame: &mut Vec<u8>| {
        if let Some(at) = value(frame) {
            frame[at + 250] ^= 1;
        }
    };
    let damages = Rule::mutate(api_key::FETCH, Direction::Response, flip);
    let damaged = proxy.add(damages.when(move |frame| value(frame.bytes).is_some()));
    let settings = reader_settings(&proxy.bootstrap(), ReadUncommitted);
    let mut reader = Reader::start(&settings, partition(&topic, 0, Some(51)))?;
    for n in 0..50 {
        assert_eq!(reader.next().await?.map(|record| record.offset), Some(n));
    }
    let error = reader.next().await.unwrap_err();
    let expected =
        matches!(&error, ReaderError::Corrupt { topic: named, partition: 0, offset: 50, .. } if *named == topic);
    assert!(expected, "{error}");
    assert_eq!(reader.next().await, Ok(None));
    // What comes as it is stored is read.
    damaged.release();
    let found = rest(&mut Reader::start(&settings, partition(&topic, 50, Some(51)))?).await?;
    assert_eq!(found.iter().map(|record| record.value.clone()).collect::<Vec<_>>(), [Some(vec![7; 500])]);
    Ok(())
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_told_after_the_patience() -> Result<()> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let patience = Duration::from_secs(2);
    let settings = ReaderSettings { patience, ..reader_settings(&port.to_string(), ReadCommitted) };
    let error = Reader::start(&settings, partition("t", 7, None))?.next().await.unwrap_err();
    assert!(matches!(&error, ReaderError::Stalled { offset: 7, seconds: 2, .. }), "{error}");
    Ok(())
}

/// Alone in its process, as nextest runs it.
#[tokio::test]
async fn a_slow_reader_holds_no_more_than_its_bound() -> Result<()> {
    const RECORD: usize = 10_000;
    const COUNT: usize = 8_000;
    let source = pair().await?.source;
    let topic = unique("reader-bound");
    create_topic(&source, &topic, 1, 1, &[]).await?;
    let batches = Producing { batch_records: Some(20), ..Producing::default() };
    for _ in 0..COUNT / 500 {
        produce_with(&source, &topic, 0, &vec![Record::value(vec![7; RECORD]); 500], &batches).await?;
    }
    let settings = ReaderSettings { queue_bytes: 2 << 20, ..reader_settings(&source, ReadUncommitted) };
    // Once for what librdkafka takes for itself.
    rest(&mut Reader::start(&settings, partition(&topic, 0, Some(500)))?).await?;
    let peak = || ::testkit::process::usage(std::process::id()).map(|usage| usage.max_rss_bytes);
    let before = peak()?;
    let mut reader = Reader::start(&settings, partition(&topic, 0, Some(COUNT as i64)))?;
    let mut count = 0;
    while let Some(record) = reader.next().await? {
        assert_eq!(record.value.map(|value| value.len()), Some(RECORD));
        count += 1;
        if count % 100 == 0 {
            // As slow as whoever compares: without a bound all would be there after the first few.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // The kernel counts pages by core and tells a peak only roughly: it may have shrunk.
    let grown = peak()?.saturating_sub(before);
    assert_eq!(count, COUNT);
    assert!(grown < 16 << 20, "{grown} bytes more while {} were read", RECORD * COUNT);
    Ok(())
}
