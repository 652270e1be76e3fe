//! Groups on a topic of which MirrorMaker has copied the first part.

use ::testkit::{Connect, Jvm};

use super::*;
use crate::groups::moved::produced;

/// What kmirror has copied is exact, and so is what MirrorMaker copied last, once that has been compared with its source. Before that offset
/// syncs tell: nothing is skipped, and what is consumed again is no more than is told.
#[tokio::test]
async fn groups_skip_nothing_after_a_take_over() -> Result<()> {
    const LOT: usize = 3_000;
    const COMPARED: usize = 1_000;
    let (pair, alias) = (pair().await?, unique("src").replace('-', ""));
    let (from, to, topic) = (pair.source.clone(), pair.target.clone(), unique("taken"));
    create_topic(&from, &topic, PARTITIONS, 1, &[]).await?;
    let java = Java::new(&kafka_version()).await?;
    let group = unique("connect");
    let storage =
        ["config", "offset", "status"].map(|kind| (format!("{kind}.storage.topic"), format!("{group}-{kind}")));
    let mut properties: Vec<(&str, &str)> = storage.iter().map(|(key, topic)| (key.as_str(), topic.as_str())).collect();
    properties.push(("group.id", &group));
    let mut connect = Connect::start(&java, &to, Jvm::quick(512), &properties).await?;
    let compared = COMPARED.to_string();
    let more = [
        ("source.cluster.alias", alias.as_str()),
        ("source.consumer.isolation.level", "read_committed"),
        ("kmirror.offset.map.backfill.offsets", &compared),
    ];
    connect.put_connector("mirror", &connector(&from, &to, &topic, &more)).await?;
    connect.wait_running("mirror", 1, DEADLINE).await?;
    // Over some time, as syncs are written.
    for lot in 0..3 {
        produced(&from, &topic, lot, LOT / 3).await?;
        wait_until("MirrorMaker's copy", DEADLINE, async || {
            let (source, target) = (readable(&from, &topic).await?, readable(&to, &format!("{alias}.{topic}")).await?);
            let counts = |of: &Readable| of.iter().map(Vec::len).collect::<Vec<_>>();
            ensure!(counts(&source) == counts(&target), "{:?} of {:?}", counts(&target), counts(&source));
            Ok(())
        })
        .await?;
    }
    connect.stop().await?;
    let worker = properties.iter().fold(Kmirror::on(&to), |worker, (key, value)| worker.property(key, value));
    let worker = worker.start().await?;
    worker.wait_running("mirror", 1).await?;
    let scene = Scene { pair, alias, worker };
    produced(&from, &topic, 3, LOT).await?;
    let source = readable(&from, &topic).await?;
    let target = scene.wait_mirrored(&topic, &source).await?;

    let prefix = unique("taken");
    let behinds = [0, 1, 100, LOT - 1, LOT, LOT + 1, LOT + 150, 2 * LOT - 10];
    for records in behinds {
        let offsets: Vec<_> = source.iter().map(|offsets| behind(offsets, records)).collect();
        commit(&scene.source(), &format!("{prefix}-{records}"), &topic, &offsets).await?;
    }
    let groups = format!("{prefix}-.*");
    let more = [("emit.checkpoints.interval.seconds", "1"), ("groups", groups.as_str()), ("topics", &topic)];
    scene.worker.put_connector("groups", &scene.config("Checkpoint", &more)).await?;
    // A sync stands at least every hundred offsets or so, and markers take offsets too.
    let is_compared = |records: usize| records + 200 < LOT + COMPARED;
    // What the map has not been told yet, syncs tell: that passes.
    scene
        .worker
        .until("what is right of all groups", DEADLINE, async || {
            let (told, mut by_syncs) = (scene.told().await?, 0);
            for records in behinds {
                for (partition, (source, target)) in (0..).zip(source.iter().zip(&target)) {
                    let key = (format!("{prefix}-{records}"), topic.clone(), partition);
                    let told = told.get(&key).with_context(|| format!("nothing of {key:?}"))?;
                    let Some(goes_on_at) = told["target_offset"].as_i64() else {
                        ensure!(!is_compared(records) && told["outcome"] == "BEFORE_SYNCS", "{told}");
                        continue;
                    };
                    let judged = judge(source, behind(source, records), target, goes_on_at);
                    let again = told["again"].as_u64().filter(|_| !is_compared(records)).unwrap_or(0);
                    assert_eq!(judged.skipped, 0, "{records} behind: {told}");
                    ensure!(judged.again <= again, "{records} behind: {judged:?}, {told}");
                    ensure!((told["outcome"] == "EXACT") == (again == 0), "{told}");
                    by_syncs += usize::from(again > 0);
                }
            }
            ensure!(by_syncs > 0, "no group is told of what is not compared: {told:?}");
            Ok(())
        })
        .await?;
    let log = scene.worker.log_text();
    ensure!(log.contains("compared what was copied before by another"), "not told");
    Ok(())
}
