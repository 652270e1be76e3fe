//! Settings of remote topics while a connector lives.

use std::{collections::BTreeMap, time::Duration};

use ::testkit::{anyhow::Result, create_topic, set_topic_configs, topic_configs, unique, wait_until_eq};
use kmirror::mirror::SourceConnector;

use super::{client, config, refreshed};
use crate::shared::pair;

const DEADLINE: Duration = Duration::from_secs(60);

fn settings(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What a topic has of its own, but for the limits of time that every remote topic gets.
async fn own(bootstrap: &str, topic: &str) -> Result<BTreeMap<String, String>> {
    let mut configs = topic_configs(bootstrap, topic).await?;
    configs.retain(|name, _| !name.starts_with("message.timestamp."));
    Ok(configs)
}

#[tokio::test]
async fn settings_follow_their_source() -> Result<()> {
    // MirrorConnectorsIntegrationBaseTest.testSyncTopicConfigs, testReplicateTargetDefault,
    // MirrorConnectorsWithCustomForwardingAdminIntegrationTest.testSyncTopicConfigUseProvidedForwardingAdmin
    let pair = pair().await?;
    let target = client("B", &pair.target);
    let topic = unique("kept");
    let remote = format!("A.{topic}");
    create_topic(&pair.source, &topic, 1, 1, &[("retention.ms", "5000000"), ("min.insync.replicas", "1")]).await?;
    // There before the connector, with settings that the source has not.
    let before = [("retention.ms", "1000000"), ("segment.ms", "9000000"), ("unclean.leader.election.enable", "true")];
    create_topic(&pair.target, &remote, 1, 1, &before).await?;
    let more = [("topics", topic.as_str()), ("sync.topic.configs.interval.seconds", "1")];
    let config = config(&pair.source, &pair.target, &more)?;
    let mut connector = SourceConnector::connect(config, &target).await?;
    refreshed(&mut connector, 1, 0).await?;

    // The source's own arrives, what it has by default is taken away, and what is excluded neither arrives nor goes.
    let excluded = ("unclean.leader.election.enable", "true");
    let become_ = async |what: &str, wanted: &[(&str, &str)]| {
        wait_until_eq(what, DEADLINE, settings(wanted), || own(&pair.target, &remote)).await
    };
    become_("the source's settings", &[("retention.ms", "5000000"), excluded]).await?;

    let changed = [("retention.ms", "6000000"), ("max.message.bytes", "777777"), ("min.insync.replicas", "1")];
    set_topic_configs(&pair.source, &topic, &changed).await?;
    let wanted = [("retention.ms", "6000000"), ("max.message.bytes", "777777"), excluded];
    become_("the changed settings", &wanted).await?;

    set_topic_configs(&pair.source, &topic, &[("retention.ms", "6000000")]).await?;
    become_("what was taken away to be gone", &[("retention.ms", "6000000"), excluded]).await?;
    drop(connector);
    Ok(())
}

/// `sync.topic.configs.enabled=false`: settings are copied when a topic is made.
#[tokio::test]
async fn settings_stay_where_that_is_off() -> Result<()> {
    let pair = pair().await?;
    let target = client("B", &pair.target);
    let [kept, witness] = ["left", "witness"].map(unique);
    for topic in [&kept, &witness] {
        create_topic(&pair.source, topic, 1, 1, &[("retention.ms", "5000000")]).await?;
    }
    let off = [("topics", kept.as_str()), ("sync.topic.configs.enabled", "false")];
    let on = [("topics", witness.as_str()), ("sync.topic.configs.interval.seconds", "1")];
    let mut connectors = Vec::new();
    for more in [off, on] {
        let mut connector = SourceConnector::connect(config(&pair.source, &pair.target, &more)?, &target).await?;
        refreshed(&mut connector, 1, 0).await?;
        connectors.push(connector);
    }
    for topic in [&kept, &witness] {
        set_topic_configs(&pair.source, topic, &[("retention.ms", "6000000")]).await?;
    }
    let remotes = [&kept, &witness].map(|topic| format!("A.{topic}"));
    let wanted = settings(&[("retention.ms", "6000000")]);
    wait_until_eq("the other's setting", DEADLINE, wanted, || own(&pair.target, &remotes[1])).await?;
    assert_eq!(own(&pair.target, &remotes[0]).await?, settings(&[("retention.ms", "5000000")]));
    Ok(())
}
