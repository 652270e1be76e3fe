//! Sources that are not there, at the start and later.

use std::time::{Duration, Instant};

use ::testkit::{
    Codec,
    anyhow::{Result, ensure},
    create_topic,
    ports::Port,
    produce, unique,
};

use super::{Copy, connector, records, remote};
use crate::kmirror::Kmirror;

/// A wrong address must show while the user is looking.
const SHOWN_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test]
async fn an_absent_source_is_shown_at_once_and_taken_up_when_it_is_there() -> Result<()> {
    let pair = ::testkit::pair().await?;
    let (source, target) = (&pair.source.bootstrap, &pair.target.bootstrap);
    let topic = unique("absent");
    create_topic(source, &topic, 2, 1, &[]).await?;
    produce(source, &topic, 1, &records(0, 100), Codec::Gzip).await?;
    let proxy = pair.source.proxy().await?;
    proxy.accept_connections(false);

    let mut worker = Kmirror::on(target).start().await?;
    let nobody = Port::reserve()?;
    let wrong = connector(&nobody.address(), target, &topic, &[("source.cluster.alias", "wrong")]);
    let absent = connector(&proxy.bootstrap(), target, &topic, &[]);
    let start = Instant::now();
    worker.put_connector("wrong", &wrong).await?;
    worker.put_connector("absent", &absent).await?;
    worker.wait_failed("wrong", SHOWN_WITHIN, &[&nobody.address(), "cluster wrong", "efused"]).await?;
    let first = proxy.bootstrap().split(',').next().unwrap_or_default().to_owned();
    worker.wait_failed("absent", SHOWN_WITHIN, &[&first, "cluster src"]).await?;
    ensure!(start.elapsed() < SHOWN_WITHIN, "shown after {:?}", start.elapsed());
    // REST is as alive as ever.
    worker.wait_healthy().await?;
    ensure!(worker.get("/connectors").await?.json()?.as_array().map(Vec::len) == Some(2));

    proxy.accept_connections(true);
    worker.wait_running("absent", 1).await?;
    let remote = remote(&topic);
    let copy = Copy { source, topic: &topic, target, remote: &remote };
    copy.wait_equal(&worker).await?;
    // The other is as it was.
    worker.wait_failed("wrong", SHOWN_WITHIN, &[&nobody.address()]).await?;

    // And the source goes away, and comes back.
    proxy.accept_connections(false);
    proxy.cut_all();
    worker.wait_failed("absent", Duration::from_secs(60), &[&first, "cluster src"]).await?;
    produce(source, &topic, 0, &records(1_000, 100), Codec::None).await?;
    proxy.accept_connections(true);
    worker.wait_running("absent", 1).await?;
    copy.wait_equal(&worker).await?;
    // A source that is away does not keep the worker from ending.
    proxy.accept_connections(false);
    proxy.cut_all();
    worker.stop().await
}
