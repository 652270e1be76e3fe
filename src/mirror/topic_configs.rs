//! Settings of remote topics kept as those of their sources (`MirrorSourceConnector.syncTopicConfigs`), decided.
//!
//! What the source has set is set, what is default there is taken away or, with `use.defaults.from=source`, set; what is excluded, what the source
//! does not tell, and what its brokers have in their files is left alone. MirrorMaker sends all of this each time. Here a topic that has it
//! is not touched, and one setting that the target refuses does not keep the others from it.

mod sync;

use std::collections::BTreeMap;

use wire::{ConfigChange, ConfigEntry, ConfigSource, ResponseError, TopicConfigChanges};

pub(super) use self::sync::TopicConfigSync;

use super::topics::{TIME_LIMITS, TopicRules, copied_configs, refused_setting};

/// A remote topic and its source, as both clusters describe them. Of several sources of one remote topic it is that with the most partitions,
/// which the topic was made after too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Described<'a> {
    /// Remote topic.
    pub(super) remote: &'a str,
    /// Settings of the source topic, defaults included.
    pub(super) source: &'a [ConfigEntry],
    /// Settings of the remote topic, defaults included.
    pub(super) target: &'a [ConfigEntry],
}

/// What to change, topic by topic, without what was refused before. Topics that need nothing are left out.
pub(super) fn plan<'a>(
    topics: impl IntoIterator<Item = Described<'a>>,
    rules: &TopicRules,
    refusals: &Refusals,
) -> Vec<TopicConfigChanges> {
    let planned = topics.into_iter().map(|topic| TopicConfigChanges {
        topic: topic.remote.to_owned(),
        changes: refusals.without_refused(topic.remote, changes(topic.source, topic.target, rules)),
    });
    planned.filter(|topic| !topic.changes.is_empty()).collect()
}

/// What makes a remote topic's settings those of its source; in the order of the settings' names.
pub(super) fn changes(source: &[ConfigEntry], target: &[ConfigEntry], rules: &TopicRules) -> Vec<ConfigChange> {
    let target: BTreeMap<&str, &ConfigEntry> = target.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    let is_own = |name: &str| target.get(name).is_some_and(|entry| entry.source == ConfigSource::Topic);
    let value = |name: &str| target.get(name).and_then(|entry| entry.value.as_deref());
    let is_set = |name: &str| {
        let used = |entry: &&ConfigEntry| rules.use_defaults_from_source || entry.source != ConfigSource::Default;
        source.iter().filter(used).any(|entry| entry.name == name)
    };

    let wanted = copied_configs(source, rules);
    let defaults = source
        .iter()
        .filter(|entry| entry.source == ConfigSource::Default && !entry.read_only && !entry.sensitive)
        .filter(|entry| !rules.config_exclude.matches(&entry.name) && is_own(&entry.name))
        .filter(|entry| wanted.iter().all(|(name, _)| *name != entry.name))
        .map(|entry| ConfigChange::Delete { name: entry.name.clone() });
    let set = wanted.iter().filter(|(name, wanted)| {
        let is_so = value(name) == Some(wanted);
        if TIME_LIMITS.contains(&name.as_str()) && !is_set(name) {
            // Set by nobody, so it only has to hold; a target that does not know it does not limit.
            return target.contains_key(name.as_str()) && !is_so;
        }
        !(is_so && is_own(name))
    });
    let set = set.map(|(name, value)| ConfigChange::Set { name: name.clone(), value: value.clone() });
    let mut changes: Vec<ConfigChange> = defaults.chain(set).collect();
    changes.sort_by(|a, b| a.name().cmp(b.name()));
    changes
}

/// All that a remote topic is to have of its own after the changes: for brokers before 2.3, and where `use.incremental.alter.configs` is `never`, which
/// can only replace the whole. MirrorMaker names what it copies and so takes away the rest; here what is not to be changed is named too.
pub(super) fn replacement(target: &[ConfigEntry], changes: &[ConfigChange]) -> Vec<(String, String)> {
    let own = target.iter().filter(|entry| entry.source == ConfigSource::Topic && !entry.read_only);
    let mut configs: BTreeMap<&str, &str> =
        own.filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?))).collect();
    for change in changes {
        match change.value() {
            Some(value) => drop(configs.insert(change.name(), value)),
            None => drop(configs.remove(change.name())),
        }
    }
    configs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What to do about a topic whose changes the target has refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AfterRefusal {
    /// One change is to blame: note it, and try the others, as far as there are any.
    Without {
        /// The one to blame.
        refused: ConfigChange,
        /// The others.
        rest: Vec<ConfigChange>,
    },
    /// One of them is to blame, and the target does not say which: try each alone.
    OneByOne,
    /// It is not about a setting: the topic is not there, a right is missing, nobody answers. Try again at the next interval.
    NotASetting,
}

/// Reads a refusal of a topic's changes: of a value, or by the broker's policy (KIP-133).
pub(super) fn refused(changes: &[ConfigChange], failure: &wire::Error) -> AfterRefusal {
    let wire::Error::Broker { message, .. } = failure else { return AfterRefusal::NotASetting };
    let is_of_setting = matches!(
        failure.response(),
        Some(ResponseError::InvalidConfig | ResponseError::PolicyViolation | ResponseError::InvalidRequest)
    );
    if !is_of_setting || changes.is_empty() {
        return AfterRefusal::NotASetting;
    }
    let named: Vec<(String, String)> =
        changes.iter().map(|c| (c.name().to_owned(), c.value().unwrap_or_default().to_owned())).collect();
    let blamed = match named.as_slice() {
        [(only, _)] => Some(only.clone()),
        _ => refused_setting(message.as_deref().unwrap_or_default(), &named),
    };
    let Some(at) = blamed.and_then(|name| changes.iter().position(|change| change.name() == name)) else {
        return AfterRefusal::OneByOne;
    };
    let mut rest = changes.to_vec();
    let refused = rest.remove(at);
    AfterRefusal::Without { refused, rest }
}

/// Changes that the target has refused, for as long as the connector lives. Each is left out until the source wants another value there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    /// Topic and setting → what was wanted, and the target's words.
    by_setting: BTreeMap<(String, String), (ConfigChange, String)>,
}

impl Refusals {
    /// Takes note of a refusal. Tells whether it is news.
    pub(super) fn note(&mut self, topic: &str, refused: ConfigChange, why: &str) -> bool {
        let place = (topic.to_owned(), refused.name().to_owned());
        let was = self.by_setting.insert(place, (refused.clone(), why.to_owned()));
        was.is_none_or(|(change, _)| change != refused)
    }

    fn without_refused(&self, topic: &str, changes: Vec<ConfigChange>) -> Vec<ConfigChange> {
        let is_refused = |change: &ConfigChange| {
            let place = (topic.to_owned(), change.name().to_owned());
            self.by_setting.get(&place).is_some_and(|(refused, _)| refused == change)
        };
        changes.into_iter().filter(|change| !is_refused(change)).collect()
    }

    /// Forgets topics that are no longer mirrored.
    pub(super) fn retain(&mut self, is_mirrored: impl Fn(&str) -> bool) {
        self.by_setting.retain(|(topic, _), _| is_mirrored(topic));
    }

    /// Topics, the changes refused there, and the target's words.
    #[cfg(test)]
    fn iter(&self) -> impl Iterator<Item = (&str, &ConfigChange, &str)> {
        self.by_setting.iter().map(|((topic, _), (change, why))| (topic.as_str(), change, why.as_str()))
    }
}

#[cfg(test)]
mod tests;
