//! A broker with Kafka's own authorizer.

use std::{collections::BTreeSet, time::Duration};

use ::testkit::{
    Cluster as Brokers,
    anyhow::{Result, ensure},
    unique, wait_until_eq,
};

use super::*;

const DEADLINE: Duration = Duration::from_secs(60);

/// `AclCommand` with `args`.
async fn acl_command(brokers: &Brokers, args: &[&str]) -> Result<String> {
    let main = if brokers.java().is_kafka_3() { "kafka.admin.AclCommand" } else { "org.apache.kafka.tools.AclCommand" };
    let bootstrap = brokers.bootstrap();
    Ok(brokers.tool(main, &[&["--bootstrap-server", &bootstrap], args].concat()).await?.stdout)
}

#[tokio::test]
async fn rules_are_added_read_and_deleted_one_by_one() -> Result<()> {
    let brokers = Brokers::builder()
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("super.users", "User:ANONYMOUS")
        .start()
        .await?;
    let cluster = client(&brokers.bootstrap());
    let topic = unique("acl");
    let ours = [
        allow(&topic, AclOperation::Read),
        AclBinding { pattern_type: PatternType::Prefixed, ..allow(&topic, AclOperation::Describe) },
        AclBinding {
            permission: PermissionType::Deny,
            host: "10.0.0.7".to_owned(),
            ..allow(&topic, AclOperation::AlterConfigs)
        },
        AclBinding { resource_type: ResourceType::Group, ..allow("group", AclOperation::All) },
        AclBinding { resource_type: ResourceType::TransactionalId, ..allow("tx", AclOperation::Write) },
    ];
    let nobody = AclBinding { principal: "without a type".to_owned(), ..allow(&topic, AclOperation::Read) };
    let told = cluster.create_acls(&[&ours[..], std::slice::from_ref(&nobody)].concat()).await?;
    for ((binding, outcome), wanted) in told.iter().zip(&ours) {
        ensure!(binding == wanted && outcome.is_ok(), "{binding}: {outcome:?}");
    }
    let refused = told[5].1.as_ref().expect_err("no principal");
    ensure!(refused.to_string().contains("without a type"), "{refused}");
    // There already.
    ensure!(cluster.create_acls(&ours[..1]).await?[0].1.is_ok());

    // Kafka's tool sees the same, and we see what it adds.
    let listed = acl_command(&brokers, &["--list", "--topic", &topic, "--resource-pattern-type", "match"]).await?;
    for word in ["LITERAL", "PREFIXED", "10.0.0.7", "ALTER_CONFIGS", "DENY", "User:dummy"] {
        ensure!(listed.contains(word), "{word} in {listed}");
    }
    let args = ["--add", "--allow-principal", "User:CN=a,OU=b", "--operation", "Write", "--topic", &topic];
    acl_command(&brokers, &args).await?;
    let written = AclBinding { principal: "User:CN=a,OU=b".to_owned(), ..allow(&topic, AclOperation::Write) };
    let are = || async { Ok(cluster.describe_acls(None).await?.into_iter().collect::<BTreeSet<_>>()) };
    let mut all: BTreeSet<AclBinding> = ours.iter().cloned().chain([written.clone()]).collect();
    wait_until_eq("all rules", DEADLINE, all.clone(), are).await?;
    let of_groups = cluster.describe_acls(Some(ResourceType::Group)).await?;
    ensure!(of_groups == ours[3..4], "{of_groups:?}");

    // Exactly those named go; one that is not there is no failure.
    let gone = [ours[0].clone(), ours[2].clone(), allow("not there", AclOperation::Read)];
    for (binding, outcome) in cluster.delete_acls(&gone).await? {
        ensure!(outcome.is_ok(), "{binding}: {outcome:?}");
    }
    all.retain(|binding| !gone.contains(binding));
    wait_until_eq("the rules that are left", DEADLINE, all.clone(), are).await?;
    Ok(())
}
