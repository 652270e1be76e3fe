//! Brokers with Kafka's own authorizer at both ends. All clients are `User:ANONYMOUS`, who may do everything.

use std::{collections::BTreeSet, time::Duration};

use ::testkit::{
    Cluster as Brokers,
    anyhow::{Result, ensure},
    create_topic, wait_until, wait_until_eq,
};
use ::wire::{AclBinding, AclOperation, Cluster, PatternType, PermissionType, ResourceType};
use kmirror::{mirror::SourceConnector, offsets::OffsetMaps};

use super::super::{client, config, refreshed};

const DEADLINE: Duration = Duration::from_secs(60);

use AclOperation::{All, AlterConfigs, Describe, Read, Write};
use PermissionType::{Allow, Deny};

fn rule(name: &str, permission: PermissionType, operation: AclOperation) -> AclBinding {
    AclBinding {
        resource_type: ResourceType::Topic,
        pattern_type: PatternType::Literal,
        resource_name: name.to_owned(),
        principal: "User:dummy".to_owned(),
        host: "*".to_owned(),
        operation,
        permission,
    }
}

async fn guarded(name: &str) -> Result<Brokers> {
    Brokers::builder()
        .name(name)
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("super.users", "User:ANONYMOUS")
        .start()
        .await
}

async fn add(cluster: &Cluster, rules: &[AclBinding]) -> Result<()> {
    for (rule, outcome) in cluster.create_acls(rules).await? {
        ensure!(outcome.is_ok(), "{rule}: {outcome:?}");
    }
    wait_known(cluster, rules).await
}

/// A broker tells of a rule a little after it was taken.
async fn wait_known(cluster: &Cluster, rules: &[AclBinding]) -> Result<()> {
    wait_until("rules to be known", DEADLINE, async || {
        let known = all(cluster).await?;
        ensure!(rules.iter().all(|rule| known.contains(rule)), "{known:?}");
        Ok(())
    })
    .await
}

async fn all(cluster: &Cluster) -> Result<BTreeSet<AclBinding>> {
    Ok(cluster.describe_acls(None).await?.into_iter().collect())
}

async fn wait_no_difference(connector: &SourceConnector) -> Result<()> {
    wait_until("no difference", DEADLINE, async || {
        let difference = connector.acl_view().difference().await?;
        ensure!(difference.add.is_empty() && difference.remove.is_empty(), "{difference}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn rules_arrive_as_mirrormaker_carries_them() -> Result<()> {
    // MirrorConnectorsWithCustomForwardingAdminIntegrationTest.testSyncTopicACLsUseProvidedForwardingAdmin
    let (at_source, at_target) = (guarded("source").await?, guarded("target").await?);
    let (from, to) = (at_source.bootstrap(), at_target.bootstrap());
    let (source, target) = (client("A", &from), client("B", &to));
    for topic in ["orders", "other"] {
        create_topic(&from, topic, 1, 1, &[]).await?;
    }
    let prefixed = AclBinding { pattern_type: PatternType::Prefixed, ..rule("ord", Allow, Read) };
    let group = AclBinding { resource_type: ResourceType::Group, ..rule("orders", Allow, Read) };
    let somebody = AclBinding { principal: "User:CN=a,OU=b".to_owned(), ..rule("orders", Allow, All) };
    let rules = [
        rule("orders", Allow, Describe),
        rule("orders", Allow, Write),
        rule("orders", Deny, Write),
        rule("orders", Allow, AlterConfigs),
        somebody.clone(),
        rule("other", Allow, Read),
        prefixed,
        group,
    ];
    add(&source, &rules).await?;
    let before = rule("A.orders", Allow, Write);
    add(&target, std::slice::from_ref(&before)).await?;

    let more = [("topics", "orders"), ("sync.topic.acls.interval.seconds", "1")];
    let config = config(&from, &to, &more)?;
    let mut connector = SourceConnector::connect(config, &target).await?;
    refreshed(&mut connector, 1, 0).await?;
    let mut wanted = BTreeSet::from([
        before,
        rule("A.orders", Allow, Describe),
        rule("A.orders", Deny, Write),
        rule("A.orders", Allow, AlterConfigs),
        AclBinding { resource_name: "A.orders".to_owned(), operation: Read, ..somebody },
    ]);
    wait_until_eq("the rules", DEADLINE, wanted.clone(), || all(&target)).await?;
    wait_no_difference(&connector).await?;
    let difference = connector.acl_view().difference().await?;
    ensure!(difference.left_out.len() == 3, "{difference}");

    // Later ones too; none is ever taken away.
    let gone = rule("orders", Allow, Describe);
    for (rule, outcome) in source.delete_acls(std::slice::from_ref(&gone)).await? {
        ensure!(outcome.is_ok(), "{rule}: {outcome:?}");
    }
    add(&source, &[rule("orders", Allow, Read)]).await?;
    wanted.insert(rule("A.orders", Allow, Read));
    wait_until_eq("the rule that came later", DEADLINE, wanted, || all(&target)).await?;
    drop(connector);
    Ok(())
}

#[tokio::test]
async fn with_keys_more_is_carried_and_what_was_added_is_removed() -> Result<()> {
    let (at_source, at_target) = (guarded("source").await?, guarded("target").await?);
    let (from, to) = (at_source.bootstrap(), at_target.bootstrap());
    let (source, target) = (client("A", &from), client("B", &to));
    create_topic(&from, "orders", 1, 1, &[]).await?;
    let prefixed = AclBinding { pattern_type: PatternType::Prefixed, ..rule("ord", Allow, Read) };
    let group = AclBinding { resource_type: ResourceType::Group, ..rule("readers", Allow, Read) };
    let gone = rule("orders", Allow, Write);
    add(&source, &[prefixed.clone(), group.clone(), gone.clone()]).await?;
    // As one that kmirror would add, but somebody else's.
    let others = rule("A.orders", Allow, Read);
    add(&target, std::slice::from_ref(&others)).await?;
    add(&source, &[rule("orders", Allow, Read)]).await?;

    let more = [
        ("topics", "orders"),
        ("sync.topic.acls.interval.seconds", "1"),
        ("kmirror.acls.prefixed", "true"),
        ("kmirror.acls.write", "true"),
        ("kmirror.acls.groups", "true"),
        ("kmirror.acls.remove", "true"),
    ];
    let started = async || -> Result<SourceConnector> {
        let mut connector = SourceConnector::connect(config(&from, &to, &more)?, &target).await?;
        connector.remember(Some(OffsetMaps::open(&target, "A", 1).await?));
        refreshed(&mut connector, 1, 0).await?;
        Ok(connector)
    };
    let connector = started().await?;
    let prefixed = AclBinding { resource_name: "A.ord".to_owned(), ..prefixed };
    let mut wanted = BTreeSet::from([prefixed, group, rule("A.orders", Allow, Write), others]);
    wait_until_eq("the rules", DEADLINE, wanted.clone(), || all(&target)).await?;
    wait_no_difference(&connector).await?;

    // What an earlier life has added is known to the next.
    drop(connector);
    source.delete_acls(&[gone, rule("orders", Allow, Read)]).await?;
    let connector = started().await?;
    wanted.remove(&rule("A.orders", Allow, Write));
    wait_until_eq("what was added to be removed, and nothing else", DEADLINE, wanted, || all(&target)).await?;
    wait_no_difference(&connector).await?;
    drop(connector);
    Ok(())
}
