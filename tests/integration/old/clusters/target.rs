//! What was copied away from Kafka 2.8 goes back there.

use ::testkit::{Steady, produce, steady_produce, wait_for_topic};

use super::*;

#[tokio::test]
async fn kafka_2_8_takes_copies_back_also_when_it_is_killed() -> Result<()> {
    let source = &pair().await?.source;
    let source = End::new(&source.bootstrap, source.tools().await?);
    let cluster = Cluster::builder().name("old").version(KAFKA_2).start().await?;
    let target = End { isolation: Isolation::ReadUncommitted, ..End::new(&cluster.bootstrap(), cluster.tools()) };

    let [plain, transactional, refused] = ["plain", "transactional", "refused"].map(unique);
    for (topic, partitions) in [(&plain, 5), (&transactional, 5), (&refused, 1)] {
        create_topic(&source.bootstrap, topic, partitions, 1, &[]).await?;
    }
    each(&Codec::ALL, async |codec, partition| {
        produce(&source.bootstrap, &plain, partition, &awkward_records(100), codec).await?;
        for commit in [true, false] {
            let transaction = Some((unique("tx"), commit));
            let how = Producing { codec, batch_records: Some(7), transaction, ..Producing::default() };
            produce_with(&source.bootstrap, &transactional, partition, &awkward_records(50), &how).await?;
        }
        Ok(())
    })
    .await?;
    let topics = [(plain.clone(), 5), (transactional.clone(), 5)];
    let (pairs, flows) = copies(&source.bootstrap, &target.bootstrap, &topics).await?;
    let names = [plain.as_str(), &transactional];
    arrive(&source.held(&names).await?, &pairs, &target, &flows).await?;

    // Old topics take no idempotent producer: that is said, and hurts nobody else.
    let remote = format!("mirror.{refused}");
    create_topic(&target.bootstrap, &remote, 1, 1, &[FORMAT_1]).await?;
    produce(&source.bootstrap, &refused, 0, &awkward_records(10), Codec::None).await?;
    let stopping = flow(&source.bootstrap, &target.bootstrap, &refused, &remote, 1, Start::Earliest);
    let stopped = tokio::time::timeout(DEADLINE, stopping.status().wait_for(|s| !s.stopped.is_empty())).await??.clone();
    let reason = stopped.stopped.values().next().cloned().unwrap_or_default();
    assert!(reason.contains("UNSUPPORTED_FOR_MESSAGE_FORMAT") && reason.contains(&remote), "{reason}");

    // Batches under way when the broker is killed arrive once.
    let load = Steady { rate: 1_000, records: 7_000, partitions: 5, value_bytes: 200, codec: Codec::Lz4 };
    let killed = async {
        cluster.kill9(1)?;
        // It has to wait until ZooKeeper believes that it is gone.
        wait_until("the broker to be back", DEADLINE, || cluster.restart(1)).await?;
        wait_for_topic(&target.bootstrap, &pairs[0].1, 5).await
    };
    tokio::try_join!(steady_produce(&source.bootstrap, &plain, load), killed)?;
    arrive(&source.held(&names).await?, &pairs, &target, &flows).await
}
