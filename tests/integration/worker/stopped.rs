//! What stops single partitions: each is named in its task's trace, and the others go on.

use ::testkit::{
    Cluster, Codec, Record,
    anyhow::{Context, Result, ensure},
    create_topic, delete_topic, produce,
    proxy::{Direction, Rule, api_key},
    set_topic_configs, unique, watermarks,
};

use super::{Copy, connector, records, remote};
use crate::{
    kmirror::{DEADLINE, Kmirror},
    shared::pair,
};

/// Runs `AclCommand` with an operation each for all topics whose names begin so.
async fn add_acl(cluster: &Cluster, allow: bool, operation: &str, prefix: &str) -> Result<()> {
    let main = if cluster.java().is_kafka_3() { "kafka.admin.AclCommand" } else { "org.apache.kafka.tools.AclCommand" };
    let principal = if allow { "--allow-principal" } else { "--deny-principal" };
    let bootstrap = cluster.bootstrap();
    let args = ["--bootstrap-server", &bootstrap, "--add", principal, "User:ANONYMOUS", "--operation", operation];
    let topics = ["--topic", prefix, "--resource-pattern-type", "prefixed"];
    cluster.tool(main, &[&args[..], &topics[..]].concat()).await?;
    Ok(())
}

#[tokio::test]
async fn denied_topics_are_named_with_operation_and_cluster() -> Result<()> {
    // One cluster is both sides: its copies have other names.
    let cluster = Cluster::builder()
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("allow.everyone.if.no.acl.found", "true")
        .start()
        .await?;
    let bootstrap = cluster.bootstrap();
    let prefix = unique("acl");
    let [unreadable, unwritable, open] = ["r", "w", "open"].map(|name| format!("{prefix}-{name}"));
    for topic in [&unreadable, &unwritable, &open] {
        create_topic(&bootstrap, topic, 1, 1, &[]).await?;
        produce(&bootstrap, topic, 0, &records(0, 10), Codec::None).await?;
    }
    let remote_unwritable = remote(&unwritable);
    // A topic with any rule at all is closed but for what rules allow.
    let allowed = tokio::join!(
        add_acl(&cluster, true, "All", &unreadable),
        add_acl(&cluster, true, "All", &remote_unwritable),
        add_acl(&cluster, false, "Read", &unreadable),
        add_acl(&cluster, false, "Write", &remote_unwritable),
    );
    allowed.0.and(allowed.1).and(allowed.2).and(allowed.3)?;

    let worker = Kmirror::on(&bootstrap).start().await?;
    let config = connector(&bootstrap, &bootstrap, &format!("{prefix}-.*"), &[]);
    worker.put_connector("mirror", &config).await?;
    let words = [
        "2 of 3 partitions",
        &unreadable,
        "Fetch",
        "cluster src",
        &remote_unwritable,
        "Produce",
        "TOPIC_AUTHORIZATION_FAILED",
    ];
    worker.wait_task_failed("mirror", 0, &words).await?;
    // The connector itself has done what it has to do.
    let status = worker.status("mirror").await?;
    ensure!(status["connector"]["state"] == "RUNNING", "{status}");
    let remote_open = remote(&open);
    let copy = Copy { source: &bootstrap, topic: &open, target: &bootstrap, remote: &remote_open };
    copy.wait_equal(&worker).await?;
    produce(&bootstrap, &open, 0, &records(1_000, 10), Codec::None).await?;
    copy.wait_equal(&worker).await
}

#[tokio::test]
async fn topics_deleted_from_either_side_in_mid_run_are_named() -> Result<()> {
    let pair = pair().await?;
    let prefix = unique("vanishes");
    let [kept, gone, sourceless] = ["kept", "gone", "sourceless"].map(|name| format!("{prefix}-{name}"));
    for topic in [&kept, &gone, &sourceless] {
        create_topic(&pair.source, topic, 1, 1, &[]).await?;
        produce(&pair.source, topic, 0, &records(0, 10), Codec::None).await?;
    }
    let worker = Kmirror::on(&pair.target).start().await?;
    let config = connector(&pair.source, &pair.target, &format!("{prefix}-.*"), &[]);
    worker.put_connector("mirror", &config).await?;
    worker.wait_running("mirror", 1).await?;
    let [remote_kept, remote_gone, remote_sourceless] = [&kept, &gone, &sourceless].map(|topic| remote(topic));
    let copy = Copy { source: &pair.source, topic: &kept, target: &pair.target, remote: &remote_kept };
    copy.wait_equal(&worker).await?;
    Copy { topic: &gone, remote: &remote_gone, ..copy }.wait_equal(&worker).await?;
    Copy { topic: &sourceless, remote: &remote_sourceless, ..copy }.wait_equal(&worker).await?;

    delete_topic(&pair.target, &remote_gone).await?;
    delete_topic(&pair.source, &sourceless).await?;
    for topic in [&kept, &gone] {
        produce(&pair.source, topic, 0, &records(1_000, 10), Codec::None).await?;
    }
    let gone = format!("Metadata of {remote_gone}-0 at source offset 10 refused by cluster dst: UNKNOWN_TOPIC");
    let words = ["2 of 3 partitions", &gone, &sourceless, "refused by cluster src: UNKNOWN_TOPIC"];
    worker.wait_task_failed("mirror", 0, &words).await?;
    copy.wait_equal(&worker).await
}

/// Between the metadata, which are not due again for minutes, and what is asked about its partitions.
#[tokio::test]
async fn a_topic_deleted_while_its_copy_is_prepared_is_named() -> Result<()> {
    let pair = ::testkit::pair().await?;
    let (source, target) = (&pair.source.bootstrap, &pair.target.bootstrap);
    let topic = unique("unprepared");
    create_topic(source, &topic, 1, 1, &[]).await?;
    produce(source, &topic, 0, &records(0, 10), Codec::None).await?;
    let proxy = pair.source.proxy().await?;
    let asked = topic.clone();
    let rule = Rule::hold(api_key::LIST_OFFSETS, Direction::Request).when(move |frame| frame.mentions(&asked));
    let hold = proxy.add(rule.first(1));

    let worker = Kmirror::on(target).start().await?;
    worker.put_connector("mirror", &connector(&proxy.bootstrap(), target, &topic, &[])).await?;
    hold.wait_held(1, DEADLINE).await?;
    delete_topic(source, &topic).await?;
    hold.release();
    let refused = format!("Metadata of {topic}-0 at source offset 0 refused by cluster src: UNKNOWN_TOPIC");
    worker.wait_task_failed("mirror", 0, &[&refused]).await?;
    Ok(())
}

/// A limit that only the target has is taken away otherwise, as by MirrorMaker.
const KEEPS_ITS_SETTINGS: (&str, &str) = ("sync.topic.configs.enabled", "false");

/// What the target refuses stops its partition, in words.
#[tokio::test]
async fn batches_that_are_refused_are_named_with_their_reasons() -> Result<()> {
    const TOO_LARGE: usize = 20_000;
    let pair = pair().await?;
    let topic = unique("refused");
    create_topic(&pair.source, &topic, 2, 1, &[]).await?;
    let remote = remote(&topic);
    create_topic(&pair.target, &remote, 2, 1, &[("max.message.bytes", "10000")]).await?;
    let large = Record::value(vec![b'x'; TOO_LARGE]);
    for partition in 0..2 {
        produce(&pair.source, &topic, partition, &records(0, 10), Codec::None).await?;
    }
    produce(&pair.source, &topic, 0, &[large], Codec::None).await?;

    let worker = Kmirror::on(&pair.target).start().await?;
    worker.put_connector("mirror", &connector(&pair.source, &pair.target, &topic, &[KEEPS_ITS_SETTINGS])).await?;
    let words = ["1 of 2 partitions", &format!("{topic}-0: "), "at offset 10", "MESSAGE_TOO_LARGE"];
    worker.wait_task_failed("mirror", 0, &words).await?;
    produce(&pair.source, &topic, 1, &records(1_000, 10), Codec::None).await?;
    worker
        .until("the other partition to go on", crate::kmirror::DEADLINE, async || {
            let ends: Vec<_> = watermarks(&pair.target, &remote).await?.iter().map(|end| end.high).collect();
            ensure!(ends == [10, 20], "{ends:?}");
            Ok(())
        })
        .await?;
    let task = worker.get("/connectors/mirror/tasks/0/status").await?.ok()?;
    ensure!(task["trace"].as_str().context("no trace")?.contains(&topic), "{task}");

    // A restart of what failed takes up what has been put right, where it stood.
    set_topic_configs(&pair.target, &remote, &[("max.message.bytes", "100000")]).await?;
    let restart =
        async || worker.request("POST", "/connectors/mirror/restart?includeTasks=true&onlyFailed=true", None).await;
    let restarted = restart().await?;
    ensure!(restarted.status == 202 && restarted.json()?["tasks"][0]["state"] == "RESTARTING", "{restarted:?}");
    // Each broker applies a setting in its own time: until the leader has, a restarted task meets the old limit once more.
    worker
        .until("the first partition to go on", crate::kmirror::DEADLINE, async || {
            let status = worker.status("mirror").await?;
            if status["tasks"][0]["trace"].as_str().is_some_and(|trace| trace.contains("MESSAGE_TOO_LARGE")) {
                restart().await?;
            }
            let ends: Vec<_> = watermarks(&pair.target, &remote).await?.iter().map(|end| end.high).collect();
            ensure!(ends == [11, 20] && status["tasks"][0]["state"] == "RUNNING", "{ends:?} {status}");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_record_that_the_target_refuses_stops_its_partition_or_shows_in_the_status() -> Result<()> {
    let pair = pair().await?;
    let prefix = unique("refused");
    let topic = format!("{prefix}-t");
    // The target's copy takes less, and is there before.
    create_topic(&pair.source, &topic, 1, 1, &[]).await?;
    create_topic(&pair.target, &remote(&topic), 1, 1, &[("max.message.bytes", "5000")]).await?;
    let mut all = records(0, 20);
    all[7].value = Some(vec![b'x'; 6_000]);
    produce(&pair.source, &topic, 0, &all, Codec::None).await?;
    let worker = Kmirror::on(&pair.target).start().await?;
    worker.put_connector("mirror", &connector(&pair.source, &pair.target, &topic, &[KEEPS_ITS_SETTINGS])).await?;
    let refused = format!("the record of {topic}-0 at offset 7 is refused for {}-0", remote(&topic));
    worker.wait_task_failed("mirror", 0, &[&refused, "MESSAGE_TOO_LARGE: 60", "the topic takes 5000"]).await?;

    let more = [KEEPS_ITS_SETTINGS, ("errors.tolerance", "all")];
    let tolerant = connector(&pair.source, &pair.target, &topic, &more);
    worker.put_connector("mirror", &tolerant).await?;
    worker
        .until("the others, and the status", DEADLINE, async || {
            let end = watermarks(&pair.target, &remote(&topic)).await?[0].high;
            ensure!(end == 19, "{end} records");
            let status = worker.status("mirror").await?;
            let task = &status["tasks"][0];
            let trace = task["trace"].as_str().unwrap_or_default();
            ensure!(task["state"] == "RUNNING", "{status}");
            ensure!(
                trace.contains("the target refused 1 records") && trace.contains("-0: 1, the last at offset 7"),
                "{status}"
            );
            Ok(())
        })
        .await
}
