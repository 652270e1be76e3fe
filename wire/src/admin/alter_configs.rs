//! Changing the settings of topics.

use kafka_protocol::messages::{
    AlterConfigsRequest, IncrementalAlterConfigsRequest,
    alter_configs_request::{AlterConfigsResource as Replaced, AlterableConfig as Kept},
    incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
};

use super::{TOPIC_RESOURCE, text};
use crate::{
    call::Call,
    cluster::{Cluster, Route},
    error::Result,
};

/// A controller takes up to 10,000 changes as one step; a topic has some 40 settings.
const ALTERED_PER_REQUEST: usize = 100;

/// One change of a topic's settings (KIP-339).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigChange {
    /// Gives the topic a value of its own.
    Set {
        /// Setting's name.
        name: String,
        /// Its value, as text.
        value: String,
    },
    /// Takes the topic's own value away: the broker's holds again.
    Delete {
        /// Setting's name.
        name: String,
    },
}

impl ConfigChange {
    /// The setting it is about.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Set { name, .. } | Self::Delete { name } => name,
        }
    }

    /// The value it is to have; absent where it is taken away.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Set { value, .. } => Some(value),
            Self::Delete { .. } => None,
        }
    }
}

/// Changes of one topic's settings: all of them are made, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfigChanges {
    /// Topic name.
    pub topic: String,
    /// Changes, at most one of a setting.
    pub changes: Vec<ConfigChange>,
}

impl Cluster {
    /// Changes settings of topics and leaves their others (brokers from 2.3, KIP-339); the outcome of each topic is told beside its name, in
    /// the order given. Each topic may be named once.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] of a broker that can only replace all: see [`Cluster::replace_topic_configs`]. Else when nothing is known of
    /// the outcome: no broker answers within the request timeout.
    pub async fn alter_topic_configs(&self, topics: &[TopicConfigChanges]) -> Result<Vec<(String, Result<()>)>> {
        const SET: i8 = 0;
        const DELETE: i8 = 1;
        let change = |change: &ConfigChange| {
            AlterableConfig::default()
                .with_name(text(change.name()))
                .with_config_operation(if change.value().is_some() { SET } else { DELETE })
                .with_value(change.value().map(text))
        };
        // An address of the list that lacks the request counts as one that can't be reached; of a broker it is told.
        self.persist(|| self.brokers()).await?;
        self.settle(
            topics,
            ALTERED_PER_REQUEST,
            |topic| topic.topic.clone(),
            |topics| async move {
                let resource = |topic: &&TopicConfigChanges| {
                    AlterConfigsResource::default()
                        .with_resource_type(TOPIC_RESOURCE)
                        .with_resource_name(text(&topic.topic))
                        .with_configs(topic.changes.iter().map(change).collect())
                };
                let api = IncrementalAlterConfigsRequest::API;
                let request =
                    IncrementalAlterConfigsRequest::default().with_resources(topics.iter().map(resource).collect());
                let told = self
                    .routed(Route::Any, &request, |answer| {
                        let results =
                            answer.responses.into_iter().map(|r| (r.resource_name, r.error_code, r.error_message));
                        self.controller_told(api, results.map(|(name, code, message)| (name.into(), code, message)))
                    })
                    .await?;
                Ok(self.by_topic(api, topics.iter().map(|topic| topic.topic.as_str()), told))
            },
        )
        .await
    }

    /// Replaces all that topics have of their own: what is not named is the broker's again. The outcome of each topic is told beside its
    /// name, in the order given.
    ///
    /// # Errors
    /// When nothing is known of the outcome: no broker answers within the request timeout.
    pub async fn replace_topic_configs(
        &self,
        topics: &[(String, Vec<(String, String)>)],
    ) -> Result<Vec<(String, Result<()>)>> {
        let config =
            |(name, value): &(String, String)| Kept::default().with_name(text(name)).with_value(Some(text(value)));
        self.settle(
            topics,
            ALTERED_PER_REQUEST,
            |(topic, _)| topic.clone(),
            |topics| async move {
                let resource = |(topic, configs): &&(String, Vec<(String, String)>)| {
                    Replaced::default()
                        .with_resource_type(TOPIC_RESOURCE)
                        .with_resource_name(text(topic))
                        .with_configs(configs.iter().map(config).collect())
                };
                let api = AlterConfigsRequest::API;
                let request = AlterConfigsRequest::default().with_resources(topics.iter().map(resource).collect());
                let told = self
                    .routed(Route::Any, &request, |answer| {
                        let results =
                            answer.responses.into_iter().map(|r| (r.resource_name, r.error_code, r.error_message));
                        self.controller_told(api, results.map(|(name, code, message)| (name.into(), code, message)))
                    })
                    .await?;
                Ok(self.by_topic(api, topics.iter().map(|(topic, _)| topic.as_str()), told))
            },
        )
        .await
    }
}
