//! The whole program between Kafka 2.8 and today's, both ways.

use std::collections::BTreeMap;

use ::testkit::{kafka_version, produce, topic_configs};

use super::*;
use crate::{
    kmirror::Kmirror,
    worker::{Copy, connector, remote},
};

#[tokio::test]
async fn a_worker_mirrors_from_kafka_2_8_and_one_on_it_mirrors_back() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplication [1]
    let (new, target) = (&pair().await?.target, target_end().await?);
    let old = Cluster::builder().name("old").version(KAFKA_2).start().await?;
    let bootstrap = old.bootstrap();

    // Away. Kafka 4 does not know the setting of the format, is to keep the others, and by default takes no time that is
    // more than an hour ahead.
    let configs = [FORMAT_1, ("retention.ms", "123456789000"), ("max.message.bytes", "2000000")];
    let mut records = headerless(20);
    records.push(Record::value("tomorrow").at(now_ms() + 86_400_000));
    let topic = filled(&old, "away", &configs, &OLD_CODECS, &records, &converted()).await?;
    let away = Kmirror::on(&new.bootstrap).start().await?;
    away.put_connector("away", &connector(&bootstrap, &new.bootstrap, &topic, &[])).await?;
    away.wait_running("away", 1).await?;
    let expected = old.tools().java_read_all(&[&topic], Isolation::ReadCommitted).await?;
    arrive(&expected, &[(topic.clone(), remote(&topic))], &target, &[]).await?;
    let mut made = topic_configs(&new.bootstrap, &remote(&topic)).await?;
    assert_eq!(made.remove(FORMAT_1.0).is_some(), kafka_version().starts_with("3."));
    let forever = "9223372036854775807";
    let wanted = [
        ("retention.ms", "123456789000"),
        ("max.message.bytes", "2000000"),
        ("message.timestamp.before.max.ms", forever),
        ("message.timestamp.after.max.ms", forever),
    ];
    assert_eq!(made, BTreeMap::from(wanted.map(|(key, value)| (key.to_owned(), value.to_owned()))));

    // And back: to a cluster that does not know newer settings either, and that holds the worker's own topics.
    let topic = unique("back");
    let configs = [("message.timestamp.after.max.ms", "3600000"), ("retention.ms", "123456789000")];
    create_topic(&new.bootstrap, &topic, 2, 1, &configs).await?;
    for codec in [Codec::Gzip, Codec::Zstd] {
        produce(&new.bootstrap, &topic, 1, &awkward_records(20), codec).await?;
    }
    let mut back = Kmirror::on(&bootstrap).start().await?;
    back.put_connector("back", &connector(&new.bootstrap, &bootstrap, &topic, &[])).await?;
    back.wait_running("back", 1).await?;
    let copied = remote(&topic);
    let copy = Copy { source: &new.bootstrap, topic: &topic, target: &bootstrap, remote: &copied };
    copy.wait_equal(&back).await?;
    let made = topic_configs(&bootstrap, &copied).await?;
    assert_eq!(made, BTreeMap::from([("retention.ms".to_owned(), "123456789000".to_owned())]));

    // It finds its connector and its positions again.
    back.stop().await?;
    produce(&new.bootstrap, &topic, 0, &awkward_records(20), Codec::Zstd).await?;
    back.restart().await?;
    back.wait_running("back", 1).await?;
    copy.wait_equal(&back).await
}
