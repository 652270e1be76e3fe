//! Groups of librdkafka's and of Kafka's own consumers: listed, described, and their offsets read and written.

mod clusters;

use std::{collections::BTreeMap, time::Duration};

use ::testkit::{
    Codec, Java, Member, Record, Tools,
    anyhow::{Context, Result, ensure},
    commit_group_offset, committed_group_offset, create_topic, kafka_version, produce, unique, wait_until,
};
use ::wire::{
    Cluster, CommittedOffset, GroupFilter, GroupType, ListedGroup, ResponseError, TopicPartition, is_active_group,
};

use super::client;
use crate::shared::pair;

const DEADLINE: Duration = Duration::from_secs(60);

fn at(topic: &str, partition: i32, offset: i64, metadata: &str) -> (TopicPartition, CommittedOffset) {
    let committed = CommittedOffset { offset, leader_epoch: None, metadata: metadata.to_owned() };
    (TopicPartition::new(topic, partition), committed)
}

/// The groups of these names, as a list of all has them; every broker must have told its own.
async fn listed(cluster: &Cluster, filter: &GroupFilter, names: &[String]) -> Result<BTreeMap<String, ListedGroup>> {
    let listing = cluster.list_groups(filter).await?;
    ensure!(listing.failures.is_empty(), "{:?}", listing.failures);
    let of_ours = listing.groups.into_iter().filter(|group| names.contains(&group.group));
    Ok(of_ours.map(|group| (group.group.clone(), group)).collect())
}

/// What a group has committed: offset by partition.
async fn offsets(cluster: &Cluster, group: &str) -> Result<BTreeMap<String, i64>> {
    let (_, told) = cluster.fetch_group_offsets(&[group.to_owned()]).await?.pop().context("one group")?;
    told?.into_iter().map(|(partition, told)| Ok((partition.to_string(), told?.offset))).collect()
}

async fn state(cluster: &Cluster, group: &str) -> Result<String> {
    Ok(cluster.describe_group(group).await?.state)
}

fn empty() -> GroupFilter {
    GroupFilter { states: vec!["Empty".to_owned()], types: Vec::new() }
}

/// Topic with ten records in each of three partitions.
async fn filled(bootstrap: &str) -> Result<String> {
    let topic = unique("wire-groups");
    create_topic(bootstrap, &topic, 3, 1, &[]).await?;
    let records: Vec<Record> = (0..10).map(|n| Record::value(format!("v{n}"))).collect();
    for partition in 0..3 {
        produce(bootstrap, &topic, partition, &records, Codec::None).await?;
    }
    Ok(topic)
}

#[tokio::test]
async fn groups_are_listed_described_and_read() -> Result<()> {
    let bootstrap = &pair().await?.target;
    let topic = filled(bootstrap).await?;
    let [committed, java, nobody] = ["committed", "java", "nobody"].map(unique);
    commit_group_offset(bootstrap, &committed, &topic, 1, 7).await?;
    let tools = Tools::new(Java::new(&kafka_version()).await?, bootstrap);
    tools.console_consume(&topic, 30, &["--group", &java]).await?;

    let cluster = client(bootstrap);
    let names = [committed.clone(), java.clone(), nobody.clone()];
    wait_until("both groups to be empty", DEADLINE, async || {
        let listed = listed(&cluster, &empty(), &names).await?;
        ensure!(listed.keys().eq([&committed, &java]), "{listed:?}");
        ensure!(listed.values().all(|g| g.kind == GroupType::Classic && g.is_of_consumers()), "{listed:?}");
        ensure!(listed.values().all(|g| g.state.as_deref() == Some("Empty")), "{listed:?}");
        Ok(())
    })
    .await?;
    let stable = GroupFilter { states: vec!["Stable".to_owned()], types: Vec::new() };
    assert_eq!(listed(&cluster, &stable, &names).await?, BTreeMap::new());
    let of_type = |kind| GroupFilter { states: Vec::new(), types: vec![kind] };
    assert_eq!(listed(&cluster, &of_type(GroupType::Classic), &names).await?.len(), 2);
    assert_eq!(listed(&cluster, &of_type(GroupType::Consumer), &names).await?, BTreeMap::new());

    let described = cluster.describe_groups(&names).await?;
    let states: Vec<_> = described.into_iter().map(|(name, d)| Ok((name, d?.state))).collect::<Result<_>>()?;
    let state = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(states, [state(&committed, "Empty"), state(&java, "Empty"), state(&nobody, "Dead")]);

    assert_eq!(offsets(&cluster, &committed).await?, BTreeMap::from([(format!("{topic}-1"), 7)]));
    let all = (0..3).map(|partition| (format!("{topic}-{partition}"), 10)).collect();
    assert_eq!(offsets(&cluster, &java).await?, all);
    assert_eq!(offsets(&cluster, &nobody).await?, BTreeMap::new());
    Ok(())
}

#[tokio::test]
async fn offsets_are_written_where_nobody_is_and_refused_where_somebody_is() -> Result<()> {
    let bootstrap = &pair().await?.target;
    let topic = filled(bootstrap).await?;
    let cluster = client(bootstrap);
    let [idle, taken] = ["idle", "taken"].map(unique);
    commit_group_offset(bootstrap, &taken, &topic, 0, 3).await?;
    let member = Member::join(bootstrap, &taken, &topic, "classic").await?;
    wait_until("the group to be stable", DEADLINE, async || {
        let group = cluster.describe_group(&taken).await?;
        ensure!(group.state == "Stable" && group.members.len() == 1, "{group:?}");
        Ok(())
    })
    .await?;

    let wanted = [
        (taken.clone(), vec![at(&topic, 0, 9, ""), at(&topic, 1, 9, "")]),
        (idle.clone(), vec![at(&topic, 2, 5, "note"), at("no-such-topic", 0, 1, ""), at(&topic, 0, 4, "")]),
    ];
    let told = cluster.commit_group_offsets(&wanted).await?;
    let (of_taken, of_idle) = (&told[0].1, &told[1].1);
    assert_eq!((&told[0].0, &told[1].0), (&taken, &idle));
    for (_, outcome) in of_taken {
        assert!(outcome.as_ref().is_err_and(is_active_group), "{outcome:?}");
    }
    assert!(of_idle[0].1.is_ok() && of_idle[2].1.is_ok(), "{of_idle:?}");
    let missing = of_idle[1].1.as_ref().expect_err("no such topic");
    assert_eq!(missing.response(), Some(ResponseError::UnknownTopicOrPartition));

    assert_eq!(committed_group_offset(bootstrap, &idle, &topic, 2).await?, Some(5));
    assert_eq!(committed_group_offset(bootstrap, &idle, &topic, 0).await?, Some(4));
    assert_eq!(committed_group_offset(bootstrap, &taken, &topic, 0).await?, Some(3));
    let (_, told) = cluster.fetch_group_offsets(std::slice::from_ref(&idle)).await?.pop().context("one group")?;
    let noted = told?.into_iter().find(|(partition, _)| partition.partition == 2).context("partition 2")?;
    assert_eq!(noted, (TopicPartition::new(&topic, 2), Ok(at(&topic, 2, 5, "note").1)));

    // It is free when its member has left.
    member.leave().await?;
    wait_until("the group to be empty", DEADLINE, async || {
        ensure!(state(&cluster, &taken).await? == "Empty");
        Ok(())
    })
    .await?;
    let told = cluster.commit_group_offsets(&wanted[..1]).await?;
    assert!(told[0].1.iter().all(|(_, outcome)| outcome.is_ok()), "{told:?}");
    assert_eq!(committed_group_offset(bootstrap, &taken, &topic, 1).await?, Some(9));
    Ok(())
}

#[tokio::test]
async fn many_groups_are_written_and_read_at_once() -> Result<()> {
    const GROUPS: usize = 400;
    const PARTITIONS: i32 = 20;
    let bootstrap = &pair().await?.target;
    let topic = unique("wire-many");
    create_topic(bootstrap, &topic, PARTITIONS, 1, &[]).await?;
    let cluster = client(bootstrap);
    let prefix = unique("many");
    let wanted: Vec<_> = (0..GROUPS)
        .map(|n| {
            (format!("{prefix}-{n}"), (0..PARTITIONS).map(|p| at(&topic, p, n as i64 + i64::from(p), "")).collect())
        })
        .collect::<Vec<(String, Vec<_>)>>();
    for (group, told) in cluster.commit_group_offsets(&wanted).await? {
        ensure!(told.iter().all(|(_, outcome)| outcome.is_ok()), "{group}: {told:?}");
    }
    let names: Vec<String> = wanted.iter().map(|(group, _)| group.clone()).collect();
    let told = cluster.fetch_group_offsets(&names).await?;
    ensure!(told.iter().map(|(group, _)| group).eq(&names));
    for ((_, told), (group, wanted)) in told.into_iter().zip(&wanted) {
        let told: BTreeMap<_, _> = told?.into_iter().map(|(p, t)| Ok((p, t?.offset))).collect::<Result<_>>()?;
        let wanted: BTreeMap<_, _> = wanted.iter().map(|(p, w)| (p.clone(), w.offset)).collect();
        ensure!(told == wanted, "{group}: {told:?}");
    }
    ensure!(listed(&cluster, &GroupFilter::default(), &names).await?.len() == GROUPS);
    for (group, described) in cluster.describe_groups(&names).await? {
        let described = described?;
        ensure!(described.state == "Empty", "{group}: {described:?}");
    }
    Ok(())
}
