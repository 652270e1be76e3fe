//! Topics that MirrorMaker's connectors make for themselves.

use wire::{Cluster, NewTopic, ResponseError};

use super::Error;

/// Makes a topic of one partition, compacted, if it is missing (`MirrorUtils.createCompactedTopic`). Where it may not be made that is told, and
/// whoever writes to it finds out whether it is there.
///
/// # Errors
/// The cluster does not answer, or refuses the topic.
pub(super) async fn make_compacted(cluster: &Cluster, topic: &str, replication_factor: i16) -> Result<(), Error> {
    let operation = "making an internal topic";
    let found = cluster.topics(Some(&[topic.to_owned()])).await.map_err(Error::during(operation))?;
    if found.iter().any(|found| found.error == 0) {
        return Ok(());
    }
    let new = NewTopic {
        name: topic.to_owned(),
        partitions: 1,
        replication_factor,
        configs: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
    };
    let made = cluster.create_topics(&[new]).await.map_err(Error::during(operation))?;
    for (topic, made) in made {
        let cluster = cluster.alias();
        match made {
            Ok(_) => tracing::info!(topic, cluster, "created internal topic {topic}"),
            Err(error) => match error.response() {
                Some(ResponseError::TopicAlreadyExists) => {}
                Some(ResponseError::TopicAuthorizationFailed | ResponseError::ClusterAuthorizationFailed) => {
                    tracing::warn!(topic, cluster, "{error}: make {topic} yourself, or grant Create of it");
                }
                _ => return Err(Error::during(operation)(error)),
            },
        }
    }
    Ok(())
}
