//! The proxy's rules really act.

use std::time::{Duration, Instant};

use ::testkit::anyhow::{Result, ensure};
use ::testkit::proxy::api_key::{FETCH, METADATA, PRODUCE};
use ::testkit::proxy::{Direction, Proxy, Rule};
use ::testkit::{
    Codec, Isolation, Producing, Record, Shared, create_topic, pair, produce, produce_with, read_all, read_all_with,
    unique, wait_until, watermarks,
};

use super::DEADLINE;

/// A topic of one partition in the shared target, and a proxy before it.
async fn start() -> Result<(&'static Shared, Proxy, String)> {
    let cluster = &pair().await?.target;
    let topic = unique("proxied");
    create_topic(&cluster.bootstrap, &topic, 1, 1, &[]).await?;
    Ok((cluster, cluster.proxy().await?, topic))
}

async fn produce_one(proxy: &Proxy, topic: &str, how: &Producing) -> Result<Vec<i64>> {
    produce_with(&proxy.bootstrap(), topic, 0, &[Record::value("needle")], how).await
}

async fn end(cluster: &Shared, topic: &str) -> Result<i64> {
    Ok(watermarks(&cluster.bootstrap, topic).await?[0].high)
}

/// Repeats itself after a second without an answer.
fn impatient() -> Producing {
    let properties = [("socket.timeout.ms", "1000"), ("request.timeout.ms", "1000")];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    Producing { properties, ..Producing::default() }
}

#[tokio::test]
async fn clients_that_bootstrap_through_the_proxy_stay_on_it() -> Result<()> {
    let (_, proxy, topic) = start().await?;
    produce(&proxy.bootstrap(), &topic, 0, &[Record::value("v")], Codec::None).await?;
    read_all(&proxy.bootstrap(), &topic).await?;
    for (api, direction) in
        [(METADATA, Direction::Request), (PRODUCE, Direction::Response), (FETCH, Direction::Response)]
    {
        proxy.wait_seen(api, direction, 1, DEADLINE).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_held_produce_is_written_when_it_is_released() -> Result<()> {
    let (cluster, proxy, topic) = start().await?;
    let hold = proxy.add(Rule::hold(PRODUCE, Direction::Request));
    let how = Producing::default();
    let mut producing = std::pin::pin!(produce_one(&proxy, &topic, &how));
    tokio::select! {
        held = hold.wait_held(1, DEADLINE) => held?,
        done = &mut producing => panic!("not held: {done:?}"),
    }
    assert_eq!(end(cluster, &topic).await?, 0);
    hold.release();
    assert_eq!(producing.await?, [0]);
    assert_eq!((end(cluster, &topic).await?, hold.held(), hold.matched()), (1, 0, 1));
    Ok(())
}

#[tokio::test]
async fn a_held_request_reaches_the_broker_after_its_client_has_given_up() -> Result<()> {
    let (cluster, proxy, topic) = start().await?;
    let hold = proxy.add(Rule::hold(PRODUCE, Direction::Request));
    let given_up = produce_one(&proxy, &topic, &Producing { timeout: Duration::from_secs(2), ..impatient() }).await;
    ensure!(given_up.is_err(), "{given_up:?}");
    assert_eq!(end(cluster, &topic).await?, 0);
    hold.release();
    wait_until("the late record", DEADLINE, async || {
        let end = end(cluster, &topic).await?;
        ensure!(end >= 1, "{end}");
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_client_repeats_itself_after_a_dropped_request_or_response() -> Result<()> {
    let (cluster, proxy, topic) = start().await?;
    for (direction, written) in [(Direction::Request, 1), (Direction::Response, 2)] {
        let drop = proxy.add(Rule::drop(PRODUCE, direction).first(1));
        produce_one(&proxy, &topic, &impatient()).await?;
        assert_eq!((drop.matched(), end(cluster, &topic).await?), (1, written), "{direction:?}");
        proxy.clear();
    }
    Ok(())
}

#[tokio::test]
async fn a_repeated_request_is_written_twice_unless_it_is_idempotent() -> Result<()> {
    let (cluster, proxy, topic) = start().await?;
    let repeat = proxy.add(Rule::repeat(PRODUCE, Direction::Request));
    produce_one(&proxy, &topic, &Producing::default()).await?;
    assert_eq!((repeat.matched(), end(cluster, &topic).await?), (1, 1));
    produce_one(&proxy, &topic, &Producing { idempotent: false, ..Producing::default() }).await?;
    wait_until("the second copy", DEADLINE, async || {
        let end = end(cluster, &topic).await?;
        ensure!(end == 3, "{end}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_bit_flipped_in_a_fetch_response_is_seen_by_the_reader() -> Result<()> {
    let (cluster, proxy, topic) = start().await?;
    produce_one(&proxy, &topic, &Producing::default()).await?;
    assert_eq!(read_all(&proxy.bootstrap(), &topic).await?[0].len(), 1);
    let mutate = proxy.add(Rule::mutate(FETCH, Direction::Response, |bytes| {
        if let Some(at) = bytes.windows(6).position(|w| w == b"needle") {
            bytes[at] ^= 1;
        }
    }));
    let error = read_all(&proxy.bootstrap(), &topic).await.expect_err("the flipped bit went unnoticed");
    assert!(format!("{error:#}").contains("Bad message") || format!("{error:#}").contains("BadMessage"), "{error:#}");
    assert!(mutate.matched() > 0);
    mutate.release();
    read_all_with(&proxy.bootstrap(), &topic, Isolation::ReadCommitted).await?;
    assert_eq!(end(cluster, &topic).await?, 1);
    Ok(())
}

#[tokio::test]
async fn connections_are_cut_delayed_and_refused() -> Result<()> {
    let (_, proxy, topic) = start().await?;
    let delay = proxy.add(Rule::delay(PRODUCE, Direction::Response, Duration::from_millis(700)).first(1));
    let start = Instant::now();
    produce_one(&proxy, &topic, &Producing::default()).await?;
    assert!(start.elapsed() >= Duration::from_millis(700));
    assert_eq!(delay.matched(), 1);

    let cut = proxy.add(Rule::cut(FETCH, Direction::Request).when(|frame| frame.api_version > 3).first(2));
    assert_eq!(read_all(&proxy.bootstrap(), &topic).await?[0].len(), 1);
    assert_eq!(cut.matched(), 2);

    proxy.accept_connections(false);
    assert!(watermarks(&proxy.bootstrap(), &topic).await.is_err());
    proxy.accept_connections(true);
    let hold = proxy.add(Rule::hold(PRODUCE, Direction::Response).any_api().first(1));
    let how = impatient();
    let mut producing = std::pin::pin!(produce_one(&proxy, &topic, &how));
    tokio::select! {
        held = hold.wait_held(1, DEADLINE) => held?,
        done = &mut producing => panic!("not held: {done:?}"),
    }
    assert!(proxy.open_connections() > 0);
    proxy.cut_all();
    producing.await?;
    Ok(())
}

/// A slow line holds several requests at once; a slow rule would make one wait for the other.
#[tokio::test]
async fn latency_delays_each_frame_and_none_behind_another() -> Result<()> {
    let (_, proxy, topic) = start().await?;
    let by = Duration::from_millis(200);
    for direction in [Direction::Request, Direction::Response] {
        proxy.add(Rule::latency(PRODUCE, direction, by));
    }
    let records: Vec<_> = (0..50).map(|i| Record::value(format!("v{i}"))).collect();
    let properties = vec![("max.in.flight".to_owned(), "5".to_owned()), ("linger.ms".to_owned(), "0".to_owned())];
    let how = Producing { batch_records: Some(1), properties, ..Producing::default() };
    let start = Instant::now();
    produce_with(&proxy.bootstrap(), &topic, 0, &records, &how).await?;
    let took = start.elapsed();
    // Five at a time there and back: ten rounds of 400 ms. One at a time it would be fifty.
    assert!(took >= 10 * 2 * by && took < 50 * 2 * by, "{took:?}");
    assert!(proxy.seen(PRODUCE, Direction::Request) >= 50);
    assert_eq!(read_all(&proxy.bootstrap(), &topic).await?[0].len(), 50);
    Ok(())
}

#[tokio::test]
async fn all_connections_are_cut_at_once() -> Result<()> {
    let (_, proxy, topic) = start().await?;
    let hold = proxy.add(Rule::hold(PRODUCE, Direction::Request));
    let how = Producing { timeout: Duration::from_secs(60), ..Producing::default() };
    let mut producing = std::pin::pin!(produce_one(&proxy, &topic, &how));
    tokio::select! {
        held = hold.wait_held(1, DEADLINE) => held?,
        done = &mut producing => panic!("not held: {done:?}"),
    }
    proxy.cut_all();
    // The held request went down with its connection; the client sends it again on another.
    hold.release();
    assert_eq!(producing.await?, [0]);
    assert_eq!(read_all(&proxy.bootstrap(), &topic).await?[0].len(), 1);
    Ok(())
}
