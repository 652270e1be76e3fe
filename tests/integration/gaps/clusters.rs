//! Logs that lose what they had, by unclean elections: replicas 1 and 2 of partition 0 part, and the one that has less wins.

use ::testkit::{
    Cluster,
    anyhow::{Context, Result, ensure},
    placements, unique, wait_until,
};
use serde_json::json;

use super::{FIRST, Scene};
use crate::{
    killed::a_year_ago,
    kmirror::{Builder, DEADLINE, Kmirror},
    shared::pair,
};

const DIVERGED: &str = "kmirror.source.diverged.policy";
const REGRESSED: &str = "kmirror.target.regressed.policy";

/// Broker 3 has all but partition 0 of the topic.
async fn unclean(name: &str) -> Result<Cluster> {
    Cluster::builder()
        .name(name)
        .brokers(3)
        .property("unclean.leader.election.enable", "true")
        .property("min.insync.replicas", "1")
        .start()
        .await
}

async fn make(cluster: &Cluster, topic: &str, replicas: &str, more: &[&str]) -> Result<()> {
    let args = [&["--create", "--topic", topic, "--replica-assignment", replicas], more].concat();
    cluster.tools().topics(&args).await.map(|_| ())
}

/// A worker whose own topics are on broker 3.
async fn worker_on(cluster: &Cluster) -> Result<Builder> {
    let mut worker = Kmirror::on(&cluster.bootstrap());
    for kind in ["config", "offset", "status"] {
        let topic = unique(kind);
        make(cluster, &topic, "3", &["--config", "cleanup.policy=compact"]).await?;
        worker = worker.property(&format!("{kind}.storage.topic"), &topic);
    }
    Ok(worker)
}

/// Partition 0 as it is now: its leader, and who is in sync.
async fn wait_placed(cluster: &Cluster, topic: &str, leader: i32, in_sync: &[i32]) -> Result<()> {
    wait_until(&format!("broker {leader} to lead {topic}-0"), DEADLINE, async || {
        let placed = placements(&cluster.bootstrap(), topic).await?;
        let placed = placed.first().context("no partition")?;
        ensure!(placed.leader == leader && placed.in_sync == in_sync, "{placed:?}");
        Ok(())
    })
    .await
}

/// Which of the two ends loses records, and the copy that notices.
struct Story {
    /// The cluster that loses them.
    cluster: Cluster,
    /// Its topic.
    topic: String,
    scene: Scene,
}

impl Story {
    /// Both partitions are copied up to 100, and both replicas of partition 0 have that.
    async fn at_source(more: &[(&str, &str)]) -> Result<Self> {
        let cluster = unclean("source").await?;
        let target = &pair().await?.target;
        let scene = Scene::prepared(&cluster.bootstrap(), target, Kmirror::on(target), more).await?;
        make(&cluster, &scene.topic, "1:2,3:2", &[]).await?;
        make(&cluster, &scene.beside(), "3", &[]).await?;
        scene.put(&[]).await?;
        scene.fill(100).await?;
        let topic = scene.topic.clone();
        wait_placed(&cluster, &topic, 1, &[1, 2]).await?;
        Ok(Self { cluster, topic, scene })
    }

    /// With partition 1 on these brokers, and records of this time, ms since the epoch.
    async fn at_target(more: &[(&str, &str)], other: &str, time: Option<i64>) -> Result<Self> {
        let cluster = unclean("target").await?;
        let source = &pair().await?.source;
        let worker = worker_on(&cluster).await?;
        let mut scene = Scene::prepared(source, &cluster.bootstrap(), worker, more).await?;
        scene.time = time;
        ::testkit::create_topic(source, &scene.topic, 2, 1, &[("retention.ms", "-1")]).await?;
        ::testkit::create_topic(source, &scene.beside(), 1, 1, &[]).await?;
        let topic = scene.remote();
        make(&cluster, &topic, &format!("1:2,{other}"), &["--config", "retention.ms=-1"]).await?;
        make(&cluster, &scene.remote_of(&scene.beside()), "3", &[]).await?;
        make(&cluster, &scene.map(), "3", &["--config", "cleanup.policy=compact"]).await?;
        scene.put(&[]).await?;
        scene.fill(100).await?;
        wait_placed(&cluster, &topic, 1, &[1, 2]).await?;
        Ok(Self { cluster, topic, scene })
    }

    /// Records 100 to 149 of partition 0 are copied, and replica 2 does not have them.
    async fn part(&self) -> Result<()> {
        self.cluster.stop(2).await?;
        wait_placed(&self.cluster, &self.topic, 1, &[1]).await?;
        self.scene.produce(0, FIRST, 100, 150).await?;
        self.scene.holds(0, &["0..150"]).await
    }

    /// Replica 2 leads, and replica 1 is gone.
    async fn lose(&self) -> Result<()> {
        self.cluster.kill9(1)?;
        self.cluster.restart(2).await?;
        wait_placed(&self.cluster, &self.topic, 2, &[2]).await
    }

    /// Replica 1 is back, and follows.
    async fn heal(&self) -> Result<()> {
        self.cluster.restart(1).await?;
        wait_placed(&self.cluster, &self.topic, 2, &[1, 2]).await
    }
}

/// The worker sees a log that is shorter than it was.
async fn source_is_shorter(policy: &str) -> Result<()> {
    let story = Story::at_source(&[(DIVERGED, policy)]).await?;
    story.part().await?;
    story.lose().await?;
    let range = json!({"of": "source", "from": 100, "to": 150});
    let scene = &story.scene;
    if policy == "fail" {
        let stopped = json!({"offsets": range, "records": 50, "action": "stopped", "continued_at": null});
        scene.tells("SOURCE_DIVERGED", 0, stopped).await?;
        scene.stopped(&["100", "150"]).await?;
        scene.other_goes_on(100).await?;
        story.heal().await?;
        scene.produce(0, "n", 0, 20).await?;
        scene.put(&[(DIVERGED, "continue")]).await?;
    }
    let went_on = json!({"offsets": range, "records": 50, "action": "continued", "continued_at": 100});
    scene.tells("SOURCE_DIVERGED", 0, went_on).await?;
    scene.passed("SOURCE_DIVERGED").await?;
    if policy != "fail" {
        story.heal().await?;
        scene.produce(0, "n", 0, 20).await?;
        scene.other_goes_on(100).await?;
    }
    scene.holds(0, &["0..150", "n0..20"]).await?;
    scene.kinds(&[("SOURCE_DIVERGED", if policy == "fail" { 2 } else { 1 })]).await?;
    story.scene.end().await
}

/// The log has other records, and more of them, when the worker looks: one that was frozen, or one that starts anew.
async fn source_has_grown(is_frozen: bool) -> Result<()> {
    let mut story = Story::at_source(&[]).await?;
    story.part().await?;
    if is_frozen {
        story.scene.worker.signal("STOP")?
    } else {
        story.scene.worker.stop().await?
    }
    story.lose().await?;
    story.heal().await?;
    story.scene.produce(0, "n", 0, 100).await?;
    if is_frozen {
        story.scene.worker.signal("CONT")?
    } else {
        story.scene.worker.restart().await?
    }
    let scene = &story.scene;
    let range = json!({"of": "source", "from": 100, "to": 150});
    scene.tells("SOURCE_DIVERGED", 0, json!({"offsets": range, "records": 50, "action": "stopped"})).await?;
    scene.stopped(&["100", "150"]).await?;
    scene.other_goes_on(100).await?;
    scene.still_holds().await?;
    scene.put(&[(DIVERGED, "continue")]).await?;
    scene.tells("SOURCE_DIVERGED", 0, json!({"offsets": range, "action": "continued", "continued_at": 100})).await?;
    scene.holds(0, &["0..150", "n0..100"]).await?;
    scene.kinds(&[("SOURCE_DIVERGED", 2)]).await?;
    story.scene.end().await
}

/// The target has lost records 100 to 149, and perhaps others have written since, when the worker looks there again.
async fn target_has_lost(is_running: bool, others: u64, policy: &str) -> Result<()> {
    let mut story = Story::at_target(&[(REGRESSED, policy)], "3:2", None).await?;
    story.part().await?;
    if !is_running {
        story.scene.worker.stop().await?;
    }
    story.lose().await?;
    if others > 0 {
        story.scene.produce_to_target(0, "x", 0, others).await?;
    }
    story.heal().await?;
    if !is_running {
        story.scene.worker.restart().await?;
    }
    let scene = &story.scene;
    scene.produce(0, FIRST, 150, 160).await?;
    let range = json!({"of": "target", "from": 100, "to": 150});
    let foreign = format!("x0..{others}");
    // What comes to a leader that lacks what was before is refused.
    let mut holds = vec!["0..100"];
    if others > 0 {
        holds.push(&foreign);
    }
    if policy == "continue" {
        holds.push("150..160");
    }
    if policy == "fail" {
        scene.tells("TARGET_REGRESSED", 0, json!({"offsets": range, "records": 50, "action": "stopped"})).await?;
        scene.stopped(&["100", "150"]).await?;
        scene.other_goes_on(100).await?;
        scene.holds(0, &holds).await?;
    } else {
        scene.tells("TARGET_REGRESSED", 0, json!({"offsets": range, "records": 50, "action": "continued"})).await?;
        if policy == "recopy" {
            holds.push("100..160");
        }
        let joined = joined(&holds);
        scene.holds(0, &joined.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        scene.passed("TARGET_REGRESSED").await?;
        scene.other_goes_on(100).await?;
        // What it has now is the known end.
        scene.worker.get("/").await?;
        story.scene.worker.kill9()?;
        story.scene.produce(0, FIRST, 160, 170).await?;
        story.scene.worker.restart().await?;
        holds.push("160..170");
        let joined = self::joined(&holds);
        story.scene.holds(0, &joined.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        story.scene.kinds(&[]).await?;
    }
    story.scene.end().await
}

/// Runs of one kind that follow each other are one.
fn joined(runs: &[&str]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for run in runs {
        let (from, to) = run.split_once("..").unwrap_or((run, ""));
        match joined.last_mut().and_then(|last| last.split_once("..").map(|(a, b)| (a.to_owned(), b.to_owned()))) {
            Some((first, end)) if end == from => {
                joined.pop();
                joined.push(format!("{first}..{to}"));
            }
            _ => joined.push((*run).to_owned()),
        }
    }
    joined
}

#[tokio::test]
async fn a_source_that_lost_records_and_has_others_stops_its_partition_until_it_may_go_on() -> Result<()> {
    source_has_grown(true).await
}

#[tokio::test]
async fn a_target_that_lost_records_gets_them_again() -> Result<()> {
    target_has_lost(true, 0, "recopy").await
}

/// The new leader has lost records 100 to 149 and, these being old, the producer, so that it takes what comes: it is told, and again to who
/// starts anew, until it may go on.
#[tokio::test]
async fn a_target_that_lost_records_and_takes_more_stays_stopped() -> Result<()> {
    let mut story = Story::at_target(&[], "1:2", Some(a_year_ago()?)).await?;
    story.part().await?;
    story.lose().await?;
    // It hears of the new leader by the other partition.
    story.scene.other_goes_on(100).await?;
    story.scene.produce(0, FIRST, 150, 160).await?;
    let range = json!({"of": "target", "from": 100, "to": 150});
    for starts_anew in [false, true] {
        if starts_anew {
            story.scene.worker.stop().await?;
            story.scene.worker.restart().await?;
        }
        let told = json!({"offsets": range, "records": 50, "action": "stopped"});
        story.scene.tells("TARGET_REGRESSED", 0, told).await?;
        story.scene.holds(0, &["0..100", "150..160"]).await?;
    }
    story.scene.put(&[(REGRESSED, "recopy")]).await?;
    let told = json!({"offsets": range, "action": "continued"});
    story.scene.tells("TARGET_REGRESSED", 0, told).await?;
    story.scene.holds(0, &["0..100", "150..160", "100..160"]).await?;
    story.scene.end().await
}

mod full {
    use super::*;

    #[tokio::test]
    async fn a_source_that_lost_records_stops_its_partition_until_it_may_go_on() -> Result<()> {
        source_is_shorter("fail").await
    }

    #[tokio::test]
    async fn a_source_that_lost_records_is_copied_on() -> Result<()> {
        source_is_shorter("continue").await
    }

    #[tokio::test]
    async fn a_source_that_lost_records_and_has_others_stops_who_starts_anew() -> Result<()> {
        source_has_grown(false).await
    }

    #[tokio::test]
    async fn a_target_that_lost_records_stops_its_partition() -> Result<()> {
        target_has_lost(true, 0, "fail").await
    }

    #[tokio::test]
    async fn a_target_that_lost_records_gets_what_comes() -> Result<()> {
        target_has_lost(true, 0, "continue").await
    }

    #[tokio::test]
    async fn a_target_that_lost_records_and_has_others_stops_its_partition() -> Result<()> {
        target_has_lost(true, 80, "fail").await
    }

    #[tokio::test]
    async fn a_target_that_lost_records_and_has_others_gets_what_comes() -> Result<()> {
        target_has_lost(true, 80, "continue").await
    }

    #[tokio::test]
    async fn a_target_that_lost_records_and_has_others_gets_them_again() -> Result<()> {
        target_has_lost(true, 80, "recopy").await
    }

    #[tokio::test]
    async fn a_target_that_lost_records_stops_who_starts_anew() -> Result<()> {
        target_has_lost(false, 0, "fail").await
    }

    #[tokio::test]
    async fn a_target_that_lost_records_gets_them_again_from_who_starts_anew() -> Result<()> {
        target_has_lost(false, 0, "recopy").await
    }

    #[tokio::test]
    async fn a_target_that_lost_records_gets_what_comes_from_who_starts_anew() -> Result<()> {
        target_has_lost(false, 0, "continue").await
    }

    #[tokio::test]
    async fn a_target_that_lost_records_and_has_others_stops_who_starts_anew() -> Result<()> {
        target_has_lost(false, 80, "fail").await
    }

    #[tokio::test]
    async fn a_target_that_lost_records_and_has_others_gets_them_again_from_who_starts_anew() -> Result<()> {
        target_has_lost(false, 80, "recopy").await
    }

    /// A follower that is read from falls behind; leaders change in good order at both ends.
    #[tokio::test]
    async fn lagging_followers_and_fresh_leaders_are_no_gaps() -> Result<()> {
        let racked = async |name: &str| {
            Cluster::builder()
                .name(name)
                .brokers(3)
                .property("broker.rack", "rack-{id}")
                .property("replica.selector.class", "org.apache.kafka.common.replica.RackAwareReplicaSelector")
                .property("min.insync.replicas", "1")
                .start()
                .await
        };
        let (source, target) = ::testkit::anyhow::Ok((racked("source").await?, racked("target").await?))?;
        let more = [("replication.factor", "3"), ("consumer.client.rack", "rack-2")];
        let worker = worker_on(&target).await?;
        let scene = Scene::prepared(&source.bootstrap(), &target.bootstrap(), worker, &more).await?;
        make(&source, &scene.topic, "1:2:3,3:1:2", &[]).await?;
        make(&source, &scene.beside(), "3:1:2", &[]).await?;
        scene.put(&[]).await?;
        scene.fill(100).await?;
        let mut count = 100;
        for round in 0..2 {
            // The follower freezes; the leader has more than it, and the copy too; then it is asked again.
            source.sigstop(2)?;
            scene.produce(0, FIRST, count, count + 50).await?;
            scene.holds(0, &[&format!("0..{}", count + 50)]).await?;
            if round == 0 {
                // The worker knows it no more when the leader names it again.
                let is_unlisted = async || {
                    ensure!(scene.worker.log_text().contains("no longer lists this broker"), "it is listed");
                    Ok(())
                };
                wait_until("broker 2 to be taken off the list", DEADLINE, is_unlisted).await?;
            }
            source.sigcont(2)?;
            scene.produce(0, FIRST, count + 50, count + 60).await?;
            scene.holds(0, &[&format!("0..{}", count + 60)]).await?;
            count += 60;
            wait_placed(&source, &scene.topic, 1, &[1, 2, 3]).await?;
            // Leaders hand over, and take their offices again.
            for cluster in [&source, &target] {
                cluster.restart(1).await?;
                scene.produce(0, FIRST, count, count + 10).await?;
                count += 10;
                scene.holds(0, &[&format!("0..{count}")]).await?;
            }
            wait_until("broker 1 to lead again", DEADLINE, async || {
                let tool = "org.apache.kafka.tools.LeaderElectionCommand";
                let args = ["--election-type", "preferred", "--all-topic-partitions"];
                source.tools().run(tool, &args).await?;
                let placed = placements(&source.bootstrap(), &scene.topic).await?;
                ensure!(placed[0].leader == 1 && placed[0].in_sync == [1, 2, 3], "{placed:?}");
                Ok(())
            })
            .await?;
            scene.kinds(&[]).await.with_context(|| format!("round {round}"))?;
        }
        scene.end().await
    }
}
