//! Fetch sessions, topic ids, racks and room against real brokers.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ::testkit::{
    Codec, Record,
    anyhow::{Result, ensure},
    create_topic, delete_topic, produce,
    proxy::{Direction, Proxy, Rule, api_key},
    unique, wait_until,
};
use ::wire::{
    Budget, Cluster, FetchLane, FetchLimits, FetchPartition, FetchSession, FetchedPartition, ResponseError,
    TopicPartition,
};

use super::client;
use crate::shared::pair;

const DEADLINE: Duration = Duration::from_secs(60);
const ROOM: usize = 1 << 20;

/// A session's rounds at one broker, with the room they take.
struct Rounds {
    cluster: Cluster,
    broker: i32,
    session: FetchSession,
    budget: Budget,
}

impl Rounds {
    fn new(cluster: &Cluster, broker: i32) -> Self {
        Self { cluster: cluster.clone(), broker, session: FetchSession::new(), budget: Budget::new(8 * ROOM) }
    }

    /// Wants a partition from an offset on, by its leader's metadata.
    fn put(&mut self, at: &TopicPartition, offset: i64) {
        self.session.put(wanted(&self.cluster, at, offset));
    }

    async fn next(&mut self) -> ::wire::Result<Vec<FetchedPartition>> {
        let limits = FetchLimits {
            max_wait: Duration::from_millis(200),
            min_bytes: 1,
            max_bytes: 1 << 20,
            read_committed: false,
        };
        let room = self.budget.reserve(ROOM, ROOM).expect("answers before this one are gone");
        self.cluster.fetch_round(self.broker, FetchLane::Follow, &mut self.session, &limits, room).await
    }

    /// As [`Self::next`], without errors: the tags, and whether there are records.
    async fn tags(&mut self) -> Result<Vec<(usize, bool)>> {
        let answer = self.next().await?;
        ensure!(answer.iter().all(|f| f.error == 0), "{answer:?}");
        let mut tags: Vec<_> = answer.iter().map(|f| (f.tag, !f.records.is_empty())).collect();
        drop(answer);
        tags.sort_unstable();
        ensure!(self.budget.used() == 0, "{} bytes are not given back", self.budget.used());
        Ok(tags)
    }
}

fn wanted(cluster: &Cluster, at: &TopicPartition, offset: i64) -> FetchPartition {
    let leader = cluster.leader(at).expect("a leader");
    FetchPartition {
        partition: at.clone(),
        topic_id: leader.topic_id,
        offset,
        leader_epoch: leader.epoch,
        last_epoch: -1,
        max_bytes: 1 << 20,
        tag: usize::try_from(at.partition).expect("a partition"),
    }
}

/// Waits until a broker answers for all of them. Metadata names it as their leader before it has taken them over:
/// until then it knows no leader epoch of theirs (`UNKNOWN_LEADER_EPOCH`), or not even the partition.
async fn wait_until_led(cluster: &Cluster, broker: i32, partitions: &[FetchPartition]) -> Result<()> {
    wait_until("the broker to lead all of them", DEADLINE, async || {
        let mut rounds = Rounds::new(cluster, broker);
        partitions.iter().for_each(|p| rounds.session.put(p.clone()));
        rounds.tags().await.map(|_| ())
    })
    .await
}

/// Sizes of the Fetch requests that go through a proxy, bytes.
fn fetch_sizes(proxy: &Proxy) -> Arc<Mutex<Vec<usize>>> {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sizes);
    proxy.add(Rule::count(api_key::FETCH, Direction::Request).when(move |frame| {
        seen.lock().unwrap().push(frame.bytes.len());
        true
    }));
    sizes
}

#[tokio::test]
async fn a_session_tells_only_what_changed() -> Result<()> {
    a_session(true).await
}

/// As with brokers before 3.1: Fetch up to version 12.
#[tokio::test]
async fn a_session_by_names_tells_only_what_changed() -> Result<()> {
    a_session(false).await
}

async fn a_session(by_id: bool) -> Result<()> {
    let shared = ::testkit::pair().await?;
    let bootstrap = &shared.source.bootstrap;
    let topic = unique("wire-session");
    create_topic(bootstrap, &topic, 60, 1, &[]).await?;
    let proxy = shared.source.proxy().await?;
    let sizes = fetch_sizes(&proxy);
    let all_below = |limit| {
        let sizes = std::mem::take(&mut *sizes.lock().unwrap());
        assert!(sizes.iter().all(|size| *size < limit), "{sizes:?}");
    };
    let cluster = client(&proxy.bootstrap());
    cluster.topics(Some(std::slice::from_ref(&topic))).await?;
    let at = |p| TopicPartition::new(&topic, p);
    let number = |p: i32| usize::try_from(p).expect("a partition");
    let wanted = |p, offset| {
        let wanted = wanted(&cluster, &at(p), offset);
        if by_id { wanted } else { FetchPartition { topic_id: 0, ..wanted } }
    };
    let broker = cluster.leader(&at(0)).expect("a leader").broker;
    let led: Vec<i32> = (0..60).filter(|p| cluster.leader(&at(*p)).is_some_and(|l| l.broker == broker)).collect();
    wait_until_led(&cluster, broker, &led.iter().map(|p| wanted(*p, 0)).collect::<Vec<_>>()).await?;
    sizes.lock().unwrap().clear();

    let mut rounds = Rounds::new(&cluster, broker);
    led.iter().for_each(|p| rounds.session.put(wanted(*p, 0)));
    let told: Vec<usize> = rounds.tags().await?.into_iter().map(|(tag, _)| tag).collect();
    assert_eq!(told, led.iter().copied().map(number).collect::<Vec<_>>(), "the first round tells of all");
    assert!(std::mem::take(&mut *sizes.lock().unwrap())[0] > led.len() * 20);
    assert_eq!(rounds.tags().await?, []);
    all_below(150);

    let [other, busy, gone] = [led[0], led[1], led[2]];
    let send = async |p| produce(bootstrap, &topic, p, &[Record::value("v")], Codec::None).await;
    send(busy).await?;
    assert_eq!(rounds.tags().await?, [(number(busy), true)]);
    assert_eq!(rounds.tags().await?, [(number(busy), true)], "as long as its position stays");
    rounds.session.put(wanted(busy, 1));
    rounds.session.remove(&at(gone));
    assert_eq!(rounds.tags().await?, []);
    all_below(250);

    send(gone).await?;
    send(busy).await?;
    assert_eq!(rounds.tags().await?, [(number(busy), true)], "nobody wants the other any more");
    rounds.session.put(wanted(busy, 2));
    send(other).await?;
    assert_eq!(rounds.tags().await?, [(number(other), true)]);
    rounds.session.put(wanted(other, 1));
    rounds.session.put(wanted(gone, 0));
    assert_eq!(rounds.tags().await?, [(number(gone), true)]);
    all_below(250);
    Ok(())
}

#[tokio::test]
async fn an_answer_takes_its_true_length_and_copies_take_theirs() -> Result<()> {
    let bootstrap = &pair().await?.source;
    let at = TopicPartition::new(unique("wire-room"), 0);
    create_topic(bootstrap, &at.topic, 1, 1, &[]).await?;
    let records: Vec<Record> = (0..50).map(|i| Record::value(format!("{i} {}", "x".repeat(2000)))).collect();
    produce(bootstrap, &at.topic, 0, &records, Codec::None).await?;
    let cluster = client(bootstrap);
    cluster.topics(Some(std::slice::from_ref(&at.topic))).await?;
    let mut rounds = Rounds::new(&cluster, cluster.leader(&at).expect("a leader").broker);
    rounds.put(&at, 0);
    let mut answer = rounds.next().await?;
    let part = answer.pop().expect("the partition");
    assert_eq!((part.error, part.high_watermark, part.log_start), (0, 50, 0));
    let (held, length) = (rounds.budget.used(), part.records.len());
    assert!(length > 100_000 && (length..length + 500).contains(&held), "{held} held for {length}");
    let kept = rounds.budget.copy(&part.records[..100]);
    let slice = part.records.slice(1000..1001);
    drop(part);
    assert_eq!(rounds.budget.used(), held + 100);
    drop(slice);
    assert_eq!((rounds.budget.used(), kept.len()), (100, 100));
    Ok(())
}

#[tokio::test]
async fn a_topic_made_anew_is_told_apart() -> Result<()> {
    let bootstrap = &pair().await?.source;
    let at = TopicPartition::new(unique("wire-anew"), 0);
    let stays = TopicPartition::new(unique("wire-stays"), 1);
    let cluster = client(bootstrap);
    let create = async |at: &TopicPartition| {
        create_topic(bootstrap, &at.topic, at.partition + 1, 3, &[]).await?;
        wait_until("a leader", DEADLINE, async || {
            cluster.topics(Some(std::slice::from_ref(&at.topic))).await?;
            ensure!(cluster.leader(at).is_some(), "none");
            Ok(())
        })
        .await
    };
    create(&at).await?;
    create(&stays).await?;
    produce(bootstrap, &at.topic, 0, &[Record::value("old")], Codec::None).await?;
    let leader = cluster.leader(&at).expect("a leader");
    let mut rounds = Rounds::new(&cluster, leader.broker);
    rounds.put(&at, 0);
    assert_eq!(rounds.tags().await?, [(0, true)]);
    rounds.put(&at, 1);
    delete_topic(bootstrap, &at.topic).await?;
    wait_until("the broker to refuse it", DEADLINE, async || {
        let mut rounds = Rounds::new(&cluster, leader.broker);
        rounds.session.put(FetchPartition {
            partition: at.clone(),
            topic_id: leader.topic_id,
            offset: 1,
            leader_epoch: leader.epoch,
            last_epoch: -1,
            max_bytes: 1000,
            tag: 9,
        });
        let part = rounds.next().await?.pop();
        let refused = part.map(|p| (p.tag, ResponseError::try_from_code(p.error)));
        // While the topic goes it may be without its partition.
        ensure!(refused == Some((9, Some(ResponseError::UnknownTopicId))), "{refused:?}");
        Ok(())
    })
    .await?;
    // In the session that knew it, too.
    let mut told = Vec::new();
    for _ in 0..100 {
        told = rounds.next().await?.iter().map(|p| (p.tag, ResponseError::try_from_code(p.error))).collect();
        if !told.is_empty() {
            break;
        }
    }
    assert!(
        matches!(
            told[..],
            [(
                0,
                Some(
                    ResponseError::UnknownTopicId
                        | ResponseError::UnknownTopicOrPartition
                        | ResponseError::InconsistentTopicId
                )
            )]
        ),
        "{told:?}"
    );

    create(&at).await?;
    produce(bootstrap, &at.topic, 0, &[Record::value("new"), Record::value("newer")], Codec::None).await?;
    let again = cluster.leader(&at).expect("a leader");
    assert_ne!(again.topic_id, leader.topic_id);
    rounds.put(&at, 0);
    rounds.broker = again.broker;
    let mut part = rounds.next().await?;
    for _ in 0..100 {
        if part.iter().any(|p| !p.records.is_empty()) {
            break;
        }
        part = rounds.next().await?;
    }
    assert_eq!((part.len(), part[0].tag, part[0].error, part[0].high_watermark), (1, 0, 0, 2));
    Ok(())
}

/// The broker's answer says that the quota is exceeded; the other lane is not to suffer for it.
#[tokio::test]
async fn a_throttled_lane_is_silent_and_no_other() -> Result<()> {
    let shared = ::testkit::pair().await?;
    let at = TopicPartition::new(unique("wire-throttle"), 0);
    create_topic(&shared.source.bootstrap, &at.topic, 1, 1, &[]).await?;
    let proxy = shared.source.proxy().await?;
    let cluster = client(&proxy.bootstrap());
    cluster.topics(Some(std::slice::from_ref(&at.topic))).await?;
    let broker = cluster.leader(&at).expect("a leader").broker;
    // Behind the correlation id and the header's tagged fields: throttle_time_ms, first of a Fetch answer.
    let throttle = proxy.add(
        Rule::mutate(api_key::FETCH, Direction::Response, |bytes| {
            bytes[5..9].copy_from_slice(&300_000_i32.to_be_bytes());
        })
        .first(1),
    );
    let budget = Budget::new(ROOM);
    let limits =
        FetchLimits { max_wait: Duration::from_millis(100), min_bytes: 1, max_bytes: 1 << 20, read_committed: false };
    let wanted = [wanted(&cluster, &at, 0)];
    let ask = |lane| {
        let room = budget.take(100);
        cluster.fetch_once(broker, lane, &wanted, &limits, room)
    };
    assert_eq!(ask(FetchLane::Follow).await?.len(), 1);
    assert_eq!(throttle.matched(), 1);
    let until = cluster.fetch_muted_until(broker, FetchLane::Follow).expect("muted");
    assert_eq!(cluster.fetch_muted_until(broker, FetchLane::CatchUp), None);
    let mut silent = Box::pin(ask(FetchLane::Follow));
    tokio::select! {
        early = &mut silent => panic!("not silent: {early:?}"),
        other = ask(FetchLane::CatchUp) => assert_eq!(other?.len(), 1),
    }
    assert!(std::time::Instant::now() < until);
    assert_eq!(proxy.seen(api_key::FETCH, Direction::Request), 2);
    drop(silent);
    assert_eq!(budget.used(), 0);
    Ok(())
}

/// Clusters of their own.
mod clusters {
    use super::*;

    /// A broker that was started anew knows no sessions: the round is asked once more, in full, without an error.
    #[tokio::test]
    async fn a_session_that_the_broker_forgot_begins_anew() -> Result<()> {
        let kafka = ::testkit::Cluster::builder().proxied().start().await?;
        let at = TopicPartition::new("t", 0);
        create_topic(&kafka.bootstrap(), "t", 3, 1, &[]).await?;
        let cluster = client(&kafka.proxied_bootstrap()?);
        cluster.topics(Some(&["t".to_owned()])).await?;
        let broker = cluster.leader(&at).expect("a leader").broker;
        let all = || [0, 1, 2].map(|partition| wanted(&cluster, &TopicPartition::new("t", partition), 0));
        wait_until_led(&cluster, broker, &all()).await?;
        let mut rounds = Rounds::new(&cluster, broker);
        all().into_iter().for_each(|p| rounds.session.put(p));
        assert_eq!(rounds.tags().await?.len(), 3);
        assert_eq!(rounds.tags().await?, []);

        kafka.restart(1).await?;
        produce(&kafka.bootstrap(), "t", 1, &[Record::value("v")], Codec::None).await?;
        wait_until("the broker to be asked again", DEADLINE, async || {
            let leader = cluster.topics(Some(&["t".to_owned()])).await?.into_iter().next();
            ensure!(leader.is_some_and(|t| t.partitions[0].leader == Some(broker)), "not led yet");
            Ok(())
        })
        .await?;
        // The leader epoch has grown with the restart: not to be compared here.
        let all = all().map(|p| FetchPartition { leader_epoch: -1, ..p });
        wait_until_led(&cluster, broker, &all).await?;
        all.into_iter().for_each(|p| rounds.session.put(p));
        let before = kafka.proxy()?.seen(api_key::FETCH, Direction::Request);
        assert_eq!(rounds.tags().await?, [(0, false), (1, true), (2, false)]);
        assert_eq!(kafka.proxy()?.seen(api_key::FETCH, Direction::Request) - before, 2, "once in the old session");
        Ok(())
    }

    #[tokio::test]
    async fn a_leader_names_the_replica_in_our_rack() -> Result<()> {
        let kafka = ::testkit::Cluster::builder()
            .brokers(3)
            .property("broker.rack", "rack-{id}")
            .property("replica.selector.class", "org.apache.kafka.common.replica.RackAwareReplicaSelector")
            .start()
            .await?;
        let at = TopicPartition::new("t", 0);
        create_topic(&kafka.bootstrap(), "t", 1, 3, &[]).await?;
        produce(&kafka.bootstrap(), "t", 0, &[Record::value("v")], Codec::None).await?;
        let plain = client(&kafka.bootstrap());
        plain.topics(Some(&["t".to_owned()])).await?;
        let leader = plain.leader(&at).expect("a leader").broker;
        let follower = if leader == 1 { 2 } else { 1 };
        let mut config = ::wire::ClusterConfig::new("racked", &crate::shared::addresses(&kafka.bootstrap()));
        config.rack = Some(format!("rack-{follower}"));
        let racked = Cluster::new(config).with_own_connections("with-rack");
        racked.topics(Some(&["t".to_owned()])).await?;

        let mut rounds = Rounds::new(&racked, leader);
        rounds.put(&at, 0);
        let named = wait_until("the leader to name a follower", DEADLINE, async || {
            // A follower counts once it has fetched what is asked for.
            let mut fresh = Rounds::new(&racked, leader);
            fresh.put(&at, 0);
            let part = fresh.next().await?.pop().expect("the partition");
            ensure!(part.error == 0, "error {}", part.error);
            part.preferred_replica.ok_or_else(|| ::testkit::anyhow::anyhow!("none yet"))
        })
        .await?;
        assert_eq!(named, follower);
        assert!(racked.knows_broker(named) && !racked.knows_broker(77));
        // The session at the leader says the same, and the follower answers.
        let part = rounds.next().await?.pop().expect("the partition");
        assert_eq!((part.preferred_replica, part.records.len()), (Some(follower), 0));
        let mut nearer = Rounds::new(&racked, named);
        nearer.put(&at, 0);
        // It learns of a high watermark a little later than the leader.
        let mut told = nearer.next().await?;
        for _ in 0..100 {
            assert!(told.iter().all(|part| (part.error, part.preferred_replica) == (0, None)), "{told:?}");
            if told.iter().any(|part| !part.records.is_empty()) {
                break;
            }
            told = nearer.next().await?;
        }
        assert_eq!((told.len(), told[0].high_watermark), (1, 1));
        // Who tells no rack stays with the leader.
        let mut anywhere = Rounds::new(&plain, leader);
        anywhere.put(&at, 0);
        let part = anywhere.next().await?.pop().expect("the partition");
        assert_eq!((part.preferred_replica, part.records.is_empty()), (None, false));
        Ok(())
    }
}
