//! `kmirror.topic.deletion`: topics that were made in the target go some time after their sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use tracing::{info, warn};
use wire::{Cluster, ResponseError};

use super::SourceConnector;
use crate::{
    mirror::{Error, reach::within, trouble::Troubles},
    offsets::OffsetMaps,
    records::offset_map::{MadeIds, MadeTopic},
};

const NOTING: &str = "noting topics that were made";
const DELETING: &str = "deleting topics whose sources are gone";

/// What is known of topics that were made, from refresh to refresh.
#[derive(Debug)]
pub(super) struct Deletion {
    /// How long a source has to be gone.
    after: Duration,
    /// Source topics as of the last refresh, those too that may not be mirrored.
    pub(super) listed: BTreeSet<String>,
    /// Topics of the target that anything is copied to, as of the last refresh.
    pub(super) wanted: BTreeSet<String>,
    /// Made, and not noted yet: source and target, and the target's id.
    pub(super) made: BTreeMap<(String, String), u128>,
    /// Since when sources have been gone.
    gone: BTreeMap<String, Instant>,
    /// Sources of which nothing is left in the target: whoever keeps their positions is told, or is about to be.
    told: BTreeSet<String>,
    /// Those of them that are about to be.
    left: BTreeSet<String>,
    troubles: Troubles,
}

/// What has become of a topic that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remote {
    /// It is there.
    Ours,
    /// Another one of that name is.
    Another,
    /// There is none.
    Gone,
    /// Nobody tells.
    Unknown,
}

impl Remote {
    /// By what the target tells of its name, and the id it was made with.
    fn of(code: i16, id: u128, made: u128) -> Self {
        match code {
            0 if id == made => Self::Ours,
            0 => Self::Another,
            code if code == ResponseError::UnknownTopicOrPartition.code() => Self::Gone,
            _ => Self::Unknown,
        }
    }
}

impl Deletion {
    pub(super) fn new(after: Duration, connector: &str) -> Self {
        Self {
            after,
            listed: BTreeSet::new(),
            wanted: BTreeSet::new(),
            made: BTreeMap::new(),
            gone: BTreeMap::new(),
            told: BTreeSet::new(),
            left: BTreeSet::new(),
            troubles: Troubles::new(connector),
        }
    }

    /// Of the sources that are gone now those that were gone the last time too, and have been for long enough: what copies them has been
    /// told to stop by then.
    fn due(&mut self, gone: BTreeSet<String>, now: Instant) -> BTreeSet<String> {
        let known = std::mem::take(&mut self.gone);
        let since = |source: &String| known.get(source).copied();
        let due = gone.iter().filter(|source| since(source).is_some_and(|at| now.duration_since(at) >= self.after));
        let due = due.cloned().collect();
        self.told.retain(|source| gone.contains(source));
        self.gone = gone.into_iter().map(|source| (source.clone(), since(&source).unwrap_or(now))).collect();
        due
    }
}

impl SourceConnector {
    /// After each refresh: notes which topics were made, and deletes those whose sources have been gone for `kmirror.topic.deletion`. Returns
    /// the source topics of which nothing is left in the target: their positions have no meaning any more. What fails is told in the log, and
    /// tried again with the next refresh. Without the key it does nothing.
    pub async fn delete_orphans(&mut self, maps: Option<&OffsetMaps>) -> BTreeSet<String> {
        let Some(deletion) = &mut self.deletion else { return BTreeSet::new() };
        let ends = (&self.source, &self.target);
        let (connector, source_id) = (self.config.mirror.name.as_str(), self.source_id.as_str());
        let Some(maps) = maps else {
            deletion.troubles.failed(ends.1, NOTING, "there is no offset map, so that no topic will be deleted");
            return BTreeSet::new();
        };
        let limit = self.config.mirror.admin_timeout;
        match within(limit, NOTING, ends.1, note(deletion, connector, source_id, maps)).await {
            Ok(()) => deletion.troubles.worked(ends.1, NOTING),
            Err(error) => _ = deletion.troubles.failed(ends.1, NOTING, &error.to_string()),
        }
        match within(limit, DELETING, ends.1, delete(deletion, ends, connector, source_id, maps)).await {
            Ok(()) => deletion.troubles.worked(ends.1, DELETING),
            Err(error) => _ = deletion.troubles.failed(ends.1, DELETING, &error.to_string()),
        }
        std::mem::take(&mut deletion.left)
    }
}

async fn note(deletion: &mut Deletion, connector: &str, source_id: &str, maps: &OffsetMaps) -> Result<(), Error> {
    let mut noted = Vec::new();
    for ((source, target), &target_id) in &deletion.made {
        if target_id == 0 {
            warn!(connector, topic = target, "brokers before 2.8 tell no ids of topics: it is never deleted");
            continue;
        }
        let made = MadeTopic { connector: connector.to_owned(), source: source.clone(), target: target.clone() };
        noted.push((made, MadeIds { source_cluster: source_id.to_owned(), target_id }));
    }
    if !noted.is_empty() {
        maps.note_made(&noted).await.map_err(Error::of_map(NOTING))?;
    }
    deletion.made.clear();
    Ok(())
}

async fn delete(
    deletion: &mut Deletion,
    (source, target): (&Cluster, &Cluster),
    connector: &str,
    source_id: &str,
    maps: &OffsetMaps,
) -> Result<(), Error> {
    // Another cluster under this alias does not tell what has become of the first one's topics; and what others are copied to stays.
    let is_theirs =
        |made: &MadeTopic, ids: &MadeIds| ids.source_cluster == source_id && !deletion.wanted.contains(&made.target);
    let made: Vec<_> = maps.made(connector).into_iter().filter(|(made, ids)| is_theirs(made, ids)).collect();
    let missing: BTreeSet<&String> =
        made.iter().map(|(made, _)| &made.source).filter(|name| !deletion.listed.contains(*name)).collect();
    let missing: Vec<String> = missing.into_iter().cloned().collect();
    // A list leaves out what may not be described; who asks by name is told so.
    let told = match missing.as_slice() {
        [] => Vec::new(),
        names => source.topics(Some(names)).await.map_err(Error::during(DELETING))?,
    };
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    let gone = told.into_iter().filter(|topic| topic.error == unknown).map(|topic| topic.name).collect();
    let due = deletion.due(gone, Instant::now());
    let made: Vec<_> = made.into_iter().filter(|(made, _)| due.contains(&made.source)).collect();
    if made.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = made.iter().map(|(made, _)| made.target.clone()).collect();
    let told = target.topics(Some(&names)).await.map_err(Error::during(DELETING))?;
    for (made, MadeIds { target_id, .. }) in made {
        let told = told.iter().find(|topic| topic.name == made.target);
        let remote = told.map_or(Remote::Unknown, |topic| Remote::of(topic.error, topic.id, target_id));
        match remote {
            Remote::Ours => {
                let outcomes = target.delete_topics(std::slice::from_ref(&made.target)).await;
                for (_, outcome) in outcomes.map_err(Error::during(DELETING))? {
                    outcome.map_err(Error::during(DELETING))?;
                }
                let MadeTopic { source, target: topic, .. } = made;
                warn!(connector, topic, source, "deleted {topic}: {source} has been gone for {:?}", deletion.after);
                deletion.told.insert(source.clone());
                deletion.left.insert(source);
            }
            // In this life: there is nothing more to do.
            Remote::Gone if deletion.told.contains(&made.source) => {
                maps.forget_made(&made).await.map_err(Error::of_map(DELETING))?;
            }
            // In an earlier life, or by somebody else.
            Remote::Gone => {
                deletion.told.insert(made.source.clone());
                deletion.left.insert(made.source);
            }
            Remote::Another => {
                info!(
                    connector,
                    topic = made.target,
                    "made by somebody else since: it is not deleted with {}",
                    made.source
                );
                maps.forget_made(&made).await.map_err(Error::of_map(DELETING))?;
            }
            Remote::Unknown => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> BTreeSet<String> {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_source_has_to_be_gone_twice_and_for_long_enough() {
        let mut deletion = Deletion::new(Duration::from_secs(10), "c");
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert_eq!(deletion.due(names(&["a", "b"]), at(0)), names(&[]));
        assert_eq!(deletion.due(names(&["a", "b"]), at(5)), names(&[]));
        assert_eq!(deletion.due(names(&["a"]), at(11)), names(&["a"]));
        // Back for a moment: it begins anew.
        assert_eq!(deletion.due(names(&["a", "b"]), at(12)), names(&["a"]));
        assert_eq!(deletion.due(names(&["b"]), at(23)), names(&["b"]));
        let mut at_once = Deletion::new(Duration::ZERO, "c");
        assert_eq!(at_once.due(names(&["a"]), at(0)), names(&[]));
        assert_eq!(at_once.due(names(&["a"]), at(0)), names(&["a"]));
    }

    #[test]
    fn only_the_very_topic_that_was_made_is_deleted() {
        assert_eq!(Remote::of(0, 7, 7), Remote::Ours);
        assert_eq!(Remote::of(0, 8, 7), Remote::Another);
        assert_eq!(Remote::of(0, 0, 7), Remote::Another);
        assert_eq!(Remote::of(3, 0, 7), Remote::Gone);
        assert_eq!(Remote::of(29, 0, 7), Remote::Unknown);
    }
}
