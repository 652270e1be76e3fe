//! A request that reaches the broker when nobody waits for it any more.

use ::testkit::{
    Bulk, Cluster,
    anyhow::{Result, ensure},
    bulk_produce, create_topic,
    proxy::{Direction, Rule, api_key::PRODUCE},
    unique,
};

use crate::{
    killed::{
        a_year_ago,
        ledger::{Figures, arrived},
    },
    kmirror::{DEADLINE, Kmirror},
    worker::{Copy, connector, remote},
};

/// One worker, one partition, records of a year ago, a broker that forgets producers of old records: a request is on its way for longer than
/// the worker waits for it, and comes after it was sent again.
#[tokio::test]
async fn a_request_that_comes_late_doubles_nothing() -> Result<()> {
    let source = Cluster::builder().name("source").start().await?;
    let target = Cluster::builder()
        .name("target")
        .property("producer.id.expiration.check.interval.ms", "200")
        .proxied()
        .start()
        .await?;
    let (from, to, proxy) = (source.bootstrap(), target.bootstrap(), target.proxy()?);
    let (topic, old) = (unique("late"), Some(a_year_ago()?));
    create_topic(&from, &topic, 1, 1, &[("retention.ms", "-1")]).await?;
    bulk_produce(&from, &topic, &Bulk { time: old, ..Bulk::new(100, 1) }).await?;
    let remote = remote(&topic);
    let copies = [Copy { source: &from, topic: &topic, target: &to, remote: &remote }];
    let mut worker = Kmirror::on(&proxy.bootstrap()).start().await?;
    worker.put_connector("mirror", &connector(&from, &proxy.bootstrap(), &topic, &[])).await?;
    arrived(&copies, &worker).await?;
    let name = remote.clone().into_bytes();
    let held = proxy
        .add(Rule::hold(PRODUCE, Direction::Request).when(move |frame| frame.produced_topic() == Some(&name)).first(1));
    bulk_produce(&from, &topic, &Bulk { time: old, value_bytes: 600, ..Bulk::new(8, 1) }).await?;
    arrived(&copies, &worker).await?;
    eprintln!("copied while {} request was held", held.held());
    // The broker forgets the producer.
    let client = ::wire::Cluster::new(::wire::ClusterConfig::new("b", &crate::shared::addresses(&to)));
    worker
        .until("the producer to be forgotten", DEADLINE, async || {
            let known = client.describe_producers(&::wire::TopicPartition::new(remote.as_str(), 0)).await?;
            ensure!(known.is_empty(), "{known:?}");
            Ok(())
        })
        .await?;
    held.release();
    // Behind the late one.
    bulk_produce(&from, &topic, &Bulk { time: old, value_bytes: 700, ..Bulk::new(8, 1) }).await?;
    worker
        .until("all that came", DEADLINE, async || {
            let figures = Figures::read(&copies[0]).await?;
            ensure!(figures.missing == 0, "{figures}");
            Ok(())
        })
        .await?;
    let figures = Figures::read(&copies[0]).await?;
    eprintln!("a late request: {figures}");
    figures.exact()?;
    worker.stop().await
}
