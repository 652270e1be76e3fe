//! A request that reaches the broker when nobody waits for it any more.

use std::time::Duration;

use ::testkit::{
    Bulk, Cluster,
    anyhow::{Context, Result, ensure},
    bulk_produce, create_topic, placements,
    proxy::{
        Direction, Rule,
        api_key::{DESCRIBE_PRODUCERS, PRODUCE},
    },
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

/// Waits until nothing is missing.
async fn all_came(copy: &Copy<'_>, worker: &Kmirror) -> Result<Figures> {
    worker
        .until("all that came", DEADLINE, async || {
            let figures = Figures::read(copy).await?;
            ensure!(figures.missing == 0, "{figures}");
            Ok(figures)
        })
        .await
}

/// One worker, one partition, records of a year ago, a broker that forgets producers of old records: a request is on its way for longer than
/// the worker waits for it, and comes after it was sent again. Nobody can keep the broker from appending it; all of it is told.
#[tokio::test]
async fn what_a_request_doubles_that_comes_too_late_is_told() -> Result<()> {
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
    let figures = all_came(&copies[0], &worker).await?;
    eprintln!("a late request: {figures}");
    ensure!((figures.missing, figures.doubled, figures.reordered) == (0, 8, 0), "{figures}");
    worker
        .until("all that is doubled to be told", DEADLINE, async || {
            let told = worker.request("GET", "/connectors/mirror/kmirror/events", None).await?.ok()?;
            ensure!(told["counts"]["RECORDS_DOUBLED"]["records"] == figures.doubled, "{told}");
            Ok(())
        })
        .await?;
    worker.stop().await
}

/// The leader has a batch that nobody can read yet, and says that it remembers its producer; by the time the batch is sent again, it does not.
#[tokio::test]
async fn a_producer_that_is_forgotten_once_it_was_told_of_doubles_nothing() -> Result<()> {
    let source = Cluster::builder().name("source").start().await?;
    let target = Cluster::builder()
        .name("target")
        .brokers(3)
        .property("min.insync.replicas", "2")
        // Longer than the worker waits before it looks, shorter than the answer takes that it is still remembered.
        .property("producer.id.expiration.check.interval.ms", "20000")
        // A follower that says nothing stays in sync for as long as the test needs.
        .property("replica.lag.time.max.ms", "120000")
        .property("broker.session.timeout.ms", "120000")
        .property("offsets.topic.num.partitions", "1")
        .property("offsets.topic.replication.factor", "1")
        .proxied()
        .start()
        .await?;
    let (from, to, proxy) = (source.bootstrap(), target.bootstrap(), target.proxy()?);
    let (topic, old) = (unique("forgotten"), Some(a_year_ago()?));
    create_topic(&from, &topic, 1, 1, &[("retention.ms", "-1")]).await?;
    bulk_produce(&from, &topic, &Bulk { time: old, ..Bulk::new(100, 1) }).await?;
    let remote = remote(&topic);
    // Broker 1 leads all that the worker needs, but for its group.
    let tools = target.tools();
    let stored = ["config", "offset", "status"].map(|kind| (kind, unique(kind)));
    for name in stored.iter().map(|(_, name)| name.as_str()).chain(["mm2-offset-map.src.internal"]) {
        let configs = ["--config", "cleanup.policy=compact", "--config", "min.insync.replicas=1"];
        tools.topics(&[&["--create", "--topic", name, "--replica-assignment", "1"], &configs[..]].concat()).await?;
    }
    tools.topics(&["--create", "--topic", &remote, "--replica-assignment", "1:2:3"]).await?;
    let direct = to.split(',').next().context("no broker")?.to_owned();
    let copies = [Copy { source: &from, topic: &topic, target: &direct, remote: &remote }];
    let mut worker = stored
        .iter()
        .fold(Kmirror::on(&proxy.bootstrap()), |worker, (kind, name)| {
            worker.property(&format!("{kind}.storage.topic"), name)
        })
        .start()
        .await?;
    worker.put_connector("mirror", &connector(&from, &proxy.bootstrap(), &topic, &[])).await?;
    arrived(&copies, &worker).await?;

    let coordinator = placements(&direct, "__consumer_offsets").await?.first().context("no group")?.leader;
    let follower = if coordinator == 3 { 2 } else { 3 };
    let told = proxy.add(Rule::delay(DESCRIBE_PRODUCERS, Direction::Response, Duration::from_secs(22)).first(1));
    let name = remote.clone().into_bytes();
    let sent = proxy.watch(PRODUCE, move |frame| frame.produced_topic() == Some(&name));
    target.sigstop(follower)?;
    bulk_produce(&from, &topic, &Bulk { time: old, value_bytes: 600, ..Bulk::new(8, 1) }).await?;
    worker
        .until("a request without an answer", DEADLINE, async || {
            ensure!(sent.unanswered() > 0, "{sent:?}");
            Ok(())
        })
        .await?;
    let client = ::wire::Cluster::new(::wire::ClusterConfig::new("b", &crate::shared::addresses(&direct)));
    let at = ::wire::TopicPartition::new(remote.as_str(), 0);
    worker
        .until("the batch in the leader's log", DEADLINE, async || {
            let producers = client.describe_producers(&at).await?;
            ensure!(producers.iter().any(|active| active.last_sequence == 107), "{producers:?}");
            Ok(())
        })
        .await?;
    proxy.cut_all();
    told.wait_matched(1, DEADLINE).await?;
    let before = sent.seen();
    worker
        .until("the batch to be sent again, or waited for", DEADLINE, async || {
            // It is forgotten before anybody asks where the broker's look at its producers comes then.
            let waits = worker.log_text().contains("are not replicated yet");
            ensure!(waits || sent.seen() > before, "{sent:?}");
            Ok(())
        })
        .await?;
    target.sigcont(follower)?;
    arrived(&copies, &worker).await?;
    // Behind it.
    bulk_produce(&from, &topic, &Bulk { time: old, value_bytes: 700, ..Bulk::new(8, 1) }).await?;
    let figures = all_came(&copies[0], &worker).await?;
    eprintln!("a producer forgotten once it was told of: {figures}");
    figures.exact()?;
    worker.stop().await
}
