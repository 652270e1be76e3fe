//! Topics and their settings: requests that change or describe a cluster.

mod alter_configs;
mod settle;

pub use alter_configs::{ConfigChange, TopicConfigChanges};

use std::collections::HashMap;

use kafka_protocol::{
    messages::{
        CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, MetadataRequest,
        TopicName,
        create_partitions_request::CreatePartitionsTopic,
        create_topics_request::{CreatableTopic, CreatableTopicConfig},
        delete_topics_request::DeleteTopicState,
        describe_configs_request::DescribeConfigsResource,
        describe_configs_response::DescribeConfigsResourceResult,
        metadata_request::MetadataRequestTopic,
    },
    protocol::StrBytes,
};

use crate::{
    call::Call,
    cluster::{Cluster, Route},
    error::{Error, Result},
    types::{ConfigEntry, ConfigSource, NewTopic, TopicRights},
};

/// Resource type of a topic in DescribeConfigs.
const TOPIC_RESOURCE: i8 = 2;
/// Topics asked for in one DescribeConfigs request: an answer stays below a few MB.
const CONFIGS_PER_REQUEST: usize = 500;
/// Topics made by one CreateTopics request: the controller takes them as one step.
const TOPICS_PER_REQUEST: usize = 200;
/// Operations of KIP-430, by the bits that stand for them.
const READ: i32 = 1 << 3;
const WRITE: i32 = 1 << 4;
const NOT_CONTROLLER: i16 = 41;

/// Topic → error code and the broker's words.
type Outcomes = HashMap<String, (i16, Option<String>)>;

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

impl Cluster {
    /// Creates topics; the outcome of each is told beside its name, in the order given: its id (KIP-516), 0 from brokers before 2.8.
    ///
    /// # Errors
    /// When nothing is known of the outcome: the controller could not be reached within the request timeout.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<(String, Result<u128>)>> {
        let mut outcomes = Vec::with_capacity(topics.len());
        for chunk in topics.chunks(TOPICS_PER_REQUEST) {
            let request = CreateTopicsRequest::default()
                .with_timeout_ms(self.timeout_ms())
                .with_topics(chunk.iter().map(creatable).collect());
            let (ids, told) = self
                .routed(Route::Controller, &request, |answer| {
                    let ids = answer.topics.iter().map(|t| (t.name.to_string(), t.topic_id.as_u128()));
                    let ids: HashMap<String, u128> = ids.collect();
                    let results = answer.topics.into_iter().map(|t| (t.name, t.error_code, t.error_message));
                    Ok((ids, self.controller_told(CreateTopicsRequest::API, results)?))
                })
                .await?;
            let told = self.by_topic(CreateTopicsRequest::API, chunk.iter().map(|t| t.name.as_str()), told);
            let id = |name: &String| ids.get(name).copied().unwrap_or(0);
            outcomes.extend(chunk.iter().zip(told).map(|(t, told)| (t.name.clone(), told.map(|()| id(&t.name)))));
        }
        Ok(outcomes)
    }

    /// Raises topics to a new total number of partitions; the outcome of each is told beside its name, in the order given.
    ///
    /// # Errors
    /// When nothing is known of the outcome: the controller could not be reached within the request timeout.
    pub async fn create_partitions(&self, totals: &[(String, i32)]) -> Result<Vec<(String, Result<()>)>> {
        let topic = |(name, count): &(String, i32)| {
            CreatePartitionsTopic::default().with_name(TopicName(text(name))).with_count(*count).with_assignments(None)
        };
        let request = CreatePartitionsRequest::default()
            .with_timeout_ms(self.timeout_ms())
            .with_topics(totals.iter().map(topic).collect());
        let told = self
            .routed(Route::Controller, &request, |answer| {
                let results = answer.results.into_iter().map(|t| (t.name, t.error_code, t.error_message));
                self.controller_told(CreatePartitionsRequest::API, results)
            })
            .await?;
        let told = self.by_topic(CreatePartitionsRequest::API, totals.iter().map(|t| t.0.as_str()), told);
        Ok(totals.iter().map(|t| t.0.clone()).zip(told).collect())
    }

    /// Deletes topics by name; the outcome of each is told beside its name, in the order given. A topic that is not there is told as
    /// UNKNOWN_TOPIC_OR_PARTITION, also where it was this call that deleted it and the first answer came too late. Brokers hear of it one after
    /// the other.
    ///
    /// # Errors
    /// When nothing is known of the outcome: the controller could not be reached within the request timeout.
    pub async fn delete_topics(&self, names: &[String]) -> Result<Vec<(String, Result<()>)>> {
        let api = DeleteTopicsRequest::API;
        self.settle(names, TOPICS_PER_REQUEST, String::clone, |names| async move {
            let topic = |name: &&String| DeleteTopicState::default().with_name(Some(TopicName(text(name))));
            let request = DeleteTopicsRequest::default()
                .with_timeout_ms(self.timeout_ms())
                .with_topics(names.iter().map(topic).collect());
            let told = self
                .routed(Route::Controller, &request, |answer| {
                    let results = answer.responses.into_iter();
                    self.controller_told(api, results.filter_map(|t| Some((t.name?, t.error_code, t.error_message))))
                })
                .await?;
            Ok(self.by_topic(api, names.iter().map(|name| name.as_str()), told))
        })
        .await
    }

    /// The settings of topics, defaults included: all, or only those `named`. The outcome of each topic is told beside its name, in the
    /// order given.
    ///
    /// # Errors
    /// When no broker answers within the request timeout.
    pub async fn describe_topic_configs(
        &self,
        topics: &[String],
        named: Option<&[&str]>,
    ) -> Result<Vec<(String, Result<Vec<ConfigEntry>>)>> {
        let mut outcomes = Vec::with_capacity(topics.len());
        for chunk in topics.chunks(CONFIGS_PER_REQUEST) {
            let resource = |name: &String| {
                DescribeConfigsResource::default()
                    .with_resource_type(TOPIC_RESOURCE)
                    .with_resource_name(text(name))
                    .with_configuration_keys(named.map(|names| names.iter().map(|name| text(name)).collect()))
            };
            let request = DescribeConfigsRequest::default().with_resources(chunk.iter().map(resource).collect());
            let mut told = self
                .routed(Route::Any, &request, |answer| {
                    Ok(answer.results.into_iter().map(|r| (r.resource_name.to_string(), r)).collect::<HashMap<_, _>>())
                })
                .await?;
            for name in chunk {
                let outcome = match told.remove(name) {
                    Some(result) => {
                        let message = result.error_message.map(|m| m.to_string());
                        self.check(DescribeConfigsRequest::API, || format!("topic {name}"), result.error_code, message)
                            .map(|()| result.configs.iter().map(config_entry).collect())
                    }
                    None => Err(self.unanswered(DescribeConfigsRequest::API, name)),
                };
                outcomes.push((name.clone(), outcome));
            }
        }
        Ok(outcomes)
    }

    /// What this client may do with topics (KIP-430). Those are left out of which it is not told: topics that it does not see, and all where
    /// the brokers are older than 2.3.
    ///
    /// # Errors
    /// When no broker answers within the request timeout.
    pub async fn topic_rights(&self, topics: &[String]) -> Result<HashMap<String, TopicRights>> {
        let named = |name: &String| MetadataRequestTopic::default().with_name(Some(TopicName(text(name))));
        let request = MetadataRequest::default()
            .with_topics(Some(topics.iter().map(named).collect()))
            .with_allow_auto_topic_creation(false)
            .with_include_topic_authorized_operations(true);
        let told = self
            .routed(Route::Any, &request, |answer| {
                let told = answer.topics.into_iter().filter(|topic| topic.error_code == 0);
                Ok(told
                    .filter_map(|topic| Some((topic.name?.to_string(), topic.topic_authorized_operations)))
                    .filter(|(_, operations)| *operations != i32::MIN)
                    .map(|(name, operations)| {
                        (name, TopicRights { read: operations & READ != 0, write: operations & WRITE != 0 })
                    })
                    .collect())
            })
            .await;
        match told {
            // There is no way to ask in the versions that old brokers speak.
            Err(Error::Malformed { .. }) => Ok(HashMap::new()),
            told => told,
        }
    }

    /// Outcomes by topic. One NOT_CONTROLLER speaks for all: the request has to go to another broker.
    fn controller_told(
        &self,
        api: &'static str,
        results: impl Iterator<Item = (TopicName, i16, Option<StrBytes>)>,
    ) -> Result<Outcomes> {
        results
            .map(|(name, code, message)| match code {
                NOT_CONTROLLER => Err(self.refused(api, format!("topic {}", &**name), code, None)),
                _ => Ok((name.to_string(), (code, message.map(|m| m.to_string())))),
            })
            .collect()
    }

    pub(crate) fn timeout_ms(&self) -> i32 {
        i32::try_from(self.request_timeout().as_millis()).unwrap_or(i32::MAX)
    }

    pub(crate) fn unanswered(&self, api: &'static str, name: &str) -> crate::Error {
        self.refused(api, name.to_owned(), UNKNOWN_SERVER_ERROR, Some("the answer leaves it out".to_owned()))
    }

    /// Outcomes in the order of the topics.
    fn by_topic<'a>(
        &self,
        api: &'static str,
        topics: impl Iterator<Item = &'a str>,
        mut told: Outcomes,
    ) -> Vec<Result<()>> {
        topics
            .map(|topic| match told.remove(topic) {
                Some((code, message)) => self.check(api, || format!("topic {topic}"), code, message),
                None => Err(self.unanswered(api, topic)),
            })
            .collect()
    }

    /// Outcomes as they are. One NOT_CONTROLLER speaks for all, as in [`Self::controller_told`].
    pub(crate) fn unless_moved(&self, mut outcomes: Vec<Result<()>>) -> Result<Vec<Result<()>>> {
        let moved = |outcome: &Result<()>| matches!(outcome, Err(crate::Error::Broker { code: NOT_CONTROLLER, .. }));
        match outcomes.iter().position(moved) {
            Some(at) => outcomes.swap_remove(at).map(|()| Vec::new()),
            None => Ok(outcomes),
        }
    }
}

/// UNKNOWN_SERVER_ERROR.
const UNKNOWN_SERVER_ERROR: i16 = -1;

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let config = |(name, value): &(String, String)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    CreatableTopic::default()
        .with_name(TopicName(text(&topic.name)))
        .with_num_partitions(topic.partitions)
        .with_replication_factor(topic.replication_factor)
        .with_configs(topic.configs.iter().map(config).collect())
}

/// Source codes of `DescribeConfigsResponse.ConfigSource`.
fn config_entry(told: &DescribeConfigsResourceResult) -> ConfigEntry {
    let source = match told.config_source {
        1 => ConfigSource::Topic,
        2 | 3 => ConfigSource::DynamicBroker,
        4 => ConfigSource::StaticBroker,
        5 => ConfigSource::Default,
        _ => ConfigSource::Other,
    };
    ConfigEntry {
        name: told.name.to_string(),
        value: told.value.as_ref().map(|v| v.to_string()),
        read_only: told.read_only,
        sensitive: told.is_sensitive,
        source,
    }
}

#[cfg(test)]
mod tests;
