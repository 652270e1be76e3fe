//! The long ones: far behind, beside MirrorMaker's figures; and thousands of groups.

use std::time::Instant;

use ::testkit::{Connect, Jvm, Load, wait_until};
use kmirror::records::decode_checkpoint;

use super::*;

const BEHIND: [usize; 7] = [0, 1, 10, 100, 1_000, 10_000, 100_000];

/// The same groups, translated by MirrorMaker: what they skip and consume again there.
#[tokio::test]
async fn groups_up_to_100000_behind_beside_mirrormaker() -> Result<()> {
    let (scene, topics) = over_a_kill(120_000, &BEHIND).await?;
    let (from, to) = (&scene.pair.source, &scene.pair.target);
    let java = Java::new(&kafka_version()).await?;
    let connect = Connect::start(&java, to, Jvm::quick(1_024), &[]).await?;
    let alias = format!("{}mm", scene.alias);
    let names = topics.all().join(",");
    let more = [("source.cluster.alias", alias.as_str()), ("source.consumer.isolation.level", "read_committed")];
    // The target's cleaner is not to take what is compared.
    let kept = [("config.properties.exclude", "cleanup.policy,min.cleanable.dirty.ratio,segment.bytes")];
    connect.put_connector("mm", &connector(from, to, &names, &[&more[..], &kept].concat())).await?;
    let mut ends = BTreeMap::new();
    for topic in topics.all() {
        let source = readable(from, topic).await?;
        let counts = |of: &Readable| of.iter().map(Vec::len).collect::<Vec<_>>();
        let target = wait_until(&format!("{topic} by MirrorMaker"), 3 * DEADLINE, async || {
            let target = readable(to, &format!("{alias}.{topic}")).await?;
            ensure!(counts(&target) == counts(&source), "{:?} of {:?}", counts(&target), counts(&source));
            Ok(target)
        })
        .await?;
        ends.insert(format!("{alias}.{topic}"), (source, target));
    }
    // The groups of the story, and no others.
    let told = scene.told().await?;
    let groups: std::collections::BTreeSet<&str> = told.keys().map(|(group, ..)| group.as_str()).collect();
    let names_of_groups = groups.iter().copied().collect::<Vec<_>>().join(",");
    let more = [
        ("source.cluster.alias", alias.as_str()),
        ("emit.checkpoints.interval.seconds", "1"),
        ("groups", &names_of_groups),
        ("topics", &names),
    ];
    connect.put_connector("mmc", &scene.config("Checkpoint", &more)).await?;
    let wanted = groups.len() * topics.all().len() * PARTITIONS as usize;
    let found = wait_until("MirrorMaker's checkpoints", DEADLINE, async || {
        let mut found = BTreeMap::new();
        for record in read_all(to, &format!("{alias}.checkpoints.internal")).await?.iter().flatten() {
            let (key, value) = decode_checkpoint(record.key.as_deref(), record.value.as_deref())?;
            found.insert((key.group, key.topic, key.partition), value.context("a tombstone")?);
        }
        // It tells nothing of some; whoever is at the end is told of in any case.
        ensure!(found.len() * 2 > wanted, "{} of {wanted}", found.len());
        Ok(found)
    })
    .await?;
    let mut sums: BTreeMap<usize, (Judged, usize)> = BTreeMap::new();
    for ((group, topic, partition), checkpoint) in &found {
        let (source, target) = ends.get(topic).with_context(|| format!("{topic} was not asked for"))?;
        let at = usize::try_from(*partition)?;
        let judged = judge(&source[at], checkpoint.upstream_offset, &target[at], checkpoint.downstream_offset);
        let (sum, count) = sums.entry(group.rsplit('-').next().unwrap_or_default().parse()?).or_default();
        *sum = Judged { skipped: sum.skipped + judged.skipped, again: sum.again + judged.again };
        *count += 1;
    }
    for (behind, (Judged { skipped, again }, count)) in &sums {
        eprintln!(
            "{behind} behind: MirrorMaker tells of {count} of 9 partitions: {skipped} skipped, {again} again; kmirror of all: 0, 0"
        );
    }
    ensure!(sums.values().any(|(sum, _)| sum.again > 0), "MirrorMaker was exact: {sums:?}");
    Ok(())
}

/// Offsets of 2,000 groups in 50 partitions each, while records flow.
#[tokio::test]
async fn thousands_of_groups_are_synced_while_records_flow() -> Result<()> {
    const GROUPS: usize = 2_000;
    const WIDE: i32 = 50;
    const RATE: u64 = 5_000;
    let scene = Scene::start().await?;
    let (wide, busy) = (unique("wide"), unique("busy"));
    create_topic(&scene.pair.source, &wide, WIDE, 1, &[]).await?;
    create_topic(&scene.pair.source, &busy, PARTITIONS, 1, &[]).await?;
    bulk_produce(&scene.pair.source, &wide, &Bulk { value_bytes: 160, ..Bulk::new(5_000, WIDE) }).await?;
    let (source, target) = (scene.source(), scene.target());
    let prefix = unique("many");
    let committed = |group: usize| {
        let offset = |partition: i32| i64::try_from(group).unwrap_or(0) * 7 % 100 + i64::from(partition % 2);
        let offset =
            |partition| CommittedOffset { offset: offset(partition), leader_epoch: None, metadata: String::new() };
        (0..WIDE)
            .map(|partition| (TopicPartition::new(wide.as_str(), partition), offset(partition)))
            .collect::<Vec<_>>()
    };
    let groups: Vec<_> = (0..GROUPS).map(|group| (format!("{prefix}-{group}"), committed(group))).collect();
    for some in groups.chunks(100) {
        for (_, outcomes) in source.commit_group_offsets(some).await? {
            for (_, outcome) in outcomes {
                outcome?;
            }
        }
    }
    scene.put_mirror(&format!("{wide},{busy}"), &[]).await?;
    let load = Load::start(&scene.pair.source, &busy, PARTITIONS, RATE, 500);
    let arrived = async || {
        let ends = watermarks(&scene.pair.target, &scene.remote(&busy)).await?;
        Ok::<_, ::testkit::anyhow::Error>(ends.iter().map(|ends| ends.high).sum::<i64>())
    };
    scene
        .worker
        .until("records to flow", DEADLINE, async || {
            let (count, copied) = (arrived().await?, watermarks(&scene.pair.target, &scene.remote(&wide)).await?);
            ensure!(count > 0 && copied.iter().all(|ends| ends.high == 100), "{count}, {copied:?}");
            Ok(())
        })
        .await?;
    let (began, before, cpu) = (Instant::now(), arrived().await?, scene.worker.usage()?.cpu_seconds);
    let names = format!("{prefix}-.*");
    let more = [
        ("emit.checkpoints.interval.seconds", "5"),
        ("sync.group.offsets.interval.seconds", "5"),
        ("sync.group.offsets.enabled", "true"),
        ("groups", names.as_str()),
        ("topics", &wide),
        ("tasks.max", "4"),
    ];
    scene.worker.put_connector("groups", &scene.config("Checkpoint", &more)).await?;
    let remote = scene.remote(&wide);
    let last = &groups[GROUPS - 1].0;
    scene
        .worker
        .until("offsets of all groups", 2 * DEADLINE, async || {
            // Cheap to ask; all are compared below.
            ensure!(super::super::committed(&target, last, &remote).await?.len() == WIDE as usize, "{last} has none");
            for some in groups.chunks(200) {
                let names: Vec<String> = some.iter().map(|(group, _)| group.clone()).collect();
                for ((group, wanted), (_, found)) in some.iter().zip(target.fetch_group_offsets(&names).await?) {
                    let found: BTreeMap<_, _> = found?.into_iter().collect();
                    for (partition, committed) in wanted {
                        let at = TopicPartition::new(remote.as_str(), partition.partition);
                        let told = found.get(&at).with_context(|| format!("{group} has none of {at}"))?;
                        let told = told.as_ref().map(|told| told.offset);
                        ensure!(told.as_ref() == Ok(&committed.offset), "{group}, {at}: {told:?}");
                    }
                }
            }
            Ok(())
        })
        .await?;
    let took = began.elapsed().as_secs_f64();
    let (flowed, cpu) = (arrived().await? - before, scene.worker.usage()?.cpu_seconds - cpu);
    eprintln!(
        "{GROUPS} groups of {WIDE} partitions: {took:.1} s, {cpu:.2} CPU-s; {:.0} records/s meanwhile",
        flowed as f64 / took
    );
    ensure!(flowed > 0, "nothing flowed meanwhile");
    let sent = load.stop().await?;
    scene
        .worker
        .until("all that was written", DEADLINE, async || {
            let arrived = arrived().await?;
            ensure!(arrived == i64::try_from(sent)?, "{arrived} of {sent}");
            Ok(())
        })
        .await
}
