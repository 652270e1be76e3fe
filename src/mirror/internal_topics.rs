//! Topics that MirrorMaker's connectors make for themselves.

use wire::{Cluster, NewTopic, ResponseError};

use super::Error;

/// Makes a topic of one partition, compacted, if it is missing (`MirrorUtils.createCompactedTopic`). Who may not make topics is taken to have
/// one: whoever writes to it finds out.
///
/// # Errors
/// The cluster does not answer, or refuses the topic.
pub(super) async fn make_compacted(cluster: &Cluster, topic: &str, replication_factor: i16) -> Result<(), Error> {
    let operation = "making an internal topic";
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
            Ok(()) => tracing::info!(topic, cluster, "created internal topic {topic}"),
            Err(error) => match error.response() {
                Some(ResponseError::TopicAlreadyExists) => {}
                Some(ResponseError::TopicAuthorizationFailed | ResponseError::ClusterAuthorizationFailed) => {
                    tracing::debug!(topic, cluster, %error, "internal topic {topic} can't be made, and is taken to be there");
                }
                _ => return Err(Error::during(operation)(error)),
            },
        }
    }
    Ok(())
}
