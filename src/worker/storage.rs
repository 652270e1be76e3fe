//! The worker's three topics: made where missing, refused where they would lose state.

use std::sync::Arc;

use wire::{Cluster, ConfigEntry, NewTopic, ResponseError, TopicMetadata};

use super::{
    Error, config_store::ConfigStore, offset_store::OffsetStore, status_store::StatusStore, topic_log::TopicLog,
};
use crate::config::{StorageTopic, WorkerConfig};

/// The stores, read to the end.
pub(super) struct Stores {
    pub(super) config: ConfigStore,
    pub(super) offset: OffsetStore,
    pub(super) status: Arc<StatusStore>,
}

impl Stores {
    /// Makes the topics where they are missing, checks them, and reads them to the end.
    pub(super) async fn open(config: &WorkerConfig, worker_id: &str, cluster: &Cluster) -> Result<Self, Error> {
        let kinds = [
            ("config", &config.config_storage),
            ("offset", &config.offset_storage),
            ("status", &config.status_storage),
        ];
        let mut logs = Vec::new();
        for (kind, topic, partitions) in prepare(kinds, cluster).await? {
            logs.push(TopicLog::open(kind, &topic, partitions, Arc::new(cluster.clone())).await?);
        }
        let mut logs = logs.into_iter();
        let (Some(config), Some(offset), Some(status)) = (logs.next(), logs.next(), logs.next()) else {
            return Err(Error::Internal("a storage topic was left out".to_owned()));
        };
        Ok(Self {
            config: ConfigStore::open(config).await?,
            offset: OffsetStore::open(offset).await?,
            status: Arc::new(StatusStore::open(status, worker_id).await?),
        })
    }

    /// Reads on where a write had no answer, so that memory is what the topics hold.
    pub(super) async fn catch_up(&self) -> Result<(), Error> {
        if self.config.is_stale() {
            self.config.catch_up().await?;
        }
        if self.offset.is_stale() {
            self.offset.catch_up().await?;
        }
        if self.status.is_stale() {
            self.status.catch_up().await?;
        }
        Ok(())
    }
}

/// Kind, name and partition count of each topic.
async fn prepare(
    kinds: [(&'static str, &StorageTopic); 3],
    cluster: &Cluster,
) -> Result<Vec<(&'static str, String, i32)>, Error> {
    let names: Vec<String> = kinds.iter().map(|(_, topic)| topic.name.clone()).collect();
    let found = cluster.topics(Some(&names)).await?;
    let mut missing: Vec<NewTopic> = Vec::new();
    for (kind, topic) in kinds {
        // The same topic may serve two purposes, as in Connect; it is made once.
        if !exists(kind, &topic.name, &found, cluster)? && !missing.iter().any(|m| m.name == topic.name) {
            missing.push(new_topic(topic));
        }
    }
    if !missing.is_empty() {
        for (topic, made) in cluster.create_topics(&missing).await? {
            match made {
                Ok(_) => tracing::info!(topic, "created storage topic {topic} in cluster {}", cluster.alias()),
                Err(error) if error.response() == Some(ResponseError::TopicAlreadyExists) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let settings = cluster.describe_topic_configs(&names, None).await?;
    let found = cluster.topics(Some(&names)).await?;
    let mut ready = Vec::new();
    for (kind, topic) in kinds {
        if let Some((_, entries)) = settings.iter().find(|(name, _)| *name == topic.name) {
            check_policy(kind, &topic.name, entries)?;
        }
        let metadata = found.iter().find(|t| t.name == topic.name && t.error == 0);
        let partitions = metadata.map_or(0, |m| m.partitions.len());
        check_partitions(kind, &topic.name, partitions, cluster)?;
        ready.push((kind, topic.name.clone(), i32::try_from(partitions).unwrap_or(i32::MAX)));
    }
    Ok(ready)
}

fn exists(kind: &'static str, topic: &str, found: &[TopicMetadata], cluster: &Cluster) -> Result<bool, Error> {
    let Some(metadata) = found.iter().find(|t| t.name == topic) else { return Ok(false) };
    if metadata.error == 0 || metadata.error == ResponseError::LeaderNotAvailable.code() {
        return Ok(true);
    }
    if metadata.error == ResponseError::UnknownTopicOrPartition.code() {
        return Ok(false);
    }
    let cause = wire::Error::Broker {
        cluster: cluster.alias().to_owned(),
        api: "Metadata",
        resource: format!("topic {topic}"),
        code: metadata.error,
        message: None,
    };
    Err(Error::Storage { kind, topic: topic.to_owned(), cause: Box::new(cause) })
}

/// A topic as Connect makes it: compacted whatever the configuration says, one more setting or other from the file.
fn new_topic(topic: &StorageTopic) -> NewTopic {
    let mut configs: Vec<_> = topic.configs.iter().filter(|(name, _)| name != "cleanup.policy").cloned().collect();
    configs.push(("cleanup.policy".to_owned(), "compact".to_owned()));
    NewTopic {
        name: topic.name.clone(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        configs,
    }
}

/// Where the setting can't be read (no DescribeConfigs right), Connect goes on with a word in the log; so does this.
fn check_policy(kind: &'static str, topic: &str, entries: &wire::Result<Vec<ConfigEntry>>) -> Result<(), Error> {
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(topic, "can't tell whether the {kind} topic {topic} is compacted: {error}");
            return Ok(());
        }
    };
    let policy = entries.iter().find(|e| e.name == "cleanup.policy").and_then(|e| e.value.as_deref());
    match policy.map(str::trim) {
        None | Some("compact") => Ok(()),
        Some(found) => Err(Error::CleanupPolicy { kind, topic: topic.to_owned(), found: found.to_owned() }),
    }
}

fn check_partitions(kind: &'static str, topic: &str, partitions: usize, cluster: &Cluster) -> Result<(), Error> {
    if partitions == 0 {
        return Err(Error::StorageMissing { kind, topic: topic.to_owned(), cluster: cluster.alias().to_owned() });
    }
    if kind == "config" && partitions > 1 {
        return Err(Error::ConfigPartitions { topic: topic.to_owned(), found: partitions });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use wire::ConfigSource;

    use super::*;

    fn policy(value: &str) -> wire::Result<Vec<ConfigEntry>> {
        Ok(vec![ConfigEntry {
            name: "cleanup.policy".into(),
            value: Some(value.into()),
            read_only: false,
            sensitive: false,
            source: ConfigSource::Topic,
        }])
    }

    #[test]
    fn only_compaction_alone_is_taken() {
        assert_eq!(check_policy("config", "c", &policy("compact")), Ok(()));
        for found in ["delete", "compact,delete", "delete,compact"] {
            let error = check_policy("offset", "connect-offsets", &policy(found)).unwrap_err();
            assert!(error.refuses_start());
            let text = error.to_string();
            assert!(text.contains("offset topic connect-offsets (worker key offset.storage.topic)"), "{text}");
            assert!(text.contains(&format!("cleanup.policy={found}; allowed is exactly compact")), "{text}");
        }
        let denied = wire::Error::Broker {
            cluster: "worker".into(),
            api: "DescribeConfigs",
            resource: "topic c".into(),
            code: ResponseError::TopicAuthorizationFailed.code(),
            message: None,
        };
        assert_eq!(check_policy("config", "c", &Err(denied)), Ok(()));
    }

    #[test]
    fn new_topics_are_compacted_whatever_the_file_says() {
        let topic = StorageTopic {
            name: "s".into(),
            partitions: 5,
            replication_factor: -1,
            configs: vec![("cleanup.policy".into(), "delete".into()), ("min.insync.replicas".into(), "2".into())],
        };
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(new_topic(&topic).configs, [pair("min.insync.replicas", "2"), pair("cleanup.policy", "compact")]);
        assert_eq!((new_topic(&topic).partitions, new_topic(&topic).replication_factor), (5, -1));
    }
}
