//! Reaching a cluster within a time somebody waits for, and noticing that another one took its place.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use wire::{Cluster, ClusterConfig};

use super::Error;
use crate::config::MirrorConfig;

/// For reaching a cluster at the start, over all its addresses: a wrong address must show while the user is looking.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);
/// For an answer on a connection that is open already. A frozen broker never gives one, and others may.
const KEPT_TIMEOUT: Duration = Duration::from_secs(3);

/// What is done, for errors.
pub(super) const REACHING_SOURCE: &str = "reaching the source";

/// Tells, between refreshes, whether the source is there and still the cluster it was.
#[derive(Debug)]
pub struct SourceCheck {
    config: ClusterConfig,
    /// Cluster id of the source when the connector started.
    id: String,
    /// Answered last time.
    kept: Mutex<Cluster>,
}

impl SourceCheck {
    pub(super) fn new(config: ClusterConfig, id: String) -> Arc<Self> {
        let kept = Mutex::new(probe(config.clone()));
        Arc::new(Self { config, id, kept })
    }

    /// Asks once; cheap. A broker that is silent gets little time, then all addresses are asked.
    ///
    /// # Errors
    /// Nobody answers within about 13 s, or it is another cluster that does ([`Error::SourceChanged`]).
    pub async fn check(&self) -> Result<(), Error> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = within(KEPT_TIMEOUT, REACHING_SOURCE, &kept, ask_id(REACHING_SOURCE, &kept)).await;
        let id = match answer {
            Ok(id) => id,
            Err(_) => {
                // One that knows no brokers yet: it asks the addresses in turn instead of the silent broker again.
                let fresh = probe(self.config.clone());
                let id = cluster_id(REACHING_SOURCE, &fresh).await?;
                *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
                id
            }
        };
        same_source(&self.config, &self.id, id)
    }
}

pub(super) fn cluster_config(alias: &str, bootstrap: &[String], client_id: &str) -> ClusterConfig {
    let mut config = ClusterConfig::new(alias, bootstrap);
    config.client_id = client_id.to_owned();
    config
}

/// The id of the worker's cluster, to which connectors write.
///
/// # Errors
/// A cluster is not reached within about 10 s, or `target.cluster.bootstrap.servers` is another one.
pub(super) async fn target_id(worker: &Cluster, config: &MirrorConfig, client_id: &str) -> Result<String, Error> {
    let given = config.target_bootstrap.as_ref().filter(|addresses| addresses.join(",") != worker.addresses());
    let target = given.map(|addresses| probe(cluster_config(&config.target_alias, addresses, client_id)));
    let target_id = async {
        match &target {
            Some(target) => cluster_id("reaching the target", target).await.map(Some),
            None => Ok(None),
        }
    };
    let (worker_id, target_id) = tokio::join!(cluster_id("reaching the worker's cluster", worker), target_id);
    let worker_id = worker_id?;
    if let (Some(target), Some(target_id)) = (&target, target_id?)
        && target_id != worker_id
    {
        return Err(Error::WrongTarget {
            target_addresses: target.addresses(),
            target_id,
            worker_addresses: worker.addresses(),
            worker_id,
        });
    }
    Ok(worker_id)
}

/// # Errors
/// The source is not the cluster it was.
pub(super) fn same_source(config: &ClusterConfig, was: &str, is: String) -> Result<(), Error> {
    if is == was {
        return Ok(());
    }
    Err(Error::SourceChanged {
        cluster: config.alias.clone(),
        addresses: config.bootstrap.join(","),
        was: was.to_owned(),
        is,
    })
}

/// A cluster to ask once: all its addresses get their turn within [`REACH_TIMEOUT`], so that the error can tell what
/// each said.
pub(super) fn probe(mut config: ClusterConfig) -> Cluster {
    let addresses = u32::try_from(config.bootstrap.len()).unwrap_or(u32::MAX).max(1);
    let each = (REACH_TIMEOUT * 9 / 10) / addresses;
    config.connect_timeout = config.connect_timeout.min(each);
    config.request_timeout = config.request_timeout.min(each);
    Cluster::new(config)
}

/// # Errors
/// The cluster is not reached within about 10 s.
pub(super) async fn cluster_id(operation: &'static str, cluster: &Cluster) -> Result<String, Error> {
    within(REACH_TIMEOUT, operation, cluster, ask_id(operation, cluster)).await
}

pub(super) async fn ask_id(operation: &'static str, cluster: &Cluster) -> Result<String, Error> {
    cluster.cluster_id().await.map_err(Error::during(operation))
}

pub(super) async fn within<T>(
    limit: Duration,
    operation: &'static str,
    cluster: &Cluster,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Error::Timeout {
            operation,
            cluster: cluster.alias().to_owned(),
            addresses: cluster.addresses(),
            after: limit,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_cluster_behind_the_address_is_told() {
        let config = ClusterConfig::new("A", &["a:1".to_owned(), "b:1".to_owned()]);
        assert_eq!(same_source(&config, "x", "x".to_owned()), Ok(()));
        let error = same_source(&config, "x", "y".to_owned()).unwrap_err().to_string();
        assert_eq!(error, "cluster A at a:1,b:1 was x and is y now: restart the connector if that is meant");
    }
}
