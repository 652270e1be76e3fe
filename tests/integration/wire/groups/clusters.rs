//! Brokers of other versions than the shared ones: groups of KIP-848, and what old brokers can't be asked.

use ::testkit::Cluster as Brokers;

use super::*;

/// Whose groups are of both protocols, whatever the other tests run on.
const KAFKA_4: &str = "4.1.1";
/// OffsetFetch and FindCoordinator are about one group there, lists have no types, and there is a ZooKeeper.
const KAFKA_2: &str = "2.8.2";

#[tokio::test]
async fn groups_of_both_protocols_are_told_apart() -> Result<()> {
    let brokers = Brokers::builder().version(KAFKA_4).start().await?;
    let bootstrap = &brokers.bootstrap();
    let topic = filled(bootstrap).await?;
    let [classic, consumer] = ["classic", "consumer"].map(unique);
    let old = Member::join(bootstrap, &classic, &topic, "classic").await?;
    let new = Member::join(bootstrap, &consumer, &topic, "consumer").await?;
    let cluster = client(bootstrap);
    let names = [classic.clone(), consumer.clone()];
    wait_until("both groups to be stable", DEADLINE, async || {
        let described = cluster.describe_groups(&names).await?;
        let told: Vec<_> = described.into_iter().map(|(_, d)| Ok(d?)).collect::<Result<_>>()?;
        ensure!(told[0].kind == GroupType::Classic && told[1].kind == GroupType::Consumer, "{told:?}");
        ensure!(told.iter().all(|g| g.state == "Stable" && g.members.len() == 1), "{told:?}");
        Ok(())
    })
    .await?;
    let of_type = |kind| GroupFilter { states: Vec::new(), types: vec![kind] };
    for (kind, name) in [(GroupType::Classic, &classic), (GroupType::Consumer, &consumer)] {
        let listed = listed(&cluster, &of_type(kind.clone()), &names).await?;
        ensure!(listed.keys().eq([name]) && listed[name].kind == kind, "{listed:?}");
        ensure!(listed[name].is_of_consumers(), "{listed:?}");
    }
    let offset = || vec![at(&topic, 0, 4, "")];
    let wanted = names.clone().map(|name| (name, offset()));
    for (group, told) in cluster.commit_group_offsets(&wanted).await? {
        ensure!(told[0].1.as_ref().is_err_and(is_active_group), "{group}: {told:?}");
    }
    old.leave().await?;
    new.leave().await?;
    wait_until("both groups to be empty", DEADLINE, async || {
        let listed = listed(&cluster, &empty(), &names).await?;
        ensure!(listed.len() == 2, "{listed:?}");
        Ok(())
    })
    .await?;
    for (group, told) in cluster.commit_group_offsets(&wanted).await? {
        ensure!(told[0].1.is_ok(), "{group}: {told:?}");
        ensure!(offsets(&cluster, &group).await? == BTreeMap::from([(format!("{topic}-0"), 4)]));
    }
    Ok(())
}

#[tokio::test]
async fn old_brokers_are_asked_about_one_group_at_a_time() -> Result<()> {
    let brokers = Brokers::builder().version(KAFKA_2).start().await?;
    let bootstrap = &brokers.bootstrap();
    let topic = filled(bootstrap).await?;
    let cluster = client(bootstrap);
    let prefix = unique("old");
    let names: Vec<String> = (0..60).map(|n| format!("{prefix}-{n}")).collect();
    let wanted: Vec<_> = names.iter().zip(0..).map(|(name, n)| (name.clone(), vec![at(&topic, 0, n, "m")])).collect();
    for (group, told) in cluster.commit_group_offsets(&wanted).await? {
        ensure!(told[0].1.is_ok(), "{group}: {told:?}");
    }
    for ((group, told), n) in cluster.fetch_group_offsets(&names).await?.into_iter().zip(0..) {
        ensure!(told? == [(TopicPartition::new(&topic, 0), Ok(at(&topic, 0, n, "m").1))], "{group}");
    }
    // States are told since 2.6, types are not: all are classic.
    let listed = listed(&cluster, &empty(), &names).await?;
    ensure!(listed.len() == names.len() && listed.values().all(|g| g.kind == GroupType::Classic), "{listed:?}");
    for (group, described) in cluster.describe_groups(&names).await? {
        ensure!(described?.state == "Empty", "{group}");
    }
    ensure!(state(&cluster, &unique("nobody")).await? == "Dead");
    Ok(())
}
