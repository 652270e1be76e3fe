//! Topics of the target that are made when the first record is for them.

use wire::{Cluster, NewTopic, Recovery, ResponseError, TopicMetadata, recovery_of};

/// Why there is none.
pub(super) enum Refusal {
    /// Trying again may help.
    Passing(String),
    Lasting(String),
}

impl Refusal {
    pub(super) fn of(error: wire::Error) -> Self {
        match error.recovery() {
            Recovery::Fatal => Self::Lasting(error.to_string()),
            Recovery::Retry | Recovery::Refresh => Self::Passing(error.to_string()),
        }
    }
}

/// What is told of a topic, which is made if there is none. The most particular of its settings stand last: what a broker does not know is
/// left out from there on.
pub(super) async fn find_or_make(cluster: &Cluster, topic: NewTopic) -> Result<TopicMetadata, Refusal> {
    let name = [topic.name.clone()];
    let mut told = cluster.topics(Some(&name)).await.map_err(Refusal::of)?.pop();
    let error = told.as_ref().map_or(0, |told| told.error);
    if ResponseError::try_from_code(error) == Some(ResponseError::UnknownTopicOrPartition) {
        make(cluster, topic).await?;
        told = cluster.topics(Some(&name)).await.map_err(Refusal::of)?.pop();
    }
    match told {
        Some(told) if told.error == 0 => Ok(told),
        Some(told) => {
            let cause = format!("Metadata: {}", wire::code_name(told.error));
            let lasts = recovery_of(told.error) == Recovery::Fatal;
            Err(if lasts { Refusal::Lasting(cause) } else { Refusal::Passing(cause) })
        }
        None => Err(Refusal::Passing("Metadata: nothing is told of it".to_owned())),
    }
}

async fn make(cluster: &Cluster, mut topic: NewTopic) -> Result<(), Refusal> {
    loop {
        let told = cluster.create_topics(std::slice::from_ref(&topic)).await.map_err(Refusal::of)?.pop();
        let Some((_, Err(error))) = told else {
            tracing::info!(topic = topic.name, partitions = topic.partitions, "made a topic");
            return Ok(());
        };
        match error.response() {
            Some(ResponseError::TopicAlreadyExists) => return Ok(()),
            Some(ResponseError::InvalidConfig) if topic.configs.pop().is_some() => {}
            _ => return Err(Refusal::of(error)),
        }
    }
}
