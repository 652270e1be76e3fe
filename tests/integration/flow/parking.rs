//! Records that are parked while the target's brokers are in trouble.

mod clusters;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    thread::available_parallelism,
};

use ::testkit::proxy::{Direction, Frame, Rule, api_key};
use kmirror::{config::IsolationLevel::ReadUncommitted, flow::PoisonPolicy, reader::ReadRecord};

use super::{
    opened::content,
    refused::{LARGE, noise},
    *,
};
use crate::shared::read_topic;

/// Topics that records of [`LARGE`] bytes don't fit in.
const NARROW: [(&str, &str); 1] = [("max.message.bytes", "20000")];
/// What parking adds to a record's headers.
const WHENCE: usize = 5;

/// Copies all partitions, and parks in a topic of so many replicas what can't be written.
fn parks(source: &str, target: &str, topics: [&str; 3], partitions: i32, replication_factor: i16) -> Flow {
    let [from, to, park] = topics;
    let mut spec = spec(source, target, from, to, 0..partitions, Start::Earliest);
    spec.write.poison = PoisonPolicy::Park { topic: park.to_owned() };
    spec.write.replication_factor = replication_factor;
    Engine::new("parks").start(spec)
}

/// A record that is parked between two that are not.
fn one_of_three(seed: usize, key: &str) -> [Record; 3] {
    [Record::value("before"), Record::new(key, noise(seed, LARGE)), Record::value("behind")]
}

/// Where a name stands in a frame.
fn place(bytes: &[u8], name: &str) -> Option<usize> {
    bytes.windows(name.len()).position(|window| window == name.as_bytes())
}

fn about(topic: &str) -> impl Fn(&Frame<'_>) -> bool + Send + Sync + use<> {
    let topic = topic.to_owned();
    move |frame| place(frame.bytes, &topic).is_some()
}

/// What is parked, as it was before.
async fn parked(bootstrap: &str, park: &str) -> Result<Vec<ReadRecord>> {
    let mut records = content(read_topic(bootstrap, park, ReadUncommitted).await?).remove(0);
    for record in &mut records {
        record.headers.truncate(record.headers.len() - WHENCE);
    }
    Ok(records)
}

#[tokio::test]
async fn a_record_is_parked_although_answers_are_lost() -> Result<()> {
    let pair = ::testkit::pair().await?;
    let (source, target) = (&pair.source.bootstrap, &pair.target.bootstrap);
    let (from, to, park) = (unique("answers"), unique("mirror.answers"), unique("poison"));
    create_topic(source, &from, 2, 1, &[]).await?;
    create_topic(target, &to, 2, 1, &NARROW).await?;
    let proxy = pair.target.proxy().await?;
    let topic = park.clone();
    // The broker hears of another topic, and answers about that: nothing is said of the one that was meant.
    let misled = Rule::mutate(api_key::PRODUCE, Direction::Request, move |frame| {
        if let Some(at) = place(frame, &topic) {
            frame[at] ^= 1;
        }
    });
    let rules =
        [misled, Rule::drop(api_key::PRODUCE, Direction::Response), Rule::cut(api_key::PRODUCE, Direction::Response)]
            .map(|rule| proxy.add(rule.when(about(&park)).first(1)));

    let flow = parks(source, &proxy.bootstrap(), [&from, &to, &park], 2, 1);
    produce(source, &from, 0, &awkward_records(10), Codec::None).await?;
    produce(source, &from, 1, &one_of_three(1, "large"), Codec::Zstd).await?;
    reached(&flow, &from, &[9, 2]).await?;
    assert_eq!(rules.map(|rule| rule.matched()), [1; 3]);

    let mut left = content(read_topic(source, &from, ReadUncommitted).await?);
    let large = left[1].remove(1);
    assert_eq!(content(read_topic(target, &to, ReadUncommitted).await?), left);
    // More than once if the broker that was asked knew the new topic already: what it answered then is lost.
    let copies = parked(target, &park).await?;
    assert!(!copies.is_empty() && copies.iter().all(|copy| *copy == large), "{} copies", copies.len());

    // Nothing of that trouble is left.
    produce(source, &from, 1, &one_of_three(2, "next"), Codec::None).await?;
    reached(&flow, &from, &[9, 5]).await?;
    let keys: Vec<_> = parked(target, &park).await?.into_iter().skip(copies.len()).map(|record| record.key).collect();
    assert_eq!(keys, [Some(b"next".to_vec())]);
    let count = flow.status().borrow().poison[&TopicPartition::new(&from, 1)].clone();
    assert_eq!((count.records, count.next), (2, 5));
    Ok(())
}

/// As many batches are opened at a time as there are processors: so many that wait to be parked must leave room for others.
#[tokio::test]
async fn batches_are_opened_while_parking_is_stuck() -> Result<()> {
    let pair = ::testkit::pair().await?;
    let (source, target) = (&pair.source.bootstrap, &pair.target.bootstrap);
    let (from, to, park) = (unique("stuck"), unique("mirror.stuck"), unique("poison"));
    let stuck = i32::try_from(available_parallelism()?.get())?;
    // Every batch has to be opened.
    create_topic(source, &from, stuck + 1, 1, &[("message.timestamp.type", "LogAppendTime")]).await?;
    create_topic(target, &to, stuck + 1, 1, &NARROW).await?;
    let proxy = pair.target.proxy().await?;
    let key = |partition: i32| format!("large-{partition}.");
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let lost = proxy.add(Rule::drop(api_key::PRODUCE, Direction::Request).when({
        let (about, seen) = (about(&park), Arc::clone(&seen));
        move |frame| {
            let parks = about(frame);
            if parks {
                seen.lock().unwrap().extend((0..stuck).filter(|p| place(frame.bytes, &key(*p)).is_some()));
            }
            parks
        }
    }));

    let flow = parks(source, &proxy.bootstrap(), [&from, &to, &park], stuck + 1, 1);
    for partition in 0..stuck {
        let records = one_of_three(usize::try_from(partition)?, &key(partition));
        produce(source, &from, partition, &records, Codec::None).await?;
    }
    wait_until("all that is to be parked to wait", DEADLINE, || async {
        let seen = seen.lock().unwrap().clone();
        ensure!(seen.len() == usize::try_from(stuck)?, "{seen:?} of {stuck}: {:?}", flow.status().borrow());
        Ok(())
    })
    .await?;
    produce(source, &from, stuck, &awkward_records(50), Codec::Lz4).await?;
    let positions = |stands: i64| [vec![stands; stuck as usize], vec![49]].concat();
    reached(&flow, &from, &positions(0)).await?;
    assert!(flow.batches()["reencode: LogAppendTime"] > u64::try_from(stuck)?);

    lost.release();
    reached(&flow, &from, &positions(2)).await?;
    let mut all = content(read_topic(source, &from, ReadUncommitted).await?);
    let mut expected: Vec<_> = all[..stuck as usize].iter_mut().map(|records| records.remove(1)).collect();
    assert_eq!(content(read_topic(target, &to, ReadUncommitted).await?), all);
    let mut found = parked(target, &park).await?;
    for records in [&mut expected, &mut found] {
        records.sort_by(|a, b| a.key.cmp(&b.key));
    }
    // None had got through before; a slow answer may have doubled one since.
    found.dedup();
    assert!(found == expected, "{:?}", found.iter().map(|record| &record.key).collect::<Vec<_>>());
    Ok(())
}
