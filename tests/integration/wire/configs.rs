//! Settings of topics changed, and topics deleted.

use std::time::Duration;

use ::testkit::{
    anyhow::{Context, Result, ensure},
    create_topic, topic_configs, unique, wait_until, wait_until_eq,
};
use ::wire::{ConfigChange, ResponseError, TopicConfigChanges};

use super::client;
use crate::shared::pair;

const DEADLINE: Duration = Duration::from_secs(60);

fn set(name: &str, value: &str) -> ConfigChange {
    ConfigChange::Set { name: name.to_owned(), value: value.to_owned() }
}

fn own(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn settings_are_changed_replaced_and_refused() -> Result<()> {
    let bootstrap = &pair().await?.target;
    let cluster = client(bootstrap);
    let [one, two] = ["wire-set", "wire-refused"].map(unique);
    for topic in [&one, &two] {
        create_topic(bootstrap, topic, 1, 1, &[("retention.ms", "5000"), ("segment.ms", "6000")]).await?;
    }
    let changes = |topic: &str, changes: &[ConfigChange]| TopicConfigChanges {
        topic: topic.to_owned(),
        changes: changes.to_vec(),
    };
    let delete = ConfigChange::Delete { name: "segment.ms".to_owned() };
    let wanted = [
        changes(&one, &[set("retention.ms", "7000"), set("max.message.bytes", "9000"), delete]),
        changes(&two, &[set("retention.ms", "8000"), set("segment.ms", "no number")]),
        changes("no-such-topic", &[set("retention.ms", "1")]),
    ];
    let told = cluster.alter_topic_configs(&wanted).await?;
    assert_eq!(told[0], (one.clone(), Ok(())));
    let refused = told[1].1.as_ref().expect_err("no number");
    assert_eq!(refused.response(), Some(ResponseError::InvalidConfig));
    assert!(refused.to_string().contains("segment.ms"), "the setting is named: {refused}");
    let missing = told[2].1.as_ref().expect_err("no such topic");
    assert_eq!(missing.response(), Some(ResponseError::UnknownTopicOrPartition));

    let is = |topic: String| async move {
        let configs = topic_configs(bootstrap, &topic).await?;
        let shown = ["retention.ms", "segment.ms", "max.message.bytes"];
        Ok(shown.iter().filter_map(|name| Some(((*name).to_owned(), configs.get(*name)?.clone()))).collect::<Vec<_>>())
    };
    let changed = own(&[("retention.ms", "7000"), ("max.message.bytes", "9000")]);
    wait_until_eq("the changed settings", DEADLINE, changed, || is(one.clone())).await?;
    let as_made = own(&[("retention.ms", "5000"), ("segment.ms", "6000")]);
    wait_until_eq("all of a topic's changes to be refused", DEADLINE, as_made, || is(two.clone())).await?;

    let replaced = [(one.clone(), own(&[("segment.ms", "1234")]))];
    assert_eq!(cluster.replace_topic_configs(&replaced).await?, [(one.clone(), Ok(()))]);
    wait_until_eq("the settings named alone", DEADLINE, replaced[0].1.clone(), || is(one.clone())).await?;
    Ok(())
}

#[tokio::test]
async fn topics_are_deleted_by_name() -> Result<()> {
    let bootstrap = &pair().await?.target;
    let cluster = client(bootstrap);
    let topic = unique("wire-delete");
    create_topic(bootstrap, &topic, 2, 1, &[]).await?;
    let names = [topic.clone(), unique("nowhere")];
    let told = cluster.delete_topics(&names).await?;
    assert_eq!(told[0], (topic.clone(), Ok(())));
    let missing = told[1].1.as_ref().expect_err("it was never there");
    assert_eq!(missing.response(), Some(ResponseError::UnknownTopicOrPartition));
    wait_until("the topic to be gone", DEADLINE, async || {
        let told = cluster.topics(Some(std::slice::from_ref(&topic))).await?;
        let error = told.first().context("one topic")?.error;
        ensure!(error == 3, "{error}");
        Ok(())
    })
    .await?;
    Ok(())
}
