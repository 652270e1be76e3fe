//! Consumers that move, and MirrorMaker's own connector on what kmirror writes.

use ::testkit::{Codec, Connect, Jvm, Producing, Record, produce, produce_with};

use super::*;

/// A Java consumer.
const MOVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/groups/Mover.java");
/// Keeps the topics' names.
const IDENTITY: (&str, &str) =
    ("replication.policy.class", "org.apache.kafka.connect.mirror.IdentityReplicationPolicy");

/// What it processes, in its order: `count` records at least, or as many as come.
async fn processed(bootstrap: &str, group: &str, topic: &str, count: usize) -> Result<Vec<String>> {
    let java = Java::new(&kafka_version()).await?;
    let told = java.tool(MOVER, &[bootstrap, group, topic, &count.to_string()], "").await?;
    Ok(told.stdout.lines().map(str::to_owned).collect())
}

/// Records whose values nobody else has, in each partition behind a transaction that is aborted.
pub(super) async fn produced(bootstrap: &str, topic: &str, lot: usize, count: usize) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        let values: Vec<_> = (0..count).map(|n| format!("{partition} {lot} {n}")).collect();
        let records: Vec<_> = values.iter().map(|value| Record::value(value.as_str())).collect();
        let aborted = Producing { transaction: Some((unique("moved"), false)), ..Producing::default() };
        produce_with(bootstrap, topic, partition, &[Record::value("never")], &aborted).await?;
        produce(bootstrap, topic, partition, &records, Codec::Lz4).await?;
        all.extend(values);
    }
    Ok(all)
}

/// The migration itself: a Java consumer stops in the source and goes on in the target, under the same names.
#[tokio::test]
async fn a_java_consumer_that_moves_processes_each_record_once() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplication [6], testOneWayReplicationWithAutoOffsetSync [11, 12],
    // testOneWayReplicationWithFrequentOffsetSyncs, IdentityReplicationIntegrationTest.*
    const LOT: usize = 700;
    let scene = Scene::start().await?;
    let (from, to) = (&scene.pair.source, &scene.pair.target);
    let (topic, group) = (unique("moved"), unique("mover"));
    create_topic(from, &topic, PARTITIONS, 1, &[]).await?;
    let mut all = produced(from, &topic, 0, LOT).await?;
    commit(&scene.source(), &group, &topic, &[0, 0, 0]).await?;
    scene.put_mirror(&topic, &[IDENTITY]).await?;
    let more = [
        IDENTITY,
        ("emit.checkpoints.interval.seconds", "1"),
        ("sync.group.offsets.enabled", "true"),
        ("sync.group.offsets.interval.seconds", "1"),
        ("groups", &group),
        ("topics", &topic),
    ];
    scene.worker.put_connector("groups", &scene.config("Checkpoint", &more)).await?;
    let mut ledger = processed(from, &group, &topic, LOT).await?;
    ensure!((LOT..LOT + 100).contains(&ledger.len()), "{} records", ledger.len());
    // The producers have not moved yet.
    all.extend(produced(from, &topic, 1, LOT).await?);

    let committed_at_source = committed(&scene.source(), &group, &topic).await?;
    scene
        .worker
        .until("the offsets in the target", DEADLINE, async || {
            let told = scene.worker.request("POST", "/connectors/groups/kmirror/sync-groups", None).await?.ok()?;
            let partitions = told["groups"][0]["partitions"].as_array().with_context(|| told.to_string())?;
            let is_there = |told: &Value| told["outcome"] == "UP_TO_DATE";
            ensure!(partitions.len() == PARTITIONS as usize && partitions.iter().all(is_there), "{told}");
            let found = scene.worker.get("/connectors/groups/kmirror/groups").await?.ok()?;
            for told in found["groups"][0]["partitions"].as_array().context("no partitions")? {
                let partition = i32::try_from(told["source"]["partition"].as_i64().context("no partition")?)?;
                let (offset, _) = committed_at_source.get(&partition).context("not committed")?;
                ensure!(told["outcome"] == "EXACT" && told["source_offset"] == *offset, "{told} of {offset}");
            }
            Ok(())
        })
        .await?;
    ledger.extend(processed(to, &group, &topic, all.len() - ledger.len()).await?);
    ledger.sort_unstable();
    all.sort_unstable();
    let doubled: Vec<_> = ledger.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    let missing: Vec<_> = all.iter().filter(|value| ledger.binary_search(value).is_err()).collect();
    ensure!(doubled.is_empty() && missing.is_empty(), "doubled {doubled:?}, missing {missing:?}");
    ensure!(ledger == all, "{} records, {} were written", ledger.len(), all.len());
    Ok(())
}

/// MirrorMaker's own checkpoint connector, in a worker of Kafka's, on the offset syncs that kmirror writes.
#[tokio::test]
async fn mirrormakers_checkpoint_connector_works_on_these_syncs() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testReplication [5, 6]
    let scene = Scene::start().await?;
    let (from, to) = (&scene.pair.source, &scene.pair.target);
    let (topic, group, target_alias) = (unique("theirs"), unique("their-group"), unique("dst"));
    create_topic(from, &topic, PARTITIONS, 1, &[]).await?;
    produced(from, &topic, 0, 2_000).await?;
    let alias = ("target.cluster.alias", target_alias.as_str());
    scene.put_mirror(&topic, &[alias, ("offset.lag.max", "10")]).await?;
    let (source, mut end) = (scene.source(), 2_002);
    commit(&source, &group, &topic, &[end, end, end]).await?;

    let java = Java::new(&kafka_version()).await?;
    let connect = Connect::start(&java, to, Jvm::quick(512), &[]).await?;
    let more = [alias, ("emit.checkpoints.interval.seconds", "1"), ("groups", &group), ("topics", &topic)];
    connect.put_connector("theirs", &scene.config("Checkpoint", &more)).await?;
    connect.wait_running("theirs", 1, DEADLINE).await?;
    let remote = scene.remote(&topic);
    scene
        .worker
        .until("checkpoints of theirs", DEADLINE, async || {
            // Of the syncs that are there when it begins it heeds the last only.
            for partition in 0..PARTITIONS {
                let more: Vec<_> = (0..200).map(|n| Record::value(format!("{end} {n}"))).collect();
                produce(from, &topic, partition, &more, Codec::None).await?;
            }
            end += 200;
            commit(&source, &group, &topic, &[end, end - 1, end - 100]).await?;
            let told = java.tool(CLIENTS, &[to, &scene.alias, &group], "").await?.stdout;
            for (partition, behind) in [0, 1, 100].into_iter().enumerate() {
                let beginning = format!("{remote}-{partition} ");
                let line = told.lines().find_map(|line| line.strip_prefix(&beginning));
                let offset: i64 = line.with_context(|| format!("nothing of {beginning}in {told}"))?.parse()?;
                // Each record stands two earlier: behind what was aborted and its marker.
                let exact = end - behind - 2;
                ensure!((2_000..=exact).contains(&offset), "{beginning}{offset}, exact is {exact}");
            }
            Ok(())
        })
        .await
}

/// As in AWS's sample: the connector that copies keeps names, and the one for groups is not told so.
#[tokio::test]
async fn checkpoints_that_name_other_topics_are_told_of() -> Result<()> {
    let scene = Scene::start().await?;
    let (topic, group) = (unique("misnamed"), unique("lost"));
    create_topic(&scene.pair.source, &topic, PARTITIONS, 1, &[]).await?;
    produced(&scene.pair.source, &topic, 0, 10).await?;
    commit(&scene.source(), &group, &topic, &[5, 5, 5]).await?;
    scene.put_mirror(&topic, &[IDENTITY]).await?;
    let more = [("emit.checkpoints.interval.seconds", "1"), ("groups", group.as_str()), ("topics", &topic)];
    scene.worker.put_connector("groups", &scene.config("Checkpoint", &more)).await?;
    let told = format!("name {}, but {topic} is copied to {topic}: this connector needs", scene.remote(&topic));
    scene
        .worker
        .until("the warning", DEADLINE, async || {
            ensure!(scene.worker.log_text().contains(&told), "not told");
            Ok(())
        })
        .await
}
