//! Records that choose their topics.

use std::sync::Arc;

use ::testkit::watermarks;
use kmirror::{
    config::{read_properties, transform_stages},
    transforms::{TopicTransforms, Transforms},
};

use super::*;

const TOPICS: usize = 8;
const COUNT: usize = 4_000;

/// When the record is written, ms since the epoch: on one of eight days from 14 September 2020 on.
fn at(n: usize) -> i64 {
    1_600_041_600_000 + 86_400_000 * (n % TOPICS) as i64
}

/// To one of eight topics in turn.
fn by_day(source: &str, target: &str, from: &str, remote: &str, start: Start) -> Result<FlowSpec> {
    let config = "transforms=day\ntransforms.day.type=TimestampRouter\ntransforms.day.timestamp.format=dd";
    let TopicTransforms::Records(transforms) =
        Transforms::new(transform_stages(&read_properties(config)?)?).for_topic(remote)
    else {
        ::testkit::anyhow::bail!("no record is looked at")
    };
    let mut spec = spec(source, target, from, remote, 0..1, start);
    spec.partitions[0].transforms = Some(Arc::new(transforms));
    spec.write.replication_factor = 1;
    Ok(spec)
}

/// Topics have to be made between those that are written, so a flow that ends at the first record is in the middle of what was opened.
#[tokio::test]
async fn a_drain_finishes_what_is_written_topic_by_topic() -> Result<()> {
    let pair = pair().await?;
    let (from, remote) = (unique("turns"), unique("mirror.turns"));
    create_topic(&pair.source, &from, 1, 1, &[]).await?;
    let records: Vec<Record> = (0..COUNT).map(|n| Record::value(n.to_string()).at(at(n))).collect();
    produce(&pair.source, &from, 0, &records, Codec::Lz4).await?;
    let topics: Vec<String> = (0..TOPICS).map(|day| format!("{remote}-{}", 14 + day)).collect();
    let partition = TopicPartition::new(&from, 0);

    let first = Engine::new("first").start(by_day(&pair.source, &pair.target, &from, &remote, Start::Earliest)?);
    wait_until("the first record", DEADLINE, || async {
        let marks = watermarks(&pair.target, &topics[0]).await?;
        ensure!(marks[0].high > 0, "{:?}", *first.status().borrow());
        Ok(())
    })
    .await?;
    let position = first.drain(DEADLINE).await.get(&partition).map_or(-1, |at| at.offset);
    let there = async || -> Result<Vec<Vec<String>>> {
        let mut there = Vec::new();
        for topic in &topics {
            let values = match read_all(&pair.target, topic).await {
                Ok(partitions) => partitions.into_iter().flatten().filter_map(|record| record.value).collect(),
                // Not made yet.
                Err(_) => Vec::new(),
            };
            there.push(values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect());
        }
        Ok(there)
    };
    let up_to = |end: usize| -> Vec<Vec<String>> {
        (0..TOPICS).map(|day| (day..end).step_by(TOPICS).map(|n| n.to_string()).collect()).collect()
    };
    assert_eq!(there().await?, up_to(usize::try_from(position + 1)?), "position {position}");

    let rest = by_day(&pair.source, &pair.target, &from, &remote, Start::At(position + 1))?;
    produce(&pair.source, &from, 0, &[Record::value(COUNT.to_string()).at(at(COUNT))], Codec::None).await?;
    let rest = Engine::new("rest").start(rest);
    reached(&rest, &from, &[i64::try_from(COUNT)?]).await?;
    assert_eq!(there().await?, up_to(COUNT + 1));
    Ok(())
}
