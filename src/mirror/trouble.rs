//! What goes wrong with what a connector does beside the copy, told in the log.

use std::{collections::HashMap, time::Instant};

use wire::Cluster;

/// Troubles there are at present: each is told once when it begins and once when it is over.
#[derive(Debug)]
pub(super) struct Troubles {
    connector: String,
    since: HashMap<(String, &'static str), Instant>,
}

impl Troubles {
    pub(super) fn new(connector: &str) -> Self {
        Self { connector: connector.to_owned(), since: HashMap::new() }
    }

    /// Something could not be done, and will be tried again. True if that is news.
    pub(super) fn failed(&mut self, cluster: &Cluster, what: &'static str, cause: &str) -> bool {
        let place = (cluster.alias().to_owned(), what);
        let is_news = !self.since.contains_key(&place);
        if is_news {
            tracing::warn!(connector = self.connector, cluster = cluster.alias(), what, cause, "trouble; trying again");
            self.since.insert(place, Instant::now());
        }
        is_news
    }

    /// It has been done.
    pub(super) fn worked(&mut self, cluster: &Cluster, what: &'static str) {
        if let Some(since) = self.since.remove(&(cluster.alias().to_owned(), what)) {
            let seconds = since.elapsed().as_secs_f32();
            tracing::info!(connector = self.connector, cluster = cluster.alias(), what, seconds, "trouble is over");
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::ClusterConfig;

    use super::*;

    #[test]
    fn a_trouble_is_news_once_until_it_is_over() {
        let [a, b] = ["a", "b"].map(|alias| Cluster::new(ClusterConfig::new(alias, &[])));
        let mut troubles = Troubles::new("c");
        assert!(troubles.failed(&a, "x", "why"));
        assert!(!troubles.failed(&a, "x", "another"));
        assert!(troubles.failed(&b, "x", "why") && troubles.failed(&a, "y", "why"));
        troubles.worked(&a, "x");
        assert!(troubles.failed(&a, "x", "why") && !troubles.failed(&b, "x", "why"));
    }
}
